//! What we send against what libmosquitto sends, byte for byte, and each reading the other through
//! a real broker: an encoder and a decoder that share nothing with ours.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};

use aliot::{Config, Endpoint, Identity, Qos};

use crate::support::PATIENCE;
use crate::support::broker::{
    Broker, CONNECT, Connection, DISCONNECT, PUBACK, PUBLISH, SUBSCRIBE, UNSUBSCRIBE,
};
use crate::support::device::{Device, private};
use crate::support::mosquitto::Mosquitto;

/// What both clients are told to send.
#[derive(Clone, Debug)]
struct Case {
    client_id: String,
    user: String,
    password: String,
    clean: bool,
    keep_alive: u16,
    topic: String,
    payload: Vec<u8>,
    qos: Qos,
}

/// Lengths around the steps of the remaining length, texts of every width, and empty levels.
fn cases() -> Vec<Case> {
    let topics = [
        "a",
        "a/b",
        "/a//b/",
        "with space",
        "é/中/😀",
        "$own/x",
        &"t".repeat(127),
    ];
    let sizes = [
        0, 1, 100, 117, 118, 119, 120, 121, 122, 123, 124, 125, 126, 127, 128, 4000, 16_370,
        16_377, 16_379, 16_381, 16_384, 70_000,
    ];
    let mut cases = Vec::new();
    for (n, size) in sizes.into_iter().enumerate() {
        cases.push(Case {
            client_id: ["device", "d", "设备", &"i".repeat(100)][n % 4].to_owned(),
            user: ["user", "device&product", "ü"][n % 3].to_owned(),
            password: ["password", "p", "пароль", &"F".repeat(64)][n % 4].to_owned(),
            clean: n % 2 == 0,
            keep_alive: [60, 300, 1200][n % 3],
            topic: topics[n % topics.len()].to_owned(),
            payload: (0..size).map(|i| (i * 7 % 256) as u8).collect(),
            qos: if n % 3 == 0 {
                Qos::AtMostOnce
            } else {
                Qos::AtLeastOnce
            },
        });
    }
    cases
}

impl Case {
    fn config(&self, address: SocketAddr) -> Config {
        let identity = Identity::verbatim(&self.client_id, &self.user, &self.password).unwrap();
        let mut endpoint = Endpoint::host("127.0.0.1", address.port()).unwrap();
        endpoint.set_dangerous_plaintext();
        let mut config = Config::new(&identity, &endpoint).unwrap();
        private(&mut config);
        config.set_clean_session(self.clean);
        config.set_keep_alive_s(self.keep_alive).unwrap();
        config
    }

    /// `mosquitto_pub` or `mosquitto_sub` with what both have.
    fn program(&self, name: &str, address: SocketAddr) -> Command {
        let mut program = Command::new(name);
        program
            .args([
                "-V",
                "mqttv311",
                "-h",
                "127.0.0.1",
                "-p",
                &address.port().to_string(),
            ])
            .args([
                "-i",
                &self.client_id,
                "-u",
                &self.user,
                "-P",
                &self.password,
            ])
            .args(["-k", &self.keep_alive.to_string()])
            .args(["-q", &(self.qos as u8).to_string()]);
        if !self.clean {
            program.arg("-c");
        }
        program
    }

    fn publisher(&self, address: SocketAddr) -> Child {
        // An empty message has an option of its own.
        let content = if self.payload.is_empty() { "-n" } else { "-s" };
        let mut child = self
            .program("mosquitto_pub", address)
            .args(["-t", &self.topic, content])
            .stdin(Stdio::piped())
            .spawn()
            .expect("mosquitto_pub: `make test` installs it, or apt-get install mosquitto-clients");
        let mut stdin = child.stdin.take().unwrap();
        if !self.payload.is_empty() {
            stdin.write_all(&self.payload).unwrap();
        }
        child
    }
}

