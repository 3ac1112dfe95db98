//! The answer as a value.

use std::collections::BTreeSet;

use jiff::Timestamp;

use crate::access::{Denial, Orphan};
use crate::desired::Because;
use crate::gate::ReadSet;
use crate::id::{ArmId, PrincipalId, RoleId, StorageAccountId, WorkspaceId};
use crate::observed::{ObservedAuthMode, PrincipalType};

/// Why a principal has, or has not, what it needs of a workspace.
#[must_use]
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Why {
    /// The workspace.
    pub workspace: WorkspaceId,
    /// The account its data is on.
    pub account: StorageAccountId,
    /// How the workspace reaches its data now, where that was read.
    pub mode: Option<ObservedAuthMode>,
    /// Whether it is on the account's key, and that is off: nobody works through it.
    pub is_broken: bool,
    /// Who, as the files say it, or the object id.
    pub principal: String,
    /// Whether the document of the workspace names it.
    pub is_declared: bool,
    /// The server's time of the reads.
    pub at: Timestamp,
    /// Each need that the files state, or each role of the catalog for somebody they do not name.
    pub needs: Vec<NeedWhy>,
    /// The levels and scenarios of the catalog, for somebody whom the files do not name; none for the workspace's own identity,
    /// which has a need of its own.
    pub words: Vec<Word>,
    /// What would tell more.
    pub wants: ReadSet,
}

/// One level or scenario and whether all of its roles are effective.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Word {
    /// Such as `level readOnly`.
    pub name: String,
    /// Whether it is effective; `None`: that could not be told.
    pub is_effective: Option<bool>,
}

/// One role's data actions and how one principal stands to them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NeedWhy {
    /// The role that stands for the data actions.
    pub role: RoleId,
    /// The condition under which the files ask for it.
    pub condition: Option<String>,
    /// Which levels and scenarios ask for it.
    pub because: BTreeSet<Because>,
    /// Whose hold is judged; `None` where the principal could not be resolved.
    pub principal: Option<PrincipalId>,
    /// What kind of principal that is, where known.
    pub kind: Option<PrincipalType>,
    /// How it stands.
    pub verdict: Verdict,
    /// Every grant that reaches it, the sufficient ones first.
    pub routes: Vec<Route>,
    /// The data actions that no sufficient grant gives.
    pub missing: Vec<&'static str>,
    /// The denials that hit.
    pub denials: Vec<Denial>,
    /// What could be activated.
    pub eligible: Vec<Eligible>,
    /// Why that is not known, if it was asked for and is not.
    pub eligible_unknown: Option<String>,
    /// Grants of the same role that were made to an identity that is gone.
    pub orphans: Vec<Orphan>,
    /// What would lift it, if it does not stand.
    pub lift: Option<String>,
}

/// How a need stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Granted, old enough, not denied.
    Effective,
    /// Granted, and too young to be relied on.
    Young {
        /// Until when.
        works_at: Timestamp,
    },
    /// Granted, and Azure does not tell since when.
    Ageless,
    /// Something is granted by nothing.
    Missing,
    /// Granted only under a condition that the need does not ask for.
    Conditioned,
    /// A deny assignment takes something of it, or may.
    Denied {
        /// Whether that is certain.
        certain: bool,
    },
    /// There is no such principal.
    NoPrincipal {
        /// Why.
        why: String,
    },
    /// Something that decides it could not be read.
    Unknown {
        /// What.
        why: String,
    },
}

impl Verdict {
    /// Whether it can be relied on; `None`: that could not be told.
    #[must_use]
    pub fn is_effective(&self) -> Option<bool> {
        match self {
            Self::Effective => Some(true),
            Self::Young { .. } | Self::Missing | Self::Conditioned | Self::NoPrincipal { .. } => Some(false),
            Self::Denied { certain } => certain.then_some(false),
            Self::Ageless | Self::Unknown { .. } => None,
        }
    }
}

/// One grant that reaches the principal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    /// The assignment.
    pub assignment: ArmId,
    /// Where it is made.
    pub scope: ArmId,
    /// The role's name.
    pub role: String,
    /// The group it goes through, and what the files call that.
    pub through: Option<(PrincipalId, Option<String>)>,
    /// Since when this process has seen the principal in that group; `None` too where it had not looked before.
    pub member_since: Option<Timestamp>,
    /// Its condition.
    pub condition: Option<String>,
    /// Whether this installation made it.
    pub is_own: bool,
    /// Whether the need takes it.
    pub is_enough: bool,
    /// The data actions in question that it gives.
    pub gives: Vec<&'static str>,
    /// Those that its role names and then subtracts.
    pub holes: Vec<&'static str>,
    /// Since when it counts.
    pub since: Option<Timestamp>,
    /// When it may be relied on.
    pub works_at: Option<Timestamp>,
}

/// A role that could be activated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Eligible {
    /// The role's name, or its id.
    pub role: String,
    /// Where it would count.
    pub scope: ArmId,
    /// The group that is eligible, if it is not the principal itself.
    pub through: Option<PrincipalId>,
    /// Until when.
    pub until: Option<Timestamp>,
    /// Whether it would give all that is missing; `None`: its definition was not read.
    pub is_enough: Option<bool>,
}

impl Why {
    /// Whether the workspace is not broken and every need is effective, or, for somebody whom the files do not name, any level or scenario; `None`: that
    /// could not be told.
    #[must_use]
    pub fn is_effective(&self) -> Option<bool> {
        if self.is_broken {
            return Some(false);
        }
        if !self.words.is_empty() {
            let found: BTreeSet<Option<bool>> = self.words.iter().map(|word| word.is_effective).collect();
            return if found.contains(&Some(true)) {
                Some(true)
            } else if found.contains(&None) {
                None
            } else {
                Some(false)
            };
        }
        let found: BTreeSet<Option<bool>> = self.needs.iter().map(|need| need.verdict.is_effective()).collect();
        if found.contains(&Some(false)) {
            Some(false)
        } else if found.contains(&None) {
            None
        } else {
            Some(true)
        }
    }
}
