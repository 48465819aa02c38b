//! Which topics a device may use, and which filters match a topic.

use crate::registry::Identity;

/// Longest topic in bytes. Source: platform page "Limits", topic length.
const MAX_TOPIC: usize = 128;

/// Most slashes in a topic of the product's own. The platform's system topics have more.
const MAX_SLASHES: usize = 7;

/// Why a topic may not be published on, or `None` if it may.
pub(crate) fn publish_fault(identity: &Identity, topic: &str) -> Option<String> {
    form_fault(identity, topic)
        .or_else(|| (!is_own(identity, topic)).then(|| foreign("publish on", identity)))
}

/// Why a filter may not be subscribed to, or `None` if it may.
pub(crate) fn subscribe_fault(identity: &Identity, filter: &str) -> Option<String> {
    if !is_filter(filter) {
        return Some("it is not a topic filter".into());
    }
    let own = is_own(identity, filter) || is_broadcast(identity, filter);
    form_fault(identity, filter).or_else(|| (!own).then(|| foreign("subscribe to", identity)))
}

fn foreign(what: &str, identity: &Identity) -> String {
    let Identity {
        product_key,
        device_name,
    } = identity;
    format!("a device may only {what} its own topics, such as /{product_key}/{device_name}/user/…")
}

fn form_fault(identity: &Identity, topic: &str) -> Option<String> {
    let (len, slashes) = (topic.len(), topic.matches('/').count());
    if len > MAX_TOPIC {
        return Some(format!("it has {len} bytes, the limit is {MAX_TOPIC}"));
    }
    if slashes > MAX_SLASHES && is_custom(identity, topic) {
        return Some(format!(
            "it has {slashes} slashes, the limit is {MAX_SLASHES}"
        ));
    }
    None
}

/// A topic of the product's own: `/${productKey}/${deviceName}/…`.
pub(crate) fn is_custom(identity: &Identity, topic: &str) -> bool {
    let mut levels = topic.split('/');
    levels.next() == Some("")
        && levels.next() == Some(&identity.product_key)
        && levels.next() == Some(&identity.device_name)
        && levels.next().is_some()
}

/// A broadcast topic of the product: `/broadcast/${productKey}/…`.
pub(crate) fn is_broadcast(identity: &Identity, topic: &str) -> bool {
    let mut levels = topic.split('/').skip(1);
    topic.starts_with('/')
        && levels.next() == Some("broadcast")
        && levels.next() == Some(&identity.product_key)
        && levels.next().is_some()
}

/// Whether a topic or filter is the device's own. The levels that name product and device must be
/// literal; a wildcard there would reach other devices.
///
/// Source: platform pages "Topics" and "Alink protocol", lists of system topics.
pub(crate) fn is_own(identity: &Identity, topic: &str) -> bool {
    if is_custom(identity, topic) {
        return true;
    }
    let levels: Vec<&str> = topic.split('/').collect();
    let (key, name) = (identity.product_key.as_str(), identity.device_name.as_str());
    match levels.as_slice() {
        ["", "ext", "ntp" | "session" | "error", of_key, of_name, ..] => {
            *of_key == key && *of_name == name
        }
        ["", "sys", of_key, of_name, _, ..]
        | ["", "shadow", _, of_key, of_name]
        | ["", "ota", _, _, of_key, of_name]
        | ["", "ota", _, of_key, of_name] => *of_key == key && *of_name == name,
        ["", "ext", "ntp" | "session" | "error", ..] => false,
        ["", "ext", _, ..] => true,
        _ => false,
    }
}

/// Whether the platform pushes this topic to a device that has not subscribed to it.
pub(crate) fn is_system(topic: &str) -> bool {
    ["/sys/", "/ext/", "/ota/", "/shadow/"]
        .iter()
        .any(|prefix| topic.starts_with(prefix))
}

/// Whether `topic` may stand in a PUBLISH. Source: MQTT 3.1.1, 4.7.1-1 and 4.7.3-1.
pub(crate) fn is_topic(topic: &str) -> bool {
    !topic.is_empty() && !topic.contains(['+', '#', '\0'])
}

