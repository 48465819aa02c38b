//! Our decoder against rumqttc's: what both take means the same to both, and where they differ, we
//! are the stricter one for a reason that is listed here.

use bytes::BytesMut;
use proptest::prelude::*;
use rumqttc::mqttbytes::{self, v4};

use super::tests::{ANY_LEN, any_payload, any_qos, any_topic, samples, their, written};
use super::*;

/// What we refuse and rumqttc takes: a packet, and what our reason contains.
///
/// The standard demands that the connection is closed for all but the last three, which it permits
/// (MQTT 3.1.1, 1.5.3) or which no broker of QoS 0 and 1 sends.
const STRICTER: [(&[u8], &str); 25] = [
    (
        b"\x10\x0d\0\x04MQTT\x04\x02\0\x3c\0\x01a",
        "of type 1 arrived, which a server must not send",
    ),
    (
        b"\x82\x06\0\x01\0\x01a\0",
        "of type 8 arrived, which a server must not send",
    ),
    (
        b"\xa2\x05\0\x01\0\x01a",
        "of type 10 arrived, which a server must not send",
    ),
    (
        b"\xc0\0",
        "of type 12 arrived, which a server must not send",
    ),
    (
        b"\xe0\0",
        "of type 14 arrived, which a server must not send",
    ),
    (b"\x21\x02\0\0", "type 2 with the reserved flags 0b0001"),
    (b"\x42\x02\0\x01", "type 4 with the reserved flags 0b0010"),
    (b"\x94\x03\0\x01\0", "type 9 with the reserved flags 0b0100"),
    (b"\xb8\x02\0\x01", "type 11 with the reserved flags 0b1000"),
    (b"\xd1\0", "type 13 with the reserved flags 0b0001"),
    (b"\x20\x02\x02\0", "CONNACK with the flags 0x02"),
    (b"\x20\x03\0\0\0", "type 2 with a body of 3 bytes"),
    (b"\x40\x02\0\0", "PUBACK with packet id 0"),
    (b"\x90\x03\0\0\0", "SUBACK with packet id 0"),
    (b"\xb0\x02\0\0", "UNSUBACK with packet id 0"),
    (b"\xd0\x01\0", "type 13 with a body of 1 bytes"),
    (b"\x30\x02\0\0", "an empty topic"),
    (b"\x30\x03\0\x01\0", "U+0000"),
    (b"\x30\x03\0\x01+", "U+002B"),
    (b"\x30\x03\0\x01#", "U+0023"),
    (
        b"\x50\x02\0\x01",
        "of type 5 arrived, which a server must not send",
    ),
    (
        b"\x62\x02\0\x01",
        "of type 6 arrived, which a server must not send",
    ),
    (b"\x34\x05\0\x01a\0\x01", "QoS 2"),
    (b"\x30\x03\0\x01\n", "U+000A"),
    (b"\x30\x05\0\x03\xef\xbf\xbf", "U+FFFF"),
];

/// Whether the packet is what our reason says: read here by hand, so that a wrong refusal of a good
/// packet is not excused by the words that it comes with.
fn is_deserved(bytes: &[u8], reason: &str) -> bool {
    let (kind, flags) = (bytes[0] >> 4, bytes[0] & 0x0F);
    let header_len = 2 + bytes[1..].iter().take_while(|byte| **byte >= 0x80).count();
    let lengths = bytes[1..header_len].iter().rev();
    let len = lengths.fold(0, |len, byte| len << 7 | usize::from(byte & 0x7F));
    let body = &bytes[header_len..header_len + len];
    let number = |at: usize| u16::from_be_bytes([body[at], body[at + 1]]);
    let topic_end = || 2 + usize::from(number(0));
    let has = |words: &str| reason.contains(words);
    if has("a server must not send") {
        matches!(kind, 0 | 1 | 5..=8 | 10 | 12 | 14 | 15)
    } else if has("with the reserved flags") {
        kind != 3 && flags != 0
    } else if has("CONNACK with the flags") {
        kind == 2 && body[0] > 1
    } else if has("with a body of") {
        match kind {
            2 | 4 | 11 => len != 2,
            9 => len < 3,
            13 => len != 0,
            _ => false,
        }
    } else if has("with packet id 0") {
        match kind {
            3 => flags & 0b0110 == 0b0010 && number(topic_end()) == 0,
            4 | 9 | 11 => number(0) == 0,
            _ => false,
        }
    } else if has("an empty topic") {
        kind == 3 && number(0) == 0
    } else if has("whose topic contains U+") {
        let topic = std::str::from_utf8(&body[2..topic_end()]).unwrap();
        // Wildcards, control characters, and those that Unicode has set aside for nobody.
        let is_refused = |c: char| {
            let low = u32::from(c) & 0xFFFF;
            matches!(c, '+' | '#' | '\0'..='\x1F' | '\x7F'..='\u{9F}' | '\u{FDD0}'..='\u{FDEF}')
                || low >= 0xFFFE
        };
        kind == 3 && topic.chars().any(is_refused)
    } else {
        has("QoS 2") && kind == 3 && flags & 0b0110 == 0b0100
    }
}

