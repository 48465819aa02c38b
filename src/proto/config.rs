//! How a client behaves: checked values only. Ranges and limits are in `config/limits.rs`.

mod limits;
mod policy;

pub use policy::{OutboxPolicy, TakeOverPolicy};

use std::ops::RangeInclusive;
use std::time::Duration;

use crate::proto::credentials::{CLIENT_ID_CHARS, Shape};
use crate::proto::text::{check_chars, check_len, shown};
use crate::{
    Backoff, Credentials, Endpoint, Error, ErrorKind, HexCase, Identity, Profile, SignMethod, Stage,
};

/// Parameters of the client id that have a setter or are not the application's to choose.
const RESERVED_PARAMS: [&str; 5] = ["securemode", "signmethod", "timestamp", "ext", "authType"];
const TIMESTAMP_DIGITS: usize = 20;

/// How a client behaves, with its identity and endpoint. Plain values, all of them checked.
///
/// The limits are the platform's until [`use_private_profile`](Self::use_private_profile).
#[derive(Clone, Debug)]
pub struct Config {
    identity: Identity,
    endpoint: Endpoint,
    shape: Shape,
    profile: Profile,
    is_private: bool,
    /// Whether `profile.payload_len` was set rather than fitted to the queues.
    has_payload_limit: bool,
    /// Whether `profile.connects_per_minute` was set.
    has_connect_limit: bool,
    clean_session: bool,
    keep_alive_s: u16,
    ack_timeout: Duration,
    ping_timeout: Duration,
    reconnect: Option<Backoff>,
    outbox_operations: u32,
    outbox_bytes: usize,
    window: u16,
    inbox_messages: u32,
    inbox_bytes: usize,
    outbox_policy: OutboxPolicy,
    take_over_policy: TakeOverPolicy,
    rates: [Option<u32>; 2],
}

impl Config {
    /// The defaults, for this identity and endpoint, which are copied.
    ///
    /// # Errors
    ///
    /// The error that the endpoint was poisoned with, and
    /// [`ErrorKind::InvalidArgument`] if endpoint and identity make no host name, or if the identity
    /// proves itself by a certificate and the endpoint has no client certificate or no TLS.
    pub fn new(identity: &Identity, endpoint: &Endpoint) -> Result<Self, Error> {
        endpoint.check()?;
        endpoint.host_name(identity)?;
        if identity.is_certificate()
            && (endpoint.is_plaintext() || !endpoint.has_client_certificate())
        {
            return Err(Error::argument(
                "endpoint",
                "has no client certificate, by which this identity proves itself: set one, with TLS",
            ));
        }
        let profile = Profile::platform();
        Ok(Self {
            identity: identity.clone(),
            endpoint: endpoint.clone(),
            shape: Shape::default(),
            is_private: false,
            has_payload_limit: false,
            has_connect_limit: false,
            clean_session: true,
            keep_alive_s: 300,
            ack_timeout: Duration::from_secs(30),
            ping_timeout: Duration::from_secs(10),
            reconnect: Backoff::new(profile.backoff_min, profile.backoff_max),
            outbox_operations: 1000,
            outbox_bytes: 4 << 20,
            window: 100,
            inbox_messages: 100,
            inbox_bytes: 4 << 20,
            outbox_policy: OutboxPolicy::default(),
            take_over_policy: TakeOverPolicy::default(),
            rates: [None; 2],
            profile,
        })
    }

    /// Signs with `method`. Default [`SignMethod::HmacSha256`]. Nothing but a device secret signs.
    pub fn set_sign_method(&mut self, method: SignMethod) {
        self.shape.sign_method = method;
    }

    /// Writes the signature in these letters. Default [`HexCase::Upper`].
    pub fn set_hex_case(&mut self, case: HexCase) {
        self.shape.hex_case = case;
    }

    /// Sets the part of the MQTT client id before the first bar: 1 to 64 characters without
    /// `| , =` and control characters. Default: `${productKey}.${deviceName}`.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidArgument`] if it is something else; [`ErrorKind::InvalidState`] if the
    /// identity brings its client id.
    ///
    /// Source: "Establish MQTT connections", parameter clientId.
    pub fn set_client_id(&mut self, client_id: &str) -> Result<(), Error> {
        if !self.identity.client_id().is_empty() {
            return Err(state(
                "client_id comes with this identity and cannot be set",
            ));
        }
        check_client_id(client_id)?;
        self.shape.client_id = Some(client_id.to_owned());
        Ok(())
    }

    /// Sends and signs this timestamp, 1 to 20 decimal digits, or none. Default `2524608000000`, a
    /// constant, so that a device needs no clock. Nothing but a device secret needs one.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidArgument`] if it is something else.
    ///
    /// Source: "Establish MQTT connections", parameter timestamp.
    pub fn set_timestamp(&mut self, timestamp: Option<&str>) -> Result<(), Error> {
        if let Some(digits) = timestamp {
            check_len("timestamp", digits, 1..=TIMESTAMP_DIGITS)?;
            let is_digit = |c: char| c.is_ascii_digit();
            check_chars("timestamp", digits, is_digit, "the decimal digits")?;
        }
        self.shape.timestamp = timestamp.map(|digits| digits.to_owned().into());
        Ok(())
    }

