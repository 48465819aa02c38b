//! The connection's life: stopped, waiting, connecting, connected; when to try again.
//!
//! What travels over the connection is the business of [`super::device`].

use std::time::Duration;

use super::backoff::Backoff;
use super::budget::Budget;
use super::config::{Config, TakeOverPolicy};
use super::event::{Event, EventKind};
use crate::{Error, ErrorKind, Stage};

/// Where the connection stands.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Phase {
    /// At rest.
    Stopped,
    /// Between two attempts.
    Waiting {
        /// When the next one begins.
        until: Duration,
    },
    /// An attempt is under way.
    Connecting {
        /// When it was taken out of the budget.
        taken: Duration,
        /// When its time began to run; `None` while it waits for other clients of the process.
        since: Option<Duration>,
        /// The network was used: the platform may have seen it.
        dialled: bool,
    },
    /// The platform accepted the device.
    Connected {
        /// When it did.
        since: Duration,
    },
}

/// How it is known that another connection with the same identity took over.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Rival {
    /// The platform said so.
    Announced,
    /// Connections end as if one had.
    Suspected,
}

/// See the module.
#[derive(Debug)]
pub struct Session {
    phase: Phase,
    /// Failures since the last stable connection.
    retry: u32,
    /// `None`: the first failure is the last.
    backoff: Option<Backoff>,
    stable_after: Duration,
    connect_timeout: Duration,
    take_over_policy: TakeOverPolicy,
}

impl Session {
    /// A session at rest.
    pub fn new(config: &Config) -> Self {
        Self {
            phase: Phase::Stopped,
            retry: 0,
            backoff: config.reconnect(),
            stable_after: config.profile().stable_after,
            connect_timeout: config.endpoint().connect_timeout(),
            take_over_policy: config.take_over_policy(),
        }
    }

    /// Where the connection stands.
    pub fn phase(&self) -> Phase {
        self.phase
    }

    /// Begins to connect as soon as the budget allows.
    pub fn start(&mut self, now: Duration) {
        self.retry = 0;
        self.phase = Phase::Waiting { until: now };
    }

    /// Ends the wait between two attempts. The budget still holds.
    pub fn retry_now(&mut self, now: Duration) {
        if let Phase::Waiting { until } = &mut self.phase {
            *until = now.min(*until);
        }
    }

    /// Comes to rest without a connection.
    pub fn rest(&mut self) {
        self.phase = Phase::Stopped;
    }

    /// Whether an attempt begins now. Takes it out of `budget`, or waits until that has one.
    pub fn handle_timeout(&mut self, now: Duration, budget: &mut Budget) -> bool {
        match self.phase {
            Phase::Waiting { until } if until <= now => match budget.take(now) {
                Ok(()) => {
                    self.phase = Phase::Connecting {
                        taken: now,
                        since: Some(now),
                        dialled: false,
                    };
                    true
                }
                Err(free) => {
                    self.phase = Phase::Waiting { until: free };
                    false
                }
            },
            _ => false,
        }
    }

    /// Whether the attempt has taken longer than allowed.
    pub fn is_overdue(&self, now: Duration) -> bool {
        matches!(self.phase, Phase::Connecting { since: Some(since), .. }
            if since + self.connect_timeout <= now)
    }

    /// The attempt has to wait for other clients of the process: that is nobody's fault.
    pub fn pause(&mut self) {
        if let Phase::Connecting { since, .. } = &mut self.phase {
            *since = None;
        }
    }

    /// The attempt goes on; `dials` says that the platform sees it from now on, which is what the
    /// budget counts.
    pub fn resume(&mut self, dials: bool, now: Duration, budget: &mut Budget) {
        if let Phase::Connecting {
            since,
            taken,
            dialled,
        } = &mut self.phase
        {
            since.get_or_insert(now);
            if dials {
                *dialled = true;
                budget.postpone(*taken, now);
                *taken = now;
            }
        }
    }

    /// The time allowed for name lookup, TCP, TLS and CONNACK together.
    pub fn connect_timeout(&self) -> Duration {
        self.connect_timeout
    }

    /// When something is due.
    pub fn poll_timeout(&self) -> Option<Duration> {
        match self.phase {
            Phase::Waiting { until } => Some(until),
            Phase::Connecting { since, .. } => since.map(|since| since + self.connect_timeout),
            Phase::Stopped | Phase::Connected { .. } => None,
        }
    }

    /// The platform accepted the device.
    pub fn handle_connected(&mut self, now: Duration) {
        self.phase = Phase::Connected { since: now };
    }

    /// The attempt or the connection ended with `error`, or as the application asked (`None`, after
    /// which the session rests). Returns the event that says so.
    ///
    /// `rival` is what is known of another connection that took over. `entropy` spreads the next
    /// attempt: see [`Backoff::delay`] and [`Backoff::longest`].
    pub fn handle_lost(
        &mut self,
        error: Option<Error>,
        rival: Option<Rival>,
        now: Duration,
        entropy: u32,
        budget: &mut Budget,
    ) -> Option<Event> {
        let kind = match self.phase {
            Phase::Stopped | Phase::Waiting { .. } => return None,
            Phase::Connecting { taken, dialled, .. } => {
                if !dialled {
                    // Nothing reached the platform (docs/design.md, section 9.2).
                    budget.refund(taken);
                }
                EventKind::ConnectFailed
            }
            Phase::Connected { since } => {
                // Starting over at CONNACK would let a platform that accepts and drops devices
                // be hammered.
                if now.saturating_sub(since) >= self.stable_after {
                    self.retry = 0;
                }
                EventKind::Disconnected
            }
        };
        let Some(error) = error else {
            self.phase = Phase::Stopped;
            return Some(match kind {
                EventKind::ConnectFailed => {
                    let text = "the client was stopped during the attempt";
                    Event::failure(
                        kind,
                        Error::new(ErrorKind::Cancelled, Stage::Session, text),
                        None,
                    )
                }
                _ => Event::new(kind),
            });
        };
        // A device in the field must not stop for good because a gateway on its way drops connections.
        let stops =
            rival == Some(Rival::Announced) && self.take_over_policy == TakeOverPolicy::Stop;
        let Some(backoff) = self.backoff.filter(|_| !stops) else {
            self.phase = Phase::Stopped;
            return Some(Event::failure(kind, error, None));
        };
        let waits = rival.is_some() && self.take_over_policy != TakeOverPolicy::Fight;
        let delay = if waits || waits_longest(error.kind()) {
            backoff.longest(entropy)
        } else {
            backoff.delay(self.retry, entropy)
        };
        self.retry = self.retry.saturating_add(1);
        // What the budget will impose is known now: the event announces the true delay.
        let until = (now + delay).max(budget.next_free(now));
        self.phase = Phase::Waiting { until };
        Some(Event::failure(kind, error, Some(until - now)))
    }
}

/// Trying again soon cannot help.
fn waits_longest(kind: ErrorKind) -> bool {
    matches!(
        kind,
        ErrorKind::BadCredentials
            | ErrorKind::BadClientId
            | ErrorKind::NotAuthorized
            | ErrorKind::UnsupportedProtocol
    )
}

#[cfg(test)]
mod tests;
