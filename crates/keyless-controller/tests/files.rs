//! The desired state followed on a real disk: plain edits, atomic renames, swaps of links, and the last good revision.

use std::fs;
use std::path::Path;
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use keyless_controller::daemon::Feed;
use keyless_controller::event::{Collected, Event, Level, Name};
use keyless_controller::mark::StateDir;
use keyless_controller::status::Status;
use keyless_controller::watch::{Quiet, Watch};
use keyless_core::desired::Desired;
use tokio::runtime::{Builder, Runtime};
use tokio_util::sync::{CancellationToken, DropGuard};

struct Followed {
    feed: Feed,
    events: Arc<Collected>,
    status: Arc<Status>,
    _stop: DropGuard,
}

/// Takes the directory, as soon as whoever had it is gone.
async fn state_dir(path: &Path) -> StateDir {
    let opened = async {
        loop {
            match StateDir::open(path) {
                Ok(opened) => return opened,
                Err(_) => tokio::task::yield_now().await,
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(20), opened).await.expect("the state directory is still in use")
}

async fn follow(path: &Path, state: Option<&Path>) -> Followed {
    match state {
        Some(state) => follow_in(path, Some(state_dir(state).await)).await,
        None => follow_in(path, None).await,
    }
}

async fn follow_in(path: &Path, state: Option<StateDir>) -> Followed {
    follow_quiet(path, state, NONE).await
}

async fn follow_quiet(path: &Path, state: Option<StateDir>, quiet: Quiet) -> Followed {
    let (events, status) = (Arc::new(Collected::new(Level::Debug)), Arc::new(Status::default()));
    let cancel = CancellationToken::new();
    let watch = Watch { quiet, ..watch(path, state) };
    let feed = watch.start(events.clone(), Arc::clone(&status), cancel.clone()).await;
    Followed { feed, events, status, _stop: cancel.drop_guard() }
}

/// Files count at once.
const NONE: Quiet = Quiet { change: Duration::ZERO, half: Duration::ZERO };

fn watch(path: &Path, state_dir: Option<StateDir>) -> Watch {
    let (poll, reminder) = (Duration::from_millis(20), Duration::from_secs(3600));
    Watch { path: path.to_owned(), poll, quiet: NONE, state_dir, reminder }
}

fn fleet(owner: &str) -> String {
    format!("apiVersion: keyless.dev/v1\nkind: Fleet\nmetadata: {{name: fleet}}\nspec:\n  owner: {owner}\n")
}

fn owner(desired: &Option<Arc<Desired>>) -> Option<&str> {
    desired.as_ref().map(|desired| desired.fleet.owner.as_str())
}

impl Followed {
    fn owner(&self) -> Option<String> {
        owner(&self.feed.borrow()).map(str::to_owned)
    }

    async fn owned_by(&mut self, name: &str) {
        let waited = self.feed.wait_for(|desired| owner(desired) == Some(name));
        tokio::time::timeout(Duration::from_secs(120), waited).await.expect("the change was not noticed").unwrap();
    }

    async fn rejected(&self) {
        self.is_rejected(true).await;
    }

    async fn accepted(&self) {
        self.is_rejected(false).await;
    }

    async fn is_rejected(&self, yes: bool) {
        let mut changes = self.status.changes();
        let waited = async {
            while self.status.snapshot().rejected.is_empty() == yes {
                changes.changed().await.unwrap();
            }
        };
        tokio::time::timeout(Duration::from_secs(120), waited).await.expect("nothing was rejected, or accepted again");
    }

    fn told(&self, name: Name) -> Vec<Event> {
        self.events.events().into_iter().filter(|event| event.event == name).collect()
    }
}

#[tokio::test]
async fn a_plain_edit_and_an_atomic_rename_are_noticed() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("fleet.yaml");
    fs::write(&file, fleet("one")).unwrap();
    for path in [dir.path(), &file] {
        fs::write(&file, fleet("one")).unwrap();
        let mut followed = follow(path, None).await;
        assert_eq!(followed.owner().as_deref(), Some("one"), "the first look is taken before `start` returns");
        fs::write(&file, fleet("two")).unwrap();
        followed.owned_by("two").await;
        fs::write(dir.path().join(".fleet.tmp"), fleet("six")).unwrap();
        fs::rename(dir.path().join(".fleet.tmp"), &file).unwrap();
        followed.owned_by("six").await;
        assert_eq!(followed.told(Name::ConfigAccepted).len(), 3);
    }
}

/// What is written in place is half a file for a while, and half a file asks for less.
#[tokio::test]
async fn a_file_that_lost_much_of_what_is_in_force_counts_only_after_it_has_stood() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("fleet.yaml");
    let whole = |owner: &str| {
        format!("{}  defaults: {{enforcement: observe}}\n  # nothing is taken off keys here\n", fleet(owner))
    };
    fs::write(&file, whole("one")).unwrap();
    let mut followed = follow_quiet(dir.path(), None, Quiet { half: Duration::from_secs(3600), ..NONE }).await;
    assert_eq!(followed.owner().as_deref(), Some("one"));
    // Less, and then nothing, and each time the file is looked at before it is whole again.
    for (half, owner) in [(fleet("two"), "six"), (String::new(), "ten")] {
        fs::write(&file, half).unwrap();
        fs::write(dir.path().join("beside.yaml"), "").unwrap();
        fs::write(&file, whole(owner)).unwrap();
        followed.owned_by(owner).await;
    }
    // A file that is gone is not taken for one that asks for nothing.
    fs::write(dir.path().join("other.yaml"), "# nothing\n").unwrap();
    fs::remove_file(&file).unwrap();
    tokio::time::timeout(Duration::from_millis(300), followed.feed.changed()).await.unwrap_err();
    assert_eq!(followed.owner().as_deref(), Some("ten"));
    let accepted: Vec<Event> = followed.told(Name::ConfigAccepted);
    assert_eq!(accepted.len(), 3, "{accepted:#?}");
    assert_eq!(followed.told(Name::ConfigRejected).len(), 0);
}

