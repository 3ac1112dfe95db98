//! Properties of plans over random worlds, judged by a naive oracle that shares no code with the planner.
//!
//! `KEYLESS_PLAN_CASES` chooses how many worlds are drawn for each.

use std::collections::BTreeSet;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use keyless_core::action::{Action, assignment_name};
use keyless_core::catalog::{BLOB_CONTRIBUTOR, BLOB_READER, FILE_CONTRIBUTOR, FILE_READER};
use keyless_core::desired::*;
use keyless_core::gate::{Gate, GateState};
use keyless_core::id::*;
use keyless_core::observed::*;
use keyless_core::plan::{self, Fight, Look, Refusal, Standing};
use proptest::prelude::*;
use uuid::Uuid;

use crate::world::*;

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
    let tenant = proptest::option::weighted(0.6, proptest::sample::select(vec![TENANT, Uuid::from_u128(0xE002)]));
    let bars = (policies, rights, proptest::bool::ANY, 3_980_u32..4_001, tenant).prop_map(
        |(policies, rights, locked, others, tenant)| Bars {
            no_right: rights.into_iter().collect(),
            policies: policies.into_iter().map(|(policy, enforced)| Bar { enforced, ..policy }).collect(),
            workspaces_locked: locked,
            other_assignments: others,
            tenant,
        },
    );
    proptest::option::weighted(0.3, bars)
}

fn fences() -> impl Strategy<Value = Around> {
    use proptest::{bool, collection, option, sample};
    let level = || {
        prop_oneof![
            2 => Just(LockLevel::ReadOnly),
            2 => Just(LockLevel::CanNotDelete),
            1 => Just(LockLevel::Other("Frozen".to_owned())),
        ]
    };
    let scopes =
        ["".to_owned(), "/resourceGroups/RG".to_owned(), account_id().as_str()[SCOPE_LENGTH..].to_owned()].to_vec();
    let sets = |alias, value, to| Bar { sets: Some(to), ..bar(alias, value) };
    let modify = sample::select(vec![
        sets(ACCOUNT_FLAG, "false", "true"),
        sets(ACCOUNT_FLAG, "true", "false"),
        sets(MODE, "identity", "AccessKey"),
    ]);
    let network = (
        bool::weighted(0.5),
        bool::weighted(0.8),
        bool::weighted(0.2),
        bool::weighted(0.2),
        bool::weighted(0.1),
        0_u8..6,
    );
    let denial = (
        sample::select(DENIALS.to_vec()),
        [bool::weighted(0.7), bool::weighted(0.8), bool::weighted(0.3)],
        option::weighted(0.3, 0_usize..4),
    );
    (
        option::weighted(0.3, (sample::select(scopes), level())),
        collection::vec((0_usize..4, level()), 0..2),
        option::weighted(0.2, denial),
        option::weighted(0.4, network),
        option::weighted(0.15, (modify, option::weighted(0.3, -5_000_i64..50_000))),
        option::weighted(0.3, -1_000_i64..100_000),
        (option::weighted(0.2, 0_i64..2_000), option::weighted(0.2, 0_i64..2_000)),
        collection::vec((0_usize..12, bool::ANY, -100_i64..5_000), 0..3),
        bool::weighted(0.2),
    )
        .prop_map(|(above, own, denied, network, modify, one_way, waits, held, stranger)| Around {
            above,
            own,
            denied,
            network,
            modify,
            one_way,
            waits,
            held,
            stranger,
        })
}

/// The length of a subscription's id.
const SCOPE_LENGTH: usize = "/subscriptions/".len() + SUBSCRIPTION.len();

/// Which, whether without exception, without a condition and of the controller alone, and at which workspace in place of the
/// account's group.
type Denied = ((&'static str, &'static str), [bool; 3], Option<usize>);

/// What may stand around an account, in the words of the generator.
#[derive(Debug, Clone)]
struct Around {
    above: Option<(String, LockLevel)>,
    own: Vec<(usize, LockLevel)>,
    denied: Option<Denied>,
    network: Option<(bool, bool, bool, bool, bool, u8)>,
    modify: Option<(Bar, Option<i64>)>,
    /// Until when the files accept that a step cannot be taken back.
    one_way: Option<i64>,
    /// The waits after boot and after a write whose outcome is unknown.
    waits: (Option<i64>, Option<i64>),
    /// Of the first plan's steps: fought over or refused, and until when.
    held: Vec<(usize, bool, i64)>,
    stranger: bool,
}

