//! Sections 3.14, 4.8 and 7.1: how a connection ends, and what carries it.

use std::time::Duration;

use aliot::{Config, Endpoint, ErrorKind, EventKind, Identity, Qos};
use aliot_sim::{Options, Sim};

use crate::support::PATIENCE;
use crate::support::broker::{DISCONNECT, PUBLISH, publish};
use crate::support::device::{Device, private};
use crate::{connected, ends_for};

#[test]
fn mqtt_3_14_1_1_the_flags_of_disconnect_are_zero() {
    let (_broker, device, mut connection) = connected();
    device.client.stop(Duration::ZERO).unwrap();
    let packet = connection.expect(DISCONNECT);
    assert_eq!((packet.first, packet.body.len()), (0xE0, 0));
}

#[test]
fn mqtt_3_14_4_1_after_disconnect_the_device_closes_without_waiting_for_the_peer() {
    let (_broker, device, mut connection) = connected();
    device.client.stop(Duration::ZERO).unwrap();
    connection.expect(DISCONNECT);
    // The broker's side stays open.
    assert_eq!(connection.next(), None);
    device.client.wait_stopped(PATIENCE).unwrap();
}

#[test]
fn mqtt_3_14_4_2_nothing_follows_disconnect() {
    let (_broker, device, mut connection) = connected();
    for n in 0..100 {
        device.publish("a", &[n]);
    }
    connection.send(&publish("b", b"to be acknowledged", 1, 9));
    device.client.stop(Duration::ZERO).unwrap();
    let mut packets = Vec::new();
    while let Some(packet) = connection.next() {
        packets.push(packet.kind());
    }
    assert_eq!(packets.last(), Some(&DISCONNECT));
    let ends = packets.iter().filter(|&&kind| kind == DISCONNECT).count();
    assert_eq!(ends, 1);
}

#[test]
fn mqtt_4_8_0_1_a_breach_of_the_protocol_ends_the_connection_it_came_on() {
    let (broker, device, mut connection) = connected();
    connection.send(&[0xF0, 0]);
    ends_for(&device, &mut connection, 1, "type 15");
    let mut connection = broker.accept(false);
    connection.send(&[0x20, 2, 0, 0]);
    ends_for(&device, &mut connection, 2, "a second CONNACK");
    let _connection = broker.accept(false);
    device.event(EventKind::Connected, 3);
}

#[test]
fn mqtt_4_8_0_2_a_passing_error_ends_the_connection_and_another_one_follows() {
    let (broker, device, mut connection) = connected();
    device.publish("a", b"x");
    connection.expect(PUBLISH);
    connection.reset();
    let event = device.event(EventKind::Disconnected, 1);
    assert_eq!(event.error.unwrap().kind(), ErrorKind::Network);
    assert_eq!(broker.accept(false).expect_publish().payload, b"x");
}

#[test]
fn mqtt_7_1_2_1_tcp_and_tls_carry_every_byte_in_order() {
    let sim = Sim::start(Options::default()).unwrap();
    sim.add_device("a1pk", "lamp", "secret");
    let identity = Identity::with_secret("a1pk", "lamp", "secret").unwrap();
    let mut tcp = Endpoint::host("127.0.0.1", sim.tcp_addr().unwrap().port()).unwrap();
    tcp.set_dangerous_plaintext();
    let mut tls = Endpoint::host("localhost", sim.tls_addr().unwrap().port()).unwrap();
    tls.set_ca_pem(sim.ca_pem().as_bytes()).unwrap();
    let mut expected: Vec<Vec<u8>> = Vec::new();
    for endpoint in [tcp, tls] {
        let mut config = Config::new(&identity, &endpoint).unwrap();
        private(&mut config);
        let device = Device::connect(&config);
        for n in 0..200_usize {
            let payload: Vec<u8> = (0..n * 13).map(|at| (at + n) as u8).collect();
            device
                .client
                .publish("/a1pk/lamp/user/update", &payload, Qos::AtLeastOnce, true)
                .unwrap();
            expected.push(payload);
        }
        device.client.wait_flushed(PATIENCE).unwrap();
    }
    let received: Vec<Vec<u8>> = sim
        .received()
        .iter()
        .map(|message| message.payload.to_vec())
        .collect();
    assert!(received == expected, "payloads differ");
}
