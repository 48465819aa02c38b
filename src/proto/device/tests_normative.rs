//! The statements of MQTT 3.1.1 about time and about many packets, in virtual time, and the
//! scenarios of `tests/README.md` that are about the same.

use std::time::Duration;

use bytes::BytesMut;

use super::*;
use crate::{Endpoint, Identity};

const SECOND: Duration = Duration::from_secs(1);

/// A packet that left the device.
#[derive(Clone, Debug, Eq, PartialEq)]
struct Left {
    at: Duration,
    bytes: Vec<u8>,
}

impl Left {
    fn kind(&self) -> u8 {
        self.bytes[0] >> 4
    }
}

const PUBLISH: u8 = 3;
const PINGREQ: u8 = 12;

/// A device, its clock and a socket that takes everything at once.
struct Bench {
    device: Device<()>,
    budget: Budget,
    now: Duration,
    left: Vec<Left>,
}

impl Bench {
    /// A device that is connected at time 0.
    fn connected(change: impl FnOnce(&mut Config)) -> Self {
        Self::connected_at(Duration::ZERO, change)
    }

    fn connected_at(now: Duration, change: impl FnOnce(&mut Config)) -> Self {
        let identity = Identity::verbatim("id", "user", "password").unwrap();
        let mut endpoint = Endpoint::host("127.0.0.1", 1883).unwrap();
        endpoint.set_dangerous_plaintext();
        let mut config = Config::new(&identity, &endpoint).unwrap();
        config.use_private_profile();
        config.set_outbox_limit(1_000_000, 64 << 20).unwrap();
        change(&mut config);
        let mut bench = Self {
            device: Device::new(config),
            budget: Budget::new(None),
            now,
            left: Vec::new(),
        };
        bench.device.start(bench.now).unwrap();
        bench.elapse(Duration::ZERO);
        bench.accept();
        bench.left.clear();
        bench
    }

    /// The device dials, and its CONNECT is accepted.
    fn accept(&mut self) {
        assert_eq!(self.device.poll_action(), Some(Action::Dial));
        self.device.handle_link_up();
        self.transmit();
        self.receive(&[0x20, 2, 0, 0]);
        assert_eq!(self.device.state(), State::Connected);
    }

    /// The connection, or the attempt, is gone. Returns when the next one begins.
    fn lose(&mut self) -> Option<Duration> {
        let error = Error::new(ErrorKind::Network, Stage::Mqtt, "gone");
        let (now, chunk) = (self.now, Chunk::default());
        // All the bits of the entropy: the longest delay that the back-off can draw.
        let budget = &mut self.budget;
        self.device
            .handle_lost(Some(error), chunk, now, u32::MAX, budget);
        let outputs = self.device.outputs().drain(..);
        let delays = outputs.filter_map(|output| match output {
            Output::Event(event) => event.retry_in,
            _ => None,
        });
        delays.last()
    }

    /// The socket takes what the device has for it.
    fn transmit(&mut self) {
        while self.device.has_transmit(Duration::ZERO) {
            let mut chunk = Chunk::default();
            self.device.poll_transmit(&mut chunk, self.now);
            let bytes = chunk.rest().concat();
            chunk.advance(bytes.len());
            self.device.handle_written(&mut chunk, self.now);
            let mut rest = bytes.as_slice();
            while let Some(len) = codec::first_packet_len(rest) {
                let bytes = rest[..len].to_vec();
                self.left.push(Left {
                    at: self.now,
                    bytes,
                });
                rest = &rest[len..];
            }
            assert!(rest.is_empty());
        }
    }

    fn receive(&mut self, bytes: &[u8]) {
        let mut stream = BytesMut::from(bytes);
        let mut packets = Vec::new();
        while let Some((frame, header_len)) = codec::split(&mut stream, 1 << 20).unwrap() {
            packets.push(codec::decode(frame, header_len).unwrap());
        }
        self.device.handle_packets(packets.into_iter(), self.now);
        self.device.outputs().clear();
    }

    /// Lets time pass, and does what falls due at its very moment.
    fn elapse(&mut self, time: Duration) {
        let until = self.now + time;
        while let Some(due) = self.device.poll_timeout(self.now)
            && due <= until
        {
            self.now = self.now.max(due);
            let was = (due, self.device.state());
            self.device.handle_timeout(self.now, &mut self.budget);
            self.transmit();
            if self.device.action.is_some() {
                return;
            }
            let still = self
                .device
                .poll_timeout(self.now)
                .map(|due| (due, self.device.state()));
            assert_ne!(
                still,
                Some(was),
                "the same deadline again: the driver would spin"
            );
        }
        self.now = until;
    }

