//! Accounts of one subscription whose grants do not all fit below its ceiling: those that fit go on, the others are named
//! and held, and Azure is asked for nothing that it would refuse.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::harness::{Daemon, Plot, Sim, Way, id_of, output_of, patience, same_id, stdout, text_at, wait_until};

/// Each has two grants to make and two that the service made.
const PLOTS: [&str; 4] = ["a-plot", "b-plot", "c-plot", "d-plot"];

/// Five places are left of 4,000: each wave fits alone, two of them fit together.
const ELSEWHERE: usize = 3_987;

fn plots() -> Vec<Plot> {
    let plot = |(n, name): (usize, &&'static str)| Plot { name, number: n + 1, way: Way::Forward, apart: false };
    PLOTS.iter().enumerate().map(plot).collect()
}

/// Why the ceiling holds the grants of each account that it holds.
fn held(plan: &Value) -> BTreeMap<String, String> {
    let mut held = BTreeMap::new();
    for account in plan["accounts"].as_array().unwrap() {
        let gates = account["steps"].as_array().unwrap().iter().flat_map(|step| step["gates"].as_array().unwrap());
        for shut in gates.filter(|check| check["gate"] == "below_ceiling" && check["state"] == "unmet") {
            held.insert(id_of(account).to_lowercase(), text_at(shut, "/why").to_owned());
        }
    }
    held
}

#[test]
fn what_fits_below_the_ceiling_goes_on_and_only_the_rest_is_held() {
    let plots = plots();
    let mut world: Vec<Value> = plots.iter().flat_map(Plot::resources).collect();
    world.extend(plots.iter().map(|plot| plot.account_with(&json!({}))));
    world.extend((0..ELSEWHERE).map(|n| plots[0].grant_elsewhere(n)));
    let sim = Sim::of_world(&world, &["--speed", "1800"]);
    for plot in &plots {
        std::fs::write(sim.desired().join(format!("{}.yaml", plot.name)), plot.documents("")).unwrap();
    }
    let plan = serde_json::from_str(&stdout(&output_of(sim.command(&["plan", "--output", "json"]), 0))).unwrap();
    let named = held(&plan);
    let expected: Vec<String> = plots[2..].iter().map(|plot| plot.account().to_lowercase()).collect();
    assert_eq!(named.keys().cloned().collect::<Vec<_>>(), expected, "{named:#?}");
    for why in named.values() {
        for words in ["3995 of at most 4000", "2 more are due here", "after 4 at accounts of it that go first"] {
            assert!(why.contains(words), "no `{words}` in: {why}");
        }
    }
    assert_eq!(sim.requests().writes(), 0);

    let mut daemon = Daemon::start(&sim);
    let grants = |daemon: &Daemon, plot: &Plot| {
        let (events, account) = (daemon.events("action_applied"), plot.account());
        let own = events.iter().filter(|event| same_id(text_at(event, "/storage_account"), &account));
        own.filter(|event| text_at(event, "/kind") == "GrantRole").count()
    };
    let switched = |plot: &Plot| {
        sim.mode(&plot.workspace("alpha")) == "identity" && sim.mode(&plot.workspace("bravo")) == "identity"
    };
    wait_until("those that fit are switched", patience(4), || plots[..2].iter().all(switched).then_some(()));
    daemon.full_cycles(plots.len(), 3);
    let made: Vec<usize> = plots.iter().map(|plot| grants(&daemon, plot)).collect();
    assert_eq!(made, [2, 2, 0, 0], "those that come first go on");
    for plot in &plots[2..] {
        let account = plot.account();
        daemon.event("gate_unmet", |event| {
            event["gate"] == "below_ceiling" && same_id(text_at(event, "/storage_account"), &account)
        });
    }
    assert_eq!(daemon.events("action_failed"), Vec::<Value>::new(), "nothing is tried that Azure would refuse");

    for n in 0..20 {
        sim.drift("resourceRemoved", id_of(&plots[0].grant_elsewhere(n)), Value::Null);
    }
    daemon.until_converged(plots.len(), patience(4));
    daemon.stop();
    sim.assert_nobody_was_denied();
}
