//! What the packets of the platform become: events, completions, counts and reasons to close.

use super::tests_calls::{Bench, T};
use super::*;
use crate::proto::codec::Packet;
use crate::{Identity, TopicFilter};

fn events(bench: &mut Bench) -> Vec<Event> {
    let outputs = bench.device.outputs().drain(..);
    outputs
        .filter_map(|output| match output {
            Output::Event(event) => Some(*event),
            _ => None,
        })
        .collect()
}

#[test]
fn a_connection_says_whether_the_session_was_kept() {
    let mut bench = Bench::new(|config| config.set_clean_session(false));
    bench.device.start(T(0)).unwrap();
    for (round, present) in [(0, false), (1, true)] {
        bench.resume(present, T(1000 * round));
        let events = events(&mut bench);
        let connected = events
            .iter()
            .find(|event| event.kind == EventKind::Connected);
        assert_eq!(connected.unwrap().session_present, present);
        bench.lose(ErrorKind::Network, T(1000 * round + 100));
    }
}

#[test]
fn a_certificate_that_ends_soon_is_told_once_a_day_and_another_one_at_once() {
    const DAY: u64 = 86_400;
    let mut bench = Bench::started();
    for (now, ends, is_told) in [
        (0, 7, true),
        (1000, 7, false),
        (DAY - 1, 7, false),
        (DAY, 7, true),
        (DAY + 1000, 8, true),
        (DAY + 2000, 8, false),
    ] {
        bench
            .device
            .handle_notice(ends, format!("it ends at {ends}"));
        bench.connect(T(now));
        let told: Vec<_> = events(&mut bench)
            .into_iter()
            .filter(|event| event.kind == EventKind::CertificateExpiresSoon)
            .map(|event| (event.certificate_ends, event.text))
            .collect();
        let expected = is_told.then(|| (Some(ends), format!("it ends at {ends}")));
        assert_eq!(told, Vec::from_iter(expected), "at {now}");
        // Long enough to be dialled again at the next of these moments.
        bench.lose(ErrorKind::Network, T(now));
        bench.device.retry_now(T(now));
    }
}

#[test]
fn messages_and_acknowledgements_are_counted() {
    let mut bench = Bench::started();
    bench.connect(T(0));
    bench.subscribe("a");
    bench.publish();
    bench.publish();
    bench.write(T(0));
    for id in [2, 3, 3] {
        bench.receive(Packet::PubAck { id }, T(0));
    }
    for topic in ["a", "b", "b"] {
        bench.receive(Bench::message(topic, b"x"), T(0));
    }
    let counted = bench.device.counters();
    assert_eq!((counted.published, counted.acknowledged), (2, 2));
    assert_eq!((counted.received, counted.unrouted), (3, 2));
}

#[test]
fn a_subscription_completes_with_what_was_granted_or_refused() {
    let mut bench = Bench::started();
    bench.connect(T(0));
    let tokens = ["a", "b", "c"].map(|filter| bench.subscribe(filter));
    bench.write(T(0));
    let codes = vec![0, 1, 0x80];
    bench.receive(Packet::SubAck { id: 1, codes }, T(0));
    let ends: Vec<_> = bench
        .device
        .outputs()
        .drain(..)
        .filter_map(|output| match output {
            Output::Completion(end) => Some((end.token, end.result.map_err(|error| error.kind()))),
            _ => None,
        })
        .collect();
    let results = [
        Ok(Some(Qos::AtMostOnce)),
        Ok(Some(Qos::AtLeastOnce)),
        Err(ErrorKind::SubscriptionRefused),
    ];
    assert_eq!(ends, Vec::from_iter(tokens.into_iter().zip(results)));

    // On the next connection nobody waits for a completion, and the loss is an event.
    bench.lose(ErrorKind::Network, T(100));
    bench.connect(T(1000));
    bench.write(T(1000));
    events(&mut bench);
    let codes = vec![0x80, 0];
    bench.receive(Packet::SubAck { id: 2, codes }, T(1000));
    let told = events(&mut bench);
    let told: Vec<_> = told
        .iter()
        .map(|event| (event.kind, &*event.text))
        .collect();
    assert_eq!(told, [(EventKind::SubscriptionLost, "a")]);
}

