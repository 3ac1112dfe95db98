//! The controller over workspaces that were switched, and whoever loses access in them afterwards: how often it looks, what it
//! tells, and that it writes nothing.

use keyless_controller::event::{Event, Level, Name};
use keyless_controller::mark::StateDir;
use keyless_core::catalog::BLOB_CONTRIBUTOR;
use keyless_core::desired::{AuthMode, ServiceGrants};
use keyless_core::id::{AssignmentName, PrincipalId};
use keyless_core::observed::{
    DeniedPrincipal, DenyAssignment, Endpoint, Identity, Permission, PrincipalType, RoleAssignment,
};
use keyless_core::plan::Standing;
use std::collections::BTreeMap;

use crate::cloud::*;
use crate::rig::Rig;

fn settled_state() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    StateDir::open(dir.path()).unwrap().mark().set().unwrap();
    dir
}

fn denied(who: PrincipalId) -> DenyAssignment {
    DenyAssignment {
        name: "stack".to_owned(),
        scope: account_id("stone").arm().clone(),
        permissions: vec![Permission { data_actions: vec!["*".to_owned()], ..Permission::default() }],
        exact_scope_only: false,
        principals: vec![DeniedPrincipal::Group(who)],
        excluded: Default::default(),
        conditional: false,
    }
}

/// What is told of lost access.
fn lost(rig: &Rig, name: Name) -> Vec<Event> {
    let of = |event: &Event| event.drift.as_deref().is_some_and(|drift| drift.contains("a deny assignment stands"));
    rig.told(name).into_iter().filter(of).collect()
}

fn unread(rig: &Rig) -> usize {
    let of = |event: &&Event| event.why.as_deref().is_some_and(|why| why.starts_with("deny assignments against"));
    rig.told(Name::ObserveIncomplete).iter().filter(of).count()
}

#[tokio::test(start_paused = true)]
async fn a_denial_that_comes_after_the_switch_is_told_once_and_so_is_its_end() {
    let (cloud, dir) = (Cloud::with("stone", &["ml-a", "ml-b"]), settled_state());
    let rig = Rig::start(&cloud, dir.path(), desired("1", AuthMode::Identity, &["ml-a", "ml-b"]));
    rig.converged("1").await;
    let writes = cloud.calls();
    let before = cloud.lock().reads["deny_assignments"];
    rig.passes(10).await;
    let read = cloud.lock().reads["deny_assignments"] - before;
    assert!((9..=11).contains(&read), "read {read} times in 10 passes of two workspaces");

    cloud.lock().denies = vec![denied(group(1))];
    // One may be under way.
    rig.passes(2).await;
    let told = lost(&rig, Name::DriftDetected);
    assert_eq!(told.len(), 2, "one for each workspace: {told:#?}");
    assert_eq!((told[0].level, told[0].principal.clone()), (Level::Warn, Some(group(1).to_string())));
    let why = told[0].why.as_deref().unwrap();
    assert!(why.contains("`stack`") && told[0].lift.is_some() && told[0].role.is_some(), "{told:#?}");
    let standing = |rig: &Rig| rig.status.snapshot().accounts[&account_id("stone")].standing();
    assert_eq!(standing(&rig), Some(Standing::Blocked));
    rig.passes(10).await;
    assert_eq!(lost(&rig, Name::DriftDetected).len(), 2, "told once");

    // What cannot be read has not ended, and is not nothing.
    cloud.lock().down.insert("deny_assignments");
    rig.passes(5).await;
    assert_eq!(unread(&rig), 1);
    cloud.lock().denies.clear();
    rig.passes(5).await;
    assert_eq!((lost(&rig, Name::DriftCleared).len(), unread(&rig)), (0, 1));
    cloud.lock().down.clear();
    rig.passes(2).await;
    assert_eq!(lost(&rig, Name::DriftCleared).len(), 2);
    rig.passes(5).await;
    assert_eq!(lost(&rig, Name::DriftCleared).len(), 2);
    assert_eq!(lost(&rig, Name::DriftDetected).len(), 2);
    assert_eq!(standing(&rig), Some(Standing::Converged));
    assert_eq!(cloud.calls(), writes, "nothing is written because of it");
}

