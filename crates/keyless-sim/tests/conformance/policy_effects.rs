//! Policies that refuse, change, spare and are exempted from; the caller's own permissions.
//!
//! Source: MicrosoftDocs/azure-docs `articles/governance/policy/concepts/` `effects.md`, `assignment-structure.md` and
//! `exemption-structure.md`; azure-mgmt-authorization 4.0.0 `PermissionsOperations`.

use keyless_sim::Knobs;
use serde_json::{Value, json};

use crate::cloud::{
    BLOB_CONTRIBUTOR, BLOB_READER, Cloud, DANA, JOB, RG, SUB, account, grant_entry, small_world, workspace,
};

const SHARED_KEY: &str = "/providers/Microsoft.Authorization/policyDefinitions/8c6a50c6-9ffd-4ae7-986f-5fa6111f9a54";
const G1: &str = "0f6c7b8a-2d1e-5c3f-9a4b-6d7e8f901234";
const G2: &str = "0f6c7b8a-2d1e-5c3f-9a4b-6d7e8f901235";
const FLAG: &str = "Microsoft.Storage/storageAccounts/allowSharedKeyAccess";

fn assigned(scope: &str, definition: &str, more: Value) -> Value {
    let mut properties = json!({"policyDefinitionId": definition, "displayName": "no keys"});
    for (name, value) in more.as_object().unwrap() {
        properties[name] = value.clone();
    }
    json!({"id": format!("{scope}/providers/Microsoft.Authorization/policyAssignments/p"), "name": "p",
        "type": "Microsoft.Authorization/policyAssignments", "properties": properties})
}

fn deny() -> Value {
    json!({"parameters": {"effect": {"value": "Deny"}}})
}

fn defined(name: &str, condition: Value, then: Value) -> Value {
    json!({"id": format!("{SUB}/providers/Microsoft.Authorization/policyDefinitions/{name}"), "name": name,
        "type": "Microsoft.Authorization/policyDefinitions",
        "properties": {"policyRule": {"if": condition, "then": then}}})
}

fn exemption(scope: &str, more: Value) -> Value {
    let mut properties = json!({"exemptionCategory": "Waiver",
        "policyAssignmentId": format!("{SUB}/providers/microsoft.authorization/policyassignments/P")});
    for (name, value) in more.as_object().unwrap() {
        properties[name] = value.clone();
    }
    json!({"id": format!("{scope}/providers/Microsoft.Authorization/policyExemptions/e"), "name": "e",
        "type": "Microsoft.Authorization/policyExemptions", "properties": properties})
}

fn cloud(more: Vec<Value>) -> Cloud {
    let mut world = small_world();
    world.extend(more);
    Cloud::new(world, Knobs::immediate())
}

#[tokio::test]
async fn the_built_in_policy_in_deny_lets_the_key_go_off_and_not_on_again() {
    let cloud = cloud(vec![assigned(SUB, SHARED_KEY, deny())]);
    let refused = cloud.flag(true).await;
    assert_eq!((refused.status, refused.code()), (403, "RequestDisallowedByPolicy"));
    let error = &refused.body["error"];
    assert_eq!(
        (&error["target"], &error["additionalInfo"][0]["type"]),
        (&json!("stmlchurnprod"), &json!("PolicyViolation"))
    );
    let message = error["message"].as_str().unwrap();
    assert!(message.contains("Policy identifiers: '[{") && message.contains("/policyAssignments/p"), "{message}");
    // Any update that leaves it on is refused too.
    let path = format!("{}?api-version=2023-05-01", account());
    let other = cloud.ask("PATCH", &path, Some(json!({"properties": {"minimumTlsVersion": "TLS1_2"}}))).await;
    assert_eq!(other.code(), "RequestDisallowedByPolicy");
    assert_eq!(cloud.flag(false).await.status, 200);
    assert_eq!(cloud.flag(true).await.status, 403);
    let shown = cloud.get(&format!("{SHARED_KEY}?api-version=2023-04-01")).await;
    assert_eq!(shown.body["properties"]["parameters"]["effect"]["defaultValue"], "Audit");
}

