//! Grants of this installation that nobody asks for any more.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use jiff::SignedDuration;
use keyless_core::action::Action;
use keyless_core::catalog::{BLOB_CONTRIBUTOR, BLOB_READER};
use keyless_core::desired::*;
use keyless_core::id::*;
use keyless_core::observed::*;
use keyless_core::plan::{Finding, Limits, Look, Plan, Standing, Step};

use crate::lost::uami;
use crate::world::*;

#[track_caller]
fn fixed(world: &World, desired: &KeyDesired) {
    let plan = look(world, desired);
    assert_eq!(plan.standing(), Standing::Converged, "{}{:?}", show(&plan), plan.steps);
}

#[test]
fn leavers_are_named_and_lose_only_what_this_installation_gave_them() {
    let mut world = World::new();
    let a = world.workspace("fraud-train", ObservedAuthMode::AccessKey);
    let mut with = desired(&[(&a, AuthMode::Identity, vec![need(object(1), BLOB_CONTRIBUTOR)])]);
    converge(&mut world, &with, |_, _| {});
    world.assign(person(2), BLOB_CONTRIBUTOR, DAY); // somebody else's grant
    with.workspaces.get_mut(&a).unwrap().needs.clear();
    let plan = look(&world, &with);
    assert!(plan.steps.is_empty());
    assert!(matches!(plan.findings.first(), Some(Finding::GrantUnwanted { principal, .. }) if *principal == person(1)));
    with.fleet.prune = true;
    let taken = converge(&mut world, &with, |_, _| {});
    assert!(matches!(taken.as_slice(), [Action::RevokeRole { principal, .. }] if *principal == person(1)), "{taken:?}");
    let holders: BTreeSet<PrincipalId> = world.assignments.iter().map(|assignment| assignment.principal).collect();
    let own = world.workspaces[&a].system.unwrap();
    assert_eq!(holders, BTreeSet::from([own, person(2)]), "the service's grant and a stranger's stay");
    fixed(&world, &with);
}

#[test]
fn removing_a_document_undoes_nothing() {
    let mut world = World::new();
    let a = world.workspace("fraud-train", ObservedAuthMode::AccessKey);
    let b = world.workspace("churn", ObservedAuthMode::AccessKey);
    let mut both = desired(&[
        (&a, AuthMode::Identity, vec![need(object(1), BLOB_CONTRIBUTOR)]),
        (&b, AuthMode::Identity, vec![need(object(2), BLOB_CONTRIBUTOR)]),
    ]);
    both.fleet.prune = true;
    converge(&mut world, &both, |_, _| {});
    both.workspaces.remove(&b);
    assert!(converge(&mut world, &both, |_, _| {}).is_empty());
    both.workspaces.clear();
    assert!(converge(&mut world, &both, |_, _| {}).is_empty());
}

/// Somebody on another account of the group may rest on it, so it is named and stays.
#[test]
fn a_grant_at_the_resource_group_is_named_and_never_taken_back() {
    let mut world = World::new();
    let a = world.workspace("fraud-train", ObservedAuthMode::AccessKey);
    let mut at_group = need(object(1), BLOB_CONTRIBUTOR);
    at_group.grant_scope = GrantScope::ResourceGroup;
    let mut with = desired(&[(&a, AuthMode::Identity, vec![at_group])]);
    converge(&mut world, &with, |_, _| {});
    let group = account_id().group();
    assert!(world.assignments.iter().any(|grant| grant.scope == group && grant.principal == person(1)));
    with.workspaces.get_mut(&a).unwrap().needs.clear();
    with.fleet.prune = true;
    let plan = look(&world, &with);
    assert!(plan.steps.is_empty(), "{}", show(&plan));
    let [Finding::GrantUnwanted { principal, scope, .. }] = plan.findings.iter().collect::<Vec<_>>()[..] else {
        panic!("{}", show(&plan))
    };
    assert_eq!((*principal, scope), (person(1), &group));
    assert!(show(&plan).contains(", where nothing is taken back"), "{}", show(&plan));
    with.group_is_shared = true;
    assert!(look(&world, &with).findings.is_empty(), "documents of another account may ask for it");
}

