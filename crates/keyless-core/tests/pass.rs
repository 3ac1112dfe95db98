//! The pass machine: what it reads, when it writes, and that nothing it rests on is older than its plan.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use keyless_core::action::{Action, Grant};
use keyless_core::catalog::{BLOB_CONTRIBUTOR, BLOB_READER};
use keyless_core::desired::*;
use keyless_core::gate::ReadSet;
use keyless_core::id::*;
use keyless_core::observed::*;
use keyless_core::pass::*;
use keyless_core::plan::{Limits, Look};

use crate::world::*;

/// A shell over a world of values; `meddle` runs before the answer to the n-th read.
struct Shell<'a> {
    world: World,
    desired: KeyDesired,
    intent: Intent,
    reads: Vec<(ReadSet, bool)>,
    sent: Vec<Action>,
    took: Duration,
    target_age: Duration,
    revision: Revision,
    sticks: bool,
    /// Whether writes say that they changed something.
    changed: bool,
    /// Whether nothing can be read any more once a write was sent.
    blind_after_write: bool,
    /// When nothing comes back of what is to be read.
    silent: Silent,
    stop_after_write: bool,
    /// What a write is answered with, if it is not done.
    answer: Option<Outcome>,
    meddle: Meddler<'a>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Silent {
    Never,
    Always,
    WhileConfirming,
    AfterWrite,
}

type Meddler<'a> = Box<dyn FnMut(usize, &mut World, &mut Revision) + 'a>;

impl<'a> Shell<'a> {
    fn new(world: &World, desired: &KeyDesired) -> Self {
        Self {
            world: world.clone(),
            desired: desired.clone(),
            intent: Intent::Converge,
            reads: Vec::new(),
            sent: Vec::new(),
            took: Duration::ZERO,
            target_age: Duration::ZERO,
            revision: desired.revision.clone(),
            sticks: true,
            changed: true,
            blind_after_write: false,
            silent: Silent::Never,
            stop_after_write: false,
            answer: None,
            meddle: Box::new(|_, _, _| {}),
        }
    }

    fn meddle(mut self, meddle: impl FnMut(usize, &mut World, &mut Revision) + 'a) -> Self {
        self.meddle = Box::new(meddle);
        self
    }

    /// Only what was asked for is brought.
    fn part(&self, reads: &ReadSet) -> Observed {
        let mut full = self.world.observe(&self.desired);
        let mut left = Observed::unread(account_id(), full.now);
        left.history = full.history.clone();
        if reads.account {
            left.account = full.account.clone();
        }
        if reads.listings {
            left.listings = full.listings.clone();
        }
        for (id, entry) in std::mem::take(&mut full.workspaces) {
            let known = left.workspaces.entry(id.clone()).or_insert_with(ObservedWorkspace::unread);
            if reads.workspaces.contains(&id) {
                known.workspace = entry.workspace;
            }
            if reads.datastores.contains(&id) {
                known.datastores = entry.datastores;
            }
            if reads.computes.contains(&id) || reads.computes_lately.contains(&id) {
                known.computes = entry.computes;
            }
            if reads.jobs.contains(&id) {
                known.jobs = entry.jobs;
            }
            if reads.glimpses.contains(&id) {
                known.glimpse = entry.glimpse;
            }
        }
        if reads.elsewhere {
            left.elsewhere = full.elsewhere;
        }
        if reads.assignments {
            left.assignments = full.assignments;
            left.roles = full.roles;
        }
        for id in &reads.assignments_by_id {
            let found = self.world.assignments.iter().find(|assignment| assignment.id == *id).cloned();
            left.assignments_by_id.insert(id.clone(), Reading::known(found, full.now));
        }
        for id in &reads.access_at {
            if let Some(access) = full.access_at.remove(id) {
                left.access_at.insert(id.clone(), access);
            }
        }
        for id in &reads.groups {
            let found = full.groups.get(id).cloned().unwrap_or_else(|| Reading::known(BTreeSet::new(), full.now));
            left.groups.insert(*id, found);
        }
        if reads.denies || reads.denies_lately {
            left.denies = full.denies;
        }
        if reads.locks {
            left.locks = full.locks;
        }
        let BarrierReads { locks, denies, policies, rights, assignment_counts, tenants } = &*reads.barriers;
        let all = full.barriers;
        left.barriers.locks = all.locks.into_iter().filter(|(scope, _)| locks.contains(scope)).collect();
        left.barriers.denies = all.denies.into_iter().filter(|(scope, _)| denies.contains(scope)).collect();
        left.barriers.policies = all.policies.into_iter().filter(|(scope, _)| policies.contains(scope)).collect();
        left.barriers.rights = all.rights.into_iter().filter(|(scope, _)| rights.contains(scope)).collect();
        let counts = all.assignment_counts.into_iter();
        left.barriers.assignment_counts = counts.filter(|(id, _)| assignment_counts.contains(id)).collect();
        left.barriers.tenants = all.tenants.into_iter().filter(|(id, _)| tenants.contains(id)).collect();
        if reads.endpoints {
            left.endpoints = full.endpoints;
        }
        if reads.key_usage {
            left.key_usage = full.key_usage;
        }
        if reads.key_details {
            left.key_details = full.key_details;
        }
        if reads.denials {
            left.denials = full.denials;
        }
        left
    }

