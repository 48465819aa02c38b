//! A million random steps through the whole device in virtual time: calls, packets, cuts, timeouts
//! and clock steps in any order, against a broker that is honest, forgetful, slow and out of order.
//!
//! What must hold is checked at each step. Each check has been seen to fail with its rule broken.
//! The fuzzer of fuzz/ walks through the same world and chooses each step itself.

#![cfg_attr(
    not(test),
    allow(
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::panic,
        clippy::unwrap_used,
        reason = "a test fails by panicking"
    )
)]

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque};
use std::time::Duration;

use bytes::{Bytes, BytesMut};

use super::{Action, Device, Output};
use crate::proto::budget::Budget;
use crate::proto::codec::{self, Packet};
use crate::proto::event::{EventKind, State, Token};
use crate::proto::inbox::Inbox;
use crate::proto::outbox::{Chunk, Encoded};
use crate::proto::qos::Qos;
use crate::proto::spares::LARGE;
use crate::proto::topic::TopicFilter;
use crate::{Config, Endpoint, Error, ErrorKind, Identity, OutboxPolicy, Stage, TakeOverPolicy};

#[cfg(test)]
const SEEDS: u64 = 50;
#[cfg(test)]
const STEPS: usize = 20_000;

/// When a walk begins.
const BEGIN: Duration = Duration::from_secs(1000);
const MAX_OPERATIONS: u32 = 40;
const MAX_BYTES: usize = 4096;
/// In a walk with large messages: [`is_large`].
const MAX_LARGE_BYTES: usize = 500_000;
const BUDGET: usize = 5;

/// Where the choices come from: a script, then SplitMix64, which is small, and the same on every
/// machine.
struct Rng {
    script: VecDeque<u8>,
    state: u64,
}

impl Rng {
    fn next(&mut self) -> u64 {
        if !self.script.is_empty() {
            // Two bytes of the script decide, in the high digits and in the low ones.
            return self.scripted(2) * 0x0001_0001_0001_0001;
        }
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn scripted(&mut self, bytes: usize) -> u64 {
        let taken = self.script.drain(..bytes.min(self.script.len()));
        taken.fold(0, |number, byte| number << 8 | u64::from(byte))
    }

    fn below(&mut self, limit: usize) -> usize {
        let choice = if limit <= 256 && !self.script.is_empty() {
            self.scripted(1)
        } else {
            self.next()
        };
        (choice % limit as u64) as usize
    }

    fn one_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }
}

/// An accepted operation, as the test knows it.
#[derive(Clone, Copy, Debug)]
struct Accepted {
    /// Number of the message; 0 for a filter.
    number: u64,
    qos: Qos,
    expires: Option<Duration>,
}

/// A packet the broker owes an answer to.
#[derive(Clone, Debug)]
enum Owed {
    Publish { id: u16, number: u64 },
    Subscribe { id: u16, filters: usize },
    Unsubscribe { id: u16 },
}

#[derive(Default)]
struct Broker {
    /// Bytes that have arrived and are not a whole packet yet.
    wire: BytesMut,
    is_connected: bool,
    is_resumed: bool,
    has_session: bool,
    subscribed: BTreeSet<String>,
    owed: Vec<Owed>,
    /// Ids unacknowledged in this session, with their message.
    in_use: HashMap<u16, u64>,
    /// What came on this connection, to see that nothing comes twice.
    on_this_connection: HashSet<u64>,
    /// First deliveries of QoS 1, in order.
    first: Vec<u64>,
    seen: HashSet<u64>,
    /// Messages for which a PUBACK was ever sent.
    acked: HashSet<u64>,
    has_left: bool,
    /// Messages that the device will not send again.
    given_up: HashSet<u64>,
    /// Ids of QoS 1 messages that the device has not acknowledged on this connection.
    delivered: HashSet<u16>,
}

enum Link {
    None,
    Dialing,
    Open,
    Closing,
}

