//! Config: every default, boundary and difference between the profiles.

use std::time::Duration;

use crate::proto::trust::ClientCertificate;
use crate::{
    Config, Endpoint, Error, ErrorKind, HexCase, Identity, OutboxPolicy, Profile, SignMethod,
    TakeOverPolicy,
};

fn identity() -> Identity {
    Identity::with_secret("pk", "device", "secret").unwrap()
}

fn config() -> Config {
    Config::new(&identity(), &Endpoint::instance("iot-1").unwrap()).unwrap()
}

fn private() -> Config {
    let mut config = config();
    config.use_private_profile();
    config
}

fn text<T: std::fmt::Debug>(result: Result<T, Error>) -> String {
    result.unwrap_err().to_string()
}

fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

#[test]
fn the_defaults_are_the_documented_ones() {
    let config = config();
    assert_eq!(config.keep_alive(), Some(Duration::from_secs(300)));
    assert_eq!(config.ack_timeout(), Duration::from_secs(30));
    assert_eq!(config.ping_timeout(), Duration::from_secs(10));
    let backoff = config.reconnect().unwrap();
    assert_eq!((backoff.min(), backoff.max()), (ms(1000), ms(120_000)));
    assert_eq!(config.connects_per_minute(), Some(5));
    assert_eq!(
        (config.outbox_operations(), config.outbox_bytes()),
        (1000, 4_194_304)
    );
    assert_eq!(
        (config.inbox_messages(), config.inbox_bytes()),
        (100, 4_194_304)
    );
    assert_eq!(config.window(), 100);
    assert!(config.clean_session());
    assert!(!config.is_private());
    assert_eq!(*config.profile(), Profile::platform());
    assert_eq!(config.identity(), &identity());
    assert_eq!(config.endpoint().port(), 8883);
}

#[test]
fn a_config_is_not_made_of_what_cannot_be_dialled() {
    let mut endpoint = Endpoint::instance("iot-1").unwrap();
    endpoint.poison(Error::argument("ca_pem", "is empty"));
    assert_eq!(text(Config::new(&identity(), &endpoint)), "ca_pem is empty");
    let verbatim = Identity::verbatim("id", "user", "pass").unwrap();
    assert!(Config::new(&verbatim, &Endpoint::region("cn-shanghai").unwrap()).is_err());
}

#[test]
fn the_keep_alive_is_30_to_1200_seconds_on_the_platform() {
    let mut config = config();
    for (seconds, expected) in [
        (0, "keep_alive_s is 0: the platform allows 30 to 1200"),
        (29, "keep_alive_s is 29: the platform allows 30 to 1200"),
        (1201, "keep_alive_s is 1201: the platform allows 30 to 1200"),
    ] {
        assert_eq!(text(config.set_keep_alive_s(seconds)), expected);
    }
    for seconds in [30, 1200] {
        config.set_keep_alive_s(seconds).unwrap();
        assert_eq!(config.keep_alive_s(), seconds);
    }
}

#[test]
fn the_private_profile_has_every_keep_alive_and_none() {
    let mut config = private();
    for seconds in [1, 29, 1201, 65_535] {
        config.set_keep_alive_s(seconds).unwrap();
        assert_eq!(
            config.keep_alive(),
            Some(Duration::from_secs(seconds.into()))
        );
    }
    config.set_keep_alive_s(0).unwrap();
    assert_eq!(config.keep_alive(), None);
}

#[test]
fn timeouts_have_their_ranges() {
    let mut config = config();
    assert!(config.set_ack_timeout(ms(999)).is_err());
    assert!(config.set_ack_timeout(ms(1000)).is_ok());
    assert!(config.set_ack_timeout(ms(3_600_000)).is_ok());
    assert_eq!(
        text(config.set_ack_timeout(ms(3_600_001))),
        "ack_timeout is 3600.001s: the library allows 1s to 3600s"
    );
    assert!(config.set_ping_timeout(ms(99)).is_err());
    assert!(config.set_ping_timeout(ms(100)).is_ok());
    assert!(config.set_ping_timeout(ms(120_000)).is_ok());
    assert!(config.set_ping_timeout(ms(120_001)).is_err());
    assert_eq!(config.ping_timeout(), ms(120_000));
}

#[test]
fn what_was_set_is_what_is_read() {
    let mut config = config();
    config.set_ack_timeout(ms(1500)).unwrap();
    assert_eq!(config.ack_timeout(), ms(1500));
    config.set_window(7).unwrap();
    assert_eq!(config.window(), 7);
    assert_eq!(config.reconnect_max(), ms(120_000));
    config.set_reconnect(ms(1000), ms(2000)).unwrap();
    assert_eq!(config.reconnect_max(), ms(2000));
    config.set_reconnect(ms(0), ms(0)).unwrap();
    assert_eq!(config.reconnect_max(), ms(0));
    assert_eq!(config.outbox_policy(), OutboxPolicy::RefuseNew);
    config.set_outbox_policy(OutboxPolicy::DropOldest);
    assert_eq!(config.outbox_policy(), OutboxPolicy::DropOldest);
    assert_eq!(config.take_over_policy(), TakeOverPolicy::Wait);
    config.set_take_over_policy(TakeOverPolicy::Fight);
    assert_eq!(config.take_over_policy(), TakeOverPolicy::Fight);
}

