//! From what exists to desired state: files that describe an estate as it is, so that a plan of them changes nothing.
//!
//! Pure: whoever surveyed the estate hands it over as a value. Equal estates give equal files, byte by byte, so no time
//! and no count that moves by itself is written. Unknown is never absent: what could not be read is a comment that says
//! so, and one of [`Adopted::unread`].
//!
//! `held` tells what a principal may do in the words of the catalog, `people` who that is for one workspace, `profiles`
//! what many workspaces have in common, `names` what everything is called, `risks` what a switch would break today, and
//! `workers` for whom.

pub(crate) mod held;
pub(crate) mod names;
mod people;
mod profiles;
mod risks;
mod workers;

use std::collections::{BTreeMap, BTreeSet};

use crate::desired::{AuthMode, DesiredSharedKey, Waits};
use crate::id::{ManagedIdentityId, PrincipalId, RoleId, StorageAccountId, SubscriptionId, WorkspaceId};
use crate::manifest::write::{self, Document, Written};
use crate::observed::{
    Endpoint, Lock, Observed, ObservedAuthMode, ObservedWorkspace, Reading, RoleAssignment, RoleDefinition, Workspace,
};

use self::people::Identities;

/// Everything that was read of an estate.
#[derive(Debug, Clone)]
pub struct Estate {
    /// Names the installation that is to be.
    pub owner: String,
    /// Per subscription that was searched: whether it was listed completely, and the account of each workspace in it told.
    pub listings: BTreeMap<SubscriptionId, Reading<()>>,
    /// The workspaces that get a document; others that stand on the same accounts are neighbours.
    pub adopted: BTreeSet<WorkspaceId>,
    /// Each account with an adopted workspace, and all workspaces on it.
    pub accounts: BTreeMap<StorageAccountId, Observed>,
    /// What was read of each workspace on these accounts besides.
    pub workspaces: BTreeMap<WorkspaceId, Around>,
    /// The definitions of all roles that are assigned anywhere here.
    pub roles: BTreeMap<RoleId, Reading<RoleDefinition>>,
    /// The principals behind the user-assigned identities of workspaces and computes; `None`: it does not exist.
    pub identities: BTreeMap<ManagedIdentityId, Reading<Option<PrincipalId>>>,
    /// The online endpoints of each subscription with such a workspace.
    pub endpoints: BTreeMap<SubscriptionId, Reading<Vec<Endpoint>>>,
}

/// What bears on one workspace at its own scope.
#[derive(Debug, Clone)]
pub struct Around {
    /// The role assignments that apply at the workspace: made there or inherited.
    pub assignments: Reading<Vec<RoleAssignment>>,
    /// The locks that apply at the workspace.
    pub locks: Reading<Vec<Lock>>,
}

/// The files, and what is to be said about them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Adopted {
    /// The files by their paths, with `/` between the parts.
    pub files: BTreeMap<String, String>,
    /// One line for each workspace.
    pub workspaces: Vec<Line>,
    /// The profiles that were made.
    pub profiles: usize,
    /// What could not be read: the files are incomplete unless this is empty.
    pub unread: BTreeSet<String>,
}

/// What became of one workspace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// The workspace.
    pub id: WorkspaceId,
    /// Its account.
    pub account: StorageAccountId,
    /// The file with its document.
    pub file: String,
    /// The mode as Azure showed it; `None` if that could not be read.
    pub mode: Option<ObservedAuthMode>,
    /// Whether there is a document: not for a mode that no document can say.
    pub declared: bool,
    /// Who would lose access if it were switched today, as far as that can be told.
    pub would_lose: Vec<String>,
    /// Whom a deny assignment denies today what they hold a grant for. Whoever works here by a role too would lose access,
    /// and is counted there as well.
    pub denied: Vec<DeniedToday>,
    /// Who or what uses the account's key.
    pub key_users: Vec<String>,
}

