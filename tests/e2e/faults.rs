//! Everything goes wrong, in every way at once: the fleet goes off keys all the same, nobody is denied, and the record of
//! every request shows that quotas, waits and unknown outcomes were respected.
//!
//! A large run, for which an optimized build and its path in `KEYLESS_E2E_BINARY` are worth while:
//!
//!     KEYLESS_FAULT_WORKSPACES=200 KEYLESS_FAULT_SEEDS=20 cargo test --test e2e faults -- --nocapture
//!
//! The timeouts of the daemon do not pass faster with `KEYLESS_FAULT_SPEED`: a lower one lets a large fleet do more of its
//! work while there are faults.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use serde_json::json;

use crate::harness::{Daemon, Record, Request, Sim, id_of, number, patience, text_at, wait_until};

/// How long the profile `full` goes on.
const FAULTS: Duration = Duration::from_secs(6 * 3600);

/// `lateWrite` of the simulated fleet.
const LATE_WRITE: Duration = Duration::from_secs(5 * 60);

#[test]
fn under_every_fault_the_fleet_goes_off_keys_and_no_quota_or_wait_is_broken() {
    let workspaces = number("KEYLESS_FAULT_WORKSPACES", 10);
    let (first, seeds) = (number("KEYLESS_FAULT_FIRST_SEED", 1), number("KEYLESS_FAULT_SEEDS", 2));
    let next = AtomicUsize::new(first);
    std::thread::scope(|scope| {
        let runs: Vec<_> = (0..number("KEYLESS_FAULT_AT_ONCE", 2))
            .map(|_| {
                scope.spawn(|| {
                    loop {
                        let seed = next.fetch_add(1, Ordering::Relaxed);
                        if seed >= first + seeds {
                            return;
                        }
                        println!("{}", run(workspaces, seed));
                    }
                })
            })
            .collect();
        for run in runs {
            run.join().expect("every seed comes to its end");
        }
    });
}

/// One fleet under the faults of one seed; a line about it.
fn run(workspaces: usize, seed: usize) -> String {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("requests.jsonl");
    // How many times faster than life the simulator is.
    let speed = u32::try_from(number("KEYLESS_FAULT_SPEED", 600)).expect("the speed is a small number");
    let (count, seed_text, speed_text) = (workspaces.to_string(), seed.to_string(), speed.to_string());
    let record = file.to_str().unwrap();
    let began = Instant::now();
    let sim = Sim::start(&[
        "--workspaces",
        &count,
        "--seed",
        &seed_text,
        "--speed",
        &speed_text,
        "--faults",
        "full",
        "--record",
        record,
    ]);
    let account_of = accounts_of(&sim);
    let accounts = sim.accounts().len();

    let mut daemon = Daemon::start(&sim);
    let faults = FAULTS / speed;
    daemon
        .wait_until("the faults end", faults + Duration::from_secs(60), |_| (began.elapsed() >= faults).then_some(()));
    // Who lifted a lock or a policy says so with a new revision; without it refusals wait a minute and more.
    let fleet = sim.desired().join("fleet.yaml");
    let text = std::fs::read_to_string(&fleet).unwrap();
    std::fs::write(&fleet, format!("{text}# the freeze is over\n")).unwrap();
    daemon.until_converged(accounts, patience(workspaces));
    wait_until("every key is off", patience(workspaces), || sim.is_off_keys().then_some(()));
    let took = began.elapsed();

    let written = sim.requests().writes();
    daemon.full_cycles(accounts, 2);
    assert_eq!(sim.requests().writes(), written, "seed {seed}: what has converged is left alone");
    daemon.stop();
    sim.assert_nobody_was_denied();
    sim.assert_no_secret_was_asked_for();
    assert!(sim.stop().success(), "the record is complete only after its end");

    let record = Record::read(&file, &account_of);
    record.assert_requests_are_minimal();
    record.assert_every_retry_after_was_kept();
    record.assert_polls_came_in_their_time();
    record.assert_no_bucket_was_overdrawn(f64::from(speed));
    let unknown = record.assert_unknown_outcomes_were_waited_for((LATE_WRITE / speed).as_secs_f64());
    let faults = record.faults();
    assert!(!faults.is_empty(), "seed {seed}: nothing went wrong");
    let (requests, writes) = (record.0.len(), record.writes().count());
    format!(
        "seed {seed}: {workspaces} workspaces on {accounts} accounts in {:.0} s; {requests} requests, {:.1} per \
         workspace, {writes} writes, {unknown} of unknown outcome, denied 0, {} faults: {faults:?}",
        took.as_secs_f64(),
        requests as f64 / workspaces as f64,
        faults.values().sum::<usize>()
    )
}

