//! Every request this crate can send, driven through the client, written down in `REQUESTS.md`, and held against what
//! must never be sent and against the roles that the daemon is given.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::PathBuf;

use http::Method;
use keyless_arm::api::{Grant, ReadArm, WriteArm, WriteKind, Written};
use keyless_arm::client::Client;
use keyless_arm::cloud::Cloud;
use keyless_arm::operation::Operation;
use keyless_arm::stored::StoredDatastore;
use keyless_arm::versions::{ApiVersions, Interface};
use keyless_core::desired::{AuthMode, CreateKind, DatastoreKind, DatastorePlace, ServiceDataAccess};
use keyless_core::id::{ArmId, LogAnalyticsId, ManagedIdentityId, StorageAccountId, WorkspaceId};
use keyless_core::observed::{
    ChangesOf, Datastore, DatastoreCredentials, DatastoreForm, PrincipalType, StorageService,
};
use serde_json::{Value, json};

use crate::fake::{Asked, BASE, GROUP, GUID, SUBSCRIPTION, account_id, client, reply, workspace_id};

const ROLE: &str = "ba92f5b4-2d11-453d-a403-e96b0029c9fe";
const PRINCIPAL: &str = "5e7a1b2c-0000-4000-8000-00000000abcd";
const POLICY: &str = "8c6a50c6-9ffd-4ae7-986f-5fa6111f9a54";
const POLL: &str = "https://arm.example/poll?sig=opaque";

fn identity_id() -> String {
    format!("{GROUP}/providers/Microsoft.ManagedIdentity/userAssignedIdentities/uami")
}

fn assignment_id() -> String {
    format!("{}/providers/Microsoft.Authorization/roleAssignments/{GUID}", account_id())
}

fn policy(kind: &str) -> ArmId {
    ArmId::parse(&format!("/providers/Microsoft.Authorization/{kind}/{POLICY}")).unwrap()
}

