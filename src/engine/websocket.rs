//! A link inside a WebSocket: each write is a binary message, each binary message is read in turn.
//!
//! The frames are tungstenite's, which answers pings and closings by itself. It reads from and
//! writes to memory here; the socket is driven outside of it.

use std::future::poll_fn;
use std::io::{self, IoSlice, Read, Write};
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes, BytesMut};
use tungstenite::protocol::{Role, WebSocketConfig, WebSocketContext};
use tungstenite::{Error as FrameError, Message};
use zeroize::Zeroize;

use super::clock;
use super::link::Link;
use crate::error::{Error, ErrorKind, Stage};
use crate::proto::websocket::{answer, key, request};

/// Bytes that one message carries at most, and that wait for the socket.
const MESSAGE_LEN: usize = 32 * 1024;

/// Bytes asked of the socket at once.
const READ_LEN: usize = 16 * 1024;

/// Bytes that wait for the socket, above which nothing more is read: a message and answers to pings.
const MAX_UNSENT: usize = 2 * MESSAGE_LEN;

/// The largest message that a peer may send, whatever the largest packet is: it may carry several.
const MIN_MAX_MESSAGE: usize = 1024 * 1024;

/// See the module.
pub(crate) struct WebSocket {
    inner: Link,
    frames: WebSocketContext,
    pipe: Pipe,
    /// What is left of the message that is being read.
    message: Bytes,
    closing: bool,
}

impl std::fmt::Debug for WebSocket {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("WebSocket").field(&self.inner).finish()
    }
}

/// What has arrived and what is to leave.
#[derive(Default)]
struct Pipe {
    inbound: BytesMut,
    outbound: BytesMut,
}

impl Read for Pipe {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.inbound.is_empty() {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let len = buffer.len().min(self.inbound.len());
        let (Some(to), Some(from)) = (buffer.get_mut(..len), self.inbound.get(..len)) else {
            return Ok(0);
        };
        to.copy_from_slice(from);
        self.inbound.advance(len);
        Ok(len)
    }
}

impl Write for Pipe {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.outbound.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Turns `inner` into a WebSocket. `max_len` is the largest packet that the peer may send.
///
/// # Errors
///
/// `Protocol` if the peer does not, and those of the link.
pub(super) async fn open(
    inner: Link,
    host: &str,
    port: u16,
    path: &str,
    max_len: usize,
) -> Result<Link, Error> {
    let random = clock::nonce().zip(clock::nonce()).ok_or_else(|| {
        let text = "the system has no random bytes to give";
        Error::new(ErrorKind::NoResources, Stage::WebSocket, text)
    })?;
    let (first, second) = (random.0.to_le_bytes(), random.1.to_le_bytes());
    let mut bytes = [0; 16];
    for (to, from) in bytes.iter_mut().zip(first.iter().chain(&second)) {
        *to = *from;
    }
    let key = key(bytes);
    let max_message = max_len.max(MIN_MAX_MESSAGE);
    let config = WebSocketConfig::default()
        .read_buffer_size(READ_LEN)
        .write_buffer_size(0)
        .max_message_size(Some(max_message))
        .max_frame_size(Some(max_message));
    let mut socket = WebSocket {
        inner,
        frames: WebSocketContext::new(Role::Client, Some(config)),
        pipe: Pipe::default(),
        message: Bytes::new(),
        closing: false,
    };
    let failed = |error: &io::Error| {
        let cause = Link::error(error);
        if cause.stage() == Stage::Tls {
            // It knows better, and has its own hint: with TLS 1.3 a server refuses clients only now.
            return cause;
        }
        Error::new(cause.kind(), Stage::WebSocket, cause.to_string())
            .with_os_error(error.raw_os_error())
    };
    socket
        .pipe
        .outbound
        .extend_from_slice(&request(host, port, path, &key));
    let sent = poll_fn(|cx| socket.poll_flush(cx)).await;
    sent.map_err(|error| failed(&error))?;
    loop {
        let len = poll_fn(|cx| socket.poll_fill(cx)).await;
        if len.map_err(|error| failed(&error))? == 0 {
            let text = "the peer closed the connection during the handshake of the WebSocket";
            return Err(Error::new(ErrorKind::ClosedByPeer, Stage::WebSocket, text));
        }
        match answer(&socket.pipe.inbound, &key) {
            None => {}
            Some(Ok(len)) => {
                socket.pipe.inbound.advance(len);
                return Ok(Link::WebSocket(Box::new(socket)));
            }
            Some(Err(problem)) => {
                return Err(Error::new(ErrorKind::Protocol, Stage::WebSocket, problem));
            }
        }
    }
}

impl WebSocket {
    /// The connection that carries it.
    pub(super) fn inner(&self) -> &Link {
        &self.inner
    }

