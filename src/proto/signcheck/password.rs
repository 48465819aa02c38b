//! The mistakes that lead to a password.

use std::iter;

use zeroize::Zeroizing;

use super::{ClientId, METHODS, Mistake, SignFinding};
use crate::Identity;
use crate::proto::sign::{HexCase, SignMethod, sign};

/// A way to do one step, and what is wrong with it. `None`: this is the right one.
type Variant<T> = (T, Option<Mistake>);

/// Timestamps that examples and SDKs send, tried where the client id has none.
const USUAL_TIMESTAMPS: [&str; 2] = ["2524608000000", "789"];

/// What is wrong with `password`, the fewest mistakes that explain it; empty if nothing is.
pub(super) fn mistakes(
    identity: &Identity,
    product_secret: Option<&str>,
    client_id: &ClientId<'_>,
    password: &str,
) -> Vec<Mistake> {
    let one = |finding, text: &str| vec![(finding, format!("password: {text}"))];
    if password.is_empty() {
        return one(SignFinding::PasswordForm, "it is empty");
    }
    let trimmed = password.trim_matches(|c: char| c.is_whitespace() || c == '\0');
    if trimmed == identity.secret().expose() || Some(trimmed) == product_secret {
        let text = "it is the secret itself: sign with the secret, and send the signature";
        return one(SignFinding::SecretSent, text);
    }
    let digits: Zeroizing<String> = Zeroizing::new(
        password
            .chars()
            .filter(|c| !c.is_whitespace() && *c != '\0')
            .collect(),
    );
    let found = search(identity, product_secret, client_id, &digits);
    let mut mistakes = Vec::new();
    if *digits != password && found.is_some() {
        let text = "remove the white space in it";
        mistakes.extend(one(SignFinding::WhiteSpace, text));
    }
    match found {
        Some(found) => mistakes.extend(found),
        None => return unexplained(client_id.method, &digits),
    }
    let has = |test: fn(&u8) -> bool| digits.bytes().any(|byte| test(&byte));
    if has(u8::is_ascii_uppercase) && has(u8::is_ascii_lowercase) {
        let text = "write all its digits in the same case";
        mistakes.extend(one(SignFinding::HexCase, text));
    }
    mistakes
}

fn unexplained(method: SignMethod, digits: &str) -> Vec<Mistake> {
    let (finding, text) = if !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        let text = "a signature is sent in hexadecimal digits, and it has other characters";
        (SignFinding::PasswordForm, text.to_owned())
    } else if digits.len() != length(method) {
        let others: Vec<&str> = METHODS
            .into_iter()
            .filter(|other| length(*other) == digits.len())
            .map(SignMethod::name)
            .collect();
        let whose = match others.as_slice() {
            [] => "which no method gives".to_owned(),
            names => format!("as {} gives", names.join(" or ")),
        };
        let finding = if others.is_empty() {
            SignFinding::PasswordForm
        } else {
            SignFinding::SignMethod
        };
        let text = format!(
            "it has {} digits, {whose}; {}, which the client id says, gives {}",
            digits.len(),
            method.name(),
            length(method)
        );
        (finding, text)
    } else {
        let text = "no usual mistake explains it: compare the device secret with the console, and \
                    that clientId, deviceName, productKey and timestamp are signed as they are sent";
        (SignFinding::Unexplained, text.to_owned())
    };
    vec![(finding, format!("password: {text}"))]
}

/// Digits of a signature.
fn length(method: SignMethod) -> usize {
    match method {
        SignMethod::HmacMd5 => 32,
        SignMethod::HmacSha1 => 40,
        SignMethod::HmacSha256 | SignMethod::Sha256 => 64,
    }
}

/// The fewest mistakes that give `digits`, at most two; empty if none is needed.
fn search(
    identity: &Identity,
    product_secret: Option<&str>,
    client_id: &ClientId<'_>,
    digits: &str,
) -> Option<Vec<Mistake>> {
    let methods = methods(client_id.method, digits.len());
    let keys = keys(identity.secret().expose(), product_secret);
    let contents = contents(identity, client_id);
    (0..=2).find_map(|wanted| {
        for (method, in_method) in &methods {
            for (key, in_key) in &keys {
                for (content, in_content) in &contents {
                    let made = [in_method, in_key, in_content];
                    let made = made.into_iter().flatten();
                    if made.clone().count() == wanted
                        && sign(*method, HexCase::Upper, key, content.as_bytes())
                            .expose()
                            .eq_ignore_ascii_case(digits)
                    {
                        return Some(made.cloned().collect());
                    }
                }
            }
        }
        None
    })
}

