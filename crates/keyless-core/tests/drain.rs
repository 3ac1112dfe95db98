//! What runs in a workspace holds its switch to identity alone, or is told where the files do not wait for it.

use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp};
use keyless_core::action::Action;
use keyless_core::catalog::BLOB_CONTRIBUTOR;
use keyless_core::desired::*;
use keyless_core::gate::{Gate, GateState, ReadSet};
use keyless_core::id::WorkspaceId;
use keyless_core::lint::lint;
use keyless_core::observed::*;
use keyless_core::plan::{self, Finding, Limits, Look, Plan, Standing, Step};

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

fn alpha(world: &mut World) -> &mut Truth {
    world.workspaces.get_mut(&workspace_id("alpha")).unwrap()
}

fn later(world: &World, seconds: i64) -> Option<Timestamp> {
    Some(world.now + SignedDuration::from_secs(seconds))
}

fn switch_of<'a>(plan: &'a Plan, name: &str) -> &'a Step {
    let id = workspace_id(name);
    let is = |step: &&Step| matches!(&step.action, Action::SetAuthMode { workspace, .. } if *workspace == id);
    plan.steps.iter().find(is).expect("the switch is planned")
}

/// How the gate of `alpha`'s switch stands: why and what lifts it, if it is unmet.
fn unmet(plan: &Plan) -> Option<(String, String)> {
    let checks = &switch_of(plan, "alpha").gates;
    let check = checks.iter().find(|check| check.gate == Gate::Drained).expect("it is looked at");
    match &check.state {
        GateState::Unmet { why, lift } => Some((why.clone(), lift.clone())),
        GateState::Open => None,
        state => panic!("{state:?}"),
    }
}

fn kinds(taken: &[Action]) -> Vec<&'static str> {
    taken.iter().map(Action::kind).collect()
}

#[test]
fn a_running_job_is_named_before_anything_is_written_and_holds_that_switch_until_its_end() {
    let (mut world, wanted) = case();
    let ends = later(&world, DAY);
    alpha(&mut world).jobs.push((job("train-a", "Running"), ends));
    let (why, lift) = unmet(&look(&world, &wanted)).expect("the job runs");
    assert_eq!(why, "still at work: job train-a (Command, Running)");
    assert_eq!(lift, "their end, or `drain: ignore` in the document");
    let mut switched = Vec::new();
    let taken = converge(&mut world, &wanted, |world, action| {
        if let Action::SetAuthMode { workspace, .. } = action {
            switched.push((workspace.name().to_owned(), world.now));
        }
    });
    assert_eq!(kinds(&taken), ["GrantRole", "GrantRole", "SetAuthMode", "SetAuthMode", "SetSharedKeyAccess"]);
    assert_eq!(switched[0].0, "bravo", "the other workspace does not wait");
    assert!(switched[0].1 < ends.unwrap());
    assert_eq!(switched[1], ("alpha".to_owned(), ends.unwrap()));
}

#[test]
fn only_what_is_known_to_be_over_is_over() {
    for (status, over) in [
        ("Completed", true),
        ("failed", true),
        ("Canceled", true),
        ("CancelRequested", false),
        ("Finalizing", false),
        ("NotResponding", false),
        ("NotStarted", false),
        ("Paused", false),
        ("Queued", false),
        ("Unknown", false),
        ("Hibernating", false),
        ("", false),
    ] {
        let (mut world, wanted) = case();
        alpha(&mut world).jobs.push((job("j", status), None));
        assert_eq!(unmet(&look(&world, &wanted)).is_none(), over, "{status}");
    }
    for (state, down) in [
        (Some("stopped"), true),
        (Some("CreateFailed"), true),
        (Some("Running"), false),
        (Some("JobRunning"), false),
        (Some("Stopping"), false),
        (Some("Starting"), false),
        (Some("Unusable"), false),
        (Some("Brandnew"), false),
        (None, false),
    ] {
        let (mut world, wanted) = case();
        alpha(&mut world).computes.push(instance("dev", state));
        assert_eq!(unmet(&look(&world, &wanted)).is_none(), down, "{state:?}");
    }
    let (mut world, wanted) = case();
    let cluster = Compute { compute_type: "AmlCompute".to_owned(), ..instance("cpu", Some("Running")) };
    alpha(&mut world).computes.push(cluster);
    assert_eq!(unmet(&look(&world, &wanted)), None, "what runs on a cluster is a job");
}