/// Does what the operation is for. There is no operation without an arm here.
async fn drive(operation: Operation, client: &Client) -> Result<(), String> {
    let account = StorageAccountId::parse(&account_id()).unwrap();
    let workspace = WorkspaceId::parse(&workspace_id()).unwrap();
    let identity = ManagedIdentityId::parse(&identity_id()).unwrap();
    let permit = |kind| client.reserve_write(SUBSCRIPTION.parse().unwrap(), kind);
    let done = |written: Result<keyless_arm::api::Answer<Written>, keyless_arm::error::WriteError>| {
        written.map(drop).map_err(|error| error.to_string())
    };
    macro_rules! read {
        ($call:expr) => {
            $call.await.map(drop).map_err(|error| error.to_string())
        };
    }
    match operation {
        Operation::ListSubscriptions => read!(client.subscriptions()),
        Operation::GetSubscription => read!(client.tenant(SUBSCRIPTION.parse().unwrap())),
        Operation::ListWorkspaces => read!(client.workspaces(SUBSCRIPTION.parse().unwrap())),
        Operation::GetWorkspace => read!(client.workspace(&workspace)),
        Operation::ListDatastores => read!(client.datastores(&workspace)),
        Operation::GetDatastore => read!(client.datastore(&workspace, "raw")),
        Operation::ListComputes => read!(client.computes(&workspace)),
        Operation::ListJobs => read!(client.jobs(&workspace)),
        Operation::ListOnlineEndpoints => read!(client.online_endpoints(SUBSCRIPTION.parse().unwrap())),
        Operation::GetStorageAccount => read!(client.account(&account)),
        Operation::ListRoleAssignments => read!(client.role_assignments(account.arm())),
        Operation::ListAssignmentsOf => {
            read!(client.role_assignments_of(account.arm(), PRINCIPAL.parse().unwrap()))
        }
        Operation::ListEligibilities => read!(client.eligibilities(account.arm(), PRINCIPAL.parse().unwrap())),
        Operation::GetRoleAssignment => {
            read!(client.role_assignment(&ArmId::parse(&assignment_id()).unwrap()))
        }
        Operation::GetRoleDefinition => read!(client.role_definition(account.arm(), ROLE.parse().unwrap())),
        Operation::ListDenyAssignments => read!(client.deny_assignments(account.arm())),
        Operation::ListLocks => read!(client.locks(account.arm())),
        Operation::CountRoleAssignments => read!(client.role_assignment_count(SUBSCRIPTION.parse().unwrap())),
        Operation::ListOwnRights => read!(client.own_rights(account.arm())),
        Operation::ListPolicyAssignments => read!(client.policy_assignments(account.arm())),
        Operation::GetPolicyDefinition => read!(client.policy_definition(&policy("policyDefinitions"))),
        Operation::GetPolicySet => read!(client.policy_set(&policy("policySetDefinitions"))),
        Operation::ListPolicyExemptions => read!(client.policy_exemptions(account.arm())),
        Operation::GetKeyUsage => {
            let (from, to) = ("2026-11-01T00:00:00Z".parse().unwrap(), "2026-11-08T00:00:00Z".parse().unwrap());
            read!(client.key_usage(&account, from, to))
        }
        Operation::ListChanges | Operation::ListAssignmentChanges => {
            let of = match operation {
                Operation::ListChanges => ChangesOf::Resource(account.arm().clone()),
                _ => ChangesOf::Assignments(SUBSCRIPTION.parse().unwrap()),
            };
            let (from, to) = ("2026-11-01T00:00:00Z".parse().unwrap(), "2026-11-08T00:00:00Z".parse().unwrap());
            read!(client.changes(&of, from, to))
        }
        Operation::GetServiceUsage => {
            let (from, to) = ("2026-11-01T00:00:00Z".parse().unwrap(), "2026-11-08T00:00:00Z".parse().unwrap());
            read!(client.service_usage(&account, StorageService::File, from, to))
        }
        Operation::QueryCallers => {
            let (from, to) = ("2026-11-01T00:00:00Z".parse().unwrap(), "2026-11-08T00:00:00Z".parse().unwrap());
            read!(client.key_callers(&LogAnalyticsId::parse(&crate::callers::logs_id()).unwrap(), &account, from, to))
        }
        Operation::ProbeData => read!(client.data_probe(&account, crate::probe::ENDPOINT)),
        Operation::GetManagedIdentity => read!(client.managed_identity(&identity)),
        Operation::GrantRole => {
            let grant = Grant {
                scope: account.arm().clone(),
                name: GUID.parse().unwrap(),
                principal: PRINCIPAL.parse().unwrap(),
                principal_type: PrincipalType::ServicePrincipal,
                role: ROLE.parse().unwrap(),
                condition: None,
                description: "keyless owner=prod".to_owned(),
            };
            done(client.grant_role(permit(WriteKind::Grant).await.unwrap(), &grant).await)
        }
        Operation::RevokeRole => done(
            client
                .revoke_role(permit(WriteKind::Revoke).await.unwrap(), &ArmId::parse(&assignment_id()).unwrap())
                .await,
        ),
        Operation::SetAuthMode => done(
            client.set_auth_mode(permit(WriteKind::Workspace).await.unwrap(), &workspace, AuthMode::Identity).await,
        ),
        Operation::SetDatastoreCredential => {
            let stored = StoredDatastore::bare(Datastore {
                name: "raw".to_owned(),
                account_name: None,
                credentials: DatastoreCredentials::AccountKey,
                form: DatastoreForm::default(),
            });
            let permit = permit(WriteKind::Workspace).await.unwrap();
            done(client.set_datastore_credential(permit, &workspace, &stored).await)
        }
        Operation::CreateDatastore => {
            let place = DatastorePlace {
                kind: DatastoreKind::Blob,
                account: Some("stmlprod".to_owned()),
                space: "curated".to_owned(),
                subscription: Some(SUBSCRIPTION.to_owned()),
                resource_group: Some("rg-ml".to_owned()),
                service_access: Some(ServiceDataAccess::Workspace),
            };
            done(client.create_datastore(permit(WriteKind::Workspace).await.unwrap(), &workspace, "raw", &place).await)
        }
        Operation::CreateWorkspace => {
            let create = crate::create::create(CreateKind::Default(crate::create::parts()));
            let permit = permit(WriteKind::Workspace).await.unwrap();
            done(client.create_workspace(permit, &workspace, &create).await)
        }
        Operation::ResyncWorkspaceKeys => {
            done(client.resync_keys(permit(WriteKind::Workspace).await.unwrap(), &workspace).await)
        }
        Operation::SetSharedKeyAccess => {
            done(client.set_shared_key_access(permit(WriteKind::Account).await.unwrap(), &account, false).await)
        }
    }
}

