//! What to do when something has to give: a full outbox, a rival connection, the platform's rates.

use super::{Config, check_range};
use crate::Error;

/// What happens when the outbox is full.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum OutboxPolicy {
    /// The new message is refused with [`OutboxFull`](crate::ErrorKind::OutboxFull).
    #[default]
    RefuseNew = 0,
    /// The oldest messages that have not been sent make room; each completes as
    /// [`Dropped`](crate::ErrorKind::Dropped). What has been sent is never dropped, nor is a
    /// subscription: if they fill the outbox, the new message is refused.
    DropOldest = 1,
}

/// What a client does when another connection with its identity replaces it.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum TakeOverPolicy {
    /// Waits the longest delay before it tries again.
    #[default]
    Wait = 0,
    /// Stops, if the platform has said so; what only seems so is waited for. What is queued stays
    /// queued for the next start.
    Stop = 1,
    /// Tries again as after any loss. Two clients that do this evict each other for ever.
    Fight = 2,
}

/// Most messages a second that a limit may allow.
const MAX_RATE: u32 = 10_000;

/// Messages of each quality a second. Source: the platform's page on limits.
const PLATFORM_RATES: [u32; 2] = [30, 10];

impl Config {
    /// What happens when the outbox is full; [`OutboxPolicy::RefuseNew`] by default.
    pub fn set_outbox_policy(&mut self, policy: OutboxPolicy) {
        self.outbox_policy = policy;
    }

    /// What happens when another connection takes over; [`TakeOverPolicy::Wait`] by default.
    pub fn set_take_over_policy(&mut self, policy: TakeOverPolicy) {
        self.take_over_policy = policy;
    }

    /// Sends no more than the platform takes from one device, 30 messages of QoS 0 and 10 of QoS 1
    /// a second: what exceeds that it drops in silence. Off by default, because the limits of an
    /// instance can be raised.
    ///
    /// Source: the platform's page on limits.
    pub fn use_platform_rates(&mut self) {
        self.rates = PLATFORM_RATES.map(Some);
    }

    /// Sends at most so many messages of QoS 0 and of QoS 1 a second, 1 to 10,000 each; `None`
    /// for no limit. What waits counts against the outbox. Messages may be late by turns on their way:
    /// what exceeds a burst leaves 1.1 s after it, and the rate in the long run is a tenth lower.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidArgument`](crate::ErrorKind::InvalidArgument) outside that range.
    pub fn set_rates(&mut self, qos_0: Option<u32>, qos_1: Option<u32>) -> Result<(), Error> {
        for (name, rate) in [("qos_0_per_second", qos_0), ("qos_1_per_second", qos_1)] {
            if let Some(rate) = rate {
                check_range(name, rate, 1..=MAX_RATE, "libaliot")?;
            }
        }
        self.rates = [qos_0, qos_1];
        Ok(())
    }

    /// What happens when the outbox is full.
    pub fn outbox_policy(&self) -> OutboxPolicy {
        self.outbox_policy
    }

    /// What happens when another connection takes over.
    pub fn take_over_policy(&self) -> TakeOverPolicy {
        self.take_over_policy
    }

    /// Messages of QoS 0 and of QoS 1 a second; `None` for no limit.
    pub fn rates(&self) -> [Option<u32>; 2] {
        self.rates
    }
}
