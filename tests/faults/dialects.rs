//! What a peer can say that it should not, and what it may say that is unusual.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use aliot::{Config, Counter, ErrorKind, EventKind, Qos, Stage, State};

use crate::alone::{Peaks, run_alone};
use crate::proxy::Draw;
use crate::ran::{is_long, ran};
use crate::support::PATIENCE;
use crate::support::broker::{Broker, CONNECT, PINGREQ, PUBACK, PUBLISH, SUBSCRIBE, publish};
use crate::support::device::{Device, Said};

/// Hardly any delay between two connections, for there are many.
fn config(address: SocketAddr) -> Config {
    let mut config = crate::support::device::config(address);
    let millisecond = Duration::from_millis(1);
    config.set_reconnect(millisecond, 4 * millisecond).unwrap();
    config
}

/// Bytes after an accepted connection, each of which must end it with an error of the protocol.
fn violations() -> Vec<(&'static str, Vec<u8>)> {
    let mut list: Vec<(&'static str, Vec<u8>)> = vec![
        ("a second CONNACK", vec![0x20, 2, 0, 0]),
        ("packet type 0", vec![0x00, 0]),
        ("packet type 15", vec![0xF0, 0]),
        (
            "CONNECT",
            b"\x10\x0d\x00\x04MQTT\x04\x02\x00\x3c\x00\x01x".to_vec(),
        ),
        ("SUBSCRIBE", b"\x82\x06\x00\x01\x00\x01a\x00".to_vec()),
        ("UNSUBSCRIBE", b"\xa2\x05\x00\x01\x00\x01a".to_vec()),
        ("PINGREQ", vec![0xC0, 0]),
        ("DISCONNECT", vec![0xE0, 0]),
        ("PUBREC", vec![0x50, 2, 0, 1]),
        ("PUBREL", vec![0x62, 2, 0, 1]),
        ("PUBCOMP", vec![0x70, 2, 0, 1]),
        ("PUBACK with flags", vec![0x41, 2, 0, 1]),
        ("PUBACK of 1 byte", vec![0x40, 1, 0]),
        ("PUBACK of 3 bytes", vec![0x40, 3, 0, 1, 0]),
        ("PUBACK of packet id 0", vec![0x40, 2, 0, 0]),
        ("SUBACK without codes", vec![0x90, 2, 0, 1]),
        ("SUBACK with code 3", vec![0x90, 3, 0, 1, 3]),
        ("SUBACK with flags", vec![0x92, 3, 0, 1, 0]),
        ("UNSUBACK of 1 byte", vec![0xB0, 1, 0]),
        ("PINGRESP with a body", vec![0xD0, 1, 0]),
        ("PINGRESP with flags", vec![0xD1, 0]),
        (
            "a length of five bytes",
            vec![0x30, 0x80, 0x80, 0x80, 0x80, 1],
        ),
        ("the greatest length", vec![0x30, 0xFF, 0xFF, 0xFF, 0x7F]),
        ("PUBLISH of QoS 2", publish("a", b"x", 2, 1)),
        ("PUBLISH of QoS 3", publish("a", b"x", 3, 1)),
        ("PUBLISH with packet id 0", publish("a", b"x", 1, 0)),
        ("PUBLISH without a topic", publish("", b"x", 0, 0)),
        ("PUBLISH to a wildcard", publish("a/#", b"x", 0, 0)),
        (
            "PUBLISH to a single-level wildcard",
            publish("a/+", b"x", 0, 0),
        ),
        ("PUBLISH with NUL in its topic", publish("a\0b", b"x", 0, 0)),
        ("a topic longer than its packet", vec![0x30, 3, 0, 9, b'a']),
        ("a topic that is not UTF-8", vec![0x30, 3, 0, 1, 0xFF]),
        (
            "a topic with a surrogate",
            vec![0x30, 5, 0, 3, 0xED, 0xA0, 0x80],
        ),
        ("an empty PUBLISH", vec![0x30, 0]),
        (
            "a PUBLISH of QoS 1 without room for its id",
            vec![0x32, 3, 0, 1, b'a'],
        ),
    ];
    list.push(("a payload over the limit", publish("a", &[0; 1200], 0, 0)));
    list
}

