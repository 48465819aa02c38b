//! `aliot-sim ctl`: drives a running simulator through its API.

use std::ffi::OsString;
use std::process::ExitCode;

use serde_json::{Value, json};

use crate::client::{self, Content};
use crate::{complain, print};

/// Where the API is unless said otherwise.
const ADDRESS: &str = "127.0.0.1:8880";

const USAGE: &str = "\
usage: aliot-sim ctl [--http ADDRESS] COMMAND …

The address is that of the simulator's --http; by default ALIOT_SIM_HTTP or 127.0.0.1:8880.
Answers are JSON. Exit status: 1 if the simulator refuses, 2 if the command is not understood.

  products                        the products
  product [PK [SECRET]]           adds one; prints its secret, once
  config PK FILE                  sets a product's remote configuration, and tells its devices
  broadcast PK TEXT [TOPIC]       sends to all devices of a product, or to those subscribed
  devices                         the devices
  device PK [DN [SECRET]]         adds one; prints its secret, once
  preregister PK DN               adds one that will register
  x509 PK DN                      adds one that signs in with a certificate; prints it with its key
  certificate PK DN               makes a device a new certificate
  show PK DN                      a device with its connection, faults and what it reported
  remove PK DN                    removes a device
  disable|enable PK DN            disables a device, or enables it
  forget PK DN                    lets a device register again
  connections                     who is connected
  messages [COUNT]                the latest messages
  log [COUNT]                     the latest lines of the log
  follow                          what happens from now on, a line for each happening
  publish|publish1 PK DN TOPIC TEXT   sends with QoS 0 or 1; push and push1 ask for no subscription
  rrpc PK DN TEXT [TOPIC]         calls by RRPC and prints the answer
  set PK DN JSON                  sets properties and prints the answer
  service|service-sync PK DN ID JSON  calls a service and prints the answer
  desire PK DN JSON               sets wanted values of properties
  shadow PK DN JSON               sets wanted values of the shadow
  ota PK DN VERSION FILE [MODULE]  offers an upgrade
  kick|cut|reset PK DN            closes a connection: with notice, without a word, with a reset
  faults PK DN [JSON]             what goes wrong: refuse, drop_acks, delay_ms, close_at, how,
                                  stop_reading, corrupt
  early off|accept|handshake      what goes wrong before it is known whose connection it is
  hold on|off                     reads from no connection
  page                            where the page is
  help                            this text
";

/// A request to the API.
struct Request {
    method: &'static str,
    path: String,
    content: Body,
}

enum Body {
    None,
    Json(Value),
    File(Vec<u8>),
}

/// What a command leads to.
enum Command {
    Ask(Request),
    Follow,
    Print(String),
}

pub(crate) fn run(arguments: impl Iterator<Item = OsString>) -> ExitCode {
    match command(arguments) {
        Ok((_, Command::Print(text))) => {
            print(text.trim_end());
            ExitCode::SUCCESS
        }
        Ok((address, Command::Follow)) => {
            let shown = client::follow(&address, "/api/v1/events", |data| {
                print(data);
                true
            });
            outcome(&address, shown.map(|()| ExitCode::SUCCESS))
        }
        Ok((address, Command::Ask(request))) => outcome(&address, ask(&address, &request)),
        Err(reason) => {
            complain(&format!("{reason}; see aliot-sim ctl help"));
            ExitCode::from(2)
        }
    }
}

fn outcome(address: &str, result: std::io::Result<ExitCode>) -> ExitCode {
    result.unwrap_or_else(|error| {
        complain(&format!("no simulator answers at {address}: {error}"));
        ExitCode::FAILURE
    })
}

