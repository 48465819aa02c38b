//! Endpoint: where the platform is.

use std::ffi::{c_char, c_void};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::failure::Failure;
use super::guard::{guard, guard_or};
use super::handle::Registry;
use super::ptr::{Out, bytes_arg, str_arg};
use super::result::aliot_result;
use super::types::aliot_endpoint;
use crate::{Endpoint, Error};

pub(super) static ENDPOINTS: Registry<Mutex<Endpoint>> = Registry::new("endpoint");

/// The platform's public service in a region, such as "cn-shanghai", on port 443.
///
/// The host name contains the product key of the identity that a config adds.
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

/// An instance of the platform, such as "iot-060a0bbc", on port 8883.
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
/// host that is dialled.
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
    change(endpoint, |endpoint| {
        // SAFETY: the contract of this function.
        let server_name = unsafe { str_arg("server_name", server_name) }?;
        Ok(endpoint.set_server_name(server_name)?)
    })
}

/// Trusts the certificates in `pem` instead of the platform's roots, which are built in.
///
/// After a failure the endpoint is unusable until a TLS setting succeeds: an application that
/// overlooks the result does not connect with roots it did not choose.
///
/// # Errors
///
/// ALIOT_RESULT_TLS_CONFIG says what is wrong with `pem`.
///
/// # Safety
///
/// `pem` must be NULL or point to `pem_len` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn aliot_endpoint_set_ca_pem(
    endpoint: *mut aliot_endpoint,
    pem: *const c_void,
    pem_len: usize,
) -> aliot_result {
    change(endpoint, |endpoint| {
        // SAFETY: the contract of this function.
        let pem = unsafe { bytes_arg("pem", pem, pem_len) }?;
        Ok(endpoint.set_ca_pem(pem)?)
    })
}

/// Trusts the certificates in a PEM file instead of the platform's roots.
///
/// The file is read now, to report what is wrong with it, and again before each connect, so that
/// roots can be replaced in the field. After a failure the endpoint is unusable until a TLS setting
/// succeeds.
///
/// # Errors
///
/// ALIOT_RESULT_TLS_CONFIG names the file and says what is wrong with it.
///
/// # Safety
///
/// `path` must be NULL or NUL-terminated.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn aliot_endpoint_set_ca_file(
    endpoint: *mut aliot_endpoint,
    path: *const c_char,
) -> aliot_result {
    change(endpoint, |endpoint| {
        // SAFETY: the contract of this function.
        let path = unsafe { str_arg("path", path) }?;
        Ok(endpoint.set_ca_file(Path::new(path))?)
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

fn change(
    endpoint: *mut aliot_endpoint,
    body: impl FnOnce(&mut Endpoint) -> Result<(), Failure>,
) -> aliot_result {
    guard(|| {
        let endpoint = ENDPOINTS.get(endpoint)?;
        body(&mut endpoint.lock().unwrap_or_else(PoisonError::into_inner))
    })
}
