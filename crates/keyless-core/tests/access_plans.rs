//! What plans make of groups and conditions: no grant beside a cover through a group, none that a condition narrows.

use std::collections::BTreeSet;

use jiff::SignedDuration;
use keyless_core::access::{self, Cover, Orphan, Question};
use keyless_core::action::{Action, Grant, assignment_name, is_own_name, second_name};
use keyless_core::catalog::{self, BLOB_CONTRIBUTOR, BLOB_READER};
use keyless_core::desired::*;
use keyless_core::gate::{Gate, GateState};
use keyless_core::id::*;
use keyless_core::observed::*;
use keyless_core::plan::{self, Finding, Limits, Look, Standing};

use crate::world::*;

const RAW: &str = "(@Resource[Microsoft.Storage/storageAccounts/blobServices/containers:name] StringEquals 'raw')";

fn service_principal(n: u128) -> PrincipalRef {
    PrincipalRef::Object { kind: PrincipalType::ServicePrincipal, id: person(n), name: None }
}

/// A world in which person 1 is in group 7, which is in group 8, and group 8 writes blobs.
fn nested() -> (World, WorkspaceId) {
    let mut world = World::new();
    let a = world.workspace("fraud-train", ObservedAuthMode::AccessKey);
    world.members.insert(person(7), BTreeSet::from([person(1)]));
    world.members.insert(person(8), BTreeSet::from([person(7)]));
    world.assign(person(8), BLOB_CONTRIBUTOR, 3 * DAY).principal_type = Some(PrincipalType::Group);
    (world, a)
}

fn grants(world: &World, desired: &KeyDesired) -> Vec<Grant> {
    let steps = look(world, desired).steps;
    steps
        .into_iter()
        .filter_map(|step| if let Action::GrantRole(grant) = step.action { Some(grant) } else { None })
        .collect()
}

#[test]
fn whoever_is_covered_through_a_group_gets_no_grant_of_its_own() {
    let (mut world, a) = nested();
    let desired = desired(&[(&a, AuthMode::Identity, vec![need(object(1), BLOB_CONTRIBUTOR)])]);
    let taken = converge(&mut world, &desired, |_, _| {});
    assert!(!taken.iter().any(|action| matches!(action, Action::GrantRole(_))), "{taken:?}");
    assert_eq!(look(&world, &desired).standing(), Standing::Converged);
}

#[test]
fn the_groups_of_a_principal_are_read_only_where_an_assignment_could_help_it() {
    let (mut world, a) = nested();
    let reads = |world: &World, desired: &KeyDesired| {
        let mut observed = world.observe(desired);
        observed.groups.clear();
        let planned = planned(desired, &observed, &Limits::default(), Look::WhatMatters);
        let granted = planned.steps.iter().any(|step| matches!(step.action, Action::GrantRole(_)));
        (planned.wants.groups, granted)
    };
    let asked = |who: PrincipalRef| desired(&[(&a, AuthMode::Identity, vec![need(who, BLOB_CONTRIBUTOR)])]);
    let one = BTreeSet::from([person(1)]);
    assert_eq!(reads(&world, &asked(object(1))), (one, false), "nothing is granted before they are known");
    let group = PrincipalRef::Object { kind: PrincipalType::Group, id: person(7), name: None };
    assert_eq!(reads(&world, &asked(group)), (BTreeSet::new(), true), "Azure does not tell a group's groups");
    world.assign(person(1), BLOB_CONTRIBUTOR, DAY);
    assert_eq!(reads(&world, &asked(object(1))), (BTreeSet::new(), false), "it has a grant of its own");
    world.assignments.retain(|assignment| assignment.principal != person(1));
    world.assignments.last_mut().unwrap().principal_type = Some(PrincipalType::User);
    assert_eq!(reads(&world, &asked(object(1))), (BTreeSet::new(), true), "no assignment is made to a group");
}

#[test]
fn denials_are_read_in_the_round_in_which_groups_are() {
    let (world, a) = nested();
    let desired = desired(&[(&a, AuthMode::Identity, vec![need(object(1), BLOB_CONTRIBUTOR)])]);
    let mut observed = world.observe(&desired);
    observed.groups.clear();
    observed.denies = Reading::NotRead;
    let wants = planned(&desired, &observed, &Limits::default(), Look::WhatMatters).wants;
    assert_eq!((wants.groups, wants.denies), (BTreeSet::from([person(1)]), true));
}

