//! Role assignments, role definitions, deny assignments, locks and the principals behind identities.

use std::collections::BTreeSet;

use keyless_core::condition;
use keyless_core::id::{ArmId, PrincipalId, RoleId, SubscriptionId};
use keyless_core::observed::{
    DeniedPrincipal, DenyAssignment, Lock, LockLevel, Permission, PrincipalType, RoleAssignment, RoleDefinition,
};
use uuid::Uuid;

use super::node::{Node, Result};

/// One role assignment.
pub(crate) fn role_assignment(node: &Node<'_>) -> Result<RoleAssignment> {
    let properties = node.object("properties")?;
    let role = RoleId::from_definition_id(properties.text("roleDefinitionId")?);
    Ok(RoleAssignment {
        id: node.arm_id("id")?,
        name: node.parse("name")?,
        scope: properties.arm_id("scope")?,
        principal: properties.parse("principalId")?,
        principal_type: properties.opt_text("principalType")?.and_then(PrincipalType::from_wire),
        role: role.or_else(|error| properties.fail(error.to_string()))?,
        // As the files have it, who writes it on several lines.
        condition: properties.opt_text("condition")?.map(condition::folded),
        description: properties.opt_text("description")?.map(str::to_owned),
        created_on: properties.opt_time("createdOn")?,
        updated_on: properties.opt_time("updatedOn")?,
    })
}

/// One role definition.
pub(crate) fn role_definition(node: &Node<'_>) -> Result<RoleDefinition> {
    let properties = node.object("properties")?;
    let id = RoleId::from_definition_id(node.text("id")?);
    let kind = properties.opt_text("type")?.unwrap_or_default();
    Ok(RoleDefinition {
        id: id.or_else(|error| node.fail(error.to_string()))?,
        name: properties.opt_text("roleName")?.unwrap_or_default().to_owned(),
        permissions: permissions(&properties)?,
        updated_on: properties.opt_time("updatedOn")?,
        built_in: kind.eq_ignore_ascii_case("BuiltInRole"),
    })
}

fn permissions(properties: &Node<'_>) -> Result<Vec<Permission>> {
    properties.items("permissions")?.iter().map(permission).collect()
}

pub(crate) fn permission(node: &Node<'_>) -> Result<Permission> {
    Ok(Permission {
        actions: node.texts("actions")?,
        not_actions: node.texts("notActions")?,
        data_actions: node.texts("dataActions")?,
        not_data_actions: node.texts("notDataActions")?,
    })
}

/// One deny assignment.
pub(crate) fn deny_assignment(node: &Node<'_>) -> Result<DenyAssignment> {
    let properties = node.object("properties")?;
    // Without these a deny would read as one that denies nothing or nobody.
    properties.required("permissions")?;
    properties.required("principals")?;
    let blocks = properties.items("permissions")?;
    let mut conditional = properties.opt_text("condition")?.is_some();
    for block in &blocks {
        conditional |= block.opt_text("condition")?.is_some();
    }
    let excluded =
        properties.items("excludePrincipals")?.iter().map(|node| node.parse("id")).collect::<Result<BTreeSet<_>>>()?;
    Ok(DenyAssignment {
        name: properties.opt_text("denyAssignmentName")?.unwrap_or_default().to_owned(),
        scope: properties.arm_id("scope")?,
        permissions: blocks.iter().map(permission).collect::<Result<_>>()?,
        exact_scope_only: properties.opt_bool("doNotApplyToChildScopes")?.unwrap_or(false),
        principals: properties.items("principals")?.iter().map(denied).collect::<Result<_>>()?,
        excluded,
        conditional,
    })
}

fn denied(node: &Node<'_>) -> Result<DeniedPrincipal> {
    let id: PrincipalId = node.parse("id")?;
    let kind = node.opt_text("type")?.unwrap_or_default().to_ascii_lowercase();
    Ok(match kind.as_str() {
        _ if id == PrincipalId::default() => DeniedPrincipal::Everyone,
        "systemdefined" => DeniedPrincipal::Everyone,
        "user" | "serviceprincipal" | "device" => DeniedPrincipal::One(id),
        // A type that is not told or not known may hold anybody.
        _ => DeniedPrincipal::Group(id),
    })
}

