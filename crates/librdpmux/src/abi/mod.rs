//! The C functions of the old librdpmux, as `include/rdpmux.h` declares them. They work on the one display of the process,
//! as they always did; what they are asked wrongly is told on standard error.
//!
//! Nothing here trusts an order of calls, and no pointer is kept but that of the pixels between two switches, which only
//! the kernel follows. A `MuxDisplay` is a number: it is compared, never followed. `more` is what protocol 6 adds.
#![allow(unsafe_code)]

mod more;
mod pixman;

use std::collections::BTreeMap;
use std::ffi::{CStr, c_char, c_int, c_void};
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rdpmux_wire::{Uuid36, v5};

use crate::bus::Registration;
use crate::event::{Event, Reader, in_old_form};
use crate::feed::FIRST_RATE;
use crate::link::Incoming;
use crate::machine::{Error, Machine};
use crate::{memory, pump, report};
use more::Handler;
use pixman::Image;

/// `InputEventCallbacks` of the header.
#[repr(C)]
#[derive(Debug, Clone, Copy, Default)]
pub struct InputEventCallbacks {
    mux_receive_kb: Option<extern "C" fn(u32, u32)>,
    mux_receive_mouse: Option<extern "C" fn(u32, u32, u32)>,
}

/// What the process shows.
struct State {
    /// The address that C knows it by. Nothing is there.
    token: usize,
    display: Option<Shown>,
    callbacks: InputEventCallbacks,
    handler: Option<Handler>,
}

#[derive(Clone)]
struct Shown {
    machine: Arc<Machine>,
    /// The pixels of each head since its last switch.
    images: BTreeMap<u32, Image>,
    newest: i32,
    /// Of the guest's clipboard.
    offers: u32,
}

static STATE: Mutex<State> = Mutex::new(State {
    token: 0,
    display: None,
    callbacks: InputEventCallbacks {
        mux_receive_kb: None,
        mux_receive_mouse: None,
    },
    handler: None,
});

fn state() -> MutexGuard<'static, State> {
    STATE.lock().unwrap_or_else(PoisonError::into_inner)
}

const NO_DISPLAY: Error = Error::Order("there is no display: mux_init_display_struct comes first");

fn shown() -> Result<Arc<Machine>, Error> {
    state()
        .display
        .as_ref()
        .map(|shown| shown.machine.clone())
        .ok_or(NO_DISPLAY)
}

/// Runs a function's work; an error, or a mistake of ours, is told and becomes `otherwise`.
fn guarded<T, E: fmt::Display>(name: &str, otherwise: T, work: impl FnOnce() -> Result<T, E>) -> T {
    match catch_unwind(AssertUnwindSafe(work)) {
        Ok(Ok(value)) => value,
        Ok(Err(error)) => {
            report::error(format_args!("{name}: {error}"));
            otherwise
        }
        Err(_) => {
            report::error(format_args!("{name}: a mistake in librdpmux itself; please report it"));
            otherwise
        }
    }
}

/// A text that C gave.
///
/// # Safety
/// `text` is NULL or ends with a NUL, and lives as long as the result.
unsafe fn text<'a>(text: *const c_char) -> Result<Option<&'a str>, Error> {
    if text.is_null() {
        return Ok(None);
    }
    // SAFETY: as the caller promises.
    let text = unsafe { CStr::from_ptr(text) };
    text.to_str().map(Some).map_err(|_| Error::Range("a text is not UTF-8"))
}

