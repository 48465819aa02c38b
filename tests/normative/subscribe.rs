//! Sections 3.8 to 3.11 and 4.7: subscriptions and the grammar of topics.

use aliot::{Error, ErrorKind, Qos, Token};

use crate::support::broker::{Broker, SUBSCRIBE, UNSUBSCRIBE};
use crate::support::device::{Device, config};
use crate::{connected, ends_for, lives, refused};

fn subscribe(device: &Device, filter: &str) -> Result<Token, Error> {
    device
        .client
        .subscribe(filter, Qos::AtMostOnce, || Box::new(|_| ()))
}

/// Both calls refuse the filter, and nothing is sent.
fn is_refused(filters: &[&str]) {
    let (_broker, device, mut connection) = connected();
    for filter in filters {
        refused(subscribe(&device, filter), "topic filter");
        refused(device.client.unsubscribe(filter), "topic filter");
    }
    assert!(lives(&device, &mut connection).is_empty());
}

#[test]
fn mqtt_3_8_1_1_the_flags_of_subscribe_are_two() {
    let (_broker, device, mut connection) = connected();
    subscribe(&device, "a").unwrap();
    assert_eq!(connection.expect(SUBSCRIBE).first, 0x82);
}

#[test]
fn mqtt_3_8_3_1_the_filters_of_subscribe_are_utf_8() {
    let (_broker, device, mut connection) = connected();
    subscribe(&device, "é/中/😀/#").unwrap();
    let packet = connection.expect(SUBSCRIBE);
    assert_eq!(packet.filters(), [("é/中/😀/#".to_owned(), 0)]);
}

#[test]
fn mqtt_3_8_3_3_subscribe_has_at_least_one_filter_with_its_quality() {
    let (broker, device, mut connection) = connected();
    for (n, qos) in [Qos::AtMostOnce, Qos::AtLeastOnce].into_iter().enumerate() {
        let token = device.subscribe(&format!("{n}"), qos);
        let packet = connection.expect(SUBSCRIBE);
        assert_eq!(packet.filters(), [(format!("{n}"), qos as u8)]);
        connection.suback(packet.id(), &[qos as u8]);
        device.completion(token).unwrap();
    }
    connection.hang_up();
    let mut connection = broker.accept(false);
    assert_eq!(connection.expect(SUBSCRIBE).filters().len(), 2);
    // A device with nothing to restore sends none.
    let (broker, device, connection) = connected();
    connection.hang_up();
    assert!(lives(&device, &mut broker.accept(false)).is_empty());
}

/// Also when several leave together, and when they are asked for again.
#[test]
fn mqtt_3_8_3_4_the_byte_of_a_filter_is_its_quality_and_nothing_else() {
    let broker = Broker::listen();
    let device = Device::new(&config(broker.address()));
    device.subscribe("a", Qos::AtMostOnce);
    device.subscribe("b", Qos::AtLeastOnce);
    device.client.start().unwrap();
    for _ in 0..2 {
        let mut connection = broker.accept(false);
        let packet = connection.expect(SUBSCRIBE);
        assert_eq!(packet.body[2..], *b"\x00\x01a\x00\x00\x01b\x01");
        connection.suback(packet.id(), &[0, 1]);
        assert!(lives(&device, &mut connection).is_empty());
        connection.hang_up();
    }
}

#[test]
fn mqtt_3_10_1_1_the_flags_of_unsubscribe_are_two() {
    let (_broker, device, mut connection) = connected();
    device.client.unsubscribe("a").unwrap();
    assert_eq!(connection.expect(UNSUBSCRIBE).first, 0xA2);
}

#[test]
fn mqtt_3_10_3_1_the_filters_of_unsubscribe_are_utf_8() {
    let (_broker, device, mut connection) = connected();
    device.client.unsubscribe("é/+").unwrap();
    assert_eq!(
        connection.expect(UNSUBSCRIBE).body[2..],
        *b"\x00\x04\xC3\xA9/+"
    );
}

#[test]
fn mqtt_3_10_3_2_unsubscribe_has_at_least_one_filter() {
    let (_broker, device, mut connection) = connected();
    for n in 0..3 {
        device.client.unsubscribe(&format!("{n}")).unwrap();
    }
    let mut seen = 0;
    while seen < 3 {
        let packet = connection.expect(UNSUBSCRIBE);
        let filters = (packet.body.len() - 2) / 3;
        assert!(filters >= 1);
        seen += filters;
        connection.unsuback(packet.id());
    }
}

#[test]
fn mqtt_3_8_4_5_a_suback_with_more_or_fewer_codes_than_filters_ends_the_connection() {
    for codes in [&[0, 0][..], &[0, 0, 0]] {
        let (_broker, device, mut connection) = connected();
        subscribe(&device, "a").unwrap();
        let id = connection.expect(SUBSCRIBE).id();
        connection.suback(id, codes);
        ends_for(
            &device,
            &mut connection,
            1,
            "return codes answered a SUBSCRIBE with 1 filters",
        );
    }
}

