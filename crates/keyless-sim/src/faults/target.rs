//! Which requests a rule means: a method and the ending of a path template.

/// The token endpoints, as rules name them.
pub(crate) const ENTRA_TOKEN: &str = "/{}/oauth2/v2.0/token";
/// The older token endpoint.
pub(crate) const ENTRA_V1_TOKEN: &str = "/{}/oauth2/token";
/// App Service's identity endpoint.
pub(crate) const APP_TOKEN: &str = "/msi/token";
/// The identity endpoint of virtual machines.
pub(crate) const MACHINE_TOKEN: &str = "/metadata/identity/oauth2/token";

const SUBSCRIPTION: &str = "/subscriptions/{}";
const GROUP: &str = "/subscriptions/{}/resourceGroups/{}";
const ACCOUNT: &str = "/subscriptions/{}/resourceGroups/{}/providers/Microsoft.Storage/storageAccounts/{}";
const WORKSPACE: &str = "/subscriptions/{}/resourceGroups/{}/providers/Microsoft.MachineLearningServices/workspaces/{}";
const MANAGEMENT_GROUP: &str = "/providers/Microsoft.Management/managementGroups/{}";

/// What is answered below each of these scopes, with the methods.
const BELOW: [(&str, &[(&str, &str)]); 5] = [
    (
        "",
        &[
            ("GET", "/subscriptions"),
            ("POST", ENTRA_TOKEN),
            ("POST", ENTRA_V1_TOKEN),
            ("GET", APP_TOKEN),
            ("GET", MACHINE_TOKEN),
            ("POST", "/providers/Microsoft.ResourceGraph/resources"),
            ("GET", crate::blob::LIST_CONTAINERS),
        ],
    ),
    (
        SUBSCRIPTION,
        &[
            ("GET", ""),
            ("GET", "/resourceGroups"),
            ("GET", "/providers/Microsoft.MachineLearningServices/locations/{}/workspaceOperationsStatus/{}"),
            ("GET", "/providers/Microsoft.Insights/eventtypes/{}/values"),
            ("GET", "/resources"),
            ("GET", "/providers"),
        ],
    ),
    (
        GROUP,
        &[
            ("GET HEAD", ""),
            ("GET", "/resources"),
            ("GET PUT", "/providers/Microsoft.Resources/deployments/{}"),
            ("GET", "/providers/Microsoft.Resources/deployments/{}/operations"),
            ("GET", "/providers/Microsoft.Resources/deployments/{}/operationStatuses/{}"),
            ("GET", "/deployments/{}/operations"),
            ("GET PUT DELETE", "/providers/Microsoft.ContainerRegistry/registries/{}"),
            ("GET PUT DELETE", "/providers/Microsoft.Insights/components/{}"),
            ("GET PUT DELETE", "/providers/Microsoft.KeyVault/vaults/{}"),
            ("GET PUT DELETE", "/providers/Microsoft.OperationalInsights/workspaces/{}"),
            ("GET POST", "/providers/Microsoft.OperationalInsights/workspaces/{}/query"),
        ],
    ),
    (
        ACCOUNT,
        &[
            ("GET HEAD PUT PATCH DELETE", ""),
            ("POST", "/listKeys"),
            ("GET", "/blobServices/{}/providers/Microsoft.Insights/metrics"),
            ("GET", "/fileServices/{}/providers/Microsoft.Insights/metrics"),
            ("GET", "/queueServices/{}/providers/Microsoft.Insights/metrics"),
            ("GET", "/tableServices/{}/providers/Microsoft.Insights/metrics"),
        ],
    ),
    (
        WORKSPACE,
        &[
            ("GET HEAD PUT PATCH DELETE", ""),
            ("GET", "/datastores"),
            ("GET PUT DELETE", "/datastores/{}"),
            ("POST", "/datastores/{}/listSecrets"),
            ("GET", "/computes"),
            ("GET", "/computes/{}"),
            ("POST", "/computes/{}/start"),
            ("POST", "/computes/{}/stop"),
            ("GET", "/jobs"),
            ("GET", "/jobs/{}"),
            ("GET", "/onlineEndpoints"),
            ("GET", "/onlineEndpoints/{}"),
            ("POST", "/resyncKeys"),
            ("POST", "/listKeys"),
            ("POST", "/listStorageAccountKeys"),
        ],
    ),
];