#[test]
fn what_credentials_are_made_with_is_read_as_it_was_set() {
    let mut config = config();
    assert!(config.clean_session());
    config.set_clean_session(false);
    assert!(!config.clean_session());
    config.set_sign_method(SignMethod::HmacSha1);
    assert_eq!(config.sign_method(), SignMethod::HmacSha1);
    config.set_hex_case(HexCase::Lower);
    assert_eq!(config.hex_case(), HexCase::Lower);
}

#[test]
fn a_certificate_whose_owner_is_not_known_counts_connects_by_itself() {
    assert_eq!(config().budget_key(), identity().budget_key());
    let mut endpoint = Endpoint::instance("iot-1").unwrap();
    let [certificate, key] = ["cert.pem", "key.pem"].map(Into::into);
    endpoint.tls_mut().client = Some(ClientCertificate::Files { certificate, key });
    let unknown = Identity::with_certificate("", "").unwrap();
    let mut config = Config::new(&unknown, &endpoint).unwrap();
    assert_eq!(config.budget_key(), "certificate cert.pem");
    let owner = Identity::with_certificate("pk", "device").unwrap();
    config.set_identity(owner.clone());
    assert_eq!(config.identity(), &owner);
    assert_eq!(config.budget_key(), identity().budget_key());
}

#[test]
fn rates_are_none_by_default_those_of_the_platform_or_1_to_10000() {
    let mut config = config();
    assert_eq!(config.rates(), [None, None]);
    config.use_platform_rates();
    assert_eq!(config.rates(), [Some(30), Some(10)]);
    for rates in [[Some(1), Some(10_000)], [None, Some(1)], [None, None]] {
        let [qos_0, qos_1] = rates;
        config.set_rates(qos_0, qos_1).unwrap();
        assert_eq!(config.rates(), rates);
    }
    for refused in [0, 10_001] {
        assert!(config.set_rates(Some(refused), None).is_err());
        assert!(config.set_rates(None, Some(refused)).is_err());
    }
    assert_eq!(config.rates(), [None, None]);
}

#[test]
fn delays_are_1_s_to_1_h_and_from_1_ms_on_the_private_profile() {
    let mut config = config();
    assert!(config.set_reconnect(ms(999), ms(2000)).is_err());
    assert!(config.set_reconnect(ms(0), ms(2000)).is_err());
    assert!(config.set_reconnect(ms(1000), ms(0)).is_err());
    assert!(config.set_reconnect(ms(1000), ms(3_600_001)).is_err());
    assert_eq!(
        text(config.set_reconnect(ms(3000), ms(2000))),
        "reconnect_min is 3s: reconnect_max, 2s, is its limit"
    );
    assert!(config.set_reconnect(ms(1000), ms(3_600_000)).is_ok());
    config.set_reconnect(ms(0), ms(0)).unwrap();
    assert_eq!(config.reconnect(), None);
    assert!(private().set_reconnect(ms(1), ms(1)).is_ok());
}

#[test]
fn the_budget_is_1_to_5_on_the_platform_and_free_on_the_private_profile() {
    let mut config = config();
    assert!(config.set_connects_per_minute(Some(0)).is_err());
    assert_eq!(
        text(config.set_connects_per_minute(Some(6))),
        "connects_per_minute is 6: the platform allows 1 to 5"
    );
    assert_eq!(
        text(config.set_connects_per_minute(None)),
        "connects_per_minute is without limit: the platform allows 1 to 5"
    );
    config.set_connects_per_minute(Some(5)).unwrap();
    let mut private = private();
    assert_eq!(private.connects_per_minute(), None);
    for allowed in [Some(1), Some(60_000), None] {
        private.set_connects_per_minute(allowed).unwrap();
        assert_eq!(private.connects_per_minute(), allowed);
    }
    assert!(private.set_connects_per_minute(Some(0)).is_err());
    assert!(private.set_connects_per_minute(Some(60_001)).is_err());
}