    /// Longest time from the connection, or from a packet that left, to the next one or to now.
    fn longest_silence(&self) -> Duration {
        let times = self.left.iter().map(|left| left.at);
        let ends: Vec<Duration> = times.clone().chain([self.now]).collect();
        let starts = [Duration::ZERO].into_iter().chain(times);
        starts
            .zip(ends)
            .map(|(start, end)| end - start)
            .max()
            .unwrap()
    }
}

/// Runs an hour, or a hundred intervals, of steps of a tenth of the interval each. The peer answers pings
/// `delay` steps late; `step` is the traffic. Returns the bench at the end.
fn traffic(keep_alive: u16, delay: usize, mut step: impl FnMut(&mut Bench, usize)) -> Bench {
    let mut bench = Bench::connected(|config| {
        config.set_keep_alive_s(keep_alive).unwrap();
        config.set_ping_timeout(120 * SECOND).unwrap();
    });
    let length = SECOND * u32::from(keep_alive) / 10;
    let mut pings = 0;
    let mut answers = Vec::new();
    for n in 0..1000 {
        bench.elapse(length);
        assert_eq!(bench.device.action, None, "step {n}: the link was given up");
        let sent = bench
            .left
            .iter()
            .filter(|left| left.kind() == PINGREQ)
            .count();
        answers.extend((pings..sent).map(|_| n + delay));
        pings = sent;
        while answers.first().is_some_and(|&due| due <= n) {
            answers.remove(0);
            bench.receive(&[0xD0, 0]);
        }
        step(&mut bench, n);
        bench.transmit();
    }
    assert!(pings > 0, "there was no ping in a hundred intervals");
    bench
}

const INTERVALS: [u16; 5] = [1, 2, 30, 300, 1200];

#[test]
fn mqtt_3_1_2_23_an_idle_device_is_never_silent_for_longer_than_the_keep_alive() {
    for keep_alive in INTERVALS {
        for delay in [0, 1, 3] {
            if u32::from(keep_alive) * (delay as u32 + 1) > 1000 {
                continue;
            }
            let bench = traffic(keep_alive, delay, |_, _| ());
            let bound = SECOND * u32::from(keep_alive);
            assert!(
                bench.longest_silence() <= bound,
                "keep-alive {keep_alive}, delay {delay}"
            );
        }
    }
}

#[test]
fn mqtt_3_1_2_23_a_device_that_only_receives_is_never_silent_for_longer_either() {
    for keep_alive in INTERVALS {
        let bench = traffic(keep_alive, 0, |bench, _| {
            // QoS 0: nothing has to be sent for it.
            bench.receive(&[0x30, 4, 0, 1, b'a', b'x']);
            bench.device.handle_delivered(102, 0, std::iter::empty());
        });
        let bound = SECOND * u32::from(keep_alive);
        assert!(bench.longest_silence() <= bound, "keep-alive {keep_alive}");
    }
}

#[test]
fn mqtt_3_1_2_23_a_device_that_only_sends_asks_whether_anybody_listens() {
    for keep_alive in INTERVALS {
        let bench = traffic(keep_alive, 0, |bench, _| {
            let sent = bench
                .device
                .publish("a", b"x", Qos::AtMostOnce, false, None);
            sent.unwrap();
        });
        let bound = SECOND * u32::from(keep_alive);
        assert!(bench.longest_silence() <= bound, "keep-alive {keep_alive}");
        let pings: Vec<Duration> = bench
            .left
            .iter()
            .filter(|left| left.kind() == PINGREQ)
            .map(|left| left.at)
            .collect();
        let mut gaps = pings.windows(2).map(|pair| pair[1] - pair[0]);
        assert!(gaps.all(|gap| gap <= bound), "keep-alive {keep_alive}");
    }
}

#[test]
fn mqtt_3_1_2_23_a_ping_that_is_answered_late_does_not_silence_the_device() {
    // Forty steps are four intervals: far more than a server waits for the next packet.
    for keep_alive in [1, 2, 28] {
        let bench = traffic(keep_alive, 40, |_, _| ());
        let bound = SECOND * u32::from(keep_alive);
        let silence = bench.longest_silence();
        assert!(silence <= bound, "keep-alive {keep_alive}: {silence:?}");
    }
    // Behind a flood from the peer as well, which extends the deadline of the answer.
    let bench = traffic(30, 1100, |bench, _| {
        bench.receive(&[0x30, 4, 0, 1, b'a', b'x']);
        bench.device.handle_delivered(102, 0, std::iter::empty());
    });
    assert!(bench.longest_silence() <= 30 * SECOND);
}

