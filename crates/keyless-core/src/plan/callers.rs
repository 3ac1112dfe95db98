//! Who stands behind requests, in words: what the storage resource logs add to what the metric counts.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};

use crate::desired::KeyDesired;
use crate::gate::ReadSet;
use crate::observed::{KeyCaller, KeyCallers, MadeFrom, Observed, Reading, ServiceUse, Signed, StorageService};

use super::gates::listed;

/// Where the names begin in the reason of a gate.
pub const NAMED_BY_LOGS: &str = "; the resource logs name ";

/// Asks for the names, where the files say where they are and nobody has asked.
pub(super) fn wanted(observed: &Observed, desired: &KeyDesired) -> ReadSet {
    let unread = matches!(observed.key_callers, Reading::NotRead);
    ReadSet { key_callers: unread && desired.log_analytics().is_some(), ..ReadSet::default() }
}

/// The callers that hold the key on, for the end of a sentence; nothing where the logs name nobody.
pub(super) fn named(observed: &Observed, signed: Signed) -> String {
    let Some(known) = observed.key_callers.value() else { return String::new() };
    let names = most_frequent(known.served(signed), |one| {
        let how = if signed == Signed::Sas { format!(" with {}", sas(one)) } else { String::new() };
        format!("{one}: {} {}{how}", one.service, one.operation)
    });
    if names.is_empty() { String::new() } else { format!("{NAMED_BY_LOGS}{}", listed(&names)) }
}

/// Who was refused in the hour from `hour` as the metric counts it.
pub(super) fn refused(observed: &Observed, one: &ServiceUse, hour: Timestamp) -> Vec<String> {
    let Some(known) = observed.key_callers.value() else { return Vec::new() };
    let end = hour.checked_add(SignedDuration::from_hours(1)).unwrap_or(Timestamp::MAX);
    let meant = known.callers.iter().filter(|caller| {
        let here = one.service.is_none_or(|service| service == caller.service);
        here && caller.refused && caller.signed == one.signed && caller.first < end && caller.last >= hour
    });
    most_frequent(meant, |caller| format!("{caller}: {} {}", caller.service, caller.operation))
}

/// The services whose use the metric shows and the logs do not: most likely nothing sends their logs.
pub(super) fn unlogged(observed: &Observed, known: &KeyCallers) -> Option<BTreeSet<StorageService>> {
    if known.cut {
        return None;
    }
    let kinds = [Signed::AccountKey, Signed::Sas];
    let logged: BTreeSet<StorageService> = kinds.iter().flat_map(|signed| known.services(*signed)).collect();
    if let Some(details) = observed.key_details.value() {
        let used: BTreeSet<StorageService> = kinds.iter().flat_map(|signed| details.services(*signed)).collect();
        let silent: BTreeSet<StorageService> = used.difference(&logged).copied().collect();
        return (!silent.is_empty()).then_some(silent);
    }
    let busy = observed.key_usage.value().is_some_and(|usage| usage.account_key.count > 0 || usage.sas.count > 0);
    (busy && logged.is_empty()).then(BTreeSet::new)
}

/// What the logs tell of the SAS of a caller.
pub(super) fn sas(one: &KeyCaller) -> String {
    match &one.made_from {
        MadeFrom::Key(key) => format!("a SAS made from {key}"),
        MadeFrom::NoKey => "a SAS whose hash names no key, most likely a user delegation".to_owned(),
        MadeFrom::Untold => "a SAS of which the logs do not tell what signed it".to_owned(),
    }
}

/// Names with all of their requests, the busiest first chosen and then in order, so that a changed count is no news.
fn most_frequent<'a>(callers: impl Iterator<Item = &'a KeyCaller>, name: impl Fn(&KeyCaller) -> String) -> Vec<String> {
    const SHOWN: usize = 5;
    let mut sums: BTreeMap<String, (u64, Timestamp)> = BTreeMap::new();
    for one in callers {
        let (count, last) = sums.entry(name(one)).or_insert((0, one.last));
        *count = count.saturating_add(one.requests);
        *last = (*last).max(one.last);
    }
    let mut all: Vec<(String, u64, Timestamp)> =
        sums.into_iter().map(|(name, (count, last))| (name, count, last)).collect();
    all.sort_by_key(|(_, count, _)| std::cmp::Reverse(*count));
    if let Some((first, rest)) = all.split_at_mut_checked(SHOWN) {
        first.sort();
        rest.sort();
    } else {
        all.sort();
    }
    all.into_iter().map(|(name, count, last)| format!("{name} {count} times, last at {last}")).collect()
}
