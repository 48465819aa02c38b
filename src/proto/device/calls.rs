//! What the application asks of the device.

use std::time::Duration;

use bytes::BytesMut;

use super::ending::Brief;
use super::{Device, Output};
use crate::proto::codec;
use crate::proto::event::{Event, EventKind, State, Token};
use crate::proto::outbox::{Encoded, Mark};
use crate::proto::qos::Qos;
use crate::proto::session::Phase;
use crate::proto::topic::{self, TopicFilter};
use crate::{Error, ErrorKind, Stage};

impl<H: Clone> Device<H> {
    /// Begins to connect.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidState`] unless stopped.
    pub fn start(&mut self, now: Duration) -> Result<(), Error> {
        if self.state() != State::Stopped {
            return Err(Error::new(
                ErrorKind::InvalidState,
                Stage::State,
                "the client is started already: stop it and wait for the stopped event first",
            ));
        }
        self.session.start(now);
        (self.brief, self.last_failure) = (Brief::default(), None);
        Ok(())
    }

    /// Takes nothing new, waits until what was accepted has completed and the callbacks of QoS 1
    /// messages that have arrived have returned, at the latest until `deadline`, cancels what is left,
    /// and comes to rest.
    ///
    /// Without an acknowledgement the platform would deliver a message again at the next start: the
    /// one, for instance, whose callback stops the client because it says so.
    pub fn stop(&mut self, deadline: Duration) {
        if self.session.phase() != Phase::Stopped && self.leaving.is_none() {
            if self.drain.is_none() {
                self.drain_mark = self.inbox.mark();
            }
            self.drain = Some(self.drain.map_or(deadline, |earlier| earlier.min(deadline)));
        }
    }

    /// Ends the wait between two attempts. Connected: asks the peer whether it is still there.
    pub fn retry_now(&mut self, now: Duration) {
        self.session.retry_now(now);
        // Nothing follows DISCONNECT.
        if self.closing.is_none()
            && self.leaving.is_none()
            && let Some(keep_alive) = &mut self.keep_alive
            && keep_alive.ask_now()
        {
            codec::encode_pingreq(&mut self.control);
            self.ping_in_control = true;
        }
    }

    /// Accepts a message.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidArgument`], [`ErrorKind::OutboxFull`], [`ErrorKind::Closing`].
    pub fn publish(
        &mut self,
        topic: &str,
        payload: &[u8],
        qos: Qos,
        want_token: bool,
        expires: Option<Duration>,
    ) -> Result<Option<Token>, Error> {
        self.check_message(topic, payload.len(), qos, expires)?;
        let outbox = &mut self.outbox;
        let accepted = outbox.publish(topic, payload, qos, want_token, expires, &mut self.fallout);
        self.handle_accepted(accepted)
    }

    /// Memory to encode a message into before [`Device::publish_encoded`] takes it. A large one is
    /// copied while other threads use the device.
    ///
    /// # Errors
    ///
    /// As [`Device::publish`].
    pub fn memory_for(
        &mut self,
        topic: &str,
        payload_len: usize,
        qos: Qos,
        expires: Option<Duration>,
    ) -> Result<BytesMut, Error> {
        self.check_message(topic, payload_len, qos, expires)?;
        self.outbox.memory_for(topic, payload_len, qos)
    }

    /// Accepts a message whose topic, length and QoS [`Device::memory_for`] has found good.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::OutboxFull`], [`ErrorKind::Closing`].
    pub fn publish_encoded(
        &mut self,
        message: Encoded,
        want_token: bool,
        expires: Option<Duration>,
        now: Duration,
    ) -> Result<Option<Token>, Error> {
        self.check_open()?;
        let outbox = &mut self.outbox;
        let accepted = outbox.publish_encoded(message, want_token, expires, now, &mut self.fallout);
        self.handle_accepted(accepted)
    }

    fn handle_accepted(
        &mut self,
        accepted: Result<Option<Token>, Error>,
    ) -> Result<Option<Token>, Error> {
        if self.fallout.dropped > 0 || !self.fallout.completions.is_empty() {
            self.emit_fallout();
        }
        let token = accepted?;
        self.counters.published += 1;
        Ok(token)
    }