    fn run(&mut self) -> Report {
        let job = Job {
            desired: self.desired.clone(),
            limits: Limits::default(),
            intent: self.intent,
            look: Look::WhatMatters,
        };
        let observed = Observed::unread(account_id(), self.world.now);
        let (mut state, mut effect) = step(State::new(job, observed), Event::Begin);
        for _ in 0..40 {
            let event = match effect {
                Effect::Read { .. } if self.stop_after_write && !self.sent.is_empty() => Event::Stop,
                Effect::Read { reads, confirming } => {
                    let (reads, none) = (*reads, ReadSet::default());
                    (self.meddle)(self.reads.len(), &mut self.world, &mut self.revision);
                    let is_silent = match self.silent {
                        Silent::Never => false,
                        Silent::Always => true,
                        Silent::WhileConfirming => confirming.is_some(),
                        Silent::AfterWrite => !self.sent.is_empty(),
                    };
                    let mut part = Box::new(self.part(if is_silent { &none } else { &reads }));
                    if self.blind_after_write && !self.sent.is_empty() {
                        let why = "no answer";
                        part.account = Reading::unknown(why);
                        part.assignments_by_id.values_mut().for_each(|reading| *reading = Reading::unknown(why));
                        part.workspaces.values_mut().for_each(|entry| entry.workspace = Reading::unknown(why));
                    }
                    self.reads.push((reads, confirming.is_some()));
                    let (took, target_age) = (self.took, self.target_age);
                    Event::Read { part, took, target_age, revision: self.revision.clone() }
                }
                Effect::Unmark => Event::Unmarked(Ok(())),
                Effect::Send(action) => {
                    if self.sticks {
                        self.world.apply(&action);
                    }
                    self.sent.push(action);
                    let done = Outcome::Done { changed: self.changed, request_id: Some("r".to_owned()) };
                    Event::Sent(self.answer.clone().unwrap_or(done))
                }
                Effect::Finish(report) => return *report,
            };
            (state, effect) = step(state, event);
        }
        panic!("a pass without end");
    }
}

fn grant_world() -> (World, KeyDesired, WorkspaceId) {
    let mut world = World::new();
    let a = world.workspace("fraud-train", ObservedAuthMode::AccessKey);
    let wanted = desired(&[(&a, AuthMode::Identity, vec![need(object(1), BLOB_CONTRIBUTOR)])]);
    (world, wanted, a)
}

#[test]
fn a_stop_before_the_read_back_does_not_claim_that_the_change_is_there() {
    let (world, wanted, _) = switch_world();
    let mut shell = Shell::new(&world, &wanted);
    shell.stop_after_write = true;
    let report = shell.run();
    assert_eq!(report.ended, Ended::Stopped);
    assert!(!report.is_unsettled(), "Azure accepted it, so nothing may still land");
    assert!(matches!(report.write.unwrap().result, WriteResult::NotReadBack { .. }));
}

