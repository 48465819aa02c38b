//! `tests/README.md` names tests that exist, and all statements.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

/// The statements of MQTT 3.1.1, Appendix B: a section, and the last number in it.
const APPENDIX_B: [(&str, u8); 39] = [
    ("1.5.3", 3),
    ("2.2.2", 2),
    ("2.3.1", 7),
    ("3.1.0", 2),
    ("3.1.2", 24),
    ("3.1.3", 11),
    ("3.1.4", 5),
    ("3.2.0", 1),
    ("3.2.2", 6),
    ("3.3.1", 12),
    ("3.3.2", 3),
    ("3.3.4", 1),
    ("3.3.5", 2),
    ("3.6.1", 1),
    ("3.8.1", 1),
    ("3.8.3", 4),
    ("3.8.4", 6),
    ("3.9.3", 2),
    ("3.10.1", 1),
    ("3.10.3", 2),
    ("3.10.4", 6),
    ("3.12.4", 1),
    ("3.14.1", 1),
    ("3.14.4", 3),
    ("4.1.0", 2),
    ("4.3.1", 1),
    ("4.3.2", 2),
    ("4.3.3", 2),
    ("4.4.0", 1),
    ("4.5.0", 2),
    ("4.6.0", 6),
    ("4.7.1", 3),
    ("4.7.2", 1),
    ("4.7.3", 4),
    ("4.8.0", 2),
    ("6.0.0", 4),
    ("7.0.0", 2),
    ("7.1.1", 1),
    ("7.1.2", 1),
];

/// What a server does by itself: no packet of the client is right or wrong for it, and the client
/// does not see whether it was done. That acknowledgements have the ids of what they acknowledge
/// (3.8.4-2, 3.10.4-4) is 2.3.1-7 once more; that they come (3.8.4-1, 3.10.4-5), 4.3.2-1 for QoS 1.
const OF_A_SERVER: [&str; 47] = [
    "2.3.1-4", "3.1.2-5", "3.1.2-7", "3.1.2-8", "3.1.2-10", "3.1.2-12", "3.1.2-16", "3.1.2-17",
    "3.1.2-24", "3.1.3-5", "3.1.3-6", "3.1.3-9", "3.1.4-1", "3.1.4-2", "3.1.4-3", "3.1.4-4",
    "3.1.4-5", "3.3.1-3", "3.3.1-5", "3.3.1-6", "3.3.1-7", "3.3.1-8", "3.3.1-9", "3.3.1-10",
    "3.3.1-11", "3.3.1-12", "3.3.2-3", "3.3.5-1", "3.3.5-2", "3.8.3-2", "3.8.4-1", "3.8.4-2",
    "3.8.4-3", "3.8.4-4", "3.10.4-1", "3.10.4-2", "3.10.4-3", "3.10.4-4", "3.10.4-5", "3.10.4-6",
    "3.14.4-3", "4.5.0-1", "4.6.0-5", "4.6.0-6", "4.7.2-1", "4.7.3-4", "7.0.0-1",
];

/// And one that says of servers what 7.1.2-1 says of clients; those of QoS 2.
const OF_A_SERVERS_TRANSPORT: &str = "7.1.1-1";
const OF_QOS_2: [&str; 5] = ["3.6.1-1", "4.3.3-1", "4.3.3-2", "4.6.0-3", "4.6.0-4"];

fn sources(folder: &Path, text: &mut String) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, text);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            text.push_str(&fs::read_to_string(path).unwrap());
        }
    }
}

/// What stands between backquotes and looks like a test: lower case, with three underscores.
fn tests_named(line: &str) -> impl Iterator<Item = &str> {
    line.split('`').skip(1).step_by(2).filter(|name| {
        let is_plain = |c: char| c.is_ascii_alphanumeric() || c == '_';
        name.chars().all(is_plain) && name.matches('_').count() >= 3
    })
}

#[test]
fn every_test_that_the_readme_names_exists_and_every_normative_test_is_named() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let readme = fs::read_to_string(root.join("tests/README.md")).unwrap();
    let mut code = String::new();
    sources(&root.join("src"), &mut code);
    sources(&root.join("tests"), &mut code);
    let named: Vec<&str> = readme.lines().flat_map(tests_named).collect();
    for name in &named {
        let exists = code.contains(&format!("fn {name}("));
        assert!(exists, "tests/README.md names {name}, which does not exist");
    }
    for test in code.split("fn mqtt_").skip(1) {
        let number = test.split('(').next().unwrap();
        if number.starts_with(|c: char| c.is_ascii_digit()) {
            let name = format!("mqtt_{number}");
            assert!(
                named.contains(&name.as_str()),
                "tests/README.md does not name {name}"
            );
        }
    }
}