/// A workspace whose people these are.
fn workspace_of(people: &[u8]) -> String {
    let mut text = "apiVersion: keyless.dev/v1\nkind: Workspace\nmetadata: {name: fraud}\nspec:\n  resourceId: \
        /subscriptions/3f8c1d7a-52b4-4c0e-9d2e-7a1b6c5d4e90/resourceGroups/rg/providers/\
        Microsoft.MachineLearningServices/workspaces/fraud\n  authMode: identity\n  access:\n"
        .to_owned();
    for person in people {
        text.push_str(&format!(
            "    - {{principal: {{user: {{objectId: 5a11c0de-0000-4000-8000-0000000000{person:02}}}}}, level: readOnly}}\n"
        ));
    }
    text
}

/// The last line is missing, as in a file that is still being written: a hundredth of it, and somebody's access.
#[tokio::test]
async fn files_that_ask_for_less_count_only_after_they_have_stood_at_a_start_too() {
    let dir = tempfile::tempdir().unwrap();
    let state = tempfile::tempdir().unwrap();
    let (people, file) = ((10..30).collect::<Vec<u8>>(), dir.path().join("fraud.yaml"));
    let less = people.split_last().unwrap().1;
    fs::write(dir.path().join("fleet.yaml"), fleet("one")).unwrap();
    fs::write(&file, workspace_of(&people)).unwrap();
    let quiet = Quiet { half: Duration::from_secs(3600), ..NONE };
    let start = async || follow_quiet(dir.path(), Some(state_dir(state.path()).await), quiet).await;
    let asked = |feed: &Option<Arc<Desired>>| {
        feed.as_ref().map(|desired| desired.workspaces.values().next().unwrap().needs.len())
    };
    let mut followed = start().await;
    let whole = asked(&followed.feed.borrow_and_update()).expect("the files are good");
    fs::write(&file, workspace_of(less)).unwrap();
    tokio::time::timeout(Duration::from_millis(300), followed.feed.changed()).await.unwrap_err();
    assert_eq!(asked(&followed.feed.borrow()), Some(whole));
    drop(followed);

    let mut followed = start().await;
    tokio::time::timeout(Duration::from_millis(300), followed.feed.changed()).await.unwrap_err();
    assert_eq!(asked(&followed.feed.borrow()), None, "nothing is in force, so nothing is written");
    fs::write(&file, workspace_of(&people)).unwrap();
    followed.owned_by("one").await;
    assert_eq!(asked(&followed.feed.borrow()), Some(whole));
    assert_eq!(followed.told(Name::ConfigRejected).len(), 0);
}

