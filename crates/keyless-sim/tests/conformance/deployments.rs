//! Deployments of templates.

use keyless_sim::{Breadth, CLIENT_OBJECT_ID, Fault, Knobs, WorkspaceWrite};
use serde_json::{Value, json};

use crate::cloud::{BLOB_READER, Cloud, DANA, RG, SUB, account, grant_entry, small_world, workspace};

fn deployment(name: &str) -> String {
    format!("{}/providers/Microsoft.Resources/deployments/{name}", RG.replace("resourceGroups", "resourcegroups"))
}

fn at(path: &str) -> String {
    format!("{path}?api-version=2020-06-01")
}

async fn put(cloud: &Cloud, name: &str, template: Value, parameters: Value) -> crate::cloud::Reply {
    let body = json!({"properties": {"mode": "incremental", "template": template, "parameters": parameters}});
    cloud.ask("PUT", &at(&deployment(name)), Some(body)).await
}

async fn state(cloud: &Cloud, name: &str) -> Value {
    cloud.get(&at(&deployment(name))).await.body["properties"]["provisioningState"].clone()
}

/// A key vault and a workspace that needs it, as the template of azure-ai-ml has them, and one that is left out.
fn template() -> Value {
    json!({
        "parameters": {
            "name": {"type": "string"}, "mode": {"type": "string", "defaultValue": ""},
            "kind": {"type": "string", "defaultValue": "hub"}, "storage": {"type": "string", "defaultValue": "existing"},
        },
        "variables": {"vault": "[resourceId('Microsoft.KeyVault/vaults', concat('kv', parameters('name')))]"},
        "resources": [
            {"type": "Microsoft.MachineLearningServices/workspaces", "apiVersion": "2023-08-01-preview",
                "name": "[parameters('name')]", "location": "[resourceGroup().location]", "kind": "[parameters('kind')]",
                "identity": {"type": "systemAssigned"},
                "dependsOn": ["[variables('vault')]", "[resourceId('Microsoft.Storage/storageAccounts', 'stnew')]"],
                "properties": {"storageAccount": account(), "keyVault": "[variables('vault')]", "description": "",
                    "hbiWorkspace": "false", "containerRegistry": "[json('null')]",
                    "systemDatastoresAuthMode": "[parameters('mode')]"}},
            {"type": "Microsoft.KeyVault/vaults", "apiVersion": "2023-07-01", "name": "[concat('kv', parameters('name'))]",
                "location": "westeurope", "properties": {"tenantId": "[subscription().tenantId]"}},
            {"type": "Microsoft.Storage/storageAccounts", "apiVersion": "2023-04-01", "name": "stnew",
                "condition": "[equals(parameters('storage'), 'new')]", "location": "westeurope", "kind": "StorageV2",
                "sku": {"name": "Standard_LRS"}, "properties": {"minimumTlsVersion": "TLS1_2"}},
        ],
        "outputs": {"principal": {"type": "string",
            "value": "[reference(parameters('name'), '2023-08-01-preview', 'full').identity.principalId]"}},
    })
}

