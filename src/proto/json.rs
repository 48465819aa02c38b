//! The little JSON that the platform sends to a device before it is connected: one object whose
//! members of interest are texts.
//!
//! Everything else in it is checked and skipped, without recursion, so that no input exhausts the
//! stack. What is kept is a [`Secret`] from the start: a general parser would leave copies behind.

use crate::Secret;

/// Deepest nesting of what is skipped.
const MAX_DEPTH: usize = 64;

/// The members of `names` in the object `text`, each `None` if it is absent or not a text.
///
/// # Errors
///
/// What is wrong, without a piece of the input, if it is not one JSON object or names a member of
/// interest twice.
///
/// Source: RFC 8259.
pub(crate) fn text_members<const N: usize>(
    text: &[u8],
    names: [&str; N],
) -> Result<[Option<Secret>; N], &'static str> {
    let text = std::str::from_utf8(text).map_err(|_| "it is not UTF-8")?;
    let mut reader = Reader { rest: text };
    let mut found = [const { None }; N];
    let mut seen = [false; N];
    reader.expect('{', "it is not a JSON object")?;
    if !reader.take('}') {
        loop {
            let name = reader.string()?;
            let place = names.iter().position(|wanted| *wanted == name.expose());
            reader.expect(':', "a colon is missing")?;
            reader.skip_space();
            if let Some(place) = place {
                if let Some(seen) = seen.get_mut(place)
                    && std::mem::replace(seen, true)
                {
                    return Err("a member is there twice");
                }
                if reader.rest.starts_with('"') {
                    if let Some(found) = found.get_mut(place) {
                        *found = Some(reader.string()?);
                    }
                } else {
                    reader.skip_value()?;
                }
            } else {
                reader.skip_value()?;
            }
            if reader.take('}') {
                break;
            }
            reader.expect(',', "a comma is missing")?;
        }
    }
    reader.skip_space();
    if !reader.rest.is_empty() {
        return Err("something follows the JSON object");
    }
    Ok(found)
}

struct Reader<'a> {
    rest: &'a str,
}

