//! Config: how the client behaves on the platform.

use std::ffi::c_char;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::endpoint::ENDPOINTS;
use super::failure::Failure;
use super::guard::{guard, guard_or};
use super::handle::Registry;
use super::identity::IDENTITIES;
use super::ptr::{Out, optional_str_arg, str_arg};
use super::result::aliot_result;
use super::types::{
    aliot_config, aliot_endpoint, aliot_hex_case_raw, aliot_identity, aliot_sign_method_raw,
    hex_case, sign_method,
};
use crate::Config;

pub(super) static CONFIGS: Registry<Mutex<Config>> = Registry::new("config");

/// Makes a config with the platform's limits and the defaults below. It keeps copies of `identity`
/// and `endpoint` as they are now.
///
/// # Errors
///
/// ALIOT_RESULT_INVALID_ARGUMENT if identity and endpoint make no host name, or if the identity
/// proves itself by a certificate and the endpoint has no client certificate or no TLS;
/// ALIOT_RESULT_TLS_CONFIG if a TLS setting of the endpoint failed.
///
/// # Safety
///
/// `config_out` must be NULL or valid for writing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn aliot_config_create(
    identity: *const aliot_identity,
    endpoint: *const aliot_endpoint,
    config_out: *mut *mut aliot_config,
) -> aliot_result {
    guard(|| {
        // SAFETY: the contract of this function.
        let out = unsafe { Out::required("config_out", config_out) }?;
        let identity = IDENTITIES.get(identity)?;
        let endpoint = ENDPOINTS.get(endpoint)?;
        let endpoint = endpoint.lock().unwrap_or_else(PoisonError::into_inner);
        let config = Config::new(&identity.identity, &endpoint)?;
        out.write(CONFIGS.insert(Arc::new(Mutex::new(config)))?);
        Ok(())
    })
}

/// Ends the life of the handle. Clients made from the config keep their copy. NULL and a destroyed
/// handle do nothing.
#[unsafe(no_mangle)]
pub extern "C" fn aliot_config_destroy(config: *mut aliot_config) {
    guard_or((), || {
        drop(CONFIGS.remove(config));
        Ok(())
    });
}

/// How the password is signed. Default ALIOT_SIGN_METHOD_HMAC_SHA256. Means nothing for an identity
/// with a token or a verbatim one.
///
/// # Errors
///
/// ALIOT_RESULT_INVALID_ARGUMENT if `method` is not a value of aliot_sign_method.
#[unsafe(no_mangle)]
pub extern "C" fn aliot_config_set_sign_method(
    config: *mut aliot_config,
    method: aliot_sign_method_raw,
) -> aliot_result {
    change(config, |config| {
        config.set_sign_method(sign_method(method)?);
        Ok(())
    })
}

/// How the digits of the signature are written. Default ALIOT_HEX_CASE_UPPER.
///
/// # Errors
///
/// ALIOT_RESULT_INVALID_ARGUMENT if `hex_case` is not a value of aliot_hex_case.
#[unsafe(no_mangle)]
pub extern "C" fn aliot_config_set_hex_case(
    config: *mut aliot_config,
    hex_case: aliot_hex_case_raw,
) -> aliot_result {
    change(config, |config| {
        config.set_hex_case(self::hex_case(hex_case)?);
        Ok(())
    })
}

/// The part of the MQTT client id before '|': 1 to 64 characters without '|', ',', '=' and control
/// characters. Default: "<product key>.<device name>".
///
/// # Errors
///
/// ALIOT_RESULT_INVALID_ARGUMENT for another text; ALIOT_RESULT_INVALID_STATE if the identity
/// brings its client id.
///
/// # Safety
///
/// `client_id` must be NULL or NUL-terminated.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn aliot_config_set_client_id(
    config: *mut aliot_config,
    client_id: *const c_char,
) -> aliot_result {
    change(config, |config| {
        // SAFETY: the contract of this function.
        let client_id = unsafe { str_arg("client_id", client_id) }?;
        Ok(config.set_client_id(client_id)?)
    })
}

/// Whether the client id is part of what is signed. Default true; the platform takes either.
#[unsafe(no_mangle)]
pub extern "C" fn aliot_config_set_sign_client_id(
    config: *mut aliot_config,
    signed_too: bool,
) -> aliot_result {
    change(config, |config| {
        config.set_sign_client_id(signed_too);
        Ok(())
    })
}

