//! The device: session, outbox, keep-alive and routes behind one surface.
//!
//! `handle_*` takes what happened and the time, `poll_*` gives what to do next. There is no socket,
//! clock, thread or lock in here: the engine has them, and a test can do without.

mod calls;
mod ending;
mod packets;

#[cfg(test)]
mod tests_accepting;
#[cfg(test)]
mod tests_blocked;
#[cfg(test)]
mod tests_calls;
#[cfg(test)]
mod tests_found;
#[cfg(test)]
mod tests_goodbye;
#[cfg(test)]
mod tests_normative;
#[cfg(test)]
mod tests_orders;
#[cfg(test)]
mod tests_packets;
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) mod tests_random;

use std::collections::VecDeque;
use std::time::Duration;

use bytes::BytesMut;
use ending::Brief;
use zeroize::Zeroize;

use super::budget::Budget;
use super::codec::{self, Publish};
use super::config::Config;
use super::event::{Completion, Event, EventKind, State, Token};
use super::inbox::Inbox;
use super::keepalive::{KeepAlive, Silence, Verdict};
use super::outbox::{Chunk, Fallout, Outbox};
use super::qos::Qos;
use super::queue::give_back;
use super::routes::{Handlers, RouteState, Routes};
use super::session::{Phase, Session};
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
    /// The connection changed. Boxed: it is rare, and larger than the others.
    Event(Box<Event>),
    /// An operation ended.
    Completion(Completion),
    /// A message arrived.
    Message {
        /// Who asked for it; nobody if the platform pushed it unasked.
        handlers: Handlers<H>,
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
    /// Attempts to connect.
    pub attempts: u64,
    /// Attempts that failed.
    pub failures: u64,
    /// Accepted connections.
    pub connects: u64,
    /// Connections that ended because the network broke them.
    pub lost_network: u64,
    /// Connections that the peer closed.
    pub lost_closed: u64,
    /// Connections that went silent.
    pub lost_silent: u64,
    /// Connections on which the peer broke the protocol.
    pub lost_protocol: u64,
    /// Connections that another one with this identity replaced.
    pub lost_taken_over: u64,
    /// Connections closed because callbacks were too slow.
    pub lost_overflow: u64,
    /// Messages accepted by publish.
    pub published: u64,
    /// QoS 1 messages that the platform acknowledged.
    pub acknowledged: u64,
    /// Messages that arrived.
    pub received: u64,
    /// Of those, the ones that matched no subscription.
    pub unrouted: u64,
    /// Messages dropped, either way.
    pub dropped: u64,
    /// Bytes of MQTT that the socket took.
    pub bytes_sent: u64,
    /// Bytes of MQTT that arrived in whole packets.
    pub bytes_received: u64,
    /// Time from the last PINGREQ to its PINGRESP.
    pub ping_round_trip: Duration,
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
    /// What had arrived by then.
    drain_mark: u64,
    /// DISCONNECT is on its way; the link is dropped then.
    leaving: Option<Duration>,
    kicked: bool,
    /// A certificate that ends soon, for after CONNACK: its end and a sentence.
    notice: Option<(u64, String)>,
    /// The end of the certificate that the application was last told of, and when that was.
    noticed: Option<(u64, Duration)>,
    brief: Brief,
    /// Messages that were dropped since the last event that said so, and whether the application
    /// has not taken that one yet.
    dropped: u64,
    drop_is_told: bool,
    outputs: VecDeque<Output<H>>,
    fallout: Fallout,
    counters: Counters,
    /// Why there is no connection, for whoever waits for one.
    last_failure: Option<Error>,
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
            drain_mark: 0,
            leaving: None,
            kicked: false,
            notice: None,
            noticed: None,
            brief: Brief::default(),
            dropped: 0,
            drop_is_told: false,
            outputs: VecDeque::new(),
            fallout: Fallout::default(),
            counters: Counters::default(),
            last_failure: None,
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

    /// Bytes that wait for callbacks.
    pub fn inbox_level(&self) -> usize {
        self.inbox.level()
    }

    /// See [`Outbox::has_room`].
    pub fn has_room(&self) -> bool {
        self.outbox.has_room()
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

    /// Whether the platform has accepted the device, be it on the way to a stop.
    pub fn is_accepted(&self) -> bool {
        matches!(self.session.phase(), Phase::Connected { .. })
    }

    // ---- What the engine reports ----

    /// The attempt under way has reached `stage`; [`Stage::Session`] is waiting for one's turn.
    pub fn handle_stage(&mut self, stage: Stage, now: Duration, budget: &mut Budget) {
        self.stage = stage;
        if stage == Stage::Session {
            self.session.pause();
        } else {
            self.session.resume(stage == Stage::Tcp, now, budget);
        }
    }

    /// A certificate of the attempt under way ends at `ends`, in seconds since 1970: soon.
    pub fn handle_notice(&mut self, ends: u64, text: String) {
        self.notice = Some((ends, text));
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

    /// Bytes arrived that do not complete a packet.
    pub fn handle_received(&mut self, now: Duration) {
        if let Some(keep_alive) = &mut self.keep_alive {
            keep_alive.handle_received(now);
        }
    }

    /// Memory for a packet of `len` bytes that is arriving: none, if none is kept that is fit for it.
    pub fn memory(&mut self, len: usize) -> BytesMut {
        self.outbox.spares().take(len)
    }

    /// Callbacks have returned for messages that were in this memory.
    pub fn keep_memory(&mut self, memory: impl Iterator<Item = BytesMut>, now: Duration) {
        memory.for_each(|memory| self.outbox.spares().keep(memory, now));
    }

    /// This many bytes of whole packets have arrived.
    pub fn count_received(&mut self, bytes: usize) {
        self.counters.bytes_received += bytes as u64;
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

    /// Callbacks have returned: for messages that `bytes` were charged for in all, with these QoS 1
    /// ids, each with its connection; and for so many completions.
    pub fn handle_delivered(
        &mut self,
        bytes: usize,
        completions: usize,
        acks: impl Iterator<Item = (u32, u16)>,
    ) {
        self.outbox.handle_completions_taken(completions);
        self.drop_is_told = false;
        let connection = self.connection;
        let ours = acks.filter(|&(on, _)| on == connection).map(|(_, id)| id);
        let dropped = self.inbox.handle_delivered(bytes, ours);
        self.report_dropped(dropped);
    }

    /// One event at a time: an application that takes none cannot gather them without end.
    fn report_dropped(&mut self, dropped: u64) {
        self.dropped += dropped;
        if self.dropped > 0 && !self.drop_is_told {
            let dropped = std::mem::take(&mut self.dropped);
            self.drop_is_told = true;
            let text = format!("{dropped} messages of QoS 0 were dropped");
            self.emit(Event {
                dropped,
                text,
                ..Event::new(EventKind::MessagesDropped)
            });
        }
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
            self.outbox.poll_timeout(),
            // Nothing is owed any more: the drain ends now, not at its deadline.
            self.drain.map(|deadline| {
                if self.is_drained() {
                    deadline.min(now)
                } else {
                    deadline
                }
            }),
        ];
        deadlines.into_iter().flatten().min()
    }

    /// Gives back the memory of what is empty: there is nothing to do for now, and ten thousand idle
    /// devices should hold nothing.
    pub fn rest(&mut self) {
        self.outbox.rest();
        give_back(&mut self.outputs);
        if self.fallout.completions.is_empty() {
            self.fallout.completions = Vec::new();
        }
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
            self.counters.attempts += 1;
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

    // ---- What the engine takes ----

    /// What to do now, once.
    pub fn poll_action(&mut self) -> Option<Action> {
        self.action.take()
    }

    /// Whether [`Device::poll_action`] has anything.
    pub fn has_action(&self) -> bool {
        self.action.is_some()
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
            if self.keep_alive.is_none() {
                // It is the CONNECT.
                chunk.set_secret();
            }
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
        self.counters.bytes_sent += chunk.len() as u64;
        self.outbox.handle_written(chunk, now, &mut self.fallout);
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

    /// Why the last attempt failed or the last connection ended, until there is a new one or the
    /// application stops or starts the client. One that stopped by itself keeps it.
    pub fn last_failure(&self) -> Option<&Error> {
        self.last_failure.as_ref()
    }

    fn emit(&mut self, event: Event) {
        match event.kind {
            EventKind::ConnectFailed | EventKind::Disconnected => {
                self.last_failure.clone_from(&event.error);
            }
            EventKind::Connected => self.last_failure = None,
            _ => {}
        }
        self.outputs.push_back(Output::Event(Box::new(event)));
    }

    fn complete(&mut self, token: Token, result: Result<Option<Qos>, Error>) {
        self.outbox.handle_completions_made(1);
        let completion = Completion { token, result };
        self.outputs.push_back(Output::Completion(completion));
    }

    fn emit_fallout(&mut self) {
        let made = self.fallout.completions.len();
        self.outbox.handle_completions_made(made);
        let completions = self.fallout.completions.drain(..).map(Output::Completion);
        self.outputs.extend(completions);
        let dropped = std::mem::take(&mut self.fallout.dropped);
        self.counters.dropped += dropped;
        self.report_dropped(dropped);
    }

    fn cancel_all(&mut self) {
        let text = "the client ended before the operation did";
        let error = Error::new(ErrorKind::Cancelled, Stage::Session, text);
        let changes = self.outbox.cancel_all(&error, &mut self.fallout);
        for op in &changes {
            self.routes
                .set_state(op.filter.as_str(), RouteState::Wanted);
        }
        if !self.config.clean_session() {
            let routes = &self.routes;
            let ended = changes
                .into_iter()
                .filter(|op| op.subscribe.is_none() && routes.get(op.filter.as_str()).is_none());
            self.outbox.end_later(ended.map(|op| op.filter));
        }
        self.emit_fallout();
    }
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
