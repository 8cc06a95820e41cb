//! Pixman's accessors, found in the program at run time: whoever passes an image has pixman. So this library is not linked
//! to it, and programs in Rust need none.
#![allow(unsafe_code)]

use std::ffi::{CStr, c_int, c_void};
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::sync::OnceLock;

use crate::feed::{Shape, ShapeError};
use crate::memory::{Place, Source};

type Data = unsafe extern "C" fn(*mut c_void) -> *mut u32;
type Number = unsafe extern "C" fn(*mut c_void) -> c_int;
type Code = unsafe extern "C" fn(*mut c_void) -> u32;

struct Accessors {
    data: Data,
    width: Number,
    height: Number,
    stride: Number,
    format: Code,
}

/// Why an image cannot be looked at.
#[derive(Debug, thiserror::Error)]
pub(super) enum ImageError {
    #[error("the program has no pixman")]
    NoPixman,
    #[error("the surface is NULL")]
    Null,
    #[error("the surface has no pixels in memory")]
    NoPixels,
    #[error(transparent)]
    Shape(#[from] ShapeError),
}

/// The pixels of an image that C gave, as they were when it was given.
#[derive(Debug, Clone, Copy)]
pub(super) struct Image {
    pub(super) shape: Shape,
    pixels: *const u8,
    stride: isize,
}

// SAFETY: it is an address only; `store` hands it to the kernel, on whatever thread.
unsafe impl Send for Image {}

impl Image {
    /// Asks pixman for size, format and place of an image.
    ///
    /// # Errors
    /// [`ImageError`].
    ///
    /// # Safety
    /// `image` is NULL or a `pixman_image_t` that lives during the call.
    pub(super) unsafe fn of(image: *mut c_void) -> Result<Self, ImageError> {
        if image.is_null() {
            return Err(ImageError::Null);
        }
        let pixman = accessors().ok_or(ImageError::NoPixman)?;
        // SAFETY: the functions are pixman's with these types, and the image lives, as the caller promises.
        let (pixels, width, height) = unsafe { ((pixman.data)(image), (pixman.width)(image), (pixman.height)(image)) };
        // SAFETY: as above.
        let (stride, format) = unsafe { ((pixman.stride)(image), (pixman.format)(image)) };
        if pixels.is_null() {
            return Err(ImageError::NoPixels);
        }
        let shape = Shape::new(format, width.into(), height.into())?;
        Ok(Self {
            shape,
            pixels: pixels.cast_const().cast(),
            stride: stride as isize,
        })
    }
}

impl Source for Image {
    fn stride(&self) -> isize {
        self.stride
    }

    fn store(&self, at: Place, file: BorrowedFd<'_>, offset: u64) -> io::Result<usize> {
        let from = self
            .pixels
            .wrapping_offset(at.row as isize * self.stride)
            .wrapping_add(at.from);
        // SAFETY: the kernel reads the bytes, whoever writes them meanwhile, and answers EFAULT if there are none.
        let written = unsafe { libc::pwrite(file.as_raw_fd(), from.cast(), at.length, offset as libc::off_t) };
        usize::try_from(written).map_err(|_| io::Error::last_os_error())
    }
}

fn accessors() -> Option<&'static Accessors> {
    static FOUND: OnceLock<Option<Accessors>> = OnceLock::new();
    FOUND.get_or_init(find).as_ref()
}

fn find() -> Option<Accessors> {
    let data = symbol(c"pixman_image_get_data")?;
    let width = symbol(c"pixman_image_get_width")?;
    let height = symbol(c"pixman_image_get_height")?;
    let stride = symbol(c"pixman_image_get_stride")?;
    let format = symbol(c"pixman_image_get_format")?;
    // SAFETY: these are the types of pixman.h since 0.16 (2009), of the functions of these names.
    unsafe {
        Some(Accessors {
            data: std::mem::transmute::<*mut c_void, Data>(data),
            width: std::mem::transmute::<*mut c_void, Number>(width),
            height: std::mem::transmute::<*mut c_void, Number>(height),
            stride: std::mem::transmute::<*mut c_void, Number>(stride),
            format: std::mem::transmute::<*mut c_void, Code>(format),
        })
    }
}

/// A function of the program, or of the pixman that one of its plugins brought.
fn symbol(name: &CStr) -> Option<*mut c_void> {
    // SAFETY: the name ends with a NUL; nothing else is asked of it.
    let found = unsafe { libc::dlsym(libc::RTLD_DEFAULT, name.as_ptr()) };
    if !found.is_null() {
        return Some(found);
    }
    // SAFETY: the same; pixman runs no code that minds being loaded.
    let library = unsafe { libc::dlopen(c"libpixman-1.so.0".as_ptr(), libc::RTLD_NOW | libc::RTLD_LOCAL) };
    if library.is_null() {
        return None;
    }
    // SAFETY: the library stays loaded.
    let found = unsafe { libc::dlsym(library, name.as_ptr()) };
    (!found.is_null()).then_some(found)
}