/// A world in which the switch of the mode is next.
fn switch_world() -> (World, KeyDesired, WorkspaceId) {
    let (mut world, wanted, a) = grant_world();
    world.assign(person(1), BLOB_CONTRIBUTOR, DAY);
    (world, wanted, a)
}

/// A world in which turning the key off is next.
fn key_world() -> (World, KeyDesired, WorkspaceId) {
    let (mut world, wanted, a) = switch_world();
    world.workspaces.get_mut(&a).unwrap().mode = ObservedAuthMode::Identity;
    (world, wanted, a)
}

#[test]
fn a_pass_sends_one_write_behind_reads_made_after_its_plan() {
    let (world, wanted, a) = key_world();
    let mut shell = Shell::new(&world, &wanted);
    let report = shell.run();
    assert_eq!(shell.sent.len(), 1);
    let (confirming, _) = shell.reads.iter().find(|(_, confirming)| *confirming).expect("reads confirm");
    assert!(confirming.account && confirming.listings && confirming.key_usage && confirming.locks);
    assert!(confirming.elsewhere);
    assert!(confirming.workspaces.contains(&a) && confirming.datastores.contains(&a));
    assert!(matches!(report.write.as_ref().unwrap().result, WriteResult::Applied { changed: true, .. }));
    assert_eq!(report.requeue(), Requeue::Now);
    // The value is read back.
    assert!(shell.reads.last().unwrap().0.account);
}

#[test]
fn passes_follow_each_other_to_the_fixed_point_and_then_write_nothing() {
    let (mut world, wanted, _) = grant_world();
    let mut kinds = Vec::new();
    for _ in 0..30 {
        let mut shell = Shell::new(&world, &wanted);
        let report = shell.run();
        kinds.extend(shell.sent.iter().map(Action::kind));
        world = shell.world;
        match report.requeue() {
            Requeue::After(wait) => world.advance(world.now + jiff::SignedDuration::try_from(wait).unwrap()),
            Requeue::Now | Requeue::Interval => {}
            Requeue::Backoff => panic!("{report:?}"),
        }
    }
    assert_eq!(kinds, ["GrantRole", "SetAuthMode", "SetSharedKeyAccess"]);
}

#[test]
fn a_converged_pass_reads_only_what_tells_drift() {
    let (mut world, wanted, a) = key_world();
    world.key = SharedKeyAccess::Disallowed;
    let mut shell = Shell::new(&world, &wanted);
    let report = shell.run();
    assert_eq!(report.requeue(), Requeue::Interval);
    let only = ReadSet {
        account: true,
        assignments: true,
        endpoints: true,
        denies_lately: true,
        workspaces: [a.clone()].into(),
        computes_lately: [a.clone()].into(),
        ..ReadSet::default()
    };
    // Whether that list of endpoints is whole.
    let mut then = ReadSet::default();
    then.barriers.rights.insert(a.arm().clone());
    assert_eq!(shell.reads, [(only, false), (then, false)]);
}