/// Whether `filter` may stand in a SUBSCRIBE. Source: MQTT 3.1.1, 4.7.1-2 and 4.7.1-3.
pub(crate) fn is_filter(filter: &str) -> bool {
    let last = filter.split('/').count();
    let level_fits = |(index, level): (usize, &str)| match level {
        "#" => index + 1 == last,
        "+" => true,
        _ => !level.contains(['+', '#']),
    };
    !filter.is_empty() && !filter.contains('\0') && filter.split('/').enumerate().all(level_fits)
}

/// Whether `filter` matches `topic`. Source: MQTT 3.1.1, 4.7.
pub(crate) fn matches(filter: &str, topic: &str) -> bool {
    // A leading wildcard does not match topics that begin with a dollar sign: 4.7.2-1.
    if topic.starts_with('$') && filter.starts_with(['+', '#']) {
        return false;
    }
    let mut levels = topic.split('/');
    for wanted in filter.split('/') {
        match (wanted, levels.next()) {
            ("#", _) => return true,
            ("+", Some(_)) => {}
            (literal, Some(level)) if literal == level => {}
            _ => return false,
        }
    }
    levels.next().is_none()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters_match_as_the_standard_says() {
        for (filter, topic, expected) in [
            ("/a/b", "/a/b", true),
            ("/a/b", "/a/b/c", false),
            ("/a/+", "/a/b", true),
            ("/a/+", "/a", false),
            ("/a/+", "/a/b/c", false),
            ("/a/#", "/a", true),
            ("/a/#", "/a/b/c", true),
            ("#", "$SYS/x", false),
            ("+/x", "$SYS/x", false),
            ("$SYS/#", "$SYS/x", true),
            ("/é/+", "/é/ü", true),
        ] {
            assert_eq!(matches(filter, topic), expected, "{filter} {topic}");
        }
    }

    #[test]
    fn wildcards_stand_alone_in_their_level() {
        for good in ["#", "+", "/a/+/b/#", "/", "a"] {
            assert!(is_filter(good), "{good}");
        }
        for bad in ["", "a#", "/#/a", "a+/b", "a/b+", "a\0"] {
            assert!(!is_filter(bad), "{bad}");
        }
        assert!(!is_topic("a/+") && !is_topic("") && is_topic("/a"));
    }

    #[test]
    fn a_device_has_its_own_topics_only() {
        let own = Identity::new("pk", "dn");
        for topic in [
            "/pk/dn/user/update",
            "/pk/dn/#",
            "/sys/pk/dn/thing/event/property/post",
            "/ext/rrpc/+/sys/pk/dn/thing",
            "/ext/notify",
            "/ext/ntp/pk/dn/request",
            "/shadow/update/pk/dn",
            "/ota/device/inform/pk/dn",
            "/broadcast/pk/news",
        ] {
            assert_eq!(subscribe_fault(&own, topic), None, "{topic}");
        }
        for topic in [
            "#",
            "/+/dn/user",
            "/pk/+/user",
            "/pk/other/user",
            "/sys/pk/other/thing",
            "/sys/+/dn/thing",
            "/ext/ntp/pk/other/response",
            "/ext/#/x",
            "/broadcast/other/news",
            "/shadow/update/pk/other",
            "pk/dn/user",
        ] {
            assert!(subscribe_fault(&own, topic).is_some(), "{topic}");
        }
        assert!(publish_fault(&own, "/broadcast/pk/news").is_some());
    }

    #[test]
    fn the_limit_of_slashes_is_for_custom_topics_alone() {
        let own = Identity::new("pk", "dn");
        assert_eq!(publish_fault(&own, "/pk/dn/a/b/c/d/e"), None);
        assert!(publish_fault(&own, "/pk/dn/a/b/c/d/e/f").is_some());
        assert_eq!(publish_fault(&own, "/sys/pk/dn/a/b/c/d/e/f"), None);
        let long = format!("/pk/dn/{}", "x".repeat(122));
        assert!(publish_fault(&own, &long).is_some());
        assert_eq!(publish_fault(&own, &long[..128]), None);
    }
}