/// The writer may have died with the last process, or still be at it.
#[tokio::test]
async fn a_start_with_files_that_lost_much_since_the_last_process_waits_until_they_have_stood() {
    let (dir, state) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let file = dir.path().join("fleet.yaml");
    let whole = |owner: &str| {
        format!("{}  defaults: {{enforcement: observe}}\n  # nothing is taken off keys here\n", fleet(owner))
    };
    let quiet = Quiet { half: Duration::from_secs(3600), ..NONE };
    let starts = async || follow_quiet(dir.path(), Some(state_dir(state.path()).await), quiet).await;
    fs::write(&file, whole("one")).unwrap();
    let mut followed = starts().await;
    followed.owned_by("one").await;
    let kept = async {
        while !state.path().join("desired.last-good.json").exists() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), kept).await.expect("the revision was not kept");
    drop(followed);

    for (half, owner) in [(fleet("two"), "six"), (fleet("three"), "ten")] {
        fs::write(&file, half).unwrap();
        let mut followed = starts().await;
        tokio::time::timeout(Duration::from_millis(300), followed.feed.changed()).await.unwrap_err();
        assert_eq!(followed.owner(), None, "half of a file is in force");
        fs::write(&file, whole(owner)).unwrap();
        followed.owned_by(owner).await;
        drop(followed);
    }
    // Half that is no document leaves the last good files in force, and no less of them counts any sooner.
    fs::write(&file, "apiVersion: keyless.dev/v1\nkind: Fl").unwrap();
    let mut followed = starts().await;
    followed.owned_by("ten").await;
    fs::write(&file, fleet("two")).unwrap();
    tokio::time::timeout(Duration::from_millis(300), followed.feed.changed()).await.unwrap_err();
    assert_eq!(followed.owner().as_deref(), Some("ten"));
}

