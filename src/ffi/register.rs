//! Registration: from the product's secret to an identity.

use std::ffi::{c_char, c_void};
use std::sync::{Arc, Mutex, PoisonError};

use super::callback::UserData;
use super::choices::{
    aliot_registration_kind_raw, aliot_registration_mode_raw, registration_kind, registration_mode,
};
use super::config::milliseconds;
use super::endpoint::ENDPOINTS;
use super::events::{
    aliot_registration_cb, aliot_registration_end, aliot_release_cb, aliot_store_cb,
};
use super::failure::{Failure, code_of};
use super::guard::{guard, guard_or};
use super::handle::Registry;
use super::identity::{lend_for_call, publish};
use super::ptr::{Out, optional_str_arg, str_arg};
use super::result::aliot_result;
use super::runtime::RUNTIMES;
use super::text::CText;
use super::types::{
    aliot_endpoint, aliot_identity, aliot_registration, aliot_runtime, aliot_sign_method_raw,
    aliot_stage, sign_method,
};
use crate::{Error, Registration, RegistrationHandler, Runtime};

static REGISTRATIONS: Registry<Mutex<Registration>> = Registry::new("registration");

/// Registers a device and blocks until the platform has answered: the short form of
/// aliot_registration_create and aliot_registration_run, which says how long `timeout_ms` is.
///
/// The platform refuses a second registration once the device has connected: save the identity,
/// with aliot_identity_save, before it is used.
///
/// # Errors
///
/// As aliot_registration_create and aliot_registration_run.
///
/// # Safety
///
/// The texts must be NULL or NUL-terminated, `identity_out` NULL or valid for writing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn aliot_identity_register(
    endpoint: *const aliot_endpoint,
    product_key: *const c_char,
    device_name: *const c_char,
    product_secret: *const c_char,
    kind: aliot_registration_kind_raw,
    timeout_ms: u32,
    identity_out: *mut *mut aliot_identity,
) -> aliot_result {
    guard(|| {
        // SAFETY: the contract of this function.
        let out = unsafe { Out::required("identity_out", identity_out) }?;
        // SAFETY: the contract of this function.
        let registration =
            unsafe { read(endpoint, product_key, device_name, product_secret, kind) }?;
        out.write(publish(
            registration.run(milliseconds(timeout_ms), |_| true)?,
        )?);
        Ok(())
    })
}

/// Describes the registration of a device that knows its product's secret and not its own.
///
/// Product key and device name are as for aliot_identity_create. `product_secret` is the product's,
/// shown in the console: 1 to 64 bytes without control characters. `endpoint` is copied.
///
/// # Errors
///
/// ALIOT_RESULT_INVALID_ARGUMENT names the argument, never the secret, and refuses an endpoint
/// without TLS; ALIOT_RESULT_TLS_CONFIG if a TLS setting of the endpoint has failed;
/// ALIOT_RESULT_INVALID_STATE if the library was built without registration.
///
/// # Safety
///
/// The texts must be NULL or NUL-terminated, `registration_out` NULL or valid for writing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn aliot_registration_create(
    endpoint: *const aliot_endpoint,
    product_key: *const c_char,
    device_name: *const c_char,
    product_secret: *const c_char,
    kind: aliot_registration_kind_raw,
    registration_out: *mut *mut aliot_registration,
) -> aliot_result {
    guard(|| {
        // SAFETY: the contract of this function.
        let out = unsafe { Out::required("registration_out", registration_out) }?;
        // SAFETY: the contract of this function.
        let registration =
            unsafe { read(endpoint, product_key, device_name, product_secret, kind) }?;
        out.write(REGISTRATIONS.insert(Arc::new(Mutex::new(registration)))?);
        Ok(())
    })
}

/// Ends the life of the handle and overwrites the product secret. A registration under way is not
/// touched. NULL and a destroyed handle do nothing.
#[unsafe(no_mangle)]
pub extern "C" fn aliot_registration_destroy(registration: *mut aliot_registration) {
    guard_or((), || {
        drop(REGISTRATIONS.remove(registration));
        Ok(())
    });
}

/// Signs with `method`. Default ALIOT_SIGN_METHOD_HMAC_SHA256.
///
/// # Errors
///
/// ALIOT_RESULT_INVALID_ARGUMENT for ALIOT_SIGN_METHOD_SHA256, which registration does not know,
/// and for what is not a value of aliot_sign_method.
#[unsafe(no_mangle)]
pub extern "C" fn aliot_registration_set_sign_method(
    registration: *mut aliot_registration,
    method: aliot_sign_method_raw,
) -> aliot_result {
    change(registration, |registration| {
        Ok(registration.set_sign_method(sign_method(method)?)?)
    })
}

