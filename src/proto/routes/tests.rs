//! Routes against a matcher that is too simple to be wrong.

use proptest::prelude::*;

use super::*;

fn filter(text: &str) -> TopicFilter {
    TopicFilter::parse(text).unwrap()
}

fn routes(filters: &[&'static str]) -> Routes<&'static str> {
    let mut routes = Routes::new();
    for &text in filters {
        assert_eq!(routes.insert(filter(text), Qos::AtLeastOnce, text), None);
    }
    routes
}

fn matches(routes: &mut Routes<&'static str>, topic: &str) -> Vec<&'static str> {
    routes.matches(topic).as_slice().to_vec()
}

#[test]
fn every_matching_route_gets_the_message_oldest_first() {
    let mut routes = routes(&["a/#", "a/b", "+/b", "#", "a/c", "a/+"]);
    assert_eq!(
        matches(&mut routes, "a/b"),
        ["a/#", "a/b", "+/b", "#", "a/+"]
    );
    assert_eq!(matches(&mut routes, "a"), ["a/#", "#"]);
    assert_eq!(matches(&mut routes, "$a/b"), Vec::<&str>::new());
    assert_eq!(matches(&mut routes, "a/+"), ["a/#", "#", "a/+"]);
}

#[test]
fn subscribing_again_replaces_the_handler_and_keeps_the_place() {
    let mut routes = routes(&["a/+", "a/b"]);
    routes.set_state("a/+", RouteState::Refused);
    assert_eq!(
        routes.insert(filter("a/+"), Qos::AtMostOnce, "new"),
        Some("a/+")
    );
    assert_eq!(routes.len(), 2);
    assert_eq!(matches(&mut routes, "a/b"), ["new", "a/b"]);
    let route = routes.get("a/+").unwrap();
    assert_eq!(route.qos, Qos::AtMostOnce);
    assert_eq!(route.state, RouteState::Wanted, "it is asked for again");
}

#[test]
fn what_a_lost_session_had_granted_is_wanted_again_and_what_was_refused_is_not() {
    let mut routes = routes(&["a", "b", "c"]);
    routes.set_state("a", RouteState::Granted);
    routes.set_state("b", RouteState::Refused);
    routes.set_state("nobody", RouteState::Refused);
    let states = |routes: &Routes<_>| {
        let states = routes.iter().map(|(_, route)| route.state);
        states.collect::<Vec<_>>()
    };
    let (wanted, refused) = (RouteState::Wanted, RouteState::Refused);
    assert_eq!(states(&routes), [RouteState::Granted, refused, wanted]);
    routes.forget_granted();
    assert_eq!(states(&routes), [wanted, refused, wanted]);
}

#[test]
fn a_removed_route_gets_nothing_more() {
    let mut routes = routes(&["a/+", "a/b", "a/+/c"]);
    assert_eq!(routes.remove("a/+"), Some("a/+"));
    assert_eq!(routes.remove("a/+"), None);
    assert!(routes.get("a/+").is_none());
    assert_eq!(matches(&mut routes, "a/b"), ["a/b"]);
    assert_eq!(matches(&mut routes, "a/b/c"), ["a/+/c"]);
}

#[test]
fn routes_are_listed_in_the_order_in_which_they_were_made() {
    let mut routes = routes(&["z", "+", "a"]);
    routes.remove("+");
    routes.insert(filter("+"), Qos::AtMostOnce, "+");
    let order: Vec<&str> = routes.iter().map(|(filter, _)| filter.as_str()).collect();
    assert_eq!(order, ["z", "a", "+"]);
}

#[test]
fn drained_routes_give_their_handlers_back_in_order() {
    let mut routes = routes(&["z", "a/+"]);
    assert_eq!(routes.drain().collect::<Vec<_>>(), ["z", "a/+"]);
    assert_eq!(routes.len(), 0);
    assert_eq!(matches(&mut routes, "z"), Vec::<&str>::new());
}

#[test]
fn a_filter_of_the_greatest_depth_costs_no_stack() {
    let deep = "/".repeat(65_534) + "+";
    let mut routes = Routes::new();
    routes.insert(filter(&deep), Qos::AtMostOnce, 1);
    assert_eq!(routes.matches(&"/".repeat(65_534)).as_slice(), [1]);
    assert_eq!(routes.remove(&deep), Some(1));
    assert_eq!(routes.wildcards.len(), 1);
}

/// MQTT 3.1.1, 4.7, written by recursion over levels.
fn naive(filter: &[&str], topic: &[&str]) -> bool {
    match (filter, topic) {
        (["#"], _) | ([], []) => true,
        (["+", filter @ ..], [_, topic @ ..]) => naive(filter, topic),
        ([wanted, filter @ ..], [level, topic @ ..]) => wanted == level && naive(filter, topic),
        _ => false,
    }
}

fn naive_matches(filter: &str, topic: &str) -> bool {
    let filter: Vec<&str> = filter.split('/').collect();
    let topic: Vec<&str> = topic.split('/').collect();
    let reserved = topic[0].starts_with('$') && matches!(filter[0], "+" | "#");
    !reserved && naive(&filter, &topic)
}

const LEVELS: [&str; 5] = ["", "a", "b", "é", "$s"];

fn topic_text() -> impl Strategy<Value = String> {
    prop::collection::vec(prop::sample::select(&LEVELS[..]), 1..5)
        .prop_map(|levels| levels.join("/"))
        .prop_filter("an empty topic is none", |topic| !topic.is_empty())
}

fn filter_text() -> impl Strategy<Value = String> {
    let level = prop_oneof![2 => prop::sample::select(&LEVELS[..]), 1 => Just("+")];
    (prop::collection::vec(level, 0..5), any::<bool>())
        .prop_map(|(mut levels, hash)| {
            if hash {
                levels.push("#");
            }
            levels.join("/")
        })
        .prop_filter("an empty filter is none", |filter| !filter.is_empty())
}

proptest! {
    #[test]
    fn routes_find_what_a_naive_matcher_finds(
        steps in prop::collection::vec((filter_text(), any::<bool>()), 1..40),
        topics in prop::collection::vec(topic_text(), 1..20),
    ) {
        let mut routes = Routes::new();
        let mut model: Vec<(String, usize)> = Vec::new();
        for (number, (text, add)) in steps.into_iter().enumerate() {
            let known = model.iter().position(|(filter, _)| *filter == text);
            let expected = known.map(|place| model[place].1);
            if add {
                let replaced = routes.insert(filter(&text), Qos::AtLeastOnce, number);
                prop_assert_eq!(replaced, expected);
                match known {
                    Some(place) => model[place].1 = number,
                    None => model.push((text, number)),
                }
            } else {
                prop_assert_eq!(routes.remove(&text), expected);
                known.map(|place| model.remove(place));
            }
        }
        let order: Vec<&str> = routes.iter().map(|(filter, _)| filter.as_str()).collect();
        let model_order: Vec<&str> = model.iter().map(|(filter, _)| &**filter).collect();
        prop_assert_eq!(order, model_order);
        for topic in topics {
            let found = routes.matches(&topic).as_slice().to_vec();
            let expected: Vec<usize> = model
                .iter()
                .filter(|(filter, _)| naive_matches(filter, &topic))
                .map(|(_, number)| *number)
                .collect();
            prop_assert_eq!(found, expected, "{}", topic);
        }
        for (text, _) in &model {
            routes.remove(text);
        }
        prop_assert!(routes.len() == 0);
        prop_assert_eq!(routes.wildcards.len(), 1);
    }

    #[test]
    fn one_filter_matches_what_a_naive_matcher_says(text in filter_text(), topic in topic_text()) {
        prop_assert_eq!(filter(&text).matches(&topic), naive_matches(&text, &topic));
    }
}
