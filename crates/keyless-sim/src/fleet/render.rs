//! The JSON of a fleet, as `api-version=2025-09-01` and its like answer it.
//!
//! Source of the shapes: the GET examples of the REST references of Azure Machine Learning, Storage, Managed Identity
//! and Authorization, <https://learn.microsoft.com/rest/api/azure/>.

use serde_json::{Map, Value, json};

use super::blueprint::Kind;
use super::cast::{Cast, Compute, ComputeForm, Identity, Part};
use super::covers::Covers;
use super::dice::Dice;
use super::directory::{Person, Team};
use super::place::{Account, Estate, Workspace};
use super::roles::Role;

const REGION: &str = "westeurope";
const TRIES_PER_HOUR: u32 = 360;
const KEY_TRIES_PER_HOUR: u32 = 60;

/// From so many accounts on, a tenth of them has a hidden user of its key.
const ACCOUNTS_FOR_KEY_USERS: usize = 5;

const SYSTEM_DATASTORES: &[(&str, &str)] = &[
    ("workspaceblobstore", "AzureBlob"),
    ("workspacefilestore", "AzureFile"),
    ("workspaceartifactstore", "AzureBlob"),
    ("workspaceworkingdirectory", "AzureFile"),
];

pub(super) fn render(estate: &Estate, cast: &Cast, covers: &Covers, dice: &mut Dice) -> Vec<Value> {
    let mut resources = directory(estate, cast);
    resources.extend(cast.identities.iter().map(|identity| managed_identity(estate, identity)));
    let mut staged = cast.parts.iter().zip(&covers.complete);
    for account in &estate.accounts {
        resources.push(storage_account(estate, account, dice));
        for (workspace, (part, &complete)) in account.workspaces.iter().zip(staged.by_ref()) {
            // Whoever has all the grants may have been switched before; anybody else would have lost access by it.
            let on_identity = complete && dice.percent(50);
            let view = View { estate, account, workspace, part };
            resources.push(view.workspace(on_identity, dice));
            resources.extend(view.datastores(on_identity, dice));
            resources.extend(part.computes.iter().map(|compute| view.compute(compute, dice)));
            resources.push(view.service_grant(dice));
            resources.extend(view.workloads());
        }
    }
    for cover in &covers.grants {
        let grant = Grant {
            scope: &cover.scope,
            subscription: &cover.subscription,
            role: cover.role,
            principal_id: &cover.principal_id,
            principal_type: cover.principal_type,
            condition: None,
            age_days: cover.age_days,
        };
        resources.push(grant.render(estate, dice));
    }
    resources.extend(key_users(estate, dice));
    resources
}

/// One workspace with all around it.
struct View<'a> {
    estate: &'a Estate,
    account: &'a Account,
    workspace: &'a Workspace,
    part: &'a Part,
}

