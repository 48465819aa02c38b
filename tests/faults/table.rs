//! README.md beside this file against the tests: every row is there, every test that it names
//! exists, and what it says a test did so many times is what that test did.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Write as _;
use std::path::Path;

use crate::ran::times;
use crate::{namespace, process, tls};

const README: &str = include_str!("README.md");
/// The rows of each kind.
const ROWS: [(char, usize); 6] = [
    ('T', 24),
    ('P', 20),
    ('S', 20),
    ('E', 17),
    ('U', 17),
    ('L', 6),
];
/// Many executions of little: reconnects of one client, and packets of one byte sequence each.
const BULK: [&str; 3] = [
    "a_thousand_reconnects_leave_no_thread_descriptor_or_memory_behind",
    "a_hundred_tls_reconnects_leave_no_thread_descriptor_or_memory_behind",
    "every_sequence_ends_as_its_row_says",
];

fn sources(folder: &Path, text: &mut String) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, text);
        } else if path.extension().is_some_and(|it| it == "rs" || it == "c") {
            text.push_str(&fs::read_to_string(path).unwrap());
        }
    }
}

/// The tests of a row, and how often each injects its fault: in a usual run, and at least so often in
/// a long one.
fn tests_in(row: &str) -> BTreeMap<&str, (usize, usize)> {
    let mut tests = BTreeMap::new();
    let pieces: Vec<&str> = row.split('`').collect();
    for pair in pieces[1..].chunks(2) {
        let is_plain = |c: char| c.is_ascii_alphanumeric() || c == '_';
        let name = pair[0];
        if name.chars().all(is_plain) && name.matches('_').count() >= 3 {
            let (usual, long) = pair.get(1).and_then(|it| times(it)).unwrap_or((1, Some(1)));
            tests.insert(name, (usual, long.unwrap_or(usual)));
        }
    }
    tests
}

/// Tests that this machine skips.
fn skipped() -> BTreeSet<&'static str> {
    let mut tests: BTreeSet<_> = namespace::skipped().into_iter().collect();
    if process::faketime().is_none() {
        tests.extend(process::NEED_FAKETIME);
    }
    if process::time_namespace_lacks() {
        tests.extend(process::NEED_TIME_NAMESPACE);
    }
    if !process::has_fiu() {
        tests.extend(process::NEED_FIU);
    }
    if !tls::has_openssl() {
        tests.extend(tls::NEED_OPENSSL);
    }
    tests
}

#[derive(Default)]
struct Sum {
    usual: usize,
    long: usize,
}

impl Sum {
    fn add(&mut self, (usual, long): (usize, usize)) {
        self.usual += usual;
        self.long += long;
    }
}

#[test]
fn every_row_has_its_tests_and_they_exist() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut code = String::new();
    sources(&root.join("src"), &mut code);
    sources(&root.join("tests"), &mut code);
    let (mut automated, mut without) = (0, Vec::new());
    let mut before_scale = 0;
    let mut executions = BTreeMap::new();
    let mut ids = Vec::new();
    for row in README.lines() {
        if row == "### Scale" {
            before_scale = automated;
        }
        if !row.starts_with("| ") {
            continue;
        }
        let id = row[2..].split(' ').next().unwrap();
        let is_row = id == "+" || id.len() == 3 && id[1..].chars().all(|c| c.is_ascii_digit());
        if !is_row {
            continue;
        }
        let cells: Vec<&str> = row.trim_matches('|').split('|').map(str::trim).collect();
        assert!(
            cells.len() == 5 && cells.iter().all(|cell| !cell.is_empty()),
            "{id}: a row has five cells, and none is empty: {cells:?}"
        );
        let tests = tests_in(row);
        for name in tests.keys() {
            let exists = [format!("fn {name}("), format!("void {name}(void)")];
            assert!(
                exists.iter().any(|it| code.contains(it)),
                "{id}: no test {name}"
            );
        }
        // What is injected there is injected nowhere, whatever tests are near it.
        let reasons = ["does not apply: ", "open: "];
        let is_open = reasons.iter().any(|it| row.contains(it));
        if tests.is_empty() || is_open {
            assert!(is_open || row.contains("`make "), "{id}: why no test?");
            without.push(id);
        } else {
            automated += 1;
        }
        for (name, (usual, long)) in tests {
            // A test that several rows name says its number once.
            let most: &mut (usize, usize) = executions.entry(name).or_default();
            *most = (usual.max(most.0), long.max(most.1));
        }
        ids.push(id);
    }
    for (kind, count) in ROWS {
        for n in 1..=count {
            let id = format!("{kind}{n:02}");
            assert!(ids.contains(&id.as_str()), "README.md has no row {id}");
        }
    }
    let skipped = skipped();
    let (mut all, mut other, mut lost) = (Sum::default(), Sum::default(), Sum::default());
    for (name, times) in &executions {
        all.add(*times);
        if !BULK.contains(name) {
            other.add(*times);
        }
        if skipped.contains(name) {
            lost.add(*times);
        }
    }
    let tests_counted = format!(
        "{automated} rows, {before_scale} of them without those of scale; {} executions, {} without \
         the bulk; in a long run at least {}, {} without the bulk",
        all.usual, other.usual, all.long, other.long
    );
    // Past the harness, for every run to say.
    let _ = writeln!(
        std::io::stderr(),
        "faults: {tests_counted}; without a test in make test: {}",
        without.join(", ")
    );
    if !skipped.is_empty() {
        let names: Vec<_> = skipped.into_iter().collect();
        let _ = writeln!(
            std::io::stderr(),
            "faults: SKIPPED here, {} of these executions: {}",
            lost.usual,
            names.join(", ")
        );
    }
    assert!(
        README.contains(&tests_counted),
        "README.md lacks: {tests_counted}"
    );
    assert!(before_scale >= 100 && all.usual >= 1500, "{tests_counted}");
}
