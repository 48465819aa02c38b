//! The simulator's reader of what devices send: the same packets and the same refusal however the
//! stream is cut, and what it takes stays the same when it is written and read again.

use aliot_sim::fuzz_support::next_packet;
use bytes::{Bytes, BytesMut};

#[derive(Debug, Default, PartialEq)]
struct Read {
    packets: Vec<Bytes>,
    refused: Option<String>,
}

impl Read {
    fn more(&mut self, stream: &mut BytesMut) {
        while self.refused.is_none() {
            let before = stream.len();
            match next_packet(stream) {
                Ok(None) => {
                    assert_eq!(stream.len(), before, "an incomplete packet is left alone");
                    return;
                }
                Ok(Some(packet)) => {
                    assert!(stream.len() < before);
                    self.packets.push(packet);
                }
                Err(reason) => self.refused = Some(reason),
            }
        }
    }
}

/// The bytes of the stream.
pub fn simulator(stream: &[u8]) {
    let mut whole = Read::default();
    whole.more(&mut BytesMut::from(stream));

    let mut bytewise = Read::default();
    let mut buffer = BytesMut::new();
    for byte in stream {
        buffer.extend_from_slice(&[*byte]);
        bytewise.more(&mut buffer);
    }
    assert_eq!(bytewise, whole, "byte by byte");

    for cut in 1..stream.len().min(64) {
        let (before, after) = stream.split_at(cut);
        let mut parts = Read::default();
        let mut buffer = BytesMut::from(before);
        parts.more(&mut buffer);
        buffer.extend_from_slice(after);
        parts.more(&mut buffer);
        assert_eq!(parts, whole, "cut at {cut}");
    }
    // CONNECT is never written by the simulator, and rumqttc leaves out an empty user name.
    for packet in whole.packets.iter().filter(|packet| packet[0] != 0x10) {
        let again = next_packet(&mut BytesMut::from(packet.as_ref()));
        assert_eq!(again, Ok(Some(packet.clone())));
    }
}
