//! MQTT 3.1.1 packets to and from bytes. The only file that names rumqttc.
//!
//! rumqttc encodes the packets that are rare and decodes none: its decoder accepts what the
//! standard forbids. PUBLISH and PUBACK, the hot path, are encoded in place into the buffer they
//! leave from, and a test holds them byte-identical to rumqttc's.

mod decode;

pub use decode::{Malformed, Packet, Publish, decode, missing, split};

use bytes::{BufMut, BytesMut};
use rumqttc::mqttbytes::v4;
use zeroize::Zeroize;

use super::credentials::Credentials;
use super::qos::Qos;

/// Longest fixed header: one byte of type and flags, four of remaining length.
/// Source: MQTT 3.1.1, section 2.2.3.
pub const MAX_FIXED_HEADER: usize = 5;

/// Largest remaining length that four bytes express. Source: MQTT 3.1.1, section 2.2.3.
pub const MAX_REMAINING_LENGTH: usize = 268_435_455;

const PUBLISH: u8 = 3;
const PUBACK: u8 = 4;

const DUP: u8 = 0b1000;
const RETAIN: u8 = 0b0001;

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

/// Length of the fixed header of a packet that the library encoded itself.
pub fn header_len(packet: &[u8]) -> usize {
    let lengths = packet.iter().skip(1).take_while(|&&byte| byte & 0x80 != 0);
    2 + lengths.count()
}

/// The topic of an encoded QoS 1 PUBLISH.
pub fn topic_of(publish: &[u8], id_at: usize) -> &str {
    let topic = publish.get(header_len(publish) + 2..id_at);
    std::str::from_utf8(topic.unwrap_or_default()).unwrap_or_default()
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
    let password = credentials.password().expose();
    // rumqttc would cut the length and write all of the text.
    let fields = [credentials.client_id(), credentials.username(), password];
    if fields
        .iter()
        .any(|field| field.len() > usize::from(u16::MAX))
    {
        return Err(TooLong);
    }
    let mut connect = v4::Connect::new(credentials.client_id());
    connect.keep_alive = keep_alive;
    connect.clean_session = clean_session;
    connect.set_login(credentials.username(), password);
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
#[cfg(test)]
mod tests_decoders;