impl View<'_> {
    fn workspace(&self, on_identity: bool, dice: &mut Dice) -> Value {
        let Workspace { name, team, kind, id, subscription, resource_group, workspace_guid, .. } = self.workspace;
        let mut properties = Map::new();
        let mut put = |name: &str, value: Value| properties.insert(name.to_owned(), value);
        put("workspaceId", json!(workspace_guid));
        put("friendlyName", json!(name));
        put("tenantId", json!(self.estate.tenant));
        put("provisioningState", json!("Succeeded"));
        put("publicNetworkAccess", json!("Enabled"));
        put("hbiWorkspace", json!(false));
        put("managedNetwork", json!({"isolationMode": "Disabled"}));
        put("enableDataIsolation", json!(self.workspace.is_hub_or_project()));
        if *kind != (Kind::Project { names_account: false }) {
            put("storageAccount", json!(dice.recase(&self.account.id, 15)));
        }
        let vault = format!(
            "/subscriptions/{subscription}/resourceGroups/{resource_group}/providers/Microsoft.KeyVault/vaults"
        );
        match kind {
            Kind::Default => put("keyVault", json!(format!("{vault}/kv-{team}"))),
            Kind::Hub => {
                let projects =
                    self.account.workspaces.iter().filter(|other| matches!(other.kind, Kind::Project { .. }));
                let ids: Vec<&str> = projects.map(|project| project.id.as_str()).collect();
                put("associatedWorkspaces", json!(ids));
                put("keyVault", json!(format!("{vault}/kv-{team}")))
            }
            Kind::Project { .. } => {
                let hub = self.account.workspaces.iter().find(|other| other.kind == Kind::Hub);
                put("hubResourceId", json!(hub.map(|hub| dice.recase(&hub.id, 20))))
            }
        };
        // What was never set is absent, and what was set comes back in more than one case.
        match (on_identity, dice.below(20)) {
            (true, 0..=14) => put("systemDatastoresAuthMode", json!("Identity")),
            (true, _) => put("systemDatastoresAuthMode", json!("identity")),
            (false, 0..=2) => None,
            (false, 3..=4) => put("systemDatastoresAuthMode", json!("accesskey")),
            (false, _) => put("systemDatastoresAuthMode", json!("AccessKey")),
        };
        let created = self.estate.days_ago(self.workspace.age_days, dice);
        json!({
            "id": id,
            "name": name,
            "type": "Microsoft.MachineLearningServices/workspaces",
            "location": REGION,
            "kind": match kind {
                Kind::Default => "Default",
                Kind::Hub => "Hub",
                Kind::Project { .. } => "Project",
            },
            "sku": {"name": "Basic", "tier": "Basic"},
            "tags": {"team": team},
            "identity": self.workspace_identity(),
            "systemData": {"createdAt": created, "createdByType": "User", "lastModifiedAt": created, "lastModifiedByType": "User"},
            "properties": properties,
        })
    }

    fn workspace_identity(&self) -> Value {
        let mut identity = json!({
            "type": "SystemAssigned",
            "principalId": self.workspace.system_identity,
            "tenantId": self.estate.tenant,
        });
        if let (Some(second), Some(fields)) = (&self.part.second_identity, identity.as_object_mut()) {
            fields.insert("type".to_owned(), json!("SystemAssigned,UserAssigned"));
            fields.insert("userAssignedIdentities".to_owned(), assigned([second].into_iter()));
        }
        identity
    }

    fn datastores(&self, on_identity: bool, dice: &mut Dice) -> Vec<Value> {
        let created = self.estate.days_ago(self.workspace.age_days, dice);
        let credentials = if on_identity { "None" } else { "AccountKey" };
        let container = &self.workspace.workspace_guid;
        let mut datastores: Vec<Value> = SYSTEM_DATASTORES
            .iter()
            .map(|&(name, form)| {
                let place = if form == "AzureBlob" { "containerName" } else { "fileShareName" };
                let space = match name {
                    "workspaceartifactstore" => format!("{container}-azureml"),
                    "workspaceblobstore" => format!("{container}-azureml-blobstore"),
                    "workspacefilestore" => format!("{container}-azureml-filestore"),
                    _ => format!("{container}-code"),
                };
                self.datastore(name, form, (place, &space), credentials, &created)
            })
            .collect();
        if dice.percent(15) {
            datastores.push(self.datastore("curated", "AzureBlob", ("containerName", "curated"), "None", &created));
        }
        datastores
    }

    fn datastore(&self, name: &str, form: &str, space: (&str, &str), credentials: &str, created: &str) -> Value {
        let mut value = json!({
            "id": format!("{}/datastores/{name}", self.workspace.id),
            "name": name,
            "type": "Microsoft.MachineLearningServices/workspaces/datastores",
            "systemData": {"createdAt": created, "createdByType": "Application", "lastModifiedAt": created},
            "properties": {
                "datastoreType": form,
                "accountName": self.account.name,
                "credentials": {"credentialsType": credentials},
                "endpoint": "core.windows.net",
                "isDefault": name == "workspaceblobstore",
                "protocol": "https",
                "resourceGroup": self.account.resource_group,
                "serviceDataAccessAuthIdentity": "None",
                "subscriptionId": self.account.subscription,
            },
        });
        if let Some(properties) = value.get_mut("properties").and_then(Value::as_object_mut) {
            properties.insert(space.0.to_owned(), json!(space.1));
        }
        value
    }

    fn compute(&self, compute: &Compute, dice: &mut Dice) -> Value {
        let (kind, identity, details) = match &compute.form {
            ComputeForm::ClusterWithSystemIdentity { principal_id } => (
                "AmlCompute",
                json!({"type": "SystemAssigned", "principalId": principal_id, "tenantId": self.estate.tenant}),
                json!({"vmSize": "STANDARD_D4S_V3", "scaleSettings": {"minNodeCount": 0, "maxNodeCount": 8}}),
            ),
            ComputeForm::ClusterWithIdentities(identities) => (
                "AmlCompute",
                json!({"type": "UserAssigned", "userAssignedIdentities": assigned(identities.iter())}),
                json!({"vmSize": "STANDARD_D4S_V3", "scaleSettings": {"minNodeCount": 0, "maxNodeCount": 4}}),
            ),
            ComputeForm::Instance { owner, identity } => (
                "ComputeInstance",
                identity.as_ref().map_or(Value::Null, |identity| {
                    json!({"type": "UserAssigned", "userAssignedIdentities": assigned([identity].into_iter())})
                }),
                json!({"vmSize": "STANDARD_DS3_V2", "state": "Running",
                       "createdBy": {"userId": owner, "userOrgId": self.estate.tenant},
                       "personalComputeInstanceSettings": {"assignedUser": {"objectId": owner, "tenantId": self.estate.tenant}}}),
            ),
        };
        let created = self.estate.days_ago(self.workspace.age_days, dice);
        let mut value = json!({
            "id": format!("{}/computes/{}", self.workspace.id, compute.name),
            "name": compute.name,
            "type": "Microsoft.MachineLearningServices/workspaces/computes",
            "location": REGION,
            "properties": {
                "computeType": kind,
                "computeLocation": REGION,
                "provisioningState": "Succeeded",
                "disableLocalAuth": true,
                "isAttachedCompute": false,
                "createdOn": created,
                "modifiedOn": created,
                "properties": details,
            },
        });
        if let (false, Some(fields)) = (identity.is_null(), value.as_object_mut()) {
            fields.insert("identity".to_owned(), identity);
        }
        value
    }

    /// The grant that the service made to the workspace's own identity when the workspace was created; on projects it
    /// is limited to the project's containers.
    fn service_grant(&self, dice: &mut Dice) -> Value {
        let condition =
            matches!(self.workspace.kind, Kind::Project { .. }).then(|| own_containers(&self.workspace.workspace_guid));
        Grant {
            scope: &self.account.id,
            subscription: &self.account.subscription,
            role: Role::BlobContributor,
            principal_id: &self.workspace.system_identity,
            principal_type: "ServicePrincipal",
            condition,
            age_days: self.workspace.age_days,
        }
        .render(self.estate, dice)
    }

    fn workloads(&self) -> Vec<Value> {
        let id = &self.workspace.id;
        let workers = self.part.workers.iter().enumerate();
        workers
            .map(|(index, worker)| {
                json!({
                    "id": format!("{id}/providers/Keyless.Sim/workloads/{}", index + 1),
                    "type": "Keyless.Sim/workloads",
                    "properties": {
                        "workspace": id,
                        "principalId": worker.principal_id,
                        "dataActions": worker.data_actions,
                        "triesPerHour": TRIES_PER_HOUR,
                    },
                })
            })
            .collect()
    }
}

