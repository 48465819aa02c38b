//! MQTT 3.1.1 packets to and from bytes. The only file that names rumqttc.
//!
//! rumqttc encodes the packets that are rare and decodes none: its decoder accepts what the
//! standard forbids. PUBLISH and PUBACK, the hot path, are encoded in place into the buffer they
//! leave from, and a test holds them byte-identical to rumqttc's.

use std::fmt;
use std::ops::Range;

use bytes::{BufMut, Bytes, BytesMut};
use rumqttc::mqttbytes::v4;
use zeroize::Zeroize;

use super::credentials::Credentials;
use super::qos::Qos;

/// Longest fixed header: one byte of type and flags, four of remaining length.
/// Source: MQTT 3.1.1, section 2.2.3.
pub const MAX_FIXED_HEADER: usize = 5;

/// Largest remaining length that four bytes express. Source: MQTT 3.1.1, section 2.2.3.
pub const MAX_REMAINING_LENGTH: usize = 268_435_455;

const CONNACK: u8 = 2;
const PUBLISH: u8 = 3;
const PUBACK: u8 = 4;
const SUBACK: u8 = 9;
const UNSUBACK: u8 = 11;
const PINGRESP: u8 = 13;

const DUP: u8 = 0b1000;
const RETAIN: u8 = 0b0001;

/// Why bytes from the peer are not an MQTT packet that a client may receive.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Malformed(String);

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

fn malformed<T>(reason: impl Into<String>) -> Result<T, Malformed> {
    Err(Malformed(reason.into()))
}

/// A packet that the platform may send to a device.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Packet {
    /// Answer to CONNECT. `code` is the return code, unchecked.
    ConnAck {
        /// The platform kept the session.
        session_present: bool,
        /// 0 is success. Source: MQTT 3.1.1, table 3.1.
        code: u8,
    },
    /// A message.
    Publish(Publish),
    /// Acknowledges a QoS 1 PUBLISH.
    PubAck {
        /// Never 0.
        id: u16,
    },
    /// Answers a SUBSCRIBE, one code for each filter.
    SubAck {
        /// Never 0.
        id: u16,
        /// 0, 1, 2 or 0x80 each; never empty.
        codes: Vec<u8>,
    },
    /// Answers an UNSUBSCRIBE.
    UnsubAck {
        /// Never 0.
        id: u16,
    },
    /// Answers a PINGREQ.
    PingResp,
}

/// A received message, still in the bytes it arrived in.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Publish {
    frame: Bytes,
    topic: Range<usize>,
    payload_at: usize,
    id: u16,
    duplicate: bool,
    retained: bool,
}

impl Publish {
    /// The topic: valid UTF-8, not empty, without wildcards and control characters.
    pub fn topic(&self) -> &str {
        let bytes = self.frame.get(self.topic.clone()).unwrap_or_default();
        std::str::from_utf8(bytes).unwrap_or_default()
    }

    /// The payload, which may be empty.
    pub fn payload(&self) -> &[u8] {
        self.frame.get(self.payload_at..).unwrap_or_default()
    }

    /// Packet id of a QoS 1 message, `None` for QoS 0.
    pub fn id(&self) -> Option<u16> {
        (self.id != 0).then_some(self.id)
    }

    /// The quality of service it was sent with.
    pub fn qos(&self) -> Qos {
        match self.id {
            0 => Qos::AtMostOnce,
            _ => Qos::AtLeastOnce,
        }
    }

    /// The DUP flag.
    pub fn duplicate(&self) -> bool {
        self.duplicate
    }

    /// The RETAIN flag.
    pub fn retained(&self) -> bool {
        self.retained
    }

    /// Length of the whole packet.
    pub fn wire_len(&self) -> usize {
        self.frame.len()
    }
}

