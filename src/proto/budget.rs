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
        while self
            .taken
            .front()
            .is_some_and(|first| *first + WINDOW <= now || self.taken.len() >= REMEMBERED)
        {
            self.taken.pop_front();
        }
        let place = self.taken.partition_point(|time| *time <= now);
        self.taken.insert(place, now);
        Ok(())
    }

    /// Gives back the attempt spent at `taken_at`: the platform never saw it, because the name
    /// lookup failed.
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
            .map_or(now, |time| now.max(*time + WINDOW))
    }
}
