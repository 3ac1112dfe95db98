//! Policy assignments as they are listed.

use keyless_sim::Knobs;
use serde_json::{Value, json};

use crate::cloud::{Cloud, RG, SUB, account, small_world};

fn assigned(scope: &str, name: &str, definition: &str) -> Value {
    json!({"id": format!("{scope}/providers/Microsoft.Authorization/policyAssignments/{name}"), "name": name,
        "type": "Microsoft.Authorization/policyAssignments",
        "properties": {"policyDefinitionId": format!("/providers/Microsoft.Authorization/policyDefinitions/{definition}")}})
}

#[tokio::test]
async fn filters_choose_the_scope_above_and_below_as_documented() {
    let mut world = small_world();
    world.push(assigned(SUB, "above", "d1"));
    world.push(assigned(RG, "here", "d1"));
    world.push(assigned(&account(), "below", "d2"));
    let cloud = Cloud::new(world, Knobs::immediate());
    for (filter, names) in [
        ("", vec!["above", "here", "below"]),
        ("&$filter=atScope()", vec!["above", "here"]),
        ("&$filter=atExactScope()", vec!["here"]),
        ("&$filter=policyDefinitionId eq '/providers/microsoft.authorization/policydefinitions/D2'", vec!["below"]),
    ] {
        let reply = cloud
            .get(&format!("{RG}/providers/Microsoft.Authorization/policyAssignments?api-version=2025-11-01{filter}"))
            .await;
        let found: Vec<&str> =
            reply.body["value"].as_array().unwrap().iter().map(|one| one["name"].as_str().unwrap()).collect();
        assert_eq!(found, names, "{filter}");
    }
    let bad = cloud
        .get(&format!("{RG}/providers/Microsoft.Authorization/policyAssignments?api-version=2025-11-01&$filter=x"))
        .await;
    assert_eq!(bad.status, 400);
    let one = cloud
        .get(&format!("{RG}/providers/Microsoft.Authorization/policyAssignments/here?api-version=2025-11-01"))
        .await;
    assert_eq!((one.status, &one.body["name"]), (200, &json!("here")));
}
