//! A small world and short ways to ask it things.

use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use jiff::Timestamp;
use keyless_sim::{CLIENT_OBJECT_ID, ClockMode, Drift, Knobs, SimOptions, Simulator, World};
use serde_json::{Value, json};

pub(crate) const SUB: &str = "/subscriptions/3f8c1d7a-52b4-4c0e-9d2e-7a1b6c5d4e90";
pub(crate) const RG: &str = "/subscriptions/3f8c1d7a-52b4-4c0e-9d2e-7a1b6c5d4e90/resourceGroups/rg-ml-prod";
pub(crate) const DANA: &str = "11111111-aaaa-4aaa-8aaa-000000000001";
pub(crate) const GROUP: &str = "11111111-aaaa-4aaa-8aaa-00000000000f";
pub(crate) const JOB: &str = "22222222-bbbb-4bbb-8bbb-000000000001";
pub(crate) const BLOB_CONTRIBUTOR: &str = "ba92f5b4-2d11-453d-a403-e96b0029c9fe";
pub(crate) const BLOB_READER: &str = "2a2b9908-6ea1-4ae2-8e65-a410df84e7d1";
pub(crate) const READ_BLOBS: &str = "Microsoft.Storage/storageAccounts/blobServices/containers/blobs/read";

pub(crate) fn account() -> String {
    format!("{RG}/providers/Microsoft.Storage/storageAccounts/stmlchurnprod")
}

pub(crate) fn workspace(name: &str) -> String {
    format!("{RG}/providers/Microsoft.MachineLearningServices/workspaces/{name}")
}

pub(crate) fn role(guid: &str) -> String {
    format!("{SUB}/providers/Microsoft.Authorization/roleDefinitions/{guid}")
}

/// One workspace on one account, Dana at work in it through keys.
pub(crate) fn small_world() -> Vec<Value> {
    vec![
        json!({"id": account(), "name": "stmlchurnprod", "type": "Microsoft.Storage/storageAccounts",
            "location": "westeurope", "kind": "StorageV2", "properties": {"provisioningState": "Succeeded"}}),
        json!({"id": workspace("churn"), "name": "churn", "type": "Microsoft.MachineLearningServices/workspaces",
            "location": "westeurope", "kind": "Default", "tags": {"team": "churn"}, "oddity": {"kept": [1, null]},
            "identity": {"type": "SystemAssigned", "principalId": "9c1d2f63-4b0a-4d57-8f3e-1a2b3c4d5e6f"},
            "properties": {"storageAccount": account(), "systemDatastoresAuthMode": "AccessKey",
                "workspaceId": "b6a0f0a4-9d54-4f7e-8a4e-5f2d9f0d7c21", "provisioningState": "Succeeded"}}),
        json!({"id": DANA, "type": "Microsoft.Graph/users", "displayName": "Dana"}),
        json!({"id": GROUP, "type": "Microsoft.Graph/groups", "displayName": "scientists", "members": [DANA]}),
        json!({"id": JOB, "type": "Microsoft.Graph/servicePrincipals", "displayName": "train"}),
        workload("churn", DANA),
    ]
}

pub(crate) fn workload(name: &str, principal: &str) -> Value {
    json!({"type": "Keyless.Sim/workloads",
        "id": format!("{}/providers/Keyless.Sim/workloads/{principal}", workspace(name)),
        "properties": {"workspace": workspace(name), "principalId": principal, "dataActions": [READ_BLOBS],
            "triesPerHour": 360}})
}

pub(crate) fn grant_entry(scope: &str, name: &str, principal: &str, role_guid: &str) -> Value {
    json!({"id": format!("{scope}/providers/Microsoft.Authorization/roleAssignments/{name}"), "name": name,
        "type": "Microsoft.Authorization/roleAssignments",
        "properties": {"roleDefinitionId": role(role_guid), "principalId": principal, "principalType": "User",
            "scope": scope, "createdOn": "2024-01-01T00:00:00Z"}})
}

/// Asks as one caller, with a fresh token each time unless one is given.
pub(crate) struct Cloud {
    pub(crate) sim: Simulator,
    caller: String,
    pub(crate) token: Option<String>,
}

#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: http::HeaderMap,
    pub(crate) body: Value,
}

