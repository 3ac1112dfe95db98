//! Files that are half of what is being written look so, whichever line is missing.

use keyless_core::desired::{Desired, Location};
use keyless_core::manifest::{SourceFile, load};

/// Each word of the format that may be left out, on a line of its own.
const WHOLE: &str = "apiVersion: keyless.dev/v1
kind: Workspace
metadata:
  name: fraud-train
spec:
  resourceId: /subscriptions/3f8c1d7a-52b4-4c0e-9d2e-7a1b6c5d4e90/resourceGroups/rg/providers/Microsoft.MachineLearningServices/workspaces/fraud-train
  authMode: identity
  enforcement: observe
  suspend: {reason: audit, until: 2026-12-24T00:00:00Z, then: resume}
  access:
    - principal: {user: {objectId: 4d2c8a1e-6b3f-4e57-9c0d-1f2a3b4c5d6e}}
      level: readWrite
    - principal: {compute: cpu-cluster}
      scenarios: [training]
      grantScope: resourceGroup
      condition: \"@Resource[x] StringEquals 'raw'\"
  serviceGrants: accept
  drain: wait
  datastores: {convert: all}
  acceptOneWay: {reason: agreed, owner: ada, until: 2027-01-31T00:00:00Z}
  acceptStaleKeys: {reason: agreed, owner: ada, until: 2027-01-31T00:00:00Z}
  acceptIncompatible:
    - {id: hubUserAssignedIdentity, reason: agreed, owner: ada, until: 2027-01-31T00:00:00Z}
    - {id: computeInstanceSystemIdentity, reason: agreed, owner: ada, until: 2027-01-31T00:00:00Z}
---
apiVersion: keyless.dev/v1
kind: StorageAccount
spec:
  resourceId: /subscriptions/3f8c1d7a-52b4-4c0e-9d2e-7a1b6c5d4e90/resourceGroups/rg/providers/Microsoft.Storage/storageAccounts/stfraud
  sharedKeyAccess: disabled
  enforcement: observe
  suspend: {reason: audit, until: 2026-12-24T00:00:00Z}
  keyIdle: 30d
  acceptSas: {reason: partner uploads, owner: ada, until: 2027-01-31T00:00:00Z}
  acceptUnknownKeyUse: {reason: no metrics here, owner: ada, until: 2027-01-31T00:00:00Z}
  acceptOneWay: {reason: agreed, owner: ada, until: 2027-01-31T00:00:00Z}
  evidence:
    logAnalytics: {workspace: /subscriptions/3f8c1d7a-52b4-4c0e-9d2e-7a1b6c5d4e90/resourceGroups/rg/providers/Microsoft.OperationalInsights/workspaces/logs}
    dataProbe: false