#[test]
fn why_grants_of_leavers_stay_is_told() {
    let mut world = World::new();
    let a = world.workspace("fraud-train", ObservedAuthMode::Identity);
    let mut with = desired(&[(&a, AuthMode::Identity, vec![need(object(1), BLOB_CONTRIBUTOR)])]);
    with.fleet.prune = true;
    converge(&mut world, &with, |_, _| {});
    world.workspace("churn", ObservedAuthMode::Identity);
    let told = |world: &World, with: &KeyDesired| {
        let told = |finding: &Finding| matches!(finding, Finding::LeaversUnknown { .. }).then(|| finding.to_string());
        look(world, with).findings.iter().find_map(told)
    };
    assert_eq!(told(&world, &with), None, "nobody has left");
    with.workspaces.get_mut(&a).unwrap().needs = vec![need(PrincipalRef::Compute("cpu".to_owned()), BLOB_CONTRIBUTOR)];
    assert!(look(&world, &with).steps.is_empty());
    assert_eq!(
        told(&world, &with).unwrap(),
        "whether anybody still asks for 1 grant made before is not known, so all stay: churn is not declared, who compute cpu \
         of fraud-train is, is not known"
    );
}

type Hide = fn(&mut KeyDesired);

/// A workspace that nobody looks at may have people who rest on a grant: one that was declared and no longer is, or one that
/// was deleted and comes back.
#[test]
fn grants_stay_while_a_workspace_that_may_rest_on_them_is_out_of_sight() {
    let mut world = World::new();
    let a = world.workspace("fraud-train", ObservedAuthMode::Identity);
    let mut with = desired(&[(&a, AuthMode::Identity, vec![need(object(1), BLOB_CONTRIBUTOR)])]);
    with.fleet.prune = true;
    converge(&mut world, &with, |_, _| {});
    with.workspaces.get_mut(&a).unwrap().needs.clear();
    assert!(look(&world, &with).steps.iter().any(|step| matches!(step.action, Action::RevokeRole { .. })));

    let cases: [(Hide, &str); 6] = [
        (
            |files| files.out_of_sight.extend([(workspace_id("gone"), OutOfSight::Missing)]),
            "gone has a document and does not exist, and may be recovered",
        ),
        (
            |files| files.out_of_sight.extend([(workspace_id("hidden"), OutOfSight::Excluded)]),
            "hidden stands on it, or may, and `scope.exclude` leaves it out",
        ),
        (
            |files| {
                files.out_of_scope =
                    Reading::known(BTreeSet::from([account_id().subscription()]), jiff::Timestamp::MIN);
            },
            "are not seen: `scope` leaves it out",
        ),
        (
            |files| files.out_of_scope = Reading::unknown("it could not be read"),
            "which subscriptions `scope` leaves out is not known: it could not be read",
        ),
        (|files| files.out_of_scope = Reading::NotRead, "which subscriptions `scope` leaves out was not read"),
        (|files| files.fleet.scope.exclude = BTreeSet::from([workspace_id("other").arm().clone()]), ""),
    ];
    for (hide, why) in cases {
        let mut files = with.clone();
        hide(&mut files);
        let plan = look(&world, &files);
        let told = plan.findings.iter().find(|finding| matches!(finding, Finding::LeaversUnknown { .. }));
        assert_eq!(told.is_none(), why.is_empty(), "{}", show(&plan));
        assert!(told.is_none_or(|told| told.to_string().ends_with(why)), "{}", show(&plan));
        let goes = plan.steps.iter().any(|step| matches!(step.action, Action::RevokeRole { .. }));
        assert_eq!(goes, why.is_empty(), "{}", show(&plan));
    }
}

/// A second grant beside one that stays would be one that nobody asked for.
#[test]
fn who_rests_on_a_grant_that_stays_for_doubts_gets_no_other() {
    let mut world = World::new();
    let a = world.workspace("fraud-train", ObservedAuthMode::AccessKey);
    world.members.entry(person(1)).or_default().insert(person(2));
    let mut with = desired(&[(&a, AuthMode::Identity, vec![of(PrincipalType::Group, 1)])]);
    with.fleet.prune = true;
    converge(&mut world, &with, |_, _| {});
    with.workspaces.get_mut(&a).unwrap().needs = vec![of(PrincipalType::User, 2)];
    assert!(show(&look(&world, &with)).contains("GrantRole"), "{}", show(&look(&world, &with)));
    world.workspace("churn", ObservedAuthMode::Identity);
    let plan = look(&world, &with);
    assert!(plan.steps.iter().all(|step| !matches!(step.action, Action::GrantRole(_))), "{}", show(&plan));
    assert!(plan.findings.iter().any(|finding| matches!(finding, Finding::LeaversUnknown { .. })), "{}", show(&plan));
}

