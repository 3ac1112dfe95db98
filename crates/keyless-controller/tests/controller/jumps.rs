//! The server's time jumps, in every answer at once: what counts on this process's own clock does not notice.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use keyless_core::desired::AuthMode;
use tokio::time::Instant;

use super::{LATE_WRITE, settled_state, state, two};
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
