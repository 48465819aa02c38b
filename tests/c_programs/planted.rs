//! Each checker finds the bug that was planted for it, with the flags and options it is used with.

use std::path::Path;
use std::process::Command;

use crate::toolbox::{
    ADDRESS_SANITIZER, ROOT, SANITIZER_OPTIONS, build, build_with, checker, has_address_sanitizer,
    has_valgrind, installed_library, valgrind,
};

fn must_be_found(mut command: Command, bug: &str, report: &str) {
    let output = command.envs(SANITIZER_OPTIONS).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success(), "{bug} goes unnoticed:\n{said}");
    assert!(said.contains(report), "{bug} is not \"{report}\":\n{said}");
}

fn source(bug: &str) -> std::path::PathBuf {
    Path::new(ROOT).join(format!("tests/checkers/planted/{bug}.c"))
}

#[test]
fn valgrind_finds_what_was_planted() {
    if !has_valgrind() {
        return;
    }
    for (bug, report) in [
        ("use_after_free", "Invalid read"),
        ("leak", "definitely lost"),
        ("uninitialised", "depends on uninitialised value"),
    ] {
        let program = build(&source(bug), &installed_library(), "-O0");
        must_be_found(valgrind(&program, &[]), bug, report);
    }
}

/// The sanitizer of `make asan` or `make tsan`; otherwise that of the C programs alone.
#[test]
fn sanitizers_find_what_was_planted() {
    let bugs: &[(&str, &str)] = match checker().as_deref() {
        Some("thread") => &[("race", "data race")],
        None if !has_address_sanitizer() => return,
        _ => &[
            ("use_after_free", "heap-use-after-free"),
            ("leak", "LeakSanitizer"),
            ("undefined", "signed integer overflow"),
        ],
    };
    for (bug, report) in bugs {
        let program = if checker().is_some() {
            build(&source(bug), &installed_library(), "-O1")
        } else {
            build_with(
                &source(bug),
                &installed_library(),
                &ADDRESS_SANITIZER,
                "-planted",
            )
        };
        must_be_found(Command::new(program), bug, report);
    }
}
