//! The controller and user-created datastores, on a cloud in memory.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use keyless_arm::api::ReadArm;
use keyless_controller::ServerClock;
use keyless_controller::event::{Event, Name};
use keyless_controller::growth::Growth;
use keyless_controller::mark::StateDir;
use keyless_controller::memory::Memory;
use keyless_controller::observe::{Ask, Observer};
use keyless_core::action::Action;
use keyless_core::desired::*;
use keyless_core::gate::ReadSet;
use keyless_core::observed::{Caller, CallerKind, Change, Datastore, DatastoreCredentials, DatastoreForm};
use keyless_core::plan::Standing;

use crate::cloud::*;
use crate::rig::Rig;

fn settled_state() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    StateDir::open(dir.path()).unwrap().mark().set().unwrap();
    dir
}

fn stored(name: &str, credentials: DatastoreCredentials) -> Datastore {
    let form = DatastoreForm { kind: "AzureBlob".to_owned(), space: Some(name.to_owned()), ..DatastoreForm::default() };
    Datastore { name: name.to_owned(), account_name: Some("stone".to_owned()), credentials, form }
}

/// One workspace with one datastore that stores the key.
fn one() -> Arc<Cloud> {
    let cloud = Cloud::with("stone", &["ml-a"]);
    cloud.lock().datastores.insert(workspace_id("ml-a"), vec![stored("raw", DatastoreCredentials::AccountKey)]);
    cloud
}

fn asking(revision: &str, datastores: DesiredDatastores, accepted: bool) -> Desired {
    let mut files = desired(revision, AuthMode::Identity, &["ml-a"]);
    let declared = files.workspaces.get_mut(&workspace_id("ml-a")).unwrap();
    declared.datastores = datastores;
    let until: Timestamp = "2027-01-01T00:00:00Z".parse().unwrap();
    declared.accept_one_way =
        accepted.then(|| Acceptance { reason: "agreed".to_owned(), owner: "ada".to_owned(), until });
    files
}

fn described(name: &str, space: &str) -> (String, DesiredDatastore) {
    let place = DatastorePlace {
        kind: DatastoreKind::Blob,
        account: None,
        space: space.to_owned(),
        subscription: None,
        resource_group: None,
        service_access: None,
    };
    let asked = DesiredDatastore { name: name.to_owned(), form: DesiredForm::At(place), accept_access: None };
    (name.to_owned(), asked)
}

const CONVERTED: [&str; 4] =
    ["grant Storage Blob Data Contributor stone", "ml-a identity", "convert ml-a/raw", "key off stone"];

#[tokio::test(start_paused = true)]
async fn a_stored_key_goes_between_the_switch_and_the_key() {
    let (cloud, dir) = (one(), settled_state());
    let rig = Rig::start(&cloud, dir.path(), asking("1", DesiredDatastores::ConvertAll, true));
    rig.converged("1").await;
    assert_eq!(cloud.calls(), CONVERTED);
    assert_eq!(cloud.lock().reads["datastore"], 1, "it is read once more right before it is written back");
    let applied = rig.told(Name::ActionApplied);
    let kinds: Vec<_> = applied.iter().filter_map(|event| event.kind).collect();
    assert_eq!(kinds, ["GrantRole", "SetAuthMode", "SetDatastoreCredential", "SetSharedKeyAccess"]);
}

#[tokio::test(start_paused = true)]
async fn without_acceptance_it_stops_before_the_secret_is_lost_and_says_so() {
    let (cloud, dir) = (one(), settled_state());
    let rig = Rig::start(&cloud, dir.path(), asking("1", DesiredDatastores::ConvertAll, false));
    rig.until("blocked", |snapshot| {
        snapshot.accounts.values().any(|account| account.standing() == Some(Standing::Blocked))
    })
    .await;
    rig.passes(3).await;
    assert_eq!(cloud.calls(), CONVERTED[..2]);
    let told = rig.told(Name::GateUnmet);
    let held = told.iter().find(|event| event.gate.as_deref() == Some("one_way_accepted")).unwrap();
    assert!(held.lift.as_deref().unwrap().contains("acceptOneWay"), "{held:?}");
    rig.files.send_replace(Some(Arc::new(asking("2", DesiredDatastores::ConvertAll, true))));
    rig.converged("2").await;
    assert_eq!(cloud.calls(), CONVERTED);
}