fn of(kind: PrincipalType, n: u128) -> Need {
    need(PrincipalRef::Object { kind, id: person(n), name: None }, BLOB_CONTRIBUTOR)
}

/// The files name one, then another who has what the first has by a group, or gave it by one. What is done, and how long the
/// grant that goes stays; everybody of the second files works all the while.
fn swapped(before: Need, after: Need, members: &[(u128, u128)]) -> (Vec<String>, SignedDuration) {
    let mut world = World::new();
    let a = world.workspace("fraud-train", ObservedAuthMode::AccessKey);
    for (group, member) in members {
        world.members.entry(person(*group)).or_default().insert(person(*member));
    }
    let mut with = desired(&[(&a, AuthMode::Identity, vec![before])]);
    with.fleet.prune = true;
    converge(&mut world, &with, |_, _| {});
    with.workspaces.get_mut(&a).unwrap().needs = vec![after];
    let began = world.now;
    let mut gone = began;
    let taken = converge(&mut world, &with, |before, action| {
        if matches!(action, Action::RevokeRole { .. }) {
            gone = before.now;
        }
    });
    fixed(&world, &with);
    (taken.iter().map(|action| action.to_string()[..9].to_owned()).collect(), gone.duration_since(began))
}

#[test]
fn whoever_the_files_name_otherwise_works_by_that_before_the_old_grant_goes() {
    use PrincipalType::{Group, ServicePrincipal, User};
    let waits = Waits::default();
    let (role, group) = (waits.role_propagation, waits.group_propagation);
    let stays = |wait: Duration| SignedDuration::try_from(wait).unwrap();
    for (before, after, members, wait) in [
        // Who is in a group is not known, so one that stays is waited for as for identities.
        (of(User, 1), of(Group, 9), &[(9, 1)][..], group),
        (of(ServicePrincipal, 1), of(Group, 9), &[(9, 1)][..], group),
        (of(Group, 9), of(User, 1), &[(9, 1)][..], role),
        (of(Group, 8), of(Group, 9), &[(8, 1), (9, 1)][..], group),
        (of(Group, 8), of(Group, 9), &[][..], group),
        (of(User, 1), of(User, 2), &[][..], role),
        (of(User, 1), of(Group, 9), &[(9, 2), (7, 1)][..], group),
    ] {
        let case = format!("{} then {}", before.principal, after.principal);
        let (taken, stayed) = swapped(before, after, members);
        assert_eq!(taken, ["GrantRole", "RevokeRol"], "{case}");
        assert!(stayed >= stays(wait) && stayed <= stays(wait) + SignedDuration::from_secs(60), "{case}: {stayed}");
    }
}

#[test]
fn a_grant_of_more_than_is_asked_goes_when_the_lesser_one_works() {
    let reader = need(object(1), BLOB_READER);
    let (taken, stayed) = swapped(of(PrincipalType::User, 1), reader, &[]);
    assert_eq!(taken, ["GrantRole", "RevokeRol"]);
    assert!(stayed >= SignedDuration::try_from(Waits::default().role_propagation).unwrap());
}

/// A world in which somebody has left, who may be in a group that the files name.
fn left() -> (World, KeyDesired) {
    let mut world = World::new();
    let a = world.workspace("fraud-train", ObservedAuthMode::AccessKey);
    let everybody = vec![of(PrincipalType::User, 1), of(PrincipalType::Group, 9)];
    let mut with = desired(&[(&a, AuthMode::Identity, everybody)]);
    with.fleet.prune = true;
    world.members.entry(person(9)).or_default().insert(person(1));
    converge(&mut world, &with, |_, _| {});
    with.workspaces.get_mut(&a).unwrap().needs.remove(0);
    (world, with)
}

