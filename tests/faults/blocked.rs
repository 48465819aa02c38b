//! A peer that does not read, reads slowly, or sends more than anybody wants.

use std::cell::Cell;
use std::io::Write;
use std::sync::atomic::Ordering::SeqCst;
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use aliot::{Client, Counter, ErrorKind, EventKind, MessageHandler, Qos};

use crate::alone::{Usage, library_cpu, run_alone};
use crate::chaos::quick;
use crate::proxy::{Plan, Proxy, Toxics};
use crate::ran::is_long;
use crate::support::broker::{Broker, Connection, PUBLISH, SUBSCRIBE, publish};
use crate::support::device::{Device, Said, config};
use crate::support::{PATIENCE, eventually};

const PAYLOAD: usize = 8 * 1024;

/// Publishes until the system and the outbox are full. Returns how many messages were taken.
pub(crate) fn fill(client: &Client) -> u32 {
    let mut taken = 0_u32;
    let mut refused = 0;
    // The driver still moves bytes into the system while this goes on: full is what stays full.
    while refused < 20 {
        let payload = [taken.to_be_bytes().as_slice(), &[7; PAYLOAD]].concat();
        match client.publish("up", &payload, Qos::AtMostOnce, false) {
            Ok(_) => (taken, refused) = (taken + 1, 0),
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::OutboxFull, "{error}");
                refused += 1;
                std::thread::sleep(Duration::from_millis(5));
            }
        }
        assert!(taken < 100_000, "nothing ever filled");
    }
    taken
}

#[test]
fn publish_never_blocks_and_reading_goes_on_while_the_peer_does_not_read() {
    let broker = Broker::listen();
    let device = Device::start(&config(broker.address()));
    let mut connection = broker.accept(false);
    device.client.wait_connected(PATIENCE).unwrap();
    let (sender, receiver) = mpsc::channel();
    let filled = std::thread::scope(|scope| {
        scope.spawn(|| sender.send(fill(&device.client)).unwrap());
        receiver.recv_timeout(PATIENCE).expect("publish blocks")
    });
    let error = device
        .client
        .publish("up", &[0; PAYLOAD], Qos::AtLeastOnce, true)
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::OutboxFull);
    // Writing is blocked; what the peer says is heard all the same.
    for n in 0..10 {
        connection.send(&publish("down", &[n], 0, 0));
    }
    let messages = device.messages(10);
    assert_eq!(messages[9].1.payload, [9]);
    // And nothing of what was accepted is missing once it reads again.
    for n in 0..filled {
        let publish = connection.expect_publish();
        assert_eq!(publish.payload[..4], n.to_be_bytes(), "in order");
        assert_eq!(publish.payload.len(), PAYLOAD + 4);
    }
    device.client.wait_flushed(PATIENCE).unwrap();
}

#[test]
fn memory_is_bounded_and_no_processor_time_is_burnt_while_the_peer_does_not_read() {
    let test =
        "blocked::memory_is_bounded_and_no_processor_time_is_burnt_while_the_peer_does_not_read";
    run_alone(test, "window", || {
        let broker = Broker::listen();
        let device = Device::start(&config(broker.address()));
        let _connection = broker.accept(false);
        device.client.wait_connected(PATIENCE).unwrap();
        let before = Usage::now();
        let filled = fill(&device.client);
        let after = Usage::now();
        let cpu = library_cpu();
        let second = Duration::from_secs(1);
        std::thread::sleep(second); // the interval that is measured
        let burnt = library_cpu() - cpu;
        eprintln!(
            "measured: a peer that does not read: {filled} messages of {PAYLOAD} bytes taken, RSS \
             {} to {} KiB, {burnt:?} of processor time in 1 s",
            before.rss_kib, after.rss_kib
        );
        // 4 MiB of outbox, and 2 MiB for everything else.
        assert!(
            after.rss_kib < before.rss_kib + 6 * 1024,
            "{before:?}, {after:?}"
        );
        assert!(burnt < second / 5, "{burnt:?}");
    });
}

#[test]
fn saying_goodbye_to_a_peer_that_does_not_read_burns_no_processor_time() {
    let test = "blocked::saying_goodbye_to_a_peer_that_does_not_read_burns_no_processor_time";
    run_alone(test, "goodbye", || {
        let broker = Broker::listen();
        // Its deadlines pass during the goodbye.
        let device = Device::start(&quick("goodbye", broker.address().port()));
        let _connection = broker.accept(false);
        device.client.wait_connected(PATIENCE).unwrap();
        device.publish("a", b"owed");
        fill(&device.client);
        let (cpu, since) = (library_cpu(), Instant::now());
        device.client.stop(Duration::ZERO).unwrap();
        device.event(EventKind::Stopped, 1);
        let (burnt, took) = (library_cpu() - cpu, since.elapsed());
        eprintln!("measured: a blocked goodbye: {burnt:?} of processor time in {took:.1?}");
        assert!(burnt < Duration::from_millis(300), "{burnt:?} in {took:?}");
    });
}

