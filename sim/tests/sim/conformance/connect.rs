//! Connections: sections 1.5, 2.2, 3.1, 3.2, 3.12, 3.14 and 4.8.

use aliot_sim::Sim;
use aliot_sim::registry::{Identity, Verbatim};

use super::{GET, connected, field, kept, packet};
use crate::device::{Connect, Device, Ending, PATIENCE, signed, sim, sim_with};

/// Sends `bytes` on a fresh connection and expects it to be closed without an answer.
fn closed(sim: &Sim, bytes: &[u8]) {
    let mut device = Device::open_tcp(sim);
    device.send(bytes);
    let ending = device.ending();
    assert!(
        matches!(ending, Ending::Orderly | Ending::Reset),
        "{bytes:x?}: {ending:?}"
    );
}

/// A CONNECT out of its parts.
fn connect(name: &[u8], level: u8, flags: u8, fields: &[&[u8]]) -> Vec<u8> {
    let fields: Vec<u8> = fields.iter().flat_map(|text| field(text)).collect();
    packet(0x10, &[&field(name), &[level, flags, 0, 60], &fields])
}

/// A simulator that knows one client word for word, so that its id may be anything.
fn verbatim(client_id: &str) -> Sim {
    let sim = sim();
    let entry = Verbatim {
        client_id: client_id.into(),
        user_name: "u".into(),
        password: "p".into(),
        identity: Identity::new("private", "one"),
    };
    sim.edit_registry(|registry| registry.verbatim.push(entry));
    sim
}

#[test]
fn mqtt_1_5_3_1_ill_formed_utf_8_closes() {
    let sim = sim();
    for text in [&b"\xff"[..], b"\xc3", b"\xed\xa0\x80", b"\xc0\xaf"] {
        closed(&sim, &connect(b"MQTT", 4, 2, &[text]));
        let mut device = connected(&sim);
        device.send(&packet(0x30, &[&field(text), b"x"]));
        assert_eq!(device.ending(), Ending::Orderly, "{text:x?}");
    }
}

#[test]
fn mqtt_1_5_3_2_a_nul_character_closes() {
    let sim = sim();
    closed(&sim, &connect(b"MQTT", 4, 2, &[b"a\0"]));
    let mut device = connected(&sim);
    device.send(&packet(0x30, &[&field(b"/pk/dn/user/a\0"), b"x"]));
    assert_eq!(device.ending(), Ending::Orderly);
}

#[test]
fn mqtt_1_5_3_3_a_byte_order_mark_is_kept() {
    let sim = sim();
    let mut device = connected(&sim);
    let topic = "/pk/dn/user/\u{feff}x";
    assert_eq!(device.subscribe(&[(topic, 0)]), [0]);
    device.publish(topic, b"x", None);
    assert_eq!(device.message().topic, topic);
}

#[test]
fn mqtt_2_2_2_2_reserved_flags_close() {
    let sim = sim();
    for bytes in [
        packet(0x83, &[&[0, 1], &field(GET), &[0]]),
        packet(0x80, &[&[0, 1], &field(GET), &[0]]),
        packet(0xA0, &[&[0, 1], &field(GET)]),
        packet(0x41, &[&[0, 1]]),
        packet(0xC1, &[]),
        packet(0xE1, &[]),
        packet(0x00, &[]),
        packet(0xF0, &[]),
        packet(0x20, &[&[0, 0]]),
        packet(0xD0, &[]),
    ] {
        let mut device = connected(&sim);
        device.send(&bytes);
        assert_eq!(device.ending(), Ending::Orderly, "{bytes:x?}");
    }
    closed(
        &sim,
        &packet(0x11, &[&field(b"MQTT"), &[4, 2, 0, 60], &field(b"a")]),
    );
}

#[test]
fn mqtt_2_2_3_a_remaining_length_of_five_bytes_closes() {
    let sim = sim();
    closed(&sim, &[0x10, 0xFF, 0xFF, 0xFF, 0xFF, 1]);
}

#[test]
fn mqtt_3_1_0_1_the_first_packet_is_connect() {
    let sim = sim();
    for bytes in [
        packet(0xC0, &[]),
        packet(0x30, &[&field(GET), b"x"]),
        packet(0x82, &[&[0, 1], &field(GET), &[0]]),
        packet(0xE0, &[]),
    ] {
        closed(&sim, &bytes);
    }
}

