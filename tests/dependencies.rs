//! What the library is made of: one TLS stack, one crypto provider, nothing with a known hole.

use std::collections::BTreeMap;
use std::process::Command;

use serde_json::Value;

/// Every package of the lock file, whatever it is for and on whatever system it is needed.
fn packages() -> Vec<Value> {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--locked", "--format-version", "1"])
        .args(["--all-features", "--color", "never"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let metadata: Value = serde_json::from_slice(&output.stdout).unwrap();
    metadata["packages"].as_array().unwrap().clone()
}

fn text<'a>(package: &'a Value, member: &str) -> &'a str {
    package[member].as_str().unwrap_or_default()
}

/// Names and versions of everything that a program which links the library gets, as cargo calls its
/// edges.
fn tree(edges: &str) -> Vec<(String, String)> {
    let output = Command::new(env!("CARGO"))
        .args(["tree", "--locked", "--offline", "-p", "aliot", "-e", edges])
        .args(["--prefix", "none", "--format", "{p}"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let line = |line: &str| {
        let (name, rest) = line.split_once(" v")?;
        let version = rest.split_whitespace().next()?;
        Some((name.to_owned(), version.to_owned()))
    };
    text.lines().filter_map(line).collect()
}

#[test]
fn there_is_one_tls_stack_and_one_crypto_provider() {
    let tree = tree("normal,build");
    let has = |wanted: &str| tree.iter().any(|(name, _)| name == wanted);
    assert!(has("rustls") && has("ring"), "{tree:?}");
    // Not even for a test, a build or another system.
    let packages = packages();
    let refused = [
        "aws-lc-rs",
        "aws-lc-sys",
        "openssl",
        "openssl-sys",
        "native-tls",
        "mbedtls",
        "boring",
        // Unmaintained: RUSTSEC-2025-0134.
        "rustls-pemfile",
    ];
    for name in refused {
        let is_there = packages.iter().any(|package| text(package, "name") == name);
        assert!(!is_there, "{name} is in Cargo.lock");
    }
}

/// `name` is in the tree, and no older than `least`.
fn check_version(name: &str, least: [u32; 3]) {
    let tree = tree("normal,build");
    let versions: Vec<_> = tree.iter().filter(|(found, _)| found == name).collect();
    assert!(!versions.is_empty(), "{name} is not in the tree");
    for (_, version) in versions {
        let mut parts = version
            .split('.')
            .map(|part| part.parse::<u32>().unwrap_or(0));
        let version = [(); 3].map(|()| parts.next().unwrap_or(0));
        assert!(version >= least, "{name} {version:?}");
    }
}

#[test]
fn the_certificate_verifier_is_one_without_known_holes() {
    // RUSTSEC-2026-0098, -0099, -0104: fixed in 0.103.13.
    check_version("rustls-webpki", [0, 103, 13]);
}

#[test]
fn the_crates_that_meet_the_network_are_without_known_holes() {
    check_version("rustls", [0, 23, 45]); // RUSTSEC-2026-0285, 2024-0399, 2024-0336
    check_version("ring", [0, 17, 12]); // RUSTSEC-2025-0009, 2025-0007
    check_version("bytes", [1, 11, 1]); // RUSTSEC-2026-0007
    check_version("tokio", [1, 44, 2]); // RUSTSEC-2025-0023
    check_version("tungstenite", [0, 20, 1]); // RUSTSEC-2023-0065
}

/// Room for two or three that an update brings along, and not for a framework.
#[test]
fn the_library_stays_small_in_what_it_drags_in() {
    let mut names: Vec<_> = tree("normal,build")
        .into_iter()
        .map(|(name, _)| name)
        .collect();
    names.sort();
    names.dedup();
    assert!(names.len() <= 91, "{} crates: {names:?}", names.len());
}

/// What SECURITY.md says of the crates that are linked into the library on x86-64 Linux.
#[test]
#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
fn the_crates_in_the_library_are_as_many_as_security_md_says() {
    let mut crates = tree("normal,no-proc-macro");
    crates.sort();
    crates.dedup();
    crates.retain(|(name, _)| name != "aliot");
    let security = include_str!("../SECURITY.md");
    let says = format!(
        "there are {} crates in the library beside itself",
        crates.len()
    );
    assert!(
        security.contains(&says),
        "SECURITY.md does not say: {says}: {crates:?}"
    );
}

#[test]
fn every_crate_comes_from_the_registry_under_a_licence_that_is_allowed() {
    const ALLOWED: [&str; 6] = [
        "Apache-2.0",
        "Apache-2.0 WITH LLVM-exception",
        "BSD-3-Clause",
        "ISC",
        "MIT",
        "Unicode-3.0",
    ];
    for package in packages() {
        let name = text(&package, "name");
        match package["source"].as_str() {
            Some(source) => assert_eq!(
                source, "registry+https://github.com/rust-lang/crates.io-index",
                "{name}"
            ),
            None => assert!(["aliot", "aliot-sim"].contains(&name), "{name} is a path"),
        }
        // One of each "A OR B", which older crates write as "A/B"; all of what stands between AND.
        let licence = text(&package, "license").replace('/', " OR ");
        let is_allowed = licence.split(" AND ").all(|part| {
            let part = part.trim_matches(['(', ')']);
            part.split(" OR ").any(|licence| ALLOWED.contains(&licence))
        });
        // It writes the header, and is no part of what is built.
        let is_excepted = name == "cbindgen" && licence == "MPL-2.0";
        assert!(is_allowed || is_excepted, "{name} is under {licence:?}");
    }
}

#[test]
fn no_crate_is_there_twice_that_could_be_there_once() {
    // deny.toml says why.
    const TWICE: [&str; 5] = ["getrandom", "syn", "winnow", "windows-link", "windows-sys"];
    let mut versions = BTreeMap::<_, Vec<_>>::new();
    let packages = packages();
    for package in &packages {
        let of_name = versions.entry(text(package, "name")).or_default();
        of_name.push(text(package, "version"));
    }
    versions.retain(|name, versions| versions.len() > 1 + usize::from(TWICE.contains(name)));
    assert!(versions.is_empty(), "{versions:?}");
}

#[test]
fn the_oldest_rust_that_is_promised_is_new_enough_for_every_crate() {
    let number = |text: &str| -> Vec<u32> { text.split('.').flat_map(str::parse).collect() };
    let ours = env!("CARGO_PKG_RUST_VERSION");
    assert!(!ours.is_empty(), "Cargo.toml promises none");
    for package in packages() {
        let theirs = text(&package, "rust_version");
        assert!(
            number(theirs) <= number(ours),
            "{}: {theirs}",
            text(&package, "name")
        );
    }
}
