//! What is known not to work, or not to work everywhere, with identity-based access: as data, with a source on every row.
//!
//! Rows that Azure shows are looked for before a workspace is switched; those that it does not show are advice. Reports are
//! single public ones and may have been mended since, so only what an article of Microsoft rules out bars a switch.

use crate::observed::{Compute, Workspace, WorkspaceKind};

/// How much a row matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// Holds the switch until it is gone or accepted.
    Block,
    /// Told before the switch.
    Warn,
    /// Azure does not show whether it is in use: listed once for each kind of workspace.
    Advice,
}

impl Severity {
    /// The word in output and events.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Block => "block",
            Self::Warn => "warn",
            Self::Advice => "advice",
        }
    }
}

/// In which workspaces it matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Where {
    Everywhere,
    /// In workspaces of their own: hubs have no clusters, batch endpoints or parallel run step.
    Workspaces,
    /// In hubs and their projects.
    Hubs,
}

/// How Azure shows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shown {
    Not,
    /// A compute instance with a system-assigned identity.
    SystemInstance,
    /// A user-assigned identity that acts for the workspace.
    UserAssigned,
    /// A storage account in another region.
    OtherRegion,
    /// A training compute whose identity may not read blobs.
    ComputeWithoutRole,
    /// A storage account in a subscription of another tenant.
    OtherTenant,
}

/// One thing that is known not to work.
#[derive(Debug, PartialEq, Eq)]
pub struct Incompatibility {
    /// Its name in files and output.
    pub id: &'static str,
    /// What does not work, and what does instead.
    pub what: &'static str,
    /// Who says so.
    pub source: &'static str,
    /// How much it matters.
    pub severity: Severity,
    place: Where,
    shown: Shown,
}

const ARTICLE: &str = "https://learn.microsoft.com/azure/machine-learning/how-to-disable-local-auth-storage";
const IDENTITIES: &str =
    "https://learn.microsoft.com/azure/machine-learning/how-to-identity-based-service-authentication";

const fn row(
    id: &'static str,
    severity: Severity,
    place: Where,
    shown: Shown,
    what: &'static str,
    source: &'static str,
) -> Incompatibility {
    Incompatibility { id, what, source, severity, place, shown }
}

/// All that is known.
pub const ALL: &[Incompatibility] = &[
    row(
        "computeInstanceSystemIdentity",
        Severity::Block,
        Where::Everywhere,
        Shown::SystemInstance,
        "a compute instance with a system-assigned identity is not supported; a user-assigned identity with Storage File Data \
         Privileged Contributor is",
        ARTICLE,
    ),
    row(
        "hubUserAssignedIdentity",
        Severity::Warn,
        Where::Hubs,
        Shown::UserAssigned,
        "uploading a data set was refused on a hub with a user-assigned identity (reported 2026-04)",
        "https://github.com/Azure/azure-sdk-for-python/issues/46235",
    ),
    row(
        "crossRegionAccount",
        Severity::Warn,
        Where::Everywhere,
        Shown::OtherRegion,
        "jobs failed on data in another region, where keys had worked (reported 2023)",
        "https://github.com/microsoft/hi-ml/issues/795",
    ),
    row(
        "computeIdentityWithoutRole",
        Severity::Warn,
        Where::Everywhere,
        Shown::ComputeWithoutRole,
        "jobs that work by the identity of a training compute need at least Storage Blob Data Reader for it: name it in `access`",
        IDENTITIES,
    ),
    row(
        "firstComputeInstance",
        Severity::Advice,
        Where::Everywhere,
        Shown::Not,
        "the first compute instance of a workspace that was never on keys did not mount its files (reported 2024)",
        "https://github.com/Azure-Samples/ai-studio-in-a-box/issues/7",
    ),
    row(
        "automatedMl",
        Severity::Advice,
        Where::Workspaces,
        Shown::Not,
        "automated ML of the first SDK does not take data sets without a credential",
        "https://github.com/MicrosoftDocs/azure-docs/issues/84968",
    ),
    row(
        "imageBuild",
        Severity::Advice,
        Where::Workspaces,
        Shown::Not,
        "environment images were built through a SAS made from the key (reported 2024)",
        "https://github.com/Azure/azure-sdk-for-python/issues/36603",
    ),
    row(
        "parallelRunStep",
        Severity::Advice,
        Where::Workspaces,
        Shown::Not,
        "parallel run step and batch endpoints need queue and table roles too: scenario `parallelRunStep`",
        ARTICLE,
    ),
    row(
        "designer",
        Severity::Advice,
        Where::Workspaces,
        Shown::Not,
        "the designer deploys a trained model only where the default datastore takes the managed identity of the workspace",
        "https://learn.microsoft.com/azure/machine-learning/how-to-enable-studio-virtual-network",
    ),
    row("modelPackage", Severity::Advice, Where::Workspaces, Shown::Not, "model packages are not supported", ARTICLE),
    row(
        "gitClone",
        Severity::Advice,
        Where::Everywhere,
        Shown::Not,
        "`git clone` into the mounted share of a compute instance is slow or fails with many small files; the local disk works",
        ARTICLE,
    ),
    row(
        "userIdentityJobs",
        Severity::Advice,
        Where::Workspaces,
        Shown::Not,
        "jobs run as the user by the CLI and the second SDK only, not from the studio, and not beside the compute's identity",
        IDENTITIES,
    ),
    row(
        "otherDatastores",
        Severity::Advice,
        Where::Workspaces,
        Shown::Not,
        "access without a stored credential works for Blob Storage and Data Lake only",
        IDENTITIES,
    ),
    row(
        "crossTenantAccount",
        Severity::Block,
        Where::Everywhere,
        Shown::OtherTenant,
        "a storage account in another tenant is not supported",
        IDENTITIES,
    ),
];

