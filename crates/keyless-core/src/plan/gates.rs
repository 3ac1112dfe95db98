//! One pure function for each gate: desired and observed in, open or not and why out.

use std::collections::BTreeSet;

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp, ToSpan};

use crate::access::{self, Cover};
use crate::action::{Action, Effort};
use crate::catalog;
use crate::desired::{ChangeWindow, DesiredWorkspace, Enforcement, KeyDesired, ServiceGrants, Suspend};
use crate::gate::{GateState, ReadSet};
use crate::id::{ArmId, WorkspaceId};
use crate::observed::{KeyUsage, LockLevel, Observed, ObservedAuthMode, Reading, SharedKeyAccess};

use super::Limits;
use super::needs::{NeedView, Resolved, ServiceGrant, service_grant};

/// How a gate stands, and which reads would tell where it is [`GateState::NotLooked`].
pub(super) type Judged = (GateState, ReadSet);

fn told(state: GateState) -> Judged {
    (state, ReadSet::default())
}

fn lacks(reads: ReadSet) -> Judged {
    (GateState::NotLooked, reads)
}

fn listed(names: &[String]) -> String {
    const SHOWN: usize = 5;
    let mut text = names.iter().take(SHOWN).cloned().collect::<Vec<_>>().join(", ");
    if names.len() > SHOWN {
        text.push_str(&format!(" and {} more", names.len() - SHOWN));
    }
    text
}

