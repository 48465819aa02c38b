//! No function of the header is forgotten by the tests that call every function.

use std::fs;
use std::path::Path;

use crate::toolbox::ROOT;

#[test]
fn the_tests_of_every_function_name_every_function() {
    let read = |file: &str| fs::read_to_string(Path::new(ROOT).join(file)).unwrap();
    let symbols = read("tests/abi/symbols.txt");
    let text = read("tests/c/every_call.h") + &read("tests/c/every_door.h");
    let words: Vec<&str> = text
        .split(|c: char| !c.is_alphanumeric() && c != '_')
        .collect();
    let missing: Vec<&str> = symbols
        .lines()
        .filter(|symbol| !words.contains(symbol))
        .filter(|symbol| !words.contains(&format!("call_{symbol}").as_str()))
        .collect();
    assert!(
        missing.is_empty(),
        "neither tests/c/every_call.h nor tests/c/every_door.h calls {missing:#?}"
    );
}
