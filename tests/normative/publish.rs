//! Sections 3.3 and 4.1 to 4.6: messages, their delivery and their order.

use std::sync::mpsc;

use aliot::Qos;

use crate::support::PATIENCE;
use crate::support::broker::{PUBACK, PUBLISH, publish};
use crate::{
    connected, connected_with, connected_with_session, ends_for, is_silent, lives, refused,
};

#[test]
fn mqtt_3_3_1_1_dup_is_set_when_a_message_is_sent_again_and_only_then() {
    let (broker, device, mut connection) = connected_with_session();
    device.publish("a", b"1");
    assert!(!connection.expect_publish().duplicate);
    connection.hang_up();
    for _ in 0..3 {
        let mut connection = broker.accept(true);
        assert!(connection.expect_publish().duplicate);
        connection.hang_up();
    }
    let mut connection = broker.accept(true);
    let again = connection.expect_publish();
    connection.puback(again.id);
    device.publish("a", b"2");
    assert!(!connection.expect_publish().duplicate, "another message");
}

#[test]
fn mqtt_3_3_1_2_qos_0_never_has_dup_and_with_it_is_taken_all_the_same() {
    let (broker, device, mut connection) = connected_with_session();
    device
        .client
        .publish("a", b"1", Qos::AtMostOnce, false)
        .unwrap();
    assert_eq!(connection.expect(PUBLISH).first, 0x30);
    connection.hang_up();
    let mut connection = broker.accept(true);
    device
        .client
        .publish("a", b"2", Qos::AtMostOnce, false)
        .unwrap();
    let packet = connection.expect(PUBLISH);
    assert_eq!(
        (packet.first, packet.publish().payload.as_slice()),
        (0x30, &b"2"[..])
    );
    let mut packet = publish("a", b"x", 0, 0);
    packet[0] |= 0b1000;
    connection.send(&packet);
    assert!(device.messages(1)[0].1.duplicate);
}

#[test]
fn mqtt_3_3_1_4_qos_3_ends_the_connection() {
    let (_broker, device, mut connection) = connected();
    connection.send(&publish("a", b"x", 3, 1));
    ends_for(&device, &mut connection, 1, "QoS 3");
}

#[test]
fn mqtt_3_3_2_1_the_topic_is_there_and_comes_first() {
    let (_broker, device, mut connection) = connected();
    device.publish("a/é", b"x");
    assert_eq!(connection.expect(PUBLISH).body[..6], *b"\x00\x04a/\xC3\xA9");
    refused(
        device.client.publish("", b"", Qos::AtMostOnce, false),
        "topic",
    );
    connection.send(&[0x30, 0]);
    ends_for(&device, &mut connection, 1, "without a topic");
}

#[test]
fn mqtt_3_3_2_2_a_wildcard_in_a_received_topic_ends_the_connection() {
    for topic in ["a/+", "a/#", "+", "#", "a+b"] {
        let (_broker, device, mut connection) = connected();
        connection.send(&publish(topic, b"x", 0, 0));
        ends_for(&device, &mut connection, 1, "topic contains U+00");
        assert_eq!(device.client.counter(aliot::Counter::MessagesReceived), 0);
    }
}

#[test]
fn mqtt_3_3_4_1_each_quality_is_answered_as_it_demands() {
    let (_broker, device, mut connection) = connected();
    connection.send(&publish("a", b"0", 0, 0));
    device.messages(1);
    assert!(
        lives(&device, &mut connection).is_empty(),
        "QoS 0 has no answer"
    );
    connection.send(&publish("a", b"1", 1, 77));
    let packet = connection.expect(PUBACK);
    assert_eq!((packet.first, packet.id()), (0x40, 77));
    connection.send(&publish("a", b"2", 2, 78));
    ends_for(&device, &mut connection, 1, "QoS 2");
}

#[test]
fn mqtt_4_5_0_2_what_nobody_asked_for_is_acknowledged_too() {
    let (_broker, device, mut connection) = connected();
    device.client.unsubscribe("nobody/+").unwrap();
    let id = connection.expect(crate::support::broker::UNSUBSCRIBE).id();
    connection.unsuback(id);
    connection.send(&publish("nobody/asked", b"x", 1, 3));
    assert_eq!(connection.expect(PUBACK).id(), 3);
    assert_eq!(device.client.counter(aliot::Counter::MessagesUnrouted), 1);
}

#[test]
fn mqtt_4_1_0_1_session_state_outlives_every_connection_of_the_session() {
    let (broker, device, mut connection) = connected_with_session();
    let tokens = [b"1", b"2", b"3"].map(|payload| device.publish("a", payload));
    let ids: Vec<u16> = (0..3).map(|_| connection.expect_publish().id).collect();
    connection.hang_up();
    for _ in 0..5 {
        let mut connection = broker.accept(true);
        let again: Vec<u16> = (0..3).map(|_| connection.expect_publish().id).collect();
        assert_eq!(again, ids);
        connection.reset();
    }
    let mut connection = broker.accept(true);
    for id in ids {
        assert_eq!(connection.expect_publish().id, id);
        connection.puback(id);
    }
    for token in tokens {
        assert_eq!(device.completion(token), Ok(None));
    }
}

