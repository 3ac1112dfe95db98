//! Gates on what bars a write whatever the resources themselves look like: own rights, denials, policies, the way back, the
//! ceiling of role assignments.
//!
//! Azure refuses what they stand for and nothing is lost by that, except by the last: so a right or policy that the
//! controller may not read is a warning and no bar, and its refusal is what tells. Any other failed read bars.

use std::collections::BTreeSet;

use crate::access::allows_control;
use crate::action::Action;
use crate::desired::{AuthMode, CreateKind, KeyDesired};
use crate::gate::{GateState, ReadSet};
use crate::id::{ArmId, StorageAccountId, SubscriptionId, WorkspaceId};
use crate::observed::{
    BarrierReads, Cause, DeniedPrincipal, DenyAssignment, Observed, OwnRight, Reading, WorkspaceKind,
};
use crate::policy::{PolicyTarget, PolicyWord};

use super::{Judged, lacks, listed, told};

/// The most role assignments of a subscription.
///
/// Source: <https://learn.microsoft.com/azure/role-based-access-control/troubleshoot-limits>. Clouds with a lower limit
/// refuse earlier, which is then what tells.
pub(in crate::plan) const CEILING: u32 = 4000;

/// Where the barriers of an action are read.
pub(in crate::plan) fn place(action: &Action, account: &StorageAccountId) -> ArmId {
    match action {
        Action::GrantRole(grant) => grant.scope.clone(),
        Action::SetAuthMode { workspace, .. }
        | Action::ResyncWorkspaceKeys { workspace }
        | Action::SetDatastoreCredential { workspace, .. }
        | Action::CreateDatastore { workspace, .. } => workspace.arm().clone(),
        // There is nothing to ask at what does not exist: its resource group is where it is going to be.
        Action::CreateWorkspace { workspace, .. } => workspace.group(),
        Action::SetSharedKeyAccess { .. } | Action::RevokeRole { .. } => account.arm().clone(),
    }
}

/// What takes the action back, if keyless itself would do that.
pub(in crate::plan) fn undo(action: &Action) -> Option<Action> {
    match action {
        Action::SetSharedKeyAccess { account, allowed: false } => {
            Some(Action::SetSharedKeyAccess { account: account.clone(), allowed: true })
        }
        Action::SetAuthMode { workspace, mode: AuthMode::Identity } => {
            Some(Action::SetAuthMode { workspace: workspace.clone(), mode: AuthMode::AccessKey })
        }
        _ => None,
    }
}

/// The reads of all gates of this file for an action, but for the ceiling.
pub(in crate::plan) fn reads(action: &Action, account: &StorageAccountId) -> BarrierReads {
    let place = BTreeSet::from([place(action, account)]);
    let locks = if of_workspace(action).is_some() { place.clone() } else { BTreeSet::new() };
    let policies = if is_policed(action) { place.clone() } else { BTreeSet::new() };
    let denies = beyond(action, account).into_iter().collect();
    BarrierReads { locks, denies, policies, rights: place, ..BarrierReads::default() }
}

/// The place of an action whose denials the account's list does not show.
fn beyond(action: &Action, account: &StorageAccountId) -> Option<ArmId> {
    Some(place(action, account)).filter(|place| !place.covers(account.arm()))
}

/// The workspace that the action changes, whose locks the account's list does not show.
pub(in crate::plan) fn of_workspace(action: &Action) -> Option<&WorkspaceId> {
    match action {
        Action::SetAuthMode { workspace, .. }
        | Action::ResyncWorkspaceKeys { workspace }
        | Action::SetDatastoreCredential { workspace, .. }
        | Action::CreateDatastore { workspace, .. } => Some(workspace),
        Action::GrantRole(_)
        | Action::CreateWorkspace { .. }
        | Action::RevokeRole { .. }
        | Action::SetSharedKeyAccess { .. } => None,
    }
}

/// Whether policies look at the action: what is asked of a resource by POST, they do not.
fn is_policed(action: &Action) -> bool {
    !matches!(action, Action::ResyncWorkspaceKeys { .. })
}

/// Whether a failure to read is for want of a right that an installation may do without.
pub(in crate::plan) fn is_optional(cause: &Cause) -> bool {
    cause.class == Some("refused")
}

