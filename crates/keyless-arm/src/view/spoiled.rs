//! Whole documents, spoiled: fields dropped, made null, written in another case or given another type. A view may refuse
//! them; it may never panic, and never read what it cannot understand as absent, as none or as identity.

use keyless_core::observed::{DatastoreCredentials, LockLevel, ObservedAuthMode, SharedKeyAccess};
use proptest::prelude::*;
use serde_json::{Map, Value, json};

use super::node::Node;
use super::{access, metrics, storage, workspace};

const GROUP: &str = "/subscriptions/3f8c1d7a-52b4-4c0e-9d2e-7a1b6c5d4e90/resourceGroups/rg";
const GUID: &str = "9c1d2f63-4b0a-4d57-8f3e-1a2b3c4d5e6f";

fn account_id() -> String {
    format!("{GROUP}/providers/Microsoft.Storage/storageAccounts/stmlprod")
}

/// One way to spoil a document at one place.
#[derive(Debug, Clone)]
enum Spoil {
    Drop,
    Null,
    Rename(fn(&str) -> String),
    Replace(Value),
}

fn spoil() -> impl Strategy<Value = Spoil> {
    fn upper(text: &str) -> String {
        text.to_ascii_uppercase()
    }
    fn capital(text: &str) -> String {
        text.get(..1).unwrap_or_default().to_ascii_uppercase() + text.get(1..).unwrap_or_default()
    }
    prop_oneof![
        Just(Spoil::Drop),
        Just(Spoil::Null),
        Just(Spoil::Rename(upper)),
        Just(Spoil::Rename(capital)),
        prop_oneof![
            Just(json!("")),
            Just(json!(" ")),
            Just(json!("Brandnew")),
            Just(json!("IDENTITY")),
            Just(json!("none")),
            Just(json!("true")),
            Just(json!("0")),
            Just(json!(0)),
            Just(json!(1.5)),
            Just(json!(true)),
            Just(json!(false)),
            Just(json!([])),
            Just(json!({})),
            Just(json!([null])),
        ]
        .prop_map(Spoil::Replace),
    ]
}

/// Spoils the `place`-th field or item, counted from the root without end.
fn apply(value: &mut Value, place: &mut usize, spoil: &Spoil) -> bool {
    match value {
        Value::Object(object) => {
            let names: Vec<String> = object.keys().cloned().collect();
            for name in names {
                if *place == 0 {
                    let old = object.remove(&name).unwrap_or_default();
                    match spoil {
                        Spoil::Drop => {}
                        Spoil::Null => drop(object.insert(name, Value::Null)),
                        Spoil::Rename(change) => drop(object.insert(change(&name), old)),
                        Spoil::Replace(new) => drop(object.insert(name, new.clone())),
                    }
                    return true;
                }
                *place -= 1;
                if object.get_mut(&name).is_some_and(|inner| apply(inner, place, spoil)) {
                    return true;
                }
            }
            false
        }
        Value::Array(items) => items.iter_mut().any(|item| apply(item, place, spoil)),
        _ => false,
    }
}

/// How many fields a document has, at any depth.
fn places(value: &Value) -> usize {
    match value {
        Value::Object(object) => object.values().map(|value| 1 + places(value)).sum(),
        Value::Array(items) => items.iter().map(places).sum(),
        _ => 0,
    }
}

fn spoiled(whole: fn() -> Value) -> impl Strategy<Value = Value> {
    proptest::collection::vec((any::<usize>(), spoil()), 1..4).prop_map(move |changes| {
        let mut body = whole();
        for (place, spoil) in changes {
            if let Some(mut place) = place.checked_rem(places(&body)) {
                apply(&mut body, &mut place, &spoil);
            }
        }
        body
    })
}

/// What the document says at a path: the first value that is not null, in any case of the names.
fn at<'a>(body: &'a Value, path: &[&str]) -> Option<&'a Value> {
    path.iter().try_fold(body, |value, name| {
        let object: &Map<String, Value> = value.as_object()?;
        object
            .iter()
            .filter(|(key, _)| key.eq_ignore_ascii_case(name))
            .map(|(_, value)| value)
            .find(|value| !value.is_null())
    })
}

fn says_nothing(value: Option<&Value>) -> bool {
    value.is_none_or(|value| value.as_str().is_some_and(|text| text.trim().is_empty()))
}

