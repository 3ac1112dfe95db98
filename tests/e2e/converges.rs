//! A whole fleet goes off keys while everybody keeps working, and then nothing is written any more.

use std::time::{Duration, Instant};

use crate::harness::{Daemon, Sim, id_of, number, output_of, patience, stdout, wait_until};

/// Another fleet: `KEYLESS_E2E_WORKSPACES=200 KEYLESS_E2E_SEED=7 cargo test --test e2e converges`.
fn fleet() -> (usize, u64) {
    (number("KEYLESS_E2E_WORKSPACES", 40), number("KEYLESS_E2E_SEED", 7) as u64)
}

#[test]
fn a_fleet_goes_off_keys_without_a_denied_access_and_then_is_only_read() {
    let (workspaces, seed) = fleet();
    let sim = Sim::fleet(workspaces, seed);
    let accounts = sim.accounts().len();
    assert_eq!(sim.workspaces().len(), workspaces);
    let began = Instant::now();
    let mut daemon = Daemon::start(&sim);
    daemon.until_converged(accounts, patience(workspaces));
    let took = began.elapsed();
    assert!(sim.is_off_keys());
    sim.assert_nobody_was_denied();

    let before = sim.requests();
    assert!(before.writes() > 0);
    daemon.full_cycles(accounts, 3);
    let after = sim.requests();
    assert_eq!(after.writes(), before.writes(), "a converged fleet is written to: {:#?}", after.by_operation());
    for read in ["/microsoft.storage/storageaccounts/{}", "/microsoft.machinelearningservices/workspaces/{}"] {
        assert!(after.count("GET ", read) >= before.count("GET ", read) + accounts as u64, "{read} is not read");
    }
    sim.assert_no_secret_was_asked_for();
    assert!(!sim.has_settled_mark(), "a running writer leaves the mark off");
    for page in ["/healthz", "/readyz"] {
        assert_eq!(daemon.get(page).status, 200, "{page}");
    }
    assert!(daemon.get("/").ok().text.contains("converged"));

    let stopped = daemon.stop();
    assert!(stopped.took <= Duration::from_secs(10), "SIGTERM took {:?}", stopped.took);
    assert!(stopped.stdout.is_empty(), "the log goes to stderr");
    assert!(sim.has_settled_mark(), "every write was settled at the end");
    output_of(sim.command(&["plan", "--detailed-exitcode"]), 0);
    sim.assert_nobody_was_denied();
    println!(
        "{workspaces} workspaces on {accounts} accounts in {took:?}: {} writes, {} requests, {} tries of which none was \
         denied; SIGTERM took {:?}",
        after.writes(),
        after.total(),
        sim.oracle()["tries"],
        stopped.took
    );
}

#[test]
fn asked_to_stop_amid_the_migration_it_ends_in_time_with_every_write_settled() {
    let sim = Sim::fleet(12, 7);
    let mut daemon = Daemon::start(&sim);
    daemon.wait_until("it writes", patience(12), |_| (sim.requests().writes() >= 5).then_some(()));
    assert!(!sim.has_settled_mark());
    let stopped = daemon.stop();
    assert!(stopped.took <= Duration::from_secs(10), "SIGTERM took {:?}", stopped.took);
    assert!(sim.has_settled_mark());
    assert!(!sim.is_off_keys(), "it was amid the migration");
    let written = sim.requests().writes();
    // Without `--detailed-exitcode`, for a job at work may well block an account just now.
    let plan = stdout(&output_of(sim.command(&["plan"]), 0));
    assert!(plan.contains("shared key access is enabled, files ask disabled"), "{plan}");
    assert_eq!(sim.requests().writes(), written, "nothing comes after its end");
    sim.assert_nobody_was_denied();
}

#[test]
fn the_same_fleet_with_its_keys_switched_off_by_hand_denies_the_entitled() {
    let (workspaces, seed) = fleet();
    let sim = Sim::fleet(workspaces, seed);
    let accounts = sim.accounts();
    for account in &accounts {
        sim.set_key_by_hand(id_of(account), false);
    }
    wait_until("somebody is denied", patience(workspaces), || (sim.denied_entitled() > 0).then_some(()));
    println!("by hand: {}", sim.oracle()["denied"]);
    let requests = sim.requests();
    assert_eq!(requests.count("PATCH ", "/microsoft.storage/storageaccounts/{}"), accounts.len() as u64);
}

#[test]
fn over_tls_the_daemon_needs_nothing_but_the_files() {
    let sim = Sim::start(&["--workspaces", "8", "--seed", "7", "--speed", "600", "--tls"]);
    assert!(sim.ready("resourceManager").starts_with("https://"));
    let accounts = sim.accounts().len();
    let mut daemon = Daemon::start_as(sim.command_by_files(&["run", "--log", "json"]));
    daemon.until_converged(accounts, patience(8));
    assert!(sim.is_off_keys());
    daemon.stop();
    assert!(sim.has_settled_mark());
    sim.assert_nobody_was_denied();
    sim.assert_no_secret_was_asked_for();
}
