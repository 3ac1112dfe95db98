//! The controller before a workspace in which jobs run: what it reads of them how often, and what it writes when.

use keyless_controller::event::Name;
use keyless_controller::mark::StateDir;
use keyless_core::desired::{AuthMode, Desired, Drain};
use keyless_core::observed::ObservedJob;
use keyless_core::plan::Standing;

use crate::cloud::*;
use crate::rig::Rig;

fn settled_state() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    StateDir::open(dir.path()).unwrap().mark().set().unwrap();
    dir
}

fn runs(state: &mut State, workspace: &str, name: &str) {
    let job = ObservedJob { name: name.to_owned(), job_type: "Command".to_owned(), status: "Running".to_owned() };
    state.jobs.entry(workspace_id(workspace)).or_default().push(job);
}

fn waits_for(rig: &Rig, gate: &str) -> usize {
    rig.told(Name::GateUnmet).iter().filter(|event| event.gate.as_deref() == Some(gate)).count()
}

/// Waits until nothing but the switch of `ml-a` and what follows it is left, and held.
async fn held(rig: &Rig) {
    rig.until("only one switch is left, and held", |snapshot| {
        let mut plans = snapshot.accounts.values().filter_map(|account| account.plan.as_ref());
        plans.any(|plan| {
            plan.standing() == Standing::Blocked
                && plan.steps.iter().map(|step| step.action.kind()).eq(["SetAuthMode", "SetSharedKeyAccess"])
        })
    })
    .await;
}

fn both(revision: &str) -> Desired {
    desired(revision, AuthMode::Identity, &["ml-a", "ml-b"])
}

const GRANT: &str = "grant Storage Blob Data Contributor stone";

#[tokio::test(start_paused = true)]
async fn one_workspace_waits_for_its_job_while_the_other_goes_on() {
    let (cloud, dir) = (Cloud::with("stone", &["ml-a", "ml-b"]), settled_state());
    runs(&mut cloud.lock(), "ml-a", "train-1");
    let rig = Rig::start(&cloud, dir.path(), both("1"));
    held(&rig).await;
    assert_eq!(cloud.calls(), [GRANT, "ml-b identity"]);
    assert_eq!(waits_for(&rig, "drained"), 1);
    // The whole history is read once in five looks, and whichever job runs is no news.
    let before = cloud.lock().reads["jobs"];
    for n in 0..20 {
        rig.passes(1).await;
        cloud.lock().jobs.clear();
        runs(&mut cloud.lock(), "ml-a", &format!("train-{n}"));
    }
    let read = cloud.lock().reads["jobs"] - before;
    assert!((2..=6).contains(&read), "read {read} times in 20 passes");
    assert_eq!(waits_for(&rig, "drained"), 1);
    cloud.lock().jobs.clear();
    rig.converged("1").await;
    assert_eq!(cloud.calls(), [GRANT, "ml-b identity", "ml-a identity", "key off stone"]);
}

#[tokio::test(start_paused = true)]
async fn a_job_that_begins_in_the_last_moment_still_holds_the_switch() {
    let (cloud, dir) = (Cloud::with("stone", &["ml-a"]), settled_state());
    let watching = std::sync::Arc::downgrade(&cloud);
    let mut lists = 0;
    cloud.lock().on_read = Some(Box::new(move |operation| {
        if operation == "jobs"
            && let Some(cloud) = watching.upgrade()
        {
            lists += 1;
            if lists == 2 {
                runs(&mut cloud.lock(), "ml-a", "train-1");
            }
        }
    }));
    let rig = Rig::start(&cloud, dir.path(), desired("1", AuthMode::Identity, &["ml-a"]));
    held(&rig).await;
    assert_eq!(cloud.calls(), [GRANT]);
    cloud.lock().jobs.clear();
    rig.converged("1").await;
    assert_eq!(cloud.calls(), [GRANT, "ml-a identity", "key off stone"]);
}

#[tokio::test(start_paused = true)]
async fn a_switch_that_does_not_wait_reads_no_jobs() {
    let (cloud, dir) = (Cloud::with("stone", &["ml-a", "ml-b"]), settled_state());
    runs(&mut cloud.lock(), "ml-a", "train-1");
    let mut files = both("1");
    files.workspaces.values_mut().for_each(|declared| declared.drain = Drain::Ignore);
    let rig = Rig::start(&cloud, dir.path(), files);
    rig.converged("1").await;
    assert_eq!(cloud.calls(), [GRANT, "ml-a identity", "ml-b identity", "key off stone"]);
    assert_eq!(cloud.lock().reads.get("jobs"), None);
}

#[tokio::test(start_paused = true)]
async fn without_the_right_to_jobs_only_the_switches_wait_and_the_other_way_is_named() {
    let (cloud, dir) = (Cloud::with("stone", &["ml-a"]), settled_state());
    cloud.lock().forbidden.insert("jobs");
    let rig = Rig::start(&cloud, dir.path(), desired("1", AuthMode::Identity, &["ml-a"]));
    held(&rig).await;
    assert_eq!(cloud.calls(), [GRANT]);
    let told = rig.told(Name::GateUnmet);
    let told = told.iter().find(|event| event.gate.as_deref() == Some("drained")).unwrap();
    assert!(told.lift.as_deref().unwrap().contains("`drain: ignore`"), "{told:#?}");
    cloud.lock().forbidden.clear();
    rig.converged("1").await;
}