/// Somebody with a grant, and what denies today some of what it gives.
///
/// The grant is written down: the files say who is to work, and a denial, which others make and take back, says only that
/// today they do not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeniedToday {
    /// Who, in words.
    pub who: String,
    /// Name and scope of each deny assignment; none where it hangs on groups that are not known.
    pub by: BTreeSet<(String, String)>,
    /// Whether it is known that they deny it; else they may.
    pub certain: bool,
}

impl DeniedToday {
    fn of(who: &str, holder: &held::Holder) -> Option<Self> {
        holder.denied_today().map(|(certain, by)| Self { who: who.to_owned(), by, certain })
    }

    /// Lines for the head of a file: one for all whom the same deny assignments deny.
    fn told(denied: &[Self]) -> Vec<String> {
        let mut alike: BTreeMap<(bool, Vec<String>), Vec<&str>> = BTreeMap::new();
        for Self { who, by, certain } in denied {
            let by = by.iter().map(|(name, scope)| format!("`{name}` at {scope}")).collect();
            alike.entry((!certain, by)).or_default().push(who);
        }
        let mut lines: Vec<String> = Vec::new();
        for ((doubtful, by), who) in alike {
            let word = if doubtful { "Perhaps denied today" } else { "Denied today" };
            let by = if by.is_empty() { "a deny assignment".to_owned() } else { by.join(", ") };
            lines.push(format!("{word} by {by}: {}", who.join(", ")));
        }
        if !lines.is_empty() {
            lines.push(
                "Their grants stand and are told as ever: they work once that spares them or is gone.".to_owned(),
            );
        }
        lines
    }
}

/// Whose groups and eligible roles decide what the files say of them, by account: people and programs that work in an
/// adopted workspace, or may take the key, without a data role of their own.
#[must_use]
pub fn undecided(estate: &Estate) -> BTreeMap<StorageAccountId, BTreeSet<PrincipalId>> {
    let (waits, identities) = (Waits::default(), Identities::of(estate));
    let of_account = |(account, observed): (&StorageAccountId, &Observed)| {
        let here = held::Here::of(observed, &estate.roles, &waits);
        let mut found = BTreeSet::new();
        for id in observed.workspaces.keys().filter(|id| estate.adopted.contains(*id)) {
            let at_workspace = estate.workspaces.get(id).and_then(|around| around.assignments.value());
            let (workers, _) = workers::of(at_workspace.map_or(&[], Vec::as_slice), &here, &identities);
            found.extend(workers.into_iter().filter(|(_, worker)| worker.has_groups()).map(|(principal, _)| principal));
        }
        (!found.is_empty()).then(|| (account.clone(), found))
    };
    estate.accounts.iter().filter_map(of_account).collect()
}

/// The first line of every file that is written.
const HEAD: &str = "Written by `keyless adopt` from what Azure showed; yours to change.";

