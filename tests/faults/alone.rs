//! Tests that need a process of their own, and what a process uses.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, ExitStatus, Stdio};
use std::time::Duration;

use crate::support::eventually;

const CHILD: &str = "ALIOT_TEST_CHILD";

/// Runs `body` in a process in which no other test runs: this very test, executed again. `test` is
/// its full name. Whatever ends that process but its own success fails the test, a signal as well.
pub(crate) fn run_alone(test: &str, role: &str, body: impl FnOnce()) {
    run_alone_by(&[], test, role, body);
}

/// As [`run_alone`], with the words of a command that runs the process in front of it.
pub(crate) fn run_alone_by(before: &[&str], test: &str, role: &str, body: impl FnOnce()) {
    let (status, text) = executed_again(before, test, role, body);
    assert!(
        status.success(),
        "{test}, {role}: {status}: {}",
        text.concat()
    );
    // What it measured, for those who run with --nocapture.
    for line in text[1]
        .lines()
        .filter(|line| line.starts_with("measured: "))
    {
        eprintln!("{line}");
    }
    assert!(
        !text[0].contains("running 0 tests"),
        "there is no test of the name {test}"
    );
}

/// The signal that must end the process in which `body` runs alone.
pub(crate) fn signal_alone(test: &str, role: &str, body: impl FnOnce()) -> i32 {
    let (status, text) = executed_again(&[], test, role, body);
    status
        .signal()
        .unwrap_or_else(|| panic!("{test}, {role}: {status}: {}", text.concat()))
}

/// How the process ended, and what it wrote to its two outputs.
fn executed_again(
    before: &[&str],
    test: &str,
    role: &str,
    body: impl FnOnce(),
) -> (ExitStatus, [String; 2]) {
    if std::env::var(CHILD).as_deref() == Ok(role) {
        body();
        std::process::exit(0);
    }
    let program = std::env::current_exe().unwrap();
    let mut words: Vec<&OsStr> = before.iter().map(OsStr::new).collect();
    words.push(program.as_os_str());
    let output = Command::new(words[0])
        .args(&words[1..])
        .args(["--exact", test, "--nocapture", "--test-threads=1"])
        .env(CHILD, role)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let text =
        [output.stdout, output.stderr].map(|text| String::from_utf8_lossy(&text).into_owned());
    (output.status, text)
}

/// What this process uses.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Usage {
    pub(crate) threads: usize,
    pub(crate) descriptors: usize,
    pub(crate) rss_kib: usize,
}

impl Usage {
    pub(crate) fn now() -> Self {
        let entries = |dir| fs::read_dir(dir).unwrap().count();
        Self {
            threads: entries("/proc/self/task"),
            descriptors: entries("/proc/self/fd"),
            rss_kib: status("VmRSS:"),
        }
    }

    /// Waits until no more threads and descriptors are in use than `self` has.
    pub(crate) fn wait_for_return(self) {
        eventually("threads and descriptors are back where they were", || {
            let now = Self::now();
            now.threads <= self.threads && now.descriptors <= self.descriptors
        });
    }
}

/// The most memory that this process ever had.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Peaks {
    pub(crate) rss_kib: usize,
    /// Of its address space: also what was asked for and never touched.
    pub(crate) addresses_kib: usize,
}

impl Peaks {
    pub(crate) fn now() -> Self {
        Self {
            rss_kib: status("VmHWM:"),
            addresses_kib: status("VmPeak:"),
        }
    }
}

/// A line of the system's about this process.
fn status(name: &str) -> usize {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let rest = status.lines().find_map(|line| line.strip_prefix(name));
    let number = rest.and_then(|rest| rest.split_whitespace().next());
    number.unwrap().parse().unwrap()
}

/// The processor time that all threads whose names start with `aliot` have used.
pub(crate) fn library_cpu() -> Duration {
    let mut ticks = 0;
    for task in fs::read_dir("/proc/self/task").unwrap() {
        let Ok(stat) = fs::read_to_string(task.unwrap().path().join("stat")) else {
            continue; // it has just ended
        };
        let (name, rest) = stat.rsplit_once(')').unwrap();
        if name.contains("(aliot") {
            // utime and stime are fields 14 and 15; `rest` begins with field 3.
            let fields = rest.split_whitespace().skip(11).take(2);
            ticks += fields
                .map(|field| field.parse::<u64>().unwrap())
                .sum::<u64>();
        }
    }
    // USER_HZ is 100 on every Linux that Rust runs on.
    Duration::from_millis(ticks * 10)
}
