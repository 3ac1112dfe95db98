//! The JSON Schemas of the four kinds, for editors and for checks in pull requests.

use schemars::generate::SchemaSettings;
use serde_json::Value;

use super::documents::Kind;
use super::kinds::{AccessProfile, Fleet, StorageAccount, Workspace};
use super::wire::Described;

/// The JSON Schema (draft 2020-12) of one kind of document.
#[must_use]
pub fn schema(kind: Kind) -> Value {
    let generator = SchemaSettings::draft2020_12().into_generator();
    let schema = match kind {
        Kind::Workspace => generator.into_root_schema_for::<Described<Workspace>>(),
        Kind::StorageAccount => generator.into_root_schema_for::<Described<StorageAccount>>(),
        Kind::AccessProfile => generator.into_root_schema_for::<Described<AccessProfile>>(),
        Kind::Fleet => generator.into_root_schema_for::<Described<Fleet>>(),
    };
    schema.into()
}

/// The JSON Schema of a document of any kind.
#[must_use]
pub fn schema_all() -> Value {
    let mut generator = SchemaSettings::draft2020_12().into_generator();
    let kinds = [
        generator.subschema_for::<Described<Workspace>>(),
        generator.subschema_for::<Described<StorageAccount>>(),
        generator.subschema_for::<Described<AccessProfile>>(),
        generator.subschema_for::<Described<Fleet>>(),
    ];
    serde_json::json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "keyless desired state",
        "oneOf": kinds,
        "$defs": generator.take_definitions(true),
    })
}
