//! Many devices in one process: what each costs, what a flood does to the others, how a storm ends.
//! One test at a time: they measure the process.

#[path = "behaviour/support/mod.rs"]
#[expect(
    dead_code,
    reason = "these tests need a part of what the behaviour tests share"
)]
mod support;

use std::fs;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use aliot::{Client, Config, Endpoint, Identity, Qos};

use support::device::private;
use support::mosquitto::Mosquitto;
use support::{PATIENCE, eventually};

static ALONE: Mutex<()> = Mutex::new(());

const DEVICES: usize = 400;

fn config(name: usize, endpoint: &Endpoint) -> Config {
    let identity = Identity::verbatim(&format!("device-{name}"), "user", "password").unwrap();
    let mut config = Config::new(&identity, endpoint).unwrap();
    private(&mut config);
    config
}

fn connect(broker: &Mosquitto, devices: usize) -> Vec<Client> {
    let mut endpoint = Endpoint::host("localhost", broker.tls.port()).unwrap();
    endpoint.set_ca_pem(broker.ca_pem.as_bytes()).unwrap();
    let clients: Vec<Client> = (0..devices)
        .map(|name| Client::new(&config(name, &endpoint)).unwrap())
        .collect();
    for client in &clients {
        client.start().unwrap();
    }
    for client in &clients {
        client.wait_connected(PATIENCE).unwrap();
    }
    clients
}

/// KiB of memory that the process really uses.
fn resident() -> usize {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status
        .lines()
        .find(|line| line.starts_with("VmRSS:"))
        .unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

fn threads() -> usize {
    fs::read_dir("/proc/self/task").unwrap().count()
}

#[test]
fn hundreds_of_devices_share_two_threads_and_little_memory() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let broker = Mosquitto::start("scale");
    let first = connect(&broker, 1);
    let (memory, before) = (resident(), threads());
    drop(first);
    let clients = connect(&broker, DEVICES);
    // A name lookup has a thread of its own while it lasts.
    eventually("no thread was added", || threads() <= before);
    let each = resident().saturating_sub(memory) as f64 / DEVICES as f64;
    // `make bench` has the exact figure, of the release build; this bound is against leaks.
    assert!(each < 32.0, "{each:.1} KiB for each connection over TLS");

    let large = vec![7; 262_144];
    for client in &clients {
        client
            .publish("large", &large, Qos::AtLeastOnce, false)
            .unwrap();
        client.wait_flushed(PATIENCE).unwrap();
    }
    let each = resident().saturating_sub(memory) as f64 / DEVICES as f64;
    assert!(
        each < 64.0,
        "{each:.1} KiB for each after 256 KiB from each"
    );
}

#[test]
fn a_device_that_floods_does_not_hold_up_the_others() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let broker = Mosquitto::start("flood");
    let clients = connect(&broker, 20);
    let (stop, sent) = (AtomicBool::new(false), AtomicU64::new(0));
    std::thread::scope(|scope| {
        let (flooding, quiet) = clients.split_first().unwrap();
        scope.spawn(|| {
            while !stop.load(Relaxed) {
                match flooding.publish("flood", &[0; 1000], Qos::AtMostOnce, false) {
                    Ok(_) => _ = sent.fetch_add(1, Relaxed),
                    Err(_) => std::thread::sleep(Duration::from_micros(200)),
                }
            }
        });
        eventually("the flood has begun", || sent.load(Relaxed) > 1000);
        for _ in 0..10 {
            for client in quiet {
                client
                    .publish("quiet", b"still here", Qos::AtLeastOnce, false)
                    .unwrap();
            }
            for client in quiet {
                client.wait_flushed(PATIENCE).unwrap();
            }
        }
        stop.store(true, Relaxed);
    });
}
