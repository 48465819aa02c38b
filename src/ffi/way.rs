//! Endpoint: proxies, local address, interface, address family.

use std::ffi::c_char;

use super::choices::{address_family, aliot_address_family_raw};
use super::endpoint::change;
use super::failure::Failure;
use super::ptr::{optional_str_arg, str_arg};
use super::result::aliot_result;
use super::types::aliot_endpoint;
use crate::{Endpoint, Error};

/// Connects through an HTTP proxy that takes CONNECT.
///
/// The proxy looks the platform's name up. It sees where the device connects to, and nothing of what
/// passes: TLS goes through it. `user` and `password` are 1 to 255 and 0 to 255 bytes, or both NULL;
/// a proxy reads them in clear text. The proxy replaces one that was set before.
///
/// # Errors
///
/// ALIOT_RESULT_INVALID_ARGUMENT names the argument, never the password.
///
/// # Safety
///
/// `host` must be NULL or NUL-terminated, as must `user` and `password`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn aliot_endpoint_set_http_proxy(
    endpoint: *mut aliot_endpoint,
    host: *const c_char,
    port: u16,
    user: *const c_char,
    password: *const c_char,
) -> aliot_result {
    // SAFETY: the contract of this function.
    unsafe {
        set_proxy(
            Endpoint::set_http_proxy,
            endpoint,
            host,
            port,
            user,
            password,
        )
    }
}

/// Connects through a SOCKS5 proxy; as aliot_endpoint_set_http_proxy.
///
/// # Errors
///
/// ALIOT_RESULT_INVALID_ARGUMENT names the argument, never the password.
///
/// # Safety
///
/// `host` must be NULL or NUL-terminated, as must `user` and `password`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn aliot_endpoint_set_socks5_proxy(
    endpoint: *mut aliot_endpoint,
    host: *const c_char,
    port: u16,
    user: *const c_char,
    password: *const c_char,
) -> aliot_result {
    // SAFETY: the contract of this function.
    unsafe {
        set_proxy(
            Endpoint::set_socks5_proxy,
            endpoint,
            host,
            port,
            user,
            password,
        )
    }
}

/// Speaks MQTT inside a WebSocket: "wss", or "ws" on an endpoint without TLS.
///
/// `path` is what stands behind the host in its address, such as "/" or "/mqtt". The platform serves
/// it on port 443, path "/". The port stays what it is.
///
/// # Errors
///
/// ALIOT_RESULT_INVALID_ARGUMENT unless `path` begins with '/' and has at most 1024 printable
/// characters of ASCII; ALIOT_RESULT_INVALID_STATE if the library was built without WebSocket.
///
/// # Safety
///
/// `path` must be NULL or NUL-terminated.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn aliot_endpoint_set_websocket(
    endpoint: *mut aliot_endpoint,
    path: *const c_char,
) -> aliot_result {
    change(endpoint, |endpoint| {
        // SAFETY: the contract of this function.
        let path = unsafe { str_arg("path", path) }?;
        Ok(endpoint.set_websocket(path)?)
    })
}

/// Connects from this address of the device, and so only to addresses of its family.
///
/// # Errors
///
/// ALIOT_RESULT_INVALID_ARGUMENT if `address` is no IPv4 or IPv6 address. Whether the device has it
/// shows when it connects.
///
/// # Safety
///
/// `address` must be NULL or NUL-terminated.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn aliot_endpoint_set_local_address(
    endpoint: *mut aliot_endpoint,
    address: *const c_char,
) -> aliot_result {
    change(endpoint, |endpoint| {
        // SAFETY: the contract of this function.
        let address = unsafe { str_arg("address", address) }?;
        Ok(endpoint.set_local_address(address)?)
    })
}

/// Connects through this network interface, such as "eth0", whatever the routes say. On Linux alone,
/// and before Linux 5.7 only with the capability CAP_NET_RAW.
///
/// # Errors
///
/// ALIOT_RESULT_INVALID_ARGUMENT if `name` cannot be the name of one. Whether the device has it
/// shows when it connects.
///
/// # Safety
///
/// `name` must be NULL or NUL-terminated.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn aliot_endpoint_set_interface(
    endpoint: *mut aliot_endpoint,
    name: *const c_char,
) -> aliot_result {
    change(endpoint, |endpoint| {
        // SAFETY: the contract of this function.
        let name = unsafe { str_arg("name", name) }?;
        Ok(endpoint.set_interface(name)?)
    })
}

/// Which addresses of the host are dialled. Default ALIOT_ADDRESS_FAMILY_ANY.
///
/// # Errors
///
/// ALIOT_RESULT_INVALID_ARGUMENT if `family` is not a value of aliot_address_family.
#[unsafe(no_mangle)]
pub extern "C" fn aliot_endpoint_set_address_family(
    endpoint: *mut aliot_endpoint,
    family: aliot_address_family_raw,
) -> aliot_result {
    change(endpoint, |endpoint| {
        endpoint.set_address_family(address_family(family)?);
        Ok(())
    })
}

type SetProxy = fn(&mut Endpoint, &str, u16, Option<(&str, &str)>) -> Result<(), Error>;

/// # Safety
///
/// The texts must be NULL or NUL-terminated.
unsafe fn set_proxy(
    set: SetProxy,
    endpoint: *mut aliot_endpoint,
    host: *const c_char,
    port: u16,
    user: *const c_char,
    password: *const c_char,
) -> aliot_result {
    change(endpoint, |endpoint| {
        // SAFETY: the contract of this function.
        let host = unsafe { str_arg("host", host) }?;
        // SAFETY: the contract of this function.
        let user = unsafe { optional_str_arg("user", user) }?;
        // SAFETY: the contract of this function.
        let password = unsafe { optional_str_arg("password", password) }?;
        let login = match (user, password) {
            (None, None) => None,
            (Some(user), Some(password)) => Some((user, password)),
            (None, Some(_)) => return Err(Failure::null("user")),
            (Some(_), None) => return Err(Failure::null("password")),
        };
        Ok(set(endpoint, host, port, login)?)
    })
}
