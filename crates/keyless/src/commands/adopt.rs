//! `keyless adopt`: desired state from what exists, written so that a plan of it changes nothing.

use std::collections::BTreeSet;
use std::io::{BufRead as _, IsTerminal as _, Write as _};
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context as _, bail};
use indicatif::{ProgressBar, ProgressStyle};
use keyless_arm::credential::Surroundings;
use keyless_controller::source;
use keyless_controller::survey::{Where, survey};
use keyless_core::adopt::{Adopted, DeniedToday, Line, adopt as write_down};
use keyless_core::manifest::{self, SourceFile};
use serde_json::{Value, json};

use crate::cli::{AdoptArgs, ConfigArgs, Summary};
use crate::{connect, output, signals};

/// The exit status for files that are not complete.
const PARTIAL: u8 = 3;

pub(super) fn adopt(args: &AdoptArgs) -> anyhow::Result<ExitCode> {
    // The settings need not say where desired state is: that is what is made here.
    let mut config: ConfigArgs = args.config.clone();
    config.overrides.desired_state.get_or_insert_with(|| args.out.clone());
    let (settings, _lines) = connect::settings(&config)?;
    let there = files_there(&args.out, args.force)?;
    let owner = owner(args.owner.as_deref())?;
    let place = Where {
        subscriptions: args.subscription.iter().copied().collect(),
        groups: args.resource_group.iter().cloned().collect(),
    };
    super::block_on(async {
        let stop = signals::stop_on_signals()?;
        let client = connect::client(&settings, &Surroundings::of_process())?;
        let bar = ProgressBar::new(0).with_style(ProgressStyle::with_template("{pos}/{len} accounts read")?);
        let tick = |done: usize, total: usize| {
            bar.set_length(total as u64);
            bar.set_position(done as u64);
        };
        let look = survey(Arc::new(client), &place, &owner, settings.limits.max_in_flight, &tick);
        let estate = tokio::select! {
            estate = look => estate,
            () = stop.cancelled() => bail!("stopped before everything was read; no file was written"),
        };
        bar.finish_and_clear();
        let adopted = write_down(&estate);
        check(&adopted, &args.out, &there)?;
        write(&adopted, &args.out)?;
        let summary = match args.output {
            Summary::Text => text(&adopted, &args.out),
            Summary::Json => format!("{:#}\n", as_json(&adopted, &args.out)),
        };
        output::data(&summary)?;
        for what in &adopted.unread {
            output::remark(&format!("unknown: {what}"));
        }
        Ok(if adopted.unread.is_empty() { ExitCode::SUCCESS } else { ExitCode::from(PARTIAL) })
    })
}

/// The desired state that is there already; an error unless it may be written over.
fn files_there(out: &Path, force: bool) -> anyhow::Result<Vec<SourceFile>> {
    if !out.try_exists().with_context(|| format!("`{}` cannot be looked at", out.display()))? {
        return Ok(Vec::new());
    }
    if !out.is_dir() {
        bail!("`{}` is not a directory", out.display());
    }
    let there = source::read(out);
    if !force && let Some(first) = there.first() {
        bail!(
            "`{}` has desired state already, such as `{}`\nhint: name another directory with `--out`, or write over it with `--force`",
            out.display(),
            first.path()
        );
    }
    Ok(there)
}

fn owner(given: Option<&str>) -> anyhow::Result<String> {
    let name = match given {
        Some(name) => name.to_owned(),
        None if std::io::stdin().is_terminal() => {
            let _ = write!(std::io::stderr(), "name of this installation, for the grants it will make: ");
            let mut line = String::new();
            std::io::stdin().lock().read_line(&mut line).context("cannot read from the terminal")?;
            line
        }
        None => {
            bail!("nobody says what this installation is called\nhint: give `--owner NAME`, such as `ml-platform-prod`")
        }
    };
    let name = name.trim();
    if name.is_empty() {
        bail!("the name of this installation is empty");
    }
    Ok(name.to_owned())
}

/// The files are a desired state without a remark, together with what stays beside them.
fn check(adopted: &Adopted, out: &Path, there: &[SourceFile]) -> anyhow::Result<()> {
    let path = |name: &str| out.join(name).display().to_string();
    let mut files: Vec<SourceFile> =
        adopted.files.iter().map(|(name, text)| SourceFile::new(path(name), text.as_bytes())).collect();
    let replaced: BTreeSet<String> = adopted.files.keys().map(|name| path(name)).collect();
    files.extend(there.iter().filter(|file| !replaced.contains(file.path())).cloned());
    match manifest::load(&out.display().to_string(), &files) {
        Ok(accepted) => {
            for warning in &accepted.warnings {
                output::remark(&format!("warning: {warning}"));
            }
            Ok(())
        }
        Err(rejected) => {
            for problem in &rejected.problems {
                output::remark(&problem.to_string());
            }
            bail!("what exists cannot be written beside the files in `{}`: nothing was written", out.display())
        }
    }
}

