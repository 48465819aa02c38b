//! Decides whether a CONNECT is let in, as whom, and with which code and reason it is refused.

use bytes::Bytes;
use rumqttc::mqttbytes::QoS;
use rumqttc::mqttbytes::v4::{Packet, Publish};
use serde_json::json;

use crate::client_id::ClientId;
use crate::diagnose;
use crate::packet;
use crate::register::{self, Registration};
use crate::registry::{Device, Identity, Registry};
use crate::signature::{Method, Signed};

/// How a connection reached the simulator.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Transport {
    /// Plain TCP.
    Tcp,
    /// TLS over TCP.
    Tls,
}

impl Transport {
    /// The word used in log lines.
    pub fn name(self) -> &'static str {
        match self {
            Self::Tcp => "TCP",
            Self::Tls => "TLS",
        }
    }
}

/// CONNACK return codes, with the platform's use of them.
///
/// Source: platform page "Error codes", MQTT 3.1.1, 3.2.2.3.
pub(crate) mod code {
    /// No CONNACK at all: the connection is closed on request.
    pub(crate) const NO_ANSWER: u8 = 0;
    /// Unacceptable protocol version.
    pub(crate) const PROTOCOL: u8 = 1;
    /// Client id or user name of the wrong form.
    pub(crate) const IDENTIFIER: u8 = 2;
    /// Keep-alive outside the range.
    pub(crate) const UNAVAILABLE: u8 = 3;
    /// Wrong signature, unknown or disabled device.
    pub(crate) const CREDENTIALS: u8 = 4;
}

/// Bits of `ext=`: custom-topic RRPC, and notices on `/ext/notify`.
const EXT_RRPC: u32 = 1;
const EXT_NOTIFY: u32 = 2;

/// Shortest and longest keep-alive the platform takes, in seconds.
///
/// Source: platform page "Establish MQTT connections", keep-alive.
pub(crate) const KEEP_ALIVE_S: std::ops::RangeInclusive<u16> = 30..=1200;

/// The fields of a CONNECT that say who it is. Has no `Debug`: it holds a password.
pub(crate) struct Credentials<'a> {
    pub(crate) client_id: &'a str,
    pub(crate) user_name: &'a str,
    pub(crate) password: &'a str,
}

/// A CONNECT that was let in.
#[derive(Debug)]
pub(crate) struct Accepted {
    pub(crate) identity: Identity,
    /// Whether the client asked to be told before it is closed.
    pub(crate) wants_notice: bool,
    /// Whether the client takes RRPC on custom topics.
    pub(crate) takes_custom_rrpc: bool,
    /// Whether the platform's limits are off: a client of a private platform.
    pub(crate) private: bool,
    /// Whether the identity was found through a certificate and is to be told to the client.
    pub(crate) by_certificate: bool,
}

/// What a CONNECT leads to.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// A device is connected.
    Device(Accepted),
    /// A device is given what it will connect with, and then closed.
    Register(Registration),
}

/// A CONNECT that was refused.
#[derive(Debug)]
pub(crate) struct Refusal {
    /// CONNACK return code.
    pub(crate) code: u8,
    /// Whom the client claims to be, as far as it can be told.
    pub(crate) identity: Option<Identity>,
    /// What is wrong and what to change; never holds a secret or a password.
    pub(crate) reason: String,
}

impl Refusal {
    pub(crate) fn new(code: u8, reason: impl Into<String>) -> Self {
        Self {
            code,
            identity: None,
            reason: reason.into(),
        }
    }
}

/// Checks who a client is. `certificate` is the SHA-256 of the one it showed in the TLS handshake,
/// which has verified it.
pub(crate) fn authenticate(
    registry: &Registry,
    transport: Transport,
    certificate: Option<&str>,
    given: &Credentials<'_>,
) -> Result<Outcome, Refusal> {
    if let Some(answer) = verbatim(registry, given) {
        return answer.map(Outcome::Device);
    }
    if let Some(certificate) = certificate {
        return by_certificate(registry, certificate, given).map(Outcome::Device);
    }
    let client_id = ClientId::parse(given.client_id)
        .map_err(|reason| Refusal::new(code::IDENTIFIER, reason))?;
    let identity = user_name(given.user_name)?;
    let claimed = identity.clone();
    let outcome = if matches!(client_id.param("authType"), Some("register" | "regnwl")) {
        register::check(registry, transport, &client_id, identity, given.password)
            .map(Outcome::Register)
    } else {
        check_mode(registry, transport, &client_id)
            .and_then(|mode| check_device(registry, &identity, &client_id, mode, given.password))
            .map(|()| Outcome::Device(accepted(identity, given.client_id)))
    };
    outcome.map_err(|refusal| Refusal {
        identity: Some(claimed),
        ..refusal
    })
}

