//! Resource providers and the registration of subscriptions with them.

use keyless_sim::Knobs;
use serde_json::json;

use crate::cloud::{Cloud, DANA, SUB, small_world};

const NEW: &str = "/subscriptions/3f8c1d7a-52b4-4c0e-9d2e-7a1b6c5d4e99";

#[tokio::test]
async fn a_provider_lists_its_types_with_the_newest_versions_first() {
    let cloud = Cloud::immediate();
    let one = cloud.get(&format!("{SUB}/providers/microsoft.machinelearningservices?api-version=2024-11-01")).await;
    assert_eq!(
        (&one.body["namespace"], &one.body["registrationState"]),
        (&json!("Microsoft.MachineLearningServices"), &json!("Registered"))
    );
    let versions: Vec<String> = serde_json::from_value(one.body["resourceTypes"][0]["apiVersions"].clone()).unwrap();
    assert!(versions.is_sorted_by(|newer, older| newer > older), "{versions:?}");
    let all = cloud.get(&format!("{SUB}/providers?api-version=2024-11-01")).await;
    assert!(all.body["value"].as_array().unwrap().len() > 3);
    assert_eq!(cloud.get(&format!("{SUB}/providers/Contoso.Nothing?api-version=2024-11-01")).await.status, 404);
}

#[tokio::test]
async fn what_a_subscription_is_not_registered_for_cannot_be_created_there() {
    let mut world = small_world();
    world.push(json!({"id": NEW, "displayName": "new"}));
    world.push(json!({"id": format!("{NEW}/resourceGroups/rg"), "name": "rg", "location": "westeurope"}));
    let mut cloud = Cloud::new(world, Knobs::immediate());
    let ask = |verb: &str, sub: &str| {
        cloud.request("POST", &format!("{sub}/providers/Microsoft.Storage/{verb}?api-version=2016-02-01"), None)
    };
    assert_eq!(cloud.send(ask("unregister", SUB)).await.status, 409, "it holds accounts");
    assert_eq!(cloud.send(ask("unregister", NEW)).await.body["registrationState"], "Unregistered");
    let path =
        format!("{NEW}/resourceGroups/rg/providers/Microsoft.Storage/storageAccounts/stnew?api-version=2023-05-01");
    let body = json!({"location": "westeurope", "sku": {"name": "Standard_LRS"}, "kind": "StorageV2"});
    let refused = cloud.ask("PUT", &path, Some(body.clone())).await;
    assert_eq!((refused.status, refused.code()), (409, "MissingSubscriptionRegistration"));
    assert_eq!(cloud.send(ask("register", NEW)).await.body["registrationState"], "Registered");
    assert_eq!(cloud.ask("PUT", &path, Some(body)).await.status, 200);
    for (namespace, verb, status) in
        [("Microsoft.Insights", "register", 200), ("Microsoft.Authorization", "unregister", 409)]
    {
        let path = format!("{NEW}/providers/{namespace}/{verb}?api-version=2016-02-01");
        assert_eq!(cloud.ask("POST", &path, None).await.status, status, "{namespace}");
    }
    cloud.act_as(DANA);
    let path = format!("{NEW}/providers/Microsoft.Storage/register?api-version=2016-02-01");
    assert_eq!(cloud.ask("POST", &path, None).await.code(), "AuthorizationFailed");
}
