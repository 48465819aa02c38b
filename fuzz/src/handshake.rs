//! What proxies and WebSocket servers answer: the outcome does not depend on how the answer arrives,
//! and no problem is told in characters that control a terminal.

use aliot::fuzz_support::{http_proxy_answer, socks_proxy_answer, websocket_answer};

/// The sample of RFC 6455, 1.3.
const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

/// The first byte chooses who answers, the others are the answer.
pub fn handshake(bytes: &[u8]) {
    let Some((&choice, answer)) = bytes.split_first() else {
        return;
    };
    match choice % 3 {
        0 => http(answer),
        1 => websocket(answer),
        _ => socks(answer),
    }
}

fn http(answer: &[u8]) {
    let whole = http_proxy_answer(answer);
    check_problem(whole.as_ref());
    for len in 0..answer.len() {
        match http_proxy_answer(&answer[..len]) {
            None => {}
            // More behind an answer would be the platform's, who speaks second: it is refused.
            Some(Ok(())) => assert_ne!(whole, Some(Ok(())), "at {len}"),
            Some(Err(_)) => assert!(matches!(whole, Some(Err(_))), "at {len}"),
        }
    }
    if whole == Some(Ok(())) {
        assert!(answer.starts_with(b"HTTP/1.") && answer.ends_with(b"\r\n\r\n"));
    }
}

fn websocket(answer: &[u8]) {
    let whole = websocket_answer(answer, KEY);
    check_problem(whole.as_ref());
    for len in 0..answer.len() {
        let part = websocket_answer(&answer[..len], KEY);
        // Once there is an outcome, what follows it does not change it.
        assert!(
            part.is_none() || part == whole,
            "at {len}: {part:?}, {whole:?}"
        );
    }
    if let Some(Ok(end)) = whole {
        assert!(answer[..end].ends_with(b"\r\n\r\n"));
        let head = String::from_utf8_lossy(&answer[..end]);
        assert!(head.starts_with("HTTP/1.1 101") && head.contains(ACCEPT));
    }
}

fn socks(answer: &[u8]) {
    let Some(&first) = answer.first_chunk::<5>() else {
        return;
    };
    let outcome = socks_proxy_answer(first);
    check_problem(Some(&outcome));
    if let Ok(more) = outcome {
        assert!((2..=257).contains(&more));
        assert_eq!((first[0], first[1]), (5, 0));
    }
}

fn check_problem<T>(outcome: Option<&Result<T, String>>) {
    if let Some(Err(problem)) = outcome {
        assert!(!problem.is_empty() && problem.len() < 1024);
        assert!(!problem.chars().any(char::is_control), "{problem:?}");
    }
}