#[test]
fn mqtt_3_1_0_2_a_second_connect_closes() {
    let sim = sim();
    let mut device = connected(&sim);
    device.send(&signed("").bytes());
    assert_eq!(device.ending(), Ending::Orderly);
}

#[test]
fn mqtt_3_1_2_1_another_protocol_name_closes() {
    let sim = sim();
    for name in [&b"MQTF"[..], b"mqtt", b"", b"MQTTX"] {
        closed(&sim, &connect(name, 4, 2, &[b"a"]));
    }
}

#[test]
fn mqtt_3_1_2_2_another_level_gets_code_1_and_is_closed() {
    let sim = sim();
    for level in [5, 0, 6, 255] {
        let mut device = Device::open_tcp(&sim);
        device.send(&connect(b"MQTT", level, 2, &[b"a", b"", b""]));
        assert_eq!(device.conn_ack(), (false, 1), "{level}");
        assert_eq!(device.ending(), Ending::Orderly);
    }
}

#[test]
fn mqtt_3_1_2_3_the_reserved_connect_flag_closes() {
    let sim = sim();
    closed(&sim, &connect(b"MQTT", 4, 3, &[b"a"]));
}

#[test]
fn mqtt_3_1_2_22_a_password_without_a_user_name_closes() {
    let sim = sim();
    closed(&sim, &connect(b"MQTT", 4, 0x42, &[b"a", b"p"]));
}

#[test]
fn mqtt_3_1_2_18_to_21_flags_and_fields_agree() {
    let sim = sim();
    // Announced and missing, or there and not announced.
    closed(&sim, &connect(b"MQTT", 4, 0xC2, &[b"a", b"u"]));
    closed(&sim, &connect(b"MQTT", 4, 0x82, &[b"a", b"u", b"p"]));
    closed(&sim, &connect(b"MQTT", 4, 2, &[b"a", b"u"]));
}

#[test]
fn mqtt_3_1_2_24_silence_of_one_and_a_half_intervals_closes() {
    let sim = sim_with(aliot_sim::Options {
        time_scale: 0.005,
        ..aliot_sim::Options::default()
    });
    let mut connect = signed("");
    connect.keep_alive = 30;
    let start = std::time::Instant::now();
    let mut device = Device::connected(&sim, &connect);
    assert_eq!(device.ending(), Ending::Orderly);
    assert!(start.elapsed() >= std::time::Duration::from_millis(225));
}

#[test]
fn mqtt_3_1_3_5_ids_of_1_to_23_letters_and_digits_are_taken_from_whom_the_platform_does_not_bind() {
    for id in ["a", "0123456789abcdefghijABC"] {
        let sim = verbatim(id);
        let mut device = Device::open_tcp(&sim);
        device.send(&connect(b"MQTT", 4, 0xC2, &[id.as_bytes(), b"u", b"p"]));
        assert_eq!(device.conn_ack(), (false, 0), "{id}");
    }
}

#[test]
fn mqtt_3_1_3_6_to_8_an_empty_id_goes_with_a_clean_session_alone() {
    let sim = verbatim("");
    let mut device = Device::open_tcp(&sim);
    device.send(&connect(b"MQTT", 4, 0xC2, &[b"", b"u", b"p"]));
    assert_eq!(device.conn_ack(), (false, 0));
    let mut device = Device::open_tcp(&sim);
    device.send(&connect(b"MQTT", 4, 0xC0, &[b"", b"u", b"p"]));
    assert_eq!(device.conn_ack(), (false, 2));
    assert_eq!(device.ending(), Ending::Orderly);
}

#[test]
fn mqtt_3_1_3_9_an_id_that_is_not_taken_gets_code_2_and_is_closed() {
    let sim = sim();
    let mut device = Device::open_tcp(&sim);
    device.send(&connect(b"MQTT", 4, 0xC2, &[b"no bars", b"dn&pk", b"p"]));
    assert_eq!(device.conn_ack(), (false, 2));
    assert_eq!(device.ending(), Ending::Orderly);
}

