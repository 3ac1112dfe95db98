//! Gates that every change has, and the locks that bar it.

use std::collections::BTreeSet;

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp, ToSpan};

use crate::action::{Action, Effort};
use crate::desired::{AfterSuspend, ChangeWindow, DesiredWorkspace, Enforcement, KeyDesired, Suspend};
use crate::gate::{GateState, ReadSet};
use crate::observed::{LockLevel, Observed, Reading, RoleAssignment};
use crate::plan::{Limits, Refusal};

use super::barriers::of_workspace;
use super::{Judged, lacks, listed, told};

/// [`crate::gate::Gate::Unlocked`]. Under `CanNotDelete` grants and flags can be written, revokes cannot; `ReadOnly` bars all.
///
/// Source: <https://learn.microsoft.com/azure/azure-resource-manager/management/lock-resources>.
pub(in crate::plan) fn unlocked(action: &Action, observed: &Observed) -> Judged {
    let mut wants = ReadSet::default();
    let mut seen = Vec::new();
    match &observed.locks {
        Reading::NotRead => wants.locks = true,
        Reading::Unknown { why, cause } => return told(GateState::unknown("locks", why, cause)),
        Reading::Known { value, .. } => seen.extend(value),
    }
    if let Some(workspace) = of_workspace(action) {
        match observed.barriers.locks.get(workspace.arm()) {
            None | Some(Reading::NotRead) => drop(wants.barriers.locks.insert(workspace.arm().clone())),
            Some(Reading::Unknown { why, cause }) => {
                return told(GateState::unknown("the workspace's locks", why, cause));
            }
            Some(Reading::Known { value, .. }) => seen.extend(value),
        }
    }
    let deletes = matches!(action, Action::RevokeRole { .. });
    // The workspace lists the account's keys then, which a read-only lock there bars like a write.
    let takes_keys = matches!(action, Action::ResyncWorkspaceKeys { .. });
    let account = observed.account_id.arm();
    // One that both inherit stands in both lists.
    let barred: BTreeSet<String> = seen
        .into_iter()
        .filter(|lock| lock.level != LockLevel::CanNotDelete || deletes)
        .filter(|lock| lock.scope.covers(action.target()) || (takes_keys && lock.scope.covers(account)))
        .map(|lock| format!("{} at {}", lock.id.name(), lock.scope))
        .collect();
    if !barred.is_empty() {
        let barred: Vec<String> = barred.into_iter().collect();
        let lift = "the lock removed, for as long as the change takes";
        return told(GateState::unmet(format!("locked by {}", listed(&barred)), lift));
    }
    if wants.is_empty() { told(GateState::Open) } else { lacks(wants) }
}

/// [`crate::gate::Gate::Active`] for a change asked for by one workspace.
pub(in crate::plan) fn workspace_active(
    workspace: &DesiredWorkspace,
    desired: &KeyDesired,
    now: Timestamp,
) -> GateState {
    if desired.fleet.paused {
        return GateState::unmet("the kill switch is set", "`guard: {paused: false}` in the Fleet document");
    }
    document_active(&workspace.name, workspace.enforcement, workspace.suspend.as_ref(), now)
}

/// [`crate::gate::Gate::Active`] for a change of the whole account: the most cautious document counts.
pub(in crate::plan) fn account_active(desired: &KeyDesired, now: Timestamp) -> GateState {
    let mut cautious = Vec::new();
    if let Some(account) = &desired.account {
        let enforcement = account.enforcement.unwrap_or(desired.fleet.enforcement);
        cautious.push(document_active(&account.name, enforcement, account.suspend.as_ref(), now));
    }
    cautious.extend(desired.workspaces.values().map(|workspace| workspace_active(workspace, desired, now)));
    let elsewhere = desired.unplaced.values().flatten();
    cautious.extend(elsewhere.map(|workspace| {
        let here = |why| format!("{why}; it may stand on this account, for its own could not be found out");
        match workspace_active(workspace, desired, now) {
            GateState::Waiting { until, why } => GateState::Waiting { until, why: here(why) },
            GateState::Unmet { why, lift } => {
                GateState::unmet(here(why), format!("{lift}, or a read that tells where it stands"))
            }
            open @ (GateState::Open | GateState::NotLooked) => open,
        }
    }));
    if desired.fleet.paused {
        return GateState::unmet("the kill switch is set", "`guard: {paused: false}` in the Fleet document");
    }
    cautious
        .into_iter()
        .max_by_key(caution)
        .unwrap_or_else(|| GateState::unmet("no document asks for it", "a document"))
}

