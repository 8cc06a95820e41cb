//! The two things that the bench says to X servers itself: key presses into a client's screen, at a known moment, and the
//! bench's pictures onto a screen that servers without a guest show.

use anyhow::{Context, Result};
use bench_pictures::{Area, HEIGHT, STRIDE, WIDTH};
use x11rb::connection::Connection;
use x11rb::protocol::Event;
use x11rb::protocol::randr::{ConnectionExt as _, MonitorInfo};
use x11rb::protocol::xproto::{
    ConnectionExt, CreateGCAux, CreateWindowAux, EventMask, Gcontext, ImageFormat, KEY_PRESS_EVENT, KEY_RELEASE_EVENT,
    Window, WindowClass,
};
use x11rb::protocol::xtest::ConnectionExt as _;
use x11rb::rust_connection::RustConnection;
use x11rb::wrapper::ConnectionExt as _;

/// A keyboard at an X server.
pub struct Keyboard {
    connection: RustConnection,
    root: Window,
}

/// Key code of the letter A.
const LETTER: u8 = 38;

impl Keyboard {
    /// At the server called `display`.
    ///
    /// # Errors
    /// When it is gone.
    pub fn at(display: &str) -> Result<Self> {
        let (connection, root) = connect(display)?;
        Ok(Self { connection, root })
    }

    /// Presses and releases a letter; returns when the X server has taken it.
    ///
    /// # Errors
    /// When the server is gone.
    pub fn tap(&self) -> Result<()> {
        for kind in [KEY_PRESS_EVENT, KEY_RELEASE_EVENT] {
            self.connection
                .xtest_fake_input(kind, LETTER, x11rb::CURRENT_TIME, self.root, 0, 0, 0)?;
        }
        Ok(self.connection.sync()?)
    }
}

/// Makes monitors of a screen: left, top, width and height in pixels, the primary one first. Clients that ask for
/// monitors (RandR 1.5) see these, as if they stood side by side on a desk.
///
/// # Errors
/// When the server is gone or knows no such monitors.
pub fn split(display: &str, monitors: &[[u16; 4]]) -> Result<()> {
    let (connection, root) = connect(display)?;
    let outputs = connection.randr_get_screen_resources(root)?.reply()?.outputs;
    for (index, [x, y, width, height]) in monitors.iter().copied().enumerate() {
        let name = format!("MONITOR-{index}");
        let name = connection.intern_atom(false, name.as_bytes())?.reply()?.atom;
        let monitor = MonitorInfo {
            name,
            primary: index == 0,
            automatic: false,
            x: x.cast_signed(),
            y: y.cast_signed(),
            width,
            height,
            width_in_millimeters: u32::from(width) * 254 / 960,
            height_in_millimeters: u32::from(height) * 254 / 960,
            // The screen's one output is the primary monitor's; else it would be a monitor of its own.
            outputs: outputs.iter().copied().take(usize::from(index == 0)).collect(),
        };
        connection.randr_set_monitor(root, monitor)?.check()?;
    }
    Ok(())
}

/// A window over the whole screen that shows the bench's pictures.
pub struct Canvas {
    connection: RustConnection,
    window: Window,
    context: Gcontext,
}

impl Canvas {
    /// On the server called `display`.
    ///
    /// # Errors
    /// When it is gone or has another depth than 24.
    pub fn on(display: &str) -> Result<Self> {
        let (connection, root) = connect(display)?;
        let (window, context) = (connection.generate_id()?, connection.generate_id()?);
        connection.create_window(
            24,
            window,
            root,
            0,
            0,
            WIDTH as u16,
            HEIGHT as u16,
            0,
            WindowClass::INPUT_OUTPUT,
            x11rb::COPY_FROM_PARENT,
            &CreateWindowAux::new()
                .override_redirect(1)
                .event_mask(EventMask::KEY_PRESS),
        )?;
        connection.create_gc(context, window, &CreateGCAux::new().graphics_exposures(0))?;
        connection.map_window(window)?;
        connection.sync()?;
        Ok(Self {
            connection,
            window,
            context,
        })
    }

    /// Shows `area` of a picture; returns when the server has it.
    ///
    /// # Errors
    /// When the server is gone.
    pub fn show(&self, picture: &[u8], area: Area) -> Result<()> {
        let rows = (area.y..area.y + area.height).map(|y| &picture[y * STRIDE + area.x * 4..][..area.width * 4]);
        let bytes: Vec<u8> = rows.flatten().copied().collect();
        self.connection.put_image(
            ImageFormat::Z_PIXMAP,
            self.window,
            self.context,
            area.width as u16,
            area.height as u16,
            area.x as i16,
            area.y as i16,
            0,
            24,
            &bytes,
        )?;
        Ok(self.connection.sync()?)
    }

    /// Number of keys pressed since the last question.
    ///
    /// # Errors
    /// When the server is gone.
    pub fn keys(&self) -> Result<usize> {
        let mut count = 0;
        while let Some(event) = self.connection.poll_for_event()? {
            count += usize::from(matches!(event, Event::KeyPress(_)));
        }
        Ok(count)
    }
}

fn connect(display: &str) -> Result<(RustConnection, Window)> {
    let (connection, screen) =
        x11rb::connect(Some(display)).with_context(|| format!("cannot connect to X server {display}"))?;
    let root = connection.setup().roots.get(screen).context("no screen")?.root;
    Ok((connection, root))
}
