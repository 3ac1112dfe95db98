//! What hangs on the account beside the declared workspaces: undeclared ones, endpoints, and scenarios out of place.
//!
//! None of it is a step. It is looked at on every pass, so that what comes late is told on the next one.

use std::collections::BTreeSet;

use crate::access::allows_control;
use crate::catalog::ScenarioKind;
use crate::gate::ReadSet;
use crate::id::WorkspaceId;
use crate::observed::{Cause, Reading, WorkspaceKind};
use crate::plan::finding::Unseen;
use crate::plan::gates::barriers::is_optional;
use crate::plan::needs::{self, ServiceGrant};
use crate::plan::{Finding, Look};

use super::Planner;

/// What the controller needs to see the endpoints of a workspace.
const READ: &str = "Microsoft.MachineLearningServices/workspaces/onlineEndpoints/read";

impl Planner<'_> {
    pub(super) fn neighbours(&mut self) {
        self.undeclared();
        self.endpoints();
        self.misplaced();
    }

    /// Workspaces that no document names. While the key is on they hold it, which its own gate tells; once it is off, one
    /// that comes in access-key mode is broken from birth.
    fn undeclared(&mut self) {
        let key_off = self.observed.key_is_off();
        if !key_off && self.look != Look::Everything {
            return;
        }
        let mut wanted = BTreeSet::new();
        for (id, entry) in &self.observed.workspaces {
            if self.desired.workspaces.contains_key(id) {
                continue;
            }
            match &entry.workspace {
                Reading::NotRead => {
                    wanted.insert(id.clone());
                }
                Reading::Known { value: Some(own), .. } => {
                    let broken = key_off && own.auth_mode.is_key();
                    self.findings.insert(Finding::Undeclared {
                        workspace: id.clone(),
                        kind: own.kind.clone(),
                        auth_mode: own.auth_mode.clone(),
                        broken,
                    });
                }
                Reading::Known { value: None, .. } => {}
                Reading::Unknown { why, cause } => {
                    let what = Unseen::Undeclared(id.clone());
                    self.findings.insert(Finding::Unseen { what, why: why.clone(), cause: cause.clone() });
                }
            }
        }
        self.wants.add(ReadSet { workspaces: wanted, ..ReadSet::default() });
    }

    /// The service's grants to the identities of managed online endpoints: a missing one is a warning and no gate.
    fn endpoints(&mut self) {
        let asking: Vec<_> = self.present().filter(|(workspace, _)| workspace.cares_for_service_grants()).collect();
        if asking.is_empty() {
            return;
        }
        let endpoints = match &self.observed.endpoints {
            Reading::NotRead => {
                self.wants.add(ReadSet { endpoints: true, ..ReadSet::default() });
                return;
            }
            Reading::Unknown { why, cause } => {
                let (why, cause) = (why.clone(), cause.clone());
                self.findings.insert(Finding::Unseen { what: Unseen::Endpoints, why, cause });
                return;
            }
            Reading::Known { value, .. } => value,
        };
        for (workspace, own) in asking {
            self.hidden_endpoints(&workspace.id);
            for endpoint in endpoints.iter().filter(|endpoint| endpoint.workspace == workspace.id) {
                let Some(principal) = endpoint.identity.system else { continue };
                self.note_unread_grant(own, principal, format!("endpoint {}", endpoint.name));
                let granted = needs::endpoint_grant(principal, own, self.observed, &self.desired.fleet.waits);
                if let ServiceGrant::Missing(principal) = granted {
                    self.findings.insert(Finding::EndpointGrantMissing {
                        workspace: workspace.id.clone(),
                        endpoint: endpoint.name.clone(),
                        principal,
                    });
                }
            }
        }
    }

    /// A list of endpoints is without those that the controller may not see, and then nothing about them has ended. Whether it
    /// may, its own rights tell, which an interval keeps. Where it may not read those either, a warning says so and no more.
    fn hidden_endpoints(&mut self, workspace: &WorkspaceId) {
        let (what, why, cause) = match self.observed.barriers.rights.get(workspace.arm()) {
            None | Some(Reading::NotRead) => {
                self.wants.barriers.rights.insert(workspace.arm().clone());
                return;
            }
            Some(Reading::Unknown { why, cause }) if is_optional(cause) => {
                (Unseen::OwnRights(workspace.arm().clone()), why.clone(), cause.clone())
            }
            Some(Reading::Unknown { why, cause }) => {
                (Unseen::Endpoints, format!("whether all are shown: {why}"), cause.clone())
            }
            Some(Reading::Known { .. }) if self.hides_endpoints(workspace) => {
                let name = workspace.name();
                let why = format!("Azure leaves those of {name} out, for the controller lacks `{READ}` there");
                let lift = Some(format!("grant the controller `{READ}` at {workspace}"));
                (Unseen::Endpoints, why, Cause { class: Some("refused"), lift })
            }
            Some(Reading::Known { .. }) => return,
        };
        self.findings.insert(Finding::Unseen { what, why, cause });
    }

    /// Whether the list of endpoints is known to be without those of a workspace: what the controller may not read, it leaves
    /// out without a word. Its own rights tell, where they have been read.
    /// Source: azure-mgmt-resource 26.0.0, `ResourcesOperations.list`.
    pub(super) fn hides_endpoints(&self, workspace: &WorkspaceId) -> bool {
        self.shows_endpoints(workspace) == Some(false)
    }

    /// The same the other way round; nothing where its rights are not known.
    pub(super) fn shows_endpoints(&self, workspace: &WorkspaceId) -> Option<bool> {
        let rights = self.observed.barriers.rights.get(workspace.arm()).and_then(Reading::value)?;
        Some(rights.iter().any(|right| allows_control(&right.permission, READ)))
    }

    /// Scenarios of the hub article on workspaces, and the other way round.
    fn misplaced(&mut self) {
        for (workspace, own) in self.present() {
            let here = match own.kind {
                WorkspaceKind::Default => ScenarioKind::Workspace,
                WorkspaceKind::Hub | WorkspaceKind::Project => ScenarioKind::Hub,
                WorkspaceKind::FeatureStore | WorkspaceKind::Other(_) => continue,
            };
            for row in workspace.needs.iter().flat_map(|need| need.rows()) {
                if crate::catalog::find_scenarios(row.name).any(|row| row.kind == here) {
                    continue;
                }
                self.findings.insert(Finding::ScenarioMisplaced {
                    workspace: workspace.id.clone(),
                    scenario: row.name,
                    kind: own.kind.clone(),
                });
            }
        }
    }
}