/// One lock. Where it was put shows only in its id.
pub(crate) fn lock(node: &Node<'_>) -> Result<Lock> {
    const SUFFIX: &str = "/providers/microsoft.authorization/locks/";
    let id = node.arm_id("id")?;
    let Some(at) = id.folded().rfind(SUFFIX) else { return node.fail("`id` is not the id of a lock") };
    let scope = id.as_str().get(..at).filter(|scope| !scope.is_empty()).unwrap_or("/");
    let scope = ArmId::parse(scope).or_else(|error| node.fail(error.to_string()))?;
    let level = node.object("properties")?.opt_text("level")?;
    let level = match level.map(str::to_ascii_lowercase).as_deref() {
        Some("cannotdelete") => LockLevel::CanNotDelete,
        Some("readonly") => LockLevel::ReadOnly,
        _ => LockLevel::Other(level.unwrap_or("not told").to_owned()),
    };
    Ok(Lock { id, scope, level })
}

/// The object id of a user-assigned identity.
pub(crate) fn identity_principal(node: &Node<'_>) -> Result<PrincipalId> {
    node.object("properties")?.parse("principalId")
}

/// Where a role assignment was made.
pub(crate) fn assignment_scope(node: &Node<'_>) -> Result<ArmId> {
    node.object("properties")?.arm_id("scope")
}

/// The tenant of a subscription: of one that was delegated to another tenant still its own.
///
/// Source: azure-rest-api-specs `resources/resource-manager/Microsoft.Resources/subscriptions` (`tenantId`, beside
/// `managedByTenants`); that it stays its own is how <https://learn.microsoft.com/cli/azure/account> explains `homeTenantId`,
/// and is shown by no recording.
pub(crate) fn tenant(node: &Node<'_>) -> Result<Uuid> {
    node.parse("tenantId")
}

