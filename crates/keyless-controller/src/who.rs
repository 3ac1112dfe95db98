//! Who caused a difference: asks the activity log about differences that this process saw come, until it knows.
//!
//! Expected flow: each pass shows its plan to [`Who::look`], which asks the log about what is new, and again once per
//! interval about what it did not tell yet: one request for each changed resource, and one for all role assignments. What
//! this process never saw as it should be was changed by nobody it could name. Nothing waits for the log longer than
//! [`ASK_WITHIN`]; the log lags, so what it tells later is told in an event of its own.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::future::join_all;
use jiff::Timestamp;
use keyless_arm::api::{Answer, Read, ReadArm};
use keyless_core::attribution::{Attribution, Window, attribute, resource};
use keyless_core::desired::Revision;
use keyless_core::id::{ArmId, PrincipalId, RoleId, StorageAccountId, SubscriptionId, WorkspaceId};
use keyless_core::observed::{Change, ChangesOf, Observed, Reading};
use keyless_core::plan::{Drift, Finding, Plan};
use keyless_core::setting::Setting;
use tokio::time::Instant;

use crate::announce::drifted;
use crate::clock::{earlier, later};
use crate::event::{Event, Name};
use crate::failed::{Failure, cause};

/// How long a pass waits for the log, before a difference is told and repaired without it. Design decision.
const ASK_WITHIN: Duration = Duration::from_secs(1);

/// How far the clocks of Azure's services may be apart, and the grain of a `Date`. Design decision.
pub(crate) const APART: Duration = Duration::from_secs(5);

/// For how long a write that is not proven to be the one may give way to another that shows later.
///
/// Source: <https://learn.microsoft.com/azure/azure-monitor/platform/activity-log>: events take 3 to 20 minutes.
const SETTLED_AFTER: Duration = Duration::from_secs(20 * 60);

/// When the log is not asked any more about a difference that it knows nothing of. Design decision: three times that.
const GIVEN_UP_AFTER: Duration = Duration::from_secs(60 * 60);

/// So many differences of one account are followed at a time; the oldest go first.
const FOLLOWED: usize = 64;

/// What is known of who caused a difference.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Named {
    /// The log names somebody.
    By(Box<Attribution>),
    /// The log knows nothing yet.
    NotYet,
    /// The log has had its time and names nobody.
    Nobody,
    /// The log may not be read.
    Unreadable,
}

impl Named {
    /// The event with what is known.
    pub(crate) fn told_in(&self, event: Event) -> Event {
        let word = |text: &str| Event { changed_by: Some(text.to_owned()), ..event.clone() };
        match self {
            Self::By(found) => {
                let Attribution { by, at, operation, correlation_id, client, other_writers, proven: _ } = &**found;
                Event {
                    changed_by: Some(by.clone()),
                    changed_at: Some(*at),
                    operation: Some(operation.clone()),
                    correlation_id: correlation_id.clone(),
                    client: client.clone(),
                    other_writers: u64::try_from(*other_writers).ok().filter(|others| *others > 0),
                    ..event
                }
            }
            Self::NotYet => word("unknown so far"),
            Self::Nobody => word("unknown: the activity log names nobody"),
            Self::Unreadable => word("not readable"),
        }
    }
}

impl std::fmt::Display for Named {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::By(found) => write!(f, "changed by {} at {}", found.by, found.at),
            Self::NotYet => f.write_str("who changed it is unknown so far"),
            Self::Nobody => f.write_str("the activity log names nobody"),
            Self::Unreadable => f.write_str("who changed it is not readable"),
        }
    }
}

/// What one look brought.
#[derive(Debug, Default)]
pub(crate) struct Looked {
    /// Of each difference of the plan that this process saw come.
    pub(crate) named: BTreeMap<Drift, Named>,
    /// What is to be told of differences that were told before.
    pub(crate) amended: Vec<Event>,
    /// Who was named just now, for each setting.
    pub(crate) news: Vec<(Setting, String)>,
    /// Whether the log of a subscription could be read, where it was asked.
    pub(crate) logs: Vec<(SubscriptionId, Result<(), Failure>)>,
}

/// What was seen of each account.
pub(crate) struct Who {
    read: Arc<dyn ReadArm>,
    interval: Duration,
    trails: Mutex<BTreeMap<StorageAccountId, Trail>>,
}

#[derive(Default)]
struct Trail {
    revision: Option<Revision>,
    /// When the flag and each mode were last seen as the files ask.
    right: BTreeMap<Setting, Timestamp>,
    /// When the datastores of each workspace were last read, and which of them differed then.
    stores: BTreeMap<WorkspaceId, (Timestamp, BTreeSet<Setting>)>,
    /// When the assignments were last read completely, and who lacked what then.
    roles: Option<(Timestamp, BTreeSet<Setting>)>,
    /// The assignments then.
    assignments: BTreeMap<ArmId, (PrincipalId, RoleId)>,
    /// The differences of the last plan.
    drift: BTreeSet<Drift>,
    /// Differences that came, oldest first.
    open: Vec<Open>,
}

