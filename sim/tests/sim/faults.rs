//! Faults on request.

use std::time::{Duration, Instant};

use aliot_sim::{Early, Ending as How, Error, Faults, Phase, Sim};

use crate::device::{Device, Ending, SECRET, signed, signed_as, sim, wait_for_line};

fn with(sim: &Sim, faults: Faults) {
    sim.set_faults("pk", "dn", faults).unwrap();
}

fn closing(at: Phase, how: How) -> Faults {
    Faults {
        close_at: Some(at),
        how,
        ..Faults::default()
    }
}

#[test]
fn packets_to_a_device_are_held_back_and_keep_their_order() {
    let sim = sim();
    with(
        &sim,
        Faults {
            delay_ms: 300,
            ..Faults::default()
        },
    );
    let start = Instant::now();
    let mut device = Device::connected(&sim, &signed(""));
    assert!(start.elapsed() >= Duration::from_millis(300));
    for id in 1..=20 {
        device.publish("/pk/dn/user/update", b"x", Some(id));
    }
    let start = Instant::now();
    for id in 1..=20 {
        assert_eq!(device.pub_ack(), id);
    }
    // Each is late, and not each after the other.
    assert!(start.elapsed() < Duration::from_millis(20 * 300));
    with(&sim, Faults::default());
    device.ping();
}

#[test]
fn a_connection_is_closed_at_the_moment_asked_for() {
    let sim = sim();
    let over_tls = || {
        let mut device = Device::open_tls(&sim).unwrap();
        let params = "securemode=2,signmethod=hmacsha256";
        device.send(&signed_as("dn", SECRET, params).bytes());
        device
    };
    with(&sim, closing(Phase::Connect, How::Close));
    assert_eq!(over_tls().ending(), Ending::Orderly);
    wait_for_line(&sim, &["closed pk/dn from", "without CONNACK"]);
    with(&sim, closing(Phase::Connack, How::Cut));
    let mut device = over_tls();
    assert_eq!(device.conn_ack(), (false, 0));
    assert_eq!(device.ending(), Ending::Orderly);
    for (at, how, ending) in [
        (Phase::Subscribe, How::Cut, Ending::Truncated),
        (Phase::Publish, How::Reset, Ending::Reset),
        (Phase::Ping, How::Close, Ending::Orderly),
    ] {
        with(&sim, closing(at, how));
        let mut device = over_tls();
        assert_eq!(device.conn_ack(), (false, 0));
        match at {
            Phase::Subscribe => device.send(b"\x82\x14\x00\x01\x00\x0f/pk/dn/user/get\x00"),
            Phase::Publish => device.publish("/pk/dn/user/update", b"x", Some(1)),
            _ => device.send(&[0xC0, 0]),
        }
        assert_eq!(device.ending(), ending, "{at:?}");
    }
    with(&sim, closing(Phase::Puback, How::Close));
    let mut device = over_tls();
    device.conn_ack();
    device.publish("/pk/dn/user/update", b"x", Some(7));
    assert_eq!(device.pub_ack(), 7);
    assert_eq!(device.ending(), Ending::Orderly);
    assert_eq!(sim.received().len(), 1);
}

#[test]
fn a_frame_is_corrupted_as_often_as_asked_for() {
    let sim = sim();
    let mut device = Device::connected(&sim, &signed(""));
    with(
        &sim,
        Faults {
            corrupt: 2,
            ..Faults::default()
        },
    );
    for expected in [0xF0, 0xF0, 0xD0] {
        device.send(&[0xC0, 0]);
        assert_eq!(device.receive(), (expected, vec![]));
    }
}

#[test]
fn one_device_is_not_read_while_the_others_are() {
    let sim = sim();
    let mut device = Device::connected(&sim, &signed(""));
    let other = signed_as(
        "other",
        "another-device-secret",
        "securemode=3,signmethod=hmacsha256",
    );
    let mut other = Device::connected(&sim, &other);
    with(
        &sim,
        Faults {
            stop_reading: true,
            ..Faults::default()
        },
    );
    device.publish("/pk/dn/user/update", b"x", Some(1));
    for _ in 0..20 {
        other.ping();
    }
    assert!(sim.received().is_empty());
    with(&sim, Faults::default());
    assert_eq!(device.pub_ack(), 1);
}

#[test]
fn connections_are_closed_before_it_is_known_whose_they_are() {
    let sim = sim();
    sim.set_early_fault(Early::Accept);
    let mut device = Device::open_tcp(&sim);
    assert!(matches!(device.ending(), Ending::Orderly | Ending::Reset));
    assert!(Device::open_tls(&sim).is_err());
    sim.set_early_fault(Early::Handshake);
    assert!(Device::open_tls(&sim).is_err());
    wait_for_line(&sim, &["closed the TLS handshake", "on request"]);
    sim.set_early_fault(Early::Off);
    Device::connected(&sim, &signed(""));
}

#[test]
fn faults_out_of_range_are_not_taken() {
    let sim = sim();
    for faults in [
        Faults {
            refuse: Some(0),
            ..Faults::default()
        },
        Faults {
            delay_ms: 600_001,
            ..Faults::default()
        },
    ] {
        let taken = sim.set_faults("pk", "dn", faults);
        assert!(matches!(taken, Err(Error::InvalidArgument(_))));
    }
}