#[test]
fn an_instance_that_runs_for_ever_holds_and_how_to_go_on_is_told() {
    let (mut world, wanted) = case();
    alpha(&mut world).computes.push(instance("dev", Some("Running")));
    for n in 0..6 {
        alpha(&mut world).jobs.push((job(&format!("j{n}"), "Queued"), None));
    }
    let taken = converge(&mut world, &wanted, |_, _| {});
    assert_eq!(kinds(&taken), ["GrantRole", "GrantRole", "SetAuthMode"]);
    let held = look(&world, &wanted);
    assert_eq!(held.standing(), Standing::Blocked);
    let (why, lift) = unmet(&held).unwrap();
    assert!(why.contains("job j0 (Command, Queued)") && why.ends_with("and 2 more"), "{why}");
    assert!(lift.contains("stopped for the switch"), "{lift}");
    alpha(&mut world).jobs.clear();
    alpha(&mut world).computes = vec![instance("dev", Some("Stopped"))];
    assert_eq!(kinds(&converge(&mut world, &wanted, |_, _| {})), ["SetAuthMode", "SetSharedKeyAccess"]);
}

fn ignoring(mut wanted: KeyDesired) -> KeyDesired {
    wanted.workspaces.get_mut(&workspace_id("alpha")).unwrap().drain = Drain::Ignore;
    wanted
}

fn told(plan: &Plan) -> Vec<(WorkspaceId, String)> {
    let running = |finding: &Finding| match finding {
        Finding::Running { workspace, what } => Some((workspace.clone(), what.clone())),
        _ => None,
    };
    plan.findings.iter().filter_map(running).collect()
}

#[test]
fn a_switch_that_does_not_wait_is_made_at_once_and_tells_what_it_is_made_under() {
    let (mut world, wanted) = case();
    let wanted = ignoring(wanted);
    alpha(&mut world).jobs.push((job("train-a", "Running"), None));
    alpha(&mut world).jobs.push((job("old", "Completed"), None));
    alpha(&mut world).computes.push(instance("dev", Some("Running")));
    let plan = look(&world, &wanted);
    let what = "job train-a (Command, Running), instance dev (Running)".to_owned();
    assert_eq!(told(&plan), [(workspace_id("alpha"), what)]);
    assert!(switch_of(&plan, "alpha").gates.iter().all(|check| check.gate != Gate::Drained));
    let taken = converge(&mut world, &wanted, |_, _| {});
    assert_eq!(kinds(&taken), ["GrantRole", "GrantRole", "SetAuthMode", "SetAuthMode", "SetSharedKeyAccess"]);
    assert_eq!(told(&look(&world, &wanted)), [], "it was told before the switch, not after it");
}

/// What a plan of an observation without this workspace's jobs asks to be read of jobs.
fn wanted_jobs(wanted: &KeyDesired, observed: &Observed, look: Look) -> BTreeSet<WorkspaceId> {
    planned(wanted, observed, &Limits::default(), look).wants.jobs
}

fn unread(observed: &mut Observed, jobs: &Reading<Vec<ObservedJob>>) {
    observed.workspaces.values_mut().for_each(|entry| {
        entry.jobs = Reading::NotRead;
        entry.glimpse = jobs.clone();
    });
}

/// How the gate of `alpha`'s switch stands.
fn gate(plan: &Plan) -> GateState {
    let checks = &switch_of(plan, "alpha").gates;
    checks.iter().find(|check| check.gate == Gate::Drained).expect("it is there").state.clone()
}