/// One subscription.
pub(crate) fn subscription(node: &Node<'_>) -> Result<SubscriptionId> {
    node.parse("subscriptionId")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    const GUID: &str = "9c1d2f63-4b0a-4d57-8f3e-1a2b3c4d5e6f";
    const GROUP: &str = "/subscriptions/3f8c1d7a-52b4-4c0e-9d2e-7a1b6c5d4e90/resourceGroups/rg";

    fn assignment(change: impl FnOnce(&mut Value)) -> Result<RoleAssignment> {
        let mut body = json!({
            "id": format!("/providers/Microsoft.Authorization/roleAssignments/{GUID}"), "name": GUID,
            "properties": {
                "roleDefinitionId": format!("/subscriptions/x/providers/Microsoft.Authorization/roleDefinitions/{GUID}"),
                "principalId": GUID, "principalType": "serviceprincipal", "scope": "/",
                "condition": null, "createdOn": "2026-02-03T09:14:07.4420133Z", "createdBy": "",
                "updatedOn": "2026-03-04T10:15:08.5Z", "description": "by hand"
            }
        });
        change(&mut body["properties"]);
        role_assignment(&Node::root(&body))
    }

    #[test]
    fn an_assignment_at_the_root_is_read() {
        let found = assignment(|_| {}).unwrap();
        assert_eq!(found.scope.as_str(), "/");
        assert_eq!(found.principal_type, Some(PrincipalType::ServicePrincipal));
        assert_eq!(found.condition, None);
        let on_lines =
            assignment(|properties| properties["condition"] = json!("(\n  @Resource[x]  StringEquals 'a  b'\n)"));
        assert_eq!(on_lines.unwrap().condition.as_deref(), Some("( @Resource[x] StringEquals 'a  b' )"));
        let time = |text: &str| Some(text.parse().unwrap());
        assert_eq!(found.created_on, time("2026-02-03T09:14:07.4420133Z"));
        assert_eq!(found.updated_on, time("2026-03-04T10:15:08.5Z"));
        assert_eq!(found.description.as_deref(), Some("by hand"));
        let without_type = assignment(|properties| properties["principalType"] = Value::Null).unwrap();
        assert_eq!(without_type.principal_type, None);
    }

    #[test]
    fn a_role_definition_tells_what_it_gives_and_since_when() {
        let kinds = ["Microsoft.Storage/a", "Microsoft.Storage/b", "Microsoft.Storage/c", "Microsoft.Storage/d"];
        let [actions, not_actions, data_actions, not_data_actions] = kinds.map(|action| vec![action.to_owned()]);
        let body = json!({
            "id": format!("{GROUP}/providers/Microsoft.Authorization/roleDefinitions/{GUID}"),
            "properties": {
                "roleName": "Reads", "type": "builtinrole", "updatedOn": "2026-03-04T10:15:08Z",
                "permissions": [{
                    "actions": actions, "notActions": not_actions,
                    "dataActions": data_actions, "notDataActions": not_data_actions
                }]
            }
        });
        let found = role_definition(&Node::root(&body)).unwrap();
        assert_eq!((found.name.as_str(), found.built_in), ("Reads", true));
        assert_eq!(found.updated_on, Some("2026-03-04T10:15:08Z".parse().unwrap()));
        assert_eq!(found.permissions, [Permission { actions, not_actions, data_actions, not_data_actions }]);
    }

    #[test]
    fn an_assignment_that_cannot_be_understood_is_an_error() {
        for (field, value) in [
            ("scope", Value::Null),
            ("principalId", json!("nobody")),
            ("roleDefinitionId", json!("/x/reader")),
            ("createdOn", json!("yesterday")),
            ("condition", json!(5)),
        ] {
            assert!(assignment(|properties| properties[field] = value).is_err(), "{field}");
        }
    }

    #[test]
    fn a_denied_principal_of_an_unknown_type_may_be_anybody() {
        let body = json!({"properties": {
            "denyAssignmentName": "stack", "scope": GROUP, "doNotApplyToChildScopes": "false",
            "permissions": [{"actions": [], "dataActions": ["*"], "condition": null}],
            "principals": [
                {"id": "00000000-0000-0000-0000-000000000000", "type": "SystemDefined"},
                {"id": GUID, "type": "Brandnew"}, {"id": GUID, "type": "User"}
            ],
            "excludePrincipals": [{"id": GUID, "type": "Group"}]
        }});
        let found = deny_assignment(&Node::root(&body)).unwrap();
        let guid: PrincipalId = GUID.parse().unwrap();
        assert_eq!(
            found.principals,
            [DeniedPrincipal::Everyone, DeniedPrincipal::Group(guid), DeniedPrincipal::One(guid)]
        );
        assert!(!found.conditional && !found.exact_scope_only && found.excluded.contains(&guid));
    }

    #[test]
    fn a_deny_that_does_not_say_what_or_whom_is_an_error() {
        let whole = json!({"properties": {"scope": GROUP, "permissions": [], "principals": []}});
        assert!(deny_assignment(&Node::root(&whole)).is_ok());
        for part in ["scope", "permissions", "principals"] {
            let mut body = whole.clone();
            body["properties"][part] = Value::Null;
            assert!(deny_assignment(&Node::root(&body)).is_err(), "{part}");
        }
    }

    #[test]
    fn a_lock_shows_its_scope_in_its_id() {
        let read = |id: String, level: Value| {
            let body = json!({"id": id, "properties": {"level": level, "notes": ""}});
            lock(&Node::root(&body))
        };
        let found = read(format!("{GROUP}/providers/Microsoft.Authorization/locks/keep"), json!("readonly")).unwrap();
        assert_eq!((found.scope.as_str(), found.level), (GROUP, LockLevel::ReadOnly));
        let found = read(
            format!(
                "{GROUP}/providers/Microsoft.Storage//storageAccounts/stml/providers/Microsoft.Authorization/locks/a"
            ),
            json!("Brandnew"),
        )
        .unwrap();
        assert_eq!(found.scope.name(), "stml");
        assert_eq!(found.level, LockLevel::Other("Brandnew".to_owned()));
        assert!(read(GROUP.to_owned(), json!("ReadOnly")).is_err());
    }
}
