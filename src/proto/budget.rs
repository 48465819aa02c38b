//! How often one identity may connect: at most so many attempts in any minute.

use std::collections::VecDeque;
use std::time::Duration;

/// The rolling window. Source: the platform's limits, connects per device and minute.
const WINDOW: Duration = Duration::from_secs(60);
/// Most attempts remembered, so that a client without a limit does not remember for ever.
const REMEMBERED: usize = 60_000;

/// At most so many connects in any 60 seconds, wherever those seconds begin.
///
/// One budget serves all clients of one identity, so the times it is given must come from one
/// clock of the process. They may arrive slightly out of order.
#[derive(Clone, Debug)]
pub struct Budget {
    per_minute: Option<u32>,
    /// Times of the attempts that may still count, sorted.
    taken: VecDeque<Duration>,
}

impl Budget {
    /// `per_minute` connects in any minute (0 counts as 1), or any number if `None`.
    pub fn new(per_minute: Option<u32>) -> Self {
        Self {
            per_minute,
            taken: VecDeque::new(),
        }
    }

    /// Changes the limit. Attempts made before count against the new one.
    pub fn set_limit(&mut self, per_minute: Option<u32>) {
        self.per_minute = per_minute;
    }

    /// Spends one attempt at the time `now`.
    ///
    /// # Errors
    ///
    /// The earliest time at which an attempt is allowed, if none is now. Nothing is spent.
    pub fn take(&mut self, now: Duration) -> Result<(), Duration> {
        let free_at = self.next_free(now);
        if free_at > now {
            return Err(free_at);
        }
        while self.taken.front().is_some_and(|first| {
            first.saturating_add(WINDOW) <= now || self.taken.len() >= REMEMBERED
        }) {
            self.taken.pop_front();
        }
        let place = self.taken.partition_point(|time| *time <= now);
        self.taken.insert(place, now);
        Ok(())
    }

    /// Moves the attempt spent at `taken_at` to `now`: the platform sees it only now.
    pub fn postpone(&mut self, taken_at: Duration, now: Duration) {
        if let Ok(place) = self.taken.binary_search(&taken_at) {
            self.taken.remove(place);
            let place = self.taken.partition_point(|time| *time <= now);
            self.taken.insert(place, now);
        }
    }

    /// Gives back the attempt spent at `taken_at`: the platform never saw it, because the
    /// attempt ended before anything was dialled.
    pub fn refund(&mut self, taken_at: Duration) {
        if let Ok(place) = self.taken.binary_search(&taken_at) {
            self.taken.remove(place);
        }
    }

    /// Whether no attempt counts any more.
    pub fn is_unused(&self, now: Duration) -> bool {
        self.taken.back().is_none_or(|last| *last + WINDOW <= now)
    }