impl Reader<'_> {
    fn skip_space(&mut self) {
        self.rest = self.rest.trim_start_matches([' ', '\t', '\n', '\r']);
    }

    /// Whether `c` comes next, after white space; then it is taken.
    fn take(&mut self, c: char) -> bool {
        self.skip_space();
        let rest = self.rest.strip_prefix(c);
        self.rest = rest.unwrap_or(self.rest);
        rest.is_some()
    }

    fn expect(&mut self, c: char, problem: &'static str) -> Result<(), &'static str> {
        self.take(c).then_some(()).ok_or(problem)
    }

    fn next(&mut self) -> Option<char> {
        let mut chars = self.rest.chars();
        let c = chars.next();
        self.rest = chars.as_str();
        c
    }

    fn string(&mut self) -> Result<Secret, &'static str> {
        self.expect('"', "a text is missing")?;
        // As large as it can become, because growing would leave copies of a secret behind.
        let room = text_len(self.rest);
        let mut text = zeroize::Zeroizing::new(String::with_capacity(room));
        loop {
            match self.next().ok_or("a text has no end")? {
                '"' => return Ok(Secret::from(text)),
                '\\' => {
                    let c = self.escape()?;
                    text.push(c);
                }
                c if c < ' ' => return Err("a text contains a control character"),
                c => text.push(c),
            }
        }
    }

    fn escape(&mut self) -> Result<char, &'static str> {
        const PROBLEM: &str = "a text contains an escape that does not exist";
        Ok(match self.next().ok_or(PROBLEM)? {
            c @ ('"' | '\\' | '/') => c,
            'b' => '\u{8}',
            'f' => '\u{c}',
            'n' => '\n',
            'r' => '\r',
            't' => '\t',
            'u' => {
                let first = self.hex4().ok_or(PROBLEM)?;
                let code = if (0xD800..0xDC00).contains(&first) {
                    let pair = self.rest.strip_prefix("\\u").ok_or(PROBLEM)?;
                    self.rest = pair;
                    let second = self.hex4().ok_or(PROBLEM)?;
                    if !(0xDC00..0xE000).contains(&second) {
                        return Err(PROBLEM);
                    }
                    0x10000 + ((first - 0xD800) << 10) + (second - 0xDC00)
                } else {
                    first
                };
                char::from_u32(code).ok_or(PROBLEM)?
            }
            _ => return Err(PROBLEM),
        })
    }

    fn hex4(&mut self) -> Option<u32> {
        let digits = self.rest.get(..4)?;
        if !digits.bytes().all(|b| b.is_ascii_hexdigit()) {
            return None;
        }
        self.rest = self.rest.get(4..)?;
        u32::from_str_radix(digits, 16).ok()
    }

    /// Checks a value of any kind and forgets it.
    fn skip_value(&mut self) -> Result<(), &'static str> {
        // One entry for each open object or array: whether it is an object.
        let mut open: Vec<bool> = Vec::new();
        loop {
            self.skip_space();
            let closed = match self.rest.chars().next().ok_or("a value is missing")? {
                c @ ('{' | '[') => {
                    self.next();
                    if open.len() == MAX_DEPTH {
                        return Err("it is nested too deeply");
                    }
                    let is_object = c == '{';
                    let end = if is_object { '}' } else { ']' };
                    if self.take(end) {
                        true
                    } else {
                        open.push(is_object);
                        if is_object {
                            self.member_name()?;
                        }
                        false
                    }
                }
                '"' => self.string().map(|_| true)?,
                _ => self.scalar().map(|()| true)?,
            };
            if !closed {
                continue;
            }
            // A value has ended: so may what it stands in.
            loop {
                let Some(&is_object) = open.last() else {
                    return Ok(());
                };
                if self.take(',') {
                    if is_object {
                        self.member_name()?;
                    }
                    break;
                }
                self.expect(if is_object { '}' } else { ']' }, "an end is missing")?;
                open.pop();
            }
        }
    }

    fn member_name(&mut self) -> Result<(), &'static str> {
        self.string()?;
        self.expect(':', "a colon is missing")
    }

    /// A number, true, false or null.
    fn scalar(&mut self) -> Result<(), &'static str> {
        let end = self
            .rest
            .find(|c: char| !(c.is_ascii_alphanumeric() || "+-.".contains(c)))
            .unwrap_or(self.rest.len());
        let (word, rest) = self.rest.split_at(end);
        if !matches!(word, "true" | "false" | "null") && !is_number(word) {
            return Err("a value is none of JSON's");
        }
        self.rest = rest;
        Ok(())
    }
}

/// Bytes before the quotation mark that ends a text. No escape stands for more bytes than it has.
fn text_len(text: &str) -> usize {
    let mut escaped = false;
    let end = text.find(|c| {
        let ends = c == '"' && !escaped;
        escaped = c == '\\' && !escaped;
        ends
    });
    end.unwrap_or(text.len())
}

