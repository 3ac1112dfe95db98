//! Subscriptions of another tenant, and those that it delegated.

use keyless_sim::{Knobs, TENANT_ID};
use serde_json::{Value, json};

use crate::cloud::{Cloud, SUB, account, small_world, workspace};

const OTHER: &str = "a602cbf4-21c3-4761-b54e-acf397842b82";
const FAR: &str = "/subscriptions/5a11c0de-0000-4000-8000-00000000000f";

fn far_account() -> String {
    format!("{FAR}/resourceGroups/rg/providers/Microsoft.Storage/storageAccounts/stfar")
}

/// The small world with an account in a subscription of another tenant.
fn cloud(delegated: bool) -> Cloud {
    let mut world = small_world();
    world.push(json!({"id": far_account(), "type": "Microsoft.Storage/storageAccounts", "location": "westeurope",
        "kind": "StorageV2", "properties": {"provisioningState": "Succeeded"}}));
    world.push(json!({"id": format!("{FAR}/providers/Keyless.Sim/tenants/{OTHER}"), "type": "Keyless.Sim/tenants",
        "properties": {"delegated": delegated}}));
    Cloud::new(world, Knobs::immediate())
}

async fn listed(cloud: &Cloud) -> Vec<(String, String)> {
    let reply = cloud.get("/subscriptions?api-version=2022-12-01").await;
    let pair =
        |entry: &Value| (entry["id"].as_str().unwrap().to_owned(), entry["tenantId"].as_str().unwrap().to_owned());
    reply.body["value"].as_array().unwrap().iter().map(pair).collect()
}

async fn rows(cloud: &Cloud) -> Vec<(String, String)> {
    let query = json!({"options": {"resultFormat": "objectArray"}, "query": "resources | where type =~ 'microsoft.storage/storageaccounts' | project name, tenantId"});
    let reply =
        cloud.ask("POST", "/providers/Microsoft.ResourceGraph/resources?api-version=2024-04-01", Some(query)).await;
    let pair = |row: &Value| (row["name"].as_str().unwrap().to_owned(), row["tenantId"].as_str().unwrap().to_owned());
    reply.body["data"].as_array().unwrap().iter().map(pair).collect()
}

/// Source: <https://github.com/Azure/LogicAppsUX/issues/9068>.
#[tokio::test]
async fn a_token_is_no_good_in_a_subscription_of_another_tenant() {
    let cloud = cloud(false);
    let below = format!("{}/providers/Microsoft.Authorization/roleAssignments", far_account());
    for (path, version) in [(FAR, "2022-12-01"), (&far_account(), "2023-05-01"), (&below, "2022-04-01")] {
        let reply = cloud.get(&format!("{path}?api-version={version}")).await;
        assert_eq!((reply.status, reply.code()), (401, "InvalidAuthenticationTokenTenant"), "{path}");
        let message = reply.body["error"]["message"].as_str().unwrap();
        assert!(message.starts_with("The access token is from the wrong issuer "), "{message}");
        assert!(message.contains(&format!("It must match the tenant 'https://sts.windows.net/{OTHER}/'")), "{message}");
        assert!(reply.header("www-authenticate").contains(OTHER));
    }
    assert_eq!(listed(&cloud).await, [(SUB.to_owned(), TENANT_ID.to_owned())]);
    assert_eq!(rows(&cloud).await, [("stmlchurnprod".to_owned(), TENANT_ID.to_owned())]);
    assert_eq!(cloud.get(&format!("{}?api-version=2023-05-01", account())).await.status, 200);
}

/// Source: <https://learn.microsoft.com/azure/lighthouse/concepts/cross-tenant-management-experience>.
#[tokio::test]
async fn a_delegated_subscription_is_seen_with_the_tenant_that_it_belongs_to() {
    let cloud = cloud(true);
    assert_eq!(cloud.get(&format!("{}?api-version=2023-05-01", far_account())).await.status, 200);
    let own = cloud.get(&format!("{FAR}?api-version=2022-12-01")).await;
    assert_eq!(own.body["tenantId"], OTHER);
    assert_eq!(own.body["managedByTenants"], json!([{"tenantId": TENANT_ID}]));
    assert_eq!(listed(&cloud).await.into_iter().filter(|(_, tenant)| tenant == OTHER).count(), 1);
    let far = rows(&cloud).await.into_iter().find(|(name, _)| name == "stfar").unwrap();
    assert_eq!(far.1, OTHER);
}

/// Source: Azure/azure-rest-api-specs `stable/2025-09-01/workspaceRP.json` (`tenantId`, read-only).
#[tokio::test]
async fn a_workspace_tells_the_tenant_of_its_subscription() {
    let cloud = cloud(false);
    let reply = cloud.get(&format!("{}?api-version=2025-09-01", workspace("churn"))).await;
    assert_eq!(reply.body["properties"]["tenantId"], TENANT_ID);
}