/// Cuts the next packet off the front of `buffer`: the packet and the length of its fixed header.
/// `Ok(None)` while it is incomplete.
///
/// What can be refused from the first bytes is refused before the rest is waited for, so that a
/// peer cannot make the library hold what it merely announces.
pub fn split(buffer: &mut BytesMut, max_len: usize) -> Result<Option<(Bytes, usize)>, Malformed> {
    let Some(&first) = buffer.first() else {
        return Ok(None);
    };
    check_first_byte(first)?;
    let mut remaining = 0_usize;
    let mut header_len = 1;
    for (shift, &byte) in [0, 7, 14, 21].iter().zip(buffer.iter().skip(1)) {
        header_len += 1;
        remaining |= usize::from(byte & 0x7F) << shift;
        if byte & 0x80 == 0 {
            let len = header_len + remaining;
            if len > max_len {
                return malformed(format!(
                    "a packet of {len} bytes arrived: at most {max_len} are accepted"
                ));
            }
            if buffer.len() < len {
                return Ok(None);
            }
            return Ok(Some((buffer.split_to(len).freeze(), header_len)));
        }
    }
    if header_len == MAX_FIXED_HEADER {
        return malformed("a remaining length of more than four bytes arrived");
    }
    Ok(None)
}

/// Refuses types that only clients send, reserved types, QoS 2 and wrong flags.
/// Source: MQTT 3.1.1, tables 2.1 and 2.2.
fn check_first_byte(first: u8) -> Result<(), Malformed> {
    let flags = first & 0x0F;
    match first >> 4 {
        PUBLISH => match (flags >> 1) & 0b11 {
            0 | 1 => Ok(()),
            2 => malformed("a PUBLISH with QoS 2 arrived: only 0 and 1 exist on this platform"),
            _ => malformed("a PUBLISH with QoS 3 arrived"),
        },
        CONNACK | PUBACK | SUBACK | UNSUBACK | PINGRESP if flags == 0 => Ok(()),
        kind @ (CONNACK | PUBACK | SUBACK | UNSUBACK | PINGRESP) => malformed(format!(
            "a packet of type {kind} with the reserved flags {flags:#06b} arrived"
        )),
        kind => malformed(format!(
            "a packet of type {kind} arrived, which a server must not send to this client"
        )),
    }
}

/// Reads one packet, as [`split`] returned it.
pub fn decode(frame: Bytes, header_len: usize) -> Result<Packet, Malformed> {
    let first = frame.first().copied().unwrap_or_default();
    let body = frame.get(header_len..).unwrap_or_default();
    match (first >> 4, body) {
        (PUBLISH, _) => decode_publish(frame, header_len, first),
        (CONNACK, &[flags @ (0 | 1), code]) => Ok(Packet::ConnAck {
            session_present: flags == 1,
            code,
        }),
        (CONNACK, &[flags, _]) => {
            malformed(format!("a CONNACK with the flags {flags:#04x} arrived"))
        }
        (PUBACK, body) => id_only("PUBACK", body).map(|id| Packet::PubAck { id }),
        (UNSUBACK, body) => id_only("UNSUBACK", body).map(|id| Packet::UnsubAck { id }),
        (SUBACK, &[high, low, ref codes @ ..]) if !codes.is_empty() => {
            let id = packet_id("SUBACK", high, low)?;
            if let Some(code) = codes.iter().find(|code| !matches!(code, 0..=2 | 0x80)) {
                return malformed(format!("a SUBACK with the return code {code:#04x} arrived"));
            }
            let codes = codes.to_vec();
            Ok(Packet::SubAck { id, codes })
        }
        (PINGRESP, &[]) => Ok(Packet::PingResp),
        (kind, body) => malformed(format!(
            "a packet of type {kind} with a body of {} bytes arrived",
            body.len()
        )),
    }
}

fn id_only(name: &str, body: &[u8]) -> Result<u16, Malformed> {
    match *body {
        [high, low] => packet_id(name, high, low),
        _ => malformed(format!(
            "a {name} with a body of {} bytes arrived",
            body.len()
        )),
    }
}

/// Source: MQTT 3.1.1, MQTT-2.3.1-1.
fn packet_id(name: &str, high: u8, low: u8) -> Result<u16, Malformed> {
    match u16::from_be_bytes([high, low]) {
        0 => malformed(format!("a {name} with packet id 0 arrived")),
        id => Ok(id),
    }
}

