//! Tells a developer why a signature is wrong. The simulator knows the secret, so it can make the
//! usual mistakes itself and see which of them gives the password that came.

use crate::client_id::ClientId;
use crate::registry::{Identity, Registry};
use crate::signature::{Method, Signed};

/// A guess at what the device did, and the sentence that says what to do instead. No sentence: this
/// part was done right.
type Guess = (Vec<u8>, Option<String>);

/// Other devices of the product whose secrets are tried. Every key is tried with every content, and
/// all connections wait meanwhile.
const MAX_OTHERS: usize = 100;

/// Why a device is not known.
pub(crate) fn unknown_device(registry: &Registry, identity: &Identity) -> String {
    let Identity {
        product_key,
        device_name,
    } = identity;
    let swapped = Identity::new(device_name, product_key);
    if registry.device(&swapped).is_some() {
        return "the user name has its parts swapped: it is <deviceName>&<productKey>".into();
    }
    if registry.products.contains_key(product_key) {
        let (name, key) = (registry.quote(device_name), registry.quote(product_key));
        return format!("the product {key} has no device named {name}");
    }
    format!(
        "the product key {} is not known",
        registry.quote(product_key)
    )
}

/// Which part of a signature differs, as far as it can be told. Never holds a secret, the password
/// that came or the one that was expected.
pub(crate) fn wrong_signature(
    registry: &Registry,
    identity: &Identity,
    client_id: &ClientId<'_>,
    method: Method,
    password: &str,
) -> String {
    let secret = registry
        .device(identity)
        .and_then(|device| device.secret.as_ref())
        .map_or("", |secret| secret.expose());
    if password.is_empty() {
        return "the password is empty".into();
    }
    if password.trim() == secret {
        return "the password is the device secret itself: sign with it, and send the signature"
            .into();
    }
    let stripped: String = password.chars().filter(|c| !c.is_whitespace()).collect();
    if let Some(found) = search(registry, identity, client_id, method, &stripped) {
        let spaces =
            (stripped != password).then(|| "the password has white space in it".to_owned());
        let all: Vec<String> = spaces.into_iter().chain(found).collect();
        return format!("the signature is wrong: {}", all.join("; and "));
    }
    if !stripped.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return "the password is not hex: the signature is sent as hex digits".into();
    }
    let (given, expected) = (stripped.len(), method.hex_len());
    if given != expected {
        let absent = if client_id.param("signmethod").is_none() {
            " (signmethod is missing, which means hmacmd5)"
        } else {
            ""
        };
        return format!("the password has {given} hex digits, {method} gives {expected}{absent}");
    }
    "the signature is wrong and no usual mistake explains it: compare the device secret, and that \
     clientId, deviceName, productKey and timestamp are signed as they are sent"
        .into()
}

/// The mistakes that together give `password`, the fewest first.
fn search(
    registry: &Registry,
    identity: &Identity,
    client_id: &ClientId<'_>,
    method: Method,
    password: &str,
) -> Option<Vec<String>> {
    let methods: Vec<(Method, Option<String>)> = Method::ALL
        .into_iter()
        .map(|other| {
            (
                other,
                (other != method).then(|| method_mistake(other, method, client_id)),
            )
        })
        .collect();
    let keys = keys(registry, identity);
    let contents = contents(identity, client_id);
    (0..=3).find_map(|mistakes| {
        for (other, in_method) in &methods {
            for (key, in_key) in &keys {
                for (content, in_content) in &contents {
                    let parts = [in_method, in_content, in_key];
                    if parts.iter().filter(|part| part.is_some()).count() == mistakes
                        && other.verify(key, content, password)
                    {
                        return Some(parts.into_iter().flatten().cloned().collect());
                    }
                }
            }
        }
        None
    })
}

fn method_mistake(done: Method, announced: Method, client_id: &ClientId<'_>) -> String {
    if client_id.param("signmethod").is_none() {
        return format!("it is made with {done}, but signmethod is missing, which means hmacmd5");
    }
    format!("it is made with {done}, but the client id says signmethod={announced}")
}

