//! Jobs and compute instances at work hold the switch of their workspace, are named before anything is written, and are
//! waited for or not as the files say.

use serde_json::{Value, json};

use crate::harness::{Daemon, Sim, id_of, patience, same_id, text_at, wait_until};
use crate::own_rights::{WORKSPACES, confined, converging, plan, put};

/// What a case is about.
struct Place {
    account: String,
    /// A workspace of the account that the plan switches.
    workspace: String,
}

fn steps<'a>(plan: &'a Value, account: &str) -> Vec<&'a Value> {
    let all = plan["accounts"].as_array().unwrap();
    let own = all.iter().find(|entry| same_id(text_at(entry, "/id"), account)).unwrap();
    own["steps"].as_array().unwrap().iter().collect()
}

/// The first account for which all three kinds of step are planned.
fn place(plan: &Value) -> Place {
    for entry in plan["accounts"].as_array().unwrap() {
        let account = text_at(entry, "/id");
        let all = steps(plan, account);
        let target =
            |action: &str| all.iter().find(|step| step["action"] == action).map(|step| text_at(step, "/target"));
        if let (Some(_), Some(workspace), Some(_)) =
            (target("GrantRole"), target("SetAuthMode"), target("SetSharedKeyAccess"))
        {
            return Place { account: account.to_owned(), workspace: workspace.to_owned() };
        }
    }
    panic!("no account has all kinds of steps: {plan:#}")
}

/// The gate that waits for what is at work, of the switch of the place.
fn drained(plan: &Value, place: &Place) -> Value {
    let all = steps(plan, &place.account);
    let step = all.into_iter().find(|step| same_id(text_at(step, "/target"), &place.workspace));
    let gates = step.expect("the switch is planned")["gates"].as_array().unwrap();
    gates.iter().find(|check| check["gate"] == "drained").expect("it has the gate").clone()
}

/// A job that runs in the workspace until it is taken away, for somebody who is at work there anyway.
fn job(sim: &Sim, workspace: &str, name: &str) -> Value {
    let at_work = sim.resources("Keyless.Sim/workloads");
    let entitled = |entry: &&Value| {
        let own = same_id(text_at(entry, "/properties/workspace"), workspace);
        own && entry["properties"]["datastore"].is_null() && entry["properties"]["dataActions"] != json!([])
    };
    let like = at_work.iter().find(entitled).expect("somebody is at work in the workspace");
    json!({"id": format!("{workspace}/providers/Keyless.Sim/jobs/{name}"), "type": "Keyless.Sim/jobs",
        "properties": {"workspace": workspace, "name": name, "principalId": like["properties"]["principalId"],
            "dataActions": like["properties"]["dataActions"]}})
}

/// An instance that is never idle.
fn instance(workspace: &str, name: &str) -> Value {
    json!({"id": format!("{workspace}/computes/{name}"), "name": name, "location": "westeurope",
        "type": "Microsoft.MachineLearningServices/workspaces/computes",
        "properties": {"computeType": "ComputeInstance", "provisioningState": "Succeeded",
            "properties": {"state": "Running"}}})
}

/// Adds a line to the defaults of the fleet's file.
fn by_default(sim: &Sim, line: &str) {
    for entry in std::fs::read_dir(sim.desired()).unwrap() {
        let path = entry.unwrap().path();
        let text = std::fs::read_to_string(&path).unwrap();
        if text.contains("kind: Fleet") {
            let (head, tail) = text.split_once("  defaults:\n").expect("the fleet has defaults");
            return std::fs::write(&path, format!("{head}  defaults:\n    {line}\n{tail}")).unwrap();
        }
    }
    panic!("there is no Fleet document");
}

