//! What is sent in CONNECT: every way to authenticate, every refusal.

use crate::{Config, Credentials, Endpoint, Error, ErrorKind, HexCase, Identity, SignMethod};

const SECRET: &str = "secret";

fn identity() -> Identity {
    Identity::with_secret("pk", "device", SECRET).unwrap()
}

fn config_of(identity: &Identity) -> Config {
    Config::new(identity, &Endpoint::instance("iot-1").unwrap()).unwrap()
}

fn config() -> Config {
    config_of(&identity())
}

fn token() -> Identity {
    Identity::with_token("pk", "device", "cid", "device-token").unwrap()
}

fn plaintext(identity: &Identity) -> Config {
    let mut endpoint = Endpoint::host("127.0.0.1", 1883).unwrap();
    endpoint.set_dangerous_plaintext();
    Config::new(identity, &endpoint).unwrap()
}

fn client_id(config: &Config) -> String {
    config.credentials().unwrap().client_id().to_owned()
}

fn fields(credentials: &Credentials) -> (&str, &str, &str) {
    (
        credentials.client_id(),
        credentials.username(),
        credentials.password().expose(),
    )
}

fn text<T: std::fmt::Debug>(result: Result<T, Error>) -> String {
    result.unwrap_err().to_string()
}

#[test]
fn the_default_credentials_need_no_clock_and_ask_for_the_kick_notice() {
    assert_eq!(
        fields(&config().credentials().unwrap()),
        (
            "pk.device|securemode=2,signmethod=hmacsha256,timestamp=2524608000000,ext=2|",
            "device&pk",
            "2EAB47D05EC94FAB1A34E7E9F54AEBD34A1E15770F932E05300193007E0091E9",
        )
    );
}

#[test]
fn the_example_of_the_page_comes_out_to_the_letter() {
    let mut config = plaintext(&identity());
    config.set_client_id("12345").unwrap();
    config.set_timestamp(Some("789")).unwrap();
    config.set_sign_method(SignMethod::HmacSha1);
    config.set_kick_notice(false);
    assert_eq!(
        fields(&config.credentials().unwrap()),
        (
            "12345|securemode=3,signmethod=hmacsha1,timestamp=789|",
            "device&pk",
            "FAFD82A3D602B37FB0FA8B7892F24A477F851A14",
        )
    );
}

#[test]
fn timestamp_and_client_id_can_be_left_out_of_the_signature() {
    let mut config = config();
    config.set_client_id("12345").unwrap();
    config.set_timestamp(None).unwrap();
    config.set_hex_case(HexCase::Lower);
    let credentials = config.credentials().unwrap();
    assert_eq!(
        credentials.client_id(),
        "12345|securemode=2,signmethod=hmacsha256,ext=2|"
    );
    assert_eq!(
        credentials.password().expose(),
        "c8cb3dcb7159682438e5fd9a9c34f398e41bb8edb6f222795e307bafee151090"
    );
    config.set_sign_client_id(false);
    config.set_sign_method(SignMethod::HmacSha1);
    let credentials = config.credentials().unwrap();
    assert_eq!(
        credentials.password().expose(),
        "ef1338106ebf173868958116f51797c8b9149855"
    );
}

#[test]
fn every_sign_method_names_itself_in_the_client_id() {
    for (method, signmethod, password) in [
        (
            SignMethod::HmacMd5,
            "hmacmd5",
            "14b198324fe55e1d3c88f2e705e201ee",
        ),
        (
            SignMethod::HmacSha1,
            "hmacsha1",
            "fafd82a3d602b37fb0fa8b7892f24a477f851a14",
        ),
        (
            SignMethod::HmacSha256,
            "hmacsha256",
            "6074a46a91b1ebb2cc4ea42790ad0e80202c9843859fc292e57c4eb19fad9e57",
        ),
        (
            SignMethod::Sha256,
            "sha256",
            "616393e41b5065e42ebfbbae30808c20af3fbd7f4939068fbde19f20566bbc8c",
        ),
    ] {
        let mut config = config();
        config.set_client_id("12345").unwrap();
        config.set_timestamp(Some("789")).unwrap();
        config.set_sign_method(method);
        config.set_hex_case(HexCase::Lower);
        let credentials = config.credentials().unwrap();
        let expected = format!("12345|securemode=2,signmethod={signmethod},timestamp=789,ext=2|");
        assert_eq!(credentials.client_id(), expected);
        assert_eq!(credentials.password().expose(), password);
        assert_eq!(
            (config.sign_method(), config.hex_case()),
            (method, HexCase::Lower)
        );
    }
}

#[test]
fn a_device_token_is_sent_as_it_is() {
    let mut config = config_of(&token());
    assert_eq!(
        fields(&config.credentials().unwrap()),
        (
            "cid|securemode=-2,authType=connwl,ext=2|",
            "device&pk",
            "device-token",
        )
    );
    config.set_kick_notice(false);
    assert_eq!(client_id(&config), "cid|securemode=-2,authType=connwl|");
    config.add_client_param("_v", "1").unwrap();
    assert_eq!(
        client_id(&config),
        "cid|securemode=-2,authType=connwl,_v=1|"
    );
    let error = config.set_client_id("other").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidState);
}