struct World {
    rng: Rng,
    now: Duration,
    device: Device<u32>,
    budget: Budget,
    link: Link,
    chunk: Chunk,
    broker: Broker,
    down: VecDeque<Packet>,
    clean: bool,
    next_number: u64,
    next_down: u16,
    accepted: BTreeMap<Token, Accepted>,
    completed: BTreeMap<Token, bool>,
    previous: EventKind,
    dials: VecDeque<Duration>,
    /// Messages handed to the application whose callback has not returned.
    callbacks: VecDeque<(usize, Option<(u32, u16)>)>,
    stops: bool,
    /// A stop is under way: it ends with an empty outbox.
    must_empty: bool,
    is_large: bool,
    /// Completions whose callback has not returned.
    untaken: usize,
}

/// Whether some of the messages go the way of large ones, in memory that others have used.
fn is_large(seed: u64) -> bool {
    seed % 11 == 7
}

fn config(seed: u64) -> Config {
    let (payload_limit, max_bytes) = if is_large(seed) {
        (40_000, MAX_LARGE_BYTES)
    } else {
        (200, MAX_BYTES)
    };
    let identity = Identity::verbatim("device", "user", "password").unwrap();
    let endpoint = Endpoint::host("localhost", 8883).unwrap();
    let mut config = Config::new(&identity, &endpoint).unwrap();
    config.use_private_profile();
    config.set_payload_limit(payload_limit).unwrap();
    config.set_topic_limit(64).unwrap();
    config.set_connects_per_minute(Some(BUDGET as u32)).unwrap();
    config.set_clean_session(seed.is_multiple_of(2));
    config.set_window(1 + (seed % 7) as u16 * 3).unwrap();
    config.set_outbox_limit(MAX_OPERATIONS, max_bytes).unwrap();
    config
        .set_inbox_limit(5, 2000.max(payload_limit + 200))
        .unwrap();
    config.set_filters_per_packet(3).unwrap();
    config
        .set_keep_alive_s(if seed.is_multiple_of(5) { 0 } else { 30 })
        .unwrap();
    if seed.is_multiple_of(3) {
        config.set_outbox_policy(OutboxPolicy::DropOldest);
    }
    if seed % 4 == 1 {
        config.set_rates(Some(20), Some(10)).unwrap();
    }
    config.set_take_over_policy(match seed % 3 {
        0 => TakeOverPolicy::Wait,
        1 => TakeOverPolicy::Fight,
        _ => TakeOverPolicy::Stop,
    });
    config
}

impl World {
    fn new(seed: u64, script: &[u8]) -> Self {
        let config = config(seed);
        Self {
            rng: Rng {
                script: script.iter().copied().collect(),
                state: seed,
            },
            now: BEGIN,
            clean: config.clean_session(),
            device: Device::new(config),
            budget: Budget::new(Some(BUDGET as u32)),
            link: Link::None,
            chunk: Chunk::default(),
            broker: Broker::default(),
            down: VecDeque::new(),
            next_number: 0,
            next_down: 0,
            accepted: BTreeMap::new(),
            completed: BTreeMap::new(),
            previous: EventKind::Stopped,
            dials: VecDeque::new(),
            callbacks: VecDeque::new(),
            stops: false,
            must_empty: false,
            is_large: is_large(seed),
            untaken: 0,
        }
    }

    fn step(&mut self) {
        match self.rng.below(100) {
            0..=24 => self.publish(),
            25..=29 => self.change_filter(),
            30 => {
                let _ = self.device.start(self.now);
            }
            31 if self.rng.one_in(8) => {
                let drain = Duration::from_millis(self.rng.next() % 5000);
                self.must_empty |= self.device.state() != State::Stopped;
                self.device.stop(self.now + drain);
                self.stops = true;
            }
            32 => self.device.retry_now(self.now),
            33..=64 => self.turn(),
            65..=79 => self.answer(),
            80..=84 => self.push(),
            85..=90 => self.return_from_callbacks(),
            91 if self.rng.one_in(4) => self.cut(),
            92 if self.rng.one_in(20) => self.misbehave(),
            93..=95 => self.now += Duration::from_millis(self.rng.next() % 300),
            96 => self.wait_for_timeout(),
            97 if self.rng.one_in(10) => self.now += Duration::from_secs(self.rng.next() % 90),
            _ => self.turn(),
        }
        self.check();
    }