/// See the header.
///
/// # Safety
/// `uuid` is NULL or ends with a NUL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mux_init_display_struct(uuid: *const c_char) -> *mut c_void {
    guarded("mux_init_display_struct", ptr::null_mut(), || {
        // SAFETY: as the caller promises.
        let uuid = unsafe { text(uuid) }?.unwrap_or_default();
        let uuid: Uuid36 = uuid.parse().map_err(|_| Error::Range(INVALID_UUID))?;
        let what = "a display";
        let machine = Machine::new(uuid).map_err(|error| Error::Io { what, error })?;
        if let Ok(group) = std::env::var("RDPMUX_GROUP") {
            let group = memory::group_number(&group).ok_or(Error::Range("RDPMUX_GROUP names no group"))?;
            machine.set_group(group);
        }
        let mut state = state();
        let display = Shown {
            machine,
            images: BTreeMap::new(),
            newest: v5::VERSION,
            offers: 0,
        };
        // Numbers that are no address of anything, and that no later display has.
        state.token += TOKEN_STEP;
        let token = ptr::without_provenance_mut(state.token);
        let former = state.display.replace(display);
        drop(state);
        if let Some(former) = former {
            former.machine.stop();
            report::error("mux_init_display_struct: the display that was there is ended: there is one per process");
        }
        Ok::<_, Error>(token)
    })
}

/// See the header.
///
/// # Safety
/// The texts are NULL or end with a NUL; `out_path` is NULL or can be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mux_get_socket_path(
    name: *const c_char,
    obj: *const c_char,
    out_path: *mut *mut c_char,
    id: c_int,
    port: u16,
    auth: *const c_char,
) -> bool {
    guarded("mux_get_socket_path", false, || {
        if out_path.is_null() {
            return Err(Error::Range("out_path is NULL"));
        }
        let (machine, newest) = {
            let state = state();
            let shown = state.display.as_ref().ok_or(NO_DISPLAY)?;
            (shown.machine.clone(), shown.newest)
        };
        // SAFETY: as the caller promises.
        let (name, object, auth) = unsafe { (text(name)?, text(obj)?, text(auth)?) };
        let registration = Registration {
            bus: None,
            name: name.ok_or(Error::Range("the daemon's name is NULL"))?.to_owned(),
            object: object.ok_or(Error::Range("the daemon's object is NULL"))?.to_owned(),
            id,
            uuid: machine.uuid.to_string(),
            port,
            auth: auth.unwrap_or_default().to_owned(),
            newest,
        };
        let path = machine.register(registration)?;
        let path = std::ffi::CString::new(path).map_err(|_| Error::Range("the daemon's path has a NUL"))?;
        // SAFETY: the text ends with a NUL; malloc's memory is what the program frees.
        let copy = unsafe { libc::strdup(path.as_ptr()) };
        // SAFETY: not NULL, and writable as the caller promises.
        unsafe { *out_path = copy };
        Ok(!copy.is_null())
    })
}

/// See the header.
///
/// # Safety
/// `path` is NULL or ends with a NUL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mux_connect(path: *const c_char) -> bool {
    guarded("mux_connect", false, || {
        let machine = shown()?;
        // SAFETY: as the caller promises.
        let path = unsafe { text(path) }?.ok_or(Error::Range("the path is NULL"))?;
        machine.connect(path).map(|()| true)
    })
}

/// See the header.
#[unsafe(no_mangle)]
pub extern "C" fn mux_register_event_callbacks(callbacks: InputEventCallbacks) {
    state().callbacks = callbacks;
}

/// See the header.
#[unsafe(no_mangle)]
pub extern "C" fn mux_mainloop(_arg: *mut c_void) -> *mut c_void {
    guarded("mux_mainloop", (), || {
        let machine = shown()?;
        let mut reader = Reader::default();
        pump::run(&machine, &mut |incoming| deliver(&mut reader, incoming))
    });
    ptr::null_mut()
}

/// See the header.
#[unsafe(no_mangle)]
pub extern "C" fn mux_out_loop() {}

/// See the header.
#[unsafe(no_mangle)]
pub extern "C" fn mux_display_buffer_update_loop(_arg: *mut c_void) -> *mut c_void {
    ptr::null_mut()
}

/// See the header.
#[unsafe(no_mangle)]
pub extern "C" fn mux_display_update(x: c_int, y: c_int, w: c_int, h: c_int) {
    guarded("mux_display_update", (), || update(0, [x, y, w, h]));
}

/// See the header.
///
/// # Safety
/// `surface` is NULL or a `pixman_image_t`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mux_display_switch(surface: *mut c_void) {
    // SAFETY: as the caller promises.
    guarded("mux_display_switch", (), || unsafe { switch(0, surface) });
}