/// Packets as they were on the wire, with their packet ids made 0: each library counts for itself.
fn record(connection: &mut Connection, mut until: impl FnMut(&[u8]) -> bool) -> Vec<Vec<u8>> {
    let mut packets = Vec::new();
    while let Some(mut packet) = next_raw(connection) {
        let header_len = 2 + packet[1..].iter().take_while(|byte| **byte >= 0x80).count();
        let kind = packet[0] >> 4;
        let id_at = match kind {
            PUBLISH if packet[0] & 6 != 0 => {
                let len = u16::from_be_bytes([packet[header_len], packet[header_len + 1]]);
                header_len + 2 + usize::from(len)
            }
            SUBSCRIBE | UNSUBSCRIBE => header_len,
            _ => usize::MAX,
        };
        let id = packet
            .get(id_at..)
            .map(|rest| u16::from_be_bytes([rest[0], rest[1]]));
        match (kind, id) {
            (CONNECT, _) => connection.send(&[0x20, 2, 0, 0]),
            (PUBLISH, Some(id)) => connection.puback(id),
            (SUBSCRIBE, Some(id)) => {
                let filters = (0..packet.len())
                    .filter(|at| packet.get(*at..at + 2) == Some(b"f/"))
                    .count();
                connection.suback(id, &vec![1; filters]);
            }
            (UNSUBSCRIBE, Some(id)) => connection.unsuback(id),
            _ => {}
        }
        if let Some(id) = id {
            assert_ne!(id, 0);
            packet[id_at..id_at + 2].fill(0);
        }
        let is_last = until(&packet);
        packets.push(packet);
        if is_last {
            break;
        }
    }
    packets
}

fn next_raw(connection: &mut Connection) -> Option<Vec<u8>> {
    let mut packet = vec![0];
    if connection.0.read(&mut packet).ok()? == 0 {
        return None;
    }
    let (mut len, mut shift) = (0, 0);
    loop {
        let mut byte = [0];
        connection.0.read_exact(&mut byte).unwrap();
        packet.push(byte[0]);
        len |= usize::from(byte[0] & 0x7F) << shift;
        shift += 7;
        if byte[0] & 0x80 == 0 {
            break;
        }
    }
    let body_at = packet.len();
    packet.resize(body_at + len, 0);
    connection.0.read_exact(&mut packet[body_at..]).unwrap();
    Some(packet)
}

fn is_disconnect(packet: &[u8]) -> bool {
    packet[0] >> 4 == DISCONNECT
}

/// CONNECT, PUBLISH of both qualities, DISCONNECT.
#[test]
fn what_a_publisher_sends_is_what_libmosquitto_sends() {
    for case in cases() {
        let broker = Broker::listen();
        let mut child = case.publisher(broker.address());
        let theirs = record(&mut broker.accept_tcp(), is_disconnect);
        assert!(child.wait().unwrap().success());

        let broker = Broker::listen();
        let device = Device::start(&case.config(broker.address()));
        device
            .client
            .publish(&case.topic, &case.payload, case.qos, false)
            .unwrap();
        device.client.stop(PATIENCE).unwrap();
        let ours = record(&mut broker.accept_tcp(), is_disconnect);

        assert_eq!(theirs.len(), 3, "{case:?}");
        assert!(
            ours == theirs,
            "{case:?}\n{:02x?}\n{:02x?}",
            heads(&ours),
            heads(&theirs)
        );
    }
}

