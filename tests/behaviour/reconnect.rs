//! What survives the loss of a connection: everything that was accepted.

use std::time::Duration;

use aliot::{ErrorKind, EventKind, Qos};

use crate::support::PATIENCE;
use crate::support::broker::{Broker, SUBSCRIBE, publish};
use crate::support::device::{Device, Said, config};

#[test]
fn unacknowledged_publish_is_sent_again_after_the_platform_lost_the_session() {
    let broker = Broker::listen();
    let device = Device::start(&config(broker.address()));
    let mut first = broker.accept(false);
    let token = device.publish("a/b", b"21.5");
    let lost = first.expect_publish();
    first.hang_up();

    let mut second = broker.accept(false);
    let again = second.expect_publish();
    assert_eq!((&again.topic, &again.payload), (&lost.topic, &lost.payload));
    assert!(!again.duplicate, "a new session knows no duplicates");
    assert_ne!(again.id, lost.id, "a fresh id");
    second.puback(again.id);
    assert_eq!(device.completion(token), Ok(None));
}

#[test]
fn a_resumed_session_gets_the_same_id_with_dup_set_before_anything_new() {
    let broker = Broker::listen();
    let mut config = config(broker.address());
    config.set_clean_session(false);
    let device = Device::start(&config);
    let mut first = broker.accept(false);
    let tokens = [b"1", b"2", b"3"].map(|payload| device.publish("a", payload));
    let sent: Vec<_> = (0..3).map(|_| first.expect_publish()).collect();
    first.puback(sent[1].id);
    assert_eq!(device.completion(tokens[1]), Ok(None));
    first.hang_up();
    device.event(EventKind::Disconnected, 1);
    device.publish("a", b"new");

    let mut second = broker.accept(true);
    for expected in [&sent[0], &sent[2]] {
        let again = second.expect_publish();
        assert_eq!((again.id, &again.payload), (expected.id, &expected.payload));
        assert!(again.duplicate);
        second.puback(again.id);
    }
    let new = second.expect_publish();
    assert_eq!(
        (new.payload.as_slice(), new.duplicate),
        (b"new".as_slice(), false)
    );
    assert_eq!(device.completion(tokens[2]), Ok(None));
}

#[test]
fn subscriptions_come_back_without_a_session_and_stay_with_one() {
    let broker = Broker::listen();
    let mut config = config(broker.address());
    config.set_clean_session(false);
    let device = Device::start(&config);
    let mut connection = broker.accept(false);
    let token = device.subscribe("a/+", Qos::AtLeastOnce);
    let id = connection.expect(SUBSCRIBE).id();
    connection.suback(id, &[1]);
    device.completion(token).unwrap();
    connection.hang_up();

    let mut connection = broker.accept(true);
    connection.send(&publish("a/1", b"kept", 0, 0));
    device.messages(1);
    device.publish("probe", b"");
    assert_eq!(
        connection.expect_publish().topic,
        "probe",
        "no SUBSCRIBE came before it"
    );
    connection.hang_up();

    let mut connection = broker.accept(false);
    let packet = connection.expect(SUBSCRIBE);
    assert_eq!(packet.filters(), [("a/+".to_owned(), 1)]);
}

#[test]
fn a_refused_filter_is_not_asked_for_again() {
    let broker = Broker::listen();
    let device = Device::new(&config(broker.address()));
    let (good, bad) = (
        device.subscribe("good", Qos::AtMostOnce),
        device.subscribe("bad", Qos::AtMostOnce),
    );
    device.client.start().unwrap();
    let mut connection = broker.accept(false);
    let id = connection.expect(SUBSCRIBE).id();
    connection.suback(id, &[0, 0x80]);
    device.completion(good).unwrap();
    device.completion(bad).unwrap_err();
    connection.hang_up();
    let packet = broker.accept(false).expect(SUBSCRIBE);
    assert_eq!(packet.filters(), [("good".to_owned(), 0)]);
}