    fn publish(&mut self) {
        let qos = if self.rng.one_in(3) {
            Qos::AtMostOnce
        } else {
            Qos::AtLeastOnce
        };
        let want_token = self.rng.one_in(2);
        let lifetime = Duration::from_millis(1 + self.rng.next() % 20_000);
        let expires = (qos == Qos::AtLeastOnce && self.rng.one_in(10)).then(|| self.now + lifetime);
        let number = self.next_number + 1;
        let mut payload = number.to_be_bytes().to_vec();
        let mut len = 8 + self.rng.below(150);
        if self.is_large && self.rng.one_in(2) {
            len += LARGE / 2 * (1 + self.rng.below(4));
        }
        payload.resize(len, number as u8);
        match self.publish_as_a_client(&payload, qos, want_token, expires) {
            Ok(token) => {
                self.next_number = number;
                assert_eq!(token.is_some(), want_token || qos == Qos::AtLeastOnce);
                if let Some(token) = token {
                    let accepted = Accepted {
                        number,
                        qos,
                        expires,
                    };
                    assert!(
                        self.accepted.insert(token, accepted).is_none(),
                        "{token:?} twice"
                    );
                }
            }
            Err(error) => assert!(
                matches!(error.kind(), ErrorKind::OutboxFull | ErrorKind::Closing),
                "{error}"
            ),
        }
    }

    fn publish_as_a_client(
        &mut self,
        payload: &[u8],
        qos: Qos,
        want_token: bool,
        expires: Option<Duration>,
    ) -> Result<Option<Token>, Error> {
        let device = &mut self.device;
        if payload.len() < LARGE {
            return device.publish("up", payload, qos, want_token, expires);
        }
        let memory = device.memory_for("up", payload.len(), qos, expires)?;
        let message = Encoded::new(memory, "up", payload, qos);
        device.publish_encoded(message, want_token, expires, self.now)
    }

    fn change_filter(&mut self) {
        let filter = format!("f/{}", self.rng.below(10));
        let filter = TopicFilter::parse(filter.as_str()).unwrap();
        let token = if self.rng.one_in(3) {
            self.device.unsubscribe(filter)
        } else {
            self.device.subscribe(filter, Qos::AtLeastOnce, || 7)
        };
        if let Ok(token) = token {
            let (number, qos, expires) = (0, Qos::AtLeastOnce, None);
            self.accepted.insert(
                token,
                Accepted {
                    number,
                    qos,
                    expires,
                },
            );
        }
    }

    /// What the driver does when it is woken.
    fn turn(&mut self) {
        self.device.handle_timeout(self.now, &mut self.budget);
        self.check();
        match self.device.poll_action() {
            Some(Action::Dial) => {
                assert!(matches!(self.link, Link::None), "dialled twice");
                self.link = Link::Dialing;
            }
            Some(Action::Hangup) => self.lose(None),
            Some(Action::Goodbye) => {
                assert!(matches!(self.link, Link::Open));
                self.link = Link::Closing;
            }
            None => {}
        }
        match self.link {
            Link::None => {}
            Link::Dialing => match self.rng.below(6) {
                0 => self.lose(Some(Error::new(ErrorKind::Dns, Stage::Resolve, "no name"))),
                1 => {
                    self.begin_tcp();
                    self.lose(Some(Error::new(ErrorKind::Network, Stage::Tcp, "refused")));
                }
                2 => {}
                _ => {
                    self.begin_tcp();
                    self.link = Link::Open;
                    self.broker.connect();
                    self.down.clear();
                    self.device.handle_link_up();
                }
            },
            Link::Open => self.transfer(),
            Link::Closing => self.lose(None),
        }
    }

    /// From here on the platform sees the attempt.
    fn begin_tcp(&mut self) {
        let stage = Stage::Tcp;
        self.device.handle_stage(stage, self.now, &mut self.budget);
        self.dials.push_back(self.now);
    }

