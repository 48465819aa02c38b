//! The rules that are a platform's own rather than MQTT's.

use std::ops::RangeInclusive;
use std::time::Duration;

/// Longest text that MQTT can carry. Source: MQTT 3.1.1, 1.5.3.
pub(crate) const MQTT_TEXT_LEN: usize = 65_535;
/// Most bytes a packet has after its fixed header. Source: MQTT 3.1.1, 2.2.3.
pub(crate) const MQTT_PACKET_LEN: usize = 268_435_455;
/// What a packet with a message has besides topic and payload, rounded up.
pub(crate) const PACKET_OVERHEAD: usize = 16;
/// Most filters of the greatest length that one SUBSCRIBE carries.
pub(crate) const MQTT_FILTERS_PER_PACKET: usize = (MQTT_PACKET_LEN - 2) / (MQTT_TEXT_LEN + 3);
/// Connects that the platform allows a device in a minute. Source: the platform's limits.
pub(crate) const PLATFORM_CONNECTS: u32 = 5;
/// Most connects a minute that a private platform can be given: a thousand a second, as many as a
/// budget remembers.
pub(crate) const MOST_CONNECTS: u32 = 60_000;

/// What a platform allows, and how a client paces itself there.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Profile {
    /// Allowed keep-alive intervals in seconds.
    pub keep_alive: RangeInclusive<u16>,
    /// Whether a keep-alive of 0, which switches it off, is allowed as well.
    pub keep_alive_off: bool,
    /// Longest topic or topic filter in bytes.
    pub topic_len: usize,
    /// Most slashes in a product's own topics (`/${productKey}/…`), if there is a limit.
    pub own_topic_slashes: Option<usize>,
    /// Longest payload in bytes. A packet may be that plus its topic and header.
    pub payload_len: usize,
    /// Most filters a client may be subscribed to at a time.
    pub subscriptions: usize,
    /// Most filters in one SUBSCRIBE.
    pub filters_per_packet: usize,
    /// Connects allowed in any minute, or any number.
    pub connects_per_minute: Option<u32>,
    /// Default ceiling of the first delay between two attempts.
    pub backoff_min: Duration,
    /// Default longest delay between two attempts.
    pub backoff_max: Duration,
    /// How long a connection must hold before the back-off starts over.
    pub stable_after: Duration,
}

impl Profile {
    /// The limits of Alibaba Cloud IoT Platform.
    ///
    /// Source: the platform's limits; "Establish MQTT connections", keep-alive.
    pub fn platform() -> Self {
        Self {
            keep_alive: 30..=1200,
            keep_alive_off: false,
            topic_len: 128,
            own_topic_slashes: Some(7),
            payload_len: 262_144,
            subscriptions: 100,
            filters_per_packet: 8,
            connects_per_minute: Some(PLATFORM_CONNECTS),
            backoff_min: Duration::from_secs(1),
            backoff_max: Duration::from_secs(120),
            stable_after: Duration::from_secs(60),
        }
    }

    /// MQTT's own limits, and the same default pace, for a private platform or a test bench.
    ///
    /// Source: MQTT 3.1.1, 1.5.3, 2.2.3 and 3.1.2.10.
    pub fn private() -> Self {
        Self {
            keep_alive: 1..=65_535,
            keep_alive_off: true,
            topic_len: MQTT_TEXT_LEN,
            own_topic_slashes: None,
            payload_len: MQTT_PACKET_LEN - MQTT_TEXT_LEN - PACKET_OVERHEAD,
            subscriptions: usize::MAX,
            filters_per_packet: MQTT_FILTERS_PER_PACKET,
            connects_per_minute: None,
            ..Self::platform()
        }
    }

    /// Bytes of the largest packet with a message, in either direction.
    pub fn packet_len(&self) -> usize {
        self.payload_len
            .saturating_add(self.topic_len)
            .saturating_add(PACKET_OVERHEAD)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_platform_profile_has_the_documented_limits() {
        let profile = Profile::platform();
        assert_eq!(profile.keep_alive, 30..=1200);
        assert!(!profile.keep_alive_off);
        assert_eq!(profile.topic_len, 128);
        assert_eq!(profile.own_topic_slashes, Some(7));
        assert_eq!(profile.payload_len, 256 * 1024);
        assert_eq!(profile.subscriptions, 100);
        assert_eq!(profile.filters_per_packet, 8);
        assert_eq!(profile.connects_per_minute, Some(5));
        assert_eq!(profile.backoff_min.as_secs(), 1);
        assert_eq!(profile.backoff_max.as_secs(), 120);
        assert_eq!(profile.stable_after.as_secs(), 60);
        assert_eq!(profile.packet_len(), 262_288);
    }

    #[test]
    fn the_private_profile_has_the_limits_of_mqtt_and_the_same_pace() {
        let profile = Profile::private();
        assert_eq!(profile.keep_alive, 1..=65_535);
        assert!(profile.keep_alive_off);
        assert_eq!(profile.topic_len, 65_535);
        assert_eq!(profile.own_topic_slashes, None);
        assert_eq!(profile.packet_len(), MQTT_PACKET_LEN);
        assert_eq!(profile.subscriptions, usize::MAX);
        assert_eq!(profile.filters_per_packet, 4095);
        assert_eq!(profile.connects_per_minute, None);
        assert_eq!(profile.backoff_min, Profile::platform().backoff_min);
        assert_eq!(profile.backoff_max, Profile::platform().backoff_max);
        assert_eq!(profile.stable_after, Profile::platform().stable_after);
    }

    #[test]
    fn a_packet_of_the_most_and_longest_filters_is_a_packet_that_mqtt_can_carry() {
        // Packet id, then for each filter its length, its text and its QoS.
        let len = |filters| 2 + filters * (2 + MQTT_TEXT_LEN + 1);
        assert!(len(MQTT_FILTERS_PER_PACKET) <= MQTT_PACKET_LEN);
        assert!(len(MQTT_FILTERS_PER_PACKET + 1) > MQTT_PACKET_LEN);
    }
}
