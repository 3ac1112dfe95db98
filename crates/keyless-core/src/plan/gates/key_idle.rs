//! The gate that waits until nobody signs with the account's key any more.
//!
//! The metric of the account as a whole decides, for it covers every service. Which service and which call it is, is read
//! besides where that tells people something, and decides only where a SAS is accepted for single services. The storage
//! resource logs name callers and decide nothing, whatever they tell: see [`crate::observed::KeyCallers`].

use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp};

use crate::desired::{Acceptance, KeyDesired};
use crate::gate::{GateState, ReadSet};
use crate::observed::{KeyDetails, KeyUsage, Observed, Reading, Signed, StorageService, hour};
use crate::plan::callers;
use crate::plan::finding::plural;
use crate::span::span;

use super::{Judged, after, lacks, listed, told};

/// [`crate::gate::Gate::KeyIdle`].
pub(in crate::plan) fn key_idle(observed: &Observed, desired: &KeyDesired) -> Judged {
    let now = observed.now;
    let idle = desired.key_idle();
    let usage = match &observed.key_usage {
        Reading::NotRead => return lacks(ReadSet { key_usage: true, ..ReadSet::default() }),
        Reading::Unknown { why, .. } => {
            return told(accept_unknown(desired, observed, &format!("key usage could not be read: {why}")));
        }
        Reading::Known { value, .. } => value,
    };
    if let Some(until) = busy_until(usage, desired) {
        let requests = usage.account_key.count;
        let why = format!(
            "{requests} requests signed with the key succeeded within {}{}{}{}",
            span(idle),
            in_hours(usage.account_key.hours().len(), usage.account_key.last),
            users(&observed.key_details, Signed::AccountKey),
            callers::named(observed, Signed::AccountKey)
        );
        let state = if until > now {
            GateState::Waiting { until, why }
        } else {
            GateState::unmet(why, "an end of that traffic")
        };
        return (state, names_wanted(observed, desired));
    }
    if usage.length() < idle || after(usage.to, desired.fleet.waits.metrics_lag).is_none_or(|end| end < lately(now)) {
        return told(GateState::unmet("the key-usage answer covers another window", "a read of the whole window"));
    }
    if !usage.complete {
        return told(accept_unknown(desired, observed, "the key-usage answer is incomplete"));
    }
    if !usage.alive {
        return told(accept_unknown(
            desired,
            observed,
            "the storage metric shows no traffic of any kind, which proves nothing",
        ));
    }
    if let Some(at) = observed.history.signed_until
        && usage.to < at
    {
        let why = format!(
            "the metric tells what happened up to {}, and until {at} a workspace or datastore may have used the key, or anybody \
             while the files left it on, or who waited for it then",
            usage.to
        );
        let until = now.saturating_add(at.duration_since(usage.to)).unwrap_or(Timestamp::MAX);
        return told(GateState::Waiting { until, why });
    }
    if usage.sas.count > 0 { sas(usage, observed, desired) } else { told(GateState::Open) }
}

/// A SAS may be made from the key or by Entra, and the metric does not tell: somebody has to.
fn sas(usage: &KeyUsage, observed: &Observed, desired: &KeyDesired) -> Judged {
    let now = observed.latest();
    let holding: Vec<_> = desired.accepted_sas().filter(|(_, acceptance)| acceptance.holds(now)).collect();
    if holding.iter().any(|(services, _)| services.is_empty()) {
        // Whoever accepted it may not know what the logs do.
        return (GateState::Open, callers::wanted(observed, desired));
    }
    let accepted: BTreeSet<StorageService> = holding.iter().flat_map(|(services, _)| *services).copied().collect();
    let details = &observed.key_details;
    let requests = format!("{} requests with a SAS within {}", usage.sas.count, span(desired.key_idle()));
    let lift = "an end of that traffic, or `acceptSas` on the StorageAccount document or in the Fleet";
    if accepted.is_empty() {
        let why = format!(
            "{requests}{}: the metric does not tell what signed them{}{}",
            users(details, Signed::Sas),
            callers::named(observed, Signed::Sas),
            ended(desired, now)
        );
        return (GateState::unmet(why, lift), names_wanted(observed, desired));
    }
    let known = match details {
        Reading::NotRead => return lacks(ReadSet { key_details: true, ..ReadSet::default() }),
        Reading::Unknown { why, .. } => {
            let why = format!("{requests}: to which services could not be read: {why}");
            return told(GateState::unmet(why, "a complete read of the metric by service"));
        }
        Reading::Known { value, .. } => value,
    };
    let others: Vec<String> = known.services(Signed::Sas).difference(&accepted).map(ToString::to_string).collect();
    if !others.is_empty() {
        let why = format!(
            "{requests}, also to {}, for which no SAS is accepted{}{}{}",
            listed(&others),
            users(details, Signed::Sas),
            callers::named(observed, Signed::Sas),
            ended(desired, now)
        );
        return (GateState::unmet(why, lift), callers::wanted(observed, desired));
    }
    if accounts_for(known, usage) {
        (GateState::Open, callers::wanted(observed, desired))
    } else {
        let why = format!("{requests}: not all of them could be put down to a service");
        told(GateState::unmet(why, "a complete read of the metric by service"))
    }
}

