//! Builds every program of `tests/c` as an application would, and runs it: alone, under valgrind
//! and with the address sanitizer. Those that want a platform get a simulator of their own.

#![cfg(target_os = "linux")]

mod accidents;
mod coverage;
mod diagnosis;
mod doors;
mod examples;
mod null;
mod planted;
mod results;
mod toolbox;

use std::env;
use std::path::Path;
use std::process::{Command, Output};

use aliot_sim::{Options, Sim};

use toolbox::{
    ADDRESS_SANITIZER, SANITIZER_OPTIONS, build, build_with, check, check_loaded_library,
    copied_library, has_address_sanitizer, has_valgrind, installed_library, scratch, sources,
    valgrind,
};

#[test]
fn c_programs_do_what_they_promise() {
    for_each_program(|source, library| {
        for optimisation in ["-O0", "-O2"] {
            let program = build(source, library, optimisation);
            check_loaded_library(&program, library);
            check(
                source,
                "alone",
                &run("alone", Command::new(&program), "tls"),
            );
        }
    });
}

#[test]
fn c_programs_neither_leak_nor_touch_what_is_not_theirs() {
    if !has_valgrind() {
        return;
    }
    for_each_program(|source, library| {
        let program = build(source, library, "-O0");
        let output = run("valgrind", valgrind(&program, &[]), "tcp");
        check(source, "under valgrind", &output);
        // valgrind cannot follow ring's assembly: it takes whatever was decrypted for
        // uninitialised. Everything else it finds still counts.
        let output = run(
            "valgrind",
            valgrind(&program, &["--undef-value-errors=no"]),
            "tls",
        );
        check(source, "under valgrind, over TLS", &output);
    });
}

#[test]
fn c_programs_are_clean_with_the_address_sanitizer() {
    if !has_address_sanitizer() {
        return;
    }
    for_each_program(|source, library| {
        let program = build_with(source, library, &ADDRESS_SANITIZER, "asan");
        let command = Command::new(&program);
        check(
            source,
            "with the sanitizer",
            &run("sanitizer", command, "tls"),
        );
    });
}

/// `ALIOT_C_PROGRAM=test_session` chooses one.
fn for_each_program(body: impl Fn(&Path, &Path)) {
    let library = installed_library();
    let chosen = env::var_os("ALIOT_C_PROGRAM");
    let mut programs = sources("tests/c");
    programs.retain(|source| chosen.is_none() || source.file_stem() == chosen.as_deref());
    assert!(!programs.is_empty(), "there is nothing in tests/c");
    for source in programs {
        body(&source, &library);
    }
}

/// Runs a program with a simulator that knows its devices. `transport` is what it should use; each
/// `way` has certificates of its own, because the tests run at the same time.
pub(crate) fn run(way: &str, mut command: Command, transport: &str) -> Output {
    let directory = scratch().join(format!("c-programs-{way}"));
    let sim = Sim::start(Options {
        dir: Some(directory),
        control: Some(([127, 0, 0, 1], 0).into()),
        ..Options::default()
    })
    .unwrap();
    let known = [
        "device", "other", "stress0", "stress1", "stress2", "stress3",
    ];
    for device in known {
        sim.add_device("a1test", device, "canary-device-secret");
    }
    sim.edit_registry(|registry| {
        let product = registry.products.entry("a1test".to_owned()).or_default();
        product.secret = Some("canary-product-secret".into());
    });
    let port = |address: Option<std::net::SocketAddr>| address.unwrap().port().to_string();
    command
        .envs(SANITIZER_OPTIONS)
        .env("SIM_TRANSPORT", transport)
        .env("SIM_TLS_PORT", port(sim.tls_addr()))
        .env("SIM_TCP_PORT", port(sim.tcp_addr()))
        .env("SIM_CONTROL_PORT", port(sim.control_addr()))
        .env("SIM_CA_FILE", sim.ca_file().unwrap())
        .env("ALIOT_COPY", copied_library())
        .output()
        .unwrap()
}
