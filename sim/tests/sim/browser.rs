//! The page in a browser.

use aliot_sim::{Options, Sim};
use serde_json::json;

use crate::device::{Device, signed, sim_with};
use crate::webdriver::Browser;

fn sim_with_page() -> (Sim, String) {
    let sim = sim_with(Options {
        http: Some(([127, 0, 0, 1], 0).into()),
        ..Options::default()
    });
    let url = format!("http://{}/", sim.http_addr().unwrap());
    (sim, url)
}

const HOSTILE: &str =
    "<img src=x onerror=\"document.title='taken'\"><script>document.title='taken'</script>";

#[test]
fn the_page_shows_devices_and_messages_and_sends_a_command_that_is_answered() {
    let Some(browser) = Browser::start() else {
        return;
    };
    let (sim, url) = sim_with_page();
    browser.post("url", &json!({"url": url}));
    browser
        .wait_for("return document.getElementById('online-count').textContent === '0 of 2 online'");

    // A device comes on line, and what it says is shown as text.
    let mut device = Device::connected(&sim, &signed(",ext=3"));
    device.subscribe(&[("/pk/dn/user/get", 1)]);
    browser
        .wait_for("return document.getElementById('online-count').textContent === '1 of 2 online'");
    device.publish("/pk/dn/user/update", HOSTILE.as_bytes(), Some(1));
    device.pub_ack();
    device.publish("/pk/dn/user/update", &[0xFF, 0xFE], Some(2));
    device.pub_ack();
    browser.wait_for("return document.getElementById('messages').rows.length === 2");
    let shown = browser
        .run("return [...document.querySelectorAll('#messages .payload')].map(e => e.textContent)");
    assert_eq!(shown, json!(["hex fffe", HOSTILE]));
    assert_eq!(browser.run("return document.title"), "aliot-sim");
    assert_eq!(
        browser.run("return document.querySelectorAll('#messages img, #messages script').length"),
        0
    );

    // A command goes out, and the device's answer comes back into the page.
    let answering = std::thread::spawn(move || {
        let command = device.message();
        assert_eq!(
            (command.payload.as_slice(), command.qos),
            (&b"light on"[..], 1)
        );
        device.acknowledge(command.id);
        device.publish("/pk/dn/user/update", b"light is on", None);
        let call = device.message();
        device.publish(&call.topic.replace("request", "response"), b"pong", None);
        device
    });
    browser.type_into("#payload", "light on");
    browser.click("#submit");
    browser.wait_for("return document.getElementById('outcome').textContent.startsWith('sent at')");
    browser.wait_for(
        "return document.querySelector('#messages .payload').textContent === 'light is on'",
    );
    browser.run("const how = document.getElementById('how'); how.value = 'rrpc'; how.dispatchEvent(new Event('change'))");
    browser.type_into("#payload", "ping");
    browser.click("#submit");
    browser.wait_for(
        "return document.getElementById('outcome').textContent === 'the device answers: pong'",
    );
    browser.picture("page");
    let device = answering.join().unwrap();

    // It goes off line, and the reason why a command cannot be sent is told.
    drop(device);
    browser
        .wait_for("return document.getElementById('online-count').textContent === '0 of 2 online'");
    browser.click("#submit");
    browser.wait_for(
        "return document.getElementById('outcome').textContent.includes('pk/dn is not connected')",
    );
    let path = format!("/session/{}/se/log", browser.session);
    let log = browser.command("POST", &path, &json!({"type": "browser"}));
    // The one refusal above is a failed request; nothing else may have gone wrong.
    for entry in log.as_array().unwrap() {
        let text = entry["message"].as_str().unwrap();
        assert!(text.contains("status of 409"), "{text}");
    }
    browser.picture("offline");
}

#[test]
fn the_page_can_be_used_without_seeing_it() {
    let Some(browser) = Browser::start() else {
        return;
    };
    let (sim, url) = sim_with_page();
    let mut device = Device::connected(&sim, &signed(""));
    device.publish("/pk/dn/user/update", b"text", Some(1));
    device.pub_ack();
    assert_eq!(crate::refusals::code(&sim, &signed(",timestamp")), 2);
    browser.post("url", &json!({"url": url}));
    browser.wait_for("return document.getElementById('device').options.length === 2");
    browser.wait_for("return document.getElementById('messages').rows.length === 1");
    // Every field has a label, every table its header cells, every region a name.
    let script = "return [...document.querySelectorAll('input,select,textarea')]
        .filter(e => e.offsetParent !== null && !e.labels.length).map(e => e.id)";
    assert_eq!(browser.run(script), json!([]));
    let script = "return [...document.querySelectorAll('th')].every(e => e.scope === 'col')
        && [...document.querySelectorAll('section')].every(e =>
            document.getElementById(e.getAttribute('aria-labelledby')))
        && document.documentElement.lang === 'en'
        && document.getElementById('outcome').getAttribute('aria-live') === 'polite'";
    assert_eq!(browser.run(script), true);
    // Text stands out from its ground as WCAG AA asks, in the colours that the browser computed.
    let script = "
        const light = c => { const v = c.match(/[0-9.]+/g).slice(0, 3).map(n => n / 255)
            .map(n => n <= 0.03928 ? n / 12.92 : ((n + 0.055) / 1.055) ** 2.4);
            return 0.2126 * v[0] + 0.7152 * v[1] + 0.0722 * v[2]; };
        const ground = e => { for (; e; e = e.parentElement) {
            const c = getComputedStyle(e).backgroundColor;
            if (c !== 'rgba(0, 0, 0, 0)') return c; } return 'rgb(255, 255, 255)'; };
        return [...document.querySelectorAll('h1,h2,th,td,label,button,p,li,span')]
            .filter(e => e.offsetParent && e.textContent.trim()).map(e => {
                const [a, b] = [light(getComputedStyle(e).color), light(ground(e))];
                return [(Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05), e.outerHTML.slice(0, 80)]; })
            .filter(([ratio]) => ratio < 4.5)";
    for scheme in ["light", "dark"] {
        let media = json!([{"name": "prefers-color-scheme", "value": scheme}]);
        let command = json!({
            "cmd": "Emulation.setEmulatedMedia",
            "params": {"features": media},
        });
        browser.post("goog/cdp/execute", &command);
        assert_eq!(browser.run(script), json!([]), "{scheme}");
        browser.picture(scheme);
    }
    // A narrow window needs no scrolling to the side.
    browser.post("window/rect", &json!({"width": 500, "height": 900}));
    browser.wait_for("return document.documentElement.scrollWidth <= window.innerWidth");
    browser.picture("narrow");
}
