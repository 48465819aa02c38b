//! The TOML file that names products, devices and verbatim entries.

use std::path::Path;

use serde::Deserialize;

use crate::error::Error;
use crate::registry::{DeviceToken, Identity, Registry, Verbatim};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    product: Vec<ProductEntry>,
    #[serde(default)]
    verbatim: Vec<VerbatimEntry>,
    /// Flags of the program, which are of no concern to a registry.
    #[serde(default)]
    simulator: toml::Table,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ProductEntry {
    key: String,
    secret: Option<String>,
    #[serde(default)]
    registration_off: bool,
    #[serde(default)]
    device: Vec<DeviceEntry>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct DeviceEntry {
    name: String,
    secret: Option<String>,
    token: Option<TokenEntry>,
    #[serde(default)]
    disabled: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TokenEntry {
    client_id: String,
    token: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct VerbatimEntry {
    client_id: String,
    user_name: String,
    password: String,
    product_key: Option<String>,
    device_name: Option<String>,
}

/// Adds what the file at `path` names to `registry`.
///
/// # Errors
/// `Error::Config` if the file cannot be read or says something that is not understood.
pub fn load(path: &Path, registry: &mut Registry) -> Result<(), Error> {
    let text = std::fs::read_to_string(path)
        .map_err(|error| Error::Config(format!("cannot read {}: {error}", path.display())))?;
    parse(&text, registry).map_err(|reason| Error::Config(format!("{}: {reason}", path.display())))
}

/// The table `[simulator]` of the file at `path`: names of flags and their values as text.
///
/// # Errors
/// `Error::Config` if the file cannot be read or says something that is not understood.
pub fn settings(path: &Path) -> Result<Vec<(String, String)>, Error> {
    let wrong = |reason: String| Error::Config(format!("{}: {reason}", path.display()));
    let text = std::fs::read_to_string(path).map_err(|error| wrong(error.to_string()))?;
    let table = read(&text).map_err(wrong)?.simulator;
    let text = |name: &str, value: toml::Value| match value {
        toml::Value::String(text) => Ok(text),
        toml::Value::Integer(number) => Ok(number.to_string()),
        toml::Value::Float(number) => Ok(number.to_string()),
        toml::Value::Boolean(on) => Ok(on.to_string()),
        _ => Err(wrong(format!("{name} in [simulator] is no single value"))),
    };
    let pairs = table.into_iter().map(|(name, value)| {
        let value = text(&name, value)?;
        Ok((name, value))
    });
    pairs.collect()
}

/// Adds what `text` names to `registry`. The error is a sentence without any value of the file,
/// since a value may be a secret.
fn parse(text: &str, registry: &mut Registry) -> Result<(), String> {
    let file = read(text)?;
    for product in file.product {
        check_name("product key", &product.key)?;
        let key = product.key;
        let entry = registry.products.entry(key.clone()).or_default();
        if let Some(secret) = product.secret {
            entry.secret = Some(secret.into());
        }
        entry.registration_off = product.registration_off;
        let registers = entry.secret.is_some();
        for device in product.device {
            check_name("device name", &device.name)?;
            if device.secret.is_none() && device.token.is_none() && !registers {
                return Err(format!(
                    "device {key}/{} has neither secret nor token, and its product no secret to \
                     register with",
                    device.name
                ));
            }
            let entry = registry.device_entry(&key, &device.name);
            entry.secret = device.secret.map(Into::into);
            entry.token = device.token.map(|token| DeviceToken {
                client_id: token.client_id,
                token: token.token.into(),
            });
            entry.disabled = device.disabled;
        }
    }
    for entry in file.verbatim {
        let name = entry.device_name.unwrap_or_else(|| entry.client_id.clone());
        registry.verbatim.push(Verbatim {
            identity: Identity::new(
                entry.product_key.unwrap_or_else(|| "verbatim".to_owned()),
                name,
            ),
            client_id: entry.client_id,
            user_name: entry.user_name,
            password: entry.password.into(),
        });
    }
    Ok(())
}

fn read(text: &str) -> Result<File, String> {
    toml::from_str(text).map_err(|error: toml::de::Error| {
        let line = error.span().map_or(0, |span| {
            text.get(..span.start)
                .unwrap_or_default()
                .matches('\n')
                .count()
                + 1
        });
        format!("line {line}: {}", without_values(error.message()))
    })
}

/// The parser's message with everything in double quotes left out: there it repeats values of the
/// file, whereas names of fields stand in backquotes.
pub(crate) fn without_values(message: &str) -> String {
    let outside = message.split('"').step_by(2).collect::<Vec<_>>();
    outside.join("\"…\"")
}

/// Refuses names that no topic and no user name could carry.
pub(crate) fn check_name(what: &str, name: &str) -> Result<(), String> {
    let fits = !name.is_empty() && !name.contains(['/', '&', '|', '+', '#', ',', ' ']);
    fits.then_some(())
        .ok_or_else(|| format!("a {what} is empty or holds one of / & | + # , or a space"))
}

/// Adds the device that `text` names as `productKey,deviceName,deviceSecret`.
///
/// # Errors
/// `Error::Config` if `text` has another form.
pub fn add_device(text: &str, registry: &mut Registry) -> Result<(), Error> {
    let mut parts = text.splitn(3, ',');
    let (Some(key), Some(name), Some(secret)) = (parts.next(), parts.next(), parts.next()) else {
        let reason = "a device is given as productKey,deviceName,deviceSecret";
        return Err(Error::Config(reason.to_owned()));
    };
    check_name("product key", key)
        .and_then(|()| check_name("device name", name))
        .map_err(Error::Config)?;
    if secret.is_empty() {
        return Err(Error::Config(format!(
            "device {key}/{name} has an empty secret"
        )));
    }
    registry.add_device(key, name, secret);
    Ok(())
}

/// Product key and device name out of `text`, which names them as `productKey,deviceName`.
///
/// # Errors
/// `Error::Config` if `text` has another form.
pub fn device_name(text: &str) -> Result<(String, String), Error> {
    let Some((key, name)) = text.split_once(',') else {
        let reason = "such a device is given as productKey,deviceName";
        return Err(Error::Config(reason.to_owned()));
    };
    check_name("product key", key)
        .and_then(|()| check_name("device name", name))
        .map_err(Error::Config)?;
    Ok((key.to_owned(), name.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_names_products_devices_tokens_and_verbatim_entries() {
        let mut registry = Registry::default();
        parse(
            r#"
            [[product]]
            key = "pk"
            secret = "product-secret"
            [[product.device]]
            name = "one"
            secret = "s"
            disabled = true
            [[product.device]]
            name = "two"
            token = { client_id = "c", token = "t" }
            [[verbatim]]
            client_id = "id"
            user_name = "user"
            password = "pw"
            "#,
            &mut registry,
        )
        .unwrap();
        let product = &registry.products["pk"];
        assert!(product.secret.is_some());
        assert!(product.devices["one"].disabled);
        assert_eq!(
            product.devices["two"].token.as_ref().unwrap().client_id,
            "c"
        );
        assert_eq!(
            registry.verbatim[0].identity,
            Identity::new("verbatim", "id")
        );
    }

    #[test]
    fn a_bad_file_is_explained_with_its_line_and_without_its_values() {
        let mut registry = Registry::default();
        let text = "[[product]]\nkey = \"pk\"\n[[product.device]]\nnaem = \"top-secret-value\"\n";
        let reason = parse(text, &mut registry).unwrap_err();
        assert!(
            reason.contains("line 4") && reason.contains("naem"),
            "{reason}"
        );
        assert!(!reason.contains("top-secret-value"), "{reason}");
        let text = text.replace("naem", "token");
        let reason = parse(&text, &mut registry).unwrap_err();
        assert!(!reason.contains("top-secret-value"), "{reason}");
        let reason = parse("[[product]]\nkey = \"a/b\"\n", &mut registry).unwrap_err();
        assert!(reason.contains("product key"), "{reason}");
    }

    #[test]
    fn a_device_flag_has_three_parts() {
        let mut registry = Registry::default();
        add_device("pk,dn,se,cret", &mut registry).unwrap();
        let device = registry.device(&Identity::new("pk", "dn")).unwrap();
        assert_eq!(device.secret.as_ref().unwrap().expose(), "se,cret");
        assert!(add_device("pk,dn", &mut registry).is_err());
        assert!(add_device("pk,dn,", &mut registry).is_err());
    }
}
