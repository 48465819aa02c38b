//! The outbox: accepted operations until they are acknowledged, and the limits on them.
//!
//! QoS 0 messages are encoded straight into the bytes they leave in. QoS 1 messages wait in the
//! queue and enter the ring, where they get their packet id, when the window has room.
//! Subscribing and unsubscribing wait in a queue of their own and share the ring.

mod accepting;
mod held;
mod sending;

use std::collections::{BTreeSet, VecDeque};
use std::time::Duration;

use rustc_hash::FxHashMap;

pub use accepting::Encoded;
use held::Held;
pub use sending::Chunk;

use super::config::{Config, OutboxPolicy};
use super::direct::Direct;
use super::event::{Completion, Token};
use super::qos::Qos;
use super::queue::give_back;
use super::ring::Ring;
use super::shaper::Shaper;
use super::spares::Spares;
use super::topic::TopicFilter;
use crate::{Error, ErrorKind, Stage};

/// What an operation without payload is charged.
const OPERATION_OVERHEAD: usize = 16;

/// A QoS 1 message.
#[derive(Debug)]
pub struct Entry {
    wire: Held,
    id_at: usize,
    token: Token,
    expires: Option<Duration>,
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
    /// A message whose own deadline has passed. Its id is not free before it is acknowledged or the
    /// connection has gone.
    Expired,
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
    direct: Direct,
    spares: Spares,
    queue: VecDeque<Entry>,
    filters: VecDeque<FilterOp>,
    ring: Ring<Sent>,
    /// The next slot of the ring to send again on this connection.
    resend: Option<usize>,
    /// The message of QoS 1 accepted last of all that have been sent.
    last_sent: Option<Token>,
    /// Deadlines of messages that have one.
    expiries: BTreeSet<(Duration, Token)>,
    /// Completions that the application has not taken: bounded, so that an application that takes
    /// none cannot gather them without end.
    untaken: usize,
    /// Bytes of what is queued and could be dropped.
    queued_bytes: usize,
    drops_oldest: bool,
    /// For QoS 0 and QoS 1.
    shapers: [Shaper; 2],
}

/// What an acknowledgement was for.
#[derive(Debug)]
pub enum Acknowledged {
    /// A message.
    Publish(Token),
    /// Filters of one packet.
    Filters(Vec<FilterOp>),
    /// A message that has expired.
    Nothing,
}

/// What an operation on the outbox brings about for messages that it was not about.
#[derive(Debug, Default)]
pub struct Fallout {
    /// Ends of operations, in order.
    pub completions: Vec<Completion>,
    /// QoS 0 messages without a token that were dropped.
    pub dropped: u64,
}

impl Fallout {
    fn complete(&mut self, token: Token, result: Result<Option<Qos>, Error>) {
        self.completions.push(Completion { token, result });
    }
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
    /// An empty outbox with the limits of `config`.
    pub fn new(config: &Config) -> Self {
        Self {
            max_operations: config.outbox_operations() as usize,
            max_bytes: config.outbox_bytes(),
            operations: 0,
            bytes: 0,
            window: usize::from(config.window()),
            filters_per_packet: config.profile().filters_per_packet.max(1),
            next_token: Token::FIRST,
            direct: Direct::default(),
            spares: Spares::default(),
            queue: VecDeque::new(),
            filters: VecDeque::new(),
            ring: Ring::default(),
            resend: None,
            last_sent: None,
            expiries: BTreeSet::new(),
            untaken: 0,
            queued_bytes: 0,
            drops_oldest: config.outbox_policy() == OutboxPolicy::DropOldest,
            shapers: config.rates().map(Shaper::new),
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

    /// The message is no longer in the outbox.
    fn settle(&mut self, entry: &Entry) {
        self.release(1, entry.wire.len());
        if let Some(expires) = entry.expires {
            self.expiries.remove(&(expires, entry.token));
        }
    }

    /// So many completions are on their way to the application.
    pub fn handle_completions_made(&mut self, count: usize) {
        self.untaken += count;
    }

    /// The application has taken so many completions.
    pub fn handle_completions_taken(&mut self, count: usize) {
        self.untaken = self.untaken.saturating_sub(count);
    }

    /// When [`Outbox::handle_timeout`] wants to be called.
    pub fn poll_timeout(&self) -> Option<Duration> {
        let expiry = self.expiries.first().map(|&(expires, _)| expires);
        let deadlines = [expiry, self.spares.poll_timeout()];
        deadlines.into_iter().flatten().min()
    }

    /// Completes the messages whose own deadline has passed, and gives back memory that was kept for
    /// others.
    pub fn handle_timeout(&mut self, now: Duration, fallout: &mut Fallout) {
        self.spares.handle_timeout(now);
        while let Some(&(expires, token)) = self.expiries.first()
            && expires <= now
        {
            self.expiries.pop_first();
            // The queue is in the order of tokens, whatever was put back into it.
            let queued = self.queue.binary_search_by_key(&token, |entry| entry.token);
            let entry = if let Ok(index) = queued {
                let entry = self.queue.remove(index);
                self.queued_bytes -= entry.as_ref().map_or(0, |entry| entry.wire.len());
                entry
            } else {
                let is_it =
                    |sent: &Sent| matches!(sent, Sent::Publish(entry) if entry.token == token);
                match self.ring.replace(is_it, Sent::Expired) {
                    Some(Sent::Publish(entry)) => Some(entry),
                    _ => None,
                }
            };
            // Also one that waits to be sent again on a connection without its session.
            let text = if self.last_sent.is_some_and(|last| token <= last) {
                "expired before it was acknowledged: it may have been delivered"
            } else {
                "expired before it could be sent"
            };
            if let Some(entry) = entry {
                self.settle(&entry);
                let error = Error::new(ErrorKind::Expired, Stage::Session, text);
                fallout.complete(token, Err(error));
            }
        }
    }

    /// Memory of packets that are done with.
    pub fn spares(&mut self) -> &mut Spares {
        &mut self.spares
    }

    /// Gives back the memory of what is empty.
    pub fn rest(&mut self) {
        give_back(&mut self.queue);
        give_back(&mut self.filters);
        self.direct.rest();
        self.ring.rest();
    }

    fn release(&mut self, operations: usize, bytes: usize) {
        self.operations = self.operations.saturating_sub(operations);
        self.bytes = self.bytes.saturating_sub(bytes);
    }

    /// An acknowledgement arrived. `Ok(None)`: nobody waits for it, which is tolerated.
    ///
    /// # Errors
    ///
    /// What is wrong, if the operation under this id is not of the kind acknowledged.
    pub fn handle_ack(
        &mut self,
        id: u16,
        kind: AckKind,
        now: Duration,
    ) -> Result<Option<Acknowledged>, String> {
        let matches = match (self.ring.get(id), kind) {
            (None, _) => return Ok(None),
            (Some(Sent::Publish(_) | Sent::Expired), AckKind::Publish) => true,
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
                self.settle(&entry);
                if entry.wire.is_large() {
                    self.spares.keep(entry.wire.into_memory(), now);
                }
                Acknowledged::Publish(entry.token)
            }
            Sent::Expired => Acknowledged::Nothing,
            Sent::Filters(ops) => {
                for op in ops.iter().filter(|op| op.token.is_some()) {
                    self.release(1, op.charge());
                }
                Acknowledged::Filters(ops)
            }
        }))
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
                self.queued_bytes += entry.wire.len();
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