#[tokio::test]
async fn a_template_makes_its_resources_in_order_and_tells_of_each() {
    let cloud = Cloud::new(small_world(), Knobs::default());
    let parameters = json!({"name": {"value": "hub2"}, "mode": {"value": "identity"}});
    let started = put(&cloud, "first", template(), parameters).await;
    assert_eq!((started.status, &started.body["properties"]["provisioningState"]), (201, &json!("Running")));
    let poll = started.header("azure-asyncoperation").to_owned();
    let running = cloud.get(&poll).await;
    assert_eq!(
        (running.status, &running.body["status"], running.header("retry-after")),
        (200, &json!("Running"), "10")
    );
    cloud.pass(15);
    assert_eq!(cloud.get(&poll).await.body["status"], "Succeeded");

    let done = cloud.get(&at(&deployment("first"))).await.body;
    let ids: Vec<&str> = done["properties"]["outputResources"]
        .as_array()
        .unwrap()
        .iter()
        .map(|made| made["id"].as_str().unwrap().rsplit('/').next().unwrap())
        .collect();
    assert_eq!((ids, &done["properties"]["duration"]), (vec!["kvhub2", "hub2"], &json!("PT15.0000000S")));
    let made = cloud.get(&format!("{}?api-version=2025-09-01", workspace("hub2"))).await.body;
    assert_eq!(done["properties"]["outputs"]["principal"]["value"], made["identity"]["principalId"]);
    assert_eq!((&made["kind"], &made["location"]), (&json!("hub"), &json!("westeurope")));
    let properties = &made["properties"];
    assert_eq!(
        (&properties["systemDatastoresAuthMode"], &properties["hbiWorkspace"]),
        (&json!("identity"), &json!(false))
    );
    assert!(properties.get("description").is_none() && properties.get("containerRegistry").is_none());
    let vault = cloud.get(&format!("{}?api-version=2023-07-01", properties["keyVault"].as_str().unwrap())).await;
    assert_eq!((vault.status, &vault.body["type"]), (200, &json!("Microsoft.KeyVault/vaults")));
    let absent = format!("{RG}/providers/Microsoft.Storage/storageAccounts/stnew?api-version=2023-05-01");
    assert_eq!(cloud.get(&absent).await.status, 404);
}

#[tokio::test]
async fn operations_are_listed_on_both_paths() {
    let cloud = Cloud::immediate();
    put(&cloud, "first", template(), json!({"name": {"value": "hub2"}})).await;
    let long = cloud.get(&at(&format!("{}/operations", deployment("first")))).await;
    let short = cloud.get(&at(&format!("{RG}/deployments/first/operations"))).await;
    assert_eq!((long.status, short.status, &long.body), (200, 200, &short.body));
    let items = long.body["value"].as_array().unwrap();
    assert_eq!(items.len(), 2);
    for item in items {
        let properties = &item["properties"];
        assert_eq!(properties["provisioningOperation"], "Create");
        assert_eq!(properties["provisioningState"], "Succeeded");
        for name in ["duration", "statusCode", "serviceRequestId", "timestamp"] {
            assert!(properties[name].is_string(), "{name}");
        }
        assert!(item["operationId"].is_string());
    }
    let target = &items[1]["properties"]["targetResource"];
    assert_eq!(
        (&target["id"], &target["resourceType"], &target["resourceName"]),
        (&json!(workspace("hub2")), &json!("Microsoft.MachineLearningServices/workspaces"), &json!("hub2"))
    );
    assert_eq!(cloud.get(&at(&format!("{RG}/deployments/none/operations"))).await.code(), "DeploymentNotFound");
}

#[tokio::test]
async fn a_new_account_of_a_template_allows_keys() {
    let cloud = Cloud::immediate();
    put(&cloud, "first", template(), json!({"name": {"value": "hub2"}, "storage": {"value": "new"}})).await;
    assert_eq!(state(&cloud, "first").await, "Succeeded");
    let account = format!("{RG}/providers/Microsoft.Storage/storageAccounts/stnew?api-version=2023-05-01");
    let made = cloud.get(&account).await;
    assert_eq!((made.status, made.body["properties"].get("allowSharedKeyAccess")), (200, None));
}

#[tokio::test]
async fn a_workspace_made_by_a_template_gets_the_services_grants_and_a_project_its_hubs_account() {
    let cloud = Cloud::immediate();
    put(&cloud, "hub", template(), json!({"name": {"value": "hub2"}})).await;
    cloud.pass(1);
    let project = json!({"resources": [{"type": "Microsoft.MachineLearningServices/workspaces",
        "apiVersion": "2023-08-01-preview", "name": "project2", "location": "westeurope", "kind": "project",
        "properties": {"hubResourceId": workspace("hub2"), "publicNetworkAccess": "PublicNetworkAccessType.ENABLED"}}]});
    put(&cloud, "project", project, json!({})).await;
    assert_eq!(state(&cloud, "project").await, "Succeeded");
    cloud.pass(1);
    let made = cloud.get(&format!("{}?api-version=2025-09-01", workspace("project2"))).await.body;
    assert_eq!(made["properties"]["storageAccount"], account());
    assert_eq!(made["properties"].get("publicNetworkAccess"), None);
    let hub = cloud.get(&format!("{}?api-version=2025-09-01", workspace("hub2"))).await.body;
    assert_eq!(hub["properties"]["associatedWorkspaces"], json!([workspace("project2")]));
    let grants = format!(
        "{}/providers/Microsoft.Authorization/roleAssignments?api-version=2022-04-01&$filter=atScope()",
        account()
    );
    let grants = cloud.get(&grants).await.body["value"].to_string();
    for principal in [&hub["identity"]["principalId"], &made["identity"]["principalId"]] {
        assert!(grants.contains(principal.as_str().unwrap()));
    }
}

