//! An identity as the text of its file: a version, the fields, a checksum.
//!
//! ```text
//! aliot identity 1
//! kind = secret
//! product_key = a1B2c3D4e5F
//! device_name = thermometer
//! secret = 6465766963652d736563726574
//! sha256 = ...
//! ```
//!
//! The secret is in hexadecimal, because it may contain anything. The checksum covers every byte
//! before its line; it finds what wear and power losses do, and keeps nobody from a change on purpose.

use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use crate::proto::json::text_members;
use crate::{Error, ErrorKind, Identity, Secret, Stage};

const FIRST_LINE: &str = "aliot identity 1";
const KINDS: [&str; 4] = ["secret", "token", "verbatim", "certificate"];

impl Identity {
    /// The owner of a client certificate, as the platform says it; `None` if it makes no sense.
    pub(crate) fn from_notice(payload: &[u8]) -> Option<Self> {
        let [key, name] = text_members(payload, ["productKey", "deviceName"]).ok()?;
        let (key, name) = (key?, name?);
        // Empty names would be an identity that is not known yet.
        Self::with_certificate(key.expose(), name.expose())
            .ok()
            .filter(|identity| !identity.device_name().is_empty())
    }

    /// The text of this identity's file. It contains the secret.
    pub(crate) fn to_text(&self) -> Secret {
        let [secret, token, verbatim, certificate] = KINDS;
        let kind = if self.is_verbatim() {
            verbatim
        } else if self.has_token() {
            token
        } else if self.is_certificate() {
            certificate
        } else {
            secret
        };
        let fields = [
            ("kind", kind),
            ("product_key", self.product_key()),
            ("device_name", self.device_name()),
            ("client_id", self.client_id()),
            ("username", self.username()),
        ];
        let secret = self.secret().expose().as_bytes();
        let len: usize = fields.iter().map(|(_, value)| value.len() + 32).sum();
        // As large as it becomes, because growing would leave copies of the secret behind.
        let mut text = Zeroizing::new(String::with_capacity(len + secret.len() * 2 + 256));
        text.push_str(FIRST_LINE);
        text.push('\n');
        for (name, value) in fields {
            if !value.is_empty() {
                text.extend([name, " = ", value, "\n"]);
            }
        }
        if !secret.is_empty() {
            text.push_str("secret = ");
            for byte in secret {
                for digit in [byte >> 4, byte & 15] {
                    text.push(char::from_digit(digit.into(), 16).unwrap_or_default());
                }
            }
            text.push('\n');
        }
        let sum = hex::encode(Sha256::digest(text.as_bytes()));
        text.extend(["sha256 = ", &sum, "\n"]);
        Secret::from(text)
    }

    /// The identity in the text of a file.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::FileDamaged`] says in what way it is not what [`Identity::to_text`] makes,
    /// without a piece of it.
    pub(crate) fn from_text(text: &[u8]) -> Result<Self, Error> {
        parse(text).map_err(|problem| {
            let text = format!("the identity {problem}");
            Error::new(ErrorKind::FileDamaged, Stage::Storage, text)
        })
    }
}

fn parse(text: &[u8]) -> Result<Identity, String> {
    if text.is_empty() {
        return Err("is empty".to_owned());
    }
    let cut = "is cut off or changed: its checksum is not right";
    let text = std::str::from_utf8(text).map_err(|_| cut)?;
    let Some((first, _)) = text.split_once('\n') else {
        return Err(cut.to_owned());
    };
    if first != FIRST_LINE {
        let version = first.strip_prefix("aliot identity ");
        return Err(match version.map(str::parse::<u32>) {
            Some(Ok(2..)) => "is of a later version of the library",
            // Line ends of Windows, for instance.
            Some(_) => cut,
            None => "is no identity: its first line is another",
        }
        .to_owned());
    }
    let (body, sum) = text.rsplit_once("sha256 = ").ok_or(cut)?;
    let sum = sum.strip_suffix('\n').ok_or(cut)?;
    if !body.ends_with('\n') || hex::encode(Sha256::digest(body.as_bytes())) != sum {
        return Err(cut.to_owned());
    }
    let mut fields = Fields::default();
    for line in body.lines().skip(1) {
        let (name, value) = line.split_once(" = ").ok_or("has a line without a value")?;
        let place = match name {
            "kind" => &mut fields.kind,
            "product_key" => &mut fields.product_key,
            "device_name" => &mut fields.device_name,
            "client_id" => &mut fields.client_id,
            "username" => &mut fields.username,
            "secret" => &mut fields.secret,
            _ => return Err("has a line that this version does not know".to_owned()),
        };
        if place.replace(value).is_some() {
            return Err(format!("has two lines {name}"));
        }
    }
    fields.identity()
}

#[derive(Default)]
struct Fields<'a> {
    kind: Option<&'a str>,
    product_key: Option<&'a str>,
    device_name: Option<&'a str>,
    client_id: Option<&'a str>,
    username: Option<&'a str>,
    secret: Option<&'a str>,
}