/// A value that bars while it is not known, unless the right to read it is missing.
fn known<'a, T>(reading: Option<&'a Reading<T>>, what: &str, wants: BarrierReads) -> Result<&'a T, Box<Judged>> {
    match reading {
        None | Some(Reading::NotRead) => {
            Err(Box::new(lacks(ReadSet { barriers: Box::new(wants), ..ReadSet::default() })))
        }
        Some(Reading::Unknown { cause, .. }) if is_optional(cause) => Err(Box::new(told(GateState::Open))),
        Some(Reading::Unknown { why, cause }) => Err(Box::new(told(GateState::unknown(what, why, cause)))),
        Some(Reading::Known { value, .. }) => Ok(value),
    }
}

const WORKSPACE_WRITE: &str = "Microsoft.MachineLearningServices/workspaces/write";
const HUB_WRITE: &str = "Microsoft.MachineLearningServices/workspaces/hubs/write";
const FEATURE_STORE_WRITE: &str = "Microsoft.MachineLearningServices/workspaces/featurestores/write";

/// The control-plane actions that a change needs, all of them, and the role that has them.
///
/// Source: <https://learn.microsoft.com/azure/role-based-access-control/resource-provider-operations>; hubs and feature
/// stores have rights of their own besides. A kind that is not known may be that of a hub.
fn needed(action: &Action, observed: &Observed) -> (&'static [&'static str], &'static str) {
    const BY_CONVERGE: &str = "the converge role, or Contributor";
    match action {
        Action::GrantRole(_) => (
            &["Microsoft.Authorization/roleAssignments/write"],
            "the converge role, or Role Based Access Control Administrator",
        ),
        Action::RevokeRole { .. } => (
            &["Microsoft.Authorization/roleAssignments/delete"],
            "the converge role, or Role Based Access Control Administrator",
        ),
        Action::SetAuthMode { workspace, .. } => {
            let seen = observed.workspaces.get(workspace).and_then(|entry| entry.workspace.value()?.as_ref());
            match seen.map(|workspace| &workspace.kind) {
                Some(WorkspaceKind::Default | WorkspaceKind::Project) => (&[WORKSPACE_WRITE], BY_CONVERGE),
                Some(WorkspaceKind::FeatureStore) => {
                    (&[WORKSPACE_WRITE, FEATURE_STORE_WRITE], "the converge role with this right added, or Contributor")
                }
                Some(WorkspaceKind::Hub | WorkspaceKind::Other(_)) | None => {
                    (&[WORKSPACE_WRITE, HUB_WRITE], BY_CONVERGE)
                }
            }
        }
        Action::CreateWorkspace { create, .. } => match create.kind {
            CreateKind::Hub(_) => (&[WORKSPACE_WRITE, HUB_WRITE], BY_CONVERGE),
            CreateKind::Default(_) | CreateKind::Project(_) => (&[WORKSPACE_WRITE], BY_CONVERGE),
        },
        Action::SetDatastoreCredential { .. } | Action::CreateDatastore { .. } => (
            &["Microsoft.MachineLearningServices/workspaces/datastores/write"],
            "the converge role, or AzureML Data Scientist",
        ),
        Action::ResyncWorkspaceKeys { .. } => {
            (&["Microsoft.MachineLearningServices/workspaces/resyncKeys/action"], "the converge role")
        }
        Action::SetSharedKeyAccess { .. } => {
            (&["Microsoft.Storage/storageAccounts/write"], "the converge role, or Storage Account Contributor")
        }
    }
}

