//! Who is refused, and when it counts.

use std::time::Duration;

use keyless_sim::{Knobs, SimOptions, Spread, WorkspaceWrite};
use serde_json::{Value, json};

use crate::cloud::{
    BLOB_CONTRIBUTOR, BLOB_READER, Cloud, DANA, GROUP, JOB, SUB, account, grant_entry, role, small_world, workload,
    workspace,
};

const G1: &str = "0f6c7b8a-2d1e-5c3f-9a4b-6d7e8f901234";

fn key_user(stops_after: Option<&str>) -> Value {
    let mut entry = json!({"type": "Keyless.Sim/keyUsers", "id": format!("{}/providers/Keyless.Sim/keyUsers/1", account()),
        "properties": {"account": account(), "name": "backup script", "triesPerHour": 60}});
    if let Some(after) = stops_after {
        entry["properties"]["stopsAfter"] = json!(after);
    }
    entry
}

fn ten_minutes() -> Knobs {
    let wait = Spread::fixed(Duration::from_secs(600));
    Knobs { role_propagation: wait, slow_propagation: Spread::fixed(Duration::from_secs(36_000)), ..Knobs::immediate() }
}

#[tokio::test]
async fn the_safe_order_denies_nobody() {
    let cloud = Cloud::new(small_world(), ten_minutes());
    cloud.pass(3600);
    cloud.grant(&account(), G1, DANA, BLOB_CONTRIBUTOR).await;
    cloud.pass(600);
    cloud.mode("churn", "Identity").await;
    cloud.flag(false).await;
    cloud.pass(14 * 24 * 3600);
    let oracle = cloud.sim.oracle();
    assert_eq!((oracle.denied.entitled, oracle.denied.key_users, oracle.events.len()), (0, 0, 0));
    let hours = (3600 + 600 + 14 * 24 * 3600) / 10;
    assert!(oracle.tries.abs_diff(hours) <= 2, "{} tries, counted by arithmetic", oracle.tries);
}

#[tokio::test]
async fn the_published_order_key_grant_switch_denies() {
    let cloud = Cloud::new(small_world(), ten_minutes());
    cloud.pass(60);
    cloud.flag(false).await;
    cloud.pass(60);
    cloud.grant(&account(), G1, DANA, BLOB_CONTRIBUTOR).await;
    cloud.mode("churn", "Identity").await;
    cloud.pass(3600);
    let oracle = cloud.sim.oracle();
    assert_eq!(oracle.denied.entitled, 6 + 60, "a minute without key, ten without effective role");
    assert_eq!(oracle.events.len(), 1, "one spell: {:?}", oracle.events);
    let event = &oracle.events[0];
    assert_eq!((event.principal.as_str(), &event.workspace, &event.account), (DANA, &workspace("churn"), &account()));
    assert_eq!(event.cause, "KeyBasedAuthenticationNotPermitted");
}

#[tokio::test]
async fn switching_before_the_role_propagates_denies_until_it_does() {
    let cloud = Cloud::new(small_world(), ten_minutes());
    cloud.grant(&account(), G1, DANA, BLOB_CONTRIBUTOR).await;
    cloud.pass(300);
    cloud.mode("churn", "Identity").await;
    cloud.pass(10_000);
    let oracle = cloud.sim.oracle();
    assert_eq!((oracle.denied.entitled, oracle.events.len()), (30, 1));
    assert!(oracle.events[0].cause.starts_with("AuthorizationPermissionMismatch"), "{:?}", oracle.events);
}

