//! Dynamic registration: what a device sends that knows only its product's secret, and what the
//! answer means.
//!
//! Source: "MQTT-based dynamic registration".

use crate::proto::codec::Publish;
use crate::proto::config::{check_client_id, check_range};
use crate::proto::credentials::{CLIENT_ID_CHARS, Credentials};
use crate::proto::endpoint::check_id;
use crate::proto::identity::{SECRET_LEN, check_names};
use crate::proto::json::text_members;
use crate::proto::profile::{MOST_CONNECTS, PLATFORM_CONNECTS};
use crate::proto::sign::{HexCase, SignMethod, sign};
use crate::proto::text::{check_secret, shown};
use crate::{Endpoint, Error, ErrorKind, Identity, Secret, Stage};

/// Longest answer that is looked into, in bytes. The platform's own have about 200.
const ANSWER_LEN: usize = 16 * 1024;

/// The topics of the answer. The platform's pages name the first for both kinds.
const TOPICS: [&str; 2] = ["/ext/register", "/ext/regnwl"];

/// How the platform knows the device.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum RegistrationKind {
    /// The device name is in the console: the device gets its device secret.
    Preregistered = 0,
    /// The platform creates the device, which gets a client id and a device token.
    CreateDevice = 1,
}

impl RegistrationKind {
    /// The value of `authType`.
    fn auth_type(self) -> &'static str {
        match self {
            Self::Preregistered => "register",
            Self::CreateDevice => "regnwl",
        }
    }
}

/// The parameter `securemode` of a registration. The platform's pages and its SDK differ.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum RegistrationMode {
    /// `securemode=2`: public instances opened before 30 July 2021.
    Public = 2,
    /// `securemode=-2`: every other instance.
    Instance = -2,
}

/// A registration that can be asked for: checked values only. `Debug` shows `***` for the secret.
#[derive(Clone, Debug)]
pub struct Registration {
    endpoint: Endpoint,
    product_key: String,
    device_name: String,
    product_secret: Secret,
    kind: RegistrationKind,
    sign_method: SignMethod,
    client_id: Option<String>,
    /// The outer `None`: as the endpoint says.
    instance_id: Option<Option<String>>,
    mode: Option<RegistrationMode>,
    connects_per_minute: Option<u32>,
}

impl Registration {
    /// The registration of `device_name` at `endpoint`, which is copied.
    ///
    /// Product key and device name as for [`Identity::with_secret`]; `product_secret` has 1 to 64
    /// bytes without control characters.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidArgument`] names the argument that is something else, and refuses an
    /// endpoint without TLS: the platform registers nobody over plain TCP. The secret is never part
    /// of the text. The error that the endpoint was poisoned with. [`ErrorKind::InvalidState`] if
    /// the library was built without the feature `registration`.
    pub fn new(
        endpoint: &Endpoint,
        product_key: &str,
        device_name: &str,
        product_secret: &str,
        kind: RegistrationKind,
    ) -> Result<Self, Error> {
        if !cfg!(feature = "registration") {
            return Err(Error::left_out("registration"));
        }
        endpoint.check()?;
        if endpoint.is_plaintext() {
            return Err(Error::argument(
                "endpoint",
                "is without TLS: registration would show the device secret to everyone on the path",
            ));
        }
        check_names(product_key, device_name)?;
        check_secret("product_secret", product_secret, 1..=SECRET_LEN)?;
        endpoint.host_for(product_key)?;
        Ok(Self {
            endpoint: endpoint.clone(),
            product_key: product_key.to_owned(),
            device_name: device_name.to_owned(),
            product_secret: Secret::new(product_secret),
            kind,
            sign_method: SignMethod::default(),
            client_id: None,
            instance_id: None,
            mode: None,
            connects_per_minute: Some(PLATFORM_CONNECTS),
        })
    }

