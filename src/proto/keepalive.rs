//! When to ping, and when the peer is dead. Pure arithmetic on times that are passed in.

use std::time::Duration;

use super::config::Config;

/// The longest silence of the peer while something is owed, before a ping asks whether it lives.
const PROBE_INTERVAL: Duration = Duration::from_secs(60);

/// How long the socket may refuse every byte before the link counts as dead.
const WRITE_STALL: Duration = Duration::from_secs(30);

/// What [`KeepAlive::handle_timeout`] asks for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Verdict {
    /// Nothing is due.
    Alive,
    /// Send a PINGREQ.
    Ping,
    /// The link is dead, for this reason.
    Dead(Silence),
}

/// What did not happen in time.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Silence {
    /// No PINGRESP.
    PingResp,
    /// No acknowledgement of anything owed.
    Acknowledgement,
    /// No byte was taken by the socket.
    Write,
}

/// One connection's silence in both directions.
#[derive(Clone, Copy, Debug)]
pub struct KeepAlive {
    /// `None`: keep-alive is off (private platforms only).
    ping_after: Option<Duration>,
    ping_timeout: Duration,
    ack_timeout: Duration,
    /// A whole packet was last given to the socket.
    last_sent: Duration,
    last_received: Duration,
    /// The socket last took a byte.
    last_progress: Duration,
    /// It last took one that it had refused before, of more than a repeated ping.
    last_payload: Duration,
    /// The last acknowledgement, or the moment from which one has been owed.
    owed_since: Option<Duration>,
    write_waits: bool,
    ping: Ping,
    /// A further PINGREQ is on its way to the socket while the answer to the first is owed.
    repeats: bool,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Ping {
    None,
    /// Asked for.
    Queued,
    /// Among the bytes that the socket is being given.
    Leaving,
    /// Taken by the socket at this time.
    Sent(Duration),
}

/// `due`, or up to a thirty-second part of `interval` earlier: at the same moment as other idle
/// connections of the process, so that ten thousand of them wake it once and not ten thousand times.
fn together(due: Duration, interval: Duration) -> Duration {
    let step = (interval / 32).as_nanos();
    match due.as_nanos().checked_rem(step) {
        Some(beyond) => due - Duration::from_nanos(u64::try_from(beyond).unwrap_or_default()),
        None => due,
    }
}

impl KeepAlive {
    /// A connection that was accepted at `now`.
    pub fn new(config: &Config, now: Duration) -> Self {
        // Three quarters: room for a slow link below the interval that the platform watches.
        Self {
            ping_after: config.keep_alive().map(|keep_alive| keep_alive / 4 * 3),
            ping_timeout: config.ping_timeout(),
            ack_timeout: config.ack_timeout(),
            last_sent: now,
            last_received: now,
            last_progress: now,
            last_payload: now,
            owed_since: None,
            write_waits: false,
            ping: Ping::None,
            repeats: false,
        }
    }

    /// The PINGREQ that was asked for is among the bytes that the socket gets next.
    pub fn handle_ping_leaving(&mut self) {
        if self.ping == Ping::Queued {
            self.ping = Ping::Leaving;
        }
    }

    /// The socket took some bytes; `all` says that these were the last it had been given.
    pub fn handle_written(&mut self, all: bool, now: Duration) {
        // What the system takes at once says nothing of the peer. If it has refused bytes, the peer must
        // have taken some since.
        let was_refused = self.write_waits && self.last_progress < now;
        if all && was_refused {
            // The link was too slow to take this at once: what is owed for it, or for what went
            // before it, is owed from now on.
            self.owed_since = self.owed_since.map(|_| now);
        }
        if was_refused && !(all && self.repeats) {
            self.last_payload = now;
        }
        self.last_progress = now;
        self.write_waits = !all;
        if all {
            self.last_sent = now;
            self.repeats = false;
            if self.ping == Ping::Leaving {
                self.ping = Ping::Sent(now);
            }
        }
    }

    /// Whether a PINGREQ is to leave now, asked for by the application. None, while the answer to
    /// another one is awaited.
    pub fn ask_now(&mut self) -> bool {
        let asks = self.ping == Ping::None;
        if asks {
            self.ping = Ping::Queued;
        }
        asks
    }

