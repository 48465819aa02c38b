//! The signature, for firmware that needs it alone.

use std::ffi::{c_char, c_void};

use super::guard::guard;
use super::ptr::{Buffer, bytes_arg};
use super::result::aliot_result;
use super::types::{aliot_sign_method_raw, sign_method};
use crate::{HexCase, sign};

/// Writes the signature of `content` under `key` in upper case hexadecimal digits.
///
/// 65 bytes hold the digits of every method and the NUL. ALIOT_SIGN_METHOD_SHA256 is the SHA-256 of
/// `content` followed by `key`; the other methods are HMACs.
///
/// # Errors
///
/// ALIOT_RESULT_BUFFER_TOO_SMALL, with nothing written; ALIOT_RESULT_INVALID_ARGUMENT if `method`
/// is not a value of aliot_sign_method.
///
/// # Safety
///
/// `key` and `content` must be NULL or point to as many bytes as the length after them says,
/// `buffer` must be NULL or have room for `capacity` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn aliot_sign(
    method: aliot_sign_method_raw,
    key: *const c_void,
    key_len: usize,
    content: *const c_void,
    content_len: usize,
    buffer: *mut c_char,
    capacity: usize,
) -> aliot_result {
    guard(|| {
        let method = sign_method(method)?;
        // SAFETY: the contract of this function.
        let key = unsafe { bytes_arg("key", key, key_len) }?;
        // SAFETY: the contract of this function.
        let content = unsafe { bytes_arg("content", content, content_len) }?;
        // SAFETY: the contract of this function.
        let buffer = unsafe { Buffer::new(buffer, capacity) };
        buffer.fill(sign(method, HexCase::Upper, key, content).expose())
    })
}
