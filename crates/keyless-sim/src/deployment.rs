//! Deployments of templates: checked at once, then carried out resource by resource through the same operations that
//! a PUT of the resource takes, with the rights of whoever deploys.
//! Source: azure-ai-ml 1.35.2 `_arm_deployments/arm_helper.py` and azure-mgmt-resource 26.0.0 `v2020_06_01`, for the
//! requests and what clients read in the answers.

use bytes::Bytes;
use http::{Method, StatusCode};
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::account::Change;
use crate::azure::{Actor, Azure, Timer};
use crate::operation::poll_wait;
use crate::request::{Answer, Call, Reply, answer_of};
use crate::template::{Place, Plan, Resource, Wrong};
use crate::{arm_id, json, time};

const READ: &str = "Microsoft.Resources/deployments/read";
const WRITE: &str = "Microsoft.Resources/deployments/write";

/// Deployments that a resource group remembers.
/// Source: <https://learn.microsoft.com/azure/azure-resource-manager/templates/deployment-history-deletions>.
const REMEMBERED: usize = 800;

/// A deployment, running or done.
pub(crate) struct Deployment {
    /// As it was first written, for the path of answers.
    id: String,
    caller: String,
    /// The request that began it: origin and headers of those made on its behalf.
    call: Call,
    plan: Plan,
    started: Timestamp,
    ended: Option<Timestamp>,
    steps: Vec<Step>,
    error: Option<Value>,
    outputs: Value,
    operation: String,
}

/// One resource, begun or done.
struct Step {
    id: String,
    resource: Resource,
    began: Timestamp,
    status: StatusCode,
    waits_for: Option<Pending>,
    ended: Option<Timestamp>,
    error: Option<Value>,
}

/// What a resource that was accepted is still waiting for.
enum Pending {
    Operation(String),
    Deployment(String),
}

impl Deployment {
    /// Source of the words: azure-mgmt-resource 26.0.0 `v2020_06_01` models, `ProvisioningState`.
    fn state(&self) -> &'static str {
        match (self.ended, &self.error) {
            (None, _) => "Running",
            (Some(_), None) => "Succeeded",
            (Some(_), Some(_)) => "Failed",
        }
    }

    fn to_json(&self, now: Timestamp) -> Value {
        let made = self.steps.iter().filter(|step| step.ended.is_some() && step.error.is_none());
        let made: Vec<Value> = made.map(|step| json!({"id": step.resource.id})).collect();
        let mut document = json!({
            "id": self.id, "name": arm_id::name(&self.id), "type": "Microsoft.Resources/deployments",
            "properties": {
                "parameters": self.plan.parameters, "mode": "Incremental", "provisioningState": self.state(),
                "timestamp": time::stamp(self.ended.unwrap_or(now)),
                "duration": iso_duration(self.started, self.ended.unwrap_or(now)),
                "correlationId": self.operation, "providers": [], "dependencies": [],
                "outputs": self.outputs, "outputResources": made,
            },
        });
        if let Some(error) = &self.error {
            json::object(&mut document, "properties").insert("error".to_owned(), error.clone());
        }
        document
    }
}

