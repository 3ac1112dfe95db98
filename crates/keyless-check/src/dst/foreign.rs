//! What somebody else does to the world while keyless works on it, and what of a write's grounds that bears on.

use std::time::Duration;

use jiff::Timestamp;

use super::record::What;

/// What is said of somebody who signs with the key at the start.
pub(crate) const KEY_USER_THERE: &str = "KeyUserThere";

/// The first word of a deny assignment that somebody makes.
pub(crate) const DENIED: &str = "Denied";

/// The first word of a role that gives less.
pub(crate) const RECAST: &str = "Recast";

/// The first word of a change of the files by which somebody has work to do.
pub(crate) const DECLARED: &str = "declared";

/// Somebody else's change.
#[derive(Debug, Clone)]
pub(crate) struct Foreign {
    pub(crate) at: Timestamp,
    /// Virtual time since the run began.
    pub(crate) since: Duration,
    /// The path of the read that shows it at once, if there is one that only passes of its account make.
    pub(crate) shown_by: Option<String>,
    /// The account that it bears on; every account if it is of none.
    pub(crate) account: Option<String>,
    pub(crate) what: String,
    /// How much longer than other changes it stays unseen.
    pub(crate) hidden: Duration,
}

impl Foreign {
    /// The kind of the change, in a word.
    pub(crate) fn kind(&self) -> &str {
        self.what.split(' ').next().unwrap_or_default()
    }

    /// Whether nothing but a list shows it.
    pub(crate) fn is_listed(&self) -> bool {
        ["GrantRemoved", "MemberRemoved", "WorkspaceAdded", "DatastoreAdded"].contains(&self.kind())
    }

    /// Whether somebody may lose access by it, or try to get some without having it: who signs with a key, or who has a role.
    pub(crate) fn takes_access(&self, by_key: bool) -> bool {
        let of_roles = ["GrantRemoved", "MemberRemoved", DENIED, RECAST];
        // What changes from one to the other may take either.
        let of_both = ["AuthMode", "WorkspaceAdded", "DatastoreAdded", DECLARED];
        let own: &[&str] = if by_key { &["SharedKey", "KeyRegenerated"] } else { &of_roles };
        of_both.contains(&self.kind()) || own.contains(&self.kind())
    }
}

/// Which changes of others can make wrong what was right when the gates of a write were read.
pub(crate) type Kinds = &'static [&'static str];

/// Nothing excuses it.
pub(crate) const NOTHING: Kinds = &[];

/// That no workspace on the account is on its key.
pub(crate) const ON_KEYS: Kinds = &["AuthMode", "WorkspaceAdded"];

/// That no datastore stores the account's key: a workspace comes with its own.
pub(crate) const STORED: Kinds = &["DatastoreAdded", "WorkspaceAdded"];

/// That every workspace on the account is known.
pub(crate) const KNOWN: Kinds = &["WorkspaceAdded"];

/// That nobody has signed with the key of late.
pub(crate) const IDLE: Kinds =
    &["AuthMode", "SharedKey", "WorkspaceAdded", "DatastoreAdded", "KeyUserStarted", KEY_USER_THERE];

/// That whoever needs a role has it. While the key is off, nobody has access to lose.
pub(crate) const HAVE_ROLES: Kinds = &["GrantRemoved", "MemberRemoved", "SharedKey", DENIED, RECAST, DECLARED];

/// That the key works that a workspace goes back to.
pub(crate) const WORKS: Kinds = &["SharedKey", "KeyRegenerated"];

/// What bears on a write by which somebody lost access: a workspace's, or whoever signs with the key.
pub(crate) fn bearing_on(write: &What, of_workspace: bool) -> Kinds {
    match write {
        What::Key { allowed: false, .. } if of_workspace => &["AuthMode", "WorkspaceAdded", "DatastoreAdded"],
        What::Key { allowed: false, .. } => &["SharedKey", "KeyUserStarted", KEY_USER_THERE],
        What::Mode { identity: true, .. } => HAVE_ROLES,
        What::Mode { identity: false, .. } => WORKS,
        What::Datastore { .. } | What::Revoke { .. } => &["GrantRemoved", "MemberRemoved", DENIED, RECAST, DECLARED],
        What::Key { allowed: true, .. } | What::Grant { .. } | What::Resync { .. } | What::Other => &[],
    }
}