/// Whatever metrics tell of it yet.
#[tokio::test]
async fn the_last_use_of_the_key_is_the_last_that_was_served() {
    let cloud = Cloud::new(small_world(), ten_minutes());
    let used = || cloud.sim.key_used(&account());
    cloud.grant(&account(), G1, DANA, BLOB_CONTRIBUTOR).await;
    cloud.pass(600);
    let ago = |at: jiff::Timestamp| cloud.sim.now().duration_since(at).as_secs();
    assert!(ago(used().unwrap()) <= 10, "every ten seconds, through the workspace on keys");
    cloud.mode("churn", "Identity").await;
    let last = used().unwrap();
    cloud.pass(3600);
    assert_eq!(used(), Some(last), "by identity");
    assert_eq!(cloud.sim.key_used(&account().to_uppercase()), Some(last));
    cloud.drift("keyUserStarted", &account(), json!({"name": "script", "triesPerHour": 60}));
    cloud.pass(61);
    assert!(ago(used().unwrap()) <= 60, "by somebody outside");
    cloud.flag(false).await;
    let last = used().unwrap();
    cloud.pass(3600);
    assert_eq!(used(), Some(last), "who is refused has not used it");
    assert_eq!(cloud.sim.key_used("/subscriptions/none"), None);
}

#[tokio::test]
async fn the_key_goes_off_and_on_after_its_delay() {
    let knobs = Knobs { key_effect: Duration::from_secs(120), ..Knobs::immediate() };
    let cloud = Cloud::new(small_world(), knobs);
    cloud.flag(false).await;
    cloud.pass(119);
    assert_eq!(cloud.sim.oracle().denied.entitled, 0);
    cloud.pass(1 + 30);
    assert_eq!(cloud.sim.oracle().denied.entitled, 3);
    cloud.flag(true).await;
    cloud.pass(3600);
    assert_eq!(cloud.sim.oracle().denied.entitled, 3 + 12);
}

#[tokio::test]
async fn a_removed_grant_goes_on_for_a_while() {
    let mut world = small_world();
    world.push(grant_entry(&account(), G1, DANA, BLOB_CONTRIBUTOR));
    world[1]["properties"]["systemDatastoresAuthMode"] = json!("identity");
    let cloud = Cloud::new(world, ten_minutes());
    cloud.pass(60);
    let id = format!("{}/providers/Microsoft.Authorization/roleAssignments/{G1}", account());
    cloud.drift("grantRemoved", &id, Value::Null);
    cloud.pass(600);
    assert_eq!(cloud.sim.oracle().denied.entitled, 0);
    cloud.pass(100);
    assert_eq!(cloud.sim.oracle().denied.entitled, 10);
    cloud.grant(&account(), G1, DANA, BLOB_CONTRIBUTOR).await;
    cloud.pass(600);
    assert_eq!(cloud.sim.oracle().denied.entitled, 10 + 60);
    assert_eq!(cloud.sim.oracle().events.len(), 1);
}

#[tokio::test]
async fn a_changed_custom_role_works_as_before_for_an_hour_at_most() {
    const CUSTOM: &str = "5d0c1c3b-0000-4000-8000-000000000001";
    let all = ["Microsoft.Storage/storageAccounts/blobServices/containers/blobs/*"];
    let custom = |data_actions: &[&str]| {
        json!({"id": role(CUSTOM), "name": CUSTOM, "type": "Microsoft.Authorization/roleDefinitions",
            "properties": {"roleName": "reads and writes", "type": "CustomRole", "assignableScopes": [SUB],
                "permissions": [{"actions": [], "notActions": [], "dataActions": data_actions, "notDataActions": []}]}})
    };
    for (slow, comes_through) in [(600, 600), (36_000, 3600)] {
        let mut world = small_world();
        world.extend([custom(&all), grant_entry(&account(), G1, DANA, CUSTOM)]);
        world[1]["properties"]["systemDatastoresAuthMode"] = json!("identity");
        let slow_propagation = Spread::fixed(Duration::from_secs(slow));
        let cloud = Cloud::new(world, Knobs { slow_propagation, ..Knobs::immediate() });
        cloud.pass(60);
        cloud.drift("resourcePut", &role(CUSTOM), custom(&[]));
        let path = format!("{}/providers/Microsoft.Authorization/roleDefinitions/{CUSTOM}", account());
        let shown = cloud.get(&format!("{path}?api-version=2022-04-01")).await.body;
        assert_eq!(shown["properties"]["permissions"][0]["dataActions"], json!([]));
        assert!(shown["properties"]["updatedOn"].is_string(), "{shown}");
        cloud.pass(comes_through);
        assert_eq!(cloud.sim.oracle().denied.entitled, 0);
        cloud.pass(100);
        assert_eq!(cloud.sim.oracle().denied.entitled, 10);
        cloud.drift("resourcePut", &role(CUSTOM), custom(&all));
        cloud.pass(comes_through);
        let denied = cloud.sim.oracle().denied.entitled;
        assert_eq!(denied, 10 + comes_through / 10);
        cloud.pass(100);
        assert_eq!(cloud.sim.oracle().denied.entitled, denied);
    }
}

