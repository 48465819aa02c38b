//! Scenarios that other clients of MQTT are tested with and that the modules beside do not have:
//! `tests/README.md` says which is which.

use std::io::Read;
use std::sync::Arc;
use std::time::{Duration, Instant};

use aliot::{
    Client, Config, Counter, Dispatch, Endpoint, ErrorKind, EventKind, Identity, Qos, Runtime,
    Stage, State,
};

use crate::support::broker::{
    Broker, CONNECT, DISCONNECT, PINGREQ, PUBACK, PUBLISH, SUBSCRIBE, UNSUBSCRIBE, publish,
};
use crate::support::device::{Device, Said, config, private};
use crate::support::mosquitto::Mosquitto;
use crate::support::{PATIENCE, eventually};

/// Kinds of the events so far.
fn kinds(device: &Device) -> Vec<EventKind> {
    let kind = |said: &Said| match said {
        Said::Event(event) => Some(event.kind),
        _ => None,
    };
    device.said().iter().filter_map(kind).collect()
}

fn completions(device: &Device) -> usize {
    let is_completion = |said: &&Said| matches!(said, Said::Completion(_));
    device.said().iter().filter(is_completion).count()
}

#[test]
fn an_idle_device_pings_again_and_again() {
    let broker = Broker::listen();
    let mut config = config(broker.address());
    config.set_keep_alive_s(1).unwrap();
    let device = Device::start(&config);
    let mut connection = broker.accept(false);
    for _ in 0..3 {
        let ping = connection.expect(PINGREQ);
        assert_eq!((ping.first, ping.body.len()), (0xC0, 0));
        connection.send(&[0xD0, 0]);
    }
    assert_eq!(device.client.state(), State::Connected);
}

#[test]
fn a_peer_that_answers_no_ping_is_given_up_and_dialled_again() {
    let broker = Broker::listen();
    let mut config = config(broker.address());
    config.set_keep_alive_s(1).unwrap();
    config.set_ping_timeout(Duration::from_millis(100)).unwrap();
    let device = Device::start(&config);
    let mut connection = broker.accept(false);
    connection.expect(PINGREQ);
    connection.expect_end();
    let error = device.event(EventKind::Disconnected, 1).error.unwrap();
    assert_eq!(error.kind(), ErrorKind::KeepAliveTimeout);
    assert!(error.to_string().contains("PINGRESP"), "{error}");
    let _next = broker.accept(false);
    device.event(EventKind::Connected, 2);
}

#[test]
fn an_acknowledgement_that_is_withheld_ends_the_link_and_not_the_operation() {
    let broker = Broker::listen();
    let mut config = config(broker.address());
    config.set_ack_timeout(Duration::from_secs(2)).unwrap();
    let device = Device::start(&config);
    let mut connection = broker.accept(false);
    let token = device.publish("a", b"x");
    connection.expect_publish();
    // No second copy on the same connection.
    let mut rest = Vec::new();
    connection.0.read_to_end(&mut rest).unwrap();
    assert!(rest.is_empty());
    let error = device.event(EventKind::Disconnected, 1).error.unwrap();
    assert_eq!(error.kind(), ErrorKind::KeepAliveTimeout);
    assert!(error.to_string().contains("acknowledged"), "{error}");
    let mut connection = broker.accept(false);
    let id = connection.expect_publish().id;
    connection.puback(id);
    assert_eq!(device.completion(token), Ok(None));
}

#[test]
fn odd_characters_in_user_name_and_password_arrive_byte_for_byte() {
    let broker = Broker::listen();
    let (username, password) = ("uname;'[08gn=#", ";'[08gn=#\n\t\u{1}é😀");
    let identity = Identity::verbatim("id;'[#", username, password).unwrap();
    let mut endpoint = Endpoint::host("127.0.0.1", broker.address().port()).unwrap();
    endpoint.set_dangerous_plaintext();
    let _device = Device::start(&Config::new(&identity, &endpoint).unwrap());
    let connect = broker.accept_tcp().expect(CONNECT);
    let mut expected = b"\x00\x04MQTT\x04\xC2\x01\x2C".to_vec();
    for field in ["id;'[#", username, password] {
        expected.extend_from_slice(&(field.len() as u16).to_be_bytes());
        expected.extend_from_slice(field.as_bytes());
    }
    assert_eq!(connect.body, expected);
}

#[test]
fn unsubscriptions_that_wait_together_leave_together_and_in_order() {
    let broker = Broker::listen();
    let device = Device::new(&config(broker.address()));
    let filters = ["one", "two/+", "three/#"];
    let tokens = filters.map(|filter| device.client.unsubscribe(filter).unwrap());
    device.client.start().unwrap();
    let mut connection = broker.accept(false);
    let packet = connection.expect(UNSUBSCRIBE);
    assert_eq!(
        packet.body[2..],
        *b"\x00\x03one\x00\x05two/+\x00\x07three/#"
    );
    connection.unsuback(packet.id());
    for token in tokens {
        assert_eq!(device.completion(token), Ok(None));
    }
}

