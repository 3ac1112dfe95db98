//! Lists that miss at times what they have shown, by the whole controller.

use std::sync::Arc;

use crate::cloud::*;
use crate::rig::Rig;
use jiff::SignedDuration;
use keyless_core::desired::*;

#[tokio::test(start_paused = true)]
async fn a_grant_that_a_list_missed_shortly_before_it_was_old_enough_is_read_for_longer() {
    let (cloud, dir) = (Cloud::with("stone", &["ml-a"]), tempfile::tempdir().unwrap());
    let (from, to) = (SignedDuration::from_secs(13 * 60), SignedDuration::from_secs(14 * 60 + 30));
    let watched = Arc::downgrade(&cloud);
    let mut missed = 0;
    cloud.lock().on_read = Some(Box::new(move |operation| {
        if operation != "role_assignments" {
            return;
        }
        let cloud = watched.upgrade().unwrap();
        let now = cloud.now();
        let mut state = cloud.lock();
        let granted = state.calls.first().map(|(at, _)| now.duration_since(*at)).unwrap_or_default();
        state.hidden.clear();
        // One list in a minute and a half does not show it; the next does.
        if granted >= from && granted < to && missed < 1 {
            missed += 1;
            let ids: Vec<_> = state.assignments.values().flatten().map(|known| known.id.clone()).collect();
            assert_eq!(ids.len(), 1);
            state.hidden.extend(ids);
        }
    }));
    let rig = Rig::start(&cloud, dir.path(), desired("1", AuthMode::Identity, &["ml-a"]));
    rig.converged("1").await;
    let calls = cloud.lock().calls.clone();
    let named: Vec<&str> = calls.iter().map(|(_, call)| call.as_str()).collect();
    assert_eq!(named, ["grant Storage Blob Data Contributor stone", "ml-a identity", "key off stone"]);
    let waited = calls[1].0.duration_since(calls[0].0);
    // Two reads, half of `rolePropagation` apart, after the one that missed it.
    let least = from + SignedDuration::from_secs(7 * 60 + 30);
    assert!(waited >= least && waited < least + SignedDuration::from_secs(180), "{waited:#}");
    let events = rig.events.events();
    let why = |event: &keyless_controller::event::Event| event.why.clone().unwrap_or_default();
    assert!(
        events.iter().any(|event| why(event).contains("to work for identities that may be in it (old enough at ")),
        "{events:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn reads_that_agree_cost_no_wait_beside_the_age_however_many_are_asked_for() {
    let mut waited = Vec::new();
    for agreeing_reads in [1, 2, 10] {
        let (cloud, dir) = (Cloud::with("stone", &["ml-a"]), tempfile::tempdir().unwrap());
        let mut files = desired("1", AuthMode::Identity, &["ml-a"]);
        files.fleet.waits.agreeing_reads = agreeing_reads;
        let rig = Rig::start(&cloud, dir.path(), files);
        rig.converged("1").await;
        let calls = cloud.lock().calls.clone();
        waited.push(calls[1].0.duration_since(calls[0].0).as_secs());
    }
    let least = i64::try_from(waits().role_propagation.as_secs()).unwrap();
    assert!(waited.iter().all(|seconds| (least..least + 90).contains(seconds)), "{waited:?}");
}

#[tokio::test(start_paused = true)]
async fn reads_of_a_process_that_died_count_for_the_next_one() {
    let (cloud, dir) = (Cloud::with("stone", &["ml-a"]), tempfile::tempdir().unwrap());
    let rig = Rig::start(&cloud, dir.path(), desired("1", AuthMode::Identity, &["ml-a"]));
    rig.until("the grant", |_| !cloud.calls().is_empty()).await;
    let granted = cloud.lock().calls[0].0;
    let before_its_age = granted + SignedDuration::from_secs(14 * 60);
    rig.until("it is nearly old enough", |_| cloud.now() >= before_its_age).await;
    rig.crash().await;
    let rig = Rig::start(&cloud, dir.path(), desired("1", AuthMode::Identity, &["ml-a"]));
    rig.converged("1").await;
    let calls = cloud.lock().calls.clone();
    let waited = calls[1].0.duration_since(granted);
    // The wait after a death, which is five minutes, is longer than what is left of the age.
    assert!(waited < SignedDuration::from_secs(20 * 60 + 30), "{waited:#}");
    drop(rig);
    std::fs::remove_file(dir.path().join("notes.json")).unwrap();
}
