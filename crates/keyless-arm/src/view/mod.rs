//! Azure's JSON, read tolerantly into keyless-core's values.
//!
//! Tolerant: spelling of values, null for absent, numbers and booleans as strings, unknown words, extra fields.
//! Strict: what safety rests on. A value that cannot be understood is an error, never a default.

pub(crate) mod access;
pub(crate) mod activity;
pub(crate) mod callers;
pub(crate) mod eligibility;
pub(crate) mod endpoint;
pub(crate) mod metrics;
pub(crate) mod node;
pub(crate) mod policy;
pub(crate) mod storage;
pub(crate) mod workspace;

#[cfg(test)]
mod spoiled;

#[cfg(test)]
mod tests {
    use super::node::Node;
    use super::{access, activity, endpoint, metrics, policy, storage, workspace};
    use proptest::prelude::*;
    use serde_json::{Map, Value};

    /// Field names that the views look at, so that random documents get past the first of them.
    const NAMES: &[&str] = &[
        "id",
        "name",
        "properties",
        "value",
        "kind",
        "identity",
        "principalId",
        "userAssignedIdentities",
        "scope",
        "storageAccount",
        "storageAccounts",
        "systemDatastoresAuthMode",
        "allowSharedKeyAccess",
        "roleDefinitionId",
        "permissions",
        "actions",
        "dataActions",
        "principals",
        "excludePrincipals",
        "level",
        "timeseries",
        "data",
        "total",
        "timeStamp",
        "metadatavalues",
        "errorCode",
        "timespan",
        "interval",
        "credentials",
        "credentialsType",
        "datastoreType",
        "createdOn",
        "condition",
        "subscriptionId",
        "eventName",
        "eventTimestamp",
        "operationName",
        "resourceId",
        "status",
        "caller",
        "claims",
        "httpRequest",
        "requestbody",
        "policies",
        "policyDefinitionId",
        "policyAssignmentId",
        "policyDefinitions",
        "policyRule",
        "if",
        "then",
        "details",
        "operations",
        "parameters",
        "field",
        "equals",
        "allOf",
        "effect",
    ];

    const WORDS: &[&str] = &[
        "",
        "Transactions",
        "Success",
        "Succeeded",
        "EndRequest",
        "Microsoft.Authorization/policies/modify/action",
        "AccountKey",
        "authentication",
        "PT1H",
        "P99999999999D",
        "-PT1H",
        "2026-02-01T00:00:00Z",
        "9999-12-31T23:59:59Z",
        "2026-02-01T00:00:00Z/2026-02-02T00:00:00Z",
        "1e308",
        "-1",
        "NaN",
        "/",
        "//",
        "/subscriptions/3f8c1d7a-52b4-4c0e-9d2e-7a1b6c5d4e90",
        "9c1d2f63-4b0a-4d57-8f3e-1a2b3c4d5e6f",
        "/subscriptions/3f8c1d7a-52b4-4c0e-9d2e-7a1b6c5d4e90/providers/Microsoft.Authorization/locks/x",
    ];

    fn document() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<f64>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            proptest::sample::select(WORDS).prop_map(Value::from),
            ".{0,12}".prop_map(Value::from),
        ];
        leaf.prop_recursive(6, 64, 8, |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                proptest::collection::vec((proptest::sample::select(NAMES), inner), 0..8).prop_map(|members| {
                    let members: Map<String, Value> =
                        members.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
                    Value::from(members)
                }),
            ]
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn no_document_makes_a_view_panic(body in document()) {
            let node = Node::root(&body);
            let question = metrics::Question {
                from: "2026-02-01T00:00:00Z".parse().unwrap(),
                to: "2026-02-02T00:00:00Z".parse().unwrap(),
                grain: std::time::Duration::from_secs(3600),
                top: 500,
            };
            let _ = (workspace::workspace(&node), workspace::compute(&node), workspace::datastore(&node));
            let _ = workspace::stored_datastore(&node).map(|stored| stored.without_credentials());
            let _ = (storage::account(&node), access::role_assignment(&node), access::role_definition(&node));
            let _ = (access::deny_assignment(&node), access::lock(&node), access::identity_principal(&node));
            let _ = (activity::change(&node, |_, _| false), activity::body(&node));
            let _ = (access::subscription(&node), metrics::key_usage(&node, question), endpoint::endpoint(&node));
            let _ = (policy::assignment(&node), policy::exemption(&node), policy::definition(&node));
            let _ = (policy::set(&node), policy::own_right(&node), access::assignment_scope(&node));
            let _ = super::eligibility::eligibility(&node);
            let _ = crate::envelope::of_value(&body);
        }

        #[test]
        fn no_bytes_make_a_reader_of_failures_panic(body in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = crate::envelope::read(&body);
            let _ = crate::redact::body(&body);
        }
    }
}