struct Grant<'a> {
    scope: &'a str,
    subscription: &'a str,
    role: Role,
    principal_id: &'a str,
    principal_type: &'a str,
    condition: Option<String>,
    age_days: usize,
}

impl Grant<'_> {
    fn render(&self, estate: &Estate, dice: &mut Dice) -> Value {
        let name = dice.guid();
        let created = estate.days_ago(self.age_days, dice);
        json!({
            "id": format!("{}/providers/Microsoft.Authorization/roleAssignments/{name}", self.scope),
            "name": name,
            "type": "Microsoft.Authorization/roleAssignments",
            "properties": {
                "roleDefinitionId": format!(
                    "/subscriptions/{}/providers/Microsoft.Authorization/roleDefinitions/{}",
                    self.subscription, self.role.guid()
                ),
                "principalId": self.principal_id,
                "principalType": self.principal_type,
                "scope": dice.recase(self.scope, 10),
                "condition": self.condition,
                "conditionVersion": self.condition.as_ref().map(|_| "2.0"),
                "description": null,
                "delegatedManagedIdentityResourceId": null,
                "createdOn": created,
                "updatedOn": created,
                "createdBy": "",
                "updatedBy": "",
            },
        })
    }
}

/// Source of the form: <https://learn.microsoft.com/azure/storage/blobs/storage-auth-abac-examples>; that a project's
/// identity is limited to containers that begin with the project's GUID: "What is an Azure Machine Learning hub
/// workspace?", learn.microsoft.com.
fn own_containers(guid: &str) -> String {
    let blobs = "Microsoft.Storage/storageAccounts/blobServices/containers/blobs";
    let outside: Vec<String> = ["read", "write", "delete", "add/action", "move/action"]
        .iter()
        .map(|action| format!("!(ActionMatches{{'{blobs}/{action}'}})"))
        .collect();
    format!(
        "(({}) OR (@Resource[Microsoft.Storage/storageAccounts/blobServices/containers:name] StringStartsWith '{guid}'))",
        outside.join(" AND ")
    )
}

