//! What leaves the device, and how its completions come.

use std::io::{Read, Write};
use std::time::{Duration, Instant};

use aliot::{ErrorKind, EventKind, OutboxPolicy, Qos};
use socket2::SockRef;

use crate::support::PATIENCE;
use crate::support::broker::{Broker, DISCONNECT, PUBLISH, Publish, publish};
use crate::support::device::{Device, Said, config};

#[test]
fn messages_of_both_qualities_arrive_byte_for_byte() {
    let broker = Broker::listen();
    let device = Device::start(&config(broker.address()));
    let mut connection = broker.accept(false);
    device.client.wait_connected(PATIENCE).unwrap();

    device
        .client
        .publish("a/b", b"zero", Qos::AtMostOnce, false)
        .unwrap();
    let packet = connection.expect(PUBLISH);
    assert_eq!(
        (packet.first, packet.body.as_slice()),
        (0x30, b"\x00\x03a/bzero".as_slice())
    );

    let token = device.publish("a/b", b"one");
    let packet = connection.expect(PUBLISH);
    assert_eq!(
        (packet.first, packet.body.as_slice()),
        (0x32, b"\x00\x03a/b\x00\x01one".as_slice())
    );
    connection.puback(1);
    assert_eq!(device.completion(token), Ok(None));
}

#[test]
fn a_qos_0_message_completes_only_for_those_who_ask() {
    let broker = Broker::listen();
    let device = Device::start(&config(broker.address()));
    let mut connection = broker.accept(false);
    let client = &device.client;
    assert_eq!(client.publish("a", b"", Qos::AtMostOnce, false), Ok(None));
    let token = client
        .publish("a", b"", Qos::AtMostOnce, true)
        .unwrap()
        .unwrap();
    assert_eq!(device.completion(token), Ok(None));
    for _ in 0..2 {
        connection.expect_publish();
    }
}

#[test]
fn what_is_published_before_the_first_connection_is_sent_in_order() {
    let broker = Broker::listen();
    let device = Device::new(&config(broker.address()));
    let tokens: Vec<_> = (0..250_u8).map(|n| device.publish("a", &[n])).collect();
    device.client.start().unwrap();
    let mut connection = broker.accept(false);
    for n in 0..250_u8 {
        let Publish {
            payload,
            id,
            duplicate,
            ..
        } = connection.expect_publish();
        assert_eq!((payload, duplicate), (vec![n], false));
        connection.puback(id);
    }
    for token in tokens {
        assert_eq!(device.completion(token), Ok(None));
    }
}

#[test]
fn no_more_than_the_window_is_unacknowledged() {
    let broker = Broker::listen();
    let mut config = config(broker.address());
    config.set_window(3).unwrap();
    let device = Device::start(&config);
    let mut connection = broker.accept(false);
    for n in 0..5 {
        device.publish("a", &[n]);
    }
    let ids: Vec<u16> = (0..3).map(|_| connection.expect_publish().id).collect();
    connection
        .0
        .set_read_timeout(Some(Duration::from_millis(50)))
        .unwrap();
    let mut byte = [0];
    let silence = connection.0.read(&mut byte);
    assert!(silence.is_err(), "a fourth message was sent");
    connection.0.set_read_timeout(Some(PATIENCE)).unwrap();
    // Out of order: the window moves with the oldest.
    connection.puback(ids[1]);
    connection.puback(ids[0]);
    for n in 3..5 {
        assert_eq!(connection.expect_publish().payload, [n]);
    }
}

