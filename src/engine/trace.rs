//! The packet trace at debug level: what leaves and what arrives, never a secret.

use crate::log::{Level, enabled, log};
use crate::proto::codec::{self, Packet, Publish};

/// Bytes of a payload that are shown.
const SHOWN: usize = 64;

/// Topics on which the platform sends secrets. Source: "MQTT-based dynamic registration".
const SECRET_TOPICS: [&str; 2] = ["/ext/register", "/ext/regnwl"];

/// Whether anybody wants the trace.
pub(super) fn is_on() -> bool {
    enabled(Level::Debug)
}

/// What is about to leave: whole packets, which the library encoded itself.
pub(super) fn sent(mut packets: &[u8]) {
    while let Some(len) = codec::first_packet_len(packets)
        && let Some((packet, rest)) = packets.split_at_checked(len)
    {
        log(
            Level::Debug,
            "packet",
            format_args!("sent {}", describe(packet)),
        );
        packets = rest;
    }
}

/// What has arrived.
pub(super) fn received(packet: &Packet) {
    let text = match packet {
        Packet::ConnAck {
            session_present,
            code,
        } => format!("CONNACK {code}, session present: {session_present}"),
        Packet::Publish(publish) => describe_publish(publish),
        Packet::PubAck { id } => format!("PUBACK {id}"),
        Packet::SubAck { id, codes } => format!("SUBACK {id}, codes {codes:?}"),
        Packet::UnsubAck { id } => format!("UNSUBACK {id}"),
        Packet::PingResp => "PINGRESP".to_owned(),
    };
    log(Level::Debug, "packet", format_args!("received {text}"));
}

/// Of a CONNECT only the length is told: the password is in it.
fn describe(packet: &[u8]) -> String {
    let kind = packet.first().copied().unwrap_or_default() >> 4;
    let header_len = codec::header_len(packet);
    let body = packet.get(header_len..).unwrap_or_default();
    let id = match body {
        [high, low, ..] => u16::from_be_bytes([*high, *low]),
        _ => 0,
    };
    match kind {
        1 => format!("CONNECT, {} bytes", packet.len()),
        3 => match codec::decode(bytes::Bytes::copy_from_slice(packet), header_len) {
            Ok(Packet::Publish(publish)) => describe_publish(&publish),
            _ => format!("PUBLISH, {} bytes", packet.len()),
        },
        4 => format!("PUBACK {id}"),
        8 => format!("SUBSCRIBE {id}, {} bytes", packet.len()),
        10 => format!("UNSUBSCRIBE {id}, {} bytes", packet.len()),
        12 => "PINGREQ".to_owned(),
        14 => "DISCONNECT".to_owned(),
        kind => format!("type {kind}, {} bytes", packet.len()),
    }
}

fn describe_publish(publish: &Publish) -> String {
    let payload = publish.payload();
    let shown = payload.get(..SHOWN).unwrap_or(payload);
    let dots = if shown.len() < payload.len() {
        "..."
    } else {
        ""
    };
    let text = if SECRET_TOPICS.contains(&publish.topic()) {
        "not shown: the platform sends secrets here".to_owned()
    } else {
        format!("\"{}\"{dots}", shown.escape_ascii())
    };
    let id = publish.id().map_or(String::new(), |id| format!(" {id}"));
    let duplicate = if publish.duplicate() { " DUP" } else { "" };
    format!(
        "PUBLISH{id}{duplicate} {:?}, {} bytes: {text}",
        publish.topic(),
        payload.len()
    )
}