/// Whether they are half of what was in force, nobody can tell.
#[tokio::test]
async fn a_start_that_cannot_read_what_was_in_force_waits_until_the_files_have_stood() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("fleet.yaml"), fleet("one")).unwrap();
    let quiet = Quiet { half: Duration::from_secs(3600), ..NONE };
    let no_revision = r#"{"files":[{"path":"fleet.yaml","text":"apiVersion: keyless.dev/v1\nkind: Fleat\n"}]}"#;
    for (kept, settled, waits) in [
        (Some(r#"{"files":[{"path":"fleet.y"#), false, true),
        (Some(""), false, true),
        (Some(r#"{"version":99}"#), true, true),
        (Some(no_revision), false, true),
        // The last process wrote nothing that may still land, so this one does not wait before its first write.
        (None, true, true),
        (None, false, false),
    ] {
        let state = tempfile::tempdir().unwrap();
        if let Some(kept) = kept {
            fs::write(state.path().join("desired.last-good.json"), kept).unwrap();
        }
        if settled {
            fs::write(state.path().join("settled"), "").unwrap();
        }
        let mut followed = follow_quiet(dir.path(), Some(state_dir(state.path()).await), quiet).await;
        if waits {
            tokio::time::timeout(Duration::from_millis(300), followed.feed.changed()).await.unwrap_err();
        }
        assert_eq!(followed.owner().as_deref(), (!waits).then_some("one"), "{kept:?}, settled: {settled}");
    }
}

/// The emergency stop and the owner of all grants may be in it.
#[tokio::test]
async fn files_without_a_fleet_document_are_refused_after_files_with_one() {
    let (dir, state) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let file = dir.path().join("fleet.yaml");
    fs::write(dir.path().join("fraud.yaml"), workspace_of(&[10])).unwrap();
    let start = async || follow(dir.path(), Some(state.path())).await;

    let mut followed = start().await;
    assert_eq!(followed.owner().as_deref(), Some("keyless"), "there never was one");
    let accepted = followed.told(Name::ConfigAccepted);
    assert!(accepted[0].problems.iter().any(|told| told.contains("no `Fleet` document")), "{accepted:#?}");
    fs::write(&file, fleet("one")).unwrap();
    followed.owned_by("one").await;
    fs::remove_file(&file).unwrap();
    followed.rejected().await;
    assert_eq!(followed.owner().as_deref(), Some("one"));
    let rejected = followed.told(Name::ConfigRejected);
    assert!(rejected[0].problems[0].contains("`Fleet` document is gone"), "{rejected:#?}");
    drop(followed);

    // At a start what was kept is in force.
    let mut followed = start().await;
    followed.owned_by("one").await;
    assert_eq!(followed.told(Name::ConfigRejected).len(), 1);
    fs::write(&file, fleet("two")).unwrap();
    followed.owned_by("two").await;
}

#[cfg(unix)]
#[tokio::test]
async fn a_swap_of_links_is_noticed_as_one_whole_revision() {
    use std::os::unix::fs::symlink;
    let dir = tempfile::tempdir().unwrap();
    let workspace = |n: u32| {
        let id = format!(
            "/subscriptions/3f8c1d7a-52b4-4c0e-9d2e-7a1b6c5d4e90/resourceGroups/rg/providers/Microsoft.MachineLearningServices/workspaces/ml-{n}"
        );
        format!(
            "apiVersion: keyless.dev/v1\nkind: Workspace\nmetadata: {{name: ml-{n}}}\nspec: {{resourceId: {id}, authMode: identity}}\n"
        )
    };
    for (n, name) in [(1, "..1"), (2, "..2")] {
        fs::create_dir(dir.path().join(name)).unwrap();
        fs::write(dir.path().join(name).join("fleet.yaml"), fleet(&format!("owner-{n}"))).unwrap();
        fs::write(dir.path().join(name).join("workspace.yaml"), workspace(n)).unwrap();
    }
    symlink("..1", dir.path().join("..data")).unwrap();
    for name in ["fleet.yaml", "workspace.yaml"] {
        symlink(Path::new("..data").join(name), dir.path().join(name)).unwrap();
    }
    let mut followed = follow(dir.path(), None).await;
    followed.owned_by("owner-1").await;
    for (target, owner) in [("..2", "owner-2"), ("..1", "owner-1"), ("..2", "owner-2")] {
        symlink(target, dir.path().join("..data_tmp")).unwrap();
        fs::rename(dir.path().join("..data_tmp"), dir.path().join("..data")).unwrap();
        followed.owned_by(owner).await;
        let desired = followed.feed.borrow().clone().unwrap();
        let names: Vec<&str> = desired.workspaces.values().map(|workspace| workspace.name.as_str()).collect();
        assert_eq!(names, [owner.replace("owner", "ml")], "two revisions were mixed");
    }
}

#[tokio::test]
async fn a_bad_revision_leaves_the_last_good_one_in_force_and_says_where() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("fleet.yaml");
    fs::write(&file, fleet("one")).unwrap();
    let mut followed = follow(dir.path(), None).await;
    let revision = followed.feed.borrow().as_ref().unwrap().revision.to_string();
    fs::write(&file, format!("{}  ownr: two\n", fleet("one"))).unwrap();
    followed.rejected().await;
    assert_eq!(followed.owner().as_deref(), Some("one"));
    let told = followed.told(Name::ConfigRejected);
    assert_eq!(told.len(), 1, "{told:?}");
    assert_eq!(told[0].revision.as_deref(), Some(revision.as_str()), "the revision in force is named");
    assert!(told[0].problems[0].contains("fleet.yaml:6:3: "), "{:?}", told[0].problems);
    fs::write(&file, fleet("two")).unwrap();
    followed.owned_by("two").await;
}

#[tokio::test]
async fn a_start_with_bad_files_goes_on_with_the_saved_revision_or_with_none() {
    let (dir, state) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let file = dir.path().join("fleet.yaml");
    fs::write(&file, "kind: Nonsense\n").unwrap();
    let mut followed = follow(dir.path(), Some(state.path())).await;
    assert_eq!(followed.owner(), None, "without a saved revision nothing is in force");
    assert_eq!(followed.told(Name::ConfigRejected).len(), 1);
    fs::write(&file, fleet("one")).unwrap();
    followed.owned_by("one").await;
    let saved = state.path().join("desired.last-good.json");
    let kept = async {
        while !saved.exists() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), kept).await.expect("the revision was not kept");
    drop(followed);

    fs::write(&file, "kind: Nonsense\n").unwrap();
    let mut followed = follow(dir.path(), Some(state.path())).await;
    assert_eq!(followed.owner().as_deref(), Some("one"), "the saved revision is in force");
    assert_eq!(followed.told(Name::ConfigRejected).len(), 1);
    assert_eq!(followed.told(Name::ConfigAccepted).len(), 1);
    fs::write(&file, fleet("two")).unwrap();
    followed.owned_by("two").await;
}

#[tokio::test]
async fn a_path_that_vanishes_is_a_rejection_and_never_an_empty_revision() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("desired");
    fs::create_dir(&path).unwrap();
    fs::write(path.join("fleet.yaml"), fleet("one")).unwrap();
    let followed = follow(&path, None).await;
    fs::remove_dir_all(&path).unwrap();
    followed.rejected().await;
    assert_eq!(followed.owner().as_deref(), Some("one"));
}

