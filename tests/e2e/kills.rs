//! A daemon that dies again and again comes to the same end, and nobody is denied on the way.

use serde_json::{Value, json};

use crate::harness::{Daemon, Dice, Sim, id_of, number, output_of, patience, same_id, stdout, text_at};

/// Another fleet: `KEYLESS_E2E_WORKSPACES=200 KEYLESS_E2E_KILLS=20 cargo test --test e2e kills -- --nocapture`.
fn fleet() -> (usize, usize, u64) {
    (number("KEYLESS_E2E_WORKSPACES", 24), number("KEYLESS_E2E_KILLS", 8), number("KEYLESS_E2E_SEED", 7) as u64)
}

#[test]
fn killed_at_random_moments_it_comes_to_the_same_end_and_nobody_is_denied() {
    let (workspaces, kills, seed) = fleet();
    let sim = Sim::fleet(workspaces, seed);
    let accounts = sim.accounts().len();
    let plan: Value = serde_json::from_str(&stdout(&output_of(sim.command(&["plan", "--output", "json"]), 0))).unwrap();
    let steps = plan["summary"]["steps"].as_u64().unwrap();
    let mut dice = Dice::new(seed);

    let mut amid = 0;
    for _ in 0..kills {
        let before = sim.requests();
        let mut daemon = Daemon::start(&sim);
        // A moment is a number of writes and of requests, so that a slow machine is killed at the same ones.
        let writes = before.writes() + dice.up_to(steps / kills as u64);
        let written = |_: &Daemon| (sim.requests().writes() >= writes).then_some(());
        daemon.wait_until("it writes on", patience(workspaces), written);
        let requests = sim.requests().total() + dice.up_to(60);
        daemon.wait_until("it asks on", patience(workspaces), |_| (sim.requests().total() >= requests).then_some(()));
        daemon.kill();
        amid += usize::from(!sim.is_off_keys());
        assert!(sim.requests().writes() == before.writes() || !sim.has_settled_mark(), "a crash leaves no mark");
        sim.assert_nobody_was_denied();
    }
    assert_eq!(amid, kills, "every death was amid the migration");

    let at_last_death = sim.requests().writes();
    let mut daemon = Daemon::start(&sim);
    daemon.until_converged(accounts, patience(workspaces));
    assert!(sim.is_off_keys());
    sim.assert_nobody_was_denied();
    let requests = sim.requests();
    daemon.full_cycles(accounts, 2);
    assert_eq!(sim.requests().writes(), requests.writes());
    daemon.stop();
    sim.assert_nobody_was_denied();
    sim.assert_no_secret_was_asked_for();
    println!(
        "{kills} kills amid the migration of {workspaces} workspaces on {accounts} accounts; {steps} steps planned, \
         {at_last_death} writes at the last death, {} in the end, {} requests",
        requests.writes(),
        requests.total()
    );
}

#[test]
fn after_a_crash_the_first_write_waits_and_after_a_clean_stop_it_does_not() {
    let sim = Sim::fleet(6, 5);
    let accounts = sim.accounts();
    let account = id_of(&accounts[0]);
    let fleet = sim.desired().join("fleet.yaml");
    let quick = std::fs::read_to_string(&fleet).unwrap();
    // Far more than any test takes, so that a wait cannot be mistaken for slowness.
    let slow = quick.replace("lateWrite: 500ms", "lateWrite: 2h");
    assert_ne!(quick, slow);

    // Without a mark this may follow a crash. It observes, plans and announces, and writes nothing.
    std::fs::write(&fleet, &slow).unwrap();
    let mut daemon = Daemon::start(&sim);
    daemon.full_cycles(accounts.len(), 3);
    assert!(!daemon.events("plan_computed").is_empty());
    daemon.stop();
    assert_eq!(sim.requests().writes(), 0);
    assert!(!sim.has_settled_mark(), "the wait was not over, so nobody can say that nothing may land any more");

    std::fs::write(&fleet, &quick).unwrap();
    let mut daemon = Daemon::start(&sim);
    daemon.until_converged(accounts.len(), patience(6));
    daemon.stop();
    assert!(sim.has_settled_mark());

    // With the mark it corrects at once.
    std::fs::write(&fleet, &slow).unwrap();
    sim.drift("sharedKey", account, json!(true));
    let mut daemon = Daemon::start(&sim);
    daemon.wait_until("it writes at once", patience(6), |_| (!sim.key_is_on(account)).then_some(()));
    daemon.kill();
    assert!(!sim.has_settled_mark());

    // Its death left none, and the wait begins anew.
    sim.drift("sharedKey", account, json!(true));
    let written = sim.requests().writes();
    let mut daemon = Daemon::start(&sim);
    daemon.event("drift_detected", |event| same_id(text_at(event, "/storage_account"), account));
    daemon.full_cycles(accounts.len(), 3);
    assert_eq!(sim.requests().writes(), written);
    assert!(sim.key_is_on(account));
    sim.assert_nobody_was_denied();
}
