//! Role assignments.

use keyless_arm::api::{ReadArm, Written};
use keyless_arm::error::{ErrorClass, Landed};
use keyless_core::id::ArmId;
use keyless_core::observed::PrincipalType;
use serde_json::{Value, json};

use crate::fake::{GROUP, GUID, SUBSCRIPTION, account_id};
use crate::with::{always, assignment_body, grant, in_turn, read_assignment, revoke, scope};

fn fault(code: &str) -> String {
    json!({"error": {"code": code, "message": "because"}}).to_string()
}

#[tokio::test(start_paused = true)]
async fn a_fresh_principal_is_propagating() {
    let done = assignment_body(json!({})).to_string();
    let (client, asks) = in_turn(vec![(400, vec![], fault("PrincipalNotFound")), (201, vec![], done)]);
    let failed = grant(&client).await.unwrap_err();
    assert_eq!((failed.error.class, failed.landed), (ErrorClass::Propagating, Landed::No));
    assert_eq!(asks.lock().unwrap().len(), 1, "a write is never repeated by itself");
    assert_eq!(grant(&client).await.unwrap(), Written::Changed, "the very same request succeeds later");
    let asks = asks.lock().unwrap();
    assert_eq!((&asks[0].url, &asks[0].body), (&asks[1].url, &asks[1].body));
}

#[tokio::test(start_paused = true)]
async fn a_grant_that_exists_under_another_name_is_there() {
    let (client, _) = always(409, &[], fault("RoleAssignmentExists"));
    assert_eq!(grant(&client).await.unwrap(), Written::AlreadySo);
}

#[tokio::test(start_paused = true)]
async fn a_put_over_an_existing_assignment_answers_as_if_it_were_new() {
    let (client, _) = always(201, &[], assignment_body(json!({"description": "changed"})));
    assert_eq!(grant(&client).await.unwrap(), Written::Changed);
}

#[tokio::test(start_paused = true)]
async fn a_delete_tells_by_its_status_whether_there_was_anything() {
    assert_eq!(revoke(&always(200, &[], assignment_body(json!({}))).0).await.unwrap(), Written::Changed);
    assert_eq!(revoke(&always(204, &[], "").0).await.unwrap(), Written::AlreadySo);
    assert_eq!(revoke(&always(404, &[], fault("RoleAssignmentNotFound")).0).await.unwrap(), Written::AlreadySo);
}

#[tokio::test(start_paused = true)]
async fn who_made_it_may_be_null_or_empty() {
    for nobody in [json!(null), json!("")] {
        let found = read_assignment(assignment_body(json!({"createdBy": nobody, "updatedBy": GUID}))).await;
        assert_eq!(found.principal, GUID.parse().unwrap());
    }
}

#[tokio::test(start_paused = true)]
async fn only_the_scope_tells_where_an_assignment_was_made() {
    let group = "/providers/Microsoft.Management/managementGroups/Platform";
    let subscription = format!("/subscriptions/{SUBSCRIPTION}");
    let scopes = ["/", group, &subscription, GROUP, &account_id()].map(str::to_owned);
    let items: Vec<Value> = scopes.iter().map(|scope| assignment_body(json!({"scope": scope}))).collect();
    let (client, _) = always(200, &[], json!({"value": items}));
    let found = client.role_assignments(&scope()).await.unwrap().value;
    let found: Vec<&str> = found.iter().map(|one| one.scope.as_str()).collect();
    assert_eq!(found, scopes);
}

#[tokio::test(start_paused = true)]
async fn a_role_is_known_by_the_last_segment_of_its_id() {
    let mut body = assignment_body(json!({"scope": "/"}));
    body["id"] = json!(format!("/providers/Microsoft.Authorization/roleAssignments/{GUID}"));
    assert_eq!(read_assignment(body).await.role, GUID.parse().unwrap());
    let bare = format!("/providers/Microsoft.Authorization/roleDefinitions/{}", GUID.to_uppercase());
    assert_eq!(read_assignment(assignment_body(json!({"roleDefinitionId": bare}))).await.role, GUID.parse().unwrap());
}

#[tokio::test(start_paused = true)]
async fn a_management_group_has_a_free_name_in_any_case() {
    let name = "/providers/Microsoft.Management/managementGroups/AzSDK-Test_(mg).1";
    let found = read_assignment(assignment_body(json!({"scope": name}))).await;
    assert_eq!(found.scope, ArmId::parse(&name.to_lowercase()).unwrap());
    assert!(found.scope.is_management_group() && found.scope.covers(&scope()));
}

#[tokio::test(start_paused = true)]
async fn the_principals_type_and_the_condition_may_be_absent_or_null() {
    let found =
        read_assignment(assignment_body(json!({"principalType": null, "condition": null, "description": null}))).await;
    assert_eq!((found.principal_type, found.condition, found.description), (None, None, None));
    let mut body = assignment_body(json!({}));
    body["properties"].as_object_mut().unwrap().remove("principalType");
    assert_eq!(read_assignment(body).await.principal_type, None);
    let odd = read_assignment(assignment_body(json!({"principalType": "foreigngroup"}))).await;
    assert_eq!(odd.principal_type, Some(PrincipalType::ForeignGroup));
}

#[tokio::test(start_paused = true)]
async fn a_condition_is_kept_with_its_assignment() {
    let condition = "@Resource[Microsoft.Storage/storageAccounts/blobServices/containers:name] StringEquals 'raw'";
    let found = read_assignment(assignment_body(json!({"condition": condition, "conditionVersion": "2.0"}))).await;
    assert_eq!(found.condition.as_deref(), Some(condition));
    let found = read_assignment(assignment_body(json!({"Condition": condition}))).await;
    assert_eq!(found.condition.as_deref(), Some(condition), "in whatever case it comes");
}

#[tokio::test(start_paused = true)]
async fn a_field_of_one_preview_is_skipped() {
    let found = read_assignment(assignment_body(json!({"canDelegate": false}))).await;
    assert_eq!(found.name, GUID.parse().unwrap());
}

#[tokio::test(start_paused = true)]
async fn a_doubled_slash_is_one_slash() {
    let mut body = assignment_body(json!({"scope": format!("/{GROUP}")}));
    body["id"] = json!(format!("/{GROUP}/providers/Microsoft.Authorization//roleAssignments/{GUID}"));
    let found = read_assignment(body).await;
    assert_eq!(found.scope.as_str(), GROUP);
    assert_eq!(found.id.as_str(), format!("{GROUP}/providers/Microsoft.Authorization/roleAssignments/{GUID}"));
}

#[tokio::test(start_paused = true)]
async fn hundreds_of_assignments_are_one_page() {
    let items: Vec<Value> = (0..700).map(|_| assignment_body(json!({}))).collect();
    let (client, asks) = always(200, &[], json!({"value": items}));
    assert_eq!(client.role_assignments(&scope()).await.unwrap().value.len(), 700);
    assert_eq!(asks.lock().unwrap().len(), 1);
}
