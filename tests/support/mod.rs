//! Processes under test: started on port 0, watched until a condition holds, killed when the test ends.

#![allow(dead_code, reason = "each test file uses its own part of this")]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, Command, ExitStatus, Output, Stdio};
use std::sync::{Arc, Condvar, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use serde_json::Value;

/// Several times what anything takes on two busy cores.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);

/// A command without the variables of whoever runs the tests.
pub(crate) fn keyless(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_keyless"));
    for (name, _) in std::env::vars_os() {
        let name = name.to_string_lossy();
        if ["KEYLESS_", "AZURE_", "IDENTITY_"].iter().any(|prefix| name.starts_with(prefix)) {
            command.env_remove(&*name);
        }
    }
    command.env_remove("RUST_LOG").env("NO_COLOR", "1").stdin(Stdio::null()).args(arguments);
    command
}

pub(crate) fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).expect("stdout is text")
}

pub(crate) fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).expect("stderr is text")
}

pub(crate) fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().expect("the repository is there")
}

#[track_caller]
pub(crate) fn assert_code(output: &Output, expected: i32) {
    assert_eq!(output.status.code(), Some(expected), "{}{}", stdout(output), stderr(output));
}

/// Asks again until there is an answer, and fails with `what` if there is none in time.
#[track_caller]
pub(crate) fn eventually<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(Instant::now() < deadline, "not in {PATIENCE:?}: {what}");
        std::thread::park_timeout(Duration::from_millis(20));
    }
}

/// The lines a process has written to stderr so far.
#[derive(Clone, Default)]
pub(crate) struct Lines(Arc<(Mutex<Vec<String>>, Condvar)>);

impl Lines {
    fn follow(&self, stderr: ChildStderr) -> JoinHandle<()> {
        let lines = self.clone();
        std::thread::spawn(move || {
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                lines.0.0.lock().unwrap().push(line);
                lines.0.1.notify_all();
            }
        })
    }

    pub(crate) fn all(&self) -> Vec<String> {
        self.0.0.lock().unwrap().clone()
    }

    /// Waits for a line after the first `skip` ones.
    #[track_caller]
    pub(crate) fn wait_for<T>(&self, what: &str, skip: usize, find: impl Fn(&str) -> Option<T>) -> T {
        let deadline = Instant::now() + PATIENCE;
        let mut lines = self.0.0.lock().unwrap();
        loop {
            if let Some(found) = lines.iter().skip(skip).find_map(|line| find(line)) {
                return found;
            }
            let left = deadline.saturating_duration_since(Instant::now());
            assert!(!left.is_zero(), "no line in {PATIENCE:?}: {what}\n{}", tail(&lines));
            lines = self.0.1.wait_timeout(lines, left).unwrap().0;
        }
    }
}

fn tail(lines: &[String]) -> String {
    lines.iter().skip(lines.len().saturating_sub(30)).cloned().collect::<Vec<_>>().join("\n")
}

/// A running process; killed on drop.
pub(crate) struct Process {
    child: Child,
    pub(crate) lines: Lines,
    reader: Option<JoinHandle<()>>,
}

impl Process {
    pub(crate) fn start(mut command: Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the binary starts");
        let lines = Lines::default();
        let reader = lines.follow(child.stderr.take().expect("stderr is piped"));
        Self { child, lines, reader: Some(reader) }
    }

    /// Asks it to stop.
    pub(crate) fn terminate(&self) {
        // It fails only where the process has ended already and was waited for, and then there is nobody to ask.
        Command::new("kill").args(["-TERM", &self.child.id().to_string()]).status().expect("kill runs");
    }

    /// Ends it without a word, as a crash does.
    pub(crate) fn kill(mut self) {
        self.child.kill().expect("it can be killed");
        self.child.wait().expect("it ends");
    }

