//! What is told of the use of a key, and what a SAS or a refusal does to the plan.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};
use keyless_core::action::Action;
use keyless_core::catalog;
use keyless_core::desired::*;
use keyless_core::gate::{Gate, GateState};
use keyless_core::id::*;
use keyless_core::observed::*;
use keyless_core::plan::{self, Limits, Look, Standing};

use crate::world::*;

fn edit(observed: &mut Observed, change: impl FnOnce(&mut KeyUsage)) {
    if let Reading::Known { value, .. } = &mut observed.key_usage {
        change(value);
    }
}

fn accepted(until: Timestamp) -> Acceptance {
    Acceptance { reason: "user delegation only".to_owned(), owner: "storage team".to_owned(), until }
}

fn accept_in_fleet(desired: &mut KeyDesired, scope: &str, services: &[StorageService], until: Timestamp) {
    let accounts = BTreeSet::from([ArmId::parse(scope).unwrap()]);
    let services = services.iter().copied().collect();
    desired.fleet.accept_sas.push(SasAcceptance { accounts, services, acceptance: accepted(until) });
}

#[test]
fn a_gate_held_by_the_key_names_service_call_and_hours() {
    let mut world = World::new();
    let a = world.workspace("fraud-train", ObservedAuthMode::Identity);
    let desired = desired(&[(&a, AuthMode::Identity, vec![])]);
    world.key_user_until = Some(world.now - SignedDuration::from_secs(DAY));
    let text = show(&look(&world, &desired));
    assert!(text.contains("(file GetFile 7 in "), "{text}");
    assert!(text.contains("! file: GetFile with the account key: 7 requests"), "{text}");
    let mut observed = world.observe(&desired);
    observed.key_details = Reading::unknown("503");
    let plan = planned(&desired, &observed, &Limits::default(), Look::Everything);
    assert_eq!(plan.standing(), Standing::Waiting, "the names decide nothing");
    assert!(show(&plan).contains("to which services could not be read: 503"), "{}", show(&plan));
    observed.key_details = Reading::NotRead;
    assert!(planned(&desired, &observed, &Limits::default(), Look::WhatMatters).wants.key_details);
    world.key_user_until = None;
    let mut observed = world.observe(&desired);
    observed.key_details = Reading::NotRead;
    assert!(!planned(&desired, &observed, &Limits::default(), Look::Everything).wants.key_details, "nobody to name");
}

/// The gate of the key going off.
fn idle(wanted: &KeyDesired, observed: &Observed) -> GateState {
    let plan = planned(wanted, observed, &Limits::default(), Look::Everything);
    let checks = plan.steps.into_iter().flat_map(|step| step.gates);
    checks.into_iter().find(|check| check.gate == Gate::KeyIdle).expect("it is looked at").state
}

#[test]
fn an_answer_is_recent_enough_for_a_minute_beyond_the_lag_of_metrics() {
    let mut world = World::new();
    let a = world.workspace("fraud-train", ObservedAuthMode::Identity);
    let desired = desired(&[(&a, AuthMode::Identity, vec![])]);
    for (seconds, open) in [(60, true), (61, false), (3600, false)] {
        let mut observed = world.observe(&desired);
        edit(&mut observed, |usage| {
            usage.from -= SignedDuration::from_secs(seconds);
            usage.to -= SignedDuration::from_secs(seconds);
        });
        assert_eq!(idle(&desired, &observed) == GateState::Open, open, "{seconds}");
    }
}

#[test]
fn use_that_is_still_shown_when_its_wait_is_over_is_waited_for_no_longer() {
    let mut world = World::new();
    let a = world.workspace("fraud-train", ObservedAuthMode::Identity);
    let desired = desired(&[(&a, AuthMode::Identity, vec![])]);
    let wait = SignedDuration::from_secs(7 * DAY + 900);
    for (short_of, waits) in [(1, true), (0, false)] {
        let mut observed = world.observe(&desired);
        let last = world.now - wait + SignedDuration::from_secs(short_of);
        edit(&mut observed, |usage| {
            usage.account_key = Traffic { count: 1, last: Some(last), grains: BTreeMap::new() };
        });
        match idle(&desired, &observed) {
            GateState::Waiting { until, why } => {
                assert!(waits && until == last + wait, "{until}");
                assert_eq!(why, "1 requests signed with the key succeeded within 7d", "hours are not told");
            }
            state => assert!(!waits && matches!(state, GateState::Unmet { .. }), "{state:?}"),
        }
    }
}

