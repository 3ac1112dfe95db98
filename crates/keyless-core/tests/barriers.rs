//! What bars a step is named at its gates before anything is written, and what can go on goes on.

use std::collections::{BTreeMap, BTreeSet};

use jiff::SignedDuration;
use keyless_core::action::Action;
use keyless_core::catalog::BLOB_CONTRIBUTOR;
use keyless_core::desired::*;
use keyless_core::gate::{Gate, GateState};
use keyless_core::id::*;
use keyless_core::observed::*;
use keyless_core::plan::finding::Unseen;
use keyless_core::plan::{Barrier, Finding, Limits, Look, Plan};

use crate::world::*;

/// Two workspaces in access-key mode, each with a need that is not met yet.
fn case() -> (World, KeyDesired) {
    let mut world = World::new();
    let (a, b) =
        (world.workspace("alpha", ObservedAuthMode::AccessKey), world.workspace("bravo", ObservedAuthMode::AccessKey));
    let wanted = desired(&[
        (&a, AuthMode::Identity, vec![need(object(1), BLOB_CONTRIBUTOR)]),
        (&b, AuthMode::Identity, vec![need(object(2), BLOB_CONTRIBUTOR)]),
    ]);
    (world, wanted)
}

/// The reason of a gate that is unmet, by the kind of the step's action.
fn unmet(plan: &Plan, kind: &str, gate: Gate) -> Option<String> {
    let steps = plan.steps.iter().filter(|step| step.action.kind() == kind);
    steps.flat_map(|step| &step.gates).find_map(|check| match &check.state {
        GateState::Unmet { why, lift } if check.gate == gate => Some(format!("{why}; {lift}")),
        _ => None,
    })
}

/// The first plan names the barrier, all that it does not bar is done, and without it the rest is.
#[track_caller]
fn check(bars: Bars, kind: &str, gate: Gate, words: &[&str], done: &[&str]) {
    let (mut world, wanted) = case();
    world.barriers = bars;
    let first = look(&world, &wanted);
    let why = unmet(&first, kind, gate).unwrap_or_else(|| panic!("{gate} of {kind} does not stand:\n{}", show(&first)));
    for word in words {
        assert!(why.contains(word), "no `{word}` in: {why}");
    }
    let kinds = |actions: Vec<Action>| actions.iter().map(Action::kind).collect::<Vec<_>>();
    assert_eq!(kinds(converge(&mut world, &wanted, |_, _| {})), done);
    let held = look(&world, &wanted);
    assert!(unmet(&held, kind, gate).is_some(), "{}", show(&held));
    world.barriers = Bars::default();
    let all = ["GrantRole", "GrantRole", "SetAuthMode", "SetAuthMode", "SetSharedKeyAccess"];
    assert_eq!(kinds(converge(&mut world, &wanted, |_, _| {})), all[done.len()..]);
    assert!(look(&world, &wanted).steps.is_empty());
}

const GRANTS: [&str; 2] = ["GrantRole", "GrantRole"];
const MODES: [&str; 4] = ["GrantRole", "GrantRole", "SetAuthMode", "SetAuthMode"];

fn refusing(alias: &'static str, value: &'static str) -> Bars {
    Bars { policies: vec![bar(alias, value)], ..Bars::default() }
}

#[test]
fn a_policy_that_refuses_a_step_holds_that_step_alone() {
    let named = ["`no identity`", "policyAssignments/a0", "exemption"];
    check(refusing(MODE, "identity"), "SetAuthMode", Gate::PolicyAllows, &named, &GRANTS);
    check(refusing(ACCOUNT_FLAG, "false"), "SetSharedKeyAccess", Gate::PolicyAllows, &["`no false`"], &MODES);
}

#[test]
fn a_policy_that_sets_another_value_holds_the_step_as_one_that_refuses_it_does() {
    let setting =
        |alias, value, to| Bars { policies: vec![Bar { sets: Some(to), ..bar(alias, value) }], ..Bars::default() };
    let says = ["sets `systemDatastoresAuthMode` to `AccessKey`", "policyAssignments/a0"];
    check(setting(MODE, "identity", "AccessKey"), "SetAuthMode", Gate::PolicyAllows, &says, &GRANTS);
    let says = ["sets `allowSharedKeyAccess` to `true`"];
    check(setting(ACCOUNT_FLAG, "false", "true"), "SetSharedKeyAccess", Gate::PolicyAllows, &says, &MODES);
    let says = ["could not be taken back", "sets `allowSharedKeyAccess` to `false`"];
    check(setting(ACCOUNT_FLAG, "true", "false"), "SetSharedKeyAccess", Gate::WayBack, &says, &MODES);
    // One that sets what is asked for anyway is no bar.
    let (mut world, wanted) = case();
    world.barriers = setting(MODE, "identity", "Identity");
    assert_eq!(unmet(&look(&world, &wanted), "SetAuthMode", Gate::PolicyAllows), None);
}

