//! Registrations against a platform that says what a test wants.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::testing::{Ca, listen, run};
use super::tests_dial::take_all_turns;
use crate::{
    Dispatch, Endpoint, Error, ErrorKind, Identity, Registration, RegistrationKind, Runtime, Stage,
};

const CONNACK: [u8; 4] = [0x20, 2, 0, 0];
const ANSWER: &str = r#"{"productKey":"pk","deviceName":"dn","deviceSecret":"s3cret"}"#;
const LONG: Duration = Duration::from_secs(10);

/// What the platform does after it has read CONNECT.
#[derive(Clone)]
struct Script {
    says: Vec<u8>,
    /// Stays open until the device leaves; else it closes at once.
    stays: bool,
}

fn publish(topic: &str, payload: &str, id: Option<u16>) -> Vec<u8> {
    let mut body = (topic.len() as u16).to_be_bytes().to_vec();
    body.extend_from_slice(topic.as_bytes());
    if let Some(id) = id {
        body.extend_from_slice(&id.to_be_bytes());
    }
    body.extend_from_slice(payload.as_bytes());
    let mut packet = vec![if id.is_some() { 0x32 } else { 0x30 }];
    let len = body.len();
    if len >= 0x80 {
        packet.extend_from_slice(&[len as u8 | 0x80, (len >> 7) as u8]);
    } else {
        packet.push(len as u8);
    }
    packet.extend_from_slice(&body);
    packet
}

/// A platform for one test, in a thread of its own.
struct Platform {
    registration: Registration,
    /// What each connection sent after CONNECT, when it is over.
    heard: std::sync::mpsc::Receiver<Vec<u8>>,
}

impl Platform {
    fn new(says: &[&[u8]], stays: bool) -> Self {
        let script = Script {
            says: says.concat(),
            stays,
        };
        let ca = Ca::new("registrar");
        let config = ca.server(&["127.0.0.1"]);
        let (tell, heard) = channel();
        let (ready, address) = channel();
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap();
            runtime.block_on(async {
                let (listener, address) = listen().await;
                ready.send(address).unwrap();
                let acceptor = TlsAcceptor::from(Arc::new(config));
                while let Ok((stream, _)) = listener.accept().await {
                    let Ok(stream) = acceptor.accept(stream).await else {
                        continue;
                    };
                    if tell.send(serve(stream, &script).await).is_err() {
                        return;
                    }
                }
            });
        });
        let address = address.recv().unwrap();
        let mut endpoint = Endpoint::host("127.0.0.1", address.port()).unwrap();
        endpoint.set_ca_pem(ca.pem().as_bytes()).unwrap();
        let kind = RegistrationKind::Preregistered;
        let mut registration = Registration::new(&endpoint, "pk", "dn", "ps", kind).unwrap();
        registration.set_connects_per_minute(None).unwrap();
        Self {
            registration,
            heard,
        }
    }

    fn register(&self, timeout: Duration) -> Result<Identity, Error> {
        self.registration.run(timeout, |_| true)
    }

    fn heard(&self) -> Vec<u8> {
        self.heard.recv_timeout(LONG).unwrap()
    }
}

async fn serve(mut stream: TlsStream<TcpStream>, script: &Script) -> Vec<u8> {
    let mut header = [0; 3];
    stream.read_exact(&mut header).await.unwrap();
    let (len, start) = match header[1] & 0x80 {
        0 => (usize::from(header[1]), 1),
        _ => (
            usize::from(header[1] & 0x7F) | usize::from(header[2]) << 7,
            0,
        ),
    };
    let mut connect = vec![0; len - start];
    stream.read_exact(&mut connect).await.unwrap();
    stream.write_all(&script.says).await.unwrap();
    stream.flush().await.unwrap();
    let mut heard = Vec::new();
    if script.stays {
        let _ = stream.read_to_end(&mut heard).await;
    } else {
        let _ = stream.shutdown().await;
    }
    heard
}

fn assert_unanswered(error: &Error, words: &str) {
    assert_eq!(error.kind(), ErrorKind::RegistrationUnanswered, "{error}");
    let text = error.to_string();
    assert!(text.contains(words), "\"{text}\" lacks \"{words}\"");
    assert!(text.contains("may register again"), "{text}");
}

#[test]
fn the_platform_is_left_after_the_identity_has_been_stored_and_not_before() {
    let answer = publish("/ext/register", ANSWER, Some(7));
    let platform = Platform::new(&[&CONNACK, &answer], true);
    let identity = platform
        .registration
        .run(LONG, |identity| {
            assert_eq!(identity.secret().expose(), "s3cret");
            std::thread::sleep(Duration::from_millis(50));
            assert!(platform.heard.try_recv().is_err(), "it has left already");
            true
        })
        .unwrap();
    assert_eq!(
        identity,
        Identity::with_secret("pk", "dn", "s3cret").unwrap()
    );
    // PUBACK, for this answer has an id, and DISCONNECT.
    assert_eq!(platform.heard(), [0x40, 2, 0, 7, 0xE0, 0]);
}

