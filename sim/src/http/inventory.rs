//! What the API shows: products, devices, connections, messages, the log. No secret, except in the
//! answer to who makes one.

use hyper::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};

use super::api::{Asked, Failure, Outcome};
use crate::broker::{Broker, take_over};
use crate::config;
use crate::registry::{Device, Identity};
use crate::state::{Connection, State, View};

/// Most messages and log lines in one answer.
const MAX_SHOWN: u64 = 1000;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NewProduct {
    product_key: Option<String>,
    product_secret: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NewDevice {
    product_key: String,
    device_name: Option<String>,
    device_secret: Option<String>,
    #[serde(default)]
    kind: Kind,
}

/// What a new device signs in with.
#[derive(Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Kind {
    #[default]
    Secret,
    /// Nothing yet: it will register.
    Preregistered,
    /// A certificate.
    X509,
}

fn wrong(reason: impl Into<String>) -> Failure {
    Failure::new(StatusCode::BAD_REQUEST, reason)
}

pub(super) fn products(broker: &Broker) -> Value {
    let state = broker.lock();
    let products = state.registry.products.iter().map(|(key, product)| {
        json!({
            "product_key": key,
            "has_secret": product.secret.is_some(),
            "registration": product.secret.is_some() && !product.registration_off,
            "devices": product.devices.len(),
        })
    });
    products.collect::<Vec<_>>().into()
}

pub(super) fn add_product(broker: &Broker, asked: &Asked) -> Outcome {
    let given: NewProduct = asked.json()?;
    let mut guard = broker.lock();
    let state = &mut *guard;
    let key = given
        .product_key
        .unwrap_or_else(|| state.random.product_key());
    config::check_name("product key", &key).map_err(wrong)?;
    if state.registry.products.contains_key(&key) {
        let reason = "there is such a product already";
        return Err(Failure::new(StatusCode::CONFLICT, reason));
    }
    let secret = given
        .product_secret
        .unwrap_or_else(|| state.random.secret());
    state.registry.hide(&secret);
    let product = state.registry.products.entry(key.clone()).or_default();
    product.secret = Some(secret.clone().into());
    state.platform.touch();
    Ok(json!({"product_key": key, "product_secret": secret}))
}

pub(super) fn devices(broker: &Broker) -> Value {
    let state = broker.lock();
    let mut devices = Vec::new();
    for (key, product) in &state.registry.products {
        for (name, device) in &product.devices {
            devices.push(described(&state, &Identity::new(key, name), Some(device)));
        }
    }
    for entry in &state.registry.verbatim {
        devices.push(described(&state, &entry.identity, None));
    }
    devices.into()
}

/// What a list says of a device; one without an entry is a verbatim client.
fn described(state: &State, identity: &Identity, device: Option<&Device>) -> Value {
    let Identity {
        product_key,
        device_name,
    } = identity;
    let session = state.sessions.get(identity);
    let link = session.and_then(|session| session.link.as_ref());
    let mut value = json!({
        "product_key": product_key,
        "device_name": device_name,
        "since_ms": link.map(|link| link.since_ms),
        "online": link.is_some(),
        "verbatim": device.is_none(),
    });
    if let (Some(device), Some(object)) = (device, value.as_object_mut()) {
        object.insert("disabled".into(), device.disabled.into());
        object.insert("activated".into(), device.activated.into());
        object.insert("has_secret".into(), device.secret.is_some().into());
        object.insert("tokens".into(), device.tokens().count().into());
        object.insert("x509".into(), device.certificate.is_some().into());
    }
    value
}

pub(super) fn device(broker: &Broker, identity: &Identity) -> Outcome {
    let state = broker.lock();
    let device = state.registry.device(identity);
    let verbatim = &state.registry.verbatim;
    if device.is_none() && !verbatim.iter().any(|entry| entry.identity == *identity) {
        return Err(unknown());
    }
    let mut value = described(&state, identity, device);
    let connections = View(&state).connections();
    let connection = connections.iter().find(|c| c.identity == *identity);
    if let Some(object) = value.as_object_mut() {
        let shown = connection.map(|connection| connected(&state, connection));
        object.insert("connection".into(), shown.into());
        let faults = state.faults.get(identity).cloned().unwrap_or_default();
        object.insert("faults".into(), json!(faults));
        let twin = state.platform.twins.get(identity);
        object.insert("twin".into(), json!(twin.cloned().unwrap_or_default()));
    }
    Ok(redacted(&state, value))
}

