//! Resources of every type in one list, and whether one exists.

use keyless_sim::Knobs;
use serde_json::json;

use crate::cloud::{BLOB_READER, Cloud, DANA, JOB, RG, SUB, account, grant_entry, small_world, workspace};

const READER: &str = "acdd72a7-3385-48ef-bd42-f606fba81ae7";

async fn names(cloud: &Cloud, scope: &str, query: &str) -> Vec<String> {
    let reply = cloud.get(&format!("{scope}/resources?api-version=2025-04-01{query}")).await;
    assert_eq!(reply.status, 200, "{reply:?}");
    reply.body["value"].as_array().unwrap().iter().map(|one| one["name"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn resources_are_listed_by_filter_and_without_their_properties() {
    let cloud = Cloud::immediate();
    for (scope, query, found) in [
        (SUB, "", vec!["churn", "stmlchurnprod"]),
        (RG, "&$filter=resourceType eq 'microsoft.storage/storageAccounts'", vec!["stmlchurnprod"]),
        (SUB, "&$filter=tagName eq 'team' and tagValue eq 'churn'", vec!["churn"]),
        (SUB, "&$filter=resourceType ne 'Microsoft.Storage/storageAccounts'", vec!["churn"]),
        (SUB, "&$filter=substringof('mlchurn', name)", vec!["stmlchurnprod"]),
        (SUB, "&$top=1", vec!["churn"]),
    ] {
        assert_eq!(names(&cloud, scope, query).await, found, "{query}");
    }
    let listed = cloud.get(&format!("{SUB}/resources?api-version=2025-04-01")).await;
    assert!(listed.body["value"][0].get("properties").is_none());
    assert_eq!(listed.body["value"][0]["tags"]["team"], "churn");
    assert_eq!(cloud.get(&format!("{SUB}/resources?api-version=2025-04-01&$filter=colour eq 'red'")).await.status, 400);
    assert_eq!(cloud.get(&format!("{RG}x/resources?api-version=2025-04-01")).await.code(), "ResourceGroupNotFound");
}

#[tokio::test]
async fn only_what_the_caller_may_read_is_listed() {
    let mut world = small_world();
    world.push(grant_entry(&account(), "a1", DANA, READER));
    world.push(grant_entry(&account(), "a2", JOB, BLOB_READER));
    let mut cloud = Cloud::new(world, Knobs::immediate());
    cloud.act_as(DANA);
    assert_eq!(names(&cloud, SUB, "").await, ["stmlchurnprod"]);
    cloud.act_as(JOB);
    assert!(names(&cloud, SUB, "").await.is_empty(), "a data role reads no accounts");
    cloud.act_as("22222222-bbbb-4bbb-8bbb-0000000000ff");
    assert_eq!(cloud.get(&format!("{SUB}/resources?api-version=2025-04-01")).await.code(), "AuthorizationFailed");
}

/// Source: MicrosoftDocs/azure-docs `articles/role-based-access-control/deny-assignments.md`.
#[tokio::test]
async fn what_the_caller_is_denied_to_read_is_in_no_list() {
    let deny = |scope: &str| {
        let name = "5b0a1e9c-3c1d-4f7e-8a4e-5f2d9f0d7c22";
        json!({"id": format!("{scope}/providers/Microsoft.Authorization/denyAssignments/{name}"), "name": name,
            "properties": {"denyAssignmentName": "stack", "principals": [{"id": DANA}],
                "permissions": [{"actions": ["*/read"], "dataActions": []}]}})
    };
    let mut world = small_world();
    world.push(grant_entry(SUB, "a1", DANA, READER));
    world.push(deny(&workspace("churn")));
    let mut cloud = Cloud::new(world, Knobs::immediate());
    cloud.act_as(DANA);
    let get = cloud.get(&format!("{}?api-version=2025-09-01", workspace("churn"))).await;
    assert_eq!(get.code(), "DenyAssignmentAuthorizationFailed");
    assert_eq!(names(&cloud, SUB, "").await, ["stmlchurnprod"]);
    for scope in [SUB, RG] {
        let list = format!("{scope}/providers/Microsoft.MachineLearningServices/workspaces?api-version=2025-09-01");
        assert_eq!(cloud.get(&list).await.body["value"], json!([]), "{scope}");
    }
    let query = json!({"query": "resources | project name"});
    let rows =
        cloud.ask("POST", "/providers/Microsoft.ResourceGraph/resources?api-version=2024-04-01", Some(query)).await;
    assert_eq!(rows.body["data"], json!([{"name": "stmlchurnprod"}]));
}

#[tokio::test]
async fn a_head_says_whether_a_resource_exists_and_has_no_body() {
    let cloud = Cloud::immediate();
    for (path, status) in [(account(), 204), (workspace("churn"), 204), (workspace("gone"), 404), (RG.to_owned(), 204)]
    {
        let reply = cloud.ask("HEAD", &format!("{path}?api-version=2025-09-01"), None).await;
        assert_eq!((reply.status, reply.body), (status, json!(null)), "{path}");
    }
}
