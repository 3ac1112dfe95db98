//! Clients with one answer, and the things that the tests ask for.

use std::sync::Arc;

use keyless_arm::api::{Grant, ReadArm, WriteArm, WriteKind, Written};
use keyless_arm::client::Client;
use keyless_arm::error::{ArmError, ErrorClass, WriteError};
use keyless_core::desired::AuthMode;
use keyless_core::id::{ArmId, StorageAccountId, WorkspaceId};
use keyless_core::observed::{Account, PrincipalType, RoleAssignment, Workspace};
use serde_json::{Value, json};

use crate::fake::{Asks, GUID, SUBSCRIPTION, account_id, client, reply, workspace_id};

/// A client that gets this answer to everything.
pub(crate) fn always(status: u16, headers: &[(&'static str, &str)], body: impl ToString) -> (Client, Asks) {
    in_turn(vec![(status, headers.to_vec(), body.to_string())])
}

/// Status, headers and body of one answer.
pub(crate) type Given<'a> = (u16, Vec<(&'static str, &'a str)>, String);

/// A client that gets these answers in turn, and the last one again and again.
pub(crate) fn in_turn(answers: Vec<Given<'_>>) -> (Client, Asks) {
    let owned = |(status, headers, body): Given<'_>| {
        let headers: Vec<(&'static str, String)> =
            headers.into_iter().map(|(name, value)| (name, value.to_owned())).collect();
        (status, headers, body)
    };
    let answers: Vec<_> = answers.into_iter().map(owned).collect();
    let answers = Arc::new(answers);
    client(move |number, _| {
        let answers = Arc::clone(&answers);
        async move {
            let (status, headers, body) = &answers[number.min(answers.len()) - 1];
            let headers: Vec<(&str, &str)> = headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
            reply(*status, &headers, body)
        }
    })
}

pub(crate) fn workspace() -> WorkspaceId {
    WorkspaceId::parse(&workspace_id()).unwrap()
}

pub(crate) fn account() -> StorageAccountId {
    StorageAccountId::parse(&account_id()).unwrap()
}

pub(crate) fn scope() -> ArmId {
    ArmId::parse(&account_id()).unwrap()
}

/// A workspace's body with these properties.
pub(crate) fn workspace_body(properties: Value) -> Value {
    json!({"id": workspace_id(), "name": "mlw-churn", "location": "westeurope", "properties": properties})
}

/// What such a body is read as.
pub(crate) async fn read_workspace(body: Value) -> Workspace {
    always(200, &[], body).0.workspace(&workspace()).await.unwrap().value.unwrap()
}

/// An account's body with these properties.
pub(crate) fn account_body(properties: Value) -> Value {
    json!({"id": account_id(), "name": "stmlprod", "location": "westeurope", "properties": properties})
}

pub(crate) async fn read_account(body: Value) -> Account {
    always(200, &[], body).0.account(&account()).await.unwrap().value.unwrap()
}

/// A role assignment at the account, changed in its properties.
pub(crate) fn assignment_body(changes: Value) -> Value {
    let mut properties = json!({
        "roleDefinitionId": format!("/subscriptions/{SUBSCRIPTION}/providers/Microsoft.Authorization/roleDefinitions/{GUID}"),
        "principalId": GUID, "principalType": "ServicePrincipal", "scope": account_id()
    });
    for (name, value) in changes.as_object().unwrap() {
        properties[name] = value.clone();
    }
    let id = format!("{}/providers/Microsoft.Authorization/roleAssignments/{GUID}", account_id());
    json!({"id": id, "name": GUID, "type": "Microsoft.Authorization/roleAssignments", "properties": properties})
}

pub(crate) async fn read_assignment(body: Value) -> RoleAssignment {
    let (client, _) = always(200, &[], json!({"value": [body]}));
    client.role_assignments(&scope()).await.unwrap().value.remove(0)
}

pub(crate) async fn set_mode(client: &Client) -> Result<Written, WriteError> {
    let permit = client.reserve_write(SUBSCRIPTION.parse().unwrap(), WriteKind::Workspace).await.unwrap();
    client.set_auth_mode(permit, &workspace(), AuthMode::Identity).await.map(|answer| answer.value)
}

pub(crate) async fn set_key(client: &Client, allowed: bool) -> Result<Written, WriteError> {
    let permit = client.reserve_write(SUBSCRIPTION.parse().unwrap(), WriteKind::Account).await.unwrap();
    client.set_shared_key_access(permit, &account(), allowed).await.map(|answer| answer.value)
}

pub(crate) async fn grant(client: &Client) -> Result<Written, WriteError> {
    let permit = client.reserve_write(SUBSCRIPTION.parse().unwrap(), WriteKind::Grant).await.unwrap();
    let grant = Grant {
        scope: scope(),
        name: GUID.parse().unwrap(),
        principal: GUID.parse().unwrap(),
        principal_type: PrincipalType::ServicePrincipal,
        role: GUID.parse().unwrap(),
        condition: None,
        description: "made by a test".to_owned(),
    };
    client.grant_role(permit, &grant).await.map(|answer| answer.value)
}

pub(crate) async fn revoke(client: &Client) -> Result<Written, WriteError> {
    let permit = client.reserve_write(SUBSCRIPTION.parse().unwrap(), WriteKind::Revoke).await.unwrap();
    let id = format!("{}/providers/Microsoft.Authorization/roleAssignments/{GUID}", account_id());
    client.revoke_role(permit, &ArmId::parse(&id).unwrap()).await.map(|answer| answer.value)
}

/// How a read of the account fails on this answer.
pub(crate) async fn failure(status: u16, headers: &[(&'static str, &str)], body: impl ToString) -> ArmError {
    always(status, headers, body).0.account(&account()).await.unwrap_err()
}

/// Class and code, the two that callers act on.
pub(crate) fn class_and_code(error: &ArmError) -> (ErrorClass, Option<&str>) {
    (error.class, error.code.as_deref())
}
