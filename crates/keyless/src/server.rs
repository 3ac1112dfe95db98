//! Health, readiness, metrics and a status page over plain HTTP, on loopback by default.
//!
//! Ready means that a revision of the desired state is in force; how fresh the passes are is a metric, because a
//! restart would not make them fresher.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::Context as _;
use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::get;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::board::{self, Board};
use crate::metrics::{CONTENT_TYPE, Counts, Metrics};

/// A server that has its address and does not serve yet.
pub(crate) struct Server {
    listener: TcpListener,
    router: Router,
}

struct Shared {
    board: Arc<Board>,
    metrics: Metrics,
}

impl Server {
    /// Takes the address; port 0 picks one.
    pub(crate) async fn bind(listen: &str, board: Arc<Board>, counts: Counts) -> anyhow::Result<Self> {
        let listener = TcpListener::bind(listen).await.with_context(|| {
            format!("cannot listen on `{listen}`\nhint: `--listen 127.0.0.1:0` takes any free port; the cause")
        })?;
        Ok(Self { listener, router: router(board, counts) })
    }

    /// The address that was taken.
    pub(crate) fn address(&self) -> anyhow::Result<SocketAddr> {
        Ok(self.listener.local_addr()?)
    }

    /// Serves until `stop`.
    pub(crate) async fn serve(self, stop: CancellationToken) -> anyhow::Result<()> {
        // An open connection must not hold up the stop.
        let served = axum::serve(self.listener, self.router).into_future();
        tokio::select! {
            result = served => Ok(result?),
            () = stop.cancelled() => Ok(()),
        }
    }
}

fn router(board: Arc<Board>, counts: Counts) -> Router {
    let metrics = Metrics::new(Arc::clone(&board), counts);
    Router::new()
        .route("/", get(page))
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(ready))
        .route("/metrics", get(scrape))
        .with_state(Arc::new(Shared { board, metrics }))
}

async fn ready(State(shared): State<Arc<Shared>>) -> Response {
    if shared.board.is_ready() {
        "ready\n".into_response()
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "no revision of the desired state is in force\n").into_response()
    }
}