/// Writes an estate down.
#[must_use]
pub fn adopt(estate: &Estate) -> Adopted {
    let waits = Waits::default();
    let identities = Identities::of(estate);
    let stored = risks::stored_keys(estate);
    let names = names::of(estate);
    let mut unread = BTreeSet::new();
    for (subscription, reading) in &estate.listings {
        if let Some(why) = reading.failure() {
            unread.insert(format!("the workspaces of subscription {subscription}: {why}"));
        }
    }
    for (subscription, reading) in &estate.endpoints {
        if let Some(why) = reading.failure() {
            unread.insert(format!("the online endpoints of subscription {subscription}: {why}"));
        }
    }

    let mut drafts = Vec::new();
    for (account, observed) in &estate.accounts {
        let here = held::Here::of(observed, &estate.roles, &waits);
        for (id, entry) in &observed.workspaces {
            if !estate.adopted.contains(id) {
                continue;
            }
            let own = match &entry.workspace {
                // Lists lag behind deletions.
                Reading::Known { value: None, .. } => continue,
                Reading::Known { value: Some(own), .. } => Some(own),
                Reading::Unknown { .. } | Reading::NotRead => None,
            };
            let people = people::of(id, own, entry, &here, &identities);
            let risks = risks::of(id, account, estate, &here, &identities, &stored);
            drafts.push(Draft { id, account, entry, own, people, risks });
        }
    }
    let shared = profiles::of(drafts.iter().map(|draft| (draft.id, draft.account, &draft.people.access)), &names);

    let mut files = BTreeMap::new();
    let mut lines = Vec::new();
    for draft in &drafts {
        let name = names.get(draft.id).cloned().unwrap_or_default();
        let path = format!("workspaces/{name}.yaml");
        let (written, line) = workspace(draft, &name, &path, &shared, &mut unread);
        files.insert(path, write::file(&[written]));
        lines.push(line);
    }
    lines.sort_by(|one: &Line, other| one.file.cmp(&other.file));
    for (account, observed) in &estate.accounts {
        if let Some(written) = account_document(account, observed, &drafts, &mut unread) {
            files.insert(format!("accounts/{}.yaml", names::clean(account.name())), write::file(&[written]));
        }
    }
    if !shared.profiles.is_empty() {
        let mut documents: Vec<Written> = Vec::new();
        for (name, profile) in &shared.profiles {
            let mut comment = if documents.is_empty() { vec![HEAD.to_owned()] } else { Vec::new() };
            comment.push(format!("What these principals hold on each of {} workspaces.", profile.workspaces));
            let document = Document::Profile { name: name.clone(), access: profile.access.clone() };
            documents.push(Written { comment, document: Some(document) });
        }
        files.insert("profiles.yaml".to_owned(), write::file(&documents));
    }
    files.insert("fleet.yaml".to_owned(), write::file(&[fleet(estate)]));
    Adopted { files, workspaces: lines, profiles: shared.profiles.len(), unread }
}

/// One workspace before what it shares with others is taken out.
struct Draft<'a> {
    id: &'a WorkspaceId,
    account: &'a StorageAccountId,
    entry: &'a ObservedWorkspace,
    own: Option<&'a Workspace>,
    people: people::People,
    risks: risks::Risks,
}

fn workspace(
    draft: &Draft<'_>,
    name: &str,
    path: &str,
    shared: &profiles::Shared,
    unread: &mut BTreeSet<String>,
) -> (Written, Line) {
    let Draft { id, account, entry, own, people, risks } = draft;
    let mode = own.map(|own| own.auth_mode.clone());
    let mut comment = vec![HEAD.to_owned()];
    for what in people.unread.iter().chain(&risks.unread) {
        comment.push(format!("UNKNOWN: {what}"));
        unread.insert(format!("{name}: {what}"));
    }
    for what in people.unread_at_account.iter().chain(&risks.unread_at_account) {
        comment.push(format!("UNKNOWN: {what}"));
        unread.insert(format!("{}: {what}", account.name()));
    }
    comment.extend(risks.told(account, mode.as_ref()));
    comment.extend(DeniedToday::told(&people.denied));
    comment.extend(people.left_out.iter().map(|text| format!("Left out: {text}")));

    let profiles: Vec<String> = shared.of(id).map(|(name, _)| name.to_owned()).collect();
    let access = people.access.iter().filter(|entry| !shared.covers(id, entry)).cloned().collect();
    let document = |auth_mode| Document::Workspace {
        name: name.to_owned(),
        id: own.map_or_else(|| (*id).clone(), |own| own.id.clone()),
        auth_mode,
        enforcement: None,
        access,
        profiles,
    };
    let (document, declared) = match &mode {
        Some(ObservedAuthMode::Identity) => (Some(document(AuthMode::Identity)), true),
        Some(ObservedAuthMode::AccessKey) => (Some(document(AuthMode::AccessKey)), true),
        Some(ObservedAuthMode::Unset) => {
            comment.push("Azure shows no mode, which is its default: the account key.".to_owned());
            (Some(document(AuthMode::AccessKey)), true)
        }
        Some(ObservedAuthMode::Other(other)) => {
            // `accesskey` would be a change that nobody asked for, and no document can say the third value.
            comment.push(format!(
                "Its mode is `{other}`, which no document can say: decide for `identity` or `accesskey`, then take away the `#`."
            ));
            comment.extend(write::as_comment(&document(AuthMode::AccessKey)));
            (None, false)
        }
        None => {
            let why = entry.workspace.failure().unwrap_or("nobody asked");
            unread.insert(format!("{name}: the workspace: {why}"));
            comment.push(format!("UNKNOWN: the workspace itself could not be read: {why}"));
            comment.push("With its mode unknown there is no document; run `keyless adopt` again.".to_owned());
            (None, false)
        }
    };
    let line = Line {
        id: (*id).clone(),
        account: (*account).clone(),
        file: path.to_owned(),
        mode,
        declared,
        would_lose: risks.would_lose.clone(),
        denied: people.denied.clone(),
        key_users: risks.key_users.clone(),
    };
    (Written { comment, document }, line)
}