fn decode_publish(frame: Bytes, header_len: usize, first: u8) -> Result<Packet, Malformed> {
    let body = frame.get(header_len..).unwrap_or_default();
    let Some((&[high, low], rest)) = body.split_first_chunk::<2>() else {
        return malformed("a PUBLISH without a topic arrived");
    };
    let topic_len = usize::from(u16::from_be_bytes([high, low]));
    let Some((topic, rest)) = rest.split_at_checked(topic_len) else {
        return malformed("a PUBLISH whose topic is longer than the packet arrived");
    };
    check_received_topic(topic)?;
    let topic_at = header_len + 2;
    let mut payload_at = topic_at + topic_len;
    let mut id = 0;
    if (first >> 1) & 0b11 == 1 {
        let Some(&[high, low]) = rest.first_chunk::<2>() else {
            return malformed("a QoS 1 PUBLISH without a packet id arrived");
        };
        id = packet_id("QoS 1 PUBLISH", high, low)?;
        payload_at += 2;
    }
    Ok(Packet::Publish(Publish {
        topic: topic_at..topic_at + topic_len,
        payload_at,
        id,
        duplicate: first & DUP != 0,
        retained: first & RETAIN != 0,
        frame,
    }))
}

/// Source: MQTT 3.1.1, MQTT-1.5.3-1, -2, MQTT-3.3.2-2 and MQTT-4.7.3-1. Control characters and
/// non-characters are closed upon as section 1.5.3 permits, which keeps them out of logs.
fn check_received_topic(topic: &[u8]) -> Result<(), Malformed> {
    if topic.is_empty() {
        return malformed("a PUBLISH with an empty topic arrived");
    }
    let plain = |byte: &u8| matches!(byte, 0x20..=0x7E) && !matches!(byte, b'+' | b'#');
    if topic.iter().all(plain) {
        return Ok(());
    }
    let Ok(text) = std::str::from_utf8(topic) else {
        return malformed("a PUBLISH whose topic is not UTF-8 arrived");
    };
    match text.chars().find(|&c| is_refused(c)) {
        None => Ok(()),
        Some(c) => malformed(format!(
            "a PUBLISH whose topic contains U+{:04X} arrived",
            u32::from(c)
        )),
    }
}

fn is_refused(c: char) -> bool {
    let code = u32::from(c);
    c.is_control()
        || matches!(c, '+' | '#')
        || code & 0xFFFE == 0xFFFE
        || (0xFDD0..=0xFDEF).contains(&code)
}

/// Bytes of a PUBLISH. `None` if MQTT cannot express it.
pub fn publish_len(topic_len: usize, payload_len: usize, qos: Qos) -> Option<usize> {
    let remaining = publish_remaining(topic_len, payload_len, qos)?;
    Some(1 + length_len(remaining) + remaining)
}

fn publish_remaining(topic_len: usize, payload_len: usize, qos: Qos) -> Option<usize> {
    let id_len = match qos {
        Qos::AtMostOnce => 0,
        Qos::AtLeastOnce => 2,
    };
    let remaining = payload_len.checked_add(2 + topic_len + id_len)?;
    (topic_len <= usize::from(u16::MAX) && remaining <= MAX_REMAINING_LENGTH).then_some(remaining)
}

fn length_len(remaining: usize) -> usize {
    match remaining {
        0..=0x7F => 1,
        0x80..=0x3FFF => 2,
        0x4000..=0x1F_FFFF => 3,
        _ => 4,
    }
}

/// Appends a PUBLISH. A QoS 1 packet gets packet id 0, to be replaced by [`set_packet_id`] at the
/// offset returned (from the packet's first byte), which is 0 for QoS 0.
///
/// The caller has checked that [`publish_len`] exists.
pub fn encode_publish(out: &mut BytesMut, topic: &str, payload: &[u8], qos: Qos) -> usize {
    let remaining = publish_remaining(topic.len(), payload.len(), qos).unwrap_or_default();
    let topic_len = u16::try_from(topic.len()).unwrap_or_default();
    let header_len = 1 + length_len(remaining);
    out.reserve(header_len + remaining);
    out.put_u8(PUBLISH << 4 | (qos as u8) << 1);
    put_length(out, remaining);
    out.put_u16(topic_len);
    out.put_slice(topic.as_bytes());
    let id_at = match qos {
        Qos::AtMostOnce => 0,
        Qos::AtLeastOnce => {
            out.put_u16(0);
            header_len + 2 + topic.len()
        }
    };
    out.put_slice(payload);
    id_at
}

fn put_length(out: &mut BytesMut, mut remaining: usize) {
    loop {
        let byte = (remaining & 0x7F) as u8;
        remaining >>= 7;
        if remaining == 0 {
            return out.put_u8(byte);
        }
        out.put_u8(byte | 0x80);
    }
}

