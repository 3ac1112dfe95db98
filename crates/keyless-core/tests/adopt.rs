//! What is adopted describes what is: a plan of the files changes nothing, and what is not known is said.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use insta::assert_snapshot;
use jiff::SignedDuration;
use keyless_core::adopt::{Adopted, Around, Estate, adopt, undecided};
use keyless_core::catalog::{
    BLOB_CONTRIBUTOR, BLOB_READER, FILE_CONTRIBUTOR, FILE_READER, QUEUE_CONTRIBUTOR, TABLE_CONTRIBUTOR,
};
use keyless_core::desired::*;
use keyless_core::id::*;
use keyless_core::manifest::{self, SourceFile};
use keyless_core::observed::*;
use keyless_core::plan::{Limits, Look, Plan};
use proptest::prelude::*;
use uuid::Uuid;

use crate::world::{self, *};

/// Everything that a complete survey of the world shows.
fn estate(world: &World) -> Estate {
    let now = world.now;
    let mut observed = world.observe(&desired(&[]));
    // Nobody asks for these.
    observed.elsewhere = Reading::NotRead;
    let around = Around {
        assignments: Reading::known(world.assignments.clone(), now),
        locks: Reading::known(world.locks.clone(), now),
    };
    Estate {
        owner: "us".to_owned(),
        listings: observed.listings.clone(),
        adopted: world.workspaces.keys().cloned().collect(),
        workspaces: world.workspaces.keys().map(|id| (id.clone(), around.clone())).collect(),
        roles: observed.roles.clone(),
        identities: observed.identities.clone(),
        accounts: BTreeMap::from([(account_id(), observed)]),
        endpoints: BTreeMap::new(),
    }
}

fn load(adopted: &Adopted) -> Desired {
    let files: Vec<SourceFile> =
        adopted.files.iter().map(|(path, text)| SourceFile::new(path.clone(), text.as_bytes())).collect();
    match manifest::load("desired", &files) {
        Ok(accepted) => {
            let said: Vec<String> = accepted.warnings.iter().map(ToString::to_string).collect();
            // A file of comments alone is how that is told which no document can say.
            assert!(said.iter().all(|warning| warning.contains("holds no document")), "{said:#?}");
            accepted.desired
        }
        Err(rejected) => panic!("{:#?}\n{:#?}", rejected.problems, adopted.files),
    }
}

/// What the files ask, wherever in them it stands.
fn asked(adopted: &Adopted) -> BTreeMap<WorkspaceId, DesiredWorkspace> {
    let mut workspaces = load(adopted).workspaces;
    workspaces.values_mut().for_each(|workspace| workspace.location = Location::default());
    workspaces
}

/// The plan of the files over the same world, with every gate looked at.
fn planned(adopted: &Adopted, world: &World) -> Plan {
    let desired = load(adopted);
    let key = desired.for_key(&account_id(), |id| world.workspaces.contains_key(id), Arc::default());
    let mut observed = world.observe(&key);
    observed.identities = BTreeMap::from([(identity("train"), Reading::known(Some(person(50)), world.now))]);
    world::planned(&key, &observed, &Limits::default(), Look::Everything)
}

fn identity(name: &str) -> ManagedIdentityId {
    let provider = "Microsoft.ManagedIdentity/userAssignedIdentities";
    ManagedIdentityId::parse(&format!("/subscriptions/{SUBSCRIPTION}/resourceGroups/rg/providers/{provider}/{name}"))
        .unwrap()
}

fn compute(name: &str, system: Option<PrincipalId>, user: &[(&str, PrincipalId)]) -> Compute {
    let user_assigned = user.iter().map(|(name, principal)| (identity(name), Some(*principal))).collect();
    Compute {
        name: name.to_owned(),
        compute_type: "AmlCompute".to_owned(),
        identity: Identity { system, user_assigned },
        state: None,
    }
}

fn grant(world: &mut World, principal: u128, kind: PrincipalType, roles: &[RoleId]) {
    for role in roles {
        world.assign(person(principal), *role, DAY).principal_type = Some(kind);
    }
}

