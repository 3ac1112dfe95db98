//! The order of the one published migration script, key off, grant, datastores, switch, is an outage; the daemon's order
//! is none.
//!
//! Source: `securitywave1` of <https://github.com/shpengmsft/aml_tools>.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::harness::{Daemon, Sim, id_of, output_of, patience, same_id, stdout, text_at, wait_until};

const WORKSPACES: usize = 20;
const SEED: u64 = 3;

/// What keyless would grant: the script gets every role right, and in one go. Only its order is its own.
fn grants(sim: &Sim) -> Vec<Value> {
    let plan: Value = serde_json::from_str(&stdout(&output_of(sim.command(&["plan", "--output", "json"]), 0))).unwrap();
    let accounts = plan["accounts"].as_array().unwrap().iter();
    let steps = accounts.flat_map(|account| account["steps"].as_array().unwrap().clone());
    steps.filter(|step| step["action"] == "GrantRole").collect()
}

/// The ids of the built-in roles by their names, as a script looks them up.
fn roles(sim: &Sim, scope: &str) -> BTreeMap<String, String> {
    let list = sim.arm(
        "GET",
        &format!("{scope}/providers/Microsoft.Authorization/roleDefinitions"),
        "2022-04-01",
        &Value::Null,
    );
    let list = list.ok().json();
    let roles = list["value"].as_array().unwrap().iter();
    roles.map(|role| (text_at(role, "/properties/roleName").to_owned(), id_of(role).to_owned())).collect()
}

fn grant(sim: &Sim, number: usize, step: &Value, roles: &BTreeMap<String, String>) {
    // `GrantRole ROLE to TYPE ID at NAME`
    let kind = text_at(step, "/message").split(" to ").nth(1).and_then(|rest| rest.split(' ').next()).unwrap();
    let id = format!(
        "{}/providers/Microsoft.Authorization/roleAssignments/00000000-0000-4000-8000-{number:012}",
        text_at(step, "/target")
    );
    let body = json!({"properties": {
        "roleDefinitionId": roles[text_at(step, "/role")],
        "principalId": step["principal"],
        "principalType": kind,
    }});
    let answer = sim.arm("PUT", &id, "2022-04-01", &body);
    assert!([200, 201, 409].contains(&answer.status), "{answer:?}");
}

#[test]
fn key_off_then_grant_then_switch_denies_the_entitled() {
    let sim = Sim::fleet(WORKSPACES, SEED);
    let (grants, accounts, workspaces) = (grants(&sim), sim.accounts(), sim.workspaces());
    for account in &accounts {
        let account = id_of(account);
        sim.set_key_by_hand(account, false);
        let roles = roles(&sim, account);
        for (number, step) in grants.iter().enumerate() {
            if same_id(text_at(step, "/target"), account) {
                grant(&sim, number, step, &roles);
            }
        }
    }
    for store in sim.resources("Microsoft.MachineLearningServices/workspaces/datastores") {
        if !text_at(&store, "/name").starts_with("workspace") {
            let mut body = json!({"properties": store["properties"]});
            body["properties"]["credentials"] = json!({"credentialsType": "None"});
            sim.arm("PUT", id_of(&store), "2024-04-01", &body).ok();
        }
    }
    for workspace in &workspaces {
        sim.set_mode_by_hand(id_of(workspace), "Identity");
    }
    wait_until("the script's work is done", patience(WORKSPACES), || sim.is_off_keys().then_some(()));

    let oracle = sim.oracle();
    assert!(oracle["denied"]["entitled"].as_u64() > Some(0), "{oracle:#}");
    let spells = oracle["events"].as_array().unwrap();
    let by_key_off = spells.iter().filter(|spell| spell["cause"] == "KeyBasedAuthenticationNotPermitted").count();
    assert!(by_key_off > 0, "{oracle:#}");
    println!(
        "the script's order: {} denied tries of the entitled, {} spells, {by_key_off} of them because the key was off",
        oracle["denied"]["entitled"],
        spells.len()
    );

    // It ends where keyless ends, and then everybody works again: only the order was wrong.
    let mut last = (0, 0);
    wait_until("nobody is denied any more", patience(WORKSPACES), || {
        let oracle = sim.oracle();
        let (tries, denied) = (oracle["tries"].as_u64().unwrap(), sim.denied_entitled());
        let over = denied == last.1 && tries > last.0 + 500;
        if denied != last.1 {
            last = (tries, denied);
        }
        over.then_some(())
    });
}

#[test]
fn on_the_same_fleet_the_daemon_denies_nobody() {
    let sim = Sim::fleet(WORKSPACES, SEED);
    let mut daemon = Daemon::start(&sim);
    daemon.until_converged(sim.accounts().len(), patience(WORKSPACES));
    assert!(sim.is_off_keys());
    daemon.stop();
    sim.assert_nobody_was_denied();
}
