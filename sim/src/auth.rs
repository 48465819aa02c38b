//! Decides whether a CONNECT is let in, as whom, and with which code and reason it is refused.

use crate::diagnose;
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
    /// Unacceptable protocol version.
    pub(crate) const PROTOCOL: u8 = 1;
    /// Client id or user name of the wrong form.
    pub(crate) const IDENTIFIER: u8 = 2;
    /// Keep-alive outside the range.
    pub(crate) const UNAVAILABLE: u8 = 3;
    /// Wrong signature, unknown or disabled device.
    pub(crate) const CREDENTIALS: u8 = 4;
}

/// Bit of `ext=` with which a client asks for notices on `/ext/notify`.
const EXT_NOTIFY: u32 = 2;

/// Longest client id before the bar, in characters.
const MAX_CLIENT_ID: usize = 64;

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
    /// Whether the platform's limits are off: a client of a private platform.
    pub(crate) private: bool,
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
    fn new(code: u8, reason: impl Into<String>) -> Self {
        Self {
            code,
            identity: None,
            reason: reason.into(),
        }
    }
}

/// The client id taken apart: `<id>|name=value,…|`.
pub(crate) struct ClientId<'a> {
    pub(crate) id: &'a str,
    whole: &'a str,
    params: Vec<(&'a str, &'a str)>,
}

impl<'a> ClientId<'a> {
    /// Takes `text` apart. The error says what is missing and repeats nothing of the text.
    fn parse(text: &'a str) -> Result<Self, String> {
        let form = "its form is <clientId>|securemode=…,signmethod=…,timestamp=…|";
        let Some((id, rest)) = text.split_once('|') else {
            return Err(format!("the client id has no bars: {form}"));
        };
        let Some(inside) = rest.strip_suffix('|') else {
            return Err(format!("the client id does not end with a bar: {form}"));
        };
        if inside.contains('|') {
            return Err(format!("the client id has more than two bars: {form}"));
        }
        if id.is_empty() {
            return Err(format!(
                "the client id is empty before the first bar: {form}"
            ));
        }
        if id.chars().count() > MAX_CLIENT_ID {
            let limit = format!("the limit is {MAX_CLIENT_ID}");
            return Err(format!(
                "the client id before the first bar is too long: {limit}"
            ));
        }
        let mut params: Vec<(&str, &str)> = Vec::new();
        // The vendor's SDK leaves a comma before the last bar, and the platform takes it.
        for part in inside.split(',').filter(|part| !part.is_empty()) {
            let Some((name, value)) = part.split_once('=') else {
                let place = "one of the parameters between the bars";
                return Err(format!("{place} is not of the form name=value"));
            };
            if params.iter().any(|(known, _)| *known == name) {
                return Err("a parameter between the bars of the client id is given twice".into());
            }
            params.push((name, value));
        }
        Ok(Self {
            id,
            whole: text,
            params,
        })
    }

    /// The client id with its bars.
    pub(crate) fn whole(&self) -> &'a str {
        self.whole
    }

    /// Value of a parameter between the bars.
    pub(crate) fn param(&self, name: &str) -> Option<&'a str> {
        let found = self.params.iter().find(|(known, _)| *known == name);
        found.map(|(_, value)| *value)
    }
}

/// Checks who a client is.
pub(crate) fn authenticate(
    registry: &Registry,
    transport: Transport,
    given: &Credentials<'_>,
) -> Result<Accepted, Refusal> {
    if let Some(answer) = verbatim(registry, given) {
        return answer;
    }
    let client_id = ClientId::parse(given.client_id)
        .map_err(|reason| Refusal::new(code::IDENTIFIER, reason))?;
    let identity = user_name(given.user_name)?;
    let checked = check_mode(registry, transport, &client_id)
        .and_then(|mode| check_device(registry, &identity, &client_id, mode, given.password));
    match checked {
        Ok(()) => Ok(Accepted {
            identity,
            wants_notice: client_id
                .param("ext")
                .and_then(|ext| ext.parse::<u32>().ok())
                .is_some_and(|ext| ext & EXT_NOTIFY != 0),
            private: false,
        }),
        Err(refusal) => Err(Refusal {
            identity: Some(identity),
            ..refusal
        }),
    }
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
            private: true,
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
        (Some("register" | "regnwl"), _) => {
            return refuse("dynamic registration is not simulated here".into());
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
                return refuse(
                    "the device has a device token and no secret: use authType=connwl".into(),
                );
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
    let Some(token) = &device.token else {
        return refuse("the device has no device token: sign with the device secret, securemode=2");
    };
    if token.client_id != client_id.id {
        return refuse(
            "the client id before the bar is not the one that was handed out with the device token",
        );
    }
    if token.token.expose() == password {
        return Ok(());
    }
    if token.token.expose() == password.trim() {
        return refuse("the device token is right, but has white space around it");
    }
    refuse("the password is not the device token; the token is sent as it is, without signing")
}
