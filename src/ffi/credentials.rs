//! Credentials: what the client would send in CONNECT.

use std::ffi::c_char;
use std::ptr::null;
use std::sync::{Arc, PoisonError};

use super::config::CONFIGS;
use super::guard::{guard, guard_or};
use super::handle::Registry;
use super::ptr::Out;
use super::result::aliot_result;
use super::text::CText;
use super::types::{aliot_config, aliot_credentials};

pub(super) struct CredentialsObject {
    client_id: CText,
    username: CText,
    password: CText,
}

static CREDENTIALS: Registry<CredentialsObject> = Registry::new("credentials");

/// Makes what the client would send in CONNECT, for devices that bring their own MQTT stack.
///
/// # Errors
///
/// ALIOT_RESULT_INVALID_ARGUMENT if the config's parts do not fit together.
///
/// # Safety
///
/// `credentials_out` must be NULL or valid for writing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn aliot_credentials_create(
    config: *const aliot_config,
    credentials_out: *mut *mut aliot_credentials,
) -> aliot_result {
    guard(|| {
        // SAFETY: the contract of this function.
        let out = unsafe { Out::required("credentials_out", credentials_out) }?;
        let config = CONFIGS.get(config)?;
        let credentials = config
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .credentials()?;
        out.write(CREDENTIALS.insert(Arc::new(CredentialsObject {
            client_id: CText::new(credentials.client_id()),
            username: CText::new(credentials.username()),
            password: CText::new(credentials.password().expose()),
        }))?);
        Ok(())
    })
}

/// Ends the life of the handle and of the texts its accessors returned, and overwrites the
/// password. NULL and a destroyed handle do nothing.
#[unsafe(no_mangle)]
pub extern "C" fn aliot_credentials_destroy(credentials: *mut aliot_credentials) {
    guard_or((), || {
        drop(CREDENTIALS.remove(credentials));
        Ok(())
    });
}

/// Client id of CONNECT, with everything between its '|'. NULL for a bad handle.
#[unsafe(no_mangle)]
pub extern "C" fn aliot_credentials_client_id(
    credentials: *const aliot_credentials,
) -> *const c_char {
    lend(credentials, |object| &object.client_id)
}

/// User name of CONNECT. NULL for a bad handle.
#[unsafe(no_mangle)]
pub extern "C" fn aliot_credentials_username(
    credentials: *const aliot_credentials,
) -> *const c_char {
    lend(credentials, |object| &object.username)
}

/// Password of CONNECT. NULL for a bad handle.
#[unsafe(no_mangle)]
pub extern "C" fn aliot_credentials_password(
    credentials: *const aliot_credentials,
) -> *const c_char {
    lend(credentials, |object| &object.password)
}

fn lend(
    credentials: *const aliot_credentials,
    text: impl FnOnce(&CredentialsObject) -> &CText,
) -> *const c_char {
    guard_or(
        null(),
        || Ok(text(&*CREDENTIALS.get(credentials)?).as_ptr()),
    )
}
