//! Sections 1.5 and 2: text, flags, packet ids.

use std::time::Duration;

use aliot::{Identity, Qos};

use crate::support::broker::{
    Broker, CONNECT, Connection, PINGREQ, PUBACK, PUBLISH, Packet, SUBSCRIBE, UNSUBSCRIBE, publish,
};
use crate::support::device::{Device, config};
use crate::{connected, connected_with, connected_with_session, ends_for, lives, refused};

/// A PUBLISH of QoS 0 with any bytes for a topic.
fn publish_to(topic: &[u8]) -> Vec<u8> {
    let mut packet = vec![0x30, 2 + topic.len() as u8, 0, topic.len() as u8];
    packet.extend_from_slice(topic);
    packet
}

#[test]
fn mqtt_1_5_3_1_text_that_is_not_utf_8_ends_the_connection() {
    // Outgoing text is UTF-8 by its type.
    let topics: [&[u8]; 5] = [
        b"\xFF",
        b"a\xED\xA0\x80",
        b"\xC0\xAF",
        b"\xF4\x90\x80\x80",
        b"a\xE4\xB8",
    ];
    for topic in topics {
        let (_broker, device, mut connection) = connected();
        connection.send(&publish_to(topic));
        ends_for(&device, &mut connection, 1, "not UTF-8");
    }
}

#[test]
fn mqtt_1_5_3_2_a_nul_ends_the_connection_and_is_refused_at_each_call() {
    let (_broker, device, mut connection) = connected();
    refused(
        device.client.publish("a\0b", b"", Qos::AtMostOnce, false),
        "topic",
    );
    let refusal = device
        .client
        .subscribe("a\0b", Qos::AtMostOnce, || unreachable!("refused"));
    refused(refusal, "topic filter");
    refused(device.client.unsubscribe("a\0b"), "topic filter");
    refused(Identity::verbatim("a\0b", "", ""), "client_id");
    assert!(
        lives(&device, &mut connection).is_empty(),
        "nothing of it was sent"
    );
    connection.send(&publish_to(b"a\0b"));
    ends_for(&device, &mut connection, 1, "U+0000");
}

#[test]
fn mqtt_1_5_3_3_a_byte_order_mark_is_a_character_in_both_directions() {
    let (_broker, device, mut connection) = connected();
    connection.send(&publish_to(b"\xEF\xBB\xBFa"));
    assert_eq!(device.messages(1)[0].1.topic.as_bytes(), b"\xEF\xBB\xBFa");
    device.publish("\u{FEFF}a", b"");
    assert_eq!(
        &connection.expect(PUBLISH).body[..6],
        b"\x00\x04\xEF\xBB\xBFa"
    );
}

/// The next packet that is no PINGREQ. Pings are answered.
fn next_but_pings(connection: &mut Connection) -> Packet {
    loop {
        let packet = connection.next().expect("the device closed the connection");
        if packet.kind() != PINGREQ {
            return packet;
        }
        assert_eq!((packet.first, packet.body.len()), (0xC0, 0));
        connection.send(&[0xD0, 0]);
    }
}

#[test]
fn mqtt_2_2_2_1_every_packet_sent_has_the_flags_of_its_type() {
    let broker = Broker::listen();
    let mut config = config(broker.address());
    config.set_keep_alive_s(1).unwrap();
    let device = Device::start(&config);
    let mut connection = broker.accept_tcp();
    assert_eq!(connection.expect(CONNECT).first, 0x10);
    connection.send(&[0x20, 2, 0, 0]);
    let ping = connection.expect(PINGREQ);
    assert_eq!((ping.first, ping.body.len()), (0xC0, 0));
    connection.send(&[0xD0, 0]);
    device.subscribe("a", Qos::AtLeastOnce);
    let packet = next_but_pings(&mut connection);
    assert_eq!(packet.first, 0x82);
    connection.suback(packet.id(), &[1]);
    device.client.unsubscribe("a").unwrap();
    let packet = next_but_pings(&mut connection);
    assert_eq!(packet.first, 0xA2);
    connection.unsuback(packet.id());
    let client = &device.client;
    client.publish("a", b"", Qos::AtMostOnce, false).unwrap();
    assert_eq!(next_but_pings(&mut connection).first, 0x30);
    device.publish("a", b"");
    let packet = next_but_pings(&mut connection);
    assert_eq!(packet.first, 0x32);
    connection.puback(packet.publish().id);
    connection.send(&publish("a", b"", 1, 5));
    assert_eq!(next_but_pings(&mut connection).first, 0x40);
    client.stop(Duration::ZERO).unwrap();
    assert_eq!(next_but_pings(&mut connection).first, 0xE0);
}