/// Keys that are taken by mistake, the right one first.
fn keys(registry: &Registry, identity: &Identity) -> Vec<Guess> {
    let Some(product) = registry.products.get(&identity.product_key) else {
        return Vec::new();
    };
    let own = product.devices.get(&identity.device_name);
    let secret = own
        .and_then(|device| device.secret.as_ref())
        .map_or("", |secret| secret.expose());
    let mut keys: Vec<Guess> = vec![(secret.into(), None)];
    let mut add = |key: Vec<u8>, sentence: &str| keys.push((key, Some(sentence.to_owned())));
    if let Some(secret) = &product.secret {
        add(
            secret.expose().into(),
            "it is made with the product secret instead of the device secret",
        );
    }
    for space in ["\n", "\r\n", " ", "\0"] {
        let sentence = "the secret was taken with white space or a NUL after it";
        add(format!("{secret}{space}").into(), sentence);
        add(
            format!("{space}{secret}").into(),
            "the secret was taken with white space before it",
        );
    }
    add(
        secret.trim().into(),
        "white space around the secret was cut off",
    );
    add(
        secret.to_lowercase().into(),
        "the secret was turned into lower case",
    );
    add(
        secret.to_uppercase().into(),
        "the secret was turned into upper case",
    );
    if let Ok(decoded) = hex::decode(secret) {
        add(
            decoded,
            "the secret was decoded as hex: its text is the key",
        );
    }
    add(Vec::new(), "the secret was empty");
    for (name, device) in product.devices.iter().take(MAX_OTHERS) {
        if let (true, Some(secret)) = (*name != identity.device_name, &device.secret) {
            let name = registry.quote(name);
            let sentence = format!("it is made with the secret of device {name}");
            add(secret.expose().into(), &sentence);
        }
    }
    keys
}

/// Contents that are signed by mistake, the right one first.
fn contents(identity: &Identity, client_id: &ClientId<'_>) -> Vec<Guess> {
    let (name, key) = (&*identity.device_name, &*identity.product_key);
    let right = Signed {
        client_id: Some(client_id.id),
        device_name: name,
        product_key: key,
        timestamp: client_id.param("timestamp"),
    };
    let mut contents: Vec<Guess> = vec![(right.content().into(), None)];
    let mut add = |content: String, sentence: &str| {
        contents.push((content.into(), Some(sentence.to_owned())));
    };
    if right.timestamp.is_some() {
        add(
            Signed {
                timestamp: None,
                ..right
            }
            .content(),
            "the timestamp stands in the client id, but is not signed",
        );
    }
    add(
        Signed {
            client_id: None,
            ..right
        }
        .content(),
        "clientId is not signed",
    );
    add(
        Signed {
            client_id: None,
            timestamp: None,
            ..right
        }
        .content(),
        "neither clientId nor timestamp is signed",
    );
    for other in ["2524608000000", "789"] {
        if right.timestamp.is_none() {
            let sentence = format!("timestamp {other} is signed, but missing in the client id");
            add(
                Signed {
                    timestamp: Some(other),
                    ..right
                }
                .content(),
                &sentence,
            );
        }
    }
    let joined = [
        format!("{key}.{name}"),
        format!("{name}.{key}"),
        name.to_owned(),
    ];
    for other in &joined {
        add(
            Signed {
                client_id: Some(other),
                ..right
            }
            .content(),
            "another clientId is signed than the one before the first bar",
        );
    }
    add(
        Signed {
            client_id: Some(client_id.whole()),
            ..right
        }
        .content(),
        "the whole client id is signed: sign only the part before the first bar",
    );
    add(
        Signed {
            device_name: key,
            product_key: name,
            ..right
        }
        .content(),
        "deviceName and productKey are swapped in the signed text",
    );
    let user_name = format!("{name}&{key}");
    add(
        Signed {
            device_name: &user_name,
            ..right
        }
        .content(),
        "the user name is signed in place of deviceName",
    );
    for end in ["\n", "\r\n", "\0"] {
        let sentence = "the signed text has a line end or a NUL after it";
        add(format!("{}{end}", right.content()), sentence);
    }
    let pairs = pairs(&right);
    for separators in [
        ("=", "&"),
        ("=", ","),
        ("", "&"),
        ("", ","),
        ("=", ""),
        ("", "\n"),
    ] {
        let text: Vec<String> = pairs
            .iter()
            .map(|(name, value)| format!("{name}{}{value}", separators.0))
            .collect();
        add(
            text.join(separators.1),
            "names and values are signed with separators: nothing stands between them",
        );
    }
    add(
        pairs.iter().map(|(_, value)| *value).collect(),
        "only the values are signed: each name stands before its value",
    );
    for order in orders(pairs) {
        let text = order.iter().map(|(name, value)| format!("{name}{value}"));
        add(
            text.collect(),
            "the names are signed in another order: they stand in alphabetical order",
        );
    }
    contents
}

fn pairs<'a>(signed: &Signed<'a>) -> Vec<(&'static str, &'a str)> {
    let all = [
        ("clientId", signed.client_id),
        ("deviceName", Some(signed.device_name)),
        ("productKey", Some(signed.product_key)),
        ("timestamp", signed.timestamp),
    ];
    let present = all
        .into_iter()
        .filter_map(|(name, value)| Some((name, value?)));
    present.collect()
}

/// Every order of a few items.
fn orders<T: Clone>(items: Vec<T>) -> Vec<Vec<T>> {
    if items.len() < 2 {
        return vec![items];
    }
    let mut all = Vec::new();
    for index in 0..items.len() {
        let mut rest = items.clone();
        let first = rest.remove(index);
        for mut order in orders(rest) {
            order.insert(0, first.clone());
            all.push(order);
        }
    }
    all
}
