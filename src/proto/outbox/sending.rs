//! What leaves the outbox, in which order, and what becomes of it in the socket.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use zeroize::Zeroize;

use super::{Fallout, FilterOp, Held, Outbox, Sent};
use crate::proto::codec;
use crate::proto::direct::Segment;
use crate::proto::event::Token;
use crate::proto::spares::LARGE;

/// Bytes that one chunk takes from the ring before the socket is asked again.
const HEAD_LEN: usize = 32 * 1024;

/// A buffer of at most this size is kept for the next chunk. One that a large message or a burst
/// has made larger is given back: each of ten thousand idle connections would keep it.
const HEAD_KEPT: usize = 512;

/// Bytes on their way into the socket. The driver holds it while it writes and gives it back.
#[derive(Debug, Default)]
pub struct Chunk {
    /// Acknowledgements, pings, and what has a packet id.
    pub head: BytesMut,
    /// A large QoS 1 message, in the place where the outbox keeps it.
    large: Bytes,
    /// QoS 0 messages.
    direct: BytesMut,
    written: usize,
    is_secret: bool,
}

impl Drop for Chunk {
    fn drop(&mut self) {
        self.wipe();
    }
}

impl Chunk {
    /// The bytes that are still to be written, in order.
    pub fn rest(&self) -> [&[u8]; 3] {
        let mut written = self.written;
        [&*self.head, &*self.large, &*self.direct].map(|part| {
            let (_, rest) = part.split_at_checked(written).unwrap_or((part, &[]));
            written -= part.len() - rest.len();
            rest
        })
    }

    /// The socket took `len` bytes.
    pub fn advance(&mut self, len: usize) {
        self.written += len;
    }

    /// All of its bytes.
    pub fn len(&self) -> usize {
        self.head.len() + self.large.len() + self.direct.len()
    }

    /// The password is in it: it is wiped when it goes, sent or not.
    pub fn set_secret(&mut self) {
        self.is_secret = true;
    }

    /// Overwrites the head if the password is in it.
    pub fn wipe(&mut self) {
        if std::mem::take(&mut self.is_secret) {
            self.head.as_mut().zeroize();
        }
    }

    /// Whether the socket took everything.
    pub fn is_done(&self) -> bool {
        self.written >= self.len()
    }

    /// Adds a message that has a packet id.
    fn add(&mut self, message: &mut Held) {
        if message.is_large() {
            self.large = message.share();
        } else {
            self.head.extend_from_slice(message.bytes());
        }
    }

    /// Whether nothing more that has a packet id should be added.
    fn is_full(&self) -> bool {
        self.head.len() >= HEAD_LEN || !self.large.is_empty()
    }

    /// Whether there is anything in it.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl Outbox {
    /// When [`Outbox::fill`] has something to add: `now` if it has.
    pub fn poll_fill(&self, now: Duration) -> Option<Duration> {
        let [for_qos_0, for_qos_1] = &self.shapers;
        let room = self.ring.len() < self.window;
        if room && self.resend.is_none() && !self.filters.is_empty() {
            return Some(now);
        }
        let qos_0 = (!self.direct.is_empty()).then(|| for_qos_0.free_at(now));
        let publishes = self.resend.is_some() || (room && !self.queue.is_empty());
        let qos_1 = publishes.then(|| for_qos_1.free_at(now));
        [qos_0, qos_1].into_iter().flatten().min()
    }

    /// Whether the platform owes an acknowledgement.
    pub fn is_owed(&self) -> bool {
        !self.ring.is_empty()
    }

    /// The oldest message that left on this connection, which has been accepted, and has not been
    /// acknowledged, with its topic. [`Outbox::handle_lost`] forgets it.
    pub fn under_way(&self) -> Option<(Token, &str)> {
        let sent = self.resend.unwrap_or(self.ring.len());
        self.ring.first(sent).find_map(|sent| match sent {
            Sent::Publish(entry) => {
                let topic = codec::topic_of(entry.wire.bytes(), entry.id_at);
                Some((entry.token, topic))
            }
            _ => None,
        })
    }

    /// Moves what may be sent now into `chunk`.
    pub fn fill(&mut self, chunk: &mut Chunk, now: Duration) {
        self.fill_again(chunk, now);
        if self.resend.is_none() {
            self.fill_filters(chunk);
            self.fill_queue(chunk, now);
        }
        if chunk.direct.is_empty() {
            let [for_qos_0, _] = &mut self.shapers;
            chunk.direct = self.direct.pop(for_qos_0, now);
        }
    }

