//! One budget for each identity of the process, whatever clients and registrations come and go with
//! it. Source: docs/design.md, section 9.2.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::clock;
use crate::proto::budget::Budget;

/// The count of one identity.
pub(crate) type Shared = Arc<Mutex<Budget>>;

static BUDGETS: Mutex<Option<HashMap<String, Shared>>> = Mutex::new(None);

/// A budget nobody uses is forgotten when this many have gathered.
const BUDGETS_KEPT: usize = 1024;

/// The budget of the identity that `key` stands for, with `limit` connects in a minute from now on.
pub(super) fn of(key: String, limit: Option<u32>) -> Shared {
    if limit.is_none() {
        return Arc::new(Mutex::new(Budget::new(None)));
    }
    let mut budgets = BUDGETS.lock().unwrap_or_else(PoisonError::into_inner);
    let budgets = budgets.get_or_insert_default();
    if budgets.len() >= BUDGETS_KEPT && budgets.len().is_power_of_two() {
        let now = clock::now();
        budgets.retain(|_, budget| Arc::strong_count(budget) > 1 || !lock(budget).is_unused(now));
    }
    let budget = budgets
        .entry(key)
        .or_insert_with(|| Arc::new(Mutex::new(Budget::new(limit))));
    // Two clients share it: the stricter limit holds for both.
    if Arc::strong_count(budget) == 1 {
        lock(budget).set_limit(limit);
    } else {
        lock(budget).lower_limit(limit);
    }
    Arc::clone(budget)
}

pub(super) fn lock(budget: &Mutex<Budget>) -> MutexGuard<'_, Budget> {
    budget.lock().unwrap_or_else(PoisonError::into_inner)
}
