//! One idempotent change to one resource.

use std::fmt;

use uuid::{Uuid, uuid};

use crate::catalog;
use crate::desired::{AuthMode, Create, DatastorePlace};
use crate::id::{ArmId, AssignmentName, PrincipalId, RoleId, StorageAccountId, WorkspaceId};
use crate::observed::{DatastoreCredentials, PrincipalType, RoleAssignment};

/// One change. Equal actions change the same thing in the same way.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Action {
    /// Give a principal a role.
    GrantRole(Grant),
    /// Set `systemDatastoresAuthMode`.
    SetAuthMode {
        /// Of which workspace.
        workspace: WorkspaceId,
        /// To what.
        mode: AuthMode,
    },
    /// Make a workspace that does not exist, on identity-based access.
    CreateWorkspace {
        /// Which.
        workspace: WorkspaceId,
        /// With what.
        create: Box<Create>,
    },
    /// Have a workspace take the keys of its account anew.
    ResyncWorkspaceKeys {
        /// Which workspace.
        workspace: WorkspaceId,
    },
    /// Set `allowSharedKeyAccess`.
    SetSharedKeyAccess {
        /// Of which account.
        account: StorageAccountId,
        /// To what.
        allowed: bool,
    },
    /// Take the stored credential out of a datastore. One way: the secret is overwritten, and keyless never read it.
    SetDatastoreCredential {
        /// Of which workspace.
        workspace: WorkspaceId,
        /// Which datastore.
        name: String,
        /// What it holds now.
        from: DatastoreCredentials,
    },
    /// Make a datastore without credentials.
    CreateDatastore {
        /// Of which workspace.
        workspace: WorkspaceId,
        /// Its name.
        name: String,
        /// Where it stands; the account is always named, but for Gen1.
        place: DatastorePlace,
    },
    /// Take back a grant that this installation made.
    RevokeRole {
        /// The assignment.
        assignment: ArmId,
        /// Who had it.
        principal: PrincipalId,
        /// Which role.
        role: RoleId,
    },
}

/// A role for a principal at a scope.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Grant {
    /// The account or its resource group.
    pub scope: ArmId,
    /// Who.
    pub principal: PrincipalId,
    /// What kind of principal.
    pub principal_type: PrincipalType,
    /// Which role.
    pub role: RoleId,
    /// The ABAC condition that narrows it.
    pub condition: Option<String>,
    /// The assignment's name: the same grant by the same owner always has the same.
    pub name: AssignmentName,
    /// Whether that is the second name.
    pub is_renamed: bool,
}

impl Grant {
    /// A grant with its deterministic name.
    #[must_use]
    pub fn new(owner: &str, scope: ArmId, principal: PrincipalId, principal_type: PrincipalType, role: RoleId) -> Self {
        let name = assignment_name(owner, &scope, principal, role, None);
        Self { scope, principal, principal_type, role, condition: None, name, is_renamed: false }
    }

    /// The same under a condition, which is a part of the name.
    #[must_use]
    pub fn under(mut self, owner: &str, condition: Option<String>) -> Self {
        self.name = assignment_name(owner, &self.scope, self.principal, self.role, condition.as_deref());
        self.condition = condition;
        self
    }

    /// The same under its second name, for when Azure cannot take the first.
    #[must_use]
    pub fn renamed(mut self, owner: &str) -> Self {
        self.name = second_name(owner, &self.scope, self.principal, self.role, self.condition.as_deref());
        self.is_renamed = true;
        self
    }

    /// The id of the assignment it becomes.
    #[must_use]
    pub fn id(&self) -> ArmId {
        self.scope.role_assignment(self.name)
    }

    /// The description every grant of this owner carries.
    #[must_use]
    pub fn description(owner: &str) -> String {
        format!("granted by keyless, owner {owner}")
    }
}

/// The name of the grant of a role to a principal at a scope by an owner: a UUIDv5 over these and the condition.
#[must_use]
pub fn assignment_name(
    owner: &str,
    scope: &ArmId,
    principal: PrincipalId,
    role: RoleId,
    condition: Option<&str>,
) -> AssignmentName {
    hashed(owner, scope, principal, role, &format!("\n{}", condition.unwrap_or_default()))
}

/// The name that the same grant gets when the service cannot tell the first from another assignment's ("hash conflict").
/// Source: Azure/azure-cli pull request 24324.
#[must_use]
pub fn second_name(
    owner: &str,
    scope: &ArmId,
    principal: PrincipalId,
    role: RoleId,
    condition: Option<&str>,
) -> AssignmentName {
    // No expression ends in these words, so no first name is made of the same text.
    hashed(owner, scope, principal, role, &format!("\n{}\nsecond name", condition.unwrap_or_default()))
}