    /// Accepts a subscription. `make` is called only if it is accepted.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidArgument`], [`ErrorKind::OutboxFull`], [`ErrorKind::Closing`].
    pub fn subscribe(
        &mut self,
        filter: TopicFilter,
        qos: Qos,
        make: impl FnOnce() -> H,
    ) -> Result<Token, Error> {
        let profile = self.config.profile();
        filter.check(self.config.identity().product_key(), profile)?;
        self.check_open()?;
        if self.routes.len() >= profile.subscriptions && self.routes.get(filter.as_str()).is_none()
        {
            return Err(Error::argument(
                "filter",
                format_args!(
                    "{:?} would be subscription {}: at most {} are allowed",
                    filter.as_str(),
                    self.routes.len() + 1,
                    profile.subscriptions
                ),
            ));
        }
        let token = self.outbox.change_filter(filter.clone(), Some(qos))?;
        if let Some(replaced) = self.routes.insert(filter, qos, make()) {
            self.outputs.push_back(Output::Release(replaced));
        }
        Ok(token)
    }

    /// Ends a subscription. Its handler is released when no callback uses it any more.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidArgument`], [`ErrorKind::OutboxFull`], [`ErrorKind::Closing`].
    pub fn unsubscribe(&mut self, filter: TopicFilter) -> Result<Token, Error> {
        filter.check(self.config.identity().product_key(), self.config.profile())?;
        self.check_open()?;
        let token = self.outbox.change_filter(filter.clone(), None)?;
        if let Some(removed) = self.routes.remove(filter.as_str()) {
            self.outputs.push_back(Output::Release(removed));
        }
        Ok(token)
    }

    fn check_message(
        &self,
        topic: &str,
        payload_len: usize,
        qos: Qos,
        expires: Option<Duration>,
    ) -> Result<(), Error> {
        let profile = self.config.profile();
        topic::check_topic(topic, self.config.identity().product_key(), profile)?;
        if payload_len > profile.payload_len {
            return Err(Error::argument(
                "payload_len",
                format_args!(
                    "is {payload_len}: at most {} are allowed",
                    profile.payload_len
                ),
            ));
        }
        self.check_open()?;
        if expires.is_some() && qos == Qos::AtMostOnce {
            return Err(Error::argument(
                "qos",
                "is 0: only QoS 1 messages can expire",
            ));
        }
        Ok(())
    }

    fn check_open(&self) -> Result<(), Error> {
        if self.drain.is_some() || self.leaving.is_some() {
            let text = "the client is stopping and takes nothing new";
            return Err(Error::new(ErrorKind::Closing, Stage::State, text));
        }
        Ok(())
    }

    /// Ends everything: what is queued is cancelled and every handler released. Says goodbye if
    /// connected.
    pub fn abandon(&mut self, now: Duration) {
        self.cancel_all();
        for handler in self.routes.drain() {
            self.outputs.push_back(Output::Release(handler));
        }
        self.drain = Some(now);
    }

    /// The engine has failed: everything ends as cancelled, and the device never works again.
    pub fn crash(&mut self, cause: &str) {
        let error = Error::new(ErrorKind::Internal, Stage::Library, cause);
        if matches!(self.session.phase(), Phase::Connected { .. }) {
            self.emit(Event::failure(EventKind::Disconnected, error, None));
        } else if matches!(self.session.phase(), Phase::Connecting { .. }) {
            self.emit(Event::failure(EventKind::ConnectFailed, error, None));
        }
        self.cancel_all();
        self.session.rest();
        self.emit(Event::new(EventKind::Stopped));
    }

    /// A point behind everything accepted so far.
    pub fn mark(&self) -> Mark {
        self.outbox.mark()
    }

    /// Whether everything accepted before `mark` has completed.
    pub fn has_passed(&self, mark: Mark) -> bool {
        self.outbox.has_passed(mark)
    }
}
