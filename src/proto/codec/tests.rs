//! The codec against rumqttc's encoders, against every cut of the stream, and against noise.

use bytes::{Bytes, BytesMut};
use proptest::prelude::*;
use rumqttc::QoS;
use rumqttc::mqttbytes::v4;

use super::*;
use crate::Secret;

/// More than any packet of these tests has.
pub(super) const ANY_LEN: usize = 1 << 20;

pub(super) fn their(qos: Qos) -> QoS {
    match qos {
        Qos::AtMostOnce => QoS::AtMostOnce,
        Qos::AtLeastOnce => QoS::AtLeastOnce,
    }
}

pub(super) fn written<E: std::fmt::Debug>(
    write: impl FnOnce(&mut BytesMut) -> Result<usize, E>,
) -> BytesMut {
    let mut out = BytesMut::new();
    write(&mut out).unwrap();
    out
}

/// Everything in `stream`, cut and read; what is left is incomplete.
fn read_all(stream: &mut BytesMut, max_len: usize) -> Result<Vec<Packet>, Malformed> {
    let mut packets = Vec::new();
    while let Some((frame, header_len)) = split(stream, max_len)? {
        packets.push(decode(frame, header_len)?);
    }
    Ok(packets)
}

fn read_one(bytes: &[u8]) -> Result<Packet, Malformed> {
    let mut stream = BytesMut::from(bytes);
    let mut packets = read_all(&mut stream, ANY_LEN)?;
    assert!(stream.is_empty(), "{} bytes are left", stream.len());
    assert_eq!(packets.len(), 1);
    Ok(packets.remove(0))
}

pub(super) fn any_qos() -> impl Strategy<Value = Qos> {
    prop_oneof![Just(Qos::AtMostOnce), Just(Qos::AtLeastOnce)]
}

/// Topics that may be received, which are among those that may be sent.
pub(super) fn any_topic() -> impl Strategy<Value = String> {
    prop_oneof![
        "[ -~&&[^+#]]{1,40}",
        "[a-zé中😀/]{1,20}",
        (1..300_usize).prop_map(|len| "t".repeat(len)),
    ]
}

/// Around the steps of the remaining length, and anything else.
pub(super) fn any_payload() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        prop::collection::vec(any::<u8>(), 0..300),
        (100..140_usize).prop_map(|len| vec![7; len]),
        (16_300..16_400_usize).prop_map(|len| vec![8; len]),
    ]
}

