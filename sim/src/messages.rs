//! What happens to a device's messages and subscriptions.

use std::time::Instant;

use bytes::Bytes;
use rumqttc::mqttbytes::QoS;
use rumqttc::mqttbytes::v4::{Packet, PubAck, Publish, Subscribe, UnsubAck, Unsubscribe};

use crate::broker::Admitted;
use crate::feed::Direction;
use crate::outbox::End;
use crate::packet;
use crate::platform;
use crate::registry::Identity;
use crate::session::{Delivery, Message, Session};
use crate::state::{Qos, Received, State};
use crate::topics;

/// Most filters in one SUBSCRIBE and most subscriptions of a device.
///
/// Source: platform page "Limits", subscriptions.
const MAX_FILTERS: usize = 8;
const MAX_SUBSCRIPTIONS: usize = 100;

/// Closes a connection whose client does not keep up.
pub(crate) fn overflow(state: &mut State, identity: &Identity) {
    let quoted = state.registry.quote(&identity.to_string());
    state.journal.add(&format!(
        "closing {quoted}: it does not read what it is sent"
    ));
    if let Some(link) = state
        .sessions
        .get(identity)
        .and_then(|session| session.link.as_ref())
    {
        link.outbox.end(End::Cut);
    }
}

/// Sends a message to a device and logs if that is not possible.
pub(crate) fn deliver(state: &mut State, identity: &Identity, message: Message) -> Delivery {
    let Some(session) = state.sessions.get_mut(identity) else {
        return Delivery::Offline;
    };
    let (qos, topic, payload) = (message.qos, message.topic.clone(), message.payload.clone());
    let delivery = session.deliver(message);
    if delivery == Delivery::Queued {
        let number = if qos == QoS::AtMostOnce {
            Qos::AtMostOnce
        } else {
            Qos::AtLeastOnce
        };
        state
            .journal
            .feed
            .message(Direction::Down, identity, &topic, number, &payload);
    }
    if delivery == Delivery::Full {
        let (quoted, topic) = (
            state.registry.quote(&identity.to_string()),
            state.registry.quote(&topic),
        );
        state.journal.add(&format!(
            "dropped a message to {quoted} on {topic}: its queue is full"
        ));
        if qos != QoS::AtMostOnce {
            overflow(state, identity);
        }
    }
    delivery
}

/// Handles a PUBACK of a device.
pub(crate) fn acknowledge(state: &mut State, identity: &Identity, id: u16) {
    let Some(session) = state.sessions.get_mut(identity) else {
        return;
    };
    if !session.acknowledge(id) {
        let quoted = state.registry.quote(&identity.to_string());
        state.journal.add(&format!(
            "ignored a PUBACK of {quoted} for {id}: nothing has that id"
        ));
        return;
    }
    if !session.fill_window() {
        overflow(state, identity);
    }
}

/// Handles a PUBLISH of a device; the answer is its PUBACK.
pub(crate) fn publish(
    state: &mut State,
    admitted: &Admitted,
    publish: Publish,
) -> Result<Option<Bytes>, String> {
    let identity = &admitted.identity;
    if publish.payload.len() > packet::MAX_PAYLOAD {
        let (size, limit) = (publish.payload.len(), packet::MAX_PAYLOAD);
        return Err(format!("a payload of {size} bytes, the limit is {limit}"));
    }
    if !topics::is_topic(&publish.topic) {
        return Err("a PUBLISH on an empty topic or on one with a wildcard".into());
    }
    let qos = match publish.qos {
        QoS::AtMostOnce => Qos::AtMostOnce,
        QoS::AtLeastOnce => Qos::AtLeastOnce,
        QoS::ExactlyOnce => return Err("a PUBLISH of QoS 2: the platform has QoS 0 and 1".into()),
    };
    let topic = state.registry.quote(&publish.topic);
    let quoted = state.registry.quote(&identity.to_string());
    let size = publish.payload.len();
    let fault = (!admitted.private)
        .then(|| {
            topics::publish_fault(identity, &publish.topic)
                .or_else(|| over_rate(state, identity, qos, size))
        })
        .flatten();
    if let Some(fault) = fault {
        state.journal.add(&format!(
            "dropped a message of {quoted} on {topic}: {fault}"
        ));
    } else {
        state.journal.add(&format!(
            "published {topic} {size} bytes qos {} by {quoted}",
            qos.number()
        ));
        state.remember(Received {
            identity: identity.clone(),
            topic: publish.topic.clone(),
            payload: publish.payload.clone(),
            qos,
            dup: publish.dup,
            packet_id: publish.pkid,
            connection: admitted.link,
        });
        let (topic, payload) = (&publish.topic, &publish.payload);
        state
            .journal
            .feed
            .message(Direction::Up, identity, topic, qos, payload);
        route(state, admitted, &publish);
        if !admitted.private {
            platform::heard(state, identity, topic, payload);
        }
    }
    let acks = !state
        .faults
        .get(identity)
        .is_some_and(|faults| faults.drop_acks);
    Ok((qos == Qos::AtLeastOnce && acks)
        .then(|| packet::encode(&Packet::PubAck(PubAck::new(publish.pkid)))))
}

