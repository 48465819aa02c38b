//! The devices, what they say to each other, and the account of it.

use std::collections::VecDeque;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU32, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use aliot::{
    Client, CompletionHandler, Config, Counter, Endpoint, ErrorKind, EventHandler, EventKind,
    Identity, Message, MessageHandler, Qos, State, Token,
};

use crate::broker::Broker;
use crate::network::{GATES, Network};

/// Each device says something so often; each second one is told something as often.
const PERIOD: Duration = Duration::from_secs(5);
const MINUTE: Duration = Duration::from_secs(60);

/// How often each message of each device has arrived. Touched when it is made, so that it does not
/// grow while memory is measured.
struct Arrivals {
    times: Vec<AtomicU8>,
    each: usize,
}

impl Arrivals {
    fn new(devices: usize, each: usize) -> Self {
        let times = (0..devices * each)
            .map(|_| AtomicU8::new(1))
            .collect::<Vec<_>>();
        times.iter().for_each(|times| times.store(0, Relaxed));
        Self { times, each }
    }

    fn add(&self, device: usize, payload: &[u8]) {
        let number = std::str::from_utf8(payload).unwrap().trim_end();
        let n: usize = number.parse().unwrap();
        self.times[device * self.each + n].fetch_add(1, Relaxed);
    }

    /// Of those that were accepted: how many arrived, and how many copies too many.
    fn count(&self, accepted: &[AtomicU32]) -> (u64, u64) {
        let (mut arrived, mut again) = (0, 0);
        for (device, accepted) in accepted.iter().enumerate() {
            let from = device * self.each;
            let times = &self.times[from..from + accepted.load(Relaxed) as usize];
            for times in times.iter().map(|times| u64::from(times.load(Relaxed))) {
                arrived += times.min(1);
                again += times.saturating_sub(1);
            }
        }
        (arrived, again)
    }
}

/// One direction: what was accepted for each device, and what arrived.
struct Ledger {
    accepted: Vec<AtomicU32>,
    arrivals: Arrivals,
}

impl Ledger {
    fn new(devices: usize, each: usize) -> Arc<Self> {
        Arc::new(Self {
            accepted: (0..devices).map(|_| AtomicU32::new(0)).collect(),
            arrivals: Arrivals::new(devices, each),
        })
    }

    /// The token, if it was accepted.
    fn publish(
        &self,
        client: &Client,
        device: usize,
        topic: &str,
        totals: &Totals,
    ) -> Option<Token> {
        let accepted = &self.accepted[device];
        let n = accepted.load(Relaxed);
        if n as usize == self.arrivals.each {
            return None;
        }
        // A hundred bytes, as a reading of a sensor.
        let payload = format!("{n:<100}");
        match client.publish(topic, payload.as_bytes(), Qos::AtLeastOnce, true) {
            Ok(token) => {
                accepted.store(n + 1, Relaxed);
                Some(token.unwrap())
            }
            Err(error) if error.kind() == ErrorKind::OutboxFull => {
                totals.refused.fetch_add(1, Relaxed);
                None
            }
            Err(error) => panic!("publish: {error}"),
        }
    }

    fn accepted(&self) -> u64 {
        self.accepted
            .iter()
            .map(|it| u64::from(it.load(Relaxed)))
            .sum()
    }
}

/// How often each operation of one device was accepted, which is once at most, and how often it
/// completed; by the number of its token. Touched when it is made, as [`Arrivals`].
struct Operations {
    accepted: Vec<AtomicU8>,
    completed: Vec<AtomicU8>,
}

impl Operations {
    fn new(each: usize) -> Arc<Self> {
        // A token that nobody has asked for has room as well.
        let zeros = || {
            let counts: Vec<_> = (0..2 * each + 16).map(|_| AtomicU8::new(1)).collect();
            counts.iter().for_each(|count| count.store(0, Relaxed));
            counts
        };
        Arc::new(Self {
            accepted: zeros(),
            completed: zeros(),
        })
    }

    fn add(counts: &[AtomicU8], token: Token) {
        let n = usize::try_from(token.get()).unwrap();
        counts[n].fetch_add(1, Relaxed);
    }

    /// Those that did not complete, and completions that are too many.
    fn odd(&self) -> (u64, u64) {
        let both = self.accepted.iter().zip(&self.completed);
        let both = both.map(|(a, c)| (u64::from(a.load(Relaxed)), u64::from(c.load(Relaxed))));
        both.fold((0, 0), |(missing, surplus), (accepted, completed)| {
            (
                missing + accepted.saturating_sub(completed),
                surplus + completed.saturating_sub(accepted),
            )
        })
    }
}

#[derive(Default)]
struct Totals {
    completed: AtomicU64,
    failed: AtomicU64,
    refused: AtomicU64,
    /// The most attempts of one device within a minute.
    busiest_minute: AtomicU64,
}

