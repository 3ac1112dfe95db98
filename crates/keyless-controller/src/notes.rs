//! What a process leaves in `stateDir` for the next one, beside the settled mark: conveniences, all of them.
//!
//! Who is in which group since when, how often what is young was shown, whose keys were taken, and what is fought over.
//! Losing it costs waiting, or a fight is noticed later; never safety. So a file that is damaged, of another version, of
//! another owner or newer than now is told and ignored, and what is in it counts only where nothing can have come between:
//! see `agreements` and `fights`. It holds ids, times and names of logins, and no secret.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use keyless_core::id::{ArmId, PrincipalId, RoleId, StorageAccountId, WorkspaceId};
use keyless_core::observed::{Again, Agreement, KeyTimes, KeysTaken, Shown};
use keyless_core::setting::Setting;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;
use uuid::Uuid;

use crate::agreements::Row;
use crate::clock::DATE_GRAIN;
use crate::fights::Bout;
use crate::mark::StateDir;

/// The file's name.
const FILE: &str = "notes.json";

/// Another version is not read.
const VERSION: u32 = 1;

/// A larger file is neither read nor written: some 20,000 memberships and young grants.
const MOST_BYTES: usize = 8 * 1024 * 1024;

/// The file is written at most so often while the process runs, or once per interval; a death costs what came since.
pub(crate) const PACE: Duration = Duration::from_secs(5);

/// When it is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum When {
    /// If this long has passed since it last was.
    After(Duration),
    /// Now: the process ends.
    AtTheEnd,
}

/// What is known of one account.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Noted {
    pub(crate) shown: BTreeMap<Shown, Row>,
    pub(crate) keys_taken: BTreeMap<WorkspaceId, KeysTaken>,
    pub(crate) bouts: BTreeMap<Setting, Bout>,
}

