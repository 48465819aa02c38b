//! What leaves together, and what becomes of it when the socket takes all of it, or a part.

use bytes::BytesMut;

use super::tests::{Bench, outbox};
use super::*;
use crate::proto::codec;

const NOW: Duration = Duration::ZERO;

/// Bytes from which on a chunk takes nothing more that has a packet id.
const CHUNK_LEN: usize = 32 * 1024;

/// A bench whose connection was accepted, with `window` messages under way at most.
fn connected(window: usize) -> Bench {
    let mut bench = Bench::new(100, OutboxPolicy::RefuseNew);
    bench.outbox.window = window;
    bench.outbox.max_bytes = 1_000_000;
    bench.outbox.handle_connected(false);
    bench
}

fn publish(bench: &mut Bench, count: usize, len: usize, qos: Qos) -> Vec<Token> {
    (0..count)
        .map(|_| bench.publish(len, qos).unwrap().unwrap())
        .collect()
}

fn completed(bench: &mut Bench) -> Vec<Token> {
    let completions = bench.fallout.completions.drain(..);
    completions
        .map(|end| end.result.map(|_| end.token).unwrap())
        .collect()
}

#[test]
fn a_chunk_is_written_from_its_head_to_the_end_of_its_messages() {
    let mut bench = connected(10);
    publish(&mut bench, 1, 20, Qos::AtLeastOnce);
    publish(&mut bench, 1, 30, Qos::AtMostOnce);
    let mut chunk = Chunk::default();
    assert!(chunk.is_empty() && chunk.is_done());
    bench.outbox.fill(&mut chunk, NOW);
    let lens = |chunk: &Chunk| chunk.rest().map(<[u8]>::len);
    assert_eq!((chunk.len(), lens(&chunk)), (50, [20, 0, 30]));
    assert!(!chunk.is_empty() && !chunk.is_done());
    for (len, left) in [(5, [15, 0, 30]), (15, [0, 0, 30]), (29, [0, 0, 1])] {
        chunk.advance(len);
        assert_eq!(lens(&chunk), left);
        assert!(!chunk.is_done());
    }
    chunk.advance(1);
    assert!(chunk.is_done());
    bench
        .outbox
        .handle_written(&mut chunk, NOW, &mut bench.fallout);
    assert!(chunk.is_empty());
    assert_eq!((chunk.len(), lens(&chunk)), (0, [0; 3]));
}

#[test]
fn no_more_leaves_than_the_window_holds() {
    let mut bench = connected(2);
    publish(&mut bench, 3, 20, Qos::AtLeastOnce);
    assert!(!bench.outbox.is_owed());
    assert_eq!(bench.outbox.poll_fill(NOW), Some(NOW));
    let mut chunk = Chunk::default();
    bench.outbox.fill(&mut chunk, NOW);
    assert_eq!(chunk.len(), 40);
    assert!(bench.outbox.is_owed());
    assert_eq!(bench.outbox.poll_fill(NOW), None);
    // Neither does a subscription.
    let filter = TopicFilter::parse("a").unwrap();
    bench.outbox.change_filter(filter, None).unwrap();
    assert_eq!(bench.outbox.poll_fill(NOW), None);
    bench.outbox.fill(&mut chunk, NOW);
    assert_eq!(chunk.len(), 40);
    bench
        .outbox
        .handle_ack(1, AckKind::Publish, NOW)
        .unwrap()
        .unwrap();
    assert_eq!(bench.outbox.poll_fill(NOW), Some(NOW));
    bench.outbox.fill(&mut chunk, NOW);
    assert_eq!(chunk.len(), 40 + 7, "the filter goes first");
    // QoS 0 has no window.
    publish(&mut bench, 1, 20, Qos::AtMostOnce);
    assert_eq!(bench.outbox.poll_fill(NOW), Some(NOW));
}

