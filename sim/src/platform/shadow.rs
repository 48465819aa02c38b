//! The device shadow. Source: platform page "Device shadow JSON format".

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::feed::now_ms;

/// Bounds of a shadow. Source: platform page "Limits", device shadows.
const MAX_BYTES: usize = 16 * 1024;
const MAX_ATTRIBUTES: usize = 128;
const MAX_DEPTH: usize = 5;

/// A device's shadow.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(default)]
pub(crate) struct Shadow {
    pub(crate) reported: Map<String, Value>,
    pub(crate) desired: Map<String, Value>,
    pub(crate) version: i64,
}

/// Why a request was refused: the platform's number and its text.
type Fault = (u16, &'static str);

impl Shadow {
    /// Carries out what a device asks for; the answer.
    pub(crate) fn request(&mut self, payload: &[u8]) -> Value {
        match self.carry_out(payload) {
            Ok(payload) => answer("reply", payload, None),
            Err((code, text)) => {
                let content = json!({"errorcode": code.to_string(), "errormessage": text});
                answer(
                    "reply",
                    json!({"status": "error", "content": content}),
                    None,
                )
            }
        }
    }

    fn carry_out(&mut self, payload: &[u8]) -> Result<Value, Fault> {
        let request: Value =
            serde_json::from_slice(payload).map_err(|_| (400, "the shadow is not JSON"))?;
        let method = request.get("method").ok_or((401, "method is missing"))?;
        match method.as_str() {
            Some("get") => Ok(self.whole()),
            Some("update") => {
                let version = self.version_of(&request)?;
                self.update(&request, version)?;
                Ok(json!({"status": "success", "version": self.version}))
            }
            Some("delete") => {
                let version = self.version_of(&request)?;
                self.delete(&request)?;
                self.version = version;
                Ok(json!({"status": "success", "version": self.version}))
            }
            _ => Err((406, "the method is not known")),
        }
    }

    /// The version a request brings: larger than the last one, or -1 to begin anew.
    fn version_of(&self, request: &Value) -> Result<i64, Fault> {
        match request.get("version").map(Value::as_i64) {
            Some(Some(-1)) => Ok(0),
            Some(Some(version)) if version > self.version => Ok(version),
            Some(Some(_)) => Err((409, "the version is not larger than the present one")),
            _ => Err((403, "the version is not a number")),
        }
    }

    fn update(&mut self, request: &Value, version: i64) -> Result<(), Fault> {
        let state = request.get("state").ok_or((402, "state is missing"))?;
        let cleared = state
            .get("desired")
            .is_some_and(|desired| *desired == "null");
        match state.get("reported") {
            None if cleared => {}
            None => return Err((404, "reported is missing")),
            Some(Value::Object(reported)) if !reported.is_empty() => {
                let mut merged = self.reported.clone();
                merge(&mut merged, reported);
                fits(&merged)?;
                self.reported = merged;
            }
            Some(_) => return Err((405, "reported is empty")),
        }
        if cleared {
            self.desired.clear();
        }
        self.version = version;
        Ok(())
    }

    fn delete(&mut self, request: &Value) -> Result<(), Fault> {
        let state = request.get("state").ok_or((402, "state is missing"))?;
        match state.get("reported").ok_or((404, "reported is missing"))? {
            Value::Object(names) => self.reported.retain(|name, _| !names.contains_key(name)),
            text if *text == "null" => self.reported.clear(),
            _ => return Err((405, "reported is empty")),
        }
        Ok(())
    }

    /// Takes what the application wants; the message for the device.
    pub(crate) fn desire(&mut self, desired: &Map<String, Value>) -> Result<Value, String> {
        let mut merged = self.desired.clone();
        merge(&mut merged, desired);
        fits(&merged).map_err(|(_, text)| text.to_owned())?;
        self.desired = merged;
        self.version += 1;
        Ok(answer("control", self.whole(), Some(self.version)))
    }

    /// State and version, as `get` answers them.
    pub(crate) fn whole(&self) -> Value {
        json!({
            "status": "success",
            "state": {"reported": self.reported, "desired": self.desired},
            "version": self.version,
        })
    }
}

fn answer(method: &str, payload: Value, version: Option<i64>) -> Value {
    let version = version.or_else(|| payload.get("version").and_then(Value::as_i64));
    let mut answer = json!({
        "method": method,
        "payload": payload,
        "timestamp": now_ms() / 1000,
    });
    if let (Some(version), Some(object)) = (version, answer.as_object_mut()) {
        object.insert("version".into(), version.into());
    }
    answer
}

fn merge(into: &mut Map<String, Value>, from: &Map<String, Value>) {
    for (name, value) in from {
        into.insert(name.clone(), value.clone());
    }
}

fn fits(attributes: &Map<String, Value>) -> Result<(), Fault> {
    fn depth(value: &Value) -> usize {
        match value {
            Value::Object(map) => 1 + map.values().map(depth).max().unwrap_or(0),
            Value::Array(list) => 1 + list.iter().map(depth).max().unwrap_or(0),
            _ => 0,
        }
    }
    if attributes.len() > MAX_ATTRIBUTES {
        return Err((408, "more than 128 attributes"));
    }
    let deepest = attributes.values().map(depth).max().unwrap_or(0);
    let size = serde_json::to_string(attributes).map_or(usize::MAX, |text| text.len());
    if deepest >= MAX_DEPTH || size > MAX_BYTES {
        return Err((400, "the shadow is over 16 KB or deeper than five levels"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_only_grow_and_begin_anew_with_minus_one() {
        let mut shadow = Shadow::default();
        let mut ask = |text: &str| shadow.request(text.as_bytes());
        let update = |version: i64| {
            format!(r#"{{"method":"update","state":{{"reported":{{"a":1}}}},"version":{version}}}"#)
        };
        assert_eq!(ask(&update(3))["payload"]["status"], "success");
        let refused = ask(&update(3));
        assert_eq!(refused["payload"]["content"]["errorcode"], "409");
        assert_eq!(ask(&update(-1))["version"], 0);
        let got = ask(r#"{"method":"get"}"#);
        assert_eq!(got["payload"]["state"]["reported"]["a"], 1);
        for (text, code) in [
            ("{", "400"),
            ("{}", "401"),
            (r#"{"method":"x"}"#, "406"),
            (r#"{"method":"update","version":9}"#, "402"),
            (r#"{"method":"update","state":{}}"#, "403"),
            (r#"{"method":"update","state":{},"version":9}"#, "404"),
            (
                r#"{"method":"update","state":{"reported":{}},"version":9}"#,
                "405",
            ),
        ] {
            assert_eq!(ask(text)["payload"]["content"]["errorcode"], code, "{text}");
        }
    }

    #[test]
    fn what_is_wanted_is_told_and_can_be_cleared() {
        let mut shadow = Shadow::default();
        let wanted = json!({"color": "green"});
        let message = shadow.desire(wanted.as_object().unwrap()).unwrap();
        assert_eq!(message["method"], "control");
        assert_eq!(message["payload"]["state"]["desired"]["color"], "green");
        assert_eq!(message["version"], 1);
        shadow.request(br#"{"method":"update","state":{"desired":"null"},"version":2}"#);
        assert!(shadow.desired.is_empty() && shadow.version == 2);
    }
}
