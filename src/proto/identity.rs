//! Who the device is.

use crate::proto::profile::MQTT_TEXT_LEN;
use crate::proto::text::{check_chars, check_len, check_secret};
use crate::{Error, Secret};

/// Longest product key or device name, in bytes. The platform's own are shorter (11 and 32).
const NAME_LEN: usize = 64;
/// Longest device secret, in bytes. The platform's own have 32.
pub(super) const SECRET_LEN: usize = 64;
/// Longest device token, and longest client id that comes with one, in bytes.
const TOKEN_LEN: usize = 1024;

/// Who the device is, checked, and how it proves it. Immutable.
///
/// `Debug` shows `***` in place of the secret, whose memory is overwritten when it is dropped.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Identity {
    product_key: String,
    device_name: String,
    client_id: String,
    username: String,
    secret: Secret,
    proof: Proof,
}

/// How the password of CONNECT comes from the secret.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Proof {
    Signature,
    Token,
    Verbatim,
    Certificate,
}

impl Identity {
    /// A device with a device secret, which signs and is never sent.
    ///
    /// `product_key` has 1 to 64 letters, digits and `_`; `device_name` 1 to 64 letters, digits and
    /// `- _ @ . :`; `device_secret` 1 to 64 bytes without control characters.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidArgument`](crate::ErrorKind::InvalidArgument) names the argument that is
    /// something else. The secret is never part of the text.
    ///
    /// Source: "Establish MQTT connections"; the platform's rules for product keys and device names,
    /// widened for private platforms.
    pub fn with_secret(
        product_key: &str,
        device_name: &str,
        device_secret: &str,
    ) -> Result<Self, Error> {
        check_names(product_key, device_name)?;
        check_secret("device_secret", device_secret, 1..=SECRET_LEN)?;
        Ok(Self {
            product_key: product_key.to_owned(),
            device_name: device_name.to_owned(),
            client_id: String::new(),
            username: String::new(),
            secret: Secret::new(device_secret),
            proof: Proof::Signature,
        })
    }

    /// A device that the platform created during registration: its device token is sent as it is.
    ///
    /// Names as for [`with_secret`](Self::with_secret). `client_id` is the one that came with the
    /// token: 1 to 1024 bytes without `|` and control characters. `device_token` has 1 to 1024 bytes
    /// without control characters.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidArgument`](crate::ErrorKind::InvalidArgument) names the argument that is
    /// something else. The token is never part of the text.
    ///
    /// Source: "Establish MQTT connections", devices without pre-registration.
    pub fn with_token(
        product_key: &str,
        device_name: &str,
        client_id: &str,
        device_token: &str,
    ) -> Result<Self, Error> {
        check_names(product_key, device_name)?;
        check_len("client_id", client_id, 1..=TOKEN_LEN)?;
        check_chars(
            "client_id",
            client_id,
            |c| c != '|' && !c.is_control(),
            "all characters but '|' and control characters",
        )?;
        check_secret("device_token", device_token, 1..=TOKEN_LEN)?;
        Ok(Self {
            product_key: product_key.to_owned(),
            device_name: device_name.to_owned(),
            client_id: client_id.to_owned(),
            username: String::new(),
            secret: Secret::new(device_token),
            proof: Proof::Token,
        })
    }

    /// A device that proves itself by the client certificate of its endpoint.
    ///
    /// Product key and device name are both empty as long as they are not known: the platform says
    /// them after the first connect, in the event
    /// [`IdentityReceived`](crate::EventKind::IdentityReceived), and the client keeps them from then
    /// on. Until then topics cannot be made from this identity.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidArgument`](crate::ErrorKind::InvalidArgument) names the argument that is
    /// something else.
    ///
    /// Source: the platform's page on X.509 certificates.
    pub fn with_certificate(product_key: &str, device_name: &str) -> Result<Self, Error> {
        if !(product_key.is_empty() && device_name.is_empty()) {
            check_names(product_key, device_name)?;
        }
        Ok(Self {
            product_key: product_key.to_owned(),
            device_name: device_name.to_owned(),
            client_id: String::new(),
            username: String::new(),
            secret: Secret::new(""),
            proof: Proof::Certificate,
        })
    }

