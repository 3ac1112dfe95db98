//! Who is named for a difference, and who is not.

use std::collections::BTreeSet;

use jiff::Timestamp;
use keyless_core::attribution::{Attribution, Removals, Window, attribute, last_write, resource};
use keyless_core::catalog::BLOB_CONTRIBUTOR;
use keyless_core::desired::AuthMode;
use keyless_core::id::{StorageAccountId, WorkspaceId};
use keyless_core::observed::{
    Caller, CallerKind, Change, ChangedTo, DatastoreCredentials, ObservedAuthMode, SharedKeyAccess,
};
use keyless_core::plan::Drift;

const ACCOUNT: &str = "/subscriptions/s/account";

fn at(minute: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + 60 * minute).unwrap()
}

fn write(minute: i64, by: &str) -> Change {
    Change {
        at: at(minute),
        operation: "Microsoft.Storage/StorageAccounts/write".to_owned(),
        resource: ACCOUNT.to_owned(),
        by: Caller { kind: CallerKind::User, name: Some(by.to_owned()), ..Caller::default() },
        own: false,
        policies: Vec::new(),
        correlation_id: Some(format!("c-{minute}")),
        client_request_id: None,
        body: None,
    }
}

fn asked(allowed: Option<bool>) -> Option<ChangedTo> {
    Some(ChangedTo { shared_key: allowed, auth_mode: None })
}

fn key_on() -> Drift {
    Drift::SharedKey { desired_on: false, observed: SharedKeyAccess::Allowed }
}

fn named(drift: &Drift, changes: &[Change]) -> Option<Attribution> {
    attribute(drift, &BTreeSet::from([ACCOUNT.to_owned()]), changes, Window { from: at(10), to: at(20) })
}

fn who(changes: &[Change]) -> Option<String> {
    named(&key_on(), changes).map(|found| found.by)
}

#[test]
fn the_last_writer_before_the_difference_was_seen_is_named_and_others_are_counted() {
    let changes =
        [write(5, "early"), write(11, "ada"), write(14, "ada"), write(15, "eve"), write(12, "bo"), write(21, "late")];
    let found = named(&key_on(), &changes).unwrap();
    assert_eq!((&*found.by, found.at, found.other_writers, found.proven), ("eve", at(15), 2, false));
    assert_eq!(found.correlation_id.as_deref(), Some("c-15"));
}

#[test]
fn nobody_is_named_by_own_writes_other_resources_and_other_operations() {
    let own = Change { own: true, ..write(15, "keyless") };
    let elsewhere = Change { resource: "/subscriptions/s/other".to_owned(), ..write(15, "ada") };
    let keys =
        Change { operation: "Microsoft.Storage/storageAccounts/regenerateKey/action".to_owned(), ..write(15, "ada") };
    assert_eq!(who(&[own.clone(), elsewhere, keys]), None);
    assert_eq!(who(&[own, write(12, "ada")]).as_deref(), Some("ada"));
}

#[test]
fn a_body_that_holds_the_value_proves_and_one_that_holds_another_clears() {
    let proof = Change { body: asked(Some(true)), ..write(12, "ada") };
    let later = write(15, "eve");
    let found = named(&key_on(), &[proof.clone(), later]).unwrap();
    assert_eq!((&*found.by, found.proven), ("ada", true), "what came later may have set tags");
    let right = Change { body: asked(Some(false)), ..write(15, "eve") };
    assert_eq!(who(std::slice::from_ref(&right)), None, "who asked for what the files ask did not undo it");
    assert_eq!(who(&[right, proof]).as_deref(), Some("ada"));
    let silent = Change { body: asked(None), ..write(15, "eve") };
    assert_eq!(who(&[silent.clone(), write(12, "bo")]).as_deref(), Some("bo"));
    assert_eq!(who(&[silent]).as_deref(), Some("eve"), "a whole document may have left the property out");
}

#[test]
fn a_policy_is_named_even_in_a_request_of_ours() {
    let modified = Change {
        operation: "Microsoft.Authorization/policies/modify/action".to_owned(),
        policies: vec!["keys-stay-on".to_owned()],
        ..write(15, "ada")
    };
    assert_eq!(who(std::slice::from_ref(&modified)).as_deref(), Some("policy keys-stay-on, in a request of ada"));
    assert_eq!(who(&[Change { own: true, ..modified }]).as_deref(), Some("policy keys-stay-on"));
}

