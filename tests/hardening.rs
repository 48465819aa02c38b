//! What a loader, an exploit and a reviewer find in the shared library: nothing that is writable and
//! executable, nothing resolved late, nothing looked for where anybody may write.
//!
//! `ALIOT_LIBRARY` names another build of the library than the one under test.

#![cfg(target_os = "linux")]

use std::env;
use std::fs;
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

/// A program that is linked with OpenSSL and with an archive of somebody else's Rust, and uses all.
const NEIGHBOURS: &str = r#"
#include <aliot.h>
#include <openssl/rand.h>
#include <openssl/sha.h>
#include <openssl/ssl.h>
#ifdef OTHER
unsigned other_sum(unsigned n);
#else
static unsigned other_sum(unsigned n) { return n * (n - 1); }
#endif

int main(void)
{
    unsigned char digest[SHA256_DIGEST_LENGTH], random[8];
    aliot_identity *identity = NULL;
    aliot_endpoint *endpoint = NULL;
    aliot_config *config = NULL;
    aliot_credentials *credentials = NULL;
    SSL_CTX *context = SSL_CTX_new(TLS_client_method());
    SHA256((const unsigned char *)"abc", 3, digest);
    if (context == NULL || digest[0] != 0xba || RAND_bytes(random, sizeof random) != 1)
        return 1;
    if (aliot_identity_create("pk", "device", "secret", &identity) != ALIOT_RESULT_OK ||
        aliot_endpoint_create_for_host("localhost", 1, &endpoint) != ALIOT_RESULT_OK ||
        aliot_config_create(identity, endpoint, &config) != ALIOT_RESULT_OK ||
        aliot_credentials_create(config, &credentials) != ALIOT_RESULT_OK)
        return 2;
    if (other_sum(10) != 90)
        return 3;
    aliot_credentials_destroy(credentials);
    aliot_config_destroy(config);
    aliot_endpoint_destroy(endpoint);
    aliot_identity_destroy(identity);
    SSL_CTX_free(context);
    return 0;
}
"#;
const OTHER: &str = r#"
#[unsafe(no_mangle)]
pub extern "C" fn other_sum(n: u32) -> u32 {
    let doubled = std::thread::spawn(move || (0..n).map(|i| i * 2).collect::<Vec<u32>>());
    let caught = std::panic::catch_unwind(|| panic!());
    doubled.join().unwrap().iter().sum::<u32>() + u32::from(caught.is_ok())
}
"#;

/// The archive goes with OpenSSL, whose functions ring's are named apart from; the shared library
/// goes with another Rust archive as well, whose standard library it does not show.
#[test]
fn the_library_lives_beside_openssl_and_beside_other_rust() {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("neighbours");
    fs::create_dir_all(&folder).unwrap();
    let path = |name: &str| folder.join(name);
    fs::write(path("main.c"), NEIGHBOURS).unwrap();
    fs::write(path("other.rs"), OTHER).unwrap();
    let run = |command: &mut Command| {
        let output = command.current_dir(&folder).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{command:?}: {said}");
    };
    let has_openssl = Command::new("cc")
        .args(["-E", "-include", "openssl/ssl.h", "-x", "c", "/dev/null"])
        .output()
        .is_ok_and(|output| output.status.success());
    if !has_openssl {
        let _ = writeln!(
            std::io::stderr(),
            "SKIPPED: cc or libssl-dev is not installed"
        );
        return;
    }
    let built = |name| env::current_exe().unwrap().with_file_name(name);
    let soname = format!(
        "libaliot.so.{}.{}",
        env!("CARGO_PKG_VERSION_MAJOR"),
        env!("CARGO_PKG_VERSION_MINOR")
    );
    fs::copy(built("libaliot.so"), path(&soname)).unwrap();
    let rustc = PathBuf::from(env!("CARGO")).with_file_name("rustc");
    let options = ["--edition", "2024", "-O", "--crate-type", "staticlib"];
    run(Command::new(rustc).args(options).arg("other.rs"));
    let include = concat!("-I", env!("CARGO_MANIFEST_DIR"), "/include");
    let native = [
        "-lgcc_s",
        "-lutil",
        "-lrt",
        "-lpthread",
        "-lm",
        "-ldl",
        "-lc",
    ];
    let compile = |options: &[&str], libraries: &[PathBuf]| {
        run(Command::new("cc")
            .args([
                "-Wall", "-Wextra", "-Werror", include, "main.c", "-o", "main",
            ])
            .args(options)
            .args(libraries)
            .args(["-lssl", "-lcrypto"])
            .args(native));
        run(&mut Command::new(path("main")));
    };
    compile(&[], &[built("libaliot.a")]);
    let rpath = format!("-Wl,-rpath,{}", folder.display());
    compile(&["-DOTHER", &rpath], &[path("libother.a"), path(&soname)]);
}