#[test]
fn a_step_that_could_not_be_taken_back_waits_for_a_word() {
    let words = ["could not be taken back", "`no true`", "`acceptOneWay`"];
    check(refusing(ACCOUNT_FLAG, "true"), "SetSharedKeyAccess", Gate::WayBack, &words, &MODES);
    let words = ["could not be taken back", "`no accesskey`", "`acceptOneWay`"];
    check(refusing(MODE, "accesskey"), "SetAuthMode", Gate::WayBack, &words, &GRANTS);
}

#[test]
fn the_accepted_one_way_opens_the_gate_until_its_end_and_is_shown() {
    let (mut world, mut wanted) = case();
    world.barriers = refusing(ACCOUNT_FLAG, "true");
    declare_account(&mut wanted, DesiredSharedKey::Disabled);
    let until = world.now + SignedDuration::from_secs(90 * DAY);
    wanted.account.as_mut().unwrap().accept_one_way =
        Some(Acceptance { reason: "audit".to_owned(), owner: "platform".to_owned(), until });
    let plan = look(&world, &wanted);
    let shown = plan.findings.iter().filter_map(|finding| match finding {
        Finding::Barrier { kind: Barrier::OneWay, what } => Some(what),
        _ => None,
    });
    let shown: Vec<&String> = shown.collect();
    let [what] = shown.as_slice() else { panic!("of that step alone: {shown:?}") };
    assert!(what.contains("SetSharedKeyAccess") && what.contains("platform"), "{what}");
    let taken = converge(&mut world, &wanted, |_, _| {});
    assert_eq!(taken.last().map(Action::kind), Some("SetSharedKeyAccess"));

    let (mut world, _) = case();
    world.barriers = refusing(ACCOUNT_FLAG, "true");
    wanted.account.as_mut().unwrap().accept_one_way.as_mut().unwrap().until = world.now;
    let taken = converge(&mut world, &wanted, |_, _| {});
    assert_eq!(taken.last().map(Action::kind), Some("SetAuthMode"), "the acceptance is over");
}

#[test]
fn an_exempted_or_unenforced_policy_holds_nothing_and_is_shown() {
    for (enforced, exempt, words) in [(false, None, "not enforced"), (true, Some(3_600), "exemption")] {
        let (mut world, wanted) = case();
        let exempt_until = exempt.map(|seconds| world.now + SignedDuration::from_secs(seconds));
        world.barriers.policies = vec![Bar { enforced, exempt_until, ..bar(MODE, "identity") }];
        let plan = look(&world, &wanted);
        assert_eq!(unmet(&plan, "SetAuthMode", Gate::PolicyAllows), None);
        let shown = |finding: &Finding| matches!(finding, Finding::Barrier { kind: Barrier::Policy, what } if what.contains(words));
        assert!(plan.findings.iter().any(shown), "{}", show(&plan));
        if let Some(until) = exempt_until {
            world.advance(until);
            assert!(
                unmet(&look(&world, &wanted), "SetAuthMode", Gate::PolicyAllows).is_some(),
                "the exemption is over"
            );
        }
    }
}

#[test]
fn a_right_that_the_controller_lacks_is_named_with_who_could_give_it() {
    let without = |right| Bars { no_right: BTreeSet::from([right]), ..Bars::default() };
    let right = "Microsoft.Authorization/roleAssignments/write";
    check(without(right), "GrantRole", Gate::Permitted, &[right, "/storageAccounts/stml", "converge role"], &[]);
    let right = "Microsoft.MachineLearningServices/workspaces/*";
    check(without(right), "SetAuthMode", Gate::Permitted, &["workspaces/write", "Contributor"], &GRANTS);
    let right = "Microsoft.Storage/storageAccounts/write";
    check(without(right), "SetSharedKeyAccess", Gate::Permitted, &[right], &MODES);
}

#[test]
fn a_lock_on_a_workspace_alone_is_seen() {
    let bars = Bars { workspaces_locked: true, ..Bars::default() };
    check(bars, "SetAuthMode", Gate::Unlocked, &["own at /subscriptions", "/workspaces/alpha"], &GRANTS);
}

#[test]
fn a_wave_of_grants_that_does_not_fit_is_not_begun() {
    // Two service grants stand already and two more are due: one place is not enough for both.
    let bars = Bars { other_assignments: 3_997, ..Bars::default() };
    check(bars, "GrantRole", Gate::BelowCeiling, &["3999 of at most 4000", "2 more", "groups"], &[]);
    let (mut world, wanted) = case();
    world.barriers.other_assignments = 3_996;
    assert_eq!(converge(&mut world, &wanted, |_, _| {}).len(), 5, "what fits exactly is made");
}

