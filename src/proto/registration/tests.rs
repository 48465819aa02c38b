use bytes::BytesMut;
use proptest::prelude::*;

use super::*;
use crate::proto::codec::{Packet, decode, encode_publish, split};
use crate::proto::qos::Qos;

fn instance() -> Endpoint {
    Endpoint::instance("iot-060a0bbc").unwrap()
}

fn registration(endpoint: &Endpoint, kind: RegistrationKind) -> Registration {
    Registration::new(endpoint, "al123456789", "device1", "h1nQFYPZS0mW", kind).unwrap()
}

fn preregistered() -> Registration {
    registration(&instance(), RegistrationKind::Preregistered)
}

fn publish(topic: &str, payload: &str) -> Publish {
    let mut bytes = BytesMut::new();
    encode_publish(&mut bytes, topic, payload.as_bytes(), Qos::AtMostOnce);
    let (frame, header) = split(&mut bytes, 1 << 20).unwrap().unwrap();
    match decode(frame, header).unwrap() {
        Packet::Publish(publish) => publish,
        other => panic!("{other:?}"),
    }
}

fn client_id(registration: &Registration) -> String {
    let credentials = registration.credentials(0x1234).unwrap();
    credentials.client_id().to_owned()
}

#[test]
fn an_instance_registers_with_securemode_minus_2_and_its_id() {
    let expected = "al123456789.device1|securemode=-2,authType=register,random=0000000000001234,\
                    signmethod=hmacsha256,instanceId=iot-060a0bbc|";
    assert_eq!(client_id(&preregistered()), expected);
    let host = Endpoint::host("iot-060a0bbc.mqtt.iothub.aliyuncs.com", 1883).unwrap();
    let by_host = registration(&host, RegistrationKind::Preregistered);
    assert_eq!(client_id(&by_host), expected);
}

#[test]
fn a_region_or_another_host_registers_with_securemode_2_and_no_instance() {
    let expected = "al123456789.device1|securemode=2,authType=regnwl,random=0000000000001234,\
                    signmethod=hmacsha256|";
    for endpoint in [
        Endpoint::region("cn-shanghai").unwrap(),
        Endpoint::host("mqtt.example.org", 8883).unwrap(),
        Endpoint::host("a.b.mqtt.iothub.aliyuncs.com", 8883).unwrap(),
    ] {
        let registration = registration(&endpoint, RegistrationKind::CreateDevice);
        assert_eq!(client_id(&registration), expected);
    }
}

#[test]
fn what_the_instance_kind_decides_can_be_set() {
    let mut registration = preregistered();
    registration.set_mode(RegistrationMode::Public);
    registration.set_instance_id(None).unwrap();
    registration.set_client_id("12345").unwrap();
    registration.set_sign_method(SignMethod::HmacSha1).unwrap();
    assert_eq!(
        client_id(&registration),
        "12345|securemode=2,authType=register,random=0000000000001234,signmethod=hmacsha1|"
    );
    registration.set_instance_id(Some("iot-1")).unwrap();
    let text = client_id(&registration);
    assert!(text.starts_with("12345|securemode=2,") && text.ends_with(",instanceId=iot-1|"));
    registration.set_mode(RegistrationMode::Instance);
    registration.set_instance_id(None).unwrap();
    assert!(client_id(&registration).starts_with("12345|securemode=-2,"));
    assert!(registration.set_instance_id(Some("iot|1")).is_err());
    assert!(registration.set_client_id("a|b").is_err());
    assert!(registration.set_sign_method(SignMethod::Sha256).is_err());
    for connects in [0, 60_001] {
        let error = registration.set_connects_per_minute(Some(connects));
        let text = format!("connects_per_minute is {connects}: the library allows 1 to 60000");
        assert_eq!(error.unwrap_err().to_string(), text);
    }
}

#[test]
fn a_default_client_id_of_more_than_64_characters_is_refused() {
    let kind = RegistrationKind::Preregistered;
    let registration = |name: &str| Registration::new(&instance(), "pk", name, "ps", kind).unwrap();
    let mut longest = registration(&"n".repeat(61));
    assert!(client_id(&longest).starts_with(&format!("pk.{}|", "n".repeat(61))));
    longest = registration(&"n".repeat(62));
    let error = longest.credentials(0).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidArgument);
    assert!(error.to_string().contains("client_id is \"pk.n"), "{error}");
    longest.set_client_id("short").unwrap();
    assert!(client_id(&longest).starts_with("short|"));
}

#[test]
fn it_dials_the_endpoint_and_counts_as_a_connect_of_the_device() {
    let mut registration = preregistered();
    let endpoint = registration.endpoint();
    assert_eq!(endpoint.instance_id(), Some("iot-060a0bbc"));
    let host = "iot-060a0bbc.mqtt.iothub.aliyuncs.com";
    assert_eq!(registration.host_name().unwrap(), host);
    let device = Identity::with_secret("al123456789", "device1", "s3cret").unwrap();
    assert_eq!(registration.budget_key(), device.budget_key());
    assert_eq!(registration.connects_per_minute(), Some(5));
    for connects in [Some(1), Some(7), None] {
        registration.set_connects_per_minute(connects).unwrap();
        assert_eq!(registration.connects_per_minute(), connects);
    }
}