/// Metrics lag behind what was seen.
#[test]
fn the_key_stays_on_until_the_metric_tells_of_the_last_that_held_it() {
    let mut world = World::new();
    let a = world.workspace("fraud-train", ObservedAuthMode::Identity);
    let desired = desired(&[(&a, AuthMode::Identity, vec![])]);
    assert!(look(&world, &desired).next().is_some(), "nothing was seen on it");
    world.signed_until = Some(world.now);
    let plan = look(&world, &desired);
    assert!(plan.next().is_none(), "{}", show(&plan));
    let until = world.now + SignedDuration::from_secs(900);
    let held = plan.steps.iter().flat_map(|step| &step.gates).find(|check| check.gate == Gate::KeyIdle).unwrap();
    let GateState::Waiting { until: told, why } = &held.state else { panic!("{}", show(&plan)) };
    assert_eq!(*told, until);
    assert!(why.contains("until 2026-11-23T09:00:00Z a workspace or datastore may have used the key"), "{why}");
    world.advance(until);
    assert!(look(&world, &desired).next().is_some());
}

#[test]
fn a_sas_is_accepted_by_account_group_or_subscription_and_by_service() {
    let group = format!("/subscriptions/{SUBSCRIPTION}/resourceGroups/RG");
    let other = format!("/subscriptions/{SUBSCRIPTION}/resourceGroups/rg2");
    let whole = account_id().to_string();
    let (blob, file) = (StorageService::Blob, StorageService::File);
    for (scope, services, used, open) in [
        (&whole, vec![], vec![blob, file], true),
        (&group, vec![], vec![file], true),
        (&group, vec![blob], vec![blob], true),
        (&group, vec![blob], vec![blob, file], false),
        (&group, vec![blob, file], vec![blob, file], true),
        (&other, vec![], vec![blob], false),
    ] {
        let mut world = World::new();
        let a = world.workspace("fraud-train", ObservedAuthMode::Identity);
        world.sas_by_service = used.iter().map(|service| (*service, 2)).collect();
        let mut desired = desired(&[(&a, AuthMode::Identity, vec![])]);
        accept_in_fleet(&mut desired, scope, &services, world.now + SignedDuration::from_secs(60));
        let plan = look(&world, &desired);
        assert_eq!(plan.next().is_some(), open, "{scope} {services:?} {used:?}: {}", show(&plan));
        if let Some(step) = plan.next() {
            let confirms = plan::confirm_reads(step, &desired, &world.observe(&desired)).key_details;
            assert_eq!(confirms, !services.is_empty(), "what decides is read again, and only that");
        }
    }
}

#[test]
fn a_sas_accepted_for_one_service_needs_all_of_it_put_down_to_that_service() {
    let mut world = World::new();
    let a = world.workspace("fraud-train", ObservedAuthMode::Identity);
    world.sas_by_service.insert(StorageService::Blob, 2);
    let mut desired = desired(&[(&a, AuthMode::Identity, vec![])]);
    let until = world.now + SignedDuration::from_secs(60);
    accept_in_fleet(&mut desired, account_id().as_str(), &[StorageService::Blob], until);
    let open = |spoil: fn(&mut KeyDetails)| {
        let mut observed = world.observe(&desired);
        if let Reading::Known { value, .. } = &mut observed.key_details {
            spoil(value);
        }
        planned(&desired, &observed, &Limits::default(), Look::Everything).next().is_some()
    };
    let mut observed = world.observe(&desired);
    observed.key_details = Reading::NotRead;
    assert!(planned(&desired, &observed, &Limits::default(), Look::WhatMatters).wants.key_details);
    assert!(open(|_| {}));
    assert!(!open(|details| details.complete = false));
    assert!(!open(|details| details.uses.clear()));
    assert!(!open(|details| details.from += SignedDuration::from_secs(7_200)));
    assert!(!open(|details| details.to -= SignedDuration::from_secs(61)));
    assert!(!open(|details| details.uses[0].traffic.grains.clear()));
    assert!(!open(|details| details.uses[0].service = None));
}

