//! What others recorded and published loads as a world, and a plan over it says what is sensible.
//!
//! Recorded traffic and the articles lie beside the repository and may be absent; then the tests over them say so
//! loudly. The fixtures beside this file take the same path and are always there.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::harness::{Sim, id_of, keyless, output_of, repository, same_id, skipped, stdout, text_at};

const ACCOUNTS: &str = "Microsoft.Storage/storageAccounts";
const ASSIGNMENTS: &str = "Microsoft.Authorization/roleAssignments";
const WORKSPACES: &str = "Microsoft.MachineLearningServices/workspaces";

/// The group that every document here asks a role for.
const PEOPLE: &str = "5a11c0de-0000-4000-8000-000000000004";

/// A folder beside the repository (or below `KEYLESS_E2E_SHARED`), or a loud word that what needs it is skipped.
fn beside(name: &str) -> Option<PathBuf> {
    let shared = std::env::var_os("KEYLESS_E2E_SHARED").map_or_else(|| repository().join("../shared"), PathBuf::from);
    let path = shared.join(name);
    let there = path.is_dir();
    if !there {
        skipped(&format!("there is no `{}`; nothing of it was loaded", path.display()));
    }
    there.then_some(path)
}

fn fixture(name: &str) -> PathBuf {
    repository().join("tests/e2e/data").join(name)
}

/// What the files ask of a workspace.
struct Ask<'a> {
    id: &'a str,
    mode: &'a str,
    enforcement: &'a str,
}

/// One document for a workspace, with one need.
fn document(name: &str, ask: &Ask<'_>) -> String {
    format!(
        "apiVersion: keyless.dev/v1\nkind: Workspace\nmetadata: {{name: {name}}}\nspec:\n  resourceId: '{}'\n  authMode: \
         {}\n  enforcement: {}\n  access:\n    - principal: {{group: {{objectId: {PEOPLE}, name: people}}}}\n      level: \
         readWrite\n",
        ask.id, ask.mode, ask.enforcement
    )
}

/// A word for an account's key.
fn key_document(name: &str, account: &str, word: &str) -> String {
    format!(
        "apiVersion: keyless.dev/v1\nkind: StorageAccount\nmetadata: {{name: {name}}}\nspec:\n  resourceId: '{account}'\n  \
         sharedKeyAccess: {word}\n"
    )
}

#[track_caller]
fn plan(sim: &Sim) -> Value {
    let output = output_of(sim.command(&["plan", "--output", "json"]), 0);
    assert_eq!(sim.requests().writes(), 0, "a plan writes nothing");
    serde_json::from_str(&stdout(&output)).expect("a plan is JSON")
}

fn accounts(plan: &Value) -> &[Value] {
    plan["accounts"].as_array().expect("a list")
}

#[track_caller]
fn account<'a>(plan: &'a Value, id: &str) -> &'a Value {
    let found = accounts(plan).iter().find(|entry| same_id(id_of(entry), id));
    found.unwrap_or_else(|| panic!("{id} is not in the plan: {plan:#}"))
}

/// The steps as `ACTION VALUE` or `ACTION ROLE`, in their order.
fn steps(account: &Value) -> Vec<String> {
    let word = |step: &Value| {
        let what = if step["value"].is_string() { text_at(step, "/value") } else { text_at(step, "/role") };
        format!("{} {what}", text_at(step, "/action")).trim_end().to_owned()
    };
    account["steps"].as_array().expect("a list").iter().map(word).collect()
}

/// The gate of the step that sets the mode of a workspace.
#[track_caller]
fn mode_gate<'a>(account: &'a Value, workspace: &str, gate: &str) -> &'a Value {
    let steps = account["steps"].as_array().expect("a list").iter();
    let mut own = steps.filter(|step| step["action"] == "SetAuthMode" && same_id(text_at(step, "/target"), workspace));
    let step = own.next().unwrap_or_else(|| panic!("no SetAuthMode of {workspace}: {account:#}"));
    let mut gates = step["gates"].as_array().expect("a list").iter();
    gates.find(|check| check["gate"] == gate).unwrap_or_else(|| panic!("no gate {gate}: {step:#}"))
}

