//! The platform's side: what devices ask is answered, and what they are asked is matched.

use std::time::Duration;

use aliot_sim::{Error, Options, Sim};
use serde_json::{Value, json};

use crate::device::{Device, PATIENCE, signed, sim, sim_with, wait_for_line};

pub(crate) fn connected(sim: &Sim) -> Device {
    Device::connected(sim, &signed(",ext=3"))
}

/// What the platform answers to a message on this topic.
fn asked(device: &mut Device, topic: &str, payload: &Value) -> (String, Value) {
    device.publish(topic, payload.to_string().as_bytes(), None);
    let answer = device.message();
    assert_eq!(answer.qos, 0);
    (
        answer.topic,
        serde_json::from_slice(&answer.payload).unwrap(),
    )
}

pub(crate) fn alink(device: &mut Device, path: &str, params: Value) -> Value {
    let topic = format!("/sys/pk/dn/thing/{path}");
    let request = json!({"id": "12", "version": "1.0", "params": params});
    let (reply, answer) = asked(device, &topic, &request);
    assert_eq!(reply, format!("{topic}_reply"));
    assert_eq!(answer["id"], "12");
    let method = format!("thing.{}", path.replace('/', "."));
    assert_eq!(answer["method"], method.as_str());
    answer
}

#[test]
fn the_time_is_told() {
    let sim = sim();
    let mut device = connected(&sim);
    let request = json!({"deviceSendTime": "1571724098000"});
    let (topic, answer) = asked(&mut device, "/ext/ntp/pk/dn/request", &request);
    assert_eq!(topic, "/ext/ntp/pk/dn/response");
    assert_eq!(answer["deviceSendTime"], "1571724098000");
    for name in ["serverRecvTime", "serverSendTime"] {
        assert!(answer[name].as_str().unwrap().parse::<u64>().unwrap() > 1_700_000_000_000);
    }
}

