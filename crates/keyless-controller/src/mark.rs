//! `stateDir`: the lock that keeps a second writer away, and the mark that says no write of the last process can
//! still land.
//!
//! Expected flow: [`StateDir::open`] takes the lock for the life of the value; [`Mark::is_set`] at start decides about
//! the boot wait; [`Mark::take_away`] is durable before the first write leaves; [`Mark::set`] is called once, at a clean
//! end, and only if every write of the process is settled. A crash leaves the mark off, which costs waiting, never safety.
//!
//! Links in the directory are not followed, and what is no regular file is not opened. A disk or mount that does not answer
//! is waited for [`PATIENCE`] and no longer, by one thread of the directory's own.

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use keyless_arm::small_file::{self, Unfit};
use tokio::runtime::{Handle, RuntimeFlavor};

/// The file whose lock keeps a second writer away.
const LOCK: &str = "keyless.lock";

/// Who works for whom, in which groups and under which login, is in the files: no other user of the machine reads them.
const OWN_DIR: u32 = 0o700;
const OWN_FILE: u32 = 0o600;

/// How long the directory may take to do what it is asked; a write to Azure and the end of the process wait for it.
pub const PATIENCE: Duration = Duration::from_secs(5);

/// Why the state directory cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum StateDirError {
    /// It is not there and cannot be made, or it cannot be written to.
    #[error("state directory `{}` cannot be written to", .path.display())]
    Unwritable {
        /// The directory.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// Another process holds it.
    #[error("state directory `{}` is in use by another `keyless` that may write", .path.display())]
    InUse {
        /// The directory.
        path: PathBuf,
    },
}

/// A state directory that this process holds alone, until the last clone of it is gone.
#[derive(Debug, Clone)]
pub struct StateDir {
    held: Arc<Held>,
    jobs: mpsc::Sender<Job>,
    /// Since when the directory's thread is at its present job.
    busy_since: Arc<Mutex<Option<Instant>>>,
    patience: Duration,
}

type Job = Box<dyn FnOnce() + Send>;

#[derive(Debug)]
struct Held {
    path: PathBuf,
    mark: Mark,
    /// Held, never read: the lock ends with the file.
    lock: File,
}