/// What is listed below a subscription and below a group.
const LISTS: [&str; 3] = [
    "/providers/Microsoft.Storage/storageAccounts",
    "/providers/Microsoft.MachineLearningServices/workspaces",
    "/providers/Microsoft.ManagedIdentity/userAssignedIdentities",
];

/// What is answered at every scope.
const EXTENSIONS: [(&str, &str); 16] = [
    ("GET", "/providers/Microsoft.Authorization/roleAssignments"),
    ("GET PUT DELETE", "/providers/Microsoft.Authorization/roleAssignments/{}"),
    ("GET", "/providers/Microsoft.Authorization/roleDefinitions"),
    ("GET", "/providers/Microsoft.Authorization/roleDefinitions/{}"),
    ("GET", "/providers/Microsoft.Authorization/denyAssignments"),
    ("GET", "/providers/Microsoft.Authorization/roleEligibilityScheduleInstances"),
    ("GET", "/providers/Microsoft.Authorization/locks"),
    ("GET PUT DELETE", "/providers/Microsoft.Authorization/locks/{}"),
    ("GET", "/providers/Microsoft.Authorization/policyAssignments"),
    ("GET", "/providers/Microsoft.Authorization/policyAssignments/{}"),
    ("GET", "/providers/Microsoft.Authorization/policyDefinitions/{}"),
    ("GET", "/providers/Microsoft.Authorization/policySetDefinitions/{}"),
    ("GET", "/providers/Microsoft.Authorization/policyExemptions"),
    ("GET", "/providers/Microsoft.Authorization/permissions"),
    ("GET PUT PATCH DELETE", "/providers/Microsoft.Resources/tags/{}"),
    ("GET", "/providers/Microsoft.Insights/metrics"),
];

/// What a request is, as rules see it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Target<'a> {
    pub(crate) method: &'a str,
    pub(crate) template: &'a str,
}

impl Target<'_> {
    pub(crate) fn is_token(&self) -> bool {
        self.template.ends_with("/token")
    }

    pub(crate) fn is_write(&self) -> bool {
        !self.is_token() && matches!(self.method, "PUT" | "PATCH" | "DELETE" | "POST")
    }

    /// Whether the answer has pages.
    pub(crate) fn is_list(&self) -> bool {
        const PAGED: [&str; 15] = [
            "/subscriptions",
            "/resourceGroups",
            "/storageAccounts",
            "/workspaces",
            "/userAssignedIdentities",
            "/datastores",
            "/computes",
            "/jobs",
            "/onlineEndpoints",
            "/roleAssignments",
            "/roleDefinitions",
            "/denyAssignments",
            "/roleEligibilityScheduleInstances",
            "/locks",
            "/eventtypes/{}/values",
        ];
        self.method == "GET" && PAGED.iter().any(|kind| self.template.ends_with(kind))
    }
}

/// `METHOD ENDING`, both optional: `PATCH /…/workspaces/{}`, `token`, `*`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Pattern {
    method: Option<String>,
    ending: String,
}

impl Pattern {
    pub(crate) fn new(method: &str, ending: &str) -> Self {
        let ending = ending.trim().to_ascii_lowercase();
        let ending = ending.trim_start_matches("/…").trim_start_matches('…').trim_start_matches("/...");
        let ending = match ending {
            "*" | "" => String::new(),
            rooted if rooted.starts_with('/') => rooted.to_owned(),
            bare => format!("/{bare}"),
        };
        Self { method: (method != "*").then(|| method.to_ascii_uppercase()), ending }
    }

    pub(crate) fn parse(text: &str) -> Self {
        match text.trim().split_once(char::is_whitespace) {
            Some((method, ending)) => Self::new(method, ending),
            None if METHODS.contains(&text.trim()) => Self::new(text.trim(), ""),
            None => Self::new("*", text),
        }
    }

    pub(crate) fn matches(&self, target: &Target<'_>) -> bool {
        self.method.as_ref().is_none_or(|method| method == target.method) && ends_with(target.template, &self.ending)
    }
}

