use super::*;
use crate::{Endpoint, Identity};

const fn s(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// A connection of which something is owed from second 0, and whose acknowledgement timeout is 30 s.
fn owing() -> KeepAlive {
    let identity = Identity::verbatim("device", "user", "password").unwrap();
    let endpoint = Endpoint::host("localhost", 1883).unwrap();
    let config = Config::new(&identity, &endpoint).unwrap();
    let mut keep_alive = KeepAlive::new(&config, s(0));
    keep_alive.set_owed(true, false, s(0));
    keep_alive.handle_write_waits(s(0));
    keep_alive
}

#[test]
fn a_message_that_took_longer_to_leave_than_its_acknowledgement_may_take_is_not_late() {
    let mut keep_alive = owing();
    for second in (10..60).step_by(10) {
        keep_alive.handle_written(false, s(second));
        assert_eq!(keep_alive.handle_timeout(s(second)), Verdict::Alive);
    }
    keep_alive.handle_written(true, s(59));
    assert_eq!(keep_alive.handle_timeout(s(59)), Verdict::Alive);
    let dead = Verdict::Dead(Silence::Acknowledgement);
    assert_eq!(keep_alive.handle_timeout(s(89)), dead);
}

#[test]
fn what_the_socket_takes_at_once_extends_nothing() {
    let mut keep_alive = owing();
    keep_alive.handle_written(true, s(0));
    for second in 1..30 {
        keep_alive.handle_write_waits(s(second));
        keep_alive.handle_written(true, s(second));
        assert_eq!(keep_alive.handle_timeout(s(second)), Verdict::Alive);
    }
    let dead = Verdict::Dead(Silence::Acknowledgement);
    assert_eq!(keep_alive.handle_timeout(s(30)), dead);
}