    /// Signs with `method`. Default [`SignMethod::HmacSha256`].
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidArgument`] for [`SignMethod::Sha256`], which registration does not know.
    pub fn set_sign_method(&mut self, method: SignMethod) -> Result<(), Error> {
        if method == SignMethod::Sha256 {
            return Err(Error::argument(
                "method",
                "is sha256: registration is signed with an HMAC",
            ));
        }
        self.sign_method = method;
        Ok(())
    }

    /// Sets the part of the MQTT client id before the first bar: 1 to 64 characters without
    /// `| , =` and control characters. Default: `${productKey}.${deviceName}`. It is not signed.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidArgument`] if it is something else.
    pub fn set_client_id(&mut self, client_id: &str) -> Result<(), Error> {
        check_client_id(client_id)?;
        self.client_id = Some(client_id.to_owned());
        Ok(())
    }

    /// Names the instance, or none. By default it is taken from the endpoint: from its instance id,
    /// or from a host of the form `${instanceId}.mqtt.iothub.aliyuncs.com`.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidArgument`] unless it has 1 to 63 letters, digits and hyphens, with no
    /// hyphen at either end.
    pub fn set_instance_id(&mut self, instance_id: Option<&str>) -> Result<(), Error> {
        if let Some(id) = instance_id {
            check_id("instance_id", id)?;
        }
        self.instance_id = Some(instance_id.map(str::to_owned));
        Ok(())
    }

    /// Sends this `securemode`. Default: -2 if there is an instance id, else 2.
    pub fn set_mode(&mut self, mode: RegistrationMode) {
        self.mode = Some(mode);
    }

    /// Connects that this device may make in a minute, this one included: 1 to 60000, or `None` for
    /// any number. More than the default, which is 5 and the platform's limit, is for private
    /// platforms and test benches.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidArgument`] outside that range.
    ///
    /// Source: the platform's limits, connects per device and minute.
    pub fn set_connects_per_minute(&mut self, connects: Option<u32>) -> Result<(), Error> {
        if let Some(connects) = connects {
            let allowed = 1..=MOST_CONNECTS;
            check_range("connects_per_minute", connects, allowed, "the library")?;
        }
        self.connects_per_minute = connects;
        Ok(())
    }

    /// Where the platform is.
    pub fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// The host to dial.
    pub(crate) fn host_name(&self) -> Result<String, Error> {
        self.endpoint.host_for(&self.product_key)
    }

    /// What the process counts connects by: as [`Identity::budget_key`] of the device.
    pub(crate) fn budget_key(&self) -> String {
        format!("{}&{}", self.device_name, self.product_key)
    }

    /// Connects allowed in any minute, or any number.
    pub(crate) fn connects_per_minute(&self) -> Option<u32> {
        self.connects_per_minute
    }

    /// What CONNECT carries. `random` is new for each attempt.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidArgument`] if the default client id has more than 64 characters.
    pub fn credentials(&self, random: u64) -> Result<Credentials, Error> {
        let id = match &self.client_id {
            Some(id) => id.clone(),
            None => format!("{}.{}", self.product_key, self.device_name),
        };
        if id.chars().count() > CLIENT_ID_CHARS {
            return Err(Error::argument(
                "client_id",
                format_args!(
                    "is {} by default: the platform allows {CLIENT_ID_CHARS} characters, set a shorter one",
                    shown(&id)
                ),
            ));
        }
        let random = format!("{random:016x}");
        let instance_id = match &self.instance_id {
            Some(instance_id) => instance_id.as_deref(),
            None => self.endpoint.instance_id(),
        };
        let mode = self.mode.unwrap_or(match instance_id {
            Some(_) => RegistrationMode::Instance,
            None => RegistrationMode::Public,
        });
        let (mode, kind) = (mode as i32, self.kind.auth_type());
        let method = self.sign_method.name();
        let mut client_id =
            format!("{id}|securemode={mode},authType={kind},random={random},signmethod={method}");
        if let Some(instance_id) = instance_id {
            client_id.extend([",instanceId=", instance_id]);
        }
        client_id.push('|');
        let (name, key) = (&self.device_name, &self.product_key);
        let content = format!("deviceName{name}productKey{key}random{random}");
        let secret = self.product_secret.expose().as_bytes();
        Ok(Credentials::new(
            client_id,
            format!("{name}&{key}"),
            sign(self.sign_method, HexCase::Upper, secret, content.as_bytes()),
        ))
    }

    /// Why the platform's CONNACK with `code` refuses, or `None` if it does not.
    pub fn refusal(code: u8) -> Option<Error> {
        let (kind, cause) = match code {
            0 => return None,
            1 => (
                ErrorKind::RegistrationRefused,
                "unacceptable protocol version: the endpoint does not speak MQTT 3.1.1",
            ),
            2 => (
                ErrorKind::RegistrationRefused,
                "a parameter is missing or wrong: perhaps the instance id or securemode, which can be set",
            ),
            3 => (
                ErrorKind::ServerUnavailable,
                "a fault of the platform: registration can be tried again later",
            ),
            4 | 5 => (
                ErrorKind::RegistrationRefused,
                "wrong product key, product secret or device name, dynamic registration is switched off \
                 for the product, or the device has been connected already and was not reset since",
            ),
            _ => {
                let text = format!("CONNACK with the unknown return code {code} arrived");
                return Some(Error::new(ErrorKind::Protocol, Stage::Mqtt, text));
            }
        };
        let text = format!("registration refused: CONNACK {code}, {cause}");
        Some(Error::new(kind, Stage::Platform, text).with_connack(code))
    }

    /// The identity in the message `publish`, or `None` if it is about something else.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::RegistrationMalformed`] if the answer makes no identity or is for another
    /// device.
    pub fn answer(&self, publish: &Publish) -> Option<Result<Identity, Error>> {
        TOPICS
            .contains(&publish.topic())
            .then(|| self.identity(publish.payload()))
    }

    fn identity(&self, payload: &[u8]) -> Result<Identity, Error> {
        if payload.len() > ANSWER_LEN {
            return Err(malformed(format!("it has {} bytes", payload.len())));
        }
        let names = [
            "productKey",
            "deviceName",
            "deviceSecret",
            "clientId",
            "deviceToken",
        ];
        let [product_key, device_name, secret, client_id, token] =
            text_members(payload, names).map_err(malformed)?;
        for (member, given, expected) in [
            ("productKey", &product_key, &self.product_key),
            ("deviceName", &device_name, &self.device_name),
        ] {
            match given {
                None => return Err(malformed(format!("it has no text {member}"))),
                Some(given) if given.expose() != expected => {
                    let given = shown(given.expose());
                    return Err(malformed(format!("its {member} is {given}, not ours")));
                }
                Some(_) => {}
            }
        }
        let missing = |member: &str| malformed(format!("it has no text {member}"));
        let (key, name) = (&self.product_key, &self.device_name);
        let identity = match self.kind {
            RegistrationKind::Preregistered => {
                let secret = secret.ok_or_else(|| missing("deviceSecret"))?;
                Identity::with_secret(key, name, secret.expose())
            }
            RegistrationKind::CreateDevice => {
                let client_id = client_id.ok_or_else(|| missing("clientId"))?;
                let token = token.ok_or_else(|| missing("deviceToken"))?;
                Identity::with_token(key, name, client_id.expose(), token.expose())
            }
        };
        identity.map_err(|error| malformed(error.to_string()))
    }
}

fn malformed(problem: impl std::fmt::Display) -> Error {
    let text = format!("the answer to the registration cannot be used: {problem}");
    Error::new(ErrorKind::RegistrationMalformed, Stage::Platform, text)
}

#[cfg(test)]
mod tests;