fn ours(bytes: &[u8]) -> Result<Option<Packet>, Malformed> {
    match split(&mut BytesMut::from(bytes), usize::MAX)? {
        Some((frame, header_len)) => decode(frame, header_len).map(Some),
        None => Ok(None),
    }
}

fn theirs(bytes: &[u8]) -> Result<Option<v4::Packet>, mqttbytes::Error> {
    match v4::Packet::read(&mut BytesMut::from(bytes), ANY_LEN) {
        Ok(packet) => Ok(Some(packet)),
        Err(mqttbytes::Error::InsufficientBytes(_)) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Whether both decoders understood the same.
fn is_same(ours: &Packet, theirs: &v4::Packet) -> bool {
    match (ours, theirs) {
        (
            Packet::ConnAck {
                session_present,
                code,
            },
            v4::Packet::ConnAck(theirs),
        ) => (*session_present, *code) == (theirs.session_present, theirs.code as u8),
        (Packet::Publish(ours), v4::Packet::Publish(theirs)) => {
            ours.topic() == theirs.topic
                && ours.payload() == theirs.payload
                && their(ours.qos()) == theirs.qos
                && ours.id().unwrap_or_default() == theirs.pkid
                && (ours.duplicate(), ours.retained()) == (theirs.dup, theirs.retain)
        }
        (Packet::PubAck { id }, v4::Packet::PubAck(theirs)) => *id == theirs.pkid,
        (Packet::UnsubAck { id }, v4::Packet::UnsubAck(theirs)) => *id == theirs.pkid,
        (Packet::SubAck { id, codes }, v4::Packet::SubAck(theirs)) => {
            let code = |code: &v4::SubscribeReasonCode| match code {
                v4::SubscribeReasonCode::Success(qos) => *qos as u8,
                v4::SubscribeReasonCode::Failure => 0x80,
            };
            *id == theirs.pkid
                && codes
                    .iter()
                    .copied()
                    .eq(theirs.return_codes.iter().map(code))
        }
        (Packet::PingResp, v4::Packet::PingResp) => true,
        _ => false,
    }
}

fn compare(bytes: &[u8]) {
    match (ours(bytes), theirs(bytes)) {
        (Ok(Some(ours)), Ok(Some(theirs))) => {
            assert!(
                is_same(&ours, &theirs),
                "{bytes:02x?}: {ours:?}, {theirs:?}"
            );
        }
        (Ok(None), Ok(None)) | (Err(_), Err(_)) => {}
        // What cannot become a packet for us is refused before the rest has arrived.
        (Err(_), Ok(None)) => {}
        (Err(malformed), Ok(Some(theirs))) => {
            let reason = malformed.to_string();
            assert!(
                is_deserved(bytes, &reason),
                "{bytes:02x?}: we say {reason}, they take {theirs:?}"
            );
        }
        // We hand over a return code that does not exist; the device refuses it.
        (Ok(Some(Packet::ConnAck { code: 6.., .. })), Err(error)) => {
            let is_code = matches!(error, mqttbytes::Error::InvalidConnectReturnCode(_));
            assert!(is_code, "{bytes:02x?}: {error}");
        }
        // A packet of more than the test allows rumqttc.
        (Ok(None), Err(mqttbytes::Error::PayloadSizeLimitExceeded(_))) => {}
        (ours, theirs) => panic!("{bytes:02x?}: {ours:?}, {theirs:?}"),
    }
}

#[test]
fn what_we_refuse_and_rumqttc_takes_is_refused_on_purpose() {
    let mut refused_by_both = Vec::new();
    for (bytes, expected) in STRICTER {
        let reason = ours(bytes).unwrap_err().to_string();
        assert!(reason.contains(expected), "{bytes:02x?}: {reason}");
        assert!(is_deserved(bytes, &reason), "{bytes:02x?}: {reason}");
        if !matches!(theirs(bytes), Ok(Some(_))) {
            refused_by_both.push(expected);
        }
    }
    assert_eq!(refused_by_both, [""; 0], "no deviation any more");
}

#[test]
fn the_one_thing_that_we_take_and_rumqttc_refuses_is_an_unknown_connack_code() {
    let code_6 = b"\x20\x02\0\x06";
    let taken = Packet::ConnAck {
        session_present: false,
        code: 6,
    };
    assert_eq!(ours(code_6), Ok(Some(taken)));
    assert!(theirs(code_6).is_err());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4096))]

    #[test]
    fn packets_that_were_changed_are_read_as_rumqttc_reads_them_or_refused_for_a_listed_reason(
        sample in prop::sample::select(samples()),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>(), 0..3_u8), 0..4),
        shorter in 0..3_usize,
    ) {
        let mut bytes = sample;
        for (at, byte, how) in changes {
            let at = at.index(bytes.len());
            match how {
                0 => bytes[at] = byte,
                1 => bytes[at] ^= 1 << (byte % 8),
                _ => bytes.insert(at, byte),
            }
        }
        bytes.truncate(bytes.len() - shorter.min(bytes.len()));
        compare(&bytes);
    }

    #[test]
    fn bodies_of_any_bytes_are_read_as_rumqttc_reads_them_or_refused_for_a_listed_reason(
        first: u8,
        body in prop::collection::vec(any::<u8>(), 0..40),
    ) {
        compare(&[&[first, body.len() as u8], &body[..]].concat());
    }

    #[test]
    fn what_we_encode_rumqttc_reads(
        topic in any_topic(),
        payload in any_payload(),
        qos in any_qos(),
        id in 1..=u16::MAX,
        duplicate: bool,
    ) {
        let mut bytes = BytesMut::new();
        let id_at = encode_publish(&mut bytes, &topic, &payload, qos);
        if qos == Qos::AtLeastOnce {
            set_packet_id(&mut bytes, id_at, id);
        }
        set_duplicate(&mut bytes, duplicate);
        let Ok(Some(v4::Packet::Publish(theirs))) = theirs(&bytes) else {
            return Err(TestCaseError::fail("not a PUBLISH"));
        };
        prop_assert_eq!(&theirs.topic, &topic);
        prop_assert_eq!(&theirs.payload[..], &payload[..]);
        prop_assert_eq!((theirs.qos, theirs.dup, theirs.retain), (their(qos), duplicate, false));
        let again = written(|out| theirs.write(out));
        prop_assert_eq!(again, bytes);
    }
}

/// QoS 0 messages leave in segments: the stream is what rumqttc would have written.
#[test]
fn a_burst_of_messages_is_the_stream_that_rumqttc_would_write() {
    use crate::proto::direct::Direct;
    use crate::proto::event::Token;
    use crate::proto::shaper::Shaper;
    use crate::proto::spares::Spares;
    use std::time::Duration;
    let (mut direct, mut spares) = (Direct::default(), Spares::default());
    let mut expected = BytesMut::new();
    for n in 0..3000_usize {
        let (topic, payload) = (format!("t/{n}"), vec![b'x'; n * 7 % 400]);
        direct.push(&topic, &payload, None, Token::FIRST, &mut spares);
        let theirs = v4::Publish::new(topic, rumqttc::QoS::AtMostOnce, payload);
        theirs.write(&mut expected).unwrap();
    }
    let mut ours = BytesMut::new();
    while !direct.is_empty() {
        let bytes = direct.pop(&mut Shaper::new(None), Duration::ZERO);
        ours.extend_from_slice(&bytes);
        direct.handle_taken();
        spares.keep(bytes, Duration::ZERO);
    }
    assert!(
        ours == expected,
        "{} bytes, {} expected",
        ours.len(),
        expected.len()
    );
}
