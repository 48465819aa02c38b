//! The date by which certificates are judged.

use std::ffi::c_void;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use super::callback::UserData;
use super::events::{aliot_clock_cb, aliot_release_cb};
use super::guard::guard;
use super::handle::refuse_child;
use super::result::aliot_result;
use crate::{set_wall_clock, set_wall_clock_floor};

/// Asks `on_time` for the date by which certificates are judged, instead of the system; NULL for the
/// system. Serves the whole process, and replaces the one set before.
///
/// For devices that know the date better than their clock, from a modem or a satellite. With a NULL
/// `on_time`, `userdata` and `release` are ignored.
///
/// # Safety
///
/// `userdata` must be usable from one thread at a time until it is released.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn aliot_clock_set_callback(
    on_time: aliot_clock_cb,
    userdata: *mut c_void,
    release: aliot_release_cb,
) -> aliot_result {
    guard(|| {
        refuse_child()?;
        set_wall_clock(on_time.map(|on_time| {
            // SAFETY: the contract of this function. From here on the library owns the data.
            let userdata = Mutex::new(unsafe { UserData::new(userdata, release) });
            move || {
                let userdata = userdata.lock().unwrap_or_else(PoisonError::into_inner);
                // SAFETY: the callback's contract.
                let seconds = unsafe { on_time(userdata.as_ptr()) };
                (seconds > 0).then(|| Duration::from_secs(seconds))
            }
        }));
        Ok(())
    })
}

/// The date, in seconds since 1970, before which no clock can be right: connecting with TLS then
/// fails with a text that says so. Default: when the library was built. Serves the whole process.
#[unsafe(no_mangle)]
pub extern "C" fn aliot_clock_set_floor_s(seconds: u64) -> aliot_result {
    guard(|| {
        refuse_child()?;
        set_wall_clock_floor(Duration::from_secs(seconds));
        Ok(())
    })
}
