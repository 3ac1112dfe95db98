//! What changes while a pass is about to write, workspaces that come to stand on the account among it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};

use futures::FutureExt as _;
use keyless_arm::api::ReadArm;
use keyless_controller::ServerClock;
use keyless_controller::event::Event;
use keyless_controller::execute::{Hands, Intends, Passed, Surroundings, run_pass};
use keyless_controller::growth::Growth;
use keyless_controller::memory::Memory;
use keyless_controller::observe::{Ask, Observer};
use keyless_core::desired::{Desired, KeyDesired, Revision};
use keyless_core::gate::ReadSet;
use keyless_core::observed::{Datastore, DatastoreCredentials, DatastoreForm, Observed, ObservedWorkspace, Reading};
use keyless_core::pass::{CONFIRM_WITHIN, Intent, Job, WriteResult};
use keyless_core::plan::{Limits, Look, Plan};
use tokio::sync::Notify;

use super::*;

struct Silent;

#[async_trait::async_trait]
impl Intends for Silent {
    async fn goes_on(&self, _: &Plan, _: &Observed) -> bool {
        true
    }
}

/// One pass over an account that nothing holds by the server's time.
async fn pass(cloud: &Arc<Cloud>, dir: &Path, newcomer: &str, rests_until: Option<Instant>) -> Passed {
    pass_under(cloud, dir, newcomer, rests_until, &|| Revision("1".to_owned())).await
}

/// As [`pass`], under files of which `revision` tells.
async fn pass_under(
    cloud: &Arc<Cloud>,
    dir: &Path,
    newcomer: &str,
    rests_until: Option<Instant>,
    revision: &(dyn Fn() -> Revision + Send + Sync),
) -> Passed {
    let files = desired("1", AuthMode::Identity, &["ml-a"]);
    pass_by(&observer(cloud), &files, cloud, dir, newcomer, rests_until, revision).await
}

fn observer(cloud: &Arc<Cloud>) -> Observer {
    let (clock, memory) = (Arc::new(ServerClock::default()), Arc::new(Memory::new(Growth::PERSON)));
    Observer::new(Arc::clone(cloud) as Arc<dyn ReadArm>, clock, memory)
}

/// The files' part for an account.
fn part(files: &Desired, account: &str, cloud: &Cloud) -> KeyDesired {
    KeyDesired {
        revision: files.revision.clone(),
        fleet: files.fleet.clone(),
        account_id: account_id(account),
        account: files.accounts.get(&account_id(account)).cloned(),
        workspaces: files.workspaces.clone(),
        unplaced: Arc::default(),
        out_of_scope: Reading::known(BTreeSet::new(), cloud.now()),
        out_of_sight: BTreeMap::new(),
        group_is_shared: false,
    }
}

/// As [`pass_under`], by other files and an observer that others may use too.
async fn pass_by(
    observer: &Observer,
    files: &Desired,
    cloud: &Arc<Cloud>,
    dir: &Path,
    newcomer: &str,
    rests_until: Option<Instant>,
    revision: &(dyn Fn() -> Revision + Send + Sync),
) -> Passed {
    let job = Job {
        desired: part(files, "stone", cloud),
        limits: Limits::default(),
        intent: Intent::Converge,
        look: Look::WhatMatters,
    };
    let observed = Observed {
        workspaces: [(workspace_id("ml-a"), ObservedWorkspace::unread())].into(),
        ..Observed::unread(account_id("stone"), cloud.now())
    };
    let state_dir = StateDir::open(dir).unwrap();
    let around = Surroundings {
        observer,
        hands: Some(Hands { write: &**cloud, state_dir: &state_dir }),
        known: &BTreeSet::new(),
        revision,
        newcomers: &|| BTreeSet::from([workspace_id(newcomer)]),
        intends: &Silent,
        rests_until,
        cancel: &CancellationToken::new(),
    };
    run_pass(job, observed, &around).await.0
}

#[tokio::test(start_paused = true)]
async fn a_workspace_that_only_a_newer_look_over_the_fleet_shows_stops_the_write() {
    for (newcomer, calls) in [("ml-a", 1), ("hub-late", 0)] {
        let (cloud, dir) = (Cloud::with("stone", &["ml-a"]), settled_state());
        let passed = pass(&cloud, dir.path(), newcomer, None).await;
        assert_eq!(cloud.calls().len(), calls, "{newcomer}");
        let Passed::Finished(report) = passed else { panic!("{newcomer}: {passed:?}") };
        let result = report.write.unwrap().result;
        assert_eq!(
            matches!(&result, WriteResult::NotSent { why, .. } if why.contains("hub-late")),
            calls == 0,
            "{result:?}"
        );
    }
}

