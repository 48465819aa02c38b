//! Builds every program of `tests/c` as an application would, and runs it: alone and under
//! valgrind. Those that want a platform get a simulator of their own.

use std::env;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use aliot_sim::{Options, Sim};

const ROOT: &str = env!("CARGO_MANIFEST_DIR");
const WARNINGS: [&str; 5] = ["-std=c11", "-Wall", "-Wextra", "-Wpedantic", "-Werror"];

#[test]
#[cfg(target_os = "linux")]
fn c_programs_do_what_they_promise() {
    let library = installed_library();
    let has_valgrind = Command::new("valgrind").arg("--version").output().is_ok();
    if !has_valgrind {
        say("valgrind is not installed: the C programs run without it, leaks go unnoticed");
    }
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

/// The shared library of this very build, under the name that programs look for.
fn installed_library() -> PathBuf {
    let built = env::current_exe().unwrap().with_file_name("libaliot.so");
    assert!(built.exists(), "{} is not built", built.display());
    let directory = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("lib");
    fs::create_dir_all(&directory).unwrap();
    let (major, minor) = (
        env!("CARGO_PKG_VERSION_MAJOR"),
        env!("CARGO_PKG_VERSION_MINOR"),
    );
    let installed = directory.join(format!("libaliot.so.{major}.{minor}"));
    let _ = fs::remove_file(&installed);
    std::os::unix::fs::symlink(&built, &installed).unwrap();
    installed
}

fn sources(directory: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(Path::new(ROOT).join(directory)).unwrap();
    let mut sources: Vec<_> = entries
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "c"))
        .collect();
    sources.sort();
    sources
}

fn build(source: &Path, library: &Path, optimisation: &str) -> PathBuf {
    let directory = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("bin");
    fs::create_dir_all(&directory).unwrap();
    let name = source.file_stem().unwrap().to_string_lossy();
    let program = directory.join(format!("{name}{optimisation}"));
    let mut rpath = std::ffi::OsString::from("-Wl,-rpath,");
    rpath.push(library.parent().unwrap());
    let output = Command::new("cc")
        .args(WARNINGS)
        .args(["-g", optimisation, "-DNDEBUG", "-pthread"])
        .args(["-I", &format!("{ROOT}/include")])
        .arg(source)
        .arg(library)
        .arg(rpath)
        .arg("-o")
        .arg(&program)
        .output()
        .unwrap_or_else(|error| panic!("cc cannot be run: {error}"));
    check(source, "does not compile", &output);
    program
}

/// A program that found another copy of the library would prove nothing about this one.
fn check_loaded_library(program: &Path, library: &Path) {
    let output = Command::new(program)
        .env("LD_TRACE_LOADED_OBJECTS", "1")
        .output()
        .unwrap();
    let objects = String::from_utf8_lossy(&output.stdout).into_owned();
    let expected = format!("=> {} ", library.display());
    assert!(
        objects.contains(&expected),
        "{} does not load {}:\n{objects}",
        program.display(),
        library.display()
    );
}

/// std keeps a few "possibly lost" bytes for the main thread on purpose: definite ones count.
fn valgrind(program: &Path, options: &[&str]) -> Command {
    let mut command = Command::new("valgrind");
    command
        .args(["--quiet", "--leak-check=full", "--error-exitcode=99"])
        .args(["--errors-for-leak-kinds=definite,indirect"])
        .args(["--show-leak-kinds=definite,indirect", "--num-callers=30"])
        .args(options)
        .arg(program);
    command
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

fn check(source: &Path, how: &str, output: &Output) {
    assert!(
        output.status.success(),
        "{} {how}: {}\n{}\n{}",
        source.display(),
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
}

/// Past the test harness, which keeps the output of a test that passes to itself.
fn say(text: &str) {
    let _ = writeln!(std::io::stderr(), "{text}");
}
