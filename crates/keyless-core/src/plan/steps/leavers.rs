//! Whose grants no document asks for any more, and what is left to people without them.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use crate::action::is_own_name;
use crate::desired::OutOfSight;
use crate::id::{ManagedIdentityId, PrincipalId, RoleId, WorkspaceId};
use crate::observed::{Identity, Observed, Reading, RoleAssignment};
use crate::plan::needs::{self, NeedView, Resolved};

use super::Planner;

/// Own grants that no document of the account asks for.
pub(super) struct Leaving<'a> {
    /// To be taken back.
    pub(super) grants: Vec<&'a RoleAssignment>,
    /// Only named: the files do not let them be taken back, or more than the files rests on them.
    pub(super) named: Vec<&'a RoleAssignment>,
    /// Why it is not known whether somebody still asks for them; then nothing is done about them.
    pub(super) doubts: BTreeSet<String>,
    /// What was observed, as if those to be taken back were gone.
    pub(super) rest: Cow<'a, Observed>,
}

impl<'a> Planner<'a> {
    /// Grants at the account are taken back where the files say so. At its resource group they are only named, because what
    /// rests on them on other accounts is not seen from here, and so are those by which a workspace works itself.
    pub(super) fn leaving(&mut self, views: &BTreeMap<&WorkspaceId, Vec<NeedView<'_>>>) -> Leaving<'a> {
        let (observed, desired) = (self.observed, self.desired);
        let mut asked: BTreeSet<(PrincipalId, RoleId, Option<&str>)> = BTreeSet::new();
        let mut doubts: BTreeSet<String> =
            desired.unplaced.keys().map(|id| format!("{} may stand on it", id.name())).collect();
        doubts.extend(desired.out_of_sight.iter().map(|(id, why)| match why {
            OutOfSight::Missing => format!("{} has a document and does not exist, and may be recovered", id.name()),
            OutOfSight::Excluded => format!("{} stands on it, or may, and `scope.exclude` leaves it out", id.name()),
        }));
        match &desired.out_of_scope {
            Reading::Known { value, .. } => doubts.extend(value.iter().map(|subscription| {
                format!("workspaces of subscription {subscription} are not seen: `scope` leaves it out") //
            })),
            Reading::Unknown { why, .. } => {
                doubts.insert(format!("which subscriptions `scope` leaves out is not known: {why}"));
            }
            // Nobody reads it where nothing is taken back.
            Reading::NotRead if !desired.fleet.prune => {}
            Reading::NotRead => {
                doubts.insert("which subscriptions `scope` leaves out was not read".to_owned());
            }
        }
        // A workspace whose document was removed keeps what it has.
        let undeclared = observed.workspaces.keys().filter(|id| !desired.workspaces.contains_key(id));
        doubts.extend(undeclared.map(|id| format!("{} is not declared", id.name())));
        let absent = desired.workspaces.keys().filter(|id| !views.contains_key(id));
        doubts.extend(absent.map(|id| format!("{} is not there, or was not read", id.name())));
        for (id, view) in views.iter().flat_map(|(id, views)| views.iter().map(move |view| (id, view))) {
            match &view.holders {
                Resolved::Known(holders) => {
                    let condition = view.need.condition.as_deref();
                    asked.extend(holders.iter().map(|(who, _)| (*who, view.role.id, condition)));
                }
                Resolved::Missing(_) | Resolved::Unknown(..) | Resolved::NotRead(_) => {
                    doubts.insert(format!("who {} of {} is, is not known", view.need.principal, id.name()));
                }
            }
        }
        let (account, group) = (desired.account_id.arm(), desired.account_id.group());
        let own: Vec<&RoleAssignment> = observed
            .assignments
            .value()
            .into_iter()
            .flatten()
            .filter(|_| !desired.workspaces.is_empty())
            .filter(|grant| !asked.contains(&(grant.principal, grant.role, grant.condition.as_deref())))
            .filter(|grant| is_own_name(&desired.fleet.owner, grant))
            .filter(|grant| grant.scope == *account || (grant.scope == group && !desired.group_is_shared))
            .collect();
        let workers = if own.is_empty() { BTreeSet::new() } else { self.workers(&mut doubts) };
        let (grants, named): (Vec<_>, Vec<_>) = own.into_iter().partition(|grant| {
            desired.fleet.prune && grant.scope == *account && !workers.contains(&grant.principal) //
        });
        let mut rest = Cow::Borrowed(observed);
        if doubts.is_empty() && !grants.is_empty() {
            let gone: BTreeSet<_> = grants.iter().map(|grant| &grant.id).collect();
            if let Reading::Known { value, .. } = &mut rest.to_mut().assignments {
                value.retain(|grant| !gone.contains(&grant.id));
            }
        }
        Leaving { grants, named, doubts, rest }
    }

    /// The identities that workspaces of the account and their endpoints work by themselves with; adds to `doubts` what is
    /// not known of them.
    fn workers(&mut self, doubts: &mut BTreeSet<String>) -> BTreeSet<PrincipalId> {
        let observed = self.observed;
        let present = observed.workspaces.values().filter_map(|entry| entry.workspace.value()?.as_ref());
        let mut acting: Vec<(&str, &Identity, Vec<&ManagedIdentityId>)> =
            present.map(|own| (own.id.name(), &own.identity, own.primary_identity.iter().collect())).collect();
        match &observed.endpoints {
            Reading::Known { value, .. } => {
                acting.extend(value.iter().map(|endpoint| {
                    let identity = &endpoint.identity;
                    (endpoint.name.as_str(), identity, identity.user_assigned.keys().collect())
                }));
                self.doubt_endpoints(doubts);
            }
            Reading::Unknown { why, .. } => {
                doubts.insert(format!("which identities endpoints work by is not known: {why}"));
            }
            Reading::NotRead => {
                self.wants.endpoints = true;
                doubts.insert("which identities endpoints work by was not read".to_owned());
            }
        }
        let mut workers = BTreeSet::new();
        for (name, identity, assigned) in acting {
            workers.extend(identity.system);
            for id in assigned {
                match needs::resolve_assigned(id, identity, observed) {
                    Resolved::Known(holders) => workers.extend(holders.into_iter().map(|(who, _)| who)),
                    Resolved::Missing(_) => {}
                    Resolved::Unknown(why, _) => {
                        doubts.insert(format!("who acts for {name} is not known: {why}"));
                    }
                    Resolved::NotRead(reads) => {
                        self.wants.add(*reads);
                        doubts.insert(format!("who acts for {name} was not read"));
                    }
                }
            }
        }
        workers
    }

    /// Adds to `doubts` the workspaces of which the list of endpoints may be without some.
    fn doubt_endpoints(&mut self, doubts: &mut BTreeSet<String>) {
        for id in self.desired.workspaces.keys() {
            match self.shows_endpoints(id) {
                Some(true) => {}
                Some(false) => {
                    doubts.insert(format!("endpoints of {} are not shown to the controller", id.name()));
                }
                None => {
                    if matches!(self.observed.barriers.rights.get(id.arm()), None | Some(Reading::NotRead)) {
                        self.wants.barriers.rights.insert(id.arm().clone());
                    }
                    doubts.insert(format!("whether all endpoints of {} are shown is not known", id.name()));
                }
            }
        }
    }
}