#[test]
fn every_violation_of_the_protocol_ends_the_connection_with_that_reason() {
    let broker = Broker::listen();
    let mut config = config(broker.address());
    config.set_topic_limit(100).unwrap();
    config.set_payload_limit(1000).unwrap();
    let device = Device::start(&config);
    for (n, (what, bytes)) in violations().into_iter().enumerate() {
        let mut connection = broker.accept(false);
        connection.send(&bytes);
        let error = device.event(EventKind::Disconnected, n + 1).error.unwrap();
        assert_eq!(
            (error.kind(), error.stage()),
            (ErrorKind::Protocol, Stage::Mqtt),
            "{what}: {error}"
        );
        connection.expect_end();
    }
    // It is as good as new.
    let mut connection = broker.accept(false);
    let token = device.publish("a", b"x");
    let id = connection.expect_publish().id;
    connection.puback(id);
    assert_eq!(device.completion(token), Ok(None));
}

#[test]
fn every_first_packet_but_an_acceptance_fails_the_attempt() {
    let answers: [(&str, Vec<u8>); 11] = [
        ("CONNACK 6", vec![0x20, 2, 0, 6]),
        ("CONNACK 255", vec![0x20, 2, 0, 255]),
        ("CONNACK with reserved flags", vec![0x20, 2, 2, 0]),
        ("CONNACK with packet flags", vec![0x21, 2, 0, 0]),
        ("CONNACK of 1 byte", vec![0x20, 1, 0]),
        ("CONNACK of 3 bytes", vec![0x20, 3, 0, 0, 0]),
        ("a session nobody asked for", vec![0x20, 2, 1, 0]),
        ("PUBLISH", publish("a", b"x", 0, 0)),
        ("PINGRESP", vec![0xD0, 0]),
        ("HTTP", b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec()),
        ("a TLS alert", vec![0x15, 3, 3, 0, 2, 2, 40]),
    ];
    let broker = Broker::listen();
    let device = Device::start(&config(broker.address()));
    for (n, (what, bytes)) in answers.into_iter().enumerate() {
        let mut connection = broker.accept_tcp();
        connection.expect(CONNECT);
        connection.send(&bytes);
        let error = device.event(EventKind::ConnectFailed, n + 1).error.unwrap();
        assert_eq!(
            (error.kind(), error.stage()),
            (ErrorKind::Protocol, Stage::Mqtt),
            "{what}: {error}"
        );
    }
    let _connection = broker.accept(false);
    device.client.wait_connected(PATIENCE).unwrap();
}

#[test]
fn random_bytes_never_do_more_than_end_the_connection() {
    let broker = Broker::listen();
    let device = Device::start(&config(broker.address()));
    let mut draw = Draw::new(4);
    ran("random_bytes_never_do_more_than_end_the_connection", 200);
    for round in 0..200 {
        let mut connection = broker.accept_tcp();
        connection.expect(CONNECT);
        if round % 2 == 0 {
            connection.send(&[0x20, 2, 0, 0]);
        }
        let bytes: Vec<u8> = (0..1 + draw.below(200))
            .map(|_| draw.below(256) as u8)
            .collect();
        connection.send(&bytes);
        connection.hang_up();
    }
    // What random bytes cannot be is a reason to stop.
    let mut connection = broker.accept_tcp();
    connection.expect(CONNECT);
    connection.send(&[0x20, 2, 0, 0]);
    device.client.wait_connected(PATIENCE).unwrap();
}

#[test]
fn acknowledgements_of_something_else_than_was_sent_end_the_connection() {
    // SUBACK of too few, too many codes; SUBACK, UNSUBACK of a PUBLISH; PUBACK of a SUBSCRIBE.
    let answers: [&[u8]; 5] = [
        &[0x90, 3, 0, 1, 0],
        &[0x90, 5, 0, 1, 0, 0, 0],
        &[0x90, 3, 0, 2, 0],
        &[0xB0, 2, 0, 2],
        &[0x40, 2, 0, 1],
    ];
    for answer in answers {
        let broker = Broker::listen();
        let device = Device::new(&config(broker.address()));
        let tokens = [
            device.subscribe("one", Qos::AtMostOnce),
            device.subscribe("two", Qos::AtMostOnce),
            device.publish("up", b"x"),
        ];
        device.client.start().unwrap();
        let mut connection = broker.accept(false);
        assert_eq!(connection.expect(SUBSCRIBE).id(), 1);
        assert_eq!(connection.expect_publish().id, 2);
        connection.send(answer);
        let error = device.event(EventKind::Disconnected, 1).error.unwrap();
        assert_eq!(error.kind(), ErrorKind::Protocol, "{answer:?}: {error}");
        // The operations are still owed, and complete on the next connection.
        let mut connection = broker.accept(false);
        let id = connection.expect(SUBSCRIBE).id();
        connection.suback(id, &[0, 0]);
        let id = connection.expect_publish().id;
        connection.puback(id);
        for token in tokens {
            device.completion(token).unwrap();
        }
    }
}

