//! Role assignments, definitions and permissions.

use keyless_sim::{CLIENT_OBJECT_ID, Knobs};
use serde_json::{Value, json};

use crate::cloud::{
    BLOB_CONTRIBUTOR, BLOB_READER, Cloud, DANA, GROUP, JOB, RG, SUB, account, grant_entry, role, small_world, workspace,
};

const G1: &str = "0f6c7b8a-2d1e-5c3f-9a4b-6d7e8f901234";
const G2: &str = "0f6c7b8a-2d1e-5c3f-9a4b-6d7e8f901235";
const OWNER: &str = "8e3af657-a8ff-443c-a75c-2fe8c4bcb635";
const READER: &str = "acdd72a7-3385-48ef-bd42-f606fba81ae7";

fn path(scope: &str, name: &str) -> String {
    format!("{scope}/providers/Microsoft.Authorization/roleAssignments/{name}?api-version=2022-04-01")
}

async fn listed(cloud: &Cloud, scope: &str, filter: &str) -> Vec<String> {
    let path = format!("{scope}/providers/Microsoft.Authorization/roleAssignments?api-version=2022-04-01{filter}");
    let reply = cloud.get(&path).await;
    assert_eq!(reply.status, 200, "{reply:?}");
    let mut names: Vec<String> = reply.body["value"]
        .as_array()
        .unwrap()
        .iter()
        .map(|grant| grant["name"].as_str().unwrap().to_owned())
        .collect();
    names.sort();
    names
}

#[tokio::test]
async fn a_grant_is_201_then_200_and_shows_the_subscription_form_of_the_role() {
    let cloud = Cloud::immediate();
    let made = cloud.grant(&account(), G1, DANA, BLOB_CONTRIBUTOR).await;
    assert_eq!(made.status, 201);
    let properties = &made.body["properties"];
    assert_eq!(
        (&properties["scope"], &properties["roleDefinitionId"]),
        (&json!(account()), &json!(role(BLOB_CONTRIBUTOR)))
    );
    assert_eq!((&properties["principalType"], &properties["createdBy"]), (&json!("User"), &json!(CLIENT_OBJECT_ID)));
    assert!(properties["createdOn"].as_str().unwrap().ends_with(".0000000Z"));
    assert_eq!(cloud.grant(&account(), G1, DANA, BLOB_CONTRIBUTOR).await.status, 200);
    assert_eq!(cloud.get(&path(&account(), G1)).await.body, made.body);
}

#[tokio::test]
async fn the_same_grant_under_another_name_is_role_assignment_exists_with_or_without_the_id() {
    for named in [true, false] {
        let cloud = Cloud::new(small_world(), Knobs { existing_assignment_named: named, ..Knobs::immediate() });
        cloud.grant(&account(), G1, DANA, BLOB_CONTRIBUTOR).await;
        let again = cloud.grant(&account(), G2, DANA, BLOB_CONTRIBUTOR).await;
        assert_eq!((again.status, again.code()), (409, "RoleAssignmentExists"));
        let message = again.body["error"]["message"].as_str().unwrap().to_owned();
        assert_eq!(message.contains(&G1.replace('-', "")), named, "{message}");
    }
}

#[tokio::test]
async fn a_name_is_not_used_for_anything_else() {
    let cloud = Cloud::immediate();
    cloud.grant(&account(), G1, DANA, BLOB_CONTRIBUTOR).await;
    for (scope, principal) in [(account(), JOB), (RG.to_owned(), DANA)] {
        let refused = cloud.grant(&scope, G1, principal, BLOB_CONTRIBUTOR).await;
        assert_eq!((refused.status, refused.code()), (400, "RoleAssignmentUpdateNotPermitted"));
    }
}