/// Accounts whose waves would fit alone and not together: in the order of their ids, each takes what those before it leave.
#[test]
fn what_other_accounts_have_still_to_write_counts_and_only_what_does_not_fit_is_held() {
    let held = |others: u32, due: &[(&str, u32)]| {
        let (mut world, wanted) = case();
        world.barriers.other_assignments = others;
        world.due_elsewhere = due.iter().map(|(name, due)| (neighbour_id(name), *due)).collect();
        unmet(&look(&world, &wanted), "GrantRole", Gate::BelowCeiling)
    };
    // Two service grants stand already and two more are due, so five places are left of 4,000.
    let places = 3_993;
    assert_eq!(held(places, &[("sta", 3)]), None, "it fits exactly");
    let why = held(places, &[("sta", 4)]).unwrap();
    for word in ["3995 of at most 4000", "2 more are due here", "after 4 at accounts of it that go first"] {
        assert!(why.contains(word), "{word}: {why}");
    }
    let why = held(places, &[("sta", 3), ("stb", 1)]).unwrap();
    assert!(why.contains("after 4 at accounts of it that go first"), "{why}");
    assert_eq!(held(places, &[("stz", 4)]), None, "that one comes after it");
    assert_eq!(held(places, &[("sta", 6)]), None, "that one does not fit itself, and takes nothing");
    assert_eq!(held(places, &[("sta", 6), ("stb", 3)]), None);
    assert_eq!(held(places, &[("stb", 6), ("sta", 3), ("stc", 0)]), None);
    assert!(held(3_997, &[]).is_some(), "one place is not enough");
}

/// Two grants are due in any case. The groups of a third person are not known, or a compute, which may carry ten identities.
#[test]
fn grants_that_may_turn_out_to_be_due_have_to_fit_too() {
    let (mut world, wanted) = case();
    world.assign(person(8), BLOB_CONTRIBUTOR, DAY).principal_type = Some(PrincipalType::Group);
    let alpha = workspace_id("alpha");
    for (principal, due) in [(object(3), 3), (PrincipalRef::Compute("cpu".to_owned()), 12)] {
        let mut wanted = wanted.clone();
        wanted.workspaces.get_mut(&alpha).unwrap().needs.push(need(principal, BLOB_CONTRIBUTOR));
        for failed in [false, true] {
            let held = |places: u32| {
                let mut observed = world.observe(&wanted);
                let count = Reading::known(4_000 - places, world.now);
                observed.barriers.assignment_counts.insert(account_id().subscription(), count);
                let groups = if failed { Reading::unknown("503") } else { Reading::NotRead };
                let computes = if failed { Reading::unknown("503") } else { Reading::NotRead };
                observed.groups.insert(person(3), groups);
                observed.workspaces.get_mut(&alpha).unwrap().computes = computes;
                let plan = planned(&wanted, &observed, &Limits::default(), Look::Everything);
                unmet(&plan, "GrantRole", Gate::BelowCeiling)
            };
            assert_eq!(held(due), None, "{due} fit");
            let why = held(due - 1).expect("one place is lacking");
            assert!(why.contains(&format!("{due} more are due here")), "{why}");
        }
    }
}

#[test]
fn grants_that_something_else_holds_keep_no_place_for_themselves() {
    let (mut world, wanted) = case();
    assert_eq!(look(&world, &wanted).grants_due(), 2);
    world.barriers.other_assignments = 4_000;
    assert_eq!(look(&world, &wanted).grants_due(), 2, "what the ceiling holds is due");
    world.barriers.no_right = BTreeSet::from(["Microsoft.Authorization/roleAssignments/write"]);
    assert_eq!(look(&world, &wanted).grants_due(), 0);
}

#[test]
fn a_deny_assignment_for_everybody_bars_and_one_that_spares_some_is_told() {
    let (mut world, wanted) = case();
    let denied = |excluded| DenyAssignment {
        name: "stack".to_owned(),
        scope: ArmId::parse(&format!("/subscriptions/{SUBSCRIPTION}")).unwrap(),
        permissions: vec![Permission {
            actions: vec!["Microsoft.Authorization/*/write".to_owned()],
            ..Permission::default()
        }],
        exact_scope_only: false,
        principals: vec![DeniedPrincipal::Everyone],
        excluded,
        conditional: false,
    };
    world.denies = vec![denied(BTreeSet::new())];
    let plan = look(&world, &wanted);
    assert!(unmet(&plan, "GrantRole", Gate::Permitted).unwrap().contains("`stack`"), "{}", show(&plan));
    assert_eq!(unmet(&plan, "SetAuthMode", Gate::Permitted), None);
    world.denies = vec![denied(BTreeSet::from([person(9)]))];
    let plan = look(&world, &wanted);
    assert_eq!(unmet(&plan, "GrantRole", Gate::Permitted), None, "the controller may be among the spared");
    assert!(plan.findings.iter().any(|finding| matches!(finding, Finding::Barrier { kind: Barrier::Denial, .. })));
}

const WS_WRITE: &str = "Microsoft.MachineLearningServices/workspaces/write";
const HUB_WRITE: &str = "Microsoft.MachineLearningServices/workspaces/hubs/write";
const STORE_WRITE: &str = "Microsoft.MachineLearningServices/workspaces/featurestores/write";

