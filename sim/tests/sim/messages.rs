//! Subscribing, publishing and what the platform's limits do to both.

use aliot_sim::{Error, Qos};

use crate::device::{Device, Ending, PATIENCE, signed, sim, wait_for_line};

#[test]
fn a_device_hears_its_own_messages_with_the_qos_of_the_publisher() {
    let sim = sim();
    let mut device = Device::connected(&sim, &signed(""));
    assert_eq!(device.subscribe(&[("/pk/dn/user/#", 0)]), [0]);
    device.publish("/pk/dn/user/update", b"one", None);
    let message = device.message();
    assert_eq!((message.qos, message.payload.as_slice()), (0, &b"one"[..]));
    device.publish("/pk/dn/user/update", b"two", Some(7));
    // Subscribed with QoS 0 and yet delivered with QoS 1, as on the platform.
    let message = device.message();
    assert_eq!((message.qos, message.payload.as_slice()), (1, &b"two"[..]));
    device.acknowledge(message.id);
    assert_eq!(device.pub_ack(), 7);
    let received = sim.received();
    assert_eq!(received.len(), 2);
    assert_eq!(
        (received[1].qos, received[1].packet_id, received[1].dup),
        (Qos::AtLeastOnce, 7, false)
    );
    assert_eq!(received[0].connection, received[1].connection);
}

#[test]
fn foreign_filters_and_more_than_eight_at_once_are_refused() {
    let sim = sim();
    let mut device = Device::connected(&sim, &signed(""));
    let filters = [
        ("/pk/dn/user/a", 2),
        ("/pk/other/user/a", 1),
        ("#", 0),
        ("/sys/pk/dn/#", 1),
    ];
    assert_eq!(device.subscribe(&filters), [1, 0x80, 0x80, 1]);
    wait_for_line(
        &sim,
        &[
            "refused a subscription of pk/dn to /pk/other/user/a",
            "its own topics",
        ],
    );
    let nine: Vec<String> = (0..9).map(|n| format!("/pk/dn/user/{n}")).collect();
    let nine: Vec<(&str, u8)> = nine.iter().map(|filter| (filter.as_str(), 0)).collect();
    assert_eq!(device.subscribe(&nine), [0x80; 9]);
    wait_for_line(&sim, &["9 filters in one SUBSCRIBE, the limit is 8"]);
    assert_eq!(
        sim.connections()[0].subscriptions,
        ["/pk/dn/user/a", "/sys/pk/dn/#"]
    );
}

#[test]
fn a_device_has_at_most_a_hundred_subscriptions() {
    let sim = sim();
    let mut device = Device::connected(&sim, &signed(""));
    for n in 0..100 {
        assert_eq!(device.subscribe(&[(&format!("/pk/dn/user/{n}"), 1)]), [1]);
    }
    assert_eq!(
        device.subscribe(&[("/pk/dn/user/0", 1), ("/pk/dn/user/100", 1)]),
        [1, 0x80]
    );
    wait_for_line(&sim, &["100 subscriptions"]);
}

#[test]
fn a_forbidden_topic_is_dropped_and_acknowledged_all_the_same() {
    let sim = sim();
    let mut device = Device::connected(&sim, &signed(""));
    for (id, topic, line) in [
        (1, "/pk/other/user/update", "its own topics"),
        (2, "/pk/dn/1/2/3/4/5/6", "8 slashes"),
        (
            3,
            &*format!("/pk/dn/{}", "x".repeat(122)),
            "129 bytes, the limit is 128",
        ),
    ] {
        device.publish(topic, b"x", Some(id));
        assert_eq!(device.pub_ack(), id);
        wait_for_line(&sim, &["dropped a message of pk/dn", line]);
    }
    assert_eq!(sim.received(), []);
}

#[test]
fn the_largest_payload_passes_and_a_larger_one_closes_the_connection() {
    let sim = sim();
    let mut device = Device::connected(&sim, &signed(""));
    assert_eq!(device.subscribe(&[("/pk/dn/user/a", 1)]), [1]);
    let payload = vec![0x5A; 262_144];
    device.publish("/pk/dn/user/a", &payload, None);
    assert_eq!(device.message().payload, payload);
    device.publish("/pk/dn/user/a", &vec![0; 262_145], None);
    device.ending();
    wait_for_line(
        &sim,
        &["disconnected pk/dn", "262145 bytes, the limit is 262144"],
    );
}

#[test]
fn retain_and_qos_2_close_the_connection() {
    let sim = sim();
    for (bytes, line) in [
        (&b"\x31\x0b\0\x09/pk/dn/ux"[..], "retain"),
        (&b"\x34\x0d\0\x09/pk/dn/u/\0\x01"[..], "QoS 2"),
        (&b"\x30\x0a\0\x08/pk/dn/+"[..], "wildcard"),
    ] {
        let mut device = Device::connected(&sim, &signed(""));
        device.send(bytes);
        assert_eq!(device.ending(), Ending::Orderly);
        wait_for_line(&sim, &["disconnected pk/dn", line]);
    }
}