#[tokio::test]
async fn a_template_that_does_not_hold_together_makes_nothing() {
    let cloud = Cloud::immediate();
    let before = cloud.sim.world_json();
    let with = |properties: Value| {
        json!({"resources": [{"type": "Microsoft.KeyVault/vaults", "apiVersion": "2023-07-01", "name": "kv",
            "properties": properties}]})
    };
    for (template, words) in [
        (with(json!({"x": "[sideEffect('y')]"})), "'sideEffect' is not valid"),
        (with(json!({"x": ["[concat('a']"]})), "ends too early"),
        (json!({"parameters": {"p": {"type": "string"}}}), "'p' is not provided"),
        (json!(7), "no template"),
    ] {
        let reply = put(&cloud, "bad", template, json!({})).await;
        let message = reply.body["error"]["message"].as_str().unwrap_or_default().to_owned();
        assert_eq!((reply.status, reply.code()), (400, "InvalidTemplate"), "{message}");
        assert!(message.contains(words), "{message}");
    }
    let complete = json!({"properties": {"mode": "Complete", "template": {"resources": []}}});
    assert_eq!(cloud.ask("PUT", &at(&deployment("bad")), Some(complete)).await.status, 400);
    assert_eq!(cloud.get(&at(&deployment("bad"))).await.status, 404);
    assert_eq!(cloud.sim.world_json(), before);
}

#[tokio::test]
async fn what_a_resource_is_refused_for_is_nested_in_the_error_of_the_deployment() {
    let mut world = small_world();
    world.push(json!({"id": format!("{}/providers/Microsoft.Authorization/locks/l", account()),
        "properties": {"level": "ReadOnly"}}));
    let cloud = Cloud::new(world, Knobs::immediate());
    let template = json!({"resources": [
        {"type": "Microsoft.KeyVault/vaults", "apiVersion": "2023-07-01", "name": "kv", "location": "westeurope",
            "properties": {}},
        {"type": "Microsoft.Storage/storageAccounts", "apiVersion": "2023-04-01", "name": "stmlchurnprod",
            "location": "westeurope", "dependsOn": ["kv"], "properties": {}},
        {"type": "Microsoft.KeyVault/vaults", "apiVersion": "2023-07-01", "name": "later", "dependsOn": ["stmlchurnprod"]},
    ]});
    let started = put(&cloud, "locked", template, json!({})).await;
    let poll = cloud.get(started.header("azure-asyncoperation")).await.body;
    assert_eq!((&poll["status"], &poll["error"]["code"]), (&json!("Failed"), &json!("DeploymentFailed")));
    assert_eq!(poll["error"]["details"][0]["code"], "ScopeLocked");
    let shown = cloud.get(&at(&deployment("locked"))).await.body;
    assert_eq!(shown["properties"]["error"], poll["error"]);
    let operations = cloud.get(&at(&format!("{}/operations", deployment("locked")))).await.body;
    let states: Vec<&Value> =
        operations["value"].as_array().unwrap().iter().map(|item| &item["properties"]["provisioningState"]).collect();
    assert_eq!(states, ["Succeeded", "Failed"]);
    assert_eq!(operations["value"][1]["properties"]["statusMessage"]["error"]["code"], "ScopeLocked");
}