fn says(value: Option<&Value>, word: &str) -> bool {
    value.and_then(Value::as_str).is_some_and(|text| text.trim().eq_ignore_ascii_case(word))
}

fn length(value: Option<&Value>) -> Option<usize> {
    value.map_or(Some(0), |value| value.as_array().map(Vec::len))
}

fn whole_workspace() -> Value {
    json!({
        "id": format!("{GROUP}/providers/Microsoft.MachineLearningServices/workspaces/mlw-churn"), "kind": "Project",
        "identity": {"type": "SystemAssigned", "principalId": GUID},
        "properties": {
            "storageAccount": account_id(), "systemDatastoresAuthMode": "AccessKey", "provisioningState": "Succeeded",
            "hubResourceId": format!("{GROUP}/providers/Microsoft.MachineLearningServices/workspaces/hub-one"),
            "enableDataIsolation": true,
        }
    })
}

fn whole_compute() -> Value {
    json!({
        "name": "dev", "properties": {"computeType": "ComputeInstance"},
        "identity": {"type": "SystemAssigned", "principalId": GUID}
    })
}

fn whole_account() -> Value {
    json!({"id": account_id(), "location": "westeurope", "properties": {"allowSharedKeyAccess": true}})
}

fn whole_datastore() -> Value {
    json!({"name": "raw", "properties": {
        "datastoreType": "AzureBlob", "accountName": "stmlprod", "credentials": {"credentialsType": "AccountKey"}
    }})
}

fn whole_assignment() -> Value {
    json!({
        "id": format!("{GROUP}/providers/Microsoft.Authorization/roleAssignments/{GUID}"), "name": GUID,
        "properties": {
            "roleDefinitionId": format!("/providers/Microsoft.Authorization/roleDefinitions/{GUID}"),
            "principalId": GUID, "principalType": "User", "scope": GROUP, "condition": "@Resource[x] StringEquals 'y'",
            "conditionVersion": "2.0", "createdOn": "2026-02-03T09:14:07.4420133Z"
        }
    })
}

fn whole_deny() -> Value {
    json!({"properties": {
        "denyAssignmentName": "stack", "scope": GROUP, "doNotApplyToChildScopes": false,
        "permissions": [{"actions": ["*"], "dataActions": ["*"], "notDataActions": ["a"]}],
        "principals": [{"id": GUID, "type": "Group"}], "excludePrincipals": []
    }})
}

fn whole_lock() -> Value {
    json!({"id": format!("{GROUP}/providers/Microsoft.Authorization/locks/keep"), "properties": {"level": "ReadOnly"}})
}

fn whole_metric() -> Value {
    let series = |word: &str, total: f64| {
        json!({
            "metadatavalues": [{"name": {"value": "authentication"}, "value": word},
                               {"name": {"value": "responsetype"}, "value": "Success"}],
            "data": [{"timeStamp": "2026-02-01T00:00:00Z", "total": total}]
        })
    };
    json!({
        "timespan": "2026-02-01T00:00:00Z/2026-02-02T00:00:00Z", "interval": "PT1H",
        "value": [{
            "name": {"value": "Transactions"}, "errorCode": "Success",
            "timeseries": [series("AccountKey", 5.0), series("OAuth", 7.0)]
        }]
    })
}

