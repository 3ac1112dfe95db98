//! From a path to the operation that answers it.

use http::Method;

use crate::azure::Azure;
use crate::request::{Answer, Call, Reply};
use crate::world::{
    ACCOUNT, COMPUTE, DENY, ENDPOINT, EXEMPTION, IDENTITY, JOB, LOCK, POLICY, POLICY_DEFINITION, POLICY_SET, WORKSPACE,
};

const ML: &str = "microsoft.machinelearningservices";
const STORAGE: &str = "microsoft.storage";

impl Azure {
    /// The operation behind a path, or ARM's refusal of one it does not know.
    pub(crate) fn route(&mut self, caller: &str, call: &Call) -> Reply {
        let lower: Vec<String> = call.segments.iter().map(|segment| segment.to_ascii_lowercase()).collect();
        let lower: Vec<&str> = lower.iter().map(String::as_str).collect();
        let extension = lower.iter().rposition(|segment| *segment == "providers").and_then(|cut| {
            let (scope, rest) = lower.split_at_checked(cut)?;
            let written = call.segments.get(..cut)?;
            let rest = rest.get(1..)?;
            let own = matches!(
                rest,
                ["microsoft.authorization" | "microsoft.insights", _, ..] | ["microsoft.resources", "tags", ..]
            );
            (own && !matches!(rest, [_, "register" | "unregister"]))
                .then(|| (scope.join("/"), written.join("/"), rest.to_vec()))
        });
        self.registered(call)?;
        if let Some((scope, written, rest)) = extension {
            let rooted = |path: String| if path.is_empty() { path } else { format!("/{path}") };
            return self.extension(caller, call, &rooted(scope), &rooted(written), &rest);
        }
        let key = call.key();
        let group = matches!(lower.as_slice(), ["subscriptions", _, "resourcegroups", _]);
        if call.method == Method::HEAD && !group {
            return self.existence(caller, call);
        }
        match (&call.method, lower.as_slice()) {
            (&Method::GET, ["subscriptions"]) => self.list_subscriptions(caller, call),
            (&Method::GET, ["subscriptions", subscription]) => self.get_subscription(caller, call, subscription),
            (&Method::GET, ["subscriptions", _, "resourcegroups"]) => self.list_groups(caller, call),
            (&Method::GET | &Method::HEAD, ["subscriptions", _, "resourcegroups", _]) => self.get_group(caller, call),
            (
                &Method::GET,
                ["subscriptions", _, "resources"] | ["subscriptions", _, "resourcegroups", _, "resources"],
            ) => self.list_resources(caller, call),
            (&Method::POST, ["providers", "microsoft.resourcegraph", "resources"]) => {
                self.query_resources(caller, call)
            }
            (&Method::GET, ["subscriptions", subscription, "providers"]) => {
                self.list_providers(caller, call, subscription)
            }
            (&Method::GET, ["subscriptions", subscription, "providers", namespace]) => {
                self.get_provider(caller, subscription, namespace)
            }
            (&Method::POST, ["subscriptions", _, "providers", namespace, verb @ ("register" | "unregister")]) => {
                self.register_provider(caller, call, namespace, verb)
            }
            (&Method::GET, ["subscriptions", _, "providers", ML, "locations", _, "workspaceoperationsstatus", id]) => {
                self.poll(call, id)
            }
            (
                method,
                ["subscriptions", _, "providers", STORAGE, "storageaccounts"]
                | ["subscriptions", _, "resourcegroups", _, "providers", STORAGE, "storageaccounts"],
            ) if method == Method::GET => self.list(caller, call, ACCOUNT, "Microsoft.Storage/storageAccounts/read"),
            (method, ["subscriptions", _, "resourcegroups", _, "providers", STORAGE, "storageaccounts", _]) => {
                match *method {
                    Method::GET => self.get_account(caller, call, &key),
                    Method::PATCH => self.patch_account(caller, call, &key),
                    Method::PUT => self.put_account(caller, call, &key),
                    Method::DELETE => self.delete_account(caller, call, &key),
                    _ => Err(not_allowed(call)),
                }
            }
            (
                &Method::POST,
                ["subscriptions", _, "resourcegroups", _, "providers", STORAGE, "storageaccounts", _, "listkeys"],
            ) => self.list_account_keys(caller, call),
            (
                &Method::GET,
                ["subscriptions", _, "providers", ML, "workspaces"]
                | ["subscriptions", _, "resourcegroups", _, "providers", ML, "workspaces"],
            ) => self.list(caller, call, WORKSPACE, "Microsoft.MachineLearningServices/workspaces/read"),
            (method, ["subscriptions", _, "resourcegroups", _, "providers", ML, "workspaces", _]) => match *method {
                Method::GET => self.get_workspace(caller, call, &key),
                Method::PATCH => self.patch_workspace(caller, call, &key),
                Method::PUT => self.put_workspace(caller, call, &key),
                Method::DELETE => self.delete_workspace(caller, call, &key),
                _ => Err(not_allowed(call)),
            },
            (method, ["subscriptions", _, "resourcegroups", _, "providers", ML, "workspaces", name, below @ ..]) => {
                let workspace = key.get(..key.len() - below.iter().map(|segment| segment.len() + 1).sum::<usize>());
                let workspace = workspace.unwrap_or_default().to_owned();
                self.below_workspace(caller, call, method, &workspace, name, below)
            }
            (
                method,
                ["subscriptions", _, "resourcegroups", _, "providers", "microsoft.resources", "deployments", rest @ ..],
            ) => self.deployments(caller, call, method, rest),
            // The one path that azure-ai-ml 1.35.2 builds by itself (`_arm_deployments/arm_helper.py`).
            (&Method::GET, ["subscriptions", _, "resourcegroups", _, "deployments", name, "operations"]) => {
                self.deployments(caller, call, &Method::GET, &[name, "operations"])
            }
            (
                &Method::GET,
                [
                    "subscriptions",
                    _,
                    "resourcegroups",
                    _,
                    "providers",
                    "microsoft.managedidentity",
                    "userassignedidentities",
                    _,
                ],
            ) => self.get_plain(caller, call, IDENTITY, "Microsoft.ManagedIdentity/userAssignedIdentities/read"),
            (
                &Method::GET,
                ["subscriptions", _, "providers", "microsoft.managedidentity", "userassignedidentities"]
                | [
                    "subscriptions",
                    _,
                    "resourcegroups",
                    _,
                    "providers",
                    "microsoft.managedidentity",
                    "userassignedidentities",
                ],
            ) => self.list(caller, call, IDENTITY, "Microsoft.ManagedIdentity/userAssignedIdentities/read"),
            (
                &Method::GET | &Method::POST,
                [
                    "subscriptions",
                    _,
                    "resourcegroups",
                    _,
                    "providers",
                    "microsoft.operationalinsights",
                    "workspaces",
                    _,
                    "query",
                ],
            ) => self.query_logs(caller, call),
            (_, ["subscriptions", _, "resourcegroups", _, "providers", namespace, kind, _]) => {
                match crate::plain::known(namespace, kind) {
                    Some(kind) => self.plain(caller, call, kind),
                    None => Err(unknown(call)),
                }
            }
            _ => Err(unknown(call)),
        }
    }

