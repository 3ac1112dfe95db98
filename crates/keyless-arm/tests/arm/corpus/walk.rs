//! Walks the recordings, serves them to a client, and keeps count of what was made of each.

use std::collections::{BTreeMap, VecDeque};
use std::fmt::Debug;
use std::io::Write;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::Response;
use keyless_arm::client::{Client, ClientOptions};
use keyless_arm::cloud::Cloud;
use keyless_arm::wire::WireError;
use serde_json::Value;

use crate::fake::{Asks, SUBSCRIPTION, client_with};

/// The resource manager of the recordings.
pub(crate) const PUBLIC: &str = "https://management.azure.com";

/// One request and its answer, as they were recorded.
#[derive(Clone)]
pub(crate) struct Recorded {
    pub(crate) file: String,
    /// A service's real answer, not an example of its documentation.
    pub(crate) real: bool,
    pub(crate) method: String,
    /// The whole address as the recorded client wrote it.
    pub(crate) url: String,
    /// 0 where an example names none.
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Value,
    /// What the recorded client sent.
    pub(crate) sent: Value,
}

impl Recorded {
    /// The path as the client spells it: doubled slashes and encoded ones are other clients' habits.
    pub(crate) fn path(&self) -> String {
        let path = self.url.splitn(4, '/').nth(3).unwrap_or_default().split('?').next().unwrap_or_default();
        let mut path = format!("/{}", path.replace("%2F", "/").replace("%2f", "/"));
        while path.contains("//") {
            path = path.replace("//", "/");
        }
        path.trim_end_matches('/').to_owned()
    }

    /// The part of the path before `/providers/{what}` at its last place, in any case; the root is `/`.
    pub(crate) fn scope_before(&self, what: &str) -> Option<String> {
        let path = self.path();
        let at = path.to_ascii_lowercase().rfind(&format!("/providers/{what}").to_ascii_lowercase())?;
        Some(if at == 0 { "/".to_owned() } else { path[..at].to_owned() })
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(own, _)| own.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    /// The items of a list.
    pub(crate) fn items(&self) -> Option<&Vec<Value>> {
        self.body.get("value")?.as_array()
    }

    pub(crate) fn ok(&self) -> bool {
        (200..300).contains(&self.status)
    }

    /// The same answer with another body.
    pub(crate) fn with_body(&self, body: Value) -> Self {
        Self { body, ..self.clone() }
    }

    /// The body as it went over the wire.
    pub(crate) fn wire_body(&self) -> Bytes {
        Bytes::from(match &self.body {
            Value::Null => String::new(),
            Value::String(text) => text.clone(),
            other => other.to_string(),
        })
    }

    pub(crate) fn response(&self) -> Result<Response<Bytes>, WireError> {
        let mut response = Response::builder().status(self.status);
        for (name, value) in &self.headers {
            response = response.header(name.as_str(), value.as_str());
        }
        Ok(response.body(self.wire_body()).unwrap())
    }
}

/// The recordings of one topic, file by file, or nothing and a loud word about what is skipped.
pub(crate) fn topic(name: &'static str) -> Option<(Vec<Vec<Recorded>>, Report)> {
    let folder = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/corpus"));
    let shared = std::env::var_os("KEYLESS_CORPUS").map_or(folder, PathBuf::from).join(name);
    let Ok(files) = std::fs::read_dir(&shared) else {
        say(&format!(
            "SKIPPED: no folder {}, so no recorded {name} were put to the client; KEYLESS_CORPUS names another place\n",
            shared.display()
        ));
        return None;
    };
    let mut paths: Vec<PathBuf> = files.map(|file| file.unwrap().path()).collect();
    paths.sort();
    let exchanges: Vec<Vec<Recorded>> = paths.iter().map(read).collect();
    let interactions = exchanges.iter().map(Vec::len).sum();
    Some((exchanges, Report { topic: name, files: paths.len(), interactions, ..Report::default() }))
}

fn read(path: &PathBuf) -> Vec<Recorded> {
    // Recorders and documentation put placeholders in the place of subscriptions.
    let mut text = std::fs::read_to_string(path).unwrap();
    for placeholder in ["<AZURE_SUBSCRIPTION_ID>", "{subscription-id}", "AZURE_SUBSCRIPTION_ID"] {
        text = text.replace(placeholder, SUBSCRIPTION);
    }
    text = text.replace("/00000000-0000-0000-0000-000000000/", &format!("/{SUBSCRIPTION}/"));
    let interactions: Vec<Value> = serde_json::from_str(&text).unwrap();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    interactions
        .into_iter()
        .map(|one| Recorded {
            file: path.file_name().unwrap().to_string_lossy().into_owned(),
            real: one["source"]["kind"] == "recorded",
            method: text(&one["request"]["method"]),
            url: text(&one["request"]["url"]),
            status: one["response"]["status"].as_u64().map_or(0, |status| u16::try_from(status).unwrap()),
            headers: headers(&one["response"]["headers"]),
            body: one["response"]["body"].clone(),
            sent: one["request"]["body"].clone(),
        })
        .collect()
}

/// A header was recorded as one value or, repeated, as a list.
fn headers(recorded: &Value) -> Vec<(String, String)> {
    let Some(object) = recorded.as_object() else { return Vec::new() };
    let mut found = Vec::new();
    for (name, value) in object {
        for value in value.as_array().unwrap_or(&vec![value.clone()]) {
            let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            found.push((name.clone(), value));
        }
    }
    found
}

/// Past the harness, which would swallow it in a test that passes.
fn say(text: &str) {
    std::io::stderr().write_all(text.as_bytes()).unwrap();
}

fn public(options: &mut ClientOptions) {
    options.cloud = Cloud::custom(PUBLIC, "https://login.example", "s", None).unwrap();
}

/// A client that gets this answer to whatever it asks.
pub(crate) fn answered_by(one: &Recorded) -> (Client, Asks) {
    let one = Arc::new(one.clone());
    client_with(
        move |_, _| {
            let one = Arc::clone(&one);
            async move { one.response() }
        },
        public,
    )
}

/// A client that gets the first answer to its first request, and then for each address the answers that were recorded
/// for it, in their order, the last one again and again. An address that was never recorded is still at work.
pub(crate) fn replaying(exchange: &[Recorded]) -> (Client, Asks) {
    let (first, rest) = exchange.split_first().unwrap();
    let first = first.clone();
    let mut by_url: BTreeMap<String, VecDeque<Recorded>> = BTreeMap::new();
    for one in rest {
        by_url.entry(unsigned(&as_sent(&one.url))).or_default().push_back(one.clone());
    }
    let by_url = Mutex::new(by_url);
    client_with(
        move |number, asked| {
            let answer = if number == 1 {
                first.response()
            } else {
                let mut by_url = by_url.lock().unwrap();
                match by_url.get_mut(&unsigned(&asked.url)) {
                    Some(left) if left.len() > 1 => left.pop_front().unwrap().response(),
                    Some(left) => left[0].response(),
                    None => Ok(Response::builder().status(202).body(Bytes::new()).unwrap()),
                }
            };
            async move { answer }
        },
        public,
    )
}

/// An address without the signature that each answer makes anew, and in one case (`EASTUS`, then `eastus`): the recorded
/// clients went on with the first one.
pub(crate) fn unsigned(url: &str) -> String {
    let url = url.to_lowercase();
    let Some((path, query)) = url.split_once('?') else { return url };
    let signature = |part: &&str| ["t=", "c=", "s=", "h="].iter().any(|name| part.starts_with(name));
    format!("{path}?{}", query.split('&').filter(|part| !signature(part)).collect::<Vec<_>>().join("&"))
}

/// How an address that Azure gave must arrive: as given, but for what no request line can carry. Blanks cannot stand in
/// one, and the standard that reqwest follows also encodes quotes and angle brackets in the query and leaves out the port
/// that is understood.
pub(crate) fn as_sent(url: &str) -> String {
    let url = url.replacen("https://management.azure.com:443/", "https://management.azure.com/", 1);
    let (path, query) = url.split_once('?').map_or((&*url, None), |(path, query)| (path, Some(query)));
    let path = path.replace(' ', "%20");
    match query {
        None => path,
        Some(query) => {
            let query = query.replace(' ', "%20").replace('\'', "%27").replace('"', "%22");
            format!("{path}?{}", query.replace('<', "%3C").replace('>', "%3E"))
        }
    }
}

/// What became of the recordings of one topic.
#[derive(Default)]
pub(crate) struct Report {
    topic: &'static str,
    files: usize,
    interactions: usize,
    parsed: usize,
    unused: BTreeMap<&'static str, usize>,
    assertions: usize,
    problems: Vec<String>,
}

/// What today's recordings come to, so that a walk that shrinks unseen fails.
pub(crate) struct AtLeast {
    pub(crate) files: usize,
    pub(crate) parsed: usize,
    pub(crate) assertions: usize,
}

impl Report {
    /// One interaction went through the client.
    pub(crate) fn parsed(&mut self) {
        self.parsed += 1;
    }

