//! Properties of plans over random worlds, judged by a naive oracle that shares no code with the planner.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

mod world;

use std::collections::BTreeSet;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use keyless_core::action::{Action, assignment_name};
use keyless_core::catalog::{BLOB_CONTRIBUTOR, BLOB_READER, FILE_CONTRIBUTOR, FILE_READER};
use keyless_core::desired::*;
use keyless_core::id::*;
use keyless_core::observed::*;
use keyless_core::plan::{self, Limits, Look, Standing};
use proptest::prelude::*;
use world::*;

/// Persons from 6 on are groups, who may be in each other.
const GROUPS: u128 = 3;

const ROLES: [RoleId; 4] = [BLOB_CONTRIBUTOR, BLOB_READER, FILE_CONTRIBUTOR, FILE_READER];

#[derive(Debug, Clone)]
struct Case {
    world: World,
    desired: KeyDesired,
    /// How long grants really take; never longer than the gate waits.
    propagation: Duration,
    /// Whether something in it may block for ever.
    barred: bool,
}

fn mode() -> impl Strategy<Value = ObservedAuthMode> {
    prop_oneof![
        4 => Just(ObservedAuthMode::AccessKey),
        3 => Just(ObservedAuthMode::Identity),
        1 => Just(ObservedAuthMode::Unset),
        1 => Just(ObservedAuthMode::Other("UserDelegationSAS".to_owned())),
    ]
}

fn key() -> impl Strategy<Value = SharedKeyAccess> {
    prop_oneof![
        Just(SharedKeyAccess::Absent),
        Just(SharedKeyAccess::Null),
        Just(SharedKeyAccess::Allowed),
        Just(SharedKeyAccess::Disallowed),
    ]
}

fn account_word() -> impl Strategy<Value = Option<DesiredSharedKey>> {
    prop_oneof![
        4 => Just(None),
        1 => Just(Some(DesiredSharedKey::Disabled)),
        1 => Just(Some(DesiredSharedKey::Enabled)),
        1 => Just(Some(DesiredSharedKey::Unmanaged)),
    ]
}

/// What bars writes, seldom anything.
fn barriers() -> impl Strategy<Value = Option<Bars>> {
    let policy = proptest::sample::select(vec![
        bar(ACCOUNT_FLAG, "true"),
        bar(ACCOUNT_FLAG, "false"),
        bar(MODE, "identity"),
        bar(MODE, "accesskey"),
    ]);
    let policies = proptest::collection::vec((policy, proptest::bool::weighted(0.8)), 0..3);
    let rights = proptest::sample::subsequence(
        vec![GRANTING, "Microsoft.Storage/storageAccounts/write", "Microsoft.MachineLearningServices/workspaces/*"],
        0..=3,
    );
    let bars =
        (policies, rights, proptest::bool::ANY, 3_980_u32..4_001).prop_map(|(policies, rights, locked, others)| Bars {
            no_right: rights.into_iter().collect(),
            policies: policies.into_iter().map(|(policy, enforced)| Bar { enforced, ..policy }).collect(),
            workspaces_locked: locked,
            other_assignments: others,
        });
    proptest::option::weighted(0.3, bars)
}

const GRANTING: &str = "Microsoft.Authorization/roleAssignments/write";

prop_compose! {
    /// One workspace: its mode, whether it is declared and to what, who needs what, and whether it has its service grant.
    fn workspace()(
        mode in mode(),
        declared in proptest::bool::weighted(0.8),
        identity in proptest::bool::weighted(0.75),
        observe in proptest::bool::weighted(0.1),
        service in proptest::bool::weighted(0.9),
        needs in proptest::collection::vec((0_u128..4, 0_usize..4), 0..5),
        stored_key in proptest::bool::weighted(0.1),
        bad_instance in proptest::bool::weighted(0.05),
        born in proptest::option::weighted(0.9, 1_i64..800),
    ) -> (ObservedAuthMode, bool, bool, bool, bool, Vec<(u128, usize)>, bool, bool, Option<i64>) {
        (mode, declared, identity, observe, service, needs, stored_key, bad_instance, born)
    }
}

