//! The simulator's page and a C example: a command typed into the page reaches the program, and its
//! answer comes back into the page.
#![cfg(target_os = "linux")]

#[path = "../../sim/tests/sim/http.rs"]
#[expect(dead_code, reason = "the simulator's own tests need more of it")]
mod http;
#[path = "../c_programs/toolbox.rs"]
#[allow(dead_code, reason = "the C programs need more of it")]
mod toolbox;
#[path = "../../sim/tests/sim/webdriver.rs"]
#[expect(dead_code, reason = "the simulator's own tests need more of it")]
mod webdriver;

/// What the shared files expect beside them.
mod device {
    use std::io::Write as _;
    use std::time::Duration;

    pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

    /// Past the harness, which keeps the output of a test that passes to itself.
    pub(crate) fn skipped(why: &str) {
        let _ = writeln!(std::io::stderr(), "skipped: {why}");
    }
}

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use aliot_sim::{Options, Sim};
use serde_json::json;

use device::PATIENCE;
use toolbox::{ROOT, build, installed_library};
use webdriver::Browser;

/// Ends with the test, whatever comes of it.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_command_from_the_page_is_answered_by_the_c_example() {
    let Some(browser) = Browser::start() else {
        return;
    };
    let sim = Sim::start(Options {
        dir: Some(PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("page")),
        http: Some(([127, 0, 0, 1], 0).into()),
        ..Options::default()
    })
    .unwrap();
    sim.add_device("a1demo", "lamp", "canary-device-secret");
    let source = Path::new(ROOT).join("c_examples/commands.c");
    let program = Command::new(build(&source, &installed_library(), "-O2"))
        .env("ALIOT_PRODUCT_KEY", "a1demo")
        .env("ALIOT_DEVICE_NAME", "lamp")
        .env("ALIOT_DEVICE_SECRET", "canary-device-secret")
        .env("ALIOT_HOST", "localhost")
        .env("ALIOT_PORT", sim.tls_addr().unwrap().port().to_string())
        .env("ALIOT_CA_FILE", sim.ca_file().unwrap())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let mut program = Running(program);
    let subscribed = |view: &aliot_sim::View<'_>| {
        let connections = view.connections();
        connections
            .iter()
            .any(|connection| !connection.subscriptions.is_empty())
    };
    sim.wait_for(subscribed, PATIENCE).unwrap();

    let url = format!("http://{}/", sim.http_addr().unwrap());
    browser.post("url", &json!({"url": url}));
    browser
        .wait_for("return document.getElementById('online-count').textContent === '1 of 1 online'");
    for (command, answer) in [("on", "on"), ("goodbye", "goodbye")] {
        browser.type_into("#payload", command);
        browser.click("#submit");
        let shown = format!(
            "return [...document.querySelectorAll('#messages .payload')]
                .some(cell => cell.textContent.includes('{answer}'))"
        );
        browser.wait_for(&shown);
    }
    assert!(program.0.wait().unwrap().success(), "it said goodbye");
    browser
        .wait_for("return document.getElementById('online-count').textContent === '0 of 1 online'");
}