impl StateDir {
    /// Makes the directory if need be, checks that it can be written to, and takes its lock.
    ///
    /// # Errors
    /// [`StateDirError`] if it cannot be written to, or another process holds it.
    pub fn open(path: &Path) -> Result<Self, StateDirError> {
        let unwritable = |source| StateDirError::Unwritable { path: path.to_owned(), source };
        DirBuilder::new().recursive(true).mode(OWN_DIR).create(path).map_err(unwritable)?;
        let lock = path.join(LOCK);
        is_regular(&lock).map_err(unwritable)?;
        let lock = OpenOptions::new().create(true).truncate(false).write(true).open(lock).map_err(unwritable)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(StateDirError::InUse { path: path.to_owned() }),
            Err(TryLockError::Error(source)) => return Err(unwritable(source)),
        }
        // Before the first write, rather than at the end, when nothing can be done about it any more. An empty file fits on
        // a full disk.
        write_durably(&path.join("probe"), b"this directory can be written to\n").map_err(unwritable)?;
        remove_durably(&path.join("probe")).map_err(unwritable)?;
        let mark = Mark::find(path.join("settled")).map_err(unwritable)?;
        let held = Arc::new(Held { path: path.to_owned(), mark, lock });
        let (jobs, next) = mpsc::channel::<Job>();
        let busy_since: Arc<Mutex<Option<Instant>>> = Arc::default();
        let busy = Arc::clone(&busy_since);
        let work = move || {
            for job in next {
                *busy.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
                job();
                *busy.lock().unwrap_or_else(PoisonError::into_inner) = None;
            }
        };
        thread::Builder::new().name("state".to_owned()).spawn(work).map_err(unwritable)?;
        Ok(Self { held, jobs, busy_since, patience: PATIENCE })
    }

    /// The same, and waited for this long by the machine's clock, in place of [`PATIENCE`]: for whom that clock is to decide
    /// nothing.
    #[must_use]
    pub fn patient(self, patience: Duration) -> Self {
        Self { patience, ..self }
    }

    /// The directory.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.held.path
    }

    /// The settled mark in it.
    #[must_use]
    pub fn mark(&self) -> &Mark {
        &self.held.mark
    }

    /// Makes sure that this process alone may write, and that a crash from here on is told by the absence of the mark.
    ///
    /// # Errors
    /// What the system said, that it said nothing in time, or that the directory was replaced: another process may hold the
    /// lock in the new one. Nothing may be written then.
    pub fn before_write(&self) -> io::Result<()> {
        self.in_time(|held| {
            held.check_lock()?;
            held.mark.take_away()
        })
    }

    /// Sets the mark: every write of this process is settled.
    ///
    /// # Errors
    /// As [`Self::before_write`]: the mark would speak for another process.
    pub fn settle(&self) -> io::Result<()> {
        self.in_time(|held| {
            held.check_lock()?;
            held.mark.set()
        })
    }

    /// Replaces a file in the directory as a whole.
    ///
    /// # Errors
    /// As [`Self::before_write`]: the file would be another process's.
    pub(crate) fn keep(&self, name: &'static str, content: Vec<u8>) -> io::Result<()> {
        self.in_time(move |held| {
            held.check_lock()?;
            write_durably(&held.path.join(name), &content)
        })
    }

    /// Removes a file of the directory; it stays away over a crash of the machine.
    ///
    /// # Errors
    /// As [`Self::before_write`]: the file would be another process's.
    pub(crate) fn forget(&self, name: &'static str) -> io::Result<()> {
        self.in_time(move |held| {
            held.check_lock()?;
            remove_durably(&held.path.join(name))
        })
    }

    /// A file of the directory, of at most `most` bytes; `None` if it is not there.
    ///
    /// # Errors
    /// [`Unfit`] if it is none of ours, or what the system said.
    pub(crate) fn kept(&self, name: &'static str, most: usize) -> Result<Option<Vec<u8>>, Unfit> {
        let most = u64::try_from(most).unwrap_or(u64::MAX);
        self.in_time(move |held| Ok(read_own(&held.path.join(name), most)))?
    }

    /// Has the directory's thread do it. One that is at something for longer than anybody waits is not waited for again: its
    /// end at the latest is when the mount answers.
    fn in_time<T: Send + 'static>(&self, work: impl FnOnce(&Held) -> io::Result<T> + Send + 'static) -> io::Result<T> {
        let late = || {
            let path = self.held.path.display();
            io::Error::new(
                io::ErrorKind::TimedOut,
                format!("the state directory `{path}` did not answer within {:?}", self.patience),
            )
        };
        let busy_since = *self.busy_since.lock().unwrap_or_else(PoisonError::into_inner);
        if busy_since.is_some_and(|since| since.elapsed() >= self.patience) {
            return Err(late());
        }
        let (answer, answered) = mpsc::sync_channel(1);
        let wanted = Arc::new(());
        let (held, asked) = (Arc::clone(&self.held), Arc::downgrade(&wanted));
        let job = move || {
            // Whoever has given up must not be surprised.
            if asked.upgrade().is_some() {
                let done = work(&held);
                // The lock is free as soon as the answer is there and the directory is let go.
                drop(held);
                let _ = answer.send(done);
            }
        };
        let gone = || io::Error::other("the thread of the state directory is gone");
        self.jobs.send(Box::new(job)).map_err(|_| gone())?;
        let done = aside(|| answered.recv_timeout(self.patience));
        drop(wanted);
        match done {
            Ok(done) => done,
            Err(RecvTimeoutError::Timeout) => Err(late()),
            Err(RecvTimeoutError::Disconnected) => Err(gone()),
        }
    }
}

/// Waits without keeping other tasks of this thread waiting, where there is another thread for them.
fn aside<T>(wait: impl FnOnce() -> T) -> T {
    match Handle::try_current() {
        Ok(runtime) if runtime.runtime_flavor() == RuntimeFlavor::MultiThread => tokio::task::block_in_place(wait),
        Ok(_) | Err(_) => wait(),
    }
}

impl Held {
    fn check_lock(&self) -> io::Result<()> {
        let held = self.lock.metadata()?;
        match fs::symlink_metadata(self.path.join(LOCK)) {
            Ok(there) if (there.dev(), there.ino()) == (held.dev(), held.ino()) => Ok(()),
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            Ok(_) | Err(_) => Err(io::Error::other(
                "the lock in the state directory was removed or replaced, so another process may be writing; \
                 nothing is written until a restart",
            )),
        }
    }
}

/// The file that says: every write of the last process is settled.
#[derive(Debug)]
pub struct Mark {
    path: PathBuf,
    set: Mutex<bool>,
}

impl Mark {
    fn find(path: PathBuf) -> io::Result<Self> {
        let set = is_regular(&path)?;
        Ok(Self { path, set: Mutex::new(set) })
    }

