//! The outbox: accepted operations until they are acknowledged, and the limits on them.
//!
//! QoS 0 messages are encoded straight into the bytes they leave in. QoS 1 messages wait in the
//! queue and enter the ring, where they get their packet id, when the window has room.
//! Subscribing and unsubscribing wait in a queue of their own and share the ring.

use std::collections::VecDeque;

use bytes::BytesMut;

use super::codec;
use super::event::{Completion, Token};
use super::qos::Qos;
use super::ring::Ring;
use super::topic::TopicFilter;
use crate::{Error, ErrorKind, Stage};

/// A QoS 0 segment is closed at this size, so that memory follows what is waiting and a cut in the
/// middle of a segment costs one short walk.
const SEGMENT_LEN: usize = 64 * 1024;

/// Bytes that one chunk takes from the ring before the socket is asked again.
const HEAD_LEN: usize = 32 * 1024;

/// What an operation without payload is charged.
const OPERATION_OVERHEAD: usize = 16;

/// An encoded QoS 1 message.
#[derive(Debug)]
pub struct Entry {
    wire: BytesMut,
    id_at: usize,
    token: Token,
}

/// A subscription or its end, waiting to be sent.
#[derive(Clone, Debug)]
pub struct FilterOp {
    /// The filter.
    pub filter: TopicFilter,
    /// The QoS asked for; `None` ends the subscription.
    pub subscribe: Option<Qos>,
    /// `None` for what the library restores by itself.
    pub token: Option<Token>,
}

impl FilterOp {
    fn charge(&self) -> usize {
        self.filter.as_str().len() + OPERATION_OVERHEAD
    }
}

/// An operation that was sent and is not acknowledged.
#[derive(Debug)]
enum Sent {
    Publish(Entry),
    Filters(Vec<FilterOp>),
}

/// QoS 0 messages in the bytes they leave in.
#[derive(Debug, Default)]
pub struct Segment {
    bytes: BytesMut,
    operations: usize,
}

/// Bytes on their way into the socket. The driver holds it while it writes and gives it back.
#[derive(Debug, Default)]
pub struct Chunk {
    /// Acknowledgements, pings, and what has a packet id.
    pub head: BytesMut,
    /// QoS 0 messages.
    direct: Segment,
    written: usize,
    /// The [`Outbox::era`] it was filled in.
    era: u32,
}

impl Chunk {
    /// The bytes that are still to be written, in order.
    pub fn rest(&self) -> [&[u8]; 2] {
        let head = self.head.get(self.written..).unwrap_or_default();
        let direct_at = self.written.saturating_sub(self.head.len());
        [head, self.direct.bytes.get(direct_at..).unwrap_or_default()]
    }

    /// The socket took `len` bytes.
    pub fn advance(&mut self, len: usize) {
        self.written += len;
    }

    /// Whether the socket took everything.
    pub fn is_done(&self) -> bool {
        self.written >= self.head.len() + self.direct.bytes.len()
    }

    /// Whether there is anything in it.
    pub fn is_empty(&self) -> bool {
        self.head.is_empty() && self.direct.bytes.is_empty()
    }
}

/// See the module.
#[derive(Debug)]
pub struct Outbox {
    max_operations: usize,
    max_bytes: usize,
    operations: usize,
    bytes: usize,
    window: usize,
    filters_per_packet: usize,
    next_token: Token,
    direct: VecDeque<Segment>,
    /// Bytes of QoS 0 ever accepted and ever taken by a socket.
    direct_end: u64,
    direct_taken: u64,
    /// Where the message of a token ends, for those who asked for one.
    marks: VecDeque<(u64, Token)>,
    queue: VecDeque<Entry>,
    filters: VecDeque<FilterOp>,
    ring: Ring<Sent>,
    /// The next slot of the ring to send again on this connection.
    resend: Option<usize>,
    /// Grows when everything is cancelled: what a chunk of an earlier era holds is accounted for.
    era: u32,
}

/// What an acknowledgement was for.
#[derive(Debug)]
pub enum Acknowledged {
    /// A message.
    Publish(Token),
    /// Filters of one packet.
    Filters(Vec<FilterOp>),
}

/// What the packet of an acknowledgement says it acknowledges.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum AckKind {
    /// PUBACK.
    Publish,
    /// SUBACK with this many codes.
    Subscribe(usize),
    /// UNSUBACK.
    Unsubscribe,
}

