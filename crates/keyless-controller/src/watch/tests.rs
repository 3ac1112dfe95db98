use tokio::time::advance;

use super::*;
use crate::event::Collected;

const WHOLE: &str = "apiVersion: keyless.dev/v1\nkind: Fleet\nspec:\n  owner: us\n  guard: {paused: true}\n";
const HALF: &str = "apiVersion: keyless.dev/v1\nkind: Fleet\nspec:\n  owner: us\n# there was more here, once\n";

fn files(text: &str) -> Vec<Found> {
    vec![Found { path: "fleet.yaml".to_owned(), content: Content::Bytes(text.into()) }]
}

/// One for whom the whole file is in force.
fn follower() -> Follower {
    let mut follower = new();
    follower.judge(files(WHOLE));
    assert!(is_paused(&follower));
    follower
}

fn new() -> Follower {
    let watch = Watch {
        path: "fleet.yaml".into(),
        poll: Duration::from_secs(1),
        quiet: Quiet::default(),
        state_dir: None,
        reminder: Duration::from_secs(3600),
    };
    let status = Arc::default();
    Follower::new(watch, watch::channel(None).0, Arc::new(Collected::new(Level::Info)), status)
}

fn is_paused(follower: &Follower) -> bool {
    follower.sender.borrow().as_ref().is_some_and(|desired| desired.fleet.paused)
}

/// Looks each second that show the same.
async fn stands(follower: &mut Follower, text: &str, seconds: u32) {
    for _ in 0..seconds {
        advance(Duration::from_secs(1)).await;
        follower.stand(files(text), Instant::now());
    }
}

#[tokio::test(start_paused = true)]
async fn what_may_be_half_counts_when_ten_seconds_of_looks_have_shown_it() {
    let mut follower = follower();
    follower.stand(files(HALF), Instant::now());
    stands(&mut follower, HALF, 9).await;
    assert!(is_paused(&follower));
    stands(&mut follower, HALF, 1).await;
    assert!(!is_paused(&follower));
}

#[tokio::test(start_paused = true)]
async fn files_that_changed_in_between_stand_anew() {
    let mut follower = follower();
    follower.stand(files(HALF), Instant::now());
    stands(&mut follower, HALF, 9).await;
    follower.keep_changing(Instant::now(), "it keeps changing".to_owned());
    stands(&mut follower, HALF, 10).await;
    assert!(is_paused(&follower));
    stands(&mut follower, HALF, 1).await;
    assert!(!is_paused(&follower));
}

#[tokio::test(start_paused = true)]
async fn a_look_that_was_held_up_shows_files_at_its_end() {
    let mut follower = follower();
    let begun = Instant::now();
    advance(Duration::from_secs(60)).await;
    follower.stand(files(HALF), begun);
    stands(&mut follower, HALF, 9).await;
    assert!(is_paused(&follower));
}

#[tokio::test(start_paused = true)]
async fn files_at_which_nobody_looked_did_not_stand() {
    let mut follower = follower();
    follower.stand(files(HALF), Instant::now());
    for _ in 0..4 {
        advance(Duration::from_secs(3600)).await;
        follower.stand(files(HALF), Instant::now());
    }
    assert!(is_paused(&follower));
    stands(&mut follower, HALF, 2).await;
    assert!(!is_paused(&follower));
}

#[tokio::test(start_paused = true)]
async fn where_nothing_is_in_force_bad_files_are_told_as_soon_as_they_stand() {
    let mut follower = new();
    follower.keep_changing(Instant::now(), "it keeps changing".to_owned());
    let told = |follower: &Follower| !follower.status.snapshot().rejected.is_empty();
    follower.stand(files("apiVersion: keyless.dev/v1\n"), Instant::now());
    assert!(!told(&follower));
    stands(&mut follower, "apiVersion: keyless.dev/v1\n", 1).await;
    assert!(told(&follower));
}

#[tokio::test(start_paused = true)]
async fn files_count_at_once_at_a_start_alone() {
    let mut at_once = new();
    at_once.stand(files(HALF), Instant::now());
    assert!(at_once.sender.borrow().is_some());

    let (mut bad, mut changing) = (new(), new());
    bad.stand(files("apiVersion: keyless.dev/v1\n"), Instant::now());
    changing.keep_changing(Instant::now(), "it keeps changing".to_owned());
    for mut follower in [bad, changing] {
        follower.stand(files(HALF), Instant::now());
        stands(&mut follower, HALF, 9).await;
        assert!(follower.sender.borrow().is_none());
        stands(&mut follower, HALF, 1).await;
        assert!(follower.sender.borrow().is_some());
    }
}