    /// The three fields of CONNECT as they are, for a private platform with rules of its own.
    ///
    /// `client_id` has 1 to 65535 bytes, `username` 0 to 65535, neither with control characters;
    /// `password` 0 to 65535 bytes, and none without a user name. Product key and device name are
    /// then empty: topics and region endpoints cannot be made from this identity.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidArgument`](crate::ErrorKind::InvalidArgument) names the argument that is
    /// something else. The password is never part of the text.
    ///
    /// Source: MQTT 3.1.1, 1.5.3 and 3.1.3.
    pub fn verbatim(client_id: &str, username: &str, password: &str) -> Result<Self, Error> {
        for (name, value, shortest) in [("client_id", client_id, 1), ("username", username, 0)] {
            check_len(name, value, shortest..=MQTT_TEXT_LEN)?;
            check_chars(
                name,
                value,
                |c| !c.is_control(),
                "all characters but control characters",
            )?;
        }
        // A password is binary data in MQTT: any byte is allowed, only the length is not.
        if password.len() > MQTT_TEXT_LEN {
            return Err(Error::argument(
                "password",
                format_args!(
                    "is {} bytes long: MQTT allows {MQTT_TEXT_LEN}",
                    password.len()
                ),
            ));
        }
        if username.is_empty() && !password.is_empty() {
            // MQTT-3.1.2-22.
            return Err(Error::argument(
                "username",
                "is empty: MQTT allows no password without a user name",
            ));
        }
        Ok(Self {
            product_key: String::new(),
            device_name: String::new(),
            client_id: client_id.to_owned(),
            username: username.to_owned(),
            secret: Secret::new(password),
            proof: Proof::Verbatim,
        })
    }

    /// The product key; empty for a verbatim identity and as long as it is not known.
    pub fn product_key(&self) -> &str {
        &self.product_key
    }

    /// The device name; empty for a verbatim identity and as long as it is not known.
    pub fn device_name(&self) -> &str {
        &self.device_name
    }

    /// The device secret, the device token or the verbatim password.
    pub fn secret(&self) -> &Secret {
        &self.secret
    }

    /// The client id that came with a device token, or the whole verbatim one; else empty.
    pub fn client_id(&self) -> &str {
        &self.client_id
    }

    /// The verbatim user name; else empty.
    pub fn username(&self) -> &str {
        &self.username
    }

    /// Whether the secret is a device token.
    pub fn has_token(&self) -> bool {
        self.proof == Proof::Token
    }

    /// Whether a client certificate stands for the secret.
    pub fn is_certificate(&self) -> bool {
        self.proof == Proof::Certificate
    }

    /// Whether the fields of CONNECT were given as they are.
    pub fn is_verbatim(&self) -> bool {
        self.proof == Proof::Verbatim
    }

    /// What the process counts connects by: the same text for every identity that the platform
    /// takes for the same device. Contains no secret.
    pub fn budget_key(&self) -> String {
        if self.is_verbatim() {
            // The space keeps the two forms apart: no device name contains one.
            format!("{} {}", self.username, self.client_id)
        } else {
            format!("{}&{}", self.device_name, self.product_key)
        }
    }
}