impl Outbox {
    /// An empty outbox with these limits.
    pub fn new(operations: u32, bytes: usize, window: u16, filters_per_packet: usize) -> Self {
        Self {
            max_operations: operations as usize,
            max_bytes: bytes,
            operations: 0,
            bytes: 0,
            window: usize::from(window),
            filters_per_packet: filters_per_packet.max(1),
            next_token: Token::FIRST,
            direct: VecDeque::new(),
            direct_end: 0,
            direct_taken: 0,
            marks: VecDeque::new(),
            queue: VecDeque::new(),
            filters: VecDeque::new(),
            ring: Ring::default(),
            resend: None,
            era: 0,
        }
    }

    /// Operations accepted and not completed.
    pub fn operations(&self) -> usize {
        self.operations
    }

    /// Bytes they are charged with.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Accepts a message whose topic and payload have been checked.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::OutboxFull`].
    pub fn publish(
        &mut self,
        topic: &str,
        payload: &[u8],
        qos: Qos,
        want_token: bool,
    ) -> Result<Option<Token>, Error> {
        let len = codec::publish_len(topic.len(), payload.len(), qos).ok_or_else(|| {
            Error::argument(
                "payload_len",
                format_args!("is {}: more than MQTT can carry", payload.len()),
            )
        })?;
        self.reserve(1, len)?;
        match qos {
            Qos::AtMostOnce => Ok(self.publish_direct(topic, payload, len, want_token)),
            Qos::AtLeastOnce => {
                let mut wire = BytesMut::with_capacity(len);
                let id_at = codec::encode_publish(&mut wire, topic, payload, qos);
                let token = self.token();
                self.queue.push_back(Entry { wire, id_at, token });
                Ok(Some(token))
            }
        }
    }

    fn publish_direct(
        &mut self,
        topic: &str,
        payload: &[u8],
        len: usize,
        want_token: bool,
    ) -> Option<Token> {
        if self
            .direct
            .back()
            .is_none_or(|last| last.bytes.len() >= SEGMENT_LEN)
        {
            self.direct.push_back(Segment::default());
        }
        if let Some(segment) = self.direct.back_mut() {
            codec::encode_publish(&mut segment.bytes, topic, payload, Qos::AtMostOnce);
            segment.operations += 1;
        }
        self.direct_end += len as u64;
        want_token.then(|| {
            let token = self.token();
            self.marks.push_back((self.direct_end, token));
            token
        })
    }

    /// Accepts a subscription, or the end of one.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::OutboxFull`].
    pub fn change_filter(
        &mut self,
        filter: TopicFilter,
        subscribe: Option<Qos>,
    ) -> Result<Token, Error> {
        let token = self.token();
        let op = FilterOp {
            filter,
            subscribe,
            token: Some(token),
        };
        self.reserve(1, op.charge())?;
        self.filters.push_back(op);
        Ok(token)
    }

    fn token(&mut self) -> Token {
        let token = self.next_token;
        self.next_token = token.next();
        token
    }

    fn reserve(&mut self, operations: usize, bytes: usize) -> Result<(), Error> {
        if self.operations + operations > self.max_operations {
            return Err(Error::new(
                ErrorKind::OutboxFull,
                Stage::Session,
                format!(
                    "outbox full: {} operations wait, as many as allowed",
                    self.operations
                ),
            ));
        }
        if self.bytes + bytes > self.max_bytes {
            return Err(Error::new(
                ErrorKind::OutboxFull,
                Stage::Session,
                format!(
                    "outbox full: {} bytes wait and {bytes} more would exceed the limit of {}",
                    self.bytes, self.max_bytes
                ),
            ));
        }
        self.operations += operations;
        self.bytes += bytes;
        Ok(())
    }

    fn release(&mut self, operations: usize, bytes: usize) {
        self.operations = self.operations.saturating_sub(operations);
        self.bytes = self.bytes.saturating_sub(bytes);
    }

    /// Whether [`Outbox::fill`] would add anything.
    pub fn has_work(&self) -> bool {
        !self.direct.is_empty()
            || self.resend.is_some()
            || (self.ring.len() < self.window
                && !(self.filters.is_empty() && self.queue.is_empty()))
    }

    /// Whether the platform owes an acknowledgement.
    pub fn is_owed(&self) -> bool {
        !self.ring.is_empty()
    }

    /// Moves what may be sent now into `chunk`.
    pub fn fill(&mut self, chunk: &mut Chunk) {
        chunk.era = self.era;
        self.fill_again(&mut chunk.head);
        if self.resend.is_none() {
            self.fill_filters(&mut chunk.head);
            self.fill_queue(&mut chunk.head);
        }
        if chunk.direct.bytes.is_empty()
            && let Some(segment) = self.direct.pop_front()
        {
            chunk.direct = segment;
        }
    }

