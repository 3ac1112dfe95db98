//! The record of requests: what is in it, and what must not be.

use std::io::{self, Write};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::Request;
use keyless_sim::{CLIENT_ID, CLIENT_OBJECT_ID, Fault, FaultRule, Knobs, TENANT_ID};
use serde_json::{Value, json};

use super::{account_url, cloud, last, minutes};
use crate::cloud::{Cloud, SUB, account, read, small_world};

/// A file in memory, which may be full after so many bytes.
#[derive(Clone)]
struct Sink {
    text: Arc<Mutex<Vec<u8>>>,
    room: usize,
}

impl Sink {
    fn new(room: usize) -> Self {
        Self { text: Arc::default(), room }
    }

    fn lines(&self) -> Vec<Value> {
        let text = self.text.lock().unwrap().clone();
        let text = String::from_utf8(text).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut text = self.text.lock().unwrap();
        if text.len() + bytes.len() > self.room {
            return Err(io::ErrorKind::StorageFull.into());
        }
        text.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn token_request(cloud: &Cloud) -> Request<Bytes> {
    let form = format!(
        "client_id={CLIENT_ID}&client_secret={}&grant_type=client_credentials&scope=x%2F.default",
        cloud.sim.client_secret().reveal()
    );
    Request::post(format!("https://login.test/{TENANT_ID}/oauth2/v2.0/token"))
        .header("content-type", "application/x-www-form-urlencoded")
        .body(Bytes::from(form))
        .unwrap()
}

#[tokio::test]
async fn a_request_is_recorded_with_all_that_was_said() {
    let cloud = Cloud::immediate();
    cloud.flag(false).await;
    let entry = serde_json::to_value(last(&cloud)).unwrap();
    assert_eq!(entry["at"], "2027-01-15T08:00:00.0000000Z");
    assert_eq!(
        (&entry["method"], &entry["url"]),
        (&json!("PATCH"), &json!(format!("https://arm.test{}?api-version=2023-05-01", account())))
    );
    assert_eq!((&entry["caller"], &entry["status"]), (&json!(CLIENT_OBJECT_ID), &json!(200)));
    assert_eq!(entry["requestHeaders"], json!({"authorization": "***"}));
    assert_eq!(entry["requestBody"], json!({"properties": {"allowSharedKeyAccess": false}}));
    assert_eq!(entry["responseBody"]["properties"]["allowSharedKeyAccess"], false);
    assert_eq!(entry["responseHeaders"]["x-ms-ratelimit-remaining-subscription-writes"], "199");
    assert_eq!(
        (&entry["fault"], &entry["bucket"], &entry["outcome"]),
        (&Value::Null, &Value::Null, &json!("answered"))
    );
    let names: Vec<_> = entry["buckets"].as_array().unwrap().iter().map(|bucket| bucket["name"].clone()).collect();
    let sub = &SUB["/subscriptions/".len()..];
    assert_eq!(
        names,
        [
            format!("principal/{sub}/{CLIENT_OBJECT_ID}/writes"),
            format!("global/{sub}/writes"),
            format!("storage/{sub}/Write_ObservationWindow_01:00:00")
        ]
    );
}

#[tokio::test]
async fn every_429_names_the_bucket_it_came_from() {
    let cloud = Cloud::new(small_world(), Knobs::immediate());
    let list = format!("{SUB}/providers/Microsoft.Storage/storageAccounts?api-version=2023-05-01");
    while cloud.get(&list).await.status == 200 {}
    let refused = last(&cloud);
    let bucket = refused.bucket.unwrap();
    assert!(bucket.starts_with("storage/") && bucket.ends_with("/List_ObservationWindow_00:05:00"), "{bucket}");
    let counted = refused.buckets.iter().find(|counted| counted.name == bucket).unwrap();
    assert!(counted.left < 1.0 && counted.capacity == 100.0 && (counted.per_second - 1.0 / 3.0).abs() < 1e-9);
    assert_eq!(cloud.sim.recorded(1000).len(), 101);
}

#[tokio::test]
async fn no_token_or_secret_of_the_run_is_in_the_record() {
    let cloud = Cloud::immediate();
    let sink = Sink::new(usize::MAX);
    let recording = cloud.sim.record_to(sink.clone()).unwrap();
    let token = read(cloud.sim.call(token_request(&cloud)).await.unwrap()).body["access_token"].clone();
    let token = token.as_str().unwrap().to_owned();
    let mut bearer = cloud.request("POST", &format!("{}/listKeys?api-version=2023-05-01", account()), None);
    bearer.headers_mut().insert("authorization", format!("Bearer {token}").parse().unwrap());
    cloud.sim.call(bearer).await.unwrap();
    let managed = Request::get("/msi/token?resource=https://x")
        .header("x-identity-header", cloud.sim.identity_header().reveal())
        .body(Bytes::new())
        .unwrap();
    let managed = read(cloud.sim.call(managed).await.unwrap()).body["access_token"].as_str().unwrap().to_owned();
    for fault in [Fault::Truncated, Fault::ResetAfter] {
        cloud.sim.set_faults(keyless_sim::Faults::new([FaultRule::new("*", "token", fault)]));
        let _ = cloud.sim.call(token_request(&cloud)).await;
    }
    recording.finish();
    let lines = sink.lines();
    assert_eq!(lines.len(), 5);
    let text = String::from_utf8(sink.text.lock().unwrap().clone()).unwrap();
    let header = cloud.sim.identity_header().reveal().to_owned();
    let secret = cloud.sim.client_secret().reveal().to_owned();
    for hidden in [token.as_str(), &managed, &header, &secret, "eyJ", "AAAA"] {
        assert!(!text.contains(hidden), "{hidden} in {text}");
    }
    assert_eq!(lines[0]["requestBody"]["client_secret"], "***");
    assert_eq!(lines[0]["requestBody"]["client_id"], CLIENT_ID);
    assert_eq!(lines[0]["responseBody"]["access_token"], "***");
    assert_eq!(lines[1]["responseBody"]["keys"][0]["value"], "***");
    assert_eq!((&lines[3]["outcome"], &lines[4]["outcome"]), (&json!("truncated"), &json!("reset")));
}

#[tokio::test(start_paused = true)]
async fn requests_are_recorded_in_order_of_completion_and_abandoned_ones_as_such() {
    let cloud = cloud(FaultRule::new("GET", "/storageAccounts/{}", Fault::Slow { by: minutes(1) }).calls([1, 2]));
    let slow = cloud.sim.call(cloud.request("GET", &account_url(), None));
    let quick = async {
        tokio::time::sleep(minutes(1) / 2).await;
        cloud.flag(false).await
    };
    let (slow, _) = tokio::join!(slow, quick);
    assert_eq!(slow.unwrap().status(), 200);
    let given_up = cloud.sim.call(cloud.request("GET", &account_url(), None));
    assert!(tokio::time::timeout(minutes(1) / 2, given_up).await.is_err());
    let told: Vec<_> = cloud.sim.recorded(9).into_iter().map(|entry| (entry.method, entry.outcome)).collect();
    assert_eq!(
        told,
        [("PATCH".to_owned(), "answered"), ("GET".to_owned(), "answered"), ("GET".to_owned(), "abandoned")]
    );
}

#[tokio::test]
async fn a_full_disk_ends_the_record_and_nothing_else() {
    let cloud = Cloud::immediate();
    let sink = Sink::new(0);
    let recording = cloud.sim.record_to(sink.clone()).unwrap();
    for _ in 0..300 {
        assert_eq!(cloud.flag(false).await.status / 100, if cloud.sim.recorded(1)[0].status == 429 { 4 } else { 2 });
    }
    recording.finish();
    assert!(sink.lines().is_empty());
    assert_eq!(cloud.get(&account_url()).await.status, 200);
}

/// A pipe whose reader has gone to sleep.
struct Stuck(std::sync::mpsc::Receiver<()>);

impl Write for Stuck {
    fn write(&mut self, _: &[u8]) -> io::Result<usize> {
        let _ = self.0.recv();
        Err(io::ErrorKind::BrokenPipe.into())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn a_reader_that_hangs_holds_up_neither_the_simulator_nor_its_end() {
    let cloud = Cloud::new(small_world(), Knobs { throttling: false, ..Knobs::immediate() });
    let (asleep, stuck) = std::sync::mpsc::channel();
    let recording = cloud.sim.record_to(Stuck(stuck)).unwrap();
    for _ in 0..2500 {
        assert_eq!(cloud.get(&account_url()).await.status, 200);
    }
    drop(recording);
    drop(asleep);
}

#[tokio::test]
async fn recent_requests_are_shown_beside_the_counts_on_demand() {
    let cloud = Cloud::immediate();
    for _ in 0..3 {
        cloud.get(&account_url()).await;
    }
    let ask = async |path: &str| {
        let request = Request::get(path).body(Bytes::new()).unwrap();
        let reply = read(cloud.sim.call(request).await.unwrap());
        assert_eq!(reply.header("date"), "Fri, 15 Jan 2027 08:00:00 GMT");
        reply
    };
    let plain = ask("/sim/requests").await.body;
    let mut recent = ask("/sim/requests?recent=2").await.body;
    let shown = recent.as_object_mut().unwrap().remove("recent").unwrap();
    assert_eq!(plain, recent);
    assert_eq!(shown, serde_json::to_value(cloud.sim.recorded(2)).unwrap());
    assert_eq!(ask("/sim/requests?recent=many").await.status, 400);
}

#[tokio::test]
async fn what_is_at_hand_is_bounded() {
    let cloud = Cloud::new(small_world(), Knobs { throttling: false, ..Knobs::immediate() });
    for _ in 0..1010 {
        cloud.get(&account_url()).await;
    }
    assert_eq!(cloud.sim.recorded(5000).len(), 1000);
}
