//! Config, second half: intervals, queues and the limits of the profile.

use std::time::Duration;

use crate::proto::profile::{
    MOST_CONNECTS, MQTT_FILTERS_PER_PACKET, MQTT_PACKET_LEN, MQTT_TEXT_LEN, PACKET_OVERHEAD,
    PLATFORM_CONNECTS,
};
use crate::{Backoff, Error, Profile};

use super::{Config, check_range, state};

const MILLISECOND: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_secs(3600);

impl Config {
    /// Replaces the platform's limits by MQTT's own, for a private platform or a test bench; each
    /// then has a setter. What was set before stays. Calling it again changes nothing.
    ///
    /// Payloads may then be as long as outbox and inbox have room for, until
    /// [`set_payload_limit`](Self::set_payload_limit).
    pub fn use_private_profile(&mut self) {
        if self.is_private {
            return;
        }
        self.is_private = true;
        let connects_per_minute = self.profile.connects_per_minute;
        self.profile = Profile::private();
        if self.has_connect_limit {
            self.profile.connects_per_minute = connects_per_minute;
        }
        self.fit_payload();
    }

    /// Whether [`use_private_profile`](Self::use_private_profile) was called.
    pub fn is_private(&self) -> bool {
        self.is_private
    }

    /// Keep-alive interval in seconds: 30 to 1200, default 300. On the private profile 1 to 65535,
    /// or 0 for none.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidArgument`](crate::ErrorKind::InvalidArgument) outside that range.
    ///
    /// Source: "Establish MQTT connections", keep-alive; MQTT 3.1.1, 3.1.2.10.
    pub fn set_keep_alive_s(&mut self, seconds: u16) -> Result<(), Error> {
        if seconds != 0 || !self.profile.keep_alive_off {
            let allowed = self.profile.keep_alive.clone();
            check_range("keep_alive_s", seconds, allowed, self.who())?;
        }
        self.keep_alive_s = seconds;
        Ok(())
    }

    /// How long nothing may be acknowledged, while something is owed, before the link counts as
    /// dead: 1 s to 1 h, default 30 s.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidArgument`](crate::ErrorKind::InvalidArgument) outside that range.
    pub fn set_ack_timeout(&mut self, timeout: Duration) -> Result<(), Error> {
        check_range("ack_timeout", timeout, SECOND..=HOUR, "the library")?;
        self.ack_timeout = timeout;
        Ok(())
    }

    /// How long a ping may stay unanswered before the link counts as dead: 100 ms to 120 s, default
    /// 10 s.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidArgument`](crate::ErrorKind::InvalidArgument) outside that range.
    pub fn set_ping_timeout(&mut self, timeout: Duration) -> Result<(), Error> {
        let allowed = 100 * MILLISECOND..=120 * SECOND;
        check_range("ping_timeout", timeout, allowed, "the library")?;
        self.ping_timeout = timeout;
        Ok(())
    }

    /// The ceiling of the first delay between two attempts and the longest delay: 1 s to 1 h,
    /// default 1 s and 120 s; from 1 ms on the private profile. Both zero: do not reconnect.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidArgument`](crate::ErrorKind::InvalidArgument) outside that range, or if
    /// `min` exceeds `max`.
    pub fn set_reconnect(&mut self, min: Duration, max: Duration) -> Result<(), Error> {
        if min.is_zero() && max.is_zero() {
            self.reconnect = None;
            return Ok(());
        }
        let least = if self.is_private { MILLISECOND } else { SECOND };
        check_range("reconnect_min", min, least..=HOUR, "the library")?;
        check_range("reconnect_max", max, least..=HOUR, "the library")?;
        if min > max {
            return Err(Error::argument(
                "reconnect_min",
                format_args!("is {min:?}: reconnect_max, {max:?}, is its limit"),
            ));
        }
        self.reconnect = Backoff::new(min, max);
        Ok(())
    }

    /// Connects allowed in any minute for this identity: 1 to 5, default 5. On the private profile
    /// 1 to 60000 or, by default, any number.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidArgument`](crate::ErrorKind::InvalidArgument) outside that range.
    ///
    /// Source: the platform's limits, connects per device and minute.
    pub fn set_connects_per_minute(&mut self, connects: Option<u32>) -> Result<(), Error> {
        let most = if self.is_private {
            MOST_CONNECTS
        } else {
            PLATFORM_CONNECTS
        };
        match connects {
            Some(connects) => {
                check_range("connects_per_minute", connects, 1..=most, self.who())?;
            }
            None if self.is_private => {}
            None => {
                return Err(Error::argument(
                    "connects_per_minute",
                    format_args!("is without limit: the platform allows 1 to {most}"),
                ));
            }
        }
        self.profile.connects_per_minute = connects;
        self.has_connect_limit = true;
        Ok(())
    }

