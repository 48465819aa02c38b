//! What happens, as it happens: messages in both directions and devices that come and go.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use serde_json::{Value, json};
use tokio::sync::broadcast;

use crate::registry::{Identity, Registry};
use crate::state::Qos;

/// Happenings that wait for a listener before it loses some.
const MAX_BEHIND: usize = 4096;

/// Happenings remembered, and bytes of a payload that are.
const MAX_REMEMBERED: usize = 1000;
const MAX_PAYLOAD: usize = 4096;

/// Which way a message went.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Direction {
    /// From the device.
    Up,
    /// To the device.
    Down,
}

/// Something that happened.
#[derive(Clone, Debug)]
pub(crate) struct Event {
    /// Counts messages and presence from 1; 0 for a log line.
    pub(crate) number: u64,
    time_ms: u64,
    what: What,
}

#[derive(Clone, Debug)]
enum What {
    Message {
        direction: Direction,
        identity: Identity,
        topic: String,
        qos: Qos,
        payload: Bytes,
        size: usize,
    },
    Presence {
        identity: Identity,
        online: bool,
        reason: String,
    },
    Log(String),
}

/// Milliseconds since 1970.
pub(crate) fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    u64::try_from(since.unwrap_or_default().as_millis()).unwrap_or(u64::MAX)
}

/// The latest happenings and who listens to further ones.
pub(crate) struct Feed {
    recent: VecDeque<Arc<Event>>,
    sender: broadcast::Sender<Arc<Event>>,
    last: u64,
}

impl Feed {
    pub(crate) fn new() -> Self {
        Self {
            recent: VecDeque::new(),
            sender: broadcast::Sender::new(MAX_BEHIND),
            last: 0,
        }
    }

    /// Adds a message that a device published or was sent.
    pub(crate) fn message(
        &mut self,
        direction: Direction,
        identity: &Identity,
        topic: &str,
        qos: Qos,
        payload: &Bytes,
    ) {
        // A copy, because a slice would keep the whole buffer alive that it was read into.
        let start = payload.get(..MAX_PAYLOAD).unwrap_or(payload);
        self.add(What::Message {
            direction,
            identity: identity.clone(),
            topic: topic.to_owned(),
            qos,
            payload: Bytes::copy_from_slice(start),
            size: payload.len(),
        });
    }

    /// Adds that a device came or went.
    pub(crate) fn presence(&mut self, identity: &Identity, online: bool, reason: &str) {
        self.add(What::Presence {
            identity: identity.clone(),
            online,
            reason: reason.to_owned(),
        });
    }

    /// Passes on a log line, which the journal remembers.
    pub(crate) fn log(&self, line: &str) {
        if self.sender.receiver_count() > 0 {
            let event = Event {
                number: 0,
                time_ms: now_ms(),
                what: What::Log(line.to_owned()),
            };
            let _ = self.sender.send(Arc::new(event));
        }
    }

    fn add(&mut self, what: What) {
        self.last += 1;
        let event = Arc::new(Event {
            number: self.last,
            time_ms: now_ms(),
            what,
        });
        let _ = self.sender.send(Arc::clone(&event));
        self.recent.push_back(event);
        if self.recent.len() > MAX_REMEMBERED {
            self.recent.pop_front();
        }
    }

    /// The messages remembered with a number above `after`, the oldest first.
    pub(crate) fn messages(&self, after: u64) -> impl Iterator<Item = &Arc<Event>> {
        self.recent
            .iter()
            .filter(move |event| event.number > after && matches!(event.what, What::Message { .. }))
    }

    /// Hears what happens from now on.
    pub(crate) fn listen(&self) -> broadcast::Receiver<Arc<Event>> {
        self.sender.subscribe()
    }
}

impl Event {
    /// The happening as JSON, without any secret.
    pub(crate) fn json(&self, registry: &Registry) -> Value {
        let mut value = match &self.what {
            What::Message {
                direction,
                identity,
                topic,
                qos,
                payload,
                size,
            } => {
                let mut value = json!({
                    "kind": "message",
                    "direction": if *direction == Direction::Up { "up" } else { "down" },
                    "product_key": identity.product_key,
                    "device_name": identity.device_name,
                    "topic": registry.redact(topic),
                    "qos": qos.number(),
                    "size": size,
                });
                // A text may have been cut within a character.
                let text = match std::str::from_utf8(payload) {
                    Ok(text) => Some(text),
                    Err(error) if error.error_len().is_none() && *size > payload.len() => payload
                        .get(..error.valid_up_to())
                        .and_then(|valid| std::str::from_utf8(valid).ok()),
                    Err(_) => None,
                };
                let (name, shown) = match text {
                    Some(text) => ("payload", registry.redact(text).into_owned()),
                    None => ("payload_hex", hex::encode(payload)),
                };
                set(&mut value, name, shown.into());
                value
            }
            What::Presence {
                identity,
                online,
                reason,
            } => json!({
                "kind": "presence",
                "product_key": identity.product_key,
                "device_name": identity.device_name,
                "online": online,
                "reason": registry.redact(reason),
            }),
            What::Log(line) => json!({"kind": "log", "line": line}),
        };
        set(&mut value, "time_ms", self.time_ms.into());
        if self.number > 0 {
            set(&mut value, "number", self.number.into());
        }
        value
    }
}

fn set(object: &mut Value, name: &str, value: Value) {
    if let Some(object) = object.as_object_mut() {
        object.insert(name.to_owned(), value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn payloads_are_text_or_hex_and_hold_no_secret() {
        let mut registry = Registry::default();
        registry.add_device("pk", "dn", "a-device-secret");
        let device = Identity::new("pk", "dn");
        let mut feed = Feed::new();
        let mut add = |payload: Vec<u8>| {
            let payload = Bytes::from(payload);
            feed.message(Direction::Up, &device, "/t", Qos::AtMostOnce, &payload);
        };
        add(b"is a-device-secret known".to_vec());
        add(vec![0xFF]);
        add("é".repeat(MAX_PAYLOAD).into_bytes());
        let shown: Vec<Value> = feed.messages(0).map(|e| e.json(&registry)).collect();
        assert_eq!(shown[0]["payload"], "is *** known");
        assert_eq!(shown[1]["payload_hex"], "ff");
        assert_eq!(shown[2]["payload"], "é".repeat(MAX_PAYLOAD / 2));
        assert_eq!(shown[2]["size"], 2 * MAX_PAYLOAD);
        assert_eq!(feed.messages(2).count(), 1);
    }
}
