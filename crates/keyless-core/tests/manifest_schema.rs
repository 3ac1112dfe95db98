//! The JSON Schemas and the decoder judge alike: whatever changes in the form of a document changes for both.

use keyless_core::manifest::{Kind, SourceFile, load, schema, schema_all};
use serde_json::{Value, json};

/// One document of each kind with every field in it.
fn samples() -> Vec<(Kind, Value)> {
    let group = "/subscriptions/3f8c1d7a-52b4-4c0e-9d2e-7a1b6c5d4e90/resourceGroups/rg/providers";
    let id = "9b1f3c52-7d64-4f0a-8a3e-2c5b6d7e8f90";
    let suspend = json!({"reason": "audit", "until": "2026-12-24T00:00:00Z", "then": "stay"});
    let acceptance = json!({"reason": "agreed", "owner": "ada", "until": "2027-01-31T00:00:00Z"});
    let evidence = json!({"logAnalytics": {"workspace": format!("{group}/Microsoft.OperationalInsights/workspaces/logs")}, "dataProbe": true});
    let access = json!([
        {"principal": {"user": {"objectId": id, "name": "ada"}}, "level": "readWrite", "grantScope": "account"},
        {"principal": {"group": {"objectId": id}}, "level": "readOnly", "scenarios": ["notebooks"]},
        {"principal": {"servicePrincipal": {"objectId": id}}, "level": "readOnly", "grantScope": "resourceGroup"},
        {"principal": {"managedIdentity": format!("{group}/Microsoft.ManagedIdentity/userAssignedIdentities/train")}, "scenarios": ["training"]},
        {"principal": {"compute": "cpu-cluster"}, "scenarios": ["training", "parallelRunStep"],
            "condition": "(@Resource[Microsoft.Storage/storageAccounts/blobServices/containers:name] StringEquals 'raw')"},
        {"principal": {"workspace": "system"}, "level": "readOnly"},
    ]);
    vec![
        (
            Kind::Workspace,
            json!({"apiVersion": "keyless.dev/v1", "kind": "Workspace", "metadata": {"name": "w", "labels": {"team": "a"}}, "spec": {
                "resourceId": format!("{group}/Microsoft.MachineLearningServices/workspaces/fraud"),
                "authMode": "identity", "enforcement": "enforce", "suspend": suspend, "access": access,
                "profiles": ["known"], "serviceGrants": "wait", "drain": "ignore", "acceptOneWay": acceptance, "acceptStaleKeys": acceptance,
                "acceptIncompatible": [{"id": "crossRegionAccount", "reason": "agreed", "owner": "ada", "until": "2027-01-31T00:00:00Z"}],
                "datastores": [
                    {"name": "raw", "credentials": "none", "acceptAccess": acceptance},
                    {"name": "curated", "type": "blob", "account": "stfraud", "subscription": id, "resourceGroup": "rg",
                        "container": "curated", "serviceDataAccess": "workspace"},
                    {"name": "lake", "type": "adlsGen2", "filesystem": "lake"},
                    {"name": "old_lake", "type": "adlsGen1", "store": "lake"},
                    {"name": "notes", "type": "file", "share": "notes"},
                ],
            }}),
        ),
        (
            Kind::Workspace,
            json!({"apiVersion": "keyless.dev/v1", "kind": "Workspace", "metadata": {"name": "w"}, "spec": {
                "resourceId": format!("{group}/Microsoft.MachineLearningServices/workspaces/fraud"),
                "authMode": "identity", "datastores": {"convert": "all"},
                "create": {"location": "westeurope", "kind": "hub", "friendlyName": "Fraud", "publicNetworkAccess": "disabled", "managedNetwork": "disabled",
                    "storageAccount": format!("{group}/Microsoft.Storage/storageAccounts/stfraud"), "keyVault": format!("{group}/Microsoft.KeyVault/vaults/kv"),
                    "applicationInsights": format!("{group}/Microsoft.Insights/components/app"), "containerRegistry": format!("{group}/Microsoft.ContainerRegistry/registries/acr")},
            }}),
        ),
        (
            Kind::Workspace,
            json!({"apiVersion": "keyless.dev/v1", "kind": "Workspace", "metadata": {"name": "w"}, "spec": {
                "resourceId": format!("{group}/Microsoft.MachineLearningServices/workspaces/fraud"),
                "authMode": "identity",
                "create": {"location": "westeurope", "kind": "project", "storageAccount": format!("{group}/Microsoft.Storage/storageAccounts/stfraud"),
                    "hub": format!("{group}/Microsoft.MachineLearningServices/workspaces/hub")},
            }}),
        ),
        (
            Kind::StorageAccount,
            json!({"apiVersion": "keyless.dev/v1", "kind": "StorageAccount", "metadata": {"name": "a"}, "spec": {
                "resourceId": format!("{group}/Microsoft.Storage/storageAccounts/stfraud"),
                "sharedKeyAccess": "unmanaged", "enforcement": "observe", "suspend": suspend, "keyIdle": "30d",
                "acceptSas": acceptance, "acceptUnknownKeyUse": acceptance, "acceptOneWay": acceptance, "evidence": evidence,
            }}),
        ),
        (
            Kind::AccessProfile,
            json!({"apiVersion": "keyless.dev/v1", "kind": "AccessProfile", "metadata": {"name": "p"}, "spec": {"access": access}}),
        ),
        (
            Kind::Fleet,
            json!({"apiVersion": "keyless.dev/v1", "kind": "Fleet", "metadata": {"name": "f"}, "spec": {
                "owner": "ml", "scope": {"subscriptions": [id], "exclude": [group.strip_suffix("/providers")]},
                "defaults": {"enforcement": "observe", "rolePropagation": "15m", "groupPropagation": "24h", "agreeingReads": 2, "keyIdle": "7d",
                    "keyEffect": "2m", "metricsLag": "15m", "lateWrite": "5m", "watch": "24h", "prune": false, "drain": "wait"},
                "changeWindows": [{"days": ["Mon", "Sun"], "from": "09:00", "to": "17:00"}], "guard": {"paused": false, "fight": {"reversals": 3, "within": "24h"}},
                "acceptSas": [{"accounts": [group.strip_suffix("/providers")], "services": ["blob"], "reason": "r", "owner": "o", "until": "2027-01-31T00:00:00Z"}],
                "evidence": evidence,
            }}),
        ),
    ]
}