#[tokio::test]
async fn what_is_malformed_or_unknown_is_refused_by_name() {
    let cloud = Cloud::immediate();
    let put = |name: &str, properties: Value| {
        cloud.request("PUT", &path(&account(), name), Some(json!({"properties": properties})))
    };
    let contributor = role(BLOB_CONTRIBUTOR);
    for (request, code) in [
        (put("mine", json!({"principalId": DANA, "roleDefinitionId": contributor})), "InvalidRoleAssignmentId"),
        (put(G1, json!({"principalId": "dana", "roleDefinitionId": contributor})), "InvalidPrincipalId"),
        (put(G1, json!({"principalId": DANA, "roleDefinitionId": role(G2)})), "RoleDefinitionDoesNotExist"),
        (
            put(G1, json!({"principalId": DANA, "principalType": "Group", "roleDefinitionId": contributor})),
            "UnmatchedPrincipalType",
        ),
        (put(G1, json!({"principalId": G2, "roleDefinitionId": contributor})), "PrincipalNotFound"),
    ] {
        let reply = cloud.send(request).await;
        assert_eq!((reply.status, reply.code()), (400, code));
    }
    let fresh = json!({"principalId": G2, "principalType": "ServicePrincipal", "roleDefinitionId": contributor});
    assert_eq!(cloud.send(put(G1, fresh)).await.status, 201, "a type spares the look-up");
}

#[tokio::test]
async fn a_subscription_holds_so_many_assignments() {
    let cloud = Cloud::new(small_world(), Knobs { assignment_limit: 1, ..Knobs::immediate() });
    assert_eq!(cloud.grant(&account(), G1, DANA, BLOB_CONTRIBUTOR).await.status, 201);
    assert_eq!(cloud.grant(&account(), G2, DANA, BLOB_READER).await.code(), "RoleAssignmentLimitExceeded");
}

#[tokio::test]
async fn a_revoke_is_200_then_204() {
    let cloud = Cloud::immediate();
    cloud.grant(&account(), G1, DANA, BLOB_CONTRIBUTOR).await;
    let gone = cloud.ask("DELETE", &path(&account(), G1), None).await;
    assert_eq!((gone.status, &gone.body["name"]), (200, &json!(G1)));
    assert_eq!(cloud.ask("DELETE", &path(&account(), G1), None).await.status, 204);
    assert_eq!(cloud.get(&path(&account(), G1)).await.code(), "RoleAssignmentNotFound");
}

#[tokio::test]
async fn filters_choose_scope_and_principal_as_documented() {
    let mut world = small_world();
    let container = format!("{}/blobServices/default/containers/c", account());
    for (scope, name, principal) in [
        (SUB, "a0", GROUP),
        (RG, "a1", JOB),
        (&account(), "a2", DANA),
        (&container, "a3", DANA),
        (&workspace("churn"), "a4", DANA),
    ] {
        world.push(grant_entry(scope, name, principal, BLOB_READER));
    }
    world.push(grant_entry("/providers/Microsoft.Management/managementGroups/mg", "a5", JOB, READER));
    let cloud = Cloud::new(world, Knobs::immediate());
    let dana = format!("assignedTo('{DANA}')");
    for (scope, filter, names) in [
        (account(), "&$filter=atScope()".to_owned(), vec!["a0", "a1", "a2", "a5"]),
        (account(), String::new(), vec!["a0", "a1", "a2", "a3", "a5"]),
        (account(), format!("&$filter={dana}"), vec!["a0", "a2", "a3"]),
        (account(), format!("&$filter=atScope()+and+{dana}"), vec!["a0", "a2"]),
        (account(), format!("&$filter=principalId%20eq%20'{DANA}'"), vec!["a2", "a3"]),
        (SUB.to_owned(), "&$filter=atScope%28%29".to_owned(), vec!["a0", "a5"]),
        (RG.to_owned(), format!("&$filter=principalId eq '{DANA}'"), vec!["a2", "a3", "a4"]),
    ] {
        assert_eq!(listed(&cloud, &scope, &filter).await, names, "{scope} {filter}");
    }
    let path = format!("{SUB}/providers/Microsoft.Authorization/roleAssignments?api-version=2022-04-01&$filter=");
    assert_eq!(cloud.get(&format!("{path}assignedTo('{GROUP}')")).await.status, 400);
    assert_eq!(cloud.get(&format!("{path}colour eq 'red'")).await.status, 400);
}

