//! The way between the devices and the broker: four gates, each of which can be cut by itself. In a
//! network namespace nftables cuts, elsewhere a fault proxy in a process of its own.

use std::io::{BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::process::{Child, ChildStdin, Command, ExitCode, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

#[path = "../faults/proxy.rs"]
#[expect(dead_code, reason = "the fault tests use more of it")]
mod proxy;

use proxy::{Ending, Plan, Proxy};

pub(crate) const GATES: usize = 4;

/// What the fault proxy takes from the tests that it belongs to.
mod support {
    pub(super) const PATIENCE: std::time::Duration = std::time::Duration::from_secs(20);
}

/// How a gate is cut until it is healed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Cut {
    /// What passes meets a reset; connections that are made meanwhile too.
    Reset,
    /// Nothing passes, and nobody is told.
    Silence,
    /// No new connection.
    Refuse,
    /// Each fifth packet is lost, in either direction. In a namespace alone: a proxy loses nothing.
    Loss,
}

/// Where the devices connect, and who cuts.
pub(crate) struct Network {
    pub(crate) gates: [SocketAddr; GATES],
    /// None in a namespace.
    proxies: Vec<(Child, ChildStdin)>,
}

impl Network {
    pub(crate) fn new(in_namespace: bool, broker: &[SocketAddr; GATES]) -> Self {
        if in_namespace {
            nft("add table inet soak");
            nft("add chain inet soak input { type filter hook input priority 0 ; }");
            return Self {
                gates: *broker,
                proxies: Vec::new(),
            };
        }
        let mut gates = *broker;
        let proxies = gates.iter_mut().map(|gate| {
            let mut process = Command::new(std::env::current_exe().unwrap())
                .args(["proxy", &gate.to_string()])
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .spawn()
                .unwrap();
            let mut line = String::new();
            let mut says = BufReader::new(process.stdout.take().unwrap());
            says.read_line(&mut line).unwrap();
            *gate = line.trim().parse().unwrap();
            let hears = process.stdin.take().unwrap();
            (process, hears)
        });
        let proxies = proxies.collect();
        Self { gates, proxies }
    }

    /// Whether packets can be lost one by one.
    pub(crate) fn has_loss(&self) -> bool {
        self.proxies.is_empty()
    }

    pub(crate) fn cut(&mut self, gate: usize, cut: Cut) {
        if let Some((_, hears)) = self.proxies.get_mut(gate) {
            return writeln!(hears, "{cut:?}").unwrap();
        }
        let port = self.gates[gate].port();
        if matches!(cut, Cut::Reset | Cut::Refuse) {
            // The resets themselves come this way as well.
            nft("add rule inet soak input tcp flags & rst == rst accept");
        }
        for end in ["dport", "sport"] {
            let what = match cut {
                Cut::Reset => "reject with tcp reset",
                Cut::Silence => "drop",
                Cut::Refuse if end == "dport" => "tcp flags syn reject with tcp reset",
                Cut::Refuse => continue,
                Cut::Loss => "numgen random mod 100 < 20 drop",
            };
            nft(&format!("add rule inet soak input tcp {end} {port} {what}"));
        }
    }

    /// Everything passes again.
    pub(crate) fn heal(&mut self, gate: usize) {
        if let Some((_, hears)) = self.proxies.get_mut(gate) {
            return writeln!(hears, "Heal").unwrap();
        }
        // No more than one gate is cut at a time.
        nft("flush chain inet soak input");
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        for (process, _) in &mut self.proxies {
            let _ = process.kill();
            let _ = process.wait();
        }
    }
}

fn nft(command: &str) {
    let output = Command::new("nft").arg(command).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "nft {command}: {said}");
}

/// The proxy's process: says where it listens, and does what each line tells it.
pub(crate) fn serve_proxy(upstream: &str) -> ExitCode {
    let fate: Arc<Mutex<Option<Ending>>> = Arc::default();
    let now = Arc::clone(&fate);
    let proxy = Proxy::start(upstream.parse().unwrap(), move |_| Plan {
        cut: now.lock().unwrap().map(|ending| (Duration::ZERO, ending)),
        ..Plan::default()
    });
    println!("{}", proxy.address());
    for line in std::io::stdin().lock().lines() {
        let Ok(line) = line else { break };
        let (next, present) = match line.as_str() {
            "Reset" => (Some(Ending::Reset), Some(Ending::Reset)),
            "Silence" => (Some(Ending::Silence), Some(Ending::Silence)),
            "Refuse" => (Some(Ending::Reset), None),
            // Connections that went silent stay so: they were lost.
            _ => (None, None),
        };
        *fate.lock().unwrap() = next;
        if let Some(ending) = present {
            proxy.cut(ending);
        }
    }
    ExitCode::SUCCESS
}