#[test]
fn groups_that_could_not_be_read_are_not_no_groups() {
    let (world, a) = nested();
    let desired = desired(&[(&a, AuthMode::Identity, vec![need(object(1), BLOB_CONTRIBUTOR)])]);
    let mut observed = world.observe(&desired);
    observed.groups.insert(person(1), Reading::unknown("503"));
    let planned = planned(&desired, &observed, &Limits::default(), Look::Everything);
    assert_eq!(planned.standing(), Standing::Blocked);
    assert!(!planned.steps.iter().any(|step| matches!(step.action, Action::GrantRole(_))));
    assert!(show(&planned).contains("could not be read: groups of"), "{}", show(&planned));
}

#[test]
fn access_that_several_grants_make_up_counts_from_the_youngest_of_them_and_of_the_same_from_the_oldest() {
    let [first, rest, all] = [1, 2, 3].map(|n| RoleId(uuid::Uuid::from_u128(n)));
    let minute = 60;
    for (grants, works_after) in [
        (vec![(first, DAY), (rest, minute)], 14 * 60),
        (vec![(first, minute), (rest, DAY)], 14 * 60),
        (vec![(all, DAY), (all, minute)], 15 * 60 - DAY),
        (vec![(all, minute), (all, DAY)], 15 * 60 - DAY),
    ] {
        let mut world = World::new();
        let a = world.workspace("fraud-train", ObservedAuthMode::AccessKey);
        let actions = question().role.data_actions;
        world.define(first, "first", &actions[..1], &[], false);
        world.define(rest, "rest", &actions[1..], &[], false);
        world.define(all, "all", actions, &[], false);
        for (role, age) in &grants {
            world.assign(person(1), *role, *age);
        }
        let desired = desired(&[(&a, AuthMode::Identity, vec![])]);
        let cover = access::cover(&question(), &world.observe(&desired), &desired.fleet.waits);
        let Cover::Covered { works_at: Some(at), .. } = cover else { panic!("{cover:?}") };
        assert_eq!(at, world.now + SignedDuration::from_secs(works_after), "{grants:?}");
    }
}

/// Whether person 1 writes blobs.
fn question() -> Question<'static> {
    Question::plain(person(1), PrincipalType::User, catalog::find_role(BLOB_CONTRIBUTOR).unwrap())
}

#[test]
fn a_grant_through_a_group_is_no_direct_one() {
    let (world, a) = nested();
    let desired = desired(&[(&a, AuthMode::Identity, vec![need(object(1), BLOB_CONTRIBUTOR)])]);
    let (observed, waits) = (world.observe(&desired), &desired.fleet.waits);
    assert!(matches!(access::cover(&question(), &observed, waits), Cover::Covered { .. }));
    assert!(matches!(access::direct_cover(&question(), &observed, waits), Cover::Missing { .. }));
}

#[test]
fn where_nothing_could_help_it_is_missing_whatever_is_not_known_of_groups_and_denials() {
    let (mut world, a) = nested();
    world.assignments.retain(|assignment| assignment.principal != person(8));
    let desired = desired(&[(&a, AuthMode::Identity, vec![need(object(1), BLOB_CONTRIBUTOR)])]);
    let mut observed = world.observe(&desired);
    observed.groups.insert(person(1), Reading::unknown("503"));
    observed.denies = Reading::unknown("503");
    let cover = access::effective_cover(&question(), &observed, &desired.fleet.waits);
    assert!(matches!(cover, Cover::Missing { .. }), "{cover:?}");
}

#[test]
fn a_hole_is_what_a_role_names_and_then_subtracts() {
    let blobs = "Microsoft.Storage/storageAccounts/blobServices/containers/blobs";
    let (all, read, write) = (format!("{blobs}/*"), format!("{blobs}/read"), format!("{blobs}/write"));
    for (names, subtracts, holes) in [
        (&all, Some(&write), vec![write.as_str()]),
        (&all, None, vec![]),
        // What it never names it does not subtract.
        (&read, Some(&write), vec![]),
    ] {
        let mut world = World::new();
        let a = world.workspace("fraud-train", ObservedAuthMode::AccessKey);
        let subtracts: Vec<&str> = subtracts.into_iter().map(String::as_str).collect();
        world.define(owner_role(), "Blobs in part", &[names], &subtracts, false);
        world.assign(person(1), owner_role(), DAY);
        let desired = desired(&[(&a, AuthMode::Identity, vec![])]);
        let observed = world.observe(&desired);
        let answer = access::judge(&question(), &observed, &desired.fleet.waits);
        let [path] = answer.paths.as_slice() else { panic!("{answer:?}") };
        assert_eq!(path.holes(question().role), holes, "{names} without {subtracts:?}");
    }
}

