//! [`WriteArm`] over the pipeline. Bodies of PATCHes carry the one property they change.

use async_trait::async_trait;
use keyless_core::desired::{AuthMode, Create, DatastorePlace, ServiceDataAccess};
use keyless_core::id::{ArmId, AssignmentName, StorageAccountId, SubscriptionId, WorkspaceId};
use serde_json::{Map, Value, json};

use crate::api::{Answer, Grant, Write, WriteArm, WriteKind, WritePermit, Written};
use crate::classify::{Kind, Verdict};
use crate::client::Client;
use crate::error::{ArmError, ErrorClass, Landed, WriteError};
use crate::governor::Place;
use crate::operation::Operation;
use crate::pipeline::{Call, Reply};
use crate::quota::Provider;
use crate::read::extension;
use crate::stored::StoredDatastore;
use crate::{create, storage};

#[async_trait]
impl WriteArm for Client {
    async fn reserve_write(&self, subscription: SubscriptionId, kind: WriteKind) -> Result<WritePermit, ArmError> {
        let place = self.reserve(subscription, kind).await?;
        Ok(WritePermit { subscription, place: Some(place) })
    }

    async fn grant_role(&self, permit: WritePermit, grant: &Grant) -> Write {
        let path = extension(&grant.scope, &format!("roleAssignments/{}", grant.name));
        // Built-in roles have no subscription; responses spell the subscription form, and so do we where there is one.
        let home = grant.scope.subscription().map(|id| id.arm().to_string()).unwrap_or_default();
        let mut body = json!({"properties": {
            "roleDefinitionId": format!("{home}/providers/Microsoft.Authorization/roleDefinitions/{}", grant.role),
            "principalId": grant.principal.to_string(),
            "principalType": grant.principal_type.as_wire(),
            "description": grant.description,
        }});
        let properties = body.get_mut("properties").and_then(Value::as_object_mut);
        if let (Some(condition), Some(properties)) = (&grant.condition, properties) {
            properties.insert("condition".to_owned(), json!(condition));
            properties.insert("conditionVersion".to_owned(), json!("2.0"));
        }
        let (operation, provider) = (Operation::GrantRole, Provider::Authorization);
        let call = self.change(operation, Kind::Grant, provider, &grant.scope, &path, Some(&body));
        self.send(permit, call).await
    }

    async fn revoke_role(&self, permit: WritePermit, assignment: &ArmId) -> Write {
        let (operation, provider) = (Operation::RevokeRole, Provider::Authorization);
        let call = self.change(operation, Kind::Revoke, provider, assignment, assignment.as_str(), None);
        let is_assignment = assignment.folded().contains("/providers/microsoft.authorization/roleassignments/")
            && assignment.name().parse::<AssignmentName>().is_ok();
        if !is_assignment {
            return Err(refused(call.error(ErrorClass::Bug, "this is not the id of a role assignment")));
        }
        self.send(permit, call).await
    }

    async fn set_auth_mode(&self, permit: WritePermit, workspace: &WorkspaceId, mode: AuthMode) -> Write {
        let word = match mode {
            AuthMode::Identity => "Identity",
            AuthMode::AccessKey => "AccessKey",
        };
        let body = json!({"properties": {"systemDatastoresAuthMode": word}});
        let (operation, provider) = (Operation::SetAuthMode, Provider::MachineLearning);
        let call = self.change(operation, Kind::Patch, provider, workspace.arm(), workspace.as_str(), Some(&body));
        self.send(permit, call).await
    }

    async fn set_datastore_credential(
        &self,
        permit: WritePermit,
        workspace: &WorkspaceId,
        stored: &StoredDatastore,
    ) -> Write {
        let name = &stored.datastore.name;
        self.put_datastore(Operation::SetDatastoreCredential, permit, workspace, name, &stored.without_credentials())
            .await
    }

    async fn create_datastore(
        &self,
        permit: WritePermit,
        workspace: &WorkspaceId,
        name: &str,
        place: &DatastorePlace,
    ) -> Write {
        let DatastorePlace { kind, account, space, subscription, resource_group, service_access } = place;
        let mut properties = Map::new();
        let mut put = |name: &str, value: Option<&str>| {
            if let Some(value) = value {
                properties.insert(name.to_owned(), value.into());
            }
        };
        put("datastoreType", Some(kind.as_wire()));
        put("accountName", account.as_deref());
        put(kind.space_property(), Some(space));
        put("subscriptionId", subscription.as_deref());
        put("resourceGroup", resource_group.as_deref());
        put("serviceDataAccessAuthIdentity", service_access.map(ServiceDataAccess::as_wire));
        properties.insert("credentials".to_owned(), json!({"credentialsType": "None"}));
        let body = json!({ "properties": properties });
        self.put_datastore(Operation::CreateDatastore, permit, workspace, name, &body).await
    }

