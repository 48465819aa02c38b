//! What the device accepts, in one step or in two, and what it drops for that.

use super::tests_calls::{Bench, T};
use super::*;
use crate::OutboxPolicy;
use crate::proto::outbox::Encoded;

#[test]
fn a_message_that_was_encoded_before_is_checked_and_counted_like_another() {
    let mut bench = Bench::new(|config| config.set_payload_limit(1000).unwrap());
    let q1 = Qos::AtLeastOnce;
    for (topic, len, qos, expires) in [
        ("a/#", 1, q1, None),
        ("a", 1001, q1, None),
        ("a", 1, Qos::AtMostOnce, Some(T(1))),
    ] {
        let memory = bench.device.memory_for(topic, len, qos, expires);
        let kind = memory.unwrap_err().kind();
        assert_eq!(kind, ErrorKind::InvalidArgument, "{topic} {len}");
    }
    let encode = |bench: &mut Bench| {
        let memory = bench.device.memory_for("a", 1, q1, None).unwrap();
        Encoded::new(memory, "a", b"x", q1)
    };
    let message = encode(&mut bench);
    let sent = bench.device.publish_encoded(message, true, None, T(0));
    assert_eq!(sent.unwrap(), Some(Token::FIRST));
    assert_eq!(bench.device.outbox_level().0, 1);
    assert_eq!(bench.device.counters().published, 1);
    // A stop that comes between the two steps.
    bench.device.start(T(0)).unwrap();
    bench.connect(T(0));
    let message = encode(&mut bench);
    bench.device.stop(T(5));
    let refused = bench.device.publish_encoded(message, true, None, T(0));
    assert_eq!(refused.unwrap_err().kind(), ErrorKind::Closing);
    assert_eq!(bench.device.counters().published, 1);
}

#[test]
fn a_large_message_is_encoded_into_memory_of_earlier_ones() {
    let mut bench = Bench::new(|_| {});
    let large = || std::iter::repeat_with(|| BytesMut::with_capacity(100_000));
    bench.device.keep_memory(large().take(13), T(1));
    let memory = bench.device.memory_for("a", 90_000, Qos::AtMostOnce, None);
    assert_eq!(memory.unwrap().capacity(), 100_000);
}

#[test]
fn what_is_dropped_for_something_new_is_told_at_once() {
    let mut bench = Bench::new(|config| {
        config.set_outbox_policy(OutboxPolicy::DropOldest);
        config.set_outbox_limit(1, 1_000_000).unwrap();
    });
    let first = bench.publish();
    assert_eq!(bench.told(), (vec![], vec![]));
    bench.publish();
    let dropped = (first, Some(ErrorKind::Dropped));
    assert_eq!(bench.told(), (vec![], vec![dropped]));
    assert_eq!(bench.device.counters().published, 2);
}

#[test]
fn there_is_room_while_the_queue_is_half_empty() {
    let mut bench = Bench::new(|config| {
        config.set_payload_limit(1000).unwrap();
        config.set_topic_limit(64).unwrap();
        config.set_outbox_limit(4, 10_000).unwrap();
    });
    let mut send = |len: usize| {
        let (topic, payload) = ("a", vec![0; len]);
        let sent = bench
            .device
            .publish(topic, &payload, Qos::AtLeastOnce, false, None);
        sent.unwrap();
        (bench.device.outbox_level().0, bench.device.has_room())
    };
    assert_eq!(
        [send(1), send(1), send(1)],
        [(1, true), (2, true), (3, false)]
    );

    let mut bench = Bench::new(|config| {
        config.set_payload_limit(1000).unwrap();
        config.set_topic_limit(64).unwrap();
        config.set_outbox_limit(1000, 10_000).unwrap();
    });
    while bench.device.has_room() {
        let sent = bench
            .device
            .publish("a", &[0; 100], Qos::AtLeastOnce, false, None);
        sent.unwrap();
    }
    let (operations, bytes) = bench.device.outbox_level();
    assert!(
        (5001..5200).contains(&bytes),
        "{operations} of {bytes} bytes"
    );
}

#[test]
fn messages_that_were_dropped_are_summed_up_while_nobody_listens() {
    let mut bench = Bench::new(|config| {
        config.set_outbox_policy(OutboxPolicy::DropOldest);
        config.set_outbox_limit(2, 1_000_000).unwrap();
    });
    let send = |bench: &mut Bench, count: usize| {
        for _ in 0..count {
            let sent = bench
                .device
                .publish("a", b"x", Qos::AtMostOnce, false, None);
            sent.unwrap();
        }
    };
    let told = |bench: &mut Bench| {
        let outputs = bench.device.outputs().drain(..);
        let told = outputs.filter_map(|output| match output {
            Output::Event(event) => Some((event.dropped, event.text)),
            _ => None,
        });
        told.collect::<Vec<_>>()
    };
    let text = |count: u64| (count, format!("{count} messages of QoS 0 were dropped"));
    send(&mut bench, 2);
    assert_eq!(told(&mut bench), []);
    send(&mut bench, 4);
    assert_eq!(told(&mut bench), [text(1)]);
    bench.device.handle_delivered(0, 0, std::iter::empty());
    assert_eq!(told(&mut bench), [text(3)]);
    bench.device.handle_delivered(0, 0, std::iter::empty());
    assert_eq!(told(&mut bench), []);
    assert_eq!(bench.device.counters().dropped, 4);
}
