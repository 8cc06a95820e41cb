//! Capabilities: what we demand, and what of the client's confirmation counts ([MS-RDPBCGR] 2.2.1.13).
//! The client's sets are walked by their lengths, so one that nobody knows yet is stepped over.

use ironrdp_core::encode_vec;
use ironrdp_pdu::rdp::capability_sets as sets;
use rdpmux_model::Size;

use crate::pipe::SurfaceCodecs;
use crate::wire::{Reader, SERVER_CHANNEL, SHARE_ID};

const PDU_TYPE_DEMAND_ACTIVE: u16 = 0x11;
const SOURCE_DESCRIPTOR: &[u8] = b"RDP\0";
const SESSION_ID: [u8; 4] = [0; 4];

/// What fragments of fast-path updates may add up to towards us, in bytes. mstsc refuses 16 MiB, 8 are fine.
/// Pointer cache entries, shared by colour and new pointers.
const POINTER_CACHE: u16 = 32;
/// Frames of surface commands that may be under way, as we tell the client.
const UNACKNOWLEDGED_FRAMES: u32 = 4;

/// The number that NSCodec has everywhere ([MS-RDPBCGR] 2.2.7.2.10.1.1).
const NSCODEC_ID: u8 = 1;

const SET_GENERAL: u16 = 1;
const SET_BITMAP: u16 = 2;
const SET_POINTER: u16 = 8;
const SET_MULTIFRAGMENT: u16 = 0x1A;
const SET_LARGE_POINTER: u16 = 0x1B;
const SET_SURFACE_COMMANDS: u16 = 0x1C;
const SET_BITMAP_CODECS: u16 = 0x1D;
const SET_FRAME_ACKNOWLEDGE: u16 = 0x1E;

const FAST_PATH_OUTPUT: u16 = 0x0001;
const NO_BITMAP_COMPRESSION_HEADER: u16 = 0x0400;
const DRAW_ALLOW_SKIP_ALPHA: u8 = 0x08;
const SURFACE_BITS_AND_MARKERS: u32 = 0x02 | 0x10;
const LARGE_POINTER_96: u16 = 1;
const LARGE_POINTER_384: u16 = 2;

/// `76772F12-BD72-4463-AFB3-B73C9C6F7886` as on the wire.
const GUID_REMOTEFX: [u8; 16] = [
    0x12, 0x2F, 0x77, 0x76, 0x72, 0xBD, 0x63, 0x44, 0xAF, 0xB3, 0xB7, 0x3C, 0x9C, 0x6F, 0x78, 0x86,
];
/// `2744CCD4-9D8A-4E74-803C-0ECBEEA19C54` as on the wire.
const GUID_IMAGE_REMOTEFX: [u8; 16] = [
    0xD4, 0xCC, 0x44, 0x27, 0x8A, 0x9D, 0x74, 0x4E, 0x80, 0x3C, 0x0E, 0xCB, 0xEE, 0xA1, 0x9C, 0x54,
];

/// `CA8D1BB9-000F-154F-589F-AE2D1A87E2D6` as on the wire.
const GUID_NSCODEC: [u8; 16] = [
    0xB9, 0x1B, 0x8D, 0xCA, 0x0F, 0x00, 0x4F, 0x15, 0x58, 0x9F, 0xAE, 0x2D, 0x1A, 0x87, 0xE2, 0xD6,
];
/// `4DAE9AF8-B399-4DF6-B43A-662FD9C0F5D6`, IronRDP's, as on the wire.
const GUID_QOI: [u8; 16] = [
    0xF8, 0x9A, 0xAE, 0x4D, 0x99, 0xB3, 0xF6, 0x4D, 0xB4, 0x3A, 0x66, 0x2F, 0xD9, 0xC0, 0xF5, 0xD6,
];
/// `229CC6DC-A860-4B52-B4D8-053A22B3892B`, IronRDP's, as on the wire.
const GUID_QOIZ: [u8; 16] = [
    0xDC, 0xC6, 0x9C, 0x22, 0x60, 0xA8, 0x52, 0x4B, 0xB4, 0xD8, 0x05, 0x3A, 0x22, 0xB3, 0x89, 0x2B,
];

