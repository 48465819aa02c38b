//! How a refused value appears in an error, and the checks that several nouns share.

use std::ops::RangeInclusive;

use crate::Error;

/// Longest rendering of a refused value, in characters, without what tells its length.
const SHOWN_CHARS: usize = 56;

/// `value` in quotes, escaped, and cut where it would flood a log line.
pub(super) fn shown(value: &str) -> String {
    let mut text = String::from('"');
    let mut room = SHOWN_CHARS;
    for c in value.chars() {
        let escaped = c.escape_debug();
        let Some(left) = room.checked_sub(escaped.len()) else {
            text.push_str("…\" (");
            text.push_str(&value.len().to_string());
            text.push_str(" bytes)");
            return text;
        };
        room = left;
        // Only the double quote ends the rendering; `escape_debug` guards the single one too.
        if c == '\'' {
            text.push(c);
        } else {
            text.extend(escaped);
        }
    }
    text.push('"');
    text
}

/// Whether `topic` is printable ASCII without wildcards, as nearly all are: then there is nothing
/// more to check. It looks at every byte, without a branch, because compilers make vector
/// instructions of that.
pub(super) fn is_plain_topic(topic: &[u8]) -> bool {
    let is_plain = |byte: u8| matches!(byte, 0x20..=0x7E) & (byte != b'+') & (byte != b'#');
    topic
        .iter()
        .fold(true, |plain, byte| plain & is_plain(*byte))
}

/// How often `byte` occurs, in a form that compilers make vector instructions of.
pub(super) fn count(text: &[u8], byte: u8) -> usize {
    // A chunk of 255 cannot overflow its count of 8 bits.
    let in_chunk = |chunk: &[u8]| {
        chunk.iter().fold(0_u8, |sum, other| {
            sum.wrapping_add(u8::from(*other == byte))
        })
    };
    text.chunks(255)
        .map(|chunk| usize::from(in_chunk(chunk)))
        .sum()
}

/// Refuses `value` unless its length in bytes lies in `allowed`.
pub(super) fn check_len(
    name: &str,
    value: &str,
    allowed: RangeInclusive<usize>,
) -> Result<(), Error> {
    if value.is_empty() && *allowed.start() > 0 {
        return Err(Error::argument(name, "is empty"));
    }
    if !allowed.contains(&value.len()) {
        return Err(Error::argument(
            name,
            format_args!(
                "is {}, {} bytes long: at most {} are allowed",
                shown(value),
                value.len(),
                allowed.end()
            ),
        ));
    }
    Ok(())
}

/// Refuses `value` at the first character that `is_allowed` rejects; `allowed` names the others.
pub(super) fn check_chars(
    name: &str,
    value: &str,
    is_allowed: impl Fn(char) -> bool,
    allowed: &str,
) -> Result<(), Error> {
    match value.chars().find(|c| !is_allowed(*c)) {
        None => Ok(()),
        Some(c) => Err(Error::argument(
            name,
            format_args!("is {}: {c:?} is not one of {allowed}", shown(value)),
        )),
    }
}

/// Refuses a secret by its length in bytes or for a control character, without showing it.
pub(super) fn check_secret(
    name: &str,
    value: &str,
    allowed: RangeInclusive<usize>,
) -> Result<(), Error> {
    if !allowed.contains(&value.len()) {
        return Err(Error::argument(
            name,
            format_args!(
                "is {} bytes long: {} to {} are allowed",
                value.len(),
                allowed.start(),
                allowed.end()
            ),
        ));
    }
    if value.chars().any(char::is_control) {
        return Err(Error::argument(
            name,
            format_args!(
                "contains a control character ({} bytes long): none is allowed",
                value.len()
            ),
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_of_a_topic_counts() {
        for byte in 0..=u8::MAX {
            let plain = matches!(byte, b' '..=b'~') && !matches!(byte, b'+' | b'#');
            for at in 0..80 {
                let mut topic = [b'x'; 80];
                if let Some(place) = topic.get_mut(at) {
                    *place = byte;
                }
                assert_eq!(is_plain_topic(&topic), plain, "{byte:#04x} at {at}");
            }
        }
        assert!(is_plain_topic(b"") && is_plain_topic(b"abc"));
        assert!(!is_plain_topic(b"a/+/+") && !is_plain_topic(b"++"));
    }

    #[test]
    fn more_than_255_are_counted() {
        assert_eq!(count(&[b'/'; 1000], b'/'), 1000);
        assert_eq!(count("a/b//é".as_bytes(), b'/'), 3);
        assert_eq!(count(b"", b'/'), 0);
    }

    #[test]
    fn a_shown_value_is_quoted_and_escaped() {
        assert_eq!(shown("a\"b\n'\u{202e}é"), r#""a\"b\n'\u{202e}é""#);
        assert_eq!(shown(""), r#""""#);
    }

    #[test]
    fn a_shown_value_never_exceeds_80_characters() {
        for value in [
            "a".repeat(100_000),
            "\u{10ffff}".repeat(500),
            "é".repeat(57),
        ] {
            let text = shown(&value);
            assert!(text.chars().count() <= 80, "{text}");
            assert!(
                text.ends_with(&format!("({} bytes)", value.len())),
                "{text}"
            );
        }
        assert!(shown(&"a".repeat(56)).ends_with("a\""));
    }

    #[test]
    fn lengths_and_characters_are_those_that_are_allowed() {
        assert_eq!(check_len("id", "", 0..=3), Ok(()));
        assert_eq!(check_len("id", "abc", 1..=3), Ok(()));
        for (value, problem) in [
            ("", "id is empty"),
            (
                "abcd",
                "id is \"abcd\", 4 bytes long: at most 3 are allowed",
            ),
        ] {
            let error = check_len("id", value, 1..=3).unwrap_err();
            assert_eq!(error.to_string(), problem);
        }
        let digits = |value| check_chars("id", value, |c| c.is_ascii_digit(), "the digits");
        assert_eq!((digits(""), digits("12")), (Ok(()), Ok(())));
        let problem = "id is \"1a\": 'a' is not one of the digits";
        assert_eq!(digits("1a").unwrap_err().to_string(), problem);
        assert_eq!(check_secret("secret", "s", 1..=1), Ok(()));
    }

    #[test]
    fn a_refused_secret_is_described_by_its_length_alone() {
        let long = check_secret("device_secret", "hunter2", 1..=3).unwrap_err();
        assert_eq!(
            long.to_string(),
            "device_secret is 7 bytes long: 1 to 3 are allowed"
        );
        let control = check_secret("device_secret", "hunter2\n", 1..=64).unwrap_err();
        assert_eq!(
            control.to_string(),
            "device_secret contains a control character (8 bytes long): none is allowed"
        );
    }
}
