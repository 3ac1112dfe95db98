//! A pause is not forgotten: told while it lasts, before it ends, and when it is over.

use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use keyless_controller::daemon::Options;
use keyless_controller::event::{Event, Level, Name};
use keyless_controller::mark::StateDir;
use keyless_core::desired::{AfterSuspend, AuthMode, Desired, Suspend};

use crate::cloud::*;
use crate::rig::Rig;

const HOUR: SignedDuration = SignedDuration::from_hours(1);

fn settled_state() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    StateDir::open(dir.path()).unwrap().mark().set().unwrap();
    dir
}

/// Days go by, so it need not look every minute.
fn start(cloud: &Arc<Cloud>, dir: &tempfile::TempDir, files: Desired) -> Rig {
    let options = Options { interval: Duration::from_secs(600), ..Options::default() };
    Rig::start_with(cloud, dir.path(), files, options)
}

fn suspended(revision: &str, until: Timestamp, then: AfterSuspend) -> Desired {
    let mut files = desired(revision, AuthMode::Identity, &["ml-a"]);
    let own = files.workspaces.get_mut(&workspace_id("ml-a")).unwrap();
    own.suspend = Some(Suspend { reason: "audit".to_owned(), until, then });
    files
}

async fn until(rig: &Rig, at: Timestamp) {
    while rig.cloud.now() < at {
        rig.passes(1).await;
    }
}

fn told(rig: &Rig) -> Vec<Event> {
    let names = [Name::Suspended, Name::SuspensionEnds, Name::SuspensionEnded];
    rig.events.events().into_iter().filter(|event| names.contains(&event.event)).collect()
}

