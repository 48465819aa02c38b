//! What is said to a proxy, and what its answers mean. Bytes only.

use core::net::IpAddr;

use zeroize::Zeroizing;

use crate::Secret;

/// Longest answer of an HTTP proxy that is waited for, with what comes before it in the meantime.
const HTTP_ANSWER_LEN: usize = 16 * 1024;

type Login<'a> = Option<&'a (String, Secret)>;

/// Asks an HTTP proxy for a connection to `host`.
///
/// Source: RFC 9110, 9.3.6; RFC 7617, 2.
pub(crate) fn http_request(host: &str, port: u16, login: Login<'_>) -> Zeroizing<Vec<u8>> {
    let to = if host.contains(':') {
        format!("[{host}]:{port}")
    } else {
        format!("{host}:{port}")
    };
    // As large as it becomes, because growing would leave copies of the password behind.
    let mut request = Zeroizing::new(Vec::with_capacity(2 * to.len() + 1024));
    request.extend_from_slice(format!("CONNECT {to} HTTP/1.1\r\nHost: {to}\r\n").as_bytes());
    if let Some((user, password)) = login {
        let pair = Zeroizing::new([user, ":", password.expose()].concat());
        request.extend_from_slice(b"Proxy-Authorization: Basic ");
        push_base64(&mut request, pair.as_bytes());
        request.extend_from_slice(b"\r\n");
    }
    request.extend_from_slice(b"\r\n");
    request
}

/// Source: RFC 4648, 4.
pub(crate) fn push_base64(out: &mut Vec<u8>, bytes: &[u8]) {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for group in bytes.chunks(3) {
        let number = group
            .iter()
            .chain(&[0, 0])
            .take(3)
            .fold(0_usize, |number, &byte| number << 8 | usize::from(byte));
        for place in 0..4 {
            let digit = DIGITS.get(number >> (18 - 6 * place) & 63).copied();
            out.push(if place > group.len() {
                b'='
            } else {
                digit.unwrap_or_default()
            });
        }
    }
}

/// What has come of an HTTP proxy's answer: `None` while it is incomplete.
///
/// Interim answers before it mean nothing, but for 101, which would be an answer to something else.
/// Source: RFC 9110, 15.2.
///
/// # Errors
///
/// What the proxy says instead of yes.
pub(crate) fn http_answer(bytes: &[u8]) -> Option<Result<(), String>> {
    let text = String::from_utf8_lossy(bytes);
    let mut rest = &*text;
    let (status, code) = loop {
        if !"HTTP/1.".starts_with(rest.get(..7).unwrap_or(rest)) {
            return Some(Err("it does not speak HTTP".to_owned()));
        }
        let Some((answer, after)) = rest.split_once("\r\n\r\n") else {
            let too_long = bytes.len() > HTTP_ANSWER_LEN;
            return too_long.then(|| Err("its answer has no end".to_owned()));
        };
        rest = after;
        let status = answer.lines().next().unwrap_or_default();
        let code = status.split(' ').nth(1).unwrap_or_default().as_bytes();
        let is_interim = matches!(code, [b'1', _, _]) && code != b"101";
        if !is_interim {
            break (status, code);
        }
    };
    Some(match code {
        [b'2', _, _] if rest.is_empty() => Ok(()),
        [b'2', _, _] => Err("it sends more than an answer".to_owned()),
        b"407" => Err(format!(
            "it wants a user name and a password, or others than were given ({})",
            shown(status)
        )),
        _ => Err(format!("it answers {}", shown(status))),
    })
}

fn shown(status: &str) -> String {
    let printable = status.chars().filter(|c| !c.is_control());
    printable.take(80).collect()
}

const SOCKS_5: u8 = 5;
const NO_LOGIN: u8 = 0;
const LOGIN: u8 = 2;

/// The first words to a SOCKS proxy. Source: RFC 1928, 3.
pub(crate) fn socks_greeting(login: Login<'_>) -> Vec<u8> {
    match login {
        None => vec![SOCKS_5, 1, NO_LOGIN],
        Some(_) => vec![SOCKS_5, 2, NO_LOGIN, LOGIN],
    }
}

/// What the two bytes of its answer ask for: the login, or nothing.
pub(crate) fn socks_choice(answer: [u8; 2], login: Login<'_>) -> Result<bool, String> {
    match (answer, login) {
        ([SOCKS_5, NO_LOGIN], _) => Ok(false),
        ([SOCKS_5, LOGIN], Some(_)) => Ok(true),
        ([SOCKS_5, _], None) => Err("it wants a user name and a password".to_owned()),
        ([SOCKS_5, _], Some(_)) => {
            Err("it takes no user name and password, and nobody without".to_owned())
        }
        _ => Err("it does not speak SOCKS 5".to_owned()),
    }
}

/// User name and password. Source: RFC 1929, 2.
pub(crate) fn socks_login((user, password): &(String, Secret)) -> Zeroizing<Vec<u8>> {
    let mut request = Zeroizing::new(Vec::with_capacity(3 + 2 * 255));
    request.push(1);
    for text in [user.as_bytes(), password.expose().as_bytes()] {
        request.push(u8::try_from(text.len()).unwrap_or_default());
        request.extend_from_slice(text);
    }
    request
}

