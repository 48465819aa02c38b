//! Calls, answers, losses and stops in unusual orders.

use super::tests_calls::{Bench, T};
use super::*;
use crate::TopicFilter;
use crate::proto::codec::Packet;

const DISCONNECT: [u8; 2] = [0xE0, 0];

/// A device whose session the platform keeps, connected.
fn session(change: impl FnOnce(&mut Config)) -> Bench {
    let mut bench = Bench::new(|config| {
        config.set_clean_session(false);
        change(config);
    });
    bench.device.start(T(0)).unwrap();
    bench.connect(T(0));
    bench
}

fn publish(bench: &mut Bench, expires: Option<Duration>) -> Token {
    let sent = bench
        .device
        .publish("a", b"x", Qos::AtLeastOnce, true, expires);
    sent.unwrap().unwrap()
}

fn unsubscribe(bench: &mut Bench, filter: &str) {
    let filter = TopicFilter::parse(filter).unwrap();
    bench.device.unsubscribe(filter).unwrap();
}

fn suback(bench: &mut Bench, id: u16, code: u8) {
    let codes = vec![code];
    bench.receive(Packet::SubAck { id, codes }, T(0));
}

/// The attempt that has begun is accepted, and the session was kept.
fn go_on(bench: &mut Bench, now: Duration) {
    assert_eq!(bench.device.poll_action(), Some(Action::Dial));
    bench.device.handle_link_up();
    bench.write(now);
    let accepted = Packet::ConnAck {
        session_present: true,
        code: 0,
    };
    bench.receive(accepted, now);
}

/// Does what is due in each of these seconds, and answers the pings. Nothing ends the connection.
fn stays(bench: &mut Bench, seconds: std::ops::Range<u64>) {
    for second in seconds {
        bench.device.handle_timeout(T(second), &mut bench.budget);
        assert_eq!(bench.device.poll_action(), None, "after {second} s");
        if bench.write(T(second)).ends_with(&[0xC0, 0]) {
            bench.receive(Packet::PingResp, T(second));
        }
    }
}

#[test]
fn a_message_that_expired_in_an_outage_is_not_waited_for_in_the_session_that_was_kept() {
    let mut bench = session(|config| config.set_window(1).unwrap());
    let token = publish(&mut bench, Some(T(5)));
    assert!(!bench.write(T(0)).is_empty());
    bench.lose(ErrorKind::Network, T(1));
    bench.device.handle_timeout(T(6), &mut bench.budget);
    assert_eq!(bench.told().1, [(token, Some(ErrorKind::Expired))]);
    go_on(&mut bench, T(6));
    assert!(bench.write(T(6)).is_empty(), "it is not sent again");
    stays(&mut bench, 7..60);
    publish(&mut bench, None);
    assert!(!bench.write(T(60)).is_empty(), "nor is it in the way");
}

#[test]
fn messages_around_one_that_expired_in_an_outage_are_sent_again() {
    for expired in 0..3 {
        let mut bench = session(|_| {});
        for number in 0..3 {
            publish(&mut bench, (number == expired).then_some(T(5)));
        }
        bench.write(T(0));
        bench.lose(ErrorKind::Network, T(1));
        bench.device.handle_timeout(T(5), &mut bench.budget);
        go_on(&mut bench, T(6));
        let left = (1..=3).filter(|id| *id != expired + 1);
        // QoS 1 and DUP, topic "a", the id that it had.
        let again = left.flat_map(|id| [0x3A, 6, 0, 1, b'a', 0, id, b'x']);
        assert_eq!(bench.write(T(6)), again.collect::<Vec<u8>>());
    }
}

#[test]
fn a_message_that_expires_before_its_turn_to_be_sent_again_is_passed_over() {
    let mut bench = session(|config| config.set_rates(None, Some(1)).unwrap());
    publish(&mut bench, None);
    publish(&mut bench, Some(T(13)));
    bench.write(T(1));
    bench.write(T(3));
    bench.lose(ErrorKind::Network, T(4));
    let now = T(13) - Duration::from_millis(1);
    bench.resume(true, now);
    assert!(!bench.write(now).is_empty());
    bench.receive(Packet::PubAck { id: 1 }, T(13));
    stays(&mut bench, 13..60);
    publish(&mut bench, None);
    assert!(!bench.write(T(60)).is_empty());
}

