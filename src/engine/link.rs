//! A connection to the platform: bytes in, bytes out, encrypted or not.

use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::BufMut;
use rustls::HandshakeKind;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;
use tokio_util::io::poll_read_buf;

use super::socket::Socket;
use super::tls_error;
#[cfg(feature = "websocket")]
use super::websocket::WebSocket;
use crate::error::{Error, ErrorKind, Stage};

/// Plain text that rustls takes before it wants the socket to take some. Two full records: more
/// would only be memory, held by each connection whose peer has stopped reading.
const TLS_BUFFER: usize = 32 * 1024;

/// An open connection, after the TLS handshake if there is one.
#[derive(Debug)]
pub(crate) enum Link {
    /// Plain text.
    Plain(Socket),
    /// TLS. Boxed, because it is 1 KiB and the other variant is not.
    Tls(Box<TlsStream<Socket>>),
    /// One of the others, inside a WebSocket.
    #[cfg(feature = "websocket")]
    WebSocket(Box<WebSocket>),
}

impl Link {
    pub(super) fn tls(mut stream: TlsStream<Socket>) -> Self {
        stream.get_mut().1.set_buffer_limit(Some(TLS_BUFFER));
        Self::Tls(Box::new(stream))
    }

    /// Reads into `buffer`. 0 is the orderly end; see [`closed`](Self::closed).
    pub(crate) fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        let mut buffer = ReadBuf::new(buffer);
        let read = match self {
            Self::Plain(stream) => Pin::new(stream).poll_read(cx, &mut buffer),
            Self::Tls(stream) => Pin::new(stream.as_mut()).poll_read(cx, &mut buffer),
            #[cfg(feature = "websocket")]
            Self::WebSocket(socket) => return socket.poll_read(cx, buffer.initialize_unfilled()),
        };
        read.map_ok(|()| buffer.filled().len())
    }

    /// Appends to `buffer`, at most as much as it has room for. 0 is the orderly end.
    pub(crate) fn poll_read_into(
        &mut self,
        cx: &mut Context<'_>,
        buffer: &mut impl BufMut,
    ) -> Poll<io::Result<usize>> {
        match self {
            Self::Plain(stream) => poll_read_buf(Pin::new(stream), cx, buffer),
            Self::Tls(stream) => poll_read_buf(Pin::new(stream.as_mut()), cx, buffer),
            #[cfg(feature = "websocket")]
            Self::WebSocket(socket) => {
                // The frames are copied out of once already; this one is short.
                let mut part = [0; 4096];
                let room = buffer.remaining_mut().min(part.len());
                let part = part.get_mut(..room).unwrap_or_default();
                let len = std::task::ready!(socket.poll_read(cx, part))?;
                buffer.put_slice(part.get(..len).unwrap_or_default());
                Poll::Ready(Ok(len))
            }
        }
    }

    /// Writes from several slices at once and answers how much was taken.
    ///
    /// Over TLS, taken means encrypted: up to 32 KiB may still wait for
    /// [`poll_flush`](Self::poll_flush). Small slices share a record.
    pub(crate) fn poll_write_vectored(
        &mut self,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self {
            Self::Plain(stream) => Pin::new(stream).poll_write_vectored(cx, slices),
            Self::Tls(stream) => Pin::new(stream.as_mut()).poll_write_vectored(cx, slices),
            #[cfg(feature = "websocket")]
            Self::WebSocket(socket) => socket.poll_write_vectored(cx, slices),
        }
    }

    /// Gives the socket everything that was taken.
    pub(crate) fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Plain(stream) => Pin::new(stream).poll_flush(cx),
            Self::Tls(stream) => Pin::new(stream.as_mut()).poll_flush(cx),
            #[cfg(feature = "websocket")]
            Self::WebSocket(socket) => socket.poll_flush(cx),
        }
    }

    /// Flushes, says goodbye (close_notify, then FIN) and closes the sending half. What the peer
    /// has sent can still be read.
    pub(crate) fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let done = match self {
            Self::Plain(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Tls(stream) => Pin::new(stream.as_mut()).poll_shutdown(cx),
            #[cfg(feature = "websocket")]
            Self::WebSocket(socket) => socket.poll_shutdown(cx),
        };
        match done {
            // The peer was faster.
            Poll::Ready(Err(error)) if error.kind() == io::ErrorKind::NotConnected => {
                Poll::Ready(Ok(()))
            }
            done => done,
        }
    }

    /// Whether what passes is encrypted.
    #[cfg(test)]
    pub(crate) fn is_tls(&self) -> bool {
        match self {
            Self::Plain(_) => false,
            Self::Tls(_) => true,
            #[cfg(feature = "websocket")]
            Self::WebSocket(socket) => socket.inner().is_tls(),
        }
    }

    /// Has the next read ask the system, and not the runtime alone.
    pub(crate) fn ask_system(&mut self) {
        match self {
            Self::Plain(stream) => stream.ask_system(),
            Self::Tls(stream) => stream.get_mut().0.ask_system(),
            #[cfg(feature = "websocket")]
            Self::WebSocket(socket) => socket.inner_mut().ask_system(),
        }
    }

    /// The socket itself, for its options and its counters.
    pub(crate) fn socket(&self) -> &TcpStream {
        match self {
            Self::Plain(stream) => &stream.stream,
            Self::Tls(stream) => &stream.get_ref().0.stream,
            #[cfg(feature = "websocket")]
            Self::WebSocket(socket) => socket.inner().socket(),
        }
    }

    /// Address, TLS version and cipher suite in a few words, for the log.
    pub(crate) fn description(&self) -> String {
        let peer = self.socket().peer_addr().map_or_else(
            |_| "a peer that has gone".to_owned(),
            |a: SocketAddr| a.to_string(),
        );
        let stream = match self {
            Self::Plain(_) => return format!("{peer}, plain text"),
            Self::Tls(stream) => stream,
            #[cfg(feature = "websocket")]
            Self::WebSocket(socket) => return socket.inner().description() + ", WebSocket",
        };
        let session = stream.get_ref().1;
        let version = session
            .protocol_version()
            .and_then(|version| version.as_str());
        let suite = session
            .negotiated_cipher_suite()
            .and_then(|suite| suite.suite().as_str());
        let resumed = match session.handshake_kind() {
            Some(HandshakeKind::Resumed) => ", resumed",
            _ => "",
        };
        format!(
            "{peer}, {}, {}{resumed}",
            version.unwrap_or("TLS"),
            suite.unwrap_or("unnamed cipher suite")
        )
    }

    /// What a read of 0 bytes means.
    pub(crate) fn closed() -> Error {
        Error::new(
            ErrorKind::ClosedByPeer,
            Stage::Mqtt,
            "the platform closed the connection",
        )
    }

    /// What a failed read or write means.
    pub(crate) fn error(error: &io::Error) -> Error {
        if let Some(error) = tls_error::inner(error) {
            return tls_error::after_handshake(error);
        }
        let (kind, text) = match error.kind() {
            io::ErrorKind::InvalidData => (ErrorKind::Protocol, error.to_string()),
            // From TLS and WebSocket alone: TCP reports an end as a read of 0 bytes.
            io::ErrorKind::UnexpectedEof => (
                ErrorKind::ClosedByPeer,
                "the peer closed the connection without a goodbye (TLS close_notify, WebSocket \
                 close): what it sent last may be missing"
                    .to_owned(),
            ),
            io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionAborted
            | io::ErrorKind::BrokenPipe => (
                ErrorKind::Network,
                format!("the peer or the network broke the connection: {error}"),
            ),
            io::ErrorKind::TimedOut => (
                ErrorKind::Network,
                format!("the peer no longer acknowledges what is sent: {error}"),
            ),
            _ => (
                ErrorKind::Network,
                format!("the connection failed: {error}"),
            ),
        };
        Error::new(kind, Stage::Mqtt, text).with_os_error(error.raw_os_error())
    }
}