#[test]
fn mqtt_3_1_2_23_without_a_keep_alive_there_is_no_ping() {
    let mut bench = Bench::connected(|config| config.set_keep_alive_s(0).unwrap());
    bench.elapse(100_000 * SECOND);
    assert_eq!(bench.left, []);
    assert_eq!(bench.device.state(), State::Connected);
}

#[test]
fn mqtt_3_12_4_1_a_ping_without_an_answer_ends_the_connection_and_another_follows() {
    for keep_alive in [30, 300, 1200] {
        let mut bench = Bench::connected(|config| config.set_keep_alive_s(keep_alive).unwrap());
        let bound = SECOND * u32::from(keep_alive) * 2;
        bench.elapse(bound);
        assert_eq!(bench.device.poll_action(), Some(Action::Hangup));
        assert!(bench.now <= bound, "found after {:?}", bench.now);
        let ping = bench.left.last().unwrap();
        assert_eq!((ping.kind(), ping.bytes.len()), (PINGREQ, 2));
        assert_eq!(bench.now - ping.at, 10 * SECOND, "the ping's own deadline");
        let (now, chunk) = (bench.now, Chunk::default());
        bench.device.outputs().clear();
        bench
            .device
            .handle_lost(None, chunk, now, 0, &mut bench.budget);
        let Some(Output::Event(event)) = bench.device.outputs().pop_front() else {
            panic!("an event was due");
        };
        assert_eq!(event.kind, EventKind::Disconnected);
        assert_eq!(event.error.unwrap().kind(), ErrorKind::KeepAliveTimeout);
        bench.elapse(event.retry_in.unwrap());
        assert_eq!(bench.device.poll_action(), Some(Action::Dial));
    }
}

#[test]
fn mqtt_3_12_4_1_pings_that_are_repeated_do_not_put_off_the_deadline_of_the_first() {
    let mut bench = Bench::connected(|config| config.set_keep_alive_s(1).unwrap());
    bench.elapse(60 * SECOND);
    assert_eq!(bench.device.poll_action(), Some(Action::Hangup));
    assert_eq!(bench.now, bench.left[0].at + 10 * SECOND);
    assert!(bench.left.len() > 10, "{} pings", bench.left.len());
    assert!(bench.longest_silence() <= SECOND);
}

#[test]
fn mqtt_3_12_4_1_an_answer_in_time_keeps_the_connection() {
    let mut bench = Bench::connected(|config| config.set_keep_alive_s(30).unwrap());
    for _ in 0..100 {
        let pings = bench.left.len();
        while bench.left.len() == pings {
            bench.elapse(SECOND / 10);
        }
        bench.elapse(10 * SECOND - SECOND / 5);
        assert_eq!(bench.device.action, None);
        bench.receive(&[0xD0, 0]);
    }
}

/// However long the answer may take: an hour is the longest that can be set.
#[test]
fn mqtt_4_3_2_1_a_message_leaves_once_on_a_connection_until_its_deadline_ends_that() {
    for timeout in [SECOND, 30 * SECOND, 3600 * SECOND] {
        let mut bench = Bench::connected(|config| config.set_ack_timeout(timeout).unwrap());
        bench
            .device
            .publish("a", b"x", Qos::AtLeastOnce, true, None)
            .unwrap();
        bench.transmit();
        // Short enough for every ping to be answered in time.
        let step = (timeout / 100).min(5 * SECOND);
        while bench.device.action.is_none() {
            bench.elapse(step);
            if bench.left.last().unwrap().kind() == PINGREQ {
                bench.receive(&[0xD0, 0]);
            }
            assert!(bench.now <= timeout + step, "after {:?}", bench.now);
        }
        assert_eq!(bench.device.poll_action(), Some(Action::Hangup));
        assert!(bench.now >= timeout, "after {:?}", bench.now);
        assert_eq!(ids(&bench, 0), [1], "the one copy");
        assert_eq!(bench.device.outbox_level().0, 1, "and it is still owed");
    }
}

/// Packet ids of the PUBLISHes that left since `from`.
fn ids(bench: &Bench, from: usize) -> Vec<u16> {
    let new = bench.left[from..]
        .iter()
        .filter(|left| left.kind() == PUBLISH);
    // Topic "a": the id is behind the header and three bytes.
    new.map(|left| u16::from_be_bytes([left.bytes[5], left.bytes[6]]))
        .collect()
}

