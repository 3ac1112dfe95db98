//! Resource Graph: what is asked, how it pages, how old it is, and how much of it there is.

use std::time::Duration;

use keyless_sim::Knobs;
use serde_json::{Value, json};

use crate::cloud::{BLOB_CONTRIBUTOR, Cloud, DANA, JOB, RG, Reply, SUB, account, grant_entry, small_world, workspace};

const PATH: &str = "/providers/Microsoft.ResourceGraph/resources?api-version=2024-04-01";
const READER: &str = "acdd72a7-3385-48ef-bd42-f606fba81ae7";
const G1: &str = "0f6c7b8a-2d1e-5c3f-9a4b-6d7e8f901234";

async fn ask(cloud: &Cloud, query: &str, options: Value) -> Reply {
    let subscription = SUB.trim_start_matches("/subscriptions/");
    cloud.ask("POST", PATH, Some(json!({"subscriptions": [subscription], "query": query, "options": options}))).await
}

fn patient(world: Vec<Value>) -> Cloud {
    Cloud::new(world, Knobs { throttling: false, ..Knobs::immediate() })
}

#[tokio::test]
async fn workspaces_are_joined_with_their_accounts() {
    let cloud = patient(small_world());
    cloud.flag(false).await;
    let query = "resources
        | where type =~ 'microsoft.machinelearningservices/workspaces'
        | project id, name, kind, subscriptionId, resourceGroup,
                  authMode = tostring(properties['systemDatastoresAuthMode']),
                  storageId = tolower(tostring(properties.storageAccount)),
                  principalId = tostring(identity.principalId)
        | join kind=leftouter (
            resources
            | where type =~ 'microsoft.storage/storageaccounts'
            | project storageId = tolower(id), sharedKey = properties.allowSharedKeyAccess
          ) on storageId
        | extend keyAllowed = iff(isnull(sharedKey), true, tobool(sharedKey))
        | project-away storageId1
        | order by id asc";
    let reply = ask(&cloud, query, json!({})).await;
    assert_eq!(
        (reply.status, &reply.body["totalRecords"], &reply.body["resultTruncated"]),
        (200, &json!(1), &json!("false"))
    );
    let row = &reply.body["data"][0];
    assert_eq!((&row["id"], &row["resourceGroup"]), (&json!(workspace("churn")), &json!("rg-ml-prod")));
    assert_eq!((&row["storageId"], &row["keyAllowed"]), (&json!(account().to_lowercase()), &json!(false)));
    assert_eq!(row["authMode"], "", "the index does not show the mode");
    assert!(row.get("storageId1").is_none());
}

#[tokio::test]
async fn the_mode_is_shown_where_the_knob_says_so() {
    let cloud = Cloud::new(small_world(), Knobs { arg_exposes_auth_mode: true, ..Knobs::immediate() });
    let query = "resources | where type has 'workspaces' | project mode = properties.systemDatastoresAuthMode";
    assert_eq!(ask(&cloud, query, json!({})).await.body["data"], json!([{"mode": "AccessKey"}]));
}

#[tokio::test]
async fn grants_are_found_by_scope_and_joined_with_their_roles() {
    let mut world = small_world();
    world.push(grant_entry(&account(), G1, DANA, BLOB_CONTRIBUTOR));
    let cloud = patient(world);
    let query = format!(
        "authorizationresources
        | where type =~ 'microsoft.authorization/roleassignments'
        | where tolower(tostring(properties.scope)) == '{}'
        | project id, principalId = tostring(properties.principalId),
              roleGuid = tolower(substring(tostring(properties.roleDefinitionId), strlen(tostring(properties.roleDefinitionId)) - 36)),
              condition = tostring(properties.condition), role = tolower(tostring(properties.roleDefinitionId))
        | join kind=leftouter (authorizationresources | where type =~ 'microsoft.authorization/roledefinitions'
              | project role = tolower(id), roleName = tostring(properties.roleName)) on role",
        account().to_lowercase()
    );
    let reply = ask(&cloud, &query, json!({})).await;
    let row = &reply.body["data"][0];
    assert_eq!((&row["principalId"], &row["roleGuid"]), (&json!(DANA), &json!(BLOB_CONTRIBUTOR)));
    assert_eq!((&row["roleName"], &row["condition"]), (&json!("Storage Blob Data Contributor"), &json!("")));
}