/// A document for the account, where without one the next plan would not be empty, or would be silent about a fault.
fn account_document(
    account: &StorageAccountId,
    observed: &Observed,
    drafts: &[Draft<'_>],
    unread: &mut BTreeSet<String>,
) -> Option<Written> {
    let mut comment = vec![HEAD.to_owned()];
    let known = match &observed.account {
        Reading::Known { value: Some(known), .. } => known,
        Reading::Known { value: None, .. } => {
            comment.push(format!("Workspaces name the account {account}, which does not exist."));
            return Some(Written { comment, document: None });
        }
        Reading::Unknown { why, .. } => {
            unread.insert(format!("storage account {}: {why}", account.name()));
            comment.push(format!("UNKNOWN: {account} could not be read: {why}"));
            return Some(Written { comment, document: None });
        }
        Reading::NotRead => return None,
    };
    // What counts is what will be declared: a plan knows of no other mode that anybody asks for.
    let mut with_key = Vec::new();
    let mut on_identity = false;
    for own in drafts.iter().filter(|draft| draft.account == account).filter_map(|draft| draft.own) {
        match own.auth_mode {
            ObservedAuthMode::Identity => on_identity = true,
            ObservedAuthMode::AccessKey | ObservedAuthMode::Unset => with_key.push(own.id.name()),
            ObservedAuthMode::Other(_) => {}
        }
    }
    let shared_key_access = if !known.shared_key.is_on() && !with_key.is_empty() {
        comment.push(format!("BROKEN NOW: the key is off, and {} would use it.", with_key.join(", ")));
        comment.push("The way out is forward: `authMode: identity` in those documents.".to_owned());
        DesiredSharedKey::Disabled
    } else if known.shared_key.is_on() && on_identity && with_key.is_empty() {
        comment.push(
            "Every declared workspace on it is on identity and the key is on: without this document the key would be"
                .to_owned(),
        );
        comment.push(
            "turned off as soon as nobody uses it. Remove the document, or say `disabled`, to have that.".to_owned(),
        );
        DesiredSharedKey::Unmanaged
    } else {
        return None;
    };
    let document = Document::Account { name: names::clean(account.name()), id: known.id.clone(), shared_key_access };
    Some(Written { comment, document: Some(document) })
}

fn fleet(estate: &Estate) -> Written {
    let mut comment = vec![
        HEAD.to_owned(),
        "Nothing is written to Azure while `enforcement` is `observe`; a Workspace may say `enforcement: enforce`."
            .to_owned(),
    ];
    for (subscription, reading) in &estate.listings {
        if let Some(why) = reading.failure() {
            comment.push(format!("UNKNOWN: the workspaces of {subscription} could not all be listed: {why}"));
        }
    }
    for (subscription, reading) in &estate.endpoints {
        if let Some(why) = reading.failure() {
            comment.push(format!(
                "UNKNOWN: the online endpoints of {subscription} could not be read, so their identities may be declared: {why}"
            ));
        }
    }
    let subscriptions = estate.listings.keys().copied().collect();
    Written { comment, document: Some(Document::Fleet { owner: estate.owner.clone(), subscriptions }) }
}
