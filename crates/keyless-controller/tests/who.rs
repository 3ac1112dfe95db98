//! Who changed what, and who fights over it: named as soon as the log knows, and left alone in the end.

use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use keyless_controller::event::{Event, Level, Name};
use keyless_controller::fleet::plan_fleet;
use keyless_controller::mark::StateDir;
use keyless_controller::wrote::last_writes;
use keyless_core::desired::{AuthMode, Desired, FightGuard};
use keyless_core::observed::{Caller, CallerKind, Change, ObservedAuthMode};
use keyless_core::plan::Standing;
use tokio::time::Instant;

use crate::cloud::*;
use crate::rig::Rig;

const MINUTE: SignedDuration = SignedDuration::from_mins(1);

/// The interval of passes with its jitter.
const INTERVAL: SignedDuration = SignedDuration::from_secs(70);

fn settled_state() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    StateDir::open(dir.path()).unwrap().mark().set().unwrap();
    dir
}

fn files(revision: &str) -> Desired {
    desired(revision, AuthMode::Identity, &["ml-a"])
}

async fn converged() -> (Arc<Cloud>, tempfile::TempDir, Rig) {
    let (cloud, dir) = (Cloud::with("stone", &["ml-a"]), settled_state());
    let rig = Rig::start(&cloud, dir.path(), files("1"));
    rig.converged("1").await;
    rig.passes(2).await;
    (cloud, dir, rig)
}

fn caller(name: &str) -> Caller {
    Caller {
        kind: CallerKind::User,
        name: Some(name.to_owned()),
        app_id: Some("app-1".to_owned()),
        ..Caller::default()
    }
}

fn change(cloud: &Cloud, by: &str) -> Change {
    Change {
        at: cloud.now(),
        operation: "Microsoft.Storage/storageAccounts/write".to_owned(),
        resource: account_id("stone").arm().folded().to_owned(),
        by: caller(by),
        own: false,
        policies: Vec::new(),
        correlation_id: Some("c-1".to_owned()),
        client_request_id: Some("r-1".to_owned()),
        body: None,
    }
}

/// Somebody turns the key on, and the log shows it after a while.
fn turn_on(cloud: &Cloud, by: &str, lag: SignedDuration) -> Timestamp {
    let (now, change) = (cloud.now(), change(cloud, by));
    let mut state = cloud.lock();
    state.accounts.insert(account_id("stone"), true);
    state.log.push((now + lag, change));
    now
}

fn since(rig: &Rig, name: Name, at: Timestamp) -> Vec<Event> {
    rig.told(name)
        .into_iter()
        .filter(|event| event.at.is_some_and(|told| told >= at - SignedDuration::from_secs(1)))
        .collect()
}

async fn until_off(rig: &Rig) {
    for _ in 0..50 {
        if !rig.cloud.key_on("stone") {
            return;
        }
        rig.passes(1).await;
    }
    panic!("the key stays on: {:?}", rig.cloud.calls());
}

#[tokio::test(start_paused = true)]
async fn whoever_the_log_names_in_time_is_in_the_event_and_nothing_is_amended() {
    let (cloud, _dir, rig) = converged().await;
    assert_eq!(
        cloud.lock().reads.get("changes"),
        None,
        "the first differences came from nobody, and a quiet fleet asks nothing"
    );
    cloud.lock().log.push((cloud.now(), Change { own: true, ..change(&cloud, "keyless itself") }));
    let at = turn_on(&cloud, "dana@example.com", SignedDuration::ZERO);
    until_off(&rig).await;
    rig.passes(5).await;
    let told = since(&rig, Name::DriftDetected, at);
    assert_eq!(told.len(), 1, "{told:?}");
    let Event { changed_by, changed_at, operation, correlation_id, client, other_writers, .. } = &told[0];
    assert_eq!(changed_by.as_deref(), Some("dana@example.com"));
    assert_eq!(*changed_at, Some(at));
    assert_eq!(operation.as_deref(), Some("Microsoft.Storage/storageAccounts/write"));
    assert_eq!((correlation_id.as_deref(), client.as_deref()), (Some("c-1"), Some("application app-1, request r-1")));
    assert_eq!(*other_writers, None);
    assert_eq!(rig.told(Name::DriftAttributed), [], "nothing is told twice");
    let cleared = since(&rig, Name::DriftCleared, at);
    assert_eq!(cleared[0].changed_by.as_deref(), Some("dana@example.com"));
}