#[tokio::test(start_paused = true)]
async fn what_does_not_stick_is_a_failure_and_is_not_written_again_and_again() {
    let (cloud, dir) = (one(), settled_state());
    for number in 3..=200 {
        cloud.lock().faults.insert(number, Fault::DoesNotStick);
    }
    let rig = Rig::start(&cloud, dir.path(), asking("1", DesiredDatastores::ConvertAll, true));
    rig.until("failed", |_| rig.told(Name::ActionFailed).len() >= 3).await;
    let failed = rig.told(Name::ActionFailed);
    assert!(failed.iter().all(|event| event.result == Some("did_not_stick")), "{failed:?}");
    assert_eq!(failed[0].kind, Some("SetDatastoreCredential"));
    assert!(failed[0].why.as_deref().unwrap().contains("holds its credential as before"), "{failed:?}");
    assert!(failed[0].lift.as_deref().unwrap().contains("apiVersions"), "{failed:?}");
    let calls = cloud.lock().calls.clone();
    let gaps: Vec<Duration> =
        calls[2..].windows(2).map(|pair| pair[1].0.duration_since(pair[0].0).try_into().unwrap()).collect();
    assert!(gaps.iter().all(|gap| *gap >= Duration::from_secs(5 * 60)), "{gaps:?}");
    assert!(cloud.key_on("stone"));
}

#[tokio::test(start_paused = true)]
async fn a_credential_of_another_kind_that_came_meanwhile_is_not_overwritten_by_an_old_plan() {
    let (cloud, dir) = (one(), settled_state());
    let meddled = Arc::clone(&cloud);
    cloud.lock().on_read = Some(Box::new(move |operation| {
        let mut state = meddled.lock();
        if operation == "datastore" && state.reads["datastore"] == 1 {
            let other = DatastoreCredentials::Principal("ServicePrincipal".to_owned());
            state.datastores.insert(workspace_id("ml-a"), vec![stored("raw", other)]);
        }
    }));
    let rig = Rig::start(&cloud, dir.path(), asking("1", DesiredDatastores::ConvertAll, true));
    rig.converged("1").await;
    assert_eq!(cloud.calls(), [CONVERTED[0], CONVERTED[1], CONVERTED[3]], "a service principal needs no key");
    let failed = rig.told(Name::ActionFailed);
    assert!(failed[0].why.as_deref().unwrap().contains("it holds ServicePrincipal now"), "{failed:?}");
    assert_eq!(failed[0].result, Some("not_sent"));
}