#[test]
fn mqtt_3_8_4_6_a_lower_grant_is_reported() {
    let (_broker, device, mut connection) = connected();
    for granted in [Qos::AtLeastOnce, Qos::AtMostOnce] {
        let token = device.subscribe("a", Qos::AtLeastOnce);
        let id = connection.expect(SUBSCRIBE).id();
        connection.suback(id, &[granted as u8]);
        assert_eq!(device.completion(token), Ok(Some(granted)));
    }
}

#[test]
fn mqtt_3_9_3_1_the_codes_are_those_of_the_filters_in_their_order() {
    let (broker, device, mut connection) = connected();
    // Cut off and connected again, the device asks for all of them in one packet.
    for filter in ["a", "b", "c"] {
        let token = device.subscribe(filter, Qos::AtLeastOnce);
        let id = connection.expect(SUBSCRIBE).id();
        connection.suback(id, &[1]);
        device.completion(token).unwrap();
    }
    connection.hang_up();
    let mut connection = broker.accept(false);
    let packet = connection.expect(SUBSCRIBE);
    assert_eq!(packet.filters().len(), 3);
    connection.suback(packet.id(), &[0x80, 1, 0x80]);
    for (n, (filter, _)) in [&packet.filters()[0], &packet.filters()[2]]
        .iter()
        .enumerate()
    {
        let event = device.event(aliot::EventKind::SubscriptionLost, n + 1);
        assert_eq!(event.text, *filter);
    }
}

#[test]
fn mqtt_3_9_3_2_0x80_fails_one_filter_and_an_unknown_code_the_connection() {
    let (_broker, device, mut connection) = connected();
    let token = device.subscribe("a", Qos::AtLeastOnce);
    let id = connection.expect(SUBSCRIBE).id();
    connection.suback(id, &[0x80]);
    let error = device.completion(token).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::SubscriptionRefused);
    lives(&device, &mut connection);
    for code in [3, 0x7F, 0x81, 0xFF] {
        let (_broker, device, mut connection) = connected();
        subscribe(&device, "a").unwrap();
        let id = connection.expect(SUBSCRIBE).id();
        connection.suback(id, &[code]);
        ends_for(&device, &mut connection, 1, "the return code");
    }
}

#[test]
fn mqtt_4_7_1_1_a_topic_to_publish_to_has_no_wildcards() {
    let (_broker, device, mut connection) = connected();
    for topic in ["+", "#", "a/+/b", "a/#", "a+b", "a#"] {
        for qos in [Qos::AtMostOnce, Qos::AtLeastOnce] {
            refused(device.client.publish(topic, b"", qos, true), "topic");
        }
    }
    assert!(lives(&device, &mut connection).is_empty());
}

#[test]
fn mqtt_4_7_1_2_a_hash_is_the_last_level_and_a_level_of_its_own() {
    is_refused(&["a#", "a/#/b", "#/a", "##", "a/b#"]);
    let (_broker, device, _connection) = connected();
    for filter in ["#", "a/#", "/#", "+/#"] {
        subscribe(&device, filter).unwrap();
    }
}

#[test]
fn mqtt_4_7_1_3_a_plus_is_a_level_of_its_own() {
    is_refused(&["a+", "+a", "a/b+/c", "++"]);
    let (_broker, device, _connection) = connected();
    for filter in ["+", "+/a", "a/+/b", "/+", "+/+"] {
        subscribe(&device, filter).unwrap();
    }
}

#[test]
fn mqtt_4_7_3_1_topics_and_filters_have_at_least_one_character() {
    is_refused(&[""]);
    let (_broker, device, _connection) = connected();
    refused(
        device.client.publish("", b"", Qos::AtMostOnce, false),
        "topic",
    );
    device
        .client
        .publish("/", b"", Qos::AtMostOnce, false)
        .unwrap();
    subscribe(&device, "/").unwrap();
}

#[test]
fn mqtt_4_7_3_2_topics_and_filters_have_no_nul() {
    is_refused(&["\0", "a\0b", "a/\0/#"]);
    let (_broker, device, _connection) = connected();
    refused(
        device.client.publish("a\0", b"", Qos::AtMostOnce, false),
        "topic",
    );
}

#[test]
fn mqtt_4_7_3_3_topics_and_filters_have_at_most_65535_bytes() {
    let (longest, longer) = ("t".repeat(65_535), "t".repeat(65_536));
    is_refused(&[&longer, &"é".repeat(32_768)]);
    let (_broker, device, mut connection) = connected();
    refused(
        device.client.publish(&longer, b"", Qos::AtLeastOnce, true),
        "topic",
    );
    subscribe(&device, &longest).unwrap();
    assert_eq!(
        connection.expect(SUBSCRIBE).filters(),
        [(longest.clone(), 0)]
    );
    device.publish(&longest, b"payload");
    let publish = connection.expect_publish();
    assert_eq!(
        (publish.topic, publish.payload.as_slice()),
        (longest, &b"payload"[..])
    );
}
