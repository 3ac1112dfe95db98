//! Who uses a key and who was refused: read when it tells something, told once, and never acted on.

use std::sync::Arc;

use jiff::SignedDuration;
use keyless_controller::event::Name;
use keyless_controller::mark::StateDir;
use keyless_core::desired::{AuthMode, Desired, DesiredSharedKey};
use keyless_core::id::LogAnalyticsId;
use keyless_core::observed::{KeyCaller, MadeFrom, Signed, StorageService, hour};

use crate::cloud::*;
use crate::rig::Rig;

fn settled_state() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    StateDir::open(dir.path()).unwrap().mark().set().unwrap();
    dir
}

fn start(cloud: &Arc<Cloud>, dir: &tempfile::TempDir) -> Rig {
    Rig::start(cloud, dir.path(), desired("1", AuthMode::Identity, &["ml-a", "ml-b"]))
}

fn reads(cloud: &Cloud, operation: &str) -> u64 {
    cloud.lock().reads.get(operation).copied().unwrap_or_default()
}

#[tokio::test(start_paused = true)]
async fn who_is_refused_after_the_key_went_off_is_told_once_an_hour_and_nothing_is_undone() {
    let (cloud, dir) = (Cloud::with("stone", &["ml-a", "ml-b"]), settled_state());
    let rig = start(&cloud, &dir);
    rig.converged("1").await;
    assert!(rig.told(Name::KeyUserDenied).is_empty());
    let writes = cloud.calls();
    let (account, first) = (account_id("stone"), cloud.now());
    cloud.lock().refused.push((account.clone(), first, Signed::AccountKey, 3));
    rig.passes(30).await;
    let told = rig.told(Name::KeyUserDenied);
    assert_eq!(told.len(), 1, "{told:?}");
    let event = &told[0];
    assert_eq!((event.service, event.api.as_deref()), (Some("file"), Some("Unknown")));
    assert_eq!((event.authentication, event.requests, event.hour), (Some("AccountKey"), Some(3), Some(hour(first))));
    assert!(event.why.as_ref().unwrap().contains("watched since"), "{event:?}");
    assert!(event.why.as_ref().unwrap().contains("(key off)"), "{event:?}");
    // More in the same hour is no news, and more in the next is.
    cloud.lock().refused.push((account.clone(), first, Signed::AccountKey, 30));
    rig.passes(10).await;
    assert_eq!(rig.told(Name::KeyUserDenied).len(), 1);
    cloud.lock().refused.push((account.clone(), first + SignedDuration::from_hours(1), Signed::AccountKey, 1));
    rig.until("the next hour", |_| rig.told(Name::KeyUserDenied).len() == 2).await;
    assert!(rig.told(Name::DriftDetected).iter().all(|event| !event.reminder));
    assert_eq!(cloud.calls(), writes, "the watch undoes nothing");
    // The watch is over a day after the change, and costs nothing any more.
    let quiet = first + SignedDuration::from_hours(25);
    while cloud.now() <= quiet {
        rig.passes(60).await;
    }
    let before = reads(&cloud, "key_usage");
    cloud.lock().refused.push((account, cloud.now(), Signed::AccountKey, 1));
    rig.passes(30).await;
    assert_eq!(reads(&cloud, "key_usage"), before);
    assert_eq!(rig.told(Name::KeyUserDenied).len(), 2);
}

#[tokio::test(start_paused = true)]
async fn the_watch_asks_every_few_minutes_and_by_service_only_when_somebody_was_refused() {
    let (cloud, dir) = (Cloud::with("stone", &["ml-a", "ml-b"]), settled_state());
    let rig = start(&cloud, &dir);
    rig.converged("1").await;
    let (usage, service, began) = (reads(&cloud, "key_usage"), reads(&cloud, "service_usage"), cloud.now());
    rig.passes(60).await;
    let minutes = u64::try_from(cloud.now().duration_since(began).as_mins()).unwrap();
    let asked = reads(&cloud, "key_usage") - usage;
    assert!(asked <= minutes / 5 + 1 && asked >= minutes / 10, "{asked} in {minutes} minutes");
    assert_eq!(reads(&cloud, "service_usage"), service, "nobody was refused");
}