#[tokio::test(start_paused = true)]
async fn what_the_log_tells_later_is_told_within_an_interval_of_it_though_the_drift_is_gone() {
    let (cloud, _dir, rig) = converged().await;
    let lag = MINUTE * 7;
    let at = turn_on(&cloud, "dana@example.com", lag);
    until_off(&rig).await;
    let told = since(&rig, Name::DriftDetected, at);
    assert_eq!(told[0].changed_by.as_deref(), Some("unknown so far"));
    assert_eq!(told[0].changed_at, None);
    while rig.told(Name::DriftAttributed).is_empty() {
        assert!(cloud.now() <= at + lag + INTERVAL, "the log has known it for longer than an interval");
        rig.passes(1).await;
    }
    let amended = rig.told(Name::DriftAttributed).remove(0);
    assert_eq!(amended.changed_by.as_deref(), Some("dana@example.com"));
    assert_eq!((&amended.drift, &amended.at, amended.level), (&told[0].drift, &told[0].at, Level::Warn));
    // A write that is not proven to be the one gives way to a later one that shows within the log's own delay.
    let other = Change { at: at + SignedDuration::from_secs(1), ..change(&cloud, "eve@example.com") };
    cloud.lock().log.push((cloud.now(), other));
    rig.passes(3).await;
    let amended = rig.told(Name::DriftAttributed);
    assert_eq!(amended.len(), 2);
    assert_eq!((amended[1].changed_by.as_deref(), amended[1].other_writers), (Some("eve@example.com"), Some(1)));
    // And then it is over: the log is not asked for ever.
    rig.passes(40).await;
    let asked = cloud.lock().reads["changes"];
    rig.passes(20).await;
    assert_eq!(cloud.lock().reads["changes"], asked);
    assert_eq!(since(&rig, Name::DriftDetected, at).len(), 1, "the difference itself is told once");
}

#[tokio::test(start_paused = true)]
async fn where_the_log_never_tells_that_is_told_once_and_no_more_is_asked() {
    let (cloud, _dir, rig) = converged().await;
    cloud.lock().accounts.insert(account_id("stone"), true);
    until_off(&rig).await;
    rig.passes(80).await;
    let amended = rig.told(Name::DriftAttributed);
    assert_eq!(amended.len(), 1);
    assert_eq!(amended[0].changed_by.as_deref(), Some("unknown: the activity log names nobody"));
    let asked = cloud.lock().reads["changes"];
    assert!(asked <= 75, "once per interval for an hour at most: {asked}");
    rig.passes(20).await;
    assert_eq!(cloud.lock().reads["changes"], asked);
}

#[tokio::test(start_paused = true)]
async fn a_missing_right_to_the_log_is_one_warning_and_holds_nothing_up() {
    let (cloud, _dir, rig) = converged().await;
    cloud.lock().forbidden.insert("changes");
    for _ in 0..2 {
        let at = turn_on(&cloud, "dana@example.com", SignedDuration::ZERO);
        until_off(&rig).await;
        let told = since(&rig, Name::DriftDetected, at);
        assert_eq!(told[0].changed_by.as_deref(), Some("not readable"));
        rig.passes(3).await;
    }
    let warned: Vec<Event> = rig.told(Name::ObserveIncomplete);
    assert_eq!(warned.len(), 1, "{warned:?}");
    assert!(warned[0].why.as_deref().unwrap().contains("activity log"));
    assert_eq!(warned[0].lift.as_deref(), Some("grant the controller `changes`"));
    assert_eq!((warned[0].level, warned[0].error_class), (Level::Warn, Some("refused")));
    assert!(cloud.lock().reads["changes"] <= 3, "what is refused is not asked for again and again");
    assert_eq!(rig.told(Name::DriftAttributed), []);
    let standing = rig.status.snapshot().accounts[&account_id("stone")].standing();
    assert_eq!(standing, Some(Standing::Converged), "the log is a convenience");
}