#[test]
fn one_chunk_takes_no_more_than_the_socket_is_asked_for_at_once() {
    let mut bench = connected(100);
    publish(&mut bench, 60, 1000, Qos::AtLeastOnce);
    let mut chunk = Chunk::default();
    bench.outbox.fill(&mut chunk, NOW);
    assert_eq!(chunk.len(), 33 * 1000);
    chunk.head.clear();
    bench.outbox.fill(&mut chunk, NOW);
    assert_eq!(chunk.len(), 27 * 1000);
    // The same when it is sent again, each with DUP and before everything new.
    bench
        .outbox
        .handle_lost(Chunk::default(), &mut bench.fallout);
    bench.outbox.handle_connected(true);
    publish(&mut bench, 1, 20, Qos::AtLeastOnce);
    for count in [33, 27] {
        let mut chunk = Chunk::default();
        assert_eq!(bench.outbox.poll_fill(NOW), Some(NOW));
        bench.outbox.fill(&mut chunk, NOW);
        let again = chunk.head.iter().step_by(1000).take(count);
        assert!(again.copied().all(|first| first == 0x3a), "DUP, QoS 1");
        assert_eq!(chunk.len(), count * 1000 + if count == 27 { 20 } else { 0 });
    }
}

#[test]
fn a_chunk_that_is_full_to_the_byte_takes_nothing_more_and_nothing_is_asked_for_twice() {
    let mut bench = connected(100);
    publish(&mut bench, CHUNK_LEN / 512, 512, Qos::AtLeastOnce);
    let mut chunk = Chunk::default();
    bench.outbox.fill(&mut chunk, NOW);
    assert_eq!(chunk.len(), CHUNK_LEN);
    publish(&mut bench, 1, 20, Qos::AtLeastOnce);
    bench.outbox.fill(&mut chunk, NOW);
    assert_eq!(chunk.len(), CHUNK_LEN, "a message waits for the next one");
    let filter = TopicFilter::parse("a").unwrap();
    bench.outbox.change_filter(filter, None).unwrap();
    bench.outbox.fill(&mut chunk, NOW);
    assert_eq!(chunk.len(), CHUNK_LEN, "and so does a filter");

    let mut bench = connected(100);
    publish(&mut bench, CHUNK_LEN / 512, 512, Qos::AtLeastOnce);
    bench.outbox.fill(&mut Chunk::default(), NOW);
    let (outbox, fallout) = (&mut bench.outbox, &mut bench.fallout);
    outbox.handle_lost(Chunk::default(), fallout);
    outbox.handle_connected(true);
    let mut again = Chunk::default();
    outbox.fill(&mut again, NOW);
    assert_eq!(again.len(), CHUNK_LEN);
    assert_eq!(outbox.poll_fill(NOW), None, "all of it was sent again");
}

#[test]
fn messages_of_qos_0_complete_when_the_socket_has_them() {
    let mut bench = connected(10);
    let tokens = publish(&mut bench, 3, 20, Qos::AtMostOnce);
    let mut chunk = Chunk::default();
    bench.outbox.fill(&mut chunk, NOW);
    chunk.advance(20 + 19);
    assert_eq!(bench.outbox.bytes(), 60);
    bench.outbox.handle_lost(chunk, &mut bench.fallout);
    assert_eq!(completed(&mut bench), tokens[..1]);
    assert_eq!((bench.outbox.operations(), bench.outbox.bytes()), (2, 40));
    bench.outbox.handle_connected(false);
    let mut chunk = Chunk::default();
    bench.outbox.fill(&mut chunk, NOW);
    assert_eq!(chunk.len(), 40, "the one that was cut is sent whole");
    chunk.advance(40);
    bench
        .outbox
        .handle_written(&mut chunk, NOW, &mut bench.fallout);
    assert_eq!(completed(&mut bench), tokens[1..]);
    assert_eq!((bench.outbox.operations(), bench.outbox.bytes()), (0, 0));
}

#[test]
fn filters_leave_in_packets_of_one_kind_and_of_a_few() {
    let mut outbox = outbox(10, OutboxPolicy::RefuseNew);
    outbox.filters_per_packet = 2;
    let wanted = Some(Qos::AtMostOnce);
    for subscribe in [wanted, wanted, wanted, None, wanted] {
        let filter = TopicFilter::parse("a").unwrap();
        outbox.change_filter(filter, subscribe).unwrap();
    }
    outbox.handle_connected(false);
    let mut chunk = Chunk::default();
    outbox.fill(&mut chunk, NOW);
    let sent = outbox.ring.iter().map(|sent| match sent {
        Sent::Filters(ops) => (ops.len(), ops.iter().all(|op| op.subscribe.is_some())),
        _ => (0, false),
    });
    assert_eq!(
        sent.collect::<Vec<_>>(),
        [(2, true), (1, true), (1, false), (1, true)]
    );
    // What was not acknowledged is asked for again, in its order and in whatever session.
    outbox.handle_lost(chunk, &mut Fallout::default());
    assert!(!outbox.is_owed());
    let waiting = outbox.filters.iter().map(|op| op.subscribe.is_some());
    assert_eq!(waiting.collect::<Vec<_>>(), [true, true, true, false, true]);
}

