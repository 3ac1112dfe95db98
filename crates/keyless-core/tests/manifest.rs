//! Texts of files become one desired state: what is kept, what is filled in, what is refused as a whole.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use keyless_core::desired::{Desired, DesiredDatastores, GrantScope, ServiceGrants};
use keyless_core::manifest::{Accepted, Kind, MAX_FILE_BYTES, SourceFile, load};

const EXAMPLE: &str = r#"# The whole format in one file.
apiVersion: keyless.dev/v1
kind: Workspace
metadata: {name: fraud-train, labels: {team: fraud, ring: canary}}
spec:
  resourceId: /subscriptions/3f8c1d7a-52b4-4c0e-9d2e-7a1b6c5d4e90/resourceGroups/rg-fraud/providers/Microsoft.MachineLearningServices/workspaces/fraud-train
  authMode: identity
  enforcement: enforce
  suspend: {reason: audit, until: 2026-12-24T00:00:00Z, then: resume}
  access:
    - principal: {group: {objectId: 9b1f3c52-7d64-4f0a-8a3e-2c5b6d7e8f90, name: data-scientists}}
      level: readWrite
      scenarios: [notebooks]
    - principal: {managedIdentity: /subscriptions/3f8c1d7a-52b4-4c0e-9d2e-7a1b6c5d4e90/resourceGroups/rg-fraud/providers/Microsoft.ManagedIdentity/userAssignedIdentities/train}
      scenarios: [training, parallelRunStep]
      grantScope: resourceGroup
    - principal: {compute: cpu-cluster}
      scenarios: [training]
      condition: |
        (@Resource[Microsoft.Storage/storageAccounts/blobServices/containers:name]
          StringEquals 'raw')
  profiles: [org-readers]
  serviceGrants: accept
---
apiVersion: keyless.dev/v1
kind: StorageAccount
spec:
  resourceId: /subscriptions/3f8c1d7a-52b4-4c0e-9d2e-7a1b6c5d4e90/resourceGroups/rg-fraud/providers/Microsoft.Storage/storageAccounts/stfraud
  sharedKeyAccess: disabled
  enforcement: observe
  keyIdle: 30d
  acceptSas: {reason: partner uploads, owner: ada, until: 2027-01-31T00:00:00Z}
  acceptUnknownKeyUse: {reason: no metrics here, owner: ada, until: 2027-01-31T00:00:00Z}
  acceptOneWay: {reason: agreed, owner: ada, until: 2027-01-31T00:00:00Z}
  evidence: {logAnalytics: {workspace: /subscriptions/3f8c1d7a-52b4-4c0e-9d2e-7a1b6c5d4e90/resourceGroups/rg-ops/providers/Microsoft.OperationalInsights/workspaces/logs-fraud}, dataProbe: false}
---
apiVersion: keyless.dev/v1
kind: AccessProfile
metadata: {name: org-readers}
spec:
  access:
    - principal: {user: {objectId: 4d2c8a1e-6b3f-4e57-9c0d-1f2a3b4c5d6e}}
      level: readOnly
    - principal: {servicePrincipal: {objectId: 7c9e2b4d-1a3f-4d58-b6e7-0f1a2b3c4d5e, name: ci}}
      level: readWrite
    - principal: {workspace: system}
      level: readOnly
    - principal: {group: {objectId: 9b1f3c52-7d64-4f0a-8a3e-2c5b6d7e8f90}}
      level: readWrite
      grantScope: resourceGroup
