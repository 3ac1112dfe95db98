//! The second opinion on plans: what it lets pass, and that it sees through every gate that is lost or forced open.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use jiff::SignedDuration;
use keyless_core::action::{Action, Effort};
use keyless_core::catalog::{BLOB_CONTRIBUTOR, BLOB_READER};
use keyless_core::desired::*;
use keyless_core::gate::{Gate, GateState};
use keyless_core::id::*;
use keyless_core::lint::{Rule, Violation, lint};
use keyless_core::observed::*;
use keyless_core::plan::{self, Fight, Limits, Look, Plan, Refusal};
use keyless_core::setting::Setting;

use crate::world::*;

/// A world, files over it, and what the process knows: all that a plan is made from.
struct Scene {
    world: World,
    desired: KeyDesired,
    limits: Limits,
}

impl Scene {
    fn observe(&self) -> Observed {
        self.world.observe(&self.desired)
    }

    fn plan(&self, observed: &Observed) -> Plan {
        planned(&self.desired, observed, &self.limits, Look::Everything)
    }

    fn judge(&self, observed: &Observed, plan: &Plan) -> Vec<Violation> {
        lint(&self.desired, observed, &self.limits, plan)
    }
}

fn reads(n: u128) -> Vec<Need> {
    vec![need(object(n), BLOB_READER)]
}

/// A workspace on the key whose one user has had her role for long.
fn ready() -> (Scene, WorkspaceId) {
    let mut world = World::new();
    let id = world.workspace("fraud-train", ObservedAuthMode::AccessKey);
    world.assign(person(1), BLOB_CONTRIBUTOR, 10 * DAY);
    let desired = desired(&[(&id, AuthMode::Identity, reads(1))]);
    (Scene { world, desired, limits: Limits::default() }, id)
}

/// The same on identity, with a key that nobody has used for long.
fn switched() -> (Scene, WorkspaceId) {
    let (mut scene, id) = ready();
    scene.world.workspaces.get_mut(&id).unwrap().mode = ObservedAuthMode::Identity;
    (scene, id)
}

/// A workspace on identity, its key on since `since`, that the files send back.
fn back(since: i64) -> (Scene, WorkspaceId) {
    let (mut scene, id) = switched();
    scene.desired.workspaces.get_mut(&id).unwrap().auth_mode = AuthMode::AccessKey;
    scene.world.key = SharedKeyAccess::Allowed;
    scene.world.key_on_since = Some(scene.world.now - SignedDuration::from_secs(since));
    (scene, id)
}

/// The same after its account's keys were made anew.
fn rotated() -> (Scene, WorkspaceId) {
    let (mut scene, id) = back(DAY);
    scene.world.key_times.key2 = Some(scene.world.now - SignedDuration::from_secs(DAY));
    (scene, id)
}

fn under_way(scene: &mut Scene, id: &WorkspaceId, state: &str) {
    scene.world.workspaces.get_mut(id).unwrap().state = Some(state.to_owned());
}

/// A workspace on identity with a stored key that may go.
fn stores() -> (Scene, WorkspaceId) {
    let (mut scene, id) = switched();
    scene.world.workspaces.get_mut(&id).unwrap().datastores.push(stored("raw", DatastoreCredentials::AccountKey));
    let document = scene.desired.workspaces.get_mut(&id).unwrap();
    document.datastores = DesiredDatastores::ConvertAll;
    document.accept_one_way = accepted();
    (scene, id)
}

/// An own grant of somebody who left the files.
fn leaver() -> (Scene, WorkspaceId) {
    let (mut scene, id) = switched();
    scene.desired.fleet.prune = true;
    scene.world.key = SharedKeyAccess::Disallowed;
    let account = account_id().arm().clone();
    let grant = keyless_core::action::Grant::new("keyless", account, person(77), PrincipalType::User, BLOB_READER);
    scene.world.apply(&Action::GrantRole(grant));
    (scene, id)
}

