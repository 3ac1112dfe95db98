//! What somebody else does to the world while keyless works on it, and which writes of keyless's that bears on.

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
        let of_roles = ["GrantRemoved", "MemberRemoved", "ResourceRemoved", DENIED, RECAST, DECLARED];
        // What changes from one to the other may take either.
        let of_both = ["AuthMode", "WorkspaceAdded", "DatastoreAdded", "ResourceRemoved", DECLARED];
        let own: &[&str] = if by_key { &["SharedKey", "KeyRegenerated"] } else { &of_roles };
        of_both.contains(&self.kind()) || own.contains(&self.kind())
    }

    /// Whether it can make wrong what was right when the gates of a write were read.
    pub(crate) fn bears_on(&self, write: &What) -> bool {
        let kinds: &[&str] = match write {
            What::Key { allowed: false, .. } => {
                &["AuthMode", "SharedKey", "WorkspaceAdded", "DatastoreAdded", "KeyUserStarted", KEY_USER_THERE]
            }
            // While the key is off, nobody has access to lose.
            What::Mode { identity: true, .. } => {
                &["GrantRemoved", "MemberRemoved", "ResourceRemoved", "SharedKey", DENIED, RECAST, DECLARED]
            }
            What::Mode { identity: false, .. } => &["SharedKey", "KeyRegenerated"],
            What::Datastore { .. } | What::Revoke { .. } => {
                &["GrantRemoved", "MemberRemoved", "ResourceRemoved", DENIED, RECAST, DECLARED]
            }
            What::Key { allowed: true, .. } | What::Grant { .. } | What::Resync { .. } | What::Other => &[],
        };
        kinds.contains(&self.kind())
    }
}