/// A device that was let in, with what its client id asks for.
fn accepted(identity: Identity, client_id: &str) -> Accepted {
    let ext = ClientId::parse(client_id)
        .ok()
        .and_then(|client_id| client_id.param("ext")?.parse::<u32>().ok())
        .unwrap_or(0);
    Accepted {
        identity,
        wants_notice: ext & EXT_NOTIFY != 0,
        takes_custom_rrpc: ext & EXT_RRPC != 0,
        private: false,
        by_certificate: false,
    }
}

/// Lets in the device whose certificate it is. The password is not looked at, and product key and
/// device name may be left empty, in which case the client is told them.
///
/// Source: platform page "X.509 certificates", connecting.
fn by_certificate(
    registry: &Registry,
    certificate: &str,
    given: &Credentials<'_>,
) -> Result<Accepted, Refusal> {
    let refuse = |reason: String| Err(Refusal::new(code::CREDENTIALS, reason));
    let Some((identity, device)) = registry.device_with_certificate(certificate) else {
        return refuse("the client certificate belongs to no device: issue one for it".into());
    };
    if device.disabled {
        return refuse("the device is disabled: enable it in the configuration".into());
    }
    let named = matches!(given.user_name, "" | "&").then_some(Ok(identity.clone()));
    let claimed = named.unwrap_or_else(|| user_name(given.user_name))?;
    if claimed != identity {
        let whose = registry.quote(&identity.to_string());
        return refuse(format!(
            "the client certificate is that of {whose}: leave the user name empty or name that device"
        ));
    }
    Ok(Accepted {
        by_certificate: true,
        ..accepted(identity, given.client_id)
    })
}

/// The message that tells a client which device its certificate belongs to.
pub(crate) fn identity_notice(identity: &Identity) -> Bytes {
    let payload = json!({
        "productKey": identity.product_key,
        "deviceName": identity.device_name,
    });
    let topic = "/ext/auth/identity/response";
    let message = Publish::new(topic, QoS::AtMostOnce, payload.to_string());
    packet::encode(&Packet::Publish(message))
}

/// The answer to a client that is listed word for word, or `None` for any other.
fn verbatim(registry: &Registry, given: &Credentials<'_>) -> Option<Result<Accepted, Refusal>> {
    let entry = registry
        .verbatim
        .iter()
        .find(|entry| entry.client_id == given.client_id && entry.user_name == given.user_name)?;
    let identity = entry.identity.clone();
    Some(if entry.password.expose() == given.password {
        Ok(Accepted {
            identity,
            wants_notice: false,
            takes_custom_rrpc: true,
            private: true,
            by_certificate: false,
        })
    } else {
        Err(Refusal {
            identity: Some(identity),
            ..Refusal::new(
                code::CREDENTIALS,
                "the password is not the one of the verbatim entry for this client id and user name",
            )
        })
    })
}

/// Product key and device name out of the user name.
fn user_name(text: &str) -> Result<Identity, Refusal> {
    let form = "its form is <deviceName>&<productKey>";
    let refuse = |reason: &str| Err(Refusal::new(code::IDENTIFIER, format!("{reason}: {form}")));
    if text.is_empty() {
        return refuse("the user name is missing");
    }
    match text.split_once('&') {
        None => refuse("the user name has no ampersand"),
        Some((name, key)) if name.is_empty() || key.is_empty() => {
            refuse("the user name has nothing on one side of the ampersand")
        }
        Some((_, key)) if key.contains('&') => refuse("the user name has two ampersands"),
        Some((name, key)) => Ok(Identity::new(key, name)),
    }
}

/// How a client proves who it is.
enum Mode {
    Signed(Method),
    DeviceToken,
}

