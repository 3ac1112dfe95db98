//! Roles that could be activated, and memberships as assignments show them.

use keyless_sim::Knobs;
use serde_json::{Value, json};

use crate::cloud::{
    BLOB_CONTRIBUTOR, BLOB_READER, Cloud, DANA, GROUP, JOB, RG, SUB, account, grant_entry, role, small_world,
};

const OUTER: &str = "11111111-aaaa-4aaa-8aaa-0000000000ff";
const MANAGEMENT_GROUP: &str = "/providers/Microsoft.Management/managementGroups/mg";

fn eligible(scope: &str, name: &str, principal: &str) -> Value {
    json!({"id": format!("{scope}/providers/Microsoft.Authorization/roleEligibilityScheduleInstances/{name}"),
        "name": name, "type": "Microsoft.Authorization/roleEligibilityScheduleInstances",
        "properties": {"scope": scope, "roleDefinitionId": role(BLOB_CONTRIBUTOR), "principalId": principal,
            "principalType": "User", "memberType": "Direct", "status": "Provisioned",
            "startDateTime": "2026-01-01T00:00:00Z", "endDateTime": "2027-01-01T00:00:00Z"}})
}

async fn names(cloud: &Cloud, path: &str) -> Vec<String> {
    let reply = cloud.get(path).await;
    assert_eq!(reply.status, 200, "{reply:?}");
    let all = reply.body["value"].as_array().unwrap();
    all.iter().map(|entry| entry["name"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn what_could_be_activated_is_listed_by_principal_through_groups_and_gives_nothing() {
    let mut world = small_world();
    let container = format!("{}/blobServices/default/containers/c", account());
    for (scope, name, principal) in
        [(account().as_str(), "e1", DANA), (RG, "e2", GROUP), (SUB, "e3", JOB), (&container, "e4", DANA)]
    {
        world.push(eligible(scope, name, principal));
    }
    let cloud = Cloud::new(world, Knobs::immediate());
    let list = format!(
        "{}/providers/Microsoft.Authorization/roleEligibilityScheduleInstances?api-version=2020-10-01&$filter=",
        account()
    );
    for (filter, expected) in [
        (format!("assignedTo('{DANA}')"), vec!["e2", "e1", "e4"]),
        (format!("principalId eq '{DANA}'"), vec!["e1", "e4"]),
        ("atScope()".to_owned(), vec!["e3", "e2", "e1"]),
        (format!("assignedTo('{JOB}')"), vec!["e3"]),
    ] {
        let mut found = names(&cloud, &format!("{list}{filter}")).await;
        let mut expected: Vec<String> = expected.into_iter().map(str::to_owned).collect();
        found.sort();
        expected.sort();
        assert_eq!(found, expected, "{filter}");
    }
    assert_eq!(cloud.get(&format!("{list}colour eq 'red'")).await.status, 400);
    let assigned = format!(
        "{}/providers/Microsoft.Authorization/roleAssignments?api-version=2022-04-01&$filter=assignedTo('{DANA}')",
        account()
    );
    assert_eq!(names(&cloud, &assigned).await, Vec::<String>::new(), "no assignment before it is activated");
}

/// Source: MicrosoftDocs/azure-docs `articles/role-based-access-control/role-assignments-list-rest.md`.
#[tokio::test]
async fn assigned_to_follows_groups_in_groups_up_to_the_management_group_and_names_the_group() {
    let mut world = small_world();
    world.push(json!({"id": OUTER, "type": "Microsoft.Graph/groups", "displayName": "all", "members": [GROUP, JOB]}));
    world.push(grant_entry(MANAGEMENT_GROUP, "a1", OUTER, BLOB_READER));
    let cloud = Cloud::new(world, Knobs::immediate());
    for principal in [DANA, JOB] {
        let path = format!(
            "{}/providers/Microsoft.Authorization/roleAssignments?api-version=2022-04-01&$filter=atScope() and assignedTo('{principal}')",
            account()
        );
        let reply = cloud.get(&path).await;
        assert_eq!((reply.status, &reply.body["value"][0]["properties"]["principalId"]), (200, &json!(OUTER)));
        assert_eq!(reply.body["value"][0]["properties"]["scope"], MANAGEMENT_GROUP);
    }
}
