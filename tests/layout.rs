//! The walls between the crates, over what cargo itself says of them.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that fails says so by panicking, its helpers too"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

use cargo_metadata::{DependencyKind, Metadata, MetadataCommand, PackageId};

/// What cargo says of the packages that are built on this platform: those of others may not have been fetched.
fn metadata() -> Metadata {
    let manifest = concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml");
    let rustc = Command::new("rustc").arg("-vV").output().expect("rustc tells its version");
    let text = String::from_utf8(rustc.stdout).expect("the version is text");
    let host = text.lines().find_map(|line| line.strip_prefix("host: ")).expect("the version names the host");
    let options = ["--locked", "--offline", "--filter-platform", host].map(str::to_owned);
    MetadataCommand::new().manifest_path(manifest).other_options(options).exec().expect("cargo knows the workspace")
}

/// The names of every package that a crate reaches outside of its tests.
fn reached_by(metadata: &Metadata, name: &str) -> BTreeSet<String> {
    let resolve = metadata.resolve.as_ref().expect("dependencies are resolved");
    let nodes: BTreeMap<&PackageId, _> = resolve.nodes.iter().map(|node| (&node.id, node)).collect();
    let names: BTreeMap<&PackageId, String> =
        metadata.packages.iter().map(|package| (&package.id, package.name.to_string())).collect();
    let start = metadata.workspace_packages().into_iter().find(|package| package.name.as_str() == name);
    let mut open = vec![&start.unwrap_or_else(|| panic!("there is no crate `{name}`")).id];
    let mut reached = BTreeSet::new();
    while let Some(id) = open.pop() {
        for dependency in &nodes[id].deps {
            let used = dependency.dep_kinds.iter().any(|kind| kind.kind != DependencyKind::Development);
            if used && reached.insert(&dependency.pkg) {
                open.push(&dependency.pkg);
            }
        }
    }
    reached.into_iter().map(|id| names[id].clone()).collect()
}

#[track_caller]
fn assert_walled_off(from: &str, forbidden: impl Fn(&str) -> bool) {
    let reached = reached_by(&metadata(), from);
    let through: Vec<&String> = reached.iter().filter(|name| forbidden(name)).collect();
    assert!(through.is_empty(), "`{from}` reaches {through:?}");
}

#[test]
fn core_reaches_no_runtime_no_network_and_no_azure() {
    assert_walled_off("keyless-core", |name| {
        ["tokio", "reqwest", "hyper", "axum", "futures", "mio"].contains(&name)
            || name.starts_with("azure")
            || name.starts_with("keyless")
    });
}

#[test]
fn the_simulator_shares_no_crate_of_this_workspace() {
    assert_walled_off("keyless-sim", |name| name.starts_with("keyless") || name.starts_with("azure"));
}

#[test]
fn the_client_does_not_reach_the_simulator_or_the_controller() {
    assert_walled_off("keyless-arm", |name| ["keyless-sim", "keyless-controller", "keyless"].contains(&name));
}

#[test]
fn the_controller_reaches_the_client_and_not_the_simulator() {
    assert_walled_off("keyless-controller", |name| ["keyless-sim", "keyless"].contains(&name));
    assert!(reached_by(&metadata(), "keyless-controller").contains("keyless-arm"));
}

#[test]
fn the_binary_builds_no_second_tls_stack() {
    let names = ["openssl-sys", "native-tls", "aws-lc-sys", "aws-lc-rs", "cmake"];
    assert_walled_off("keyless", |name| names.contains(&name));
}

#[test]
fn the_tests_of_each_side_do_not_reach_over_the_wall() {
    let metadata = metadata();
    for (side, other) in
        [("keyless-sim", "keyless-arm"), ("keyless-sim", "keyless-core"), ("keyless-arm", "keyless-sim")]
    {
        let package = metadata.workspace_packages().into_iter().find(|package| package.name.as_str() == side).unwrap();
        assert!(package.dependencies.iter().all(|dependency| dependency.name != other), "{side} names {other}");
    }
}

#[test]
fn cargo_run_has_one_binary_to_run() {
    let metadata = metadata();
    let binaries: Vec<String> = metadata
        .workspace_default_packages()
        .into_iter()
        .flat_map(|package| package.targets.iter().filter(|target| target.is_bin()))
        .map(|target| target.name.clone())
        .collect();
    assert_eq!(binaries, ["keyless"]);
}

/// Operations that hand out keys or secrets are not even named where requests are made.
#[test]
fn no_code_of_the_client_names_an_operation_that_hands_out_secrets() {
    const WORDS: [&str; 6] =
        ["listkeys", "listsecrets", "liststorageaccountkeys", "listaccountsas", "listservicesas", "regeneratekey"];
    // The core reaches nobody, and has to name such rights to tell who holds them.
    let mut folders: Vec<PathBuf> = ["keyless-arm", "keyless-controller", "keyless"]
        .map(|name| Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(name).join("src"))
        .into();
    let mut read = 0;
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let text = std::fs::read_to_string(&path).unwrap().to_ascii_lowercase();
            // Tests stand last in a file, and read logs in which others list keys.
            let shipped = text.lines().take_while(|line| *line != "#[cfg(test)]");
            for (number, line) in shipped.enumerate() {
                let code = if line.trim_start().starts_with("//") { "" } else { line };
                let named = WORDS.iter().find(|word| code.contains(**word));
                assert_eq!(named, None, "{}:{}", path.display(), number + 1);
            }
            read += 1;
        }
    }
    assert!(read > 100, "only {read} files were read");
}

/// A second opinion that asks the first is none.
#[test]
fn the_linter_of_plans_shares_no_rule_with_the_planner() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("../keyless-core/src");
    let mut files = vec![source.join("lint.rs")];
    files.extend(std::fs::read_dir(source.join("lint")).unwrap().map(|entry| entry.unwrap().path()));
    assert!(files.len() > 5, "only {} files were found", files.len());
    for file in files {
        let text = std::fs::read_to_string(&file).unwrap();
        let code: Vec<&str> = text.lines().filter(|line| !line.trim_start().starts_with("//")).collect();
        for word in ["access::", "plan::gates", "plan::needs", "plan::steps", "plan::reads", "plan::plan"] {
            let named = code.iter().find(|line| line.contains(word));
            assert_eq!(named, None, "{}", file.display());
        }
        let used = code.iter().filter(|line| line.starts_with("use crate::plan::"));
        for line in used {
            let types = ["Limits", "Plan", "Step", "{Limits, Plan, Step}", "{Limits, Step}"];
            let named = line.trim_start_matches("use crate::plan::").trim_end_matches(';');
            assert!(types.contains(&named), "{}: {line}", file.display());
        }
    }
}

/// Gates that can be forced open are for those who try to break keyless, and are in nothing that is shipped.
#[test]
fn nothing_that_is_shipped_can_take_a_rule_away() {
    let metadata = metadata();
    for package in metadata.workspace_packages().into_iter().filter(|package| package.name.as_str() != "keyless-check")
    {
        let dependencies = package.dependencies.iter();
        let mut on = dependencies.filter(|dependency| dependency.features.iter().any(|feature| feature == "ablate"));
        assert!(on.next().is_none(), "{} turns `ablate` on", package.name);
        let by_default = package.features.get("default").into_iter().flatten().any(|feature| feature == "ablate");
        assert!(!by_default, "{} turns `ablate` on", package.name);
    }
    assert!(metadata.workspace_packages().iter().any(|package| package.features.contains_key("ablate")));
    assert!(!reached_by(&metadata, "keyless").contains("keyless-check"));
}
