//! What people should know besides the gates that are shut, where a finding has parts of its own.

use std::collections::BTreeSet;
use std::fmt;

use jiff::Timestamp;

use crate::catalog::role_name;
use crate::id::{ArmId, LogAnalyticsId, PrincipalId, RoleId, SubscriptionId, WorkspaceId};
use crate::observed::{KeyCaller, MadeFrom, Signed, StorageService, WatchCause};

/// Requests of one kind to one service that hold the key on, or a SAS nobody can tell about.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyUse {
    /// The service, where it is known.
    pub service: Option<StorageService>,
    /// `ApiName`.
    pub api: String,
    /// How it was signed.
    pub signed: Signed,
    /// How many requests.
    pub requests: u64,
    /// The hours in which there were any, by their start.
    pub hours: BTreeSet<Timestamp>,
    /// The end of the last hour with any.
    pub last: Option<Timestamp>,
}

impl fmt::Display for KeyUse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const SHOWN: usize = 3;
        let Self { service, api, signed, requests, hours, last } = self;
        write!(
            f,
            "{}: {api} with {signed}: {requests} requests in {}",
            service_word(*service),
            plural(hours.len(), "hour")
        )?;
        let latest: Vec<String> = hours.iter().rev().take(SHOWN).map(Timestamp::to_string).collect();
        if !latest.is_empty() {
            let more = if hours.len() > SHOWN { " and before" } else { "" };
            write!(f, " (from {}{more})", latest.join(", "))?;
        }
        last.map_or(Ok(()), |last| write!(f, ", the last before {last}"))
    }
}

/// A caller that the storage resource logs name, and what is certain of its signature.
pub(super) fn caller(one: &KeyCaller, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let KeyCaller { service, signed, operation, refused, outcome, requests, last, made_from, .. } = one;
    let how = match signed {
        Signed::Sas => super::callers::sas(one),
        Signed::AccountKey | Signed::OAuth => match made_from {
            MadeFrom::Key(key) => format!("{signed} ({key})"),
            MadeFrom::NoKey | MadeFrom::Untold => signed.to_string(),
        },
    };
    let refused = if *refused { format!(", refused as {outcome}") } else { String::new() };
    write!(
        f,
        "the resource logs name {one}: {service} {operation} with {how} {requests} times{refused}, last at {last}"
    )
}

/// Use of the key that is not in the logs.
pub(super) fn unlogged(
    services: &BTreeSet<StorageService>,
    workspace: &LogAnalyticsId,
    f: &mut fmt::Formatter<'_>,
) -> fmt::Result {
    let services: Vec<&str> = services.iter().map(|service| service.as_str()).collect();
    let of = if services.is_empty() { String::new() } else { format!(" of {}", services.join(", ")) };
    write!(
        f,
        "the resource logs in {} tell nothing of the use{of} that the metric shows: a diagnostic setting may be missing",
        workspace.name()
    )
}

/// A risk that was accepted, or was until lately.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Accepted {
    /// The field in the files.
    pub what: &'static str,
    /// For which services alone; none named: for all.
    pub services: Vec<StorageService>,
    /// Why.
    pub reason: String,
    /// Who answers for it.
    pub owner: String,
    /// Until when.
    pub until: Timestamp,
    /// Whether that is over.
    pub ended: bool,
}

impl fmt::Display for Accepted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { what, services, reason, owner, until, ended } = self;
        let words: Vec<&str> = services.iter().map(|service| service.as_str()).collect();
        let of = if words.is_empty() { String::new() } else { format!(" for {}", words.join(", ")) };
        let word = if *ended { "ended at" } else { "until" };
        write!(f, "`{what}`{of} of {owner}, {word} {until}: {reason}")
    }
}

/// Requests that were refused in one hour since the account is watched.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Denied {
    /// The start of the hour.
    pub hour: Timestamp,
    /// The service, where it is known.
    pub service: Option<StorageService>,
    /// `ApiName`.
    pub api: String,
    /// How they were signed.
    pub signed: Signed,
    /// How many.
    pub requests: u64,
    /// What most likely stands behind it.
    pub cause: String,
    /// Who, as far as the storage resource logs tell.
    pub callers: Vec<String>,
    /// Since when the account is watched, and what happened then.
    pub since: Timestamp,
    /// What happened then.
    pub because: WatchCause,
}

