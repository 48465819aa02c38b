//! The deadlines of a connection, each to the moment.

use super::*;
use crate::{Endpoint, Identity};

const fn s(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn config() -> Config {
    let identity = Identity::verbatim("device", "user", "password").unwrap();
    let endpoint = Endpoint::host("localhost", 1883).unwrap();
    Config::new(&identity, &endpoint).unwrap()
}

/// A connection whose ping is due, with the default of 300 s, and the moment.
fn silent() -> (KeepAlive, Duration) {
    let keep_alive = KeepAlive::new(&config(), s(0));
    let due = keep_alive.poll_timeout().unwrap();
    assert!(due <= s(225) && due > s(217), "{due:?}");
    (keep_alive, due)
}

/// Another one, whose ping left at the moment.
fn pinged() -> (KeepAlive, Duration) {
    let (mut keep_alive, at) = silent();
    assert_eq!(keep_alive.handle_timeout(at), Verdict::Ping);
    keep_alive.handle_ping_leaving();
    keep_alive.handle_write_waits(at);
    keep_alive.handle_written(true, at);
    (keep_alive, at)
}

#[test]
fn nothing_is_due_before_its_time() {
    let (mut keep_alive, due) = silent();
    let almost = due - Duration::from_nanos(1);
    assert_eq!(keep_alive.handle_timeout(almost), Verdict::Alive);
    assert_eq!(keep_alive.handle_timeout(due), Verdict::Ping);
    // It is on its way: it is not asked for twice.
    assert_eq!(keep_alive.handle_timeout(due), Verdict::Alive);
    assert_eq!(keep_alive.poll_timeout(), None);
}

/// So that ten thousand of them wake the process once.
#[test]
fn idle_connections_ask_at_the_same_moment_and_none_too_late() {
    let due = |accepted| {
        let keep_alive = KeepAlive::new(&config(), accepted);
        keep_alive.poll_timeout().unwrap()
    };
    for second in 0..=7 {
        assert_eq!(due(s(second)), s(225), "accepted at {second} s");
    }
    // Three quarters of the default, in steps of a thirty-second part.
    assert_eq!(due(s(8)), s(225) + s(225) / 32);
}

#[test]
fn the_answer_to_a_ping_says_how_long_it_took() {
    let (mut keep_alive, at) = pinged();
    assert_eq!(keep_alive.poll_timeout(), Some(at + s(10)));
    assert_eq!(keep_alive.handle_pingresp(at + s(3)), Some(s(3)));
    assert_eq!(keep_alive.handle_pingresp(at + s(4)), None, "nobody asked");
}

#[test]
fn what_the_socket_takes_after_a_refusal_puts_off_the_deadline_of_the_answer() {
    let (mut keep_alive, at) = pinged();
    keep_alive.handle_write_waits(at + s(4));
    keep_alive.handle_written(true, at + s(5));
    assert_eq!(keep_alive.handle_timeout(at + s(14)), Verdict::Alive);
    let dead = Verdict::Dead(Silence::PingResp);
    assert_eq!(keep_alive.handle_timeout(at + s(15)), dead);
}

/// The system takes a little at once, whether the peer lives or not.
#[test]
fn messages_that_leave_at_once_do_not_put_off_the_deadline_of_the_answer() {
    let (mut keep_alive, at) = pinged();
    for second in 1..10 {
        keep_alive.handle_write_waits(at + s(second));
        keep_alive.handle_written(true, at + s(second));
        assert_eq!(keep_alive.handle_timeout(at + s(second)), Verdict::Alive);
    }
    let dead = Verdict::Dead(Silence::PingResp);
    assert_eq!(keep_alive.handle_timeout(at + s(10)), dead);
}

#[test]
fn while_nothing_is_read_nothing_is_owed() {
    let (mut keep_alive, at) = pinged();
    keep_alive.set_owed(true, false, at);
    keep_alive.handle_reading_waits(at + s(9));
    assert_eq!(keep_alive.handle_timeout(at + s(18)), Verdict::Alive);
    let dead = Verdict::Dead(Silence::PingResp);
    assert_eq!(keep_alive.handle_timeout(at + s(19)), dead);
    keep_alive.handle_pingresp(at + s(19));
    assert_ne!(keep_alive.handle_timeout(at + s(38)), dead);
    let dead = Verdict::Dead(Silence::Acknowledgement);
    assert_eq!(keep_alive.handle_timeout(at + s(39)), dead);
}

#[test]
fn what_arrives_puts_off_the_deadline_of_the_answer() {
    let (mut keep_alive, at) = pinged();
    keep_alive.handle_received(at + s(5));
    assert_eq!(keep_alive.handle_timeout(at + s(14)), Verdict::Alive);
    let dead = Verdict::Dead(Silence::PingResp);
    assert_eq!(keep_alive.handle_timeout(at + s(15)), dead);
}

#[test]
fn a_ping_that_is_repeated_is_asked_for_once() {
    let mut config = config();
    config.set_keep_alive_s(30).unwrap();
    config.set_ping_timeout(s(120)).unwrap();
    let mut keep_alive = KeepAlive::new(&config, s(0));
    let at = keep_alive.poll_timeout().unwrap();
    assert_eq!(keep_alive.handle_timeout(at), Verdict::Ping);
    keep_alive.handle_ping_leaving();
    keep_alive.handle_written(true, at);
    let again = keep_alive.poll_timeout().unwrap();
    assert_eq!(again, at + Duration::from_millis(22_500));
    assert_eq!(keep_alive.handle_timeout(again), Verdict::Ping);
    assert_eq!(keep_alive.handle_timeout(again + s(1)), Verdict::Alive);
    // It is the first one's answer that is waited for.
    keep_alive.handle_written(true, again);
    assert_eq!(keep_alive.pingresp_due(), Some(at + s(120)));
}

#[test]
fn a_socket_that_takes_nothing_is_dead_after_half_a_minute() {
    let mut keep_alive = KeepAlive::new(&config(), s(0));
    keep_alive.handle_write_waits(s(100));
    keep_alive.handle_write_waits(s(110));
    assert_eq!(keep_alive.poll_timeout(), Some(s(130)));
    keep_alive.handle_written(false, s(120));
    assert_eq!(keep_alive.handle_timeout(s(149)), Verdict::Alive);
    let dead = Verdict::Dead(Silence::Write);
    assert_eq!(keep_alive.handle_timeout(s(150)), dead);
}

#[test]
fn a_peer_that_is_not_read_from_need_not_take_anything() {
    let mut keep_alive = KeepAlive::new(&config(), s(0));
    keep_alive.handle_write_waits(s(100));
    keep_alive.handle_reading_waits(s(120));
    assert_eq!(keep_alive.handle_timeout(s(149)), Verdict::Alive);
    let dead = Verdict::Dead(Silence::Write);
    assert_eq!(keep_alive.handle_timeout(s(150)), dead);
}

#[test]
fn each_acknowledgement_starts_the_wait_for_the_next_one() {
    let mut keep_alive = KeepAlive::new(&config(), s(0));
    keep_alive.set_owed(true, false, s(0));
    keep_alive.set_owed(true, true, s(10));
    keep_alive.set_owed(true, false, s(20));
    assert_eq!(keep_alive.poll_timeout(), Some(s(40)));
    keep_alive.set_owed(false, true, s(25));
    assert_eq!(keep_alive.handle_timeout(s(40)), Verdict::Alive);
    keep_alive.set_owed(true, false, s(50));
    let dead = Verdict::Dead(Silence::Acknowledgement);
    assert_eq!(keep_alive.handle_timeout(s(79)), Verdict::Alive);
    assert_eq!(keep_alive.handle_timeout(s(80)), dead);
}
