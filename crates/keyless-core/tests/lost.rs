//! Access that is gone after a switch and that no step brings back.

use std::collections::{BTreeMap, BTreeSet};

use keyless_core::catalog::{BLOB_CONTRIBUTOR, BLOB_READER};
use keyless_core::desired::*;
use keyless_core::id::*;
use keyless_core::observed::*;
use keyless_core::plan::finding::{Loss, Lost, Unseen};
use keyless_core::plan::{Finding, Limits, Look, Plan, Standing, confirm_reads};

use crate::world::*;

fn deny(principals: Vec<DeniedPrincipal>, excluded: &[PrincipalId]) -> DenyAssignment {
    DenyAssignment {
        name: "stack-deny".to_owned(),
        scope: account_id().group(),
        permissions: vec![Permission { data_actions: vec!["*".to_owned()], ..Permission::default() }],
        exact_scope_only: false,
        principals,
        excluded: excluded.iter().copied().collect(),
        conditional: false,
    }
}

pub(crate) fn uami(name: &str) -> ManagedIdentityId {
    format!(
        "/subscriptions/{SUBSCRIPTION}/resourceGroups/rg/providers/Microsoft.ManagedIdentity/userAssignedIdentities/{name}"
    )
    .parse()
    .unwrap()
}

/// One workspace that was switched, on an account whose key is off; one person works in it.
fn settled() -> (World, KeyDesired, WorkspaceId) {
    let mut world = World::new();
    world.key = SharedKeyAccess::Disallowed;
    let a = world.workspace("fraud-train", ObservedAuthMode::Identity);
    world.assign(person(1), BLOB_CONTRIBUTOR, DAY).principal_type = Some(PrincipalType::User);
    let wanted = desired(&[(&a, AuthMode::Identity, vec![need(object(1), BLOB_CONTRIBUTOR)])]);
    assert_eq!(look(&world, &wanted).standing(), Standing::Converged, "{}", show(&look(&world, &wanted)));
    (world, wanted, a)
}

fn lost(plan: &Plan) -> Vec<Lost> {
    let of = |finding: &Finding| match finding {
        Finding::AccessLost(lost) => Some(lost.clone()),
        _ => None,
    };
    plan.findings.iter().filter_map(of).collect()
}

/// Whose access is lost, by the words that tell it.
fn whose(plan: &Plan) -> Vec<String> {
    lost(plan).into_iter().map(|lost| lost.who).collect()
}

#[test]
fn whoever_is_denied_after_the_switch_is_told_and_nothing_is_done_about_it() {
    let (mut world, wanted, a) = settled();
    world.denies = vec![deny(vec![DeniedPrincipal::One(person(1))], &[])];
    let plan = look(&world, &wanted);
    let [one] = lost(&plan).try_into().unwrap();
    assert_eq!((one.workspace.clone(), one.principal, one.role), (a, Some(person(1)), BLOB_CONTRIBUTOR));
    let Loss::Denied { by, scope, certain: true } = &one.how else { panic!("{one:?}") };
    assert_eq!((by.as_str(), scope), ("stack-deny", &account_id().group()));
    assert_eq!(
        Finding::AccessLost(one.clone()).to_string(),
        format!(
            "fraud-train: a deny assignment stands against Storage Blob Data Contributor of user {}: `stack-deny` at {} \
             denies it, and no grant outranks a deny assignment",
            person(1),
            account_id().group()
        )
    );
    assert!(plan.steps.is_empty() && plan.drift.is_empty(), "{}", show(&plan));
    assert_eq!(plan.standing(), Standing::Blocked, "the files are not met, and nothing that is done here helps");

    // Who is spared, or denied what nobody needs here, has lost nothing.
    let own = world.workspaces.values().next().unwrap().system.unwrap();
    world.denies = vec![deny(vec![DeniedPrincipal::Everyone], &[person(1), own])];
    assert_eq!(look(&world, &wanted).standing(), Standing::Converged);
    let control = Permission { actions: vec!["*".to_owned()], ..Permission::default() };
    world.denies = vec![DenyAssignment { permissions: vec![control], ..deny(vec![DeniedPrincipal::Everyone], &[]) }];
    assert_eq!(lost(&look(&world, &wanted)), []);
}

#[test]
fn a_denial_that_may_or_may_not_apply_is_told_as_that() {
    let (mut world, wanted, _) = settled();
    world.denies = vec![deny(vec![DeniedPrincipal::Group(person(9))], &[])];
    let told = lost(&look(&world, &wanted));
    assert!(told.iter().all(|one| matches!(one.how, Loss::Denied { certain: false, .. })), "{told:?}");
    assert!(told.iter().any(|one| one.principal == Some(person(1)) && one.why().contains("may deny it")), "{told:?}");
}