/// The resources of one type that the successful reads of a recording hold, by their ids, the last answer counting.
fn recorded(folder: &Path, kind: &str) -> BTreeMap<String, Value> {
    let mut found = BTreeMap::new();
    let mut files: Vec<PathBuf> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    for file in files.iter().filter(|file| file.extension().is_some_and(|extension| extension == "json")) {
        let Ok(Value::Array(interactions)) = serde_json::from_str(&fs::read_to_string(file).unwrap()) else {
            panic!("{} is no list of interactions", file.display());
        };
        for interaction in &interactions {
            let body = &interaction["response"]["body"];
            let successful = interaction["response"]["status"].as_u64().is_some_and(|status| status / 100 == 2);
            if interaction["request"]["method"] != "GET" || !successful {
                continue;
            }
            let entries = body["value"].as_array().cloned().unwrap_or_else(|| vec![body.clone()]);
            for entry in entries {
                if text_at(&entry, "/type").eq_ignore_ascii_case(kind) && id_of(&entry).starts_with('/') {
                    found.insert(id_of(&entry).to_ascii_lowercase(), entry);
                }
            }
        }
    }
    found
}

#[test]
fn every_recorded_file_of_the_three_topics_loads() {
    let Some(corpus) = beside("corpus") else { return };
    for (topic, kind) in [("workspaces", WORKSPACES), ("storage-accounts", ACCOUNTS), ("role-assignments", ASSIGNMENTS)]
    {
        let folder = corpus.join(topic);
        let sim = Sim::start(&["--world", folder.to_str().unwrap()]);
        let told = sim.remarks();
        assert!(told.contains("loaded ") && !told.contains("error"), "{told}");
        let held: BTreeSet<String> =
            sim.resources(kind).iter().map(|entry| id_of(entry).trim_end_matches('/').to_ascii_lowercase()).collect();
        let recorded = recorded(&folder, kind);
        assert!(recorded.len() >= 10, "{topic}: only {} resources", recorded.len());
        let lost: Vec<&String> = recorded.keys().filter(|id| !held.contains(id.trim_end_matches('/'))).collect();
        assert!(lost.is_empty(), "{topic}: recorded, and not in the world: {lost:?}");
        eprintln!("{topic}: {} recorded resources, all of them in the world", recorded.len());
    }
}

/// Recorded topics side by side, and a file of what no recording has.
fn world_of(corpus: &Path, topics: &[&str], made: &[Value]) -> Sim {
    let folder = tempfile::tempdir().unwrap();
    for topic in topics {
        std::os::unix::fs::symlink(fs::canonicalize(corpus.join(topic)).unwrap(), folder.path().join(topic)).unwrap();
    }
    fs::write(folder.path().join("made.json"), Value::from(made.to_vec()).to_string()).unwrap();
    Sim::start(&["--speed", "600", "--world", folder.path().to_str().unwrap()])
}

/// Declares the workspaces, to be observed, and hands out those whose ids are ids.
fn declare(sim: &Sim, workspaces: &[Value]) -> Vec<Value> {
    for (number, workspace) in workspaces.iter().enumerate() {
        let ask = Ask { id: id_of(workspace), mode: "identity", enforcement: "observe" };
        fs::write(sim.desired().join(format!("w{number}.yaml")), document(&format!("w{number}"), &ask)).unwrap();
    }
    without_blanked_ids(sim, workspaces)
}

