//! PDUs of the share, on the MCS I/O channel: the activation sequence and what a client controls of its session.
//! Fields are read with their bounds here; unknown PDUs are stepped over by their length.

use rdpmux_model::{LockKeys, Rect};

use super::{ClientCaps, CloseReason, FrameId, Phase, QueueDepth, Reader, Session, SessionError, SessionEvent, peer};
use crate::pipe::Monitor;
use crate::wire;

const CONTROL_CONFIRM_ACTIVE: u16 = 3;
const CONTROL_DATA: u16 = 7;
/// A share control header with this length is a flow PDU of T.128, which has no other fields.
const FLOW_MARKER: usize = 0x8000;
const FLOW_LENGTH: usize = 8;
const COMPRESSED: u8 = 0x20;

const PDU_CONTROL: u8 = 20;
const PDU_INPUT: u8 = 28;
const PDU_SYNCHRONIZE: u8 = 31;
const PDU_REFRESH_RECT: u8 = 33;
const PDU_SUPPRESS_OUTPUT: u8 = 35;
const PDU_SHUTDOWN_REQUEST: u8 = 36;
const PDU_SHUTDOWN_DENIED: u8 = 37;
const PDU_FONT_LIST: u8 = 39;
const PDU_FONT_MAP: u8 = 40;
const PDU_SET_KEYBOARD_INDICATORS: u8 = 41;
const PDU_SET_ERROR_INFO: u8 = 47;
const PDU_MONITOR_LAYOUT: u8 = 55;
const PDU_FRAME_ACKNOWLEDGE: u8 = 56;

const ACTION_REQUEST_CONTROL: u16 = 1;
const ACTION_GRANTED_CONTROL: u16 = 2;
const ACTION_COOPERATE: u16 = 4;
const CLIENT_USER: u16 = wire::SERVER_CHANNEL;

impl Session {
    /// Takes the payload of one MCS message on the I/O channel: one or more share control PDUs.
    pub(super) fn share(
        &mut self,
        mut data: &[u8],
        events: &mut Vec<SessionEvent>,
        out: &mut Vec<u8>,
    ) -> Result<(), SessionError> {
        while !data.is_empty() {
            let mut r = Reader(data);
            let total = usize::from(r.u16().ok_or(peer("share control header"))?);
            if total == FLOW_MARKER {
                data = data.get(FLOW_LENGTH..).unwrap_or_default();
                continue;
            }
            let (pdu, rest) = data.split_at_checked(total).ok_or(peer("share control length"))?;
            let body = pdu.get(6..).ok_or(peer("share control header"))?;
            match u16::from_le_bytes([pdu[2], pdu[3]]) & 0xF {
                CONTROL_CONFIRM_ACTIVE => self.confirm_active(body)?,
                CONTROL_DATA => self.share_data(body, events, out)?,
                kind => tracing::debug!(kind, "unexpected share control PDU"),
            }
            data = rest;
        }
        Ok(())
    }

    fn confirm_active(&mut self, body: &[u8]) -> Result<(), SessionError> {
        let caps = ClientCaps::confirm_active(body).ok_or(peer("confirm active"))?;
        if self.phase != Phase::AwaitConfirm {
            tracing::debug!("confirm active without a demand");
            return Ok(());
        }
        self.info.bits_per_pixel = caps.bits_per_pixel;
        self.info.remotefx = caps.surface_commands && caps.remotefx.is_some();
        self.info.frame_acknowledge = caps.frame_acknowledge;
        self.info.pointer_edge = caps.pointer_edge;
        self.caps = caps;
        self.pointers.clear();
        self.phase = Phase::AwaitFontList;
        Ok(())
    }

    fn share_data(
        &mut self,
        body: &[u8],
        events: &mut Vec<SessionEvent>,
        out: &mut Vec<u8>,
    ) -> Result<(), SessionError> {
        let mut r = Reader(body);
        let [_, _, _, _, _pad, _stream, _, _, kind, compression, _, _] =
            r.bytes::<12>().ok_or(peer("share data header"))?;
        if compression & COMPRESSED != 0 {
            return Err(peer("share data: compressed without an offer"));
        }
        if self.phase == Phase::AwaitConfirm {
            // Left over from before the deactivation.
            tracing::trace!(kind, "share data before the capabilities");
            return Ok(());
        }
        match kind {
            PDU_SYNCHRONIZE => synchronize(self.link.io, out),
            PDU_CONTROL => match r.u16().ok_or(peer("control"))? {
                ACTION_COOPERATE => control(self.link.io, ACTION_COOPERATE, 0, 0, out),
                ACTION_REQUEST_CONTROL => {
                    let server = u32::from(wire::SERVER_CHANNEL);
                    control(self.link.io, ACTION_GRANTED_CONTROL, CLIENT_USER, server, out);
                }
                _ => {}
            },
            PDU_FONT_LIST => self.font_list(events, out),
            _ if self.is_live() => self.live(kind, r, events, out)?,
            _ => {}
        }
        Ok(())
    }

    /// The last message of an activation. A late or repeated one is answered and has no other effect.
    fn font_list(&mut self, events: &mut Vec<SessionEvent>, out: &mut Vec<u8>) {
        wire::share_data(out, self.link.io, PDU_FONT_MAP, |out| {
            out.extend_from_slice(&[0, 0, 0, 0, 3, 0, 4, 0])
        });
        if self.phase != Phase::AwaitFontList {
            return;
        }
        self.phase = Phase::Live;
        match self.graphics {
            super::Graphics::Legacy => events.push(SessionEvent::Reactivated(self.legacy_writer())),
            super::Graphics::Egfx => tracing::debug!("reactivated with the graphics pipeline open"),
            _ => {}
        }
    }

