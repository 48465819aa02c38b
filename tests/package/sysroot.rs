//! Building for a target that is not the host, as far as the host can play the target: the same
//! processor, but everything taken from a sysroot, with a toolchain file.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::consumers::{build_with_cmake, project};
use crate::stage::{Stage, configure, install, stage};
use crate::toolbox::{ROOT, cmake, connect, empty_directory, is_shared, run, say, words};

/// What a C program needs, linked into a directory that stands for the target's `/`. None where
/// the system is not laid out as Debian's.
fn sysroot(name: &str) -> Option<PathBuf> {
    let multiarch = run(Command::new("cc").arg("-print-multiarch"));
    let libdir = Path::new("usr/lib").join(multiarch.trim());
    if multiarch.trim().is_empty() || !Path::new("/").join(&libdir).join("libc.so").exists() {
        say("skipped: a sysroot is made on Debian and its kin alone");
        return None;
    }
    let root = empty_directory(name);
    for directory in [Path::new("usr/include"), &libdir] {
        fs::create_dir_all(root.join(directory)).unwrap();
        for entry in fs::read_dir(Path::new("/").join(directory)).unwrap() {
            let entry = entry.unwrap();
            symlink(entry.path(), root.join(directory).join(entry.file_name())).unwrap();
        }
    }
    symlink("usr/lib", root.join("lib")).unwrap();
    symlink("/lib64", root.join("lib64")).unwrap();
    Some(root)
}

fn toolchain(root: &Path) -> PathBuf {
    let machine = run(Command::new("uname").arg("-m"));
    let file = root.with_extension("toolchain.cmake");
    let text = format!(
        "set(CMAKE_SYSTEM_NAME Linux)\n\
         set(CMAKE_SYSTEM_PROCESSOR {})\n\
         set(CMAKE_C_COMPILER cc)\n\
         set(CMAKE_SYSROOT \"{}\")\n\
         set(CMAKE_FIND_ROOT_PATH_MODE_PROGRAM NEVER)\n\
         set(CMAKE_FIND_ROOT_PATH_MODE_LIBRARY ONLY)\n\
         set(CMAKE_FIND_ROOT_PATH_MODE_INCLUDE ONLY)\n\
         set(CMAKE_FIND_ROOT_PATH_MODE_PACKAGE ONLY)\n",
        machine.trim(),
        root.display()
    );
    fs::write(&file, text).unwrap();
    file
}

fn with_toolchain(root: &Path) -> String {
    format!("-DCMAKE_TOOLCHAIN_FILE={}", toolchain(root).display())
}

fn libdir_in(root: &Path, stage: &Stage) -> PathBuf {
    root.join(stage.libdir.strip_prefix(&stage.root).unwrap())
}

/// The same package lies outside the sysroot too, and must not be taken.
#[test]
fn find_package_looks_into_the_sysroot_only() {
    let Some(root) = sysroot("sysroot") else {
        return;
    };
    let stage = stage();
    install(&stage.root.parent().unwrap().join("build"), &root);
    let project = project("from-sysroot");
    let options = [
        with_toolchain(&root),
        format!("-DCMAKE_PREFIX_PATH={}", stage.prefix().display()),
    ];
    let program = build_with_cmake(&project, &options);
    let cache = fs::read_to_string(project.join("build/CMakeCache.txt")).unwrap();
    let found = format!("aliot_DIR:PATH={}", root.display());
    assert!(cache.contains(&found), "no {found} in:\n{cache}");
    connect(&program, Some(&libdir_in(&root, stage)));
}

#[test]
fn pkg_config_stays_in_the_sysroot() {
    let Some(root) = sysroot("sysroot-pkg-config") else {
        return;
    };
    install(&stage().root.parent().unwrap().join("build"), &root);
    let libdir = libdir_in(&root, stage());
    let flags = run(Command::new("pkg-config")
        .args(["--cflags", "--libs", "aliot"])
        .env("PKG_CONFIG_SYSROOT_DIR", &root)
        .env("PKG_CONFIG_LIBDIR", libdir.join("pkgconfig")));
    let project = project("pkg-config-sysroot");
    let program = project.join("consumer");
    run(Command::new("cc")
        .arg(format!("--sysroot={}", root.display()))
        .arg("main.c")
        .args(words(&flags))
        .arg("-o")
        .arg(&program)
        .current_dir(&project));
    connect(&program, Some(&libdir));
}

