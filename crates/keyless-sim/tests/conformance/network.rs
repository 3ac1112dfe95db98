//! Network rules of an account shut people and jobs out, whatever their roles and keys.
//!
//! Source: MicrosoftDocs/azure-docs `articles/storage/common/storage-network-security.md`.

use keyless_sim::Knobs;
use serde_json::{Value, json};

use crate::cloud::{Cloud, account, small_world, workspace};

async fn rules(cloud: &Cloud, properties: Value) {
    let path = format!("{}?api-version=2023-05-01", account());
    let answer = cloud.ask("PATCH", &path, Some(json!({"properties": properties}))).await;
    assert_eq!(answer.status, 200, "{answer:?}");
}

#[tokio::test]
async fn an_account_without_any_way_in_refuses_everybody_and_each_way_lets_in() {
    let none = json!({"publicNetworkAccess": "Disabled", "networkAcls": {"bypass": "None", "defaultAction": "Deny"}});
    let all = format!("{}*", workspace("").to_uppercase());
    for (way, name, value) in [
        ("public", "publicNetworkAccess", json!("Enabled")),
        ("trusted services", "networkAcls", json!({"bypass": "Logging, AzureServices", "defaultAction": "Deny"})),
        ("the default of `bypass`", "networkAcls", json!({"defaultAction": "Deny"})),
        (
            "its own rule",
            "networkAcls",
            json!({"bypass": "None", "defaultAction": "Deny", "resourceAccessRules": [{"resourceId": all}]}),
        ),
    ] {
        let cloud = Cloud::new(small_world(), Knobs::immediate());
        cloud.pass(60);
        assert_eq!(cloud.sim.oracle().denied.entitled, 0);
        rules(&cloud, none.clone()).await;
        cloud.pass(60);
        let oracle = cloud.sim.oracle();
        assert_eq!((oracle.denied.entitled, oracle.events[0].cause.as_str()), (6, "AuthorizationFailure"), "{way}");
        let mut more = json!({});
        more[name] = value;
        if way == "public" {
            more["networkAcls"] = json!({"bypass": "None", "defaultAction": "Allow"});
        }
        rules(&cloud, more).await;
        cloud.pass(60);
        assert_eq!(cloud.sim.oracle().denied.entitled, 6, "{way} lets in again");
    }
}

/// Source: <https://learn.microsoft.com/azure/private-link/private-endpoint-overview>.
#[tokio::test]
async fn a_private_endpoint_lets_in_once_it_is_approved() {
    for (status, denied) in [("Pending", true), ("Rejected", true), ("Disconnected", true), ("Approved", false)] {
        let mut world = small_world();
        let of_it = world.iter_mut().find(|entry| entry["id"] == account()).expect("the account");
        of_it["properties"]["privateEndpointConnections"] =
            json!([{"properties": {"privateLinkServiceConnectionState": {"status": status}}}]);
        let cloud = Cloud::new(world, Knobs::immediate());
        cloud.pass(60);
        rules(
            &cloud,
            json!({"publicNetworkAccess": "Disabled", "networkAcls": {"bypass": "None", "defaultAction": "Deny"}}),
        )
        .await;
        cloud.pass(60);
        assert_eq!(cloud.sim.oracle().denied.entitled > 0, denied, "{status}");
    }
}
