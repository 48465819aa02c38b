//! The limits on what waits for the platform, and what makes room within them.

use super::*;
use crate::proto::codec;
use crate::{Endpoint, Identity};

const MAX_BYTES: usize = 2000;

pub(super) fn outbox(operations: u32, policy: OutboxPolicy) -> Outbox {
    let identity = Identity::verbatim("device", "user", "password").unwrap();
    let endpoint = Endpoint::host("localhost", 1883).unwrap();
    let mut config = Config::new(&identity, &endpoint).unwrap();
    config.use_private_profile();
    config.set_payload_limit(1000).unwrap();
    config.set_topic_limit(64).unwrap();
    config.set_outbox_limit(operations, MAX_BYTES).unwrap();
    config.set_outbox_policy(policy);
    Outbox::new(&config)
}

/// A payload whose packet, on the topic "t", has `len` bytes.
fn payload(len: usize, qos: Qos) -> Vec<u8> {
    let header = (0..10).find(|header| {
        codec::publish_len(1, len.saturating_sub(*header), qos).is_some_and(|got| got == len)
    });
    vec![0; len - header.unwrap()]
}

pub(super) struct Bench {
    pub(super) outbox: Outbox,
    pub(super) fallout: Fallout,
}

impl Bench {
    pub(super) fn new(operations: u32, policy: OutboxPolicy) -> Self {
        let (outbox, fallout) = (outbox(operations, policy), Fallout::default());
        Self { outbox, fallout }
    }

    pub(super) fn publish(&mut self, len: usize, qos: Qos) -> Result<Option<Token>, Error> {
        let payload = payload(len, qos);
        let fallout = &mut self.fallout;
        self.outbox.publish("t", &payload, qos, true, None, fallout)
    }

    /// The tokens of what was dropped since the last call.
    fn dropped(&mut self) -> Vec<Token> {
        let completions = self.fallout.completions.drain(..);
        let token = |completion: Completion| {
            assert_eq!(completion.result.unwrap_err().kind(), ErrorKind::Dropped);
            completion.token
        };
        completions.map(token).collect()
    }
}

#[test]
fn an_outbox_that_rests_holds_no_room_and_loses_nothing() {
    let room = |outbox: &Outbox| (outbox.queue.capacity(), outbox.filters.capacity());
    let mut bench = Bench::new(10, OutboxPolicy::RefuseNew);
    bench.publish(100, Qos::AtLeastOnce).unwrap();
    let filter = TopicFilter::parse("abc").unwrap();
    let outbox = &mut bench.outbox;
    let subscribe = Some(Qos::AtMostOnce);
    outbox.change_filter(filter, subscribe).unwrap();
    outbox.rest();
    assert_eq!((outbox.queue.len(), outbox.filters.len()), (1, 1));
    let mut chunk = Chunk::default();
    outbox.fill(&mut chunk, Duration::ZERO);
    assert_eq!(outbox.ring.len(), 2, "both have been sent");
    outbox.rest();
    assert_eq!(room(outbox), (0, 0));
    assert_eq!(outbox.ring.len(), 2, "neither has been acknowledged");
}

#[test]
fn a_filter_is_charged_its_length_and_a_little_more() {
    let mut outbox = outbox(10, OutboxPolicy::RefuseNew);
    let filter = TopicFilter::parse("abc").unwrap();
    outbox
        .change_filter(filter, Some(Qos::AtLeastOnce))
        .unwrap();
    assert_eq!(
        (outbox.operations(), outbox.bytes()),
        (1, 3 + OPERATION_OVERHEAD)
    );
}

#[test]
fn messages_fill_the_outbox_to_the_byte() {
    for qos in [Qos::AtMostOnce, Qos::AtLeastOnce] {
        let mut bench = Bench::new(10, OutboxPolicy::RefuseNew);
        bench.publish(1000, qos).unwrap();
        let error = bench.publish(1001, qos).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::OutboxFull);
        bench.publish(1000, qos).unwrap();
        assert_eq!(
            (bench.outbox.operations(), bench.outbox.bytes()),
            (2, MAX_BYTES)
        );
    }
}