#[test]
fn verbatim_fields_are_sent_as_they_are() {
    for (username, password) in [("user", "pass"), ("", "")] {
        let identity = Identity::verbatim("a|b=1|", username, password).unwrap();
        let mut config = config_of(&identity);
        assert_eq!(
            fields(&config.credentials().unwrap()),
            ("a|b=1|", username, password)
        );
        for error in [config.set_client_id("a"), config.add_client_param("k", "v")] {
            assert_eq!(error.unwrap_err().kind(), ErrorKind::InvalidState);
        }
    }
}

#[test]
fn added_parameters_follow_in_order_and_are_not_signed() {
    let mut config = config();
    let before = config.credentials().unwrap();
    config.add_client_param("_v", "c-0.1").unwrap();
    config.add_client_param("_ss", "1").unwrap();
    config.add_client_param("lan", "").unwrap();
    let after = config.credentials().unwrap();
    assert_eq!(
        after.client_id(),
        "pk.device|securemode=2,signmethod=hmacsha256,timestamp=2524608000000,ext=2,_v=c-0.1,_ss=1,lan=|"
    );
    assert_eq!(after.password(), before.password());
}

#[test]
fn the_parameters_of_the_library_and_doubled_ones_are_refused() {
    let mut config = config();
    for key in [
        "securemode",
        "signmethod",
        "timestamp",
        "ext",
        "authType",
        "authtype",
        "EXT",
    ] {
        let error = config.add_client_param(key, "1").unwrap_err();
        let expected = format!("key is {key:?}: the library sets this parameter");
        assert_eq!(error.to_string(), expected);
    }
    config.add_client_param("mid", "1").unwrap();
    assert_eq!(
        text(config.add_client_param("mid", "2")),
        "key is \"mid\": this parameter was added before"
    );
    for bad in ["a|b", "a,b", "a=b", "a\nb"] {
        assert!(config.add_client_param(bad, "1").is_err(), "{bad:?}");
        assert!(config.add_client_param("k", bad).is_err(), "{bad:?}");
    }
    assert!(config.add_client_param("", "1").is_err());
    assert!(client_id(&config).ends_with("ext=2,mid=1|"));
}

#[test]
fn the_whole_client_id_fits_what_mqtt_can_carry() {
    let mut config = config();
    let rest = 65_535 - client_id(&config).len() - ",k=".len();
    assert!(config.add_client_param("k", &"v".repeat(rest + 1)).is_err());
    config.add_client_param("k", &"v".repeat(rest)).unwrap();
    assert_eq!(client_id(&config).len(), 65_535);
    let message = text(config.add_client_param("l", ""));
    assert!(
        message.len() < 200 && message.ends_with("MQTT allows 65535"),
        "{message}"
    );
}

#[test]
fn a_client_id_has_1_to_64_characters() {
    let mut config = config();
    assert!(config.set_client_id("").is_err());
    config.set_client_id(&"é".repeat(64)).unwrap();
    assert!(client_id(&config).starts_with(&("é".repeat(64) + "|")));
    let message = text(config.set_client_id(&"a".repeat(65)));
    assert!(
        message.ends_with("65 characters long: the platform allows 1 to 64"),
        "{message}"
    );
    for bad in ["a|b", "a,b", "a=b", "a\tb"] {
        assert!(config.set_client_id(bad).is_err(), "{bad:?}");
    }
}

#[test]
fn a_default_client_id_that_is_too_long_asks_for_another() {
    let names =
        |len: usize| Identity::with_secret(&"p".repeat(32), &"d".repeat(len), SECRET).unwrap();
    assert!(config_of(&names(31)).credentials().is_ok());
    let mut config = config_of(&names(32));
    let message = text(config.credentials());
    assert!(
        message.ends_with("the platform allows 64, set a shorter one"),
        "{message}"
    );
    config.set_client_id("short").unwrap();
    assert!(config.credentials().is_ok());
}

#[test]
fn a_timestamp_is_decimal_digits() {
    let mut config = config();
    for bad in ["", "-1", "1.5", "12a", "١", &"1".repeat(21)] {
        assert!(config.set_timestamp(Some(bad)).is_err(), "{bad:?}");
    }
    assert!(config.set_timestamp(Some(&"1".repeat(20))).is_ok());
}

#[test]
fn no_secret_appears_in_debug() {
    for identity in [
        identity(),
        token(),
        Identity::verbatim("id", "user", "hunter2").unwrap(),
    ] {
        let config = config_of(&identity);
        let credentials = config.credentials().unwrap();
        let shown = format!("{config:?} {credentials:?}");
        assert!(!shown.contains("\"secret\""), "{shown}");
        assert!(!shown.contains(credentials.password().expose()), "{shown}");
        assert!(shown.contains("***"), "{shown}");
    }
}
