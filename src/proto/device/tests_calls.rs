//! What the application asks of the device, and what it is told and what is counted at the end.

use super::*;
use crate::proto::codec::Packet;
use crate::proto::trust::ClientCertificate;
use crate::{Endpoint, Identity, TopicFilter};

pub(super) const T: fn(u64) -> Duration = Duration::from_secs;

pub(super) struct Bench {
    pub(super) device: Device<u32>,
    pub(super) budget: Budget,
}

impl Bench {
    pub(super) fn new(change: impl FnOnce(&mut Config)) -> Self {
        let identity = Identity::verbatim("device", "user", "password").unwrap();
        Self::of(&identity, change)
    }

    pub(super) fn of(identity: &Identity, change: impl FnOnce(&mut Config)) -> Self {
        let mut endpoint = Endpoint::host("localhost", 1883).unwrap();
        if identity.is_certificate() {
            let [certificate, key] = ["cert.pem", "key.pem"].map(Into::into);
            endpoint.tls_mut().client = Some(ClientCertificate::Files { certificate, key });
        }
        let mut config = Config::new(identity, &endpoint).unwrap();
        config.use_private_profile();
        change(&mut config);
        let (device, budget) = (Device::new(config), Budget::new(None));
        Self { device, budget }
    }

    pub(super) fn started() -> Self {
        let mut bench = Self::new(|_| {});
        bench.device.start(T(0)).unwrap();
        bench
    }

    pub(super) fn dial(&mut self, now: Duration) {
        self.device.handle_timeout(now, &mut self.budget);
        assert_eq!(self.device.poll_action(), Some(Action::Dial));
    }

    pub(super) fn connect(&mut self, now: Duration) {
        self.resume(false, now);
    }

    pub(super) fn resume(&mut self, session_present: bool, now: Duration) {
        self.dial(now);
        self.device.handle_link_up();
        self.write(now);
        let accepted = Packet::ConnAck {
            session_present,
            code: 0,
        };
        self.receive(accepted, now);
        assert_eq!(self.device.state(), State::Connected);
    }

    pub(super) fn receive(&mut self, packet: Packet, now: Duration) {
        self.device.handle_packets([packet].into_iter(), now);
    }

    /// What leaves, which the socket takes at once.
    pub(super) fn write(&mut self, now: Duration) -> Vec<u8> {
        let mut chunk = Chunk::default();
        self.device.poll_transmit(&mut chunk, now);
        let bytes = chunk.rest().concat();
        self.device.handle_written(&mut chunk, now);
        bytes
    }

    pub(super) fn subscribe(&mut self, filter: &str) -> Token {
        let filter = TopicFilter::parse(filter).unwrap();
        let subscribed = self.device.subscribe(filter, Qos::AtMostOnce, || 7);
        subscribed.unwrap()
    }

    pub(super) fn message(topic: &str, payload: &[u8]) -> Packet {
        let mut bytes = BytesMut::new();
        codec::encode_publish(&mut bytes, topic, payload, Qos::AtMostOnce);
        codec::decode(bytes.freeze(), 2).unwrap()
    }

    pub(super) fn lose(&mut self, kind: ErrorKind, now: Duration) {
        let error = Error::new(kind, Stage::Session, "for the test");
        let (chunk, budget) = (Chunk::default(), &mut self.budget);
        self.device.handle_lost(Some(error), chunk, now, 0, budget);
    }

    pub(super) fn publish(&mut self) -> Token {
        let sent = self.device.publish("a", b"x", Qos::AtLeastOnce, true, None);
        sent.unwrap().unwrap()
    }

    /// Kinds of the events since the last call, and how the operations ended.
    pub(super) fn told(&mut self) -> (Vec<EventKind>, Vec<(Token, Option<ErrorKind>)>) {
        let (mut events, mut ends) = (Vec::new(), Vec::new());
        for output in self.device.outputs().drain(..) {
            match output {
                Output::Event(event) => events.push(event.kind),
                Output::Completion(end) => {
                    ends.push((end.token, end.result.err().map(|error| error.kind())));
                }
                _ => {}
            }
        }
        (events, ends)
    }
}