/// The look over the fleet from which the pass begins did not show it.
#[tokio::test(start_paused = true)]
async fn a_workspace_that_only_the_pass_itself_lists_holds_the_key_on_unless_it_is_excluded() {
    let (cloud, dir) = (Cloud::with("stone", &["ml-a", "hub-late"]), settled_state());
    cloud.lock().workspaces.get_mut(&workspace_id("ml-a")).unwrap().auth_mode = ObservedAuthMode::Identity;
    let mut files = with_key(desired("1", AuthMode::Identity, &[]), "stone", DesiredSharedKey::Disabled);
    let same = || Revision("1".to_owned());
    let passed = pass_by(&observer(&cloud), &files, &cloud, dir.path(), "ml-a", None, &same).await;
    let Passed::Finished(report) = passed else { panic!("{passed:?}") };
    assert!(cloud.calls().is_empty());
    let steps = format!("{:?}", report.plan.steps);
    assert!(steps.contains("workspace hub-late (undeclared) is on accesskey"), "{steps}");

    files.fleet.scope.exclude.insert(workspace_id("hub-late").arm().clone());
    // The write itself is not for here: it locks out who was excluded.
    let rest = Some(Instant::now() + Duration::from_secs(200));
    let passed = pass_by(&observer(&cloud), &files, &cloud, dir.path(), "ml-a", rest, &same).await;
    assert!(matches!(passed, Passed::Deferred { .. }) && cloud.calls().is_empty(), "{passed:?}");
}

/// The lists that the pass itself reads are older.
#[tokio::test(start_paused = true)]
async fn a_key_stays_on_that_the_pass_of_another_account_sees_stored_before_the_write() {
    for (holds, sent) in [(None, true), (Some("other"), true), (Some("stone"), false)] {
        let (cloud, dir) = (Cloud::with("stone", &["ml-a"]), settled_state());
        cloud.lock().workspaces.get_mut(&workspace_id("ml-a")).unwrap().auth_mode = ObservedAuthMode::Identity;
        // The last read before the write is of the account.
        cloud.lock().slow.insert("account", Duration::from_millis(500));
        let mut files = with_key(desired("1", AuthMode::Identity, &["ml-a"]), "stone", DesiredSharedKey::Disabled);
        files.workspaces.get_mut(&workspace_id("ml-a")).unwrap().needs.clear();
        let confirmed = Arc::new(Notify::new());
        let (at, shown, mut locks) = (Arc::downgrade(&cloud), Arc::clone(&confirmed), 0);
        cloud.lock().on_read = Some(Box::new(move |read| {
            // Locks are read once for the plan and once more to confirm it.
            locks += usize::from(read == "locks");
            if locks == 2 && read == "account" {
                let raw = holds.map(|account| Datastore {
                    name: "raw".to_owned(),
                    account_name: Some(account.to_owned()),
                    credentials: DatastoreCredentials::AccountKey,
                    form: DatastoreForm::default(),
                });
                let cloud = at.upgrade().unwrap();
                cloud.lock().datastores.insert(workspace_id("ml-a"), Vec::from_iter(raw));
                shown.notify_one();
            }
        }));
        let observer = observer(&cloud);
        let elsewhere = ReadSet { elsewhere: true, ..ReadSet::default() };
        let (other, known) = (part(&files, "other", &cloud), BTreeSet::new());
        let look = async {
            confirmed.notified().await;
            observer.observe(Ask { desired: &other, reads: &elsewhere, confirming: None, known: &known }).await
        };
        let same = || Revision("1".to_owned());
        let pass = pass_by(&observer, &files, &cloud, dir.path(), "ml-a", None, &same);
        let (passed, _) = tokio::join!(pass, look);
        let Passed::Finished(report) = passed else { panic!("{holds:?}: {passed:?}") };
        assert_eq!(cloud.calls().len(), usize::from(sent), "{holds:?} {:?}", report.write);
        let result = report.write.unwrap().result;
        let why = "a datastore of ml-a holds the key since a moment ago";
        assert_eq!(matches!(&result, WriteResult::NotSent { why: told, .. } if told == why), !sent, "{result:?}");
    }
}

/// How long a read of the cloud takes.
const READ: Duration = Duration::from_millis(20);

