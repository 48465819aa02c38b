//! Topics: what is allowed, what matches, what the builders make.

use super::*;

fn identity() -> Identity {
    Identity::with_secret("pk", "dn", "secret").unwrap()
}

fn platform(topic: &str) -> Result<(), Error> {
    check_topic(topic, "pk", &Profile::platform())
}

fn private(topic: &str) -> Result<(), Error> {
    check_topic(topic, "pk", &Profile::private())
}

#[test]
fn a_filter_matches_exactly_the_topics_of_the_standard() {
    for (filter, topic, expected) in [
        ("a", "a", true),
        ("a", "A", false),
        ("a", "b", false),
        ("a", "a/", false),
        ("a/", "a", false),
        ("a/", "a/", true),
        ("/a", "a", false),
        ("/a", "/a", true),
        ("a/b", "a/b", true),
        ("a/b", "a/b/c", false),
        ("a//b", "a//b", true),
        ("a//b", "a/b", false),
        ("+", "a", true),
        ("+", "", true),
        ("+", "/a", false),
        ("+", "a/b", false),
        ("/+", "/a", true),
        ("/+", "/", true),
        ("+/+", "/a", true),
        ("a/+", "a/b", true),
        ("a/+", "a/", true),
        ("a/+", "a", false),
        ("a/+", "a/b/c", false),
        ("a/+/c", "a/b/c", true),
        ("a/+/c", "a//c", true),
        ("a/+/c", "a/b/d", false),
        ("+/b/#", "a/b/c/d", true),
        ("a/#", "a", true),
        ("a/#", "a/", true),
        ("a/#", "a/b/c", true),
        ("a/#", "ab", false),
        ("#", "a/b/c", true),
        ("#", "/", true),
        ("#", "$SYS/a", false),
        ("+/a", "$SYS/a", false),
        ("+", "$SYS", false),
        ("$SYS/#", "$SYS/a", true),
        ("$SYS/+", "$SYS/a", true),
        ("a/+", "a/$b", true),
        ("a/#", "a/$b", true),
        ("/+/é/#", "/ü/é/日本", true),
        ("日本/+", "日本/語", true),
        ("日本/+", "日木/語", false),
        ("é", "e\u{301}", false),
    ] {
        let parsed = TopicFilter::parse(filter).unwrap();
        assert_eq!(parsed.matches(topic), expected, "{filter} and {topic}");
    }
}

#[test]
fn a_wildcard_is_a_whole_level_and_the_hash_the_last_one() {
    for filter in [
        "+", "#", "/", "a/+/b", "+/+", "a/#", "/#", "+/#", "a b", "$x/#",
    ] {
        assert!(TopicFilter::parse(filter).is_ok(), "{filter}");
    }
    for filter in [
        "", "a+", "+a", "a#", "#/a", "a/#/b", "##", "++", "a/b+/c", "a\0", "a\n",
    ] {
        assert!(TopicFilter::parse(filter).is_err(), "{filter:?}");
    }
    let error = TopicFilter::parse("a/#/b").unwrap_err();
    assert_eq!(
        error.to_string(),
        "topic filter is \"a/#/b\": '#' is allowed as the last level only"
    );
}

#[test]
fn a_filter_without_wildcards_is_literal() {
    assert!(TopicFilter::parse("/pk/dn/user/get").unwrap().is_literal());
    assert!(!TopicFilter::parse("/pk/dn/user/+").unwrap().is_literal());
    assert!(!TopicFilter::parse("#").unwrap().is_literal());
}

#[test]
fn mqtt_alone_limits_a_filter_until_the_profile_is_asked() {
    let long = TopicFilter::parse("a".repeat(65_535)).unwrap();
    assert!(TopicFilter::parse("a".repeat(65_536)).is_err());
    assert!(long.check("pk", &Profile::private()).is_ok());
    assert!(long.check("pk", &Profile::platform()).is_err());
    let parsed = |len: usize| TopicFilter::parse("a".repeat(len)).unwrap();
    assert!(parsed(128).check("pk", &Profile::platform()).is_ok());
    assert!(parsed(129).check("pk", &Profile::platform()).is_err());
    let own = TopicFilter::parse("/pk/dn/user/1/2/3/#").unwrap();
    assert!(own.check("pk", &Profile::platform()).is_ok());
    let deep = TopicFilter::parse("/pk/dn/user/1/2/3/4/#").unwrap();
    assert!(deep.check("pk", &Profile::platform()).is_err());
    assert!(deep.check("pk", &Profile::private()).is_ok());
}