/// Whether a group spares somebody, a read of his groups tells.
#[test]
fn the_groups_of_somebody_denied_are_asked_where_one_may_spare_him() {
    let (mut world, wanted, _) = settled();
    world.assign(person(6), BLOB_READER, DAY).principal_type = Some(PrincipalType::Group);
    world.members.entry(person(6)).or_default().insert(person(1));
    world.denies = vec![deny(vec![DeniedPrincipal::One(person(1))], &[person(6)])];
    let mut observed = world.observe(&wanted);
    let plan = |observed: &Observed| planned(&wanted, observed, &Limits::default(), Look::WhatMatters);
    assert_eq!(lost(&plan(&observed)), []);
    observed.groups.clear();
    let asked = plan(&observed);
    assert_eq!(asked.wants.groups, BTreeSet::from([person(1)]));
    assert_eq!(lost(&asked), []);
    observed.groups.insert(person(1), Reading::known(BTreeSet::new(), observed.now));
    assert_eq!(lost(&plan(&observed)).len(), 1);
}

/// Each kind of principal that the files entitle, and each once, under whatever names.
#[test]
fn everybody_entitled_is_told_and_each_once() {
    let (mut world, mut wanted, a) = settled();
    let assigned = |world: &mut World, who| {
        world.assign(person(who), BLOB_CONTRIBUTOR, DAY).principal_type = Some(PrincipalType::ServicePrincipal);
    };
    for who in [2, 3, 4] {
        assigned(&mut world, who);
    }
    let truth = world.workspaces.get_mut(&a).unwrap();
    truth.computes.push(Compute {
        name: "cpu".to_owned(),
        compute_type: "AmlCompute".to_owned(),
        identity: Identity { system: None, user_assigned: BTreeMap::from([(uami("train"), Some(person(2)))]) },
        state: None,
    });
    world.endpoints.push(Endpoint {
        workspace: a.clone(),
        name: "score".to_owned(),
        identity: Identity { system: Some(person(3)), user_assigned: BTreeMap::new() },
    });
    // Of a workspace that nobody declares.
    world.endpoints.push(Endpoint {
        workspace: workspace_id("other"),
        name: "far".to_owned(),
        identity: Identity { system: Some(person(4)), user_assigned: BTreeMap::new() },
    });
    let mut say = |service_grants, needs: &[Need]| {
        let own = wanted.workspaces.get_mut(&a).unwrap();
        own.service_grants = service_grants;
        own.needs = needs.to_vec();
        wanted.clone()
    };
    let row = |principal| need(principal, BLOB_CONTRIBUTOR);
    let person_and_compute = [row(object(1)), row(PrincipalRef::Compute("cpu".to_owned()))];
    world.denies = vec![deny(vec![DeniedPrincipal::Everyone], &[])];
    let who = |world: &World, wanted: &KeyDesired| {
        let mut who = whose(&look(world, wanted));
        who.sort();
        who
    };
    let user = format!("user {}", person(1));
    let own = "the workspace's own identity";
    let all = ["compute cpu", "endpoint score", own, &user];
    assert_eq!(who(&world, &say(ServiceGrants::Wait, &person_and_compute)), all);
    assert_eq!(
        who(&world, &say(ServiceGrants::Grant, &person_and_compute)),
        all,
        "the grant that is asked for is the same"
    );
    assert_eq!(who(&world, &say(ServiceGrants::Accept, &person_and_compute)), ["compute cpu", &user]);
    // On a project the service grants under a condition.
    let mut project = world.clone();
    project.workspaces.get_mut(&a).unwrap().kind = WorkspaceKind::Project;
    project.assignments.iter_mut().take(1).for_each(|own| own.condition = Some(own_containers()));
    assert_eq!(who(&project, &say(ServiceGrants::Grant, &[])), ["endpoint score", own]);

    // The customer's own identity acts for it, and a row names it, too.
    let truth = world.workspaces.get_mut(&a).unwrap();
    (truth.system, truth.primary) = (None, Some((uami("own"), person(4))));
    world.endpoints.clear();
    assert_eq!(who(&world, &say(ServiceGrants::Wait, &[])), ["the primary identity `own`"]);
    let rows = [row(PrincipalRef::WorkspaceUserAssigned), row(PrincipalRef::ManagedIdentity(uami("own")))];
    let wanted = say(ServiceGrants::Wait, &rows[..1]);
    assert_eq!(who(&world, &wanted), ["the workspace's user-assigned identities"]);
    let wanted = say(ServiceGrants::Wait, &rows[1..]);
    let mut observed = world.observe(&wanted);
    observed.identities.insert(uami("own"), Reading::known(Some(person(4)), world.now));
    let plan = planned(&wanted, &observed, &Limits::default(), Look::Everything);
    assert_eq!(whose(&plan), ["managed identity own"]);
}

