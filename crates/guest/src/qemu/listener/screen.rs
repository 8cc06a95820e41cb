//! What a listener does with QEMU's calls: answers from memory, then brings the head's surface and pointer up to date.
//! No socket and no thread, so that a fuzzer can drive it with bytes.

use std::os::fd::OwnedFd;

use rdpmux_model::{Guest, Point, PointerShape, Rect};
use rdpmux_shm::{FileCache, ShmError};
use rdpmux_wire::format::of_pixman;
use tokio::sync::watch;

use super::call::{Call, LISTENER, Pixels, UNIX_MAP};
use super::wire::{self, Answer, Message, WireError};
use crate::mapped::{MapRows, Mapped};
use crate::sink::{GuestSink, Layout, SinkError};

/// What a peer did wrong. The connection to it ends; nobody else is concerned.
#[derive(Debug, thiserror::Error)]
pub enum PeerError {
    /// Not D-Bus, or not the interface.
    #[error("{member}: {source}")]
    Wire {
        /// The method, if it was read.
        member: String,
        /// What is wrong with it.
        source: WireError,
    },
    /// A picture or pointer that cannot be.
    #[error("{member}: {source}")]
    Picture {
        /// The method.
        member: &'static str,
        /// What is wrong with it.
        source: SinkError,
    },
    /// A pixel format that no display device uses.
    #[error("{member}: pixel format 0x{code:08x} is unknown")]
    Format {
        /// The method.
        member: &'static str,
        /// Pixman's code.
        code: u32,
    },
    /// Shared memory that cannot be read.
    #[error("{member}: {source}")]
    Memory {
        /// The method.
        member: &'static str,
        /// What is wrong with it.
        source: ShmError,
    },
    /// Other file descriptors than announced.
    #[error("{member}: {given} file descriptors came where {announced} were announced")]
    Descriptors {
        /// The method.
        member: String,
        /// Those that came.
        given: usize,
        /// Those that were announced.
        announced: u32,
    },
    /// The peer did not authenticate as D-Bus wants it.
    #[error("authentication ended with {0:?}")]
    Auth(String),
    /// The socket failed.
    #[error("socket: {0}")]
    Io(#[from] std::io::Error),
    /// Handling one message took longer than a second, so the socket was closed for the guest's sake.
    #[error("a message was not handled in time")]
    Stalled,
    /// A defect of ours.
    #[error("internal defect: {0}")]
    Bug(String),
}

/// Whether frames in shared memory are offered to QEMU.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SharedFrames {
    /// They are: QEMU 10.0 and later.
    Offered,
    /// They are not.
    Never,
}

/// One head as its listener sees it.
#[derive(Debug)]
pub struct Screen {
    sink: GuestSink,
    title: String,
    shared_frames: SharedFrames,
    files: FileCache,
    map: Option<Mapped>,
    /// The map is not shown yet: the next change, or silence, brings all of it.
    is_fresh: bool,
    cursor: Option<PointerShape>,
    cursor_visible: bool,
    /// Whether QEMU has shown anything.
    has_shown: bool,
    /// Counts the silences after that, while somebody waits for them.
    silences: Option<watch::Sender<u32>>,
}

impl Screen {
    /// Fills `sink`; `title` names the guest on cards.
    pub fn new(sink: GuestSink, title: String, shared_frames: SharedFrames) -> Self {
        Self {
            sink,
            title,
            shared_frames,
            files: FileCache::default(),
            map: None,
            is_fresh: false,
            cursor: None,
            cursor_visible: true,
            has_shown: false,
            silences: None,
        }
    }

    /// Counts in `silences`, for as long as it has a receiver, how often nothing more came.
    pub(crate) fn telling(self, silences: watch::Sender<u32>) -> Self {
        Self {
            silences: Some(silences),
            ..self
        }
    }

    /// Whether somebody waits until all that QEMU has to show is shown.
    pub(crate) fn reports_silence(&self) -> bool {
        self.silences.as_ref().is_some_and(|silences| !silences.is_closed())
    }

    /// Nothing came for a moment, and nothing waits to be shown.
    pub(crate) fn report_silence(&self) {
        if let Some(silences) = self.silences.as_ref().filter(|_| self.has_shown) {
            silences.send_modify(|count| *count = count.wrapping_add(1));
        }
    }