#[test]
fn a_topic_has_at_most_128_bytes_on_the_platform() {
    assert!(platform(&"a".repeat(128)).is_ok());
    assert!(platform(&"é".repeat(64)).is_ok());
    assert!(platform(&"é".repeat(65)).is_err());
    let error = platform(&"a".repeat(129)).unwrap_err();
    assert!(
        error
            .to_string()
            .ends_with("129 bytes long: 128 are allowed"),
        "{error}"
    );
    assert!(private(&"a".repeat(65_535)).is_ok());
    assert!(private(&"a".repeat(65_536)).is_err());
}

#[test]
fn seven_slashes_are_the_limit_of_own_topics_alone() {
    assert!(platform("/pk/dn/user/1/2/3/4").is_ok());
    let error = platform("/pk/dn/user/1/2/3/4/5").unwrap_err();
    assert_eq!(
        error.to_string(),
        "topic is \"/pk/dn/user/1/2/3/4/5\", with 8 slashes: the product's own topics have at most 7"
    );
    assert!(platform("/sys/pk/dn/thing/event/property/post/1/2").is_ok());
    assert!(platform("/ext/session/pk/dn/1/2/3/4/5").is_ok());
    assert!(platform("/pk2/dn/user/1/2/3/4/5").is_ok());
    assert!(private("/pk/dn/user/1/2/3/4/5").is_ok());
    assert!(check_topic("//1/2/3/4/5/6/7/8", "", &Profile::platform()).is_ok());
}

#[test]
fn wildcards_and_control_characters_are_no_part_of_a_topic() {
    for topic in [
        "", "a/+", "#", "a+b", "a\0", "a\u{1f}", "a\u{7f}", "a\u{85}",
    ] {
        assert!(platform(topic).is_err(), "{topic:?}");
        assert!(private(topic).is_err(), "{topic:?}");
    }
    let error = platform("a/+/\n").unwrap_err();
    assert_eq!(
        error.to_string(),
        "topic is \"a/+/\\n\": '+' is not allowed in a topic"
    );
}

#[test]
fn a_topic_name_is_a_checked_topic() {
    let name = TopicName::parse("/pk/dn/user/a", "pk", &Profile::platform()).unwrap();
    assert_eq!(name.as_str(), "/pk/dn/user/a");
    assert_eq!(name.as_ref(), name.as_str());
    let filter = TopicFilter::parse("a/+").unwrap();
    assert_eq!((filter.as_str(), filter.as_ref()), ("a/+", "a/+"));
    assert!(TopicName::parse("a/+", "pk", &Profile::platform()).is_err());
}

#[test]
fn the_builders_make_the_topics_of_the_platform() {
    let identity = identity();
    assert_eq!(user_topic(&identity, "get").unwrap(), "/pk/dn/user/get");
    assert_eq!(user_topic(&identity, "+/#").unwrap(), "/pk/dn/user/+/#");
    assert_eq!(
        sys_topic(&identity, "thing/event/property/post").unwrap(),
        "/sys/pk/dn/thing/event/property/post"
    );
    for suffix in ["", "/get", "a/#/b", "a\n"] {
        assert!(user_topic(&identity, suffix).is_err(), "{suffix:?}");
        assert!(sys_topic(&identity, suffix).is_err(), "{suffix:?}");
    }
    let verbatim = Identity::verbatim("id", "user", "pass").unwrap();
    let unnamed = Identity::with_certificate("", "").unwrap();
    for (identity, words) in [(&verbatim, "is verbatim"), (&unnamed, "has no names yet")] {
        for topic in [user_topic(identity, "get"), sys_topic(identity, "get")] {
            let text = topic.unwrap_err().to_string();
            assert!(text.starts_with(&format!("identity {words}")), "{text}");
        }
    }
    let named = Identity::with_certificate("pk", "dn").unwrap();
    assert_eq!(user_topic(&named, "get").unwrap(), "/pk/dn/user/get");
}