impl Around {
    fn around(self, mut case: Case) -> Case {
        let world = &mut case.world;
        let later = |seconds: i64| start() + SignedDuration::from_secs(seconds);
        let group = ArmId::parse(&format!("/subscriptions/{SUBSCRIPTION}/resourceGroups/rg")).unwrap();
        if let Some((scope, level)) = self.above {
            let scope = ArmId::parse(&format!("/subscriptions/{SUBSCRIPTION}{scope}")).unwrap();
            let id = ArmId::parse(&format!("{scope}/providers/Microsoft.Authorization/locks/above")).unwrap();
            world.locks.push(Lock { id, scope, level });
            case.barred = true;
        }
        for (n, level) in self.own {
            if let Some(id) = world.workspaces.keys().nth(n).cloned() {
                world.fences.locks.insert(id, level);
                case.barred = true;
            }
        }
        if let Some(((name, action), [unspared, sure, alone], at)) = self.denied {
            let at = at.and_then(|n| world.workspaces.keys().nth(n)).map(|id| id.arm().clone());
            world.denies.push(DenyAssignment {
                name: name.to_owned(),
                scope: at.unwrap_or(group),
                permissions: vec![Permission { actions: vec![action.to_owned()], ..Permission::default() }],
                exact_scope_only: false,
                principals: vec![if alone { DeniedPrincipal::One(controller()) } else { DeniedPrincipal::Everyone }],
                excluded: if unspared { BTreeSet::new() } else { BTreeSet::from([person(90)]) },
                conditional: !sure,
            });
            case.barred = true;
        }
        if let Some((public, default_deny, lets_some_in, trusted_services, private_endpoints, named)) = self.network {
            let instances =
                world.workspaces.keys().take(named.into()).map(|id| id.to_string().to_uppercase()).collect();
            let public = match (public, named) {
                (true, 5) => PublicAccess::Other("SecuredByPerimeter".to_owned()),
                (true, _) => PublicAccess::Enabled,
                (false, _) => PublicAccess::Disabled,
            };
            let network =
                Network { public, default_deny, lets_some_in, trusted_services, instances, private_endpoints };
            case.barred |= !network.is_open();
            world.network = network;
        }
        if let Some((policy, exempt)) = self.modify {
            world.barriers.policies.push(Bar { exempt_until: exempt.map(later), ..policy });
            case.barred = true;
        }
        if let Some(until) = self.one_way {
            if case.desired.account.is_none() {
                declare_account(&mut case.desired, DesiredSharedKey::Unmanaged);
                case.barred = true;
            }
            let acceptance = Acceptance { until: later(until), ..accepted().unwrap() };
            case.desired.account.as_mut().unwrap().accept_one_way = Some(acceptance);
        }
        if self.stranger {
            world.assign(person(88), BLOB_CONTRIBUTOR, DAY).principal_type = Some(PrincipalType::ServicePrincipal);
        }
        world.fences.limits.boot_until = self.waits.0.map(later);
        world.fences.limits.unsettled_until = self.waits.1.map(later);
        let steps = look(&case.world, &case.desired).steps;
        for (n, fought, until) in self.held {
            let Some(action) = steps.get(n).map(|step| step.action.clone()) else { continue };
            let limits = &mut case.world.fences.limits;
            if fought && let Some(setting) = action.setting() {
                let (ours, theirs) = ("us".to_owned(), None);
                let fight = Fight { reversals: 3, since: start(), until: later(until), ours, theirs };
                limits.fights.insert(setting, fight);
                case.barred = true;
            } else if !fought {
                let refusal = Refusal { until: later(until), why: "no".to_owned(), lift: None };
                limits.refused.insert(action, refusal);
            }
        }
        case
    }
}

