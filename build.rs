//! Writes the C header to `OUT_DIR/aliot.h` and sets the name of the shared library.
//!
//! `include/aliot.h` is the committed copy; `tests/header.rs` compares the two. Nothing is written
//! into the source tree. Each section of the header comes from the files named below, in their
//! order.

use std::env::var;
use std::fmt::Write as _;
use std::fs;
use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};

/// The files of `src/ffi` that hold types.
const TYPES: [&str; 4] = ["result", "types", "choices", "events"];

/// The enums that functions take as raw numbers, because C may pass any.
const RAW_ENUMS: [&str; 14] = [
    "address_family",
    "counter",
    "dispatch",
    "hex_case",
    "log_level",
    "outbox_policy",
    "qos",
    "registration_kind",
    "registration_mode",
    "result",
    "sign_method",
    "stage",
    "take_over_policy",
    "tls_versions",
];

/// The sections of the header that hold functions, and the files of `src/ffi` they come from.
const SECTIONS: [(&str, &[&str]); 11] = [
    ("Library", &["library", "log", "clock"]),
    (
        "Identity: who the device is. Immutable",
        &["identity", "identity_file"],
    ),
    (
        "Registration: from the product's secret to an identity",
        &["register"],
    ),
    (
        "Endpoint: where the platform is",
        &["endpoint", "trust", "way"],
    ),
    ("Config: how the client behaves", &["config"]),
    ("Config: when something has to give", &["config_policy"]),
    ("Config: limits of a private platform", &["config_private"]),
    (
        "Credentials: for firmware with its own MQTT stack",
        &["credentials"],
    ),
    ("Runtime: where clients run", &["runtime"]),
    ("Client: the connection", &["client", "client_callbacks"]),
    ("Pure helpers", &["sign", "topic"]),
];

/// What an application relies on. Stands at the top of the header.
const CONTRACT: &str = r"/*
 * aliot - device client for Alibaba Cloud IoT Platform, over MQTT 3.1.1.
 * Generated from src/ffi. Do not edit: change the Rust source and bless the header.
 *
 * The objects:
 *
 *   aliot_identity       who the device is           product key, device name, secret or token
 *   aliot_endpoint       where the platform is       region, instance or host; TLS
 *   aliot_config         both, and how to behave     keep-alive, reconnecting, limits
 *   aliot_client         the connection              callbacks, topics, messages
 *   aliot_runtime        the threads of clients      optional: they share one by default
 *   aliot_registration   how to get an identity      for devices that know only their product's
 *                                                    secret
 *   aliot_credentials    what CONNECT carries        for firmware with its own MQTT stack
 *
 * OBJECTS    Created through the last parameter of a function, destroyed by the function whose
 *            name ends in _destroy. A handle is a name, not an address: after _destroy, functions
 *            return ALIOT_RESULT_BAD_HANDLE and accessors NULL, 0 or false. Destroying NULL, or
 *            destroying twice, does nothing. Destroying an object never affects another one.
 * OWNERSHIP  The library copies what it is given before the call returns and never frees memory
 *            of the application. A const char * from an accessor lives as long as its object.
 *            Pointers inside an event, message or completion live until the callback returns.
 * USER DATA  Belongs to the library from the ALIOT_RESULT_OK of the call that took it until the
 *            library calls `release`, exactly once, after the last callback that could use it.
 *            After any other result the library has not touched it. `release` may be NULL.
 * ERRORS     Functions that can fail return aliot_result and store nothing through their output
 *            parameters unless they return ALIOT_RESULT_OK. aliot_last_error explains the last
 *            failure on this thread, and the functions beside it give its stage, the system's error
 *            number, the code of a CONNACK and a hint. Later failures arrive in an event or in the
 *            end of a registration, which carry the same, or in a completion, which carries the
 *            sentence, the stage and the hint: no operation ends for a reason that has a number or
 *            a code. Besides the results that a function names, each may return
 *            ALIOT_RESULT_NULL_POINTER, ALIOT_RESULT_BAD_HANDLE, ALIOT_RESULT_INVALID_UTF8 and
 *            ALIOT_RESULT_INTERNAL.
 * THREADS    Every function may be called from every thread. Functions documented as blocking
 *            take a timeout and return ALIOT_RESULT_WOULD_DEADLOCK inside a callback. No other
 *            function waits for the network; these wait for something else. aliot_identity_save
 *            waits for the disk. aliot_identity_load, the functions of an endpoint that take files
 *            or the system's roots, and both that create a client read files. aliot_client_destroy
 *            and aliot_runtime_destroy, which are allowed everywhere, wait for what they say.
 *            A message that comes alone may be encrypted and written to the socket by the thread
 *            that publishes it. A thread that calls the library needs up to 128 KiB of stack, and
 *            what its callbacks take.
 *            The library's own threads take no signals, and no write raises SIGPIPE in the program.
 * CALLBACKS  Callbacks of one client come one at a time, in order and never under a lock of the
 *            library. They may call anything, destroy included. They run on the library's threads,
 *            outside any call of the application, except inside these calls:
 *              aliot_runtime_poll        every callback of its clients and registrations
 *              aliot_client_destroy      the client's last completions and releases
 *              aliot_runtime_destroy     what a poll runtime still owes to destroyed clients, and
 *                                        on_end of registrations that have ended
 *              aliot_registration_run    its on_store
 *              whatever ends the use     a release
 *            Do not hold a lock that a callback takes when you make one of these calls.
 *            Callbacks of the log and of the clock, and the releases of their user data, are the
 *            exception: they run wherever the library is at work, which may be under its locks, and
 *            must not call it.
 *            A slow callback delays other callbacks of its runtime. It never delays the keep-alive.
 * RUNTIMES   A runtime is two threads, one of which tends to the network while the other runs
 *            callbacks or rests; they change places. Or it is a network thread alone, and callbacks
 *            run in aliot_runtime_poll on a thread of the application. Any number of clients share
 *            it. Name lookups, and files that are read again before a connect, have threads of
 *            their own, which end after it: at most 8 for names and 4 for files at work in the
 *            process, called aliot-blocking.
 * FORK       Fork before the first call, or exec in the child. A child of a process that has called
 *            the library can neither use its parent's objects nor make its own: functions with a
 *            handle return ALIOT_RESULT_BAD_HANDLE, the others that need a lock
 *            ALIOT_RESULT_INVALID_STATE, and _destroy does nothing. What only computes, such as
 *            aliot_sign, aliot_topic_matches and aliot_result_name, works there too.
 * TEXT       UTF-8, NUL-terminated. Payloads and certificates are bytes with a length.
 * UNITS      In the name: _us, _ms, _s, _days, _per_second, _per_minute, _len (bytes). Ranges
 *            include both ends. UINT32_MAX milliseconds are 49 days, except for aliot_runtime_poll,
 *            which takes them for ever.
 */