/// A plan that was made before the files took workspaces out of sight.
#[test]
fn a_grant_that_goes_while_somebody_who_may_rest_on_it_is_not_seen_is_rejected() {
    let hides: [fn(&mut KeyDesired); 4] = [
        |desired| desired.out_of_sight.extend([(workspace_id("gone"), OutOfSight::Missing)]),
        |desired| desired.out_of_sight.extend([(workspace_id("hidden"), OutOfSight::Excluded)]),
        |desired| {
            desired.out_of_scope = Reading::known(BTreeSet::from([account_id().subscription()]), jiff::Timestamp::MIN)
        },
        |desired| desired.out_of_scope = Reading::unknown("the list could not be read"),
    ];
    for hide in hides {
        let (mut scene, _) = leaver();
        let observed = scene.observe();
        let plan = scene.plan(&observed);
        assert_eq!(scene.judge(&observed, &plan), []);
        assert!(plan.next().is_some_and(|step| step.action.kind() == "RevokeRole"));
        hide(&mut scene.desired);
        let found = scene.judge(&observed, &plan);
        assert!(found.iter().any(|one| one.to_string().contains("is not looked at")), "{found:?}");
    }
}

/// What gives back what is lost now needs no open window, and nothing else may call itself that.
#[test]
fn a_change_that_repairs_nothing_waits_for_its_window() {
    let (mut scene, _) = ready();
    let observed = scene.observe();
    let mut plan = scene.plan(&observed);
    let step = plan.steps.iter_mut().find(|step| step.action.kind() == "SetAuthMode").unwrap();
    step.effort = Effort::Repair;
    let told = |scene: &Scene, plan: &Plan| {
        let found = scene.judge(&observed, plan);
        found.iter().any(|one| one.to_string().contains("no change window is open"))
    };
    assert!(!told(&scene, &plan), "there is no window to wait for");
    let minute = 60 * u16::try_from(observed.now.to_zoned(jiff::tz::TimeZone::UTC).hour()).unwrap();
    let (from, to) = if minute < 720 { (1000, 1001) } else { (1, 2) };
    scene.desired.fleet.change_windows.push(ChangeWindow { days: BTreeSet::new(), from, to });
    assert!(told(&scene, &plan));
}

fn is_of(kind: &str, action: &Action) -> bool {
    action.kind() == kind
}

/// What is said of a plan in which every gate of the step of `kind` is forced open.
#[track_caller]
fn forced(scene: &Scene, observed: &Observed, kind: &str, gate: Gate) -> Vec<Violation> {
    let mut plan = scene.plan(observed);
    assert_eq!(scene.judge(observed, &plan), [], "a plan of the planner's is rejected");
    let step = plan.steps.iter_mut().find(|step| is_of(kind, &step.action)).unwrap_or_else(|| panic!("no {kind}"));
    let shut = step.gates.iter().find(|check| check.gate == gate).unwrap_or_else(|| panic!("{kind} has no {gate}"));
    assert_ne!(shut.state, GateState::Open, "{gate} of {kind} is open anyway");
    for check in &mut step.gates {
        check.state = GateState::Open;
    }
    // Only the step to take is judged by its facts.
    let step = step.clone();
    plan.steps = vec![step];
    scene.judge(observed, &plan)
}

#[test]
fn what_the_planner_makes_is_let_pass_on_the_whole_way() {
    let (mut scene, _) = ready();
    scene.world.assignments.retain(|grant| grant.principal != person(1));
    scene.world.last_workspace_use = Some(scene.world.now);
    let mut seen = 0;
    let Scene { world, desired, limits } = &mut scene;
    converge(world, desired, |before, _| {
        let observed = before.observe(desired);
        let plan = planned(desired, &observed, limits, Look::Everything);
        assert_eq!(lint(desired, &observed, limits, &plan), []);
        seen += 1;
    });
    assert_eq!(seen, 3, "a grant, a switch and the key off");
}

