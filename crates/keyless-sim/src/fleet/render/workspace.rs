//! A workspace with what hangs on it: datastores, computes, the service's own grant and who is at work.

use serde_json::{Map, Value, json};

use super::REGION;
use super::grant::{Grant, own_containers};
use crate::fleet::blueprint::Kind;
use crate::fleet::cast::{Compute, ComputeForm, Identity, Part};
use crate::fleet::dice::Dice;
use crate::fleet::place::{Account, Estate, Workspace};
use crate::fleet::roles::Role;

const TRIES_PER_HOUR: u32 = 360;

/// The datastore of people's making that stores the account's key.
const KEYED: &str = "raw";

const SYSTEM_DATASTORES: &[(&str, &str)] = &[
    ("workspaceblobstore", "AzureBlob"),
    ("workspacefilestore", "AzureFile"),
    ("workspaceartifactstore", "AzureBlob"),
    ("workspaceworkingdirectory", "AzureFile"),
];

/// One workspace with all around it.
pub(super) struct View<'a> {
    pub(super) estate: &'a Estate,
    pub(super) account: &'a Account,
    pub(super) workspace: &'a Workspace,
    pub(super) part: &'a Part,
}

impl View<'_> {
    pub(super) fn workspace(&self, on_identity: bool, dice: &mut Dice) -> Value {
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

    pub(super) fn datastores(&self, on_identity: bool, dice: &mut Dice) -> Vec<Value> {
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
        if self.part.through_key.is_some() {
            datastores.push(self.datastore(KEYED, "AzureBlob", ("containerName", KEYED), "AccountKey", &created));
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

    pub(super) fn compute(&self, compute: &Compute, dice: &mut Dice) -> Value {
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
                json!({"vmSize": "STANDARD_DS3_V2", "state": "Running", "idleTimeBeforeShutdown": "PT15M",
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
    pub(super) fn service_grant(&self, dice: &mut Dice) -> Value {
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

    /// A job that is long over, and one that runs at the start and ends before any grant is old enough to switch on.
    pub(super) fn jobs(&self) -> Vec<Value> {
        const FIRST_JOB_RUNS: &str = "12m";
        let identity = self.part.computes.iter().find_map(|compute| match &compute.form {
            ComputeForm::ClusterWithSystemIdentity { principal_id } => Some(principal_id),
            ComputeForm::ClusterWithIdentities(identities) => identities.first().map(|own| &own.principal_id),
            ComputeForm::Instance { .. } => None,
        });
        let Some(identity) = identity else { return Vec::new() };
        let id = &self.workspace.id;
        let old = json!({
            "id": format!("{id}/jobs/train-0"), "name": "train-0",
            "type": "Microsoft.MachineLearningServices/workspaces/jobs",
            "properties": {"jobType": "Command", "displayName": "train-0", "experimentName": "Default",
                "isArchived": false, "status": "Completed"},
        });
        let running = json!({
            "id": format!("{id}/providers/Keyless.Sim/jobs/train-1"), "type": "Keyless.Sim/jobs",
            "properties": {"workspace": id, "name": "train-1", "principalId": identity, "runsFor": FIRST_JOB_RUNS,
                "dataActions": ["Microsoft.Storage/storageAccounts/blobServices/containers/blobs/read"]},
        });
        vec![old, running]
    }

    pub(super) fn workloads(&self) -> Vec<Value> {
        let id = &self.workspace.id;
        let through_system = self.part.workers.iter().map(|worker| (worker, None));
        let through_key = self.part.through_key.iter().map(|worker| (worker, Some(KEYED)));
        let workers = through_system.chain(through_key).enumerate();
        workers
            .map(|(index, (worker, datastore))| {
                let mut workload = json!({
                    "id": format!("{id}/providers/Keyless.Sim/workloads/{}", index + 1),
                    "type": "Keyless.Sim/workloads",
                    "properties": {
                        "workspace": id,
                        "principalId": worker.principal_id,
                        "dataActions": worker.data_actions,
                        "triesPerHour": TRIES_PER_HOUR,
                    },
                });
                if let (Some(datastore), Some(properties)) =
                    (datastore, workload.get_mut("properties").and_then(Value::as_object_mut))
                {
                    properties.insert("datastore".to_owned(), json!(datastore));
                }
                workload
            })
            .collect()
    }
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
