//! The only file that turns pointers of C into references and back.

use std::ffi::{CStr, c_char, c_void};
use std::ptr::NonNull;
use std::slice;

use super::failure::Failure;

/// Reads a NUL-terminated text.
///
/// # Safety
///
/// `text` must be NULL or NUL-terminated, and unchanged for the lifetime `'a`.
pub(super) unsafe fn str_arg<'a>(name: &str, text: *const c_char) -> Result<&'a str, Failure> {
    if text.is_null() {
        return Err(Failure::null(name));
    }
    // SAFETY: the contract of this function.
    let text = unsafe { CStr::from_ptr(text) };
    text.to_str()
        .map_err(|error| Failure::not_utf8(name, error.valid_up_to()))
}

/// Reads a NUL-terminated text that may be left out.
///
/// # Safety
///
/// As for [`str_arg`].
pub(super) unsafe fn optional_str_arg<'a>(
    name: &str,
    text: *const c_char,
) -> Result<Option<&'a str>, Failure> {
    if text.is_null() {
        return Ok(None);
    }
    // SAFETY: the contract of this function.
    unsafe { str_arg(name, text) }.map(Some)
}

/// Reads `len` bytes. NULL with length 0 is the empty slice.
///
/// # Safety
///
/// `bytes` must be NULL or point to `len` bytes that are unchanged for the lifetime `'a`.
pub(super) unsafe fn bytes_arg<'a>(
    name: &str,
    bytes: *const c_void,
    len: usize,
) -> Result<&'a [u8], Failure> {
    if len == 0 {
        return Ok(&[]);
    }
    if bytes.is_null() {
        return Err(Failure::null(name));
    }
    if isize::try_from(len).is_err() {
        let problem = format!("is {len}: no object in memory is that large");
        return Err(Failure::invalid(&format!("{name}_len"), problem));
    }
    // SAFETY: the contract of this function; the length was checked above.
    Ok(unsafe { slice::from_raw_parts(bytes.cast(), len) })
}

/// An output parameter: checked before anything is done, written last.
pub(super) struct Out<T>(NonNull<T>);

impl<T> Out<T> {
    /// # Safety
    ///
    /// `place` must be NULL or valid for writing a `T` until the exported function returns.
    pub(super) unsafe fn required(name: &str, place: *mut T) -> Result<Self, Failure> {
        NonNull::new(place)
            .map(Self)
            .ok_or_else(|| Failure::null(name))
    }

    /// `None` if C does not want the value.
    ///
    /// # Safety
    ///
    /// As for [`Out::required`].
    pub(super) unsafe fn optional(place: *mut T) -> Option<Self> {
        NonNull::new(place).map(Self)
    }

    /// Stores the value.
    pub(super) fn write(self, value: T) {
        // SAFETY: the contract of `required`. What was there is not dropped: it belongs to C.
        unsafe { self.0.write(value) }
    }
}

/// Room for a text that C wants copied.
pub(super) struct Buffer {
    start: *mut u8,
    capacity: usize,
}

impl Buffer {
    /// # Safety
    ///
    /// `start` must be NULL or valid for writing `capacity` bytes until the exported function
    /// returns.
    pub(super) unsafe fn new(start: *mut c_char, capacity: usize) -> Self {
        Self {
            start: start.cast(),
            capacity,
        }
    }

    /// Copies all of `text` and a NUL, or nothing.
    pub(super) fn fill(&self, text: &str) -> Result<(), Failure> {
        if self.start.is_null() {
            return Err(Failure::null("buffer"));
        }
        if text.len() >= self.capacity {
            return Err(Failure::too_small(self.capacity, text.len() + 1));
        }
        self.copy(text);
        Ok(())
    }

    /// Copies as many whole characters of `text` as fit, and a NUL.
    pub(super) fn fill_what_fits(&self, text: &str) {
        let Some(room) = self.capacity.checked_sub(1) else {
            return;
        };
        if !self.start.is_null() {
            let end = text.floor_char_boundary(room);
            self.copy(text.get(..end).unwrap_or_default());
        }
    }

    fn copy(&self, text: &str) {
        // SAFETY: both callers checked that text and NUL fit. C's buffer cannot overlap a `&str`.
        unsafe {
            self.start
                .copy_from_nonoverlapping(text.as_ptr(), text.len());
        }
        // SAFETY: as above.
        let end = unsafe { self.start.add(text.len()) };
        // SAFETY: as above.
        unsafe { end.write(0) }
    }
}
