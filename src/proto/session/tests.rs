//! When the connection is tried, for how long, and what its end brings about.

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

/// A session that began an attempt at second 100, and its budget.
fn connecting(config: &Config) -> (Session, Budget) {
    let (mut session, mut budget) = (Session::new(config), Budget::new(Some(5)));
    assert_eq!(session.poll_timeout(), None);
    assert!(!session.handle_timeout(s(99), &mut budget), "it rests");
    session.start(s(100));
    assert_eq!(session.poll_timeout(), Some(s(100)));
    assert!(session.handle_timeout(s(100), &mut budget));
    (session, budget)
}

/// The same, where the platform may have seen the attempt.
fn dialled(config: &Config) -> (Session, Budget) {
    let (mut session, mut budget) = connecting(config);
    session.resume(true, s(100), &mut budget);
    (session, budget)
}

fn fail(session: &mut Session, kind: ErrorKind, now: Duration, budget: &mut Budget) -> Event {
    let error = Error::new(kind, Stage::Mqtt, "a test");
    let rival = (kind == ErrorKind::TakenOver).then_some(Rival::Announced);
    session
        .handle_lost(Some(error), rival, now, u32::MAX, budget)
        .unwrap()
}

#[test]
fn an_attempt_has_its_time_and_not_a_moment_more() {
    let (session, _) = connecting(&config());
    assert_eq!(session.connect_timeout(), s(10));
    assert_eq!(session.poll_timeout(), Some(s(110)));
    assert!(!session.is_overdue(s(110) - Duration::from_nanos(1)));
    assert!(session.is_overdue(s(110)));
}

#[test]
fn the_time_stands_still_while_an_attempt_waits_for_others() {
    let (mut session, mut budget) = connecting(&config());
    session.pause();
    assert_eq!(session.poll_timeout(), None);
    assert!(!session.is_overdue(s(1000)));
    session.resume(false, s(200), &mut budget);
    // Going on twice gives no more time.
    session.resume(true, s(205), &mut budget);
    assert_eq!(session.poll_timeout(), Some(s(210)));
    // The budget counts it from when the platform could see it.
    let taken = Phase::Connecting {
        taken: s(205),
        since: Some(s(200)),
        dialled: true,
    };
    assert_eq!(session.phase(), taken);
    assert!(!budget.is_unused(s(264)) && budget.is_unused(s(265)));
}

#[test]
fn what_uses_no_network_costs_nothing() {
    // The date is before the floor, a CA file cannot be read, there is no name, no time is left.
    for kind in [
        ErrorKind::TlsCertificate,
        ErrorKind::TlsConfig,
        ErrorKind::Dns,
        ErrorKind::ConnectTimeout,
    ] {
        let (mut session, mut budget) = connecting(&config());
        // The name lookup begins, and the attempt waits for its turn.
        session.resume(false, s(100), &mut budget);
        session.pause();
        let event = fail(&mut session, kind, s(101), &mut budget);
        assert_eq!(event.kind, EventKind::ConnectFailed);
        assert!(budget.is_unused(s(101)), "{kind:?}");
        let (mut session, mut budget) = dialled(&config());
        fail(&mut session, kind, s(101), &mut budget);
        assert!(!budget.is_unused(s(101)), "{kind:?} after TCP has begun");
    }
    // The application stopped it.
    for (dials, is_free) in [(false, true), (true, false)] {
        let (mut session, mut budget) = connecting(&config());
        session.resume(dials, s(100), &mut budget);
        session.handle_lost(None, None, s(101), 0, &mut budget);
        assert_eq!(budget.is_unused(s(101)), is_free, "dials: {dials}");
    }
}

#[test]
fn a_clock_that_is_set_late_leaves_all_attempts_for_later() {
    let (mut session, mut budget) = connecting(&config());
    let mut now = s(100);
    for _ in 0..20 {
        fail(&mut session, ErrorKind::TlsCertificate, now, &mut budget);
        now += s(1);
        session.retry_now(now);
        assert!(session.handle_timeout(now, &mut budget), "{now:?}");
    }
}

