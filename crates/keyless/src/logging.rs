//! Where log lines go and which: to stderr, as text or JSON, at the level of the settings.

use std::io::IsTerminal as _;

use tracing_appender::non_blocking::{NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::EnvFilter;

use crate::settings::{LogFormat, LogLevel};

/// What other crates say at most, unless `RUST_LOG` names them: a line per connection drowns everything else.
const CAPS: [(&str, &str); 9] = [
    ("azure_core", "warn"),
    ("azure_identity", "warn"),
    ("typespec_client_core", "warn"),
    ("h2", "info"),
    ("hyper", "info"),
    ("hyper_util", "info"),
    ("mio", "info"),
    ("reqwest", "info"),
    ("rustls", "info"),
];

/// How many lines may wait for a reader of stderr; more are dropped. A reader that is stuck must not hold up the daemon.
const WAITING_LINES: usize = 16_384;

/// Starts logging; a second call changes nothing. Lines that wait are written until the guard is dropped, and for a
/// second more.
pub(crate) fn start(format: LogFormat, level: LogLevel) -> WorkerGuard {
    let variable = std::env::var("RUST_LOG").ok();
    let filter = filter(variable.as_deref(), level);
    let color = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    let (writer, guard) = NonBlockingBuilder::default()
        .lossy(true)
        .buffered_lines_limit(WAITING_LINES)
        .thread_name("log")
        .finish(std::io::stderr());
    let lines = tracing_subscriber::fmt()
        .with_writer(writer)
        // It would be told on stderr too, and where that is gone the telling panics.
        .log_internal_errors(false)
        .with_env_filter(filter)
        .with_ansi(color);
    // Fails only if a subscriber is set already, and then that one stays.
    let _ = match format {
        LogFormat::Text => lines.try_init(),
        LogFormat::Json => lines.json().flatten_event(true).with_current_span(true).with_span_list(false).try_init(),
    };
    guard
}

fn filter(variable: Option<&str>, level: LogLevel) -> EnvFilter {
    let asked = variable.filter(|text| !text.trim().is_empty()).map_or_else(|| level.to_string(), str::to_owned);
    let mut directives = asked.clone();
    for (target, cap) in CAPS {
        if !asked.contains(target) {
            directives.push_str(&format!(",{target}={cap}"));
        }
    }
    EnvFilter::new(directives)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chatty_crates_are_capped_unless_they_are_named() {
        let quiet = filter(None, LogLevel::Trace).to_string();
        assert!(
            quiet.contains("trace") && quiet.contains("hyper=info") && quiet.contains("azure_core=warn"),
            "{quiet}"
        );
        let named = filter(Some("debug,hyper=trace"), LogLevel::Info).to_string();
        assert!(named.contains("hyper=trace") && !named.contains("hyper=info"), "{named}");
    }
}
