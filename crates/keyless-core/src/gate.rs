//! Facts that must hold in the moment an action is sent, and how they are told when they do not.

use std::collections::BTreeSet;
use std::fmt;

use jiff::Timestamp;

use crate::id::{ArmId, ManagedIdentityId, PrincipalId, StorageAccountId, WorkspaceId};
use crate::observed::BarrierReads;
use crate::reading::Cause;

/// A fact an action waits for. The names are API: events and `plan` carry them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Gate {
    /// The hub of a project that is to be made is there and ready.
    HubThere,
    /// Every declared need of the workspace is met by an unconditional grant that nothing denies.
    NeedsCovered,
    /// Those grants are old enough to work.
    NeedsAged,
    /// The service's own grant to the workspace's identity is there.
    ServiceGrant,
    /// No compute of the workspace is known not to work with identity-based access.
    Compatible,
    /// The workspace's mode is known, is one that may be overwritten, and no other operation runs on it.
    ModeKnown,
    /// The key is on, so that a workspace in access-key mode can use it.
    KeyOn,
    /// The key has been on long enough to work.
    KeyEffective,
    /// The workspace holds the account's present keys.
    KeysTaken,
    /// Every workspace that the files send back to the key is back on it.
    WentBack,
    /// Every subscription in scope was listed completely in this pass.
    Listed,
    /// Every workspace on the account, declared or not, is on identity.
    AllOnIdentity,
    /// No datastore holds a key or SAS for the account.
    NoStoredKeys,
    /// The workspace of a datastore is on identity, by a direct read.
    OnIdentity,
    /// A named person accepted that the step cannot be taken back.
    OneWayAccepted,
    /// The datastore stands on the account of the pass, or everybody declared has old enough access to the one that it stands
    /// on, or a named person vouches for that.
    AccessJudged,
    /// Nobody has signed with the key for `keyIdle`.
    KeyIdle,
    /// Files do not contradict each other about this step.
    Agreed,
    /// No lock bars the change.
    Unlocked,
    /// Network rules of the account do not shut the workspace out.
    Reachable,
    /// The controller has the right to make the change.
    Permitted,
    /// No policy refuses the change or sets another value.
    PolicyAllows,
    /// The change can be taken back, or the files accept that it cannot.
    WayBack,
    /// All grants that are due fit below the subscription's ceiling.
    BelowCeiling,
    /// The documents say `enforce`, nothing is suspended, the kill switch is off.
    Active,
    /// A change window is open.
    Window,
    /// No write of ours whose outcome is unknown may still land.
    Settled,
    /// The wait after start or take-over is over.
    Booted,
    /// Azure has not lately refused just this action for a reason that only a person can lift, nor is known to refuse it.
    NotRefused,
    /// Nobody sets back again and again what the change sets.
    NoFight,
    /// No job and no compute instance of the workspace runs.
    Drained,
    /// The data plane of the account has let the identity of the controller in, where the files ask for that.
    DataProbed,
}

impl Gate {
    /// All of them.
    pub const ALL: [Self; 32] = [
        Self::HubThere,
        Self::NeedsCovered,
        Self::NeedsAged,
        Self::ServiceGrant,
        Self::Compatible,
        Self::ModeKnown,
        Self::KeyOn,
        Self::KeyEffective,
        Self::KeysTaken,
        Self::WentBack,
        Self::Listed,
        Self::AllOnIdentity,
        Self::NoStoredKeys,
        Self::OnIdentity,
        Self::OneWayAccepted,
        Self::AccessJudged,
        Self::KeyIdle,
        Self::Agreed,
        Self::Unlocked,
        Self::Reachable,
        Self::Permitted,
        Self::PolicyAllows,
        Self::WayBack,
        Self::BelowCeiling,
        Self::Active,
        Self::Window,
        Self::Settled,
        Self::Booted,
        Self::NotRefused,
        Self::NoFight,
        Self::Drained,
        Self::DataProbed,
    ];

    /// The name in events and output.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::HubThere => "hub_there",
            Self::NeedsCovered => "needs_covered",
            Self::NeedsAged => "needs_aged",
            Self::ServiceGrant => "service_grant",
            Self::Compatible => "compatible",
            Self::ModeKnown => "mode_known",
            Self::KeyOn => "key_on",
            Self::KeyEffective => "key_effective",
            Self::KeysTaken => "keys_taken",
            Self::WentBack => "went_back",
            Self::Listed => "listed",
            Self::AllOnIdentity => "all_on_identity",
            Self::NoStoredKeys => "no_stored_keys",
            Self::OnIdentity => "on_identity",
            Self::OneWayAccepted => "one_way_accepted",
            Self::AccessJudged => "access_judged",
            Self::KeyIdle => "key_idle",
            Self::Agreed => "agreed",
            Self::Unlocked => "unlocked",
            Self::Reachable => "reachable",
            Self::Permitted => "permitted",
            Self::PolicyAllows => "policy_allows",
            Self::WayBack => "way_back",
            Self::BelowCeiling => "below_ceiling",
            Self::Active => "active",
            Self::Window => "window",
            Self::Settled => "settled",
            Self::Booted => "booted",
            Self::NotRefused => "not_refused",
            Self::NoFight => "no_fight",
            Self::Drained => "drained",
            Self::DataProbed => "data_probed",
        }
    }
}

