//! The shipped binary as a child process: its start, its signals, its end, and what it says.

use std::collections::VecDeque;
use std::fs::OpenOptions;
use std::io::{BufRead as _, BufReader, Read as _, Seek as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};

use super::fate::Log;
use crate::stop;

/// How many lines of a log are kept.
const LINES: usize = 60;

/// How long a process that was asked to may take to end: what the daemon promises, and a machine that is busy.
pub(crate) const ENDS_WITHIN: Duration = Duration::from_secs(20);

/// How long a command may take that nobody asks to end.
const DONE_WITHIN: Duration = Duration::from_secs(300);

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

    /// A command to its end: how it ended, and what it printed.
    pub(crate) fn output(&self, arguments: &[&str]) -> anyhow::Result<(ExitStatus, Vec<u8>)> {
        // Takes whatever is printed while nobody reads.
        let mut file = tempfile::tempfile()?;
        let mut command = self.command(arguments, None);
        command.stdout(file.try_clone()?).stderr(Stdio::null());
        let ended = Process::start(command)?.ends(DONE_WITHIN)?;
        let status = ended.with_context(|| format!("it was not done within {DONE_WITHIN:?}"))?;
        let mut printed = Vec::new();
        file.rewind()?;
        file.read_to_end(&mut printed)?;
        Ok((status, printed))
    }

    /// A daemon on a disk that is full: how it ends, and what it says.
    pub(crate) fn refused(&self) -> anyhow::Result<(ExitStatus, String)> {
        let before = format!("{SPARED}; ulimit -f 0");
        let mut command = self.command(&["run", "--log", "json"], Some(&before));
        command.stdout(Stdio::null()).stderr(Stdio::piped());
        let mut process = Process::start(command)?;
        let status = match process.ends(ENDS_WITHIN)? {
            Some(status) => status,
            None => process.kill()?,
        };
        let mut said = Vec::new();
        if let Some(mut stderr) = process.0.stderr.take() {
            stderr.read_to_end(&mut said)?;
        }
        Ok((status, String::from_utf8_lossy(&said).into_owned()))
    }

    /// The daemon.
    pub(crate) fn daemon(&self, log: Log, outlives_full_disks: bool) -> anyhow::Result<Daemon> {
        let mut command = self.command(&["run", "--log", "json"], outlives_full_disks.then_some(SPARED));
        command.stdout(Stdio::null());
        match log {
            Log::Read | Log::Unread => command.stderr(Stdio::piped()),
            Log::Full => command.stderr(OpenOptions::new().write(true).open("/dev/full")?),
        };
        let mut process = Process::start(command)?;
        let said = Said::default();
        let stderr = process.0.stderr.take().filter(|_| log == Log::Read);
        let secret = self.identity_header.to_owned();
        let reader = stderr.map(|stderr| {
            let said = said.clone();
            std::thread::spawn(move || {
                for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                    said.hear(line, &secret);
                }
            })
        });
        Ok(Daemon { process, said, reader })
    }
}

/// A process that ends with whoever started it: killed on drop.
struct Process(Child);

impl Process {
    fn start(mut command: Command) -> anyhow::Result<Self> {
        Ok(Self(command.spawn().context("the binary cannot be started")?))
    }

    /// Its end, where that comes within so long.
    ///
    /// # Errors
    /// [`stop::Asked`], if the run is asked to stop before.
    fn ends(&mut self, within: Duration) -> anyhow::Result<Option<ExitStatus>> {
        let began = Instant::now();
        loop {
            let ended = self.0.try_wait()?;
            if ended.is_some() || began.elapsed() > within {
                return Ok(ended);
            }
            stop::wait(Duration::from_millis(2))?;
        }
    }

    fn kill(&mut self) -> anyhow::Result<ExitStatus> {
        self.0.kill()?;
        Ok(self.0.wait()?)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Fails only where it has ended already.
        let _ = self.kill();
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
    process: Process,
    said: Said,
    reader: Option<JoinHandle<()>>,
}

impl Daemon {
    /// What the system calls it.
    pub(crate) fn id(&self) -> u32 {
        self.process.0.id()
    }

    /// Its end, if it has come.
    ///
    /// # Errors
    /// [`stop::Asked`], if the run is asked to stop: a terminal asks the daemon too.
    pub(crate) fn ended(&mut self) -> anyhow::Result<Option<ExitStatus>> {
        let ended = self.process.0.try_wait()?;
        stop::heed()?;
        Ok(ended)
    }

    /// Sends it a signal, such as `STOP`.
    pub(crate) fn signal(&self, name: &str) -> anyhow::Result<()> {
        let status = Command::new("kill").args([&format!("-{name}"), &self.id().to_string()]).status()?;
        ensure!(status.success(), "the process could not be sent SIG{name}");
        Ok(())
    }

    /// From now on no file that it writes may grow.
    pub(crate) fn fill_disk(&self) -> anyhow::Result<()> {
        let limit = Command::new("prlimit").args(["--pid", &self.id().to_string(), "--fsize=0:0"]).status()?;
        ensure!(limit.success(), "the process could not be given a full disk");
        Ok(())
    }

    /// SIGKILL, and what it had said that must never be.
    pub(crate) fn kill(mut self) -> anyhow::Result<Vec<String>> {
        self.process.kill()?;
        Ok(self.heard())
    }

    /// Waits for the end that it was asked for.
    pub(crate) fn wait(mut self) -> anyhow::Result<(ExitStatus, Vec<String>, String)> {
        let Some(status) = self.process.ends(ENDS_WITHIN)? else {
            bail!("it did not end within {ENDS_WITHIN:?}\n{}", self.tail());
        };
        let wrong = self.heard();
        Ok((status, wrong, self.tail()))
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
