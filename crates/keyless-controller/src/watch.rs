//! Follows the files of the desired state: puts good revisions in force as a whole, and keeps the last good one.
//!
//! Polling is the truth; notifications only make it look sooner, for they are lost on links and network mounts. A bad
//! revision leaves the one in force untouched. The last good files are kept in the state directory, so that a start
//! with bad files goes on with those; without them nothing is in force, and so nothing is written.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use keyless_arm::small_file::Unfit;
use keyless_core::desired::Desired;
use keyless_core::manifest::{self, Accepted, Rejected, SourceFile};
use notify::{RecursiveMode, Watcher as _};
use serde::{Deserialize, Serialize};
use tokio::sync::{Notify, oneshot, watch};
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;

use crate::daemon::Feed;
use crate::event::{Event, Level, Name, Sink};
use crate::mark::StateDir;
use crate::source::{self, Content, Found, Stamp};
use crate::status::Status;

/// How far apart the two reads are that must agree.
const APART: Duration = Duration::from_millis(50);

/// How long files may keep changing, or their mount may keep silent, before that is told.
const SETTLE_WITHIN: Duration = Duration::from_secs(5);

/// How long the first look is waited for: a little longer than it takes to tell that it does not end.
const FIRST_LOOK: Duration = Duration::from_secs(8);

/// The file in the state directory that holds the last good files.
const SAVED: &str = "desired.last-good.json";

/// The longest saved revision that is read, in bytes.
const MOST_SAVED: usize = 1 << 29;

/// How often files are read after a change was noticed: a second change within the grain of file times would not show.
const LOOKS_AFTER_CHANGE: u8 = 2;

/// Why files without a `Fleet` document are refused after files with one.
const FLEET_GONE: &str = "the `Fleet` document is gone, and with it an emergency stop, the owner of grants and all limits that it \
    may hold; put it back, or write one that says what is to be in force";

/// What is told of files without a `Fleet` document.
const WITHOUT_FLEET: &str = "there is no `Fleet` document, so nothing is paused or bound to windows, and grants are marked as made \
    by `keyless`";

/// Where the files are and how they are followed.
#[derive(Debug, Clone)]
pub struct Watch {
    /// A file, or a directory that is read recursively.
    pub path: PathBuf,
    /// How often it is looked at. 1 s is a good value: 5,000 files cost about 16 ms.
    pub poll: Duration,
    /// How long changed files must stand before they count.
    pub quiet: Quiet,
    /// Where the last good revision is kept, if anywhere.
    pub state_dir: Option<StateDir>,
    /// After how long an unchanged rejection is told again.
    pub reminder: Duration,
}

/// How long changed files must stand as they are before they count: what is being written in place looks whole in between.
/// The defaults are design decisions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quiet {
    /// Any change. Default 1 s.
    pub change: Duration,
    /// Files that may be half of what is being written, for they lack something of those in force or have something new, or
    /// one of them is gone, empty or much shorter. Half of a file asks for something else than the whole: access that nobody is
    /// to lose may be missing, and a hold as well. Default 10 s.
    pub half: Duration,
}

impl Default for Quiet {
    fn default() -> Self {
        Self { change: Duration::from_secs(1), half: Duration::from_secs(10) }
    }
}

/// The saved form of the last good files.
#[derive(Serialize, Deserialize)]
struct Saved {
    files: Vec<SavedFile>,
}

#[derive(Serialize, Deserialize)]
struct SavedFile {
    path: String,
    text: String,
}

impl Watch {
    /// Looks once, then follows the files until `cancel`. When this returns, the first look has been taken: the feed
    /// holds the revision in force, if there is one. A look that does not end is told and not waited for, nor is any
    /// after `cancel`.
    pub async fn start(self, sink: Arc<dyn Sink>, status: Arc<Status>, cancel: CancellationToken) -> Feed {
        let (sender, feed) = watch::channel(None);
        let wake = Arc::new(Notify::new());
        let (path, woken) = (self.path.clone(), Arc::clone(&wake));
        // Whatever touches the path may hang. What comes of it lives as long as the handle.
        let watching = tokio::task::spawn_blocking(move || notifier(&path, &woken));
        let mut follower = Follower::new(self, sender, sink, status);
        let cancelled = cancel.clone();
        let (looked, first) = oneshot::channel();
        tokio::spawn(async move {
            // Dropped with the task.
            let _watching = watching;
            tokio::select! {
                biased;
                () = cancel.cancelled() => return,
                () = follower.look() => {}
            }
            // Nobody waits any more if it took too long.
            let _ = looked.send(());
            loop {
                tokio::select! {
                    biased;
                    () = cancel.cancelled() => return,
                    () = wake.notified() => follower.looks = LOOKS_AFTER_CHANGE,
                    () = tokio::time::sleep(follower.pause()) => {}
                }
                tokio::select! {
                    biased;
                    () = cancel.cancelled() => return,
                    () = follower.look() => {}
                }
            }
        });
        tokio::select! {
            () = cancelled.cancelled() => {}
            _ = timeout(FIRST_LOOK, first) => {}
        }
        feed
    }
}

