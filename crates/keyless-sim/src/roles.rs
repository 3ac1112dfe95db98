//! The built-in roles that matter for storage data and for managing workspaces and accounts.
//! Source: iann0036/iam-dataset `azure/built-in-roles-raw.json`, snapshot of 2026-08-22.

use serde_json::{Value, json};

/// Made by the service for the identities of workspaces, hubs and endpoints.
pub(crate) const BLOB_DATA_CONTRIBUTOR: &str = "ba92f5b4-2d11-453d-a403-e96b0029c9fe";
/// Made by the service for workspace identities, on the resource group. Source:
/// MicrosoftDocs/azure-ai-docs `articles/machine-learning/how-to-assign-roles.md`.
pub(crate) const AI_ADMINISTRATOR: &str = "b78c5d69-af96-48a3-bf8d-a8b4d589de94";

pub(crate) struct BuiltIn {
    pub(crate) id: &'static str,
    pub(crate) name: &'static str,
    pub(crate) actions: &'static [&'static str],
    pub(crate) not_actions: &'static [&'static str],
    pub(crate) data_actions: &'static [&'static str],
}

/// The built-in role of this GUID.
pub(crate) fn built_in(guid: &str) -> Option<&'static BuiltIn> {
    BUILT_IN.iter().find(|role| role.id.eq_ignore_ascii_case(guid))
}

impl BuiltIn {
    /// The definition as ARM shows it.
    pub(crate) fn to_json(&self, subscription: Option<&str>) -> Value {
        let prefix = subscription.map(|id| format!("/subscriptions/{id}")).unwrap_or_default();
        json!({
            "id": format!("{prefix}/providers/Microsoft.Authorization/roleDefinitions/{}", self.id),
            "name": self.id,
            "type": "Microsoft.Authorization/roleDefinitions",
            "properties": {
                "roleName": self.name,
                "description": format!("{}, built in", self.name),
                "type": "BuiltInRole",
                "permissions": [{
                    "actions": self.actions, "notActions": self.not_actions,
                    "dataActions": self.data_actions, "notDataActions": [],
                }],
                "assignableScopes": ["/"],
                "createdOn": "2017-12-21T00:01:24.7972312Z", "updatedOn": "2021-11-11T20:13:55.1213736Z",
                "createdBy": null, "updatedBy": null,
            },
        })
    }
}

