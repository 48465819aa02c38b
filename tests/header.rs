//! The committed header is the generated one, and compiles alone in every promised language.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

const COMMITTED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/include/aliot.h");

/// Compiler, language, standard.
const LANGUAGES: [(&str, &str, &str); 4] = [
    ("cc", "c", "c99"),
    ("cc", "c", "c11"),
    ("cc", "c", "c2x"),
    ("c++", "c++", "c++11"),
];

#[test]
fn committed_header_is_up_to_date() {
    let generated = fs::read_to_string(env!("ALIOT_GENERATED_HEADER")).unwrap();
    if env::var_os("ALIOT_BLESS").is_some() {
        fs::write(COMMITTED, &generated).unwrap();
    }
    let committed = fs::read_to_string(COMMITTED).unwrap_or_default();
    assert!(
        committed == generated,
        "include/aliot.h is stale: run `ALIOT_BLESS=1 cargo test --test header`"
    );
}

#[test]
fn header_compiles_alone_and_twice_in_every_language() {
    for (compiler, language, standard) in LANGUAGES {
        compile(compiler, language, standard, "once", "#include <aliot.h>\n");
        let twice = "#include <aliot.h>\n#include <aliot.h>\n";
        compile(compiler, language, standard, "twice", twice);
    }
}

#[test]
fn header_brings_its_own_includes_and_follows_them() {
    let includes = ["stdbool.h", "stddef.h", "stdint.h", "string.h"];
    let before: String = includes.map(|name| format!("#include <{name}>\n")).concat();
    let text = format!("{before}#include <aliot.h>\n");
    compile("cc", "c", "c99", "after", &text);
}

#[test]
fn version_macros_add_up_to_the_version_of_the_crate() {
    let part = |text: &str| text.parse::<u32>().unwrap();
    let number = (part(env!("CARGO_PKG_VERSION_MAJOR")) << 16)
        | (part(env!("CARGO_PKG_VERSION_MINOR")) << 8)
        | part(env!("CARGO_PKG_VERSION_PATCH"));
    let text = format!(
        "#include <aliot.h>\n\
         _Static_assert(ALIOT_VERSION_NUMBER == {number}, \"number\");\n\
         _Static_assert(ALIOT_VERSION_MAJOR * 65536 + ALIOT_VERSION_MINOR * 256\n\
                        + ALIOT_VERSION_PATCH == {number}, \"parts\");\n"
    );
    compile("cc", "c", "c11", "version", &text);
    assert_eq!(aliot::ffi::aliot_version_number(), number);
}

/// The interface passes enums as 32-bit numbers.
#[test]
fn enums_have_32_bits() {
    let asserts: String = [
        "aliot_result",
        "aliot_qos",
        "aliot_event_kind",
        "aliot_state",
        "aliot_log_level",
    ]
    .map(|name| format!("_Static_assert(sizeof({name}) == 4, \"{name}\");\n"))
    .concat();
    let text = format!("#include <aliot.h>\n{asserts}");
    compile("cc", "c", "c11", "enums", &text);
}

#[test]
fn no_line_is_longer_than_100_columns() {
    let generated = fs::read_to_string(env!("ALIOT_GENERATED_HEADER")).unwrap();
    for line in generated.lines() {
        assert!(line.chars().count() <= 100, "{line}");
    }
}

/// A name that has gone would send readers looking for it.
#[test]
fn the_documents_name_what_the_header_has() {
    let header = fs::read_to_string(COMMITTED).unwrap();
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let known: std::collections::BTreeSet<_> = header.split(|c| !is_name(c)).collect();
    for file in ["README.md", "docs/migration.md", "docs/packaging.md"] {
        let text = fs::read_to_string(root.join(file)).unwrap();
        let names = text.split(|c| !is_name(c)).filter(|name| {
            // ALIOT_ alone is also how variables of CMake and of the examples begin.
            let of_c = name.starts_with("aliot_") || name.starts_with("ALIOT_RESULT_");
            of_c && !name.ends_with('_')
        });
        for name in names {
            assert!(known.contains(name), "{file}: the header has no {name}");
        }
    }
}

fn compile(compiler: &str, language: &str, standard: &str, name: &str, text: &str) {
    let directory = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("header");
    fs::create_dir_all(&directory).unwrap();
    let source = directory.join(format!("{name}-{standard}.txt"));
    fs::write(&source, text).unwrap();
    let include = Path::new(COMMITTED).parent().unwrap();
    let output = Command::new(compiler)
        .args(["-x", language, &format!("-std={standard}")])
        .args(["-Wall", "-Wextra", "-Wpedantic", "-Werror", "-fsyntax-only"])
        .arg("-I")
        .arg(include)
        .arg(&source)
        .output()
        .unwrap_or_else(|error| panic!("{compiler} cannot be run: {error}"));
    assert!(
        output.status.success(),
        "{compiler} -std={standard} refuses {name}:\n{}",
        String::from_utf8_lossy(&output.stderr)
    );
}