#[test]
fn a_mode_is_set_by_whoever_wrote_the_workspace() {
    let workspace = "/subscriptions/3f8c1d7a-52b4-4c0e-9d2e-7a1b6c5d4e90/resourceGroups/rg/providers/Microsoft.MachineLearningServices/workspaces/churn";
    let workspace = WorkspaceId::parse(workspace).unwrap();
    let drift = Drift::AuthMode { workspace, desired: AuthMode::Identity, observed: ObservedAuthMode::AccessKey };
    let mode = |operation: &str, mode: Option<ObservedAuthMode>| Change {
        operation: operation.to_owned(),
        body: mode.map(|mode| ChangedTo { shared_key: None, auth_mode: Some(mode) }),
        ..write(15, "ada")
    };
    const WRITE: &str = "Microsoft.MachineLearningServices/workspaces/write";
    assert!(!named(&drift, &[mode(WRITE, None)]).unwrap().proven);
    assert!(named(&drift, &[mode(WRITE, Some(ObservedAuthMode::AccessKey))]).unwrap().proven);
    assert_eq!(named(&drift, &[mode(WRITE, Some(ObservedAuthMode::Identity))]), None);
    let hub = "microsoft.machinelearningservices/workspaces/hubs/write";
    assert!(named(&drift, &[mode(hub, None)]).is_some());
    let below = "Microsoft.MachineLearningServices/workspaces/datastores/write";
    assert_eq!(named(&drift, &[mode(below, None)]), None);
}

#[test]
fn a_role_is_missed_by_whoever_removed_the_assignment() {
    let workspace = "/subscriptions/3f8c1d7a-52b4-4c0e-9d2e-7a1b6c5d4e90/resourceGroups/rg/providers/Microsoft.MachineLearningServices/workspaces/churn";
    let principal = "5e7a1b2c-0000-4000-8000-00000000abcd".parse().unwrap();
    let workspace = WorkspaceId::parse(workspace).unwrap();
    let drift = Drift::RoleMissing { workspace, principal, role: BLOB_CONTRIBUTOR };
    let change = |minute, by: &str, verb: &str| Change {
        operation: format!("Microsoft.Authorization/roleAssignments/{verb}"),
        ..write(minute, by)
    };
    let changes = [change(12, "ada", "delete"), change(15, "eve", "write"), write(16, "bo")];
    let found = named(&drift, &changes).unwrap();
    assert_eq!((&*found.by, found.proven, found.other_writers), ("ada", true, 1));
}

const CHURN: &str = "/subscriptions/3f8c1d7a-52b4-4c0e-9d2e-7a1b6c5d4e90/resourceGroups/rg/providers/Microsoft.MachineLearningServices/workspaces/churn";
const STML: &str = "/subscriptions/3f8c1d7a-52b4-4c0e-9d2e-7a1b6c5d4e90/resourceGroups/rg/providers/Microsoft.Storage/storageAccounts/stml";

#[test]
fn a_datastore_holds_a_key_by_whoever_wrote_it_and_is_gone_by_whoever_removed_it() {
    let (workspace, name) = (WorkspaceId::parse(CHURN).unwrap(), "raw".to_owned());
    let keyed = Drift::DatastoreCredential {
        workspace: workspace.clone(),
        name: name.clone(),
        observed: DatastoreCredentials::AccountKey,
    };
    let gone = Drift::DatastoreMissing { workspace, name };
    let id = resource(&keyed, &STML.parse().unwrap()).unwrap();
    assert_eq!(id.as_str(), format!("{CHURN}/datastores/raw"));
    assert_eq!(resource(&gone, &STML.parse().unwrap()), Some(id.clone()));
    let change = |minute, by: &str, verb: &str| Change {
        operation: format!("Microsoft.MachineLearningServices/workspaces/datastores/{verb}"),
        resource: id.folded().to_owned(),
        ..write(minute, by)
    };
    let changes = [change(12, "ada", "write"), change(14, "eve", "delete"), change(13, "bo", "listSecrets/action")];
    let named = |drift: &Drift| {
        let resources = BTreeSet::from([id.folded().to_owned()]);
        attribute(drift, &resources, &changes, Window { from: at(10), to: at(20) }).unwrap()
    };
    assert_eq!((&*named(&keyed).by, named(&keyed).proven), ("ada", false));
    assert_eq!((&*named(&gone).by, named(&gone).proven), ("eve", true));
}

