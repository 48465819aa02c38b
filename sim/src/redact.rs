//! Keeps secrets out of everything that is shown.
//!
//! An index rather than a walk over all secrets: with ten thousand devices a walk for each log line
//! would be what the simulator does all day. Secrets are added and never taken out, so that one that
//! was replaced stays hidden as well.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};

/// A secret shorter than this is only recognised when it is the whole text, because short texts
/// occur in names by chance.
const MIN_LEN_INSIDE: usize = 8;

/// What stands in place of a secret.
const HIDDEN: &str = "***";

/// Finds secrets in texts.
#[derive(Clone, Default)]
pub(crate) struct Redactor {
    whole: HashSet<Box<str>>,
    /// Secrets by their first bytes.
    inside: HashMap<[u8; MIN_LEN_INSIDE], Vec<Box<str>>>,
}

impl Redactor {
    /// Hides `secret` from now on.
    pub(crate) fn add(&mut self, secret: &str) {
        if secret.is_empty() || self.whole.contains(secret) {
            return;
        }
        self.whole.insert(secret.into());
        if let Some(start) = secret.as_bytes().first_chunk() {
            self.inside.entry(*start).or_default().push(secret.into());
        }
    }

    /// `text` with every secret replaced.
    pub(crate) fn redact<'a>(&self, text: &'a str) -> Cow<'a, str> {
        if self.whole.contains(text) {
            return HIDDEN.into();
        }
        let mut redacted = String::new();
        let mut kept_from = 0;
        let mut at = 0;
        while let Some(rest) = text.as_bytes().get(at..) {
            let Some(start) = rest.first_chunk::<MIN_LEN_INSIDE>() else {
                break;
            };
            let found = self.inside.get(start).and_then(|secrets| {
                let all = secrets.iter().map(|secret| secret.as_bytes());
                let found = all.filter(|secret| rest.starts_with(secret));
                found.map(<[u8]>::len).max()
            });
            match found {
                Some(len) => {
                    // A match begins and ends where characters do, since the secret is text.
                    redacted.push_str(text.get(kept_from..at).unwrap_or_default());
                    redacted.push_str(HIDDEN);
                    at += len;
                    kept_from = at;
                }
                None => at += 1,
            }
        }
        if kept_from == 0 {
            return text.into();
        }
        redacted.push_str(text.get(kept_from..).unwrap_or_default());
        redacted.into()
    }
}

impl std::fmt::Debug for Redactor {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(HIDDEN)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_found_wherever_they_stand() {
        let mut redactor = Redactor::default();
        redactor.add("a-device-secret");
        redactor.add("a-device-secret-and-more");
        redactor.add("abc");
        redactor.add("geheimnis-ü");
        for (text, expected) in [
            ("", ""),
            ("abc", "***"),
            ("/pk/abcdef", "/pk/abcdef"),
            ("a-device-secret", "***"),
            ("x a-device-secret y a-device-secret", "x *** y ***"),
            ("a-device-secret-and-more", "***"),
            ("é geheimnis-ü é", "é *** é"),
            ("a-device-secre", "a-device-secre"),
        ] {
            assert_eq!(redactor.redact(text), expected, "{text}");
        }
    }
}
