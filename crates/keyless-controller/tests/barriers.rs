//! The controller before barriers: what it reads of them how often, and what it does while it may not see them.

use std::collections::{BTreeMap, BTreeSet};

use keyless_controller::event::{Event, Name};
use keyless_controller::mark::StateDir;
use keyless_core::desired::{AuthMode, Desired};
use keyless_core::id::{ArmId, WorkspaceId};
use keyless_core::observed::{DeniedPrincipal, DenyAssignment, ObservedAuthMode, Permission};
use keyless_core::plan::Standing;
use keyless_core::policy::{PolicyAssignment, PolicyCondition, PolicyDefinition, PolicyTest, PolicyValue};

use crate::cloud::*;
use crate::rig::Rig;

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
        overrides: Vec::new(),
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
    // The definition is asked for once an hour. That no policy is assigned any more is seen on the next look.
    let definitions = || cloud.lock().reads["policy_definition"];
    rig.passes(20).await;
    assert_eq!(definitions(), 1);
    rig.passes(70).await;
    assert_eq!(definitions(), 2);
    cloud.lock().policies.clear();
    rig.converged("1").await;
    assert_eq!(cloud.calls(), FORWARD);
    assert_eq!(definitions(), 2);
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

/// The controller of the cloud in memory is `group(0xee)`.
fn stopped(at: &ArmId, action: &str, whom: u8) -> DenyAssignment {
    DenyAssignment {
        name: "stop".to_owned(),
        scope: at.clone(),
        permissions: vec![Permission { actions: vec![action.to_owned()], ..Permission::default() }],
        exact_scope_only: false,
        principals: vec![DeniedPrincipal::One(group(whom))],
        excluded: BTreeSet::new(),
        conditional: false,
    }
}

#[tokio::test(start_paused = true)]
async fn a_denial_at_a_workspace_of_the_controller_itself_is_named_and_nothing_is_tried() {
    let (cloud, dir) = (Cloud::with("stone", &["ml-a", "ml-b"]), settled_state());
    let (a, b) = (workspace_id("ml-a"), workspace_id("ml-b"));
    let write = "Microsoft.MachineLearningServices/workspaces/write";
    cloud.lock().denies = vec![stopped(a.arm(), write, 0xaa), stopped(b.arm(), write, 0xee)];
    let rig = Rig::start(&cloud, dir.path(), desired("1", AuthMode::Identity, &["ml-a", "ml-b"]));
    rig.until("what is not denied is done", |_| cloud.calls().len() == 2).await;
    rig.passes(3).await;
    let read = || cloud.lock().reads["deny_assignments of a workspace"];
    let before = read();
    rig.passes(10).await;
    let read = read() - before;
    assert!((1..=11).contains(&read), "read {read} times in 10 passes with one workspace to be switched");
    assert_eq!(cloud.calls(), FORWARD[..2], "the other one is denied to somebody else");
    let held = |event: &&Event| event.gate.as_deref() == Some("permitted");
    let told: Vec<Event> = rig.told(Name::GateUnmet).iter().filter(held).cloned().collect();
    assert_eq!(told.len(), 1, "{told:#?}");
    assert_eq!(
        told[0].why.as_deref().unwrap(),
        format!("denied to the controller by the deny assignment `stop` at {b}")
    );
    cloud.lock().denies.clear();
    rig.converged("1").await;
    assert_eq!(cloud.calls(), FORWARD);
}

/// Three accounts with one grant due each, and places for two.
fn crowded() -> (std::sync::Arc<Cloud>, Desired) {
    let cloud = Cloud::with("sta", &["ml-a"]);
    cloud.add("stb", &["ml-b"]);
    cloud.add("stc", &["ml-c"]);
    cloud.lock().other_assignments = 3_998;
    (cloud, desired("1", AuthMode::Identity, &["ml-a", "ml-b", "ml-c"]))
}

fn grants(cloud: &Cloud) -> Vec<String> {
    let mut grants: Vec<String> = cloud.calls().into_iter().filter(|call| call.starts_with("grant")).collect();
    grants.sort();
    grants
}

/// Each alone would fit, and so Azure would be asked for one grant too many.
#[tokio::test(start_paused = true)]
async fn accounts_of_one_subscription_do_not_overrun_its_ceiling_together() {
    let ((cloud, files), dir) = (crowded(), tempfile::tempdir().unwrap());
    let rig = Rig::start(&cloud, dir.path(), files);
    rig.until("all that fits is done, and one is held", |snapshot| {
        let converged =
            |account: &&_| keyless_controller::status::AccountStatus::standing(account) == Some(Standing::Converged);
        snapshot.accounts.values().filter(converged).count() == 2
    })
    .await;
    rig.passes(9).await;
    let done = ["grant Storage Blob Data Contributor sta", "grant Storage Blob Data Contributor stb"];
    assert_eq!(grants(&cloud), done, "those whose ids come first");
    let told = rig.told(Name::GateUnmet);
    let held = told.iter().filter(|event| event.gate.as_deref() == Some("below_ceiling"));
    let of_last = |event: &&Event| event.storage_account.as_deref() == Some(account_id("stc").as_str());
    let held: Vec<_> = held.filter(of_last).collect();
    let why = held.first().unwrap().why.as_deref().unwrap();
    assert!(why.contains("1 more are due here, after") && why.contains("at accounts of it that go first"), "{held:#?}");
    cloud.lock().other_assignments = 3_990;
    rig.converged("1").await;
    assert_eq!(grants(&cloud).len(), 3);
}

