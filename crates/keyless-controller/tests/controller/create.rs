//! A workspace that does not exist, made on an account whose key is off already.

use keyless_core::desired::{AuthMode, Create, CreateKind, Desired, Isolation, Parts};

use super::settled_state;
use crate::cloud::*;
use crate::rig::Rig;

fn asked(revision: &str) -> Desired {
    let mut desired = desired(revision, AuthMode::Identity, &["ml-a", "ml-new"]);
    let create = Create {
        location: "westeurope".to_owned(),
        kind: CreateKind::Default(Parts {
            key_vault: account_id("vault").arm().clone(),
            application_insights: None,
            container_registry: None,
        }),
        friendly_name: None,
        storage_account: account_id("stone"),
        public_network_access: true,
        isolation: Isolation::Disabled,
    };
    desired.workspaces.get_mut(&workspace_id("ml-new")).unwrap().create = Some(create);
    desired
}

#[tokio::test(start_paused = true)]
async fn a_missing_workspace_belongs_to_the_pass_of_its_account_and_is_made_once() {
    let (cloud, dir) = (Cloud::with("stone", &["ml-a"]), settled_state());
    let rig = Rig::start(&cloud, dir.path(), desired("1", AuthMode::Identity, &["ml-a"]));
    rig.converged("1").await;
    assert!(!cloud.key_on("stone"));
    let _ = rig.stop().await;

    let before = cloud.calls().len();
    let rig = Rig::start(&cloud, dir.path(), asked("2"));
    rig.converged("2").await;
    rig.passes(10).await;
    assert_eq!(cloud.calls()[before..], ["create ml-new"]);
    let _ = rig.stop().await;
}

#[tokio::test(start_paused = true)]
async fn without_a_word_on_how_it_is_never_made() {
    let (cloud, dir) = (Cloud::with("stone", &["ml-a"]), settled_state());
    let mut desired = asked("1");
    desired.workspaces.values_mut().for_each(|workspace| workspace.create = None);
    let rig = Rig::start(&cloud, dir.path(), desired);
    rig.passes(10).await;
    assert!(cloud.calls().iter().all(|call| !call.starts_with("create")), "{:?}", cloud.calls());
    let _ = rig.stop().await;
}