#[test]
fn a_full_outbox_refuses_exactly_and_harms_nobody() {
    let broker = Broker::listen();
    let mut config = config(broker.address());
    config.set_payload_limit(1000).unwrap();
    config.set_topic_limit(100).unwrap();
    config.set_outbox_limit(10, 1 << 20).unwrap();
    let device = Device::new(&config);
    for n in 0..10 {
        device.publish("a", &[n]);
    }
    for qos in [Qos::AtMostOnce, Qos::AtLeastOnce] {
        let error = device.client.publish("a", b"x", qos, true).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::OutboxFull);
        assert!(error.to_string().contains("10 operations"), "{error}");
    }
    device.client.start().unwrap();
    let mut connection = broker.accept(false);
    for _ in 0..10 {
        let id = connection.expect_publish().id;
        connection.puback(id);
    }
    device.client.wait_flushed(PATIENCE).unwrap();
    device.publish("a", b"room again");
    assert_eq!(connection.expect_publish().payload, b"room again");
}

#[test]
fn an_oversize_message_is_refused_at_the_call_and_its_neighbours_go_out() {
    let broker = Broker::listen();
    let mut config = config(broker.address());
    config.set_payload_limit(1000).unwrap();
    let device = Device::start(&config);
    let mut connection = broker.accept(false);
    device.publish("a", &[1; 1000]);
    let error = device
        .client
        .publish("a", &[2; 1001], Qos::AtLeastOnce, true)
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidArgument);
    assert!(
        error.to_string().contains("1001") && error.to_string().contains("1000"),
        "{error}"
    );
    device.publish("a", b"after");
    assert_eq!(connection.expect_publish().payload, [1; 1000]);
    assert_eq!(connection.expect_publish().payload, b"after");
}

#[test]
fn acknowledgements_nobody_waits_for_are_tolerated() {
    let broker = Broker::listen();
    let device = Device::start(&config(broker.address()));
    let mut connection = broker.accept(false);
    connection.puback(13423);
    let token = device.publish("a", b"x");
    let id = connection.expect_publish().id;
    connection.puback(id);
    connection.puback(id);
    assert_eq!(device.completion(token), Ok(None));
    let second = device.publish("a", b"y");
    let id = connection.expect_publish().id;
    connection.puback(id);
    assert_eq!(device.completion(second), Ok(None));
}

#[test]
fn stopping_drains_what_was_accepted_and_takes_nothing_new() {
    let broker = Broker::listen();
    let device = Device::start(&config(broker.address()));
    let mut connection = broker.accept(false);
    let token = device.publish("a", b"last");
    let id = connection.expect_publish().id;
    device.client.stop(PATIENCE).unwrap();
    let error = device
        .client
        .publish("a", b"late", Qos::AtMostOnce, false)
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Closing);
    connection.puback(id);
    connection.expect(DISCONNECT);
    assert_eq!(device.completion(token), Ok(None));
    device.event(EventKind::Stopped, 1);
    // Stopped, it queues again.
    device.publish("a", b"for the next start");
}

#[test]
fn a_drain_that_runs_out_cancels_what_is_left() {
    let broker = Broker::listen();
    let device = Device::start(&config(broker.address()));
    let mut connection = broker.accept(false);
    let token = device.publish("a", b"never acknowledged");
    connection.expect_publish();
    device.client.stop(Duration::from_millis(50)).unwrap();
    assert_eq!(
        device.completion(token).unwrap_err().kind(),
        ErrorKind::Cancelled
    );
    connection.expect(DISCONNECT);
    connection.expect_end();
    device.event(EventKind::Stopped, 1);
    assert!(
        matches!(device.said().last(), Some(Said::Event(_))),
        "Stopped is the last"
    );
}

#[test]
fn many_threads_publish_and_every_message_arrives_once() {
    const THREADS: usize = 16;
    const EACH: usize = 200;
    let broker = Broker::listen();
    let mut config = config(broker.address());
    config
        .set_outbox_limit((THREADS * EACH) as u32, 8 << 20)
        .unwrap();
    let device = Device::start(&config);
    let mut connection = broker.accept(false);
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            let device = &device;
            scope.spawn(move || {
                for n in 0..EACH {
                    device.publish("a", format!("{thread} {n}").as_bytes());
                }
            });
        }
        let mut next = [0; THREADS];
        for _ in 0..THREADS * EACH {
            let publish = connection.expect_publish();
            let text = String::from_utf8(publish.payload).unwrap();
            let (thread, n) = text.split_once(' ').unwrap();
            let thread: usize = thread.parse().unwrap();
            assert_eq!(
                n.parse(),
                Ok(next[thread]),
                "each thread's messages keep their order"
            );
            next[thread] += 1;
            connection.puback(publish.id);
        }
    });
    device.client.wait_flushed(PATIENCE).unwrap();
}