impl Azure {
    /// 201 for a new deployment and 200 for one done again, with the URL to ask about it.
    pub(crate) fn put_deployment(&mut self, caller: &str, call: &Call) -> Reply {
        let path = call.path();
        let key = arm_id::key(&path);
        self.authorize(caller, WRITE, &key)?;
        let group = arm_id::resource_group(&key).unwrap_or_default().to_owned();
        if !self.world.group_exists(&group) {
            return Err(self.not_found(&path));
        }
        self.unlocked(&key, Change::Write)?;
        let known = self.deployments.get(&key);
        if known.is_some_and(|known| known.ended.is_none()) {
            return Err(active(&path));
        }
        let status = if known.is_some() { 200 } else { 201 };
        let body = call.json()?;
        let properties = body.get("properties").cloned().unwrap_or_default();
        let incremental =
            json::text(&properties, &["mode"]).is_some_and(|mode| mode.eq_ignore_ascii_case("incremental"));
        if !incremental {
            let message = "Only the mode 'Incremental' is simulated.";
            return Err(Answer::error(400, "InvalidDeploymentMode", message));
        }
        let operation = self.guid();
        let place = Place {
            subscription: self.subscription_json(arm_id::subscription(&key).unwrap_or_default()),
            group: self.group_json(&group),
            seed: operation.clone(),
        };
        let plan =
            Plan::new(place, &properties).map_err(|wrong| Answer::new(400, Some(json!({"error": invalid(&wrong)}))))?;
        let deployment = Deployment {
            id: path.clone(),
            caller: caller.to_owned(),
            call: Call { body: Bytes::new(), ..call.clone() },
            plan,
            started: self.now,
            ended: None,
            steps: Vec::new(),
            error: None,
            outputs: json!({}),
            operation: operation.clone(),
        };
        let shown = deployment.to_json(self.now);
        self.deployments.insert(key.clone(), deployment);
        self.forget_deployments(&group);
        self.schedule(self.now, Timer::Deployment { key });
        self.record(&Actor { oid: caller, correlation: call.correlation() }, WRITE, &path, status);
        let url = format!("{}{path}/operationStatuses/{operation}?api-version={}", call.origin, call.api_version());
        Ok(Answer::new(status, Some(shown)).header("Azure-AsyncOperation", url))
    }

    /// Drops the oldest ones of a group that are done.
    fn forget_deployments(&mut self, group: &str) {
        let of_group = self.deployments.iter().filter(|(key, _)| arm_id::is_within(key, group));
        let many = of_group.clone().count().saturating_sub(REMEMBERED);
        let mut done: Vec<(Timestamp, String)> = match many {
            0 => return,
            _ => of_group.filter_map(|(key, known)| Some((known.ended?, key.clone()))).collect(),
        };
        done.sort_unstable();
        for (_, key) in done.into_iter().take(many) {
            self.deployments.remove(&key);
        }
    }

    pub(crate) fn get_deployment(&self, caller: &str, key: &str) -> Reply {
        self.authorize(caller, READ, key)?;
        Ok(Answer::ok(self.deployment(key)?.to_json(self.now)))
    }

    /// The answer behind `Azure-AsyncOperation`.
    pub(crate) fn poll_deployment(&self, key: &str, operation: &str) -> Reply {
        let deployment = self.deployment(key)?;
        if !deployment.operation.eq_ignore_ascii_case(operation) {
            return Err(Answer::error(404, "NotFound", format!("The operation '{operation}' was not found.")));
        }
        let state = deployment.state();
        let mut document = json!({"status": state});
        if let Some(error) = &deployment.error {
            json::into_object(&mut document).insert("error".to_owned(), error.clone());
        }
        let wait = poll_wait(self.speed.shorten(self.knobs.operation_retry_after));
        let answer = Answer::ok(document);
        Ok(if deployment.ended.is_none() { answer.header("Retry-After", wait) } else { answer })
    }

    /// What became of each resource.
    pub(crate) fn list_deployment_operations(&self, caller: &str, call: &Call, key: &str) -> Reply {
        self.authorize(caller, "Microsoft.Resources/deployments/operations/read", key)?;
        let deployment = self.deployment(key)?;
        let steps: Vec<Value> = deployment.steps.iter().map(|step| step.to_json(deployment, self.now)).collect();
        let places = (0..steps.len()).map(|place| format!("{place:08}"));
        self.page(call, places, |place| steps.get(place.parse::<usize>().ok()?).cloned())
    }

    fn deployment(&self, key: &str) -> Result<&Deployment, Answer> {
        self.deployments.get(key).ok_or_else(|| {
            let message = format!("Deployment '{}' could not be found.", arm_id::name(key));
            Answer::error(404, "DeploymentNotFound", message)
        })
    }