#[test]
fn what_is_cancelled_is_told_in_order_and_leaves_nothing() {
    let mut bench = Bench::new(10, OutboxPolicy::RefuseNew);
    let tokens = [Qos::AtMostOnce, Qos::AtLeastOnce, Qos::AtMostOnce]
        .map(|qos| bench.publish(100, qos).unwrap().unwrap());
    for _ in 0..2 {
        let (outbox, fallout) = (&mut bench.outbox, &mut bench.fallout);
        outbox
            .publish("t", b"", Qos::AtMostOnce, false, None, fallout)
            .unwrap();
    }
    let error = Error::new(ErrorKind::Cancelled, Stage::Session, "the end");
    bench.outbox.cancel_all(&error, &mut bench.fallout);
    assert_eq!(bench.fallout.dropped, 2, "of which nobody has a token");
    let told: Vec<_> = bench
        .fallout
        .completions
        .iter()
        .map(|end| end.token)
        .collect();
    assert_eq!(told, tokens);
    assert_eq!((bench.outbox.operations(), bench.outbox.bytes()), (0, 0));
}

#[test]
fn no_more_is_dropped_than_makes_room() {
    for qos in [Qos::AtMostOnce, Qos::AtLeastOnce] {
        let mut bench = Bench::new(10, OutboxPolicy::DropOldest);
        let tokens = [500; 4].map(|len| bench.publish(len, qos).unwrap().unwrap());
        assert_eq!(bench.dropped(), []);
        bench.publish(500, qos).unwrap();
        assert_eq!(bench.dropped(), tokens[..1]);
        bench.publish(501, qos).unwrap();
        assert_eq!(bench.dropped(), tokens[1..3]);
        bench.publish(499, qos).unwrap();
        assert_eq!(bench.dropped(), []);
        assert_eq!(
            (bench.outbox.operations(), bench.outbox.bytes()),
            (4, MAX_BYTES)
        );
    }
}

#[test]
fn the_oldest_is_dropped_for_the_number_of_messages_too() {
    for qos in [Qos::AtMostOnce, Qos::AtLeastOnce] {
        let mut bench = Bench::new(3, OutboxPolicy::DropOldest);
        let tokens = [20; 3].map(|len| bench.publish(len, qos).unwrap().unwrap());
        assert_eq!(bench.dropped(), []);
        bench.publish(20, qos).unwrap();
        assert_eq!(bench.dropped(), tokens[..1]);
        assert_eq!(bench.outbox.operations(), 3);
    }
}

#[test]
fn nothing_is_dropped_where_it_would_not_be_enough() {
    let mut bench = Bench::new(3, OutboxPolicy::DropOldest);
    let mut chunk = Chunk::default();
    bench.publish(1000, Qos::AtLeastOnce).unwrap();
    bench.outbox.handle_connected(false);
    bench.outbox.fill(&mut chunk, Duration::ZERO);
    // What was sent and is not acknowledged stays: 1000 bytes, and no more than 1000 are free.
    bench.publish(500, Qos::AtLeastOnce).unwrap();
    bench.publish(1001, Qos::AtLeastOnce).unwrap_err();
    assert_eq!(bench.dropped(), []);
    bench.publish(1000, Qos::AtLeastOnce).unwrap();
    assert_eq!(bench.dropped().len(), 1);
    // All of them sent, there is no place for one more, however small.
    let mut bench = Bench::new(2, OutboxPolicy::DropOldest);
    for _ in 0..2 {
        bench.publish(20, Qos::AtLeastOnce).unwrap();
    }
    bench.outbox.handle_connected(false);
    bench.outbox.fill(&mut Chunk::default(), Duration::ZERO);
    bench.publish(20, Qos::AtLeastOnce).unwrap_err();
    assert_eq!(bench.dropped(), []);
}

#[test]
fn the_oldest_is_dropped_whatever_its_quality() {
    use Qos::{AtLeastOnce, AtMostOnce};
    for qualities in [
        [AtMostOnce, AtLeastOnce, AtLeastOnce, AtLeastOnce],
        [AtLeastOnce, AtMostOnce, AtLeastOnce, AtLeastOnce],
    ] {
        let mut bench = Bench::new(10, OutboxPolicy::DropOldest);
        let tokens = qualities.map(|qos| bench.publish(500, qos).unwrap().unwrap());
        for token in &tokens[..3] {
            bench.publish(500, AtLeastOnce).unwrap();
            assert_eq!(bench.dropped(), [*token]);
        }
    }
}