    /// What a resumed session had not acknowledged, in its order, before anything new.
    fn fill_again(&mut self, chunk: &mut Chunk, now: Duration) {
        let [_, for_qos_1] = &mut self.shapers;
        while let Some(index) = self.resend {
            let again = self.ring.slot_mut(index);
            if matches!(again, Some(Sent::Expired)) {
                // It has not left on this connection, and nothing will acknowledge it.
                let gone = self.ring.take_at(index).map_or(0, |(_, gone)| gone);
                let next = (index + 1).saturating_sub(gone);
                self.resend = (next < self.ring.len()).then_some(next);
                continue;
            }
            let publishes = matches!(again, Some(Sent::Publish(_)));
            if chunk.is_full() || (publishes && !for_qos_1.take(now)) {
                return;
            }
            self.resend = (index + 1 < self.ring.len()).then_some(index + 1);
            if let Some(Sent::Publish(entry)) = self.ring.slot_mut(index) {
                // MQTT-3.3.1-1: DUP on each repetition. The id is the one it had.
                codec::set_duplicate(entry.wire.edit(), true);
                chunk.add(&mut entry.wire);
            }
        }
    }

    fn fill_filters(&mut self, chunk: &mut Chunk) {
        while self.ring.len() < self.window && !chunk.is_full() {
            let Some(first) = self.filters.front() else {
                return;
            };
            let subscribes = first.subscribe.is_some();
            let same = self
                .filters
                .iter()
                .take_while(|op| op.subscribe.is_some() == subscribes);
            let count = same.take(self.filters_per_packet).count();
            let ops: Vec<FilterOp> = self.filters.drain(..count).collect();
            let id = self.ring.next_id();
            let names = ops.iter().map(|op| op.filter.as_str());
            // Filters are at most 65,535 bytes and a packet holds few: it always fits.
            let _ = if subscribes {
                let wanted = ops.iter().map(|op| op.subscribe.unwrap_or_default());
                codec::encode_subscribe(&mut chunk.head, id, names.zip(wanted))
            } else {
                codec::encode_unsubscribe(&mut chunk.head, id, names)
            };
            self.ring.push(Sent::Filters(ops));
        }
    }

    fn fill_queue(&mut self, chunk: &mut Chunk, now: Duration) {
        let [_, for_qos_1] = &mut self.shapers;
        while self.ring.len() < self.window && !chunk.is_full() {
            if self.queue.is_empty() || !for_qos_1.take(now) {
                return;
            }
            let Some(mut entry) = self.queue.pop_front() else {
                return;
            };
            self.queued_bytes -= entry.wire.len();
            if chunk.head.capacity() <= HEAD_KEPT && !entry.wire.is_large() {
                // Once, and not by doubling, if many follow.
                chunk.head.reserve(self.bytes.min(HEAD_LEN));
            }
            let packet = entry.wire.edit();
            codec::set_packet_id(packet, entry.id_at, self.ring.next_id());
            codec::set_duplicate(packet, false);
            chunk.add(&mut entry.wire);
            self.last_sent = self.last_sent.max(Some(entry.token));
            self.ring.push(Sent::Publish(entry));
        }
    }

    /// The socket took all of `chunk`. Completes the QoS 0 messages in it that have a token, and
    /// empties the chunk.
    pub fn handle_written(&mut self, chunk: &mut Chunk, now: Duration, fallout: &mut Fallout) {
        let taken = self.direct.handle_taken();
        self.handle_taken(taken, fallout);
        let direct = std::mem::take(&mut chunk.direct);
        // A few small messages now and then are no burst, whatever memory they left in.
        if direct.len() >= LARGE {
            self.spares.keep(direct, now);
        }
        chunk.large = Bytes::new();
        chunk.written = 0;
        chunk.wipe();
        if chunk.head.capacity() > HEAD_KEPT {
            chunk.head = BytesMut::new();
        } else {
            chunk.head.clear();
        }
    }

    fn handle_taken(&mut self, mut segment: Segment, fallout: &mut Fallout) {
        let (messages, bytes) = segment.level();
        self.release(messages, bytes);
        segment.complete(&Ok(None), &mut fallout.completions);
    }

    /// The connection is gone, with `chunk` perhaps half written. What the socket had not taken of
    /// QoS 0 goes back to the front; a message cut in the middle is sent whole next time.
    pub fn handle_lost(&mut self, mut chunk: Chunk, fallout: &mut Fallout) {
        self.resend = None;
        let before = chunk.head.len() + chunk.large.len();
        let taken = chunk.written.saturating_sub(before);
        let taken = self
            .direct
            .take_back(std::mem::take(&mut chunk.direct), taken);
        self.handle_taken(taken, fallout);
        // No acknowledgement of this connection can come any more: the ids of expired messages are
        // free, and filters are asked for again with fresh ids, whatever becomes of the session.
        let lost = self.ring.extract(|sent| !matches!(sent, Sent::Publish(_)));
        for sent in lost.into_iter().rev() {
            if let Sent::Filters(ops) = sent {
                for op in ops.into_iter().rev() {
                    self.filters.push_front(op);
                }
            }
        }
    }
}
