//! What happens when a device connects, sends a packet or leaves.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rumqttc::mqttbytes::QoS;
use rumqttc::mqttbytes::v4::{Connect, Packet, Publish};
use tokio::sync::watch;

use crate::auth::{self, Credentials, Refusal, Transport, code};
use crate::messages;
use crate::outbox::{End, Outbox};
use crate::packet;
use crate::registry::Identity;
use crate::session::Link;
use crate::state::State;

/// The notice an older connection gets before it is closed.
///
/// Source: a log of the vendor's Link SDK; the platform's pages do not show it.
const KICK_TOPIC: &str = "/ext/notify";
const KICK_NOTICE: &[u8] = br#"{"title":"kick","content":"Kicked by the same device"}"#;

/// The state and who waits for it to change.
pub(crate) struct Broker {
    state: Mutex<State>,
    pub(crate) changed: Condvar,
    /// Whether connections are to stop reading.
    pub(crate) hold: watch::Sender<bool>,
    pub(crate) check_interval: Duration,
    pub(crate) time_scale: f64,
    pub(crate) connect_timeout: Duration,
}

/// What a connection must know of itself once it was let in.
pub(crate) struct Admitted {
    pub(crate) identity: Identity,
    pub(crate) link: u64,
    /// Longest silence, or `None` if the client may be silent for ever.
    pub(crate) max_silence: Option<Duration>,
    pub(crate) private: bool,
}

impl Broker {
    pub(crate) fn new(
        state: State,
        check_interval: Duration,
        time_scale: f64,
        connect_timeout: Duration,
    ) -> Self {
        Self {
            state: Mutex::new(state),
            changed: Condvar::new(),
            hold: watch::Sender::new(false),
            check_interval,
            time_scale,
            connect_timeout,
        }
    }

    /// The state, which may be changed; call `changed.notify_all` afterwards.
    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a log line.
    pub(crate) fn log(&self, line: &str) {
        self.lock().journal.add(line);
        self.changed.notify_all();
    }

    /// Decides on a CONNECT and queues its CONNACK. A refusal is logged here.
    pub(crate) fn connect(
        &self,
        transport: Transport,
        peer: &str,
        connect: &Connect,
        outbox: &Arc<Outbox>,
    ) -> Result<Admitted, ()> {
        let mut state = self.lock();
        let answer = self.admit(&mut state, transport, peer, connect, outbox);
        let answer = answer.map_err(|refusal| {
            state.refused += 1;
            let identity = refusal.identity.as_ref().map(ToString::to_string);
            let whom = state
                .registry
                .quote(identity.as_deref().unwrap_or("a client"));
            let Refusal { code, reason, .. } = refusal;
            let line = format!("refused {whom} from {peer} with code {code}: {reason}");
            state.journal.add(&line);
            let _ = outbox.push(packet::conn_ack(false, code));
        });
        drop(state);
        self.changed.notify_all();
        answer
    }

    fn admit(
        &self,
        state: &mut State,
        transport: Transport,
        peer: &str,
        connect: &Connect,
        outbox: &Arc<Outbox>,
    ) -> Result<Admitted, Refusal> {
        let login = connect.login.as_ref();
        let given = Credentials {
            client_id: &connect.client_id,
            user_name: login.map_or("", |login| &login.username),
            password: login.map_or("", |login| &login.password),
        };
        let accepted = auth::authenticate(&state.registry, transport, &given)?;
        let identity = accepted.identity;
        let refuse = |code, reason: String| {
            let identity = Some(identity.clone());
            Err(Refusal {
                code,
                identity,
                reason,
            })
        };
        if let Some(code) = state.faults.get(&identity).and_then(|faults| faults.refuse) {
            return refuse(code, "on request".into());
        }
        let keep_alive_s = connect.keep_alive;
        if !accepted.private && !auth::KEEP_ALIVE_S.contains(&keep_alive_s) {
            let reason = format!("keep-alive of {keep_alive_s} s: it must be 30 to 1200 s");
            return refuse(code::UNAVAILABLE, reason);
        }
        state.accepted += 1;
        let link = Link {
            id: state.accepted,
            outbox: Arc::clone(outbox),
            transport,
            client_id: connect.client_id.clone(),
            keep_alive_s,
            clean_session: connect.clean_session,
            wants_notice: accepted.wants_notice,
            private: accepted.private,
        };
        let admitted = Admitted {
            identity: identity.clone(),
            link: link.id,
            max_silence: (keep_alive_s > 0)
                .then(|| self.scaled(Duration::from_secs(keep_alive_s.into()) * 3 / 2)),
            private: accepted.private,
        };
        take_over(state, &identity, "another connection of the same device");
        let session_present = !connect.clean_session && state.sessions.contains_key(&identity);
        if connect.clean_session {
            state.sessions.remove(&identity);
        }
        let session = state.sessions.entry(identity.clone()).or_default();
        session.link = Some(link);
        let _ = outbox.push(packet::conn_ack(session_present, 0));
        let resumed = session.resume();
        let line = format!(
            "connected {} over {} from {peer}: client id {}, keep-alive {keep_alive_s} s, {}",
            state.registry.quote(&identity.to_string()),
            transport.name(),
            state.registry.quote(&connect.client_id),
            match (connect.clean_session, session_present) {
                (true, _) => "clean session",
                (false, true) => "session resumed",
                (false, false) => "new session",
            }
        );
        state.journal.add(&line);
        if !resumed {
            messages::overflow(state, &identity);
        }
        Ok(admitted)
    }

