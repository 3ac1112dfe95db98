//! What recurs on many workspaces, taken out of their files: one profile for each set of workspaces that have it in common.
//!
//! Entries are grouped by the exact set of workspaces that have them, so an entry is in one profile or in none, and a
//! group that is granted on a subscription does not stand in a hundred files. Computes and the workspace's own identity
//! mean something else in every file and stay where they are.

use std::collections::{BTreeMap, BTreeSet};

use crate::desired::PrincipalRef;
use crate::id::{StorageAccountId, WorkspaceId};
use crate::manifest::write::Entry;

use super::names;

/// How many lines a profile must save a reader, for it is one more name to look up.
const WORTH: usize = 6;

/// Whether a profile saves enough lines: an entry has two, a profile four more, a reference to it one.
fn is_worth_it(workspaces: usize, entries: usize) -> bool {
    let (apart, shared) = (2 * entries * workspaces, 2 * entries + 4 + workspaces);
    apart >= shared + WORTH
}

/// The profiles.
#[derive(Debug, Default)]
pub(super) struct Shared {
    /// By name.
    pub(super) profiles: BTreeMap<String, Profile>,
    /// The names of the profiles of each workspace.
    names: BTreeMap<WorkspaceId, Vec<String>>,
}

/// One profile.
#[derive(Debug)]
pub(super) struct Profile {
    /// What it holds.
    pub(super) access: Vec<Entry>,
    /// On how many.
    pub(super) workspaces: usize,
}

impl Shared {
    /// The profiles of a workspace, by name.
    pub(super) fn of(&self, id: &WorkspaceId) -> impl Iterator<Item = (&str, &Profile)> {
        self.names.get(id).into_iter().flatten().filter_map(|name| Some((name.as_str(), self.profiles.get(name)?)))
    }

    /// Whether a profile of this workspace says it already.
    pub(super) fn covers(&self, id: &WorkspaceId, entry: &Entry) -> bool {
        self.of(id).any(|(_, profile)| profile.access.contains(entry))
    }
}

/// Finds what recurs.
pub(super) fn of<'a>(
    drafts: impl Iterator<Item = (&'a WorkspaceId, &'a StorageAccountId, &'a Vec<Entry>)>,
    names: &BTreeMap<WorkspaceId, String>,
) -> Shared {
    let mut having: BTreeMap<&Entry, BTreeSet<WorkspaceId>> = BTreeMap::new();
    let mut accounts: BTreeMap<&WorkspaceId, &StorageAccountId> = BTreeMap::new();
    for (id, account, access) in drafts {
        accounts.insert(id, account);
        for entry in access.iter().filter(|entry| means_the_same_everywhere(&entry.principal)) {
            having.entry(entry).or_default().insert(id.clone());
        }
    }
    let mut groups: BTreeMap<BTreeSet<WorkspaceId>, Vec<Entry>> = BTreeMap::new();
    for (entry, of) in having {
        groups.entry(of).or_default().push(entry.clone());
    }
    groups.retain(|of, access| is_worth_it(of.len(), access.len()));

    let mut shared = Shared::default();
    let mut taken = BTreeSet::new();
    for (of, access) in groups {
        let name = names::free(title(&of, &accounts, names), &mut taken);
        for id in &of {
            shared.names.entry(id.clone()).or_default().push(name.clone());
        }
        shared.profiles.insert(name, Profile { access, workspaces: of.len() });
    }
    for names in shared.names.values_mut() {
        names.sort();
    }
    shared
}

fn means_the_same_everywhere(principal: &PrincipalRef) -> bool {
    matches!(principal, PrincipalRef::Object { .. } | PrincipalRef::ManagedIdentity(_))
}

