//! Under paused time: what leaves, when, and in which order.

use std::sync::atomic::{AtomicUsize, Ordering};

use proptest::prelude::*;

use super::*;
use crate::quota::Rate;

const READ: Quota = Quota { subscription: None, provider: Provider::MachineLearning, class: Class::Read };
const PATIENCE: Duration = Duration::from_secs(60);

fn governor(headroom: f64) -> Arc<Governor> {
    Governor::new(Limits { headroom, ..Limits::default() }).unwrap()
}

fn seconds(seconds: f64) -> Duration {
    Duration::from_secs_f64(seconds)
}

fn told(of: Counted) -> Gauge {
    Gauge { header: format!("{of:?}"), of }
}

#[tokio::test(start_paused = true)]
async fn a_burst_fits_in_the_bucket_and_the_rest_waits_for_the_refill() {
    let governor = governor(0.2);
    let start = Instant::now();
    for _ in 0..200 {
        governor.acquire(READ, PATIENCE).await.unwrap();
    }
    assert_eq!(start.elapsed(), Duration::ZERO, "80 % of 250 calls may come at once");
    for _ in 0..40 {
        governor.acquire(READ, PATIENCE).await.unwrap();
    }
    let waited = start.elapsed();
    assert!(waited >= seconds(1.999) && waited < seconds(2.1), "{waited:?}");
}

#[tokio::test(start_paused = true)]
async fn a_closed_bucket_opens_when_azure_said_and_not_before() {
    let governor = governor(0.0);
    governor.refused(READ, Throttle::Provider, Some(seconds(17.0)));
    let start = Instant::now();
    governor.acquire(READ, PATIENCE).await.unwrap();
    assert!(start.elapsed() >= seconds(17.0));
    governor.refused(READ, Throttle::ResourceManager, Some(seconds(600.0)));
    assert_eq!(governor.acquire(READ, PATIENCE).await, Err(seconds(600.0)), "told at once");
    assert!(start.elapsed() < seconds(18.0));
}

#[tokio::test(start_paused = true)]
async fn reads_that_wait_already_keep_to_a_retry_after_that_comes_meanwhile() {
    let governor = governor(0.0);
    for _ in 0..250 {
        governor.acquire(READ, PATIENCE).await.unwrap();
    }
    let start = Instant::now();
    let waiting: Vec<_> = (0..20)
        .map(|_| {
            let governor = Arc::clone(&governor);
            tokio::spawn(async move {
                governor.acquire(READ, PATIENCE).await.unwrap();
                start.elapsed()
            })
        })
        .collect();
    tokio::task::yield_now().await;
    governor.refused(READ, Throttle::ResourceManager, Some(seconds(9.0)));
    for one in waiting {
        assert!(one.await.unwrap() >= seconds(9.0));
    }
}

#[tokio::test(start_paused = true)]
async fn a_closed_provider_does_not_hold_up_the_others_in_the_same_line() {
    let governor = governor(0.0);
    let storage = Quota { provider: Provider::Storage, ..READ };
    governor.refused(storage, Throttle::Provider, Some(seconds(30.0)));
    let first = Arc::clone(&governor);
    let held = tokio::spawn(async move { first.acquire(storage, PATIENCE).await });
    tokio::task::yield_now().await;
    let start = Instant::now();
    for _ in 0..250 {
        governor.acquire(READ, PATIENCE).await.unwrap();
    }
    assert_eq!(start.elapsed(), Duration::ZERO);
    held.await.unwrap().unwrap();
    assert!(start.elapsed() >= seconds(30.0));
}

#[tokio::test(start_paused = true)]
async fn a_refusal_without_a_word_of_whose_quota_it_was_closes_all_that_it_may_be() {
    let governor = governor(0.0);
    let storage = Quota { provider: Provider::Storage, class: Class::List, ..READ };
    governor.refused_by_somebody(storage, Some(seconds(30.0)));
    for closed in [storage, Quota { class: Class::Read, ..storage }, Quota { class: Class::Write, ..storage }, READ] {
        assert!(governor.is_closed(closed), "{closed:?}");
    }
    // Others' writes have nothing to do with it.
    assert!(!governor.is_closed(Quota { class: Class::Write, ..READ }));
}

#[tokio::test(start_paused = true)]
async fn tenants_subscriptions_and_classes_do_not_share() {
    let governor = governor(0.0);
    let start = Instant::now();
    let subscription = Some("3f8c1d7a-52b4-4c0e-9d2e-7a1b6c5d4e90".parse().unwrap());
    for subscription in [None, subscription] {
        for (class, places) in [(Class::Read, 250), (Class::Write, 200), (Class::Delete, 200)] {
            for _ in 0..places {
                governor.acquire(Quota { subscription, class, ..READ }, PATIENCE).await.unwrap();
            }
        }
    }
    assert_eq!(start.elapsed(), Duration::ZERO);
    assert!(governor.try_acquire(READ).is_err());
    assert!(governor.try_acquire(Quota { class: Class::List, ..READ }).is_err(), "a list is a read");
}

