//! Resource ids: compared without regard to case, cut into scopes, and turned into operation templates.
//! Source: Azure/azure-rest-api-specs `.../Microsoft.MachineLearningServices/stable/2024-04-01/examples/Workspace/get.json`,
//! where one id is spelled in two ways.

/// The form in which ids are compared: lower case, single slashes, no trailing slash.
pub(crate) fn key(id: &str) -> String {
    let mut key = String::with_capacity(id.len());
    let absolute = id.starts_with('/');
    for (index, segment) in id.split('/').filter(|segment| !segment.is_empty()).enumerate() {
        if absolute || index > 0 {
            key.push('/');
        }
        key.push_str(segment);
    }
    key.make_ascii_lowercase();
    key
}

/// The scope itself and every prefix of it, longest first, down to the empty root scope.
pub(crate) fn scopes_above(key: &str) -> impl Iterator<Item = &str> {
    std::iter::successors(Some(key), |scope| scope.rfind('/').and_then(|cut| scope.get(..cut)))
}

/// Whether `scope` is `parent` or lies below it.
pub(crate) fn is_within(scope: &str, parent: &str) -> bool {
    scope.strip_prefix(parent).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// What an extension resource (assignment, lock, …) is attached to.
pub(crate) fn extension_scope(key: &str) -> &str {
    key.rfind("/providers/microsoft.authorization/").and_then(|cut| key.get(..cut)).unwrap_or(key)
}

/// The lower-case type that an id's own path names, such as `microsoft.storage/storageaccounts`.
pub(crate) fn type_of(key: &str) -> Option<String> {
    let Some(cut) = key.rfind("/providers/") else {
        return match key.trim_matches('/').split('/').collect::<Vec<_>>().as_slice() {
            ["subscriptions", _] => Some("microsoft.resources/subscriptions".to_owned()),
            ["subscriptions", _, "resourcegroups", _] => Some("microsoft.resources/resourcegroups".to_owned()),
            _ => None,
        };
    };
    let mut segments = key.get(cut..)?.split('/').skip(2);
    let mut kind = segments.next()?.to_owned();
    let mut named = false;
    while let Some(segment) = segments.next() {
        kind.push('/');
        kind.push_str(segment);
        named = segments.next().is_some();
    }
    named.then_some(kind)
}

/// The last segment.
pub(crate) fn name(id: &str) -> &str {
    id.trim_end_matches('/').rsplit('/').next().unwrap_or(id)
}

/// The subscription in a key, if there is one.
pub(crate) fn subscription(key: &str) -> Option<&str> {
    key.strip_prefix("/subscriptions/").and_then(|rest| rest.split('/').next()).filter(|id| !id.is_empty())
}

/// The resource group's own key, if the id lies in one.
pub(crate) fn resource_group(key: &str) -> Option<&str> {
    let start = key.find("/resourcegroups/")? + "/resourcegroups/".len();
    let length = key.get(start..)?.find('/').unwrap_or(key.len() - start);
    key.get(..start + length)
}

const SPELLINGS: &[&str] = &[
    "subscriptions",
    "resourceGroups",
    "providers",
    "locations",
    "Microsoft.Authorization",
    "Microsoft.Insights",
    "Microsoft.MachineLearningServices",
    "Microsoft.ManagedIdentity",
    "Microsoft.Management",
    "Microsoft.ResourceGraph",
    "Microsoft.Resources",
    "Microsoft.Storage",
    "accounts",
    "blobServices",
    "computes",
    "datastores",
    "denyAssignments",
    "deployments",
    "eventtypes",
    "fileServices",
    "jobs",
    "listKeys",
    "listSecrets",
    "listStorageAccountKeys",
    "locks",
    "managementGroups",
    "management",
    "metrics",
    "onlineEndpoints",
    "permissions",
    "policyAssignments",
    "policyDefinitions",
    "policyExemptions",
    "policySetDefinitions",
    "operations",
    "operationStatuses",
    "query",
    "queueServices",
    "regenerateKey",
    "register",
    "resources",
    "resyncKeys",
    "roleAssignments",
    "roleDefinitions",
    "roleEligibilityScheduleInstances",
    "storageAccounts",
    "tableServices",
    "tags",
    "unregister",
    "userAssignedIdentities",
    "values",
    "workspaceOperationsStatus",
    "workspaces",
];

fn spelled(segment: &str) -> &str {
    SPELLINGS.iter().find(|known| known.eq_ignore_ascii_case(segment)).copied().unwrap_or(segment)
}

/// The path with every name replaced by `{}` and every known segment in Azure's spelling, so that equal operations
/// count together; a trailing collection or action such as `/listKeys` stays.
pub(crate) fn operation<S: AsRef<str>>(segments: &[S]) -> String {
    let mut template = String::new();
    let mut segments = segments.iter().map(AsRef::as_ref);
    while let Some(segment) = segments.next() {
        template.push('/');
        template.push_str(spelled(segment));
        let Some(name) = segments.next() else { break };
        template.push('/');
        if segment.eq_ignore_ascii_case("providers") {
            template.push_str(spelled(name));
        } else {
            template.push_str("{}");
        }
    }
    if template.is_empty() { "/".to_owned() } else { template }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ACCOUNT: &str = "/subscriptions/S/resourceGroups/Rg/providers/Microsoft.Storage/storageAccounts/Acc";

    #[test]
    fn ids_compare_without_case_doubled_or_trailing_slashes() {
        assert_eq!(key(&format!("/{ACCOUNT}/")), key(ACCOUNT));
        assert_eq!(key("/"), "");
        assert_eq!(key("ABC"), "abc");
    }

    #[test]
    fn types_follow_from_the_path() {
        let kind = |id: &str| type_of(&key(id));
        assert_eq!(kind(ACCOUNT).as_deref(), Some("microsoft.storage/storageaccounts"));
        assert_eq!(
            kind(&format!("{ACCOUNT}/providers/Microsoft.Authorization/locks/l")).as_deref(),
            Some("microsoft.authorization/locks")
        );
        assert_eq!(kind("/subscriptions/s/providers/Microsoft.Storage/storageAccounts"), None);
        assert_eq!(kind("/subscriptions/s").as_deref(), Some("microsoft.resources/subscriptions"));
    }

    #[test]
    fn scopes_are_walked_up_to_the_root() {
        let key = key(ACCOUNT);
        let above: Vec<_> = scopes_above(&key).collect();
        assert!(above.contains(&"/subscriptions/s/resourcegroups/rg"));
        assert_eq!(above.last(), Some(&""));
        assert!(is_within(&key, "/subscriptions/s"));
        assert!(!is_within("/subscriptions/s2", "/subscriptions/s"));
    }

    #[test]
    fn operations_are_path_templates_that_keep_actions() {
        let template = |path: &str| operation(&path.trim_matches('/').split('/').collect::<Vec<_>>());
        assert_eq!(
            template("/subscriptions/s/resourcegroups/rg/providers/microsoft.storage/storageaccounts/a/listkeys"),
            "/subscriptions/{}/resourceGroups/{}/providers/Microsoft.Storage/storageAccounts/{}/listKeys"
        );
        assert_eq!(
            template("/subscriptions/s/providers/Microsoft.Insights/eventtypes/management/values"),
            "/subscriptions/{}/providers/Microsoft.Insights/eventtypes/{}/values"
        );
        assert_eq!(template("/subscriptions"), "/subscriptions");
    }
}