proptest! {
    #[test]
    fn publish_is_encoded_as_rumqttc_does(
        topic in any_topic(),
        payload in any_payload(),
        qos in any_qos(),
        id in 1..=u16::MAX,
        duplicate in any::<bool>(),
        before in prop::collection::vec(any::<u8>(), 0..8),
    ) {
        let mut packet = v4::Publish::new(&topic, their(qos), payload.clone());
        packet.pkid = if qos == Qos::AtLeastOnce { id } else { 0 };
        packet.dup = duplicate;
        let expected = written(|out| packet.write(out));

        let mut out = BytesMut::from(before.as_slice());
        let id_at = encode_publish(&mut out, &topic, &payload, qos);
        let mut ours = out.split_off(before.len());
        prop_assert_eq!(out, before, "what was in the buffer stays");
        if qos == Qos::AtLeastOnce {
            set_packet_id(&mut ours, id_at, id);
        } else {
            prop_assert_eq!(id_at, 0);
        }
        set_duplicate(&mut ours, duplicate);
        prop_assert_eq!(&ours, &expected);
        prop_assert_eq!(publish_len(topic.len(), payload.len(), qos), Some(ours.len()));
    }

    #[test]
    fn puback_is_encoded_as_rumqttc_does(id in 1..=u16::MAX) {
        let expected = written(|out| v4::PubAck::new(id).write(out));
        let mut out = BytesMut::new();
        encode_puback(&mut out, id);
        prop_assert_eq!(out, expected);
    }

    #[test]
    fn what_rumqttc_encodes_is_read_as_it_was_meant(
        topic in any_topic(),
        payload in any_payload(),
        qos in any_qos(),
        id in 1..=u16::MAX,
        duplicate in any::<bool>(),
        retained in any::<bool>(),
    ) {
        let mut packet = v4::Publish::new(&topic, their(qos), payload.clone());
        packet.pkid = if qos == Qos::AtLeastOnce { id } else { 0 };
        (packet.dup, packet.retain) = (duplicate, retained);
        let bytes = written(|out| packet.write(out));
        let Ok(Packet::Publish(publish)) = read_one(&bytes) else {
            return Err(TestCaseError::fail("not a PUBLISH"));
        };
        prop_assert_eq!(publish.topic(), &topic);
        let longer = topic + "x";
        prop_assert_eq!((publish.is_on(publish.topic()), publish.is_on(&longer)), (true, false));
        prop_assert_eq!(publish.payload(), payload);
        prop_assert_eq!(publish.qos(), qos);
        prop_assert_eq!(publish.id(), (qos == Qos::AtLeastOnce).then_some(id));
        prop_assert_eq!((publish.duplicate(), publish.retained()), (duplicate, retained));
        prop_assert_eq!(publish.wire_len(), bytes.len());
    }

    #[test]
    fn acknowledgements_that_rumqttc_encodes_are_read_as_they_were_meant(
        id in 1..=u16::MAX,
        codes in prop::collection::vec(0..4_u8, 1..300),
        session_present in any::<bool>(),
    ) {
        let bytes = written(|out| v4::PubAck::new(id).write(out));
        prop_assert_eq!(read_one(&bytes), Ok(Packet::PubAck { id }));
        let bytes = written(|out| v4::UnsubAck::new(id).write(out));
        prop_assert_eq!(read_one(&bytes), Ok(Packet::UnsubAck { id }));
        let theirs = codes.iter().map(|code| match code {
            0 => v4::SubscribeReasonCode::Success(QoS::AtMostOnce),
            1 => v4::SubscribeReasonCode::Success(QoS::AtLeastOnce),
            2 => v4::SubscribeReasonCode::Success(QoS::ExactlyOnce),
            _ => v4::SubscribeReasonCode::Failure,
        });
        let bytes = written(|out| v4::SubAck::new(id, theirs.collect()).write(out));
        let ours = codes.iter().map(|&code| if code == 3 { 0x80 } else { code }).collect();
        prop_assert_eq!(read_one(&bytes), Ok(Packet::SubAck { id, codes: ours }));
        let success = v4::ConnectReturnCode::Success;
        let bytes = written(|out| v4::ConnAck::new(success, session_present).write(out));
        prop_assert_eq!(read_one(&bytes), Ok(Packet::ConnAck { session_present, code: 0 }));
    }

    #[test]
    fn random_bytes_are_refused_or_read_and_never_panic(
        bytes in prop::collection::vec(any::<u8>(), 0..200),
        max_len in 2..300_usize,
    ) {
        let mut stream = BytesMut::from(bytes.as_slice());
        let _ = read_all(&mut stream, max_len);
    }

    /// Whatever goes on behind the type and the flags, which alone refuse most of pure noise.
    #[test]
    fn random_bodies_are_refused_or_read_and_never_panic(
        first in prop::sample::select(vec![0x20_u8, 0x30, 0x31, 0x32, 0x3B, 0x40, 0x90, 0xB0, 0xD0]),
        body in prop::collection::vec(any::<u8>(), 0..120),
    ) {
        let mut bytes = vec![first, body.len() as u8];
        bytes.extend_from_slice(&body);
        if let Ok(packet) = read_one(&bytes) {
            check_invariants(&packet);
        }
    }

    #[test]
    fn split_cuts_what_the_header_says_and_nothing_above_the_limit(
        len in 0..400_usize,
        max_len in 2..400_usize,
        more in prop::collection::vec(any::<u8>(), 0..20),
    ) {
        let mut packet = BytesMut::from(&[0x30][..]);
        put_length(&mut packet, len);
        packet.resize(packet.len() + len, b'x');
        let header_len = packet.len() - len;
        let mut stream = packet.clone();
        stream.extend_from_slice(&more);
        match split(&mut stream, max_len) {
            Ok(Some((frame, at))) => {
                prop_assert!(packet.len() <= max_len);
                prop_assert_eq!((frame.as_ref(), at), (packet.as_ref(), header_len));
                prop_assert_eq!(stream, more);
            }
            Ok(None) => prop_assert!(false, "the packet is complete"),
            Err(_) => prop_assert!(packet.len() > max_len),
        }
    }

    #[test]
    fn the_first_packet_ends_where_rumqttc_ended_it(
        topic in any_topic(),
        payload in any_payload(),
        cut in any::<prop::sample::Index>(),
    ) {
        let packet = v4::Publish::new(&topic, QoS::AtMostOnce, payload);
        let bytes = written(|out| packet.write(out));
        let mut two = bytes.clone();
        two.extend_from_slice(&bytes);
        prop_assert_eq!(first_packet_len(&two), Some(bytes.len()));
        let part = bytes.get(..cut.index(bytes.len())).unwrap();
        prop_assert_eq!(first_packet_len(part), None, "an incomplete packet has no end");
    }
}