#[test]
fn mqtt_2_2_2_2_reserved_flags_end_the_connection() {
    for first in [0x40, 0x90, 0xB0, 0xD0] {
        for flags in 1..16 {
            let (_broker, device, mut connection) = connected();
            connection.send(&[first | flags, 0]);
            ends_for(&device, &mut connection, 1, "reserved flags");
        }
    }
}

#[test]
fn mqtt_2_3_1_1_what_needs_a_packet_id_has_one_that_is_not_zero() {
    let (_broker, device, mut connection) = connected();
    device.subscribe("a", Qos::AtMostOnce);
    let packet = connection.expect(SUBSCRIBE);
    assert_ne!(packet.id(), 0);
    connection.suback(packet.id(), &[0]);
    device.client.unsubscribe("a").unwrap();
    let packet = connection.expect(UNSUBSCRIBE);
    assert_ne!(packet.id(), 0);
    connection.unsuback(packet.id());
    device.publish("a", b"");
    assert_ne!(connection.expect_publish().id, 0);
}

#[test]
fn mqtt_2_3_1_3_an_id_is_kept_when_sent_again_and_free_after_its_acknowledgement() {
    let (broker, device, mut connection) = connected_with_session();
    device.publish("a", b"1");
    let sent = connection.expect_publish();
    connection.hang_up();
    let mut connection = broker.accept(true);
    assert_eq!(connection.expect_publish().id, sent.id);
    // Unacknowledged, it is not given to another.
    device.publish("a", b"2");
    assert_ne!(connection.expect_publish().id, sent.id);
    connection.puback(sent.id);
    // Free again: an acknowledgement of it is one that nobody waits for.
    connection.puback(sent.id);
    lives(&device, &mut connection);
}

#[test]
fn mqtt_2_3_1_5_a_qos_0_publish_has_no_packet_id() {
    let (_broker, device, mut connection) = connected();
    device
        .client
        .publish("ab", b"xyz", Qos::AtMostOnce, false)
        .unwrap();
    assert_eq!(connection.expect(PUBLISH).body, b"\x00\x02abxyz");
}

#[test]
fn mqtt_2_3_1_6_a_puback_has_the_id_of_its_publish() {
    let (_broker, _device, mut connection) = connected();
    for id in [1, 255, 256, 0xABCD, u16::MAX] {
        connection.send(&publish("a", b"x", 1, id));
        assert_eq!(connection.expect(PUBACK).body, id.to_be_bytes());
    }
}

#[test]
fn mqtt_2_3_1_7_acknowledgements_are_told_apart_by_their_ids() {
    let (_broker, device, mut connection) = connected_with(|_| ());
    let first = device.subscribe("a", Qos::AtLeastOnce);
    let first_id = connection.expect(SUBSCRIBE).id();
    let second = device.subscribe("b", Qos::AtLeastOnce);
    let second_id = connection.expect(SUBSCRIBE).id();
    let third = device.client.unsubscribe("c").unwrap();
    let third_id = connection.expect(UNSUBSCRIBE).id();
    connection.unsuback(third_id);
    connection.suback(second_id, &[0]);
    connection.suback(first_id, &[1]);
    assert_eq!(device.completion(first), Ok(Some(Qos::AtLeastOnce)));
    assert_eq!(device.completion(second), Ok(Some(Qos::AtMostOnce)));
    assert_eq!(device.completion(third), Ok(None));
}

#[test]
fn mqtt_2_3_1_2_an_id_in_use_is_not_given_to_a_new_packet_of_any_type() {
    let broker = Broker::listen();
    let device = Device::start(&config(broker.address()));
    let mut connection = broker.accept(false);
    let mut used = std::collections::BTreeSet::new();
    for n in 0..30 {
        let topic = format!("t/{n}");
        device.publish(&topic, b"");
        assert!(used.insert(connection.expect_publish().id));
        device.subscribe(&topic, Qos::AtMostOnce);
        assert!(used.insert(connection.expect(SUBSCRIBE).id()));
        device.client.unsubscribe(&topic).unwrap();
        assert!(used.insert(connection.expect(UNSUBSCRIBE).id()));
    }
}