/// Reads securemode, authType and signmethod and holds them against the transport.
///
/// Source: platform page "Establish MQTT connections", parameters of mqttClientId.
fn check_mode(
    registry: &Registry,
    transport: Transport,
    client_id: &ClientId<'_>,
) -> Result<Mode, Refusal> {
    let refuse = |reason: String| Err(Refusal::new(code::IDENTIFIER, reason));
    let secure_mode = client_id.param("securemode");
    let auth_type = client_id.param("authType");
    match (secure_mode, transport) {
        (None, _) => {
            return refuse("securemode is missing: 2 over TLS, 3 over TCP".into());
        }
        (Some("2" | "-2"), Transport::Tcp) => {
            return refuse(format!(
                "securemode={} over plain TCP: connect over TLS, or say securemode=3",
                secure_mode.unwrap_or_default()
            ));
        }
        (Some("3"), Transport::Tls) => {
            return refuse("securemode=3 over TLS: say securemode=2".into());
        }
        (Some("2" | "-2"), Transport::Tls) | (Some("3"), Transport::Tcp) => {}
        (Some(other), _) => {
            let other = registry.quote(other);
            return refuse(format!(
                "securemode={other} is not known: 2 over TLS, 3 over TCP"
            ));
        }
    }
    match (auth_type, secure_mode) {
        (Some("connwl"), Some("-2")) => return Ok(Mode::DeviceToken),
        (Some("connwl"), _) => {
            return refuse("authType=connwl goes with securemode=-2".into());
        }
        (_, Some("-2")) => {
            return refuse("securemode=-2 goes with authType=connwl and a device token".into());
        }
        _ => {}
    }
    match client_id.param("signmethod") {
        None => Ok(Mode::Signed(Method::HmacMd5)),
        Some(name) => Method::parse(name).map_or_else(
            || {
                let name = registry.quote(name);
                let known = "hmacmd5, hmacsha1, hmacsha256 or sha256, in lower case";
                refuse(format!("signmethod={name} is not known: {known}"))
            },
            |method| Ok(Mode::Signed(method)),
        ),
    }
}

/// Finds the device and checks the password.
fn check_device(
    registry: &Registry,
    identity: &Identity,
    client_id: &ClientId<'_>,
    mode: Mode,
    password: &str,
) -> Result<(), Refusal> {
    let refuse = |reason: String| Err(Refusal::new(code::CREDENTIALS, reason));
    let Some(device) = registry.device(identity) else {
        return refuse(diagnose::unknown_device(registry, identity));
    };
    if device.disabled {
        return refuse("the device is disabled: enable it in the configuration".into());
    }
    match mode {
        Mode::DeviceToken => check_token(device, client_id, password),
        Mode::Signed(method) => {
            let Some(secret) = &device.secret else {
                let reason = if device.certificate.is_some() {
                    "the device signs in with its X.509 certificate: show it in the TLS handshake"
                } else if device.tokens().next().is_some() {
                    "the device has a device token and no secret: use authType=connwl"
                } else {
                    "the device has no secret yet: register it with authType=register first"
                };
                return refuse(reason.into());
            };
            let signed = Signed {
                client_id: Some(client_id.id),
                device_name: &identity.device_name,
                product_key: &identity.product_key,
                timestamp: client_id.param("timestamp"),
            };
            let content = signed.content();
            if method.verify(secret.expose().as_bytes(), content.as_bytes(), password) {
                return Ok(());
            }
            refuse(diagnose::wrong_signature(
                registry, identity, client_id, method, password,
            ))
        }
    }
}

/// A device token is compared as it is, and belongs to the client id it was handed out with.
fn check_token(device: &Device, client_id: &ClientId<'_>, password: &str) -> Result<(), Refusal> {
    let refuse = |reason: &str| Err(Refusal::new(code::CREDENTIALS, reason));
    if device.tokens().next().is_none() {
        return refuse("the device has no device token: sign with the device secret, securemode=2");
    }
    let Some(token) = device
        .tokens()
        .find(|token| token.client_id == client_id.id)
    else {
        return refuse(
            "the client id before the bar is not the one that was handed out with the device token",
        );
    };
    if token.token.expose() == password {
        return Ok(());
    }
    if token.token.expose() == password.trim() {
        return refuse("the device token is right, but has white space around it");
    }
    refuse("the password is not the device token; the token is sent as it is, without signing")
}