fn ask(address: &str, request: &Request) -> std::io::Result<ExitCode> {
    let text = match &request.content {
        Body::Json(value) => value.to_string(),
        _ => String::new(),
    };
    let content = match &request.content {
        Body::None => Content::None,
        Body::Json(_) => Content::Json(&text),
        Body::File(bytes) => Content::File(bytes),
    };
    let path = format!("/api/v1/{}", request.path);
    let (status, body) = client::ask(address, request.method, &path, &content)?;
    let value: Value = serde_json::from_str(&body).unwrap_or_default();
    if status == 200 {
        print(&serde_json::to_string_pretty(&value).unwrap_or(body));
        return Ok(ExitCode::SUCCESS);
    }
    let reason = value.get("error").and_then(Value::as_str);
    complain(reason.unwrap_or("the simulator answers with something unknown"));
    Ok(ExitCode::FAILURE)
}

fn command(arguments: impl Iterator<Item = OsString>) -> Result<(String, Command), String> {
    let mut words = Vec::new();
    for word in arguments {
        let text = word.into_string();
        words.push(text.map_err(|_| "an argument is not UTF-8".to_owned())?);
    }
    let mut address = std::env::var("ALIOT_SIM_HTTP").unwrap_or_else(|_| ADDRESS.to_owned());
    if words.first().is_some_and(|word| word == "--http") {
        if words.len() < 2 {
            return Err("--http has no address".into());
        }
        address = words.drain(..2).next_back().unwrap_or_default();
    }
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let command = match words.as_slice() {
        [] | ["help" | "--help" | "-h"] => Command::Print(USAGE.to_owned()),
        ["page"] => Command::Print(format!("http://{address}/")),
        ["follow"] => Command::Follow,
        words => Command::Ask(request(words)?),
    };
    Ok((address, command))
}

fn request(words: &[&str]) -> Result<Request, String> {
    let get = |path: String| new("GET", path, Body::None);
    let post = |path: String, value: Value| new("POST", path, Body::Json(value));
    let text = |words: &[&str]| words.join(" ");
    Ok(match words {
        [list @ ("products" | "devices" | "connections")] => get((*list).to_owned()),
        [list @ ("messages" | "log")] => get((*list).to_owned()),
        [list @ ("messages" | "log"), count] => get(format!("{list}?limit={}", encode(count))),
        ["product"] => post("products".into(), json!({})),
        ["product", key] => post("products".into(), json!({"product_key": key})),
        ["product", key, secret] => {
            let body = json!({"product_key": key, "product_secret": secret});
            post("products".into(), body)
        }
        ["config", key, path] => {
            let file = Body::File(file(path)?);
            new("PUT", format!("products/{}/config", encode(key)), file)
        }
        ["broadcast", key, text, rest @ ..] if rest.len() < 2 => {
            let mut body = json!({"payload": text});
            set(&mut body, "topic", rest.first());
            post(format!("products/{}/broadcast", encode(key)), body)
        }
        ["device", key, rest @ ..] if rest.len() < 3 => {
            let mut body = json!({"product_key": key});
            set(&mut body, "device_name", rest.first());
            set(&mut body, "device_secret", rest.get(1));
            post("devices".into(), body)
        }
        [kind @ ("preregister" | "x509"), key, name] => {
            let kind = if *kind == "x509" {
                "x509"
            } else {
                "preregistered"
            };
            let body = json!({"product_key": key, "device_name": name, "kind": kind});
            post("devices".into(), body)
        }
        ["early", phase] => {
            let body = Body::Json(json!({"close_at": phase}));
            new("PUT", "faults".into(), body)
        }
        ["hold", state @ ("on" | "off")] => {
            let body = Body::Json(json!({"on": *state == "on"}));
            new("PUT", "hold".into(), body)
        }
        [action, key, name, rest @ ..] => {
            let device = format!("devices/{}/{}", encode(key), encode(name));
            let to = |what: &str| format!("{device}/{what}");
            match (*action, rest) {
                ("show", []) => get(device),
                ("remove", []) => new("DELETE", device, Body::None),
                (
                    "kick" | "cut" | "reset" | "disable" | "enable" | "forget" | "certificate",
                    [],
                ) => post(to(action), json!({})),
                ("faults", []) => get(to("faults")),
                ("faults", faults) => {
                    let faults = Body::Json(parse(&text(faults))?);
                    new("PUT", to("faults"), faults)
                }
                ("publish" | "publish1" | "push" | "push1", [topic, words @ ..]) => {
                    let body = json!({
                        "topic": topic,
                        "payload": text(words),
                        "qos": u8::from(action.ends_with('1')),
                        "force": action.starts_with("push"),
                    });
                    post(to("publish"), body)
                }
                ("rrpc", [payload, topic @ ..]) if topic.len() < 2 => {
                    let mut body = json!({"payload": payload});
                    set(&mut body, "topic", topic.first());
                    post(to("rrpc"), body)
                }
                ("set", params) if !params.is_empty() => {
                    let body = json!({"params": parse(&text(params))?});
                    post(to("properties"), body)
                }
                ("service" | "service-sync", [id, params @ ..]) if !params.is_empty() => {
                    let sync = *action == "service-sync";
                    let body = json!({"params": parse(&text(params))?, "sync": sync});
                    post(to(&format!("services/{}", encode(id))), body)
                }
                ("desire" | "shadow", wanted) if !wanted.is_empty() => {
                    let path = if *action == "shadow" {
                        "shadow"
                    } else {
                        "desired"
                    };
                    post(to(path), json!({"desired": parse(&text(wanted))?}))
                }
                ("ota", [version, path, module @ ..]) if module.len() < 2 => {
                    let module = module
                        .first()
                        .map(|module| format!("&module={}", encode(module)));
                    let query =
                        format!("version={}{}", encode(version), module.unwrap_or_default());
                    new("POST", to(&format!("ota?{query}")), Body::File(file(path)?))
                }
                _ => return Err(format!("{action} is no command, or has too few words")),
            }
        }
        [action, ..] => return Err(format!("{action} is no command, or has too few words")),
        [] => return Err("the command is missing".into()),
    })
}