#[test]
fn storing_is_a_callback_as_long_as_it_takes() {
    let answer = publish("/ext/regnwl", ANSWER, Some(7));
    let platform = Platform::new(&[&CONNACK, &answer], true);
    let blocks = || platform.register(LONG).map_err(|error| error.kind());
    let stored = platform.registration.run(LONG, |_| {
        assert_eq!(blocks(), Err(ErrorKind::WouldDeadlock));
        true
    });
    assert!(stored.is_ok(), "{stored:?}");
    let store = |_: &Identity| -> bool { panic!("on purpose") };
    let store = AssertUnwindSafe(|| drop(platform.registration.run(LONG, store)));
    assert!(catch_unwind(store).is_err());
    assert!(blocks().is_ok());
}

#[test]
fn what_was_not_stored_is_not_acknowledged() {
    let answer = publish("/ext/regnwl", ANSWER, Some(7));
    let platform = Platform::new(&[&CONNACK, &answer], true);
    let error = platform.registration.run(LONG, |_| false).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::RegistrationNotStored);
    assert!(platform.heard().is_empty());
}

#[test]
fn messages_before_the_answer_and_bytes_in_one_piece_do_not_matter() {
    let other = publish("/ext/notify", "{}", None);
    let owed = publish("/sys/pk/dn/x", "", Some(3));
    let answer = publish("/ext/register", ANSWER, None);
    let platform = Platform::new(&[&CONNACK, &other, &owed, &answer], true);
    platform.register(LONG).unwrap();
    assert_eq!(platform.heard(), [0x40, 2, 0, 3, 0xE0, 0]);
}

#[test]
fn each_refusal_is_told_with_its_code() {
    for (code, kind) in [
        (2, ErrorKind::RegistrationRefused),
        (3, ErrorKind::ServerUnavailable),
        (4, ErrorKind::RegistrationRefused),
    ] {
        let platform = Platform::new(&[&[0x20, 2, 0, code]], false);
        let error = platform.register(LONG).unwrap_err();
        assert_eq!(error.kind(), kind);
        assert_eq!(error.stage(), Stage::Platform);
        assert_eq!(error.connack_code(), Some(code));
    }
}

#[test]
fn a_platform_that_closes_without_an_answer_may_have_registered() {
    for says in [&[][..], &[&CONNACK[..]]] {
        let platform = Platform::new(says, false);
        assert_unanswered(&platform.register(LONG).unwrap_err(), "closed");
        platform.heard();
        // It was dialled once.
        assert!(
            platform
                .heard
                .recv_timeout(Duration::from_millis(200))
                .is_err()
        );
    }
}

#[test]
fn a_silent_platform_is_given_up_at_the_deadline() {
    for (says, words) in [
        (&[][..], "did not answer CONNECT in time"),
        (&[&CONNACK[..]], "sent no answer in time"),
    ] {
        let platform = Platform::new(says, true);
        let begun = Instant::now();
        let error = platform.register(Duration::from_millis(300)).unwrap_err();
        assert_unanswered(&error, words);
        assert!(begun.elapsed() < Duration::from_secs(3));
    }
}

#[test]
fn what_is_no_answer_and_what_is_no_mqtt_are_told_apart() {
    let malformed = publish("/ext/register", "{\"productKey\":\"pk\"}", None);
    for (says, kind) in [
        (
            &[&CONNACK[..], &malformed][..],
            ErrorKind::RegistrationMalformed,
        ),
        (&[&malformed], ErrorKind::Protocol),
        (&[&CONNACK, &CONNACK], ErrorKind::Protocol),
        (&[b"\x00\x00"], ErrorKind::Protocol),
        (&[&[0x20, 2, 0, 9]], ErrorKind::Protocol),
    ] {
        let platform = Platform::new(says, true);
        let error = platform.register(LONG).unwrap_err();
        assert_eq!(error.kind(), kind, "{error}");
        assert!(!platform.heard().contains(&0xE0), "it was acknowledged");
    }
}

#[test]
fn what_fails_before_connect_has_the_errors_of_connecting() {
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = nobody.local_addr().unwrap().port();
    drop(nobody);
    let kind = RegistrationKind::Preregistered;
    let endpoint = Endpoint::host("127.0.0.1", port).unwrap();
    let registration = Registration::new(&endpoint, "pk", "absent", "ps", kind).unwrap();
    let error = registration.run(LONG, |_| true).unwrap_err();
    assert_eq!(
        (error.kind(), error.stage()),
        (ErrorKind::Network, Stage::Tcp)
    );

    let platform = Platform::new(&[], true);
    let port = platform.registration.endpoint().port();
    let stranger = Endpoint::host("127.0.0.1", port).unwrap();
    let registration = Registration::new(&stranger, "pk", "stranger", "ps", kind).unwrap();
    let error = registration.run(LONG, |_| true).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TlsCertificate);
}