#[test]
fn deny_assignments_that_could_not_be_read_are_told_and_are_not_none() {
    let (world, wanted, _) = settled();
    let mut observed = world.observe(&wanted);
    observed.denies = Reading::unknown("503");
    let plan = planned(&wanted, &observed, &Limits::default(), Look::WhatMatters);
    let unseen: Vec<&Finding> = plan.findings.iter().collect();
    let [Finding::Unseen { what: Unseen::Denials, why, .. }] = unseen.as_slice() else { panic!("{}", show(&plan)) };
    assert_eq!(why, "503");
    assert_eq!(plan.standing(), Standing::Blocked, "whether anybody is denied is not known");
    observed.denies = Reading::NotRead;
    let plan = planned(&wanted, &observed, &Limits::default(), Look::WhatMatters);
    assert!(plan.wants.denies_lately && !plan.wants.denies, "one of the same interval will do: {:?}", plan.wants);
    assert!(plan.findings.is_empty(), "{}", show(&plan));
}

/// A switched workspace with an endpoint that may read and write, and what is seen of them.
fn with_endpoint() -> (World, KeyDesired, WorkspaceId) {
    let (mut world, wanted, a) = settled();
    world.assign(person(3), BLOB_CONTRIBUTOR, DAY).principal_type = Some(PrincipalType::ServicePrincipal);
    world.endpoints.push(Endpoint {
        workspace: a.clone(),
        name: "score".to_owned(),
        identity: Identity { system: Some(person(3)), user_assigned: BTreeMap::new() },
    });
    (world, wanted, a)
}

#[test]
fn endpoints_are_asked_for_where_it_matters_what_the_service_granted_to_them() {
    let (world, mut wanted, a) = with_endpoint();
    let mut observed = world.observe(&wanted);
    observed.endpoints = Reading::NotRead;
    let asks = |wanted: &KeyDesired| planned(wanted, &observed, &Limits::default(), Look::WhatMatters).wants.endpoints;
    assert!(asks(&wanted));
    wanted.workspaces.get_mut(&a).unwrap().service_grants = ServiceGrants::Accept;
    assert!(!asks(&wanted));
}

/// What the controller may not see of endpoints, Azure leaves out of their list without a word.
#[test]
fn endpoints_that_are_not_shown_any_more_are_not_let_in_again() {
    let (mut world, wanted, a) = with_endpoint();
    let plan = |observed: &Observed| planned(&wanted, observed, &Limits::default(), Look::WhatMatters);
    world.denies = vec![deny(vec![DeniedPrincipal::One(person(3))], &[])];
    assert_eq!(whose(&plan(&world.observe(&wanted))), ["endpoint score"]);
    let denied = world.clone();
    world.denies.clear();
    world.assignments.retain(|grant| grant.principal != person(3));
    let missing = |finding: &Finding| matches!(finding, Finding::EndpointGrantMissing { .. });
    assert!(plan(&world.observe(&wanted)).findings.iter().any(missing));
    let hidden = |finding: &Finding| matches!(finding, Finding::Unseen { what: Unseen::Endpoints, .. });
    for world in [denied, world] {
        let mut observed = world.observe(&wanted);
        observed.barriers.rights.clear();
        observed.endpoints = Reading::known(Default::default(), observed.now);
        assert_eq!(plan(&observed).wants.barriers.rights, BTreeSet::from([a.arm().clone()]));
        for rights in [Reading::unknown("503"), Reading::known(Vec::new(), observed.now)] {
            observed.barriers.rights.insert(a.arm().clone(), rights);
            let plan = plan(&observed);
            assert!(plan.findings.iter().any(hidden), "{}", show(&plan));
            assert_eq!(plan.standing(), Standing::Blocked, "whether any of them lacks its grant is not known");
        }
        let all = Permission { actions: vec!["*".to_owned()], ..Permission::default() };
        let all = OwnRight { permission: all, conditional: false };
        observed.barriers.rights.insert(a.arm().clone(), Reading::known(vec![all], observed.now));
        assert!(!plan(&observed).findings.iter().any(hidden), "{}", show(&plan(&observed)));
        observed.endpoints = Reading::unknown("404");
        assert!(plan(&observed).findings.iter().any(hidden), "{}", show(&plan(&observed)));
        assert_eq!(plan(&observed).standing(), Standing::Blocked);
    }
}