#[test]
fn no_more_leaves_in_a_second_than_the_rates_allow() {
    for qos in [Qos::AtMostOnce, Qos::AtLeastOnce] {
        let mut bench = connected(10);
        bench.outbox.shapers = [(); 2].map(|()| Shaper::new(Some(2)));
        publish(&mut bench, 3, 20, qos);
        let mut chunk = Chunk::default();
        bench.outbox.fill(&mut chunk, NOW);
        assert_eq!(chunk.len(), 40, "{qos:?}");
        let next = NOW + Duration::from_millis(1100);
        assert_eq!(bench.outbox.poll_fill(NOW), Some(next), "{qos:?}");
    }
}

#[test]
fn what_a_rate_holds_back_is_charged_until_it_has_left() {
    let mut bench = connected(10);
    publish(&mut bench, 1, 30, Qos::AtLeastOnce);
    let mut chunk = Chunk::default();
    bench.outbox.fill(&mut chunk, NOW);
    bench
        .outbox
        .handle_written(&mut chunk, NOW, &mut bench.fallout);
    bench.outbox.shapers = [Shaper::new(Some(2)), Shaper::new(None)];
    let tokens = publish(&mut bench, 2, 20, Qos::AtMostOnce);
    publish(&mut bench, 1, 20, Qos::AtMostOnce);
    for (ms, left) in [(0, 1), (1100, 0)] {
        let now = Duration::from_millis(ms);
        bench.outbox.fill(&mut chunk, now);
        bench
            .outbox
            .handle_written(&mut chunk, NOW, &mut bench.fallout);
        let (outbox, owed) = (&bench.outbox, 30);
        assert_eq!(
            (outbox.operations(), outbox.bytes()),
            (1 + left, owed + left * 20)
        );
        if left == 1 {
            assert_eq!(completed(&mut bench), tokens);
        }
    }
}

#[test]
fn a_mark_between_messages_that_a_rate_parts_is_passed_by_the_first_of_them() {
    let mut bench = connected(10);
    bench.outbox.shapers = [Shaper::new(Some(2)), Shaper::new(None)];
    publish(&mut bench, 2, 20, Qos::AtMostOnce);
    let mark = bench.outbox.mark();
    publish(&mut bench, 1, 20, Qos::AtMostOnce);
    assert!(!bench.outbox.has_passed(mark));
    let mut chunk = Chunk::default();
    bench.outbox.fill(&mut chunk, NOW);
    assert!(!bench.outbox.has_passed(mark));
    bench
        .outbox
        .handle_written(&mut chunk, NOW, &mut bench.fallout);
    assert!(bench.outbox.has_passed(mark));
}

#[test]
fn a_chunk_is_wiped_if_the_password_is_in_it() {
    let mut chunk = Chunk::default();
    chunk.head.extend_from_slice(b"password");
    chunk.wipe();
    assert_eq!(chunk.head, b"password"[..], "nobody said so");
    chunk.set_secret();
    chunk.wipe();
    assert_eq!(chunk.head, [0; 8][..]);
}

/// Ten thousand connections that rest would each keep what a burst once took.
#[test]
fn room_for_a_small_chunk_is_kept_and_room_for_a_large_one_given_back() {
    let mut bench = connected(10);
    for (room, kept) in [(64, 64), (512, 512), (513, 0), (100_000, 0)] {
        let mut chunk = Chunk::default();
        chunk.head = BytesMut::with_capacity(room);
        chunk.head.extend_from_slice(&[0xC0, 0]);
        bench
            .outbox
            .handle_written(&mut chunk, NOW, &mut bench.fallout);
        assert_eq!((chunk.len(), chunk.head.capacity()), (0, kept));
    }
}