#[test]
fn what_is_not_known_of_whoever_has_left_holds_the_grant() {
    let (world, with) = left();
    let mut observed = world.observe(&with);
    let revoke = |observed: &Observed| {
        let plan = planned(&with, observed, &world.fences.limits, Look::WhatMatters);
        let step = plan.steps.iter().find(|step| matches!(step.action, Action::RevokeRole { .. })).unwrap().clone();
        (plan, step)
    };
    assert!(revoke(&observed).1.is_open());
    let groups = observed.groups.insert(person(1), Reading::NotRead);
    let (plan, step) = revoke(&observed);
    assert!(!step.is_open() && plan.wants.groups.contains(&person(1)));
    observed.groups.insert(person(1), Reading::unknown("503"));
    let (plan, step) = revoke(&observed);
    assert!(!step.is_open() && show(&plan).contains("503"), "{}", show(&plan));
    observed.groups.insert(person(1), groups.unwrap());

    observed.elsewhere = Reading::NotRead;
    let (plan, step) = revoke(&observed);
    assert!(!step.is_open() && plan.wants.elsewhere);
    observed.elsewhere = Reading::unknown("504");
    let (plan, step) = revoke(&observed);
    assert!(!step.is_open() && show(&plan).contains("504"), "{}", show(&plan));
}

#[test]
fn a_datastore_that_is_read_from_another_account_by_identity_keeps_the_grants_here() {
    let (mut world, with) = left();
    for (credentials, held) in [(DatastoreCredentials::None, true), (DatastoreCredentials::AccountKey, false)] {
        world.elsewhere = vec![stored("shared", credentials)];
        let plan = look(&world, &with);
        let told = show(&plan).contains("far-away/shared, on another account, is read here by identity");
        let next = plan.next().map(|step| matches!(step.action, Action::RevokeRole { .. }));
        assert_eq!((told, next), (held, (!held).then_some(true)), "{}", show(&plan));
    }
}

/// The grant to the customer's own identity that acts for a workspace was made for a document that named it.
#[test]
fn the_grant_to_the_identity_that_acts_for_a_workspace_stays_and_so_do_all_while_it_is_not_known() {
    let mut world = World::new();
    let a = world.workspace("fraud-train", ObservedAuthMode::AccessKey);
    let id = format!(
        "/subscriptions/{SUBSCRIPTION}/resourceGroups/rg/providers/Microsoft.ManagedIdentity/userAssignedIdentities/acting"
    );
    let primary = ManagedIdentityId::parse(&id).unwrap();
    world.workspaces.get_mut(&a).unwrap().primary = Some((primary.clone(), person(5)));
    let named = vec![of(PrincipalType::ServicePrincipal, 5), of(PrincipalType::User, 1)];
    let mut with = desired(&[(&a, AuthMode::Identity, named)]);
    with.fleet.prune = true;
    converge(&mut world, &with, |_, _| {});
    with.workspaces.get_mut(&a).unwrap().needs.clear();
    let planned = |observed: &Observed| planned(&with, observed, &world.fences.limits, Look::WhatMatters);
    let mut observed = world.observe(&with);
    let revoked = |plan: &Plan| -> Vec<PrincipalId> {
        let of = |step: &Step| match step.action {
            Action::RevokeRole { principal, .. } => Some(principal),
            _ => None,
        };
        plan.steps.iter().filter_map(of).collect()
    };
    let plan = planned(&observed);
    assert_eq!(revoked(&plan), [person(1)], "{}", show(&plan));
    let Reading::Known { value: Some(own), .. } = &mut observed.workspaces.get_mut(&a).unwrap().workspace else {
        panic!("it is known")
    };
    own.identity.user_assigned.insert(primary.clone(), None);
    let plan = planned(&observed);
    assert_eq!(revoked(&plan), [], "{}", show(&plan));
    assert!(plan.wants.identities.contains(&primary));
    assert!(show(&plan).contains("who acts for fraud-train was not read"), "{}", show(&plan));
    observed.identities.insert(primary.clone(), Reading::unknown("503"));
    let plan = planned(&observed);
    assert_eq!(revoked(&plan), []);
    assert!(show(&plan).contains("who acts for fraud-train is not known"), "{}", show(&plan));
    observed.identities.insert(primary, Reading::known(Some(person(5)), world.now));
    assert_eq!(revoked(&planned(&observed)), [person(1)]);
}