/// Hubs and feature stores take a right of their own too, and a kind that nobody knows yet is taken for a hub.
#[test]
fn a_workspace_needs_the_rights_of_its_kind_and_all_of_them() {
    let other = || WorkspaceKind::Other("Lake".to_owned());
    for (kind, takes) in [
        (WorkspaceKind::Default, vec![WS_WRITE]),
        (WorkspaceKind::Project, vec![WS_WRITE]),
        (WorkspaceKind::Hub, vec![WS_WRITE, HUB_WRITE]),
        (WorkspaceKind::FeatureStore, vec![WS_WRITE, STORE_WRITE]),
        (other(), vec![WS_WRITE, HUB_WRITE]),
    ] {
        for without in [WS_WRITE, HUB_WRITE, STORE_WRITE] {
            let holds = takes.contains(&without);
            let (mut world, wanted) = case();
            world.workspaces.values_mut().for_each(|truth| truth.kind = kind.clone());
            world.barriers.no_right = BTreeSet::from([without]);
            let why = unmet(&look(&world, &wanted), "SetAuthMode", Gate::Permitted);
            assert_eq!(why.is_some(), holds, "{kind} without {without}: {why:?}");
            assert!(why.is_none_or(|why| why.starts_with(&format!("the controller lacks `{without}` at"))));
            world.barriers.no_right = BTreeSet::new();
            world.denies = vec![stopped(without, account_id().group(), DeniedPrincipal::Everyone)];
            let why = unmet(&look(&world, &wanted), "SetAuthMode", Gate::Permitted);
            assert_eq!(why.is_some(), holds, "{kind} denied {without}: {why:?}");
        }
    }
}

/// A denial of one action at a scope to one principal.
fn stopped(action: &str, scope: ArmId, whom: DeniedPrincipal) -> DenyAssignment {
    DenyAssignment {
        name: "stop".to_owned(),
        scope,
        permissions: vec![Permission { actions: vec![action.to_owned()], ..Permission::default() }],
        exact_scope_only: false,
        principals: vec![whom],
        excluded: BTreeSet::new(),
        conditional: false,
    }
}

#[test]
fn a_denial_of_the_controller_itself_bars_unless_it_is_spared_or_does_not_know_itself() {
    let (mut world, wanted) = case();
    let group = account_id().group();
    let held = |world: &World, own: Option<PrincipalId>| {
        let mut observed = world.observe(&wanted);
        observed.barriers.own = own;
        let plan = planned(&wanted, &observed, &Limits::default(), Look::Everything);
        let told =
            plan.findings.iter().any(|finding| matches!(finding, Finding::Barrier { kind: Barrier::Denial, .. }));
        (unmet(&plan, "SetSharedKeyAccess", Gate::Permitted), told)
    };
    let right = "Microsoft.Storage/storageAccounts/write";
    for whom in [DeniedPrincipal::One(controller()), DeniedPrincipal::Group(controller())] {
        world.denies = vec![stopped(right, group.clone(), whom)];
        let (why, told) = held(&world, Some(controller()));
        assert!(why.unwrap().starts_with("denied to the controller by the deny assignment `stop` at"));
        assert!(!told, "it is at the gate");
    }
    world.denies = vec![stopped(right, group, DeniedPrincipal::One(controller()))];
    assert_eq!(held(&world, Some(person(1))), (None, false), "that is somebody else");
    assert_eq!(held(&world, None), (None, false), "who the controller is, is not known");
    world.denies[0].conditional = true;
    assert_eq!(held(&world, Some(controller())), (None, true), "what the condition lets through only Azure tells");
    world.denies[0].conditional = false;
    world.denies[0].excluded = BTreeSet::from([person(9)]);
    assert_eq!(held(&world, Some(controller())), (None, true), "that may be a group, and the controller in it");
    world.denies[0].principals = vec![DeniedPrincipal::Everyone];
    world.denies[0].excluded.insert(controller());
    assert_eq!(held(&world, Some(controller())), (None, false), "it is spared");
}

#[test]
fn a_denial_at_a_workspace_alone_holds_that_workspace_and_is_named_before_the_write() {
    let (mut world, wanted) = case();
    let alpha = workspace_id("alpha");
    world.denies = vec![stopped(WS_WRITE, alpha.arm().clone(), DeniedPrincipal::Everyone)];
    let held = |plan: &Plan, name: &str| {
        let steps = plan.steps.iter().filter(|step| *step.action.target() == *workspace_id(name).arm());
        steps.flat_map(|step| &step.gates).find_map(|check| match &check.state {
            GateState::Unmet { why, .. } if check.gate == Gate::Permitted => Some(why.clone()),
            _ => None,
        })
    };
    let plan = look(&world, &wanted);
    let why = held(&plan, "alpha").unwrap_or_else(|| panic!("{}", show(&plan)));
    assert_eq!(why, format!("denied to everyone by the deny assignment `stop` at {alpha}"));
    assert_eq!(held(&plan, "bravo"), None);
    let done: Vec<Action> = converge(&mut world, &wanted, |_, _| {});
    assert_eq!(done.iter().map(Action::kind).collect::<Vec<_>>(), ["GrantRole", "GrantRole", "SetAuthMode"]);

    // What was not read is asked for, and what could not be read holds as well.
    let mut observed = world.observe(&wanted);
    observed.barriers.denies.clear();
    let plan = planned(&wanted, &observed, &Limits::default(), Look::Everything);
    assert_eq!(plan.wants.barriers.denies, BTreeSet::from([alpha.arm().clone()]));
    observed.barriers.denies.insert(alpha.arm().clone(), Reading::unknown("partial"));
    let plan = planned(&wanted, &observed, &Limits::default(), Look::Everything);
    assert!(held(&plan, "alpha").unwrap().contains(&format!("deny assignments at {alpha}")), "{}", show(&plan));
}