#[test]
fn room_for_a_burst_is_made_once_and_no_larger_than_the_burst() {
    let mut bench = connected(100);
    publish(&mut bench, 50, 100, Qos::AtLeastOnce);
    let mut chunk = Chunk::default();
    bench.outbox.fill(&mut chunk, NOW);
    assert_eq!((chunk.len(), chunk.head.capacity()), (5000, 5000));
}

#[test]
fn a_burst_of_qos_0_leaves_in_writes_of_64_kib() {
    let mut bench = connected(10);
    publish(&mut bench, 100, 1000, Qos::AtMostOnce);
    let mut chunk = Chunk::default();
    bench.outbox.fill(&mut chunk, NOW);
    assert_eq!(chunk.len(), 66_000, "whole messages, until it is full");
}

/// Sends everything that waits, chunk by chunk. Returns the bytes.
fn send(bench: &mut Bench, now: Duration) -> Vec<u8> {
    let (mut chunk, mut sent) = (Chunk::default(), Vec::new());
    while bench.outbox.poll_fill(now) == Some(now) {
        bench.outbox.fill(&mut chunk, now);
        chunk
            .rest()
            .into_iter()
            .for_each(|part| sent.extend_from_slice(part));
        bench
            .outbox
            .handle_written(&mut chunk, now, &mut bench.fallout);
    }
    sent
}

/// Lengths of the packets, one after the other.
fn lens(mut packets: &[u8]) -> Vec<usize> {
    let mut lens = Vec::new();
    while let Some(len) = codec::first_packet_len(packets) {
        lens.push(len);
        packets = &packets[len..];
    }
    lens
}

#[test]
fn a_large_message_leaves_from_its_place_and_in_its_turn() {
    let mut bench = connected(10);
    for len in [20, 50_000, 30, 20_000, 40] {
        publish(&mut bench, 1, len, Qos::AtLeastOnce);
    }
    publish(&mut bench, 1, 60, Qos::AtMostOnce);
    let mut chunk = Chunk::default();
    bench.outbox.fill(&mut chunk, NOW);
    // Nothing that has an id follows it in the same chunk.
    let parts = |chunk: &Chunk| chunk.rest().map(<[u8]>::len);
    assert_eq!(parts(&chunk), [20, 50_000, 60]);
    chunk.advance(50_019);
    assert_eq!(parts(&chunk), [0, 1, 60]);
    assert_eq!((chunk.len(), chunk.is_done()), (50_080, false));
    chunk.advance(61);
    assert!(chunk.is_done());
    bench
        .outbox
        .handle_written(&mut chunk, NOW, &mut bench.fallout);
    assert!(chunk.is_empty());
    assert_eq!(lens(&send(&mut bench, NOW)), [30, 20_000, 40]);
}

#[test]
fn filters_wait_for_a_large_message_that_is_sent_again() {
    let mut bench = connected(10);
    publish(&mut bench, 1, 40_000, Qos::AtLeastOnce);
    send(&mut bench, NOW);
    let fallout = &mut bench.fallout;
    bench.outbox.handle_lost(Chunk::default(), fallout);
    let filter = TopicFilter::parse("f").unwrap();
    let accepted = bench.outbox.change_filter(filter, Some(Qos::AtMostOnce));
    accepted.unwrap();
    bench.outbox.handle_connected(true);
    assert_eq!(lens(&send(&mut bench, NOW)), [40_000, 8]);
}

#[test]
fn a_large_message_is_sent_again_as_what_it_was() {
    for resumed in [true, false] {
        let mut bench = connected(10);
        publish(&mut bench, 2, 40_000, Qos::AtLeastOnce);
        let before = send(&mut bench, NOW);
        // And the first of them once more, cut in the middle.
        bench
            .outbox
            .handle_lost(Chunk::default(), &mut bench.fallout);
        bench.outbox.handle_connected(true);
        let mut cut = Chunk::default();
        bench.outbox.fill(&mut cut, NOW);
        cut.advance(7);
        bench.outbox.handle_lost(cut, &mut bench.fallout);
        bench.outbox.handle_connected(resumed);
        let again = send(&mut bench, NOW);
        assert_eq!(lens(&again), [40_000, 40_000]);
        let second = 40_000;
        for at in [0, second] {
            // MQTT-3.3.1-1, MQTT-3.3.1-2: DUP only for a session that knows it.
            assert_eq!(before[at] & 0x08, 0);
            assert_eq!(again[at] & 0x08 != 0, resumed);
            let id = |sent: &[u8]| sent[at + 7..at + 9].to_vec();
            assert_eq!(id(&again) == id(&before), resumed);
            assert_eq!(again[at + 4..at + 7], *b"\x00\x01t");
        }
    }
}

