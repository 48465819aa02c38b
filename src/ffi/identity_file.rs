//! Identities in files.

use std::ffi::c_char;
use std::path::Path;

use super::guard::guard;
use super::identity::{IDENTITIES, publish};
use super::ptr::{Out, str_arg};
use super::result::aliot_result;
use super::types::aliot_identity;
use crate::Identity;

/// Writes the identity, with its secret, to a file that only its owner can read.
///
/// What was there is replaced in one step: after a loss of power either the old content is there or
/// the new one. The folder must exist, be readable and be writable. Waits for the disk.
///
/// # Errors
///
/// ALIOT_RESULT_INVALID_ARGUMENT if `path` names no file, as "", "/", "." and ".." do;
/// ALIOT_RESULT_FILE_ACCESS names the step that the system refused; what was there is untouched. The
/// last step is the exception, and aliot_last_error then says that the file has been replaced: the
/// folder could not be flushed, so that a loss of power may bring the old content back. Saving again
/// does no harm.
///
/// # Safety
///
/// `path` must be NULL or NUL-terminated.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn aliot_identity_save(
    identity: *const aliot_identity,
    path: *const c_char,
) -> aliot_result {
    guard(|| {
        let object = IDENTITIES.get(identity)?;
        // SAFETY: the contract of this function.
        let path = unsafe { str_arg("path", path) }?;
        Ok(object.identity.save(Path::new(path))?)
    })
}

/// Reads an identity that aliot_identity_save wrote.
///
/// # Errors
///
/// ALIOT_RESULT_FILE_NOT_FOUND if there is no such file; ALIOT_RESULT_FILE_EXPOSED if others than
/// its owner have any permission on it; ALIOT_RESULT_FILE_DAMAGED if it is cut off, changed or
/// something else; ALIOT_RESULT_FILE_ACCESS if the system refuses.
///
/// # Safety
///
/// `path` must be NULL or NUL-terminated, `identity_out` NULL or valid for writing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn aliot_identity_load(
    path: *const c_char,
    identity_out: *mut *mut aliot_identity,
) -> aliot_result {
    guard(|| {
        // SAFETY: the contract of this function.
        let out = unsafe { Out::required("identity_out", identity_out) }?;
        // SAFETY: the contract of this function.
        let path = unsafe { str_arg("path", path) }?;
        out.write(publish(Identity::load(Path::new(path))?)?);
        Ok(())
    })
}
