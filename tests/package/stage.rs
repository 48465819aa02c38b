//! One installation for all of the tests: `/usr` in a staging directory, which is then moved.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use crate::toolbox::{ROOT, VERSION, cmake, empty_directory, run, soname};

/// An installed tree.
pub(crate) struct Stage {
    /// What stands for `/`.
    pub(crate) root: PathBuf,
    /// `/usr/lib`, or what the system calls it, such as `/usr/lib/x86_64-linux-gnu`.
    pub(crate) libdir: PathBuf,
}

impl Stage {
    pub(crate) fn prefix(&self) -> PathBuf {
        self.root.join("usr")
    }

    pub(crate) fn pkg_config(&self) -> Command {
        let mut command = Command::new("pkg-config");
        command.env("PKG_CONFIG_PATH", self.libdir.join("pkgconfig"));
        command
    }
}

pub(crate) fn stage() -> &'static Stage {
    static STAGE: OnceLock<Stage> = OnceLock::new();
    STAGE.get_or_init(|| {
        let directory = empty_directory("stage");
        let build = directory.join("build");
        configure(&build, &["-DCMAKE_INSTALL_PREFIX=/usr"]);
        let staged = directory.join("staged");
        install(&build, &staged);
        let root = directory.join("moved");
        fs::rename(staged, &root).unwrap();
        Stage {
            libdir: libdir(&root),
            root,
        }
    })
}

/// A build of the dev profile, in one cargo cache with `tests/static_libs.rs`.
pub(crate) fn configure(build: &Path, options: &[&str]) {
    run(cmake(&["-S", ROOT, "-B"])
        .arg(build)
        .args(["-DCMAKE_BUILD_TYPE=Debug", "-DALIOT_BUILD_TESTS=OFF"])
        .arg("-DALIOT_BUILD_EXAMPLES=OFF")
        .args(options)
        .env("CARGO_TARGET_DIR", cargo_cache()));
    run(cmake(&["--build"]).arg(build));
}

pub(crate) fn cargo_cache() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join("package/cargo")
}

pub(crate) fn install(build: &Path, destination: &Path) {
    run(cmake(&["--install"]).arg(build).env("DESTDIR", destination));
}

fn libdir(root: &Path) -> PathBuf {
    let mut directories = vec![root.join("usr/lib"), root.join("usr/lib64")];
    if let Ok(entries) = fs::read_dir(root.join("usr/lib")) {
        directories.extend(entries.map(|entry| entry.unwrap().path()));
    }
    let has_library = |directory: &PathBuf| directory.join("libaliot.a").exists();
    directories.into_iter().find(has_library).unwrap()
}

#[test]
fn everything_is_where_the_system_looks_for_it() {
    let stage = stage();
    let multiarch = run(Command::new("cc").arg("-print-multiarch"));
    if !multiarch.trim().is_empty() && Path::new("/etc/debian_version").exists() {
        assert!(
            stage.libdir.ends_with(multiarch.trim()),
            "{:?}",
            stage.libdir
        );
    }
    for file in [
        "libaliot.a",
        &format!("libaliot.so.{VERSION}"),
        "cmake/aliot/aliot-config.cmake",
        "cmake/aliot/aliot-config-version.cmake",
        "pkgconfig/aliot.pc",
    ] {
        assert!(stage.libdir.join(file).is_file(), "{file}");
    }
    assert!(stage.prefix().join("include/aliot.h").is_file());
    let link = |name: &str| fs::read_link(stage.libdir.join(name)).unwrap();
    assert_eq!(link("libaliot.so"), Path::new(&soname()));
    assert_eq!(
        link(&soname()),
        Path::new(&format!("libaliot.so.{VERSION}"))
    );
}

/// Whatever names the place it was made in could not have been moved.
#[test]
fn nothing_installed_names_the_place_it_was_made_in() {
    let stage = stage();
    for file in ["cmake/aliot/aliot-config.cmake", "pkgconfig/aliot.pc"] {
        let text = fs::read_to_string(stage.libdir.join(file)).unwrap();
        assert!(!text.contains(ROOT), "{file}:\n{text}");
        assert!(!text.contains("/usr"), "{file}:\n{text}");
    }
}

#[test]
fn libs_private_is_what_rustc_asks_for() {
    let cmake = fs::read_to_string(Path::new(ROOT).join("CMakeLists.txt")).unwrap();
    // tests/static_libs.rs compares this list with rustc's.
    let list = cmake
        .split("set(ALIOT_NATIVE_STATIC_LIBS gcc_s")
        .nth(1)
        .unwrap();
    let list = list.split_whitespace().take_while(|word| *word != "CACHE");
    let expected: String = list.map(|name| format!(" -l{name}")).collect();
    let pc = fs::read_to_string(stage().libdir.join("pkgconfig/aliot.pc")).unwrap();
    let line = format!("Libs.private: -lgcc_s{expected}\n");
    assert!(pc.contains(&line), "no {line:?} in:\n{pc}");
}

/// Someone else's crates would show here; only the C interface may.
#[test]
fn the_installed_library_exports_the_committed_symbols() {
    let library = stage().libdir.join("libaliot.so");
    let listing = run(Command::new("nm")
        .args(["-D", "--defined-only", "--format=posix"])
        .arg(library));
    let mut symbols: Vec<_> = listing
        .lines()
        .filter_map(|line| line.split_whitespace().next())
        .collect();
    symbols.sort_unstable();
    let committed = fs::read_to_string(Path::new(ROOT).join("tests/abi/symbols.txt")).unwrap();
    assert_eq!(symbols, committed.lines().collect::<Vec<_>>());
}