#[test]
fn a_suback_that_never_comes_means_a_dead_link() {
    let broker = Broker::listen();
    let mut config = config(broker.address());
    config.set_ack_timeout(Duration::from_secs(1)).unwrap();
    let device = Device::start(&config);
    let mut connection = broker.accept(false);
    let token = device.subscribe("a", Qos::AtMostOnce);
    connection.expect(SUBSCRIBE);
    let error = device.event(EventKind::Disconnected, 1).error.unwrap();
    assert_eq!(error.kind(), ErrorKind::KeepAliveTimeout);
    let mut connection = broker.accept(false);
    let id = connection.expect(SUBSCRIBE).id();
    connection.suback(id, &[0]);
    assert_eq!(device.completion(token), Ok(Some(Qos::AtMostOnce)));
}

#[test]
fn an_announced_giant_is_refused_before_a_byte_of_it_arrives() {
    let test = "dialects::an_announced_giant_is_refused_before_a_byte_of_it_arrives";
    run_alone(test, "giant", || {
        let broker = Broker::listen();
        let mut config = config(broker.address());
        config
            .set_reconnect(Duration::from_millis(1), Duration::from_secs(1))
            .unwrap();
        let device = Device::start(&config);
        let mut connection = broker.accept(false);
        device.client.wait_connected(PATIENCE).unwrap();
        let before = Peaks::now();
        connection.send(&[0x30, 0xFF, 0xFF, 0xFF, 0x7F]);
        let error = device.event(EventKind::Disconnected, 1).error.unwrap();
        assert_eq!(error.kind(), ErrorKind::Protocol);
        // And a giant again and again is no loop without pauses: the delays grow.
        let mut delays = Vec::new();
        for n in 2..=5 {
            let mut connection = broker.accept(false);
            connection.send(&[0x30, 0xFF, 0xFF, 0xFF, 0x7F]);
            delays.push(device.event(EventKind::Disconnected, n).retry_in.unwrap());
        }
        assert!(delays.last() > delays.first(), "{delays:?}");
        // Room for a giant of 256 MiB was neither taken nor, for a moment, asked for. (An arena of
        // the allocator, which a new thread may have, is 64 MiB of addresses.)
        let after = Peaks::now();
        eprintln!("measured: an announced giant: {before:?}, afterwards {after:?}");
        assert!(after.rss_kib < before.rss_kib + 4 * 1024, "{after:?}");
        assert!(
            after.addresses_kib < before.addresses_kib + 192 * 1024,
            "{after:?}"
        );
    });
}

#[test]
fn a_length_written_in_more_bytes_than_it_needs_is_accepted() {
    // MQTT 3.1.1 does not demand the shortest form; mosquitto takes it as well.
    let broker = Broker::listen();
    let device = Device::start(&config(broker.address()));
    let mut connection = broker.accept(false);
    connection.send(&[0xD0, 0x80, 0]);
    connection.send(&[0x32, 0x86, 0x80, 0, 0, 1, b'a', 0, 7, b'x']);
    assert_eq!(connection.expect(PUBACK).id(), 7);
    assert_eq!(device.messages(1)[0].1.payload, b"x");
}

#[test]
fn a_message_delivered_twice_is_given_twice_and_acknowledged_twice() {
    let broker = Broker::listen();
    let device = Device::start(&config(broker.address()));
    let mut connection = broker.accept(false);
    let message = publish("a", b"x", 1, 7);
    let mut again = message.clone();
    again[0] |= 8;
    connection.send(&message);
    connection.send(&again);
    for _ in 0..2 {
        assert_eq!(connection.expect(PUBACK).id(), 7);
    }
    let messages = device.messages(2);
    let duplicates = messages.iter().map(|(_, message)| message.duplicate);
    assert_eq!(duplicates.collect::<Vec<_>>(), [false, true]);
}