/// Whether some series of the document is signed with the key and counts a request.
fn shows_key_traffic(body: &Value) -> bool {
    let list = |value: Option<&Value>| value.and_then(Value::as_array).cloned().unwrap_or_default();
    list(at(body, &["value"])).iter().flat_map(|metric| list(at(metric, &["timeseries"]))).any(|series| {
        let signed = list(at(&series, &["metadatavalues"]))
            .iter()
            .any(|dimension| says(at(dimension, &["value"]), "AccountKey"));
        signed
            && list(at(&series, &["data"]))
                .iter()
                .any(|point| at(point, &["total"]).and_then(Value::as_f64) > Some(0.0))
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_spoiled_workspace_is_never_one_on_identity_or_on_no_account(body in spoiled(whole_workspace)) {
        let Ok(found) = workspace::workspace(&Node::root(&body)) else { return Ok(()) };
        let mode = at(&body, &["properties", "systemDatastoresAuthMode"]);
        prop_assert_eq!(found.auth_mode == ObservedAuthMode::Identity, says(mode, "identity"));
        prop_assert_eq!(found.auth_mode == ObservedAuthMode::Unset, says_nothing(mode));
        prop_assert_eq!(found.storage_account.is_none(), says_nothing(at(&body, &["properties", "storageAccount"])));
        prop_assert_eq!(found.hub.is_none(), says_nothing(at(&body, &["properties", "hubResourceId"])));
        prop_assert_eq!(found.identity.system.is_none(), says_nothing(at(&body, &["identity", "principalId"])));
    }

    #[test]
    fn a_spoiled_compute_never_loses_its_type_or_identity(body in spoiled(whole_compute)) {
        let Ok(found) = workspace::compute(&Node::root(&body)) else { return Ok(()) };
        prop_assert!(!says_nothing(at(&body, &["properties", "computeType"])));
        let kind = at(&body, &["identity", "type"]);
        prop_assert!(found.identity.system.is_some() || !says(kind, "SystemAssigned"));
    }

    #[test]
    fn a_spoiled_account_never_has_its_flag_turned(body in spoiled(whole_account)) {
        let Ok(found) = storage::account(&Node::root(&body)) else { return Ok(()) };
        let flag = at(&body, &["properties", "allowSharedKeyAccess"]);
        let off = flag.is_some_and(|flag| flag == &json!(false) || says(Some(flag), "false"));
        prop_assert_eq!(found.shared_key == SharedKeyAccess::Disallowed, off);
        let unset = matches!(found.shared_key, SharedKeyAccess::Absent | SharedKeyAccess::Null);
        prop_assert_eq!(unset, flag.is_none());
    }

    #[test]
    fn a_spoiled_datastore_is_never_keyless_or_nowhere(body in spoiled(whole_datastore)) {
        let Ok(found) = workspace::datastore(&Node::root(&body)) else { return Ok(()) };
        let word = at(&body, &["properties", "credentials", "credentialsType"]);
        prop_assert_eq!(found.credentials == DatastoreCredentials::None, says(word, "none"));
        prop_assert!(found.credentials.may_need_key() || says(word, "none"));
        let kind = at(&body, &["properties", "datastoreType"]);
        prop_assert!(!says_nothing(kind));
        prop_assert!(found.account_name.is_some() || !says(kind, "AzureBlob"));
    }

    #[test]
    fn a_spoiled_assignment_never_loses_its_condition(body in spoiled(whole_assignment)) {
        let Ok(found) = access::role_assignment(&Node::root(&body)) else { return Ok(()) };
        prop_assert_eq!(found.condition.is_none(), says_nothing(at(&body, &["properties", "condition"])));
        prop_assert_eq!(found.created_on.is_none(), says_nothing(at(&body, &["properties", "createdOn"])));
    }

    #[test]
    fn a_spoiled_deny_never_denies_less(body in spoiled(whole_deny)) {
        let Ok(found) = access::deny_assignment(&Node::root(&body)) else { return Ok(()) };
        prop_assert_eq!(Some(found.principals.len()), length(at(&body, &["properties", "principals"])));
        prop_assert_eq!(Some(found.permissions.len()), length(at(&body, &["properties", "permissions"])));
        prop_assert!(at(&body, &["properties", "principals"]).is_some() && at(&body, &["properties", "permissions"]).is_some());
        let exact = at(&body, &["properties", "doNotApplyToChildScopes"]);
        prop_assert_eq!(found.exact_scope_only, exact == Some(&json!(true)) || says(exact, "true"));
    }

    #[test]
    fn a_spoiled_lock_never_allows_more(body in spoiled(whole_lock)) {
        let Ok(found) = access::lock(&Node::root(&body)) else { return Ok(()) };
        prop_assert!(found.level != LockLevel::CanNotDelete);
    }

    #[test]
    fn a_spoiled_metric_never_proves_the_key_idle(body in spoiled(whole_metric)) {
        let question = metrics::Question {
            from: "2026-02-01T00:00:00Z".parse().unwrap(),
            to: "2026-02-02T00:00:00Z".parse().unwrap(),
            grain: std::time::Duration::from_secs(3600),
            top: 500,
        };
        let Ok(usage) = metrics::key_usage(&Node::root(&body), question) else { return Ok(()) };
        let proves_idle = usage.complete && usage.alive && usage.account_key.count + usage.account_key_failed.count == 0;
        prop_assert!(!proves_idle || !shows_key_traffic(&body), "{}", body);
    }
}
