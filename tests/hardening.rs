//! What a loader, an exploit and a reviewer find in the shared library: nothing that is writable and
//! executable, nothing resolved late, nothing looked for where anybody may write.
//!
//! `ALIOT_LIBRARY` names another build of the library than the one under test.

#![cfg(target_os = "linux")]

use std::env;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::Command;

/// What `readelf` says; `None` if it is not there.
fn readelf(options: &[&str]) -> Option<String> {
    let built = || env::current_exe().unwrap().with_file_name("libaliot.so");
    let library = env::var_os("ALIOT_LIBRARY").map_or_else(built, PathBuf::from);
    let output = Command::new("readelf")
        .args(options)
        .arg("--wide")
        .arg(&library)
        .env("LC_ALL", "C")
        .output();
    let Ok(output) = output else {
        let _ = writeln!(std::io::stderr(), "SKIPPED: readelf is not installed");
        return None;
    };
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        output.status.success() && !text.is_empty(),
        "{library:?}: {text}"
    );
    Some(text)
}

#[test]
fn no_segment_is_writable_and_executable_and_the_stack_is_not_either() {
    let Some(headers) = readelf(&["--program-headers"]) else {
        return;
    };
    // Type, offset, two addresses, two sizes, flags that may be three words, alignment.
    let segments = headers.lines().filter_map(|line| {
        let mut words = line.split_whitespace();
        let name = words
            .next()
            .filter(|name| name.starts_with("GNU_") || ["LOAD", "DYNAMIC", "TLS"].contains(name))?;
        let flags: String = words
            .skip(5)
            .filter(|word| word.chars().all(|c| "RWE".contains(c)))
            .collect();
        Some((name, flags))
    });
    let segments: Vec<_> = segments.collect();
    for (name, flags) in &segments {
        assert!(
            !(flags.contains('W') && flags.contains('E')),
            "{name} is {flags}"
        );
    }
    let flags_of = |wanted: &str| {
        let mut found = segments.iter().filter(|(name, _)| *name == wanted);
        found.next().map(|(_, flags)| flags.as_str())
    };
    assert_eq!(flags_of("GNU_STACK"), Some("RW"), "{headers}");
    assert_eq!(flags_of("GNU_RELRO"), Some("R"), "{headers}");
    assert!(
        segments
            .iter()
            .any(|(name, flags)| *name == "LOAD" && flags == "RE"),
        "{headers}"
    );
}

#[test]
fn everything_is_resolved_at_load_and_made_read_only() {
    let Some(dynamic) = readelf(&["--dynamic"]) else {
        return;
    };
    let entry = |tag: &str| {
        dynamic
            .lines()
            .find(|line| line.contains(&format!("({tag})")))
    };
    let now = |tag: &str, word: &str| entry(tag).is_some_and(|line| line.contains(word));
    assert!(
        entry("BIND_NOW").is_some() || now("FLAGS", "BIND_NOW") || now("FLAGS_1", "NOW"),
        "symbols are resolved late: {dynamic}"
    );
    for (tag, why) in [
        ("TEXTREL", "code is changed by the loader"),
        ("RPATH", "libraries are looked for in a path of its own"),
        ("RUNPATH", "libraries are looked for in a path of its own"),
    ] {
        assert!(entry(tag).is_none(), "{why}: {dynamic}");
    }
    assert!(!now("FLAGS", "TEXTREL"), "{dynamic}");
}

#[test]
fn nothing_is_needed_but_the_c_library() {
    let Some(dynamic) = readelf(&["--dynamic"]) else {
        return;
    };
    let needed: Vec<_> = dynamic
        .lines()
        .filter(|line| line.contains("(NEEDED)"))
        .filter_map(|line| line.split_once('[')?.1.split_once(']'))
        .map(|(name, _)| name)
        .collect();
    let known = [
        "libc.",
        "libm.",
        "libgcc_s.",
        "libpthread.",
        "libdl.",
        "librt.",
        "ld-linux",
    ];
    assert!(!needed.is_empty(), "{dynamic}");
    for name in needed {
        assert!(known.iter().any(|known| name.starts_with(known)), "{name}");
    }
}
