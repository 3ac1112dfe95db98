//! The least that the work on a fleet can cost, from the world and the files alone: no code of the planner is used.
//!
//! One account with one workspace comes to the formula 12 + k + μ reads beside its writes: three to observe it, its grants
//! again once they are made, three that confirm and one that reads back for the switch and for the key, k polls, and μ
//! reads of the metric. Workspaces that share an account share its reads.

use std::collections::{BTreeMap, BTreeSet};

use keyless_core::desired::{AuthMode, Desired};
use keyless_core::id::WorkspaceId;

use crate::dst::truth::{STRONGER, Truth};

/// What differs between the world and files that want every key off.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Least {
    /// How many workspaces are on each account, whose id is in lower case.
    pub(crate) accounts: BTreeMap<String, u64>,
    /// The accounts on which grants are missing.
    pub(crate) lacking: BTreeSet<String>,
    /// Grants that are missing, each for a principal and a role that nothing else covers.
    pub(crate) grants: u64,
    /// Workspaces on keys.
    pub(crate) switches: u64,
    /// Datastores that store a key.
    pub(crate) datastores: u64,
    /// Accounts that accept keys.
    pub(crate) keys: BTreeSet<String>,
}

/// Floor of the work of a migration, each term in requests.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Floor {
    pub(crate) terms: Vec<(&'static str, u64)>,
}

impl Floor {
    pub(crate) fn sum(&self) -> u64 {
        self.terms.iter().map(|(_, requests)| requests).sum()
    }
}

impl Least {
    /// Compares them.
    pub(crate) fn of(truth: &Truth, desired: &Desired) -> Self {
        let mut least = Self::default();
        let mut missing: BTreeSet<(String, String, String)> = BTreeSet::new();
        for (id, declared) in desired.workspaces.iter().filter(|(_, one)| one.auth_mode == AuthMode::Identity) {
            let id = id.as_str().to_ascii_lowercase();
            let Some(workspace) = truth.workspaces.get(&id) else { continue };
            let Some(account) = &workspace.account else { continue };
            least.switches += u64::from(!workspace.on_identity);
            *least.accounts.entry(account.clone()).or_default() += 1;
            if truth.keys.get(account) == Some(&true) {
                least.keys.insert(account.clone());
            }
            for need in &declared.needs {
                let role = need.role.to_string().to_ascii_lowercase();
                for principal in truth.principals(&id, need) {
                    if truth.held_since(&principal, &role, account, need.condition.is_some()) == (None, None) {
                        missing.insert((account.clone(), principal, role.clone()));
                    }
                }
            }
        }
        let covered = |(account, principal, role): &(String, String, String)| {
            let stronger = STRONGER.iter().filter(|(_, weaker)| weaker == role);
            let mut by = stronger.map(|(stronger, _)| (account.clone(), principal.clone(), (*stronger).to_owned()));
            by.any(|one| missing.contains(&one))
        };
        let apart: Vec<_> = missing.iter().filter(|one| !covered(one)).collect();
        least.lacking = apart.iter().map(|(account, ..)| account.clone()).collect();
        least.grants = count(apart.len());
        let declares = |id: &str| WorkspaceId::parse(id).is_ok_and(|id| desired.workspaces.contains_key(&id));
        least.datastores = count(truth.stored.values().filter(|stored| declares(&stored.workspace)).count());
        least
    }

    /// How many writes there are to make.
    pub(crate) fn writes(&self) -> u64 {
        self.grants + self.switches + self.datastores + count(self.keys.len())
    }

    /// Workspaces.
    pub(crate) fn workspaces(&self) -> u64 {
        self.accounts.values().sum()
    }

    /// The reads of one look at an account: each of its workspaces, itself and its grants.
    pub(crate) fn look(&self, account: &str) -> u64 {
        self.accounts.get(account).map_or(0, |workspaces| workspaces + 2)
    }

    /// The reads of one look at everything.
    pub(crate) fn look_at_all(&self) -> u64 {
        self.accounts.keys().map(|account| self.look(account)).sum()
    }

    /// The floor of the work. `polls` is how often Azure wanted to be asked about operations.
    pub(crate) fn floor(&self, polls: u64) -> Floor {
        let keys = count(self.keys.len());
        let terms = vec![
            ("writes", self.writes()),
            ("observe", self.look_at_all()),
            ("grants again", count(self.lacking.len())),
            ("confirm switches", 3 * self.switches),
            ("polls (k)", polls),
            ("switches read back", self.switches),
            ("confirm keys off", self.keys.iter().map(|account| self.look(account)).sum()),
            ("keys read back", keys),
            ("metrics (mu)", keys),
            ("datastores: read, read back", 2 * self.datastores),
        ];
        Floor { terms }
    }
}

pub(crate) fn count(of: usize) -> u64 {
    u64::try_from(of).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_workspace_alone_on_its_account_costs_twelve_reads_beside_polls_metrics_and_writes() {
        let one = Least {
            accounts: BTreeMap::from([("a".to_owned(), 1)]),
            lacking: BTreeSet::from(["a".to_owned()]),
            grants: 10,
            switches: 1,
            datastores: 0,
            keys: BTreeSet::from(["a".to_owned()]),
        };
        assert_eq!(one.writes(), 12);
        assert_eq!(one.floor(4).sum(), 12 + 12 + 4 + 1);
    }
}