#[tokio::test]
async fn older_versions_leave_out_what_they_do_not_know() {
    let cloud = Cloud::immediate();
    cloud.grant(&account(), G1, DANA, BLOB_CONTRIBUTOR).await;
    let properties = async |version: &str| {
        let path = path(&account(), G1).replace("2022-04-01", version);
        cloud.get(&path).await.body["properties"].clone()
    };
    let oldest = properties("2015-07-01").await;
    assert_eq!((oldest.get("principalType"), oldest.get("condition")), (None, None));
    assert_eq!(oldest["principalId"], DANA);
    let middle = properties("2018-09-01-preview").await;
    assert_eq!((middle.get("principalType"), middle.get("condition")), (Some(&json!("User")), None));
    assert_eq!(properties("2022-04-01").await.get("condition"), Some(&Value::Null));
}

#[tokio::test]
async fn role_definitions_are_listed_and_found_by_name_and_guid() {
    let mut world = small_world();
    let custom = "5a5a5a5a-0000-4000-8000-000000000001";
    world.push(json!({"id": role(custom), "name": custom, "type": "Microsoft.Authorization/roleDefinitions",
        "properties": {"roleName": "Custom blob reader", "type": "CustomRole", "permissions": []}}));
    let cloud = Cloud::new(world, Knobs::immediate());
    let list = format!("{}/providers/Microsoft.Authorization/roleDefinitions?api-version=2022-04-01", account());
    let by_name = cloud.get(&format!("{list}&$filter=roleName eq 'storage blob data reader'")).await;
    assert_eq!((by_name.status, &by_name.body["value"][0]["name"]), (200, &json!(BLOB_READER)));
    let custom_only = cloud.get(&format!("{list}&$filter=type eq 'CustomRole'")).await;
    assert_eq!(custom_only.body["value"].as_array().unwrap().len(), 1);
    let one = cloud.get(&format!("{}?api-version=2022-04-01", role(BLOB_CONTRIBUTOR))).await;
    assert_eq!(one.body["properties"]["permissions"][0]["dataActions"].as_array().unwrap().len(), 5);
    assert_eq!(one.body["id"], role(BLOB_CONTRIBUTOR));
    assert_eq!(cloud.get(&format!("{}?api-version=2022-04-01", role(G1))).await.code(), "RoleDefinitionDoesNotExist");
}

#[tokio::test]
async fn own_identities_are_owners_until_the_world_grants_them_something() {
    let mut world = small_world();
    world.push(grant_entry(&account(), G1, CLIENT_OBJECT_ID, READER));
    let mut cloud = Cloud::new(world, Knobs::immediate());
    assert_eq!(cloud.get(&format!("{}?api-version=2023-05-01", account())).await.status, 200);
    let refused = cloud.flag(false).await;
    assert_eq!((refused.status, refused.code()), (403, "AuthorizationFailed"));
    let message = refused.body["error"]["message"].as_str().unwrap();
    assert!(message.contains("Microsoft.Storage/storageAccounts/write") && message.contains(CLIENT_OBJECT_ID));
    assert_eq!(cloud.get(&format!("{}?api-version=2025-09-01", workspace("churn"))).await.status, 403);
    let seen = cloud.get(&format!("{SUB}/providers/Microsoft.Storage/storageAccounts?api-version=2023-05-01")).await;
    assert_eq!((seen.status, seen.body["value"].as_array().unwrap().len()), (200, 1));
    cloud.act_as(keyless_sim::MANAGED_OBJECT_ID);
    assert_eq!(cloud.flag(false).await.status, 200);
}

