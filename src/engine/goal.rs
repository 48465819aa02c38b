//! What threads of the application wait for, so that each is woken when that has come and not before.

use super::mailbox::{MessageHandler, Shared};
use super::sync::thread::{self, ThreadId};
use crate::proto::device::Device;
use crate::proto::event::State;
use crate::proto::outbox::Mark;
use crate::{Error, ErrorKind, Stage};

/// What a call waits for.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Goal {
    Connected,
    /// Everything before the mark has completed.
    Flushed(Mark),
    /// Half of the outbox is free.
    Room,
    Stopped,
}

impl Goal {
    /// # Errors
    ///
    /// [`ErrorKind::InvalidState`]: it will not come.
    pub(crate) fn is_reached(self, device: &Device<Shared<MessageHandler>>) -> Result<bool, Error> {
        match self {
            Self::Connected => match device.state() {
                State::Connected => Ok(true),
                State::Connecting | State::Waiting => Ok(false),
                State::Stopped | State::Stopping => {
                    let text = "the client is stopped: start it first";
                    Err(Error::new(ErrorKind::InvalidState, Stage::State, text))
                }
            },
            Self::Flushed(mark) => Ok(device.has_passed(mark)),
            Self::Room => Ok(device.has_room()),
            Self::Stopped => Ok(device.state() == State::Stopped),
        }
    }
}

/// The threads that wait and have not been told yet.
#[derive(Debug, Default)]
pub(crate) struct Waiting(Vec<(ThreadId, Goal)>);

impl Waiting {
    /// This thread begins to wait.
    pub(crate) fn add(&mut self, goal: Goal) {
        self.0.push((thread::current().id(), goal));
    }

    /// This thread no longer waits.
    pub(crate) fn remove(&mut self) {
        let current = thread::current().id();
        self.0.retain(|&(thread, _)| thread != current);
        if self.0.is_empty() {
            self.0 = Vec::new();
        }
    }

    /// Whether somebody is to be woken, once for each who waits.
    pub(crate) fn take_reached(&mut self, device: &Device<Shared<MessageHandler>>) -> bool {
        let before = self.0.len();
        self.0
            .retain(|(_, goal)| matches!(goal.is_reached(device), Ok(false)));
        self.0.len() < before
    }
}