/// Whether the services together show all that the account as a whole shows of SAS.
fn accounts_for(details: &KeyDetails, usage: &KeyUsage) -> bool {
    let shown: BTreeSet<Timestamp> = details
        .served(Signed::Sas)
        .filter(|one| one.service.is_some())
        .flat_map(|one| one.traffic.hours().into_keys())
        .collect();
    // The account's own answer was cut a moment earlier or later.
    let covers = hour(details.from) <= hour(usage.from) && details.to.max(usage.to).duration_since(details.to) <= SLACK;
    details.complete && covers && !shown.is_empty() && usage.sas.hours().keys().all(|hour| shown.contains(hour))
}

/// How much earlier the answer by service may end than the one of the account. Design decision: a confirmation's length.
const SLACK: SignedDuration = SignedDuration::from_mins(1);

/// Who it is, where that was read.
fn users(details: &Reading<KeyDetails>, signed: Signed) -> String {
    let details = match details {
        Reading::NotRead => return String::new(),
        Reading::Unknown { why, .. } => return format!(" (to which services could not be read: {why})"),
        Reading::Known { value, .. } => value,
    };
    let mut uses: Vec<_> = details.served(signed).collect();
    uses.sort_by_key(|one| std::cmp::Reverse(one.traffic.count));
    let names: Vec<String> = uses
        .into_iter()
        .filter_map(|one| {
            let hours = one.traffic.hours().len();
            Some(format!("{} {} {} in {}", one.service?, one.api, one.traffic.count, plural(hours, "hour")))
        })
        .collect();
    if names.is_empty() { String::new() } else { format!(" ({})", listed(&names)) }
}

/// Asks for the names that go with a shut gate, unless they were asked for.
fn names_wanted(observed: &Observed, desired: &KeyDesired) -> ReadSet {
    let details = matches!(observed.key_details, Reading::NotRead);
    ReadSet { key_details: details, ..callers::wanted(observed, desired) }
}

/// Says of acceptances that have ended that they have.
fn ended(desired: &KeyDesired, now: Timestamp) -> String {
    let ended: Vec<String> = desired
        .accepted_sas()
        .filter(|(_, acceptance)| !acceptance.holds(now))
        .map(|(_, Acceptance { owner, until, reason: _ })| format!("the acceptance of {owner} ended at {until}"))
        .collect();
    if ended.is_empty() { String::new() } else { format!("; {}", listed(&ended)) }
}

fn in_hours(hours: usize, last: Option<Timestamp>) -> String {
    match last {
        Some(last) if hours > 0 => format!(", in {}, the last of them before {last}", plural(hours, "hour")),
        _ => String::new(),
    }
}

fn busy_until(usage: &KeyUsage, desired: &KeyDesired) -> Option<Timestamp> {
    (usage.account_key.count > 0).then(|| {
        let last = usage.account_key.last.unwrap_or(usage.to);
        after(last, desired.key_idle())
            .and_then(|at| after(at, desired.fleet.waits.metrics_lag))
            .unwrap_or(Timestamp::MAX)
    })
}

fn accept_unknown(desired: &KeyDesired, observed: &Observed, why: &str) -> GateState {
    let accepted = desired.account.as_ref().and_then(|account| account.accept_unknown_key_use.as_ref());
    if accepted.is_some_and(|accepted| accepted.holds(observed.latest())) {
        return GateState::Open;
    }
    let ended = accepted.map(|ended| format!("; the acceptance of {} ended at {}", ended.owner, ended.until));
    GateState::unmet(
        format!("{why}{}", ended.unwrap_or_default()),
        "a complete answer, or `acceptUnknownKeyUse` on the StorageAccount document",
    )
}

/// How old the end of a usable window may be beyond the metrics' own lag.
fn lately(now: Timestamp) -> Timestamp {
    now.checked_sub(SignedDuration::from_secs(60)).unwrap_or(Timestamp::MIN)
}
