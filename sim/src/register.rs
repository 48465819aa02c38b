//! Dynamic registration: a device that knows only its product's secret is given its own.
//!
//! Source: platform page "MQTT-based dynamic registration".

use std::time::Duration;

use rumqttc::mqttbytes::QoS;
use rumqttc::mqttbytes::v4::{Packet, Publish};
use serde_json::json;

use crate::auth::{Refusal, Transport, code};
use crate::client_id::ClientId;
use crate::config;
use crate::packet;
use crate::random::Random;
use crate::registry::{DeviceToken, Identity, Registry};
use crate::signature::Method;

/// How long a registering client may stay before it is closed.
pub(crate) const STAY: Duration = Duration::from_secs(15);

/// Physical devices that may register under one device name without pre-registration.
const MAX_TOKENS: usize = 5;

/// What a registering device is given.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Kind {
    /// `authType=register`: the device is on the list and gets a device secret.
    Preregistered,
    /// `authType=regnwl`: the device need not be known and gets a device token.
    Open,
}

/// A registration that was found in order.
#[derive(Debug)]
pub(crate) struct Registration {
    pub(crate) identity: Identity,
    kind: Kind,
}

/// Checks a CONNECT whose `authType` is `register` or `regnwl`.
pub(crate) fn check(
    registry: &Registry,
    transport: Transport,
    client_id: &ClientId<'_>,
    identity: Identity,
    password: &str,
) -> Result<Registration, Refusal> {
    let (method, random) = parameters(registry, transport, client_id)?;
    config::check_name("device name", &identity.device_name)
        .map_err(|reason| Refusal::new(code::IDENTIFIER, reason))?;
    let kind = match client_id.param("authType") {
        Some("regnwl") => Kind::Open,
        _ => Kind::Preregistered,
    };
    let refuse = |reason: String| Err(Refusal::new(code::CREDENTIALS, reason));
    let key = registry.quote(&identity.product_key);
    let name = registry.quote(&identity.device_name);
    let Some(product) = registry.products.get(&identity.product_key) else {
        return refuse(format!("the product key {key} is not known"));
    };
    if product.registration_off {
        return refuse(format!(
            "dynamic registration is switched off for the product {key}: switch it on"
        ));
    }
    let Some(secret) = &product.secret else {
        return refuse(format!(
            "the product {key} has no secret here: give it one in the configuration"
        ));
    };
    let content = content(&identity, random);
    if !method.verify(secret.expose().as_bytes(), content.as_bytes(), password) {
        let reason = diagnose(registry, &identity, client_id, (method, random), password);
        return refuse(reason);
    }
    match (product.devices.get(&identity.device_name), kind) {
        (Some(device), _) if device.disabled => {
            refuse("the device is disabled: enable it in the configuration".into())
        }
        (None, Kind::Preregistered) => refuse(format!(
            "the product {key} has no device named {name}: add it first, or use authType=regnwl"
        )),
        (Some(device), Kind::Preregistered) if device.activated => refuse(
            "the device has been connected already: reset it before it registers again".into(),
        ),
        (Some(device), Kind::Open) if device.tokens().count() >= MAX_TOKENS => refuse(format!(
            "{MAX_TOKENS} devices have registered under the name {name}, the limit"
        )),
        _ => Ok(Registration { identity, kind }),
    }
}

/// The signed text: names in alphabetical order, each followed by its value.
fn content(identity: &Identity, random: &str) -> String {
    let (name, key) = (&identity.device_name, &identity.product_key);
    format!("deviceName{name}productKey{key}random{random}")
}

/// Method and random of a registering client; what is missing or over plain TCP has code 2.
fn parameters<'a>(
    registry: &Registry,
    transport: Transport,
    client_id: &ClientId<'a>,
) -> Result<(Method, &'a str), Refusal> {
    let refuse = |reason: String| Err(Refusal::new(code::IDENTIFIER, reason));
    if transport == Transport::Tcp {
        return refuse("dynamic registration over plain TCP: connect over TLS".into());
    }
    match client_id.param("securemode") {
        Some("2" | "-2") => {}
        None => return refuse("securemode is missing: 2 or -2 for dynamic registration".into()),
        Some(other) => {
            let other = registry.quote(other);
            return refuse(format!(
                "securemode={other} in dynamic registration: it is 2 or -2"
            ));
        }
    }
    let random = client_id.param("random").filter(|text| !text.is_empty());
    let Some(random) = random else {
        return refuse("random is missing: dynamic registration signs any text given there".into());
    };
    let known = "hmacmd5, hmacsha1 or hmacsha256";
    let Some(name) = client_id.param("signmethod") else {
        return refuse(format!("signmethod is missing: {known}"));
    };
    let method = Method::parse(name).filter(|method| *method != Method::Sha256);
    match method {
        Some(method) => Ok((method, random)),
        None => {
            let name = registry.quote(name);
            refuse(format!(
                "signmethod={name} is not known in dynamic registration: {known}"
            ))
        }
    }
}

