//! What is known not to work with identity-based access, before a switch and after it.

use std::collections::BTreeSet;

use insta::assert_snapshot;
use jiff::SignedDuration;
use keyless_core::action::Action;
use keyless_core::catalog::BLOB_READER;
use keyless_core::desired::*;
use keyless_core::gate::Gate;
use keyless_core::id::*;
use keyless_core::observed::*;
use keyless_core::plan::finding::Unseen;
use keyless_core::plan::{Finding, Limits, Look};

use crate::world::*;

fn compute(compute_type: &str, name: &str, who: u128) -> Compute {
    Compute {
        name: name.to_owned(),
        compute_type: compute_type.to_owned(),
        identity: Identity { system: Some(person(who)), ..Identity::default() },
        state: Some("Stopped".to_owned()),
    }
}

/// A hub in another region than its account, with an identity of the customer's and an instance that does not work.
fn doubtful() -> (World, WorkspaceId) {
    let mut world = World::new();
    let a = world.workspace("fraud-hub", ObservedAuthMode::AccessKey);
    let truth = world.workspaces.get_mut(&a).unwrap();
    truth.kind = WorkspaceKind::Hub;
    truth.location = "Sweden Central".to_owned();
    truth.computes.push(compute("computeinstance", "dev", 99));
    (world, a)
}

