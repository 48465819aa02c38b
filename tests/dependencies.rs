//! What the library is made of: one TLS stack, one crypto provider, nothing with a known hole.

use std::process::Command;

/// Names and versions of everything that a program which links the library gets.
fn tree() -> Vec<(String, String)> {
    let output = Command::new(env!("CARGO"))
        .args([
            "tree",
            "--locked",
            "--offline",
            "-p",
            "aliot",
            "-e",
            "normal,build",
        ])
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
    let tree = tree();
    let has = |wanted: &str| tree.iter().any(|(name, _)| name == wanted);
    assert!(has("rustls") && has("ring"), "{tree:?}");
    let refused = [
        "aws-lc-rs",
        "aws-lc-sys",
        "openssl",
        "openssl-sys",
        "native-tls",
        "mbedtls",
        // Unmaintained: RUSTSEC-2025-0134.
        "rustls-pemfile",
    ];
    for name in refused {
        assert!(!has(name), "{name} is in the tree");
    }
}

#[test]
fn the_certificate_verifier_is_one_without_known_holes() {
    // RUSTSEC-2026-0098, -0099, -0104: fixed in 0.103.13.
    let tree = tree();
    let verifiers: Vec<_> = tree
        .iter()
        .filter(|(name, _)| name == "rustls-webpki")
        .collect();
    assert!(!verifiers.is_empty());
    for (_, version) in verifiers {
        let mut parts = version
            .split('.')
            .map(|part| part.parse::<u32>().unwrap_or(0));
        let version = [(); 3].map(|()| parts.next().unwrap_or(0));
        assert!(version >= [0, 103, 13], "rustls-webpki {version:?}");
    }
}

#[test]
fn the_library_stays_small_in_what_it_drags_in() {
    let mut names: Vec<_> = tree().into_iter().map(|(name, _)| name).collect();
    names.sort();
    names.dedup();
    assert!(names.len() <= 110, "{} crates: {names:?}", names.len());
}
