//! Online endpoints, as the list of a subscription's resources shows them.

use keyless_core::id::{ArmId, WorkspaceId};
use keyless_core::observed::Endpoint;

use super::node::{Node, Result};

/// One endpoint. An identity that is said to be there and is not told may lack its grant unseen, so it is an error.
///
/// Sources: azure-mgmt-resource 26.0.0 `GenericResourceExpanded`; azure-rest-api-specs `onlineEndpoints`, `identity`.
pub(crate) fn endpoint(node: &Node<'_>) -> Result<Endpoint> {
    let id: ArmId = node.parse("id")?;
    let text = id.as_str();
    let end = id.folded().rfind("/onlineendpoints/").and_then(|end| text.get(..end));
    let Some(Ok(workspace)) = end.map(WorkspaceId::parse) else {
        return node.fail("`id` is not that of an online endpoint of a workspace");
    };
    let identity = super::workspace::identity(node)?;
    if let Some(block) = node.opt_object("identity")? {
        let kind = block.opt_text("type")?.unwrap_or_default().to_ascii_lowercase();
        if identity.system.is_none() && kind.contains("systemassigned") {
            return block.fail("it is system-assigned and `principalId` is missing");
        }
    }
    Ok(Endpoint { workspace, name: id.name().to_owned(), identity })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    const WORKSPACE: &str = "/subscriptions/3f8c1d7a-52b4-4c0e-9d2e-7a1b6c5d4e90/resourceGroups/rg/providers/\
                             Microsoft.MachineLearningServices/workspaces/mlw";

    fn read(id: &str, identity: Value) -> Result<Endpoint> {
        endpoint(&Node::root(&json!({"id": id, "location": "westeurope", "identity": identity})))
    }

    #[test]
    fn an_endpoint_belongs_to_the_workspace_in_its_id() {
        let principal = "9c1d2f63-4b0a-4d57-8f3e-1a2b3c4d5e6f";
        let identity = json!({"type": "SystemAssigned", "principalId": principal});
        let found = read(&format!("{WORKSPACE}/OnlineEndpoints/score"), identity).unwrap();
        assert_eq!(found.workspace.as_str(), WORKSPACE);
        assert_eq!(found.name, "score");
        assert_eq!(found.identity.system, Some(principal.parse().unwrap()));
        assert_eq!(read(&format!("{WORKSPACE}/onlineEndpoints/score"), Value::Null).unwrap().identity.system, None);
        let id = "/subscriptions/3f8c1d7a-52b4-4c0e-9d2e-7a1b6c5d4e90/resourceGroups/rg/providers/\
                  Microsoft.ManagedIdentity/userAssignedIdentities/score";
        let given = json!({"type": "UserAssigned", "userAssignedIdentities": {id: {"principalId": principal}}});
        let found = read(&format!("{WORKSPACE}/onlineEndpoints/score"), given).unwrap();
        assert_eq!(found.identity.user_assigned, [(id.parse().unwrap(), Some(principal.parse().unwrap()))].into());
    }

    #[test]
    fn what_is_no_endpoint_or_hides_its_identity_is_an_error() {
        assert!(read(WORKSPACE, Value::Null).is_err());
        assert!(read("/subscriptions/3f8c1d7a-52b4-4c0e-9d2e-7a1b6c5d4e90/onlineEndpoints/x", Value::Null).is_err());
        let hidden = json!({"type": "SystemAssigned"});
        assert!(read(&format!("{WORKSPACE}/onlineEndpoints/score"), hidden).is_err());
    }
}