    fn deployments(&mut self, caller: &str, call: &Call, method: &Method, rest: &[&str]) -> Reply {
        let group = call.segments.iter().take(4).map(String::as_str).collect::<Vec<_>>().join("/");
        let name = rest.first().copied().unwrap_or_default();
        let key = crate::arm_id::key(&format!("/{group}/providers/Microsoft.Resources/deployments/{name}"));
        match (method, rest) {
            (&Method::PUT, [_]) => self.put_deployment(caller, call),
            (&Method::GET, [_]) => self.get_deployment(caller, &key),
            (&Method::GET, [_, "operations"]) => self.list_deployment_operations(caller, call, &key),
            (&Method::GET, [_, "operationstatuses", id]) => self.poll_deployment(&key, id),
            _ => Err(unknown(call)),
        }
    }

    /// HEAD of a resource: 204 where a GET finds it, and the same refusals without their bodies.
    /// Source: azure-mgmt-resource 26.0.0, `ResourcesOperations.check_existence_by_id`.
    fn existence(&mut self, caller: &str, call: &Call) -> Reply {
        let reading = Call { method: Method::GET, ..call.clone() };
        match self.route(caller, &reading) {
            Ok(_) => Ok(Answer::empty(204)),
            Err(refused) => Err(Answer { body: None, ..refused }),
        }
    }

