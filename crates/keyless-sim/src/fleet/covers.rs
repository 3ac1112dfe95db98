//! Chooses which declared needs are met before anything is done, and by which grants.
//!
//! Less than half of the needs are met, and all of them by old, unconditional grants: at the account, inherited from
//! its resource group or subscription, or by a stronger role.

use std::collections::{BTreeMap, BTreeSet};

use super::cast::{Cast, Need};
use super::dice::Dice;
use super::place::{Account, Estate};
use super::roles::Role;

/// A grant that exists beforehand.
pub(super) struct Cover {
    pub(super) scope: String,
    pub(super) subscription: String,
    pub(super) principal_id: String,
    pub(super) principal_type: &'static str,
    pub(super) role: Role,
    pub(super) age_days: usize,
}

/// What was chosen.
pub(super) struct Covers {
    pub(super) grants: Vec<Cover>,
    /// For each workspace, in the order of [`Estate::workspaces`], whether nothing it needs is missing.
    pub(super) complete: Vec<bool>,
}

/// The share of needs, in a hundred, that is met at most.
const MET_PERCENT: usize = 45;

/// One need on one account, however many workspaces there share it.
struct Wanted {
    account: usize,
    need: Need,
    shared_by: usize,
    met: bool,
}

enum Path {
    Account,
    ResourceGroup,
    Subscription,
}

pub(super) fn choose(estate: &Estate, cast: &Cast, dice: &mut Dice) -> Covers {
    let mut ledger = Ledger::new(estate, cast);
    let mut order: Vec<usize> = (0..ledger.wanted.len()).collect();
    dice.shuffle(&mut order);
    let mut grants = Vec::new();
    for index in order {
        let Some((account, need)) = ledger.unmet(index, estate) else { continue };
        let (path, stronger) = match dice.below(100) {
            0..=49 => (Path::Account, false),
            50..=69 => (Path::ResourceGroup, false),
            70..=79 => (Path::Subscription, false),
            _ => (Path::Account, true),
        };
        let role = if stronger { need.role.stronger().unwrap_or(need.role) } else { need.role };
        let wide = ledger.meet(estate, account, &need, role, &path);
        let path = match (wide, path) {
            (true, path) => path,
            (false, Path::Account) => continue,
            (false, _) if ledger.meet(estate, account, &need, role, &Path::Account) => Path::Account,
            (false, _) => continue,
        };
        grants.push(Cover {
            scope: match path {
                Path::Account => account.id.clone(),
                Path::ResourceGroup => account.group_scope(),
                Path::Subscription => account.subscription_scope(),
            },
            subscription: account.subscription.clone(),
            principal_id: need.principal_id,
            principal_type: need.principal_type,
            role,
            age_days: Estate::some_age(dice),
        });
    }
    Covers { complete: ledger.complete(estate, cast), grants }
}

struct Ledger {
    wanted: Vec<Wanted>,
    by_principal: BTreeMap<String, Vec<usize>>,
    met: usize,
    met_shared: usize,
    limit: usize,
    limit_shared: usize,
}

impl Ledger {
    fn new(estate: &Estate, cast: &Cast) -> Self {
        let mut counted: BTreeMap<(usize, Need), usize> = BTreeMap::new();
        let mut parts = cast.parts.iter();
        for (index, account) in estate.accounts.iter().enumerate() {
            for part in parts.by_ref().take(account.workspaces.len()) {
                for need in &part.needs {
                    *counted.entry((index, need.clone())).or_default() += 1;
                }
            }
        }
        let mut ledger = Self {
            limit: counted.len() * MET_PERCENT / 100,
            limit_shared: counted.values().sum::<usize>() * MET_PERCENT / 100,
            wanted: Vec::new(),
            by_principal: BTreeMap::new(),
            met: 0,
            met_shared: 0,
        };
        let own: BTreeSet<&str> = estate.workspaces().map(|workspace| workspace.system_identity.as_str()).collect();
        for ((account, need), shared_by) in counted {
            ledger.by_principal.entry(need.principal_id.clone()).or_default().push(ledger.wanted.len());
            // What the service itself grants to a workspace's identity is there from the first day.
            let met = Role::BlobContributor.covers(need.role) && own.contains(need.principal_id.as_str());
            if met {
                ledger.met += 1;
                ledger.met_shared += shared_by;
            }
            ledger.wanted.push(Wanted { account, need, shared_by, met });
        }
        ledger
    }

    fn unmet<'a>(&self, index: usize, estate: &'a Estate) -> Option<(&'a Account, Need)> {
        let wanted = self.wanted.get(index).filter(|wanted| !wanted.met)?;
        Some((estate.accounts.get(wanted.account)?, wanted.need.clone()))
    }

    /// Marks all that such a grant meets, unless that were too much.
    fn meet(&mut self, estate: &Estate, account: &Account, need: &Need, role: Role, path: &Path) -> bool {
        let reaches = |other: &Account| match path {
            Path::Account => other.id == account.id,
            Path::ResourceGroup => other.group_scope() == account.group_scope(),
            Path::Subscription => other.subscription == account.subscription,
        };
        let newly: Vec<usize> = self
            .by_principal
            .get(&need.principal_id)
            .into_iter()
            .flatten()
            .copied()
            .filter(|&index| {
                self.wanted.get(index).is_some_and(|wanted| {
                    !wanted.met
                        && role.covers(wanted.need.role)
                        && estate.accounts.get(wanted.account).is_some_and(reaches)
                })
            })
            .collect();
        let shared: usize = newly.iter().filter_map(|&index| self.wanted.get(index)).map(|w| w.shared_by).sum();
        if self.met + newly.len() > self.limit || self.met_shared + shared > self.limit_shared {
            return false;
        }
        self.met += newly.len();
        self.met_shared += shared;
        for index in newly {
            if let Some(wanted) = self.wanted.get_mut(index) {
                wanted.met = true;
            }
        }
        true
    }

    fn complete(&self, estate: &Estate, cast: &Cast) -> Vec<bool> {
        let unmet: Vec<(usize, &Need)> =
            self.wanted.iter().filter(|wanted| !wanted.met).map(|wanted| (wanted.account, &wanted.need)).collect();
        let accounts = estate
            .accounts
            .iter()
            .enumerate()
            .flat_map(|(index, account)| account.workspaces.iter().map(move |_| index));
        accounts
            .zip(&cast.parts)
            .map(|(account, part)| !part.needs.iter().any(|need| unmet.binary_search(&(account, need)).is_ok()))
            .collect()
    }
}
