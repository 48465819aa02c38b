//! One row against one device.

use std::time::{Duration, Instant};

use aliot::{ErrorKind, EventKind, Qos, Token};

use crate::row::{Effect, Phase, Row, Verdict};
use crate::support::PATIENCE;
use crate::support::broker::{Broker, CONNECT, Connection, PUBACK, Packet, SUBSCRIBE, UNSUBSCRIBE};
use crate::support::device::{Device, Said, config};

/// The first delay of the back-off is this at most, and half of it at least.
const FIRST_DELAY: Duration = Duration::from_millis(6);

pub(crate) fn run(row: &Row) {
    let broker = Broker::listen();
    let mut config = config(broker.address());
    config.set_reconnect(FIRST_DELAY, FIRST_DELAY * 10).unwrap();
    config.set_clean_session(row.phase != Phase::Resuming);
    let device = Device::new(&config);
    let tokens = operate(&device, row.phase);
    device.client.start().unwrap();
    let mut connection = lead_to(&broker, row.phase);
    let sent_at = Instant::now();
    connection.send(&row.bytes);
    match &row.verdict {
        Verdict::Close(reason) => closes(&broker, &device, connection, sent_at, row.phase, reason),
        Verdict::Accept(effect) => accepts(&device, connection, &tokens, row, effect),
    }
}

/// Queues what the phase is about, so that it is sent under packet id 1.
fn operate(device: &Device, phase: Phase) -> Vec<Token> {
    match phase {
        Phase::Connecting | Phase::Resuming | Phase::Connected => Vec::new(),
        Phase::Publishing => vec![device.publish("a", b"payload")],
        Phase::Subscribing => vec![
            device.subscribe("a", Qos::AtLeastOnce),
            device.subscribe("b", Qos::AtMostOnce),
        ],
        Phase::Unsubscribing => vec![device.client.unsubscribe("a").unwrap()],
    }
}

/// Plays the broker up to the point at which the row's bytes are sent.
fn lead_to(broker: &Broker, phase: Phase) -> Connection {
    if matches!(phase, Phase::Connecting | Phase::Resuming) {
        let mut connection = broker.accept_tcp();
        connection.expect(CONNECT);
        return connection;
    }
    let mut connection = broker.accept(false);
    match phase {
        Phase::Connecting | Phase::Resuming | Phase::Connected => {}
        Phase::Publishing => assert_eq!(connection.expect_publish().id, 1),
        Phase::Subscribing => {
            let packet = connection.expect(SUBSCRIBE);
            let expected = [("a".to_owned(), 1), ("b".to_owned(), 0)];
            assert_eq!((packet.id(), packet.filters()), (1, expected.to_vec()));
        }
        Phase::Unsubscribing => assert_eq!(connection.expect(UNSUBSCRIBE).id(), 1),
    }
    connection
}

/// The device closes, says why, and comes back after the delay that it announces.
fn closes(
    broker: &Broker,
    device: &Device,
    mut connection: Connection,
    sent_at: Instant,
    phase: Phase,
    reason: &str,
) {
    connection.expect_end();
    let kind = match phase {
        Phase::Connecting | Phase::Resuming => EventKind::ConnectFailed,
        _ => EventKind::Disconnected,
    };
    let event = device.event(kind, 1);
    let error = event.error.expect("a reason");
    assert_eq!(error.kind(), ErrorKind::Protocol, "{error}");
    assert!(
        event.text.contains(reason),
        "{reason:?} is not in {:?}",
        event.text
    );
    let delay = event.retry_in.expect("the next attempt has a time");
    assert!(
        (FIRST_DELAY / 2..=FIRST_DELAY).contains(&delay),
        "{delay:?} is not the back-off's"
    );
    let mut next = broker.accept_tcp();
    assert!(sent_at.elapsed() >= delay, "the next attempt came too soon");
    next.expect(CONNECT);
    // Nothing of the packet reached the application.
    let said = device.said();
    let nothing = |said: &Said| !matches!(said, Said::Message(..) | Said::Completion(_));
    assert!(said.iter().all(nothing), "{said:#?}");
}

/// The connection lives, shown by a QoS 1 message that is sent and acknowledged on it.
fn accepts(
    device: &Device,
    mut connection: Connection,
    tokens: &[Token],
    row: &Row,
    effect: &Effect,
) {
    if *effect == Effect::Delivered {
        let packet = packet_of(&row.bytes);
        let expected = packet.publish();
        if expected.qos == 1 {
            assert_eq!(connection.expect(PUBACK).body, expected.id.to_be_bytes());
        }
        let (route, received) = device.messages(1).remove(0);
        assert_eq!(route, "", "it matches no subscription");
        assert_eq!(
            (
                received.topic,
                received.payload,
                received.qos as u8,
                received.duplicate
            ),
            (
                expected.topic,
                expected.payload,
                expected.qos,
                expected.duplicate
            )
        );
    }
    let probe = device.publish("probe", b"is anybody there?");
    let sent = connection.expect_publish();
    assert_eq!((sent.topic.as_str(), sent.duplicate), ("probe", false));
    connection.puback(sent.id);
    assert_eq!(device.completion(probe), Ok(None));
    match effect {
        Effect::Connected | Effect::Delivered => assert!(tokens.is_empty()),
        Effect::Ignored => {
            // What the device waits for, it waits for still.
            assert_eq!(completions(device), 1, "{:#?}", device.said());
        }
        Effect::Completed => {
            for &token in tokens {
                assert_eq!(device.completion(token), Ok(None));
            }
        }
        Effect::Granted(granted) => {
            for (&token, granted) in tokens.iter().zip(granted) {
                match granted {
                    Some(qos) => {
                        let qos = Qos::try_from(*qos).unwrap();
                        assert_eq!(device.completion(token), Ok(Some(qos)));
                    }
                    None => assert_eq!(
                        device.completion(token).unwrap_err().kind(),
                        ErrorKind::SubscriptionRefused
                    ),
                }
            }
        }
    }
    let messages = device
        .said()
        .iter()
        .filter(|said| matches!(said, Said::Message(..)))
        .count();
    assert_eq!(messages, usize::from(*effect == Effect::Delivered));
    for kind in [EventKind::Disconnected, EventKind::ConnectFailed] {
        let ended = |said: &Said| matches!(said, Said::Event(event) if event.kind == kind);
        assert!(!device.said().iter().any(ended), "{:#?}", device.said());
    }
    device.client.wait_connected(PATIENCE).unwrap();
}

fn completions(device: &Device) -> usize {
    let said = device.said();
    said.iter()
        .filter(|said| matches!(said, Said::Completion(_)))
        .count()
}

/// The packet in `bytes`, read by hand.
fn packet_of(bytes: &[u8]) -> Packet {
    let length_len = bytes[1..].iter().position(|byte| byte & 0x80 == 0).unwrap() + 1;
    Packet {
        first: bytes[0],
        body: bytes[1 + length_len..].to_vec(),
    }
}