#[test]
fn a_plan_over_the_recorded_workspaces_names_all_of_them_and_reads_no_silence_as_identity() {
    let Some(corpus) = beside("corpus") else { return };
    // No recording has both a workspace and its account: recorded accounts take the places that the workspaces name.
    let workspaces = recorded(&corpus.join("workspaces"), WORKSPACES);
    let named: BTreeSet<String> = workspaces
        .values()
        .map(|workspace| text_at(workspace, "/properties/storageAccount").to_owned())
        .filter(|account| !account.is_empty())
        .collect();
    let accounts_recorded = recorded(&corpus.join("storage-accounts"), ACCOUNTS);
    let made: Vec<Value> = named
        .iter()
        .zip(accounts_recorded.values().cycle())
        .map(|(id, account)| {
            let mut account = account.clone();
            account["id"] = json!(id);
            account["name"] = json!(id.rsplit('/').next());
            account
        })
        .collect();
    let sim = world_of(&corpus, &["workspaces", "storage-accounts", "role-assignments"], &made);
    let workspaces = sim.workspaces();
    let declared = declare(&sim, &workspaces);
    assert!(declared.len() >= 10, "only {} of {} can be declared", declared.len(), workspaces.len());

    let plan = plan(&sim);
    let problems = plan["problems"].as_array().unwrap();
    for workspace in &declared {
        // No recording tells a mode. Whether Azure left it out or has none: it is not identity.
        assert!(workspace["properties"].get("systemDatastoresAuthMode").is_none());
        let own = text_at(workspace, "/properties/storageAccount");
        if own.is_empty() {
            assert!(problems.iter().any(|problem| problem.as_str().unwrap().contains(text_at(workspace, "/name"))));
            continue;
        }
        let account = account(&plan, own);
        mode_gate(account, id_of(workspace), "mode_known");
        assert!(account["steps"].as_array().unwrap().iter().all(|step| step["open"] == false), "it is only observed");
        let told = account["drift"].as_array().unwrap().iter().any(|drift| {
            drift["kind"] == "authMode"
                && drift["observed"] == "unset"
                && same_id(text_at(drift, "/workspace"), id_of(workspace))
        });
        assert!(told, "{account:#}");
    }
    eprintln!("{} recorded workspaces declared on {} accounts", declared.len(), accounts(&plan).len());
}

#[test]
fn every_recorded_account_is_read_and_planned_for_a_workspace_on_it() {
    let Some(corpus) = beside("corpus") else { return };
    let recorded = recorded(&corpus.join("storage-accounts"), ACCOUNTS);
    let made: Vec<Value> = recorded
        .values()
        .enumerate()
        .map(|(number, account)| {
            let group = id_of(account).rsplit_once("/providers/").unwrap().0;
            let principal = format!("5a11c0de-0000-4000-8000-{:012}", 1000 + number);
            json!({
                "id": format!("{group}/providers/{WORKSPACES}/mlw-{number}"), "name": format!("mlw-{number}"),
                "type": WORKSPACES, "kind": "Default", "location": "westeurope",
                "identity": {"type": "SystemAssigned", "principalId": principal},
                "properties": {"storageAccount": account["id"], "systemDatastoresAuthMode": "AccessKey"},
            })
        })
        .collect();
    let sim = world_of(&corpus, &["storage-accounts"], &made);
    let declared = declare(&sim, &made);
    let plan = plan(&sim);
    for workspace in &declared {
        let account = account(&plan, text_at(workspace, "/properties/storageAccount"));
        mode_gate(account, id_of(workspace), "mode_known");
        assert!(!account["findings"].to_string().contains("accountMissing"), "{account:#}");
        assert!(!account["findings"].to_string().contains("incomplete"), "{account:#}");
        assert!(account["steps"].as_array().unwrap().iter().all(|step| step["open"] == false), "it is only observed");
    }
    eprintln!("{} of {} recorded accounts declared; {}", declared.len(), recorded.len(), plan["summary"]);
}

/// Takes away the documents whose recorded ids were blanked out and are none any more, and names them.
fn without_blanked_ids(sim: &Sim, workspaces: &[Value]) -> Vec<Value> {
    let desired = sim.desired();
    let output = keyless(&["validate", desired.to_str().unwrap()]).output().unwrap();
    let text = stdout(&output);
    let mut kept = Vec::new();
    for (number, workspace) in workspaces.iter().enumerate() {
        let file = desired.join(format!("w{number}.yaml"));
        match text.lines().find(|line| line.starts_with(&format!("{}:", file.display()))) {
            Some(problem) if problem.contains("resourceId") || problem.contains("subscription") => {
                eprintln!("left out, no id: {}", id_of(workspace));
                fs::remove_file(&file).unwrap();
            }
            Some(problem) => panic!("{problem}"),
            None => kept.push(workspace.clone()),
        }
    }
    kept
}

