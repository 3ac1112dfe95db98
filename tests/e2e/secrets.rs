//! At the fullest log, nothing that opens a door is written anywhere.

use std::path::Path;
use std::process::Command;

use crate::harness::{Daemon, Sim, patience};

/// Everything that may speak, those that are quiet unless they are named included.
const EVERYTHING: &str = "trace,azure_core=trace,azure_identity=trace,typespec_client_core=trace,h2=trace,hyper=trace,\
                          hyper_util=trace,reqwest=trace,rustls=trace,mio=trace";

/// Where text has a token of the form in which this cloud and Entra make them: three parts, of which the first two are
/// JSON in base64.
fn token_in(text: &str) -> Option<&str> {
    let is_part = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    text.split(|c: char| !is_part(c) && c != '.').find(|word| {
        let parts: Vec<&str> = word.split('.').collect();
        parts.len() == 3 && parts[0].starts_with("eyJ") && parts[1].starts_with("eyJ") && !parts[2].is_empty()
    })
}

/// Runs a daemon until it has gone all the way, and asserts that nothing it left behind holds a secret.
fn run_and_search(sim: &Sim, mut command: Command, secrets: &[&str]) {
    let token = sim.token();
    assert_eq!(token_in(&format!("Bearer {token}\"")), Some(token), "a token of this cloud is recognised");
    let head = token.split('.').next().unwrap();
    command.env("RUST_LOG", EVERYTHING);
    let mut daemon = Daemon::start_as(command);
    daemon.until_converged(sim.accounts().len(), patience(8));
    let pages = ["/", "/metrics", "/readyz"].map(|path| daemon.get(path).text);
    let stopped = daemon.stop();

    for source in ["\"TRACE\"", "keyless_arm", "hyper_util", "action_applied"] {
        assert!(stopped.stderr.iter().any(|line| line.contains(source)), "the log is not full: no {source}");
    }
    let mut texts: Vec<String> = stopped.stderr;
    texts.extend(stopped.stdout);
    texts.extend(pages);
    texts.extend(files_below(&sim.folder().join("state")));
    for text in &texts {
        assert_eq!(token_in(text), None);
        assert!(!text.contains(head), "the head of a token is in {text}");
        for secret in secrets {
            assert!(!text.contains(secret), "a secret is in {text}");
        }
    }
}

fn files_below(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).unwrap();
    let files =
        entries.map(|entry| String::from_utf8_lossy(&std::fs::read(entry.unwrap().path()).unwrap()).into_owned());
    files.collect()
}

#[test]
fn with_a_client_secret_over_tls_neither_it_nor_a_token_is_logged() {
    let sim = Sim::start(&["--workspaces", "5", "--seed", "9", "--speed", "600", "--tls"]);
    let settings = std::fs::read_to_string(sim.folder().join("keyless.yaml")).unwrap();
    let secret =
        settings.lines().find_map(|line| line.trim().strip_prefix("secret: ")).unwrap().trim_matches(['"', '\'']);
    assert_eq!(secret, sim.ready("clientSecret"));
    run_and_search(&sim, sim.command_by_files(&["run", "--log", "json"]), &[secret]);
    sim.assert_nobody_was_denied();
}

#[test]
fn with_a_managed_identity_neither_its_header_nor_a_token_is_logged() {
    let sim = Sim::fleet(5, 9);
    run_and_search(&sim, sim.command(&["run", "--log", "json"]), &[sim.ready("identityHeader")]);
    sim.assert_nobody_was_denied();
}