/// [`crate::gate::Gate::Permitted`]. A right with a condition counts as held: whether the condition lets this write through
/// only Azure tells.
pub(in crate::plan) fn permitted(action: &Action, observed: &Observed) -> Judged {
    let place = place(action, &observed.account_id);
    let wants = BarrierReads { rights: BTreeSet::from([place.clone()]), ..BarrierReads::default() };
    match denials(action, observed) {
        Err(judged) => {
            let (state, mut reads) = *judged;
            // Both in one round.
            if state == GateState::NotLooked && !observed.barriers.rights.contains_key(&place) {
                reads.barriers.add(wants);
            }
            return (state, reads);
        }
        Ok(denials) => {
            let sure: Vec<&DenyAssignment> = denials.iter().filter(|(_, sure)| *sure).map(|(deny, _)| *deny).collect();
            if !sure.is_empty() {
                let everyone = sure.iter().all(|deny| deny.principals.contains(&DeniedPrincipal::Everyone));
                let whom = if everyone { "everyone" } else { "the controller" };
                let names: Vec<String> = sure.iter().map(|deny| format!("`{}` at {}", deny.name, deny.scope)).collect();
                let why = format!("denied to {whom} by the deny assignment {}", listed(&names));
                return told(GateState::unmet(
                    why,
                    "the deny assignment's end, or the controller among those it spares",
                ));
            }
        }
    }
    let rights = match known(observed.barriers.rights.get(&place), "the controller's own rights", wants) {
        Ok(rights) => rights,
        Err(judged) => return *judged,
    };
    let (actions, role) = needed(action, observed);
    let held =
        |action: &str| rights.iter().any(|OwnRight { permission, conditional: _ }| allows_control(permission, action));
    let lacking: Vec<String> =
        actions.iter().filter(|action| !held(action)).map(|action| format!("`{action}`")).collect();
    if lacking.is_empty() {
        return told(GateState::Open);
    }
    told(GateState::unmet(
        format!("the controller lacks {} at {place}", listed(&lacking)),
        format!("{role}, granted to the controller at {place} or above"),
    ))
}

/// The deny assignments that bear on a write of ours, by any action that it needs; true where they are sure to: they name
/// everyone or the controller, and spare nobody. What groups the controller is in, and whether one of them is denied or
/// spared, is not known here.
pub(in crate::plan) fn denials<'a>(
    action: &Action,
    observed: &'a Observed,
) -> Result<Vec<(&'a DenyAssignment, bool)>, Box<Judged>> {
    let mut wants = ReadSet::default();
    let mut denies: Vec<&DenyAssignment> = Vec::new();
    match &observed.denies {
        Reading::NotRead => wants.denies = true,
        Reading::Unknown { why, cause } => {
            return Err(Box::new(told(GateState::unknown("deny assignments", why, cause))));
        }
        Reading::Known { value, .. } => denies.extend(value),
    }
    if let Some(place) = beyond(action, &observed.account_id) {
        match observed.barriers.denies.get(&place) {
            None | Some(Reading::NotRead) => drop(wants.barriers.denies.insert(place)),
            Some(Reading::Unknown { why, cause }) => {
                let what = format!("deny assignments at {place}");
                return Err(Box::new(told(GateState::unknown(&what, why, cause))));
            }
            // One that both inherit stands in both lists.
            Some(Reading::Known { value, .. }) => {
                let more: Vec<&DenyAssignment> = value.iter().filter(|deny| !denies.contains(deny)).collect();
                denies.extend(more);
            }
        }
    }
    if !wants.is_empty() {
        return Err(Box::new(lacks(wants)));
    }
    let place = place(action, &observed.account_id);
    let (actions, _) = needed(action, observed);
    let own = observed.barriers.own;
    let bears = |deny: &&DenyAssignment| {
        let reaches = if deny.exact_scope_only { deny.scope == place } else { deny.scope.covers(&place) };
        let takes = |action: &&str| deny.permissions.iter().any(|block| allows_control(block, action));
        let spared = own.is_some_and(|own| deny.excluded.contains(&own));
        reaches && actions.iter().any(takes) && !spared
    };
    let names = |denied: &DeniedPrincipal| match denied {
        DeniedPrincipal::Everyone => true,
        DeniedPrincipal::One(id) | DeniedPrincipal::Group(id) => own == Some(*id),
    };
    let judged = |deny: &'a DenyAssignment| {
        let named = deny.principals.iter().any(names);
        let may = named || deny.principals.iter().any(|denied| matches!(denied, DeniedPrincipal::Group(_)));
        may.then_some((deny, named && deny.excluded.is_empty() && !deny.conditional))
    };
    Ok(denies.into_iter().filter(bears).filter_map(judged).collect())
}

/// What the policies at a scope say of an action, if they were read.
pub(in crate::plan) fn policy_words(action: &Action, observed: &Observed) -> Option<BTreeSet<PolicyWord>> {
    let policies = observed.barriers.policies.get(&place(action, &observed.account_id))?.value()?;
    Some(policies.judge(&PolicyTarget::of(action), observed.latest()))
}