    /// Goes on with a deployment as far as it goes without waiting.
    pub(crate) fn run_deployment(&mut self, key: &str) {
        let Some(mut deployment) = self.deployments.remove(key) else { return };
        while deployment.ended.is_none() {
            if let Some(step) = deployment.steps.last_mut().filter(|step| step.ended.is_none()) {
                match self.outcome(step) {
                    None => {
                        // What it waits for ends by a timer of its own; at the same instant that one comes first.
                        let wait = self.speed.shorten(self.knobs.operation).max(std::time::Duration::from_millis(1));
                        self.schedule(time::after(self.now, wait), Timer::Deployment { key: key.to_owned() });
                        break;
                    }
                    Some(error) => {
                        step.ended = Some(self.now);
                        step.error = error;
                    }
                }
            }
            if let Some(error) = deployment.steps.last().and_then(|step| step.error.clone()) {
                self.end_deployment(&mut deployment, Some(failed(&error)));
            } else if let Some(resource) = deployment.plan.resources.get(deployment.steps.len()).cloned() {
                match self.start_step(&mut deployment, resource) {
                    Ok(step) => deployment.steps.push(step),
                    Err(wrong) => self.end_deployment(&mut deployment, Some(invalid(&wrong))),
                }
            } else {
                let caller = deployment.caller.clone();
                match deployment.plan.outputs(&|id| self.referred(&caller, id)) {
                    Ok(outputs) => {
                        deployment.outputs = outputs;
                        self.end_deployment(&mut deployment, None);
                    }
                    Err(wrong) => self.end_deployment(&mut deployment, Some(invalid(&wrong))),
                }
            }
        }
        self.deployments.insert(key.to_owned(), deployment);
    }

    fn end_deployment(&self, deployment: &mut Deployment, error: Option<Value>) {
        deployment.ended = Some(self.now);
        deployment.error = error;
    }

    /// Sends one resource on its way.
    fn start_step(&mut self, deployment: &mut Deployment, resource: Resource) -> Result<Step, Wrong> {
        let caller = deployment.caller.clone();
        let scope = &mut deployment.plan.scope;
        let body = evaluated_body(&resource, |value| scope.evaluate(value, &|id| self.referred(&caller, id)))?;
        let call = Call {
            method: Method::PUT,
            segments: resource.id.split('/').filter(|segment| !segment.is_empty()).map(str::to_owned).collect(),
            query: vec![("api-version".to_owned(), resource.api_version.clone())],
            body: Bytes::from(body.to_string()),
            ..deployment.call.clone()
        };
        let answer = match self.suffer(&call, &caller) {
            Some(refused) => refused.answer,
            None if call.key() == arm_id::key(&deployment.id) => active(&deployment.id),
            None => answer_of(self.perform(&caller, &call)),
        };
        let poll = answer.headers.iter().find(|(name, _)| matches!(*name, "Azure-AsyncOperation" | "Location"));
        let poll = poll.and_then(|(_, url)| url.split(['?', '#']).next()).map(arm_id::name).map(str::to_owned);
        let waits_for = match arm_id::type_of(&call.key()).as_deref() {
            Some("microsoft.resources/deployments") => Some(Pending::Deployment(call.key())),
            _ => poll.map(Pending::Operation),
        };
        let error = (!answer.status.is_success()).then(|| {
            let error = answer.body.as_ref().and_then(|body| json::at(body, &["error"])).cloned();
            error.unwrap_or_else(|| json!({"code": answer.status.as_str(), "message": "The resource was refused."}))
        });
        let waits_for = waits_for.filter(|_| error.is_none());
        let ended = waits_for.is_none().then_some(self.now);
        let id = self.guid();
        Ok(Step { id, resource, began: self.now, status: answer.status, waits_for, ended, error })
    }

    /// Nothing while the step is still under way; then its error, if it ended in one.
    fn outcome(&self, step: &Step) -> Option<Option<Value>> {
        match &step.waits_for {
            None => Some(None),
            Some(Pending::Operation(id)) => match self.operations.get(id) {
                Some(operation) => operation.outcome(),
                None => Some(None),
            },
            Some(Pending::Deployment(key)) => match self.deployments.get(key) {
                Some(nested) => nested.ended.map(|_| nested.error.clone()),
                None => Some(None),
            },
        }
    }