    /// The earliest time, `now` or later, at which [`take`](Self::take) succeeds if nobody else
    /// takes first.
    pub fn next_free(&self, now: Duration) -> Duration {
        let Some(limit) = self.per_minute else {
            return now;
        };
        // The attempt that has to leave the window: with it, the limit is reached.
        self.taken
            .len()
            .checked_sub(limit.max(1) as usize)
            .and_then(|place| self.taken.get(place))
            .map_or(now, |time| now.max(time.saturating_add(WINDOW)))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const fn s(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn five_connects_fit_into_a_minute_and_the_sixth_waits_for_the_first_to_leave_it() {
        let mut budget = Budget::new(Some(5));
        for second in [100, 101, 102, 103, 104] {
            assert_eq!(budget.take(s(second)), Ok(()));
        }
        assert_eq!(budget.take(s(105)), Err(s(160)));
        let almost = s(160) - Duration::from_nanos(1);
        assert_eq!(budget.take(almost), Err(s(160)));
        assert_eq!(budget.next_free(almost), s(160));
        assert_eq!(budget.take(s(160)), Ok(()));
        assert_eq!(budget.take(s(160)), Err(s(161)));
    }

    #[test]
    fn a_refused_attempt_spends_nothing() {
        let mut budget = Budget::new(Some(1));
        assert_eq!(budget.take(s(0)), Ok(()));
        for second in 1..60 {
            assert_eq!(budget.take(s(second)), Err(s(60)));
        }
        assert_eq!(budget.take(s(60)), Ok(()));
    }

    #[test]
    fn a_refund_makes_room_for_one_more() {
        let mut budget = Budget::new(Some(2));
        assert_eq!(budget.take(s(1)), Ok(()));
        assert_eq!(budget.take(s(2)), Ok(()));
        budget.refund(s(2));
        assert_eq!(budget.take(s(3)), Ok(()));
        assert_eq!(budget.take(s(4)), Err(s(61)));
    }

    #[test]
    fn a_refund_of_what_was_not_spent_changes_nothing() {
        let mut budget = Budget::new(Some(1));
        assert_eq!(budget.take(s(1)), Ok(()));
        budget.refund(s(2));
        assert_eq!(budget.take(s(3)), Err(s(61)));
    }

    #[test]
    fn without_a_limit_every_attempt_is_allowed_and_memory_is_bounded() {
        let mut budget = Budget::new(None);
        for _ in 0..REMEMBERED + 10 {
            assert_eq!(budget.take(s(1)), Ok(()));
        }
        assert_eq!(budget.taken.len(), REMEMBERED);
    }

    #[test]
    fn a_new_limit_counts_the_attempts_before_it() {
        let mut budget = Budget::new(None);
        for second in 0..10 {
            assert_eq!(budget.take(s(second)), Ok(()));
        }
        budget.set_limit(Some(5));
        // Five of the ten, those of seconds 5 to 9, fill the minute until second 65.
        assert_eq!(budget.take(s(10)), Err(s(65)));
        budget.set_limit(Some(11));
        assert_eq!(budget.take(s(10)), Ok(()));
    }

    #[test]
    fn a_limit_of_zero_counts_as_one() {
        let mut budget = Budget::new(Some(0));
        assert_eq!(budget.take(s(1)), Ok(()));
        assert_eq!(budget.take(s(2)), Err(s(61)));
    }

    #[test]
    fn a_late_report_of_an_earlier_time_counts_as_well() {
        let mut budget = Budget::new(Some(2));
        assert_eq!(budget.take(s(10)), Ok(()));
        assert_eq!(budget.take(s(9)), Ok(()));
        assert_eq!(budget.take(s(11)), Err(s(69)));
    }

    #[test]
    fn an_attempt_that_was_put_off_counts_from_when_it_was_made() {
        let mut budget = Budget::new(Some(3));
        for second in [1, 2, 20] {
            assert_eq!(budget.take(s(second)), Ok(()));
        }
        budget.postpone(s(1), s(10));
        assert_eq!(budget.next_free(s(21)), s(62));
        assert_eq!(budget.take(s(62)), Ok(()));
        assert_eq!(budget.take(s(62)), Err(s(70)));
        budget.postpone(s(3), s(63));
        assert_eq!(budget.next_free(s(62)), s(70), "nothing was spent then");
    }

    #[test]
    fn a_budget_is_unused_when_nothing_was_spent_for_a_minute() {
        let mut budget = Budget::new(Some(5));
        assert!(budget.is_unused(s(0)));
        assert_eq!(budget.take(s(1)), Ok(()));
        assert!(!budget.is_unused(s(1)));
        assert!(!budget.is_unused(s(61) - Duration::from_nanos(1)));
        assert!(budget.is_unused(s(61)));
    }

    #[derive(Clone, Debug)]
    enum Step {
        Take { after_ms: u64, early_ms: u64 },
        Refund,
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            5 => (0_u64..30_000, 0_u64..500)
                .prop_map(|(after_ms, early_ms)| Step::Take { after_ms, early_ms }),
            1 => Just(Step::Refund),
        ]
    }

    proptest! {
        #[test]
        fn no_minute_ever_holds_more_attempts_than_allowed(
            limit in 1_u32..8,
            steps in prop::collection::vec(step(), 1..100),
        ) {
            let mut budget = Budget::new(Some(limit));
            let mut clock = s(1);
            let mut accepted: Vec<Duration> = Vec::new();
            for step in steps {
                match step {
                    Step::Refund => {
                        if let Some(time) = accepted.pop() {
                            budget.refund(time);
                        }
                    }
                    Step::Take { after_ms, early_ms } => {
                        clock += Duration::from_millis(after_ms);
                        let now = clock - Duration::from_millis(early_ms);
                        match budget.take(now) {
                            Ok(()) => accepted.push(now),
                            Err(free_at) => {
                                prop_assert!(free_at > now);
                                prop_assert!(free_at <= clock + WINDOW);
                                prop_assert_eq!(budget.clone().take(free_at), Ok(()));
                            }
                        }
                    }
                }
                for start in &accepted {
                    let window = *start..*start + WINDOW;
                    let count = accepted.iter().filter(|&time| window.contains(time)).count();
                    prop_assert!(count <= limit as usize, "{count} from {start:?}");
                }
            }
        }
    }
}