#[tokio::test]
async fn groups_stronger_roles_and_parent_scopes_serve_and_conditions_do_not() {
    for (scope, principal, role, condition, served) in [
        (account(), GROUP, BLOB_READER, None, true),
        (crate::cloud::RG.to_owned(), DANA, "b7e6dc6d-f1e8-4753-8033-0f276bb0955b", None, true),
        (account(), DANA, "8e3af657-a8ff-443c-a75c-2fe8c4bcb635", None, false),
        (account(), DANA, BLOB_CONTRIBUTOR, Some("@Resource[x] StringEquals 'y'"), false),
        (format!("{}/blobServices/default/containers/c", account()), DANA, BLOB_CONTRIBUTOR, None, false),
    ] {
        let mut world = small_world();
        let mut grant = grant_entry(&scope, G1, principal, role);
        grant["properties"]["condition"] = json!(condition);
        world.push(grant);
        let cloud = Cloud::new(world, Knobs::immediate());
        cloud.mode("churn", "Identity").await;
        cloud.pass(10);
        assert_eq!(cloud.sim.oracle().denied.entitled == 0, served, "{scope} {principal} {role} {condition:?}");
    }
}

#[tokio::test]
async fn a_managed_identity_in_a_group_waits_longest() {
    let mut world = small_world();
    world.push(workload("churn", JOB));
    world.push(grant_entry(&account(), "0f6c7b8a-2d1e-5c3f-9a4b-6d7e8f90aaaa", DANA, BLOB_READER));
    world[3]["members"] = json!([JOB]);
    let cloud = Cloud::new(world, ten_minutes());
    cloud.grant(&account(), G1, GROUP, BLOB_READER).await;
    cloud.pass(35_000);
    cloud.mode("churn", "Identity").await;
    cloud.pass(3600);
    let oracle = cloud.sim.oracle();
    assert_eq!((oracle.denied.entitled, oracle.events[0].principal.as_str()), (100, JOB));
}

#[tokio::test]
async fn what_never_worked_is_no_loss_and_is_counted_apart() {
    let mut world = small_world();
    world[0]["properties"]["allowSharedKeyAccess"] = json!(false);
    let cloud = Cloud::new(world, Knobs::immediate());
    cloud.pass(100);
    let oracle = cloud.sim.oracle();
    assert_eq!((oracle.denied.entitled, oracle.never_worked, oracle.events.len()), (0, 10, 0));
    cloud.flag(true).await;
    cloud.pass(100);
    cloud.flag(false).await;
    cloud.pass(100);
    assert_eq!(cloud.sim.oracle().denied.entitled, 10);
}

#[tokio::test]
async fn a_spell_of_no_length_refused_nobody_and_any_other_counts() {
    let cloud = Cloud::immediate();
    cloud.pass(5);
    cloud.flag(false).await;
    cloud.flag(true).await;
    assert_eq!((cloud.sim.oracle().denied.entitled, cloud.sim.oracle().events.len()), (0, 0));
    cloud.flag(false).await;
    cloud.sim.advance(Duration::from_millis(1)).unwrap();
    cloud.flag(true).await;
    assert_eq!((cloud.sim.oracle().denied.entitled, cloud.sim.oracle().events.len()), (1, 1));
}