---
apiVersion: keyless.dev/v1
kind: Fleet
spec:
  owner: ml-platform-prod
  scope:
    subscriptions: [3f8c1d7a-52b4-4c0e-9d2e-7a1b6c5d4e90]
    exclude: [/subscriptions/3f8c1d7a-52b4-4c0e-9d2e-7a1b6c5d4e90/resourceGroups/rg-sandbox]
  defaults: {enforcement: observe, rolePropagation: 20m, groupPropagation: 36h, agreeingReads: 3, keyIdle: 14d, keyEffect: 3m, metricsLag: 30m, lateWrite: 6m, watch: 2d, prune: true, drain: ignore}
  acceptSas:
  - {accounts: [/subscriptions/3f8c1d7a-52b4-4c0e-9d2e-7a1b6c5d4e90/resourceGroups/rg-fraud], services: [blob], reason: exports, owner: ada, until: 2027-01-31T00:00:00Z}
  changeWindows:
    - {days: [Mon, Tue], from: "09:00", to: "17:00"}
    - {from: "00:00", to: "24:00"}
  guard: {paused: true, fight: {reversals: 5, within: 2h}}
  evidence: {logAnalytics: {workspace: /subscriptions/3f8c1d7a-52b4-4c0e-9d2e-7a1b6c5d4e90/resourceGroups/rg-ops/providers/Microsoft.OperationalInsights/workspaces/logs}, dataProbe: true}
"#;

fn accept(files: &[SourceFile]) -> Accepted {
    match load("desired", files) {
        Ok(accepted) => accepted,
        Err(rejected) => panic!("{:#?}", rejected.problems.iter().map(ToString::to_string).collect::<Vec<_>>()),
    }
}

fn example() -> Desired {
    accept(&[SourceFile::new("all.yaml", EXAMPLE)]).desired
}

fn problems(files: &[SourceFile]) -> String {
    let rejected = load("desired", files).expect_err("it was accepted");
    rejected.problems.iter().map(|problem| problem.to_string() + "\n").collect()
}

fn workspace(name: &str, rest: &str) -> String {
    format!(
        "apiVersion: keyless.dev/v1\nkind: Workspace\nmetadata: {{name: {name}}}\nspec:\n  resourceId: /subscriptions/3f8c1d7a-52b4-4c0e-9d2e-7a1b6c5d4e90/resourceGroups/rg/providers/Microsoft.MachineLearningServices/workspaces/{name}\n{rest}"
    )
}