/// The files are looked at once more when nothing is left to be read.
#[tokio::test(start_paused = true)]
async fn what_changes_or_grows_old_after_the_last_read_stops_the_write() {
    let (cloud, dir) = (Cloud::with("stone", &["ml-a"]), settled_state());
    let before_the_write = AtomicUsize::new(0);
    let same = || {
        before_the_write.fetch_add(usize::from(cloud.calls().is_empty()), Ordering::Relaxed);
        Revision("1".to_owned())
    };
    let _ = pass_under(&cloud, dir.path(), "ml-a", None, &same).await;
    let last = before_the_write.into_inner();

    for (revision, late, why) in [
        ("2", Duration::ZERO, Some("the files changed meanwhile")),
        ("1", CONFIRM_WITHIN - READ, None),
        ("1", CONFIRM_WITHIN - READ + Duration::from_millis(1), Some("the confirming reads have grown old")),
    ] {
        let (cloud, dir) = (Cloud::with("stone", &["ml-a"]), settled_state());
        let looks = AtomicUsize::new(1);
        let in_the_end = || {
            let is_last = looks.fetch_add(1, Ordering::Relaxed) == last;
            if is_last {
                // Its first poll is what moves the clock.
                let _ = tokio::time::advance(late).now_or_never();
            }
            Revision(if is_last { revision } else { "1" }.to_owned())
        };
        let passed = pass_under(&cloud, dir.path(), "ml-a", None, &in_the_end).await;
        assert_eq!(cloud.calls().is_empty(), why.is_some(), "{why:?}");
        let Passed::Finished(report) = passed else { panic!("{passed:?}") };
        let told = match report.write.unwrap().result {
            WriteResult::NotSent { why, .. } => Some(why),
            _ => None,
        };
        assert_eq!(told.as_deref(), why);
    }
}

#[tokio::test(start_paused = true)]
async fn nothing_is_sent_in_a_rest_that_the_servers_time_says_is_over() {
    let (cloud, dir) = (Cloud::with("stone", &["ml-a"]), settled_state());
    let rest = Duration::from_secs(200);
    let passed = pass(&cloud, dir.path(), "ml-a", Some(Instant::now() + rest)).await;
    let Passed::Deferred { retry_after: Some(left), .. } = passed else { panic!("{passed:?}") };
    assert!(cloud.calls().is_empty());
    tokio::time::sleep(left).await;
    let passed = pass(&cloud, dir.path(), "ml-a", Some(Instant::now())).await;
    assert!(matches!(passed, Passed::Finished(_)) && cloud.calls().len() == 1, "{passed:?}");
}