#[test]
fn an_empty_qos_0_message_leaves_before_the_goodbye() {
    let broker = Broker::listen();
    let device = Device::start(&config(broker.address()));
    let mut connection = broker.accept(false);
    device.client.wait_connected(PATIENCE).unwrap();
    device
        .client
        .publish("a", b"", Qos::AtMostOnce, false)
        .unwrap();
    device.client.stop(PATIENCE).unwrap();
    assert_eq!(connection.expect(PUBLISH).body, b"\x00\x01a");
    connection.expect(DISCONNECT);
    assert_eq!(connection.next(), None);
}

/// Answers the first message with another one, from inside its callback.
fn answer_inside_the_callback(client: &Arc<Client>) {
    let inner = Arc::downgrade(client);
    client
        .subscribe("ask", Qos::AtMostOnce, || {
            Box::new(move |message| {
                if let Some(client) = inner.upgrade() {
                    client
                        .publish("answer", message.payload, Qos::AtLeastOnce, true)
                        .unwrap();
                }
            })
        })
        .unwrap();
    client.start().unwrap();
}

#[test]
fn publishing_inside_a_callback_works_on_both_kinds_of_runtime() {
    for dispatch in [Dispatch::Thread, Dispatch::Poll] {
        let broker = Broker::listen();
        let runtime = Runtime::new(dispatch).unwrap();
        let client = Client::on_runtime(&config(broker.address()), &runtime).unwrap();
        let client = Arc::new(client);
        answer_inside_the_callback(&client);
        let mut connection = broker.accept(false);
        let id = connection.expect(SUBSCRIBE).id();
        connection.suback(id, &[0]);
        connection.send(&publish("ask", b"what?", 0, 0));
        let broker_side = std::thread::spawn(move || {
            let answer = connection.expect_publish();
            connection.puback(answer.id);
            answer
        });
        let deadline = Instant::now() + PATIENCE;
        while !broker_side.is_finished() {
            assert!(Instant::now() < deadline, "{dispatch:?}: no answer came");
            match dispatch {
                Dispatch::Poll => drop(runtime.poll(Duration::from_millis(10)).unwrap()),
                Dispatch::Thread => std::thread::yield_now(),
            }
        }
        let answer = broker_side.join().unwrap();
        assert_eq!(
            (answer.topic.as_str(), answer.payload.as_slice()),
            ("answer", &b"what?"[..])
        );
    }
}

#[test]
fn both_names_of_a_certificate_are_accepted() {
    let broker = Mosquitto::start("both-names");
    for host in ["localhost", "127.0.0.1"] {
        let identity = Identity::verbatim("both names", "user", "password").unwrap();
        let mut endpoint = Endpoint::host(host, broker.tls.port()).unwrap();
        endpoint.set_ca_pem(broker.ca_pem.as_bytes()).unwrap();
        let mut config = Config::new(&identity, &endpoint).unwrap();
        private(&mut config);
        Device::connect(&config);
    }
}

#[test]
fn a_silent_peer_is_tried_again_and_again_each_time_for_as_long_as_was_set() {
    let broker = Broker::listen();
    let mut endpoint = Endpoint::host("127.0.0.1", broker.address().port()).unwrap();
    endpoint.set_dangerous_plaintext();
    let timeout = Duration::from_millis(500);
    endpoint.set_connect_timeout(timeout).unwrap();
    let identity = Identity::verbatim("device", "user", "password").unwrap();
    let mut config = Config::new(&identity, &endpoint).unwrap();
    private(&mut config);
    let begun = Instant::now();
    let device = Device::start(&config);
    for n in 1..=2 {
        let mut silent = broker.accept_tcp();
        silent.expect_end();
        let error = device.event(EventKind::ConnectFailed, n).error.unwrap();
        let got = (error.kind(), error.stage());
        assert_eq!(got, (ErrorKind::ConnectTimeout, Stage::Mqtt));
        assert!(
            begun.elapsed() >= timeout * n as u32,
            "attempt {n} was given up too soon"
        );
    }
}

