//! A gateway of a thousand devices through everything that happens in a year, in ten minutes.
//! README.md beside this file says what, and how to read the report.

#![expect(clippy::print_stdout, reason = "a program that reports")]

mod broker;
mod fleet;
mod network;
mod plot;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use broker::{Authority, Broker};
use fleet::{Fleet, Sample};
use network::{Cut, GATES, Network};

/// Each gate is struck once in so many of these, so that connections come to hold for the minute
/// after which the delays start over.
const STEP: Duration = Duration::from_secs(20);
/// The longest delay between two attempts is 120 s, and one attempt may meet a clock that is wrong.
const SETTLE: Duration = Duration::from_secs(300);

/// What the clock callback adds to the system's clock; `i64::MIN` for 1970.
static CLOCK: AtomicI64 = AtomicI64::new(0);

fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| {
        let number = text.parse();
        number.unwrap_or_else(|_| panic!("{name} is no number: {text}"))
    })
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["proxy", upstream] => network::serve_proxy(upstream),
        ["inside", which] => soak(which == "namespace"),
        _ => start_again(),
    }
}

/// Starts this program anew with all the descriptors that the system gives, and in a network of
/// its own if the system gives one.
fn start_again() -> ExitCode {
    let program = std::env::current_exe().unwrap();
    let in_namespace = "ip link set lo up && nft list ruleset >/dev/null";
    let has_namespace = Command::new("unshare")
        .args(["--net", "sh", "-c", in_namespace])
        .output()
        .is_ok_and(|output| output.status.success());
    let (how, script) = if has_namespace {
        let script = format!("{in_namespace} && ulimit -n $(ulimit -Hn) && exec \"$@\"");
        (["unshare", "--net", "sh", "-c"].as_slice(), script)
    } else {
        eprintln!(
            "skipped: cuts by the kernel, because this system gives no network namespace with \
             nftables to this user (or no unshare, ip or nft); proxies make them instead, but for \
             packets that are lost one by one"
        );
        let script = "ulimit -n $(ulimit -Hn) && exec \"$@\"".to_owned();
        (["sh", "-c"].as_slice(), script)
    };
    let which = if has_namespace { "namespace" } else { "proxy" };
    let status = Command::new(how[0])
        .args(&how[1..])
        .args([&script, "soak"])
        .arg(program)
        .args(["inside", which])
        .status()
        .unwrap();
    ExitCode::from(u8::from(!status.success()))
}

/// What is done to the devices, in this order and again from the start.
#[derive(Clone, Copy, Debug)]
enum Blow {
    Cut(Cut),
    Restart,
    /// The broker has a certificate of another authority before the devices know it.
    Rotation,
    /// The clock is wrong by so many days, and connections end meanwhile.
    Clock(i64),
    /// The clock says 1970, as that of a device that was just switched on.
    Clock1970,
}

const BLOWS: [Blow; 16] = [
    Blow::Cut(Cut::Reset),
    Blow::Cut(Cut::Loss),
    Blow::Cut(Cut::Silence),
    Blow::Clock(1),
    Blow::Cut(Cut::Refuse),
    Blow::Restart,
    Blow::Cut(Cut::Silence),
    Blow::Clock(-1),
    Blow::Cut(Cut::Reset),
    Blow::Rotation,
    Blow::Cut(Cut::Silence),
    Blow::Clock1970,
    Blow::Cut(Cut::Refuse),
    Blow::Restart,
    Blow::Cut(Cut::Silence),
    Blow::Clock(365 * 200),
];

struct Scene {
    broker: Broker,
    network: Network,
    ca_file: PathBuf,
    blows: usize,
    /// What has to be undone, and when.
    undo: Vec<(Instant, Undo)>,
}

enum Undo {
    Heal(usize),
    Clock,
    /// The devices learn of the new authority.
    Trust(Authority),
}

impl Scene {
    /// Does the next thing; its name for the report.
    fn strike(&mut self) -> String {
        let blow = BLOWS[self.blows % BLOWS.len()];
        let gate = self.blows % GATES;
        self.blows += 1;
        match blow {
            Blow::Cut(Cut::Loss) if !self.network.has_loss() => "no loss: proxies".to_owned(),
            Blow::Cut(cut) => {
                self.cut(gate, cut);
                format!("{cut:?} {gate}").to_lowercase()
            }
            Blow::Restart => {
                self.broker.restart();
                "restart".to_owned()
            }
            Blow::Rotation => {
                let authority = Authority::new();
                self.broker.certify(&authority);
                self.broker.restart();
                self.undo_in(8, Undo::Trust(authority));
                "rotation".to_owned()
            }
            Blow::Clock(days) => {
                CLOCK.store(days * 86_400, Ordering::SeqCst);
                self.turn(gate);
                format!("clock {days:+} d")
            }
            Blow::Clock1970 => {
                CLOCK.store(i64::MIN, Ordering::SeqCst);
                self.turn(gate);
                "clock 1970".to_owned()
            }
        }
    }