#[test]
fn a_restored_subscription_that_is_refused_becomes_an_event() {
    let broker = Broker::listen();
    let device = Device::start(&config(broker.address()));
    let mut connection = broker.accept(false);
    let token = device.subscribe("a", Qos::AtMostOnce);
    let id = connection.expect(SUBSCRIBE).id();
    connection.suback(id, &[0]);
    device.completion(token).unwrap();
    connection.hang_up();
    let mut connection = broker.accept(false);
    let id = connection.expect(SUBSCRIBE).id();
    connection.suback(id, &[0x80]);
    let event = device.event(EventKind::SubscriptionLost, 1);
    assert_eq!(event.text, "a", "the filter, to subscribe with again");
    let error = event.error.unwrap();
    assert_eq!(error.kind(), ErrorKind::SubscriptionRefused);
}

#[test]
fn a_subscription_made_around_a_cut_is_not_lost() {
    let broker = Broker::listen();
    let device = Device::start(&config(broker.address()));
    let mut connection = broker.accept(false);
    let token = device.subscribe("a", Qos::AtLeastOnce);
    connection.expect(SUBSCRIBE);
    connection.reset();
    let mut connection = broker.accept(false);
    let packet = connection.expect(SUBSCRIBE);
    assert_eq!(packet.filters(), [("a".to_owned(), 1)], "once");
    connection.suback(packet.id(), &[1]);
    assert_eq!(device.completion(token), Ok(Some(Qos::AtLeastOnce)));
}

#[test]
fn an_unsubscription_made_offline_is_remembered() {
    let broker = Broker::listen();
    let mut config = config(broker.address());
    config.set_clean_session(false);
    let device = Device::start(&config);
    let mut connection = broker.accept(false);
    let token = device.subscribe("a", Qos::AtMostOnce);
    let id = connection.expect(SUBSCRIBE).id();
    connection.suback(id, &[0]);
    device.completion(token).unwrap();
    device.client.stop(Duration::ZERO).unwrap();
    device.client.wait_stopped(PATIENCE).unwrap();
    let token = device.client.unsubscribe("a").unwrap();
    device.client.start().unwrap();
    let mut connection = broker.accept(true);
    let id = connection.expect(crate::support::broker::UNSUBSCRIBE).id();
    connection.unsuback(id);
    assert_eq!(device.completion(token), Ok(None));
}

#[test]
fn a_connection_cut_in_the_middle_of_a_hundred_messages_loses_none() {
    let broker = Broker::listen();
    let device = Device::new(&config(broker.address()));
    device.subscribe("down/#", Qos::AtLeastOnce);
    let tokens: Vec<_> = (0..100_u8).map(|n| device.publish("up", &[n])).collect();
    device.client.start().unwrap();
    let mut connection = broker.accept(false);
    let id = connection.expect(SUBSCRIBE).id();
    connection.suback(id, &[1]);
    let mut received = std::collections::BTreeSet::new();
    for _ in 0..50 {
        let publish = connection.expect_publish();
        received.insert(publish.payload[0]);
        if publish.payload[0].is_multiple_of(2) {
            connection.puback(publish.id);
        }
    }
    connection.reset();
    let mut connection = broker.accept(false);
    let id = connection.expect(SUBSCRIBE).id();
    connection.suback(id, &[1]);
    connection.send(&publish("down/x", b"subscriptions are back", 1, 1));
    device.messages(1);
    let all_done = |said: &[Said]| {
        let done = said
            .iter()
            .filter(|said| matches!(said, Said::Completion(_)))
            .count();
        (done == 101).then_some(())
    };
    connection.0.set_nonblocking(false).unwrap();
    let reader = std::thread::spawn(move || {
        while let Some(packet) = connection.next() {
            if packet.kind() == crate::support::broker::PUBLISH {
                let publish = packet.publish();
                received.insert(publish.payload[0]);
                connection.puback(publish.id);
            }
        }
        received
    });
    device.wait("100 messages and the subscription complete", all_done);
    for token in tokens {
        assert_eq!(device.completion(token), Ok(None));
    }
    drop(device);
    let received = reader.join().unwrap();
    assert_eq!(received, (0..100).collect());
}

