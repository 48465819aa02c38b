//! Compiling C programs against this very build, and running them.

#[path = "../faults/ran.rs"]
pub(crate) mod ran;

use std::env;
use std::ffi::OsString;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;

pub(crate) const ROOT: &str = env!("CARGO_MANIFEST_DIR");
const WARNINGS: [&str; 5] = ["-std=c11", "-Wall", "-Wextra", "-Wpedantic", "-Werror"];

/// The sanitizer that library and programs are instrumented with: `address` or `thread`. `make asan`
/// and `make tsan` set it, with the library in `ALIOT_CHECKED_LIBRARY` and a compiler in `CC`.
pub(crate) fn checker() -> Option<String> {
    env::var("ALIOT_CHECKER").ok()
}

/// Where programs, certificates and the like are made. A run with a checker beside one without it, or
/// with another, has a place of its own.
pub(crate) fn scratch() -> PathBuf {
    let mut place = PathBuf::from(env!("CARGO_TARGET_TMPDIR"));
    place.extend(checker());
    fs::create_dir_all(&place).unwrap();
    place
}

/// What the programs' surroundings tell the sanitizers.
pub(crate) const SANITIZER_OPTIONS: [(&str, &str); 3] = [
    (
        "ASAN_OPTIONS",
        "detect_stack_use_after_return=1:strict_string_checks=1",
    ),
    ("UBSAN_OPTIONS", "print_stacktrace=1"),
    // A child that a test forks with threads about is what that test is for.
    ("TSAN_OPTIONS", "die_after_fork=0:exitcode=66"),
];

/// The shared library of this very build, under the name that programs look for.
pub(crate) fn installed_library() -> PathBuf {
    static INSTALLED: OnceLock<PathBuf> = OnceLock::new();
    INSTALLED.get_or_init(install_library).clone()
}

fn install_library() -> PathBuf {
    let built = match env::var_os("ALIOT_CHECKED_LIBRARY") {
        Some(library) => PathBuf::from(library),
        None => env::current_exe().unwrap().with_file_name("libaliot.so"),
    };
    assert!(built.exists(), "{} is not built", built.display());
    if let Some(checker) = checker() {
        let mark = format!("__{}_", if checker == "thread" { "tsan" } else { "asan" });
        assert!(
            symbols(&built, &["-D"]).contains(&mark),
            "{} is not instrumented",
            built.display()
        );
    }
    let directory = scratch().join("lib");
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

/// The same library under another name, which the loader takes for another one.
pub(crate) fn copied_library() -> PathBuf {
    static COPIED: OnceLock<PathBuf> = OnceLock::new();
    let copy = || {
        let installed = installed_library();
        let copy = installed.with_file_name("libcopy.so");
        let _ = fs::remove_file(&copy);
        fs::copy(installed, &copy).unwrap();
        copy
    };
    COPIED.get_or_init(copy).clone()
}

fn symbols(file: &Path, options: &[&str]) -> String {
    let output = Command::new("nm").args(options).arg(file).output().unwrap();
    String::from_utf8_lossy(&output.stdout).into_owned()
}

pub(crate) fn sources(directory: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(Path::new(ROOT).join(directory)).unwrap();
    let mut sources: Vec<_> = entries
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "c"))
        .collect();
    sources.sort();
    sources
}

/// Of the C side alone: the library is the stable one, and its memory is checked by valgrind.
pub(crate) const ADDRESS_SANITIZER: [&str; 4] = [
    "-O1",
    "-fsanitize=address,undefined",
    "-fno-sanitize-recover=all",
    "-fno-omit-frame-pointer",
];
const THREAD_SANITIZER: [&str; 3] = ["-O1", "-fsanitize=thread", "-fno-omit-frame-pointer"];

pub(crate) fn build(source: &Path, library: &Path, optimisation: &str) -> PathBuf {
    build_with(source, library, &[optimisation], optimisation)
}

