//! The inbox: what has arrived and the application has not yet handled, and the limits on it.

use bytes::BytesMut;

use super::codec;

/// What a waiting message is charged besides its packet.
const MESSAGE_OVERHEAD: usize = 96;

/// See the module.
#[derive(Debug)]
pub struct Inbox {
    max_held: u64,
    max_bytes: usize,
    /// QoS 1 messages that were taken, and those of them whose callback has returned, or whose
    /// connection is gone.
    taken: u64,
    returned: u64,
    /// Bytes waiting for callbacks, of every connection.
    bytes: usize,
    /// QoS 0 messages dropped and not yet reported.
    dropped: u64,
    acks: Vec<u16>,
}

impl Inbox {
    /// Holds at most `messages` of QoS 1 unacknowledged, and `bytes` of everything.
    pub fn new(messages: u32, bytes: usize) -> Self {
        Self {
            max_held: messages.into(),
            max_bytes: bytes,
            taken: 0,
            returned: 0,
            bytes: 0,
            dropped: 0,
            acks: Vec::new(),
        }
    }

    /// Whether a message whose packet has `len` bytes fits. One always does.
    pub fn has_room(&self, len: usize, is_qos_1: bool) -> bool {
        let fits = self.bytes == 0 || self.bytes + len + MESSAGE_OVERHEAD <= self.max_bytes;
        fits && !(is_qos_1 && self.taken - self.returned >= self.max_held)
    }

    /// Takes a message, if there is room for it; counts it, as waiting or as dropped.
    pub fn accept(&mut self, len: usize, is_qos_1: bool) -> bool {
        if !self.has_room(len, is_qos_1) {
            self.dropped += u64::from(!is_qos_1);
            return false;
        }
        self.taken += u64::from(is_qos_1);
        self.bytes += len + MESSAGE_OVERHEAD;
        true
    }

    /// What a delivered message gives back.
    pub fn charge(len: usize) -> usize {
        len + MESSAGE_OVERHEAD
    }

    /// Callbacks have returned. Returns how many messages were dropped since the last report.
    pub fn handle_delivered(&mut self, bytes: usize, ids: impl Iterator<Item = u16>) -> u64 {
        let before = self.acks.len();
        self.acks.extend(ids);
        let returned = self.returned + (self.acks.len() - before) as u64;
        self.returned = returned.min(self.taken);
        self.bytes = self.bytes.saturating_sub(bytes);
        std::mem::take(&mut self.dropped)
    }

    /// The connection is gone, and its acknowledgements with it: the platform delivers again.
    pub fn handle_lost(&mut self) -> u64 {
        self.returned = self.taken;
        self.acks.clear();
        std::mem::take(&mut self.dropped)
    }

    /// The QoS 1 messages that were taken up to now, for [`Inbox::is_held`].
    pub fn mark(&self) -> u64 {
        self.taken
    }

    /// Whether the callback of a message before `mark` has yet to return.
    pub fn is_held(&self, mark: u64) -> bool {
        // Callbacks return in order.
        self.returned < mark
    }

    /// Bytes that wait for callbacks.
    pub fn level(&self) -> usize {
        self.bytes
    }

    /// Whether acknowledgements wait.
    pub fn has_acks(&self) -> bool {
        !self.acks.is_empty()
    }

    /// Appends them. They never wait for the window of what the device publishes.
    pub fn fill_acks(&mut self, head: &mut BytesMut) {
        for id in self.acks.drain(..) {
            codec::encode_puback(head, id);
        }
    }
}

#[cfg(test)]
mod tests;