#[test]
fn what_changes_between_plan_and_confirming_read_stops_the_write() {
    fn everyone((name, action): (&str, &str)) -> DenyAssignment {
        DenyAssignment {
            name: name.to_owned(),
            scope: account_id().group(),
            permissions: vec![Permission { actions: vec![action.to_owned()], ..Permission::default() }],
            exact_scope_only: false,
            principals: vec![DeniedPrincipal::Everyone],
            excluded: BTreeSet::new(),
            conditional: false,
        }
    }
    type Make = fn() -> (World, KeyDesired, WorkspaceId);
    type Meddle = fn(&mut World, &WorkspaceId);
    let cases: [(&str, Make, Meddle); 18] = [
        ("the key is used", key_world, |w, _| w.key_user_until = Some(w.now)),
        ("a workspace goes back", key_world, |w, a| {
            w.workspaces.get_mut(a).unwrap().mode = ObservedAuthMode::AccessKey
        }),
        ("a workspace appears", key_world, |w, _| {
            w.workspace("late", ObservedAuthMode::AccessKey);
        }),
        ("the grant goes", switch_world, |w, _| w.assignments.retain(|a| a.principal != person(1))),
        ("the grant is made anew", switch_world, |w, _| {
            w.assignments.retain(|a| a.principal != person(1));
            w.assign(person(1), BLOB_CONTRIBUTOR, 5);
        }),
        ("somebody else grants it", grant_world, |w, _| {
            w.assign(person(1), BLOB_CONTRIBUTOR, 5);
        }),
        ("a policy comes to refuse it", key_world, |w, _| w.barriers.policies.push(bar(ACCOUNT_FLAG, "false"))),
        ("a policy comes to bar the way back", key_world, |w, _| {
            w.barriers.policies.push(bar(ACCOUNT_FLAG, "true"));
        }),
        ("a policy comes to refuse the mode", switch_world, |w, _| w.barriers.policies.push(bar(MODE, "identity"))),
        ("a policy comes to bar the way back to keys", switch_world, |w, _| {
            w.barriers.policies.push(bar(MODE, "accesskey"));
        }),
        ("a right is taken away", switch_world, |w, _| {
            w.barriers.no_right = BTreeSet::from(["Microsoft.MachineLearningServices/workspaces/*"]);
        }),
        ("the workspace is locked", switch_world, |w, _| w.barriers.workspaces_locked = true),
        ("the account is locked", key_world, |w, _| {
            let scope = account_id().arm().clone();
            let id = ArmId::parse(&format!("{scope}/providers/Microsoft.Authorization/locks/late")).unwrap();
            w.locks.push(Lock { id, scope, level: LockLevel::ReadOnly });
        }),
        ("the switch is denied to everyone", switch_world, |w, _| w.denies.push(everyone(DENIALS[3]))),
        ("the grant is denied to everyone", grant_world, |w, _| w.denies.push(everyone(DENIALS[0]))),
        ("turning the key off is denied to everyone", key_world, |w, _| w.denies.push(everyone(DENIALS[2]))),
        ("what the person needs is denied", switch_world, |w, _| {
            let data = Permission { data_actions: vec!["*".to_owned()], ..Permission::default() };
            w.denies.push(DenyAssignment { permissions: vec![data], ..everyone(("stack", "")) });
        }),
        ("the subscription fills up", grant_world, |w, _| w.barriers.other_assignments = 3_999),
    ];
    for (what, make, meddle) in cases {
        let (world, wanted, a) = make();
        let mut calm = Shell::new(&world, &wanted);
        let _ = calm.run();
        assert_eq!(calm.sent.len(), 1, "{what}: without it the write is sent");
        let confirming = calm.reads.iter().position(|(_, confirming)| *confirming).unwrap();
        let mut shell = Shell::new(&world, &wanted).meddle(|n, world, _| {
            if n == confirming {
                meddle(world, &a);
            }
        });
        let report = shell.run();
        assert!(shell.sent.is_empty(), "{what}: {:?} was sent", shell.sent);
        assert!(matches!(report.ended, Ended::Raced { .. }), "{what}: {:?}", report.ended);
    }
}

#[test]
fn a_new_revision_or_slow_reads_stop_the_write() {
    let (world, wanted, _) = key_world();
    let mut shell = Shell::new(&world, &wanted).meddle(|_, _, revision| *revision = Revision("r2".to_owned()));
    assert!(matches!(shell.run().ended, Ended::Raced { .. }));
    assert!(shell.sent.is_empty());
    for (took, target_age) in [(CONFIRM_WITHIN * 2, Duration::ZERO), (SEND_WITHIN, SEND_WITHIN * 2)] {
        let mut shell = Shell::new(&world, &wanted);
        (shell.took, shell.target_age) = (took, target_age);
        assert!(matches!(shell.run().ended, Ended::Raced { .. }));
        assert!(shell.sent.is_empty());
    }
    let mut shell = Shell::new(&world, &wanted);
    (shell.took, shell.target_age) = (CONFIRM_WITHIN, SEND_WITHIN);
    assert_eq!(shell.run().ended, Ended::Wrote, "just in time");
}

