//! What one pass read from Azure about one storage account: each value with when it was read, or why it is not known.
//!
//! Unknown is not absent: a list that could not be read is [`Reading::Unknown`], never an empty list.
//! This module only holds values; `keyless-arm` fills them, [`crate::plan`] judges them.

mod access;
mod account;
mod agreement;
mod assignment;
mod barriers;
mod callers;
mod change;
mod compute;
mod datastore;
mod deny;
mod eligibility;
mod endpoint;
mod history;
mod job;
mod keys;
mod lock;
mod network;
mod role;
mod service;
mod usage;
mod workspace;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use crate::gate::ReadSet;
use crate::id::{ArmId, ManagedIdentityId, PrincipalId, RoleId, StorageAccountId, SubscriptionId, WorkspaceId};

pub use crate::reading::{Cause, Reading};
pub use access::AccessAt;
pub use account::{Account, SharedKeyAccess};
pub use agreement::{Agreement, Shown};
pub use assignment::{PrincipalType, RoleAssignment};
pub use barriers::{BarrierReads, Barriers, OwnRight};
pub use callers::{KeyCaller, KeyCallers, MadeFrom};
pub use change::{Caller, CallerKind, Change, ChangedTo, ChangesOf};
pub use compute::{Compute, Identity};
pub use datastore::{Datastore, DatastoreCredentials, DatastoreForm, is_system_name};
pub use deny::{DeniedPrincipal, DenyAssignment};
pub use eligibility::Eligibility;
pub use endpoint::Endpoint;
pub use history::{BackOn, History, WatchCause, WatchFrom};
pub use job::ObservedJob;
pub use keys::{Again, KeyTimes, KeysTaken};
pub use lock::{Lock, LockLevel};
pub use network::{Network, PublicAccess};
pub use role::{Permission, RoleDefinition};
pub use service::{ServiceFlags, StorageService};
pub use usage::{KeyDetails, KeyUsage, ServiceUse, Signed, Traffic, hour};
pub use workspace::{ObservedAuthMode, ObservedWorkspace, Workspace, WorkspaceKind};

/// Everything one pass knows about one storage account and what hangs on it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Observed {
    /// The account: the key of the pass.
    pub account_id: StorageAccountId,
    /// The server's clock at the end of the reads, never ahead of it. All ages are measured against it.
    pub now: Timestamp,
    /// How much later than that it is by most of the answers.
    pub behind: Duration,
    /// The account; `None` when Azure says it does not exist.
    pub account: Reading<Option<Account>>,
    /// Per subscription in scope: whether its workspaces were listed completely in this pass.
    pub listings: BTreeMap<SubscriptionId, Reading<()>>,
    /// Those of `workspaces` that the newest lists show. One of them whose own read says that it does not exist counts as
    /// unread: lists lag behind deletions, and a read of what is there may be answered with 404.
    pub listed: BTreeSet<WorkspaceId>,
    /// The workspaces, hubs and projects on the account, declared or not, by id. A declared workspace that
    /// does not exist is here too, with `None`.
    pub workspaces: BTreeMap<WorkspaceId, ObservedWorkspace>,
    /// The datastores that name this account, of workspaces that stand on other accounts; workspaces without one are left
    /// out. Account names are unique in all of Azure, so the name tells.
    pub elsewhere: Reading<BTreeMap<WorkspaceId, Vec<Datastore>>>,
    /// Every role assignment that applies at the account: made there or inherited.
    pub assignments: Reading<Vec<RoleAssignment>>,
    /// Role assignments that were read one by one; `None`: there is none of this id.
    pub assignments_by_id: BTreeMap<ArmId, Reading<Option<RoleAssignment>>>,
    /// The definitions of all roles in `assignments` that could be read.
    pub roles: BTreeMap<RoleId, Reading<RoleDefinition>>,
    /// Access at other accounts, on which datastores stand.
    pub access_at: BTreeMap<StorageAccountId, AccessAt>,
    /// The groups that a user or service principal is in, as far as assignments at the account show: a group that none is
    /// made to does not show.
    pub groups: BTreeMap<PrincipalId, Reading<BTreeSet<PrincipalId>>>,
    /// What could be activated at the account and is not, by who could.
    pub eligibilities: BTreeMap<PrincipalId, Reading<Vec<Eligibility>>>,
    /// Deny assignments that apply at the account.
    pub denies: Reading<Vec<DenyAssignment>>,
    /// Locks that apply at the account, inherited ones included.
    pub locks: Reading<Vec<Lock>>,
    /// Who signed with what during the key-idle window.
    pub key_usage: Reading<KeyUsage>,
    /// The same by service and call; read where the key is in use.
    pub key_details: Reading<KeyDetails>,
    /// Who called with what, by the storage resource logs; read where somebody is to be named. Nothing is decided by it.
    pub key_callers: Reading<KeyCallers>,
    /// That the data plane of the account lets the own identity in; known only where it did. Read where the files ask.
    pub data_probe: Reading<()>,
    /// Who was refused what since the account is watched.
    pub denials: Reading<KeyDetails>,
    /// The online endpoints of the workspaces on the account, as far as the controller's identity may see them.
    pub endpoints: Reading<Vec<Endpoint>>,
    /// Principals behind user-assigned identities named in the desired state; `None`: the identity does not exist.
    pub identities: BTreeMap<ManagedIdentityId, Reading<Option<PrincipalId>>>,
    /// What bars or may bar writes, beside locks and denials of the account.
    pub barriers: Barriers,
    /// What earlier passes of this process remember. Losing it costs waiting, never safety.
    pub history: History,
}

