//! A client under test, with everything it says collected.

use std::net::SocketAddr;
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use aliot::{
    Client, Completion, CompletionHandler, Config, Endpoint, Error, Event, EventHandler, EventKind,
    Identity, Message, MessageHandler, Qos, Token,
};

use super::PATIENCE;
use super::broker::Broker;

/// A message that arrived.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Received {
    pub(crate) topic: String,
    pub(crate) payload: Vec<u8>,
    pub(crate) qos: Qos,
    pub(crate) duplicate: bool,
}

/// Everything in the order in which callbacks came.
#[derive(Clone, Debug)]
pub(crate) enum Said {
    Event(Event),
    Completion(Completion),
    /// A message of the subscription of this name.
    Message(String, Received),
}

#[derive(Default)]
struct Log {
    said: Mutex<Vec<Said>>,
    changed: Condvar,
}

impl Log {
    fn push(&self, said: Said) {
        self.said.lock().unwrap().push(said);
        self.changed.notify_all();
    }
}

/// Verbatim credentials toward `address` in plain text, on the private profile, quick to retry.
pub(crate) fn config(address: SocketAddr) -> Config {
    let identity = Identity::verbatim("device", "user", "password").unwrap();
    let mut endpoint = Endpoint::host(&address.ip().to_string(), address.port()).unwrap();
    endpoint.set_dangerous_plaintext();
    let mut config = Config::new(&identity, &endpoint).unwrap();
    private(&mut config);
    config
}

/// No budget and short delays, as a test bench wants them.
pub(crate) fn private(config: &mut Config) {
    config.use_private_profile();
    config.set_connects_per_minute(None).unwrap();
    config
        .set_reconnect(Duration::from_millis(5), Duration::from_millis(50))
        .unwrap();
}

/// See the module.
pub(crate) struct Device {
    pub(crate) client: Client,
    log: Arc<Log>,
}

impl Device {
    /// A client at rest.
    pub(crate) fn new(config: &Config) -> Self {
        let client = Client::new(config).unwrap();
        let log = Arc::new(Log::default());
        let (events, completions, unrouted) = (log.clone(), log.clone(), log.clone());
        client
            .set_event_handler(Some(move || -> EventHandler {
                Box::new(move |event| events.push(Said::Event(event.clone())))
            }))
            .unwrap();
        client
            .set_completion_handler(Some(move || -> CompletionHandler {
                Box::new(move |completion| completions.push(Said::Completion(completion.clone())))
            }))
            .unwrap();
        client
            .set_message_handler(Some(move || collector(unrouted, "")))
            .unwrap();
        Self { client, log }
    }

    /// A client that has been started.
    pub(crate) fn start(config: &Config) -> Self {
        let device = Self::new(config);
        device.client.start().unwrap();
        device
    }

    /// A client that is connected.
    pub(crate) fn connect(config: &Config) -> Self {
        let device = Self::start(config);
        device.client.wait_connected(PATIENCE).unwrap();
        device
    }

    /// A client whose first connection is to `broker`, with that connection dropped.
    pub(crate) fn connect_with(broker: &Broker) -> Self {
        let device = Self::start(&config(broker.address()));
        let _connection = broker.accept(false);
        device.client.wait_connected(PATIENCE).unwrap();
        device
    }

    /// Subscribes; messages are collected under the filter's name.
    pub(crate) fn subscribe(&self, filter: &str, qos: Qos) -> Token {
        let log = self.log.clone();
        self.client
            .subscribe(filter, qos, || collector(log, filter))
            .unwrap()
    }

    pub(crate) fn publish(&self, topic: &str, payload: &[u8]) -> Token {
        let qos = Qos::AtLeastOnce;
        let token = self.client.publish(topic, payload, qos, true).unwrap();
        token.expect("a token for QoS 1")
    }

    /// Everything so far.
    pub(crate) fn said(&self) -> Vec<Said> {
        self.log.said.lock().unwrap().clone()
    }

    /// Waits until `find` finds something in what was said.
    pub(crate) fn wait<R>(&self, what: &str, find: impl Fn(&[Said]) -> Option<R>) -> R {
        let deadline = Instant::now() + PATIENCE;
        let mut said = self.log.said.lock().unwrap();
        loop {
            if let Some(found) = find(&said) {
                return found;
            }
            let left = deadline.saturating_duration_since(Instant::now());
            assert!(
                !left.is_zero(),
                "not within {PATIENCE:?}: {what}; {said:#?}"
            );
            said = self.log.changed.wait_timeout(said, left).unwrap().0;
        }
    }

    /// The result of `token`, once it has one.
    pub(crate) fn completion(&self, token: Token) -> Result<Option<Qos>, Error> {
        self.wait("a completion", |said| {
            said.iter().find_map(|said| match said {
                Said::Completion(completion) if completion.token == token => {
                    Some(completion.result.clone())
                }
                _ => None,
            })
        })
    }

    /// The `n`th event of this kind, counted from 1.
    pub(crate) fn event(&self, kind: EventKind, n: usize) -> Event {
        self.wait(&format!("{kind:?} number {n}"), |said| {
            let mut events = said.iter().filter_map(|said| match said {
                Said::Event(event) if event.kind == kind => Some(event.clone()),
                _ => None,
            });
            events.nth(n - 1)
        })
    }

    /// The first `n` messages, in order.
    pub(crate) fn messages(&self, n: usize) -> Vec<(String, Received)> {
        self.wait(&format!("{n} messages"), |said| {
            let messages: Vec<_> = messages_in(said).collect();
            (messages.len() >= n).then_some(messages)
        })
    }
}

fn messages_in(said: &[Said]) -> impl Iterator<Item = (String, Received)> + '_ {
    said.iter().filter_map(|said| match said {
        Said::Message(name, received) => Some((name.clone(), received.clone())),
        _ => None,
    })
}

fn collector(log: Arc<Log>, name: &str) -> MessageHandler {
    let name = name.to_owned();
    Box::new(move |message: &Message<'_>| {
        log.push(Said::Message(
            name.clone(),
            Received {
                topic: message.topic.to_owned(),
                payload: message.payload.to_vec(),
                qos: message.qos,
                duplicate: message.duplicate,
            },
        ));
    })
}
