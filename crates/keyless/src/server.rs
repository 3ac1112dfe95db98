//! Health, readiness, metrics and a status page over plain HTTP, on loopback by default.
//!
//! Ready means that a revision of the desired state is in force; how fresh the passes are is a metric, because a
//! restart would not make them fresher.

use std::collections::VecDeque;
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::get;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use keyless_arm::counts::Count;
use keyless_controller::status::Snapshot;
use keyless_core::gate::GateState;
use keyless_core::plan::Plan;
use keyless_core::plan::finding::plural;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{AbortHandle, JoinSet};
use tokio_util::sync::CancellationToken;

use crate::metrics::{CONTENT_TYPE, Metrics, standing};

/// How many connections are open at a time: whoever leaves them open must not use up the files this process may have. The
/// oldest gives way to the next, so that nobody's idling keeps a probe out.
const CONNECTIONS: usize = 64;

/// How long the head of a request may take.
const HEAD_WITHIN: Duration = Duration::from_secs(10);

/// How long one connection lasts, however it is used.
const CONNECTION_LIFE: Duration = Duration::from_secs(300);

/// The pause after a connection could not be accepted.
const BREATH: Duration = Duration::from_millis(100);

/// What the server looks at when it is asked.
#[derive(Clone)]
pub(crate) struct Looks {
    /// How the loop stands.
    pub(crate) snapshot: Arc<dyn Fn() -> Snapshot + Send + Sync>,
    /// How many requests were sent to Azure so far.
    pub(crate) counts: Arc<dyn Fn() -> Vec<Count> + Send + Sync>,
}

/// A server that has its address and does not serve yet.
pub(crate) struct Server {
    listener: TcpListener,
    router: Router,
}

struct Shared {
    looks: Looks,
    metrics: Metrics,
}

impl Server {
    /// Takes the address; port 0 picks one.
    pub(crate) async fn bind(listen: &str, looks: Looks) -> anyhow::Result<Self> {
        let listener = TcpListener::bind(listen).await.with_context(|| format!("cannot listen on `{listen}`"))?;
        Ok(Self { listener, router: router(looks) })
    }

    /// The address that was taken.
    pub(crate) fn address(&self) -> anyhow::Result<SocketAddr> {
        Ok(self.listener.local_addr()?)
    }

    /// Serves until `stop`. An open connection does not hold up the stop.
    pub(crate) async fn serve(self, stop: CancellationToken) {
        self.serve_patiently(stop, HEAD_WITHIN).await;
    }

    async fn serve_patiently(self, stop: CancellationToken, head_within: Duration) {
        // Dropping it ends what is open.
        let mut open = JoinSet::new();
        let mut oldest_first: VecDeque<AbortHandle> = VecDeque::new();
        loop {
            tokio::select! {
                biased;
                () = stop.cancelled() => return,
                Some(_) = open.join_next() => {}
                accepted = self.listener.accept() => match accepted {
                    Ok((stream, _)) => {
                        oldest_first.retain(|connection| !connection.is_finished());
                        if oldest_first.len() >= CONNECTIONS && let Some(oldest) = oldest_first.pop_front() {
                            oldest.abort();
                        }
                        oldest_first.push_back(open.spawn(converse(stream, self.router.clone(), head_within)));
                    }
                    Err(error) => {
                        tracing::debug!(error = %error, "connection_not_accepted");
                        tokio::time::sleep(BREATH).await;
                    }
                }
            }
        }
    }
}

/// One connection, from its first request to its last.
async fn converse(stream: TcpStream, router: Router, head_within: Duration) {
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(head_within);
    let talk = http.serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
    // How it ends, and whether it ended by itself, is its client's business.
    let _ = tokio::time::timeout(CONNECTION_LIFE, talk).await;
}

fn router(looks: Looks) -> Router {
    let metrics = Metrics::new(looks.clone());
    Router::new()
        .route("/", get(page))
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(ready))
        .route("/metrics", get(scrape))
        .with_state(Arc::new(Shared { looks, metrics }))
}

async fn ready(State(shared): State<Arc<Shared>>) -> Response {
    let snapshot = (shared.looks.snapshot)();
    let unavailable = |why: &'static str| (StatusCode::SERVICE_UNAVAILABLE, why).into_response();
    match (&snapshot.revision, snapshot.stopping) {
        (_, true) => unavailable("stopping\n"),
        (None, false) => unavailable("no revision of the desired state is in force\n"),
        (Some(_), false) => "ready\n".into_response(),
    }
}