/// The moments of one device's attempts within the last minute.
fn watch_attempts(totals: Arc<Totals>) -> EventHandler {
    let mut attempts: VecDeque<Instant> = VecDeque::with_capacity(8);
    Box::new(move |event| {
        if event.kind == EventKind::Connecting {
            let now = Instant::now();
            attempts.push_back(now);
            while attempts.front().is_some_and(|first| now - *first >= MINUTE) {
                attempts.pop_front();
            }
            totals
                .busiest_minute
                .fetch_max(attempts.len() as u64, Relaxed);
        }
    })
}

fn count_completions(totals: Arc<Totals>, operations: Arc<Operations>) -> CompletionHandler {
    Box::new(move |completion| {
        Operations::add(&operations.completed, completion.token);
        totals.completed.fetch_add(1, Relaxed);
        if completion.result.is_err() {
            totals.failed.fetch_add(1, Relaxed);
        }
    })
}

/// What the process looked like at one moment.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sample {
    pub(crate) seconds: f64,
    pub(crate) rss_kib: usize,
    pub(crate) descriptors: usize,
    pub(crate) threads: usize,
    pub(crate) connected: usize,
    /// Accepted from the devices and not acknowledged yet.
    pub(crate) owed: u64,
    pub(crate) attempts: u64,
    pub(crate) cpu: Duration,
}

pub(crate) struct Report {
    pub(crate) text: String,
    pub(crate) failures: Vec<String>,
}

/// See the module.
pub(crate) struct Fleet {
    devices: Vec<Client>,
    topics: Vec<(String, String)>,
    /// Straight at the broker: takes what the devices say, and tells them things.
    centre: Client,
    /// From the devices to the centre, and back.
    ledgers: [Arc<Ledger>; 2],
    totals: Arc<Totals>,
    operations: Vec<Arc<Operations>>,
    /// Subscriptions complete as well.
    subscriptions: u64,
    said: AtomicU64,
}

impl Fleet {
    pub(crate) fn new(
        devices: usize,
        time: Duration,
        broker: &Broker,
        network: &Network,
        ca_file: &Path,
    ) -> Self {
        let each = (time.as_secs() / PERIOD.as_secs()) as usize + 2;
        let ledgers = [Ledger::new(devices, each), Ledger::new(devices, each)];
        let totals: Arc<Totals> = Arc::default();
        let topics = (0..devices).map(|n| {
            let of = |direction| format!("/gateway/device-{n}/user/{direction}");
            (of("update"), of("get"))
        });
        let topics: Vec<_> = topics.collect();
        let operations: Vec<_> = (0..devices).map(|_| Operations::new(each)).collect();
        let clients = (0..devices).map(|n| {
            let port = network.gates[n % GATES].port();
            let mut endpoint = Endpoint::host("localhost", port).unwrap();
            endpoint.set_ca_file(ca_file).unwrap();
            let name = format!("device-{n}");
            let identity =
                Identity::with_secret("gateway", &name, "secret-of-this-device").unwrap();
            // The platform's profile, as a device in the field has it.
            let mut config = Config::new(&identity, &endpoint).unwrap();
            config.set_keep_alive_s(30).unwrap();
            config.set_ack_timeout(Duration::from_secs(10)).unwrap();
            config.set_clean_session(!is_told(n));
            let client = Client::new(&config).unwrap();
            let attempts = Arc::clone(&totals);
            client
                .set_event_handler(Some(move || watch_attempts(attempts)))
                .unwrap();
            let (completions, of_device) = (Arc::clone(&totals), Arc::clone(&operations[n]));
            client
                .set_completion_handler(Some(move || count_completions(completions, of_device)))
                .unwrap();
            if is_told(n) {
                let ledger = Arc::clone(&ledgers[1]);
                let token = client
                    .subscribe(&topics[n].1, Qos::AtLeastOnce, || -> MessageHandler {
                        Box::new(move |message| ledger.arrivals.add(n, message.payload))
                    })
                    .unwrap();
                Operations::add(&operations[n].accepted, token);
            }
            client
        });
        let clients: Vec<_> = clients.collect();
        Self {
            subscriptions: (0..devices).filter(|&n| is_told(n)).count() as u64,
            devices: clients,
            topics,
            centre: centre(broker, &ledgers[0]),
            ledgers,
            totals,
            operations,
            said: AtomicU64::new(0),
        }
    }

    pub(crate) fn start(&self) {
        self.centre.start().unwrap();
        self.centre.wait_flushed(Duration::from_secs(20)).unwrap();
        for device in &self.devices {
            device.start().unwrap();
        }
        // What is told to a device before it has asked for it is not kept for it.
        for device in &self.devices {
            device.wait_flushed(Duration::from_secs(120)).unwrap();
        }
    }