/// Why the file is not used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unusable {
    #[error("it could not be read")]
    Read(#[source] std::io::Error),
    #[error("it is larger than {MOST_BYTES} bytes")]
    TooLarge,
    #[error("it is damaged")]
    Damaged(#[source] serde_json::Error),
    #[error("it is of version {0}, and this is version {VERSION}")]
    Version(u32),
    #[error("it is of owner `{0}`")]
    Owner(String),
    #[error("it is of {0}, which has not come yet")]
    Ahead(Timestamp),
}

/// The file.
#[derive(Debug, Default)]
pub(crate) struct Notes {
    written: Mutex<Option<(Instant, Vec<u8>)>>,
}

impl Notes {
    /// Reads what the last process left; nothing where there is no file.
    pub(crate) fn read(
        state_dir: &StateDir,
        owner: &str,
        now: Timestamp,
    ) -> Result<BTreeMap<StorageAccountId, Noted>, Unusable> {
        match state_dir.kept(FILE, MOST_BYTES).map_err(Unusable::Read)? {
            None => Ok(BTreeMap::new()),
            Some(bytes) if bytes.len() > MOST_BYTES => Err(Unusable::TooLarge),
            Some(bytes) => decoded(&bytes, owner, now),
        }
    }

    /// Writes the file if its time has come and it says something new.
    pub(crate) fn write(
        &self,
        state_dir: &StateDir,
        owner: &str,
        now: Timestamp,
        when: When,
        noted: impl FnOnce() -> BTreeMap<StorageAccountId, Noted>,
    ) {
        let mut written = self.written.lock().unwrap_or_else(PoisonError::into_inner);
        if let (When::After(pace), Some((at, _))) = (when, &*written)
            && at.elapsed() < pace
        {
            return;
        }
        let accounts = forms(noted());
        // The time alone is nothing new.
        let Ok(content) = serde_json::to_vec(&accounts) else { return };
        if written.as_ref().map_or(accounts.is_empty(), |(_, before)| *before == content) {
            return;
        }
        let file = FileForm { version: VERSION, owner: owner.to_owned(), at: now, accounts };
        let kept = match serde_json::to_vec(&file) {
            Ok(bytes) if bytes.len() <= MOST_BYTES => state_dir.keep(FILE, &bytes),
            Ok(_) => Err(std::io::Error::other(format!("it would be larger than {MOST_BYTES} bytes"))),
            Err(error) => Err(error.into()),
        };
        if let Err(error) = kept {
            tracing::warn!(error = %error, "what this process remembers could not be kept; a restart costs waiting");
        }
        *written = Some((Instant::now(), content));
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct FileForm {
    version: u32,
    owner: String,
    at: Timestamp,
    accounts: BTreeMap<String, AccountForm>,
}

/// Read first: another version may have other fields.
#[derive(Deserialize)]
struct VersionForm {
    version: u32,
}

#[derive(Serialize, Deserialize, Default)]
#[serde(deny_unknown_fields)]
struct AccountForm {
    shown: Vec<RowForm>,
    keys_taken: Vec<TakenForm>,
    bouts: Vec<BoutForm>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "snake_case")]
enum ShownForm {
    Assignment { at: String, id: String, made: Timestamp },
    Member { principal: Uuid, group: Uuid },
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct RowForm {
    what: ShownForm,
    first: Timestamp,
    last: Timestamp,
    reads: u32,
    seen: Timestamp,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct TakenForm {
    workspace: String,
    key1: Option<Timestamp>,
    key2: Option<Timestamp>,
    again: AgainForm,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum AgainForm {
    NotYet,
    Due,
    Done,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "snake_case")]
enum SettingForm {
    SharedKey,
    AuthMode(String),
    Datastore(String, String),
    Role(Uuid, Uuid),
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct BoutForm {
    setting: SettingForm,
    words: Option<Uuid>,
    set: bool,
    right: bool,
    reversals: Vec<Timestamp>,
    names: Vec<String>,
    held_until: Option<Timestamp>,
}

fn forms(noted: BTreeMap<StorageAccountId, Noted>) -> BTreeMap<String, AccountForm> {
    let form = |(id, Noted { shown, keys_taken, bouts }): (StorageAccountId, Noted)| {
        if shown.is_empty() && keys_taken.is_empty() && bouts.is_empty() {
            return None;
        }
        let shown = shown.into_iter().map(|(shown, row)| row_form(shown, row)).collect();
        let keys_taken = keys_taken.into_iter().map(|(workspace, taken)| taken_form(&workspace, taken)).collect();
        let bouts = bouts.into_iter().map(|(setting, bout)| bout_form(setting, bout)).collect();
        Some((id.to_string(), AccountForm { shown, keys_taken, bouts }))
    };
    noted.into_iter().filter_map(form).collect()
}

fn row_form(shown: Shown, Row { agreement: Agreement { first, last, reads }, seen }: Row) -> RowForm {
    let what = match shown {
        Shown::Assignment { at, id, made } => ShownForm::Assignment { at: at.to_string(), id: id.to_string(), made },
        Shown::Member { principal, group } => ShownForm::Member { principal: principal.0, group: group.0 },
    };
    RowForm { what, first, last, reads, seen }
}

fn taken_form(workspace: &WorkspaceId, KeysTaken { keys: KeyTimes { key1, key2 }, again }: KeysTaken) -> TakenForm {
    let again = match again {
        Again::NotYet => AgainForm::NotYet,
        Again::Due => AgainForm::Due,
        Again::Done => AgainForm::Done,
    };
    TakenForm { workspace: workspace.to_string(), key1, key2, again }
}

fn bout_form(setting: Setting, Bout { words, set, right, reversals, names, held_until }: Bout) -> BoutForm {
    let setting = match setting {
        Setting::SharedKey => SettingForm::SharedKey,
        Setting::AuthMode(workspace) => SettingForm::AuthMode(workspace.to_string()),
        Setting::Datastore(workspace, name) => SettingForm::Datastore(workspace.to_string(), name),
        Setting::Role(principal, role) => SettingForm::Role(principal.0, role.0),
    };
    BoutForm { setting, words, set, right, reversals, names, held_until }
}

fn decoded(bytes: &[u8], owner: &str, now: Timestamp) -> Result<BTreeMap<StorageAccountId, Noted>, Unusable> {
    let VersionForm { version } = serde_json::from_slice(bytes).map_err(Unusable::Damaged)?;
    if version != VERSION {
        return Err(Unusable::Version(version));
    }
    let file: FileForm = serde_json::from_slice(bytes).map_err(Unusable::Damaged)?;
    if file.owner != owner {
        return Err(Unusable::Owner(file.owner));
    }
    // The server's time is told in whole seconds.
    if file.at > now.saturating_add(DATE_GRAIN).unwrap_or(now) {
        return Err(Unusable::Ahead(file.at));
    }
    let noted = |(id, form): (String, AccountForm)| Some((StorageAccountId::parse(&id).ok()?, noted(form, file.at)));
    Ok(file.accounts.into_iter().filter_map(noted).collect())
}

/// What cannot be made sense of is left out.
fn noted(AccountForm { shown, keys_taken, bouts }: AccountForm, at: Timestamp) -> Noted {
    let row = |RowForm { what, first, last, reads, seen }: RowForm| {
        let shown = match what {
            ShownForm::Assignment { at, id, made } => {
                Shown::Assignment { at: StorageAccountId::parse(&at).ok()?, id: ArmId::parse(&id).ok()?, made }
            }
            ShownForm::Member { principal, group } => {
                Shown::Member { principal: PrincipalId(principal), group: PrincipalId(group) }
            }
        };
        Some((shown, Row { agreement: Agreement { first, last, reads }, seen }))
    };
    let taken = |TakenForm { workspace, key1, key2, again }: TakenForm| {
        let again = match again {
            AgainForm::NotYet => Again::NotYet,
            AgainForm::Due => Again::Due,
            AgainForm::Done => Again::Done,
        };
        let keys = KeyTimes { key1, key2 };
        // Where Azure does not tell when keys were made, a rotation since would not show.
        keys.newest()?;
        Some((WorkspaceId::parse(&workspace).ok()?, KeysTaken { keys, again }))
    };
    let bout = |BoutForm { setting, words, set, right, mut reversals, names, held_until }: BoutForm| {
        let setting = match setting {
            SettingForm::SharedKey => Setting::SharedKey,
            SettingForm::AuthMode(workspace) => Setting::AuthMode(WorkspaceId::parse(&workspace).ok()?),
            SettingForm::Datastore(workspace, name) => Setting::Datastore(WorkspaceId::parse(&workspace).ok()?, name),
            SettingForm::Role(principal, role) => Setting::Role(PrincipalId(principal), RoleId(role)),
        };
        reversals.retain(|reversal| *reversal <= at);
        Some((setting, Bout { words, set, right, reversals, names, held_until }))
    };
    Noted {
        shown: shown.into_iter().filter_map(row).collect(),
        keys_taken: keys_taken.into_iter().filter_map(taken).collect(),
        bouts: bouts.into_iter().filter_map(bout).collect(),
    }
}