    /// Bytes wait for the socket from `now` on.
    pub fn handle_write_waits(&mut self, now: Duration) {
        if !self.write_waits {
            self.write_waits = true;
            self.last_progress = now;
        }
    }

    /// Bytes arrived.
    pub fn handle_received(&mut self, now: Duration) {
        self.last_received = now;
    }

    /// Nothing is read at present, because the application takes its time: what is owed may be there.
    /// Nor need the peer take anything, as long as it cannot get rid of what it sends.
    pub fn handle_reading_waits(&mut self, now: Duration) {
        self.last_received = now;
        self.last_progress = now;
        self.owed_since = self.owed_since.map(|_| now);
    }

    /// A PINGRESP arrived. Returns the round trip, if a ping was out.
    pub fn handle_pingresp(&mut self, now: Duration) -> Option<Duration> {
        let sent = match self.ping {
            Ping::Sent(at) => Some(now.saturating_sub(at)),
            _ => None,
        };
        self.ping = Ping::None;
        sent
    }

    /// Whether acknowledgements are owed; `progress` says that one has just arrived.
    pub fn set_owed(&mut self, owed: bool, progress: bool, now: Duration) {
        match (owed, self.owed_since) {
            (false, _) => self.owed_since = None,
            (true, None) => self.owed_since = Some(now),
            (true, Some(_)) if progress => self.owed_since = Some(now),
            (true, Some(_)) => {}
        }
    }

    /// When [`KeepAlive::handle_timeout`] wants to be called.
    pub fn poll_timeout(&self) -> Option<Duration> {
        let deadlines = [
            self.ping_due(),
            self.pingresp_due(),
            self.ack_due(),
            self.write_due(),
        ];
        deadlines.into_iter().flatten().min()
    }

    /// What is due at `now`.
    pub fn handle_timeout(&mut self, now: Duration) -> Verdict {
        let due = |deadline: Option<Duration>| deadline.is_some_and(|deadline| deadline <= now);
        if due(self.pingresp_due()) {
            return Verdict::Dead(Silence::PingResp);
        }
        if due(self.ack_due()) {
            return Verdict::Dead(Silence::Acknowledgement);
        }
        if due(self.write_due()) {
            return Verdict::Dead(Silence::Write);
        }
        if due(self.ping_due()) {
            match self.ping {
                Ping::None => self.ping = Ping::Queued,
                // The deadline stays that of the first.
                _ => self.repeats = true,
            }
            return Verdict::Ping;
        }
        Verdict::Alive
    }

    fn ping_due(&self) -> Option<Duration> {
        let ping_after = self.ping_after?;
        match self.ping {
            _ if self.repeats => return None,
            Ping::None => {}
            // MQTT-3.1.2-23 holds while an answer is owed as well.
            Ping::Sent(_) => return Some(self.last_sent + ping_after),
            Ping::Queued | Ping::Leaving => return None,
        }
        let silent = together(
            self.last_sent.min(self.last_received) + ping_after,
            ping_after,
        );
        let probe = self
            .owed_since
            .map(|since| since.max(self.last_received) + ping_after.min(PROBE_INTERVAL));
        Some(probe.map_or(silent, |probe| probe.min(silent)))
    }

    /// A slow link is not a dead one: each byte that the peer takes or sends extends the deadline.
    fn pingresp_due(&self) -> Option<Duration> {
        match self.ping {
            Ping::Sent(at) => {
                Some(at.max(self.last_payload).max(self.last_received) + self.ping_timeout)
            }
            _ => None,
        }
    }

    /// While the socket still takes bytes, the acknowledgement may be behind them.
    fn ack_due(&self) -> Option<Duration> {
        let since = self.owed_since?;
        let progress = if self.write_waits {
            self.last_progress
        } else {
            since
        };
        Some(since.max(progress) + self.ack_timeout)
    }

    fn write_due(&self) -> Option<Duration> {
        self.write_waits.then(|| self.last_progress + WRITE_STALL)
    }
}

#[cfg(test)]
mod tests;
#[cfg(test)]
mod tests_slow;