#[test]
fn orphans_are_own_grants_to_identities_that_no_document_comes_to() {
    use PrincipalType::{ServicePrincipal, User};
    let mut world = World::new();
    for (n, kind, owner) in [
        (1, ServicePrincipal, "ml-platform-prod"),
        // One that a document comes to, a person, and a grant of another installation.
        (2, ServicePrincipal, "ml-platform-prod"),
        (3, User, "ml-platform-prod"),
        (4, ServicePrincipal, "ml-platform-test"),
    ] {
        let made = world.assign(person(n), BLOB_READER, DAY);
        made.name = assignment_name(owner, account_id().arm(), person(n), BLOB_READER, None);
        made.principal_type = Some(kind);
    }
    let found = access::orphans("ml-platform-prod", &world.assignments, &BTreeSet::from([person(2)]));
    let assignment = world.assignments[0].id.clone();
    assert_eq!(found, [Orphan { assignment, principal: person(1), role: BLOB_READER }]);
}

#[test]
fn through_a_group_the_age_runs_from_when_it_was_first_seen_and_for_services_it_is_a_day() {
    for (who, waits_hours) in [(object(1), 0.25), (service_principal(1), 24.0)] {
        let (mut world, a) = nested();
        world.members_seen = world.now - SignedDuration::from_secs(60);
        let desired = desired(&[(&a, AuthMode::Identity, vec![need(who, BLOB_CONTRIBUTOR)])]);
        let until = look(&world, &desired).wakes_at().unwrap();
        assert_eq!(until, world.members_seen + SignedDuration::from_secs_f64(waits_hours * 3600.0));
        let mut observed = world.observe(&desired);
        observed.history = History::default();
        let forgotten = planned(&desired, &observed, &Limits::default(), Look::Everything);
        assert!(forgotten.wakes_at().unwrap() > until, "not remembered is first seen now");
    }
}

#[test]
fn what_a_switch_rests_on_is_read_again_before_it() {
    let (world, a) = nested();
    let desired = desired(&[(&a, AuthMode::Identity, vec![need(object(1), BLOB_CONTRIBUTOR)])]);
    let seen = look(&world, &desired);
    let next = seen.next().unwrap();
    assert!(matches!(next.action, Action::SetAuthMode { .. }));
    let reads = plan::confirm_reads(next, &desired, &world.observe(&desired));
    assert_eq!(reads.groups, BTreeSet::from([person(1)]));
    let mut observed = world.observe(&desired);
    observed.forget(&reads);
    let blind = planned(&desired, &observed, &Limits::default(), Look::Everything);
    assert!(blind.next().is_none(), "{}", show(&blind));
}

#[test]
fn a_denied_group_counts_for_sure_only_where_its_member_is_known() {
    let (mut world, a) = nested();
    let desired = desired(&[(&a, AuthMode::Identity, vec![need(object(1), BLOB_CONTRIBUTOR)])]);
    let own = world.workspaces[&a].system.unwrap();
    let deny = |principals, excluded: &[u128]| DenyAssignment {
        name: "stack-deny".to_owned(),
        scope: account_id().arm().clone(),
        permissions: vec![Permission { data_actions: vec!["*/write".to_owned()], ..Permission::default() }],
        exact_scope_only: false,
        principals,
        // What the workspace does by itself is another matter.
        excluded: excluded.iter().map(|n| person(*n)).chain([own]).collect(),
        conditional: false,
    };
    for (principals, excluded, word) in [
        (vec![DeniedPrincipal::Group(person(8))], vec![], Some("is denied by")),
        (vec![DeniedPrincipal::Group(person(9))], vec![], Some("is, or may be, denied by")),
        (vec![DeniedPrincipal::Everyone], vec![8], None),
        (vec![DeniedPrincipal::Group(person(9))], vec![8], None),
        // Of group 7 nothing shows: no assignment is made to it.
        (vec![DeniedPrincipal::Everyone], vec![7], Some("is, or may be, denied by")),
        (vec![DeniedPrincipal::Everyone], vec![], Some("is denied by")),
    ] {
        world.denies = vec![deny(principals.clone(), &excluded)];
        let planned = look(&world, &desired);
        match word {
            None => assert!(planned.next().is_some(), "{principals:?} {excluded:?}: {}", show(&planned)),
            Some(word) => {
                assert!(planned.next().is_none());
                assert!(show(&planned).contains(word), "{principals:?} {excluded:?}: {}", show(&planned));
            }
        }
    }
}

