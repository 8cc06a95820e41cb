//! What QEMU asks of a display listener, as types: one [`Call`] out of one message, arguments checked against the
//! signature that the interface gives them. Names are those of QEMU's `ui/dbus-display1.xml`.

use super::wire::{Kind, Message, Reader, WireError};

/// Where the listener object lives.
pub(super) const PATH: &str = "/org/qemu/Display1/Listener";
/// The interface that every QEMU knows.
pub(super) const LISTENER: &str = "org.qemu.Display1.Listener";
/// Frames in shared memory, QEMU 9.2 and later.
pub(super) const UNIX_MAP: &str = "org.qemu.Display1.Listener.Unix.Map";
const PROPERTIES: &str = "org.freedesktop.DBus.Properties";
const INTROSPECTABLE: &str = "org.freedesktop.DBus.Introspectable";
const PEER: &str = "org.freedesktop.DBus.Peer";

/// One thing that QEMU asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Call<'a> {
    /// The whole picture, possibly of a new size.
    Scanout(Pixels<'a>),
    /// A changed rectangle.
    Update {
        /// Left edge.
        x: i32,
        /// Top edge.
        y: i32,
        /// Its pixels.
        pixels: Pixels<'a>,
    },
    /// The whole picture is in shared memory from now on.
    ScanoutMap {
        /// Index of the descriptor in the message.
        handle: u32,
        /// Byte at which the picture starts.
        offset: u32,
        /// Layout of the picture, without bytes.
        pixels: Pixels<'a>,
    },
    /// A rectangle changed in the shared memory.
    UpdateMap {
        /// Left edge, top edge, width, height.
        rect: [i32; 4],
    },
    /// The picture is on the graphics card.
    ScanoutDmabuf,
    /// It changed there.
    UpdateDmabuf,
    /// There is no picture.
    Disable,
    /// The guest put its pointer somewhere.
    MouseSet {
        /// Whether it shows.
        visible: bool,
    },
    /// The guest's pointer picture.
    CursorDefine {
        /// Width and height.
        size: (i32, i32),
        /// Column and row of the pixel that points.
        hot_spot: (i32, i32),
        /// B, G, R, A bytes.
        bgra: &'a [u8],
    },
    /// All properties of an interface.
    PropertiesOf(&'a str),
    /// One property.
    Property(&'a str, &'a str),
    /// What the object can do.
    Introspect,
    /// Are we there?
    Ping,
    /// Something else; answered with an error.
    Unknown,
}

/// A picture as QEMU describes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pixels<'a> {
    /// Pixels per row.
    pub width: u32,
    /// Rows.
    pub height: u32,
    /// Bytes from one row to the next.
    pub stride: u32,
    /// Pixman's format code.
    pub format: u32,
    /// Bytes, where they are in the message.
    pub bytes: &'a [u8],
}

impl<'a> Call<'a> {
    /// Whether it says what the screen shows, be it nothing. A map does so once it is settled.
    pub(super) fn is_picture(&self) -> bool {
        matches!(
            self,
            Self::Scanout(_) | Self::Update { .. } | Self::UpdateMap { .. } | Self::ScanoutDmabuf | Self::Disable
        )
    }

    /// Reads the call out of a message; `None` for a message that is no call.
    ///
    /// # Errors
    /// [`WireError`] if the arguments of a known call are not what its interface says.
    pub fn read(message: &Message<'a>) -> Result<Option<Self>, WireError> {
        if message.kind != Kind::Call {
            return Ok(None);
        }
        if message.path != PATH {
            return Ok(Some(Self::Unknown));
        }
        let method = METHODS
            .iter()
            .find(|method| method.interface == message.interface && method.member == message.member);
        let Some(method) = method else {
            return Ok(Some(Self::Unknown));
        };
        if method.signature != message.signature {
            return Err(WireError::Malformed("signature is not the one of the method"));
        }
        let mut reader = Reader::body(message.body);
        let call = (method.read)(&mut reader)?;
        if call != Self::ScanoutDmabuf && call != Self::UpdateDmabuf {
            reader.end()?;
        }
        Ok(Some(call))
    }