#[tokio::test(start_paused = true)]
async fn a_workspace_that_appears_while_the_key_is_about_to_go_holds_it_on() {
    for operation in ["locks", "key_usage", "datastores", "workspace"] {
        let (cloud, dir) = (two(), settled_state());
        let rig = Rig::start(&cloud, dir.path(), desired("1", AuthMode::Identity, &["ml-a", "ml-b"]));
        let (at, mut is_last, mut is_there) = (Arc::downgrade(&cloud), false, false);
        cloud.lock().on_read = Some(Box::new(move |read| {
            let cloud = at.upgrade().unwrap();
            let mut state = cloud.lock();
            // Locks are read only to confirm.
            is_last |= state.calls.len() == FORWARD.len() - 1 && read == "locks";
            if is_last && read == operation && !std::mem::replace(&mut is_there, true) {
                let own = workspace("hub-late", Some("stone"), ObservedAuthMode::AccessKey);
                state.workspaces.insert(own.id.clone(), own);
            }
        }));
        rig.until("the newcomer", |snapshot| {
            snapshot.accounts.values().any(|account| account.workspaces.contains(&workspace_id("hub-late")))
        })
        .await;
        rig.passes(3).await;
        assert_eq!(cloud.calls(), FORWARD[..3], "{operation}");
        let gates = rig.told(Name::GateUnmet);
        assert!(gates.iter().any(|event| event.gate.as_deref() == Some("all_on_identity")), "{gates:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_workspace_that_goes_back_to_keys_behind_its_direct_read_is_seen_in_the_list() {
    let (cloud, dir) = (two(), settled_state());
    let rig = Rig::start(&cloud, dir.path(), desired("1", AuthMode::Identity, &["ml-a", "ml-b"]));
    let (at, mut locks, mut is_done) = (Arc::downgrade(&cloud), 0, false);
    cloud.lock().on_read = Some(Box::new(move |read| {
        let cloud = at.upgrade().unwrap();
        let mut state = cloud.lock();
        // Locks are read once for the plan and once more to confirm it, beside the direct reads of the workspaces.
        locks += usize::from(state.calls.len() == FORWARD.len() - 1 && read == "locks");
        if locks == 2 && read == "workspaces" && !std::mem::replace(&mut is_done, true) {
            state.workspaces.get_mut(&workspace_id("ml-b")).unwrap().auth_mode = ObservedAuthMode::AccessKey;
        }
    }));
    rig.until("it is mended", |_| cloud.calls().len() > FORWARD.len()).await;
    rig.converged("1").await;
    let calls = cloud.calls();
    assert_eq!(calls[..3], FORWARD[..3]);
    assert_eq!(calls[3..], ["ml-b identity", "key off stone"], "the key waits until it is on identity again");
}

/// Whoever signed with the key in these moments may not know yet that they are over.
#[tokio::test(start_paused = true)]
async fn what_a_list_alone_shows_on_the_key_for_a_moment_is_waited_for_until_the_metric_tells_of_it() {
    let (cloud, dir) = (two(), settled_state());
    let rig = Rig::start(&cloud, dir.path(), desired("1", AuthMode::Identity, &["ml-a", "ml-b"]));
    rig.until("both switched", |_| cloud.calls().len() == FORWARD.len() - 1).await;
    let switched = cloud.now();
    let flash = Arc::new(OnceLock::new());
    let (at, shown, mut is_over) = (Arc::downgrade(&cloud), Arc::clone(&flash), false);
    cloud.lock().on_read = Some(Box::new(move |read| {
        let cloud = at.upgrade().unwrap();
        let now = cloud.now();
        let turn = |mode| cloud.lock().workspaces.get_mut(&workspace_id("ml-b")).unwrap().auth_mode = mode;
        match shown.get() {
            None if read == "workspaces" && gap(switched, now) > waits().metrics_lag / 2 => {
                shown.set(now).unwrap();
                turn(ObservedAuthMode::AccessKey);
            }
            Some(&began) if !is_over && gap(began, now) > READ => {
                is_over = true;
                turn(ObservedAuthMode::Identity);
            }
            _ => {}
        }
    }));
    rig.converged("1").await;
    assert_eq!(cloud.calls(), FORWARD, "nothing was left to be mended");
    let off = cloud.lock().calls[FORWARD.len() - 1].0;
    assert!(gap(*flash.get().unwrap(), off) >= waits().metrics_lag, "{:?}", gap(*flash.get().unwrap(), off));
}

#[tokio::test(start_paused = true)]
async fn a_workspace_that_a_list_shows_and_that_denies_itself_is_not_gone() {
    for declared in [&["ml-a", "ml-b"][..], &["ml-a"]] {
        let (cloud, dir) = (two(), settled_state());
        cloud.lock().answered_404.insert(workspace_id("ml-b"));
        let rig = Rig::start(&cloud, dir.path(), desired("1", AuthMode::Identity, declared));
        rig.until("the first switch", |_| cloud.calls().len() == 2).await;
        rig.passes(20).await;
        assert_eq!(cloud.calls(), FORWARD[..2], "{declared:?}");
        let gates = rig.told(Name::GateUnmet);
        let held = |event: &Event| {
            let why = event.why.as_deref().unwrap_or_default();
            event.gate.as_deref() == Some("all_on_identity") && why.contains("ml-b") && why.contains("a list shows it")
        };
        assert!(gates.iter().any(held), "{gates:?}");
        assert!(rig.told(Name::WorkspaceMissing).is_empty(), "{declared:?}");
        // Once the lists show it no more, it is gone.
        cloud.lock().workspaces.remove(&workspace_id("ml-b"));
        rig.until("key off", |_| !cloud.key_on("stone")).await;
    }
}

/// Where it stands has to be found out by that read, or by that of its hub.
#[tokio::test(start_paused = true)]
async fn a_listed_project_that_denies_itself_or_its_hub_leaves_its_list_incomplete() {
    for (hub, why) in [
        (None, "project is listed, and its own read says that it does not exist"),
        (Some("hub-gone"), "the account of project could not be found out: its hub hub-gone does not exist"),
    ] {
        let (cloud, dir) = (two(), settled_state());
        let mut project = workspace("project", None, ObservedAuthMode::AccessKey);
        project.hub = hub.map(workspace_id);
        if hub.is_none() {
            cloud.lock().answered_404.insert(project.id.clone());
        }
        cloud.lock().workspaces.insert(project.id.clone(), project);
        let rig = Rig::start(&cloud, dir.path(), desired("1", AuthMode::Identity, &["ml-a", "ml-b"]));
        rig.until("both switched", |_| cloud.calls().len() == 3).await;
        rig.passes(20).await;
        assert_eq!(cloud.calls(), FORWARD[..3]);
        let told = rig.told(Name::GateUnmet);
        let held = |event: &Event| {
            event.gate.as_deref() == Some("listed") && event.why.as_deref().is_some_and(|told| told.contains(why))
        };
        assert!(told.iter().any(held), "{told:?}");
    }
}