#[tokio::test]
async fn what_a_policy_refuses_of_a_template_is_told_under_its_own_code() {
    let denial = Fault::PolicyDeny { lasts: std::time::Duration::from_secs(60), scope: Breadth::Resource };
    let cloud = crate::faults::first("PATCH", "/storageAccounts/{}", denial);
    assert_eq!(cloud.flag(true).await.code(), "RequestDisallowedByPolicy");
    let template = json!({"resources": [{"type": "Microsoft.Storage/storageAccounts", "apiVersion": "2023-04-01",
        "name": "stmlchurnprod", "location": "westeurope", "properties": {}}]});
    put(&cloud, "denied", template, json!({})).await;
    let error = cloud.get(&at(&deployment("denied"))).await.body["properties"]["error"].clone();
    assert_eq!(error["code"], "InvalidTemplateDeployment");
    assert_eq!(error["details"][0]["code"], "RequestDisallowedByPolicy");
    assert!(error["details"][0]["additionalInfo"].is_array(), "{error}");
}

#[tokio::test]
async fn old_deployments_are_forgotten() {
    let cloud = Cloud::immediate();
    for number in 0..801 {
        assert_eq!(put(&cloud, &format!("d{number}"), json!({"resources": []}), json!({})).await.status, 201);
        cloud.pass(10);
    }
    assert_eq!((cloud.get(&at(&deployment("d0"))).await.status, state(&cloud, "d1").await), (404, json!("Succeeded")));
}

#[tokio::test]
async fn a_workspace_operation_that_fails_fails_the_deployment() {
    let knobs = Knobs { workspace_write: WorkspaceWrite::Fails, ..Knobs::default() };
    let cloud = Cloud::new(small_world(), knobs);
    put(&cloud, "doomed", template(), json!({"name": {"value": "hub2"}})).await;
    cloud.pass(30);
    let shown = cloud.get(&at(&deployment("doomed"))).await.body;
    assert_eq!(shown["properties"]["error"]["details"][0]["code"], "InternalServerError");
    assert_eq!(cloud.get(&format!("{}?api-version=2025-09-01", workspace("hub2"))).await.status, 404);
}

#[tokio::test]
async fn a_deployment_has_the_rights_of_whoever_made_it() {
    let mut world = small_world();
    world.push(grant_entry(&account(), "0f6c7b8a-2d1e-5c3f-9a4b-6d7e8f901234", CLIENT_OBJECT_ID, BLOB_READER));
    world.push(json!({"id": format!("{SUB}/providers/Microsoft.Authorization/roleDefinitions/deployer"),
        "properties": {"permissions": [{"actions": ["Microsoft.Resources/deployments/*"]}]}}));
    world.push(grant_entry(RG, "1f6c7b8a-2d1e-5c3f-9a4b-6d7e8f901234", DANA, "deployer"));
    let mut cloud = Cloud::new(world, Knobs::immediate());
    let denied = put(&cloud, "mine", template(), json!({"name": {"value": "hub2"}})).await;
    assert_eq!((denied.status, denied.code()), (403, "AuthorizationFailed"));
    cloud.act_as(DANA);
    put(&cloud, "hers", template(), json!({"name": {"value": "hub2"}})).await;
    let error = cloud.get(&at(&deployment("hers"))).await.body["properties"]["error"].clone();
    assert_eq!(error["details"][0]["code"], "AuthorizationFailed");
}

#[tokio::test]
async fn a_running_deployment_is_not_replaced_and_a_finished_one_is() {
    let cloud = Cloud::new(small_world(), Knobs::default());
    let again = json!({"name": {"value": "hub2"}});
    put(&cloud, "first", template(), again.clone()).await;
    assert_eq!(put(&cloud, "first", template(), again.clone()).await.code(), "DeploymentActive");
    cloud.pass(15);
    assert_eq!(put(&cloud, "first", template(), again).await.status, 200);
}