#[test]
fn mqtt_2_3_1_2_in_seventy_thousand_messages_no_id_is_given_while_it_is_in_use() {
    const ALL: usize = 70_000;
    const WINDOW: usize = 100;
    let mut bench = Bench::connected(|config| config.set_window(WINDOW as u16).unwrap());
    let (mut sent, mut seen) = (0, 0);
    let mut in_use: Vec<u16> = Vec::new();
    let mut given = std::collections::BTreeSet::new();
    while sent < ALL {
        for _ in 0..WINDOW {
            bench
                .device
                .publish("a", b"x", Qos::AtLeastOnce, true, None)
                .unwrap();
        }
        sent += WINDOW;
        // The first of each round is withheld until its window is used up.
        loop {
            bench.transmit();
            let new = ids(&bench, seen);
            seen = bench.left.len();
            if new.is_empty() {
                break;
            }
            for id in new {
                assert_ne!(id, 0);
                assert!(!in_use.contains(&id), "id {id} is in use");
                in_use.push(id);
                given.insert(id);
            }
            for id in in_use.split_off(1) {
                let [high, low] = id.to_be_bytes();
                bench.receive(&[0x40, 2, high, low]);
            }
        }
        for id in in_use.drain(..) {
            let [high, low] = id.to_be_bytes();
            bench.receive(&[0x40, 2, high, low]);
        }
        bench.left.clear();
        seen = 0;
    }
    assert_eq!(given.len(), 65_535, "every id was used, and 0 never");
    assert_eq!(bench.device.outbox_level(), (0, 0));
}

#[test]
fn mqtt_2_3_1_2_an_id_that_is_never_acknowledged_is_never_given_again() {
    let mut bench = Bench::connected(|config| config.set_window(1000).unwrap());
    for _ in 0..70_000 {
        bench
            .device
            .publish("a", b"", Qos::AtLeastOnce, true, None)
            .unwrap();
    }
    let (mut seen, mut count) = (0, 0);
    loop {
        bench.transmit();
        let new = ids(&bench, seen);
        seen = bench.left.len();
        if new.is_empty() {
            break;
        }
        for id in new {
            count += 1;
            assert_eq!(usize::from(id), count, "ids follow each other");
            if id != 1 {
                let [high, low] = id.to_be_bytes();
                bench.receive(&[0x40, 2, high, low]);
            }
        }
    }
    assert_eq!(
        count, 1000,
        "the window ends behind the one that is withheld"
    );
    bench.receive(&[0x40, 2, 0, 1]);
    bench.transmit();
    assert_eq!(ids(&bench, seen).first(), Some(&1001));
}

#[test]
fn a_flapping_platform_is_tried_after_1_2_4_to_120_seconds() {
    let mut bench = Bench::connected(|_| ());
    for seconds in [1, 2, 4, 8, 16, 32, 64, 120, 120, 120] {
        // Half a minute is not stable yet.
        bench.elapse(30 * SECOND);
        let delay = bench.lose().unwrap();
        let most = SECOND * seconds;
        assert!(
            delay <= most && delay + SECOND / 1000 >= most,
            "{delay:?}, {most:?}"
        );
        bench.elapse(delay);
        bench.accept();
    }
    // A minute is: the delays start over.
    bench.elapse(60 * SECOND);
    assert!(bench.lose().unwrap() <= SECOND);
}

#[test]
fn the_delays_start_over_when_the_application_starts_anew() {
    let mut bench = Bench::connected(|_| ());
    for _ in 0..5 {
        let delay = bench.lose().unwrap();
        bench.elapse(delay);
        bench.accept();
    }
    bench.device.stop(bench.now);
    bench.elapse(Duration::ZERO);
    assert_eq!(bench.device.poll_action(), Some(Action::Goodbye));
    assert_eq!(bench.lose(), None, "it was asked for");
    assert_eq!(bench.device.state(), State::Stopped);
    bench.device.start(bench.now).unwrap();
    bench.elapse(Duration::ZERO);
    bench.accept();
    assert!(bench.lose().unwrap() <= SECOND);
}

#[test]
fn the_keep_alive_is_the_same_whenever_the_clock_began() {
    // Around the wrap of a 32-bit count of milliseconds, and a thousand years later.
    let wrap = Duration::from_millis(1 << 32);
    for begin in [wrap - 301 * SECOND, wrap - SECOND / 1000, wrap, wrap * 8000] {
        let mut bench = Bench::connected_at(begin, |_| ());
        for n in 1..=4 {
            bench.elapse(225 * SECOND);
            assert_eq!(bench.left.len(), n, "begun at {begin:?}");
            // A thirty-second part early at most, to share a moment with other connections.
            let (earliest, latest) = (217 * SECOND * n as u32, 225 * SECOND * n as u32);
            let at = bench.left[n - 1].at - begin;
            assert!((earliest..=latest).contains(&at), "ping {n} at {at:?}");
            bench.receive(&[0xD0, 0]);
        }
    }
}