#[test]
fn a_plan_about_something_else_is_rejected() {
    let (scene, _) = ready();
    let observed = scene.observe();
    let fine = scene.plan(&observed);
    let odd: [fn(&mut Plan); 3] = [
        |plan| plan.revision = Revision("other".to_owned()),
        |plan| plan.at += SignedDuration::from_secs(1),
        |plan| {
            let other = account_id().as_str().replace("stml", "stother");
            plan.account_id = StorageAccountId::parse(&other).unwrap();
        },
    ];
    for change in odd {
        let mut plan = fine.clone();
        change(&mut plan);
        let found = scene.judge(&observed, &plan);
        assert_eq!(found.iter().map(|one| one.rule).collect::<Vec<_>>(), [Rule::Frame]);
    }
}

#[test]
fn a_gate_that_is_dropped_or_doubled_is_missed() {
    let scenes = [ready(), switched(), back(DAY), stores(), leaver()];
    let mut judged = BTreeMap::new();
    for (scene, _) in &scenes {
        let observed = scene.observe();
        let fine = scene.plan(&observed);
        for (at, step) in fine.steps.iter().enumerate() {
            for gate in 0..step.gates.len() {
                let name = step.gates[gate].gate;
                let mut plan = fine.clone();
                plan.steps[at].gates.remove(gate);
                let found = scene.judge(&observed, &plan);
                assert!(found.iter().any(|one| one.rule == Rule::Carried), "{}: {name} is not missed", step.action);
                let mut plan = fine.clone();
                plan.steps[at].gates.push(step.gates[gate].clone());
                let found = scene.judge(&observed, &plan);
                assert!(found.iter().any(|one| one.rule == Rule::Carried), "{}: {name} twice", step.action);
                *judged.entry(step.action.kind()).or_insert(0) += 1;
            }
        }
    }
    for kind in ["SetAuthMode", "SetSharedKeyAccess", "SetDatastoreCredential", "RevokeRole"] {
        assert!(judged.get(kind).is_some_and(|count| *count >= 9), "{kind}: {judged:?}");
    }
}

#[test]
fn another_order_another_effort_and_the_same_step_twice_are_rejected() {
    let (mut scene, _) = ready();
    scene.world.assignments.retain(|grant| grant.principal != person(1));
    let observed = scene.observe();
    let fine = scene.plan(&observed);
    assert_eq!(fine.steps.len(), 3, "a grant, a switch and the key off");
    for (one, other) in [(0, 1), (0, 2), (1, 2)] {
        let mut plan = fine.clone();
        plan.steps.swap(one, other);
        assert!(scene.judge(&observed, &plan).iter().any(|one| one.rule == Rule::Order), "{one} and {other}");
    }
    for at in 0..3 {
        let mut plan = fine.clone();
        plan.steps[at].effort = if at == 0 { Effort::Tighten } else { Effort::Loosen };
        assert!(scene.judge(&observed, &plan).iter().any(|one| one.rule == Rule::Order));
        let mut plan = fine.clone();
        plan.steps.insert(at, fine.steps[at].clone());
        assert!(scene.judge(&observed, &plan).iter().any(|one| one.rule == Rule::Order));
    }
}

/// A change to an action that makes it one that no file asks for.
type Changed = fn(&Action) -> Option<Action>;

