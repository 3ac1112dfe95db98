//! The activity log: who is named, what is logged, and what may be asked.

use std::time::Duration;

use keyless_sim::{CLIENT_OBJECT_ID, Fault, FaultRule, Faults, Knobs, MANAGED_OBJECT_ID, WorkspaceWrite};
use serde_json::{Value, json};

use crate::cloud::{BLOB_CONTRIBUTOR, Cloud, SUB, account, small_world, workspace};

const PERSON: &str = "5e7a1b2c-0000-4000-8000-00000000abcd";
const CORRECTOR: &str = "5e7a1b2c-0000-4000-8000-00000000abce";
const OID: &str = "http://schemas.microsoft.com/identity/claims/objectidentifier";

fn log_of(rest: &str) -> String {
    format!(
        "{SUB}/providers/Microsoft.Insights/eventtypes/management/values?api-version=2015-04-01&$filter=eventTimestamp ge \
         '2027-01-01T00:00:00Z' and eventTimestamp le '2028-01-01T00:00:00Z'{rest}"
    )
}

async fn events(cloud: &Cloud) -> Vec<Value> {
    let answer = cloud.get(&log_of(&format!(" and resourceUri eq '{}'", account()))).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.body["value"].as_array().unwrap().clone()
}

fn identity() -> String {
    let group = account().split("/providers/").next().unwrap().to_owned();
    format!("{group}/providers/Microsoft.ManagedIdentity/userAssignedIdentities/corrector")
}

fn peopled() -> Vec<Value> {
    let mut world = small_world();
    world.push(json!({"id": PERSON, "type": "Microsoft.Graph/users", "displayName": "Dana Ito"}));
    world.push(json!({
        "id": identity(), "type": "Microsoft.ManagedIdentity/userAssignedIdentities", "location": "westeurope",
        "properties": {"principalId": CORRECTOR, "clientId": "c-1"},
    }));
    world
}

fn drift_by(cloud: &Cloud, by: &str, allowed: bool) {
    let drift = json!({"change": "sharedKey", "target": account(), "value": allowed, "by": by});
    cloud.sim.drift(serde_json::from_value(drift).unwrap()).unwrap();
}

#[tokio::test]
async fn people_go_by_their_login_and_everybody_else_by_the_object_id() {
    let cloud = Cloud::new(peopled(), Knobs::immediate());
    for (by, caller, claim, value) in [
        (
            PERSON,
            "dana.ito@example.com",
            "http://schemas.xmlsoap.org/ws/2005/05/identity/claims/upn",
            "dana.ito@example.com",
        ),
        (CORRECTOR, CORRECTOR, "xms_mirid", &*identity()),
        (CLIENT_OBJECT_ID, CLIENT_OBJECT_ID, "appid", "c1e27a5e-5d0f-4c7b-8a41-6f0d1b2c3a01"),
    ] {
        drift_by(&cloud, by, true);
        let event = &events(&cloud).await[0];
        assert_eq!(event["caller"], caller);
        assert_eq!(event["claims"][OID], by);
        assert_eq!(event["claims"][claim], value, "{event:#}");
        assert_eq!(event["claims"]["ipaddr"], "203.0.113.7");
        assert!(event["claims"].as_object().unwrap().values().all(Value::is_string), "all claims are texts");
    }
    drift_by(&cloud, "", true);
    let nobody = &events(&cloud).await[0];
    assert_eq!((nobody.get("caller"), nobody["claims"].get(OID)), (None, None));
}

#[tokio::test]
async fn a_write_is_a_beginning_and_an_end_of_one_request_latest_first() {
    let cloud = Cloud::immediate();
    let mut request = cloud.request(
        "PATCH",
        &format!("{}?api-version=2023-05-01", account()),
        Some(json!({"properties": {"allowSharedKeyAccess": false}})),
    );
    request.headers_mut().insert("x-ms-client-request-id", "r-1".parse().unwrap());
    assert_eq!(cloud.send(request).await.status, 200);
    let found = events(&cloud).await;
    let words = |event: &Value| {
        ["eventName", "status", "subStatus"].map(|name| event[name]["value"].as_str().unwrap_or_default().to_owned())
    };
    assert_eq!(words(&found[0]), ["EndRequest", "Succeeded", "OK"]);
    assert_eq!(words(&found[1]), ["BeginRequest", "Started", ""]);
    for name in ["correlationId", "operationId"] {
        assert_eq!(found[0][name], found[1][name], "{name}");
    }
    assert_eq!(found[0]["properties"]["statusCode"], "OK");
    assert_eq!(found[0]["httpRequest"]["clientRequestId"], "r-1");
    assert_eq!(found[0]["httpRequest"]["method"], "PATCH");
    assert!(found.iter().all(|event| event["properties"].get("requestbody").is_none()), "values are not told");
}