#[tokio::test(start_paused = true)]
async fn a_log_that_fails_is_asked_again_and_a_slow_one_holds_no_repair_up() {
    let (cloud, _dir, rig) = converged().await;
    cloud.lock().down.insert("changes");
    let at = turn_on(&cloud, "dana@example.com", SignedDuration::ZERO);
    until_off(&rig).await;
    assert_eq!(since(&rig, Name::DriftDetected, at)[0].changed_by.as_deref(), Some("unknown so far"));
    cloud.lock().down.remove("changes");
    rig.passes(2).await;
    assert_eq!(rig.told(Name::DriftAttributed)[0].changed_by.as_deref(), Some("dana@example.com"));
    assert_eq!(rig.told(Name::ObserveIncomplete), [], "a passing fault of it is no news");
}

#[tokio::test(start_paused = true)]
async fn a_change_of_the_files_is_nobodys_change_of_azure() {
    let (cloud, _dir, rig) = converged().await;
    let back = with_key(
        desired("2", AuthMode::AccessKey, &["ml-a"]),
        "stone",
        keyless_core::desired::DesiredSharedKey::Enabled,
    );
    rig.files.send_replace(Some(Arc::new(back)));
    rig.converged("2").await;
    let told = rig.told(Name::DriftDetected);
    assert!(told.iter().any(|event| event.revision.as_deref() == Some("2")));
    assert!(told.iter().all(|event| event.changed_by.is_none()), "{told:?}");
    assert_eq!(cloud.lock().reads.get("changes"), None);
}

#[tokio::test(start_paused = true)]
async fn a_grant_that_is_taken_away_names_who_took_it() {
    let (cloud, _dir, rig) = converged().await;
    let gone = cloud.lock().assignments.get_mut(&account_id("stone")).unwrap().remove(0);
    let removed = Change {
        operation: "Microsoft.Authorization/roleAssignments/delete".to_owned(),
        resource: gone.id.folded().to_owned(),
        ..change(&cloud, "dana@example.com")
    };
    let elsewhere = Change { resource: "/subscriptions/s/other".to_owned(), ..removed.clone() };
    let elsewhere =
        Change { at: cloud.now() + SignedDuration::from_secs(1), by: caller("eve@example.com"), ..elsewhere };
    cloud.lock().log.extend([(cloud.now(), removed), (cloud.now(), elsewhere)]);
    rig.passes(4).await;
    let told = rig.told(Name::DriftDetected);
    let told = told.iter().rev().find(|event| event.principal.is_some()).unwrap();
    assert_eq!((told.changed_by.as_deref(), told.other_writers), (Some("dana@example.com"), None), "{told:?}");
}

fn with_fight(revision: &str, within: Duration) -> Desired {
    let mut files = files(revision);
    files.fleet.fight = FightGuard { reversals: 3, within };
    files
}

/// Somebody turns the key back on as often as it is turned off, until it stays on.
async fn fight(cloud: &Cloud, rig: &Rig, by: &str) -> usize {
    for times in 0..10 {
        let writes = cloud.calls().len();
        turn_on(cloud, by, SignedDuration::ZERO);
        rig.passes(4).await;
        if cloud.calls().len() == writes {
            return times;
        }
        assert!(!cloud.key_on("stone"));
    }
    panic!("it goes on for ever: {:?}", cloud.calls());
}