    /// What `reference()` sees: a resource that the deploying principal may read.
    fn referred(&self, caller: &str, id: &str) -> Result<Value, Wrong> {
        let key = arm_id::key(id);
        let kind = arm_id::type_of(&key).unwrap_or_default();
        let refused = |answer: Answer| {
            let body = answer.body.unwrap_or_default();
            Wrong(json::text(&body, &["error", "message"]).unwrap_or("The resource cannot be read.").to_owned())
        };
        self.authorize(caller, &format!("{kind}/read"), &key).map_err(refused)?;
        self.world.get(&key).cloned().ok_or_else(|| refused(self.not_found(id)))
    }
}

impl Step {
    fn to_json(&self, deployment: &Deployment, now: Timestamp) -> Value {
        let state = match (&self.ended, &self.error) {
            (None, _) => "Running",
            (Some(_), None) => "Succeeded",
            (Some(_), Some(_)) => "Failed",
        };
        let ended = self.ended.unwrap_or(now);
        let reason = self.status.canonical_reason().unwrap_or_default().replace(' ', "");
        let mut item = json!({
            "id": format!("{}/operations/{}", deployment.id, self.id), "operationId": self.id,
            "properties": {
                "provisioningOperation": "Create", "provisioningState": state, "timestamp": time::stamp(ended),
                "duration": iso_duration(self.began, ended), "trackingId": self.id, "serviceRequestId": self.id,
                "statusCode": reason,
                "targetResource": {"id": self.resource.id, "resourceType": self.resource.kind,
                    "resourceName": self.resource.name},
            },
        });
        if let Some(error) = &self.error {
            let properties = json::object(&mut item, "properties");
            properties.insert("statusMessage".to_owned(), json!({"error": error}));
        }
        item
    }
}

/// The code has no public source; design decision.
fn active(id: &str) -> Answer {
    let message = format!("The deployment '{}' is still running and cannot be replaced.", arm_id::name(id));
    Answer::error(409, "DeploymentActive", message)
}

/// The body with its expressions evaluated. The template of a nested deployment with a scope of its own stays as it is.
/// Source: <https://learn.microsoft.com/azure/azure-resource-manager/templates/linked-templates#expression-evaluation-scope-in-nested-templates>.
fn evaluated_body(
    resource: &Resource,
    mut evaluate: impl FnMut(&Value) -> Result<Value, Wrong>,
) -> Result<Value, Wrong> {
    let scope = json::text(&resource.body, &["properties", "expressionEvaluationOptions", "scope"]);
    let inner = resource.kind.eq_ignore_ascii_case("Microsoft.Resources/deployments")
        && scope.is_some_and(|scope| scope.eq_ignore_ascii_case("inner"));
    let mut body = resource.body.clone();
    let template = inner.then(|| json::object(&mut body, "properties").remove("template")).flatten();
    let mut body = evaluate(&body)?;
    if let Some(template) = template {
        json::object(&mut body, "properties").insert("template".to_owned(), template);
    }
    Ok(body)
}

/// Source: <https://github.com/Azure-Samples/azure-search-openai-demo/issues/2321>.
fn invalid(wrong: &Wrong) -> Value {
    json!({"code": "InvalidTemplate", "message": format!("Deployment template validation failed: '{}'.", wrong.0)})
}

/// What a policy refused is found before anything else and told under another code than what failed on the way.
/// Source: <https://github.com/MicrosoftDocs/azure-docs/issues/107757>, and for policies public dumps of
/// `RequestDisallowedByPolicy` inside of `InvalidTemplateDeployment`.
fn failed(error: &Value) -> Value {
    let (code, message) = if json::text(error, &["code"]) == Some("RequestDisallowedByPolicy") {
        ("InvalidTemplateDeployment", "The template deployment failed because of policy violation. Please see details.")
    } else {
        (
            "DeploymentFailed",
            "At least one resource deployment operation failed. Please list deployment operations for details.",
        )
    };
    json!({"code": code, "message": message, "details": [error]})
}

/// ISO 8601, in seconds with seven digits.
fn iso_duration(from: Timestamp, to: Timestamp) -> String {
    format!("PT{:.7}S", time::between(from, to).as_secs_f64())
}