/// One difference that came.
struct Open {
    drift: Drift,
    setting: Setting,
    window: Window,
    resources: BTreeSet<String>,
    of: ChangesOf,
    /// As it was, or is about to be, told.
    event: Event,
    named: Named,
    /// Whether it was told before.
    told: bool,
    /// Whether the log is not asked any more.
    over: bool,
    asked: Option<Instant>,
}

type Told = Read<Vec<Change>>;

impl Who {
    pub(crate) fn new(read: Arc<dyn ReadArm>, interval: Duration) -> Self {
        Self { read, interval, trails: Mutex::default() }
    }

    fn trails(&self) -> MutexGuard<'_, BTreeMap<StorageAccountId, Trail>> {
        self.trails.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes in a plan and what it rests on, and asks the log about what came. What this returns is to be told at once.
    pub(crate) async fn look(&self, plan: &Plan, observed: &Observed) -> Looked {
        let asks = {
            let mut trails = self.trails();
            let trail = trails.entry(plan.account_id.clone()).or_default();
            trail.note(plan, observed);
            trail.asks(self.interval / 2)
        };
        let answers: Vec<(ChangesOf, Option<Told>)> =
            join_all(asks.into_iter().map(|(of, Window { from, to })| async move {
                let asked = self.read.changes(&of, from, to);
                let told = tokio::time::timeout(ASK_WITHIN, asked).await.ok();
                (of, told)
            }))
            .await;
        let mut looked = Looked::default();
        let mut trails = self.trails();
        let Some(trail) = trails.get_mut(&plan.account_id) else { return looked };
        for (of, told) in answers {
            if let Some(told) = told {
                trail.learn(&of, &told, plan.at, &mut looked);
            }
        }
        for open in &mut trail.open {
            open.told = true;
        }
        for drift in &plan.drift {
            if let Some(open) = trail.open.iter().rev().find(|open| open.drift == *drift) {
                looked.named.insert(drift.clone(), open.named.clone());
            }
        }
        trail.open.retain(|open| !open.over || plan.drift.contains(&open.drift));
        looked
    }

    /// Forgets accounts that no document asks about any more; `keys` are all that there are, by a complete look.
    pub(crate) fn keep_only(&self, keys: &BTreeSet<StorageAccountId>) {
        self.trails().retain(|key, _| keys.contains(key));
    }
}

impl Trail {
    /// Takes in what a plan shows: what came, and what is as it should be.
    fn note(&mut self, plan: &Plan, observed: &Observed) {
        if self.revision.as_ref() != Some(&plan.revision) {
            // What differs now may differ because the files do.
            let open = std::mem::take(&mut self.open);
            *self = Self { revision: Some(plan.revision.clone()), open, ..Self::default() };
        }
        for drift in plan.drift.difference(&self.drift) {
            if let Some(open) = self.opened(drift, plan, observed) {
                self.open.push(open);
            }
        }
        let surplus = self.open.len().saturating_sub(FOLLOWED);
        self.open.drain(..surplus);
        let complete = !plan.findings.iter().any(|finding| matches!(finding, Finding::Incomplete { .. }));
        if !complete {
            self.drift.extend(plan.drift.iter().cloned());
            return;
        }
        self.drift.clone_from(&plan.drift);
        let drifting: BTreeSet<Setting> = plan.drift.iter().filter_map(Drift::setting).collect();
        if let Some(at) = observed.account.at()
            && !drifting.contains(&Setting::SharedKey)
        {
            self.right.insert(Setting::SharedKey, at);
        }
        for (id, own) in &observed.workspaces {
            let setting = Setting::AuthMode(id.clone());
            if let Some(at) = own.workspace.at()
                && !drifting.contains(&setting)
            {
                self.right.insert(setting, at);
            }
        }
        for (id, own) in &observed.workspaces {
            if let Some(at) = own.datastores.at() {
                let of_it = |setting: &&Setting| matches!(setting, Setting::Datastore(workspace, _) if workspace == id);
                self.stores.insert(id.clone(), (at, drifting.iter().filter(of_it).cloned().collect()));
            }
        }
        if let Reading::Known { value, at } = &observed.assignments {
            let missing = drifting.into_iter().filter(|setting| matches!(setting, Setting::Role(..))).collect();
            self.roles = Some((*at, missing));
            self.assignments = value.iter().map(|known| (known.id.clone(), (known.principal, known.role))).collect();
        }
    }

