//! Access that somebody entitled has no more in a workspace on identity, and that no step brings back: what deny assignments
//! take, and the role that the customer's own identity lost. It is told, and holds nothing.
//!
//! A grant that is missing and that the documents ask for is drift, which `grants` mends.

use std::collections::{BTreeMap, BTreeSet};

use crate::access::{self, Cover, Denial};
use crate::catalog;
use crate::desired::DesiredWorkspace;
use crate::id::{PrincipalId, RoleId, WorkspaceId};
use crate::observed::{ObservedAuthMode, Reading, Workspace};
use crate::plan::finding::{Loss, Lost, Unseen};
use crate::plan::needs::{self, NeedView, Resolved, ServiceGrant};
use crate::plan::{Drift, Finding};

use super::Planner;

/// Whether a document gives anybody access that could be lost.
pub(in crate::plan) fn may_lose(workspace: &DesiredWorkspace) -> bool {
    !workspace.needs.is_empty() || workspace.cares_for_service_grants()
}

impl Planner<'_> {
    /// Asks for deny assignments, at most once an interval, and tells whose access is lost.
    pub(super) fn lost(&mut self, views: &BTreeMap<&WorkspaceId, Vec<NeedView<'_>>>) {
        let on_identity = |own: &Workspace| own.auth_mode == ObservedAuthMode::Identity;
        let switched: Vec<_> =
            self.present().filter(|(workspace, own)| on_identity(own) && may_lose(workspace)).collect();
        if switched.is_empty() {
            return;
        }
        match &self.observed.denies {
            Reading::NotRead => {
                self.wants.denies_lately = true;
                return;
            }
            Reading::Unknown { why, cause } => {
                let what = Unseen::Denials;
                self.findings.insert(Finding::Unseen { what, why: why.clone(), cause: cause.clone() });
            }
            Reading::Known { .. } => {}
        }
        for (workspace, own) in switched {
            let mut told = BTreeSet::new();
            let views = views.get(&workspace.id).map(Vec::as_slice).unwrap_or_default();
            self.lost_needs(&workspace.id, views, &mut told);
            if workspace.cares_for_service_grants() {
                self.lost_by_itself(&workspace.id, own, &mut told);
            }
        }
    }

    /// Whoever the documents name: what is missing or not known of them is told where grants are planned.
    fn lost_needs(&mut self, workspace: &WorkspaceId, views: &[NeedView<'_>], told: &mut Told) {
        for view in views {
            let Resolved::Known(holders) = &view.holders else { continue };
            for (principal, kind) in holders {
                let question = view.question(*principal, *kind);
                match access::effective_cover(&question, self.observed, &self.desired.fleet.waits) {
                    Cover::Denied { by } => {
                        let who = view.need.principal.to_string();
                        self.denied(workspace, who, *principal, view.role.id, *by, told);
                    }
                    Cover::NotRead(reads) => self.wants.add(*reads),
                    Cover::Covered { .. } | Cover::Missing { .. } | Cover::Unknown { .. } => {}
                }
            }
        }
    }

    /// The identity that acts for the workspace, and those of its endpoints.
    fn lost_by_itself(&mut self, workspace: &WorkspaceId, own: &Workspace, told: &mut Told) {
        let (observed, waits) = (self.observed, &self.desired.fleet.waits);
        let who = match &own.primary_identity {
            Some(primary) => format!("the primary identity `{}`", primary.name()),
            None => "the workspace's own identity".to_owned(),
        };
        let mut grants = vec![(who, needs::service_grant(own, observed, waits))];
        let endpoints = observed.endpoints.value().into_iter().flatten();
        grants.extend(endpoints.filter(|endpoint| endpoint.workspace == *workspace).filter_map(|endpoint| {
            let grant = needs::endpoint_grant(endpoint.identity.system?, own, observed, waits);
            Some((format!("endpoint {}", endpoint.name), grant))
        }));
        let role = catalog::BLOB_CONTRIBUTOR;
        for (who, grant) in grants {
            match grant {
                ServiceGrant::Denied(principal, by) => self.denied(workspace, who, principal, role, *by, told),
                ServiceGrant::NotGranted(principal, why) => {
                    // Where a document asks for it too, it is drift.
                    let drift =
                        principal.map(|principal| Drift::RoleMissing { workspace: workspace.clone(), principal, role });
                    if drift.is_none_or(|drift| !self.drift.contains(&drift)) {
                        let (workspace, how) = (workspace.clone(), Loss::NotGranted(why));
                        self.findings.insert(Finding::AccessLost(Lost { workspace, who, principal, role, how }));
                    }
                }
                ServiceGrant::NoIdentity => {
                    let (workspace, principal, how) = (workspace.clone(), None, Loss::NoIdentity);
                    self.findings.insert(Finding::AccessLost(Lost { workspace, who, principal, role, how }));
                }
                // What all of it rests on is told by itself.
                ServiceGrant::Unknown(why, cause)
                    if observed.assignments.failure().or(observed.denies.failure()).is_none() =>
                {
                    let what = Unseen::Access { workspace: workspace.clone(), who };
                    self.findings.insert(Finding::Unseen { what, why, cause });
                }
                ServiceGrant::NotRead(reads) => self.wants.add(*reads),
                // A missing grant of the service has findings of its own.
                ServiceGrant::Unknown(..) | ServiceGrant::Present { .. } | ServiceGrant::Missing(_) => {}
            }
        }
    }

    /// A grant of the service that is not to be seen is not taken for one that is there.
    pub(super) fn note_unread_grant(&mut self, own: &Workspace, principal: PrincipalId, who: String) {
        let unread = needs::service_grant_unread(principal, own, self.observed, &self.desired.fleet.waits);
        self.findings.extend(unread.map(|(why, cause)| {
            let what = Unseen::Access { workspace: own.id.clone(), who };
            Finding::Unseen { what, why, cause }
        }));
    }

    fn denied(
        &mut self,
        workspace: &WorkspaceId,
        who: String,
        principal: PrincipalId,
        role: RoleId,
        by: Denial,
        told: &mut Told,
    ) {
        if told.insert((principal, role)) {
            let how = Loss::Denied { by: by.name, scope: by.scope, certain: by.certain };
            let (workspace, principal) = (workspace.clone(), Some(principal));
            self.findings.insert(Finding::AccessLost(Lost { workspace, who, principal, role, how }));
        }
    }
}

/// Whose loss of which role is told already: the same principal may stand in a workspace under several names.
type Told = BTreeSet<(PrincipalId, RoleId)>;
