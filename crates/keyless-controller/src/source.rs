//! The files of the desired state: read from a path as one consistent whole.
//!
//! A directory is read recursively. Links are followed, and what is reached twice is read once. Names that begin with a
//! dot are left out, so that the `..data` and `..2026_11_23` folders of Kubernetes mounts are only read through the
//! names that point into them. Watching is [`crate::watch`]'s business.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use keyless_arm::small_file::{self, Unfit};
use keyless_core::manifest::{MAX_FILE_BYTES, SourceFile};

/// How deep directories are followed: links may form trees that never end.
const MAX_DEPTH: usize = 32;

/// How many files are read at most.
const MAX_FILES: usize = 100_000;

/// How often a read is repeated until two in a row agree.
const TRIES: usize = 10;

/// One file of a revision, or why it could not be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Found {
    /// The path as it was reached.
    pub(crate) path: String,
    pub(crate) content: Content,
}

impl Found {
    /// How many bytes were read of it.
    pub(crate) fn length(&self) -> usize {
        match &self.content {
            Content::Bytes(bytes) => bytes.len(),
            Content::TooLarge(_) | Content::Unreadable(_) => 0,
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Content {
    Bytes(Vec<u8>),
    TooLarge(u64),
    Unreadable(String),
}

impl From<Found> for SourceFile {
    fn from(found: Found) -> Self {
        match found.content {
            Content::Bytes(bytes) => Self::new(found.path, bytes),
            Content::TooLarge(size) => Self::too_large(found.path, size),
            Content::Unreadable(why) => Self::unreadable(found.path, why),
        }
    }
}

/// Reads the file, or all YAML and JSON files of the directory, at `path`, in the order of their paths. What cannot be
/// read is among the answer, as a file that says why.
#[must_use]
pub fn read(path: &Path) -> Vec<SourceFile> {
    read_found(path).into_iter().map(SourceFile::from).collect()
}

/// Reads until two reads in a row, `apart` from each other, agree: a read in the midst of an edit or of a swap of
/// links would mix two revisions.
///
/// # Errors
/// The files kept changing; which, and what is waited for.
pub(crate) fn read_settled(path: &Path, apart: Duration) -> Result<Vec<Found>, String> {
    settled(|| read_found(path), || std::thread::sleep(apart)).map_err(|(before, after)| {
        let before = before.unwrap_or_default();
        let differs = |found: &&Found| !before.contains(found);
        let gone = |found: &&Found| !after.iter().any(|other| other.path == found.path);
        let changed = after.iter().find(differs).or_else(|| before.iter().find(gone));
        let name = changed.map_or_else(|| path.display().to_string(), |found| found.path.clone());
        format!("`{name}` keeps changing: two reads {apart:?} apart have to agree before the files count")
    })
}

/// The last two reads where no two agreed.
fn settled<T: PartialEq>(mut read: impl FnMut() -> T, mut pause: impl FnMut()) -> Result<T, (Option<T>, T)> {
    let (mut before, mut last) = (None, read());
    for _ in 0..TRIES {
        pause();
        let again = read();
        if again == last {
            return Ok(again);
        }
        before = Some(std::mem::replace(&mut last, again));
    }
    Err((before, last))
}

fn read_found(path: &Path) -> Vec<Found> {
    let mut walk = Walk::default();
    walk.root(path);
    walk.files.into_iter().map(|file| file.read()).collect()
}

/// Whether what is kept in the directory `kept` is read as desired state from `path`, by whichever links. Neither need be
/// there yet.
#[must_use]
pub fn reads_within(path: &Path, kept: &Path) -> bool {
    let (Some((root, to_come)), Some((there, missing))) = (existing(path), existing(kept)) else { return false };
    let mut walk = Walk::default();
    walk.root(path);
    let below = if to_come.is_empty() && walk.seen.contains(&there) {
        Some(missing.as_slice())
    } else {
        missing.strip_prefix(to_come.as_slice()).filter(|_| !to_come.is_empty() && root == there)
    };
    // What is kept there is JSON, so a document of another kind beside it stays what it is.
    let is_own = |file: &Entry| {
        fs::canonicalize(&file.path)
            .is_ok_and(|file| file.parent() == Some(&there) && file.extension() == Some("json".as_ref()))
    };
    below.is_some_and(|names| !names.iter().any(|name| name.as_encoded_bytes().starts_with(b".")))
        || (missing.is_empty() && walk.files.iter().any(is_own))
}

/// The part of a path that exists, without links, and the names of the rest.
fn existing(path: &Path) -> Option<(PathBuf, Vec<OsString>)> {
    let absolute = std::path::absolute(path).ok()?;
    absolute.ancestors().find_map(|part| {
        let there = fs::canonicalize(part).ok()?;
        let missing = absolute.strip_prefix(part).ok()?;
        Some((there, missing.iter().map(OsString::from).collect()))
    })
}

/// What a directory looks like without reading its files: a cheap way to notice that something changed.
pub(crate) fn fingerprint(path: &Path) -> Vec<(PathBuf, Option<Stamp>)> {
    let mut walk = Walk::default();
    walk.root(path);
    walk.files
        .into_iter()
        .map(|file| {
            let stamp = fs::metadata(&file.path).ok().map(|metadata| Stamp::of(&metadata));
            (file.path, stamp)
        })
        .collect()
}

/// What changes when a file's content does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Stamp {
    length: u64,
    modified: Option<std::time::SystemTime>,
    /// Device, inode and time of change: they tell an exchanged file with a forged time apart.
    identity: [i64; 4],
}

impl Stamp {
    fn of(metadata: &fs::Metadata) -> Self {
        #[cfg(unix)]
        let identity = {
            use std::os::unix::fs::MetadataExt;
            [metadata.dev().cast_signed(), metadata.ino().cast_signed(), metadata.ctime(), metadata.ctime_nsec()]
        };
        #[cfg(not(unix))]
        let identity = [0; 4];
        Self { length: metadata.len(), modified: metadata.modified().ok(), identity }
    }
}

#[derive(Default)]
struct Walk {
    files: Vec<Entry>,
    /// Where links have led already.
    seen: BTreeSet<PathBuf>,
}

struct Entry {
    path: PathBuf,
    failure: Option<String>,
}

impl Entry {
    fn read(self) -> Found {
        let content = match self.failure {
            Some(why) => Content::Unreadable(why),
            None => read_file(&self.path),
        };
        Found { path: self.path.display().to_string(), content }
    }
}

impl Walk {
    fn root(&mut self, path: &Path) {
        match fs::metadata(path) {
            Ok(metadata) if metadata.is_dir() => self.directory(path, 0),
            Ok(_) => self.files.push(Entry { path: path.to_owned(), failure: None }),
            Err(error) => self.failed(path, error),
        }
        self.files.sort_by(|a, b| a.path.cmp(&b.path));
    }

    fn failed(&mut self, path: &Path, why: impl ToString) {
        self.files.push(Entry { path: path.to_owned(), failure: Some(why.to_string()) });
    }

    fn directory(&mut self, path: &Path, depth: usize) {
        if depth > MAX_DEPTH {
            return self.failed(path, format!("directories are nested more than {MAX_DEPTH} deep"));
        }
        match fs::canonicalize(path) {
            Ok(place) if self.seen.contains(&place) => return,
            Ok(place) => {
                self.seen.insert(place);
            }
            Err(error) => return self.failed(path, error),
        }
        let mut names = match fs::read_dir(path).and_then(Iterator::collect::<io::Result<Vec<_>>>) {
            Ok(entries) => entries.into_iter().map(|entry| entry.file_name()).collect::<Vec<_>>(),
            Err(error) => return self.failed(path, error),
        };
        names.sort();
        for name in names {
            if name.as_encoded_bytes().starts_with(b".") {
                continue;
            }
            let entry = path.join(&name);
            match fs::metadata(&entry) {
                Ok(metadata) if metadata.is_dir() => self.directory(&entry, depth + 1),
                Ok(_) if is_manifest(&entry) => self.file(entry),
                Ok(_) => {}
                // A link that leads nowhere is only a fault where a document is expected.
                Err(error) if is_manifest(&entry) => self.failed(&entry, error),
                Err(_) => {}
            }
        }
    }

    fn file(&mut self, path: PathBuf) {
        match fs::canonicalize(&path) {
            Ok(place) if self.seen.contains(&place) => {}
            Ok(_) if self.files.len() >= MAX_FILES => {
                if self.files.len() == MAX_FILES {
                    self.failed(&path, format!("there are more than {MAX_FILES} files"));
                }
            }
            Ok(place) => {
                self.seen.insert(place);
                self.files.push(Entry { path, failure: None });
            }
            Err(error) => self.failed(&path, error),
        }
    }
}

fn is_manifest(path: &Path) -> bool {
    let extension = path.extension().and_then(|extension| extension.to_str()).unwrap_or_default();
    ["yaml", "yml", "json"].iter().any(|known| extension.eq_ignore_ascii_case(known))
}

fn read_file(path: &Path) -> Content {
    match small_file::read(path, MAX_FILE_BYTES) {
        Ok(bytes) => Content::Bytes(bytes),
        Err(Unfit::TooLarge { size, .. }) => Content::TooLarge(size),
        Err(Unfit::NotRegular) => Content::Unreadable("it is not a regular file".to_owned()),
        Err(Unfit::Read(error)) => Content::Unreadable(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paths(root: &Path) -> Vec<String> {
        let relative = |found: Found| found.path.replace(&root.display().to_string(), "").trim_matches('/').to_owned();
        read_found(root).into_iter().map(relative).collect()
    }

    #[test]
    fn a_directory_is_read_recursively_without_dotfiles_and_other_files() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir_all(dir.path().join("b/c")).unwrap();
        fs::create_dir_all(dir.path().join(".git")).unwrap();
        for name in ["z.yaml", "a.YML", "b/c/x.json", "README.md", ".hidden.yaml", ".git/config.yaml"] {
            fs::write(dir.path().join(name), "a: 1").unwrap();
        }
        assert_eq!(paths(dir.path()), ["a.YML", "b/c/x.json", "z.yaml"]);
    }

    #[cfg(unix)]
    #[test]
    fn a_kubernetes_mount_is_read_once_through_its_links() {
        use std::os::unix::fs::symlink;
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("..2026_11_23")).unwrap();
        fs::write(dir.path().join("..2026_11_23/fleet.yaml"), "a: 1").unwrap();
        symlink("..2026_11_23", dir.path().join("..data")).unwrap();
        symlink("..data/fleet.yaml", dir.path().join("fleet.yaml")).unwrap();
        symlink("fleet.yaml", dir.path().join("same.yaml")).unwrap();
        symlink(".", dir.path().join("loop")).unwrap();
        symlink("nowhere", dir.path().join("broken.txt")).unwrap();
        assert_eq!(paths(dir.path()), ["fleet.yaml"]);
        symlink("nowhere", dir.path().join("broken.yaml")).unwrap();
        assert_eq!(paths(dir.path()), ["broken.yaml", "fleet.yaml"]);
        let broken = read_found(dir.path()).remove(0);
        assert!(matches!(broken.content, Content::Unreadable(_)));
    }

    #[cfg(unix)]
    #[test]
    fn a_directory_that_is_read_as_desired_state_is_known_by_whichever_links() {
        use std::os::unix::fs::symlink;
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        fs::create_dir_all(at("desired/inside")).unwrap();
        fs::create_dir_all(at("desired/.hidden")).unwrap();
        fs::create_dir_all(at("state/desired")).unwrap();
        fs::create_dir(at("elsewhere")).unwrap();
        fs::write(at("state/notes.json"), "{}").unwrap();
        fs::write(at("state/fleet.yaml"), "a: 1").unwrap();
        symlink(at("desired"), at("link")).unwrap();
        symlink(at("elsewhere"), at("desired/far")).unwrap();
        for (desired, kept, within) in [
            ("desired", "state", false),
            ("desired", "desired", true),
            ("desired", "desired/", true),
            ("desired", "desired/inside", true),
            ("desired", "link/inside", true),
            ("link", "desired/inside", true),
            ("link", "desired/to/come", true),
            ("desired", "elsewhere", true),
            ("desired", "elsewhere/to/come", true),
            ("desired", "desired/.hidden", false),
            ("desired", "desired/.to-come/x", false),
            ("desired", "to/come", false),
            ("state/desired", "state", false),
            ("state/notes.json", "state", true),
            ("state/fleet.yaml", "state", false),
            ("absent", "state", false),
            ("absent", "absent", true),
            ("absent", "absent/state", true),
            ("absent", "absent/.state", false),
            ("absent", "other/state", false),
        ] {
            assert_eq!(reads_within(&at(desired), &at(kept)), within, "{desired} {kept}");
        }
    }

    #[test]
    fn a_torn_read_is_repeated_until_two_agree() {
        let mut reads = ["old", "old and new", "new", "new"].into_iter();
        assert_eq!(settled(|| reads.next().unwrap(), || ()).unwrap(), "new");
        let mut count = 0;
        let ever_new = || {
            count += 1;
            count
        };
        assert_eq!(settled(ever_new, || ()), Err((Some(10), 11)));
    }

    #[test]
    fn what_cannot_be_read_is_said_rather_than_left_out() {
        let dir = tempfile::tempdir().unwrap();
        let missing = read_found(&dir.path().join("missing"));
        assert!(matches!(missing.as_slice(), [Found { content: Content::Unreadable(_), .. }]));
        let huge = dir.path().join("huge.yaml");
        fs::File::create(&huge).unwrap().set_len(100 * 1024 * 1024).unwrap();
        let found = read_found(dir.path());
        assert!(matches!(found.as_slice(), [Found { content: Content::TooLarge(104_857_600), .. }]));
    }
}
