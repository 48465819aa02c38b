//! What fuzz/ reaches into: readers of what comes from outside, and the walk through the device.
//!
//! Behind the feature `fuzzing`, which is for that alone. No promise covers what is in here.

pub use crate::proto::codec::{
    Malformed, Packet, Publish, decode, encode_puback, encode_publish, encode_subscribe,
    encode_unsubscribe, missing, set_duplicate, set_packet_id, split,
};
pub use crate::proto::routes::{Handlers, Routes};

use crate::proto::certificate::{Certificate, common_name};
use crate::proto::device::tests_random;
use crate::proto::{json, proxy, websocket};
use crate::{Error, Identity, Secret};

/// The members of `names` in a JSON object.
///
/// # Errors
///
/// What is wrong with it.
pub fn json_members(text: &[u8], names: [&str; 3]) -> Result<[Option<Secret>; 3], &'static str> {
    json::text_members(text, names)
}

/// The identity in a notice of the platform.
pub fn identity_from_notice(payload: &[u8]) -> Option<Identity> {
    Identity::from_notice(payload)
}

/// The identity in the text of its file.
///
/// # Errors
///
/// What is wrong with it.
pub fn identity_from_text(text: &[u8]) -> Result<Identity, Error> {
    Identity::from_text(text)
}

/// The text of an identity's file.
pub fn identity_to_text(identity: &Identity) -> Secret {
    identity.to_text()
}

/// Issuer, subject and end of a certificate.
pub fn certificate(der: &[u8]) -> Option<(Option<String>, Option<String>, u64)> {
    let found = Certificate::parse(der)?;
    Some((
        common_name(found.issuer),
        common_name(found.subject),
        found.not_after,
    ))
}

/// What has come of an HTTP proxy's answer.
pub fn http_proxy_answer(bytes: &[u8]) -> Option<Result<(), String>> {
    proxy::http_answer(bytes)
}

/// How many bytes follow the first five of a SOCKS proxy's answer.
///
/// # Errors
///
/// What the proxy says instead of yes.
pub fn socks_proxy_answer(bytes: [u8; 5]) -> Result<usize, String> {
    proxy::socks_answer(bytes)
}

/// What has come of a server's answer to the handshake of a WebSocket.
pub fn websocket_answer(bytes: &[u8], key: &str) -> Option<Result<usize, String>> {
    websocket::answer(bytes, key)
}

/// Takes a device through calls, packets, cuts and time as `script` says.
pub fn walk(script: &[u8]) {
    tests_random::walk(script);
}