/// A watcher that wakes the poll; without one the poll alone has to do.
fn notifier(path: &Path, wake: &Arc<Notify>) -> Option<notify::RecommendedWatcher> {
    let wake = Arc::clone(wake);
    let handler = move |event: notify::Result<notify::Event>| {
        // Opening a file to read it is an event too, and must not lead to the next read.
        if event.map_or(true, |event| !event.kind.is_access()) {
            wake.notify_one();
        }
    };
    let watched = notify::recommended_watcher(handler).and_then(|mut watcher| {
        // The parent of a file: a rename over the file ends a watch of the file itself.
        let place = if path.is_dir() { path } else { path.parent().unwrap_or(path) };
        let place = if place.as_os_str().is_empty() { Path::new(".") } else { place };
        let mode = if path.is_dir() { RecursiveMode::Recursive } else { RecursiveMode::NonRecursive };
        watcher.watch(place, mode).map(|()| watcher)
    });
    match watched {
        Ok(watcher) => Some(watcher),
        Err(error) => {
            tracing::debug!(error = %error, "no notifications for the desired state, polling only");
            None
        }
    }
}

struct Follower {
    watch: Arc<Watch>,
    sender: watch::Sender<Option<Arc<Desired>>>,
    sink: Arc<dyn Sink>,
    status: Arc<Status>,
    /// The files of the last look.
    last: Option<Vec<Found>>,
    /// Changed files that have not stood long enough.
    pending: Option<Standing>,
    /// The files in force; at a start, those that were kept.
    before: Option<Before>,
    stamps: Vec<(PathBuf, Option<Stamp>)>,
    /// How often the files are still read although nothing shows.
    looks: u8,
    /// The last rejection, and when it was told.
    told: Option<(Vec<String>, Instant)>,
    /// Since when there is no telling what the files say, and whether that was told.
    unsettled: Option<(Instant, bool)>,
    /// The last good files, while they could not be kept.
    unsaved: Option<Vec<u8>>,
    /// Whether what was kept may yet come to be readable.
    unrestored: bool,
    /// What the state directory did not do, as it was last told.
    trouble: Option<String>,
}

/// Changed files that stand.
struct Standing {
    files: Vec<Found>,
    /// When they were seen last.
    seen: Instant,
    /// For how long they are known to have stood.
    stood: Duration,
    /// For how long they have to.
    long: Duration,
}

/// What lies between two looks counts as no more than this: files that nobody looked at did not stand.
const BETWEEN_LOOKS: Duration = Duration::from_secs(2);

/// Files that were in force.
enum Before {
    Known {
        desired: Arc<Desired>,
        /// In bytes.
        lengths: BTreeMap<String, usize>,
    },
    /// Nobody can tell any more what they asked for.
    Unknown,
}

enum Look {
    /// Nothing to read.
    Same,
    /// These are the files, or they kept changing.
    Read(Result<Vec<Found>, String>, Vec<(PathBuf, Option<Stamp>)>),
}

impl Follower {
    fn new(
        watch: Watch,
        sender: watch::Sender<Option<Arc<Desired>>>,
        sink: Arc<dyn Sink>,
        status: Arc<Status>,
    ) -> Self {
        Self {
            watch: Arc::new(watch),
            sender,
            sink,
            status,
            last: None,
            pending: None,
            before: None,
            stamps: Vec::new(),
            looks: LOOKS_AFTER_CHANGE,
            told: None,
            unsettled: None,
            unsaved: None,
            unrestored: false,
            trouble: None,
        }
    }

