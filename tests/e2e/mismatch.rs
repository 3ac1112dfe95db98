//! Somebody whose file asked for less than the work takes: by keys it worked, with a token it is refused. The daemon tells
//! it from the metrics of the account, names the person by the resource logs, undoes nothing, and mends it by the file.

use serde_json::{Value, json};

use crate::harness::{Daemon, NAMES, Plot, Sim, Way, patience, same_id, text_at, wait_until};

const BLOBS: &str = "Microsoft.Storage/storageAccounts/blobServices/containers/blobs";
const ASKED: &str = "      scenarios: [datastores]\n";
const LESS: &str = "      level: readOnly\n";

/// Accounts on which the person of the first workspace reads and writes, with the resource logs of blobs.
fn cloud(plots: &[Plot]) -> Sim {
    let logs = format!("{}/providers/Microsoft.OperationalInsights/workspaces/log-ops", plots[0].group());
    let mut world = vec![json!({"id": logs, "name": "log-ops", "type": "Microsoft.OperationalInsights/workspaces",
        "location": "westeurope", "properties": {}})];
    for plot in plots {
        world.extend(plot.resources().into_iter().map(|mut resource| {
            if text_at(&resource, "/properties/principalId") == plot.guid(20)
                && resource["type"] == "Keyless.Sim/workloads"
            {
                resource["properties"]["dataActions"] = json!([format!("{BLOBS}/read"), format!("{BLOBS}/write")]);
            }
            resource
        }));
        world.push(plot.account_with(&json!({})));
        let service = format!("{}/blobServices/default", plot.account());
        world.push(json!({"id": format!("{service}/providers/Microsoft.Insights/diagnosticSettings/audit"),
            "name": "audit", "type": "Microsoft.Insights/diagnosticSettings",
            "properties": {"workspaceId": logs, "logs": [{"categoryGroup": "allLogs", "enabled": true}]}}));
    }
    let sim = Sim::of_world(&world, &["--speed", "600"]);
    let fleet = sim.desired().join("fleet.yaml");
    let text = std::fs::read_to_string(&fleet).unwrap();
    let evidence = format!("{}\n  evidence: {{logAnalytics: {{workspace: {logs}}}}}\n", text.trim_end());
    std::fs::write(&fleet, evidence).unwrap();
    sim
}

fn denied(daemon: &Daemon, account: &str) -> Vec<Value> {
    let all = daemon.events("key_user_denied").into_iter();
    all.filter(|event| same_id(text_at(event, "/storage_account"), account)).collect()
}

#[test]
fn whoever_was_given_less_than_the_work_takes_is_told_and_named_and_nothing_is_undone() {
    let plot = |name, number| Plot { name, number, way: Way::Forward, apart: false };
    // On one the key stays on.
    let plots = [plot("m-kept", 300), plot("m-off", 301)];
    let sim = cloud(&plots);
    let write = |plot: &Plot, less: bool| {
        let account = if plot.name == "m-kept" { "  sharedKeyAccess: enabled\n" } else { "" };
        let text = plot.documents(account);
        let text = if less { text.replacen(ASKED, LESS, 1) } else { text };
        std::fs::write(sim.desired().join(format!("{}.yaml", plot.name)), text).unwrap();
    };
    plots.iter().for_each(|plot| write(plot, true));
    let mut daemon = Daemon::start(&sim);
    for plot in &plots {
        let account = plot.account();
        let told = daemon.event("key_user_denied", |event| {
            let named = event["callers"].is_string() && text_at(event, "/why").contains("(switch to identity)");
            named && same_id(text_at(event, "/storage_account"), &account)
        });
        let service = (&told["level"], &told["service"], &told["authentication"]);
        assert_eq!(service, (&json!("WARN"), &json!("blob"), &json!("OAuth")), "{told:#}");
        assert!(told["requests"].as_u64() > Some(0) && told["hour"].is_string(), "{told:#}");
        assert!(text_at(&told, "/why").contains("a data role is missing that no document declares"), "{told:#}");
        let callers = text_at(&told, "/callers");
        assert!(callers.contains(&plot.guid(20)) && callers.contains("PutBlob"), "{told:#}");
        assert!(!callers.contains(&plot.guid(21)), "the other one has what the work takes: {told:#}");
    }
    daemon.until_converged(plots.len(), patience(plots.len()));
    let writes = sim.requests().writes();
    daemon.full_cycles(plots.len(), 5);
    assert_eq!(sim.requests().writes(), writes, "it is told, and nothing is undone");
    for plot in &plots {
        assert!(NAMES.iter().all(|name| sim.mode(&plot.workspace(name)) == "identity"));
        let told = denied(&daemon, &plot.account());
        assert!(told.iter().all(|event| event["authentication"] == "OAuth"), "{told:#?}");
    }
    assert!(sim.key_is_on(&plots[0].account()) && !sim.key_is_on(&plots[1].account()));

    // The file asks for what the work takes, and once that works nobody is refused any more.
    plots.iter().for_each(|plot| write(plot, false));
    for plot in &plots {
        let granted = daemon.event("action_applied", |event| {
            event["role"] == "Storage Blob Data Contributor" && same_id(text_at(event, "/principal"), &plot.guid(20))
        });
        assert!(same_id(text_at(&granted, "/storage_account"), &plot.account()), "{granted:#}");
    }
    wait_until("nobody is refused any more", patience(plots.len()), || {
        let before = sim.denied_entitled();
        daemon.full_cycles(plots.len(), 2);
        (sim.denied_entitled() == before).then_some(())
    });
    daemon.stop();
    // That the file asked for too little is the one harm there was.
    let oracle = sim.oracle();
    let events = oracle["events"].as_array().unwrap();
    assert_eq!(events.len(), plots.len(), "{oracle:#}");
    for plot in &plots {
        // Which account was switched first is chance.
        let mut here = events.iter().filter(|event| same_id(text_at(event, "/account"), &plot.account()));
        let event = here.next().unwrap_or_else(|| panic!("nothing on {}: {oracle:#}", plot.name));
        assert_eq!(event["principal"], plot.guid(20), "{oracle:#}");
        assert_eq!(event["cause"], format!("AuthorizationPermissionMismatch: {BLOBS}/write"), "{oracle:#}");
    }
}