#[test]
fn the_owner_of_a_certificate_is_learnt_from_its_own_topic() {
    let notice = br#"{"productKey":"pk","deviceName":"dn"}"#;
    let topic = "/ext/auth/identity/response";
    let unknown = Identity::with_certificate("", "").unwrap();
    let owner = Identity::with_certificate("pk", "dn").unwrap();
    for (identity, topic, is_learnt) in [
        (&unknown, topic, true),
        (&unknown, "/ext/auth/identity", false),
        (&owner, topic, false),
        (&Identity::verbatim("a", "b", "c").unwrap(), topic, false),
    ] {
        let mut bench = Bench::of(identity, |_| {});
        bench.device.start(T(0)).unwrap();
        bench.connect(T(0));
        events(&mut bench);
        bench.receive(Bench::message(topic, notice), T(0));
        let told: Vec<_> = events(&mut bench)
            .into_iter()
            .map(|event| (event.kind, event.text, event.identity))
            .collect();
        let learnt = (
            EventKind::IdentityReceived,
            "dn&pk".into(),
            Some(owner.clone()),
        );
        assert_eq!(told, Vec::from_iter(is_learnt.then_some(learnt)));
        if is_learnt {
            assert_eq!(bench.device.config().identity(), &owner);
        }
    }
}

/// The error of the event that tells the end of the connection.
fn failure(bench: &mut Bench) -> Error {
    assert_eq!(bench.device.poll_action(), Some(Action::Hangup));
    bench.lose(ErrorKind::Network, T(1));
    let failed = events(bench).into_iter().find_map(|event| event.error);
    failed.unwrap()
}

#[test]
fn what_the_inbox_cannot_hold_is_dropped_or_ends_the_connection() {
    let mut bench = Bench::new(|config| {
        config.set_payload_limit(10).unwrap();
        config.set_inbox_limit(1, 100_000).unwrap();
    });
    bench.device.start(T(0)).unwrap();
    bench.connect(T(0));
    let filter = TopicFilter::parse("a").unwrap();
    bench
        .device
        .subscribe(filter, Qos::AtLeastOnce, || 1)
        .unwrap();
    while bench.device.counters().dropped == 0 {
        assert!(bench.device.counters().received < 200_000);
        bench.receive(Bench::message("a", b"x"), T(0));
    }
    bench.receive(Bench::message("a", b"x"), T(0));
    assert_eq!(bench.device.counters().dropped, 2);
    let mut bytes = BytesMut::new();
    let id_at = codec::encode_publish(&mut bytes, "a", b"x", Qos::AtLeastOnce);
    codec::set_packet_id(&mut bytes, id_at, 1);
    let message = codec::decode(bytes.freeze(), 2).unwrap();
    bench.receive(message, T(0));
    assert_eq!(failure(&mut bench).kind(), ErrorKind::InboxOverflow);
}

#[test]
fn each_refusal_has_its_kind_and_carries_its_code() {
    for (code, kind) in [
        (1, ErrorKind::UnsupportedProtocol),
        (2, ErrorKind::BadClientId),
        (3, ErrorKind::ServerUnavailable),
        (4, ErrorKind::BadCredentials),
        (5, ErrorKind::NotAuthorized),
        (6, ErrorKind::Protocol),
    ] {
        let mut bench = Bench::started();
        bench.dial(T(0));
        bench.device.handle_link_up();
        bench.write(T(0));
        let session_present = false;
        let refused = Packet::ConnAck {
            session_present,
            code,
        };
        bench.receive(refused, T(0));
        let error = failure(&mut bench);
        assert_eq!((error.kind(), error.connack_code()), (kind, Some(code)));
    }
}