/// The `{…}` blocks of deployment templates in a text, whether fenced or not.
fn templates(text: &str) -> Vec<Value> {
    let mut found = Vec::new();
    for (at, _) in text.match_indices("deploymentTemplate.json#") {
        let start = text[..at].rfind('{').expect("a template is an object");
        let mut depth = 0;
        let end = text[start..].char_indices().find_map(|(offset, c)| {
            depth += i32::from(c == '{') - i32::from(c == '}');
            (depth == 0).then_some(start + offset + 1)
        });
        found.push(text[start..end.expect("its braces are balanced")].to_owned());
    }
    found.iter().map(|block| serde_json::from_str(block).unwrap_or_else(|e| panic!("{e}: {block}"))).collect()
}

/// The `key: value` lines of the workspace files in a text, whether fenced or not.
fn workspace_files(text: &str) -> Vec<BTreeMap<String, String>> {
    let mut files = Vec::new();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        if !line.trim().starts_with("$schema: ") {
            continue;
        }
        let block = lines.by_ref().take_while(|line| line.contains(':') && !line.contains('`'));
        let pair =
            |line: &str| line.trim().split_once(':').map(|(key, value)| (key.to_owned(), value.trim().to_owned()));
        files.push(block.filter_map(pair).collect());
    }
    files
}

/// The placeholders of the articles, in all their spellings, filled in.
fn filled(text: &str, account: &str, workspace: &str) -> String {
    let mut text = text.replace("[resourceGroup().location]", "westeurope");
    for (names, value) in [
        (["[workspace name]", "<workspace-name>"], workspace),
        (["[workspace friendly name]", "<workspace-friendly-name>"], "From an article"),
        (["[Storage Account ARM resource ID]", "<storage-account-arm-resource-id>"], account),
        (["{your storage account resource id}", "<your-storage-account-resource-id>"], account),
        (
            ["[Key Vault ARM resource ID]", "<key-vault-arm-resource-id>"],
            &format!("{GROUP}/Microsoft.KeyVault/vaults/kv"),
        ),
    ] {
        for name in names {
            text = text.replace(name, value);
        }
    }
    text
}

const GROUP: &str = "/subscriptions/5a11c0de-0000-4000-8000-00000000000a/resourceGroups/rg-articles/providers";

/// One workspace as an article writes it, with everything a deployment would have added.
struct Written {
    resource: Value,
    account: Value,
}

impl Written {
    fn new(number: usize, source: Value) -> Self {
        let (name, account) = (format!("mlw-{number}"), format!("{GROUP}/{ACCOUNTS}/starticle{number}"));
        let text = filled(&source.to_string(), &account, &name);
        let mut resource: Value = serde_json::from_str(&text).expect("values are put in place of words");
        assert_eq!(text_at(&resource, "/properties/storageAccount"), account, "a placeholder is left in {text}");
        assert!(!text.contains('<') && !text.contains("[workspace"), "a placeholder is left in {text}");
        resource["id"] = json!(format!("{GROUP}/{WORKSPACES}/{name}"));
        resource["name"] = json!(name);
        let principal = format!("5a11c0de-0000-4000-8000-{:012}", 100 + number);
        resource["identity"] = json!({"type": "SystemAssigned", "principalId": principal});
        let account = json!({
            "id": account, "name": format!("starticle{number}"), "type": ACCOUNTS, "kind": "StorageV2",
            "location": "westeurope", "sku": {"name": "Standard_LRS", "tier": "Standard"}, "properties": {},
        });
        Self { resource, account }
    }

    fn asked_mode(&self) -> String {
        text_at(&self.resource, "/properties/systemDatastoresAuthMode").to_owned()
    }

    fn with(mut self, mode: &str, key: bool) -> Self {
        self.resource["properties"]["systemDatastoresAuthMode"] = json!(mode);
        self.account["properties"]["allowSharedKeyAccess"] = json!(key);
        self
    }