#[tokio::test]
async fn others_may_do_what_their_roles_allow_and_no_more() {
    let mut world = small_world();
    world.push(grant_entry(RG, G1, GROUP, OWNER));
    let mut cloud = Cloud::new(world, Knobs::immediate());
    cloud.act_as(DANA);
    assert_eq!(cloud.flag(true).await.status, 200, "through the group");
    cloud.act_as(JOB);
    assert_eq!(cloud.flag(true).await.status, 403);
    let list = format!("{SUB}/providers/Microsoft.Storage/storageAccounts?api-version=2023-05-01");
    assert_eq!(cloud.get(&list).await.code(), "AuthorizationFailed");
    assert_eq!(cloud.get("/subscriptions?api-version=2022-12-01").await.body["value"], json!([]));
}

#[tokio::test]
async fn a_denial_beats_a_grant_and_is_listed() {
    let mut world = small_world();
    world.push(json!({"id": format!("{RG}/providers/Microsoft.Authorization/denyAssignments/{G2}"), "name": G2,
        "properties": {"denyAssignmentName": "stack", "principals": [{"id": "00000000-0000-0000-0000-000000000000"}],
            "excludePrincipals": [{"id": JOB}],
            "permissions": [{"actions": ["Microsoft.Storage/storageAccounts/write"], "dataActions": []}]}}));
    let cloud = Cloud::new(world, Knobs::immediate());
    assert_eq!(cloud.flag(false).await.code(), "DenyAssignmentAuthorizationFailed");
    let list = format!(
        "{}/providers/Microsoft.Authorization/denyAssignments?api-version=2022-04-01&$filter=atScope()",
        account()
    );
    assert_eq!(cloud.get(&list).await.body["value"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn under_locks_grants_and_revokes_fail_as_documented() {
    let cloud = Cloud::immediate();
    cloud.grant(&account(), G1, DANA, BLOB_CONTRIBUTOR).await;
    cloud.drift("lockAdded", &account(), json!("CanNotDelete"));
    assert_eq!(cloud.grant(&account(), G2, DANA, BLOB_READER).await.status, 201);
    assert_eq!(cloud.ask("DELETE", &path(&account(), G1), None).await.code(), "ScopeLocked");
    cloud.drift("lockRemoved", &account(), Value::Null);
    cloud.drift("lockAdded", &account(), json!("ReadOnly"));
    assert_eq!(
        cloud.grant(&account(), "0f6c7b8a-2d1e-5c3f-9a4b-6d7e8f901236", JOB, BLOB_READER).await.code(),
        "ScopeLocked"
    );
}

#[tokio::test]
async fn a_put_over_a_grant_updates_condition_and_description_with_201_and_keeps_its_age() {
    let cloud = Cloud::immediate();
    let made = cloud.grant(&account(), G1, DANA, BLOB_CONTRIBUTOR).await.body;
    cloud.pass(60);
    let put = |description: &str| {
        let properties =
            json!({"roleDefinitionId": role(BLOB_CONTRIBUTOR), "principalId": DANA, "description": description});
        cloud.request("PUT", &path(&account(), G1), Some(json!({"properties": properties})))
    };
    let changed = cloud.send(put("for training")).await;
    assert_eq!((changed.status, &changed.body["properties"]["description"]), (201, &json!("for training")));
    assert_eq!(changed.body["properties"]["createdOn"], made["properties"]["createdOn"]);
    assert_ne!(changed.body["properties"]["updatedOn"], made["properties"]["updatedOn"]);
    assert_eq!(cloud.send(put("for training")).await.status, 200);
    assert_eq!(cloud.get(&path(&account(), G1)).await.body, changed.body);
}

#[tokio::test]
async fn nothing_is_granted_on_what_does_not_exist() {
    let cloud = Cloud::immediate();
    for scope in [format!("{}gone", account()), workspace("gone")] {
        let refused = cloud.grant(&scope, G1, DANA, BLOB_CONTRIBUTOR).await;
        assert_eq!((refused.status, refused.code()), (404, "ResourceNotFound"), "{scope}");
    }
}
