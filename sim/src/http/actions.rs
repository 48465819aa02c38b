//! What the API does to devices.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use hyper::StatusCode;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::api::{Asked, Failure, Outcome, nowhere};
use crate::broker::Broker;
use crate::drive::Addressing;
use crate::outbox::End;
use crate::platform::Ask;
use crate::registry::Identity;
use crate::state::Qos;

/// A payload as text or as hex digits; the default is none.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Message {
    topic: Option<String>,
    payload: Option<String>,
    payload_hex: Option<String>,
    qos: u8,
    force: bool,
    timeout_ms: Option<u64>,
}

impl Message {
    fn payload(&self) -> Result<Bytes, Failure> {
        let wrong = |reason: &str| Err(Failure::new(StatusCode::BAD_REQUEST, reason));
        match (&self.payload, &self.payload_hex) {
            (Some(_), Some(_)) => wrong("give payload or payload_hex, not both"),
            (Some(text), None) => Ok(Bytes::copy_from_slice(text.as_bytes())),
            (None, Some(digits)) => match hex::decode(digits) {
                Ok(bytes) => Ok(bytes.into()),
                Err(_) => wrong("payload_hex is not hex"),
            },
            (None, None) => Ok(Bytes::new()),
        }
    }

    fn timeout(&self) -> Option<Duration> {
        self.timeout_ms.map(Duration::from_millis)
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Params {
    params: Value,
    #[serde(default)]
    sync: bool,
    timeout_ms: Option<u64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Desired {
    desired: Map<String, Value>,
}

/// Carries out what a path of a device asks for.
pub(super) async fn on_device(
    broker: &Arc<Broker>,
    identity: &Identity,
    action: &[&str],
    asked: &Asked,
) -> Outcome {
    let done = || Ok(json!({}));
    match action {
        ["publish"] => publish(broker, identity, asked),
        ["rrpc"] => {
            let message: Message = asked.json()?;
            let ask = Ask::Rrpc(message.topic.as_deref());
            let answer = broker.call(identity, ask, message.payload()?, message.timeout());
            Ok(shown(broker, &answer.await?))
        }
        ["properties"] => {
            let given: Params = asked.json()?;
            call(broker, identity, Ask::Properties, &given).await
        }
        ["services", id] => {
            let given: Params = asked.json()?;
            let ask = Ask::Service {
                id,
                sync: given.sync,
            };
            call(broker, identity, ask, &given).await
        }
        ["desired"] => {
            let told = broker.desire(identity, &asked.json::<Desired>()?.desired)?;
            Ok(json!({"told": told}))
        }
        ["shadow"] => {
            let version = broker.desire_shadow(identity, &asked.json::<Desired>()?.desired)?;
            Ok(json!({"version": version}))
        }
        ["ota"] => {
            let Some(version) = asked.param("version") else {
                let reason = "version is missing in the query";
                return Err(Failure::new(StatusCode::BAD_REQUEST, reason));
            };
            let module = asked.param("module");
            let url = broker.push_ota(identity, version, module, asked.body())?;
            Ok(json!({"url": url}))
        }
        ["certificate"] => {
            let issued = broker.issue(identity)?;
            Ok(json!({
                "certificate": issued.certificate_pem,
                "key": issued.key_pem,
                "sha256": issued.sha256,
            }))
        }
        ["kick"] => broker
            .kick(identity)
            .map_err(Failure::from)
            .and_then(|()| done()),
        ["cut"] => {
            broker.end(identity, End::Cut)?;
            done()
        }
        ["reset"] => {
            broker.end(identity, End::Reset)?;
            done()
        }
        ["disable"] => {
            broker.set_disabled(identity, true)?;
            done()
        }
        ["enable"] => {
            broker.set_disabled(identity, false)?;
            done()
        }
        ["forget"] => {
            broker.reset_device(identity)?;
            done()
        }
        _ => nowhere(),
    }
}

fn publish(broker: &Broker, identity: &Identity, asked: &Asked) -> Outcome {
    let message: Message = asked.json()?;
    let wrong = |reason: &str| Err(Failure::new(StatusCode::BAD_REQUEST, reason));
    let Some(topic) = &message.topic else {
        return wrong("topic is missing");
    };
    let qos = match message.qos {
        0 => Qos::AtMostOnce,
        1 => Qos::AtLeastOnce,
        _ => return wrong("qos is 0 or 1"),
    };
    let addressing = if message.force {
        Addressing::Forced
    } else {
        Addressing::AsThePlatform
    };
    broker.publish(identity, topic, message.payload()?, qos, addressing)?;
    Ok(json!({}))
}

async fn call(broker: &Arc<Broker>, identity: &Identity, ask: Ask<'_>, given: &Params) -> Outcome {
    let params = given.params.to_string().into();
    let timeout = given.timeout_ms.map(Duration::from_millis);
    let answer = broker.call(identity, ask, params, timeout).await?;
    Ok(shown(broker, &answer))
}

/// An answer of a device: as JSON if it is some, as text, or as hex digits.
fn shown(broker: &Broker, answer: &Bytes) -> Value {
    let Ok(text) = std::str::from_utf8(answer) else {
        return json!({"payload_hex": hex::encode(answer)});
    };
    let text = broker.lock().registry.redact(text).into_owned();
    match serde_json::from_str::<Value>(&text) {
        Ok(value) if !value.is_string() => json!({"payload": text, "answer": value}),
        _ => json!({"payload": text}),
    }
}

/// Sends a message to the devices of a product.
pub(super) fn broadcast(broker: &Broker, product_key: &str, asked: &Asked) -> Outcome {
    let message: Message = asked.json()?;
    let topic = message.topic.as_deref();
    let reached = broker.broadcast(product_key, topic, &message.payload()?)?;
    Ok(json!({"reached": reached}))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Hold {
    on: bool,
}

/// Stops or resumes reading from every connection.
pub(super) fn hold(broker: &Broker, asked: &Asked) -> Outcome {
    broker.set_hold(asked.json::<Hold>()?.on);
    Ok(json!({}))
}
