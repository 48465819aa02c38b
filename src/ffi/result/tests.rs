use super::super::failure::code_of;
use super::*;

#[test]
fn the_list_holds_every_value_and_every_name_is_the_headers() {
    let declared = include_str!("../result.rs")
        .lines()
        .filter(|line| line.starts_with("    ") && line.ends_with(','))
        .filter_map(|line| line.split_once(" = "))
        .map(|(name, number)| (name.trim(), number.trim_end_matches(',')));
    let listed: Vec<_> = aliot_result::ALL
        .iter()
        .map(|result| (format!("{result:?}"), (*result as u32).to_string()))
        .collect();
    let declared: Vec<_> = declared
        .map(|(name, number)| (name.to_owned(), number.to_owned()))
        .collect();
    assert_eq!(listed, declared);
    for result in aliot_result::ALL {
        let name = result.describe().0.to_str().unwrap().replace('_', "");
        let debug = format!("aliotresult{result:?}");
        assert!(name.eq_ignore_ascii_case(&debug), "{name} {debug}");
    }
}

#[test]
fn kinds_and_codes_map_to_each_other() {
    for result in aliot_result::ALL {
        if let Some(kind) = result.describe().1 {
            assert_eq!(code_of(kind), result);
        }
    }
}

#[test]
fn a_sentence_starts_in_upper_case_and_ends_with_a_full_stop() {
    for result in aliot_result::ALL {
        let text = result.describe().2.to_str().unwrap();
        assert!(text.ends_with('.') && text.starts_with(char::is_uppercase));
    }
}