#[tokio::test(start_paused = true)]
async fn a_watch_that_cannot_be_read_is_told_as_such_and_refusals_are_not_forgotten() {
    let (cloud, dir) = (Cloud::with("stone", &["ml-a", "ml-b"]), settled_state());
    let rig = start(&cloud, &dir);
    rig.converged("1").await;
    let (account, now) = (account_id("stone"), cloud.now());
    cloud.lock().refused.push((account, now, Signed::OAuth, 2));
    cloud.lock().down.insert("service_usage");
    rig.until("a refusal without names", |_| !rig.told(Name::KeyUserDenied).is_empty()).await;
    let told = rig.told(Name::KeyUserDenied);
    assert_eq!((told[0].service, told[0].authentication), (None, Some("OAuth")), "{told:?}");
    cloud.lock().down.insert("key_usage");
    rig.until("what could not be read", |_| !rig.told(Name::ObserveIncomplete).is_empty()).await;
    cloud.lock().down.clear();
    let told = rig.told(Name::ObserveIncomplete);
    assert!(
        told[0].why.as_ref().unwrap().starts_with("who was refused since the last change could not be read"),
        "{told:?}"
    );
    rig.passes(20).await;
    let told = rig.told(Name::KeyUserDenied);
    let nameless = told.iter().filter(|event| event.service.is_none()).count();
    assert_eq!((nameless, told.len()), (1, 2), "told again with its service, and each once: {told:?}");
}

#[tokio::test(start_paused = true)]
async fn whoever_lacks_a_role_after_the_switch_is_told_while_the_key_is_still_on_and_nothing_is_undone() {
    let (cloud, dir) = (Cloud::with("stone", &["ml-a", "ml-b"]), settled_state());
    let files = desired("1", AuthMode::Identity, &["ml-a", "ml-b"]);
    let rig = Rig::start(&cloud, dir.path(), with_key(files, "stone", DesiredSharedKey::Enabled));
    rig.converged("1").await;
    let (writes, first) = (cloud.calls(), cloud.now());
    assert!(cloud.key_on("stone") && !writes.is_empty());
    // A wrong key is anybody's as long as the key is on, and 403 for want of a role is not.
    cloud.lock().refused.push((account_id("stone"), first, Signed::AccountKey, 5));
    cloud.lock().refused.push((account_id("stone"), first, Signed::OAuth, 2));
    rig.until("it is told", |_| !rig.told(Name::KeyUserDenied).is_empty()).await;
    rig.passes(10).await;
    let told = rig.told(Name::KeyUserDenied);
    let [event] = told.as_slice() else { panic!("{told:?}") };
    assert_eq!((event.service, event.authentication, event.requests), (Some("file"), Some("OAuth"), Some(2)));
    let why = event.why.as_deref().unwrap();
    assert!(why.contains("(switch to identity)") && why.contains("a data role is missing"), "{why}");
    assert_eq!(cloud.calls(), writes, "the watch undoes nothing");
}

#[tokio::test(start_paused = true)]
async fn a_process_that_finds_the_key_off_watches_from_then_on_and_says_so() {
    let (cloud, dir) = (Cloud::with("stone", &["ml-a", "ml-b"]), settled_state());
    let rig = start(&cloud, &dir);
    rig.converged("1").await;
    assert!(rig.stop().await.settled);
    // As the first process that ever sees the account.
    std::fs::remove_file(dir.path().join("notes.json")).unwrap();
    tokio::time::advance(std::time::Duration::from_secs(72 * 3600)).await;
    let rig = start(&cloud, &dir);
    rig.passes(2).await;
    cloud.lock().refused.push((account_id("stone"), cloud.now(), Signed::AccountKey, 3));
    rig.until("it is told", |_| !rig.told(Name::KeyUserDenied).is_empty()).await;
    let told = rig.told(Name::KeyUserDenied);
    assert!(told[0].why.as_ref().unwrap().contains("(key first seen off by this process)"), "{told:?}");
}

