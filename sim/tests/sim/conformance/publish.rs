//! Messages: sections 2.3, 3.3, 3.4, 4.1, 4.3, 4.4, 4.6 and 4.7.

use aliot_sim::Qos;

use super::{GET, connected, field, kept, packet};
use crate::device::{Device, Ending, PATIENCE, sim};

#[test]
fn mqtt_2_3_1_1_a_packet_id_of_zero_closes() {
    let sim = sim();
    for bytes in [
        packet(0x32, &[&field(GET), &[0, 0], b"x"]),
        packet(0x82, &[&[0, 0], &field(GET), &[1]]),
        packet(0xA2, &[&[0, 0], &field(GET)]),
    ] {
        let mut device = connected(&sim);
        device.send(&bytes);
        assert_eq!(device.ending(), Ending::Orderly, "{bytes:x?}");
    }
}

#[test]
fn mqtt_2_3_1_4_each_message_has_an_id_that_is_not_in_use() {
    let sim = sim();
    let mut device = connected(&sim);
    let mut ids = Vec::new();
    for _ in 0..50 {
        sim.push("pk", "dn", "user/get", b"x", Qos::AtLeastOnce)
            .unwrap();
        let id = device.message().id;
        assert!(id != 0 && !ids.contains(&id), "{id}");
        ids.push(id);
    }
    device.acknowledge(ids[0]);
    sim.push("pk", "dn", "user/get", b"x", Qos::AtLeastOnce)
        .unwrap();
    assert!(!ids[1..].contains(&device.message().id));
}

#[test]
fn mqtt_2_3_1_5_a_message_of_qos_0_has_no_id() {
    let sim = sim();
    let mut device = connected(&sim);
    device.subscribe(&[("/pk/dn/user/get", 1)]);
    device.send(&packet(0x30, &[&field(GET), &[0, 7], b"x"]));
    // The two bytes are part of the payload, on the way in and out.
    assert_eq!(
        device.receive(),
        (0x30, [&field(GET)[..], &[0, 7], b"x"].concat())
    );
}

#[test]
fn mqtt_2_3_1_6_and_4_3_2_2_an_acknowledgement_has_the_id_of_its_message() {
    let sim = sim();
    let mut device = connected(&sim);
    for id in [1, 65_535, 256, 1, 1] {
        device.publish("/pk/dn/user/update", b"x", Some(id));
        assert_eq!(device.receive(), (0x40, id.to_be_bytes().to_vec()));
    }
    // After its PUBACK, the same id stands for another message.
    assert_eq!(sim.received().len(), 5);
}

#[test]
fn mqtt_3_3_1_1_and_4_4_0_1_what_was_not_acknowledged_is_sent_again_with_dup() {
    let sim = sim();
    let mut device = Device::connected(&sim, &kept());
    device.subscribe(&[("/pk/dn/user/get", 1)]);
    for payload in [b"1", b"2", b"3"] {
        sim.publish("pk", "dn", "user/get", payload, Qos::AtLeastOnce)
            .unwrap();
    }
    let first: Vec<_> = (0..3).map(|_| device.message()).collect();
    assert!(first.iter().all(|message| !message.dup));
    device.acknowledge(first[1].id);
    device.ping();
    drop(device);
    sim.wait_for(|view| view.connections().is_empty(), PATIENCE)
        .unwrap();
    let mut device = Device::open_tcp(&sim);
    device.send(&kept().bytes());
    assert_eq!(device.conn_ack(), (true, 0));
    for expected in [&first[0], &first[2]] {
        let again = device.message();
        assert!(again.dup);
        assert_eq!((again.id, &again.payload), (expected.id, &expected.payload));
    }
    device.ping();
}

#[test]
fn mqtt_3_3_1_2_a_message_of_qos_0_with_dup_closes() {
    let sim = sim();
    let mut device = connected(&sim);
    device.send(&packet(0x38, &[&field(GET), b"x"]));
    assert_eq!(device.ending(), Ending::Orderly);
}

#[test]
fn mqtt_3_3_1_3_dup_is_not_passed_on() {
    let sim = sim();
    let mut device = connected(&sim);
    device.subscribe(&[("/pk/dn/user/get", 1)]);
    device.send(&packet(0x3A, &[&field(GET), &[0, 9], b"x"]));
    // PUBACK and the message may come in either order.
    let packets = [device.receive(), device.receive()];
    assert!(packets.iter().any(|(first, _)| *first == 0x40));
    assert!(packets.iter().any(|(first, _)| *first == 0x32));
    assert!(sim.received()[0].dup);
}

#[test]
fn mqtt_3_3_1_4_both_qos_bits_close() {
    let sim = sim();
    let mut device = connected(&sim);
    device.send(&packet(0x36, &[&field(GET), &[0, 1], b"x"]));
    assert_eq!(device.ending(), Ending::Orderly);
}