/// A world with somebody of every kind.
fn sample() -> World {
    let mut world = World::new();
    let train = world.workspace("train", ObservedAuthMode::AccessKey);
    let score = world.workspace("score", ObservedAuthMode::Identity);
    world.workspace("lab", ObservedAuthMode::Unset);
    grant(&mut world, 1, PrincipalType::Group, &[BLOB_CONTRIBUTOR, FILE_CONTRIBUTOR]);
    grant(&mut world, 2, PrincipalType::User, &[BLOB_READER, FILE_READER]);
    grant(&mut world, 3, PrincipalType::User, &[BLOB_READER]);
    grant(&mut world, 8, PrincipalType::Group, &[FILE_CONTRIBUTOR]);
    grant(&mut world, 4, PrincipalType::ServicePrincipal, &[TABLE_CONTRIBUTOR, QUEUE_CONTRIBUTOR]);
    grant(&mut world, 5, PrincipalType::ForeignGroup, &[BLOB_READER]);
    grant(&mut world, 50, PrincipalType::ServicePrincipal, &[BLOB_CONTRIBUTOR]);
    grant(&mut world, 51, PrincipalType::ServicePrincipal, &[BLOB_READER]);
    world.assign(person(6), BLOB_CONTRIBUTOR, DAY).condition = Some("@Resource[…]".to_owned());
    world.workspaces.get_mut(&train).unwrap().computes =
        vec![compute("cpu", Some(person(51)), &[]), compute("gpu", None, &[("train", person(50))])];
    world.workspaces.get_mut(&score).unwrap().datastores = vec![Datastore {
        name: "legacy".to_owned(),
        account_name: Some("STML".to_owned()),
        credentials: DatastoreCredentials::AccountKey,
        form: DatastoreForm::default(),
    }];
    // A contributor of the group works in the workspaces and may list keys, and so may their identities.
    let contributor: RoleId = "b24988ac-6180-42a0-ab88-20f7382dd24c".parse().unwrap();
    world.define(contributor, "Contributor", &[], &[], true);
    world.roles.get_mut(&contributor).unwrap().permissions[0].actions = vec!["*".to_owned()];
    grant(&mut world, 7, PrincipalType::User, &[contributor]);
    grant(&mut world, 2, PrincipalType::User, &[contributor]);
    let system = world.workspaces[&train].system.unwrap();
    world.assign(system, contributor, DAY);
    world.locks = vec![Lock {
        id: ArmId::parse(&format!("{}/providers/Microsoft.Authorization/locks/frozen", account_id())).unwrap(),
        scope: account_id().arm().clone(),
        level: LockLevel::ReadOnly,
    }];
    world.key_user_until = Some(world.now);
    world
}

fn sample_estate() -> (World, Estate) {
    let world = sample();
    let mut estate = estate(&world);
    estate.identities = BTreeMap::from([(identity("train"), Reading::known(Some(person(50)), world.now))]);
    (world, estate)
}

#[test]
fn everybody_is_named_in_the_smallest_words_and_the_dangers_are_told() {
    let (world, estate) = sample_estate();
    let adopted = adopt(&estate);
    let text: Vec<String> = adopted.files.iter().map(|(path, text)| format!("=== {path}\n{text}")).collect();
    assert_snapshot!(text.concat());
    let plan = planned(&adopted, &world);
    assert!(plan.steps.is_empty() && plan.drift.is_empty(), "{}", show(&plan));
    assert_eq!(adopted.unread, BTreeSet::new());
}

#[test]
fn only_a_third_party_that_no_data_role_reaches_would_lose_access() {
    let (_, estate) = sample_estate();
    let adopted = adopt(&estate);
    let train = adopted.workspaces.iter().find(|line| line.id.name() == "train").unwrap();
    assert_eq!(train.would_lose, [format!("user {} (Contributor)", person(7))]);
}

