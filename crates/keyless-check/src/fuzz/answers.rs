//! What Azure answers, read by the shipped client: any status, any headers, any body.
//!
//! The first byte of an input says what is asked, the second the status, the third the headers; the rest is the body.

use std::future::Future;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use http::{Request, Response};
use jiff::Timestamp;
use keyless_arm::api::{Answer, Grant, ReadArm, Write, WriteArm, WriteKind};
use keyless_arm::client::{Client, ClientOptions};
use keyless_arm::clock::Clock;
use keyless_arm::cloud::Cloud;
use keyless_arm::error::{ArmError, Landed};
use keyless_arm::pipeline::Timeouts;
use keyless_arm::probe::StorageTokens;
use keyless_arm::quota::Limits;
use keyless_arm::secret::Secret;
use keyless_arm::token::{TokenError, TokenSource};
use keyless_arm::versions::ApiVersions;
use keyless_arm::wire::{WireError, WireFn};
use keyless_core::desired::{AuthMode, DatastoreKind, DatastorePlace};
use keyless_core::id::{
    ArmId, IdError, LogAnalyticsId, ManagedIdentityId, PrincipalId, RoleId, StorageAccountId, SubscriptionId,
    WorkspaceId,
};
use keyless_core::observed::{ChangesOf, PrincipalType, StorageService};
use serde_json::Value;
use uuid::Uuid;

const SUBSCRIPTION: &str = "3f8c1d7a-52b4-4c0e-9d2e-7a1b6c5d4e90";
const ROLE: &str = "ba92f5b4-2d11-453d-a403-e96b0029c9fe";
const GUID: &str = "9c1d2f63-4b0a-4d57-8f3e-1a2b3c4d5e6f";
const ENDPOINT: &str = "https://stmlprod.blob.core.windows.net/";
const STATUSES: [u16; 16] = [200, 200, 200, 200, 201, 202, 204, 301, 400, 401, 403, 404, 409, 429, 500, 503];

/// Requests that one call may come to, polls and pages included, before it counts as running away. A list of 400 pages, the
/// most that the client reads of any, is below.
const MOST_REQUESTS: usize = 2_000;

/// How many kinds of reads there are.
const READS: u8 = 31;
/// How many kinds of writes.
const WRITES: u8 = 7;

struct Still;

impl Clock for Still {
    fn now(&self) -> Timestamp {
        Timestamp::from_second(1_793_491_200).unwrap_or_default()
    }
}

struct Token;

#[async_trait::async_trait]
impl TokenSource for Token {
    async fn token(&self) -> Result<Secret, TokenError> {
        Ok(Secret::new("token"))
    }

    async fn renew(&self, _: &Secret) {}
}

/// An input, taken apart.
struct Case<'a> {
    asked: u8,
    status: u16,
    headers: u8,
    body: &'a [u8],
}

impl<'a> Case<'a> {
    fn of(input: &'a [u8]) -> Option<Self> {
        let [asked, status, headers, body @ ..] = input else { return None };
        let status = *STATUSES.get(usize::from(*status) % STATUSES.len())?;
        Some(Self { asked: *asked, status, headers: *headers, body })
    }

