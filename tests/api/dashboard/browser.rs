//! A real Chromium, told what to do by the DevTools protocol over two pipes: messages of JSON, a zero byte after each. So no
//! library is needed, and no port is open. A shell gives the browser the pipes under the numbers that it expects.

use serde_json::{Value, json};
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::time::timeout;

/// Long enough that only a fault takes longer.
const PATIENCE: Duration = Duration::from_secs(90);
/// Reads commands from 3 and writes answers to 4; what it prints is nobody's.
const WITH_PIPES: &str = "exec \"$0\" \"$@\" 3<&0 4>&1 </dev/null >/dev/null";
const OPTIONS: &[&str] = &[
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--remote-debugging-pipe",
];

/// Where it is looked for: these names, on the path. `.ci/run` looks for the same.
const NAMES: [&str; 4] = ["chromium", "chromium-browser", "chromium-headless-shell", "google-chrome"];
/// What to do without one.
const MISSING: &str = "this test looks at the dashboard with Chromium: install it (`apt install chromium`), or name one by CHROMIUM=/path";

/// A browser with one page at a time.
pub(super) struct Browser {
    child: Child,
    commands: ChildStdin,
    answers: BufReader<ChildStdout>,
    number: u64,
    /// The page and what speaks with it; empty until there is one.
    target: String,
    session: String,
    /// What went wrong in the page: thrown errors, and what the console calls errors.
    errors: Vec<String>,
    _profile: tempfile::TempDir,
}

