//! Who lost access after the key went off or a workspace was switched: told, and never undone by itself.

use crate::catalog;
use crate::observed::{Reading, ServiceUse, Signed, WatchFrom};
use crate::plan::finding::{Denied, Unseen};
use crate::plan::{Drift, Finding, callers, gates};

use super::Planner;

impl Planner<'_> {
    /// Since when the account is watched, if it is still.
    pub(super) fn watched(&self) -> Option<WatchFrom> {
        let now = self.observed.now;
        let lasts =
            |from: &WatchFrom| gates::after(from.at, self.desired.fleet.waits.watch).is_some_and(|end| end > now);
        self.observed.history.watch.filter(lasts)
    }

    /// Asks for what was refused, and tells it, as long as the account is watched.
    pub(super) fn watch(&mut self) {
        let observed = self.observed;
        let Some(from) = self.watched() else { return };
        let details = match &observed.denials {
            Reading::NotRead => {
                self.wants.denials = true;
                return;
            }
            Reading::Unknown { why, cause } => {
                let what = Unseen::Refusals;
                self.findings.insert(Finding::Unseen { what, why: why.clone(), cause: cause.clone() });
                return;
            }
            Reading::Known { value, .. } => value,
        };
        for one in details.uses.iter().filter(|one| one.refused) {
            let Some(cause) = self.likely_cause(one) else { continue };
            let (service, api, signed) = (one.service, one.api.clone(), one.signed);
            let hours = one.traffic.hours().into_iter().filter(|(_, requests)| *requests > 0);
            self.findings.extend(hours.map(|(hour, requests)| {
                let (cause, api) = (cause.clone(), api.clone());
                let (since, because) = (from.at, from.because);
                let callers = callers::refused(observed, one, hour);
                Finding::KeyUserDenied(Denied { hour, service, api, signed, requests, cause, callers, since, because })
            }));
            self.wants.add(callers::wanted(observed, self.desired));
        }
    }

    /// What most likely stands behind refused requests; nothing where they say nothing about the key or a role.
    fn likely_cause(&self, one: &ServiceUse) -> Option<String> {
        let account = self.observed.account.value()?.as_ref()?;
        match one.signed {
            Signed::AccountKey | Signed::Sas => {
                let off = one.service.filter(|service| account.services.is_off(*service));
                if account.shared_key.is_on() && off.is_none() {
                    // A wrong key or an ended SAS: anybody's, and nothing that a change brought about.
                    return None;
                }
                let behind: Vec<String> = self
                    .findings
                    .iter()
                    .filter_map(|finding| match finding {
                        Finding::BrokenNow { workspace } => Some(format!("{} is on access keys", workspace.name())),
                        _ => None,
                    })
                    .collect();
                let where_off = match off {
                    Some(service) if account.shared_key.is_on() => format!("the key is off for {service}"),
                    _ => "the key is off".to_owned(),
                };
                Some(if behind.is_empty() {
                    format!(
                        "{where_off}, and somebody still signs with it or with a SAS made from it; anybody can send such a request"
                    )
                } else {
                    format!("{where_off}, and {}", gates::listed(&behind))
                })
            }
            Signed::OAuth => {
                let missing: Vec<String> = self
                    .drift
                    .iter()
                    .filter_map(|drift| match drift {
                        Drift::RoleMissing { workspace, principal, role } => Some(format!(
                            "{principal} lacks {} that {} declares",
                            catalog::role_name(*role),
                            workspace.name()
                        )),
                        Drift::AuthMode { .. }
                        | Drift::SharedKey { .. }
                        | Drift::DatastoreCredential { .. }
                        | Drift::DatastoreMissing { .. } => None,
                    })
                    .collect();
                Some(if missing.is_empty() {
                    "a data role is missing that no document declares, or a grant is too young or denied".to_owned()
                } else {
                    format!("a data role is missing, most likely: {}", gates::listed(&missing))
                })
            }
        }
    }
}
