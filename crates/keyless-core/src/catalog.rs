//! Which roles a level or a scenario of the desired state stands for, as data with a source on every row.
//!
//! The rows are those of the articles "Disable shared key access for your workspace's storage account" (A, 2026-01),
//! its edition for Azure operated by 21Vianet (D), and "Disable shared key access for your hub's storage account"
//! (B, 2026-02; C, older). Where they contradict each other or name a role that does not exist, the row says what is used.

use crate::id::RoleId;
use crate::observed::Permission;

use uuid::{Uuid, uuid};

/// A built-in role the catalog can ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CatalogRole {
    /// Its GUID.
    pub id: RoleId,
    /// Its name in Azure.
    pub name: &'static str,
    /// The data actions it stands for: what "having the role" means here.
    pub data_actions: &'static [&'static str],
}

const fn role(id: Uuid, name: &'static str, data_actions: &'static [&'static str]) -> CatalogRole {
    CatalogRole { id: RoleId(id), name, data_actions }
}

/// The built-in roles that levels and scenarios need.
///
/// Source: <https://learn.microsoft.com/azure/role-based-access-control/built-in-roles/storage>;
/// GUIDs and data actions checked against iann0036/iam-dataset `azure/built-in-roles-raw.json`, 2026-08-22.
pub const ROLES: &[CatalogRole] = &[
    role(
        uuid!("ba92f5b4-2d11-453d-a403-e96b0029c9fe"),
        "Storage Blob Data Contributor",
        &[
            "Microsoft.Storage/storageAccounts/blobServices/containers/blobs/read",
            "Microsoft.Storage/storageAccounts/blobServices/containers/blobs/write",
            "Microsoft.Storage/storageAccounts/blobServices/containers/blobs/delete",
            "Microsoft.Storage/storageAccounts/blobServices/containers/blobs/move/action",
            "Microsoft.Storage/storageAccounts/blobServices/containers/blobs/add/action",
        ],
    ),
    role(
        uuid!("2a2b9908-6ea1-4ae2-8e65-a410df84e7d1"),
        "Storage Blob Data Reader",
        &["Microsoft.Storage/storageAccounts/blobServices/containers/blobs/read"],
    ),
    role(
        uuid!("69566ab7-960f-475b-8e7c-b3118f30c6bd"),
        "Storage File Data Privileged Contributor",
        &[
            "Microsoft.Storage/storageAccounts/fileServices/fileshares/files/read",
            "Microsoft.Storage/storageAccounts/fileServices/fileshares/files/write",
            "Microsoft.Storage/storageAccounts/fileServices/fileshares/files/delete",
            "Microsoft.Storage/storageAccounts/fileServices/fileshares/files/modifypermissions/action",
            "Microsoft.Storage/storageAccounts/fileServices/readFileBackupSemantics/action",
            "Microsoft.Storage/storageAccounts/fileServices/writeFileBackupSemantics/action",
        ],
    ),
    role(
        uuid!("b8eda974-7b85-4f76-af95-65846b26df6d"),
        "Storage File Data Privileged Reader",
        &[
            "Microsoft.Storage/storageAccounts/fileServices/fileshares/files/read",
            "Microsoft.Storage/storageAccounts/fileServices/readFileBackupSemantics/action",
        ],
    ),
    role(
        uuid!("0a9a7e1f-b9d0-4cc4-a60d-0319b160aaa3"),
        "Storage Table Data Contributor",
        &[
            "Microsoft.Storage/storageAccounts/tableServices/tables/entities/read",
            "Microsoft.Storage/storageAccounts/tableServices/tables/entities/write",
            "Microsoft.Storage/storageAccounts/tableServices/tables/entities/delete",
            "Microsoft.Storage/storageAccounts/tableServices/tables/entities/add/action",
            "Microsoft.Storage/storageAccounts/tableServices/tables/entities/update/action",
        ],
    ),
    role(
        uuid!("974c5e8b-45b9-4653-ba55-5f855dd0fb88"),
        "Storage Queue Data Contributor",
        &[
            "Microsoft.Storage/storageAccounts/queueServices/queues/messages/read",
            "Microsoft.Storage/storageAccounts/queueServices/queues/messages/write",
            "Microsoft.Storage/storageAccounts/queueServices/queues/messages/delete",
            "Microsoft.Storage/storageAccounts/queueServices/queues/messages/process/action",
        ],
    ),
];

/// Storage Blob Data Contributor.
pub const BLOB_CONTRIBUTOR: RoleId = RoleId(uuid!("ba92f5b4-2d11-453d-a403-e96b0029c9fe"));
/// Storage Blob Data Reader.
pub const BLOB_READER: RoleId = RoleId(uuid!("2a2b9908-6ea1-4ae2-8e65-a410df84e7d1"));
/// Storage File Data Privileged Contributor.
pub const FILE_CONTRIBUTOR: RoleId = RoleId(uuid!("69566ab7-960f-475b-8e7c-b3118f30c6bd"));
/// Storage File Data Privileged Reader.
pub const FILE_READER: RoleId = RoleId(uuid!("b8eda974-7b85-4f76-af95-65846b26df6d"));
/// Storage Table Data Contributor.
pub const TABLE_CONTRIBUTOR: RoleId = RoleId(uuid!("0a9a7e1f-b9d0-4cc4-a60d-0319b160aaa3"));
/// Storage Queue Data Contributor.
pub const QUEUE_CONTRIBUTOR: RoleId = RoleId(uuid!("974c5e8b-45b9-4653-ba55-5f855dd0fb88"));

/// The catalog's entry of a role, if it is one of the catalog's.
#[must_use]
pub fn find_role(id: RoleId) -> Option<&'static CatalogRole> {
    ROLES.iter().find(|role| role.id == id)
}

