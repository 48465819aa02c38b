//! The architecture as a test: each layer uses only what is below it.

use std::fs;
use std::path::{Path, PathBuf};

/// Directory, and the words that must not appear in its code.
const RULES: [(&str, &[&str]); 3] = [
    (
        "proto",
        &[
            "tokio",
            "rustls",
            "std::net",
            "std::thread",
            "::now(",
            "Mutex",
            "RwLock",
            "crate::client",
            "crate::engine",
            "crate::ffi",
            "crate::runtime",
        ],
    ),
    ("engine", &["crate::ffi", "libc::"]),
    ("ffi", &["tokio", "rumqttc", "rustls", "crate::engine"]),
];

/// Words, the only place in src whose code may contain them, and what they stand for.
const HOMES: [(&[&str], &str, &str); 4] = [
    (&["rumqttc"], "proto/codec.rs", "the packet codec"),
    (
        &["Instant::now", "SystemTime::now", "getrandom"],
        "engine/clock.rs",
        "time and randomness",
    ),
    (
        &[
            "unsafe {",
            "unsafe fn",
            "unsafe impl",
            "unsafe extern",
            "#[unsafe(",
            "allow(unsafe_code",
        ],
        "ffi",
        "unsafe code",
    ),
    (
        &["CStr::from_ptr", "from_raw_parts"],
        "ffi/ptr.rs",
        "reading pointers of C",
    ),
];

#[test]
fn layers_use_only_what_is_below_them() {
    for (layer, forbidden) in RULES {
        for file in rust_files(&src().join(layer)) {
            for line in code(&file) {
                for word in forbidden {
                    assert!(
                        !line.contains(word),
                        "{} uses {word}: {line}",
                        file.display()
                    );
                }
            }
        }
    }
}

#[test]
fn what_has_a_home_stays_there() {
    for file in rust_files(&src()) {
        for (words, home, what) in HOMES {
            if file.starts_with(src().join(home)) {
                continue;
            }
            for line in code(&file) {
                for word in words {
                    assert!(
                        !line.contains(word),
                        "{} uses {word}, but {what} belongs to src/{home}: {line}",
                        file.display()
                    );
                }
            }
        }
    }
}

/// Processors without atomics of 64 bits, such as MIPS, ARMv5 and 32-bit PowerPC, run it too.
#[test]
fn nothing_needs_atomics_of_64_bits() {
    for file in rust_files(&src()) {
        for line in code(&file) {
            for word in ["AtomicU64", "AtomicI64"] {
                assert!(
                    !line.contains(word),
                    "{} uses {word}: {line}",
                    file.display()
                );
            }
        }
    }
}

#[test]
fn only_the_ffi_modules_allow_unsafe_code() {
    let allows = |file: &PathBuf| {
        let text = fs::read_to_string(file).unwrap();
        text.contains("unsafe_code") && !text.contains("forbid(unsafe_code)")
    };
    let found: Vec<_> = rust_files(&src()).into_iter().filter(allows).collect();
    assert_eq!(found, [src().join("ffi/mod.rs")]);
}

/// These give constants away, or what the last error of the thread was: they call nothing of the
/// application's and nothing that is known to panic. If one did, the process would abort, because
/// Rust does not let a panic out of an `extern "C"` function either.
const UNGUARDED: [&str; 11] = [
    "aliot_last_error",
    "aliot_last_error_connack_code",
    "aliot_last_error_hint",
    "aliot_last_error_os_error",
    "aliot_last_error_stage",
    "aliot_result_is_retryable",
    "aliot_result_name",
    "aliot_result_text",
    "aliot_stage_name",
    "aliot_version_number",
    "aliot_version_string",
];

/// The functions of the interface, each with its body: comments are left out.
fn functions(text: &str, start: &str) -> Vec<(String, String)> {
    let parts = text.split(start).skip(1);
    parts
        .map(|part| {
            let name = part.split(['(', '<']).next().unwrap();
            let (_, body) = part.split_once("{\n").unwrap();
            let body = body.split("\n}").next().unwrap();
            let code = body
                .lines()
                .filter(|line| !line.trim_start().starts_with("//"));
            (name.to_owned(), code.collect::<Vec<_>>().join("\n"))
        })
        .collect()
}

#[test]
fn every_exported_function_but_those_that_only_give_constants_catches_panics() {
    // What does nothing before the guard may stand around it.
    let begins_with_one_of = |body: &str, guards: &[String]| {
        let body = body.trim_start();
        let body = body.strip_prefix("unsafe {").unwrap_or(body).trim_start();
        let limit = "let limit = |rate: u32| (rate != 0).then_some(rate);";
        let body = body.strip_prefix(limit).unwrap_or(body).trim_start();
        let is_end = body.trim_end().ends_with([')', '}', ';']);
        is_end
            && guards
                .iter()
                .any(|guard| body.starts_with(&format!("{guard}(")))
    };
    let texts = rust_files(&src().join("ffi")).into_iter().map(|file| {
        let text = fs::read_to_string(file).unwrap();
        text.split("\nmod tests {").next().unwrap().to_owned()
    });
    let text = texts.collect::<Vec<_>>().join("\n");
    // Functions that are nothing but a guard, or nothing but one of those.
    let mut guards = ["guard", "guard_or"].map(str::to_owned).to_vec();
    for _ in 0..2 {
        for start in ["\nfn ", "\npub(super) fn ", "\nunsafe fn "] {
            for (name, body) in functions(&text, start) {
                if begins_with_one_of(&body, &guards) && !guards.contains(&name) {
                    guards.push(name);
                }
            }
        }
    }
    let exported: Vec<_> = functions(&text, "extern \"C\" fn ")
        .into_iter()
        .filter(|(name, _)| name.starts_with("aliot_"))
        .collect();
    let mut unguarded: Vec<_> = exported
        .iter()
        .filter(|(_, body)| !begins_with_one_of(body, &guards))
        .map(|(name, _)| name.as_str())
        .collect();
    unguarded.sort_unstable();
    assert_eq!(unguarded, UNGUARDED);
    let symbols = include_str!("abi/symbols.txt").lines().count();
    assert_eq!(exported.len(), symbols, "in src/ffi, and exported");
}

fn src() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

/// The lines of a file that are neither comments nor unit tests.
fn code(file: &Path) -> Vec<String> {
    let name = file.file_name().unwrap().to_string_lossy();
    if name.starts_with("test") {
        return Vec::new();
    }
    let text = fs::read_to_string(file).unwrap();
    let end = text.find("\nmod tests {").unwrap_or(text.len());
    text[..end]
        .lines()
        .filter(|line| !line.trim_start().starts_with("//"))
        .map(str::to_owned)
        .collect()
}

fn rust_files(directory: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(directory).into_iter().flatten() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(rust_files(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    files
}
