//! The bounded queue of packets toward one client, and how its connection is to end.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{Notify, watch};
use tokio::time::Instant;

use crate::faults::Faults;

/// How a connection ends from the simulator's side.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum End {
    /// What is queued is sent, then TLS close_notify and FIN.
    Close,
    /// The socket is closed at once: no close_notify, nothing of what is queued.
    Cut,
    /// The socket is reset at once.
    Reset,
}

/// Bounds of the queue. A client that leaves this much unread is not going to catch up; the bytes
/// leave room for a full window of the largest messages.
const MAX_PACKETS: usize = 4096;
const MAX_BYTES: usize = 32 * 1024 * 1024;

#[derive(Default)]
struct Queue {
    /// Packets with the time from which they may go out.
    packets: VecDeque<(Instant, Bytes)>,
    bytes: usize,
}

/// Packets toward one client.
pub(crate) struct Outbox {
    queue: Mutex<Queue>,
    filled: Notify,
    end: watch::Sender<Option<End>>,
    delay_ms: AtomicU64,
    corrupt: AtomicU32,
    /// Whether the connection is to stop reading.
    paused: watch::Sender<bool>,
}

impl Outbox {
    pub(crate) fn new() -> Self {
        Self {
            queue: Mutex::new(Queue::default()),
            filled: Notify::new(),
            end: watch::Sender::new(None),
            delay_ms: AtomicU64::new(0),
            corrupt: AtomicU32::new(0),
            paused: watch::Sender::new(false),
        }
    }

    /// Takes over what concerns the connection itself. Packets that are queued keep their time.
    pub(crate) fn set_faults(&self, faults: &Faults) {
        self.delay_ms.store(faults.delay_ms, Ordering::Relaxed);
        self.corrupt.store(faults.corrupt, Ordering::Relaxed);
        self.paused.send_replace(faults.stop_reading);
    }

    /// Tells whether the connection is to stop reading.
    pub(crate) fn paused(&self) -> watch::Receiver<bool> {
        self.paused.subscribe()
    }

    /// Spoils the packet if that was asked for.
    pub(crate) fn spoil(&self, packet: Bytes) -> Bytes {
        let less = |left: u32| left.checked_sub(1);
        let (set, fetch) = (Ordering::Relaxed, Ordering::Relaxed);
        match (
            self.corrupt.fetch_update(set, fetch, less),
            packet.split_first(),
        ) {
            // The type of 15 is reserved: no receiver may take it. Source: MQTT 3.1.1, 2.2.1.
            (Ok(_), Some((first, rest))) => {
                let mut spoiled = vec![first | 0xF0];
                spoiled.extend_from_slice(rest);
                spoiled.into()
            }
            _ => packet,
        }
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Appends a packet; false if there is no room. Never waits.
    #[must_use]
    pub(crate) fn push(&self, packet: Bytes) -> bool {
        let mut queue = self.queue();
        if queue.packets.len() >= MAX_PACKETS || queue.bytes + packet.len() > MAX_BYTES {
            return false;
        }
        queue.bytes += packet.len();
        let delay = Duration::from_millis(self.delay_ms.load(Ordering::Relaxed));
        queue.packets.push_back((Instant::now() + delay, packet));
        drop(queue);
        self.filled.notify_one();
        true
    }

    /// Ends the connection. A later, more abrupt end replaces an orderly one.
    pub(crate) fn end(&self, how: End) {
        self.end.send_if_modified(|end| {
            let replace = end.is_none() || (*end == Some(End::Close) && how != End::Close);
            if replace {
                *end = Some(how);
            }
            replace
        });
        self.filled.notify_one();
    }

    /// How the connection is to end, if that was decided.
    pub(crate) fn ending(&self) -> Option<End> {
        *self.end.borrow()
    }

    /// Waits until the connection is to end.
    pub(crate) async fn ended(&self) {
        // The sender lives as long as `self`, so waiting cannot fail.
        let _ = self.end.subscribe().wait_for(Option::is_some).await;
    }

    /// Waits until the connection is to end at once.
    pub(crate) async fn aborted(&self) {
        let abrupt = |end: &Option<End>| matches!(end, Some(End::Cut | End::Reset));
        let _ = self.end.subscribe().wait_for(abrupt).await;
    }

    /// The next packet in order with the time from which it may go out, or `None` when the connection is to end and nothing is left.
    pub(crate) async fn next(&self) -> Option<(Instant, Bytes)> {
        loop {
            {
                let mut queue = self.queue();
                if let Some((due, packet)) = queue.packets.pop_front() {
                    queue.bytes -= packet.len();
                    return Some((due, packet));
                }
            }
            if self.ending().is_some() {
                return None;
            }
            self.filled.notified().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_queue_is_bounded_by_packets_and_by_bytes() {
        let outbox = Outbox::new();
        let pushed = (0..)
            .take_while(|_| outbox.push(Bytes::from_static(b"x")))
            .count();
        assert_eq!(pushed, MAX_PACKETS);
        let outbox = Outbox::new();
        let large = Bytes::from(vec![0; MAX_BYTES / 4]);
        assert_eq!((0..).take_while(|_| outbox.push(large.clone())).count(), 4);
    }

    #[test]
    fn an_abrupt_end_replaces_an_orderly_one_and_not_the_other_way_round() {
        let outbox = Outbox::new();
        outbox.end(End::Close);
        outbox.end(End::Reset);
        outbox.end(End::Close);
        assert_eq!(outbox.ending(), Some(End::Reset));
    }
}
