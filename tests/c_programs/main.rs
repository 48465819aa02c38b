//! Builds every program of `tests/c` as an application would, and runs it: alone and under
//! valgrind. Those that want a platform get a simulator of their own.

#![cfg(target_os = "linux")]

mod examples;
mod toolbox;

use std::path::PathBuf;
use std::process::{Command, Output};

use aliot_sim::{Options, Sim};

use toolbox::{
    build, check, check_loaded_library, has_valgrind, installed_library, sources, valgrind,
};

#[test]
fn c_programs_do_what_they_promise() {
    let library = installed_library();
    let has_valgrind = has_valgrind();
    let programs = sources("tests/c");
    assert!(!programs.is_empty(), "there is nothing in tests/c");
    for source in programs {
        for optimisation in ["-O0", "-O2"] {
            let program = build(&source, &library, optimisation);
            check_loaded_library(&program, &library);
            let mut ways = vec![("alone", Command::new(&program), "tls")];
            if has_valgrind && optimisation == "-O0" {
                ways.push(("under valgrind", valgrind(&program, &[]), "tcp"));
                // valgrind cannot follow ring's assembly: it takes whatever was decrypted for
                // uninitialised. Everything else it finds still counts.
                let only_addresses = ["--undef-value-errors=no"];
                let under = valgrind(&program, &only_addresses);
                ways.push(("under valgrind, over TLS", under, "tls"));
            }
            for (how, command, transport) in ways {
                check(&source, how, &run(command, transport));
            }
        }
    }
}

/// Runs a program with a simulator that knows its device. `transport` is what it should use.
fn run(mut command: Command, transport: &str) -> Output {
    let directory = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("c-programs");
    let sim = Sim::start(Options {
        dir: Some(directory),
        control: Some(([127, 0, 0, 1], 0).into()),
        ..Options::default()
    })
    .unwrap();
    sim.add_device("a1test", "device", "canary-device-secret");
    let port = |address: Option<std::net::SocketAddr>| address.unwrap().port().to_string();
    command
        .env("SIM_TRANSPORT", transport)
        .env("SIM_TLS_PORT", port(sim.tls_addr()))
        .env("SIM_TCP_PORT", port(sim.tcp_addr()))
        .env("SIM_CONTROL_PORT", port(sim.control_addr()))
        .env("SIM_CA_FILE", sim.ca_file().unwrap())
        .output()
        .unwrap()
}
