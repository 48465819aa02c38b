//! The decoder: the same packets, and the same refusal, however the stream is cut; and what it
//! takes means what it says.

use aliot::Qos;
use aliot::fuzz_support::{
    Malformed, Packet, Publish, decode, encode_puback, encode_publish, missing, set_duplicate,
    set_packet_id, split,
};
use bytes::BytesMut;

use crate::input::Input;

/// The packets up to the first that is refused, and why it was. `left` is what is incomplete.
#[derive(Debug, Default, PartialEq)]
struct Read {
    packets: Vec<Packet>,
    refused: Option<Malformed>,
}

impl Read {
    fn more(&mut self, stream: &mut BytesMut, max_len: usize) {
        while self.refused.is_none() {
            let before = stream.len();
            let known = missing(stream);
            match split(stream, max_len) {
                Ok(None) => {
                    assert_eq!(stream.len(), before, "an incomplete packet is left alone");
                    assert_ne!(known, Some(0), "nothing is missing, and nothing was taken");
                    // What is too large is refused before it arrives.
                    assert!(known.is_none_or(|missing| before + missing <= max_len));
                    return;
                }
                Ok(Some((frame, header_len))) => {
                    assert_eq!(frame.len() + stream.len(), before);
                    assert!(frame.len() <= max_len);
                    assert_eq!(known, Some(0), "a whole packet was there");
                    match decode(frame.clone(), header_len) {
                        Ok(packet) => {
                            check(&packet, &frame, header_len);
                            self.packets.push(packet);
                        }
                        Err(malformed) => self.refused = Some(malformed),
                    }
                }
                Err(malformed) => self.refused = Some(malformed),
            }
        }
    }
}

/// The first byte chooses the limit of a packet, the others are the stream.
pub fn codec(bytes: &[u8]) {
    let mut input = Input::new(bytes);
    let max_len = match input.byte() {
        0 => usize::MAX,
        len => usize::from(len) * 4,
    };
    let stream = input.rest();
    let mut whole = Read::default();
    whole.more(&mut BytesMut::from(stream), max_len);

    let mut bytewise = Read::default();
    let mut buffer = BytesMut::new();
    for byte in stream {
        buffer.extend_from_slice(&[*byte]);
        bytewise.more(&mut buffer, max_len);
    }
    assert_eq!(bytewise, whole, "byte by byte");

    for cut in 1..stream.len().min(64) {
        let (before, after) = stream.split_at(cut);
        let mut parts = Read::default();
        let mut buffer = BytesMut::from(before);
        parts.more(&mut buffer, max_len);
        buffer.extend_from_slice(after);
        parts.more(&mut buffer, max_len);
        assert_eq!(parts, whole, "cut at {cut}");
    }
}

fn check(packet: &Packet, frame: &[u8], header_len: usize) {
    match packet {
        Packet::Publish(publish) => check_publish(publish, frame, header_len),
        Packet::PubAck { id } => {
            assert_ne!(*id, 0);
            let mut again = BytesMut::new();
            encode_puback(&mut again, *id);
            assert_eq!(again[2..], frame[header_len..]);
        }
        Packet::UnsubAck { id } => assert_ne!(*id, 0),
        Packet::SubAck { id, codes } => {
            assert_ne!(*id, 0);
            assert!(!codes.is_empty() && codes.len() + 2 + header_len == frame.len());
            assert!(codes.iter().all(|code| matches!(code, 0..=2 | 0x80)));
        }
        Packet::ConnAck { .. } => assert_eq!(frame.len(), header_len + 2),
        Packet::PingResp => assert_eq!(frame.len(), header_len),
    }
}

/// Written again, it is what arrived.
fn check_publish(publish: &Publish, frame: &[u8], header_len: usize) {
    let topic = publish.topic();
    assert!(!topic.is_empty() && !topic.contains(['+', '#', '\0']));
    assert!(!topic.chars().any(char::is_control));
    assert_ne!(publish.id(), Some(0));
    assert_eq!(publish.wire_len(), frame.len());
    let mut again = BytesMut::new();
    let id_at = encode_publish(&mut again, topic, publish.payload(), publish.qos());
    if let Some(id) = publish.id() {
        assert_eq!(publish.qos(), Qos::AtLeastOnce);
        set_packet_id(&mut again, id_at, id);
    }
    set_duplicate(&mut again, publish.duplicate());
    assert_eq!(again[0] | u8::from(publish.retained()), frame[0]);
    // The peer need not have written the length as short as can be.
    let body_at = again.len() - (frame.len() - header_len);
    assert_eq!(again[body_at..], frame[header_len..]);
}
