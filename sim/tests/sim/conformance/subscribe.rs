//! Subscriptions: sections 3.8 to 3.11 and 4.7.

use aliot_sim::Qos;

use super::{GET, connected, field, packet};
use crate::device::{Ending, sim};

#[test]
fn mqtt_3_8_1_1_and_3_10_1_1_other_flags_close() {
    let sim = sim();
    for first in [0x80, 0x81, 0x84, 0x86, 0x8F, 0xA0, 0xA1, 0xA3] {
        let mut device = connected(&sim);
        device.send(&packet(first, &[&[0, 1], &field(GET), &[0]]));
        assert_eq!(device.ending(), Ending::Orderly, "{first:x}");
    }
}

#[test]
fn mqtt_3_8_3_1_and_3_10_3_1_a_filter_is_utf_8() {
    let sim = sim();
    for bytes in [
        packet(0x82, &[&[0, 1], &field(b"\xff"), &[0]]),
        packet(0xA2, &[&[0, 1], &field(b"\xff")]),
    ] {
        let mut device = connected(&sim);
        device.send(&bytes);
        assert_eq!(device.ending(), Ending::Orderly);
    }
}

#[test]
fn mqtt_3_8_3_2_and_4_7_1_2_and_3_wildcards_reach_what_they_should() {
    let sim = sim();
    let mut device = connected(&sim);
    for (filter, code) in [
        ("/pk/dn/user/+/x", 1),
        ("/pk/dn/deep/#", 1),
        ("/pk/dn/user/a+", 0x80),
        ("/pk/dn/#/x", 0x80),
        ("/pk/dn/user#", 0x80),
        ("", 0x80),
    ] {
        assert_eq!(device.subscribe(&[(filter, 1)]), [code], "{filter}");
    }
    for (topic, heard) in [
        ("/pk/dn/user/a/x", true),
        ("/pk/dn/user/x", false),
        ("/pk/dn/user/a/b/x", false),
        ("/pk/dn/deep", true),
        ("/pk/dn/deep/1/2", true),
        ("/pk/dn/deeper", false),
    ] {
        device.publish(topic, b"x", None);
        if heard {
            assert_eq!(device.message().topic, topic);
        }
        device.ping();
    }
}

#[test]
fn mqtt_3_8_3_3_and_3_10_3_2_a_packet_without_a_filter_closes() {
    let sim = sim();
    for first in [0x82, 0xA2] {
        let mut device = connected(&sim);
        device.send(&packet(first, &[&[0, 1]]));
        assert_eq!(device.ending(), Ending::Orderly);
    }
}

#[test]
fn mqtt_3_8_3_4_reserved_bits_beside_the_qos_close() {
    let sim = sim();
    for qos in [3, 4, 0x10, 0x80, 0xFF] {
        let mut device = connected(&sim);
        device.send(&packet(0x82, &[&[0, 1], &field(GET), &[qos]]));
        assert_eq!(device.ending(), Ending::Orderly, "{qos}");
    }
}

#[test]
fn mqtt_3_8_4_1_to_5_and_3_9_3_1_and_2_each_filter_has_its_code_in_order() {
    let sim = sim();
    let mut device = connected(&sim);
    let filters: Vec<u8> = [
        (&b"/pk/dn/user/a"[..], 0),
        (b"/pk/no/a", 1),
        (GET, 1),
        (b"/pk/dn/b", 2),
    ]
    .iter()
    .flat_map(|(filter, qos)| [field(filter), vec![*qos]].concat())
    .collect();
    device.send(&packet(0x82, &[&[0xAB, 0xCD], &filters]));
    // Of QoS 2 there is none, so 1 is granted.
    assert_eq!(device.receive(), (0x90, vec![0xAB, 0xCD, 0, 0x80, 1, 1]));
}

#[test]
fn mqtt_3_8_4_3_a_filter_that_is_there_already_is_replaced() {
    let sim = sim();
    let mut device = connected(&sim);
    for qos in [0, 1, 1] {
        assert_eq!(device.subscribe(&[("/pk/dn/user/get", qos)]), [qos]);
    }
    sim.publish("pk", "dn", "user/get", b"x", Qos::AtMostOnce)
        .unwrap();
    device.message();
    device.ping();
    assert_eq!(sim.connections()[0].subscriptions, ["/pk/dn/user/get"]);
}

#[test]
fn mqtt_3_10_4_1_and_2_only_the_very_filter_is_taken_away_and_nothing_more_comes() {
    let sim = sim();
    let mut device = connected(&sim);
    device.subscribe(&[("/pk/dn/user/+", 1), ("/pk/dn/user/get", 1)]);
    device.send(&packet(0xA2, &[&[0, 5], &field(b"/pk/dn/user/+")]));
    assert_eq!(device.receive(), (0xB0, vec![0, 5]));
    sim.publish("pk", "dn", "user/get", b"x", Qos::AtMostOnce)
        .unwrap();
    device.message();
    assert!(
        sim.publish("pk", "dn", "user/other", b"x", Qos::AtMostOnce)
            .is_err()
    );
    device.send(&packet(0xA2, &[&[0, 6], &field(GET)]));
    device.receive();
    assert!(
        sim.publish("pk", "dn", "user/get", b"x", Qos::AtMostOnce)
            .is_err()
    );
}

#[test]
fn mqtt_3_10_4_3_what_is_under_way_is_finished() {
    let sim = sim();
    let mut device = connected(&sim);
    device.subscribe(&[("/pk/dn/user/get", 1)]);
    sim.publish("pk", "dn", "user/get", b"x", Qos::AtLeastOnce)
        .unwrap();
    let id = device.message().id;
    device.send(&packet(0xA2, &[&[0, 6], &field(GET)]));
    assert_eq!(device.receive(), (0xB0, vec![0, 6]));
    assert_eq!(sim.connections()[0].unacknowledged, 1);
    device.acknowledge(id);
    device.ping();
    assert_eq!(sim.connections()[0].unacknowledged, 0);
}

#[test]
fn mqtt_3_10_4_4_to_6_one_answer_with_the_same_id_even_if_nothing_was_there() {
    let sim = sim();
    let mut device = connected(&sim);
    device.send(&packet(
        0xA2,
        &[&[0x12, 0x34], &field(b"/a"), &field(b"/b"), &field(GET)],
    ));
    assert_eq!(device.receive(), (0xB0, vec![0x12, 0x34]));
    device.ping();
}

#[test]
fn mqtt_4_7_2_1_a_leading_wildcard_reaches_no_topic_with_a_dollar() {
    // The platform refuses a wildcard in the first level altogether.
    let sim = sim();
    let mut device = connected(&sim);
    assert_eq!(device.subscribe(&[("#", 1), ("+/x", 1)]), [0x80, 0x80]);
}
