//! The small world of a workload, and the files that are about it.

use std::fmt::Write as _;
use std::time::Duration;

use anyhow::anyhow;
use jiff::{SignedDuration, Timestamp};
use keyless_core::action::Grant;
use keyless_core::desired::{Desired, FightGuard, Fleet, ServiceGrants, Waits};
use keyless_core::id::ArmId;
use keyless_core::manifest::{self, SourceFile};
use keyless_core::observed::PrincipalType;
use keyless_sim::{Knobs, Spread, TENANT_ID};
use serde_json::{Value, json};

use crate::dst::draw::{Draw, WireRates};
use crate::dst::fleet;

const SUBSCRIPTION: &str = "3f8c1d7a-52b4-4c0e-9d2e-7a1b6c5d4e90";
/// Storage Blob Data Contributor and Storage File Data Privileged Contributor: what `readWrite` stands for.
/// Source: <https://learn.microsoft.com/azure/role-based-access-control/built-in-roles/storage>.
pub(crate) const ROLES: [&str; 2] = ["ba92f5b4-2d11-453d-a403-e96b0029c9fe", "69566ab7-960f-475b-8e7c-b3118f30c6bd"];
const READ_BLOBS: &str = "Microsoft.Storage/storageAccounts/blobServices/containers/blobs/read";

/// Everybody whom files may declare.
pub(crate) const PEOPLE: [&str; 3] = [
    "11111111-aaaa-4aaa-8aaa-000000000001",
    "11111111-aaaa-4aaa-8aaa-000000000002",
    "11111111-aaaa-4aaa-8aaa-000000000003",
];

/// How often everything is looked at.
pub(crate) const INTERVAL: Duration = Duration::from_secs(60);

/// One workspace of the world.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Place {
    pub(crate) name: &'static str,
    pub(crate) on_identity: bool,
    /// Who works through it, by the place among [`PEOPLE`].
    pub(crate) people: &'static [usize],
}

/// One workspace as the files declare it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Asks {
    pub(crate) name: &'static str,
    pub(crate) identity: bool,
    pub(crate) people: &'static [usize],
}

fn group() -> String {
    format!("/subscriptions/{SUBSCRIPTION}/resourceGroups/rg-ml")
}

/// The id of the account.
pub(crate) fn account() -> String {
    format!("{}/providers/Microsoft.Storage/storageAccounts/stmlprod", group())
}

/// The id of a workspace.
pub(crate) fn workspace(name: &str) -> String {
    format!("{}/providers/Microsoft.MachineLearningServices/workspaces/mlw-{name}", group())
}

/// The id of the assignment that somebody else made for a person, by the place of the role among [`ROLES`].
pub(crate) fn assignment(person: usize, role: usize) -> String {
    format!(
        "{}/providers/Microsoft.Authorization/roleAssignments/22222222-bbbb-4bbb-8bbb-0000000000{person}{role}",
        account()
    )
}

/// The resources: the account with its key on or off, the workspaces, the people, and old grants for those of `granted`.
pub(crate) fn resources(key_on: bool, places: &[Place], granted: &[usize]) -> Vec<Value> {
    let long_ago = long_ago();
    let mut all = vec![json!({
        "id": account(), "name": "stmlprod", "type": "Microsoft.Storage/storageAccounts", "location": "westeurope",
        "kind": "StorageV2", "properties": {"provisioningState": "Succeeded", "allowSharedKeyAccess": key_on,
            "keyCreationTime": {"key1": long_ago.to_string(), "key2": long_ago.to_string()}},
    })];
    all.extend(PEOPLE.map(|person| json!({"id": person, "type": "Microsoft.Graph/users", "displayName": person})));
    for place in places {
        let id = workspace(place.name);
        all.push(json!({
            "id": id, "name": format!("mlw-{}", place.name), "type": "Microsoft.MachineLearningServices/workspaces",
            "kind": "Default", "location": "westeurope",
            "identity": {"type": "SystemAssigned", "tenantId": TENANT_ID, "principalId": own(place.name)},
            "properties": {"storageAccount": account(), "provisioningState": "Succeeded",
                "systemDatastoresAuthMode": if place.on_identity { "Identity" } else { "AccessKey" }},
        }));
        all.extend(place.people.iter().map(|person| works(place.name, *person)));
    }
    for (person, principal) in granted.iter().filter_map(|person| Some((*person, PEOPLE.get(*person)?))) {
        all.extend(ROLES.iter().enumerate().map(|(role, definition)| {
            let id = assignment(person, role);
            granted_long_ago(&id, principal, definition, "")
        }));
    }
    all
}

/// Grants that keyless itself made for a person.
pub(crate) fn own_grants(person: usize) -> Vec<Value> {
    let owner = Fleet::default().owner;
    let own = |definition: &str| {
        let principal = PEOPLE.get(person)?;
        let (scope, role) = (ArmId::parse(&account()).ok()?, definition.parse().ok()?);
        let grant = Grant::new(&owner, scope, principal.parse().ok()?, PrincipalType::User, role);
        Some(granted_long_ago(grant.id().as_str(), principal, definition, &Grant::description(&owner)))
    };
    ROLES.into_iter().filter_map(own).collect()
}

