//! Packets from the platform, read as strictly as the standard is written.

use std::fmt;
use std::ops::Range;

use bytes::{Bytes, BytesMut};
use zeroize::Zeroize;

use super::{DUP, MAX_FIXED_HEADER, PUBACK, PUBLISH, RETAIN};
use crate::proto::qos::Qos;
use crate::proto::text::is_plain_topic;

const CONNACK: u8 = 2;
const SUBACK: u8 = 9;
const UNSUBACK: u8 = 11;
const PINGRESP: u8 = 13;

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

    /// Whether its topic is this one. Costs less than [`topic`](Self::topic), which looks whether
    /// the text is UTF-8 once more.
    pub fn is_on(&self, topic: &str) -> bool {
        self.frame.get(self.topic.clone()) == Some(topic.as_bytes())
    }

    /// Its memory, for the next message. None, if it shares it with others.
    pub fn into_memory(self) -> BytesMut {
        self.frame.try_into_mut().unwrap_or_default()
    }

    /// Overwrites the message, which held a secret, and returns its memory; `None`, and nothing is
    /// done, if something else holds it too.
    pub fn wipe(self) -> Option<BytesMut> {
        let mut bytes = self.frame.try_into_mut().ok()?;
        bytes.as_mut().zeroize();
        Some(bytes)
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
///
/// # Errors
///
/// Why the stream cannot be read on: the connection is closed.
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

/// How many bytes of the packet at the front of `buffer` have not arrived. `None` while its length
/// is not known.
pub fn missing(buffer: &[u8]) -> Option<usize> {
    let mut remaining = 0_usize;
    for (shift, &byte) in [0, 7, 14, 21].iter().zip(buffer.iter().skip(1)) {
        remaining |= usize::from(byte & 0x7F) << shift;
        if byte & 0x80 == 0 {
            let len = 1 + shift / 7 + 1 + remaining;
            return Some(len.saturating_sub(buffer.len()));
        }
    }
    None
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
///
/// # Errors
///
/// Why it is none that a client may receive: the connection is closed.
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
    if is_plain_topic(topic) {
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
