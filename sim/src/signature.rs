//! The password of a device, computed from the platform's documentation alone.

use std::fmt;

use hmac::{Hmac, KeyInit, Mac};
use md5::Md5;
use sha1::Sha1;
use sha2::{Digest, Sha256};

/// What `signmethod` may say.
///
/// Source: platform page "Establish MQTT connections", parameters of mqttPassword.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Method {
    /// HMAC-MD5; also what a client means that sends no `signmethod`.
    HmacMd5,
    /// HMAC-SHA1.
    HmacSha1,
    /// HMAC-SHA256.
    HmacSha256,
    /// SHA-256 over the content followed by the secret. The page names it and defines it nowhere;
    /// two platforms that took over this protocol define it so.
    Sha256,
}

impl Method {
    /// Every method, the platform's default first.
    pub const ALL: [Self; 4] = [
        Self::HmacMd5,
        Self::HmacSha1,
        Self::HmacSha256,
        Self::Sha256,
    ];

    /// The method that `signmethod=<name>` stands for. Case matters, as it does on the platform.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|method| method.name() == name)
    }

    /// The name as it stands in `signmethod=`.
    pub fn name(self) -> &'static str {
        match self {
            Self::HmacMd5 => "hmacmd5",
            Self::HmacSha1 => "hmacsha1",
            Self::HmacSha256 => "hmacsha256",
            Self::Sha256 => "sha256",
        }
    }

    /// Length of the password in hex digits.
    pub fn hex_len(self) -> usize {
        match self {
            Self::HmacMd5 => 32,
            Self::HmacSha1 => 40,
            Self::HmacSha256 | Self::Sha256 => 64,
        }
    }

    /// The password in lower-case hex: `content` signed with `secret`, both as raw bytes.
    pub fn sign(self, secret: &[u8], content: &[u8]) -> String {
        match self {
            Self::HmacMd5 => hmac_hex::<Hmac<Md5>>(secret, content),
            Self::HmacSha1 => hmac_hex::<Hmac<Sha1>>(secret, content),
            Self::HmacSha256 => hmac_hex::<Hmac<Sha256>>(secret, content),
            Self::Sha256 => {
                let mut digest = Sha256::new();
                digest.update(content);
                digest.update(secret);
                hex::encode(digest.finalize())
            }
        }
    }

    /// Whether `password` is the signature of `content`. The case of the hex digits does not matter.
    ///
    /// Source: platform page "MQTT over TCP", 2019 text.
    pub fn verify(self, secret: &[u8], content: &[u8], password: &str) -> bool {
        self.sign(secret, content).eq_ignore_ascii_case(password)
    }
}

impl fmt::Display for Method {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

fn hmac_hex<M: Mac + KeyInit>(secret: &[u8], content: &[u8]) -> String {
    // HMAC takes a key of any length, so there is no second branch that could be reached.
    M::new_from_slice(secret).map_or_else(
        |_| String::new(),
        |mut mac| {
            mac.update(content);
            hex::encode(mac.finalize().into_bytes())
        },
    )
}

/// The values a device signs.
#[derive(Clone, Copy, Debug)]
pub struct Signed<'a> {
    /// The client id before the first bar, if the client id is signed.
    pub client_id: Option<&'a str>,
    /// Device name.
    pub device_name: &'a str,
    /// Product key.
    pub product_key: &'a str,
    /// Value of `timestamp=`, if it stands between the bars.
    pub timestamp: Option<&'a str>,
}

impl Signed<'_> {
    /// The text that is signed: names in alphabetical order, each followed by its value, nothing in
    /// between.
    ///
    /// Source: platform page "Establish MQTT connections", parameters of mqttPassword.
    pub fn content(&self) -> String {
        let mut content = String::new();
        for (name, value) in [
            ("clientId", self.client_id),
            ("deviceName", Some(self.device_name)),
            ("productKey", Some(self.product_key)),
            ("timestamp", self.timestamp),
        ] {
            if let Some(value) = value {
                content.push_str(name);
                content.push_str(value);
            }
        }
        content
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SEED: Signed<'static> = Signed {
        client_id: Some("12345"),
        device_name: "device",
        product_key: "pk",
        timestamp: Some("789"),
    };

    #[test]
    fn the_example_of_the_platform_page_comes_out() {
        assert_eq!(
            SEED.content(),
            "clientId12345deviceNamedeviceproductKeypktimestamp789"
        );
        let password = "FAFD82A3D602B37FB0FA8B7892F24A477F851A14";
        assert!(Method::HmacSha1.verify(b"secret", SEED.content().as_bytes(), password));
        assert!(Method::HmacSha1.verify(
            b"secret",
            SEED.content().as_bytes(),
            &password.to_lowercase()
        ));
    }

    #[test]
    fn recomputed_vectors_of_every_method_come_out() {
        let no_timestamp = Signed {
            timestamp: None,
            ..SEED
        };
        let mandatory = Signed {
            client_id: None,
            ..no_timestamp
        };
        let link_sdk = Signed {
            client_id: Some("pk.device"),
            timestamp: Some("2524608000000"),
            ..SEED
        };
        for (signed, method, expected) in [
            (SEED, Method::HmacMd5, "14b198324fe55e1d3c88f2e705e201ee"),
            (
                SEED,
                Method::HmacSha256,
                "6074a46a91b1ebb2cc4ea42790ad0e80202c9843859fc292e57c4eb19fad9e57",
            ),
            (
                no_timestamp,
                Method::HmacSha256,
                "c8cb3dcb7159682438e5fd9a9c34f398e41bb8edb6f222795e307bafee151090",
            ),
            (
                mandatory,
                Method::HmacSha1,
                "ef1338106ebf173868958116f51797c8b9149855",
            ),
            (
                link_sdk,
                Method::HmacSha256,
                "2eab47d05ec94fab1a34e7e9f54aebd34a1e15770f932e05300193007e0091e9",
            ),
            (
                SEED,
                Method::Sha256,
                "616393e41b5065e42ebfbbae30808c20af3fbd7f4939068fbde19f20566bbc8c",
            ),
        ] {
            assert_eq!(
                method.sign(b"secret", signed.content().as_bytes()),
                expected
            );
            assert_eq!(expected.len(), method.hex_len());
        }
    }

    #[test]
    fn registration_vectors_come_out_with_the_same_primitives() {
        let content = b"deviceNamedevice1productKeyal123456789random123";
        assert_eq!(
            Method::HmacSha1.sign(b"h1nQFYPZS0mW", content),
            "4148b1335997e4c72da2a8c2d43debe0fc0136d5"
        );
        assert_eq!(
            Method::HmacSha256.sign(b"h1nQFYPZS0mW", content),
            "3398fab2c3e7900419070fcebbdfa9e3cb39f680ebe24e827e26f004c2d22e16"
        );
        let psk = Method::HmacSha256.sign(b"secret", b"idpk&devicetimestamp2524608000000");
        assert_eq!(
            psk,
            "8b822a077426d2593b379a8b41768d89f550ac70c5926d2bf5b80d4a9a836b27"
        );
    }
}