    /// Says whatever is due after `elapsed`.
    pub(crate) fn talk(&self, elapsed: Duration) {
        let devices = self.devices.len() as u64;
        let due = (elapsed.as_secs_f64() / PERIOD.as_secs_f64() * devices as f64) as u64;
        for turn in self.said.load(Relaxed)..due {
            let n = (turn % devices) as usize;
            let (up, down) = &self.topics[n];
            if let Some(token) = self.ledgers[0].publish(&self.devices[n], n, up, &self.totals) {
                Operations::add(&self.operations[n].accepted, token);
            }
            if is_told(n) {
                self.ledgers[1].publish(&self.centre, n, down, &self.totals);
            }
            self.said.store(turn + 1, Relaxed);
        }
    }

    pub(crate) fn sample(&self, elapsed: Duration) -> Sample {
        let entries = |dir| fs::read_dir(dir).unwrap().count();
        let status = fs::read_to_string("/proc/self/status").unwrap();
        let rss = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let rss = rss.and_then(|rss| rss.split_whitespace().next());
        let stat = fs::read_to_string("/proc/self/stat").unwrap();
        // utime and stime, in ticks of 10 ms.
        let fields = stat.rsplit_once(')').unwrap().1.split_whitespace();
        let ticks: u64 = fields
            .skip(11)
            .take(2)
            .map(|it| it.parse::<u64>().unwrap())
            .sum();
        let connected = self
            .devices
            .iter()
            .filter(|it| it.state() == State::Connected);
        Sample {
            seconds: elapsed.as_secs_f64(),
            rss_kib: rss.unwrap().parse().unwrap(),
            descriptors: entries("/proc/self/fd"),
            threads: entries("/proc/self/task"),
            connected: connected.count(),
            owed: self.sum(Counter::OutboxOperations),
            attempts: self.sum(Counter::Attempts),
            cpu: Duration::from_millis(ticks * 10),
        }
    }

    fn sum(&self, counter: Counter) -> u64 {
        self.devices.iter().map(|it| it.counter(counter)).sum()
    }

    /// Everything that was accepted has been acknowledged and has arrived.
    pub(crate) fn is_settled(&self) -> bool {
        let arrived = self
            .ledgers
            .iter()
            .all(|ledger| ledger.arrivals.count(&ledger.accepted).0 == ledger.accepted());
        arrived && self.totals.completed.load(Relaxed) == self.to_complete()
    }

    fn to_complete(&self) -> u64 {
        self.ledgers[0].accepted() + self.subscriptions
    }

    pub(crate) fn report(&self, samples: &[Sample], took: Duration, blows: usize) -> Report {
        let mut failures = Vec::new();
        let mut must = |holds: bool, what: String| {
            if !holds {
                failures.push(what);
            }
        };
        let mut text = String::new();
        let mut line = |name: &str, value: String| writeln!(text, "{name:<34}{value}").unwrap();
        line("time", format!("{:.0} s", took.as_secs_f64()));
        line("devices", self.devices.len().to_string());
        line("faults", blows.to_string());
        for (ledger, way) in self.ledgers.iter().zip(["from devices", "to devices"]) {
            let accepted = ledger.accepted();
            let (arrived, again) = ledger.arrivals.count(&ledger.accepted);
            let lost = accepted - arrived;
            line(
                &format!("messages {way}"),
                format!(
                    "{accepted} accepted, {arrived} delivered, {again} duplicated, {lost} lost"
                ),
            );
            must(lost == 0, format!("{lost} messages {way} were lost"));
            must(accepted > 0, format!("there were no messages {way}"));
        }
        let completed = self.totals.completed.load(Relaxed);
        let failed = self.totals.failed.load(Relaxed);
        let expected = self.to_complete();
        let (mut missing, mut surplus) = (0, 0);
        for of_device in &self.operations {
            let odd = of_device.odd();
            missing += odd.0;
            surplus += odd.1;
        }
        line(
            "completions",
            format!(
                "{completed} of {expected}, {failed} of them failures; {missing} missing, {surplus} too many"
            ),
        );
        must(
            completed == expected && (missing, surplus) == (0, 0),
            format!("{missing} operations did not complete, {surplus} completions are too many"),
        );
        must(failed == 0, format!("{failed} operations failed"));
        let refused = self.totals.refused.load(Relaxed);
        line("refused, outbox full", refused.to_string());

        let attempts = self.sum(Counter::Attempts);
        let minutes = took.as_secs_f64() / 60.0 * self.devices.len() as f64;
        line(
            "connections",
            format!(
                "{} of {attempts} attempts; lost to network {}, peer {}, silence {}, protocol {}",
                self.sum(Counter::Connects),
                self.sum(Counter::LostToNetwork),
                self.sum(Counter::LostToPeer),
                self.sum(Counter::LostToSilence),
                self.sum(Counter::LostToProtocol),
            ),
        );
        let busiest = self.totals.busiest_minute.load(Relaxed);
        line(
            "attempts per device and minute",
            format!(
                "{:.2} on average, {busiest} at most",
                attempts as f64 / minutes
            ),
        );
        must(
            busiest <= 5,
            format!("a device tried {busiest} times within a minute"),
        );
        let odd = self.sum(Counter::LostToProtocol) + self.sum(Counter::LostToOverflow);
        must(
            odd == 0,
            format!("{odd} connections ended by an error of the protocol"),
        );
        self.resources(samples, &mut line, &mut must);
        Report { text, failures }
    }

