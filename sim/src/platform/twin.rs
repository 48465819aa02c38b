//! What the platform knows of a device beside its identity.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::ota::Firmware;
use super::shadow::Shadow;

/// Most properties and tags that are kept of a device.
pub(super) const MAX_PROPERTIES: usize = 200;
pub(super) const MAX_TAGS: usize = 100;

/// A value the application wants, with the number of times it was changed.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub(crate) struct Desired {
    pub(crate) value: Value,
    pub(crate) version: u64,
}

/// What a device has reported and what is wanted of it.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(default)]
pub(crate) struct Twin {
    pub(crate) tags: BTreeMap<String, String>,
    pub(crate) properties: Map<String, Value>,
    pub(crate) desired: BTreeMap<String, Desired>,
    pub(crate) shadow: Shadow,
    /// Versions by module; the module of a device without modules is `default`.
    pub(crate) versions: BTreeMap<String, String>,
    /// What the device last said of an upgrade.
    pub(crate) progress: Option<Value>,
    /// The upgrade that waits for the device. Its file is not kept, so neither is it.
    #[serde(skip)]
    pub(crate) firmware: Option<Firmware>,
}