#[tokio::test]
async fn inherited_grants_are_shown_only_where_the_scope_filter_asks_for_them() {
    let mut world = small_world();
    world.push(grant_entry("/providers/Microsoft.Management/managementGroups/mg", "above", JOB, READER));
    world.push(grant_entry(SUB, "here", JOB, READER));
    world.push(grant_entry(RG, "below", JOB, READER));
    let cloud = patient(world);
    let query = "authorizationresources | where type has 'roleassignments' | order by name asc | project name";
    for (filter, found) in [
        ("AtScopeAndBelow", vec!["below", "here"]),
        ("AtScopeAndAbove", vec!["above", "here"]),
        ("AtScopeExact", vec!["here"]),
        ("AtScopeAboveAndBelow", vec!["above", "below", "here"]),
    ] {
        let reply = ask(&cloud, query, json!({"authorizationScopeFilter": filter})).await;
        let names: Vec<&str> =
            reply.body["data"].as_array().unwrap().iter().map(|row| row["name"].as_str().unwrap()).collect();
        assert_eq!(names, found, "{filter}");
    }
}

#[tokio::test]
async fn groups_and_subscriptions_are_containers() {
    let cloud = patient(small_world());
    let query = "resourcecontainers | order by id asc | project name, type";
    let rows = ask(&cloud, query, json!({"resultFormat": "table"})).await.body["data"]["rows"].clone();
    let subscription = SUB.trim_start_matches("/subscriptions/");
    assert_eq!(
        rows,
        json!([
            [subscription, "microsoft.resources/subscriptions"],
            ["rg-ml-prod", "microsoft.resources/subscriptions/resourcegroups"],
        ])
    );
}

#[tokio::test]
async fn answers_are_objects_or_tables() {
    let cloud = patient(small_world());
    let query = "resources | summarize count() by type | top 1 by type desc";
    let objects = ask(&cloud, query, json!({"resultFormat": "objectArray"})).await;
    assert_eq!(objects.body["data"], json!([{"type": "microsoft.storage/storageaccounts", "count_": 1}]));
    let table = ask(&cloud, query, json!({"resultFormat": "table"})).await;
    assert_eq!(
        table.body["data"],
        json!({"columns": [{"name": "type", "type": "string"}, {"name": "count_", "type": "integer"}],
            "rows": [["microsoft.storage/storageaccounts", 1]]})
    );
    assert_eq!(table.body["facets"], json!([]));
}

fn crowd() -> Cloud {
    let mut world = small_world();
    for number in 0..9 {
        let id = format!("{RG}/providers/Microsoft.Storage/storageAccounts/stmore{number}");
        world.push(json!({"id": id, "name": format!("stmore{number}"), "location": "westeurope"}));
    }
    patient(world)
}

#[tokio::test]
async fn pages_follow_each_other_by_skip_token_until_there_is_none() {
    let cloud = crowd();
    let query = "resources | where type has 'storage' | order by id asc | project id";
    let (mut ids, mut token, mut pages) = (Vec::new(), Value::Null, 0);
    loop {
        let reply = ask(&cloud, query, json!({"$top": 4, "$skipToken": token})).await.body;
        assert_eq!((&reply["totalRecords"], &reply["resultTruncated"]), (&json!(10), &json!("false")));
        ids.extend(reply["data"].as_array().unwrap().iter().map(|row| row["id"].as_str().unwrap().to_owned()));
        pages += 1;
        match reply.get("$skipToken") {
            Some(next) => token = next.clone(),
            None => break,
        }
    }
    assert_eq!((pages, ids.len()), (3, 10));
    ids.dedup();
    assert_eq!(ids.len(), 10);
    let other = ask(&cloud, "resources | project id", json!({"$skipToken": token})).await;
    assert_eq!(other.status, 400, "a token belongs to its query");
    let skipped = ask(&cloud, query, json!({"$skip": 8, "$top": 5})).await.body;
    assert_eq!((&skipped["count"], skipped.get("$skipToken")), (&json!(2), None));
}

#[tokio::test]
async fn without_an_id_an_answer_is_cut_off_and_says_so() {
    let reply = ask(&crowd(), "resources | project name", json!({"$top": 4})).await.body;
    assert_eq!(
        (&reply["resultTruncated"], reply.get("$skipToken"), &reply["count"]),
        (&json!("true"), None, &json!(4))
    );
}

