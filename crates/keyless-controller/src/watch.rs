//! Follows the files of the desired state: puts good revisions in force as a whole, and keeps the last good one.
//!
//! Polling is the truth; notifications only make it look sooner, for they are lost on links and network mounts. A bad
//! revision leaves the one in force untouched. The last good files are kept in the state directory, so that a start
//! with bad files goes on with those; without them nothing is in force, and so nothing is written.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use keyless_core::desired::Desired;
use keyless_core::manifest::{self, Accepted, Rejected, SourceFile};
use notify::{RecursiveMode, Watcher as _};
use serde::{Deserialize, Serialize};
use tokio::sync::{Notify, oneshot, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;

use crate::daemon::Feed;
use crate::event::{Event, Level, Name, Sink};
use crate::mark::{self, read_own, write_durably};
use crate::source::{self, Content, Found, Stamp};
use crate::status::Status;

/// How far apart the two reads are that must agree.
const APART: Duration = Duration::from_millis(50);

/// How long files may keep changing, or their mount may keep silent, before that is told.
const SETTLE_WITHIN: Duration = Duration::from_secs(5);

/// How long the first look is waited for: a little longer than it takes to tell that it does not end.
const FIRST_LOOK: Duration = Duration::from_secs(8);

/// The longest saved revision that is read, in bytes.
const MOST_SAVED: u64 = 1 << 29;

/// How often files are read after a change was noticed: a second change within the grain of file times would not show.
const LOOKS_AFTER_CHANGE: u8 = 2;

/// Where the files are and how they are followed.
#[derive(Debug, Clone)]
pub struct Watch {
    /// A file, or a directory that is read recursively.
    pub path: PathBuf,
    /// How often it is looked at. 1 s is a good value: 5,000 files cost about 16 ms.
    pub poll: Duration,
    /// Where the last good revision is kept, if anywhere.
    pub state_dir: Option<PathBuf>,
    /// After how long an unchanged rejection is told again.
    pub reminder: Duration,
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
    /// holds the revision in force, if there is one. A look that does not end is told and not waited for.
    pub async fn start(self, sink: Arc<dyn Sink>, status: Arc<Status>, cancel: CancellationToken) -> Feed {
        let (sender, feed) = watch::channel(None);
        let wake = Arc::new(Notify::new());
        let watcher = notifier(&self.path, &wake);
        let mut follower = Follower {
            watch: Arc::new(self),
            sender,
            sink,
            status,
            last: None,
            stamps: Vec::new(),
            looks: LOOKS_AFTER_CHANGE,
            told: None,
            unsettled: None,
        };
        let (looked, first) = oneshot::channel();
        tokio::spawn(async move {
            // Dropped with the task.
            let _watcher = watcher;
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
                    () = tokio::time::sleep(follower.watch.poll) => {}
                }
                tokio::select! {
                    biased;
                    () = cancel.cancelled() => return,
                    () = follower.look() => {}
                }
            }
        });
        // Also over when the follower is stopped.
        let _ = timeout(FIRST_LOOK, first).await;
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
    stamps: Vec<(PathBuf, Option<Stamp>)>,
    /// How often the files are still read although nothing shows.
    looks: u8,
    /// The last rejection, and when it was told.
    told: Option<(Vec<String>, Instant)>,
    /// Since when there is no telling what the files say, and whether that was told.
    unsettled: Option<(Instant, bool)>,
}

enum Look {
    /// Nothing to read.
    Same,
    /// These are the files, or they kept changing.
    Read(Result<Vec<Found>, String>, Vec<(PathBuf, Option<Stamp>)>),
}