fn hashed(owner: &str, scope: &ArmId, principal: PrincipalId, role: RoleId, rest: &str) -> AssignmentName {
    const NAMESPACE: Uuid = uuid!("6c1f6d0e-2f0b-5d0a-9a51-7b9a1c0e4b58");
    let text = format!("{owner}\n{}\n{principal}\n{role}{rest}", scope.folded());
    AssignmentName(Uuid::new_v5(&NAMESPACE, text.as_bytes()))
}

/// Whether the owner made this assignment: it has one of the two names that the owner gives to just such a grant.
#[must_use]
pub fn is_own_name(owner: &str, assignment: &RoleAssignment) -> bool {
    let RoleAssignment { name, scope, principal, role, condition, .. } = assignment;
    [assignment_name, second_name]
        .iter()
        .any(|named| *name == named(owner, scope, *principal, *role, condition.as_deref()))
}

/// What a change does to the people at work. Windows and budgets stop tightening and loosening; repair goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Effort {
    /// Takes a way in: mode to identity, key off.
    Tighten,
    /// Opens a way in, or takes back a grant.
    Loosen,
    /// Mends: a grant, a workspace that is broken now.
    Repair,
}

impl Effort {
    /// The word in output and events.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Tighten => "tighten",
            Self::Loosen => "loosen",
            Self::Repair => "repair",
        }
    }
}

impl Action {
    /// The name of the kind of action in output and events.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::GrantRole(_) => "GrantRole",
            Self::SetAuthMode { .. } => "SetAuthMode",
            Self::CreateWorkspace { .. } => "CreateWorkspace",
            Self::ResyncWorkspaceKeys { .. } => "ResyncWorkspaceKeys",
            Self::SetSharedKeyAccess { .. } => "SetSharedKeyAccess",
            Self::SetDatastoreCredential { .. } => "SetDatastoreCredential",
            Self::CreateDatastore { .. } => "CreateDatastore",
            Self::RevokeRole { .. } => "RevokeRole",
        }
    }

    /// Whether no later step can undo it.
    #[must_use]
    pub fn is_one_way(&self) -> bool {
        matches!(self, Self::SetDatastoreCredential { .. })
    }

    /// The resource that is changed; for a datastore its workspace.
    #[must_use]
    pub fn target(&self) -> &ArmId {
        match self {
            Self::GrantRole(grant) => &grant.scope,
            Self::SetAuthMode { workspace, .. }
            | Self::CreateWorkspace { workspace, .. }
            | Self::ResyncWorkspaceKeys { workspace } => workspace.arm(),
            Self::SetSharedKeyAccess { account, .. } => account.arm(),
            Self::SetDatastoreCredential { workspace, .. } | Self::CreateDatastore { workspace, .. } => workspace.arm(),
            Self::RevokeRole { assignment, .. } => assignment,
        }
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::GrantRole(Grant { scope, principal, principal_type, role, condition, name: _, is_renamed: _ }) => {
                let (role, kind) = (catalog::role_name(*role), principal_type.as_wire());
                let under = if condition.is_some() { " under a condition" } else { "" };
                write!(f, "GrantRole {role} to {kind} {principal} at {}{under}", scope.name())
            }
            Self::SetAuthMode { workspace, mode } => write!(f, "SetAuthMode {mode} on {}", workspace.name()),
            Self::CreateWorkspace { workspace, create: _ } => write!(f, "CreateWorkspace {}", workspace.name()),
            Self::ResyncWorkspaceKeys { workspace } => write!(f, "ResyncWorkspaceKeys of {}", workspace.name()),
            Self::SetSharedKeyAccess { account, allowed } => {
                let state = if *allowed { "enabled" } else { "disabled" };
                write!(f, "SetSharedKeyAccess {state} on {}", account.name())
            }
            Self::SetDatastoreCredential { workspace, name, from } => {
                write!(f, "SetDatastoreCredential None on {}/{name}, which holds {from}", workspace.name())
            }
            Self::CreateDatastore { workspace, name, place } => {
                write!(f, "CreateDatastore {} {}/{name}", place.kind, workspace.name())?;
                match &place.account {
                    Some(account) => write!(f, " at {account}/{}", place.space),
                    None => write!(f, " at {}", place.space),
                }
            }
            Self::RevokeRole { assignment: _, principal, role } => {
                write!(f, "RevokeRole {} from {principal}", catalog::role_name(*role))
            }
        }
    }
}