/// Whether the decoder takes a document, together with the profile that the sample refers to.
fn decoder_accepts(kind: Kind, document: &Value) -> bool {
    let mut files = vec![SourceFile::new("document.json", document.to_string())];
    if kind == Kind::Workspace {
        let mut profile = samples().into_iter().find(|(kind, _)| *kind == Kind::AccessProfile).unwrap().1;
        profile["metadata"]["name"] = json!("known");
        files.push(SourceFile::new("profile.json", profile.to_string()));
    }
    load("desired", &files).is_ok()
}

/// The part of JSON Schema that the schemas use; anything else in them fails the test that comes across it.
fn schema_accepts(root: &Value, schema: &Value, value: &Value) -> bool {
    schema.as_object().unwrap().iter().all(|(keyword, wanted)| match keyword.as_str() {
        "$schema" | "$defs" | "title" | "description" | "examples" => true,
        // No pattern or format fits an empty text; the rest of what they say is content, not form.
        "pattern" | "format" => value.as_str() != Some(""),
        "$ref" => {
            let name = wanted.as_str().unwrap().strip_prefix("#/$defs/").unwrap();
            schema_accepts(root, &root["$defs"][name], value)
        }
        "type" => match wanted.as_str().unwrap() {
            "object" => value.is_object(),
            "array" => value.is_array(),
            "string" => value.is_string(),
            "boolean" => value.is_boolean(),
            "integer" => value.is_i64(),
            other => panic!("type {other}"),
        },
        "enum" => wanted.as_array().unwrap().contains(value),
        "properties" => value.as_object().is_none_or(|object| {
            object.iter().all(|(name, value)| wanted.get(name).is_none_or(|schema| schema_accepts(root, schema, value)))
        }),
        "additionalProperties" => value.as_object().is_none_or(|object| match wanted {
            Value::Bool(false) => object.keys().all(|name| schema["properties"].get(name).is_some()),
            others => object.values().all(|value| schema_accepts(root, others, value)),
        }),
        "required" => value.as_object().is_none_or(|object| {
            wanted.as_array().unwrap().iter().all(|name| object.contains_key(name.as_str().unwrap()))
        }),
        "items" => value.as_array().is_none_or(|items| items.iter().all(|item| schema_accepts(root, wanted, item))),
        "minItems" => value.as_array().is_none_or(|items| items.len() as u64 >= wanted.as_u64().unwrap()),
        "minProperties" => value.as_object().is_none_or(|object| object.len() as u64 >= wanted.as_u64().unwrap()),
        "maxProperties" => value.as_object().is_none_or(|object| object.len() as u64 <= wanted.as_u64().unwrap()),
        "minLength" => value.as_str().is_none_or(|text| text.chars().count() as u64 >= wanted.as_u64().unwrap()),
        "maxLength" => value.as_str().is_none_or(|text| text.chars().count() as u64 <= wanted.as_u64().unwrap()),
        "minimum" => value.as_i64().is_none_or(|number| number >= wanted.as_i64().unwrap()),
        "maximum" => value.as_i64().is_none_or(|number| number <= wanted.as_i64().unwrap()),
        "anyOf" => wanted.as_array().unwrap().iter().any(|schema| schema_accepts(root, schema, value)),
        "oneOf" => wanted.as_array().unwrap().iter().filter(|schema| schema_accepts(root, schema, value)).count() == 1,
        other => panic!("the checker does not know the keyword {other}"),
    })
}

/// The JSON pointers of every value below `value`.
fn pointers(value: &Value, at: &str, found: &mut Vec<String>) {
    let children: Vec<(String, &Value)> = match value {
        Value::Object(object) => object.iter().map(|(name, value)| (name.clone(), value)).collect(),
        Value::Array(items) => items.iter().enumerate().map(|(index, value)| (index.to_string(), value)).collect(),
        _ => Vec::new(),
    };
    for (name, child) in children {
        let pointer = format!("{at}/{name}");
        pointers(child, &pointer, found);
        found.push(pointer);
    }
}