#[tokio::test]
async fn without_enforcement_parameters_or_scope_it_refuses_nothing() {
    for more in [
        json!({}),
        json!({"parameters": {"effect": {"value": "Disabled"}}}),
        json!({"parameters": {"Effect": {"value": "deny"}}, "enforcementMode": "DoNotEnforce"}),
        json!({"parameters": {"effect": {"value": "Deny"}}, "notScopes": [RG.to_uppercase()]}),
    ] {
        let cloud = cloud(vec![assigned(SUB, SHARED_KEY, more.clone())]);
        assert_eq!(cloud.flag(true).await.status, 200, "{more}");
    }
}

#[tokio::test]
async fn an_exemption_spares_its_scope_until_it_ends() {
    for (scope, more, status) in [
        (RG.to_owned(), json!({}), 200),
        (account(), json!({"expiresOn": "2099-01-01T00:00:00Z"}), 200),
        (account(), json!({"expiresOn": "2020-01-01T00:00:00Z"}), 403),
        (workspace("churn"), json!({}), 403),
        (SUB.to_owned(), json!({"policyDefinitionReferenceIds": ["another"]}), 403),
    ] {
        let cloud = cloud(vec![assigned(SUB, SHARED_KEY, deny()), exemption(&scope, more.clone())]);
        assert_eq!(cloud.flag(true).await.status, status, "{scope} {more}");
        let list = format!(
            "{}/providers/Microsoft.Authorization/policyExemptions?api-version=2022-07-01-preview&$filter=atScope()",
            account()
        );
        let shown = cloud.get(&list).await.body["value"].as_array().unwrap().len();
        assert_eq!(shown, usize::from(!scope.contains("workspaces")), "{scope}");
    }
}

#[tokio::test]
async fn an_initiative_hands_its_parameters_on() {
    let set = format!("{SUB}/providers/Microsoft.Authorization/policySetDefinitions/baseline");
    let body = json!({"id": set, "name": "baseline", "type": "Microsoft.Authorization/policySetDefinitions", "properties": {
        "parameters": {"keys": {"type": "String", "defaultValue": "Audit"}},
        "policyDefinitions": [{"policyDefinitionId": SHARED_KEY, "policyDefinitionReferenceId": "shared-key",
            "parameters": {"effect": {"value": "[parameters('keys')]"}}}]}});
    for (more, status) in [(json!({}), 200), (json!({"parameters": {"keys": {"value": "Deny"}}}), 403)] {
        let cloud = cloud(vec![assigned(SUB, &set, more.clone()), body.clone()]);
        assert_eq!(cloud.flag(true).await.status, status, "{more}");
        let shown = cloud.get(&format!("{set}?api-version=2023-04-01")).await;
        assert_eq!(shown.body["properties"]["policyDefinitions"][0]["policyDefinitionReferenceId"], "shared-key");
    }
    let spared = exemption(SUB, json!({"policyDefinitionReferenceIds": ["Shared-Key"]}));
    let cloud = cloud(vec![assigned(SUB, &set, json!({"parameters": {"keys": {"value": "Deny"}}})), body, spared]);
    assert_eq!(cloud.flag(true).await.status, 200);
}

#[tokio::test]
async fn modify_changes_the_value_without_a_word_and_append_refuses_another() {
    let rule = json!({"field": "type", "equals": "Microsoft.Storage/storageAccounts"});
    let modify = json!({"effect": "modify", "details": {"operations": [
        {"operation": "addOrReplace", "field": FLAG, "value": false}]}});
    let append = json!({"effect": "append", "details": [{"field": FLAG, "value": false}]});
    let id = format!("{SUB}/providers/Microsoft.Authorization/policyDefinitions/force");
    let modified = cloud(vec![assigned(RG, &id, json!({})), defined("force", rule.clone(), modify)]);
    let answer = modified.flag(true).await;
    assert_eq!((answer.status, &answer.body["properties"]["allowSharedKeyAccess"]), (200, &json!(false)));
    modified.pass(600);
    assert_eq!(modified.sim.oracle().denied.entitled, 60, "keys are refused from then on");
    let appended = cloud(vec![assigned(RG, &id, json!({})), defined("force", rule, append)]);
    assert_eq!(appended.flag(true).await.code(), "RequestDisallowedByPolicy");
    assert_eq!(appended.flag(false).await.status, 200);
}