#[test]
fn the_signature_covers_device_name_product_key_and_random_alone() {
    let credentials = preregistered().credentials(0x1234).unwrap();
    assert_eq!(credentials.username(), "device1&al123456789");
    let content = b"deviceNamedevice1productKeyal123456789random0000000000001234";
    let expected = sign(
        SignMethod::HmacSha256,
        HexCase::Upper,
        b"h1nQFYPZS0mW",
        content,
    );
    assert_eq!(credentials.password(), &expected);
}

#[test]
fn registration_needs_tls_and_names_that_the_platform_takes() {
    let kind = RegistrationKind::Preregistered;
    let mut plain = instance();
    plain.set_dangerous_plaintext();
    for (endpoint, key, name, secret, words) in [
        (&plain, "pk", "dn", "ps", "endpoint is without TLS"),
        (&instance(), "", "dn", "ps", "product_key is empty"),
        (&instance(), "pk", "d/n", "ps", "device_name"),
        (&instance(), "pk", "dn", "", "product_secret is 0 bytes"),
    ] {
        let error = Registration::new(endpoint, key, name, secret, kind).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidArgument);
        assert!(error.to_string().contains(words), "{error}");
    }
}

#[test]
fn the_secret_is_in_no_text() {
    assert!(!format!("{:?}", preregistered()).contains("h1nQFYPZS0mW"));
}

#[test]
fn either_topic_brings_either_identity_whatever_else_the_answer_says() {
    let secret = r#"{"productKey":"al123456789","deviceName":"device1","deviceSecret":"s3cret"}"#;
    let token = r#"{"clientId":"c.1","productKey":"al123456789","deviceToken":"t0ken",
        "deviceName":"device1","region":{"id":["cn-shanghai",1]},"x":null}"#;
    let created = registration(&instance(), RegistrationKind::CreateDevice);
    for topic in TOPICS {
        let identity = preregistered().answer(&publish(topic, secret));
        let expected = Identity::with_secret("al123456789", "device1", "s3cret").unwrap();
        assert_eq!(identity, Some(Ok(expected)));
        let identity = created.answer(&publish(topic, token));
        let expected = Identity::with_token("al123456789", "device1", "c.1", "t0ken").unwrap();
        assert_eq!(identity, Some(Ok(expected)));
    }
    assert_eq!(
        preregistered().answer(&publish("/ext/notify", secret)),
        None
    );
}

#[test]
fn an_answer_that_makes_no_identity_says_what_is_wrong_and_nothing_secret() {
    let long = format!(r#"{{"x":"{}"}}"#, "s".repeat(ANSWER_LEN));
    for (payload, words) in [
        ("", "it is not a JSON object"),
        ("null", "it is not a JSON object"),
        (&*long, "it has 16392 bytes"),
        (r#"{"productKey":"al123456789"}"#, "no text deviceName"),
        (
            r#"{"productKey":"al123456789","deviceName":"device2","deviceSecret":"s3cret"}"#,
            r#"its deviceName is "device2", not ours"#,
        ),
        (
            r#"{"productKey":"pk","deviceName":"device1","deviceSecret":"s3cret"}"#,
            r#"its productKey is "pk", not ours"#,
        ),
        (
            r#"{"productKey":"al123456789","deviceName":"device1","deviceToken":"s3cret"}"#,
            "no text deviceSecret",
        ),
        (
            r#"{"productKey":"al123456789","deviceName":"device1","deviceSecret":12}"#,
            "no text deviceSecret",
        ),
        (
            r#"{"productKey":"al123456789","deviceName":"device1","deviceSecret":""}"#,
            "device_secret is 0 bytes long",
        ),
        (
            r#"{"productKey":"al123456789","deviceName":"device1","deviceSecret":"s3cret\n"}"#,
            "control character",
        ),
    ] {
        let answer = preregistered().answer(&publish(TOPICS[0], payload));
        let error = answer.unwrap().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::RegistrationMalformed);
        let text = error.to_string();
        assert!(text.contains(words), "\"{text}\" lacks \"{words}\"");
        assert!(!text.contains("s3cret"), "{text}");
    }
}

#[test]
fn an_answer_may_be_as_long_as_the_limit() {
    let start =
        r#"{"productKey":"al123456789","deviceName":"device1","deviceSecret":"s3cret","x":""#;
    let filled = "x".repeat(ANSWER_LEN - start.len() - 2);
    let payload = format!("{start}{filled}\"}}");
    let answer = preregistered().answer(&publish(TOPICS[0], &payload));
    assert!(answer.unwrap().is_ok(), "{} bytes", payload.len());
}

#[test]
fn each_refusal_has_its_kind_and_only_a_fault_of_the_platform_may_pass() {
    assert_eq!(Registration::refusal(0), None);
    for (code, kind, retryable) in [
        (1, ErrorKind::RegistrationRefused, false),
        (2, ErrorKind::RegistrationRefused, false),
        (3, ErrorKind::ServerUnavailable, true),
        (4, ErrorKind::RegistrationRefused, false),
        (5, ErrorKind::RegistrationRefused, false),
        (6, ErrorKind::Protocol, true),
    ] {
        let error = Registration::refusal(code).unwrap();
        assert_eq!(
            (error.kind(), error.kind().is_retryable()),
            (kind, retryable)
        );
        assert!(error.to_string().contains(&format!(" {code}")), "{error}");
    }
}

proptest! {
    #[test]
    fn no_answer_at_all_does_harm(payload in prop::collection::vec(any::<u8>(), 0..300)) {
        prop_assert!(preregistered().identity(&payload).is_err());
    }
}