#[test]
fn the_cloud_reaches_subscribed_topics_and_system_topics() {
    let sim = sim();
    assert!(matches!(
        sim.publish("pk", "dn", "user/get", b"x", Qos::AtLeastOnce),
        Err(Error::NotConnected(_))
    ));
    let mut device = Device::connected(&sim, &signed(""));
    assert!(matches!(
        sim.publish("pk", "dn", "user/get", b"x", Qos::AtMostOnce),
        Err(Error::NotSubscribed(topic)) if topic == "/pk/dn/user/get"
    ));
    sim.publish(
        "pk",
        "dn",
        "/sys/pk/dn/thing/service/property/set",
        b"1",
        Qos::AtMostOnce,
    )
    .unwrap();
    assert_eq!(
        device.message().topic,
        "/sys/pk/dn/thing/service/property/set"
    );
    sim.push("pk", "dn", "user/get", b"2", Qos::AtMostOnce)
        .unwrap();
    assert_eq!(device.message().topic, "/pk/dn/user/get");
    device.subscribe(&[("/pk/dn/user/get", 0)]);
    sim.publish("pk", "dn", "user/get", b"3", Qos::AtLeastOnce)
        .unwrap();
    let message = device.message();
    assert_eq!((message.qos, message.dup), (1, false));
    assert_eq!(sim.connections()[0].unacknowledged, 1);
    device.acknowledge(message.id);
    sim.wait_for(|view| view.connections()[0].unacknowledged == 0, PATIENCE)
        .unwrap();
}

#[test]
fn a_hundred_unacknowledged_messages_are_under_way_and_no_more() {
    let sim = sim();
    let mut device = Device::connected(&sim, &signed(""));
    for n in 0..103 {
        sim.push("pk", "dn", "user/get", &[n], Qos::AtLeastOnce)
            .unwrap();
    }
    let ids: Vec<u16> = (0..100).map(|_| device.message().id).collect();
    device.ping();
    assert_eq!(
        (
            sim.connections()[0].unacknowledged,
            sim.connections()[0].waiting
        ),
        (100, 3)
    );
    device.acknowledge(ids[50]);
    assert_eq!(device.message().payload, [100]);
}

#[test]
fn a_kept_session_brings_its_subscriptions_and_messages_back() {
    let sim = sim();
    let mut connect = signed("");
    connect.clean_session = false;
    let mut device = Device::connected(&sim, &connect);
    device.subscribe(&[("/pk/dn/user/get", 1)]);
    sim.publish("pk", "dn", "user/get", b"sent", Qos::AtLeastOnce)
        .unwrap();
    let first = device.message();
    drop(device);
    sim.wait_for(|view| !view.is_connected("pk", "dn"), PATIENCE)
        .unwrap();
    sim.publish("pk", "dn", "user/get", b"kept", Qos::AtLeastOnce)
        .unwrap();
    assert!(
        sim.publish("pk", "dn", "user/get", b"lost", Qos::AtMostOnce)
            .is_err()
    );

    let mut device = Device::open_tcp(&sim);
    device.send(&connect.bytes());
    assert_eq!(device.conn_ack(), (true, 0));
    let again = device.message();
    assert_eq!(
        (again.id, again.dup, again.payload.as_slice()),
        (first.id, true, &b"sent"[..])
    );
    let kept = device.message();
    assert_eq!((kept.dup, kept.payload.as_slice()), (false, &b"kept"[..]));
    device.ping();

    connect.clean_session = true;
    let mut device = Device::connected(&sim, &connect);
    device.ping();
    assert_eq!(sim.connections()[0].subscriptions, Vec::<String>::new());
}

#[test]
fn acknowledgements_can_be_left_out() {
    let sim = sim();
    let mut device = Device::connected(&sim, &signed(""));
    sim.drop_acks("pk", "dn", true);
    device.publish("/pk/dn/user/update", b"x", Some(1));
    device.ping();
    assert_eq!(sim.received().len(), 1);
    sim.drop_acks("pk", "dn", false);
    device.publish("/pk/dn/user/update", b"x", Some(2));
    assert_eq!(device.pub_ack(), 2);
}

#[test]
fn a_client_that_does_not_read_holds_up_nobody_and_is_cut() {
    let sim = sim();
    let lazy = Device::connected(&sim, &signed(""));
    let mut busy = Device::connected(
        &sim,
        &crate::device::signed_as("other", "another-device-secret", "securemode=3"),
    );
    let large = vec![0; 262_144];
    let full = |error: &Error| matches!(error, Error::QueueFull(_));
    let dropped = (0..1000).find_map(|_| {
        sim.push("pk", "dn", "user/get", &large, Qos::AtMostOnce)
            .err()
    });
    assert!(dropped.as_ref().is_some_and(full), "{dropped:?}");
    wait_for_line(&sim, &["dropped a message to pk/dn", "queue is full"]);
    busy.ping();
    assert!(sim.view(|view| view.is_connected("pk", "dn")));
    let cut = (0..1000).find_map(|_| {
        sim.push("pk", "dn", "user/get", &large, Qos::AtLeastOnce)
            .err()
    });
    assert!(cut.is_some());
    sim.wait_for(|view| !view.is_connected("pk", "dn"), PATIENCE)
        .unwrap();
    busy.ping();
    drop(lazy);
}
