//! The driver where the runtime knows less than the system does.

use std::future::{Future, poll_fn};
use std::io::{Read, Write};
use std::net::TcpListener;
use std::pin::{Pin, pin};
use std::sync::{Arc, mpsc};
use std::task::{Context, Waker};
use std::thread;
use std::time::Duration;

use bytes::BytesMut;

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

/// A write that fails says that the peer has gone, before the runtime has heard what it sent last.
#[test]
fn what_a_peer_sent_before_a_reset_is_read_though_a_write_failed_first() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let (go, wait) = mpsc::channel::<()>();
    let peer = thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        assert!(stream.read(&mut [0; 1024]).unwrap() > 10, "CONNECT");
        stream.write_all(&[0x20, 2, 0, 0]).unwrap();
        wait.recv().unwrap();
        let mut message = BytesMut::new();
        codec::encode_publish(&mut message, "a", b"last", Qos::AtMostOnce);
        stream.write_all(&message).unwrap();
        // Which resets the connection.
        let stream = socket2::Socket::from(stream);
        stream.set_linger(Some(Duration::ZERO)).unwrap();
    });
    run(async {
        let identity = Identity::verbatim("device", "user", "password").unwrap();
        let mut endpoint = Endpoint::host("127.0.0.1", port).unwrap();
        endpoint.set_dangerous_plaintext();
        let mut config = Config::new(&identity, &endpoint).unwrap();
        config.use_private_profile();
        let hub = Arc::new(Hub::new(config, Runtime::new(Dispatch::Poll).unwrap()));
        let mut driver = pin!(Driver::new(Arc::clone(&hub)));
        hub.call(|device, now| device.start(now)).unwrap();
        let is_connected = || hub.lock().device.state() == State::Connected;
        drive(&hub, &mut driver, is_connected).await;

        // While it does, the runtime hears nothing.
        go.send(()).unwrap();
        peer.join().unwrap();
        let sent = hub.call(|device, _| device.publish("a", b"x", Qos::AtMostOnce, false, None));
        sent.unwrap();
        let mut cx = Context::from_waker(Waker::noop());
        let _ = hub.dispatcher().poll_leave(&mut cx);
        let _ = driver.as_mut().poll(&mut cx);
        drive(&hub, &mut driver, || !is_connected()).await;
        assert_eq!(hub.lock().device.counters().received, 1);
        assert_eq!(hub.lock().device.counters().lost_network, 1);
        hub.destroy();
    });
}
