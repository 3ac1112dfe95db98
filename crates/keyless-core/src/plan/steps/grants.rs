//! Grants that are missing.

use std::collections::{BTreeMap, BTreeSet};

use crate::access::{self, Cover};
use crate::action::{Action, Effort, Grant};
use crate::catalog;
use crate::desired::{Create, CreateKind, GrantScope};
use crate::gate::{Gate, GateState};
use crate::id::{ArmId, PrincipalId, RoleId, WorkspaceId};
use crate::observed::Observed;
use crate::plan::gates;
use crate::plan::needs::{NeedView, Resolved};
use crate::plan::{Drift, Finding};

use super::Planner;

impl Planner<'_> {
    /// `rest` is what was observed, as if grants that are to be taken back were gone: what rests on them has to have its own.
    pub(super) fn grants(&mut self, views: &BTreeMap<&WorkspaceId, Vec<NeedView<'_>>>, rest: &Observed) {
        let owner = &self.desired.fleet.owner;
        let mut wanted: BTreeMap<Grant, Asked> = BTreeMap::new();
        // What may turn out to be due too: a wave is not known to fit while it is not known how large it is.
        let mut undecided = Undecided::default();
        for (&workspace, views) in views {
            let acts = self.active_for(&BTreeSet::from([workspace.clone()])).is_open();
            for view in views {
                let holders = match &view.holders {
                    Resolved::Known(holders) => holders,
                    Resolved::NotRead(reads) => {
                        undecided.unresolved += usize::from(acts);
                        self.wants.add((**reads).clone());
                        continue;
                    }
                    Resolved::Missing(why) => {
                        self.findings.insert(Finding::PrincipalMissing {
                            workspace: workspace.clone(),
                            principal: view.need.principal.to_string(),
                            why: why.clone(),
                        });
                        continue;
                    }
                    Resolved::Unknown(why, cause) => {
                        undecided.unresolved += usize::from(acts);
                        let what = format!("{} of {}", view.need.principal, workspace.name());
                        self.findings.insert(Finding::Incomplete { what, why: why.clone(), cause: cause.clone() });
                        continue;
                    }
                };
                for (principal, kind) in holders {
                    let question = view.question(*principal, *kind);
                    match access::cover(&question, rest, &self.desired.fleet.waits) {
                        Cover::Covered { .. } | Cover::Denied { .. } => {}
                        Cover::NotRead(reads) => {
                            undecided.note(acts, *principal, view.role.id);
                            self.wants.add(*reads);
                        }
                        Cover::Unknown { why, cause } => {
                            undecided.note(acts, *principal, view.role.id);
                            // What everybody's access rests on is told once, and not for each of them.
                            if self.observed.assignments.failure().is_none() {
                                let what = format!("access of {}", view.need.principal);
                                self.findings.insert(Finding::Incomplete { what, why, cause });
                            }
                        }
                        Cover::Missing { .. } => {
                            self.drift.insert(Drift::RoleMissing {
                                workspace: workspace.clone(),
                                principal: *principal,
                                role: view.role.id,
                            });
                            let scope = self.grant_scope(view.need.grant_scope);
                            let grant = Grant::new(owner, scope, *principal, *kind, view.role.id)
                                .under(owner, view.need.condition.clone());
                            let clashes = self.limits.clashing.contains(&grant.name);
                            let grant = if clashes { grant.renamed(owner) } else { grant };
                            let asked = wanted.entry(grant).or_default();
                            asked.workspaces.insert(workspace.clone());
                            let words: Vec<String> = view.need.because.iter().map(ToString::to_string).collect();
                            asked.reasons.insert(format!("{}: {}", view.need.principal, words.join(", ")));
                        }
                    }
                }
            }
        }
        let stronger_first = without_implied(wanted);
        let due = stronger_first.iter().filter(|(_, asked)| self.active_for(&asked.workspaces).is_open()).count();
        let due = due.saturating_add(undecided.most());
        for (grant, Asked { workspaces, reasons }) in stronger_first {
            let action = Action::GrantRole(grant);
            let active = self.active_for(&workspaces);
            let mut checks = self.checks(&action, Effort::Repair, active);
            self.barriers(&mut checks, &action);
            self.ceiling(&mut checks, &action, due);
            if let Some(judged) = self.hub_of(&workspaces) {
                checks.look(Gate::HubThere, judged);
            }
            self.push(action, Effort::Repair, workspaces, checks);
            if let Some(step) = self.steps.last_mut() {
                step.reasons = reasons;
            }
        }
    }

    /// One document that may act is enough: the grant is what it asks for.
    fn active_for(&self, workspaces: &BTreeSet<WorkspaceId>) -> GateState {
        workspaces
            .iter()
            .filter_map(|id| self.desired.workspaces.get(id))
            .map(|workspace| gates::workspace_active(workspace, self.desired, self.observed.now))
            .min_by_key(gates::caution)
            .unwrap_or(GateState::NotLooked)
    }

    /// Where only projects that are yet to be made ask for a grant: whether the hub of one lets it be made on this account.
    fn hub_of(&self, workspaces: &BTreeSet<WorkspaceId>) -> Option<gates::Judged> {
        let made: BTreeMap<&WorkspaceId, &Create> =
            self.absent().filter_map(|own| Some((&own.id, own.create.as_ref()?))).collect();
        let judged = workspaces.iter().map(|id| {
            let create = made.get(id).filter(|create| matches!(create.kind, CreateKind::Project(_)))?;
            Some(gates::hub_there(create, self.observed))
        });
        judged.collect::<Option<Vec<_>>>()?.into_iter().min_by_key(|judged| gates::caution(&judged.0))
    }

    fn grant_scope(&self, scope: GrantScope) -> ArmId {
        let account = self.desired.account_id.arm();
        match scope {
            GrantScope::Account => account.clone(),
            GrantScope::ResourceGroup => self.desired.account_id.group(),
        }
    }
}