/// Why a message is one too many, if rates are limited.
fn over_rate(state: &mut State, identity: &Identity, qos: Qos, size: usize) -> Option<String> {
    if !state.limits.rates {
        return None;
    }
    let link = state.sessions.get_mut(identity)?.link.as_mut()?;
    link.rate.publish(Instant::now(), qos, size)
}

/// Passes a device's message to those subscribed: the device itself, and among clients of a private
/// platform every one of them. QoS is the publisher's, as on the platform.
fn route(state: &mut State, admitted: &Admitted, publish: &Publish) {
    let subscribed = |session: &Session| session.is_subscribed(&publish.topic);
    let own = &admitted.identity;
    let receivers: Vec<Identity> = if admitted.private {
        let private = |session: &Session| session.link.as_ref().is_some_and(|link| link.private);
        let sessions = state.sessions.iter();
        let reached = sessions.filter(|(identity, session)| {
            (*identity == own || private(session)) && subscribed(session)
        });
        reached.map(|(identity, _)| identity.clone()).collect()
    } else {
        let session = state.sessions.get(own).filter(|s| subscribed(s));
        session.map(|_| own.clone()).into_iter().collect()
    };
    for receiver in receivers {
        let message = Message {
            topic: publish.topic.clone(),
            payload: publish.payload.clone(),
            qos: publish.qos,
        };
        deliver(state, &receiver, message);
    }
}

/// Handles a SUBSCRIBE of a device; the answer is its SUBACK.
pub(crate) fn subscribe(state: &mut State, admitted: &Admitted, packet: &Subscribe) -> Bytes {
    let identity = &admitted.identity;
    let too_many = !admitted.private && packet.filters.len() > MAX_FILTERS;
    let mut granted = Vec::new();
    for filter in &packet.filters {
        let quoted = state.registry.quote(&identity.to_string());
        let path = state.registry.quote(&filter.path);
        let Some(session) = state.sessions.get_mut(identity) else {
            granted.push(None);
            continue;
        };
        let full = session.subscriptions.len() >= MAX_SUBSCRIPTIONS
            && !session.subscriptions.contains(&filter.path);
        let fault = if admitted.private {
            (!topics::is_filter(&filter.path)).then(|| "it is not a topic filter".to_owned())
        } else if too_many {
            let count = packet.filters.len();
            Some(format!(
                "{count} filters in one SUBSCRIBE, the limit is {MAX_FILTERS}"
            ))
        } else {
            topics::subscribe_fault(identity, &filter.path).or_else(|| {
                full.then(|| format!("it has {MAX_SUBSCRIPTIONS} subscriptions, the limit"))
            })
        };
        match fault {
            None => {
                session.subscribe(&filter.path);
                state.journal.add(&format!("subscribed {quoted} to {path}"));
                let at_most_once = filter.qos == QoS::AtMostOnce;
                granted.push(Some(if at_most_once {
                    QoS::AtMostOnce
                } else {
                    QoS::AtLeastOnce
                }));
            }
            Some(fault) => {
                let line = format!("refused a subscription of {quoted} to {path}: {fault}");
                state.journal.add(&line);
                granted.push(None);
            }
        }
    }
    packet::sub_ack(packet.pkid, &granted)
}

/// Handles an UNSUBSCRIBE of a device; the answer is its UNSUBACK.
pub(crate) fn unsubscribe(state: &mut State, admitted: &Admitted, packet: &Unsubscribe) -> Bytes {
    let identity = &admitted.identity;
    let quoted = state.registry.quote(&identity.to_string());
    for filter in &packet.topics {
        if let Some(session) = state.sessions.get_mut(identity) {
            session.unsubscribe(filter);
        }
        let filter = state.registry.quote(filter);
        state
            .journal
            .add(&format!("unsubscribed {quoted} from {filter}"));
    }
    packet::encode(&Packet::UnsubAck(UnsubAck { pkid: packet.pkid }))
}