impl Observed {
    /// An observation in which nothing has been read yet.
    #[must_use]
    pub fn unread(account_id: StorageAccountId, now: Timestamp) -> Self {
        Self {
            account_id,
            now,
            behind: Duration::ZERO,
            account: Reading::NotRead,
            listings: BTreeMap::new(),
            listed: BTreeSet::new(),
            workspaces: BTreeMap::new(),
            elsewhere: Reading::NotRead,
            assignments: Reading::NotRead,
            assignments_by_id: BTreeMap::new(),
            roles: BTreeMap::new(),
            access_at: BTreeMap::new(),
            groups: BTreeMap::new(),
            eligibilities: BTreeMap::new(),
            denies: Reading::NotRead,
            locks: Reading::NotRead,
            key_usage: Reading::NotRead,
            key_details: Reading::NotRead,
            key_callers: Reading::NotRead,
            data_probe: Reading::NotRead,
            denials: Reading::NotRead,
            endpoints: Reading::NotRead,
            identities: BTreeMap::new(),
            barriers: Barriers::default(),
            history: History::default(),
        }
    }

    /// Whether the account is known to refuse its key.
    #[must_use]
    pub fn key_is_off(&self) -> bool {
        self.account.value().and_then(Option::as_ref).is_some_and(|account| !account.shared_key.is_on())
    }

    /// The server's clock by most of the answers: what ends by itself, such as a change window or an acceptance, has ended by
    /// it. Never before [`Self::now`].
    #[must_use]
    pub fn latest(&self) -> Timestamp {
        let behind = SignedDuration::try_from(self.behind).unwrap_or(SignedDuration::MAX);
        self.now.checked_add(behind).unwrap_or(Timestamp::MAX)
    }