/// What is said of a difference that nobody saw come.
fn said(drift: &Drift, grants: &[&str], changes: &[Change]) -> String {
    let account: StorageAccountId = STML.parse().unwrap();
    let removals = Removals { at: account.clone(), grants: grants.iter().map(ToString::to_string).collect() };
    let window = Window { from: at(0), to: at(20) };
    let found = last_write(drift, resource(drift, &account).as_ref(), &removals, changes, window);
    found.map_or_else(|| "nothing".to_owned(), |found| found.to_string())
}

fn account_write(minute: i64, by: &str) -> Change {
    Change { resource: STML.to_ascii_lowercase(), ..write(minute, by) }
}

#[test]
fn of_what_nobody_saw_come_no_more_is_said_than_the_log_tells() {
    let told = |changes: &[Change]| said(&key_on(), &[], changes);
    let not_told = "the activity log does not tell which property was set";
    let (ada, eve) = (account_write(5, "ada"), account_write(9, "eve"));
    assert_eq!(told(&[]), "nothing");
    assert_eq!(told(&[account_write(21, "late"), write(5, "of another account")]), "nothing");
    assert_eq!(told(&[eve.clone(), ada.clone()]), format!("last written by eve at {}; {not_told}", at(9)));
    let own = Change { own: true, ..account_write(12, "application k") };
    assert_eq!(
        told(&[ada.clone(), own.clone()]),
        format!("last written by application k, the identity of this run, at {}; {not_told}", at(12))
    );
    let proof = Change { body: asked(Some(true)), ..ada.clone() };
    assert_eq!(told(&[proof.clone(), eve.clone()]), format!("set by ada at {}", at(5)));
    assert_eq!(
        told(&[proof.clone(), eve.clone(), own]),
        format!("last written by application k, the identity of this run, at {}; {not_told}", at(12)),
        "a proof that a write of ours has overtaken proves nothing of now"
    );
    let cleared = Change { body: asked(Some(false)), ..account_write(7, "bo") };
    assert_eq!(told(&[proof.clone(), cleared.clone()]), "nothing", "it was right again afterwards");
    assert_eq!(told(&[proof, cleared, eve]), format!("last written by eve at {}; {not_told}", at(9)));
    let silent = Change { body: asked(None), ..ada };
    assert_eq!(
        told(&[silent]),
        format!("last written by ada at {}, in a request that does not name the property", at(5))
    );
}

#[test]
fn a_missing_grant_is_laid_to_its_own_removal_alone() {
    let drift = Drift::RoleMissing {
        workspace: CHURN.parse().unwrap(),
        principal: "5e7a1b2c-0000-4000-8000-00000000abcd".parse().unwrap(),
        role: BLOB_CONTRIBUTOR,
    };
    let removed = |minute, by: &str, scope: &str, name: &str| Change {
        operation: "Microsoft.Authorization/roleAssignments/delete".to_owned(),
        resource: format!("{scope}/providers/Microsoft.Authorization/roleAssignments/{name}").to_ascii_lowercase(),
        ..write(minute, by)
    };
    let (group, _) = STML.split_once("/providers").unwrap();
    let here = removed(5, "ada", STML, "a-1");
    let above = removed(8, "eve", group, "a-2");
    let elsewhere = removed(9, "bo", &format!("{STML}2"), "a-3");
    let made = Change { operation: "Microsoft.Authorization/roleAssignments/write".to_owned(), ..above.clone() };
    let changes = [here.clone(), above, elsewhere.clone()];
    assert_eq!(said(&drift, &[&here.resource], &changes), format!("removed by ada at {}", at(5)));
    assert!(said(&drift, &["other"], &changes).starts_with("eve was the last to remove a role assignment"));
    assert_eq!(said(&drift, &[], &[elsewhere, made]), "nothing");
}
