//! The HTTP API, and `aliot-sim ctl` that uses it.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::process::{Command, Stdio};

use aliot_sim::{Options, Sim};
use serde_json::{Value, json};

use crate::device::{Device, Ending, PATIENCE, SECRET, signed, sim_with, wait_for_line};
use crate::http::{api, ask, request};

fn sim() -> Sim {
    sim_with(Options {
        http: Some(([127, 0, 0, 1], 0).into()),
        https: Some(([127, 0, 0, 1], 0).into()),
        seed: Some(7),
        ..Options::default()
    })
}

#[test]
fn products_and_devices_are_made_listed_and_removed_and_secrets_shown_once() {
    let sim = sim();
    let product = ask(&sim, "POST", "products", r#"{"product_key": "a1"}"#);
    let product_secret = product["product_secret"].as_str().unwrap().to_owned();
    let body = r#"{"product_key": "a1", "device_name": "one"}"#;
    let device = ask(&sim, "POST", "devices", body);
    let secret = device["device_secret"].as_str().unwrap().to_owned();
    assert_eq!(api(&sim, "POST", "devices", body).status, 409);
    ask(
        &sim,
        "POST",
        "devices",
        r#"{"product_key":"a1","device_name":"r","kind":"preregistered"}"#,
    );
    let x509 = ask(
        &sim,
        "POST",
        "devices",
        r#"{"product_key":"a1","device_name":"x","kind":"x509"}"#,
    );
    assert!(x509["key"].as_str().unwrap().contains("PRIVATE KEY"));
    let named = ask(&sim, "POST", "devices", r#"{"product_key":"a1"}"#);
    assert!(
        named["device_name"]
            .as_str()
            .unwrap()
            .starts_with("device-")
    );
    let made = ask(&sim, "POST", "products", "");
    assert!(made["product_key"].as_str().unwrap().starts_with("a1"));

    let secrets = [&*secret, &*product_secret, SECRET, "PRIVATE KEY"];
    let mut lists = Vec::new();
    for path in [
        "products",
        "devices",
        "devices/a1/one",
        "connections",
        "log",
        "messages",
    ] {
        lists.push(ask(&sim, "GET", path, "").to_string());
    }
    let all = lists.join("\n") + &sim.log_lines().join("\n");
    for secret in secrets {
        assert!(!all.contains(secret), "{secret}");
    }
    assert!(lists[1].contains(r#""device_name":"one""#));
    assert_eq!(api(&sim, "DELETE", "devices/a1/one", "").status, 200);
    assert_eq!(api(&sim, "GET", "devices/a1/one", "").status, 404);
    for (path, body, status) in [
        ("products", r#"{"product_key": "a/b"}"#, 400),
        ("devices", r#"{"product_key": "none"}"#, 404),
        ("devices", r#"{"product_key": "a1", "nonsense": 1}"#, 400),
        ("devices", "{", 400),
        ("nowhere", "{}", 404),
    ] {
        let answer = api(&sim, "POST", path, body);
        assert_eq!(answer.status, status, "{path} {body}");
        assert!(answer.json()["error"].is_string());
    }
}

#[test]
fn a_device_is_seen_sent_to_called_and_closed() {
    let sim = sim();
    let answer = api(&sim, "POST", "devices/pk/dn/kick", "");
    assert_eq!(answer.status, 409);
    let mut device = Device::connected(&sim, &signed(",ext=3"));
    device.subscribe(&[("/pk/dn/user/get", 1)]);
    let shown = ask(&sim, "GET", "devices/pk/dn", "");
    assert_eq!(
        shown["connection"]["subscriptions"],
        json!(["/pk/dn/user/get"])
    );
    assert_eq!(ask(&sim, "GET", "connections", "")[0]["transport"], "TCP");

    let body = r#"{"topic": "user/get", "payload_hex": "ff00", "qos": 1}"#;
    ask(&sim, "POST", "devices/pk/dn/publish", body);
    let message = device.message();
    assert_eq!(
        (message.payload.as_slice(), message.qos),
        (&[0xFF, 0][..], 1)
    );
    device.acknowledge(message.id);
    let secret = format!("my secret is {SECRET}");
    device.publish("/pk/dn/user/update", secret.as_bytes(), None);
    device.ping();
    let messages = ask(&sim, "GET", "messages?limit=2", "");
    assert_eq!(messages[0]["payload_hex"], "ff00");
    assert_eq!(messages[1]["payload"], "my secret is ***");
    let after = messages[0]["number"].as_u64().unwrap();
    let later = ask(&sim, "GET", &format!("messages?after={after}"), "");
    assert_eq!(later.as_array().unwrap().len(), 1);

    let thread = std::thread::spawn(move || {
        let question = device.message();
        device.publish(
            &question.topic.replace("request", "response"),
            b"{\"n\":1}",
            None,
        );
        device
    });
    let answer = ask(&sim, "POST", "devices/pk/dn/rrpc", r#"{"payload": "?"}"#);
    assert_eq!(answer["answer"], json!({"n": 1}));
    let mut device = thread.join().unwrap();
    let late = api(&sim, "POST", "devices/pk/dn/rrpc", r#"{"timeout_ms": 20}"#);
    assert_eq!(late.status, 504);
    device.message();
    for (path, body) in [
        ("devices/pk/dn/publish", r#"{"payload": "x"}"#),
        (
            "devices/pk/dn/publish",
            r#"{"topic": "user/get", "qos": 2}"#,
        ),
        (
            "devices/pk/dn/publish",
            r#"{"topic": "user/get", "payload_hex": "x"}"#,
        ),
        (
            "devices/pk/dn/publish",
            r#"{"topic": "user/get", "payload": "", "payload_hex": ""}"#,
        ),
        ("devices/pk/dn/rrpc", r#"{"timeout_ms": 9000}"#),
        ("devices/pk/dn/ota", ""),
    ] {
        assert_eq!(api(&sim, "POST", path, body).status, 400, "{path} {body}");
    }
    ask(&sim, "POST", "devices/pk/dn/disable", "");
    assert_eq!(device.ending(), Ending::Orderly);
    assert_eq!(crate::refusals::code(&sim, &signed("")), 4);
    ask(&sim, "POST", "devices/pk/dn/enable", "");
    assert_eq!(crate::refusals::code(&sim, &signed("")), 0);
}

#[test]
fn what_happens_is_told_as_it_happens() {
    let sim = sim();
    let mut stream = TcpStream::connect(sim.http_addr().unwrap()).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
        .write_all(b"GET /api/v1/events HTTP/1.0\r\nHost: localhost\r\n\r\n")
        .unwrap();
    let mut lines = BufReader::new(stream).lines().map(Result::unwrap);
    lines.find(|line| line.starts_with(':')).unwrap();
    let mut device = Device::connected(&sim, &signed(""));
    device.publish("/pk/dn/user/update", b"<script>", Some(1));
    device.pub_ack();
    drop(device);
    let mut wanted = vec![
        json!({"kind": "presence", "online": true}),
        json!({"kind": "message", "direction": "up", "payload": "<script>"}),
        json!({"kind": "presence", "online": false}),
    ];
    while let Some(first) = wanted.first() {
        let line = lines.find_map(|line| line.strip_prefix("data: ").map(str::to_owned));
        let event: Value = serde_json::from_str(&line.unwrap()).unwrap();
        let fits = first
            .as_object()
            .unwrap()
            .iter()
            .all(|(name, value)| event[name] == *value);
        if fits {
            assert_eq!(event["device_name"], "dn");
            wanted.remove(0);
        }
    }
}

#[test]
fn foreign_pages_and_foreign_names_are_kept_out() {
    let sim = sim();
    let address = sim.http_addr().unwrap();
    let host = format!("localhost:{}", address.port());
    let own = format!("http://{host}");
    let json = ("Content-Type", "application/json");
    let post = |headers: &[(&str, &str)]| {
        request(address, "POST", "/api/v1/products", headers, b"{}").status
    };
    assert_eq!(post(&[("Host", &host), ("Origin", &own), json]), 200);
    for headers in [
        &[("Host", "evil.example"), json][..],
        &[json],
        &[("Host", &host), ("Origin", "http://evil.example"), json],
        &[("Host", &host), ("Sec-Fetch-Site", "cross-site"), json],
    ] {
        assert_eq!(post(headers), 403, "{headers:?}");
    }
    assert_eq!(
        post(&[("Host", &host), ("Content-Type", "text/plain")]),
        415
    );
    let page = request(address, "GET", "/", &[("Host", &host)], b"");
    assert_eq!(page.status, 200);
    for part in [
        "default-src 'none'",
        "nosniff",
        "frame-ancestors 'none'",
        "same-origin",
    ] {
        assert!(page.headers.contains(part), "{part} in {}", page.headers);
    }
    let long = vec![b' '; 1024 * 1024 + 1];
    let answer = request(
        address,
        "POST",
        "/api/v1/products",
        &[("Host", &host), json],
        &long,
    );
    assert_eq!(answer.status, 413);
}

#[test]
fn the_description_names_every_path() {
    let sim = sim();
    let description = ask(&sim, "GET", "openapi.json", "");
    let paths = description["paths"].as_object().unwrap();
    for (path, methods) in paths {
        for method in methods
            .as_object()
            .unwrap()
            .keys()
            .filter(|key| *key != "parameters")
        {
            let path = path
                .trim_start_matches("/api/v1/")
                .replace("{product_key}", "pk")
                .replace("{device_name}", "dn")
                .replace("{service}", "reboot");
            if path == "events" {
                continue;
            }
            let answer = api(&sim, &method.to_uppercase(), &path, "{}");
            let text = String::from_utf8(answer.body).unwrap();
            assert!(!text.contains("nothing of this path"), "{method} {path}");
        }
    }
    assert!(paths.len() > 20, "{}", paths.len());
}

fn ctl(sim: &Sim, words: &[&str]) -> (bool, String, String) {
    let address = sim.http_addr().unwrap().to_string();
    let output = Command::new(env!("CARGO_BIN_EXE_aliot-sim"))
        .args(["ctl", "--http", &address])
        .args(words)
        .output()
        .unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (
        output.status.success(),
        text(output.stdout),
        text(output.stderr),
    )
}

#[test]
fn the_program_does_the_same_from_the_command_line() {
    let sim = sim();
    let mut device = Device::connected(&sim, &signed(""));
    device.subscribe(&[("/pk/dn/user/get", 1)]);
    let (ok, _, _) = ctl(&sim, &["publish1", "pk", "dn", "user/get", "two", "words"]);
    assert!(ok);
    let message = device.message();
    assert_eq!(
        (message.payload.as_slice(), message.qos),
        (&b"two words"[..], 1)
    );
    device.acknowledge(message.id);
    let (ok, shown, _) = ctl(&sim, &["device", "pk", "new"]);
    let shown: Value = serde_json::from_str(&shown).unwrap();
    assert!(ok && shown["device_secret"].is_string());
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("image");
    std::fs::write(&file, b"image").unwrap();
    let (ok, shown, _) = ctl(&sim, &["ota", "pk", "dn", "1.1", file.to_str().unwrap()]);
    assert!(ok && shown.contains("/files/"));
    assert_eq!(device.message().topic, "/ota/device/upgrade/pk/dn");
    let (ok, _, _) = ctl(&sim, &["faults", "pk", "dn", r#"{"refuse": 5}"#]);
    assert!(ok);
    let (ok, _, _) = ctl(&sim, &["cut", "pk", "dn"]);
    assert!(ok);
    sim.wait_for(|view| view.connections().is_empty(), PATIENCE)
        .unwrap();
    assert_eq!(crate::refusals::code(&sim, &signed("")), 5);
    let (ok, _, reason) = ctl(&sim, &["kick", "pk", "dn"]);
    assert!(!ok && reason.contains("pk/dn is not connected"), "{reason}");
    let (ok, _, reason) = ctl(&sim, &["nonsense"]);
    assert!(!ok && reason.contains("nonsense is no command"), "{reason}");
    drop(sim);
    let output = Command::new(env!("CARGO_BIN_EXE_aliot-sim"))
        .args(["ctl", "--http", "127.0.0.1:1", "devices"])
        .stderr(Stdio::piped())
        .output()
        .unwrap();
    let reason = String::from_utf8(output.stderr).unwrap();
    assert!(
        reason.contains("no simulator answers at 127.0.0.1:1"),
        "{reason}"
    );
}

#[test]
fn a_client_that_reads_no_events_holds_up_nobody() {
    let sim = sim();
    let mut idle = TcpStream::connect(sim.http_addr().unwrap()).unwrap();
    idle.write_all(b"GET /api/v1/events HTTP/1.0\r\nHost: localhost\r\n\r\n")
        .unwrap();
    let mut device = Device::connected(&sim, &signed(""));
    let payload = vec![b'x'; 4096];
    for _ in 0..10_000 {
        device.publish("/pk/dn/user/update", &payload, None);
    }
    device.ping();
    wait_for_line(&sim, &["published /pk/dn/user/update"]);
}