    fn transfer(&mut self) {
        if self.chunk.is_empty() && self.device.has_transmit(self.now) {
            self.device.poll_transmit(&mut self.chunk, self.now);
            // All that had to be sent again may have expired. Then there is nothing, but only once.
            assert!(
                !self.chunk.is_empty() || !self.device.has_transmit(self.now),
                "has_transmit promised something"
            );
        }
        if !self.chunk.is_empty() {
            let rest = self.chunk.rest().concat();
            let len = if self.rng.one_in(3) {
                self.rng.below(rest.len() + 1)
            } else {
                rest.len()
            };
            self.broker
                .receive(&rest[..len], &mut self.down, self.clean, &mut self.rng);
            self.chunk.advance(len);
            if self.chunk.is_done() {
                self.device.handle_written(&mut self.chunk, self.now);
            } else if len > 0 {
                self.device.handle_progress(self.now);
            }
        }
        let count = self.rng.below(self.down.len() + 1);
        let packets: Vec<Packet> = self.down.drain(..count).collect();
        if !packets.is_empty() {
            let is_second = packets
                .iter()
                .any(|packet| matches!(packet, Packet::ConnAck { .. }))
                && self.previous == EventKind::Connected;
            self.device.handle_packets(packets.into_iter(), self.now);
            assert!(
                !is_second || self.device.closing.is_some(),
                "a second CONNACK was taken"
            );
        }
    }

    /// The broker answers something, whatever came first.
    fn answer(&mut self) {
        for _ in 0..1 + self.rng.below(4) {
            if !self.broker.owed.is_empty() {
                let index = if self.rng.one_in(3) {
                    self.rng.below(self.broker.owed.len())
                } else {
                    0
                };
                let owed = self.broker.owed.remove(index);
                let packet = self.broker.acknowledge(owed, &mut self.rng);
                self.down.push_back(packet.clone());
                if self.rng.one_in(50) {
                    self.down.push_back(packet);
                }
            }
        }
    }

    fn push(&mut self) {
        if matches!(self.link, Link::Open) && self.broker.is_connected && !self.broker.has_left {
            let qos_1 = self.rng.one_in(2);
            self.next_down = self.next_down % u16::MAX + 1;
            let mut wire = BytesMut::new();
            let qos = if qos_1 {
                Qos::AtLeastOnce
            } else {
                Qos::AtMostOnce
            };
            let id_at = codec::encode_publish(&mut wire, "f/1", &[0; 100], qos);
            if qos_1 {
                codec::set_packet_id(&mut wire, id_at, self.next_down);
                self.broker.delivered.insert(self.next_down);
            }
            self.down.push_back(decode(wire));
        }
    }

    fn return_from_callbacks(&mut self) {
        let count = self.rng.below(self.callbacks.len() + 1);
        let done: Vec<_> = self.callbacks.drain(..count).collect();
        let bytes = done.iter().map(|(bytes, _)| bytes).sum();
        let completions = std::mem::take(&mut self.untaken);
        let acks = done.into_iter().filter_map(|(_, ack)| ack);
        self.device.handle_delivered(bytes, completions, acks);
    }

    fn cut(&mut self) {
        if matches!(self.link, Link::Open | Link::Closing) {
            let kind = if self.rng.one_in(2) {
                ErrorKind::ClosedByPeer
            } else {
                ErrorKind::Network
            };
            self.lose(Some(Error::new(kind, Stage::Mqtt, "cut")));
        }
    }

    fn misbehave(&mut self) {
        if matches!(self.link, Link::Open) {
            match self.rng.below(3) {
                0 => self.device.fail_protocol("on purpose"),
                // Of an id that no walk is long enough to use: any other may be on its way.
                1 => self.down.push_back(Packet::PubAck {
                    id: 30_000 + self.rng.below(30_000) as u16,
                }),
                _ => self.down.push_back(Packet::ConnAck {
                    session_present: false,
                    code: 4,
                }),
            }
        }
    }

    fn wait_for_timeout(&mut self) {
        if let Some(due) = self.device.poll_timeout(self.now) {
            self.now = self.now.max(due);
        }
    }