/// A client's way to take NSCodec ([MS-RDPNSC] 2.2.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct NsCodec {
    /// The client's number for it.
    pub(crate) id: u8,
    /// Whether colour loss and subsampling may change from picture to picture.
    pub(crate) dynamic_fidelity: bool,
    pub(crate) subsampling: bool,
    /// 1 to 7.
    pub(crate) color_loss: u8,
}

/// What the client confirmed. The default is a client that can do next to nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ClientCaps {
    /// Takes fast-path updates.
    pub(crate) fast_path_output: bool,
    /// Takes compressed bitmaps without `TS_CD_HEADER`.
    pub(crate) no_compression_header: bool,
    /// 32, 24, 16 or 15.
    pub(crate) bits_per_pixel: u8,
    /// Takes planar bitmaps without an alpha plane.
    pub(crate) skip_alpha: bool,
    /// Entries for pictures with alpha; 0 if it takes colour pointers only.
    pub(crate) pointer_cache: u16,
    /// Entries for colour pointers.
    pub(crate) color_pointer_cache: u16,
    /// Bytes that fragments may add up to; `None`: it puts no fragments together.
    pub(crate) multifragment: Option<u32>,
    /// Largest pointer edge: 32, 96 or 384.
    pub(crate) pointer_edge: u32,
    /// Takes Set Surface Bits and Frame Marker.
    pub(crate) surface_commands: bool,
    /// The client's number for RemoteFX, if it decodes RLGR1.
    pub(crate) remotefx: Option<u8>,
    pub(crate) nscodec: Option<NsCodec>,
    /// The client's number for QOI.
    pub(crate) qoi: Option<u8>,
    /// The client's number for QOIZ.
    pub(crate) qoiz: Option<u8>,
    /// Acknowledges frames of surface commands.
    pub(crate) frame_acknowledge: bool,
}

impl Default for ClientCaps {
    fn default() -> Self {
        Self {
            fast_path_output: false,
            no_compression_header: false,
            bits_per_pixel: 16,
            skip_alpha: false,
            pointer_cache: 0,
            color_pointer_cache: 0,
            multifragment: None,
            pointer_edge: 32,
            surface_commands: false,
            remotefx: None,
            nscodec: None,
            qoi: None,
            qoiz: None,
            frame_acknowledge: false,
        }
    }
}

impl ClientCaps {
    /// Reads the body of a Confirm Active PDU after its share control header. `None` if lengths do not add up.
    pub(crate) fn confirm_active(body: &[u8]) -> Option<Self> {
        let mut r = Reader(body);
        let (_share_id, _originator) = (r.u32()?, r.u16()?);
        let source = usize::from(r.u16()?);
        let _combined = r.u16()?;
        r.slice(source)?;
        let (count, _pad) = (r.u16()?, r.u16()?);
        let mut caps = Self::default();
        for _ in 0..count {
            let (kind, length) = (r.u16()?, r.u16()?);
            let set = r.slice(usize::from(length).checked_sub(4)?)?;
            caps.take(kind, Reader(set))?;
        }
        Some(caps)
    }