    /// Waits for its end.
    #[track_caller]
    pub(crate) fn wait(mut self) -> (ExitStatus, Vec<String>) {
        let status = eventually("the process ends", || self.child.try_wait().expect("it can be waited for"));
        self.reader.take().map(JoinHandle::join);
        (status, self.lines.all())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Either may fail only because it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A simulated cloud in a process of its own, and the folder with files for it.
pub(crate) struct Cloud {
    process: Process,
    pub(crate) ready: Value,
    pub(crate) folder: tempfile::TempDir,
}

impl Cloud {
    /// A fleet at 600 times the speed of life.
    pub(crate) fn with_fleet(workspaces: usize, seed: u64) -> Self {
        Self::start(&["--workspaces", &workspaces.to_string(), "--seed", &seed.to_string(), "--speed", "600"])
    }

    pub(crate) fn start(arguments: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().to_str().unwrap();
        let mut command = keyless(&["sim", "--write-desired", path]);
        command.args(arguments);
        let mut process = Process::start(command);
        let mut line = String::new();
        let stdout = process.child.stdout.take().expect("stdout is piped");
        BufReader::new(stdout).read_line(&mut line).expect("the ready line is text");
        let ready = serde_json::from_str(&line).unwrap_or_else(|error| {
            panic!("no ready line but {line:?}: {error}\n{}", tail(&process.lines.all()));
        });
        Self { process, ready, folder }
    }

    pub(crate) fn ready(&self, name: &str) -> &str {
        self.ready[name].as_str().unwrap_or_else(|| panic!("the ready line has no {name}"))
    }

    pub(crate) fn settings(&self) -> String {
        self.folder.path().join("keyless.yaml").to_str().unwrap().to_owned()
    }

    pub(crate) fn desired(&self) -> PathBuf {
        self.folder.path().join("desired")
    }

    /// A command over this cloud's settings, with the variables that lead to its identity.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = keyless(arguments);
        command
            .args(["--config", &self.settings()])
            .env("IDENTITY_ENDPOINT", self.ready("identityEndpoint"))
            .env("IDENTITY_HEADER", self.ready("identityHeader"));
        command
    }

    pub(crate) fn get(&self, path: &str) -> Value {
        let (status, body) = http("GET", &format!("{}{path}", self.ready("resourceManager")), "");
        assert_eq!(status, 200, "{path}: {body}");
        serde_json::from_str(&body).expect("the answer is JSON")
    }

    pub(crate) fn oracle(&self) -> Value {
        self.get("/sim/oracle")
    }

    pub(crate) fn writes(&self) -> u64 {
        self.get("/sim/requests")["writes"].as_u64().unwrap()
    }

    #[track_caller]
    pub(crate) fn drift(&self, change: &str, target: &str, value: Value) {
        let body = serde_json::json!({"change": change, "target": target, "value": value, "by": SOMEBODY}).to_string();
        let (status, answer) = http("POST", &format!("{}/sim/drift", self.ready("resourceManager")), &body);
        assert!((200..300).contains(&status), "{status} {answer}");
    }

    /// Every resource of one type.
    pub(crate) fn resources(&self, kind: &str) -> Vec<Value> {
        let world = self.get("/sim/world");
        let of_kind = |value: &&Value| value["type"].as_str().is_some_and(|own| own.eq_ignore_ascii_case(kind));
        world.as_array().expect("the world is a list").iter().filter(of_kind).cloned().collect()
    }

    pub(crate) fn accounts(&self) -> Vec<Value> {
        self.resources("Microsoft.Storage/storageAccounts")
    }

    pub(crate) fn workspaces(&self) -> Vec<Value> {
        self.resources("Microsoft.MachineLearningServices/workspaces")
    }

    /// Whether every workspace is on identity and every key is off.
    pub(crate) fn is_off_keys(&self) -> bool {
        let keys = self.accounts().iter().all(|account| account["properties"]["allowSharedKeyAccess"] == false);
        keys && self.workspaces().iter().all(|workspace| {
            let mode = workspace["properties"]["systemDatastoresAuthMode"].as_str();
            mode.is_some_and(|mode| mode.eq_ignore_ascii_case("identity"))
        })
    }

    #[track_caller]
    pub(crate) fn assert_nobody_was_denied(&self) {
        let oracle = self.oracle();
        assert_eq!(oracle["denied"]["entitled"], 0, "{oracle:#}");
        assert_eq!(oracle["denied"]["keyUsers"], 0, "{oracle:#}");
        assert!(oracle["tries"].as_u64().unwrap() > 0, "nobody was at work: {oracle:#}");
    }

    #[track_caller]
    pub(crate) fn assert_no_keys_were_listed(&self) {
        let requests = self.get("/sim/requests").to_string().to_ascii_lowercase();
        assert!(!requests.contains("listkeys"), "{requests}");
    }
}

const SOMEBODY: &str = "5a11c0de-0000-4000-8000-000000000001";

/// The daemon, logging JSON.
pub(crate) struct Daemon {
    pub(crate) process: Process,
    pub(crate) address: String,
}

impl Daemon {
    pub(crate) fn start(cloud: &Cloud) -> Self {
        Self::start_as(cloud.command(&["run", "--log", "json"]))
    }

    pub(crate) fn start_as(command: Command) -> Self {
        let process = Process::start(command);
        let address = process.lines.wait_for("the daemon listens", 0, |line| {
            let line: Value = serde_json::from_str(line).ok()?;
            line["address"].as_str().map(str::to_owned)
        });
        Self { process, address }
    }

    pub(crate) fn get(&self, path: &str) -> (u16, String) {
        http("GET", &format!("http://{}{path}", self.address), "")
    }

    /// The sum of a metric over all of its labels that contain `label`.
    pub(crate) fn metric(&self, name: &str, label: &str) -> f64 {
        let (status, text) = self.get("/metrics");
        assert_eq!(status, 200);
        let lines = text.lines().filter(|line| line.starts_with(name) && line.contains(label));
        lines.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum()
    }

    /// Waits until every account is converged.
    #[track_caller]
    pub(crate) fn until_converged(&self, accounts: usize) {
        eventually("every account converges", || {
            let converged = self.metric("keyless_accounts{", "\"converged\"");
            ((converged - accounts as f64).abs() < 0.5).then_some(())
        });
    }

    /// Asks it to stop, and tells how long it took.
    #[track_caller]
    pub(crate) fn stop(self) -> (Duration, Vec<String>) {
        let began = Instant::now();
        self.process.terminate();
        let (status, lines) = self.process.wait();
        assert_eq!(status.code(), Some(0), "{}", tail(&lines));
        (began.elapsed(), lines)
    }
}

/// One plain HTTP exchange.
pub(crate) fn http(method: &str, url: &str, body: &str) -> (u16, String) {
    let rest = url.strip_prefix("http://").expect("plain HTTP");
    let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
    let mut stream = TcpStream::connect(host).expect("it listens");
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let request = format!(
        "{method} /{path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\nContent-Type: application/json\r\n\
         Content-Length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("the answer is text");
    let (head, body) = answer.split_once("\r\n\r\n").expect("the answer has a head");
    let status = head.split(' ').nth(1).and_then(|code| code.parse().ok()).expect("the answer has a status");
    assert!(!head.to_ascii_lowercase().contains("transfer-encoding"), "answers in pieces are not read here");
    (status, body.to_owned())
}