    fn turn(&mut self, gate: usize) {
        self.cut(gate, Cut::Reset);
        self.undo_in(10, Undo::Clock);
    }

    fn cut(&mut self, gate: usize, cut: Cut) {
        self.network.cut(gate, cut);
        let seconds = match cut {
            // Each device says something every five seconds, and meets it.
            Cut::Reset | Cut::Refuse => 6,
            Cut::Silence | Cut::Loss => 16,
        };
        self.undo_in(seconds, Undo::Heal(gate));
    }

    fn undo_in(&mut self, seconds: u64, what: Undo) {
        let at = Instant::now() + Duration::from_secs(seconds);
        self.undo.push((at, what));
    }

    /// Undoes what is due, or everything.
    fn heal(&mut self, everything: bool) {
        let now = Instant::now();
        let due = self.undo.extract_if(.., |(at, _)| everything || *at <= now);
        for (_, what) in due.collect::<Vec<_>>() {
            match what {
                Undo::Heal(gate) => self.network.heal(gate),
                Undo::Clock => CLOCK.store(0, Ordering::SeqCst),
                Undo::Trust(authority) => authority.write_ca(&self.ca_file),
            }
        }
    }
}

fn soak(in_namespace: bool) -> ExitCode {
    let devices = setting("ALIOT_SOAK_DEVICES", 1000) as usize;
    let time = Duration::from_secs(setting("ALIOT_SOAK_SECONDS", 600));
    let build = Path::new(env!("CARGO_MANIFEST_DIR")).join("build");
    fs::create_dir_all(&build).unwrap();
    aliot::set_wall_clock(Some(|| match CLOCK.load(Ordering::SeqCst) {
        i64::MIN => Some(Duration::from_secs(86_400)),
        offset => {
            let now = SystemTime::now().duration_since(UNIX_EPOCH).ok()?;
            let seconds = now.as_secs().checked_add_signed(offset)?;
            Some(Duration::from_secs(seconds))
        }
    }));

    let authority = Authority::new();
    let broker = Broker::start(&authority);
    let network = Network::new(in_namespace, &broker.gates);
    let ca_file = broker.dir.join("ca.pem");
    authority.write_ca(&ca_file);
    let fleet = Fleet::new(devices, time, &broker, &network, &ca_file);
    println!(
        "soak: {devices} devices for {} s, cuts by {}",
        time.as_secs(),
        if in_namespace { "nftables" } else { "proxies" }
    );
    fleet.start();
    let mut scene = Scene {
        broker,
        network,
        ca_file,
        blows: 0,
        undo: Vec::new(),
    };

    let started = Instant::now();
    let mut samples: Vec<Sample> = Vec::new();
    let mut marks: Vec<(f64, String)> = Vec::new();
    let mut next_blow = started + STEP;
    let mut next_sample = started;
    // Faults and messages for the time given, the faults a little less: what they did is seen.
    while started.elapsed() < time {
        fleet.talk(started.elapsed());
        let now = Instant::now();
        scene.heal(false);
        if now >= next_blow {
            next_blow += STEP;
            marks.push((started.elapsed().as_secs_f64(), scene.strike()));
        }
        if now >= next_sample {
            next_sample += Duration::from_secs(1);
            samples.push(fleet.sample(started.elapsed()));
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    marks.push((started.elapsed().as_secs_f64(), "calm".to_owned()));
    scene.heal(true);
    let deadline = Instant::now() + SETTLE;
    loop {
        let sample = fleet.sample(started.elapsed());
        let settled = sample.connected == devices && fleet.is_settled();
        samples.push(sample);
        if settled || Instant::now() >= deadline {
            break;
        }
        std::thread::sleep(Duration::from_secs(1));
    }

    let plot = build.join("soak.svg");
    fs::write(&plot, plot::draw(&samples, &marks, devices)).unwrap();
    let report = fleet.report(&samples, started.elapsed(), scene.blows);
    fs::write(build.join("soak.txt"), &report.text).unwrap();
    println!("{}plot: {}", report.text, plot.display());
    for failure in &report.failures {
        println!("FAILED: {failure}");
    }
    ExitCode::from(u8::from(!report.failures.is_empty()))
}