#[test]
fn a_device_that_rests_holds_no_room_for_what_it_has_told() {
    let mut bench = Bench::started();
    bench.connect(T(0));
    bench.device.rest();
    let outputs = bench.device.outputs();
    assert!(!outputs.is_empty(), "nobody has taken it yet");
    outputs.clear();
    assert!(outputs.capacity() > 0);
    bench.device.rest();
    assert_eq!(bench.device.outputs().capacity(), 0);
    bench
        .device
        .publish("a", b"x", Qos::AtMostOnce, true, None)
        .unwrap();
    bench.write(T(0));
    assert!(bench.device.fallout.completions.capacity() > 0);
    bench.device.rest();
    assert_eq!(bench.device.fallout.completions.capacity(), 0);
}

#[test]
fn a_stop_of_what_was_never_started_changes_nothing() {
    let mut bench = Bench::new(|_| {});
    bench.device.stop(T(5));
    bench.publish();
    bench.device.start(T(0)).unwrap();
    bench.connect(T(0));
}

#[test]
fn a_wait_ends_when_it_is_told_to() {
    let mut bench = Bench::started();
    bench.connect(T(0));
    bench.lose(ErrorKind::Network, T(100));
    assert_eq!(bench.device.state(), State::Waiting);
    bench.device.handle_timeout(T(100), &mut bench.budget);
    assert_eq!(bench.device.poll_action(), None);
    bench.device.retry_now(T(100));
    bench.dial(T(100));
}

const PINGREQ: [u8; 2] = [0xC0, 0];

#[test]
fn a_connection_is_asked_at_once_whether_it_lives_and_not_twice() {
    for keep_alive_s in [0, 300] {
        let mut bench = Bench::new(|config| config.set_keep_alive_s(keep_alive_s).unwrap());
        bench.device.start(T(0)).unwrap();
        bench.connect(T(0));
        bench.device.retry_now(T(100));
        bench.device.retry_now(T(100));
        assert!(bench.device.has_transmit(T(100)));
        assert_eq!(bench.write(T(100)), PINGREQ);
        bench.device.retry_now(T(101));
        assert!(bench.write(T(101)).is_empty(), "an answer is owed");
        bench.receive(Packet::PingResp, T(102));
        assert_eq!(bench.device.counters().ping_round_trip, T(2));
        bench.device.retry_now(T(103));
        assert_eq!(bench.write(T(103)), PINGREQ);
        assert_eq!(bench.device.poll_timeout(T(103)), Some(T(113)));
        bench.device.handle_timeout(T(112), &mut bench.budget);
        assert_eq!(bench.device.poll_action(), None);
        bench.device.handle_timeout(T(113), &mut bench.budget);
        assert_eq!(bench.device.poll_action(), Some(Action::Hangup));
        bench.device.retry_now(T(113));
        assert!(bench.device.control.is_empty(), "the link is given up");
        bench.lose(ErrorKind::Network, T(113));
        let failure = bench.device.last_failure().unwrap();
        assert_eq!(failure.kind(), ErrorKind::KeepAliveTimeout);
    }
}

#[test]
fn nobody_is_asked_before_connack_or_after_disconnect() {
    let mut bench = Bench::started();
    bench.dial(T(0));
    bench.device.retry_now(T(0));
    assert!(bench.device.control.is_empty());
    bench.device.handle_link_up();
    let connect = bench.device.control.len();
    bench.device.retry_now(T(0));
    assert_eq!(bench.device.control.len(), connect);
    bench.lose(ErrorKind::Network, T(0));
    bench.connect(T(500));
    bench.device.fail_protocol("for the test");
    bench.device.retry_now(T(500));
    assert!(bench.device.control.is_empty(), "the link is given up");
    bench.device.poll_action();
    bench.lose(ErrorKind::Network, T(500));
    bench.connect(T(1000));
    bench.device.stop(T(1000));
    bench.device.handle_timeout(T(1000), &mut bench.budget);
    bench.device.retry_now(T(1000));
    assert_eq!(bench.write(T(1000)), DISCONNECT);
}

#[test]
fn a_mark_is_passed_when_what_was_before_it_is_acknowledged() {
    let mut bench = Bench::started();
    bench.connect(T(0));
    bench.publish();
    let mark = bench.device.mark();
    bench.write(T(0));
    assert!(!bench.device.has_passed(mark));
    bench.receive(Packet::PubAck { id: 1 }, T(0));
    assert!(bench.device.has_passed(mark));
}

