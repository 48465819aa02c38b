//! Faults that a test or a person asks for, for one device.

use serde::{Deserialize, Serialize};

use crate::broker::Broker;
use crate::error::Error;
use crate::outbox::End;
use crate::registry::Identity;

/// Longest delay that can be asked for.
const MAX_DELAY_MS: u64 = 600_000;

/// What goes wrong with a device's connections from now on; the default is nothing.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Faults {
    /// Answer each CONNECT with this code, 1 to 255.
    pub refuse: Option<u8>,
    /// Leave publishes of the device unacknowledged. They are received all the same.
    pub drop_acks: bool,
    /// Hold back each packet to the device for so long; they keep their order and their distance.
    pub delay_ms: u64,
    /// Close the connection when it gets there.
    pub close_at: Option<Phase>,
    /// How it is closed. After CONNACK and PUBACK it is always `close`, or they would be lost.
    pub how: Ending,
    /// Read nothing from the device. Its silence is not counted meanwhile.
    pub stop_reading: bool,
    /// Send so many of the next packets with a type that MQTT does not have.
    pub corrupt: u32,
}

/// A moment in the life of a connection.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Phase {
    /// CONNECT came; no CONNACK goes out.
    Connect,
    /// CONNACK went out.
    Connack,
    /// SUBSCRIBE came; no SUBACK goes out and nothing is subscribed.
    Subscribe,
    /// PUBLISH came; it is lost.
    Publish,
    /// PUBACK went out.
    Puback,
    /// PINGREQ came; no PINGRESP goes out.
    Ping,
}

/// How a connection is closed on request.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Ending {
    /// What is queued is sent, then TLS close_notify and FIN.
    #[default]
    Close,
    /// FIN at once, without close_notify.
    Cut,
    /// RST at once.
    Reset,
}

impl From<Ending> for End {
    fn from(ending: Ending) -> Self {
        match ending {
            Ending::Close => Self::Close,
            Ending::Cut => Self::Cut,
            Ending::Reset => Self::Reset,
        }
    }
}

/// What goes wrong before it is known whose connection it is.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Early {
    /// Nothing.
    #[default]
    Off,
    /// Each connection is closed as soon as it is accepted.
    Accept,
    /// Each TLS connection is closed in the middle of the handshake.
    Handshake,
}

impl Faults {
    fn check(&self) -> Result<(), Error> {
        let invalid = |reason: &str| Err(Error::InvalidArgument(reason.into()));
        if self.refuse == Some(0) {
            return invalid("code 0 is no refusal: 1 to 255");
        }
        if self.delay_ms > MAX_DELAY_MS {
            return invalid("a delay is 600000 ms at most");
        }
        Ok(())
    }
}

impl Broker {
    /// Replaces the faults of a device.
    pub(crate) fn set_faults(&self, identity: &Identity, faults: Faults) -> Result<(), Error> {
        faults.check()?;
        let mut state = self.lock();
        let session = state.sessions.get(identity);
        if let Some(link) = session.and_then(|session| session.link.as_ref()) {
            link.outbox.set_faults(&faults);
        }
        let whom = state.registry.quote(&identity.to_string());
        if faults == Faults::default() {
            state.faults.remove(identity);
            state.journal.add(&format!("faults of {whom}: none"));
        } else {
            let asked = serde_json::to_string(&faults).unwrap_or_default();
            state.faults.insert(identity.clone(), faults);
            state.journal.add(&format!("faults of {whom}: {asked}"));
        }
        drop(state);
        self.changed.notify_all();
        Ok(())
    }

    /// The faults of a device.
    pub(crate) fn faults(&self, identity: &Identity) -> Faults {
        self.lock()
            .faults
            .get(identity)
            .cloned()
            .unwrap_or_default()
    }

    /// Changes some of the faults of a device.
    pub(crate) fn change_faults(
        &self,
        identity: &Identity,
        change: impl FnOnce(&mut Faults),
    ) -> Result<(), Error> {
        let mut faults = self.faults(identity);
        change(&mut faults);
        self.set_faults(identity, faults)
    }
}
