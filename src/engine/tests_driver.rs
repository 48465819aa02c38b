//! The driver where the runtime knows less than the system does.

use std::future::{Future, poll_fn};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::pin::{Pin, pin};
use std::sync::{Arc, mpsc};
use std::task::{Context, Waker};
use std::thread;
use std::time::Duration;

use bytes::BytesMut;

use super::clock;
use super::driver::Driver;
use super::hub::Hub;
use super::runtime::{Dispatch, Runtime};
use super::testing::run;
use crate::proto::codec;
use crate::proto::config::Config;
use crate::proto::event::State;
use crate::proto::qos::Qos;
use crate::{Endpoint, Identity};

/// Polls the driver until `is_enough`, as the thread does that drives the network.
async fn drive(hub: &Arc<Hub>, driver: &mut Pin<&mut Driver>, is_enough: impl Fn() -> bool) {
    while !is_enough() {
        let moment = Duration::from_millis(10);
        let turn = poll_fn(|cx| {
            let _ = hub.dispatcher().poll_leave(cx);
            driver.as_mut().poll(cx)
        });
        let _ = tokio::time::timeout(moment, turn).await;
    }
}

/// A device that is connected to a peer, which then does `act` when it is told to.
struct Bench {
    hub: Arc<Hub>,
    go: mpsc::Sender<()>,
    peer: thread::JoinHandle<()>,
}

impl Bench {
    fn new(act: impl FnOnce(TcpStream) + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let (go, wait) = mpsc::channel::<()>();
        let peer = thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            assert!(stream.read(&mut [0; 1024]).unwrap() > 10, "CONNECT");
            stream.write_all(&[0x20, 2, 0, 0]).unwrap();
            wait.recv().unwrap();
            act(stream);
        });
        let identity = Identity::verbatim("device", "user", "password").unwrap();
        let mut endpoint = Endpoint::host("127.0.0.1", port).unwrap();
        endpoint.set_dangerous_plaintext();
        let mut config = Config::new(&identity, &endpoint).unwrap();
        config.use_private_profile();
        config.set_ack_timeout(Duration::from_secs(1)).unwrap();
        let hub = Arc::new(Hub::new(config, Runtime::new(Dispatch::Poll).unwrap()));
        hub.call(|device, now| device.start(now)).unwrap();
        Self { hub, go, peer }
    }

    fn is_connected(&self) -> bool {
        self.hub.lock().device.state() == State::Connected
    }

    /// Lets the peer act. Meanwhile the runtime hears nothing.
    fn act(self) {
        self.go.send(()).unwrap();
        self.peer.join().unwrap();
    }
}

fn publish(hub: &Arc<Hub>, qos: Qos) {
    let sent = hub.call(|device, _| device.publish("a", b"x", qos, false, None));
    sent.unwrap();
}

/// One turn of the driver, before the runtime has heard of anything.
fn turn(hub: &Arc<Hub>, driver: &mut Pin<&mut Driver>) {
    let mut cx = Context::from_waker(Waker::noop());
    let _ = hub.dispatcher().poll_leave(&mut cx);
    let _ = driver.as_mut().poll(&mut cx);
}

/// A write that fails says that the peer has gone, before the runtime has heard what it sent last.
#[test]
fn what_a_peer_sent_before_a_reset_is_read_though_a_write_failed_first() {
    run(async {
        let bench = Bench::new(|mut stream| {
            let mut message = BytesMut::new();
            codec::encode_publish(&mut message, "a", b"last", Qos::AtMostOnce);
            stream.write_all(&message).unwrap();
            // Which resets the connection.
            let stream = socket2::Socket::from(stream);
            stream.set_linger(Some(Duration::ZERO)).unwrap();
        });
        let hub = Arc::clone(&bench.hub);
        let mut driver = pin!(Driver::new(Arc::clone(&hub)));
        drive(&hub, &mut driver, || bench.is_connected()).await;
        bench.act();
        publish(&hub, Qos::AtMostOnce);
        turn(&hub, &mut driver);
        let is_lost = || hub.lock().device.state() != State::Connected;
        drive(&hub, &mut driver, is_lost).await;
        let counters = hub.lock().device.counters();
        assert_eq!((counters.received, counters.lost_network), (1, 1));
        hub.destroy();
    });
}

/// As after a stop of the process: the deadline has passed, and the answer is there.
#[test]
fn an_answer_that_came_before_its_deadline_was_looked_at_is_in_time() {
    run(async {
        let bench = Bench::new(|mut stream| {
            let mut published = [0; 8];
            stream.read_exact(&mut published).unwrap();
            assert_eq!(published[0], 0x32);
            stream.write_all(&[0x40, 2, 0, 1]).unwrap();
            std::mem::forget(stream);
            let sent = clock::now();
            while clock::now() < sent + Duration::from_secs(1) {
                thread::sleep(Duration::from_millis(10));
            }
        });
        let hub = Arc::clone(&bench.hub);
        let mut driver = pin!(Driver::new(Arc::clone(&hub)));
        drive(&hub, &mut driver, || bench.is_connected()).await;
        publish(&hub, Qos::AtLeastOnce);
        bench.act();
        turn(&hub, &mut driver);
        let counters = hub.lock().device.counters();
        assert_eq!((counters.acknowledged, counters.lost_silent), (1, 0));
        hub.destroy();
    });
}