    /// Whether the mark is there.
    #[must_use]
    pub fn is_set(&self) -> bool {
        *self.set.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes the mark away; when this returns, it stays away over a crash of the machine. Cheap once it is away.
    ///
    /// # Errors
    /// What the system said. Nothing may be written then.
    pub fn take_away(&self) -> io::Result<()> {
        let mut set = self.set.lock().unwrap_or_else(PoisonError::into_inner);
        if *set {
            remove_durably(&self.path)?;
            *set = false;
        }
        Ok(())
    }

    /// Sets the mark.
    ///
    /// # Errors
    /// What the system said. The next process then waits, as after a crash.
    pub fn set(&self) -> io::Result<()> {
        let mut set = self.set.lock().unwrap_or_else(PoisonError::into_inner);
        if !*set {
            write_durably(&self.path, b"every write of the last process is settled\n")?;
            *set = true;
        }
        Ok(())
    }
}

/// Whether there is such a file of our own.
fn is_regular(path: &Path) -> io::Result<bool> {
    match fs::symlink_metadata(path) {
        Ok(metadata) if metadata.is_file() => Ok(true),
        // Opening a pipe waits for its other end, and a link leads to a file that is not ours.
        Ok(_) => Err(io::Error::other(format!("`{}` is not a regular file", path.display()))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

/// A file that an earlier process left; `None` if it is not there.
fn read_own(path: &Path, most: u64) -> Result<Option<Vec<u8>>, Unfit> {
    if is_regular(path)? { small_file::read(path, most).map(Some) } else { Ok(None) }
}

/// Replaces a file as a whole, so that a crash leaves either the old content or the new. Its owner alone may read it. What
/// is there, a link too, is replaced and not written to.
fn write_durably(path: &Path, content: &[u8]) -> io::Result<()> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".new");
    let fresh = path.with_file_name(name);
    // One that a crash left, or that somebody put there, may have another mode or lead elsewhere.
    remove(&fresh)?;
    let mut file = OpenOptions::new().create_new(true).write(true).mode(OWN_FILE).open(&fresh)?;
    file.write_all(content)?;
    file.sync_all()?;
    fs::rename(&fresh, path)?;
    sync_parent(path)
}

fn remove_durably(path: &Path) -> io::Result<()> {
    remove(path)?;
    sync_parent(path)
}

fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        Ok(()) | Err(_) => Ok(()),
    }
}

