//! A burst of messages is a handful of writes. Alone in its process, which it measures.
#![cfg(target_os = "linux")]

#[path = "behaviour/support/mod.rs"]
#[expect(
    dead_code,
    reason = "this test needs a part of what the behaviour tests share"
)]
mod support;

use std::fs;

use aliot::Qos;

use support::PATIENCE;
use support::broker::Broker;
use support::device::{Device, config};

/// Writes of this process, as the system counts them.
fn writes() -> u64 {
    let counts = fs::read_to_string("/proc/self/io").unwrap();
    let line = counts
        .lines()
        .find(|line| line.starts_with("syscw:"))
        .unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

#[test]
fn ten_thousand_messages_are_a_handful_of_writes() {
    const MESSAGES: usize = 10_000;
    let broker = Broker::listen();
    let mut config = config(broker.address());
    config.set_outbox_limit(20_000, 16 << 20).unwrap();
    let device = Device::new(&config);
    for n in 0..MESSAGES {
        let payload = n.to_be_bytes();
        device
            .client
            .publish("a", &payload, Qos::AtMostOnce, false)
            .unwrap();
    }
    device.client.start().unwrap();
    let mut connection = broker.accept(false);
    let before = writes();
    for n in 0..MESSAGES {
        assert_eq!(connection.expect_publish().payload, n.to_be_bytes());
    }
    device.client.wait_flushed(PATIENCE).unwrap();
    let writes = writes() - before;
    assert!(writes < 100, "{writes} writes for {MESSAGES} messages");
}