fn storage_account(estate: &Estate, account: &Account, dice: &mut Dice) -> Value {
    let created = estate.days_ago(account.age_days, dice);
    let name = &account.name;
    let mut value = json!({
        "id": account.id,
        "name": name,
        "type": "Microsoft.Storage/storageAccounts",
        "location": REGION,
        "kind": "StorageV2",
        "sku": {"name": "Standard_LRS", "tier": "Standard"},
        "tags": {},
        "properties": {
            "provisioningState": "Succeeded",
            "creationTime": created,
            "keyCreationTime": {"key1": created, "key2": created},
            "allowBlobPublicAccess": false,
            "minimumTlsVersion": "TLS1_2",
            "supportsHttpsTrafficOnly": true,
            "isHnsEnabled": false,
            "accessTier": "Hot",
            "publicNetworkAccess": "Enabled",
            "networkAcls": {"bypass": "AzureServices", "defaultAction": "Allow", "ipRules": [], "virtualNetworkRules": []},
            "primaryLocation": REGION,
            "statusOfPrimary": "available",
            "primaryEndpoints": {
                "blob": format!("https://{name}.blob.core.windows.net/"),
                "dfs": format!("https://{name}.dfs.core.windows.net/"),
                "file": format!("https://{name}.file.core.windows.net/"),
                "queue": format!("https://{name}.queue.core.windows.net/"),
                "table": format!("https://{name}.table.core.windows.net/"),
            },
            "privateEndpointConnections": [],
        },
    });
    // Absent is by far the commonest and, like null, means that keys are allowed.
    let flag = match dice.below(20) {
        0..=13 => None,
        14..=17 => Some(Value::Bool(true)),
        _ => Some(Value::Null),
    };
    if let (Some(flag), Some(properties)) = (flag, value.get_mut("properties").and_then(Value::as_object_mut)) {
        properties.insert("allowSharedKeyAccess".to_owned(), flag);
    }
    value
}

fn managed_identity(estate: &Estate, identity: &Identity) -> Value {
    json!({
        "id": identity.id,
        "name": identity.name,
        "type": "Microsoft.ManagedIdentity/userAssignedIdentities",
        "location": REGION,
        "tags": {},
        "properties": {
            "tenantId": estate.tenant,
            "principalId": identity.principal_id,
            "clientId": identity.client_id,
        },
    })
}

/// What a resource says of the user-assigned identities it has.
fn assigned<'a>(identities: impl Iterator<Item = &'a Identity>) -> Value {
    identities
        .map(|identity| {
            let ids = json!({"principalId": identity.principal_id, "clientId": identity.client_id});
            (identity.id.clone(), ids)
        })
        .collect::<Map<String, Value>>()
        .into()
}

fn directory(estate: &Estate, cast: &Cast) -> Vec<Value> {
    let object = |kind: &str, object_id: &str, name: &str| json!({"type": format!("Microsoft.Graph/{kind}"), "id": object_id, "displayName": name});
    let person = |person: &Person| object("users", &person.object_id, &person.name);
    let team = |team: &Team| {
        let mut objects: Vec<Value> = team.members.iter().map(person).collect();
        let members: Vec<&str> = team.members.iter().map(|member| member.object_id.as_str()).collect();
        objects.push(json!({
            "type": "Microsoft.Graph/groups",
            "id": team.group.object_id,
            "displayName": team.group.name,
            "members": members,
        }));
        objects.push(object("servicePrincipals", &team.application.object_id, &team.application.name));
        objects
    };
    let mut objects: Vec<Value> = cast.directory.individuals.iter().map(person).collect();
    objects.extend(cast.directory.teams.iter().flat_map(|(_, members)| team(members)));
    objects.extend(team(&cast.directory.readers));
    objects.extend(cast.identities.iter().map(|id| object("servicePrincipals", &id.principal_id, &id.name)));
    for (workspace, part) in estate.workspaces().zip(&cast.parts) {
        objects.push(object("servicePrincipals", &workspace.system_identity, &workspace.name));
        for compute in &part.computes {
            if let ComputeForm::ClusterWithSystemIdentity { principal_id } = &compute.form {
                let name = format!("{}/computes/{}", workspace.name, compute.name);
                objects.push(object("servicePrincipals", principal_id, &name));
            }
        }
    }
    objects
}

fn key_users(estate: &Estate, dice: &mut Dice) -> Vec<Value> {
    let count = estate.accounts.len();
    if count < ACCOUNTS_FOR_KEY_USERS {
        return Vec::new();
    }
    let mut order: Vec<usize> = (0..count).collect();
    dice.shuffle(&mut order);
    order.truncate(((count + 5) / 10).max(1));
    order.sort_unstable();
    let chosen = order.into_iter().filter_map(|index| estate.accounts.get(index));
    chosen
        .map(|account| {
            let name = dice.pick(&["nightly-export", "old-function-app", "backup-script"]).copied();
            json!({
                "id": format!("{}/providers/Keyless.Sim/keyUsers/1", account.id),
                "type": "Keyless.Sim/keyUsers",
                "properties": {
                    "account": account.id,
                    "name": name,
                    "stopsAfter": "1h",
                    "triesPerHour": KEY_TRIES_PER_HOUR,
                },
            })
        })
        .collect()
}
