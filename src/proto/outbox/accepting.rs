//! What enters the outbox, and what is refused or dropped because there is no room.

use std::time::Duration;

use bytes::BytesMut;

use super::{Entry, Fallout, FilterOp, Held, Outbox};
use crate::proto::codec;
use crate::proto::event::Token;
use crate::proto::qos::Qos;
use crate::proto::topic::TopicFilter;
use crate::{Error, ErrorKind, Stage};

/// A message that was encoded before the outbox was asked to take it.
#[derive(Debug)]
pub struct Encoded {
    packet: BytesMut,
    id_at: usize,
    qos: Qos,
}

impl Encoded {
    /// Encodes a message into `memory`.
    pub fn new(mut memory: BytesMut, topic: &str, payload: &[u8], qos: Qos) -> Self {
        let id_at = codec::encode_publish(&mut memory, topic, payload, qos);
        Self {
            packet: memory,
            id_at,
            qos,
        }
    }
}

/// The length of the packet that carries a message.
fn packet_len(topic: &str, payload_len: usize, qos: Qos) -> Result<usize, Error> {
    codec::publish_len(topic.len(), payload_len, qos).ok_or_else(|| {
        Error::argument(
            "payload_len",
            format_args!("is {payload_len}: more than MQTT can carry"),
        )
    })
}

impl Outbox {
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
        expires: Option<Duration>,
        fallout: &mut Fallout,
    ) -> Result<Option<Token>, Error> {
        let len = packet_len(topic, payload.len(), qos)?;
        self.admit(len, fallout)?;
        match qos {
            Qos::AtMostOnce => {
                let token = want_token.then(|| self.token());
                let (next, spares) = (self.next_token, &mut self.spares);
                self.direct.push(topic, payload, token, next, spares);
                Ok(token)
            }
            Qos::AtLeastOnce => {
                let mut packet = BytesMut::with_capacity(len);
                let id_at = codec::encode_publish(&mut packet, topic, payload, qos);
                Ok(Some(self.enqueue(packet, id_at, expires)))
            }
        }
    }

    /// Memory to encode a message into, if there is room for it at present.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::OutboxFull`].
    pub fn memory_for(
        &mut self,
        topic: &str,
        payload_len: usize,
        qos: Qos,
    ) -> Result<BytesMut, Error> {
        let len = packet_len(topic, payload_len, qos)?;
        if !self.drops_oldest || !self.can_make_room(len) {
            self.check_room(len)?;
        }
        Ok(self.spares.take(len))
    }

    /// As [`Outbox::publish`], for a message that is encoded already.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::OutboxFull`].
    pub fn publish_encoded(
        &mut self,
        message: Encoded,
        want_token: bool,
        expires: Option<Duration>,
        now: Duration,
        fallout: &mut Fallout,
    ) -> Result<Option<Token>, Error> {
        if let Err(error) = self.admit(message.packet.len(), fallout) {
            self.spares.keep(message.packet, now);
            return Err(error);
        }
        match message.qos {
            Qos::AtMostOnce => {
                let token = want_token.then(|| self.token());
                let next = self.next_token;
                self.direct.push_encoded(message.packet, token, next);
                Ok(token)
            }
            Qos::AtLeastOnce => {
                let token = self.enqueue(message.packet, message.id_at, expires);
                Ok(Some(token))
            }
        }
    }

    /// Puts a message behind those that wait for their packet id.
    fn enqueue(&mut self, packet: BytesMut, id_at: usize, expires: Option<Duration>) -> Token {
        let token = self.token();
        self.expiries
            .extend(expires.map(|expires| (expires, token)));
        self.queued_bytes += packet.len();
        self.queue.push_back(Entry {
            wire: Held::Own(packet),
            id_at,
            token,
            expires,
        });
        token
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
        self.reserve(op.charge())?;
        self.filters.push_back(op);
        Ok(token)
    }

    /// Makes room for a message of `len` bytes, if the policy is to, and takes it into account.
    fn admit(&mut self, len: usize, fallout: &mut Fallout) -> Result<(), Error> {
        if self.drops_oldest {
            self.make_room(len, fallout);
        }
        self.reserve(len)
    }

    /// Drops the oldest messages that have not been sent until one of `len` bytes fits, or none is
    /// left. Returns nothing: each has its completion, or counts as dropped.
    fn make_room(&mut self, len: usize, fallout: &mut Fallout) {
        if !self.can_make_room(len) {
            return;
        }
        let text = "dropped to make room for newer messages";
        let error = Error::new(ErrorKind::Dropped, Stage::Session, text);
        while self.operations >= self.max_operations || self.bytes + len > self.max_bytes {
            let queued = self.queue.front().map(|entry| entry.token);
            if self
                .direct
                .age()
                .is_some_and(|age| queued.is_none_or(|token| age <= token))
            {
                if let Some(mut dropped) = self.direct.drop_oldest() {
                    let (messages, bytes) = dropped.level();
                    self.release(messages, bytes);
                    fallout.dropped += dropped.unmarked();
                    dropped.complete(&Err(error.clone()), &mut fallout.completions);
                }
            } else if let Some(entry) = self.queue.pop_front() {
                self.queued_bytes -= entry.wire.len();
                self.settle(&entry);
                fallout.complete(entry.token, Err(error.clone()));
            } else {
                return;
            }
        }
    }

    /// What has been sent cannot be dropped: if the rest is not enough, nothing is.
    fn can_make_room(&self, len: usize) -> bool {
        let (messages, bytes) = self.direct.waiting();
        let fixed = self.operations - (self.queue.len() + messages).min(self.operations);
        let fixed_bytes = self.bytes - (self.queued_bytes + bytes).min(self.bytes);
        fixed < self.max_operations
            && fixed_bytes + len <= self.max_bytes
            && self.untaken < self.max_untaken()
    }

    fn token(&mut self) -> Token {
        let token = self.next_token;
        self.next_token = token.next();
        token
    }

    /// Takes an operation of so many bytes into account.
    fn reserve(&mut self, bytes: usize) -> Result<(), Error> {
        self.check_room(bytes)?;
        self.operations += 1;
        self.bytes += bytes;
        Ok(())
    }

    fn check_room(&self, bytes: usize) -> Result<(), Error> {
        if self.untaken >= self.max_untaken() {
            return Err(Error::new(
                ErrorKind::OutboxFull,
                Stage::Session,
                format!(
                    "outbox full: {} completions wait for the application to take them",
                    self.untaken
                ),
            ));
        }
        if self.operations >= self.max_operations {
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
        Ok(())
    }

    /// Whether half of everything that [`Outbox::check_room`] looks at is free.
    pub fn has_room(&self) -> bool {
        self.untaken <= self.max_untaken() / 2
            && self.operations <= self.max_operations / 2
            && self.bytes <= self.max_bytes / 2
    }

    /// Completions that may wait for the application: room enough for what a callback that takes a
    /// while leaves behind.
    fn max_untaken(&self) -> usize {
        self.max_operations.saturating_mul(2).saturating_add(1000)
    }
}
