//! What each principal may do with the data of one account, and the smallest words of the catalog that say so.
//!
//! A deny assignment takes nothing out of the words: files say who is to work, and a grant says that somebody decided so. The
//! denial is how Azure is today, made by another hand that may take it back without a word to the files; written without its
//! principals, they would ask for nobody's return, and a plan of them would call a barred account converged. So whoever is
//! denied is written down all the same, and told apart, with what denies them.

use std::collections::{BTreeMap, BTreeSet};

use crate::access::{self, Answer, Cover, Denial, Question};
use crate::catalog::{self, CatalogRole, LEVELS, ROLES, SCENARIOS, Scenario, ScenarioIdentity, ScenarioKind};
use crate::desired::Waits;
use crate::id::{PrincipalId, RoleId};
use crate::manifest::write::Asks;
use crate::observed::{Observed, PrincipalType, Reading, RoleAssignment, RoleDefinition, WorkspaceKind};

/// One account, with the definitions that its assignments refer to.
pub(super) struct Here<'a> {
    pub(super) observed: &'a Observed,
    pub(super) roles: &'a BTreeMap<RoleId, Reading<RoleDefinition>>,
    /// Everybody with an assignment that lets them at the data, or may do so.
    pub(super) holders: BTreeMap<PrincipalId, Holder>,
}

/// One principal's hold on the data of the account.
#[derive(Debug, Clone, Default)]
pub(super) struct Holder {
    /// What kind of principal Azure says it is, where all of its assignments agree.
    pub(super) kind: Option<PrincipalType>,
    /// The roles of the catalog whose data actions are granted without condition, denied or not.
    pub(super) roles: BTreeSet<RoleId>,
    /// Those of them that deny assignments take something of today, or may. None is named where it hangs on groups that are
    /// not known.
    pub(super) denied: BTreeMap<RoleId, Vec<Denial>>,
    /// What cannot be said in words of the catalog, whatever they are.
    pub(super) remarks: BTreeSet<String>,
    /// What could not be told.
    pub(super) unknown: BTreeSet<String>,
    /// The assignments that reach the data: role name, where, and which actions of the catalog they allow.
    grants: Vec<(String, BTreeSet<&'static str>)>,
}

/// Every data action that a role of the catalog stands for.
fn universe() -> impl Iterator<Item = &'static str> {
    let all: BTreeSet<&'static str> = ROLES.iter().flat_map(|role| role.data_actions).copied().collect();
    all.into_iter()
}

impl<'a> Here<'a> {
    pub(super) fn of(
        observed: &'a Observed,
        roles: &'a BTreeMap<RoleId, Reading<RoleDefinition>>,
        waits: &Waits,
    ) -> Self {
        let mut here = Self { observed, roles, holders: BTreeMap::new() };
        let account = observed.account_id.arm();
        let mut kinds: BTreeMap<PrincipalId, BTreeSet<Option<PrincipalType>>> = BTreeMap::new();
        let applying = observed.assignments.value().into_iter().flatten().filter(|a| a.scope.covers(account));
        for assignment in applying {
            let Some(grant) = data_grant(assignment, roles) else { continue };
            kinds.entry(assignment.principal).or_default().insert(assignment.principal_type);
            let holder = here.holders.entry(assignment.principal).or_default();
            match grant {
                Grant::Unknown(why) => {
                    holder.unknown.insert(why);
                }
                Grant::Conditional(what) => {
                    holder.remarks.insert(format!("{what}, under a condition"));
                }
                Grant::Plain(what, actions) => holder.grants.push((what, actions)),
            }
        }
        // Whether anything is denied is told once for all where it could not be read.
        let denials_known = observed.denies.failure().is_none();
        for (principal, holder) in &mut here.holders {
            let kinds = kinds.remove(principal).unwrap_or_default();
            holder.kind = if kinds.len() == 1 { kinds.into_iter().next().flatten() } else { None };
            for role in ROLES {
                let question = Question { principal: *principal, kind: holder.kind, role, condition: None };
                // Only what is granted to the principal itself: a group has a document of its own.
                match access::direct_cover(&question, observed, waits) {
                    Cover::Covered { .. } => {
                        holder.roles.insert(role.id);
                    }
                    Cover::Unknown { why, .. } => {
                        holder.unknown.insert(why);
                        continue;
                    }
                    Cover::Missing { .. } | Cover::Denied { .. } | Cover::NotRead(_) => continue,
                }
                let Answer { cover, denials, .. } = access::judge(&question, observed, waits);
                if denials_known && !matches!(cover, Cover::Covered { .. }) {
                    holder.denied.insert(role.id, denials);
                }
            }
        }
        here
    }
}