/// An installation may do without the right to read its own rights: then a warning says that it is not known.
#[test]
fn own_rights_that_are_refused_are_a_warning_about_endpoints_and_no_more() {
    let (world, mut wanted, a) = with_endpoint();
    let mut observed = world.observe(&wanted);
    let cause = Cause { class: Some("refused"), lift: None };
    observed.barriers.rights.insert(a.arm().clone(), Reading::Unknown { why: "403".to_owned(), cause });
    let plan = |wanted: &KeyDesired| planned(wanted, &observed, &Limits::default(), Look::WhatMatters);
    let unseen = |plan: &Plan| {
        let is =
            |finding: &Finding| matches!(finding, Finding::Unseen { what: Unseen::OwnRights(at), .. } if at == a.arm());
        plan.findings.iter().any(is)
    };
    assert!(unseen(&plan(&wanted)), "{}", show(&plan(&wanted)));
    assert_eq!(plan(&wanted).standing(), Standing::Converged);
    // Whom no grant of the service matters to is not asked about.
    wanted.workspaces.get_mut(&a).unwrap().service_grants = ServiceGrants::Accept;
    assert!(!unseen(&plan(&wanted)));
}

#[test]
fn what_everybodys_access_rests_on_is_told_once_where_it_could_not_be_read() {
    let (world, mut wanted, a) = settled();
    wanted.workspaces.get_mut(&a).unwrap().needs =
        (1..40).map(|number| need(object(number), BLOB_CONTRIBUTOR)).collect();
    let mut observed = world.observe(&wanted);
    observed.assignments = Reading::unknown("503");
    let plan = planned(&wanted, &observed, &Limits::default(), Look::WhatMatters);
    let told = plan.findings.iter().filter(|finding| matches!(finding, Finding::Incomplete { .. }));
    assert_eq!((told.count(), plan.standing()), (1, Standing::Blocked), "{}", show(&plan));
}

#[test]
fn nobody_asks_for_deny_assignments_where_nobody_could_lose_anything() {
    let (world, mut wanted, a) = settled();
    let asked = |wanted: &KeyDesired, world: &World| {
        let mut observed = world.observe(wanted);
        observed.denies = Reading::NotRead;
        let wants = planned(wanted, &observed, &Limits::default(), Look::WhatMatters).wants;
        (keyless_core::plan::base_reads(wanted).denies_lately, wants.denies_lately)
    };
    assert_eq!(asked(&wanted, &world), (true, true));
    // Through the key everybody works whatever is denied.
    let mut keyed = world.clone();
    keyed.key = SharedKeyAccess::Allowed;
    keyed.workspaces.get_mut(&a).unwrap().mode = ObservedAuthMode::AccessKey;
    assert!(!asked(&wanted, &keyed).1);
    keyed.denies = vec![deny(vec![DeniedPrincipal::Everyone], &[])];
    assert_eq!(lost(&look(&keyed, &wanted)), []);
    let own = wanted.workspaces.get_mut(&a).unwrap();
    (own.needs, own.service_grants) = (Vec::new(), ServiceGrants::Accept);
    assert_eq!(asked(&wanted, &world), (false, false));
    // While it stands on identity a deny assignment hits, wherever it is to go.
    let own = wanted.workspaces.get_mut(&a).unwrap();
    (own.needs, own.auth_mode) = (vec![need(object(1), BLOB_CONTRIBUTOR)], AuthMode::AccessKey);
    assert_eq!(asked(&wanted, &world), (false, true));
}