#[test]
fn a_connection_begins_with_one_connack_and_no_session_that_was_not_asked_for() {
    let connack = |session_present| Packet::ConnAck {
        session_present,
        code: 0,
    };
    for (packets, words) in [
        (vec![Packet::PingResp], "not a CONNACK"),
        (vec![connack(true)], "a session is present"),
        (vec![connack(false), connack(false)], "a second CONNACK"),
    ] {
        let mut bench = Bench::started();
        bench.dial(T(0));
        bench.device.handle_link_up();
        bench.write(T(0));
        bench.device.handle_packets(packets.into_iter(), T(0));
        let error = failure(&mut bench);
        assert_eq!(error.kind(), ErrorKind::Protocol);
        assert!(error.to_string().contains(words), "{error}");
    }
}

/// A message of QoS 1.
fn message_of_qos_1(topic: &str, payload: &[u8], id: u16) -> Packet {
    let mut bytes = BytesMut::new();
    let id_at = codec::encode_publish(&mut bytes, topic, payload, Qos::AtLeastOnce);
    codec::set_packet_id(&mut bytes, id_at, id);
    codec::decode(bytes.freeze(), 2).unwrap()
}

fn numbered(id: u16) -> Packet {
    message_of_qos_1("a", b"x", id)
}

#[test]
fn what_there_is_no_room_for_waits_with_all_behind_it() {
    let mut bench = Bench::new(|config| {
        config.set_payload_limit(10).unwrap();
        config.set_inbox_limit(2, 100_000).unwrap();
    });
    bench.device.start(T(0)).unwrap();
    bench.connect(T(0));
    let token = bench.publish();
    bench.write(T(0));
    let behind = [Packet::PubAck { id: 1 }, Bench::message("a", b"x")];
    let mut packets: VecDeque<Packet> = (1..=3).map(numbered).chain(behind).collect();
    bench.device.handle_what_fits(&mut packets, T(0));
    assert_eq!(packets.len(), 3);
    bench.device.handle_what_fits(&mut packets, T(0));
    assert_eq!((packets.len(), bench.device.counters().received), (3, 2));
    // The deadline of what may stand behind is put off.
    bench.device.handle_reading_waits(T(29));
    assert_eq!(bench.device.poll_timeout(T(29)), Some(T(59)));
    let first = (bench.device.connection, 1);
    bench.device.handle_delivered(10, 0, [first].into_iter());
    bench.device.handle_what_fits(&mut packets, T(29));
    assert_eq!((packets.len(), bench.device.counters().received), (0, 4));
    assert!(bench.device.last_failure().is_none() && !bench.device.has_action());
    let ended =
        |output: &Output<u32>| matches!(output, Output::Completion(end) if end.token == token);
    assert_eq!(
        bench.device.outputs().iter().filter(|it| ended(it)).count(),
        1
    );
}

#[test]
fn what_waited_at_the_end_of_its_connection_counts_unless_it_comes_again() {
    let mut bench = Bench::started();
    bench.connect(T(0));
    let token = bench.publish();
    bench.subscribe("a");
    bench.write(T(0));
    bench.told();
    let left = [
        message_of_qos_1("/ext/notify", br#"{"kick":{}}"#, 1),
        Bench::message("a", b"x"),
        Packet::PingResp,
        Packet::PubAck { id: 2 },
    ];
    bench.device.handle_left_behind(left.into_iter(), T(1));
    let counters = bench.device.counters();
    assert_eq!((counters.received, counters.acknowledged), (1, 1));
    bench.lose(ErrorKind::ClosedByPeer, T(1));
    let (events, ends) = bench.told();
    assert_eq!(ends, [(token, None)]);
    assert!(events.contains(&EventKind::TakenOver), "{events:?}");
}

#[test]
fn each_acknowledgement_among_what_fits_shows_that_the_platform_answers() {
    let mut bench = Bench::started();
    bench.connect(T(0));
    bench.publish();
    bench.publish();
    bench.write(T(0));
    let packets = [Packet::PubAck { id: 1 }, Bench::message("a", b"x")];
    let mut packets = VecDeque::from(packets);
    bench.device.handle_what_fits(&mut packets, T(20));
    assert_eq!(bench.device.poll_timeout(T(20)), Some(T(50)));
}