#[tokio::test(start_paused = true)]
async fn after_three_reversals_the_setting_is_left_alone_and_both_sides_are_named() {
    let (cloud, dir) = (Cloud::with("stone", &["ml-a"]), settled_state());
    let rig = Rig::start(&cloud, dir.path(), with_fight("1", Duration::from_secs(6 * 3600)));
    rig.converged("1").await;
    let began = cloud.now();
    assert_eq!(fight(&cloud, &rig, "corrector@example.com").await, 2, "the third reversal is not answered");
    let told = rig.told(Name::FightDetected);
    assert_eq!(told.len(), 1, "{told:?}");
    let Event { level, changed_by, why, lift, until, .. } = &told[0];
    assert_eq!((*level, changed_by.as_deref()), (Level::Error, Some("corrector@example.com")));
    let why = why.as_deref().unwrap();
    for part in
        ["owner keyless", "identity 00000000-0000-4000-8000-0000000000ee", "corrector@example.com", "3 times since"]
    {
        assert!(why.contains(part), "{part}: {why}");
    }
    let lift = lift.as_deref().unwrap();
    assert!(lift.contains("quiet until") && lift.contains("documents"), "{lift}");
    let writes = cloud.calls().len();
    // Nothing is written while it is held, whatever is restated in the files elsewhere.
    rig.passes(60).await;
    let mut elsewhere = with_fight("2", Duration::from_secs(6 * 3600));
    elsewhere.fleet.prune = true;
    rig.files.send_replace(Some(Arc::new(elsewhere)));
    rig.passes(60).await;
    assert_eq!(cloud.calls().len(), writes);
    assert_eq!(rig.status.snapshot().accounts[&account_id("stone")].standing(), Some(Standing::Blocked));
    assert_eq!(rig.told(Name::FightDetected).len(), 1, "told once");
    // It is quiet for six hours, and then it is tried again.
    assert!(until.unwrap() <= cloud.now() + SignedDuration::from_hours(6) && until.unwrap() > began);
    for _ in 0..400 {
        if !cloud.key_on("stone") {
            break;
        }
        rig.passes(1).await;
    }
    assert!(!cloud.key_on("stone"));
    assert!(cloud.now() >= until.unwrap(), "not before the other side was quiet for as long");
    assert_eq!(cloud.calls().len(), writes + 1);
}

#[tokio::test(start_paused = true)]
async fn a_change_of_the_accounts_documents_ends_the_hold() {
    let (cloud, dir) = (Cloud::with("stone", &["ml-a"]), settled_state());
    let rig = Rig::start(&cloud, dir.path(), with_fight("1", Duration::from_secs(24 * 3600)));
    rig.converged("1").await;
    fight(&cloud, &rig, "corrector@example.com").await;
    let writes = cloud.calls().len();
    let word = with_key(
        with_fight("2", Duration::from_secs(24 * 3600)),
        "stone",
        keyless_core::desired::DesiredSharedKey::Disabled,
    );
    rig.files.send_replace(Some(Arc::new(word)));
    until_off(&rig).await;
    assert_eq!(cloud.calls().len(), writes + 1);
}

#[tokio::test(start_paused = true)]
async fn other_settings_of_the_account_are_set_while_one_is_held() {
    let (cloud, dir) = (Cloud::with("stone", &["ml-a"]), settled_state());
    let rig = Rig::start(&cloud, dir.path(), with_fight("1", Duration::from_secs(24 * 3600)));
    rig.converged("1").await;
    fight(&cloud, &rig, "corrector@example.com").await;
    cloud.lock().workspaces.get_mut(&workspace_id("ml-a")).unwrap().auth_mode = ObservedAuthMode::AccessKey;
    rig.passes(6).await;
    assert_eq!(cloud.lock().workspaces[&workspace_id("ml-a")].auth_mode, ObservedAuthMode::Identity);
    assert!(cloud.key_on("stone"), "the flag is left alone");
}

#[tokio::test(start_paused = true)]
async fn reversals_that_are_far_apart_are_no_fight() {
    let (cloud, dir) = (Cloud::with("stone", &["ml-a"]), settled_state());
    let rig = Rig::start(&cloud, dir.path(), with_fight("1", Duration::from_secs(10 * 60)));
    rig.converged("1").await;
    for _ in 0..5 {
        turn_on(&cloud, "dana@example.com", SignedDuration::ZERO);
        until_off(&rig).await;
        rig.passes(6).await;
    }
    assert_eq!(rig.told(Name::FightDetected), []);
}

