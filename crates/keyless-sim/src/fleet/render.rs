//! The JSON of a fleet, as `api-version=2025-09-01` and its like answer it.
//!
//! Source of the shapes: the GET examples of the REST references of Azure Machine Learning, Storage, Managed Identity
//! and Authorization, <https://learn.microsoft.com/rest/api/azure/>.

mod grant;
mod workspace;

use serde_json::{Value, json};

use self::grant::Grant;
use self::workspace::View;

use super::cast::{Cast, ComputeForm, Identity};
use super::covers::Covers;
use super::dice::Dice;
use super::directory::{Person, Team};
use super::place::{Account, Estate};
use crate::account::{encryption, endpoints};

const REGION: &str = "westeurope";
const KEY_TRIES_PER_HOUR: u32 = 60;

/// From so many accounts on, a tenth of them has a hidden user of its key.
const ACCOUNTS_FOR_KEY_USERS: usize = 5;

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
            resources.extend(view.jobs());
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
            "primaryEndpoints": endpoints(name),
            "encryption": encryption(&created),
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