    /// Adds `key=value` between the bars of the MQTT client id, after the library's own parameters
    /// and in the order of the calls. Never signed.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidArgument`] if the key is empty, was added before or is one of
    /// `securemode`, `signmethod`, `timestamp`, `ext` and `authType` in any case; if key or value
    /// contains `| , =` or a control character; or if the MQTT client id would exceed 65535 bytes.
    /// [`ErrorKind::InvalidState`] if the identity is verbatim.
    ///
    /// Source: "Establish MQTT connections", parameter mqttClientId; MQTT 3.1.1, 1.5.3.
    pub fn add_client_param(&mut self, key: &str, value: &str) -> Result<(), Error> {
        if self.identity.is_verbatim() {
            return Err(state("a verbatim client id takes no parameters"));
        }
        if key.is_empty() {
            return Err(Error::argument("key", "is empty"));
        }
        check_param_text("key", key)?;
        check_param_text("value", value)?;
        let same = |known: &str| known.eq_ignore_ascii_case(key);
        if RESERVED_PARAMS.into_iter().any(same) {
            let problem = format!("is {}: the library sets this parameter", shown(key));
            return Err(Error::argument("key", problem));
        }
        if self.shape.params.iter().any(|(known, _)| known == key) {
            let problem = format!("is {}: this parameter was added before", shown(key));
            return Err(Error::argument("key", problem));
        }
        let mut shape = self.shape.clone();
        shape.params.push((key.to_owned(), value.to_owned()));
        shape.mqtt_client_id(&self.identity, self.endpoint.is_plaintext())?;
        self.shape = shape;
        Ok(())
    }

    /// Asks the platform, with `ext=2`, to say when another connection with the same identity
    /// replaces this one. Default true. A verbatim client id is not touched.
    ///
    /// Source: the vendor SDK's parameter ext, bit 1.
    pub fn set_kick_notice(&mut self, wanted: bool) {
        self.shape.kick_notice = wanted;
    }

    /// Makes the client id a part of the signed content. Default true; the platform takes either.
    pub fn set_sign_client_id(&mut self, signed: bool) {
        self.shape.sign_client_id = signed;
    }

    /// Whether the platform forgets the session at each connect, so that commands sent during an
    /// outage do not run after it. Default true. What the library accepted is kept either way.
    pub fn set_clean_session(&mut self, clean: bool) {
        self.clean_session = clean;
    }

    /// Who the device is, as the platform has said. The new identity is of the same kind.
    pub(crate) fn set_identity(&mut self, identity: Identity) {
        self.identity = identity;
    }

    /// Who the device is.
    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    /// Where the platform is.
    pub fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// What the process counts connects by.
    pub(crate) fn budget_key(&self) -> String {
        match self.endpoint.client_certificate_key() {
            // Not known yet: the certificate stands for the device.
            Some(key) if self.identity.product_key().is_empty() => key,
            _ => self.identity.budget_key(),
        }
    }

    /// The limits in force.
    pub fn profile(&self) -> &Profile {
        &self.profile
    }

    /// How the password is signed.
    pub fn sign_method(&self) -> SignMethod {
        self.shape.sign_method
    }

    /// The letters of the signature.
    pub fn hex_case(&self) -> HexCase {
        self.shape.hex_case
    }

    /// Whether the platform forgets the session at each connect.
    pub fn clean_session(&self) -> bool {
        self.clean_session
    }

    /// What the client would send in CONNECT.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidArgument`] if the default client id has more than 64 characters, or the
    /// whole MQTT client id more than 65535 bytes.
    ///
    /// Source: "Establish MQTT connections".
    pub fn credentials(&self) -> Result<Credentials, Error> {
        self.shape
            .credentials(&self.identity, self.endpoint.is_plaintext())
    }
}

/// An error for a call that the present settings rule out.
fn state(context: impl Into<String>) -> Error {
    Error::new(ErrorKind::InvalidState, Stage::State, context)
}

/// Refuses `value` unless it lies in `allowed`; `who` sets that limit.
pub(super) fn check_range<T: PartialOrd + std::fmt::Debug>(
    name: &str,
    value: T,
    allowed: RangeInclusive<T>,
    who: &str,
) -> Result<(), Error> {
    if allowed.contains(&value) {
        return Ok(());
    }
    let (least, most) = (allowed.start(), allowed.end());
    Err(Error::argument(
        name,
        format_args!("is {value:?}: {who} allows {least:?} to {most:?}"),
    ))
}

/// Refuses what cannot stand before the first bar of a client id.
pub(super) fn check_client_id(client_id: &str) -> Result<(), Error> {
    let chars = client_id.chars().count();
    if !(1..=CLIENT_ID_CHARS).contains(&chars) {
        return Err(Error::argument(
            "client_id",
            format_args!(
                "is {}, {chars} characters long: the platform allows 1 to {CLIENT_ID_CHARS}",
                shown(client_id)
            ),
        ));
    }
    check_param_text("client_id", client_id)
}

fn check_param_text(name: &str, text: &str) -> Result<(), Error> {
    check_chars(
        name,
        text,
        |c| !matches!(c, '|' | ',' | '=') && !c.is_control(),
        "all characters but '|', ',', '=' and control characters",
    )
}

#[cfg(test)]
mod tests;