#[test]
fn a_denial_that_holds_at_its_own_scope_alone_bars_nothing_below() {
    let (mut world, wanted) = case();
    let right = "Microsoft.Storage/storageAccounts/write";
    let bars = |world: &World| unmet(&look(world, &wanted), "SetSharedKeyAccess", Gate::Permitted).is_some();
    world.denies = vec![stopped(right, account_id().group(), DeniedPrincipal::Everyone)];
    assert!(bars(&world), "what lies below is denied too");
    world.denies[0].exact_scope_only = true;
    assert!(!bars(&world), "the group is not the account");
    world.denies[0].scope = account_id().arm().clone();
    assert!(bars(&world), "the account is");
}

#[test]
fn denials_and_rights_are_asked_for_in_one_round_and_rights_not_in_vain() {
    let (world, mut wanted) = case();
    // Whether all endpoints are shown, they tell as well.
    wanted.workspaces.values_mut().for_each(|workspace| workspace.service_grants = ServiceGrants::Accept);
    let rights = |denies: Reading<Vec<DenyAssignment>>, known: bool| {
        let mut observed = world.observe(&wanted);
        observed.denies = denies;
        if !known {
            observed.barriers.rights.clear();
        }
        let wants = planned(&wanted, &observed, &Limits::default(), Look::WhatMatters).wants;
        (wants.denies, !wants.barriers.rights.is_empty())
    };
    assert_eq!(rights(Reading::NotRead, false), (true, true));
    assert_eq!(rights(Reading::NotRead, true), (true, false));
    assert_eq!(rights(Reading::unknown("503"), false), (false, false), "it is held whatever they are");
    assert_eq!(rights(Reading::known(Vec::new(), world.now), false), (false, true));
}

#[test]
fn what_may_not_be_read_is_a_warning_and_any_other_failure_bars() {
    let (world, wanted) = case();
    for (class, bars) in [(Some("refused"), false), (Some("transient"), true), (None, true)] {
        let cause = Cause { class, lift: None };
        let mut observed = world.observe(&wanted);
        fn spoil<K, T>(readings: &mut std::collections::BTreeMap<K, Reading<T>>, cause: &Cause) {
            readings.values_mut().for_each(|r| *r = Reading::Unknown { why: "no".to_owned(), cause: cause.clone() });
        }
        spoil(&mut observed.barriers.policies, &cause);
        spoil(&mut observed.barriers.rights, &cause);
        spoil(&mut observed.barriers.assignment_counts, &cause);
        let plan = planned(&wanted, &observed, &Limits::default(), Look::Everything);
        assert_eq!(plan.next().is_none(), bars, "{class:?}");
        let unseen = plan.findings.iter().filter(|finding| match finding {
            // Nothing is barred by that.
            Finding::Unseen { what, .. } => *what != Unseen::Endpoints,
            _ => false,
        });
        let unseen = unseen.count();
        // Policies and rights at the account and both workspaces, and the count.
        assert_eq!(unseen, if bars { 0 } else { 7 }, "{}", show(&plan));
    }
}

const ENDPOINTS: &str = "Microsoft.MachineLearningServices/workspaces/onlineEndpoints/read";

#[test]
fn endpoints_that_the_controller_may_not_read_are_not_no_endpoints() {
    let (mut world, wanted) = case();
    let named = |world: &World| {
        let plan = look(world, &wanted);
        assert!(plan.next().is_some(), "only a warning rests on them: {}", show(&plan));
        let unseen = plan.findings.iter().filter_map(|finding| match finding {
            Finding::Unseen { what: Unseen::Endpoints, why, cause } => Some((why.clone(), cause.lift.clone().unwrap())),
            _ => None,
        });
        unseen.collect::<Vec<_>>()
    };
    assert_eq!(named(&world), []);
    world.barriers.no_right = BTreeSet::from([ENDPOINTS]);
    let unseen = named(&world);
    let words: Vec<bool> =
        unseen.iter().map(|(why, lift)| why.contains(ENDPOINTS) && lift.contains(ENDPOINTS)).collect();
    assert_eq!(words, [true, true], "one for each workspace: {unseen:?}");
}

