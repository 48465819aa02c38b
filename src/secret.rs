//! Text that must not be seen: zeroed on drop, never printed.

use std::fmt;

use zeroize::Zeroizing;

/// A secret: device secret, product secret, device token or MQTT password.
///
/// Its memory is overwritten when it is dropped; `Debug` prints `***`; there is no `Display`.
#[derive(Clone, Eq, PartialEq)]
pub struct Secret(Zeroizing<String>);

impl Secret {
    /// Takes ownership of `text`.
    pub fn new(text: impl Into<String>) -> Self {
        Self(Zeroizing::new(text.into()))
    }

    /// The secret itself, for signing and for sending. Whoever calls this must not print it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl From<Zeroizing<String>> for Secret {
    fn from(text: Zeroizing<String>) -> Self {
        Self(text)
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_prints_as_three_stars() {
        let text = format!("{:?}", Some(Secret::new("hunter2")));
        assert_eq!(text, "Some(***)");
    }
}