#[test]
fn an_acceptance_that_ended_is_told_as_such() {
    let mut world = World::new();
    let a = world.workspace("fraud-train", ObservedAuthMode::Identity);
    world.sas = 3;
    let mut desired = desired(&[(&a, AuthMode::Identity, vec![])]);
    accept_in_fleet(&mut desired, account_id().as_str(), &[], world.now);
    let text = show(&look(&world, &desired));
    assert!(text.contains("; the acceptance of storage team ended at 2026-11-23T09:00:00Z"), "{text}");
    assert!(text.contains("! `acceptSas` of storage team, ended at 2026-11-23T09:00:00Z: user delegation"), "{text}");
    desired.fleet.accept_sas[0].acceptance.until = world.now + SignedDuration::from_secs(1);
    let text = show(&look(&world, &desired));
    assert!(text.contains("! `acceptSas` of storage team, until 2026-11-23T09:00:01Z"), "{text}");
}

#[test]
fn refused_requests_with_the_key_are_told_and_hold_nothing() {
    let mut world = World::new();
    let a = world.workspace("fraud-train", ObservedAuthMode::Identity);
    let desired = desired(&[(&a, AuthMode::Identity, vec![])]);
    world.key = SharedKeyAccess::Allowed;
    let mut observed = world.observe(&desired);
    edit(&mut observed, |usage| usage.account_key_failed = Traffic { count: 9, ..Traffic::default() });
    if let Reading::Known { value: Some(account), .. } = &mut observed.account {
        account.services.0.insert(StorageService::File, false);
        account.services.0.insert(StorageService::Blob, true);
    }
    let plan = planned(&desired, &observed, &Limits::default(), Look::Everything);
    assert_eq!(plan.standing(), Standing::Ready);
    let text = show(&plan);
    assert!(text.contains("9 requests signed with the key were refused"), "{text}");
    assert!(text.contains("may be anybody's; the key is off for file already"), "{text}");
    assert!(text.contains("! shared key access by service: blob on, file off; the account as a whole is on"), "{text}");
    world.key = SharedKeyAccess::Disallowed;
    assert!(look(&world, &desired).steps.is_empty());
}

#[test]
fn a_service_that_is_off_never_stands_for_the_whole_account() {
    let mut world = World::new();
    let a = world.workspace("fraud-train", ObservedAuthMode::Identity);
    let desired = desired(&[(&a, AuthMode::Identity, vec![])]);
    let mut observed = world.observe(&desired);
    if let Reading::Known { value: Some(account), .. } = &mut observed.account {
        account.services.0.extend(StorageService::ALL.map(|service| (service, false)));
    }
    let plan = planned(&desired, &observed, &Limits::default(), Look::Everything);
    assert!(plan.drift.iter().any(|drift| matches!(drift, plan::Drift::SharedKey { .. })));
    let by_service = |plan: &plan::Plan| {
        let flags = |finding: &plan::Finding| match finding {
            plan::Finding::KeyByService { flags } => Some(flags.clone()),
            _ => None,
        };
        plan.findings.iter().find_map(flags)
    };
    assert_eq!(by_service(&plan), Some(StorageService::ALL.map(|service| (service, false)).into()), "{}", show(&plan));
    // Where the whole account is off, or Azure shows no switches of services, there is nothing to tell.
    if let Reading::Known { value: Some(account), .. } = &mut observed.account {
        account.shared_key = SharedKeyAccess::Disallowed;
    }
    assert_eq!(by_service(&planned(&desired, &observed, &Limits::default(), Look::Everything)), None);
    assert_eq!(by_service(&look(&world, &desired)), None);
}

