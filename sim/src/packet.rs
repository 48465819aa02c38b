//! Cuts a byte stream into MQTT packets and refuses what the standard forbids.
//!
//! The codec is lenient: it ignores reserved bits and trailing bytes. A simulator that let a faulty
//! packet pass would hide the fault from its author, so this file looks at the bytes as well.

use bytes::{Bytes, BytesMut};
use rumqttc::mqttbytes::v4::{Packet, SubAck, SubscribeReasonCode};
use rumqttc::mqttbytes::{self, QoS};

/// Largest payload the platform takes. Source: platform page "Limits", MQTT message.
pub(crate) const MAX_PAYLOAD: usize = 262_144;

/// Largest packet that is read at all: the payload, the longest topic MQTT has and the packet id. A
/// larger payload or a topic beyond the platform's limit is thus still read, and explained.
const MAX_REMAINING: usize = 2 * MAX_PAYLOAD;

/// Why a stream cannot be read on.
#[derive(Debug, Eq, PartialEq)]
pub(crate) enum Fault {
    /// A CONNECT of another protocol or version; it is owed a CONNACK.
    Version(String),
    /// Anything else; the connection is closed.
    Malformed(String),
}

fn malformed<T>(reason: impl Into<String>) -> Result<T, Fault> {
    Err(Fault::Malformed(reason.into()))
}

/// Takes the next whole packet off `buffer`, or `None` if there is not enough of it yet.
pub(crate) fn next(buffer: &mut BytesMut) -> Result<Option<Packet>, Fault> {
    let Some(first) = buffer.first().copied() else {
        return Ok(None);
    };
    check_first_byte(first)?;
    let header = match mqttbytes::check(buffer.iter(), MAX_REMAINING) {
        Ok(header) => header,
        Err(mqttbytes::Error::InsufficientBytes(_)) => return Ok(None),
        Err(mqttbytes::Error::PayloadSizeLimitExceeded(size)) => {
            return malformed(format!(
                "a packet of {size} bytes; the limit is {MAX_PAYLOAD}"
            ));
        }
        Err(error) => return malformed(error.to_string()),
    };
    let mut frame = buffer.split_to(header.frame_length());
    if first == CONNECT {
        frame = as_3_1_1(frame);
    }
    let raw = frame.clone().freeze();
    let body_at = raw
        .iter()
        .skip(1)
        .position(|byte| byte & 0x80 == 0)
        .unwrap_or(0)
        + 2;
    let body = raw.slice(body_at.min(raw.len())..);
    if first == CONNECT {
        check_connect_header(&body)?;
    }
    let packet = Packet::read(&mut frame, MAX_REMAINING)
        .map_err(|error| Fault::Malformed(error.to_string()))?;
    check_packet(&packet, first, &body)?;
    Ok(Some(packet))
}

const CONNECT: u8 = 0x10;

/// First bytes that a client may send: type and flags. Source: MQTT 3.1.1, 2.2.1 and 2.2.2.
fn check_first_byte(first: u8) -> Result<(), Fault> {
    match first {
        CONNECT | 0x40 | 0x82 | 0xA2 | 0xC0 | 0xE0 => Ok(()),
        // A TLS record of type handshake begins so.
        0x16 => malformed("the client speaks TLS to the plain TCP port"),
        0x30..=0x3F if first & 0b0110 == 0b0110 => malformed("a PUBLISH with both QoS bits set"),
        0x30..=0x3F if first & 0b0001 != 0 => {
            malformed("a PUBLISH with retain: the platform has no retained messages")
        }
        0x30..=0x3F if first & 0b0100 != 0 => {
            malformed("a PUBLISH of QoS 2: the platform has QoS 0 and 1")
        }
        0x30..=0x3F if first == 0x38 => malformed("a PUBLISH of QoS 0 with DUP"),
        0x30..=0x3F => Ok(()),
        _ => malformed(format!(
            "a packet that begins with {first:#04x}, which no client may send"
        )),
    }
}

/// A CONNECT of MQTT 3.1 as one of 3.1.1, which has the same fields under another protocol name. The
/// platform takes both. Any other packet stays as it is.
fn as_3_1_1(frame: BytesMut) -> BytesMut {
    let old = b"\0\x06MQIsdp\x03";
    let body_at = frame.iter().skip(1).position(|byte| byte & 0x80 == 0);
    let body = body_at.and_then(|at| frame.get(at + 2..));
    let Some(rest) = body.and_then(|body| body.strip_prefix(old)) else {
        return frame;
    };
    let body = [&b"\0\x04MQTT\x04"[..], rest].concat();
    let mut renamed = BytesMut::with_capacity(body.len() + 5);
    renamed.extend_from_slice(&[CONNECT]);
    let mut left = body.len();
    loop {
        let byte = u8::try_from(left % 128).unwrap_or(0);
        left /= 128;
        renamed.extend_from_slice(&[if left > 0 { byte | 0x80 } else { byte }]);
        if left == 0 {
            break;
        }
    }
    renamed.extend_from_slice(&body);
    renamed
}