#[test]
fn what_no_file_asks_for_is_rejected() {
    let changes: [(&str, Changed); 6] = [
        ("another role", |action| match action.clone() {
            Action::GrantRole(mut grant) => {
                grant.role = BLOB_CONTRIBUTOR;
                Some(Action::GrantRole(grant))
            }
            _ => None,
        }),
        ("somebody else", |action| match action.clone() {
            Action::GrantRole(mut grant) => {
                grant.principal = person(9);
                Some(Action::GrantRole(grant))
            }
            _ => None,
        }),
        ("another mode", |action| match action.clone() {
            Action::SetAuthMode { workspace, mode: AuthMode::Identity } => {
                Some(Action::SetAuthMode { workspace, mode: AuthMode::AccessKey })
            }
            _ => None,
        }),
        ("another workspace", |action| match action.clone() {
            Action::SetAuthMode { mode, .. } => {
                Some(Action::SetAuthMode { workspace: workspace_id("not-declared"), mode })
            }
            _ => None,
        }),
        ("the key on", |action| match action.clone() {
            Action::SetSharedKeyAccess { account, allowed: false } => {
                Some(Action::SetSharedKeyAccess { account, allowed: true })
            }
            _ => None,
        }),
        ("a foreign grant", |action| match action.clone() {
            Action::RevokeRole { assignment, role, .. } => {
                Some(Action::RevokeRole { assignment, principal: person(1), role })
            }
            _ => None,
        }),
    ];
    let (mut grants, _) = ready();
    grants.world.assignments.clear();
    let scenes = [grants, ready().0, leaver().0];
    for (what, change) in changes {
        let mut made = 0;
        for scene in &scenes {
            let observed = scene.observe();
            let fine = scene.plan(&observed);
            for (at, step) in fine.steps.iter().enumerate() {
                let Some(changed) = change(&step.action) else { continue };
                let mut plan = fine.clone();
                plan.steps[at].action = changed;
                let found = scene.judge(&observed, &plan);
                assert!(found.iter().any(|one| one.rule == Rule::Asked), "{what}: {found:?}");
                made += 1;
            }
        }
        assert!(made > 0, "{what} was never tried");
    }
}

