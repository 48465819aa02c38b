//! Whether this process is a fork of the one that used the library.
//!
//! A child has none of the library's threads, and its copy of a lock may be held by one of them for
//! ever. Whoever is about to take a lock on behalf of C therefore asks here first.

use std::sync::atomic::{AtomicBool, Ordering};

static ARMED: AtomicBool = AtomicBool::new(false);
static IN_CHILD: AtomicBool = AtomicBool::new(false);

/// What a child is told.
pub(super) const EXPLANATION: &str =
    "this process is a fork of the one that used the library, which it cannot continue to use";

/// Whether the process was forked after the first call of this function. Costs two loads.
pub(super) fn in_child() -> bool {
    // Not `Once`: a child forked while another thread is inside it would wait for ever.
    if !ARMED.load(Ordering::Relaxed) && !ARMED.swap(true, Ordering::Relaxed) {
        // SAFETY: `note_child` is a function of this library, which is linked `nodelete`.
        // The only failure is being out of memory: then a child is not recognised.
        let _ = unsafe { libc::pthread_atfork(None, None, Some(note_child)) };
    }
    IN_CHILD.load(Ordering::Relaxed)
}

/// Runs in the child, before `fork` returns there. Must be async-signal-safe.
extern "C" fn note_child() {
    IN_CHILD.store(true, Ordering::Relaxed);
}