/// Who is in a group is not told, so whoever is denied may be.
#[test]
fn somebody_who_is_denied_may_be_in_a_group_that_a_file_names() {
    let (mut world, a) = nested();
    let named = |kind, n| need(PrincipalRef::Object { kind, id: person(n), name: None }, BLOB_CONTRIBUTOR);
    world.assign(person(2), BLOB_CONTRIBUTOR, 3 * DAY);
    world.denies = vec![DenyAssignment {
        name: "stack-deny".to_owned(),
        scope: account_id().arm().clone(),
        permissions: vec![Permission { data_actions: vec!["*".to_owned()], ..Permission::default() }],
        exact_scope_only: false,
        principals: vec![DeniedPrincipal::One(person(3))],
        excluded: BTreeSet::new(),
        conditional: false,
    }];
    for (need, word) in [
        (named(PrincipalType::Group, 8), Some("in it, whom `stack-deny` denies")),
        // Azure says that it is a group.
        (named(PrincipalType::User, 8), Some("in it, whom `stack-deny` denies")),
        (named(PrincipalType::User, 2), None),
        (named(PrincipalType::ServicePrincipal, 2), None),
        (named(PrincipalType::User, 3), Some("is denied by `stack-deny`")),
    ] {
        world.assignments.retain(|assignment| assignment.principal != person(3));
        world.assign(person(3), BLOB_CONTRIBUTOR, 3 * DAY);
        let planned = look(&world, &desired(&[(&a, AuthMode::Identity, vec![need.clone()])]));
        assert_eq!(planned.next().is_none(), word.is_some(), "{need:?}: {}", show(&planned));
        assert!(word.is_none_or(|word| show(&planned).contains(word)), "{need:?}: {}", show(&planned));
    }
}

#[test]
fn a_group_that_is_spared_is_asked_for_although_the_grant_is_direct() {
    let (mut world, a) = nested();
    world.assign(person(1), BLOB_CONTRIBUTOR, DAY);
    world.denies = vec![DenyAssignment {
        name: "all".to_owned(),
        scope: account_id().arm().clone(),
        permissions: vec![Permission { data_actions: vec!["*".to_owned()], ..Permission::default() }],
        exact_scope_only: false,
        principals: vec![DeniedPrincipal::Everyone],
        excluded: BTreeSet::from([person(8), world.workspaces[&a].system.unwrap()]),
        conditional: false,
    }];
    let desired = desired(&[(&a, AuthMode::Identity, vec![need(object(1), BLOB_CONTRIBUTOR)])]);
    let mut observed = world.observe(&desired);
    assert!(planned(&desired, &observed, &Limits::default(), Look::WhatMatters).next().is_some());
    observed.groups.clear();
    let planned = planned(&desired, &observed, &Limits::default(), Look::WhatMatters);
    assert_eq!(planned.wants.groups, BTreeSet::from([person(1)]));
    assert!(planned.next().is_none());
}

fn under(condition: &str) -> Need {
    Need { condition: Some(condition.to_owned()), ..need(object(1), BLOB_CONTRIBUTOR) }
}