fn barring(words: BTreeSet<PolicyWord>) -> Vec<String> {
    let bars = words.into_iter().filter_map(|word| match word {
        PolicyWord::Bars(why) => Some(why),
        PolicyWord::MayBar(_) | PolicyWord::Spares(_) => None,
    });
    bars.collect()
}

/// [`crate::gate::Gate::PolicyAllows`].
pub(in crate::plan) fn policy_allows(action: &Action, observed: &Observed) -> Judged {
    if !is_policed(action) {
        return told(GateState::Open);
    }
    let place = place(action, &observed.account_id);
    let wants = BarrierReads { policies: BTreeSet::from([place.clone()]), ..BarrierReads::default() };
    let policies = match known(observed.barriers.policies.get(&place), "policies", wants) {
        Ok(policies) => policies,
        Err(judged) => return *judged,
    };
    let bars = barring(policies.judge(&PolicyTarget::of(action), observed.latest()));
    if bars.is_empty() {
        return told(GateState::Open);
    }
    told(GateState::unmet(listed(&bars), format!("an exemption at {place}, or another effect of the policy")))
}

/// [`crate::gate::Gate::WayBack`]. The right to take back is the right to do, and a lock that bars the one bars the other, so
/// what is left to look at are policies.
pub(in crate::plan) fn way_back(action: &Action, observed: &Observed, desired: &KeyDesired) -> Judged {
    let Some(undo) = undo(action) else { return told(GateState::Open) };
    let accepted = desired.account.as_ref().and_then(|account| account.accept_one_way.as_ref());
    if accepted.is_some_and(|accepted| accepted.holds(observed.latest())) {
        return told(GateState::Open);
    }
    match policy_allows(&undo, observed) {
        (GateState::Unmet { why, lift }, reads) => {
            let why = format!("it could not be taken back: {why}");
            (GateState::unmet(why, format!("{lift}, or `acceptOneWay` on the StorageAccount document")), reads)
        }
        judged => judged,
    }
}

/// [`crate::gate::Gate::BelowCeiling`]: `due` grants are or may be to be made in the subscription, all of them or none.
///
/// What other accounts of the subscription have still to write counts before it, in the order of their ids: each takes its
/// place if all of its grants fit into what those before it leave, and one that does not fit leaves everything to those
/// after it. So what fits goes on, whoever planned first. A process that begins without the wait after its start has not
/// planned the others yet, and the first to be planned take their places. Two things are left to Azure's refusal: accounts
/// that another process converges, and two grants that are on their way to the last place in the same moment, for an account
/// that has just come up goes before one that is writing already.
pub(in crate::plan) fn below_ceiling(subscription: SubscriptionId, due: usize, observed: &Observed) -> Judged {
    let wants = BarrierReads { assignment_counts: BTreeSet::from([subscription]), ..BarrierReads::default() };
    let what = "the count of role assignments";
    let held = match known(observed.barriers.assignment_counts.get(&subscription), what, wants) {
        Ok(held) => *held,
        Err(judged) => return *judged,
    };
    let due = u32::try_from(due).unwrap_or(u32::MAX);
    let (mut left, mut first) = (CEILING.saturating_sub(held), 0_u32);
    for due in observed.history.due_elsewhere.range(..&observed.account_id).map(|(_, due)| *due) {
        if due <= left {
            left -= due;
            first = first.saturating_add(due);
        }
    }
    if due <= left {
        return told(GateState::Open);
    }
    // Without their count: words that change as others go on would be told anew each time.
    let behind = if first == 0 { String::new() } else { format!(", after {first} at accounts of it that go first") };
    told(GateState::unmet(
        format!(
            "subscription {subscription} has {held} of at most {CEILING} role assignments, and {due} more are due here{behind}"
        ),
        "free role assignments; grants to groups in place of single principals, or `grantScope: resourceGroup` where accounts share a group",
    ))
}

/// What policies say that no gate tells; with `all`, what bars too.
pub(in crate::plan) fn remarks(words: &BTreeSet<PolicyWord>, all: bool) -> impl Iterator<Item = String> {
    words.iter().filter_map(move |word| match word {
        PolicyWord::Bars(why) => all.then(|| why.clone()),
        PolicyWord::MayBar(why) | PolicyWord::Spares(why) => Some(why.clone()),
    })
}