    /// The answer to every request of the call, or to the first alone.
    fn response(&self, first: bool) -> Response<Bytes> {
        let closes = !first && self.headers & 0x80 == 0;
        let (status, body) = if closes {
            (200, Bytes::from_static(b"{\"value\":[]}"))
        } else {
            (self.status, Bytes::copy_from_slice(self.body))
        };
        let mut response = Response::new(body);
        *response.status_mut() = http::StatusCode::from_u16(status).unwrap_or_default();
        let line = self.body.split(|byte| *byte == b'\n').next().unwrap_or_default();
        let own = http::HeaderValue::from_bytes(line).ok();
        let fixed = http::HeaderValue::from_static;
        let poll = Some(fixed("https://arm.example/poll?a=b"));
        let set: &[(&'static str, Option<http::HeaderValue>)] = match self.headers & 0x0f {
            0 => &[],
            1 => &[("date", own)],
            2 => &[("retry-after", own)],
            3 => &[("location", own)],
            4 => &[("azure-asyncoperation", own)],
            5 => &[("location", poll)],
            6 => &[("azure-asyncoperation", poll)],
            7 => &[("x-ms-ratelimit-remaining-subscription-reads", own)],
            8 => &[("content-type", own)],
            9 => &[("www-authenticate", own)],
            10 => &[("x-ms-error-code", own)],
            11 => &[("retry-after", Some(fixed("0")))],
            12 => &[("retry-after", Some(fixed("99999999999999999999")))],
            _ => &[("date", Some(fixed("Sun, 01 Nov 2026 00:00:00 GMT")))],
        };
        for (name, value) in set {
            if let Some(value) = value {
                response.headers_mut().insert(*name, value.clone());
            }
        }
        response
    }
}

/// What is asked about.
struct Things {
    subscription: SubscriptionId,
    workspace: WorkspaceId,
    account: StorageAccountId,
    identity: ManagedIdentityId,
    logs: LogAnalyticsId,
    assignment: ArmId,
    policy: ArmId,
    principal: PrincipalId,
    role: RoleId,
    from: Timestamp,
    to: Timestamp,
}

impl Things {
    fn new() -> Result<Self, IdError> {
        let group = format!("/subscriptions/{SUBSCRIPTION}/resourceGroups/rg-ml/providers");
        let account = StorageAccountId::parse(&format!("{group}/Microsoft.Storage/storageAccounts/stmlprod"))?;
        let assignment = format!("{account}/providers/Microsoft.Authorization/roleAssignments/{GUID}");
        Ok(Self {
            subscription: SUBSCRIPTION.parse()?,
            workspace: WorkspaceId::parse(&format!("{group}/Microsoft.MachineLearningServices/workspaces/mlw"))?,
            account,
            identity: ManagedIdentityId::parse(&format!(
                "{group}/Microsoft.ManagedIdentity/userAssignedIdentities/id"
            ))?,
            logs: LogAnalyticsId::parse(&format!("{group}/Microsoft.OperationalInsights/workspaces/logs"))?,
            assignment: ArmId::parse(&assignment)?,
            policy: ArmId::parse(&format!("/providers/Microsoft.Authorization/policyDefinitions/{GUID}"))?,
            principal: GUID.parse()?,
            role: ROLE.parse()?,
            from: Timestamp::from_second(1_793_491_200).unwrap_or_default(),
            to: Timestamp::from_second(1_794_096_000).unwrap_or_default(),
        })
    }
}

/// Runs one call against a client to which every request is answered as the case says, under virtual time.
fn call<T, F>(case: &Case<'_>, what: impl FnOnce(Client, Things) -> F) -> Result<(T, usize), String>
where
    F: Future<Output = T>,
{
    let case = (case.response(true), case.response(false));
    let sent = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&sent);
    let wire = WireFn(move |_: Request<Bytes>| {
        let number = count.fetch_add(1, Ordering::SeqCst);
        let response = if number == 0 { case.0.clone() } else { case.1.clone() };
        async move { if number < MOST_REQUESTS { Ok(response) } else { Err(WireError::NotSent("it runs away".to_owned())) } }
    });
    let next = Mutex::new(0u128);
    let ids = Arc::new(move || {
        let mut next = next.lock().unwrap_or_else(PoisonError::into_inner);
        *next += 1;
        Uuid::from_u128(*next)
    });
    let cloud = Cloud::custom("https://arm.example", "https://login.example", "https://arm.example/.default", None);
    let options = ClientOptions {
        cloud: cloud
            .and_then(|cloud| cloud.with_storage("core.windows.net", None))
            .map_err(|error| error.to_string())?,
        wire: Arc::new(wire),
        tokens: Arc::new(Token),
        limits: Limits::default(),
        clock: Arc::new(Still),
        ids,
        timeouts: Timeouts::default(),
        api_versions: ApiVersions::public(),
    };
    let client = Client::new(options).map_err(|error| error.to_string())?;
    let client = client.probing(StorageTokens::new(Arc::new(Token)));
    let things = Things::new().map_err(|error| error.to_string())?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    let done = runtime.map_err(|error| error.to_string())?.block_on(what(client, things));
    let sent = sent.load(Ordering::SeqCst);
    if sent >= MOST_REQUESTS {
        return Err(format!("one call sent {sent} requests"));
    }
    Ok((done, sent))
}

/// What a read brought, as far as the oracle cares.
struct Brought {
    /// The name of the call.
    name: &'static str,
    /// Whether it is of lists of the form `{"value": […]}`.
    lists: bool,
    /// The value in words, or the error's.
    said: Result<String, String>,
}

fn brought<T: std::fmt::Debug>(name: &'static str, lists: bool, read: Result<Answer<T>, ArmError>) -> Brought {
    let said = read.map(|answer| format!("{:?}", answer.value)).map_err(|error| format!("{error} {error:?}"));
    Brought { name, lists, said }
}

async fn read(asked: u8, client: Client, of: Things) -> Brought {
    let scope = of.account.arm();
    macro_rules! list {
        ($name:ident, $($argument:expr),*) => { brought(stringify!($name), true, client.$name($($argument),*).await) };
    }
    macro_rules! one {
        ($name:ident, $($argument:expr),*) => { brought(stringify!($name), false, client.$name($($argument),*).await) };
    }
    match asked % READS {
        0 => list!(subscriptions,),
        1 => list!(workspaces, of.subscription),
        2 => one!(workspace, &of.workspace),
        3 => list!(datastores, &of.workspace),
        4 => one!(datastore, &of.workspace, "raw"),
        5 => list!(computes, &of.workspace),
        6 => list!(jobs, &of.workspace),
        7 => list!(some_jobs, &of.workspace),
        8 => list!(online_endpoints, of.subscription),
        9 => one!(account, &of.account),
        10 => list!(role_assignments, scope),
        11 => list!(role_assignments_of, scope, of.principal),
        12 => list!(eligibilities, scope, of.principal),
        13 => one!(role_assignment, &of.assignment),
        14 => one!(role_definition, scope, of.role),
        15 => list!(deny_assignments, scope),
        16 => list!(locks, scope),
        17 => one!(role_assignment_count, of.subscription),
        18 => list!(own_rights, scope),
        19 => list!(policy_assignments, scope),
        20 => one!(policy_definition, &of.policy),
        21 => one!(policy_set, &of.policy),
        22 => list!(policy_exemptions, scope),
        23 => list!(key_usage, &of.account, of.from, of.to),
        24 => list!(changes, &ChangesOf::Resource(scope.clone()), of.from, of.to),
        25 => list!(changes, &ChangesOf::Assignments(of.subscription), of.from, of.to),
        26 => list!(service_usage, &of.account, StorageService::Blob, of.from, of.to),
        27 => one!(key_callers, &of.logs, &of.account, of.from, of.to),
        28 => one!(managed_identity, &of.identity),
        29 => one!(tenant, of.subscription),
        _ => one!(data_probe, &of.account, ENDPOINT),
    }
}

pub(super) fn reads(input: &[u8]) -> Result<(), String> {
    let Some(case) = Case::of(input) else { return Ok(()) };
    let asked = case.asked;
    let (Brought { name, lists, said }, sent) = call(&case, |client, things| read(asked, client, things))?;
    let (value, error) = (said.as_ref().ok(), said.as_ref().err());
    if sent == 0 {
        return Err(format!("{name}: nothing was asked: {error:?}"));
    }
    if error.is_some_and(|error| error.contains("Bearer token")) {
        return Err(format!("{name}: the token stands in the error: {error:?}"));
    }
    let Some(value) = value else { return Ok(()) };
    let body: Option<Value> = serde_json::from_slice(case.body).ok();
    // What is retried may be answered otherwise; what was asked once was answered as the case says.
    if sent == 1 {
        let is_absent = value == "None" && case.status == 404;
        if !(200..300).contains(&case.status) && !is_absent {
            return Err(format!("{name}: {} is read as {value}", case.status));
        }
        if name != "data_probe" && !is_absent && !body.as_ref().is_some_and(Value::is_object) {
            return Err(format!("{name}: a body that is no JSON object is read as {value}"));
        }
    }
    let listed = |body: &Value| {
        body.as_object()
            .is_some_and(|body| body.iter().any(|(name, value)| name.eq_ignore_ascii_case("value") && value.is_array()))
    };
    if lists && sent == 1 && !body.as_ref().is_some_and(listed) {
        return Err(format!("{name}: an answer without a list is read as {value}"));
    }
    Ok(())
}

async fn write(asked: u8, client: Client, of: Things) -> Result<(&'static str, Write), String> {
    let permit = |kind| client.reserve_write(of.subscription, kind);
    let place = DatastorePlace {
        kind: DatastoreKind::Blob,
        account: Some("stmlprod".to_owned()),
        space: "curated".to_owned(),
        subscription: Some(SUBSCRIPTION.to_owned()),
        resource_group: Some("rg-ml".to_owned()),
        service_access: None,
    };
    let kept = |error: ArmError| error.to_string();
    Ok(match asked % WRITES {
        0 => {
            let grant = Grant {
                scope: of.account.arm().clone(),
                name: GUID.parse().map_err(|error: IdError| error.to_string())?,
                principal: of.principal,
                principal_type: PrincipalType::Group,
                role: of.role,
                condition: None,
                description: "keyless owner=prod".to_owned(),
            };
            ("grant_role", client.grant_role(permit(WriteKind::Grant).await.map_err(kept)?, &grant).await)
        }
        1 => ("revoke_role", client.revoke_role(permit(WriteKind::Revoke).await.map_err(kept)?, &of.assignment).await),
        2 => {
            let permit = permit(WriteKind::Workspace).await.map_err(kept)?;
            ("set_auth_mode", client.set_auth_mode(permit, &of.workspace, AuthMode::Identity).await)
        }
        3 => {
            let permit = permit(WriteKind::Workspace).await.map_err(kept)?;
            ("set_auth_mode", client.set_auth_mode(permit, &of.workspace, AuthMode::AccessKey).await)
        }
        4 => {
            let permit = permit(WriteKind::Workspace).await.map_err(kept)?;
            ("resync_keys", client.resync_keys(permit, &of.workspace).await)
        }
        5 => {
            let permit = permit(WriteKind::Workspace).await.map_err(kept)?;
            ("create_datastore", client.create_datastore(permit, &of.workspace, "curated", &place).await)
        }
        _ => {
            let permit = permit(WriteKind::Account).await.map_err(kept)?;
            ("set_shared_key_access", client.set_shared_key_access(permit, &of.account, false).await)
        }
    })
}

pub(super) fn writes(input: &[u8]) -> Result<(), String> {
    let Some(case) = Case::of(input) else { return Ok(()) };
    let asked = case.asked;
    let (done, sent) = call(&case, |client, things| write(asked, client, things))?;
    let (name, done) = done?;
    if sent == 0 {
        return Err(format!("{name}: nothing was sent"));
    }
    // What was sent again, such as after 401, was answered otherwise than the case says.
    if sent > 1 {
        return Ok(());
    }
    match done {
        // 404: what was to be taken away is gone. 409: the assignment is there.
        Ok(_) if !(200..300).contains(&case.status) && ![404, 409].contains(&case.status) => {
            Err(format!("{name}: {} is taken for done", case.status))
        }
        Ok(_) if case.status == 409 && name != "grant_role" => Err(format!("{name}: 409 is taken for done")),
        Ok(_) if case.status == 404 && name != "revoke_role" => Err(format!("{name}: 404 is taken for done")),
        Err(error) if error.landed == Landed::No && case.status >= 500 => {
            Err(format!("{name}: {} is taken for not landed", case.status))
        }
        Ok(_) | Err(_) => Ok(()),
    }
}

/// Small answers of every kind, and a page of each list.
pub(super) fn seeds() -> Vec<Vec<u8>> {
    let account = format!(
        "/subscriptions/{SUBSCRIPTION}/resourceGroups/rg-ml/providers/Microsoft.Storage/storageAccounts/stmlprod"
    );
    let workspace = format!(
        "/subscriptions/{SUBSCRIPTION}/resourceGroups/rg-ml/providers/Microsoft.MachineLearningServices/workspaces/mlw"
    );
    let one = |value: Value| Value::from(serde_json::Map::from_iter([("value".to_owned(), Value::from(vec![value]))]));
    let bodies = [
        serde_json::json!({"id": workspace, "name": "mlw", "kind": "Default", "location": "westeurope",
            "identity": {"type": "SystemAssigned", "principalId": GUID, "tenantId": GUID},
            "properties": {"systemDatastoresAuthMode": "AccessKey", "storageAccount": account, "provisioningState": "Succeeded"}}),
        serde_json::json!({"id": account, "name": "stmlprod", "kind": "StorageV2", "location": "westeurope", "sku": {"name": "Standard_LRS"},
            "properties": {"allowSharedKeyAccess": true, "publicNetworkAccess": "Enabled", "isHnsEnabled": false,
                "networkAcls": {"bypass": "AzureServices", "defaultAction": "Allow"}, "provisioningState": "Succeeded",
                "primaryEndpoints": {"blob": ENDPOINT}, "keyCreationTime": {"key1": "2026-11-01T00:00:00Z", "key2": null}}}),
        serde_json::json!({"id": format!("{account}/providers/Microsoft.Authorization/roleAssignments/{GUID}"), "name": GUID,
            "properties": {"roleDefinitionId": format!("/subscriptions/{SUBSCRIPTION}/providers/Microsoft.Authorization/roleDefinitions/{ROLE}"),
                "principalId": GUID, "principalType": "Group", "scope": account, "createdOn": "2026-11-01T00:00:00.123Z",
                "updatedOn": "2026-11-01T00:00:00.123Z", "condition": null, "description": "d"}}),
        serde_json::json!({"id": format!("/providers/Microsoft.Authorization/roleDefinitions/{ROLE}"), "name": ROLE,
            "properties": {"roleName": "Storage Blob Data Contributor", "type": "BuiltInRole", "assignableScopes": ["/"],
                "permissions": [{"actions": ["*/read"], "notActions": [], "dataActions": ["Microsoft.Storage/*/blobs/*"], "notDataActions": []}],
                "updatedOn": "2026-11-01T00:00:00Z"}}),
        serde_json::json!({"id": format!("{workspace}/datastores/raw"), "name": "raw", "properties": {"datastoreType": "AzureBlob",
            "accountName": "stmlprod", "containerName": "c", "endpoint": "core.windows.net", "credentials": {"credentialsType": "AccountKey"}}}),
        serde_json::json!({"name": {"value": "Transactions"}, "timeseries": [{"metadatavalues": [{"name": {"value": "authentication"}, "value": "AccountKey"}],
            "data": [{"timeStamp": "2026-11-01T00:00:00Z", "total": 3.0}]}]}),
        serde_json::json!({"name": "lock", "id": format!("{account}/providers/Microsoft.Authorization/locks/lock"), "properties": {"level": "ReadOnly"}}),
        serde_json::json!({"tables": [{"name": "PrimaryResult", "columns": [{"name": "a", "type": "string"}], "rows": [["x"]]}]}),
        serde_json::json!({"error": {"code": "AuthorizationFailed", "message": "no", "details": []}}),
        serde_json::json!({"status": "Succeeded", "properties": {}}),
        serde_json::json!({"status": "Failed", "error": {"code": "Conflict", "message": "no"}}),
        serde_json::json!({"value": [], "nextLink": "https://arm.example/next?page=2"}),
        serde_json::json!({"value": []}),
    ];
    let mut seeds = Vec::new();
    for body in bodies {
        for asked in 0..READS {
            for body in [body.clone(), one(body.clone())] {
                let mut seed = vec![asked, 0, 13];
                seed.extend(body.to_string().into_bytes());
                seeds.push(seed);
            }
        }
        for status in 4..16 {
            let mut seed = vec![status, status, status];
            seed.extend(body.to_string().into_bytes());
            seeds.push(seed);
        }
    }
    seeds
}
