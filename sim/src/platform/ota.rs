//! Upgrades and remote configuration: a notice to the device, and a file that it fetches.
//!
//! Source: platform pages "OTA updates" and "Remote configuration".

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::alink::{NO_CONFIG, OK, Outcome};
use super::send;
use crate::broker::Broker;
use crate::error::Error;
use crate::registry::Identity;
use crate::state::State;

/// The module of a device that has none.
const WHOLE: &str = "default";

/// An upgrade that waits for a device.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct Firmware {
    module: String,
    version: String,
    /// The notice's `data`.
    data: Value,
}

/// A product's remote configuration.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct RemoteConfig {
    /// What a device is told.
    data: Value,
}

/// Handles what a device says of its version or of an upgrade.
pub(super) fn report(state: &mut State, identity: &Identity, what: &str, payload: &Bytes) {
    let whom = state.registry.quote(&identity.to_string());
    let request: Option<Value> = serde_json::from_slice(payload).ok();
    let params = request.as_ref().and_then(|request| request.get("params"));
    let Some(params) = params.filter(|params| params.is_object()) else {
        let line = format!("ignored an upgrade report of {whom}: it has no params");
        state.journal.add(&line);
        return;
    };
    let module = params.get("module").and_then(Value::as_str);
    let module = module.unwrap_or(WHOLE).to_owned();
    let twin = state.platform.twin(identity);
    let line = if what == "inform" {
        let Some(version) = params.get("version").and_then(Value::as_str) else {
            return;
        };
        let done =
            |firmware: &mut Firmware| firmware.module == module && firmware.version == version;
        let upgraded = twin.firmware.take_if(done).is_some();
        // A device has one module or a few; a flood of names is not kept.
        if twin.versions.len() < 100 || twin.versions.contains_key(&module) {
            twin.versions.insert(module, version.to_owned());
        }
        let version = state.registry.quote(version);
        let outcome = if upgraded { ", upgraded" } else { "" };
        format!("{whom} runs version {version}{outcome}")
    } else {
        twin.progress = Some(params.clone());
        let step = params.get("step").map(ToString::to_string);
        let step = state.registry.quote(&step.unwrap_or_default());
        format!("{whom} upgrades: step {step}")
    };
    state.platform.touch();
    state.journal.add(&line);
}

/// The upgrade that waits for a device, or nothing.
pub(super) fn pending(state: &mut State, identity: &Identity, params: &Value) -> Outcome {
    let module = params.get("module").and_then(Value::as_str);
    let firmware = state.platform.twin(identity).firmware.as_ref();
    let fits = |firmware: &&Firmware| firmware.module == module.unwrap_or(WHOLE);
    let data = firmware.filter(fits).map(|firmware| firmware.data.clone());
    (OK, data.unwrap_or_else(|| json!({})))
}

/// The remote configuration of a device's product.
pub(super) fn config(state: &State, identity: &Identity) -> Outcome {
    match state.platform.configs.get(&identity.product_key) {
        Some(config) => (OK, config.data.clone()),
        None => (NO_CONFIG, json!({})),
    }
}

impl Broker {
    /// Offers an upgrade to a device: at once if it is connected, and whenever it asks. Returns the
    /// address of the file.
    pub(crate) fn push_ota(
        &self,
        identity: &Identity,
        version: &str,
        module: Option<&str>,
        content: Bytes,
    ) -> Result<String, Error> {
        let mut guard = self.lock();
        let state = &mut *guard;
        if state.registry.device(identity).is_none() {
            return Err(Error::NotConnected(identity.to_string()));
        }
        let digest = hex::encode(Sha256::digest(&content));
        let size = content.len();
        let token = state.random.secret();
        let url = state.platform.files.add(token, content)?;
        let mut data = json!({
            "size": size,
            "version": version,
            "url": url,
            "signMethod": "SHA256",
            "sign": digest,
        });
        if let (Some(module), Some(object)) = (module, data.as_object_mut()) {
            object.insert("module".into(), module.into());
        }
        let id = state.platform.id();
        state.platform.twin(identity).firmware = Some(Firmware {
            module: module.unwrap_or(WHOLE).to_owned(),
            version: version.to_owned(),
            data: data.clone(),
        });
        let notice = json!({"code": "1000", "data": data, "id": id, "message": "success"});
        let Identity {
            product_key,
            device_name,
        } = identity;
        let topic = format!("/ota/device/upgrade/{product_key}/{device_name}");
        send(state, identity, &topic, notice.to_string().into());
        let line = format!(
            "offered version {} to {}",
            state.registry.quote(version),
            state.registry.quote(&identity.to_string())
        );
        state.journal.add(&line);
        drop(guard);
        self.changed.notify_all();
        Ok(url)
    }

    /// Sets a product's remote configuration and tells its connected devices. Returns the address of
    /// the file.
    pub(crate) fn push_config(&self, product_key: &str, content: Bytes) -> Result<String, Error> {
        let mut guard = self.lock();
        let state = &mut *guard;
        let digest = hex::encode(Sha256::digest(&content));
        let size = content.len();
        let token = state.random.secret();
        let url = state.platform.files.add(token, content)?;
        let id = state.platform.id();
        let data = json!({
            "configId": format!("config-{id}"),
            "configSize": size,
            "sign": digest,
            "signMethod": "Sha256",
            "url": url,
            "getType": "file",
        });
        let push = json!({
            "id": id.to_string(),
            "version": "1.0",
            "params": data,
            "method": "thing.config.push",
        });
        let config = RemoteConfig { data };
        state
            .platform
            .configs
            .insert(product_key.to_owned(), config);
        let connected: Vec<Identity> = state
            .sessions
            .iter()
            .filter(|(identity, session)| {
                identity.product_key == product_key && session.link.is_some()
            })
            .map(|(identity, _)| identity.clone())
            .collect();
        for identity in connected {
            let name = &identity.device_name;
            let topic = format!("/sys/{product_key}/{name}/thing/config/push");
            send(state, &identity, &topic, push.to_string().into());
        }
        drop(guard);
        self.changed.notify_all();
        Ok(url)
    }
}
