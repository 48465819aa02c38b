//! The signed content of CONNECT, and the signature.

use hmac::{Hmac, KeyInit, Mac};
use md5::Md5;
use sha1::Sha1;
use sha2::{Digest, Sha256};
use zeroize::Zeroize;

use crate::Secret;

/// How the password is made from the content and the device secret.
///
/// Source: "Establish MQTT connections", parameter signmethod.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum SignMethod {
    /// `hmacsha256`: HMAC with SHA-256.
    #[default]
    HmacSha256,
    /// `hmacsha1`: HMAC with SHA-1.
    HmacSha1,
    /// `hmacmd5`: HMAC with MD5; what the platform assumes when no method is named.
    HmacMd5,
    /// `sha256`: SHA-256 of the content followed by the secret.
    ///
    /// The platform names this method without defining it; the definition is that of two platforms
    /// which speak the same protocol, and is unconfirmed here. Never chosen unless asked for.
    Sha256,
}

impl SignMethod {
    /// The name that `signmethod` carries, such as `hmacsha256`.
    pub fn name(self) -> &'static str {
        match self {
            Self::HmacSha256 => "hmacsha256",
            Self::HmacSha1 => "hmacsha1",
            Self::HmacMd5 => "hmacmd5",
            Self::Sha256 => "sha256",
        }
    }
}

/// The letters of a hexadecimal signature. The platform takes either; a private one may not.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum HexCase {
    /// `A` to `F`.
    #[default]
    Upper,
    /// `a` to `f`.
    Lower,
}

/// Signs `content` with `key` and writes the result in hexadecimal.
///
/// The key is used as the bytes it is, never decoded first. The result has 32 (MD5), 40 (SHA-1) or
/// 64 characters.
///
/// Source: "Establish MQTT connections", parameter mqttPassword.
pub fn sign(method: SignMethod, case: HexCase, key: &[u8], content: &[u8]) -> Secret {
    match method {
        SignMethod::HmacSha256 => hmac::<Hmac<Sha256>>(case, key, content),
        SignMethod::HmacSha1 => hmac::<Hmac<Sha1>>(case, key, content),
        SignMethod::HmacMd5 => hmac::<Hmac<Md5>>(case, key, content),
        SignMethod::Sha256 => {
            let digest = Sha256::new().chain_update(content).chain_update(key);
            in_hex(case, digest.finalize().as_mut_slice())
        }
    }
}

/// What a device signs to connect: each name followed by its value, sorted by name, nothing
/// between.
///
/// `client_id` is the part of the MQTT client id before the first bar, `timestamp` the value of
/// that parameter; each is signed only if given, and must then be sent with the same value. No
/// other parameter is signed.
///
/// Source: "Establish MQTT connections", parameter mqttPassword.
pub fn connect_content(
    client_id: Option<&str>,
    device_name: &str,
    product_key: &str,
    timestamp: Option<&str>,
) -> String {
    let mut content = String::new();
    for (name, value) in [
        ("clientId", client_id),
        ("deviceName", Some(device_name)),
        ("productKey", Some(product_key)),
        ("timestamp", timestamp),
    ] {
        if let Some(value) = value {
            content.push_str(name);
            content.push_str(value);
        }
    }
    content
}

fn hmac<M: Mac + KeyInit>(case: HexCase, key: &[u8], content: &[u8]) -> Secret {
    #[allow(
        clippy::expect_used,
        reason = "HMAC takes a key of any length: RFC 2104, 2"
    )]
    let mac = <M as KeyInit>::new_from_slice(key).expect("HMAC takes any key");
    let mut tag = mac.chain_update(content).finalize().into_bytes();
    in_hex(case, tag.as_mut_slice())
}

/// Writes `bytes` in hexadecimal and overwrites them: they are the password in another form.
fn in_hex(case: HexCase, bytes: &mut [u8]) -> Secret {
    let text = match case {
        HexCase::Upper => hex::encode_upper(&*bytes),
        HexCase::Lower => hex::encode(&*bytes),
    };
    bytes.zeroize();
    Secret::new(text)
}
