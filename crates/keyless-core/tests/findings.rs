//! What is said of drift and findings, in the words that people and events get.

use std::collections::{BTreeMap, BTreeSet};

use jiff::SignedDuration;
use keyless_core::catalog::BLOB_CONTRIBUTOR;
use keyless_core::desired::*;
use keyless_core::observed::*;
use keyless_core::plan::finding::{Denied, KeyUse, Loss, Lost, TurnedOn};
use keyless_core::plan::{Barrier, Drift, Fight, Finding, Limits, Look};

use crate::world::*;

#[test]
fn a_difference_names_its_workspace_and_both_sides() {
    let workspace = workspace_id("fraud-train");
    let own = Some(&workspace);
    for (drift, of, words) in [
        (
            Drift::RoleMissing { workspace: workspace.clone(), principal: person(1), role: BLOB_CONTRIBUTOR },
            own,
            "fraud-train: 00000000-0000-0000-0000-00000000a001 lacks Storage Blob Data Contributor",
        ),
        (
            Drift::AuthMode {
                workspace: workspace.clone(),
                desired: AuthMode::Identity,
                observed: ObservedAuthMode::AccessKey,
            },
            own,
            "fraud-train: mode is accesskey, files ask identity",
        ),
        (
            Drift::DatastoreCredential {
                workspace: workspace.clone(),
                name: "lake".to_owned(),
                observed: DatastoreCredentials::AccountKey,
            },
            own,
            "fraud-train: datastore lake holds AccountKey, files ask for none",
        ),
        (
            Drift::DatastoreMissing { workspace: workspace.clone(), name: "lake".to_owned() },
            own,
            "fraud-train: datastore lake does not exist",
        ),
        (
            Drift::SharedKey { desired_on: false, observed: SharedKeyAccess::Absent },
            None,
            "shared key access is enabled, files ask disabled",
        ),
        (
            Drift::SharedKey { desired_on: true, observed: SharedKeyAccess::Disallowed },
            None,
            "shared key access is disabled, files ask enabled",
        ),
    ] {
        assert_eq!((drift.workspace(), drift.to_string().as_str()), (of, words));
    }
}

#[test]
fn each_barrier_has_a_name() {
    let all = [Barrier::Lock, Barrier::Policy, Barrier::Denial, Barrier::Network, Barrier::OneWay, Barrier::State];
    assert_eq!(all.map(Barrier::as_str), ["lock", "policy", "denial", "network", "oneWay", "state"]);
}

fn lost(how: Loss) -> Lost {
    let workspace = workspace_id("fraud-train");
    Lost { workspace, who: "user Ada".to_owned(), principal: Some(person(1)), role: BLOB_CONTRIBUTOR, how }
}

#[test]
fn what_would_lift_a_finding_is_told_where_it_follows_from_the_finding() {
    let missing = Finding::AccountMissing { workspaces: BTreeSet::new(), made_on_it: BTreeMap::new() };
    assert_eq!(missing.lift(), Some("that account, or files and workspaces that name another one"));
    let lost = lost(Loss::NoIdentity);
    let lift = Some("an identity for the workspace, or `serviceGrants: accept` in the file");
    assert_eq!(Finding::AccessLost(lost).lift(), lift);
    assert_eq!(Finding::WorkspaceMissing { workspace: workspace_id("fraud-train") }.lift(), None);
    assert_eq!(
        Fight::lift(start()),
        "an end to whatever sets it back, and quiet until 2026-11-23T09:00:00Z; or a change of what the documents of this account or \
         `guard: {fight: …}` say"
    );
}

#[test]
fn only_a_denial_that_may_not_apply_is_uncertain() {
    let denied = |certain| Loss::Denied { by: "deny".to_owned(), scope: account_id().arm().clone(), certain };
    let certain = [denied(true), denied(false), Loss::NotGranted("not granted".to_owned()), Loss::NoIdentity]
        .map(|how| lost(how).is_certain());
    assert_eq!(certain, [true, false, true, true]);
}

