//! Endpoint: whom TLS trusts, and how the device proves itself.

use std::ffi::{c_char, c_void};
use std::path::Path;

use super::choices::{aliot_tls_versions_raw, tls_versions};
use super::endpoint::change_tls;
use super::ptr::{bytes_arg, str_arg};
use super::result::aliot_result;
use super::types::aliot_endpoint;

/// Trusts the certificates in `pem` instead of all others, such as the platform's roots, which are
/// built in.
///
/// After a failure of any kind the endpoint cannot be used any more: an application that overlooks
/// the result does not connect with roots it did not choose. That holds for every TLS setting: this
/// function and the following ones, to aliot_endpoint_set_client_certificate_files, and
/// aliot_endpoint_set_server_name.
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
    change_tls(endpoint, |endpoint| {
        // SAFETY: the contract of this function.
        let pem = unsafe { bytes_arg("pem", pem, pem_len) }?;
        Ok(endpoint.set_ca_pem(pem)?)
    })
}

/// Trusts the certificates in `pem` besides those trusted already.
///
/// # Errors
///
/// ALIOT_RESULT_TLS_CONFIG says what is wrong with `pem`.
///
/// # Safety
///
/// `pem` must be NULL or point to `pem_len` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn aliot_endpoint_add_ca_pem(
    endpoint: *mut aliot_endpoint,
    pem: *const c_void,
    pem_len: usize,
) -> aliot_result {
    change_tls(endpoint, |endpoint| {
        // SAFETY: the contract of this function.
        let pem = unsafe { bytes_arg("pem", pem, pem_len) }?;
        Ok(endpoint.add_ca_pem(pem)?)
    })
}

/// Trusts the certificates in a PEM file instead of all others.
///
/// The file is read now, to report what is wrong with it, and again before each connect, so that
/// roots can be replaced in the field.
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
    change_tls(endpoint, |endpoint| {
        // SAFETY: the contract of this function.
        let path = unsafe { str_arg("path", path) }?;
        Ok(endpoint.set_ca_file(Path::new(path))?)
    })
}

/// Trusts the certificates in a PEM file besides those trusted already. It is read as with
/// aliot_endpoint_set_ca_file.
///
/// # Errors
///
/// ALIOT_RESULT_TLS_CONFIG names the file and says what is wrong with it.
///
/// # Safety
///
/// `path` must be NULL or NUL-terminated.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn aliot_endpoint_add_ca_file(
    endpoint: *mut aliot_endpoint,
    path: *const c_char,
) -> aliot_result {
    change_tls(endpoint, |endpoint| {
        // SAFETY: the contract of this function.
        let path = unsafe { str_arg("path", path) }?;
        Ok(endpoint.add_ca_file(Path::new(path))?)
    })
}

/// Trusts the roots of the operating system instead of all others. The platform's own root, which
/// signs port 8883, is in no system's store: see aliot_endpoint_add_system_roots.
///
/// # Errors
///
/// ALIOT_RESULT_TLS_CONFIG if the system has no roots where they usually are.
#[unsafe(no_mangle)]
pub extern "C" fn aliot_endpoint_use_system_roots(endpoint: *mut aliot_endpoint) -> aliot_result {
    change_tls(endpoint, |endpoint| Ok(endpoint.use_system_roots()?))
}

/// Trusts the roots of the operating system besides those trusted already.
///
/// # Errors
///
/// ALIOT_RESULT_TLS_CONFIG if the system has no roots where they usually are.
#[unsafe(no_mangle)]
pub extern "C" fn aliot_endpoint_add_system_roots(endpoint: *mut aliot_endpoint) -> aliot_result {
    change_tls(endpoint, |endpoint| Ok(endpoint.add_system_roots()?))
}

/// Accepts a server only if the SHA-256 of its public key is this one, or one that was pinned
/// before: 64 hexadecimal digits; colons between them are ignored. The certificate must be good in
/// every other way too.
///
/// Pin the next key as well as the present one, or the device is locked out when it changes. The
/// hash is that of the SubjectPublicKeyInfo: openssl x509 -pubkey -noout -in server.pem | openssl
/// pkey -pubin -outform der | openssl dgst -sha256
///
/// # Errors
///
/// ALIOT_RESULT_INVALID_ARGUMENT if `sha256` is something else.
///
/// # Safety
///
/// `sha256` must be NULL or NUL-terminated.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn aliot_endpoint_pin_server_key(
    endpoint: *mut aliot_endpoint,
    sha256: *const c_char,
) -> aliot_result {
    change_tls(endpoint, |endpoint| {
        // SAFETY: the contract of this function.
        let sha256 = unsafe { str_arg("sha256", sha256) }?;
        Ok(endpoint.pin_server_key(sha256)?)
    })
}

