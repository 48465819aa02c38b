//! Many threads, a real broker, and a network that breaks again and again.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use aliot::{
    Client, Completion, CompletionHandler, Config, Counter, Endpoint, ErrorKind, Identity, Message,
    MessageHandler, Qos, Token,
};

use crate::alone::{Usage, run_alone};
use crate::proxy::{Draw, Ending, Plan, Proxy, Toxics};
use crate::support::device::private;
use crate::support::mosquitto::Mosquitto;
use crate::support::{PATIENCE, eventually};

const THREADS: usize = 16;
const EACH: usize = 20_000 / THREADS;

/// How long the whole of a long run publishes; `None` in the gate.
pub(crate) fn soak() -> Option<Duration> {
    let seconds = std::env::var("ALIOT_SOAK_SECONDS").ok()?;
    Some(Duration::from_secs(
        seconds.parse().expect("ALIOT_SOAK_SECONDS is a number"),
    ))
}

/// A configuration toward `port` of this machine that finds a dead link within about a second.
pub(crate) fn quick(name: &str, port: u16) -> Config {
    let identity = Identity::verbatim(name, "user", "password").unwrap();
    let mut endpoint = Endpoint::host("127.0.0.1", port).unwrap();
    endpoint.set_dangerous_plaintext();
    endpoint
        .set_connect_timeout(Duration::from_secs(2))
        .unwrap();
    let mut config = Config::new(&identity, &endpoint).unwrap();
    private(&mut config);
    config.set_keep_alive_s(1).unwrap();
    config.set_ping_timeout(Duration::from_millis(500)).unwrap();
    config.set_ack_timeout(Duration::from_secs(1)).unwrap();
    config
}

/// What arrived, by publishing thread.
#[derive(Default)]
pub(crate) struct Seen {
    /// How often each message came.
    times: Vec<Vec<u32>>,
    /// First deliveries that came after one with a higher number.
    disorder: Vec<(usize, usize)>,
}

impl Seen {
    pub(crate) fn shared() -> Arc<Mutex<Self>> {
        Arc::new(Mutex::new(Self {
            times: vec![Vec::new(); THREADS],
            ..Self::default()
        }))
    }

    /// How many messages of the thread have come, from this number on.
    pub(crate) fn arrived(&self, thread: usize, from: usize) -> usize {
        let times = self.times[thread].iter().skip(from);
        times.filter(|times| **times > 0).count()
    }

    fn add(&mut self, thread: usize, n: usize) {
        let times = &mut self.times[thread];
        if times.len() <= n {
            times.resize(n + 1, 0);
            // Whatever was skipped comes too late now.
        } else if times[n] == 0 {
            self.disorder.push((thread, n));
        }
        times[n] += 1;
    }

    fn distinct(&self) -> usize {
        let all = self.times.iter().flatten();
        all.filter(|times| **times > 0).count()
    }

    fn total(&self) -> usize {
        self.times
            .iter()
            .flatten()
            .map(|times| *times as usize)
            .sum()
    }
}

/// A client straight at the broker that collects everything under `chaos/`.
pub(crate) fn collector(broker: &Mosquitto, seen: &Arc<Mutex<Seen>>) -> Client {
    let mut config = quick("collector", broker.tcp.port());
    config.set_keep_alive_s(60).unwrap();
    config.set_ack_timeout(Duration::from_secs(60)).unwrap();
    // The broker sends as fast as it can: what waits for its callback must fit.
    config.set_inbox_limit(1_000_000, 256 << 20).unwrap();
    let client = Client::new(&config).unwrap();
    let seen = Arc::clone(seen);
    client
        .subscribe("chaos/#", Qos::AtLeastOnce, move || -> MessageHandler {
            Box::new(move |message: &Message<'_>| {
                let thread = message.topic.rsplit('/').next().unwrap().parse().unwrap();
                let n = std::str::from_utf8(message.payload).unwrap();
                seen.lock().unwrap().add(thread, n.parse().unwrap());
            })
        })
        .unwrap();
    client.start().unwrap();
    client.wait_flushed(PATIENCE).unwrap();
    client
}

