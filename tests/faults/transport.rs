//! What TCP can do to a connection.

use std::io::Write as _;
use std::net::{Shutdown, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use aliot::{Config, Counter, Endpoint, ErrorKind, EventKind, Identity, Qos};

use crate::chaos::{Seen, collector, quick};
use crate::proxy::{Draw, Ending, Plan, Proxy, Toxics};
use crate::ran::{is_long, ran};
use crate::support::broker::{
    Broker, CONNECT, Connection, DISCONNECT, PUBACK, PUBLISH, SUBSCRIBE, publish,
};
use crate::support::device::{Device, Said, config, private};
use crate::support::mosquitto::Mosquitto;
use crate::support::{PATIENCE, eventually};

const ENDINGS: [Ending; 2] = [Ending::Fin, Ending::Reset];

/// How often each cut is made.
fn runs() -> usize {
    if is_long() { 20 } else { 1 }
}

/// Ends the connection as `ending` says.
fn end(connection: Connection, ending: Ending) {
    match ending {
        Ending::Reset => connection.reset(),
        _ => connection.hang_up(),
    }
}

/// After whatever befell the first connection: a subscription and a message complete on the next,
/// and every operation completes once.
fn recovers(device: &Device, tokens: &[aliot::Token]) {
    for &token in tokens {
        device.completion(token).unwrap();
    }
    let said = device.said();
    for &token in tokens {
        let ends = said.iter().filter(
            |said| matches!(said, Said::Completion(completion) if completion.token == token),
        );
        assert_eq!(ends.count(), 1, "{said:#?}");
    }
}

#[test]
fn a_cut_at_any_byte_of_a_connection_loses_nothing_over_tcp() {
    let mosquitto = Mosquitto::start("cuts-tcp");
    let config = |address: std::net::SocketAddr| {
        let mut config = config(address);
        config.set_clean_session(false);
        config
    };
    // CONNECT has 43 bytes, CONNACK 4, SUBACK 5, the echo 10.
    let up = [0, 1, 20, 40, 45, 50, 55, 60, 70, 80];
    let down = [1, 3, 4, 6, 9, 10, 15, 19, 23];
    let cuts = cut_everywhere(mosquitto.tcp, &config, &up, &down);
    ran(
        "a_cut_at_any_byte_of_a_connection_loses_nothing_over_tcp",
        cuts,
    );
}

#[test]
fn a_cut_at_any_byte_of_a_connection_loses_nothing_over_tls() {
    let mosquitto = Mosquitto::start("cuts-tls");
    let ca = mosquitto.ca_pem.clone();
    let config = move |address: std::net::SocketAddr| {
        let identity = Identity::verbatim("device", "user", "password").unwrap();
        let mut endpoint = Endpoint::host("localhost", address.port()).unwrap();
        endpoint.set_ca_pem(ca.as_bytes()).unwrap();
        let mut config = Config::new(&identity, &endpoint).unwrap();
        private(&mut config);
        config.set_clean_session(false);
        config
    };
    // ClientHello, the server's flight, Finished, and the records after them.
    let up = [0, 5, 100, 200, 250, 300, 320, 340, 360, 400];
    let down = [1, 50, 127, 200, 500, 900, 1200, 1300, 1400, 1500];
    let cuts = cut_everywhere(mosquitto.tls, &config, &up, &down);
    ran(
        "a_cut_at_any_byte_of_a_connection_loses_nothing_over_tls",
        cuts,
    );
}

/// How many cuts that were.
fn cut_everywhere(
    broker: std::net::SocketAddr,
    config: &dyn Fn(std::net::SocketAddr) -> Config,
    up: &[usize],
    down: &[usize],
) -> usize {
    let mut cuts = 0;
    let ups = up.iter().map(|&bytes| (bytes, true));
    let all: Vec<_> = ups
        .chain(down.iter().map(|&bytes| (bytes, false)))
        .collect();
    for ending in ENDINGS {
        for &(bytes, upward) in &all {
            for _ in 0..runs() {
                let toxics = Toxics::limit(bytes, ending);
                let (up, down) = if upward {
                    (toxics, Toxics::default())
                } else {
                    (Toxics::default(), toxics)
                };
                let plan = Plan {
                    up,
                    down,
                    cut: None,
                };
                let proxy = Proxy::first(broker, plan);
                let device = Device::new(&config(proxy.address()));
                cuts += 1;
                let tokens = [
                    device.subscribe("echo", Qos::AtLeastOnce),
                    device.publish("echo", b"1"),
                    device.publish("other", b"2"),
                ];
                device.client.start().unwrap();
                recovers(&device, &tokens);
                device.client.stop(Duration::ZERO).unwrap();
                device.event(EventKind::Stopped, 1);
            }
        }
    }
    cuts
}

/// Where a scripted connection is cut.
#[derive(Clone, Copy, Debug)]
enum Point {
    AfterAccept,
    AfterConnect,
    AfterConnAck,
    MiddleOfSubAck,
    InFlight,
    MiddleOfPublish,
    DuringPing,
}

#[test]
fn a_cut_at_each_phase_is_told_once_with_its_reason_and_nothing_is_lost() {
    use Point::{
        AfterAccept, AfterConnAck, AfterConnect, DuringPing, InFlight, MiddleOfPublish,
        MiddleOfSubAck,
    };
    let points = [
        AfterAccept,
        AfterConnect,
        AfterConnAck,
        MiddleOfSubAck,
        InFlight,
        MiddleOfPublish,
        DuringPing,
    ];
    for ending in ENDINGS {
        for point in points {
            for _ in 0..runs() {
                cut_at(point, ending);
            }
        }
    }
    ran(
        "a_cut_at_each_phase_is_told_once_with_its_reason_and_nothing_is_lost",
        ENDINGS.len() * points.len() * runs(),
    );
}

fn cut_at(point: Point, ending: Ending) {
    let broker = Broker::listen();
    let mut config = config(broker.address());
    config.set_keep_alive_s(1).unwrap();
    let device = Device::new(&config);
    let mut tokens = vec![device.subscribe("down", Qos::AtLeastOnce)];
    device.client.start().unwrap();
    let mut first = broker.accept_tcp();
    let kind = match point {
        Point::AfterAccept => EventKind::ConnectFailed,
        Point::AfterConnect => {
            first.expect(CONNECT);
            EventKind::ConnectFailed
        }
        _ => {
            first.expect(CONNECT);
            first.send(&[0x20, 2, 0, 0]);
            let id = first.expect(SUBSCRIBE).id();
            tokens.push(device.publish("up", b"1"));
            let publish_id = first.expect_publish().id;
            match point {
                Point::MiddleOfSubAck => first.send(&[0x90, 3, 0]),
                Point::MiddleOfPublish => {
                    first.suback(id, &[1]);
                    first.send(&publish("down", &[7; 300], 1, 1)[..150]);
                }
                Point::DuringPing => {
                    first.suback(id, &[1]);
                    first.puback(publish_id);
                    assert_eq!(first.next().unwrap().first, 0xC0, "a PINGREQ");
                    first.send(&[0xD0]);
                }
                _ => {}
            }
            EventKind::Disconnected
        }
    };
    end(first, ending);
    let error = device.event(kind, 1).error.unwrap();
    let allowed = match ending {
        // What was not read when the system closed turns its FIN into a reset.
        Ending::Fin => [ErrorKind::ClosedByPeer, ErrorKind::Network].as_slice(),
        _ => &[ErrorKind::Network],
    };
    assert!(
        allowed.contains(&error.kind()),
        "{point:?} {ending:?}: {error}"
    );
    let mut second = broker.accept(false);
    second.0.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut open = tokens.len();
    if matches!(point, Point::DuringPing) {
        open -= 1; // the message was acknowledged
    }
    while open > 0 {
        let packet = second.next().expect("the device closed the connection");
        match packet.kind() {
            SUBSCRIBE => second.suback(packet.id(), &[1]),
            PUBLISH => second.puback(packet.publish().id),
            _ => continue,
        }
        open -= 1;
    }
    recovers(&device, &tokens);
    let told = device
        .said()
        .iter()
        .filter(|said| matches!(said, Said::Event(event) if event.kind == kind))
        .count();
    assert_eq!(told, 1, "{point:?} {ending:?}");
}

#[test]
fn a_cut_during_the_goodbye_is_a_goodbye() {
    for ending in ENDINGS {
        let broker = Broker::listen();
        let device = Device::start(&config(broker.address()));
        let mut connection = broker.accept(false);
        device.client.wait_connected(PATIENCE).unwrap();
        device.client.stop(Duration::ZERO).unwrap();
        connection.expect(DISCONNECT);
        end(connection, ending);
        device.event(EventKind::Stopped, 1);
        let event = device.event(EventKind::Disconnected, 1);
        assert_eq!(event.error, None);
        assert!(
            !broker.is_called_within(Duration::from_millis(100)),
            "no reconnect afterwards"
        );
    }
}

#[test]
fn acknowledgements_sent_before_a_reset_count() {
    ran("acknowledgements_sent_before_a_reset_count", 20);
    for _ in 0..20 {
        let broker = Broker::listen();
        let device = Device::start(&config(broker.address()));
        let mut first = broker.accept(false);
        let tokens: Vec<_> = (0..50_u8).map(|n| device.publish("a", &[n])).collect();
        let ids: Vec<u16> = tokens.iter().map(|_| first.expect_publish().id).collect();
        let acks = ids
            .iter()
            .flat_map(|id| [0x40, 2, (id >> 8) as u8, *id as u8]);
        first.send(&acks.collect::<Vec<u8>>());
        first.reset();
        device.event(EventKind::Disconnected, 1);
        let said = device.said();
        let lost = said.iter().position(
            |said| matches!(said, Said::Event(event) if event.kind == EventKind::Disconnected),
        );
        let before = said.iter().take(lost.unwrap());
        let completed = before.filter(|said| matches!(said, Said::Completion(_)));
        assert_eq!(
            completed.count(),
            50,
            "they complete before the disconnection is told"
        );
        let mut second = broker.accept(false);
        device.publish("a", b"next");
        assert_eq!(
            second.expect_publish().payload,
            b"next",
            "nothing is sent again"
        );
    }
}

#[test]
fn a_peer_that_closes_only_its_half_has_closed() {
    let broker = Broker::listen();
    let device = Device::start(&config(broker.address()));
    let first = broker.accept(false);
    first.0.shutdown(Shutdown::Write).unwrap();
    let error = device.event(EventKind::Disconnected, 1).error.unwrap();
    assert_eq!(error.kind(), ErrorKind::ClosedByPeer);
    broker.accept(false);
}

#[test]
fn the_half_close_of_a_middlebox_in_the_middle_of_a_packet_is_an_end() {
    let broker = Broker::listen();
    let plan = Plan {
        down: Toxics::limit(100, Ending::HalfClose),
        ..Plan::default()
    };
    let proxy = Proxy::first(broker.address(), plan);
    let device = Device::start(&config(proxy.address()));
    let mut first = broker.accept(false);
    first.send(&publish("a", &[7; 300], 1, 1));
    let error = device.event(EventKind::Disconnected, 1).error.unwrap();
    assert_eq!(error.kind(), ErrorKind::ClosedByPeer);
    let _second = broker.accept(false);
    device.event(EventKind::Connected, 2);
    assert_eq!(
        device.client.counter(Counter::MessagesReceived),
        0,
        "half a message is none"
    );
}

#[test]
fn an_answer_that_trickles_fails_the_attempt_at_its_deadline() {
    let broker = Broker::listen();
    let identity = Identity::verbatim("device", "user", "password").unwrap();
    let mut endpoint = Endpoint::host("127.0.0.1", broker.address().port()).unwrap();
    endpoint.set_dangerous_plaintext();
    endpoint
        .set_connect_timeout(Duration::from_millis(500))
        .unwrap();
    let mut config = Config::new(&identity, &endpoint).unwrap();
    private(&mut config);
    let device = Device::start(&config);
    let mut connection = broker.accept_tcp();
    connection.expect(CONNECT);
    for byte in [0x20, 2, 0] {
        connection.send(&[byte]);
    }
    let error = device.event(EventKind::ConnectFailed, 1).error.unwrap();
    assert_eq!(error.kind(), ErrorKind::ConnectTimeout, "{error}");
    // The setting that ended it, and no default.
    assert!(error.to_string().contains("within 500 ms"), "{error}");
}

#[test]
fn a_conversation_byte_by_byte_is_the_same_conversation() {
    let mosquitto = Mosquitto::start("byte-by-byte");
    let proxy = Proxy::start(mosquitto.tcp, |_| Plan {
        up: Toxics::slices(1),
        down: Toxics::slices(1),
        cut: None,
    });
    let device = Device::start(&quick("bytes", proxy.address().port()));
    device.subscribe("echo/#", Qos::AtLeastOnce);
    let mut expected = Vec::new();
    for size in [0, 1, 127, 128, 300, 20_000] {
        let payload = vec![7; size];
        device.publish(&format!("echo/{size}"), &payload);
        expected.push(payload);
    }
    device.client.wait_flushed(PATIENCE).unwrap();
    let messages = device.messages(expected.len());
    let got: Vec<_> = messages
        .into_iter()
        .map(|(_, message)| message.payload)
        .collect();
    assert!(got == expected, "payloads differ");
}

#[test]
fn every_inbound_packet_split_at_every_byte_means_the_same() {
    let broker = Broker::listen();
    let mut config = config(broker.address());
    config.set_clean_session(false);
    let device = Device::start(&config);
    let mut connection = broker.accept(false);
    device.client.wait_connected(PATIENCE).unwrap();
    // What comes in front of the first half, in the same segment, is answered when both have been
    // read: only then does the second half follow, so that it is read apart.
    let fence = publish("fence", b"", 1, 9);
    let packets = [
        publish("a/b", b"zero", 0, 0),
        publish("a/b", b"", 0, 0),
        publish("a/b", &[1; 130], 0, 0),
        publish("a/b", b"one", 1, 7),
        vec![0xD0, 0],
        vec![0x40, 2, 0x30, 0x39],
        vec![0x90, 3, 0x30, 0x39, 1],
        vec![0xB0, 2, 0x30, 0x39],
    ];
    let (mut expected, mut splits) = (0, 3);
    for packet in &packets {
        for at in 1..packet.len() {
            splits += 1;
            connection.send(&[&fence, &packet[..at]].concat());
            assert_eq!(connection.expect(PUBACK).id(), 9);
            connection.send(&packet[at..]);
            if packet[0] == 0x32 {
                assert_eq!(connection.expect(PUBACK).id(), 7);
            }
            expected += 1 + usize::from(packet[0] >> 4 == PUBLISH);
        }
    }
    let messages = device.messages(expected);
    assert_eq!(messages.len(), expected);
    ran(
        "every_inbound_packet_split_at_every_byte_means_the_same",
        splits,
    );
    // And a CONNACK, on connections of its own.
    for at in 1..4 {
        connection.hang_up();
        connection = broker.accept_tcp();
        connection.expect(CONNECT);
        let connack = [0x20, 2, 1, 0];
        connection.send(&connack[..at]);
        std::thread::yield_now();
        connection.send(&connack[at..]);
        device.event(EventKind::Connected, at + 1);
    }
}

#[test]
fn a_thousand_packets_in_one_segment_arrive_in_order() {
    let broker = Broker::listen();
    let device = Device::start(&config(broker.address()));
    let mut connection = broker.accept(false);
    device.client.wait_connected(PATIENCE).unwrap();
    let batch: Vec<u8> = (0..1000_u16)
        .flat_map(|n| publish("a", &n.to_be_bytes(), 0, 0))
        .collect();
    connection.send(&batch);
    for (n, (_, message)) in device.messages(1000).into_iter().enumerate() {
        assert_eq!(message.payload, (n as u16).to_be_bytes());
    }
}

#[test]
fn latency_and_jitter_delay_and_do_nothing_else() {
    let mosquitto = Mosquitto::start("latency");
    let mut draw = Draw::new(3);
    let proxy = Proxy::start(mosquitto.tcp, move |_| {
        let mut toxics = || Toxics {
            latency: Duration::from_millis(50 + draw.below(200)),
            ..Toxics::default()
        };
        Plan {
            up: toxics(),
            down: toxics(),
            cut: None,
        }
    });
    let device = Device::connect(&config(proxy.address()));
    device.subscribe("echo", Qos::AtLeastOnce);
    let tokens: Vec<_> = (0..200_u8).map(|n| device.publish("echo", &[n])).collect();
    for token in tokens {
        assert_eq!(device.completion(token), Ok(None));
    }
    device.messages(200);
    assert_eq!(proxy.accepted(), 1, "one connection is enough");
}

#[test]
fn a_server_that_accepts_and_drops_meets_growing_delays() {
    let broker = Broker::listen();
    let mut config = config(broker.address());
    let hour = Duration::from_secs(3600);
    config
        .set_reconnect(Duration::from_millis(4), hour)
        .unwrap();
    // Three such ends in a row look like a rival with the same identity; this one fights.
    config.set_take_over_policy(aliot::TakeOverPolicy::Fight);
    let device = Device::start(&config);
    let mut least = Duration::from_millis(2);
    for n in 1..=8 {
        broker.accept(false).hang_up();
        let delay = device.event(EventKind::Disconnected, n).retry_in.unwrap();
        assert!((least..=2 * least).contains(&delay), "delay {n}: {delay:?}");
        least *= 2;
    }
}

#[test]
fn a_connection_that_held_starts_the_delays_over() {
    let broker = Broker::listen();
    let mut config = config(broker.address());
    let hour = Duration::from_secs(3600);
    config
        .set_reconnect(Duration::from_millis(4), hour)
        .unwrap();
    config.set_stable_after(Duration::ZERO).unwrap();
    let device = Device::start(&config);
    for n in 1..=5 {
        broker.accept(false).hang_up();
        let delay = device.event(EventKind::Disconnected, n).retry_in.unwrap();
        assert!(delay <= Duration::from_millis(4), "delay {n}: {delay:?}");
    }
}

/// What the broker gives to a client of its own is what arrived. The broker forgets that client's
/// subscription with each restart, so the device gets through to it only when it has it again.
#[test]
fn a_broker_that_restarts_again_and_again_gets_everything() {
    let mut mosquitto = Mosquitto::start("restarts");
    let (restarts, each) = if is_long() { (200, 100) } else { (5, 50) };
    let seen = Seen::shared();
    let collector = collector(&mosquitto, &seen);
    let listens = Arc::new(AtomicBool::new(true));
    let proxy = Proxy::start(mosquitto.tcp, {
        let listens = Arc::clone(&listens);
        move |_| match listens.load(Ordering::SeqCst) {
            true => Plan::default(),
            false => Plan {
                up: Toxics::limit(0, Ending::Reset),
                ..Plan::default()
            },
        }
    });
    let mut config = quick("restarts", proxy.address().port());
    let (least, most) = (Duration::from_millis(50), Duration::from_secs(1));
    config.set_reconnect(least, most).unwrap();
    let began = Instant::now();
    let device = Device::start(&config);
    let mut tokens = Vec::new();
    let mut probes = 0;
    for n in 0..restarts {
        for _ in 0..each {
            device.client.wait_room(PATIENCE).unwrap();
            let payload = tokens.len().to_string();
            tokens.push(device.publish("chaos/0", payload.as_bytes()));
        }
        listens.store(false, Ordering::SeqCst);
        mosquitto.restart();
        let deadline = Instant::now() + PATIENCE;
        let first = probes;
        while seen.lock().unwrap().arrived(1, first) == 0 {
            assert!(Instant::now() < deadline, "the collector hears nothing");
            let _ = collector.publish(
                "chaos/1",
                probes.to_string().as_bytes(),
                Qos::AtMostOnce,
                false,
            );
            probes += 1;
            std::thread::sleep(Duration::from_millis(5));
        }
        listens.store(true, Ordering::SeqCst);
        device.event(EventKind::Connected, n + 1);
    }
    recovers(&device, &tokens);
    eventually("everything has arrived", || {
        seen.lock().unwrap().arrived(0, 0) == tokens.len()
    });
    // No connection held for as long as would start the delays over: each is at least half of what
    // it doubles to, so that so many fit into the time.
    let attempts = device.client.counter(Counter::Attempts);
    let fit = 6.0 + began.elapsed().as_secs_f64() / (most / 2).as_secs_f64();
    eprintln!(
        "measured: {restarts} restarts: {} of {} messages arrived, {attempts} attempts in {:.1?}",
        tokens.len(),
        tokens.len(),
        began.elapsed()
    );
    assert!(attempts as f64 <= fit, "{attempts} attempts, {fit} fit");
    assert_eq!(attempts, proxy.accepted() as u64);
    ran(
        "a_broker_that_restarts_again_and_again_gets_everything",
        restarts,
    );
}

#[test]
fn a_platform_on_ipv6_alone_is_reached() {
    let Ok(listener) = TcpListener::bind("[::1]:0") else {
        let _ = writeln!(
            std::io::stderr(),
            "skipped: a_platform_on_ipv6_alone_is_reached: no IPv6 loopback address"
        );
        return;
    };
    let device = Device::start(&config(listener.local_addr().unwrap()));
    let (stream, _) = listener.accept().unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut connection = Connection(stream);
    connection.expect(CONNECT);
    connection.send(&[0x20, 2, 0, 0]);
    device.event(EventKind::Connected, 1);
}

#[test]
fn a_message_does_not_wait_for_the_tcp_acknowledgement_of_the_one_before() {
    let broker = Broker::listen();
    let device = Device::start(&config(broker.address()));
    let mut connection = broker.accept(false);
    device.client.wait_connected(PATIENCE).unwrap();
    let mut replies = 0;
    // A peer that answers each second message acknowledges the first 40 ms late. With Nagle's
    // algorithm the second would wait for that: a second in all. The best of five rounds, for the
    // machine may be busy.
    let best = (0..5).map(|_| {
        let since = Instant::now();
        for _ in 0..25 {
            for half in [b"1", b"2"] {
                let qos = Qos::AtMostOnce;
                device.client.publish("a", half, qos, false).unwrap();
                assert_eq!(connection.expect_publish().payload, half);
            }
            connection.send(&publish("down", b"", 0, 0));
            replies += 1;
            device.messages(replies);
        }
        since.elapsed()
    });
    let best = best.min().unwrap();
    eprintln!("measured: 25 times two messages and an answer: {best:.1?}");
    assert!(best < Duration::from_millis(500), "{best:?}");
}