fn new(method: &'static str, path: String, content: Body) -> Request {
    Request {
        method,
        path,
        content,
    }
}

/// Adds a field if there is a word for it.
fn set(body: &mut Value, name: &str, word: Option<&&str>) {
    if let (Some(word), Some(object)) = (word, body.as_object_mut()) {
        object.insert(name.to_owned(), (*word).into());
    }
}

fn parse(text: &str) -> Result<Value, String> {
    serde_json::from_str(text).map_err(|_| "the last words are not JSON".to_owned())
}

fn file(path: &str) -> Result<Vec<u8>, String> {
    std::fs::read(path).map_err(|error| format!("cannot read {path}: {error}"))
}

/// Percent-encodes everything but letters, digits and a few marks.
fn encode(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.:".contains(&byte);
    let encoded = text.bytes().map(|byte| {
        if plain(byte) {
            char::from(byte).to_string()
        } else {
            format!("%{byte:02X}")
        }
    });
    encoded.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_of_the_help_is_understood() {
        let is_head = |line: &&str| line.starts_with("  ") && !line.starts_with("   ");
        for line in USAGE.lines().filter(is_head) {
            let words: Vec<&str> = line
                .split("  ")
                .find(|w| !w.is_empty())
                .unwrap()
                .split(' ')
                .collect();
            for name in words[0].split('|') {
                let mut given = vec![name];
                for word in &words[1..] {
                    given.push(match word.trim_matches(['[', ']']) {
                        "JSON" => "{}",
                        "FILE" => "/dev/null",
                        "off|accept|handshake" => "accept",
                        "on|off" => "on",
                        other => other,
                    });
                }
                let known = ["help", "page", "follow"].contains(&name) || request(&given).is_ok();
                assert!(known, "{given:?}");
            }
        }
        assert!(request(&["nonsense"]).is_err() && request(&["kick", "pk"]).is_err());
        assert!(request(&["set", "pk", "dn", "{"]).is_err());
    }

    #[test]
    fn names_are_encoded() {
        assert_eq!(encode("a/b é"), "a%2Fb%20%C3%A9");
    }
}