#[test]
fn each_connection_that_ends_is_told_once_and_nothing_after_destroy() {
    let broker = Broker::listen();
    let device = Device::start(&config(broker.address()));
    for n in 1..=5 {
        let connection = broker.accept(false);
        device.event(EventKind::Connected, n);
        if n % 2 == 0 {
            connection.reset();
        } else {
            connection.hang_up();
        }
        let event = device.event(EventKind::Disconnected, n);
        let expected = if n % 2 == 0 {
            ErrorKind::Network
        } else {
            ErrorKind::ClosedByPeer
        };
        assert_eq!(event.error.unwrap().kind(), expected);
    }
    let _connection = broker.accept(false);
    device.event(EventKind::Connected, 6);
    device.client.destroy();
    let told = kinds(&device);
    let ended = told.iter().filter(|&&kind| kind == EventKind::Disconnected);
    assert!((5..=6).contains(&ended.count()), "{told:?}");
    for pair in told.windows(2) {
        let follows = match pair[0] {
            EventKind::Connecting => &[EventKind::Connected, EventKind::ConnectFailed][..],
            EventKind::Connected => &[EventKind::Disconnected],
            EventKind::Disconnected => &[EventKind::Connecting, EventKind::Stopped],
            _ => panic!("{told:?}"),
        };
        assert!(follows.contains(&pair[1]), "{told:?}");
    }
    eventually("the broker is left", || {
        !broker.is_called_within(Duration::from_millis(20))
    });
    assert_eq!(kinds(&device), told, "something came after destroy");
}

#[test]
fn what_is_published_during_an_outage_arrives_in_order_after_it() {
    let broker = Broker::listen();
    let mut config = config(broker.address());
    let hour = Duration::from_secs(3600);
    config.set_reconnect(hour, hour).unwrap();
    let device = Device::start(&config);
    broker.accept(false).hang_up();
    device.event(EventKind::Disconnected, 1);
    for n in 0..100_u8 {
        device.publish("a", &[n]);
        device
            .client
            .publish("zero", &[n], Qos::AtMostOnce, false)
            .unwrap();
    }
    device.client.retry_now().unwrap();
    let mut connection = broker.accept(false);
    let mut got = [Vec::new(), Vec::new()];
    while got[0].len() + got[1].len() < 200 {
        let message = connection.expect_publish();
        got[usize::from(message.qos)].push(message.payload[0]);
        if message.qos == 1 {
            connection.puback(message.id);
        }
    }
    let expected: Vec<u8> = (0..100).collect();
    assert_eq!(got, [expected.clone(), expected]);
    device.client.wait_flushed(PATIENCE).unwrap();
}

#[test]
fn a_peer_that_does_not_read_never_blocks_a_call_and_loses_nothing() {
    let broker = Broker::listen();
    let device = Device::start(&config(broker.address()));
    let mut connection = broker.accept(false);
    device.client.wait_connected(PATIENCE).unwrap();
    let payload = vec![7; 100_000];
    let mut accepted = 0;
    // Sockets take some megabytes, the outbox four: then it is full, and says so.
    let longest = loop {
        let begun = Instant::now();
        match device.client.publish("a", &payload, Qos::AtMostOnce, false) {
            Ok(_) => accepted += 1,
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::OutboxFull);
                break begun.elapsed();
            }
        }
        assert!(begun.elapsed() < PATIENCE / 4, "a call was blocked");
        assert!(accepted < 10_000, "the outbox has no limit");
    };
    assert!(longest < PATIENCE / 4, "the refusal was blocked");
    for n in 0..accepted {
        assert_eq!(connection.expect_publish().payload, payload, "message {n}");
    }
    device.client.wait_flushed(PATIENCE).unwrap();
}

#[test]
fn a_client_destroyed_between_two_attempts_completes_everything_once() {
    let broker = Broker::listen();
    let mut config = config(broker.address());
    let hour = Duration::from_secs(3600);
    config.set_reconnect(hour, hour).unwrap();
    let device = Device::start(&config);
    let mut connection = broker.accept(false);
    let sent = device.publish("a", b"sent");
    connection.expect_publish();
    connection.hang_up();
    device.event(EventKind::Disconnected, 1);
    let tokens = [
        sent,
        device.publish("a", b"queued"),
        device.subscribe("a", Qos::AtMostOnce),
        device.client.unsubscribe("b").unwrap(),
        device
            .client
            .publish("a", b"", Qos::AtMostOnce, true)
            .unwrap()
            .unwrap(),
    ];
    let begun = Instant::now();
    device.client.destroy();
    assert!(
        begun.elapsed() < PATIENCE / 4,
        "destroy waits for the next attempt"
    );
    for token in tokens {
        let error = device.completion(token).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Cancelled);
    }
    assert_eq!(completions(&device), tokens.len());
}

#[test]
fn clients_that_come_and_go_while_connecting_leave_nothing_behind() {
    let broker = Broker::listen();
    let config = config(broker.address());
    for _ in 0..100 {
        let device = Device::start(&config);
        let token = device.publish("a", b"x");
        device.client.destroy();
        let error = device.completion(token).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Cancelled);
        assert_eq!(completions(&device), 1);
    }
}