#[test]
fn waiting_can_be_cut_short_and_not_made_longer() {
    let (mut session, mut budget) = connecting(&config());
    fail(&mut session, ErrorKind::BadCredentials, s(101), &mut budget);
    assert_eq!(session.poll_timeout(), Some(s(221)), "the longest delay");
    assert!(!session.handle_timeout(s(220), &mut budget));
    session.retry_now(s(300));
    assert_eq!(session.poll_timeout(), Some(s(221)));
    session.retry_now(s(150));
    assert_eq!(session.poll_timeout(), Some(s(150)));
    assert!(session.handle_timeout(s(150), &mut budget));
}

#[test]
fn devices_that_are_refused_together_do_not_return_together() {
    for (entropy, delay) in [(0, s(90)), (u32::MAX, s(120))] {
        let (mut session, mut budget) = dialled(&config());
        let error = Error::new(ErrorKind::NotAuthorized, Stage::Platform, "a test");
        let event = session.handle_lost(Some(error), None, s(101), entropy, &mut budget);
        assert_eq!(event.unwrap().retry_in, Some(delay));
        assert_eq!(session.poll_timeout(), Some(s(101) + delay));
    }
}

#[test]
fn the_delay_that_is_announced_is_the_one_that_the_budget_leaves() {
    let config = config();
    let (mut session, _) = dialled(&config);
    let mut budget = Budget::new(Some(1));
    budget.take(s(100)).unwrap();
    let event = fail(&mut session, ErrorKind::Network, s(101), &mut budget);
    assert_eq!(event.retry_in, Some(s(59)));
    assert_eq!(session.poll_timeout(), Some(s(160)));
    // Somebody else was quicker.
    budget.refund(s(100));
    budget.take(s(130)).unwrap();
    assert!(!session.handle_timeout(s(160), &mut budget));
    assert_eq!(session.poll_timeout(), Some(s(190)));
}

#[test]
fn only_a_connection_that_held_makes_the_delays_start_over() {
    for (held, longest) in [(59, s(8)), (60, s(1))] {
        let (mut session, mut budget) = connecting(&config());
        budget.set_limit(None);
        let mut now = s(100);
        for _ in 0..3 {
            fail(&mut session, ErrorKind::Network, now, &mut budget);
            now = session.poll_timeout().unwrap();
            assert!(session.handle_timeout(now, &mut budget));
        }
        session.handle_connected(now);
        assert_eq!(session.phase(), Phase::Connected { since: now });
        assert_eq!(session.poll_timeout(), None);
        let event = fail(&mut session, ErrorKind::Network, now + s(held), &mut budget);
        assert_eq!(event.kind, EventKind::Disconnected);
        let delay = event.retry_in.unwrap();
        assert!(
            delay <= longest && delay > longest / 4,
            "{held} s: {delay:?}"
        );
    }
}

#[test]
fn what_the_application_asked_for_ends_in_rest() {
    let (mut session, mut budget) = connecting(&config());
    let event = session
        .handle_lost(None, None, s(101), 0, &mut budget)
        .unwrap();
    assert_eq!(event.kind, EventKind::ConnectFailed);
    assert_eq!(event.error.unwrap().kind(), ErrorKind::Cancelled);
    assert_eq!(session.phase(), Phase::Stopped);
    assert!(
        session
            .handle_lost(None, None, s(102), 0, &mut budget)
            .is_none()
    );
    let (mut session, mut budget) = connecting(&config());
    session.handle_connected(s(101));
    let event = session
        .handle_lost(None, None, s(102), 0, &mut budget)
        .unwrap();
    assert_eq!(
        (event.kind, event.error.is_none()),
        (EventKind::Disconnected, true)
    );
    let (mut session, _) = connecting(&config());
    session.rest();
    assert_eq!(session.phase(), Phase::Stopped);
}

#[test]
fn each_policy_meets_a_take_over_in_its_way() {
    for (policy, expected) in [
        (TakeOverPolicy::Wait, Some(s(120))),
        (TakeOverPolicy::Stop, None),
        (TakeOverPolicy::Fight, Some(s(1))),
    ] {
        let mut config = config();
        config.set_take_over_policy(policy);
        let (mut session, mut budget) = connecting(&config);
        session.handle_connected(s(101));
        let event = fail(&mut session, ErrorKind::TakenOver, s(102), &mut budget);
        match expected {
            None => assert_eq!((event.retry_in, session.phase()), (None, Phase::Stopped)),
            Some(longest) => {
                let delay = event.retry_in.unwrap();
                assert!(
                    delay <= longest && delay > longest / 4,
                    "{policy:?}: {delay:?}"
                );
            }
        }
    }
}