#[test]
fn the_use_of_a_key_names_its_three_latest_hours() {
    let told = |count: i64| {
        let hours = (0..count).map(|n| start() + SignedDuration::from_hours(n)).collect();
        let (service, signed) = (Some(StorageService::File), Signed::AccountKey);
        KeyUse { service, api: "GetFile".to_owned(), signed, requests: 7, hours, last: None }.to_string()
    };
    assert_eq!(told(0), "file: GetFile with the account key: 7 requests in 0 hours");
    assert_eq!(
        told(3),
        "file: GetFile with the account key: 7 requests in 3 hours (from 2026-11-23T11:00:00Z, 2026-11-23T10:00:00Z, \
         2026-11-23T09:00:00Z)"
    );
    assert!(told(4).ends_with("2026-11-23T10:00:00Z and before)"), "{}", told(4));
}

#[test]
fn whoever_was_refused_is_named_where_the_logs_do() {
    let denied = |callers: &[&str]| Denied {
        hour: start(),
        service: Some(StorageService::File),
        api: "GetFile".to_owned(),
        signed: Signed::AccountKey,
        requests: 5,
        cause: "the key is off".to_owned(),
        callers: callers.iter().map(|name| (*name).to_owned()).collect(),
        since: start(),
        because: WatchCause::KeyOff,
    };
    let head =
        "file: GetFile with the account key was refused 5 times in the hour from 2026-11-23T09:00:00Z: the key is off";
    let tail = "; watched since 2026-11-23T09:00:00Z (key off)";
    assert_eq!(denied(&[]).to_string(), format!("{head}{tail}"));
    assert_eq!(denied(&["cron"]).to_string(), format!("{head}; the resource logs name cron{tail}"));
}

#[test]
fn a_key_that_is_on_again_is_told_with_its_likely_cause() {
    let turned_on =
        TurnedOn { seen: start(), from: start(), causes: vec!["cron was refused".to_owned()], unknown: None };
    assert_eq!(
        turned_on.to_string(),
        "the key was off and is on again, seen at 2026-11-23T09:00:00Z; likely cause: cron was refused"
    );
}

/// Nothing waits for a fight that is over.
#[test]
fn a_fight_is_told_until_its_end() {
    let world = World::new();
    let desired = desired(&[]);
    for (until, told) in [(world.now + SignedDuration::from_secs(1), true), (world.now, false)] {
        let fight = Fight { reversals: 3, since: world.now, until, ours: "us".to_owned(), theirs: None };
        let limits =
            Limits { fights: [(keyless_core::setting::Setting::SharedKey, fight)].into(), ..Limits::default() };
        let plan = planned(&desired, &world.observe(&desired), &limits, Look::WhatMatters);
        let fought = plan.findings.iter().any(|finding| matches!(finding, Finding::Fought { .. }));
        assert_eq!(fought, told, "{until}");
    }
}

/// A caller of the logs belongs to an hour of the metric in which it called.
#[test]
fn a_refused_caller_is_named_in_its_hour_alone() {
    let mut world = World::new();
    let a = world.workspace("fraud-train", ObservedAuthMode::Identity);
    let mut desired = desired(&[(&a, AuthMode::Identity, vec![])]);
    declare_account(&mut desired, DesiredSharedKey::Disabled);
    desired.account.as_mut().unwrap().log_analytics = Some(logs());
    world.key = SharedKeyAccess::Disallowed;
    let at = hour(world.now - SignedDuration::from_secs(3_600));
    world.watch = Some(WatchFrom { at, because: WatchCause::KeyOff });
    world.denied = vec![ServiceUse {
        service: Some(StorageService::File),
        api: "GetFile".to_owned(),
        signed: Signed::AccountKey,
        refused: true,
        traffic: Traffic { count: 5, last: Some(start()), grains: BTreeMap::from([(at, 5)]) },
    }];
    let end = at + SignedDuration::from_hours(1);
    let second = SignedDuration::from_secs(1);
    for (first, last, named) in [
        (end - second, end + second, true),
        (end, end + second, false),
        (at - second, at, true),
        (at - second - second, at - second, false),
    ] {
        let caller = caller(StorageService::File, Signed::AccountKey, MadeFrom::Key("key1".to_owned()), last);
        world.callers = vec![KeyCaller { refused: true, outcome: "AuthorizationFailure".to_owned(), first, ..caller }];
        let plan = look(&world, &desired);
        let denied = plan.findings.iter().find_map(|finding| match finding {
            Finding::KeyUserDenied(denied) => Some(!denied.callers.is_empty()),
            _ => None,
        });
        assert_eq!(denied, Some(named), "{first} to {last}: {}", show(&plan));
    }
}

