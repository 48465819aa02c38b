//! Every packet that a broker can get wrong, and the few that it may send, against a real
//! connection: one row of `data/*.txt` each. `tests/README.md` says how the rows were made.

#[path = "../behaviour/support/mod.rs"]
#[allow(dead_code, reason = "each test program uses its part")]
mod support;

mod against_libmosquitto;
#[path = "../faults/ran.rs"]
mod ran;
mod row;
mod run;

use std::collections::BTreeSet;
use std::io::Write;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use row::{Row, rows};
use run::run;

/// Rows under way at a time: most of each is waiting for the loopback interface.
const THREADS: usize = 8;

/// What `look` says of each row, in their order, with some of them under way at a time.
fn each<T: Send>(rows: &[Row], look: impl Fn(&Row) -> T + Sync) -> Vec<T> {
    let next = AtomicUsize::new(0);
    let said = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                loop {
                    let n = next.fetch_add(1, Ordering::Relaxed);
                    let Some(row) = rows.get(n) else { break };
                    let of_row = look(row);
                    said.lock().unwrap().push((n, of_row));
                }
            });
        }
    });
    let mut said = said.into_inner().unwrap();
    said.sort_by_key(|(n, _)| *n);
    said.into_iter().map(|(_, of_row)| of_row).collect()
}

#[test]
fn every_sequence_ends_as_its_row_says() {
    let rows = rows();
    let failures = each(&rows, |row| {
        let panic = catch_unwind(AssertUnwindSafe(|| run(row))).err()?;
        let text = panic
            .downcast_ref::<String>()
            .map(String::as_str)
            .or_else(|| panic.downcast_ref::<&str>().copied())
            .unwrap_or("a panic without a text");
        Some(format!("{}: {text}", row.name))
    });
    let failures: Vec<String> = failures.into_iter().flatten().collect();
    let passed = rows.len() - failures.len();
    // Written past the test harness, which would keep it to itself.
    let summary = format!("sequences: {passed} of {}\n", rows.len());
    std::io::stderr().write_all(summary.as_bytes()).unwrap();
    assert!(failures.is_empty(), "{}", failures.join("\n"));
    ran::ran("every_sequence_ends_as_its_row_says", passed);
}

#[test]
fn the_table_has_every_group_and_no_row_twice() {
    let rows = rows();
    let names: BTreeSet<&str> = rows.iter().map(|row| row.name.as_str()).collect();
    assert_eq!(names.len(), rows.len(), "a name occurs twice");
    let sequences: BTreeSet<_> = rows.iter().map(|row| (row.phase, &row.bytes)).collect();
    assert_eq!(sequences.len(), rows.len(), "a sequence occurs twice");
    let least = [
        ("connack", 19),
        ("publish", 25),
        ("puback", 20),
        ("unsuback", 17),
        ("suback", 14),
        ("pingresp", 8),
        ("disconnect", 8),
        ("pingreq", 8),
        ("connect", 105),
        ("subscribe", 37),
        ("unsubscribe", 24),
        ("forbidden", 12),
        ("auth", 7),
        ("pubrec", 21),
        ("pubrel", 21),
        ("pubcomp", 21),
    ];
    for (group, least) in least {
        let is_in_group =
            |row: &&Row| row.name.split_once('/').map(|(group, _)| group) == Some(group);
        let found = rows.iter().filter(is_in_group).count();
        assert!(found >= least, "{group}: {found} rows, {least} are needed");
    }
}