    /// Takes in what another read brought. A read of the listings also settles which workspaces stand on the account.
    pub fn absorb(&mut self, part: Self) {
        let Self {
            account_id: _,
            now,
            behind,
            account,
            listings,
            listed,
            workspaces,
            elsewhere,
            assignments,
            assignments_by_id,
            roles,
            access_at,
            groups,
            eligibilities,
            denies,
            locks,
            key_usage,
            key_details,
            key_callers,
            data_probe,
            denials,
            endpoints,
            identities,
            barriers,
            history,
        } = part;
        // The later word counts even where it is earlier: by then more is known of the server's clock.
        if now > Timestamp::MIN {
            (self.now, self.behind) = (now, behind);
        }
        self.account.absorb(account);
        if !listings.is_empty() {
            self.listings = listings;
            self.listed = listed;
            self.workspaces.retain(|id, _| workspaces.contains_key(id));
        }
        for (id, entry) in workspaces {
            let ObservedWorkspace { workspace, datastores, computes, jobs, glimpse } = entry;
            let known = self.workspaces.entry(id).or_insert_with(ObservedWorkspace::unread);
            known.workspace.absorb(workspace);
            known.datastores.absorb(datastores);
            known.computes.absorb(computes);
            known.jobs.absorb(jobs);
            known.glimpse.absorb(glimpse);
        }
        self.doubt_what_is_absent();
        self.elsewhere.absorb(elsewhere);
        self.assignments.absorb(assignments);
        for (id, assignment) in assignments_by_id {
            self.assignments_by_id.entry(id).or_insert(Reading::NotRead).absorb(assignment);
        }
        for (id, role) in roles {
            self.roles.entry(id).or_insert(Reading::NotRead).absorb(role);
        }
        self.access_at.extend(access_at);
        for (id, found) in groups {
            self.groups.entry(id).or_insert(Reading::NotRead).absorb(found);
        }
        for (id, found) in eligibilities {
            self.eligibilities.entry(id).or_insert(Reading::NotRead).absorb(found);
        }
        self.denies.absorb(denies);
        self.locks.absorb(locks);
        self.key_usage.absorb(key_usage);
        self.key_details.absorb(key_details);
        self.key_callers.absorb(key_callers);
        self.data_probe.absorb(data_probe);
        self.denials.absorb(denials);
        self.endpoints.absorb(endpoints);
        for (id, identity) in identities {
            self.identities.entry(id).or_insert(Reading::NotRead).absorb(identity);
        }
        self.barriers.absorb(barriers);
        self.history = history;
    }

    fn doubt_what_is_absent(&mut self) {
        for (id, entry) in &mut self.workspaces {
            if matches!(entry.workspace, Reading::Known { value: None, .. }) && self.listed.contains(id) {
                entry.workspace = Reading::unknown("its own read says that it does not exist, and a list shows it");
            }
        }
    }

    /// Forgets what `reads` names, so that nothing rests on it until it is read again.
    pub fn forget(&mut self, reads: &ReadSet) {
        let ReadSet {
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
        } = reads;
        if *account {
            self.account = Reading::NotRead;
        }
        if *listings {
            self.listings.clear();
        }
        for (id, entry) in &mut self.workspaces {
            if workspaces.contains(id) {
                entry.workspace = Reading::NotRead;
            }
            if datastores.contains(id) {
                entry.datastores = Reading::NotRead;
            }
            if computes.contains(id) || computes_lately.contains(id) {
                entry.computes = Reading::NotRead;
            }
            if jobs.contains(id) {
                entry.jobs = Reading::NotRead;
            }
            if glimpses.contains(id) {
                entry.glimpse = Reading::NotRead;
            }
        }
        if *elsewhere {
            self.elsewhere = Reading::NotRead;
        }
        if *assignments {
            self.assignments = Reading::NotRead;
            self.roles.clear();
        }
        for id in assignments_by_id {
            self.assignments_by_id.remove(id);
        }
        self.access_at.retain(|id, _| !access_at.contains(id));
        for id in groups {
            self.groups.remove(id);
        }
        for id in eligibilities {
            self.eligibilities.remove(id);
        }
        if *denies || *denies_lately {
            self.denies = Reading::NotRead;
        }
        if *locks {
            self.locks = Reading::NotRead;
        }
        if *key_usage {
            self.key_usage = Reading::NotRead;
        }
        if *key_details {
            self.key_details = Reading::NotRead;
        }
        if *key_callers {
            self.key_callers = Reading::NotRead;
        }
        if data_probe.is_some() {
            self.data_probe = Reading::NotRead;
        }
        if *denials {
            self.denials = Reading::NotRead;
        }
        if *endpoints {
            self.endpoints = Reading::NotRead;
        }
        for id in identities {
            self.identities.remove(id);
        }
        self.barriers.forget(barriers);
    }
}
