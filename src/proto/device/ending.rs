//! How a connection ends: cut, taken over, drained.

use std::time::Duration;

use bytes::BytesMut;
use zeroize::Zeroize;

use super::{Action, Closing, Device, GOODBYE};
use crate::proto::budget::Budget;
use crate::proto::codec::{self, Publish};
use crate::proto::event::{Event, EventKind, Token};
use crate::proto::outbox::Chunk;
use crate::proto::session::{Phase, Rival};
use crate::proto::text::shown;
use crate::{Error, ErrorKind, Stage};

impl<H: Clone> Device<H> {
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
        // A callback that returns later acknowledges a message of a link that is no more.
        self.connection = self.connection.wrapping_add(1);
        let under_way = self.outbox.under_way();
        let under_way = under_way.map(|(token, topic)| (token, shown(topic)));
        self.outbox.handle_lost(chunk, &mut self.fallout);
        self.emit_fallout();
        let dropped = self.inbox.handle_lost();
        self.report_dropped(dropped);
        let token = under_way.as_ref().map(|&(token, _)| token);
        let rival = error
            .as_ref()
            .and_then(|error| self.rival(error, token, now));
        match (rival, &mut error, under_way) {
            (Some(rival), Some(error), _) => {
                *error = self.taken_over(rival, error);
                self.emit(Event::failure(EventKind::TakenOver, error.clone(), None));
            }
            // What failed before CONNACK carried no message.
            (None, Some(error), Some(message))
                if self.is_accepted() && self.brief.has_one_message() =>
            {
                *error = self.blocked(message, error);
            }
            _ => {}
        }
        self.count_loss(error.as_ref().map(Error::kind));
        let event = self.session.handle_lost(error, rival, now, entropy, budget);
        if let Some(event) = event {
            self.emit(event);
        }
        if self.session.phase() == Phase::Stopped {
            self.come_to_rest();
        }
    }

    fn count_loss(&mut self, kind: Option<ErrorKind>) {
        let counters = &mut self.counters;
        let counter = match (self.session.phase(), kind) {
            (Phase::Connecting { .. }, _) => &mut counters.failures,
            (_, None) => return,
            (_, Some(ErrorKind::ClosedByPeer)) => &mut counters.lost_closed,
            (_, Some(ErrorKind::KeepAliveTimeout)) => &mut counters.lost_silent,
            (_, Some(ErrorKind::Protocol)) => &mut counters.lost_protocol,
            (_, Some(ErrorKind::TakenOver)) => &mut counters.lost_taken_over,
            (_, Some(ErrorKind::InboxOverflow)) => &mut counters.lost_overflow,
            (_, Some(_)) => &mut counters.lost_network,
        };
        *counter += 1;
    }

    /// Whether the end of this connection, for the reason `error`, looks as if another connection
    /// had taken over: the platform said so, or does the same thing again and again. `message` was
    /// the oldest without an acknowledgement.
    fn rival(&mut self, error: &Error, message: Option<Token>, now: Duration) -> Option<Rival> {
        let kicked = std::mem::take(&mut self.kicked);
        let Phase::Connected { since } = self.session.phase() else {
            return None;
        };
        let brief = now.saturating_sub(since) < self.config.profile().stable_after;
        match (brief, error.kind()) {
            (true, ErrorKind::ClosedByPeer) => self.brief.count(message),
            _ => self.brief = Brief::default(),
        }
        if kicked {
            return Some(Rival::Announced);
        }
        (self.brief.unexplained >= TAKE_OVER_AFTER).then_some(Rival::Suspected)
    }

    fn taken_over(&self, rival: Rival, error: &Error) -> Error {
        let how = match rival {
            Rival::Announced => format!("as announced on {KICK_TOPIC}"),
            Rival::Suspected => format!(
                "or so it seems: {} connections in a row were accepted and soon closed",
                self.brief.closed
            ),
        };
        let text = format!("another connection with this identity took over, {how} ({error})");
        Error::new(ErrorKind::TakenOver, Stage::Platform, text)
    }

    /// The peer closes whenever it gets this message, as MQTT-3.3.5-2 allows.
    fn blocked(&self, (token, topic): (Token, String), error: &Error) -> Error {
        let text = format!(
            "the peer has closed {} connections in a row after the message on topic {topic}, token {}, \
             which it has not acknowledged: {error}",
            self.brief.with_message,
            token.get(),
        );
        // Of the platform: it has its own hint.
        Error::new(ErrorKind::ClosedByPeer, Stage::Platform, text)
    }

    pub(super) fn come_to_rest(&mut self) {
        if self.drain.take().is_some() {
            self.cancel_all();
            self.last_failure = None;
        }
        self.session.rest();
        self.action = None;
        self.emit(Event::new(EventKind::Stopped));
    }

    /// Whether a stop has nothing left to wait for.
    pub(super) fn is_drained(&self) -> bool {
        self.outbox.operations() == 0 && !self.inbox.is_held(self.drain_mark)
    }

    pub(super) fn handle_drain(&mut self, now: Duration) {
        let Some(deadline) = self.drain else {
            return;
        };
        if deadline > now && !self.is_drained() {
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
                // Nothing follows DISCONNECT, and what callbacks have returned for would come again.
                self.inbox.fill_acks(&mut self.control);
                codec::encode_disconnect(&mut self.control);
                self.leaving = Some(now + GOODBYE);
            }
        }
    }
}

/// Connections in a row that the peer closed soon after it had accepted them.
#[derive(Debug, Default)]
pub(super) struct Brief {
    closed: u32,
    /// Without those that ended with the same message as the one before.
    unexplained: u32,
    /// The oldest message without an acknowledgement when the last one ended, and the connections in
    /// a row that ended with it.
    message: Option<Token>,
    with_message: u32,
}

impl Brief {
    fn count(&mut self, message: Option<Token>) {
        self.closed = self.closed.saturating_add(1);
        if message.is_some() && message == self.message {
            self.with_message = self.with_message.saturating_add(1);
        } else {
            self.message = message;
            self.with_message = u32::from(message.is_some());
            self.unexplained = self.unexplained.saturating_add(1);
        }
        if self.has_one_message() {
            self.unexplained = 0;
        }
    }

    /// Whether one message is reason enough for the last of them.
    fn has_one_message(&self) -> bool {
        self.with_message >= TAKE_OVER_AFTER
    }
}

/// Brief connections in a row that make the pattern of two devices with one identity, or of a
/// message that the peer does not take.
const TAKE_OVER_AFTER: u32 = 3;

/// The platform's notice to the older of two connections with one identity.
/// Source: docs/design.md, section 5, and the log of the vendor's SDK.
const KICK_TOPIC: &str = "/ext/notify";

pub(super) fn is_kick(publish: &Publish) -> bool {
    publish.is_on(KICK_TOPIC) && publish.payload().windows(6).any(|text| text == b"\"kick\"")
}
