//! Programs compiled with the previous header go on working.
//!
//! `tests/abi/previous/aliot.h` is the header of the last release, and before there is one, the
//! header before its last change. Refresh it with the commit that raises the version, or, before
//! 1.0, with a change that raises the SONAME: `cp include/aliot.h tests/abi/previous/`. For nothing
//! else: whatever breaks these tests breaks programs in the field.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use aliot_sim::{Options, Qos, Sim, View};

use crate::shared_library;

const PREVIOUS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/abi/previous");
const PATIENCE: Duration = Duration::from_secs(30);

#[test]
fn a_program_compiled_with_the_previous_header_runs() {
    let program = compile();
    let sim = Sim::start(Options {
        dir: Some(program.with_extension("platform")),
        ..Options::default()
    })
    .unwrap();
    sim.add_device("a1test", "yesterday", "canary-device-secret");
    let process = Command::new(&program)
        .env("SIM_TLS_PORT", sim.tls_addr().unwrap().port().to_string())
        .env("SIM_CA_FILE", sim.ca_file().unwrap())
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    // What goes wrong here shows in what the program says.
    let published = |view: &View<'_>| view.received().len() == 1;
    let subscribed = |view: &View<'_>| {
        let connections = view.connections();
        connections.iter().any(|it| !it.subscriptions.is_empty())
    };
    let _ = sim.wait_for(published, PATIENCE);
    let _ = sim.wait_for(subscribed, PATIENCE);
    let _ = sim.cut("a1test", "yesterday");
    let _ = sim.wait_for(|view| !subscribed(view), PATIENCE);
    let _ = sim.wait_for(subscribed, PATIENCE);
    let topic = "/a1test/yesterday/user/get";
    let _ = sim.publish("a1test", "yesterday", topic, b"finish", Qos::AtLeastOnce);
    let output = process.wait_with_output().unwrap();
    assert!(
        output.status.success() && output.stdout == b"as yesterday\n",
        "{}\n{}{}\n{:#?}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
        sim.log_lines()
    );
}

fn compile() -> PathBuf {
    let directory = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("abi");
    fs::create_dir_all(&directory).unwrap();
    // Under the name that the program will look for: the SONAME that the previous header goes with.
    let library = directory.join(format!("libaliot.so.{}", previous_minor()));
    let _ = fs::remove_file(&library);
    symlink(shared_library(), &library).unwrap();
    let program = directory.join("program");
    let output = Command::new("cc")
        .args(["-std=c11", "-Wall", "-Wextra", "-Wpedantic", "-Werror"])
        .args(["-I", PREVIOUS])
        .arg(Path::new(PREVIOUS).join("program.c"))
        .arg(&library)
        .arg(format!("-Wl,-rpath,{}", directory.display()))
        .arg("-o")
        .arg(&program)
        .output()
        .unwrap();
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "it does not compile: {error}");
    program
}

fn previous_minor() -> String {
    let header = previous();
    let part = |name: &str| {
        let define = format!("#define ALIOT_VERSION_{name} ");
        let rest = header.split(&define).nth(1).unwrap();
        rest.lines().next().unwrap().to_owned()
    };
    format!("{}.{}", part("MAJOR"), part("MINOR"))
}

#[test]
fn the_previous_header_has_the_soname_of_today() {
    let (major, minor) = (
        env!("CARGO_PKG_VERSION_MAJOR"),
        env!("CARGO_PKG_VERSION_MINOR"),
    );
    assert_eq!(
        previous_minor(),
        format!("{major}.{minor}"),
        "the SONAME has changed: cp include/aliot.h tests/abi/previous/"
    );
}

#[test]
fn every_previous_declaration_stands() {
    let today = declarations(&fs::read_to_string(env!("ALIOT_GENERATED_HEADER")).unwrap());
    let previous = declarations(&previous());
    assert!(previous.len() > 90, "{previous:#?}");
    for declaration in previous {
        let stands = match declaration.split_once(" { ") {
            None => today.contains(&declaration),
            Some((head, body)) if head.starts_with("typedef enum") => {
                let now = body_of(&today, head);
                let values = |body: &str| -> Vec<String> {
                    let values = body.split(['}', ',']).map(|value| value.trim().to_owned());
                    values.filter(|value| value.contains('=')).collect()
                };
                let now = values(&now);
                values(body).iter().all(|value| now.contains(value))
            }
            Some((head, body)) => {
                let members = body.split(" }").next().unwrap();
                body_of(&today, head).starts_with(members)
            }
        };
        assert!(stands, "this has changed: {declaration}");
    }
}

/// What stands between the braces of a type.
fn body_of(declarations: &[String], head: &str) -> String {
    let start = format!("{head} {{ ");
    let found = declarations.iter().find_map(|it| it.strip_prefix(&start));
    found.unwrap_or_default().to_owned()
}

/// The declarations of a header, one a line and without comments.
fn declarations(header: &str) -> Vec<String> {
    let mut text = String::new();
    let mut rest = header;
    while let Some((before, comment)) = rest.split_once("/*") {
        text.push_str(before);
        rest = comment.split_once("*/").unwrap().1;
    }
    text.push_str(rest);
    let mut code = Vec::new();
    let mut in_macro = false;
    for line in text.lines() {
        let directive = in_macro || line.starts_with('#');
        in_macro = directive && line.ends_with('\\');
        if !directive && !["extern \"C\" {", "}"].contains(&line) {
            code.extend(line.split_whitespace());
        }
    }
    let mut declarations = vec![String::new()];
    let mut depth = 0;
    for word in code {
        depth += word.matches('{').count();
        depth -= word.matches('}').count();
        let last = declarations.last_mut().unwrap();
        if !last.is_empty() {
            last.push(' ');
        }
        last.push_str(word);
        if depth == 0 && word.ends_with(';') {
            declarations.push(String::new());
        }
    }
    declarations.pop();
    declarations
}

fn previous() -> String {
    fs::read_to_string(Path::new(PREVIOUS).join("aliot.h")).unwrap()
}