#[tokio::test]
async fn a_deployment_cannot_hold_itself() {
    let cloud = Cloud::immediate();
    let nested = |name: &str, resources: Value| {
        json!([{"type": "Microsoft.Resources/deployments", "apiVersion": "2020-06-01", "name": name,
            "properties": {"mode": "Incremental", "template": {"resources": resources}}}])
    };
    for (name, resources) in [("me", nested("Me", json!([]))), ("outer", nested("inner", nested("outer", json!([]))))] {
        let started = put(&cloud, name, json!({"resources": resources}), json!({})).await;
        cloud.pass(60);
        let poll = cloud.get(started.header("azure-asyncoperation")).await.body;
        assert_eq!(poll["status"], "Failed", "{name}");
        assert!(poll["error"].to_string().contains("DeploymentActive"), "{poll}");
    }
}

#[tokio::test]
async fn a_deployment_inside_of_another_is_waited_for() {
    let cloud = Cloud::new(small_world(), Knobs::default());
    let outer = json!({
        "parameters": {"name": {"type": "string", "defaultValue": "outer"}},
        "resources": [
            {"type": "Microsoft.Resources/deployments", "apiVersion": "2020-06-01", "name": "inside",
                "properties": {"mode": "Incremental", "expressionEvaluationOptions": {"scope": "inner"},
                    "template": template(), "parameters": {"name": {"value": "[concat(parameters('name'), '2')]"}}}},
            {"type": "Microsoft.KeyVault/vaults", "apiVersion": "2023-07-01", "name": "after",
                "location": "westeurope", "dependsOn": ["inside"]},
        ],
    });
    put(&cloud, "outside", outer, json!({})).await;
    cloud.pass(10);
    assert_eq!(state(&cloud, "outside").await, "Running");
    cloud.pass(40);
    assert_eq!(
        (state(&cloud, "inside").await, state(&cloud, "outside").await),
        (json!("Succeeded"), json!("Succeeded"))
    );
    assert_eq!(cloud.get(&format!("{}?api-version=2025-09-01", workspace("outer2"))).await.status, 200);
    let after = format!("{RG}/providers/Microsoft.KeyVault/vaults/after?api-version=2023-07-01");
    assert_eq!(cloud.get(&after).await.status, 200);
}

#[tokio::test]
async fn an_assignment_in_a_template_is_made_at_its_scope() {
    let cloud = Cloud::immediate();
    let template = json!({"resources": [{
        "type": "Microsoft.Authorization/roleAssignments", "apiVersion": "2022-04-01",
        "name": "[guid(resourceGroup().id, 'reader')]", "scope": account(),
        "properties": {"principalId": DANA, "principalType": "User",
            "roleDefinitionId": format!("[subscriptionResourceId('Microsoft.Authorization/roleDefinitions', '{BLOB_READER}')]")},
    }]});
    put(&cloud, "grants", template, json!({})).await;
    assert_eq!(state(&cloud, "grants").await, "Succeeded");
    let list = format!(
        "{}/providers/Microsoft.Authorization/roleAssignments?api-version=2022-04-01&$filter=principalId eq '{DANA}'",
        account()
    );
    assert_eq!(cloud.get(&list).await.body["value"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn what_stands_beside_a_workspace_is_kept_shown_and_removed() {
    let cloud = Cloud::immediate();
    for kind in [
        "Microsoft.KeyVault/vaults",
        "microsoft.insights/components",
        "Microsoft.OperationalInsights/workspaces",
        "Microsoft.ContainerRegistry/registries",
    ] {
        let path = format!("{RG}/providers/{kind}/one?api-version=2023-07-01");
        let body = json!({"location": "westeurope", "properties": {"own": 1}});
        assert_eq!(cloud.get(&path).await.status, 404, "{kind}");
        assert_eq!(cloud.ask("PUT", &path, Some(body)).await.status, 201, "{kind}");
        let read = cloud.get(&path).await;
        assert_eq!((&read.body["properties"]["own"], &read.body["name"]), (&json!(1), &json!("one")), "{kind}");
        assert_eq!(cloud.ask("DELETE", &path, None).await.status, 200, "{kind}");
        assert_eq!(cloud.ask("DELETE", &path, None).await.status, 204, "{kind}");
        assert_eq!(cloud.ask("POST", &path, None).await.status, 405, "{kind}");
    }
}