    async fn create_workspace(&self, permit: WritePermit, workspace: &WorkspaceId, create: &Create) -> Write {
        let (operation, provider) = (Operation::CreateWorkspace, Provider::MachineLearning);
        let body = create::body(create);
        let call = self.change(operation, Kind::Create, provider, workspace.arm(), workspace.as_str(), Some(&body));
        self.send(permit, call).await
    }

    async fn resync_keys(&self, permit: WritePermit, workspace: &WorkspaceId) -> Write {
        let path = format!("{}/resyncKeys", workspace.as_str());
        let (operation, provider) = (Operation::ResyncWorkspaceKeys, Provider::MachineLearning);
        let call = self.change(operation, Kind::Act, provider, workspace.arm(), &path, None);
        self.send(permit, call).await
    }

    async fn set_shared_key_access(&self, permit: WritePermit, account: &StorageAccountId, allowed: bool) -> Write {
        let (operation, provider) = (Operation::SetSharedKeyAccess, Provider::Storage);
        let probe = self.change(operation, Kind::Patch, provider, account.arm(), account.as_str(), None);
        let place = place_of(permit, &probe)?;
        let (call, reply, verdict) = storage::set_shared_key_access(&self.pipeline, place, account, allowed).await?;
        self.end(&call, reply, verdict).await
    }
}

impl Client {
    /// Azure would check that the data can be reached with what the caller may do; this caller may reach no data.
    async fn put_datastore(
        &self,
        operation: Operation,
        permit: WritePermit,
        workspace: &WorkspaceId,
        name: &str,
        body: &Value,
    ) -> Write {
        let path = format!("{workspace}/datastores/{name}");
        let provider = Provider::MachineLearning;
        let call = self.change(operation, Kind::Put, provider, workspace.arm(), &path, Some(body));
        if !is_datastore_name(name) {
            return Err(refused(call.error(ErrorClass::Bug, "this is not the name of a datastore")));
        }
        self.send(permit, call).await
    }

    async fn send(&self, permit: WritePermit, call: Call) -> Write {
        let place = place_of(permit, &call)?;
        let (reply, verdict) = self.pipeline.write(&call, place).await?;
        self.end(&call, reply, verdict).await
    }

    /// Follows a write to its end.
    async fn end(&self, call: &Call, reply: Reply, verdict: Verdict) -> Write {
        let (reply, written) = match (call.kind, verdict) {
            (Kind::Patch | Kind::Create | Kind::Act, _) => (self.pipeline.settle(call, reply).await?, Written::Changed),
            // A conflict that says "it is there" has an error for a body.
            (_, Verdict::AlreadySo) if !reply.status.is_success() => (reply, Written::AlreadySo),
            (_, verdict) => {
                check_readable(call, &reply)?;
                let changed = verdict != Verdict::AlreadySo;
                (reply, if changed { Written::Changed } else { Written::AlreadySo })
            }
        };
        Ok(Answer { value: written, at: reply.at, request_id: reply.request_id })
    }
}

/// A success whose body is no JSON may come from anything between here and Azure.
fn check_readable(call: &Call, reply: &Reply) -> Result<(), WriteError> {
    let empty_is_fine = call.kind == Kind::Revoke;
    if (reply.body.is_empty() && empty_is_fine) || serde_json::from_slice::<Value>(&reply.body).is_ok() {
        return Ok(());
    }
    let error = call.error_of(reply, ErrorClass::Unreadable, "the answer is not JSON");
    Err(WriteError { error, landed: Landed::Unknown })
}

/// Source: hashicorp/terraform-provider-azurerm, `DataStoreName`. Anything else would lead to another address.
pub(crate) fn is_datastore_name(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
}

fn place_of(permit: WritePermit, call: &Call) -> Result<Place, WriteError> {
    match permit.place {
        Some(place) if place.quota() == call.quota => Ok(place),
        _ => Err(refused(call.error(ErrorClass::Bug, "the place in the write quota is another write's"))),
    }
}

fn refused(error: ArmError) -> WriteError {
    WriteError { error, landed: Landed::No }
}
