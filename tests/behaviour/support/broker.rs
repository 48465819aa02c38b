//! A scripted broker: packets are read and written by hand, so that it shares no code with the
//! library. Every wait has a deadline.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

use super::PATIENCE;

pub(crate) const CONNECT: u8 = 1;
pub(crate) const PUBLISH: u8 = 3;
pub(crate) const PUBACK: u8 = 4;
pub(crate) const SUBSCRIBE: u8 = 8;
pub(crate) const UNSUBSCRIBE: u8 = 10;
pub(crate) const PINGREQ: u8 = 12;
pub(crate) const DISCONNECT: u8 = 14;

/// Listens on a free port of the loopback interface.
pub(crate) struct Broker(TcpListener);

impl Broker {
    pub(crate) fn listen() -> Self {
        Self::listen_at(SocketAddr::from(([127, 0, 0, 1], 0)))
    }

    pub(crate) fn listen_at(address: SocketAddr) -> Self {
        Self(TcpListener::bind(address).unwrap())
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.0.local_addr().unwrap()
    }

    /// Waits for a TCP connection and reads nothing.
    pub(crate) fn accept_tcp(&self) -> Connection {
        self.0.set_nonblocking(true).unwrap();
        let deadline = Instant::now() + PATIENCE;
        let stream = loop {
            match self.0.accept() {
                Ok((stream, _)) => break stream,
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    assert!(Instant::now() < deadline, "nobody connected");
                    std::thread::sleep(Duration::from_millis(1));
                }
                Err(error) => panic!("accept: {error}"),
            }
        };
        stream.set_nonblocking(false).unwrap();
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        Connection(stream)
    }

    /// Waits for the device and answers its CONNECT. `session_present` is the CONNACK flag.
    pub(crate) fn accept(&self, session_present: bool) -> Connection {
        let mut connection = self.accept_tcp();
        connection.expect(CONNECT);
        connection.send(&[0x20, 2, u8::from(session_present), 0]);
        connection
    }

    /// Whether somebody connects within `time`.
    pub(crate) fn is_called_within(&self, time: Duration) -> bool {
        self.0.set_nonblocking(true).unwrap();
        let deadline = Instant::now() + time;
        while Instant::now() < deadline {
            if self.0.accept().is_ok() {
                return true;
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        false
    }
}

/// One packet from the device.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Packet {
    pub(crate) first: u8,
    pub(crate) body: Vec<u8>,
}

impl Packet {
    pub(crate) fn kind(&self) -> u8 {
        self.first >> 4
    }

    /// Packet id at the front of the body: SUBSCRIBE, UNSUBSCRIBE, PUBACK.
    pub(crate) fn id(&self) -> u16 {
        u16::from_be_bytes([self.body[0], self.body[1]])
    }

    pub(crate) fn publish(&self) -> Publish {
        let (topic_len, rest) = self.body.split_at(2);
        let topic_len = usize::from(u16::from_be_bytes([topic_len[0], topic_len[1]]));
        let (topic, rest) = rest.split_at(topic_len);
        let qos = (self.first >> 1) & 3;
        let (id, payload) = if qos == 0 {
            (0, rest)
        } else {
            (u16::from_be_bytes([rest[0], rest[1]]), &rest[2..])
        };
        Publish {
            topic: String::from_utf8(topic.to_vec()).unwrap(),
            payload: payload.to_vec(),
            qos,
            id,
            duplicate: self.first & 8 != 0,
        }
    }

    /// Filters and requested QoS of a SUBSCRIBE.
    pub(crate) fn filters(&self) -> Vec<(String, u8)> {
        let mut rest = &self.body[2..];
        let mut filters = Vec::new();
        while !rest.is_empty() {
            let len = usize::from(u16::from_be_bytes([rest[0], rest[1]]));
            let text = String::from_utf8(rest[2..2 + len].to_vec()).unwrap();
            filters.push((text, rest[2 + len]));
            rest = &rest[3 + len..];
        }
        filters
    }
}

#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Publish {
    pub(crate) topic: String,
    pub(crate) payload: Vec<u8>,
    pub(crate) qos: u8,
    pub(crate) id: u16,
    pub(crate) duplicate: bool,
}

pub(crate) struct Connection(pub(crate) TcpStream);

impl Connection {
    pub(crate) fn send(&mut self, bytes: &[u8]) {
        self.0.write_all(bytes).unwrap();
    }

    pub(crate) fn puback(&mut self, id: u16) {
        let [high, low] = id.to_be_bytes();
        self.send(&[0x40, 2, high, low]);
    }

    pub(crate) fn suback(&mut self, id: u16, codes: &[u8]) {
        let [high, low] = id.to_be_bytes();
        let mut packet = vec![0x90, 2 + codes.len() as u8, high, low];
        packet.extend_from_slice(codes);
        self.send(&packet);
    }

    pub(crate) fn unsuback(&mut self, id: u16) {
        let [high, low] = id.to_be_bytes();
        self.send(&[0xB0, 2, high, low]);
    }

    /// The next packet, or `None` at the end of the stream.
    pub(crate) fn next(&mut self) -> Option<Packet> {
        let mut first = [0];
        match self.0.read(&mut first) {
            Ok(0) => return None,
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::ConnectionReset => return None,
            Err(error) => panic!("nothing came from the device: {error}"),
        }
        let (mut len, mut shift) = (0, 0);
        loop {
            let mut byte = [0];
            self.0.read_exact(&mut byte).unwrap();
            len |= usize::from(byte[0] & 0x7F) << shift;
            shift += 7;
            if byte[0] & 0x80 == 0 {
                break;
            }
        }
        let mut body = vec![0; len];
        self.0.read_exact(&mut body).unwrap();
        Some(Packet {
            first: first[0],
            body,
        })
    }

    /// The next packet, which must be of this type.
    pub(crate) fn expect(&mut self, kind: u8) -> Packet {
        let packet = self.next().expect("the device closed the connection");
        assert_eq!(packet.kind(), kind, "{packet:?}");
        packet
    }

    pub(crate) fn expect_publish(&mut self) -> Publish {
        self.expect(PUBLISH).publish()
    }

    /// The device must close the connection, whatever it sends before.
    pub(crate) fn expect_end(&mut self) {
        while self.next().is_some() {}
    }

    /// Closes in an orderly way.
    pub(crate) fn hang_up(self) {
        let _ = self.0.shutdown(Shutdown::Both);
    }

    /// Resets the connection: the peer sees ECONNRESET.
    pub(crate) fn reset(self) {
        let socket = socket2::Socket::from(self.0);
        socket.set_linger(Some(Duration::ZERO)).unwrap();
    }
}

/// A PUBLISH in bytes.
pub(crate) fn publish(topic: &str, payload: &[u8], qos: u8, id: u16) -> Vec<u8> {
    let mut body = (topic.len() as u16).to_be_bytes().to_vec();
    body.extend_from_slice(topic.as_bytes());
    if qos > 0 {
        body.extend_from_slice(&id.to_be_bytes());
    }
    body.extend_from_slice(payload);
    let mut packet = vec![0x30 | qos << 1];
    let mut len = body.len();
    while len >= 0x80 {
        packet.push(len as u8 | 0x80);
        len >>= 7;
    }
    packet.push(len as u8);
    packet.extend_from_slice(&body);
    packet
}