/// The timestamp that is sent and signed: 1 to 20 decimal digits; NULL leaves it out. Default
/// "2524608000000", a constant, so that a device needs no clock.
///
/// # Errors
///
/// ALIOT_RESULT_INVALID_ARGUMENT for another text.
///
/// # Safety
///
/// `timestamp` must be NULL or NUL-terminated.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn aliot_config_set_timestamp(
    config: *mut aliot_config,
    timestamp: *const c_char,
) -> aliot_result {
    change(config, |config| {
        // SAFETY: the contract of this function.
        let timestamp = unsafe { optional_str_arg("timestamp", timestamp) }?;
        Ok(config.set_timestamp(timestamp)?)
    })
}

/// Adds "key=value" between the '|' of the MQTT client id, after the library's own parameters and
/// in the order of the calls. It is not signed.
///
/// # Errors
///
/// ALIOT_RESULT_INVALID_ARGUMENT if `key` is empty, was added before or is one of the library's
/// own, if either text contains '|', ',', '=' or a control character, or if the client id would
/// exceed 65535 bytes; ALIOT_RESULT_INVALID_STATE for a verbatim identity.
///
/// # Safety
///
/// `key` and `value` must be NULL or NUL-terminated.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn aliot_config_add_client_param(
    config: *mut aliot_config,
    key: *const c_char,
    value: *const c_char,
) -> aliot_result {
    change(config, |config| {
        // SAFETY: the contract of this function.
        let key = unsafe { str_arg("key", key) }?;
        // SAFETY: the contract of this function.
        let value = unsafe { str_arg("value", value) }?;
        Ok(config.add_client_param(key, value)?)
    })
}

/// Whether the platform is asked to say when another connection with the same identity replaces
/// this one ("ext=2" in the client id). Default true.
#[unsafe(no_mangle)]
pub extern "C" fn aliot_config_set_kick_notice(
    config: *mut aliot_config,
    wanted: bool,
) -> aliot_result {
    change(config, |config| {
        config.set_kick_notice(wanted);
        Ok(())
    })
}

/// Whether the platform forgets the session at each connect, so that commands sent during an outage
/// do not run after it. Default true. What the library accepted is kept either way.
#[unsafe(no_mangle)]
pub extern "C" fn aliot_config_set_clean_session(
    config: *mut aliot_config,
    clean: bool,
) -> aliot_result {
    change(config, |config| {
        config.set_clean_session(clean);
        Ok(())
    })
}

/// Keep-alive interval in seconds: 30..1200, default 300. On the private profile 1..65535, or 0 for
/// none.
///
/// Source: "Establish MQTT connections", keep-alive.
///
/// # Errors
///
/// ALIOT_RESULT_INVALID_ARGUMENT outside that range.
#[unsafe(no_mangle)]
pub extern "C" fn aliot_config_set_keep_alive_s(
    config: *mut aliot_config,
    seconds: u16,
) -> aliot_result {
    change(config, |config| Ok(config.set_keep_alive_s(seconds)?))
}

/// How long a ping may stay unanswered before the link counts as dead: 100..120000, default 10000.
///
/// # Errors
///
/// ALIOT_RESULT_INVALID_ARGUMENT outside that range.
#[unsafe(no_mangle)]
pub extern "C" fn aliot_config_set_ping_timeout_ms(
    config: *mut aliot_config,
    timeout_ms: u32,
) -> aliot_result {
    change(config, |config| {
        Ok(config.set_ping_timeout(milliseconds(timeout_ms))?)
    })
}

/// How long nothing may be acknowledged, while something is owed, before the link counts as dead:
/// 1000..3600000, default 30000.
///
/// # Errors
///
/// ALIOT_RESULT_INVALID_ARGUMENT outside that range.
#[unsafe(no_mangle)]
pub extern "C" fn aliot_config_set_ack_timeout_ms(
    config: *mut aliot_config,
    timeout_ms: u32,
) -> aliot_result {
    change(config, |config| {
        Ok(config.set_ack_timeout(milliseconds(timeout_ms))?)
    })
}

