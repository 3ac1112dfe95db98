//! Gates of a grant that is taken back: nobody whom the files name may lose access by it, themselves or as a member of a group.

use std::collections::{BTreeMap, BTreeSet};

use crate::desired::KeyDesired;
use crate::gate::{GateState, ReadSet};
use crate::id::{PrincipalId, WorkspaceId};
use crate::observed::{Datastore, DatastoreCredentials, Observed, PrincipalType, Reading, RoleAssignment};
use crate::plan::needs::{NeedView, Resolved};

use super::{Judged, lacks, listed, needs_covered, told};

/// What has to work when this grant is gone: every need, and those of groups that its holder is in as the holder's own.
pub(in crate::plan) fn remaining<'a>(
    views: &BTreeMap<&WorkspaceId, Vec<NeedView<'a>>>,
    leaver: &RoleAssignment,
    rest: &Observed,
) -> Vec<NeedView<'a>> {
    let all: Vec<&NeedView<'a>> = views.values().flatten().collect();
    let mut remaining: Vec<NeedView<'a>> = all.iter().map(|view| (*view).clone()).collect();
    if leaver.principal_type.is_some_and(PrincipalType::is_group) {
        return remaining;
    }
    let holder = leaver.principal;
    let of_holder = |view: &NeedView<'a>, holders| NeedView { need: view.need, role: view.role, holders };
    let kind = leaver.principal_type.unwrap_or(PrincipalType::ServicePrincipal);
    for view in all {
        let named = groups_of(view);
        if named.is_empty() {
            continue;
        }
        let as_member = match rest.groups.get(&holder) {
            None | Some(Reading::NotRead) => {
                let groups = BTreeSet::from([holder]);
                Some(Resolved::NotRead(Box::new(ReadSet { groups, ..ReadSet::default() })))
            }
            Some(Reading::Unknown { why, cause }) => {
                Some(Resolved::Unknown(format!("the groups of {holder}: {why}"), cause.clone()))
            }
            Some(Reading::Known { value, .. }) => {
                (!value.is_disjoint(&named)).then(|| Resolved::Known(vec![(holder, kind)]))
            }
        };
        remaining.extend(as_member.map(|holders| of_holder(view, holders)));
    }
    remaining
}

/// The groups that a need names.
fn groups_of(view: &NeedView<'_>) -> BTreeSet<PrincipalId> {
    let Resolved::Known(holders) = &view.holders else { return BTreeSet::new() };
    holders.iter().filter(|(_, kind)| *kind == PrincipalType::Group).map(|(group, _)| *group).collect()
}

/// [`crate::gate::Gate::NeedsCovered`], without the grants that are taken back.
pub(in crate::plan) fn covered(remaining: &[NeedView<'_>], rest: &Observed, desired: &KeyDesired) -> Judged {
    let (state, wants) = needs_covered(remaining, rest, desired);
    if state.is_open() { nobody_elsewhere(rest) } else { (state, wants) }
}

/// Whether nobody reads a datastore here through a workspace on another account, whose document is not seen from this one.
fn nobody_elsewhere(observed: &Observed) -> Judged {
    let found = match &observed.elsewhere {
        Reading::NotRead => return lacks(ReadSet { elsewhere: true, ..ReadSet::default() }),
        Reading::Unknown { why, cause } => {
            return told(GateState::unknown("datastores of workspaces on other accounts", why, cause));
        }
        Reading::Known { value, .. } => value,
    };
    let by_identity = |store: &&Datastore| store.credentials == DatastoreCredentials::None;
    let named = found.iter().flat_map(|(id, all)| {
        all.iter().filter(by_identity).map(move |store| format!("{}/{}", id.name(), store.name)) //
    });
    let named: Vec<String> = named.collect();
    if named.is_empty() {
        return told(GateState::Open);
    }
    let why =
        format!("{}, on another account, is read here by identity, and by whom is not seen from here", listed(&named));
    told(GateState::unmet(why, "an end to that datastore, or the grant taken away by a person who knows"))
}
