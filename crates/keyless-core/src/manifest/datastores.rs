//! The field `datastores` of a Workspace: either one word for all, or a list.

use std::collections::BTreeMap;

use schemars::{Schema, SchemaGenerator, json_schema};

use crate::desired::{
    DatastoreKind, DatastorePlace, DesiredDatastore, DesiredDatastores, DesiredForm, ServiceDataAccess,
};
use crate::id::SubscriptionId;
use crate::observed::is_system_name;

use super::kinds::Acceptance;
use super::node::{Node, Value};
use super::problem::shorten;
use super::resolve::acceptance;
use super::scalar::{Line, Name};
use super::wire::{At, Described, Fields, Reader, Wire, object, words};

/// What is asked of the datastores that people made.
#[derive(Debug, Clone)]
pub(super) enum Datastores {
    All(ForAll),
    List(Vec<At<Datastore>>),
}

impl Wire for Datastores {
    const NAME: &'static str = "Datastores";

    fn decode(node: &Node, reader: &mut Reader<'_>) -> Option<Self> {
        match &node.value {
            Value::Map(_) => ForAll::decode(node, reader).map(Self::All),
            Value::List(_) => Vec::decode(node, reader).map(Self::List),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::Text(_) => {
                reader.wrong_type(node, "a list, or `{convert: all}`", None);
                None
            }
        }
    }

    fn describe(schemas: &mut SchemaGenerator) -> Schema {
        json_schema!({ "oneOf": [
            schemas.subschema_for::<Described<ForAll>>(),
            schemas.subschema_for::<Described<Vec<At<Datastore>>>>(),
        ] })
    }
}

/// The word `all`.
#[derive(Debug, Clone, Copy)]
pub(super) struct All;

/// The word `none`.
#[derive(Debug, Clone, Copy)]
pub(super) struct NoCredentials;

words! {
    /// Every datastore that people made and that holds an account key or a SAS.
    All as "" { "all" => All, }
}

words! {
    /// The datastore exists, and its stored credential is taken away for good.
    NoCredentials as "" { "none" => NoCredentials, }
}

words! {
    /// The type of a datastore.
    DatastoreKind as "DatastoreType" {
        "blob" => DatastoreKind::Blob,
        "adlsGen1" => DatastoreKind::AdlsGen1,
        "adlsGen2" => DatastoreKind::AdlsGen2,
        "file" => DatastoreKind::File,
    }
    hints {
        "azureSql" => "databases are not offered by this API: only the SDK v1 can register one without credentials",
        "azureSqlDatabase" => "databases are not offered by this API: only the SDK v1 can register one without credentials",
        "oneLake" => "OneLake is not offered by keyless: it stands on no storage account",
    }
}

words! {
    /// Whether the service itself, for previews, reads with the workspace's identity.
    ServiceDataAccess as "ServiceDataAccess" {
        "none" => ServiceDataAccess::None,
        "workspace" => ServiceDataAccess::Workspace,
    }
}

object! {
    /// The same for every datastore.
    ForAll {
        /// Which give up their stored credentials, which cannot be taken back.
        required convert("convert"): All,
    }
}

object! {
    /// A datastore that gives up its stored credential, or one that has none and is made if it is missing.
    Datastore {
        /// Its name in the workspace.
        required name("name"): Name,
        /// `none`: it exists and gives up its stored credential, which cannot be taken back.
        optional credentials("credentials"): NoCredentials,
        /// The type of one that is made if it is missing.
        optional kind("type"): DatastoreKind,
        /// The name of its storage account; the workspace's own if left out.
        optional account("account"): Line,
        /// The account's subscription, where it is not the workspace's own account.
        optional subscription("subscription"): SubscriptionId,
        /// The account's resource group, where it is not the workspace's own account.
        optional resource_group("resourceGroup"): Line,
        /// The container of a `blob` datastore.
        optional container("container"): Line,
        /// The file system of an `adlsGen2` datastore.
        optional filesystem("filesystem"): Line,
        /// The share of a `file` datastore.
        optional share("share"): Line,
        /// The store of an `adlsGen1` datastore.
        optional store("store"): Line,
        /// Whether the service itself reads with the workspace's identity.
        optional service_data_access("serviceDataAccess"): ServiceDataAccess,
        /// That those who read through it have access to an account which is not the workspace's own.
        optional accept_access("acceptAccess"): Acceptance,
    }
    elsewhere {
        "acceptOneWay" => "`acceptOneWay` stands beside `datastores`, once for the workspace",
        "accountName" => "it is called `account` here",
        "containerName" => "it is called `container` here",
        "fileShareName" => "it is called `share` here",
        "storeName" => "it is called `store` here",
        "serviceDataAccessAuthIdentity" => "it is called `serviceDataAccess` here: none or workspace",
    }
    also { "oneOf": [
        { "required": ["credentials"] },
        { "required": ["type", "container"], "properties": { "type": { "enum": ["blob"] } } },
        { "required": ["type", "filesystem"], "properties": { "type": { "enum": ["adlsGen2"] } } },
        { "required": ["type", "share"], "properties": { "type": { "enum": ["file"] } } },
        { "required": ["type", "store"], "properties": { "type": { "enum": ["adlsGen1"] } } },
    ] }
    check converts_or_describes
}

