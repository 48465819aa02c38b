//! A running simulator: its listeners, its thread and the handle to drive it.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::runtime::Handle;
use tokio::sync::oneshot;

use crate::broker::Broker;
use crate::certs;
use crate::drive::Addressing;
use crate::error::Error;
use crate::journal::Journal;
use crate::limits::Limits;
use crate::listen::{self, Listeners};
use crate::options::Options;
use crate::random::Random;
use crate::registry::{Identity, Registry};
use crate::state::{Connection, Qos, Received, State, View};
use crate::store::{self, Store};

/// A running simulator. Dropping it closes every connection and ends its thread.
pub struct Sim {
    pub(crate) broker: Arc<Broker>,
    addresses: listen::Addresses,
    ca_pem: String,
    ca_file: Option<PathBuf>,
    store: Option<Arc<Store>>,
    /// Runs what has to wait, such as calls of devices.
    pub(crate) handle: Handle,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Sim {
    /// Starts a simulator in a thread of its own; it listens when this returns.
    ///
    /// # Errors
    /// `Listen` if an address is taken, `Io` if `ca.pem` cannot be written or no thread can be
    /// started, `Certificate` if a name does not fit into a certificate, `InvalidArgument` if the
    /// control port is not a loopback address or a duration is not usable.
    pub fn start(options: Options) -> Result<Self, Error> {
        check(&options)?;
        let kept = match &options.state_file {
            Some(path) => store::load(path)?,
            None => None,
        };
        let certificates = certs::make(
            options.certificate,
            options.tls_versions,
            &options.names,
            kept.as_ref().map(store::Kept::keys),
        )?;
        let ca_file = match &options.dir {
            Some(dir) => Some(write_ca(dir, &certificates.ca_pem)?),
            None => None,
        };
        let listeners = Listeners::bind(&options)?;
        let addresses = listeners.addresses();
        let journal = Journal::new(options.log, options.history)
            .map_err(|error| Error::Io("cannot start the log's thread".into(), error))?;
        let mut state = State::new(options.registry, journal, options.history);
        if let Some(kept) = kept {
            kept.restore(&mut state);
        }
        state.registry.hide_all();
        state.random = Random::new(options.seed);
        state.limits = Limits::new(options.connects_per_minute, options.rate_limits);
        state.platform.answers = options.answers;
        state.platform.files.base = addresses.https.map(|address| {
            let named = options.names.iter().find(|name| !name.starts_with('*'));
            let host = named.map_or("localhost", String::as_str);
            format!("https://{host}:{}", address.port())
        });
        let mut broker = Broker::new(
            state,
            options.check_interval,
            options.time_scale,
            options.connect_timeout,
        );
        broker.devices = Some(certificates.devices);
        let broker = Arc::new(broker);
        let store = options.state_file.map(|path| {
            let keys = certificates.keys.clone();
            Arc::new(Store::new(path, keys))
        });
        if let Some(store) = &store {
            store.save(&broker)?;
        }
        for (what, address) in addresses.named() {
            broker.log(&format!("listening for {what} on {address}"));
        }
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| Error::Io("cannot start a runtime".into(), error))?;
        let (stop, stopped) = oneshot::channel();
        let handle = runtime.handle().clone();
        let server = Arc::clone(&broker);
        let keeper = store.clone();
        let (tls, files) = (certificates.server, certificates.files);
        let run = move || {
            runtime.block_on(async move {
                tokio::select! {
                    _ = stopped => {}
                    () = listen::run(&server, listeners, tls, files) => {}
                    () = store::keep(&server, keeper) => {}
                }
            });
        };
        let thread = std::thread::Builder::new()
            .name("aliot-sim".into())
            .spawn(run)
            .map_err(|error| Error::Io("cannot start the simulator's thread".into(), error))?;
        Ok(Self {
            broker,
            addresses,
            ca_pem: certificates.ca_pem,
            ca_file,
            store,
            handle,
            stop: Some(stop),
            thread: Some(thread),
        })
    }

    /// Address of the TLS listener, if there is one.
    pub fn tls_addr(&self) -> Option<SocketAddr> {
        self.addresses.tls
    }

    /// Address of the plain TCP listener, if there is one.
    pub fn tcp_addr(&self) -> Option<SocketAddr> {
        self.addresses.tcp
    }

    /// Address of the control port, if there is one.
    pub fn control_addr(&self) -> Option<SocketAddr> {
        self.addresses.control
    }

    /// Address of the HTTP listener with the API and the page, if there is one.
    pub fn http_addr(&self) -> Option<SocketAddr> {
        self.addresses.http
    }

    /// Address of the HTTPS listener for files, if there is one.
    pub fn https_addr(&self) -> Option<SocketAddr> {
        self.addresses.https
    }

    /// Certificate of the authority that a device is to trust, as PEM.
    pub fn ca_pem(&self) -> &str {
        &self.ca_pem
    }

    /// File that holds [`Sim::ca_pem`], if a folder was given.
    pub fn ca_file(&self) -> Option<&Path> {
        self.ca_file.as_deref()
    }

    /// Adds a device that signs with `secret`, or replaces its secret.
    pub fn add_device(&self, product_key: &str, device_name: &str, secret: &str) {
        let mut state = self.broker.lock();
        state.registry.add_device(product_key, device_name, secret);
        state.platform.touch();
    }