impl fmt::Display for Denied {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { hour, service, api, signed, requests, cause, callers, since, because } = self;
        let service = service_word(*service);
        write!(f, "{service}: {api} with {signed} was refused {requests} times in the hour from {hour}: {cause}")?;
        if !callers.is_empty() {
            write!(f, "; the resource logs name {}", super::gates::listed(callers))?;
        }
        write!(f, "; watched since {since} ({})", because.as_str())
    }
}

/// A key that somebody turned on again, and why, most likely.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TurnedOn {
    /// When it was first seen on again.
    pub seen: Timestamp,
    /// From when on refused requests are counted.
    pub from: Timestamp,
    /// What was refused before, and which roles are missing; empty where nothing is known.
    pub causes: Vec<String>,
    /// What could not be told, if anything.
    pub unknown: Option<String>,
}

impl TurnedOn {
    /// The likely cause in words, or that it is not known.
    #[must_use]
    pub fn cause(&self) -> String {
        let Self { seen: _, from, causes, unknown } = self;
        let unknown = unknown.as_deref();
        if causes.is_empty() {
            let why = unknown.map_or_else(
                || format!("no request was refused since {from} as far as the metrics tell, and no declared role is missing"),
                str::to_owned,
            );
            return format!("unknown: {why}");
        }
        let unknown = unknown.map(|why| format!("; {why}")).unwrap_or_default();
        format!("{}{unknown}", causes.join("; "))
    }
}

impl fmt::Display for TurnedOn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the key was off and is on again, seen at {}; likely cause: {}", self.seen, self.cause())
    }
}

/// Access that somebody entitled has no more, or perhaps, in a workspace on identity, and that no step brings back.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Lost {
    /// The workspace.
    pub workspace: WorkspaceId,
    /// Who, in the words of the files, or by what part of the workspace it is.
    pub who: String,
    /// The object id; `None`: there is no such principal any more.
    pub principal: Option<PrincipalId>,
    /// Which role's data actions are lost.
    pub role: RoleId,
    /// How.
    pub how: Loss,
}

/// How access was lost.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Loss {
    /// A deny assignment stands against the grant.
    Denied {
        /// Its name.
        by: String,
        /// Where it was made.
        scope: ArmId,
        /// Whether it is known to apply.
        certain: bool,
    },
    /// The customer's to grant, and not granted; why, in words.
    NotGranted(String),
    /// The workspace has no identity that could act for it.
    NoIdentity,
}

/// What is said of a workspace that nothing acts for.
pub(super) const NO_IDENTITY: &str = "the workspace has no identity of its own";

impl Lost {
    /// What differs from the files, in words that stay the same as long as it does.
    #[must_use]
    pub fn difference(&self) -> String {
        let Self { workspace, who, principal: _, role, how } = self;
        match how {
            Loss::Denied { .. } => {
                format!("{}: a deny assignment stands against {} of {who}", workspace.name(), role_name(*role))
            }
            Loss::NotGranted(why) => format!("{}: {why}", workspace.name()),
            Loss::NoIdentity => format!("{}: {NO_IDENTITY}", workspace.name()),
        }
    }

    /// Whether it is known to be so: of a deny assignment under a condition or with exceptions it is not.
    #[must_use]
    pub fn is_certain(&self) -> bool {
        !matches!(self.how, Loss::Denied { certain: false, .. })
    }

    /// Why no step mends it.
    #[must_use]
    pub fn why(&self) -> String {
        match &self.how {
            Loss::Denied { by, scope, certain } => {
                let word = if *certain { "denies" } else { "may deny" };
                format!("`{by}` at {scope} {word} it, and no grant outranks a deny assignment")
            }
            Loss::NotGranted(_) => {
                "the identity is the customer's own, and no document asks for a grant to it".to_owned()
            }
            Loss::NoIdentity => "on identity a workspace needs one, and keyless gives none".to_owned(),
        }
    }

    /// What would lift it.
    #[must_use]
    pub fn lift(&self) -> &'static str {
        match self.how {
            Loss::Denied { .. } => "the deny assignment gone, or the principal among those that it spares",
            Loss::NotGranted(_) => {
                "the identity there and the role granted to it, or `serviceGrants: accept` in the file"
            }
            Loss::NoIdentity => "an identity for the workspace, or `serviceGrants: accept` in the file",
        }
    }
}

