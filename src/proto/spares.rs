//! Memory of large packets that have left or arrived, for those that follow in the same burst.
//!
//! Given back with each message and asked for anew with the next, it goes back and forth between
//! the allocator and the system, which clears every page of it: at 64 KiB a message, that took more
//! processor time than sending it.

use std::ops::RangeInclusive;
use std::time::Duration;

use bytes::BytesMut;

/// From this size on, in bytes, a message is worth more care than many small ones together: it is copied
/// outside of the lock and sent from where it is kept, read into its place, and its memory serves
/// the next one.
pub const LARGE: usize = 16 * 1024;

/// What is kept. Of larger ones there are never many.
const KEPT: RangeInclusive<usize> = LARGE..=512 * 1024;

/// Bytes kept at the most.
const LIMIT: usize = 4 * 1024 * 1024;

/// A burst is worth it from so many bytes on: ten thousand connections with a message each now and then
/// would have the heap in pieces for nothing.
const BURST: usize = 1024 * 1024;

/// It is over when nothing has left or arrived for so long. Then all memory is given back: an idle
/// connection holds none.
const LINGER: Duration = Duration::from_millis(5);

/// See the module.
#[derive(Debug, Default)]
pub struct Spares {
    buffers: Vec<BytesMut>,
    /// Of all of them.
    bytes: usize,
    /// When the last packet was done with, and the bytes of the present burst.
    last: Option<Duration>,
    burst: usize,
}

impl Spares {
    /// Memory for the next packet, of `len` bytes: none, if none is kept that it would fill by a
    /// quarter at least. Limits count the bytes of packets, not of memory.
    pub fn take(&mut self, len: usize) -> BytesMut {
        let fits = len..=len.saturating_mul(4);
        let mut buffers = self.buffers.iter();
        let found = buffers.rposition(|buffer| fits.contains(&buffer.capacity()));
        let buffer = found.map(|index| self.buffers.swap_remove(index));
        let buffer = buffer.unwrap_or_default();
        self.bytes -= buffer.capacity().min(self.bytes);
        buffer
    }

    /// Keeps the memory of a packet that is done with, if it is worth it.
    pub fn keep(&mut self, mut buffer: BytesMut, now: Duration) {
        let len = buffer.capacity();
        if !KEPT.contains(&len) {
            return;
        }
        if self.last.is_none_or(|last| now >= last + LINGER) {
            self.burst = 0;
        }
        self.last = Some(now);
        self.burst = self.burst.saturating_add(len);
        if self.burst > BURST && self.bytes + len <= LIMIT {
            buffer.clear();
            self.bytes += len;
            self.buffers.push(buffer);
        }
    }

    /// When [`Spares::handle_timeout`] wants to be called.
    pub fn poll_timeout(&self) -> Option<Duration> {
        let last = self.last.filter(|_| !self.buffers.is_empty());
        last.map(|last| last + LINGER)
    }

    /// Gives back what no burst has touched for a while.
    pub fn handle_timeout(&mut self, now: Duration) {
        if self.poll_timeout().is_some_and(|ends| ends <= now) {
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

    /// In the middle of a burst.
    fn spares() -> Spares {
        let mut spares = Spares::default();
        for _ in 0..BURST / (64 * 1024) {
            spares.keep(buffer(64 * 1024), NOW);
            assert_eq!((spares.buffers.len(), spares.poll_timeout()), (0, None));
        }
        spares
    }

    #[test]
    fn a_burst_gets_the_memory_of_what_has_left() {
        let mut spares = spares();
        let mut left = buffer(64 * 1024);
        left.extend_from_slice(b"a packet");
        let place = left.as_ptr();
        spares.keep(left, NOW);
        let again = spares.take(60_000);
        assert_eq!((again.as_ptr(), again.len()), (place, 0));
        assert_eq!(spares.take(64 * 1024).capacity(), 0);
    }

    #[test]
    fn a_packet_gets_memory_that_it_fits_and_fills_by_a_quarter() {
        for (len, is_given) in [
            (24_999, false),
            (25_000, true),
            (100_000, true),
            (100_001, false),
        ] {
            let mut spares = spares();
            spares.keep(buffer(100_000), NOW);
            spares.keep(buffer(500_000), NOW);
            let given = spares.take(len).capacity();
            assert_eq!(given, if is_given { 100_000 } else { 0 }, "{len} bytes");
            let left = if is_given { 500_000 } else { 600_000 };
            assert_eq!(spares.bytes, left);
        }
    }

    #[test]
    fn packets_that_come_alone_leave_nothing_behind() {
        let mut spares = spares();
        for n in 1..50 {
            spares.keep(buffer(64 * 1024), NOW + LINGER * n);
            assert_eq!((spares.buffers.len(), spares.poll_timeout()), (0, None));
        }
    }

    #[test]
    fn small_and_huge_packets_leave_nothing_behind() {
        let mut spares = spares();
        for (len, is_kept) in [
            (0, false),
            (16 * 1024 - 1, false),
            (16 * 1024, true),
            (512 * 1024, true),
            (512 * 1024 + 1, false),
        ] {
            spares.keep(buffer(len), NOW);
            assert_eq!(spares.take(len).capacity(), if is_kept { len } else { 0 });
        }
    }

    #[test]
    fn no_more_is_kept_than_the_limit() {
        let mut spares = spares();
        let kept = |spares: &mut Spares| {
            let mut take = || Some(spares.take(512 * 1024)).filter(|b| b.capacity() > 0);
            let buffers = std::iter::from_fn(&mut take);
            buffers.collect::<Vec<_>>()
        };
        // And once more, because what was taken does not count any more.
        for _ in 0..2 {
            (0..9).for_each(|_| spares.keep(buffer(512 * 1024), NOW));
            spares.keep(buffer(16 * 1024), NOW);
            assert_eq!(kept(&mut spares).len(), 8);
        }
    }

    #[test]
    fn a_while_after_the_last_packet_they_are_given_back() {
        let mut spares = spares();
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