#ifndef ALIOT_H
#define ALIOT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
";

const VERSION_PARTS: [(&str, &str); 3] = [
    ("MAJOR", "Version of this header, first part."),
    ("MINOR", "Version of this header, second part."),
    ("PATCH", "Version of this header, third part."),
];

const VERSION_MACROS: &str = r#"/** Version of this header in one number: 0x000102 is 0.1.2. */
#define ALIOT_VERSION_NUMBER \
    ((ALIOT_VERSION_MAJOR << 16) | (ALIOT_VERSION_MINOR << 8) | ALIOT_VERSION_PATCH)

/**
 * Whether the running library can serve a program compiled with this header: it has the same minor
 * version, and is not older, for functions and members may be added with the third part.
 */
#define ALIOT_VERSION_MATCHES() \
    (aliot_version_number() >> 8 == ALIOT_VERSION_NUMBER >> 8 && \
     aliot_version_number() >= ALIOT_VERSION_NUMBER)

#ifdef __cplusplus
extern "C" {
#endif
"#;

const END: &str = r"
#ifdef __cplusplus
}
#endif

#endif /* ALIOT_H */
";

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=src/ffi");
    name_shared_library();
    tell_build_time();
    let path = PathBuf::from(env("OUT_DIR")).join("aliot.h");
    println!("cargo::rustc-env=ALIOT_GENERATED_HEADER={}", path.display());
    // Whoever only builds the crate needs no header: tests/header.rs is the judge of this one.
    let text = header().unwrap_or_else(|error| {
        println!("cargo::warning=include/aliot.h cannot be regenerated: {error}");
        format!("#error cbindgen failed: {error}\n")
    });
    if let Err(error) = fs::write(&path, text) {
        println!("cargo::warning=cannot write {}: {error}", path.display());
    }
}

/// A clock that shows less cannot be right. `SOURCE_DATE_EPOCH` makes builds reproducible.
fn tell_build_time() {
    println!("cargo::rerun-if-env-changed=SOURCE_DATE_EPOCH");
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let given = env("SOURCE_DATE_EPOCH").parse::<u64>().ok();
    let seconds = given.unwrap_or_else(|| now.map_or(0, |now| now.as_secs()));
    println!("cargo::rustc-env=ALIOT_BUILD_TIME={seconds}");
}

/// The SONAME holds what must agree: the minor version before 1.0. `nodelete`, because a runtime's
/// threads must not lose their code to `dlclose`.
fn name_shared_library() {
    if env("CARGO_CFG_TARGET_OS") == "linux" {
        let (major, minor) = (
            env("CARGO_PKG_VERSION_MAJOR"),
            env("CARGO_PKG_VERSION_MINOR"),
        );
        println!("cargo::rustc-cdylib-link-arg=-Wl,-soname,libaliot.so.{major}.{minor}");
        println!("cargo::rustc-cdylib-link-arg=-Wl,-z,nodelete");
    }
}

