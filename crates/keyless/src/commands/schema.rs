//! `keyless schema`: the JSON Schema of desired state.

use std::process::ExitCode;

use keyless_core::manifest;

use crate::cli::SchemaArgs;
use crate::output;

pub(super) fn schema(args: &SchemaArgs) -> anyhow::Result<ExitCode> {
    let schema = args.kind.map_or_else(manifest::schema_all, manifest::schema);
    let mut text = serde_json::to_string_pretty(&schema)?;
    text.push('\n');
    output::data(&text)?;
    Ok(ExitCode::SUCCESS)
}