async fn scrape(State(shared): State<Arc<Shared>>) -> Response {
    match shared.metrics.text() {
        Ok(text) => ([(header::CONTENT_TYPE, CONTENT_TYPE)], text).into_response(),
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

async fn page(State(shared): State<Arc<Shared>>) -> Html<String> {
    Html(render(&(shared.looks.snapshot)()))
}

const STYLE: &str = "body{font:15px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:70rem;padding:0 1rem}\
    table{border-collapse:collapse;width:100%}th,td{text-align:left;padding:.3rem .6rem;border-bottom:1px solid #ddd;\
    vertical-align:top}pre{white-space:pre-wrap}.blocked{color:#b00020}.waiting{color:#8a6d00}.converged{color:#1b6e20}";

fn render(snapshot: &Snapshot) -> String {
    let mut rows = String::new();
    for (id, account) in &snapshot.accounts {
        let (next, waits_for) = account.plan.as_deref().map(outlook).unwrap_or_default();
        let waits_for = account.last_error.clone().unwrap_or(waits_for);
        let age = account.age().map_or_else(|| "never".to_owned(), |age| format!("{} s ago", age.as_secs()));
        // Writing to a `String` does not fail.
        let _ = write!(
            rows,
            "<tr><td title=\"{}\">{}</td><td class=\"{standing}\">{standing}</td><td>{}</td><td>{}</td><td>{}</td>\
             <td>{}</td><td>{age}</td></tr>",
            escape(id.as_str()),
            escape(id.name()),
            account.steps_left(),
            escape(&next),
            escape(&waits_for),
            escape(&account.changed.join("\n")),
            standing = standing(account),
        );
    }
    let rejected = list("The newest files are rejected; older ones are in force", snapshot.rejected.iter().cloned());
    let unplaced = snapshot.unplaced.iter().map(|(id, why)| format!("{}: {why}", id.name()));
    let unplaced = list("Workspaces whose account could not be found out", unplaced);
    let missing = list("Declared workspaces that do not exist", snapshot.missing.iter().map(ToString::to_string));
    format!(
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><meta http-equiv=\"refresh\" content=\"5\">\
         <title>keyless</title><style>{STYLE}</style></head><body><h1>keyless</h1><p>Revision <code>{}</code>; \
         {}.</p>{rejected}{unplaced}{missing}<table><thead><tr><th>account</th><th>standing</th><th>steps</th>\
         <th>next</th><th>waits for</th><th>changed by</th><th>read completely</th></tr></thead><tbody>{rows}</tbody></table>\
         <p><a href=\"/metrics\">metrics</a></p></body></html>\n",
        escape(snapshot.revision.as_deref().unwrap_or("none")),
        plural(snapshot.accounts.len(), "account"),
    )
}

fn list(title: &str, lines: impl Iterator<Item = String>) -> String {
    let lines: Vec<String> = lines.map(|line| escape(&line)).collect();
    if lines.is_empty() { String::new() } else { format!("<h2>{title}</h2><pre>{}</pre>", lines.join("\n")) }
}

/// The next step, and what it or a finding waits for.
fn outlook(plan: &Plan) -> (String, String) {
    let next = plan.next().or(plan.steps.first()).map(|step| step.action.to_string()).unwrap_or_default();
    let shut = plan.steps.iter().flat_map(|step| &step.gates).find_map(|check| match &check.state {
        GateState::Waiting { until, why } => Some(format!("{} until {until}: {why}", check.gate)),
        GateState::Unmet { why, .. } => Some(format!("{}: {why}", check.gate)),
        GateState::Open | GateState::NotLooked => None,
    });
    let finding = plan.findings.iter().find(|finding| finding.blocks()).or(plan.findings.first());
    (next, shut.or_else(|| finding.map(ToString::to_string)).unwrap_or_default())
}

/// Text of Azure or of the files in a place where HTML is read.
fn escape(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '&' => safe.push_str("&amp;"),
            '"' => safe.push_str("&quot;"),
            c => safe.push(c),
        }
    }
    safe
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::body::{Body, to_bytes};
    use axum::http::Request;
    use keyless_controller::status::AccountStatus;
    use keyless_core::desired::Revision;
    use keyless_core::gate::ReadSet;
    use keyless_core::id::StorageAccountId;
    use keyless_core::observed::Cause;
    use keyless_core::plan::Finding;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tower::ServiceExt as _;

    async fn get(snapshot: &Snapshot, path: &str) -> (StatusCode, String) {
        let snapshot = snapshot.clone();
        let looks = Looks {
            snapshot: Arc::new(move || snapshot.clone()),
            counts: Arc::new(|| {
                vec![
                    Count { operation: "get storage account", status: Some(200), requests: 3 },
                    Count { operation: "get storage account", status: None, requests: 1 },
                ]
            }),
        };
        let request = Request::get(path).body(Body::empty()).unwrap();
        let response = router(looks).oneshot(request).await.unwrap();
        let status = response.status();
        let body = to_bytes(response.into_body(), 1 << 20).await.unwrap();
        (status, String::from_utf8(body.to_vec()).unwrap())
    }

    fn account() -> StorageAccountId {
        let group = "/subscriptions/00000000-0000-0000-0000-000000000001/resourceGroups/rg";
        StorageAccountId::parse(&format!("{group}/providers/Microsoft.Storage/storageAccounts/stone")).unwrap()
    }

    fn snapshot() -> Snapshot {
        let finding =
            Finding::Incomplete { what: "<locks>".to_owned(), why: "timeout".to_owned(), cause: Cause::default() };
        let plan = Plan {
            account_id: account(),
            revision: Revision("r1".to_owned()),
            at: "2026-11-01T12:00:00Z".parse().unwrap(),
            drift: Default::default(),
            steps: Vec::new(),
            findings: [finding].into(),
            switches: Default::default(),
            wants: ReadSet::default(),
        };
        let mut snapshot = Snapshot { revision: Some("r1".to_owned()), ..Snapshot::default() };
        let status = AccountStatus {
            plan: Some(Arc::new(plan)),
            changed: vec!["shared key access is enabled, files ask disabled; changed by <dana@example.com>".to_owned()],
            last_good_at: Some(tokio::time::Instant::now()),
            ..AccountStatus::default()
        };
        snapshot.accounts.insert(account(), status);
        snapshot.counters.passes = 2;
        snapshot.counters.writes.insert("SetAuthMode", 5);
        snapshot
    }

    #[tokio::test]
    async fn readiness_waits_for_a_revision_and_health_does_not() {
        let empty = Snapshot::default();
        assert_eq!(get(&empty, "/healthz").await.0, StatusCode::OK);
        assert_eq!(get(&empty, "/readyz").await.0, StatusCode::SERVICE_UNAVAILABLE);
        let mut ready = snapshot();
        ready.rejected.push("a.yaml:1:1: wrong".to_owned());
        assert_eq!(get(&ready, "/readyz").await.0, StatusCode::OK, "the last good revision stays in force");
        ready.stopping = true;
        assert_eq!(get(&ready, "/readyz").await.0, StatusCode::SERVICE_UNAVAILABLE);
    }

    #[tokio::test]
    async fn metrics_count_passes_accounts_and_requests() {
        let (status, text) = get(&snapshot(), "/metrics").await;
        assert_eq!(status, StatusCode::OK);
        for line in [
            "keyless_passes_total 2",
            "keyless_writes_total{action=\"SetAuthMode\"} 5",
            "keyless_accounts{standing=\"blocked\"} 1",
            "keyless_accounts{standing=\"converged\"} 0",
            "keyless_accounts_never_read 0",
            "keyless_requests_total{operation=\"get storage account\",status=\"200\"} 3",
            "keyless_requests_total{operation=\"get storage account\",status=\"none\"} 1",
            "keyless_config_rejected 0",
        ] {
            assert!(text.contains(line), "{line} is not in:\n{text}");
        }
        assert!(text.contains("keyless_last_good_pass_age_seconds ") && text.ends_with("# EOF\n"), "{text}");
    }

    #[tokio::test]
    async fn every_metric_is_in_the_readme() {
        let (_, text) = get(&snapshot(), "/metrics").await;
        let kinds = text.lines().filter_map(|line| line.strip_prefix("# TYPE "));
        for (name, kind) in kinds.filter_map(|line| line.split_once(' ')) {
            let name = if kind == "counter" { format!("{name}_total") } else { name.to_owned() };
            let listed = [format!("`{name}`"), format!("`{name}{{")];
            let readme = include_str!("../../../README.md");
            assert!(listed.iter().any(|word| readme.contains(word)), "{name} is not in README.md");
        }
    }

    async fn half_open(address: SocketAddr) -> Vec<TcpStream> {
        let mut idle = Vec::new();
        for _ in 0..CONNECTIONS {
            let mut stream = TcpStream::connect(address).await.unwrap();
            stream.write_all(b"GET / HTTP/1.1\r\nHost: x\r\nX-Slow: ").await.unwrap();
            idle.push(stream);
        }
        idle
    }

    async fn probe(address: SocketAddr) -> String {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    }

    #[tokio::test]
    async fn half_open_connections_keep_no_probe_out_and_are_closed_in_time() {
        let looks = Looks { snapshot: Arc::new(Snapshot::default), counts: Arc::new(Vec::new) };
        // As good as never, for the probe; at once, for those that are left open.
        for (head_within, are_probed) in [(Duration::from_secs(60 * 60), true), (Duration::from_millis(50), false)] {
            let server = Server::bind("127.0.0.1:0", looks.clone()).await.unwrap();
            let (address, stop) = (server.address().unwrap(), CancellationToken::new());
            let served = tokio::spawn(server.serve_patiently(stop.clone(), head_within));
            let idle = half_open(address).await;
            if are_probed {
                for _ in 0..3 {
                    let answer = probe(address).await;
                    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
                }
            } else {
                for mut stream in idle {
                    let mut rest = Vec::new();
                    // Closed with a word or without.
                    let _ = stream.read_to_end(&mut rest).await;
                }
            }
            stop.cancel();
            served.await.unwrap();
        }
    }

    #[tokio::test]
    async fn the_page_names_accounts_and_problems_and_escapes_them() {
        let mut snapshot = snapshot();
        snapshot.rejected.push("a.yaml:1:1: <b>".to_owned());
        let (_, text) = get(&snapshot, "/").await;
        assert!(text.contains("changed by &lt;dana@example.com&gt;"), "{text}");
        assert!(text.contains("stone") && text.contains("&lt;locks&gt;") && text.contains("a.yaml:1:1: &lt;b&gt;"));
        assert!(!text.contains("<b>"), "{text}");
    }
}