    /// Logs that a client speaks another version of the protocol.
    pub(crate) fn refuse_version(&self, peer: &str, reason: &str) {
        let mut state = self.lock();
        state.refused += 1;
        let code = code::PROTOCOL;
        let line = format!("refused a client from {peer} with code {code}: {reason}");
        state.journal.add(&line);
        drop(state);
        self.changed.notify_all();
    }

    /// A duration on the simulator's clock.
    pub(crate) fn scaled(&self, duration: Duration) -> Duration {
        duration.mul_f64(self.time_scale)
    }

    /// Forgets a connection that has ended.
    pub(crate) fn disconnect(&self, admitted: &Admitted, reason: &str) {
        let mut state = self.lock();
        let identity = &admitted.identity;
        let quoted = state.registry.quote(&identity.to_string());
        state
            .journal
            .add(&format!("disconnected {quoted}: {reason}"));
        if let Some(session) = state.sessions.get_mut(identity) {
            let own = session.link.take_if(|link| link.id == admitted.link);
            if own.is_some_and(|link| link.clean_session) {
                state.sessions.remove(identity);
            }
        }
        drop(state);
        self.changed.notify_all();
    }

    /// Handles a packet of a client that was let in. `Err` is the reason to close the connection.
    pub(crate) fn handle(
        &self,
        admitted: &Admitted,
        outbox: &Outbox,
        packet: Packet,
    ) -> Result<(), String> {
        let mut guard = self.lock();
        let state = &mut *guard;
        let session = state.sessions.get(&admitted.identity);
        let link = session.and_then(|session| session.link.as_ref());
        if link.is_none_or(|link| link.id != admitted.link) {
            // What a closed connection still had under way must not change its successor's state.
            return Err("another connection took its place".into());
        }
        let answer = match packet {
            Packet::Publish(publish) => messages::publish(state, admitted, publish),
            Packet::Subscribe(subscribe) => {
                Ok(Some(messages::subscribe(state, admitted, &subscribe)))
            }
            Packet::Unsubscribe(packet) => {
                Ok(Some(messages::unsubscribe(state, admitted, &packet)))
            }
            Packet::PubAck(ack) => {
                messages::acknowledge(state, &admitted.identity, ack.pkid);
                Ok(None)
            }
            Packet::PingReq => Ok(Some(packet::encode(&Packet::PingResp))),
            Packet::Disconnect => Err("the device sent DISCONNECT".into()),
            Packet::Connect(_) => Err("the device sent a second CONNECT".into()),
            _ => Err("the device sent a packet that only a server sends".into()),
        };
        drop(guard);
        self.changed.notify_all();
        let sent = answer?.is_none_or(|reply| outbox.push(reply));
        sent.then_some(())
            .ok_or_else(|| "the device does not read what it is sent".into())
    }
}

/// Closes the connection a device has, with the platform's notice if the device asked for that.
/// Returns whether there was one.
pub(crate) fn take_over(state: &mut State, identity: &Identity, by: &str) -> bool {
    let Some(session) = state.sessions.get_mut(identity) else {
        return false;
    };
    let Some(link) = session.link.take() else {
        return false;
    };
    if link.wants_notice {
        let notice = Publish::new(KICK_TOPIC, QoS::AtMostOnce, KICK_NOTICE);
        let _ = link.outbox.push(packet::encode(&Packet::Publish(notice)));
    }
    link.outbox.end(End::Close);
    if link.clean_session {
        state.sessions.remove(identity);
    }
    let quoted = state.registry.quote(&identity.to_string());
    state.journal.add(&format!("kicked {quoted}: {by}"));
    true
}

#[cfg(test)]
mod tests {
    use rumqttc::mqttbytes::v4::{Login, Subscribe};

    use super::*;
    use crate::journal::Journal;
    use crate::options::LogOutput;
    use crate::registry::{Registry, Verbatim};

    #[test]
    fn what_an_older_connection_had_under_way_does_not_touch_the_newer_one() {
        let mut registry = Registry::default();
        registry.verbatim.push(Verbatim {
            client_id: "id".into(),
            user_name: "user".into(),
            password: "password".into(),
            identity: Identity::new("pk", "dn"),
        });
        let journal = Journal::new(LogOutput::None, 10).unwrap();
        let state = State::new(registry, journal, 10);
        let broker = Broker::new(state, Duration::ZERO, 1.0, Duration::ZERO);
        let mut connect = Connect::new("id");
        connect.login = Some(Login::new("user", "password"));
        let (older, newer) = (Arc::new(Outbox::new()), Arc::new(Outbox::new()));
        let enter = |outbox| broker.connect(Transport::Tcp, "peer", &connect, outbox);
        let first = enter(&older).unwrap();
        let second = enter(&newer).unwrap();
        let subscribe = Packet::Subscribe(Subscribe::new("/a", QoS::AtMostOnce));
        assert!(broker.handle(&first, &older, subscribe.clone()).is_err());
        broker.disconnect(&first, "closed");
        assert_eq!(broker.handle(&second, &newer, subscribe), Ok(()));
        let state = broker.lock();
        let session = &state.sessions[&second.identity];
        assert!(session.link.is_some() && session.subscriptions == ["/a"]);
    }
}