#[test]
fn whoever_lacks_the_role_and_is_denied_is_named_with_both_and_whoever_only_lacks_it_with_that() {
    let (mut world, wanted) = case();
    world.denies = vec![DenyAssignment {
        name: "no-data".to_owned(),
        scope: account_id().arm().clone(),
        permissions: vec![Permission { data_actions: vec!["*/read".to_owned()], ..Permission::default() }],
        exact_scope_only: false,
        principals: vec![DeniedPrincipal::One(person(1))],
        excluded: BTreeSet::new(),
        conditional: false,
    }];
    let plan = look(&world, &wanted);
    let why = |workspace: &str| {
        let step = plan.steps.iter().find(|step| {
            step.action.kind() == "SetAuthMode" && step.workspaces.contains(&workspace_id(workspace)) //
        });
        let check = step.unwrap().gates.iter().find(|check| check.gate == Gate::NeedsCovered).unwrap();
        match &check.state {
            GateState::Unmet { why, .. } => why.clone(),
            state => panic!("{state:?}"),
        }
    };
    let (alpha, bravo) = (why("alpha"), why("bravo"));
    assert!(alpha.contains("lacks Storage Blob Data Contributor and is denied by `no-data`"), "{alpha}");
    assert!(bravo.ends_with("lacks Storage Blob Data Contributor"), "{bravo}");
    let grants = plan.steps.iter().filter(|step| step.action.kind() == "GrantRole").count();
    assert_eq!(grants, 2, "the role is needed all the same once the denial is gone");
}

#[test]
fn what_could_not_be_read_of_the_needs_is_lifted_by_the_read_and_not_by_a_grant() {
    let (world, wanted) = case();
    let cause = Cause { class: Some("refused"), lift: Some("a credential of the other tenant".to_owned()) };
    let lift = |world: &World, unread: bool, without_lift: bool| {
        let mut observed = world.observe(&wanted);
        if unread {
            let cause = if without_lift { Cause::default() } else { cause.clone() };
            observed.roles.insert(BLOB_CONTRIBUTOR, Reading::Unknown { why: "wrong issuer".to_owned(), cause });
        }
        let plan = planned(&wanted, &observed, &Limits::default(), Look::Everything);
        let step = plan.steps.iter().find(|step| {
            step.action.kind() == "SetAuthMode" && step.workspaces.contains(&workspace_id("alpha")) //
        });
        let check = step.unwrap().gates.iter().find(|check| check.gate == Gate::NeedsCovered).unwrap();
        match &check.state {
            GateState::Unmet { lift, .. } => lift.clone(),
            state => panic!("{state:?}"),
        }
    };
    let grants = "grants for all declared needs, under no condition but those of the files, and not denied";
    assert_eq!(lift(&world, false, false), grants);
    let mut granted = world.clone();
    granted.assign(person(1), BLOB_CONTRIBUTOR, DAY);
    assert_eq!(lift(&granted, true, false), "a credential of the other tenant");
    assert_eq!(lift(&granted, true, true), "a complete read");
}

#[test]
fn a_lock_against_deletion_bars_revokes_and_nothing_else() {
    let group = format!("/subscriptions/{SUBSCRIPTION}/resourceGroups/rg");
    for scope in [account_id().to_string(), group, format!("/subscriptions/{SUBSCRIPTION}")] {
        let (mut world, mut wanted) = case();
        wanted.fleet.prune = true;
        let own =
            keyless_core::action::assignment_name("keyless", account_id().arm(), person(7), BLOB_CONTRIBUTOR, None);
        world.assign(person(7), BLOB_CONTRIBUTOR, DAY).name = own;
        let id = ArmId::parse(&format!("{scope}/providers/Microsoft.Authorization/locks/keep")).unwrap();
        world.locks.push(Lock { id, scope: ArmId::parse(&scope).unwrap(), level: LockLevel::CanNotDelete });
        let first = look(&world, &wanted);
        let why = unmet(&first, "RevokeRole", Gate::Unlocked).unwrap_or_else(|| panic!("{scope}: {}", show(&first)));
        assert!(why.contains("keep at "), "{why}");
        let taken = converge(&mut world, &wanted, |_, _| {});
        assert_eq!(taken.len(), 5, "all but the revoke: {taken:?}");
        world.locks.clear();
        let taken = converge(&mut world, &wanted, |_, _| {});
        assert!(matches!(taken.as_slice(), [Action::RevokeRole { .. }]), "{taken:?}");
    }
}

#[test]
fn every_lock_is_shown_with_what_it_bars() {
    let (mut world, wanted) = case();
    for (name, level) in [("a", LockLevel::CanNotDelete), ("b", LockLevel::ReadOnly)] {
        let scope = account_id().arm().clone();
        let id = ArmId::parse(&format!("{scope}/providers/Microsoft.Authorization/locks/{name}")).unwrap();
        world.locks.push(Lock { id, scope, level });
    }
    let plan = look(&world, &wanted);
    let locks: Vec<&str> = plan
        .findings
        .iter()
        .filter_map(|finding| match finding {
            Finding::Barrier { kind: Barrier::Lock, what } => Some(what.as_str()),
            _ => None,
        })
        .collect();
    assert!(locks[0].contains("bars revokes") && locks[1].contains("forward and back"), "{locks:?}");
}

