//! `stateDir`: the lock that keeps a second writer away, and the mark that says no write of the last process can
//! still land.
//!
//! Expected flow: [`StateDir::open`] takes the lock for the life of the value; [`Mark::is_set`] at start decides about
//! the boot wait; [`Mark::take_away`] is durable before the first write leaves; [`Mark::set`] is called once, at a clean
//! end, and only if every write of the process is settled. A crash leaves the mark off, which costs waiting, never safety.

use std::fs::{self, DirBuilder, File, OpenOptions, Permissions, TryLockError};
use std::io::{self, Read as _, Write};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

/// The file whose lock keeps a second writer away.
const LOCK: &str = "keyless.lock";

/// Who works for whom, in which groups and under which login, is in the files: no other user of the machine reads them.
const OWN_DIR: u32 = 0o700;
const OWN_FILE: u32 = 0o600;

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

/// A state directory that this process holds alone.
#[derive(Debug)]
pub struct StateDir {
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
        let lock =
            OpenOptions::new().create(true).truncate(false).write(true).open(path.join(LOCK)).map_err(unwritable)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(StateDirError::InUse { path: path.to_owned() }),
            Err(TryLockError::Error(source)) => return Err(unwritable(source)),
        }
        // Before the first write, rather than at the end, when nothing can be done about it any more.
        write_durably(&path.join("probe"), b"").map_err(unwritable)?;
        remove_durably(&path.join("probe")).map_err(unwritable)?;
        let mark = Mark::find(path.join("settled")).map_err(unwritable)?;
        Ok(Self { path: path.to_owned(), mark, lock })
    }

    /// The directory.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The settled mark in it.
    #[must_use]
    pub fn mark(&self) -> &Mark {
        &self.mark
    }

    /// Makes sure that this process alone may write, and that a crash from here on is told by the absence of the mark.
    ///
    /// # Errors
    /// What the system said, or that the directory was replaced: another process may hold the lock in the new one.
    /// Nothing may be written then.
    pub fn before_write(&self) -> io::Result<()> {
        self.check_lock()?;
        self.mark.take_away()
    }

    /// Sets the mark: every write of this process is settled.
    ///
    /// # Errors
    /// What the system said, or that the directory was replaced: the mark would speak for another process.
    pub fn settle(&self) -> io::Result<()> {
        self.check_lock()?;
        self.mark.set()
    }

    /// Replaces a file in the directory as a whole.
    ///
    /// # Errors
    /// What the system said, or that the directory was replaced: the file would be another process's.
    pub(crate) fn keep(&self, name: &str, content: &[u8]) -> io::Result<()> {
        self.check_lock()?;
        write_durably(&self.path.join(name), content)
    }

    /// Removes a file of the directory; it stays away over a crash of the machine.
    ///
    /// # Errors
    /// What the system said, or that the directory was replaced: the file would be another process's.
    pub(crate) fn forget(&self, name: &str) -> io::Result<()> {
        self.check_lock()?;
        remove_durably(&self.path.join(name))
    }

    /// A file of the directory, up to one byte more than `most`; `None` if it is not there.
    ///
    /// # Errors
    /// What the system said.
    pub(crate) fn kept(&self, name: &str, most: usize) -> io::Result<Option<Vec<u8>>> {
        let file = match File::open(self.path.join(name)) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let mut content = Vec::new();
        let most = u64::try_from(most).unwrap_or(u64::MAX).saturating_add(1);
        file.take(most).read_to_end(&mut content)?;
        Ok(Some(content))
    }

    fn check_lock(&self) -> io::Result<()> {
        let held = self.lock.metadata()?;
        match fs::metadata(self.path.join(LOCK)) {
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
        let set = path.try_exists()?;
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

/// Replaces a file as a whole, so that a crash leaves either the old content or the new. Its owner alone may read it.
pub(crate) fn write_durably(path: &Path, content: &[u8]) -> io::Result<()> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".new");
    let fresh = path.with_file_name(name);
    let mut file = OpenOptions::new().create(true).truncate(true).write(true).mode(OWN_FILE).open(&fresh)?;
    // One that a crash left may have another mode.
    file.set_permissions(Permissions::from_mode(OWN_FILE))?;
    file.write_all(content)?;
    file.sync_all()?;
    fs::rename(&fresh, path)?;
    sync_parent(path)
}

fn remove_durably(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    sync_parent(path)
}

fn sync_parent(path: &Path) -> io::Result<()> {
    match path.parent() {
        Some(parent) => File::open(parent)?.sync_all(),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mark_outlives_the_process_and_is_taken_away_once() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("state");
        let first = StateDir::open(&path).unwrap();
        assert!(!first.mark().is_set(), "a fresh directory says nothing of an earlier process");
        first.mark().set().unwrap();
        drop(first);
        let second = StateDir::open(&path).unwrap();
        assert!(second.mark().is_set());
        second.mark().take_away().unwrap();
        second.mark().take_away().unwrap();
        assert!(!second.mark().is_set());
        drop(second);
        assert!(!StateDir::open(&path).unwrap().mark().is_set());
    }

    #[test]
    fn no_other_user_reads_what_is_kept() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("made").join("state");
        let state_dir = StateDir::open(&path).unwrap();
        fs::write(path.join("names.new"), "left by a crash").unwrap();
        fs::set_permissions(path.join("names.new"), Permissions::from_mode(0o644)).unwrap();
        state_dir.keep("names", b"dana@example.com").unwrap();
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
        assert!(StateDir::open(dir.path()).is_ok());
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
