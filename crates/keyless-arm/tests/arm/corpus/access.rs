//! Role assignments, role definitions and locks.

use keyless_arm::api::{Grant, ReadArm, WriteArm, WriteKind, Written};
use keyless_arm::error::ErrorClass;
use keyless_core::id::ArmId;
use keyless_core::observed::{LockLevel, Permission, PrincipalType, RoleAssignment, RoleDefinition};
use serde_json::{Value, json};

use super::errors;
use super::walk::{AtLeast, PUBLIC, Recorded, Report, answered_by, folded, topic};

const PLACEHOLDER: &str = "an example whose address or ids are placeholders and no ids";

#[tokio::test(start_paused = true)]
async fn recorded_role_assignments_mean_what_they_say() {
    let Some((exchanges, mut report)) = topic("role-assignments") else { return };
    for one in exchanges.iter().flatten() {
        let Some(scope) = one.scope_before("Microsoft.Authorization/roleAssignments") else {
            report.unused(PLACEHOLDER);
            continue;
        };
        let Ok(scope) = ArmId::parse(&scope) else {
            report.unused(PLACEHOLDER);
            continue;
        };
        match (one.method.as_str(), one.status) {
            ("GET", 200) => assignments(&mut report, one, &scope).await,
            ("PUT", 200 | 201) => grant(&mut report, one, &scope).await,
            ("DELETE", 200 | 204) => revoke(&mut report, one).await,
            (_, 400..) => errors::check(&mut report, one).await,
            _ => {}
        }
    }
    report.finish(AtLeast { files: 77, parsed: 128, assertions: 5451 });
}

async fn assignments(report: &mut Report, one: &Recorded, scope: &ArmId) {
    // The client lists and never gets one; one assignment has the form of an item.
    let whole = if one.items().is_some() { one.clone() } else { one.with_body(json!({"value": [one.body]})) };
    let items = whole.items().unwrap();
    let (client, asks) = answered_by(&whole);
    let result = client.role_assignments(scope).await;
    report.parsed();
    if items.iter().any(|item| item["name"].as_str().is_none_or(|name| name.len() != 36)) {
        // Examples name an assignment `raId`. Its name is what a grant is revoked by: a list with one that cannot be
        // named is not known, and no real answer has one.
        report.same(one, "only an example has it", one.real, false);
        report.same(one, "class", result.unwrap_err().class, ErrorClass::Unreadable);
        return;
    }
    let found = result.unwrap().value;
    report.same(one, "items", found.len(), items.len());
    for (found, item) in found.iter().zip(items) {
        assignment(report, one, found, item);
    }
    let root = if scope.as_str() == "/" { "" } else { scope.as_str() };
    let expected = format!(
        "{PUBLIC}{root}/providers/Microsoft.Authorization/roleAssignments?api-version=2022-04-01&$filter=atScope%28%29"
    );
    report.same(one, "address", &*asks.lock().unwrap()[0].url, &*expected);
}

fn assignment(report: &mut Report, one: &Recorded, found: &RoleAssignment, item: &Value) {
    let properties = &item["properties"];
    let single = |text: Option<String>| text.map(|text| text.replace("//", "/"));
    report.same(one, "id", Some(found.id.folded().to_owned()), single(folded(&item["id"])));
    report.same(one, "name", Some(found.name.to_string()), folded(&item["name"]));
    let scope = single(folded(&properties["scope"]))
        .map(|scope| if scope == "/" { scope } else { scope.trim_end_matches('/').to_owned() });
    report.same(one, "scope", Some(found.scope.folded().to_owned()), scope);
    report.same(one, "principal", Some(found.principal.to_string()), folded(&properties["principalId"]));
    report.same(one, "type", found.principal_type.map(PrincipalType::as_wire), properties["principalType"].as_str());
    let role = folded(&properties["roleDefinitionId"]).and_then(|id| id.rsplit('/').next().map(str::to_owned));
    report.same(one, "role", Some(found.role.to_string()), role);
    report.same(one, "condition", found.condition.as_deref(), properties["condition"].as_str().map(str::trim));
    let description = properties["description"].as_str().map(str::trim).filter(|text| !text.is_empty());
    report.same(one, "description", found.description.as_deref(), description);
    for (what, found, item) in [
        ("createdOn", found.created_on, &properties["createdOn"]),
        ("updatedOn", found.updated_on, &properties["updatedOn"]),
    ] {
        // The recorded ones all are RFC 3339.
        report.same(one, what, found, item.as_str().map(|text| text.parse().unwrap()));
    }
}

