//! What bars or may bar writes of ours beside the resources themselves: locks, policies, rights, the ceiling of grants.
//!
//! Each is kept for the scope it was read at. Locks and denials of the account have places of their own in
//! [`super::Observed`]; those of workspaces, which the account's lists do not show, are here.

use std::collections::{BTreeMap, BTreeSet};

use uuid::Uuid;

use crate::id::{ArmId, PrincipalId, SubscriptionId};
use crate::policy::Policies;

use super::{DenyAssignment, Lock, Permission, Reading};

/// The barriers that were read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Barriers {
    /// Locks that apply at a workspace, inherited ones included.
    pub locks: BTreeMap<ArmId, Reading<Vec<Lock>>>,
    /// Deny assignments that apply at a workspace, or where one is to be made, inherited ones included.
    pub denies: BTreeMap<ArmId, Reading<Vec<DenyAssignment>>>,
    /// Who the controller itself is, where its token tells. It comes with its rights.
    pub own: Option<PrincipalId>,
    /// Policies that apply at a scope.
    pub policies: BTreeMap<ArmId, Reading<Policies>>,
    /// What the controller itself may do at a scope.
    pub rights: BTreeMap<ArmId, Reading<Vec<OwnRight>>>,
    /// How many role assignments lie in a subscription, at it and below.
    pub assignment_counts: BTreeMap<SubscriptionId, Reading<u32>>,
    /// Which tenant a subscription trusts.
    pub tenants: BTreeMap<SubscriptionId, Reading<Uuid>>,
}

/// One block of the controller's own permissions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OwnRight {
    /// The block.
    pub permission: Permission,
    /// Whether a condition narrows it: then what it lets through shows only when it is tried.
    pub conditional: bool,
}

/// Which barriers to read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BarrierReads {
    /// The locks at these workspaces.
    pub locks: BTreeSet<ArmId>,
    /// The deny assignments at these places.
    pub denies: BTreeSet<ArmId>,
    /// The policies at these scopes.
    pub policies: BTreeSet<ArmId>,
    /// The own rights at these scopes.
    pub rights: BTreeSet<ArmId>,
    /// The count of role assignments in these subscriptions.
    pub assignment_counts: BTreeSet<SubscriptionId>,
    /// The tenants of these subscriptions.
    pub tenants: BTreeSet<SubscriptionId>,
}

impl BarrierReads {
    /// Adds what `other` asks for.
    pub fn add(&mut self, other: Self) {
        let Self { locks, denies, policies, rights, assignment_counts, tenants } = other;
        self.locks.extend(locks);
        self.denies.extend(denies);
        self.policies.extend(policies);
        self.rights.extend(rights);
        self.assignment_counts.extend(assignment_counts);
        self.tenants.extend(tenants);
    }
}

impl Barriers {
    /// Takes in what another read brought.
    pub(super) fn absorb(&mut self, part: Self) {
        let Self { locks, denies, own, policies, rights, assignment_counts, tenants } = part;
        take_in(&mut self.locks, locks);
        take_in(&mut self.denies, denies);
        self.own = own.or(self.own);
        take_in(&mut self.policies, policies);
        take_in(&mut self.rights, rights);
        take_in(&mut self.assignment_counts, assignment_counts);
        take_in(&mut self.tenants, tenants);
    }

    /// Forgets what `reads` names.
    pub(super) fn forget(&mut self, reads: &BarrierReads) {
        let BarrierReads { locks, denies, policies, rights, assignment_counts, tenants } = reads;
        self.locks.retain(|scope, _| !locks.contains(scope));
        self.denies.retain(|scope, _| !denies.contains(scope));
        self.policies.retain(|scope, _| !policies.contains(scope));
        self.rights.retain(|scope, _| !rights.contains(scope));
        self.assignment_counts.retain(|id, _| !assignment_counts.contains(id));
        self.tenants.retain(|id, _| !tenants.contains(id));
    }
}

fn take_in<K: Ord, V>(known: &mut BTreeMap<K, Reading<V>>, newer: BTreeMap<K, Reading<V>>) {
    for (key, reading) in newer {
        known.entry(key).or_insert(Reading::NotRead).absorb(reading);
    }
}
