//! The library itself: version, result codes, the last error.

use std::ffi::{c_char, c_int};

use super::failure::{explanation, last_error};
use super::ptr::Buffer;
use super::result::aliot_result;
use super::types::{aliot_result_raw, aliot_stage, aliot_stage_raw};

/// Version of the running library, laid out as ALIOT_VERSION_NUMBER.
#[unsafe(no_mangle)]
pub extern "C" fn aliot_version_number() -> u32 {
    const NUMBER: u32 = (decimal(env!("CARGO_PKG_VERSION_MAJOR")) << 16)
        | (decimal(env!("CARGO_PKG_VERSION_MINOR")) << 8)
        | decimal(env!("CARGO_PKG_VERSION_PATCH"));
    NUMBER
}

/// Version of the running library, such as "0.1.0". Static.
#[unsafe(no_mangle)]
pub extern "C" fn aliot_version_string() -> *const c_char {
    concat!(env!("CARGO_PKG_VERSION"), "\0").as_ptr().cast()
}

/// Name of a result, such as "ALIOT_RESULT_TIMEOUT"; "ALIOT_RESULT_?" for a value that this version
/// does not know. Static, never NULL.
#[unsafe(no_mangle)]
pub extern "C" fn aliot_result_name(result: aliot_result_raw) -> *const c_char {
    aliot_result::from_number(result)
        .map_or(c"ALIOT_RESULT_?", |result| result.describe().0)
        .as_ptr()
}

/// One English sentence about a result. Static, never NULL.
#[unsafe(no_mangle)]
pub extern "C" fn aliot_result_text(result: aliot_result_raw) -> *const c_char {
    aliot_result::from_number(result)
        .map_or(c"Unknown to this version of the library.", |result| {
            result.describe().2
        })
        .as_ptr()
}

/// Whether the same operation may succeed later without a change by the application. False for
/// ALIOT_RESULT_OK and for a value that this version does not know.
#[unsafe(no_mangle)]
pub extern "C" fn aliot_result_is_retryable(result: aliot_result_raw) -> bool {
    aliot_result::from_number(result)
        .and_then(|result| result.describe().1)
        .is_some_and(crate::error::ErrorKind::is_retryable)
}

/// Copies the sentence that explains the last failure on this thread into `buffer`.
///
/// It belongs to the last call on this thread that returned aliot_result and is empty after
/// success; other functions leave it alone. It names the argument and its value, or the stage and
/// the cause, and never a secret.
///
/// Returns the length of the whole sentence without the NUL. If that is `capacity` or more, as many
/// whole characters as fit were copied. `buffer` may be NULL if `capacity` is 0.
///
/// # Safety
///
/// `buffer` must be NULL or have room for `capacity` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn aliot_last_error(buffer: *mut c_char, capacity: usize) -> usize {
    // SAFETY: the contract of this function.
    let buffer = unsafe { Buffer::new(buffer, capacity) };
    last_error(|text| {
        buffer.fill_what_fits(text);
        text.len()
    })
}

/// What usually causes the last failure on this thread and what mends it, in the platform's terms;
/// empty where aliot_last_error says all there is.
///
/// For a person, not for branching. Everything else is as with aliot_last_error.
///
/// # Safety
///
/// `buffer` must be NULL or have room for `capacity` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn aliot_last_error_hint(buffer: *mut c_char, capacity: usize) -> usize {
    // SAFETY: the contract of this function.
    let buffer = unsafe { Buffer::new(buffer, capacity) };
    let hint = explanation().hint;
    buffer.fill_what_fits(hint);
    hint.len()
}

/// Where the last failure on this thread happened; ALIOT_STAGE_NONE after success.
#[unsafe(no_mangle)]
pub extern "C" fn aliot_last_error_stage() -> aliot_stage {
    explanation().stage
}

/// The operating system's number of the last failure on this thread, such as ECONNREFUSED; 0 if it
/// did not come from there.
#[unsafe(no_mangle)]
pub extern "C" fn aliot_last_error_os_error() -> c_int {
    explanation().os_error
}

/// The return code of the CONNACK behind the last failure on this thread, 1 or more; 0 if there was
/// none.
#[unsafe(no_mangle)]
pub extern "C" fn aliot_last_error_connack_code() -> u8 {
    explanation().connack_code
}

/// A stage in a word or two, such as "TCP connect"; "?" for a value that this version does not know.
/// Static, never NULL.
#[unsafe(no_mangle)]
pub extern "C" fn aliot_stage_name(stage: aliot_stage_raw) -> *const c_char {
    aliot_stage::from_number(stage)
        .map_or(c"?", aliot_stage::name)
        .as_ptr()
}

/// A version component, at compile time.
const fn decimal(text: &str) -> u32 {
    match u32::from_str_radix(text, 10) {
        Ok(number) => number,
        Err(_) => 0,
    }
}