#[test]
fn a_need_with_a_condition_takes_just_that_condition_or_none() {
    let mut world = World::new();
    let a = world.workspace("fraud-train", ObservedAuthMode::AccessKey);
    let desired = desired(&[(&a, AuthMode::Identity, vec![under(RAW)])]);
    for (condition, covered) in [(Some(RAW), true), (None, true), (Some("(@Resource[a] StringEquals 'b')"), false)] {
        world.assignments.retain(|assignment| assignment.principal != person(1));
        world.assign(person(1), BLOB_CONTRIBUTOR, DAY).condition = condition.map(str::to_owned);
        assert_eq!(grants(&world, &desired).is_empty(), covered, "{condition:?}");
    }
    world.assignments.retain(|assignment| assignment.principal != person(1));
    let taken = converge(&mut world, &desired, |_, _| {});
    let Action::GrantRole(made) = &taken[0] else { panic!("{taken:?}") };
    assert_eq!(made.condition.as_deref(), Some(RAW));
    assert_eq!(look(&world, &desired).standing(), Standing::Converged);
}

/// Azure keeps one assignment of a role for a principal at a scope.
#[test]
fn where_an_assignment_under_another_condition_stands_none_is_written_beside_it() {
    let another = "(@Resource[a] StringEquals 'b')";
    for (there, asked, form) in [
        (Some(another), Some(RAW), "under another condition"),
        (Some(RAW), None, "under another condition"),
        (Some(another), None, "under another condition"),
        (Some(RAW), Some(RAW), ""),
    ] {
        let mut world = World::new();
        let a = world.workspace("fraud-train", ObservedAuthMode::AccessKey);
        let needs = vec![Need { condition: asked.map(str::to_owned), ..need(object(1), BLOB_CONTRIBUTOR) }];
        let desired = desired(&[(&a, AuthMode::Identity, needs)]);
        world.assign(person(1), BLOB_CONTRIBUTOR, DAY).condition = there.map(str::to_owned);
        let plan = look(&world, &desired);
        let grant = plan.steps.iter().find(|step| matches!(step.action, Action::GrantRole(_)));
        assert_eq!(grant.is_some(), !form.is_empty(), "{there:?} {asked:?}");
        let Some(grant) = grant else { continue };
        let gate = grant.gates.iter().find(|check| check.gate == Gate::NotRefused).map(|check| &check.state);
        let Some(GateState::Unmet { why, .. }) = gate else { panic!("{there:?} {asked:?}: {gate:?}") };
        assert!(why.contains(form), "{why}");
        assert!(plan.next().is_none());

        // Another role, another scope and another principal are others.
        for change in [
            |other: &mut RoleAssignment| other.role = BLOB_READER,
            |other: &mut RoleAssignment| other.scope = account_id().group(),
            |other: &mut RoleAssignment| other.principal = person(2),
        ] {
            change(world.assign(person(1), BLOB_CONTRIBUTOR, DAY));
            let other = world.assignments.pop().unwrap();
            let stood = std::mem::replace(
                &mut world.assignments,
                vec![RoleAssignment { condition: there.map(str::to_owned), ..other }],
            );
            let plan = look(&world, &desired);
            assert!(plan.next().is_some(), "{there:?} {asked:?}: {}", show(&plan));
            world.assignments = stood;
        }
    }
}

/// An entry that gets a condition takes nothing from anybody: what was granted before is told.
#[test]
fn a_grant_without_the_condition_that_its_entry_has_got_is_named_and_stays() {
    for prune in [false, true] {
        let mut world = World::new();
        let a = world.workspace("fraud-train", ObservedAuthMode::AccessKey);
        let mut desired = desired(&[(&a, AuthMode::Identity, vec![need(object(1), BLOB_CONTRIBUTOR)])]);
        desired.fleet.prune = prune;
        converge(&mut world, &desired, |_, _| {});
        desired.workspaces.get_mut(&a).unwrap().needs = vec![under(RAW)];
        let plan = look(&world, &desired);
        assert!(plan.next().is_none(), "{}", show(&plan));
        let is_named = plan.findings.iter().any(|finding| matches!(finding, Finding::GrantUnwanted { .. }));
        let is_held = show(&plan).contains("without a condition");
        assert_eq!((is_named, is_held), (!prune, prune), "{}", show(&plan));

        // By another way the person has what the entry asks for, so the grant is no longer needed.
        world.assign(person(1), BLOB_CONTRIBUTOR, DAY).scope = account_id().group();
        let taken = converge(&mut world, &desired, |_, _| {});
        let is_gone = matches!(taken.as_slice(), [Action::RevokeRole { principal, .. }] if *principal == person(1));
        assert_eq!(is_gone, prune, "{taken:?}");
    }
}

