//! The normative statements of MQTT 3.1.1 that bind a client of QoS 0 and 1: one test each, with
//! the statement's number in its name. Those about time run in virtual time, in
//! `src/proto/device/tests_normative.rs`; `tests/README.md` lists all of them.

#[path = "../behaviour/support/mod.rs"]
#[allow(dead_code, reason = "each test program uses its part")]
mod support;

mod connect;
mod data;
mod ending;
mod publish;
mod readme;
mod subscribe;
mod websocket;

use std::time::Duration;

use aliot::{Config, Error, ErrorKind, EventKind};

use support::PATIENCE;
use support::broker::{Broker, Connection, PUBLISH, Packet};
use support::device::{Device, config};

/// A device on its first connection, with what `change` makes of its configuration.
fn connected_with(change: impl FnOnce(&mut Config)) -> (Broker, Device, Connection) {
    let broker = Broker::listen();
    let mut config = config(broker.address());
    change(&mut config);
    let device = Device::start(&config);
    let connection = broker.accept(false);
    device.client.wait_connected(PATIENCE).unwrap();
    (broker, device, connection)
}

fn connected() -> (Broker, Device, Connection) {
    connected_with(|_| ())
}

/// The same with a session that outlives connections.
fn connected_with_session() -> (Broker, Device, Connection) {
    connected_with(|config| config.set_clean_session(false))
}

/// The device must end its `n`th connection because the peer broke the protocol.
fn ends_for(device: &Device, connection: &mut Connection, n: usize, reason: &str) {
    connection.expect_end();
    let event = device.event(EventKind::Disconnected, n);
    assert_eq!(event.error.unwrap().kind(), ErrorKind::Protocol);
    assert!(
        event.text.contains(reason),
        "{reason:?} is not in {:?}",
        event.text
    );
}

/// A call was refused for an argument of this name.
fn refused<T: std::fmt::Debug>(result: Result<T, Error>, argument: &str) {
    let error = result.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidArgument, "{error}");
    assert!(error.to_string().starts_with(argument), "{error}");
}

/// A QoS 1 message goes out and is acknowledged: the connection lives. Returns what came before.
fn lives(device: &Device, connection: &mut Connection) -> Vec<Packet> {
    let probe = device.publish("probe", b"");
    let mut before = Vec::new();
    loop {
        let packet = connection.next().expect("the device closed the connection");
        if packet.kind() == PUBLISH && packet.publish().topic == "probe" {
            connection.puback(packet.publish().id);
            assert_eq!(device.completion(probe), Ok(None));
            return before;
        }
        before.push(packet);
    }
}

/// Nothing arrives from the device for a moment.
fn is_silent(connection: &mut Connection) -> bool {
    connection
        .0
        .set_read_timeout(Some(Duration::from_millis(50)))
        .unwrap();
    let silent = std::io::Read::read(&mut connection.0, &mut [0]).is_err();
    connection.0.set_read_timeout(Some(PATIENCE)).unwrap();
    silent
}
