//! Replays the corpora: what fuzzing found once holds in every build, without a fuzzer.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use aliot_fuzz::TARGETS;

fn corpora() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus")
}

fn names(folder: &Path) -> BTreeSet<String> {
    let entries = fs::read_dir(folder).unwrap_or_else(|error| panic!("{folder:?}: {error}"));
    entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect()
}

/// In one test, because the C interface has one log and one clock for a process.
#[test]
fn what_was_found_once_holds() {
    for (name, target) in TARGETS {
        let folder = corpora().join(name);
        let inputs = names(&folder);
        assert!(inputs.len() > 10, "{name} has {} inputs", inputs.len());
        for input in inputs {
            let bytes = fs::read(folder.join(&input)).unwrap();
            let outcome = std::panic::catch_unwind(|| target(&bytes));
            assert!(outcome.is_ok(), "fuzz/corpus/{name}/{input}");
        }
    }
}

/// A target that is not listed would be fuzzed, and never replayed.
#[test]
fn every_target_is_listed_and_has_a_program_and_a_corpus() {
    let listed: BTreeSet<String> = TARGETS.iter().map(|(name, _)| name.to_string()).collect();
    let programs = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz_targets");
    let programs: BTreeSet<String> = names(&programs)
        .iter()
        .map(|name| name.trim_end_matches(".rs").to_owned())
        .collect();
    assert_eq!(listed, programs);
    assert_eq!(listed, names(&corpora()));
}