    fn take(&mut self, kind: u16, mut r: Reader<'_>) -> Option<()> {
        match kind {
            SET_GENERAL => {
                r.slice(10)?;
                let flags = r.u16()?;
                self.fast_path_output = flags & FAST_PATH_OUTPUT != 0;
                self.no_compression_header = flags & NO_BITMAP_COMPRESSION_HEADER != 0;
            }
            SET_BITMAP => {
                self.bits_per_pixel = match r.u16()? {
                    depth @ (32 | 24 | 15) => depth as u8,
                    _ => 16,
                };
                r.slice(17)?;
                self.skip_alpha = r.u8()? & DRAW_ALLOW_SKIP_ALPHA != 0;
            }
            SET_POINTER => {
                r.u16()?;
                self.color_pointer_cache = r.u16()?.min(POINTER_CACHE);
                // Clients of before RDP 5 leave this field out.
                self.pointer_cache = r.u16().unwrap_or(0).min(POINTER_CACHE);
            }
            SET_MULTIFRAGMENT => self.multifragment = Some(r.u32()?),
            SET_LARGE_POINTER => {
                let flags = r.u16()?;
                self.pointer_edge = match flags {
                    f if f & LARGE_POINTER_384 != 0 => 384,
                    f if f & LARGE_POINTER_96 != 0 => 96,
                    _ => 32,
                };
            }
            SET_SURFACE_COMMANDS => {
                self.surface_commands = r.u32()? & SURFACE_BITS_AND_MARKERS == SURFACE_BITS_AND_MARKERS;
            }
            SET_BITMAP_CODECS => {
                for _ in 0..r.u8()? {
                    let (guid, id, length) = (r.bytes::<16>()?, r.u8()?, r.u16()?);
                    let properties = r.slice(usize::from(length))?;
                    match guid {
                        GUID_REMOTEFX | GUID_IMAGE_REMOTEFX if decodes_rlgr1(properties) => self.remotefx = Some(id),
                        GUID_NSCODEC => self.nscodec = nscodec(id, properties),
                        GUID_QOI => self.qoi = Some(id),
                        GUID_QOIZ => self.qoiz = Some(id),
                        _ => {}
                    }
                }
            }
            SET_FRAME_ACKNOWLEDGE => self.frame_acknowledge = r.u32()? > 0,
            _ => {}
        }
        Some(())
    }
}

/// Looks for RLGR1 among the entropy coders of `TS_RFX_CLNT_CAPS_CONTAINER` ([MS-RDPRFX] 2.2.1.1).
fn decodes_rlgr1(container: &[u8]) -> bool {
    const RLGR1: u8 = 1;
    // length, captureFlags, capsLength; TS_RFX_CAPS; TS_RFX_CAPSET up to and with icapLen.
    let Some(icaps) = container.get(12 + 8 + 13..) else {
        return false;
    };
    icaps.chunks_exact(8).any(|icap| icap[7] == RLGR1)
}

fn nscodec(id: u8, properties: &[u8]) -> Option<NsCodec> {
    let &[dynamic_fidelity, subsampling, color_loss] = properties.first_chunk()?;
    (1..=7).contains(&color_loss).then_some(NsCodec {
        id,
        dynamic_fidelity: dynamic_fidelity != 0,
        subsampling: subsampling != 0,
        color_loss,
    })
}

/// Appends the share control PDU of a Demand Active ([MS-RDPBCGR] 2.2.1.13.1.1) for a desktop of this size and depth.
pub(crate) fn demand_active(out: &mut Vec<u8>, size: Size, bits_per_pixel: u8, codecs: SurfaceCodecs) {
    let start = out.len();
    out.extend_from_slice(&[0, 0]);
    out.extend_from_slice(&PDU_TYPE_DEMAND_ACTIVE.to_le_bytes());
    out.extend_from_slice(&SERVER_CHANNEL.to_le_bytes());
    out.extend_from_slice(&SHARE_ID.to_le_bytes());
    out.extend_from_slice(&(SOURCE_DESCRIPTOR.len() as u16).to_le_bytes());
    let combined = out.len();
    out.extend_from_slice(&[0, 0]);
    out.extend_from_slice(SOURCE_DESCRIPTOR);
    let sets = server_sets(size, bits_per_pixel, codecs);
    let first = out.len();
    out.extend_from_slice(&(sets.len() as u16).to_le_bytes());
    out.extend_from_slice(&[0, 0]);
    for set in sets {
        out.extend_from_slice(&encode_vec(&set).expect("our own capability sets are short and valid"));
    }
    let length = (out.len() - first) as u16;
    out[combined..combined + 2].copy_from_slice(&length.to_le_bytes());
    out.extend_from_slice(&SESSION_ID);
    let total = (out.len() - start) as u16;
    out[start..start + 2].copy_from_slice(&total.to_le_bytes());
}

