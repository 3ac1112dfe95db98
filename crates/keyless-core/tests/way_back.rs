//! The way back to keys, whole: key on, keys taken anew where they may be stale, mode back, and only then what is pruned.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

mod world;

use keyless_core::action::Action;
use keyless_core::catalog::BLOB_CONTRIBUTOR;
use keyless_core::desired::*;
use keyless_core::id::*;
use keyless_core::observed::*;
use world::*;

fn names(actions: &[Action]) -> Vec<String> {
    actions.iter().map(ToString::to_string).collect()
}

/// A workspace off keys for good, in which somebody works by a grant of this installation.
fn off_keys() -> (World, WorkspaceId) {
    let mut world = World::new();
    let a = world.workspace("fraud-train", ObservedAuthMode::AccessKey);
    let forward = desired(&[(&a, AuthMode::Identity, vec![need(object(1), BLOB_CONTRIBUTOR)])]);
    converge(&mut world, &forward, |_, _| {});
    assert!(!world.key.is_on());
    (world, a)
}

fn back(workspaces: &[(&WorkspaceId, AuthMode, Vec<Need>)]) -> KeyDesired {
    let mut back = desired(workspaces);
    declare_account(&mut back, DesiredSharedKey::Enabled);
    back
}

#[test]
fn who_leaves_the_files_on_the_way_back_keeps_the_grant_until_the_key_serves() {
    let (mut world, a) = off_keys();
    // The list of who needs the data goes together with the mode: with keys nobody needs it.
    let mut back = back(&[(&a, AuthMode::AccessKey, vec![])]);
    back.fleet.prune = true;
    let taken = converge(&mut world, &back, |before, action| {
        if matches!(action, Action::RevokeRole { .. }) {
            assert_eq!(before.workspaces[&a].mode, ObservedAuthMode::AccessKey, "still at work by the grant");
        }
    });
    assert_eq!(
        names(&taken),
        [
            "SetSharedKeyAccess enabled on stml",
            "SetAuthMode accesskey on fraud-train",
            "RevokeRole Storage Blob Data Contributor from 00000000-0000-0000-0000-00000000a001",
        ]
    );
    let plan = look(&world, &back);
    assert!(plan.steps.is_empty() && plan.drift.is_empty(), "{}", show(&plan));
}

#[test]
fn a_way_back_that_is_barred_keeps_every_grant() {
    let (mut world, a) = off_keys();
    let b = world.workspace("churn", ObservedAuthMode::Other("UserDelegationSAS".to_owned()));
    let mut back = back(&[(&a, AuthMode::AccessKey, vec![]), (&b, AuthMode::AccessKey, vec![])]);
    back.fleet.prune = true;
    let taken = converge(&mut world, &back, |_, _| {});
    assert_eq!(names(&taken), ["SetSharedKeyAccess enabled on stml", "SetAuthMode accesskey on fraud-train"]);
    let shown = show(&look(&world, &back));
    assert!(shown.contains("went_back: the way back is not over: churn is on UserDelegationSAS"), "{shown}");
}