/// Before anything is compiled, and with the command that mends it.
#[test]
fn a_target_without_its_standard_library_is_named() {
    let target = "aarch64-unknown-linux-gnu";
    let libraries =
        run(Command::new("rustc").args(["--print", "target-libdir", "--target", target]));
    if Path::new(libraries.trim()).exists() {
        say("skipped: this machine can build for aarch64");
        return;
    }
    let error = refusal(&[&format!("-DALIOT_RUST_TARGET={target}")]);
    let remedy = format!("rustup target add {target}");
    assert!(words(&error).join(" ").contains(&remedy), "{error}");
}

#[test]
fn cross_compiling_without_rusts_name_of_the_target_is_refused() {
    let error = refusal(&[
        "-DCMAKE_SYSTEM_NAME=Linux",
        "-DCMAKE_SYSTEM_PROCESSOR=aarch64",
    ]);
    assert!(error.contains("-DALIOT_RUST_TARGET="), "{error}");
}

fn refusal(options: &[&str]) -> String {
    let build = empty_directory(&format!("refused-{}", options.len()));
    let output = cmake(&["-S", ROOT, "-B"])
        .arg(&build)
        .args(options)
        .output()
        .unwrap();
    assert!(!output.status.success(), "{options:?} are accepted");
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// What else can be tried without Rust's standard library for it: the header, in another
/// processor's compiler.
#[test]
fn consumers_compile_for_another_processor() {
    let compiler = "aarch64-linux-gnu-gcc";
    if Command::new(compiler).arg("--version").output().is_err() {
        say("skipped: there is no aarch64-linux-gnu-gcc");
        return;
    }
    for source in [
        "tests/package/consumer/main.c",
        "tests/abi/previous/program.c",
    ] {
        run(Command::new(compiler)
            .args(["-std=c11", "-Wall", "-Wextra", "-Wpedantic", "-Werror"])
            .args(["-fsyntax-only", "-Iinclude", source])
            .current_dir(ROOT));
    }
}

/// The library too, through a toolchain file: compiled and linked in the sysroot, for a target that
/// is named.
#[test]
#[ignore = "builds every crate once more: make deep"]
fn the_library_is_built_for_a_named_target_in_a_sysroot() {
    let Some(root) = sysroot("sysroot-library") else {
        return;
    };
    let version = run(Command::new("rustc").args(["-vV"]));
    let host = version
        .lines()
        .find_map(|line| line.strip_prefix("host: "))
        .unwrap();
    let libdir = libdir_in(Path::new(""), stage());
    let build = empty_directory("sysroot-library-build");
    configure(
        &build,
        &[
            &with_toolchain(&root),
            &format!("-DALIOT_RUST_TARGET={host}"),
            "-DCMAKE_INSTALL_PREFIX=/usr",
            // Only the toolchain knows Debian's name for the target: CMake does not guess it.
            &format!(
                "-DCMAKE_INSTALL_LIBDIR={}",
                libdir.strip_prefix("usr").unwrap().display()
            ),
        ],
    );
    install(&build, &root);
    let pc = root.join(&libdir).join("pkgconfig/aliot.pc");
    let native = fs::read_to_string(stage().libdir.join("pkgconfig/aliot.pc")).unwrap();
    assert_eq!(fs::read_to_string(pc).unwrap(), native);
    for linkage in ["OFF", "ON"] {
        let options = [
            with_toolchain(&root),
            format!("-DALIOT_LINK_STATIC={linkage}"),
        ];
        let program = build_with_cmake(&project(&format!("cross-{linkage}")), &options);
        assert_eq!(is_shared(&program), linkage == "OFF");
        connect(&program, Some(&root.join(&libdir)));
    }
}
