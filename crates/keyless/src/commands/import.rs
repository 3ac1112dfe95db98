//! `keyless import`: files of other tools as desired state, offline.

use std::io::Write as _;
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context as _, bail};
use keyless_controller::source;
use keyless_core::manifest::import::{Facts, import as read};
use keyless_core::manifest::{self, SourceFile};

use crate::cli::ImportArgs;
use crate::output;

pub(super) fn import(args: &ImportArgs) -> anyhow::Result<ExitCode> {
    let files: Vec<SourceFile> = args.files.iter().map(|path| file(path.as_path())).collect();
    let facts =
        Facts { subscription: args.subscription, resource_group: args.resource_group.clone(), name: args.name.clone() };
    let (text, warnings) = match read(&files, &facts) {
        Ok(imported) => (imported.text, imported.warnings),
        Err(refused) => {
            for problem in &refused.problems {
                output::remark(&problem.to_string());
            }
            output::error(&refused.to_string());
            return Ok(ExitCode::FAILURE);
        }
    };
    for warning in &warnings {
        output::remark(&format!("warning: {warning}"));
    }
    // What is printed here is what `validate` will read.
    if let Err(rejected) = manifest::load("imported", &[SourceFile::new("imported", text.as_bytes())]) {
        for problem in &rejected.problems {
            output::remark(&problem.to_string());
        }
        bail!("the files cannot be written as desired state");
    }
    match &args.out {
        None => output::data(&text)?,
        Some(out) => write(out, &text, args.force)?,
    }
    Ok(ExitCode::SUCCESS)
}

/// One file as it was named: whatever it ends in, and not as a directory.
fn file(path: &Path) -> SourceFile {
    let mut found = source::read(path);
    match (found.pop(), found.is_empty() && !path.is_dir()) {
        (Some(file), true) => file,
        _ => SourceFile::unreadable(path.display().to_string(), "it is not a file"),
    }
}

fn write(out: &Path, text: &str, force: bool) -> anyhow::Result<()> {
    let mut options = std::fs::OpenOptions::new();
    options.write(true).truncate(force);
    if force {
        options.create(true)
    } else {
        options.create_new(true)
    };
    let opened = options.open(out);
    if let Err(error) = &opened
        && error.kind() == std::io::ErrorKind::AlreadyExists
    {
        bail!("`{}` is there already\nhint: name another file, or write over it with `--force`", out.display());
    }
    let mut file = opened.with_context(|| format!("cannot write `{}`", out.display()))?;
    file.write_all(text.as_bytes()).with_context(|| format!("cannot write `{}`", out.display()))
}