/// What holds for every packet that was read.
fn check_invariants(packet: &Packet) {
    match packet {
        Packet::Publish(publish) => {
            let topic = publish.topic();
            assert!(
                !topic.is_empty() && !topic.contains(['+', '#', '\0']),
                "{topic:?}"
            );
            assert!(!topic.chars().any(char::is_control), "{topic:?}");
            assert_ne!(publish.id(), Some(0));
            assert!(publish.payload().len() < publish.wire_len());
        }
        Packet::PubAck { id } | Packet::UnsubAck { id } => assert_ne!(*id, 0),
        Packet::SubAck { id, codes } => {
            assert_ne!(*id, 0);
            assert!(!codes.is_empty());
            assert!(codes.iter().all(|code| matches!(code, 0..=2 | 0x80)));
        }
        Packet::ConnAck { .. } | Packet::PingResp => {}
    }
}

/// One of each, and a PUBLISH with a two-byte length.
pub(super) fn samples() -> Vec<Vec<u8>> {
    let mut publish = BytesMut::new();
    let id_at = encode_publish(&mut publish, "a/é/😀", b"payload", Qos::AtLeastOnce);
    set_packet_id(&mut publish, id_at, 0x1234);
    let mut long = BytesMut::new();
    encode_publish(&mut long, "long", &[b'x'; 200], Qos::AtMostOnce);
    vec![
        vec![0x20, 2, 1, 0],
        publish.to_vec(),
        vec![0x40, 2, 0x12, 0x34],
        vec![0x90, 5, 0, 1, 0, 1, 0x80],
        long.to_vec(),
        vec![0xB0, 2, 0, 2],
        vec![0xD0, 0],
    ]
}

#[test]
fn packets_are_the_same_wherever_the_stream_is_cut() {
    let bytes = samples().concat();
    let whole = read_all(&mut BytesMut::from(bytes.as_slice()), ANY_LEN).unwrap();
    assert_eq!(whole.len(), samples().len());
    for cut in 0..=bytes.len() {
        let (before, after) = bytes.split_at(cut);
        let mut stream = BytesMut::from(before);
        let mut packets = read_all(&mut stream, ANY_LEN).unwrap();
        stream.extend_from_slice(after);
        packets.extend(read_all(&mut stream, ANY_LEN).unwrap());
        assert_eq!(packets, whole, "cut at {cut}");
        assert!(stream.is_empty());
    }
    let mut stream = BytesMut::new();
    let mut packets = Vec::new();
    for &byte in &bytes {
        stream.extend_from_slice(&[byte]);
        packets.extend(read_all(&mut stream, ANY_LEN).unwrap());
    }
    assert_eq!(packets, whole, "byte by byte");
}

#[test]
fn two_hundred_thousand_mutated_packets_are_refused_or_read_and_never_panic() {
    // Numerical Recipes' generator: the same inputs in every run.
    let mut state = 1_u64;
    let mut random = move |below: usize| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        ((state >> 33) as usize) % below
    };
    let samples = samples();
    let (mut read, mut refused) = (0, 0);
    for _ in 0..200_000 {
        let mut bytes = samples[random(samples.len())].clone();
        for _ in 0..=random(4) {
            let at = random(bytes.len());
            match random(5) {
                0 => bytes[at] ^= 1 << random(8),
                1 => bytes[at] = random(256) as u8,
                2 => bytes.insert(at, random(256) as u8),
                3 if bytes.len() > 1 => drop(bytes.remove(at)),
                _ => bytes.truncate(at.max(1)),
            }
        }
        let mut stream = BytesMut::from(bytes.as_slice());
        match read_all(&mut stream, ANY_LEN) {
            Ok(packets) => {
                packets.iter().for_each(check_invariants);
                read += 1;
            }
            Err(malformed) => {
                assert!(!malformed.to_string().is_empty());
                refused += 1;
            }
        }
    }
    // Neither way is rare, or the test would test nothing.
    assert!(
        read > 20_000 && refused > 20_000,
        "{read} read, {refused} refused"
    );
}

#[test]
fn what_the_header_rules_out_is_refused_before_the_rest_arrives() {
    let cases: [(&[u8], usize, &str); 6] = [
        (&[0x10], ANY_LEN, "type 1"),
        (&[0x34], ANY_LEN, "QoS 2"),
        (&[0x36], ANY_LEN, "QoS 3"),
        (&[0x41], ANY_LEN, "flags 0b0001"),
        (
            &[0x30, 0x80, 0x80, 0x80, 0x80],
            ANY_LEN,
            "more than four bytes",
        ),
        (&[0x30, 0xFF, 0x01], 257, "258 bytes arrived: at most 257"),
    ];
    for (bytes, max_len, reason) in cases {
        let error = split(&mut BytesMut::from(bytes), max_len).unwrap_err();
        assert!(error.to_string().contains(reason), "{bytes:02x?}: {error}");
    }
    // One byte fewer announced is one that may come.
    let waits = split(&mut BytesMut::from(&[0x30, 0xFE, 0x01][..]), 257);
    assert_eq!(waits, Ok(None));
}