/// No statement of the standard is forgotten, none is in the table twice or without a test or a
/// reason, and the sums are those of the table.
#[test]
fn the_readme_has_every_statement_that_concerns_a_client_and_counts_them() {
    let all: BTreeSet<String> = APPENDIX_B
        .iter()
        .flat_map(|(section, last)| (1..=*last).map(move |n| format!("{section}-{n}")))
        .collect();
    let others: BTreeSet<String> = OF_A_SERVER
        .iter()
        .chain(&OF_QOS_2)
        .chain([&OF_A_SERVERS_TRANSPORT])
        .map(|id| (*id).to_owned())
        .collect();
    assert!(others.is_subset(&all));
    let readme = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/README.md");
    let readme = fs::read_to_string(readme).unwrap();
    let (_, section) = readme.split_once("\n## Normative statements\n").unwrap();
    let section = section.split("\n## ").next().unwrap();
    let mut listed = BTreeSet::new();
    let mut apply = 0;
    for line in section
        .lines()
        .filter(|line| line.starts_with("| "))
        .skip(1)
    {
        let cells: Vec<&str> = line.split('|').map(str::trim).collect();
        let &["", id, test, ""] = cells.as_slice() else {
            panic!("two cells are needed: {line}");
        };
        assert!(listed.insert(id.to_owned()), "{id} is there twice");
        if tests_named(line).next().is_some() {
            apply += 1;
        } else {
            let reason = test.strip_prefix("does not apply: ").unwrap_or_default();
            assert!(reason.len() > 10, "{id} has neither a test nor a reason");
        }
    }
    let missing: Vec<_> = all
        .difference(&others)
        .filter(|id| !listed.contains(*id))
        .collect();
    assert!(missing.is_empty(), "tests/README.md lacks {missing:?}");
    let surplus: Vec<_> = listed
        .iter()
        .filter(|id| !all.contains(*id) || others.contains(*id))
        .collect();
    assert!(
        surplus.is_empty(),
        "these are no statements for a client: {surplus:?}"
    );
    let sums = format!(
        "Of the {} statements of MQTT 3.1.1 (its Appendix B) {} concern a client of QoS 0 and 1; {apply} apply to this one",
        all.len(),
        listed.len(),
    );
    let text = section.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(text.contains(&sums), "tests/README.md does not say: {sums}");
}

#[test]
fn the_readme_counts_the_sequences() {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests");
    let readme = fs::read_to_string(tests.join("README.md")).unwrap();
    let (mut rows, mut accepted) = (0, 0);
    for entry in fs::read_dir(tests.join("sequences/data")).unwrap() {
        let path = entry.unwrap().path();
        let text = fs::read_to_string(&path).unwrap();
        let lines: Vec<&str> = text.lines().filter(|line| !line.starts_with('#')).collect();
        let accept = lines
            .iter()
            .filter(|line| line.contains("| accept |"))
            .count();
        let file = path.file_name().unwrap().to_str().unwrap();
        let (all, close) = (lines.len(), lines.len() - accept);
        let line = format!("| `{file}` | {all} | {accept} | {close} |");
        assert!(readme.contains(&line), "tests/README.md lacks: {line}");
        rows += all;
        accepted += accept;
    }
    let line = format!("| all | {rows} | {accepted} | {} |", rows - accepted);
    assert!(readme.contains(&line), "tests/README.md lacks: {line}");
    // And where libmosquitto differs.
    let text = fs::read_to_string(tests.join("sequences/libmosquitto.txt")).unwrap();
    let of = |who: &str| -> usize {
        let lines = text.lines().filter(|line| !line.starts_with('#'));
        let lines = lines.filter(|line| line.contains(&format!(" | {who} | ")));
        lines
            .map(|line| line.split(" | ").next().unwrap().split(' ').count())
            .sum()
    };
    let (them, us) = (of("them"), of("us"));
    let differ = them + us;
    for part in [
        format!("{} rows end alike", rows - differ),
        format!("the other {differ}, each"),
        format!("in {them} libmosquitto"),
    ] {
        let readme = readme.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(readme.contains(&part), "tests/README.md lacks: {part}");
    }
}