#[tokio::test]
async fn answers_are_as_old_as_the_lag() {
    let cloud =
        Cloud::new(small_world(), Knobs { arg_lag: Duration::from_secs(60), throttling: false, ..Knobs::immediate() });
    let query = "resources | where type has 'storage' | project key = properties.allowSharedKeyAccess";
    let key = async || ask(&cloud, query, json!({})).await.body["data"].clone();
    cloud.flag(false).await;
    assert_eq!(key().await, json!([{"key": null}]));
    cloud.pass(30);
    cloud.flag(true).await;
    cloud.pass(30);
    assert_eq!(key().await, json!([{"key": false}]));
    cloud.pass(30);
    assert_eq!(key().await, json!([{"key": true}]));
    cloud.ask("DELETE", &format!("{}?api-version=2023-05-01", account()), None).await;
    assert_eq!(key().await, json!([{"key": true}]), "what is gone is still shown");
    cloud.grant(SUB, G1, DANA, READER).await;
    let grants = "authorizationresources | where type has 'roleassignments' | count";
    assert_eq!(ask(&cloud, grants, json!({})).await.body["data"], json!([{"Count": 0}]));
    cloud.pass(60);
    assert_eq!(key().await, json!([]));
    assert_eq!(ask(&cloud, grants, json!({})).await.body["data"], json!([{"Count": 1}]));
}

#[tokio::test]
async fn only_what_the_caller_may_read_is_answered_and_a_stranger_is_refused() {
    let mut world = small_world();
    world.push(grant_entry(&account(), G1, DANA, READER));
    let mut cloud = patient(world);
    cloud.act_as(DANA);
    let rows = ask(&cloud, "resources | project name", json!({})).await;
    assert_eq!(rows.body["data"], json!([{"name": "stmlchurnprod"}]));
    cloud.act_as(JOB);
    let refused = ask(&cloud, "resources | project name", json!({})).await;
    assert_eq!((refused.status, refused.code()), (403, "AuthorizationFailed"));
}

#[tokio::test]
async fn what_is_not_understood_is_a_bad_request_with_the_place() {
    let cloud = patient(small_world());
    let bad = ask(&cloud, "where where", json!({})).await;
    assert_eq!((bad.status, bad.code()), (400, "BadRequest"));
    let details = &bad.body["error"]["details"];
    assert_eq!(details[0]["code"], "InvalidQuery");
    assert_eq!(
        (&details[1]["code"], &details[1]["line"], &details[1]["characterPositionInLine"], &details[1]["token"]),
        (&json!("ParserFailure"), &json!(1), &json!(11), &json!("<EOF>"))
    );
    for (query, options) in [
        ("resources | mv-expand tags", json!({})),
        ("securityresources", json!({})),
        ("resources", json!({"$top": 0})),
        ("resources", json!({"$top": 1001})),
        ("resources", json!({"$skip": -1})),
        ("resources", json!({"resultFormat": "csv"})),
    ] {
        assert_eq!(ask(&cloud, query, options).await.code(), "BadRequest", "{query}");
    }
}

#[tokio::test]
async fn a_user_has_fifteen_queries_in_five_seconds() {
    let mut cloud = Cloud::new(small_world(), Knobs::immediate());
    for left in (0..15).rev() {
        let reply = ask(&cloud, "resources | count", json!({})).await;
        assert_eq!((reply.status, reply.header("x-ms-user-quota-remaining")), (200, left.to_string().as_str()));
        assert_eq!(reply.header("x-ms-user-quota-resets-after"), "00:00:05");
        assert_eq!(reply.header("x-ms-ratelimit-remaining-tenant-writes"), "");
    }
    let refused = ask(&cloud, "resources | count", json!({})).await;
    assert_eq!((refused.status, refused.code(), refused.header("retry-after")), (429, "RateLimiting", "5"));
    assert_eq!(refused.header("x-ms-user-quota-remaining"), "0");
    cloud.act_as(keyless_sim::MANAGED_OBJECT_ID);
    assert_eq!(ask(&cloud, "resources | count", json!({})).await.status, 200, "another user has another quota");
    cloud.act_as(keyless_sim::CLIENT_OBJECT_ID);
    cloud.pass(4);
    assert_eq!(ask(&cloud, "resources | count", json!({})).await.header("retry-after"), "1");
    cloud.pass(1);
    let again = ask(&cloud, "resources | count", json!({})).await;
    assert_eq!((again.status, again.header("x-ms-user-quota-remaining")), (200, "14"));
}