#[test]
fn what_was_dropped_is_not_counted_among_what_could_be() {
    let mut bench = Bench::new(10, OutboxPolicy::DropOldest);
    for _ in 0..5 {
        bench.publish(500, Qos::AtLeastOnce).unwrap();
    }
    assert_eq!(bench.dropped().len(), 1);
    bench.outbox.handle_connected(false);
    bench.outbox.fill(&mut Chunk::default(), Duration::ZERO);
    for id in [1, 2] {
        bench
            .outbox
            .handle_ack(id, AckKind::Publish, Duration::ZERO)
            .unwrap()
            .unwrap();
    }
    // 1000 bytes are under way, 500 wait: dropping those would not be enough for 1001.
    bench.publish(500, Qos::AtLeastOnce).unwrap();
    bench.publish(1001, Qos::AtLeastOnce).unwrap_err();
    assert_eq!(bench.dropped(), []);
}

#[test]
fn an_application_that_takes_no_completions_gets_no_more_of_them() {
    let mut bench = Bench::new(3, OutboxPolicy::DropOldest);
    bench.publish(20, Qos::AtLeastOnce).unwrap();
    bench.outbox.handle_completions_made((3 * 2 + 1000) / 2);
    assert!(bench.outbox.has_room(), "half of it");
    bench.outbox.handle_completions_made(1);
    assert!(!bench.outbox.has_room());
    bench.outbox.handle_completions_made((3 * 2 + 1000) / 2 - 2);
    bench.publish(20, Qos::AtLeastOnce).unwrap();
    bench.outbox.handle_completions_made(1);
    let error = bench.publish(2000, Qos::AtLeastOnce).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::OutboxFull);
    assert_eq!(bench.dropped(), [], "in vain");
    bench.outbox.handle_completions_taken(1);
    bench.publish(20, Qos::AtLeastOnce).unwrap();
}

#[test]
fn there_is_room_while_half_of_everything_is_free() {
    for qos in [Qos::AtMostOnce, Qos::AtLeastOnce] {
        let mut bench = Bench::new(7, OutboxPolicy::RefuseNew);
        let mut room = |len| {
            bench.publish(len, qos).unwrap();
            bench.outbox.has_room()
        };
        assert_eq!(
            [room(20), room(20), room(20), room(20)],
            [true, true, true, false]
        );
        let mut bench = Bench::new(7, OutboxPolicy::RefuseNew);
        bench.publish(MAX_BYTES / 2, qos).unwrap();
        assert!(bench.outbox.has_room(), "half of it");
        bench.publish(20, qos).unwrap();
        assert!(!bench.outbox.has_room());
    }
}

#[test]
fn memory_is_given_for_what_would_be_accepted() {
    let full = |outbox: &mut Outbox, len| {
        let memory = outbox.memory_for("t", len, Qos::AtLeastOnce);
        memory.is_err_and(|error| error.kind() == ErrorKind::OutboxFull)
    };
    let mut bench = Bench::new(2, OutboxPolicy::RefuseNew);
    bench.publish(1000, Qos::AtLeastOnce).unwrap();
    assert!(!full(&mut bench.outbox, 900));
    assert!(full(&mut bench.outbox, 1000));
    // With the other policy, what can be dropped is no obstacle, and what is under way is one.
    for len in [20, 1000] {
        let mut bench = Bench::new(2, OutboxPolicy::DropOldest);
        bench.publish(len, Qos::AtLeastOnce).unwrap();
        bench.publish(len, Qos::AtLeastOnce).unwrap();
        assert!(!full(&mut bench.outbox, 1000));
        bench.outbox.handle_connected(false);
        bench.outbox.fill(&mut Chunk::default(), Duration::ZERO);
        assert!(full(&mut bench.outbox, 0), "both operations are under way");
    }
}

#[test]
fn messages_that_nobody_has_a_token_of_are_counted_when_they_make_room() {
    let mut bench = Bench::new(10, OutboxPolicy::DropOldest);
    let payload = payload(500, Qos::AtMostOnce);
    for dropped in [0, 0, 0, 0, 1, 2] {
        let (outbox, fallout) = (&mut bench.outbox, &mut bench.fallout);
        outbox
            .publish("t", &payload, Qos::AtMostOnce, false, None, fallout)
            .unwrap();
        assert_eq!(bench.fallout.dropped, dropped);
    }
    assert_eq!(bench.dropped(), []);
}