/// On which account each workspace stands, projects by their hub; all in lower case.
fn accounts_of(sim: &Sim) -> BTreeMap<String, String> {
    let workspaces = sim.workspaces();
    let own = |workspace: &serde_json::Value| {
        let account = text_at(workspace, "/properties/storageAccount").to_lowercase();
        (!account.is_empty()).then_some(account)
    };
    let direct: BTreeMap<String, String> =
        workspaces.iter().filter_map(|workspace| Some((id_of(workspace).to_lowercase(), own(workspace)?))).collect();
    let of_hub = |workspace: &serde_json::Value| {
        direct.get(&text_at(workspace, "/properties/hubResourceId").to_lowercase()).cloned()
    };
    let all = workspaces
        .iter()
        .filter_map(|workspace| Some((id_of(workspace).to_lowercase(), own(workspace).or_else(|| of_hub(workspace))?)));
    all.collect()
}

const ACCOUNT: &str = "/subscriptions/s/resourcegroups/g/providers/microsoft.storage/storageaccounts/a";

fn at(at: f64, method: &str, path: &str, status: u16) -> Request {
    Request {
        at,
        answered: at,
        method: method.to_owned(),
        path: path.to_owned(),
        account: (method != "GET").then(|| ACCOUNT.to_owned()),
        status,
        outcome: "answered".to_owned(),
        is_json: true,
        body: json!({"properties": {"allowSharedKeyAccess": false}}),
        ..Request::default()
    }
}

#[track_caller]
fn is_found(what: &str, requests: Vec<Request>, check: impl Fn(&Record)) {
    let record = Record(requests);
    let found = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| check(&record))).is_err();
    assert!(found, "not found: {what}");
}

#[test]
fn a_record_in_which_a_rule_is_broken_is_recognized() {
    let list = format!("{ACCOUNT}/providers/microsoft.authorization/roleassignments");
    let refused = |by: Option<&str>, status| Request {
        retry_after: Some(3.0),
        refused_by: by.map(str::to_owned),
        ..at(10.0, "GET", &list, status)
    };
    let kept = |record: &Record| record.assert_every_retry_after_was_kept();
    let storm = Some("storm/s/microsoft.authorization");
    is_found("a request into a storm", vec![refused(storm, 429), at(12.9, "PUT", &list, 201)], kept);
    is_found("a repetition of a 503", vec![refused(None, 503), at(12.9, "GET", &list, 200)], kept);
    let reads = Some("principal/s/me/reads");
    is_found("a read of another resource", vec![refused(reads, 429), at(12.9, "GET", ACCOUNT, 200)], kept);
    kept(&Record(vec![refused(storm, 429), at(12.9, "GET", ACCOUNT, 200), at(13.0, "GET", &list, 200)]));

    let drawn = |record: &Record| record.assert_no_bucket_was_overdrawn(1.0);
    is_found("251 reads at once", vec![at(1.0, "GET", &list, 200); 251], drawn);
    is_found("201 writes at once", vec![at(1.0, "PUT", &list, 201); 201], drawn);
    let lists = ACCOUNT.rsplit_once('/').unwrap().0;
    is_found("101 lists of accounts", vec![at(1.0, "GET", lists, 200); 101], drawn);
    drawn(&Record((0..500).map(|n| at(f64::from(n) / 25.0, "GET", &list, 200)).collect()));

    let waited = |record: &Record| {
        let _ = record.assert_unknown_outcomes_were_waited_for(5.0);
    };
    let lost = |outcome: &str, status| Request { outcome: outcome.to_owned(), ..at(1.0, "PATCH", ACCOUNT, status) };
    for before in [lost("reset", 0), lost("hung", 0), lost("truncated", 200), lost("answered", 504)] {
        is_found("a write too soon", vec![before.clone(), at(5.9, "PATCH", ACCOUNT, 200)], waited);
        waited(&Record(vec![before, at(6.0, "PATCH", ACCOUNT, 200)]));
    }
    let running = Request { poll: Some("/op".to_owned()), is_json: false, ..at(1.0, "PATCH", ACCOUNT, 202) };
    let polled = |word: &str| Request { operation: word.to_owned(), ..at(2.0, "GET", "/op", 200) };
    let next = || at(3.0, "PATCH", ACCOUNT, 200);
    is_found("a write after a failed operation", vec![running.clone(), polled("Failed"), next()], waited);
    is_found("a write into a running operation", vec![running.clone(), next()], waited);
    assert_eq!(
        Record(vec![running.clone(), polled("Succeeded"), next()]).assert_unknown_outcomes_were_waited_for(5.0),
        0
    );

    let in_time = |record: &Record| record.assert_polls_came_in_their_time();
    let slow = Request { retry_after: Some(2.0), ..running };
    is_found("a poll too soon", vec![slow.clone(), polled("Succeeded")], in_time);
    in_time(&Record(vec![slow, at(3.0, "GET", "/op", 200)]));

    let minimal = |record: &Record| record.assert_requests_are_minimal();
    is_found("a key", vec![at(1.0, "POST", &format!("{ACCOUNT}/listkeys"), 200)], minimal);
    let wide = json!({"properties": {"allowSharedKeyAccess": false, "minimumTlsVersion": "TLS1_2"}});
    is_found("two properties", vec![Request { body: wide, ..at(1.0, "PATCH", ACCOUNT, 200) }], minimal);
}