    fn below_workspace(
        &mut self,
        caller: &str,
        call: &Call,
        method: &Method,
        workspace: &str,
        name: &str,
        below: &[&str],
    ) -> Reply {
        let action = |tail: &str| format!("Microsoft.MachineLearningServices/workspaces/{tail}");
        match (method, below) {
            (&Method::GET, ["datastores"]) => self.list_datastores(caller, call, workspace),
            (&Method::GET, ["datastores", store]) => self.get_datastore(caller, call, workspace, store),
            (&Method::PUT, ["datastores", store]) => self.put_datastore(caller, call, workspace, store),
            (&Method::DELETE, ["datastores", store]) => self.delete_datastore(caller, call, workspace, store),
            // That the whole list is refused, as the single entry is, and not left empty, is a design decision.
            (&Method::GET, ["computes"]) => {
                self.authorize(caller, &action("computes/read"), workspace)?;
                self.existing_workspace(workspace, name)?;
                self.list(caller, call, COMPUTE, &action("computes/read"))
            }
            (&Method::GET, ["computes", _]) => self.get_plain(caller, call, COMPUTE, &action("computes/read")),
            (&Method::POST, ["computes", _, verb @ ("start" | "stop")]) => {
                let compute = call.key().rsplit_once('/').map(|(compute, _)| compute.to_owned()).unwrap_or_default();
                self.run_instance(caller, call, &compute, *verb == "start")
            }
            (&Method::GET, ["jobs"]) => {
                self.existing_workspace(workspace, name)?;
                self.list_jobs(caller, call, workspace)
            }
            (&Method::GET, ["jobs", _]) => self.get_plain(caller, call, JOB, &action("jobs/read")),
            (&Method::GET, ["onlineendpoints"]) => {
                self.authorize(caller, &action("onlineEndpoints/read"), workspace)?;
                self.existing_workspace(workspace, name)?;
                self.list(caller, call, ENDPOINT, &action("onlineEndpoints/read"))
            }
            (&Method::GET, ["onlineendpoints", _]) => {
                self.get_plain(caller, call, ENDPOINT, &action("onlineEndpoints/read"))
            }
            (&Method::POST, ["resynckeys"]) => self.resync_keys(caller, call, workspace),
            (&Method::POST, ["liststorageaccountkeys" | "listkeys"]) => {
                self.list_workspace_keys(caller, call, workspace, below)
            }
            (&Method::POST, ["datastores", store, "listsecrets"]) => {
                self.list_datastore_secrets(caller, call, workspace, store)
            }
            _ => Err(unknown(call)),
        }
    }

