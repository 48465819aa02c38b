//! What one sleeping thread is woken by: another thread, or the time that one of them has set.

use std::io;
use std::os::fd::AsFd;
use std::thread;
use std::time::Duration;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::eventfd::{EfdFlags, EventFd};
use nix::sys::time::TimeSpec;
use nix::sys::timerfd::{ClockId, Expiration, TimerFd, TimerFlags, TimerSetTimeFlags};

/// Whatever happens while nobody waits ends the next wait.
#[derive(Debug)]
pub(crate) struct Alarm {
    /// A timer could ring at once as well, but takes an interrupt for it.
    bell: EventFd,
    timer: TimerFd,
}

impl Alarm {
    /// # Errors
    ///
    /// The system's, if it gives no descriptor.
    pub(crate) fn new() -> io::Result<Self> {
        let flags = TimerFlags::TFD_CLOEXEC | TimerFlags::TFD_NONBLOCK;
        Ok(Self {
            bell: EventFd::from_flags(EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK)?,
            timer: TimerFd::new(ClockId::CLOCK_MONOTONIC, flags)?,
        })
    }

    /// Waits until it rings. It may ring for nothing.
    pub(crate) fn wait(&self) {
        let mut sources = [self.bell.as_fd(), self.timer.as_fd()]
            .map(|source| PollFd::new(source, PollFlags::POLLIN));
        match poll(&mut sources, PollTimeout::NONE) {
            Ok(_) | Err(Errno::EINTR) => {}
            // Out of memory, then; whoever waits looks again soon.
            Err(_) => thread::sleep(Duration::from_millis(1)),
        }
        let [by_bell, by_timer] = sources.map(|source| source.any() == Some(true));
        if by_bell {
            let _ = self.bell.read();
        }
        if by_timer {
            let _ = self.timer.wait();
        }
    }

    /// Rings now.
    pub(crate) fn ring(&self) {
        if self.bell.write(1).is_err() {
            self.ring_after(Duration::from_nanos(1));
        }
    }

    /// Rings in a while, unless silenced before.
    pub(crate) fn ring_after(&self, delay: Duration) {
        let expiration = Expiration::OneShot(TimeSpec::from_duration(delay));
        // The arguments are right, which is all that can be wrong with them.
        let _ = self.timer.set(expiration, TimerSetTimeFlags::empty());
    }

    /// Takes back what [`Alarm::ring_after`] said.
    pub(crate) fn silence(&self) {
        let _ = self.timer.unset();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bell_and_a_time_end_one_wait_each_and_silence_ends_none() {
        let alarm = Alarm::new().unwrap();
        thread::scope(|scope| {
            scope.spawn(|| alarm.wait());
            alarm.ring();
        });
        alarm.ring_after(Duration::from_millis(1));
        alarm.wait();
        alarm.ring_after(Duration::from_secs(3600));
        alarm.silence();
        let mut sources = [alarm.bell.as_fd(), alarm.timer.as_fd()]
            .map(|source| PollFd::new(source, PollFlags::POLLIN));
        assert_eq!(poll(&mut sources, PollTimeout::ZERO), Ok(0));
        assert_eq!(alarm.timer.get(), Ok(None), "it would still ring");
    }
}
