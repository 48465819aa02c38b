//! What the platform sends a device before it is connected, which is JSON, against serde_json.

use aliot::fuzz_support::{
    Packet, decode, encode_publish, identity_from_notice, json_members, split,
};
use aliot::{Endpoint, ErrorKind, Identity, Qos, Registration, RegistrationKind, Secret};
use bytes::BytesMut;
use serde_json::Value;

const NAMES: [&str; 3] = ["a", "productKey", "deviceSecret"];

/// The first byte chooses topic and kind, the others are the answer.
pub fn registration(bytes: &[u8]) {
    let Some((&choice, text)) = bytes.split_first() else {
        return;
    };
    members(text);
    answer(choice, text);
    if let Some(identity) = identity_from_notice(text) {
        let object: Value = serde_json::from_slice(text).expect("it was read");
        let [key, name] = ["productKey", "deviceName"].map(|name| object[name].as_str());
        assert_eq!(key, Some(identity.product_key()));
        assert_eq!(name, Some(identity.device_name()));
    }
}

fn members(text: &[u8]) {
    let ours = json_members(text, NAMES);
    let theirs = serde_json::from_slice::<Value>(text);
    match (ours, theirs) {
        (Ok(found), Ok(Value::Object(object))) => {
            for (name, found) in NAMES.iter().zip(found) {
                let expected = object.get(*name).and_then(Value::as_str);
                assert_eq!(found.as_ref().map(Secret::expose), expected, "{name}");
            }
        }
        // Numbers beyond the range of a double are JSON, and no number to serde_json.
        (Ok(_), Err(error)) => assert!(error.to_string().contains("out of range"), "{error}"),
        (Ok(_), Ok(other)) => panic!("taken as an object: {other}"),
        // We refuse a member that is there twice, and what is nested deeply.
        (Err("a member is there twice" | "it is nested too deeply"), _) => {}
        (Err(problem), Ok(Value::Object(object))) => panic!("{problem}: {object:?}"),
        (Err(_), _) => {}
    }
}

fn answer(choice: u8, text: &[u8]) {
    let endpoint = Endpoint::region("cn-shanghai").expect("it exists");
    let kind = if choice & 1 == 0 {
        RegistrationKind::Preregistered
    } else {
        RegistrationKind::CreateDevice
    };
    let registration = Registration::new(&endpoint, "pk", "dn", "secret", kind).expect("valid");
    let topic = match choice >> 1 & 3 {
        0 => "/ext/regnwl",
        1 => "/ext/other",
        _ => "/ext/register",
    };
    let mut wire = BytesMut::new();
    encode_publish(&mut wire, topic, text, Qos::AtMostOnce);
    let (frame, header_len) = split(&mut wire, usize::MAX)
        .expect("well-formed")
        .expect("whole");
    let Ok(Packet::Publish(publish)) = decode(frame, header_len) else {
        panic!("a PUBLISH of ours is none");
    };
    match registration.answer(&publish) {
        None => assert_eq!(topic, "/ext/other"),
        Some(Err(error)) => {
            assert_eq!(error.kind(), ErrorKind::RegistrationMalformed);
            check_error(&error.to_string(), text);
        }
        Some(Ok(identity)) => check(&identity, kind, text),
    }
}

/// Names are repeated, secrets are not.
fn check_error(error: &str, text: &[u8]) {
    let object = serde_json::from_slice::<Value>(text).unwrap_or_default();
    for name in ["deviceSecret", "deviceToken"] {
        // Any other text may be one of ours.
        if let Some(secret) = object[name]
            .as_str()
            .filter(|secret| secret.contains("TOPSECRET"))
        {
            let names = ["productKey", "deviceName"].map(|name| object[name].to_string());
            let is_name = names.iter().any(|name| name.contains(secret));
            assert!(is_name || !error.contains(secret), "{error}");
        }
    }
}

fn check(identity: &Identity, kind: RegistrationKind, text: &[u8]) {
    assert_eq!(
        (identity.product_key(), identity.device_name()),
        ("pk", "dn")
    );
    let has_token = kind == RegistrationKind::CreateDevice;
    assert_eq!(identity.has_token(), has_token);
    // What serde_json cannot hold, a number out of range, is compared with nothing.
    if let Ok(object) = serde_json::from_slice::<Value>(text) {
        let member = if has_token {
            "deviceToken"
        } else {
            "deviceSecret"
        };
        assert_eq!(object[member].as_str(), Some(identity.secret().expose()));
    }
}
