//! The files of the desired state, and what is imported from.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use keyless_core::manifest::import::{Facts, import as imported};
use keyless_core::manifest::{self, Problem, Rejected, SourceFile};

/// Files larger than this are not worth mutating.
const SMALL: usize = 12 * 1024;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// All small files below a folder, in the order of their names.
fn below(folder: &Path, found: &mut Vec<Vec<u8>>) -> anyhow::Result<()> {
    let entries = std::fs::read_dir(folder).with_context(|| format!("cannot list `{}`", folder.display()))?;
    let mut paths = entries.map(|entry| entry.map(|entry| entry.path())).collect::<Result<Vec<_>, _>>()?;
    paths.sort();
    for path in paths {
        if path.is_dir() {
            below(&path, found)?;
        } else {
            let bytes = std::fs::read(&path).with_context(|| format!("cannot read `{}`", path.display()))?;
            if bytes.len() <= SMALL {
                found.push(bytes);
            }
        }
    }
    Ok(())
}

fn all_below(folders: &[&str]) -> anyhow::Result<Vec<Vec<u8>>> {
    let mut found = Vec::new();
    for folder in folders {
        below(&root().join(folder), &mut found)?;
    }
    Ok(found)
}

pub(super) fn desired_seeds() -> anyhow::Result<Vec<Vec<u8>>> {
    all_below(&["config/desired", "tests/desired-errors"])
}

pub(super) fn import_seeds() -> anyhow::Result<Vec<Vec<u8>>> {
    all_below(&["crates/keyless-core/tests/import", "config/desired"])
}

/// Every problem has words and a place that is in the file.
fn told(problems: &[Problem], input: &[u8]) -> Result<(), String> {
    // YAML breaks a line at a carriage return alone, too. Source: <https://yaml.org/spec/1.2.2/#54-line-break-characters>.
    let follows = input.iter().skip(1).chain(std::iter::once(&b' '));
    let breaks =
        input.iter().zip(follows).filter(|(byte, next)| **byte == b'\n' || (**byte == b'\r' && **next != b'\n'));
    let lines = breaks.count() + 1;
    for problem in problems {
        if !(1..=lines + 1).contains(&usize::try_from(problem.location.line).unwrap_or(usize::MAX)) {
            return Err(format!("a problem outside of the {lines} lines of the file: {problem}"));
        }
        if problem.message.trim().is_empty() {
            return Err(format!("a problem without words: {problem}"));
        }
    }
    Ok(())
}

pub(super) fn desired(input: &[u8]) -> Result<(), String> {
    let files = [SourceFile::new("desired.yaml", input)];
    let said = |read: &Result<manifest::Accepted, Rejected>| match read {
        Ok(accepted) => format!("{accepted:?}"),
        Err(rejected) => format!("{rejected:?}"),
    };
    let read = manifest::load("desired", &files);
    if said(&read) != said(&manifest::load("desired", &files)) {
        return Err("the same file is read in two ways".to_owned());
    }
    match &read {
        Ok(accepted) => told(&accepted.warnings, input),
        Err(rejected) if rejected.problems.is_empty() => Err("it is rejected without a problem".to_owned()),
        Err(rejected) => {
            told(&rejected.problems, input)?;
            told(&rejected.warnings, input)
        }
    }
}

pub(super) fn import(input: &[u8]) -> Result<(), String> {
    let facts = Facts {
        subscription: "3f8c1d7a-52b4-4c0e-9d2e-7a1b6c5d4e90".parse().ok(),
        resource_group: Some("rg-ml".to_owned()),
        name: Some("mlw".to_owned()),
    };
    match imported(&[SourceFile::new("template.json", input)], &facts) {
        Ok(made) => {
            told(&made.warnings, input)?;
            match manifest::load("desired", &[SourceFile::new("desired.yaml", made.text.as_bytes())]) {
                // Facts that only a person knows may be left for one to fill in, but what is written is well formed.
                Err(rejected) if rejected.problems.iter().any(|problem| problem.message.contains("not YAML")) => {
                    Err(format!("what was made is no YAML: {rejected:?}\n{}", made.text))
                }
                Ok(_) | Err(_) => Ok(()),
            }
        }
        Err(refused) if refused.problems.is_empty() => Err("nothing is imported, without a problem".to_owned()),
        Err(refused) => told(&refused.problems, input),
    }
}
