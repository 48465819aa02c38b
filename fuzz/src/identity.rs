//! Files of identities: what is read is written as it was, and no error repeats a secret.

use aliot::fuzz_support::{identity_from_text, identity_to_text};
use aliot::{ErrorKind, Identity};
use sha2::{Digest, Sha256};

use crate::input::Input;

/// The first byte says what the others are: the file, the file without its checksum, or the fields of
/// an identity.
pub fn identity(bytes: &[u8]) {
    let Some((&choice, rest)) = bytes.split_first() else {
        return;
    };
    match choice % 3 {
        0 => read(rest),
        1 => {
            // With the checksum that a fuzzer does not guess.
            let mut file = b"aliot identity 1\n".to_vec();
            file.extend_from_slice(rest);
            if !file.ends_with(b"\n") {
                file.push(b'\n');
            }
            let sum = hex::encode(Sha256::digest(&file));
            file.extend_from_slice(format!("sha256 = {sum}\n").as_bytes());
            read(&file);
        }
        _ => made(rest),
    }
}

fn read(file: &[u8]) {
    match identity_from_text(file) {
        Ok(identity) => {
            let text = identity_to_text(&identity);
            let again = identity_from_text(text.expose().as_bytes());
            assert_eq!(again, Ok(identity));
        }
        Err(error) => {
            assert_eq!(error.kind(), ErrorKind::FileDamaged);
            assert!(!error.to_string().contains("TOPSECRET"), "{error}");
        }
    }
}

fn made(bytes: &[u8]) {
    let mut input = Input::new(bytes);
    let kind = input.below(4);
    let [a, b, c, d] = [(); 4].map(|()| String::from_utf8_lossy(input.bytes()).into_owned());
    let identity = match kind {
        0 => Identity::with_secret(&a, &b, &c),
        1 => Identity::with_token(&a, &b, &c, &d),
        2 => Identity::verbatim(&a, &b, &c),
        _ => Identity::with_certificate(&a, &b),
    };
    if let Ok(identity) = identity {
        let text = identity_to_text(&identity);
        let again = identity_from_text(text.expose().as_bytes());
        assert_eq!(again, Ok(identity), "{}", text.expose());
    }
}
