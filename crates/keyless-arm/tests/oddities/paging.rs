//! Lists of several pages.

use keyless_arm::api::ReadArm;
use keyless_arm::error::ErrorClass;
use keyless_core::observed::Compute;
use serde_json::{Value, json};

use crate::fake::{Asks, BASE};
use crate::with::{Given, in_turn, workspace};

fn page(names: &[&str], next: Value) -> Given<'static> {
    let items: Vec<Value> =
        names.iter().map(|name| json!({"name": name, "properties": {"computeType": "AmlCompute"}})).collect();
    let mut body = json!({"value": items, "nextLink": next});
    // `false` stands for a page that does not have the field.
    if body["nextLink"] == json!(false) {
        body.as_object_mut().unwrap().remove("nextLink");
    }
    (200, vec![], body.to_string())
}

async fn read(pages: Vec<Given<'static>>) -> (Vec<String>, Asks) {
    let (client, asks) = in_turn(pages);
    let found = client.computes(&workspace()).await.unwrap().value;
    (found.into_iter().map(|one: Compute| one.name).collect(), asks)
}

#[tokio::test(start_paused = true)]
async fn absent_null_and_empty_mean_the_last_page() {
    for end in [json!(false), json!(null), json!("")] {
        let (names, asks) = read(vec![page(&["one"], json!("/p2")), page(&["two"], end.clone())]).await;
        assert_eq!((names, asks.lock().unwrap().len()), (vec!["one".to_owned(), "two".to_owned()], 2), "{end}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_list_is_as_old_as_its_first_page() {
    let page = |date, next: Value| (200, vec![("date", date)], json!({"value": [], "nextLink": next}).to_string());
    let first = page("Mon, 21 Sep 2026 14:13:20 GMT", json!("/p2"));
    let last = page("Mon, 21 Sep 2026 14:14:20 GMT", json!(null));
    let at = in_turn(vec![first, last]).0.computes(&workspace()).await.unwrap().at;
    assert_eq!(at.to_string(), "2026-09-21T14:13:20Z");
}

/// Of the machine-learning provider a page begins after so many; what comes in front of them meanwhile moves them on.
#[tokio::test(start_paused = true)]
async fn what_stands_on_two_pages_is_there_once_unless_it_stands_there_in_two_ways() {
    let lists = |other: &str, then: &str| {
        let item = |id: &str, kind: &str| json!({"id": id, "name": "one", "properties": {"computeType": kind}});
        let page = |item: Value, next: Value| (200, vec![], json!({"value": [item], "nextLink": next}).to_string());
        in_turn(vec![page(item("/A/one", "AmlCompute"), json!("/p2")), page(item(other, then), json!(null))]).0
    };
    let found = lists("/A/one", "AmlCompute").computes(&workspace()).await.unwrap().value;
    assert_eq!(found.len(), 1);
    let found = lists("/A/two", "AmlCompute").computes(&workspace()).await.unwrap().value;
    assert_eq!(found.len(), 2);
    for (other, then) in [("/A/one", "Kubernetes"), ("/a/One", "AmlCompute")] {
        let error = lists(other, then).computes(&workspace()).await.unwrap_err();
        assert_eq!(error.class, ErrorClass::Transient);
        assert_eq!(error.message, "`/a/one` changed while the pages of a list were read");
    }
}

#[tokio::test(start_paused = true)]
async fn the_next_page_is_asked_for_at_the_link_as_it_is() {
    for link in [
        "/r?%24filter&%24expand=createdTime%2cchangedTime&api-version=2018-02-01&%24skiptoken=eyJuZXh0%3d%3D",
        "/r?api-version=2020-10-15-preview&$skiptoken=%7B%22token%22:%22%2BRID:~x==#RT%22%7D"
            .split('#')
            .next()
            .unwrap(),
        "/r?$skipToken=REI9NzA6eyJ0b2tlbiI6bnVsbH0&api-version=1",
        "/r?a=1+2&b={\"c\":[3]}&d=e/f:g;h,i@j!*()|^`~".split('"').next().unwrap(),
        "/r//doubled/./%2e/x?x=%zz&=&&y",
    ] {
        let given = format!("{BASE}{link}");
        let (names, asks) = read(vec![page(&["one"], json!(given)), page(&["two"], json!(null))]).await;
        assert_eq!(names, ["one", "two"]);
        if link.contains("/./") {
            // The address standard takes out dot segments, so a link with them cannot be kept; none was ever seen.
            assert_eq!(asks.lock().unwrap()[1].url, format!("{BASE}/r//doubled/x?x=%zz&=&&y"));
        } else {
            assert_eq!(asks.lock().unwrap()[1].url, given);
        }
    }
    // No request line can carry blanks and quotes; those alone are encoded.
    let given = format!("{BASE}/r?$filter=usageEnd ge '2017-10-11T23:59:59Z'&$skiptoken=a%20b");
    let (_, asks) = read(vec![page(&[], json!(given)), page(&[], json!(null))]).await;
    let sent = format!("{BASE}/r?$filter=usageEnd%20ge%20%272017-10-11T23:59:59Z%27&$skiptoken=a%20b");
    assert_eq!(asks.lock().unwrap()[1].url, sent);
    let (_, asks) = read(vec![page(&[], json!("/relative?x=%24y")), page(&[], json!(null))]).await;
    assert_eq!(asks.lock().unwrap()[1].url, format!("{BASE}/relative?x=%24y"));
}

#[tokio::test(start_paused = true)]
async fn a_short_or_empty_page_is_not_the_last() {
    let (names, asks) = read(vec![
        page(&[], json!("/p2")),
        page(&["one"], json!("/p3")),
        page(&[], json!("/p4")),
        page(&["two"], json!("")),
    ])
    .await;
    assert_eq!((names, asks.lock().unwrap().len()), (vec!["one".to_owned(), "two".to_owned()], 4));
}
