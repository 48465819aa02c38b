//! Every pointer of every function, from the header: NULL in turn is an answer, never an accident.

use std::fs;
use std::path::Path;

use crate::run;
use crate::toolbox::{ROOT, build, check, has_valgrind, installed_library, scratch, valgrind};

/// Pointers that may be left out, or mean something when they are.
const OPTIONAL: [&str; 15] = [
    "token_out",
    "count_out",
    "userdata",
    "release",
    "timestamp",
    "on_event",
    "on_completion",
    "on_record",
    "on_store",
    "on_time",
    "product_secret",
    // Texts that are copied as far as there is room, which may be none.
    "aliot_sign_check.buffer",
    "aliot_sign_check.endpoint",
    "aliot_registration_set_instance_id.instance_id",
    "aliot_registration_start.runtime",
];

struct Parameter<'a> {
    kind: &'a str,
    name: &'a str,
}

impl Parameter<'_> {
    fn is_pointer(&self) -> bool {
        self.kind.contains('*') || self.kind.ends_with("_cb")
    }

    /// What a caller who means well would pass.
    fn argument(&self) -> String {
        match self.kind {
            "const char *" => "\"x\"".to_owned(),
            "const void *" => "scratch".to_owned(),
            "void *" => "NULL".to_owned(),
            kind if kind.ends_with("_cb") => match self.name {
                "release" => "NULL".to_owned(),
                // These two are called when everything else is right.
                "on_end" => "ended".to_owned(),
                "on_time" => "no_time".to_owned(),
                _ => format!("({kind})never"),
            },
            kind if kind.ends_with("**") => format!("({kind})(void *)scratch"),
            kind if kind.contains("aliot_") && kind.ends_with('*') && !self.is_out() => {
                let noun = kind
                    .trim_start_matches("const ")
                    .trim_end_matches([' ', '*']);
                noun.replace("aliot_", "")
            }
            kind if kind.contains('*') => format!("({kind})(void *)scratch"),
            _ if self.name == "capacity" => "sizeof scratch".to_owned(),
            kind => format!("({kind})1"),
        }
    }

    fn is_out(&self) -> bool {
        self.name.ends_with("_out")
    }
}

/// `const char *topic` as `const char *` and `topic`.
fn parameter(text: &str) -> Option<Parameter<'_>> {
    let text = text.trim();
    let start = text.rfind(|c: char| !c.is_alphanumeric() && c != '_')? + 1;
    let (kind, name) = text.split_at(start);
    Some(Parameter {
        kind: kind.trim(),
        name,
    })
}

/// The functions of the header: result, name, parameters.
fn functions(header: &str) -> Vec<(&str, &str, Vec<Parameter<'_>>)> {
    let mut found = Vec::new();
    for statement in header.split(';') {
        // A declaration follows the last comment, directive or brace before it.
        let start = statement.rfind(['/', '}', '{', '"']).map_or(0, |at| at + 1);
        let declaration = statement.get(start..).unwrap_or_default().trim();
        if declaration.starts_with("typedef") {
            continue;
        }
        let Some((head, parameters)) = declaration.trim_end_matches(')').split_once('(') else {
            continue;
        };
        let Some(at) = head.rfind([' ', '*']) else {
            continue;
        };
        let (result, name) = head.split_at(at + 1);
        if name.starts_with("aliot_") {
            let parameters = parameters.split(',').filter_map(parameter);
            found.push((result.trim(), name, parameters.collect()));
        }
    }
    found
}

const PROGRAM_START: &str = r#"
static char scratch[4096];

static void never(void)
{
    CHECK(!"called back");
}

static bool ended(const aliot_registration_end *end, void *userdata)
{
    (void)userdata;
    return end->identity != NULL;
}

static uint64_t no_time(void *userdata)
{
    (void)userdata;
    return 0;
}

