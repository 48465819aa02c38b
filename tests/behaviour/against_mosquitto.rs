//! Against a real broker, over TCP and TLS, with verbatim credentials.

use aliot::{Config, Endpoint, Identity, Qos};

use crate::support::device::{Device, private};
use crate::support::mosquitto::Mosquitto;

fn config(name: &str, endpoint: &Endpoint) -> Config {
    let identity = Identity::verbatim(name, "user", "password").unwrap();
    let mut config = Config::new(&identity, endpoint).unwrap();
    private(&mut config);
    config
}

/// 1 byte to 256 KiB, with what lies around the steps of MQTT's length and of TLS records.
const SIZES: [usize; 12] = [
    0, 1, 2, 127, 128, 1_000, 16_383, 16_384, 16_500, 65_536, 262_143, 262_144,
];

fn every_size_comes_back(config: &Config) {
    let device = Device::connect(config);
    device.subscribe("echo/#", Qos::AtLeastOnce);
    device
        .client
        .wait_flushed(crate::support::PATIENCE)
        .unwrap();
    let mut expected = Vec::new();
    for (n, &size) in SIZES.iter().enumerate() {
        let payload: Vec<u8> = (0..size).map(|i| (i % 251) as u8).collect();
        for qos in [Qos::AtMostOnce, Qos::AtLeastOnce] {
            let topic = format!("echo/{n}/{}", qos as u8);
            device.client.publish(&topic, &payload, qos, true).unwrap();
            expected.push((topic, qos, payload.clone()));
        }
        // Both qualities of one size at a time: 4 MiB of outbox are not the point here.
        device
            .client
            .wait_flushed(crate::support::PATIENCE)
            .unwrap();
    }
    let mut got: Vec<_> = device
        .messages(expected.len())
        .into_iter()
        .map(|(_, message)| (message.topic, message.qos, message.payload))
        .collect();
    got.sort_by(|a, b| a.0.cmp(&b.0));
    expected.sort_by(|a, b| a.0.cmp(&b.0));
    assert!(got == expected, "payloads differ");
}

#[test]
fn every_size_of_message_comes_back_over_tcp() {
    let broker = Mosquitto::start("tcp");
    let mut endpoint = Endpoint::host("127.0.0.1", broker.tcp.port()).unwrap();
    endpoint.set_dangerous_plaintext();
    every_size_comes_back(&config("tcp", &endpoint));
}

#[test]
fn every_size_of_message_comes_back_over_tls() {
    let broker = Mosquitto::start("tls");
    let mut endpoint = Endpoint::host("localhost", broker.tls.port()).unwrap();
    endpoint.set_ca_pem(broker.ca_pem.as_bytes()).unwrap();
    every_size_comes_back(&config("tls", &endpoint));
}
