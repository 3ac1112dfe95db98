//! The server's time jumps, in every answer at once: what counts on this process's own clock does not notice.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use keyless_core::desired::{AuthMode, ChangeWindow};
use tokio::time::Instant;

use super::{FORWARD, LATE_WRITE, settled_state, state, two};
use crate::cloud::*;
use crate::rig::Rig;

/// Lets the server's time jump by `by` seconds at the read with this number from now.
fn jump_at_read(cloud: &Arc<Cloud>, number: usize, by: i64) {
    let (at, mut reads) = (Arc::downgrade(cloud), 0);
    cloud.lock().on_read = Some(Box::new(move |_| {
        reads += 1;
        if reads == number {
            at.upgrade().unwrap().jumped.fetch_add(by, Ordering::Relaxed);
        }
    }));
}

async fn calls(cloud: &Cloud, number: usize) -> Instant {
    while cloud.calls().len() < number {
        cloud.called.notified().await;
    }
    Instant::now()
}

fn assert_rested(rested: Duration, case: &str) {
    assert!(rested >= LATE_WRITE, "{case}: {rested:?}");
    assert!(rested <= LATE_WRITE + Duration::from_secs(70), "{case}: {rested:?}");
}

#[tokio::test(start_paused = true)]
async fn a_jump_of_the_servers_time_neither_cuts_nor_draws_out_the_rest_after_a_lost_write() {
    for by in [-1200, -200, 200, 1200] {
        for number in (1..40).step_by(3) {
            let (cloud, dir) = (two(), settled_state());
            cloud.lock().faults.insert(1, Fault::Lost(None));
            let rig = Rig::start(&cloud, dir.path(), desired("1", AuthMode::Identity, &["ml-a", "ml-b"]));
            let lost = calls(&cloud, 1).await;
            jump_at_read(&cloud, number, by);
            assert_rested(calls(&cloud, 2).await - lost, &format!("by {by} s at read {number}"));
            rig.crash().await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_jump_of_the_servers_time_neither_cuts_nor_draws_out_the_wait_after_the_start() {
    for by in [-1200, -200, 200, 1200] {
        for number in (1..40).step_by(3) {
            let (cloud, dir) = (two(), state());
            let started = Instant::now();
            jump_at_read(&cloud, number, by);
            let rig = Rig::start(&cloud, dir.path(), desired("1", AuthMode::Identity, &["ml-a", "ml-b"]));
            assert_rested(calls(&cloud, 1).await - started, &format!("by {by} s at read {number}"));
            rig.crash().await;
        }
    }
}

/// Ages rest on the earliest time that is told, so a window that rested on it too would close late.
#[tokio::test(start_paused = true)]
async fn no_answer_that_is_behind_holds_a_change_window_open() {
    let (cloud, dir) = (two(), settled_state());
    cloud.one_off_in.store(9, Ordering::Relaxed);
    cloud.off_by.store(-180, Ordering::Relaxed);
    let mut files = desired("1", AuthMode::Identity, &["ml-a", "ml-b"]);
    // By the earliest time, who is granted access at first works while the first of them is open.
    let closes = u16::try_from(waits().role_propagation.as_secs() / 60).unwrap() + 2;
    let hours = (0..24).map(|hour| ChangeWindow { days: BTreeSet::new(), from: hour * 60, to: hour * 60 + closes });
    files.fleet.change_windows = hours.collect();
    let rig = Rig::start(&cloud, dir.path(), files);
    rig.converged("1").await;
    assert_eq!(cloud.calls(), FORWARD);
    for (at, call) in &cloud.lock().calls[1..] {
        let minute = at.as_second().rem_euclid(3600) / 60;
        assert!(minute < i64::from(closes), "{call} at minute {minute}");
    }
}
