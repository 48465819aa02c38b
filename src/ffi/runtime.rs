//! Runtime: where clients run.

use std::ffi::c_int;
use std::sync::Arc;
use std::time::Duration;

use super::config::milliseconds;
use super::guard::{guard, guard_or};
use super::handle::{Registry, refuse_child};
use super::ptr::Out;
use super::result::aliot_result;
use super::types::{aliot_dispatch_raw, aliot_runtime, dispatch};
use crate::Runtime;

pub(super) static RUNTIMES: Registry<Runtime> = Registry::new("runtime");

/// Starts two threads, which take turns at the network and at callbacks, or for ALIOT_DISPATCH_POLL
/// a network thread.
///
/// Few programs need it: clients that name no runtime share one of the kind ALIOT_DISPATCH_THREAD.
///
/// # Errors
///
/// ALIOT_RESULT_INVALID_ARGUMENT if `dispatch` is not a value of aliot_dispatch;
/// ALIOT_RESULT_NO_RESOURCES if the system has no thread or descriptor left.
///
/// # Safety
///
/// `runtime_out` must be NULL or valid for writing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn aliot_runtime_create(
    dispatch: aliot_dispatch_raw,
    runtime_out: *mut *mut aliot_runtime,
) -> aliot_result {
    guard(|| {
        // SAFETY: the contract of this function.
        let out = unsafe { Out::required("runtime_out", runtime_out) }?;
        let dispatch = self::dispatch(dispatch)?;
        refuse_child()?;
        out.write(RUNTIMES.insert(Arc::new(Runtime::new(dispatch)?))?);
        Ok(())
    })
}

/// Ends the life of the handle. The threads end with the last client and the last registration on
/// the runtime; if there is none any more, nor a poll, this waits until they have, and for a
/// callback that one of them may be in, except inside a callback. Nothing else waits for threads.
///
/// On an ALIOT_DISPATCH_POLL runtime it ends an aliot_runtime_poll in progress, which finishes with
/// the client that it is at, 256 callbacks at most, and returns ALIOT_RESULT_OK. Outside callbacks
/// this waits for that poll and runs, on this thread, what clients that were destroyed inside
/// callbacks still have to complete and release, and `on_end` of each registration that has ended,
/// because the platform gives a secret only once; when it returns, nothing calls back for a client
/// that outlives the handle, except aliot_client_destroy, and a registration that ends later only
/// releases. Inside a callback it does not wait: the poll in progress runs what is owed, or if there
/// is none the network thread of the runtime, but for `on_end`, in place of which it only releases.
/// So does that thread for clients that are destroyed inside callbacks later; such callbacks hold up
/// the network of the other clients of this runtime. NULL and a destroyed handle do nothing.
#[unsafe(no_mangle)]
pub extern "C" fn aliot_runtime_destroy(runtime: *mut aliot_runtime) {
    guard_or((), || {
        if let Some(runtime) = RUNTIMES.remove(runtime) {
            Arc::unwrap_or_clone(runtime).finish();
        }
        Ok(())
    });
}

/// Runs the callbacks that are due, on this thread. Waits up to `timeout_ms` for the first; 0 does
/// not wait, UINT32_MAX waits for ever.
///
/// Blocks. Stores the number of callbacks that ran through `count_out`, which may be NULL; running
/// none is ALIOT_RESULT_OK with 0, when the time is over or sooner, as it is when another thread
/// destroys the runtime: the next call answers ALIOT_RESULT_BAD_HANDLE.
///
/// # Errors
///
/// ALIOT_RESULT_INVALID_STATE on an ALIOT_DISPATCH_THREAD runtime, while another thread polls this
/// one, and if another destroys it at that moment; ALIOT_RESULT_WOULD_DEADLOCK inside a callback.
///
/// # Safety
///
/// `count_out` must be NULL or valid for writing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn aliot_runtime_poll(
    runtime: *mut aliot_runtime,
    timeout_ms: u32,
    count_out: *mut usize,
) -> aliot_result {
    guard(|| {
        // SAFETY: the contract of this function.
        let out = unsafe { Out::optional(count_out) };
        let runtime = RUNTIMES.get(runtime)?;
        let timeout = match timeout_ms {
            u32::MAX => Duration::MAX,
            timeout_ms => milliseconds(timeout_ms),
        };
        let count = runtime.poll(timeout)?;
        if let Some(out) = out {
            out.write(count);
        }
        Ok(())
    })
}

/// A descriptor that is readable while aliot_runtime_poll has callbacks to run, for select, poll,
/// epoll and event loops built on them.
///
/// It belongs to the runtime: do not read, write or close it. -1 for a bad handle and for an
/// ALIOT_DISPATCH_THREAD runtime.
#[unsafe(no_mangle)]
pub extern "C" fn aliot_runtime_fd(runtime: *const aliot_runtime) -> c_int {
    guard_or(-1, || Ok(RUNTIMES.get(runtime)?.fd().unwrap_or(-1)))
}