#[test]
fn the_same_role_with_and_without_a_condition_is_one_grant_without() {
    let mut world = World::new();
    let a = world.workspace("fraud-train", ObservedAuthMode::AccessKey);
    let b = world.workspace("fraud-score", ObservedAuthMode::AccessKey);
    let plain = vec![need(object(1), BLOB_CONTRIBUTOR)];
    let desired = desired(&[(&a, AuthMode::Identity, plain), (&b, AuthMode::Identity, vec![under(RAW)])]);
    converge(&mut world, &desired, |_, _| {});
    let made: Vec<_> = world.assignments.iter().filter(|a| a.principal == person(1)).map(|a| &a.condition).collect();
    assert!(made.contains(&&None));
    assert_eq!(look(&world, &desired).standing(), Standing::Converged);
}

#[test]
fn a_weaker_grant_is_left_out_only_where_the_stronger_one_gives_it_under_its_condition_or_none() {
    let (write, read) = (BLOB_CONTRIBUTOR, BLOB_READER);
    let another = "(@Resource[a] StringEquals 'b')";
    for (strong, weak, made) in [
        ((write, None), (read, Some(RAW)), 1),
        ((write, Some(RAW)), (read, Some(RAW)), 1),
        ((write, Some(RAW)), (read, Some(another)), 2),
        ((write, Some(RAW)), (read, None), 2),
        ((write, None), (write, Some(RAW)), 1),
        ((write, Some(another)), (write, Some(RAW)), 2),
    ] {
        let mut world = World::new();
        let a = world.workspace("fraud-train", ObservedAuthMode::AccessKey);
        let asks = |(role, condition): (RoleId, Option<&str>)| {
            Need { condition: condition.map(str::to_owned), ..need(object(1), role) } //
        };
        let desired = desired(&[(&a, AuthMode::Identity, vec![asks(strong), asks(weak)])]);
        assert_eq!(grants(&world, &desired).len(), made, "{strong:?} {weak:?}");
    }
}

#[test]
fn names_of_grants_stay_what_they_were_and_conditions_and_clashes_give_others() {
    let account = account_id();
    let name = |condition| assignment_name("ml-platform-prod", account.arm(), person(1), BLOB_READER, condition);
    // The name of a grant that an earlier release made.
    assert_eq!(name(None).to_string(), "b5b0fa98-71cf-58d4-9aed-49b4768625c4");
    let second = second_name("ml-platform-prod", account.arm(), person(1), BLOB_READER, None);
    let all = BTreeSet::from([name(None), name(Some(RAW)), name(Some("x")), second]);
    assert_eq!(all.len(), 4);
    let mut world = World::new();
    for (named, condition, own) in [
        (name(None), None, true),
        (second, None, true),
        (name(Some(RAW)), Some(RAW), true),
        (name(None), Some(RAW), false),
        (name(Some(RAW)), None, false),
    ] {
        let made = world.assign(person(1), BLOB_READER, DAY);
        made.name = named;
        made.condition = condition.map(str::to_owned);
        assert_eq!(is_own_name("ml-platform-prod", made), own, "{condition:?}");
        assert!(!is_own_name("ml-platform-test", made));
    }
}

#[test]
fn a_name_that_clashes_gives_way_to_the_second_which_is_taken_back_like_the_first() {
    let mut world = World::new();
    let a = world.workspace("fraud-train", ObservedAuthMode::Identity);
    let mut wanted = desired(&[(&a, AuthMode::Identity, vec![need(object(1), BLOB_CONTRIBUTOR)])]);
    let first = grants(&world, &wanted).remove(0);
    let limits = Limits { clashing: BTreeSet::from([first.name]), ..Limits::default() };
    let planned = planned(&wanted, &world.observe(&wanted), &limits, Look::Everything);
    let Action::GrantRole(second) = &planned.next().unwrap().action else { panic!() };
    assert_ne!(second.name, first.name);
    assert_eq!(Grant { name: first.name, is_renamed: false, ..second.clone() }, first);
    world.apply(&Action::GrantRole(second.clone()));
    assert!(grants(&world, &wanted).is_empty());
    wanted.workspaces.get_mut(&a).unwrap().needs.clear();
    wanted.fleet.prune = true;
    let planned = look(&world, &wanted);
    assert!(planned.steps.iter().any(|step| matches!(step.action, Action::RevokeRole { .. })), "{}", show(&planned));
}

