//! Everything the simulator knows while it runs, as one value behind one lock.

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;
use rumqttc::mqttbytes::QoS;
use tokio::sync::mpsc;

use crate::auth::Transport;
use crate::faults::Faults;
use crate::journal::Journal;
use crate::limits::Limits;
use crate::platform::Platform;
use crate::random::Random;
use crate::registry::{Identity, Registry};
use crate::session::Session;

/// Delivery guarantee of a message. The platform has no QoS 2.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Qos {
    /// QoS 0.
    AtMostOnce,
    /// QoS 1.
    AtLeastOnce,
}

impl From<Qos> for QoS {
    fn from(qos: Qos) -> Self {
        match qos {
            Qos::AtMostOnce => Self::AtMostOnce,
            Qos::AtLeastOnce => Self::AtLeastOnce,
        }
    }
}

impl Qos {
    /// The number on the wire, 0 or 1.
    pub fn number(self) -> u8 {
        match self {
            Self::AtMostOnce => 0,
            Self::AtLeastOnce => 1,
        }
    }
}

/// A message that a device published and the simulator let pass.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Received {
    /// The device.
    pub identity: Identity,
    /// Topic.
    pub topic: String,
    /// Payload.
    pub payload: Bytes,
    /// QoS it was published with.
    pub qos: Qos,
    /// DUP flag: the device says that it may have sent the message before.
    pub dup: bool,
    /// Packet identifier; 0 with QoS 0.
    pub packet_id: u16,
    /// Counts the connections of the simulator: two messages of one connection have one number.
    pub connection: u64,
}

/// A connected device.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Connection {
    /// The device.
    pub identity: Identity,
    /// Number of the connection, counted from 1 over all devices.
    pub number: u64,
    /// How it reached the simulator.
    pub transport: Transport,
    /// MQTT client id, whole.
    pub client_id: String,
    /// Keep-alive in seconds.
    pub keep_alive_s: u16,
    /// Whether the session ends with the connection.
    pub clean_session: bool,
    /// Filters it is subscribed to.
    pub subscriptions: Vec<String>,
    /// QoS 1 messages sent to it that it has not acknowledged.
    pub unacknowledged: usize,
    /// QoS 1 messages that wait for room in the window.
    pub waiting: usize,
}

/// Payload bytes remembered for `received`, whatever the number of messages.
const MAX_REMEMBERED_BYTES: usize = 64 * 1024 * 1024;

/// What stands behind the lock.
pub(crate) struct State {
    pub(crate) registry: Registry,
    pub(crate) sessions: BTreeMap<Identity, Session>,
    pub(crate) faults: BTreeMap<Identity, Faults>,
    pub(crate) journal: Journal,
    pub(crate) limits: Limits,
    pub(crate) platform: Platform,
    pub(crate) random: Random,
    pub(crate) watchers: Vec<mpsc::Sender<String>>,
    pub(crate) accepted: u64,
    pub(crate) refused: u64,
    received: VecDeque<Received>,
    received_bytes: usize,
    history: usize,
}

impl State {
    pub(crate) fn new(registry: Registry, journal: Journal, history: usize) -> Self {
        Self {
            limits: Limits::default(),
            platform: Platform::default(),
            random: Random::new(None),
            registry,
            sessions: BTreeMap::new(),
            faults: BTreeMap::new(),
            journal,
            watchers: Vec::new(),
            accepted: 0,
            refused: 0,
            received: VecDeque::new(),
            received_bytes: 0,
            history,
        }
    }

    /// Remembers a message and passes it to those who watch. A watcher that does not keep up loses
    /// lines.
    pub(crate) fn remember(&mut self, message: Received) {
        if !self.watchers.is_empty() {
            let line = watch_line(&message);
            self.watchers.retain(|watcher| {
                !matches!(
                    watcher.try_send(line.clone()),
                    Err(mpsc::error::TrySendError::Closed(_))
                )
            });
        }
        self.received_bytes += message.payload.len();
        self.received.push_back(message);
        while self.received.len() > self.history || self.received_bytes > MAX_REMEMBERED_BYTES {
            let Some(oldest) = self.received.pop_front() else {
                return;
            };
            self.received_bytes -= oldest.payload.len();
        }
    }
}

/// A message as `<productKey> <deviceName> <topic> <qos> text <payload>`, or `hex` and hex digits if
/// the payload is not plain text of one line.
fn watch_line(message: &Received) -> String {
    let Identity {
        product_key,
        device_name,
    } = &message.identity;
    let payload = match std::str::from_utf8(&message.payload) {
        Ok(text) if !text.contains(char::is_control) => format!("text {text}"),
        _ => format!("hex {}", hex::encode(&message.payload)),
    };
    let (topic, qos) = (&message.topic, message.qos.number());
    format!("{product_key} {device_name} {topic} {qos} {payload}")
}

/// A look at the simulator's state, as a condition of `Sim::wait_for` gets it.
///
/// The state stands still while the look lasts, so a condition must not call the simulator itself.
pub struct View<'a>(pub(crate) &'a State);

impl View<'_> {
    /// The connected devices, in order of their identity.
    pub fn connections(&self) -> Vec<Connection> {
        let connected = self.0.sessions.iter().filter_map(|(identity, session)| {
            let link = session.link.as_ref()?;
            Some(Connection {
                identity: identity.clone(),
                number: link.id,
                transport: link.transport,
                client_id: link.client_id.clone(),
                keep_alive_s: link.keep_alive_s,
                clean_session: link.clean_session,
                subscriptions: session.subscriptions.clone(),
                unacknowledged: session.unacknowledged(),
                waiting: session.waiting(),
            })
        });
        connected.collect()
    }

    /// Whether the device is connected.
    pub fn is_connected(&self, product_key: &str, device_name: &str) -> bool {
        let identity = Identity::new(product_key, device_name);
        let session = self.0.sessions.get(&identity);
        session.is_some_and(|session| session.link.is_some())
    }

    /// The messages devices published, the oldest first.
    pub fn received(&self) -> impl DoubleEndedIterator<Item = &Received> + ExactSizeIterator {
        self.0.received.iter()
    }

    /// The log lines, the oldest first.
    pub fn log_lines(&self) -> impl Iterator<Item = &str> {
        self.0.journal.lines()
    }

    /// Number of connections let in since the start.
    pub fn accepted(&self) -> u64 {
        self.0.accepted
    }

    /// Number of CONNECTs refused since the start.
    pub fn refused(&self) -> u64 {
        self.0.refused
    }
}