#[test]
fn the_longest_length_of_four_bytes_is_a_length() {
    let mut out = BytesMut::new();
    put_length(&mut out, MAX_REMAINING_LENGTH);
    assert_eq!(out.as_ref(), [0xFF, 0xFF, 0xFF, 0x7F]);
    let mut stream = BytesMut::from(&[0x30, 0xFF, 0xFF, 0xFF, 0x7F][..]);
    assert_eq!(split(&mut stream, usize::MAX), Ok(None));
}

#[test]
fn lengths_step_where_the_standard_says() {
    for (remaining, bytes) in [
        (0, 1),
        (127, 1),
        (128, 2),
        (16_383, 2),
        (16_384, 3),
        (2_097_151, 3),
        (2_097_152, 4),
        (MAX_REMAINING_LENGTH, 4),
    ] {
        let mut out = BytesMut::new();
        put_length(&mut out, remaining);
        assert_eq!(
            (out.len(), length_len(remaining)),
            (bytes, bytes),
            "{remaining}"
        );
        let mut packet = BytesMut::from(&[0x30][..]);
        put_length(&mut packet, remaining);
        packet.put_slice(&[0xFF; 3]);
        assert_eq!(header_len(&packet), 1 + bytes, "{remaining}");
    }
}

#[test]
fn a_field_of_connect_has_as_many_bytes_as_two_bytes_count() {
    for field in 0..3 {
        for (len, fits) in [(65_535, true), (65_536, false)] {
            let mut fields = ["a"; 3].map(str::to_owned);
            fields[field] = "x".repeat(len);
            let [client_id, username, password] = &fields;
            let password = Secret::new(password);
            let credentials = Credentials::new(client_id.clone(), username.clone(), password);
            let mut out = BytesMut::new();
            let encoded = encode_connect(&mut out, &credentials, 60, true);
            let Ok(v4::Packet::Connect(theirs)) = v4::Packet::read(&mut out, ANY_LEN) else {
                assert!(!fits && encoded == Err(TooLong) && out.is_empty());
                continue;
            };
            assert!(fits && encoded == Ok(()), "{len}");
            let login = theirs.login.unwrap();
            assert_eq!([theirs.client_id, login.username, login.password], fields);
        }
    }
}

#[test]
fn a_publish_that_mqtt_cannot_express_has_no_length() {
    let most = MAX_REMAINING_LENGTH - 2 - 1;
    let whole = Some(MAX_FIXED_HEADER + MAX_REMAINING_LENGTH);
    assert_eq!(publish_len(1, most, Qos::AtMostOnce), whole);
    assert_eq!(publish_len(1, most + 1, Qos::AtMostOnce), None);
    assert_eq!(publish_len(1, most - 2, Qos::AtLeastOnce), whole);
    assert_eq!(publish_len(1, most - 1, Qos::AtLeastOnce), None);
    assert_eq!(publish_len(1, usize::MAX, Qos::AtMostOnce), None);
    assert!(publish_len(65_535, 0, Qos::AtMostOnce).is_some());
    assert_eq!(publish_len(65_536, 0, Qos::AtMostOnce), None);
}

#[test]
fn a_packet_id_and_the_duplicate_flag_change_nothing_else() {
    let mut packet = BytesMut::new();
    let id_at = encode_publish(&mut packet, "topic", b"payload", Qos::AtLeastOnce);
    let plain = packet.clone();
    set_packet_id(&mut packet, id_at, 0xABCD);
    assert_eq!(packet.get(id_at..id_at + 2), Some(&[0xAB, 0xCD][..]));
    set_packet_id(&mut packet, id_at, 0);
    assert_eq!(packet, plain);
    set_duplicate(&mut packet, true);
    set_duplicate(&mut packet, true);
    assert_eq!(packet.first(), Some(&0x3A));
    assert_eq!(packet.get(1..), plain.get(1..));
    set_duplicate(&mut packet, false);
    assert_eq!(packet, plain);
    // Out of range is nothing at all.
    set_packet_id(&mut packet, plain.len() - 1, 7);
    set_duplicate(&mut [], true);
    assert_eq!(packet, plain);
}