#[test]
fn with_drop_oldest_the_newest_messages_stay_and_each_drop_completes() {
    let broker = Broker::listen();
    let mut config = config(broker.address());
    config.set_outbox_limit(10, 8 << 20).unwrap();
    config.set_outbox_policy(OutboxPolicy::DropOldest);
    let device = Device::new(&config);
    let tokens: Vec<_> = (0..15).map(|n| device.publish("a", &[n])).collect();
    for (n, token) in tokens.iter().enumerate().take(5) {
        let error = device.completion(*token).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Dropped, "message {n}");
    }
    device.client.start().unwrap();
    let mut connection = broker.accept(false);
    for n in 5..15 {
        let publish = connection.expect_publish();
        assert_eq!(publish.payload, [n]);
        connection.puback(publish.id);
    }
    device.client.wait_flushed(PATIENCE).unwrap();
}

#[test]
fn dropped_messages_without_a_token_are_counted_and_reported() {
    let broker = Broker::listen();
    let mut config = config(broker.address());
    config.set_outbox_limit(10, 8 << 20).unwrap();
    config.set_outbox_policy(OutboxPolicy::DropOldest);
    let device = Device::new(&config);
    for n in 0..15 {
        device
            .client
            .publish("a", &[n], Qos::AtMostOnce, false)
            .unwrap();
    }
    device.wait("five dropped messages are reported", |said| {
        let dropped = said.iter().map(|said| match said {
            Said::Event(event) => event.dropped,
            _ => 0,
        });
        (dropped.sum::<u64>() == 5).then_some(())
    });
    device.client.start().unwrap();
    let mut connection = broker.accept(false);
    for n in 5..15 {
        assert_eq!(connection.expect_publish().payload, [n]);
    }
}

#[test]
fn a_message_expires_in_the_queue_and_under_way() {
    let broker = Broker::listen();
    let device = Device::new(&config(broker.address()));
    let lifetime = Duration::from_millis(30);
    let queued = device
        .client
        .publish_expiring("a", b"queued", lifetime)
        .unwrap()
        .unwrap();
    assert_eq!(
        device.completion(queued).unwrap_err().kind(),
        ErrorKind::Expired
    );
    device.client.start().unwrap();
    let mut connection = broker.accept(false);
    let sent = device
        .client
        .publish_expiring("a", b"sent", lifetime)
        .unwrap()
        .unwrap();
    let publish = connection.expect_publish();
    assert_eq!(publish.payload, b"sent", "the expired one never left");
    let error = device.completion(sent).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Expired);
    assert!(
        error.to_string().contains("may have been delivered"),
        "{error}"
    );
    // Its id is still taken, and its late acknowledgement harms nobody.
    let next = device.publish("a", b"next");
    let second = connection.expect_publish();
    assert_ne!(second.id, publish.id);
    connection.puback(publish.id);
    connection.puback(second.id);
    assert_eq!(device.completion(next), Ok(None));
}

#[test]
fn who_waits_for_room_can_publish_again() {
    let broker = Broker::listen();
    let mut config = config(broker.address());
    config.set_outbox_limit(10, 8 << 20).unwrap();
    let device = Device::start(&config);
    let mut connection = broker.accept(false);
    for n in 0..10 {
        device.publish("a", &[n]);
    }
    let client = &device.client;
    let error = client.wait_room(Duration::from_millis(20)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Timeout);
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| client.wait_room(PATIENCE));
        for _ in 0..5 {
            let id = connection.expect_publish().id;
            connection.puback(id);
        }
        waiting.join().unwrap().unwrap();
    });
    for n in 10..15 {
        device.publish("a", &[n]);
    }
}

