//! What queues have in common.

use std::collections::VecDeque;

/// Frees the place of a queue that is empty.
pub(crate) fn give_back<T>(queue: &mut VecDeque<T>) {
    if queue.is_empty() {
        *queue = VecDeque::new();
    }
}