    /// A difference that came since the setting was last seen as it should be; `None` where it never was.
    fn opened(&self, drift: &Drift, plan: &Plan, observed: &Observed) -> Option<Open> {
        let setting = drift.setting()?;
        let id = resource(drift, &plan.account_id);
        let resources = || id.iter().map(|id| id.folded().to_owned()).collect();
        let (from, of, resources) = match drift {
            Drift::SharedKey { .. } | Drift::AuthMode { .. } => {
                (*self.right.get(&setting)?, ChangesOf::Resource(id.clone()?), resources())
            }
            Drift::DatastoreCredential { workspace, .. } | Drift::DatastoreMissing { workspace, .. } => {
                let (at, differing) = self.stores.get(workspace)?;
                (!differing.contains(&setting)).then_some(())?;
                (*at, ChangesOf::Resource(id.clone()?), resources())
            }
            Drift::RoleMissing { principal, role, .. } => {
                let (at, missing) = self.roles.as_ref()?;
                (!missing.contains(&setting)).then_some(())?;
                let of = ChangesOf::Assignments(plan.account_id.subscription());
                (*at, of, self.gone(*principal, *role, observed))
            }
        };
        Some(Open {
            drift: drift.clone(),
            setting,
            window: Window { from: earlier(from, APART), to: later(plan.at, APART) },
            resources,
            of,
            event: drifted(plan, drift),
            named: Named::NotYet,
            told: false,
            over: false,
            asked: None,
        })
    }

    /// The assignments whose removal may be what somebody lacks: those of the same principal and role before all others.
    fn gone(&self, principal: PrincipalId, role: RoleId, observed: &Observed) -> BTreeSet<String> {
        let there: BTreeSet<&ArmId> =
            observed.assignments.value().into_iter().flatten().map(|known| &known.id).collect();
        let gone = || self.assignments.iter().filter(|(id, _)| !there.contains(id));
        let ids = |wanted: &dyn Fn(&(PrincipalId, RoleId)) -> bool| -> BTreeSet<String> {
            gone().filter(|(_, held)| wanted(held)).map(|(id, _)| id.folded().to_owned()).collect()
        };
        let own = ids(&|held| *held == (principal, role));
        if own.is_empty() { ids(&|_| true) } else { own }
    }

    /// What the log is to be asked now, each thing once.
    fn asks(&mut self, pause: Duration) -> BTreeMap<ChangesOf, Window> {
        let mut asks: BTreeMap<ChangesOf, Window> = BTreeMap::new();
        let now = Instant::now();
        for open in self.open.iter_mut().filter(|open| !open.over) {
            if open.asked.is_some_and(|asked| now.saturating_duration_since(asked) < pause) {
                continue;
            }
            open.asked = Some(now);
            let window = asks.entry(open.of.clone()).or_insert(open.window);
            window.from = window.from.min(open.window.from);
            window.to = window.to.max(open.window.to);
        }
        asks
    }

    /// Takes in what the log told.
    fn learn(&mut self, of: &ChangesOf, told: &Told, now: Timestamp, looked: &mut Looked) {
        let subscription = match of {
            ChangesOf::Resource(id) => id.subscription().unwrap_or_default(),
            ChangesOf::Assignments(subscription) => *subscription,
        };
        match told {
            Ok(_) => looked.logs.push((subscription, Ok(()))),
            Err(error) if error.waits_for_person() => {
                looked.logs.push((subscription, Err(Failure { why: error.to_string(), cause: cause(error) })));
            }
            Err(_) => {}
        }
        for open in self.open.iter_mut().filter(|open| !open.over && open.of == *of) {
            let named = match told {
                Ok(Answer { value, .. }) => open.judge(value, now),
                Err(error) if error.waits_for_person() => {
                    open.over = true;
                    Named::Unreadable
                }
                Err(_) => open.named.clone(),
            };
            if named == open.named {
                continue;
            }
            open.named = named;
            if let Named::By(found) = &open.named {
                looked.news.push((open.setting.clone(), found.by.clone()));
            }
            if open.told {
                let event = Event { event: Name::DriftAttributed, ..open.event.clone() };
                looked.amended.push(open.named.told_in(event));
            }
        }
    }
}

impl Open {
    fn judge(&mut self, changes: &[Change], now: Timestamp) -> Named {
        match attribute(&self.drift, &self.resources, changes, self.window) {
            Some(found) => {
                self.over = found.proven || later(self.window.to, SETTLED_AFTER) <= now;
                Named::By(Box::new(found))
            }
            None if later(self.window.to, GIVEN_UP_AFTER) <= now => {
                self.over = true;
                Named::Nobody
            }
            None => self.named.clone(),
        }
    }
}