fn program() -> PathBuf {
    if let Some(named) = std::env::var_os("CHROMIUM") {
        return named.into();
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders: Vec<PathBuf> = std::env::split_paths(&path).collect();
    let all = NAMES.iter().flat_map(|name| folders.iter().map(move |folder| folder.join(name)));
    all.into_iter().find(|file| file.is_file()).expect(MISSING)
}

impl Browser {
    /// Starts one, without a page.
    pub(super) async fn start() -> Self {
        let profile = tempfile::tempdir().expect("a folder");
        let mut child = Command::new("sh")
            .args(["-c", WITH_PIPES])
            .arg(program())
            .args(OPTIONS)
            .arg(format!("--user-data-dir={}", profile.path().display()))
            .arg("about:blank")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .expect("a shell");
        let commands = child.stdin.take().expect("piped");
        let answers = BufReader::new(child.stdout.take().expect("piped"));
        Self {
            child,
            commands,
            answers,
            number: 0,
            target: String::new(),
            session: String::new(),
            errors: Vec::new(),
            _profile: profile,
        }
    }

    /// Opens a page of this width, in pixels, that prefers this colour scheme. The one before is closed.
    pub(super) async fn open(&mut self, width: u32, scheme: &str) {
        self.session.clear();
        let before = std::mem::take(&mut self.target);
        let opened = self.call("Target.createTarget", json!({ "url": "about:blank" })).await;
        self.target = opened["targetId"].as_str().expect("a target").to_owned();
        if !before.is_empty() {
            self.call("Target.closeTarget", json!({ "targetId": before })).await;
        }
        let attach = json!({ "targetId": self.target, "flatten": true });
        let attached = self.call("Target.attachToTarget", attach).await;
        self.session = attached["sessionId"].as_str().expect("a session").to_owned();
        self.errors.clear();
        for domain in ["Page.enable", "Runtime.enable", "Log.enable"] {
            self.call(domain, json!({})).await;
        }
        self.resize(width).await;
        let media = json!({ "features": [{ "name": "prefers-color-scheme", "value": scheme }] });
        self.call("Emulation.setEmulatedMedia", media).await;
    }

    /// Makes the page as wide as this, in pixels.
    pub(super) async fn resize(&mut self, width: u32) {
        let size = json!({ "width": width, "height": 900, "deviceScaleFactor": 1, "mobile": false });
        self.call("Emulation.setDeviceMetricsOverride", size).await;
    }

    /// Goes to an address, and waits until it is there.
    pub(super) async fn go(&mut self, address: &str) {
        let gone = self.call("Page.navigate", json!({ "url": address })).await;
        assert!(gone["errorText"].is_null(), "{address}: {gone}");
        self.until("document.readyState === 'complete'").await;
    }

    /// What an expression comes to in the page; a promise is waited for.
    pub(super) async fn value(&mut self, script: &str) -> Value {
        let asked = json!({ "expression": script, "awaitPromise": true, "returnByValue": true });
        let answer = self.call("Runtime.evaluate", asked).await;
        assert!(answer["exceptionDetails"].is_null(), "{script}: {answer}");
        answer["result"]["value"].clone()
    }

    /// Waits until something holds in the page.
    pub(super) async fn until(&mut self, condition: &str) {
        let script = format!(
            "new Promise((done) => {{ const look = () => ({condition}) ? done(true) : setTimeout(look, 50); look(); }})"
        );
        self.value(&script).await;
    }

    /// Presses a key and lets it go.
    pub(super) async fn press(&mut self, key: &str, code: u32, text: &str) {
        for kind in ["keyDown", "keyUp"] {
            let mut event = json!({ "type": kind, "key": key, "code": key, "windowsVirtualKeyCode": code });
            if kind == "keyDown" && !text.is_empty() {
                event["text"] = json!(text);
            }
            self.call("Input.dispatchKeyEvent", event).await;
        }
    }

    /// What went wrong in the page since this was asked last.
    pub(super) fn take_errors(&mut self) -> Vec<String> {
        std::mem::take(&mut self.errors)
    }

    /// Ends it in order.
    pub(super) async fn close(mut self) {
        self.session.clear();
        self.call("Browser.close", json!({})).await;
        timeout(PATIENCE, self.child.wait()).await.expect("it ends when it is told to").expect("a child");
    }

    async fn call(&mut self, method: &str, params: Value) -> Value {
        let called = format!("{method} {params}");
        let answer = timeout(PATIENCE, self.call_and_wait(method, params)).await;
        answer
            .unwrap_or_else(|_| panic!("the browser does not answer to {called}; errors: {:?}", self.errors))
    }

    async fn call_and_wait(&mut self, method: &str, params: Value) -> Value {
        self.number += 1;
        let mut message = json!({ "id": self.number, "method": method, "params": params });
        if !self.session.is_empty() {
            message["sessionId"] = json!(self.session);
        }
        let bytes = [message.to_string().as_bytes(), b"\0"].concat();
        self.commands.write_all(&bytes).await.expect("the browser reads");
        loop {
            let mut said = Vec::new();
            self.answers.read_until(0, &mut said).await.expect("the browser writes");
            assert_eq!(said.pop(), Some(0), "the browser ended; is it a whole Chromium?");
            let said: Value = serde_json::from_slice(&said).expect("JSON");
            if said["id"] == self.number {
                assert!(said["error"].is_null(), "{method}: {said}");
                return said["result"].clone();
            }
            // What a page says that was left is nobody's concern: its node is gone.
            if said["sessionId"] == self.session.as_str() {
                self.errors.extend(error_in(&said));
            }
        }
    }
}

/// What went wrong, if an event is about that.
fn error_in(event: &Value) -> Option<String> {
    let params = &event["params"];
    match event["method"].as_str()? {
        "Runtime.exceptionThrown" => Some(params["exceptionDetails"].to_string()),
        "Runtime.consoleAPICalled" if params["type"] == "error" => Some(params["args"].to_string()),
        "Log.entryAdded" if params["entry"]["level"] == "error" => Some(params["entry"].to_string()),
        _ => None,
    }
}

#[test]
fn what_installs_a_browser_looks_for_the_same_names() {
    let run = include_str!("../../../.ci/run");
    assert!(run.contains(&format!("command -v {} >/dev/null", NAMES.join(" "))), "{NAMES:?}");
}
