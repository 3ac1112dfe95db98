//! The whole controller on a cloud in memory: it converges, stays, survives, waits and stops.

mod agreements;
mod apply;
mod back;
mod broke;
mod create;
mod groups;
mod jumps;
mod leavers;
mod newcomer;

use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use keyless_controller::daemon::{Controller, Options};
use keyless_controller::event::{Collected, Level, Name};
use keyless_controller::fleet::plan_fleet;
use keyless_controller::mark::StateDir;
use keyless_controller::status::{Snapshot, Status};
use keyless_core::desired::{AuthMode, DesiredSharedKey, Enforcement};
use keyless_core::observed::{Datastore, DatastoreCredentials, DatastoreForm, ObservedAuthMode, WorkspaceKind};
use keyless_core::plan::Standing;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::cloud::*;
use crate::rig::Rig;

const LATE_WRITE: Duration = Duration::from_secs(5 * 60);
const FORWARD: [&str; 4] =
    ["grant Storage Blob Data Contributor stone", "ml-a identity", "ml-b identity", "key off stone"];

fn state() -> tempfile::TempDir {
    tempfile::tempdir().unwrap()
}

/// A state directory in which the last process left the settled mark.
fn settled_state() -> tempfile::TempDir {
    let dir = state();
    StateDir::open(dir.path()).unwrap().mark().set().unwrap();
    dir
}

fn two() -> Arc<Cloud> {
    Cloud::with("stone", &["ml-a", "ml-b"])
}

