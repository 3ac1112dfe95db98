//! Lists of several pages. The recorded ones are of things that the client does not list, so they are read as computes,
//! whose view asks for little more than a name.

use keyless_arm::api::ReadArm;
use keyless_arm::error::ErrorClass;
use keyless_core::id::WorkspaceId;
use serde_json::{Value, json};

use super::walk::{AtLeast, PUBLIC, Recorded, Report, answered_by, as_sent, replaying, topic};
use crate::fake::workspace_id;

#[tokio::test(start_paused = true)]
async fn recorded_pages_are_joined_without_loss() {
    let Some((exchanges, mut report)) = topic("paging") else { return };
    for exchange in &exchanges {
        if exchange[0].url.starts_with(PUBLIC) {
            pages(&mut report, exchange).await;
        } else {
            foreign_directory(&mut report, &exchange[0]).await;
        }
    }
    report.finish(AtLeast { files: 21, parsed: 31, assertions: 89 });
}

fn next(one: &Recorded) -> Option<&str> {
    one.body["nextLink"].as_str().filter(|link| !link.is_empty())
}

fn decoded(url: &str) -> Vec<(String, String)> {
    let query = url.split_once('?').unwrap().1;
    url::form_urlencoded::parse(query.as_bytes()).into_owned().collect()
}

async fn pages(report: &mut Report, exchange: &[Recorded]) {
    let id = WorkspaceId::parse(&workspace_id()).unwrap();
    for one in exchange {
        report.parsed();
        report.same(one, "status", one.status, 200);
    }
    // Where the recording breaks off before the list does, an empty last page is put in the place of the next.
    let mut whole: Vec<Recorded> = exchange.iter().map(named).collect();
    if let Some(link) = next(exchange.last().unwrap()) {
        let end = Recorded { url: link.to_owned(), ..exchange[0].with_body(json!({"value": []})) };
        whole.push(end);
    }
    // The recorded clients decoded and encoded the link anew; what counts here is the link as it was given.
    for number in 1..whole.len() {
        let link = next(&exchange[number - 1]).unwrap_or_default().to_owned();
        let one = whole[number].clone();
        report.same(&one, "recorded next page", decoded(&one.url), decoded(&link));
        whole[number].url = link;
    }
    let (client, asks) = replaying(&whole);
    let found = client.computes(&id).await.unwrap().value;
    let expected: Vec<String> = whole
        .iter()
        .flat_map(|page| page.items().unwrap())
        .map(|item| item["name"].as_str().unwrap().trim().to_owned())
        .collect();
    let found: Vec<String> = found.into_iter().map(|one| one.name).collect();
    report.same(&exchange[0], "items of all pages, in order", found, expected);
    let asked: Vec<String> = asks.lock().unwrap().iter().skip(1).map(|asked| asked.url.clone()).collect();
    let links: Vec<String> = exchange.iter().filter_map(next).map(as_sent).collect();
    report.same(&exchange[0], "addresses, as given", asked, links);
}

/// The items as computes: where they have no name (keys, connections), their place in the list names them.
fn named(one: &Recorded) -> Recorded {
    let mut body = one.body.clone();
    for (number, item) in body["value"].as_array_mut().unwrap().iter_mut().enumerate() {
        if !item["name"].is_string() {
            item["name"] = Value::from(format!("item-{number}"));
        }
        item.as_object_mut().unwrap().remove("identity");
        item["properties"] = json!({"computeType": "AmlCompute"});
    }
    one.with_body(body)
}

/// A directory's list goes on under `odata.nextLink`: refused, not taken for a whole list.
async fn foreign_directory(report: &mut Report, one: &Recorded) {
    report.parsed();
    report.same(one, "goes on", one.body["odata.nextLink"].is_string(), true);
    let id = WorkspaceId::parse(&workspace_id()).unwrap();
    let error = answered_by(&named(one)).0.computes(&id).await.unwrap_err();
    report.same(one, "class", error.class, ErrorClass::Unreadable);
}