#[tokio::test(start_paused = true)]
async fn a_restart_keeps_the_count() {
    let (cloud, dir) = (Cloud::with("stone", &["ml-a"]), settled_state());
    let rig = Rig::start(&cloud, dir.path(), with_fight("1", Duration::from_secs(24 * 3600)));
    rig.converged("1").await;
    fight(&cloud, &rig, "corrector@example.com").await;
    let writes = cloud.calls().len();
    assert!(rig.stop().await.settled);
    let rig = Rig::start(&cloud, dir.path(), with_fight("1", Duration::from_secs(24 * 3600)));
    rig.passes(30).await;
    assert_eq!(cloud.calls().len(), writes, "it is held on");
    let told = rig.told(Name::FightDetected);
    assert!(told.len() == 1 && told[0].why.as_deref().unwrap().contains("3 times since"), "{told:?}");
    assert_eq!(told[0].changed_by.as_deref(), Some("corrector@example.com"));
    let _ = rig.stop().await;
    // Another word in the documents lifts it, also from one process to the next.
    let word = with_key(
        with_fight("2", Duration::from_secs(24 * 3600)),
        "stone",
        keyless_core::desired::DesiredSharedKey::Disabled,
    );
    let rig = Rig::start(&cloud, dir.path(), word);
    until_off(&rig).await;
    assert_eq!(cloud.calls().len(), writes + 1);
}

#[tokio::test(start_paused = true)]
async fn a_restart_that_at_first_cannot_see_where_the_workspace_stands_keeps_the_hold() {
    // Where the lists come, they may be without it.
    for (with_document_of_the_account, lists_come) in [(false, false), (true, false), (false, true), (true, true)] {
        let files = || match with_document_of_the_account {
            false => with_fight("1", Duration::from_secs(24 * 3600)),
            true => with_key(
                with_fight("1", Duration::from_secs(24 * 3600)),
                "stone",
                keyless_core::desired::DesiredSharedKey::Disabled,
            ),
        };
        let (cloud, dir) = (Cloud::with("stone", &["ml-a"]), settled_state());
        let rig = Rig::start(&cloud, dir.path(), files());
        rig.converged("1").await;
        fight(&cloud, &rig, "corrector@example.com").await;
        let writes = cloud.calls().len();
        assert!(rig.stop().await.settled);
        cloud.lock().down.extend(if lists_come { &["workspace"][..] } else { &["workspaces", "workspace"] });
        cloud.lock().unlisted.extend(lists_come.then(|| workspace_id("ml-a")));
        // Neither this process nor the next one may take what it cannot see for gone.
        for _ in 0..2 {
            let rig = Rig::start(&cloud, dir.path(), files());
            rig.until("some looks", |snapshot| snapshot.counters.searches >= 3).await;
            let _ = rig.stop().await;
        }
        let rig = Rig::start(&cloud, dir.path(), files());
        rig.until("a look", |snapshot| snapshot.counters.searches >= 2).await;
        cloud.lock().down.clear();
        cloud.lock().unlisted.clear();
        rig.passes(30).await;
        assert_eq!(cloud.calls().len(), writes, "it is held on");
        assert_eq!(rig.told(Name::FightDetected).len(), 1);
        assert!(cloud.key_on("stone"));
    }
}