/// What was sent is due no more, and takes no place twice, although its account is not planned again.
#[tokio::test(start_paused = true)]
async fn a_grant_that_was_made_holds_up_no_account_for_which_a_place_is_left() {
    let ((cloud, files), dir) = (crowded(), tempfile::tempdir().unwrap());
    let at = std::sync::Arc::downgrade(&cloud);
    {
        let mut state = cloud.lock();
        state.other_assignments = 3_997;
        state.on_read = Some(Box::new(move |_| {
            let cloud = at.upgrade().unwrap();
            let mut state = cloud.lock();
            if state.calls.iter().any(|(_, call)| call.ends_with(" sta")) {
                state.stuck.insert(account_id("sta"));
            }
        }));
    }
    let rig = Rig::start(&cloud, dir.path(), files);
    rig.until("the others are granted what they need", |_| grants(&cloud).len() == 3).await;
    let held = rig.told(Name::GateUnmet).into_iter().filter(|event| event.gate.as_deref() == Some("below_ceiling"));
    assert_eq!(held.collect::<Vec<_>>(), []);
}

#[tokio::test(start_paused = true)]
async fn a_plan_for_people_names_the_accounts_that_do_not_fit_beside_the_others() {
    let (cloud, files) = crowded();
    let plans = keyless_controller::fleet::plan_fleet(std::sync::Arc::new(files), cloud.clone(), 8).await;
    let held = plans.accounts.iter().map(|account| {
        let checks = account.plan.steps.iter().flat_map(|step| &step.gates);
        let mut of_it = checks.filter(|check| check.gate == keyless_core::gate::Gate::BelowCeiling);
        (account.plan.account_id.name().to_owned(), of_it.any(|check| !check.state.is_open()))
    });
    let held: Vec<(String, bool)> = held.collect();
    assert_eq!(held, [("sta".to_owned(), false), ("stb".to_owned(), false), ("stc".to_owned(), true)]);
    assert_eq!(cloud.lock().reads["role_assignment_count"], 1);
}

const OTHER_TENANT: uuid::Uuid = uuid::Uuid::from_u128(0xE002);

/// A workspace of the caller's tenant in another subscription than the account that it stands on.
fn across() -> (std::sync::Arc<Cloud>, Desired, WorkspaceId) {
    let cloud = Cloud::with("stone", &[]);
    let mut own = workspace("ml-a", Some("stone"), ObservedAuthMode::AccessKey);
    let far = own.id.to_string().replace(SUBSCRIPTION, "5a11c0de-0000-4000-8000-00000000000f");
    own.id = WorkspaceId::parse(&far).unwrap();
    own.tenant = Some(TENANT);
    let mut files = desired("1", AuthMode::Identity, &["ml-a"]);
    let mut declared = files.workspaces.pop_first().unwrap().1;
    declared.id = own.id.clone();
    files.workspaces.insert(own.id.clone(), declared);
    let id = own.id.clone();
    cloud.lock().workspaces.insert(id.clone(), own);
    (cloud, files, id)
}

#[tokio::test(start_paused = true)]
async fn the_tenant_of_an_account_is_asked_once_an_hour_by_a_switch_that_is_due_and_by_nothing_else() {
    let ((cloud, files, _), dir) = (across(), settled_state());
    cloud.lock().tenants.insert(SUBSCRIPTION.parse().unwrap(), OTHER_TENANT);
    let rig = Rig::start(&cloud, dir.path(), files);
    rig.until("it is held", |_| {
        rig.told(Name::GateUnmet).iter().any(|event| event.gate.as_deref() == Some("compatible"))
    })
    .await;
    rig.passes(20).await;
    assert_eq!(cloud.lock().reads["tenant"], 1);
    let told = rig.told(Name::IncompatibilityFound);
    let why = told.first().and_then(|event| event.why.clone()).unwrap();
    let words = ["crossTenantAccount", &format!("tenant {OTHER_TENANT}, not {TENANT}")];
    assert!(told.len() == 1 && words.iter().all(|word| why.contains(word)), "{told:#?}");
    rig.passes(70).await;
    assert_eq!(cloud.lock().reads["tenant"], 2, "a transfer is seen within the hour");
    // The subscription has come over: nothing is told, and once it is switched nothing is asked.
    cloud.lock().tenants.clear();
    rig.converged("1").await;
    let asked = cloud.lock().reads["tenant"];
    rig.passes(200).await;
    assert_eq!(cloud.lock().reads["tenant"], asked);
}

#[tokio::test(start_paused = true)]
async fn in_one_subscription_no_tenant_is_asked() {
    let (cloud, dir) = (Cloud::with("stone", &["ml-a"]), settled_state());
    let rig = Rig::start(&cloud, dir.path(), desired("1", AuthMode::Identity, &["ml-a"]));
    rig.converged("1").await;
    assert_eq!(cloud.lock().reads.get("tenant"), None);
    assert!(rig.told(Name::IncompatibilityFound).is_empty());
}

#[tokio::test(start_paused = true)]
async fn an_account_that_refuses_the_tenant_of_the_caller_is_named_as_one_of_another_tenant() {
    let ((cloud, files, id), dir) = (across(), settled_state());
    cloud.lock().foreign = Some(OTHER_TENANT);
    let rig = Rig::start(&cloud, dir.path(), files);
    rig.until("it is told", |_| !rig.told(Name::IncompatibilityFound).is_empty()).await;
    rig.passes(10).await;
    let told = rig.told(Name::IncompatibilityFound);
    let [event] = told.as_slice() else { panic!("{told:#?}") };
    assert_eq!(event.workspace.as_deref(), Some(id.as_str()));
    let why = event.why.as_deref().unwrap();
    assert!(why.contains("crossTenantAccount") && why.contains(&OTHER_TENANT.to_string()), "{why}");
    assert_eq!(cloud.calls(), Vec::<String>::new());
    assert_eq!(cloud.lock().reads["tenant"], 1, "the refusal is an answer, and kept as one");
}