/// `mark` keeps the program apart from others of the same source.
pub(crate) fn build_with(source: &Path, library: &Path, options: &[&str], mark: &str) -> PathBuf {
    let directory = scratch().join("bin");
    fs::create_dir_all(&directory).unwrap();
    let name = source.file_stem().unwrap().to_string_lossy();
    let program = directory.join(format!("{name}{mark}"));
    let mut rpath = OsString::from("-Wl,-rpath,");
    rpath.push(library.parent().unwrap());
    let sanitizer: &[&str] = match checker().as_deref() {
        None => &[],
        Some("thread") => &THREAD_SANITIZER,
        Some(_) => &ADDRESS_SANITIZER,
    };
    let output = Command::new(env::var_os("CC").unwrap_or("cc".into()))
        .args(WARNINGS)
        .args(["-g", "-DNDEBUG", "-pthread"])
        .args(options)
        .args(sanitizer)
        .args(["-I", &format!("{ROOT}/include")])
        .arg(source)
        .arg(library)
        .arg(rpath)
        .args(["-ldl", "-o"])
        .arg(&program)
        .output()
        .unwrap_or_else(|error| panic!("cc cannot be run: {error}"));
    check(source, "does not compile", &output);
    if let Some(checker) = checker() {
        let init = format!(
            "__{}_init",
            if checker == "thread" { "tsan" } else { "asan" }
        );
        assert!(symbols(&program, &[]).contains(&init), "{init} is missing");
    }
    program
}

/// A shared library for `LD_PRELOAD`; `None` if it cannot be built.
pub(crate) fn build_preload(name: &str, text: &str) -> Option<PathBuf> {
    let directory = scratch();
    let source = directory.join(format!("{name}.c"));
    let library = directory.join(format!("{name}.so"));
    fs::write(&source, text).unwrap();
    let output = Command::new("cc")
        .args(["-shared", "-fPIC"])
        .arg(&source)
        .args(["-ldl", "-o"])
        .arg(&library)
        .output();
    output
        .is_ok_and(|output| output.status.success())
        .then_some(library)
}

/// The value of `LD_PRELOAD` that loads `library`. The runtime of a sanitizer must come before it.
pub(crate) fn preload(library: &Path) -> OsString {
    let mut value = OsString::new();
    if checker().is_some_and(|checker| checker == "address") {
        let output = Command::new(env::var_os("CC").unwrap_or("cc".into()))
            .arg("-print-file-name=libasan.so")
            .output()
            .unwrap();
        value.push(String::from_utf8_lossy(&output.stdout).trim_end());
        value.push(":");
    }
    value.push(library);
    value
}

/// A program that found another copy of the library would prove nothing about this one.
pub(crate) fn check_loaded_library(program: &Path, library: &Path) {
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
pub(crate) fn valgrind(program: &Path, options: &[&str]) -> Command {
    let mut command = Command::new("valgrind");
    command
        .args(["--quiet", "--leak-check=full", "--error-exitcode=99"])
        .args(["--errors-for-leak-kinds=definite,indirect"])
        .args(["--show-leak-kinds=definite,indirect", "--num-callers=30"])
        .args(options)
        .arg(program);
    command
}

pub(crate) fn check(source: &Path, how: &str, output: &Output) {
    assert!(
        output.status.success(),
        "{} {how}: {}\n{}\n{}",
        source.display(),
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    // How often its tests injected their faults.
    for line in String::from_utf8_lossy(&output.stdout).lines() {
        if let Some((test, times)) = line
            .strip_prefix("ran: ")
            .and_then(|ran| ran.split_once(' '))
        {
            ran::ran(test, times.parse().unwrap());
        }
        // For those who run with --nocapture.
        if line.starts_with("measured: ") {
            eprintln!("{line} ({how})");
        }
    }
}

/// Past the test harness, which keeps the output of a test that passes to itself.
pub(crate) fn say(text: &str) {
    let _ = writeln!(std::io::stderr(), "{text}");
}

/// Says so if it is not there, and fails if a program built with it does not contain it.
pub(crate) fn has_address_sanitizer() -> bool {
    if checker().is_some() {
        say("everything runs with a sanitizer of its own: not with this one");
        return false;
    }
    let directory = scratch();
    let (source, program) = (directory.join("probe.c"), directory.join("probe"));
    fs::write(&source, "int main(void) { return 0; }\n").unwrap();
    let built = Command::new("cc")
        .args(ADDRESS_SANITIZER)
        .arg(&source)
        .arg("-o")
        .arg(&program)
        .output();
    if !built.is_ok_and(|output| output.status.success()) {
        say("cc has no address sanitizer: the C programs run without it");
        return false;
    }
    let symbols = symbols(&program, &[]);
    assert!(symbols.contains("__asan_init"), "no sanitizer in {symbols}");
    true
}

/// Says so if it is not there.
pub(crate) fn has_valgrind() -> bool {
    if checker().is_some() {
        return false; // one checker at a time
    }
    let found = Command::new("valgrind").arg("--version").output().is_ok();
    if !found {
        say("valgrind is not installed: the C programs run without it, leaks go unnoticed");
    }
    found
}