fn header() -> Result<String, cbindgen::Error> {
    let mut text = CONTRACT.to_owned();
    text.push('\n');
    for (part, meaning) in VERSION_PARTS {
        let value = env(&format!("CARGO_PKG_VERSION_{part}"));
        let _ = writeln!(text, "/** {meaning} */");
        let _ = writeln!(text, "#define ALIOT_VERSION_{part} {value}");
    }
    text.push_str(VERSION_MACROS);
    push_section(&mut text, "Types", &bindings(&TYPES, &type_names(&TYPES))?);
    for (title, files) in SECTIONS {
        push_section(&mut text, title, &bindings(files, &[])?);
    }
    text.push_str(END);
    Ok(text)
}

fn push_section(text: &mut String, title: &str, declarations: &str) {
    let dashes = "-".repeat(100 - "/* ----  */".len() - title.len() - 1);
    let _ = write!(text, "\n/* ---- {title} {dashes} */\n\n{declarations}");
}

/// The declarations in these files of `src/ffi`: functions, and the types in `include`. Types of
/// other files appear by their names.
fn bindings(files: &[&str], include: &[String]) -> Result<String, cbindgen::Error> {
    let mut config = cbindgen::Config {
        language: cbindgen::Language::C,
        style: cbindgen::Style::Both,
        documentation_style: cbindgen::DocumentationStyle::Doxy,
        line_length: 100,
        tab_width: 4,
        usize_is_size_t: true,
        no_includes: true,
        ..cbindgen::Config::default()
    };
    config.enumeration.rename_variants = cbindgen::RenameRule::QualifiedScreamingSnakeCase;
    config.export.include = include.to_vec();
    for noun in RAW_ENUMS {
        // An enum that C passes in is a number in Rust, and itself in the header.
        let (raw, noun) = (format!("aliot_{noun}_raw"), format!("aliot_{noun}"));
        config.export.rename.insert(raw, noun);
    }
    let mut declarations = Vec::new();
    files
        .iter()
        .fold(cbindgen::Builder::new(), |builder, file| {
            builder.with_src(source(file))
        })
        .with_config(config)
        .generate()?
        .write(&mut declarations);
    Ok(tidy(&String::from_utf8_lossy(&declarations)))
}

/// The public types that these files declare, in order.
fn type_names(files: &[&str]) -> Vec<String> {
    let mut names = Vec::new();
    for file in files {
        let text = fs::read_to_string(source(file)).unwrap_or_default();
        let lines = text.lines();
        let declarations = lines.filter_map(|line| {
            ["pub enum ", "pub struct ", "pub type "]
                .into_iter()
                .find_map(|keyword| line.strip_prefix(keyword))
        });
        names.extend(declarations.map(|line| {
            let is_name = |c: &char| c.is_alphanumeric() || *c == '_';
            line.chars().take_while(is_name).collect::<String>()
        }));
    }
    names
}

fn source(file: &str) -> PathBuf {
    let directory = PathBuf::from(env("CARGO_MANIFEST_DIR")).join("src/ffi");
    directory.join(file).with_extension("rs")
}

/// Puts comments of one line on one line, names types as C programs do, and turns Rust's
/// documentation headings into plain text.
fn tidy(declarations: &str) -> String {
    let mut text = String::new();
    let mut lines = declarations.lines().map(str::trim_end).peekable();
    while let Some(line) = lines.next() {
        let content = line.trim_start();
        let indent = &line[..line.len() - content.len()];
        if let Some(heading) = content.strip_prefix("* # ") {
            let _ = writeln!(text, "{indent}* {heading}:");
            lines.next_if(|line| line.trim() == "*");
        } else if content == "/**" {
            let first = lines.next().unwrap_or_default();
            match lines.next_if(|line| line.trim() == "*/") {
                Some(_) => {
                    let only = first.trim_start().trim_start_matches("* ");
                    let _ = writeln!(text, "{indent}/** {only} */");
                }
                None => {
                    let _ = writeln!(text, "{line}\n{first}");
                }
            }
        } else if content.starts_with("typedef enum ") || content.starts_with("typedef struct ") {
            let _ = writeln!(text, "{line}");
        } else {
            let line = line.replace("enum aliot_", "aliot_");
            let _ = writeln!(text, "{}", line.replace("struct aliot_", "aliot_"));
        }
    }
    format!("{}\n", text.trim_matches('\n'))
}

fn env(name: &str) -> String {
    var(name).unwrap_or_default()
}
