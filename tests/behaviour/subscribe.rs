//! Subscriptions, routes, and what arrives.

use aliot::{ErrorKind, Message, Qos};

use crate::support::broker::{Broker, PUBACK, SUBSCRIBE, UNSUBSCRIBE, publish};
use crate::support::device::{Device, config};
use crate::support::{PATIENCE, eventually};

#[test]
fn messages_go_to_the_routes_that_match_and_the_rest_to_the_default_handler() {
    let broker = Broker::listen();
    let device = Device::new(&config(broker.address()));
    device.subscribe("a/+", Qos::AtLeastOnce);
    device.subscribe("a/b", Qos::AtMostOnce);
    device.client.start().unwrap();
    let mut connection = broker.accept(false);
    let packet = connection.expect(SUBSCRIBE);
    assert_eq!(packet.first, 0x82);
    assert_eq!(
        packet.filters(),
        [("a/+".to_owned(), 1), ("a/b".to_owned(), 0)]
    );
    connection.suback(packet.id(), &[1, 0]);
    for (topic, payload) in [("a/b", "both"), ("a/c", "one"), ("/ext/notify", "pushed")] {
        connection.send(&publish(topic, payload.as_bytes(), 0, 0));
    }
    let messages = device.messages(4);
    let got: Vec<(&str, &[u8])> = messages
        .iter()
        .map(|(route, message)| (route.as_str(), message.payload.as_slice()))
        .collect();
    let expected: [(&str, &[u8]); 4] = [
        ("a/+", b"both"),
        ("a/b", b"both"),
        ("a/+", b"one"),
        ("", b"pushed"),
    ];
    assert_eq!(got, expected);
}

#[test]
fn the_granted_quality_is_reported_for_each_filter() {
    let broker = Broker::listen();
    let device = Device::new(&config(broker.address()));
    let tokens = ["a", "b", "c"].map(|filter| device.subscribe(filter, Qos::AtLeastOnce));
    device.client.start().unwrap();
    let mut connection = broker.accept(false);
    let id = connection.expect(SUBSCRIBE).id();
    connection.suback(id, &[1, 0, 0x80]);
    assert_eq!(device.completion(tokens[0]), Ok(Some(Qos::AtLeastOnce)));
    assert_eq!(device.completion(tokens[1]), Ok(Some(Qos::AtMostOnce)));
    let error = device.completion(tokens[2]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::SubscriptionRefused);
    assert!(error.to_string().contains("\"c\""), "{error}");
}

#[test]
fn qos_1_is_acknowledged_after_its_callback_and_in_order() {
    let broker = Broker::listen();
    let device = Device::new(&config(broker.address()));
    let (entered, wait_entered) = std::sync::mpsc::channel();
    let (release, released) = std::sync::mpsc::channel::<()>();
    device
        .client
        .subscribe("a", Qos::AtLeastOnce, || {
            Box::new(move |_| {
                entered.send(()).unwrap();
                let _ = released.recv_timeout(PATIENCE);
            })
        })
        .unwrap();
    device.client.start().unwrap();
    let mut connection = broker.accept(false);
    let id = connection.expect(SUBSCRIBE).id();
    connection.suback(id, &[1]);
    connection.send(&publish("a", b"1", 1, 500));
    connection.send(&publish("a", b"2", 1, 7));
    wait_entered.recv_timeout(PATIENCE).unwrap();
    // The callback has not returned: a probe overtakes the acknowledgement that is not there.
    device.publish("probe", b"");
    assert_eq!(connection.expect_publish().topic, "probe");
    release.send(()).unwrap();
    release.send(()).unwrap();
    assert_eq!(connection.expect(PUBACK).id(), 500);
    assert_eq!(connection.expect(PUBACK).id(), 7);
}

#[test]
fn subscribing_again_replaces_the_handler() {
    let broker = Broker::listen();
    let device = Device::new(&config(broker.address()));
    device.client.start().unwrap();
    let mut connection = broker.accept(false);
    let witness = std::sync::Arc::new(());
    let first = witness.clone();
    device
        .client
        .subscribe("a", Qos::AtMostOnce, || {
            Box::new(move |_| drop(first.clone()))
        })
        .unwrap();
    let token = device.subscribe("a", Qos::AtMostOnce);
    let mut answered = 0;
    while answered < 2 {
        let packet = connection.expect(SUBSCRIBE);
        let filters = packet.filters().len();
        connection.suback(packet.id(), &vec![0; filters]);
        answered += filters;
    }
    device.completion(token).unwrap();
    eventually("the first handler is released", || {
        std::sync::Arc::strong_count(&witness) == 1
    });
    connection.send(&publish("a", b"x", 0, 0));
    assert_eq!(device.messages(1)[0].0, "a");
}