/// Every way to change the form of one value of the document: take it away, misname it, make it something else.
fn mutations(document: &Value) -> Vec<(String, Value)> {
    let mut places = Vec::new();
    pointers(document, "", &mut places);
    let mut mutations = Vec::new();
    for pointer in places {
        for other in [json!(null), json!(7), json!(true), json!([]), json!({}), json!(""), json!(["text"]), json!([{}])]
        {
            let mut changed = document.clone();
            *changed.pointer_mut(&pointer).unwrap() = other.clone();
            mutations.push((format!("{pointer} = {other}"), changed));
        }
        let (parent, name) = pointer.rsplit_once('/').unwrap();
        let mut without = document.clone();
        match without.pointer_mut(parent).unwrap() {
            Value::Object(object) => {
                let value = object.remove(name).unwrap();
                let mut renamed = document.clone();
                let object = renamed.pointer_mut(parent).unwrap().as_object_mut().unwrap();
                object.remove(name);
                object.insert(format!("{name}s"), value);
                mutations.push((format!("{pointer} misnamed"), renamed));
            }
            Value::Array(items) => drop(items.remove(name.parse().unwrap())),
            _ => unreachable!(),
        }
        mutations.push((format!("{pointer} taken away"), without));
    }
    mutations
}

#[test]
fn schema_and_decoder_judge_every_change_of_form_alike() {
    let mut judged = 0;
    for (kind, sample) in samples() {
        let schema = schema(kind);
        assert!(schema_accepts(&schema, &schema, &sample), "the schema of {kind} refuses the sample");
        assert!(decoder_accepts(kind, &sample), "the decoder refuses the sample of {kind}");
        for (what, document) in mutations(&sample) {
            let by_schema = schema_accepts(&schema, &schema, &document);
            let by_decoder = decoder_accepts(kind, &document);
            // Two texts are in a list of form-free texts where only their content is wrong.
            let content_only = what.ends_with("= [\"text\"]");
            assert!(
                by_schema == by_decoder || (content_only && by_schema),
                "{kind} {what}: schema {by_schema}, decoder {by_decoder}"
            );
            judged += 1;
        }
    }
    assert!(judged > 1000, "only {judged} documents were judged");
}

#[test]
fn the_schema_of_all_kinds_takes_what_exactly_one_kind_takes() {
    let all = schema_all();
    for (kind, sample) in samples() {
        assert!(schema_accepts(&all, &all, &sample), "{kind}");
        let mut wrong = sample.clone();
        wrong["kind"] = json!("Deployment");
        assert!(!schema_accepts(&all, &all, &wrong), "{kind}");
    }
}

#[test]
fn what_several_kinds_say_is_defined_once() {
    let definitions = &schema_all()["$defs"];
    for name in ["Acceptance", "AccessEntry", "Duration", "Name"] {
        assert!(definitions[name].is_object(), "{name}");
    }
}

#[test]
fn every_field_is_described_for_editors() {
    fn walk(value: &Value, at: &str) {
        if let Some(properties) = value.get("properties").and_then(Value::as_object) {
            for (name, schema) in properties {
                let text = schema.get("description").and_then(Value::as_str).unwrap_or_default();
                assert!(text.ends_with('.') || text.ends_with('}'), "{at}/{name}: {text:?}");
            }
        }
        if let Some(object) = value.as_object() {
            object.iter().for_each(|(name, value)| walk(value, &format!("{at}/{name}")));
        }
    }
    walk(&schema_all(), "");
    for kind in Kind::ALL {
        assert_eq!(schema(kind)["$schema"], "https://json-schema.org/draft/2020-12/schema");
        walk(&schema(kind), kind.word());
    }
}

#[test]
fn the_files_with_errors_that_a_schema_can_see_are_refused_by_it() {
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/desired-errors/");
    let all = schema_all();
    let seen = [
        "unknown-field.yaml",
        "wrong-type.yaml",
        "missing-field.yaml",
        "unknown-word.yaml",
        "unknown-scenario.yaml",
        "service-scenario.yaml",
        "two-principals-in-one.yaml",
        "nothing-asked.yaml",
        "acceptance-without-owner.yaml",
        "accesskey-with-disabled-key.yaml",
        "create-contradicts-itself.yaml",
        "not-a-mapping.yaml",
        "wrong-kind.yaml",
        "not-offered-yet.json",
        "logs-of-no-workspace.yaml",
        "probe-of-no-account.yaml",
        "too-few-reversals.json",
        "too-many-reads.yaml",
    ];
    for file in seen {
        let text = std::fs::read_to_string(format!("{root}{file}")).unwrap();
        let first = text.split("\n---\n").next().unwrap();
        let document: Value = serde_saphyr::from_str(first).unwrap();
        assert!(!schema_accepts(&all, &all, &document), "{file}");
    }
}
