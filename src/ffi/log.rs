//! The log callback.

use std::ffi::c_void;
use std::sync::Arc;

use super::callback::UserData;
use super::events::{aliot_log_cb, aliot_log_record, aliot_release_cb};
use super::guard::guard;
use super::handle::refuse_child;
use super::result::aliot_result;
use super::text::CText;
use super::types::{aliot_log_level_raw, log_level};
use crate::log::{Record, set_sink};

/// Replaces the process-wide log callback; NULL turns logging off.
///
/// `on_record` receives records up to and including `max_level`, on whichever thread logs, on
/// several at once, and must not call the library. Logging is off until the first call. With a NULL
/// `on_record`, `userdata` and `release` are ignored. The previous callback's user data is released
/// when the last record given to it has been handled.
///
/// # Errors
///
/// ALIOT_RESULT_INVALID_ARGUMENT if `max_level` is not a value of aliot_log_level.
///
/// # Safety
///
/// `userdata` must be usable from every thread, and from several at once, until it is released.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn aliot_log_set_callback(
    max_level: aliot_log_level_raw,
    on_record: aliot_log_cb,
    userdata: *mut c_void,
    release: aliot_release_cb,
) -> aliot_result {
    guard(|| {
        refuse_child()?;
        let max_level = log_level(max_level)?;
        let Some(on_record) = on_record else {
            set_sink(max_level, None);
            return Ok(());
        };
        let sink = Sink {
            on_record,
            // SAFETY: the contract of this function.
            userdata: unsafe { UserData::new(userdata, release) },
        };
        set_sink(max_level, Some(Arc::new(move |record| sink.write(record))));
        Ok(())
    })
}

struct Sink {
    on_record: unsafe extern "C" fn(*const aliot_log_record, *mut c_void),
    userdata: UserData,
}

impl Sink {
    fn write(&self, record: &Record<'_>) {
        let target = CText::new(record.target);
        let text = CText::new(record.text);
        let record = aliot_log_record {
            level: record.level.into(),
            target: target.as_ptr(),
            text: text.as_ptr(),
            time_ms: u64::try_from(record.time.as_millis()).unwrap_or(u64::MAX),
        };
        // SAFETY: the contract of `aliot_log_set_callback`; the record lives until it returns.
        unsafe { (self.on_record)(&raw const record, self.userdata.as_ptr()) }
    }
}

// SAFETY: `aliot_log_set_callback` demands user data that several threads may use at once.
unsafe impl Sync for Sink {}