    fn live(
        &mut self,
        kind: u8,
        mut r: Reader<'_>,
        events: &mut Vec<SessionEvent>,
        out: &mut Vec<u8>,
    ) -> Result<(), SessionError> {
        match kind {
            PDU_INPUT => {
                let sink = |event| events.push(SessionEvent::from(event));
                self.input.slow_path(r.0, sink).ok_or(peer("slow-path input"))?;
            }
            PDU_REFRESH_RECT => events.push(refresh(r).ok_or(peer("refresh rect"))?),
            PDU_SUPPRESS_OUTPUT => {
                let allow = r.u8().ok_or(peer("suppress output"))?;
                events.push(SessionEvent::Suppress(allow == 0));
            }
            // "Denied" makes the client ask its user and then leave with a Disconnect Provider Ultimatum.
            PDU_SHUTDOWN_REQUEST => wire::share_data(out, self.link.io, PDU_SHUTDOWN_DENIED, |_| {}),
            PDU_FRAME_ACKNOWLEDGE => {
                let id = r.u32().ok_or(peer("frame acknowledge"))?;
                events.push(SessionEvent::FrameAck {
                    id: FrameId(id),
                    queue_depth: QueueDepth::Unavailable,
                });
            }
            // Persistent keys, cache errors, IME status and so on ask for nothing.
            kind => tracing::debug!(kind, "share data PDU without a use"),
        }
        Ok(())
    }
}

/// [MS-RDPBCGR] 2.2.11.2.1; the rectangles' edges are inclusive.
fn refresh(mut r: Reader<'_>) -> Option<SessionEvent> {
    let [count, ..] = r.bytes::<4>()?;
    let mut rects = Vec::with_capacity(usize::from(count));
    for _ in 0..count {
        let [left, top, right, bottom] = [r.u16()?, r.u16()?, r.u16()?, r.u16()?].map(u32::from);
        rects.push(Rect::new(
            left,
            top,
            (right + 1).saturating_sub(left),
            (bottom + 1).saturating_sub(top),
        ));
    }
    Some(SessionEvent::Refresh(rects))
}

fn synchronize(io: u16, out: &mut Vec<u8>) {
    wire::share_data(out, io, PDU_SYNCHRONIZE, |out| {
        out.extend_from_slice(&[1, 0]);
        out.extend_from_slice(&CLIENT_USER.to_le_bytes());
    });
}

fn control(io: u16, action: u16, grant: u16, control: u32, out: &mut Vec<u8>) {
    wire::share_data(out, io, PDU_CONTROL, |out| {
        out.extend_from_slice(&action.to_le_bytes());
        out.extend_from_slice(&grant.to_le_bytes());
        out.extend_from_slice(&control.to_le_bytes());
    });
}

/// The desktop's monitors ([MS-RDPBCGR] 2.2.12.1).
pub(super) fn monitor_layout(io: u16, monitors: &[Monitor], out: &mut Vec<u8>) {
    wire::share_data(out, io, PDU_MONITOR_LAYOUT, |out| {
        out.extend_from_slice(&(monitors.len() as u32).to_le_bytes());
        for (edges, is_primary) in Monitor::edges_from_primary(monitors) {
            for edge in edges {
                out.extend_from_slice(&edge.to_le_bytes());
            }
            out.extend_from_slice(&u32::from(is_primary).to_le_bytes());
        }
    });
}

pub(super) fn keyboard_indicators(io: u16, locks: LockKeys, out: &mut Vec<u8>) {
    let flags = u16::from(locks.scroll) | u16::from(locks.num) << 1 | u16::from(locks.caps) << 2;
    wire::share_data(out, io, PDU_SET_KEYBOARD_INDICATORS, |out| {
        out.extend_from_slice(&[0, 0]);
        out.extend_from_slice(&flags.to_le_bytes());
    });
}

/// [MS-RDPBCGR] 2.2.5.1.1.
pub(super) fn error_info(io: u16, reason: CloseReason, out: &mut Vec<u8>) {
    let code: u32 = match reason {
        // ERRINFO_SERVER_INSUFFICIENT_PRIVILEGES
        CloseReason::Denied => 0x9,
        // ERRINFO_SERVER_FRESH_CREDENTIALS_REQUIRED
        CloseReason::BadCredentials => 0xA,
        // ERRINFO_DISCONNECTED_BY_OTHERCONNECTION
        CloseReason::Replaced => 0x5,
        // ERRINFO_IDLE_TIMEOUT
        CloseReason::IdleTimeout => 0x3,
        // ERRINFO_RPC_INITIATED_DISCONNECT
        CloseReason::Disconnected => 0x1,
        // ERRINFO_RPC_INITIATED_LOGOFF
        CloseReason::LoggedOff => 0x2,
        // ERRINFO_CB_DESTINATION_NOT_FOUND: the only one that says that the machine is not there.
        CloseReason::DesktopRemoved => 0x400,
        // ERRINFO_RPC_INITIATED_DISCONNECT: older clients do not know ERRINFO_SERVER_SHUTDOWN.
        CloseReason::ServerShutdown => 0x1,
        // ERRINFO_SERVER_DENIED_CONNECTION
        CloseReason::Limit => 0x7,
    };
    wire::share_data(out, io, PDU_SET_ERROR_INFO, |out| {
        out.extend_from_slice(&code.to_le_bytes())
    });
}