    /// The sink, when the listener is over.
    pub fn into_sink(self) -> GuestSink {
        self.sink
    }

    /// Handles one message. `reply` is called with the answer's bytes, if one is wanted, before any pixel is touched:
    /// QEMU's main loop waits for it.
    ///
    /// # Errors
    /// [`PeerError`] if the message is not what QEMU may send, or if `reply` failed.
    pub fn handle(
        &mut self,
        bytes: &[u8],
        descriptors: Vec<OwnedFd>,
        serial: u32,
        reply: impl FnOnce(&[u8]) -> Result<(), PeerError>,
    ) -> Result<(), PeerError> {
        let refused = |member: &str, source| PeerError::Wire {
            member: member.to_owned(),
            source,
        };
        let message = wire::parse(bytes).map_err(|source| refused("message", source))?;
        if message.descriptors as usize != descriptors.len() {
            return Err(PeerError::Descriptors {
                member: message.member.to_owned(),
                given: descriptors.len(),
                announced: message.descriptors,
            });
        }
        let call = Call::read(&message).map_err(|source| refused(message.member, source))?;
        let Some(call) = call else {
            return Ok(());
        };
        let answer = self.answer(&message, &call, descriptors)?;
        if message.wants_reply {
            reply(&answer.encode(serial, message.serial))?;
        }
        self.show(&call)
    }

    /// Whether a picture in shared memory waits to be shown by [`Self::settle`].
    pub fn is_unsettled(&self) -> bool {
        self.is_fresh && self.map.is_some()
    }

    /// Shows a picture in shared memory that no change has followed.
    ///
    /// # Errors
    /// [`PeerError::Memory`] if it cannot be read.
    pub fn settle(&mut self) -> Result<(), PeerError> {
        self.has_shown = true;
        self.show_mapped("ScanoutMap", None)
    }

    fn answer(
        &mut self,
        message: &Message<'_>,
        call: &Call<'_>,
        descriptors: Vec<OwnedFd>,
    ) -> Result<Answer, PeerError> {
        let answer = match call {
            Call::ScanoutMap { handle, offset, pixels } => {
                if self.shared_frames == SharedFrames::Never {
                    return Ok(unknown(message));
                }
                self.map(descriptors, *handle, *offset, pixels)?;
                Answer::empty()
            }
            Call::PropertiesOf(interface) => self.properties(interface),
            Call::Property(LISTENER, "Interfaces") => {
                let mut body = Vec::new();
                wire::put_signature(&mut body, "as");
                self.put_interfaces(&mut body);
                Answer::Return { signature: "v", body }
            }
            Call::Property(_, property) => Answer::Error {
                name: "org.freedesktop.DBus.Error.UnknownProperty",
                text: format!("no property {property}"),
            },
            Call::Introspect => {
                let mut body = Vec::new();
                wire::put_text(&mut body, INTROSPECTION);
                Answer::Return { signature: "s", body }
            }
            Call::Unknown => unknown(message),
            _ => Answer::empty(),
        };
        Ok(answer)
    }

    fn properties(&self, interface: &str) -> Answer {
        let mut body = vec![0; 8];
        if interface == LISTENER {
            wire::put_text(&mut body, "Interfaces");
            wire::put_signature(&mut body, "as");
            self.put_interfaces(&mut body);
        }
        let length = (body.len() - 8) as u32;
        body[..4].copy_from_slice(&length.to_le_bytes());
        Answer::Return {
            signature: "a{sv}",
            body,
        }
    }

    fn put_interfaces(&self, body: &mut Vec<u8>) {
        wire::pad(body, 4);
        let start = body.len();
        body.extend([0; 4]);
        if self.shared_frames == SharedFrames::Offered {
            wire::put_text(body, UNIX_MAP);
        }
        let length = (body.len() - start - 4) as u32;
        body[start..start + 4].copy_from_slice(&length.to_le_bytes());
    }

    fn map(
        &mut self,
        descriptors: Vec<OwnedFd>,
        handle: u32,
        offset: u32,
        pixels: &Pixels<'_>,
    ) -> Result<(), PeerError> {
        let member = "ScanoutMap";
        let given = descriptors.len();
        let fd = descriptors.into_iter().nth(handle as usize);
        let fd = fd.ok_or_else(|| PeerError::Descriptors {
            member: member.to_owned(),
            given,
            announced: handle.saturating_add(1),
        })?;
        let file = self
            .files
            .open(fd, 0)
            .map_err(|source| PeerError::Memory { member, source })?;
        let available = file.size().saturating_sub(u64::from(offset));
        let layout = layout(member, pixels, available)?;
        self.map = Some(Mapped {
            file,
            offset: u64::from(offset),
            layout,
        });
        self.is_fresh = true;
        Ok(())
    }

