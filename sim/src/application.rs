//! What a Rust test does to devices: break their connections, call them, change what is known.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use serde_json::{Map, Value};

use crate::certs::DeviceCertificate;
use crate::error::Error;
use crate::faults::{Early, Faults};
use crate::outbox::End;
use crate::platform::{Ask, Twin};
use crate::registry::Identity;
use crate::sim::Sim;

impl Sim {
    /// Closes a device's connection as the platform does when another one takes over: with a notice
    /// if the device asked for it.
    ///
    /// # Errors
    /// `NotConnected` if there is none.
    pub fn kick(&self, product_key: &str, device_name: &str) -> Result<(), Error> {
        self.broker.kick(&Identity::new(product_key, device_name))
    }

    /// Closes a device's TCP connection at once, without TLS close_notify.
    ///
    /// # Errors
    /// `NotConnected` if there is none.
    pub fn cut(&self, product_key: &str, device_name: &str) -> Result<(), Error> {
        self.broker
            .end(&Identity::new(product_key, device_name), End::Cut)
    }

    /// Resets a device's TCP connection.
    ///
    /// # Errors
    /// `NotConnected` if there is none.
    pub fn reset(&self, product_key: &str, device_name: &str) -> Result<(), Error> {
        self.broker
            .end(&Identity::new(product_key, device_name), End::Reset)
    }

    /// Answers a device's CONNECTs with this code from now on; `None` lets it in again.
    ///
    /// # Errors
    /// `InvalidArgument` for code 0, which is no refusal.
    pub fn refuse(
        &self,
        product_key: &str,
        device_name: &str,
        code: Option<u8>,
    ) -> Result<(), Error> {
        self.broker
            .refuse(&Identity::new(product_key, device_name), code)
    }

    /// Leaves a device's QoS 1 publishes unacknowledged from now on, or not. They are received all
    /// the same.
    pub fn drop_acks(&self, product_key: &str, device_name: &str, on: bool) {
        self.broker
            .drop_acks(&Identity::new(product_key, device_name), on);
    }

    /// Stops reading from every connection, or resumes. Silence is not counted meanwhile.
    pub fn hold(&self, on: bool) {
        self.broker.set_hold(on);
    }

    /// Replaces everything that is to go wrong with a device's connections.
    ///
    /// # Errors
    /// `InvalidArgument` if a code or a delay is out of range.
    pub fn set_faults(
        &self,
        product_key: &str,
        device_name: &str,
        faults: Faults,
    ) -> Result<(), Error> {
        self.broker
            .set_faults(&Identity::new(product_key, device_name), faults)
    }

    /// Sets what is to go wrong before it is known whose connection it is.
    pub fn set_early_fault(&self, early: Early) {
        self.broker.set_early(early);
    }

    /// Disables a device, which closes its connection, or enables it.
    ///
    /// # Errors
    /// `NotConnected` if the device is not known.
    pub fn set_disabled(
        &self,
        product_key: &str,
        device_name: &str,
        on: bool,
    ) -> Result<(), Error> {
        self.broker
            .set_disabled(&Identity::new(product_key, device_name), on)
    }

    /// Takes a device back to the time before it was first connected: it may register again.
    ///
    /// # Errors
    /// `NotConnected` if the device is not known.
    pub fn reset_device(&self, product_key: &str, device_name: &str) -> Result<(), Error> {
        self.broker
            .reset_device(&Identity::new(product_key, device_name))
    }

    /// Makes an X.509 certificate for a device, which signs in with it from now on. The device is
    /// added if it is not known.
    ///
    /// # Errors
    /// `Certificate` if a name does not fit into one.
    pub fn issue_certificate(
        &self,
        product_key: &str,
        device_name: &str,
    ) -> Result<DeviceCertificate, Error> {
        self.broker.issue(&Identity::new(product_key, device_name))
    }

    /// Calls a device by RRPC, on the system topic or on one of its own choice, and waits for its
    /// answer. Blocks; `timeout` is 8 s at most.
    ///
    /// # Errors
    /// `NotConnected`, `Timeout`, or `InvalidArgument` if the device takes no RRPC on custom topics.
    pub fn rrpc(
        &self,
        product_key: &str,
        device_name: &str,
        topic: Option<&str>,
        payload: &[u8],
        timeout: Duration,
    ) -> Result<Vec<u8>, Error> {
        let identity = Identity::new(product_key, device_name);
        let topic = topic.map(str::to_owned);
        let payload = Bytes::copy_from_slice(payload);
        let broker = Arc::clone(&self.broker);
        self.wait(async move {
            let ask = Ask::Rrpc(topic.as_deref());
            broker.call(&identity, ask, payload, Some(timeout)).await
        })
    }

    /// Sets properties of a device, given as JSON, and waits for its answer. Blocks.
    ///
    /// # Errors
    /// `NotConnected`, `Timeout`, or `InvalidArgument` if `params` is not JSON.
    pub fn set_properties(
        &self,
        product_key: &str,
        device_name: &str,
        params: &str,
        timeout: Duration,
    ) -> Result<Vec<u8>, Error> {
        let identity = Identity::new(product_key, device_name);
        let params = Bytes::copy_from_slice(params.as_bytes());
        let broker = Arc::clone(&self.broker);
        self.wait(async move {
            let ask = Ask::Properties;
            broker.call(&identity, ask, params, Some(timeout)).await
        })
    }

