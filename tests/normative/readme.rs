//! `tests/README.md` names tests that exist, and all statements.

use std::fs;
use std::path::Path;

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
}
