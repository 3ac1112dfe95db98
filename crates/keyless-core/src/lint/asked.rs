//! Whether the files ask for a step.

use crate::action::{Action, Grant, assignment_name, second_name};
use crate::catalog::BLOB_CONTRIBUTOR;
use crate::desired::{
    AuthMode, DesiredDatastores, DesiredForm, DesiredSharedKey, DesiredWorkspace, GrantScope, KeyDesired, PrincipalRef,
    ServiceGrants,
};
use crate::observed::{Observed, Reading, is_system_name};
use crate::plan::Step;

use super::user::{users, workspace_read};
use super::{Rule, Verdict, workspace_of};

pub(super) fn judge(desired: &KeyDesired, observed: &Observed, step: &Step, found: &mut Verdict) {
    let declared = workspace_of(step).map(|id| desired.workspaces.get(id));
    if declared == Some(None) {
        found.reject(Rule::Asked, "no document declares the workspace");
    }
    let document = declared.flatten();
    let is = |holds: fn(&DesiredWorkspace) -> bool| document.is_some_and(holds);
    let holds = match &step.action {
        Action::GrantRole(grant) => is_own(grant, desired) && grant_is_asked(grant, desired, observed, step),
        Action::SetAuthMode { mode, .. } => document.is_some_and(|document| document.auth_mode == *mode),
        Action::CreateWorkspace { workspace, create } => {
            let absent = observed.workspaces.get(workspace).map(|entry| &entry.workspace);
            document.is_some_and(|document| document.create.as_ref() == Some(&**create))
                && matches!(absent, Some(Reading::Known { value: None, .. }))
        }
        Action::ResyncWorkspaceKeys { .. } => is(|document| document.auth_mode == AuthMode::AccessKey),
        Action::SetSharedKeyAccess { account, allowed } => {
            *account == desired.account_id && flag_is_asked(*allowed, desired, observed)
        }
        Action::SetDatastoreCredential { name, .. } => document.is_some_and(|document| {
            document.auth_mode == AuthMode::Identity
                && match &document.datastores {
                    DesiredDatastores::Unmanaged => false,
                    DesiredDatastores::ConvertAll => !is_system_name(name),
                    DesiredDatastores::Listed(listed) => {
                        listed.values().any(|asked| asked.name.eq_ignore_ascii_case(name))
                    }
                }
        }),
        Action::CreateDatastore { name, .. } => document.is_some_and(|document| match &document.datastores {
            DesiredDatastores::Listed(listed) => listed
                .values()
                .any(|asked| asked.name.eq_ignore_ascii_case(name) && matches!(asked.form, DesiredForm::At(_))),
            DesiredDatastores::Unmanaged | DesiredDatastores::ConvertAll => false,
        }),
        Action::RevokeRole { assignment, principal, role } => {
            let owner = &desired.fleet.owner;
            let named = |need: &PrincipalRef| matches!(need, PrincipalRef::Object { id, .. } if id == principal);
            let own = observed.assignments.value().into_iter().flatten().any(|seen| {
                let mut needs = desired.workspaces.values().flat_map(|own| &own.needs);
                let wanted =
                    needs.any(|need| need.role == *role && named(&need.principal) && need.condition == seen.condition);
                let names = [assignment_name, second_name]
                    .map(|name| name(owner, &seen.scope, *principal, *role, seen.condition.as_deref()));
                seen.id == *assignment
                    && seen.principal == *principal
                    && seen.role == *role
                    && names.contains(&seen.name)
                    && seen.scope == *desired.account_id.arm()
                    && !wanted
            });
            desired.fleet.prune && own
        }
    };
    found.demand(holds, Rule::Asked, "the files do not ask for it");
}

fn is_own(grant: &Grant, desired: &KeyDesired) -> bool {
    let name = if grant.is_renamed { second_name } else { assignment_name };
    let Grant { scope, principal, role, condition, .. } = grant;
    grant.name == name(&desired.fleet.owner, scope, *principal, *role, condition.as_deref())
}

/// Whether every document on whose account a grant is made asks for just that.
fn grant_is_asked(grant: &Grant, desired: &KeyDesired, observed: &Observed, step: &Step) -> bool {
    let scope_of = |scope: GrantScope| match scope {
        GrantScope::Account => desired.account_id.arm().clone(),
        GrantScope::ResourceGroup => desired.account_id.group(),
    };
    let by_document = |document: &DesiredWorkspace| {
        let by_need = document.needs.iter().any(|need| {
            need.role == grant.role
                && need.condition == grant.condition
                && scope_of(need.grant_scope) == grant.scope
                && users(need, &document.id, observed).is_some_and(|users| users.contains(&grant.principal))
        });
        let for_service = document.service_grants == ServiceGrants::Grant
            && grant.role == BLOB_CONTRIBUTOR
            && grant.condition.is_none()
            && grant.scope == *desired.account_id.arm()
            && workspace_read(&document.id, observed).is_some_and(|own| own.identity.system == Some(grant.principal));
        by_need || for_service
    };
    !step.workspaces.is_empty() && step.workspaces.iter().all(|id| desired.workspaces.get(id).is_some_and(by_document))
}

/// The key goes on by a word of its own only; off by such a word, or because all that is declared is on identity.
fn flag_is_asked(allowed: bool, desired: &KeyDesired, observed: &Observed) -> bool {
    let is_on = observed.account.value().and_then(Option::as_ref).map(|account| account.shared_key.is_on());
    let word = desired.account.as_ref().map(|account| account.shared_key_access);
    let follows =
        || !desired.workspaces.is_empty() && desired.workspaces.values().all(|own| own.auth_mode == AuthMode::Identity);
    let asked = match (allowed, word) {
        (true, word) => word == Some(DesiredSharedKey::Enabled),
        (false, Some(word)) => word == DesiredSharedKey::Disabled,
        (false, None) => follows(),
    };
    asked && is_on == Some(!allowed)
}
