//! Section 6: MQTT inside a WebSocket. The frames are read and written by hand.

use std::io::{Read, Write};

use aliot::{Config, Endpoint, ErrorKind, EventKind, Identity};
use base64ct::{Base64, Encoding};
use sha1::{Digest, Sha1};

use crate::support::broker::{Broker, CONNECT, Connection, PUBLISH};
use crate::support::device::{Device, private};

/// An opcode of RFC 6455, with the bit that says that the frame is the last of its message.
const TEXT: u8 = 0x81;
const BINARY: u8 = 0x82;

fn device(broker: &Broker) -> Device {
    let identity = Identity::verbatim("device", "user", "password").unwrap();
    let mut endpoint = Endpoint::host("127.0.0.1", broker.address().port()).unwrap();
    endpoint.set_dangerous_plaintext();
    endpoint.set_websocket("/mqtt").unwrap();
    let mut config = Config::new(&identity, &endpoint).unwrap();
    private(&mut config);
    Device::start(&config)
}

/// Answers the handshake; `chosen` is the subprotocol that the server selects. Returns the request.
fn shake_hands(connection: &mut Connection, chosen: &str) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        connection.0.read_exact(&mut byte).unwrap();
        head.push(byte[0]);
    }
    let head = String::from_utf8(head).unwrap();
    let mut lines = head.lines();
    let key = lines.find_map(|line| line.strip_prefix("Sec-WebSocket-Key: "));
    // RFC 6455, 1.3.
    let text = format!("{}258EAFA5-E914-47DA-95CA-C5AB0DC85B11", key.unwrap());
    let mut room = [0; 28];
    let accept = Base64::encode(&Sha1::digest(text), &mut room).unwrap();
    let answer = format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Protocol: {chosen}\r\nSec-WebSocket-Accept: {accept}\r\n\r\n"
    );
    connection.0.write_all(answer.as_bytes()).unwrap();
    head
}

fn accept(broker: &Broker) -> Connection {
    let mut connection = broker.accept_tcp();
    shake_hands(&mut connection, "mqtt");
    connection
}

/// A frame of fewer than 126 bytes.
fn send(connection: &mut Connection, opcode: u8, payload: &[u8]) {
    let mut frame = vec![opcode, payload.len() as u8];
    frame.extend_from_slice(payload);
    connection.0.write_all(&frame).unwrap();
}

/// The opcode and the payload of the client's next frame, which is masked.
fn next_frame(connection: &mut Connection) -> (u8, Vec<u8>) {
    let mut read = |len: usize| {
        let mut bytes = vec![0; len];
        connection.0.read_exact(&mut bytes).unwrap();
        bytes
    };
    let head = read(2);
    let len = match head[1] & 0x7F {
        126 => usize::from(u16::from_be_bytes(read(2).try_into().unwrap())),
        len => usize::from(len),
    };
    let mask = read(4);
    let payload = read(len).into_iter().zip(mask.into_iter().cycle());
    (head[0], payload.map(|(byte, mask)| byte ^ mask).collect())
}

/// Reads until the device has closed the connection.
fn ends(connection: &mut Connection) {
    // A reset is an end too. A device that stays runs into the deadline of the socket.
    let end = connection.0.read_to_end(&mut Vec::new());
    if let Err(error) = end {
        let kind = error.kind();
        assert_eq!(kind, std::io::ErrorKind::ConnectionReset, "{error}");
    }
}

#[test]
fn mqtt_6_0_0_1_packets_leave_in_binary_frames_and_a_text_frame_ends_the_connection() {
    let broker = Broker::listen();
    let device = device(&broker);
    // A good CONNACK, but in a text frame.
    let mut connection = accept(&broker);
    let (opcode, packet) = next_frame(&mut connection);
    assert_eq!((opcode, packet[0] >> 4), (BINARY, CONNECT));
    send(&mut connection, TEXT, &[0x20, 2, 0, 0]);
    ends(&mut connection);
    let event = device.event(EventKind::ConnectFailed, 1);
    assert_eq!(event.error.unwrap().kind(), ErrorKind::Protocol);
    // A good PUBLISH in one, on a connection that was good up to there.
    let mut connection = accept(&broker);
    assert_eq!(next_frame(&mut connection).0, BINARY);
    send(&mut connection, BINARY, &[0x20, 2, 0, 0]);
    device.publish("a", b"x");
    let (opcode, packet) = next_frame(&mut connection);
    assert_eq!((opcode, packet[0] >> 4), (BINARY, PUBLISH));
    send(&mut connection, TEXT, b"0\x03\0\x01a");
    ends(&mut connection);
    let event = device.event(EventKind::Disconnected, 1);
    assert_eq!(event.error.unwrap().kind(), ErrorKind::Protocol);
    let is_message = |said: &_| matches!(said, crate::support::device::Said::Message(..));
    assert!(!device.said().iter().any(is_message));
}

#[test]
fn mqtt_6_0_0_2_packets_and_frames_begin_and_end_where_they_like() {
    let broker = Broker::listen();
    let device = device(&broker);
    let mut connection = accept(&broker);
    next_frame(&mut connection);
    for byte in [0x20, 2, 0, 0] {
        send(&mut connection, BINARY, &[byte]);
    }
    // Two packets and the beginning of a third, whose end comes with a fourth.
    send(
        &mut connection,
        BINARY,
        b"0\x04\0\x01a10\x04\0\x01a20\x04\0",
    );
    send(&mut connection, BINARY, b"");
    send(&mut connection, BINARY, b"\x01a30\x04\0\x01a4");
    let messages = device.messages(4);
    let payloads: Vec<&[u8]> = messages.iter().map(|(_, m)| m.payload.as_slice()).collect();
    assert_eq!(payloads, [b"1", b"2", b"3", b"4"]);
}

#[test]
fn mqtt_6_0_0_3_the_subprotocol_mqtt_is_offered() {
    let broker = Broker::listen();
    let _device = device(&broker);
    let request = shake_hands(&mut broker.accept_tcp(), "mqtt");
    assert!(
        request.contains("\r\nSec-WebSocket-Protocol: mqtt\r\n"),
        "{request}"
    );
}

#[test]
fn mqtt_6_0_0_4_a_server_that_selects_another_subprotocol_is_not_spoken_to() {
    let broker = Broker::listen();
    let device = device(&broker);
    let mut connection = broker.accept_tcp();
    shake_hands(&mut connection, "mqttv3.1");
    let mut heard = Vec::new();
    let _ = connection.0.read_to_end(&mut heard);
    assert!(heard.is_empty(), "{heard:02x?}");
    let event = device.event(EventKind::ConnectFailed, 1);
    assert_eq!(event.error.unwrap().kind(), ErrorKind::Protocol);
}
