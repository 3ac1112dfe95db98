use http::Method;
use keyless_core::desired::{Need, PrincipalRef};
use serde_json::{Value, json};

use super::super::fleet::{Made, make};
use super::*;

/// What is broken by this request, the age of the process and of its reads left out.
fn broken(judge: &mut Judge, sim: &Simulator, method: Method, path: &str, body: &Value) -> Vec<String> {
    let request = Request::builder().method(method).uri(format!("https://management.azure.com{path}"));
    let request = request.body(Bytes::from(body.to_string())).unwrap();
    judge.broken.clear();
    judge.leaves(1, Duration::from_secs(3600), sim, &request);
    let meant = ["no file asks for", "whom the files name", "more than how it signs"];
    let is_meant = |why: &String| meant.iter().any(|what| why.contains(what));
    std::mem::take(&mut judge.broken).into_iter().filter(is_meant).collect()
}

#[test]
fn a_grant_is_made_for_whom_a_file_names_and_taken_from_nobody_else() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    let _entered = runtime.enter();
    let (draw, folder) = (Draw::quiet(2), tempfile::tempdir().unwrap());
    let Made { sim, desired } = make(&draw, folder.path()).unwrap();
    let mut judge = Judge::new(&draw, &sim, Arc::new(desired.clone()));
    let named = desired.workspaces.iter().find_map(|(id, one)| {
        let account = judge.account_of(&id.as_str().to_ascii_lowercase())?;
        let object = |need: &Need| match &need.principal {
            PrincipalRef::Object { id, .. } => Some((id.to_string(), need.role.to_string())),
            _ => None,
        };
        Some((account, one.needs.iter().find_map(object)?))
    });
    let (account, (principal, role)) = named.unwrap();
    let stranger = "7e57ab1e-0000-4000-8000-000000000000";
    let path = format!("{account}/providers/Microsoft.Authorization/roleAssignments/{stranger}");
    let given = |principal: &str, role: &str, condition: Option<&str>| {
        let role = format!("/providers/Microsoft.Authorization/roleDefinitions/{role}");
        json!({"properties": {"principalId": principal, "roleDefinitionId": role, "condition": condition}})
    };
    let owner = "8e3af657-a8ff-443c-a75c-2fe8c4bcb635";
    for (principal, role, condition, is_asked) in [
        (&*principal, &*role, None, true),
        (stranger, &*role, None, false),
        (&*principal, owner, None, false),
        (&*principal, &*role, Some("@Resource[name] StringEquals 'one'"), false),
    ] {
        let body = given(principal, role, condition);
        let wrong = broken(&mut judge, &sim, Method::PUT, &path, &body);
        assert_eq!(wrong.is_empty(), is_asked, "{body}: {wrong:?}");
    }

    for (principal, is_named) in [(&*principal, true), (stranger, false)] {
        let value = json!({"principalId": principal, "roleDefinitionId": role});
        let change = keyless_sim::DriftChange::GrantAdded;
        sim.drift(keyless_sim::Drift { change, target: path.clone(), value, by: String::new() }).unwrap();
        let wrong = broken(&mut judge, &sim, Method::DELETE, &path, &json!({}));
        assert_eq!(!wrong.is_empty(), is_named, "{principal}: {wrong:?}");
    }
}

#[test]
fn a_datastore_keeps_all_but_its_credential() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    let _entered = runtime.enter();
    let folder = tempfile::tempdir().unwrap();
    let fleet = |seed: u64| {
        let draw = Draw::quiet(seed);
        let Made { sim, desired } = make(&draw, folder.path()).unwrap();
        let judge = Judge::new(&draw, &sim, Arc::new(desired));
        let (path, stored) = judge.truth.stored.first_key_value()?;
        Some((path.clone(), stored.told.clone(), judge, sim))
    };
    let (path, mut told, mut judge, sim) = (1..20).find_map(fleet).expect("one with a datastore that stores a key");
    told["credentials"] = json!({"credentialsType": "None"});
    let body = json!({"properties": told});
    assert_eq!(broken(&mut judge, &sim, Method::PUT, &path, &body), Vec::<String>::new());
    told["containerName"] = json!("another");
    assert!(!broken(&mut judge, &sim, Method::PUT, &path, &json!({"properties": told})).is_empty());
    told.as_object_mut().unwrap().remove("containerName");
    assert!(!broken(&mut judge, &sim, Method::PUT, &path, &json!({"properties": told})).is_empty());
}