#[test]
fn a_workspace_is_resolved_with_profiles_merged_and_each_need_once() {
    let desired = example();
    let workspace = desired.workspaces.values().next().unwrap();
    let mut printed = format!(
        "{} {} {:?} {:?} {}\n{:?}\n",
        workspace.name,
        workspace.auth_mode,
        workspace.enforcement,
        workspace.service_grants,
        workspace.location,
        workspace.suspend.as_ref().unwrap()
    );
    for need in &workspace.needs {
        let role = keyless_core::catalog::role_name(need.role);
        let because: BTreeSet<String> = need.because.iter().map(ToString::to_string).collect();
        write!(printed, "{}: {role} at {:?} for {because:?}", need.principal, need.grant_scope).unwrap();
        writeln!(printed, "{}", need.condition.iter().map(|text| format!(" under {text}")).collect::<String>())
            .unwrap();
    }
    insta::assert_snapshot!(printed, @r#"
    fraud-train identity Enforce Accept all.yaml:2:1
    Suspend { reason: "audit", until: 2026-12-24T00:00:00Z, then: Resume }
    user 4d2c8a1e-6b3f-4e57-9c0d-1f2a3b4c5d6e: Storage Blob Data Reader at Account for {"level readOnly"}
    user 4d2c8a1e-6b3f-4e57-9c0d-1f2a3b4c5d6e: Storage File Data Privileged Reader at Account for {"level readOnly"}
    group data-scientists (9b1f3c52-7d64-4f0a-8a3e-2c5b6d7e8f90): Storage File Data Privileged Contributor at ResourceGroup for {"level readWrite", "scenario notebooks"}
    group data-scientists (9b1f3c52-7d64-4f0a-8a3e-2c5b6d7e8f90): Storage Blob Data Contributor at ResourceGroup for {"level readWrite"}
    service principal ci (7c9e2b4d-1a3f-4d58-b6e7-0f1a2b3c4d5e): Storage File Data Privileged Contributor at Account for {"level readWrite"}
    service principal ci (7c9e2b4d-1a3f-4d58-b6e7-0f1a2b3c4d5e): Storage Blob Data Contributor at Account for {"level readWrite"}
    managed identity train: Storage Table Data Contributor at ResourceGroup for {"scenario parallelRunStep"}
    managed identity train: Storage Blob Data Reader at ResourceGroup for {"scenario training"}
    managed identity train: Storage Queue Data Contributor at ResourceGroup for {"scenario parallelRunStep"}
    compute cpu-cluster: Storage Blob Data Reader at Account for {"scenario training"} under (@Resource[Microsoft.Storage/storageAccounts/blobServices/containers:name] StringEquals 'raw')
    the workspace's own identity: Storage Blob Data Reader at Account for {"level readOnly"}
    the workspace's own identity: Storage File Data Privileged Reader at Account for {"level readOnly"}
    "#);
}

#[test]
fn an_account_keeps_all_it_says_and_takes_its_own_name() {
    let desired = example();
    let account = desired.accounts.values().next().unwrap();
    insta::assert_debug_snapshot!(account, @r#"
    DesiredAccount {
        name: "stfraud",
        id: /subscriptions/3f8c1d7a-52b4-4c0e-9d2e-7a1b6c5d4e90/resourceGroups/rg-fraud/providers/Microsoft.Storage/storageAccounts/stfraud,
        shared_key_access: Disabled,
        enforcement: Some(
            Observe,
        ),
        suspend: None,
        key_idle: Some(
            2592000s,
        ),
        accept_sas: Some(
            Acceptance {
                reason: "partner uploads",
                owner: "ada",
                until: 2027-01-31T00:00:00Z,
            },
        ),
        accept_unknown_key_use: Some(
            Acceptance {
                reason: "no metrics here",
                owner: "ada",
                until: 2027-01-31T00:00:00Z,
            },
        ),
        accept_one_way: Some(
            Acceptance {
                reason: "agreed",
                owner: "ada",
                until: 2027-01-31T00:00:00Z,
            },
        ),
        log_analytics: Some(
            /subscriptions/3f8c1d7a-52b4-4c0e-9d2e-7a1b6c5d4e90/resourceGroups/rg-ops/providers/Microsoft.OperationalInsights/workspaces/logs-fraud,
        ),
        data_probe: Some(
            false,
        ),
        location: Location {
            path: "all.yaml",
            line: 25,
            column: 1,
        },
    }
    "#);
}

#[test]
fn the_fleet_keeps_all_it_says() {
    insta::assert_debug_snapshot!(example().fleet, @r#"
    Fleet {
        is_declared: true,
        owner: "ml-platform-prod",
        scope: Scope {
            subscriptions: Some(
                {
                    3f8c1d7a-52b4-4c0e-9d2e-7a1b6c5d4e90,
                },
            ),
            exclude: {
                /subscriptions/3f8c1d7a-52b4-4c0e-9d2e-7a1b6c5d4e90/resourceGroups/rg-sandbox,
            },
        },
        waits: Waits {
            role_propagation: 1200s,
            group_propagation: 129600s,
            agreeing_reads: 3,
            key_idle: 1209600s,
            key_effect: 180s,
            metrics_lag: 1800s,
            late_write: 360s,
            watch: 172800s,
        },
        enforcement: Observe,
        prune: true,
        drain: Ignore,
        change_windows: [
            ChangeWindow {
                days: {
                    1,
                    2,
                },
                from: 540,
                to: 1020,
            },
            ChangeWindow {
                days: {},
                from: 0,
                to: 1440,
            },
        ],
        fight: FightGuard {
            reversals: 5,
            within: 7200s,
        },
        paused: true,
        accept_sas: [
            SasAcceptance {
                accounts: {
                    /subscriptions/3f8c1d7a-52b4-4c0e-9d2e-7a1b6c5d4e90/resourceGroups/rg-fraud,
                },
                services: {
                    Blob,
                },
                acceptance: Acceptance {
                    reason: "exports",
                    owner: "ada",
                    until: 2027-01-31T00:00:00Z,
                },
            },
        ],
        log_analytics: Some(
            /subscriptions/3f8c1d7a-52b4-4c0e-9d2e-7a1b6c5d4e90/resourceGroups/rg-ops/providers/Microsoft.OperationalInsights/workspaces/logs,
        ),
        data_probe: true,
    }
    "#);
}

#[test]
fn what_is_left_out_is_filled_in_from_the_fleet_and_the_documented_defaults() {
    let fleet = "apiVersion: keyless.dev/v1\nkind: Fleet\nspec: {owner: o, defaults: {enforcement: enforce}}\n";
    let files =
        [SourceFile::new("w.yaml", workspace("abc", "  authMode: accesskey\n")), SourceFile::new("f.yaml", fleet)];
    let Accepted { desired, warnings } = accept(&files);
    let workspace = desired.workspaces.values().next().unwrap();
    assert_eq!(workspace.enforcement, keyless_core::desired::Enforcement::Enforce);
    assert_eq!(workspace.service_grants, ServiceGrants::Wait);
    assert_eq!((workspace.needs.len(), &workspace.suspend), (0, &None));
    assert_eq!(desired.fleet.waits, keyless_core::desired::Waits::default());
    assert!(warnings.is_empty(), "{warnings:?}");
}

#[test]
fn a_switch_waits_for_what_is_at_work_unless_its_document_or_the_fleet_says_otherwise() {
    use keyless_core::desired::Drain;
    let of = |fleet: &str, own: &str| {
        let fleet = format!("apiVersion: keyless.dev/v1\nkind: Fleet\nspec: {{owner: o, defaults: {{{fleet}}}}}\n");
        let own = workspace("abc", &format!("  authMode: identity\n{own}"));
        let files = [SourceFile::new("w.yaml", own), SourceFile::new("f.yaml", fleet)];
        accept(&files).desired.workspaces.values().next().unwrap().drain
    };
    assert_eq!(of("enforcement: observe", ""), Drain::Wait);
    assert_eq!(of("drain: ignore", ""), Drain::Ignore);
    assert_eq!(of("drain: ignore", "  drain: wait\n"), Drain::Wait);
    assert_eq!(of("drain: wait", "  drain: ignore\n"), Drain::Ignore);
}

#[test]
fn without_a_fleet_nothing_is_written() {
    let desired = accept(&[SourceFile::new("w.yaml", workspace("abc", "  authMode: identity\n"))]).desired;
    assert_eq!(desired.fleet, keyless_core::desired::Fleet::default());
    assert_eq!(desired.workspaces.values().next().unwrap().enforcement, keyless_core::desired::Enforcement::Observe);
}

#[test]
fn the_wider_grant_scope_counts_where_two_entries_differ() {
    let desired = example();
    let workspace = desired.workspaces.values().next().unwrap();
    let group = workspace.needs.iter().find(|need| need.principal.to_string().contains("data-scientists")).unwrap();
    assert_eq!(group.grant_scope, GrantScope::ResourceGroup);
}

#[test]
fn byte_order_marks_carriage_returns_comments_and_json_are_read() {
    let plain = accept(&[SourceFile::new("all.yaml", EXAMPLE)]).desired;
    let crlf = format!("\u{feff}{}", EXAMPLE.replace('\n', "\r\n"));
    assert_eq!(accept(&[SourceFile::new("all.yaml", crlf)]).desired, plain);
    let commented = EXAMPLE.replace("---\n", "--- # next\n# and a comment\n\n");
    assert_eq!(accept(&[SourceFile::new("all.yaml", commented)]).desired.revision, plain.revision);
    let json = r#"{
	"apiVersion": "keyless.dev/v1",
	"kind": "Fleet",
	"spec": {"owner": "o\u00e9\ud83d\ude00", "guard": {"paused": true}}
}"#;
    let fleet = accept(&[SourceFile::new("fleet.json", json)]).desired.fleet;
    assert_eq!((fleet.owner.as_str(), fleet.paused), ("oé😀", true));
}

#[test]
fn the_revision_follows_the_content_and_not_its_form() {
    let revision = |text: &str| accept(&[SourceFile::new("f.yaml", text)]).desired.revision;
    let one = workspace("abc", "  authMode: identity\n");
    let two = workspace("xyz", "  authMode: identity\n");
    let both = revision(&format!("{one}---\n{two}"));
    assert_eq!(both.0.len(), 12);
    assert_eq!(both, revision(&format!("# moved\n{two}---\n---\n{one}")));
    assert_eq!(
        both,
        accept(&[SourceFile::new("b", two.as_str()), SourceFile::new("a", one.as_str())]).desired.revision
    );
    assert_ne!(both, revision(&one));
    assert_ne!(revision(&one), revision(&one.replace("identity", "accesskey")));
}

#[test]
fn a_reason_may_run_over_several_lines_and_is_kept_as_one() {
    let text = workspace(
        "abc",
        "  authMode: identity\n  suspend:\n    until: 2026-12-24T00:00:00Z\n    reason: |\n      the auditors\n      are in the house\n",
    );
    let desired = accept(&[SourceFile::new("w.yaml", text)]).desired;
    let workspace = desired.workspaces.values().next().unwrap();
    assert_eq!(workspace.suspend.as_ref().unwrap().reason, "the auditors are in the house");
}

#[test]
fn a_directory_without_a_document_is_refused() {
    insta::assert_snapshot!(problems(&[]), @"desired:1:1: there is no desired state: no YAML or JSON file was found (hint: point at the directory or file that holds the documents)");
    insta::assert_snapshot!(problems(&[SourceFile::new("a.yaml", "# nothing\n---\n")]), @"desired:1:1: there is no desired state: no file holds a document (hint: a `Fleet` document alone is enough to say that nothing is managed)");
}

#[test]
fn a_file_that_is_no_text_is_named_beside_the_problems_of_the_others() {
    let huge = usize::try_from(MAX_FILE_BYTES).unwrap() + 1;
    let files = [
        SourceFile::new("binary", b"\x7fELF\x02\x01\x01\x00".to_vec()),
        SourceFile::new("image.yaml", b"# logo\n\x89PNG\r\n\x1a\n".to_vec()),
        SourceFile::new("utf16.yaml", b"\xff\xfea\x00:\x00".to_vec()),
        SourceFile::new("bidi.yaml", "name: \u{202e}evil\n"),
        SourceFile::new("marks.yaml", "\u{feff}\u{feff}name: x\n"),
        SourceFile::new("large.yaml", vec![b'#'; huge]),
        SourceFile::too_large("larger.yaml", 100_000_000),
        SourceFile::unreadable("secret.yaml", "permission denied"),
        SourceFile::new("w.yaml", workspace("abc", "  authmode: identity\n")),
    ];
    insta::assert_snapshot!(problems(&files), @r#"
    bidi.yaml:1:7: the file holds the control character U+202E (hint: only YAML and JSON documents belong here)
    binary:1:1: the file holds the control character U+007F (hint: only YAML and JSON documents belong here)
    image.yaml:2:1: the file is not UTF-8 text: byte 0x89 (hint: only YAML and JSON documents belong here)
    large.yaml:1:1: the file is too large: 4194305 bytes, at most 4194304 are read
    larger.yaml:1:1: the file is too large: 100000000 bytes, at most 4194304 are read
    marks.yaml:1:1: the file holds the control character U+FEFF (hint: only YAML and JSON documents belong here)
    secret.yaml:1:1: cannot be read: permission denied
    utf16.yaml:1:1: the file is UTF-16, which is not read (hint: save it as UTF-8)
    w.yaml:5:3: missing field `authMode` in `spec`
    w.yaml:6:3: unknown field `authmode` in `spec` (hint: did you mean `authMode`?)
    "#);
}

#[test]
fn a_file_may_be_just_as_large_as_is_read() {
    let largest = vec![b'#'; usize::try_from(MAX_FILE_BYTES).unwrap()];
    assert!(problems(&[SourceFile::new("large.yaml", largest)]).contains("no file holds a document"));
}

#[test]
fn a_broken_file_may_hold_the_profile_that_is_missing() {
    let files = [
        SourceFile::new("p.yaml", "kind: [AccessProfile\nmetadata: {name: readers}\n"),
        SourceFile::new("w.yaml", workspace("abc", "  authMode: identity\n  profiles: [readers]\n")),
    ];
    insta::assert_snapshot!(problems(&files), @r#"
    p.yaml:2:9: the document is not YAML: illegal placement of ':' indicator
    w.yaml:7:14: there is no AccessProfile named `readers` (hint: what could not be read may define it)
    "#);
}

#[test]
fn contradictions_between_objects_are_no_error_of_the_files() {
    let account = "apiVersion: keyless.dev/v1\nkind: StorageAccount\nspec:\n  resourceId: /subscriptions/3f8c1d7a-52b4-4c0e-9d2e-7a1b6c5d4e90/resourceGroups/rg/providers/Microsoft.Storage/storageAccounts/stabc\n  sharedKeyAccess: disabled\n";
    let files = [SourceFile::new("a", account), SourceFile::new("w", workspace("abc", "  authMode: accesskey\n"))];
    assert_eq!(accept(&files).desired.accounts.len(), 1);
}

#[test]
fn no_text_of_a_file_can_forge_a_line_of_the_output() {
    let files = [SourceFile::new("a\nb.yaml", "kind: \"x\\ny: forged\"\n\"un\\r\\nknown\\x1b[31m\": 1\n")];
    assert_eq!(problems(&files).lines().count(), load("d", &files).unwrap_err().problems.len());
}

#[test]
fn too_many_documents_in_one_file_are_refused_quickly() {
    insta::assert_snapshot!(problems(&[SourceFile::new("many.yaml", "--- a\n".repeat(20_001))]), @"many.yaml:1:1: the file has 20001 documents, at most 20000 are read from one file (hint: spread them over several files)");
}

#[test]
fn kinds_are_found_by_their_word_without_regard_to_case() {
    assert_eq!("storageaccount".parse(), Ok(Kind::StorageAccount));
    assert!("Deployment".parse::<Kind>().is_err());
    for kind in Kind::ALL {
        assert_eq!(kind.to_string().parse(), Ok(kind));
    }
}

#[test]
fn profiles_cannot_be_used_to_blow_up_the_needs() {
    let entry = |i: u32| {
        format!("    - {{principal: {{user: {{objectId: 9b1f3c52-7d64-4f0a-8a3e-2c5b{i:08x}}}}}, level: readOnly}}\n")
    };
    let entries: String = (0..2000).map(entry).collect();
    let profile =
        format!("apiVersion: keyless.dev/v1\nkind: AccessProfile\nmetadata: {{name: p}}\nspec:\n  access:\n{entries}");
    let names = "p, ".repeat(2000);
    let workspaces: String =
        (0..501).map(|i| workspace(&format!("w{i:03}"), "  authMode: identity\n  profiles: [p]\n---\n")).collect();
    let twice = workspace("again", &format!("  authMode: identity\n  profiles: [{names}]\n"));
    let files = [SourceFile::new("p", profile), SourceFile::new("t", twice), SourceFile::new("w", workspaces)];
    insta::assert_snapshot!(problems(&files), @"w:3993:1: the access lists with their profiles come to more than 1000000 entries (hint: grant to groups, or give this part of the fleet a desired state of its own)");
}

#[test]
fn datastores_are_one_word_for_all_or_a_list() {
    let of = |rest: &str| {
        let text = workspace("fraud", &format!("  authMode: identity\n{rest}"));
        let desired = accept(&[SourceFile::new("w.yaml", text)]).desired;
        desired.workspaces.into_values().next().unwrap()
    };
    assert_eq!(of("").datastores, DesiredDatastores::Unmanaged);
    let all =
        of("  datastores: {convert: all}\n  acceptOneWay: {reason: agreed, owner: ada, until: 2027-01-31T00:00:00Z}\n");
    assert_eq!(all.datastores, DesiredDatastores::ConvertAll);
    assert_eq!(all.accept_one_way.unwrap().owner, "ada");
    let listed = of(
        "  datastores:\n    - {name: Raw, credentials: none, acceptAccess: {reason: seen, owner: bo, until: 2027-01-31T00:00:00Z}}\n    - {name: curated, type: adlsGen2, account: stlake, subscription: 3f8c1d7a-52b4-4c0e-9d2e-7a1b6c5d4e90, resourceGroup: rg-lake, filesystem: curated, serviceDataAccess: workspace}\n",
    );
    insta::assert_debug_snapshot!(listed.datastores, @r#"
    Listed(
        {
            "curated": DesiredDatastore {
                name: "curated",
                form: At(
                    DatastorePlace {
                        kind: AdlsGen2,
                        account: Some(
                            "stlake",
                        ),
                        space: "curated",
                        subscription: Some(
                            "3f8c1d7a-52b4-4c0e-9d2e-7a1b6c5d4e90",
                        ),
                        resource_group: Some(
                            "rg-lake",
                        ),
                        service_access: Some(
                            Workspace,
                        ),
                    },
                ),
                accept_access: None,
            },
            "raw": DesiredDatastore {
                name: "Raw",
                form: WithoutCredentials,
                accept_access: Some(
                    Acceptance {
                        reason: "seen",
                        owner: "bo",
                        until: 2027-01-31T00:00:00Z,
                    },
                ),
            },
        },
    )
    "#);
}

#[test]
fn how_a_workspace_is_made_and_what_is_accepted_of_it_is_kept() {
    let group = "/subscriptions/3f8c1d7a-52b4-4c0e-9d2e-7a1b6c5d4e90/resourceGroups/rg/providers";
    let text = workspace(
        "fraud",
        &format!(
            "  authMode: identity
  create:
    location: West Europe
    kind: default
    storageAccount: {group}/Microsoft.Storage/storageAccounts/stfraud
    keyVault: {group}/Microsoft.KeyVault/vaults/kv
    publicNetworkAccess: disabled
  acceptIncompatible:
    - {{id: crossRegionAccount, reason: agreed, owner: ada, until: 2027-01-31T00:00:00Z}}
"
        ),
    );
    let workspace = accept(&[SourceFile::new("w.yaml", text)]).desired.workspaces.into_values().next().unwrap();
    insta::assert_debug_snapshot!((workspace.create, workspace.accept_incompatible), @r#"
    (
        Some(
            Create {
                location: "westeurope",
                kind: Default(
                    Parts {
                        key_vault: /subscriptions/3f8c1d7a-52b4-4c0e-9d2e-7a1b6c5d4e90/resourceGroups/rg/providers/Microsoft.KeyVault/vaults/kv,
                        application_insights: None,
                        container_registry: None,
                    },
                ),
                friendly_name: None,
                storage_account: /subscriptions/3f8c1d7a-52b4-4c0e-9d2e-7a1b6c5d4e90/resourceGroups/rg/providers/Microsoft.Storage/storageAccounts/stfraud,
                public_network_access: false,
                isolation: Disabled,
            },
        ),
        {
            "crossRegionAccount": Acceptance {
                reason: "agreed",
                owner: "ada",
                until: 2027-01-31T00:00:00Z,
            },
        },
    )
    "#);
}
