//! README.md beside this file against the tests: every row is there, every test that it names
//! exists, and what it says a test did so many times is what that test did.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write as _;
use std::path::Path;

use crate::chaos::soak;

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

/// Called at the end of a test whose faults are counted. A long run makes more of them.
pub(crate) fn ran(test: &str, times: usize) {
    let line = format!("`{test}` ×{times}");
    assert!(
        soak().is_some() || README.contains(&line),
        "README.md lacks: {line}"
    );
}

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

/// The tests of a row, and how often each injects its fault.
fn tests_in(row: &str) -> BTreeMap<&str, usize> {
    let mut tests = BTreeMap::new();
    let pieces: Vec<&str> = row.split('`').collect();
    for pair in pieces[1..].chunks(2) {
        let is_plain = |c: char| c.is_ascii_alphanumeric() || c == '_';
        let name = pair[0];
        if name.chars().all(is_plain) && name.matches('_').count() >= 3 {
            let times = pair.get(1).and_then(|after| after.strip_prefix(" ×"));
            let digits = times.and_then(|text| text.split(|c: char| !c.is_ascii_digit()).next());
            tests.insert(name, digits.map_or(1, |digits| digits.parse().unwrap()));
        }
    }
    tests
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
        let tests = tests_in(row);
        for name in tests.keys() {
            let exists = [format!("fn {name}("), format!("void {name}(void)")];
            assert!(
                exists.iter().any(|it| code.contains(it)),
                "{id}: no test {name}"
            );
        }
        if tests.is_empty() {
            let reasons = ["does not apply: ", "open: ", "`make "];
            assert!(
                reasons.iter().any(|it| row.contains(it)),
                "{id}: why no test?"
            );
            without.push(id);
        } else {
            automated += 1;
        }
        for (name, times) in tests {
            // A test that several rows name says its number once.
            let most: &mut usize = executions.entry(name).or_default();
            *most = times.max(*most);
        }
        ids.push(id);
    }
    for (kind, count) in ROWS {
        for n in 1..=count {
            let id = format!("{kind}{n:02}");
            assert!(ids.contains(&id.as_str()), "README.md has no row {id}");
        }
    }
    let executions: usize = executions.values().sum();
    let tests_counted = format!(
        "{automated} rows, {executions} executions, {before_scale} of the rows without those of scale"
    );
    // Past the harness, for every run to say.
    let _ = writeln!(
        std::io::stderr(),
        "faults: {tests_counted}; without a test in make test: {}",
        without.join(", ")
    );
    assert!(
        README.contains(&tests_counted),
        "README.md lacks: {tests_counted}"
    );
    assert!(before_scale >= 100 && executions >= 1500, "{tests_counted}");
}