/// An answer that the operation can live with.
fn answer(operation: Operation) -> Value {
    match operation {
        Operation::GetWorkspace | Operation::SetAuthMode | Operation::CreateWorkspace => {
            json!({"id": workspace_id(), "properties": {}})
        }
        Operation::GetStorageAccount | Operation::SetSharedKeyAccess => {
            json!({"id": account_id(), "location": "westeurope", "properties": {}})
        }
        Operation::GetRoleAssignment => json!({"id": assignment_id(), "name": GUID, "properties": {
            "roleDefinitionId": format!("/providers/Microsoft.Authorization/roleDefinitions/{ROLE}"),
            "principalId": PRINCIPAL, "scope": account_id(),
        }}),
        Operation::GetRoleDefinition => json!({"name": ROLE,
            "id": format!("/providers/Microsoft.Authorization/roleDefinitions/{ROLE}"), "properties": {
            "roleName": "Storage Blob Data Contributor", "type": "BuiltInRole", "permissions": [],
        }}),
        Operation::GetPolicyDefinition => {
            json!({"properties": {"policyRule": {"if": {}, "then": {"effect": "audit"}}}})
        }
        Operation::GetPolicySet => json!({"properties": {"policyDefinitions": []}}),
        Operation::GetManagedIdentity => json!({"id": identity_id(), "properties": {"principalId": PRINCIPAL}}),
        Operation::GetKeyUsage | Operation::GetServiceUsage => json!({"interval": "PT1H", "value": [{
            "name": {"value": "Transactions"}, "errorCode": "Success", "timeseries": [],
        }]}),
        Operation::ProbeData => json!(crate::probe::LIST),
        Operation::GetSubscription => json!({"subscriptionId": SUBSCRIPTION, "tenantId": GUID}),
        Operation::QueryCallers => json!({"tables": [{"name": "PrimaryResult", "columns": [], "rows": []}]}),
        Operation::GetDatastore => json!({"name": "raw", "properties": {
            "datastoreType": "AzureBlob", "accountName": "stmlprod", "credentials": {"credentialsType": "AccountKey"},
        }}),
        Operation::GrantRole
        | Operation::RevokeRole
        | Operation::ResyncWorkspaceKeys
        | Operation::SetDatastoreCredential
        | Operation::CreateDatastore => json!({}),
        Operation::ListSubscriptions
        | Operation::ListWorkspaces
        | Operation::ListDatastores
        | Operation::ListComputes
        | Operation::ListJobs
        | Operation::ListOnlineEndpoints
        | Operation::ListRoleAssignments
        | Operation::ListAssignmentsOf
        | Operation::ListEligibilities
        | Operation::ListDenyAssignments
        | Operation::ListChanges
        | Operation::ListAssignmentChanges
        | Operation::ListLocks
        | Operation::CountRoleAssignments
        | Operation::ListOwnRights
        | Operation::ListPolicyAssignments
        | Operation::ListPolicyExemptions => json!({"value": []}),
    }
}

/// What was sent for `operation` when it was answered with `status`.
async fn sent(operation: Operation, status: u16) -> Vec<Asked> {
    let (client, asks) = client(move |number, _| async move {
        match (status, number) {
            (202, 1) => reply(202, &[("location", POLL)], ""),
            (204, _) => reply(204, &[], ""),
            (status, 1) => reply(status, &[], answer(operation)),
            _ => reply(200, &[], json!({"status": "Succeeded"})),
        }
    });
    drive(operation, &client).await.unwrap_or_else(|error| panic!("{operation:?} answered with {status}: {error}"));
    let names: BTreeSet<&str> = client.counts().iter().map(|count| count.operation).collect();
    assert_eq!(names, BTreeSet::from([operation.name()]), "counted under its own name");
    asks.lock().unwrap().clone()
}

