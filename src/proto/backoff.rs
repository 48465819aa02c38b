//! How long to wait before the next attempt.

use std::time::Duration;

/// Exponential back-off with equal jitter.
///
/// Half of each delay is fixed, so that a device never hammers the platform; half is random, so that
/// a fleet that lost its network together does not return together.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Backoff {
    min: Duration,
    max: Duration,
}

impl Backoff {
    /// Delays start at `min` and never exceed `max`.
    ///
    /// Returns `None` unless `0 < min <= max`.
    pub fn new(min: Duration, max: Duration) -> Option<Self> {
        (!min.is_zero() && min <= max).then_some(Self { min, max })
    }

    /// Delay before retry number `retry`, where 0 is the first retry after a failure.
    ///
    /// `entropy` selects the point inside the random half: 0 gives the shortest delay and
    /// `u32::MAX` the longest. The caller supplies it so that this function stays deterministic.
    pub fn delay(&self, retry: u32, entropy: u32) -> Duration {
        let factor = 2_u32.checked_pow(retry).unwrap_or(u32::MAX);
        let ceiling = self.min.saturating_mul(factor).min(self.max);
        let half = ceiling / 2;
        half + half.mul_f64(f64::from(entropy) / f64::from(u32::MAX))
    }

    /// Delay where trying again soon cannot help: the longest, less up to a quarter at random, so that
    /// a fleet that was refused together does not return together. `entropy` is as with
    /// [`Backoff::delay`].
    pub fn longest(&self, entropy: u32) -> Duration {
        let quarter = self.max / 4;
        self.max - quarter + quarter.mul_f64(f64::from(entropy) / f64::from(u32::MAX))
    }

    /// The ceiling of the first delay.
    pub fn min(&self) -> Duration {
        self.min
    }

    /// What no delay exceeds.
    pub fn max(&self) -> Duration {
        self.max
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn platform() -> Backoff {
        Backoff::new(Duration::from_secs(1), Duration::from_secs(120)).unwrap()
    }

    #[test]
    fn delays_double_from_one_second_to_two_minutes() {
        let longest: Vec<u64> = (0..10)
            .map(|retry| platform().delay(retry, u32::MAX).as_secs())
            .collect();
        assert_eq!(longest, [1, 2, 4, 8, 16, 32, 64, 120, 120, 120]);
    }

    #[test]
    fn half_of_each_delay_is_fixed() {
        let shortest: Vec<u128> = (0..9)
            .map(|retry| platform().delay(retry, 0).as_millis())
            .collect();
        assert_eq!(
            shortest,
            [500, 1000, 2000, 4000, 8000, 16_000, 32_000, 60_000, 60_000]
        );
    }

    #[test]
    fn a_quarter_of_the_longest_delay_is_random() {
        let longest = |entropy| platform().longest(entropy).as_secs();
        let half = u32::MAX / 2 + 1;
        assert_eq!([0, half, u32::MAX].map(longest), [90, 105, 120]);
    }

    #[test]
    fn a_backoff_without_a_delay_or_upside_down_does_not_exist() {
        let second = Duration::from_secs(1);
        assert_eq!(Backoff::new(Duration::ZERO, second), None);
        assert_eq!(Backoff::new(Duration::ZERO, Duration::ZERO), None);
        assert_eq!(Backoff::new(second * 2, second), None);
        assert!(Backoff::new(second, second).is_some());
    }

    proptest! {
        #[test]
        fn no_delay_is_shorter_than_half_its_ceiling_or_longer_than_the_maximum(
            min_ms in 1_u64..10_000,
            extra_ms in 0_u64..10_000_000,
            retry: u32,
            entropy: u32,
        ) {
            let min = Duration::from_millis(min_ms);
            let max = min + Duration::from_millis(extra_ms);
            let delay = Backoff::new(min, max).unwrap().delay(retry, entropy);
            prop_assert!(delay >= min / 2);
            prop_assert!(delay <= max);
        }
    }
}
