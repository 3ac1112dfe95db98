//! Roles that a principal could activate.

use keyless_core::id::RoleId;
use keyless_core::observed::Eligibility;

use super::node::{Node, Result};

/// One instance of an eligibility schedule.
/// Source: azure-rest-api-specs, authorization `stable/2020-10-01/RoleEligibilityScheduleInstance.json`.
pub(crate) fn eligibility(node: &Node<'_>) -> Result<Eligibility> {
    let properties = node.object("properties")?;
    let role = RoleId::from_definition_id(properties.text("roleDefinitionId")?);
    let expanded = properties.opt_object("expandedProperties")?;
    let definition = match &expanded {
        Some(expanded) => expanded.opt_object("roleDefinition")?,
        None => None,
    };
    let role_name = match &definition {
        Some(definition) => definition.opt_text("displayName")?.map(str::to_owned),
        None => None,
    };
    Ok(Eligibility {
        scope: properties.arm_id("scope")?,
        principal: properties.parse("principalId")?,
        role: role.or_else(|error| properties.fail(error.to_string()))?,
        role_name,
        until: properties.opt_time("endDateTime")?,
    })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    const GUID: &str = "9c1d2f63-4b0a-4d57-8f3e-1a2b3c4d5e6f";

    fn read(change: impl FnOnce(&mut Value)) -> Result<Eligibility> {
        let mut body = json!({"id": "/x", "name": "x", "properties": {
            "scope": "/subscriptions/3f8c1d7a-52b4-4c0e-9d2e-7a1b6c5d4e90", "principalId": GUID, "memberType": "Direct",
            "roleDefinitionId": format!("/subscriptions/x/providers/Microsoft.Authorization/roleDefinitions/{GUID}"),
            "endDateTime": "2027-02-03T09:14:07.4420133Z", "condition": null,
            "expandedProperties": {"roleDefinition": {"displayName": "Storage Blob Data Reader", "type": "BuiltInRole"}},
        }});
        change(&mut body["properties"]);
        eligibility(&Node::root(&body))
    }

    #[test]
    fn an_eligible_role_is_read_with_its_end_and_its_name_where_told() {
        let found = read(|_| {}).unwrap();
        assert_eq!(found.principal.to_string(), GUID);
        assert_eq!(found.role_name.as_deref(), Some("Storage Blob Data Reader"));
        assert_eq!(found.until.unwrap().to_string(), "2027-02-03T09:14:07.4420133Z");
        let bare = read(|properties| {
            properties["endDateTime"] = Value::Null;
            properties["expandedProperties"] = Value::Null;
        })
        .unwrap();
        assert_eq!((bare.role_name, bare.until), (None, None));
    }

    #[test]
    fn what_does_not_say_who_where_and_which_is_an_error() {
        for part in ["scope", "principalId", "roleDefinitionId"] {
            assert!(read(|properties| properties[part] = Value::Null).is_err(), "{part}");
        }
    }
}