prop_compose! {
    fn case()(
        key in key(),
        word in account_word(),
        workspaces in proptest::collection::vec(workspace(), 0..4),
        members in proptest::collection::vec((0_u128..GROUPS, 0_u128..6 + GROUPS), 0..6),
        grants in proptest::collection::vec((0_u128..6 + GROUPS, 0_usize..5, 0_i64..3000, proptest::bool::weighted(0.15), 0_u8..4), 0..8),
        key_user in proptest::option::weighted(0.3, -20_i64 * DAY..3 * DAY),
        used in proptest::option::weighted(0.5, 0_i64..10 * DAY),
        lock in proptest::option::weighted(0.1, proptest::bool::ANY),
        denied in proptest::bool::weighted(0.2),
        sas in proptest::option::weighted(0.2, (0_usize..4, 0_usize..4, proptest::bool::ANY)),
        refused in proptest::bool::weighted(0.2),
        far in proptest::bool::weighted(0.1),
        prune in proptest::bool::ANY,
        leaver in proptest::bool::weighted(0.2),
        windows in proptest::bool::weighted(0.2),
        datastores in proptest::collection::vec(0_u8..8, 4),
        propagation in 0_u64..=900,
        idle in 3_600_u64..900_000,
        bars in barriers(),
        rotated in proptest::option::weighted(0.5, 1_i64..800),
        tells_key_times in proptest::bool::weighted(0.8),
        newcomer in proptest::bool::weighted(0.2),
    ) -> Case {
        let mut world = World::new();
        let sas_barred = sas.is_some_and(|(used, accepted, holds)| used != accepted || !holds);
        let mut barred = lock == Some(true) || denied || sas_barred || far || bars.is_some();
        world.barriers = bars.unwrap_or_default();
        world.key = key;
        if let Some(days) = rotated {
            world.key_times.key2 = Some(world.now - SignedDuration::from_secs(days * DAY));
        }
        world.tells_key_times = tells_key_times;
        if key.is_on() {
            world.key_on_since = Some(world.now - SignedDuration::from_secs(DAY));
        }
        world.key_user_until = key_user.map(|at| world.now + SignedDuration::from_secs(at));
        world.last_workspace_use = used.map(|ago| world.now - SignedDuration::from_secs(ago));
        if let Some((used, _, _)) = sas {
            world.sas_by_service.insert(StorageService::ALL[used], 3);
        }
        if refused {
            let at = world.now - SignedDuration::from_secs(3_600);
            world.watch = Some(WatchFrom { at, because: WatchCause::Switch });
            world.back_on = key.is_on().then_some(BackOn { watched: at, seen: world.now });
            let traffic = Traffic { count: 2, last: Some(world.now), grains: std::collections::BTreeMap::from([(at, 2)]) };
            let (service, api) = (Some(StorageService::Blob), "Unknown".to_owned());
            world.denied.push(ServiceUse { service, api, signed: Signed::OAuth, refused: true, traffic });
        }
        if far {
            world.elsewhere.push(stored("far", DatastoreCredentials::Sas));
        }
        let mut declared_ones = Vec::new();
        let mut keyed = BTreeSet::new();
        for (n, (mode, declared, identity, observe, service, needs, stored_key, bad_instance, born)) in workspaces.into_iter().enumerate() {
            let id = world.workspace(&format!("workspace-{n}"), mode.clone());
            barred |= matches!(mode, ObservedAuthMode::Other(_)) || observe || !service || bad_instance;
            if !service {
                world.assignments.pop();
            }
            let key_times = world.key_times;
            let truth = world.workspaces.get_mut(&id).unwrap();
            if n == 1 {
                truth.location = "swedencentral".to_owned();
            }
            truth.created_at = born.map(|days| start() - SignedDuration::from_secs(days * DAY));
            if truth.created_at.is_none_or(|at| at <= key_times.newest().unwrap()) {
                // It was there before the last rotation, and nobody told it.
                truth.holds = made(start() - SignedDuration::from_secs(900 * DAY));
            }
            if stored_key {
                keyed.insert(id.clone());
                truth.datastores.push(stored("raw", DatastoreCredentials::AccountKey));
            }
            if bad_instance {
                truth.computes.push(Compute {
                    name: "ci".to_owned(),
                    compute_type: "ComputeInstance".to_owned(),
                    identity: Identity { system: Some(person(99)), ..Identity::default() },
                });
            }
            if declared {
                let unique: BTreeSet<(u128, usize)> = needs.into_iter().collect();
                let needs = unique.into_iter().map(|(who, role)| need(object(who), ROLES[role])).collect::<Vec<_>>();
                let asked = if identity { AuthMode::Identity } else { AuthMode::AccessKey };
                declared_ones.push((id, asked, needs, observe));
            } else {
                barred |= mode != ObservedAuthMode::Identity;
            }
        }
        for (who, role, age, conditional, scope) in grants {
            let role = ROLES.get(role).copied().unwrap_or_else(owner_role);
            let scope = match scope {
                0 => ArmId::parse(&format!("/subscriptions/{SUBSCRIPTION}")).unwrap(),
                1 => ArmId::parse(&format!("/subscriptions/{SUBSCRIPTION}/resourceGroups/RG")).unwrap(),
                _ => account_id().arm().clone(),
            };
            let made = world.assign_at(scope, person(who), role, age);
            if conditional {
                made.condition = Some("…".to_owned());
            }
        }
        for (group, member) in members {
            world.members.entry(person(6 + group)).or_default().insert(person(member));
        }
        if leaver {
            let own = assignment_name("keyless", account_id().arm(), person(77), BLOB_READER, None);
            world.assign(person(77), BLOB_READER, DAY).name = own;
        }
        if let Some(read_only) = lock {
            let id = ArmId::parse(&format!("{}/providers/Microsoft.Authorization/locks/l", account_id())).unwrap();
            let level = if read_only { LockLevel::ReadOnly } else { LockLevel::CanNotDelete };
            world.locks.push(Lock { id, scope: account_id().arm().clone(), level });
            barred |= leaver && prune;
        }
        if denied {
            world.denies.push(DenyAssignment {
                name: "deny".to_owned(),
                scope: account_id().arm().clone(),
                permissions: vec![Permission { data_actions: vec!["*".to_owned()], ..Permission::default() }],
                exact_scope_only: false,
                principals: vec![DeniedPrincipal::Everyone],
                excluded: BTreeSet::new(),
                conditional: false,
            });
        }
        let list: Vec<_> = declared_ones.iter().map(|(id, mode, needs, _)| (id, *mode, needs.clone())).collect();
        let mut wanted = desired(&list);
        for (id, _, _, observe) in &declared_ones {
            if *observe {
                wanted.workspaces.get_mut(id).unwrap().enforcement = Enforcement::Observe;
            }
        }
        for ((id, asked, ..), how) in declared_ones.iter().zip(datastores) {
            let stored = keyed.contains(id);
            let declared = wanted.workspaces.get_mut(id).unwrap();
            let raw = DesiredDatastore { form: DesiredForm::WithoutCredentials, ..described("raw") };
            let listed = |list: Vec<DesiredDatastore>| {
                DesiredDatastores::Listed(list.into_iter().map(|asked| (asked.name.clone(), asked)).collect())
            };
            declared.datastores = match how {
                0..=3 => DesiredDatastores::Unmanaged,
                4 | 5 => DesiredDatastores::ConvertAll,
                6 => listed(vec![raw, described("made")]),
                _ if stored => listed(vec![described("raw"), described("made")]),
                _ => listed(vec![described("made")]),
            };
            declared.accept_one_way = if how >= 5 { accepted() } else { None };
            if how >= 5 && *asked == AuthMode::Identity {
                keyed.remove(id);
            }
            barred |= how == 6 && !stored;
        }
        barred |= !keyed.is_empty();
        if newcomer {
            let id = workspace_id("workspace-new");
            let made = desired(&[(&id, AuthMode::Identity, vec![need(object(0), BLOB_CONTRIBUTOR)])]);
            wanted.workspaces.extend(made.workspaces);
            wanted.workspaces.get_mut(&id).unwrap().create = Some(Create {
                location: "westeurope".to_owned(),
                kind: CreateKind::Default(Parts {
                    key_vault: account_id().arm().clone(),
                    application_insights: None,
                    container_registry: None,
                }),
                friendly_name: None,
                storage_account: account_id(),
                public_network_access: true,
                isolation: Isolation::Disabled,
            });
        }
        wanted.fleet.prune = prune;
        if let Some((_, accepted, holds)) = sas {
            // Long enough for every wait on the way, or over before it begins.
            let until = world.now + SignedDuration::from_secs(if holds { 400 * DAY } else { 0 });
            wanted.fleet.accept_sas.push(SasAcceptance {
                accounts: BTreeSet::from([ArmId::parse(&format!("/subscriptions/{SUBSCRIPTION}")).unwrap()]),
                services: BTreeSet::from([StorageService::ALL[accepted]]),
                acceptance: Acceptance { reason: "r".to_owned(), owner: "o".to_owned(), until },
            });
        }
        wanted.fleet.waits.key_idle = Duration::from_secs(idle);
        if windows {
            wanted.fleet.change_windows = vec![ChangeWindow { days: BTreeSet::from([3]), from: 540, to: 1020 }];
        }
        if let Some(word) = word {
            declare_account(&mut wanted, word);
            let back = declared_ones.iter().any(|(_, mode, ..)| *mode == AuthMode::AccessKey);
            barred |= word == DesiredSharedKey::Disabled && back;
        }
        // Going back from a key that is off needs a word of its own.
        let back = declared_ones.iter().any(|(id, mode, ..)| {
            *mode == AuthMode::AccessKey && world.workspaces[id].mode == ObservedAuthMode::Identity
        });
        barred |= back && !world.key.is_on() && word != Some(DesiredSharedKey::Enabled);
        Case { world, desired: wanted, propagation: Duration::from_secs(propagation), barred }
    }
}