#[test]
fn what_a_caller_has_encoded_leaves_like_all_others() {
    for qos in [Qos::AtMostOnce, Qos::AtLeastOnce] {
        let mut bench = connected(10);
        let payload = vec![b'x'; 30_000];
        let (outbox, fallout) = (&mut bench.outbox, &mut bench.fallout);
        let publish = |outbox: &mut Outbox, fallout: &mut Fallout, topic| {
            let accepted = outbox.publish(topic, &payload, qos, true, None, fallout);
            accepted.unwrap().unwrap()
        };
        let encode = |outbox: &mut Outbox, topic| {
            let memory = outbox.memory_for(topic, payload.len(), qos).unwrap();
            Encoded::new(memory, topic, &payload, qos)
        };
        let first = publish(outbox, fallout, "a");
        let message = encode(outbox, "b");
        let second = outbox.publish_encoded(message, true, None, NOW, fallout);
        let third = publish(outbox, fallout, "c");
        assert_eq!(
            (first.next(), third),
            (second.unwrap().unwrap(), first.next().next())
        );
        let (operations, bytes) = (outbox.operations(), outbox.bytes());
        let sent = send(&mut bench, NOW);
        assert_eq!((operations, bytes), (3, sent.len()));
        let topics: Vec<u8> = lens(&sent)
            .iter()
            .scan(0, |end, len| {
                let topic = sent[*end + 6];
                *end += len;
                Some(topic)
            })
            .collect();
        assert_eq!(topics, b"abc");
    }
}

#[test]
fn memory_is_not_given_for_what_would_be_refused() {
    let mut bench = connected(10);
    publish(&mut bench, 1, 600_000, Qos::AtMostOnce);
    let mut refused = |policy| {
        bench.outbox.drops_oldest = policy == OutboxPolicy::DropOldest;
        let outbox = &mut bench.outbox;
        let memory = outbox.memory_for("t", 600_000, Qos::AtMostOnce);
        memory.map_err(|error| error.kind()).err()
    };
    assert_eq!(
        refused(OutboxPolicy::RefuseNew),
        Some(ErrorKind::OutboxFull)
    );
    // There will be room when it comes to that.
    assert_eq!(refused(OutboxPolicy::DropOldest), None);
}

/// Where the next large message will be encoded: `None` if the memory is to be had from the
/// allocator.
fn spare(bench: &mut Bench) -> Option<*const u8> {
    let memory = bench.outbox.spares.take(100_000);
    (memory.capacity() > 0).then(|| memory.as_ptr())
}

#[test]
fn a_burst_takes_the_memory_of_what_has_left_and_gives_it_back_when_it_is_over() {
    let end = NOW + Duration::from_millis(5);
    for qos in [Qos::AtMostOnce, Qos::AtLeastOnce] {
        let leave = |bench: &mut Bench, id| {
            let mut chunk = Chunk::default();
            bench.outbox.fill(&mut chunk, NOW);
            let place = chunk.rest().into_iter().find(|part| !part.is_empty());
            let place = place.map(<[u8]>::as_ptr);
            let fallout = &mut bench.fallout;
            bench.outbox.handle_written(&mut chunk, NOW, fallout);
            if qos == Qos::AtLeastOnce {
                let acknowledged = bench.outbox.handle_ack(id, AckKind::Publish, NOW);
                acknowledged.unwrap().unwrap();
            }
            place
        };
        let mut bench = connected(1);
        bench.outbox.max_bytes = 2_000_000;
        publish(&mut bench, 13, 100_000, qos);
        for id in 1..11 {
            leave(&mut bench, id);
            assert_eq!(spare(&mut bench), None, "no megabyte yet");
        }
        let eleventh = leave(&mut bench, 11);
        assert_eq!(spare(&mut bench), eleventh);
        let twelfth = leave(&mut bench, 12);
        assert_eq!(bench.outbox.poll_timeout(), Some(end));
        bench.outbox.handle_timeout(end, &mut bench.fallout);
        assert!(twelfth.is_some() && spare(&mut bench).is_none());
        assert_eq!(bench.outbox.poll_timeout(), None);
    }
}

