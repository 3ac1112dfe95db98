//! The desired state followed on a real disk: plain edits, atomic renames, swaps of links, and the last good revision.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use keyless_controller::daemon::Feed;
use keyless_controller::event::{Collected, Event, Level, Name};
use keyless_controller::status::Status;
use keyless_controller::watch::Watch;
use keyless_core::desired::Desired;
use tokio_util::sync::{CancellationToken, DropGuard};

struct Followed {
    feed: Feed,
    events: Arc<Collected>,
    status: Arc<Status>,
    _stop: DropGuard,
}

async fn follow(path: &Path, state: Option<&Path>) -> Followed {
    let (events, status) = (Arc::new(Collected::new(Level::Debug)), Arc::new(Status::default()));
    let cancel = CancellationToken::new();
    let watch = Watch {
        path: path.to_owned(),
        poll: Duration::from_millis(20),
        state_dir: state.map(Path::to_owned),
        reminder: Duration::from_secs(3600),
    };
    let feed = watch.start(events.clone(), Arc::clone(&status), cancel.clone()).await;
    Followed { feed, events, status, _stop: cancel.drop_guard() }
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
        tokio::time::timeout(Duration::from_secs(20), waited).await.expect("the change was not noticed").unwrap();
    }

    async fn rejected(&self) {
        let mut changes = self.status.changes();
        let rejected = async {
            while self.status.snapshot().rejected.is_empty() {
                changes.changed().await.unwrap();
            }
        };
        tokio::time::timeout(Duration::from_secs(20), rejected).await.expect("nothing was rejected");
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
    let mut followed = follow(dir.path(), None).await;
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