    fn lose(&mut self, error: Option<Error>) {
        self.link = Link::None;
        self.down.clear();
        self.broker.lose(self.clean, &mut self.rng);
        let chunk = std::mem::take(&mut self.chunk);
        let entropy = self.rng.next() as u32;
        self.device
            .handle_lost(error, chunk, self.now, entropy, &mut self.budget);
    }

    // ---- What must hold ----

    fn check(&mut self) {
        let (operations, bytes) = self.device.outbox_level();
        assert!(
            operations <= MAX_OPERATIONS as usize && bytes <= self.device.config().outbox_bytes(),
            "{operations}, {bytes}"
        );
        let minute = Duration::from_secs(60);
        while self
            .dials
            .front()
            .is_some_and(|&dial| dial + minute <= self.now)
        {
            self.dials.pop_front();
        }
        assert!(
            self.dials.len() <= BUDGET,
            "{} connects in a minute",
            self.dials.len()
        );
        let outputs = std::mem::take(self.device.outputs());
        for output in outputs {
            match output {
                Output::Event(event) => self.check_event(event.kind),
                Output::Completion(completion) => {
                    self.untaken += 1;
                    assert!(
                        self.untaken <= 3 * MAX_OPERATIONS as usize + 1000,
                        "completions pile up"
                    );
                    self.check_completion(completion.token, completion.result.err());
                }
                Output::Message {
                    publish,
                    connection,
                    ..
                } => {
                    assert_eq!(
                        self.previous,
                        EventKind::Connected,
                        "a message without connection"
                    );
                    let ack = publish.id().map(|id| (connection, id));
                    self.callbacks
                        .push_back((Inbox::charge(publish.wire_len()), ack));
                }
                Output::Release(_) => {}
            }
        }
        if self.device.state() == State::Stopped {
            assert_eq!(
                self.previous,
                EventKind::Stopped,
                "the end was not announced"
            );
        }
    }

    fn check_event(&mut self, event: EventKind) {
        use EventKind::{ConnectFailed, Connected, Connecting, Disconnected, Stopped};
        let may_follow = match event {
            Connecting => matches!(self.previous, Stopped | ConnectFailed | Disconnected),
            Connected | ConnectFailed => self.previous == Connecting,
            Disconnected => self.previous == Connected,
            Stopped => matches!(self.previous, Stopped | ConnectFailed | Disconnected),
            _ => return,
        };
        assert!(may_follow, "{event:?} after {:?}", self.previous);
        if event == Stopped && std::mem::take(&mut self.must_empty) {
            assert_eq!(
                self.device.outbox_level(),
                (0, 0),
                "a stop leaves nothing behind"
            );
        }
        self.previous = event;
    }

    fn check_completion(&mut self, token: Token, error: Option<Error>) {
        let accepted = self.accepted.get(&token).copied();
        let accepted = accepted.unwrap_or_else(|| panic!("{token:?} was never accepted"));
        let is_first = self.completed.insert(token, error.is_none()).is_none();
        assert!(is_first, "{token:?} completed twice");
        match error.map(|error| error.kind()) {
            None if accepted.number > 0 && accepted.qos == Qos::AtLeastOnce => assert!(
                self.broker.acked.contains(&accepted.number),
                "message {} completed, and nobody acknowledged it",
                accepted.number
            ),
            None => {}
            Some(ErrorKind::Expired) => {
                assert!(accepted.expires.is_some_and(|expires| expires <= self.now));
                self.broker.given_up.insert(accepted.number);
            }
            Some(ErrorKind::Cancelled) => {
                assert!(self.stops, "cancelled, and nobody stopped");
                self.broker.given_up.insert(accepted.number);
            }
            Some(ErrorKind::Dropped) => {
                assert_eq!(
                    self.device.config().outbox_policy(),
                    OutboxPolicy::DropOldest
                );
            }
            Some(ErrorKind::SubscriptionRefused) => assert_eq!(accepted.number, 0),
            Some(other) => panic!("{token:?} ended with {other:?}"),
        }
    }