prop_compose! {
    /// A case with what may stand around it.
    fn fenced()(case in case(), around in proptest::option::weighted(0.7, fences())) -> Case {
        match around {
            Some(around) => around.around(case),
            None => case,
        }
    }
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
        at_work in proptest::option::weighted(0.4, (0_u8..10, 1_i64..3 * DAY)),
        undrained in proptest::bool::weighted(0.2),
    ) -> (ObservedAuthMode, bool, bool, bool, bool, Vec<(u128, usize)>, bool, bool, Option<i64>, Option<(u8, i64)>, bool) {
        (mode, declared, identity, observe, service, needs, stored_key, bad_instance, born, at_work, undrained)
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
        leaver in proptest::bool::weighted(0.4),
        windows in proptest::bool::weighted(0.2),
        datastores in proptest::collection::vec(0_u8..8, 4),
        propagation in 0_u64..=900,
        idle in 3_600_u64..900_000,
        bars in barriers(),
        rotated in proptest::option::weighted(0.5, 1_i64..800),
        tells_key_times in proptest::bool::weighted(0.8),
        newcomer in proptest::bool::weighted(0.2),
        logged in proptest::option::weighted(0.3, (0_usize..4, proptest::bool::ANY, proptest::bool::ANY, proptest::bool::ANY)),
        probed in proptest::option::weighted(0.3, (proptest::option::weighted(0.8, 0_i64..3 * DAY), 0_u8..4)),
        watched in (proptest::option::of(0_i64..3_000), 1_u32..=10, proptest::option::of((0_usize..8, 0_i64..3_000))),
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
            world.signed_until = Some(at);
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
        for (n, (mode, declared, identity, observe, service, needs, stored_key, bad_instance, born, at_work, undrained)) in workspaces.into_iter().enumerate() {
            let name = format!("workspace-{n}");
            // One in another subscription than the account's, whose tenant is asked for.
            let apart = n == 1 && world.barriers.tenant.is_some();
            let id = if apart { far_workspace_id(&name) } else { workspace_id(&name) };
            let id = world.workspace_of(id, mode.clone());
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
                    state: Some("Stopped".to_owned()),
                });
            }
            if let Some((what, lasts)) = at_work {
                let ends = Some(start() + SignedDuration::from_secs(lasts));
                match what {
                    0 => truth.jobs.push((job("train", "Running"), ends)),
                    1 => truth.jobs.push((job("queued", "Queued"), ends)),
                    2 => truth.jobs.push((job("new", "Hibernating"), None)),
                    3 => truth.jobs.push((job("done", "Completed"), None)),
                    4 => truth.computes.push(instance("dev", Some("Running"))),
                    5 => truth.computes.push(instance("dev", None)),
                    7 => truth.state = Some("Updating".to_owned()),
                    8 => truth.state = Some("Mending".to_owned()),
                    9 => truth.state = Some("failed".to_owned()),
                    _ => truth.computes.push(instance("dev", Some("Stopped"))),
                }
                barred |= matches!(what, 2 | 4 | 5) && !undrained || matches!(what, 7 | 8);
            }
            if declared {
                let unique: BTreeSet<(u128, usize)> = needs.into_iter().collect();
                let needs = unique.into_iter().map(|(who, role)| need(object(who), ROLES[role])).collect::<Vec<_>>();
                let asked = if identity { AuthMode::Identity } else { AuthMode::AccessKey };
                declared_ones.push((id, asked, needs, observe, undrained));
            } else {
                barred |= mode != ObservedAuthMode::Identity;
            }
        }
        for (who, role, age, conditional, scope) in grants {
            let role = ROLES.get(role).copied().unwrap_or_else(owner_role);
            let scope = match scope {
                0 => ArmId::parse(&format!("/subscriptions/{SUBSCRIPTION}")).unwrap(),
                1 => ArmId::parse(&format!("/subscriptions/{SUBSCRIPTION}/resourceGroups/RG")).unwrap(),
                // At the account it would stand in the way of the plain one, which only a person can end.
                _ if conditional => account_id().group(),
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
        let list: Vec<_> = declared_ones.iter().map(|(id, mode, needs, ..)| (id, *mode, needs.clone())).collect();
        let mut wanted = desired(&list);
        for (id, _, _, observe, undrained) in &declared_ones {
            if *undrained {
                wanted.workspaces.get_mut(id).unwrap().drain = Drain::Ignore;
            }
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
        if let Some((service, key, made, refused)) = logged {
            wanted.fleet.log_analytics = Some(logs());
            let signed = if key { Signed::AccountKey } else { Signed::Sas };
            let one = caller(StorageService::ALL[service], signed, if made { MadeFrom::Key("key1".to_owned()) } else { MadeFrom::NoKey }, world.now);
            world.callers.push(KeyCaller { refused, ..one });
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
        if let Some((from, place)) = probed {
            world.data_plane_from = from.map(|after| world.now + SignedDuration::from_secs(after));
            wanted.fleet.data_probe = place != 1;
            if let Some(account) = &mut wanted.account {
                account.data_probe = [None, Some(true), Some(false), None][usize::from(place)];
            }
            barred |= wanted.data_probe() && from.is_none();
        }
        let back = declared_ones.iter().any(|(id, mode, ..)| {
            *mode == AuthMode::AccessKey && world.workspaces[id].mode == ObservedAuthMode::Identity
        });
        barred |= back && !world.key.is_on() && word != Some(DesiredSharedKey::Enabled);
        let (since, agreeing_reads, missed) = watched;
        wanted.fleet.waits.agreeing_reads = agreeing_reads;
        if let Some(ago) = since {
            world.watched_since = world.now - SignedDuration::from_secs(ago);
        }
        if let Some((which, ago)) = missed
            && let Some(assignment) = world.assignments.get(which)
        {
            let id = assignment.id.clone();
            world.missed.insert(id, world.now - SignedDuration::from_secs(ago));
        }
        Case { world, desired: wanted, propagation: Duration::from_secs(propagation), barred }
    }
}

/// Whether nothing that runs there may still change it.
fn is_at_rest(truth: &Truth) -> bool {
    truth.state.as_deref().is_none_or(|state| matches!(state, "Succeeded" | "failed"))
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
    assert_eq!(before.against(action), Vec::<&str>::new(), "{action} against what stands in its way");
    let tightens = match action {
        Action::SetAuthMode { mode, .. } => *mode == AuthMode::Identity && before.key.is_on(),
        Action::SetSharedKeyAccess { allowed, .. } => !allowed,
        _ => false,
    };
    let own = case.desired.account.as_ref().and_then(|account| account.data_probe);
    let probed = own.unwrap_or(case.desired.fleet.data_probe);
    assert!(!tightens || !probed || before.lets_keyless_in(), "{action} before the data plane lets keyless in");
    let bars = &before.barriers;
    let acceptance = case.desired.account.as_ref().and_then(|account| account.accept_one_way.as_ref());
    let accepted = acceptance.is_some_and(|acceptance| before.now < acceptance.until);
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
            let back = accepted || !refused(MODE, "accesskey");
            assert!(broken || *mode == AuthMode::AccessKey || back, "{action} is one way");
        }
        Action::SetSharedKeyAccess { allowed: false, .. } => {
            assert!(accepted || !refused(ACCOUNT_FLAG, "true"), "{action} is one way");
        }
        _ => {}
    }
    match action {
        Action::SetSharedKeyAccess { allowed: false, .. } => {
            for (id, truth) in &before.workspaces {
                assert_eq!(truth.mode, ObservedAuthMode::Identity, "key off under {}", id.name());
                assert!(is_at_rest(truth), "key off while {} is changed", id.name());
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
            assert!(is_at_rest(&before.workspaces[workspace]), "{action} beside another change");
            if *mode == AuthMode::AccessKey {
                let since = before.key_on_since;
                let long = before.key == SharedKeyAccess::Absent
                    || since.is_some_and(|at| before.now.duration_since(at) >= SignedDuration::from_secs(120));
                assert!(before.key.is_on() && long, "accesskey before the key works");
                assert_eq!(before.workspaces[workspace].holds, before.key_times, "accesskey with old keys");
            } else if before.key.is_on() {
                for need in &case.desired.workspaces[workspace].needs {
                    let PrincipalRef::Object { id, .. } = need.principal else { continue };
                    let waits = &case.desired.fleet.waits;
                    assert!(before.has_for_sure(id, need.role, waits), "switched before {id} has {}", need.role);
                }
                let at_work = before.at_work(workspace);
                let waits = case.desired.workspaces[workspace].drain == Drain::Wait;
                assert!(!waits || at_work.is_empty(), "switched under {at_work:?}");
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
            assert!(is_at_rest(&before.workspaces[workspace]), "{action} beside another change");
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
                let waits = &case.desired.fleet.waits;
                assert!(before.has_for_sure(id, need.role, waits), "{action} before {id} has {}", need.role);
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
            let mut without = before.clone();
            without.assignments.retain(|a| a.id != *assignment);
            for need in case.desired.workspaces.values().flat_map(|declared| &declared.needs) {
                let PrincipalRef::Object { id, .. } = need.principal else { continue };
                assert!(
                    without.has_for_sure(id, need.role, &case.desired.fleet.waits),
                    "{action} before {id} has {}",
                    need.role
                );
            }
            for (id, declared) in case.desired.workspaces.iter().filter(|(id, _)| before.workspaces.contains_key(id)) {
                let on_key =
                    matches!(before.workspaces[id].mode, ObservedAuthMode::AccessKey | ObservedAuthMode::Unset);
                let back = on_key && is_at_rest(&before.workspaces[id]);
                assert!(back || declared.auth_mode == AuthMode::Identity, "revoked on the way back of {}", id.name());
            }
        }
    }
}

/// How many cases of each property are drawn.
fn cases() -> u32 {
    std::env::var("KEYLESS_PLAN_CASES").map_or(2_000, |text| text.parse().expect("KEYLESS_PLAN_CASES is a number"))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(), failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_prefix_of_any_plan_breaks_an_invariant_and_its_end_plans_to_nothing(case in fenced()) {
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
        let wants_key = |(id, own): (&WorkspaceId, &DesiredWorkspace)| {
            own.auth_mode == AuthMode::AccessKey && world.workspaces.get(id).is_some_and(|truth| truth.mode.is_key())
        };
        // Nobody said that the key comes on.
        let broken = !world.key.is_on() && case.desired.workspaces.iter().any(wants_key);
        if !case.barred {
            let expected = if broken { Standing::Blocked } else { Standing::Converged };
            prop_assert_eq!(plan.standing(), expected, "{}", show(&plan));
            prop_assert!(plan.steps.is_empty());
        }
        // Executed to its end, an unbarred plan leaves nothing; a barred one names what bars it.
        for step in &plan.steps {
            let explained = step.gates.iter().any(|check| match &check.state {
                GateState::Unmet { why, lift } => !why.is_empty() && !lift.is_empty(),
                GateState::Open | GateState::Waiting { .. } | GateState::NotLooked => false,
            });
            prop_assert!(explained, "{} is held by nothing that is named:\n{}", step.action, show(&plan));
        }
        if plan.standing() == Standing::Blocked && plan.steps.is_empty() {
            prop_assert!(!plan.findings.is_empty());
        }
    }

    /// The generator denies everybody or nobody the data.
    #[test]
    fn whoever_could_work_but_for_a_denial_is_told_or_it_is_said_that_nobody_knows(case in fenced(), unread in proptest::bool::ANY) {
        let (world, mut free) = (&case.world, case.world.clone());
        free.denies.clear();
        let mut observed = world.observe(&case.desired);
        if unread {
            observed.denies = Reading::unknown("hidden");
        }
        let plan = planned(&case.desired, &observed, &case.world.fences.limits, Look::WhatMatters);
        let told = |id: &WorkspaceId, who: PrincipalId, role: RoleId| plan.findings.iter().any(|finding| matches!(
            finding,
            plan::Finding::AccessLost(lost) if lost.workspace == *id && lost.principal == Some(who) && lost.role == role
        ));
        let unknown = plan.findings.iter().any(|finding| matches!(
            finding, plan::Finding::Unseen { what: plan::finding::Unseen::Denials, .. }
        ));
        for (id, declared) in &case.desired.workspaces {
            if world.workspaces.get(id).is_none_or(|truth| truth.mode != ObservedAuthMode::Identity) {
                continue;
            }
            for need in &declared.needs {
                let PrincipalRef::Object { id: who, .. } = need.principal else { continue };
                let loses = free.has(who, need.role, Duration::ZERO) && !world.has(who, need.role, Duration::ZERO);
                prop_assert_eq!(told(id, who, need.role), loses && !unread, "{}", show(&plan));
                prop_assert_eq!(unknown, unread, "{}", show(&plan));
            }
        }
    }

    #[test]
    fn a_plan_is_a_function_of_its_arguments(case in fenced()) {
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
    fn less_knowledge_never_opens_a_gate(case in fenced(), steps in 0_usize..12, hidden in prop_oneof![3 => 0_usize..26, 1 => Just(7_usize)], unread in proptest::bool::ANY) {
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
            planned(&case.desired, observed, &case.world.fences.limits, Look::Everything)
                .steps.into_iter().filter(keyless_core::plan::Step::is_open).map(|step| step.action).collect()
        };
        let (more, fewer) = (open(&full), open(&less));
        prop_assert!(fewer.is_subset(&more), "hiding {} opened {:?}", hidden, fewer.difference(&more));
    }

    #[test]
    fn the_resource_logs_decide_nothing(case in case(), told in 0_u8..3) {
        let mut desired = case.desired.clone();
        desired.fleet.log_analytics = Some(logs());
        let mut observed = case.world.observe(&desired);
        let stands = |observed: &Observed| {
            let plan = planned(&desired, observed, &case.world.fences.limits, Look::Everything);
            let open = |step: plan::Step| (step.action, step.gates.into_iter().map(|check| (check.gate, check.state.is_open())).collect::<Vec<_>>());
            (plan.standing(), plan.drift.clone(), plan.steps.into_iter().map(open).collect::<Vec<_>>())
        };
        let with = stands(&observed);
        observed.key_callers = match told {
            0 => Reading::NotRead,
            1 => Reading::unknown("partial"),
            _ => Reading::known(KeyCallers { from: case.world.now, to: case.world.now, cut: true, callers: Vec::new() }, case.world.now),
        };
        prop_assert_eq!(with, stands(&observed));
    }

    #[test]
    fn what_an_installation_may_do_without_reading_opens_only_what_azure_refuses_by_itself(case in fenced(), which in 0_usize..4) {
        let full = case.world.observe(&case.desired);
        let mut less = full.clone();
        let refused = || Cause { class: Some("refused"), lift: None };
        fn take<K, T>(readings: &mut std::collections::BTreeMap<K, Reading<T>>, cause: impl Fn() -> Cause) {
            readings.values_mut().for_each(|one| *one = Reading::Unknown { why: "no right".to_owned(), cause: cause() });
        }
        match which {
            0 => take(&mut less.barriers.policies, refused),
            1 => take(&mut less.barriers.rights, refused),
            2 => take(&mut less.barriers.tenants, refused),
            _ => take(&mut less.barriers.assignment_counts, refused),
        }
        let steps = |observed: &Observed| {
            planned(&case.desired, observed, &case.world.fences.limits, Look::Everything).steps
        };
        let open: BTreeSet<Action> = steps(&less).into_iter().filter(plan::Step::is_open).map(|step| step.action).collect();
        let mut by_azure = vec![Gate::PolicyAllows, Gate::Permitted, Gate::WayBack, Gate::BelowCeiling];
        // Which tenant it is warns in place of holding where it may not be read.
        by_azure.extend((which == 2).then_some(Gate::Compatible));
        for step in steps(&full).into_iter().filter(|step| open.contains(&step.action)) {
            let others = step.gates.iter().find(|check| !check.state.is_open() && !by_azure.contains(&check.gate));
            prop_assert!(others.is_none(), "{} opened past {:?}", step.action, others);
        }
    }

    #[test]
    fn more_time_never_takes_back_what_age_has_opened(case in fenced(), later in 0_i64..100_000) {
        let aged = |now: Timestamp| -> BTreeSet<Action> {
            let mut observed = case.world.observe(&case.desired);
            observed.now = now;
            let plan = planned(&case.desired, &observed, &case.world.fences.limits, Look::Everything);
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
        12 => spoil(&mut observed.key_callers, unread),
        13 => spoil(&mut observed.key_details, unread),
        14 => spoil(&mut observed.denials, unread),
        15 => observed.barriers.locks.values_mut().for_each(|reading| spoil(reading, unread)),
        16 => observed.barriers.policies.values_mut().for_each(|reading| spoil(reading, unread)),
        17 => observed.barriers.rights.values_mut().for_each(|reading| spoil(reading, unread)),
        18 => observed.barriers.assignment_counts.values_mut().for_each(|reading| spoil(reading, unread)),
        19 => observed.history.agreements.clear(),
        20 => observed.workspaces.values_mut().for_each(|entry| spoil(&mut entry.jobs, unread)),
        21 => spoil(&mut observed.data_probe, unread),
        22 => observed.workspaces.values_mut().for_each(|entry| spoil(&mut entry.glimpse, unread)),
        23 => observed.barriers.tenants.values_mut().for_each(|reading| spoil(reading, unread)),
        24 => observed.barriers.denies.values_mut().for_each(|reading| spoil(reading, unread)),
        _ => spoil(&mut observed.locks, unread),
    }
}