#[test]
fn the_role_that_the_customers_identity_lost_after_the_switch_is_told() {
    let (mut world, mut wanted, a) = settled();
    let truth = world.workspaces.get_mut(&a).unwrap();
    (truth.system, truth.primary) = (None, Some((uami("own"), person(7))));
    world.assign(person(7), BLOB_CONTRIBUTOR, DAY);
    assert_eq!(look(&world, &wanted).standing(), Standing::Converged);
    world.assignments.retain(|grant| grant.principal != person(7));
    let plan = look(&world, &wanted);
    let [one] = lost(&plan).try_into().unwrap();
    assert_eq!(one.difference(), "fraud-train: the identity `own` lacks Storage Blob Data Contributor");
    assert_eq!((one.principal, plan.steps.len()), (Some(person(7)), 0));
    assert!(one.lift().contains("serviceGrants: accept"), "{}", one.lift());

    // One that a document asks for is drift, which a step mends.
    let own = wanted.workspaces.get_mut(&a).unwrap();
    own.needs.push(need(PrincipalRef::WorkspaceUserAssigned, BLOB_CONTRIBUTOR));
    let plan = look(&world, &wanted);
    assert_eq!((lost(&plan), plan.drift.len(), plan.steps.len()), (Vec::new(), 1, 1), "{}", show(&plan));
    // One of another role is not that.
    let own = wanted.workspaces.get_mut(&a).unwrap();
    *own.needs.last_mut().unwrap() = need(PrincipalRef::WorkspaceUserAssigned, BLOB_READER);
    assert_eq!(lost(&look(&world, &wanted)).len(), 1);
    let own = wanted.workspaces.get_mut(&a).unwrap();
    own.needs.pop();
    own.service_grants = ServiceGrants::Accept;
    assert_eq!(look(&world, &wanted).standing(), Standing::Converged);
}

#[test]
fn who_the_customers_identity_is_may_be_unknown_or_gone() {
    let (mut world, wanted, a) = settled();
    let truth = world.workspaces.get_mut(&a).unwrap();
    (truth.system, truth.primary) = (None, Some((uami("own"), person(7))));
    let mut observed = world.observe(&wanted);
    let Reading::Known { value: Some(own), .. } = &mut observed.workspaces.get_mut(&a).unwrap().workspace else {
        panic!("it is known")
    };
    own.identity.user_assigned.insert(uami("own"), None);
    let plan = |observed: &Observed| planned(&wanted, observed, &Limits::default(), Look::WhatMatters);
    assert_eq!(plan(&observed).wants.identities, BTreeSet::from([uami("own")]));
    observed.identities.insert(uami("own"), Reading::unknown("503"));
    let told = plan(&observed);
    let unseen = Unseen::Access { workspace: a, who: "the primary identity `own`".to_owned() };
    let is = |finding: &Finding| matches!(finding, Finding::Unseen { what, .. } if *what == unseen);
    assert!(told.findings.iter().any(is), "{}", show(&told));
    observed.identities.insert(uami("own"), Reading::known(None, observed.now));
    let [one] = lost(&plan(&observed)).try_into().unwrap();
    assert_eq!(one.difference(), "fraud-train: the identity `own`: the managed identity does not exist");
    assert_eq!(one.principal, None);
}

/// What an interval keeps serves warnings; what a write rests on is read anew.
#[test]
fn before_a_write_deny_assignments_are_forgotten_and_read_again() {
    let (world, mut wanted, a) = settled();
    wanted.workspaces.get_mut(&a).unwrap().needs.push(need(object(2), BLOB_READER));
    let mut observed = world.observe(&wanted);
    let plan = planned(&wanted, &observed, &Limits::default(), Look::WhatMatters);
    let reads = confirm_reads(plan.next().unwrap(), &wanted, &observed);
    assert!(reads.denies && !reads.denies_lately);
    observed.forget(&reads);
    assert_eq!(observed.denies, Reading::NotRead);
    observed.denies = world.observe(&wanted).denies;
    observed.forget(&keyless_core::plan::base_reads(&wanted));
    assert_eq!(observed.denies, Reading::NotRead);
}

/// Nothing acts for it any more, which holds a switch before and is a loss after.
#[test]
fn a_switched_workspace_that_has_no_identity_any_more_is_told() {
    let (mut world, wanted, a) = settled();
    world.workspaces.get_mut(&a).unwrap().system = None;
    let plan = look(&world, &wanted);
    let [one] = lost(&plan).try_into().unwrap();
    assert_eq!(one.difference(), "fraud-train: the workspace has no identity of its own");
    assert_eq!((plan.steps.len(), plan.standing(), plan.differences()), (0, Standing::Blocked, 1), "{}", show(&plan));
}

/// What blocks counts as a difference, unless it is that something was not read; then there may be more.
#[test]
fn differences_are_what_is_known_to_be_amiss() {
    let (mut world, wanted, _) = with_endpoint();
    assert_eq!((look(&world, &wanted).differences(), look(&world, &wanted).tells_all()), (0, true));
    world.assignments.retain(|grant| grant.principal != person(3));
    assert_eq!((look(&world, &wanted).differences(), look(&world, &wanted).tells_all()), (1, true));
    let mut observed = world.observe(&wanted);
    observed.endpoints = Reading::unknown("503");
    let plan = planned(&wanted, &observed, &Limits::default(), Look::WhatMatters);
    assert_eq!((plan.differences(), plan.tells_all()), (0, false));
}