/// Where the metric was not read by service, use of any kind tells that logs are missing.
#[test]
fn logs_that_name_nobody_although_the_key_is_in_use_are_told() {
    let mut world = World::new();
    let a = world.workspace("fraud-train", ObservedAuthMode::Identity);
    let mut desired = desired(&[(&a, AuthMode::Identity, vec![])]);
    declare_account(&mut desired, DesiredSharedKey::Disabled);
    desired.account.as_mut().unwrap().log_analytics = Some(logs());
    let named = caller(StorageService::File, Signed::Sas, MadeFrom::Untold, world.now);
    for (keys, sas, callers, told) in [
        (0, 0, vec![], false),
        (1, 0, vec![], true),
        (0, 1, vec![], true),
        (1, 1, vec![], true),
        (0, 1, vec![named], false),
    ] {
        world.callers.clone_from(&callers);
        let mut observed = world.observe(&desired);
        observed.key_details = Reading::unknown("503");
        let Reading::Known { value, .. } = &mut observed.key_usage else { panic!("it is known") };
        value.account_key.count = keys;
        value.sas.count = sas;
        let plan = planned(&desired, &observed, &Limits::default(), Look::Everything);
        let unlogged = plan.findings.iter().any(|finding| matches!(finding, Finding::Unlogged { .. }));
        assert_eq!(unlogged, told, "{keys} {sas} {callers:?}: {}", show(&plan));
    }
}

/// That the assignments could not be read is told once, and not for each that rests on them.
#[test]
fn assignments_that_could_not_be_read_are_told_once() {
    let mut world = World::new();
    let a = world.workspace("fraud-train", ObservedAuthMode::Identity);
    let desired = desired(&[(&a, AuthMode::Identity, vec![need(object(1), BLOB_CONTRIBUTOR)])]);
    let mut observed = world.observe(&desired);
    observed.assignments = Reading::unknown("503");
    let plan = planned(&desired, &observed, &Limits::default(), Look::Everything);
    let told: Vec<String> = plan.findings.iter().map(ToString::to_string).filter(|told| told.contains("503")).collect();
    assert_eq!(told, ["role assignments could not be read: 503"]);
}

/// Who a principal of the files is, where its workspace does not tell.
#[test]
fn a_principal_that_is_not_there_is_told_and_what_tells_it_is_read() {
    let mut world = World::new();
    let a = world.workspace("fraud-train", ObservedAuthMode::Identity);
    let of = |principal| desired(&[(&a, AuthMode::Identity, vec![need(principal, BLOB_CONTRIBUTOR)])]);
    let assigned = of(PrincipalRef::WorkspaceUserAssigned);
    let told = show(&look(&world, &assigned));
    assert!(told.contains("the workspace has no user-assigned identity"), "{told}");
    let compute = of(PrincipalRef::Compute("cpu".to_owned()));
    let mut observed = world.observe(&compute);
    observed.workspaces.get_mut(&a).unwrap().computes = Reading::NotRead;
    assert!(planned(&compute, &observed, &Limits::default(), Look::WhatMatters).wants.computes.contains(&a));
}
