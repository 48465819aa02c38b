//! The device: session, outbox, keep-alive and routes behind one surface.
//!
//! `handle_*` takes what happened and the time, `poll_*` gives what to do next. There is no socket,
//! clock, thread or lock in here: the engine has them, and a test can do without.

#[cfg(test)]
mod tests_random;

use std::collections::VecDeque;
use std::time::Duration;

use bytes::BytesMut;
use zeroize::Zeroize;

use super::budget::Budget;
use super::codec::{self, Packet, Publish};
use super::config::Config;
use super::event::{Completion, Event, EventKind, State, Token};
use super::inbox::Inbox;
use super::keepalive::{KeepAlive, Silence, Verdict};
use super::outbox::{AckKind, Acknowledged, Chunk, Fallout, FilterOp, Mark, Outbox};
use super::qos::Qos;
use super::routes::Routes;
use super::session::{Phase, Session};
use super::topic::{self, TopicFilter};
use crate::{Error, ErrorKind, Stage};

/// How long saying goodbye may take: DISCONNECT, flush, TLS close_notify.
const GOODBYE: Duration = Duration::from_secs(2);

/// What the engine must do.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Action {
    /// Open a link, then [`Device::handle_link_up`] or [`Device::handle_lost`].
    Dial,
    /// Drop the link or the attempt at once, then [`Device::handle_lost`].
    Hangup,
    /// Flush and close the link in an orderly way, then [`Device::handle_lost`].
    Goodbye,
}

/// What goes to the application, in order.
#[derive(Debug)]
pub enum Output<H> {
    /// The connection changed.
    Event(Event),
    /// An operation ended.
    Completion(Completion),
    /// A message arrived.
    Message {
        /// Who asked for it; nobody if the platform pushed it unasked.
        handlers: Vec<H>,
        /// The message.
        publish: Publish,
        /// The connection it came on, for [`Device::handle_delivered`].
        connection: u32,
    },
    /// Nobody will be called through this handler again.
    Release(H),
}

/// Sums since the client was created.
#[derive(Clone, Copy, Debug, Default)]
pub struct Counters {
    /// Accepted connections.
    pub connects: u64,
    /// Messages accepted by publish.
    pub published: u64,
    /// Messages that arrived.
    pub received: u64,
    /// Of those, the ones that matched no subscription.
    pub unrouted: u64,
    /// Messages dropped, either way.
    pub dropped: u64,
}

/// Why the link is being closed.
#[derive(Debug)]
enum Closing {
    /// By the application.
    Asked,
    /// By a failure.
    Failed(Error),
}

/// See the module. `H` is a message handler.
#[derive(Debug)]
pub struct Device<H: Clone> {
    config: Config,
    session: Session,
    outbox: Outbox,
    routes: Routes<H>,
    inbox: Inbox,
    keep_alive: Option<KeepAlive>,
    /// How far the attempt under way has come.
    stage: Stage,
    /// Counts links, to tell a late acknowledgement from one of this link.
    connection: u32,
    /// CONNECT, PINGREQ, DISCONNECT: what leaves before everything else.
    control: BytesMut,
    ping_in_control: bool,
    action: Option<Action>,
    closing: Option<Closing>,
    /// Stop when nothing is owed, at the latest then.
    drain: Option<Duration>,
    /// DISCONNECT is on its way; the link is dropped then.
    leaving: Option<Duration>,
    kicked: bool,
    /// Connections in a row that the peer closed soon after it had accepted them.
    brief: u32,
    outputs: VecDeque<Output<H>>,
    fallout: Fallout,
    counters: Counters,
}

impl<H: Clone> Device<H> {
    /// A device at rest.
    pub fn new(config: Config) -> Self {
        Self {
            session: Session::new(&config),
            outbox: Outbox::new(&config),
            routes: Routes::new(),
            inbox: Inbox::new(config.inbox_messages(), config.inbox_bytes()),
            keep_alive: None,
            stage: Stage::Resolve,
            connection: 0,
            control: BytesMut::new(),
            ping_in_control: false,
            action: None,
            closing: None,
            drain: None,
            leaving: None,
            kicked: false,
            brief: 0,
            outputs: VecDeque::new(),
            fallout: Fallout::default(),
            counters: Counters::default(),
            config,
        }
    }

