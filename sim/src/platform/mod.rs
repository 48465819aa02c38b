//! The platform's side of the system topics: it answers what devices ask and asks what they answer.
//!
//! Source: platform pages "Alink protocol" and those of each function, as far as the envelope and
//! the obvious meaning go.

mod alink;
mod calls;
mod cloud;
mod files;
mod ota;
mod shadow;
mod twin;

use std::collections::BTreeMap;

use bytes::Bytes;
use rumqttc::mqttbytes::QoS;
use serde_json::{Value, json};

pub(crate) use calls::{Ask, Calls};
pub(crate) use files::Files;
pub(crate) use ota::RemoteConfig;
pub(crate) use twin::Twin;

use crate::feed::now_ms;
use crate::messages;
use crate::registry::Identity;
use crate::session::Message;
use crate::state::State;

/// What the platform keeps beside products and devices.
#[derive(Default)]
pub(crate) struct Platform {
    /// Whether devices are answered.
    pub(crate) answers: bool,
    /// What is known of each device.
    pub(crate) twins: BTreeMap<Identity, Twin>,
    /// Remote configuration by product key.
    pub(crate) configs: BTreeMap<String, RemoteConfig>,
    pub(crate) files: Files,
    pub(crate) calls: Calls,
    /// Counts what is to be kept in the state file.
    pub(crate) generation: u64,
    last_id: u64,
}

impl Platform {
    /// Says that something changed that a state file keeps.
    pub(crate) fn touch(&mut self) {
        self.generation += 1;
    }

    /// The next message id.
    pub(crate) fn id(&mut self) -> u64 {
        self.last_id += 1;
        self.last_id
    }

    /// What is known of a device, to be changed.
    pub(crate) fn twin(&mut self, identity: &Identity) -> &mut Twin {
        self.twins.entry(identity.clone()).or_default()
    }
}

/// A message of the platform to the device: topic and payload.
type Answer = (String, Value);

/// Handles a message that a device published: passes it to who waits for it, and answers it.
pub(crate) fn heard(state: &mut State, identity: &Identity, topic: &str, payload: &Bytes) {
    // A request id may be appended to any topic.
    let topic = topic.split('?').next().unwrap_or(topic);
    state.platform.calls.reply(identity, topic, payload);
    if !state.platform.answers {
        return;
    }
    if let Some((topic, answer)) = answer(state, identity, topic, payload) {
        send(state, identity, &topic, answer.to_string().into());
    }
}

/// Sends a message of the platform with QoS 0, as its answers are.
pub(crate) fn send(state: &mut State, identity: &Identity, topic: &str, payload: Bytes) {
    let message = Message {
        topic: topic.to_owned(),
        payload,
        qos: QoS::AtMostOnce,
    };
    messages::deliver(state, identity, message);
}

fn answer(state: &mut State, identity: &Identity, topic: &str, payload: &Bytes) -> Option<Answer> {
    let Identity {
        product_key: key,
        device_name: name,
    } = identity;
    let levels: Vec<&str> = topic.split('/').skip(1).collect();
    match levels.as_slice() {
        ["ext", "ntp", _, _, "request"] => {
            let response = format!("/ext/ntp/{key}/{name}/response");
            Some((response, ntp(payload)?))
        }
        ["shadow", "update", _, _] => {
            let twin = state.platform.twin(identity);
            let answer = twin.shadow.request(payload);
            state.platform.touch();
            Some((format!("/shadow/get/{key}/{name}"), answer))
        }
        ["ota", "device", what @ ("inform" | "progress"), _, _] => {
            ota::report(state, identity, what, payload);
            None
        }
        ["sys", _, _, method @ ..] => {
            let answer = alink::answer(state, identity, method, payload)?;
            Some((format!("{topic}_reply"), answer))
        }
        _ => None,
    }
}

/// The answer to a question for the time. What the device sent comes back as it was.
fn ntp(payload: &Bytes) -> Option<Value> {
    let request: Value = serde_json::from_slice(payload).ok()?;
    let now = now_ms().to_string();
    Some(json!({
        "deviceSendTime": request.get("deviceSendTime")?,
        "serverRecvTime": now,
        "serverSendTime": now,
    }))
}