/// Whether the two bytes of the answer to a login let one in.
pub(crate) fn socks_login_answer(answer: [u8; 2]) -> Result<(), String> {
    match answer {
        [1, 0] => Ok(()),
        _ => Err("it refuses the user name or the password".to_owned()),
    }
}

/// Asks for a connection to `host`. Source: RFC 1928, 4.
pub(crate) fn socks_request(host: &str, port: u16) -> Vec<u8> {
    let mut request = vec![SOCKS_5, 1, 0];
    match host.parse() {
        Ok(IpAddr::V4(address)) => {
            request.push(1);
            request.extend_from_slice(&address.octets());
        }
        Ok(IpAddr::V6(address)) => {
            request.push(4);
            request.extend_from_slice(&address.octets());
        }
        Err(_) => {
            request.extend_from_slice(&[3, u8::try_from(host.len()).unwrap_or_default()]);
            request.extend_from_slice(host.as_bytes());
        }
    }
    request.extend_from_slice(&port.to_be_bytes());
    request
}

/// How many bytes follow the first five of the answer. Source: RFC 1928, 6.
pub(crate) fn socks_answer(answer: [u8; 5]) -> Result<usize, String> {
    let [version, reply, _, kind, first] = answer;
    if version != SOCKS_5 {
        return Err("it does not speak SOCKS 5".to_owned());
    }
    let problem = match reply {
        0 => {
            return match kind {
                1 => Ok(4 - 1 + 2),
                3 => Ok(usize::from(first) + 2),
                4 => Ok(16 - 1 + 2),
                _ => Err("its answer makes no sense".to_owned()),
            };
        }
        1 => "it failed",
        2 => "its rules do not allow this connection",
        3 => "the network cannot be reached from it",
        4 => "the host cannot be reached from it, or has no address there",
        5 => "the host refuses its connection",
        6 => "the time to live ran out",
        7 => "it makes no connections",
        8 => "it does not take this kind of address",
        _ => "it failed for an unknown reason",
    };
    Err(format!("{problem} (SOCKS reply {reply})"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn login() -> (String, Secret) {
        ("Aladdin".to_owned(), Secret::new("open sesame"))
    }

    #[test]
    fn an_http_proxy_is_asked_as_the_standard_says() {
        assert_eq!(
            *http_request("a.example", 8883, None),
            *b"CONNECT a.example:8883 HTTP/1.1\r\nHost: a.example:8883\r\n\r\n"
        );
        let request = http_request("::1", 443, Some(&login()));
        let text = std::str::from_utf8(&request).unwrap();
        assert!(text.starts_with("CONNECT [::1]:443 HTTP/1.1\r\nHost: [::1]:443\r\n"));
        // RFC 7617, 2.
        assert!(text.contains("\r\nProxy-Authorization: Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==\r\n"));
    }

    /// A buffer that grows leaves a copy of what was in it behind, and so of the password.
    #[test]
    fn the_longest_login_fits_the_room_that_was_made_for_it() {
        let login = ("u".repeat(255), Secret::new("p".repeat(255)));
        let request = socks_login(&login);
        assert_eq!(request.capacity(), request.len());
        let host = "h".repeat(253);
        let request = http_request(&host, 65_535, Some(&login));
        let room = 2 * (host.len() + ":65535".len()) + 1024;
        assert!(request.len() <= room && request.capacity() == room);
    }

    #[test]
    fn base64_is_that_of_the_standard() {
        // RFC 4648, 10.
        for (bytes, text) in [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foob", "Zm9vYg=="),
            ("fooba", "Zm9vYmE="),
            ("foobar", "Zm9vYmFy"),
        ] {
            let mut out = Vec::new();
            push_base64(&mut out, bytes.as_bytes());
            assert_eq!(out, text.as_bytes());
        }
    }

    #[test]
    fn an_http_answer_is_waited_for_and_understood() {
        let yes = b"HTTP/1.1 200 Connection established\r\nVia: x\r\n\r\n";
        for len in 0..yes.len() {
            assert_eq!(http_answer(&yes[..len]), None, "{len}");
        }
        assert_eq!(http_answer(yes), Some(Ok(())));
        assert_eq!(http_answer(b"HTTP/1.0 204 X\r\n\r\n"), Some(Ok(())));
        for (answer, words) in [
            (
                &b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n"[..],
                "user name",
            ),
            (
                b"HTTP/1.1 403 Filtered\r\n\r\nbody",
                "answers HTTP/1.1 403 Filtered",
            ),
            (b"HTTP/1.1 200 OK\r\n\r\n\x20\x02", "more than an answer"),
            (b"HTTP/1.1 \r\n\r\n", "it answers"),
            (b"SSH-2.0", "does not speak HTTP"),
            (b"\x05\x00", "does not speak HTTP"),
            (b"\xff\xff", "does not speak HTTP"),
        ] {
            let problem = http_answer(answer).unwrap().unwrap_err();
            assert!(problem.contains(words), "{problem}");
        }
        let endless = [&b"HTTP/1.1 200 OK\r\n"[..], &[b'x'; HTTP_ANSWER_LEN]].concat();
        assert!(http_answer(&endless).unwrap().is_err());
        assert_eq!(
            HTTP_ANSWER_LEN, 16_384,
            "as much as servers allow each other"
        );
        assert_eq!(http_answer(&endless[..HTTP_ANSWER_LEN]), None);
        assert!(http_answer(&endless[..=HTTP_ANSWER_LEN]).is_some());
        // What it says may go to a terminal, and need not be short.
        let hostile = format!("HTTP/1.1 500 \x1b[2J{}\r\n\r\n", "x".repeat(100));
        let problem = http_answer(hostile.as_bytes()).unwrap().unwrap_err();
        let expected = format!("it answers HTTP/1.1 500 [2J{}", "x".repeat(64));
        assert_eq!(problem, expected);
    }

    #[test]
    fn interim_answers_of_an_http_proxy_are_passed_over() {
        const INTERIM: &str =
            "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n";
        let yes = format!("{INTERIM}HTTP/1.1 200 OK\r\nVia: x\r\n\r\n");
        for len in 0..yes.len() {
            assert_eq!(http_answer(&yes.as_bytes()[..len]), None, "{len}");
        }
        assert_eq!(http_answer(yes.as_bytes()), Some(Ok(())));
        for (last, words) in [
            ("HTTP/1.1 403 No\r\n\r\n", "it answers HTTP/1.1 403 No"),
            ("HTTP/1.1 407 No\r\n\r\n", "user name"),
            ("HTTP/1.1 200 OK\r\n\r\n\x20", "more than an answer"),
            ("\x20\x02", "does not speak HTTP"),
            // Something else than was asked for, and another protocol from there on.
            ("HTTP/1.1 101 Switching\r\n\r\n", "it answers HTTP/1.1 101"),
            ("HTTP/1.1 1\r\n\r\n", "it answers HTTP/1.1 1"),
        ] {
            let problem = http_answer(format!("{INTERIM}{last}").as_bytes());
            let problem = problem.unwrap().unwrap_err();
            assert!(problem.contains(words), "{problem}");
        }
        // They count as well, so that they come to an end.
        let endless = INTERIM.repeat(HTTP_ANSWER_LEN / INTERIM.len() + 1);
        let problem = http_answer(endless.as_bytes()).unwrap().unwrap_err();
        assert_eq!(problem, "its answer has no end");
        assert_eq!(http_answer(&endless.as_bytes()[..HTTP_ANSWER_LEN]), None);
    }

    #[test]
    fn a_socks_proxy_is_asked_as_the_standard_says() {
        assert_eq!(socks_greeting(None), [5, 1, 0]);
        assert_eq!(socks_greeting(Some(&login())), [5, 2, 0, 2]);
        assert_eq!(*socks_login(&login()), *b"\x01\x07Aladdin\x0bopen sesame");
        assert_eq!(
            socks_request("a.bc", 8883),
            *b"\x05\x01\x00\x03\x04a.bc\x22\xb3"
        );
        assert_eq!(socks_request("1.2.3.4", 1), [5, 1, 0, 1, 1, 2, 3, 4, 0, 1]);
        assert_eq!(socks_request("::1", 1).len(), 4 + 16 + 2);
    }

    #[test]
    fn what_a_socks_proxy_answers_is_understood() {
        assert_eq!(socks_choice([5, 0], None), Ok(false));
        assert_eq!(socks_choice([5, 2], Some(&login())), Ok(true));
        for (answer, login, words) in [
            ([5, 2], None, "it wants a user name"),
            ([5, 255], Some(login()), "it takes no user name"),
            ([4, 0], None, "does not speak SOCKS 5"),
        ] {
            let problem = socks_choice(answer, login.as_ref()).unwrap_err();
            assert!(problem.contains(words), "{problem}");
        }
        assert!(socks_login_answer([1, 0]).is_ok());
        assert!(socks_login_answer([1, 1]).is_err());
        assert_eq!(socks_answer([5, 0, 0, 1, 0]), Ok(5));
        assert_eq!(socks_answer([5, 0, 0, 4, 0]), Ok(17));
        assert_eq!(socks_answer([5, 0, 0, 3, 9]), Ok(11));
        assert!(socks_answer([5, 0, 0, 2, 9]).is_err());
        // RFC 1928, 6.
        for (reply, words) in [
            (1, "it failed"),
            (2, "rules"),
            (3, "network cannot be reached"),
            (4, "host cannot be reached"),
            (5, "refuses"),
            (6, "time to live"),
            (7, "makes no connections"),
            (8, "kind of address"),
            (9, "unknown reason"),
        ] {
            let problem = socks_answer([5, reply, 0, 1, 0]).unwrap_err();
            assert!(problem.contains(words), "{problem}");
            assert!(problem.ends_with(&format!(" (SOCKS reply {reply})")));
        }
        assert_eq!(
            socks_answer([5, 1, 0, 1, 0]).unwrap_err(),
            "it failed (SOCKS reply 1)"
        );
    }
}
