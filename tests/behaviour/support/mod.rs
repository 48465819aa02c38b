//! What the behaviour tests share.

pub(crate) mod broker;
pub(crate) mod device;
pub(crate) mod mosquitto;

use std::time::{Duration, Instant};

/// How long a test waits for what must happen. Generous: it is reached only by a failure.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// Waits until `condition` holds, by looking again and again.
pub(crate) fn eventually(what: &str, condition: impl Fn() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !condition() {
        assert!(Instant::now() < deadline, "not within {PATIENCE:?}: {what}");
        std::thread::yield_now();
        std::thread::sleep(Duration::from_millis(1));
    }
}