#[test]
fn while_grants_are_missing_a_plan_for_people_reads_one_page_of_jobs_and_names_what_it_shows() {
    let (mut world, mut wanted) = case();
    let both = BTreeSet::from([workspace_id("alpha"), workspace_id("bravo")]);
    let planned =
        |wanted: &KeyDesired, observed: &Observed, look| plan::plan(wanted, observed, &Limits::default(), look);
    let mut observed = world.observe(&wanted);
    unread(&mut observed, &Reading::NotRead);
    for drain in [Drain::Wait, Drain::Ignore] {
        wanted.workspaces.values_mut().for_each(|workspace| workspace.drain = drain);
        let wants = planned(&wanted, &observed, Look::Everything).wants;
        assert_eq!((wants.jobs, wants.glimpses), (BTreeSet::new(), both.clone()), "{drain:?}");
        let wants = planned(&wanted, &observed, Look::WhatMatters).wants;
        assert_eq!((wants.jobs, wants.glimpses), (BTreeSet::new(), BTreeSet::new()), "{drain:?}: a daemon waits");
    }
    let now = world.now;
    unread(&mut observed, &Reading::known(vec![job("train-a", "Running")], now));
    let under = planned(&wanted, &observed, Look::Everything);
    let what = "job train-a (Command, Running); one page of the jobs was read, so there may be more";
    assert!(told(&under).contains(&(workspace_id("alpha"), what.to_owned())), "{:?}", told(&under));
    wanted.workspaces.values_mut().for_each(|workspace| workspace.drain = Drain::Wait);
    let (why, _) = unmet(&planned(&wanted, &observed, Look::Everything)).expect("it runs");
    assert_eq!(why, format!("still at work: {what}"));
    unread(&mut observed, &Reading::known(vec![job("train-a", "Completed")], now));
    assert_eq!(gate(&planned(&wanted, &observed, Look::Everything)), GateState::NotLooked, "a page is no history");

    world.assign(person(1), BLOB_CONTRIBUTOR, DAY);
    world.assign(person(2), BLOB_CONTRIBUTOR, DAY);
    let mut observed = world.observe(&wanted);
    unread(&mut observed, &Reading::known(Vec::new(), now));
    let ready = planned(&wanted, &observed, Look::Everything);
    assert_eq!((ready.wants.jobs.clone(), gate(&ready)), (both, GateState::NotLooked), "nor does a page ever open it");
}

#[test]
fn all_jobs_are_read_last_and_again_before_the_write_and_never_for_a_switch_that_does_not_wait() {
    let (mut world, wanted) = case();
    let both = BTreeSet::from([workspace_id("alpha"), workspace_id("bravo")]);
    let mut observed = world.observe(&wanted);
    unread(&mut observed, &Reading::NotRead);
    assert_eq!(wanted_jobs(&wanted, &observed, Look::WhatMatters), BTreeSet::new(), "the grants are not there");
    assert_eq!(wanted_jobs(&wanted, &observed, Look::Everything), BTreeSet::new(), "nor for people");
    world.assign(person(1), BLOB_CONTRIBUTOR, DAY);
    world.assign(person(2), BLOB_CONTRIBUTOR, DAY);
    let mut observed = world.observe(&wanted);
    let plan = planned(&wanted, &observed, &Limits::default(), Look::WhatMatters);
    let confirmed = |plan: &Plan, wanted: &KeyDesired| {
        plan::confirm_reads(switch_of(plan, "alpha"), wanted, &observed).jobs //
    };
    assert_eq!(confirmed(&plan, &wanted), BTreeSet::from([workspace_id("alpha")]));
    let not_waiting = ignoring(wanted.clone());
    let plan = planned(&not_waiting, &observed, &Limits::default(), Look::WhatMatters);
    assert_eq!(confirmed(&plan, &not_waiting), BTreeSet::new());
    unread(&mut observed, &Reading::NotRead);
    assert_eq!(wanted_jobs(&wanted, &observed, Look::WhatMatters), both);
    let bravo = BTreeSet::from([workspace_id("bravo")]);
    assert_eq!(wanted_jobs(&not_waiting, &observed, Look::WhatMatters), bravo);
    let reads = ReadSet { jobs: both.clone(), ..ReadSet::default() };
    let mut again = world.observe(&wanted);
    again.forget(&reads);
    assert_eq!(wanted_jobs(&wanted, &again, Look::WhatMatters), both, "what is forgotten is asked for again");
}