#[test]
fn a_late_or_repeated_pingresp_is_fine() {
    const TIMEOUT: Duration = Duration::from_secs(10);
    let late = TIMEOUT * 9 / 10;
    // A machine that is too busy to answer in time makes another round.
    for round in 1..=3 {
        let broker = Broker::listen();
        let mut config = config(broker.address());
        config.set_keep_alive_s(1).unwrap();
        config.set_ping_timeout(TIMEOUT).unwrap();
        let device = Device::start(&config);
        let mut connection = broker.accept(false);
        connection.expect(PINGREQ);
        let asked = Instant::now();
        // A message of QoS 1 goes both ways before the answer does. It does not excuse the answer,
        // and its own acknowledgement is not one.
        connection.send(&publish("a", b"", 1, 1));
        while connection.next().unwrap().kind() != PUBACK {}
        // The fault: the answer comes when nine tenths of its time are over.
        std::thread::sleep(late);
        let answered = asked.elapsed();
        if answered + TIMEOUT / 20 > TIMEOUT {
            assert!(round < 3, "the answer would leave after {answered:?}");
            continue;
        }
        connection.send(&[0xD0, 0]);
        // The pings that were repeated meanwhile, and those that follow, get two answers each.
        for _ in 0..14 {
            connection.expect(PINGREQ);
            connection.send(&[0xD0, 0, 0xD0, 0]);
        }
        assert_eq!(device.client.counter(Counter::Attempts), 1);
        assert_eq!(device.client.state(), State::Connected);
        eprintln!("measured: a PINGRESP after {answered:.1?} of {TIMEOUT:?}");
        return;
    }
}

#[test]
fn pings_go_out_however_much_arrives() {
    // MQTT-3.1.2-23 speaks of what the client sends: receiving does not excuse it.
    let broker = Broker::listen();
    let mut config = config(broker.address());
    config.set_keep_alive_s(1).unwrap();
    let _device = Device::start(&config);
    let mut connection = broker.accept(false);
    let mut sender = crate::support::broker::Connection(connection.0.try_clone().unwrap());
    std::thread::scope(|scope| {
        let (stop, stopped) = channel();
        scope.spawn(move || {
            let pause = Duration::from_millis(5);
            while stopped.recv_timeout(pause) == Err(RecvTimeoutError::Timeout) {
                sender.send(&publish("a", b"x", 0, 0));
            }
        });
        let packet = connection.next().unwrap();
        stop.send(()).unwrap();
        assert_eq!(packet.first, 0xC0);
    });
}

#[test]
fn a_topic_beyond_mqtt_is_refused_at_the_call_and_the_connection_does_not_notice() {
    let broker = Broker::listen();
    let device = Device::start(&config(broker.address()));
    let mut connection = broker.accept(false);
    let longest = "x".repeat(65_535);
    let client = &device.client;
    for topic in [
        format!("{longest}y"),
        "a/#".into(),
        "a\0b".into(),
        String::new(),
    ] {
        let error = client
            .publish(&topic, b"", Qos::AtLeastOnce, true)
            .unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidArgument);
    }
    device.publish(&longest, b"x");
    assert_eq!(connection.expect_publish().topic, longest);
}

#[test]
fn packet_ids_wrap_without_a_zero_and_without_reuse() {
    const WINDOW: usize = 1000;
    let broker = Broker::listen();
    let mut config = config(broker.address());
    config.set_window(WINDOW as u16).unwrap();
    let device = Device::start(&config);
    let mut connection = broker.accept(false);
    let client = &device.client;
    let since = Instant::now();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for _ in 0..70_000 {
                while client.publish("a", b"", Qos::AtLeastOnce, true).is_err() {
                    assert!(since.elapsed() < 5 * PATIENCE, "nothing is acknowledged");
                    std::thread::sleep(Duration::from_millis(1));
                }
            }
        });
        let mut last = 0_u16;
        for batch in 0..70_000 / WINDOW {
            let mut open = Vec::new();
            for _ in 0..WINDOW {
                let id = connection.expect_publish().id;
                let expected = last.checked_add(1).unwrap_or(1);
                assert_eq!(id, expected, "batch {batch}");
                last = id;
                open.push(id);
            }
            // Backwards, in one segment: each but the last leaves a hole.
            let acks: Vec<u8> = open
                .iter()
                .rev()
                .flat_map(|id| [0x40, 2, (id >> 8) as u8, *id as u8])
                .collect();
            connection.send(&acks);
        }
    });
    client.wait_flushed(PATIENCE).unwrap();
}