    /// One interaction is none of the client's business.
    pub(crate) fn unused(&mut self, why: &'static str) {
        *self.unused.entry(why).or_default() += 1;
    }

    /// One thing said about a recording; all that is wrong is told at the end.
    pub(crate) fn same<T: PartialEq + Debug>(&mut self, one: &Recorded, what: &str, found: T, expected: T) {
        self.assertions += 1;
        if found != expected {
            let Recorded { file, method, url, status, .. } = one;
            let url = url.get(..160).unwrap_or(url);
            self.problems.push(format!("{file}: {method} {url} {status}: {what}: {found:?} and not {expected:?}"));
        }
    }

    /// Prints the row and fails if anything was wrong, skipped in silence or missing.
    pub(crate) fn finish(self, at_least: AtLeast) {
        let Self { topic, files, interactions, parsed, unused, assertions, problems } = self;
        let mut table = format!(
            "{topic}: {files} files, {interactions} interactions, {parsed} parsed, {} not used, {assertions} assertions\n",
            unused.values().sum::<usize>()
        );
        for (why, count) in &unused {
            table.push_str(&format!("    not used: {count:>4}  {why}\n"));
        }
        say(&table);
        assert!(problems.is_empty(), "{} wrong:\n{}", problems.len(), problems.join("\n"));
        assert_eq!(parsed + unused.values().sum::<usize>(), interactions, "{topic}: something was skipped in silence");
        let AtLeast { files: least_files, parsed: least_parsed, assertions: least_assertions } = at_least;
        assert!(files >= least_files, "{topic}: only {files} files were walked");
        assert!(parsed >= least_parsed, "{topic}: only {parsed} interactions were parsed");
        assert!(assertions >= least_assertions, "{topic}: only {assertions} assertions were made");
    }
}

/// A text of a recording in lower case; empty and null are nothing.
pub(crate) fn folded(value: &Value) -> Option<String> {
    value.as_str().map(str::trim).filter(|text| !text.is_empty()).map(str::to_lowercase)
}
