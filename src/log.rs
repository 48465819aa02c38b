//! The log: one process-wide sink, off until the application sets one.

use std::fmt;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

/// How important a record is. Each level includes the ones before it.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Level {
    /// Nothing is logged.
    Off = 0,
    /// Something the application asked for failed for good.
    Error = 1,
    /// Something failed and will be tried again, or was lost.
    Warn = 2,
    /// A connection came or went.
    Info = 3,
    /// Everything else; still never a secret or a payload.
    Debug = 4,
}

/// One line of the log.
#[derive(Clone, Copy, Debug)]
pub struct Record<'a> {
    /// How important it is.
    pub level: Level,
    /// The part of the library that speaks, such as "session".
    pub target: &'a str,
    /// The line, without control characters and without a secret.
    pub text: &'a str,
}

/// Receives records on the thread that logs, whichever that is. It must not call the library.
pub type Sink = Arc<dyn Fn(&Record<'_>) + Send + Sync>;

static MAX_LEVEL: AtomicU8 = AtomicU8::new(0);
static SINK: RwLock<Option<Sink>> = RwLock::new(None);

/// Replaces the process-wide sink; `None` turns logging off. The previous sink is dropped after the
/// last record given to it has been handled.
pub fn set_sink(max_level: Level, sink: Option<Sink>) {
    let level = if sink.is_some() {
        max_level
    } else {
        Level::Off
    };
    let previous = {
        let mut current = SINK.write().unwrap_or_else(PoisonError::into_inner);
        MAX_LEVEL.store(level as u8, Ordering::Relaxed);
        std::mem::replace(&mut *current, sink)
    };
    drop(previous);
}

/// Whether a record of `level` would reach anyone.
pub fn enabled(level: Level) -> bool {
    level as u8 <= MAX_LEVEL.load(Ordering::Relaxed)
}

/// Logs one line. `text` is formatted only if somebody listens; control characters become spaces,
/// so that nothing the platform or the application sends can forge a line.
pub(crate) fn log(level: Level, target: &str, text: fmt::Arguments<'_>) {
    if level == Level::Off || !enabled(level) {
        return;
    }
    let sink = SINK.read().unwrap_or_else(PoisonError::into_inner).clone();
    if let Some(sink) = sink {
        let text = text.to_string().replace(char::is_control, " ");
        sink(&Record {
            level,
            target,
            text: &text,
        });
    }
}