/// Those whose signature has as many digits, the announced one first.
fn methods(announced: SignMethod, digits: usize) -> Vec<Variant<SignMethod>> {
    let mistake = |method: SignMethod| {
        let text = format!(
            "password: it is made with {}, and the client id says {}: make both the same",
            method.name(),
            announced.name()
        );
        (method, Some((SignFinding::SignMethod, text)))
    };
    let others = METHODS.into_iter().filter(|other| *other != announced);
    iter::once((announced, None))
        .chain(others.map(mistake))
        .filter(|(method, _)| length(*method) == digits)
        .collect()
}

/// The keys that are taken for the secret.
fn keys(secret: &str, product_secret: Option<&str>) -> Vec<Variant<Zeroizing<Vec<u8>>>> {
    let key = |bytes: &[u8]| Zeroizing::new(bytes.to_vec());
    let mut keys = vec![(key(secret.as_bytes()), None)];
    let mut add = |bytes: Zeroizing<Vec<u8>>, finding, text: &str| {
        keys.push((bytes, Some((finding, format!("password: {text}")))));
    };
    if let Some(product_secret) = product_secret {
        let text = "it is made with the product secret: use the device secret";
        add(
            key(product_secret.as_bytes()),
            SignFinding::ProductSecret,
            text,
        );
    }
    for space in ["\n", "\r\n", " ", "\0"] {
        let text = "the secret was taken with white space or a NUL beside it: cut that off";
        for bytes in [[secret, space].concat(), [space, secret].concat()] {
            add(bytes.into_bytes().into(), SignFinding::WhiteSpace, text);
        }
    }
    let text = "the secret was decoded as hexadecimal digits: use its characters as they are";
    if let Ok(bytes) = hex::decode(secret) {
        add(bytes.into(), SignFinding::SecretForm, text);
    }
    let text = "the letters of the secret were changed in case: use it as it is";
    for other in [secret.to_ascii_lowercase(), secret.to_ascii_uppercase()] {
        if other != secret {
            add(other.into_bytes().into(), SignFinding::SecretForm, text);
        }
    }
    keys
}

/// What is signed by mistake, the right content first.
fn contents(identity: &Identity, client_id: &ClientId<'_>) -> Vec<Variant<String>> {
    let ids = signed_ids(identity, client_id);
    let timestamps = timestamps(client_id.timestamp);
    let mut contents = Vec::new();
    for (id, in_id) in &ids {
        for (timestamp, in_timestamp) in &timestamps {
            // Two mistakes in the content are one too many to be believed.
            let mistake = match (in_id, in_timestamp) {
                (Some(_), Some(_)) => continue,
                (mistake, other) => mistake.clone().or_else(|| other.clone()),
            };
            let pairs = [
                ("clientId", id.as_deref()),
                ("deviceName", Some(identity.device_name())),
                ("productKey", Some(identity.product_key())),
                ("timestamp", *timestamp),
            ];
            let pairs: Vec<(&str, &str)> = pairs
                .into_iter()
                .filter_map(|(name, value)| Some((name, value?)))
                .collect();
            contents.push((joined(&pairs), mistake.clone()));
            if mistake.is_none() {
                contents.extend(malformed(&pairs));
            }
        }
    }
    contents
}

fn joined(pairs: &[(&str, &str)]) -> String {
    pairs
        .iter()
        .flat_map(|(name, value)| [*name, *value])
        .collect()
}