/// Shuts one gate of the step of a kind, by a change of the world, of the files or of what the process knows.
type Shut = (&'static str, Gate, fn() -> (Scene, WorkspaceId), fn(&mut Scene, &WorkspaceId));

const SHUT: &[Shut] = &[
    ("SetAuthMode", Gate::Active, ready, |scene, id| {
        scene.desired.workspaces.get_mut(id).unwrap().enforcement = Enforcement::Observe;
    }),
    ("SetAuthMode", Gate::Active, ready, |scene, _| scene.desired.fleet.paused = true),
    ("SetAuthMode", Gate::Active, ready, |scene, id| {
        let until = scene.world.now + SignedDuration::from_secs(60);
        let suspend = Suspend { reason: "audit".to_owned(), until, then: AfterSuspend::Resume };
        scene.desired.workspaces.get_mut(id).unwrap().suspend = Some(suspend);
    }),
    ("SetSharedKeyAccess", Gate::Active, switched, |scene, id| {
        scene.desired.workspaces.get_mut(id).unwrap().enforcement = Enforcement::Observe;
    }),
    ("SetSharedKeyAccess", Gate::Active, switched, |scene, id| {
        let mut document = scene.desired.workspaces[id].clone();
        document.enforcement = Enforcement::Observe;
        scene.desired.unplaced = Arc::new(BTreeMap::from([(workspace_id("somewhere"), Some(document))]));
    }),
    ("SetAuthMode", Gate::Booted, ready, |scene, _| {
        scene.limits.boot_until = Some(scene.world.now + SignedDuration::from_secs(1));
    }),
    ("SetAuthMode", Gate::Settled, ready, |scene, _| {
        scene.limits.unsettled_until = Some(scene.world.now + SignedDuration::from_secs(1));
    }),
    ("SetAuthMode", Gate::NotRefused, ready, |scene, id| {
        let until = scene.world.now + SignedDuration::from_secs(1);
        let action = Action::SetAuthMode { workspace: id.clone(), mode: AuthMode::Identity };
        scene.limits.refused.insert(action, Refusal { until, why: "no".to_owned(), lift: None });
    }),
    ("SetAuthMode", Gate::NoFight, ready, |scene, id| {
        let until = scene.world.now + SignedDuration::from_secs(1);
        let since = scene.world.now;
        let fight = Fight { reversals: 3, since, until, ours: "keyless".to_owned(), theirs: None };
        scene.limits.fights.insert(Setting::AuthMode(id.clone()), fight);
    }),
    ("SetAuthMode", Gate::Window, ready, |scene, _| {
        let minute = u16::try_from(scene.world.now.as_second().rem_euclid(86_400) / 60).unwrap();
        let window = ChangeWindow { days: std::collections::BTreeSet::new(), from: minute + 1, to: minute + 2 };
        scene.desired.fleet.change_windows.push(window);
    }),
    ("SetAuthMode", Gate::Window, ready, |scene, _| {
        let minute = u16::try_from(scene.world.now.as_second().rem_euclid(86_400) / 60).unwrap();
        let from = |from| ChangeWindow { days: std::collections::BTreeSet::new(), from, to: from + 1 };
        scene.desired.fleet.change_windows.extend([from(minute), from(minute + 2)]);
        scene.world.behind = Duration::from_secs(120);
    }),
    ("SetAuthMode", Gate::Unlocked, ready, |scene, _| scene.world.barriers.workspaces_locked = true),
    ("SetSharedKeyAccess", Gate::Unlocked, switched, |scene, _| lock(scene, LockLevel::ReadOnly)),
    ("RevokeRole", Gate::Unlocked, leaver, |scene, _| lock(scene, LockLevel::CanNotDelete)),
    ("SetAuthMode", Gate::NeedsCovered, ready, |scene, _| {
        scene.world.assignments.retain(|grant| grant.principal != person(1))
    }),
    ("SetAuthMode", Gate::NeedsCovered, ready, |scene, _| {
        let grant = scene.world.assignments.iter_mut().find(|grant| grant.principal == person(1)).unwrap();
        grant.condition = Some("@Resource[x] StringEquals 'y'".to_owned());
    }),
    ("SetAuthMode", Gate::NeedsCovered, ready, |scene, _| {
        let permission = Permission { data_actions: vec!["*/read".to_owned()], ..Permission::default() };
        scene.world.denies.push(DenyAssignment {
            name: "no reading".to_owned(),
            scope: account_id().arm().clone(),
            permissions: vec![permission],
            exact_scope_only: false,
            principals: vec![DeniedPrincipal::One(person(1))],
            excluded: std::collections::BTreeSet::new(),
            conditional: false,
        });
    }),
    ("SetAuthMode", Gate::NeedsAged, ready, |scene, _| {
        scene.world.assignments.retain(|grant| grant.principal != person(1));
        scene.world.assign(person(1), BLOB_READER, 14 * 60);
    }),
    ("SetAuthMode", Gate::ModeKnown, ready, |scene, id| {
        scene.world.workspaces.get_mut(id).unwrap().mode = ObservedAuthMode::Other("UserDelegationSAS".to_owned());
    }),
    ("SetAuthMode", Gate::ModeKnown, ready, |scene, id| under_way(scene, id, "Updating")),
    ("SetAuthMode", Gate::ModeKnown, || back(DAY), |scene, id| under_way(scene, id, "Mending")),
    ("SetAuthMode", Gate::ModeKnown, ready, |scene, id| {
        let second = account_id().as_str().replace("stml", "stmltwo").parse().unwrap();
        scene.world.workspaces.get_mut(id).unwrap().more_accounts.insert(second);
    }),
    ("ResyncWorkspaceKeys", Gate::ModeKnown, rotated, |scene, id| under_way(scene, id, "Updating")),
    ("SetDatastoreCredential", Gate::ModeKnown, stores, |scene, id| under_way(scene, id, "Deleting")),
    ("SetAuthMode", Gate::Compatible, ready, |scene, id| {
        let mut instance = instance("ci", Some("Stopped"));
        instance.identity.system = Some(person(99));
        scene.world.workspaces.get_mut(id).unwrap().computes.push(instance);
    }),
    ("SetAuthMode", Gate::Reachable, ready, |scene, _| scene.world.network.public = PublicAccess::Disabled),
    ("SetAuthMode", Gate::Reachable, ready, |scene, _| {
        scene.world.network.default_deny = true;
        scene.world.network.instances.insert(workspace_id("another").to_string());
    }),
    ("SetAuthMode", Gate::KeysTaken, rotated, |_, _| {}),
    ("SetDatastoreCredential", Gate::AccessJudged, stores, |scene, id| {
        let store = &mut scene.world.workspaces.get_mut(id).unwrap().datastores[0];
        store.account_name = Some("elsewhere".to_owned());
    }),
    ("SetAuthMode", Gate::KeyOn, || back(DAY), |scene, _| scene.world.key = SharedKeyAccess::Disallowed),
    ("SetAuthMode", Gate::KeyEffective, || back(60), |_, _| {}),
    ("SetSharedKeyAccess", Gate::AllOnIdentity, switched, |scene, _| {
        scene.world.workspace("not-declared", ObservedAuthMode::AccessKey);
    }),
    ("SetSharedKeyAccess", Gate::AllOnIdentity, switched, |scene, _| {
        scene.desired.unplaced = Arc::new(BTreeMap::from([(workspace_id("somewhere"), None)]));
    }),
    ("SetSharedKeyAccess", Gate::AllOnIdentity, switched, |scene, id| under_way(scene, id, "Updating")),
    ("SetSharedKeyAccess", Gate::AllOnIdentity, switched, |scene, _| {
        let other = scene.world.workspace("not-declared", ObservedAuthMode::Identity);
        under_way(scene, &other, "Creating");
    }),
    ("SetSharedKeyAccess", Gate::Agreed, switched, |scene, _| {
        let id = scene.world.workspace("stays", ObservedAuthMode::Identity);
        let more = desired(&[(&id, AuthMode::AccessKey, vec![])]);
        scene.desired.workspaces.extend(more.workspaces);
        declare_account(&mut scene.desired, DesiredSharedKey::Disabled);
    }),
    ("SetSharedKeyAccess", Gate::NoStoredKeys, switched, |scene, id| {
        scene.world.workspaces.get_mut(id).unwrap().datastores.push(stored("raw", DatastoreCredentials::Sas));
    }),
    ("SetSharedKeyAccess", Gate::NoStoredKeys, switched, |scene, _| {
        scene.world.elsewhere.push(stored("far", DatastoreCredentials::AccountKey));
    }),
    ("SetSharedKeyAccess", Gate::KeyIdle, switched, |scene, _| {
        scene.world.last_workspace_use = Some(scene.world.now - SignedDuration::from_secs(DAY));
    }),
    ("SetSharedKeyAccess", Gate::KeyIdle, switched, |scene, _| {
        scene.world.sas_by_service.insert(StorageService::Blob, 3);
    }),
    ("SetDatastoreCredential", Gate::OneWayAccepted, stores, |scene, id| {
        scene.desired.workspaces.get_mut(id).unwrap().accept_one_way = None;
    }),
    ("SetDatastoreCredential", Gate::OnIdentity, stores, |scene, id| {
        scene.world.workspaces.get_mut(id).unwrap().mode = ObservedAuthMode::AccessKey;
    }),
    ("RevokeRole", Gate::WentBack, leaver, |scene, _| {
        let id = scene.world.workspace("returned", ObservedAuthMode::AccessKey);
        under_way(scene, &id, "Updating");
        let more = desired(&[(&id, AuthMode::AccessKey, vec![])]);
        scene.desired.workspaces.extend(more.workspaces);
    }),
    ("RevokeRole", Gate::WentBack, leaver, |scene, _| {
        let id = scene.world.workspace("returns", ObservedAuthMode::Identity);
        let more = desired(&[(&id, AuthMode::AccessKey, vec![])]);
        scene.desired.workspaces.extend(more.workspaces);
    }),
];

fn lock(scene: &mut Scene, level: LockLevel) {
    let scope = account_id().arm().clone();
    let id = ArmId::parse(&format!("{scope}/providers/Microsoft.Authorization/locks/held")).unwrap();
    scene.world.locks.push(Lock { id, scope, level });
}

#[test]
fn a_gate_that_is_forced_open_is_seen_through() {
    for (kind, gate, scene, shut) in SHUT {
        let (mut scene, id) = scene();
        shut(&mut scene, &id);
        let observed = scene.observe();
        let found = forced(&scene, &observed, kind, *gate);
        assert!(found.iter().any(|one| one.rule == Rule::Facts), "{gate} of {kind} forced open is not seen: {found:?}");
    }
}

/// Of which step, in which scene, and what is taken away of what was read.
type Hide = (&'static str, fn() -> (Scene, WorkspaceId), fn(&mut Observed));

#[test]
fn what_was_not_read_is_no_ground_to_stand_on() {
    let hides: [Hide; 8] = [
        ("SetAuthMode", ready, |observed| observed.assignments = Reading::NotRead),
        ("SetAuthMode", ready, |observed| observed.denies = Reading::unknown("hidden")),
        ("SetAuthMode", ready, |observed| observed.locks = Reading::NotRead),
        ("SetSharedKeyAccess", switched, |observed| {
            observed.listings.values_mut().for_each(|listing| *listing = Reading::unknown("hidden"));
        }),
        ("SetSharedKeyAccess", switched, |observed| {
            observed.workspaces.values_mut().for_each(|entry| entry.workspace = Reading::unknown("hidden"));
        }),
        ("SetSharedKeyAccess", switched, |observed| {
            observed.workspaces.values_mut().for_each(|entry| entry.datastores = Reading::NotRead);
        }),
        ("SetSharedKeyAccess", switched, |observed| observed.elsewhere = Reading::NotRead),
        ("SetSharedKeyAccess", switched, |observed| observed.key_usage = Reading::unknown("hidden")),
    ];
    for (n, (kind, scene, hide)) in hides.into_iter().enumerate() {
        let (scene, _) = scene();
        let mut observed = scene.observe();
        let mut plan = scene.plan(&observed);
        let step = plan.steps.iter_mut().find(|step| is_of(kind, &step.action)).unwrap();
        step.gates.iter_mut().for_each(|check| check.state = GateState::Open);
        assert_eq!(scene.judge(&observed, &plan), [], "case {n} stands while everything is known");
        hide(&mut observed);
        let found = scene.judge(&observed, &plan);
        assert!(found.iter().any(|one| one.rule == Rule::Facts), "case {n}: {found:?}");
    }
}

#[test]
fn the_key_is_idle_for_just_as_long_as_the_files_ask() {
    let (mut scene, _) = switched();
    let idle = scene.desired.fleet.waits.key_idle;
    let observed = scene.observe();
    let plan = scene.plan(&observed);
    assert_eq!(scene.judge(&observed, &plan), []);
    // The files ask for more than the answer covers.
    scene.desired.fleet.waits.key_idle = idle + Duration::from_secs(1);
    let found = scene.judge(&observed, &plan);
    assert!(found.iter().any(|one| one.rule == Rule::Facts), "{found:?}");
}

/// In words, and as a change of the scene.
type Reason = (&'static str, fn(&mut Scene, &WorkspaceId));

/// What the planner lets pass for good reasons, and a second judge with coarser eyes might not.
#[test]
fn what_is_open_for_a_good_reason_is_let_pass() {
    const CONDITION: &str = "@Resource[x] StringEquals 'y'";
    let reasons: [Reason; 3] = [
        ("blanks around the condition that the files ask for", |scene, id| {
            let grant = scene.world.assignments.iter_mut().find(|grant| grant.principal == person(1)).unwrap();
            grant.condition = Some(format!("{CONDITION}\n"));
            let needs = &mut scene.desired.workspaces.get_mut(id).unwrap().needs;
            needs.iter_mut().for_each(|need| need.condition = Some(CONDITION.to_owned()));
        }),
        ("a grant far above, for which the files wait less than for others", |scene, _| {
            scene.world.assignments.retain(|grant| grant.principal != person(1));
            let above = ArmId::parse("/providers/Microsoft.Management/managementGroups/all").unwrap();
            scene.world.assign_at(above, person(1), BLOB_CONTRIBUTOR, DAY);
            scene.desired.fleet.waits.role_propagation = Duration::from_secs(2 * 24 * 3600);
            scene.desired.fleet.waits.group_propagation = Duration::from_secs(3600);
        }),
        ("a denial that spares a group of the user's", |scene, _| {
            let group = person(6);
            scene.world.members.entry(group).or_default().insert(person(1));
            scene.world.assign(group, BLOB_READER, 10 * DAY);
            let permission = Permission { data_actions: vec!["*/read".to_owned()], ..Permission::default() };
            scene.world.denies.push(DenyAssignment {
                name: "no reading".to_owned(),
                scope: account_id().arm().clone(),
                permissions: vec![permission],
                exact_scope_only: false,
                principals: vec![DeniedPrincipal::One(person(1))],
                excluded: std::collections::BTreeSet::from([group]),
                conditional: false,
            });
        }),
    ];
    for (reason, change) in reasons {
        let (mut scene, id) = ready();
        change(&mut scene, &id);
        let observed = scene.observe();
        let plan = scene.plan(&observed);
        let switch = plan.steps.iter().find(|step| is_of("SetAuthMode", &step.action)).unwrap();
        assert!(switch.is_open(), "{reason}: {}", show(&plan));
        assert_eq!(scene.judge(&observed, &plan), [], "{reason}");
    }
}

/// Somebody whose membership ended meanwhile is locked out for good where the last secret went.
#[test]
fn groups_are_read_again_before_every_write_that_rests_on_them() {
    let (mut scene, _) = stores();
    let group = person(6);
    scene.world.assignments.retain(|grant| grant.principal != person(1));
    scene.world.members.entry(group).or_default().insert(person(1));
    scene.world.assign(group, BLOB_READER, 10 * DAY);
    let observed = scene.observe();
    let plan = scene.plan(&observed);
    let step = plan.steps.iter().find(|step| is_of("SetDatastoreCredential", &step.action)).unwrap();
    assert!(step.is_open(), "{}", show(&plan));
    let reads = plan::confirm_reads(step, &scene.desired, &observed);
    assert!(reads.groups.contains(&person(1)));
    let mut blind = observed.clone();
    blind.forget(&reads);
    assert!(
        scene.plan(&blind).steps.iter().all(|step| !is_of("SetDatastoreCredential", &step.action) || !step.is_open())
    );
}

#[test]
fn the_last_secret_goes_only_when_its_readers_are_seen_to_have_access() {
    let (mut scene, _) = stores();
    scene.world.assignments.retain(|grant| grant.principal != person(1));
    let observed = scene.observe();
    let mut plan = scene.plan(&observed);
    plan.steps.retain(|step| is_of("SetDatastoreCredential", &step.action));
    plan.steps[0].gates.iter_mut().for_each(|check| check.state = GateState::Open);
    assert!(scene.judge(&observed, &plan).iter().any(|one| one.rule == Rule::Facts));
}

#[test]
fn a_doubt_about_a_later_step_does_not_hold_the_one_before_it() {
    let (mut scene, _) = ready();
    scene.world.assignments.retain(|grant| grant.principal != person(1));
    let observed = scene.observe();
    let mut plan = scene.plan(&observed);
    assert!(plan.steps[0].is_open() && is_of("GrantRole", &plan.steps[0].action));
    plan.steps[1].gates.iter_mut().for_each(|check| check.state = GateState::Open);
    assert_eq!(scene.judge(&observed, &plan), []);
    plan.steps.remove(0);
    assert!(!scene.judge(&observed, &plan).is_empty(), "it is next now");
}