/// RemoteFX and NSCodec as far as we have them. QOI is not announced: the clients that have it offer it unasked, and others need
/// not see a codec that they do not know.
fn server_codecs(codecs: SurfaceCodecs) -> sets::BitmapCodecs {
    let remotefx = |property: fn(sets::RemoteFxContainer) -> sets::CodecProperty| sets::Codec {
        id: 0,
        property: property(sets::RemoteFxContainer::ServerContainer(1)),
    };
    let mut all = Vec::new();
    if codecs.remotefx {
        all.push(remotefx(sets::CodecProperty::RemoteFx));
        all.push(remotefx(sets::CodecProperty::ImageRemoteFx));
    }
    if codecs.nscodec {
        all.push(sets::Codec {
            id: NSCODEC_ID,
            property: sets::CodecProperty::NsCodec(sets::NsCodec {
                is_dynamic_fidelity_allowed: true,
                is_subsampling_allowed: true,
                color_loss_level: 7,
            }),
        });
    }
    sets::BitmapCodecs(all)
}

fn server_sets(size: Size, bits_per_pixel: u8, codecs: SurfaceCodecs) -> Vec<sets::CapabilitySet> {
    let edge = |pixels: u32| pixels.min(Size::MAX_EDGE) as u16;
    vec![
        sets::CapabilitySet::General(sets::General {
            extra_flags: sets::GeneralExtraFlags::FASTPATH_OUTPUT_SUPPORTED
                | sets::GeneralExtraFlags::LONG_CREDENTIALS_SUPPORTED
                | sets::GeneralExtraFlags::AUTORECONNECT_SUPPORTED
                | sets::GeneralExtraFlags::NO_BITMAP_COMPRESSION_HDR,
            refresh_rect_support: true,
            suppress_output_support: true,
            ..Default::default()
        }),
        sets::CapabilitySet::Bitmap(sets::Bitmap {
            pref_bits_per_pix: u16::from(bits_per_pixel),
            desktop_width: edge(size.width),
            desktop_height: edge(size.height),
            desktop_resize_flag: true,
            drawing_flags: sets::BitmapDrawingFlags::ALLOW_SKIP_ALPHA,
        }),
        sets::CapabilitySet::Order(sets::Order::new(
            sets::OrderFlags::NEGOTIATE_ORDER_SUPPORT | sets::OrderFlags::ZERO_BOUNDS_DELTAS_SUPPORT,
            sets::OrderSupportExFlags::empty(),
            0,
            0,
        )),
        sets::CapabilitySet::Pointer(sets::Pointer {
            color_pointer_cache_size: POINTER_CACHE,
            pointer_cache_size: POINTER_CACHE,
        }),
        sets::CapabilitySet::Input(sets::Input {
            input_flags: sets::InputFlags::SCANCODES
                | sets::InputFlags::MOUSEX
                | sets::InputFlags::FASTPATH_INPUT
                | sets::InputFlags::FASTPATH_INPUT_2
                | sets::InputFlags::UNICODE
                | sets::InputFlags::MOUSE_RELATIVE
                | sets::InputFlags::TS_MOUSE_HWHEEL,
            keyboard_layout: 0,
            keyboard_type: None,
            keyboard_subtype: 0,
            keyboard_function_key: 0,
            keyboard_ime_filename: String::new(),
        }),
        sets::CapabilitySet::VirtualChannel(sets::VirtualChannel {
            flags: sets::VirtualChannelFlags::NO_COMPRESSION,
            chunk_size: None,
        }),
        sets::CapabilitySet::MultiFragmentUpdate(sets::MultifragmentUpdate {
            max_request_size: codecs.max_request,
        }),
        sets::CapabilitySet::LargePointer(sets::LargePointer {
            flags: sets::LargePointerSupportFlags::UP_TO_96X96_PIXELS
                | sets::LargePointerSupportFlags::UP_TO_384X384_PIXELS,
        }),
        sets::CapabilitySet::SurfaceCommands(sets::SurfaceCommands {
            flags: sets::CmdFlags::SET_SURFACE_BITS | sets::CmdFlags::FRAME_MARKER,
        }),
        sets::CapabilitySet::BitmapCodecs(server_codecs(codecs)),
        sets::CapabilitySet::FrameAcknowledge(sets::FrameAcknowledge {
            max_unacknowledged_frame_count: UNACKNOWLEDGED_FRAMES,
        }),
    ]
}
