//! The shaper: at most so many messages a second, by a bucket of tokens for each quality.

use std::time::Duration;

/// One quality's bucket: it holds one second's worth and fills evenly.
#[derive(Clone, Copy, Debug)]
pub struct Shaper {
    /// Time that one message costs; zero for no limit.
    cost: Duration,
    /// The bucket is full at this time, and empty one second before.
    full_at: Duration,
}

/// What a bucket holds.
const DEPTH: Duration = Duration::from_secs(1);

impl Shaper {
    /// `rate` messages a second; `None` for no limit.
    pub fn new(rate: Option<u32>) -> Self {
        Self {
            cost: rate.map_or(Duration::ZERO, |rate| DEPTH / rate.max(1)),
            full_at: Duration::ZERO,
        }
    }

    /// Takes one message out of the bucket, if there is one.
    pub fn take(&mut self, now: Duration) -> bool {
        let free = self.free_at(now) <= now;
        if free {
            self.full_at = self.full_at.max(now) + self.cost;
        }
        free
    }

    /// When the next message may leave: `now` if it may at once.
    pub fn free_at(&self, now: Duration) -> Duration {
        (self.full_at + self.cost).saturating_sub(DEPTH).max(now)
    }

    /// Whether there is no limit.
    pub fn is_open(&self) -> bool {
        self.cost.is_zero()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_second_carries_more_than_twice_the_rate_and_the_long_run_exactly_the_rate() {
        let mut shaper = Shaper::new(Some(10));
        let mut sent = Vec::new();
        for tick in 0..10_000_u64 {
            let now = Duration::from_millis(tick);
            while shaper.take(now) {
                sent.push(now);
            }
        }
        // The first burst, and then one every tenth of a second.
        assert_eq!(sent.iter().filter(|time| time.is_zero()).count(), 10);
        assert_eq!(sent.len(), 10 + 99);
    }

    #[test]
    fn the_time_of_the_next_message_is_exact() {
        let mut shaper = Shaper::new(Some(4));
        let now = Duration::from_secs(7);
        for _ in 0..4 {
            assert!(shaper.take(now));
        }
        let next = shaper.free_at(now);
        assert_eq!(next, now + Duration::from_millis(250));
        assert!(!shaper.take(next - Duration::from_nanos(1)));
        assert!(shaper.take(next));
    }

    #[test]
    fn without_a_limit_everything_passes() {
        let mut shaper = Shaper::new(None);
        assert!(shaper.is_open() && (0..100_000).all(|_| shaper.take(Duration::ZERO)));
    }
}