impl Follower {
    async fn look(&mut self) {
        let (watch, before, eager) = (Arc::clone(&self.watch), self.stamps.clone(), self.looks > 0);
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
                    self.wait_for(begun, why).await;
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
                        self.unsettled = None;
                        self.remind();
                    }
                    Ok(files) => self.judge(files).await,
                    Err(why) => {
                        tracing::debug!(why, "the desired state is read again");
                        self.looks = LOOKS_AFTER_CHANGE;
                        self.wait_for(begun, why).await;
                    }
                }
            }
            Err(error) => tracing::warn!(error = %error, "the desired state could not be read"),
        }
    }

    /// Takes it that there is no telling what the files say, for `why`, at least since `begun`: after a while as a rejection.
    async fn wait_for(&mut self, begun: Instant, why: String) {
        let (since, told) = self.unsettled.unwrap_or((begun, false));
        let tell = !told && since.elapsed() >= SETTLE_WITHIN;
        self.unsettled = Some((since, told || tell));
        if tell {
            // Whatever they come to say is judged anew, and told.
            self.last = None;
            self.refuse(vec![why]).await;
        } else {
            self.remind();
        }
    }

    async fn judge(&mut self, files: Vec<Found>) {
        self.unsettled = None;
        let sources: Vec<SourceFile> = files.iter().cloned().map(SourceFile::from).collect();
        self.last = Some(files.clone());
        match manifest::load(&self.watch.path.display().to_string(), &sources) {
            Ok(Accepted { desired, warnings }) => {
                let known = self.sender.borrow().as_ref().map(|desired| desired.revision.clone());
                let recovered = self.told.take().is_some();
                if recovered || known.as_ref() != Some(&desired.revision) {
                    self.accept(desired, &warnings, None);
                }
                self.status.update(|status| status.rejected.clear());
                self.save(files).await;
            }
            Err(Rejected { problems, warnings: _ }) => {
                let problems: Vec<String> = problems.iter().map(ToString::to_string).collect();
                self.refuse(problems).await;
            }
        }
    }

    /// Goes on with the last good revision, and tells why.
    async fn refuse(&mut self, problems: Vec<String>) {
        if self.sender.borrow().is_none() {
            self.restore().await;
        }
        self.status.update(|status| status.rejected.clone_from(&problems));
        self.reject(problems, false);
    }

    fn accept(&self, desired: Desired, warnings: &[manifest::Problem], why: Option<&str>) {
        self.sink.emit(&Event {
            revision: Some(desired.revision.to_string()),
            problems: warnings.iter().map(ToString::to_string).collect(),
            why: why.map(str::to_owned),
            ..Event::new(Name::ConfigAccepted, if warnings.is_empty() { Level::Info } else { Level::Warn })
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
        if let Some((problems, at)) = &self.told
            && at.elapsed() >= self.watch.reminder
        {
            self.reject(problems.clone(), true);
        }
    }

    /// Keeps the files for a start with bad ones. Failing costs only that.
    async fn save(&self, files: Vec<Found>) {
        let Some(path) = self.saved_at() else { return };
        let saved = tokio::task::spawn_blocking(move || {
            let text = |bytes| String::from_utf8(bytes).map_err(std::io::Error::other);
            let files = files
                .into_iter()
                .filter_map(|Found { path, content }| match content {
                    Content::Bytes(bytes) => Some(text(bytes).map(|text| SavedFile { path, text })),
                    Content::TooLarge(_) | Content::Unreadable(_) => None,
                })
                .collect::<std::io::Result<Vec<_>>>()?;
            write_durably(&path, &serde_json::to_vec(&Saved { files })?)
        });
        if let Err(error) = in_time(saved).await {
            tracing::warn!(error, "the last good revision could not be kept");
        }
    }

    async fn restore(&self) {
        let Some(path) = self.saved_at() else { return };
        let read = tokio::task::spawn_blocking(move || match read_own(&path, MOST_SAVED) {
            Ok(Some(bytes)) => serde_json::from_slice(&bytes).map(Some).map_err(|error| error.to_string()),
            Ok(None) => Ok(None),
            Err(why) => Err(format!("`{}` {why}", path.display())),
        });
        let saved: Saved = match in_time(read).await {
            Ok(Some(saved)) => saved,
            Ok(None) => return,
            Err(error) => return tracing::warn!(error, "the last good revision could not be read"),
        };
        let files: Vec<SourceFile> =
            saved.files.into_iter().map(|SavedFile { path, text }| SourceFile::new(path, text)).collect();
        match manifest::load(&self.watch.path.display().to_string(), &files) {
            Ok(Accepted { desired, warnings }) => {
                self.accept(desired, &warnings, Some("the last good revision, because the files are rejected"));
            }
            Err(rejected) => tracing::warn!(error = %rejected, "the last good revision is no longer one"),
        }
    }

    fn saved_at(&self) -> Option<PathBuf> {
        Some(self.watch.state_dir.as_ref()?.join("desired.last-good.json"))
    }
}

/// What the state directory says, if it does so in time.
async fn in_time<T, E: ToString>(asked: JoinHandle<Result<T, E>>) -> Result<T, String> {
    match timeout(mark::PATIENCE, asked).await {
        Ok(Ok(answer)) => answer.map_err(|error| error.to_string()),
        Ok(Err(error)) => Err(error.to_string()),
        Err(_) => Err(format!("the state directory did not answer within {:?}", mark::PATIENCE)),
    }
}
