//! Whether a CONNECT is let in, and what the connection begins with.

use std::sync::Arc;
use std::time::{Duration, Instant};

use rumqttc::mqttbytes::v4::Connect;

use crate::auth::{self, Accepted, Credentials, Outcome, Refusal, code};
use crate::broker::{Admitted, Arrival, Broker, take_over};
use crate::faults::Phase;
use crate::feed::now_ms;
use crate::limits::{MINUTE, Rate};
use crate::messages;
use crate::outbox::{End, Outbox};
use crate::packet;
use crate::register::{self, Registration};
use crate::session::Link;
use crate::state::State;

impl Broker {
    /// Decides on a CONNECT and queues its CONNACK. A refusal is logged here.
    pub(crate) fn connect(
        &self,
        arrival: &Arrival,
        connect: &Connect,
        outbox: &Arc<Outbox>,
    ) -> Result<Admitted, ()> {
        let mut state = self.lock();
        let answer = self.admit(&mut state, arrival, connect, outbox);
        let answer = answer.map_err(|refusal| {
            state.refused += 1;
            let identity = refusal.identity.as_ref().map(ToString::to_string);
            let whom = state
                .registry
                .quote(identity.as_deref().unwrap_or("a client"));
            let Refusal { code, reason, .. } = refusal;
            let peer = &arrival.peer;
            if code == code::NO_ANSWER {
                let line = format!("closed {whom} from {peer} without CONNACK: {reason}");
                state.journal.add(&line);
                return;
            }
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
        arrival: &Arrival,
        connect: &Connect,
        outbox: &Arc<Outbox>,
    ) -> Result<Admitted, Refusal> {
        if connect.client_id.is_empty() && !connect.clean_session {
            // Source: MQTT 3.1.1, 3.1.3-8.
            let reason = "an empty client id without clean session";
            return Err(Refusal::new(code::IDENTIFIER, reason));
        }
        let login = connect.login.as_ref();
        let given = Credentials {
            client_id: &connect.client_id,
            user_name: login.map_or("", |login| &login.username),
            password: login.map_or("", |login| &login.password),
        };
        let (registry, transport) = (&state.registry, arrival.transport);
        let certificate = arrival.certificate.as_deref();
        let outcome = auth::authenticate(registry, transport, certificate, &given);
        match self.check(state, connect, outcome)? {
            Outcome::Register(registration) => {
                Ok(self.register(state, arrival, &registration, outbox))
            }
            Outcome::Device(accepted) => Ok(self.enter(state, arrival, connect, accepted, outbox)),
        }
    }

    /// What stands above the credentials: faults on request, the number of connects, keep-alive.
    fn check(
        &self,
        state: &mut State,
        connect: &Connect,
        outcome: Result<Outcome, Refusal>,
    ) -> Result<Outcome, Refusal> {
        let (identity, private) = match &outcome {
            Ok(Outcome::Device(accepted)) => (Some(&accepted.identity), accepted.private),
            Ok(Outcome::Register(registration)) => (Some(&registration.identity), false),
            Err(refusal) => (refusal.identity.as_ref(), false),
        };
        let Some(identity) = identity.cloned() else {
            return outcome;
        };
        let refuse = |code, reason: String| {
            let identity = Some(identity.clone());
            Err(Refusal {
                code,
                identity,
                reason,
            })
        };
        let faults = state.faults.get(&identity);
        if let Some(code) = faults.and_then(|faults| faults.refuse) {
            return outcome.and_then(|_| refuse(code, "on request".into()));
        }
        if let Some(faults) = faults.filter(|faults| faults.close_at == Some(Phase::Connect)) {
            let how = faults.how;
            return outcome.and_then(|_| refuse(code::NO_ANSWER, format!("{how:?} on request")));
        }
        let known = !private && state.registry.device(&identity).is_some();
        if known {
            let minute = self.scaled(MINUTE);
            if let Some(reason) = state.limits.connect(&identity, Instant::now(), minute) {
                let besides = match &outcome {
                    Err(refusal) => format!("; besides, {}", refusal.reason),
                    Ok(_) => String::new(),
                };
                return refuse(code::UNAVAILABLE, format!("{reason}{besides}"));
            }
        }
        let registers = matches!(outcome, Ok(Outcome::Register(_)));
        let keep_alive_s = connect.keep_alive;
        if !private && !registers && !auth::KEEP_ALIVE_S.contains(&keep_alive_s) {
            let reason = format!("keep-alive of {keep_alive_s} s: it must be 30 to 1200 s");
            return outcome.and_then(|_| refuse(code::UNAVAILABLE, reason));
        }
        outcome
    }

    /// Gives a registering client what it came for.
    fn register(
        &self,
        state: &mut State,
        arrival: &Arrival,
        registration: &Registration,
        outbox: &Arc<Outbox>,
    ) -> Admitted {
        let _ = outbox.push(packet::conn_ack(false, 0));
        let message = register::carry_out(&mut state.registry, &mut state.random, registration);
        let _ = outbox.push(message);
        state.platform.touch();
        let identity = registration.identity.clone();
        let whom = state.registry.quote(&identity.to_string());
        let line = format!("registered {whom} from {}", arrival.peer);
        state.journal.add(&line);
        Admitted {
            identity,
            link: 0,
            max_silence: None,
            private: false,
            stay: Some(self.scaled(register::STAY)),
        }
    }

    /// Makes a client the connection of its device.
    fn enter(
        &self,
        state: &mut State,
        arrival: &Arrival,
        connect: &Connect,
        accepted: Accepted,
        outbox: &Arc<Outbox>,
    ) -> Admitted {
        let Accepted {
            identity, private, ..
        } = accepted;
        let keep_alive_s = connect.keep_alive;
        state.accepted += 1;
        let link = Link {
            id: state.accepted,
            outbox: Arc::clone(outbox),
            transport: arrival.transport,
            client_id: connect.client_id.clone(),
            keep_alive_s,
            clean_session: connect.clean_session,
            wants_notice: accepted.wants_notice,
            takes_custom_rrpc: accepted.takes_custom_rrpc,
            private,
            rate: Rate::new(Instant::now()),
            since_ms: now_ms(),
        };
        let admitted = Admitted {
            identity: identity.clone(),
            link: link.id,
            max_silence: (keep_alive_s > 0)
                .then(|| self.scaled(Duration::from_secs(keep_alive_s.into()) * 3 / 2)),
            private,
            stay: None,
        };
        take_over(state, &identity, "another connection of the same device");
        let session_present = !connect.clean_session && state.sessions.contains_key(&identity);
        if connect.clean_session {
            state.sessions.remove(&identity);
        }
        let faults = state.faults.get(&identity).cloned().unwrap_or_default();
        outbox.set_faults(&faults);
        let session = state.sessions.entry(identity.clone()).or_default();
        session.link = Some(link);
        let _ = outbox.push(packet::conn_ack(session_present, 0));
        if accepted.by_certificate {
            let _ = outbox.push(auth::identity_notice(&identity));
        }
        let resumed = session.resume();
        if let Some(device) = state.registry.device_mut(&identity)
            && !std::mem::replace(&mut device.activated, true)
        {
            state.platform.touch();
        }
        let line = format!(
            "connected {} over {} from {}: client id {}, keep-alive {keep_alive_s} s, {}",
            state.registry.quote(&identity.to_string()),
            arrival.transport.name(),
            arrival.peer,
            state.registry.quote(&connect.client_id),
            match (connect.clean_session, session_present) {
                (true, _) => "clean session",
                (false, true) => "session resumed",
                (false, false) => "new session",
            }
        );
        state.journal.add(&line);
        let transport = arrival.transport.name();
        state.journal.feed.presence(&identity, true, transport);
        if faults.close_at == Some(Phase::Connack) {
            outbox.end(End::Close);
        }
        if !resumed {
            messages::overflow(state, &identity);
        }
        admitted
    }
}
