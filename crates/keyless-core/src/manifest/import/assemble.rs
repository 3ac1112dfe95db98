//! From what all files say together to documents.

use std::collections::{BTreeMap, BTreeSet};

use crate::adopt::{held, names};
use crate::desired::{AuthMode, DesiredSharedKey, PrincipalRef};
use crate::id::{ArmId, PrincipalId, RoleId, WorkspaceId};
use crate::manifest::problem::Report;
use crate::manifest::write::{Document, Entry, Written};
use crate::observed::{PrincipalType, WorkspaceKind};

use super::{Found, FoundAccount, FoundGrant, FoundWorkspace};

/// The articles describe the way back in the order that leaves a moment without access.
///
/// Source: all editions, section "Revert to use shared keys"; design decision: key first.
const REVERT: [&str; 2] = [
    "The articles switch a workspace back first and turn the key on after, which leaves a moment in which it wants a key",
    "that the account refuses. Say `sharedKeyAccess: enabled` on a StorageAccount: the key is then turned on first.",
];

pub(super) fn documents(found: &Found, report: &mut Report) -> Vec<Written> {
    let mut written = Vec::new();
    let mut used = BTreeSet::new();
    let mut taken = BTreeSet::new();
    for workspace in workspaces(found, report) {
        let on = |grant: &FoundGrant| workspace.account.as_ref().is_some_and(|id| grant.scope.covers(id.arm()));
        let grants: Vec<(usize, &FoundGrant)> =
            found.grants.iter().enumerate().filter(|(_, grant)| on(grant)).collect();
        used.extend(grants.iter().map(|(number, _)| *number));
        let access = access(grants.iter().map(|(_, grant)| *grant), Some(&workspace.kind), report);
        let mut comment = Vec::new();
        if workspace.mode == AuthMode::AccessKey {
            let enabled =
                |account: &FoundAccount| Some(&account.id) == workspace.account.as_ref() && account.key_allowed;
            if !found.accounts.iter().any(enabled) {
                comment.extend(REVERT.map(str::to_owned));
            }
        }
        let document = Document::Workspace {
            name: names::free(names::clean(workspace.id.name()), &mut taken),
            id: workspace.id.clone(),
            auth_mode: workspace.mode,
            enforcement: None,
            access,
            profiles: Vec::new(),
        };
        written.push(Written { comment, document: Some(document) });
    }
    for account in accounts(found, report) {
        let shared_key_access =
            if account.key_allowed { DesiredSharedKey::Enabled } else { DesiredSharedKey::Disabled };
        let name = names::clean(account.id.name());
        let document = Document::Account { name, id: account.id.clone(), shared_key_access };
        written.push(Written { comment: Vec::new(), document: Some(document) });
    }
    let mut left: BTreeMap<&ArmId, Vec<&FoundGrant>> = BTreeMap::new();
    for (number, grant) in found.grants.iter().enumerate() {
        if !used.contains(&number) {
            left.entry(&grant.scope).or_default().push(grant);
        }
    }
    let mut taken = BTreeSet::new();
    for (scope, grants) in left {
        if let Some(first) = grants.first() {
            let message = format!(
                "no workspace of these files stands on `{}`, so its grants become an AccessProfile",
                scope.name()
            );
            report.warning(
                first.at.clone(),
                message,
                Some("name it in `profiles` of the workspaces that it is meant for".to_owned()),
            );
        }
        let access = access(grants.into_iter(), None, report);
        if access.is_empty() {
            continue;
        }
        let name = names::free(names::clean(&format!("{}-access", scope.name())), &mut taken);
        written.push(Written { comment: Vec::new(), document: Some(Document::Profile { name, access }) });
    }
    written
}

/// Each workspace once; two files that do not agree on one are a problem.
fn workspaces<'f>(found: &'f Found, report: &mut Report) -> Vec<&'f FoundWorkspace> {
    let mut firsts: BTreeMap<&WorkspaceId, &FoundWorkspace> = BTreeMap::new();
    for workspace in &found.workspaces {
        let first = *firsts.entry(&workspace.id).or_insert(workspace);
        if first.mode != workspace.mode {
            let message = format!(
                "`{}` is to be {} here and {} at {}",
                workspace.id.name(),
                workspace.mode,
                first.mode,
                first.at
            );
            report.problem(workspace.at.clone(), message, Some("import one of the two".to_owned()));
        }
    }
    firsts.into_values().collect()
}

fn accounts<'f>(found: &'f Found, report: &mut Report) -> Vec<&'f FoundAccount> {
    let mut firsts = BTreeMap::new();
    for account in &found.accounts {
        let first: &FoundAccount = firsts.entry(&account.id).or_insert(account);
        if first.key_allowed != account.key_allowed {
            let message =
                format!("the key of `{}` is on in one place and off in another, at {}", account.id.name(), first.at);
            report.problem(account.at.clone(), message, Some("import one of the two".to_owned()));
        }
        for workspace in &found.workspaces {
            if workspace.account.as_ref() == Some(&account.id)
                && workspace.mode == AuthMode::AccessKey
                && !account.key_allowed
            {
                let message = format!(
                    "`{}` is to use the key of `{}`, which is to be off: a plan will not get there",
                    workspace.id.name(),
                    account.id.name()
                );
                report.warning(account.at.clone(), message, None);
            }
        }
    }
    firsts.into_values().collect()
}

/// The access list that these grants come to.
fn access<'g>(
    grants: impl Iterator<Item = &'g FoundGrant>,
    kind: Option<&WorkspaceKind>,
    report: &mut Report,
) -> Vec<Entry> {
    let mut holders: BTreeMap<PrincipalId, (PrincipalType, BTreeSet<RoleId>, &FoundGrant)> = BTreeMap::new();
    for grant in grants {
        let (_, roles, _) = holders.entry(grant.principal).or_insert((grant.kind, BTreeSet::new(), grant));
        roles.insert(grant.role.id);
    }
    let mut access = Vec::new();
    for (id, (principal_kind, roles, first)) in holders {
        let sort =
            if principal_kind == PrincipalType::ServicePrincipal { held::Sort::Machine } else { held::Sort::Person };
        let roles: Vec<RoleId> = roles.into_iter().collect();
        let (asks, unsaid) = held::words(&held::implied(&roles), sort, kind);
        for role in unsaid {
            let message =
                format!("{} of {id} is left out: no level or scenario says it", crate::catalog::role_name(role));
            report.warning(first.at.clone(), message, None);
        }
        if !asks.is_empty() {
            access.push(Entry { principal: PrincipalRef::Object { kind: principal_kind, id, name: None }, asks });
        }
    }
    access.sort();
    access
}
