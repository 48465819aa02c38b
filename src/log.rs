//! The log: one process-wide sink, off until the application sets one.

use std::fmt;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::{Duration, UNIX_EPOCH};

use crate::engine::clock;

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
    /// Each packet, with the beginning of its payload unless the platform sends secrets there.
    Debug = 4,
}

/// One line of the log.
#[derive(Clone, Copy, Debug)]
pub struct Record<'a> {
    /// How important it is.
    pub level: Level,
    /// When it was logged, as time since 1970, UTC, by the device's clock.
    pub time: Duration,
    /// The part of the library that speaks, such as "session".
    pub target: &'a str,
    /// The line, without control characters and without a secret.
    pub text: &'a str,
}

/// Receives records on the thread that logs, whichever that is. It must not call the library.
pub type Sink = Arc<dyn Fn(&Record<'_>) + Send + Sync>;

/// A line that is the same as the one before is held back for this long.
const REPEAT_WINDOW: Duration = Duration::from_secs(10);

static MAX_LEVEL: AtomicU8 = AtomicU8::new(0);
static SINK: RwLock<Option<Sink>> = RwLock::new(None);
static LAST: Mutex<Option<Last>> = Mutex::new(None);

/// The line that was logged last, and how often it came again since.
struct Last {
    level: Level,
    target: String,
    text: String,
    since: Duration,
    repeats: u64,
}

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
        *last() = None;
        std::mem::replace(&mut *current, sink)
    };
    drop(previous);
}

/// Whether a record of `level` would reach anyone.
pub fn enabled(level: Level) -> bool {
    level as u8 <= MAX_LEVEL.load(Ordering::Relaxed)
}

fn last() -> MutexGuard<'static, Option<Last>> {
    LAST.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Logs one line. `text` is formatted only if somebody listens; control characters become spaces,
/// so that nothing the platform or the application sends can forge a line.
pub(crate) fn log(level: Level, target: &str, text: fmt::Arguments<'_>) {
    if level == Level::Off || !enabled(level) {
        return;
    }
    let sink = SINK.read().unwrap_or_else(PoisonError::into_inner).clone();
    let Some(sink) = sink else {
        return;
    };
    let text = text.to_string().replace(char::is_control, " ");
    // Not the application's own clock: a callback must not run for each line.
    let time = clock::system_clock()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    let say = |level, target: &str, text: &str| {
        sink(&Record {
            level,
            time,
            target,
            text,
        });
    };
    // Not by the date: put back, it would hold a line for as long as it was put back.
    let ended = match last().repeats_until(level, target, &text, clock::now()) {
        Repeat::Held => return,
        Repeat::New(ended) => ended,
    };
    if let Some((level, target, repeats)) = ended {
        say(
            level,
            &target,
            &format!("the line before came {repeats} times more"),
        );
    }
    say(level, target, &text);
}

enum Repeat {
    /// The same line again: it is counted, not said.
    Held,
    /// Another line, or the same after a while; with the repeats of the one before.
    New(Option<(Level, String, u64)>),
}

trait Repeats {
    fn repeats_until(&mut self, level: Level, target: &str, text: &str, now: Duration) -> Repeat;
}

impl Repeats for Option<Last> {
    fn repeats_until(&mut self, level: Level, target: &str, text: &str, now: Duration) -> Repeat {
        if let Some(last) = self
            && last.level == level
            && last.target == target
            && last.text == text
            && now.saturating_sub(last.since) < REPEAT_WINDOW
        {
            last.repeats += 1;
            return Repeat::Held;
        }
        let before = self.replace(Last {
            level,
            target: target.to_owned(),
            text: text.to_owned(),
            since: now,
            repeats: 0,
        });
        let ended = before.filter(|before| before.repeats > 0);
        Repeat::New(ended.map(|before| (before.level, before.target, before.repeats)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(last: &mut Option<Last>, text: &str, second: u64) -> Option<u64> {
        let now = Duration::from_secs(second);
        match last.repeats_until(Level::Info, "test", text, now) {
            Repeat::Held => None,
            Repeat::New(ended) => Some(ended.map_or(0, |(_, _, repeats)| repeats)),
        }
    }

    #[test]
    fn a_line_that_repeats_is_said_once_and_counted() {
        let mut last = None;
        assert_eq!(said(&mut last, "a", 0), Some(0));
        assert_eq!(said(&mut last, "a", 1), None);
        assert_eq!(said(&mut last, "a", 9), None);
        assert_eq!(said(&mut last, "b", 9), Some(2), "and the count is told");
        assert_eq!(said(&mut last, "a", 9), Some(0), "it is news again");
    }

    #[test]
    fn a_line_that_goes_on_repeating_is_said_every_ten_seconds() {
        let mut last = None;
        assert_eq!(said(&mut last, "a", 100), Some(0));
        assert_eq!(said(&mut last, "a", 109), None);
        assert_eq!(said(&mut last, "a", 110), Some(1));
    }
}