impl fmt::Display for Gate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// How a gate stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum GateState {
    /// The fact holds.
    Open,
    /// It will hold by itself.
    Waiting {
        /// When, by the server's clock, if nothing changes.
        until: Timestamp,
        /// What is waited for.
        why: String,
    },
    /// It does not hold, and something or somebody has to change that.
    Unmet {
        /// Why.
        why: String,
        /// What would lift it.
        lift: String,
    },
    /// It was not looked at, because an earlier gate of the step is shut or the read has not been made yet.
    NotLooked,
}

impl GateState {
    /// Whether the gate is open.
    #[must_use]
    pub fn is_open(&self) -> bool {
        *self == Self::Open
    }

    pub(crate) fn unmet(why: impl Into<String>, lift: impl Into<String>) -> Self {
        Self::Unmet { why: why.into(), lift: lift.into() }
    }

    pub(crate) fn unknown(what: &str, why: &str, cause: &Cause) -> Self {
        Self::Unmet { why: format!("{what} could not be read: {why}"), lift: lift_of_read(cause) }
    }
}

/// What lifts a read that failed.
pub(crate) fn lift_of_read(cause: &Cause) -> String {
    cause.lift.clone().unwrap_or_else(|| "a complete read".to_owned())
}

/// One gate of one step and how it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GateCheck {
    /// Which gate.
    pub gate: Gate,
    /// How it stands.
    pub state: GateState,
}

/// Which reads a pass needs: what to observe, what a gate lacks, what to read again before a write.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ReadSet {
    /// The storage account.
    pub account: bool,
    /// The workspace lists of every subscription in scope, and with them which workspaces stand on the account.
    pub listings: bool,
    /// These workspaces, by direct reads.
    pub workspaces: BTreeSet<WorkspaceId>,
    /// The datastores of these workspaces.
    pub datastores: BTreeSet<WorkspaceId>,
    /// The datastores that name the account in workspaces that stand on other accounts.
    pub elsewhere: bool,
    /// The computes of these workspaces.
    pub computes: BTreeSet<WorkspaceId>,
    /// The same for warnings alone: a read of the same interval will do.
    pub computes_lately: BTreeSet<WorkspaceId>,
    /// The jobs of these workspaces.
    pub jobs: BTreeSet<WorkspaceId>,
    /// One page of the jobs of these workspaces.
    pub glimpses: BTreeSet<WorkspaceId>,
    /// The role assignments at the account, and the definitions of the roles in them.
    pub assignments: bool,
    /// These role assignments, each by a direct read: lists lag behind writes.
    pub assignments_by_id: BTreeSet<ArmId>,
    /// Role assignments with their definitions, and deny assignments, at these other accounts.
    pub access_at: BTreeSet<StorageAccountId>,
    /// The groups of these users and service principals, as far as assignments at the account show.
    pub groups: BTreeSet<PrincipalId>,
    /// What these principals could activate at the account.
    pub eligibilities: BTreeSet<PrincipalId>,
    /// Deny assignments at the account.
    pub denies: bool,
    /// The same for warnings alone: a read of the same interval will do.
    pub denies_lately: bool,
    /// Locks at the account.
    pub locks: bool,
    /// The key-usage metric.
    pub key_usage: bool,
    /// The same metric by service and call.
    pub key_details: bool,
    /// Who called with what, by the storage resource logs.
    pub key_callers: bool,
    /// Whether the data plane lets the own identity in, at this blob endpoint of the account.
    pub data_probe: Option<String>,
    /// Who was refused what since the account is watched.
    pub denials: bool,
    /// The online endpoints of the workspaces on the account.
    pub endpoints: bool,
    /// These user-assigned identities.
    pub identities: BTreeSet<ManagedIdentityId>,
    /// What may bar writes.
    pub barriers: Box<BarrierReads>,
}

impl ReadSet {
    /// Whether nothing is asked for.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Adds what `other` asks for.
    pub fn add(&mut self, other: Self) {
        let Self {
            account,
            listings,
            workspaces,
            datastores,
            elsewhere,
            computes,
            computes_lately,
            jobs,
            glimpses,
            assignments,
            assignments_by_id,
            access_at,
            groups,
            eligibilities,
            denies,
            denies_lately,
            locks,
            key_usage,
            key_details,
            key_callers,
            data_probe,
            denials,
            endpoints,
            identities,
            barriers,
        } = other;
        self.account |= account;
        self.listings |= listings;
        self.workspaces.extend(workspaces);
        self.datastores.extend(datastores);
        self.elsewhere |= elsewhere;
        self.computes.extend(computes);
        self.computes_lately.extend(computes_lately);
        self.jobs.extend(jobs);
        self.glimpses.extend(glimpses);
        self.assignments |= assignments;
        self.assignments_by_id.extend(assignments_by_id);
        self.access_at.extend(access_at);
        self.groups.extend(groups);
        self.eligibilities.extend(eligibilities);
        self.denies |= denies;
        self.denies_lately |= denies_lately;
        self.locks |= locks;
        self.key_usage |= key_usage;
        self.key_details |= key_details;
        self.key_callers |= key_callers;
        self.data_probe = data_probe.or(self.data_probe.take());
        self.denials |= denials;
        self.endpoints |= endpoints;
        self.identities.extend(identities);
        self.barriers.add(*barriers);
    }
}