static void must_be_refused(const char *call, aliot_result result)
{
    if (result != ALIOT_RESULT_NULL_POINTER) {
        fprintf(stderr, "%s: %s\n", call, aliot_result_name(result));
        CHECK(!"a pointer that must not be NULL is refused");
    }
}
"#;

const OBJECTS: &str = "
    aliot_identity *identity = fixture_identity();
    aliot_endpoint *endpoint = fixture_endpoint();
    aliot_config *config = fixture_config();
    aliot_client *client = fixture_client();
    aliot_credentials *credentials = NULL;
    aliot_runtime *runtime = NULL;
    aliot_registration *registration = fixture_registration();
    CHECK_OK(aliot_credentials_create(config, &credentials));
    CHECK_OK(aliot_runtime_create(ALIOT_DISPATCH_POLL, &runtime));
";

const OBJECTS_END: &str = "
    aliot_client_destroy(client);
    aliot_registration_destroy(registration);
    aliot_runtime_destroy(runtime);
    aliot_credentials_destroy(credentials);
    aliot_config_destroy(config);
    aliot_endpoint_destroy(endpoint);
    aliot_identity_destroy(identity);
";

/// A C function that passes NULL for each pointer of `name` in turn, and for all at once.
fn test_of(result: &str, name: &str, parameters: &[Parameter<'_>]) -> String {
    let mut calls = String::new();
    let null_at = |chosen: &dyn Fn(usize) -> bool| {
        let arguments: Vec<String> = parameters
            .iter()
            .enumerate()
            .map(|(at, parameter)| {
                if parameter.is_pointer() && chosen(at) {
                    "NULL".to_owned()
                } else {
                    parameter.argument()
                }
            })
            .collect();
        format!("{name}({})", arguments.join(", "))
    };
    for (at, parameter) in parameters.iter().enumerate() {
        if !parameter.is_pointer() {
            continue;
        }
        let call = null_at(&|other| other == at);
        let full_name = format!("{name}.{}", parameter.name);
        let optional = OPTIONAL.contains(&parameter.name) || OPTIONAL.contains(&&*full_name);
        // Removing a callback, which subscribe cannot.
        let removes = parameter.name == "on_message" && name.contains("_set_");
        if result == "aliot_result" && !optional && !removes {
            calls.push_str(&format!("    must_be_refused(\"{full_name}\", {call});\n"));
        } else {
            calls.push_str(&format!("    (void){call};\n"));
        }
    }
    calls.push_str(&format!("    (void){};\n", null_at(&|_| true)));
    format!("static void test_{name}(void)\n{{{OBJECTS}{calls}{OBJECTS_END}}}\n\n")
}

#[test]
fn null_for_any_pointer_of_the_header_is_answered() {
    let header = fs::read_to_string(Path::new(ROOT).join("include/aliot.h")).unwrap();
    let symbols = fs::read_to_string(Path::new(ROOT).join("tests/abi/symbols.txt")).unwrap();
    let functions = functions(&header);
    let names: Vec<&str> = functions.iter().map(|(_, name, _)| *name).collect();
    for symbol in symbols.lines() {
        assert!(
            names.contains(&symbol),
            "{symbol} was not found in the header"
        );
    }
    let mut text = format!("#include \"{ROOT}/tests/c/fixture.h\"\n{PROGRAM_START}\n");
    for (result, name, parameters) in &functions {
        text.push_str(&test_of(result, name, parameters));
    }
    text.push_str("int main(void)\n{\n");
    for name in names {
        text.push_str(&format!("    test_{name}();\n"));
    }
    text.push_str("    return 0;\n}\n");
    let source = scratch().join("null.c");
    fs::write(&source, text).unwrap();
    let program = build(&source, &installed_library(), "-O0");
    let mut command = std::process::Command::new(&program);
    if has_valgrind() {
        command = valgrind(&program, &[]);
    }
    check(&source, "run", &run("null", command, "tcp"));
}
