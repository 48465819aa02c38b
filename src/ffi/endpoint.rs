//! Endpoint: where the platform is.

use std::ffi::c_char;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::failure::Failure;
use super::guard::{guard, guard_or};
use super::handle::Registry;
use super::ptr::{Out, str_arg};
use super::result::aliot_result;
use super::types::aliot_endpoint;
use crate::{Endpoint, Error};

pub(super) static ENDPOINTS: Registry<Mutex<Endpoint>> = Registry::new("endpoint");

/// A public instance that was opened before 30 July 2021, by its region, such as "cn-shanghai", on
/// port 443. Every other instance has an id: see aliot_endpoint_create_for_instance.
///
/// The host name contains the product key of the identity that a config adds.
///
/// Source: the platform's list of endpoints.
///
/// # Errors
///
/// ALIOT_RESULT_INVALID_ARGUMENT if `region_id` cannot be part of a host name.
///
/// # Safety
///
/// `region_id` must be NULL or NUL-terminated, `endpoint_out` NULL or valid for writing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn aliot_endpoint_create_for_region(
    region_id: *const c_char,
    endpoint_out: *mut *mut aliot_endpoint,
) -> aliot_result {
    guard(|| {
        // SAFETY: the contract of this function.
        let out = unsafe { Out::required("endpoint_out", endpoint_out) }?;
        // SAFETY: the contract of this function.
        let region_id = unsafe { str_arg("region_id", region_id) }?;
        create(out, Endpoint::region(region_id))
    })
}

/// An instance of the platform by its id, such as "iot-060a0bbc", on port 8883: every Enterprise
/// instance, and public ones opened since 30 July 2021.
///
/// Source: the platform's list of endpoints.
///
/// # Errors
///
/// ALIOT_RESULT_INVALID_ARGUMENT if `instance_id` cannot be part of a host name.
///
/// # Safety
///
/// `instance_id` must be NULL or NUL-terminated, `endpoint_out` NULL or valid for writing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn aliot_endpoint_create_for_instance(
    instance_id: *const c_char,
    endpoint_out: *mut *mut aliot_endpoint,
) -> aliot_result {
    guard(|| {
        // SAFETY: the contract of this function.
        let out = unsafe { Out::required("endpoint_out", endpoint_out) }?;
        // SAFETY: the contract of this function.
        let instance_id = unsafe { str_arg("instance_id", instance_id) }?;
        create(out, Endpoint::instance(instance_id))
    })
}

/// The host for devices with an X.509 certificate in a region, on port 1883. The platform has it in
/// "cn-shanghai" alone.
///
/// # Errors
///
/// ALIOT_RESULT_INVALID_ARGUMENT if `region_id` cannot be part of a host name.
///
/// # Safety
///
/// `region_id` must be NULL or NUL-terminated, `endpoint_out` NULL or valid for writing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn aliot_endpoint_create_for_x509(
    region_id: *const c_char,
    endpoint_out: *mut *mut aliot_endpoint,
) -> aliot_result {
    guard(|| {
        // SAFETY: the contract of this function.
        let out = unsafe { Out::required("endpoint_out", endpoint_out) }?;
        // SAFETY: the contract of this function.
        let region_id = unsafe { str_arg("region_id", region_id) }?;
        create(out, Endpoint::x509(region_id))
    })
}

/// A host: a private platform, a gateway or a test bench.
///
/// `host` is a DNS name, an IPv4 address, or an IPv6 address without brackets; `port` is 1 to
/// 65535.
///
/// # Errors
///
/// ALIOT_RESULT_INVALID_ARGUMENT names the argument.
///
/// # Safety
///
/// `host` must be NULL or NUL-terminated, `endpoint_out` NULL or valid for writing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn aliot_endpoint_create_for_host(
    host: *const c_char,
    port: u16,
    endpoint_out: *mut *mut aliot_endpoint,
) -> aliot_result {
    guard(|| {
        // SAFETY: the contract of this function.
        let out = unsafe { Out::required("endpoint_out", endpoint_out) }?;
        // SAFETY: the contract of this function.
        let host = unsafe { str_arg("host", host) }?;
        create(out, Endpoint::host(host, port))
    })
}

