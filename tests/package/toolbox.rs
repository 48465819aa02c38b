//! Running commands, and running what they built against a platform.

use std::ffi::OsStr;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use aliot_sim::{Options, Sim};

pub(crate) const ROOT: &str = env!("CARGO_MANIFEST_DIR");
pub(crate) const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The soname's minor version is the library's before 1.0.
pub(crate) fn soname() -> String {
    let (major, minor) = (
        env!("CARGO_PKG_VERSION_MAJOR"),
        env!("CARGO_PKG_VERSION_MINOR"),
    );
    format!("libaliot.so.{major}.{minor}")
}

/// An empty directory of that name, outside the source tree unless the cargo cache is inside.
pub(crate) fn empty_directory(name: &str) -> PathBuf {
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR"))
        .join("package")
        .join(name);
    let _ = fs::remove_dir_all(&directory);
    fs::create_dir_all(&directory).unwrap();
    directory
}

/// Runs a command to a good end; what it wrote to standard output.
pub(crate) fn run(command: &mut Command) -> String {
    let output = command
        .output()
        .unwrap_or_else(|error| panic!("{command:?} cannot be run: {error}"));
    assert!(
        output.status.success(),
        "{command:?}: {}\n{}\n{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).unwrap()
}

pub(crate) fn cmake<S: AsRef<OsStr>>(arguments: &[S]) -> Command {
    let mut command = Command::new("cmake");
    command.args(arguments);
    command
}

/// The words of a text that has no quotes, such as what pkg-config says.
pub(crate) fn words(text: &str) -> Vec<String> {
    text.split_whitespace().map(str::to_owned).collect()
}

/// Runs a consumer against a simulator of its own, which must get its message.
pub(crate) fn connect(program: &Path, library_path: Option<&Path>) {
    let directory = program.with_extension("platform");
    let sim = Sim::start(Options {
        dir: Some(directory),
        ..Options::default()
    })
    .unwrap();
    sim.add_device("a1test", "consumer", "canary-device-secret");
    let mut command = Command::new(program);
    command
        .arg(VERSION)
        .env("ALIOT_PRODUCT_KEY", "a1test")
        .env("ALIOT_DEVICE_NAME", "consumer")
        .env("ALIOT_DEVICE_SECRET", "canary-device-secret")
        .env("ALIOT_HOST", "localhost")
        .env("ALIOT_PORT", sim.tls_addr().unwrap().port().to_string())
        .env("ALIOT_CA_FILE", sim.ca_file().unwrap());
    if let Some(path) = library_path {
        command.env("LD_LIBRARY_PATH", path);
    }
    run(&mut command);
    let payloads: Vec<_> = sim.received().into_iter().map(|m| m.payload).collect();
    assert_eq!(payloads, [&b"consumer"[..]], "{}", program.display());
}

/// What a program is linked to must be what it was meant to be linked to.
pub(crate) fn is_shared(program: &Path) -> bool {
    let dynamic = run(Command::new("readelf").args(["-d", "-W"]).arg(program));
    dynamic.contains(&format!("[{}]", soname()))
}

/// Past the test harness, which keeps the output of a test that passes to itself.
pub(crate) fn say(text: &str) {
    let _ = writeln!(std::io::stderr(), "{text}");
}