#[tokio::test(start_paused = true)]
async fn a_restart_begins_no_new_watch_of_an_account_that_a_process_watched_before() {
    let (cloud, dir) = (Cloud::with("stone", &["ml-a", "ml-b"]), settled_state());
    let rig = start(&cloud, &dir);
    rig.converged("1").await;
    assert!(rig.stop().await.settled);
    tokio::time::advance(std::time::Duration::from_secs(72 * 3600)).await;
    let rig = start(&cloud, &dir);
    rig.passes(2).await;
    cloud.lock().refused.push((account_id("stone"), cloud.now(), Signed::AccountKey, 3));
    let asked = reads(&cloud, "service_usage");
    rig.passes(120).await;
    assert_eq!(reads(&cloud, "service_usage"), asked, "the watch was over before the restart");
    assert_eq!(rig.told(Name::KeyUserDenied), []);
}

#[tokio::test(start_paused = true)]
async fn the_users_behind_a_shut_gate_are_named_and_read_once_an_hour() {
    let (cloud, dir) = (Cloud::with("stone", &["ml-a", "ml-b"]), settled_state());
    let users_until = cloud.now() + SignedDuration::from_hours(400);
    cloud.lock().key_users.insert(account_id("stone"), users_until);
    let rig = start(&cloud, &dir);
    rig.until("a named user", |_| {
        let named = |why: &String| why.contains("(file GetFile 1 in 1 hour)");
        rig.told(Name::GateUnmet).iter().any(|event| event.why.as_ref().is_some_and(named))
    })
    .await;
    let (asked, began) = (reads(&cloud, "service_usage"), cloud.now());
    rig.passes(120).await;
    let hours = u64::try_from(cloud.now().duration_since(began).as_mins()).unwrap() / 60;
    assert!(hours >= 1);
    assert!(reads(&cloud, "service_usage") - asked <= 4 * (hours + 1));
    assert!(cloud.key_on("stone"));
}

/// The resource logs of the account name one caller.
fn logged(cloud: &Cloud, refused: bool, at: jiff::Timestamp) {
    let caller = KeyCaller {
        service: StorageService::File,
        signed: Signed::AccountKey,
        made_from: MadeFrom::Untold,
        operation: "GetFile".to_owned(),
        refused,
        outcome: "Success".to_owned(),
        address: "10.1.0.4".to_owned(),
        agent: "nightly-mount/2".to_owned(),
        object: None,
        app: None,
        requests: 3,
        first: at,
        last: at,
    };
    cloud.lock().callers.insert(account_id("stone"), vec![caller]);
}

fn with_logs(mut desired: Desired) -> Desired {
    let id = format!(
        "/subscriptions/{SUBSCRIPTION}/resourceGroups/rg/providers/Microsoft.OperationalInsights/workspaces/logs"
    );
    desired.fleet.log_analytics = Some(LogAnalyticsId::parse(&id).unwrap());
    desired
}

#[tokio::test(start_paused = true)]
async fn the_resource_logs_name_who_holds_the_key_on_and_are_asked_once_an_hour() {
    let (cloud, dir) = (Cloud::with("stone", &["ml-a", "ml-b"]), settled_state());
    let users_until = cloud.now() + SignedDuration::from_hours(400);
    cloud.lock().key_users.insert(account_id("stone"), users_until);
    logged(&cloud, false, cloud.now());
    let rig = Rig::start(&cloud, dir.path(), with_logs(desired("1", AuthMode::Identity, &["ml-a", "ml-b"])));
    rig.until("a named caller", |_| {
        let named = |why: &String| why.contains("the resource logs name 10.1.0.4 (nightly-mount/2): file GetFile");
        rig.told(Name::GateUnmet).iter().any(|event| event.why.as_ref().is_some_and(named))
    })
    .await;
    // The switch of the workspaces is watched for a day, with shorter pauses.
    let watched = cloud.now() + SignedDuration::from_hours(25);
    while cloud.now() <= watched {
        rig.passes(60).await;
    }
    let (asked, began) = (reads(&cloud, "key_callers"), cloud.now());
    rig.passes(120).await;
    let hours = u64::try_from(cloud.now().duration_since(began).as_mins()).unwrap() / 60;
    let asked = reads(&cloud, "key_callers") - asked;
    assert!(hours >= 1 && asked >= 1 && asked <= hours + 1, "{asked} in {hours} hours");
}