#[test]
fn whoever_is_refused_after_the_key_went_off_is_told_with_what_is_likely_behind_it() {
    let mut world = World::new();
    let a = world.workspace("fraud-train", ObservedAuthMode::Identity);
    let desired = desired(&[(&a, AuthMode::Identity, vec![need(object(1), catalog::FILE_READER)])]);
    let at = world.now - SignedDuration::from_secs(3_600);
    world.watch = Some(WatchFrom { at, because: WatchCause::KeyOff });
    let refused = |signed| ServiceUse {
        service: Some(StorageService::File),
        api: "Unknown".to_owned(),
        signed,
        refused: true,
        // Of an hour in which nothing was refused nothing is told.
        traffic: Traffic { count: 5, last: Some(start()), grains: BTreeMap::from([(hour(at), 5), (hour(start()), 0)]) },
    };
    world.denied = vec![refused(Signed::AccountKey), refused(Signed::OAuth)];
    let denied = |plan: &plan::Plan| -> Vec<String> {
        let of = |finding: &plan::Finding| match finding {
            plan::Finding::KeyUserDenied(denied) => Some(denied.to_string()),
            _ => None,
        };
        plan.findings.iter().filter_map(of).collect()
    };
    // While the key is on, refused keys are wrong keys.
    let told = denied(&look(&world, &desired));
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(told[0].starts_with("file: Unknown with a token of Entra was refused 5 times"), "{told:?}");
    assert!(told[0].contains("lacks Storage File Data Privileged Reader that fraud-train declares"), "{told:?}");
    world.key = SharedKeyAccess::Disallowed;
    let plan = look(&world, &desired);
    assert_eq!(denied(&plan).len(), 2);
    assert!(denied(&plan)[0].contains("the key is off, and somebody still signs with it"), "{:?}", denied(&plan));
    let undone = |plan: &plan::Plan| {
        plan.steps.iter().any(|step| matches!(step.action, Action::SetSharedKeyAccess { allowed: true, .. }))
    };
    assert!(!undone(&plan), "it never causes an undo");
    // A service that has it off by itself is named as long as the account has it on.
    for (shared_key, words) in [
        (SharedKeyAccess::Allowed, "the key is off for file, and somebody still signs with it"),
        (SharedKeyAccess::Disallowed, "the key is off, and somebody still signs with it"),
    ] {
        let mut observed = world.observe(&desired);
        let Reading::Known { value: Some(account), .. } = &mut observed.account else { panic!("it is known") };
        account.shared_key = shared_key;
        account.services.0.insert(StorageService::File, false);
        let told = denied(&planned(&desired, &observed, &Limits::default(), Look::Everything));
        assert!(told[0].contains(words), "{told:?}");
    }
    // Whom documents name as broken by it comes first.
    world.workspaces.get_mut(&a).unwrap().mode = ObservedAuthMode::AccessKey;
    let told = denied(&look(&world, &desired));
    assert!(told[0].contains("the key is off, and fraud-train is on access keys"), "{told:?}");
    world.workspaces.get_mut(&a).unwrap().mode = ObservedAuthMode::Identity;
    // Not read, it is asked for; after the watch, no more.
    let mut observed = world.observe(&desired);
    observed.denials = Reading::NotRead;
    let wants = |observed: &Observed| planned(&desired, observed, &Limits::default(), Look::WhatMatters).wants.denials;
    assert!(wants(&observed));
    observed.now = at + SignedDuration::from_secs(DAY);
    assert!(!wants(&observed));
}

/// An account whose key somebody uses, with logs that the files name.
fn logged(world: &mut World) -> KeyDesired {
    let a = world.workspace("fraud-train", ObservedAuthMode::Identity);
    let mut desired = desired(&[(&a, AuthMode::Identity, vec![])]);
    desired.fleet.log_analytics = Some(logs());
    desired
}

#[test]
fn whoever_holds_the_key_on_is_named_by_the_resource_logs() {
    let mut world = World::new();
    let desired = logged(&mut world);
    world.key_user_until = Some(world.now - SignedDuration::from_secs(DAY));
    world.callers = vec![caller(StorageService::File, Signed::AccountKey, MadeFrom::Key("key2".to_owned()), start())];
    let text = show(&look(&world, &desired));
    let named =
        "; the resource logs name 10.1.0.4 (nightly-mount/2): file GetFile 7 times, last at 2026-11-23T09:00:00Z";
    assert!(text.contains(named), "{text}");
    assert!(
        text.contains("! the resource logs name 10.1.0.4 (nightly-mount/2): file GetFile with the account key (key2)")
    );
    // Asked only where the files say where they are, and only while somebody is to be named.
    let mut observed = world.observe(&desired);
    observed.key_callers = Reading::NotRead;
    let wants = |desired: &KeyDesired, observed: &Observed| {
        planned(desired, observed, &Limits::default(), Look::Everything).wants.key_callers
    };
    assert!(wants(&desired, &observed));
    let mut elsewhere = desired.clone();
    elsewhere.fleet.log_analytics = None;
    assert!(!wants(&elsewhere, &observed));
    world.key_user_until = None;
    let mut observed = world.observe(&desired);
    observed.key_callers = Reading::NotRead;
    assert!(!wants(&desired, &observed), "nobody to name");
}

