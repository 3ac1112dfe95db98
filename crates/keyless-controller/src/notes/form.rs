//! The form of the file, and the way between it and what is known.

use std::collections::BTreeMap;

use jiff::Timestamp;
use keyless_core::id::{ArmId, PrincipalId, RoleId, StorageAccountId, WorkspaceId};
use keyless_core::observed::{Again, Agreement, KeyTimes, KeysTaken, Shown, WatchCause, WatchFrom};
use keyless_core::setting::Setting;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::agreements::Row;
use crate::clock::later;
use crate::fights::Bout;
use crate::memory::Holders;
use crate::who::APART;

use super::{Noted, Unusable};

/// Another version is not read.
pub(super) const VERSION: u32 = 1;

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
    #[serde(default)]
    watch: Option<WatchForm>,
    #[serde(default)]
    signed_until: Option<Timestamp>,
    #[serde(default)]
    workspaces_on_key: bool,
    #[serde(default)]
    datastores_on_key: bool,
    #[serde(default)]
    files_keep_key: bool,
    #[serde(default)]
    looked_for_switches: bool,
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

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct WatchForm {
    at: Timestamp,
    because: CauseForm,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum CauseForm {
    KeyOff,
    Switch,
    FirstSeenOff,
    FirstSeenSwitched,
}

/// The content of the file.
pub(super) fn encoded(
    noted: &BTreeMap<StorageAccountId, Noted>,
    owner: &str,
    at: Timestamp,
) -> Result<Vec<u8>, serde_json::Error> {
    serde_json::to_vec(&FileForm { version: VERSION, owner: owner.to_owned(), at, accounts: forms(noted.clone()) })
}

fn forms(noted: BTreeMap<StorageAccountId, Noted>) -> BTreeMap<String, AccountForm> {
    let form = |(id, noted): (StorageAccountId, Noted)| {
        let Noted { shown, keys_taken, bouts, watch, signed_until, on_key, looked_for_switches } = noted;
        let shown = shown.into_iter().map(|(shown, row)| row_form(shown, row)).collect();
        let keys_taken = keys_taken.into_iter().map(|(workspace, taken)| taken_form(&workspace, taken)).collect();
        let bouts = bouts.into_iter().map(|(setting, bout)| bout_form(setting, bout)).collect();
        let watch = watch.map(watch_form);
        let Holders { workspaces: workspaces_on_key, datastores: datastores_on_key, files: files_keep_key } = on_key;
        let form = AccountForm {
            shown,
            keys_taken,
            bouts,
            watch,
            signed_until,
            workspaces_on_key,
            datastores_on_key,
            files_keep_key,
            looked_for_switches,
        };
        (id.to_string(), form)
    };
    noted.into_iter().map(form).collect()
}

fn row_form(shown: Shown, Row { agreement: Agreement { first, last, reads }, seen }: Row) -> RowForm {
    let what = match shown {
        Shown::Assignment { at, id, made } => ShownForm::Assignment { at: at.to_string(), id: id.to_string(), made },
        Shown::Member { principal, group } => ShownForm::Member { principal: principal.0, group: group.0 },
    };
    RowForm { what, first, last, reads, seen }
}

fn taken_form(workspace: &WorkspaceId, KeysTaken { keys, again }: KeysTaken) -> TakenForm {
    let KeyTimes { key1, key2 } = keys.unwrap_or_default();
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

fn watch_form(WatchFrom { at, because }: WatchFrom) -> WatchForm {
    let because = match because {
        WatchCause::KeyOff => CauseForm::KeyOff,
        WatchCause::Switch => CauseForm::Switch,
        WatchCause::FirstSeenOff => CauseForm::FirstSeenOff,
        WatchCause::FirstSeenSwitched => CauseForm::FirstSeenSwitched,
    };
    WatchForm { at, because }
}

/// What the content of a file says.
pub(super) fn decoded(
    bytes: &[u8],
    owner: &str,
    now: Timestamp,
) -> Result<BTreeMap<StorageAccountId, Noted>, Unusable> {
    let VersionForm { version } = serde_json::from_slice(bytes).map_err(Unusable::Damaged)?;
    if version != VERSION {
        return Err(Unusable::Version(version));
    }
    let file: FileForm = serde_json::from_slice(bytes).map_err(Unusable::Damaged)?;
    if file.owner != owner {
        return Err(Unusable::Owner(file.owner));
    }
    // Another server's clock may have told it.
    if file.at > later(now, APART) {
        return Err(Unusable::Ahead(file.at));
    }
    let noted = |(id, form): (String, AccountForm)| Some((StorageAccountId::parse(&id).ok()?, noted(form, file.at)));
    Ok(file.accounts.into_iter().filter_map(noted).collect())
}

/// What cannot be made sense of is left out.
fn noted(form: AccountForm, at: Timestamp) -> Noted {
    let AccountForm {
        shown,
        keys_taken,
        bouts,
        watch,
        signed_until,
        workspaces_on_key,
        datastores_on_key,
        files_keep_key,
        looked_for_switches,
    } = form;
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
        let keys = Some(KeyTimes { key1, key2 }).filter(|keys| keys.newest().is_some());
        // What is still owed is owed whatever keys those were; nothing else rests on ones that are not told.
        (keys.is_some() || again != Again::Done).then_some(())?;
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
    let watch = watch.map(|WatchForm { at: from, because }| {
        let because = match because {
            CauseForm::KeyOff => WatchCause::KeyOff,
            CauseForm::Switch => WatchCause::Switch,
            CauseForm::FirstSeenOff => WatchCause::FirstSeenOff,
            CauseForm::FirstSeenSwitched => WatchCause::FirstSeenSwitched,
        };
        WatchFrom { at: from.min(at), because }
    });
    Noted {
        watch,
        signed_until: signed_until.map(|until| until.min(at)),
        on_key: Holders { workspaces: workspaces_on_key, datastores: datastores_on_key, files: files_keep_key },
        looked_for_switches,
        shown: shown.into_iter().filter_map(row).collect(),
        keys_taken: keys_taken.into_iter().filter_map(taken).collect(),
        bouts: bouts.into_iter().filter_map(bout).collect(),
    }
}
