//! What is told of the key's use beside the gate on turning it off: who uses it, what was refused, what was accepted, and
//! which services have it off already.

use crate::desired::Acceptance;
use crate::observed::{KeyUsage, Reading, ServiceFlags, Signed};
use crate::plan::finding::{Accepted, KeyUse, Unseen};
use crate::plan::{Finding, callers};

use super::Planner;

/// How many callers a plan tells of, the busiest first. Design decision: what people read.
const MOST_CALLERS: usize = 20;

impl Planner<'_> {
    /// Tells of the account as it is, whatever is asked of it.
    pub(super) fn service_flags(&mut self) {
        let Some(account) = self.observed.account.value().and_then(Option::as_ref) else { return };
        if account.shared_key.is_on() && !account.services.is_empty() {
            self.findings.insert(Finding::KeyByService { flags: account.services.0.clone() });
        }
    }

    /// Tells who called, by the storage resource logs, or that they could not be read or tell nothing.
    pub(super) fn key_callers(&mut self) {
        let observed = self.observed;
        match (&observed.key_callers, self.desired.log_analytics()) {
            (Reading::NotRead, _) => {}
            (Reading::Unknown { why, cause }, _) => {
                let what = Unseen::Callers;
                self.findings.insert(Finding::Unseen { what, why: why.clone(), cause: cause.clone() });
            }
            (Reading::Known { value, .. }, workspace) => {
                let watched = self.watched().is_some();
                let told = value.callers.iter().filter(|one| watched || one.signed != Signed::OAuth);
                let mut told: Vec<_> = told.collect();
                told.sort_by_key(|one| std::cmp::Reverse(one.requests));
                self.findings.extend(told.into_iter().take(MOST_CALLERS).cloned().map(Finding::KeyCaller));
                if let (Some(services), Some(workspace)) = (callers::unlogged(observed, value), workspace) {
                    self.findings.insert(Finding::Unlogged { services, workspace: workspace.clone() });
                }
            }
        }
    }

    /// Tells who holds the key on, and what the files accept.
    pub(super) fn key_evidence(&mut self) {
        let (observed, now) = (self.observed, self.observed.now);
        if let Some(details) = observed.key_details.value() {
            let uses = [Signed::AccountKey, Signed::Sas].into_iter().flat_map(|signed| details.served(signed));
            self.findings.extend(uses.map(|one| {
                Finding::KeyUse(KeyUse {
                    service: one.service,
                    api: one.api.clone(),
                    signed: one.signed,
                    requests: one.traffic.count,
                    hours: one.traffic.hours().into_keys().collect(),
                    last: one.traffic.last,
                })
            }));
        }
        if let Some(KeyUsage { account_key_failed, .. }) = observed.key_usage.value()
            && account_key_failed.count > 0
        {
            let account = observed.account.value().and_then(Option::as_ref);
            self.findings.insert(Finding::KeyRefused {
                requests: account_key_failed.count,
                hours: account_key_failed.hours().len(),
                off: account.map(|account| off(&account.services)).unwrap_or_default(),
            });
        }
        let accepted = |what, services, Acceptance { reason, owner, until }: &Acceptance| {
            let (reason, owner, until) = (reason.clone(), owner.clone(), *until);
            Finding::Accepted(Accepted { what, services, reason, owner, until, ended: until <= now })
        };
        for (services, acceptance) in self.desired.accepted_sas() {
            self.findings.insert(accepted("acceptSas", services.iter().copied().collect(), acceptance));
        }
        let account = self.desired.account.as_ref();
        if let Some(acceptance) = account.and_then(|account| account.accept_unknown_key_use.as_ref()) {
            self.findings.insert(accepted("acceptUnknownKeyUse", Vec::new(), acceptance));
        }
    }
}

/// The services that have the key off by themselves.
fn off(flags: &ServiceFlags) -> Vec<crate::observed::StorageService> {
    flags.0.iter().filter(|(_, on)| !**on).map(|(service, _)| *service).collect()
}
