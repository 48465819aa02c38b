//! Memory of large packets that have left, for those that follow in the same burst.
//!
//! Given back with each message and asked for anew with the next, it goes back and forth between
//! the allocator and the system, which clears every page of it: at 64 KiB a message, that took more
//! processor time than sending it.

use std::ops::RangeInclusive;
use std::time::Duration;

use bytes::BytesMut;

/// What is kept. Smaller ones cost the allocator little, and of larger ones there are never many.
const KEPT: RangeInclusive<usize> = 16 * 1024..=512 * 1024;

/// Bytes kept at the most.
const LIMIT: usize = 4 * 1024 * 1024;

/// So long after a burst they are given back: an idle connection holds no memory.
const LINGER: Duration = Duration::from_millis(100);

/// See the module.
#[derive(Debug, Default)]
pub struct Spares {
    buffers: Vec<BytesMut>,
    /// Of all of them.
    bytes: usize,
    /// When they are given back.
    ends: Option<Duration>,
}

impl Spares {
    /// Memory for the next packet: none, if none is kept.
    pub fn take(&mut self) -> BytesMut {
        let buffer = self.buffers.pop().unwrap_or_default();
        self.bytes -= buffer.capacity().min(self.bytes);
        buffer
    }

    /// Keeps the memory of a packet that has left, if it is worth it.
    pub fn keep(&mut self, mut buffer: BytesMut, now: Duration) {
        buffer.clear();
        let len = buffer.capacity();
        if KEPT.contains(&len) && self.bytes + len <= LIMIT {
            self.bytes += len;
            self.buffers.push(buffer);
            self.ends = Some(now + LINGER);
        }
    }

    /// When [`Spares::handle_timeout`] wants to be called.
    pub fn poll_timeout(&self) -> Option<Duration> {
        self.ends
    }

    /// Gives back what no burst has touched for a while.
    pub fn handle_timeout(&mut self, now: Duration) {
        if self.ends.is_some_and(|ends| ends <= now) {
            *self = Self::default();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Duration = Duration::from_secs(5);

    fn buffer(len: usize) -> BytesMut {
        BytesMut::with_capacity(len)
    }

    #[test]
    fn a_burst_gets_the_memory_of_what_has_left() {
        let mut spares = Spares::default();
        assert_eq!((spares.take().capacity(), spares.poll_timeout()), (0, None));
        let mut left = buffer(64 * 1024);
        left.extend_from_slice(b"a packet");
        let place = left.as_ptr();
        spares.keep(left, NOW);
        let again = spares.take();
        assert_eq!((again.as_ptr(), again.len()), (place, 0));
        assert_eq!(spares.take().capacity(), 0);
    }

    #[test]
    fn small_and_huge_packets_leave_nothing_behind() {
        let mut spares = Spares::default();
        for (len, is_kept) in [
            (0, false),
            (16 * 1024 - 1, false),
            (16 * 1024, true),
            (512 * 1024, true),
            (512 * 1024 + 1, false),
        ] {
            spares.keep(buffer(len), NOW);
            assert_eq!(spares.take().capacity(), if is_kept { len } else { 0 });
        }
    }

    #[test]
    fn no_more_is_kept_than_the_limit() {
        let mut spares = Spares::default();
        for _ in 0..9 {
            spares.keep(buffer(512 * 1024), NOW);
        }
        spares.keep(buffer(16 * 1024), NOW);
        let kept = |spares: &mut Spares| {
            let buffers = std::iter::from_fn(|| Some(spares.take()).filter(|b| b.capacity() > 0));
            buffers.collect::<Vec<_>>()
        };
        let all = kept(&mut spares);
        assert_eq!(all.len(), 8);
        // And once more, because what was taken does not count any more.
        all.into_iter().for_each(|buffer| spares.keep(buffer, NOW));
        assert_eq!(kept(&mut spares).len(), 8);
    }

    #[test]
    fn a_while_after_the_last_packet_they_are_given_back() {
        let mut spares = Spares::default();
        spares.keep(buffer(64 * 1024), NOW);
        let later = NOW + LINGER / 2;
        spares.keep(buffer(64 * 1024), later);
        spares.handle_timeout(NOW + LINGER);
        assert_eq!(spares.poll_timeout(), Some(later + LINGER));
        assert_eq!(spares.buffers.len(), 2);
        spares.handle_timeout(later + LINGER);
        assert_eq!(spares.poll_timeout(), None);
        assert_eq!((spares.buffers.capacity(), spares.bytes), (0, 0));
    }
}
