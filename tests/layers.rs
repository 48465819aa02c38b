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