impl Fields<'_> {
    fn identity(&self) -> Result<Identity, String> {
        let mut bytes = Zeroizing::new(vec![0; self.secret.map_or(0, str::len) / 2]);
        hex::decode_to_slice(self.secret.unwrap_or_default(), &mut bytes)
            .map_err(|_| "has a secret that is not hexadecimal")?;
        let secret = std::str::from_utf8(&bytes).map_err(|_| "has a secret that is not UTF-8")?;
        let key = self.product_key.unwrap_or_default();
        let name = self.device_name.unwrap_or_default();
        let client_id = self.client_id.unwrap_or_default();
        let identity = match self.kind {
            Some("secret") => Identity::with_secret(key, name, secret),
            Some("token") => Identity::with_token(key, name, client_id, secret),
            Some("verbatim") => {
                Identity::verbatim(client_id, self.username.unwrap_or_default(), secret)
            }
            Some("certificate") => Identity::with_certificate(key, name),
            _ => return Err("is of a kind that this version does not know".to_owned()),
        };
        identity.map_err(|error| format!("cannot be used: {error}"))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn identities() -> Vec<Identity> {
        vec![
            Identity::with_secret("a1B2c3D4e5F", "thermometer", "device-secret").unwrap(),
            Identity::with_token("pk", "dn", "client = 1", "t\u{e9}ken").unwrap(),
            Identity::verbatim("sha256 = x", "user", "pass\nword\0").unwrap(),
            Identity::verbatim("device", "", "").unwrap(),
            Identity::with_certificate("pk", "dn").unwrap(),
        ]
    }

    #[test]
    fn every_kind_of_identity_comes_back_as_it_was() {
        for identity in identities() {
            let text = identity.to_text();
            assert_eq!(Identity::from_text(text.expose().as_bytes()), Ok(identity));
        }
    }

    #[test]
    fn the_text_stays_what_it_is() {
        let identity = Identity::with_secret("pk", "dn", "secret").unwrap();
        assert_eq!(
            identity.to_text().expose(),
            "aliot identity 1\nkind = secret\nproduct_key = pk\ndevice_name = dn\n\
             secret = 736563726574\n\
             sha256 = f9476a388d470fd9dbad8d1aa9d0bb1af0cd5ff0da86d963eb26334c9c212b82\n"
        );
    }

    #[test]
    fn every_cut_and_every_changed_byte_is_noticed() {
        for identity in identities() {
            let text = identity.to_text();
            let text = text.expose().as_bytes();
            for len in 0..text.len() {
                let error = Identity::from_text(&text[..len]).unwrap_err();
                assert_eq!(error.kind(), ErrorKind::FileDamaged);
            }
            for place in 0..text.len() {
                let mut changed = text.to_vec();
                changed[place] ^= 1;
                assert!(Identity::from_text(&changed).is_err(), "byte {place}");
            }
        }
    }

    #[test]
    fn a_notice_names_the_owner_of_a_certificate_or_nobody() {
        let owner = |notice: &str| Identity::from_notice(notice.as_bytes());
        let named = Identity::with_certificate("pk", "dn").unwrap();
        let notice = r#"{"productKey":"pk","deviceName":"dn","x":1}"#;
        assert_eq!(owner(notice), Some(named));
        for nobody in [
            "",
            "{}",
            r#"{"productKey":"pk"}"#,
            r#"{"productKey":"","deviceName":""}"#,
            r#"{"productKey":"p k","deviceName":"dn"}"#,
        ] {
            assert_eq!(owner(nobody), None, "{nobody}");
        }
    }

    /// A text with the right checksum.
    fn summed(body: &str) -> String {
        let body = format!("{FIRST_LINE}\n{body}");
        let sum = hex::encode(Sha256::digest(body.as_bytes()));
        format!("{body}sha256 = {sum}\n")
    }

    #[test]
    fn what_is_wrong_is_said_without_the_secret() {
        for (text, words) in [
            (String::new(), "is empty"),
            ("{}\n".to_owned(), "is no identity"),
            ("aliot identity 2\n".to_owned(), "is of a later version"),
            ("aliot identity 1\r\n".to_owned(), "is cut off"),
            ("aliot identity 0\n".to_owned(), "is cut off"),
            (
                summed("kind = secret\nkind = secret\n"),
                "has two lines kind",
            ),
            (summed("kind = fingerprint\n"), "is of a kind"),
            (summed("colour = red\n"), "has a line that this version"),
            (summed("kind\n"), "has a line without a value"),
            (summed("kind = secret\nsecret = 7x\n"), "is not hexadecimal"),
            (summed("kind = secret\nsecret = ff\n"), "is not UTF-8"),
            (
                summed("kind = secret\nproduct_key = p k\ndevice_name = dn\nsecret = 736563\n"),
                "cannot be used: product_key is \"p k\"",
            ),
        ] {
            let error = Identity::from_text(text.as_bytes()).unwrap_err();
            let said = error.to_string();
            assert!(said.contains(words), "\"{said}\" lacks \"{words}\"");
            assert!(!said.contains("736563"), "{said}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_at_all_do_harm(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let _ = Identity::from_text(&bytes);
            let _ = parse(summed(&String::from_utf8_lossy(&bytes)).as_bytes());
        }
    }
}