    /// For each filter that waits to be sent, whether the last of its changes subscribes to it.
    pub fn last_changes(&self) -> FxHashMap<&str, bool> {
        let changes = self.filters.iter();
        changes
            .map(|op| (op.filter.as_str(), op.subscribe.is_some()))
            .collect()
    }

    /// Subscribes behind everything that waits: an end of the same subscription, which the platform
    /// had not acknowledged when it granted a later one.
    pub fn restore_behind(&mut self, filters: impl Iterator<Item = (TopicFilter, Qos)>) {
        self.filters.extend(filters.map(|(filter, qos)| FilterOp {
            filter,
            subscribe: Some(qos),
            token: None,
        }));
    }

    /// Ends everything with `error`, in order of acceptance. Returns the filters whose subscription
    /// was to change: what the platform makes of them is not known.
    pub fn cancel_all(&mut self, error: &Error, fallout: &mut Fallout) -> Vec<FilterOp> {
        let mut tokens = Vec::new();
        let mut changes: Vec<FilterOp> = Vec::new();
        let cancelled = Err(error.clone());
        let mut direct = Vec::new();
        for mut segment in self.direct.drain() {
            fallout.dropped += segment.unmarked();
            segment.complete(&cancelled, &mut direct);
        }
        tokens.extend(direct.into_iter().map(|completion| completion.token));
        for sent in self.ring.drain() {
            match sent {
                Sent::Publish(entry) => tokens.push(entry.token),
                Sent::Filters(ops) => changes.extend(ops),
                Sent::Expired => {}
            }
        }
        changes.extend(self.filters.drain(..));
        tokens.extend(changes.iter().filter_map(|op| op.token));
        tokens.extend(self.queue.drain(..).map(|entry| entry.token));
        self.queued_bytes = 0;
        tokens.sort_unstable();
        self.expiries.clear();
        (self.operations, self.bytes, self.resend) = (0, 0, None);
        for token in tokens {
            fallout.complete(token, cancelled.clone());
        }
        changes
    }

    /// Ends these subscriptions on the next connection: nobody waits for that any more, but the
    /// platform would deliver to them for ever.
    pub fn end_later(&mut self, filters: impl Iterator<Item = TopicFilter>) {
        self.filters.extend(filters.map(|filter| FilterOp {
            filter,
            subscribe: None,
            token: None,
        }));
    }

    /// A point behind everything accepted so far, for [`Outbox::has_passed`].
    pub fn mark(&self) -> Mark {
        Mark {
            token: self.next_token,
            direct: self.direct.mark(),
        }
    }

    /// Whether everything accepted before `mark` has completed.
    pub fn has_passed(&self, mark: Mark) -> bool {
        let older = |token: Option<Token>| token.is_some_and(|token| token < mark.token);
        let waiting = self.ring.iter().any(|sent| match sent {
            Sent::Publish(entry) => older(Some(entry.token)),
            Sent::Filters(ops) => ops.iter().any(|op| older(op.token)),
            Sent::Expired => false,
        });
        self.direct.has_passed(mark.direct)
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

#[cfg(test)]
mod tests;
#[cfg(test)]
mod tests_filters;
#[cfg(test)]
mod tests_sending;