/// Large messages are encoded outside of the lock and in memory that others have used before.
#[test]
fn large_messages_of_many_threads_arrive_whole_and_in_the_order_of_each() {
    const THREADS: u8 = 4;
    const EACH: u8 = 60;
    let len_of = |thread: u8, number: u8| {
        let kinds = [10, 16_383, 16_384, 20_000, 65_536, 140_000];
        kinds[usize::from(thread + number) % kinds.len()]
    };
    let broker = Broker::listen();
    let mut config = config(broker.address());
    config.set_outbox_limit(1000, 64 * 1024 * 1024).unwrap();
    let device = Device::start(&config);
    let mut connection = broker.accept(false);
    device.client.wait_connected(PATIENCE).unwrap();
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            let client = &device.client;
            scope.spawn(move || {
                // Whole threads of one quality: only within one is there an order.
                let qos = [Qos::AtMostOnce, Qos::AtLeastOnce][usize::from(thread % 2)];
                for number in 0..EACH {
                    let mut payload = vec![thread * 64 + number; len_of(thread, number)];
                    payload[0] = thread;
                    let topic = format!("from/{number}");
                    client.publish(&topic, &payload, qos, false).unwrap();
                }
            });
        }
        let mut next = [0; THREADS as usize];
        for _ in 0..usize::from(THREADS) * usize::from(EACH) {
            let got = connection.expect_publish();
            let thread = got.payload[0];
            let number = next[usize::from(thread)];
            next[usize::from(thread)] += 1;
            assert_eq!(got.topic, format!("from/{number}"), "thread {thread}");
            assert_eq!(got.payload.len(), len_of(thread, number));
            let expected = thread * 64 + number;
            assert!(got.payload[1..].iter().all(|&byte| byte == expected));
            if got.id > 0 {
                connection.puback(got.id);
            }
        }
    });
    device.client.wait_flushed(PATIENCE).unwrap();
}

/// A system that closes a connection with bytes unread resets it, and the peer loses what it has not read.
#[test]
fn what_was_sent_before_a_stop_arrives_at_a_peer_that_sends_and_reads_late() {
    const COUNT: usize = 60;
    let broker = Broker::listen();
    let device = Device::start(&config(broker.address()));
    for _ in 0..20 {
        let connection = broker.accept(false);
        // What the peer has not read is still the device's to send.
        let socket = SockRef::from(&connection.0);
        socket.set_recv_buffer_size(8192).unwrap();
        device.client.wait_connected(PATIENCE).unwrap();
        let mut flood = connection.0.try_clone().unwrap();
        let message = publish("down", b"x", 0, 0);
        let flood = std::thread::spawn(move || while flood.write_all(&message).is_ok() {});
        for _ in 0..COUNT {
            let payload = [7; 1000];
            let sent = device
                .client
                .publish("up", &payload, Qos::AtMostOnce, false);
            sent.unwrap();
        }
        let asked = Instant::now();
        device.client.stop(PATIENCE).unwrap();
        // The device has every reason to be gone by now.
        let _ = device.client.wait_stopped(Duration::from_millis(200));
        socket.set_recv_buffer_size(1 << 20).unwrap();
        let expected = COUNT * publish("up", &[7; 1000], 0, 0).len() + 2;
        let mut arrived = Vec::new();
        let _ = (&connection.0)
            .take(expected as u64)
            .read_to_end(&mut arrived);
        let took = asked.elapsed();
        connection.hang_up();
        device.client.wait_stopped(PATIENCE).unwrap();
        flood.join().unwrap();
        if arrived.len() == expected {
            assert_eq!(arrived[expected - 2..], [0xE0, 0], "DISCONNECT");
            return;
        }
        // It waits two seconds for its peer. Where that took longer, nothing was shown.
        assert!(took > Duration::from_millis(1500), "{}", arrived.len());
        device.client.start().unwrap();
    }
    panic!("this machine is too slow for a goodbye");
}