/// The invariants, checked around one write.
fn check(case: &Case, before: &World, action: &Action) {
    let mut after = before.clone();
    after.apply(action);
    // No loss: whoever could work through a declared workspace still can.
    for (id, declared) in case.desired.workspaces.iter().filter(|(id, _)| before.workspaces.contains_key(id)) {
        let had = before.works(id, &declared.needs, case.propagation);
        let has = after.works(id, &declared.needs, case.propagation);
        for (who, could) in had {
            assert!(!could || has[&who], "{action} takes {who}'s access through {}", id.name());
        }
    }
    let enforced = |id: &WorkspaceId| case.desired.workspaces[id].enforcement == Enforcement::Enforce;
    let bars = &before.barriers;
    let refused = |alias: &str, value: &str| bars.refuses(alias, value, before.now);
    let (right, alias, value) = match action {
        Action::GrantRole(_) => (GRANTING, "", ""),
        Action::RevokeRole { .. } => ("", "", ""),
        Action::ResyncWorkspaceKeys { .. } | Action::SetDatastoreCredential { .. } | Action::CreateDatastore { .. } => {
            ("Microsoft.MachineLearningServices/workspaces/*", "", "")
        }
        Action::CreateWorkspace { .. } | Action::SetAuthMode { mode: AuthMode::Identity, .. } => {
            ("Microsoft.MachineLearningServices/workspaces/*", MODE, "identity")
        }
        Action::SetAuthMode { .. } => ("Microsoft.MachineLearningServices/workspaces/*", MODE, "accesskey"),
        Action::SetSharedKeyAccess { allowed: true, .. } => {
            ("Microsoft.Storage/storageAccounts/write", ACCOUNT_FLAG, "true")
        }
        Action::SetSharedKeyAccess { .. } => ("Microsoft.Storage/storageAccounts/write", ACCOUNT_FLAG, "false"),
    };
    assert!(!bars.no_right.contains(right), "{action} without the right to it");
    assert!(!refused(alias, value), "{action} against a policy");
    match action {
        Action::GrantRole(_) => {
            assert!(bars.other_assignments as usize + after.assignments.len() <= 4_000, "beyond the ceiling");
        }
        Action::ResyncWorkspaceKeys { .. } | Action::SetDatastoreCredential { .. } | Action::CreateDatastore { .. } => {
            assert!(!bars.workspaces_locked, "{action} on a locked workspace")
        }
        Action::SetAuthMode { mode, .. } => {
            assert!(!bars.workspaces_locked, "{action} on a locked workspace");
            let broken = !before.key.is_on();
            assert!(broken || *mode == AuthMode::AccessKey || !refused(MODE, "accesskey"), "{action} is one way");
        }
        Action::SetSharedKeyAccess { allowed: false, .. } => {
            assert!(!refused(ACCOUNT_FLAG, "true"), "{action} is one way");
        }
        _ => {}
    }
    match action {
        Action::SetSharedKeyAccess { allowed: false, .. } => {
            for (id, truth) in &before.workspaces {
                assert_eq!(truth.mode, ObservedAuthMode::Identity, "key off under {}", id.name());
                let keyed = truth.datastores.iter().any(|store| store.credentials.may_need_key());
                assert!(!keyed, "key off under a stored key");
            }
            let quiet = SignedDuration::try_from(case.desired.fleet.waits.key_idle).unwrap();
            if let Some(last) = before.last_key_use() {
                assert!(before.now.duration_since(last) >= quiet, "key off {} after its last use", before.now - last);
            }
            let accepted = |service: &StorageService| {
                case.desired.fleet.accept_sas.iter().any(|entry| {
                    entry.services.contains(service) && before.now < entry.acceptance.until //
                })
            };
            assert!(before.sas_by_service.keys().all(accepted), "key off under a SAS that nobody accepted");
            assert!(before.elsewhere.is_empty(), "key off under a stored key of a workspace elsewhere");
            assert!(case.desired.workspaces.keys().all(enforced));
            assert!(case.desired.workspaces.values().all(|w| w.auth_mode == AuthMode::Identity));
        }
        Action::SetSharedKeyAccess { allowed: true, .. } => {
            let word = case.desired.account.as_ref().map(|account| account.shared_key_access);
            assert_eq!(word, Some(DesiredSharedKey::Enabled), "key on without a word of its own");
        }
        Action::SetAuthMode { workspace, mode } => {
            assert!(case.desired.workspaces.contains_key(workspace), "an undeclared workspace was written");
            assert_eq!(case.desired.workspaces[workspace].auth_mode, *mode);
            assert!(enforced(workspace));
            assert!(!matches!(before.workspaces[workspace].mode, ObservedAuthMode::Other(_)));
            if *mode == AuthMode::AccessKey {
                let since = before.key_on_since;
                let long = before.key == SharedKeyAccess::Absent
                    || since.is_some_and(|at| before.now.duration_since(at) >= SignedDuration::from_secs(120));
                assert!(before.key.is_on() && long, "accesskey before the key works");
                assert_eq!(before.workspaces[workspace].holds, before.key_times, "accesskey with old keys");
            } else if before.key.is_on() {
                for need in &case.desired.workspaces[workspace].needs {
                    let PrincipalRef::Object { id, .. } = need.principal else { continue };
                    let wait = case.desired.fleet.waits.role_propagation;
                    assert!(before.has(id, need.role, wait), "switched before {id} has {}", need.role);
                }
            }
        }
        Action::CreateWorkspace { workspace, create: _ } => {
            assert!(!before.workspaces.contains_key(workspace), "made over {}", workspace.name());
            assert!(enforced(workspace));
            for need in &case.desired.workspaces[workspace].needs {
                let PrincipalRef::Object { id, .. } = need.principal else { continue };
                assert!(before.has(id, need.role, case.propagation), "made before {id} may work in it");
            }
        }
        Action::ResyncWorkspaceKeys { workspace } => {
            assert_eq!(case.desired.workspaces[workspace].auth_mode, AuthMode::AccessKey);
            assert!(enforced(workspace) && before.key.is_on());
            let again = before.keys_taken.get(workspace).is_some_and(|taken| taken.again == Again::Due);
            assert!(again || before.workspaces[workspace].mode == ObservedAuthMode::Identity, "keys taken for nothing");
        }
        Action::GrantRole(grant) => {
            let asked = case.desired.workspaces.values().any(|workspace| {
                workspace.enforcement == Enforcement::Enforce
                    && workspace.needs.iter().any(|need| {
                        need.role == grant.role
                            && matches!(need.principal, PrincipalRef::Object { id, .. } if id == grant.principal)
                    })
            });
            assert!(asked, "{action} that no enforced document asks for");
            let held = before.assignments.iter().any(|a| {
                a.principal == grant.principal
                    && a.role == grant.role
                    && a.scope == grant.scope
                    && a.condition.is_none()
            });
            assert!(!held, "{action} is there already");
            let covered = before.denies.is_empty() && before.has(grant.principal, grant.role, Duration::ZERO);
            assert!(!covered, "{action} though a group has it");
        }
        Action::SetDatastoreCredential { workspace, name, from } => {
            let declared = &case.desired.workspaces[workspace];
            assert!(enforced(workspace));
            assert!(declared.accept_one_way.is_some(), "{action} that nobody accepted");
            assert_ne!(declared.datastores, DesiredDatastores::Unmanaged);
            assert_eq!((declared.auth_mode, from), (AuthMode::Identity, &DatastoreCredentials::AccountKey));
            assert_eq!(before.workspaces[workspace].mode, ObservedAuthMode::Identity, "{action} too early");
            let store = before.workspaces[workspace].datastores.iter().find(|store| store.name == *name);
            assert_eq!(store.map(|store| &store.credentials), Some(from));
            for need in &declared.needs {
                let PrincipalRef::Object { id, .. } = need.principal else { continue };
                let wait = case.desired.fleet.waits.role_propagation;
                assert!(before.has(id, need.role, wait), "{action} before {id} has {}", need.role);
            }
        }
        Action::CreateDatastore { workspace, name, .. } => {
            assert!(enforced(workspace));
            assert!(matches!(&case.desired.workspaces[workspace].datastores,
                DesiredDatastores::Listed(listed) if listed.contains_key(name)));
            assert!(
                before.workspaces[workspace].datastores.iter().all(|store| store.name != *name),
                "{action}: it exists"
            );
        }
        Action::RevokeRole { assignment, principal, role } => {
            assert!(case.desired.fleet.prune);
            let gone = before.assignments.iter().find(|a| a.id == *assignment).expect("it exists");
            assert_eq!(gone.name, assignment_name("keyless", &gone.scope, *principal, *role, None), "a foreign grant");
            assert_eq!(gone.principal, person(77));
            for (id, declared) in case.desired.workspaces.iter().filter(|(id, _)| before.workspaces.contains_key(id)) {
                let on_key =
                    matches!(before.workspaces[id].mode, ObservedAuthMode::AccessKey | ObservedAuthMode::Unset);
                assert!(on_key || declared.auth_mode == AuthMode::Identity, "revoked on the way back of {}", id.name());
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_prefix_of_any_plan_breaks_an_invariant_and_its_end_plans_to_nothing(case in case()) {
        let mut world = case.world.clone();
        let taken = converge(&mut world, &case.desired, |before, action| check(&case, before, action));
        for action in &taken {
            // Keys are taken before the switch and once more after it.
            let most = if matches!(action, Action::ResyncWorkspaceKeys { .. }) { 2 } else { 1 };
            let count = taken.iter().filter(|other| *other == action).count();
            prop_assert!(count <= most, "the same write {} times: {:?}", count, taken);
        }
        let plan = look(&world, &case.desired);
        prop_assert!(plan.next().is_none());
        if !case.barred {
            prop_assert_eq!(plan.standing(), Standing::Converged, "{}", show(&plan));
        }
        // Executed to its end, an unbarred plan leaves nothing; a barred one names what bars it.
        if plan.standing() == Standing::Blocked {
            let named = !plan.findings.is_empty() || plan.steps.iter().all(|step| !step.is_open());
            prop_assert!(named);
        }
    }

    #[test]
    fn a_plan_is_a_function_of_its_arguments(case in case()) {
        let mut shuffled = case.world.clone();
        shuffled.assignments.reverse();
        let (one, two) = (look(&case.world, &case.desired), look(&shuffled, &case.desired));
        prop_assert_eq!(&one.drift, &two.drift);
        prop_assert_eq!(&one.findings, &two.findings);
        let actions = |plan: &plan::Plan| plan.steps.iter().map(|step| (step.action.clone(), step.is_open())).collect::<Vec<_>>();
        let (one, two) = (actions(&one), actions(&two));
        prop_assert_eq!(one, two);
    }

    #[test]
    fn less_knowledge_never_opens_a_gate(case in case(), steps in 0_usize..12, hidden in prop_oneof![3 => 0_usize..19, 1 => Just(7_usize)], unread in proptest::bool::ANY) {
        // Somewhere on the way, not only at its start.
        let mut world = case.world.clone();
        for _ in 0..steps {
            let plan = look(&world, &case.desired);
            match (plan.next(), plan.wakes_at()) {
                (Some(step), _) => world.apply(&step.action.clone()),
                (None, Some(at)) => world.advance(at.max(world.now)),
                (None, None) => break,
            }
        }
        let full = world.observe(&case.desired);
        let mut less = full.clone();
        hide(&mut less, hidden, unread);
        let open = |observed: &Observed| -> BTreeSet<Action> {
            plan::plan(&case.desired, observed, &Limits::default(), Look::Everything)
                .steps.into_iter().filter(keyless_core::plan::Step::is_open).map(|step| step.action).collect()
        };
        let (more, fewer) = (open(&full), open(&less));
        prop_assert!(fewer.is_subset(&more), "hiding {} opened {:?}", hidden, fewer.difference(&more));
    }

    #[test]
    fn more_time_never_takes_back_what_age_has_opened(case in case(), later in 0_i64..100_000) {
        use keyless_core::gate::Gate;
        let aged = |now: Timestamp| -> BTreeSet<Action> {
            let mut observed = case.world.observe(&case.desired);
            observed.now = now;
            let plan = plan::plan(&case.desired, &observed, &Limits::default(), Look::Everything);
            plan.steps.into_iter()
                .filter(|step| step.gates.iter().any(|check| check.gate == Gate::NeedsAged && check.state.is_open()))
                .map(|step| step.action).collect()
        };
        let now = case.world.now;
        prop_assert!(aged(now).is_subset(&aged(now + SignedDuration::from_secs(later))));
    }
}

/// Takes one thing that was read away again.
fn hide(observed: &mut Observed, which: usize, unread: bool) {
    fn spoil<T>(reading: &mut Reading<T>, unread: bool) {
        *reading = if unread { Reading::NotRead } else { Reading::unknown("hidden") };
    }
    match which {
        0 => spoil(&mut observed.account, unread),
        1 => observed.listings.values_mut().for_each(|reading| spoil(reading, unread)),
        2 => observed.workspaces.values_mut().for_each(|entry| spoil(&mut entry.workspace, unread)),
        3 => observed.workspaces.values_mut().for_each(|entry| spoil(&mut entry.datastores, unread)),
        4 => observed.workspaces.values_mut().for_each(|entry| spoil(&mut entry.computes, unread)),
        5 => spoil(&mut observed.assignments, unread),
        6 => observed.roles.values_mut().for_each(|reading| spoil(reading, unread)),
        7 => spoil(&mut observed.denies, unread),
        8 => spoil(&mut observed.key_usage, unread),
        9 => spoil(&mut observed.elsewhere, unread),
        10 => spoil(&mut observed.endpoints, unread),
        11 => observed.groups.values_mut().for_each(|reading| spoil(reading, unread)),
        13 => spoil(&mut observed.key_details, unread),
        14 => spoil(&mut observed.denials, unread),
        15 => observed.barriers.locks.values_mut().for_each(|reading| spoil(reading, unread)),
        16 => observed.barriers.policies.values_mut().for_each(|reading| spoil(reading, unread)),
        17 => observed.barriers.rights.values_mut().for_each(|reading| spoil(reading, unread)),
        18 => observed.barriers.assignment_counts.values_mut().for_each(|reading| spoil(reading, unread)),
        _ => spoil(&mut observed.locks, unread),
    }
}