/// What else happens on the connection takes nothing from its session.
#[test]
fn mqtt_4_1_0_2_a_session_lasts_as_long_as_its_connection() {
    let (_broker, device, mut connection) =
        connected_with(|config| config.set_window(1000).unwrap());
    let token = device.subscribe("down", Qos::AtMostOnce);
    let id = connection.expect(crate::support::broker::SUBSCRIBE).id();
    connection.suback(id, &[0]);
    device.completion(token).unwrap();
    let owed = device.publish("a", b"owed");
    let first = connection.expect_publish();
    for _ in 0..200 {
        assert!(lives(&device, &mut connection).is_empty());
    }
    connection.send(&publish("down", b"x", 0, 0));
    assert_eq!(device.messages(1)[0].0, "down", "the route is still there");
    connection.puback(first.id);
    assert_eq!(device.completion(owed), Ok(None));
}

#[test]
fn mqtt_4_3_1_1_a_qos_0_message_is_sent_once_and_forgotten() {
    let (broker, device, mut connection) = connected_with_session();
    let sent = device.client.publish("a", b"once", Qos::AtMostOnce, true);
    let token = sent.unwrap().unwrap();
    let packet = connection.expect(PUBLISH);
    assert_eq!(packet.first, 0x30);
    assert_eq!(
        device.completion(token),
        Ok(None),
        "no acknowledgement is needed"
    );
    connection.hang_up();
    let mut connection = broker.accept(true);
    assert!(
        lives(&device, &mut connection).is_empty(),
        "it is not sent again"
    );
}

#[test]
fn mqtt_4_3_2_1_a_qos_1_message_is_owed_until_its_puback() {
    let (broker, device, mut connection) = connected_with_session();
    let token = device.publish("a", b"x");
    let packet = connection.expect(PUBLISH);
    assert_eq!(packet.first, 0x32, "QoS 1, without DUP");
    // Not at once; that it never comes twice on one connection is shown in virtual time.
    assert!(is_silent(&mut connection));
    assert_eq!(device.client.counter(aliot::Counter::OutboxOperations), 1);
    connection.hang_up();
    let mut connection = broker.accept(true);
    let again = connection.expect(PUBLISH);
    assert_eq!((again.first, &again.body), (0x3A, &packet.body));
    connection.puback(again.publish().id);
    assert_eq!(device.completion(token), Ok(None));
    assert_eq!(device.client.counter(aliot::Counter::OutboxOperations), 0);
}

#[test]
fn mqtt_4_3_2_2_a_message_under_an_id_that_was_acknowledged_is_a_new_one() {
    let (_broker, device, mut connection) = connected();
    for payload in [b"1", b"2", b"3"] {
        connection.send(&publish("a", payload, 1, 42));
        assert_eq!(connection.expect(PUBACK).id(), 42);
    }
    let messages = device.messages(3);
    let payloads: Vec<&[u8]> = messages.iter().map(|(_, m)| m.payload.as_slice()).collect();
    assert_eq!(payloads, [b"1", b"2", b"3"]);
}

#[test]
fn mqtt_4_4_0_1_in_a_kept_session_all_that_is_unacknowledged_is_sent_again_under_its_ids() {
    let (broker, device, mut connection) = connected_with_session();
    let mut owed = Vec::new();
    for n in 0..20 {
        device.publish("a", &[n]);
        let sent = connection.expect_publish();
        if n % 3 == 0 {
            connection.puback(sent.id);
        } else {
            owed.push((sent.id, sent.payload));
        }
    }
    lives(&device, &mut connection);
    connection.hang_up();
    let mut connection = broker.accept(true);
    for (id, payload) in owed {
        let again = connection.expect_publish();
        assert_eq!(
            (again.id, again.payload, again.duplicate),
            (id, payload, true)
        );
        connection.puback(id);
    }
    assert!(lives(&device, &mut connection).is_empty());
}

#[test]
fn mqtt_4_6_0_1_messages_are_sent_again_in_the_order_in_which_they_were_sent() {
    let (broker, device, mut connection) = connected_with_session();
    for n in 0..50_u8 {
        device.publish("a", &[n]);
    }
    for _ in 0..50 {
        connection.expect_publish();
    }
    connection.hang_up();
    // A repetition that is cut short keeps the order too.
    for seen in [7, 50] {
        let mut connection = broker.accept(true);
        for n in 0..seen {
            assert_eq!(connection.expect_publish().payload, [n]);
        }
        connection.hang_up();
    }
    // And so does a platform that lost the session.
    let mut connection = broker.accept(false);
    for n in 0..50 {
        assert_eq!(connection.expect_publish().payload, [n]);
    }
}

#[test]
fn mqtt_4_6_0_2_acknowledgements_leave_in_the_order_of_the_messages() {
    let (_broker, device, mut connection) = connected();
    let (entered, wait_entered) = mpsc::channel();
    let (release, released) = mpsc::channel::<()>();
    let token = device
        .client
        .subscribe("slow", Qos::AtLeastOnce, || {
            Box::new(move |_| {
                entered.send(()).unwrap();
                let _ = released.recv_timeout(PATIENCE);
            })
        })
        .unwrap();
    let id = connection.expect(crate::support::broker::SUBSCRIBE).id();
    connection.suback(id, &[1]);
    device.completion(token).unwrap();
    let ids = [9, 3, 65_535, 4, 1];
    for (n, id) in ids.into_iter().enumerate() {
        let topic = if n == 0 { "slow" } else { "quick" };
        connection.send(&publish(topic, b"x", 1, id));
    }
    wait_entered.recv_timeout(PATIENCE).unwrap();
    // A probe overtakes the acknowledgements, which the first message holds back.
    device.publish("probe", b"");
    assert_eq!(connection.expect_publish().topic, "probe");
    release.send(()).unwrap();
    for id in ids {
        assert_eq!(connection.expect(PUBACK).id(), id);
    }
}