    fn show(&mut self, call: &Call<'_>) -> Result<(), PeerError> {
        let member = call.name();
        let picture = |source| PeerError::Picture { member, source };
        self.has_shown |= call.is_picture();
        match call {
            Call::Scanout(pixels) => {
                let layout = layout(member, pixels, pixels.bytes.len() as u64)?;
                self.map = None;
                self.sink.scanout(layout, pixels.bytes).map_err(picture)
            }
            Call::Update { x, y, pixels } => {
                let layout = layout(member, pixels, pixels.bytes.len() as u64)?;
                self.sink.update(*x, *y, layout, pixels.bytes).map_err(picture)
            }
            Call::UpdateMap { rect } => self.show_mapped(member, Some(*rect)),
            Call::ScanoutDmabuf => {
                self.map = None;
                self.card(&[
                    "This machine draws with GL on the graphics card, which is not supported yet.",
                    GL_HINT,
                ]);
                Ok(())
            }
            Call::Disable => {
                self.map = None;
                self.card(&["The machine has switched this screen off."]);
                Ok(())
            }
            Call::MouseSet { visible } => {
                self.cursor_visible = *visible;
                self.show_pointer();
                Ok(())
            }
            Call::CursorDefine { size, hot_spot, bgra } => {
                self.cursor = Some(GuestSink::pointer_image(*size, *hot_spot, bgra).map_err(picture)?);
                self.show_pointer();
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// A pointer that the guest has not defined is the client's own, whether it is said to show or not.
    fn show_pointer(&self) {
        let shape = match &self.cursor {
            None => PointerShape::Default,
            Some(_) if !self.cursor_visible => PointerShape::Hidden,
            Some(shape) => shape.clone(),
        };
        self.sink.set_state(|state| state.pointer = shape);
    }

    /// Copies a changed rectangle out of the shared memory, or all of it if it is new.
    fn show_mapped(&mut self, member: &'static str, rect: Option<[i32; 4]>) -> Result<(), PeerError> {
        // QEMU may have fallen back to pictures in messages; a change of the map is then of no concern.
        let Some(map) = &self.map else {
            return Ok(());
        };
        let size = map.layout.size();
        let picture = |source| PeerError::Picture { member, source };
        self.sink.resize_quietly(size).map_err(picture)?;
        let rect: Rect<Guest> = match rect {
            Some([x, y, width, height]) if !self.is_fresh => self.sink.clip(x, y, width, height).map_err(picture)?,
            _ => size.rect(),
        };
        self.is_fresh = false;
        let rows = MapRows::new(map);
        self.sink.commit(rect, &rows, Point::new(0, 0));
        match rows.into_failure() {
            Some(source) => Err(PeerError::Memory { member, source }),
            None => Ok(()),
        }
    }

    fn card(&mut self, lines: &[&str]) {
        self.sink.card(&self.title, lines);
    }
}

fn layout(member: &'static str, pixels: &Pixels<'_>, available: u64) -> Result<Layout, PeerError> {
    let format = of_pixman(pixels.format).ok_or(PeerError::Format {
        member,
        code: pixels.format,
    })?;
    Layout::new(pixels.width, pixels.height, pixels.stride, format, available)
        .map_err(|source| PeerError::Picture { member, source })
}

fn unknown(message: &Message<'_>) -> Answer {
    Answer::Error {
        name: "org.freedesktop.DBus.Error.UnknownMethod",
        text: format!("no method {}.{} here", message.interface, message.member),
    }
}

const GL_HINT: &str = "Start it without gl=on to see it here.";

const INTROSPECTION: &str = "<!DOCTYPE node PUBLIC \"-//freedesktop//DTD D-BUS Object Introspection 1.0//EN\" \
    \"http://www.freedesktop.org/standards/dbus/1.0/introspect.dtd\"><node><interface \
    name=\"org.qemu.Display1.Listener\"/></node>";

#[cfg(test)]
mod tests;