    async fn look(&mut self) {
        // What a hang told is only taken back by reading.
        let eager = self.looks > 0 || self.last.is_none() || self.pending.is_some();
        let (watch, before) = (Arc::clone(&self.watch), self.stamps.clone());
        let begun = Instant::now();
        let mut look = tokio::task::spawn_blocking(move || {
            let stamps = source::fingerprint(&watch.path);
            if stamps == before && !eager {
                return Look::Same;
            }
            Look::Read(source::read_settled(&watch.path, APART), stamps)
        });
        let looked = loop {
            match timeout(SETTLE_WITHIN, &mut look).await {
                Ok(looked) => break looked,
                Err(_) => {
                    let path = self.watch.path.display();
                    let why = format!(
                        "`{path}` could not be read within {SETTLE_WITHIN:?}: its disk or mount does not answer"
                    );
                    self.wait_for(begun, why);
                }
            }
        };
        match looked {
            Ok(Look::Same) => self.remind(),
            Ok(Look::Read(files, stamps)) => {
                self.looks = if stamps == self.stamps { self.looks.saturating_sub(1) } else { LOOKS_AFTER_CHANGE };
                self.stamps = stamps;
                match files {
                    Ok(files) if self.last.as_ref() == Some(&files) => {
                        (self.unsettled, self.pending) = (None, None);
                        self.remind();
                    }
                    Ok(files) => self.stand(files, begun),
                    Err(why) => self.keep_changing(begun, why),
                }
            }
            Err(error) => tracing::warn!(error = %error, "the desired state could not be read"),
        }
        self.save();
    }

    /// Takes it that files changed while they were read, so that none of them stood.
    fn keep_changing(&mut self, begun: Instant, why: String) {
        tracing::debug!(why, "the desired state is read again");
        self.pending = None;
        self.looks = LOOKS_AFTER_CHANGE;
        self.wait_for(begun, why);
    }

    /// Judges files that have stood for long enough.
    fn stand(&mut self, files: Vec<Found>, begun: Instant) {
        // By now, and not when the look began: it may have been held up.
        let now = Instant::now();
        match &mut self.pending {
            Some(Standing { files: known, seen, stood, long }) if *known == files => {
                *stood += (now - *seen).min(self.watch.poll.saturating_mul(2).max(BETWEEN_LOOKS));
                *seen = now;
                if *stood >= *long {
                    self.pending = None;
                    self.judge(files);
                }
                return;
            }
            None if self.sender.borrow().is_none() && self.before.is_none() => {
                let sources: Vec<SourceFile> = files.iter().cloned().map(SourceFile::from).collect();
                self.before = self.kept_before(&sources);
                // Files that a process begins with count at once, for its first write waits; those of later do not.
                if self.before.is_none() && self.last.is_none() && self.unsettled.is_none() {
                    return self.judge(files);
                }
            }
            _ => {}
        }
        let changing = self.pending.as_ref().map(|Standing { files: known, .. }| {
            let other = files.iter().find(|file| !known.contains(file));
            other.map_or_else(|| self.watch.path.display().to_string(), |file| file.path.clone())
        });
        let Quiet { change, half } = self.watch.quiet;
        let long = if self.may_be_half(&files) {
            tracing::info!(stand = ?half, "the desired files may be half of what is being written; they count once they have stood");
            half
        } else {
            change
        };
        if long.is_zero() && self.last.is_none() && changing.is_none() {
            return self.judge(files);
        }
        self.pending = Some(Standing { files, seen: now, stood: Duration::ZERO, long });
        if let Some(path) = changing {
            self.wait_for(begun, format!("`{path}` keeps changing"));
        }
    }

    /// Whether files look like half of those in force, or one of them is gone or has lost more than a tenth; or may, for
    /// nothing is in force, or nobody knows what was. Then files with problems wait for nothing: they are refused, half or whole.
    fn may_be_half(&self, files: &[Found]) -> bool {
        let sources: Vec<SourceFile> = files.iter().cloned().map(SourceFile::from).collect();
        let loaded = manifest::load(&self.watch.path.display().to_string(), &sources);
        let Some(Before::Known { desired, lengths }) = &self.before else { return loaded.is_ok() };
        let now: BTreeMap<&str, usize> = files.iter().map(|found| (found.path.as_str(), found.length())).collect();
        let shorter = lengths.iter().any(|(path, length)| {
            let now = now.get(path.as_str()).copied().unwrap_or_default();
            now.saturating_mul(10) < length.saturating_mul(9)
        });
        shorter || loaded.is_ok_and(|accepted| accepted.desired.may_be_half(desired))
    }

    /// Until the next look: changed files are looked at again as soon as they may count.
    fn pause(&self) -> Duration {
        let left = self.pending.as_ref().map(|Standing { seen, stood, long, .. }| {
            long.saturating_sub(*stood).saturating_sub(seen.elapsed()) //
        });
        left.map_or(self.watch.poll, |left| left.min(self.watch.poll))
    }

