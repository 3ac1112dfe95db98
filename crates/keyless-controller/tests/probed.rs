//! The controller before accounts whose data plane it is to ask, and before those where it is not.

use keyless_controller::event::Name;
use keyless_controller::mark::StateDir;
use keyless_core::desired::{AuthMode, Desired};
use keyless_core::plan::Standing;

use crate::cloud::*;
use crate::rig::Rig;

const GRANT: &str = "grant Storage Blob Data Contributor stone";

fn settled_state() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    StateDir::open(dir.path()).unwrap().mark().set().unwrap();
    dir
}

fn files(asks: bool) -> Desired {
    let mut files = desired("1", AuthMode::Identity, &["ml-a"]);
    files.fleet.data_probe = asks;
    files
}

#[tokio::test(start_paused = true)]
async fn where_nobody_asks_for_it_the_data_plane_gets_no_request() {
    let (cloud, dir) = (Cloud::with("stone", &["ml-a"]), settled_state());
    let rig = Rig::start(&cloud, dir.path(), files(false));
    rig.converged("1").await;
    rig.passes(5).await;
    assert_eq!(cloud.lock().reads.get("data_probe"), None);
}

#[tokio::test(start_paused = true)]
async fn each_step_asks_once_before_it_is_taken_and_once_more_right_before_the_write() {
    let (cloud, dir) = (Cloud::with("stone", &["ml-a"]), settled_state());
    let rig = Rig::start(&cloud, dir.path(), files(true));
    rig.converged("1").await;
    assert_eq!(cloud.calls(), [GRANT, "ml-a identity", "key off stone"]);
    assert_eq!(cloud.lock().reads["data_probe"], 4);
    rig.passes(5).await;
    assert_eq!(cloud.lock().reads["data_probe"], 4, "a settled account is left alone");
}

#[tokio::test(start_paused = true)]
async fn a_refused_answer_holds_the_switch_and_is_asked_for_less_and_less_often() {
    let (cloud, dir) = (Cloud::with("stone", &["ml-a"]), settled_state());
    cloud.lock().forbidden.insert("data_probe");
    let rig = Rig::start(&cloud, dir.path(), files(true));
    rig.until("the switch is held", |snapshot| {
        let mut plans = snapshot.accounts.values().filter_map(|account| account.plan.as_ref());
        plans.any(|plan| {
            plan.standing() == Standing::Blocked
                && plan.steps.iter().map(|step| step.action.kind()).eq(["SetAuthMode", "SetSharedKeyAccess"])
        })
    })
    .await;
    let passes = 30;
    rig.passes(passes).await;
    assert_eq!(cloud.calls(), [GRANT]);
    let asked = cloud.lock().reads["data_probe"];
    assert!((2..=10).contains(&asked), "asked {asked} times in {passes} passes");
    let told = rig.told(Name::GateUnmet);
    let told: Vec<_> = told.iter().filter(|event| event.gate.as_deref() == Some("data_probed")).collect();
    assert_eq!(told.len(), 1);
    assert!(told[0].lift.as_deref().unwrap().contains("`evidence: {dataProbe: false}`"), "{told:#?}");
    cloud.lock().forbidden.clear();
    rig.converged("1").await;
    assert_eq!(cloud.calls(), [GRANT, "ml-a identity", "key off stone"]);
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_turns_in_the_last_moment_still_holds_the_switch() {
    let (cloud, dir) = (Cloud::with("stone", &["ml-a"]), settled_state());
    let watching = std::sync::Arc::downgrade(&cloud);
    let mut asked = 0;
    cloud.lock().on_read = Some(Box::new(move |operation| {
        if operation == "data_probe"
            && let Some(cloud) = watching.upgrade()
        {
            asked += 1;
            if asked == 2 {
                cloud.lock().forbidden.insert("data_probe");
            }
        }
    }));
    let rig = Rig::start(&cloud, dir.path(), files(true));
    rig.until("the gate is told", |_| false_until_told(&rig)).await;
    assert_eq!(cloud.calls(), [GRANT]);
    cloud.lock().forbidden.clear();
    rig.converged("1").await;
}

fn false_until_told(rig: &Rig) -> bool {
    rig.told(Name::GateUnmet).iter().any(|event| event.gate.as_deref() == Some("data_probed"))
}
