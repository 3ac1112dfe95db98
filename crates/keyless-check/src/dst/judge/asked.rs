//! That a write is what the files ask (S8), changes one thing (S7), and grants nothing that is there already (S9).

use bytes::Bytes;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use keyless_core::catalog::BLOB_CONTRIBUTOR;
use keyless_core::desired::{
    AuthMode, DesiredDatastores, DesiredSharedKey, DesiredWorkspace, Enforcement, GrantScope, Need, ServiceGrants,
};
use serde_json::Value;

use super::{Judge, ON_THE_WAY, SEEN_BY_ALL, TARGET_WITHIN, before, foreign};
use crate::dst::record::{Entry, What};
use crate::dst::truth::{Assignment, Truth, age};

/// What a datastore has beside its credential that can be written.
const DATASTORE: [&str; 10] = [
    "datastoreType",
    "accountName",
    "containerName",
    "fileShareName",
    "filesystem",
    "endpoint",
    "protocol",
    "description",
    "tags",
    "properties",
];

impl Judge {
    /// Whether somebody else has removed the target since the read on which the write rests. Nothing can be written only
    /// where it is there.
    fn has_just_gone(&self, write: &Entry) -> bool {
        self.foreign.iter().any(|foreign| {
            foreign.shown_by.as_ref() == Some(&write.path)
                && foreign.kind() == "ResourceRemoved"
                && foreign.since + TARGET_WITHIN >= write.since
                && !self.was_shown(foreign, write)
        })
    }

    /// S7.
    pub(super) fn is_small(&self, entry: &Entry, what: &What) -> Option<String> {
        let wrong = |why: &str| Some(format!("S7: {why}"));
        match what {
            What::Other => wrong("a request that no step makes"),
            What::Mode { .. } | What::Key { .. } => {
                let body: Value = serde_json::from_slice(&entry.body).unwrap_or_default();
                let whole = body.as_object().map_or(0, serde_json::Map::len);
                let properties = body.get("properties").and_then(|value| value.as_object()).map_or(0, |all| all.len());
                if (whole, properties) == (1, 1) { None } else { wrong("more than one property changes") }
            }
            What::Revoke { id } => match self.truth.assignments.get(id) {
                Some(gone) if !gone.is_own() => wrong("the grant is not its own"),
                _ => None,
            },
            What::Datastore { .. } => {
                let body: Value = serde_json::from_slice(&entry.body).unwrap_or_default();
                let there = self.truth.stored.get(&entry.path).map(|stored| &stored.told);
                let kept = |name: &str| {
                    let of = |all: Option<&Value>| all?.get(name).filter(|value| !value.is_null()).cloned();
                    of(body.get("properties")) == of(there)
                };
                if DATASTORE.iter().all(|name| kept(name)) || (there.is_none() && self.has_just_gone(entry)) {
                    None
                } else {
                    wrong("a datastore changes in more than how it signs")
                }
            }
            What::Grant { .. } | What::Resync { .. } => None,
        }
    }