/// Publishes until the outbox has taken it.
fn publish(client: &Client, thread: usize, n: usize) -> Token {
    let topic = format!("chaos/{thread}");
    loop {
        match client.publish(&topic, n.to_string().as_bytes(), Qos::AtLeastOnce, true) {
            Ok(token) => return token.expect("a token for QoS 1"),
            Err(error) => assert_eq!(error.kind(), ErrorKind::OutboxFull, "{error}"),
        }
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// One run: `EACH` messages of each thread, or as many as fit into `time`.
fn run(name: &str, clean: bool, seed: u64, time: Option<Duration>) {
    let broker = Mosquitto::start(name);
    let mut draw = Draw::new(seed);
    let proxy = Proxy::start(broker.tcp, move |_| {
        let after = Duration::from_millis(50 + draw.below(450));
        let how = draw.one_of(&[
            Ending::Fin,
            Ending::Reset,
            Ending::Silence,
            Ending::HalfFrame,
        ]);
        let latency = Toxics {
            latency: Duration::from_millis(5),
            ..Toxics::default()
        };
        Plan {
            up: latency.clone(),
            down: latency,
            cut: Some((after, how)),
        }
    });
    let seen = Seen::shared();
    let collector = collector(&broker, &seen);

    let mut config = quick("chaos", proxy.address().port());
    config.set_clean_session(clean);
    let client = Client::new(&config).unwrap();
    let ends: Arc<Mutex<HashMap<Token, usize>>> = Arc::default();
    let failures: Arc<Mutex<Vec<Completion>>> = Arc::default();
    let (counted, failed) = (Arc::clone(&ends), Arc::clone(&failures));
    client
        .set_completion_handler(Some(move || -> CompletionHandler {
            Box::new(move |completion| {
                *counted.lock().unwrap().entry(completion.token).or_default() += 1;
                if completion.result.is_err() {
                    failed.lock().unwrap().push(completion.clone());
                }
            })
        }))
        .unwrap();
    client.start().unwrap();

    let started = Instant::now();
    let published = AtomicUsize::new(0);
    let tokens: Vec<Token> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS)
            .map(|thread| {
                let (client, published) = (&client, &published);
                scope.spawn(move || {
                    let more = |n: usize| time.map_or(n < EACH, |time| started.elapsed() < time);
                    let mut tokens = Vec::new();
                    while more(tokens.len()) {
                        tokens.push(publish(client, thread, tokens.len()));
                        published.fetch_add(1, Ordering::Relaxed);
                    }
                    tokens
                })
            })
            .collect();
        let tokens = threads
            .into_iter()
            .flat_map(|thread| thread.join().unwrap());
        tokens.collect()
    });
    // The network goes on breaking while the rest leaves.
    client.wait_flushed(Duration::from_secs(60)).unwrap();
    let took = started.elapsed();
    let count = published.into_inner();
    eventually("everything has arrived", || {
        seen.lock().unwrap().distinct() == count
    });
    client.destroy();

    let ends = ends.lock().unwrap();
    assert_eq!(*failures.lock().unwrap(), [], "no operation fails");
    assert_eq!(ends.len(), count, "as many tokens as messages");
    for token in tokens {
        assert_eq!(ends.get(&token), Some(&1), "{token:?} completes once");
    }
    let seen = seen.lock().unwrap();
    assert_eq!(
        seen.disorder,
        [],
        "first deliveries keep each thread's order"
    );
    let connects = client.counter(Counter::Connects);
    eprintln!(
        "measured: chaos, clean {clean}: {count} messages, {} delivered, {connects} connections of {} \
         attempts, {took:.1?}",
        seen.total(),
        proxy.accepted(),
    );
    assert!(
        connects >= 5,
        "the network hardly broke: {connects} connections"
    );
    drop(collector);
}

/// In a process of its own, so that what it leaves behind can be counted.
fn chaos(test: &str, clean: bool, seed: u64) {
    run_alone(&format!("chaos::{test}"), "chaos", || {
        let before = Usage::now();
        // Half of a long run for each kind of session.
        run(test, clean, seed, soak().map(|time| time / 2));
        before.wait_for_return();
        let after = Usage::now();
        eprintln!("measured: {before:?}, afterwards {after:?}");
    });
}

#[test]
fn a_network_that_keeps_breaking_loses_nothing_without_a_session() {
    chaos(
        "a_network_that_keeps_breaking_loses_nothing_without_a_session",
        true,
        1,
    );
}

#[test]
fn a_network_that_keeps_breaking_loses_nothing_with_a_session() {
    chaos(
        "a_network_that_keeps_breaking_loses_nothing_with_a_session",
        false,
        2,
    );
}