/// What was kept says that nobody is denied; the confirming read says otherwise, and is believed from then on.
#[tokio::test(start_paused = true)]
async fn a_denial_that_only_the_confirming_read_shows_stops_the_switch_once() {
    let (cloud, dir) = (Cloud::with("stone", &["ml-a"]), settled_state());
    let watching = std::sync::Arc::downgrade(&cloud);
    cloud.lock().on_read = Some(Box::new(move |operation| {
        // Only a confirming pass reads locks and jobs, and the deny assignments after them.
        if operation == "jobs"
            && let Some(cloud) = watching.upgrade()
            && cloud.lock().reads.get("jobs").is_some_and(|reads| *reads == 2)
        {
            cloud.lock().denies = vec![denied(group(1))];
        }
    }));
    let rig = Rig::start(&cloud, dir.path(), desired("1", AuthMode::Identity, &["ml-a"]));
    rig.until("the switch is held", |snapshot| {
        let mut plans = snapshot.accounts.values().filter_map(|account| account.plan.as_ref());
        plans.any(|plan| plan.standing() == Standing::Blocked)
    })
    .await;
    rig.passes(5).await;
    let raced = rig.told(Name::PassFinished).into_iter().filter_map(|event| event.why).collect::<Vec<_>>();
    assert_eq!(raced.len(), 1, "{raced:#?}");
    assert_eq!(cloud.calls(), ["grant Storage Blob Data Contributor stone"]);
    cloud.lock().denies.clear();
    rig.converged("1").await;
}

/// Azure leaves endpoints out of the list without a word where the right to read them is taken.
#[tokio::test(start_paused = true)]
async fn an_endpoint_that_is_not_shown_any_more_has_not_been_granted_to() {
    let (cloud, dir) = (Cloud::with("stone", &["ml-a"]), settled_state());
    let account = account_id("stone");
    let scope = account.arm().clone();
    let name = AssignmentName(uuid::Uuid::from_u128(5));
    let by_service = RoleAssignment {
        id: scope.role_assignment(name),
        name,
        scope,
        principal: group(5),
        principal_type: Some(PrincipalType::ServicePrincipal),
        role: BLOB_CONTRIBUTOR,
        condition: None,
        description: None,
        created_on: Some("2025-01-01T00:00:00Z".parse().unwrap()),
        updated_on: None,
    };
    {
        let mut state = cloud.lock();
        state.workspaces.values_mut().for_each(|own| own.identity.system = Some(group(5)));
        state.assignments.entry(account).or_default().push(by_service);
    }
    let mut wanted = desired("1", AuthMode::Identity, &["ml-a"]);
    wanted.workspaces.values_mut().for_each(|workspace| workspace.service_grants = ServiceGrants::Wait);
    let rig = Rig::start(&cloud, dir.path(), wanted);
    rig.converged("1").await;
    let before = cloud.lock().reads["own_rights"];
    rig.passes(10).await;
    let read = cloud.lock().reads["own_rights"] - before;
    assert!((9..=11).contains(&read), "read {read} times in 10 passes of one workspace");

    let score = Endpoint {
        workspace: workspace_id("ml-a"),
        name: "score".to_owned(),
        identity: Identity { system: Some(group(7)), user_assigned: BTreeMap::new() },
    };
    cloud.lock().endpoints.push(score);
    rig.passes(2).await;
    let told = || (rig.told(Name::ServiceGrantMissing).len(), rig.told(Name::ServiceGrantCleared).len());
    let standing = || rig.status.snapshot().accounts[&account_id("stone")].standing();
    assert_eq!((told(), standing()), ((1, 0), Some(Standing::Blocked)));
    let unseen = || {
        let all = rig.told(Name::ObserveIncomplete);
        all.iter().filter(|event| event.why.as_deref().is_some_and(|why| why.contains("onlineEndpoints/read"))).count()
    };
    cloud.lock().no_right.insert("Microsoft.MachineLearningServices/workspaces/onlineEndpoints/read");
    rig.passes(5).await;
    assert_eq!((told(), standing(), unseen()), ((1, 0), Some(Standing::Blocked), 1));
    let drift = || rig.status.snapshot().accounts[&account_id("stone")].drift();
    assert_eq!(drift(), 1, "what is not seen has not ended");
    cloud.lock().forbidden.insert("own_rights");
    rig.passes(5).await;
    assert_eq!(told(), (1, 0), "whether it is shown is not known");
    cloud.lock().forbidden.clear();
    cloud.lock().no_right.clear();
    rig.passes(5).await;
    assert_eq!((told(), standing()), ((1, 0), Some(Standing::Blocked)), "still the same");
    cloud.lock().endpoints.clear();
    rig.passes(2).await;
    assert_eq!((told(), standing(), drift()), ((1, 1), Some(Standing::Converged), 0));
}