#[tokio::test]
async fn a_body_is_told_where_the_log_holds_bodies() {
    let cloud = Cloud::new(peopled(), Knobs { activity_bodies: true, ..Knobs::immediate() });
    cloud.flag(false).await;
    drift_by(&cloud, PERSON, true);
    let found = events(&cloud).await;
    let bodies: Vec<&str> = found.iter().filter_map(|event| event["properties"]["requestbody"].as_str()).collect();
    let body = |allowed: bool| json!({"properties": {"allowSharedKeyAccess": allowed}}).to_string();
    assert_eq!(bodies, [body(true), body(false)]);
}

#[tokio::test]
async fn what_was_refused_failed_and_reads_are_no_events() {
    let mut cloud = Cloud::immediate();
    cloud.act_as("5e7a1b2c-0000-4000-8000-00000000dead");
    assert_eq!(cloud.flag(true).await.status, 403);
    cloud.get(&format!("{}?api-version=2023-05-01", account())).await;
    cloud.act_as(CLIENT_OBJECT_ID);
    let found = events(&cloud).await;
    assert_eq!(found.len(), 2);
    assert_eq!((&found[0]["status"]["value"], &found[0]["level"]), (&json!("Failed"), &json!("Error")));
    assert_eq!(found[0]["subStatus"]["value"], "Forbidden");
    assert_eq!(found[0]["operationName"]["value"], "Microsoft.Storage/storageAccounts/write");
    let listed = cloud.ask("POST", &format!("{}/listKeys?api-version=2023-05-01", account()), None).await;
    assert_eq!(listed.status, 200);
    let action = &events(&cloud).await[0]["operationName"]["value"];
    assert_eq!(action, "Microsoft.Storage/storageAccounts/listKeys/action", "an action that reads secrets is one");
}

#[tokio::test]
async fn a_long_operation_is_accepted_and_succeeds_later_under_one_correlation_id() {
    let knobs =
        Knobs { workspace_write: WorkspaceWrite::Async, operation: Duration::from_secs(15), ..Knobs::immediate() };
    let cloud = Cloud::new(small_world(), knobs);
    assert_eq!(cloud.mode("churn", "Identity").await.status, 202);
    let path = log_of(&format!(" and resourceUri eq '{}'", workspace("churn")));
    let of = async || cloud.get(&path).await.body["value"].as_array().unwrap().clone();
    assert_eq!(of().await[0]["status"]["value"], "Accepted");
    cloud.pass(15);
    let found = of().await;
    assert_eq!(found.len(), 3);
    assert_eq!(found[0]["status"]["value"], "Succeeded");
    assert!(found.iter().all(|event| event["correlationId"] == found[0]["correlationId"]));
    assert!(found[0]["eventTimestamp"].as_str() > found[1]["eventTimestamp"].as_str());
}

#[tokio::test]
async fn a_policy_that_turns_a_write_into_none_is_an_event_of_its_own() {
    let rule = FaultRule::new("PATCH", "/storageAccounts/{}", Fault::Ignored);
    let cloud = Cloud::new(small_world(), Knobs { faults: Faults::new([rule]), ..Knobs::immediate() });
    assert_eq!(cloud.flag(false).await.status, 200);
    let found = events(&cloud).await;
    assert_eq!(found.len(), 3);
    assert_eq!(found[0]["category"]["value"], "Policy");
    assert_eq!(found[0]["operationName"]["value"], "Microsoft.Authorization/policies/modify/action");
    assert!(found[0]["properties"]["policies"].as_str().unwrap().contains("set-by-policy"));
    assert_eq!(found[0]["correlationId"], found[1]["correlationId"]);
}

