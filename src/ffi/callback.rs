//! User data on loan from C: owned, movable, released once.

use std::ffi::c_void;

use super::events::aliot_release_cb;

/// User data on loan from C.
pub(super) struct UserData {
    data: *mut c_void,
    release: aliot_release_cb,
}

impl UserData {
    /// # Safety
    ///
    /// `data` must be usable from any one thread at a time until `release` is called with it, or
    /// forever if `release` is NULL.
    pub(super) unsafe fn new(data: *mut c_void, release: aliot_release_cb) -> Self {
        Self { data, release }
    }

    pub(super) fn as_ptr(&self) -> *mut c_void {
        self.data
    }
}

impl Drop for UserData {
    fn drop(&mut self) {
        if let Some(release) = self.release {
            // SAFETY: the contract of `new`; `drop` runs once and nothing uses the data after it.
            unsafe { release(self.data) }
        }
    }
}

// SAFETY: `new` demands that the data may move between threads. It is not `Sync`: one at a time.
unsafe impl Send for UserData {}