/// Thousands of messages may wait, each in the buffer it was encoded into.
#[test]
fn a_message_takes_the_memory_of_its_bytes() {
    for (len, qos) in [(100, Qos::AtMostOnce), (100_000, Qos::AtLeastOnce)] {
        let mut out = BytesMut::new();
        encode_publish(&mut out, "topic", &vec![0; len], qos);
        assert_eq!(out.capacity(), out.len());
    }
}

#[test]
fn the_first_packet_of_nothing_and_of_noise_has_no_end() {
    for bytes in [
        &[][..],
        &[0x30],
        &[0x30, 0x80],
        &[0x30, 0x80, 0x80, 0x80, 0x80, 1],
    ] {
        assert_eq!(first_packet_len(bytes), None, "{bytes:02x?}");
    }
    assert_eq!(first_packet_len(&[0xC0, 0, 0xC0, 0]), Some(2));
}

#[test]
fn pingreq_and_disconnect_are_encoded_as_rumqttc_does() {
    let mut out = BytesMut::new();
    encode_pingreq(&mut out);
    assert_eq!(out, written(|out| v4::PingReq.write(out)));
    let mut out = BytesMut::new();
    encode_disconnect(&mut out);
    assert_eq!(out, written(|out| v4::Disconnect.write(out)));
}

#[test]
fn rare_packets_are_appended_to_what_waits() {
    let mut out = BytesMut::from(&b"waits"[..]);
    let filters = [("a/+", Qos::AtLeastOnce), ("b", Qos::AtMostOnce)];
    encode_subscribe(&mut out, 0x0102, filters.into_iter()).unwrap();
    assert_eq!(
        out.as_ref(),
        b"waits\x82\x0c\x01\x02\x00\x03a/+\x01\x00\x01b\x00"
    );
    let mut out = BytesMut::from(&b"waits"[..]);
    encode_unsubscribe(&mut out, 0x0102, ["a/+", "b"].into_iter()).unwrap();
    assert_eq!(out.as_ref(), b"waits\xa2\x0a\x01\x02\x00\x03a/+\x00\x01b");
}

#[test]
fn a_received_message_shares_the_bytes_it_arrived_in() {
    let frame = Bytes::from_static(b"\x30\x08\x00\x01apayld");
    let Ok(Packet::Publish(publish)) = decode(frame.clone(), 2) else {
        panic!("not a PUBLISH");
    };
    assert_eq!(publish.payload().as_ptr(), frame.slice(5..).as_ptr());
}

#[test]
fn a_message_is_wiped_as_a_whole_once_nobody_else_reads_it() {
    let frame = Bytes::from_static(b"\x30\x09\x00\x01tsecret");
    let Ok(Packet::Publish(publish)) = read_one(&frame) else {
        panic!("not a message");
    };
    let reader = publish.clone();
    assert_eq!(publish.wipe(), None);
    assert_eq!(reader.payload(), b"secret");
    assert_eq!(reader.wipe().unwrap(), vec![0; frame.len()]);
}

#[test]
fn the_topic_of_an_encoded_message_is_found_behind_any_header() {
    for len in [0, 200, 20_000] {
        let mut packet = BytesMut::new();
        let id_at = encode_publish(&mut packet, "a/topic", &vec![0; len], Qos::AtLeastOnce);
        assert_eq!(topic_of(&packet, id_at), "a/topic");
    }
}

#[test]
fn the_memory_of_a_message_is_given_back_once_nobody_else_reads_it() {
    let frame = Bytes::from_static(b"\x30\x09\x00\x01tsecret");
    let Ok(Packet::Publish(publish)) = read_one(&frame) else {
        panic!("not a message");
    };
    let reader = publish.clone();
    assert_eq!(publish.into_memory().capacity(), 0);
    assert_eq!(reader.payload(), b"secret");
    assert!(reader.into_memory().capacity() >= frame.len());
}

#[test]
fn what_is_missing_is_known_from_the_header_on() {
    let mut wire = BytesMut::new();
    encode_publish(&mut wire, "a", &[0; 70_000], Qos::AtMostOnce);
    for len in [0, 1, 2, 3] {
        assert_eq!(missing(&wire[..len]), None, "{len} bytes");
    }
    for len in [4, 5, 1000, wire.len() - 1, wire.len()] {
        assert_eq!(missing(&wire[..len]), Some(wire.len() - len), "{len} bytes");
    }
    wire.extend_from_slice(&[0xD0, 0]);
    assert_eq!(
        missing(&wire),
        Some(0),
        "the next packet is not of this one"
    );
}