    /// With a broker that answers everything, everything completes.
    fn come_to_an_end(&mut self) {
        for _ in 0..20_000 {
            let _ = self.device.start(self.now);
            self.turn();
            while !self.broker.owed.is_empty() {
                self.answer();
            }
            self.return_from_callbacks();
            self.check();
            let (operations, bytes) = self.device.outbox_level();
            if operations == 0 && self.chunk.is_empty() && self.device.state() == State::Connected {
                assert_eq!(bytes, 0, "bytes are charged to nobody");
                break;
            }
            if self.rng.one_in(5) {
                self.wait_for_timeout();
            }
        }
        assert_eq!(self.device.outbox_level().0, 0, "{:?}", self.device);
        for (token, accepted) in &self.accepted {
            assert!(
                self.completed.contains_key(token),
                "{token:?} {accepted:?} never completed"
            );
        }
        let in_order = self.broker.first.windows(2).all(|pair| pair[0] < pair[1]);
        assert!(
            in_order,
            "first deliveries out of order: {:?}",
            self.broker.first
        );
    }
}

fn decode(mut wire: BytesMut) -> Packet {
    let (frame, header_len) = codec::split(&mut wire, usize::MAX).unwrap().unwrap();
    codec::decode(frame, header_len).unwrap()
}

impl Broker {
    fn connect(&mut self) {
        self.wire.clear();
        self.is_connected = false;
        self.has_left = false;
        self.owed.clear();
        self.on_this_connection.clear();
        self.delivered.clear();
    }

    fn lose(&mut self, clean: bool, rng: &mut Rng) {
        // Sometimes the platform forgets a session that it should have kept.
        if clean || rng.one_in(4) {
            self.has_session = false;
        }
        self.owed.clear();
        self.is_connected = false;
    }

    fn receive(&mut self, bytes: &[u8], down: &mut VecDeque<Packet>, clean: bool, rng: &mut Rng) {
        self.wire.extend_from_slice(bytes);
        while let Some(len) = codec::first_packet_len(&self.wire) {
            let packet = self.wire.split_to(len).freeze();
            assert!(!self.has_left, "something follows DISCONNECT");
            let first = packet[0];
            let header_len = packet
                .iter()
                .skip(1)
                .position(|byte| byte & 0x80 == 0)
                .unwrap()
                + 2;
            let body = packet.slice(header_len..);
            if !self.is_connected {
                assert_eq!(first, 0x10, "CONNECT comes first");
                self.accept(down, clean, rng);
                continue;
            }
            match first >> 4 {
                3 => self.receive_publish(first, &body),
                4 => {
                    let id = u16::from_be_bytes([body[0], body[1]]);
                    let was_sent = self.delivered.remove(&id);
                    assert!(was_sent, "{id} was not delivered on this connection");
                }
                12 => down.push_back(Packet::PingResp),
                8 => {
                    let id = self.take_id(&body);
                    let mut rest = &body[2..];
                    let mut filters = 0;
                    while !rest.is_empty() {
                        let len = usize::from(u16::from_be_bytes([rest[0], rest[1]]));
                        let filter = String::from_utf8(rest[2..2 + len].to_vec()).unwrap();
                        self.subscribed.insert(filter);
                        rest = &rest[3 + len..];
                        filters += 1;
                    }
                    assert!((1..=3).contains(&filters), "{filters} filters in a packet");
                    self.owed.push(Owed::Subscribe { id, filters });
                }
                10 => {
                    let id = self.take_id(&body);
                    self.owed.push(Owed::Unsubscribe { id });
                }
                14 => self.has_left = true,
                kind => panic!("a packet of type {kind}"),
            }
        }
    }

    fn accept(&mut self, down: &mut VecDeque<Packet>, clean: bool, rng: &mut Rng) {
        let code = if rng.one_in(15) {
            1 + rng.below(5) as u8
        } else {
            0
        };
        let session_present = self.has_session && !clean && code == 0;
        if !session_present {
            self.in_use.clear();
            self.subscribed.clear();
        }
        self.is_resumed = session_present;
        self.is_connected = true;
        self.has_session = code == 0;
        // Ids of SUBSCRIBE and UNSUBSCRIBE end with the connection, as those packets do.
        self.in_use.retain(|_, &mut number| number > 0);
        down.push_back(Packet::ConnAck {
            session_present,
            code,
        });
    }

