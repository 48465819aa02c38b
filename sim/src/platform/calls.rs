//! Calls of the application to a device: a message out, and its answer within a deadline.

use std::collections::HashMap;
use std::time::Duration;

use bytes::Bytes;
use serde_json::{Value, json};
use tokio::sync::oneshot;

use crate::broker::Broker;
use crate::drive::Addressing;
use crate::error::Error;
use crate::registry::Identity;
use crate::state::Qos;

/// How long the platform waits for an answer at most. Source: platform page "Limits", RRPC.
pub(crate) const DEADLINE: Duration = Duration::from_secs(8);

/// Topic and id by which an answer is known. The id is empty where the topic itself is unique.
type Key = (Identity, String, String);

/// Calls that wait for their answers.
#[derive(Default)]
pub(crate) struct Calls(HashMap<Key, oneshot::Sender<Bytes>>);

impl Calls {
    /// Hands a message to the call that waits for it.
    pub(super) fn reply(&mut self, identity: &Identity, topic: &str, payload: &Bytes) {
        if self.0.is_empty() {
            return;
        }
        let mut key = (identity.clone(), topic.to_owned(), String::new());
        if !self.0.contains_key(&key) {
            let Ok(answer) = serde_json::from_slice::<Value>(payload) else {
                return;
            };
            key.2 = match answer.get("id") {
                Some(Value::String(id)) => id.clone(),
                Some(Value::Number(id)) => id.to_string(),
                _ => return,
            };
        }
        if let Some(waiting) = self.0.remove(&key) {
            let _ = waiting.send(payload.clone());
        }
    }
}

/// What an application asks of a device.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Ask<'a> {
    /// RRPC on the system topic, or on one of the application's choice.
    Rrpc(Option<&'a str>),
    /// Sets properties.
    Properties,
    /// Calls a service, on its own topic or by RRPC.
    Service { id: &'a str, sync: bool },
}

impl Broker {
    /// Asks a device and waits for its answer.
    pub(crate) async fn call(
        &self,
        identity: &Identity,
        ask: Ask<'_>,
        payload: Bytes,
        timeout: Option<Duration>,
    ) -> Result<Bytes, Error> {
        let timeout = timeout.unwrap_or(DEADLINE);
        if timeout > DEADLINE {
            let reason = "the platform waits 8000 ms for an answer at most";
            return Err(Error::InvalidArgument(reason.into()));
        }
        let (key, receiver) = self.ask(identity, ask, payload)?;
        let answer = tokio::time::timeout(timeout, receiver).await;
        if let Ok(Ok(answer)) = answer {
            return Ok(answer);
        }
        let mut state = self.lock();
        state.platform.calls.0.remove(&key);
        let whom = state.registry.quote(&identity.to_string());
        let topic = state.registry.quote(&key.1);
        let line = format!("no answer of {whom} on {topic} within {timeout:?}");
        state.journal.add(&line);
        drop(state);
        self.changed.notify_all();
        Err(Error::Timeout)
    }

    fn ask(
        &self,
        identity: &Identity,
        ask: Ask<'_>,
        payload: Bytes,
    ) -> Result<(Key, oneshot::Receiver<Bytes>), Error> {
        let absent = || Error::NotConnected(identity.to_string());
        let (sender, receiver) = oneshot::channel();
        let mut state = self.lock();
        let session = state.sessions.get(identity);
        let link = session.and_then(|session| session.link.as_ref());
        let takes_custom = link.ok_or_else(absent)?.takes_custom_rrpc;
        let id = state.platform.id();
        let (topic, reply, reply_id, method) = topics(identity, ask, id);
        if topic.starts_with("/ext/rrpc/") && !takes_custom {
            let reason = "the device takes no RRPC on custom topics: its client id lacks ext=1";
            return Err(Error::InvalidArgument(reason.into()));
        }
        let payload = match method {
            Some(method) => envelope(id, &method, &payload)?,
            None => payload,
        };
        let key = (identity.clone(), reply, reply_id);
        state.platform.calls.0.insert(key.clone(), sender);
        drop(state);
        let sent = self.publish(
            identity,
            &topic,
            payload,
            Qos::AtMostOnce,
            Addressing::Forced,
        );
        if let Err(error) = sent {
            self.lock().platform.calls.0.remove(&key);
            return Err(error);
        }
        Ok((key, receiver))
    }
}

/// Topic of the question, topic and id of the answer, and the method if it has an envelope.
fn topics(identity: &Identity, ask: Ask<'_>, id: u64) -> (String, String, String, Option<String>) {
    let Identity {
        product_key: key,
        device_name: name,
    } = identity;
    match ask {
        Ask::Rrpc(None) => (
            format!("/sys/{key}/{name}/rrpc/request/{id}"),
            format!("/sys/{key}/{name}/rrpc/response/{id}"),
            String::new(),
            None,
        ),
        Ask::Rrpc(Some(custom)) => {
            let topic = format!("/ext/rrpc/{id}/{}", custom.trim_start_matches('/'));
            (topic.clone(), topic, String::new(), None)
        }
        Ask::Properties => {
            let topic = format!("/sys/{key}/{name}/thing/service/property/set");
            let reply = format!("{topic}_reply");
            let method = "thing.service.property.set".to_owned();
            (topic, reply, id.to_string(), Some(method))
        }
        Ask::Service { id: service, sync } => {
            let topic = format!("/sys/{key}/{name}/thing/service/{service}");
            let method = format!("thing.service.{service}");
            if sync {
                let topic = format!("/ext/rrpc/{id}{topic}");
                (topic.clone(), topic, String::new(), Some(method))
            } else {
                let reply = format!("{topic}_reply");
                (topic, reply, id.to_string(), Some(method))
            }
        }
    }
}

/// The envelope of a question; `params` is JSON.
fn envelope(id: u64, method: &str, params: &Bytes) -> Result<Bytes, Error> {
    let params: Value = serde_json::from_slice(params)
        .map_err(|_| Error::InvalidArgument("the parameters are not JSON".into()))?;
    let question = json!({
        "id": id.to_string(),
        "version": "1.0",
        "params": params,
        "method": method,
    });
    Ok(question.to_string().into())
}