#[tokio::test]
async fn hidden_key_users_are_refused_with_an_empty_workspace_until_they_stop() {
    let mut world = small_world();
    world.push(key_user(Some("1h")));
    let cloud = Cloud::new(world, Knobs::immediate());
    cloud.mode("churn", "Identity").await;
    cloud.pass(1800);
    cloud.flag(false).await;
    cloud.pass(24 * 3600);
    let oracle = cloud.sim.oracle();
    assert_eq!(oracle.denied.key_users, 30);
    let event = oracle.events.iter().find(|event| event.workspace.is_empty()).unwrap();
    assert_eq!(
        (event.principal.as_str(), event.cause.as_str()),
        ("backup script", "KeyBasedAuthenticationNotPermitted")
    );
}

#[tokio::test]
async fn speed_divides_delays_and_the_hidden_users_hour() {
    let mut world = small_world();
    world.push(key_user(Some("1h")));
    let knobs = Knobs { workspace_write: WorkspaceWrite::Sync, ..ten_minutes() };
    let cloud = Cloud::with(world, SimOptions { speed: 600.0, knobs, ..SimOptions::default() });
    cloud.grant(&account(), G1, DANA, BLOB_CONTRIBUTOR).await;
    cloud.pass(1);
    cloud.mode("churn", "Identity").await;
    cloud.pass(5);
    cloud.flag(false).await;
    cloud.pass(60);
    let oracle = cloud.sim.oracle();
    assert_eq!((oracle.denied.entitled, oracle.denied.key_users), (0, 0), "{:?}", oracle.events);
}

#[tokio::test]
async fn a_key_user_who_appears_later_is_refused_from_when_the_key_goes() {
    let cloud = Cloud::immediate();
    cloud.drift("keyUserStarted", &account(), json!({"name": "notebook", "triesPerHour": 3600}));
    cloud.pass(10);
    cloud.flag(false).await;
    cloud.pass(10);
    assert_eq!(cloud.sim.oracle().denied.key_users, 10);
    cloud.drift("keyUserStopped", &account(), json!("notebook"));
    cloud.pass(100);
    assert_eq!(cloud.sim.oracle().denied.key_users, 10);
}

#[tokio::test]
async fn a_project_follows_its_hubs_account_with_a_mode_of_its_own() {
    let mut world = small_world();
    world[1]["kind"] = json!("Hub");
    world[1]["properties"]["systemDatastoresAuthMode"] = json!("Identity");
    world.push(grant_entry(&account(), G1, DANA, BLOB_CONTRIBUTOR));
    world.push(
        json!({"id": workspace("project"), "kind": "Project", "properties": {"hubResourceId": workspace("churn")}}),
    );
    world.push(workload("project", JOB));
    let cloud = Cloud::new(world, Knobs::immediate());
    cloud.pass(10);
    cloud.flag(false).await;
    cloud.pass(10);
    let oracle = cloud.sim.oracle();
    assert_eq!((oracle.denied.entitled, oracle.events.len()), (1, 1));
    assert_eq!((oracle.events[0].principal.as_str(), &oracle.events[0].workspace), (JOB, &workspace("project")));
}

#[tokio::test]
async fn losing_and_gaining_group_membership_counts_at_once() {
    let mut world = small_world();
    world.push(grant_entry(&account(), G1, GROUP, BLOB_READER));
    world[1]["properties"]["systemDatastoresAuthMode"] = json!("Identity");
    let cloud = Cloud::new(world, Knobs::immediate());
    cloud.pass(10);
    cloud.drift("memberRemoved", GROUP, json!(DANA));
    cloud.pass(20);
    cloud.drift("memberAdded", GROUP, json!(DANA));
    cloud.pass(20);
    assert_eq!(cloud.sim.oracle().denied.entitled, 2);
}
