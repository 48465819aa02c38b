//! What the application learns: states, events, completions.

use std::num::NonZeroU64;
use std::time::Duration;

use super::qos::Qos;
use crate::{Error, Identity};

/// Names an accepted operation. Never reused by the same client.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Token(NonZeroU64);

impl Token {
    /// The first token of a client.
    pub(crate) const FIRST: Self = Self(NonZeroU64::MIN);

    /// The token after this one.
    pub(crate) fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }

    /// The number, which is never 0.
    pub fn get(self) -> u64 {
        self.0.get()
    }
}

/// Where a client stands between start and stop.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum State {
    /// At rest. What is published meanwhile is queued.
    Stopped = 0,
    /// An attempt to connect is under way.
    Connecting = 1,
    /// The platform has accepted the device.
    Connected = 2,
    /// Between two attempts.
    Waiting = 3,
    /// Draining or saying goodbye.
    Stopping = 4,
}

/// What happened to the connection.
///
/// Every `Connecting` is followed by exactly one `Connected` or `ConnectFailed`, every `Connected`
/// by exactly one `Disconnected`. After `Stopped` only `MessagesDropped` can come until the next
/// start. Where the events of hundreds of attempts wait for a callback, the oldest attempts are
/// forgotten, each as a whole, and the log says how many.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum EventKind {
    /// An attempt begins.
    Connecting = 1,
    /// The platform accepted the device.
    Connected = 2,
    /// The attempt failed.
    ConnectFailed = 3,
    /// The connection ended.
    Disconnected = 4,
    /// The client is at rest.
    Stopped = 5,
    /// Another connection with this identity replaced ours. Comes before `Disconnected`.
    TakenOver = 6,
    /// Messages of QoS 0 were dropped: received ones because callbacks were too slow, or unsent ones
    /// without a token because the client stopped or because they made room for newer ones.
    MessagesDropped = 7,
    /// A subscription that was restored after a reconnect has been refused.
    SubscriptionLost = 8,
    /// The server's certificate, the root it leads to, or the device's own certificate ends soon or
    /// has ended.
    CertificateExpiresSoon = 9,
    /// The platform has said which device the client certificate belongs to. The client keeps it.
    IdentityReceived = 10,
}

impl EventKind {
    /// Whether it tells how one attempt to connect went, which the next one outdates. The others come
    /// once, or carry what no later one says again.
    pub(crate) fn is_of_an_attempt(self) -> bool {
        match self {
            Self::Connecting
            | Self::Connected
            | Self::ConnectFailed
            | Self::Disconnected
            | Self::Stopped
            | Self::TakenOver => true,
            Self::MessagesDropped
            | Self::SubscriptionLost
            | Self::CertificateExpiresSoon
            | Self::IdentityReceived => false,
        }
    }

    /// The kind in words, for the log.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Connecting => "connects",
            Self::Connected => "is connected",
            Self::ConnectFailed => "could not connect",
            Self::Disconnected => "is disconnected",
            Self::Stopped => "has stopped",
            Self::TakenOver => "was taken over",
            Self::MessagesDropped => "dropped messages",
            Self::SubscriptionLost => "lost a subscription",
            Self::CertificateExpiresSoon => "connects with a certificate that ends soon",
            Self::IdentityReceived => "has learnt whose certificate it is",
        }
    }
}

/// One event, in the order in which things happened.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Event {
    /// What happened.
    pub kind: EventKind,
    /// `ConnectFailed`, `Disconnected`, `TakenOver`, `SubscriptionLost`: why. `None` for the other
    /// kinds, and for a disconnection that the application asked for.
    pub error: Option<Error>,
    /// `Connected`: the platform kept the session.
    pub session_present: bool,
    /// `ConnectFailed` and `Disconnected`: when the next attempt begins; `None` if none will.
    pub retry_in: Option<Duration>,
    /// `MessagesDropped`: how many.
    pub dropped: u64,
    /// `IdentityReceived`: who the device is, to be saved for the next start.
    pub identity: Option<Identity>,
    /// `CertificateExpiresSoon`: when, in seconds since 1970.
    pub certificate_ends: Option<u64>,
    /// The reason in words, or the filter of `SubscriptionLost`; may be empty.
    pub text: String,
}

impl Event {
    /// An event without details.
    pub(crate) fn new(kind: EventKind) -> Self {
        Self {
            kind,
            error: None,
            session_present: false,
            retry_in: None,
            dropped: 0,
            identity: None,
            certificate_ends: None,
            text: String::new(),
        }
    }

    /// An event with its reason.
    pub(crate) fn failure(kind: EventKind, error: Error, retry_in: Option<Duration>) -> Self {
        Self {
            text: error.to_string(),
            error: Some(error),
            retry_in,
            ..Self::new(kind)
        }
    }
}

/// The end of one accepted operation. Each has exactly one, except a QoS 0 message for which nobody
/// asked for a token: that has none.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Completion {
    /// What the call that accepted it returned.
    pub token: Token,
    /// `Ok`: acknowledged, or handed to the network for QoS 0; with the QoS granted for a
    /// subscription.
    pub result: Result<Option<Qos>, Error>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ErrorKind, Stage};

    #[test]
    fn tokens_are_counted_from_1() {
        assert_eq!(Token::FIRST.get(), 1);
        assert_eq!(Token::FIRST.next().next().get(), 3);
    }

    #[test]
    fn a_log_tells_one_kind_of_event_from_another() {
        let names = [
            EventKind::Connecting,
            EventKind::Connected,
            EventKind::ConnectFailed,
            EventKind::Disconnected,
            EventKind::Stopped,
            EventKind::TakenOver,
            EventKind::MessagesDropped,
            EventKind::SubscriptionLost,
            EventKind::CertificateExpiresSoon,
            EventKind::IdentityReceived,
        ]
        .map(EventKind::name);
        let different: std::collections::BTreeSet<_> = names.iter().collect();
        assert_eq!(different.len(), names.len());
    }

    #[test]
    fn an_event_that_comes_once_is_not_outdated_by_the_next_attempt() {
        assert!(EventKind::ConnectFailed.is_of_an_attempt());
        for kind in [EventKind::MessagesDropped, EventKind::IdentityReceived] {
            assert!(!kind.is_of_an_attempt(), "{kind:?}");
        }
    }

    #[test]
    fn a_failure_says_what_failed_and_when_it_is_tried_again() {
        let error = Error::new(ErrorKind::Protocol, Stage::Mqtt, "nonsense arrived");
        let delay = Some(Duration::from_secs(1));
        let event = Event::failure(EventKind::Disconnected, error.clone(), delay);
        assert_eq!(event.kind, EventKind::Disconnected);
        assert_eq!((event.text, event.retry_in), (error.to_string(), delay));
        assert_eq!(event.error, Some(error));
    }
}
