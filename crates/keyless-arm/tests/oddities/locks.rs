//! Role definitions and locks.

use keyless_arm::api::{ReadArm, Written};
use keyless_arm::error::ErrorClass;
use keyless_core::id::ArmId;
use keyless_core::observed::{LockLevel, RoleDefinition};
use serde_json::{Value, json};

use crate::fake::{GROUP, GUID, account_id};
use crate::with::{always, class_and_code, revoke, scope, set_key};

async fn read_role(properties: Value) -> RoleDefinition {
    let id = format!("/providers/Microsoft.Authorization/roleDefinitions/{GUID}");
    let body =
        json!({"id": id, "name": GUID, "type": "Microsoft.Authorization/roleDefinitions", "properties": properties});
    let (client, _) = always(200, &[], body);
    client.role_definition(&scope(), GUID.parse().unwrap()).await.unwrap().value.unwrap()
}

#[tokio::test(start_paused = true)]
async fn the_inner_type_tells_azures_own_roles() {
    for (kind, built_in) in [("BuiltInRole", true), ("CustomRole", false)] {
        for place in ["/", "/providers/Microsoft.AttributeAttestation", GROUP] {
            let found =
                read_role(json!({"roleName": "R", "type": kind, "assignableScopes": [place], "permissions": []})).await;
            assert_eq!(found.built_in, built_in, "{kind} {place}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn data_actions_may_be_absent_and_actions_empty() {
    let old = read_role(json!({"roleName": "R", "permissions": [{"actions": ["*/read"], "notActions": []}]})).await;
    assert_eq!((old.permissions[0].actions.len(), old.permissions[0].data_actions.len()), (1, 0));
    let new = read_role(json!({"roleName": "R", "permissions": [
        {"actions": [], "notActions": [], "dataActions": ["a/*"], "notDataActions": ["a/b"]}
    ]}))
    .await;
    assert_eq!((new.permissions[0].actions.len(), &*new.permissions[0].data_actions[0]), (0, "a/*"));
    assert_eq!(new.permissions[0].not_data_actions, ["a/b"]);
}

/// Names are found in any case by who asks for them; the client asks for a GUID, and takes any name that comes with it.
#[tokio::test(start_paused = true)]
async fn a_role_is_asked_for_by_its_guid_whatever_its_name() {
    for name in ["Reader", "reader", "READER"] {
        let body = json!({"id": format!("/providers/Microsoft.Authorization/roleDefinitions/{GUID}"), "name": GUID,
            "properties": {"roleName": name, "type": "BuiltInRole", "permissions": [{"actions": ["*/read"]}]}});
        let (client, asks) = always(200, &[], body);
        let found = client.role_definition(&scope(), GUID.parse().unwrap()).await.unwrap().value.unwrap();
        assert_eq!((found.id, &*found.name), (GUID.parse().unwrap(), name));
        let asks = asks.lock().unwrap();
        let (path, query) = asks[0].url.split_once('?').unwrap();
        assert!(path.ends_with(&format!("/roleDefinitions/{GUID}")) && !query.contains("filter"), "{}", asks[0].url);
    }
}

fn lock(scope: &str, properties: Value) -> Value {
    json!({"id": format!("{scope}/providers/Microsoft.Authorization/locks/keep"), "name": "keep", "properties": properties})
}

#[tokio::test(start_paused = true)]
async fn notes_may_be_absent_empty_or_text_and_a_success_may_be_empty() {
    let items = [
        json!({"level": "ReadOnly"}),
        json!({"level": "ReadOnly", "notes": ""}),
        json!({"level": "ReadOnly", "notes": "x"}),
    ]
    .map(|properties| lock(&account_id(), properties));
    let (client, _) = always(200, &[], json!({"value": items}));
    let found = client.locks(&scope()).await.unwrap().value;
    assert!(found.len() == 3 && found.iter().all(|one| one.level == LockLevel::ReadOnly));
    // Locks are never taken away; a role assignment's DELETE is the nearest success without an object.
    assert_eq!(revoke(&always(200, &[], "").0).await.unwrap(), Written::Changed);
}

#[tokio::test(start_paused = true)]
async fn an_inherited_lock_shows_its_own_scope_in_its_id_only() {
    let doubled = account_id().replace("Microsoft.Storage/", "Microsoft.Storage//");
    let items = [lock(GROUP, json!({"level": "CanNotDelete"})), lock(&doubled, json!({"level": "ReadOnly"}))];
    let (client, _) = always(200, &[], json!({"value": items}));
    let found = client.locks(&scope()).await.unwrap().value;
    assert_eq!(found[0].scope, ArmId::parse(GROUP).unwrap());
    assert_eq!(found[1].scope, scope());
}

/// `listKeys`, which looks like a read and is stopped too, is never called.
#[tokio::test(start_paused = true)]
async fn a_lock_in_the_way_is_a_refusal() {
    let body = json!({"error": {"code": "ScopeLocked", "message": "cannot perform write operation"}});
    let failed = set_key(&always(409, &[], body).0, true).await.unwrap_err();
    assert_eq!(class_and_code(&failed.error), (ErrorClass::Refused, Some("ScopeLocked")));
}