/// The part of the MQTT client id before the first '|': 1 to 64 characters. Default: product key,
/// '.' and device name. It is not signed.
///
/// # Errors
///
/// ALIOT_RESULT_INVALID_ARGUMENT if it is something else or contains '|', ',', '=' or a control
/// character.
///
/// # Safety
///
/// `client_id` must be NULL or NUL-terminated.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn aliot_registration_set_client_id(
    registration: *mut aliot_registration,
    client_id: *const c_char,
) -> aliot_result {
    change(registration, |registration| {
        // SAFETY: the contract of this function.
        let client_id = unsafe { str_arg("client_id", client_id) }?;
        Ok(registration.set_client_id(client_id)?)
    })
}

/// Names the instance; NULL for none. Default: the endpoint's instance, also if the endpoint is a
/// host "<instance id>.mqtt.iothub.aliyuncs.com".
///
/// # Errors
///
/// ALIOT_RESULT_INVALID_ARGUMENT if `instance_id` cannot be part of a host name.
///
/// # Safety
///
/// `instance_id` must be NULL or NUL-terminated.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn aliot_registration_set_instance_id(
    registration: *mut aliot_registration,
    instance_id: *const c_char,
) -> aliot_result {
    change(registration, |registration| {
        // SAFETY: the contract of this function.
        let instance_id = unsafe { optional_str_arg("instance_id", instance_id) }?;
        Ok(registration.set_instance_id(instance_id)?)
    })
}

/// The parameter "securemode". Default: ALIOT_REGISTRATION_MODE_INSTANCE if there is an instance
/// id, else ALIOT_REGISTRATION_MODE_PUBLIC.
///
/// # Errors
///
/// ALIOT_RESULT_INVALID_ARGUMENT if `mode` is not a value of aliot_registration_mode.
#[unsafe(no_mangle)]
pub extern "C" fn aliot_registration_set_mode(
    registration: *mut aliot_registration,
    mode: aliot_registration_mode_raw,
) -> aliot_result {
    change(registration, |registration| {
        registration.set_mode(registration_mode(mode)?);
        Ok(())
    })
}

/// How often this device may connect in a minute, clients and registrations of this process
/// together: 1..60000, or 0 for any number. Default 5, the platform's limit; more is for private
/// platforms and test benches.
///
/// Source: the platform's limits, connects per device and minute.
///
/// # Errors
///
/// ALIOT_RESULT_INVALID_ARGUMENT outside that range.
#[unsafe(no_mangle)]
pub extern "C" fn aliot_registration_set_connects_per_minute(
    registration: *mut aliot_registration,
    connects: u32,
) -> aliot_result {
    change(registration, |registration| {
        Ok(registration.set_connects_per_minute((connects > 0).then_some(connects))?)
    })
}

/// Registers, and blocks until the platform has answered, for at most `timeout_ms`. Storing is not
/// counted, nor is the goodbye to the platform after it, which takes 2 seconds at most.
///
/// `on_store`, which may be NULL, is called on this thread with the identity: it puts it where it
/// survives a loss of power, for example with aliot_identity_save, and returns true. Only then is
/// the platform left and the result ALIOT_RESULT_OK. A device that loses power before that may
/// register again, because it has never connected. Storing that takes longer than 15 seconds loses
/// the connection and nothing else: the identity stays good.
///
/// The platform is dialled once. Nothing is tried again, because from CONNECT on the platform may
/// have carried the registration out.
///
/// # Errors
///
/// ALIOT_RESULT_REGISTRATION_REFUSED (CONNACK 1, 2, 4 and 5) and ALIOT_RESULT_SERVER_UNAVAILABLE
/// (CONNACK 3); ALIOT_RESULT_REGISTRATION_UNANSWERED if the platform closed the connection or let
/// the time pass after CONNECT; ALIOT_RESULT_REGISTRATION_MALFORMED;
/// ALIOT_RESULT_REGISTRATION_NOT_STORED if `on_store` returned false; ALIOT_RESULT_PROTOCOL if the
/// peer sent what has no place in a registration; ALIOT_RESULT_TIMEOUT if the device's connects of
/// this minute are used up, or if too many connections to the same host were being opened for as
/// long as `timeout_ms`; ALIOT_RESULT_WOULD_DEADLOCK inside a callback;
/// ALIOT_RESULT_INVALID_ARGUMENT if the default client id is too long; ALIOT_RESULT_NO_RESOURCES if
/// the system has no thread, descriptor or random bytes left; the 3xx and 4xx results of connecting.
///
/// # Safety
///
/// `identity_out` must be NULL or valid for writing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn aliot_registration_run(
    registration: *const aliot_registration,
    timeout_ms: u32,
    on_store: aliot_store_cb,
    userdata: *mut c_void,
    identity_out: *mut *mut aliot_identity,
) -> aliot_result {
    guard(|| {
        // SAFETY: the contract of this function.
        let out = unsafe { Out::required("identity_out", identity_out) }?;
        let identity = copy(registration)?.run(milliseconds(timeout_ms), |identity| {
            on_store.is_none_or(|on_store| {
                lend_for_call(identity, |identity| {
                    // SAFETY: the callback's contract; the identity lives until it returns.
                    unsafe { on_store(identity, userdata) }
                })
                .unwrap_or(false)
            })
        })?;
        out.write(publish(identity)?);
        Ok(())
    })
}