    pub(super) fn inner_mut(&mut self) -> &mut Link {
        &mut self.inner
    }

    /// Takes what the socket has. 0 is its end.
    fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let mut buffer = [0; READ_LEN];
        let len = ready!(self.inner.poll_read(cx, &mut buffer))?;
        let read = buffer.get(..len).unwrap_or_default();
        self.pipe.inbound.extend_from_slice(read);
        Poll::Ready(Ok(len))
    }

    pub(super) fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        loop {
            if !self.message.is_empty() && !buffer.is_empty() {
                let len = buffer.len().min(self.message.len());
                let part = self.message.split_to(len);
                if let Some(to) = buffer.get_mut(..len) {
                    to.copy_from_slice(&part);
                }
                return Poll::Ready(Ok(len));
            }
            match self.frames.read(&mut self.pipe) {
                Ok(Message::Binary(message)) => self.message = message,
                Ok(Message::Text(_)) => {
                    // MQTT-6.0.0-1.
                    return Poll::Ready(Err(unusable("it sent a text message")));
                }
                Ok(Message::Close(_)) => {
                    // The answer is queued; whether the peer still takes it changes nothing.
                    self.closing = true;
                    let _ = self.frames.flush(&mut self.pipe);
                    let _ = self.poll_drain(cx);
                    return Poll::Ready(Ok(0));
                }
                Ok(_) => {}
                Err(FrameError::ConnectionClosed | FrameError::AlreadyClosed) => {
                    return Poll::Ready(Ok(0));
                }
                Err(FrameError::Io(error)) if error.kind() == io::ErrorKind::WouldBlock => {
                    // Answers to pings and closings must not wait for the next message.
                    match self.poll_drain(cx) {
                        Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                        // It is the peer's turn to read: answers to its pings would fill the
                        // memory.
                        Poll::Pending if self.pipe.outbound.len() > MAX_UNSENT => {
                            return Poll::Pending;
                        }
                        _ => {}
                    }
                    if ready!(self.poll_fill(cx))? == 0 {
                        return Poll::Ready(if self.closing {
                            Ok(0)
                        } else {
                            // As a TLS stream without close_notify.
                            Err(io::ErrorKind::UnexpectedEof.into())
                        });
                    }
                }
                Err(error) => return Poll::Ready(Err(unusable(error))),
            }
        }
    }

    pub(super) fn poll_write_vectored(
        &mut self,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        ready!(self.poll_drain(cx))?;
        let mut message = Vec::new();
        for slice in slices {
            let room = MESSAGE_LEN - message.len();
            message.extend_from_slice(slice.get(..room).unwrap_or(slice));
        }
        let len = message.len();
        if len > 0 {
            let message = Bytes::from(message);
            let written = self
                .frames
                .write(&mut self.pipe, Message::Binary(message.clone()));
            // It was copied into the frame, and may be the CONNECT.
            if let Ok(mut gone) = message.try_into_mut() {
                gone.as_mut().zeroize();
            }
            written
                .and_then(|()| self.frames.flush(&mut self.pipe))
                .map_err(|error| match error {
                    FrameError::ConnectionClosed | FrameError::AlreadyClosed => {
                        io::ErrorKind::BrokenPipe.into()
                    }
                    error => unusable(error),
                })?;
        }
        // It is taken, and leaves now or with the next call.
        if let Poll::Ready(Err(error)) = self.poll_drain(cx) {
            return Poll::Ready(Err(error));
        }
        Poll::Ready(Ok(len))
    }

    /// Gives the socket all that is to leave.
    fn poll_drain(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.pipe.outbound.is_empty() {
            let slices = [IoSlice::new(&self.pipe.outbound)];
            let len = ready!(self.inner.poll_write_vectored(cx, &slices))?;
            if len == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            // It may have been the CONNECT, with the password in it.
            if let Some(gone) = self.pipe.outbound.get_mut(..len) {
                gone.zeroize();
            }
            self.pipe.outbound.advance(len);
        }
        Poll::Ready(Ok(()))
    }

    pub(super) fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_drain(cx))?;
        self.inner.poll_flush(cx)
    }

    pub(super) fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !std::mem::replace(&mut self.closing, true) {
            // Whoever cannot say goodbye closes without.
            let _ = self.frames.close(&mut self.pipe, None);
            let _ = self.frames.flush(&mut self.pipe);
        }
        ready!(self.poll_drain(cx))?;
        self.inner.poll_shutdown(cx)
    }
}

fn unusable(problem: impl std::fmt::Display) -> io::Error {
    let text = format!("the peer broke the rules of WebSocket: {problem}");
    io::Error::new(io::ErrorKind::InvalidData, text)
}
