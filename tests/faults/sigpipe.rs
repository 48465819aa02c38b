//! A broken connection never ends the process, whatever SIGPIPE would do to it.

use std::io::{IoSlice, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use aliot::{Client, Counter, Endpoint, Identity, Qos};
use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, sigaction};

use crate::alone::{run_alone, signal_alone};
use crate::proxy::{Ending, Plan, Proxy};
use crate::ran::ran;
use crate::support::broker::Broker;
use crate::support::device::{config, private};
use crate::support::eventually;
use crate::support::mosquitto::Mosquitto;

/// What a program in C starts with. Rust's own start has switched it off.
#[allow(
    unsafe_code,
    reason = "there is no safe way to set a signal's disposition"
)]
fn set_default() -> SigAction {
    let default = SigAction::new(SigHandler::SigDfl, SaFlags::empty(), SigSet::empty());
    // SAFETY: no handler is installed, so nothing can run at a wrong time.
    unsafe { sigaction(Signal::SIGPIPE, &default) }.unwrap()
}

/// What is in force, which must still be the default.
fn assert_default() {
    assert!(matches!(set_default().handler(), SigHandler::SigDfl));
}

/// Publishes until `done`, whatever `cut` does to the connection.
fn publish_while_it_breaks(client: &Client, done: impl Fn() -> bool, mut cut: impl FnMut()) {
    client.start().unwrap();
    while !done() {
        // A full outbox is as good: then there is enough to flush.
        let _ = client.publish("a", &[7; 4096], Qos::AtMostOnce, false);
        cut();
    }
}

/// How often each connection breaks.
const CUTS: usize = 100;

/// So that a failure ends the test instead of hanging it.
struct SetOnDrop<'a>(&'a AtomicBool);

impl Drop for SetOnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

#[test]
fn a_write_that_is_not_ours_shows_that_the_signal_would_kill() {
    let test = "sigpipe::a_write_that_is_not_ours_shows_that_the_signal_would_kill";
    let signal = signal_alone(test, "sigpipe-control", || {
        set_default();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut stream = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        let _ = stream.write_vectored(&[IoSlice::new(b"dead"), IoSlice::new(b"already")]);
    });
    assert_eq!(signal, Signal::SIGPIPE as i32);
}

#[test]
fn a_connection_that_breaks_while_we_write_does_not_end_the_process() {
    let test = "sigpipe::a_connection_that_breaks_while_we_write_does_not_end_the_process";
    run_alone(test, "sigpipe-tcp", || {
        set_default();
        let broker = Broker::listen();
        let mut config = config(broker.address());
        let millisecond = Duration::from_millis(1);
        config.set_reconnect(millisecond, millisecond).unwrap();
        let client = Client::new(&config).unwrap();
        let done = AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let is_done = || done.load(Ordering::SeqCst);
                publish_while_it_breaks(&client, is_done, std::thread::yield_now);
            });
            let _done = SetOnDrop(&done);
            for n in 0..CUTS {
                let mut connection = broker.accept(false);
                connection.expect_publish();
                // Closing with bytes unread sends a reset; the half that follows a FIN is written
                // into a connection that nobody has any more.
                let _ = connection.0.shutdown(Shutdown::Write);
                if n % 2 == 0 {
                    connection.reset();
                }
            }
        });
        assert_default();
        ran(
            "a_connection_that_breaks_while_we_write_does_not_end_the_process",
            CUTS,
        );
    });
}

#[test]
fn a_tls_connection_that_breaks_while_we_write_does_not_end_the_process() {
    let test = "sigpipe::a_tls_connection_that_breaks_while_we_write_does_not_end_the_process";
    run_alone(test, "sigpipe-tls", || {
        set_default();
        let mosquitto = Mosquitto::start("sigpipe");
        let proxy = Proxy::start(mosquitto.tls, |_| Plan::default());
        let identity = Identity::verbatim("sigpipe", "user", "password").unwrap();
        let mut endpoint = Endpoint::host("localhost", proxy.address().port()).unwrap();
        endpoint.set_ca_pem(mosquitto.ca_pem.as_bytes()).unwrap();
        let mut config = aliot::Config::new(&identity, &endpoint).unwrap();
        private(&mut config);
        let millisecond = Duration::from_millis(1);
        config.set_reconnect(millisecond, millisecond).unwrap();
        let client = Client::new(&config).unwrap();
        let mut connects = 0;
        let done = || client.counter(Counter::Connects) > CUTS as u64;
        publish_while_it_breaks(&client, done, || {
            if client.counter(Counter::Connects) > connects {
                connects = client.counter(Counter::Connects);
                for _ in 0..20 {
                    let _ = client.publish("a", &[7; 4096], Qos::AtMostOnce, false);
                }
                proxy.cut(if connects % 2 == 0 {
                    Ending::Reset
                } else {
                    Ending::Fin
                });
            }
        });
        eventually("it connects again", || {
            client.state() == aliot::State::Connected
        });
        assert_default();
        ran(
            "a_tls_connection_that_breaks_while_we_write_does_not_end_the_process",
            CUTS,
        );
    });
}
