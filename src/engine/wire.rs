//! A client's way out: its link, and the bytes on their way into it.

use std::future::Future;
use std::io::IoSlice;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use super::hub::Hub;
use super::link::Link;
use super::trace;
use crate::proto::outbox::Chunk;
use crate::{Error, ErrorKind, Stage};

pub(crate) type Dial = Pin<Box<dyn Future<Output = Result<Link, Error>> + Send>>;

pub(crate) enum Connection {
    None,
    Dialing(Dial),
    Open(Link),
    /// Saying goodbye.
    Closing(Link),
}

/// See the module. It belongs to whoever has its lock: the driver, or for one message a thread of
/// the application. The lock comes before that of the device, and nobody waits for it.
pub(crate) struct Wire {
    pub(crate) connection: Connection,
    pub(crate) chunk: Chunk,
    /// TLS took all of the chunk and has not flushed it.
    pub(crate) flushing: bool,
    /// What a write outside of the driver met.
    failed: Option<Error>,
}

impl Default for Wire {
    fn default() -> Self {
        Self {
            connection: Connection::None,
            chunk: Chunk::default(),
            flushing: false,
            failed: None,
        }
    }
}

impl Wire {
    /// Whether more may be asked of the device.
    pub(crate) fn is_free(&self) -> bool {
        matches!(self.connection, Connection::Open(_)) && self.chunk.is_empty() && !self.flushing
    }

    /// What the last write met, if it failed outside of the driver.
    pub(crate) fn take_failure(&mut self) -> Option<Error> {
        self.failed.take()
    }

    /// Drops the link. Returns what it was being given.
    pub(crate) fn reset(&mut self) -> Chunk {
        std::mem::take(self).chunk
    }

    /// Ready if a whole chunk was written, pending if the socket is full or there is nothing.
    pub(crate) fn write(
        &mut self,
        hub: &Arc<Hub>,
        cx: &mut Context<'_>,
        now: Duration,
    ) -> Poll<Result<(), Error>> {
        if let Some(error) = self.take_failure() {
            return Poll::Ready(Err(error));
        }
        let Connection::Open(link) = &mut self.connection else {
            return Poll::Pending;
        };
        if self.chunk.is_empty() && !self.flushing {
            let mut core = hub.lock();
            if !core.device.has_transmit(now) {
                drop(core);
                // Idle connections hold no buffers.
                self.chunk = Chunk::default();
                return Poll::Pending;
            }
            core.device.poll_transmit(&mut self.chunk, now);
            drop(core);
            if self.chunk.is_empty() {
                return Poll::Pending;
            }
            if trace::is_on() {
                self.chunk.rest().into_iter().for_each(trace::sent);
            }
        }
        let mut progress = false;
        while !self.chunk.is_done() {
            let rest = self.chunk.rest().map(IoSlice::new);
            match link.poll_write_vectored(cx, &rest) {
                Poll::Ready(Ok(0)) => {
                    let text = "the socket takes nothing any more";
                    let error = Error::new(ErrorKind::Network, Stage::Mqtt, text);
                    return Poll::Ready(Err(error));
                }
                Poll::Ready(Ok(len)) => {
                    self.chunk.advance(len);
                    progress = true;
                }
                Poll::Ready(Err(error)) => return Poll::Ready(Err(Link::error(&error))),
                Poll::Pending => {
                    if progress {
                        hub.lock().device.handle_progress(now);
                    }
                    return Poll::Pending;
                }
            }
        }
        self.flushing = true;
        if let Err(error) = ready!(link.poll_flush(cx)) {
            return Poll::Ready(Err(Link::error(&error)));
        }
        self.flushing = false;
        let mut core = hub.lock();
        core.device.handle_written(&mut self.chunk, now);
        hub.release(core);
        Poll::Ready(Ok(()))
    }

    /// Writes one chunk on a thread that is not the driver's. `false`: the rest is the driver's
    /// business, which must be woken.
    pub(crate) fn write_aside(&mut self, hub: &Arc<Hub>, now: Duration) -> bool {
        if !self.is_free() {
            return false;
        }
        // Where the socket is full, the driver asks it again, and is woken by it.
        let mut cx = Context::from_waker(Waker::noop());
        match self.write(hub, &mut cx, now) {
            Poll::Ready(Ok(())) => true,
            Poll::Ready(Err(error)) => {
                self.failed = Some(error);
                false
            }
            Poll::Pending => self.chunk.is_empty() && !self.flushing,
        }
    }
}
