//! The page in headless Chromium, driven over the WebDriver protocol.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use aliot_sim::{Options, Sim};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::device::{Device, PATIENCE, signed, sim_with, skipped};
use crate::http::request;

/// A browser with one page.
struct Browser {
    driver: Child,
    address: SocketAddr,
    session: String,
    _profile: TempDir,
}

impl Browser {
    /// Starts one, or says plainly what is missing.
    fn start() -> Option<Self> {
        for program in ["chromium", "chromedriver"] {
            if Command::new(program).arg("--version").output().is_err() {
                skipped(&format!(
                    "{program} is not installed; on Debian: \
                     apt-get install chromium chromium-driver"
                ));
                return None;
            }
        }
        let mut driver = Command::new("chromedriver")
            .args(["--port=0", "--log-level=SEVERE"])
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let lines = BufReader::new(driver.stdout.take().unwrap()).lines();
        let port = lines.map(Result::unwrap).find_map(|line| {
            let rest = line.split("successfully on port ").nth(1)?;
            rest.trim_end_matches('.').parse::<u16>().ok()
        });
        let address = SocketAddr::from(([127, 0, 0, 1], port.unwrap()));
        let profile = tempfile::tempdir().unwrap();
        let mut browser = Self {
            driver,
            address,
            session: String::new(),
            _profile: profile,
        };
        let profile = format!("--user-data-dir={}", browser._profile.path().display());
        let arguments = [
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-quic",
            "--disable-dev-shm-usage",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            "--window-size=1280,1100",
            &profile,
        ];
        let wanted = json!({"capabilities": {"alwaysMatch": {
            "browserName": "chrome",
            "goog:chromeOptions": {"args": arguments},
            "goog:loggingPrefs": {"browser": "ALL"},
        }}});
        let session = browser.command("POST", "/session", &wanted);
        browser.session = session["sessionId"].as_str().unwrap().to_owned();
        Some(browser)
    }

    fn command(&self, method: &str, path: &str, body: &Value) -> Value {
        let headers = [("Host", "localhost"), ("Content-Type", "application/json")];
        let body = if method == "POST" {
            body.to_string()
        } else {
            String::new()
        };
        let answer = request(self.address, method, path, &headers, body.as_bytes());
        let value = answer.json()["value"].clone();
        assert_eq!(answer.status, 200, "{method} {path}: {value}");
        value
    }

    fn post(&self, path: &str, body: &Value) -> Value {
        self.command("POST", &format!("/session/{}/{path}", self.session), body)
    }

    /// Runs a script in the page and returns what it returns.
    fn run(&self, script: &str) -> Value {
        self.post("execute/sync", &json!({"script": script, "args": []}))
    }

    /// Waits until a script returns true.
    fn wait_for(&self, script: &str) {
        let start = Instant::now();
        while self.run(script) != true {
            let page = || self.run("return document.body.innerText");
            assert!(
                start.elapsed() < PATIENCE,
                "{script} never holds: {}",
                page()
            );
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Finds an element as a person with a keyboard would reach it.
    fn element(&self, selector: &str) -> String {
        let found = self.post(
            "element",
            &json!({"using": "css selector", "value": selector}),
        );
        let id = found.as_object().unwrap().values().next().unwrap();
        id.as_str().unwrap().to_owned()
    }

    fn type_into(&self, selector: &str, text: &str) {
        let id = self.element(selector);
        self.post(&format!("element/{id}/clear"), &json!({}));
        self.post(&format!("element/{id}/value"), &json!({"text": text}));
    }

    fn click(&self, selector: &str) {
        let id = self.element(selector);
        self.post(&format!("element/{id}/click"), &json!({}));
    }

    /// Writes a picture of the page to the folder that `ALIOT_SCREENSHOTS` names.
    fn picture(&self, name: &str) {
        let Some(dir) = std::env::var_os("ALIOT_SCREENSHOTS") else {
            return;
        };
        let path = format!("/session/{}/screenshot", self.session);
        let text = self.command("GET", &path, &Value::Null);
        let file = std::path::Path::new(&dir).join(format!("{name}.base64"));
        std::fs::write(file, text.as_str().unwrap()).unwrap();
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // Ends the browser, which is no child of this process.
        if !self.session.is_empty() {
            let path = format!("/session/{}", self.session);
            let headers = [("Host", "localhost")];
            request(self.address, "DELETE", &path, &headers, b"");
        }
        let _ = self.driver.kill();
        let _ = self.driver.wait();
    }
}

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
