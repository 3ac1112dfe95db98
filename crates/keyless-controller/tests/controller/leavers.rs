//! Whose grants are taken back by the whole controller, and whose stay because a workspace is not looked at.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::cloud::*;
use crate::rig::Rig;
use keyless_core::desired::*;
use keyless_core::id::*;
use keyless_core::observed::*;

/// In a subscription of its own, on the account of the other.
fn far() -> WorkspaceId {
    let text = workspace_id("ml-b").to_string().replace(SUBSCRIPTION, "7c0e5f1a-0000-4d5e-8f90-a1b2c3d4e5f6");
    WorkspaceId::parse(&text).unwrap()
}

/// A cloud with a workspace beside `ml-a`, and files with a person of its own.
fn both(other: &WorkspaceId) -> (std::sync::Arc<Cloud>, Desired) {
    let cloud = Cloud::with("stone", &["ml-a"]);
    let own = Workspace { id: other.clone(), ..workspace("ml-b", Some("stone"), ObservedAuthMode::Identity) };
    cloud.lock().workspaces.insert(other.clone(), own);
    let mut files = desired("1", AuthMode::Identity, &["ml-a", "ml-b"]);
    let mut document = files.workspaces.remove(&workspace_id("ml-b")).unwrap();
    document.id = other.clone();
    document.needs[0].principal = PrincipalRef::Object { kind: PrincipalType::User, id: group(2), name: None };
    files.workspaces.insert(other.clone(), document);
    files.fleet.prune = true;
    (cloud, files)
}

fn has_its_grant(cloud: &Cloud) -> bool {
    cloud.lock().assignments[&account_id("stone")].iter().any(|grant| grant.principal == group(2))
}

type Change = fn(&mut State, &mut Desired, &WorkspaceId);

/// Whether the grant of the person of the other workspace is still there, long after a change of the cloud or the files.
async fn stays_after(other: &WorkspaceId, scope: Scope, change: Change) -> bool {
    let (cloud, mut files) = both(other);
    files.fleet.scope = scope;
    let dir = tempfile::tempdir().unwrap();
    let rig = Rig::start(&cloud, dir.path(), files.clone());
    rig.converged("1").await;
    assert!(has_its_grant(&cloud));
    files.revision = Revision("2".to_owned());
    change(&mut cloud.lock(), &mut files, other);
    rig.files.send_replace(Some(std::sync::Arc::new(files)));
    for _ in 0..10 {
        tokio::time::advance(Duration::from_secs(600)).await;
        rig.passes(4).await;
    }
    assert!(rig.stop().await.settled);
    has_its_grant(&cloud)
}

fn only_the_first() -> Scope {
    Scope { subscriptions: Some(BTreeSet::from([SUBSCRIPTION.parse().unwrap()])), exclude: BTreeSet::new() }
}

#[tokio::test(start_paused = true)]
async fn who_is_named_no_more_loses_the_grant_and_nobody_by_a_workspace_that_went_out_of_sight() {
    let near = workspace_id("ml-b");
    let leaves: Change = |_, files, other| files.workspaces.get_mut(other).unwrap().needs.clear();
    assert!(!stays_after(&near, Scope::default(), leaves).await, "grants do go");
    assert!(!stays_after(&near, only_the_first(), leaves).await, "a scope that leaves nothing out holds nothing");

    let deleted: Change = |cloud, _, other| drop(cloud.workspaces.remove(other));
    assert!(stays_after(&near, Scope::default(), deleted).await, "it may be recovered, and its document stands");
    let nowhere: Change = |cloud, _, other| cloud.workspaces.get_mut(other).unwrap().storage_account = None;
    assert!(stays_after(&near, Scope::default(), nowhere).await, "an answer that tells no account tells nothing");
    let removed: Change = |_, files, other| drop(files.workspaces.remove(other));
    assert!(stays_after(&near, Scope::default(), removed).await, "removing a document undoes nothing");
    assert!(
        stays_after(&far(), only_the_first(), removed).await,
        "nor does it where the scope leaves the workspace out"
    );
    let excluded: Change = |_, files, other| {
        files.workspaces.remove(other);
        files.fleet.scope.exclude.insert(other.arm().clone());
    };
    assert!(stays_after(&near, Scope::default(), excluded).await);
    let all_of_it: Change = |_, files, other| {
        files.workspaces.remove(other);
        files.fleet.scope.exclude.insert(other.subscription().arm());
    };
    assert!(stays_after(&far(), Scope::default(), all_of_it).await);
}

#[tokio::test(start_paused = true)]
async fn a_workspace_on_the_key_that_tells_no_account_any_more_holds_the_key() {
    for declared in [false, true] {
        let (cloud, mut files) = both(&workspace_id("ml-b"));
        let id = workspace_id("ml-b");
        cloud.lock().workspaces.get_mut(&id).unwrap().auth_mode = ObservedAuthMode::AccessKey;
        if declared {
            files.workspaces.get_mut(&id).unwrap().auth_mode = AuthMode::AccessKey;
            files = with_key(files, "stone", DesiredSharedKey::Disabled);
        } else {
            files.workspaces.remove(&id);
        }
        let dir = tempfile::tempdir().unwrap();
        let rig = Rig::start(&cloud, dir.path(), files);
        rig.until("the other one is switched", |_| {
            cloud.lock().workspaces[&workspace_id("ml-a")].auth_mode == ObservedAuthMode::Identity
        })
        .await;
        cloud.lock().workspaces.get_mut(&id).unwrap().storage_account = None;
        for _ in 0..20 {
            tokio::time::advance(Duration::from_secs(3600)).await;
            rig.passes(3).await;
        }
        assert!(cloud.lock().accounts[&account_id("stone")], "declared: {declared}");
        assert!(rig.stop().await.settled);
    }
}
