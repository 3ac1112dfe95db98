//! What the step to take rests on, looked at again in what was read.

use std::time::Duration;

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};

use crate::action::{Action, Effort};
use crate::catalog::{BLOB_CONTRIBUTOR, find_role};
use crate::desired::{
    AuthMode, ChangeWindow, Create, CreateKind, DesiredDatastores, DesiredWorkspace, Enforcement, KeyDesired,
    PrincipalRef, ServiceGrants, Suspend,
};
use crate::id::{ArmId, PrincipalId, WorkspaceId};
use crate::observed::{
    Account, DatastoreCredentials, LockLevel, Observed, ObservedAuthMode, PrincipalType, Reading, SharedKeyAccess,
    Workspace, WorkspaceKind,
};
use crate::plan::{Limits, Step};

use super::carried::is_here;
use super::grant::{Under, objection};
use super::operation::is_changing;
use super::user::{principal_of, users, workspace_read};
use super::{Rule, Verdict, instance, keys, network, operation, workspace_of};

pub(super) fn judge(desired: &KeyDesired, observed: &Observed, limits: &Limits, step: &Step, found: &mut Verdict) {
    let facts = Facts { desired, observed };
    let now = observed.now;
    facts.may_act(step, found);
    let past = |until: Option<Timestamp>| until.is_none_or(|until| until <= now);
    found.demand(past(limits.boot_until), Rule::Facts, "the wait after the start is not over");
    found.demand(past(limits.unsettled_until), Rule::Facts, "an earlier write may still land");
    let refused = limits.refused.get(&step.action).map(|refusal| refusal.until);
    found.demand(past(refused), Rule::Facts, "Azure refused it, and it is not to be tried again yet");
    let fought = step.action.setting().and_then(|setting| limits.fights.get(&setting)).map(|fight| fight.until);
    found.demand(past(fought), Rule::Facts, "it is fought over");
    let windows = &desired.fleet.change_windows;
    let repairs = step.effort == Effort::Repair && facts.gives_back(&step.action);
    let in_time = repairs || windows.is_empty() || is_open_throughout(windows, now, observed.latest());
    found.demand(in_time, Rule::Facts, "no change window is open");
    facts.unlocked(step, found);
    super::probed::judge(&step.action, facts.key_is_on() == Some(false), desired, observed, found);

    match &step.action {
        Action::SetAuthMode { workspace, mode: AuthMode::Identity } => facts.to_identity(workspace, step, found),
        Action::SetAuthMode { workspace, mode: AuthMode::AccessKey } => facts.to_access_key(workspace, found),
        Action::SetSharedKeyAccess { allowed: false, .. } => facts.key_off(found),
        Action::SetDatastoreCredential { workspace, name, from } => facts.convert(workspace, name, from, found),
        Action::RevokeRole { assignment, principal, .. } => facts.revoke(assignment, *principal, found),
        Action::CreateWorkspace { workspace, create } => facts.create(workspace, create, found),
        Action::ResyncWorkspaceKeys { .. } => {
            found.demand(facts.key_is_on() == Some(true), Rule::Facts, "the key is not known to be on");
        }
        Action::GrantRole(_) | Action::SetSharedKeyAccess { allowed: true, .. } | Action::CreateDatastore { .. } => {}
    }
    if let Some(workspace) = workspace_of(step).filter(|_| !matches!(step.action, Action::CreateWorkspace { .. })) {
        operation::judge(workspace, observed, found);
    }
}

struct Facts<'a> {
    desired: &'a KeyDesired,
    observed: &'a Observed,
}