    /// Most operations and bytes that wait for the platform: at least 1 and one largest packet,
    /// default 1000 and 4 MiB.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidArgument`](crate::ErrorKind::InvalidArgument) below either.
    pub fn set_outbox_limit(&mut self, operations: u32, bytes: usize) -> Result<(), Error> {
        check_least("outbox_operations", operations as usize, 1, "one operation")?;
        self.check_room("outbox_bytes", bytes)?;
        self.outbox_operations = operations;
        self.outbox_bytes = bytes;
        self.fit_payload();
        Ok(())
    }

    /// Most QoS 1 messages under way to the platform, sent and not acknowledged: 1 to 16384, default
    /// 100.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidArgument`](crate::ErrorKind::InvalidArgument) outside that range.
    pub fn set_window(&mut self, messages: u16) -> Result<(), Error> {
        check_range("window", messages, 1..=16_384, "the library")?;
        self.window = messages;
        Ok(())
    }

    /// Most QoS 1 messages that wait unacknowledged for their callbacks, and bytes of all messages
    /// that wait: at least 1 and one largest packet, default 100 and 4 MiB.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidArgument`](crate::ErrorKind::InvalidArgument) below either.
    pub fn set_inbox_limit(&mut self, messages: u32, bytes: usize) -> Result<(), Error> {
        check_least("inbox_messages", messages as usize, 1, "one message")?;
        self.check_room("inbox_bytes", bytes)?;
        self.inbox_messages = messages;
        self.inbox_bytes = bytes;
        self.fit_payload();
        Ok(())
    }

    /// Longest payload in bytes on the private profile: up to what outbox and inbox have room for,
    /// which is the default.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidArgument`](crate::ErrorKind::InvalidArgument) beyond that;
    /// [`ErrorKind::InvalidState`](crate::ErrorKind::InvalidState) on the platform's profile.
    pub fn set_payload_limit(&mut self, bytes: usize) -> Result<(), Error> {
        self.check_private("payload_limit")?;
        let room = self
            .room()
            .saturating_sub(self.profile.topic_len + PACKET_OVERHEAD);
        check_range(
            "payload_limit",
            bytes,
            0..=room,
            "the room of outbox and inbox",
        )?;
        self.profile.payload_len = bytes;
        self.has_payload_limit = true;
        Ok(())
    }

    /// Longest topic or filter in bytes on the private profile: 1 to 65535, which is the default.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidArgument`](crate::ErrorKind::InvalidArgument) outside that range, or if
    /// the largest packet would no longer fit into outbox or inbox;
    /// [`ErrorKind::InvalidState`](crate::ErrorKind::InvalidState) on the platform's profile.
    pub fn set_topic_limit(&mut self, bytes: usize) -> Result<(), Error> {
        self.check_private("topic_limit")?;
        let payload_len = if self.has_payload_limit {
            self.profile.payload_len
        } else {
            0
        };
        let room = self.room().saturating_sub(payload_len + PACKET_OVERHEAD);
        let (most, who) = if room < MQTT_TEXT_LEN {
            (room, "the room of outbox and inbox")
        } else {
            (MQTT_TEXT_LEN, "MQTT")
        };
        check_range("topic_limit", bytes, 1..=most, who)?;
        self.profile.topic_len = bytes;
        self.fit_payload();
        Ok(())
    }

    /// Most subscriptions at a time on the private profile: at least 1, by default any number.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidArgument`](crate::ErrorKind::InvalidArgument) if 0;
    /// [`ErrorKind::InvalidState`](crate::ErrorKind::InvalidState) on the platform's profile.
    pub fn set_subscription_limit(&mut self, subscriptions: usize) -> Result<(), Error> {
        self.check_private("subscription_limit")?;
        check_least("subscription_limit", subscriptions, 1, "one subscription")?;
        self.profile.subscriptions = subscriptions;
        Ok(())
    }

