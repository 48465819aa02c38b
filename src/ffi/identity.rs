//! Identity: who the device is.

use std::ffi::c_char;
use std::ptr::null;
use std::sync::Arc;

use super::failure::Failure;
use super::guard::{guard, guard_or};
use super::handle::Registry;
use super::ptr::{Out, str_arg};
use super::result::aliot_result;
use super::text::CText;
use super::types::aliot_identity;
use crate::{Error, Identity};

/// An identity and the texts its accessors lend.
pub(super) struct IdentityObject {
    pub(super) identity: Identity,
    product_key: CText,
    device_name: CText,
    secret: CText,
    client_id: CText,
    username: CText,
}

pub(super) static IDENTITIES: Registry<IdentityObject> = Registry::new("identity");

impl IdentityObject {
    fn new(identity: Identity) -> Self {
        Self {
            product_key: CText::new(identity.product_key()),
            device_name: CText::new(identity.device_name()),
            secret: CText::new(identity.secret().expose()),
            client_id: CText::new(identity.client_id()),
            username: CText::new(identity.username()),
            identity,
        }
    }
}

/// Makes an identity from what the console shows for a device.
///
/// `product_key` is 1 to 64 of the letters and digits of ASCII and '_'; `device_name` 1 to 64 of
/// them and of "-_@.:". `device_secret` is the device's own, never the product's: 1 to 64 bytes
/// without control characters.
///
/// # Errors
///
/// ALIOT_RESULT_INVALID_ARGUMENT names the argument; it never repeats the secret.
///
/// # Safety
///
/// The texts must be NULL or NUL-terminated, `identity_out` NULL or valid for writing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn aliot_identity_create(
    product_key: *const c_char,
    device_name: *const c_char,
    device_secret: *const c_char,
    identity_out: *mut *mut aliot_identity,
) -> aliot_result {
    guard(|| {
        // SAFETY: the contract of this function.
        let out = unsafe { Out::required("identity_out", identity_out) }?;
        // SAFETY: the contract of this function.
        let product_key = unsafe { str_arg("product_key", product_key) }?;
        // SAFETY: the contract of this function.
        let device_name = unsafe { str_arg("device_name", device_name) }?;
        // SAFETY: the contract of this function.
        let device_secret = unsafe { str_arg("device_secret", device_secret) }?;
        create(
            out,
            Identity::with_secret(product_key, device_name, device_secret),
        )
    })
}

/// Makes the identity of a device that the platform created, from the client id and the device
/// token that registration returned.
///
/// The names are as for aliot_identity_create. `client_id` is 1 to 1024 bytes without '|' and
/// control characters, `device_token` 1 to 1024 bytes without control characters.
///
/// # Errors
///
/// ALIOT_RESULT_INVALID_ARGUMENT names the argument; it never repeats the token.
///
/// # Safety
///
/// The texts must be NULL or NUL-terminated, `identity_out` NULL or valid for writing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn aliot_identity_create_with_token(
    product_key: *const c_char,
    device_name: *const c_char,
    client_id: *const c_char,
    device_token: *const c_char,
    identity_out: *mut *mut aliot_identity,
) -> aliot_result {
    guard(|| {
        // SAFETY: the contract of this function.
        let out = unsafe { Out::required("identity_out", identity_out) }?;
        // SAFETY: the contract of this function.
        let product_key = unsafe { str_arg("product_key", product_key) }?;
        // SAFETY: the contract of this function.
        let device_name = unsafe { str_arg("device_name", device_name) }?;
        // SAFETY: the contract of this function.
        let client_id = unsafe { str_arg("client_id", client_id) }?;
        // SAFETY: the contract of this function.
        let device_token = unsafe { str_arg("device_token", device_token) }?;
        create(
            out,
            Identity::with_token(product_key, device_name, client_id, device_token),
        )
    })
}

/// Makes the identity of a device that proves itself by the client certificate of its endpoint, see
/// aliot_endpoint_set_client_certificate_pem.
///
/// The names are as for aliot_identity_create, or both "" as long as they are not known. The
/// platform then says them after the first connect: the event IDENTITY_RECEIVED brings the identity
/// to be saved, and the client uses it from then on.
///
/// # Errors
///
/// ALIOT_RESULT_INVALID_ARGUMENT names the argument.
///
/// # Safety
///
/// The texts must be NULL or NUL-terminated, `identity_out` NULL or valid for writing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn aliot_identity_create_with_certificate(
    product_key: *const c_char,
    device_name: *const c_char,
    identity_out: *mut *mut aliot_identity,
) -> aliot_result {
    guard(|| {
        // SAFETY: the contract of this function.
        let out = unsafe { Out::required("identity_out", identity_out) }?;
        // SAFETY: the contract of this function.
        let product_key = unsafe { str_arg("product_key", product_key) }?;
        // SAFETY: the contract of this function.
        let device_name = unsafe { str_arg("device_name", device_name) }?;
        create(out, Identity::with_certificate(product_key, device_name))
    })
}