impl Holder {
    /// Whether this role is granted, and nothing denies any of it.
    pub(super) fn reaches(&self, role: RoleId) -> bool {
        self.roles.contains(&role) && !self.denied.contains_key(&role)
    }

    /// Whether it is certain that something is denied, and what denies it, or may: name and place of each.
    pub(super) fn denied_today(&self) -> Option<(bool, BTreeSet<(String, String)>)> {
        let all = || self.denied.values().flatten();
        let certain = all().any(|by| by.certain);
        let by = all().filter(|by| by.certain || !certain).map(|by| (by.name.clone(), by.scope.to_string())).collect();
        (!self.denied.is_empty()).then_some((certain, by))
    }
}

enum Grant {
    Plain(String, BTreeSet<&'static str>),
    Conditional(String),
    Unknown(String),
}

/// What an assignment gives of the data; `None` if it gives nothing.
fn data_grant(assignment: &RoleAssignment, roles: &BTreeMap<RoleId, Reading<RoleDefinition>>) -> Option<Grant> {
    let definition = match roles.get(&assignment.role) {
        Some(Reading::Known { value, .. }) => value,
        Some(Reading::Unknown { why, .. }) => {
            return Some(Grant::Unknown(format!("role definition {}: {why}", assignment.role)));
        }
        Some(Reading::NotRead) | None => {
            return Some(Grant::Unknown(format!("role definition {}: not read", assignment.role)));
        }
    };
    let allowed: BTreeSet<&'static str> =
        universe().filter(|action| definition.permissions.iter().any(|block| access::allows(block, action))).collect();
    if allowed.is_empty() {
        return None;
    }
    let what = format!("{} at {}", definition.name, assignment.scope);
    Some(if assignment.condition.is_some() { Grant::Conditional(what) } else { Grant::Plain(what, allowed) })
}

/// Whose words may be used for a principal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sort {
    /// A person or a group of them.
    Person,
    /// A service principal, or a managed identity.
    Machine,
    /// The workspace's own identity, for which there are levels only.
    Workspace,
}

/// The smallest words that ask for nothing which `roles` do not give, and what is left unsaid.
pub(crate) fn words(roles: &BTreeSet<RoleId>, sort: Sort, kind: Option<&WorkspaceKind>) -> (Asks, BTreeSet<RoleId>) {
    let has = |needed: &[RoleId]| needed.iter().all(|role| roles.contains(role));
    let level = LEVELS.iter().find(|level| has(level.roles));
    let mut said: BTreeSet<RoleId> = level.map(|level| implied(level.roles)).unwrap_or_default();
    let mut scenarios = BTreeSet::new();
    for role in strongest(roles) {
        if said.contains(&role) {
            continue;
        }
        let fits = |row: &&Scenario| row.roles.contains(&role) && has(row.roles) && suits(row, sort, kind);
        let Some(row) = SCENARIOS.iter().filter(fits).min_by_key(|row| rank(row, sort)) else { continue };
        scenarios.insert(row.name);
        said.extend(implied(row.roles));
    }
    let unsaid = strongest(roles).into_iter().filter(|role| !said.contains(role)).collect();
    (Asks { level: level.map(|level| level.name), scenarios }, unsaid)
}

