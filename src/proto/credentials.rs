//! Client id, user name and password of CONNECT.

use std::borrow::Cow;

use crate::proto::profile::MQTT_TEXT_LEN;
use crate::proto::sign::{HexCase, SignMethod, connect_content, sign};
use crate::proto::text::shown;
use crate::{Error, Identity, Secret};

/// Longest client id before the first bar, in characters.
///
/// Source: "Establish MQTT connections", parameter clientId.
pub(super) const CLIENT_ID_CHARS: usize = 64;

/// What a client sends in CONNECT. `Debug` shows `***` in place of the password.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Credentials {
    client_id: String,
    username: String,
    password: Secret,
}

impl Credentials {
    pub(super) fn new(client_id: String, username: String, password: Secret) -> Self {
        Self {
            client_id,
            username,
            password,
        }
    }

    /// The whole MQTT client id, with the parameters between its bars.
    pub fn client_id(&self) -> &str {
        &self.client_id
    }

    /// The MQTT user name; may be empty for a verbatim identity.
    pub fn username(&self) -> &str {
        &self.username
    }

    /// The MQTT password; may be empty for a verbatim identity.
    pub fn password(&self) -> &Secret {
        &self.password
    }
}

/// What shapes the credentials besides the identity.
#[derive(Clone, Debug)]
pub(super) struct Shape {
    pub(super) sign_method: SignMethod,
    pub(super) hex_case: HexCase,
    /// The part before the first bar, if it is not the default one.
    pub(super) client_id: Option<String>,
    pub(super) timestamp: Option<Cow<'static, str>>,
    pub(super) sign_client_id: bool,
    pub(super) kick_notice: bool,
    pub(super) params: Vec<(String, String)>,
}

impl Default for Shape {
    fn default() -> Self {
        Self {
            sign_method: SignMethod::default(),
            hex_case: HexCase::default(),
            client_id: None,
            // The year 2050, as the vendor's SDKs send it: no clock is needed.
            timestamp: Some("2524608000000".into()),
            sign_client_id: true,
            kick_notice: true,
            params: Vec::new(),
        }
    }
}

impl Shape {
    /// The three fields of CONNECT for `identity`.
    ///
    /// Source: "Establish MQTT connections", parameters mqttClientId, mqttUsername, mqttPassword.
    pub(super) fn credentials(
        &self,
        identity: &Identity,
        plaintext: bool,
    ) -> Result<Credentials, Error> {
        let client_id = self.mqtt_client_id(identity, plaintext)?;
        if identity.is_verbatim() {
            return Ok(Credentials {
                client_id,
                username: identity.username().to_owned(),
                password: identity.secret().clone(),
            });
        }
        let password = if identity.has_token() || identity.is_certificate() {
            // The token as it is; nothing beside a client certificate.
            identity.secret().clone()
        } else {
            let signed_id = self.sign_client_id.then(|| self.signed_id(identity));
            let content = connect_content(
                signed_id.as_deref(),
                identity.device_name(),
                identity.product_key(),
                self.timestamp.as_deref(),
            );
            let key = identity.secret().expose().as_bytes();
            sign(self.sign_method, self.hex_case, key, content.as_bytes())
        };
        Ok(Credentials {
            client_id,
            username: [identity.device_name(), "&", identity.product_key()].concat(),
            password,
        })
    }

    /// The whole MQTT client id, checked for its length.
    pub(super) fn mqtt_client_id(
        &self,
        identity: &Identity,
        plaintext: bool,
    ) -> Result<String, Error> {
        if identity.is_verbatim() {
            return Ok(identity.client_id().to_owned());
        }
        // One allocation for names of usual length.
        let mut text = String::with_capacity(192);
        if identity.has_token() {
            text.extend([identity.client_id(), "|securemode=-2,authType=connwl"]);
        } else {
            let id = self.signed_id(identity);
            if id.len() > CLIENT_ID_CHARS && id.chars().count() > CLIENT_ID_CHARS {
                return Err(Error::argument(
                    "client_id",
                    format_args!(
                        "is {} by default, {} characters long: the platform allows {CLIENT_ID_CHARS}, set a shorter one",
                        shown(&id),
                        id.chars().count()
                    ),
                ));
            }
            let securemode = if plaintext { "3" } else { "2" };
            let method = self.sign_method.name();
            text.extend([&id, "|securemode=", securemode, ",signmethod=", method]);
        }
        let timestamp = self.timestamp.as_deref().filter(|_| !identity.has_token());
        let own = [
            ("timestamp", timestamp),
            ("ext", self.kick_notice.then_some("2")),
        ];
        let own = own
            .into_iter()
            .filter_map(|(key, value)| Some((key, value?)));
        let added = self.params.iter().map(|(key, value)| (&**key, &**value));
        for (key, value) in own.chain(added) {
            text.extend([",", key, "=", value]);
        }
        text.push('|');
        if text.len() > MQTT_TEXT_LEN {
            return Err(Error::argument(
                "client_id",
                format_args!(
                    "is {}, {} bytes long with its parameters: MQTT allows {MQTT_TEXT_LEN}",
                    shown(&text),
                    text.len()
                ),
            ));
        }
        Ok(text)
    }

    /// The part before the first bar, for an identity that signs.
    fn signed_id(&self, identity: &Identity) -> String {
        self.client_id
            .clone()
            .unwrap_or_else(|| [identity.product_key(), ".", identity.device_name()].concat())
    }
}

#[cfg(test)]
mod tests;
