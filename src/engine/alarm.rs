//! What one sleeping thread is woken by: another thread, or the time that one of them has set.

use std::io;
use std::thread;
use std::time::Duration;

use nix::sys::time::TimeSpec;
use nix::sys::timerfd::{ClockId, Expiration, TimerFd, TimerFlags, TimerSetTimeFlags};

/// Rings and times are remembered until the thread waits; one takes the place of the other.
#[derive(Debug)]
pub(crate) struct Alarm(TimerFd);

impl Alarm {
    /// # Errors
    ///
    /// The system's, if it gives no descriptor.
    pub(crate) fn new() -> io::Result<Self> {
        let timer = TimerFd::new(ClockId::CLOCK_MONOTONIC, TimerFlags::TFD_CLOEXEC)?;
        Ok(Self(timer))
    }

    /// Waits until it rings. It may ring for nothing.
    pub(crate) fn wait(&self) {
        if self.0.wait().is_err() {
            // Nothing can fail on a timer of our own; if it does, whoever waits looks again soon.
            thread::sleep(Duration::from_millis(1));
        }
    }

    /// Rings now.
    pub(crate) fn ring(&self) {
        self.ring_after(Duration::from_nanos(1));
    }

    /// Rings in a while, unless something else is said before.
    pub(crate) fn ring_after(&self, delay: Duration) {
        let expiration = Expiration::OneShot(TimeSpec::from_duration(delay));
        // The arguments are right, which is all that can be wrong with them.
        let _ = self.0.set(expiration, TimerSetTimeFlags::empty());
    }

    /// Rings no more.
    pub(crate) fn silence(&self) {
        let _ = self.0.unset();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ring_and_a_time_wake_the_thread_that_waits_and_silence_does_not() {
        let alarm = Alarm::new().unwrap();
        thread::scope(|scope| {
            scope.spawn(|| alarm.wait());
            alarm.ring();
        });
        alarm.ring_after(Duration::from_millis(1));
        alarm.wait();
        alarm.ring_after(Duration::from_secs(3600));
        alarm.silence();
        assert_eq!(alarm.0.get().unwrap(), None, "it would still ring");
    }
}