/// On the platform's own profile.
fn platform_config(broker: &Broker, name: &str) -> Config {
    let identity = Identity::verbatim(name, "user", "password").unwrap();
    let mut endpoint = Endpoint::host("127.0.0.1", broker.address().port()).unwrap();
    endpoint.set_dangerous_plaintext();
    Config::new(&identity, &endpoint).unwrap()
}

#[test]
fn a_payload_of_256_kib_is_the_largest_on_the_platform_in_both_directions() {
    const MOST: usize = 256 * 1024;
    let broker = Broker::listen();
    let device = Device::start(&platform_config(&broker, "largest"));
    let mut connection = broker.accept(false);
    let topic = "t".repeat(128);
    for len in [MOST - 1, MOST] {
        let payload = vec![9; len];
        device.publish(&topic, &payload);
        let sent = connection.expect_publish();
        assert!(sent.payload == payload, "{len} bytes differ");
        connection.puback(sent.id);
        connection.send(&publish(&topic, &payload, 1, 5));
        connection.expect(PUBACK);
    }
    let refused = device
        .client
        .publish(&topic, &vec![9; MOST + 1], Qos::AtLeastOnce, true);
    assert_eq!(refused.unwrap_err().kind(), ErrorKind::InvalidArgument);
    let messages = device.messages(2);
    assert_eq!(messages[1].1.payload.len(), MOST);
    // Beyond the longest topic, the longest payload and a header, the header alone is refused.
    let announced = MOST + 200;
    connection.send(&[
        0x30,
        (announced & 0x7F) as u8 | 0x80,
        (announced >> 7 & 0x7F) as u8 | 0x80,
        (announced >> 14) as u8,
    ]);
    connection.expect_end();
    let event = device.event(EventKind::Disconnected, 1);
    assert_eq!(event.error.unwrap().kind(), ErrorKind::Protocol);
    assert!(
        event.text.contains("bytes arrived: at most"),
        "{}",
        event.text
    );
}

#[test]
fn what_arrives_is_acknowledged_while_the_window_is_full() {
    let broker = Broker::listen();
    let mut config = config(broker.address());
    config.set_window(2).unwrap();
    let device = Device::start(&config);
    let mut connection = broker.accept(false);
    for n in 0..100 {
        device.publish("up", &[n]);
    }
    let first = [
        connection.expect_publish().id,
        connection.expect_publish().id,
    ];
    for id in 1..=50 {
        connection.send(&publish("down", b"x", 1, id));
        assert_eq!(connection.expect(PUBACK).id(), id);
    }
    for id in first {
        connection.puback(id);
    }
    for _ in 2..100 {
        let id = connection.expect_publish().id;
        connection.puback(id);
    }
    device.client.wait_flushed(PATIENCE).unwrap();
}

#[test]
fn ten_clients_of_one_process_do_not_disturb_each_other() {
    let mut sides = Vec::new();
    for _ in 0..10 {
        let broker = Broker::listen();
        let device = Device::start(&config(broker.address()));
        let connection = broker.accept(false);
        sides.push((broker, device, connection));
    }
    for (n, (_broker, device, connection)) in sides.iter_mut().enumerate() {
        let payload = [n as u8];
        let token = device.publish("a", &payload);
        let sent = connection.expect_publish();
        assert_eq!((sent.id, sent.payload.as_slice()), (1, &payload[..]));
        connection.puback(1);
        assert_eq!(device.completion(token), Ok(None));
        // Each ends in its own way; those that follow do not notice.
        match n % 3 {
            0 => connection.send(&[0xF0, 0]),
            1 => device.client.stop(Duration::ZERO).unwrap(),
            _ => device.client.destroy(),
        }
        connection.expect_end();
    }
    for (n, (_, device, _)) in sides.iter().enumerate() {
        assert_eq!(
            device.client.counter(Counter::MessagesSent),
            1,
            "client {n}"
        );
    }
}

#[test]
fn acknowledgements_in_any_order_stall_nothing() {
    let broker = Broker::listen();
    let mut config = config(broker.address());
    config.set_window(10).unwrap();
    let device = Device::start(&config);
    let mut connection = broker.accept(false);
    let tokens: Vec<_> = (0..100_u8).map(|n| device.publish("a", &[n])).collect();
    let mut next = 0;
    while next < 100 {
        let mut ids = Vec::new();
        for _ in 0..10 {
            let sent = connection.expect_publish();
            assert_eq!(sent.payload, [next]);
            next += 1;
            ids.push(sent.id);
        }
        // From the last to the first: the window moves with the oldest.
        for id in ids.into_iter().rev() {
            connection.puback(id);
        }
    }
    for token in tokens {
        assert_eq!(device.completion(token), Ok(None));
    }
}