    fn resources(
        &self,
        samples: &[Sample],
        line: &mut impl FnMut(&str, String),
        must: &mut impl FnMut(bool, String),
    ) {
        let (Some(last), all) = (samples.last(), samples.len()) else {
            return;
        };
        let up: usize = samples.iter().map(|it| it.connected).sum();
        let share = up as f64 * 100.0 / (all * self.devices.len()) as f64;
        line("connected, of all time", format!("{share:.1} %"));
        let range = |of: fn(&Sample) -> usize| {
            let values = samples.iter().map(of);
            (
                values.clone().min().unwrap_or(0),
                values.max().unwrap_or(0),
                of(last),
            )
        };
        let (least, most, end) = range(|it| it.rss_kib);
        let slope = slope(samples);
        line(
            "resident memory",
            format!(
                "{least} to {most} KiB, {end} KiB at the end; {slope:+.1} KiB/min after minute 2"
            ),
        );
        let (least, most, end) = range(|it| it.descriptors);
        line(
            "descriptors",
            format!("{least} to {most}, {end} at the end"),
        );
        let first = samples[0].descriptors;
        must(
            end <= first,
            format!("{first} descriptors at the start, {end} at the end"),
        );
        let (least, most, end) = range(|it| it.threads);
        line("threads", format!("{least} to {most}, {end} at the end"));
        must(
            last.connected == self.devices.len(),
            format!("{} devices are connected at the end", last.connected),
        );
        let cpu = last.cpu.as_secs_f64() * 100.0 / last.seconds.max(1.0);
        line("processor", format!("{cpu:.1} % of a core"));
    }
}

/// Each second device keeps its session, so that whatever it is told while away is for it to have.
fn is_told(device: usize) -> bool {
    device.is_multiple_of(2)
}

fn centre(broker: &Broker, ledger: &Arc<Ledger>) -> Client {
    let mut endpoint = Endpoint::host("127.0.0.1", broker.plain.port()).unwrap();
    endpoint.set_dangerous_plaintext();
    let identity = Identity::verbatim("centre", "user", "password").unwrap();
    let mut config = Config::new(&identity, &endpoint).unwrap();
    config.use_private_profile();
    config.set_connects_per_minute(None).unwrap();
    let delay = Duration::from_millis(50);
    config.set_reconnect(delay, delay * 4).unwrap();
    config.set_clean_session(false);
    // After a restart the broker sends everything at once.
    config.set_inbox_limit(1_000_000, 256 << 20).unwrap();
    config.set_outbox_limit(1_000_000, 256 << 20).unwrap();
    let client = Client::new(&config).unwrap();
    let ledger = Arc::clone(ledger);
    client
        .subscribe(
            "/gateway/+/user/update",
            Qos::AtLeastOnce,
            || -> MessageHandler {
                Box::new(move |message: &Message<'_>| {
                    let device = message.topic.split('/').nth(2).unwrap();
                    let number = device.strip_prefix("device-").unwrap();
                    ledger
                        .arrivals
                        .add(number.parse().unwrap(), message.payload);
                })
            },
        )
        .unwrap();
    client
}

/// KiB a minute by which memory grew after the first two, along the line that fits best.
fn slope(samples: &[Sample]) -> f64 {
    let late = samples.iter().filter(|it| it.seconds > 120.0);
    let points: Vec<_> = late
        .map(|it| (it.seconds / 60.0, it.rss_kib as f64))
        .collect();
    let n = points.len().max(1) as f64;
    let mean_x = points.iter().map(|it| it.0).sum::<f64>() / n;
    let mean_y = points.iter().map(|it| it.1).sum::<f64>() / n;
    let above: f64 = points
        .iter()
        .map(|it| (it.0 - mean_x) * (it.1 - mean_y))
        .sum();
    let below: f64 = points.iter().map(|it| (it.0 - mean_x).powi(2)).sum();
    if below > 0.0 { above / below } else { 0.0 }
}
