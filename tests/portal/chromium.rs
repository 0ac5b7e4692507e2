//! A real Chromium, driven over WebDriver.

use crate::harness::{Scratch, eventually, run};
use crate::http::{parse, say};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// Under which WebDriver names elements.
const ELEMENT: &str = "element-6066-11e4-a52e-4f735466cecf";

/// A window of a browser that has no history and no cookies; it ends when this is dropped.
pub struct Chromium {
    driver: Child,
    at: SocketAddr,
    session: String,
    /// The process of the browser itself.
    process: Option<Pid>,
    /// Where it saves what is downloaded.
    saved: PathBuf,
}

impl Chromium {
    pub fn start(scratch: &Scratch) -> Self {
        let mut driver = Command::new("chromedriver")
            .arg("--port=0")
            .env("HOME", scratch.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let out = BufReader::new(driver.stdout.take().unwrap());
        let mut lines = out.lines().map_while(Result::ok);
        let said = lines.find(|line| line.contains("started successfully on port"));
        // It would wait for somebody to read what it says.
        std::thread::spawn(move || lines.for_each(drop));
        let said = said.expect("chromedriver says its port");
        let port = said.rsplit(' ').next().unwrap().trim_end_matches('.');
        let mut browser = Self {
            driver,
            at: format!("127.0.0.1:{port}").parse().unwrap(),
            session: String::new(),
            process: None,
            saved: scratch.subdirectory("saved"),
        };
        let profile = format!("--user-data-dir={}", scratch.join("profile").display());
        let arguments = [
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            // They lie on the page on a telephone, and hide what is at its edge.
            "--hide-scrollbars",
            "--disable-quic",
            "--disable-dev-shm-usage",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            "--lang=en",
            &profile,
        ];
        let options = json!({ "args": arguments, "prefs": { "intl.accept_languages": "en" } });
        let wanted =
            json!({ "capabilities": { "alwaysMatch": { "goog:chromeOptions": options } } });
        let made = browser.ask("POST", "/session", &wanted);
        browser.session = made["sessionId"].as_str().unwrap().to_owned();
        let process = made["capabilities"]["goog:processID"].as_i64();
        browser.process = process.and_then(|id| Pid::from_raw(id as i32));
        let save = json!({ "behavior": "allow", "downloadPath": browser.saved });
        browser.devtools("Browser.setDownloadBehavior", &save);
        browser.of_session("timeouts", &json!({ "script": 30_000, "pageLoad": 30_000 }));
        browser
    }

    fn ask(&self, method: &str, path: &str, body: &Value) -> Value {
        let body = match method {
            "POST" => body.to_string(),
            _ => String::new(),
        };
        let said = format!(
            "{method} {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\nContent-Type: application/json\r\n\
             Content-Length: {}\r\n\r\n{body}",
            self.at,
            body.len()
        );
        let answer = parse(&say(self.at, said.as_bytes()));
        let mut value: Value = serde_json::from_slice(&answer.body).unwrap();
        let value = value["value"].take();
        assert_eq!(answer.status, 200, "{method} {path}: {value}");
        value
    }

    fn of_session(&self, path: &str, body: &Value) -> Value {
        self.ask("POST", &format!("/session/{}/{path}", self.session), body)
    }

    pub fn open(&self, address: &str) {
        self.of_session("url", &json!({ "url": address }));
    }

    /// The address of the page.
    pub fn address(&self) -> String {
        let path = format!("/session/{}/url", self.session);
        let address = self.ask("GET", &path, &Value::Null);
        address.as_str().unwrap().to_owned()
    }

    fn find(&self, css: &str) -> String {
        let found = self.of_session("element", &json!({ "using": "css selector", "value": css }));
        found[ELEMENT].as_str().unwrap().to_owned()
    }

    pub fn click(&self, css: &str) {
        let element = self.find(css);
        self.of_session(&format!("element/{element}/click"), &json!({}));
    }

    pub fn write(&self, css: &str, text: &str) {
        let element = self.find(css);
        self.of_session(
            &format!("element/{element}/value"),
            &json!({ "text": text }),
        );
    }

    /// Presses keys wherever the focus is; `\u{e004}` is Tab, `\u{e007}` Enter.
    pub fn press(&self, keys: &str) {
        let both = |key: char| {
            let key = key.to_string();
            [
                json!({ "type": "keyDown", "value": key }),
                json!({ "type": "keyUp", "value": key }),
            ]
        };
        let actions: Vec<Value> = keys.chars().flat_map(both).collect();
        let keyboard = json!({ "type": "key", "id": "keyboard", "actions": actions });
        self.of_session("actions", &json!({ "actions": [keyboard] }));
    }

    /// What a script in the page returns; the page's own policy does not hold for it.
    pub fn run(&self, script: &str) -> Value {
        self.of_session("execute/sync", &json!({ "script": script, "args": [] }))
    }

    /// The same of a script that is waited for: it calls its last argument.
    pub fn wait_for(&self, script: &str) -> Value {
        self.of_session("execute/async", &json!({ "script": script, "args": [] }))
    }

    pub fn text(&self) -> String {
        let text = self.run("return document.body.innerText");
        text.as_str().unwrap().to_owned()
    }

    /// Waits until the page says something.
    pub fn see(&self, text: &str) {
        eventually(Duration::from_secs(10), text, || self.text().contains(text));
    }

    pub fn resize(&self, width: u32, height: u32) {
        let size = json!({ "width": width, "height": height });
        self.of_session("window/rect", &size);
    }

    /// Clicks on what gives a file, and waits until it is saved: its name and what is in it. It is removed again.
    pub fn download(&self, css: &str) -> (String, Vec<u8>) {
        self.click(css);
        let mut found = None;
        eventually(Duration::from_secs(20), "a download", || {
            let mut files = std::fs::read_dir(&self.saved).unwrap();
            found = files.next().map(|file| file.unwrap().path());
            // It has another name until it is whole.
            let is_part = |path: &PathBuf| path.extension().is_some_and(|e| e == "crdownload");
            found = found.take().filter(|path| !is_part(path));
            found.is_some() && std::fs::read_dir(&self.saved).unwrap().count() == 1
        });
        let path = found.unwrap();
        let bytes = std::fs::read(&path).unwrap();
        std::fs::remove_file(&path).unwrap();
        (
            path.file_name().unwrap().to_str().unwrap().to_owned(),
            bytes,
        )
    }

    /// Shows pages as for somebody who wants them `light` or `dark`.
    pub fn prefer(&self, scheme: &str) {
        let feature = json!({ "name": "prefers-color-scheme", "value": scheme });
        self.devtools(
            "Emulation.setEmulatedMedia",
            &json!({ "features": [feature] }),
        );
    }

    fn devtools(&self, command: &str, parameters: &Value) -> Value {
        let body = json!({ "cmd": command, "params": parameters });
        self.of_session("goog/cdp/execute", &body)
    }

    /// Writes a picture of the whole page to the directory that SCREENSHOTS names, if it names one.
    pub fn picture(&self, name: &str) {
        let Some(directory) = std::env::var_os("SCREENSHOTS").map(PathBuf::from) else {
            return;
        };
        std::fs::create_dir_all(&directory).unwrap();
        let whole = json!({ "format": "png", "captureBeyondViewport": true });
        let picture = self.devtools("Page.captureScreenshot", &whole);
        let bytes = base64(picture["data"].as_str().unwrap());
        std::fs::write(directory.join(format!("{name}.png")), bytes).unwrap();
    }
}

impl Drop for Chromium {
    fn drop(&mut self) {
        if !self.session.is_empty() && !std::thread::panicking() {
            let path = format!("/session/{}", self.session);
            self.ask("DELETE", &path, &Value::Null);
        }
        let _ = self.driver.kill();
        let _ = self.driver.wait();
        if let Some(process) = self.process.filter(|_| std::thread::panicking()) {
            let _ = kill_process(process, Signal::KILL);
        }
    }
}

fn base64(text: &str) -> Vec<u8> {
    use base64ct::{Base64, Encoding};
    Base64::decode_vec(text).unwrap()
}

/// The script of axe-core, which finds what keeps people with a screen reader or a keyboard from using a page. It is fetched
/// where the test runs; `None`: it cannot be had here.
pub fn axe(scratch: &Scratch) -> Option<String> {
    let directory = scratch.subdirectory("axe");
    let packed = Command::new("npm")
        .args(["pack", "axe-core@4.10.2", "--silent"])
        .current_dir(&directory)
        .output()
        .ok()?;
    let name = String::from_utf8(packed.stdout).ok()?;
    if !packed.status.success() {
        return None;
    }
    run(Command::new("tar")
        .arg("-xzf")
        .arg(directory.join(name.trim()))
        .arg("-C")
        .arg(&directory));
    std::fs::read_to_string(directory.join("package/axe.min.js")).ok()
}
