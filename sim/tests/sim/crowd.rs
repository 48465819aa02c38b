//! Many devices at once, each over TLS, from another process than the simulator's.
//!
//! `ALIOT_CROWD=10000 cargo test --release -p aliot-sim --test sim crowd -- --nocapture` connects as
//! many as are asked for and prints what the simulator needs; without it they are 500.

use std::fmt::Write;
use std::net::SocketAddr;
use std::time::Instant;

use aliot_sim::signature::Method;
use nix::sys::resource::{Resource, getrlimit, setrlimit};

use crate::device::{Connect, Device, skipped, trusting_pem};
use crate::program::Program;

/// Threads that connect devices.
const THREADS: usize = 4;

/// What ten thousand devices may need, in KiB.
const LIMIT_KIB: usize = 1024 * 1024;

fn connect(name: &str) -> Connect {
    let content = format!("clientIdxdeviceName{name}productKeycrowd");
    Connect {
        client_id: "x|securemode=2,signmethod=hmacsha256|".into(),
        user_name: format!("{name}&crowd"),
        password: Method::HmacSha256.sign(secret(name).as_bytes(), content.as_bytes()),
        keep_alive: 1200,
        clean_session: true,
    }
}

fn secret(name: &str) -> String {
    format!("the-secret-of-{name}")
}

/// A figure of a process in KiB, as Linux keeps it.
fn memory_kib(pid: u32, name: &str) -> usize {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with(name)).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

#[test]
fn a_crowd_of_devices_fits_into_little_memory() {
    let count = std::env::var("ALIOT_CROWD").map_or(500, |text| text.parse::<usize>().unwrap());
    let (_, most) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    setrlimit(Resource::RLIMIT_NOFILE, most, most).unwrap();
    if most < count as u64 + 100 {
        skipped(&format!(
            "{count} devices need as many open files; ulimit -Hn says {most}"
        ));
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("sim.toml");
    let mut text = "[[product]]\nkey = \"crowd\"\n".to_owned();
    for n in 0..count {
        let name = format!("d{n}");
        let secret = secret(&name);
        write!(
            text,
            "[[product.device]]\nname = \"{name}\"\nsecret = \"{secret}\"\n"
        )
        .unwrap();
    }
    std::fs::write(&file, text).unwrap();
    let program = Program::start(&["--quiet", "--config", file.to_str().unwrap()]);
    let pid = program.child.id();
    let idle = memory_kib(pid, "VmRSS");
    let address: SocketAddr = format!("127.0.0.1:{}", program.ready["TLS_PORT"])
        .parse()
        .unwrap();
    let ca = std::fs::read_to_string(&program.ready["CA_FILE"]).unwrap();
    let config = trusting_pem(&ca, None);
    let start = Instant::now();
    let mut devices: Vec<Device> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS)
            .map(|thread| {
                let config = config.clone();
                scope.spawn(move || {
                    let mine = (thread..count).step_by(THREADS);
                    mine.map(|n| {
                        let mut device = Device::open_tls_at(address, config.clone()).unwrap();
                        device.send(&connect(&format!("d{n}")).bytes());
                        assert_eq!(device.conn_ack(), (false, 0));
                        device
                    })
                    .collect::<Vec<_>>()
                })
            })
            .collect();
        threads
            .into_iter()
            .flat_map(|thread| thread.join().unwrap())
            .collect()
    });
    let connected = start.elapsed();
    let start = Instant::now();
    for device in &mut devices {
        device.ping();
    }
    let (now, peak) = (memory_kib(pid, "VmRSS"), memory_kib(pid, "VmHWM"));
    eprintln!(
        "{count} devices over TLS: connected in {connected:.1?}, all pinged in {:.1?}; the simulator \
         has {} MiB, at most {} MiB, {} MiB before the first, {} KiB for each",
        start.elapsed(),
        now / 1024,
        peak / 1024,
        idle / 1024,
        peak.saturating_sub(idle) / count
    );
    assert_eq!(devices.len(), count);
    assert!(peak < LIMIT_KIB, "{peak} KiB");
    // A share of the limit for a share of the devices, beside what an idle simulator has.
    assert!(
        (peak - idle) / count < LIMIT_KIB / 10_000,
        "{} KiB",
        (peak - idle) / count
    );
}
