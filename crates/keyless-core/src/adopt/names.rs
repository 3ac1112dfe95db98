//! What documents and files are called: after the resource, and only where that is not enough, after where it lies.

use std::collections::{BTreeMap, BTreeSet};

use crate::id::WorkspaceId;
use crate::manifest::write::is_name;

use super::Estate;

/// The longest base name, so that what makes it unique has room.
const LONGEST: usize = 100;

/// A name for each adopted workspace, unique without case, because files may lie where case does not count.
pub(super) fn of(estate: &Estate) -> BTreeMap<WorkspaceId, String> {
    let ids: BTreeSet<&WorkspaceId> =
        estate.accounts.values().flat_map(|observed| observed.workspaces.keys()).collect();
    unique(&ids.into_iter().filter(|id| estate.adopted.contains(id)).collect::<Vec<_>>())
}

fn unique(ids: &[&WorkspaceId]) -> BTreeMap<WorkspaceId, String> {
    let short = |id: &WorkspaceId| clean(id.name());
    let longer = |id: &WorkspaceId| clean(&format!("{}.{}", id.resource_group(), id.name()));
    let count = |of: &dyn Fn(&WorkspaceId) -> String| {
        let mut counts: BTreeMap<String, usize> = BTreeMap::new();
        for id in ids {
            *counts.entry(of(id).to_ascii_lowercase()).or_default() += 1;
        }
        counts
    };
    let (short_counts, long_counts) = (count(&short), count(&longer));
    let once = |counts: &BTreeMap<String, usize>, name: &str| counts.get(&name.to_ascii_lowercase()) == Some(&1);
    let mut names = BTreeMap::new();
    let mut taken = BTreeSet::new();
    for &id in ids {
        let name = if once(&short_counts, &short(id)) {
            short(id)
        } else if once(&long_counts, &longer(id)) {
            longer(id)
        } else {
            clean(&format!("{}.{}", id.subscription(), longer(id)))
        };
        names.insert(id.clone(), free(name, &mut taken));
    }
    names
}

/// The name, or with a number behind it if it is taken.
pub(crate) fn free(name: String, taken: &mut BTreeSet<String>) -> String {
    let mut number = 2;
    let mut free = name.clone();
    while !taken.insert(free.to_ascii_lowercase()) {
        free = format!("{name}-{number}");
        number += 1;
    }
    free
}

/// The text as a name of a document: what may not stand in one becomes `-`.
pub(crate) fn clean(text: &str) -> String {
    let valid = |c: char| if c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.') { c } else { '-' };
    let name: String = text.chars().map(valid).take(LONGEST).collect();
    if is_name(&name) { name } else { format!("x{name}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(subscription: u8, group: &str, name: &str) -> WorkspaceId {
        WorkspaceId::parse(&format!(
            "/subscriptions/3f8c1d7a-52b4-4c0e-9d2e-7a1b6c5d4e{subscription:02}/resourceGroups/{group}/providers/Microsoft.MachineLearningServices/workspaces/{name}"
        ))
        .unwrap()
    }

    #[test]
    fn a_name_is_as_long_as_it_must_be_and_never_given_twice() {
        let ids = [
            id(10, "rg-a", "lab"),
            id(10, "rg-b", "Lab"),
            id(10, "rg-a", "train"),
            id(10, "rg-c", "twin"),
            id(20, "rg-c", "twin"),
            id(10, "rg(old)", "lab"),
        ];
        let names = unique(&ids.iter().collect::<Vec<_>>());
        let of = |index: usize| names[&ids[index]].as_str();
        assert_eq!([of(0), of(1), of(2), of(5)], ["rg-a.lab", "rg-b.Lab", "train", "rg-old-.lab"]);
        assert_eq!(clean("(x)"), "x-x-");
        assert_eq!(of(3), "3f8c1d7a-52b4-4c0e-9d2e-7a1b6c5d4e10.rg-c.twin");
        let folded: BTreeSet<String> = names.values().map(|name| name.to_ascii_lowercase()).collect();
        assert_eq!(folded.len(), ids.len());
        assert!(names.values().all(|name| is_name(name)));
    }
}