/// Protocol name, level and flags. Source: MQTT 3.1.1, 3.1.2.
fn check_connect_header(body: &Bytes) -> Result<(), Fault> {
    let Some(header) = body.get(..8) else {
        return malformed("a CONNECT that is too short");
    };
    match header {
        [0, 4, b'M', b'Q', b'T', b'T', 4, flags] => {
            if flags & 1 != 0 {
                return malformed("a CONNECT with the reserved flag set");
            }
            if flags & 0b1100_0000 == 0b0100_0000 {
                return malformed("a CONNECT with a password and no user name");
            }
            Ok(())
        }
        [0, 4, b'M', b'Q', b'T', b'T', level, _] => {
            let version = match level {
                5 => "MQTT 5".to_owned(),
                level => format!("protocol level {level}"),
            };
            Err(Fault::Version(format!(
                "{version}: speak MQTT 3.1.1, level 4"
            )))
        }
        [0, 6, b'M', b'Q', b'I', b's', b'd', b'p'] => Err(Fault::Version(
            "MQIsdp of another level than 3: speak MQTT 3.1.1, level 4".into(),
        )),
        _ => malformed("a CONNECT whose protocol name is not MQTT"),
    }
}

/// What the codec lets pass.
fn check_packet(packet: &Packet, first: u8, body: &Bytes) -> Result<(), Fault> {
    let texts: Vec<&str> = match packet {
        Packet::Connect(connect) => {
            let will = connect.last_will.as_ref();
            let will = will.map_or(0, |will| 4 + will.topic.len() + will.message.len());
            let flags = body.get(7).copied().unwrap_or_default();
            let login = connect.login.as_ref();
            let (name, password) = login.map_or(("", ""), |login| {
                (login.username.as_str(), login.password.as_str())
            });
            let prefixes = 2 * usize::from(flags >> 7) + 2 * usize::from(flags >> 6 & 1);
            let len = 12 + connect.client_id.len() + will + prefixes + name.len() + password.len();
            if len != body.len() {
                return malformed("a CONNECT with bytes after its last field");
            }
            vec![&connect.client_id, name]
        }
        Packet::Publish(publish) => {
            // The codec's own size of the payload is exact, so nothing can trail it.
            vec![&publish.topic]
        }
        Packet::Subscribe(subscribe) => {
            if subscribe.pkid == 0 {
                return malformed("a SUBSCRIBE with packet id 0");
            }
            check_re_encoded(packet, first, body)?;
            subscribe
                .filters
                .iter()
                .map(|filter| filter.path.as_str())
                .collect()
        }
        Packet::Unsubscribe(unsubscribe) => {
            if unsubscribe.pkid == 0 || unsubscribe.topics.is_empty() {
                return malformed("an UNSUBSCRIBE with packet id 0 or without a filter");
            }
            check_re_encoded(packet, first, body)?;
            unsubscribe.topics.iter().map(String::as_str).collect()
        }
        _ => {
            check_re_encoded(packet, first, body)?;
            Vec::new()
        }
    };
    if texts.iter().any(|text| text.contains('\0')) {
        return malformed("a text with a NUL character in it");
    }
    Ok(())
}

/// Whatever the codec ignored is missing when the packet is written again.
fn check_re_encoded(packet: &Packet, first: u8, body: &Bytes) -> Result<(), Fault> {
    let mut again = BytesMut::new();
    let written = packet.write(&mut again, usize::MAX);
    let same = written.is_ok()
        && again.first() == Some(&first)
        && again.len().checked_sub(body.len()).is_some_and(|header| {
            // A header of two to five bytes; the client need not have used the shortest.
            (2..=5).contains(&header) && again.get(header..) == Some(body.as_ref())
        });
    if same {
        return Ok(());
    }
    malformed("a packet with reserved bits set or with bytes after its last field")
}

/// The bytes of a packet.
pub(crate) fn encode(packet: &Packet) -> Bytes {
    let mut buffer = BytesMut::with_capacity(packet.size());
    // Writing fails for a packet of over 256 MiB alone, and none that large is ever made.
    match packet.write(&mut buffer, usize::MAX) {
        Ok(_) => buffer.freeze(),
        Err(_) => Bytes::new(),
    }
}

/// A SUBACK; `None` stands for a refused filter.
pub(crate) fn sub_ack(pkid: u16, granted: &[Option<QoS>]) -> Bytes {
    let code = |granted: &Option<QoS>| {
        granted.map_or(SubscribeReasonCode::Failure, SubscribeReasonCode::Success)
    };
    encode(&Packet::SubAck(SubAck::new(
        pkid,
        granted.iter().map(code).collect(),
    )))
}

