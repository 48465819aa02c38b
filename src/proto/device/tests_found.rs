//! Sequences that once went wrong, each found by reading.

use bytes::{Bytes, BytesMut};

use super::*;
use crate::proto::codec::{self, Packet};
use crate::{Endpoint, Identity, OutboxPolicy, TopicFilter};

fn cfg(clean: bool) -> Config {
    let identity = Identity::verbatim("device", "user", "password").unwrap();
    let endpoint = Endpoint::host("localhost", 1883).unwrap();
    let mut config = Config::new(&identity, &endpoint).unwrap();
    config.use_private_profile();
    config.set_clean_session(clean);
    config
}
fn connect(d: &mut Device<u32>, b: &mut Budget, now: Duration, present: bool) {
    d.handle_timeout(now, b);
    assert_eq!(d.poll_action(), Some(Action::Dial));
    d.handle_link_up();
    write(d, now);
    d.handle_packets(
        [Packet::ConnAck {
            session_present: present,
            code: 0,
        }]
        .into_iter(),
        now,
    );
}
fn write(d: &mut Device<u32>, now: Duration) -> Vec<u8> {
    let mut chunk = Chunk::default();
    d.poll_transmit(&mut chunk, now);
    let v = chunk.rest().concat();
    d.handle_written(&mut chunk, now);
    v
}
fn push(id: u16) -> Packet {
    let mut w = BytesMut::new();
    let at = codec::encode_publish(&mut w, "a", b"x", Qos::AtLeastOnce);
    codec::set_packet_id(&mut w, at, id);
    codec::decode(Bytes::from(w.to_vec()), 2).unwrap()
}
const T: fn(u64) -> Duration = Duration::from_secs;

