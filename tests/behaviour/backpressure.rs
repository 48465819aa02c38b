//! A peer that sends faster than callbacks return is slowed down, and nothing is lost by it.

use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use aliot::{Client, Config, Counter, Dispatch, MessageHandler, Qos, Runtime};

use crate::support::broker::{Broker, Connection, PINGREQ, PUBACK, SUBSCRIBE, publish};
use crate::support::device::config;
use crate::support::{PATIENCE, eventually};

/// A device with room for ten QoS 1 messages, whose callback does `work` and tells the number in each
/// payload, and its connection. On a runtime of its own: others would wait for its callbacks.
fn subscribed(
    broker: &Broker,
    change: impl FnOnce(&mut Config),
    work: impl Fn() + Send + 'static,
) -> (Client, Connection, Receiver<u32>) {
    let mut config = config(broker.address());
    config.set_inbox_limit(10, 64 * 1024 * 1024).unwrap();
    change(&mut config);
    let runtime = Runtime::new(Dispatch::Thread).unwrap();
    let client = Client::on_runtime(&config, &runtime).unwrap();
    let (told, heard): (Sender<u32>, _) = channel();
    let handler = move || -> MessageHandler {
        Box::new(move |message| {
            work();
            let number = message.payload.try_into().map(u32::from_be_bytes);
            told.send(number.unwrap()).unwrap();
        })
    };
    client.subscribe("a", Qos::AtLeastOnce, handler).unwrap();
    client.start().unwrap();
    let mut connection = broker.accept(false);
    let id = connection.expect(SUBSCRIBE).id();
    connection.suback(id, &[1]);
    client.wait_connected(PATIENCE).unwrap();
    (client, connection, heard)
}

/// So many messages of QoS 1, numbered from 0.
fn burst(count: u16) -> Vec<u8> {
    (0..count)
        .flat_map(|n| publish("a", &u32::from(n).to_be_bytes(), 1, n + 1))
        .collect()
}

fn expect_acknowledgements(connection: &mut Connection, count: u16) {
    for id in 1..=count {
        assert_eq!(connection.expect(PUBACK).id(), id);
    }
}

#[test]
fn a_burst_beyond_the_inbox_is_delivered_once_and_acknowledged() {
    const COUNT: u16 = 2000;
    let broker = Broker::listen();
    let (client, mut connection, heard) = subscribed(&broker, |_| {}, || {});
    connection.send(&burst(COUNT));
    expect_acknowledgements(&mut connection, COUNT);
    let got: Vec<u32> = heard.try_iter().collect();
    assert_eq!(got, (0..u32::from(COUNT)).collect::<Vec<_>>());
    assert_eq!(client.counter(Counter::Connects), 1);
    assert_eq!(client.counter(Counter::LostToOverflow), 0);
}

/// What is owed to the device stands in the stream behind what callbacks take so long for.
#[test]
fn answers_behind_slow_callbacks_are_waited_for() {
    const COUNT: u16 = 100;
    let broker = Broker::listen();
    let short = |config: &mut Config| {
        config.set_keep_alive_s(1).unwrap();
        config.set_ping_timeout(Duration::from_millis(500)).unwrap();
        config.set_ack_timeout(Duration::from_secs(1)).unwrap();
    };
    let slow = || std::thread::sleep(Duration::from_millis(30));
    let (client, mut connection, heard) = subscribed(&broker, short, slow);
    let sent = client.publish("b", b"owed", Qos::AtLeastOnce, false);
    sent.unwrap();
    let id = connection.expect_publish().id;
    let mut stream = burst(COUNT);
    let [high, low] = id.to_be_bytes();
    stream.extend_from_slice(&[0x40, 2, high, low]);
    connection.send(&stream);
    // Pings are answered, but the answers stand behind.
    let mut acknowledged = 0;
    while acknowledged < COUNT {
        let packet = connection.next().expect("a false disconnection");
        match packet.kind() {
            PUBACK => acknowledged += 1,
            kind => {
                assert_eq!(kind, PINGREQ);
                connection.send(&[0xD0, 0]);
            }
        }
    }
    client.wait_flushed(PATIENCE).unwrap();
    assert_eq!(heard.try_iter().count(), usize::from(COUNT));
    assert_eq!(client.counter(Counter::Connects), 1);
}

/// Those that became slow after many quick ones, and acknowledge nothing.
#[test]
fn slow_callbacks_are_not_taken_for_stuck() {
    let broker = Broker::listen();
    let count = std::cell::Cell::new(0);
    let slow = move || {
        count.set(count.get() + 1);
        if (17..=32).contains(&count.get()) {
            std::thread::sleep(Duration::from_millis(350));
        }
    };
    let (client, mut connection, heard) = subscribed(&broker, |_| {}, slow);
    let quick = (0..32_u32).flat_map(|n| publish("a", &n.to_be_bytes(), 0, 0));
    let stream: Vec<u8> = quick.chain(burst(20)).collect();
    connection.send(&stream);
    expect_acknowledgements(&mut connection, 20);
    assert_eq!(heard.try_iter().count(), 52);
    assert_eq!(client.counter(Counter::Connects), 1);
}

#[test]
fn callbacks_that_are_stuck_end_the_connection() {
    let broker = Broker::listen();
    let (release, held) = channel::<()>();
    let stuck = move || assert!(held.recv().is_err());
    let (client, mut connection, heard) = subscribed(&broker, |_| {}, stuck);
    // Dropped before the client, which waits for its callback.
    let release = release;
    let sent = client.publish("b", b"", Qos::AtLeastOnce, false);
    sent.unwrap();
    let id = connection.expect_publish().id;
    let mut stream = burst(20);
    stream.extend(publish("a", &20_u32.to_be_bytes(), 0, 0));
    let [high, low] = id.to_be_bytes();
    stream.extend_from_slice(&[0x40, 2, high, low]);
    connection.send(&stream);
    connection.expect_end();
    eventually("the overflow is counted", || {
        client.counter(Counter::LostToOverflow) == 1
    });
    assert_eq!(
        client.counter(Counter::MessagesAcknowledged),
        1,
        "behind what waited"
    );
    drop(release);
    // What was taken is delivered, of what waited only what would not come again: the platform has no
    // acknowledgement of the rest.
    let got: Vec<u32> = (0..11)
        .map(|_| heard.recv_timeout(PATIENCE).unwrap())
        .collect();
    assert_eq!(got, (0..10).chain([20]).collect::<Vec<_>>());
}