#[test]
fn after_unsubscribing_nothing_reaches_the_handler() {
    let broker = Broker::listen();
    let device = Device::new(&config(broker.address()));
    device.client.start().unwrap();
    let mut connection = broker.accept(false);
    device.subscribe("a", Qos::AtMostOnce);
    let id = connection.expect(SUBSCRIBE).id();
    connection.suback(id, &[0]);
    let token = device.client.unsubscribe("a").unwrap();
    let packet = connection.expect(UNSUBSCRIBE);
    assert_eq!(
        (packet.first, &packet.body[2..]),
        (0xA2, b"\x00\x01a".as_slice())
    );
    connection.unsuback(packet.id());
    assert_eq!(device.completion(token), Ok(None));
    connection.send(&publish("a", b"late", 0, 0));
    assert_eq!(
        device.messages(1)[0].0,
        "",
        "it went to the default handler"
    );
}

#[test]
fn filters_go_out_eight_at_a_time_and_a_hundred_at_most() {
    let broker = Broker::listen();
    let identity = aliot::Identity::verbatim("device", "user", "password").unwrap();
    let mut endpoint = aliot::Endpoint::host("127.0.0.1", broker.address().port()).unwrap();
    endpoint.set_dangerous_plaintext();
    let config = aliot::Config::new(&identity, &endpoint).unwrap();
    let device = Device::new(&config);
    for n in 0..100 {
        device.subscribe(&format!("f/{n}"), Qos::AtMostOnce);
    }
    let error = device
        .client
        .subscribe("one/more", Qos::AtMostOnce, || {
            unreachable!("it is refused")
        })
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidArgument);
    assert!(error.to_string().contains("at most 100"), "{error}");
    device.client.start().unwrap();
    let mut connection = broker.accept(false);
    let mut seen = 0;
    while seen < 100 {
        let packet = connection.expect(SUBSCRIBE);
        let filters = packet.filters();
        assert!(filters.len() <= 8, "{} filters in a packet", filters.len());
        for (filter, _) in &filters {
            assert_eq!(*filter, format!("f/{seen}"));
            seen += 1;
        }
        connection.suback(packet.id(), &vec![0; filters.len()]);
    }
    device.client.wait_flushed(PATIENCE).unwrap();
}

#[test]
fn a_panicking_callback_harms_no_other() {
    let broker = Broker::listen();
    let device = Device::new(&config(broker.address()));
    device
        .client
        .subscribe("bad", Qos::AtMostOnce, || {
            Box::new(|_| panic!("on purpose"))
        })
        .unwrap();
    device.subscribe("good", Qos::AtMostOnce);
    device.client.start().unwrap();
    let mut connection = broker.accept(false);
    let id = connection.expect(SUBSCRIBE).id();
    connection.suback(id, &[0, 0]);
    connection.send(&publish("bad", b"", 0, 0));
    connection.send(&publish("good", b"", 0, 0));
    assert_eq!(device.messages(1)[0].0, "good");
}

/// Their memory serves again for those that follow.
#[test]
fn large_messages_one_after_the_other_arrive_whole() {
    const COUNT: usize = 300;
    const LENS: [usize; 7] = [70_000, 16_000, 30, 17_000, 65_536, 140_000, 65_000];
    let payload_of = |number: usize| vec![number as u8; LENS[number % LENS.len()]];
    let broker = Broker::listen();
    let mut config = config(broker.address());
    config.set_inbox_limit(1000, 256 * 1024 * 1024).unwrap();
    let device = Device::new(&config);
    let (done, wait_done) = std::sync::mpsc::channel();
    let mut number = 0;
    let check = move |message: &Message<'_>| {
        let expected = payload_of(number);
        let is_right = message.payload == expected && message.topic == format!("a/{number}");
        number += 1;
        if !is_right || number == COUNT {
            done.send((number, is_right)).unwrap();
        }
    };
    let accepted = device
        .client
        .subscribe("a/+", Qos::AtMostOnce, || Box::new(check));
    accepted.unwrap();
    device.client.start().unwrap();
    let mut connection = broker.accept(false);
    let id = connection.expect(SUBSCRIBE).id();
    connection.suback(id, &[0]);
    for number in 0..COUNT {
        connection.send(&publish(&format!("a/{number}"), &payload_of(number), 0, 0));
    }
    assert_eq!(wait_done.recv_timeout(PATIENCE), Ok((COUNT, true)));
}
