//! The binary as a child process: its lines, its signals, its end.

use std::io::{BufRead as _, BufReader, Read};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::http::{Answer, Http};
use super::{PATIENCE, Sim, wait_until};

/// The binary without the variables of whoever runs the tests. `KEYLESS_E2E_BINARY` names another one, such as an
/// optimized build for large fleets.
pub fn keyless(arguments: &[&str]) -> Command {
    let binary = std::env::var_os("KEYLESS_E2E_BINARY");
    let mut command = Command::new(binary.unwrap_or_else(|| env!("CARGO_BIN_EXE_keyless").into()));
    for (name, _) in std::env::vars_os() {
        let upper = name.to_string_lossy().to_ascii_uppercase();
        let own = ["KEYLESS_", "AZURE_", "IDENTITY_", "MSI_"].iter().any(|prefix| upper.starts_with(prefix));
        if own || upper.ends_with("_PROXY") {
            command.env_remove(&name);
        }
    }
    command.env_remove("RUST_LOG").env("NO_COLOR", "1").stdin(Stdio::null()).args(arguments);
    command
}

/// Runs a command to its end and asserts its exit code.
#[track_caller]
pub fn output_of(mut command: Command, code: i32) -> Output {
    let output = command.output().expect("the binary starts");
    assert_code(&output, code);
    output
}

#[track_caller]
pub fn assert_code(output: &Output, code: i32) {
    assert_eq!(output.status.code(), Some(code), "{}{}", stdout(output), stderr(output));
}

pub fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).expect("stdout is text")
}

pub fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).expect("stderr is text")
}

/// What a stream has brought so far.
#[derive(Clone, Default)]
pub struct Lines(Arc<Mutex<Vec<String>>>);

impl Lines {
    fn follow(&self, stream: impl Read + Send + 'static) -> JoinHandle<()> {
        let lines = self.clone();
        std::thread::spawn(move || {
            for line in BufReader::new(stream).lines().map_while(Result::ok) {
                lines.0.lock().expect("no reader panics").push(line);
            }
        })
    }

    pub fn all(&self) -> Vec<String> {
        self.0.lock().expect("no reader panics").clone()
    }

    pub fn tail(&self) -> String {
        let lines = self.all();
        lines[lines.len().saturating_sub(25)..].join("\n")
    }
}

/// A child process; killed on drop.
pub struct Process {
    child: Child,
    pub stdout: Lines,
    pub stderr: Lines,
    readers: Vec<JoinHandle<()>>,
}

impl Process {
    pub fn start(mut command: Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the binary starts");
        let (stdout, stderr) = (Lines::default(), Lines::default());
        let readers = vec![
            stdout.follow(child.stdout.take().expect("stdout is piped")),
            stderr.follow(child.stderr.take().expect("stderr is piped")),
        ];
        Self { child, stdout, stderr, readers }
    }

    /// One whose readers have gone away.
    pub fn start_unread(mut command: Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the binary starts");
        drop((child.stdout.take(), child.stderr.take()));
        Self { child, stdout: Lines::default(), stderr: Lines::default(), readers: Vec::new() }
    }

    /// With pipes that stay open and are never read, as those of a log reader that hangs.
    pub fn start_stuck(mut command: Command) -> Self {
        let child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("the binary starts");
        Self { child, stdout: Lines::default(), stderr: Lines::default(), readers: Vec::new() }
    }