    /// Changes what the simulator knows: tokens, product secrets, disabled devices, verbatim
    /// entries. Connections that exist are not touched.
    pub fn edit_registry<T>(&self, change: impl FnOnce(&mut Registry) -> T) -> T {
        let mut state = self.broker.lock();
        let changed = change(&mut state.registry);
        state.registry.hide_all();
        state.platform.touch();
        changed
    }

    /// Sends a message to a device, as a cloud application does. A `topic` without a leading slash
    /// stands for one of the device's own: `user/get` for `/${productKey}/${deviceName}/user/get`.
    ///
    /// # Errors
    /// `NotConnected` if the device is absent and the message is not kept for it, `NotSubscribed` if
    /// neither the device subscribed nor the platform pushes such a topic unasked, `QueueFull` if the
    /// device does not read, `InvalidArgument` if the topic is none.
    pub fn publish(
        &self,
        product_key: &str,
        device_name: &str,
        topic: &str,
        payload: &[u8],
        qos: Qos,
    ) -> Result<(), Error> {
        self.send(
            product_key,
            device_name,
            topic,
            payload,
            qos,
            Addressing::AsThePlatform,
        )
    }

    /// Sends a message to a device whatever it has subscribed to.
    ///
    /// # Errors
    /// As [`Sim::publish`], without `NotSubscribed`.
    pub fn push(
        &self,
        product_key: &str,
        device_name: &str,
        topic: &str,
        payload: &[u8],
        qos: Qos,
    ) -> Result<(), Error> {
        self.send(
            product_key,
            device_name,
            topic,
            payload,
            qos,
            Addressing::Forced,
        )
    }

    fn send(
        &self,
        product_key: &str,
        device_name: &str,
        topic: &str,
        payload: &[u8],
        qos: Qos,
        addressing: Addressing,
    ) -> Result<(), Error> {
        let identity = Identity::new(product_key, device_name);
        let payload = Bytes::copy_from_slice(payload);
        self.broker
            .publish(&identity, topic, payload, qos, addressing)
    }

    /// Takes a look at the state.
    pub fn view<T>(&self, look: impl FnOnce(&View<'_>) -> T) -> T {
        look(&View(&self.broker.lock()))
    }

    /// The connected devices.
    pub fn connections(&self) -> Vec<Connection> {
        self.view(|view| view.connections())
    }

    /// The messages devices published, the oldest first; the newest `Options::history` of them.
    pub fn received(&self) -> Vec<Received> {
        self.view(|view| view.received().cloned().collect())
    }

    /// The log lines, the oldest first; the newest `Options::history` of them.
    pub fn log_lines(&self) -> Vec<String> {
        self.view(|view| view.log_lines().map(str::to_owned).collect())
    }

    /// Waits until `condition` holds. It is tried again after each change.
    ///
    /// # Errors
    /// `Timeout` if it does not hold within `timeout`.
    pub fn wait_for(
        &self,
        mut condition: impl FnMut(&View<'_>) -> bool,
        timeout: Duration,
    ) -> Result<(), Error> {
        let start = Instant::now();
        let mut state = self.broker.lock();
        loop {
            if condition(&View(&state)) {
                return Ok(());
            }
            let Some(left) = timeout.checked_sub(start.elapsed()) else {
                return Err(Error::Timeout);
            };
            let changed = &self.broker.changed;
            let waited = changed.wait_timeout(state, left);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Carries out a line of the control protocol and returns its answer. The command `watch` hands
    /// its lines to `show`, from a thread of its own, until `show` returns false.
    pub fn command(&self, line: &str, show: impl FnMut(&str) -> bool + Send + 'static) -> String {
        crate::control::command(&self.broker, line, show)
    }
}

impl Drop for Sim {
    fn drop(&mut self) {
        if let Some(stop) = self.stop.take() {
            let _ = stop.send(());
        }
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
        if let Some(store) = &self.store {
            // There is nobody left to tell; the log is the place.
            if let Err(error) = store.save(&self.broker) {
                self.broker.log(&error.to_string());
            }
        }
    }
}

/// Refuses options that would only show their harm later.
fn check(options: &Options) -> Result<(), Error> {
    let invalid = |reason: &str| Err(Error::InvalidArgument(reason.into()));
    if options
        .control
        .is_some_and(|address| !address.ip().is_loopback())
    {
        return invalid(
            "the control port takes a loopback address alone: whoever reaches it commands",
        );
    }
    if options
        .http
        .is_some_and(|address| !address.ip().is_loopback())
    {
        return invalid(
            "the API and the page take a loopback address alone: whoever reaches them commands",
        );
    }
    if !(options.time_scale.is_finite() && (1e-6..=1e6).contains(&options.time_scale)) {
        return invalid("the time scale must lie between 0.000001 and 1000000");
    }
    let longest = Duration::from_secs(86_400);
    if options.check_interval > longest || options.connect_timeout > longest {
        return invalid("the check interval and the connect timeout are a day at most");
    }
    if options.tls.is_none() && options.tcp.is_none() {
        return invalid("neither a TLS nor a TCP address is given");
    }
    Ok(())
}

/// Writes the authority's certificate into `dir`, which is made private to its owner.
fn write_ca(dir: &Path, pem: &str) -> Result<PathBuf, Error> {
    use std::os::unix::fs::DirBuilderExt;
    let failed = |path: &Path, error| Error::Io(format!("cannot write {}", path.display()), error);
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(dir)
        .map_err(|error| failed(dir, error))?;
    let path = dir.join("ca.pem");
    std::fs::write(&path, pem).map_err(|error| failed(&path, error))?;
    Ok(path)
}
