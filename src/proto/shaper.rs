//! The shaper: at most so many messages in any second.

use std::collections::VecDeque;
use std::time::Duration;

/// The window in which messages are counted: the platform's limits are per second.
const WINDOW: Duration = Duration::from_secs(1).saturating_add(JITTER);

/// What one message may take longer on its way than another that left a second later: without it, the
/// platform would count both in one second, and drop what exceeds the limit.
const JITTER: Duration = Duration::from_millis(100);

/// One quality's limit. A burst of as many messages as a second may carry leaves at once; the next
/// waits until the first of them is a little more than a second old, wherever the platform's
/// seconds begin.
#[derive(Clone, Debug)]
pub struct Shaper {
    /// `None` for no limit.
    rate: Option<usize>,
    /// When the messages of the last window left, the oldest first.
    left: VecDeque<Duration>,
}

impl Shaper {
    /// `rate` messages a second; `None` for no limit.
    pub fn new(rate: Option<u32>) -> Self {
        Self {
            rate: rate.map(|rate| rate.max(1) as usize),
            left: VecDeque::new(),
        }
    }

    /// Lets one message leave, if it may.
    pub fn take(&mut self, now: Duration) -> bool {
        let Some(rate) = self.rate else {
            return true;
        };
        if self.free_at(now) > now {
            return false;
        }
        while self.left.len() >= rate {
            self.left.pop_front();
        }
        self.left.push_back(now);
        true
    }

    /// When the next message may leave: `now` if it may at once.
    pub fn free_at(&self, now: Duration) -> Duration {
        match (self.rate, self.left.front()) {
            (Some(rate), Some(&first)) if self.left.len() >= rate => now.max(first + WINDOW),
            _ => now,
        }
    }

    /// Whether there is no limit.
    pub fn is_open(&self) -> bool {
        self.rate.is_none()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_has_no_limit_is_open() {
        assert!(Shaper::new(None).is_open());
        assert!(!Shaper::new(Some(5)).is_open());
    }

    #[test]
    fn no_second_carries_more_than_the_rate_wherever_it_begins() {
        let mut shaper = Shaper::new(Some(10));
        let mut sent = Vec::new();
        for tick in 0..10_000_u64 {
            let now = Duration::from_millis(tick);
            while (tick < 3000 || tick % 70 == 0) && shaper.take(now) {
                sent.push(now);
            }
        }
        for begin in &sent {
            let within = sent
                .iter()
                .filter(|&time| (*begin..*begin + WINDOW).contains(time));
            assert!(within.count() <= 10, "in the second from {begin:?}");
        }
        assert!(sent.len() >= 86, "and it is used: {}", sent.len());
    }

    #[test]
    fn no_second_carries_more_where_messages_are_late_by_turns() {
        let mut shaper = Shaper::new(Some(10));
        let mut arrived = Vec::new();
        for tick in 0..20_000_u64 {
            let now = Duration::from_millis(tick);
            while shaper.take(now) {
                let late = [100, 0, 50, 99][arrived.len() / 10 % 4];
                arrived.push(now + Duration::from_millis(late));
            }
        }
        for begin in &arrived {
            let second = *begin..*begin + Duration::from_secs(1);
            let within = arrived.iter().filter(|&time| second.contains(time));
            assert!(within.count() <= 10, "in the second from {begin:?}");
        }
    }

    #[test]
    fn the_time_of_the_next_message_is_exact() {
        let mut shaper = Shaper::new(Some(4));
        let now = Duration::from_secs(7);
        for _ in 0..4 {
            assert!(shaper.take(now));
        }
        let next = shaper.free_at(now);
        assert_eq!(next, now + WINDOW);
        assert!(!shaper.take(next - Duration::from_nanos(1)));
        assert!(shaper.take(next));
    }

    #[test]
    fn without_a_limit_everything_passes() {
        let mut shaper = Shaper::new(None);
        assert!(shaper.is_open() && (0..100_000).all(|_| shaper.take(Duration::ZERO)));
    }
}
