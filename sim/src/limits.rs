//! The platform's limits on rates.
//!
//! Source: platform page "Limits", connections and messages.

use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

use crate::registry::Identity;
use crate::state::Qos;

/// Messages a device may publish in a second, by QoS, and the bytes of them together.
const PUBLISHED: [u32; 2] = [30, 10];
const PUBLISHED_BYTES: usize = 1024 * 1024;

/// Messages a device receives in a second.
const RECEIVED: u32 = 50;

/// Broadcasts of a product in a minute.
const BROADCASTS: usize = 1;

const SECOND: Duration = Duration::from_secs(1);
pub(crate) const MINUTE: Duration = Duration::from_secs(60);

/// Counts what a connection does within the present second.
#[derive(Debug)]
pub(crate) struct Rate {
    since: Instant,
    published: [u32; 2],
    published_bytes: usize,
    received: u32,
}

impl Rate {
    pub(crate) fn new(now: Instant) -> Self {
        Self {
            since: now,
            published: [0; 2],
            published_bytes: 0,
            received: 0,
        }
    }

    fn roll(&mut self, now: Instant) {
        if now.duration_since(self.since) >= SECOND {
            *self = Self::new(now);
        }
    }

    /// Counts a message of the device; the reason if it is one too many.
    pub(crate) fn publish(&mut self, now: Instant, qos: Qos, size: usize) -> Option<String> {
        self.roll(now);
        let index = usize::from(qos.number());
        let (Some(count), Some(limit)) = (self.published.get_mut(index), PUBLISHED.get(index))
        else {
            return None;
        };
        *count += 1;
        self.published_bytes += size;
        if *count > *limit {
            let qos = qos.number();
            return Some(format!(
                "rate limiter: {count} messages of QoS {qos} in a second, the limit is {limit}"
            ));
        }
        (self.published_bytes > PUBLISHED_BYTES).then(|| {
            let bytes = self.published_bytes;
            format!("rate limiter: {bytes} bytes in a second, the limit is {PUBLISHED_BYTES}")
        })
    }

    /// Counts a message to the device; false if it is one too many.
    pub(crate) fn receive(&mut self, now: Instant) -> bool {
        self.roll(now);
        self.received += 1;
        self.received <= RECEIVED
    }
}

/// Counts happenings within a sliding window.
#[derive(Debug, Default)]
struct Window(VecDeque<Instant>);

impl Window {
    /// Counts one more unless that would be more than `limit` within `window`.
    fn admits(&mut self, now: Instant, window: Duration, limit: usize) -> bool {
        while self
            .0
            .front()
            .is_some_and(|at| now.duration_since(*at) >= window)
        {
            self.0.pop_front();
        }
        let admitted = self.0.len() < limit;
        if admitted {
            self.0.push_back(now);
        }
        admitted
    }
}

/// Which limits are kept, and the counts of those that outlive a connection.
#[derive(Debug, Default)]
pub(crate) struct Limits {
    /// Connects of one device in a minute.
    pub(crate) connects: Option<u32>,
    /// Whether rates of messages are limited.
    pub(crate) rates: bool,
    connected: HashMap<Identity, Window>,
    broadcast: HashMap<String, Window>,
}

impl Limits {
    pub(crate) fn new(connects: Option<u32>, rates: bool) -> Self {
        Self {
            connects,
            rates,
            ..Self::default()
        }
    }

    /// Counts a CONNECT of a known device; the reason if it is one too many.
    pub(crate) fn connect(
        &mut self,
        identity: &Identity,
        now: Instant,
        minute: Duration,
    ) -> Option<String> {
        let limit = self.connects?;
        let window = self.connected.entry(identity.clone()).or_default();
        let admitted = window.admits(now, minute, usize::try_from(limit).unwrap_or(usize::MAX));
        (!admitted).then(|| {
            format!(
                "more than {limit} connects of one device in a minute: wait longer between attempts"
            )
        })
    }

    /// Counts a broadcast of a product; false if it is one too many.
    pub(crate) fn broadcast(&mut self, product_key: &str, now: Instant, minute: Duration) -> bool {
        !self.rates
            || self
                .broadcast
                .entry(product_key.to_owned())
                .or_default()
                .admits(now, minute, BROADCASTS)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_beyond_the_rate_are_counted_out_until_the_next_second() {
        let start = Instant::now();
        let mut rate = Rate::new(start);
        for _ in 0..30 {
            assert_eq!(rate.publish(start, Qos::AtMostOnce, 1), None);
        }
        assert!(rate.publish(start, Qos::AtMostOnce, 1).is_some());
        assert_eq!(rate.publish(start, Qos::AtLeastOnce, 1), None);
        let next = start + SECOND;
        assert_eq!(rate.publish(next, Qos::AtMostOnce, PUBLISHED_BYTES), None);
        assert!(rate.publish(next, Qos::AtMostOnce, 1).is_some());
    }

    #[test]
    fn five_connects_fit_into_any_minute() {
        let start = Instant::now();
        let device = Identity::new("pk", "dn");
        let mut limits = Limits::new(Some(5), true);
        let mut connect = |at: u64| limits.connect(&device, start + SECOND * at as u32, MINUTE);
        for at in [0, 10, 20, 30, 40] {
            assert_eq!(connect(at), None);
        }
        assert!(connect(50).is_some());
        assert!(connect(59).is_some());
        assert_eq!(connect(60), None);
        assert!(connect(61).is_some());
    }
}