/// In the middle of a burst, in which the memory of large packets is kept.
fn bursting(bench: &mut Bench) {
    for _ in 0..20 {
        let memory = BytesMut::with_capacity(64 * 1024);
        bench.outbox.spares().keep(memory, NOW);
    }
    while bench.outbox.spares().take(64 * 1024).capacity() > 0 {}
}

#[test]
fn small_messages_leave_no_memory_for_large_ones_behind() {
    for (len, kept) in [(20, 0), (17_000, 64 * 1024)] {
        let mut bench = connected(10);
        bursting(&mut bench);
        let spares = bench.outbox.spares();
        spares.keep(BytesMut::with_capacity(64 * 1024), NOW);
        publish(&mut bench, 1, len, Qos::AtMostOnce);
        send(&mut bench, NOW);
        let left = bench.outbox.spares().take(64 * 1024).capacity();
        assert_eq!(left, kept, "after {len} bytes");
    }
}

#[test]
fn a_large_message_that_is_refused_gives_its_memory_back() {
    let mut bench = connected(10);
    bursting(&mut bench);
    let payload = vec![b'x'; 60_000];
    let (outbox, fallout) = (&mut bench.outbox, &mut bench.fallout);
    let memory = outbox
        .memory_for("t", payload.len(), Qos::AtMostOnce)
        .unwrap();
    let message = Encoded::new(memory, "t", &payload, Qos::AtMostOnce);
    outbox.max_bytes = 10_000;
    let refused = outbox.publish_encoded(message, false, None, NOW, fallout);
    assert_eq!(refused.unwrap_err().kind(), ErrorKind::OutboxFull);
    assert!(outbox.spares().take(60_000).capacity() >= 60_000);
}

#[test]
fn a_large_message_that_could_not_be_accepted_is_not_copied_first() {
    let mut bench = Bench::new(10, OutboxPolicy::DropOldest);
    bench.outbox.handle_connected(false);
    bench.outbox.max_bytes = 100_000;
    let ask = |bench: &mut Bench| {
        let memory = bench.outbox.memory_for("t", 60_000, Qos::AtMostOnce);
        memory.map_err(|error| error.kind())
    };
    publish(&mut bench, 1, 60_000, Qos::AtLeastOnce);
    ask(&mut bench).unwrap();
    let mut chunk = Chunk::default();
    bench.outbox.fill(&mut chunk, NOW);
    let refused = ask(&mut bench).unwrap_err();
    assert_eq!(refused, ErrorKind::OutboxFull, "what is under way stays");
}

#[test]
fn what_was_cut_behind_a_large_message_is_sent_again_and_nothing_before_it() {
    let mut bench = connected(10);
    publish(&mut bench, 1, 100, Qos::AtLeastOnce);
    let payload = vec![b'x'; 30_000];
    let (outbox, fallout) = (&mut bench.outbox, &mut bench.fallout);
    let memory = outbox.memory_for("t", 30_000, Qos::AtLeastOnce).unwrap();
    let message = Encoded::new(memory, "t", &payload, Qos::AtLeastOnce);
    outbox
        .publish_encoded(message, true, None, NOW, fallout)
        .unwrap();
    let small = publish(&mut bench, 2, 50, Qos::AtMostOnce);
    let mut chunk = Chunk::default();
    bench.outbox.fill(&mut chunk, NOW);
    let [head, large, direct] = chunk.rest().map(<[u8]>::len);
    assert!(large > 30_000 && (head, direct) == (100, 100));
    chunk.advance(head + large + 99);
    bench.outbox.handle_lost(chunk, &mut bench.fallout);
    assert_eq!(completed(&mut bench), small[..1]);
    assert_eq!(bench.outbox.direct.waiting(), (1, 50));
}