    /// Calls a service of a device with `params` as JSON and waits for its answer; `sync` calls by
    /// RRPC. Blocks.
    ///
    /// # Errors
    /// As [`Sim::set_properties`], and `InvalidArgument` if the device takes no RRPC on custom topics.
    pub fn call_service(
        &self,
        product_key: &str,
        device_name: &str,
        service: &str,
        params: &str,
        sync: bool,
    ) -> Result<Vec<u8>, Error> {
        let identity = Identity::new(product_key, device_name);
        let (id, params) = (
            service.to_owned(),
            Bytes::copy_from_slice(params.as_bytes()),
        );
        let broker = Arc::clone(&self.broker);
        self.wait(async move {
            let ask = Ask::Service { id: &id, sync };
            broker.call(&identity, ask, params, None).await
        })
    }

    /// Runs `work` in the simulator's thread and blocks until it is done.
    fn wait(
        &self,
        work: impl Future<Output = Result<Bytes, Error>> + Send + 'static,
    ) -> Result<Vec<u8>, Error> {
        let (sender, receiver) = std::sync::mpsc::channel();
        self.handle.spawn(async move {
            let _ = sender.send(work.await);
        });
        // The simulator outlives this borrow, so the work is always finished.
        let answer = receiver.recv().map_err(|_| Error::Timeout)?;
        answer.map(|answer| answer.to_vec())
    }

    /// Sends a message to every connected device of a product or, with a topic, to those subscribed
    /// to `/broadcast/${productKey}/${topic}`. Returns how many were reached.
    ///
    /// # Errors
    /// `InvalidArgument` if the payload is over 64 KiB or, with rate limits, this is the second in a
    /// minute.
    pub fn broadcast(
        &self,
        product_key: &str,
        topic: Option<&str>,
        payload: &[u8],
    ) -> Result<usize, Error> {
        let payload = Bytes::copy_from_slice(payload);
        self.broker.broadcast(product_key, topic, &payload)
    }

    /// Offers an upgrade to a device. Returns the address of the file.
    ///
    /// # Errors
    /// `NotConnected` if the device is not known, `InvalidArgument` if there is no HTTPS listener.
    pub fn push_ota(
        &self,
        product_key: &str,
        device_name: &str,
        version: &str,
        module: Option<&str>,
        content: &[u8],
    ) -> Result<String, Error> {
        let content = Bytes::copy_from_slice(content);
        let identity = Identity::new(product_key, device_name);
        self.broker.push_ota(&identity, version, module, content)
    }

    /// Sets a product's remote configuration and tells its connected devices. Returns the address of
    /// the file.
    ///
    /// # Errors
    /// `InvalidArgument` if there is no HTTPS listener.
    pub fn push_config(&self, product_key: &str, content: &[u8]) -> Result<String, Error> {
        let content = Bytes::copy_from_slice(content);
        self.broker.push_config(product_key, content)
    }

    /// Changes what is wanted of a device's shadow. Returns the shadow's version.
    ///
    /// # Errors
    /// `NotConnected` if the device is not known, `InvalidArgument` if it is no JSON object or does
    /// not fit.
    pub fn desire_shadow(
        &self,
        product_key: &str,
        device_name: &str,
        desired: &str,
    ) -> Result<i64, Error> {
        let desired = object(desired)?;
        let identity = Identity::new(product_key, device_name);
        self.broker.desire_shadow(&identity, &desired)
    }

    /// Changes the values that are wanted of a device's properties. Returns whether it is connected
    /// and was told.
    ///
    /// # Errors
    /// As [`Sim::desire_shadow`].
    pub fn desire(
        &self,
        product_key: &str,
        device_name: &str,
        wanted: &str,
    ) -> Result<bool, Error> {
        let wanted = object(wanted)?;
        let identity = Identity::new(product_key, device_name);
        self.broker.desire(&identity, &wanted)
    }

    /// Adds a device with a secret of the simulator's own making, or finds the one it has, and
    /// returns the secret.
    pub fn device_with_secret(&self, product_key: &str, device_name: &str) -> String {
        let identity = Identity::new(product_key, device_name);
        let mut state = self.broker.lock();
        let known = state.registry.device(&identity);
        if let Some(secret) = known.and_then(|device| device.secret.as_ref()) {
            return secret.expose().to_owned();
        }
        let secret = state.random.secret();
        let made = secret.clone();
        state.registry.add_device(product_key, device_name, made);
        state.platform.touch();
        secret
    }

    /// What is known of a device beside its identity, as JSON: tags, properties, shadow, versions.
    pub fn twin(&self, product_key: &str, device_name: &str) -> String {
        let state = self.broker.lock();
        let identity = Identity::new(product_key, device_name);
        let twin = state.platform.twins.get(&identity);
        serde_json::to_string(twin.unwrap_or(&Twin::default())).unwrap_or_default()
    }
}

fn object(text: &str) -> Result<Map<String, Value>, Error> {
    serde_json::from_str(text)
        .map_err(|_| Error::InvalidArgument("a JSON object is expected".into()))
}
