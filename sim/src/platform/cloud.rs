//! What an application does to devices of the platform beside calling them.

use std::time::Instant;

use bytes::Bytes;
use serde_json::{Map, Value, json};

use super::send;
use super::twin::Desired;
use crate::broker::{Broker, take_over};
use crate::error::Error;
use crate::limits::MINUTE;
use crate::messages;
use crate::outbox::End;
use crate::registry::Identity;
use crate::session::Message;
use crate::topics;

/// Largest broadcast. Source: platform page "Limits", broadcast.
const MAX_BROADCAST: usize = 64 * 1024;

impl Broker {
    /// Sends a message to every connected device of a product or, with a topic, to those that
    /// subscribed to `/broadcast/${productKey}/${topic}`. Returns how many were reached.
    pub(crate) fn broadcast(
        &self,
        product_key: &str,
        topic: Option<&str>,
        payload: &Bytes,
    ) -> Result<usize, Error> {
        if payload.len() > MAX_BROADCAST {
            let reason = "a broadcast has 65536 bytes at most";
            return Err(Error::InvalidArgument(reason.into()));
        }
        let minute = self.scaled(MINUTE);
        let mut guard = self.lock();
        let state = &mut *guard;
        if !state.limits.broadcast(product_key, Instant::now(), minute) {
            let reason = "a product broadcasts once a minute at most";
            return Err(Error::InvalidArgument(reason.into()));
        }
        let id = state.platform.id();
        let custom = topic.map(|topic| {
            let prefix = format!("/broadcast/{product_key}/");
            let topic = topic.strip_prefix(&prefix).unwrap_or(topic);
            format!("{prefix}{}", topic.trim_start_matches('/'))
        });
        if custom
            .as_ref()
            .is_some_and(|topic| !topics::is_topic(topic))
        {
            return Err(Error::InvalidArgument("a topic has no wildcard".into()));
        }
        let sessions = state.sessions.iter().filter(|(identity, session)| {
            let subscribed = |topic: &String| session.is_subscribed(topic);
            identity.product_key == product_key
                && session.link.is_some()
                && custom.as_ref().is_none_or(subscribed)
        });
        let reached: Vec<Identity> = sessions.map(|(identity, _)| identity.clone()).collect();
        for identity in &reached {
            let name = &identity.device_name;
            let system = || format!("/sys/{product_key}/{name}/broadcast/request/{id}");
            let topic = custom.clone().unwrap_or_else(system);
            send(state, identity, &topic, payload.clone());
        }
        let key = state.registry.quote(product_key);
        let line = format!("broadcast to {} devices of {key}", reached.len());
        state.journal.add(&line);
        drop(guard);
        self.changed.notify_all();
        Ok(reached.len())
    }

    /// Changes what is wanted of a device's shadow, and tells the device if it is connected.
    pub(crate) fn desire_shadow(
        &self,
        identity: &Identity,
        desired: &Map<String, Value>,
    ) -> Result<i64, Error> {
        let mut guard = self.lock();
        let state = &mut *guard;
        if state.registry.device(identity).is_none() {
            return Err(Error::NotConnected(identity.to_string()));
        }
        let shadow = &mut state.platform.twin(identity).shadow;
        let message = shadow.desire(desired).map_err(Error::InvalidArgument)?;
        let version = shadow.version;
        state.platform.touch();
        let Identity {
            product_key,
            device_name,
        } = identity;
        let topic = format!("/shadow/get/{product_key}/{device_name}");
        send(state, identity, &topic, message.to_string().into());
        drop(guard);
        self.changed.notify_all();
        Ok(version)
    }

    /// Changes the values that are wanted of a device's properties, and sets them if it is
    /// connected. Returns whether it is.
    pub(crate) fn desire(
        &self,
        identity: &Identity,
        wanted: &Map<String, Value>,
    ) -> Result<bool, Error> {
        let mut guard = self.lock();
        let state = &mut *guard;
        if state.registry.device(identity).is_none() {
            return Err(Error::NotConnected(identity.to_string()));
        }
        let desired = &mut state.platform.twin(identity).desired;
        if desired.len() + wanted.len() > super::twin::MAX_PROPERTIES {
            return Err(Error::InvalidArgument("over 200 wanted values".into()));
        }
        for (name, value) in wanted {
            let version = desired.get(name).map_or(0, |known| known.version) + 1;
            let value = value.clone();
            desired.insert(name.clone(), Desired { value, version });
        }
        state.platform.touch();
        let id = state.platform.id();
        let session = state.sessions.get(identity);
        let connected = session.is_some_and(|session| session.link.is_some());
        let question = json!({
            "id": id.to_string(),
            "version": "1.0",
            "params": wanted,
            "method": "thing.service.property.set",
        });
        let Identity {
            product_key,
            device_name,
        } = identity;
        let message = Message {
            topic: format!("/sys/{product_key}/{device_name}/thing/service/property/set"),
            payload: question.to_string().into(),
            qos: rumqttc::mqttbytes::QoS::AtMostOnce,
        };
        messages::deliver(state, identity, message);
        drop(guard);
        self.changed.notify_all();
        Ok(connected)
    }

    /// Disables a device, which closes its connection, or enables it.
    pub(crate) fn set_disabled(&self, identity: &Identity, on: bool) -> Result<(), Error> {
        let absent = || Error::NotConnected(identity.to_string());
        let mut guard = self.lock();
        let state = &mut *guard;
        state
            .registry
            .device_mut(identity)
            .ok_or_else(absent)?
            .disabled = on;
        state.platform.touch();
        let verb = if on { "disabled" } else { "enabled" };
        let whom = state.registry.quote(&identity.to_string());
        state.journal.add(&format!("{verb} {whom}"));
        let session = state.sessions.get(identity);
        if let (true, Some(link)) = (on, session.and_then(|session| session.link.as_ref())) {
            link.outbox.end(End::Close);
        }
        drop(guard);
        self.changed.notify_all();
        Ok(())
    }

    /// Takes a device back to the time before it was first connected: it may register again.
    pub(crate) fn reset_device(&self, identity: &Identity) -> Result<(), Error> {
        let absent = || Error::NotConnected(identity.to_string());
        let mut guard = self.lock();
        let state = &mut *guard;
        let device = state.registry.device_mut(identity).ok_or_else(absent)?;
        device.activated = false;
        device.token = None;
        device.more_tokens.clear();
        state.platform.touch();
        take_over(state, identity, "the device was reset");
        drop(guard);
        self.changed.notify_all();
        Ok(())
    }
}
