//! Every result code of the header, from the header: name, sentence, predicate.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::toolbox::{ROOT, build, check, installed_library, scratch};

/// What may succeed later without a change by the application. Everything else must not be tried
/// again as it is.
const RETRYABLE: [&str; 15] = [
    "OUTBOX_FULL",
    "TIMEOUT",
    "DNS",
    "NETWORK",
    "CONNECT_TIMEOUT",
    "CLOSED_BY_PEER",
    "PROTOCOL",
    "KEEP_ALIVE_TIMEOUT",
    "SERVER_UNAVAILABLE",
    "TAKEN_OVER",
    "INBOX_OVERFLOW",
    "REGISTRATION_NOT_STORED",
    "PROXY",
    "FILE_ACCESS",
    "NO_RESOURCES",
];

const PROGRAM: &str = r#"
int main(void)
{
    const size_t count = sizeof results / sizeof *results;
    for (size_t i = 0; i < count; i++) {
        const char *text = aliot_result_text((aliot_result)results[i].number);
        CHECK(strcmp(aliot_result_name((aliot_result)results[i].number), results[i].name) == 0);
        CHECK(strlen(text) > 1 && text[strlen(text) - 1] == '.');
        CHECK(aliot_result_is_retryable((aliot_result)results[i].number) == results[i].retryable);
        for (size_t other = 0; other < i; other++) {
            CHECK(results[other].number != results[i].number);
            CHECK(strcmp(aliot_result_text((aliot_result)results[other].number), text) != 0);
        }
    }
    return 0;
}
"#;

#[test]
fn every_result_of_the_header_has_a_name_a_sentence_and_a_predicate() {
    let header = fs::read_to_string(Path::new(ROOT).join("include/aliot.h")).unwrap();
    let results: Vec<(&str, &str)> = header
        .lines()
        .filter_map(|line| line.trim().strip_prefix("ALIOT_RESULT_"))
        .filter_map(|line| line.trim_end_matches(',').split_once(" = "))
        .collect();
    assert!(results.len() >= 35, "{results:?}");
    for name in RETRYABLE {
        assert!(results.iter().any(|(other, _)| *other == name), "{name}");
    }
    let rows: String = results
        .iter()
        .map(|(name, number)| {
            let retryable = RETRYABLE.contains(name);
            format!("    {{{number}, {retryable}, \"ALIOT_RESULT_{name}\"}},\n")
        })
        .collect();
    let text = format!(
        "#include \"{ROOT}/tests/c/check.h\"\n\n\
         static const struct {{\n    int number;\n    bool retryable;\n    const char *name;\n}} \
         results[] = {{\n{rows}}};\n{PROGRAM}"
    );
    let source = scratch().join("results.c");
    fs::write(&source, text).unwrap();
    let program = build(&source, &installed_library(), "-O0");
    check(&source, "run", &Command::new(program).output().unwrap());
}
