//! Whether files look like half of what is being written. Such a file is well formed as often as not, and asks for something
//! else than the whole: a hold may be missing as well as somebody's access.

use super::{Desired, DesiredAccount, DesiredWorkspace, Fleet, Scope};

impl Desired {
    /// Whether these may be half of files that are still being written, where `before` is what they were: a document is gone
    /// or new, somebody's access is another, or a field is what it is where nothing is said.
    #[must_use]
    pub fn may_be_half(&self, before: &Self) -> bool {
        let workspaces = || before.workspaces.iter().filter_map(|(id, then)| Some((self.workspaces.get(id)?, then)));
        let accounts = || before.accounts.iter().filter_map(|(id, then)| Some((self.accounts.get(id)?, then)));
        !self.workspaces.keys().eq(before.workspaces.keys())
            || !self.accounts.keys().eq(before.accounts.keys())
            || has_lost_of_fleet(&self.fleet, &before.fleet)
            || workspaces().any(|(now, then)| has_lost_of_workspace(now, then, &self.fleet))
            || accounts().any(|(now, then)| has_lost_of_account(now, then))
    }
}

fn has_lost_of_fleet(now: &Fleet, then: &Fleet) -> bool {
    let standard = Fleet::default();
    let (waits, were, usual) = (&now.waits, &then.waits, &standard.waits);
    let durations = [
        (waits.role_propagation, were.role_propagation, usual.role_propagation),
        (waits.group_propagation, were.group_propagation, usual.group_propagation),
        (waits.key_idle, were.key_idle, usual.key_idle),
        (waits.key_effect, were.key_effect, usual.key_effect),
        (waits.metrics_lag, were.metrics_lag, usual.metrics_lag),
        (waits.late_write, were.late_write, usual.late_write),
        (waits.watch, were.watch, usual.watch),
        (now.fight.within, then.fight.within, standard.fight.within),
    ];
    durations.iter().any(|(now, then, usual)| has_shrunk(now, then, usual))
        || has_shrunk(&waits.agreeing_reads, &were.agreeing_reads, &usual.agreeing_reads)
        || has_shrunk(&now.fight.reversals, &then.fight.reversals, &standard.fight.reversals)
        || fell_back(&now.is_declared, &then.is_declared, &standard.is_declared)
        || fell_back(&now.owner, &then.owner, &standard.owner)
        || (now.owner != then.owner && then.owner.starts_with(&now.owner))
        || fell_back(&now.enforcement, &then.enforcement, &standard.enforcement)
        || fell_back(&now.prune, &then.prune, &standard.prune)
        || fell_back(&now.drain, &then.drain, &standard.drain)
        || fell_back(&now.paused, &then.paused, &standard.paused)
        || fell_back(&now.data_probe, &then.data_probe, &standard.data_probe)
        || fell_back(&now.log_analytics, &then.log_analytics, &standard.log_analytics)
        || then.change_windows.iter().any(|window| !now.change_windows.contains(window))
        || then.accept_sas.iter().any(|entry| !now.accept_sas.contains(entry))
        || has_lost_of_scope(&now.scope, &then.scope)
}

fn has_lost_of_scope(now: &Scope, then: &Scope) -> bool {
    let subscriptions = match (&now.subscriptions, &then.subscriptions) {
        (Some(now), Some(then)) => !now.is_superset(then),
        (now, then) => fell_back(now, then, &None),
    };
    subscriptions || !now.exclude.is_superset(&then.exclude)
}

fn has_lost_of_workspace(now: &DesiredWorkspace, then: &DesiredWorkspace, fleet: &Fleet) -> bool {
    now.needs != then.needs
        || now.datastores != then.datastores
        || now.create != then.create
        || fell_back(&now.enforcement, &then.enforcement, &fleet.enforcement)
        || fell_back(&now.drain, &then.drain, &fleet.drain)
        || fell_back(&now.service_grants, &then.service_grants, &Default::default())
        || is_another(&now.suspend, &then.suspend)
        || is_gone(&now.accept_one_way, &then.accept_one_way)
        || is_gone(&now.accept_stale_keys, &then.accept_stale_keys)
        || then.accept_incompatible.keys().any(|id| !now.accept_incompatible.contains_key(id))
}

fn has_lost_of_account(now: &DesiredAccount, then: &DesiredAccount) -> bool {
    is_gone(&now.enforcement, &then.enforcement)
        || is_another(&now.suspend, &then.suspend)
        // Less than any is none.
        || now.key_idle < then.key_idle
        || is_gone(&now.accept_sas, &then.accept_sas)
        || is_gone(&now.accept_unknown_key_use, &then.accept_unknown_key_use)
        || is_gone(&now.accept_one_way, &then.accept_one_way)
        || is_gone(&now.log_analytics, &then.log_analytics)
        || is_gone(&now.data_probe, &then.data_probe)
}

/// Whether a field is what it is where nothing is said, and was not.
fn fell_back<T: PartialEq>(now: &T, then: &T, usual: &T) -> bool {
    now != then && now == usual
}

/// The end of a number may be missing as well as the field.
fn has_shrunk<T: PartialOrd>(now: &T, then: &T, usual: &T) -> bool {
    now < then || fell_back(now, then, usual)
}

fn is_gone<T>(now: &Option<T>, then: &Option<T>) -> bool {
    now.is_none() && then.is_some()
}

/// Whether a field that had a word has another now, or none.
fn is_another<T: PartialEq>(now: &Option<T>, then: &Option<T>) -> bool {
    then.is_some() && now != then
}