fn ends_with(template: &str, ending: &str) -> bool {
    let tail = template.len().checked_sub(ending.len()).and_then(|cut| template.get(cut..));
    tail.is_some_and(|tail| tail.eq_ignore_ascii_case(ending))
}

const METHODS: [&str; 6] = ["GET", "HEAD", "PUT", "PATCH", "POST", "DELETE"];

/// Every operation that is simulated: a method and a path template.
pub(crate) fn known() -> Vec<(&'static str, String)> {
    let mut known = Vec::new();
    let mut add = |methods: &'static str, template: &str| {
        known.extend(methods.split(' ').map(|method| (method, template.to_owned())));
    };
    for (scope, below) in BELOW {
        for (methods, rest) in below {
            add(methods, &format!("{scope}{rest}"));
        }
    }
    for namespace in crate::provider::namespaces() {
        add("GET", &format!("{SUBSCRIPTION}/providers/{namespace}"));
        for verb in ["register", "unregister"] {
            add("POST", &format!("{SUBSCRIPTION}/providers/{namespace}/{verb}"));
        }
    }
    for (methods, rest) in [("GET POST", "/datastores"), ("GET PUT DELETE", "/datastores/{}"), ("GET", "/default")] {
        add(methods, &format!("/datastore/{{}}{WORKSPACE}{rest}"));
    }
    for scope in [SUBSCRIPTION, GROUP] {
        for list in LISTS {
            add("GET", &format!("{scope}{list}"));
        }
    }
    add("GET", &format!("{GROUP}/providers/Microsoft.ManagedIdentity/userAssignedIdentities/{{}}"));
    for scope in [MANAGEMENT_GROUP, SUBSCRIPTION, GROUP, ACCOUNT, WORKSPACE] {
        for (methods, rest) in EXTENSIONS {
            add(methods, &format!("{scope}{rest}"));
        }
    }
    known
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_names_a_method_and_an_ending_in_many_ways() {
        let target = Target { method: "PATCH", template: WORKSPACE };
        for text in [
            "PATCH /…/workspaces/{}",
            "patch workspaces/{}",
            "PATCH /.../Workspaces/{}",
            "PATCH",
            "*",
            "* *",
            "/workspaces/{}",
        ] {
            assert!(Pattern::parse(text).matches(&target), "{text}");
        }
        for text in ["GET /workspaces/{}", "PATCH /spaces/{}", "PATCH spaces/{}", "token", "POST"] {
            assert!(!Pattern::parse(text).matches(&target), "{text}");
        }
        assert!(Pattern::parse("token").matches(&Target { method: "GET", template: APP_TOKEN }));
    }

    #[test]
    fn every_known_operation_is_spelled_as_the_request_log_spells_it() {
        for (_, template) in known() {
            if template.ends_with("/token") {
                continue;
            }
            let segments: Vec<&str> = template.split('/').filter(|segment| !segment.is_empty()).collect();
            assert_eq!(crate::arm_id::operation(&segments), template);
        }
    }

    #[tokio::test]
    async fn every_known_operation_is_answered() {
        use crate::{SimOptions, Simulator, World};

        let id = ACCOUNT.replace("{}", "x");
        let (world, _) = World::from_resources([serde_json::json!({"id": id, "properties": {}})]);
        let sim = Simulator::new(world, &SimOptions::default()).unwrap();
        for (method, template) in known() {
            let path = template
                .replace("eventtypes/{}", "eventtypes/management")
                .replace("tags/{}", "tags/default")
                .replace("/datastore/{}/", "/datastore/v1.0/")
                .replace("{}", "x");
            let token = sim.token(crate::CLIENT_OBJECT_ID).reveal().to_owned();
            let request = http::Request::builder()
                .method(method)
                .uri(format!("https://arm.test{path}?api-version=2023-05-01"))
                .header("authorization", format!("Bearer {token}"))
                .body(bytes::Bytes::new())
                .unwrap();
            let response = sim.call(request).await.unwrap();
            let body = String::from_utf8_lossy(response.body()).into_owned();
            for unknown in ["NoRegisteredProviderFound", "InvalidResourceType", "MethodNotAllowed"] {
                assert!(!body.contains(unknown), "{method} {template}: {body}");
            }
        }
    }
}