#[test]
fn a_queue_holds_at_least_one_largest_packet() {
    let mut config = config();
    assert_eq!(
        text(config.set_outbox_limit(1, 262_287)),
        "outbox_bytes is 262287: at least 262288, one largest packet, is needed"
    );
    assert_eq!(
        text(config.set_outbox_limit(0, 262_288)),
        "outbox_operations is 0: at least 1, one operation, is needed"
    );
    config.set_outbox_limit(1, 262_288).unwrap();
    assert_eq!(
        (config.outbox_operations(), config.outbox_bytes()),
        (1, 262_288)
    );
    assert!(config.set_inbox_limit(1, 262_287).is_err());
    assert!(config.set_inbox_limit(0, 262_288).is_err());
    config.set_inbox_limit(1, 262_288).unwrap();
    assert_eq!(
        (config.inbox_messages(), config.inbox_bytes()),
        (1, 262_288)
    );
    assert_eq!(config.profile().payload_len, 262_144);
    config.set_outbox_limit(1, 1 << 20).unwrap();
    config.set_inbox_limit(1, 1 << 20).unwrap();
    assert_eq!(
        config.profile().payload_len,
        262_144,
        "more room changes no rule"
    );
    let mut private = private();
    private.set_topic_limit(100).unwrap();
    assert!(private.set_outbox_limit(1, 115).is_err());
    private.set_outbox_limit(1, 116).unwrap();
    assert_eq!(private.profile().payload_len, 0);
}

#[test]
fn the_window_is_1_to_16384() {
    let mut config = config();
    assert!(config.set_window(0).is_err());
    assert!(config.set_window(1).is_ok());
    assert!(config.set_window(16_384).is_ok());
    assert!(config.set_window(16_385).is_err());
}

#[test]
fn the_limits_of_the_platform_are_not_for_the_application_to_change() {
    let mut config = config();
    for refused in [
        config.set_payload_limit(1),
        config.set_topic_limit(1),
        config.set_subscription_limit(1),
        config.set_filters_per_packet(1),
        config.set_stable_after(ms(1)),
    ] {
        let error = refused.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidState);
        assert!(
            error.to_string().contains("only the private profile"),
            "{error}"
        );
    }
    assert_eq!(*config.profile(), Profile::platform());
}

#[test]
fn the_private_profile_has_a_setter_for_each_limit() {
    let mut config = private();
    config.set_topic_limit(128).unwrap();
    config.set_payload_limit(1000).unwrap();
    config.set_subscription_limit(3).unwrap();
    config.set_filters_per_packet(2).unwrap();
    config.set_stable_after(ms(5)).unwrap();
    let profile = config.profile();
    assert_eq!((profile.topic_len, profile.payload_len), (128, 1000));
    assert_eq!((profile.subscriptions, profile.filters_per_packet), (3, 2));
    assert_eq!(profile.stable_after, ms(5));
    assert!(config.set_topic_limit(0).is_err());
    assert!(config.set_topic_limit(65_536).is_err());
    assert!(config.set_subscription_limit(0).is_err());
    assert!(config.set_filters_per_packet(0).is_err());
    assert!(config.set_filters_per_packet(4095).is_ok());
    assert!(config.set_filters_per_packet(4096).is_err());
    assert!(config.set_stable_after(ms(3_600_001)).is_err());
}

#[test]
fn private_payloads_are_as_long_as_the_queues_have_room_for() {
    let mut config = private();
    let rest = 65_535 + 16;
    assert_eq!(config.profile().payload_len, (4 << 20) - rest);
    config.set_outbox_limit(10, 100_000).unwrap();
    assert_eq!(config.profile().payload_len, 100_000 - rest);
    config.set_topic_limit(100).unwrap();
    assert_eq!(config.profile().packet_len(), 100_000);
    assert!(config.clone().set_payload_limit(100_000 - 116).is_ok());
    assert!(config.set_payload_limit(100_000 - 115).is_err());
    config.set_outbox_limit(10, 1 << 30).unwrap();
    config.set_inbox_limit(10, 1 << 30).unwrap();
    assert_eq!(config.profile().packet_len(), 268_435_455);
    config.set_payload_limit(1 << 20).unwrap();
    assert!(config.set_outbox_limit(10, 1 << 20).is_err());
    config.set_outbox_limit(10, (1 << 20) + 116).unwrap();
    assert_eq!(config.profile().payload_len, 1 << 20);
    assert_eq!(
        text(config.set_topic_limit(101)),
        "topic_limit is 101: the room of outbox and inbox allows 1 to 100"
    );
}

#[test]
fn what_was_set_before_the_private_profile_stays() {
    let mut config = config();
    config.set_keep_alive_s(45).unwrap();
    config.set_connects_per_minute(Some(2)).unwrap();
    config.set_outbox_limit(7, 300_000).unwrap();
    config.set_reconnect(ms(2000), ms(3000)).unwrap();
    config.use_private_profile();
    assert!(config.is_private());
    assert_eq!(config.keep_alive_s(), 45);
    assert_eq!(config.connects_per_minute(), Some(2));
    assert_eq!(
        (config.outbox_operations(), config.outbox_bytes()),
        (7, 300_000)
    );
    assert_eq!(config.reconnect().unwrap().min(), ms(2000));
    assert_eq!(config.profile().packet_len(), 300_000);
    config.set_topic_limit(50).unwrap();
    config.use_private_profile();
    assert_eq!(config.profile().topic_len, 50);
}
