//! What compiled programs rely on: structure layout, exported symbols, the library's name.

#[cfg(target_os = "linux")]
mod previous;

use std::env;
use std::fs;
use std::mem::{offset_of, size_of};
use std::path::{Path, PathBuf};
use std::process::Command;

use aliot::ffi::{
    aliot_completion, aliot_event, aliot_log_record, aliot_message, aliot_registration_end,
};

const SYMBOLS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/abi/symbols.txt");

/// A number may be added at the end, never changed: the library allocates these structures.
#[test]
#[cfg(target_pointer_width = "64")]
fn members_stay_where_they_are() {
    let event = [
        offset_of!(aliot_event, kind),
        offset_of!(aliot_event, reason),
        offset_of!(aliot_event, text),
        offset_of!(aliot_event, session_present),
        offset_of!(aliot_event, will_retry),
        offset_of!(aliot_event, retry_in_ms),
        offset_of!(aliot_event, messages_dropped),
        offset_of!(aliot_event, stage),
        offset_of!(aliot_event, os_error),
        offset_of!(aliot_event, connack_code),
        offset_of!(aliot_event, hint),
        offset_of!(aliot_event, tls_detail),
        offset_of!(aliot_event, identity),
        offset_of!(aliot_event, certificate_ends_s),
        size_of::<aliot_event>(),
    ];
    assert_eq!(
        event,
        [0, 4, 8, 16, 17, 20, 24, 32, 36, 40, 48, 56, 64, 72, 80]
    );
    let message = [
        offset_of!(aliot_message, topic),
        offset_of!(aliot_message, payload),
        offset_of!(aliot_message, payload_len),
        offset_of!(aliot_message, qos),
        offset_of!(aliot_message, duplicate),
        offset_of!(aliot_message, retained),
        size_of::<aliot_message>(),
    ];
    assert_eq!(message, [0, 8, 16, 24, 28, 29, 32]);
    let completion = [
        offset_of!(aliot_completion, token),
        offset_of!(aliot_completion, result),
        offset_of!(aliot_completion, text),
        offset_of!(aliot_completion, granted_qos),
        offset_of!(aliot_completion, stage),
        offset_of!(aliot_completion, hint),
        size_of::<aliot_completion>(),
    ];
    assert_eq!(completion, [0, 8, 16, 24, 28, 32, 40]);
    let registration_end = [
        offset_of!(aliot_registration_end, result),
        offset_of!(aliot_registration_end, text),
        offset_of!(aliot_registration_end, identity),
        offset_of!(aliot_registration_end, stage),
        offset_of!(aliot_registration_end, hint),
        offset_of!(aliot_registration_end, os_error),
        offset_of!(aliot_registration_end, connack_code),
        offset_of!(aliot_registration_end, tls_detail),
        size_of::<aliot_registration_end>(),
    ];
    assert_eq!(registration_end, [0, 8, 16, 24, 32, 40, 44, 48, 56]);
    let record = [
        offset_of!(aliot_log_record, level),
        offset_of!(aliot_log_record, target),
        offset_of!(aliot_log_record, text),
        offset_of!(aliot_log_record, time_ms),
        size_of::<aliot_log_record>(),
    ];
    assert_eq!(record, [0, 8, 16, 24, 32]);
}

#[test]
#[cfg(target_os = "linux")]
fn exported_symbols_are_the_committed_list() {
    let exported = format!("{}\n", exported().join("\n"));
    if env::var_os("ALIOT_BLESS").is_some() {
        fs::write(SYMBOLS, &exported).unwrap();
    }
    let committed = fs::read_to_string(SYMBOLS).unwrap_or_default();
    assert!(
        committed == exported,
        "tests/abi/symbols.txt is stale: run `ALIOT_BLESS=1 cargo test --test abi`"
    );
}

#[test]
#[cfg(target_os = "linux")]
fn every_exported_symbol_is_a_function_of_the_header() {
    let header = fs::read_to_string(env!("ALIOT_GENERATED_HEADER")).unwrap();
    for symbol in exported() {
        assert!(symbol.starts_with("aliot_"), "{symbol} is exported");
        let declaration = [format!(" {symbol}("), format!("*{symbol}(")];
        let declared = declaration.iter().any(|text| header.contains(text));
        assert!(declared, "{symbol} is not in the header");
    }
}

#[test]
#[cfg(target_os = "linux")]
fn the_library_has_its_name_and_stays_loaded() {
    let dynamic = run("readelf", &["-d", "-W"]);
    let (major, minor) = (
        env!("CARGO_PKG_VERSION_MAJOR"),
        env!("CARGO_PKG_VERSION_MINOR"),
    );
    let soname = format!("[libaliot.so.{major}.{minor}]");
    assert!(
        dynamic.contains(&soname),
        "no SONAME {soname} in:\n{dynamic}"
    );
    assert!(dynamic.contains("NODELETE"), "not nodelete:\n{dynamic}");
}

fn exported() -> Vec<String> {
    let listing = run("nm", &["-D", "--defined-only", "--format=posix"]);
    let first_word = |line: &str| line.split_whitespace().next().map(str::to_owned);
    let mut symbols: Vec<_> = listing.lines().filter_map(first_word).collect();
    symbols.sort_unstable();
    symbols
}

/// Output of a tool about the shared library that belongs to this test.
fn run(tool: &str, arguments: &[&str]) -> String {
    let output = Command::new(tool)
        .args(arguments)
        .arg(shared_library())
        .output()
        .unwrap_or_else(|error| panic!("{tool} cannot be run: {error}"));
    assert!(output.status.success(), "{tool} failed");
    String::from_utf8(output.stdout).unwrap()
}

/// Cargo builds it together with the library that this test is linked to, beside the test.
fn shared_library() -> PathBuf {
    let test = env::current_exe().unwrap();
    let library = Path::new(&test).with_file_name("libaliot.so");
    assert!(library.exists(), "{} is not built", library.display());
    library
}