/// Which part of a registration's signature differs, as far as it can be told.
fn diagnose(
    registry: &Registry,
    identity: &Identity,
    client_id: &ClientId<'_>,
    (method, random): (Method, &str),
    password: &str,
) -> String {
    let secret = registry
        .products
        .get(&identity.product_key)
        .and_then(|product| product.secret.as_ref())
        .map_or("", |secret| secret.expose());
    if password.trim() == secret {
        return "the password is the product secret itself: sign with it, and send the signature"
            .into();
    }
    let mut keys = vec![
        (secret.to_owned(), ""),
        (
            format!("{secret}\n"),
            "the product secret was taken with a line end",
        ),
        (String::new(), "the product secret was empty"),
    ];
    let device = registry
        .device(identity)
        .and_then(|device| device.secret.as_ref());
    if let Some(secret) = device {
        let sentence = "it is made with the device secret instead of the product secret";
        keys.push((secret.expose().to_owned(), sentence));
    }
    let (name, key) = (&identity.device_name, &identity.product_key);
    let right = content(identity, random);
    let contents = [
        (right.clone(), ""),
        (
            format!("clientId{}{right}", client_id.id),
            "clientId is signed: registration signs deviceName, productKey and random alone",
        ),
        (
            format!("deviceName{name}productKey{key}"),
            "random is not signed",
        ),
        (
            format!("productKey{key}deviceName{name}random{random}"),
            "the names are signed in another order: they stand in alphabetical order",
        ),
        (
            format!("deviceName={name}&productKey={key}&random={random}"),
            "names and values are signed with separators: nothing stands between them",
        ),
    ];
    for other in Method::ALL {
        let in_method = (other != method).then(|| {
            format!("it is made with {other}, but the client id says signmethod={method}")
        });
        for (key, in_key) in &keys {
            for (content, in_content) in &contents {
                if other.verify(key.as_bytes(), content.as_bytes(), password) {
                    let parts = [in_method.as_deref().unwrap_or(""), in_content, in_key];
                    let parts: Vec<&str> = parts.into_iter().filter(|p| !p.is_empty()).collect();
                    return format!("the signature is wrong: {}", parts.join("; and "));
                }
            }
        }
    }
    "the signature is wrong and no usual mistake explains it: sign \
     deviceName…productKey…random… with the product secret, and send it as hex"
        .into()
}

/// Registers the device and returns the message that tells it what it was given.
pub(crate) fn carry_out(
    registry: &mut Registry,
    random: &mut Random,
    registration: &Registration,
) -> bytes::Bytes {
    let identity = &registration.identity;
    let given = random.secret();
    registry.hide(&given);
    let device = registry.device_entry(&identity.product_key, &identity.device_name);
    let (topic, payload) = match registration.kind {
        Kind::Preregistered => {
            device.secret = Some(given.clone().into());
            let payload = json!({
                "productKey": identity.product_key,
                "deviceName": identity.device_name,
                "deviceSecret": given,
            });
            ("/ext/register", payload)
        }
        Kind::Open => {
            let client_id = format!("{:016x}", random.next());
            let payload = json!({
                "productKey": identity.product_key,
                "deviceName": identity.device_name,
                "clientId": client_id,
                "deviceToken": given,
            });
            let token = DeviceToken {
                client_id,
                token: given.into(),
            };
            match &device.token {
                None => device.token = Some(token),
                Some(_) => device.more_tokens.push(token),
            }
            ("/ext/regnwl", payload)
        }
    };
    let message = Publish::new(topic, QoS::AtMostOnce, payload.to_string());
    packet::encode(&Packet::Publish(message))
}
