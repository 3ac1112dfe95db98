//! Passes and looks over the fleet that break off, as by a mistake in the code: the process goes on.

use super::*;

#[tokio::test(start_paused = true)]
async fn a_pass_that_breaks_off_is_told_and_its_account_rests_as_after_a_lost_write() {
    let (cloud, dir) = (Cloud::with("stone", &["ml-a"]), settled_state());
    cloud.lock().breaks = Some(("account", 4));
    let began = Instant::now();
    let rig = Rig::start(&cloud, dir.path(), desired("1", AuthMode::Identity, &["ml-a"]));
    rig.until("a pass that does not break off", |snapshot| snapshot.counters.passes > 0).await;
    // One second, two, four and eight, each by up to a quarter less.
    assert!(began.elapsed() > Duration::from_secs(11), "{:?}", began.elapsed());
    let told = rig.told(Name::ActionFailed);
    assert_eq!(told.len(), 4);
    let account = account_id("stone").to_string();
    assert!(told.iter().all(|event| event.level == Level::Error && event.storage_account.as_ref() == Some(&account)));
    assert!(told[0].why.as_deref().unwrap().starts_with("the pass broke off"), "{told:?}");
    rig.until("a write", |_| !cloud.calls().is_empty()).await;
    assert!(began.elapsed() > LATE_WRITE + Duration::from_secs(5), "it may have sent a write: {:?}", began.elapsed());
    rig.converged("1").await;
    assert!(!rig.stop().await.settled, "a write that is in the dark is so at the end too");
}

#[tokio::test(start_paused = true)]
async fn after_a_look_over_the_fleet_that_breaks_off_there_is_another_one() {
    let (cloud, dir) = (Cloud::with("stone", &["ml-a"]), settled_state());
    cloud.lock().breaks = Some(("workspaces", 1));
    let rig = Rig::start(&cloud, dir.path(), desired("1", AuthMode::Identity, &["ml-a"]));
    rig.converged("1").await;
    assert!(rig.stop().await.settled, "a look writes nothing");
}

/// What took too long to write after it is no failed read: who counts those is not called for it.
#[tokio::test(start_paused = true)]
async fn a_pass_that_is_overtaken_is_told_and_counts_as_no_failure() {
    let (cloud, dir) = (Cloud::with("stone", &["ml-a"]), settled_state());
    cloud.lock().slow.insert("locks", Duration::from_secs(70));
    let rig = Rig::start(&cloud, dir.path(), desired("1", AuthMode::Identity, &["ml-a"]));
    rig.until("some passes", |snapshot| snapshot.counters.passes > 3).await;
    let snapshot = rig.status.snapshot();
    let why = snapshot.accounts[&account_id("stone")].last_error.as_deref().unwrap();
    assert!(why.starts_with("the confirming reads took 7"), "{why}");
    assert_eq!((snapshot.counters.failed_passes, cloud.calls()), (0, vec![]));
    cloud.lock().slow.clear();
    cloud.lock().down.insert("role_assignments");
    rig.until("a failed one", |snapshot| snapshot.counters.failed_passes > 0).await;
}