#[tokio::test]
async fn modes_and_assignments_are_policed_by_their_fields() {
    let mode = "Microsoft.MachineLearningServices/workspaces/systemDatastoresAuthMode";
    let role = "Microsoft.Authorization/roleAssignments/roleDefinitionId";
    for (condition, mode_status, reader_status) in [
        (json!({"field": mode, "equals": "identity"}), 403, 201),
        (json!({"field": mode, "notEquals": "identity"}), 200, 403),
        (
            json!({"allOf": [{"field": "type", "like": "Microsoft.Authorization/*"}, {"field": role, "notContains": BLOB_CONTRIBUTOR}]}),
            200,
            403,
        ),
        (json!({"not": {"field": "name", "in": ["churn", G1]}}), 200, 201),
        (json!({"field": "name", "matchInsensitively": "churn"}), 200, 201),
    ] {
        let id = format!("{SUB}/providers/Microsoft.Authorization/policyDefinitions/d");
        let cloud =
            cloud(vec![assigned(SUB, &id, json!({})), defined("d", condition.clone(), json!({"effect": "Deny"}))]);
        assert_eq!(cloud.mode("churn", "Identity").await.status, mode_status, "{condition}");
        assert_eq!(cloud.grant(&account(), G1, DANA, BLOB_READER).await.status, reader_status, "{condition}");
    }
}

#[tokio::test]
async fn deny_action_bars_the_deletion_of_an_assignment() {
    let id = format!("{SUB}/providers/Microsoft.Authorization/policyDefinitions/d");
    let rule = json!({"field": "type", "equals": "Microsoft.Authorization/roleAssignments"});
    let then = json!({"effect": "denyAction", "details": {"actionNames": ["delete"]}});
    let cloud = cloud(vec![
        assigned(SUB, &id, json!({})),
        defined("d", rule, then),
        grant_entry(&account(), G2, DANA, BLOB_READER),
    ]);
    let path = format!("{}/providers/Microsoft.Authorization/roleAssignments/{G2}?api-version=2022-04-01", account());
    assert_eq!(cloud.ask("DELETE", &path, None).await.code(), "RequestDisallowedByPolicy");
    assert_eq!(cloud.get(&path).await.status, 200);
}

#[tokio::test]
async fn permissions_are_those_of_the_callers_roles_at_the_scope() {
    const READER: &str = "acdd72a7-3385-48ef-bd42-f606fba81ae7";
    let mut conditioned = grant_entry(&account(), G2, JOB, BLOB_READER);
    conditioned["properties"]["condition"] = json!("@Resource[x] StringEquals 'y'");
    let mut cloud = cloud(vec![grant_entry(RG, G1, JOB, READER), conditioned]);
    let path = |scope: &str| format!("{scope}/providers/Microsoft.Authorization/permissions?api-version=2022-04-01");
    assert_eq!(cloud.get(&path(&account())).await.body["value"][0]["actions"], json!(["*"]), "an owner");
    cloud.act_as(JOB);
    let group = cloud.get(&path(RG)).await.body["value"].clone();
    assert_eq!(group.as_array().unwrap().len(), 1);
    assert_eq!(group[0]["actions"], json!(["*/read"]));
    let account = cloud.get(&path(&account())).await.body["value"].clone();
    let conditions: Vec<bool> =
        account.as_array().unwrap().iter().map(|block| block["condition"].is_string()).collect();
    assert_eq!(conditions.iter().filter(|has| **has).count(), 1, "{account}");
    assert_eq!(conditions.len(), 2);
    assert_eq!(cloud.get(&path(SUB)).await.status, 403);
}