fn granted_long_ago(id: &str, principal: &str, definition: &str, description: &str) -> Value {
    let long_ago = long_ago().to_string();
    json!({
        "id": id, "type": "Microsoft.Authorization/roleAssignments", "name": id.rsplit('/').next(),
        "properties": {"principalId": principal, "principalType": "User", "scope": account(),
            "roleDefinitionId": format!("/subscriptions/{SUBSCRIPTION}/providers/Microsoft.Authorization/roleDefinitions/{definition}"),
            "description": description, "createdOn": long_ago, "updatedOn": long_ago},
    })
}

fn long_ago() -> Timestamp {
    fleet::start().checked_sub(SignedDuration::from_hours(24 * 90)).unwrap_or(Timestamp::MIN)
}

/// The own identity of a workspace.
fn own(name: &str) -> String {
    let last = name.bytes().last().unwrap_or_default();
    format!("33333333-cccc-4ccc-8ccc-0000000000{last:02x}")
}

/// Somebody who reads through a workspace all the time.
pub(crate) fn works(name: &str, person: usize) -> Value {
    json!({"type": "Keyless.Sim/workloads", "id": format!("{}/providers/Keyless.Sim/workloads/{person}", workspace(name)),
        "properties": {"workspace": workspace(name), "principalId": PEOPLE.get(person), "dataActions": [READ_BLOBS],
            "triesPerHour": 360}})
}

/// What the files ask.
///
/// # Errors
/// If the files are not accepted.
pub(crate) fn desired(asks: &[Asks], key: Option<&str>, number: usize) -> anyhow::Result<Desired> {
    let mut text = format!(
        "apiVersion: keyless.dev/v1\nkind: Fleet\nmetadata: {{name: matrix}}\nspec:\n  \
         scope: {{subscriptions: [{SUBSCRIPTION}]}}\n  defaults: {{enforcement: enforce}}\n"
    );
    for one in asks {
        let mode = if one.identity { "identity" } else { "accesskey" };
        let _ = write!(
            text,
            "---\napiVersion: keyless.dev/v1\nkind: Workspace\nmetadata: {{name: mlw-{}}}\nspec:\n  resourceId: {}\n  \
             authMode: {mode}\n  access:\n",
            one.name,
            workspace(one.name)
        );
        for person in one.people.iter().filter_map(|person| PEOPLE.get(*person)) {
            let _ = write!(
                text,
                "    - principal: {{user: {{objectId: {person}, name: somebody}}}}\n      level: readWrite\n"
            );
        }
    }
    if let Some(key) = key {
        let _ = write!(
            text,
            "---\napiVersion: keyless.dev/v1\nkind: StorageAccount\nmetadata: {{name: stmlprod}}\nspec:\n  \
             resourceId: {}\n  sharedKeyAccess: {key}\n",
            account()
        );
    }
    let accepted = manifest::load("matrix", &[SourceFile::new("matrix.yaml", text)])
        .map_err(|rejected| anyhow!("files {number}: {:?}", rejected.problems))?;
    let mut desired = accepted.desired;
    desired.fleet.waits = waits();
    desired.fleet.prune = true;
    desired.fleet.fight = FightGuard { reversals: 10, within: Duration::from_secs(3600) };
    for one in desired.workspaces.values_mut() {
        one.service_grants = ServiceGrants::Accept;
    }
    Ok(desired)
}

/// Short, so that a run takes few requests.
fn waits() -> Waits {
    let seconds = Duration::from_secs;
    Waits {
        role_propagation: seconds(90),
        group_propagation: seconds(300),
        agreeing_reads: 2,
        key_idle: seconds(600),
        key_effect: seconds(40),
        metrics_lag: seconds(120),
        late_write: seconds(120),
        watch: seconds(300),
    }
}

/// The settings and the pace of Azure; nothing goes wrong but by plan.
pub(crate) fn draw() -> Draw {
    let seconds = Duration::from_secs;
    let quiet = Draw::quiet(1);
    Draw {
        interval: INTERVAL,
        in_flight: 4,
        headroom: 0.0,
        waits: waits(),
        prune: true,
        service_grants: ServiceGrants::Accept,
        data_probe: false,
        says_enabled: true,
        knobs: Knobs {
            role_propagation: Spread { min: seconds(5), max: seconds(60) },
            slow_propagation: Spread { min: seconds(60), max: seconds(240) },
            key_effect: seconds(10),
            metric_lag: seconds(60),
            activity_lag: seconds(30),
            arg_lag: seconds(30),
            operation: seconds(3),
            operation_retry_after: seconds(2),
            ..Knobs::default()
        },
        clock_off: 0,
        breaker: false,
        wire: WireRates { latency: 5, ..quiet.wire },
        ..quiet
    }
}
