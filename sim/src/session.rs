//! What the simulator keeps for one device: subscriptions, messages under way, the connection.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;
use rumqttc::mqttbytes::QoS;
use rumqttc::mqttbytes::v4::{Packet, Publish};

use crate::auth::Transport;
use crate::limits::Rate;
use crate::outbox::Outbox;
use crate::packet;
use crate::topics;

/// QoS 1 messages under way to a device. Source: platform page "Limits", unacknowledged messages.
pub(crate) const WINDOW: usize = 100;

/// QoS 1 messages that wait for room in the window or for the device to come back.
const MAX_WAITING: usize = 10_000;

/// A message on its way to a device.
#[derive(Clone, Debug)]
pub(crate) struct Message {
    pub(crate) topic: String,
    pub(crate) payload: Bytes,
    pub(crate) qos: QoS,
}

/// The connection a device has at the moment.
pub(crate) struct Link {
    /// Tells this connection from an earlier one of the same device.
    pub(crate) id: u64,
    pub(crate) outbox: Arc<Outbox>,
    pub(crate) transport: Transport,
    pub(crate) client_id: String,
    pub(crate) keep_alive_s: u16,
    pub(crate) clean_session: bool,
    pub(crate) wants_notice: bool,
    pub(crate) takes_custom_rrpc: bool,
    pub(crate) private: bool,
    pub(crate) rate: Rate,
    /// When it came, in milliseconds since 1970.
    pub(crate) since_ms: u64,
}

/// What became of a message for a device.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Delivery {
    /// Queued, on the connection or for later.
    Queued,
    /// Dropped because the device is not there and QoS 0 is not kept.
    Offline,
    /// Dropped because a queue is full.
    Full,
}

/// State of one device, kept beyond a connection unless that was of a clean session.
#[derive(Default)]
pub(crate) struct Session {
    pub(crate) link: Option<Link>,
    pub(crate) subscriptions: Vec<String>,
    /// Sent and not acknowledged, by packet id, the oldest first.
    in_flight: VecDeque<(u16, Message)>,
    waiting: VecDeque<Message>,
    last_id: u16,
}

impl Session {
    pub(crate) fn subscribe(&mut self, filter: &str) {
        if !self.subscriptions.iter().any(|known| known == filter) {
            self.subscriptions.push(filter.to_owned());
        }
    }

    pub(crate) fn unsubscribe(&mut self, filter: &str) {
        self.subscriptions.retain(|known| known != filter);
    }

    pub(crate) fn is_subscribed(&self, topic: &str) -> bool {
        self.subscriptions
            .iter()
            .any(|filter| topics::matches(filter, topic))
    }

    /// Messages that were sent and not acknowledged.
    pub(crate) fn unacknowledged(&self) -> usize {
        self.in_flight.len()
    }

    /// Messages that are kept and not sent yet.
    pub(crate) fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// Sends `message`, or keeps it for later if its QoS is 1.
    pub(crate) fn deliver(&mut self, message: Message) -> Delivery {
        if message.qos == QoS::AtMostOnce {
            return match &self.link {
                None => Delivery::Offline,
                Some(link) if link.outbox.push(encode(&message, 0, false)) => Delivery::Queued,
                Some(_) => Delivery::Full,
            };
        }
        if self.waiting.len() >= MAX_WAITING {
            return Delivery::Full;
        }
        self.waiting.push_back(message);
        if self.fill_window() {
            Delivery::Queued
        } else {
            Delivery::Full
        }
    }

    /// Removes an acknowledged message; false if nothing is known of `id`.
    pub(crate) fn acknowledge(&mut self, id: u16) -> bool {
        let found = self.in_flight.iter().position(|(known, _)| *known == id);
        found.is_some_and(|index| self.in_flight.remove(index).is_some())
    }

    /// Sends again what the last connection left unacknowledged; false if a queue is full.
    ///
    /// Source: MQTT 3.1.1, 4.4.0-1.
    pub(crate) fn resume(&mut self) -> bool {
        let Some(link) = &self.link else {
            return true;
        };
        let resent = self
            .in_flight
            .iter()
            .all(|(id, message)| link.outbox.push(encode(message, *id, true)));
        resent && self.fill_window()
    }

    /// Moves waiting messages into the window; false if the queue to the client is full.
    pub(crate) fn fill_window(&mut self) -> bool {
        while self.in_flight.len() < WINDOW {
            let Some(link) = &self.link else {
                return true;
            };
            let Some(message) = self.waiting.pop_front() else {
                return true;
            };
            let id = next_id(self.last_id, &self.in_flight);
            self.last_id = id;
            let pushed = link.outbox.push(encode(&message, id, false));
            self.in_flight.push_back((id, message));
            if !pushed {
                return false;
            }
        }
        true
    }
}

/// The next packet id that is not in use. The window is far smaller than the range of ids.
fn next_id(last: u16, in_flight: &VecDeque<(u16, Message)>) -> u16 {
    let mut id = last;
    loop {
        id = id.checked_add(1).unwrap_or(1);
        if !in_flight.iter().any(|(used, _)| *used == id) {
            return id;
        }
    }
}

fn encode(message: &Message, id: u16, dup: bool) -> Bytes {
    packet::encode(&Packet::Publish(Publish {
        dup,
        qos: message.qos,
        retain: false,
        topic: message.topic.clone(),
        pkid: id,
        payload: message.payload.clone(),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message() -> Message {
        Message {
            topic: "/pk/dn/user/get".into(),
            payload: Bytes::from_static(b"x"),
            qos: QoS::AtLeastOnce,
        }
    }

    fn connected() -> Session {
        let link = Link {
            id: 1,
            outbox: Arc::new(Outbox::new()),
            transport: Transport::Tcp,
            client_id: "c".into(),
            keep_alive_s: 60,
            clean_session: false,
            wants_notice: false,
            takes_custom_rrpc: false,
            private: false,
            rate: Rate::new(std::time::Instant::now()),
            since_ms: 0,
        };
        Session {
            link: Some(link),
            ..Session::default()
        }
    }

    #[test]
    fn the_window_holds_back_what_is_not_acknowledged() {
        let mut session = connected();
        for _ in 0..WINDOW + 5 {
            assert_eq!(session.deliver(message()), Delivery::Queued);
        }
        assert_eq!((session.unacknowledged(), session.waiting()), (WINDOW, 5));
        assert!(session.acknowledge(7) && !session.acknowledge(7));
        assert!(session.fill_window());
        assert_eq!((session.unacknowledged(), session.waiting()), (WINDOW, 4));
    }

    #[test]
    fn packet_ids_skip_zero_and_those_in_use() {
        let in_flight = VecDeque::from([(1, message())]);
        assert_eq!(next_id(u16::MAX, &in_flight), 2);
    }

    #[test]
    fn an_absent_device_keeps_qos_1_and_loses_qos_0() {
        let mut session = Session::default();
        assert_eq!(session.deliver(message()), Delivery::Queued);
        let lossy = Message {
            qos: QoS::AtMostOnce,
            ..message()
        };
        assert_eq!(session.deliver(lossy), Delivery::Offline);
        assert_eq!(session.waiting(), 1);
    }
}