pub(super) fn check_names(product_key: &str, device_name: &str) -> Result<(), Error> {
    check_len("product_key", product_key, 1..=NAME_LEN)?;
    check_chars(
        "product_key",
        product_key,
        |c| c.is_ascii_alphanumeric() || c == '_',
        "the letters, digits and '_'",
    )?;
    check_len("device_name", device_name, 1..=NAME_LEN)?;
    check_chars(
        "device_name",
        device_name,
        |c| c.is_ascii_alphanumeric() || "-_@.:".contains(c),
        "the letters, digits and \"-_@.:\"",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_1_to_64_bytes_make_an_identity() {
        for len in [1, 64] {
            let name = "a".repeat(len);
            let identity = Identity::with_secret(&name, &name, &name).unwrap();
            assert_eq!(identity.product_key(), name);
            assert_eq!(identity.device_name(), name);
            assert_eq!(identity.secret().expose(), name);
            assert!(!identity.has_token() && !identity.is_verbatim());
            assert_eq!(identity.client_id(), "");
        }
    }

    #[test]
    fn a_refused_argument_is_named_with_its_value_and_its_limit() {
        let long = "a".repeat(65);
        for (product_key, device_name, expected) in [
            ("", "device", "product_key is empty".to_owned()),
            ("pk", "", "device_name is empty".to_owned()),
            (
                &*long,
                "device",
                format!(
                    "product_key is \"{}…\" (65 bytes), 65 bytes long: at most 64 are allowed",
                    "a".repeat(56)
                ),
            ),
            (
                "p&k",
                "device",
                "product_key is \"p&k\": '&' is not one of the letters, digits and '_'".to_owned(),
            ),
            (
                "pk",
                "dev\nice",
                r#"device_name is "dev\nice": '\n' is not one of the letters, digits and "-_@.:""#
                    .to_owned(),
            ),
        ] {
            let error = Identity::with_secret(product_key, device_name, "s").unwrap_err();
            assert_eq!(error.to_string(), expected);
        }
    }

    #[test]
    fn characters_that_have_a_meaning_in_connect_are_refused_in_names() {
        for c in ['&', '|', ',', '=', '/', '+', '#', ' ', '\0', '\u{7f}', 'é'] {
            let name = format!("a{c}b");
            assert!(Identity::with_secret(&name, "d", "s").is_err(), "{c:?}");
            assert!(Identity::with_secret("p", &name, "s").is_err(), "{c:?}");
        }
        assert!(Identity::with_secret("a_B9", "aZ09-_@.:", "s").is_ok());
    }

    #[test]
    fn secrets_have_their_lengths() {
        let secret = |len| Identity::with_secret("pk", "device", &"s".repeat(len));
        assert!(secret(0).is_err());
        assert!(secret(64).is_ok());
        assert!(secret(65).is_err());
        let token = |len| Identity::with_token("pk", "device", "id", &"t".repeat(len));
        assert!(token(0).is_err());
        assert!(token(1024).is_ok());
        assert!(token(1025).is_err());
        let password = |len| Identity::verbatim("id", "user", &"p".repeat(len));
        assert!(password(0).is_ok());
        assert!(password(65_535).is_ok());
        assert!(password(65_536).is_err());
    }

    #[test]
    fn a_token_comes_with_its_client_id() {
        let identity = Identity::with_token("pk", "device", "cid==", "token").unwrap();
        assert!(identity.has_token());
        assert_eq!(identity.client_id(), "cid==");
        assert_eq!(identity.secret().expose(), "token");
        assert!(Identity::with_token("pk", "device", "", "token").is_err());
        assert!(Identity::with_token("pk", "device", "a|b", "token").is_err());
        assert!(Identity::with_token("pk", "device", &"c".repeat(1025), "token").is_err());
    }

    #[test]
    fn a_certificate_stands_for_names_that_are_both_known_or_both_not() {
        for (product_key, device_name) in [("", ""), ("pk", "device")] {
            let identity = Identity::with_certificate(product_key, device_name).unwrap();
            assert!(identity.is_certificate());
            assert!(!identity.has_token() && !identity.is_verbatim());
            assert_eq!(identity.product_key(), product_key);
            assert_eq!(identity.device_name(), device_name);
            assert_eq!(identity.secret().expose(), "");
        }
        for (product_key, device_name) in [("pk", ""), ("", "device"), ("p/k", "device")] {
            assert!(Identity::with_certificate(product_key, device_name).is_err());
        }
        let secret = Identity::with_secret("pk", "device", "s").unwrap();
        assert!(!secret.is_certificate());
    }

    #[test]
    fn a_verbatim_identity_has_neither_product_key_nor_device_name() {
        let identity = Identity::verbatim("id|x=1|", "user", "pass").unwrap();
        assert!(identity.is_verbatim());
        assert_eq!((identity.product_key(), identity.device_name()), ("", ""));
        assert_eq!(identity.client_id(), "id|x=1|");
        assert_eq!(identity.username(), "user");
        assert!(Identity::verbatim("", "user", "pass").is_err());
        assert!(Identity::verbatim("id\0", "user", "pass").is_err());
        assert!(Identity::verbatim(&"i".repeat(65_536), "user", "pass").is_err());
    }

    #[test]
    fn a_password_without_a_user_name_is_refused() {
        assert!(Identity::verbatim("id", "", "").is_ok());
        assert!(Identity::verbatim("id", "user", "").is_ok());
        let error = Identity::verbatim("id", "", "hunter2").unwrap_err();
        assert!(
            error.to_string().starts_with("username is empty"),
            "{error}"
        );
        assert!(!error.to_string().contains("hunter"), "{error}");
    }

    #[test]
    fn no_secret_appears_in_debug_errors_or_budget_keys() {
        let secret = "hunter2";
        let long = secret.repeat(10_000);
        let identities = [
            Identity::with_secret("pk", "device", secret).unwrap(),
            Identity::with_token("pk", "device", "id", secret).unwrap(),
            Identity::verbatim("id", "user", secret).unwrap(),
        ];
        for identity in identities {
            assert!(!format!("{identity:?}").contains(secret));
            assert!(format!("{identity:?}").contains("***"));
            assert!(!identity.budget_key().contains(secret));
        }
        for error in [
            Identity::with_secret("pk", "device", &long).unwrap_err(),
            Identity::with_secret("pk", "device", "hunter2\n").unwrap_err(),
            Identity::with_token("pk", "device", "id", &long).unwrap_err(),
            Identity::verbatim("id", "user", &long).unwrap_err(),
        ] {
            assert!(!format!("{error} {error:?}").contains("hunter"), "{error}");
        }
    }

    #[test]
    fn one_device_has_one_budget_however_it_authenticates() {
        let secret = Identity::with_secret("pk", "device", "s").unwrap();
        let token = Identity::with_token("pk", "device", "id", "t").unwrap();
        let other = Identity::with_secret("pk", "device2", "s").unwrap();
        let verbatim = Identity::verbatim("device&pk", "", "").unwrap();
        assert_eq!(secret.budget_key(), token.budget_key());
        assert_ne!(secret.budget_key(), other.budget_key());
        assert_ne!(secret.budget_key(), verbatim.budget_key());
    }
}