---
apiVersion: keyless.dev/v1
kind: Fleet
spec:
  owner: ml-platform-prod
  scope:
    subscriptions:
      - 3f8c1d7a-52b4-4c0e-9d2e-7a1b6c5d4e90
      - 3f8c1d7a-52b4-4c0e-9d2e-7a1b6c5d4e91
    exclude:
      - /subscriptions/3f8c1d7a-52b4-4c0e-9d2e-7a1b6c5d4e90/resourceGroups/rg-sandbox
      - /subscriptions/3f8c1d7a-52b4-4c0e-9d2e-7a1b6c5d4e90/resourceGroups/rg-other
  defaults:
    enforcement: enforce
    rolePropagation: 20m
    groupPropagation: 36h
    agreeingReads: 3
    keyIdle: 14d
    keyEffect: 3m
    metricsLag: 30m
    lateWrite: 6m
    watch: 2d
    prune: true
    drain: ignore
  acceptSas:
    - {accounts: [/subscriptions/3f8c1d7a-52b4-4c0e-9d2e-7a1b6c5d4e90/resourceGroups/rg], services: [blob], reason: exports, owner: ada, until: 2027-01-31T00:00:00Z}
    - {accounts: [/subscriptions/3f8c1d7a-52b4-4c0e-9d2e-7a1b6c5d4e90/resourceGroups/rg-other], reason: exports, owner: ada, until: 2027-01-31T00:00:00Z}
  changeWindows:
    - {days: [Mon, Tue], from: \"09:00\", to: \"17:00\"}
    - {from: \"00:00\", to: \"24:00\"}
  evidence:
    logAnalytics: {workspace: /subscriptions/3f8c1d7a-52b4-4c0e-9d2e-7a1b6c5d4e90/resourceGroups/rg/providers/Microsoft.OperationalInsights/workspaces/logs}
    dataProbe: true
  guard:
    fight:
      reversals: 5
      within: 2h
    paused: true
";

/// What the text asks for, places and the name of the revision left out; nothing where it is refused.
fn asked(text: &str) -> Option<Desired> {
    let mut desired = load("all.yaml", &[SourceFile::new("all.yaml", text)]).ok()?.desired;
    desired.revision.0.clear();
    desired.workspaces.values_mut().for_each(|one| one.location = Location::default());
    desired.accounts.values_mut().for_each(|one| one.location = Location::default());
    Some(desired)
}

#[test]
fn without_any_line_and_after_any_line_files_look_half() {
    let whole = asked(WHOLE).expect("the whole is good");
    let lines: Vec<&str> = WHOLE.lines().collect();
    let less = |at: usize| [&lines[..at], &lines[at + 1..]].concat();
    let mut good = 0;
    for (at, text) in (0..lines.len()).flat_map(|at| [(at, less(at)), (at, lines[..at].to_vec())]) {
        let Some(half) = asked(&(text.join("\n") + "\n")).filter(|half| *half != whole) else { continue };
        good += 1;
        assert!(half.may_be_half(&whole), "without `{}` it does not look half", lines[at].trim());
    }
    assert!(good >= 40, "only {good} of them are good files");
}

/// The last line of a file may end anywhere.
#[test]
fn with_the_end_of_any_line_missing_files_look_half() {
    let whole = asked(WHOLE).expect("the whole is good");
    let lines: Vec<&str> = WHOLE.lines().collect();
    let mut good = 0;
    for (at, line) in lines.iter().enumerate() {
        let cuts = line.char_indices().map(|(cut, _)| &line[..cut]).filter(|cut| cut.contains(": "));
        for cut in cuts {
            let text = [&lines[..at], &[cut], &lines[at + 1..]].concat().join("\n");
            let Some(half) = asked(&text).filter(|half| *half != whole) else { continue };
            good += 1;
            // What a document is called decides nothing.
            let is_name = cut.trim().starts_with("name: ");
            assert!(half.may_be_half(&whole) || is_name, "with `{}` it does not look half", cut.trim());
        }
    }
    assert!(good >= 20, "only {good} of them are good files");
}

#[test]
fn what_begins_does_not_look_half_where_it_only_holds() {
    let whole = asked(WHOLE).unwrap();
    for (said, holds) in [
        ("    paused: true\n", true),
        ("  suspend: {reason: audit, until: 2026-12-24T00:00:00Z}\n", true),
        (
            "    - principal: {compute: cpu-cluster}\n      scenarios: [training]\n      grantScope: resourceGroup\n      condition: \"@Resource[x] StringEquals 'raw'\"\n",
            false,
        ),
    ] {
        let before = WHOLE.replace(said, "");
        assert_ne!(before, WHOLE);
        assert_eq!(whole.may_be_half(&asked(&before).unwrap()), !holds, "{said}");
    }
    let (_, fleet) = WHOLE.split_once("---\n").unwrap();
    assert!(whole.may_be_half(&asked(fleet).unwrap()), "a new document may not be whole yet");
    let longer = asked(&WHOLE.replace("keyIdle: 14d", "keyIdle: 15d")).unwrap();
    assert!(!longer.may_be_half(&whole), "another word is no missing one");
}

#[test]
fn documents_that_come_or_go_and_another_way_to_make_a_workspace_look_half() {
    let documents: Vec<&str> = WHOLE.split("---\n").collect();
    let [workspace, account, _] = documents[..] else { panic!("three documents") };
    let bare = "apiVersion: keyless.dev/v1\nkind: Fleet\nspec: {owner: keyless}\n";
    let create = "  create: {location: westeurope, kind: hub, storageAccount: /subscriptions/3f8c1d7a-52b4-4c0e-9d2e-7a1b6c5d4e90/resourceGroups/rg/providers/Microsoft.Storage/storageAccounts/stfraud, keyVault: /subscriptions/3f8c1d7a-52b4-4c0e-9d2e-7a1b6c5d4e90/resourceGroups/rg/providers/Microsoft.KeyVault/vaults/kv}\n";
    let made = workspace.replace("  authMode", &format!("{create}  authMode"));
    for (one, other) in [
        ([workspace, account, bare].join("---\n"), [workspace, bare].join("---\n")),
        ([workspace, bare].join("---\n"), workspace.to_owned()),
        ([made.as_str(), bare].join("---\n"), [workspace, bare].join("---\n")),
    ] {
        let (one, other) = (asked(&one).expect(&one), asked(&other).expect(&other));
        assert!(other.may_be_half(&one));
        // A fleet that has a document at last holds more.
        assert_eq!(one.may_be_half(&other), one.fleet.is_declared == other.fleet.is_declared);
    }
}
