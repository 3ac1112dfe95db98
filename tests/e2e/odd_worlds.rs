//! Files and worlds that do not fit each other in ways that happen: nothing ends badly, every oddness is told in clear
//! words, what can go on goes on, and nobody is denied anything.

use serde_json::{Value, json};

use crate::harness::{Daemon, Plot, Sim, Way, id_of, output_of, patience, same_id, stdout, text_at};

const NOWHERE: &str = "/subscriptions/00000000-1111-4222-8333-444444444444";

/// The documents as somebody writes them who does not care about case.
fn shouted(plot: &Plot) -> String {
    let mut text = plot.documents("  sharedKeyAccess: disabled\n");
    let ids = [plot.account(), plot.workspace("alpha"), plot.workspace("bravo"), plot.guid(20), plot.guid(21)];
    for id in ids {
        assert!(text.contains(&id), "{id}");
        text = text.replace(&id, &id.to_uppercase());
    }
    text
}

fn plan(sim: &Sim) -> Value {
    serde_json::from_str(&stdout(&output_of(sim.command(&["plan", "--output", "json"]), 0))).unwrap()
}

fn of_account<'a>(plan: &'a Value, account: &str) -> &'a Value {
    let all = plan["accounts"].as_array().unwrap();
    let own: Vec<&Value> = all.iter().filter(|entry| same_id(id_of(entry), account)).collect();
    assert_eq!(own.len(), 1, "one plan for one account, however it is spelled: {account}");
    own[0]
}

/// What the gate of the key's step says, and what lifts it.
fn held_by(entry: &Value, gate: &str) -> String {
    let steps = entry["steps"].as_array().unwrap();
    let step = steps.iter().find(|step| step["action"] == "SetSharedKeyAccess").expect("the key is to go off");
    let shut = step["gates"].as_array().unwrap().iter().find(|check| check["gate"] == gate).expect("it is looked at");
    assert_eq!(shut["state"], "unmet", "{shut:#}");
    format!("{} {}", text_at(shut, "/why"), text_at(shut, "/lift"))
}

fn findings(entry: &Value) -> String {
    let all = entry["findings"].as_array().unwrap().iter();
    all.map(|finding| format!("{}: {}\n", text_at(finding, "/kind"), text_at(finding, "/message"))).collect()
}

#[test]
fn what_does_not_fit_is_told_and_holds_nobody_else() {
    let plot = |name, number, apart| Plot { name, number, way: Way::Forward, apart };
    let [shout, gone, other, far, failed, empty] = [
        plot("shout", 1, false),
        plot("gone", 2, false),
        plot("other", 3, true),
        plot("far", 4, false),
        plot("failed", 5, false),
        plot("empty", 6, false),
    ];
    let mut world = Vec::new();
    for one in [&shout, &gone, &other, &far, &failed] {
        world.extend(one.resources());
    }
    for one in [&shout, &other, &far, &empty] {
        world.push(one.account_with(&json!({})));
    }
    world.push(failed.account_with(&json!({"provisioningState": "Failed"})));
    // A datastore that stores the key of an account in another subscription.
    let store = format!("{}/datastores/faraway", far.workspace("alpha"));
    world.push(json!({
        "id": store, "name": "faraway", "type": "Microsoft.MachineLearningServices/workspaces/datastores",
        "properties": {
            "datastoreType": "AzureBlob", "accountName": other.account().rsplit('/').next(), "containerName": "c",
            "endpoint": "core.windows.net", "protocol": "https", "credentials": {"credentialsType": "AccountKey"},
        },
    }));
    let sim = Sim::of_world(&world, &["--speed", "1800"]);
    let write = |name: &str, text: String| std::fs::write(sim.desired().join(name), text).unwrap();
    for one in [&gone, &other, &far, &failed] {
        write(&format!("{}.yaml", one.name), one.documents(""));
    }
    write("shout.yaml", shouted(&shout));
    let account = |name: &str, id: &str| {
        format!(
            "apiVersion: keyless.dev/v1\nkind: StorageAccount\nmetadata: {{name: {name}}}\nspec:\n  resourceId: {id}\n  \
             sharedKeyAccess: disabled\n"
        )
    };
    write("empty.yaml", account("empty", &empty.account()));
    let nowhere = format!("{NOWHERE}/resourceGroups/rg/providers/Microsoft.Storage/storageAccounts/stnowhere");
    write("nowhere.yaml", account("nowhere", &nowhere));

    let planned = plan(&sim);
    let lost = of_account(&planned, &nowhere);
    assert!(findings(lost).contains("incomplete: ") && findings(lost).contains("SubscriptionNotFound"), "{lost:#}");
    // What cannot be listed may hold workspaces on any account, so it holds every key on, and is named with a way out.
    let said = held_by(of_account(&planned, &far.account()), "listed");
    assert!(said.contains("00000000-1111-4222-8333-444444444444") && said.contains("exclude"), "{said}");
    assert!(said.contains("the right of the controller to see the subscription"), "{said}");
    std::fs::remove_file(sim.desired().join("nowhere.yaml")).unwrap();

    let planned = plan(&sim);
    let missing = findings(of_account(&planned, &gone.account()));
    assert!(missing.contains("does not exist, and is named by gone-alpha, gone-bravo"), "{missing}");
    let stored = held_by(of_account(&planned, &other.account()), "no_stored_keys");
    assert!(stored.contains("far-alpha/faraway, on another account, holds a key or SAS"), "{stored}");
    let unused = held_by(of_account(&planned, &empty.account()), "key_idle");
    assert!(unused.contains("shows no traffic of any kind") && unused.contains("acceptUnknownKeyUse"), "{unused}");
    let state = findings(of_account(&planned, &failed.account()));
    assert!(state.contains("state: Azure calls the account `Failed`"), "{state}");
    assert_eq!(of_account(&planned, &shout.account())["steps"].as_array().unwrap().len(), 5, "{planned:#}");

    let mut daemon = Daemon::start(&sim);
    for one in [&shout, &far, &failed] {
        daemon.wait_until("its key is off", patience(12), |_| (!sim.key_is_on(&one.account())).then_some(()));
    }
    for one in [&other, &empty] {
        assert!(sim.key_is_on(&one.account()), "{}", one.name);
    }
    daemon.stop();
    sim.assert_nobody_was_denied();
}

#[test]
fn two_documents_for_one_workspace_are_an_error_however_they_are_spelled() {
    let plot = Plot { name: "twice", number: 1, way: Way::Forward, apart: false };
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("one.yaml"), plot.documents("")).unwrap();
    let again = shouted(&plot).replace("name: twice", "name: again");
    std::fs::write(folder.path().join("two.yaml"), again).unwrap();
    let output = output_of(crate::harness::keyless(&["validate", folder.path().to_str().unwrap()]), 1);
    let said = format!("{}{}", stdout(&output), crate::harness::stderr(&output));
    assert_eq!(said.matches("duplicate `resourceId` of a Workspace").count(), 2, "{said}");
    assert!(said.contains("two.yaml") && said.contains("first at") && said.contains("one.yaml"), "{said}");
}
