//! When a suspension is told to have begun, and when to be over: by what the files in force say, for a document may be out of
//! sight while it lasts.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use keyless_core::desired::{AfterSuspend, Desired, Suspend};
use keyless_core::id::{StorageAccountId, WorkspaceId};
use keyless_core::plan::finding::{SuspendStage, Suspended};
use keyless_core::plan::{Finding, Plan};

use super::topic::{Topic, found};
use super::{Book, Told};
use crate::event::{Event, Level, Name};

/// For how long an end is news to a process that did not see the suspension: the last one may have been gone by then. What
/// ended earlier was told by it. Design decision.
const STILL_NEWS: SignedDuration = SignedDuration::from_hours(1);

/// One suspended document: that of a workspace, or that of the account.
type Document<'a> = (Option<&'a WorkspaceId>, &'a str);

fn document(topic: &Topic) -> Option<(Document<'_>, SuspendStage)> {
    match topic {
        Topic::Suspended(workspace, name, stage) => Some(((workspace.as_ref(), name.as_str()), *stage)),
        _ => None,
    }
}

fn stages<'a>(topics: &'a BTreeMap<Topic, Told>, of: Document<'a>) -> impl Iterator<Item = SuspendStage> + 'a {
    topics.keys().filter_map(document).filter(move |(other, _)| *other == of).map(|(_, stage)| stage)
}

/// Whether what a plan finds of a suspension is told at all: an end that was told by the last process is not.
pub(super) fn is_news(topic: &Topic, event: &Event, told: &BTreeMap<Topic, Told>, now: Timestamp) -> bool {
    match document(topic) {
        Some((of, SuspendStage::Ended)) => {
            let lately = event.until.is_some_and(|until| now.duration_since(until) <= STILL_NEWS);
            lately || stages(told, of).next().is_some()
        }
        _ => true,
    }
}

/// The suspensions that are seen for the first time when their end is already near: that they are there is told first.
pub(super) fn begun(plan: &Plan, told: &BTreeMap<Topic, Told>) -> Vec<Event> {
    let begun = |finding: &Finding| {
        let Finding::Suspended(suspended) = finding else { return None };
        let Suspended { name, workspace, stage, .. } = suspended;
        let near = matches!(stage, SuspendStage::EndsWithinDay | SuspendStage::EndsWithinHour);
        if !near || stages(told, (workspace.as_ref(), name)).any(|stage| stage != SuspendStage::Ended) {
            return None;
        }
        let lasts = Suspended { stage: SuspendStage::Lasts, ..suspended.clone() };
        found(plan, &Finding::Suspended(lasts)).map(|(_, event)| event)
    };
    plan.findings.iter().filter_map(begun).collect()
}

/// What became of a suspension that no plan shows any more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Fate {
    /// The files still say it: what it is of is out of sight.
    Lasts,
    /// It is over.
    Over(Box<Event>),
    /// It is no suspension, or its end was told.
    Nothing,
}

impl Book {
    /// Takes in the files that are in force.
    pub(crate) fn adopted(&mut self, files: &Arc<Desired>) {
        self.files = Some(Arc::clone(files));
    }
}

/// What the files say of what a topic is about, for the end of it. `now` is the server's time.
pub(super) fn fate(
    topic: &Topic,
    told: &Told,
    account: &StorageAccountId,
    files: Option<&Desired>,
    now: Option<Timestamp>,
) -> Fate {
    let Some(((workspace, name), stage)) = document(topic) else { return Fate::Nothing };
    if stage == SuspendStage::Ended {
        return Fate::Nothing;
    }
    // The document of the same resource, whatever it is called by now.
    let said: Option<(&str, Option<&Suspend>)> = files.and_then(|files| match workspace {
        Some(id) => files.workspaces.get(id).map(|own| (own.name.as_str(), own.suspend.as_ref())),
        None => files.accounts.get(account).map(|own| (own.name.as_str(), own.suspend.as_ref())),
    });
    let renamed = said.map(|(new, _)| new).filter(|new| *new != name);
    let why = match said.map(|(_, suspend)| suspend) {
        Some(Some(Suspend { until, then: AfterSuspend::Resume, .. })) if now.is_some_and(|now| *until <= now) => {
            format!("the suspension of {name} ended at {until}")
        }
        Some(Some(_)) => match renamed {
            Some(new) => format!("the document {name} is called {new} now, and is suspended"),
            None => return Fate::Lasts,
        },
        Some(None) => match renamed {
            Some(new) => {
                format!("the document {name} is called {new} now, is not suspended any more, and is acted on again")
            }
            None => format!("the document {name} does not say any more that it is suspended, and is acted on again"),
        },
        None => format!("there is no document of the name {name} any more, and nothing that it asked for is acted on"),
    };
    Fate::Over(Box::new(Event {
        event: Name::SuspensionEnded,
        level: Level::Info,
        at: now,
        why: Some(why),
        reminder: false,
        ..told.event.clone()
    }))
}