#[test]
fn what_the_confirming_reads_do_not_bring_is_not_known_any_more() {
    for make in [grant_world, switch_world, key_world] {
        let (world, wanted, _) = make();
        let mut shell = Shell::new(&world, &wanted);
        shell.silent = Silent::WhileConfirming;
        assert!(matches!(shell.run().ended, Ended::Raced { .. }));
        assert!(shell.sent.is_empty());
    }
}

#[test]
fn a_pass_goes_back_eight_times_for_reads_that_bring_nothing() {
    let (world, wanted, _) = grant_world();
    let mut shell = Shell::new(&world, &wanted);
    shell.silent = Silent::Always;
    let report = shell.run();
    assert_eq!((report.ended, shell.reads.len()), (Ended::Planned, 1 + 8));
    assert!(!report.plan.wants.is_empty());
}

#[cfg(feature = "ablate")]
#[test]
fn nothing_is_sent_of_a_plan_that_its_second_judge_rejects() {
    use keyless_core::ablate::{Ablation, without};
    use keyless_core::gate::Gate;

    let (mut world, wanted, _) = key_world();
    world.key_user_until = Some(world.now);
    let mut shell = Shell::new(&world, &wanted);
    let report = without(&BTreeSet::from([Ablation::Gate(Gate::KeyIdle)]), || shell.run());
    assert!(matches!(report.ended, Ended::Rejected { .. }), "{:?}", report.ended);
    assert_eq!(report.requeue(), Requeue::Backoff);
    assert!(shell.sent.is_empty());
}

#[test]
fn the_answer_to_a_write_tells_when_the_next_pass_is_due_and_whether_it_may_still_land() {
    let wait = Duration::from_secs(7);
    let refused = |by, retry_after| {
        let (cause, message) = (Cause::default(), String::new());
        Outcome::Refused(Refused { by, cause, code: None, status: None, message, request_id: None, retry_after })
    };
    let why = || ("no answer".to_owned(), Cause::default());
    for (answer, requeue, is_unsettled) in [
        (refused(RefusedBy::Time, Some(wait)), Requeue::After(wait), false),
        (refused(RefusedBy::Time, None), Requeue::Backoff, false),
        (refused(RefusedBy::Person, Some(wait)), Requeue::Interval, false),
        (Outcome::NotSent { why: why().0, cause: why().1 }, Requeue::Backoff, false),
        (Outcome::Unknown { why: why().0, cause: why().1, request_id: None }, Requeue::Backoff, true),
    ] {
        let (world, wanted, _) = key_world();
        let mut shell = Shell::new(&world, &wanted);
        shell.answer = Some(answer.clone());
        let report = shell.run();
        assert_eq!((report.requeue(), report.is_unsettled()), (requeue, is_unsettled), "{answer:?}");
    }
}

#[test]
fn a_grant_waits_for_a_long_list_of_assignments_and_not_for_ever() {
    let (world, wanted, _) = grant_world();
    for (age, sent) in [(CONFIRM_WITHIN, 1), (CONFIRM_WITHIN * 2, 0)] {
        let mut shell = Shell::new(&world, &wanted);
        shell.target_age = age;
        let _ = shell.run();
        assert_eq!(shell.sent.len(), sent, "{age:?}");
    }
}

#[test]
fn a_pass_without_the_word_to_write_only_plans() {
    let (world, wanted, _) = grant_world();
    let mut shell = Shell::new(&world, &wanted);
    shell.intent = Intent::Plan;
    let report = shell.run();
    assert!(shell.sent.is_empty());
    assert_eq!(report.ended, Ended::Planned);
    assert!(report.plan.next().is_some());
}

#[test]
fn a_write_that_does_not_stick_is_told() {
    let (world, wanted, _) = key_world();
    let mut shell = Shell::new(&world, &wanted);
    shell.sticks = false;
    let report = shell.run();
    assert!(matches!(report.write.as_ref().unwrap().result, WriteResult::DidNotStick { .. }));
    assert_eq!(report.requeue(), Requeue::Backoff);
}