/// The row of this id.
#[must_use]
pub fn find(id: &str) -> Option<&'static Incompatibility> {
    ALL.iter().find(|row| row.id == id)
}

/// What people should know of this kind of workspace and Azure does not show.
pub fn advice(kind: &WorkspaceKind) -> impl Iterator<Item = &'static Incompatibility> {
    ALL.iter().filter(move |row| row.severity == Severity::Advice && row.place.has(kind))
}

impl Where {
    fn has(self, kind: &WorkspaceKind) -> bool {
        let hub = matches!(kind, WorkspaceKind::Hub | WorkspaceKind::Project);
        match self {
            Self::Everywhere => true,
            Self::Workspaces => !hub,
            Self::Hubs => hub,
        }
    }
}

/// Whether a row is about a workspace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Detected {
    /// It is not, as far as Azure shows.
    No,
    /// It is, for the sake of these.
    Yes(Vec<String>),
    /// The computes would tell.
    NeedsComputes,
    /// Who holds which role would tell.
    NeedsRoles,
    /// The tenants of workspace and account would tell.
    NeedsTenants,
}

impl Incompatibility {
    /// Whether it is a compute that shows it. Computes come and go after a workspace was switched, too.
    #[must_use]
    pub fn is_of_computes(&self) -> bool {
        matches!(self.shown, Shown::SystemInstance | Shown::ComputeWithoutRole)
    }

    /// Whether the workspace is such a one. `location` is the account's; a region that is not told is no other.
    #[must_use]
    pub fn detect(&self, own: &Workspace, computes: Option<&[Compute]>, location: &str) -> Detected {
        if !self.place.has(&own.kind) {
            return Detected::No;
        }
        let found: Vec<String> = match (self.shown, computes) {
            (Shown::Not, _) => Vec::new(),
            (Shown::ComputeWithoutRole, _) => return Detected::NeedsRoles,
            (Shown::OtherTenant, _) => return Detected::NeedsTenants,
            (Shown::SystemInstance, None) => return Detected::NeedsComputes,
            (Shown::SystemInstance, Some(computes)) => computes
                .iter()
                .filter(|compute| compute.compute_type.eq_ignore_ascii_case("ComputeInstance"))
                .filter(|compute| compute.identity.system.is_some())
                .map(|compute| compute.name.clone())
                .collect(),
            (Shown::UserAssigned, _) => own
                .primary_identity
                .iter()
                .chain(own.identity.user_assigned.keys())
                .map(|id| id.name().to_owned())
                .collect(),
            (Shown::OtherRegion, _) => {
                let plain = |name: &str| name.replace(' ', "").to_ascii_lowercase();
                let (here, there) = (plain(&own.location), plain(location));
                let apart = !here.is_empty() && !there.is_empty() && here != there;
                if apart { vec![format!("{there}, not {here}")] } else { Vec::new() }
            }
        };
        if found.is_empty() { Detected::No } else { Detected::Yes(found) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_has_a_name_of_its_own_and_a_source() {
        for row in ALL {
            assert_eq!(find(row.id), Some(row), "{} stands twice", row.id);
            assert!(row.source.starts_with("https://"), "{}", row.id);
            assert_eq!(
                row.severity == Severity::Advice,
                row.shown == Shown::Not,
                "{}: advice is what is not shown",
                row.id
            );
        }
    }

    #[test]
    fn hubs_and_workspaces_get_advice_of_their_own() {
        let ids = |kind: WorkspaceKind| advice(&kind).map(|row| row.id).collect::<Vec<_>>();
        for own in ["modelPackage", "automatedMl", "designer", "otherDatastores"] {
            assert!(ids(WorkspaceKind::Default).contains(&own), "{own}");
            assert!(!ids(WorkspaceKind::Hub).contains(&own), "{own}");
        }
        for everywhere in ["gitClone", "firstComputeInstance"] {
            for kind in [WorkspaceKind::Default, WorkspaceKind::Hub, WorkspaceKind::Project] {
                assert!(ids(kind).contains(&everywhere), "{everywhere}");
            }
        }
    }

    #[test]
    fn an_identity_of_the_customers_is_doubtful_on_a_hub_and_fine_on_a_workspace() {
        let group = "/subscriptions/3f8c1d7a-52b4-4c0e-9d2e-7a1b6c5d4e90/resourceGroups/rg/providers";
        let uami = format!("{group}/Microsoft.ManagedIdentity/userAssignedIdentities/own");
        let row = find("hubUserAssignedIdentity").unwrap();
        let detect = |kind: WorkspaceKind, primary: Option<&str>| {
            let own = Workspace {
                id: format!("{group}/Microsoft.MachineLearningServices/workspaces/fraud").parse().unwrap(),
                kind,
                storage_account: None,
                more_accounts: Default::default(),
                hub: None,
                auth_mode: crate::observed::ObservedAuthMode::AccessKey,
                identity: Default::default(),
                primary_identity: primary.map(|id| id.parse().unwrap()),
                data_isolation: None,
                guid: None,
                managed_network: false,
                provisioning_state: None,
                created_at: None,
                location: String::new(),
                tenant: None,
            };
            row.detect(&own, None, "")
        };
        assert_eq!(detect(WorkspaceKind::Hub, Some(&uami)), Detected::Yes(vec!["own".to_owned()]));
        assert_eq!(detect(WorkspaceKind::Hub, None), Detected::No);
        assert_eq!(detect(WorkspaceKind::Default, Some(&uami)), Detected::No);
    }
}
