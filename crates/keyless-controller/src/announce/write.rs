//! What became of a write, as an event.

use std::collections::BTreeSet;

use keyless_core::action::{Action, Grant};
use keyless_core::catalog;
use keyless_core::id::WorkspaceId;
use keyless_core::pass::{Refused, RefusedBy, WriteRecord, WriteResult};
use keyless_core::plan::Plan;

use super::{about, caused};
use crate::event::{Event, Level, Name};
use crate::memory::not_stuck_lift;

pub(super) fn written(plan: &Plan, write: &WriteRecord) -> Event {
    let WriteRecord { action, effort, workspaces, result } = write;
    let failed = |level, result: &'static str, why: &str, request_id: &Option<String>| Event {
        result: Some(result),
        why: Some(why.to_owned()),
        request_id: request_id.clone(),
        ..about(Name::ActionFailed, level, plan)
    };
    let event = match result {
        WriteResult::Applied { changed, request_id } => Event {
            why: (!changed).then(|| "it was so already".to_owned()),
            request_id: request_id.clone(),
            ..about(Name::ActionApplied, Level::Info, plan)
        },
        WriteResult::DidNotStick { request_id } => {
            let why = match action {
                Action::SetDatastoreCredential { .. } => {
                    "Azure accepted it, and the datastore holds its credential as before"
                }
                _ => "Azure accepted it, and the value is not there: most likely a policy of effect Modify sets it",
            };
            Event {
                lift: Some(not_stuck_lift(action).to_owned()),
                ..failed(Level::Error, "did_not_stick", why, request_id)
            }
        }
        WriteResult::NotReadBack { request_id, why, cause } => {
            caused(cause, failed(Level::Warn, "not_read_back", why, request_id))
        }
        WriteResult::Unknown { why, cause, request_id } => {
            caused(cause, failed(Level::Warn, "unknown", why, request_id))
        }
        WriteResult::NotSent { why, cause } => caused(cause, failed(Level::Warn, "not_sent", why, &None)),
        WriteResult::Refused(Refused { by, cause, code, status, message, request_id, retry_after }) => {
            let level = if *by == RefusedBy::Person { Level::Error } else { Level::Warn };
            Event {
                code: code.clone(),
                http_status: *status,
                retry_after_ms: retry_after.and_then(|wait| u64::try_from(wait.as_millis()).ok()),
                ..caused(cause, failed(level, "refused", message, request_id))
            }
        }
    };
    Event { effort: Some(effort.as_str()), ..of_action(event, action, workspaces) }
}

pub(super) fn of_action(event: Event, action: &Action, workspaces: &BTreeSet<WorkspaceId>) -> Event {
    let (principal, role) = match action {
        Action::GrantRole(Grant { principal, role, .. }) | Action::RevokeRole { principal, role, .. } => {
            (Some(principal.to_string()), Some(catalog::role_name(*role)))
        }
        Action::SetAuthMode { .. }
        | Action::SetSharedKeyAccess { .. }
        | Action::ResyncWorkspaceKeys { .. }
        | Action::SetDatastoreCredential { .. }
        | Action::CreateDatastore { .. }
        | Action::CreateWorkspace { .. } => (None, None),
    };
    let names: Vec<String> = workspaces.iter().map(ToString::to_string).collect();
    Event {
        action: Some(action.to_string()),
        kind: Some(action.kind()),
        principal,
        role,
        workspace: (!names.is_empty()).then(|| names.join(",")),
        ..event
    }
}
