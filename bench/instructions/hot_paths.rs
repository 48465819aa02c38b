//! Runs one hot path a number of times, in batches of 50 messages, for somebody who counts
//! instructions: `hot_paths PATH COUNT`.

#![expect(clippy::print_stdout, reason = "a program that prints its usage")]

use std::hint::black_box;

use aliot::bench_support::Loop;
use aliot::{Config, Endpoint, Identity, Qos};
use bytes::BytesMut;

const TOPIC: &str = "/a1B2c3D4e5F/bench-dev-000001/user/update";
const BATCH: u16 = 50;

fn main() {
    let mut arguments = std::env::args().skip(1);
    let path = arguments.next().unwrap_or_default();
    let count: u32 = arguments.next().and_then(|n| n.parse().ok()).unwrap_or(0);
    let payload = [b'x'; 256];
    let mut device = device();
    match path.as_str() {
        "publish_qos_0" => publish(&mut device, &payload, Qos::AtMostOnce, count),
        "publish_qos_1" => publish(&mut device, &payload, Qos::AtLeastOnce, count),
        "receive_qos_0" => receive(&mut device, &payload, Qos::AtMostOnce, count),
        "receive_qos_1" => receive(&mut device, &payload, Qos::AtLeastOnce, count),
        _ => {
            println!("publish_qos_0 publish_qos_1 receive_qos_0 receive_qos_1");
        }
    }
}

fn device() -> Loop {
    let identity =
        Identity::with_secret("a1B2c3D4e5F", "bench-dev-000001", "secret").expect("valid");
    let endpoint = Endpoint::region("cn-shanghai").expect("valid");
    let config = Config::new(&identity, &endpoint).expect("valid");
    let on_message = Box::new(|message: &aliot::Message<'_>| {
        black_box(message.payload);
    });
    let on_completion = Box::new(|completion: &aliot::Completion| {
        black_box(completion.token);
    });
    Loop::new(&config, TOPIC, on_message, on_completion).expect("accepted")
}

/// Accepted, written and, for QoS 1, acknowledged and completed.
fn publish(device: &mut Loop, payload: &[u8], qos: Qos, count: u32) {
    let mut acknowledgements = BytesMut::new();
    for _ in 0..count / u32::from(BATCH) {
        for _ in 0..BATCH {
            device.publish(TOPIC, payload, qos).expect("accepted");
        }
        let written = device.send();
        assert!(written.len() > usize::from(BATCH) * payload.len());
        if qos == Qos::AtLeastOnce {
            Loop::acknowledgements(written, &mut acknowledgements);
            device.receive(&acknowledgements);
            assert_eq!(device.deliver(), usize::from(BATCH));
        }
    }
}

/// Read, delivered and, for QoS 1, acknowledged.
fn receive(device: &mut Loop, payload: &[u8], qos: Qos, count: u32) {
    let packets = Loop::packets(TOPIC, payload, qos, BATCH);
    for _ in 0..count / u32::from(BATCH) {
        device.receive(&packets);
        assert_eq!(device.deliver(), usize::from(BATCH));
        let acknowledgements = device.send().len();
        assert_eq!(
            acknowledgements,
            if qos == Qos::AtLeastOnce { 200 } else { 0 }
        );
    }
}