/// A CONNACK. Written by hand because the code may be one that the codec does not know.
pub(crate) fn conn_ack(session_present: bool, code: u8) -> Bytes {
    Bytes::copy_from_slice(&[0x20, 2, u8::from(session_present), code])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(bytes: &[u8]) -> Result<Option<Packet>, Fault> {
        next(&mut BytesMut::from(bytes))
    }

    fn connect(level: u8, flags: u8, payload: &[u8]) -> Vec<u8> {
        let mut packet = vec![0x10, 10 + payload.len() as u8, 0, 4];
        packet.extend(b"MQTT");
        packet.extend([level, flags, 0, 60]);
        packet.extend(payload);
        packet
    }

    #[test]
    fn a_whole_packet_is_taken_and_a_part_is_waited_for() {
        let bytes = connect(4, 2, &[0, 1, b'a']);
        for end in 0..bytes.len() {
            assert_eq!(read(&bytes[..end]), Ok(None), "{end}");
        }
        assert!(matches!(read(&bytes), Ok(Some(Packet::Connect(_)))));
        assert!(matches!(read(&[0xC0, 0]), Ok(Some(Packet::PingReq))));
    }

    #[test]
    fn an_empty_password_is_allowed() {
        let bytes = connect(4, 0xC2, &[0, 1, b'a', 0, 1, b'u', 0, 0]);
        assert!(matches!(read(&bytes), Ok(Some(Packet::Connect(_)))));
    }

    #[test]
    fn other_versions_are_told_apart_from_malformed_packets() {
        assert!(matches!(
            read(&connect(5, 2, &[0, 0, 0])),
            Err(Fault::Version(_))
        ));
        assert!(matches!(
            read(&connect(3, 2, &[0, 0])),
            Err(Fault::Version(_))
        ));
        let old = b"\x10\x0e\x00\x06MQIsdp\x03\x02\x00\x3c\x00\x00";
        assert!(matches!(read(old), Ok(Some(Packet::Connect(_)))));
        let mut older = *old;
        older[10] = 2;
        assert!(matches!(read(&older), Err(Fault::Version(_))));
    }

    #[test]
    fn what_the_standard_forbids_is_refused() {
        for bytes in [
            connect(4, 3, &[0, 1, b'a']),
            connect(4, 0x42, &[0, 1, b'a', 0, 1, b'p']),
            connect(4, 2, &[0, 1, b'a', 9]),
            connect(4, 2, &[0, 1, 0]),
            vec![0x00, 0],
            vec![0xF0, 0],
            vec![0x20, 2, 0, 0],
            vec![0xC0, 1, 0],
            vec![0xE0, 1, 0],
            vec![0x34, 5, 0, 1, b'a', 0, 1],
            vec![0x36, 5, 0, 1, b'a', 0, 1],
            vec![0x31, 3, 0, 1, b'a'],
            vec![0x38, 3, 0, 1, b'a'],
            vec![0x32, 5, 0, 1, b'a', 0, 0],
            vec![0x32, 3, 0, 1, b'a'],
            vec![0x30, 2, 0, 5],
            vec![0x30, 3, 0, 1, 0xFF],
            vec![0x80, 6, 0, 1, 0, 1, b'a', 0],
            vec![0x82, 6, 0, 0, 0, 1, b'a', 0],
            vec![0x82, 6, 0, 1, 0, 1, b'a', 3],
            vec![0x82, 6, 0, 1, 0, 1, b'a', 0x11],
            vec![0x82, 2, 0, 1],
            vec![0xA2, 2, 0, 1],
            vec![0xA2, 1, 0],
            vec![0x40, 3, 0, 1, 0],
            vec![0x40, 0],
            vec![0x30, 0xFF, 0xFF, 0xFF, 0xFF, 1],
            vec![0x30, 0xFF, 0xFF, 0xFF, 0x7F],
        ] {
            assert!(
                matches!(read(&bytes), Err(Fault::Malformed(_))),
                "{bytes:x?}"
            );
        }
    }

    #[test]
    fn no_input_makes_it_panic() {
        let seeds: [&[u8]; 5] = [
            &connect(
                4,
                0xC6,
                &[0, 1, b'a', 0, 1, b't', 0, 1, b'm', 0, 1, b'u', 0, 1, b'p'],
            ),
            &[0x82, 6, 0, 1, 0, 1, b'a', 0],
            &[0xA2, 5, 0, 1, 0, 1, b'a'],
            &[0x32, 7, 0, 3, b'/', b'a', b'b', 0, 1],
            &[0x40, 2, 0, 1],
        ];
        let mut random = 0x9E37_79B9_7F4A_7C15_u64;
        let mut draw = || {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            random as usize
        };
        for round in 0..200_000 {
            let mut bytes = seeds[round % seeds.len()].to_vec();
            for _ in 0..=draw() % 3 {
                let at = draw() % bytes.len();
                bytes[at] = draw() as u8;
            }
            let mut buffer = BytesMut::from(&bytes[..]);
            while let Ok(Some(_)) = next(&mut buffer) {}
        }
    }
}