async fn scrape(State(shared): State<Arc<Shared>>) -> Response {
    match shared.metrics.text() {
        Ok(text) => ([(header::CONTENT_TYPE, CONTENT_TYPE)], text).into_response(),
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

async fn page(State(shared): State<Arc<Shared>>) -> Html<String> {
    Html(render(&shared.board.snapshot()))
}

const STYLE: &str = "body{font:15px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:70rem;padding:0 1rem}\
    table{border-collapse:collapse;width:100%}th,td{text-align:left;padding:.3rem .6rem;border-bottom:1px solid #ddd;\
    vertical-align:top}pre{white-space:pre-wrap}.blocked{color:#b00020}.waiting{color:#8a6d00}.converged{color:#1b6e20}";

fn render(state: &board::State) -> String {
    let mut rows = String::new();
    for (id, row) in &state.accounts {
        // Writing to a `String` does not fail.
        let _ = write!(
            rows,
            "<tr><td title=\"{}\">{}</td><td class=\"{standing}\">{standing}</td><td>{}</td><td>{}</td><td>{}</td>\
             <td>{} s</td></tr>",
            escape(id.as_str()),
            escape(id.name()),
            row.steps,
            escape(&row.next),
            escape(&row.waits_for),
            row.age().as_secs(),
            standing = row.standing.as_str(),
        );
    }
    let rejected = if state.rejected.is_empty() {
        String::new()
    } else {
        let problems: Vec<String> = state.rejected.iter().map(|problem| escape(problem)).collect();
        format!("<h2>The newest files are rejected</h2><pre>{}</pre>", problems.join("\n"))
    };
    let counts: Vec<String> =
        state.by_standing().iter().map(|(standing, count)| format!("{count} {}", standing.as_str())).collect();
    format!(
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><meta http-equiv=\"refresh\" content=\"5\">\
         <title>keyless</title><style>{STYLE}</style></head><body><h1>keyless</h1><p>Revision <code>{}</code>; \
         accounts: {}.</p>{rejected}<table><thead><tr><th>account</th><th>standing</th><th>steps</th><th>next</th>\
         <th>waits for</th><th>last good pass</th></tr></thead><tbody>{rows}</tbody></table>\
         <p><a href=\"/metrics\">metrics</a></p></body></html>\n",
        escape(state.revision.as_deref().unwrap_or("none")),
        counts.join(", "),
    )
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
    use keyless_arm::counts::Count;
    use keyless_core::desired::Revision;
    use keyless_core::gate::ReadSet;
    use keyless_core::id::StorageAccountId;
    use keyless_core::pass::{Ended, Report};
    use keyless_core::plan::{Finding, Plan};
    use tower::ServiceExt as _;

    fn board() -> Arc<Board> {
        Arc::new(Board::default())
    }

    async fn get(board: &Arc<Board>, path: &str) -> (StatusCode, String) {
        let counts: Counts = Arc::new(|| {
            vec![
                Count { operation: "get storage account", status: Some(200), requests: 3 },
                Count { operation: "get storage account", status: None, requests: 1 },
            ]
        });
        let request = Request::get(path).body(Body::empty()).unwrap();
        let response = router(Arc::clone(board), counts).oneshot(request).await.unwrap();
        let status = response.status();
        let body = to_bytes(response.into_body(), 1 << 20).await.unwrap();
        (status, String::from_utf8(body.to_vec()).unwrap())
    }

    fn report(why: Option<&str>) -> Report {
        let id = "/subscriptions/00000000-0000-0000-0000-000000000001/resourceGroups/rg/providers/\
                  Microsoft.Storage/storageAccounts/stone";
        let finding = |why: &str| Finding::Incomplete { what: "<locks>".to_owned(), why: why.to_owned() };
        Report {
            plan: Plan {
                account_id: StorageAccountId::parse(id).unwrap(),
                revision: Revision("r1".to_owned()),
                at: "2026-11-01T12:00:00Z".parse().unwrap(),
                drift: Default::default(),
                steps: Vec::new(),
                findings: why.map(finding).into_iter().collect(),
                wants: ReadSet::default(),
            },
            write: None,
            ended: Ended::Planned,
        }
    }

    #[tokio::test]
    async fn readiness_waits_for_a_revision_and_health_does_not() {
        let board = board();
        assert_eq!(get(&board, "/healthz").await.0, StatusCode::OK);
        assert_eq!(get(&board, "/readyz").await.0, StatusCode::SERVICE_UNAVAILABLE);
        board.accepted("r1");
        assert_eq!(get(&board, "/readyz").await.0, StatusCode::OK);
        board.rejected(vec!["a.yaml:1:1: wrong".to_owned()]);
        assert_eq!(get(&board, "/readyz").await.0, StatusCode::OK, "the last good revision stays in force");
    }

    #[tokio::test]
    async fn metrics_count_passes_accounts_and_requests() {
        let board = board();
        board.pass(&report(None));
        board.pass(&report(Some("timeout")));
        let (status, text) = get(&board, "/metrics").await;
        assert_eq!(status, StatusCode::OK);
        for line in [
            "keyless_passes_total{ended=\"planned\"} 2",
            "keyless_accounts{standing=\"blocked\"} 1",
            "keyless_accounts{standing=\"converged\"} 0",
            "keyless_requests_total{operation=\"get storage account\",status=\"200\"} 3",
            "keyless_requests_total{operation=\"get storage account\",status=\"none\"} 1",
            "keyless_write_failures_total 0",
            "keyless_config_rejected 0",
        ] {
            assert!(text.contains(line), "{line} is not in:\n{text}");
        }
        assert!(text.contains("keyless_last_good_pass_age_seconds "), "{text}");
    }

    #[tokio::test]
    async fn the_page_names_accounts_and_problems_and_escapes_them() {
        let board = board();
        board.accepted("r1");
        board.rejected(vec!["a.yaml:1:1: <b>".to_owned()]);
        board.pass(&report(Some("timeout")));
        let (_, text) = get(&board, "/").await;
        assert!(text.contains("stone") && text.contains("&lt;locks&gt;") && text.contains("a.yaml:1:1: &lt;b&gt;"));
        assert!(!text.contains("<b>"), "{text}");
    }
}