fn gap(from: Timestamp, to: Timestamp) -> Duration {
    to.duration_since(from).max(SignedDuration::ZERO).try_into().unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_fleet_goes_forward_and_then_nothing_is_written() {
    let (cloud, dir) = (two(), settled_state());
    let rig = Rig::start(&cloud, dir.path(), desired("1", AuthMode::Identity, &["ml-a", "ml-b"]));
    rig.converged("1").await;
    assert_eq!(cloud.calls(), FORWARD);
    assert!(!cloud.key_on("stone"));
    let reads = cloud.lock().reads["account"];
    let events = rig.events.events().len();
    rig.passes(10).await;
    assert_eq!(cloud.calls().len(), 4, "a converged fleet is written to");
    assert!(cloud.lock().reads["account"] >= reads + 10);
    let later: Vec<_> = rig.events.events().split_off(events);
    assert!(later.iter().all(|event| event.level == Level::Debug), "a quiet state is not quiet: {later:?}");
    assert!(rig.stop().await.settled);
}

#[tokio::test(start_paused = true)]
async fn the_way_back_turns_the_key_on_first_and_waits_for_it() {
    let (cloud, dir) = (two(), settled_state());
    let names = ["ml-a", "ml-b"];
    let rig = Rig::start(&cloud, dir.path(), desired("1", AuthMode::Identity, &names));
    rig.converged("1").await;
    let back = with_key(desired("2", AuthMode::AccessKey, &names), "stone", DesiredSharedKey::Enabled);
    rig.files.send_replace(Some(Arc::new(back)));
    rig.converged("2").await;
    assert_eq!(rig.status.snapshot().counters.revisions, 2);
    assert_eq!(cloud.calls()[4..], ["key on stone", "ml-a accesskey", "ml-b accesskey"]);
    let calls = cloud.lock().calls.clone();
    assert!(gap(calls[4].0, calls[5].0) >= waits().key_effect, "the key was used before it worked");
    rig.passes(5).await;
    assert_eq!(cloud.calls().len(), 7);
}

#[tokio::test(start_paused = true)]
async fn answers_whose_date_is_ahead_open_no_gate_early() {
    for one_in in [2, 3, 5, 7] {
        let (cloud, dir) = (two(), settled_state());
        cloud.one_off_in.store(one_in, std::sync::atomic::Ordering::Relaxed);
        let rig = Rig::start(&cloud, dir.path(), desired("1", AuthMode::Identity, &["ml-a", "ml-b"]));
        // The cloud looks at the age of every grant itself.
        rig.converged("1").await;
        assert_eq!(cloud.calls(), FORWARD);
        let calls = cloud.lock().calls.clone();
        assert!(gap(calls[0].0, calls[1].0) >= waits().role_propagation, "one in {one_in}: {calls:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_crash_at_any_write_costs_a_wait_and_nothing_else() {
    for number in 1..=4 {
        for landing in [None, Some(Duration::ZERO), Some(Duration::from_secs(200))] {
            let (cloud, dir) = (two(), settled_state());
            cloud.lock().faults.insert(number, Fault::Hang(landing));
            let files = || desired("1", AuthMode::Identity, &["ml-a", "ml-b"]);
            let rig = Rig::start(&cloud, dir.path(), files());
            while cloud.calls().len() < number {
                cloud.called.notified().await;
            }
            rig.crash().await;
            let crashed = cloud.now();
            let rig = Rig::start(&cloud, dir.path(), files());
            rig.converged("1").await;
            let (calls, at) = (cloud.calls(), cloud.lock().calls.get(number).map(|call| call.0));
            assert!(!cloud.key_on("stone"), "crash at write {number}, landing {landing:?}: {calls:?}");
            if let Some(at) = at {
                assert!(gap(crashed, at) >= LATE_WRITE, "write {number} may have been under way: {calls:?}");
            }
            rig.until("the end of the boot wait", |snapshot| snapshot.boot_until.is_none()).await;
            let repeated = usize::from(landing.is_none());
            assert_eq!(calls.len(), 4 + repeated, "crash at write {number}, landing {landing:?}: {calls:?}");
            assert!(rig.stop().await.settled);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_first_answer_whose_date_is_off_neither_cuts_nor_draws_out_the_wait_after_the_start() {
    for off in [-12 * 60 * 60, -600, -180, 0, 600, 12 * 60 * 60] {
        let (cloud, dir) = (two(), state());
        cloud.first_off.store(off, std::sync::atomic::Ordering::Relaxed);
        let started = cloud.now();
        let rig = Rig::start(&cloud, dir.path(), desired("1", AuthMode::Identity, &["ml-a", "ml-b"]));
        while cloud.calls().is_empty() {
            cloud.called.notified().await;
        }
        let waited = gap(started, cloud.lock().calls[0].0);
        assert!(waited >= LATE_WRITE, "off by {off} s: {waited:?}");
        assert!(waited <= LATE_WRITE + Duration::from_secs(70), "off by {off} s: {waited:?}");
        rig.crash().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_write_whose_answer_is_lost_is_rested_before_the_next() {
    for landing in [None, Some(Duration::from_secs(120))] {
        let (cloud, dir) = (two(), settled_state());
        cloud.lock().faults.insert(1, Fault::Lost(landing));
        let rig = Rig::start(&cloud, dir.path(), desired("1", AuthMode::Identity, &["ml-a", "ml-b"]));
        rig.converged("1").await;
        let calls = cloud.lock().calls.clone();
        assert!(gap(calls[0].0, calls[1].0) >= LATE_WRITE, "{calls:?}");
        let failed = rig.told(Name::ActionFailed);
        assert_eq!(failed.len(), 1, "{failed:?}");
        assert_eq!(failed[0].result, Some("unknown"));
        assert!(rig.stop().await.settled, "the rest is over");
    }
}

#[tokio::test(start_paused = true)]
async fn stopping_while_a_write_may_still_land_leaves_the_mark_off() {
    let (cloud, dir) = (two(), settled_state());
    cloud.lock().faults.insert(1, Fault::Lost(None));
    let rig = Rig::start(&cloud, dir.path(), desired("1", AuthMode::Identity, &["ml-a", "ml-b"]));
    rig.until("a failed write", |snapshot| !snapshot.counters.failed_writes.is_empty()).await;
    assert!(!rig.stop().await.settled);
    assert!(!StateDir::open(dir.path()).unwrap().mark().is_set());
}

#[tokio::test(start_paused = true)]
async fn without_the_mark_the_first_write_waits_and_with_it_it_does_not() {
    for (dir, waits) in [(state(), true), (settled_state(), false)] {
        let cloud = two();
        let start = cloud.now();
        let rig = Rig::start(&cloud, dir.path(), desired("1", AuthMode::Identity, &["ml-a", "ml-b"]));
        rig.until("a write", |snapshot| !snapshot.counters.writes.is_empty()).await;
        let waited = gap(start, cloud.lock().calls[0].0);
        assert_eq!(waited >= LATE_WRITE, waits, "waited {waited:?}");
        assert!(waited < LATE_WRITE + Duration::from_secs(70));
        assert!(StateDir::open(dir.path()).is_err(), "the directory is held");
        assert!(rig.stop().await.settled);
        assert!(StateDir::open(dir.path()).unwrap().mark().is_set());
    }
}

#[tokio::test(start_paused = true)]
async fn stopping_within_the_boot_wait_leaves_the_wait_to_the_next_process() {
    let (cloud, dir) = (two(), state());
    let rig = Rig::start(&cloud, dir.path(), desired("1", AuthMode::Identity, &["ml-a", "ml-b"]));
    rig.passes(2).await;
    assert!(!rig.stop().await.settled);
    assert_eq!(cloud.calls(), Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn a_stop_lets_a_call_under_way_finish_and_sends_nothing_after_it() {
    let (cloud, dir) = (two(), settled_state());
    cloud.lock().faults.insert(1, Fault::Slow(Duration::from_secs(6)));
    let rig = Rig::start(&cloud, dir.path(), desired("1", AuthMode::Identity, &["ml-a", "ml-b"]));
    cloud.called.notified().await;
    let asked = Instant::now();
    assert!(rig.stop().await.settled);
    assert!(asked.elapsed() < Duration::from_secs(10), "{:?}", asked.elapsed());
    assert_eq!(cloud.calls().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_stop_while_the_gates_are_confirmed_sends_nothing() {
    for operation in ["locks", "account", "role_assignments"] {
        let (cloud, dir) = (two(), settled_state());
        let rig = Rig::start(&cloud, dir.path(), desired("1", AuthMode::Identity, &["ml-a", "ml-b"]));
        let (cancel, mut reads) = (rig.cancel.clone(), 0);
        cloud.lock().on_read = Some(Box::new(move |read| {
            reads += usize::from(read == operation);
            if reads == if operation == "locks" { 1 } else { 2 } {
                cancel.cancel();
            }
        }));
        rig.cancel.cancelled().await;
        assert!(rig.told(Name::DriftCleared).is_empty(), "a stopped pass clears nothing");
        assert!(rig.stop().await.settled);
        assert_eq!(cloud.calls(), Vec::<String>::new(), "{operation}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_call_that_is_not_answered_in_eight_seconds_is_abandoned_unsettled() {
    let (cloud, dir) = (two(), settled_state());
    cloud.lock().faults.insert(1, Fault::Hang(None));
    let rig = Rig::start(&cloud, dir.path(), desired("1", AuthMode::Identity, &["ml-a", "ml-b"]));
    cloud.called.notified().await;
    let (asked, events) = (Instant::now(), Arc::clone(&rig.events));
    assert!(!rig.stop().await.settled);
    let unknown = events.events().into_iter().filter(|event| event.result == Some("unknown"));
    assert_eq!(unknown.count(), 1, "what was abandoned is told");
    assert!((8..10).contains(&asked.elapsed().as_secs()), "{:?}", asked.elapsed());
    assert!(!StateDir::open(dir.path()).unwrap().mark().is_set());
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_read_blocks_and_is_told_once() {
    // A grant does not depend on the account's flag, and everything else does.
    for (operation, free) in [("role_assignments", 0), ("account", 1), ("locks", 0), ("workspace", 0)] {
        let (cloud, dir) = (two(), settled_state());
        cloud.lock().down.insert(operation);
        let rig = Rig::start(&cloud, dir.path(), desired("1", AuthMode::Identity, &["ml-a", "ml-b"]));
        let told = || rig.told(Name::ObserveIncomplete).len() + rig.told(Name::GateUnmet).len();
        rig.passes(2).await;
        let first = told();
        assert!(first > 0, "{operation}: {:?}", rig.events.events());
        rig.passes(5).await;
        assert_eq!(told(), first, "{operation}: {:?}", rig.events.events());
        assert_eq!(cloud.calls(), FORWARD[..free], "{operation}");
        assert!(rig.told(Name::DriftCleared).is_empty(), "{operation}: unknown is not cleared");
        cloud.lock().down.clear();
        rig.converged("1").await;
        assert_eq!(cloud.calls(), FORWARD, "{operation}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_failed_list_or_metric_keeps_the_key_on() {
    for operation in ["workspaces", "key_usage", "datastores", "subscriptions"] {
        let (cloud, dir) = (two(), settled_state());
        let rig = Rig::start(&cloud, dir.path(), desired("1", AuthMode::Identity, &["ml-a", "ml-b"]));
        rig.passes(1).await;
        cloud.lock().down.insert(operation);
        rig.until("blocked", |snapshot| {
            snapshot
                .accounts
                .values()
                .all(|account| account.standing() == Some(Standing::Blocked) && account.steps_left() == 1)
        })
        .await;
        rig.passes(5).await;
        assert_eq!(cloud.calls(), FORWARD[..3], "{operation}");
        cloud.lock().down.clear();
        rig.converged("1").await;
        assert_eq!(cloud.calls(), FORWARD, "{operation}");
    }
}

/// Nobody's workspaces tell when they were switched.
#[tokio::test(start_paused = true)]
async fn a_key_that_only_the_document_of_its_account_wants_off_waits_for_the_metric_once() {
    let (cloud, dir) = (two(), settled_state());
    for name in ["ml-a", "ml-b"] {
        cloud.lock().workspaces.get_mut(&workspace_id(name)).unwrap().auth_mode = ObservedAuthMode::Identity;
    }
    let rig = Rig::start(
        &cloud,
        dir.path(),
        with_key(desired("1", AuthMode::Identity, &[]), "stone", DesiredSharedKey::Disabled),
    );
    rig.until("the key is off", |snapshot| snapshot.accounts.values().any(|account| account.writes == 1)).await;
    assert!(!cloud.key_on("stone"));
    let first = cloud.lock().account_reads[&account_id("stone")][0];
    let off = cloud.lock().calls[0].0;
    assert!((waits().metrics_lag..waits().metrics_lag * 3).contains(&gap(first, off)), "{:?}", gap(first, off));
}

#[tokio::test(start_paused = true)]
async fn a_look_that_does_not_find_out_where_everything_stands_is_made_once_more_before_long() {
    let (cloud, dir) = (two(), settled_state());
    cloud.lock().down.extend(["workspaces", "workspace"]);
    let rig = Rig::start(&cloud, dir.path(), desired("1", AuthMode::Identity, &["ml-a", "ml-b"]));
    let searches = |least| move |snapshot: &Snapshot| snapshot.counters.searches >= least;
    rig.until("one look", searches(1)).await;
    let begun = Instant::now();
    rig.until("another", searches(2)).await;
    rig.until("and one more", searches(3)).await;
    let took = begun.elapsed();
    assert!((Duration::from_secs(14)..Duration::from_secs(20)).contains(&took), "5 s and 10 s: {took:?}");
    cloud.lock().down.clear();
    rig.until("all is found", |snapshot| snapshot.unplaced.is_empty() && snapshot.fleet_complete == Some(true)).await;
    let done = rig.status.snapshot().counters.searches;
    let begun = Instant::now();
    rig.until("the next", searches(done + 1)).await;
    assert!(begun.elapsed() > Duration::from_secs(30), "{:?}", begun.elapsed());
}

#[tokio::test(start_paused = true)]
async fn files_that_change_in_the_midst_of_a_pass_stop_its_write() {
    for operation in ["role_assignments", "locks", "account"] {
        let (cloud, dir) = (two(), settled_state());
        let rig = Rig::start(&cloud, dir.path(), desired("1", AuthMode::Identity, &["ml-a", "ml-b"]));
        let mut held = desired("2", AuthMode::Identity, &["ml-a", "ml-b"]);
        for workspace in held.workspaces.values_mut() {
            workspace.enforcement = Enforcement::Observe;
        }
        let (files, mut reads) = (Arc::clone(&rig.files), 0);
        cloud.lock().on_read = Some(Box::new(move |read| {
            reads += usize::from(read == operation);
            // Locks are read only to confirm; the others before, and again to confirm.
            if reads == if operation == "locks" { 1 } else { 2 } {
                files.send_replace(Some(Arc::new(held.clone())));
            }
        }));
        rig.until("the new revision", |snapshot| {
            snapshot.accounts.values().any(|account| {
                account.plan.as_ref().is_some_and(|plan| plan.revision.0 == "2") //
            })
        })
        .await;
        rig.passes(3).await;
        assert_eq!(cloud.calls(), Vec::<String>::new(), "{operation}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_undeclared_workspace_and_a_key_user_hold_the_key_on() {
    let (cloud, dir) = (two(), settled_state());
    let start = cloud.now();
    let user_stops = start + SignedDuration::from_hours(3);
    cloud.lock().key_users.insert(account_id("stone"), user_stops);
    let rig = Rig::start(&cloud, dir.path(), desired("1", AuthMode::Identity, &["ml-a"]));
    rig.until("one step left", |snapshot| snapshot.accounts.values().any(|account| account.steps_left() == 1)).await;
    rig.passes(3).await;
    assert_eq!(cloud.calls(), FORWARD[..2]);
    let gates = rig.told(Name::GateUnmet);
    assert!(gates.iter().any(|event| event.gate.as_deref() == Some("all_on_identity")), "{gates:?}");
    cloud.lock().workspaces.get_mut(&workspace_id("ml-b")).unwrap().auth_mode = ObservedAuthMode::Identity;
    rig.converged("1").await;
    let off = cloud.lock().calls[2].0;
    let idle = rig.told(Name::GateUnmet).into_iter().filter(|event| event.gate.as_deref() == Some("key_idle"));
    assert_eq!(idle.count(), 1, "a later end of the same wait is no news");
    assert!(gap(user_stops, off) >= waits().key_idle, "the key user was not waited for");
}

/// A process before this one may have begun it, and what it ends with shows only then.
#[tokio::test(start_paused = true)]
async fn an_operation_on_a_workspace_holds_the_key_on_until_it_has_ended() {
    let (cloud, dir) = (two(), settled_state());
    let set = |mode: ObservedAuthMode, state: &str| {
        let mut cloud = cloud.lock();
        let own = cloud.workspaces.get_mut(&workspace_id("ml-b")).unwrap();
        (own.auth_mode, own.provisioning_state) = (mode, Some(state.to_owned()));
    };
    set(ObservedAuthMode::Identity, "Updating");
    let rig = Rig::start(&cloud, dir.path(), desired("1", AuthMode::Identity, &["ml-a"]));
    rig.until("one step left", |snapshot| snapshot.accounts.values().any(|account| account.steps_left() == 1)).await;
    rig.passes(10).await;
    assert_eq!(cloud.calls(), FORWARD[..2]);
    let held = rig.told(Name::GateUnmet).into_iter().find(|event| event.gate.as_deref() == Some("all_on_identity"));
    let why = held.unwrap().why.unwrap();
    assert!(why.contains("another operation runs on workspace ml-b (undeclared) (`Updating`)"), "{why}");
    set(ObservedAuthMode::AccessKey, "Succeeded");
    rig.passes(10).await;
    assert_eq!(cloud.calls(), FORWARD[..2], "it put the workspace on the key");
    set(ObservedAuthMode::Identity, "Failed");
    rig.converged("1").await;
    assert!(!cloud.key_on("stone"));
}

#[tokio::test(start_paused = true)]
async fn a_foreign_hand_is_noticed_within_an_interval_announced_once_and_undone() {
    let (cloud, dir) = (two(), settled_state());
    let rig = Rig::start(&cloud, dir.path(), desired("1", AuthMode::Identity, &["ml-a", "ml-b"]));
    rig.converged("1").await;
    let before = (rig.told(Name::DriftDetected).len(), rig.told(Name::DriftCleared).len());
    cloud.lock().accounts.insert(account_id("stone"), true);
    let drifted = Instant::now();
    rig.until("drift", |snapshot| snapshot.accounts.values().any(|account| account.drift() > 0)).await;
    assert!(drifted.elapsed() <= Duration::from_secs(62), "{:?}", drifted.elapsed());
    rig.converged("1").await;
    assert_eq!(cloud.calls()[4..], ["key off stone"]);
    rig.passes(5).await;
    assert_eq!(rig.told(Name::DriftDetected).len(), before.0 + 1);
    assert_eq!(rig.told(Name::DriftCleared).len(), before.1 + 1);
}

#[tokio::test(start_paused = true)]
async fn an_unchanged_drift_is_told_again_as_a_reminder() {
    let (cloud, dir) = (two(), settled_state());
    let mut files = desired("1", AuthMode::Identity, &["ml-a"]);
    files.workspaces.values_mut().for_each(|workspace| workspace.enforcement = Enforcement::Observe);
    let options = Options { alert_reminder: Duration::from_secs(3600), ..Options::default() };
    let rig = Rig::start_with(&cloud, dir.path(), files, options);
    rig.passes(1).await;
    let first = rig.told(Name::DriftDetected).len();
    assert!(first > 0);
    rig.passes(50).await;
    assert_eq!(rig.told(Name::DriftDetected).len(), first);
    rig.passes(30).await;
    let told = rig.told(Name::DriftDetected);
    assert_eq!(told.len(), 2 * first);
    assert!(told[first..].iter().all(|event| event.reminder));
    assert_eq!(cloud.calls(), Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn a_refusal_that_a_person_lifts_is_tried_with_growing_waits() {
    let (cloud, dir) = (two(), settled_state());
    for number in 1..=3 {
        cloud.lock().faults.insert(number, Fault::Refused);
    }
    let rig = Rig::start(&cloud, dir.path(), desired("1", AuthMode::Identity, &["ml-a", "ml-b"]));
    rig.converged("1").await;
    let calls = cloud.lock().calls.clone();
    let waits: Vec<u64> = calls.windows(2).take(3).map(|pair| gap(pair[0].0, pair[1].0).as_secs()).collect();
    // The server's time is known to the second.
    for (wait, least) in waits.iter().zip([60, 120, 240]) {
        assert!((least - 1..least + 65).contains(wait), "{waits:?}");
    }
    let failed = rig.told(Name::ActionFailed);
    assert_eq!(failed.len(), 3);
    assert!(failed.iter().all(|event| event.code.as_deref() == Some("ScopeLocked") && event.level == Level::Error));
    assert!(failed.iter().all(|event| event.error_class == Some("refused")));
    assert!(failed.iter().all(|event| event.lift.as_deref() == Some("remove the lock at rg")));
    let held: Vec<_> =
        rig.told(Name::GateUnmet).into_iter().filter(|e| e.gate.as_deref() == Some("not_refused")).collect();
    assert!(!held.is_empty());
    assert!(held.iter().all(|event| event.why.as_deref().unwrap().contains("what lifts it: remove the lock at rg")));
}

#[tokio::test(start_paused = true)]
async fn a_read_that_is_refused_is_asked_for_with_growing_pauses_and_at_once_when_the_files_change() {
    const ASKED: [&str; 4] = ["account", "role_assignments", "workspace", "locks"];
    let (cloud, dir) = (two(), settled_state());
    let files = |revision| desired(revision, AuthMode::Identity, &["ml-a", "ml-b"]);
    let rig = Rig::start(&cloud, dir.path(), files("1"));
    rig.converged("1").await;
    let count = |operation| cloud.lock().reads.get(operation).copied().unwrap_or_default();
    let total = || ASKED.map(count).iter().sum::<u64>();

    // What an hour of passes costs where nothing is refused, and what six hours cost where all is.
    let (before, begin) = (total(), cloud.now());
    rig.passes(60).await;
    let (healthy, hour) = (total() - before, gap(begin, cloud.now()));
    cloud.lock().forbidden.extend(ASKED);
    let (before, begin) = (total(), cloud.now());
    rig.passes(60 * 6).await;
    let (refused, hours) = (total() - before, gap(begin, cloud.now()));
    assert!(hours >= hour * 5, "passes go on meanwhile");
    // Two workspaces, so at most five things are asked for, each no more than eleven times in six hours.
    assert!(healthy > 150 && refused <= 5 * 12, "{healthy} requests in an hour, {refused} in {hours:?} of refusals");
    let told: Vec<_> = rig.told(Name::ObserveIncomplete);
    assert!(told.iter().any(|event| event.lift.as_deref() == Some("grant the controller `account`")), "{told:?}");
    assert!(told.iter().all(|event| event.error_class == Some("refused")), "{told:?}");
    assert!(told.len() <= 5, "told once: {told:?}");

    cloud.lock().forbidden.clear();
    rig.files.send_replace(Some(Arc::new(files("2"))));
    let (changed, begin) = (total(), cloud.now());
    rig.converged("2").await;
    assert!(total() > changed);
    assert!(gap(begin, cloud.now()) < Duration::from_secs(10), "a person was here, so it is asked at once");
}

#[tokio::test(start_paused = true)]
async fn a_failure_that_changes_back_and_forth_is_told_once_for_each_kind() {
    let (cloud, dir) = (two(), settled_state());
    let rig = Rig::start(&cloud, dir.path(), desired("1", AuthMode::Identity, &["ml-a", "ml-b"]));
    rig.converged("1").await;
    cloud.lock().forbidden.insert("account");
    for _ in 0..4 {
        rig.passes(70).await;
        cloud.lock().down.insert("account");
        rig.passes(70).await;
        cloud.lock().down.clear();
    }
    let kinds: Vec<_> = rig.told(Name::ObserveIncomplete).iter().map(|event| event.error_class).collect();
    assert_eq!(kinds, [Some("refused"), Some("transient")]);
}

#[tokio::test(start_paused = true)]
async fn rights_that_are_granted_are_noticed_within_the_hour_without_a_change_of_the_files() {
    let (cloud, dir) = (two(), settled_state());
    let rig = Rig::start(&cloud, dir.path(), desired("1", AuthMode::Identity, &["ml-a", "ml-b"]));
    rig.converged("1").await;
    cloud.lock().forbidden.insert("account");
    rig.passes(600).await;
    cloud.lock().forbidden.clear();
    let begin = cloud.now();
    rig.converged("1").await;
    assert!(gap(begin, cloud.now()) <= Duration::from_secs(61 * 60));
}

#[tokio::test(start_paused = true)]
async fn a_read_that_is_refused_does_not_hold_up_the_others() {
    let (cloud, dir) = (two(), settled_state());
    let rig = Rig::start(&cloud, dir.path(), desired("1", AuthMode::Identity, &["ml-a", "ml-b"]));
    rig.converged("1").await;
    cloud.lock().forbidden.insert("locks");
    rig.passes(60).await;
    // Drift is still noticed within an interval.
    cloud.lock().accounts.insert(account_id("stone"), true);
    let begin = cloud.now();
    rig.until("drift", |snapshot| snapshot.accounts.values().any(|account| account.steps_left() == 1)).await;
    assert!(gap(begin, cloud.now()) <= Duration::from_secs(70));
}

#[tokio::test(start_paused = true)]
async fn a_change_that_does_not_stick_is_not_fought_over() {
    // A grant, a mode, and the key.
    for number in [1, 2, 4] {
        let (cloud, dir) = (two(), settled_state());
        cloud.lock().faults.insert(number, Fault::DoesNotStick);
        let rig = Rig::start(&cloud, dir.path(), desired("1", AuthMode::Identity, &["ml-a", "ml-b"]));
        rig.converged("1").await;
        let failed = rig.told(Name::ActionFailed);
        assert_eq!((failed.len(), failed[0].result), (1, Some("did_not_stick")));
        assert!(failed[0].why.as_deref().unwrap().contains("a policy of effect Modify"), "{failed:?}");
        assert!(failed[0].lift.as_deref().unwrap().contains("exemption"), "{failed:?}");
        let calls = cloud.lock().calls.clone();
        assert!(gap(calls[number - 1].0, calls[number].0) >= LATE_WRITE, "{calls:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn every_write_is_read_back_from_the_resource_itself_once() {
    let (cloud, dir) = (two(), settled_state());
    let rig = Rig::start(&cloud, dir.path(), desired("1", AuthMode::Identity, &["ml-a", "ml-b"]));
    rig.converged("1").await;
    let grants = cloud.calls().iter().filter(|call| call.starts_with("grant")).count();
    assert_eq!(cloud.lock().reads.get("role_assignment").copied(), Some(grants as u64));
    let _ = rig.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_grant_that_no_list_shows_is_made_again_with_growing_waits() {
    let (cloud, dir) = (two(), settled_state());
    for number in 1..=4 {
        cloud.lock().faults.insert(number, Fault::Unlisted);
    }
    let rig = Rig::start(&cloud, dir.path(), desired("1", AuthMode::Identity, &["ml-a", "ml-b"]));
    rig.converged("1").await;
    let calls = cloud.lock().calls.clone();
    let waits: Vec<u64> = calls.windows(2).take(4).map(|pair| gap(pair[0].0, pair[1].0).as_secs()).collect();
    // The server's time is known to the second.
    for (wait, least) in waits.iter().zip([1, 2, 4, 8]) {
        assert!((least - 1..least + 3).contains(wait), "{waits:?}");
    }
    assert_eq!(calls.len(), 4 + FORWARD.len());
}

#[tokio::test(start_paused = true)]
async fn a_full_write_quota_is_waited_for_while_drift_is_told_at_once() {
    let (cloud, dir) = (two(), settled_state());
    let free = cloud.now() + SignedDuration::from_secs(600);
    cloud.lock().quota_until = Some(free);
    let rig = Rig::start(&cloud, dir.path(), desired("1", AuthMode::Identity, &["ml-a", "ml-b"]));
    rig.passes(1).await;
    assert!(!rig.told(Name::DriftDetected).is_empty());
    rig.converged("1").await;
    assert!(cloud.lock().calls[0].0 >= free);
    assert!(rig.told(Name::ActionFailed).is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_project_stands_on_its_hubs_account_and_holds_its_key() {
    let (cloud, dir) = (two(), settled_state());
    {
        let mut state = cloud.lock();
        let mut project = workspace("project", None, ObservedAuthMode::AccessKey);
        project.kind = WorkspaceKind::Project;
        project.hub = Some(workspace_id("ml-b"));
        state.workspaces.insert(project.id.clone(), project);
    }
    let rig = Rig::start(&cloud, dir.path(), desired("1", AuthMode::Identity, &["ml-a", "ml-b"]));
    rig.until("one step left", |snapshot| snapshot.accounts.values().any(|account| account.steps_left() == 1)).await;
    rig.passes(3).await;
    assert_eq!(cloud.calls(), FORWARD[..3]);
    let snapshot = rig.status.snapshot();
    assert!(snapshot.accounts[&account_id("stone")].workspaces.contains(&workspace_id("project")));
}

#[tokio::test(start_paused = true)]
async fn a_hub_of_several_accounts_holds_the_key_of_each() {
    let (cloud, dir) = (two(), settled_state());
    cloud.add("quarry", &[]);
    {
        let mut state = cloud.lock();
        let mut hub = workspace("hub", Some("quarry"), ObservedAuthMode::AccessKey);
        hub.kind = WorkspaceKind::Hub;
        hub.more_accounts.insert(account_id("stone"));
        state.workspaces.insert(hub.id.clone(), hub);
    }
    let rig = Rig::start(&cloud, dir.path(), desired("1", AuthMode::Identity, &["ml-a", "ml-b"]));
    rig.until("one step left", |snapshot| snapshot.accounts.values().any(|account| account.steps_left() == 1)).await;
    rig.passes(3).await;
    assert_eq!(cloud.calls(), FORWARD[..3]);
    cloud.lock().workspaces.get_mut(&workspace_id("hub")).unwrap().auth_mode = ObservedAuthMode::Identity;
    rig.converged("1").await;
    assert_eq!(cloud.calls(), FORWARD);
}

#[tokio::test(start_paused = true)]
async fn a_workspace_that_cannot_be_placed_holds_every_key_and_one_that_is_gone_does_not() {
    let (cloud, dir) = (two(), settled_state());
    cloud.add("quarry", &["ml-c"]);
    cloud.lock().unlisted.insert(workspace_id("ml-c"));
    let rig = Rig::start(&cloud, dir.path(), desired("1", AuthMode::Identity, &["ml-a", "ml-b", "ml-c", "gone"]));
    cloud.lock().lost.insert(workspace_id("ml-c"));
    let all_but_the_key = |snapshot: &Snapshot| {
        let stone = snapshot.accounts.get(&account_id("stone"));
        stone.is_some_and(|stone| stone.standing() == Some(Standing::Blocked) && stone.steps_left() == 1)
    };
    rig.until("all but the key", all_but_the_key).await;
    rig.passes(4).await;
    assert_eq!(cloud.calls(), FORWARD[..3]);
    let snapshot = rig.status.snapshot();
    assert_eq!(snapshot.unplaced.keys().collect::<Vec<_>>(), [&workspace_id("ml-c")]);
    let told = rig.told(Name::ObserveIncomplete);
    assert!(told.iter().any(|event| event.workspace.is_some() && event.error_class == Some("refused")), "{told:?}");
    cloud.lock().lost.clear();
    rig.converged("1").await;
    let snapshot = rig.status.snapshot();
    assert_eq!(snapshot.accounts.len(), 2, "a workspace that lists do not show is found by a direct read");
    assert!(snapshot.unplaced.is_empty());
    assert_eq!(rig.told(Name::WorkspaceMissing).len(), 1);
    assert!(!cloud.key_on("stone") && !cloud.key_on("quarry"));
}

#[tokio::test(start_paused = true)]
async fn a_stored_key_in_a_workspace_on_another_account_holds_the_key_on() {
    let (cloud, dir) = (two(), settled_state());
    cloud.add("quarry", &["ml-c"]);
    let stored = Datastore {
        name: "crossstore".to_owned(),
        account_name: Some("stone".to_owned()),
        credentials: DatastoreCredentials::AccountKey,
        form: DatastoreForm::default(),
    };
    cloud.lock().datastores.insert(workspace_id("ml-c"), vec![stored]);
    let rig = Rig::start(&cloud, dir.path(), desired("1", AuthMode::Identity, &["ml-a", "ml-b", "ml-c"]));
    let held = |snapshot: &Snapshot| {
        let stone = snapshot.accounts.get(&account_id("stone"));
        stone.is_some_and(|stone| stone.standing() == Some(Standing::Blocked) && stone.steps_left() == 1)
    };
    rig.until("held", held).await;
    rig.passes(4).await;
    assert!(cloud.key_on("stone"));
    let told = rig.told(Name::GateUnmet);
    assert!(
        told.iter().any(|event| event.why.as_deref().is_some_and(|why| why.contains("ml-c/crossstore"))),
        "{told:?}"
    );
    cloud.lock().datastores.clear();
    rig.converged("1").await;
    assert!(!cloud.key_on("stone") && !cloud.key_on("quarry"));
}

#[tokio::test(start_paused = true)]
async fn many_accounts_are_each_read_within_the_interval_and_bounded() {
    let (cloud, dir) = (Cloud::new(), settled_state());
    let names: Vec<String> = (0..30).map(|n| format!("ml-{n}")).collect();
    for (n, name) in names.iter().enumerate() {
        cloud.add(&format!("stone{n}"), &[name]);
    }
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let options = Options { max_in_flight: 3, ..Options::default() };
    let rig = Rig::start_with(&cloud, dir.path(), desired("1", AuthMode::Identity, &names), options);
    rig.until("as many passes as there may be", |snapshot| snapshot.in_flight == 3).await;
    rig.converged("1").await;
    assert_eq!(cloud.calls().len(), 90);
    rig.passes(60).await;
    let snapshot = rig.status.snapshot();
    assert!(snapshot.accounts.values().all(|account| account.age().unwrap() <= Duration::from_secs(61)));
    // Four reads of each of three passes, four of the look over the fleet, and sixteen of the one sweep of datastores.
    assert!(cloud.lock().most_under_way <= 32, "{}", cloud.lock().most_under_way);
}

#[tokio::test(start_paused = true)]
async fn accounts_that_fail_slowly_do_not_starve_the_others() {
    let cloud = Cloud::new();
    let names: Vec<String> = (0..60).map(|n| format!("account{n:03}")).collect();
    for name in &names {
        cloud.add(name, &[&format!("ws-{name}")]);
    }
    // Far more work than there is room for: 40 accounts that take half a minute each, and four at a time.
    cloud.lock().stuck = names.iter().take(40).map(|name| account_id(name)).collect();
    let workspaces: Vec<String> = names.iter().map(|name| format!("ws-{name}")).collect();
    let workspaces: Vec<&str> = workspaces.iter().map(String::as_str).collect();
    let options = Options { max_in_flight: 4, ..Options::default() };
    let dir = settled_state();
    let rig = Rig::start_with(&cloud, dir.path(), desired("r1", AuthMode::Identity, &workspaces), options);
    rig.until("each was looked at", |snapshot| {
        !snapshot.accounts.is_empty() && snapshot.accounts.values().all(|account| account.passes > 0)
    })
    .await;
    let from = cloud.now();
    tokio::time::sleep(Duration::from_secs(3600)).await;
    let to = cloud.now();
    let read = cloud.lock().account_reads.clone();
    for name in names.iter().skip(40) {
        let reads = read[&account_id(name)].iter().copied().filter(|at| *at >= from);
        let times: Vec<_> = std::iter::once(from).chain(reads).chain([to]).collect();
        let longest = times.windows(2).map(|pair| gap(pair[0], pair[1])).max().unwrap();
        assert!(longest <= 2 * options.interval, "{name} was left alone for {longest:?}");
    }
    let _ = rig.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_subscription_that_azure_has_closed_for_a_moment_is_waited_for_without_a_call() {
    let cloud = two();
    let dir = settled_state();
    let rig = Rig::start(&cloud, dir.path(), desired("r1", AuthMode::Identity, &["ml-a", "ml-b"]));
    rig.converged("r1").await;
    // The next pass is due within this.
    rig.passes(1).await;
    tokio::time::sleep(Duration::from_secs(10)).await;
    let (before, closed) = (cloud.now(), cloud.now() + SignedDuration::from_secs(59));
    cloud.lock().closed_until = Some(closed);
    rig.passes(1).await;
    assert!(cloud.now() >= closed);
    let read = cloud.lock().account_reads.clone();
    let early = read.values().flatten().filter(|at| **at > before && **at < closed);
    assert_eq!(early.count(), 0);
    let _ = rig.stop().await;
}

#[tokio::test(start_paused = true)]
async fn who_never_heard_from_azure_does_not_say_that_writes_of_before_have_landed() {
    let (cloud, dir) = (two(), state());
    cloud.lock().down.extend(["subscriptions", "workspaces", "workspace"]);
    let rig = Rig::start(&cloud, dir.path(), desired("1", AuthMode::Identity, &["ml-a", "ml-b"]));
    rig.until("looks that fail", |snapshot| snapshot.counters.searches > 3).await;
    assert!(!rig.stop().await.settled);
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_read_is_read_again_after_an_interval() {
    let (cloud, dir) = (two(), settled_state());
    cloud.lock().down.insert("role_assignments");
    let rig = Rig::start(&cloud, dir.path(), desired("1", AuthMode::Identity, &["ml-a", "ml-b"]));
    rig.passes(1).await;
    let began = Instant::now();
    rig.passes(5).await;
    assert!(began.elapsed() >= Options::default().interval.mul_f64(0.85 * 5.0), "{:?}", began.elapsed());
}

#[tokio::test(start_paused = true)]
async fn where_the_state_directory_is_gone_the_passes_grow_rarer_and_nothing_is_written() {
    let (cloud, dir) = (two(), settled_state());
    let rig = Rig::start(&cloud, dir.path(), desired("1", AuthMode::Identity, &["ml-a", "ml-b"]));
    std::fs::remove_dir_all(dir.path()).unwrap();
    rig.passes(1).await;
    let began = Instant::now();
    rig.passes(5).await;
    assert!(began.elapsed() >= Duration::from_secs(10), "{:?}", began.elapsed());
    assert_eq!(cloud.calls(), Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn a_look_over_the_fleet_tells_every_step_and_writes_nothing() {
    let cloud = two();
    let plans = plan_fleet(Arc::new(desired("1", AuthMode::Identity, &["ml-a", "ml-b"])), cloud.clone(), 4).await;
    let steps: Vec<String> = plans.accounts[0].plan.steps.iter().map(|step| step.action.to_string()).collect();
    assert_eq!(steps.len(), 4, "{steps:?}");
    assert!(plans.accounts[0].plan.wants.is_empty(), "all gates were looked at");
    assert_eq!(cloud.calls(), Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn equal_seeds_make_equal_runs() {
    let mut runs = Vec::new();
    for _ in 0..2 {
        let (cloud, dir) = (two(), settled_state());
        cloud.add("quarry", &["ml-c"]);
        cloud.lock().faults.insert(2, Fault::Lost(None));
        let rig = Rig::start(&cloud, dir.path(), desired("1", AuthMode::Identity, &["ml-a", "ml-b", "ml-c"]));
        rig.converged("1").await;
        let calls = cloud.lock().calls.clone();
        runs.push((calls, rig.events.events()));
    }
    assert_eq!(runs[0], runs[1]);
}