#[test]
fn what_runs_in_a_workspace_holds_its_switch_until_its_end() {
    let sim = Sim::fleet(WORKSPACES, 5);
    let place = place(&plan(&sim));
    let at_work = [job(&sim, &place.workspace, "long-training"), instance(&place.workspace, "ci-busy")];
    at_work.iter().for_each(|resource| put(&sim, resource));

    let gate = drained(&plan(&sim), &place);
    assert_eq!(gate["state"], "unmet", "{gate:#}");
    let said = format!("{} {}", text_at(&gate, "/why"), text_at(&gate, "/lift"));
    for word in ["job long-training (Command, Running)", "instance ci-busy (Running)", "drain: ignore"] {
        assert!(said.contains(word), "no `{word}` in: {said}");
    }
    assert_eq!(sim.requests().writes(), 0, "it is named before anything is written");

    let mut daemon = Daemon::start(&sim);
    let held = |step: &&Value| {
        let switch = step["action"] == "SetAuthMode" && same_id(text_at(step, "/target"), &place.workspace);
        switch || step["action"] == "SetSharedKeyAccess" || step["action"] == "SetDatastoreCredential"
    };
    let left = wait_until("all that it does not hold is done", patience(WORKSPACES), || {
        let plan = plan(&sim);
        let mut others = plan["accounts"].as_array().unwrap().iter();
        let done = others.all(|entry| {
            same_id(text_at(entry, "/id"), &place.account) || entry["standing"] == "converged" //
        });
        let own: Vec<Value> = steps(&plan, &place.account).into_iter().cloned().collect();
        (done && own.iter().all(|step| held(&step))).then_some(own)
    });
    assert!(left.iter().any(|step| step["action"] == "SetAuthMode"), "{left:#?}");
    daemon.event("gate_unmet", |event| event["gate"] == "drained");
    assert_eq!(sim.mode(&place.workspace), "accesskey");
    assert_eq!(sim.requests().refused(), Vec::<Value>::new());
    sim.assert_nobody_was_denied();

    for resource in &at_work {
        sim.drift("resourceRemoved", id_of(resource), Value::Null);
    }
    daemon.until_converged(sim.accounts().len(), patience(WORKSPACES));
    assert!(sim.is_off_keys());
    daemon.stop();
    sim.assert_nobody_was_denied();
}

#[test]
fn a_switch_that_does_not_wait_is_made_under_the_job_that_the_plan_named() {
    let sim = Sim::fleet(WORKSPACES, 5);
    let workspace = place(&plan(&sim)).workspace;
    let running = job(&sim, &workspace, "long-training");
    put(&sim, &running);
    by_default(&sim, "drain: ignore");
    let planned = plan(&sim);
    let accounts = planned["accounts"].as_array().unwrap();
    let findings = accounts.iter().flat_map(|account| account["findings"].as_array().unwrap());
    let shown: Vec<&str> =
        findings.filter(|finding| finding["kind"] == "running").map(|finding| text_at(finding, "/message")).collect();
    assert!(shown.iter().any(|text| text.contains("job long-training (Command, Running)")), "{shown:#?}");
    let mut daemon = Daemon::start(&sim);
    wait_until("it is switched", patience(WORKSPACES), || (sim.mode(&workspace) == "identity").then_some(()));
    daemon.until_converged(sim.accounts().len(), patience(WORKSPACES));
    daemon.stop();
    let still = sim.resources("Microsoft.MachineLearningServices/workspaces/jobs");
    let still = still.iter().find(|job| job["name"] == "long-training").expect("the job is there");
    assert_eq!(still["properties"]["status"], "Running");
    // Here the worst that may become of such a job does: which is why waiting is the default.
    let oracle = sim.oracle();
    let events = oracle["events"].as_array().unwrap();
    let mounted = |event: &&Value| text_at(event, "/cause").contains("mounted with the key");
    assert!(events.iter().all(|event| mounted(&event)), "{oracle:#}");
    let lost = |event: &Value| event["principal"] == running["properties"]["principalId"];
    assert!(events.iter().any(lost), "{oracle:#}");
}

#[test]
fn a_daemon_that_may_not_read_jobs_names_the_right_and_the_other_way() {
    const RIGHT: &str = "Microsoft.MachineLearningServices/workspaces/jobs/read";
    let sim = confined(&converging(RIGHT));
    let place = place(&plan(&sim));
    let gate = drained(&plan(&sim), &place);
    assert_eq!(gate["state"], "unmet", "{gate:#}");
    for word in [RIGHT, "drain: ignore"] {
        assert!(text_at(&gate, "/lift").contains(word), "{gate:#}");
    }
    let mut daemon = Daemon::start(&sim);
    let told = daemon.event("gate_unmet", |event| event["gate"] == "drained");
    assert!(text_at(&told, "/lift").contains(RIGHT), "{told:#}");
    wait_until("the grants are made", patience(WORKSPACES), || {
        steps(&plan(&sim), &place.account).iter().all(|step| step["action"] != "GrantRole").then_some(())
    });
    assert_eq!(sim.mode(&place.workspace), "accesskey");
    sim.assert_nobody_was_denied();
    by_default(&sim, "drain: ignore");
    daemon.until_converged(sim.accounts().len(), patience(WORKSPACES));
    daemon.stop();
    assert!(sim.is_off_keys());
}