    /// Takes it that there is no telling what the files say, for `why`, at least since `begun`: after a while as a rejection.
    fn wait_for(&mut self, begun: Instant, why: String) {
        let (since, told) = self.unsettled.unwrap_or((begun, false));
        let tell = !told && since.elapsed() >= SETTLE_WITHIN;
        self.unsettled = Some((since, told || tell));
        if tell {
            // Whatever they come to say is judged anew, and told.
            self.last = None;
            self.refuse(vec![why]);
        } else {
            self.remind();
        }
    }

    fn judge(&mut self, files: Vec<Found>) {
        self.unsettled = None;
        let sources: Vec<SourceFile> = files.iter().cloned().map(SourceFile::from).collect();
        self.last = Some(files.clone());
        match manifest::load(&self.watch.path.display().to_string(), &sources) {
            Ok(Accepted { desired, .. }) if self.lacks_the_fleet(&desired) => self.refuse(vec![FLEET_GONE.to_owned()]),
            Ok(Accepted { desired, warnings }) => {
                let known = self.sender.borrow().as_ref().map(|desired| desired.revision.clone());
                let recovered = self.told.take().is_some();
                if recovered || known.as_ref() != Some(&desired.revision) {
                    self.accept(desired, &warnings, None);
                }
                self.status.update(|status| status.rejected.clear());
                let lengths = files.iter().map(|found| (found.path.clone(), found.length())).collect();
                self.before = self.sender.borrow().clone().map(|desired| Before::Known { desired, lengths });
                match saved(files) {
                    Ok(files) => self.unsaved = Some(files),
                    Err(error) => self.complain("the last good revision could not be kept", error),
                }
            }
            Err(Rejected { problems, warnings: _ }) => {
                let problems: Vec<String> = problems.iter().map(ToString::to_string).collect();
                self.refuse(problems);
            }
        }
    }

    /// Whether the document that holds the emergency stop, the owner of grants and all limits was there, and is not.
    fn lacks_the_fleet(&self, desired: &Desired) -> bool {
        let had = |before: &Before| matches!(before, Before::Known { desired, .. } if desired.fleet.is_declared);
        !desired.fleet.is_declared && self.before.as_ref().is_some_and(had)
    }

    /// Goes on with the last good revision, and tells why.
    fn refuse(&mut self, problems: Vec<String>) {
        self.unrestored = true;
        self.restore();
        self.status.update(|status| status.rejected.clone_from(&problems));
        self.reject(problems, false);
    }

    fn accept(&self, desired: Desired, warnings: &[manifest::Problem], why: Option<&str>) {
        let without = (!desired.fleet.is_declared).then(|| WITHOUT_FLEET.to_owned());
        let problems: Vec<String> = warnings.iter().map(ToString::to_string).chain(without).collect();
        let level = if problems.is_empty() { Level::Info } else { Level::Warn };
        self.sink.emit(&Event {
            revision: Some(desired.revision.to_string()),
            problems,
            why: why.map(str::to_owned),
            ..Event::new(Name::ConfigAccepted, level)
        });
        self.sender.send_if_modified(|in_force| {
            let changed = in_force.as_ref().is_none_or(|known| known.revision != desired.revision);
            if changed {
                *in_force = Some(Arc::new(desired));
            }
            changed
        });
    }

    fn reject(&mut self, problems: Vec<String>, reminder: bool) {
        let in_force = self.sender.borrow().as_ref().map(|desired| desired.revision.to_string());
        let lift = match in_force {
            Some(_) => "files without these problems; until then the revision named here stays in force",
            None => "files without these problems; until then nothing is in force and nothing is written",
        };
        self.sink.emit(&Event {
            revision: in_force,
            reminder,
            problems: problems.clone(),
            lift: Some(lift.to_owned()),
            ..Event::new(Name::ConfigRejected, Level::Error)
        });
        self.told = Some((problems, Instant::now()));
    }

    fn remind(&mut self) {
        let restored = self.told.is_some() && self.restore();
        if let Some((problems, at)) = &self.told
            && (restored || at.elapsed() >= self.watch.reminder)
        {
            self.reject(problems.clone(), !restored);
        }
    }

    /// Keeps the last good files for a start with bad ones. Failing costs only that, and is tried again.
    fn save(&mut self) {
        let (Some(state_dir), Some(files)) = (&self.watch.state_dir, &self.unsaved) else { return };
        match state_dir.keep(SAVED, files.clone()) {
            Ok(()) => (self.unsaved, self.trouble) = (None, None),
            Err(error) => self.complain("the last good revision could not be kept", error),
        }
    }

