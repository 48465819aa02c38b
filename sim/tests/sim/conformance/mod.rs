//! The statements of MQTT 3.1.1 that bind a server with QoS 0 and 1, in raw bytes. The number of each
//! statement stands in the name of its test.
//!
//! Two are kept as the platform keeps them and not to the letter: 3.3.5-1 and 3.8.4-6 ask for the QoS
//! of the subscription where the platform delivers with that of the publisher. Statements on wills,
//! retained messages, QoS 2 and WebSocket bind nobody here: the platform has none of the first three,
//! and the simulator no WebSocket.

mod connect;
mod publish;
mod subscribe;

use aliot_sim::Sim;

use crate::device::{Device, signed};

/// A connected device that heard nothing yet.
fn connected(sim: &Sim) -> Device {
    Device::connected(sim, &signed(""))
}

/// A CONNECT for `pk/dn` of a session that is kept.
fn kept() -> crate::device::Connect {
    let mut connect = signed("");
    connect.clean_session = false;
    connect
}

/// Length-prefixed text.
fn field(text: &[u8]) -> Vec<u8> {
    let mut bytes = (text.len() as u16).to_be_bytes().to_vec();
    bytes.extend(text);
    bytes
}

/// A packet of this first byte and body, below 16,384 bytes.
fn packet(first: u8, body: &[&[u8]]) -> Vec<u8> {
    let body = body.concat();
    let mut packet = vec![first];
    if body.len() < 128 {
        packet.push(body.len() as u8);
    } else {
        packet.extend([(body.len() % 128) as u8 | 0x80, (body.len() / 128) as u8]);
    }
    packet.extend(body);
    packet
}

const GET: &[u8] = b"/pk/dn/user/get";