/// The recorded answer to the same grant made by the client.
async fn grant(report: &mut Report, one: &Recorded, scope: &ArmId) {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let last = |text: &str| text.rsplit('/').next().unwrap_or_default().to_owned();
    let sent = if one.sent.is_object() { &one.sent["properties"] } else { &one.body["properties"] };
    let properties = if sent["principalId"].is_string() { sent } else { &one.body["properties"] };
    let (Ok(name), Ok(principal), Ok(role)) = (
        last(&one.path()).parse(),
        text(&properties["principalId"]).parse(),
        last(&text(&properties["roleDefinitionId"])).parse(),
    ) else {
        report.same(one, "only an example has it", one.real, false);
        report.unused(PLACEHOLDER);
        return;
    };
    report.parsed();
    let (client, asks) = answered_by(one);
    let grant = Grant {
        scope: scope.clone(),
        name,
        principal,
        principal_type: PrincipalType::ServicePrincipal,
        role,
        condition: None,
        description: "made by a test".to_owned(),
    };
    // Management groups lie in no subscription; the place in the quota is then anybody's.
    let subscription = scope.subscription().unwrap_or_default();
    let permit = client.reserve_write(subscription, WriteKind::Grant).await.unwrap();
    let written = client.grant_role(permit, &grant).await.unwrap().value;
    // 201 also where an assignment was changed.
    report.same(one, "outcome", written, if one.status == 201 { Written::Changed } else { Written::AlreadySo });
    let asked = asks.lock().unwrap()[0].clone();
    report.same(one, "method", &*asked.method, "PUT");
    report.same(
        one,
        "address",
        asked.url.to_lowercase(),
        format!("{PUBLIC}{}?api-version=2022-04-01", one.path()).to_lowercase(),
    );
    report.same(
        one,
        "principal sent",
        folded(&asked.body["properties"]["principalId"]),
        folded(&properties["principalId"]),
    );
    let whole = Recorded { status: 200, ..one.with_body(json!({"value": [one.body]})) };
    let (client, _) = answered_by(&whole);
    let found = client.role_assignments(scope).await.unwrap().value;
    assignment(report, one, &found[0], &one.body);
}

async fn revoke(report: &mut Report, one: &Recorded) {
    let id = ArmId::parse(&one.path()).unwrap();
    if id.name().parse::<uuid::Uuid>().is_err() {
        report.same(one, "only an example has it", one.real, false);
        report.unused(PLACEHOLDER);
        return;
    }
    report.parsed();
    let (client, asks) = answered_by(one);
    let permit = client.reserve_write(id.subscription().unwrap_or_default(), WriteKind::Revoke).await.unwrap();
    let written = client.revoke_role(permit, &id).await.unwrap().value;
    report.same(one, "outcome", written, if one.status == 204 { Written::AlreadySo } else { Written::Changed });
    let asked = asks.lock().unwrap()[0].clone();
    report.same(one, "method", &*asked.method, "DELETE");
    report.same(one, "address", asked.url, format!("{PUBLIC}{}?api-version=2022-04-01", one.path()));
}

#[tokio::test(start_paused = true)]
async fn recorded_role_definitions_mean_what_they_say() {
    let Some((exchanges, mut report)) = topic("role-definitions") else { return };
    for one in exchanges.iter().flatten() {
        if !one.ok() {
            errors::check(&mut report, one).await;
            continue;
        }
        report.parsed();
        let scope =
            one.scope_before("Microsoft.Authorization/roleDefinitions").and_then(|scope| ArmId::parse(&scope).ok());
        // The client gets one at a time; each item of a list stands for the answer.
        let items = one.items().cloned().unwrap_or_else(|| vec![one.body.clone()]);
        for item in &items {
            let scope = scope.clone().unwrap_or_else(|| ArmId::parse("/").unwrap());
            let id = folded(&item["id"]).and_then(|id| id.rsplit('/').next().map(str::to_owned)).unwrap_or_default();
            let (client, asks) = answered_by(&Recorded { status: 200, ..one.with_body(item.clone()) });
            let Ok(role) = id.parse() else {
                // Examples have `roleDefinitionId` for an id; a role that cannot be told from others is not known.
                report.same(one, "only an example has it", one.real, false);
                let result = client.role_definition(&scope, crate::fake::GUID.parse().unwrap()).await;
                report.same(one, "class", result.unwrap_err().class, ErrorClass::Unreadable);
                continue;
            };
            let found = client.role_definition(&scope, role).await.unwrap().value.unwrap();
            report.same(one, "id", found.id.to_string(), id.clone());
            definition(&mut report, one, &found, &item["properties"]);
            let root = if scope.as_str() == "/" { "" } else { scope.as_str() };
            let expected =
                format!("{PUBLIC}{root}/providers/Microsoft.Authorization/roleDefinitions/{id}?api-version=2022-04-01");
            report.same(one, "address", &*asks.lock().unwrap()[0].url, &*expected);
        }
    }
    report.finish(AtLeast { files: 45, parsed: 45, assertions: 540 });
}