fn write(adopted: &Adopted, out: &Path) -> anyhow::Result<()> {
    for (name, text) in &adopted.files {
        let path = out.join(name);
        if let Some(parent) = path.parent() {
            std::fs::create_dir_all(parent).with_context(|| format!("cannot make `{}`", parent.display()))?;
        }
        std::fs::write(&path, text).with_context(|| format!("cannot write `{}`", path.display()))?;
    }
    Ok(())
}

fn mode(line: &Line) -> String {
    line.mode.as_ref().map_or_else(|| "unknown".to_owned(), ToString::to_string)
}

fn text(adopted: &Adopted, out: &Path) -> String {
    let mut text = String::new();
    for line in &adopted.workspaces {
        let declared = if line.declared { "" } else { ", not declared" };
        text.push_str(&format!(
            "{}: {}{declared}, {} would lose access{}, {}\n",
            line.file,
            mode(line),
            line.would_lose.len(),
            denied(line),
            if line.key_users.is_empty() { "no sign of key users".to_owned() } else { line.key_users.join("; ") },
        ));
    }
    text.push_str(&format!(
        "{} workspaces, {} profiles, {} files in `{}`\n",
        adopted.workspaces.len(),
        adopted.profiles,
        adopted.files.len(),
        out.display()
    ));
    text
}

/// How many are denied what they hold a grant for, those of whom it is certain first.
fn denied(line: &Line) -> String {
    let mut text = String::new();
    for certain in [true, false] {
        let found = || line.denied.iter().filter(|denied| denied.certain == certain);
        let names: BTreeSet<String> =
            found().flat_map(|denied| &denied.by).map(|(name, _)| format!("`{name}`")).collect();
        let by = if names.is_empty() { "a deny assignment".to_owned() } else { Vec::from_iter(names).join(", ") };
        let perhaps = if certain { "" } else { "perhaps " };
        match found().count() {
            0 => {}
            number => text.push_str(&format!(", {number} {perhaps}denied today by {by}")),
        }
    }
    text
}

fn as_json(adopted: &Adopted, out: &Path) -> Value {
    let Adopted { files, workspaces, profiles, unread } = adopted;
    let workspace = |line: &Line| {
        let Line { id, account, file, mode: _, declared, would_lose, denied, key_users } = line;
        let denied = denied.iter().map(|DeniedToday { who, by, certain }| {
            let by: Vec<Value> = by.iter().map(|(name, scope)| json!({"name": name, "scope": scope})).collect();
            json!({"who": who, "by": by, "certain": certain})
        });
        json!({
            "resourceId": id.as_str(),
            "storageAccount": account.as_str(),
            "file": file,
            "mode": mode(line),
            "declared": declared,
            "wouldLoseAccess": would_lose,
            "deniedToday": denied.collect::<Vec<_>>(),
            "keyUsers": key_users,
        })
    };
    json!({
        "directory": out.display().to_string(),
        "files": files.keys().collect::<Vec<_>>(),
        "workspaces": workspaces.iter().map(workspace).collect::<Vec<_>>(),
        "profiles": profiles,
        "unknown": unread,
    })
}

#[cfg(test)]
mod tests {
    use keyless_core::id::{StorageAccountId, WorkspaceId};

    use super::*;

    #[test]
    fn whoever_is_denied_today_is_counted_apart_from_those_who_would_lose_access() {
        let group = "/subscriptions/3f8c1d7a-52b4-4c0e-9d2e-7a1b6c5d4e90/resourceGroups/rg/providers";
        let denied = |certain: bool, by: &[&str]| DeniedToday {
            who: "user ada".to_owned(),
            by: by.iter().map(|name| ((*name).to_owned(), "/subscriptions/x".to_owned())).collect(),
            certain,
        };
        let line = |denied: Vec<DeniedToday>| Line {
            id: WorkspaceId::parse(&format!("{group}/Microsoft.MachineLearningServices/workspaces/mlw")).unwrap(),
            account: StorageAccountId::parse(&format!("{group}/Microsoft.Storage/storageAccounts/stml")).unwrap(),
            file: "workspaces/mlw.yaml".to_owned(),
            mode: None,
            declared: true,
            would_lose: Vec::new(),
            denied,
            key_users: Vec::new(),
        };
        let told = |all: Vec<DeniedToday>| {
            let adopted = Adopted {
                files: Default::default(),
                workspaces: vec![line(all)],
                profiles: 0,
                unread: BTreeSet::new(),
            };
            assert_eq!(
                as_json(&adopted, Path::new("d"))["workspaces"][0]["deniedToday"].as_array().unwrap().len(),
                adopted.workspaces[0].denied.len()
            );
            text(&adopted, Path::new("d")).lines().next().unwrap().to_owned()
        };
        let head = "workspaces/mlw.yaml: unknown, 0 would lose access";
        assert_eq!(told(Vec::new()), format!("{head}, no sign of key users"));
        assert_eq!(
            told(vec![denied(true, &["b"]), denied(true, &["a", "b"]), denied(false, &[])]),
            format!(
                "{head}, 2 denied today by `a`, `b`, 1 perhaps denied today by a deny assignment, no sign of key users"
            )
        );
    }
}
