//! Hubs, projects and workspaces that do not exist, made on an account whose key is off.

use serde_json::json;

use crate::harness::{Sim, id_of, output_of, text_at};

#[test]
fn what_is_declared_is_made_on_identity_on_an_account_without_a_key() {
    let sim = Sim::fleet(3, 4);
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
             0c0ffee0-0000-4000-8000-000000000001}}}}\n      level: readWrite\n  create:\n    location: {location}\n    \
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
    assert_eq!(sim.denied_entitled(), 0);
}