/// Makes an identity from the three fields of CONNECT, which are sent as they are.
///
/// `client_id` is 1 to 65535 bytes, `username` 0 to 65535, both without control characters;
/// `password` is 0 to 65535 bytes, and "" if `username` is "".
///
/// For private platforms and for credentials made elsewhere. Such an identity has neither product
/// key nor device name. It goes with every endpoint but that of a region, whose host begins with the
/// product key, and the topic helpers refuse it.
///
/// # Errors
///
/// ALIOT_RESULT_INVALID_ARGUMENT names the argument; it never repeats the password.
///
/// # Safety
///
/// The texts must be NULL or NUL-terminated, `identity_out` NULL or valid for writing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn aliot_identity_create_verbatim(
    client_id: *const c_char,
    username: *const c_char,
    password: *const c_char,
    identity_out: *mut *mut aliot_identity,
) -> aliot_result {
    guard(|| {
        // SAFETY: the contract of this function.
        let out = unsafe { Out::required("identity_out", identity_out) }?;
        // SAFETY: the contract of this function.
        let client_id = unsafe { str_arg("client_id", client_id) }?;
        // SAFETY: the contract of this function.
        let username = unsafe { str_arg("username", username) }?;
        // SAFETY: the contract of this function.
        let password = unsafe { str_arg("password", password) }?;
        create(out, Identity::verbatim(client_id, username, password))
    })
}

/// Ends the life of the handle and of the texts its accessors returned, and overwrites the secret.
/// Configs made from the identity keep their copy. NULL and a destroyed handle do nothing.
#[unsafe(no_mangle)]
pub extern "C" fn aliot_identity_destroy(identity: *mut aliot_identity) {
    guard_or((), || {
        drop(IDENTITIES.remove(identity));
        Ok(())
    });
}

/// Whether the secret is a device token, which goes with the client id below. False for a bad
/// handle.
#[unsafe(no_mangle)]
pub extern "C" fn aliot_identity_has_token(identity: *const aliot_identity) -> bool {
    guard_or(false, || Ok(IDENTITIES.get(identity)?.identity.has_token()))
}

/// Product key; "" for a verbatim identity and as long as it is unknown, NULL for a bad handle.
#[unsafe(no_mangle)]
pub extern "C" fn aliot_identity_product_key(identity: *const aliot_identity) -> *const c_char {
    lend(identity, |object| &object.product_key)
}

/// Device name; "" for a verbatim identity and as long as it is unknown, NULL for a bad handle.
#[unsafe(no_mangle)]
pub extern "C" fn aliot_identity_device_name(identity: *const aliot_identity) -> *const c_char {
    lend(identity, |object| &object.device_name)
}

/// Device secret, device token or password. Store it as carefully as a password. NULL for a bad
/// handle.
#[unsafe(no_mangle)]
pub extern "C" fn aliot_identity_secret(identity: *const aliot_identity) -> *const c_char {
    lend(identity, |object| &object.secret)
}

/// Client id that goes with a device token, or the whole client id of a verbatim identity; else "".
/// NULL for a bad handle.
#[unsafe(no_mangle)]
pub extern "C" fn aliot_identity_client_id(identity: *const aliot_identity) -> *const c_char {
    lend(identity, |object| &object.client_id)
}

/// User name of a verbatim identity; else "". NULL for a bad handle.
#[unsafe(no_mangle)]
pub extern "C" fn aliot_identity_username(identity: *const aliot_identity) -> *const c_char {
    lend(identity, |object| &object.username)
}

fn create(out: Out<*mut aliot_identity>, identity: Result<Identity, Error>) -> Result<(), Failure> {
    out.write(publish(identity?)?);
    Ok(())
}

/// Gives the identity a handle.
pub(super) fn publish(identity: Identity) -> Result<*mut aliot_identity, Failure> {
    IDENTITIES.insert(Arc::new(IdentityObject::new(identity)))
}

/// Gives the identity a handle for the time of a call.
pub(super) fn lend_for_call<R>(
    identity: &Identity,
    call: impl FnOnce(*const aliot_identity) -> R,
) -> Result<R, Failure> {
    let handle = publish(identity.clone())?;
    let result = call(handle);
    drop(IDENTITIES.remove(handle));
    Ok(result)
}

fn lend(
    identity: *const aliot_identity,
    text: impl FnOnce(&IdentityObject) -> &CText,
) -> *const c_char {
    guard_or(null(), || Ok(text(&*IDENTITIES.get(identity)?).as_ptr()))
}
