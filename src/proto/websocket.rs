//! The handshake that turns a connection into a WebSocket. Bytes only.
//!
//! Source: RFC 6455, 4; MQTT 3.1.1, 6.

#![cfg_attr(
    not(feature = "websocket"),
    allow(
        dead_code,
        reason = "without the feature nothing but the check of the path is needed"
    )
)]

use sha1::{Digest, Sha1};

use crate::proto::proxy::push_base64;
use crate::proto::text::{check_chars, check_len};
use crate::{Endpoint, Error};

/// Longest answer to the handshake that is waited for.
const ANSWER_LEN: usize = 16 * 1024;

/// Longest path.
const PATH_LEN: usize = 1024;

/// What a server appends to the key before it hashes it. Source: RFC 6455, 1.3.
const GUID: &str = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

impl Endpoint {
    /// Speaks MQTT inside a WebSocket: `wss`, or `ws` on an endpoint without TLS. `path` is what
    /// stands behind the host in its address, such as `/` or `/mqtt`.
    ///
    /// The platform serves it on port 443, path `/`. The port stays what it is.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidArgument`](crate::ErrorKind::InvalidArgument) unless the path begins with
    /// `/` and has at most 1024 printable characters of ASCII;
    /// [`ErrorKind::InvalidState`](crate::ErrorKind::InvalidState) if the library was built without
    /// the feature `websocket`.
    ///
    /// Source: the platform's page on MQTT over WebSocket.
    pub fn set_websocket(&mut self, path: &str) -> Result<(), Error> {
        check_len("path", path, 1..=PATH_LEN)?;
        check_chars(
            "path",
            path,
            |c| c.is_ascii_graphic() && c != '#',
            "the printable characters of ASCII without '#'",
        )?;
        if !path.starts_with('/') {
            return Err(Error::argument("path", "must begin with '/'"));
        }
        #[cfg(not(feature = "websocket"))]
        return Err(Error::left_out("websocket"));
        #[cfg(feature = "websocket")]
        {
            self.way_mut().websocket = Some(path.to_owned());
            Ok(())
        }
    }
}

/// The key of a handshake: 16 random bytes in base64.
pub(crate) fn key(random: [u8; 16]) -> String {
    base64(&random)
}

fn base64(bytes: &[u8]) -> String {
    let mut text = Vec::new();
    push_base64(&mut text, bytes);
    String::from_utf8(text).unwrap_or_default()
}

/// Asks for a WebSocket that carries MQTT.
pub(crate) fn request(host: &str, port: u16, path: &str, key: &str) -> Vec<u8> {
    let host = if host.contains(':') {
        format!("[{host}]")
    } else {
        host.to_owned()
    };
    format!(
        "GET {path} HTTP/1.1\r\nHost: {host}:{port}\r\nUpgrade: websocket\r\n\
         Connection: Upgrade\r\nSec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n\
         Sec-WebSocket-Protocol: mqtt\r\n\r\n"
    )
    .into_bytes()
}

/// What has come of the answer: the number of its bytes, after which frames begin; `None` while it
/// is incomplete.
///
/// # Errors
///
/// Why it is no WebSocket.
pub(crate) fn answer(bytes: &[u8], key: &str) -> Option<Result<usize, String>> {
    // Balancers refuse in HTTP/1.0, with a status that says why.
    const START: &[u8] = b"HTTP/1.";
    let begins = bytes.iter().zip(START).all(|(byte, start)| byte == start);
    if !begins {
        return Some(Err("the peer does not speak HTTP".to_owned()));
    }
    let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") else {
        let too_long = bytes.len() > ANSWER_LEN;
        return too_long.then(|| Err("the peer's answer has no end".to_owned()));
    };
    let head = String::from_utf8_lossy(bytes.get(..end).unwrap_or_default());
    Some(check(&head, key).map(|()| end + 4))
}