#[tokio::test(start_paused = true)]
async fn a_lost_answer_rests_the_account_before_the_next_write() {
    for lands in [None, Some(Duration::from_secs(200))] {
        let (cloud, dir) = (one(), settled_state());
        cloud.lock().faults.insert(3, Fault::Lost(lands));
        let rig = Rig::start(&cloud, dir.path(), asking("1", DesiredDatastores::ConvertAll, true));
        rig.converged("1").await;
        let calls = cloud.lock().calls.clone();
        let gap: Duration = calls[3].0.duration_since(calls[2].0).try_into().unwrap();
        assert!(gap >= Duration::from_secs(5 * 60), "{calls:?}");
        assert_eq!(calls.len(), if lands.is_some() { 4 } else { 5 }, "{calls:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_missing_datastore_is_made_and_what_differs_is_told_once_and_cleared() {
    let (cloud, dir) = (Cloud::with("stone", &["ml-a"]), settled_state());
    let listed = |space: &str| DesiredDatastores::Listed([described("curated", space)].into());
    let rig = Rig::start(&cloud, dir.path(), asking("1", listed("curated"), false));
    rig.converged("1").await;
    assert!(cloud.calls().contains(&"create ml-a/curated".to_owned()), "{:?}", cloud.calls());
    let calls = cloud.calls().len();
    rig.files.send_replace(Some(Arc::new(asking("2", listed("other"), false))));
    let differs = || {
        let told = rig.told(Name::DriftDetected);
        told.into_iter()
            .filter(|event| event.drift.as_deref().is_some_and(|drift| drift.contains("`container`")))
            .count()
    };
    rig.until("told", |_| differs() > 0).await;
    rig.passes(5).await;
    assert_eq!((differs(), cloud.calls().len()), (1, calls));
    rig.files.send_replace(Some(Arc::new(asking("3", listed("curated"), false))));
    rig.converged("3").await;
    let cleared = rig.told(Name::DriftCleared);
    assert!(cleared.iter().any(|event| event.drift.as_deref().is_some_and(|drift| drift.contains("`container`"))));
}

#[tokio::test(start_paused = true)]
async fn on_another_account_the_roles_there_decide() {
    let (cloud, dir) = (Cloud::with("stone", &["ml-a"]), settled_state());
    cloud.add("quarry", &[]);
    let mut far = stored("raw", DatastoreCredentials::AccountKey);
    far.account_name = Some("quarry".to_owned());
    far.form.subscription = Some(SUBSCRIPTION.to_owned());
    far.form.resource_group = Some("rg".to_owned());
    cloud.lock().datastores.insert(workspace_id("ml-a"), vec![far]);
    let rig = Rig::start(&cloud, dir.path(), asking("1", DesiredDatastores::ConvertAll, true));
    let held = || rig.told(Name::GateUnmet).into_iter().find(|event| event.gate.as_deref() == Some("access_judged"));
    rig.until("held", |_| held().is_some()).await;
    let held = held().unwrap();
    assert!(held.why.as_deref().unwrap().contains("at quarry: group"), "{held:?}");
    assert!(held.lift.as_deref().unwrap().contains("acceptAccess"), "{held:?}");
    assert!(!cloud.calls().iter().any(|call| call.starts_with("convert")), "{:?}", cloud.calls());
    // Somebody grants there what keyless granted at home.
    let mut granted = cloud.lock().assignments[&account_id("stone")][0].clone();
    granted.scope = account_id("quarry").arm().clone();
    granted.created_on = Some(cloud.now());
    granted.updated_on = granted.created_on;
    let before = cloud.now();
    cloud.lock().assignments.insert(account_id("quarry"), vec![granted]);
    rig.converged("1").await;
    let calls = cloud.lock().calls.clone();
    let (at, _) = calls.iter().find(|(_, call)| call == "convert ml-a/raw").unwrap();
    assert!(at.duration_since(before) >= jiff::SignedDuration::from_mins(15), "{calls:?}");
}

fn wrote(cloud: &Cloud, by: &str, verb: &str) -> Change {
    let resource = format!("{}/datastores/raw", workspace_id("ml-a").arm().folded());
    Change {
        at: cloud.now(),
        operation: format!("Microsoft.MachineLearningServices/workspaces/datastores/{verb}"),
        resource,
        by: Caller { kind: CallerKind::User, name: Some(by.to_owned()), ..Caller::default() },
        own: false,
        policies: Vec::new(),
        correlation_id: None,
        client_request_id: None,
        body: None,
    }
}

/// Somebody makes the datastore store the key again, and the log shows it.
fn turns_back(cloud: &Cloud, by: &str) {
    let change = wrote(cloud, by, "write");
    let mut state = cloud.lock();
    state.datastores.insert(workspace_id("ml-a"), vec![stored("raw", DatastoreCredentials::AccountKey)]);
    state.log.push((change.at, change));
}

#[tokio::test(start_paused = true)]
async fn a_datastore_that_stores_the_key_again_names_who_did_it() {
    let (cloud, dir) = (one(), settled_state());
    let rig = Rig::start(&cloud, dir.path(), asking("1", DesiredDatastores::ConvertAll, true));
    rig.converged("1").await;
    let holds = |event: &Event| event.drift.as_deref().is_some_and(|drift| drift.contains("datastore raw holds"));
    assert!(
        rig.told(Name::DriftDetected).iter().filter(|event| holds(event)).all(|event| event.changed_by.is_none()),
        "the first one came from nobody"
    );
    assert_eq!(cloud.lock().reads.get("changes"), None);
    let at = cloud.now();
    turns_back(&cloud, "dana@example.com");
    rig.passes(6).await;
    let told = rig.told(Name::DriftDetected);
    let told: Vec<_> = told.iter().filter(|event| holds(event) && event.changed_by.is_some()).collect();
    assert_eq!(told.len(), 1, "{told:?}");
    assert_eq!((told[0].changed_by.as_deref(), told[0].changed_at), (Some("dana@example.com"), Some(at)));
    assert_eq!(told[0].operation.as_deref(), Some("Microsoft.MachineLearningServices/workspaces/datastores/write"));
    assert_eq!(cloud.lock().datastores[&workspace_id("ml-a")][0].credentials, DatastoreCredentials::None);
}

#[tokio::test(start_paused = true)]
async fn a_new_datastore_with_the_key_and_one_that_is_removed_name_who_did_it() {
    let (cloud, dir) = (Cloud::with("stone", &["ml-a"]), settled_state());
    let rig = Rig::start(&cloud, dir.path(), asking("1", DesiredDatastores::ConvertAll, true));
    rig.converged("1").await;
    rig.passes(2).await;
    turns_back(&cloud, "dana@example.com");
    rig.passes(6).await;
    let told = rig.told(Name::DriftDetected);
    let told = told.iter().rev().find(|event| event.drift.as_deref().is_some_and(|drift| drift.contains("raw holds")));
    assert_eq!(told.unwrap().changed_by.as_deref(), Some("dana@example.com"));

    let listed = DesiredDatastores::Listed([described("raw", "raw")].into());
    rig.files.send_replace(Some(Arc::new(asking("2", listed, true))));
    rig.converged("2").await;
    rig.passes(2).await;
    let change = wrote(&cloud, "eve@example.com", "delete");
    {
        let mut state = cloud.lock();
        state.datastores.clear();
        state.log.push((change.at, change));
    }
    rig.passes(6).await;
    let told = rig.told(Name::DriftDetected);
    let told = told.iter().rev().find(|event| event.drift.as_deref().is_some_and(|drift| drift.contains("not exist")));
    assert_eq!(told.unwrap().changed_by.as_deref(), Some("eve@example.com"), "{told:?}");
}

#[tokio::test(start_paused = true)]
async fn a_datastore_that_stores_the_key_again_and_again_is_left_alone_with_both_sides_named() {
    let (cloud, dir) = (one(), settled_state());
    let rig = Rig::start(&cloud, dir.path(), asking("1", DesiredDatastores::ConvertAll, true));
    rig.converged("1").await;
    for _ in 0..3 {
        assert_eq!(rig.told(Name::FightDetected), []);
        turns_back(&cloud, "corrector@example.com");
        rig.passes(4).await;
    }
    let told = rig.told(Name::FightDetected);
    assert_eq!(told.len(), 1, "{told:?}");
    assert_eq!(told[0].changed_by.as_deref(), Some("corrector@example.com"));
    assert_eq!(told[0].workspace.as_deref(), Some(workspace_id("ml-a").as_str()));
    let writes = cloud.calls().len();
    rig.passes(30).await;
    assert_eq!(cloud.calls().len(), writes, "it is left alone");
    assert_eq!(cloud.lock().datastores[&workspace_id("ml-a")][0].credentials, DatastoreCredentials::AccountKey);
}

/// All that a write rests on is read side by side, and one answer may take long: what was answered beside it is old then.
#[tokio::test(start_paused = true)]
async fn what_was_answered_while_another_read_took_long_is_read_once_more_before_a_write() {
    let action = Action::SetSharedKeyAccess { account: account_id("stone"), allowed: false };
    for (confirming, slow, seen) in [
        (Some(&action), Duration::from_secs(6), true),
        (Some(&action), Duration::from_secs(1), false),
        // A plan is no write.
        (None, Duration::from_secs(6), false),
    ] {
        let cloud = Cloud::with("stone", &["ml-a"]);
        cloud.lock().slow.insert("locks", slow);
        let memory = Arc::new(Memory::new(Growth::PERSON));
        let observer = Observer::new(Arc::clone(&cloud) as Arc<dyn ReadArm>, Arc::new(ServerClock::default()), memory);
        let files = desired("1", AuthMode::Identity, &["ml-a"]);
        let own = files.for_key(&account_id("stone"), |_| true, Arc::default());
        let reads = ReadSet { locks: true, datastores: [workspace_id("ml-a")].into(), ..ReadSet::default() };
        let ask = Ask { desired: &own, reads: &reads, confirming, known: &BTreeSet::new() };
        let late = async {
            tokio::time::sleep(slow / 2).await;
            let stored = vec![stored("raw", DatastoreCredentials::AccountKey)];
            cloud.lock().datastores.insert(workspace_id("ml-a"), stored);
        };
        let (part, ()) = tokio::join!(observer.observe(ask), late);
        let read = part.part.workspaces[&workspace_id("ml-a")].datastores.value().unwrap();
        assert_eq!(!read.is_empty(), seen, "{confirming:?} {slow:?}");
    }
}