#[test]
fn the_logs_of_an_account_outrank_those_of_the_fleet() {
    let mut world = World::new();
    let mut desired = logged(&mut world);
    declare_account(&mut desired, DesiredSharedKey::Disabled);
    assert_eq!(desired.log_analytics(), Some(&logs()));
    let own = LogAnalyticsId::parse(&logs().as_str().replace("/logs", "/own-logs")).unwrap();
    desired.account.as_mut().unwrap().log_analytics = Some(own.clone());
    assert_eq!(desired.log_analytics(), Some(&own));
}

#[test]
fn a_sas_is_told_by_what_its_hash_tells_and_opens_nothing() {
    for (made_from, words) in [
        (MadeFrom::Key("key1".to_owned()), "with a SAS made from key1"),
        (MadeFrom::NoKey, "with a SAS whose hash names no key, most likely a user delegation"),
        (MadeFrom::Untold, "with a SAS of which the logs do not tell what signed it"),
    ] {
        let mut world = World::new();
        let mut desired = logged(&mut world);
        world.sas_by_service.insert(StorageService::Blob, 7);
        world.callers = vec![caller(StorageService::Blob, Signed::Sas, made_from, start())];
        let plan = look(&world, &desired);
        assert!(plan.next().is_none(), "{}", show(&plan));
        assert!(show(&plan).contains(words), "{}", show(&plan));
        // Somebody answers for it: the key may go, and what it is made from is told.
        accept_in_fleet(&mut desired, account_id().as_str(), &[], world.now + SignedDuration::from_secs(60));
        let plan = look(&world, &desired);
        assert!(plan.next().is_some());
        assert!(show(&plan).contains(words), "{}", show(&plan));
    }
}

#[test]
fn logs_that_cannot_be_read_or_tell_nothing_are_told_and_hold_nothing() {
    let mut world = World::new();
    let desired = logged(&mut world);
    world.key_user_until = Some(world.now - SignedDuration::from_secs(DAY));
    let plan = look(&world, &desired);
    assert_eq!(plan.standing(), Standing::Waiting);
    let silent = "the resource logs in logs tell nothing of the use of file that the metric shows";
    assert!(show(&plan).contains(silent), "{}", show(&plan));
    let mut observed = world.observe(&desired);
    observed.key_callers = Reading::unknown("the answer is partial");
    let plan = planned(&desired, &observed, &Limits::default(), Look::Everything);
    assert_eq!(plan.standing(), Standing::Waiting, "they decide nothing");
    let unseen = "who uses the key, by the storage resource logs could not be read, and nothing waits for it";
    assert!(show(&plan).contains(unseen), "{}", show(&plan));
    assert!(!show(&plan).contains(silent), "what could not be read is not missing");
}

