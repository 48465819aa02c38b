//! Topics: the platform's names for a device, and matching.

use std::ffi::c_char;

use super::guard::guard;
use super::identity::IDENTITIES;
use super::ptr::{Buffer, Out, str_arg};
use super::result::aliot_result;
use super::types::aliot_identity;
use crate::{Error, Identity, TopicFilter, sys_topic, user_topic};

/// Writes "/<product key>/<device name>/user/<suffix>", a topic of the product's own.
/// The suffixes of a new product are "update", "update/error" and "get".
///
/// # Errors
///
/// ALIOT_RESULT_BUFFER_TOO_SMALL, with nothing written: 129 bytes hold every topic of the platform;
/// ALIOT_RESULT_INVALID_ARGUMENT for a suffix that makes no topic, for a verbatim identity, and for
/// that of a certificate whose names are not known.
///
/// # Safety
///
/// `suffix` must be NULL or NUL-terminated, `buffer` NULL or have room for `capacity` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn aliot_topic_user(
    identity: *const aliot_identity,
    suffix: *const c_char,
    buffer: *mut c_char,
    capacity: usize,
) -> aliot_result {
    // SAFETY: the contract of this function.
    unsafe { write_topic(user_topic, identity, suffix, buffer, capacity) }
}

/// Writes "/sys/<product key>/<device name>/<suffix>", a topic of the platform. A suffix is, for
/// instance, "thing/event/property/post".
///
/// # Errors
///
/// ALIOT_RESULT_BUFFER_TOO_SMALL, with nothing written: 129 bytes hold every topic of the platform;
/// ALIOT_RESULT_INVALID_ARGUMENT for a suffix that makes no topic, for a verbatim identity, and for
/// that of a certificate whose names are not known.
///
/// # Safety
///
/// `suffix` must be NULL or NUL-terminated, `buffer` NULL or have room for `capacity` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn aliot_topic_sys(
    identity: *const aliot_identity,
    suffix: *const c_char,
    buffer: *mut c_char,
    capacity: usize,
) -> aliot_result {
    // SAFETY: the contract of this function.
    unsafe { write_topic(sys_topic, identity, suffix, buffer, capacity) }
}

/// Whether a message published to `topic` reaches a subscription to `filter`.
///
/// Source: MQTT 3.1.1, 4.7.
///
/// # Errors
///
/// ALIOT_RESULT_INVALID_ARGUMENT if `filter` is not a topic filter.
///
/// # Safety
///
/// `filter` and `topic` must be NULL or NUL-terminated, `matches_out` NULL or valid for writing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn aliot_topic_matches(
    filter: *const c_char,
    topic: *const c_char,
    matches_out: *mut bool,
) -> aliot_result {
    guard(|| {
        // SAFETY: the contract of this function.
        let out = unsafe { Out::required("matches_out", matches_out) }?;
        // SAFETY: the contract of this function.
        let filter = TopicFilter::parse(unsafe { str_arg("filter", filter) }?)?;
        // SAFETY: the contract of this function.
        let topic = unsafe { str_arg("topic", topic) }?;
        out.write(filter.matches(topic));
        Ok(())
    })
}

/// # Safety
///
/// As for [`aliot_topic_user`].
unsafe fn write_topic(
    make: fn(&Identity, &str) -> Result<String, Error>,
    identity: *const aliot_identity,
    suffix: *const c_char,
    buffer: *mut c_char,
    capacity: usize,
) -> aliot_result {
    guard(|| {
        let object = IDENTITIES.get(identity)?;
        // SAFETY: the contract of this function.
        let suffix = unsafe { str_arg("suffix", suffix) }?;
        // SAFETY: the contract of this function.
        let buffer = unsafe { Buffer::new(buffer, capacity) };
        buffer.fill(&make(&object.identity, suffix)?)
    })
}