#[test]
fn an_account_that_is_not_in_order_is_told_and_one_that_is_gone_names_who_stands_on_it() {
    let (world, wanted) = case();
    let findings = |state: Option<&str>, exists: bool| {
        let mut observed = world.observe(&wanted);
        let Reading::Known { value, .. } = &mut observed.account else { panic!("it is known") };
        value.as_mut().unwrap().provisioning_state = state.map(str::to_owned);
        if !exists {
            *value = None;
        }
        let plan = planned(&wanted, &observed, &Limits::default(), Look::Everything);
        plan.findings.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
    };
    assert!(
        findings(Some("Failed"), true).contains("calls the account `Failed`"),
        "{}",
        findings(Some("Failed"), true)
    );
    for fine in [Some("succeeded"), None] {
        assert!(!findings(fine, true).contains("calls the account"), "{}", findings(fine, true));
    }
    assert_eq!(findings(None, false), "the storage account does not exist, and is named by alpha, bravo");
}

#[test]
fn a_workspace_that_no_network_rule_lets_in_is_not_switched() {
    let shut = Network { public: PublicAccess::Disabled, default_deny: true, ..Network::default() };
    let id = workspace_id("alpha").to_string();
    let rule = |text: &str| BTreeSet::from([text.to_owned()]);
    let both = BTreeSet::from([id.to_uppercase(), workspace_id("bravo").to_string()]);
    for (network, open) in [
        (Network::default(), true),
        (shut.clone(), false),
        // The front door is shut, whatever the rules for it say.
        (Network { default_deny: false, lets_some_in: true, ..shut.clone() }, false),
        (Network { public: PublicAccess::Enabled, ..shut.clone() }, false),
        (Network { public: PublicAccess::Enabled, lets_some_in: true, ..shut.clone() }, true),
        (Network { public: PublicAccess::Other("SecuredByPerimeter".to_owned()), ..shut.clone() }, true),
        (Network { trusted_services: true, ..shut.clone() }, true),
        (Network { private_endpoints: true, ..shut.clone() }, true),
        (Network { instances: rule(&id.to_uppercase()), ..shut.clone() }, false),
        (Network { instances: both, ..shut.clone() }, true),
        (Network { instances: rule("/subscriptions/*/workspaces/*"), ..shut.clone() }, true),
        (Network { instances: rule("/subscriptions/*/workspaces/another"), ..shut.clone() }, false),
    ] {
        let (mut world, wanted) = case();
        world.network = network.clone();
        let plan = look(&world, &wanted);
        assert_eq!(unmet(&plan, "SetAuthMode", Gate::Reachable).is_none(), open, "{network:?}");
        let told =
            plan.findings.iter().any(|finding| matches!(finding, Finding::Barrier { kind: Barrier::Network, .. }));
        assert_eq!(told, !network.is_open(), "{network:?}");
    }
    let (world, wanted) = case();
    let mut observed = world.observe(&wanted);
    let Reading::Known { value: Some(account), .. } = &mut observed.account else { panic!("it is known") };
    account.network = shut;
    for entry in observed.workspaces.values_mut() {
        let Reading::Known { value: Some(own), .. } = &mut entry.workspace else { panic!("it is known") };
        own.managed_network = true;
    }
    let plan = planned(&wanted, &observed, &Limits::default(), Look::Everything);
    assert_eq!(unmet(&plan, "SetAuthMode", Gate::Reachable), None, "a managed network brings its own way in");
}

#[test]
fn whom_the_network_rules_of_an_account_let_in_is_told() {
    let rules = Network { default_deny: true, ..Network::default() };
    let shut = Network { public: PublicAccess::Disabled, ..rules.clone() };
    let named = BTreeSet::from(["one".to_owned(), "two".to_owned()]);
    let secured = PublicAccess::Other("SecuredByPerimeter".to_owned());
    for (network, ways) in [
        (rules.clone(), "nobody"),
        (Network { lets_some_in: true, ..rules.clone() }, "named addresses and subnets"),
        (Network { trusted_services: true, ..rules }, "trusted services"),
        // Rules for a front door that is shut let nobody in.
        (Network { lets_some_in: true, ..shut.clone() }, "nobody"),
        (Network { lets_some_in: true, default_deny: false, ..shut.clone() }, "nobody"),
        (
            Network { instances: named, private_endpoints: true, ..shut.clone() },
            "2 named resources, private endpoints", //
        ),
        (Network { public: secured, ..shut }, "what `publicNetworkAccess: SecuredByPerimeter` stands for"),
    ] {
        let (mut world, wanted) = case();
        world.network = network.clone();
        let told = look(&world, &wanted).findings.into_iter().find_map(|finding| match finding {
            Finding::Barrier { kind: Barrier::Network, what } => Some(what),
            _ => None,
        });
        let what = format!("network rules of the account let in {ways}; who is held off shows in no role");
        assert_eq!(told, Some(what), "{network:?}");
    }
}