#[test]
fn a_group_that_another_group_may_let_in_does_not_lose_access_for_sure() {
    for (another, certain) in [(PrincipalType::Group, false), (PrincipalType::User, true)] {
        let mut world = World::new();
        world.workspace("train", ObservedAuthMode::AccessKey);
        let contributor: RoleId = "b24988ac-6180-42a0-ab88-20f7382dd24c".parse().unwrap();
        world.define(contributor, "Contributor", &[], &[], true);
        world.roles.get_mut(&contributor).unwrap().permissions[0].actions = vec!["*".to_owned()];
        grant(&mut world, 9, PrincipalType::Group, &[contributor]);
        grant(&mut world, 1, another, &[BLOB_CONTRIBUTOR, FILE_CONTRIBUTOR]);
        let adopted = adopt(&estate(&world));
        let who = format!("group {} (Contributor)", person(9));
        assert_eq!(adopted.workspaces[0].would_lose, std::slice::from_ref(&who));
        let unless = if certain { "" } else { ", if no group of theirs is named below" };
        let line = format!("# - reaches the data through the key alone{unless}: {who}");
        let text = &adopted.files["workspaces/train.yaml"];
        assert!(text.lines().any(|found| found == line), "{line}: {text}");
    }
}

#[test]
fn a_workspace_that_wants_a_key_that_is_off_is_broken_and_the_files_say_so() {
    let mut world = World::new();
    world.workspace("train", ObservedAuthMode::Unset);
    world.key = SharedKeyAccess::Disallowed;
    let adopted = adopt(&estate(&world));
    let account = &adopted.files["accounts/stml.yaml"];
    assert!(account.contains("BROKEN NOW") && account.contains("sharedKeyAccess: disabled"), "{account}");
    let plan = planned(&adopted, &world);
    assert!(plan.steps.is_empty() && plan.drift.is_empty(), "{}", show(&plan));
}

#[test]
fn a_mode_that_no_document_can_say_stays_a_comment_for_a_person_to_decide() {
    let mut world = World::new();
    world.workspace("odd", ObservedAuthMode::Other("UserDelegationSAS".to_owned()));
    let adopted = adopt(&estate(&world));
    let text = &adopted.files["workspaces/odd.yaml"];
    assert!(text.contains("UserDelegationSAS") && text.contains("#   authMode: accesskey"), "{text}");
    assert!(load(&adopted).workspaces.is_empty() && !adopted.workspaces[0].declared);
}