/// Which documents ask for a grant, and in which words.
#[derive(Clone, Default)]
struct Asked {
    workspaces: BTreeSet<WorkspaceId>,
    reasons: BTreeSet<String>,
}

/// Needs of which it is not known whether a grant is missing.
#[derive(Default)]
struct Undecided {
    grants: BTreeSet<(PrincipalId, RoleId)>,
    /// Needs whose principals are not known.
    unresolved: usize,
}

impl Undecided {
    fn note(&mut self, acts: bool, principal: PrincipalId, role: RoleId) {
        if acts {
            self.grants.insert((principal, role));
        }
    }

    /// How many grants it may come to; a compute carries a handful of identities at most.
    fn most(&self) -> usize {
        const OF_ONE_COMPUTE: usize = 10;
        self.grants.len().saturating_add(self.unresolved.saturating_mul(OF_ONE_COMPUTE))
    }
}

/// Drops grants whose data actions another planned grant to the same principal brings along.
///
/// Only where the same documents ask for both: a document in observe mode must not hold up another's grant.
fn without_implied(wanted: BTreeMap<Grant, Asked>) -> Vec<(Grant, Asked)> {
    let actions = |grant: &Grant| catalog::find_role(grant.role).map(|role| role.data_actions).unwrap_or_default();
    let implied = |weak: &Grant, asking: &Asked| {
        wanted.iter().any(|(strong, asked)| {
            strong.principal == weak.principal
                && (strong.condition.is_none() || strong.condition == weak.condition)
                && asking.workspaces.is_subset(&asked.workspaces)
                && strong.scope.covers(&weak.scope)
                && (actions(strong).len() > actions(weak).len()
                    || (strong.role == weak.role && strong.condition.is_none() && weak.condition.is_some()))
                && actions(weak).iter().all(|action| actions(strong).contains(action))
        })
    };
    wanted
        .iter()
        .filter(|(grant, asked)| !implied(grant, asked))
        .map(|(grant, asked)| (grant.clone(), asked.clone()))
        .collect()
}
