//! `keyless validate`: desired state checked offline, all problems in one run.

use std::process::ExitCode;

use keyless_controller::source;
use keyless_core::manifest;
use keyless_core::plan::finding::plural;

use crate::cli::ValidateArgs;
use crate::output;

pub(super) fn validate(args: &ValidateArgs) -> anyhow::Result<ExitCode> {
    let files: Vec<_> = args.paths.iter().flat_map(|path| source::read(path)).collect();
    let root = args.paths.first().map(|path| path.display().to_string()).unwrap_or_default();
    let (problems, warnings, summary) = match manifest::load(&root, &files) {
        Ok(accepted) => {
            let (workspaces, accounts) = (accepted.desired.workspaces.len(), accepted.desired.accounts.len());
            let fleet = if accepted.desired.fleet.is_declared { "" } else { ", no `Fleet` document" };
            let summary = format!(
                "valid: {} and {}{fleet}, revision {}",
                plural(workspaces, "workspace"),
                plural(accounts, "account"),
                accepted.desired.revision
            );
            (Vec::new(), accepted.warnings, summary)
        }
        Err(rejected) => {
            let summary = rejected.to_string();
            (rejected.problems, rejected.warnings, summary)
        }
    };
    for problem in &problems {
        output::data(&format!("{problem}\n"))?;
    }
    for warning in &warnings {
        output::remark(&format!("warning: {warning}"));
    }
    output::remark(&summary);
    Ok(if problems.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
