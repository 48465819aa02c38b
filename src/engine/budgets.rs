//! One budget for each identity of the process, whatever clients and registrations come and go with
//! it. Source: docs/design.md, section 9.2.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::clock;
use crate::proto::budget::Budget;

/// The count of one identity, and the limits of those who hold it.
struct Count {
    budget: Mutex<Budget>,
    /// Of each holder, sorted.
    limits: Mutex<Vec<u32>>,
}

impl Count {
    fn new(limit: Option<u32>) -> Arc<Self> {
        Arc::new(Self {
            budget: Mutex::new(Budget::new(limit)),
            limits: Mutex::default(),
        })
    }

    /// The strictest limit holds for all, as long as whoever has it.
    fn change(&self, change: impl FnOnce(&mut Vec<u32>)) {
        let mut limits = self.limits.lock().unwrap_or_else(PoisonError::into_inner);
        change(&mut limits);
        if let Some(least) = limits.first() {
            let mut budget = self.budget.lock().unwrap_or_else(PoisonError::into_inner);
            budget.set_limit(Some(*least));
        }
    }
}

/// One holder of a budget: its limit counts until it is dropped.
pub(crate) struct Holder {
    count: Arc<Count>,
    limit: Option<u32>,
}

impl Holder {
    fn new(count: Arc<Count>, limit: Option<u32>) -> Shared {
        if let Some(limit) = limit {
            count.change(|limits| {
                let place = limits.partition_point(|other| *other < limit);
                limits.insert(place, limit);
            });
        }
        Arc::new(Self { count, limit })
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        if let Some(limit) = self.limit {
            self.count.change(|limits| {
                if let Ok(place) = limits.binary_search(&limit) {
                    limits.remove(place);
                }
            });
        }
    }
}

/// A holder, which several parts of a client may share.
pub(crate) type Shared = Arc<Holder>;

static BUDGETS: Mutex<Option<HashMap<String, Arc<Count>>>> = Mutex::new(None);

/// A budget nobody uses is forgotten when this many have gathered.
const BUDGETS_KEPT: usize = 1024;

/// The budget of the identity that `key` stands for, with at most `limit` connects in a minute until
/// what is returned has been dropped.
pub(super) fn of(key: String, limit: Option<u32>) -> Shared {
    if limit.is_none() {
        return Holder::new(Count::new(None), None);
    }
    let mut budgets = BUDGETS.lock().unwrap_or_else(PoisonError::into_inner);
    let budgets = budgets.get_or_insert_default();
    if budgets.len() >= BUDGETS_KEPT && budgets.len().is_power_of_two() {
        let now = clock::now();
        budgets.retain(|_, count| {
            let budget = count.budget.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::strong_count(count) > 1 || !budget.is_unused(now)
        });
    }
    let count = budgets.entry(key).or_insert_with(|| Count::new(limit));
    Holder::new(Arc::clone(count), limit)
}

pub(super) fn lock(holder: &Holder) -> MutexGuard<'_, Budget> {
    let budget = holder.count.budget.lock();
    budget.unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    /// How many of ten attempts at the same time it allows. They are given back.
    fn room(holder: &Holder) -> usize {
        let (mut budget, now) = (lock(holder), Duration::from_secs(100));
        let taken = (0..10).filter(|_| budget.take(now).is_ok()).count();
        (0..taken).for_each(|_| budget.refund(now));
        taken
    }

    #[test]
    fn the_strictest_limit_of_those_who_hold_a_budget_holds() {
        let hold = |limit| of("budgets::tests::strictest".to_owned(), Some(limit));
        let loose = hold(7);
        assert_eq!(room(&loose), 7);
        let (strict, as_strict) = (hold(2), hold(2));
        let looser = hold(9);
        for holder in [&loose, &strict, &looser] {
            assert_eq!(room(holder), 2);
        }
        drop(strict);
        assert_eq!(room(&loose), 2, "another one has the same limit");
        let part = Arc::clone(&as_strict);
        drop(as_strict);
        assert_eq!(room(&loose), 2, "a part of its client is left");
        drop(part);
        assert_eq!((room(&loose), room(&looser)), (7, 7));
        drop(loose);
        assert_eq!(room(&looser), 9);
    }

    #[test]
    fn attempts_are_remembered_when_nobody_holds_the_budget() {
        let hold = |limit| of("budgets::tests::remembered".to_owned(), Some(limit));
        let now = Duration::from_secs(100);
        assert_eq!(lock(&hold(2)).take(now), Ok(()));
        assert_eq!(room(&hold(5)), 4);
    }

    #[test]
    fn who_has_no_limit_has_no_part_in_it() {
        let key = || "budgets::tests::unlimited".to_owned();
        let (limited, unlimited) = (of(key(), Some(1)), of(key(), None));
        assert_eq!((room(&limited), room(&unlimited)), (1, 10));
    }
}
