//! The link line that CMakeLists.txt gives to users of libaliot.a is the one rustc asks for.

use std::env;
use std::fs;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::Command;

const ROOT: &str = env!("CARGO_MANIFEST_DIR");
const VARIABLE: &str = "set(ALIOT_NATIVE_STATIC_LIBS";

#[test]
#[cfg(target_os = "linux")]
fn native_libraries_are_those_of_cmakelists() {
    let Ok(cmake) = fs::read_to_string(format!("{ROOT}/CMakeLists.txt")) else {
        let _ = writeln!(std::io::stderr(), "skipped: there is no CMakeLists.txt");
        return;
    };
    let committed = committed(&cmake);
    let native = native_static_libs();
    assert!(
        committed == native,
        "CMakeLists.txt has {committed:?}; put this there: {VARIABLE} {})",
        native.join(" ")
    );
}

/// The words of the list, up to what CMake says about the variable itself. The last one is the
/// host's; what stands before it asks rustc about another target.
fn committed(cmake: &str) -> Vec<String> {
    let start = cmake.rfind(VARIABLE).expect("CMakeLists.txt has no list");
    let list = &cmake[start + VARIABLE.len()..];
    let list = &list[..list.find(')').unwrap()];
    list.split_whitespace()
        .take_while(|word| *word != "CACHE")
        .map(str::to_owned)
        .collect()
}

/// What rustc says when it builds the static library, without repetitions.
fn native_static_libs() -> Vec<String> {
    // One cargo cache with `tests/package`: the crates are compiled once.
    let directory = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("package/cargo");
    let output = Command::new(env!("CARGO"))
        .args(["rustc", "--lib", "--crate-type", "staticlib"])
        .args(["--", "--print", "native-static-libs"])
        .current_dir(ROOT)
        .env("CARGO_TARGET_DIR", directory)
        .env("CARGO_TERM_COLOR", "never")
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stderr);
    let line = text
        .lines()
        .find_map(|line| line.split_once("native-static-libs:"))
        .unwrap_or_else(|| panic!("rustc did not say:\n{text}"))
        .1;
    let mut libraries = Vec::new();
    for library in line.split_whitespace() {
        let library = library.trim_start_matches("-l").to_owned();
        if libraries.last() != Some(&library) {
            libraries.push(library);
        }
    }
    libraries
}