/// SUBSCRIBE, UNSUBSCRIBE and PUBACK.
#[test]
fn what_a_subscriber_sends_is_what_libmosquitto_sends() {
    let filters = [
        "f/+",
        "f/#",
        "f/é/中/😀",
        "f//",
        &format!("f/{}", "x".repeat(120)),
    ];
    let message = crate::support::broker::publish("f/1", b"payload", 1, 0xABCD);
    for case in cases().into_iter().take(6) {
        let qos_1 = Case {
            qos: Qos::AtLeastOnce,
            ..case
        };
        // The message comes when everything was asked for, so that its PUBACK is the last.
        let run = |connection: &mut Connection| {
            let mut packets = record(connection, |packet| packet[0] >> 4 == UNSUBSCRIBE);
            connection.send(&message);
            packets.extend(record(connection, |packet| packet[0] >> 4 == PUBACK));
            packets
        };
        let broker = Broker::listen();
        let mut program = qos_1.program("mosquitto_sub", broker.address());
        filters.iter().for_each(|filter| {
            program.args(["-t", filter]);
        });
        let mut child = program
            .args(["-U", "f/gone"])
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let theirs = run(&mut broker.accept_tcp());
        child.kill().unwrap();
        child.wait().unwrap();

        let broker = Broker::listen();
        let device = Device::new(&qos_1.config(broker.address()));
        for filter in filters {
            device.subscribe(filter, Qos::AtLeastOnce);
        }
        device.client.unsubscribe("f/gone").unwrap();
        device.client.start().unwrap();
        let ours = run(&mut broker.accept_tcp());

        assert_eq!(theirs.len(), 4, "{:02x?}", heads(&theirs));
        assert!(
            ours == theirs,
            "{:02x?}\n{:02x?}",
            heads(&ours),
            heads(&theirs)
        );
    }
}

/// The first bytes of each packet: the rest of a large one says nothing to a reader.
fn heads(packets: &[Vec<u8>]) -> Vec<&[u8]> {
    packets
        .iter()
        .map(|packet| &packet[..packet.len().min(100)])
        .collect()
}

/// Their encoder, the broker's, our decoder.
#[test]
fn what_libmosquitto_publishes_arrives_as_it_was_sent() {
    let broker = Mosquitto::start("theirs");
    let listener = Case {
        client_id: "listener".to_owned(),
        ..cases()[0].clone()
    };
    let device = Device::connect(&listener.config(broker.tcp));
    for filter in ["#", "$own/#"] {
        device.subscribe(filter, Qos::AtLeastOnce);
    }
    device.client.wait_flushed(PATIENCE).unwrap();
    for (n, case) in cases().into_iter().enumerate() {
        assert!(case.publisher(broker.tcp).wait().unwrap().success());
        let (_, got) = device.messages(n + 1).swap_remove(n);
        assert_eq!((&got.topic, got.qos), (&case.topic, case.qos));
        assert!(got.payload == case.payload, "{} bytes", case.payload.len());
    }
}

/// Our encoder, the broker's, their decoder.
#[test]
fn libmosquitto_reads_what_we_publish_as_it_was_sent() {
    let broker = Mosquitto::start("ours");
    let cases = cases();
    let listener = Case {
        client_id: "listener".to_owned(),
        qos: Qos::AtLeastOnce,
        ..cases[0].clone()
    };
    let mut program = listener.program("mosquitto_sub", broker.tcp);
    program.args([
        "-t",
        "#",
        "-t",
        "$own/#",
        "-C",
        &cases.len().to_string(),
        "-F",
        "%t|%q|%x",
        "-d",
    ]);
    // Line by line, though it writes to a pipe.
    let mut child = Command::new("stdbuf")
        .args(["-oL", "mosquitto_sub"])
        .args(program.get_args())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap())
        .lines()
        .map(Result::unwrap);
    let subscribed = lines.find(|line| line.starts_with("Subscribed"));
    assert!(subscribed.is_some(), "mosquitto_sub ended");
    let sender = Case {
        client_id: "sender".to_owned(),
        ..cases[0].clone()
    };
    let device = Device::connect(&sender.config(broker.tcp));
    for case in &cases {
        device
            .client
            .publish(&case.topic, &case.payload, case.qos, false)
            .unwrap();
    }
    let mut got: Vec<String> = lines.filter(|line| line.contains('|')).collect();
    assert!(child.wait().unwrap().success());
    let mut sent: Vec<String> = cases
        .iter()
        .map(|case| {
            let hex: String = case
                .payload
                .iter()
                .map(|byte| format!("{byte:02x}"))
                .collect();
            format!("{}|{}|{hex}", case.topic, case.qos as u8)
        })
        .collect();
    got.sort();
    sent.sort();
    assert!(
        got == sent,
        "{} lines for {} messages",
        got.len(),
        sent.len()
    );
}
