//! Topic names and filters, MQTT's rules and the platform's, and the platform's own topics.

use crate::proto::profile::MQTT_TEXT_LEN;
use crate::proto::text::{count, is_plain_topic, shown};
use crate::{Error, Identity, Profile};

/// A topic name that messages can be published to: checked against MQTT and a profile.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct TopicName(String);

impl TopicName {
    /// Checks `text` as [`check_topic`] does and takes ownership of it.
    ///
    /// # Errors
    ///
    /// Those of [`check_topic`].
    pub fn parse(
        text: impl Into<String>,
        product_key: &str,
        profile: &Profile,
    ) -> Result<Self, Error> {
        let text = text.into();
        check_topic(&text, product_key, profile)?;
        Ok(Self(text))
    }

    /// The topic as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl AsRef<str> for TopicName {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

/// A topic filter that has been checked against MQTT 3.1.1, section 4.7.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct TopicFilter(String);

impl TopicFilter {
    /// Checks `text` against MQTT alone and takes ownership of it; [`check`](Self::check) does the
    /// rest.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidArgument`](crate::ErrorKind::InvalidArgument) if `text` is empty, longer
    /// than 65535 bytes, contains a control character, or uses `+` or `#` as anything but a whole
    /// level (`#` only as the last one).
    ///
    /// Source: MQTT 3.1.1, 1.5.3 and 4.7.
    pub fn parse(text: impl Into<String>) -> Result<Self, Error> {
        let text = text.into();
        check_filter("topic filter", &text)?;
        Ok(Self(text))
    }

    /// Checks the filter against the limits of `profile`; `product_key` tells the product's own
    /// topics from the platform's and is empty where there is none.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidArgument`](crate::ErrorKind::InvalidArgument) names the limit that the
    /// filter exceeds.
    pub fn check(&self, product_key: &str, profile: &Profile) -> Result<(), Error> {
        check_limits("topic filter", &self.0, product_key, profile)
    }

    /// Whether a message published to `topic` is one this filter asks for.
    ///
    /// Source: MQTT 3.1.1, 4.7.
    pub fn matches(&self, topic: &str) -> bool {
        // MQTT-4.7.2-1: a leading wildcard never matches the topics a broker keeps for itself.
        if topic.starts_with('$') && self.0.starts_with(['+', '#']) {
            return false;
        }
        let mut levels = topic.split('/');
        for wanted in self.0.split('/') {
            match (wanted, levels.next()) {
                ("#", _) => return true,
                ("+", Some(_)) => {}
                (literal, Some(level)) if literal == level => {}
                _ => return false,
            }
        }
        levels.next().is_none()
    }

    /// Whether the filter has no wildcard, so that it matches one topic only.
    pub fn is_literal(&self) -> bool {
        !self.0.contains(['+', '#'])
    }