/// The role's name, or its GUID where the catalog does not know it.
#[must_use]
pub fn role_name(id: RoleId) -> String {
    find_role(id).map_or_else(|| id.to_string(), |role| role.name.to_owned())
}

/// The role's catalog permissions as one permission block.
#[must_use]
pub fn permission_of(role: &CatalogRole) -> Permission {
    Permission { data_actions: role.data_actions.iter().map(|&a| a.to_owned()).collect(), ..Permission::default() }
}

/// A baseline for people.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Level {
    /// The word in the files.
    pub name: &'static str,
    /// The roles it stands for.
    pub roles: &'static [RoleId],
}

/// The two levels. Source: A and B, section "Assign roles to users".
pub const LEVELS: &[Level] = &[
    Level { name: "readWrite", roles: &[BLOB_CONTRIBUTOR, FILE_CONTRIBUTOR] },
    Level { name: "readOnly", roles: &[BLOB_READER, FILE_READER] },
];

/// On which kind of workspace a scenario exists.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ScenarioKind {
    /// `kind: Default`.
    Workspace,
    /// `kind: Hub` and its projects.
    Hub,
}

/// Whose identity a scenario uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ScenarioIdentity {
    /// The person at work.
    User,
    /// A user-assigned managed identity.
    UserAssigned,
    /// A user or a user-assigned managed identity.
    UserOrUserAssigned,
    /// A system-assigned or user-assigned managed identity of a compute.
    Compute,
    /// The system-assigned identity of the workspace, hub or endpoint: the service makes and keeps the grant.
    Service,
}

/// One row of the articles' tables.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Scenario {
    /// The row's number, W1 to W13 or H1 to H6.
    pub row: &'static str,
    /// The word in the files; one word may stand for a row on each kind of workspace.
    pub name: &'static str,
    /// Where the row applies.
    pub kind: ScenarioKind,
    /// Whose identity it is about.
    pub identity: ScenarioIdentity,
    /// The roles that are needed on the default storage account.
    pub roles: &'static [RoleId],
    /// What people call it.
    pub title: &'static str,
    /// Where the row comes from, and what was put right.
    pub source: &'static str,
}