#[test]
fn identities_of_nobody_known_that_hold_data_roles_are_told_when_all_others_are_known() {
    let (mut world, wanted) = case();
    let holder = |world: &mut World, n: u128, kind: PrincipalType, role| {
        world.assign(person(n), role, DAY).principal_type = Some(kind);
    };
    holder(&mut world, 50, PrincipalType::ServicePrincipal, BLOB_CONTRIBUTOR);
    holder(&mut world, 51, PrincipalType::User, BLOB_CONTRIBUTOR);
    holder(&mut world, 52, PrincipalType::ServicePrincipal, control_role());
    // What a compute is, is known.
    holder(&mut world, 53, PrincipalType::ServicePrincipal, BLOB_CONTRIBUTOR);
    world.roles.insert(
        control_role(),
        RoleDefinition {
            id: control_role(),
            name: "Reader".to_owned(),
            permissions: vec![Permission { actions: vec!["*/read".to_owned()], ..Permission::default() }],
            updated_on: None,
            built_in: true,
        },
    );
    world.workspaces.get_mut(&workspace_id("alpha")).unwrap().computes.push(Compute {
        name: "cpu".to_owned(),
        compute_type: "AmlCompute".to_owned(),
        identity: Identity { system: Some(person(53)), ..Identity::default() },
        state: None,
    });
    for assignment in &mut world.assignments {
        assignment.principal_type.get_or_insert(PrincipalType::ServicePrincipal);
    }
    let told = |observed: &Observed| -> Vec<PrincipalId> {
        let plan = planned(&wanted, observed, &Limits::default(), Look::Everything);
        plan.findings
            .iter()
            .filter_map(|finding| match finding {
                Finding::ForeignHolder { principal, role, scope } => {
                    assert_eq!((role.as_str(), scope), ("Storage Blob Data Contributor", account_id().arm()));
                    Some(*principal)
                }
                _ => None,
            })
            .collect()
    };
    let mut observed = world.observe(&wanted);
    assert_eq!(told(&observed), [person(50)]);
    let mut with_endpoint = observed.clone();
    let given = |told| Identity { system: None, user_assigned: BTreeMap::from([(crate::lost::uami("score"), told)]) };
    for (identity, foreign, why) in [
        (Identity { system: Some(person(50)), ..Identity::default() }, false, "the service grants to its endpoints"),
        (given(Some(person(50))), false, "an endpoint was given it"),
        (given(Some(person(9))), true, "another's"),
        (given(None), false, "it may be the one that an endpoint was given"),
    ] {
        let endpoint = Endpoint { workspace: workspace_id("alpha"), name: "score".to_owned(), identity };
        with_endpoint.endpoints = Reading::known(vec![endpoint], observed.now);
        assert_eq!(!told(&with_endpoint).is_empty(), foreign, "{why}");
    }
    with_endpoint.endpoints = Reading::unknown("no");
    assert_eq!(told(&with_endpoint), [], "it may be an endpoint that could not be read");
    let mut unlisted = observed.clone();
    unlisted.listings.insert(account_id().subscription(), Reading::unknown("no"));
    assert_eq!(told(&unlisted), [], "it may be of a workspace that no list showed");
    unlisted.listings.clear();
    assert_eq!(told(&unlisted), [], "no list was read");
    let own = format!(
        "/subscriptions/{SUBSCRIPTION}/resourceGroups/rg/providers/Microsoft.ManagedIdentity/userAssignedIdentities/own"
    );
    let somebody = Identity { system: None, user_assigned: BTreeMap::from([(own.parse().unwrap(), None)]) };
    let mut unresolved = observed.clone();
    let entry = unresolved.workspaces.get_mut(&workspace_id("alpha")).unwrap();
    let Reading::Known { value: Some(alpha), .. } = &mut entry.workspace else { panic!("it is known") };
    alpha.identity = somebody.clone();
    assert_eq!(told(&unresolved), [], "it may be the identity of a workspace");
    let mut unresolved = observed.clone();
    let entry = unresolved.workspaces.get_mut(&workspace_id("bravo")).unwrap();
    entry.computes = Reading::known(vec![Compute { identity: somebody, ..instance("dev", None) }], observed.now);
    assert_eq!(told(&unresolved), [], "it may be the identity of a compute");
    world.barriers.no_right = BTreeSet::from([ENDPOINTS]);
    assert_eq!(told(&world.observe(&wanted)), [], "it may be an endpoint that is not shown");
    observed.workspaces.get_mut(&workspace_id("bravo")).unwrap().computes = Reading::unknown("no");
    assert_eq!(told(&observed), [], "it may be one of the computes that could not be read");
}

fn control_role() -> RoleId {
    "acdd72a7-3385-48ef-bd42-f606fba81ae7".parse().unwrap()
}
