//! One connection: reads packets, writes the outbox, ends as the broker or the client wants it.

use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use rumqttc::mqttbytes::v4::Packet;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_rustls::server::TlsStream;

use crate::auth::{Transport, code};
use crate::broker::{Admitted, Arrival, Broker};
use crate::certs::fingerprint;
use crate::outbox::{End, Outbox};
use crate::packet::{self, Fault};

/// How long a closing connection may take to hand over what is queued.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(5);

/// How long a closed connection is still read, so that the kernel does not turn unread bytes into a
/// reset that destroys what was sent last.
const LINGER: Duration = Duration::from_secs(1);

/// A stream whose socket can be reached.
pub(crate) trait Socket: AsyncRead + AsyncWrite + Unpin {
    /// The TCP socket below.
    fn tcp(&self) -> &TcpStream;

    /// SHA-256 of the certificate the client has shown, in lower-case hex.
    fn certificate(&self) -> Option<String> {
        None
    }
}

impl Socket for TcpStream {
    fn tcp(&self) -> &TcpStream {
        self
    }
}

impl Socket for TlsStream<TcpStream> {
    fn tcp(&self) -> &TcpStream {
        self.get_ref().0
    }

    fn certificate(&self) -> Option<String> {
        let shown = self.get_ref().1.peer_certificates()?;
        shown.first().map(|certificate| fingerprint(certificate))
    }
}

/// Serves one client from its first packet to the end. The CONNECT is due by `deadline`.
pub(crate) async fn serve<S: Socket>(
    broker: Arc<Broker>,
    transport: Transport,
    peer: String,
    stream: S,
    deadline: Instant,
) {
    let outbox = Arc::new(Outbox::new());
    let arrival = Arrival {
        transport,
        certificate: stream.certificate(),
        peer,
    };
    let (mut read_half, mut write_half) = tokio::io::split(stream);
    let mut reader = Reader {
        broker: &broker,
        outbox: &outbox,
        buffer: BytesMut::new(),
    };
    let read = async {
        let mut admitted = None;
        let reason = tokio::select! {
            biased;
            () = outbox.ended() => "closed by the simulator".to_owned(),
            reason = reader.run(&mut read_half, &arrival, deadline, &mut admitted) => reason,
        };
        outbox.end(End::Close);
        match admitted {
            Some(admitted) => broker.disconnect(&admitted, &reason),
            None => log_end(&broker, &arrival.peer, &reason),
        }
    };
    let write = async {
        tokio::select! {
            biased;
            () = outbox.aborted() => {}
            () = late(&outbox) => {}
            () = write_all(&outbox, &mut write_half) => {}
        }
        // Without a way to write there is no reason to read on.
        outbox.end(End::Close);
    };
    tokio::join!(read, write);
    finish(read_half.unsplit(write_half), outbox.ending()).await;
}

/// Logs the end of a connection that was never let in. A refusal has its own line already.
fn log_end(broker: &Broker, peer: &str, reason: &str) {
    if !reason.is_empty() {
        broker.log(&format!("closed the connection from {peer}: {reason}"));
    }
}

/// Waits until an orderly close has taken too long.
async fn late(outbox: &Outbox) {
    outbox.ended().await;
    tokio::time::sleep(CLOSE_TIMEOUT).await;
}

/// Writes what the outbox holds until it ends or the client is gone.
async fn write_all<W: AsyncWrite + Unpin>(outbox: &Outbox, stream: &mut W) {
    while let Some((due, packet)) = outbox.next().await {
        if due > Instant::now() {
            sleep_until(due).await;
        }
        let packet = outbox.spoil(packet);
        if stream.write_all(&packet).await.is_err() || stream.flush().await.is_err() {
            return;
        }
    }
}

/// Closes the stream in the way that was decided.
async fn finish<S: Socket>(mut stream: S, end: Option<End>) {
    match end {
        Some(End::Reset) => {
            // With a linger time of zero, closing sends RST.
            let _ = stream.tcp().set_zero_linger();
        }
        Some(End::Cut) => {}
        Some(End::Close) | None => {
            let close = async {
                // Over TLS this sends close_notify first.
                let _ = stream.shutdown().await;
                let mut rest = [0; 4096];
                while matches!(stream.read(&mut rest).await, Ok(1..)) {}
            };
            let _ = timeout(LINGER, close).await;
        }
    }
}

