//! The state file: what is kept from one start to the next.

use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::broker::Broker;
use crate::certs::AuthorityKeys;
use crate::error::Error;
use crate::platform::Twin;
use crate::registry::{DeviceToken, Identity, Registry};
use crate::state::State;

/// How often it is looked whether there is something to write.
const PAUSE: Duration = Duration::from_millis(100);

/// The content of a state file. Has no `Debug`: it holds secrets.
#[derive(Deserialize, Serialize)]
pub(crate) struct Kept {
    keys: AuthorityKeys,
    products: Vec<KeptProduct>,
}

#[derive(Deserialize, Serialize)]
struct KeptProduct {
    key: String,
    secret: Option<String>,
    registration_off: bool,
    devices: Vec<KeptDevice>,
}

#[derive(Deserialize, Serialize)]
struct KeptDevice {
    name: String,
    secret: Option<String>,
    /// Client id and device token, of each physical device.
    tokens: Vec<(String, String)>,
    certificate: Option<String>,
    disabled: bool,
    activated: bool,
    twin: Twin,
}

impl Kept {
    /// Keys of the authorities.
    pub(crate) fn keys(&self) -> &AuthorityKeys {
        &self.keys
    }

    /// Adds what was kept to a state. What the state knows already, from a configuration file or a
    /// flag, holds.
    pub(crate) fn restore(self, state: &mut State) {
        for product in self.products {
            let entry = state.registry.products.entry(product.key.clone());
            let entry = entry.or_default();
            if entry.secret.is_none() {
                entry.secret = product.secret.map(Into::into);
            }
            entry.registration_off |= product.registration_off;
            for kept in product.devices {
                let identity = Identity::new(&product.key, &kept.name);
                let device = state.registry.device_entry(&product.key, &kept.name);
                if device.secret.is_none() {
                    device.secret = kept.secret.map(Into::into);
                }
                let mut tokens = kept
                    .tokens
                    .into_iter()
                    .map(|(client_id, token)| DeviceToken {
                        client_id,
                        token: token.into(),
                    });
                if device.token.is_none() {
                    device.token = tokens.next();
                    device.more_tokens = tokens.collect();
                }
                device.certificate = kept.certificate.or(device.certificate.take());
                device.disabled |= kept.disabled;
                device.activated |= kept.activated;
                state.platform.twins.insert(identity, kept.twin);
            }
        }
    }
}

/// What is to be kept of `registry` and of the twins.
fn products(registry: &Registry, state: &State) -> Vec<KeptProduct> {
    let device = |key: &str, name: &String, device: &crate::registry::Device| KeptDevice {
        name: name.clone(),
        secret: device.secret.as_ref().map(|secret| secret.expose().into()),
        tokens: device
            .tokens()
            .map(|token| (token.client_id.clone(), token.token.expose().to_owned()))
            .collect(),
        certificate: device.certificate.clone(),
        disabled: device.disabled,
        activated: device.activated,
        twin: state
            .platform
            .twins
            .get(&Identity::new(key, name))
            .cloned()
            .unwrap_or_default(),
    };
    let kept = registry.products.iter().map(|(key, product)| KeptProduct {
        key: key.clone(),
        secret: product.secret.as_ref().map(|secret| secret.expose().into()),
        registration_off: product.registration_off,
        devices: product
            .devices
            .iter()
            .map(|(name, entry)| device(key, name, entry))
            .collect(),
    });
    kept.collect()
}

/// Reads a state file; `None` if there is none yet.
pub(crate) fn load(path: &Path) -> Result<Option<Kept>, Error> {
    let text = match std::fs::read(path) {
        Ok(text) => text,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(Error::Io(format!("cannot read {}", path.display()), error)),
    };
    // The parser's message may repeat a value, and a value may be a secret.
    serde_json::from_slice(&text).map(Some).map_err(|error| {
        let (path, line) = (path.display(), error.line());
        Error::Config(format!(
            "{path}: line {line} is not that of a state file; move it away to begin anew"
        ))
    })
}

/// Writes the state file when something has changed.
pub(crate) struct Store {
    path: PathBuf,
    keys: AuthorityKeys,
    saved: AtomicU64,
}

impl Store {
    pub(crate) fn new(path: PathBuf, keys: AuthorityKeys) -> Self {
        Self {
            path,
            keys,
            saved: AtomicU64::new(u64::MAX),
        }
    }

    /// Writes the file if what it keeps has changed since it was last written.
    pub(crate) fn save(&self, broker: &Broker) -> Result<(), Error> {
        let (generation, kept) = {
            let state = broker.lock();
            let generation = state.platform.generation;
            if self.saved.load(Ordering::Relaxed) == generation {
                return Ok(());
            }
            let kept = Kept {
                keys: self.keys.clone(),
                products: products(&state.registry, &state),
            };
            (generation, kept)
        };
        let text = serde_json::to_vec(&kept).unwrap_or_default();
        write_private(&self.path, &text)
            .map_err(|error| Error::Io(format!("cannot write {}", self.path.display()), error))?;
        self.saved.store(generation, Ordering::Relaxed);
        Ok(())
    }
}

/// Replaces a file by one that only its owner may read. Whoever reads it sees the old content or the
/// new one.
pub(crate) fn write_private(path: &Path, content: &[u8]) -> std::io::Result<()> {
    use std::os::unix::fs::OpenOptionsExt;
    let mut partial = path.as_os_str().to_owned();
    partial.push(".partial");
    let partial = PathBuf::from(partial);
    // One left over by a crash might be readable by others.
    let _ = std::fs::remove_file(&partial);
    let mut file = std::fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&partial)?;
    file.write_all(content)?;
    std::fs::rename(&partial, path)
}

/// Keeps the state file up to date for ever.
pub(crate) async fn keep(broker: &Arc<Broker>, store: Option<Arc<Store>>) {
    let Some(store) = store else {
        return std::future::pending().await;
    };
    let mut complained = false;
    loop {
        tokio::time::sleep(PAUSE).await;
        let (broker_here, store) = (Arc::clone(broker), Arc::clone(&store));
        let saved = tokio::task::spawn_blocking(move || store.save(&broker_here)).await;
        match saved {
            Ok(Err(error)) if !complained => {
                complained = true;
                broker.log(&error.to_string());
            }
            Ok(Ok(())) => complained = false,
            _ => {}
        }
    }
}