    /// The grant that the service makes to the workspace's identity.
    fn service_grant(&self) -> Value {
        let name = "5a11c0de-0000-4000-8000-00000000000b";
        json!({
            "id": format!("{}/providers/{ASSIGNMENTS}/{name}", id_of(&self.account)), "name": name, "type": ASSIGNMENTS,
            "properties": {
                "scope": self.account["id"], "principalId": self.resource["identity"]["principalId"],
                "principalType": "ServicePrincipal", "createdOn": "2026-01-01T00:00:00Z",
                "updatedOn": "2026-01-01T00:00:00Z",
                "roleDefinitionId": "/providers/Microsoft.Authorization/roleDefinitions/ba92f5b4-2d11-453d-a403-e96b0029c9fe",
            },
        })
    }
}

/// Plans with an article's workspace as the world, and what the file asks.
fn planned(written: &Written, mode: &str, key: Option<&str>) -> Value {
    let people = json!({"type": "Microsoft.Graph/groups", "id": PEOPLE, "displayName": "people", "members": []});
    let world = [written.resource.clone(), written.account.clone(), written.service_grant(), people];
    let sim = Sim::of_world(&world, &["--speed", "600"]);
    let ask = Ask { id: id_of(&written.resource), mode, enforcement: "enforce" };
    fs::write(sim.desired().join("workspace.yaml"), document("article", &ask)).unwrap();
    if let Some(word) = key {
        fs::write(sim.desired().join("account.yaml"), key_document("key", id_of(&written.account), word)).unwrap();
    }
    let plan = plan(&sim);
    assert_eq!(plan["problems"], json!([]), "{plan:#}");
    assert_eq!(accounts(&plan).len(), 1, "{plan:#}");
    account(&plan, id_of(&written.account)).clone()
}

const GRANTS: [&str; 2] =
    ["GrantRole Storage File Data Privileged Contributor", "GrantRole Storage Blob Data Contributor"];

#[track_caller]
fn assert_steps(account: &Value, expected: &[&str]) {
    let (mut steps, mut expected) = (steps(account), expected.to_vec());
    // In which order roles are granted says nothing; that they come first does.
    let grants = steps.iter().take_while(|step| step.starts_with("GrantRole")).count();
    steps[..grants].sort();
    let wanted = expected.iter().take_while(|step| step.starts_with("GrantRole")).count();
    expected[..wanted].sort_unstable();
    assert_eq!(steps, expected, "{account:#}");
}

/// What a plan must say of a workspace as an article writes it.
fn sensible(number: usize, source: &Value) -> String {
    let written = || Written::new(number, source.clone());
    let asked = written().asked_mode();
    match asked.as_str() {
        "identity" => {
            // Born on identity: the people's roles are missing, and then the key can go.
            let account = planned(&written().with("identity", true), &asked, None);
            assert_steps(&account, &[GRANTS[0], GRANTS[1], "SetSharedKeyAccess disabled"]);
            // The same file for a workspace that was born on keys.
            let account = planned(&written().with("accesskey", true), &asked, None);
            assert_steps(&account, &[GRANTS[0], GRANTS[1], "SetAuthMode identity", "SetSharedKeyAccess disabled"]);
        }
        "accesskey" => {
            // The way back: the key first, and the keys taken anew, for nothing here tells when they were made.
            let account = planned(&written().with("identity", false), &asked, Some("enabled"));
            let steps = steps(&account);
            let back: Vec<&String> = steps.iter().filter(|step| !step.starts_with("GrantRole")).collect();
            let expected = ["SetSharedKeyAccess enabled", "ResyncWorkspaceKeys", "SetAuthMode accesskey"];
            assert_eq!(back, expected, "{account:#}");
            // Already there: nothing is set.
            let account = planned(&written().with("accesskey", true), &asked, None);
            assert!(self::steps(&account).iter().all(|step| step.starts_with("GrantRole")), "{account:#}");
        }
        other => panic!("an article asks for {other:?}"),
    }
    asked
}