#[test]
fn properties_events_tags_and_wanted_values_are_answered() {
    let sim = sim();
    let mut device = connected(&sim);
    let answer = alink(
        &mut device,
        "event/property/post",
        json!({"t": {"value": 21, "time": 1}}),
    );
    assert_eq!(
        (&answer["code"], &answer["data"]),
        (&json!(200), &json!({}))
    );
    assert_eq!(
        alink(&mut device, "event/alarm/post", json!({"value": {}}))["code"],
        200
    );
    let batch = json!({"properties": {}, "events": {}});
    assert_eq!(
        alink(&mut device, "event/property/batch/post", batch)["code"],
        200
    );
    assert_eq!(
        alink(&mut device, "event/property/post", json!(1))["code"],
        460
    );

    let tags = json!([{"attrKey": "room", "attrValue": "7"}, {"attrKey": "x", "attrValue": "y"}]);
    assert_eq!(alink(&mut device, "deviceinfo/update", tags)["code"], 200);
    assert_eq!(
        alink(&mut device, "deviceinfo/delete", json!([{"attrKey": "x"}]))["code"],
        200
    );
    let answer = alink(&mut device, "deviceinfo/get", json!([{"attrKey": "room"}]));
    assert_eq!(
        answer["data"],
        json!([{"attrKey": "room", "attrValue": "7"}])
    );

    assert!(sim.desire("pk", "dn", r#"{"light": 1}"#).unwrap());
    let set = device.message();
    assert_eq!(set.topic, "/sys/pk/dn/thing/service/property/set");
    let answer = alink(&mut device, "property/desired/get", json!(["light"]));
    assert_eq!(answer["data"], json!({"light": {"value": 1, "version": 1}}));
    alink(
        &mut device,
        "property/desired/delete",
        json!({"light": {"version": 1}}),
    );
    let answer = alink(&mut device, "property/desired/get", json!(["light"]));
    assert_eq!(answer["data"], json!({}));
    let twin: Value = serde_json::from_str(&sim.twin("pk", "dn")).unwrap();
    assert_eq!(
        (&twin["properties"]["t"], &twin["tags"]["room"]),
        (&json!(21), &json!("7"))
    );
}

#[test]
fn a_device_that_wants_no_answer_gets_none_and_a_broken_one_is_told() {
    let sim = sim();
    let mut device = connected(&sim);
    let topic = "/sys/pk/dn/thing/event/property/post";
    let quiet = json!({"id": "1", "params": {"a": 1}, "sys": {"ack": 0}});
    device.publish(topic, quiet.to_string().as_bytes(), None);
    device.ping();
    device.publish(topic, b"{", None);
    let answer: Value = serde_json::from_slice(&device.message().payload).unwrap();
    assert_eq!(answer["code"], 460);
    wait_for_line(
        &sim,
        &["answered thing.event.property.post of pk/dn with code 460"],
    );
    let silent = sim_with(Options {
        answers: false,
        ..Options::default()
    });
    let mut device = connected(&silent);
    device.publish(topic, b"{}", None);
    device.ping();
}

#[test]
fn a_shadow_is_kept_told_and_changed() {
    let sim = sim();
    let mut device = connected(&sim);
    let update = json!({"method": "update", "state": {"reported": {"c": "red"}}, "version": 1});
    let (topic, answer) = asked(&mut device, "/shadow/update/pk/dn", &update);
    assert_eq!(topic, "/shadow/get/pk/dn");
    assert_eq!(answer["payload"]["status"], "success");
    let (_, answer) = asked(&mut device, "/shadow/update/pk/dn", &update);
    assert_eq!(answer["payload"]["content"]["errorcode"], "409");
    assert_eq!(
        sim.desire_shadow("pk", "dn", r#"{"c": "green"}"#).unwrap(),
        2
    );
    let control: Value = serde_json::from_slice(&device.message().payload).unwrap();
    assert_eq!(
        (&control["method"], &control["version"]),
        (&json!("control"), &json!(2))
    );
    let (_, whole) = asked(
        &mut device,
        "/shadow/update/pk/dn",
        &json!({"method": "get"}),
    );
    let expected = json!({"reported": {"c": "red"}, "desired": {"c": "green"}});
    assert_eq!(whole["payload"]["state"], expected);
}

/// Answers the next message of the platform with what `answer` makes of it.
fn answering(
    mut device: Device,
    answer: impl Fn(&str, &[u8]) -> (String, Vec<u8>) + Send + 'static,
) -> std::thread::JoinHandle<Device> {
    std::thread::spawn(move || {
        let message = device.message();
        let (topic, payload) = answer(&message.topic, &message.payload);
        device.publish(&topic, &payload, None);
        device
    })
}

#[test]
fn calls_are_matched_with_their_answers() {
    let sim = sim();
    let device = connected(&sim);
    let thread = answering(device, |topic, payload| {
        assert!(topic.starts_with("/sys/pk/dn/rrpc/request/"), "{topic}");
        (
            topic.replace("request", "response"),
            [b"re: ", payload].concat(),
        )
    });
    let answer = sim.rrpc(
        "pk",
        "dn",
        None,
        b"how?",
        PATIENCE.min(Duration::from_secs(8)),
    );
    assert_eq!(answer.unwrap(), b"re: how?");
    let device = thread.join().unwrap();

    let thread = answering(device, |topic, _| {
        assert!(
            topic.starts_with("/ext/rrpc/") && topic.ends_with("/pk/dn/user/ask"),
            "{topic}"
        );
        (topic.to_owned(), b"custom".to_vec())
    });
    let topic = Some("/pk/dn/user/ask");
    let answer = sim
        .rrpc("pk", "dn", topic, b"", Duration::from_secs(8))
        .unwrap();
    assert_eq!(answer, b"custom");
    let device = thread.join().unwrap();

    let reply = |topic: &str, payload: &[u8]| {
        let question: Value = serde_json::from_slice(payload).unwrap();
        let answer = json!({"id": question["id"], "code": 200, "data": question["params"]});
        (format!("{topic}_reply"), answer.to_string().into_bytes())
    };
    let thread = answering(device, reply);
    let answer = sim
        .set_properties("pk", "dn", r#"{"a": 1}"#, Duration::from_secs(8))
        .unwrap();
    let answer: Value = serde_json::from_slice(&answer).unwrap();
    assert_eq!(answer["data"], json!({"a": 1}));
    let device = thread.join().unwrap();

    let thread = answering(device, reply);
    let answer = sim.call_service("pk", "dn", "reboot", "{}", false).unwrap();
    assert!(serde_json::from_slice::<Value>(&answer).unwrap()["code"] == 200);
    let device = thread.join().unwrap();

    let thread = answering(device, |topic, _| {
        assert!(topic.starts_with("/ext/rrpc/"), "{topic}");
        assert!(
            topic.ends_with("/sys/pk/dn/thing/service/reboot"),
            "{topic}"
        );
        (topic.to_owned(), b"{}".to_vec())
    });
    assert_eq!(
        sim.call_service("pk", "dn", "reboot", "{}", true).unwrap(),
        b"{}"
    );
    thread.join().unwrap();
}

#[test]
fn a_call_has_a_deadline_and_wants_a_device_that_takes_it() {
    let sim = sim();
    let brief = Duration::from_millis(50);
    let call = |topic, timeout| sim.rrpc("pk", "dn", topic, b"", timeout);
    assert!(matches!(call(None, brief), Err(Error::NotConnected(_))));
    let mut device = Device::connected(&sim, &signed(""));
    assert!(matches!(call(None, brief), Err(Error::Timeout)));
    wait_for_line(&sim, &["no answer of pk/dn on /sys/pk/dn/rrpc/response/"]);
    // What comes too late is an ordinary message.
    let late = device.message().topic.replace("request", "response");
    device.publish(&late, b"late", Some(1));
    assert_eq!(device.pub_ack(), 1);
    let custom = call(Some("/pk/dn/user/x"), brief);
    assert!(matches!(custom, Err(Error::InvalidArgument(text)) if text.contains("ext=1")));
    let long = call(None, Duration::from_secs(9));
    assert!(matches!(long, Err(Error::InvalidArgument(text)) if text.contains("8000 ms")));
}

#[test]
fn a_broadcast_reaches_every_device_or_those_that_subscribed() {
    let sim = sim();
    let mut device = connected(&sim);
    let other = crate::device::signed_as(
        "other",
        "another-device-secret",
        "securemode=3,signmethod=hmacsha256",
    );
    let mut other = Device::connected(&sim, &other);
    assert_eq!(other.subscribe(&[("/broadcast/pk/news", 1)]), [1]);
    assert_eq!(sim.broadcast("pk", None, b"all").unwrap(), 2);
    for (device, name) in [(&mut device, "dn"), (&mut other, "other")] {
        let message = device.message();
        let prefix = format!("/sys/pk/{name}/broadcast/request/");
        assert!(message.topic.starts_with(&prefix), "{}", message.topic);
    }
    assert_eq!(sim.broadcast("pk", Some("news"), b"some").unwrap(), 1);
    assert_eq!(other.message().topic, "/broadcast/pk/news");
    device.ping();
    let large = sim.broadcast("pk", None, &vec![0; 65_537]);
    assert!(matches!(large, Err(Error::InvalidArgument(_))));
}

#[test]
fn messages_beyond_the_rate_are_dropped_in_silence_and_logged() {
    let sim = sim_with(Options {
        rate_limits: true,
        ..Options::default()
    });
    let mut device = connected(&sim);
    let start = std::time::Instant::now();
    for id in 1..=60 {
        device.publish("/pk/dn/user/update", b"x", Some(id));
        assert_eq!(device.pub_ack(), id);
    }
    let seconds = start.elapsed().as_secs() as usize + 1;
    wait_for_line(
        &sim,
        &[
            "dropped a message of pk/dn",
            "rate limiter: 11 messages of QoS 1",
        ],
    );
    let passed = sim.received().len();
    assert!(
        passed >= 10 && passed <= 10 * (seconds + 1),
        "{passed} in {seconds} s"
    );
    let mut sent = 0;
    let refused = loop {
        match sim.publish("pk", "dn", "/sys/pk/dn/x", b"", aliot_sim::Qos::AtMostOnce) {
            Ok(()) => sent += 1,
            Err(error) => break error,
        }
    };
    assert!(
        matches!(refused, Error::RateLimited(_)) && sent >= 50,
        "{sent}"
    );
}