#[tokio::test(start_paused = true)]
async fn logs_that_fail_or_hang_are_asked_no_more_often_than_logs_that_answer_and_hold_up_no_pass() {
    for hangs in [false, true] {
        let (cloud, dir) = (Cloud::with("stone", &["ml-a", "ml-b"]), settled_state());
        cloud.lock().key_users.insert(account_id("stone"), cloud.now() + SignedDuration::from_hours(400));
        if hangs {
            cloud.lock().hung.insert("key_callers");
        } else {
            cloud.lock().down.insert("key_callers");
        }
        let files = |revision| with_logs(desired(revision, AuthMode::Identity, &["ml-a", "ml-b"]));
        let rig = Rig::start(&cloud, dir.path(), files("1"));
        rig.until("the logs are missed", |_| reads(&cloud, "key_callers") > 0).await;
        // The switch of the workspaces is watched: every five minutes.
        let (asked, began) = (reads(&cloud, "key_callers"), cloud.now());
        rig.passes(30).await;
        let minutes = u64::try_from(cloud.now().duration_since(began).as_mins()).unwrap();
        let asked = reads(&cloud, "key_callers") - asked;
        assert!(minutes >= 20 && asked >= 1 && asked <= minutes / 5 + 1, "{asked} in {minutes} minutes");
        let finished = rig.told(Name::PassFinished);
        let slowest = finished.iter().filter_map(|event| event.elapsed_ms).max().unwrap();
        assert!(slowest < 7_000, "{slowest} ms");
        assert!(cloud.key_on("stone"));
        if !hangs {
            // Files that change have everything asked again.
            let asked = reads(&cloud, "key_callers");
            rig.files.send_replace(Some(Arc::new(files("2"))));
            rig.passes(2).await;
            assert_eq!(reads(&cloud, "key_callers"), asked + 1);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_process_that_finds_a_workspace_switched_watches_from_its_start_on_and_says_so() {
    let (cloud, dir) = (Cloud::with("stone", &["ml-a", "ml-b"]), settled_state());
    // Somebody's use of the key keeps it on, so the switch is the last change.
    cloud.lock().key_users.insert(account_id("stone"), cloud.now() + SignedDuration::from_hours(1000));
    let rig = start(&cloud, &dir);
    rig.until("switched", |_| cloud.calls().iter().filter(|call| call.ends_with(" identity")).count() == 2).await;
    assert!(rig.stop().await.settled);
    // As the first process that ever sees the account.
    std::fs::remove_file(dir.path().join("notes.json")).unwrap();
    tokio::time::advance(std::time::Duration::from_secs(72 * 3600)).await;
    let rig = start(&cloud, &dir);
    rig.passes(2).await;
    cloud.lock().refused.push((account_id("stone"), cloud.now(), Signed::OAuth, 3));
    rig.until("it is told", |_| !rig.told(Name::KeyUserDenied).is_empty()).await;
    let told = rig.told(Name::KeyUserDenied);
    assert_eq!(told[0].authentication, Some("OAuth"), "{told:?}");
    let why = told[0].why.as_ref().unwrap();
    assert!(why.contains("(workspace first seen on identity by this process, which started then)"), "{told:?}");
    assert!(cloud.key_on("stone"));
}

#[tokio::test(start_paused = true)]
async fn whoever_is_refused_is_named_once_the_logs_know_and_unreadable_logs_are_told() {
    let (cloud, dir) = (Cloud::with("stone", &["ml-a", "ml-b"]), settled_state());
    let rig = Rig::start(&cloud, dir.path(), with_logs(desired("1", AuthMode::Identity, &["ml-a", "ml-b"])));
    rig.converged("1").await;
    assert_eq!(reads(&cloud, "key_callers"), 0, "nobody is to be named");
    let now = cloud.now();
    cloud.lock().forbidden.insert("key_callers");
    cloud.lock().refused.push((account_id("stone"), now, Signed::AccountKey, 3));
    rig.until("a refusal without names", |_| !rig.told(Name::KeyUserDenied).is_empty()).await;
    assert_eq!(rig.told(Name::KeyUserDenied)[0].callers, None);
    rig.until("the logs cannot be read", |_| !rig.told(Name::ObserveIncomplete).is_empty()).await;
    let why = rig.told(Name::ObserveIncomplete)[0].why.clone().unwrap();
    assert!(why.starts_with("who uses the key, by the storage resource logs could not be read"), "{why}");
    cloud.lock().forbidden.clear();
    logged(&cloud, true, now);
    rig.until("a name", |_| rig.told(Name::KeyUserDenied).len() == 2).await;
    let callers = rig.told(Name::KeyUserDenied)[1].callers.clone().unwrap();
    assert!(callers.starts_with("10.1.0.4 (nightly-mount/2): file GetFile 3 times, last at "), "{callers}");
    // What was told with a name is not told again without.
    cloud.lock().down.insert("key_callers");
    rig.passes(30).await;
    assert_eq!(rig.told(Name::KeyUserDenied).len(), 2);
    assert!(!cloud.key_on("stone"));
}

#[tokio::test(start_paused = true)]
async fn a_key_that_is_turned_on_again_is_told_with_what_was_refused_before() {
    let (cloud, dir) = (Cloud::with("stone", &["ml-a", "ml-b"]), settled_state());
    let rig = start(&cloud, &dir);
    rig.converged("1").await;
    let refused_at = cloud.now();
    cloud.lock().refused.push((account_id("stone"), refused_at, Signed::OAuth, 3));
    rig.passes(10).await;
    cloud.lock().accounts.insert(account_id("stone"), true);
    rig.until("it is told", |_| {
        rig.told(Name::DriftDetected).iter().any(|event| event.likely_cause.is_some()) //
    })
    .await;
    let told = rig.told(Name::DriftDetected);
    let told = told.iter().find(|event| event.likely_cause.is_some()).unwrap();
    assert!(told.drift.as_deref().unwrap().contains("shared key access is enabled"), "{told:?}");
    let cause = told.likely_cause.as_deref().unwrap();
    assert!(cause.contains("was refused 3 times") && cause.contains("of whom is not told"), "{cause}");
    // It goes off again, and what is turned on a day later without any refusal is for no known cause.
    rig.until("off again", |_| !cloud.key_on("stone")).await;
    tokio::time::advance(std::time::Duration::from_secs(48 * 3600)).await;
    rig.passes(5).await;
    cloud.lock().accounts.insert(account_id("stone"), true);
    let causes =
        || rig.told(Name::DriftDetected).into_iter().filter_map(|event| event.likely_cause).collect::<Vec<_>>();
    rig.until("it is told again", |_| causes().len() == 2).await;
    assert!(causes()[1].starts_with("unknown: no request was refused since "), "{:?}", causes());
}

#[tokio::test(start_paused = true)]
async fn a_key_that_the_files_turn_on_and_off_again_has_no_cause_to_guess() {
    let (cloud, dir) = (Cloud::with("stone", &["ml-a", "ml-b"]), settled_state());
    let rig = start(&cloud, &dir);
    rig.converged("1").await;
    let word = |revision: &str, word| {
        let files = desired(revision, AuthMode::Identity, &["ml-a", "ml-b"]);
        rig.files.send_replace(Some(Arc::new(with_key(files, "stone", word))));
    };
    word("2", DesiredSharedKey::Enabled);
    rig.converged("2").await;
    assert!(cloud.key_on("stone"));
    word("3", DesiredSharedKey::Disabled);
    rig.converged("3").await;
    let told = rig.told(Name::DriftDetected);
    assert!(told.iter().all(|event| event.likely_cause.is_none()), "{told:?}");
}
