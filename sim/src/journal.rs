//! The log: one line for each happening, kept in memory and written out without ever waiting.

use std::collections::VecDeque;
use std::io::Write;
use std::sync::mpsc::{self, SyncSender};
use std::thread::JoinHandle;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::feed::Feed;
use crate::options::LogOutput;

/// Lines that wait to be written. Beyond it lines are left out, since a reader of the log who has
/// stopped reading must not stop the simulator.
const MAX_WAITING: usize = 16_384;

/// Log lines, the oldest first.
pub(crate) struct Journal {
    lines: VecDeque<String>,
    history: usize,
    /// Messages and presence, for those who look on.
    pub(crate) feed: Feed,
    output: Option<SyncSender<String>>,
    writer: Option<JoinHandle<()>>,
}

impl Journal {
    /// A journal that remembers `history` lines.
    pub(crate) fn new(output: LogOutput, history: usize) -> std::io::Result<Self> {
        let mut journal = Self {
            lines: VecDeque::new(),
            history,
            feed: Feed::new(),
            output: None,
            writer: None,
        };
        if output == LogOutput::Stdout {
            let (sender, receiver) = mpsc::sync_channel::<String>(MAX_WAITING);
            let write = move || {
                for line in receiver {
                    print_line(&line);
                }
            };
            let name = "sim-log".to_owned();
            journal.writer = Some(std::thread::Builder::new().name(name).spawn(write)?);
            journal.output = Some(sender);
        }
        Ok(journal)
    }

    /// Adds a line, with the time in front of it.
    pub(crate) fn add(&mut self, text: &str) {
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        let line = format!("{} {text}", timestamp(now));
        if let Some(output) = &self.output {
            let _ = output.try_send(line.clone());
        }
        self.feed.log(&line);
        self.lines.push_back(line);
        while self.lines.len() > self.history {
            self.lines.pop_front();
        }
    }

    /// The lines remembered.
    pub(crate) fn lines(&self) -> impl Iterator<Item = &str> {
        self.lines.iter().map(String::as_str)
    }
}

impl Drop for Journal {
    fn drop(&mut self) {
        // The writer ends when the last sender is gone and all lines are written.
        self.output = None;
        if let Some(writer) = self.writer.take() {
            let _ = writer.join();
        }
    }
}

/// Writes a line to standard output and flushes it. A closed standard output is not an error: who
/// closed it does not want the lines.
pub(crate) fn print_line(line: &str) {
    let mut stdout = std::io::stdout().lock();
    let _ = writeln!(stdout, "{line}").and_then(|()| stdout.flush());
}

/// The time since 1970 as `2025-11-23T13:42:00.000Z`.
fn timestamp(since_1970: Duration) -> String {
    let (days, second) = (since_1970.as_secs() / 86_400, since_1970.as_secs() % 86_400);
    // Days to date, with years that begin in March so that the leap day is the last of its year.
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 {
        shifted_month + 3
    } else {
        shifted_month - 9
    };
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    format!(
        "{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}.{:03}Z",
        second / 3600,
        second / 60 % 60,
        second % 60,
        since_1970.subsec_millis()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_as_dates() {
        for (seconds, expected) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (951_782_400, "2000-02-29T00:00:00.000Z"),
            (1_735_689_599, "2024-12-31T23:59:59.000Z"),
            (2_524_608_000, "2050-01-01T00:00:00.000Z"),
        ] {
            assert_eq!(timestamp(Duration::from_secs(seconds)), expected);
        }
    }

    #[test]
    fn only_the_newest_lines_are_remembered() {
        let mut journal = Journal::new(LogOutput::None, 2).unwrap();
        for text in ["one", "two", "three"] {
            journal.add(text);
        }
        let lines: Vec<&str> = journal.lines().collect();
        assert!(lines.len() == 2 && lines[0].ends_with("two") && lines[1].ends_with("three"));
    }
}