    /// S8, and that what is written is what the files ask.
    pub(super) fn is_asked(&self, entry: &Entry, what: &What, account: &str) -> Vec<String> {
        let now = entry.left;
        let mut broken = Vec::new();
        let on: Vec<&DesiredWorkspace> = self.truth.on(account).filter_map(|(id, _)| self.declared(id)).collect();
        let asleep = |one: &DesiredWorkspace| {
            one.enforcement == Enforcement::Observe
                || one.suspend.as_ref().is_some_and(|suspend| suspend.is_active(now))
        };
        if self.files.0.fleet.paused {
            broken.push("S8: a write while everything is paused".to_owned());
        }
        if !on.is_empty() && on.iter().all(|one| asleep(one)) {
            broken.push("S8: a write while everything on the account is suspended or only observed".to_owned());
        }
        if matches!(what, What::Key { .. }) && on.iter().any(|one| asleep(one)) {
            broken.push("S8: the key changes while something on the account is suspended or only observed".to_owned());
        }
        if !self.is_repair(entry, what, account) && !self.is_in_a_window(now) {
            broken.push("S8: a write outside of the change windows".to_owned());
        }
        let said = self.said(account);
        match what {
            What::Mode { workspace, identity } => match self.declared(workspace) {
                None => broken.push("S7: a workspace that no file declares".to_owned()),
                Some(one) if asleep(one) => {
                    broken.push("S8: a workspace that is suspended or only observed".to_owned())
                }
                Some(one) if (one.auth_mode == AuthMode::Identity) != *identity => {
                    broken.push("S8: the files ask for the other mode".to_owned());
                }
                Some(_) => {}
            },
            What::Key { allowed: false, .. } => {
                if on.iter().any(|one| one.auth_mode == AuthMode::AccessKey) {
                    broken.push("S8: the key goes off although the files ask for it".to_owned());
                }
                if said.is_some_and(|said| said != DesiredSharedKey::Disabled) || (said.is_none() && on.is_empty()) {
                    broken.push("S8: the key goes off although no file says so".to_owned());
                }
            }
            What::Datastore { workspace } | What::Resync { workspace } => match self.declared(workspace) {
                None => broken.push("S7: a workspace that no file declares".to_owned()),
                Some(one) if asleep(one) => {
                    broken.push("S8: a workspace that is suspended or only observed".to_owned())
                }
                Some(one) if matches!(what, What::Resync { .. }) && one.auth_mode == AuthMode::Identity => {
                    broken.push("S7: keys are taken by a workspace that the files want on identity".to_owned());
                }
                Some(one) if matches!(what, What::Datastore { .. }) && !gives_up(one, &entry.path, now) => {
                    broken.push("S7: a datastore whose secret no file gives up".to_owned());
                }
                Some(_) => {}
            },
            What::Key { allowed: true, .. } => {
                if said != Some(DesiredSharedKey::Enabled) {
                    broken.push("S8: the key comes on although no file says so".to_owned());
                }
            }
            What::Grant { id } => {
                if !self.is_needed(&Given::of(id, &entry.body), account) {
                    broken.push("S7: a grant that no file asks for".to_owned());
                }
            }
            What::Revoke { id } => {
                let is_asked = |gone: &Assignment, need: &Need, who: &str| {
                    who == gone.principal && need.role.to_string().eq_ignore_ascii_case(&gone.role)
                };
                let taken = self.truth.assignments.get(id);
                if taken.is_some_and(|gone| self.needs(account).any(|(need, who)| is_asked(gone, need, &who))) {
                    broken.push("S8: a grant is taken from somebody whom the files name".to_owned());
                }
                if !self.files.0.fleet.prune {
                    broken.push("S7: a grant is taken back although the files do not say so".to_owned());
                }
            }
            What::Other => {}
        }
        broken
    }

    /// Whether a write is held by no change window: it gives somebody access who has none.
    pub(super) fn is_repair(&self, entry: &Entry, what: &What, account: &str) -> bool {
        match what {
            What::Grant { .. } => true,
            What::Mode { identity, .. } => *identity && self.truth.keys.get(account) == Some(&false),
            What::Key { allowed: true, .. } => {
                self.truth.on(account).any(|(id, one)| !one.on_identity && self.declared(id).is_some())
                    || self.raced(foreign::ON_KEYS, account, entry, entry.left).is_some()
            }
            _ => false,
        }
    }

    /// Whether a change window is open, or was when a write that leaves now can have been read for last.
    fn is_in_a_window(&self, now: Timestamp) -> bool {
        let windows = &self.files.0.fleet.change_windows;
        let is_open = |at: Timestamp| {
            let time = at.to_zoned(TimeZone::UTC).time();
            let minute = i32::from(time.hour()) * 60 + i32::from(time.minute());
            windows.iter().any(|one| (i32::from(one.from)..i32::from(one.to)).contains(&minute))
        };
        windows.is_empty() || is_open(now) || is_open(before(now, TARGET_WITHIN + ON_THE_WAY))
    }