#[test]
fn a_large_message_arrives_over_a_slow_link_and_pings_are_kept() {
    // The real one: 256 KiB at 20 KB/s. In the gate, the same in a sixteenth of the time.
    let (size, rate, keep_alive_s) = if is_long() {
        (256 * 1024, 20_000, 10)
    } else {
        (32 * 1024, 40_000, 1)
    };
    let count = 4;
    let broker = Broker::listen();
    let slow = Plan {
        up: Toxics {
            bytes_per_second: Some(rate),
            ..Toxics::default()
        },
        ..Plan::default()
    };
    let proxy = Proxy::start(broker.address(), move |_| slow.clone());
    let mut config = config(proxy.address());
    config.set_keep_alive_s(keep_alive_s).unwrap();
    let device = Device::start(&config);
    let mut connection = broker.accept(false);
    let payload: Vec<u8> = (0..size).map(|n| (n % 251) as u8).collect();
    let tokens: Vec<_> = (0..count).map(|_| device.publish("a", &payload)).collect();
    let lost =
        |said: &Said| matches!(said, Said::Event(event) if event.kind == EventKind::Disconnected);
    let (mut pings, mut arrived) = (0, 0);
    connection.0.set_read_timeout(Some(PATIENCE * 4)).unwrap();
    while arrived < count || pings == 0 {
        // What the device says of an end comes sooner than half a packet makes the broker fail.
        let _ = connection.0.peek(&mut [0]);
        assert!(!device.said().iter().any(lost), "{:#?}", device.said());
        let packet = connection.next().expect("a false disconnection");
        if packet.kind() == PUBLISH {
            let publish = packet.publish();
            assert!(publish.payload == payload, "the payload is damaged");
            connection.puback(publish.id);
            arrived += 1;
        } else {
            assert_eq!(packet.first, 0xC0, "{packet:?}");
            connection.send(&[0xD0, 0]);
            pings += 1;
        }
    }
    for token in tokens {
        assert_eq!(device.completion(token), Ok(None));
    }
    assert!(!device.said().iter().any(lost), "{:#?}", device.said());
}

#[test]
fn a_message_that_takes_longer_to_leave_than_its_acknowledgement_may_take_arrives() {
    // 9 s to leave, 5 s to be acknowledged in; the system holds the last second of it.
    let broker = Broker::listen();
    let slow = Plan {
        up: Toxics {
            bytes_per_second: Some(160_000),
            ..Toxics::default()
        },
        ..Plan::default()
    };
    let proxy = Proxy::start(broker.address(), move |_| slow.clone());
    let mut config = config(proxy.address());
    config.set_ack_timeout(Duration::from_secs(5)).unwrap();
    let device = Device::start(&config);
    let mut connection = broker.accept(false);
    connection.0.set_read_timeout(Some(PATIENCE * 4)).unwrap();
    let token = device.publish("a", &[7; 1_400_000]);
    let id = connection.expect_publish().id;
    connection.puback(id);
    assert_eq!(device.completion(token), Ok(None));
    assert_eq!(proxy.accepted(), 1, "one connection is enough");
}

/// A client with so much room in its inbox, in messages and bytes, and its end in the broker. Its
/// callback does `work` for each message and counts it.
fn counting(
    broker: &Broker,
    inbox: (u32, usize),
    work: impl Fn() + Send + 'static,
) -> (Client, Connection, Arc<AtomicU64>) {
    let mut config = config(broker.address());
    config.set_payload_limit(1000).unwrap();
    config.set_topic_limit(100).unwrap();
    config.set_inbox_limit(inbox.0, inbox.1).unwrap();
    let client = Client::new(&config).unwrap();
    let delivered = Arc::new(AtomicU64::new(0));
    let counted = Arc::clone(&delivered);
    client
        .subscribe("down", Qos::AtMostOnce, move || -> MessageHandler {
            Box::new(move |_| {
                work();
                counted.fetch_add(1, SeqCst);
            })
        })
        .unwrap();
    client.start().unwrap();
    let mut connection = broker.accept(false);
    connection.expect(SUBSCRIBE);
    connection.suback(1, &[0]);
    client.wait_connected(PATIENCE).unwrap();
    (client, connection, delivered)
}

