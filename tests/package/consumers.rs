//! A project of each kind.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::stage::{Stage, cargo_cache, install, stage};
use crate::toolbox::{ROOT, cmake, connect, empty_directory, is_shared, run, say, words};

const WARNINGS: [&str; 4] = ["-Wall", "-Wextra", "-Wpedantic", "-Werror"];

/// A copy of the consumer's sources in a directory of their own.
pub(crate) fn project(name: &str) -> PathBuf {
    let directory = empty_directory(name);
    for file in ["CMakeLists.txt", "main.c", "main.cpp"] {
        let source = Path::new(ROOT).join("tests/package/consumer").join(file);
        fs::copy(source, directory.join(file)).unwrap();
    }
    directory
}

/// Configures and builds it; the program.
pub(crate) fn build_with_cmake(project: &Path, options: &[String]) -> PathBuf {
    let build = project.join("build");
    run(cmake(&["-S"])
        .arg(project)
        .arg("-B")
        .arg(&build)
        .arg("-DCMAKE_BUILD_TYPE=Release")
        .args(options)
        .env("CARGO_TARGET_DIR", cargo_cache()));
    run(cmake(&["--build"]).arg(&build));
    build.join("consumer")
}

fn found_in(stage: &Stage) -> String {
    format!("-DCMAKE_PREFIX_PATH={}", stage.prefix().display())
}

#[test]
fn find_package_shared() {
    let program = build_with_cmake(&project("find-package"), &[found_in(stage())]);
    assert!(is_shared(&program));
    connect(&program, None);
}

#[test]
fn find_package_static() {
    let options = [found_in(stage()), "-DALIOT_LINK_STATIC=ON".to_owned()];
    let program = build_with_cmake(&project("find-package-static"), &options);
    assert!(!is_shared(&program));
    connect(&program, None);
}

/// The project knows no C.
#[test]
fn find_package_from_cpp() {
    let options = [found_in(stage()), "-DCONSUMER_LANGUAGE=CXX".to_owned()];
    let program = build_with_cmake(&project("find-package-cpp"), &options);
    assert!(is_shared(&program));
    connect(&program, None);
}

#[test]
fn find_package_in_a_directory_with_a_space() {
    let directory = empty_directory("with space");
    let build = stage().root.parent().unwrap().join("build");
    install(&build, &directory);
    let options = [format!(
        "-DCMAKE_PREFIX_PATH={}",
        directory.join("usr").display()
    )];
    connect(&build_with_cmake(&project("with-space"), &options), None);
}

/// `/lib` is a link to `/usr/lib` on most systems: a package that is found there must not take `/`
/// for its prefix.
#[test]
fn find_package_through_a_link_to_its_directory() {
    let root = empty_directory("merged");
    install(&stage().root.parent().unwrap().join("build"), &root);
    let libdir = stage().libdir.strip_prefix(stage().prefix()).unwrap();
    let lib = libdir.components().next().unwrap(); // lib or lib64
    symlink(Path::new("usr").join(lib), root.join(lib)).unwrap();
    let config = root.join(libdir).join("cmake/aliot");
    let options = [format!("-Daliot_DIR={}", config.display())];
    connect(&build_with_cmake(&project("through-link"), &options), None);
}

#[test]
fn find_package_refuses_another_minor_version() {
    let project = project("version");
    let file = project.join("CMakeLists.txt");
    let text = fs::read_to_string(&file).unwrap();
    fs::write(&file, text.replace("aliot 0.1 ", "aliot 0.0 ")).unwrap();
    let output = cmake(&["-S"])
        .arg(&project)
        .arg("-B")
        .arg(project.join("build"))
        .arg(found_in(stage()))
        .output()
        .unwrap();
    // CMake breaks lines where it likes.
    let error = words(&String::from_utf8_lossy(&output.stderr)).join(" ");
    assert!(!output.status.success());
    assert!(
        error.contains("compatible with requested version"),
        "{error}"
    );
}

/// One after the other: they share a cargo cache.
#[test]
fn add_subdirectory_shared_and_static() {
    stage();
    for linkage in ["OFF", "ON"] {
        let options = [
            format!("-DALIOT_DIR={ROOT}"),
            format!("-DALIOT_LINK_STATIC={linkage}"),
            "-DALIOT_CARGO_PROFILE=dev".to_owned(),
        ];
        let project = project(&format!("subdirectory-{linkage}"));
        let program = build_with_cmake(&project, &options);
        assert_eq!(is_shared(&program), linkage == "OFF");
        connect(&program, None);
    }
}