#[tokio::test(start_paused = true)]
async fn what_azure_says_is_left_steers_before_it_refuses() {
    for (of, left, ours) in [
        (Counted::Principal, 60.0, 10),
        (Counted::Principal, 11_999.0, 200),
        (Counted::Everybody, 760.0, 10),
        (Counted::Everybody, 3749.0, 200),
    ] {
        let governor = governor(0.2);
        governor.heard(READ, &told(of), left);
        let mut sent = 0;
        while governor.try_acquire(READ).is_ok() {
            sent += 1;
        }
        assert_eq!(sent, ours, "{of:?} {left}");
    }
}

#[tokio::test(start_paused = true)]
async fn tasks_take_turns() {
    let governor = governor(0.0);
    for _ in 0..250 {
        governor.acquire(READ, PATIENCE).await.unwrap();
    }
    let served = Arc::new(AtomicUsize::new(0));
    let task = |calls: usize| {
        let (governor, served) = (Arc::clone(&governor), Arc::clone(&served));
        tokio::spawn(async move {
            let all = (0..calls).map(|_| async {
                governor.acquire(READ, PATIENCE).await.unwrap();
                served.fetch_add(1, Ordering::SeqCst)
            });
            futures::future::join_all(all).await
        })
    };
    let greedy = task(300);
    tokio::task::yield_now().await;
    let modest = task(3);
    let places = modest.await.unwrap();
    assert!(places.iter().max() < Some(&10), "three calls behind 300 came as {places:?}");
    assert_eq!(greedy.await.unwrap().len(), 300);
}

#[tokio::test(start_paused = true)]
async fn a_kept_place_is_spent_without_waiting_or_given_back() {
    let limits = Limits { writes: Rate::new(2.0, 0.001), headroom: 0.0, ..Limits::default() };
    let governor = Governor::new(limits).unwrap();
    let write = Quota { provider: Provider::Storage, class: Class::Write, ..READ };
    let (first, second) = (governor.reserve(write, PATIENCE).await.unwrap(), governor.reserve(write, PATIENCE).await);
    assert!(governor.try_acquire(write).is_err(), "both places are kept");
    drop(second);
    governor.try_acquire(write).unwrap();
    first.spend().unwrap();
    assert!(governor.try_acquire(write).is_err(), "a place that was spent is not given back");

    let governor = Governor::new(limits).unwrap();
    let place = governor.reserve(write, PATIENCE).await.unwrap();
    governor.refused(write, Throttle::Provider, Some(seconds(9.0)));
    assert_eq!(place.spend(), Err(seconds(9.0)), "closed between confirm and send");
    tokio::time::advance(seconds(9.0)).await;
    governor.try_acquire(write).unwrap();
    governor.try_acquire(write).unwrap();
}

#[tokio::test(start_paused = true)]
async fn who_gives_up_leaves_the_line() {
    let governor = governor(0.0);
    for _ in 0..250 {
        governor.acquire(READ, PATIENCE).await.unwrap();
    }
    for _ in 0..100 {
        let _ = tokio::time::timeout(seconds(0.001), governor.acquire(READ, PATIENCE)).await;
    }
    let inner = governor.lock();
    assert!(inner.lines.values().all(|line| line.waiting.is_empty() && line.tasks.is_empty()));
}

#[tokio::test(start_paused = true)]
async fn a_subscription_says_how_long_reading_is_closed() {
    let governor = governor(0.2);
    let subscription = "3f8c1d7a-52b4-4c0e-9d2e-7a1b6c5d4e90".parse().unwrap();
    let of = |provider, class| Quota { subscription: Some(subscription), provider, class };
    governor.refused(of(Provider::Storage, Class::Write), Throttle::Provider, Some(seconds(50.0)));
    assert_eq!(governor.reading_closed_for(subscription), Duration::ZERO);
    governor.refused(of(Provider::Storage, Class::List), Throttle::Provider, Some(seconds(20.0)));
    governor.refused(of(Provider::Storage, Class::Read), Throttle::ResourceManager, Some(seconds(30.0)));
    assert_eq!(governor.reading_closed_for(subscription), seconds(30.0));
}

/// What one actor of the property does.
#[derive(Debug, Clone)]
enum Act {
    Pause(u64),
    Call(u8),
    /// Reserves, waits, and spends or gives back.
    Write(u8, u64, bool),
    Refuse(u8, bool, u64),
    Hear(u8, u16),
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        2 => (1..3000_u64).prop_map(Act::Pause),
        8 => (0..4_u8).prop_map(Act::Call),
        2 => (0..4_u8, 0..3000_u64, any::<bool>()).prop_map(|(of, wait, spend)| Act::Write(of, wait, spend)),
        1 => (0..4_u8, any::<bool>(), 0..20_u64).prop_map(|(of, provider, wait)| Act::Refuse(of, provider, wait)),
        1 => (0..4_u8, 0..12_000_u16).prop_map(|(of, left)| Act::Hear(of, left)),
    ]
}