/// Delay before the second attempt and longest delay: 1000..3600000, default 1000 and 120000; from
/// 1 on the private profile. If both are 0, the client does not reconnect: it stops after an attempt
/// that failed and after a connection that ended.
///
/// The delay doubles with each failure, half of it is random, and it starts over once a connection
/// has held for 60 seconds. Refused credentials wait the longest delay at once, less up to a quarter
/// at random.
///
/// # Errors
///
/// ALIOT_RESULT_INVALID_ARGUMENT outside that range or if `min_ms` exceeds `max_ms`.
#[unsafe(no_mangle)]
pub extern "C" fn aliot_config_set_reconnect_ms(
    config: *mut aliot_config,
    min_ms: u32,
    max_ms: u32,
) -> aliot_result {
    change(config, |config| {
        Ok(config.set_reconnect(milliseconds(min_ms), milliseconds(max_ms))?)
    })
}

/// Attempts to connect in any minute, counted per identity and process: 1..5, default 5. On the
/// private profile 1..60000, or 0 for any number, which is the default there. An attempt that ends
/// before TCP begins (a clock that is not set, a file that cannot be read, a name that is not found)
/// does not count.
///
/// Source: the platform's limits, connects per device and minute.
///
/// # Errors
///
/// ALIOT_RESULT_INVALID_ARGUMENT outside that range.
#[unsafe(no_mangle)]
pub extern "C" fn aliot_config_set_connects_per_minute(
    config: *mut aliot_config,
    connects: u32,
) -> aliot_result {
    change(config, |config| {
        Ok(config.set_connects_per_minute((connects != 0).then_some(connects))?)
    })
}

/// Most operations and bytes that wait for the platform: at least 1 and 262288, which hold one
/// message of the largest size. Publishing beyond is ALIOT_RESULT_OUTBOX_FULL. Default 1000 and
/// 4194304. On the private profile the least bytes follow its limits, or else the payload limit
/// follows the bytes.
///
/// # Errors
///
/// ALIOT_RESULT_INVALID_ARGUMENT if either does not hold one message of the largest size.
#[unsafe(no_mangle)]
pub extern "C" fn aliot_config_set_outbox_limit(
    config: *mut aliot_config,
    operations: u32,
    bytes: usize,
) -> aliot_result {
    change(config, |config| {
        Ok(config.set_outbox_limit(operations, bytes)?)
    })
}

/// Most QoS 1 messages under way to the platform at a time: 1..16384, default 100.
///
/// # Errors
///
/// ALIOT_RESULT_INVALID_ARGUMENT outside that range.
#[unsafe(no_mangle)]
pub extern "C" fn aliot_config_set_window(
    config: *mut aliot_config,
    messages: u16,
) -> aliot_result {
    change(config, |config| Ok(config.set_window(messages)?))
}

/// Most QoS 1 messages, and bytes of all messages, that wait for slow callbacks: at least 1 and
/// 262288, which hold one message of the largest size. Default 100 and 4194304. On the private
/// profile the least bytes follow its limits, or else the payload limit follows the bytes.
///
/// Beyond the bytes, QoS 0 messages are dropped and counted. Beyond either, a QoS 1 message waits,
/// and nothing is read until callbacks return, which slows the platform down; if none returns for
/// 5 s, the connection is closed with ALIOT_RESULT_INBOX_OVERFLOW. What was not acknowledged by then
/// the platform delivers again if the session is kept (aliot_config_set_clean_session); else it is
/// lost.
///
/// # Errors
///
/// ALIOT_RESULT_INVALID_ARGUMENT if either does not hold one message of the largest size.
#[unsafe(no_mangle)]
pub extern "C" fn aliot_config_set_inbox_limit(
    config: *mut aliot_config,
    messages: u32,
    bytes: usize,
) -> aliot_result {
    change(
        config,
        |config| Ok(config.set_inbox_limit(messages, bytes)?),
    )
}

pub(super) fn change(
    config: *mut aliot_config,
    body: impl FnOnce(&mut Config) -> Result<(), Failure>,
) -> aliot_result {
    guard(|| {
        let config = CONFIGS.get(config)?;
        body(&mut config.lock().unwrap_or_else(PoisonError::into_inner))
    })
}

pub(super) fn milliseconds(number: u32) -> Duration {
    Duration::from_millis(number.into())
}