/// Ends the life of the handle. Configs made from the endpoint keep their copy. NULL and a
/// destroyed handle do nothing.
#[unsafe(no_mangle)]
pub extern "C" fn aliot_endpoint_destroy(endpoint: *mut aliot_endpoint) {
    guard_or((), || {
        drop(ENDPOINTS.remove(endpoint));
        Ok(())
    });
}

/// Dials another port than the default, 1 to 65535. There is no fallback from one port to another.
///
/// # Errors
///
/// ALIOT_RESULT_INVALID_ARGUMENT for 0.
#[unsafe(no_mangle)]
pub extern "C" fn aliot_endpoint_set_port(
    endpoint: *mut aliot_endpoint,
    port: u16,
) -> aliot_result {
    change(endpoint, |endpoint| Ok(endpoint.set_port(port)?))
}

/// The name that the server's certificate must carry, and that is sent as SNI, if it is not the
/// host that is dialled. A TLS setting: after a failure the endpoint cannot be used any more.
///
/// # Errors
///
/// ALIOT_RESULT_INVALID_ARGUMENT if `server_name` is neither a DNS name nor an address.
///
/// # Safety
///
/// `server_name` must be NULL or NUL-terminated.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn aliot_endpoint_set_server_name(
    endpoint: *mut aliot_endpoint,
    server_name: *const c_char,
) -> aliot_result {
    change_tls(endpoint, |endpoint| {
        // SAFETY: the contract of this function.
        let server_name = unsafe { str_arg("server_name", server_name) }?;
        Ok(endpoint.set_server_name(server_name)?)
    })
}

/// How long name lookup, TCP, TLS and CONNACK may take together: 1..60000, default 10000.
///
/// # Errors
///
/// ALIOT_RESULT_INVALID_ARGUMENT outside that range.
#[unsafe(no_mangle)]
pub extern "C" fn aliot_endpoint_set_connect_timeout_ms(
    endpoint: *mut aliot_endpoint,
    timeout_ms: u32,
) -> aliot_result {
    change(endpoint, |endpoint| {
        let timeout = Duration::from_millis(timeout_ms.into());
        Ok(endpoint.set_connect_timeout(timeout)?)
    })
}

/// Connects without TLS: everyone on the path can read and forge everything. For test benches.
///
/// The port stays as it is.
#[unsafe(no_mangle)]
pub extern "C" fn aliot_endpoint_set_dangerous_plaintext(
    endpoint: *mut aliot_endpoint,
) -> aliot_result {
    change(endpoint, |endpoint| {
        endpoint.set_dangerous_plaintext();
        Ok(())
    })
}

fn create(out: Out<*mut aliot_endpoint>, endpoint: Result<Endpoint, Error>) -> Result<(), Failure> {
    out.write(ENDPOINTS.insert(Arc::new(Mutex::new(endpoint?)))?);
    Ok(())
}

pub(super) fn change(
    endpoint: *mut aliot_endpoint,
    body: impl FnOnce(&mut Endpoint) -> Result<(), Failure>,
) -> aliot_result {
    guard(|| {
        let endpoint = ENDPOINTS.get(endpoint)?;
        body(&mut endpoint.lock().unwrap_or_else(PoisonError::into_inner))
    })
}

/// As [`change`] for what TLS is told: after a failure, also of reading an argument, the endpoint
/// cannot be used any more.
pub(super) fn change_tls(
    endpoint: *mut aliot_endpoint,
    body: impl FnOnce(&mut Endpoint) -> Result<(), Failure>,
) -> aliot_result {
    change(endpoint, |endpoint| {
        body(endpoint).inspect_err(|failure| endpoint.tls_setting_failed(failure.message()))
    })
}