impl fmt::Display for Lost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.difference(), self.why())
    }
}

/// A document that is suspended.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Suspended {
    /// The document's name.
    pub name: String,
    /// The workspace it is about; `None` for the document of the account.
    pub workspace: Option<WorkspaceId>,
    /// Why, in the words of the file.
    pub reason: String,
    /// When it ends.
    pub until: Timestamp,
    /// How it stands.
    pub stage: SuspendStage,
}

/// How a suspension stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SuspendStage {
    /// It lasts.
    Lasts,
    /// It is acted on again within a day.
    EndsWithinDay,
    /// It is acted on again within an hour.
    EndsWithinHour,
    /// Its end is past, and it stays until its document changes.
    Overdue,
    /// It ended within the last day, and the document is acted on again.
    Ended,
}

impl fmt::Display for Suspended {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, workspace: _, reason, until, stage } = self;
        match stage {
            SuspendStage::Lasts => write!(f, "{name} is suspended until {until}: {reason}"),
            SuspendStage::EndsWithinDay => {
                write!(f, "the suspension of {name} ends at {until}, within a day, and it is acted on again: {reason}")
            }
            SuspendStage::EndsWithinHour => {
                write!(
                    f,
                    "the suspension of {name} ends at {until}, within an hour, and it is acted on again: {reason}"
                )
            }
            SuspendStage::Overdue => write!(
                f,
                "the suspension of {name} was to end at {until} and stays until its document changes: {reason}"
            ),
            SuspendStage::Ended => {
                write!(f, "the suspension of {name} ended at {until}, and it is acted on again: {reason}")
            }
        }
    }
}

/// A count with its noun, in the plural unless it is one.
#[must_use]
pub fn plural(count: usize, noun: &str) -> String {
    if count == 1 { format!("1 {noun}") } else { format!("{count} {noun}s") }
}

fn service_word(service: Option<StorageService>) -> &'static str {
    service.map_or("a service that is not told", StorageService::as_str)
}

/// A read that only warnings rest on.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Unseen {
    /// The online endpoints of the declared workspaces.
    Endpoints,
    /// A workspace on the account that no document declares.
    Undeclared(WorkspaceId),
    /// Who was refused since the account is watched.
    Refusals,
    /// Who uses the key, by the storage resource logs.
    Callers,
    /// The policies at a scope.
    Policies(ArmId),
    /// What the controller itself may do at a scope.
    OwnRights(ArmId),
    /// How many role assignments a subscription has.
    AssignmentCount(SubscriptionId),
    /// The jobs of a workspace whose switch does not wait for them.
    Jobs(WorkspaceId),
    /// The computes of a workspace that has been switched.
    Computes(WorkspaceId),
    /// What may take access away in workspaces that have been switched.
    Denials,
    /// The role of whoever works by itself in a workspace that has been switched.
    Access {
        /// The workspace.
        workspace: WorkspaceId,
        /// Who, in words.
        who: String,
    },
    /// Whether a workspace and its account, in two subscriptions, are of one tenant.
    Tenants(WorkspaceId),
}

impl fmt::Display for Unseen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Endpoints => f.write_str("online endpoints"),
            Self::Undeclared(id) => write!(f, "undeclared workspace {}", id.name()),
            Self::Refusals => f.write_str("who was refused since the last change"),
            Self::Callers => f.write_str("who uses the key, by the storage resource logs"),
            Self::Policies(scope) => write!(f, "policies at {scope}"),
            Self::OwnRights(scope) => write!(f, "the controller's own rights at {scope}"),
            Self::Jobs(id) => write!(f, "the jobs of {}", id.name()),
            Self::Computes(id) => write!(f, "the computes of {}", id.name()),
            Self::Denials => f.write_str("deny assignments against those who work in switched workspaces"),
            Self::Access { workspace, who } => write!(f, "the access of {who} of {}", workspace.name()),
            Self::Tenants(id) => write!(f, "whether {} and its account are of one tenant", id.name()),
            Self::AssignmentCount(id) => write!(f, "the count of role assignments of subscription {id}"),
        }
    }
}