fn is_number(word: &str) -> bool {
    let word = word.strip_prefix('-').unwrap_or(word);
    let (mantissa, exponent) = match word.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent)),
        None => (word, None),
    };
    let (whole, fraction) = match mantissa.split_once('.') {
        Some((whole, fraction)) => (whole, Some(fraction)),
        None => (mantissa, None),
    };
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    digits(whole)
        && (whole == "0" || !whole.starts_with('0'))
        && fraction.is_none_or(digits)
        && exponent.is_none_or(|text| digits(text.strip_prefix(['+', '-']).unwrap_or(text)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn member(text: &str) -> Result<Option<String>, &'static str> {
        let [value] = text_members(text.as_bytes(), ["a"])?;
        Ok(value.map(|value| value.expose().to_owned()))
    }

    #[test]
    fn a_member_is_found_among_everything_that_json_has() {
        let text = r#" { "x" : [ 1, -0.5e+3, {"a": "inner"}, [], {} ], "y":null,"z": true,
            "a" : "q\"\\\/\b\f\n\r\t\u00e9\ud83d\ude00é" , "b":{"c":[[[0]]]} } "#;
        let expected = "q\"\\/\u{8}\u{c}\n\r\té😀é";
        assert_eq!(member(text).unwrap().as_deref(), Some(expected));
        assert_eq!(member("{}").unwrap(), None);
        assert_eq!(member(r#"{"a":1}"#).unwrap(), None);
    }

    #[test]
    fn a_text_ends_at_the_first_quotation_mark_that_is_not_escaped() {
        for (text, len) in [
            (r#"","#, 0),
            (r#"ab" : "c""#, 2),
            (r#"a\"b"#, 4),
            (r#"a\"#, 2),
            (r#"a\"b\\"c""#, 6),
            (r#"a\\\"b","#, 6),
            (r#"\n\u00e9"x"#, 8),
        ] {
            assert_eq!(text_len(text), len, "{text}");
        }
    }

    #[test]
    fn what_is_not_one_object_is_refused() {
        for text in [
            "",
            "[]",
            "1",
            "{",
            "{}x",
            "{}{}",
            "{,}",
            r#"{"a"}"#,
            r#"{"a":}"#,
            r#"{"a":"x""#,
            r#"{"a":"x",}"#,
            r#"{"a":"x" "b":1}"#,
            r#"{"a":"x","a":"y"}"#,
            r#"{"b":01}"#,
            r#"{"b":1.}"#,
            r#"{"b":+1}"#,
            r#"{"b":.5}"#,
            r#"{"b":1e}"#,
            r#"{"b":nul}"#,
            r#"{"b":[1,]}"#,
            r#"{"b":[1}"#,
            r#"{"b":{"c"}}"#,
            r#"{"b":"\x"}"#,
            r#"{"b":"\ud800"}"#,
            r#"{"b":"\ud800\u0041"}"#,
            r#"{"b":"\udc00"}"#,
            r#"{"b":"\u00g0"}"#,
            "{\"b\":\"\n\"}",
            "{\"b\":'x'}",
            "\u{feff}{}",
        ] {
            assert!(member(text).is_err(), "{text}");
        }
        assert!(text_members(b"{\"a\":\"\xff\"}", ["a"]).is_err());
    }

    #[test]
    fn nesting_ends_somewhere_and_never_at_the_stack() {
        let nested = |depth| format!(r#"{{"b":{}{}}}"#, "[".repeat(depth), "]".repeat(depth));
        assert!(member(&nested(MAX_DEPTH)).is_ok());
        assert!(member(&nested(MAX_DEPTH + 1)).is_err());
        assert!(member(&nested(1_000_000)).is_err());
    }

    fn value() -> impl Strategy<Value = serde_json::Value> {
        use serde_json::{Value, json};
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<f64>().prop_map(|number| json!(number)),
            any::<i64>().prop_map(Value::from),
            any::<String>().prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 32, 5, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
                prop::collection::btree_map(any::<String>(), inner, 0..5)
                    .prop_map(|map| Value::Object(map.into_iter().collect())),
            ]
        })
    }

    proptest! {
        /// The yardstick is the parser that everybody uses.
        #[test]
        fn every_object_is_read_as_serde_json_reads_it(
            members in prop::collection::btree_map("[abc]|\\PC{0,6}", value(), 0..6),
            pretty: bool,
        ) {
            let object = serde_json::Value::Object(members.into_iter().collect());
            let text = if pretty { format!("{object:#}") } else { object.to_string() };
            let found = text_members(text.as_bytes(), ["a", "b", "c"]).unwrap();
            for (name, found) in ["a", "b", "c"].into_iter().zip(found) {
                let expected = object.get(name).and_then(|value| value.as_str());
                prop_assert_eq!(found.as_ref().map(Secret::expose), expected);
            }
        }

        #[test]
        fn what_is_read_is_json_by_the_yardstick_too(
            text in r#"[\[\]{}",:\\0-9.eEtruefalsn +-]{0,24}"#,
        ) {
            let text = format!("{{\"b\":{text}}}");
            let ours = text_members(text.as_bytes(), ["a"]).is_ok();
            let theirs = serde_json::from_str::<serde_json::Value>(&text);
            // Numbers beyond the range of a double are JSON, and no number to serde_json.
            let out_of_range = matches!(&theirs, Err(error) if error.to_string().contains("range"));
            // A name may be there twice for serde_json.
            prop_assert!(ours == theirs.is_ok() || out_of_range || !ours && text.contains("\"a\""));
        }

        #[test]
        fn no_bytes_at_all_do_harm(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = text_members(&bytes, ["a"]);
        }
    }
}
