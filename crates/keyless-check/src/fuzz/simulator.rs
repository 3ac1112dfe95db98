//! What is asked of the simulator, and worlds that it is given. A line says method and path, the rest is the body.

use bytes::Bytes;
use http::Request;
use jiff::Timestamp;
use keyless_sim::{ClockMode, SimOptions, Simulator, World, fleet, load};

const SUBSCRIPTION: &str = "3f8c1d7a-52b4-4c0e-9d2e-7a1b6c5d4e90";

fn options() -> SimOptions {
    SimOptions { clock: ClockMode::Simulated(start()), ..SimOptions::default() }
}

fn start() -> Timestamp {
    Timestamp::from_second(1_793_491_200).unwrap_or_default()
}

/// Asks once, under virtual time, and gives up where the simulator hangs on purpose.
fn ask(simulator: &Simulator, request: Request<Bytes>) -> Result<Option<u16>, String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    let answer = runtime
        .map_err(|error| error.to_string())?
        .block_on(async { tokio::time::timeout(std::time::Duration::from_secs(3600), simulator.call(request)).await });
    Ok(answer.ok().and_then(Result::ok).map(|response| response.status().as_u16()))
}

pub(super) fn run(input: &[u8]) -> Result<(), String> {
    let mut lines = input.splitn(2, |byte| *byte == b'\n');
    let (line, body) = (lines.next().unwrap_or_default(), lines.next().unwrap_or_default());
    let Ok(line) = std::str::from_utf8(line) else { return Ok(()) };
    let (method, path) = line.split_once(' ').unwrap_or(("GET", line));
    let world = fleet::generate(2, 7, start());
    let (world, _) = World::from_resources(world.resources);
    let simulator = Simulator::new(world, &options()).map_err(|error| error.to_string())?;
    let token = simulator.token(keyless_sim::CLIENT_OBJECT_ID);
    let request = Request::builder()
        .method(method)
        .uri(format!("https://arm.example{path}"))
        .header("authorization", format!("Bearer {}", token.reveal()))
        .header("content-type", "application/json")
        .body(Bytes::copy_from_slice(body));
    // What is no request at all never reaches it.
    let Ok(request) = request else { return Ok(()) };
    let (before, is_read) = (simulator.world_json(), *request.method() == http::Method::GET);
    match ask(&simulator, request)? {
        Some(status) if !(100..600).contains(&status) => Err(format!("status {status}")),
        Some(500) => Err("it owns up to a mistake of its own: 500".to_owned()),
        Some(status) if status >= 400 && simulator.world_json() != before => {
            Err(format!("it refused with {status}, and changed something"))
        }
        _ if is_read && simulator.world_json() != before => Err("a GET changed something".to_owned()),
        _ => Ok(()),
    }
}