fn is_write(operation: Operation) -> bool {
    operation.actions().iter().any(|action| !reads(action))
}

/// Names of rights are compared without case.
fn reads(action: &str) -> bool {
    action.to_ascii_lowercase().ends_with("/read")
}

fn query_of(asked: &Asked) -> Vec<(String, String)> {
    url::Url::parse(&asked.url).unwrap().query_pairs().into_owned().collect()
}

/// Names in place of the values of this test.
fn template(text: &str) -> String {
    let mut text = text.to_owned();
    for (value, name) in [
        (SUBSCRIPTION, "{subscription}"),
        ("rg-ml", "{group}"),
        ("stmlprod", "{account}"),
        ("mlw-churn", "{workspace}"),
        ("log-ml", "{logs}"),
        ("/uami", "/{identity}"),
        ("datastores/raw", "datastores/{datastore}"),
        ("\"curated\"", "\"{container}\""),
        (GUID, "{assignment}"),
        (ROLE, "{role}"),
        (PRINCIPAL, "{principal}"),
        (POLICY, "{policy}"),
        ("2026-11-01T00:00:00Z/2026-11-08T00:00:00Z", "{from}/{to}"),
        ("2026-11-01T00:00:00Z", "{from}"),
        ("2026-11-08T00:00:00Z", "{to}"),
        ("keyless owner=prod", "{description}"),
    ] {
        text = text.replace(value, name);
    }
    text
}

async fn table() -> String {
    let mut text = String::from(
        "# Every request\n\n\
         All that this crate can send: to the resource manager, and one request to the data plane of an account. Made by a test out of what the client really sends; \
         `KEYLESS_WRITE_REQUESTS=1 cargo test -p keyless-arm --test arm requests` writes it anew. The versions of an \
         interface are tried from left to right, the next one where the cloud does not know the one before; the setting \
         `apiVersions` has other lists.\n\n\
         | operation | method and path | api-version | query | body | success | rights |\n\
         |---|---|---|---|---|---|---|\n",
    );
    let versions = ApiVersions::public();
    for &operation in Operation::ALL {
        let status = operation.success()[0];
        let asked = sent(operation, status).await.remove(0);
        let path = match operation {
            Operation::ProbeData => "https://{account}.blob.{suffix}/".to_owned(),
            _ => template(url::Url::parse(&asked.url).unwrap().path()),
        };
        let query: Vec<String> = query_of(&asked)
            .iter()
            .filter(|(name, _)| name != "api-version")
            .map(|(name, value)| format!("`{name}={}`", template(value).replace('|', "\\|")))
            .collect();
        let body =
            if asked.body.is_null() { String::new() } else { format!("`{}`", template(&asked.body.to_string())) };
        let success: Vec<String> = operation.success().iter().map(ToString::to_string).collect();
        let rights: Vec<String> = operation.actions().iter().map(|action| format!("`{action}`")).collect();
        writeln!(
            text,
            "| {} | {} `{path}` | {} | {} | {body} | {} | {} |",
            operation.name(),
            asked.method,
            versions.list(operation.interface()).join(", "),
            query.join(" "),
            success.join(", "),
            rights.join(", "),
        )
        .unwrap();
    }
    let (public, sovereign) = (ApiVersions::public(), ApiVersions::sovereign());
    for &interface in Interface::ALL.iter().filter(|interface| public.list(**interface) != sovereign.list(**interface))
    {
        write!(text, "\nIn sovereign clouds `{interface}` is {}.\n", sovereign.list(interface).join(", ")).unwrap();
    }
    text.push_str(
        "\nAn answer 202 is followed by GETs of the address in its `Azure-AsyncOperation` or `Location`, and a list by GETs \
         of its `nextLink`: these come from Azure and are used as they are, if they are the resource manager's. Every \
         request carries `authorization`, `accept`, `x-ms-client-request-id` and `x-ms-return-client-request-id`. `probe data plane` carries its version in `x-ms-version`, and a token of its own kind. None \
         carries `tags`, but `set datastore credential`: its body repeats all properties that `get datastore` showed. None \
         lists keys or secrets.\n",
    );
    text.push_str(
        "\n`list deny assignments` is sent once in an interval for each account with workspaces that are to be on identity, and \
         again before each write.\n",
    );
    text
}

