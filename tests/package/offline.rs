//! The source tarball: complete, and built where there is no network.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::toolbox::{ROOT, VERSION, cmake, connect, empty_directory, run, say};

/// Asks for an empty home of cargo, too: what was downloaded before must not help.
#[test]
#[ignore = "builds the release twice as long as the gate may take: make deep"]
fn the_tarball_builds_without_a_network() {
    let directory = empty_directory("offline");
    let source = unpack(&directory);
    let mut command = without_network();
    run(command
        .args(["make", "install", "PREFIX=/usr"])
        .arg(format!("DESTDIR={}", directory.join("root").display()))
        .current_dir(&source)
        .env("CARGO_HOME", directory.join("cargo"))
        .env_remove("CARGO_TARGET_DIR"));
    let prefix = directory.join("root/usr");
    for linkage in ["OFF", "ON"] {
        let build = directory.join(format!("consumer-{linkage}"));
        run(cmake(&["-S"])
            .arg(source.join("tests/package/consumer"))
            .arg("-B")
            .arg(&build)
            .arg(format!("-DCMAKE_PREFIX_PATH={}", prefix.display()))
            .arg(format!("-DALIOT_LINK_STATIC={linkage}")));
        run(cmake(&["--build"]).arg(&build));
        connect(&build.join("consumer"), None);
    }
}

/// Each crate in the tarball is in its list of materials, and the other way about.
#[test]
#[ignore = "vendors every crate: make deep"]
fn the_tarball_lists_what_is_in_it() {
    let directory = empty_directory("materials");
    let source = unpack(&directory);
    let materials = fs::read_to_string(source.join("sbom.cdx.json")).unwrap();
    let script = directory.join("names.cmake");
    fs::write(&script, NAMES).unwrap();
    let listed = Command::new("cmake")
        .arg(format!("-DSBOM={}", source.join("sbom.cdx.json").display()))
        .arg("-P")
        .arg(&script)
        .output()
        .unwrap();
    let listed = String::from_utf8(listed.stderr).unwrap();
    let mut listed: Vec<_> = listed.split_whitespace().map(str::to_owned).collect();
    listed.sort_unstable();
    let mut vendored: Vec<_> = fs::read_dir(source.join("vendor"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    vendored.push(format!("aliot-sim-{VERSION}"));
    vendored.sort_unstable();
    assert_eq!(listed, vendored);
    assert!(materials.contains("\"scope\": \"required\""));
    assert!(!materials.contains("NOASSERTION"), "a licence is missing");
}

/// Prints "name-version" of each component; fails on a text that is not JSON.
const NAMES: &str = r#"
file(READ "${SBOM}" text)
string(JSON count LENGTH "${text}" components)
math(EXPR last "${count} - 1")
foreach(i RANGE ${last})
    string(JSON component GET "${text}" components ${i})
    string(JSON name GET "${component}" name)
    string(JSON version GET "${component}" version)
    message("${name}-${version}")
endforeach()
"#;

fn unpack(directory: &Path) -> PathBuf {
    let tarball = directory.join("tarball");
    run(Command::new("make")
        .arg("dist")
        .arg(format!("DIST={}", tarball.display()))
        .current_dir(ROOT));
    let name = format!("aliot-{VERSION}");
    run(Command::new("tar")
        .arg("-xf")
        .arg(tarball.join(format!("{name}.tar.gz")))
        .current_dir(directory));
    directory.join(name)
}

/// A command that runs the next one in a network of its own, which has nothing in it.
fn without_network() -> Command {
    for options in ["-n", "-rn"] {
        let mut command = Command::new("unshare");
        command.args([options, "--"]);
        if run_quietly(&mut command) {
            let mut command = Command::new("unshare");
            command.args([options, "--"]);
            return command;
        }
    }
    say("no network namespace may be made here: only cargo is told to stay offline");
    let mut command = Command::new("env");
    command.arg("CARGO_NET_OFFLINE=true");
    command
}

fn run_quietly(command: &mut Command) -> bool {
    let output = command.arg("true").output();
    output.is_ok_and(|output| output.status.success())
}
