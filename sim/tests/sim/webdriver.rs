//! Headless Chromium, driven over the WebDriver protocol.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::device::{PATIENCE, skipped};
use crate::http::request;

/// A browser with one page.
pub(crate) struct Browser {
    driver: Child,
    address: SocketAddr,
    pub(crate) session: String,
    _profile: TempDir,
}

fn start_driver() -> Option<(Child, u16)> {
    let mut driver = Command::new("chromedriver")
        .args(["--port=0", "--log-level=SEVERE"])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let lines = BufReader::new(driver.stdout.take().unwrap()).lines();
    let port = lines.map(Result::unwrap).find_map(|line| {
        let rest = line.split("successfully on port ").nth(1)?;
        rest.trim_end_matches('.').parse().ok()
    });
    if port.is_none() {
        let _ = driver.wait();
    }
    Some((driver, port?))
}

impl Browser {
    /// Starts one, or says plainly what is missing.
    pub(crate) fn start() -> Option<Self> {
        for program in ["chromium", "chromedriver"] {
            if Command::new(program).arg("--version").output().is_err() {
                skipped(&format!(
                    "{program} is not installed; on Debian: \
                     apt-get install chromium chromium-driver"
                ));
                return None;
            }
        }
        // It takes a free port for IPv4 and then the same one for IPv6, and ends if that is not free.
        let started = (0..10).find_map(|_| start_driver());
        let (driver, port) = started.expect("chromedriver finds no port");
        let address = SocketAddr::from(([127, 0, 0, 1], port));
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

    pub(crate) fn command(&self, method: &str, path: &str, body: &Value) -> Value {
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

    pub(crate) fn post(&self, path: &str, body: &Value) -> Value {
        self.command("POST", &format!("/session/{}/{path}", self.session), body)
    }

    /// Runs a script in the page and returns what it returns.
    pub(crate) fn run(&self, script: &str) -> Value {
        self.post("execute/sync", &json!({"script": script, "args": []}))
    }

    /// Waits until a script returns true.
    pub(crate) fn wait_for(&self, script: &str) {
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
    pub(crate) fn element(&self, selector: &str) -> String {
        let found = self.post(
            "element",
            &json!({"using": "css selector", "value": selector}),
        );
        let id = found.as_object().unwrap().values().next().unwrap();
        id.as_str().unwrap().to_owned()
    }

    pub(crate) fn type_into(&self, selector: &str, text: &str) {
        let id = self.element(selector);
        self.post(&format!("element/{id}/clear"), &json!({}));
        self.post(&format!("element/{id}/value"), &json!({"text": text}));
    }

    pub(crate) fn click(&self, selector: &str) {
        let id = self.element(selector);
        self.post(&format!("element/{id}/click"), &json!({}));
    }

    /// Writes a picture of the page to the folder that `ALIOT_SCREENSHOTS` names.
    pub(crate) fn picture(&self, name: &str) {
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