#[test]
fn a_grant_is_read_back_with_who_what_where_and_on_which_condition() {
    type Meddle = fn(&mut RoleAssignment);
    let cases: [(&str, Meddle); 4] = [
        ("another principal", |found| found.principal = person(9)),
        ("another role", |found| found.role = owner_role()),
        ("another scope", |found| found.scope = ArmId::parse("/").unwrap()),
        ("a condition", |found| found.condition = Some("@Resource[x] StringEquals 'y'".to_owned())),
    ];
    let result = |meddle: Option<Meddle>| {
        let (world, wanted, _) = grant_world();
        let mut calm = Shell::new(&world, &wanted);
        let _ = calm.run();
        let last = calm.reads.len() - 1;
        assert_eq!(calm.reads[last].0.assignments_by_id.len(), 1);
        let mut shell = Shell::new(&world, &wanted).meddle(move |n, world, _| {
            if n == last {
                let found = world.assignments.last_mut().unwrap();
                if let Some(meddle) = meddle {
                    meddle(found);
                }
            }
        });
        shell.run().write.unwrap().result
    };
    assert!(matches!(result(None), WriteResult::Applied { changed: true, .. }));
    for (what, meddle) in cases {
        assert!(matches!(result(Some(meddle)), WriteResult::DidNotStick { .. }), "{what}");
    }
}

#[test]
fn a_grant_or_a_revoke_that_did_not_happen_is_told() {
    let (world, wanted, _) = grant_world();
    let mut shell = Shell::new(&world, &wanted);
    shell.sticks = false;
    assert!(matches!(shell.run().write.unwrap().result, WriteResult::DidNotStick { .. }));
    // Unless it stands there under another name.
    let mut shell = Shell::new(&world, &wanted);
    (shell.sticks, shell.changed) = (false, false);
    assert!(matches!(shell.run().write.unwrap().result, WriteResult::Applied { changed: false, .. }));

    let (mut world, mut wanted, _) = key_world();
    world.key = SharedKeyAccess::Disallowed;
    let grant =
        Grant::new(&wanted.fleet.owner, account_id().arm().clone(), person(7), PrincipalType::User, BLOB_CONTRIBUTOR);
    world.apply(&Action::GrantRole(grant));
    world.assignments.last_mut().unwrap().description = Some(Grant::description(&wanted.fleet.owner));
    wanted.fleet.prune = true;
    let mut shell = Shell::new(&world, &wanted);
    assert!(matches!(shell.run().write.unwrap().result, WriteResult::Applied { changed: true, .. }));
    assert!(matches!(shell.sent[0], Action::RevokeRole { .. }));
    let mut shell = Shell::new(&world, &wanted);
    shell.sticks = false;
    assert!(matches!(shell.run().write.unwrap().result, WriteResult::DidNotStick { .. }));
}

#[test]
fn a_read_back_that_fails_is_neither_done_nor_undone() {
    for make in [grant_world, switch_world, key_world] {
        let (world, wanted, _) = make();
        let mut shell = Shell::new(&world, &wanted);
        shell.blind_after_write = true;
        assert!(matches!(shell.run().write.unwrap().result, WriteResult::NotReadBack { .. }));
        let mut shell = Shell::new(&world, &wanted);
        shell.silent = Silent::AfterWrite;
        let result = shell.run().write.unwrap().result;
        assert!(matches!(&result, WriteResult::NotReadBack { why, .. } if why == "not read"), "{result:?}");
    }
}

/// What becomes of the next write, of this kind, where this happens between it and its read back.
fn read_back(world: &World, wanted: &KeyDesired, kind: &str, meddle: impl Fn(&mut World)) -> WriteResult {
    let mut calm = Shell::new(world, wanted);
    let _ = calm.run();
    assert_eq!(calm.sent.iter().map(Action::kind).collect::<Vec<_>>(), [kind]);
    let last = calm.reads.len() - 1;
    let mut shell = Shell::new(world, wanted).meddle(|n, world, _| {
        if n == last {
            meddle(world);
        }
    });
    shell.run().write.unwrap().result
}