impl Facts<'_> {
    fn account(&self) -> Option<&Account> {
        self.observed.account.value()?.as_ref()
    }

    fn key_is_on(&self) -> Option<bool> {
        self.account().map(|account| account.shared_key.is_on())
    }

    /// Whether somebody may have no access before it, and has some after it.
    fn gives_back(&self, action: &Action) -> bool {
        let on_keys = |id| {
            let mode =
                self.observed.workspaces.get(id).and_then(|entry| Some(&entry.workspace.value()?.as_ref()?.auth_mode));
            matches!(mode, Some(ObservedAuthMode::AccessKey | ObservedAuthMode::Unset))
        };
        match action {
            Action::GrantRole(_) => true,
            Action::SetAuthMode { workspace, mode: AuthMode::Identity } => {
                self.key_is_on() == Some(false) && on_keys(workspace)
            }
            Action::SetSharedKeyAccess { allowed: true, .. } => self.desired.workspaces.keys().any(on_keys),
            _ => false,
        }
    }

    /// That the documents let it be done: its own; for what is the account's, all of them.
    fn may_act(&self, step: &Step, found: &mut Verdict) {
        let now = self.observed.now;
        let acts = |enforcement: Enforcement, suspend: Option<&Suspend>| {
            enforcement == Enforcement::Enforce && suspend.is_none_or(|suspend| !suspend.is_active(now))
        };
        let document = |own: &DesiredWorkspace| acts(own.enforcement, own.suspend.as_ref());
        let may = match &step.action {
            Action::GrantRole(_) => {
                step.workspaces.iter().filter_map(|id| self.desired.workspaces.get(id)).any(document)
            }
            Action::SetSharedKeyAccess { .. } | Action::RevokeRole { .. } => {
                let own = self.desired.account.as_ref().is_none_or(|account| {
                    let enforcement = account.enforcement.unwrap_or(self.desired.fleet.enforcement);
                    acts(enforcement, account.suspend.as_ref())
                });
                let elsewhere = self.desired.unplaced.values().flatten();
                own && self.desired.workspaces.values().chain(elsewhere).all(document)
            }
            _ => workspace_of(step).and_then(|id| self.desired.workspaces.get(id)).is_some_and(document),
        };
        found.demand(may && !self.desired.fleet.paused, Rule::Facts, "the files do not let it be written");
    }

    fn unlocked(&self, step: &Step, found: &mut Verdict) {
        let Some(locks) = self.observed.locks.value() else {
            return found.reject(Rule::Facts, "locks are not known");
        };
        let deletes = matches!(step.action, Action::RevokeRole { .. });
        let target = step.action.target();
        let own = self.observed.barriers.locks.get(target).and_then(Reading::value).into_iter().flatten();
        let bars = locks.iter().chain(own).find(|lock| {
            lock.scope.covers(target) && (deletes || lock.level != LockLevel::CanNotDelete) //
        });
        if let Some(lock) = bars {
            found.reject(Rule::Facts, format!("the lock {} bars it", lock.id));
        }
    }

    fn to_identity(&self, workspace: &WorkspaceId, step: &Step, found: &mut Verdict) {
        let Some(own) = workspace_read(workspace, self.observed) else {
            return found.reject(Rule::Facts, "the workspace was not read");
        };
        let may = matches!(own.auth_mode, ObservedAuthMode::AccessKey | ObservedAuthMode::Unset);
        found.demand(may, Rule::Facts, format!("its mode is {}", own.auth_mode));
        match self.key_is_on() {
            None => found.reject(Rule::Facts, "the account was not read"),
            // Nobody has access that could be lost.
            Some(false) => {}
            Some(true) => {
                found.demand(step.effort == Effort::Tighten, Rule::Facts, "it tightens, for the key is on");
                self.needs_work(workspace, |_| true, self.observed, found);
                self.acts_by_itself(workspace, own, found);
                instance::judge(workspace, self.desired, self.observed, found);
                if let Some(account) = self.account() {
                    network::judge(own, account, found);
                }
                super::drained::judge(workspace, self.desired, self.observed, found);
            }
        }
    }

    /// That everybody whom the document names, of whom `counts` says so, has had what it asks for long enough at the
    /// account of `seen`.
    fn needs_work(
        &self,
        workspace: &WorkspaceId,
        counts: impl Fn(&PrincipalRef) -> bool,
        seen: &Observed,
        found: &mut Verdict,
    ) {
        let Some(document) = self.desired.workspaces.get(workspace) else { return };
        for need in document.needs.iter().filter(|need| counts(&need.principal)) {
            let (Some(role), Some(users)) = (find_role(need.role), users(need, workspace, self.observed)) else {
                found.reject(Rule::Facts, format!("who {} is was not read", need.principal));
                continue;
            };
            let is_group = matches!(need.principal, PrincipalRef::Object { kind: PrincipalType::Group, .. });
            for user in users {
                let told = || seen.assignments.value().into_iter().flatten().filter(|there| there.principal == user);
                let is_group =
                    is_group || told().any(|there| there.principal_type.is_some_and(PrincipalType::is_group));
                // Managed identities may be in it, and have it late.
                let age = if is_group { self.desired.fleet.waits.group_propagation } else { self.least_age() };
                if let Some(why) = objection(user, role, Under::Just(need.condition.as_deref()), age, seen) {
                    found.reject(Rule::Facts, why);
                }
            }
        }
    }

    /// That the identity which acts for the workspace can do with the account what the service needs of it.
    fn acts_by_itself(&self, workspace: &WorkspaceId, own: &Workspace, found: &mut Verdict) {
        let asks = |document: &DesiredWorkspace| document.service_grants != ServiceGrants::Accept;
        if !self.desired.workspaces.get(workspace).is_some_and(asks) {
            return;
        }
        let limited = own.kind == WorkspaceKind::Project || own.data_isolation == Some(true);
        let (user, under) = match &own.primary_identity {
            Some(primary) => (principal_of(primary, &own.identity, self.observed), Under::Just(None)),
            None => (own.identity.system, if limited { Under::Any } else { Under::Just(None) }),
        };
        let (Some(user), Some(role)) = (user, find_role(BLOB_CONTRIBUTOR)) else {
            return found.reject(Rule::Facts, "who acts for the workspace is not known");
        };
        if let Some(why) = objection(user, role, under, self.least_age(), self.observed) {
            found.reject(Rule::Facts, why);
        }
    }

    /// The least of all paths: which one a grant takes is the planner's to tell.
    fn least_age(&self) -> Duration {
        let waits = &self.desired.fleet.waits;
        waits.role_propagation.min(waits.group_propagation)
    }

    fn to_access_key(&self, workspace: &WorkspaceId, found: &mut Verdict) {
        let own = workspace_read(workspace, self.observed);
        let on_identity = own.is_some_and(|own| own.auth_mode == ObservedAuthMode::Identity);
        found.demand(on_identity, Rule::Facts, "the workspace is not known to be on identity");
        let Some(account) = self.account().filter(|account| account.shared_key.is_on()) else {
            return found.reject(Rule::Facts, "the key is not known to be on");
        };
        let effect = SignedDuration::try_from(self.desired.fleet.waits.key_effect).ok();
        let works = self.observed.history.key_on_since.zip(effect).and_then(|(on, wait)| on.checked_add(wait).ok());
        let works = account.shared_key == SharedKeyAccess::Absent || works.is_some_and(|at| at <= self.observed.now);
        let at_once = self.desired.fleet.waits.key_effect.is_zero();
        found.demand(works || at_once, Rule::Facts, "the key has not been on for long enough");
        if let Some(own) = own {
            keys::judge(own, account, self.desired, self.observed, found);
        }
    }

    fn key_off(&self, found: &mut Verdict) {
        let observed = self.observed;
        let account = observed.account_id.name();
        let back = self.desired.workspaces.values().any(|own| own.auth_mode == AuthMode::AccessKey);
        found.demand(!back, Rule::Facts, "a document asks for access keys");
        found.demand(self.all_are_listed(), Rule::Facts, "a workspace that was not found may stand on the account");
        let keeps = |credentials: &DatastoreCredentials| {
            !matches!(credentials, DatastoreCredentials::None | DatastoreCredentials::Principal(_))
        };
        for (id, entry) in &observed.workspaces {
            let own = match entry.workspace.value() {
                None => {
                    found.reject(Rule::Facts, format!("{} was not read", id.name()));
                    continue;
                }
                Some(None) => continue,
                Some(Some(own)) => own,
            };
            found.demand(
                own.auth_mode == ObservedAuthMode::Identity,
                Rule::Facts,
                format!("{} is on {}", id.name(), own.auth_mode),
            );
            found.demand(!is_changing(own), Rule::Facts, format!("{} is being changed", id.name()));
            match entry.datastores.value() {
                None => found.reject(Rule::Facts, format!("datastores of {} were not read", id.name())),
                Some(stores) => {
                    let keyed = stores.iter().find(|store| {
                        let elsewhere = store.account_name.as_deref().is_some_and(|n| !n.eq_ignore_ascii_case(account));
                        !elsewhere && keeps(&store.credentials)
                    });
                    let why = keyed.map(|store| format!("{}/{} holds a key", id.name(), store.name));
                    found.demand(keyed.is_none(), Rule::Facts, why.unwrap_or_default());
                }
            }
        }
        let elsewhere = observed.elsewhere.value().map(|found| found.values().flatten().any(|s| keeps(&s.credentials)));
        found.demand(elsewhere == Some(false), Rule::Facts, "a datastore of a workspace elsewhere may hold a key");
        self.key_idle(found);
    }

    fn key_idle(&self, found: &mut Verdict) {
        let (now, ends) = (self.observed.now, self.observed.latest());
        let account = self.desired.account.as_ref();
        let unknown_is_accepted =
            account.and_then(|own| own.accept_unknown_key_use.as_ref()).is_some_and(|accepted| ends < accepted.until);
        let Some(usage) = self.observed.key_usage.value() else {
            return found.demand(unknown_is_accepted, Rule::Facts, "key usage was not read");
        };
        found.demand(usage.account_key.count == 0, Rule::Facts, "the key is in use");
        let whole = usage.complete && usage.alive;
        found.demand(whole || unknown_is_accepted, Rule::Facts, "the key-usage answer proves nothing");
        let long = usage.length() >= self.desired.key_idle();
        let lag = SignedDuration::try_from(self.desired.fleet.waits.metrics_lag).unwrap_or(SignedDuration::ZERO);
        // A minute for the reads themselves.
        let fresh = now.duration_since(usage.to) <= lag.saturating_add(SignedDuration::from_mins(1));
        found.demand(long && fresh, Rule::Facts, "the key-usage answer is of another time");
        let told = self.observed.history.signed_until.is_none_or(|signed| usage.to >= signed);
        let why = "the key-usage answer ends before the last use that may have been";
        found.demand(told || unknown_is_accepted, Rule::Facts, why);
        let sas_is_accepted = self.desired.accepted_sas().any(|(_, accepted)| ends < accepted.until);
        found.demand(usage.sas.count == 0 || sas_is_accepted, Rule::Facts, "a SAS is in use, and nobody accepts it");
    }

    fn convert(&self, workspace: &WorkspaceId, name: &str, from: &DatastoreCredentials, found: &mut Verdict) {
        let own = workspace_read(workspace, self.observed);
        let on_identity = own.is_some_and(|own| own.auth_mode == ObservedAuthMode::Identity);
        found.demand(on_identity, Rule::Facts, "the workspace is not known to be on identity");
        let accepted = self.desired.workspaces.get(workspace).and_then(|own| own.accept_one_way.as_ref());
        let accepted = accepted.is_some_and(|accepted| self.observed.latest() < accepted.until);
        found.demand(accepted, Rule::Facts, "nobody accepts that the secret is lost");
        let stores = self.observed.workspaces.get(workspace).and_then(|entry| entry.datastores.value());
        let same = stores.into_iter().flatten().any(|store| store.name == name && store.credentials == *from);
        found.demand(same, Rule::Facts, "the datastore was not seen to hold that");
        if is_here(workspace, name, self.desired, self.observed) {
            self.needs_work(workspace, |_| true, self.observed, found);
        } else {
            self.readable_elsewhere(workspace, name, found);
        }
    }

    /// That who reads a datastore on another account works there, or a named person vouches for that.
    fn readable_elsewhere(&self, workspace: &WorkspaceId, name: &str, found: &mut Verdict) {
        let listed = self.desired.workspaces.get(workspace).and_then(|own| match &own.datastores {
            DesiredDatastores::Listed(listed) => listed.values().find(|asked| asked.name.eq_ignore_ascii_case(name)),
            DesiredDatastores::Unmanaged | DesiredDatastores::ConvertAll => None,
        });
        let vouched = listed.and_then(|asked| asked.accept_access.as_ref());
        if vouched.is_some_and(|accepted| self.observed.latest() < accepted.until) {
            return;
        }
        let mut stores =
            self.observed.workspaces.get(workspace).and_then(|e| e.datastores.value()).into_iter().flatten();
        let account = stores.find(|store| store.name == name).and_then(|store| store.account_name.as_ref());
        // No two accounts have one name.
        let read =
            self.observed.access_at.iter().find(|(id, _)| account.is_some_and(|a| a.eq_ignore_ascii_case(id.name())));
        let Some((id, there)) = read else {
            return found.reject(Rule::Facts, "who has access where the datastore stands was not read");
        };
        let mut seen = Observed::unread(id.clone(), self.observed.now);
        seen.assignments = there.assignments.clone();
        seen.roles = there.roles.clone();
        seen.denies = there.denies.clone();
        self.needs_work(workspace, |_| true, &seen, found);
    }

    fn all_are_listed(&self) -> bool {
        let mut listings = self.observed.listings.values();
        listings.len() > 0 && listings.all(|part| part.value().is_some()) && self.desired.unplaced.is_empty()
    }

    fn revoke(&self, assignment: &ArmId, principal: PrincipalId, found: &mut Verdict) {
        self.all_work_without(assignment, principal, found);
        found.demand(self.all_are_listed(), Rule::Facts, "somebody who was not found may still ask for it");
        let all_in_scope = self.desired.out_of_scope.value().is_some_and(|left_out| left_out.is_empty());
        found.demand(
            all_in_scope && self.desired.out_of_sight.is_empty(),
            Rule::Facts,
            "somebody who is not looked at may rest on it",
        );
        let back = self.desired.workspaces.values().filter(|own| own.auth_mode == AuthMode::AccessKey);
        for document in back {
            let entry = self.observed.workspaces.get(&document.id).and_then(|entry| entry.workspace.value());
            let over = entry.is_some_and(|own| {
                own.as_ref().is_none_or(|own| {
                    matches!(own.auth_mode, ObservedAuthMode::AccessKey | ObservedAuthMode::Unset) && !is_changing(own)
                })
            });
            found.demand(over, Rule::Facts, format!("{} is not back on the key", document.name));
        }
    }

    /// That everybody declared works without a grant, and its holder by every group of the files that it is in.
    fn all_work_without(&self, assignment: &ArmId, principal: PrincipalId, found: &mut Verdict) {
        let mut seen = self.observed.clone();
        let mut is_group = false;
        if let Reading::Known { value, .. } = &mut seen.assignments {
            value.retain(|one| {
                let goes = one.id == *assignment;
                let kind = one.principal_type;
                is_group |= goes && kind.is_some_and(PrincipalType::is_group);
                !goes
            });
        }
        for id in self.desired.workspaces.keys() {
            self.needs_work(id, |_| true, &seen, found);
        }
        let needs = self.desired.workspaces.values().flat_map(|document| &document.needs);
        let of_groups: Vec<_> = needs
            .filter_map(|need| match &need.principal {
                PrincipalRef::Object { kind: PrincipalType::Group, id, .. } => Some((*id, need)),
                _ => None,
            })
            .collect();
        if !is_group && !of_groups.is_empty() {
            match seen.groups.get(&principal).and_then(Reading::value) {
                None => found.reject(Rule::Facts, "which groups the holder is in was not read"),
                Some(groups) => {
                    for (_, need) in of_groups.iter().filter(|(group, _)| groups.contains(group)) {
                        let under = Under::Just(need.condition.as_deref());
                        let role = find_role(need.role);
                        let why = role.and_then(|role| objection(principal, role, under, self.least_age(), &seen));
                        found.demand(why.is_none(), Rule::Facts, why.unwrap_or_default());
                    }
                }
            }
        }
        let elsewhere = seen.elsewhere.value().map(|all| {
            all.values().flatten().any(|store| store.credentials == DatastoreCredentials::None) //
        });
        found.demand(elsewhere == Some(false), Rule::Facts, "somebody may read a datastore here from another account");
    }

    fn create(&self, workspace: &WorkspaceId, create: &Create, found: &mut Verdict) {
        if let CreateKind::Project(hub) = &create.kind {
            let own = workspace_read(hub, self.observed);
            let lends = own.is_some_and(|own| {
                own.kind == WorkspaceKind::Hub && own.storage_account.as_ref() == Some(&self.desired.account_id)
            });
            found.demand(lends, Rule::Facts, "its hub is not known to be one on this account");
        }
        let exists = |who: &PrincipalRef| matches!(who, PrincipalRef::Object { .. } | PrincipalRef::ManagedIdentity(_));
        self.needs_work(workspace, exists, self.observed, found);
    }
}

/// Whether at each moment from `first` to `last` some window is open. Windows change at whole minutes, and are the same each
/// week, so a look at every minute of one week misses nothing.
fn is_open_throughout(windows: &[ChangeWindow], first: Timestamp, last: Timestamp) -> bool {
    let minutes = (0..=7 * 24 * 60).map_while(|minute| first.checked_add(SignedDuration::from_mins(minute)).ok());
    minutes.take_while(|at| *at < last).chain([last]).all(|at| windows.iter().any(|window| is_in(window, at)))
}

fn is_in(window: &ChangeWindow, now: Timestamp) -> bool {
    let now = now.to_zoned(TimeZone::UTC);
    let day = now.weekday().to_monday_one_offset();
    let minute = i32::from(now.hour()) * 60 + i32::from(now.minute());
    let on_day = window.days.is_empty() || window.days.iter().any(|own| i16::from(*own) == i16::from(day));
    on_day && minute >= i32::from(window.from) && minute < i32::from(window.to)
}