pub(super) fn seeds() -> Vec<Vec<u8>> {
    let made = fleet::generate(2, 7, start());
    let id_of = |kind: &str| {
        let of_kind = |one: &&serde_json::Value| {
            one.get("type").and_then(serde_json::Value::as_str).is_some_and(|found| found.eq_ignore_ascii_case(kind))
        };
        let found =
            made.resources.iter().find(of_kind).and_then(|one| one.get("id")).and_then(serde_json::Value::as_str);
        found.unwrap_or("/").to_owned()
    };
    let account = id_of("Microsoft.Storage/storageAccounts");
    let workspace = id_of("Microsoft.MachineLearningServices/workspaces");
    let subscription = account.split('/').nth(2).unwrap_or(SUBSCRIPTION).to_owned();
    let guid = "9c1d2f63-4b0a-4d57-8f3e-1a2b3c4d5e6f";
    let query = r#"{"query":"resources | where type =~ 'microsoft.storage/storageaccounts' and name startswith 'st' | project id, name | order by id asc | limit 10","subscriptions":["S"],"options":{"$top":5}}"#;
    let template = r#"{"properties":{"mode":"Incremental","template":{"$schema":"https://schema.management.azure.com/schemas/2019-04-01/deploymentTemplate.json#","contentVersion":"1.0.0.0","parameters":{"p":{"type":"string","defaultValue":"x"}},"variables":{"v":"[concat(parameters('p'),'-y')]"},"resources":[{"type":"Microsoft.Storage/storageAccounts","apiVersion":"2023-05-01","name":"[toLower(variables('v'))]","location":"westeurope","sku":{"name":"Standard_LRS"},"kind":"StorageV2","properties":{}}]}}}"#;
    let texts = [
        "GET /subscriptions?api-version=2022-12-01".to_owned(),
        format!("GET {workspace}?api-version=2024-10-01"),
        format!(
            "GET /subscriptions/{subscription}/providers/Microsoft.MachineLearningServices/workspaces?api-version=2024-10-01&$skip=1"
        ),
        format!(
            "PATCH {workspace}?api-version=2024-10-01\n{{\"properties\":{{\"systemDatastoresAuthMode\":\"Identity\"}}}}"
        ),
        format!("PATCH {account}?api-version=2023-05-01\n{{\"properties\":{{\"allowSharedKeyAccess\":false}}}}"),
        format!("GET {account}?api-version=2023-05-01"),
        format!(
            "GET {account}/providers/Microsoft.Authorization/roleAssignments?api-version=2022-04-01&$filter=atScope()"
        ),
        format!(
            "PUT {account}/providers/Microsoft.Authorization/roleAssignments/{guid}?api-version=2022-04-01\n{{\"properties\":{{\"roleDefinitionId\":\"/providers/Microsoft.Authorization/roleDefinitions/ba92f5b4-2d11-453d-a403-e96b0029c9fe\",\"principalId\":\"{guid}\",\"principalType\":\"Group\"}}}}"
        ),
        format!(
            "GET {account}/providers/Microsoft.Insights/metrics?api-version=2023-10-01&metricnames=Transactions&timespan=2026-10-31T00:00:00Z/2026-11-01T00:00:00Z&interval=PT1H&aggregation=Total&$filter=Authentication eq '*'"
        ),
        format!(
            "GET /subscriptions/{subscription}/providers/Microsoft.Insights/eventtypes/management/values?api-version=2015-04-01&$filter=eventTimestamp ge '2026-10-31T00:00:00Z' and resourceUri eq '{account}'"
        ),
        format!(
            "POST /providers/Microsoft.ResourceGraph/resources?api-version=2022-10-01\n{}",
            query.replace('S', &subscription)
        ),
        format!(
            "PUT /subscriptions/{subscription}/resourceGroups/rg-ml/providers/Microsoft.Resources/deployments/d?api-version=2021-04-01\n{template}"
        ),
        format!("GET {workspace}/datastores?api-version=2024-10-01"),
        format!(
            "PUT {workspace}/datastores/raw?api-version=2024-10-01\n{{\"properties\":{{\"datastoreType\":\"AzureBlob\",\"accountName\":\"a\",\"containerName\":\"c\",\"credentials\":{{\"credentialsType\":\"None\"}}}}}}"
        ),
        format!("GET {account}/providers/Microsoft.Authorization/locks?api-version=2020-05-01&$filter=atScope()"),
        "POST /sim/drift\n{\"kind\":\"sharedKey\",\"target\":\"x\",\"value\":true}".to_owned(),
        "POST /sim/advance\n{\"by\":\"1h\"}".to_owned(),
        "POST /sim/faults\n{\"rules\":[]}".to_owned(),
    ];
    texts.into_iter().map(String::into_bytes).collect()
}

pub(super) fn world(input: &[u8]) -> Result<(), String> {
    let Ok(text) = std::str::from_utf8(input) else { return Ok(()) };
    let Ok(loaded) = load::parse(text) else { return Ok(()) };
    let (world, _) = World::from_resources(loaded.resources);
    let simulator = Simulator::new(world, &options()).map_err(|error| error.to_string())?;
    // Whatever it holds, it can be looked at.
    let token = simulator.token(keyless_sim::CLIENT_OBJECT_ID);
    for path in [
        "/subscriptions?api-version=2022-12-01",
        &format!(
            "/subscriptions/{SUBSCRIPTION}/providers/Microsoft.MachineLearningServices/workspaces?api-version=2024-10-01"
        ),
    ] {
        let request = Request::builder()
            .uri(format!("https://arm.example{path}"))
            .header("authorization", format!("Bearer {}", token.reveal()))
            .body(Bytes::new())
            .map_err(|error| error.to_string())?;
        if ask(&simulator, request)? == Some(500) {
            return Err(format!("{path} answers 500"));
        }
    }
    Ok(())
}

pub(super) fn world_seeds() -> Vec<Vec<u8>> {
    let mut seeds = vec![b"[]".to_vec(), b"{\"value\":[]}".to_vec()];
    for count in [1, 2] {
        let made = fleet::generate(count, 7, start()).resources;
        seeds.extend(made.iter().map(|one| one.to_string().into_bytes()));
        seeds.push(serde_json::Value::from(made).to_string().into_bytes());
    }
    seeds
}