/// An entry either gives up a credential or says where the datastore stands.
fn converts_or_describes(fields: &Fields<'_>, reader: &mut Reader<'_>) {
    let has = |field: &str| fields.present().contains(&field);
    match (has("credentials"), has("type")) {
        (true, true) => {
            let hint = "with a type it never has a credential: leave `credentials` out".to_owned();
            reader.wrong(fields.at(), "has both `credentials` and `type`", Some(hint));
        }
        (false, false) if !reader.is_partial() => {
            let hint = "`credentials: none` for one that exists, or a `type` and its place".to_owned();
            reader.wrong(fields.at(), "asks for nothing: it has neither `credentials` nor `type`", Some(hint));
        }
        _ => {}
    }
}

/// What an entry alone and all of them together must not say.
pub(super) fn check(datastores: &Datastores, reader: &mut Reader<'_>) {
    let Datastores::List(list) = datastores else { return };
    let mut seen: BTreeMap<String, u32> = BTreeMap::new();
    for At { value: entry, at } in list {
        if let Some(At { value: Name(name), at }) = &entry.name {
            if is_system_name(name) {
                let hint = "it follows `authMode`".to_owned();
                reader.problem(*at, format!("`{name}` is managed by the workspace itself"), Some(hint));
            } else if name.contains('.') {
                let hint = Some("letters, digits, `-` and `_`".to_owned());
                reader.problem(*at, format!("`{}` is not the name of a datastore", shorten(name)), hint);
            } else if entry.kind.is_some()
                && !name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
            {
                // Source: "Connect to storage by using identity-based data access" (SDK v1). One that exists may be
                // called otherwise.
                let hint = Some("lower-case letters, digits and `_`".to_owned());
                reader.problem(*at, format!("`{}` is not a name for a new datastore", shorten(name)), hint);
            }
            if let Some(line) = seen.insert(name.to_ascii_lowercase(), at.line) {
                reader.problem(
                    *at,
                    format!("datastore `{}` is named twice, first on line {line}", shorten(name)),
                    None,
                );
            }
        }
        let places = [
            ("container", &entry.container, DatastoreKind::Blob),
            ("filesystem", &entry.filesystem, DatastoreKind::AdlsGen2),
            ("share", &entry.share, DatastoreKind::File),
            ("store", &entry.store, DatastoreKind::AdlsGen1),
        ];
        let Some(At { value: kind, .. }) = entry.kind else {
            let others = [
                ("account", entry.account.as_ref().map(|given| given.at)),
                ("subscription", entry.subscription.as_ref().map(|given| given.at)),
                ("resourceGroup", entry.resource_group.as_ref().map(|given| given.at)),
                ("serviceDataAccess", entry.service_data_access.as_ref().map(|given| given.at)),
            ];
            let places = places.iter().map(|(field, given, _)| (*field, given.as_ref().map(|given| given.at)));
            if entry.credentials.is_some() {
                for (field, at) in others.into_iter().chain(places) {
                    if let Some(at) = at {
                        let hint = Some("only one with a `type` says where it stands".to_owned());
                        reader.problem(at, format!("`{field}` goes with a `type`"), hint);
                    }
                }
            }
            continue;
        };
        for (field, given, goes_with) in places {
            match given {
                Some(given) if goes_with != kind => {
                    let hint = Some(format!("`{field}` goes with `type: {goes_with}`"));
                    reader.problem(given.at, format!("`type: {kind}` has no `{field}`"), hint);
                }
                None if goes_with == kind && !reader.is_partial() => {
                    reader.problem(*at, format!("missing field `{field}`, which `type: {kind}` needs"), None);
                }
                _ => {}
            }
        }
        if let (Some(account), DatastoreKind::AdlsGen1) = (&entry.account, kind) {
            let hint = Some("`store` alone names it".to_owned());
            reader.problem(account.at, "`type: adlsGen1` has no `account`", hint);
        }
    }
}

/// What the field asks for; nothing at all if it is written wrongly.
pub(super) fn resolve(given: Option<&At<Datastores>>) -> Option<DesiredDatastores> {
    let list = match given.map(|given| &given.value) {
        None => return Some(DesiredDatastores::Unmanaged),
        Some(Datastores::All(all)) => return all.convert.as_ref().map(|_| DesiredDatastores::ConvertAll),
        Some(Datastores::List(list)) => list,
    };
    let mut listed = BTreeMap::new();
    for At { value: entry, .. } in list {
        let name = entry.name.as_ref()?.value.0.clone();
        let form = match (entry.kind.as_ref(), entry.credentials.as_ref()) {
            (Some(kind), None) => DesiredForm::At(place(entry, kind.value)?),
            (None, Some(_)) => DesiredForm::WithoutCredentials,
            _ => return None,
        };
        let accept_access = acceptance(entry.accept_access.as_ref())?;
        listed.insert(name.to_ascii_lowercase(), DesiredDatastore { name, form, accept_access });
    }
    Some(DesiredDatastores::Listed(listed))
}

fn place(entry: &Datastore, kind: DatastoreKind) -> Option<DatastorePlace> {
    let text = |given: &Option<At<Line>>| given.as_ref().map(|given| given.value.0.clone());
    let space = match kind {
        DatastoreKind::Blob => &entry.container,
        DatastoreKind::AdlsGen1 => &entry.store,
        DatastoreKind::AdlsGen2 => &entry.filesystem,
        DatastoreKind::File => &entry.share,
    };
    Some(DatastorePlace {
        kind,
        account: text(&entry.account),
        space: text(space)?,
        subscription: entry.subscription.as_ref().map(|given| given.value.to_string()),
        resource_group: text(&entry.resource_group),
        service_access: entry.service_data_access.as_ref().map(|given| given.value),
    })
}