#[tokio::test(start_paused = true)]
async fn a_suspension_is_told_every_day_and_ahead_of_its_end_and_then_the_work_goes_on() {
    let (cloud, dir) = (Cloud::with("stone", &["ml-a"]), settled_state());
    let end = cloud.now() + HOUR * 60;
    let rig = start(&cloud, &dir, suspended("1", end, AfterSuspend::Resume));
    until(&rig, end - HOUR / 2).await;
    assert_eq!(cloud.calls(), Vec::<String>::new(), "it is suspended");
    until(&rig, end + HOUR * 26).await;
    assert!(!cloud.key_on("stone"), "it was acted on again");
    let told = told(&rig);
    let names: Vec<_> = told.iter().map(|event| (event.event, event.level, event.reminder)).collect();
    let wanted = [
        (Name::Suspended, Level::Warn, false),
        (Name::Suspended, Level::Warn, true),
        (Name::SuspensionEnds, Level::Warn, false),
        (Name::SuspensionEnds, Level::Warn, false),
        (Name::SuspensionEnded, Level::Info, false),
    ];
    assert_eq!(names, wanted);
    let slack = SignedDuration::from_mins(20);
    for (event, ahead) in told[2..].iter().zip([HOUR * 24, HOUR, SignedDuration::ZERO]) {
        let late = event.at.unwrap().duration_since(end - ahead);
        assert!(late >= SignedDuration::ZERO && late <= slack, "{event:?}");
    }
    for event in &told {
        assert_eq!((event.document.as_deref(), event.until), (Some("ml-a"), Some(end)));
        assert_eq!(event.workspace.as_deref(), Some(workspace_id("ml-a").as_str()));
        assert!(event.why.as_deref().unwrap().ends_with(": audit"), "{event:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn one_that_stays_past_its_end_is_told_anew_and_its_end_by_the_files_too() {
    let (cloud, dir) = (Cloud::with("stone", &["ml-a"]), settled_state());
    let end = cloud.now() + HOUR;
    let rig = start(&cloud, &dir, suspended("1", end, AfterSuspend::Stay));
    until(&rig, end + HOUR).await;
    assert_eq!(cloud.calls(), Vec::<String>::new(), "it stays suspended");
    let now = told(&rig);
    assert_eq!(now.iter().map(|event| event.event).collect::<Vec<_>>(), [Name::Suspended, Name::Suspended]);
    assert!(now[1].why.as_deref().unwrap().contains("stays until its document changes"), "{now:?}");
    rig.files.send_replace(Some(Arc::new(desired("2", AuthMode::Identity, &["ml-a"]))));
    rig.converged("2").await;
    let now = told(&rig);
    assert_eq!((now.len(), now[2].event, now[2].document.as_deref()), (3, Name::SuspensionEnded, Some("ml-a")));
}

fn names(rig: &Rig) -> Vec<Name> {
    told(rig).iter().map(|event| event.event).collect()
}

#[tokio::test(start_paused = true)]
async fn a_pause_that_ends_within_a_day_is_told_as_a_pause_too() {
    let (cloud, dir) = (Cloud::with("stone", &["ml-a"]), settled_state());
    let end = cloud.now() + HOUR * 5;
    let rig = start(&cloud, &dir, suspended("1", end, AfterSuspend::Resume));
    until(&rig, end + HOUR).await;
    assert_eq!(names(&rig), [Name::Suspended, Name::SuspensionEnds, Name::SuspensionEnds, Name::SuspensionEnded]);
    assert_eq!(told(&rig)[0].until, Some(end));
    // Suspended anew while the end of the first is still in the plan.
    let again = cloud.now() + HOUR * 2;
    rig.files.send_replace(Some(Arc::new(suspended("2", again, AfterSuspend::Resume))));
    rig.until("it is told", |_| names(&rig).len() == 6).await;
    assert_eq!(names(&rig)[4..], [Name::Suspended, Name::SuspensionEnds]);
}

#[tokio::test(start_paused = true)]
async fn an_end_is_told_by_the_process_that_is_there_and_not_by_all_that_follow() {
    let (cloud, dir) = (Cloud::with("stone", &["ml-a"]), settled_state());
    let end = cloud.now() + HOUR;
    let files = || suspended("1", end, AfterSuspend::Resume);
    let rig = start(&cloud, &dir, files());
    rig.passes(1).await;
    assert!(rig.stop().await.settled);
    // It ended between two processes.
    tokio::time::advance(Duration::from_secs(75 * 60)).await;
    let rig = start(&cloud, &dir, files());
    rig.passes(2).await;
    assert_eq!(names(&rig), [Name::SuspensionEnded]);
    until(&rig, end + HOUR * 2).await;
    assert_eq!(names(&rig), [Name::SuspensionEnded]);
    assert!(rig.stop().await.settled);
    let rig = start(&cloud, &dir, files());
    rig.passes(3).await;
    assert_eq!(names(&rig), [], "it was over before");
}

#[tokio::test(start_paused = true)]
async fn a_pause_of_what_is_out_of_sight_is_not_over_and_one_without_its_document_is() {
    let (cloud, dir) = (Cloud::with("stone", &["ml-a", "ml-b"]), settled_state());
    let end = cloud.now() + HOUR * 2000;
    let both = |revision: &str| {
        let mut files = desired(revision, AuthMode::Identity, &["ml-a", "ml-b"]);
        for own in files.workspaces.values_mut() {
            own.suspend = Some(Suspend { reason: "audit".to_owned(), until: end, then: AfterSuspend::Resume });
        }
        files
    };
    let rig = start(&cloud, &dir, both("1"));
    rig.passes(2).await;
    assert_eq!(names(&rig), [Name::Suspended, Name::Suspended]);
    // One is gone from Azure, then all are.
    for name in ["ml-a", "ml-b"] {
        cloud.lock().workspaces.remove(&workspace_id(name));
        rig.until("it is missed", |snapshot| snapshot.missing.contains(&workspace_id(name))).await;
        let searches = rig.status.snapshot().counters.searches;
        rig.until("more looks", |snapshot| snapshot.counters.searches > searches + 2).await;
    }
    assert!(!names(&rig).contains(&Name::SuspensionEnded), "the files still say it: {:?}", told(&rig));
    let mut files = both("2");
    files.workspaces.remove(&workspace_id("ml-b"));
    rig.files.send_replace(Some(Arc::new(files)));
    rig.until("its end", |_| names(&rig).contains(&Name::SuspensionEnded)).await;
    let ended: Vec<_> = told(&rig).into_iter().filter(|event| event.event == Name::SuspensionEnded).collect();
    assert_eq!((ended.len(), ended[0].document.as_deref()), (1, Some("ml-b")), "{ended:?}");
    assert!(
        ended[0].why.as_deref().unwrap().starts_with("there is no document of the name ml-b any more"),
        "{ended:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_document_that_is_called_otherwise_is_told_by_its_new_name_and_how_it_stands() {
    let (cloud, dir) = (Cloud::with("stone", &["ml-a"]), settled_state());
    let end = cloud.now() + HOUR * 2000;
    let called = |revision: &str, name: &str| {
        let mut files = suspended(revision, end, AfterSuspend::Resume);
        files.workspaces.get_mut(&workspace_id("ml-a")).unwrap().name = name.to_owned();
        files
    };
    let whys = |rig: &Rig| -> Vec<String> {
        let ended = told(rig).into_iter().filter(|event| event.event == Name::SuspensionEnded);
        ended.map(|event| event.why.unwrap()).collect()
    };
    let rig = start(&cloud, &dir, called("1", "ml-a"));
    rig.passes(1).await;
    rig.files.send_replace(Some(Arc::new(called("2", "ml-new"))));
    rig.until("its new name", |_| !whys(&rig).is_empty()).await;
    assert_eq!(whys(&rig), ["the document ml-a is called ml-new now, and is suspended"]);
    let mut files = called("3", "ml-last");
    files.workspaces.get_mut(&workspace_id("ml-a")).unwrap().suspend = None;
    rig.files.send_replace(Some(Arc::new(files)));
    rig.until("its last name", |_| whys(&rig).len() == 2).await;
    let wanted = "the document ml-new is called ml-last now, is not suspended any more, and is acted on again";
    assert_eq!(whys(&rig)[1], wanted);
}