    fn take_id(&mut self, body: &Bytes) -> u16 {
        let id = u16::from_be_bytes([body[0], body[1]]);
        assert!(
            id != 0 && self.in_use.insert(id, 0).is_none(),
            "id {id} is in use"
        );
        id
    }

    fn receive_publish(&mut self, first: u8, body: &Bytes) {
        assert_eq!(&body[..4], b"\x00\x02up");
        let duplicate = first & 8 != 0;
        let payload_at = if first & 6 == 0 { 4 } else { 6 };
        let (number, filling) = body[payload_at..].split_at(8);
        let number = u64::from_be_bytes(number.try_into().unwrap());
        assert!(
            filling.iter().all(|&byte| byte == number as u8),
            "a part of {number} is another message's"
        );
        if first & 6 == 0 {
            assert!(!duplicate, "DUP with QoS 0");
            return;
        }
        let id = u16::from_be_bytes([body[4], body[5]]);
        assert!(
            self.on_this_connection.insert(number),
            "{number} twice on one connection"
        );
        if !duplicate {
            let mut owed = self.in_use.values().filter(|&number| *number > 0);
            let is_there =
                |number| self.on_this_connection.contains(number) || self.given_up.contains(number);
            assert!(
                owed.all(is_there),
                "{number} is new and overtook what is sent again"
            );
        }
        let before = self.in_use.insert(id, number);
        match before {
            Some(other) => {
                assert_eq!(other, number, "id {id} is in use for {other}");
                assert!(duplicate, "{number} again, without DUP");
            }
            None => assert!(!duplicate || self.is_resumed, "DUP in a new session"),
        }
        if self.seen.insert(number) {
            self.first.push(number);
        }
        self.owed.push(Owed::Publish { id, number });
    }

    fn acknowledge(&mut self, owed: Owed, rng: &mut Rng) -> Packet {
        match owed {
            Owed::Publish { id, number } => {
                self.in_use.remove(&id);
                self.acked.insert(number);
                Packet::PubAck { id }
            }
            Owed::Subscribe { id, filters } => {
                self.in_use.remove(&id);
                let code = |_| if rng.one_in(20) { 0x80 } else { 1 };
                let codes = (0..filters).map(code).collect();
                Packet::SubAck { id, codes }
            }
            Owed::Unsubscribe { id } => {
                self.in_use.remove(&id);
                Packet::UnsubAck { id }
            }
        }
    }
}

/// A walk whose configuration and steps are those of `script`, and an end in peace.
#[cfg(feature = "fuzzing")]
pub(crate) fn walk(script: &[u8]) {
    let Some((&[high, low], steps)) = script.split_first_chunk::<2>() else {
        return;
    };
    let mut world = World::new(u64::from(u16::from_be_bytes([high, low])), steps);
    while !world.rng.script.is_empty() {
        world.step();
    }
    world.come_to_an_end();
}

#[cfg(test)]
#[test]
fn a_million_random_steps_lose_nothing_repeat_nothing_and_lie_about_nothing() {
    let (mut acknowledged, mut connects, mut time) = (0, 0, Duration::ZERO);
    for seed in 0..SEEDS {
        let mut world = World::new(seed, &[]);
        for step in 0..STEPS {
            let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| world.step()));
            assert!(outcome.is_ok(), "seed {seed}, step {step}");
        }
        world.come_to_an_end();
        acknowledged += world.completed.values().filter(|&&ok| ok).count() as u64;
        connects += world.device.counters().connects;
        time += world.now - BEGIN;
    }
    eprintln!("measured: {time:.0?} of virtual time, {connects} connections");
    // The walk must have been one through the interesting country.
    assert!(
        acknowledged > 1_000 * SEEDS,
        "{acknowledged} operations were acknowledged"
    );
    assert!(connects > 20 * SEEDS, "{connects} connections");
    assert!(time > Duration::from_secs(3600), "{time:?}");
}