    /// The method's name, for a log line.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Scanout(_) => "Scanout",
            Self::Update { .. } => "Update",
            Self::ScanoutMap { .. } => "ScanoutMap",
            Self::UpdateMap { .. } => "UpdateMap",
            Self::ScanoutDmabuf => "ScanoutDMABUF",
            Self::UpdateDmabuf => "UpdateDMABUF",
            Self::Disable => "Disable",
            Self::MouseSet { .. } => "MouseSet",
            Self::CursorDefine { .. } => "CursorDefine",
            Self::PropertiesOf(_) => "GetAll",
            Self::Property(..) => "Get",
            Self::Introspect => "Introspect",
            Self::Ping => "Ping",
            Self::Unknown => "unknown",
        }
    }
}

struct Method {
    interface: &'static str,
    member: &'static str,
    signature: &'static str,
    read: for<'a> fn(&mut Reader<'a>) -> Result<Call<'a>, WireError>,
}

const fn method(
    interface: &'static str,
    member: &'static str,
    signature: &'static str,
    read: for<'a> fn(&mut Reader<'a>) -> Result<Call<'a>, WireError>,
) -> Method {
    Method {
        interface,
        member,
        signature,
        read,
    }
}

const METHODS: &[Method] = &[
    method(LISTENER, "Scanout", "uuuuay", |r| {
        let mut pixels = layout(r)?;
        pixels.bytes = r.bytes()?;
        Ok(Call::Scanout(pixels))
    }),
    method(LISTENER, "Update", "iiiiuuay", update),
    method(UNIX_MAP, "ScanoutMap", "huuuuu", |r| {
        Ok(Call::ScanoutMap {
            handle: r.u32()?,
            offset: r.u32()?,
            pixels: layout(r)?,
        })
    }),
    method(UNIX_MAP, "UpdateMap", "iiii", |r| {
        Ok(Call::UpdateMap {
            rect: [r.i32()?, r.i32()?, r.i32()?, r.i32()?],
        })
    }),
    method(LISTENER, "ScanoutDMABUF", "huuuutb", |_| Ok(Call::ScanoutDmabuf)),
    method(LISTENER, "UpdateDMABUF", "iiii", |_| Ok(Call::UpdateDmabuf)),
    method(LISTENER, "Disable", "", |_| Ok(Call::Disable)),
    method(LISTENER, "MouseSet", "iii", |r| {
        let (_x, _y, on) = (r.i32()?, r.i32()?, r.i32()?);
        Ok(Call::MouseSet { visible: on != 0 })
    }),
    method(LISTENER, "CursorDefine", "iiiiay", |r| {
        Ok(Call::CursorDefine {
            size: (r.i32()?, r.i32()?),
            hot_spot: (r.i32()?, r.i32()?),
            bgra: r.bytes()?,
        })
    }),
    method(PROPERTIES, "GetAll", "s", |r| Ok(Call::PropertiesOf(r.text()?))),
    method(PROPERTIES, "Get", "ss", |r| Ok(Call::Property(r.text()?, r.text()?))),
    method(INTROSPECTABLE, "Introspect", "", |_| Ok(Call::Introspect)),
    method(PEER, "Ping", "", |_| Ok(Call::Ping)),
];

fn layout<'a>(reader: &mut Reader<'a>) -> Result<Pixels<'a>, WireError> {
    Ok(Pixels {
        width: reader.u32()?,
        height: reader.u32()?,
        stride: reader.u32()?,
        format: reader.u32()?,
        bytes: &[],
    })
}

fn update<'a>(reader: &mut Reader<'a>) -> Result<Call<'a>, WireError> {
    let (x, y, width, height) = (reader.i32()?, reader.i32()?, reader.i32()?, reader.i32()?);
    let (stride, format) = (reader.u32()?, reader.u32()?);
    let edge = |length: i32| u32::try_from(length).map_err(|_| WireError::Malformed("edge of a rectangle is negative"));
    let pixels = Pixels {
        width: edge(width)?,
        height: edge(height)?,
        stride,
        format,
        bytes: reader.bytes()?,
    };
    Ok(Call::Update { x, y, pixels })
}