/// Writes the packet id of an encoded QoS 1 PUBLISH.
pub fn set_packet_id(publish: &mut [u8], id_at: usize, id: u16) {
    if let Some(place) = publish.get_mut(id_at..id_at + 2) {
        place.copy_from_slice(&id.to_be_bytes());
    }
}

/// Sets or clears the DUP flag of an encoded PUBLISH.
pub fn set_duplicate(publish: &mut [u8], duplicate: bool) {
    if let Some(first) = publish.first_mut() {
        *first = if duplicate {
            *first | DUP
        } else {
            *first & !DUP
        };
    }
}

/// Length of the first packet in `packets`, which the library encoded itself.
pub fn first_packet_len(packets: &[u8]) -> Option<usize> {
    let mut remaining = 0_usize;
    for (shift, &byte) in [0, 7, 14, 21].iter().zip(packets.iter().skip(1)) {
        remaining |= usize::from(byte & 0x7F) << shift;
        if byte & 0x80 == 0 {
            let len = 1 + shift / 7 + 1 + remaining;
            return (len <= packets.len()).then_some(len);
        }
    }
    None
}

/// Appends a PUBACK.
pub fn encode_puback(out: &mut BytesMut, id: u16) {
    out.put_u8(PUBACK << 4);
    out.put_u8(2);
    out.put_u16(id);
}

/// A packet that MQTT cannot express, because a field is longer than its length says.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct TooLong;

/// Appends a CONNECT. The password's intermediate copy is wiped; the buffer's owner wipes the rest.
///
/// # Errors
///
/// [`TooLong`] if a field exceeds 65,535 bytes.
pub fn encode_connect(
    out: &mut BytesMut,
    credentials: &Credentials,
    keep_alive: u16,
    clean_session: bool,
) -> Result<(), TooLong> {
    let mut connect = v4::Connect::new(credentials.client_id());
    connect.keep_alive = keep_alive;
    connect.clean_session = clean_session;
    connect.set_login(credentials.username(), credentials.password().expose());
    // rumqttc patches the flags at an absolute index: it needs a buffer of its own.
    let mut packet = BytesMut::with_capacity(connect.size());
    let written = connect.write(&mut packet);
    if let Some(login) = &mut connect.login {
        login.password.zeroize();
    }
    out.extend_from_slice(&packet);
    packet.as_mut().zeroize();
    written.map(drop).map_err(|_| TooLong)
}

/// Appends a SUBSCRIBE for `filters`.
///
/// # Errors
///
/// [`TooLong`] if the packet exceeds what MQTT can express.
pub fn encode_subscribe<'a>(
    out: &mut BytesMut,
    id: u16,
    filters: impl Iterator<Item = (&'a str, Qos)>,
) -> Result<(), TooLong> {
    let filters = filters.map(|(filter, qos)| {
        let qos = match qos {
            Qos::AtMostOnce => rumqttc::QoS::AtMostOnce,
            Qos::AtLeastOnce => rumqttc::QoS::AtLeastOnce,
        };
        v4::SubscribeFilter::new(filter.to_owned(), qos)
    });
    let mut subscribe = v4::Subscribe::new_many(filters);
    subscribe.pkid = id;
    subscribe.write(out).map(drop).map_err(|_| TooLong)
}

/// Appends an UNSUBSCRIBE for `filters`.
///
/// # Errors
///
/// [`TooLong`] if the packet exceeds what MQTT can express.
pub fn encode_unsubscribe<'a>(
    out: &mut BytesMut,
    id: u16,
    filters: impl Iterator<Item = &'a str>,
) -> Result<(), TooLong> {
    let topics = filters.map(str::to_owned).collect();
    let unsubscribe = v4::Unsubscribe { pkid: id, topics };
    unsubscribe.write(out).map(drop).map_err(|_| TooLong)
}

/// Appends a PINGREQ.
pub fn encode_pingreq(out: &mut BytesMut) {
    out.put_slice(&[0xC0, 0]);
}

/// Appends a DISCONNECT.
pub fn encode_disconnect(out: &mut BytesMut) {
    out.put_slice(&[0xE0, 0]);
}

#[cfg(test)]
mod tests;
