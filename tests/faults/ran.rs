//! How often a test injected its fault, against README.md beside this file. Several test programs have
//! this file in them.

const README: &str = include_str!("README.md");

/// `make deep-faults` makes the runs long.
pub(crate) fn is_long() -> bool {
    ["ALIOT_LONG", "ALIOT_SOAK_SECONDS"]
        .iter()
        .any(|it| std::env::var_os(it).is_some())
}

/// From what follows a test's name: ` ×20` in every run, ` ×20 (×1000)` if a long run makes more of
/// them. A long run that tries everything there is, ` ×60 (all)`, has no number.
pub(crate) fn times(after: &str) -> Option<(usize, Option<usize>)> {
    let number = |text: &str| -> Option<usize> {
        let digits = text.split(|c: char| !c.is_ascii_digit()).next()?;
        digits.parse().ok()
    };
    let rest = after.strip_prefix(" ×")?;
    let usual = number(rest)?;
    let long = rest
        .trim_start_matches(|c: char| c.is_ascii_digit())
        .strip_prefix(" (");
    let long = match long {
        Some(text) if text.starts_with("all)") => None,
        Some(text) => text.strip_prefix('×').and_then(number).or(Some(usual)),
        None => Some(usual),
    };
    Some((usual, long))
}

/// Called at the end of a test whose faults are counted.
pub(crate) fn ran(test: &str, made: usize) {
    let name = format!("`{test}`");
    let mut told = README.split(&name).skip(1).filter_map(times);
    let Some((usual, long)) = told.next() else {
        panic!("README.md says nowhere how often {test} does it: ×{made}");
    };
    assert!(
        told.all(|again| again == (usual, long)),
        "README.md has two numbers for {test}"
    );
    let wanted = if is_long() { long } else { Some(usual) };
    assert!(
        wanted.is_none_or(|wanted| wanted == made),
        "README.md says that {test} does it {wanted:?} times: ×{made}"
    );
}