#[test]
fn mqtt_3_3_2_2_and_4_7_1_1_a_wildcard_in_a_topic_closes() {
    let sim = sim();
    for topic in [&b"/pk/dn/user/+"[..], b"/pk/dn/#", b"/pk/dn/user/a+b"] {
        let mut device = connected(&sim);
        device.send(&packet(0x30, &[&field(topic), b"x"]));
        assert_eq!(device.ending(), Ending::Orderly);
    }
}

#[test]
fn mqtt_4_7_3_1_an_empty_topic_closes() {
    let sim = sim();
    let mut device = connected(&sim);
    device.send(&packet(0x30, &[&field(b""), b"x"]));
    assert_eq!(device.ending(), Ending::Orderly);
}

#[test]
fn mqtt_3_3_a_payload_may_be_empty() {
    let sim = sim();
    let mut device = connected(&sim);
    device.publish("/pk/dn/user/update", b"", Some(3));
    assert_eq!(device.pub_ack(), 3);
    assert!(sim.received()[0].payload.is_empty());
}

#[test]
fn mqtt_3_3_5_2_a_message_that_is_not_allowed_is_acknowledged_or_closes() {
    let sim = sim();
    let mut device = connected(&sim);
    device.publish("/pk/other/user/update", b"x", Some(4));
    assert_eq!(device.pub_ack(), 4);
    assert!(sim.received().is_empty());
}

#[test]
fn mqtt_4_1_0_1_a_session_is_kept_while_its_device_is_away() {
    let sim = sim();
    let mut device = Device::connected(&sim, &kept());
    device.subscribe(&[("/pk/dn/user/get", 1)]);
    drop(device);
    sim.wait_for(|view| view.connections().is_empty(), PATIENCE)
        .unwrap();
    for payload in [b"1", b"2"] {
        sim.publish("pk", "dn", "user/get", payload, Qos::AtLeastOnce)
            .unwrap();
    }
    let mut device = Device::open_tcp(&sim);
    device.send(&kept().bytes());
    assert_eq!(device.conn_ack(), (true, 0));
    assert_eq!(device.message().payload, b"1");
    assert_eq!(device.message().payload, b"2");
}

#[test]
fn mqtt_4_3_2_1_a_message_of_qos_1_is_owed_until_it_is_acknowledged() {
    let sim = sim();
    let mut device = connected(&sim);
    sim.push("pk", "dn", "user/get", b"x", Qos::AtLeastOnce)
        .unwrap();
    let message = device.message();
    assert_eq!((message.qos, message.dup), (1, false));
    assert_eq!(sim.connections()[0].unacknowledged, 1);
    device.acknowledge(message.id);
    device.ping();
    assert_eq!(sim.connections()[0].unacknowledged, 0);
}

#[test]
fn mqtt_4_6_0_5_and_6_messages_keep_their_order() {
    let sim = sim();
    let mut device = connected(&sim);
    device.subscribe(&[("/pk/dn/user/+", 1)]);
    for n in 0..40_u8 {
        let qos = if n % 2 == 0 {
            Qos::AtMostOnce
        } else {
            Qos::AtLeastOnce
        };
        sim.publish("pk", "dn", "user/get", &[n], qos).unwrap();
    }
    for n in 0..40_u8 {
        let message = device.message();
        assert_eq!(message.payload, [n]);
    }
}

#[test]
fn mqtt_4_7_3_3_a_topic_of_65535_bytes_is_read() {
    let sim = sim();
    let mut device = connected(&sim);
    let topic = format!("/pk/dn/user/{}", "x".repeat(65_535 - 12));
    // Beyond the platform's limit, so it is dropped; it is no violation of the protocol.
    device.publish(&topic, b"x", Some(5));
    assert_eq!(device.pub_ack(), 5);
    assert!(sim.received().is_empty());
}

#[test]
fn mqtt_4_7_3_4_topics_are_compared_byte_by_byte() {
    let sim = sim();
    let mut device = connected(&sim);
    // Composed and decomposed: the same to the eye.
    device.subscribe(&[("/pk/dn/user/\u{e9}", 1), ("/pk/dn/user/A", 1)]);
    device.publish("/pk/dn/user/e\u{301}", b"x", None);
    device.publish("/pk/dn/user/a", b"x", None);
    device.ping();
    device.publish("/pk/dn/user/\u{e9}", b"x", None);
    assert_eq!(device.message().topic, "/pk/dn/user/\u{e9}");
}

#[test]
fn mqtt_3_4_an_acknowledgement_of_nothing_is_passed_over() {
    let sim = sim();
    let mut device = connected(&sim);
    device.acknowledge(77);
    device.ping();
    device.send(&packet(0x40, &[&[0, 1], &[0]]));
    assert_eq!(device.ending(), Ending::Orderly);
}