/// The service's own grant may be gone.
#[test]
fn the_grant_that_a_workspace_works_by_itself_with_is_named_and_stays() {
    let mut world = World::new();
    let a = world.workspace("fraud-train", ObservedAuthMode::AccessKey);
    let own = world.workspaces[&a].system.unwrap();
    world.assignments.retain(|assignment| assignment.principal != own);
    let mut with = desired(&[(&a, AuthMode::Identity, vec![])]);
    with.fleet.prune = true;
    with.workspaces.get_mut(&a).unwrap().service_grants = ServiceGrants::Grant;
    let taken = converge(&mut world, &with, |_, _| {});
    assert!(matches!(taken.first(), Some(Action::GrantRole(grant)) if grant.principal == own), "{taken:?}");
    with.workspaces.get_mut(&a).unwrap().service_grants = ServiceGrants::Accept;
    let plan = look(&world, &with);
    assert!(plan.steps.is_empty(), "{}", show(&plan));
    assert!(matches!(plan.findings.first(), Some(Finding::GrantUnwanted { principal, .. }) if *principal == own));
}

/// The identity of an endpoint that a document named, and names no more.
#[test]
fn the_grant_that_an_endpoint_works_by_is_named_and_stays() {
    let mut world = World::new();
    let a = world.workspace("fraud-train", ObservedAuthMode::Identity);
    world.endpoints.push(Endpoint {
        workspace: a.clone(),
        name: "score".to_owned(),
        identity: Identity { system: Some(person(7)), user_assigned: BTreeMap::new() },
    });
    let mut with = desired(&[(&a, AuthMode::Identity, vec![of(PrincipalType::ServicePrincipal, 7)])]);
    with.fleet.prune = true;
    converge(&mut world, &with, |_, _| {});
    with.workspaces.get_mut(&a).unwrap().needs.clear();
    let plan = look(&world, &with);
    assert!(plan.steps.is_empty(), "{}", show(&plan));
    let named =
        |finding: &Finding| matches!(finding, Finding::GrantUnwanted { principal, .. } if *principal == person(7));
    assert!(plan.findings.iter().any(named), "{}", show(&plan));

    let mut observed = world.observe(&with);
    observed.endpoints = Reading::unknown("it is down");
    let plan = planned(&with, &observed, &Limits::default(), Look::Everything);
    assert!(
        plan.steps.is_empty() && show(&plan).contains("which identities endpoints work by is not known: it is down")
    );
    observed.endpoints = Reading::NotRead;
    let plan = planned(&with, &observed, &Limits::default(), Look::Everything);
    assert!(plan.steps.is_empty() && plan.wants.endpoints, "{}", show(&plan));
    world.endpoints.clear();
    assert!(look(&world, &with).next().is_some(), "nobody works by it any more");
}