/// All rows of the articles.
pub const SCENARIOS: &[Scenario] = &[
    w("W1", "managedOnlineEndpoint", ScenarioIdentity::Service, &[BLOB_CONTRIBUTOR], "managed online endpoint", "A, D"),
    w(
        "W2",
        "monitoring",
        ScenarioIdentity::UserAssigned,
        &[BLOB_CONTRIBUTOR],
        "model quality and performance monitoring",
        "A, D; both transpose the name to `Storage Data Blob Contributor`",
    ),
    w(
        "W3",
        "modelRegistry",
        ScenarioIdentity::UserAssigned,
        &[BLOB_CONTRIBUTOR],
        "model registry and MLflow: a model as job input or output",
        "A, D; both say `Storage Data Contributor`, which does not exist",
    ),
    w(
        "W4",
        "modelFromLocalFiles",
        ScenarioIdentity::User,
        &[BLOB_CONTRIBUTOR],
        "model registered from local files",
        "A, D; both say `Storage Data Contributor`, which does not exist",
    ),
    w(
        "W5",
        "parallelRunStep",
        ScenarioIdentity::UserAssigned,
        &[TABLE_CONTRIBUTOR, QUEUE_CONTRIBUTOR],
        "parallel run step",
        "A, D",
    ),
    w("W6", "dataLabeling", ScenarioIdentity::User, &[BLOB_CONTRIBUTOR], "data labeling", "A, D"),
    w(
        "W7",
        "studioDatasets",
        ScenarioIdentity::User,
        &[BLOB_CONTRIBUTOR],
        "studio: create datasets, browse data",
        "A, D",
    ),
    w(
        "W8",
        "computeInstance",
        ScenarioIdentity::UserOrUserAssigned,
        &[FILE_CONTRIBUTOR],
        "compute instance",
        "A, D; D misspells `Priviliiged`",
    ),
    w(
        "W9",
        "notebooks",
        ScenarioIdentity::User,
        &[FILE_CONTRIBUTOR],
        "studio notebooks and their file explorer",
        "A, D",
    ),
    w("W10", "promptFlow", ScenarioIdentity::User, &[BLOB_CONTRIBUTOR, FILE_CONTRIBUTOR], "prompt flow", "A, D"),
    w("W11", "datastores", ScenarioIdentity::User, &[BLOB_CONTRIBUTOR], "datastores and datasets", "A, D"),
    w(
        "W12",
        "workspaceIdentity",
        ScenarioIdentity::Service,
        &[BLOB_CONTRIBUTOR],
        "the workspace's own identity",
        "A, D",
    ),
    w(
        "W13",
        "training",
        ScenarioIdentity::Compute,
        &[BLOB_READER],
        "compute cluster running jobs with a managed identity (at least reading)",
        "`Connect to storage by using identity-based data access` (SDK v1), `Set up authentication between Azure Machine Learning and other services`",
    ),
    h(
        "H1",
        "speech",
        ScenarioIdentity::User,
        &[BLOB_CONTRIBUTOR, FILE_CONTRIBUTOR],
        "Azure Speech",
        "B; C has no identity column for this row",
    ),
    h("H2", "modelsAsAService", ScenarioIdentity::Service, &[BLOB_CONTRIBUTOR], "models as a service", "B, C"),
    h("H3", "aiSearch", ScenarioIdentity::Service, &[BLOB_CONTRIBUTOR], "Azure AI Search", "B, C"),
    h(
        "H4",
        "fineTuning",
        ScenarioIdentity::UserAssigned,
        &[BLOB_CONTRIBUTOR],
        "fine-tuning of open-source models",
        "B, C",
    ),
    h("H5", "promptFlow", ScenarioIdentity::User, &[BLOB_CONTRIBUTOR, FILE_CONTRIBUTOR], "prompt flow", "B, C"),
    h("H6", "ownData", ScenarioIdentity::User, &[BLOB_CONTRIBUTOR], "add and manage own data", "B, C"),
];

const fn w(
    row: &'static str,
    name: &'static str,
    identity: ScenarioIdentity,
    roles: &'static [RoleId],
    title: &'static str,
    source: &'static str,
) -> Scenario {
    Scenario { row, name, kind: ScenarioKind::Workspace, identity, roles, title, source }
}

const fn h(
    row: &'static str,
    name: &'static str,
    identity: ScenarioIdentity,
    roles: &'static [RoleId],
    title: &'static str,
    source: &'static str,
) -> Scenario {
    Scenario { row, name, kind: ScenarioKind::Hub, identity, roles, title, source }
}

/// The rows a word of the files stands for; empty if the catalog does not know the word.
pub fn find_scenarios(name: &str) -> impl Iterator<Item = &'static Scenario> {
    SCENARIOS.iter().filter(move |scenario| scenario.name == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_of_the_articles_is_there_once_with_a_source() {
        let rows: Vec<&str> = SCENARIOS.iter().map(|s| s.row).collect();
        let expected: Vec<String> = (1..=13).map(|n| format!("W{n}")).chain((1..=6).map(|n| format!("H{n}"))).collect();
        assert_eq!(rows, expected);
        assert!(SCENARIOS.iter().all(|s| !s.source.is_empty() && !s.roles.is_empty()));
    }

    #[test]
    fn every_role_of_a_row_or_level_is_defined() {
        for role in SCENARIOS.iter().flat_map(|s| s.roles).chain(LEVELS.iter().flat_map(|l| l.roles)) {
            assert!(find_role(*role).is_some(), "{role} has no definition");
        }
    }

    #[test]
    fn a_word_means_the_same_roles_on_every_kind() {
        for scenario in SCENARIOS {
            for other in find_scenarios(scenario.name) {
                assert_eq!(scenario.roles, other.roles, "{}", scenario.name);
            }
        }
    }
}