/// After what the workspaces have in common: everything, an account, a subscription, a resource group, or its first one.
fn title(
    of: &BTreeSet<WorkspaceId>,
    accounts: &BTreeMap<&WorkspaceId, &StorageAccountId>,
    names: &BTreeMap<WorkspaceId, String>,
) -> String {
    let is_all = |wanted: &dyn Fn(&WorkspaceId) -> bool| accounts.keys().filter(|id| wanted(id)).count() == of.len();
    let Some(first) = of.first() else { return "nobody".to_owned() };
    if is_all(&|_| true) {
        return "everywhere".to_owned();
    }
    let account = accounts.get(first).copied();
    if of.iter().all(|id| accounts.get(id).copied() == account)
        && let Some(account) = account
        && is_all(&|id| accounts.get(id).copied() == Some(account))
    {
        return names::clean(account.name());
    }
    let subscription = first.subscription();
    if of.iter().all(|id| id.subscription() == subscription) && is_all(&|id| id.subscription() == subscription) {
        return format!("subscription-{subscription}");
    }
    let same_group = |id: &WorkspaceId| {
        id.subscription() == subscription && id.resource_group().eq_ignore_ascii_case(first.resource_group())
    };
    if of.iter().all(same_group) && is_all(&same_group) {
        return names::clean(first.resource_group());
    }
    let name = names.get(first).map_or_else(|| first.name(), String::as_str);
    names::clean(&format!("{name}-and-{}-more", of.len() - 1))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::write::Asks;

    fn workspace(name: &str) -> WorkspaceId {
        let group = "/subscriptions/3f8c1d7a-52b4-4c0e-9d2e-7a1b6c5d4e90/resourceGroups/rg/providers";
        WorkspaceId::parse(&format!("{group}/Microsoft.MachineLearningServices/workspaces/ws-{name}")).unwrap()
    }

    fn account(name: &str) -> StorageAccountId {
        let group = "/subscriptions/3f8c1d7a-52b4-4c0e-9d2e-7a1b6c5d4e90/resourceGroups/rg/providers";
        StorageAccountId::parse(&format!("{group}/Microsoft.Storage/storageAccounts/{name}")).unwrap()
    }

    fn entry(number: u128, level: &'static str) -> Entry {
        let kind = crate::observed::PrincipalType::Group;
        let id = crate::id::PrincipalId(uuid::Uuid::from_u128(number));
        Entry {
            principal: PrincipalRef::Object { kind, id, name: None },
            asks: Asks { level: Some(level), ..Asks::default() },
        }
    }

    #[test]
    fn a_profile_saves_lines() {
        let worth = |(workspaces, entries)| is_worth_it(workspaces, entries);
        assert!([(12, 1), (5, 2), (4, 3), (3, 4)].into_iter().all(worth));
        assert!(![(11, 1), (4, 2), (3, 3), (2, 5), (1, 50)].into_iter().any(worth));
    }

    #[test]
    fn each_entry_is_in_the_profile_of_exactly_the_workspaces_that_have_it() {
        let (one, two) = (account("one"), account("two"));
        let compute = Entry { principal: PrincipalRef::Compute("cpu".to_owned()), ..entry(9, "readWrite") };
        let everybody = [entry(1, "readOnly"), entry(2, "readWrite"), compute];
        let of_one = [3, 4, 5, 6].map(|number| entry(number, "readWrite"));
        let access: Vec<(WorkspaceId, &StorageAccountId, Vec<Entry>)> = vec![
            (workspace("a"), &one, [&everybody[..], &of_one].concat()),
            (workspace("b"), &one, [&everybody[..], &of_one].concat()),
            (workspace("c"), &one, [&everybody[..], &of_one].concat()),
            (workspace("d"), &two, [&everybody[..], &[entry(1, "readWrite")]].concat()),
            (workspace("e"), &two, everybody.to_vec()),
        ];
        let shared = of(access.iter().map(|(id, account, access)| (id, *account, access)), &BTreeMap::new());
        let found: Vec<(&str, usize, usize)> =
            shared.profiles.iter().map(|(name, p)| (name.as_str(), p.workspaces, p.access.len())).collect();
        assert_eq!(found, [("everywhere", 5, 2), ("one", 3, 4)]);
        assert!(shared.covers(&workspace("a"), &of_one[0]) && !shared.covers(&workspace("d"), &of_one[0]));
    }
}