struct Reader<'a> {
    broker: &'a Broker,
    outbox: &'a Arc<Outbox>,
    buffer: BytesMut,
}

impl Reader<'_> {
    /// Reads and handles packets until the connection is to end; returns the reason, which is empty
    /// if it was logged already.
    async fn run<R: AsyncRead + Unpin>(
        &mut self,
        stream: &mut R,
        arrival: &Arrival,
        deadline: Instant,
        admitted: &mut Option<Admitted>,
    ) -> String {
        let mut hold = self.broker.hold.subscribe();
        let mut paused = self.outbox.paused();
        let mut last_heard = Instant::now();
        let mut next_check = deadline;
        loop {
            while let Some(step) = self.step(arrival, admitted) {
                if let Err(reason) = step {
                    return reason;
                }
                last_heard = Instant::now();
            }
            if let (Some(_), true) = (&admitted, next_check == deadline) {
                next_check = last_heard + self.check_interval();
            }
            if *hold.borrow_and_update() || *paused.borrow_and_update() {
                let on = |held: &bool| !*held;
                if hold.wait_for(on).await.is_err() || paused.wait_for(on).await.is_err() {
                    return "the simulator stops".into();
                }
                // The silence was the simulator's own.
                last_heard = Instant::now();
            }
            tokio::select! {
                // In this order: what arrives once reading is held must not be read.
                biased;
                _ = hold.changed() => {}
                _ = paused.changed() => {}
                () = sleep_until(next_check) => {
                    let Some(admitted) = &admitted else {
                        return "no CONNECT in time".into();
                    };
                    let silence = last_heard.elapsed();
                    if admitted.max_silence.is_some_and(|max| silence > max) {
                        return format!("keep-alive timeout, silent for {silence:.1?}");
                    }
                    next_check += self.check_interval();
                }
                result = stream.read_buf(&mut self.buffer) => match result {
                    Ok(0) => return gone(admitted, "the client closed the connection"),
                    Ok(_) => {}
                    Err(error) => return gone(admitted, &error.to_string()),
                },
            }
        }
    }

    fn check_interval(&self) -> Duration {
        // A check without any pause in between would keep the thread busy.
        self.broker
            .scaled(self.broker.check_interval)
            .max(Duration::from_millis(1))
    }

    /// Handles the next packet in the buffer; `None` if it holds no whole one.
    fn step(
        &mut self,
        arrival: &Arrival,
        admitted: &mut Option<Admitted>,
    ) -> Option<Result<(), String>> {
        let packet = match packet::next(&mut self.buffer) {
            Ok(None) => return None,
            Ok(Some(packet)) => packet,
            Err(Fault::Malformed(reason)) => return Some(Err(reason)),
            Err(Fault::Version(reason)) => {
                if admitted.is_none() {
                    let _ = self.outbox.push(packet::conn_ack(false, code::PROTOCOL));
                    self.broker.refuse_version(&arrival.peer, &reason);
                    return Some(Err(String::new()));
                }
                return Some(Err("the device sent a second CONNECT".into()));
            }
        };
        Some(match (&admitted, packet) {
            (Some(admitted), packet) => self.broker.handle(admitted, self.outbox, packet),
            (None, Packet::Connect(connect)) if connect.last_will.is_some() => {
                Err("a CONNECT with a will: the platform has none".into())
            }
            (None, Packet::Connect(connect)) => {
                match self.broker.connect(arrival, &connect, self.outbox) {
                    Ok(answer) => {
                        if let Some(stay) = answer.stay {
                            tokio::spawn(close_after(stay, Arc::clone(self.outbox)));
                        }
                        *admitted = Some(answer);
                        Ok(())
                    }
                    // The refusal was logged with its code.
                    Err(()) => Err(String::new()),
                }
            }
            (None, _) => Err("the first packet is not a CONNECT".into()),
        })
    }
}

/// Closes a registering client that does not go by itself.
async fn close_after(stay: Duration, outbox: Arc<Outbox>) {
    tokio::select! {
        () = tokio::time::sleep(stay) => outbox.end(End::Close),
        () = outbox.ended() => {}
    }
}

/// The reason with the stage it fell in.
fn gone(admitted: &Option<Admitted>, reason: &str) -> String {
    match admitted {
        Some(_) => reason.to_owned(),
        None => format!("{reason} before CONNECT"),
    }
}
