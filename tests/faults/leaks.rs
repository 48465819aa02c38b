//! A thousand connections later the process uses what it used before.

use std::time::Duration;

use aliot::{Config, Counter, Endpoint, Identity};

use crate::alone::{Usage, run_alone};
use crate::chaos::quick;
use crate::proxy::{Ending, Plan, Proxy};
use crate::ran::ran;
use crate::support::broker::Broker;
use crate::support::device::private;
use crate::support::eventually;
use crate::support::mosquitto::Mosquitto;

/// Growth that a thousand reconnects may leave, in KiB. What is allowed for is the allocator's own.
const GROWTH_KIB: usize = 1024;

#[test]
fn a_thousand_reconnects_leave_no_thread_descriptor_or_memory_behind() {
    let test = "leaks::a_thousand_reconnects_leave_no_thread_descriptor_or_memory_behind";
    run_alone(test, "tcp", || {
        let broker = Broker::listen();
        let mut config = quick("leaks", broker.address().port());
        let millisecond = Duration::from_millis(1);
        config.set_reconnect(millisecond, millisecond).unwrap();
        let client = aliot::Client::new(&config).unwrap();
        client
            .publish("never", b"acknowledged", aliot::Qos::AtLeastOnce, true)
            .unwrap();
        let idle = Usage::now();
        client.start().unwrap();
        let reconnect = |times: usize| {
            for n in 0..times {
                let mut connection = broker.accept(false);
                connection.expect_publish();
                if n % 2 == 0 {
                    connection.reset();
                } else {
                    connection.hang_up();
                }
            }
        };
        reconnect(200);
        let before = Usage::now();
        reconnect(1000);
        let after = Usage::now();
        assert!(client.counter(Counter::Connects) >= 1199);
        ran(
            "a_thousand_reconnects_leave_no_thread_descriptor_or_memory_behind",
            1000,
        );
        eprintln!("measured: 1000 reconnects, before {before:?}, after {after:?}");
        client.stop(Duration::ZERO).unwrap();
        drop(broker);
        idle.wait_for_return();
        assert!(
            after.rss_kib <= before.rss_kib + GROWTH_KIB,
            "{before:?}, {after:?}"
        );
    });
}

#[test]
fn a_hundred_tls_reconnects_leave_no_thread_descriptor_or_memory_behind() {
    let test = "leaks::a_hundred_tls_reconnects_leave_no_thread_descriptor_or_memory_behind";
    run_alone(test, "tls", || {
        let mosquitto = Mosquitto::start("leaks-tls");
        let proxy = Proxy::start(mosquitto.tls, |_| Plan::default());
        let identity = Identity::verbatim("leaks", "user", "password").unwrap();
        let mut endpoint = Endpoint::host("localhost", proxy.address().port()).unwrap();
        endpoint.set_ca_pem(mosquitto.ca_pem.as_bytes()).unwrap();
        let mut config = Config::new(&identity, &endpoint).unwrap();
        private(&mut config);
        let millisecond = Duration::from_millis(1);
        config.set_reconnect(millisecond, millisecond).unwrap();
        let client = aliot::Client::new(&config).unwrap();
        let idle = Usage::now();
        client.start().unwrap();
        let reconnect = |until: u64| {
            while client.counter(Counter::Connects) < until {
                let connects = client.counter(Counter::Connects);
                proxy.cut(if connects.is_multiple_of(2) {
                    Ending::Reset
                } else {
                    Ending::Fin
                });
                eventually("the next connection", || {
                    client.counter(Counter::Connects) > connects
                });
            }
        };
        reconnect(30);
        let before = Usage::now();
        reconnect(130);
        let after = Usage::now();
        ran(
            "a_hundred_tls_reconnects_leave_no_thread_descriptor_or_memory_behind",
            100,
        );
        eprintln!("measured: 100 reconnects over TLS, before {before:?}, after {after:?}");
        client.stop(Duration::ZERO).unwrap();
        idle.wait_for_return();
        assert!(
            after.rss_kib <= before.rss_kib + GROWTH_KIB,
            "{before:?}, {after:?}"
        );
    });
}
