use super::*;
use crate::proto::codec::Packet;
use crate::{Endpoint, Identity};

const SECOND: Duration = Duration::from_secs(1);

fn connected() -> (Device<()>, Budget) {
    let identity = Identity::verbatim("device", "user", "password").unwrap();
    let endpoint = Endpoint::host("localhost", 1883).unwrap();
    let mut config = Config::new(&identity, &endpoint).unwrap();
    config.use_private_profile();
    config.set_keep_alive_s(1).unwrap();
    let (mut device, mut budget) = (Device::new(config), Budget::new(None));
    device.start(Duration::ZERO).unwrap();
    device.handle_timeout(Duration::ZERO, &mut budget);
    assert_eq!(device.poll_action(), Some(Action::Dial));
    device.handle_link_up();
    write(&mut device);
    let accepted = Packet::ConnAck {
        session_present: false,
        code: 0,
    };
    device.handle_packets([accepted].into_iter(), Duration::ZERO);
    (device, budget)
}

fn write(device: &mut Device<()>) -> usize {
    let mut chunk = Chunk::default();
    device.poll_transmit(&mut chunk, Duration::ZERO);
    let len = chunk.rest().map(<[u8]>::len).iter().sum();
    device.handle_written(&mut chunk, Duration::ZERO);
    len
}

#[test]
fn a_goodbye_that_nobody_takes_ends_at_its_deadline() {
    let (mut device, mut budget) = connected();
    device.stop(Duration::ZERO);
    device.handle_timeout(Duration::ZERO, &mut budget);
    // Keep-alive, long overdue by then, asks for nothing any more.
    assert_eq!(device.poll_timeout(Duration::ZERO), Some(GOODBYE));
    device.handle_timeout(SECOND, &mut budget);
    assert_eq!(device.poll_timeout(Duration::ZERO), Some(GOODBYE));
    assert_eq!(device.poll_action(), None);
    device.handle_timeout(GOODBYE, &mut budget);
    assert_eq!(device.poll_action(), Some(Action::Hangup));
}

#[test]
fn a_link_that_does_not_close_is_dropped_at_the_deadline_of_the_goodbye() {
    let (mut device, mut budget) = connected();
    device.stop(Duration::ZERO);
    device.handle_timeout(Duration::ZERO, &mut budget);
    assert_eq!(write(&mut device), 2, "DISCONNECT");
    assert_eq!(device.poll_action(), Some(Action::Goodbye));
    assert_eq!(device.poll_timeout(Duration::ZERO), Some(GOODBYE));
    device.handle_timeout(GOODBYE, &mut budget);
    assert_eq!(device.poll_action(), Some(Action::Hangup));
    device.handle_lost(None, Chunk::default(), GOODBYE, 0, &mut budget);
    assert_eq!(
        (device.state(), device.poll_timeout(Duration::ZERO)),
        (State::Stopped, None)
    );
}

#[test]
fn destroying_during_a_goodbye_says_no_second_one() {
    let (mut device, mut budget) = connected();
    device.stop(Duration::ZERO);
    device.handle_timeout(Duration::ZERO, &mut budget);
    device.abandon(SECOND);
    device.handle_timeout(SECOND, &mut budget);
    assert_eq!(
        device.poll_timeout(Duration::ZERO),
        Some(GOODBYE),
        "nor does it last longer"
    );
    assert_eq!(write(&mut device), 2, "one DISCONNECT");
}