/// What is found out within a few seconds is kept together.
#[tokio::test(start_paused = true)]
async fn what_is_remembered_is_kept_at_a_pace() {
    let (cloud, dir) = (Cloud::new(), settled_state());
    let names = ["ml-a", "ml-b", "ml-c"];
    for (account, name) in ["sta", "stb", "stc"].iter().zip(&names) {
        cloud.add(account, &[*name]);
    }
    let options = keyless_controller::daemon::Options { max_in_flight: 1, ..Default::default() };
    let rig = Rig::start_with(&cloud, dir.path(), desired("1", AuthMode::Identity, &names), options);
    let began = Instant::now();
    let file =
        || std::fs::metadata(dir.path().join("notes.json")).map(|file| std::os::unix::fs::MetadataExt::ino(&file));
    rig.until("the first is kept", |_| file().is_ok()).await;
    let first = file().unwrap();
    rig.until("the others are granted what they need", |_| cloud.calls().len() == 3).await;
    rig.passes(3).await;
    assert!(began.elapsed() < Duration::from_secs(4), "{:?}", began.elapsed());
    assert_eq!(file().unwrap(), first);
    rig.until("the others are kept too", |_| file().unwrap() != first).await;
}

#[tokio::test(start_paused = true)]
async fn what_is_set_back_while_no_process_runs_is_counted_and_a_lost_file_begins_anew() {
    for lost in [false, true] {
        let (cloud, dir) = (Cloud::with("stone", &["ml-a"]), settled_state());
        let mut fought = 0;
        for _ in 0..5 {
            let rig = Rig::start(&cloud, dir.path(), with_fight("1", Duration::from_secs(24 * 3600)));
            rig.passes(3).await;
            rig.until("it has come to rest", |snapshot| {
                let standing = snapshot.accounts[&account_id("stone")].standing();
                matches!(standing, Some(Standing::Converged | Standing::Blocked))
            })
            .await;
            rig.passes(1).await;
            fought += rig.told(Name::FightDetected).len();
            let _ = rig.stop().await;
            if lost {
                std::fs::remove_file(dir.path().join("notes.json")).unwrap();
            }
            if !cloud.key_on("stone") {
                turn_on(&cloud, "corrector@example.com", SignedDuration::ZERO);
            }
        }
        assert_eq!(fought > 0, !lost, "{:?}", cloud.calls());
    }
}

#[tokio::test(start_paused = true)]
async fn a_hold_that_notes_make_longer_than_any_may_be_ends_in_time() {
    let (cloud, dir) = (Cloud::with("stone", &["ml-a"]), settled_state());
    let hour = Duration::from_secs(3600);
    let rig = Rig::start(&cloud, dir.path(), with_fight("1", hour));
    rig.converged("1").await;
    fight(&cloud, &rig, "corrector@example.com").await;
    let until = rig.told(Name::FightDetected)[0].until.unwrap();
    let _ = rig.stop().await;
    let notes = dir.path().join("notes.json");
    let told = std::fs::read_to_string(&notes).unwrap();
    let forged = told.replace(&until.to_string(), "9999-12-30T22:00:00Z");
    assert_ne!(told, forged);
    std::fs::write(&notes, forged).unwrap();
    let began = cloud.now();
    let rig = Rig::start(&cloud, dir.path(), with_fight("1", hour));
    while cloud.key_on("stone") && cloud.now().duration_since(began) < SignedDuration::from_hours(2) {
        rig.passes(1).await;
    }
    assert!(!cloud.key_on("stone"), "{:?}", cloud.calls());
    assert!(cloud.now().duration_since(began) >= SignedDuration::from_mins(50), "not before its time");
}

#[tokio::test(start_paused = true)]
async fn a_grant_that_is_taken_away_again_and_again_is_left_alone_with_both_sides_named() {
    let (cloud, dir) = (Cloud::with("stone", &["ml-a"]), settled_state());
    let rig = Rig::start(&cloud, dir.path(), with_fight("1", Duration::from_secs(24 * 3600)));
    rig.converged("1").await;
    rig.passes(2).await;
    for _ in 0..3 {
        assert_eq!(rig.told(Name::FightDetected), []);
        let gone = cloud.lock().assignments.get_mut(&account_id("stone")).unwrap().remove(0);
        let removed = Change {
            operation: "Microsoft.Authorization/roleAssignments/delete".to_owned(),
            resource: gone.id.folded().to_owned(),
            ..change(&cloud, "cleaner@example.com")
        };
        cloud.lock().log.push((cloud.now(), removed));
        rig.passes(4).await;
    }
    let told = rig.told(Name::FightDetected);
    assert_eq!(told.len(), 1, "{told:?}");
    assert_eq!(told[0].changed_by.as_deref(), Some("cleaner@example.com"));
    assert_eq!(told[0].role.as_deref(), Some("Storage Blob Data Contributor"));
    assert_eq!(told[0].principal, Some(group(1).to_string()));
    let writes = cloud.calls().len();
    rig.passes(30).await;
    assert_eq!((cloud.calls().len(), cloud.lock().assignments[&account_id("stone")].len()), (writes, 0));
}