/// [`crate::gate::Gate::NeedsCovered`].
pub(super) fn needs_covered(views: &[NeedView<'_>], observed: &Observed, desired: &KeyDesired) -> Judged {
    let mut unmet = Vec::new();
    let mut wants = ReadSet::default();
    for view in views {
        match &view.holders {
            Resolved::NotRead(reads) => wants.add(reads.clone()),
            Resolved::Missing(why) | Resolved::Unknown(why) => unmet.push(format!("{}: {why}", view.need.principal)),
            Resolved::Known(holders) => {
                for (principal, _) in holders {
                    match access::effective_cover(view.role, *principal, observed, &desired.fleet.waits) {
                        Cover::Covered { .. } => {}
                        Cover::NotRead => {
                            wants.add(ReadSet { assignments: true, denies: true, ..ReadSet::default() });
                        }
                        Cover::Missing { conditional, .. } => unmet.push(format!(
                            "{} lacks {}{}",
                            view.need.principal,
                            view.role.name,
                            if conditional { " (a conditional grant does not count)" } else { "" }
                        )),
                        Cover::Denied { by } => {
                            unmet.push(format!("{} is, or may be, denied by `{by}`", view.need.principal));
                        }
                        Cover::Unknown { why } => unmet.push(format!("{}: {why}", view.need.principal)),
                    }
                }
            }
        }
    }
    if !unmet.is_empty() {
        return told(GateState::unmet(listed(&unmet), "grants for all declared needs, unconditional and not denied"));
    }
    if wants.is_empty() { told(GateState::Open) } else { lacks(wants) }
}

/// [`crate::gate::Gate::NeedsAged`]. Looked at only when the needs are covered.
pub(super) fn needs_aged(views: &[NeedView<'_>], observed: &Observed, desired: &KeyDesired) -> Judged {
    let mut latest: Option<(Timestamp, String)> = None;
    for view in views {
        let Resolved::Known(holders) = &view.holders else { return told(GateState::NotLooked) };
        for (principal, _) in holders {
            match access::cover(view.role, *principal, observed, &desired.fleet.waits) {
                Cover::Covered { works_at: Some(at) } => {
                    if latest.as_ref().is_none_or(|(so_far, _)| at > *so_far) {
                        latest = Some((at, format!("{} of {} to work", view.role.name, view.need.principal)));
                    }
                }
                Cover::Covered { works_at: None } => {
                    let why = format!("the age of {} of {} is not told", view.role.name, view.need.principal);
                    return told(GateState::unmet(why, "a direct grant whose age Azure tells"));
                }
                Cover::Missing { .. } | Cover::Denied { .. } | Cover::Unknown { .. } | Cover::NotRead => {
                    return told(GateState::NotLooked);
                }
            }
        }
    }
    match latest {
        Some((until, why)) if until > observed.now => told(GateState::Waiting { until, why }),
        _ => told(GateState::Open),
    }
}

/// [`crate::gate::Gate::ServiceGrant`].
pub(super) fn service_grant_there(workspace: &DesiredWorkspace, observed: &Observed, desired: &KeyDesired) -> Judged {
    if workspace.service_grants == ServiceGrants::Accept {
        return told(GateState::Open);
    }
    let Some(Reading::Known { value: Some(own), .. }) =
        observed.workspaces.get(&workspace.id).map(|entry| &entry.workspace)
    else {
        return told(GateState::NotLooked);
    };
    let lift = "the service's own grant (re-provisioning), or `serviceGrants: grant | accept` in the file";
    match service_grant(own, observed, &desired.fleet.waits) {
        ServiceGrant::Present => told(GateState::Open),
        ServiceGrant::Missing(principal) => {
            let role = catalog::role_name(catalog::BLOB_CONTRIBUTOR);
            told(GateState::unmet(format!("the workspace's identity {principal} lacks {role}"), lift))
        }
        ServiceGrant::NoIdentity => told(GateState::unmet("the workspace has no identity of its own", lift)),
        ServiceGrant::Unknown(why) => told(GateState::unknown("the service's grant", &why)),
        ServiceGrant::NotRead => lacks(ReadSet { assignments: true, ..ReadSet::default() }),
    }
}

/// [`crate::gate::Gate::Compatible`]. A compute instance with a system-assigned identity cannot mount data in identity mode.
///
/// Source: <https://learn.microsoft.com/azure/machine-learning/how-to-disable-local-auth-storage>, limitations.
pub(super) fn compatible(id: &WorkspaceId, observed: &Observed) -> Judged {
    let computes = match observed.workspaces.get(id).map(|entry| &entry.computes) {
        None | Some(Reading::NotRead) => {
            return lacks(ReadSet { computes: BTreeSet::from([id.clone()]), ..ReadSet::default() });
        }
        Some(Reading::Unknown { why }) => return told(GateState::unknown("computes", why)),
        Some(Reading::Known { value, .. }) => value,
    };
    let barred: Vec<String> = computes
        .iter()
        .filter(|compute| {
            compute.compute_type.eq_ignore_ascii_case("ComputeInstance") && compute.identity.system.is_some()
        })
        .map(|compute| compute.name.clone())
        .collect();
    if barred.is_empty() {
        return told(GateState::Open);
    }
    told(GateState::unmet(
        format!("compute instances with a system-assigned identity do not work in identity mode: {}", listed(&barred)),
        "a user-assigned identity with Storage File Data Privileged Contributor on those instances",
    ))
}

/// [`crate::gate::Gate::ModeKnown`].
pub(super) fn mode_known(id: &WorkspaceId, observed: &Observed) -> Judged {
    let own = match observed.workspaces.get(id).map(|entry| &entry.workspace) {
        None | Some(Reading::NotRead) => {
            return lacks(ReadSet { workspaces: BTreeSet::from([id.clone()]), ..ReadSet::default() });
        }
        Some(Reading::Unknown { why }) => return told(GateState::unknown("the workspace", why)),
        Some(Reading::Known { value: None, .. }) => {
            return told(GateState::unmet("the workspace does not exist", "the workspace, or its document removed"));
        }
        Some(Reading::Known { value: Some(own), .. }) => own,
    };
    if let ObservedAuthMode::Other(mode) = &own.auth_mode {
        let why = format!("Azure reports `{mode}`, which keyless never overwrites");
        return told(GateState::unmet(why, "a person sets it to identity or accesskey"));
    }
    let busy = ["creating", "updating", "deleting"];
    match own.provisioning_state.as_deref().map(str::to_ascii_lowercase) {
        Some(state) if busy.contains(&state.as_str()) => {
            told(GateState::unmet(format!("another operation runs on it (`{state}`)"), "the end of that operation"))
        }
        _ => told(GateState::Open),
    }
}

/// [`crate::gate::Gate::KeyOn`].
pub(super) fn key_on(observed: &Observed, back_is_asked: bool) -> Judged {
    match &observed.account {
        Reading::NotRead => lacks(ReadSet { account: true, ..ReadSet::default() }),
        Reading::Unknown { why } => told(GateState::unknown("the storage account", why)),
        Reading::Known { value: Some(account), .. } if account.shared_key.is_on() => told(GateState::Open),
        Reading::Known { .. } if back_is_asked => {
            told(GateState::unmet("the key is still off", "the step before this one"))
        }
        Reading::Known { .. } => told(GateState::unmet(
            "the key is off, and turning it on needs a word of its own",
            "a StorageAccount document with `sharedKeyAccess: enabled`",
        )),
    }
}

/// [`crate::gate::Gate::KeyEffective`]. A flag that was never set has always been on.
pub(super) fn key_effective(observed: &Observed, desired: &KeyDesired) -> Judged {
    let Some(account) = observed.account.value().and_then(Option::as_ref) else { return told(GateState::NotLooked) };
    match account.shared_key {
        SharedKeyAccess::Absent => return told(GateState::Open),
        SharedKeyAccess::Disallowed => return told(GateState::NotLooked),
        SharedKeyAccess::Null | SharedKeyAccess::Allowed => {}
    }
    let since = observed.history.key_on_since.unwrap_or(observed.now);
    match after(since, desired.fleet.waits.key_effect) {
        Some(until) if until > observed.now => {
            told(GateState::Waiting { until, why: "the key to work again".to_owned() })
        }
        Some(_) => told(GateState::Open),
        None => told(GateState::unmet("`keyEffect` is out of range", "a smaller `keyEffect`")),
    }
}

/// [`crate::gate::Gate::Listed`].
pub(super) fn subscriptions_listed(observed: &Observed) -> Judged {
    let wanted = || lacks(ReadSet { listings: true, ..ReadSet::default() });
    if observed.listings.is_empty() {
        return wanted();
    }
    for (subscription, reading) in &observed.listings {
        match reading {
            Reading::Known { .. } => {}
            Reading::NotRead => return wanted(),
            Reading::Unknown { why } => {
                return told(GateState::unknown(&format!("the workspaces of subscription {subscription}"), why));
            }
        }
    }
    told(GateState::Open)
}

/// [`crate::gate::Gate::AllOnIdentity`].
pub(super) fn all_on_identity(observed: &Observed, desired: &KeyDesired) -> Judged {
    let mut unmet = Vec::new();
    let mut wants = ReadSet::default();
    for (id, entry) in &observed.workspaces {
        let undeclared = if desired.workspaces.contains_key(id) { "" } else { " (undeclared)" };
        match &entry.workspace {
            Reading::NotRead => {
                wants.workspaces.insert(id.clone());
            }
            Reading::Unknown { why } => unmet.push(format!("{}{undeclared} could not be read: {why}", id.name())),
            Reading::Known { value: None, .. } => {}
            Reading::Known { value: Some(own), .. } => {
                if own.auth_mode != ObservedAuthMode::Identity {
                    unmet.push(format!("{} {}{undeclared} is on {}", own.kind, id.name(), own.auth_mode));
                }
            }
        }
    }
    for id in &desired.unplaced {
        unmet.push(format!("{} may stand on this account: its own could not be found out", id.name()));
    }
    if !unmet.is_empty() {
        return told(GateState::unmet(listed(&unmet), "every workspace on the account on identity, by a direct read"));
    }
    if wants.is_empty() { told(GateState::Open) } else { lacks(wants) }
}

/// [`crate::gate::Gate::NoStoredKeys`].
pub(super) fn no_stored_keys(observed: &Observed) -> Judged {
    let mut unmet = Vec::new();
    let mut wants = ReadSet::default();
    for (id, entry) in &observed.workspaces {
        if matches!(entry.workspace, Reading::Known { value: None, .. }) {
            continue;
        }
        match &entry.datastores {
            Reading::NotRead => {
                wants.datastores.insert(id.clone());
            }
            Reading::Unknown { why } => unmet.push(format!("datastores of {} could not be read: {why}", id.name())),
            Reading::Known { value, .. } => {
                for datastore in value {
                    // A datastore that names no account may be on this one.
                    let here = datastore
                        .account_name
                        .as_deref()
                        .is_none_or(|name| name.eq_ignore_ascii_case(observed.account_id.name()));
                    if here && datastore.credentials.may_need_key() {
                        unmet.push(format!("{}/{} holds a key or SAS", id.name(), datastore.name));
                    }
                }
            }
        }
    }
    if !unmet.is_empty() {
        return told(GateState::unmet(listed(&unmet), "those datastores without stored credentials"));
    }
    if wants.is_empty() { told(GateState::Open) } else { lacks(wants) }
}

/// [`crate::gate::Gate::KeyIdle`].
pub(super) fn key_idle(observed: &Observed, desired: &KeyDesired) -> Judged {
    let now = observed.now;
    let account = desired.account.as_ref();
    let idle = key_idle_of(desired);
    let usage = match &observed.key_usage {
        Reading::NotRead => return lacks(ReadSet { key_usage: true, ..ReadSet::default() }),
        Reading::Unknown { why } => {
            return told(accept_unknown(desired, now, &format!("key usage could not be read: {why}")));
        }
        Reading::Known { value, .. } => value,
    };
    if let Some(until) = busy_until(usage, desired) {
        let why = format!("{} requests signed with the key succeeded within {}", usage.account_key.count, human(idle));
        if until > now {
            return told(GateState::Waiting { until, why });
        }
        return told(GateState::unmet(why, "an end of that traffic"));
    }
    if usage.length() < idle || after(usage.to, desired.fleet.waits.metrics_lag).is_none_or(|end| end < lately(now)) {
        return told(GateState::unmet("the key-usage answer covers another window", "a read of the whole window"));
    }
    if !usage.complete {
        return told(accept_unknown(desired, now, "the key-usage answer is incomplete"));
    }
    if !usage.alive {
        return told(accept_unknown(
            desired,
            now,
            "the storage metric shows no traffic of any kind, which proves nothing",
        ));
    }
    if usage.sas.count > 0 && !account.and_then(|a| a.accept_sas.as_ref()).is_some_and(|accepted| accepted.holds(now)) {
        return told(GateState::unmet(
            format!(
                "{} requests with a SAS within {}: the metric does not tell what signed them",
                usage.sas.count,
                human(idle)
            ),
            "an end of that traffic, or `acceptSas` on the StorageAccount document",
        ));
    }
    told(GateState::Open)
}

/// How long nobody may have signed with this account's key.
pub(super) fn key_idle_of(desired: &KeyDesired) -> std::time::Duration {
    desired.account.as_ref().and_then(|account| account.key_idle).unwrap_or(desired.fleet.waits.key_idle)
}

fn busy_until(usage: &KeyUsage, desired: &KeyDesired) -> Option<Timestamp> {
    (usage.account_key.count > 0).then(|| {
        let last = usage.account_key.last.unwrap_or(usage.to);
        after(last, key_idle_of(desired))
            .and_then(|at| after(at, desired.fleet.waits.metrics_lag))
            .unwrap_or(Timestamp::MAX)
    })
}

fn accept_unknown(desired: &KeyDesired, now: Timestamp, why: &str) -> GateState {
    let accepted = desired.account.as_ref().and_then(|account| account.accept_unknown_key_use.as_ref());
    if accepted.is_some_and(|accepted| accepted.holds(now)) {
        return GateState::Open;
    }
    GateState::unmet(why, "a complete answer, or `acceptUnknownKeyUse` on the StorageAccount document")
}

/// How old the end of a usable window may be beyond the metrics' own lag.
fn lately(now: Timestamp) -> Timestamp {
    now.checked_sub(SignedDuration::from_secs(60)).unwrap_or(Timestamp::MIN)
}

/// [`crate::gate::Gate::Unlocked`]. Under `CanNotDelete` grants and flags can be written, revokes cannot; `ReadOnly` bars all.
///
/// Source: <https://learn.microsoft.com/azure/azure-resource-manager/management/lock-resources>.
pub(super) fn unlocked(action: &Action, observed: &Observed) -> Judged {
    let locks = match &observed.locks {
        Reading::NotRead => return lacks(ReadSet { locks: true, ..ReadSet::default() }),
        Reading::Unknown { why } => return told(GateState::unknown("locks", why)),
        Reading::Known { value, .. } => value,
    };
    let deletes = matches!(action, Action::RevokeRole { .. });
    let barred: Vec<String> = locks
        .iter()
        .filter(|lock| lock.level != LockLevel::CanNotDelete || deletes)
        .filter(|lock| lock.scope.covers(reached(action)))
        .map(|lock| format!("{} at {}", lock.id.name(), lock.scope))
        .collect();
    if barred.is_empty() {
        return told(GateState::Open);
    }
    told(GateState::unmet(
        format!("locked by {}", listed(&barred)),
        "the lock removed, for as long as the change takes",
    ))
}

fn reached(action: &Action) -> &ArmId {
    action.target()
}

/// [`crate::gate::Gate::Active`] for a change asked for by one workspace.
pub(super) fn workspace_active(workspace: &DesiredWorkspace, desired: &KeyDesired, now: Timestamp) -> GateState {
    if desired.fleet.paused {
        return GateState::unmet("the kill switch is set", "`guard: {paused: false}` in the Fleet document");
    }
    document_active(&workspace.name, workspace.enforcement, workspace.suspend.as_ref(), now)
}

/// [`crate::gate::Gate::Active`] for a change of the whole account: the most cautious document counts.
pub(super) fn account_active(desired: &KeyDesired, now: Timestamp) -> GateState {
    let mut cautious = Vec::new();
    if let Some(account) = &desired.account {
        let enforcement = account.enforcement.unwrap_or(desired.fleet.enforcement);
        cautious.push(document_active(&account.name, enforcement, account.suspend.as_ref(), now));
    }
    cautious.extend(desired.workspaces.values().map(|workspace| workspace_active(workspace, desired, now)));
    if desired.fleet.paused {
        return GateState::unmet("the kill switch is set", "`guard: {paused: false}` in the Fleet document");
    }
    cautious
        .into_iter()
        .max_by_key(caution)
        .unwrap_or_else(|| GateState::unmet("no document asks for it", "a document"))
}

/// Unmet outranks waiting, and a later end outranks an earlier one.
pub(super) fn caution(state: &GateState) -> (u8, Option<Timestamp>) {
    match state {
        GateState::Open => (0, None),
        GateState::Waiting { until, .. } => (1, Some(*until)),
        GateState::NotLooked => (2, None),
        GateState::Unmet { .. } => (3, None),
    }
}

fn document_active(name: &str, enforcement: Enforcement, suspend: Option<&Suspend>, now: Timestamp) -> GateState {
    if enforcement == Enforcement::Observe {
        return GateState::unmet(format!("{name} is in observe mode"), "`enforcement: enforce` in its document");
    }
    match suspend {
        Some(suspend) if suspend.is_active(now) => {
            let why = format!("{name} is suspended: {}", suspend.reason);
            match suspend.then {
                crate::desired::AfterSuspend::Resume => GateState::Waiting { until: suspend.until, why },
                crate::desired::AfterSuspend::Stay => GateState::unmet(why, "`suspend` taken out of its document"),
            }
        }
        _ => GateState::Open,
    }
}

/// [`crate::gate::Gate::Window`]: repair is never held.
pub(super) fn window(effort: Effort, windows: &[ChangeWindow], now: Timestamp) -> GateState {
    if effort == Effort::Repair || windows.is_empty() {
        return GateState::Open;
    }
    match windows.iter().filter_map(|window| next_opening(window, now)).min() {
        Some(at) if at <= now => GateState::Open,
        Some(until) => GateState::Waiting { until, why: "the next change window".to_owned() },
        None => GateState::unmet("no change window ever opens", "a change window with a day and a time"),
    }
}

/// `now` if the window is open, else when it opens next.
fn next_opening(window: &ChangeWindow, now: Timestamp) -> Option<Timestamp> {
    let today = now.to_zoned(TimeZone::UTC).start_of_day().ok()?;
    for ahead in 0..=7_i64 {
        let day = today.checked_add(ahead.days()).ok()?;
        let weekday = u8::try_from(day.weekday().to_monday_one_offset()).ok()?;
        if !window.days.is_empty() && !window.days.contains(&weekday) {
            continue;
        }
        let from = day.timestamp().checked_add(SignedDuration::from_mins(window.from.into())).ok()?;
        let to = day.timestamp().checked_add(SignedDuration::from_mins(window.to.into())).ok()?;
        if now < from {
            return Some(from);
        }
        if now < to {
            return Some(now);
        }
    }
    None
}

/// [`crate::gate::Gate::Settled`].
pub(super) fn settled(limits: &Limits, now: Timestamp) -> GateState {
    wait(limits.unsettled_until, now, "a write whose outcome is unknown may still land")
}

/// [`crate::gate::Gate::Booted`].
pub(super) fn booted(limits: &Limits, now: Timestamp) -> GateState {
    wait(limits.boot_until, now, "a write of an earlier process may still land")
}

fn wait(until: Option<Timestamp>, now: Timestamp, why: &str) -> GateState {
    match until {
        Some(until) if until > now => GateState::Waiting { until, why: why.to_owned() },
        _ => GateState::Open,
    }
}

/// [`crate::gate::Gate::NotRefused`].
pub(super) fn not_refused(action: &Action, limits: &Limits, now: Timestamp) -> GateState {
    match limits.refused.get(action) {
        Some(refusal) if refusal.until > now => GateState::Waiting {
            until: refusal.until,
            why: format!("the next try; Azure refused the last: {}", refusal.why),
        },
        _ => GateState::Open,
    }
}

fn after(start: Timestamp, wait: std::time::Duration) -> Option<Timestamp> {
    SignedDuration::try_from(wait).ok().and_then(|wait| start.checked_add(wait).ok())
}

fn human(duration: std::time::Duration) -> String {
    humantime::format_duration(duration).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[test]
    fn a_window_opens_on_its_days_at_its_hours() {
        let windows = [ChangeWindow { days: BTreeSet::from([1, 3]), from: 9 * 60, to: 17 * 60 }];
        // 2026-11-23 is a Monday.
        for (now, until) in [
            ("2026-11-23T08:59:59Z", Some("2026-11-23T09:00:00Z")),
            ("2026-11-23T09:00:00Z", None),
            ("2026-11-23T16:59:59Z", None),
            ("2026-11-23T17:00:00Z", Some("2026-11-25T09:00:00Z")),
            ("2026-11-26T00:00:00Z", Some("2026-11-30T09:00:00Z")),
        ] {
            let state = window(Effort::Tighten, &windows, at(now));
            match until {
                None => assert_eq!(state, GateState::Open, "{now}"),
                Some(opens) => {
                    assert!(
                        matches!(state, GateState::Waiting { until, .. } if until == at(opens)),
                        "{now}: {state:?}"
                    );
                }
            }
            assert_eq!(window(Effort::Repair, &windows, at(now)), GateState::Open);
        }
    }
}
