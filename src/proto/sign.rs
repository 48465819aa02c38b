//! The signed content of CONNECT, and the signature.

use hmac::{Hmac, KeyInit, Mac};
use md5::Md5;
use sha1::Sha1;
use sha2::{Digest, Sha256};
use zeroize::{Zeroize, Zeroizing};

use crate::Secret;

/// Bytes of the longest signature, that of SHA-256.
const LONGEST: usize = 32;

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
    let signature = compute(method, case, key, content);
    overwrite_stack();
    signature
}

/// Not inlined, so that its frame and those of the hashes are where [`overwrite_stack`] has its own.
#[inline(never)]
fn compute(method: SignMethod, case: HexCase, key: &[u8], content: &[u8]) -> Secret {
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
    // One allocation for names of usual length.
    let mut content = String::with_capacity(192);
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

/// Bytes of stack that are overwritten: more than HMAC and any of the hashes take.
const USED_STACK: usize = 4096;

/// Overwrites the stack below the caller's frame. The crate for HMAC pads the key there, the hashes
/// load it in blocks, and neither overwrites it: it would stand there for as long as the thread runs
/// nothing that goes as deep.
#[inline(never)]
fn overwrite_stack() {
    [0_u64; USED_STACK / 8].zeroize();
}

/// Writes `bytes` in hexadecimal and overwrites them: they are the password in another form.
fn in_hex(case: HexCase, bytes: &mut [u8]) -> Secret {
    // On the stack and then copied once: a text that is collected from its characters takes longer
    // than the signature.
    let mut digits = Zeroizing::new([0; 2 * LONGEST]);
    let digits = digits.get_mut(..2 * bytes.len()).unwrap_or_default();
    // Fails only if there is not twice the room.
    let _ = hex::encode_to_slice(&*bytes, digits);
    if case == HexCase::Upper {
        digits.make_ascii_uppercase();
    }
    bytes.zeroize();
    Secret::new(str::from_utf8(digits).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: &str = "clientId12345deviceNamedeviceproductKeypktimestamp789";

    fn lower(method: SignMethod, content: &str) -> String {
        let signature = sign(method, HexCase::Lower, b"secret", content.as_bytes());
        signature.expose().to_owned()
    }

    #[test]
    fn the_example_of_the_page_is_signed_as_the_page_says() {
        let content = connect_content(Some("12345"), "device", "pk", Some("789"));
        assert_eq!(content, PAGE);
        let signature = sign(
            SignMethod::HmacSha1,
            HexCase::Upper,
            b"secret",
            content.as_bytes(),
        );
        assert_eq!(
            signature.expose(),
            "FAFD82A3D602B37FB0FA8B7892F24A477F851A14"
        );
    }

    #[test]
    fn every_method_signs_the_example_of_the_page() {
        for (method, expected) in [
            (SignMethod::HmacMd5, "14b198324fe55e1d3c88f2e705e201ee"),
            (
                SignMethod::HmacSha1,
                "fafd82a3d602b37fb0fa8b7892f24a477f851a14",
            ),
            (
                SignMethod::HmacSha256,
                "6074a46a91b1ebb2cc4ea42790ad0e80202c9843859fc292e57c4eb19fad9e57",
            ),
            (
                SignMethod::Sha256,
                "616393e41b5065e42ebfbbae30808c20af3fbd7f4939068fbde19f20566bbc8c",
            ),
        ] {
            assert_eq!(lower(method, PAGE), expected, "{}", method.name());
        }
    }

    #[test]
    fn what_is_optional_is_signed_only_if_given() {
        let no_timestamp = connect_content(Some("12345"), "device", "pk", None);
        assert_eq!(no_timestamp, "clientId12345deviceNamedeviceproductKeypk");
        assert_eq!(
            lower(SignMethod::HmacSha256, &no_timestamp),
            "c8cb3dcb7159682438e5fd9a9c34f398e41bb8edb6f222795e307bafee151090"
        );
        let mandatory = connect_content(None, "device", "pk", None);
        assert_eq!(mandatory, "deviceNamedeviceproductKeypk");
        assert_eq!(
            lower(SignMethod::HmacSha1, &mandatory),
            "ef1338106ebf173868958116f51797c8b9149855"
        );
    }

    #[test]
    fn the_content_of_registration_is_signed_alike() {
        let content = b"deviceNamedevice1productKeyal123456789random123";
        for (method, expected) in [
            (
                SignMethod::HmacSha1,
                "4148b1335997e4c72da2a8c2d43debe0fc0136d5",
            ),
            (
                SignMethod::HmacSha256,
                "3398fab2c3e7900419070fcebbdfa9e3cb39f680ebe24e827e26f004c2d22e16",
            ),
        ] {
            let signature = sign(method, HexCase::Lower, b"h1nQFYPZS0mW", content);
            assert_eq!(signature.expose(), expected);
        }
    }

    #[test]
    fn keys_of_every_length_sign() {
        // RFC 4231, case 6: a key longer than a block; RFC 2202 has nothing about an empty one.
        let long = sign(
            SignMethod::HmacSha256,
            HexCase::Lower,
            &[0xaa; 131],
            b"Test Using Larger Than Block-Size Key - Hash Key First",
        );
        assert_eq!(
            long.expose(),
            "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54"
        );
        let empty = sign(SignMethod::HmacSha256, HexCase::Lower, b"", b"");
        assert_eq!(
            empty.expose(),
            "b613679a0814d9ec772f95d778c35fc5ff1697c493715653c6c712144292c5ad"
        );
    }

    #[test]
    fn the_default_is_hmacsha256_in_upper_case() {
        assert_eq!(SignMethod::default().name(), "hmacsha256");
        assert_eq!(HexCase::default(), HexCase::Upper);
    }
}
