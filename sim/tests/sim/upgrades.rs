//! Upgrades and remote configuration: a notice, and a file over HTTPS.

use aliot_sim::{Error, Options, Sim};
use serde_json::{Value, json};

use crate::device::{PATIENCE, sim_with, trusting, wait_for_line};
use crate::platform::{alink, connected};

/// Fetches a file as a device does.
fn fetch(sim: &Sim, url: &str, range: Option<&str>) -> crate::http::Answer {
    let address = sim.https_addr().unwrap();
    let base = format!("https://localhost:{}", address.port());
    let path = url.strip_prefix(&base).unwrap();
    let name = "localhost".try_into().unwrap();
    let client = rustls::ClientConnection::new(trusting(sim), name).unwrap();
    let socket = std::net::TcpStream::connect(address).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut stream = rustls::StreamOwned::new(client, socket);
    let mut headers = vec![("Host", "localhost")];
    headers.extend(range.map(|range| ("Range", range)));
    crate::http::exchange(&mut stream, "GET", path, &headers, b"")
}

#[test]
fn an_upgrade_is_offered_fetched_and_reported() {
    let sim = sim_with(Options {
        https: Some(([127, 0, 0, 1], 0).into()),
        ..Options::default()
    });
    let mut device = connected(&sim);
    let image: Vec<u8> = (0..100_000_u32).map(|n| n as u8).collect();
    let url = sim.push_ota("pk", "dn", "2.0", None, &image).unwrap();
    let notice = device.message();
    assert_eq!(notice.topic, "/ota/device/upgrade/pk/dn");
    let notice: Value = serde_json::from_slice(&notice.payload).unwrap();
    let data = &notice["data"];
    assert_eq!(
        (&data["version"], &data["size"]),
        (&json!("2.0"), &json!(100_000))
    );
    assert_eq!(data["url"], url.as_str());
    let answer = alink(&mut device, "ota/firmware/get", json!({}));
    assert_eq!(answer["data"], *data);
    let whole = fetch(&sim, &url, None);
    assert_eq!(
        (whole.status, whole.body.as_slice()),
        (200, image.as_slice())
    );
    assert!(
        whole.headers.contains("content-length: 100000"),
        "{}",
        whole.headers
    );
    let part = fetch(&sim, &url, Some("bytes=99990-"));
    assert_eq!((part.status, part.body.as_slice()), (206, &image[99_990..]));
    assert!(
        part.headers
            .contains("content-range: bytes 99990-99999/100000")
    );
    assert_eq!(fetch(&sim, &url, Some("bytes=100000-")).status, 416);
    assert_eq!(fetch(&sim, &url[..url.len() - 1], None).status, 404);
    device.publish(
        "/ota/device/progress/pk/dn",
        br#"{"id":1,"params":{"step":"50"}}"#,
        None,
    );
    wait_for_line(&sim, &["pk/dn upgrades: step"]);
    device.publish(
        "/ota/device/inform/pk/dn",
        br#"{"id":1,"params":{"version":"2.0"}}"#,
        None,
    );
    wait_for_line(&sim, &["pk/dn runs version 2.0, upgraded"]);
    let answer = alink(&mut device, "ota/firmware/get", json!({}));
    assert_eq!(answer["data"], json!({}));
    let without = crate::device::sim().push_ota("pk", "dn", "1", None, b"x");
    assert!(matches!(without, Err(Error::InvalidArgument(text)) if text.contains("--https")));
}

#[test]
fn remote_configuration_is_pushed_and_can_be_asked_for() {
    let sim = sim_with(Options {
        https: Some(([127, 0, 0, 1], 0).into()),
        ..Options::default()
    });
    let mut device = connected(&sim);
    let params = json!({"configScope": "product", "getType": "file"});
    assert_eq!(
        alink(&mut device, "config/get", params.clone())["code"],
        6710
    );
    let url = sim.push_config("pk", b"interval=5").unwrap();
    let push = device.message();
    assert_eq!(push.topic, "/sys/pk/dn/thing/config/push");
    let push: Value = serde_json::from_slice(&push.payload).unwrap();
    assert_eq!(push["params"]["url"], url.as_str());
    let answer = alink(&mut device, "config/get", params);
    assert_eq!(answer["data"], push["params"]);
    assert_eq!(fetch(&sim, &url, None).body, b"interval=5");
}
