//! Topics, filters and what matches what, against the rules of MQTT 3.1.1, section 4.7, written
//! down once more in the plainest way.

use aliot::fuzz_support::Routes;
use aliot::{Profile, Qos, TopicFilter, TopicName};

/// Lines: each is a filter to insert; after `-` one to remove; after `=` a topic to look up.
pub fn topic(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    let mut routes: Routes<usize> = Routes::new();
    // The model: filter and handler, in the order in which they came.
    let mut model: Vec<(String, usize)> = Vec::new();
    for (number, line) in text.split('\n').enumerate() {
        if let Some(topic) = line.strip_prefix('=') {
            look_up(&mut routes, &model, topic);
        } else if let Some(filter) = line.strip_prefix('-') {
            let known = model.iter().position(|(known, _)| known == filter);
            let expected = known.map(|at| model.remove(at).1);
            assert_eq!(routes.remove(filter), expected, "removing {filter:?}");
        } else {
            let parsed = TopicFilter::parse(line);
            assert_eq!(parsed.is_ok(), is_filter(line), "{line:?}: {parsed:?}");
            let Ok(filter) = parsed else {
                continue;
            };
            assert_eq!(filter.as_str(), line);
            assert_eq!(filter.is_literal(), !line.contains(['+', '#']));
            let known = model.iter_mut().find(|(known, _)| known == line);
            let expected = known.map(|(_, handler)| std::mem::replace(handler, number));
            if expected.is_none() {
                model.push((line.to_owned(), number));
            }
            let replaced = routes.insert(filter, Qos::AtLeastOnce, number);
            assert_eq!(replaced, expected, "inserting {line:?}");
        }
        assert_eq!(routes.len(), model.len());
    }
    // Nothing is left of what is removed.
    for (filter, handler) in model.drain(..) {
        assert_eq!(routes.remove(&filter), Some(handler));
    }
    look_up(&mut routes, &model, "a/b");
}

fn look_up(routes: &mut Routes<usize>, model: &[(String, usize)], topic: &str) {
    let is_topic = TopicName::parse(topic, "", &Profile::private()).is_ok();
    let expected = !topic.is_empty()
        && topic.len() <= 65_535
        && !topic.contains(['+', '#'])
        && !topic.chars().any(char::is_control);
    assert_eq!(is_topic, expected, "{topic:?}");
    let matching = model.iter().filter(|(filter, _)| {
        let parsed = TopicFilter::parse(filter.as_str()).expect("it was taken before");
        let matches = matches(filter, topic);
        if is_topic {
            assert_eq!(parsed.matches(topic), matches, "{filter:?} for {topic:?}");
        }
        matches
    });
    let expected: Vec<usize> = matching.map(|(_, handler)| *handler).collect();
    let found = routes.matches(topic);
    if is_topic {
        assert_eq!(found.as_slice(), expected, "{topic:?} among {model:?}");
    }
}

fn is_filter(text: &str) -> bool {
    let levels: Vec<&str> = text.split('/').collect();
    let is_level = |(at, level): (usize, &&str)| match *level {
        "+" => true,
        "#" => at + 1 == levels.len(),
        other => !other.contains(['+', '#']),
    };
    !text.is_empty()
        && text.len() <= 65_535
        && !text.chars().any(char::is_control)
        && levels.iter().enumerate().all(is_level)
}

fn matches(filter: &str, topic: &str) -> bool {
    if topic.starts_with('$') && filter.starts_with(['+', '#']) {
        return false;
    }
    let filter: Vec<&str> = filter.split('/').collect();
    let topic: Vec<&str> = topic.split('/').collect();
    levels_match(&filter, &topic)
}

fn levels_match(filter: &[&str], topic: &[&str]) -> bool {
    match (filter, topic) {
        (["#"], _) => true,
        ([], []) => true,
        (["+", filter @ ..], [_, topic @ ..]) => levels_match(filter, topic),
        ([wanted, filter @ ..], [level, topic @ ..]) => {
            wanted == level && levels_match(filter, topic)
        }
        _ => false,
    }
}
