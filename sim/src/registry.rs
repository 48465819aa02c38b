//! What the simulator knows: products, devices and verbatim entries, and how to keep their secrets
//! out of every line that is printed.

use std::collections::BTreeMap;
use std::fmt;

use crate::redact::Redactor;

/// A text that is never printed.
#[derive(Clone, Default, Eq, PartialEq)]
pub struct Secret(String);

impl Secret {
    /// The text itself, for computing and comparing.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl<T: Into<String>> From<T> for Secret {
    fn from(text: T) -> Self {
        Self(text.into())
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("***")
    }
}

/// Who a connection belongs to. The platform allows one connection for each.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Identity {
    /// Product key.
    pub product_key: String,
    /// Device name.
    pub device_name: String,
}

impl Identity {
    /// The identity of a device of a product.
    pub fn new(product_key: impl Into<String>, device_name: impl Into<String>) -> Self {
        Self {
            product_key: product_key.into(),
            device_name: device_name.into(),
        }
    }
}

impl fmt::Display for Identity {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}/{}", self.product_key, self.device_name)
    }
}

/// Client id and device token of a device that was registered without pre-registration.
///
/// Source: platform page "MQTT-based dynamic registration".
#[derive(Clone, Debug)]
pub struct DeviceToken {
    /// The client id the platform handed out with the token; it stands before the bar.
    pub client_id: String,
    /// The device token; it is the password as it is.
    pub token: Secret,
}

/// A device of a product.
#[derive(Clone, Debug, Default)]
pub struct Device {
    /// Device secret, if the device signs with one.
    pub secret: Option<Secret>,
    /// Device token, if the device connects with one.
    pub token: Option<DeviceToken>,
    /// Tokens of further physical devices that registered under the same name.
    pub more_tokens: Vec<DeviceToken>,
    /// SHA-256 of the device's X.509 certificate in lower-case hex, if it signs in with one.
    pub certificate: Option<String>,
    /// Whether the device was disabled in the console.
    pub disabled: bool,
    /// Whether the device has ever been let in; it cannot register again until it is reset.
    pub activated: bool,
}

impl Device {
    /// Every device token of this name.
    pub fn tokens(&self) -> impl Iterator<Item = &DeviceToken> {
        self.token.iter().chain(&self.more_tokens)
    }
}

/// A product and its devices by name.
#[derive(Clone, Debug, Default)]
pub struct Product {
    /// Product secret, if known: devices register with it, and a signature made with it by mistake
    /// is recognised.
    pub secret: Option<Secret>,
    /// Whether dynamic registration was switched off in the console.
    pub registration_off: bool,
    /// Devices by device name.
    pub devices: BTreeMap<String, Device>,
}

/// A client of a private platform, known by its literal CONNECT fields. Such clients may use any
/// topic and see each other's messages.
#[derive(Clone, Debug)]
pub struct Verbatim {
    /// MQTT client id, whole.
    pub client_id: String,
    /// User name.
    pub user_name: String,
    /// Password.
    pub password: Secret,
    /// The identity under which the simulator speaks of this client.
    pub identity: Identity,
}

/// Products, devices and verbatim entries.
#[derive(Clone, Debug, Default)]
pub struct Registry {
    /// Products by product key.
    pub products: BTreeMap<String, Product>,
    /// Verbatim entries.
    pub verbatim: Vec<Verbatim>,
    redactor: Redactor,
}

/// Longest piece of a client's text that is repeated in a log line, in characters.
const MAX_QUOTED: usize = 160;

impl Registry {
    /// Adds a device that signs with `secret`, or replaces its secret.
    pub fn add_device(&mut self, product_key: &str, device_name: &str, secret: impl Into<Secret>) {
        let secret = secret.into();
        self.redactor.add(secret.expose());
        self.device_entry(product_key, device_name).secret = Some(secret);
    }

    /// Hides a secret that is about to be handed out.
    pub(crate) fn hide(&mut self, secret: &str) {
        self.redactor.add(secret);
    }

    /// Hides every secret that was written into the fields directly.
    pub(crate) fn hide_all(&mut self) {
        let mut redactor = std::mem::take(&mut self.redactor);
        for secret in self.secrets() {
            redactor.add(secret);
        }
        self.redactor = redactor;
    }

    /// `text` with every known secret replaced.
    pub(crate) fn redact<'a>(&self, text: &'a str) -> std::borrow::Cow<'a, str> {
        self.redactor.redact(text)
    }

    /// The entry of a device, made if it is not there.
    pub fn device_entry(&mut self, product_key: &str, device_name: &str) -> &mut Device {
        self.products
            .entry(product_key.to_owned())
            .or_default()
            .devices
            .entry(device_name.to_owned())
            .or_default()
    }

    /// The device, if it is registered.
    pub fn device(&self, identity: &Identity) -> Option<&Device> {
        self.products
            .get(&identity.product_key)?
            .devices
            .get(&identity.device_name)
    }

    /// The device whose certificate has this SHA-256.
    pub(crate) fn device_with_certificate(&self, certificate: &str) -> Option<(Identity, &Device)> {
        self.products.iter().find_map(|(key, product)| {
            let (name, device) = product
                .devices
                .iter()
                .find(|(_, device)| device.certificate.as_deref() == Some(certificate))?;
            Some((Identity::new(key, name), device))
        })
    }

    /// The device, to be changed.
    pub(crate) fn device_mut(&mut self, identity: &Identity) -> Option<&mut Device> {
        self.products
            .get_mut(&identity.product_key)?
            .devices
            .get_mut(&identity.device_name)
    }

    /// `text` as it may stand in a log line: control characters escaped, cut to a sensible length,
    /// every known secret replaced. A client may put a secret into the wrong field by mistake.
    pub fn quote(&self, text: &str) -> String {
        let quoted = self.redact(text);
        let escaped: String = quoted.chars().flat_map(char::escape_debug).collect();
        match escaped.char_indices().nth(MAX_QUOTED) {
            Some((end, _)) => format!("{}…", escaped.get(..end).unwrap_or_default()),
            None => escaped,
        }
    }

    fn secrets(&self) -> impl Iterator<Item = &str> {
        let of_products = self.products.values().flat_map(|product| {
            let of_devices = product.devices.values().flat_map(|device| {
                let tokens = device.tokens().map(|token| &token.token);
                device.secret.iter().chain(tokens)
            });
            product.secret.iter().chain(of_devices)
        });
        of_products
            .chain(self.verbatim.iter().map(|entry| &entry.password))
            .map(Secret::expose)
            .filter(|secret| !secret.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quoted_text_holds_no_secret_and_no_control_character() {
        let mut registry = Registry::default();
        registry.add_device("pk", "dn", "a-device-secret");
        assert_eq!(registry.quote("x a-device-secret\ny"), "x ***\\ny");
        registry.add_device("pk", "short", "abc");
        assert_eq!(registry.quote("abc"), "***");
        assert_eq!(registry.quote("/pk/abcdef"), "/pk/abcdef");
        assert!(registry.quote(&"é".repeat(1000)).chars().count() <= MAX_QUOTED + 1);
    }

    #[test]
    fn debug_output_holds_no_secret() {
        let mut registry = Registry::default();
        registry.add_device("pk", "dn", "a-device-secret");
        assert!(!format!("{registry:?}").contains("a-device-secret"));
    }
}