#[tokio::test(start_paused = true)]
async fn a_grant_that_a_list_stops_showing_is_no_reversal() {
    let (cloud, dir) = (Cloud::with("stone", &["ml-a"]), settled_state());
    let rig = Rig::start(&cloud, dir.path(), with_fight("1", Duration::from_secs(24 * 3600)));
    rig.converged("1").await;
    for _ in 0..6 {
        let ids: Vec<_> = cloud.lock().assignments[&account_id("stone")].iter().map(|known| known.id.clone()).collect();
        cloud.lock().hidden.extend(ids.clone());
        cloud.lock().already.extend(ids);
        rig.passes(2).await;
        cloud.lock().hidden.clear();
        rig.passes(3).await;
    }
    assert!(
        rig.told(Name::ActionApplied).iter().filter(|event| event.why.is_some()).count() >= 3,
        "it was written again"
    );
    assert_eq!(rig.told(Name::FightDetected), []);
}

/// What the log tells of each difference of a plan that nobody watched come, in words.
async fn written(cloud: &Arc<Cloud>) -> Vec<String> {
    let plans = plan_fleet(Arc::new(files("1")), cloud.clone(), 4).await;
    let wrote = last_writes(&plans, cloud.clone()).await;
    let words = wrote.iter().map(|((_, drift), wrote)| format!("{drift}: {wrote}"));
    words.collect()
}

#[tokio::test(start_paused = true)]
async fn a_plan_names_who_last_wrote_what_differs_and_asks_for_each_thing_once() {
    let cloud = Cloud::with("stone", &["ml-a"]);
    let at = cloud.now();
    turn_on(&cloud, "dana@example.com", SignedDuration::ZERO);
    let own = Change {
        own: true,
        operation: "Microsoft.MachineLearningServices/workspaces/write".to_owned(),
        resource: workspace_id("ml-a").arm().folded().to_owned(),
        ..change(&cloud, "robot@example.com")
    };
    cloud.lock().log.push((at, own));
    let told = written(&cloud).await;
    let has = |part: &str| told.iter().filter(|line| line.contains(part)).count();
    assert_eq!(has("access is enabled, files ask disabled: last written by dana@example.com at "), 1, "{told:?}");
    assert_eq!(has("files ask identity: last written by robot@example.com, the identity of this run, at "), 1);
    assert_eq!(has("lacks Storage Blob Data Contributor: the activity log names nobody since 2026-11-16T"), 1);
    assert_eq!((told.len(), cloud.lock().reads["changes"]), (3, 3));
}

#[tokio::test(start_paused = true)]
async fn a_plan_says_that_the_log_cannot_be_read_and_what_would_lift_it() {
    let cloud = Cloud::with("stone", &["ml-a"]);
    cloud.lock().forbidden.insert("changes");
    let told = written(&cloud).await;
    let lift = "what lifts it: grant the controller `changes`";
    assert!(told.iter().all(|line| line.contains(": who wrote it is not known: ") && line.ends_with(lift)), "{told:?}");
    assert_eq!(told.len(), 3);
    cloud.lock().forbidden.clear();
    cloud.lock().down.insert("changes");
    let told = written(&cloud).await;
    assert!(told.iter().all(|line| line.contains("who wrote it is not known")), "a failure is nobody's word: {told:?}");
}