#[test]
fn what_is_known_not_to_work_is_told_and_holds_the_switch_until_somebody_accepts_it() {
    let (mut world, a) = doubtful();
    let mut wanted = desired(&[(&a, AuthMode::Identity, vec![])]);
    assert_snapshot!(show(&look(&world, &wanted)), @r"
    blocked
    - SetAuthMode identity on fraud-hub
        compatible: a compute instance with a system-assigned identity is not supported; a user-assigned identity with Storage File Data Privileged Contributor is (dev)
    - SetSharedKeyAccess disabled on stml
        all_on_identity: hub fraud-hub is on accesskey
    ! fraud-hub: computeInstanceSystemIdentity: a compute instance with a system-assigned identity is not supported; a user-assigned identity with Storage File Data Privileged Contributor is (dev)
    ! fraud-hub: crossRegionAccount: jobs failed on data in another region, where keys had worked (reported 2023) (westeurope, not swedencentral)
    ");
    let until = world.now + SignedDuration::from_secs(DAY);
    let accepted = Acceptance { reason: "nobody uses it".to_owned(), owner: "ops".to_owned(), until };
    wanted.workspaces.get_mut(&a).unwrap().accept_incompatible.insert("computeInstanceSystemIdentity", accepted);
    let plan = look(&world, &wanted);
    assert!(matches!(plan.next().unwrap().action, Action::SetAuthMode { .. }), "{}", show(&plan));
    let shown = show(&plan);
    assert!(shown.contains("(dev); accepted by ops until 2026-11-24T09:00:00Z: nobody uses it"), "{shown}");
    world.advance(until);
    let shown = show(&look(&world, &wanted));
    assert!(shown.contains("compatible: ") && shown.contains("; what ops accepted ended at 2026-11-24"), "{shown}");
    assert_eq!(look(&world, &wanted).switches, BTreeSet::from([WorkspaceKind::Hub]));
}

#[test]
fn a_warning_holds_nothing_and_a_region_that_is_not_told_is_no_other() {
    let (mut world, a) = doubtful();
    world.workspaces.get_mut(&a).unwrap().computes.clear();
    let wanted = desired(&[(&a, AuthMode::Identity, vec![])]);
    assert!(matches!(look(&world, &wanted).next().unwrap().action, Action::SetAuthMode { .. }));
    for location in ["", "West Europe"] {
        world.workspaces.get_mut(&a).unwrap().location = location.to_owned();
        assert!(look(&world, &wanted).findings.is_empty(), "{location}");
    }
    // A hub that a user-assigned identity acts for.
    let mut observed = world.observe(&wanted);
    let Reading::Known { value: Some(own), .. } = &mut observed.workspaces.get_mut(&a).unwrap().workspace else {
        panic!("it is known")
    };
    let id = "/subscriptions/3f8c1d7a-52b4-4c0e-9d2e-7a1b6c5d4e90/resourceGroups/rg/providers/Microsoft.ManagedIdentity/\
              userAssignedIdentities/own";
    own.primary_identity = Some(id.parse().unwrap());
    let plan = planned(&wanted, &observed, &Limits::default(), Look::Everything);
    let compatible = plan.steps.iter().flat_map(|step| &step.gates).find(|check| check.gate == Gate::Compatible);
    assert!(compatible.unwrap().state.is_open(), "{}", show(&plan));
    assert!(show(&plan).contains("! fraud-hub: hubUserAssignedIdentity: "), "{}", show(&plan));
}

#[test]
fn a_training_compute_that_no_need_names_and_that_may_not_read_is_told() {
    let mut world = World::new();
    let a = world.workspace("fraud-train", ObservedAuthMode::AccessKey);
    world.workspaces.get_mut(&a).unwrap().computes =
        vec![compute("AmlCompute", "cpu", 8), compute("AmlCompute", "gpu", 9)];
    world.assign(person(9), BLOB_READER, DAY).principal_type = Some(PrincipalType::ServicePrincipal);
    let told = |world: &World, desired: &KeyDesired| show(&look(world, desired));
    let alone = desired(&[(&a, AuthMode::Identity, vec![])]);
    let shown = told(&world, &alone);
    assert!(shown.contains("! fraud-train: computeIdentityWithoutRole: ") && shown.contains(" (cpu)"), "{shown}");
    let named = desired(&[(&a, AuthMode::Identity, vec![need(PrincipalRef::Compute("cpu".to_owned()), BLOB_READER)])]);
    assert!(!told(&world, &named).contains("computeIdentityWithoutRole"), "its grant is made, as the need says");
    world.assign(person(8), BLOB_READER, DAY).principal_type = Some(PrincipalType::ServicePrincipal);
    assert!(!told(&world, &alone).contains("computeIdentityWithoutRole"));
}

#[test]
fn computes_are_asked_for_before_a_switch_and_hold_it_until_they_are_read() {
    let mut world = World::new();
    let a = world.workspace("fraud-train", ObservedAuthMode::AccessKey);
    let wanted = desired(&[(&a, AuthMode::Identity, vec![])]);
    let mut observed = world.observe(&wanted);
    observed.workspaces.get_mut(&a).unwrap().computes = Reading::NotRead;
    let plan = planned(&wanted, &observed, &Limits::default(), Look::WhatMatters);
    assert_eq!(plan.wants.computes, BTreeSet::from([a]));
    assert!(plan.next().is_none(), "{}", show(&plan));
}

/// A look for warnings alone asks for nothing that a switch would rest on, and nothing is held.
#[test]
fn computes_that_came_after_the_switch_are_looked_for_and_told_and_hold_nothing() {
    let mut world = World::new();
    let a = world.workspace("fraud-train", ObservedAuthMode::Identity);
    let wanted = desired(&[(&a, AuthMode::Identity, vec![])]);
    let mut observed = world.observe(&wanted);
    let entry = observed.workspaces.get_mut(&a).unwrap();
    entry.computes = Reading::NotRead;
    let wants = planned(&wanted, &observed, &Limits::default(), Look::WhatMatters).wants;
    let lately = BTreeSet::from([a.clone()]);
    assert_eq!((wants.computes, wants.computes_lately), (BTreeSet::new(), lately));
    assert!(look(&world, &wanted).findings.is_empty());

    let truth = world.workspaces.get_mut(&a).unwrap();
    truth.computes = vec![compute("AmlCompute", "cpu", 8), compute("ComputeInstance", "dev", 9)];
    // Where it stands is known since before the switch.
    truth.location = "Sweden Central".to_owned();
    let plan = look(&world, &wanted);
    let told: Vec<_> = plan.findings.iter().map(ToString::to_string).collect();
    let [cluster, instance] = told.as_slice() else { panic!("{told:?}") };
    assert!(instance.contains("computeInstanceSystemIdentity: ") && instance.contains("(dev)"), "{told:?}");
    assert!(cluster.contains("computeIdentityWithoutRole: ") && cluster.contains("(cpu)"), "{told:?}");
    assert_eq!(plan.next().unwrap().action.to_string(), "SetSharedKeyAccess disabled on stml");

    let mut observed = world.observe(&wanted);
    observed.workspaces.get_mut(&a).unwrap().computes = Reading::unknown("503");
    let plan = planned(&wanted, &observed, &Limits::default(), Look::Everything);
    let unseen = |finding: &Finding| matches!(finding, Finding::Unseen { what: Unseen::Computes(id), .. } if *id == a);
    assert!(plan.findings.iter().any(unseen), "{}", show(&plan));
    assert!(plan.next().is_some(), "{}", show(&plan));
}

/// A workspace in another subscription than its account, and the account's subscription in this tenant.
fn across(tenant: Option<uuid::Uuid>) -> (World, WorkspaceId, KeyDesired) {
    let mut world = World::new();
    let a = world.workspace_of(far_workspace_id("fraud-far"), ObservedAuthMode::AccessKey);
    world.barriers.tenant = tenant;
    let wanted = desired(&[(&a, AuthMode::Identity, vec![])]);
    (world, a, wanted)
}

const OTHER: uuid::Uuid = uuid::Uuid::from_u128(0xE002);

#[test]
fn an_account_of_another_tenant_holds_the_switch_until_somebody_accepts_it() {
    let (world, a, mut wanted) = across(Some(OTHER));
    let shown = show(&look(&world, &wanted));
    let why = format!(
        "crossTenantAccount: a storage account in another tenant is not supported (tenant {OTHER}, not {TENANT})"
    );
    assert!(shown.contains("compatible: a storage account in another tenant is not supported"), "{shown}");
    assert!(shown.contains(&why), "{shown}");
    assert_eq!(look(&world, &wanted).next(), None, "{shown}");
    let until = world.now + SignedDuration::from_secs(DAY);
    let accepted = Acceptance { reason: "Lighthouse".to_owned(), owner: "ops".to_owned(), until };
    wanted.workspaces.get_mut(&a).unwrap().accept_incompatible.insert("crossTenantAccount", accepted);
    let plan = look(&world, &wanted);
    assert!(matches!(plan.next().unwrap().action, Action::SetAuthMode { .. }), "{}", show(&plan));
    assert!(show(&plan).contains("accepted by ops"), "{}", show(&plan));
}

#[test]
fn one_tenant_is_nothing_to_tell_and_one_subscription_is_one_tenant() {
    let (world, _, wanted) = across(Some(TENANT));
    let plan = look(&world, &wanted);
    assert!(matches!(plan.next().unwrap().action, Action::SetAuthMode { .. }), "{}", show(&plan));
    assert!(plan.findings.is_empty(), "{}", show(&plan));

    // In the account's own subscription nothing is asked, whatever a workspace says of itself.
    let mut world = World::new();
    let a = world.workspace("fraud", ObservedAuthMode::AccessKey);
    world.workspaces.get_mut(&a).unwrap().tenant = Some(OTHER);
    let wanted = desired(&[(&a, AuthMode::Identity, vec![])]);
    let plan = look(&world, &wanted);
    assert!(plan.wants.barriers.tenants.is_empty() && plan.findings.is_empty(), "{}", show(&plan));
    assert!(plan.next().is_some(), "{}", show(&plan));
}

#[test]
fn a_tenant_that_is_not_known_is_never_the_same() {
    // Not read: it is asked for by the switch, and by nothing else.
    let (mut world, a, wanted) = across(None);
    let plan = look(&world, &wanted);
    assert_eq!(plan.next(), None, "{}", show(&plan));
    assert_eq!(plan.wants.barriers.tenants, BTreeSet::from([account_id().subscription()]));
    world.workspaces.get_mut(&a).unwrap().mode = ObservedAuthMode::Identity;
    assert!(look(&world, &wanted).wants.barriers.tenants.is_empty(), "it is not due any more");

    let unseen = |plan: &keyless_core::plan::Plan| {
        let tenants = |finding: &Finding| matches!(finding, Finding::Unseen { what: Unseen::Tenants(_), .. });
        plan.findings.iter().any(tenants)
    };
    let (world, a, wanted) = across(Some(OTHER));
    for (class, goes_on) in [("refused", true), ("transient", false)] {
        let mut observed = world.observe(&wanted);
        let cause = Cause { class: Some(class), lift: None };
        let unread = Reading::Unknown { why: "no".to_owned(), cause };
        observed.barriers.tenants.insert(account_id().subscription(), unread);
        let plan = planned(&wanted, &observed, &Limits::default(), Look::Everything);
        assert_eq!((plan.next().is_some(), unseen(&plan)), (goes_on, goes_on), "{class}: {}", show(&plan));
    }
    // A workspace that does not tell its own.
    let mut observed = world.observe(&wanted);
    let entry = observed.workspaces.get_mut(&a).unwrap();
    let Reading::Known { value: Some(own), .. } = &mut entry.workspace else { panic!("it is known") };
    own.tenant = None;
    let plan = planned(&wanted, &observed, &Limits::default(), Look::Everything);
    assert!(unseen(&plan) && plan.next().is_some(), "{}", show(&plan));
}

/// Nobody who is of the workspace's tenant can read such an account: what bars it then is not left at that.
#[test]
fn an_account_that_cannot_be_read_has_its_tenant_looked_for() {
    let (world, _, wanted) = across(Some(OTHER));
    let mut observed = world.observe(&wanted);
    observed.account = Reading::unknown("InvalidAuthenticationTokenTenant");
    observed.assignments = Reading::unknown("InvalidAuthenticationTokenTenant");
    let known = std::mem::take(&mut observed.barriers.tenants);
    let wants = planned(&wanted, &observed, &Limits::default(), Look::WhatMatters).wants;
    assert_eq!(wants.barriers.tenants, BTreeSet::from([account_id().subscription()]));
    observed.barriers.tenants = known;
    let plan = planned(&wanted, &observed, &Limits::default(), Look::WhatMatters);
    assert!(show(&plan).contains("crossTenantAccount: "), "{}", show(&plan));
    assert_eq!(plan.next(), None);
    // Of one that can be read it is asked once nothing else holds the switch.
    let (world, a, _) = across(None);
    let wanted = desired(&[(&a, AuthMode::Identity, vec![need(object(1), BLOB_READER)])]);
    let plan = planned(&wanted, &world.observe(&wanted), &Limits::default(), Look::WhatMatters);
    assert_eq!(plan.wants.barriers.tenants, BTreeSet::new(), "{}", show(&plan));
}