#[tokio::test]
async fn a_file_that_keeps_changing_is_named_and_the_last_good_files_stay_in_force_until_it_rests() {
    let dir = tempfile::tempdir().unwrap();
    let busy = dir.path().join("busy.yaml");
    fs::write(dir.path().join("fleet.yaml"), fleet("one")).unwrap();
    // Longer than the writer may be kept from writing on a busy machine.
    let mut followed = follow_quiet(dir.path(), None, Quiet { change: Duration::from_secs(3), ..NONE }).await;
    let (stop, path) = (CancellationToken::new(), busy.clone());
    let stopped = stop.clone();
    let writer = tokio::spawn(async move {
        for count in 0.. {
            fs::write(&path, format!("# {count}\n")).unwrap();
            if tokio::time::timeout(Duration::from_millis(20), stopped.cancelled()).await.is_ok() {
                return;
            }
        }
    });
    followed.rejected().await;
    let told = followed.told(Name::ConfigRejected);
    assert_eq!(told.len(), 1);
    assert!(told[0].problems[0].contains("busy.yaml` keeps changing"), "{:?}", told[0].problems);
    assert_eq!(followed.owner().as_deref(), Some("one"));
    stop.cancel();
    writer.await.unwrap();
    fs::write(&busy, "# at rest\n").unwrap();
    fs::write(dir.path().join("fleet.yaml"), fleet("two")).unwrap();
    followed.owned_by("two").await;
    assert!(followed.status.snapshot().rejected.is_empty());
    assert_eq!(followed.told(Name::ConfigRejected).len(), 1);
}

#[tokio::test]
async fn what_was_kept_is_not_read_through_a_link_or_a_pipe() {
    let (dir, state) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    fs::write(dir.path().join("fleet.yaml"), "spec: 1\n").unwrap();
    let kept = state.path().join("desired.last-good.json");
    assert!(std::process::Command::new("mkfifo").arg(&kept).status().unwrap().success());
    let mut followed = follow(dir.path(), Some(state.path())).await;
    assert_eq!(followed.told(Name::ConfigRejected).len(), 1);
    assert_eq!(followed.owner(), None);
    fs::write(dir.path().join("fleet.yaml"), fleet("one")).unwrap();
    followed.owned_by("one").await;
    let saved = async {
        while !fs::symlink_metadata(&kept).unwrap().is_file() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), saved).await.expect("the good files were not kept");
}

/// The one thread on which files may be looked at: while something else has it, no disk or mount answers.
struct Disk {
    runtime: Runtime,
}

impl Disk {
    fn new() -> Self {
        Self { runtime: Builder::new_current_thread().enable_all().max_blocking_threads(1).build().unwrap() }
    }

    /// Nothing answers until what this gives is dropped.
    fn hang(&self) -> mpsc::Sender<()> {
        let (answers, hangs) = mpsc::channel();
        self.runtime.spawn_blocking(move || hangs.recv());
        answers
    }
}

#[test]
fn files_that_can_be_read_again_after_a_hang_are_accepted_and_the_next_hang_is_told() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("fleet.yaml"), fleet("one")).unwrap();
    let disk = Disk::new();
    disk.runtime.block_on(async {
        let followed = follow(dir.path(), None).await;
        assert_eq!(followed.told(Name::ConfigAccepted).len(), 1);
        for hang in 1..=2 {
            // Files at rest are not read without a change; were this too short, less would be shown.
            tokio::time::sleep(Duration::from_millis(500)).await;
            let hung = disk.hang();
            followed.rejected().await;
            let told = followed.told(Name::ConfigRejected);
            assert_eq!(told.len(), hang, "{told:?}");
            assert!(told[hang - 1].problems[0].contains("does not answer"), "{:?}", told[hang - 1].problems);
            assert_eq!(followed.owner().as_deref(), Some("one"), "the last good files stay in force");
            drop(hung);
            followed.accepted().await;
            assert_eq!(followed.told(Name::ConfigAccepted).len(), 1 + hang);
        }
    });
}