/// A user-assigned one is the customer's to grant, and works all the same.
#[test]
fn the_grant_of_an_identity_that_an_endpoint_was_given_stays_and_so_do_all_while_endpoints_may_be_hidden() {
    let mut world = World::new();
    let a = world.workspace("fraud-train", ObservedAuthMode::Identity);
    let mut with = desired(&[(&a, AuthMode::Identity, vec![of(PrincipalType::ServicePrincipal, 7)])]);
    with.fleet.prune = true;
    converge(&mut world, &with, |_, _| {});
    with.workspaces.get_mut(&a).unwrap().needs.clear();
    let given = |told: Option<PrincipalId>| Endpoint {
        workspace: a.clone(),
        name: "score".to_owned(),
        identity: Identity { system: None, user_assigned: BTreeMap::from([(uami("score"), told)]) },
    };
    let plan_of = |world: &World, identity: Option<Reading<Option<PrincipalId>>>| {
        let mut observed = world.observe(&with);
        observed.identities.remove(&uami("score"));
        observed.identities.extend(identity.map(|reading| (uami("score"), reading)));
        planned(&with, &observed, &Limits::default(), Look::Everything)
    };
    world.endpoints = vec![given(Some(person(7)))];
    let plan = plan_of(&world, None);
    let named =
        |finding: &Finding| matches!(finding, Finding::GrantUnwanted { principal, .. } if *principal == person(7));
    assert!(plan.steps.is_empty() && plan.findings.iter().any(named), "{}", show(&plan));

    world.endpoints = vec![given(None)];
    let now = world.now;
    assert!(plan_of(&world, Some(Reading::known(Some(person(7)), now))).steps.is_empty());
    assert!(!plan_of(&world, Some(Reading::known(Some(person(8)), now))).steps.is_empty(), "it is another's");
    let unread = plan_of(&world, None);
    assert!(unread.steps.is_empty() && unread.wants.identities.contains(&uami("score")), "{}", show(&unread));
    let unknown = plan_of(&world, Some(Reading::unknown("it is down")));
    assert!(unknown.steps.is_empty() && show(&unknown).contains("is not known: it is down"), "{}", show(&unknown));

    // None is shown, and it is not known that none is there.
    world.endpoints.clear();
    assert!(look(&world, &with).next().is_some());
    let rights = |rights: Option<Reading<Vec<OwnRight>>>| {
        let mut observed = world.observe(&with);
        observed.barriers.rights.remove(a.arm());
        observed.barriers.rights.extend(rights.map(|rights| (a.arm().clone(), rights)));
        planned(&with, &observed, &Limits::default(), Look::Everything)
    };
    let blind = rights(Some(Reading::known(Vec::new(), now)));
    assert!(blind.steps.is_empty() && show(&blind).contains("are not shown to the controller"), "{}", show(&blind));
    let down = rights(Some(Reading::unknown("it is down")));
    assert!(down.steps.is_empty() && show(&down).contains("are shown is not known"), "{}", show(&down));
    let unread = rights(None);
    assert!(unread.steps.is_empty() && unread.wants.barriers.rights.contains(a.arm()), "{}", show(&unread));
}

/// Nobody reads what `scope` leaves out then.
#[test]
fn without_prune_a_grant_that_nobody_asks_for_is_named() {
    let mut world = World::new();
    let a = world.workspace("fraud-train", ObservedAuthMode::Identity);
    let mut with = desired(&[(&a, AuthMode::Identity, vec![of(PrincipalType::User, 7)])]);
    converge(&mut world, &with, |_, _| {});
    with.workspaces.get_mut(&a).unwrap().needs.clear();
    for (prune, is_named) in [(false, true), (true, false)] {
        with.fleet.prune = prune;
        with.out_of_scope = Reading::NotRead;
        let plan = look(&world, &with);
        let named = plan.findings.iter().any(|finding| matches!(finding, Finding::GrantUnwanted { .. }));
        assert_eq!((named, plan.steps.is_empty()), (is_named, true), "{}", show(&plan));
    }
}

/// A managed identity may be in both groups, and to it a grant to a group takes longest to come.
#[test]
fn a_group_leaves_once_one_that_stays_works_for_identities_too() {
    let mut world = World::new();
    let a = world.workspace("fraud-train", ObservedAuthMode::AccessKey);
    let both = vec![of(PrincipalType::Group, 8), of(PrincipalType::Group, 9)];
    let mut with = desired(&[(&a, AuthMode::Identity, both)]);
    with.fleet.prune = true;
    converge(&mut world, &with, |_, _| {});
    with.workspaces.get_mut(&a).unwrap().needs.remove(0);
    let day = i64::try_from(with.fleet.waits.group_propagation.as_secs()).unwrap();
    for (age, open) in [(1_800, false), (day - 1, false), (day, true)] {
        let at = Some(world.now - SignedDuration::from_secs(age));
        for stays in world.assignments.iter_mut().filter(|assignment| assignment.principal == person(9)) {
            (stays.created_on, stays.updated_on) = (at, at);
        }
        let plan = look(&world, &with);
        assert_eq!(plan.next().is_some(), open, "{age}: {}", show(&plan));
        let waits = plan.wakes_at().map(|at| at.duration_since(world.now).as_secs());
        assert_eq!(waits, (!open).then_some(day - age), "{age}: {}", show(&plan));
    }
}