#[test]
fn pkg_config_shared() {
    let stage = stage();
    let flags = words(&run(stage
        .pkg_config()
        .args(["--cflags", "--libs", "aliot"])));
    let project = project("pkg-config");
    let program = compile("cc", &["-std=c99", "main.c"], &project, &flags);
    assert!(is_shared(&program));
    connect(&program, Some(&stage.libdir));
}

/// Where both libraries are installed `-laliot` is the shared one, so the archive is named.
#[test]
fn pkg_config_static() {
    let mut command = stage().pkg_config();
    let flags = run(command.args(["--static", "--cflags", "--libs", "aliot"]));
    let flags = words(&flags.replace("-laliot", "-l:libaliot.a"));
    let project = project("pkg-config-static");
    let program = compile("cc", &["-std=c99", "main.c"], &project, &flags);
    assert!(!is_shared(&program));
    connect(&program, None);
}

/// Where only the archive is, the flags are right as they are.
#[test]
fn pkg_config_static_where_there_is_only_the_archive() {
    let root = empty_directory("archive-only");
    install(&stage().root.parent().unwrap().join("build"), &root);
    let libdir = root.join(stage().libdir.strip_prefix(&stage().root).unwrap());
    for file in fs::read_dir(&libdir).unwrap() {
        let path = file.unwrap().path();
        if path.to_string_lossy().contains("libaliot.so") {
            fs::remove_file(path).unwrap();
        }
    }
    let flags = run(Command::new("pkg-config")
        .args(["--static", "--cflags", "--libs", "aliot"])
        .env("PKG_CONFIG_PATH", libdir.join("pkgconfig")));
    let project = project("pkg-config-archive-only");
    let program = compile("cc", &["main.c"], &project, &words(&flags));
    connect(&program, None);
}

#[test]
fn pkg_config_from_cpp() {
    let stage = stage();
    let flags = words(&run(stage
        .pkg_config()
        .args(["--cflags", "--libs", "aliot"])));
    let project = project("pkg-config-cpp");
    let program = compile("c++", &["-std=c++11", "main.cpp"], &project, &flags);
    assert!(is_shared(&program));
    connect(&program, Some(&stage.libdir));
}

#[test]
fn a_compiler_alone_shared() {
    let stage = stage();
    let flags = [
        format!("-I{}", stage.prefix().join("include").display()),
        format!("-L{}", stage.libdir.display()),
        "-laliot".to_owned(),
    ];
    let program = compile("cc", &["-std=c11", "main.c"], &project("gcc"), &flags);
    assert!(is_shared(&program));
    connect(&program, Some(&stage.libdir));
}

#[test]
fn a_compiler_alone_static() {
    let program = compile("cc", &["main.c"], &project("gcc-static"), &archive_flags());
    assert!(!is_shared(&program));
    connect(&program, None);
}

#[test]
fn a_compiler_alone_static_altogether() {
    let libc = run(Command::new("cc").arg("-print-file-name=libc.a"));
    if !Path::new(libc.trim()).exists() {
        say("skipped: there is no static libc");
        return;
    }
    let flags: Vec<_> = archive_flags()
        .iter()
        .map(|flag| flag.replace("-lgcc_s", "-lgcc_eh"))
        .collect();
    let first = ["-static", "main.c"];
    let program = compile("cc", &first, &project("gcc-static-altogether"), &flags);
    connect(&program, None);
}

/// The very words of the documentation.
fn archive_flags() -> Vec<String> {
    let stage = stage();
    let text = fs::read_to_string(Path::new(ROOT).join("docs/packaging.md")).unwrap();
    let line = text
        .lines()
        .find(|line| line.starts_with("cc firmware.c -l:libaliot.a"));
    let line = line.expect("docs/packaging.md has no line for the archive");
    let mut flags = vec![
        format!("-I{}", stage.prefix().join("include").display()),
        format!("-L{}", stage.libdir.display()),
    ];
    let native = words(line)
        .into_iter()
        .filter(|word| word.starts_with("-l"));
    flags.extend(native);
    flags
}

fn compile(compiler: &str, first: &[&str], project: &Path, flags: &[String]) -> PathBuf {
    let program = project.join("consumer");
    run(Command::new(compiler)
        .args(WARNINGS)
        .args(first)
        .args(flags)
        .arg("-o")
        .arg(&program)
        .current_dir(project));
    program
}