#[test]
fn a_folder_that_does_not_answer_at_the_start_is_told_and_holds_up_neither_the_start_nor_the_end() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("fleet.yaml"), fleet("one")).unwrap();
    let disk = Disk::new();
    let hung = disk.hang();
    disk.runtime.block_on(async {
        let begun = Instant::now();
        let mut followed = follow(dir.path(), None).await;
        assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
        let told = followed.told(Name::ConfigRejected);
        assert!(told[0].problems[0].contains("does not answer"), "{told:?}");
        #[cfg(target_os = "linux")]
        assert!(!is_watched(dir.path()), "the folder was touched by a thread that must not hang");
        drop(hung);
        followed.owned_by("one").await;
        followed.accepted().await;
        #[cfg(target_os = "linux")]
        assert!(is_watched(dir.path()), "no notifications are asked for");
        drop(followed);

        let hung = disk.hang();
        let (begun, cancel) = (Instant::now(), CancellationToken::new());
        let events = Arc::new(Collected::new(Level::Debug));
        let started = watch(dir.path(), None).start(events, Arc::new(Status::default()), cancel.clone());
        cancel.cancel();
        started.await;
        assert!(begun.elapsed() < Duration::from_secs(4), "{:?}", begun.elapsed());
        drop(hung);
    });
}

/// Whether this process is notified of changes in the folder.
#[cfg(target_os = "linux")]
fn is_watched(path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt as _;
    let watched = format!("ino:{:x} ", fs::metadata(path).unwrap().ino());
    let files = fs::read_dir("/proc/self/fdinfo").unwrap();
    // Other tests close files meanwhile.
    let files = files.filter_map(|file| fs::read_to_string(file.ok()?.path()).ok());
    files.into_iter().any(|file| file.lines().any(|line| line.starts_with("inotify") && line.contains(&watched)))
}

#[tokio::test]
async fn what_was_kept_is_in_force_and_what_is_good_is_kept_as_soon_as_the_state_directory_lets_it() {
    let (dir, above) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (file, state, away) = (dir.path().join("fleet.yaml"), above.path().join("state"), above.path().join("away"));
    let saved = state.join("desired.last-good.json");
    let break_off = || {
        fs::rename(&state, &away).unwrap();
        fs::write(&state, "not a directory").unwrap();
    };
    let repair = || {
        fs::remove_file(&state).unwrap();
        fs::rename(&away, &state).unwrap();
    };
    let says = |name: &str| fs::read_to_string(&saved).is_ok_and(|text| text.contains(name));

    fs::write(&file, fleet("one")).unwrap();
    let mut followed = follow(dir.path(), Some(&state)).await;
    assert!(says("owner: one"));
    break_off();
    fs::write(&file, fleet("two")).unwrap();
    followed.owned_by("two").await;
    repair();
    let kept = async {
        while !says("owner: two") {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), kept).await.expect("the good files were not kept");
    drop(followed);

    fs::write(&file, "kind: Nonsense\n").unwrap();
    let held = state_dir(&state).await;
    break_off();
    let mut followed = follow_in(dir.path(), Some(held)).await;
    assert_eq!(followed.owner(), None);
    repair();
    followed.owned_by("two").await;
    let told = followed.told(Name::ConfigRejected);
    assert_eq!(told.len(), 2, "what is in force is told anew: {told:?}");
    assert_eq!([told[0].revision.is_some(), told[1].revision.is_some()], [false, true]);
    assert!(!followed.status.snapshot().rejected.is_empty());
}

#[tokio::test]
async fn good_files_are_not_kept_in_a_state_directory_that_is_another_process_s_now() {
    let (dir, above) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let state = above.path().join("state");
    let held = state_dir(&state).await;
    fs::remove_dir_all(&state).unwrap();
    let other = state_dir(&state).await;
    fs::write(dir.path().join("fleet.yaml"), fleet("one")).unwrap();
    let followed = follow_in(dir.path(), Some(held)).await;
    assert_eq!(followed.owner().as_deref(), Some("one"));
    assert!(!other.path().join("desired.last-good.json").exists());
}