#[test]
fn a_client_that_is_destroyed_leaves_nothing_untold_and_no_handler() {
    let mut bench = Bench::started();
    bench.connect(T(0));
    let subscription = bench.subscribe("a");
    let message = bench.publish();
    bench.device.outputs().clear();
    bench.device.abandon(T(1));
    let released = |output: &Output<u32>| matches!(output, Output::Release(7));
    assert!(bench.device.outputs().iter().any(released));
    let cancelled = Some(ErrorKind::Cancelled);
    let mut ends = bench.told().1;
    ends.sort_unstable_by_key(|&(token, _)| token);
    assert_eq!(ends, [(subscription, cancelled), (message, cancelled)]);
    bench.device.handle_timeout(T(1), &mut bench.budget);
    bench.write(T(1));
    assert_eq!(bench.device.poll_action(), Some(Action::Goodbye));
}

#[test]
fn a_crash_ends_everything_in_every_state() {
    let mut stopped = Bench::new(|_| {});
    let mut connecting = Bench::started();
    connecting.dial(T(0));
    let mut connected = Bench::started();
    connected.connect(T(0));
    for (bench, events) in [
        (&mut stopped, &[EventKind::Stopped][..]),
        (
            &mut connecting,
            &[EventKind::ConnectFailed, EventKind::Stopped],
        ),
        (
            &mut connected,
            &[EventKind::Disconnected, EventKind::Stopped],
        ),
    ] {
        let token = bench.publish();
        bench.told();
        bench.device.crash("for the test");
        assert_eq!(bench.device.state(), State::Stopped);
        let cancelled = (token, Some(ErrorKind::Cancelled));
        assert_eq!(bench.told(), (events.to_vec(), vec![cancelled]));
    }
}

#[test]
fn each_lost_connection_is_counted_under_what_ended_it() {
    let mut bench = Bench::started();
    let kinds = [
        ErrorKind::Network,
        ErrorKind::ClosedByPeer,
        ErrorKind::KeepAliveTimeout,
        ErrorKind::Protocol,
        ErrorKind::TakenOver,
        ErrorKind::InboxOverflow,
    ];
    for round in 0..2 * kinds.len() as u64 {
        let now = T(1000 * round);
        bench.connect(now);
        bench.lose(kinds[round as usize % kinds.len()], now + T(100));
    }
    bench.dial(T(100_000));
    bench.lose(ErrorKind::Network, T(100_001));
    let counted = bench.device.counters();
    let lost = [
        counted.lost_network,
        counted.lost_closed,
        counted.lost_silent,
        counted.lost_protocol,
        counted.lost_taken_over,
        counted.lost_overflow,
    ];
    assert_eq!((lost, counted.failures), ([2; 6], 1));
    assert_eq!((counted.connects, counted.attempts), (12, 13));
}

/// Whether the third of three connections, each lost after its time with its error, was taken over.
fn is_taken_over(lost: [(Duration, ErrorKind); 3]) -> bool {
    let mut bench = Bench::started();
    for (round, (after, kind)) in (0..).zip(lost) {
        assert!(!bench.told().0.contains(&EventKind::TakenOver), "{round}");
        bench.connect(T(1000 * round));
        bench.lose(kind, T(1000 * round) + after);
    }
    bench.told().0.contains(&EventKind::TakenOver)
}

#[test]
fn three_connections_in_a_row_that_the_peer_soon_closes_look_like_a_rival() {
    let closed = |seconds| (T(seconds), ErrorKind::ClosedByPeer);
    assert!(is_taken_over([closed(1), closed(59), closed(0)]));
    // From 60 s on, a connection was a stable one.
    assert!(!is_taken_over([closed(1), closed(1), closed(60)]));
    assert!(!is_taken_over([closed(1), closed(61), closed(1)]));
    let cut = (T(1), ErrorKind::Network);
    assert!(!is_taken_over([closed(1), cut, closed(1)]));
}