#[test]
fn computes_that_nobody_read_are_not_no_computes() {
    let (mut world, wanted) = case();
    world.assign(person(1), BLOB_CONTRIBUTOR, DAY);
    world.assign(person(2), BLOB_CONTRIBUTOR, DAY);
    let mut observed = world.observe(&wanted);
    assert_eq!(gate(&planned(&wanted, &observed, &Limits::default(), Look::Everything)), GateState::Open);
    observed.workspaces.get_mut(&workspace_id("alpha")).unwrap().computes = Reading::NotRead;
    assert_eq!(gate(&planned(&wanted, &observed, &Limits::default(), Look::Everything)), GateState::NotLooked);
}

#[test]
fn jobs_that_cannot_be_read_hold_a_switch_that_waits_and_are_a_warning_for_one_that_does_not() {
    let (world, wanted) = case();
    let lift = Some("grant the controller `…/jobs/read` at alpha".to_owned());
    let cause = Cause { class: Some("refused"), lift };
    let refused = Reading::Unknown { why: "403".to_owned(), cause };
    let mut observed = world.observe(&wanted);
    unread(&mut observed, &refused);
    let (why, lift) = unmet(&planned(&wanted, &observed, &Limits::default(), Look::Everything)).unwrap();
    assert_eq!(why, "jobs could not be read: 403");
    assert_eq!(lift, "grant the controller `…/jobs/read` at alpha; or `drain: ignore` in the document");
    let plan = planned(&ignoring(wanted), &observed, &Limits::default(), Look::Everything);
    let unseen = |finding: &Finding| matches!(finding, Finding::Unseen { .. });
    let unseen: Vec<String> = plan.findings.iter().filter(|f| unseen(f)).map(ToString::to_string).collect();
    assert_eq!(unseen, ["the jobs of alpha could not be read, and nothing waits for it: 403"]);
}

#[test]
fn neither_the_way_back_nor_a_workspace_that_is_broken_waits_for_jobs() {
    let mut world = World::new();
    let a = world.workspace("alpha", ObservedAuthMode::Identity);
    alpha(&mut world).jobs.push((job("train-a", "Running"), None));
    world.key = SharedKeyAccess::Allowed;
    world.key_on_since = Some(world.now - SignedDuration::from_secs(DAY));
    let wanted = desired(&[(&a, AuthMode::AccessKey, Vec::new())]);
    assert!(converge(&mut world, &wanted, |_, _| {}).iter().any(|action| action.kind() == "SetAuthMode"));

    let (mut world, wanted) = case();
    world.key = SharedKeyAccess::Disallowed;
    alpha(&mut world).jobs.push((job("train-a", "Running"), None));
    let taken = converge(&mut world, &wanted, |_, _| {});
    assert_eq!(kinds(&taken).iter().filter(|kind| **kind == "SetAuthMode").count(), 2, "nobody has access to lose");
}

#[test]
fn a_plan_that_is_made_under_a_running_job_is_rejected_by_rules_of_its_own() {
    let (mut world, wanted) = case();
    world.assign(person(1), BLOB_CONTRIBUTOR, DAY);
    world.assign(person(2), BLOB_CONTRIBUTOR, DAY);
    let quiet = world.observe(&wanted);
    let plan = planned(&wanted, &quiet, &Limits::default(), Look::Everything);
    assert_eq!(lint(&wanted, &quiet, &Limits::default(), &plan), []);
    alpha(&mut world).jobs.push((job("train-a", "Running"), None));
    alpha(&mut world).computes.push(instance("dev", Some("Running")));
    let busy = world.observe(&wanted);
    let whys = |wanted: &KeyDesired, observed: &Observed, plan: &Plan| -> Vec<String> {
        lint(wanted, observed, &Limits::default(), plan).into_iter().map(|violation| violation.why).collect()
    };
    let expected = ["job train-a (Command, Running) is at work", "instance dev is at work"];
    assert_eq!(whys(&wanted, &busy, &plan), expected);
    let ignoring = ignoring(wanted.clone());
    let under = planned(&ignoring, &busy, &Limits::default(), Look::Everything);
    assert_eq!(whys(&ignoring, &busy, &under), Vec::<String>::new());
    assert_eq!(whys(&wanted, &quiet, &under), ["gate drained is not carried"]);
    let mut unread = quiet;
    unread.workspaces.get_mut(&workspace_id("alpha")).unwrap().jobs = Reading::NotRead;
    assert_eq!(whys(&wanted, &unread, &plan), ["what is at work was not read"]);
}