fn check(head: &str, key: &str) -> Result<(), String> {
    let mut lines = head.split("\r\n");
    let status = lines.next().unwrap_or_default();
    if status.split(' ').nth(1) != Some("101") {
        let shown: String = status
            .chars()
            .filter(|c| !c.is_control())
            .take(80)
            .collect();
        return Err(format!("the server answers {shown}"));
    }
    if !status.starts_with("HTTP/1.1 ") {
        // RFC 6455, 4.1: 1.1 or later.
        return Err("the server switches to WebSocket in HTTP/1.0".to_owned());
    }
    let headers: Vec<(&str, &str)> = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name, value.trim()))
        .collect();
    let find = |wanted: &str| {
        let mut found = headers
            .iter()
            .filter(|(name, _)| name.eq_ignore_ascii_case(wanted));
        found.next().map(|(_, value)| *value)
    };
    let expected = base64(&Sha1::digest(format!("{key}{GUID}")));
    if find("Sec-WebSocket-Accept") != Some(&*expected) {
        return Err("the server's answer does not belong to this handshake".to_owned());
    }
    let upgrades = find("Upgrade").is_some_and(|value| value.eq_ignore_ascii_case("websocket"));
    if !upgrades {
        return Err("the server does not switch to WebSocket".to_owned());
    }
    // Nothing that was not asked for may be agreed on.
    match find("Sec-WebSocket-Protocol") {
        None | Some("mqtt") if find("Sec-WebSocket-Extensions").is_none() => Ok(()),
        _ => Err("the server chooses a protocol or an extension that was not offered".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 6455, 1.3.
    const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
    const YES: &str = "HTTP/1.1 101 Switching Protocols\r\nupgrade: WebSocket\r\n\
        Connection: Upgrade\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\
        Sec-WebSocket-Protocol: mqtt\r\n\r\n";

    #[test]
    fn the_handshake_of_the_standard_is_spoken() {
        assert_eq!(key(*b"the sample nonce"), KEY);
        let request = String::from_utf8(request("::1", 443, "/mqtt?a=b", KEY)).unwrap();
        assert!(request.starts_with("GET /mqtt?a=b HTTP/1.1\r\nHost: [::1]:443\r\n"));
        for len in 0..YES.len() {
            assert_eq!(answer(&YES.as_bytes()[..len], KEY), None, "{len}");
        }
        assert_eq!(answer(YES.as_bytes(), KEY), Some(Ok(YES.len())));
        let more = [YES.as_bytes(), b"\x82\x00"].concat();
        assert_eq!(answer(&more, KEY), Some(Ok(YES.len())));
    }

    #[test]
    fn what_is_no_websocket_is_refused_in_words() {
        let endless = format!("HTTP/1.1 101 {}", "x".repeat(ANSWER_LEN));
        for (text, words) in [
            (
                "HTTP/1.1 404 Not Found\r\n\r\n".to_owned(),
                "answers HTTP/1.1 404 Not Found",
            ),
            (
                "HTTP/1.0 503 Service Unavailable\r\n\r\n".to_owned(),
                "answers HTTP/1.0 503 Service Unavailable",
            ),
            (YES.replace("HTTP/1.1", "HTTP/1.0"), "in HTTP/1.0"),
            ("\x20\x02\0\0".to_owned(), "does not speak HTTP"),
            (
                YES.replace("s3p", "s3q"),
                "does not belong to this handshake",
            ),
            (
                YES.replace("upgrade: WebSocket", "upgrade: h2c"),
                "does not switch",
            ),
            (YES.replace("mqtt", "amqp"), "was not offered"),
            (
                YES.replace("\r\n\r\n", "\r\nSec-WebSocket-Extensions: x\r\n\r\n"),
                "not offered",
            ),
            (endless, "has no end"),
        ] {
            let problem = answer(text.as_bytes(), KEY).unwrap().unwrap_err();
            assert!(problem.contains(words), "{problem}");
        }
        assert_eq!(ANSWER_LEN, 16_384, "as much as servers allow each other");
        let head = &format!("HTTP/1.1 101 {}", "x".repeat(ANSWER_LEN))[..=ANSWER_LEN];
        assert_eq!(answer(&head.as_bytes()[..ANSWER_LEN], KEY), None);
        assert!(answer(head.as_bytes(), KEY).is_some());
        // What it says may go to a terminal, and need not be short.
        let hostile = format!("HTTP/1.1 500 \x1b[2J{}\r\n\r\n", "x".repeat(100));
        let problem = answer(hostile.as_bytes(), KEY).unwrap().unwrap_err();
        let expected = format!("the server answers HTTP/1.1 500 [2J{}", "x".repeat(64));
        assert_eq!(problem, expected);
        let unnamed = YES.replace("Sec-WebSocket-Protocol: mqtt\r\n", "");
        assert!(answer(unnamed.as_bytes(), KEY).unwrap().is_ok());
    }

    #[test]
    fn a_path_is_checked() {
        let mut endpoint = Endpoint::host("a.example", 443).unwrap();
        for path in ["", "mqtt", "/a b", "/\r\nX: y", "/\u{e9}", "/#"] {
            assert!(endpoint.set_websocket(path).is_err(), "{path}");
        }
        assert_eq!(
            endpoint.set_websocket("/mqtt").is_ok(),
            cfg!(feature = "websocket")
        );
        #[cfg(feature = "websocket")]
        assert_eq!(endpoint.way().websocket.as_deref(), Some("/mqtt"));
    }
}
