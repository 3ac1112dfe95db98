//! Who works in a workspace or may take the key without a data role of their own, and whether a group lets them in.
//!
//! Judged by [`crate::access`], as a plan judges it: a group counts where it is known that they are in it, a condition and
//! a deny assignment where a plan would hold them against a need. Which group is in which is not read, so a group that
//! another one could let in is unsure.

use std::collections::{BTreeMap, BTreeSet};

use crate::access::{self, Cover, Denial, Question};
use crate::catalog::{self, BLOB_READER, FILE_READER};
use crate::desired::Waits;
use crate::id::PrincipalId;
use crate::observed::{Eligibility, Observed, PrincipalType, Reading, RoleAssignment};

use super::held::Here;
use super::people::{Identities, Owner};

/// What lets somebody work in a workspace, and so reach its data with whatever the workspace signs with.
///
/// Source: <https://learn.microsoft.com/azure/machine-learning/how-to-assign-roles> and "Data administration"
/// (`how-to-administrate-data-authentication.md`): a stored credential is retrieved with `listsecrets`.
const WORKS: &[&str] = &[
    "Microsoft.MachineLearningServices/workspaces/datastores/listsecrets/action",
    "Microsoft.MachineLearningServices/workspaces/experiments/runs/submit/action",
];

/// What lets somebody take the account's key.
///
/// Source: <https://learn.microsoft.com/azure/role-based-access-control/permissions/storage>, and the same list for
/// Microsoft.MachineLearningServices.
const TAKES_KEY: &[&str] = &[
    "Microsoft.Storage/storageAccounts/listKeys/action",
    "Microsoft.MachineLearningServices/workspaces/listStorageAccountKeys/action",
];

/// One of them.
#[derive(Debug, Clone)]
pub(super) struct Worker {
    /// In words, with the roles by which they work.
    pub(super) who: String,
    kind: Option<PrincipalType>,
}

/// Whether somebody reaches the data without the key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Stands {
    /// Through a group.
    Reaches,
    /// Not; with what else is known, such as a denial or a role that could be activated.
    Loses(String),
    /// It hangs on groups that are not known.
    Unsure,
}

/// Who has a role that works through the workspace or takes the key, and no data role that reaches the blobs or files;
/// and what could not be read.
pub(super) fn of(
    at_workspace: &[RoleAssignment],
    here: &Here<'_>,
    identities: &Identities,
) -> (BTreeMap<PrincipalId, Worker>, BTreeSet<String>) {
    let at_account = here.observed.assignments.value().into_iter().flatten();
    let mut by_role: BTreeMap<PrincipalId, (Option<PrincipalType>, BTreeSet<String>)> = BTreeMap::new();
    let mut unread = BTreeSet::new();
    let both = at_workspace.iter().map(|a| (a, WORKS)).chain(at_account.map(|a| (a, TAKES_KEY)));
    for (assignment, actions) in both {
        let definition = match here.roles.get(&assignment.role) {
            Some(Reading::Known { value, .. }) => value,
            Some(Reading::Unknown { why, .. }) => {
                unread.insert(format!("role definition {}: {why}", assignment.role));
                continue;
            }
            Some(Reading::NotRead) | None => {
                unread.insert(format!("role definition {}: not read", assignment.role));
                continue;
            }
        };
        if actions.iter().any(|action| definition.permissions.iter().any(|block| access::allows_control(block, action)))
        {
            let (kind, roles) = by_role.entry(assignment.principal).or_default();
            *kind = kind.or(assignment.principal_type);
            roles.insert(definition.name.clone());
        }
    }
    let reaches = |principal: &PrincipalId| {
        let holder = here.holders.get(principal);
        holder.is_some_and(|holder| holder.reaches(BLOB_READER) || holder.reaches(FILE_READER))
    };
    let workers = by_role.into_iter().filter(|(principal, _)| !reaches(principal)).filter_map(|(principal, held)| {
        let (kind, roles) = held;
        let who = match identities.owner(principal) {
            // Those of workspaces and endpoints are granted by the service, those of computes do not go through the workspace.
            Some(Owner::Workspace(_) | Owner::Endpoint(..)) => return None,
            Some(Owner::Compute(workspace, name)) => format!("compute {name} of {}", workspace.name()),
            Some(Owner::UserAssigned(identity)) => format!("managed identity {}", identity.name()),
            None => match kind {
                Some(PrincipalType::User) => format!("user {principal}"),
                Some(PrincipalType::Group | PrincipalType::ForeignGroup) => format!("group {principal}"),
                Some(PrincipalType::ServicePrincipal) => format!("service principal {principal}"),
                Some(PrincipalType::Device) | None => format!("principal {principal}"),
            },
        };
        let roles = roles.into_iter().collect::<Vec<_>>().join(", ");
        Some((principal, Worker { who: format!("{who} ({roles})"), kind }))
    });
    (workers.collect(), unread)
}

impl Worker {
    /// Whether Azure tells the groups of such a principal.
    pub(super) fn has_groups(&self) -> bool {
        matches!(self.kind, Some(PrincipalType::User | PrincipalType::ServicePrincipal))
    }

    /// How this principal stands without the key.
    pub(super) fn stands(&self, principal: PrincipalId, here: &Here<'_>) -> Stands {
        let observed = here.observed;
        let known = matches!(observed.groups.get(&principal), Some(Reading::Known { .. }));
        if self.has_groups() && !known {
            return Stands::Unsure;
        }
        let waits = Waits::default();
        let mut denied = BTreeSet::new();
        // Of what may be in a group that Azure does not tell, the groups are unread, and not none.
        let kind = self.kind.filter(|_| self.has_groups());
        for role in [BLOB_READER, FILE_READER].into_iter().filter_map(catalog::find_role) {
            let question = Question { principal, kind, role, condition: None };
            match access::effective_cover(&question, observed, &waits) {
                Cover::Covered { .. } => return Stands::Reaches,
                Cover::Denied { by } => {
                    let Denial { name, certain, .. } = *by;
                    let word = if certain { "denied" } else { "perhaps denied" };
                    denied.insert(format!(", {word} by the deny assignment {name}"));
                }
                Cover::Missing { .. } => {}
                Cover::Unknown { .. } | Cover::NotRead(_) => return Stands::Unsure,
            }
        }
        Stands::Loses(denied.into_iter().chain(eligible(principal, observed)).collect())
    }
}

/// The roles that somebody could activate and has not.
fn eligible(principal: PrincipalId, observed: &Observed) -> Vec<String> {
    match observed.eligibilities.get(&principal) {
        Some(Reading::Known { value, .. }) => {
            let name = |one: &Eligibility| one.role_name.clone().unwrap_or_else(|| catalog::role_name(one.role));
            let names: BTreeSet<String> = value.iter().map(name).collect();
            names.into_iter().map(|role| format!(", who could activate {role}")).collect()
        }
        Some(Reading::Unknown { .. }) => vec![", and what they could activate is not known".to_owned()],
        // Of groups it is not asked.
        Some(Reading::NotRead) | None => Vec::new(),
    }
}