/// Two classes at two providers, one of which has a bucket of its own.
fn quota(of: u8) -> Quota {
    let provider = if of & 1 == 0 { Provider::Storage } else { Provider::Authorization };
    Quota { subscription: None, provider, class: if of & 2 == 0 { Class::Read } else { Class::Write } }
}

#[derive(Default)]
struct Ledger {
    /// When each call left, by quota.
    sent: Vec<(Instant, u8)>,
    /// How many calls had left, until when no more may, and whether the provider said so.
    closed: Vec<(usize, Instant, u8, bool)>,
}

fn check(ledger: &Ledger, limits: &Limits) -> Result<(), TestCaseError> {
    let kept = 1.0 - limits.headroom;
    let bounded = |name: &str, rate: Rate, of: &dyn Fn(u8) -> bool| {
        let times: Vec<Instant> = ledger.sent.iter().filter(|(_, own)| of(*own)).map(|(at, _)| *at).collect();
        for (first, from) in times.iter().enumerate() {
            for (last, to) in times.iter().enumerate().skip(first) {
                let most = rate.capacity * kept + to.duration_since(*from).as_secs_f64() * rate.per_second * kept;
                let sent = (last - first + 1) as f64;
                prop_assert!(sent <= most + 1e-3, "{name}: {sent} calls where {most} were allowed");
            }
        }
        Ok(())
    };
    bounded("reads", limits.reads, &|of| of & 2 == 0)?;
    bounded("writes", limits.writes, &|of| of & 2 == 2)?;
    bounded("storage reads", limits.storage_reads, &|of| of == 0)?;
    bounded("storage writes", limits.storage_writes, &|of| of == 2)?;
    for (before, until, closed, by_provider) in &ledger.closed {
        for (at, sent) in ledger.sent.iter().skip(*before) {
            let shares = sent & 1 == 1 && closed & 1 == 1;
            let meant = if *by_provider { sent == closed || shares } else { sent & 2 == closed & 2 };
            prop_assert!(!meant || at >= until, "a call to {sent} left before its time");
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn no_window_holds_more_than_its_share_and_nothing_leaves_before_its_time(
        headroom in prop_oneof![Just(0.0), Just(0.2), Just(0.5)],
        actors in proptest::collection::vec(proptest::collection::vec(act(), 1..40), 1..8),
    ) {
        let limits = Limits {
            reads: Rate::new(20.0, 5.0),
            writes: Rate::new(8.0, 2.0),
            storage_reads: Rate::new(10.0, 1.0),
            storage_writes: Rate::new(5.0, 0.5),
            headroom,
            ..Limits::default()
        };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        let ledger = runtime.block_on(async {
            let governor = Governor::new(limits).unwrap();
            let ledger = Arc::new(Mutex::new(Ledger::default()));
            let tasks: Vec<_> = actors
                .into_iter()
                .map(|acts| tokio::spawn(carry_out(acts, Arc::clone(&governor), Arc::clone(&ledger))))
                .collect();
            for task in tasks {
                task.await.unwrap();
            }
            Arc::into_inner(ledger).unwrap().into_inner().unwrap()
        });
        check(&ledger, &limits)?;
    }
}

async fn carry_out(acts: Vec<Act>, governor: Arc<Governor>, ledger: Arc<Mutex<Ledger>>) {
    let sent = |of| ledger.lock().unwrap().sent.push((Instant::now(), of));
    for act in acts {
        match act {
            Act::Pause(ms) => tokio::time::sleep(Duration::from_millis(ms)).await,
            Act::Call(of) => {
                governor.acquire(quota(of), PATIENCE).await.unwrap();
                sent(of);
            }
            Act::Write(of, ms, spend) => {
                let of = of | 2;
                let place = governor.reserve(quota(of), PATIENCE).await.unwrap();
                tokio::time::sleep(Duration::from_millis(ms)).await;
                if spend && place.spend().is_ok() {
                    sent(of);
                }
            }
            Act::Refuse(of, provider, secs) => {
                let from = if provider { Throttle::Provider } else { Throttle::ResourceManager };
                governor.refused(quota(of), from, Some(Duration::from_secs(secs)));
                // One that names no time is checked elsewhere.
                if secs > 0 {
                    let mut ledger = ledger.lock().unwrap();
                    let before = ledger.sent.len();
                    ledger.closed.push((before, Instant::now() + Duration::from_secs(secs), of, provider));
                }
            }
            Act::Hear(of, left) => governor.heard(quota(of), &told(Counted::Principal), f64::from(left)),
        }
    }
}
