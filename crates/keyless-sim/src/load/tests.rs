use std::path::{Path, PathBuf};

use serde_json::json;

use super::*;

const ACCOUNT: &str = "/subscriptions/s1/resourceGroups/rg/providers/Microsoft.Storage/storageAccounts/stone";

fn ids(loaded: &Loaded) -> Vec<&str> {
    loaded.resources.iter().filter_map(|resource| resource["id"].as_str()).collect()
}

fn load(value: &Value) -> Loaded {
    parse(&value.to_string()).unwrap()
}

#[test]
fn an_array_of_resources_loads_in_its_order() {
    let loaded = load(&json!([
        {"id": format!("{ACCOUNT}2"), "type": "Microsoft.Storage/storageAccounts"},
        {"id": ACCOUNT, "type": "Microsoft.Storage/storageAccounts", "properties": {"allowSharedKeyAccess": null}},
        {"type": "Microsoft.Graph/groups", "id": "0b9a", "displayName": "readers", "members": ["0c"]},
        {"type": "Keyless.Sim/keyUsers", "id": format!("{ACCOUNT}/providers/Keyless.Sim/keyUsers/1"), "properties": {}},
    ]));
    assert_eq!(loaded.ignored, 0);
    assert_eq!(
        ids(&loaded),
        [format!("{ACCOUNT}2").as_str(), ACCOUNT, "0b9a", &format!("{ACCOUNT}/providers/Keyless.Sim/keyUsers/1")]
    );
    assert_eq!(loaded.resources[1]["properties"], json!({"allowSharedKeyAccess": null}));
}

#[test]
fn a_page_and_a_resource_alone_load_too() {
    assert_eq!(ids(&load(&json!({"value": [{"id": ACCOUNT}], "nextLink": null}))), [ACCOUNT]);
    assert_eq!(ids(&load(&json!({"id": ACCOUNT}))), [ACCOUNT]);
    assert_eq!(ids(&load(&json!([{"value": [{"id": ACCOUNT}]}, {"id": "/subscriptions/s1"}]))).len(), 2);
    assert_eq!(load(&json!([])), Loaded::default());
    assert_eq!(load(&json!({"value": []})), Loaded::default());
}

#[test]
fn of_recorded_traffic_the_bodies_of_successful_gets_count() {
    let interaction = |method: &str, status: Value, body: Value| {
        json!({"source": {"kind": "recorded"},
               "request": {"method": method, "url": "https://h/subscriptions/<AZURE_SUBSCRIPTION_ID>/x", "body": null},
               "response": {"status": status, "headers": {}, "body": body}})
    };
    let loaded = load(&json!([
        interaction("GET", json!(200), json!({"id": ACCOUNT, "tags": {"n": "1"}})),
        interaction(
            "get",
            json!("200"),
            json!({"value": [{"id": "/subscriptions/00000000-0000-0000-0000-00000000000"}]})
        ),
        interaction("PUT", json!(200), json!({"id": format!("{ACCOUNT}put")})),
        interaction("GET", json!(404), json!({"error": {"code": "ResourceNotFound"}})),
        interaction("GET", json!("default"), json!({"id": format!("{ACCOUNT}default")})),
        interaction("GET", json!(202), json!("")),
        interaction("GET", json!(200), json!({"value": [{"status": "Succeeded"}, null]})),
        interaction("GET", json!(200), json!({"value": []})),
    ]));
    assert_eq!(ids(&loaded), [ACCOUNT, "/subscriptions/00000000-0000-0000-0000-00000000000"]);
    assert_eq!(loaded.ignored, 6);
}

#[test]
fn the_last_answer_for_an_id_replaces_the_earlier_ones_in_their_place() {
    let loaded = load(&json!([
        {"id": ACCOUNT, "properties": {"allowSharedKeyAccess": true}},
        {"id": "/subscriptions/s1"},
        {"id": format!("{}/", ACCOUNT.to_uppercase()), "properties": {"allowSharedKeyAccess": false}},
    ]));
    assert_eq!(loaded.resources.len(), 2);
    assert_eq!(loaded.resources[0]["properties"]["allowSharedKeyAccess"], json!(false));
}

