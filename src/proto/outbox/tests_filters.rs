//! Subscriptions on their way, and when everything before a moment is done.

use super::tests::{Bench, outbox};
use super::*;

fn filter(text: &str) -> TopicFilter {
    TopicFilter::parse(text).unwrap()
}

#[test]
fn a_subscription_waits_until_it_has_left_and_its_end_is_none() {
    let mut outbox = outbox(10, OutboxPolicy::RefuseNew);
    outbox
        .change_filter(filter("abc"), Some(Qos::AtMostOnce))
        .unwrap();
    outbox.change_filter(filter("def"), None).unwrap();
    let last = |outbox: &Outbox, filter| outbox.last_changes().get(filter).copied();
    assert_eq!(last(&outbox, "abc"), Some(true));
    assert_eq!(last(&outbox, "def"), Some(false));
    assert_eq!(last(&outbox, "xyz"), None);
    outbox.handle_connected(false);
    outbox.fill(&mut Chunk::default(), Duration::ZERO);
    assert_eq!(last(&outbox, "abc"), None);
}

#[test]
fn what_is_restored_comes_first_in_its_order_and_takes_no_room() {
    let mut outbox = outbox(10, OutboxPolicy::RefuseNew);
    outbox
        .change_filter(filter("c"), Some(Qos::AtLeastOnce))
        .unwrap();
    let restored = [
        (filter("a"), Qos::AtLeastOnce),
        (filter("b"), Qos::AtMostOnce),
    ];
    outbox.restore(restored.into_iter());
    outbox.end_later([filter("d")].into_iter());
    assert_eq!(outbox.operations(), 1);
    outbox.handle_connected(false);
    let mut chunk = Chunk::default();
    outbox.fill(&mut chunk, Duration::ZERO);
    let subscribe = [0x82, 14, 0, 1, 0, 1, b'a', 1, 0, 1, b'b', 0, 0, 1, b'c', 1];
    let unsubscribe = [0xa2, 5, 0, 2, 0, 1, b'd'];
    assert_eq!(*chunk.head, [&subscribe[..], &unsubscribe].concat());
}

#[test]
fn a_subscription_that_was_to_end_is_named_when_everything_is_cancelled() {
    let mut bench = Bench::new(10, OutboxPolicy::RefuseNew);
    let mut tokens = Vec::new();
    for (text, subscribe) in [("a", None), ("b", Some(Qos::AtMostOnce))] {
        tokens.push(bench.outbox.change_filter(filter(text), subscribe).unwrap());
    }
    bench.outbox.handle_connected(false);
    bench.outbox.fill(&mut Chunk::default(), Duration::ZERO);
    for (text, subscribe) in [("c", None), ("d", Some(Qos::AtMostOnce))] {
        tokens.push(bench.outbox.change_filter(filter(text), subscribe).unwrap());
    }
    let error = Error::new(ErrorKind::Cancelled, Stage::Session, "the end");
    let ended = bench.outbox.cancel_all(&error, &mut bench.fallout);
    let ended: Vec<_> = ended
        .into_iter()
        .filter(|op| op.subscribe.is_none())
        .map(|op| op.filter)
        .collect();
    assert_eq!(ended, [filter("a"), filter("c")]);
    let told: Vec<_> = bench
        .fallout
        .completions
        .iter()
        .map(|end| end.token)
        .collect();
    assert_eq!(told, tokens);
}

#[test]
fn a_mark_is_passed_when_all_before_it_is_done_and_whatever_comes_after_it() {
    for qos in [Qos::AtMostOnce, Qos::AtLeastOnce] {
        let mut bench = Bench::new(10, OutboxPolicy::RefuseNew);
        let empty = bench.outbox.mark();
        bench.publish(20, qos).unwrap();
        assert!(bench.outbox.has_passed(empty));
        let mark = bench.outbox.mark();
        assert!(!bench.outbox.has_passed(mark));
        bench.outbox.handle_connected(false);
        let mut chunk = Chunk::default();
        bench.outbox.fill(&mut chunk, Duration::ZERO);
        bench.publish(20, qos).unwrap();
        assert!(!bench.outbox.has_passed(mark), "it is under way");
        chunk.advance(chunk.len());
        bench
            .outbox
            .handle_written(&mut chunk, Duration::ZERO, &mut bench.fallout);
        if qos == Qos::AtLeastOnce {
            assert!(!bench.outbox.has_passed(mark), "it is owed");
            bench
                .outbox
                .handle_ack(1, AckKind::Publish, Duration::ZERO)
                .unwrap()
                .unwrap();
        }
        assert!(bench.outbox.has_passed(mark));
    }
    let mut outbox = outbox(10, OutboxPolicy::RefuseNew);
    outbox.change_filter(filter("a"), None).unwrap();
    let mark = outbox.mark();
    assert!(!outbox.has_passed(mark));
    outbox.handle_connected(false);
    outbox.fill(&mut Chunk::default(), Duration::ZERO);
    assert!(!outbox.has_passed(mark));
    outbox
        .handle_ack(1, AckKind::Unsubscribe, Duration::ZERO)
        .unwrap()
        .unwrap();
    assert!(outbox.has_passed(mark));
}