/// See the header.
#[unsafe(no_mangle)]
pub extern "C" fn mux_display_refresh() -> u32 {
    guarded("mux_display_refresh", FIRST_RATE, || refresh(0))
}

/// See the header.
#[unsafe(no_mangle)]
pub extern "C" fn mux_cleanup(display: *mut c_void) {
    guarded("mux_cleanup", (), || {
        let mut state = state();
        if !display.is_null() && display.addr() != state.token {
            return Err(Error::Range("this is not the display, or not any more"));
        }
        let ended = state.display.take().ok_or(NO_DISPLAY)?;
        state.callbacks = InputEventCallbacks::default();
        state.handler = None;
        drop(state);
        ended.machine.stop();
        Ok(())
    });
}

/// See the header.
#[unsafe(no_mangle)]
pub extern "C" fn mux_set_memory_group(gid: u32) -> bool {
    guarded("mux_set_memory_group", false, || {
        shown()?.set_group(gid);
        Ok::<_, Error>(true)
    })
}

fn update(head: u32, area: [c_int; 4]) -> Result<(), Error> {
    if area[2] < 0 || area[3] < 0 {
        return Err(Error::Range("width and height are not negative"));
    }
    shown()?.damage(head, area)
}

/// # Safety
/// `surface` is NULL or a `pixman_image_t`.
unsafe fn switch(head: u32, surface: *mut c_void) -> Result<(), String> {
    let machine = shown().map_err(|error| error.to_string())?;
    // SAFETY: as the caller promises.
    let image = unsafe { Image::of(surface) }.map_err(|error| error.to_string())?;
    machine.switch(head, image.shape).map_err(|error| error.to_string())?;
    if let Some(shown) = state().display.as_mut() {
        shown.images.insert(head, image);
    }
    machine
        .refresh(head, &image)
        .map(drop)
        .map_err(|error| error.to_string())
}

fn refresh(head: u32) -> Result<u32, Error> {
    let (machine, image) = {
        let state = state();
        let shown = state.display.as_ref().ok_or(NO_DISPLAY)?;
        let image = shown.images.get(&head).copied();
        (shown.machine.clone(), image)
    };
    let image = image.ok_or(Error::Order("there is no picture yet: mux_display_switch comes first"))?;
    machine.refresh(head, &image)
}

/// Calls the program, with no lock held: it may call us.
fn deliver(reader: &mut Reader, incoming: Incoming) {
    let (callbacks, handler) = {
        let state = state();
        (state.callbacks, state.handler)
    };
    if let (None, Incoming::Five(message)) = (&handler, &incoming) {
        // As it came: old programs compare whole values.
        return call_back(callbacks, *message);
    }
    let mut events = Vec::new();
    match incoming {
        Incoming::Five(message) => reader.take_5(message, &mut events),
        Incoming::Six(message) => reader.take_6(message, &mut events),
    }
    for event in &events {
        match handler {
            Some(handler) => handler.call(event),
            None => call_back_all(callbacks, event),
        }
    }
}

fn call_back_all(callbacks: InputEventCallbacks, event: &Event) {
    for message in in_old_form(event) {
        call_back(callbacks, message);
    }
}

fn call_back(callbacks: InputEventCallbacks, message: v5::ToGuest) {
    match (message, callbacks) {
        (
            v5::ToGuest::Keyboard { code, flags },
            InputEventCallbacks {
                mux_receive_kb: Some(call),
                ..
            },
        ) => {
            call(code.into(), flags.into());
        }
        (
            v5::ToGuest::Mouse { x, y, flags },
            InputEventCallbacks {
                mux_receive_mouse: Some(call),
                ..
            },
        ) => {
            call(x.into(), y.into(), flags.into());
        }
        _ => {}
    }
}

/// Never an address: below the first page.
const TOKEN_STEP: usize = 1;

const INVALID_UUID: &str = "the uuid is not one: it has 36 characters, 8-4-4-4-12 hexadecimal digits";