#[tokio::test(start_paused = true)]
async fn every_request_is_written_down() {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("REQUESTS.md");
    let table = table().await;
    if std::env::var_os("KEYLESS_WRITE_REQUESTS").is_some() {
        std::fs::write(&path, &table).unwrap();
    }
    let written = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        written == table,
        "REQUESTS.md is not what the client sends; write it anew with \
         `KEYLESS_WRITE_REQUESTS=1 cargo test -p keyless-arm --test arm requests`. What it sends:\n{table}"
    );
}

#[tokio::test(start_paused = true)]
async fn every_success_code_is_taken_as_success() {
    for &operation in Operation::ALL {
        for &status in operation.success() {
            let asks = sent(operation, status).await;
            let polls = &asks[1..];
            assert_eq!(polls.len(), usize::from(status == 202), "{operation:?} {status}");
            for poll in polls {
                assert_eq!((poll.method.as_str(), poll.url.as_str()), ("GET", POLL));
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn no_request_carries_more_than_it_must() {
    let mut requests = Vec::new();
    for &operation in Operation::ALL {
        requests.push((operation, sent(operation, operation.success()[0]).await.remove(0)));
    }
    for (operation, asked) in &requests {
        let folded = asked.url.to_ascii_lowercase();
        let data = *operation == Operation::ProbeData;
        let place = if data { crate::probe::ENDPOINT.to_owned() } else { format!("{BASE}/") };
        assert!(asked.url.starts_with(&place), "{operation:?} goes to {}", asked.url);
        assert_eq!(asked.token.starts_with("Bearer data-"), data, "{operation:?}");
        for bad in ["listkeys", "listsecrets", "liststorageaccountkeys", "listaccountsas", "regeneratekey"] {
            assert!(!folded.contains(bad), "{operation:?} {folded}");
        }
        assert!(!asked.body.to_string().contains("tags"), "{operation:?}");
        let versions: Vec<String> = if data { vec![asked.version.clone()] } else { Vec::new() };
        let versions: Vec<String> = versions
            .into_iter()
            .chain(query_of(asked).into_iter().filter(|(name, _)| name == "api-version").map(|(_, version)| version))
            .collect();
        assert_eq!(versions, [ApiVersions::public().list(operation.interface())[0].as_str()], "{operation:?}");
        let method: Method = asked.method.parse().unwrap();
        assert_eq!(method == Method::GET, !is_write(*operation), "{operation:?}");
        let has_body = method == Method::PATCH || method == Method::PUT;
        assert_eq!(!asked.body.is_null(), has_body, "{operation:?}");
        if method == Method::PATCH {
            let body = asked.body.as_object().unwrap();
            assert_eq!(body.keys().collect::<Vec<_>>(), ["properties"], "{operation:?}");
            let properties = body["properties"].as_object().unwrap();
            assert_eq!(properties.len(), 1, "{operation:?}");
            assert!(properties.values().all(|value| value.is_string() || value.is_boolean()), "{operation:?}");
        }
    }
    let patched: Vec<&Value> =
        requests.iter().filter(|(_, asked)| asked.method == "PATCH").map(|(_, asked)| &asked.body).collect();
    assert_eq!(
        patched,
        [
            &json!({"properties": {"systemDatastoresAuthMode": "Identity"}}),
            &json!({"properties": {"allowSharedKeyAccess": false}})
        ]
    );
}

#[test]
fn only_resource_managers_are_spoken_to() {
    for (cloud, host) in [
        (Cloud::public(), "management.azure.com"),
        (Cloud::us_government(), "management.usgovcloudapi.net"),
        (Cloud::china(), "management.chinacloudapi.cn"),
    ] {
        assert_eq!(cloud.unwrap().resource_manager().host_str(), Some(host));
    }
}

#[test]
fn the_roles_of_the_deployment_hold_these_rights_and_no_others() {
    let rights = |operations: &mut dyn Iterator<Item = &Operation>| -> BTreeSet<&str> {
        operations.flat_map(|operation| operation.actions()).copied().collect()
    };
    // The data plane is asked only where files want it, and has a role of its own.
    let managed = || Operation::ALL.iter().filter(|operation| **operation != Operation::ProbeData);
    // Whoever has nothing made needs no right at hubs.
    let all = rights(&mut managed().filter(|operation| **operation != Operation::CreateWorkspace));
    let with_create = rights(&mut managed());
    let probe = rights(&mut [Operation::ProbeData].iter());
    let reads: BTreeSet<&str> = all.iter().filter(|action| reads(action)).copied().collect();
    for (file, expected) in
        [("observe.json", reads), ("converge.json", all), ("create.json", with_create), ("probe.json", probe)]
    {
        let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../deploy/azure").join(file);
        let role: Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
        let actions: BTreeSet<&str> =
            role["Actions"].as_array().unwrap().iter().map(|action| action.as_str().unwrap()).collect();
        assert_eq!(actions, expected, "{file}");
        for none in ["NotActions", "DataActions", "NotDataActions"] {
            assert_eq!(role[none], json!([]), "{file}");
        }
    }
}

/// A cloud that knows only the versions for which `known` is true.
fn knowing(code: &'static str, known: fn(&str) -> bool) -> (Client, crate::fake::Asks) {
    client(move |_, asked| async move {
        let version = query_of(&asked).into_iter().find(|(name, _)| name == "api-version").unwrap().1;
        if known(&version) {
            return match asked.method.as_str() {
                "GET" if asked.url.contains("workspaces/") => reply(200, &[], answer(Operation::GetWorkspace)),
                "GET" => reply(200, &[], answer(Operation::GetStorageAccount)),
                _ => reply(200, &[], answer(Operation::SetSharedKeyAccess)),
            };
        }
        let status = if code == "InvalidResourceType" { 404 } else { 400 };
        let message = format!("No registered resource provider found for API version '{version}'.");
        reply(status, &[], json!({"error": {"code": code, "message": message}}))
    })
}

fn versions_asked(asks: &crate::fake::Asks) -> Vec<String> {
    asks.lock().unwrap().iter().map(|asked| query_of(asked)[0].1.clone()).collect()
}

#[tokio::test(start_paused = true)]
async fn a_version_that_the_cloud_does_not_know_gives_way_to_the_next_for_the_process() {
    for code in ["NoRegisteredProviderFound", "InvalidApiVersionParameter", "InvalidResourceType"] {
        let (client, asks) = knowing(code, |version| version == "2025-06-01" || version == "2022-09-01");
        let workspace = WorkspaceId::parse(&workspace_id()).unwrap();
        client.workspace(&workspace).await.unwrap();
        client.workspace(&workspace).await.unwrap();
        assert_eq!(versions_asked(&asks), ["2025-09-01", "2025-06-01", "2025-06-01"], "{code}");
        asks.lock().unwrap().clear();
        // Through the management crate, and for a write: whoever does not know the interface has done nothing.
        drive(Operation::SetSharedKeyAccess, &client).await.unwrap();
        drive(Operation::GetStorageAccount, &client).await.unwrap();
        assert_eq!(
            versions_asked(&asks),
            ["2025-08-01", "2023-05-01", "2023-01-01", "2022-09-01", "2022-09-01"],
            "{code}"
        );
        let bodies: Vec<Value> = asks.lock().unwrap()[..3].iter().map(|asked| asked.body.clone()).collect();
        assert!(bodies.iter().all(|body| *body == json!({"properties": {"allowSharedKeyAccess": false}})));
        tokio::time::advance(std::time::Duration::from_secs(7 * 3600)).await;
        asks.lock().unwrap().clear();
        client.workspace(&workspace).await.unwrap();
        assert_eq!(versions_asked(&asks), ["2025-09-01", "2025-06-01"], "the first is tried again: {code}");
    }
}

#[tokio::test(start_paused = true)]
async fn where_no_version_is_known_the_error_says_where_to_name_one() {
    let (client, asks) = knowing("NoRegisteredProviderFound", |_| false);
    let workspace = WorkspaceId::parse(&workspace_id()).unwrap();
    for _ in 0..2 {
        asks.lock().unwrap().clear();
        client.workspace(&workspace).await.unwrap_err();
        assert_eq!(versions_asked(&asks), ["2025-09-01", "2025-06-01"], "what nobody answered is not kept");
    }
    let error = client.workspace(&workspace).await.unwrap_err();
    assert!(error.waits_for_person());
    assert!(error.lift.as_deref().unwrap().contains("apiVersions: {workspaces"), "{:?}", error.lift);
}

#[tokio::test(start_paused = true)]
async fn no_other_error_changes_the_version() {
    for (status, code) in [
        (403, "NoRegisteredProviderFound"),
        (400, "MissingApiVersionParameter"),
        (404, "ResourceNotFound"),
        (404, "InvalidResourceType"),
        (400, "UserError"),
        (503, "ServerBusy"),
    ] {
        let (client, asks) = client(move |_, _| async move { crate::fake::error(status, code) });
        let workspace = WorkspaceId::parse(&workspace_id()).unwrap();
        let _ = client.workspace(&workspace).await;
        drive(Operation::SetAuthMode, &client).await.unwrap_err();
        assert!(versions_asked(&asks).iter().all(|version| version == "2025-09-01"), "{status} {code}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_version_that_is_broken_for_one_resource_is_left_for_that_read_only_and_never_for_a_write() {
    let (client, asks) = client(|_, asked| async move {
        if asked.url.contains("2025-09-01") {
            crate::fake::error(500, "InternalServerError")
        } else {
            reply(200, &[], answer(Operation::GetWorkspace))
        }
    });
    let workspace = WorkspaceId::parse(&workspace_id()).unwrap();
    for _ in 0..2 {
        asks.lock().unwrap().clear();
        client.workspace(&workspace).await.unwrap();
        assert_eq!(versions_asked(&asks), ["2025-09-01", "2025-09-01", "2025-06-01"]);
    }
    asks.lock().unwrap().clear();
    drive(Operation::SetAuthMode, &client).await.unwrap_err();
    assert_eq!(versions_asked(&asks), ["2025-09-01"], "a write that may have landed is not repeated");
}

/// Whether the operation succeeds where each of its requests is answered so.
async fn taken_for_an_answer(operation: Operation, status: u16, body: &'static str) -> bool {
    let (client, _) = client(move |_, _| async move { reply(status, &[], body) });
    drive(operation, &client).await.is_ok()
}

#[tokio::test(start_paused = true)]
async fn what_is_refused_or_cannot_be_read_is_never_taken_for_nothing_there() {
    let refused = r#"{"error": {"code": "AuthorizationFailed", "message": "no"}}"#;
    for &operation in Operation::ALL {
        for status in [400, 401, 403, 404, 405, 409, 410, 412, 429, 500, 503] {
            assert!(!taken_for_an_answer(operation, status, refused).await, "{operation:?} answered with {status}");
        }
        for body in ["", "{}", "[]", "null", "<html></html>"] {
            let taken = !is_write(operation) && taken_for_an_answer(operation, 200, body).await;
            assert!(!taken, "{operation:?} answered with `{body}`");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn only_of_one_thing_404_says_that_it_is_not_there() {
    let gone = r#"{"error": {"code": "ResourceNotFound", "message": "not here"}}"#;
    let mut believed = Vec::new();
    for &operation in Operation::ALL {
        if taken_for_an_answer(operation, 404, gone).await {
            believed.push(operation);
        }
    }
    let single = [
        Operation::GetSubscription,
        Operation::GetWorkspace,
        Operation::GetDatastore,
        Operation::GetStorageAccount,
        Operation::GetRoleAssignment,
        Operation::GetRoleDefinition,
        Operation::GetPolicyDefinition,
        Operation::GetPolicySet,
        Operation::GetManagedIdentity,
        Operation::RevokeRole,
    ];
    assert_eq!(believed, single);
}
