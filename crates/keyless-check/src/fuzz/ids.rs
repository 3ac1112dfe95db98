//! Ids: whatever is taken for one is written back as the same one.

use keyless_core::id::{
    ArmId, LogAnalyticsId, ManagedIdentityId, PrincipalId, RoleId, StorageAccountId, SubscriptionId, WorkspaceId,
};

const SEEDS: [&str; 8] = [
    "/",
    "/subscriptions/3f8c1d7a-52b4-4c0e-9d2e-7a1b6c5d4e90",
    "/subscriptions/3f8c1d7a-52b4-4c0e-9d2e-7a1b6c5d4e90/resourceGroups/rg-ml",
    "/subscriptions/3f8c1d7a-52b4-4c0e-9d2e-7a1b6c5d4e90/resourceGroups/rg-ml/providers/Microsoft.Storage/storageAccounts/stmlprod",
    "/subscriptions/3f8c1d7a-52b4-4c0e-9d2e-7a1b6c5d4e90/resourcegroups/RG/providers/Microsoft.MachineLearningServices/workspaces/mlw/",
    "/providers/Microsoft.Management/managementGroups/root",
    "/subscriptions/3f8c1d7a-52b4-4c0e-9d2e-7a1b6c5d4e90/resourceGroups/rg/providers/Microsoft.ManagedIdentity/userAssignedIdentities/id",
    "9c1d2f63-4b0a-4d57-8f3e-1a2b3c4d5e6f",
];

pub(super) fn seeds() -> Vec<Vec<u8>> {
    SEEDS.iter().map(|seed| seed.as_bytes().to_vec()).collect()
}

pub(super) fn run(input: &[u8]) -> Result<(), String> {
    let Ok(text) = std::str::from_utf8(input) else { return Ok(()) };
    macro_rules! round {
        ($($kind:ident),*) => {$(
            if let Ok(id) = $kind::parse(text) {
                let written = id.to_string();
                let again = $kind::parse(&written).map_err(|error| format!("{written:?} is written and not read: {error}"))?;
                if again != id || again.to_string() != written {
                    return Err(format!("{text:?} is written as {written:?} and read as {again}"));
                }
                let other = written.to_ascii_uppercase();
                if let Ok(other) = $kind::parse(&other) && other != id {
                    return Err(format!("{written:?} and {other} differ by case alone"));
                }
            }
        )*};
    }
    round!(ArmId, WorkspaceId, StorageAccountId, ManagedIdentityId, LogAnalyticsId);
    macro_rules! guid {
        ($($kind:ident),*) => {$(
            if let Ok(id) = text.parse::<$kind>() && id.to_string().parse::<$kind>() != Ok(id) {
                return Err(format!("{text:?} is written as {id} and read as another"));
            }
        )*};
    }
    guid!(PrincipalId, RoleId, SubscriptionId);
    if let (Ok(id), Ok(account)) = (ArmId::parse(text), StorageAccountId::parse(text))
        && account.arm() != &id
    {
        return Err(format!("{text:?} is one account and another resource"));
    }
    Ok(())
}