#[test]
fn whoever_is_refused_is_named_by_the_rows_of_that_hour() {
    let mut world = World::new();
    let desired = logged(&mut world);
    let at = world.now - SignedDuration::from_secs(3_600);
    world.watch = Some(WatchFrom { at, because: WatchCause::KeyOff });
    world.key = SharedKeyAccess::Disallowed;
    let traffic = Traffic { count: 5, last: Some(start()), grains: BTreeMap::from([(hour(at), 5)]) };
    world.denied = vec![ServiceUse {
        service: Some(StorageService::File),
        api: "Unknown".to_owned(),
        signed: Signed::AccountKey,
        refused: true,
        traffic,
    }];
    let refused = |last: Timestamp, address: &str| {
        let one = caller(StorageService::File, Signed::AccountKey, MadeFrom::Untold, last);
        let outcome = "KeyBasedAuthenticationNotPermitted".to_owned();
        KeyCaller { refused: true, outcome, address: address.to_owned(), ..one }
    };
    let within = hour(at) + SignedDuration::from_secs(120);
    let served = caller(StorageService::File, Signed::AccountKey, MadeFrom::Untold, within);
    world.callers = vec![
        refused(within, "10.1.0.5"),
        refused(hour(at) - SignedDuration::from_secs(1), "10.1.0.6"),
        KeyCaller { address: "10.1.0.7".to_owned(), ..served },
    ];
    let plan = look(&world, &desired);
    let denied = plan.findings.iter().find_map(|finding| match finding {
        plan::Finding::KeyUserDenied(denied) => Some(denied.callers.clone()),
        _ => None,
    });
    let named = format!("10.1.0.5 (nightly-mount/2): file GetFile 7 times, last at {within}");
    assert_eq!(denied, Some(vec![named]), "{}", show(&plan));
    let mut observed = world.observe(&desired);
    observed.key_callers = Reading::NotRead;
    assert!(planned(&desired, &observed, &Limits::default(), Look::WhatMatters).wants.key_callers);
}

#[test]
fn a_key_that_somebody_turned_on_again_is_told_with_what_was_refused_and_which_roles_are_missing() {
    let mut world = World::new();
    let a = world.workspace("fraud-train", ObservedAuthMode::Identity);
    let desired = desired(&[(&a, AuthMode::Identity, vec![need(object(1), catalog::FILE_READER)])]);
    let cause = |plan: &plan::Plan| {
        plan.findings.iter().find_map(|finding| match finding {
            plan::Finding::TurnedOn(turned_on) => Some(turned_on.cause()),
            _ => None,
        })
    };
    assert_eq!(cause(&look(&world, &desired)), None, "nobody saw it off");
    world.back_on = Some(BackOn { watched: world.now - SignedDuration::from_secs(3 * DAY), seen: world.now });
    let role = "lacks Storage File Data Privileged Reader that fraud-train declares";
    let roles_alone = cause(&look(&world, &desired)).unwrap();
    assert!(roles_alone.ends_with(role), "{roles_alone}");
    let at = hour(world.now);
    world.denied = vec![ServiceUse {
        service: Some(StorageService::File),
        api: "GetFile".to_owned(),
        signed: Signed::OAuth,
        refused: true,
        traffic: Traffic { count: 5, last: Some(at), grains: BTreeMap::from([(at, 5)]) },
    }];
    let told = cause(&look(&world, &desired)).unwrap();
    let refused =
        format!("file GetFile with {} was refused 5 times, the last in the hour to {at}", Signed::OAuth.as_str());
    assert!(told.starts_with(&refused) && told.contains("of whom is not told; ") && told.ends_with(role), "{told}");
    // What was served, or refused not once, is behind nothing.
    let refused = world.denied.remove(0);
    world.denied.push(ServiceUse { refused: false, ..refused.clone() });
    world.denied.push(ServiceUse { traffic: Traffic::default(), ..refused });
    assert_eq!(cause(&look(&world, &desired)), Some(roles_alone));
    // Unknown is said to be so, whatever else is known, and asked for where it was not read.
    let mut observed = world.observe(&desired);
    observed.denials = Reading::unknown("503");
    let told = cause(&planned(&desired, &observed, &Limits::default(), Look::WhatMatters)).unwrap();
    assert!(told.ends_with("; what was refused could not be read: 503"), "{told}");
    observed.denials = Reading::NotRead;
    let asking = planned(&desired, &observed, &Limits::default(), Look::WhatMatters);
    assert_eq!((cause(&asking), asking.wants.denials), (None, true));
    // With every role there and nothing refused, nobody knows.
    let need = need(object(1), catalog::FILE_READER);
    world.denied.clear();
    world.assign(person(1), need.role, 3 * DAY);
    let told = cause(&look(&world, &desired)).unwrap();
    let since = world.now - SignedDuration::from_secs(DAY);
    assert!(told.starts_with(&format!("unknown: no request was refused since {since}")), "{told}");
    // What the files ask for is no drift.
    world.key = SharedKeyAccess::Disallowed;
    assert_eq!(cause(&look(&world, &desired)), None);
}