    /// What the files ask for at an account, and for whom.
    fn needs<'a>(&'a self, account: &'a str) -> impl Iterator<Item = (&'a Need, String)> {
        let declared = self.truth.on(account).filter_map(move |(id, _)| Some((id, self.declared(id)?)));
        let needs = declared.flat_map(|(id, one)| one.needs.iter().map(move |need| (id, need)));
        needs.flat_map(move |(id, need)| self.truth.principals(id, need).into_iter().map(move |who| (need, who)))
    }

    /// S9: who has a role since long, by whatever way, is granted nothing. Lists are not as old as that, and nor are groups.
    pub(super) fn is_had(&self, given: &Given, account: &str, entry: &Entry) -> Option<String> {
        let old = |since: Option<Timestamp>| since.is_some_and(|since| age(entry.left, since) > SEEN_BY_ALL);
        let is_named = |(need, who): (&Need, String)| {
            who == given.principal && need.role.to_string().eq_ignore_ascii_case(&given.role)
        };
        let named = self.needs(account).any(is_named);
        let has = |truth: &Truth| {
            let (direct, by_group) =
                truth.held_since(&given.principal, &given.role, account, given.condition.is_some());
            old(direct) || old(by_group)
        };
        let is_had = named && entry.since > SEEN_BY_ALL && has(&self.truth) && has(&self.without_unwanted());
        is_had.then(|| format!("S9: `{}` is granted what it has", given.principal))
    }

    /// The world as if the grants were gone that are to be taken back: who rests on one is given another first.
    fn without_unwanted(&self) -> Truth {
        let mut rest = self.truth.clone();
        let is_asked = |one: &Assignment| {
            let mut needs = self.needs(&one.scope);
            needs.any(|(need, who)| who == one.principal && need.role.to_string().eq_ignore_ascii_case(&one.role))
        };
        if self.files.0.fleet.prune {
            rest.assignments.retain(|_, one| !one.is_own() || is_asked(one));
        }
        rest
    }

    /// Whether a file asks for just this grant: for the principal, at the account, with the role and under the condition.
    fn is_needed(&self, given: &Given, account: &str) -> bool {
        let is_asked = |(need, who): (&Need, String)| {
            who == given.principal
                && need.role.to_string().eq_ignore_ascii_case(&given.role)
                && need.condition == given.condition
                && need.grant_scope == GrantScope::Account
        };
        let gives = |one: &DesiredWorkspace| one.service_grants == ServiceGrants::Grant;
        let mut declared = self.truth.on(account).filter(|(id, _)| self.declared(id).is_some_and(gives));
        let of_service = given.condition.is_none() && given.role == BLOB_CONTRIBUTOR.to_string();
        given.scope == account
            && (self.needs(account).any(is_asked)
                || (of_service && declared.any(|(_, one)| one.principal.as_ref() == Some(&given.principal))))
    }
}

/// Whether a document asks that the datastore at this path lose its secret, and accepts that at `now`.
fn gives_up(one: &DesiredWorkspace, path: &str, now: Timestamp) -> bool {
    let name = path.rsplit('/').next().unwrap_or_default();
    let is_asked = match &one.datastores {
        DesiredDatastores::Unmanaged => false,
        DesiredDatastores::ConvertAll => true,
        DesiredDatastores::Listed(all) => all.contains_key(name),
    };
    // By the clock of when it was looked at last.
    let looked = before(now, TARGET_WITHIN + ON_THE_WAY);
    is_asked && one.accept_one_way.as_ref().is_some_and(|accepted| looked < accepted.until)
}

/// A role assignment as it is asked for. Ids are in lower case.
#[derive(Default)]
pub(super) struct Given {
    scope: String,
    principal: String,
    role: String,
    condition: Option<String>,
}

impl Given {
    pub(super) fn of(id: &str, body: &Bytes) -> Self {
        let Some((scope, _)) = id.split_once("/providers/microsoft.authorization/roleassignments/") else {
            return Self::default();
        };
        let body: Value = serde_json::from_slice(body).unwrap_or_default();
        let text = |name: &str| body.pointer(&format!("/properties/{name}")).and_then(Value::as_str);
        let folded = |name: &str| text(name).unwrap_or_default().to_ascii_lowercase();
        Self {
            scope: scope.to_owned(),
            principal: folded("principalId"),
            role: folded("roleDefinitionId").rsplit('/').next().unwrap_or_default().to_owned(),
            condition: text("condition").map(str::to_owned),
        }
    }
}