impl Reply {
    pub(crate) fn code(&self) -> &str {
        self.body["error"]["code"].as_str().unwrap_or_default()
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }
}

/// Whatever is answered is an operation that a file of faults can name.
impl Drop for Cloud {
    fn drop(&mut self) {
        if std::thread::panicking() {
            return;
        }
        for entry in self.sim.requests().by_operation.iter().filter(|entry| (200..300).contains(&entry.status)) {
            let operation = format!("{} {}", entry.method, entry.operation);
            let file = json!({"rules": [{"operation": operation, "fault": "resetBefore"}]});
            assert_eq!(keyless_sim::Faults::parse(&file.to_string()).err(), None);
        }
    }
}

impl Cloud {
    pub(crate) fn new(world: Vec<Value>, knobs: Knobs) -> Self {
        Self::with(world, SimOptions { knobs, ..SimOptions::default() })
    }

    pub(crate) fn with(world: Vec<Value>, options: SimOptions) -> Self {
        let start = Timestamp::from_second(1_800_000_000).unwrap();
        let options = SimOptions { clock: ClockMode::Simulated(start), ..options };
        let (world, ignored) = World::from_resources(world);
        assert_eq!(ignored, 0);
        let sim = Simulator::new(world, &options).unwrap();
        Self { sim, caller: CLIENT_OBJECT_ID.to_owned(), token: None }
    }

    pub(crate) fn immediate() -> Self {
        Self::new(small_world(), Knobs::immediate())
    }

    pub(crate) fn act_as(&mut self, object_id: &str) {
        self.caller = object_id.to_owned();
    }

    pub(crate) fn request(&self, method: &str, path: &str, body: Option<Value>) -> Request<Bytes> {
        let path = path.replace(' ', "%20").replace('\'', "%27");
        let uri = if path.starts_with("http") { path } else { format!("https://arm.test{path}") };
        let token = self.token.clone().unwrap_or_else(|| self.sim.token(&self.caller).reveal().to_owned());
        Request::builder()
            .method(method)
            .uri(uri)
            .header("authorization", format!("Bearer {token}"))
            .body(body.map(|body| Bytes::from(body.to_string())).unwrap_or_default())
            .unwrap()
    }

    pub(crate) async fn send(&self, request: Request<Bytes>) -> Reply {
        read(self.sim.call(request).await.unwrap())
    }

    pub(crate) async fn ask(&self, method: &str, path: &str, body: Option<Value>) -> Reply {
        self.send(self.request(method, path, body)).await
    }

    pub(crate) async fn get(&self, path: &str) -> Reply {
        self.ask("GET", path, None).await
    }

    pub(crate) async fn flag(&self, allowed: bool) -> Reply {
        let body = json!({"properties": {"allowSharedKeyAccess": allowed}});
        self.ask("PATCH", &format!("{}?api-version=2023-05-01", account()), Some(body)).await
    }

    pub(crate) async fn mode(&self, name: &str, mode: &str) -> Reply {
        let body = json!({"properties": {"systemDatastoresAuthMode": mode}});
        self.ask("PATCH", &format!("{}?api-version=2025-09-01", workspace(name)), Some(body)).await
    }

    pub(crate) async fn grant(&self, scope: &str, name: &str, principal: &str, role_guid: &str) -> Reply {
        let body = json!({"properties": {"roleDefinitionId": role(role_guid), "principalId": principal}});
        let path = format!("{scope}/providers/Microsoft.Authorization/roleAssignments/{name}?api-version=2022-04-01");
        self.ask("PUT", &path, Some(body)).await
    }

    pub(crate) fn drift(&self, change: &str, target: &str, value: Value) {
        let drift: Drift = serde_json::from_value(json!({"change": change, "target": target, "value": value})).unwrap();
        self.sim.drift(drift).unwrap();
    }

    pub(crate) fn pass(&self, seconds: u64) {
        self.sim.advance(Duration::from_secs(seconds)).unwrap();
    }
}

pub(crate) fn read(response: Response<Bytes>) -> Reply {
    let (parts, body) = response.into_parts();
    let body = if body.is_empty() { Value::Null } else { serde_json::from_slice(&body).unwrap() };
    Reply { status: parts.status.as_u16(), headers: parts.headers, body }
}