#[test]
fn a_message_expires_in_its_turn_and_gives_its_room_back() {
    const fn s(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }
    let mut bench = Bench::new(10, OutboxPolicy::DropOldest);
    let payload = payload(500, Qos::AtLeastOnce);
    assert_eq!(bench.outbox.poll_timeout(), None);
    let mut tokens = Vec::new();
    for expires in [s(20), s(10), s(30)] {
        let (outbox, fallout) = (&mut bench.outbox, &mut bench.fallout);
        let qos = Qos::AtLeastOnce;
        let token = outbox.publish("t", &payload, qos, true, Some(expires), fallout);
        tokens.push(token.unwrap().unwrap());
    }
    assert_eq!(bench.outbox.poll_timeout(), Some(s(10)));
    bench.outbox.handle_timeout(s(9), &mut bench.fallout);
    assert!(bench.fallout.completions.is_empty());
    bench.outbox.handle_timeout(s(20), &mut bench.fallout);
    let ended: Vec<_> = bench.fallout.completions.drain(..).collect();
    assert!(
        ended
            .iter()
            .all(|end| end.result.as_ref().unwrap_err().kind() == ErrorKind::Expired)
    );
    let ended: Vec<_> = ended.iter().map(|end| end.token).collect();
    assert_eq!(ended, [tokens[1], tokens[0]]);
    assert_eq!((bench.outbox.operations(), bench.outbox.bytes()), (1, 500));
    assert_eq!(bench.outbox.poll_timeout(), Some(s(30)));
    // Of what waits, 500 bytes can be dropped, and no more: 1000 are under way then.
    bench.outbox.handle_connected(false);
    bench.outbox.fill(&mut Chunk::default(), Duration::ZERO);
    bench.publish(500, Qos::AtLeastOnce).unwrap();
    bench.outbox.fill(&mut Chunk::default(), Duration::ZERO);
    bench.publish(500, Qos::AtLeastOnce).unwrap();
    bench.publish(1001, Qos::AtLeastOnce).unwrap_err();
    assert_eq!(bench.dropped(), []);
}

#[test]
fn an_acknowledgement_is_for_what_was_sent_or_for_nobody() {
    let mut bench = Bench::new(10, OutboxPolicy::RefuseNew);
    let published = bench.publish(20, Qos::AtLeastOnce).unwrap().unwrap();
    for subscribe in [Some(Qos::AtMostOnce), None] {
        let filter = TopicFilter::parse("abc").unwrap();
        bench.outbox.change_filter(filter, subscribe).unwrap();
    }
    bench.outbox.handle_connected(false);
    bench.outbox.fill(&mut Chunk::default(), Duration::ZERO);
    let all = [
        AckKind::Publish,
        AckKind::Subscribe(1),
        AckKind::Unsubscribe,
    ];
    // Filters leave first.
    for (id, right) in [(1, all[1]), (2, all[2]), (3, all[0])] {
        for kind in all.into_iter().filter(|kind| *kind != right) {
            bench
                .outbox
                .handle_ack(id, kind, Duration::ZERO)
                .unwrap_err();
        }
        if id == 1 {
            let problem = bench
                .outbox
                .handle_ack(id, AckKind::Subscribe(2), Duration::ZERO)
                .unwrap_err();
            assert!(problem.contains("2 return codes"), "{problem}");
        }
        let left = bench.outbox.operations();
        match bench
            .outbox
            .handle_ack(id, right, Duration::ZERO)
            .unwrap()
            .unwrap()
        {
            Acknowledged::Publish(token) => assert_eq!(token, published),
            Acknowledged::Filters(ops) => assert_eq!(ops.len(), 1),
            Acknowledged::Nothing => panic!("nothing has expired"),
        }
        assert_eq!(bench.outbox.operations(), left - 1);
        // Nobody waits for a second one.
        for kind in all {
            assert!(
                bench
                    .outbox
                    .handle_ack(id, kind, Duration::ZERO)
                    .unwrap()
                    .is_none()
            );
        }
    }
    assert_eq!(bench.outbox.bytes(), 0);
    assert!(!bench.outbox.is_owed());
}

#[test]
fn what_has_to_be_sent_again_in_a_new_session_can_be_dropped_like_the_rest() {
    let mut bench = Bench::new(10, OutboxPolicy::DropOldest);
    let tokens = [500; 2].map(|len| bench.publish(len, Qos::AtLeastOnce).unwrap().unwrap());
    bench.outbox.handle_connected(false);
    let mut chunk = Chunk::default();
    bench.outbox.fill(&mut chunk, Duration::ZERO);
    bench.outbox.handle_lost(chunk, &mut bench.fallout);
    bench.outbox.handle_connected(false);
    bench.publish(1000, Qos::AtLeastOnce).unwrap();
    assert_eq!(bench.dropped(), []);
    bench.publish(1500, Qos::AtLeastOnce).unwrap();
    assert_eq!(bench.dropped()[..2], tokens);
    assert_eq!((bench.outbox.operations(), bench.outbox.bytes()), (1, 1500));
}