    fn extension(&mut self, caller: &str, call: &Call, scope: &str, written: &str, rest: &[&str]) -> Reply {
        let method = &call.method;
        match (method, rest) {
            (&Method::GET, ["microsoft.authorization", "roleassignments"]) => {
                self.list_assignments(caller, call, scope)
            }
            (_, ["microsoft.authorization", "roleassignments", _]) => match *method {
                Method::GET => self.get_assignment(caller, call, scope),
                Method::PUT => self.put_assignment(caller, call, scope, written),
                Method::DELETE => self.delete_assignment(caller, call, scope),
                _ => Err(not_allowed(call)),
            },
            (&Method::GET, ["microsoft.authorization", "roledefinitions"]) => {
                self.list_definitions(caller, call, scope)
            }
            (&Method::GET, ["microsoft.authorization", "roledefinitions", guid]) => {
                self.get_definition(caller, scope, guid)
            }
            (&Method::GET, ["microsoft.authorization", "denyassignments"]) => {
                self.list_extensions(caller, call, scope, DENY, "Microsoft.Authorization/denyAssignments/read")
            }
            (&Method::GET, ["microsoft.authorization", "roleeligibilityscheduleinstances"]) => {
                self.list_eligibilities(caller, call, scope)
            }
            (&Method::GET, ["microsoft.authorization", "locks"]) => {
                self.list_extensions(caller, call, scope, LOCK, "Microsoft.Authorization/locks/read")
            }
            (_, ["microsoft.authorization", "locks", _]) => match *method {
                Method::GET => self.get_plain(caller, call, LOCK, "Microsoft.Authorization/locks/read"),
                Method::PUT => self.put_lock(caller, call, scope, written),
                Method::DELETE => self.delete_lock(caller, call, scope),
                _ => Err(not_allowed(call)),
            },
            (&Method::GET, ["microsoft.authorization", "policyassignments"]) => self.list_policies(caller, call, scope),
            (&Method::GET, ["microsoft.authorization", "policyassignments", _]) => {
                self.get_plain(caller, call, POLICY, "Microsoft.Authorization/policyAssignments/read")
            }
            (&Method::GET, ["microsoft.authorization", "policydefinitions", _]) => {
                self.get_policy(caller, call, scope, POLICY_DEFINITION)
            }
            (&Method::GET, ["microsoft.authorization", "policysetdefinitions", _]) => {
                self.get_policy(caller, call, scope, POLICY_SET)
            }
            (&Method::GET, ["microsoft.authorization", "policyexemptions"]) => {
                self.list_extensions(caller, call, scope, EXEMPTION, "Microsoft.Authorization/policyExemptions/read")
            }
            (&Method::GET, ["microsoft.authorization", "permissions"]) => self.list_permissions(caller, call, scope),
            (_, ["microsoft.resources", "tags", "default"]) => match *method {
                Method::GET => self.get_tags(caller, call, scope, written),
                Method::PUT | Method::PATCH => self.write_tags(caller, call, scope, written),
                Method::DELETE => self.delete_tags(caller, call, scope, written),
                _ => Err(not_allowed(call)),
            },
            (_, ["microsoft.insights", "components", _]) => self.plain(caller, call, "Microsoft.Insights/components"),
            (&Method::GET, ["microsoft.insights", "metrics"]) => self.metrics(caller, call, scope, written),
            (&Method::GET, ["microsoft.insights", "eventtypes", "management", "values"]) => {
                self.list_activity(caller, call, scope)
            }
            _ => Err(unknown(call)),
        }
    }
}

/// A path that no provider knows. The error codes have no public source; design decision.
fn unknown(call: &Call) -> Answer {
    let path = call.path();
    match call.segments.iter().position(|segment| segment.eq_ignore_ascii_case("providers")) {
        Some(at) => {
            let namespace = call.segments.get(at + 1).map(String::as_str).unwrap_or_default();
            let version = call.api_version();
            let message = format!(
                "No registered resource provider found for {} '{path}' in namespace '{namespace}' and API version '{version}'.",
                call.method
            );
            Answer::error(400, "NoRegisteredProviderFound", message)
        }
        None => Answer::error(404, "InvalidResourceType", format!("The resource path '{path}' could not be found.")),
    }
}

pub(crate) fn not_allowed(call: &Call) -> Answer {
    let message = format!("The requested resource does not support http method '{}'.", call.method);
    Answer::error(405, "MethodNotAllowed", message)
}
