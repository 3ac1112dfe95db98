//! The shipped binary as a child process: its start, its signals, its end, and what it says.

use std::collections::VecDeque;
use std::fs::OpenOptions;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};

use super::fate::Log;

/// How many lines of a log are kept.
const LINES: usize = 60;

/// How long a process that was asked to may take to end: what the daemon promises, and a machine that is busy.
pub(crate) const ENDS_WITHIN: Duration = Duration::from_secs(20);

/// What a file may not grow beyond is told by a signal, which would be the end; a full disk is told by an error.
const SPARED: &str = "trap '' XFSZ";

/// Where the binary is, and how it finds the simulator.
#[derive(Debug, Clone)]
pub(crate) struct Program<'a> {
    pub(crate) binary: &'a Path,
    pub(crate) settings: PathBuf,
    pub(crate) identity_endpoint: &'a str,
    pub(crate) identity_header: &'a str,
}

impl Program<'_> {
    /// `before` is what a shell does before it becomes the program.
    fn command(&self, arguments: &[&str], before: Option<&str>) -> Command {
        let mut command = match before {
            Some(before) => {
                let mut shell = Command::new("sh");
                shell.args(["-c", &format!("{before}; exec \"$0\" \"$@\"")]).arg(self.binary);
                shell
            }
            None => Command::new(self.binary),
        };
        command.args(arguments).arg("--config").arg(&self.settings);
        command.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default());
        command.env("IDENTITY_ENDPOINT", self.identity_endpoint).env("IDENTITY_HEADER", self.identity_header);
        command.stdin(Stdio::null());
        command
    }

    /// A command to its end.
    pub(crate) fn output(&self, arguments: &[&str]) -> anyhow::Result<Output> {
        self.command(arguments, None).output().context("the binary cannot be started")
    }

    /// A daemon on a disk that is full: how it ends, and what it says.
    pub(crate) fn refused(&self) -> anyhow::Result<(ExitStatus, String)> {
        let before = format!("{SPARED}; ulimit -f 0");
        let mut command = self.command(&["run", "--log", "json"], Some(&before));
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn()?;
        let began = Instant::now();
        while child.try_wait()?.is_none() && began.elapsed() < ENDS_WITHIN {
            std::thread::park_timeout(Duration::from_millis(2));
        }
        // Fails where it has ended, as it should have.
        let _ = child.kill();
        let output = child.wait_with_output()?;
        Ok((output.status, String::from_utf8_lossy(&output.stderr).into_owned()))
    }

    /// The daemon.
    pub(crate) fn daemon(&self, log: Log, outlives_full_disks: bool) -> anyhow::Result<Daemon> {
        let mut command = self.command(&["run", "--log", "json"], outlives_full_disks.then_some(SPARED));
        command.stdout(Stdio::null());
        match log {
            Log::Read | Log::Unread => command.stderr(Stdio::piped()),
            Log::Full => command.stderr(OpenOptions::new().write(true).open("/dev/full")?),
        };
        let mut child = command.spawn().context("the binary cannot be started")?;
        let said = Said::default();
        let stderr = child.stderr.take().filter(|_| log == Log::Read);
        let secret = self.identity_header.to_owned();
        let reader = stderr.map(|stderr| {
            let said = said.clone();
            std::thread::spawn(move || {
                for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                    said.hear(line, &secret);
                }
            })
        });
        Ok(Daemon { child, said, reader })
    }
}

/// What a process said.
#[derive(Debug, Clone, Default)]
struct Said(Arc<Mutex<Heard>>);

#[derive(Debug, Default)]
struct Heard {
    last: VecDeque<String>,
    /// Lines that must never be.
    wrong: Vec<String>,
}

impl Said {
    fn hear(&self, line: String, secret: &str) {
        let mut heard = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // The last three: a header with a token, any token that the simulator mints, and a SAS.
        let words = ["panicked", "the pass broke off", "plan_rejected", "Bearer ", "eyJhbGciOi", "sig="];
        if words.iter().any(|word| line.contains(word)) || line.contains(secret) {
            heard.wrong.push(line.clone());
        }
        if heard.last.len() == LINES {
            heard.last.pop_front();
        }
        heard.last.push_back(line);
    }
}

/// A daemon; killed on drop.
pub(crate) struct Daemon {
    child: Child,
    said: Said,
    reader: Option<JoinHandle<()>>,
}

impl Daemon {
    /// What the system calls it.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Its end, if it has come.
    pub(crate) fn ended(&mut self) -> anyhow::Result<Option<ExitStatus>> {
        Ok(self.child.try_wait()?)
    }

    /// Sends it a signal, such as `STOP`.
    pub(crate) fn signal(&self, name: &str) -> anyhow::Result<()> {
        let status = Command::new("kill").args([&format!("-{name}"), &self.child.id().to_string()]).status()?;
        ensure!(status.success(), "the process could not be sent SIG{name}");
        Ok(())
    }

    /// From now on no file that it writes may grow.
    pub(crate) fn fill_disk(&self) -> anyhow::Result<()> {
        let limit = Command::new("prlimit").args(["--pid", &self.child.id().to_string(), "--fsize=0:0"]).status()?;
        ensure!(limit.success(), "the process could not be given a full disk");
        Ok(())
    }

    /// SIGKILL, and what it had said that must never be.
    pub(crate) fn kill(mut self) -> anyhow::Result<Vec<String>> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(self.heard())
    }

    /// Waits for the end that it was asked for.
    pub(crate) fn wait(mut self) -> anyhow::Result<(ExitStatus, Vec<String>, String)> {
        let began = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait()? {
                let wrong = self.heard();
                return Ok((status, wrong, self.tail()));
            }
            if began.elapsed() > ENDS_WITHIN {
                bail!("it did not end within {ENDS_WITHIN:?}\n{}", self.tail());
            }
            std::thread::park_timeout(Duration::from_millis(2));
        }
    }

    fn heard(&mut self) -> Vec<String> {
        if let Some(reader) = self.reader.take() {
            // It cannot panic, and what it has heard is there in any case.
            let _ = reader.join();
        }
        std::mem::take(&mut self.said.0.lock().unwrap_or_else(PoisonError::into_inner).wrong)
    }

    /// The last lines of its log.
    pub(crate) fn tail(&self) -> String {
        let heard = self.said.0.lock().unwrap_or_else(PoisonError::into_inner);
        heard.last.iter().cloned().collect::<Vec<_>>().join("\n")
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // Either fails only where it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
