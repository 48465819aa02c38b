//! The signature: made for firmware that needs it alone, and explained where another one is wrong.

use std::ffi::{c_char, c_void};
use std::sync::PoisonError;

use super::endpoint::ENDPOINTS;
use super::guard::guard;
use super::identity::IDENTITIES;
use super::ptr::{Buffer, Out, bytes_arg, optional_str_arg, str_arg};
use super::result::aliot_result;
use super::types::{
    aliot_endpoint, aliot_identity, aliot_sign_finding, aliot_sign_method_raw, sign_method,
};
use crate::{HexCase, Submitted, check_signature, sign};

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

/// Says what keeps a client id, user name and password that someone else made from signing the
/// device in, and which change mends it.
///
/// `product_secret` may be NULL; if given, its use in place of the device secret is recognised.
/// `endpoint` may be NULL; if given, securemode must fit it. The most important mistake is stored
/// through `finding_out`. `buffer` receives all of them in words, each with its remedy, as far as
/// `capacity` allows: 2048 bytes hold any. It may be NULL if `capacity` is 0. No text contains a
/// secret or anything else of what was submitted. Uses no network.
///
/// # Errors
///
/// ALIOT_RESULT_INVALID_ARGUMENT for an identity that does not sign: with a device token, with a
/// certificate, or a verbatim one; ALIOT_RESULT_INVALID_STATE if the library was built without this
/// check.
///
/// # Safety
///
/// `product_secret`, `client_id`, `username` and `password` must be NULL or NUL-terminated,
/// `finding_out` NULL or valid for writing, `buffer` NULL or have room for `capacity` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn aliot_sign_check(
    identity: *const aliot_identity,
    product_secret: *const c_char,
    endpoint: *const aliot_endpoint,
    client_id: *const c_char,
    username: *const c_char,
    password: *const c_char,
    finding_out: *mut aliot_sign_finding,
    buffer: *mut c_char,
    capacity: usize,
) -> aliot_result {
    guard(|| {
        // SAFETY: the contract of this function.
        let out = unsafe { Out::required("finding_out", finding_out) }?;
        let identity = IDENTITIES.get(identity)?;
        // SAFETY: the contract of this function.
        let product_secret = unsafe { optional_str_arg("product_secret", product_secret) }?;
        let plaintext = if endpoint.is_null() {
            None
        } else {
            let endpoint = ENDPOINTS.get(endpoint)?;
            let endpoint = endpoint.lock().unwrap_or_else(PoisonError::into_inner);
            Some(endpoint.is_plaintext())
        };
        let submitted = Submitted {
            // SAFETY: the contract of this function.
            client_id: unsafe { str_arg("client_id", client_id) }?,
            // SAFETY: the contract of this function.
            username: unsafe { str_arg("username", username) }?,
            // SAFETY: the contract of this function.
            password: unsafe { str_arg("password", password) }?,
        };
        let (finding, text) =
            check_signature(&identity.identity, product_secret, submitted, plaintext)?;
        // SAFETY: the contract of this function.
        unsafe { Buffer::new(buffer, capacity) }.fill_what_fits(&text);
        out.write(finding.into());
        Ok(())
    })
}
