//! Gates on the switch of one workspace, forward and back.

use std::collections::BTreeSet;

use jiff::Timestamp;

use crate::access::{self, Answer, Cover, Denial, Hit};
use crate::catalog;
use crate::desired::{DesiredWorkspace, KeyDesired, ServiceGrants};
use crate::gate::{self, GateState, ReadSet};
use crate::id::WorkspaceId;
use crate::observed::{Observed, ObservedAuthMode, Reading, SharedKeyAccess};

use super::{Judged, after, lacks, listed, told};
use crate::plan::finding::NO_IDENTITY;
use crate::plan::needs::{NeedView, Resolved, ServiceGrant, service_grant};

/// [`crate::gate::Gate::NeedsCovered`].
pub(in crate::plan) fn needs_covered(views: &[NeedView<'_>], observed: &Observed, desired: &KeyDesired) -> Judged {
    let mut unmet = Vec::new();
    let mut granted = true;
    // No grant lifts what could not be read.
    let mut unread: BTreeSet<String> = BTreeSet::new();
    let mut wants = ReadSet::default();
    for view in views {
        match &view.holders {
            Resolved::NotRead(reads) => wants.add((**reads).clone()),
            Resolved::Missing(why) => {
                granted = false;
                unmet.push(format!("{}: {why}", view.need.principal));
            }
            Resolved::Unknown(why, cause) => {
                unread.insert(gate::lift_of_read(cause));
                unmet.push(format!("{}: {why}", view.need.principal));
            }
            Resolved::Known(holders) => {
                for (principal, kind) in holders {
                    let question = view.question(*principal, *kind);
                    let Answer { cover, denials, .. } = access::judge(&question, observed, &desired.fleet.waits);
                    granted &= !matches!(cover, Cover::Missing { .. } | Cover::Denied { .. });
                    match cover {
                        Cover::Covered { .. } => {}
                        Cover::NotRead(reads) => {
                            wants.add(*reads);
                            // Needed in any case: with one round less.
                            wants.denies |= matches!(observed.denies, Reading::NotRead);
                        }
                        Cover::Missing { conditional, .. } => unmet.push(format!(
                            "{} lacks {}{}{}",
                            view.need.principal,
                            view.role.name,
                            if conditional { " (a conditional grant does not count)" } else { "" },
                            // The grant alone will not do, and whoever reads the plan should know before it is made.
                            denials.first().map(|by| format!(" and {}", denied(by))).unwrap_or_default()
                        )),
                        Cover::Denied { by } => unmet.push(format!("{} {}", view.need.principal, denied(&by))),
                        Cover::Unknown { why, cause } => {
                            unread.insert(gate::lift_of_read(&cause));
                            unmet.push(format!("{}: {why}", view.need.principal));
                        }
                    }
                }
            }
        }
    }
    if !unmet.is_empty() {
        let grants = (!granted).then(|| {
            "grants for all declared needs, under no condition but those of the files, and not denied".to_owned()
        });
        let lifts: Vec<String> = grants.into_iter().chain(unread).collect();
        return told(GateState::unmet(listed(&unmet), lifts.join("; and ")));
    }
    if wants.is_empty() { told(GateState::Open) } else { lacks(wants) }
}

fn denied(by: &Denial) -> String {
    match (by.hits, by.certain) {
        (Hit::Member(who), _) => format!("may have {who} in it, whom `{}` denies", by.name),
        (_, true) => format!("is denied by `{}`", by.name),
        (_, false) => format!("is, or may be, denied by `{}`", by.name),
    }
}

/// [`crate::gate::Gate::NeedsAged`]. Looked at only when the needs are covered.
pub(in crate::plan) fn needs_aged(views: &[NeedView<'_>], observed: &Observed, desired: &KeyDesired) -> Judged {
    let mut latest: Option<(Timestamp, String)> = None;
    for view in views {
        let Resolved::Known(holders) = &view.holders else { return told(GateState::NotLooked) };
        for (principal, kind) in holders {
            match access::cover(&view.question(*principal, *kind), observed, &desired.fleet.waits) {
                Cover::Covered { works_at: Some(at), evidence } => {
                    if latest.as_ref().is_none_or(|(so_far, _)| at > *so_far) {
                        let (role, who) = (view.role.name, &view.need.principal);
                        let whom = if kind.is_group() { " for identities that may be in it" } else { "" };
                        let why = format!("{role} of {who} to work{whom} ({})", evidence.told(observed.now));
                        latest = Some((at, why));
                    }
                }
                Cover::Covered { works_at: None, .. } => {
                    let why = format!("the age of {} of {} is not told", view.role.name, view.need.principal);
                    return told(GateState::unmet(why, "a direct grant whose age Azure tells"));
                }
                Cover::Missing { .. } | Cover::Denied { .. } | Cover::Unknown { .. } | Cover::NotRead(_) => {
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
pub(in crate::plan) fn service_grant_there(
    workspace: &DesiredWorkspace,
    observed: &Observed,
    desired: &KeyDesired,
) -> Judged {
    if workspace.service_grants == ServiceGrants::Accept {
        return told(GateState::Open);
    }
    let Some(Reading::Known { value: Some(own), .. }) =
        observed.workspaces.get(&workspace.id).map(|entry| &entry.workspace)
    else {
        return told(GateState::NotLooked);
    };
    let lift = "the service's own grant (re-provisioning), or `serviceGrants: grant | accept` in the file";
    let role = catalog::role_name(catalog::BLOB_CONTRIBUTOR);
    match service_grant(own, observed, &desired.fleet.waits) {
        ServiceGrant::Present { works_at: Some(until), evidence } if until > observed.now => {
            let why = format!("{role} of the workspace's identity to work ({})", evidence.told(observed.now));
            told(GateState::Waiting { until, why })
        }
        ServiceGrant::Present { works_at: Some(_), .. } => told(GateState::Open),
        ServiceGrant::Present { works_at: None, .. } => {
            let why = format!("the age of {role} of the workspace's identity is not told");
            told(GateState::unmet(why, "a direct grant whose age Azure tells"))
        }
        ServiceGrant::Missing(principal) => {
            told(GateState::unmet(format!("the workspace's identity {principal} lacks {role}"), lift))
        }
        ServiceGrant::Denied(principal, by) => {
            let why = format!("the workspace's identity {principal} is, or may be, denied by `{}`", by.name);
            told(GateState::unmet(why, "the deny assignment gone, or `serviceGrants: accept` in the file"))
        }
        ServiceGrant::NotGranted(_, why) => {
            told(GateState::unmet(why, "the role granted to it, or `serviceGrants: accept` in the file"))
        }
        ServiceGrant::NoIdentity => told(GateState::unmet(NO_IDENTITY, lift)),
        ServiceGrant::Unknown(why, cause) => told(GateState::unknown("the service's grant", &why, &cause)),
        ServiceGrant::NotRead(reads) => lacks(*reads),
    }
}

/// [`crate::gate::Gate::ModeKnown`].
pub(in crate::plan) fn mode_known(id: &WorkspaceId, observed: &Observed) -> Judged {
    let own = match observed.workspaces.get(id).map(|entry| &entry.workspace) {
        None | Some(Reading::NotRead) => return told(GateState::NotLooked),
        Some(Reading::Unknown { why, cause }) => return told(GateState::unknown("the workspace", why, cause)),
        Some(Reading::Known { value: None, .. }) => {
            return told(GateState::unmet("the workspace does not exist", "the workspace, or its document removed"));
        }
        Some(Reading::Known { value: Some(own), .. }) => own,
    };
    if let ObservedAuthMode::Other(mode) = &own.auth_mode {
        let why = format!("Azure reports `{mode}`, which keyless never overwrites");
        return told(GateState::unmet(why, "a person sets it to identity or accesskey"));
    }
    if !own.more_accounts.is_empty() {
        let why = "it stands on several storage accounts, and which of its data lies where is not told";
        return told(GateState::unmet(why, "a person sets its mode, once all of its accounts are ready"));
    }
    match own.running() {
        Some(state) => {
            told(GateState::unmet(format!("another operation runs on it (`{state}`)"), "the end of that operation"))
        }
        None => told(GateState::Open),
    }
}

/// [`crate::gate::Gate::KeyOn`].
pub(in crate::plan) fn key_on(observed: &Observed, back_is_asked: bool) -> Judged {
    match &observed.account {
        Reading::NotRead => told(GateState::NotLooked),
        Reading::Unknown { why, cause } => told(GateState::unknown("the storage account", why, cause)),
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
pub(in crate::plan) fn key_effective(observed: &Observed, desired: &KeyDesired) -> Judged {
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