/// Everything that a text of an article holds, as resources.
fn values_of(text: &str) -> Vec<Value> {
    let mut values = Vec::new();
    for template in templates(text) {
        for resource in template["resources"].as_array().expect("a template has resources") {
            assert!(text_at(resource, "/type").eq_ignore_ascii_case(WORKSPACES));
            values.push(resource.clone());
        }
    }
    for file in workspace_files(text) {
        let kind = if text.contains("--kind hub") { "Hub" } else { "Default" };
        values.push(json!({
            "type": WORKSPACES, "kind": kind, "location": file["location"],
            "properties": {
                "description": file["description"], "friendlyName": file["display_name"],
                "storageAccount": file["storage_account"],
                "systemDatastoresAuthMode": file["system_datastores_auth_mode"],
            },
        }));
    }
    values
}

#[test]
fn the_values_of_the_articles_load_and_a_plan_over_them_goes_the_right_way() {
    let Some(articles) = beside("articles") else { return };
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    let mut number = 0;
    let mut files: Vec<PathBuf> = fs::read_dir(&articles).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    for file in files {
        let values = values_of(&fs::read_to_string(&file).unwrap());
        eprintln!("{}: {} workspaces", file.display(), values.len());
        for value in values {
            number += 1;
            *counts.entry(sensible(number, &value)).or_default() += 1;
        }
    }
    assert!(counts["identity"] >= 8 && counts["accesskey"] >= 4, "{counts:?}");
}

#[test]
fn a_hand_written_article_takes_the_same_path() {
    let text = fs::read_to_string(fixture("article.md")).unwrap();
    let values = values_of(&text);
    let modes: Vec<String> = values.iter().enumerate().map(|(number, value)| sensible(number, value)).collect();
    assert_eq!(modes, ["identity", "accesskey", "identity"]);
}

#[test]
fn a_hand_written_recording_is_planned_and_odd_modes_are_blocked_by_name() {
    let sim = Sim::start(&["--world", fixture("recording.json").to_str().unwrap()]);
    let workspaces = sim.workspaces();
    let names: Vec<&str> = workspaces.iter().map(|entry| text_at(entry, "/name")).collect();
    assert_eq!(names, ["mlw-odd", "mlw-plain", "mlw-shouting", "mlw-silent"]);
    for (workspace, name) in workspaces.iter().zip(&names) {
        let ask = Ask { id: id_of(workspace), mode: "identity", enforcement: "enforce" };
        fs::write(sim.desired().join(format!("{name}.yaml")), document(name, &ask)).unwrap();
    }
    let plan = plan(&sim);
    assert_eq!(accounts(&plan).len(), 2, "{plan:#}");
    let of = |name: &str| workspaces.iter().find(|entry| entry["name"] == name).unwrap();
    let account_of = |name: &str| account(&plan, text_at(of(name), "/properties/storageAccount"));

    // Azure's third value is named, and never overwritten.
    let odd = mode_gate(account_of("mlw-odd"), id_of(of("mlw-odd")), "mode_known");
    assert_eq!(odd["state"], "unmet");
    assert!(text_at(odd, "/why").contains("UserDelegationSAS"), "{odd:#}");
    // An absent mode is not identity: the workspace is still switched.
    let silent = mode_gate(account_of("mlw-silent"), id_of(of("mlw-silent")), "mode_known");
    assert_eq!(silent["state"], "open");
    // `IDENTITY` is identity.
    let steps = account_of("mlw-shouting")["steps"].to_string();
    assert!(!steps.contains("SetAuthMode identity on mlw-shouting"), "{steps}");
    // Neither lets the key of its account go.
    for name in ["mlw-odd", "mlw-silent"] {
        let account = account_of(name);
        let off =
            account["steps"].as_array().unwrap().iter().find(|step| step["action"] == "SetSharedKeyAccess").unwrap();
        let gate = off["gates"].as_array().unwrap().iter().find(|gate| gate["gate"] == "all_on_identity").unwrap();
        assert_eq!(gate["state"], "unmet");
        assert!(text_at(gate, "/why").contains(name), "{gate:#}");
    }
}