fn definition(report: &mut Report, one: &Recorded, found: &RoleDefinition, properties: &Value) {
    report.same(one, "name", Some(&*found.name), properties["roleName"].as_str());
    report.same(one, "built in", found.built_in, properties["type"].as_str() == Some("BuiltInRole"));
    report.same(one, "updatedOn", found.updated_on, properties["updatedOn"].as_str().map(|text| text.parse().unwrap()));
    let words = |value: &Value| -> Vec<String> {
        value.as_array().into_iter().flatten().map(|word| word.as_str().unwrap().to_owned()).collect()
    };
    let expected: Vec<Permission> = properties["permissions"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|block| Permission {
            actions: words(&block["actions"]),
            not_actions: words(&block["notActions"]),
            data_actions: words(&block["dataActions"]),
            not_data_actions: words(&block["notDataActions"]),
        })
        .collect();
    report.same(one, "permissions", &found.permissions, &expected);
}

#[tokio::test(start_paused = true)]
async fn recorded_locks_mean_what_they_say() {
    let Some((exchanges, mut report)) = topic("locks") else { return };
    for one in exchanges.iter().flatten() {
        if one.method == "DELETE" {
            report.unused("the client never takes a lock away");
            continue;
        }
        let scope = one.scope_before("Microsoft.Authorization/locks").unwrap();
        let scope = ArmId::parse(&scope).unwrap();
        report.parsed();
        // The answer to a GET or PUT of one has the form of an item.
        let items = one.items().cloned().unwrap_or_else(|| vec![one.body.clone()]);
        let whole = Recorded { status: 200, ..one.with_body(json!({"value": items})) };
        let (client, asks) = answered_by(&whole);
        let found = client.locks(&scope).await.unwrap().value;
        // Of the locks in the answer those bear on the scope that were put there or above.
        let put_at = |item: &Value| {
            let id = folded(&item["id"]).unwrap().replace("//", "/");
            let at = id.rfind("/providers/microsoft.authorization/locks/").unwrap();
            id[..at].to_owned()
        };
        let expected: Vec<&Value> = items
            .iter()
            .filter(|item| format!("{}/", scope.folded()).starts_with(&format!("{}/", put_at(item))))
            .collect();
        report.same(one, "locks at or above", found.len(), expected.len());
        for (found, item) in found.iter().zip(expected) {
            report.same(one, "scope", found.scope.folded().to_owned(), put_at(item));
            report.same(one, "name", Some(found.id.name()), item["name"].as_str());
            let level = match item["properties"]["level"].as_str() {
                Some("CanNotDelete") => LockLevel::CanNotDelete,
                Some("ReadOnly") => LockLevel::ReadOnly,
                other => panic!("{}: level {other:?} was not met before", one.file),
            };
            report.same(one, "level", &found.level, &level);
        }
        // And each by itself, seen from where it was put.
        for item in &items {
            let (client, _) = answered_by(&whole.with_body(json!({"value": [item]})));
            let at = ArmId::parse(&put_at(item)).unwrap();
            report.same(one, "alone", client.locks(&at).await.unwrap().value.len(), 1);
        }
        let expected = format!("{PUBLIC}{scope}/providers/Microsoft.Authorization/locks?api-version=2016-09-01");
        report.same(one, "address", &*asks.lock().unwrap()[0].url, &*expected);
    }
    report.finish(AtLeast { files: 33, parsed: 53, assertions: 341 });
}