    /// What it was made with.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Sums since creation.
    pub fn counters(&self) -> Counters {
        self.counters
    }

    /// Operations and bytes in the outbox.
    pub fn outbox_level(&self) -> (usize, usize) {
        (self.outbox.operations(), self.outbox.bytes())
    }

    /// Where the client stands.
    pub fn state(&self) -> State {
        match self.session.phase() {
            Phase::Stopped => State::Stopped,
            _ if self.drain.is_some() || self.leaving.is_some() => State::Stopping,
            Phase::Waiting { .. } => State::Waiting,
            Phase::Connecting { .. } => State::Connecting,
            Phase::Connected { .. } => State::Connected,
        }
    }

    // ---- What the application asks for ----

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
        self.brief = 0;
        Ok(())
    }

    /// Takes nothing new, waits until what was accepted has completed, at the latest until
    /// `deadline`, cancels what is left, and comes to rest.
    pub fn stop(&mut self, deadline: Duration) {
        if self.session.phase() != Phase::Stopped && self.leaving.is_none() {
            self.drain = Some(self.drain.map_or(deadline, |earlier| earlier.min(deadline)));
        }
    }

    /// Ends the wait between two attempts.
    pub fn retry_now(&mut self, now: Duration) {
        self.session.retry_now(now);
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
        let profile = self.config.profile();
        topic::check_topic(topic, self.config.identity().product_key(), profile)?;
        if payload.len() > profile.payload_len {
            return Err(Error::argument(
                "payload_len",
                format_args!(
                    "is {}: at most {} are allowed",
                    payload.len(),
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
        let outbox = &mut self.outbox;
        let accepted = outbox.publish(topic, payload, qos, want_token, expires, &mut self.fallout);
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

    // ---- What the engine reports ----

    /// The attempt under way has reached `stage`.
    pub fn handle_stage(&mut self, stage: Stage) {
        self.stage = stage;
    }

    /// The link is open, encrypted if it must be: CONNECT goes out.
    pub fn handle_link_up(&mut self) {
        if self.closing.is_some() {
            return;
        }
        self.stage = Stage::Mqtt;
        self.connection = self.connection.wrapping_add(1);
        let connect = self.config.credentials().and_then(|credentials| {
            let (keep_alive, clean) = (self.config.keep_alive_s(), self.config.clean_session());
            codec::encode_connect(&mut self.control, &credentials, keep_alive, clean)
                .map_err(|_| Error::argument("credentials", "exceed 65535 bytes"))
        });
        if let Err(error) = connect {
            self.fail(error);
        }
    }

    /// Packets arrived, in this order.
    pub fn handle_packets(&mut self, packets: impl Iterator<Item = Packet>, now: Duration) {
        let mut acknowledged = false;
        for packet in packets {
            if self.closing.is_some() {
                return;
            }
            match (self.session.phase(), packet) {
                (
                    Phase::Connecting { .. },
                    Packet::ConnAck {
                        session_present,
                        code,
                    },
                ) => {
                    self.handle_connack(session_present, code, now);
                }
                (Phase::Connecting { .. }, _) => {
                    self.fail_protocol("the first packet from the peer was not a CONNACK");
                }
                (_, Packet::ConnAck { .. }) => self.fail_protocol("a second CONNACK arrived"),
                (_, Packet::Publish(publish)) => self.handle_publish(publish),
                (_, Packet::PubAck { id }) => {
                    acknowledged |= self.handle_ack(id, AckKind::Publish, &[]);
                }
                (_, Packet::SubAck { id, codes }) => {
                    acknowledged |= self.handle_ack(id, AckKind::Subscribe(codes.len()), &codes);
                }
                (_, Packet::UnsubAck { id }) => {
                    acknowledged |= self.handle_ack(id, AckKind::Unsubscribe, &[]);
                }
                (_, Packet::PingResp) => {
                    if let Some(keep_alive) = &mut self.keep_alive {
                        keep_alive.handle_pingresp(now);
                    }
                }
            }
        }
        if let Some(keep_alive) = &mut self.keep_alive {
            keep_alive.handle_received(now);
            keep_alive.set_owed(self.outbox.is_owed(), acknowledged, now);
        }
    }

    /// Bytes arrived that do not complete a packet.
    pub fn handle_received(&mut self, now: Duration) {
        if let Some(keep_alive) = &mut self.keep_alive {
            keep_alive.handle_received(now);
        }
    }

    /// The peer broke the protocol.
    pub fn fail_protocol(&mut self, reason: impl Into<String>) {
        self.fail(Error::new(ErrorKind::Protocol, Stage::Mqtt, reason));
    }

    fn fail(&mut self, error: Error) {
        if self.closing.is_none() {
            self.closing = Some(Closing::Failed(error));
            self.action = Some(Action::Hangup);
        }
    }

    fn handle_connack(&mut self, session_present: bool, code: u8, now: Duration) {
        if code != 0 {
            return self.fail(refusal(code));
        }
        if session_present && self.config.clean_session() {
            // MQTT-3.2.2-1 leaves no such answer.
            return self
                .fail_protocol("CONNACK says that a session is present: none was asked for");
        }
        self.session.handle_connected(now);
        self.keep_alive = Some(KeepAlive::new(&self.config, now));
        self.counters.connects += 1;
        self.outbox.handle_connected(session_present);
        if !session_present {
            let outbox = &self.outbox;
            let restored: Vec<_> = self
                .routes
                .iter()
                .filter(|(filter, route)| !route.refused && !outbox.is_subscribing(filter.as_str()))
                .map(|(filter, route)| (filter.clone(), route.qos))
                .collect();
            self.outbox.restore(restored.into_iter());
        }
        self.emit(Event {
            session_present,
            ..Event::new(EventKind::Connected)
        });
    }

    fn handle_ack(&mut self, id: u16, kind: AckKind, codes: &[u8]) -> bool {
        match self.outbox.handle_ack(id, kind) {
            // Unsolicited and repeated acknowledgements are tolerated.
            Ok(None) => return false,
            Ok(Some(Acknowledged::Publish(token))) => self.complete(token, Ok(None)),
            Ok(Some(Acknowledged::Filters(ops))) => self.handle_filters(ops, codes),
            Ok(Some(Acknowledged::Nothing)) => {}
            Err(reason) => self.fail_protocol(reason),
        }
        true
    }

    fn handle_filters(&mut self, ops: Vec<FilterOp>, codes: &[u8]) {
        for (index, op) in ops.into_iter().enumerate() {
            let granted = match (op.subscribe, codes.get(index)) {
                (Some(_), Some(0x80)) => {
                    self.routes.set_refused(op.filter.as_str(), true);
                    let text = format!(
                        "the platform refused the subscription to {:?}",
                        op.filter.as_str()
                    );
                    Err(Error::new(
                        ErrorKind::SubscriptionRefused,
                        Stage::Platform,
                        text,
                    ))
                }
                (Some(_), code) => {
                    self.routes.set_refused(op.filter.as_str(), false);
                    let none = matches!(code, Some(0));
                    Ok(Some(if none {
                        Qos::AtMostOnce
                    } else {
                        Qos::AtLeastOnce
                    }))
                }
                (None, _) => Ok(None),
            };
            match (op.token, granted) {
                (Some(token), granted) => self.complete(token, granted),
                (None, Err(error)) => {
                    self.emit(Event::failure(EventKind::SubscriptionLost, error, None))
                }
                (None, Ok(_)) => {}
            }
        }
    }

    fn handle_publish(&mut self, publish: Publish) {
        self.counters.received += 1;
        let is_qos_1 = publish.id().is_some();
        if is_kick(&publish) {
            self.kicked = true;
        }
        if !self.inbox.accept(publish.wire_len(), is_qos_1) {
            if is_qos_1 {
                let text = "callbacks are too slow: as many QoS 1 messages wait as the inbox holds";
                return self.fail(Error::new(ErrorKind::InboxOverflow, Stage::Session, text));
            }
            self.counters.dropped += 1;
            return;
        }
        let mut handlers = Vec::new();
        self.routes.matches(publish.topic(), &mut handlers);
        self.counters.unrouted += u64::from(handlers.is_empty());
        self.outputs.push_back(Output::Message {
            handlers,
            publish,
            connection: self.connection,
        });
    }

    /// The callbacks of these messages have returned: `bytes` of them in all, and these QoS 1 ids
    /// each with its connection.
    pub fn handle_delivered(&mut self, bytes: usize, acks: impl Iterator<Item = (u32, u16)>) {
        let connection = self.connection;
        let ours = acks.filter(|&(on, _)| on == connection).map(|(_, id)| id);
        let dropped = self.inbox.handle_delivered(bytes, ours);
        self.report_dropped(dropped);
    }

    fn report_dropped(&mut self, dropped: u64) {
        if dropped > 0 {
            let text = format!("{dropped} messages of QoS 0 were dropped");
            self.emit(Event {
                dropped,
                text,
                ..Event::new(EventKind::MessagesDropped)
            });
        }
    }

    /// The link, or the attempt to open one, is gone. `chunk` is what it had not taken.
    ///
    /// `error` is the engine's reason; the device's own, if it asked for the end, is stronger.
    pub fn handle_lost(
        &mut self,
        error: Option<Error>,
        chunk: Chunk,
        now: Duration,
        entropy: u32,
        budget: &mut Budget,
    ) {
        let mut error = match self.closing.take() {
            Some(Closing::Asked) => None,
            Some(Closing::Failed(own)) => Some(own),
            None => error,
        };
        if self.leaving.take().is_some() {
            error = None;
        }
        self.control.as_mut().zeroize();
        self.control = BytesMut::new();
        (self.action, self.keep_alive, self.ping_in_control) = (None, None, false);
        self.outbox.handle_lost(chunk, &mut self.fallout);
        self.emit_fallout();
        let dropped = self.inbox.handle_lost();
        self.report_dropped(dropped);
        if let Some(cause) = error.as_ref().and_then(|error| self.take_over(error, now)) {
            self.emit(Event::failure(EventKind::TakenOver, cause.clone(), None));
            error = Some(cause);
        }
        if let Some(event) = self.session.handle_lost(error, now, entropy, budget) {
            self.emit(event);
        }
        if self.session.phase() == Phase::Stopped {
            self.come_to_rest();
        }
    }

    /// Whether the end of this connection, for the reason `error`, looks as if another connection
    /// had taken over: the platform said so, or does the same thing again and again.
    fn take_over(&mut self, error: &Error, now: Duration) -> Option<Error> {
        let kicked = std::mem::take(&mut self.kicked);
        let Phase::Connected { since } = self.session.phase() else {
            return None;
        };
        let brief = now.saturating_sub(since) < self.config.profile().stable_after;
        match (brief, error.kind()) {
            (true, ErrorKind::ClosedByPeer) => self.brief = self.brief.saturating_add(1),
            _ => self.brief = 0,
        }
        let how = if kicked {
            format!("as announced on {KICK_TOPIC}")
        } else if self.brief >= TAKE_OVER_AFTER {
            format!(
                "or so it seems: {} connections in a row were accepted and soon closed",
                self.brief
            )
        } else {
            return None;
        };
        let text = format!("another connection with this identity took over, {how} ({error})");
        Some(Error::new(ErrorKind::TakenOver, Stage::Platform, text))
    }

    fn come_to_rest(&mut self) {
        if self.drain.take().is_some() {
            self.cancel_all();
        }
        self.session.rest();
        self.action = None;
        self.emit(Event::new(EventKind::Stopped));
    }

    // ---- Time ----

    /// When [`Device::handle_timeout`] wants to be called, if nothing else happens before.
    pub fn poll_timeout(&self, now: Duration) -> Option<Duration> {
        if self.leaving.is_some() {
            return self.leaving;
        }
        let keep_alive = self.keep_alive.as_ref();
        let may_send = keep_alive.and_then(|_| self.outbox.poll_fill(now));
        let deadlines = [
            self.session.poll_timeout(),
            keep_alive.and_then(KeepAlive::poll_timeout),
            // What may be sent at once waits for the socket, not for a time.
            may_send.filter(|&at| at > now),
            self.outbox.next_expiry(),
            self.drain,
        ];
        deadlines.into_iter().flatten().min()
    }

    /// Does what is due at `now`.
    pub fn handle_timeout(&mut self, now: Duration, budget: &mut Budget) {
        self.outbox.handle_timeout(now, &mut self.fallout);
        self.emit_fallout();
        if let Some(until) = self.leaving {
            // A peer that takes no goodbye, be it DISCONNECT or close_notify, is left without one.
            // No other deadline counts any more.
            if until <= now {
                self.closing = Some(Closing::Asked);
                self.action = Some(Action::Hangup);
            }
            return;
        }
        if self.closing.is_some() {
            return;
        }
        self.handle_drain(now);
        if self.session.is_overdue(now) {
            let timeout = self.session.connect_timeout();
            return self.fail(Error::new(
                ErrorKind::ConnectTimeout,
                self.stage,
                format!("no connection within {} ms", timeout.as_millis()),
            ));
        }
        if self.session.handle_timeout(now, budget) {
            self.stage = Stage::Resolve;
            self.action = Some(Action::Dial);
            self.emit(Event::new(EventKind::Connecting));
        }
        // The drain may just have said DISCONNECT: nothing follows that.
        if self.leaving.is_none()
            && let Some(keep_alive) = &mut self.keep_alive
        {
            match keep_alive.handle_timeout(now) {
                Verdict::Alive => {}
                Verdict::Ping => {
                    codec::encode_pingreq(&mut self.control);
                    self.ping_in_control = true;
                }
                Verdict::Dead(silence) => self.fail(dead(silence)),
            }
        }
    }

    fn handle_drain(&mut self, now: Duration) {
        let Some(deadline) = self.drain else {
            return;
        };
        if deadline > now && self.outbox.operations() > 0 {
            return;
        }
        match self.session.phase() {
            Phase::Stopped => self.drain = None,
            Phase::Waiting { .. } => {
                self.cancel_all();
                self.come_to_rest();
            }
            Phase::Connecting { .. } => {
                self.cancel_all();
                self.closing = Some(Closing::Asked);
                self.action = Some(Action::Hangup);
            }
            Phase::Connected { .. } => {
                self.cancel_all();
                self.drain = None;
                codec::encode_disconnect(&mut self.control);
                self.leaving = Some(now + GOODBYE);
            }
        }
    }

    // ---- What the engine takes ----

    /// What to do now, once.
    pub fn poll_action(&mut self) -> Option<Action> {
        self.action.take()
    }

    /// Whether [`Device::poll_transmit`] has anything.
    pub fn has_transmit(&self, now: Duration) -> bool {
        self.closing.is_none()
            && (!self.control.is_empty()
                || (self.keep_alive.is_some()
                    && self.leaving.is_none()
                    && (self.inbox.has_acks() || self.outbox.poll_fill(now) == Some(now))))
    }

    /// Fills the empty `chunk` with what may leave now.
    pub fn poll_transmit(&mut self, chunk: &mut Chunk, now: Duration) {
        if self.closing.is_some() {
            return;
        }
        if !self.control.is_empty() {
            chunk.head.extend_from_slice(&self.control);
            self.control.as_mut().zeroize();
            self.control.clear();
        }
        if let Some(keep_alive) = &mut self.keep_alive {
            if std::mem::take(&mut self.ping_in_control) {
                keep_alive.handle_ping_leaving();
            }
            if self.leaving.is_none() {
                self.inbox.fill_acks(&mut chunk.head);
                self.outbox.fill(chunk, now);
                keep_alive.set_owed(self.outbox.is_owed(), false, now);
            }
            if !chunk.is_empty() {
                keep_alive.handle_write_waits(now);
            }
        }
    }

    /// The socket took some of the chunk.
    pub fn handle_progress(&mut self, now: Duration) {
        if let Some(keep_alive) = &mut self.keep_alive {
            keep_alive.handle_written(false, now);
        }
    }

    /// The socket took all of the chunk, which is emptied.
    pub fn handle_written(&mut self, chunk: &mut Chunk, now: Duration) {
        if self.keep_alive.is_none() {
            // It was the CONNECT, with the password in it.
            chunk.head.as_mut().zeroize();
        }
        self.outbox.handle_written(chunk, &mut self.fallout);
        self.emit_fallout();
        if let Some(keep_alive) = &mut self.keep_alive {
            keep_alive.handle_written(true, now);
        }
        if self.leaving.is_some() && self.control.is_empty() && self.closing.is_none() {
            self.closing = Some(Closing::Asked);
            self.action = Some(Action::Goodbye);
        }
    }

    /// Everything that has come up for the application, in order.
    pub fn outputs(&mut self) -> &mut VecDeque<Output<H>> {
        &mut self.outputs
    }

    fn emit(&mut self, event: Event) {
        self.outputs.push_back(Output::Event(event));
    }

    fn complete(&mut self, token: Token, result: Result<Option<Qos>, Error>) {
        let completion = Completion { token, result };
        self.outputs.push_back(Output::Completion(completion));
    }

    fn emit_fallout(&mut self) {
        let completions = self.fallout.completions.drain(..).map(Output::Completion);
        self.outputs.extend(completions);
        let dropped = std::mem::take(&mut self.fallout.dropped);
        self.counters.dropped += dropped;
        self.report_dropped(dropped);
    }

    fn cancel_all(&mut self) {
        let text = "the client ended before the operation did";
        let error = Error::new(ErrorKind::Cancelled, Stage::Session, text);
        self.outbox.cancel_all(&error, &mut self.fallout);
        self.emit_fallout();
    }
}

/// Brief connections in a row that make the pattern of two devices with one identity.
const TAKE_OVER_AFTER: u32 = 3;

/// The platform's notice to the older of two connections with one identity.
/// Source: docs/design.md, section 5, and the log of the vendor's SDK.
const KICK_TOPIC: &str = "/ext/notify";

fn is_kick(publish: &Publish) -> bool {
    publish.topic() == KICK_TOPIC && publish.payload().windows(6).any(|text| text == b"\"kick\"")
}

fn dead(silence: Silence) -> Error {
    let text = match silence {
        Silence::PingResp => "no PINGRESP came in time: the link is dead",
        Silence::Acknowledgement => {
            "nothing that is owed was acknowledged in time: the link is dead"
        }
        Silence::Write => "the peer has not taken a byte for 30 s: the link is dead",
    };
    Error::new(ErrorKind::KeepAliveTimeout, Stage::Session, text)
}

/// Source: MQTT 3.1.1, table 3.1; the causes are the platform's documentation of its error codes.
fn refusal(code: u8) -> Error {
    let (kind, cause) = match code {
        1 => (
            ErrorKind::UnsupportedProtocol,
            "unacceptable protocol version: the endpoint does not speak MQTT 3.1.1",
        ),
        2 => (
            ErrorKind::BadClientId,
            "client id rejected: it is malformed, or the account has no right or is in arrears",
        ),
        3 => (
            ErrorKind::ServerUnavailable,
            "server unavailable: a fault of the platform, a keep-alive below 30 s, or a wrong client id",
        ),
        4 => (
            ErrorKind::BadCredentials,
            "bad user name or password: wrong product key, device name or secret, a wrong signature, or a disabled device",
        ),
        5 => (
            ErrorKind::NotAuthorized,
            "not authorised: wrong product key, device name or secret, or a wrong signature",
        ),
        _ => {
            let text = format!("CONNACK with the unknown return code {code} arrived");
            return Error::new(ErrorKind::Protocol, Stage::Mqtt, text);
        }
    };
    let text = format!("CONNACK {code}, {cause}");
    Error::new(kind, Stage::Platform, text)
}

#[cfg(test)]
mod tests_goodbye;
#[cfg(test)]
mod tests_normative;