#[test]
fn a_grant_to_an_identity_that_was_made_again_gives_its_successor_nothing() {
    let mut world = World::new();
    let a = world.workspace("fraud-train", ObservedAuthMode::AccessKey);
    let compute = |id| Compute {
        name: "cpu".to_owned(),
        compute_type: "AmlCompute".to_owned(),
        identity: Identity { system: Some(id), ..Identity::default() },
        state: None,
    };
    world.workspaces.get_mut(&a).unwrap().computes = vec![compute(person(50))];
    let wanted = desired(&[(&a, AuthMode::Identity, vec![need(PrincipalRef::Compute("cpu".to_owned()), BLOB_READER)])]);
    let first = grants(&world, &wanted).remove(0);
    world.apply(&Action::GrantRole(first));
    world.workspaces.get_mut(&a).unwrap().computes = vec![compute(person(51))];
    let planned = look(&world, &wanted);
    assert_eq!(grants(&world, &wanted)[0].principal, person(51));
    assert!(show(&planned).contains(&format!("of {} any more", person(50))), "{}", show(&planned));
    let switch = planned.steps.iter().find(|step| matches!(step.action, Action::SetAuthMode { .. })).unwrap();
    assert!(switch.gates.iter().any(|check| check.gate == Gate::NeedsCovered && !check.state.is_open()));
}

/// An identity that was made again under its name has another object id, and the block of a workspace need not tell it.
#[test]
fn an_identity_whose_object_id_is_not_told_is_read_again_before_every_write_that_rests_on_it() {
    let mut world = World::new();
    let a = world.workspace("fraud-train", ObservedAuthMode::AccessKey);
    let wanted = desired(&[(&a, AuthMode::Identity, vec![need(PrincipalRef::WorkspaceUserAssigned, BLOB_READER)])]);
    let id: ManagedIdentityId =
        format!("{}/providers/Microsoft.ManagedIdentity/userAssignedIdentities/own", account_id().group())
            .parse()
            .unwrap();
    let mut observed = world.observe(&wanted);
    let Reading::Known { value: Some(own), .. } = &mut observed.workspaces.get_mut(&a).unwrap().workspace else {
        panic!("it is known")
    };
    own.identity.user_assigned.insert(id.clone(), None);
    observed.identities.insert(id.clone(), Reading::known(Some(person(60)), observed.now));
    let plan = planned(&wanted, &observed, &Limits::default(), Look::Everything);
    let mut kinds = BTreeSet::new();
    for step in plan.steps.iter().filter(|step| step.workspaces.contains(&a)) {
        let reads = plan::confirm_reads(step, &wanted, &observed);
        assert!(reads.identities.contains(&id), "{}", step.action);
        kinds.insert(step.action.kind());
    }
    assert_eq!(kinds, BTreeSet::from(["GrantRole", "SetAuthMode"]), "{}", show(&plan));
}

/// A grant under a condition counts where it is the service's own, and nowhere else.
#[test]
fn the_grant_to_a_workspace_is_asked_for_where_one_under_a_condition_does_not_serve() {
    let mut world = World::new();
    let a = world.workspace("fraud-train", ObservedAuthMode::AccessKey);
    let own = world.workspaces[&a].system.unwrap();
    let mut desired = desired(&[(&a, AuthMode::Identity, vec![])]);
    desired.workspaces.get_mut(&a).unwrap().service_grants = ServiceGrants::Grant;
    for (kind, condition, asked) in [
        (WorkspaceKind::Project, own_containers(), false),
        (WorkspaceKind::Default, own_containers(), true),
        (WorkspaceKind::Project, "@Resource[name] StringEquals 'one'".to_owned(), true),
    ] {
        world.workspaces.get_mut(&a).unwrap().kind = kind.clone();
        world.assignments.retain(|assignment| assignment.principal != own);
        world.assign(own, BLOB_CONTRIBUTOR, DAY).condition = Some(condition);
        let plan = look(&world, &desired);
        let grants = plan.steps.iter().any(|step| step.action.kind() == "GrantRole");
        assert_eq!(grants, asked, "{kind:?}: {}", show(&plan));
    }
}