/// What a holder's grants give beyond these words, each named with its role and place.
pub(super) fn beyond(holder: &Holder, asks: &Asks) -> BTreeSet<String> {
    let levels = LEVELS.iter().filter(|level| asks.level == Some(level.name)).flat_map(|level| level.roles);
    let rows = SCENARIOS.iter().filter(|row| asks.scenarios.contains(row.name)).flat_map(|row| row.roles);
    let said: BTreeSet<&str> = levels
        .chain(rows)
        .filter_map(|role| catalog::find_role(*role))
        .flat_map(|role| role.data_actions)
        .copied()
        .collect();
    let more = |(_, actions): &&(String, BTreeSet<&'static str>)| actions.iter().any(|action| !said.contains(action));
    holder.grants.iter().filter(more).map(|(what, _)| what.clone()).collect()
}

/// The roles whose actions no other of them brings along.
fn strongest(roles: &BTreeSet<RoleId>) -> Vec<RoleId> {
    let found: Vec<&CatalogRole> = roles.iter().filter_map(|role| catalog::find_role(*role)).collect();
    let weaker = |role: &CatalogRole| found.iter().any(|other| other.id != role.id && brings(other, role));
    found.iter().filter(|role| !weaker(role)).map(|role| role.id).collect()
}

/// These roles, and all whose actions they bring along.
pub(crate) fn implied(roles: &[RoleId]) -> BTreeSet<RoleId> {
    let strong: Vec<&CatalogRole> = roles.iter().filter_map(|role| catalog::find_role(*role)).collect();
    ROLES.iter().filter(|role| strong.iter().any(|other| brings(other, role))).map(|role| role.id).collect()
}

fn brings(strong: &CatalogRole, weak: &CatalogRole) -> bool {
    weak.data_actions.iter().all(|action| strong.data_actions.contains(action))
}

/// Whether the row is about such a principal, so that whoever checks the file has no remark.
fn suits(row: &Scenario, sort: Sort, kind: Option<&WorkspaceKind>) -> bool {
    let about = match row.identity {
        ScenarioIdentity::User => sort == Sort::Person,
        ScenarioIdentity::UserOrUserAssigned => sort != Sort::Workspace,
        ScenarioIdentity::UserAssigned | ScenarioIdentity::Compute => sort == Sort::Machine,
        ScenarioIdentity::Service => false,
    };
    about && is_here(row, kind)
}

fn is_here(row: &Scenario, kind: Option<&WorkspaceKind>) -> bool {
    let of_hub = matches!(kind, Some(WorkspaceKind::Hub | WorkspaceKind::Project));
    (row.kind == ScenarioKind::Hub) == of_hub
}

/// Which of several rows says it best: the fewest roles, then the broadest use, then the catalog's order.
fn rank(row: &Scenario, sort: Sort) -> (usize, usize) {
    let broadest: &[&str] = match sort {
        Sort::Person => &["datastores", "ownData", "notebooks"],
        Sort::Machine => &["modelRegistry", "fineTuning", "training"],
        Sort::Workspace => &[],
    };
    (row.roles.len(), broadest.iter().position(|name| *name == row.name).unwrap_or(broadest.len()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::{
        BLOB_CONTRIBUTOR, BLOB_READER, FILE_CONTRIBUTOR, FILE_READER, QUEUE_CONTRIBUTOR, TABLE_CONTRIBUTOR,
    };

    #[track_caller]
    fn said(roles: &[RoleId], sort: Sort, kind: &WorkspaceKind) -> String {
        let (asks, unsaid) = words(&roles.iter().copied().collect(), sort, Some(kind));
        let mut text: Vec<String> = asks.level.iter().map(|level| (*level).to_owned()).collect();
        text.extend(asks.scenarios.iter().map(|name| (*name).to_owned()));
        text.extend(unsaid.iter().map(|role| format!("!{}", catalog::role_name(*role))));
        text.join(" ")
    }

    #[test]
    fn the_smallest_words_that_ask_for_no_more_are_found() {
        use Sort::{Machine, Person, Workspace};
        let (default, hub) = (&WorkspaceKind::Default, &WorkspaceKind::Hub);
        let blob = &[BLOB_CONTRIBUTOR, BLOB_READER][..];
        let files = &[FILE_CONTRIBUTOR, FILE_READER][..];
        let both = &[blob, files].concat()[..];
        let tables = &[TABLE_CONTRIBUTOR, QUEUE_CONTRIBUTOR][..];
        for (roles, sort, kind, expected) in [
            (both, Person, default, "readWrite"),
            (both, Machine, default, "readWrite"),
            (&[BLOB_READER, FILE_READER][..], Person, default, "readOnly"),
            (&[BLOB_READER, FILE_CONTRIBUTOR, FILE_READER][..], Person, default, "readOnly notebooks"),
            (blob, Person, default, "datastores"),
            (blob, Person, hub, "ownData"),
            (blob, Machine, default, "modelRegistry"),
            (blob, Machine, hub, "fineTuning"),
            (&[BLOB_READER][..], Machine, default, "training"),
            (&[BLOB_READER][..], Person, default, "!Storage Blob Data Reader"),
            (files, Machine, default, "computeInstance"),
            (files, Machine, hub, "!Storage File Data Privileged Contributor"),
            (tables, Machine, default, "parallelRunStep"),
            (&[TABLE_CONTRIBUTOR][..], Machine, default, "!Storage Table Data Contributor"),
            (&[blob, files, tables].concat()[..], Machine, default, "readWrite parallelRunStep"),
            (both, Workspace, default, "readWrite"),
            (&[FILE_READER][..], Person, default, "!Storage File Data Privileged Reader"),
        ] {
            assert_eq!(said(roles, sort, kind), expected, "{roles:?} {sort:?}");
        }
    }
}