#[test]
fn what_only_looks_like_a_rival_is_waited_for_and_stops_nothing() {
    let mut bench = Bench::new(|config| config.set_take_over_policy(crate::TakeOverPolicy::Stop));
    bench.device.start(T(0)).unwrap();
    for round in 0..3 {
        bench.connect(T(1000 * round));
        bench.lose(ErrorKind::ClosedByPeer, T(1000 * round + 1));
    }
    assert!(bench.told().0.contains(&EventKind::TakenOver));
    assert_eq!(bench.device.state(), State::Waiting);
    assert_eq!(bench.device.poll_timeout(T(2001)), Some(T(2001 + 90)));
    bench.connect(T(3000));
    let kick = Bench::message("/ext/notify", br#"{"title":"kick"}"#);
    bench.receive(kick, T(3000));
    bench.lose(ErrorKind::ClosedByPeer, T(3001));
    assert_eq!(bench.device.state(), State::Stopped);
}

#[test]
fn a_kick_notice_names_the_rival_as_the_cause_of_the_loss() {
    for (topic, payload, is_kick) in [
        ("/ext/notify", &br#"{"kick":{}}"#[..], true),
        ("/ext/notify", br#"{"hint":{}}"#, false),
        ("/ext/other", br#"{"kick":{}}"#, false),
    ] {
        let mut bench = Bench::started();
        bench.connect(T(0));
        bench.receive(Bench::message(topic, payload), T(1));
        bench.lose(ErrorKind::ClosedByPeer, T(1));
        let events = bench.told().0;
        assert_eq!(events.contains(&EventKind::TakenOver), is_kick, "{topic}");
    }
}

const DISCONNECT: [u8; 2] = [0xE0, 0];

#[test]
fn a_stop_waits_for_what_is_owed_and_no_longer() {
    let mut bench = Bench::started();
    bench.connect(T(0));
    let token = bench.publish();
    bench.write(T(0));
    bench.device.stop(T(10));
    bench.device.handle_timeout(T(1), &mut bench.budget);
    assert!(bench.write(T(1)).is_empty());
    bench.receive(Packet::PubAck { id: 1 }, T(2));
    bench.device.handle_timeout(T(2), &mut bench.budget);
    assert_eq!(bench.write(T(2)), DISCONNECT);
    assert_eq!(bench.told().1, [(token, None)]);
}

#[test]
fn a_stop_cancels_at_its_deadline_what_is_still_owed() {
    let mut bench = Bench::started();
    bench.connect(T(0));
    let token = bench.publish();
    bench.write(T(0));
    bench.device.stop(T(10));
    bench.device.handle_timeout(T(10), &mut bench.budget);
    assert_eq!(bench.write(T(10)), DISCONNECT);
    assert_eq!(bench.told().1, [(token, Some(ErrorKind::Cancelled))]);
}

#[test]
fn a_stop_with_nothing_owed_says_goodbye_before_its_deadline() {
    let mut bench = Bench::started();
    bench.connect(T(0));
    bench.device.stop(T(10));
    bench.device.handle_timeout(T(0), &mut bench.budget);
    assert_eq!(bench.write(T(0)), DISCONNECT);
}

#[test]
fn every_acknowledgement_shows_that_the_platform_still_answers() {
    let ended = |bench: &mut Bench, filter| {
        let filter = TopicFilter::parse(filter).unwrap();
        bench.device.unsubscribe(filter).unwrap();
    };
    for (kind, acknowledgement) in [
        Packet::PubAck { id: 1 },
        Packet::SubAck {
            id: 1,
            codes: vec![0],
        },
        Packet::UnsubAck { id: 1 },
    ]
    .into_iter()
    .enumerate()
    {
        let mut bench = Bench::new(|config| {
            config.set_ack_timeout(T(4)).unwrap();
            config.set_filters_per_packet(1).unwrap();
        });
        bench.device.start(T(0)).unwrap();
        bench.connect(T(0));
        for filter in ["a", "b"] {
            match kind {
                0 => drop(bench.publish()),
                1 => drop(bench.subscribe(filter)),
                _ => ended(&mut bench, filter),
            }
        }
        bench.write(T(0));
        bench.receive(acknowledgement, T(3));
        bench.device.handle_timeout(T(5), &mut bench.budget);
        assert_eq!(bench.device.poll_action(), None, "{kind}");
        bench.device.handle_timeout(T(7), &mut bench.budget);
        assert_eq!(bench.device.poll_action(), Some(Action::Hangup), "{kind}");
    }
}

#[test]
fn a_session_that_was_kept_is_not_asked_again_for_what_it_granted() {
    let mut bench = Bench::new(|config| config.set_clean_session(false));
    bench.device.start(T(0)).unwrap();
    bench.connect(T(0));
    bench.subscribe("a");
    let subscribe = bench.write(T(0));
    let codes = vec![0];
    bench.receive(Packet::SubAck { id: 1, codes }, T(0));
    bench.lose(ErrorKind::Network, T(100));
    bench.resume(true, T(1000));
    assert!(bench.write(T(1000)).is_empty());
    bench.lose(ErrorKind::Network, T(1100));
    bench.resume(false, T(2000));
    assert_eq!(bench.write(T(2000))[4..], subscribe[4..]);
}

#[test]
fn bytes_are_counted_and_what_waits_for_callbacks_too() {
    let mut bench = Bench::started();
    bench.connect(T(0));
    let before = bench.device.counters().bytes_sent;
    assert!(before > 20, "the CONNECT");
    bench.publish();
    let sent = bench.write(T(0)).len() as u64;
    assert_eq!(bench.device.counters().bytes_sent, before + sent);
    bench.device.count_received(3);
    bench.device.count_received(4);
    assert_eq!(bench.device.counters().bytes_received, 7);
    assert_eq!(bench.device.inbox_level(), 0);
    bench.subscribe("a");
    bench.receive(Bench::message("a", b"x"), T(0));
    let waiting = bench.device.inbox_level();
    assert!(waiting > 6, "{waiting}");
    bench
        .device
        .handle_delivered(waiting, 0, std::iter::empty());
    assert_eq!(bench.device.inbox_level(), 0);
}

#[test]
fn the_last_failure_is_kept_until_there_is_a_connection_or_a_stop() {
    let mut bench = Bench::started();
    let kind = |bench: &Bench| bench.device.last_failure().map(Error::kind);
    assert_eq!(kind(&bench), None);
    bench.dial(T(0));
    bench.lose(ErrorKind::Dns, T(0));
    assert_eq!(kind(&bench), Some(ErrorKind::Dns));
    bench.connect(T(1000));
    assert_eq!(kind(&bench), None);
    bench.lose(ErrorKind::Network, T(1100));
    assert_eq!(kind(&bench), Some(ErrorKind::Network));
    bench.device.stop(T(1100));
    bench.device.handle_timeout(T(1100), &mut bench.budget);
    assert_eq!((bench.device.state(), kind(&bench)), (State::Stopped, None));
}

#[test]
fn a_client_that_stopped_by_itself_knows_why_until_it_is_started_again() {
    let mut bench = Bench::new(|config| {
        config
            .set_reconnect(Duration::ZERO, Duration::ZERO)
            .unwrap()
    });
    bench.device.start(T(0)).unwrap();
    bench.dial(T(0));
    bench.lose(ErrorKind::Dns, T(0));
    assert_eq!(bench.device.state(), State::Stopped);
    let kind = bench.device.last_failure().map(Error::kind);
    assert_eq!(kind, Some(ErrorKind::Dns));
    bench.device.start(T(1)).unwrap();
    assert!(bench.device.last_failure().is_none());
}

#[test]
fn a_connect_ends_at_its_timeout_which_a_wait_for_a_turn_stops() {
    let mut bench = Bench::started();
    bench.dial(T(0));
    assert_eq!(bench.device.state(), State::Connecting);
    bench
        .device
        .handle_stage(Stage::Session, T(0), &mut bench.budget);
    bench.device.handle_timeout(T(100), &mut bench.budget);
    assert_eq!(bench.device.poll_action(), None);
    bench
        .device
        .handle_stage(Stage::Tcp, T(100), &mut bench.budget);
    bench.device.handle_timeout(T(109), &mut bench.budget);
    assert!(!bench.device.has_action());
    bench.device.handle_timeout(T(110), &mut bench.budget);
    assert!(bench.device.has_action());
    assert_eq!(bench.device.poll_action(), Some(Action::Hangup));
    assert!(!bench.device.has_action());
    bench.lose(ErrorKind::Network, T(110));
    let failure = bench.device.last_failure().unwrap();
    assert_eq!(
        (failure.kind(), failure.stage()),
        (ErrorKind::ConnectTimeout, Stage::Tcp)
    );
}

#[test]
fn there_is_something_to_send_only_on_a_connection_and_until_it_ends() {
    let mut bench = Bench::started();
    bench.publish();
    assert!(!bench.device.has_transmit(T(0)), "there is no connection");
    bench.dial(T(0));
    bench.device.handle_link_up();
    assert!(bench.device.has_transmit(T(0)), "CONNECT");
    bench.write(T(0));
    assert!(!bench.device.has_transmit(T(0)), "CONNACK comes first");
    let (session_present, code) = (false, 0);
    bench.receive(
        Packet::ConnAck {
            session_present,
            code,
        },
        T(0),
    );
    assert!(bench.device.has_transmit(T(0)), "the message");
    bench.write(T(0));
    assert!(!bench.device.has_transmit(T(0)));
    bench.publish();
    bench.device.stop(T(0));
    bench.device.handle_timeout(T(0), &mut bench.budget);
    assert!(bench.device.has_transmit(T(0)), "DISCONNECT");
    bench.write(T(0));
    assert!(!bench.device.has_transmit(T(0)));

    // An attempt that was given up says nothing, though the link comes up.
    let mut bench = Bench::started();
    bench.dial(T(0));
    bench.device.stop(T(0));
    bench.device.handle_timeout(T(0), &mut bench.budget);
    assert_eq!(bench.device.poll_action(), Some(Action::Hangup));
    bench.device.handle_link_up();
    assert!(bench.write(T(0)).is_empty() && !bench.device.has_transmit(T(0)));
}

#[test]
fn an_acknowledgement_leaves_when_the_callback_has_returned() {
    let mut bench = Bench::started();
    bench.connect(T(0));
    let mut bytes = BytesMut::new();
    let id_at = codec::encode_publish(&mut bytes, "a", b"x", Qos::AtLeastOnce);
    codec::set_packet_id(&mut bytes, id_at, 7);
    bench.receive(codec::decode(bytes.freeze(), 2).unwrap(), T(0));
    let connection = bench
        .device
        .outputs()
        .iter()
        .find_map(|output| match output {
            Output::Message { connection, .. } => Some(*connection),
            _ => None,
        });
    assert!(!bench.device.has_transmit(T(0)));
    let acks = [(connection.unwrap(), 7)].into_iter();
    let waiting = bench.device.inbox_level();
    bench.device.handle_delivered(waiting, 0, acks);
    assert!(bench.device.has_transmit(T(0)));
    assert_eq!(bench.write(T(0)), [0x40, 2, 0, 7]);
}

#[test]
fn an_end_of_a_subscription_that_a_stop_cancelled_is_sent_if_the_session_is_kept() {
    for kept in [true, false] {
        let mut bench = Bench::new(|config| config.set_clean_session(!kept));
        bench.device.start(T(0)).unwrap();
        bench.connect(T(0));
        let filter = TopicFilter::parse("a").unwrap();
        bench.device.unsubscribe(filter).unwrap();
        bench.device.stop(T(0));
        bench.device.handle_timeout(T(0), &mut bench.budget);
        bench.write(T(0));
        bench.lose(ErrorKind::ClosedByPeer, T(1));
        bench.device.start(T(2)).unwrap();
        bench.resume(kept, T(2));
        let unsubscribes = bench.write(T(2)).first() == Some(&0xA2);
        assert_eq!(unsubscribes, kept);
    }
}

#[test]
fn a_device_is_stopping_until_its_goodbye_is_over() {
    let mut bench = Bench::started();
    bench.connect(T(0));
    bench.publish();
    bench.write(T(0));
    bench.device.stop(T(10));
    assert_eq!(bench.device.state(), State::Stopping, "something is owed");
    bench.device.handle_timeout(T(10), &mut bench.budget);
    assert_eq!(bench.device.state(), State::Stopping, "DISCONNECT leaves");
    bench.write(T(10));
    bench.lose(ErrorKind::ClosedByPeer, T(10));
    assert_eq!(bench.device.state(), State::Stopped);
}

#[test]
fn a_connect_is_counted_from_when_tcp_begins() {
    let mut bench = Bench::started();
    bench.budget = Budget::new(Some(1));
    bench.dial(T(0));
    for (stage, now) in [(Stage::Resolve, 1), (Stage::Tcp, 5), (Stage::Tls, 8)] {
        bench.device.handle_stage(stage, T(now), &mut bench.budget);
    }
    bench.lose(ErrorKind::Network, T(9));
    bench.device.retry_now(T(10));
    for now in [10, 64] {
        bench.device.handle_timeout(T(now), &mut bench.budget);
        assert_eq!(bench.device.poll_action(), None, "{now}");
    }
    bench.dial(T(65));
}

#[test]
fn bytes_that_arrive_show_that_the_peer_is_there() {
    let mut bench = Bench::new(|config| config.set_keep_alive_s(40).unwrap());
    bench.device.start(T(0)).unwrap();
    bench.connect(T(0));
    let ping = bench.device.poll_timeout(T(0)).unwrap();
    bench.device.handle_timeout(ping, &mut bench.budget);
    assert_eq!(bench.write(ping), [0xC0, 0]);
    bench.device.handle_received(ping + T(5));
    bench.device.handle_timeout(ping + T(14), &mut bench.budget);
    assert_eq!(bench.device.poll_action(), None);
    bench.device.handle_timeout(ping + T(15), &mut bench.budget);
    assert_eq!(bench.device.poll_action(), Some(Action::Hangup));
}

#[test]
fn a_socket_that_takes_nothing_for_30_s_is_given_up_and_a_slow_one_is_not() {
    let mut bench = Bench::started();
    bench.connect(T(0));
    let mut nothing = Chunk::default();
    bench.device.poll_transmit(&mut nothing, T(0));
    bench.device.handle_timeout(T(40), &mut bench.budget);
    assert_eq!(bench.device.poll_action(), None, "nothing waits");
    let sent = bench
        .device
        .publish("a", b"x", Qos::AtMostOnce, false, None);
    sent.unwrap();
    let mut chunk = Chunk::default();
    bench.device.poll_transmit(&mut chunk, T(40));
    assert!(!chunk.is_empty());
    chunk.advance(1);
    bench.device.handle_progress(T(60));
    bench.device.handle_timeout(T(89), &mut bench.budget);
    assert_eq!(bench.device.poll_action(), None, "it took a byte");
    bench.device.handle_timeout(T(90), &mut bench.budget);
    assert_eq!(bench.device.poll_action(), Some(Action::Hangup));
    bench.lose(ErrorKind::Network, T(90));
    let failure = bench.device.last_failure().unwrap().to_string();
    assert!(failure.contains("not taken a byte"), "{failure}");
}

#[test]
fn what_a_rate_holds_back_is_a_time_to_wake_and_what_may_leave_is_none() {
    let mut bench = Bench::new(|config| config.set_rates(None, Some(1)).unwrap());
    bench.device.start(T(0)).unwrap();
    bench.connect(T(0));
    bench.publish();
    bench.publish();
    let next = Duration::from_millis(1100);
    assert!(bench.device.poll_timeout(T(0)) > Some(next));
    bench.write(T(0));
    assert_eq!(bench.device.poll_timeout(T(0)), Some(next));
}

#[test]
fn memory_of_what_arrived_in_a_burst_serves_until_the_burst_is_over() {
    let mut bench = Bench::started();
    bench.connect(T(0));
    let large = || std::iter::repeat_with(|| BytesMut::with_capacity(100_000));
    bench.device.keep_memory(large().take(3), T(1));
    assert_eq!(bench.device.memory(90_000).capacity(), 0, "no burst yet");
    bench.device.keep_memory(large().take(10), T(1));
    assert_eq!(bench.device.memory(90_000).capacity(), 100_000);
    let due = bench.device.poll_timeout(T(1)).unwrap();
    assert!(due < T(2), "{due:?}");
    bench.device.handle_timeout(due, &mut bench.budget);
    assert_eq!(bench.device.memory(90_000).capacity(), 0);
}
