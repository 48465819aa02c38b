//! Requests in the Alink envelope: properties, events, tags, wanted values, configuration, upgrades.
//!
//! Source: platform page "Alink protocol".

use bytes::Bytes;
use serde_json::{Map, Value, json};

use super::ota;
use super::twin::{Desired, MAX_PROPERTIES, MAX_TAGS};
use crate::registry::Identity;
use crate::state::State;

/// Codes of the platform's answers.
pub(super) const OK: u16 = 200;
const PARAMETER: u16 = 460;
const TOO_MANY_PROPERTIES: u16 = 6106;
pub(super) const NO_CONFIG: u16 = 6710;

/// What became of a request: its code and data.
pub(super) type Outcome = (u16, Value);

/// The answer to a request of a device, or `None` if none is owed. `levels` are those of the topic
/// that follow product key and device name.
pub(super) fn answer(
    state: &mut State,
    identity: &Identity,
    levels: &[&str],
    payload: &Bytes,
) -> Option<Value> {
    if !is_request(levels) {
        return None;
    }
    let request: Option<Value> = serde_json::from_slice(payload).ok();
    let request = request.filter(Value::is_object);
    let wants_none = |request: &Value| request.pointer("/sys/ack") == Some(&json!(0));
    let (code, data) = match &request {
        Some(request) => {
            let params = request.get("params").cloned().unwrap_or_default();
            carry_out(state, identity, levels, &params)
        }
        None => (PARAMETER, json!({})),
    };
    if code != OK {
        let whom = state.registry.quote(&identity.to_string());
        let method = state.registry.quote(&levels.join("."));
        let why = message(code);
        let line = format!("answered {method} of {whom} with code {code}: {why}");
        state.journal.add(&line);
    }
    if request.as_ref().is_some_and(wants_none) {
        return None;
    }
    let id = request.as_ref().and_then(|request| request.get("id"));
    Some(json!({
        "id": id.cloned().unwrap_or_else(|| "".into()),
        "code": code,
        "data": data,
        "message": message(code),
        "method": levels.join("."),
        "version": "1.0",
    }))
}

fn message(code: u16) -> &'static str {
    match code {
        OK => "success",
        PARAMETER => "request parameter error",
        TOO_MANY_PROPERTIES => "too many properties",
        NO_CONFIG => "no remote configuration",
        _ => "failed",
    }
}

/// Whether the topic is one of those that are answered here.
fn is_request(levels: &[&str]) -> bool {
    matches!(
        levels,
        ["thing", "event", _, "post"]
            | [
                "thing",
                "event",
                "property",
                "batch" | "history" | "pack",
                "post"
            ]
            | ["thing", "deviceinfo", "update" | "delete" | "get"]
            | ["thing", "property", "desired", "get" | "delete"]
            | ["thing", "config", "get"]
            | ["thing", "config", "log", "get"]
            | ["thing", "log", "post"]
            | ["thing", "ota", "firmware", "get"]
            | ["thing", "job", "get"]
            | ["thing", "topo", "get"]
            | ["thing", "dsltemplate" | "dynamicTsl", "get"]
    )
}

fn carry_out(state: &mut State, identity: &Identity, levels: &[&str], params: &Value) -> Outcome {
    let platform = &mut state.platform;
    match levels {
        ["thing", "event", "property", "post"] => {
            let Some(properties) = params.as_object() else {
                return (PARAMETER, json!({}));
            };
            let outcome = report(&mut platform.twin(identity).properties, properties);
            platform.touch();
            outcome
        }
        ["thing", "deviceinfo", what] => tags(state, identity, what, params),
        ["thing", "property", "desired", what] => {
            let desired = &mut platform.twin(identity).desired;
            match *what {
                "get" => wanted(desired, params),
                _ => {
                    let outcome = unwanted(desired, params);
                    platform.touch();
                    outcome
                }
            }
        }
        ["thing", "config", "get"] => ota::config(state, identity),
        ["thing", "config", "log", "get"] => {
            let data = json!({"getType": "content", "content": {"mode": 0}});
            (OK, data)
        }
        ["thing", "ota", "firmware", "get"] => ota::pending(state, identity, params),
        ["thing", "job", "get"] => {
            let task = params.get("taskId").cloned().unwrap_or_default();
            (OK, json!({"taskId": task, "tasks": []}))
        }
        ["thing", "topo", "get"] => (OK, json!([])),
        _ if params.is_object() || params.is_array() => (OK, json!({})),
        _ => (PARAMETER, json!({})),
    }
}