    /// The filter as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl AsRef<str> for TopicFilter {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

/// Checks a topic to publish to against MQTT and `profile`. Allocates nothing when it succeeds.
///
/// `product_key` tells the product's own topics (`/${productKey}/…`), whose slashes the platform
/// counts, from its system topics; it is empty where there is none.
///
/// # Errors
///
/// [`ErrorKind::InvalidArgument`](crate::ErrorKind::InvalidArgument) if the topic is empty, longer
/// than the profile allows, contains `+`, `#` or a control character, or, being the product's own,
/// has more slashes than the profile allows.
///
/// Source: MQTT 3.1.1, 1.5.3 and 4.7; the platform's limits, topics.
pub fn check_topic(topic: &str, product_key: &str, profile: &Profile) -> Result<(), Error> {
    if topic.is_empty() {
        return Err(Error::argument("topic", "is empty"));
    }
    check_limits("topic", topic, product_key, profile)?;
    if is_plain_topic(topic.as_bytes()) {
        return Ok(());
    }
    // MQTT-3.3.2-2 for the wildcards. MQTT-1.5.3-2 forbids NUL and lets a receiver close the
    // connection for any other control character, which a message held for resending would repeat.
    match topic
        .chars()
        .find(|c| matches!(c, '+' | '#') || c.is_control())
    {
        None => Ok(()),
        Some(c) => Err(Error::argument(
            "topic",
            format_args!("is {}: {c:?} is not allowed in a topic", shown(topic)),
        )),
    }
}

/// `/${productKey}/${deviceName}/user/${suffix}`: a topic of the product's own, or a filter.
///
/// # Errors
///
/// [`ErrorKind::InvalidArgument`](crate::ErrorKind::InvalidArgument) if the identity has no product
/// key, or if `suffix` is empty, begins with a slash or does not make a topic filter.
///
/// Source: the platform's custom topics.
pub fn user_topic(identity: &Identity, suffix: &str) -> Result<String, Error> {
    built("", identity, "user/", suffix)
}

/// `/sys/${productKey}/${deviceName}/${suffix}`: a system topic of the platform, or a filter.
///
/// # Errors
///
/// [`ErrorKind::InvalidArgument`](crate::ErrorKind::InvalidArgument) if the identity has no product
/// key, or if `suffix` is empty, begins with a slash or does not make a topic filter.
///
/// Source: the platform's system topics.
pub fn sys_topic(identity: &Identity, suffix: &str) -> Result<String, Error> {
    built("/sys", identity, "", suffix)
}

fn built(root: &str, identity: &Identity, class: &str, suffix: &str) -> Result<String, Error> {
    let (product_key, device_name) = (identity.product_key(), identity.device_name());
    if product_key.is_empty() {
        let problem = if identity.is_verbatim() {
            "is verbatim: topics need a product key and a device name"
        } else {
            "has no names yet: the platform says them after the first connect, and topics need the \
             identity that comes with them"
        };
        return Err(Error::argument("identity", problem));
    }
    if suffix.is_empty() || suffix.starts_with('/') {
        return Err(Error::argument(
            "suffix",
            format_args!(
                "is {}: at least one level without a slash before it is needed",
                shown(suffix)
            ),
        ));
    }
    let topic = format!("{root}/{product_key}/{device_name}/{class}{suffix}");
    check_filter("topic", &topic)?;
    Ok(topic)
}

fn check_filter(name: &str, text: &str) -> Result<(), Error> {
    match filter_problem(text) {
        None => Ok(()),
        Some(problem) => Err(Error::argument(
            name,
            format_args!("is {}: {problem}", shown(text)),
        )),
    }
}

fn filter_problem(text: &str) -> Option<&'static str> {
    if text.is_empty() {
        return Some("at least one character is needed");
    }
    if text.len() > MQTT_TEXT_LEN {
        return Some("MQTT allows 65535 bytes");
    }
    if text.chars().any(char::is_control) {
        return Some("control characters are not allowed");
    }
    let mut levels = text.split('/').peekable();
    while let Some(level) = levels.next() {
        match level {
            "#" if levels.peek().is_some() => return Some("'#' is allowed as the last level only"),
            "#" | "+" => {}
            _ if level.contains(['#', '+']) => {
                return Some("'#' and '+' are allowed as whole levels only");
            }
            _ => {}
        }
    }
    None
}

fn check_limits(name: &str, text: &str, product_key: &str, profile: &Profile) -> Result<(), Error> {
    let longest = profile.topic_len.min(MQTT_TEXT_LEN);
    if text.len() > longest {
        return Err(Error::argument(
            name,
            format_args!(
                "is {}, {} bytes long: {longest} are allowed",
                shown(text),
                text.len()
            ),
        ));
    }
    if let Some(most) = profile.own_topic_slashes
        && is_own(text, product_key)
    {
        let slashes = count(text.as_bytes(), b'/');
        if slashes > most {
            return Err(Error::argument(
                name,
                format_args!(
                    "is {}, with {slashes} slashes: the product's own topics have at most {most}",
                    shown(text)
                ),
            ));
        }
    }
    Ok(())
}

/// Whether `topic` begins with `/${productKey}/`.
fn is_own(topic: &str, product_key: &str) -> bool {
    !product_key.is_empty()
        && topic
            .strip_prefix('/')
            .and_then(|rest| rest.strip_prefix(product_key))
            .is_some_and(|rest| rest.starts_with('/'))
}

#[cfg(test)]
mod tests;