/// Unmet outranks waiting, and a later end outranks an earlier one.
pub(in crate::plan) fn caution(state: &GateState) -> (u8, Option<Timestamp>) {
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
                AfterSuspend::Resume => GateState::Waiting { until: suspend.until, why },
                AfterSuspend::Stay => GateState::unmet(why, "`suspend` taken out of its document"),
            }
        }
        _ => GateState::Open,
    }
}

/// [`crate::gate::Gate::Window`]: repair is never held. It opens by the time that all answers agree to, and closes by that of
/// most of them; where one window ends as another begins, nothing closes.
pub(in crate::plan) fn window(effort: Effort, windows: &[ChangeWindow], observed: &Observed) -> GateState {
    if effort == Effort::Repair || windows.is_empty() {
        return GateState::Open;
    }
    let mut at = observed.now;
    // What is open for a whole week is never shut.
    let last = at.checked_add(WEEK).map_or(observed.latest(), |week| week.min(observed.latest()));
    while at <= last {
        let next: Vec<_> = windows.iter().filter_map(|window| next_opening(window, at)).collect();
        if let Some((_, shuts)) = next.iter().filter(|(opens, _)| *opens <= at).max_by_key(|(_, shuts)| shuts) {
            at = *shuts;
            continue;
        }
        return match next.into_iter().min() {
            Some((until, _)) => GateState::Waiting { until, why: "the next change window".to_owned() },
            None => GateState::unmet("no change window ever opens", "a change window with a day and a time"),
        };
    }
    GateState::Open
}

const WEEK: SignedDuration = SignedDuration::from_hours(7 * 24);

/// From when to when the window is open, now or when it opens next.
fn next_opening(window: &ChangeWindow, now: Timestamp) -> Option<(Timestamp, Timestamp)> {
    let today = now.to_zoned(TimeZone::UTC).start_of_day().ok()?;
    for ahead in 0..=7_i64 {
        let day = today.checked_add(ahead.days()).ok()?;
        let weekday = u8::try_from(day.weekday().to_monday_one_offset()).ok()?;
        if !window.days.is_empty() && !window.days.contains(&weekday) {
            continue;
        }
        let opens = day.timestamp().checked_add(SignedDuration::from_mins(window.from.into())).ok()?;
        let shuts = day.timestamp().checked_add(SignedDuration::from_mins(window.to.into())).ok()?;
        if now < shuts {
            return Some((opens, shuts));
        }
    }
    None
}

/// [`crate::gate::Gate::Settled`].
pub(in crate::plan) fn settled(limits: &Limits, now: Timestamp) -> GateState {
    wait(limits.unsettled_until, now, "a write whose outcome is unknown may still land")
}

/// [`crate::gate::Gate::Booted`].
pub(in crate::plan) fn booted(limits: &Limits, now: Timestamp) -> GateState {
    wait(limits.boot_until, now, "a write of an earlier process may still land")
}

fn wait(until: Option<Timestamp>, now: Timestamp, why: &str) -> GateState {
    match until {
        Some(until) if until > now => GateState::Waiting { until, why: why.to_owned() },
        _ => GateState::Open,
    }
}