    /// What was kept of the last good files; with the reason why it cannot be told, whether it may be another time.
    fn kept(&self) -> Result<Option<Vec<SavedFile>>, (String, bool)> {
        let Some(state_dir) = &self.watch.state_dir else { return Ok(None) };
        let bytes = match state_dir.kept(SAVED, MOST_SAVED) {
            Ok(Some(bytes)) => bytes,
            Ok(None) => return Ok(None),
            Err(why) => return Err((format!("`{SAVED}` {why}"), matches!(why, Unfit::Read(_)))),
        };
        match serde_json::from_slice::<Saved>(&bytes) {
            Ok(Saved { files }) => Ok(Some(files)),
            Err(error) => Err((format!("`{SAVED}`: {error}"), false)),
        }
    }

    /// What was in force before this start, to hold the files against; nothing where these are just what they were, or no
    /// revision at all, which has rules of its own.
    fn kept_before(&mut self, now: &[SourceFile]) -> Option<Before> {
        let path = self.watch.path.display().to_string();
        let now = manifest::load(&path, now).ok()?.desired;
        let settled = self.watch.state_dir.as_ref().is_some_and(|state_dir| state_dir.mark().is_set());
        let kept = match self.kept() {
            // Without the mark the first write waits for longer than files have to stand.
            Ok(None) if !settled => return None,
            Ok(None) => Err(format!("`{SAVED}` is gone")),
            Ok(Some(files)) => {
                let lengths = lengths_of(&files);
                let loaded = manifest::load(&path, &sources(files));
                loaded.map(|accepted| (accepted.desired, lengths)).map_err(|rejected| format!("`{SAVED}`: {rejected}"))
            }
            Err((why, _)) => Err(why),
        };
        match kept {
            Ok((desired, _)) if desired.revision == now.revision => None,
            Ok((desired, lengths)) => Some(Before::Known { desired: Arc::new(desired), lengths }),
            Err(why) => {
                self.complain("what was in force before this start is not known", why);
                Some(Before::Unknown)
            }
        }
    }

    /// Puts in force what was kept, if nothing is. Says whether it did.
    fn restore(&mut self) -> bool {
        if !self.unrestored || self.sender.borrow().is_some() {
            return false;
        }
        let kept = self.kept();
        self.unrestored = matches!(kept, Err((_, true)));
        let files = match kept {
            Ok(Some(files)) => files,
            Ok(None) => return false,
            Err((why, _)) => {
                self.complain("the last good revision could not be read", why);
                return false;
            }
        };
        let lengths = lengths_of(&files);
        match manifest::load(&self.watch.path.display().to_string(), &sources(files)) {
            Ok(Accepted { desired, warnings }) => {
                self.trouble = None;
                self.accept(desired, &warnings, Some("the last good revision, because the files are rejected"));
                self.before = self.sender.borrow().clone().map(|desired| Before::Known { desired, lengths });
                true
            }
            Err(rejected) => {
                self.complain("the last good revision is no longer one", rejected);
                false
            }
        }
    }

    /// Tells the same trouble once, however often it is tried again.
    fn complain(&mut self, what: &str, why: impl Display) {
        let error = why.to_string();
        if self.trouble.as_ref() != Some(&error) {
            tracing::warn!(error, "{what}");
            self.trouble = Some(error);
        }
    }
}

fn lengths_of(kept: &[SavedFile]) -> BTreeMap<String, usize> {
    kept.iter().map(|SavedFile { path, text }| (path.clone(), text.len())).collect()
}

fn sources(kept: Vec<SavedFile>) -> Vec<SourceFile> {
    kept.into_iter().map(|SavedFile { path, text }| SourceFile::new(path, text)).collect()
}

/// What is kept of the files.
fn saved(files: Vec<Found>) -> std::io::Result<Vec<u8>> {
    let text = |bytes| String::from_utf8(bytes).map_err(std::io::Error::other);
    let files = files
        .into_iter()
        .filter_map(|Found { path, content }| match content {
            Content::Bytes(bytes) => Some(text(bytes).map(|text| SavedFile { path, text })),
            Content::TooLarge(_) | Content::Unreadable(_) => None,
        })
        .collect::<std::io::Result<Vec<_>>>()?;
    Ok(serde_json::to_vec(&Saved { files })?)
}

#[cfg(test)]
mod tests;
