//! PEM data and certificates: from a file that anybody may have put there, and from the server.

use aliot::fuzz_support;
use aliot::{Endpoint, ErrorKind};

/// The first byte says what the others are.
pub fn certificate(bytes: &[u8]) {
    let Some((&choice, rest)) = bytes.split_first() else {
        return;
    };
    match choice % 4 {
        0 => {
            let _ = fuzz_support::certificate(rest);
        }
        1 => {
            for cut in 0..rest.len().min(64) {
                let _ = fuzz_support::certificate(&rest[..cut]);
            }
        }
        2 => roots(rest),
        _ => client(rest),
    }
}

fn roots(pem: &[u8]) {
    let mut endpoint = Endpoint::host("localhost", 8883).expect("valid");
    let before = endpoint.trust().len();
    let first = endpoint.set_ca_pem(pem);
    if first.is_err() {
        assert_eq!(
            endpoint.trust().len(),
            before,
            "what is refused changes nothing"
        );
    }
    // PEM data is at the end of itself: twice the same is as good as once.
    let mut twice = pem.to_vec();
    twice.push(b'\n');
    twice.extend_from_slice(pem);
    let second = endpoint.set_ca_pem(&twice);
    if first.is_ok() {
        assert!(second.is_ok(), "{second:?}");
    }
    check(pem, first);
    check(pem, second);
}

fn client(pem: &[u8]) {
    let mut endpoint = Endpoint::host("localhost", 8883).expect("valid");
    // Certificate and key are often in one file.
    check(pem, endpoint.set_client_certificate_pem(pem, pem));
    let middle = pem.len() / 2;
    let halves = endpoint.set_client_certificate_pem(&pem[..middle], &pem[middle..]);
    check(pem, halves);
}

fn check(pem: &[u8], outcome: Result<(), aliot::Error>) {
    let Err(error) = outcome else {
        return;
    };
    let is_expected = matches!(
        error.kind(),
        ErrorKind::TlsConfig | ErrorKind::InvalidArgument
    );
    assert!(is_expected, "{error:?}");
    let text = error.to_string();
    assert!(!text.chars().any(char::is_control), "{text:?}");
    // Base64 of this length is in no message of ours: it would be a piece of a key.
    let is_base64 = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/');
    for piece in pem.split(|byte| !is_base64(byte)) {
        let Some(piece) = piece.get(..20) else {
            continue;
        };
        // A label is repeated, and has no small letter.
        if piece.iter().any(u8::is_ascii_lowercase) {
            let piece = std::str::from_utf8(piece).expect("it is ASCII");
            assert!(!text.contains(piece), "{text}");
        }
    }
    // Nor as numbers, as Debug would write it.
    assert!(!text.contains("45, 45, 45"), "{text}");
}