/// The TLS versions to speak. Default ALIOT_TLS_VERSIONS_BOTH.
///
/// # Errors
///
/// ALIOT_RESULT_INVALID_ARGUMENT if `versions` is not a value of aliot_tls_versions.
#[unsafe(no_mangle)]
pub extern "C" fn aliot_endpoint_set_tls_versions(
    endpoint: *mut aliot_endpoint,
    versions: aliot_tls_versions_raw,
) -> aliot_result {
    change_tls(endpoint, |endpoint| {
        endpoint.set_tls_versions(tls_versions(versions)?);
        Ok(())
    })
}

/// How many days before the end of the server's certificate, of the root it leads to, or of the
/// device's own certificate the event CERTIFICATE_EXPIRES_SOON comes: 0..3650, 0 for
/// never, default 30. It comes after CONNECTED, at most once a day, and tells of the one that ends
/// first; of one that has ended, and connects all the same, only if no other ends soon.
///
/// # Errors
///
/// ALIOT_RESULT_INVALID_ARGUMENT outside that range.
#[unsafe(no_mangle)]
pub extern "C" fn aliot_endpoint_set_expiry_warning_days(
    endpoint: *mut aliot_endpoint,
    days: u16,
) -> aliot_result {
    change_tls(endpoint, |endpoint| {
        Ok(endpoint.set_expiry_warning_days(days)?)
    })
}

/// Shows this client certificate to a server that asks for one.
///
/// `certificate` is its chain as PEM, the device's own first. `key` is its private key as PEM:
/// PKCS#8, PKCS#1 or SEC1, not encrypted. Both are copied; the copy of the key's text is overwritten
/// in the end. What TLS computes with stays in memory for the next client of the same certificate:
/// see SECURITY.md.
///
/// The event CERTIFICATE_EXPIRES_SOON warns before the device's own certificate ends. A server that
/// refuses it makes connecting fail with ALIOT_RESULT_TLS_HANDSHAKE, whose text and hint say so.
///
/// # Errors
///
/// ALIOT_RESULT_TLS_CONFIG says what is wrong with which; ALIOT_RESULT_INVALID_STATE if the library
/// was built without client certificates.
///
/// # Safety
///
/// `certificate` must be NULL or point to `certificate_len` bytes, `key` NULL or to `key_len`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn aliot_endpoint_set_client_certificate_pem(
    endpoint: *mut aliot_endpoint,
    certificate: *const c_void,
    certificate_len: usize,
    key: *const c_void,
    key_len: usize,
) -> aliot_result {
    change_tls(endpoint, |endpoint| {
        // SAFETY: the contract of this function.
        let certificate = unsafe { bytes_arg("certificate", certificate, certificate_len) }?;
        // SAFETY: the contract of this function.
        let key = unsafe { bytes_arg("key", key, key_len) }?;
        Ok(endpoint.set_client_certificate_pem(certificate, key)?)
    })
}

/// As aliot_endpoint_set_client_certificate_pem from files, which are read now, to report what is
/// wrong with them, and again before each connect, so that certificates can be renewed in the field.
///
/// # Errors
///
/// ALIOT_RESULT_TLS_CONFIG names the file and says what is wrong with it; ALIOT_RESULT_INVALID_STATE
/// if the library was built without client certificates.
///
/// # Safety
///
/// `certificate_path` and `key_path` must be NULL or NUL-terminated.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn aliot_endpoint_set_client_certificate_files(
    endpoint: *mut aliot_endpoint,
    certificate_path: *const c_char,
    key_path: *const c_char,
) -> aliot_result {
    change_tls(endpoint, |endpoint| {
        // SAFETY: the contract of this function.
        let certificate = unsafe { str_arg("certificate_path", certificate_path) }?;
        // SAFETY: the contract of this function.
        let key = unsafe { str_arg("key_path", key_path) }?;
        Ok(endpoint.set_client_certificate_files(Path::new(certificate), Path::new(key))?)
    })
}