fn signed_ids(identity: &Identity, client_id: &ClientId<'_>) -> Vec<Variant<Option<String>>> {
    let (device, product) = (identity.device_name(), identity.product_key());
    let mut ids = vec![(Some(client_id.id.to_owned()), None)];
    let others = [
        (
            Some(client_id.whole.to_owned()),
            "the whole client id is signed: sign only the part before the first bar",
        ),
        (
            None,
            "clientId is not signed: it is, with its name, before deviceName",
        ),
        (
            Some(format!("{product}.{device}")),
            "the client id <productKey>.<deviceName> is signed: send that one, or sign the one sent",
        ),
        (
            Some(format!("{device}.{product}")),
            "the client id <deviceName>.<productKey> is signed: send that one, or sign the one sent",
        ),
        (
            Some(format!("{product}&{device}")),
            "the client id <productKey>&<deviceName> is signed: send that one, or sign the one sent",
        ),
        (
            Some(device.to_owned()),
            "the device name is signed as clientId: send it as the client id, or sign the one sent",
        ),
    ];
    for (id, text) in others {
        if id.as_deref() != Some(client_id.id) {
            let mistake = (SignFinding::SignedClientId, format!("password: {text}"));
            ids.push((id, Some(mistake)));
        }
    }
    ids
}

fn timestamps(sent: Option<&str>) -> Vec<Variant<Option<&str>>> {
    let mistake = |text: &str| Some((SignFinding::Timestamp, format!("password: {text}")));
    let mut timestamps = vec![(sent, None)];
    if sent.is_some() {
        let text = "the timestamp in the client id is not signed: sign it, or do not send it";
        timestamps.push((None, mistake(text)));
    }
    for usual in USUAL_TIMESTAMPS {
        if sent != Some(usual) {
            let text = format!(
                "the timestamp {usual} is signed: the client id must carry timestamp={usual}"
            );
            timestamps.push((Some(usual), mistake(&text)));
        }
    }
    timestamps
}

/// The right names and values in wrong shapes.
fn malformed(pairs: &[(&str, &str)]) -> Vec<Variant<String>> {
    let mut contents = Vec::new();
    let mut add = |content: String, finding, text: &str| {
        contents.push((content, Some((finding, format!("password: {text}")))));
    };
    let form = SignFinding::ContentForm;
    let text = "names and values are signed in another order: it is the alphabet's";
    for order in permutations(pairs).into_iter().skip(1) {
        add(joined(&order), form, text);
    }
    let swapped: Vec<(&str, &str)> = pairs
        .iter()
        .map(|&(name, value)| {
            let other = match name {
                "deviceName" => "productKey",
                "productKey" => "deviceName",
                _ => return (name, value),
            };
            let found = pairs.iter().find(|(name, _)| *name == other);
            (name, found.map_or(value, |(_, value)| *value))
        })
        .collect();
    let text = "the values of deviceName and productKey are swapped in what is signed";
    add(joined(&swapped), form, text);
    let text = "the values are signed without their names: each name stands before its value";
    add(pairs.iter().map(|(_, value)| *value).collect(), form, text);
    let text = "signs such as '=', '&' and ',' are signed: nothing stands between names and values";
    for (equals, between) in [("=", "&"), ("=", ","), ("=", ""), ("", "&"), ("", ",")] {
        let parts: Vec<String> = pairs
            .iter()
            .map(|(name, value)| format!("{name}{equals}{value}"))
            .collect();
        add(parts.join(between), form, text);
    }
    let text = "white space or a NUL is signed after the content: cut that off";
    for space in ["\n", " ", "\0"] {
        add(
            format!("{}{space}", joined(pairs)),
            SignFinding::WhiteSpace,
            text,
        );
    }
    let text = "the names are signed in small letters: they are clientId, deviceName, productKey";
    let lower: Vec<(String, &str)> = pairs
        .iter()
        .map(|(name, value)| (name.to_ascii_lowercase(), *value))
        .collect();
    let lower: Vec<(&str, &str)> = lower
        .iter()
        .map(|(name, value)| (&**name, *value))
        .collect();
    add(joined(&lower), form, text);
    contents
}

/// Every order of at most four things, the given one first.
fn permutations<'a>(pairs: &[(&'a str, &'a str)]) -> Vec<Vec<(&'a str, &'a str)>> {
    let Some((first, rest)) = pairs.split_first() else {
        return vec![Vec::new()];
    };
    let mut all = Vec::new();
    for order in permutations(rest) {
        for place in 0..=order.len() {
            let mut longer = order.clone();
            longer.insert(place, *first);
            all.push(longer);
        }
    }
    all
}