#[test]
fn what_could_not_be_read_is_said_and_never_taken_for_nothing() {
    let (_, whole) = sample_estate();
    let train = workspace_id("train");
    type Edit<'a> = &'a dyn Fn(&mut Estate);
    let edits: [(&str, Edit<'_>); 9] = [
        ("who has access", &|e| observed(e).assignments = Reading::unknown("boom")),
        ("deny assignments", &|e| observed(e).denies = Reading::unknown("boom")),
        ("locks at the account", &|e| observed(e).locks = Reading::unknown("boom")),
        ("who signs with the key", &|e| observed(e).key_usage = Reading::unknown("boom")),
        ("the computes", &|e| entry(e).computes = Reading::unknown("boom")),
        ("the datastores", &|e| entry(e).datastores = Reading::unknown("boom")),
        ("the workspace itself", &|e| entry(e).workspace = Reading::unknown("boom")),
        ("who works in the workspace", &|e| around(e).assignments = Reading::unknown("boom")),
        ("locks at the workspace", &|e| around(e).locks = Reading::unknown("boom")),
    ];
    for (what, edit) in edits {
        let mut estate = whole.clone();
        edit(&mut estate);
        let adopted = adopt(&estate);
        let text = &adopted.files["workspaces/train.yaml"];
        assert!(text.contains(&format!("UNKNOWN: {what}")) && text.contains("boom"), "{what}: {text}");
        assert!(adopted.unread.iter().any(|unread| unread.contains("boom")), "{what}: {:?}", adopted.unread);
        load(&adopted);
    }
    let mut estate = whole.clone();
    observed(&mut estate).account = Reading::unknown("boom");
    estate.listings.insert(train.subscription(), Reading::unknown("bang"));
    let adopted = adopt(&estate);
    assert!(adopted.files["accounts/stml.yaml"].contains("UNKNOWN") && adopted.files["fleet.yaml"].contains("UNKNOWN"));
    assert_eq!(adopted.unread.len(), 2, "{:?}", adopted.unread);
    load(&adopted);

    let mut estate = whole;
    observed(&mut estate).roles.insert(BLOB_READER, Reading::unknown("boom"));
    estate.roles.insert(BLOB_READER, Reading::unknown("boom"));
    let adopted = adopt(&estate);
    let reader = person(3).to_string();
    assert!(adopted.unread.iter().any(|text| text.contains(&reader)), "{:?}", adopted.unread);
}

fn observed(estate: &mut Estate) -> &mut Observed {
    estate.accounts.get_mut(&account_id()).unwrap()
}

fn entry(estate: &mut Estate) -> &mut ObservedWorkspace {
    observed(estate).workspaces.get_mut(&workspace_id("train")).unwrap()
}

fn around(estate: &mut Estate) -> &mut Around {
    estate.workspaces.get_mut(&workspace_id("train")).unwrap()
}

#[test]
fn the_identity_of_an_endpoint_is_the_services_to_grant() {
    let mut world = World::new();
    let train = world.workspace("train", ObservedAuthMode::AccessKey);
    grant(&mut world, 1, PrincipalType::ServicePrincipal, &[BLOB_CONTRIBUTOR]);
    let mut estate = estate(&world);
    let endpoint = Endpoint {
        workspace: train.clone(),
        name: "score".to_owned(),
        identity: Identity { system: Some(person(1)), user_assigned: BTreeMap::new() },
    };
    estate.endpoints.insert(train.subscription(), Reading::known(vec![endpoint], world.now));
    let adopted = adopt(&estate);
    assert!(adopted.files["workspaces/train.yaml"].contains("the identity of the endpoint score"));
    assert!(load(&adopted).workspaces[&train].needs.is_empty());

    estate.endpoints.insert(train.subscription(), Reading::unknown("boom"));
    let adopted = adopt(&estate);
    assert!(adopted.files["fleet.yaml"].contains("UNKNOWN: the online endpoints") && adopted.unread.len() == 1);
}

#[test]
fn a_neighbour_that_is_not_adopted_is_named_and_does_not_make_a_plan() {
    let mut world = World::new();
    let ours = world.workspace("ours", ObservedAuthMode::Identity);
    world.workspace("theirs", ObservedAuthMode::AccessKey);
    let mut estate = estate(&world);
    estate.adopted = BTreeSet::from([ours]);
    let adopted = adopt(&estate);
    assert!(adopted.files["workspaces/ours.yaml"].contains(&format!("in no file: {}", workspace_id("theirs"))));
    assert!(!adopted.files.contains_key("workspaces/theirs.yaml"));
    let plan = planned(&adopted, &world);
    assert!(plan.steps.is_empty() && plan.drift.is_empty(), "{}", show(&plan));
}

prop_compose! {
    fn any_world()(
        key in prop_oneof![
            Just(SharedKeyAccess::Absent),
            Just(SharedKeyAccess::Allowed),
            Just(SharedKeyAccess::Disallowed),
        ],
        modes in proptest::collection::vec(prop_oneof![
            Just(ObservedAuthMode::AccessKey),
            Just(ObservedAuthMode::Identity),
            Just(ObservedAuthMode::Unset),
            Just(ObservedAuthMode::Other("UserDelegationSAS".to_owned())),
        ], 0..5),
        hubs in proptest::bool::ANY,
        grants in proptest::collection::vec(
            (0_u128..12, 0_usize..8, 0_u8..4, proptest::bool::weighted(0.15), 0_i64..3000),
            0..20,
        ),
        computes in proptest::collection::vec((0_usize..5, proptest::option::of(6_u128..9), proptest::bool::ANY), 0..4),
        deny in proptest::option::weighted(0.2, 0_u128..12),
    ) -> World {
        let mut world = World::new();
        world.key = key;
        // May read blobs and write them, and not delete: no role of the catalog.
        let custom = RoleId(Uuid::from_u128(0xC0));
        world.define(custom, "Half", &["Microsoft.Storage/*/blobs/*"], &["*/delete"], false);
        let roles = [
            BLOB_CONTRIBUTOR, BLOB_READER, FILE_CONTRIBUTOR, FILE_READER, TABLE_CONTRIBUTOR, QUEUE_CONTRIBUTOR,
            owner_role(), custom,
        ];
        for (number, mode) in modes.iter().enumerate() {
            let id = world.workspace(&format!("ws-{number}"), mode.clone());
            if hubs && number % 2 == 0 {
                world.workspaces.get_mut(&id).unwrap().kind = WorkspaceKind::Hub;
            }
        }
        for (who, role, scope, conditional, age) in grants {
            let scope = match scope {
                0 => ArmId::parse(&format!("/subscriptions/{SUBSCRIPTION}")).unwrap(),
                1 => ArmId::parse(&format!("/subscriptions/{SUBSCRIPTION}/resourceGroups/other")).unwrap(),
                _ => account_id().arm().clone(),
            };
            let kind = match who {
                0..=2 => Some(PrincipalType::User),
                3..=4 => Some(PrincipalType::Group),
                11 => None,
                _ => Some(PrincipalType::ServicePrincipal),
            };
            let made = world.assign_at(scope, person(who), roles[role], age);
            made.principal_type = kind;
            made.condition = conditional.then(|| "@Resource[…]".to_owned());
        }
        let ids: Vec<WorkspaceId> = world.workspaces.keys().cloned().collect();
        for (number, (on, system, user)) in computes.into_iter().enumerate() {
            let Some(id) = ids.get(on) else { continue };
            let user: &[(&str, PrincipalId)] = if user { &[("train", person(50))] } else { &[] };
            let system = system.map(|system| PrincipalId(Uuid::from_u128(0xB000 + system * 10 + number as u128)));
            if let Some(system) = system {
                world.assign(system, roles[number % roles.len()], DAY).principal_type =
                    Some(PrincipalType::ServicePrincipal);
            }
            world.workspaces.get_mut(id).unwrap().computes.push(compute(&format!("c{number}"), system, user));
        }
        if let Some(who) = deny {
            world.denies.push(DenyAssignment {
                name: "no".to_owned(),
                scope: account_id().arm().clone(),
                permissions: vec![Permission { data_actions: vec!["*".to_owned()], ..Permission::default() }],
                exact_scope_only: false,
                principals: vec![DeniedPrincipal::One(person(who))],
                excluded: BTreeSet::new(),
                conditional: false,
            });
        }
        world.now += SignedDuration::from_secs(1);
        world
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn a_plan_of_adopted_files_is_empty(world in any_world()) {
        let mut estate = estate(&world);
        estate.identities = BTreeMap::from([(identity("train"), Reading::known(Some(person(50)), world.now))]);
        let adopted = adopt(&estate);
        prop_assert_eq!(&adopted, &adopt(&estate));
        prop_assert_eq!(&adopted.unread, &BTreeSet::new());
        let plan = planned(&adopted, &world);
        prop_assert!(plan.steps.is_empty() && plan.drift.is_empty(), "{}\n{:#?}", show(&plan), adopted.files);
        // Who is to work is the same, whatever is denied today.
        let mut spared = world.clone();
        spared.denies.clear();
        let mut free = self::estate(&spared);
        free.identities = estate.identities;
        prop_assert_eq!(asked(&adopted), asked(&adopt(&free)));
        let sayable = world.workspaces.values().filter(|truth| !matches!(truth.mode, ObservedAuthMode::Other(_)));
        prop_assert_eq!(load(&adopted).workspaces.len(), sayable.count());
    }
}

/// A user who works in the workspaces by a role of the group's and has no data role of their own.
fn with_worker(world: &mut World, worker: u128) {
    let contributor: RoleId = "b24988ac-6180-42a0-ab88-20f7382dd24c".parse().unwrap();
    world.define(contributor, "Contributor", &[], &[], true);
    world.roles.get_mut(&contributor).unwrap().permissions[0].actions = vec!["*".to_owned()];
    grant(world, worker, PrincipalType::User, &[contributor]);
}

/// Whom the files say to lose access, and the head of the file.
fn losers(world: &World, change: impl FnOnce(&mut Observed)) -> (Vec<String>, String) {
    let mut estate = estate(world);
    change(observed(&mut estate));
    let adopted = adopt(&estate);
    let plan = planned(&adopted, world);
    assert!(plan.steps.is_empty() && plan.drift.is_empty(), "{}", show(&plan));
    (adopted.workspaces[0].would_lose.clone(), adopted.files["workspaces/train.yaml"].clone())
}

#[test]
fn whoever_works_through_a_group_keeps_access_and_the_group_is_in_the_files() {
    let mut world = World::new();
    world.workspace("train", ObservedAuthMode::AccessKey);
    with_worker(&mut world, 7);
    grant(&mut world, 1, PrincipalType::Group, &[BLOB_CONTRIBUTOR, FILE_CONTRIBUTOR]);
    let account = undecided(&estate(&world));
    assert_eq!(account[&account_id()], BTreeSet::from([person(7)]), "only of them it is asked");
    let in_group = |observed: &mut Observed| {
        let groups = Reading::known(BTreeSet::from([person(1)]), observed.now);
        observed.groups.insert(person(7), groups);
    };
    let (lose, text) = losers(&world, in_group);
    assert_eq!(lose, Vec::<String>::new());
    assert!(text.contains(&person(1).to_string()) && !text.contains(&person(7).to_string()), "{text}");
    let in_none = |observed: &mut Observed| {
        observed.groups.insert(person(7), Reading::known(BTreeSet::new(), observed.now));
    };
    let (lose, text) = losers(&world, in_none);
    assert_eq!(lose, [format!("user {} (Contributor)", person(7))]);
    assert!(text.contains("reaches the data through the key alone: user"), "it is sure: {text}");
    // What is not known is said, and never taken for no groups.
    let (lose, text) = losers(&world, |observed| {
        observed.groups.insert(person(7), Reading::unknown("503"));
    });
    assert_eq!(lose.len(), 1);
    assert!(text.contains("alone, if no group of theirs is named below: user"), "{text}");
    assert!(text.contains("UNKNOWN: the groups of user") && text.contains(": 503"), "{text}");
    // A grant to the group under a condition is no plain access.
    for assignment in &mut world.assignments {
        if assignment.principal == person(1) {
            assignment.condition = Some("@Resource[…]".to_owned());
        }
    }
    let (lose, text) = losers(&world, in_group);
    assert_eq!(lose, [format!("user {} (Contributor)", person(7))]);
    assert!(!text.contains("level:") && text.contains("under a condition"), "{text}");
}

#[test]
fn denied_people_and_what_could_be_activated_are_named_beside_the_risk() {
    let mut world = World::new();
    world.workspace("train", ObservedAuthMode::AccessKey);
    with_worker(&mut world, 7);
    grant(&mut world, 1, PrincipalType::Group, &[BLOB_CONTRIBUTOR, FILE_CONTRIBUTOR]);
    let told = |eligible: Reading<Vec<Eligibility>>, denied: bool| {
        let (lose, _) = losers(&world, |observed| {
            let now = observed.now;
            let groups = if denied { BTreeSet::from([person(1)]) } else { BTreeSet::new() };
            observed.groups.insert(person(7), Reading::known(groups, now));
            observed.eligibilities.insert(person(7), eligible);
            if denied {
                observed.denies = Reading::known(vec![everyone()], now);
            }
        });
        lose[0].clone()
    };
    let now = world.now;
    let eligible = Eligibility {
        scope: account_id().arm().clone(),
        principal: person(7),
        role: BLOB_CONTRIBUTOR,
        role_name: None,
        until: None,
    };
    let who = format!("user {} (Contributor)", person(7));
    let could = told(Reading::known(vec![eligible], now), false);
    assert_eq!(could, format!("{who}, who could activate Storage Blob Data Contributor"));
    assert_eq!(told(Reading::unknown("403"), false), format!("{who}, and what they could activate is not known"));
    assert_eq!(told(Reading::known(Vec::new(), now), true), format!("{who}, denied by the deny assignment no data"));
}

#[test]
fn whoever_is_denied_today_is_written_by_their_grant_and_told_apart() {
    for mode in [ObservedAuthMode::AccessKey, ObservedAuthMode::Identity] {
        let mut world = World::new();
        world.workspace("train", mode);
        grant(&mut world, 1, PrincipalType::User, &[BLOB_CONTRIBUTOR]);
        grant(&mut world, 2, PrincipalType::User, &[BLOB_CONTRIBUTOR]);
        let train = workspace_id("train");
        let free = asked(&adopt(&estate(&world)));
        assert_eq!(free[&train].needs.len(), 2);
        let one = |principal| DenyAssignment { principals: vec![DeniedPrincipal::One(principal)], ..everyone() };
        let group = |principal| DenyAssignment { principals: vec![DeniedPrincipal::Group(principal)], ..everyone() };
        let (first, second) = (format!("user {}", person(1)), format!("user {}", person(2)));
        let own = "the workspace's own identity";
        let at = format!("`no data` at {}", account_id());
        let cases = [
            (one(person(1)), vec![(first.clone(), true)], format!("# Denied today by {at}: {first}")),
            (
                DenyAssignment { conditional: true, ..one(person(1)) },
                vec![(first.clone(), false)],
                format!("# Perhaps denied today by {at}: {first}"),
            ),
            (
                everyone(),
                vec![(first.clone(), true), (second.clone(), true), (own.to_owned(), true)],
                format!("# Denied today by {at}: {first}, {second}, {own}"),
            ),
        ];
        for (deny, denied, line) in cases {
            world.denies = vec![deny];
            let adopted = adopt(&estate(&world));
            assert_eq!(asked(&adopted), free, "the files are about who is to work");
            let text = &adopted.files["workspaces/train.yaml"];
            assert!(text.lines().any(|found| found == line), "{line}\n{text}");
            assert!(!text.contains("no word of the catalog"), "{text}");
            let found = adopted.workspaces[0].denied.iter().map(|denied| (denied.who.clone(), denied.certain));
            assert_eq!(found.collect::<BTreeSet<_>>(), denied.into_iter().collect());
            assert_eq!(adopted.workspaces[0].would_lose, Vec::<String>::new());
            let plan = planned(&adopted, &world);
            assert!(plan.steps.is_empty() && plan.drift.is_empty(), "{}", show(&plan));
        }
        // Who is in the group was not asked.
        world.denies = vec![group(person(9))];
        let mut unasked = estate(&world);
        observed(&mut unasked).groups.clear();
        let adopted = adopt(&unasked);
        assert_eq!(asked(&adopted), free);
        assert!(
            adopted.workspaces[0].denied.iter().all(|denied| !denied.certain),
            "{:?}",
            adopted.workspaces[0].denied
        );
        assert!(adopted.workspaces[0].denied.len() >= 2, "{:?}", adopted.workspaces[0].denied);
    }
}

/// Denies all data to everyone.
fn everyone() -> DenyAssignment {
    DenyAssignment {
        name: "no data".to_owned(),
        scope: account_id().arm().clone(),
        permissions: vec![Permission { data_actions: vec!["*".to_owned()], ..Permission::default() }],
        exact_scope_only: false,
        principals: vec![DeniedPrincipal::Everyone],
        excluded: BTreeSet::new(),
        conditional: false,
    }
}