#[test]
fn a_datastore_is_read_back_with_what_it_stores_and_a_new_one_with_kind_and_account_too() {
    type Meddle = fn(&mut Datastore);
    let cases: [(&str, Meddle, [bool; 2]); 5] = [
        ("nothing", |_| {}, [true, true]),
        ("the account in capitals", |found| found.account_name = Some("STML".to_owned()), [true, true]),
        ("a key", |found| found.credentials = DatastoreCredentials::AccountKey, [false, false]),
        ("another kind", |found| found.form.kind = "AzureFile".to_owned(), [true, false]),
        ("another account", |found| found.account_name = Some("stother".to_owned()), [true, false]),
    ];
    let (mut world, mut wanted, a) = key_world();
    world.assign(person(1), BLOB_READER, DAY);
    let declared = wanted.workspaces.get_mut(&a).unwrap();
    declared.accept_one_way = accepted();
    declared.datastores = DesiredDatastores::ConvertAll;
    let mut converted = world.clone();
    converted.workspaces.get_mut(&a).unwrap().datastores = vec![stored("raw", DatastoreCredentials::AccountKey)];
    let mut made = wanted.clone();
    let listed = BTreeMap::from([("curated".to_owned(), described("curated"))]);
    made.workspaces.get_mut(&a).unwrap().datastores = DesiredDatastores::Listed(listed);
    for (what, meddle, sticks) in cases {
        for ((world, wanted, kind), sticks) in [
            (&converted, &wanted, "SetDatastoreCredential"), //
            (&world, &made, "CreateDatastore"),
        ]
        .into_iter()
        .zip(sticks)
        {
            let result = read_back(world, wanted, kind, |world| {
                meddle(world.workspaces.get_mut(&a).unwrap().datastores.last_mut().unwrap());
            });
            let expected = if sticks {
                matches!(result, WriteResult::Applied { .. })
            } else {
                matches!(result, WriteResult::DidNotStick { .. })
            };
            assert!(expected, "{kind}, {what}: {result:?}");
        }
    }
}

#[test]
fn a_new_workspace_is_read_back_with_its_mode() {
    let mut world = World::new();
    world.key = SharedKeyAccess::Disallowed;
    let a = workspace_id("fraud-train");
    let mut wanted = desired(&[(&a, AuthMode::Identity, vec![])]);
    let parts = Parts { key_vault: account_id().arm().clone(), application_insights: None, container_registry: None };
    wanted.workspaces.get_mut(&a).unwrap().create = Some(Create {
        location: "westeurope".to_owned(),
        kind: CreateKind::Default(parts),
        friendly_name: None,
        storage_account: account_id(),
        public_network_access: true,
        isolation: Isolation::Disabled,
    });
    let result = |mode: ObservedAuthMode| {
        read_back(&world, &wanted, "CreateWorkspace", |world| {
            world.workspaces.get_mut(&a).unwrap().mode = mode.clone();
        })
    };
    assert!(matches!(result(ObservedAuthMode::Identity), WriteResult::Applied { changed: true, .. }));
    assert!(matches!(result(ObservedAuthMode::AccessKey), WriteResult::DidNotStick { .. }));
}

#[test]
fn an_event_out_of_place_ends_the_pass_without_a_write() {
    let (world, wanted, _) = grant_world();
    let job = || Job {
        desired: wanted.clone(),
        limits: Limits::default(),
        intent: Intent::Converge,
        look: Look::WhatMatters,
    };
    let events = || {
        vec![
            Event::Stop,
            Event::Unmarked(Ok(())),
            Event::Sent(Outcome::NotSent { why: String::new(), cause: Cause::default() }),
            Event::Read {
                part: Box::new(world.observe(&wanted)),
                took: Duration::ZERO,
                target_age: Duration::ZERO,
                revision: wanted.revision.clone(),
            },
        ]
    };
    for event in events() {
        let (_, effect) = step(State::new(job(), Observed::unread(account_id(), world.now)), event);
        assert!(matches!(effect, Effect::Finish(_)), "{effect:?}");
    }
    for event in events().into_iter().take(3) {
        let (state, _) = step(State::new(job(), Observed::unread(account_id(), world.now)), Event::Begin);
        let (_, effect) = step(state, event);
        assert!(matches!(effect, Effect::Finish(_)), "{effect:?}");
    }
}
