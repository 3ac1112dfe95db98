//! `apply`: the same controller, with an end.

use super::*;

fn applier(cloud: &Arc<Cloud>, dir: &std::path::Path) -> (Controller, Arc<Collected>) {
    let events = Arc::new(Collected::new(Level::Debug));
    let state_dir = StateDir::open(dir).unwrap();
    let status = Arc::new(Status::default());
    (Controller::new(Options::default(), cloud.clone(), cloud.clone(), state_dir, events.clone(), status), events)
}

#[tokio::test(start_paused = true)]
async fn apply_sits_out_the_boot_wait_and_ends_at_the_first_gate_that_time_opens() {
    let (cloud, dir) = (two(), state());
    let files = Arc::new(desired("1", AuthMode::Identity, &["ml-a", "ml-b"]));
    let (controller, _) = applier(&cloud, dir.path());
    let began = Instant::now();
    let plans = controller.apply(Arc::clone(&files), None, CancellationToken::new()).await.unwrap();
    assert_eq!(cloud.calls(), FORWARD[..1]);
    assert!(began.elapsed() >= LATE_WRITE && began.elapsed() < LATE_WRITE + Duration::from_secs(120));
    assert!(plans.has_steps() && !plans.is_blocked());
    assert_eq!(plans.accounts[0].plan.standing(), Standing::Waiting);
    // Settled, so the next one starts at once, and this one is patient.
    let (controller, _) = applier(&cloud, dir.path());
    let patience = Some(Duration::from_secs(2 * 3600));
    let plans = controller.apply(files, patience, CancellationToken::new()).await.unwrap();
    assert_eq!(cloud.calls(), FORWARD);
    assert!(plans.is_converged(), "{plans:?}");
}

#[tokio::test(start_paused = true)]
async fn apply_ends_where_a_person_is_needed() {
    let (cloud, dir) = (two(), settled_state());
    cloud.lock().down.insert("locks");
    let files = Arc::new(desired("1", AuthMode::Identity, &["ml-a", "ml-b"]));
    let (controller, _) = applier(&cloud, dir.path());
    let began = Instant::now();
    let plans = controller.apply(files, Some(Duration::from_secs(60)), CancellationToken::new()).await.unwrap();
    assert!(plans.is_blocked());
    assert!(began.elapsed() < Duration::from_secs(10), "nothing is waited for: {:?}", began.elapsed());
    assert_eq!(cloud.calls(), Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn apply_ends_where_a_grant_never_counts() {
    let (cloud, dir) = (two(), settled_state());
    for number in 1..=100 {
        cloud.lock().faults.insert(number, Fault::Unlisted);
    }
    let files = Arc::new(desired("1", AuthMode::Identity, &["ml-a", "ml-b"]));
    let (controller, _) = applier(&cloud, dir.path());
    let ended = tokio::time::timeout(Duration::from_secs(600), controller.apply(files, None, CancellationToken::new()));
    let plans = ended.await.expect("it ends").unwrap();
    assert!(plans.has_steps());
    assert!(cloud.calls().len() < 10, "{:?}", cloud.calls());
}

#[tokio::test(start_paused = true)]
async fn apply_tries_what_cannot_be_read_again_soon_and_not_for_ever() {
    let (cloud, dir) = (two(), settled_state());
    cloud.lock().down.insert("role_assignments");
    let files = Arc::new(desired("1", AuthMode::Identity, &["ml-a", "ml-b"]));
    let (controller, _) = applier(&cloud, dir.path());
    let began = Instant::now();
    let plans = controller.apply(files, None, CancellationToken::new()).await.unwrap();
    assert!(!plans.is_converged() && cloud.calls().is_empty());
    let (reads, took) = (cloud.lock().reads["role_assignments"], began.elapsed());
    assert!(reads >= 5, "{reads} reads");
    assert!((Duration::from_secs(10)..Options::default().interval).contains(&took), "{took:?}");
}