/// So many messages for its callback, a thousand at once.
fn flood(connection: &mut Connection, messages: u64) {
    let batch = publish("down", &[7; 500], 0, 0).repeat(1000);
    (0..messages / 1000).for_each(|_| connection.send(&batch));
}

#[test]
fn a_flood_of_messages_meets_slow_callbacks_in_bounded_memory_and_every_one_is_accounted_for() {
    let test = "blocked::a_flood_of_messages_meets_slow_callbacks_in_bounded_memory_and_every_one_is_accounted_for";
    run_alone(test, "flood", || {
        const FLOOD: u64 = 100_000;
        let broker = Broker::listen();
        let slow = || std::thread::sleep(Duration::from_millis(1));
        let (client, mut connection, delivered) = counting(&broker, (100, 1 << 20), slow);
        let before = Usage::now();
        flood(&mut connection, FLOOD);
        eventually("the flood has been read", || {
            client.counter(Counter::MessagesReceived) == FLOOD
        });
        let after = Usage::now();
        let all = |counter| client.counter(counter);
        eventually("each message was delivered or counted as dropped", || {
            delivered.load(SeqCst) + all(Counter::MessagesDropped) == FLOOD
        });
        eprintln!(
            "measured: a flood of {FLOOD}: {} dropped, RSS {} to {} KiB",
            all(Counter::MessagesDropped),
            before.rss_kib,
            after.rss_kib
        );
        // 1 MiB of inbox, and 3 MiB for buffers on the way.
        assert!(
            after.rss_kib < before.rss_kib + 4 * 1024,
            "{before:?}, {after:?}"
        );
    });
}

/// Rounds, because a machine that is busy elsewhere may hold up the callbacks for longer than reading
/// waits for them.
#[test]
fn a_flood_does_not_pile_up_before_callbacks_that_keep_pace() {
    const FLOOD: u64 = 20_000;
    let broker = Broker::listen();
    let quick = || {
        let begun = Instant::now();
        while begun.elapsed() < Duration::from_micros(5) {}
    };
    let room = (FLOOD as u32, 64 << 20);
    let (client, mut connection, delivered) = counting(&broker, room, quick);
    let mut most = Vec::new();
    for round in 1..=20 {
        std::thread::scope(|scope| {
            scope.spawn(|| flood(&mut connection, FLOOD));
            let highest = Cell::new(0);
            eventually("the flood has been delivered", || {
                highest.set(highest.get().max(client.counter(Counter::InboxBytes)));
                delivered.load(SeqCst) == round * FLOOD
            });
            most.push(highest.get());
        });
        if most.last().is_some_and(|&most| most < 2 << 20) {
            break;
        }
    }
    assert_eq!(client.counter(Counter::MessagesDropped), 0);
    assert!(
        most.iter().any(|&most| most < 2 << 20),
        "{most:?} bytes waited"
    );
}

/// Rounds, because the client must be stopped within the 20 ms for which reading pauses.
#[test]
fn a_stop_while_reading_pauses_burns_no_processor_time() {
    static HELD: AtomicBool = AtomicBool::new(false);
    let test = "blocked::a_stop_while_reading_pauses_burns_no_processor_time";
    run_alone(test, "pause", || {
        let hold = || {
            while HELD.load(SeqCst) {
                std::thread::yield_now();
            }
        };
        let measure = || {
            let before = library_cpu();
            std::thread::sleep(Duration::from_millis(300)); // the interval that is measured
            library_cpu() - before
        };
        let mut most = Duration::ZERO;
        for _ in 0..5 {
            HELD.store(true, SeqCst);
            let broker = Broker::listen();
            let (client, mut connection, _) = counting(&broker, (100_000, 64 << 20), hold);
            let message = publish("down", &[7; 1000], 0, 0);
            // Until the client is gone.
            let flood =
                std::thread::spawn(move || while connection.0.write_all(&message).is_ok() {});
            while client.counter(Counter::InboxBytes) < 256 * 1024 {}
            client.stop(Duration::ZERO).unwrap();
            client.wait_stopped(PATIENCE).unwrap();
            flood.join().unwrap();
            HELD.store(false, SeqCst);
            eventually("callbacks have caught up", || {
                client.counter(Counter::InboxBytes) == 0
            });
            most = most.max(measure());
        }
        eprintln!("measured: stopped while reading paused: {most:?} of processor time in 300 ms");
        assert!(most < Duration::from_millis(100), "{most:?}");
    });
}