    /// With a log that goes to a file or device.
    pub fn start_logging_to(mut command: Command, log: std::fs::File) -> Self {
        let child = command.stdout(Stdio::null()).stderr(log).spawn().expect("the binary starts");
        Self { child, stdout: Lines::default(), stderr: Lines::default(), readers: Vec::new() }
    }

    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().expect("a child can be waited for")
    }

    pub fn terminate(&self) {
        self.signal("TERM");
    }

    /// Sends it a signal, such as `STOP`.
    pub fn signal(&self, name: &str) {
        let status = Command::new("kill").args([&format!("-{name}"), &self.child.id().to_string()]).status();
        assert!(status.expect("`kill` is there").success());
    }

    /// SIGKILL, and the end of it.
    pub fn kill(&mut self) {
        self.child.kill().expect("it can be killed");
        self.child.wait().expect("it ends");
        self.drain();
    }

    /// Waits for its end and for everything that it said.
    #[track_caller]
    pub fn wait(&mut self) -> ExitStatus {
        let status = wait_until("the process ends", PATIENCE, || self.ended());
        self.drain();
        status
    }

    fn drain(&mut self) {
        for reader in self.readers.drain(..) {
            reader.join().expect("no reader panics");
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Either fails only where the process has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The daemon, logging JSON.
pub struct Daemon {
    process: Process,
}

/// How a daemon ended.
pub struct Stopped {
    pub status: ExitStatus,
    pub took: Duration,
    pub stdout: Vec<String>,
    pub stderr: Vec<String>,
}

impl Daemon {
    /// `keyless run` on the simulator's files, with the variables that lead to its managed identity.
    pub fn start(sim: &Sim) -> Self {
        Self::start_as(sim.command(&["run", "--log", "json"]))
    }

    pub fn start_as(command: Command) -> Self {
        Self { process: Process::start(command) }
    }

    /// One whose log nobody reads.
    pub fn start_unread(command: Command) -> Self {
        Self { process: Process::start_unread(command) }
    }

    /// One whose log reader hangs.
    pub fn start_stuck(command: Command) -> Self {
        Self { process: Process::start_stuck(command) }
    }

    /// One whose log goes to a file or device.
    pub fn start_logging_to(command: Command, log: std::fs::File) -> Self {
        Self { process: Process::start_logging_to(command, log) }
    }

    pub fn log(&self) -> Vec<String> {
        self.process.stderr.all()
    }

    /// The events of one name, oldest first.
    pub fn events(&self, name: &str) -> Vec<Value> {
        events(&self.log()).into_iter().filter(|event| event["event"] == name).collect()
    }

    /// Waits for an event that `wanted` accepts.
    #[track_caller]
    pub fn event(&mut self, name: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        self.wait_until(&format!("an event `{name}`"), PATIENCE, |daemon| daemon.events(name).into_iter().find(&wanted))
    }

    /// Waits, and fails at once with the log if the daemon ends before the time.
    #[track_caller]
    pub fn wait_until<T>(&mut self, what: &str, limit: Duration, mut ask: impl FnMut(&Self) -> Option<T>) -> T {
        let deadline = Instant::now() + limit;
        wait_until(what, limit + PATIENCE, || {
            if let Some(status) = self.process.ended() {
                panic!("the daemon ended ({status}) before: {what}\n{}", self.process.stderr.tail());
            }
            let answer = ask(self);
            let late = answer.is_none() && Instant::now() >= deadline;
            assert!(!late, "not within {limit:?}: {what}\n{}", self.process.stderr.tail());
            answer
        })
    }

    /// Where its own server listens, once it says so.
    #[track_caller]
    fn address(&mut self) -> String {
        self.wait_until("the daemon listens", PATIENCE, |daemon| {
            let lines = daemon.log().into_iter().filter_map(|line| serde_json::from_str::<Value>(&line).ok());
            lines.into_iter().find_map(|line| line["address"].as_str().map(str::to_owned))
        })
    }

    #[track_caller]
    pub fn get(&mut self, path: &str) -> Answer {
        Http::new(&format!("http://{}", self.address()), None).send("GET", path, &[], "")
    }

    /// The sum of a metric over its labels that contain `label`.
    #[track_caller]
    pub fn metric(&mut self, name: &str, label: &str) -> u64 {
        let text = self.get("/metrics").ok().text;
        let values = text.lines().filter(|line| {
            let rest = line.strip_prefix(name).unwrap_or_default();
            rest.starts_with([' ', '{']) && line.contains(label)
        });
        values.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum::<f64>().round() as u64
    }

    /// Waits until every account is converged, and the log tells what was done for it.
    #[track_caller]
    pub fn until_converged(&mut self, accounts: usize, limit: Duration) {
        let deadline = Instant::now() + limit;
        wait_until("every account converges", limit + PATIENCE, || {
            let converged = self.metric("keyless_accounts", "\"converged\"") == accounts as u64;
            let late = !converged && Instant::now() >= deadline;
            assert!(!late, "no end within {limit:?}\n{}", self.process.stderr.tail());
            converged.then_some(())
        });
        self.until_told();
    }

    /// Waits until the log tells of every write that the metrics count: lines take a moment from there to here.
    #[track_caller]
    fn until_told(&mut self) {
        let writes = self.metric("keyless_writes_total", "");
        self.wait_until("every write is told", PATIENCE, |daemon| {
            (daemon.events("action_applied").len() as u64 >= writes).then_some(())
        });
    }

    /// Waits until every account was read completely `cycles` more times on average, for as long as passes end at all.
    #[track_caller]
    pub fn full_cycles(&mut self, accounts: usize, cycles: u64) {
        let mut passed = self.metric("keyless_passes_total", "");
        let goal = passed + cycles * accounts as u64;
        let failed = self.metric("keyless_failed_passes_total", "");
        while passed < goal {
            let before = passed;
            wait_until("a pass ends", PATIENCE, || {
                passed = self.metric("keyless_passes_total", "");
                (passed > before).then_some(())
            });
        }
        let failing = self.metric("keyless_failed_passes_total", "") - failed;
        assert_eq!(failing, 0, "a pass failed\n{}", self.process.stderr.tail());
    }

    /// Ends it without a word, as a crash does, and hands out its log.
    pub fn kill(mut self) -> Vec<String> {
        self.process.kill();
        self.process.stderr.all()
    }

    /// Sends it a signal, such as `STOP`.
    pub fn signal(&self, name: &str) {
        self.process.signal(name);
    }

    /// SIGTERM, without waiting for what comes of it.
    pub fn terminate(&self) {
        self.process.terminate();
    }

    /// Waits for its end, whatever that is.
    #[track_caller]
    pub fn wait(mut self) -> Stopped {
        let began = Instant::now();
        let status = self.process.wait();
        let took = began.elapsed();
        Stopped { status, took, stdout: self.process.stdout.all(), stderr: self.process.stderr.all() }
    }

    /// SIGTERM, and its end with exit status 0.
    #[track_caller]
    pub fn stop(self) -> Stopped {
        self.terminate();
        let stopped = self.wait();
        assert_eq!(stopped.status.code(), Some(0), "{}", stopped.stderr.join("\n"));
        stopped
    }
}

/// The events in a log, oldest first.
pub fn events(log: &[String]) -> Vec<Value> {
    let lines = log.iter().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    lines.filter(|line| line["event"].is_string()).collect()
}