#[test]
fn what_expires_where_it_waits_to_be_sent_again_may_have_been_delivered() {
    let mut bench = Bench::started();
    bench.connect(T(0));
    publish(&mut bench, Some(T(5)));
    bench.write(T(0));
    bench.lose(ErrorKind::Network, T(1));
    // In a new session it goes back to the queue, ahead of one that never left.
    bench.connect(T(4));
    publish(&mut bench, Some(T(5)));
    bench.device.handle_timeout(T(5), &mut bench.budget);
    let outputs = bench.device.outputs().drain(..);
    let ends = outputs.filter_map(|output| match output {
        Output::Completion(end) => Some(end.result.unwrap_err().to_string()),
        _ => None,
    });
    let delivered: Vec<_> = ends.map(|end| end.contains("may have been")).collect();
    assert_eq!(delivered, [true, false]);
}

/// Stops at once, starts again in the session that was kept, and returns what leaves then.
fn stop_and_resume(bench: &mut Bench) -> Vec<u8> {
    bench.device.stop(T(1));
    bench.device.handle_timeout(T(1), &mut bench.budget);
    bench.write(T(1));
    let (chunk, budget) = (Chunk::default(), &mut bench.budget);
    bench.device.handle_lost(None, chunk, T(1), 0, budget);
    bench.device.start(T(2)).unwrap();
    bench.resume(true, T(2));
    bench.write(T(2))
}

#[test]
fn a_subscription_whose_change_a_stop_cancelled_is_asked_for_again() {
    // The answer that came was to the subscription before the end of it.
    let mut bench = session(|_| {});
    bench.subscribe("a");
    unsubscribe(&mut bench, "a");
    bench.subscribe("a");
    bench.write(T(0));
    suback(&mut bench, 1, 0);
    assert_eq!(stop_and_resume(&mut bench).first(), Some(&0x82));
    // A refusal was of the quality that it had before.
    let mut bench = session(|_| {});
    bench.subscribe("a");
    bench.write(T(0));
    let filter = TopicFilter::parse("a").unwrap();
    let better = bench.device.subscribe(filter, Qos::AtLeastOnce, || 8);
    better.unwrap();
    suback(&mut bench, 1, 0x80);
    let sent = stop_and_resume(&mut bench);
    assert_eq!((sent.first(), sent.last()), (Some(&0x82), Some(&1)));
}

#[test]
fn a_subscription_is_restored_behind_its_end_that_was_not_acknowledged() {
    for session_present in [false, true] {
        let mut bench = session(|_| {});
        bench.subscribe("a");
        bench.write(T(0));
        suback(&mut bench, 1, 0);
        unsubscribe(&mut bench, "a");
        bench.subscribe("a");
        bench.write(T(0));
        // Of the two, the second is answered first.
        suback(&mut bench, 3, 0);
        bench.lose(ErrorKind::Network, T(1));
        bench.resume(session_present, T(100));
        let sent = bench.write(T(100));
        let last = |kind| sent.iter().rposition(|&byte| byte == kind);
        assert!(last(0xA2) < last(0x82), "{sent:02x?}");
    }
}

/// A message of QoS 1 whose callback runs: connection and id for its end.
fn command(bench: &mut Bench) -> (u32, u16) {
    let mut bytes = BytesMut::new();
    let id_at = codec::encode_publish(&mut bytes, "a", b"reboot", Qos::AtLeastOnce);
    codec::set_packet_id(&mut bytes, id_at, 7);
    let message = codec::decode(bytes.freeze(), 2).unwrap();
    bench.receive(message, T(0));
    (bench.device.connection, 7)
}

#[test]
fn a_command_that_stops_the_client_is_acknowledged_and_does_not_come_again() {
    let mut bench = session(|_| {});
    let held = command(&mut bench);
    bench.device.stop(T(5));
    bench.device.handle_timeout(T(0), &mut bench.budget);
    assert!(
        bench.write(T(0)).is_empty(),
        "its callback has not returned"
    );
    assert_eq!(bench.device.poll_timeout(T(0)), Some(T(5)));
    // What comes after the stop is not waited for.
    command(&mut bench);
    bench.device.handle_delivered(10, 0, [held].into_iter());
    assert_eq!(bench.device.poll_timeout(T(1)), Some(T(1)));
    bench.device.handle_timeout(T(1), &mut bench.budget);
    assert_eq!(
        bench.write(T(1)),
        [&[0x40, 2, 0, 7], &DISCONNECT[..]].concat()
    );
}

#[test]
fn a_stop_waits_for_callbacks_until_its_deadline_and_no_longer_than_the_connection() {
    let mut bench = session(|_| {});
    command(&mut bench);
    bench.device.stop(T(5));
    bench.device.handle_timeout(T(5), &mut bench.budget);
    assert_eq!(bench.write(T(5)), DISCONNECT);
    let mut bench = session(|_| {});
    command(&mut bench);
    bench.device.stop(T(5));
    bench.lose(ErrorKind::Network, T(1));
    bench.device.handle_timeout(T(1), &mut bench.budget);
    assert_eq!(bench.device.state(), State::Stopped);
}