#[test]
fn a_missing_type_is_found_from_the_id() {
    let loaded = load(&json!([
        {"id": format!("{ACCOUNT}/blobServices/default")},
        {"id": format!("{ACCOUNT}/providers/Microsoft.Authorization/roleAssignments/1"), "type": null},
        {"id": "/providers/Microsoft.Authorization/roleAssignments/2"},
        {"id": "/subscriptions/s1/resourcegroups/rg"},
        {"id": "/subscriptions/s1"},
    ]));
    let types: Vec<&str> = loaded.resources.iter().filter_map(|resource| resource["type"].as_str()).collect();
    assert_eq!(
        types,
        [
            "Microsoft.Storage/storageAccounts/blobServices",
            "Microsoft.Authorization/roleAssignments",
            "Microsoft.Authorization/roleAssignments",
            "Microsoft.Resources/resourceGroups",
            "Microsoft.Resources/subscriptions",
        ]
    );
}

#[test]
fn an_object_that_is_no_resource_is_counted() {
    let loaded = load(&json!([
        {"type": "Microsoft.Storage/storageAccounts", "name": "a template resource"},
        {"id": 7, "type": "Microsoft.Storage/storageAccounts"},
        {"id": "no-slash", "type": "Microsoft.Storage/storageAccounts"},
        {"id": "", "type": "Microsoft.Graph/users"},
        {"id": "/providers"},
        {},
    ]));
    assert_eq!((loaded.resources.len(), loaded.ignored), (0, 6));
}

#[test]
fn junk_is_an_error_with_its_position() {
    let message = |text: &str| parse(text).unwrap_err().to_string();
    assert_eq!(message("[\n  {\"id\": }\n]"), "line 2, column 10: not JSON: expected value");
    assert_eq!(message(""), "line 1, column 0: not JSON: EOF while parsing a value");
    assert_eq!(
        message("[{}, 7]"),
        "`#/1`: expected a resource, a page `{\"value\": […]}` or a recorded interaction, found a number"
    );
    assert_eq!(message("[{\"value\": [null]}]"), "`#/0/value/0`: expected a resource, found null");
    assert_eq!(message("\"text\""), "`#`: expected an array of resources or a page `{\"value\": […]}`, found a string");
    assert!(message("{\"resources\": []}").contains("an object without `id`"));
    assert!(message(&"[".repeat(100_000)).contains("recursion limit"));
    assert!(message("\u{0}\u{1}\u{fffd}").starts_with("line 1"));
    assert_eq!(parse("\u{feff}[]"), Ok(Loaded::default()));
}

proptest::proptest! {
    #[test]
    fn no_text_makes_it_panic(text in "[\\[\\]{}\":,a-z/0-9 ]{0,60}") {
        let _ = parse(&text);
    }
}

/// Says it past the harness, which would swallow it in a test that passes.
fn skipped(what: &str) {
    use std::io::Write as _;
    std::io::stderr().write_all(format!("SKIPPED: {what}\n").as_bytes()).unwrap();
}

#[test]
fn recorded_traffic_of_real_subscriptions_loads_without_an_error() {
    // Recorded traffic kept beside the project, where present; it is no part of the repository.
    let above = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().skip(1);
    let Some(folder) = above.map(|folder| folder.join("shared/corpus")).find(|folder| folder.is_dir()) else {
        skipped("no folder `../shared/corpus`, so that recorded traffic loads without an error was not tested");
        return;
    };
    let expected = [
        ("workspaces", (54, 17, 49), "Microsoft.MachineLearningServices/workspaces"),
        ("storage-accounts", (127, 431, 85), "Microsoft.Storage/storageAccounts"),
        ("role-assignments", (77, 425, 90), "Microsoft.Authorization/roleAssignments"),
    ];
    for (topic, counts, kind) in expected {
        let Ok(entries) = std::fs::read_dir(folder.join(topic)) else {
            skipped(&format!("no folder `../shared/corpus/{topic}`, so that its recordings load was not tested"));
            continue;
        };
        let mut paths: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
        paths.sort();
        let (mut resources, mut ignored) = (0, 0);
        for path in &paths {
            let loaded = parse(&std::fs::read_to_string(path).unwrap())
                .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
            assert!(
                loaded.resources.iter().all(|resource| resource["type"].as_str().unwrap().eq_ignore_ascii_case(kind)),
                "{}",
                path.display()
            );
            resources += loaded.resources.len();
            ignored += loaded.ignored;
        }
        assert_eq!((paths.len(), resources, ignored), counts, "files, resources and ignored of {topic}");
    }
}
