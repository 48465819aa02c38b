//! A message for which the peer closes each connection is not taken for a rival.

use super::tests_calls::{Bench, T};
use super::*;
use crate::proto::codec::Packet;

const TAKEN_OVER: EventKind = EventKind::TakenOver;

/// A connection that the peer closes a second after it was accepted, and what had left on it.
fn close(bench: &mut Bench, round: u64) -> Vec<u8> {
    let now = T(1000 * round);
    bench.connect(now);
    let bytes = bench.write(now);
    bench.lose(ErrorKind::ClosedByPeer, now + T(1));
    bytes
}

fn publish(bench: &mut Bench, topic: &str, expires: Option<Duration>) -> Token {
    let sent = bench
        .device
        .publish(topic, b"x", Qos::AtLeastOnce, true, expires);
    sent.unwrap().unwrap()
}

/// The reason that the last connection had.
fn failure(bench: &Bench) -> &Error {
    bench.device.last_failure().unwrap()
}

#[test]
fn a_message_that_the_peer_does_not_take_is_named_and_kept() {
    let mut bench = Bench::started();
    let token = publish(&mut bench, "not/allowed", None);
    publish(&mut bench, "allowed", None);
    let mut delay = Duration::ZERO;
    for round in 1..=6 {
        assert!(!close(&mut bench, round).is_empty(), "it is sent again");
        assert!(!bench.told().0.contains(&TAKEN_OVER), "{round}");
        let error = failure(&bench);
        assert_eq!(error.kind(), ErrorKind::ClosedByPeer);
        let expected = format!(
            "closed {round} connections in a row after the message on topic \"not/allowed\", token {}",
            token.get()
        );
        assert_eq!(error.to_string().contains(&expected), round >= 3, "{error}");
        let is_hinted = error.hint().unwrap_or_default().contains("only its expiry");
        assert_eq!(is_hinted, round >= 3, "{error}");
        // As after any other loss.
        let begun = T(1000 * round + 1);
        let next = bench.device.poll_timeout(begun).unwrap() - begun;
        assert!(next > delay && next <= T(32), "{round}: {next:?}");
        delay = next;
    }
    assert_eq!(bench.device.outbox_level().0, 2);
    assert_eq!(bench.device.counters().lost_closed, 6);
}

#[test]
fn a_rival_is_one_whatever_was_acknowledged_in_between() {
    let mut bench = Bench::started();
    for round in 1..=3 {
        publish(&mut bench, "a", None);
        bench.connect(T(1000 * round));
        bench.write(T(1000 * round));
        if round > 1 {
            let id = round as u16 - 1;
            bench.receive(Packet::PubAck { id: 2 * id }, T(1000 * round));
        }
        bench.lose(ErrorKind::ClosedByPeer, T(1000 * round + 1));
    }
    assert!(bench.told().0.contains(&TAKEN_OVER));
}

#[test]
fn what_has_not_left_on_a_connection_did_not_end_it() {
    let mut bench = Bench::new(|config| config.set_clean_session(false));
    bench.device.start(T(0)).unwrap();
    publish(&mut bench, "a", None);
    close(&mut bench, 0);
    for round in 1..=2 {
        bench.resume(true, T(1000 * round));
        bench.lose(ErrorKind::ClosedByPeer, T(1000 * round + 1));
    }
    assert!(bench.told().0.contains(&TAKEN_OVER));
    // Sent again, it is under way again.
    for round in 3..=5 {
        bench.resume(true, T(1000 * round));
        bench.write(T(1000 * round));
        bench.lose(ErrorKind::ClosedByPeer, T(1000 * round + 1));
    }
    assert_eq!(failure(&bench).kind(), ErrorKind::ClosedByPeer);
}

#[test]
fn the_next_message_is_judged_on_its_own_when_the_first_has_expired() {
    let mut bench = Bench::started();
    publish(&mut bench, "first", Some(T(3500)));
    publish(&mut bench, "second", None);
    // Before it, there was another end, for a reason of its own.
    bench.connect(T(0));
    bench.lose(ErrorKind::ClosedByPeer, T(1));
    for round in 1..=3 {
        close(&mut bench, round);
    }
    assert!(failure(&bench).to_string().contains("\"first\""));
    bench.device.handle_timeout(T(3500), &mut Budget::new(None));
    bench.device.poll_action();
    bench.device.outputs().clear();
    bench.lose(ErrorKind::Network, T(3500));
    for round in 4..=6 {
        close(&mut bench, round);
    }
    assert!(!bench.told().0.contains(&TAKEN_OVER));
    let error = failure(&bench);
    assert!(error.to_string().contains("\"second\""), "{error}");
}

#[test]
fn two_closes_with_one_message_hide_no_rival_among_others() {
    let mut bench = Bench::started();
    close(&mut bench, 1);
    publish(&mut bench, "a", None);
    for round in 2..=3 {
        close(&mut bench, round);
        assert!(!bench.told().0.contains(&TAKEN_OVER), "{round}");
    }
    bench.device.stop(T(3002));
    bench.device.handle_timeout(T(3002), &mut Budget::new(None));
    bench.device.start(T(3003)).unwrap();
    for round in 4..=6 {
        close(&mut bench, round);
    }
    assert!(bench.told().0.contains(&TAKEN_OVER));
}

#[test]
fn an_attempt_that_fails_before_it_is_accepted_is_not_the_fault_of_a_message() {
    let mut bench = Bench::started();
    publish(&mut bench, "not/allowed", None);
    for round in 1..=3 {
        close(&mut bench, round);
    }
    let mut now = T(4000);
    for kind in [
        ErrorKind::Dns,
        ErrorKind::TlsCertificate,
        ErrorKind::BadCredentials,
    ] {
        bench.device.retry_now(now);
        bench.dial(now);
        bench.lose(kind, now);
        assert_eq!(failure(&bench).kind(), kind);
        let error = failure(&bench).to_string();
        assert!(!error.contains("not/allowed"), "{error}");
        now += T(600);
    }
    // Refused for what it is, the device does not come back at once.
    let refused = now - T(600);
    let next = bench.device.poll_timeout(refused).unwrap() - refused;
    assert!(next >= T(60), "{next:?}");
}