/// [`crate::gate::Gate::NotRefused`].
///
/// Azure keeps one assignment of a role for a principal at a scope: 409 `RoleAssignmentExists` under another name, and that it
/// is another condition makes no difference.
/// Source: azure-mgmt-authorization 4.0.0 `v2022_04_01`; Azure/azure-cli, `role assignment create`, which takes it as done.
pub(in crate::plan) fn not_refused(action: &Action, limits: &Limits, observed: &Observed) -> GateState {
    if let Some(Refusal { until, why, lift }) = limits.refused.get(action)
        && *until > observed.now
    {
        let lift = lift.as_ref().map(|lift| format!("; what lifts it: {lift}")).unwrap_or_default();
        return GateState::Waiting { until: *until, why: format!("the next try; Azure refused the last: {why}{lift}") };
    }
    let Action::GrantRole(grant) = action else { return GateState::Open };
    let is_in_the_way = |there: &&RoleAssignment| {
        there.principal == grant.principal
            && there.role == grant.role
            && there.scope == grant.scope
            && there.condition != grant.condition
    };
    match observed.assignments.value().into_iter().flatten().find(is_in_the_way) {
        None => GateState::Open,
        Some(there) => {
            let form = if there.condition.is_some() { "under another condition" } else { "without a condition" };
            let why =
                format!("the assignment {} is there {form}, and Azure keeps one of a role at a scope", there.name);
            GateState::unmet(
                why,
                "that assignment changed by a person to the `condition` of the files; where entries ask for different \
                 ones, one `condition` in all of them that gives each what it needs",
            )
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::time::Duration;

    use super::*;
    use crate::id::StorageAccountId;

    const ACCOUNT: &str = "/subscriptions/00000000-0000-4000-8000-000000000001/resourceGroups/rg/providers/\
        Microsoft.Storage/storageAccounts/stone";

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[test]
    fn a_window_opens_on_its_days_at_its_hours() {
        let windows = [ChangeWindow { days: BTreeSet::from([1, 3]), from: 9 * 60, to: 17 * 60 }];
        // 2026-11-23 is a Monday.
        for (now, behind, until) in [
            ("2026-11-23T08:59:59Z", 0, Some("2026-11-23T09:00:00Z")),
            ("2026-11-23T08:59:59Z", 1, Some("2026-11-23T09:00:00Z")),
            ("2026-11-23T09:00:00Z", 0, None),
            ("2026-11-23T16:59:59Z", 0, None),
            ("2026-11-23T16:59:58Z", 1, None),
            ("2026-11-23T16:59:59Z", 1, Some("2026-11-25T09:00:00Z")),
            ("2026-11-23T17:00:00Z", 0, Some("2026-11-25T09:00:00Z")),
            ("2026-11-26T00:00:00Z", 0, Some("2026-11-30T09:00:00Z")),
        ] {
            assert_window(&windows, (now, behind), until);
        }
    }

    #[test]
    fn windows_that_meet_are_one_and_the_time_between_two_is_shut() {
        let every_day = |from, to| ChangeWindow { days: BTreeSet::new(), from, to };
        let windows = [every_day(0, 4 * 60), every_day(22 * 60, 24 * 60), every_day(4 * 60 + 1, 5 * 60)];
        for (now, behind, until) in [
            ("2026-11-23T23:59:59Z", 1, None),
            ("2026-11-23T23:59:59Z", 4 * 3600, None),
            ("2026-11-23T23:59:59Z", 4 * 3600 + 1, Some("2026-11-24T04:01:00Z")),
            ("2026-11-24T03:59:59Z", 62, Some("2026-11-24T04:01:00Z")),
            ("2026-11-24T04:01:00Z", 62, None),
            ("2026-11-24T04:59:59Z", 18 * 3600, Some("2026-11-24T22:00:00Z")),
        ] {
            assert_window(&windows, (now, behind), until);
        }
        assert_window(&[every_day(0, 24 * 60)], ("2026-11-23T23:59:59Z", 3600 * 24 * 365), None);
    }

    #[test]
    fn a_window_that_never_opens_says_so() {
        let never = [ChangeWindow { days: BTreeSet::from([9]), from: 0, to: 1440 }];
        let observed = Observed::unread(StorageAccountId::parse(ACCOUNT).unwrap(), at("2026-11-23T08:59:59Z"));
        assert!(matches!(window(Effort::Loosen, &never, &observed), GateState::Unmet { .. }));
    }

    fn assert_window(windows: &[ChangeWindow], (now, behind): (&str, u64), until: Option<&str>) {
        let account = StorageAccountId::parse(ACCOUNT).unwrap();
        let observed = Observed { behind: Duration::from_secs(behind), ..Observed::unread(account, at(now)) };
        let state = window(Effort::Tighten, windows, &observed);
        match until {
            None => assert_eq!(state, GateState::Open, "{now} {behind}"),
            Some(opens) => {
                assert!(
                    matches!(state, GateState::Waiting { until, .. } if until == at(opens)),
                    "{now} {behind}: {state:?}"
                );
            }
        }
        assert_eq!(window(Effort::Repair, windows, &observed), GateState::Open);
    }
}