    /// What a resumed session had not acknowledged, in its order, before anything new.
    fn fill_again(&mut self, head: &mut BytesMut) {
        while let Some(index) = self.resend {
            if head.len() >= HEAD_LEN {
                return;
            }
            self.resend = (index + 1 < self.ring.len()).then_some(index + 1);
            if let Some((_, Sent::Publish(entry))) = self.ring.slot_mut(index) {
                // MQTT-3.3.1-1: DUP on each repetition. The id is the one it had.
                codec::set_duplicate(&mut entry.wire, true);
                head.extend_from_slice(&entry.wire);
            }
        }
    }

    fn fill_filters(&mut self, head: &mut BytesMut) {
        while self.ring.len() < self.window && head.len() < HEAD_LEN {
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
                codec::encode_subscribe(head, id, names.zip(wanted))
            } else {
                codec::encode_unsubscribe(head, id, names)
            };
            self.ring.push(Sent::Filters(ops));
        }
    }

    fn fill_queue(&mut self, head: &mut BytesMut) {
        while self.ring.len() < self.window && head.len() < HEAD_LEN {
            let Some(mut entry) = self.queue.pop_front() else {
                return;
            };
            codec::set_packet_id(&mut entry.wire, entry.id_at, self.ring.next_id());
            codec::set_duplicate(&mut entry.wire, false);
            head.extend_from_slice(&entry.wire);
            self.ring.push(Sent::Publish(entry));
        }
    }

    /// The socket took all of `chunk`. Completes the QoS 0 messages in it that have a token, and
    /// empties the chunk, keeping its memory if that is small.
    pub fn handle_written(&mut self, chunk: &mut Chunk, completions: &mut Vec<Completion>) {
        if chunk.era == self.era {
            let operations = chunk.direct.operations;
            self.take_direct(chunk.direct.bytes.len(), operations, completions);
        }
        chunk.written = 0;
        chunk.head.clear();
        chunk.direct = Segment::default();
    }

    fn take_direct(&mut self, len: usize, operations: usize, completions: &mut Vec<Completion>) {
        self.direct_taken += len as u64;
        self.release(operations, len);
        while let Some(&(end, token)) = self.marks.front()
            && end <= self.direct_taken
        {
            self.marks.pop_front();
            completions.push(Completion {
                token,
                result: Ok(None),
            });
        }
    }

    /// An acknowledgement arrived. `Ok(None)`: nobody waits for it, which is tolerated.
    ///
    /// # Errors
    ///
    /// What is wrong, if the operation under this id is not of the kind acknowledged.
    pub fn handle_ack(&mut self, id: u16, kind: AckKind) -> Result<Option<Acknowledged>, String> {
        let matches = match (self.ring.get(id), kind) {
            (None, _) => return Ok(None),
            (Some(Sent::Publish(_)), AckKind::Publish) => true,
            (Some(Sent::Filters(ops)), AckKind::Subscribe(codes)) => {
                let subscribes = ops.first().is_some_and(|op| op.subscribe.is_some());
                if subscribes && codes != ops.len() {
                    return Err(format!(
                        "a SUBACK with {codes} return codes answered a SUBSCRIBE with {} filters",
                        ops.len()
                    ));
                }
                subscribes
            }
            (Some(Sent::Filters(ops)), AckKind::Unsubscribe) => {
                ops.first().is_some_and(|op| op.subscribe.is_none())
            }
            _ => false,
        };
        if !matches {
            return Err(format!(
                "packet id {id} was acknowledged as something else than was sent"
            ));
        }
        let Some((sent, gone)) = self.ring.take(id) else {
            return Ok(None);
        };
        self.resend = self.resend.map(|index| index.saturating_sub(gone));
        if self.ring.is_empty() {
            self.resend = None;
        }
        Ok(Some(match sent {
            Sent::Publish(entry) => {
                self.release(1, entry.wire.len());
                Acknowledged::Publish(entry.token)
            }
            Sent::Filters(ops) => {
                for op in ops.iter().filter(|op| op.token.is_some()) {
                    self.release(1, op.charge());
                }
                Acknowledged::Filters(ops)
            }
        }))
    }

    /// The connection is gone, with `chunk` perhaps half written. What the socket had not taken of
    /// QoS 0 goes back to the front; a message cut in the middle is sent whole next time.
    pub fn handle_lost(&mut self, chunk: Chunk, completions: &mut Vec<Completion>) {
        self.resend = None;
        if chunk.era == self.era {
            self.take_back(chunk, completions);
        }
        // Filters are asked for again with fresh ids, whatever becomes of the session.
        let lost = self.ring.extract(|sent| matches!(sent, Sent::Filters(_)));
        for sent in lost.into_iter().rev() {
            if let Sent::Filters(ops) = sent {
                for op in ops.into_iter().rev() {
                    self.filters.push_front(op);
                }
            }
        }
    }

    fn take_back(&mut self, chunk: Chunk, completions: &mut Vec<Completion>) {
        let mut direct = chunk.direct;
        let taken = chunk.written.saturating_sub(chunk.head.len());
        let (mut whole, mut operations) = (0, 0);
        while let Some(rest) = direct.bytes.get(whole..)
            && let Some(len) = codec::first_packet_len(rest)
            && whole + len <= taken
        {
            whole += len;
            operations += 1;
        }
        self.take_direct(whole, operations, completions);
        let _ = direct.bytes.split_to(whole);
        direct.operations -= operations.min(direct.operations);
        if !direct.bytes.is_empty() {
            self.direct.push_front(direct);
        }
    }

    /// A connection was accepted. `resumed`: the platform kept the session, so what is
    /// unacknowledged is sent again under its ids; otherwise it goes to the front of the queue.
    pub fn handle_connected(&mut self, resumed: bool) {
        if resumed {
            self.resend = (!self.ring.is_empty()).then_some(0);
            return;
        }
        let unacknowledged = self.ring.drain().rev();
        for sent in unacknowledged {
            if let Sent::Publish(entry) = sent {
                self.queue.push_front(entry);
            }
        }
    }

    /// Puts subscriptions before everything that waits: they are restored first.
    pub fn restore(&mut self, filters: impl DoubleEndedIterator<Item = (TopicFilter, Qos)>) {
        for (filter, qos) in filters.rev() {
            self.filters.push_front(FilterOp {
                filter,
                subscribe: Some(qos),
                token: None,
            });
        }
    }

    /// Whether a subscription to `filter` waits to be sent.
    pub fn is_subscribing(&self, filter: &str) -> bool {
        self.filters
            .iter()
            .any(|op| op.subscribe.is_some() && op.filter.as_str() == filter)
    }

    /// Ends everything with `error`. Returns the completions, in order of acceptance within each
    /// kind, and how many QoS 0 messages without a token were dropped.
    pub fn cancel_all(&mut self, error: &Error) -> (Vec<Completion>, u64) {
        let mut tokens: Vec<Token> = self.marks.drain(..).map(|(_, token)| token).collect();
        let direct: usize = self
            .direct
            .drain(..)
            .map(|segment| segment.operations)
            .sum();
        let dropped = direct.saturating_sub(tokens.len());
        for sent in self.ring.drain() {
            match sent {
                Sent::Publish(entry) => tokens.push(entry.token),
                Sent::Filters(ops) => tokens.extend(ops.iter().filter_map(|op| op.token)),
            }
        }
        tokens.extend(self.filters.drain(..).filter_map(|op| op.token));
        tokens.extend(self.queue.drain(..).map(|entry| entry.token));
        tokens.sort_unstable();
        self.direct_taken = self.direct_end;
        (self.operations, self.bytes, self.resend) = (0, 0, None);
        self.era = self.era.wrapping_add(1);
        let complete = |token| Completion {
            token,
            result: Err(error.clone()),
        };
        (tokens.into_iter().map(complete).collect(), dropped as u64)
    }

    /// A point behind everything accepted so far, for [`Outbox::has_passed`].
    pub fn mark(&self) -> Mark {
        Mark {
            token: self.next_token,
            direct: self.direct_end,
        }
    }

    /// Whether everything accepted before `mark` has completed.
    pub fn has_passed(&self, mark: Mark) -> bool {
        let older = |token: Option<Token>| token.is_some_and(|token| token < mark.token);
        let waiting = self.ring.iter().any(|sent| match sent {
            Sent::Publish(entry) => older(Some(entry.token)),
            Sent::Filters(ops) => ops.iter().any(|op| older(op.token)),
        });
        self.direct_taken >= mark.direct
            && !waiting
            && !older(self.queue.front().map(|entry| entry.token))
            && !self.filters.iter().any(|op| older(op.token))
    }
}

/// See [`Outbox::mark`].
#[derive(Clone, Copy, Debug)]
pub struct Mark {
    token: Token,
    direct: u64,
}
