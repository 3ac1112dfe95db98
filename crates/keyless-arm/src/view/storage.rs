//! Storage accounts.

use keyless_core::observed::{Account, KeyTimes, SharedKeyAccess};

use super::node::{Node, Result};

/// One account.
pub(crate) fn account(node: &Node<'_>) -> Result<Account> {
    let properties = node.object("properties")?;
    let shared_key = match properties.opt_bool("allowSharedKeyAccess")? {
        Some(true) => SharedKeyAccess::Allowed,
        Some(false) => SharedKeyAccess::Disallowed,
        None if properties.has("allowSharedKeyAccess") => SharedKeyAccess::Null,
        None => SharedKeyAccess::Absent,
    };
    Ok(Account {
        id: node.parse("id")?,
        shared_key,
        key_times: key_times(&properties),
        location: node.opt_text("location")?.unwrap_or_default().to_owned(),
    })
}

/// What cannot be understood is not told, which callers must take for "made just now".
fn key_times(properties: &Node<'_>) -> KeyTimes {
    let Ok(Some(times)) = properties.opt_object("keyCreationTime") else { return KeyTimes::default() };
    let time = |name| times.opt_time(name).ok().flatten();
    KeyTimes { key1: time("key1"), key2: time("key2") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const ID: &str = "/subscriptions/3f8c1d7a-52b4-4c0e-9d2e-7a1b6c5d4e90/resourceGroups/rg/providers/Microsoft.Storage/storageAccounts/stmlprod";

    #[test]
    fn absent_null_true_and_false_are_kept_apart() {
        let check = |properties: serde_json::Value, expected| {
            let body = json!({"id": ID, "location": "westeurope", "properties": properties});
            assert_eq!(account(&Node::root(&body)).unwrap().shared_key, expected);
        };
        check(json!({}), SharedKeyAccess::Absent);
        check(json!({"allowSharedKeyAccess": null}), SharedKeyAccess::Null);
        check(json!({"allowSharedKeyAccess": true}), SharedKeyAccess::Allowed);
        check(json!({"allowSharedKeyAccess": "False"}), SharedKeyAccess::Disallowed);
    }

    #[test]
    fn closed_enums_of_the_model_do_not_break_the_read() {
        let body = json!({
            "id": ID, "properties": {"provisioningState": "Brandnew", "accessTier": "Frozen", "creationTime": "??"},
            "sku": {"tier": 5}, "kind": "StorageV9"
        });
        assert_eq!(account(&Node::root(&body)).unwrap().shared_key, SharedKeyAccess::Absent);
    }

    #[test]
    fn a_flag_that_is_no_flag_is_an_error() {
        for body in [
            json!({"id": ID, "properties": {"allowSharedKeyAccess": "perhaps"}}),
            json!({"id": ID}),
            json!({"id": "/x", "properties": {}}),
            json!([]),
        ] {
            assert!(account(&Node::root(&body)).is_err(), "{body}");
        }
    }

    #[test]
    fn when_keys_were_made_is_told_or_unknown_and_never_spoils_the_read() {
        let read = |times: serde_json::Value| {
            let body = json!({"id": ID, "properties": {"keyCreationTime": times}});
            account(&Node::root(&body)).unwrap().key_times
        };
        let told = read(json!({"key1": "2024-06-03T08:10:02.6Z", "key2": "2026-01-01T00:00:00.0000000+00:00"}));
        assert_eq!(told.newest(), Some("2026-01-01T00:00:00Z".parse().unwrap()));
        for odd in [json!(null), json!([]), json!({}), json!({"key1": "2024-06-03T08:10:02Z", "key2": null})] {
            assert_eq!(read(odd.clone()).newest(), None, "{odd}");
        }
        assert_eq!(read(json!({"key1": "soon", "key2": 5})), KeyTimes::default());
    }
}