#[test]
fn acknowledgements_sent_before_the_close_count() {
    let broker = Broker::listen();
    let device = Device::start(&config(broker.address()));
    let mut connection = broker.accept(false);
    let token = device.publish("a", b"x");
    let id = connection.expect_publish().id;
    connection.puback(id);
    connection.hang_up();
    device.completion(token).unwrap();
    device.event(EventKind::Disconnected, 1);
    let said = device.said();
    let completion = said
        .iter()
        .position(|said| matches!(said, Said::Completion(_)));
    let disconnected = said.iter().position(
        |said| matches!(said, Said::Event(event) if event.kind == EventKind::Disconnected),
    );
    assert!(completion < disconnected, "{said:#?}");
    // Nothing is sent again.
    let mut connection = broker.accept(false);
    device.publish("a", b"next");
    assert_eq!(connection.expect_publish().payload, b"next");
}

#[test]
fn the_platform_profile_connects_five_times_a_minute_at_most() {
    let broker = Broker::listen();
    let identity = aliot::Identity::verbatim("budget", "user", "password").unwrap();
    let mut endpoint = aliot::Endpoint::host("127.0.0.1", broker.address().port()).unwrap();
    endpoint.set_dangerous_plaintext();
    let config = aliot::Config::new(&identity, &endpoint).unwrap();
    let device = Device::start(&config);
    for n in 1..=5 {
        broker.accept(false);
        device.event(EventKind::Disconnected, n);
        device.client.retry_now().unwrap();
    }
    assert!(!broker.is_called_within(Duration::from_millis(300)));
    // Stopping and starting, or another client of the same identity, is no way around it.
    device.client.stop(Duration::ZERO).unwrap();
    device.client.wait_stopped(PATIENCE).unwrap();
    device.client.start().unwrap();
    let other = Device::start(&config);
    assert!(!broker.is_called_within(Duration::from_millis(300)));
    drop(other);
}

#[test]
fn being_accepted_and_closed_three_times_in_a_row_counts_as_taken_over() {
    let broker = Broker::listen();
    let device = Device::start(&config(broker.address()));
    for n in 1..=3 {
        broker.accept(false).hang_up();
        let error = device.event(EventKind::Disconnected, n).error.unwrap();
        let expected = if n < 3 {
            ErrorKind::ClosedByPeer
        } else {
            ErrorKind::TakenOver
        };
        assert_eq!(error.kind(), expected, "close number {n}");
    }
    device.event(EventKind::TakenOver, 1);
}

#[test]
fn a_client_that_is_to_stop_when_taken_over_stops() {
    let broker = Broker::listen();
    let mut config = config(broker.address());
    config.set_take_over_policy(aliot::TakeOverPolicy::Stop);
    let device = Device::start(&config);
    let mut connection = broker.accept(false);
    connection.send(&publish("/ext/notify", br#"{"title":"kick"}"#, 0, 0));
    connection.hang_up();
    assert_eq!(device.event(EventKind::Disconnected, 1).retry_in, None);
    device.event(EventKind::Stopped, 1);
}

#[test]
fn a_kick_notice_becomes_taken_over_and_waits_the_longest() {
    let broker = Broker::listen();
    let mut config = config(broker.address());
    let hour = Duration::from_secs(3600);
    config
        .set_reconnect(Duration::from_millis(5), hour)
        .unwrap();
    let device = Device::start(&config);
    let mut connection = broker.accept(false);
    let notice = br#"{"title":"kick","content":"Kicked by the same device"}"#;
    connection.send(&publish("/ext/notify", notice, 0, 0));
    connection.hang_up();
    device.event(EventKind::TakenOver, 1);
    let event = device.event(EventKind::Disconnected, 1);
    assert_eq!(event.error.unwrap().kind(), ErrorKind::TakenOver);
    assert!((hour * 3 / 4..=hour).contains(&event.retry_in.unwrap()));
}
