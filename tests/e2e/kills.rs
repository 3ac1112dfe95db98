//! A daemon that dies again and again comes to the same end, and nobody is denied on the way.

use std::fmt::Write as _;

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

/// What the files ask of the whole fleet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    Forward,
    Back,
}

impl Way {
    fn other(self) -> Self {
        match self {
            Self::Forward => Self::Back,
            Self::Back => Self::Forward,
        }
    }

    /// Has the files ask for it.
    fn ask(self, sim: &Sim) {
        let (from, to) = match self {
            Self::Forward => ("authMode: accesskey", "authMode: identity"),
            Self::Back => ("authMode: identity", "authMode: accesskey"),
        };
        for entry in std::fs::read_dir(sim.desired()).unwrap() {
            let path = entry.unwrap().path();
            let text = std::fs::read_to_string(&path).unwrap();
            std::fs::write(&path, text.replace(from, to)).unwrap();
        }
        let mut accounts = String::new();
        for (number, account) in sim.accounts().iter().enumerate().filter(|_| self == Self::Back) {
            let id = id_of(account);
            write!(
                accounts,
                "---\napiVersion: keyless.dev/v1\nkind: StorageAccount\nmetadata: {{name: account-{number}}}\nspec:\n  \
                 resourceId: {id}\n  sharedKeyAccess: enabled\n"
            )
            .unwrap();
        }
        std::fs::write(sim.desired().join("accounts.yaml"), accounts).unwrap();
    }

    fn is_reached(self, sim: &Sim) -> bool {
        match self {
            Self::Forward => sim.is_off_keys(),
            Self::Back => {
                sim.accounts().iter().all(|account| sim.key_is_on(id_of(account)))
                    && sim.workspaces().iter().all(|workspace| sim.mode(id_of(workspace)) == "accesskey")
            }
        }
    }
}

/// Longer: `KEYLESS_E2E_DEATHS=1000 KEYLESS_E2E_SEED=1 cargo test --release --test e2e there_and_back -- --nocapture`.
#[test]
fn killed_on_the_way_there_and_back_it_denies_nobody_and_leaves_no_grant_behind() {
    const WORKSPACES: usize = 6;
    let (deaths, seed) = (number("KEYLESS_E2E_DEATHS", 8), number("KEYLESS_E2E_SEED", 7) as u64);
    let sim = Sim::fleet(WORKSPACES, seed);
    let accounts = sim.accounts().len();
    let mut dice = Dice::new(seed);
    let (mut way, mut turns, mut amid) = (Way::Forward, 0, 0);
    for death in 1..=deaths {
        if way.is_reached(&sim) {
            way = way.other();
            way.ask(&sim);
            turns += 1;
        }
        let before = sim.requests();
        let mut daemon = Daemon::start(&sim);
        // A death amid the first reads, amid the wait after the start, or some requests behind a write.
        let writes = before.writes() + dice.up_to(3);
        daemon.wait_until("it writes on", patience(WORKSPACES), |_| {
            (sim.requests().writes() >= writes || way.is_reached(&sim)).then_some(())
        });
        let requests = sim.requests().total() + dice.up_to(40);
        daemon.wait_until("it asks on", patience(WORKSPACES), |_| {
            (sim.requests().total() >= requests).then_some(()) //
        });
        daemon.kill();
        amid += usize::from(!way.is_reached(&sim));
        let denied = sim.denied_entitled();
        assert_eq!(denied, 0, "death {death} of seed {seed}, {way:?}: {:#}", sim.oracle());
    }
    assert!(amid * 2 > deaths, "{amid} of {deaths} deaths were amid the work");

    Way::Forward.ask(&sim);
    let mut daemon = Daemon::start(&sim);
    daemon.until_converged(accounts, patience(WORKSPACES));
    assert!(sim.is_off_keys());
    daemon.stop();
    sim.assert_nobody_was_denied();
    sim.assert_no_secret_was_asked_for();
    // Each grant of its own is one that the files ask for, and there is one of each.
    let plan: Value = serde_json::from_str(&stdout(&output_of(sim.command(&["plan", "--output", "json"]), 0))).unwrap();
    assert_eq!(plan["summary"]["steps"], 0, "{plan:#}");
    assert!(!plan.to_string().contains("grant_unwanted"), "{plan:#}");
    let own: Vec<Value> = sim
        .resources("Microsoft.Authorization/roleAssignments")
        .into_iter()
        .filter(|grant| text_at(grant, "/properties/description").contains("keyless"))
        .collect();
    let mut distinct: Vec<String> = own
        .iter()
        .map(|grant| {
            let at = |pointer| text_at(grant, pointer).to_lowercase();
            format!(
                "{} {} {}",
                at("/properties/scope"),
                at("/properties/principalId"),
                at("/properties/roleDefinitionId")
            )
        })
        .collect();
    distinct.sort();
    distinct.dedup();
    assert_eq!((own.is_empty(), distinct.len()), (false, own.len()), "{own:#?}");
    println!(
        "{deaths} deaths, {amid} of them amid the work, {turns} turns of the files, {} writes, {} requests: nobody denied",
        sim.requests().writes(),
        sim.requests().total()
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