/// Keeps what a device reports of its properties; a value may stand beside its time.
fn report(known: &mut Map<String, Value>, properties: &Map<String, Value>) -> Outcome {
    let more = properties.keys().filter(|name| !known.contains_key(*name));
    if known.len() + more.count() > MAX_PROPERTIES {
        return (TOO_MANY_PROPERTIES, json!({}));
    }
    for (name, value) in properties {
        let value = value.get("value").unwrap_or(value);
        known.insert(name.clone(), value.clone());
    }
    (OK, json!({}))
}

fn tags(state: &mut State, identity: &Identity, what: &str, params: &Value) -> Outcome {
    let tags = &mut state.platform.twin(identity).tags;
    let keys = |params: &Value| -> Option<Vec<String>> {
        let list = params.as_array()?.iter();
        list.map(|tag| Some(tag.get("attrKey")?.as_str()?.to_owned()))
            .collect()
    };
    if what == "get" {
        let wanted = keys(params);
        let found = tags
            .iter()
            .filter(|(key, _)| wanted.as_ref().is_none_or(|wanted| wanted.contains(key)));
        let data: Vec<Value> = found
            .map(|(key, value)| json!({"attrKey": key, "attrValue": value}))
            .collect();
        return (OK, data.into());
    }
    let Some(keys) = keys(params) else {
        return (PARAMETER, json!({}));
    };
    if what == "delete" {
        tags.retain(|key, _| !keys.contains(key));
    } else {
        let list = params.as_array().into_iter().flatten();
        let values = list.map(|tag| tag.get("attrValue").and_then(Value::as_str));
        for (key, value) in keys.into_iter().zip(values) {
            let Some(value) = value.filter(|_| tags.len() < MAX_TAGS || tags.contains_key(&key))
            else {
                return (PARAMETER, json!({}));
            };
            tags.insert(key, value.to_owned());
        }
    }
    state.platform.touch();
    (OK, json!({}))
}

type Wanted = std::collections::BTreeMap<String, Desired>;

fn wanted(desired: &Wanted, params: &Value) -> Outcome {
    let Some(names) = params.as_array() else {
        return (PARAMETER, json!({}));
    };
    let found = names.iter().filter_map(|name| {
        let name = name.as_str()?;
        let Desired { value, version } = desired.get(name)?;
        Some((name.to_owned(), json!({"value": value, "version": version})))
    });
    (OK, found.collect::<Map<String, Value>>().into())
}

/// Forgets what was wanted; a version that is named must be the present one.
fn unwanted(desired: &mut Wanted, params: &Value) -> Outcome {
    let Some(names) = params.as_object() else {
        return (PARAMETER, json!({}));
    };
    for (name, condition) in names {
        let version = condition.get("version").and_then(Value::as_u64);
        let present = desired.get(name).map(|desired| desired.version);
        if version.is_none() || version == present {
            desired.remove(name);
        }
    }
    (OK, json!({}))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wanted_values_are_deleted_by_their_version() {
        let mut desired = Wanted::new();
        let value = Desired {
            value: json!(1),
            version: 2,
        };
        desired.insert("a".into(), value);
        unwanted(&mut desired, &json!({"a": {"version": 1}}));
        assert_eq!(wanted(&desired, &json!(["a", "b"])).1["a"]["version"], 2);
        unwanted(&mut desired, &json!({"a": {}}));
        assert_eq!(wanted(&desired, &json!(["a"])), (OK, json!({})));
        assert_eq!(wanted(&desired, &json!({})).0, PARAMETER);
    }

    #[test]
    fn properties_are_bounded_and_taken_with_or_without_a_time() {
        let mut known = Map::new();
        let reported = json!({"a": {"value": 1, "time": 5}, "b": 2});
        assert_eq!(report(&mut known, reported.as_object().unwrap()).0, OK);
        assert_eq!(Value::from(known.clone()), json!({"a": 1, "b": 2}));
        let many: Map<String, Value> = (0..MAX_PROPERTIES)
            .map(|n| (n.to_string(), n.into()))
            .collect();
        assert_eq!(report(&mut known, &many).0, TOO_MANY_PROPERTIES);
        assert_eq!(known.len(), 2);
    }
}
