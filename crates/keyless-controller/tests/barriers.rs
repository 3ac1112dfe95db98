//! The controller before barriers: what it reads of them how often, and what it does while it may not see them.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

#[allow(dead_code)]
mod cloud;
#[allow(dead_code)]
#[path = "cloud/rig.rs"]
mod rig;

use std::collections::{BTreeMap, BTreeSet};

use cloud::*;
use keyless_controller::event::Name;
use keyless_controller::mark::StateDir;
use keyless_core::desired::AuthMode;
use keyless_core::id::ArmId;
use keyless_core::plan::Standing;
use keyless_core::policy::{PolicyAssignment, PolicyCondition, PolicyDefinition, PolicyTest, PolicyValue};
use rig::Rig;

const FORWARD: [&str; 4] =
    ["grant Storage Blob Data Contributor stone", "ml-a identity", "ml-b identity", "key off stone"];

/// A state directory in which the last process left the settled mark.
fn settled_state() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    StateDir::open(dir.path()).unwrap().mark().set().unwrap();
    dir
}

fn policy(kind: &str) -> ArmId {
    ArmId::parse(&format!("/providers/Microsoft.Authorization/{kind}/no-keys")).unwrap()
}

/// Puts a policy in force that refuses keys that are on.
fn forbid_keys(state: &mut State) {
    let field = |field: &str, word: &str| PolicyCondition::Field {
        field: field.to_owned(),
        test: PolicyTest::Equals,
        value: PolicyValue::Word(word.to_owned()),
    };
    state.policies = vec![PolicyAssignment {
        id: policy("policyAssignments"),
        definition: policy("policyDefinitions"),
        enforced: true,
        not_scopes: Vec::new(),
        parameters: BTreeMap::new(),
        altered: false,
    }];
    let definition = PolicyDefinition {
        name: "no keys".to_owned(),
        defaults: BTreeMap::new(),
        condition: PolicyCondition::All(vec![
            field("type", "Microsoft.Storage/storageAccounts"),
            field("Microsoft.Storage/storageAccounts/allowSharedKeyAccess", "true"),
        ]),
        effect: PolicyValue::Word("Deny".to_owned()),
        sets: Vec::new(),
        bars_delete: false,
    };
    state.definitions = BTreeMap::from([(policy("policyDefinitions"), definition)]);
}

async fn held(rig: &Rig) {
    rig.until("only the key is left, and held", |snapshot| {
        let plans = snapshot.accounts.values().map(|account| account.plan.as_ref());
        let mut plans = plans.flatten();
        plans.any(|plan| {
            plan.standing() == Standing::Blocked
                && plan.steps.iter().map(|step| step.action.kind()).eq(["SetSharedKeyAccess"])
        })
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn the_key_stays_on_while_a_policy_bars_the_way_back_and_goes_off_afterwards() {
    let (cloud, dir) = (Cloud::with("stone", &["ml-a", "ml-b"]), settled_state());
    forbid_keys(&mut cloud.lock());
    let rig = Rig::start(&cloud, dir.path(), desired("1", AuthMode::Identity, &["ml-a", "ml-b"]));
    held(&rig).await;
    assert_eq!(cloud.calls(), FORWARD[..3]);
    let told = rig.told(Name::GateUnmet).into_iter().find(|event| event.gate.as_deref() == Some("way_back")).unwrap();
    assert!(told.lift.unwrap().contains("acceptOneWay"));
    // A policy that is gone is seen on the next look, and the definition is not asked for again.
    let definitions = cloud.lock().reads["policy_definition"];
    cloud.lock().policies.clear();
    rig.converged("1").await;
    assert_eq!(cloud.calls(), FORWARD);
    assert_eq!(cloud.lock().reads["policy_definition"], definitions);
}

#[tokio::test(start_paused = true)]
async fn a_policy_that_comes_in_the_last_moment_still_holds_the_key() {
    let (cloud, dir) = (Cloud::with("stone", &["ml-a", "ml-b"]), settled_state());
    let watching = std::sync::Arc::downgrade(&cloud);
    // The metric is read before policies are: what was read for the modes may not do for the key.
    let mut metrics = 0;
    cloud.lock().on_read = Some(Box::new(move |operation| {
        if operation == "key_usage"
            && let Some(cloud) = watching.upgrade()
        {
            metrics += 1;
            if metrics == 2 {
                forbid_keys(&mut cloud.lock());
            }
        }
    }));
    let rig = Rig::start(&cloud, dir.path(), desired("1", AuthMode::Identity, &["ml-a", "ml-b"]));
    held(&rig).await;
    assert!(cloud.key_on("stone"));
    assert_eq!(cloud.calls(), FORWARD[..3]);
}

#[tokio::test(start_paused = true)]
async fn without_the_rights_to_read_barriers_it_says_so_once_and_goes_on() {
    let (cloud, dir) = (Cloud::with("stone", &["ml-a", "ml-b"]), settled_state());
    cloud.lock().forbidden = BTreeSet::from(["policy_assignments", "own_rights", "role_assignment_count"]);
    let rig = Rig::start(&cloud, dir.path(), desired("1", AuthMode::Identity, &["ml-a", "ml-b"]));
    rig.converged("1").await;
    assert_eq!(cloud.calls(), FORWARD);
    let told = rig.told(Name::ObserveIncomplete);
    let about = |what: &str| told.iter().filter(|event| event.why.as_deref().unwrap().contains(what)).count();
    assert!(
        about("policies at") >= 1 && about("own rights at") >= 1 && about("count of role assignments") == 1,
        "{told:#?}"
    );
    assert!(told.iter().all(|event| event.lift.is_some()), "{told:#?}");
}

#[tokio::test(start_paused = true)]
async fn a_failure_that_may_pass_holds_every_step() {
    let (cloud, dir) = (Cloud::with("stone", &["ml-a"]), settled_state());
    cloud.lock().down.insert("policy_assignments");
    let rig = Rig::start(&cloud, dir.path(), desired("1", AuthMode::Identity, &["ml-a"]));
    rig.passes(5).await;
    assert_eq!(cloud.calls(), Vec::<String>::new());
    cloud.lock().down.clear();
    rig.converged("1").await;
}

#[tokio::test(start_paused = true)]
async fn a_right_that_is_missing_is_named_and_nothing_is_tried() {
    let (cloud, dir) = (Cloud::with("stone", &["ml-a"]), settled_state());
    cloud.lock().no_right = BTreeSet::from(["Microsoft.Authorization/roleAssignments/write"]);
    let rig = Rig::start(&cloud, dir.path(), desired("1", AuthMode::Identity, &["ml-a"]));
    rig.passes(3).await;
    assert_eq!(cloud.calls(), Vec::<String>::new());
    let told = rig.told(Name::GateUnmet);
    assert!(told.iter().any(|event| event.gate.as_deref() == Some("permitted")), "{told:#?}");
    cloud.lock().no_right.clear();
    rig.converged("1").await;
}