pub(crate) const BUILT_IN: &[BuiltIn] = &[
    BuiltIn {
        id: "b7e6dc6d-f1e8-4753-8033-0f276bb0955b",
        name: "Storage Blob Data Owner",
        actions: &[
            "Microsoft.Storage/storageAccounts/blobServices/containers/*",
            "Microsoft.Storage/storageAccounts/blobServices/generateUserDelegationKey/action",
        ],
        not_actions: &[],
        data_actions: &["Microsoft.Storage/storageAccounts/blobServices/containers/blobs/*"],
    },
    BuiltIn {
        id: "ba92f5b4-2d11-453d-a403-e96b0029c9fe",
        name: "Storage Blob Data Contributor",
        actions: &[
            "Microsoft.Storage/storageAccounts/blobServices/containers/read",
            "Microsoft.Storage/storageAccounts/blobServices/containers/write",
            "Microsoft.Storage/storageAccounts/blobServices/containers/delete",
            "Microsoft.Storage/storageAccounts/blobServices/generateUserDelegationKey/action",
        ],
        not_actions: &[],
        data_actions: &[
            "Microsoft.Storage/storageAccounts/blobServices/containers/blobs/read",
            "Microsoft.Storage/storageAccounts/blobServices/containers/blobs/write",
            "Microsoft.Storage/storageAccounts/blobServices/containers/blobs/delete",
            "Microsoft.Storage/storageAccounts/blobServices/containers/blobs/move/action",
            "Microsoft.Storage/storageAccounts/blobServices/containers/blobs/add/action",
        ],
    },
    BuiltIn {
        id: "2a2b9908-6ea1-4ae2-8e65-a410df84e7d1",
        name: "Storage Blob Data Reader",
        actions: &[
            "Microsoft.Storage/storageAccounts/blobServices/containers/read",
            "Microsoft.Storage/storageAccounts/blobServices/generateUserDelegationKey/action",
        ],
        not_actions: &[],
        data_actions: &["Microsoft.Storage/storageAccounts/blobServices/containers/blobs/read"],
    },
    BuiltIn {
        id: "db58b8e5-c6ad-4a2a-8342-4190687cbf4a",
        name: "Storage Blob Delegator",
        actions: &["Microsoft.Storage/storageAccounts/blobServices/generateUserDelegationKey/action"],
        not_actions: &[],
        data_actions: &[],
    },
    BuiltIn {
        id: "69566ab7-960f-475b-8e7c-b3118f30c6bd",
        name: "Storage File Data Privileged Contributor",
        actions: &[],
        not_actions: &[],
        data_actions: &[
            "Microsoft.Storage/storageAccounts/fileServices/fileshares/files/read",
            "Microsoft.Storage/storageAccounts/fileServices/fileshares/files/write",
            "Microsoft.Storage/storageAccounts/fileServices/fileshares/files/delete",
            "Microsoft.Storage/storageAccounts/fileServices/fileshares/files/modifypermissions/action",
            "Microsoft.Storage/storageAccounts/fileServices/readFileBackupSemantics/action",
            "Microsoft.Storage/storageAccounts/fileServices/writeFileBackupSemantics/action",
        ],
    },
    BuiltIn {
        id: "b8eda974-7b85-4f76-af95-65846b26df6d",
        name: "Storage File Data Privileged Reader",
        actions: &[],
        not_actions: &[],
        data_actions: &[
            "Microsoft.Storage/storageAccounts/fileServices/fileshares/files/read",
            "Microsoft.Storage/storageAccounts/fileServices/readFileBackupSemantics/action",
        ],
    },
    BuiltIn {
        id: "0c867c2a-1d8c-454a-a3db-ab2ea1bdc8bb",
        name: "Storage File Data SMB Share Contributor",
        actions: &[],
        not_actions: &[],
        data_actions: &[
            "Microsoft.Storage/storageAccounts/fileServices/fileshares/files/read",
            "Microsoft.Storage/storageAccounts/fileServices/fileshares/files/write",
            "Microsoft.Storage/storageAccounts/fileServices/fileshares/files/delete",
        ],
    },
    BuiltIn {
        id: "0a9a7e1f-b9d0-4cc4-a60d-0319b160aaa3",
        name: "Storage Table Data Contributor",
        actions: &[
            "Microsoft.Storage/storageAccounts/tableServices/tables/read",
            "Microsoft.Storage/storageAccounts/tableServices/tables/write",
            "Microsoft.Storage/storageAccounts/tableServices/tables/delete",
        ],
        not_actions: &[],
        data_actions: &[
            "Microsoft.Storage/storageAccounts/tableServices/tables/entities/read",
            "Microsoft.Storage/storageAccounts/tableServices/tables/entities/write",
            "Microsoft.Storage/storageAccounts/tableServices/tables/entities/delete",
            "Microsoft.Storage/storageAccounts/tableServices/tables/entities/add/action",
            "Microsoft.Storage/storageAccounts/tableServices/tables/entities/update/action",
        ],
    },
    BuiltIn {
        id: "76199698-9eea-4c19-bc75-cec21354c6b6",
        name: "Storage Table Data Reader",
        actions: &["Microsoft.Storage/storageAccounts/tableServices/tables/read"],
        not_actions: &[],
        data_actions: &["Microsoft.Storage/storageAccounts/tableServices/tables/entities/read"],
    },
    BuiltIn {
        id: "974c5e8b-45b9-4653-ba55-5f855dd0fb88",
        name: "Storage Queue Data Contributor",
        actions: &[
            "Microsoft.Storage/storageAccounts/queueServices/queues/read",
            "Microsoft.Storage/storageAccounts/queueServices/queues/write",
            "Microsoft.Storage/storageAccounts/queueServices/queues/delete",
        ],
        not_actions: &[],
        data_actions: &[
            "Microsoft.Storage/storageAccounts/queueServices/queues/messages/read",
            "Microsoft.Storage/storageAccounts/queueServices/queues/messages/write",
            "Microsoft.Storage/storageAccounts/queueServices/queues/messages/delete",
            "Microsoft.Storage/storageAccounts/queueServices/queues/messages/process/action",
        ],
    },
    BuiltIn {
        id: "19e7f393-937e-4f77-808e-94535e297925",
        name: "Storage Queue Data Reader",
        actions: &["Microsoft.Storage/storageAccounts/queueServices/queues/read"],
        not_actions: &[],
        data_actions: &["Microsoft.Storage/storageAccounts/queueServices/queues/messages/read"],
    },
    BuiltIn {
        id: "8a0f0c08-91a1-4084-bc3d-661d67233fed",
        name: "Storage Queue Data Message Processor",
        actions: &[],
        not_actions: &[],
        data_actions: &[
            "Microsoft.Storage/storageAccounts/queueServices/queues/messages/read",
            "Microsoft.Storage/storageAccounts/queueServices/queues/messages/process/action",
        ],
    },
    BuiltIn {
        id: "c6a89b2d-59bc-44d0-9896-0f6e12d7b80a",
        name: "Storage Queue Data Message Sender",
        actions: &[],
        not_actions: &[],
        data_actions: &["Microsoft.Storage/storageAccounts/queueServices/queues/messages/add/action"],
    },
    BuiltIn {
        id: "8e3af657-a8ff-443c-a75c-2fe8c4bcb635",
        name: "Owner",
        actions: &["*"],
        not_actions: &[],
        data_actions: &[],
    },
    BuiltIn {
        id: "b24988ac-6180-42a0-ab88-20f7382dd24c",
        name: "Contributor",
        actions: &["*"],
        not_actions: &[
            "Microsoft.Authorization/*/Delete",
            "Microsoft.Authorization/*/Write",
            "Microsoft.Authorization/elevateAccess/Action",
        ],
        data_actions: &[],
    },
    BuiltIn {
        id: "acdd72a7-3385-48ef-bd42-f606fba81ae7",
        name: "Reader",
        actions: &["*/read"],
        not_actions: &[],
        data_actions: &[],
    },
    BuiltIn {
        id: "18d7d88d-d35e-4fb5-a5c3-7773c20a72d9",
        name: "User Access Administrator",
        actions: &["*/read", "Microsoft.Authorization/*", "Microsoft.Support/*"],
        not_actions: &[],
        data_actions: &[],
    },
    BuiltIn {
        id: "f58310d9-a9f6-439a-9e8d-f62e7b41a168",
        name: "Role Based Access Control Administrator",
        actions: &[
            "*/read",
            "Microsoft.Authorization/roleAssignments/write",
            "Microsoft.Authorization/roleAssignments/delete",
            "Microsoft.Support/*",
        ],
        not_actions: &[],
        data_actions: &[],
    },
    BuiltIn {
        id: "17d1049b-9a84-46fb-8f53-869881c3d3ab",
        name: "Storage Account Contributor",
        actions: &[
            "Microsoft.Storage/storageAccounts/*",
            "Microsoft.Authorization/*/read",
            "Microsoft.Resources/deployments/*",
            "Microsoft.Resources/subscriptions/resourceGroups/read",
            "Microsoft.Insights/alertRules/*",
            "Microsoft.Insights/diagnosticSettings/*",
            "Microsoft.Support/*",
        ],
        not_actions: &[],
        data_actions: &[],
    },
    BuiltIn {
        id: "81a9662b-bebf-436f-a333-f67b29880f12",
        name: "Storage Account Key Operator Service Role",
        actions: &[
            "Microsoft.Storage/storageAccounts/listkeys/action",
            "Microsoft.Storage/storageAccounts/regeneratekey/action",
        ],
        not_actions: &[],
        data_actions: &[],
    },
    BuiltIn {
        id: "c12c1c16-33a1-487b-954d-41c89c60f349",
        name: "Reader and Data Access",
        actions: &[
            "Microsoft.Storage/storageAccounts/listKeys/action",
            "Microsoft.Storage/storageAccounts/ListAccountSas/action",
            "Microsoft.Storage/storageAccounts/read",
        ],
        not_actions: &[],
        data_actions: &[],
    },
    BuiltIn {
        id: "b78c5d69-af96-48a3-bf8d-a8b4d589de94",
        name: "Azure AI Administrator",
        actions: &[
            "Microsoft.Authorization/*/read",
            "Microsoft.MachineLearningServices/workspaces/*",
            "Microsoft.Storage/storageAccounts/*",
            "Microsoft.Resources/deployments/*",
            "Microsoft.Resources/subscriptions/resourceGroups/read",
        ],
        not_actions: &[],
        data_actions: &[],
    },
    BuiltIn {
        id: "f6c7c914-8db3-469d-8ca1-694a8f32e121",
        name: "AzureML Data Scientist",
        actions: &[
            "Microsoft.MachineLearningServices/workspaces/*/read",
            "Microsoft.MachineLearningServices/workspaces/*/action",
            "Microsoft.MachineLearningServices/workspaces/*/delete",
            "Microsoft.MachineLearningServices/workspaces/*/write",
        ],
        not_actions: &[
            "Microsoft.MachineLearningServices/workspaces/delete",
            "Microsoft.MachineLearningServices/workspaces/write",
            "Microsoft.MachineLearningServices/workspaces/computes/*/write",
            "Microsoft.MachineLearningServices/workspaces/computes/*/delete",
            "Microsoft.MachineLearningServices/workspaces/computes/listKeys/action",
            "Microsoft.MachineLearningServices/workspaces/listKeys/action",
            "Microsoft.MachineLearningServices/workspaces/hubs/write",
            "Microsoft.MachineLearningServices/workspaces/featurestores/write",
        ],
        data_actions: &[],
    },
    BuiltIn {
        id: "64702f94-c441-49e6-a78b-ef80e0188fee",
        name: "Azure AI Developer",
        actions: &[
            "Microsoft.MachineLearningServices/workspaces/*/read",
            "Microsoft.MachineLearningServices/workspaces/*/action",
            "Microsoft.MachineLearningServices/workspaces/*/delete",
            "Microsoft.MachineLearningServices/workspaces/*/write",
            "Microsoft.Authorization/*/read",
            "Microsoft.Resources/deployments/*",
        ],
        not_actions: &[
            "Microsoft.MachineLearningServices/workspaces/delete",
            "Microsoft.MachineLearningServices/workspaces/write",
            "Microsoft.MachineLearningServices/workspaces/listKeys/action",
            "Microsoft.MachineLearningServices/workspaces/hubs/write",
            "Microsoft.MachineLearningServices/workspaces/featurestores/write",
        ],
        data_actions: &[],
    },
    BuiltIn {
        id: "e503ece1-11d0-4e8e-8e2c-7a6c3bf38815",
        name: "AzureML Compute Operator",
        actions: &[
            "Microsoft.MachineLearningServices/workspaces/computes/*",
            "Microsoft.MachineLearningServices/workspaces/notebooks/vm/*",
        ],
        not_actions: &[],
        data_actions: &[],
    },
    BuiltIn {
        id: "43d0d8ad-25c7-4714-9337-8ba259a9fe05",
        name: "Monitoring Reader",
        actions: &["*/read", "Microsoft.OperationalInsights/workspaces/search/action", "Microsoft.Support/*"],
        not_actions: &[],
        data_actions: &[],
    },
    BuiltIn {
        id: "f1a07417-d97a-45cb-824c-7a7467783830",
        name: "Managed Identity Operator",
        actions: &[
            "Microsoft.ManagedIdentity/userAssignedIdentities/*/read",
            "Microsoft.ManagedIdentity/userAssignedIdentities/*/assign/action",
            "Microsoft.Authorization/*/read",
            "Microsoft.Support/*",
        ],
        not_actions: &[],
        data_actions: &[],
    },
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_storage_data_role_lists_keys_and_every_guid_is_distinct() {
        let mut ids: Vec<_> = BUILT_IN.iter().map(|role| role.id).collect();
        ids.sort_unstable();
        ids.dedup();
        assert_eq!(ids.len(), BUILT_IN.len());
        for role in BUILT_IN.iter().filter(|role| !role.data_actions.is_empty()) {
            assert!(
                role.actions.iter().all(|action| !action.to_ascii_lowercase().contains("listkeys")),
                "{}",
                role.name
            );
        }
    }
}