#[tokio::test]
async fn only_the_documented_filters_are_answered() {
    let cloud = Cloud::immediate();
    cloud.flag(true).await;
    cloud.grant(&account(), "0f6c7b8a-2d1e-5c3f-9a4b-6d7e8f901234", PERSON, BLOB_CONTRIBUTOR).await;
    let count = async |rest: &str| {
        let answer = cloud.get(&log_of(rest)).await;
        (answer.status, answer.body["value"].as_array().map_or(0, Vec::len))
    };
    assert_eq!(count("").await, (200, 4));
    assert_eq!(count(" and resourceProvider eq 'microsoft.authorization'").await, (200, 2));
    assert_eq!(count(" and resourceProvider eq Microsoft.Authorization").await, (200, 2), "the quotes may be missing");
    let both = format!(" and resourceUri eq '{}' and resourceProvider eq 'Microsoft.Storage'", account());
    let channel = " and eventChannels eq 'Operation' and resourceType eq 'Microsoft.Storage/storageAccounts'";
    assert_eq!(count(channel).await, (200, 2));
    for refused in [&both, " and caller eq 'x'", " and status eq 'Succeeded'", " or resourceGroupName eq 'x'"] {
        let answer = cloud.get(&log_of(refused)).await;
        assert_eq!((answer.status, &answer.body["code"]), (400, &json!("BadRequest")), "{refused}");
    }
    let old = log_of("").replace("2027-01-01", "2018-01-01");
    let answer = cloud.get(&old).await;
    assert_eq!(answer.body["message"], "The start time cannot be more than 90 days in the past.");
}

#[tokio::test]
async fn chosen_fields_come_alone_and_pages_go_on_where_the_last_ended() {
    let cloud = Cloud::new(small_world(), Knobs { page_size: 3, ..Knobs::immediate() });
    for allowed in [true, false] {
        cloud.flag(allowed).await;
    }
    let first = cloud.get(&format!("{}&$select=caller,eventName", log_of(""))).await.body;
    let fields: Vec<&String> = first["value"][0].as_object().unwrap().keys().collect();
    assert_eq!(fields, ["caller", "eventName", "id"]);
    // What is written meanwhile is no part of the pages that follow.
    cloud.flag(true).await;
    let rest = cloud.get(first["nextLink"].as_str().unwrap()).await.body;
    assert_eq!((first["value"].as_array().unwrap().len(), rest["value"].as_array().unwrap().len()), (3, 1));
    assert_ne!(first["value"][2]["id"], rest["value"][0]["id"]);
}

#[tokio::test]
async fn the_log_is_closed_to_whoever_has_no_right_to_it() {
    let mut cloud = Cloud::immediate();
    cloud.act_as("5e7a1b2c-0000-4000-8000-00000000dead");
    let answer = cloud.get(&log_of("")).await;
    assert_eq!((answer.status, answer.code()), (403, "AuthorizationFailed"));
    cloud.act_as(MANAGED_OBJECT_ID);
    assert_eq!(cloud.get(&log_of("")).await.status, 200);
}

#[tokio::test]
async fn whoever_writes_or_removes_a_datastore_is_in_the_log_under_the_datastore() {
    let cloud = Cloud::new(peopled(), Knobs::immediate());
    let store = format!("{}/datastores/raw", workspace("churn"));
    let properties = json!({"datastoreType": "AzureBlob", "accountName": "stmlchurnprod", "containerName": "raw",
        "credentials": {"credentialsType": "None"}});
    let put =
        cloud.ask("PUT", &format!("{store}?api-version=2024-04-01"), Some(json!({"properties": properties}))).await;
    assert_eq!(put.status, 201, "{put:?}");
    let drift = json!({"change": "datastoreAdded", "target": store, "by": PERSON,
        "value": {"properties": {"datastoreType": "AzureBlob", "accountName": "stmlchurnprod", "containerName": "raw",
            "credentials": {"credentialsType": "AccountKey"}}}});
    cloud.sim.drift(serde_json::from_value(drift).unwrap()).unwrap();
    let removed = cloud.ask("DELETE", &format!("{store}?api-version=2024-04-01"), None).await;
    assert_eq!(removed.status, 200, "{removed:?}");
    let answer = cloud.get(&log_of(&format!(" and resourceUri eq '{store}'"))).await;
    let ended: Vec<(&str, &str)> = answer.body["value"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|event| event["eventName"]["value"] == "EndRequest")
        .map(|event| (event["caller"].as_str().unwrap(), event["operationName"]["value"].as_str().unwrap()))
        .collect();
    let stores = "Microsoft.MachineLearningServices/workspaces/datastores";
    let (write, delete) = (format!("{stores}/write"), format!("{stores}/delete"));
    let wanted = [(CLIENT_OBJECT_ID, &*delete), ("dana.ito@example.com", &*write), (CLIENT_OBJECT_ID, &*write)];
    assert_eq!(ended, wanted);
}