/// Tags, properties and whatever else a device reports may hold its secret by mistake.
fn redacted(state: &State, value: Value) -> Value {
    match value {
        Value::String(text) => state.registry.redact(&text).into_owned().into(),
        Value::Array(list) => list.into_iter().map(|item| redacted(state, item)).collect(),
        Value::Object(map) => map
            .into_iter()
            .map(|(name, item)| (name, redacted(state, item)))
            .collect(),
        other => other,
    }
}

fn unknown() -> Failure {
    Failure::new(StatusCode::NOT_FOUND, "there is no such device")
}

pub(super) fn add_device(broker: &Broker, asked: &Asked) -> Outcome {
    let given: NewDevice = asked.json()?;
    let mut guard = broker.lock();
    let state = &mut *guard;
    let random = || format!("device-{:08x}", state.random.next() as u32);
    let name = given.device_name.unwrap_or_else(random);
    config::check_name("device name", &name).map_err(wrong)?;
    let key = given.product_key;
    if !state.registry.products.contains_key(&key) {
        let reason = "there is no such product: add it first";
        return Err(Failure::new(StatusCode::NOT_FOUND, reason));
    }
    let identity = Identity::new(&key, &name);
    if state.registry.device(&identity).is_some() {
        let reason = "there is such a device already";
        return Err(Failure::new(StatusCode::CONFLICT, reason));
    }
    let mut answer = json!({"product_key": key, "device_name": name});
    let mut tell = |what: &str, value: String| {
        if let Some(object) = answer.as_object_mut() {
            object.insert(what.into(), value.into());
        }
    };
    match given.kind {
        Kind::Secret => {
            let secret = given.device_secret;
            let secret = secret.unwrap_or_else(|| state.random.secret());
            if secret.is_empty() {
                return Err(wrong("the device secret is empty"));
            }
            state.registry.add_device(&key, &name, secret.clone());
            tell("device_secret", secret);
        }
        Kind::Preregistered => {
            state.registry.device_entry(&key, &name);
        }
        Kind::X509 => {
            drop(guard);
            let issued = broker.issue(&identity)?;
            tell("certificate", issued.certificate_pem);
            tell("key", issued.key_pem);
            tell("sha256", issued.sha256);
            return Ok(answer);
        }
    }
    state.platform.touch();
    Ok(answer)
}

pub(super) fn remove_device(broker: &Broker, identity: &Identity) -> Outcome {
    let mut guard = broker.lock();
    let state = &mut *guard;
    let product = state.registry.products.get_mut(&identity.product_key);
    let removed = product.and_then(|product| product.devices.remove(&identity.device_name));
    removed.ok_or_else(unknown)?;
    take_over(state, identity, "the device was removed");
    state.sessions.remove(identity);
    state.platform.twins.remove(identity);
    state.platform.touch();
    drop(guard);
    broker.changed.notify_all();
    Ok(json!({}))
}

fn connected(state: &State, connection: &Connection) -> Value {
    let value = json!({
        "product_key": connection.identity.product_key,
        "device_name": connection.identity.device_name,
        "number": connection.number,
        "transport": connection.transport.name(),
        "client_id": connection.client_id,
        "keep_alive_s": connection.keep_alive_s,
        "clean_session": connection.clean_session,
        "subscriptions": connection.subscriptions,
        "unacknowledged": connection.unacknowledged,
        "waiting": connection.waiting,
    });
    redacted(state, value)
}

pub(super) fn connections(broker: &Broker) -> Value {
    let state = broker.lock();
    let connections = View(&state).connections();
    let shown = connections.iter().map(|c| connected(&state, c));
    shown.collect::<Vec<_>>().into()
}

pub(super) fn messages(broker: &Broker, asked: &Asked) -> Outcome {
    let after = asked.number("after")?.unwrap_or(0);
    let limit = asked.number("limit")?.unwrap_or(100).min(MAX_SHOWN);
    let state = broker.lock();
    let all: Vec<Value> = state
        .journal
        .feed
        .messages(after)
        .map(|event| event.json(&state.registry))
        .collect();
    Ok(newest(all, limit))
}

pub(super) fn log(broker: &Broker, asked: &Asked) -> Outcome {
    let limit = asked.number("limit")?.unwrap_or(100).min(MAX_SHOWN);
    let state = broker.lock();
    let lines = state.journal.lines().map(Value::from).collect();
    Ok(newest(lines, limit))
}

fn newest(mut all: Vec<Value>, limit: u64) -> Value {
    let extra = all
        .len()
        .saturating_sub(usize::try_from(limit).unwrap_or(0));
    all.drain(..extra);
    all.into()
}