    /// Most filters in one SUBSCRIBE on the private profile: 1 to 4095, which is the default.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidArgument`](crate::ErrorKind::InvalidArgument) outside that range;
    /// [`ErrorKind::InvalidState`](crate::ErrorKind::InvalidState) on the platform's profile.
    pub fn set_filters_per_packet(&mut self, filters: usize) -> Result<(), Error> {
        self.check_private("filters_per_packet")?;
        let allowed = 1..=MQTT_FILTERS_PER_PACKET;
        check_range("filters_per_packet", filters, allowed, "MQTT")?;
        self.profile.filters_per_packet = filters;
        Ok(())
    }

    /// How long a connection must hold before the back-off starts over, on the private profile: 0 to
    /// 1 h, default 60 s.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidArgument`](crate::ErrorKind::InvalidArgument) outside that range;
    /// [`ErrorKind::InvalidState`](crate::ErrorKind::InvalidState) on the platform's profile.
    pub fn set_stable_after(&mut self, time: Duration) -> Result<(), Error> {
        self.check_private("stable_after")?;
        check_range("stable_after", time, Duration::ZERO..=HOUR, "the library")?;
        self.profile.stable_after = time;
        Ok(())
    }

    /// Keep-alive interval in seconds; 0 for none.
    pub fn keep_alive_s(&self) -> u16 {
        self.keep_alive_s
    }

    /// Keep-alive interval, or `None` for none.
    pub fn keep_alive(&self) -> Option<Duration> {
        (self.keep_alive_s > 0).then(|| Duration::from_secs(self.keep_alive_s.into()))
    }

    /// How long nothing may be acknowledged while something is owed.
    pub fn ack_timeout(&self) -> Duration {
        self.ack_timeout
    }

    /// How long a ping may stay unanswered.
    pub fn ping_timeout(&self) -> Duration {
        self.ping_timeout
    }

    /// The delays between attempts, or `None` if there is no second attempt.
    pub fn reconnect(&self) -> Option<Backoff> {
        self.reconnect
    }

    /// The longest delay between attempts.
    pub fn reconnect_max(&self) -> Duration {
        self.reconnect
            .map_or(Duration::ZERO, |backoff| backoff.max())
    }

    /// Connects allowed in any minute, or any number.
    pub fn connects_per_minute(&self) -> Option<u32> {
        self.profile.connects_per_minute
    }

    /// Most operations that wait for the platform.
    pub fn outbox_operations(&self) -> u32 {
        self.outbox_operations
    }

    /// Most bytes that wait for the platform.
    pub fn outbox_bytes(&self) -> usize {
        self.outbox_bytes
    }

    /// Most QoS 1 messages under way to the platform.
    pub fn window(&self) -> u16 {
        self.window
    }

    /// Most QoS 1 messages that wait unacknowledged for their callbacks.
    pub fn inbox_messages(&self) -> u32 {
        self.inbox_messages
    }

    /// Most bytes that wait for their callbacks.
    pub fn inbox_bytes(&self) -> usize {
        self.inbox_bytes
    }

    /// Whose rule a limit of the profile is, for errors.
    fn who(&self) -> &'static str {
        if self.is_private {
            "the private profile"
        } else {
            "the platform"
        }
    }

    fn check_private(&self, name: &str) -> Result<(), Error> {
        if self.is_private {
            return Ok(());
        }
        Err(state(format!(
            "{name} is the platform's own rule: only the private profile can change it"
        )))
    }

    /// The largest packet that both queues can hold.
    fn room(&self) -> usize {
        self.outbox_bytes.min(self.inbox_bytes).min(MQTT_PACKET_LEN)
    }

    /// Refuses a queue smaller than the largest packet: a message that never fits would be accepted
    /// by every other rule. On the private profile the payload limit follows the queues unless it
    /// was set.
    fn check_room(&self, name: &str, bytes: usize) -> Result<(), Error> {
        let least = if self.is_private && !self.has_payload_limit {
            self.profile.topic_len + PACKET_OVERHEAD
        } else {
            self.profile.packet_len()
        };
        check_least(name, bytes, least, "one largest packet")
    }

    /// Lets the payload limit follow the queues.
    fn fit_payload(&mut self) {
        if self.is_private && !self.has_payload_limit {
            let rest = self.profile.topic_len + PACKET_OVERHEAD;
            self.profile.payload_len = self.room().saturating_sub(rest);
        }
    }
}

fn check_least(name: &str, value: usize, least: usize, what: &str) -> Result<(), Error> {
    if value >= least {
        return Ok(());
    }
    Err(Error::argument(
        name,
        format_args!("is {value}: at least {least}, {what}, is needed"),
    ))
}