/// Registers in the background, for at most `timeout_ms`, to which storing does not count. Does not
/// wait.
///
/// `on_end` is called exactly once, where the callbacks of `runtime` run: with an identity, which
/// it stores and says so, or with the reason why there is none. `runtime` may be NULL for the
/// runtime that clients share by default. On an ALIOT_DISPATCH_POLL runtime whose handle is
/// destroyed before that, it is called if the registration has ended by then, as
/// aliot_runtime_destroy says; of one that ends later only `release` is, for nobody can poll any
/// more.
///
/// # Errors
///
/// ALIOT_RESULT_INVALID_ARGUMENT if the default client id is too long; ALIOT_RESULT_NO_RESOURCES.
/// After an error `userdata` has not been touched.
///
/// # Safety
///
/// `userdata` must be usable from one thread at a time until it is released.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn aliot_registration_start(
    registration: *const aliot_registration,
    runtime: *mut aliot_runtime,
    timeout_ms: u32,
    on_end: aliot_registration_cb,
    userdata: *mut c_void,
    release: aliot_release_cb,
) -> aliot_result {
    guard(|| {
        let registration = copy(registration)?;
        let runtime = if runtime.is_null() {
            Runtime::shared()?
        } else {
            Runtime::clone(&*RUNTIMES.get(runtime)?)
        };
        let on_end = on_end.ok_or_else(|| Failure::null("on_end"))?;
        let make = || -> RegistrationHandler {
            // SAFETY: the contract of this function. From here on the library owns the data.
            let userdata = unsafe { UserData::new(userdata, release) };
            Box::new(move |outcome| {
                let error = outcome.as_ref().err();
                let text = error.map(ToString::to_string).unwrap_or_default();
                let (text, hint) = (CText::new(&text), error.and_then(Error::hint));
                let hint = CText::new(hint.unwrap_or_default());
                let tls_detail = CText::new(error.and_then(Error::tls_detail).unwrap_or_default());
                let result = error.map_or(aliot_result::Ok, |error| code_of(error.kind()));
                let stage = error.map_or(aliot_stage::None, |error| error.stage().into());
                let call = |identity| {
                    let end = aliot_registration_end {
                        result,
                        text: text.as_ptr(),
                        identity,
                        stage,
                        hint: hint.as_ptr(),
                        os_error: error.and_then(Error::os_error).unwrap_or(0),
                        connack_code: error.and_then(Error::connack_code).unwrap_or(0),
                        tls_detail: tls_detail.as_ptr(),
                    };
                    // SAFETY: the callback's contract; the end lives until it returns.
                    unsafe { on_end(&raw const end, userdata.as_ptr()) }
                };
                match outcome {
                    Ok(identity) => lend_for_call(identity, call).unwrap_or(false),
                    Err(_) => call(std::ptr::null()),
                }
            })
        };
        Ok(registration.start(&runtime, milliseconds(timeout_ms), make)?)
    })
}

/// # Safety
///
/// The texts must be NULL or NUL-terminated.
unsafe fn read(
    endpoint: *const aliot_endpoint,
    product_key: *const c_char,
    device_name: *const c_char,
    product_secret: *const c_char,
    kind: aliot_registration_kind_raw,
) -> Result<Registration, Failure> {
    let endpoint = ENDPOINTS.get(endpoint)?;
    // SAFETY: the contract of this function.
    let product_key = unsafe { str_arg("product_key", product_key) }?;
    // SAFETY: the contract of this function.
    let device_name = unsafe { str_arg("device_name", device_name) }?;
    // SAFETY: the contract of this function.
    let product_secret = unsafe { str_arg("product_secret", product_secret) }?;
    let kind = registration_kind(kind)?;
    let endpoint = endpoint.lock().unwrap_or_else(PoisonError::into_inner);
    Ok(Registration::new(
        &endpoint,
        product_key,
        device_name,
        product_secret,
        kind,
    )?)
}

fn copy(registration: *const aliot_registration) -> Result<Registration, Failure> {
    let registration = REGISTRATIONS.get(registration)?;
    let registration = registration.lock().unwrap_or_else(PoisonError::into_inner);
    Ok(registration.clone())
}

fn change(
    registration: *mut aliot_registration,
    body: impl FnOnce(&mut Registration) -> Result<(), Failure>,
) -> aliot_result {
    guard(|| {
        let registration = REGISTRATIONS.get(registration)?;
        body(&mut registration.lock().unwrap_or_else(PoisonError::into_inner))
    })
}