fn sync_parent(path: &Path) -> io::Result<()> {
    match path.parent() {
        Some(parent) => File::open(parent)?.sync_all(),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::fs::Permissions;
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    use super::*;

    /// As soon as it is free. A process that another test starts has the locks of all tests too until it is another program.
    fn open_again(path: &Path) -> StateDir {
        loop {
            match StateDir::open(path) {
                Err(StateDirError::InUse { .. }) => thread::yield_now(),
                opened => return opened.unwrap(),
            }
        }
    }

    #[test]
    fn the_mark_outlives_the_process_and_is_taken_away_once() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("state");
        let first = StateDir::open(&path).unwrap();
        assert!(!first.mark().is_set(), "a fresh directory says nothing of an earlier process");
        first.mark().set().unwrap();
        drop(first);
        let second = open_again(&path);
        assert!(second.mark().is_set());
        second.mark().take_away().unwrap();
        second.mark().take_away().unwrap();
        assert!(!second.mark().is_set());
        drop(second);
        assert!(!open_again(&path).mark().is_set());
    }

    #[test]
    fn a_mark_that_could_not_be_taken_away_is_there_for_the_next_write_too() {
        let dir = tempfile::tempdir().unwrap();
        let state_dir = StateDir::open(dir.path()).unwrap();
        state_dir.settle().unwrap();
        let mark = dir.path().join("settled");
        fs::remove_file(&mark).unwrap();
        // No file, so it is not removed as one.
        fs::create_dir(&mark).unwrap();
        for write in ["one", "another"] {
            assert!(state_dir.before_write().is_err(), "{write}");
        }
        fs::remove_dir(&mark).unwrap();
        state_dir.before_write().unwrap();
    }

    #[test]
    fn no_other_user_reads_what_is_kept() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("made").join("state");
        let state_dir = StateDir::open(&path).unwrap();
        fs::write(path.join("names.new"), "left by a crash").unwrap();
        fs::set_permissions(path.join("names.new"), Permissions::from_mode(0o644)).unwrap();
        state_dir.keep("names", b"dana@example.com".to_vec()).unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!([mode(&path), mode(&path.join("names"))], [0o700, 0o600]);
        state_dir.forget("names").unwrap();
        state_dir.forget("names").unwrap();
        assert!(!path.join("names").exists());
    }

    #[test]
    fn a_second_writer_is_kept_away() {
        let dir = tempfile::tempdir().unwrap();
        let held = StateDir::open(dir.path()).unwrap();
        assert!(matches!(StateDir::open(dir.path()), Err(StateDirError::InUse { .. })));
        drop(held);
        open_again(dir.path());
    }

    #[test]
    fn who_lost_the_lock_with_its_directory_writes_nothing_more() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("state");
        let first = StateDir::open(&path).unwrap();
        first.before_write().unwrap();
        fs::remove_dir_all(&path).unwrap();
        assert!(first.before_write().unwrap_err().to_string().contains("until a restart"));
        let second = StateDir::open(&path).unwrap();
        assert!(first.before_write().is_err(), "another process holds the new directory");
        second.before_write().unwrap();
        assert!(first.settle().is_err());
        assert!(!path.join("settled").exists(), "the first does not speak for the second");
        drop(second);
        fs::remove_dir_all(&path).unwrap();
        fs::write(&path, "no directory").unwrap();
        assert_eq!(first.before_write().unwrap_err().kind(), io::ErrorKind::NotADirectory, "in the system's words");
        assert!(first.kept("notes", 9).is_err(), "unknown, which is not absent");
    }

    #[test]
    fn what_is_no_regular_file_is_refused_by_name_and_not_opened() {
        for name in [LOCK, "settled"] {
            let dir = tempfile::tempdir().unwrap();
            pipe(&dir.path().join(name));
            let error = StateDir::open(dir.path()).unwrap_err();
            let why = std::error::Error::source(&error).unwrap().to_string();
            assert!(why.contains(name) && why.ends_with("is not a regular file"), "{why}");
        }
        let dir = tempfile::tempdir().unwrap();
        let state_dir = StateDir::open(dir.path()).unwrap();
        pipe(&dir.path().join("notes"));
        assert!(state_dir.kept("notes", 9).unwrap_err().to_string().contains("is not a regular file"));
        pipe(&dir.path().join("notes.new"));
        state_dir.keep("notes", b"x".to_vec()).unwrap();
        assert_eq!(state_dir.kept("notes", 9).unwrap().unwrap(), b"x");
    }

    fn pipe(path: &Path) {
        assert!(std::process::Command::new("mkfifo").arg(path).status().unwrap().success());
    }

    #[test]
    fn a_link_is_replaced_and_what_it_leads_to_is_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let other = dir.path().join("other");
        fs::write(&other, "not ours").unwrap();
        let path = dir.path().join("state");
        let state_dir = StateDir::open(&path).unwrap();
        for link in ["notes", "notes.new"] {
            symlink(&other, path.join(link)).unwrap();
        }
        assert!(state_dir.kept("notes", 9).is_err(), "a link is not followed");
        state_dir.keep("notes", b"ours".to_vec()).unwrap();
        assert_eq!(fs::read(path.join("notes")).unwrap(), b"ours");
        assert_eq!(fs::read(&other).unwrap(), b"not ours");
        assert!(fs::symlink_metadata(path.join("notes")).unwrap().is_file());
    }

    #[test]
    fn a_directory_that_does_not_answer_is_waited_for_once_and_used_again_when_it_does() {
        let dir = tempfile::tempdir().unwrap();
        let mut state_dir = StateDir::open(dir.path()).unwrap();
        let (answers, hangs) = mpsc::channel::<()>();
        let (begins, begun) = mpsc::channel::<()>();
        let hang = move || {
            begins.send(()).unwrap();
            hangs.recv().unwrap();
        };
        state_dir.jobs.send(Box::new(hang)).unwrap();
        begun.recv().unwrap();
        state_dir.patience = Duration::from_millis(50);
        for _ in 0..2 {
            let hung = state_dir.before_write().unwrap_err();
            assert_eq!(hung.kind(), io::ErrorKind::TimedOut);
            assert!(hung.to_string().contains("did not answer within"), "{hung}");
        }
        answers.send(()).unwrap();
        state_dir.patience = PATIENCE;
        state_dir.keep("notes", b"x".to_vec()).unwrap();
        state_dir.before_write().unwrap();
    }

    #[test]
    fn other_tasks_go_on_while_the_directory_is_waited_for() {
        let dir = tempfile::tempdir().unwrap();
        let state_dir = StateDir::open(dir.path()).unwrap();
        let (answers, hangs) = mpsc::channel::<()>();
        let (begins, begun) = tokio::sync::oneshot::channel::<()>();
        let hang = move |_: &Held| {
            begins.send(()).unwrap();
            hangs.recv().map_err(io::Error::other)
        };
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).build().unwrap();
        let waited = runtime.block_on(async {
            let waits = tokio::spawn(async move { state_dir.in_time(hang) });
            begun.await.unwrap();
            tokio::spawn(async {}).await.unwrap();
            answers.send(()).unwrap();
            waits.await.unwrap()
        });
        waited.expect("the answer came before the patience was over");
    }

    #[test]
    fn a_directory_that_cannot_be_made_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("file");
        fs::write(&file, "").unwrap();
        let error = StateDir::open(&file.join("state")).unwrap_err();
        assert!(matches!(error, StateDirError::Unwritable { .. }), "{error}");
    }
}