/// The broker of this test keeps or forgets sessions, acknowledges at once, late, backwards,
/// twice, never, or what was never sent, and cuts where it likes. What it sees must always be the
/// stream that was published.
#[test]
fn a_peer_that_cuts_and_acknowledges_as_it_likes_loses_nothing_and_keeps_the_order() {
    let seeds = if is_long() { 200 } else { 10 };
    for seed in 0..seeds {
        capricious(seed);
    }
    ran(
        "a_peer_that_cuts_and_acknowledges_as_it_likes_loses_nothing_and_keeps_the_order",
        seeds as usize,
    );
}

fn capricious(seed: u64) {
    const COUNT: usize = 300;
    let mut draw = Draw::new(seed);
    let broker = Broker::listen();
    let mut config = config(broker.address());
    config.set_clean_session(false);
    config.set_window(1 + draw.below(40) as u16).unwrap();
    let device = Device::new(&config);
    let tokens: Vec<_> = (0..COUNT)
        .map(|n| device.publish("a", n.to_string().as_bytes()))
        .collect();
    device.client.start().unwrap();

    let mut seen = 0;
    let mut ids: HashMap<usize, u16> = HashMap::new();
    let mut connections = 0;
    let open = |device: &Device| device.client.counter(Counter::OutboxOperations) > 0;
    while open(&device) {
        assert!(connections < 5000, "seed {seed}: no end");
        // Once in a while the session is lost, as after a restart.
        let resumed = connections > 0 && draw.below(3) > 0;
        let mut connection = broker.accept(resumed);
        connections += 1;
        if !resumed {
            ids.clear();
        }
        let mut previous = None;
        let mut waiting: Vec<u16> = Vec::new();
        let mut owed: Vec<u16> = Vec::new();
        let most = draw.below(120);
        for _ in 0..most {
            connection
                .0
                .set_read_timeout(Some(Duration::from_millis(10)))
                .unwrap();
            if connection.0.peek(&mut [0]).is_err() {
                break; // all is said, or it waits for acknowledgements that are withheld
            }
            connection.0.set_read_timeout(Some(PATIENCE)).unwrap();
            let packet = connection.expect(PUBLISH).publish();
            let n: usize = String::from_utf8(packet.payload).unwrap().parse().unwrap();
            assert!(
                previous < Some(n),
                "seed {seed}: {n} after {previous:?} on one connection"
            );
            previous = Some(n);
            assert!(n <= seen, "seed {seed}: {n} overtook {seen}");
            seen = seen.max(n + 1);
            assert!(
                packet.id != 0 && !owed.contains(&packet.id),
                "seed {seed}: id {}",
                packet.id
            );
            if let Some(before) = ids.insert(n, packet.id) {
                assert!(
                    packet.duplicate && packet.id == before,
                    "seed {seed}: {n} again"
                );
            }
            assert!(
                resumed || !packet.duplicate,
                "seed {seed}: {n} is new to this session"
            );
            owed.push(packet.id);
            let mut acknowledge = |ids: &[u16]| {
                owed.retain(|id| !ids.contains(id));
                let acks = ids
                    .iter()
                    .flat_map(|id| [0x40, 2, (id >> 8) as u8, *id as u8]);
                connection.send(&acks.collect::<Vec<u8>>());
            };
            match draw.below(8) {
                0..=2 => acknowledge(&[packet.id]),
                3 => acknowledge(&[packet.id, packet.id]),
                4 => acknowledge(&[packet.id.wrapping_add(20_000)]),
                5 | 6 => waiting.push(packet.id),
                _ => {
                    waiting.reverse();
                    acknowledge(&std::mem::take(&mut waiting));
                }
            }
        }
        match draw.below(3) {
            0 => connection.reset(),
            // The acknowledgements and the end in one segment.
            1 => {
                let acks = waiting
                    .iter()
                    .flat_map(|id| [0x40, 2, (id >> 8) as u8, *id as u8]);
                connection.send(&acks.collect::<Vec<u8>>());
                connection.hang_up();
            }
            _ => connection.hang_up(),
        }
    }
    assert_eq!(seen, COUNT, "seed {seed}");
    for token in tokens {
        assert_eq!(device.completion(token), Ok(None), "seed {seed}");
    }
    device.client.stop(Duration::ZERO).unwrap();
    device.event(EventKind::Stopped, 1);
    let ends = device
        .said()
        .iter()
        .filter(|said| matches!(said, Said::Completion(_)))
        .count();
    assert_eq!(ends, COUNT, "seed {seed}: each completes once");
}
