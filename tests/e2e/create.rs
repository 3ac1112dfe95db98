//! Hubs, projects and workspaces that do not exist, made on an account whose key is off.

use std::collections::BTreeMap;

use serde_json::json;

use crate::harness::{Record, Sim, id_of, output_of, text_at};

const PERSON: &str = "0c0ffee0-0000-4000-8000-000000000001";

/// `rolePropagation` of the files, in seconds.
const GRANT_WORKS: f64 = 1.5;

#[test]
fn what_is_declared_is_made_on_identity_on_an_account_without_a_key() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("requests.jsonl");
    let record = file.to_str().unwrap();
    let sim = Sim::start(&["--workspaces", "3", "--seed", "4", "--speed", "600", "--record", record]);
    output_of(sim.command(&["apply", "--wait", "90s"]), 0);
    assert!(sim.is_off_keys());

    let account = sim.accounts().remove(0);
    let (id, location) = (id_of(&account), text_at(&account, "/location"));
    let group = id.split('/').take(5).collect::<Vec<_>>().join("/");
    let workspace = |name: &str| format!("{group}/providers/Microsoft.MachineLearningServices/workspaces/{name}");
    let document = |name: &str, more: &str| {
        format!(
            "---\napiVersion: keyless.dev/v1\nkind: Workspace\nmetadata: {{name: {name}}}\nspec:\n  resourceId: {}\n  \
             authMode: identity\n  enforcement: enforce\n  access:\n    - principal: {{user: {{objectId: \
             {PERSON}}}}}\n      level: readWrite\n  create:\n    location: {location}\n    \
             storageAccount: {id}\n{more}",
            workspace(name)
        )
    };
    let vault = format!("    keyVault: {group}/providers/Microsoft.KeyVault/vaults/kv-new\n");
    let files = [
        document("new-lab", &format!("    kind: default\n{vault}")),
        document("new-hub", &format!("    kind: hub\n{vault}")),
        document("a-project", &format!("    kind: project\n    hub: {}\n", workspace("new-hub"))),
    ];
    std::fs::write(sim.desired().join("new.yaml"), files.concat()).unwrap();
    // The person is at work in each of them from the moment when it is there.
    sim.drift("resourcePut", PERSON, json!({"id": PERSON, "type": "Microsoft.Graph/users", "displayName": "new"}));
    for name in ["new-lab", "new-hub", "a-project"] {
        let id = format!("{}/providers/Keyless.Sim/workloads/person", workspace(name));
        let actions = ["read", "write"].map(|verb| {
            format!("Microsoft.Storage/storageAccounts/blobServices/containers/blobs/{verb}") //
        });
        let properties = json!({"workspace": workspace(name), "principalId": PERSON, "dataActions": actions, "triesPerHour": 36_000});
        sim.drift("resourcePut", &id, json!({"id": id, "type": "Keyless.Sim/workloads", "properties": properties}));
    }
    let idle = sim.oracle();
    let switched = sim.requests().count("PATCH", "/workspaces/{}");
    output_of(sim.command(&["plan", "--detailed-exitcode"]), 2);
    output_of(sim.command(&["apply", "--wait", "120s"]), 0);

    for name in ["new-lab", "new-hub", "a-project"] {
        assert_eq!(sim.mode(&workspace(name)), "identity", "{name}");
    }
    let made: Vec<_> = sim.workspaces().into_iter().filter(|entry| id_of(entry).ends_with("new-hub")).collect();
    assert_eq!(made[0]["properties"]["associatedWorkspaces"], json!([workspace("a-project")]));
    assert_eq!(sim.requests().count("PUT", "/workspaces/{}"), 3);
    assert_eq!(sim.requests().count("PATCH", "/workspaces/{}"), switched, "they are on identity from the start");
    assert!(sim.is_off_keys());
    // Nothing is left to do, and nothing is made twice.
    output_of(sim.command(&["apply", "--wait", "30s"]), 0);
    assert_eq!(sim.requests().count("PUT", "/workspaces/{}"), 3);
    let oracle = sim.oracle();
    assert_eq!(oracle["denied"], json!({"entitled": 0, "keyUsers": 0}), "{oracle:#}");
    assert_eq!(oracle["neverWorked"], idle["neverWorked"], "somebody came before the role worked: {oracle:#}");
    let tries = |oracle: &serde_json::Value| oracle["tries"].as_u64().unwrap();
    assert!(tries(&oracle) > tries(&idle), "somebody is at work: {oracle:#}");
    assert!(sim.stop().success(), "the record is complete only after its end");

    // The person's roles come before all of them and work by then, and the hub comes before its project.
    let record = Record::read(&file, &BTreeMap::new());
    let grants = format!("{}/providers/microsoft.authorization/roleassignments/", id.to_lowercase());
    let answered = |path: &dyn Fn(&str) -> bool, body: &str| -> Vec<(f64, f64)> {
        let of_it = record.0.iter().filter(|request| request.method == "PUT" && path(&request.path));
        let of_it = of_it.filter(|request| request.body.to_string().contains(body));
        of_it.inspect(|request| assert!(request.status < 300, "{request:#?}")).map(|r| (r.at, r.answered)).collect()
    };
    let granted = answered(&|path| path.starts_with(&grants), PERSON);
    assert_eq!(granted.len(), 2, "{granted:?}");
    let made = ["new-lab", "new-hub", "a-project"].map(|name| {
        let puts = answered(&|path| path == workspace(name).to_lowercase(), "");
        let [(at, answered)] = puts.as_slice() else { panic!("{name}: {puts:?}") };
        (*at, *answered)
    });
    for (at, _) in made {
        assert!(granted.iter().all(|(_, granted)| at >= granted + GRANT_WORKS), "{granted:?} {made:?}");
    }
    let [_, hub, project] = made;
    assert!(project.0 > hub.1, "{made:?}");
}