#[test]
fn the_sixth_registration_within_a_minute_waits_longer_than_its_deadline() {
    let mut platform = Platform::new(&[&[0x20, 2, 0, 4]], false);
    platform
        .registration
        .set_connects_per_minute(Some(5))
        .unwrap();
    for _ in 0..5 {
        let error = platform.register(LONG).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::RegistrationRefused);
    }
    let begun = Instant::now();
    let error = platform.register(LONG).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Timeout);
    assert!(error.to_string().contains("the next is in"), "{error}");
    assert!(begun.elapsed() < Duration::from_secs(1));
}

#[test]
fn what_fails_before_anything_is_dialled_is_not_counted() {
    let mut endpoint = Endpoint::host("127.0.0.1", 8883).unwrap();
    let file = std::env::temp_dir().join(format!("aliot-rootless-{}.pem", std::process::id()));
    std::fs::write(&file, Ca::new("rootless").pem()).unwrap();
    endpoint.set_ca_file(&file).unwrap();
    std::fs::remove_file(&file).unwrap();
    let kind = RegistrationKind::Preregistered;
    let registration = Registration::new(&endpoint, "pk", "rootless", "ps", kind).unwrap();
    for n in 1..=6 {
        let error = registration.run(LONG, |_| true).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TlsConfig, "number {n}: {error}");
    }
}

#[test]
fn a_handler_is_called_once_where_callbacks_run_and_may_not_block() {
    let answer = publish("/ext/register", ANSWER, None);
    let platform = Platform::new(&[&CONNACK, &answer], true);
    let runtime = Runtime::new(Dispatch::Poll).unwrap();
    let (tell, told) = channel();
    let again = platform.registration.clone();
    platform
        .registration
        .start(&runtime, LONG, || {
            Box::new(move |outcome| {
                let deadlock = again.run(LONG, |_| true).unwrap_err();
                assert_eq!(deadlock.kind(), ErrorKind::WouldDeadlock);
                tell.send(outcome.cloned()).unwrap();
                true
            })
        })
        .unwrap();
    assert!(told.try_recv().is_err());
    assert_eq!(runtime.poll(LONG), Ok(1));
    let identity = told.recv().unwrap().unwrap();
    assert_eq!(identity.secret().expose(), "s3cret");
    assert!(told.recv().is_err());
    assert_eq!(platform.heard(), [0xE0, 0]);
}

#[test]
fn a_handler_hears_of_a_failure_too() {
    let platform = Platform::new(&[&[0x20, 2, 0, 2]], false);
    let (tell, told) = channel();
    platform
        .registration
        .start(&Runtime::shared().unwrap(), LONG, || {
            Box::new(move |outcome| tell.send(outcome.cloned()).is_ok())
        })
        .unwrap();
    let error = told.recv_timeout(LONG).unwrap().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::RegistrationRefused);
}

#[test]
fn waiting_for_others_to_connect_does_not_count_as_the_connect_timeout() {
    let (give_up, given_up) = channel();
    let (ready, address) = channel();
    let silent = std::thread::spawn(move || {
        run(async {
            let (listener, address) = listen().await;
            let dials = take_all_turns(address).await;
            ready.send(address).unwrap();
            let wait = move || given_up.recv();
            tokio::task::spawn_blocking(wait).await.unwrap().unwrap();
            // Whoever comes next is refused.
            drop(listener);
            drop(dials);
        });
    });
    let address = address.recv().unwrap();
    let mut endpoint = Endpoint::host("127.0.0.1", address.port()).unwrap();
    endpoint
        .set_connect_timeout(Duration::from_millis(100))
        .unwrap();
    let kind = RegistrationKind::Preregistered;
    let mut registration = Registration::new(&endpoint, "pk", "turns", "ps", kind).unwrap();
    registration.set_connects_per_minute(Some(1)).unwrap();

    // Its own deadline holds, and what nobody saw costs nothing: the next one need not wait.
    let error = registration.run(Duration::from_millis(500), |_| true);
    let error = error.unwrap_err();
    assert_eq!(
        (error.kind(), error.stage()),
        (ErrorKind::Timeout, Stage::Session),
        "{error}"
    );
    assert!(error.to_string().contains("same host"), "{error}");

    let (tell, told) = channel();
    std::thread::spawn(move || drop(tell.send(registration.run(LONG, |_| true))));
    let early = told.recv_timeout(Duration::from_millis(500));
    assert!(early.is_err(), "{early:?}");
    give_up.send(()).unwrap();
    let error = told.recv_timeout(LONG).unwrap().unwrap_err();
    assert_eq!(error.stage(), Stage::Tcp, "{error}");
    assert_eq!(error.kind(), ErrorKind::Network, "{error}");
    silent.join().unwrap();
}
