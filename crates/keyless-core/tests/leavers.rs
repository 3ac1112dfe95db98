//! Grants of this installation that nobody asks for any more.

use std::collections::BTreeSet;

use keyless_core::action::Action;
use keyless_core::catalog::BLOB_CONTRIBUTOR;
use keyless_core::desired::*;
use keyless_core::id::*;
use keyless_core::observed::*;
use keyless_core::plan::{Finding, Standing};

use crate::world::*;

#[track_caller]
fn fixed(world: &World, desired: &KeyDesired) {
    assert_eq!(look(world, desired).standing(), Standing::Converged, "{}", show(&look(world, desired)));
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