#[test]
fn an_acknowledgement_of_a_dead_link_never_leaves_on_the_next() {
    let mut b = Budget::new(None);
    let mut d = Device::<u32>::new(cfg(true));
    d.start(T(0)).unwrap();
    connect(&mut d, &mut b, T(0), false);
    d.handle_packets([push(7)].into_iter(), T(1));
    d.handle_lost(
        Some(Error::new(ErrorKind::Network, Stage::Mqtt, "x")),
        Chunk::default(),
        T(2),
        0,
        &mut b,
    );
    d.handle_delivered(102, 0, [(1, 7)].into_iter());
    connect(&mut d, &mut b, T(200), false);
    let out = write(&mut d, T(200));
    assert!(out.is_empty());
}
#[test]
fn a_stop_with_nothing_owed_is_due_at_once() {
    let mut b = Budget::new(None);
    let mut d = Device::<u32>::new(cfg(true));
    d.start(T(0)).unwrap();
    connect(&mut d, &mut b, T(0), false);
    d.stop(T(30));
    assert!(d.poll_timeout(T(0)) <= Some(T(0)));
}
#[test]
fn drop_oldest_drops_nothing_if_that_would_not_be_enough() {
    let mut c = cfg(true);
    c.set_payload_limit(60_000).unwrap();
    c.set_topic_limit(64).unwrap();
    c.set_outbox_limit(1000, 100_000).unwrap();
    c.set_window(1).unwrap();
    c.set_outbox_policy(OutboxPolicy::DropOldest);
    let mut b = Budget::new(None);
    let mut d = Device::<u32>::new(c);
    d.start(T(0)).unwrap();
    connect(&mut d, &mut b, T(0), false);
    d.publish("a", &[0; 60_000], Qos::AtLeastOnce, true, None)
        .unwrap();
    write(&mut d, T(0));
    for _ in 0..100 {
        d.publish("a", b"small", Qos::AtLeastOnce, true, None)
            .unwrap();
    }
    d.outputs().clear();
    let r = d.publish("a", &[0; 60_000], Qos::AtLeastOnce, true, None);
    assert!(r.is_ok() || d.outputs().is_empty());
}
#[test]
fn a_subscription_that_a_stop_cancelled_is_asked_for_again_with_the_session() {
    let mut b = Budget::new(None);
    let mut d = Device::<u32>::new(cfg(false));
    d.subscribe(TopicFilter::parse("a").unwrap(), Qos::AtLeastOnce, || 1)
        .unwrap();
    d.start(T(0)).unwrap();
    connect(&mut d, &mut b, T(0), false);
    // stopped before the SUBACK
    d.stop(T(0));
    write(&mut d, T(0));
    d.handle_timeout(T(0), &mut b);
    write(&mut d, T(0));
    d.handle_lost(None, Chunk::default(), T(1), 0, &mut b);
    d.start(T(2)).unwrap();
    connect(&mut d, &mut b, T(2), true);
    let out = write(&mut d, T(2));
    assert!(!out.is_empty());
}
#[test]
fn a_restored_subscription_that_a_stop_cut_off_is_asked_for_again() {
    let mut b = Budget::new(None);
    let mut d = Device::<u32>::new(cfg(false));
    d.subscribe(TopicFilter::parse("a").unwrap(), Qos::AtLeastOnce, || 1)
        .unwrap();
    d.start(T(0)).unwrap();
    connect(&mut d, &mut b, T(0), false);
    write(&mut d, T(0));
    d.handle_packets(
        [Packet::SubAck {
            id: 1,
            codes: vec![1],
        }]
        .into_iter(),
        T(0),
    );
    d.handle_lost(
        Some(Error::new(ErrorKind::Network, Stage::Mqtt, "x")),
        Chunk::default(),
        T(2),
        0,
        &mut b,
    );
    connect(&mut d, &mut b, T(200), false); // forgotten
    d.stop(T(300));
    d.handle_timeout(T(200), &mut b);
    write(&mut d, T(200));
    d.handle_lost(None, Chunk::default(), T(201), 0, &mut b);
    d.start(T(202)).unwrap();
    connect(&mut d, &mut b, T(202), true);
    let out = write(&mut d, T(202));
    assert!(!out.is_empty());
}
#[test]
fn a_kick_notice_does_not_outlive_its_connection() {
    let mut b = Budget::new(None);
    let mut d = Device::<u32>::new(cfg(true));
    d.start(T(0)).unwrap();
    connect(&mut d, &mut b, T(0), false);
    let mut w = BytesMut::new();
    codec::encode_publish(&mut w, "/ext/notify", b"{\"kick\"}", Qos::AtMostOnce);
    d.handle_packets(
        [codec::decode(Bytes::from(w.to_vec()), 2).unwrap()].into_iter(),
        T(1),
    );
    d.stop(T(1));
    d.handle_timeout(T(1), &mut b);
    write(&mut d, T(1));
    d.handle_lost(None, Chunk::default(), T(2), 0, &mut b);
    d.start(T(3)).unwrap();
    connect(&mut d, &mut b, T(3), false);
    d.outputs().clear();
    d.handle_lost(
        Some(Error::new(ErrorKind::Network, Stage::Mqtt, "x")),
        Chunk::default(),
        T(900),
        0,
        &mut b,
    );
    assert_eq!(d.outputs().len(), 1, "Disconnected, and no TakenOver");
}
#[test]
fn dropped_messages_gather_into_one_event() {
    let mut c = cfg(true);
    c.set_outbox_policy(OutboxPolicy::DropOldest);
    c.set_payload_limit(1000).unwrap();
    c.set_outbox_limit(10, 1_000_000).unwrap();
    let mut d = Device::<u32>::new(c);
    for _ in 0..100_000 {
        d.publish("a", b"x", Qos::AtMostOnce, false, None).unwrap();
    }
    assert_eq!(d.outputs().len(), 1);
    d.handle_delivered(0, 0, std::iter::empty());
    assert_eq!(d.outputs().len(), 2, "and the rest in the next");
}