#[test]
fn mqtt_3_1_4_1_a_connect_that_is_cut_short_or_too_long_closes() {
    let sim = sim();
    for end in 8..signed("").bytes().len() - 2 {
        let whole = signed("").bytes();
        let mut bytes = whole[..end].to_vec();
        // The length is that of what is there, so that nothing is waited for.
        let body = (end - 3) as u16;
        (bytes[1], bytes[2]) = ((body % 128) as u8 | 0x80, (body / 128) as u8);
        closed(&sim, &bytes);
    }
    let mut long = connect(b"MQTT", 4, 2, &[b"a"]);
    long[1] += 1;
    long.push(0);
    closed(&sim, &long);
}

#[test]
fn mqtt_3_1_4_2_the_older_connection_is_closed() {
    let sim = sim();
    let mut older = connected(&sim);
    let mut newer = connected(&sim);
    assert_eq!(older.ending(), Ending::Orderly);
    newer.ping();
}

#[test]
fn mqtt_3_1_4_4_and_3_2_0_1_connack_comes_first() {
    let sim = sim();
    let connect = kept();
    let mut device = Device::connected(&sim, &connect);
    device.subscribe(&[("/pk/dn/user/get", 1)]);
    drop(device);
    sim.wait_for(|view| view.connections().is_empty(), PATIENCE)
        .unwrap();
    sim.publish("pk", "dn", "user/get", b"x", aliot_sim::Qos::AtLeastOnce)
        .unwrap();
    let mut device = Device::open_tcp(&sim);
    device.send(&connect.bytes());
    assert_eq!(device.receive(), (0x20, vec![1, 0]));
    assert_eq!(device.message().payload, b"x");
}

#[test]
fn mqtt_3_1_4_5_nothing_after_a_refused_connect_is_handled() {
    let sim = sim();
    let mut connect = signed("");
    connect.password = "nonsense".into();
    let mut bytes = connect.bytes();
    bytes.extend(packet(0x30, &[&field(b"/pk/dn/user/update"), b"x"]));
    bytes.extend(packet(0xC0, &[]));
    let mut device = Device::open_tcp(&sim);
    device.send(&bytes);
    assert_eq!(device.conn_ack(), (false, 4));
    assert_eq!(device.ending(), Ending::Orderly);
    assert!(sim.received().is_empty());
}

#[test]
fn mqtt_3_2_2_1_to_5_session_present_says_what_was_kept() {
    let sim = sim();
    let enter = |connect: &Connect| {
        let mut device = Device::open_tcp(&sim);
        device.send(&connect.bytes());
        (device.conn_ack(), device)
    };
    let (clean, kept) = (signed(""), kept());
    assert_eq!(enter(&kept).0, (false, 0));
    assert_eq!(enter(&kept).0, (true, 0));
    // A refusal says that nothing is there, and is followed by the end.
    let mut wrong = super::kept();
    wrong.password = "ab".into();
    let (answer, mut device) = enter(&wrong);
    assert_eq!(answer, (false, 4));
    assert_eq!(device.ending(), Ending::Orderly);
    assert_eq!(enter(&clean).0, (false, 0));
    assert_eq!(enter(&kept).0, (false, 0));
}

#[test]
fn mqtt_3_12_4_1_a_ping_is_answered() {
    let sim = sim();
    connected(&sim).ping();
}

#[test]
fn mqtt_3_14_4_disconnect_ends_the_connection_and_keeps_the_session() {
    let sim = sim();
    let mut device = Device::connected(&sim, &kept());
    device.send(&packet(0xE0, &[]));
    assert_eq!(device.ending(), Ending::Orderly);
    let mut device = Device::open_tcp(&sim);
    device.send(&kept().bytes());
    assert_eq!(device.conn_ack(), (true, 0));
}

#[test]
fn a_packet_may_come_in_any_pieces() {
    let sim = sim();
    let mut device = Device::open_tcp(&sim);
    for byte in signed("").bytes() {
        device.send(&[byte]);
    }
    assert_eq!(device.conn_ack(), (false, 0));
    // And many in one piece.
    device.send(&packet(0xC0, &[]).repeat(3));
    for _ in 0..3 {
        assert_eq!(device.receive(), (0xD0, vec![]));
    }
}
