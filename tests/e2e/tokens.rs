//! What becomes of a daemon that gets no token: it says why and what to do, asks the resource manager for nothing, and goes
//! on by itself once there is one.

use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::Value;

use crate::harness::{Daemon, Sim, patience};

fn class(event: &Value) -> &str {
    event["error_class"].as_str().unwrap_or_default()
}

/// Starts a daemon with these settings and returns its first word on what could not be read.
fn first_failure(sim: &Sim, arguments: &[&str]) -> (Value, Vec<String>) {
    let mut daemon = Daemon::start_as(sim.command_by_files(&[&["run", "--log", "json"], arguments].concat()));
    let event = daemon.event("observe_incomplete", |event| class(event).starts_with("token_"));
    (event, daemon.stop().stderr)
}

#[test]
fn a_refusal_of_entra_is_told_with_its_kind_and_a_next_step_and_without_the_secret() {
    let sim = Sim::start(&["--workspaces", "3", "--seed", "4", "--speed", "600", "--tls"]);
    let nobody = "00000000-0000-4000-8000-00000000dead";
    for (arguments, kind, words) in [
        (["--credential-secret", "hunter2-wrong"], "token_wrong_secret", "the secret's value"),
        (["--credential-client-id", nobody], "token_unknown_application", "the client id"),
    ] {
        let (event, log) = first_failure(&sim, &arguments);
        assert_eq!(class(&event), kind, "{event:#}");
        assert!(event["lift"].as_str().unwrap().contains(words), "{event:#}");
        assert!(event["why"].as_str().unwrap().contains("AADSTS"), "{event:#}");
        for line in &log {
            assert!(!line.contains("hunter2") && !line.contains(sim.ready("clientSecret")), "{line}");
        }
    }
    assert_eq!(sim.requests().writes(), 0);
    assert!(sim.requests().by_operation().keys().all(|operation| !operation.contains("/subscriptions")));
}

#[test]
fn a_token_endpoint_that_is_down_is_told_once_and_the_work_goes_on_when_it_is_back() {
    let sim = Sim::fleet(3, 4);
    let endpoint = sim.ready("identityEndpoint").strip_prefix("http://").unwrap();
    let (target, path) = endpoint.split_once('/').unwrap_or((endpoint, ""));
    let up = Arc::new(AtomicBool::new(false));
    let address = relay(target.to_owned(), Arc::clone(&up));
    let mut command = sim.command(&["run", "--log", "json"]);
    command.env("IDENTITY_ENDPOINT", format!("http://{address}/{path}"));
    let mut daemon = Daemon::start_as(command);
    let event = daemon.event("observe_incomplete", |event| class(event) == "token_unreachable");
    assert!(event["lift"].as_str().unwrap().contains("can be reached"), "{event:#}");
    assert_eq!(sim.requests().writes(), 0);
    up.store(true, Ordering::SeqCst);
    daemon.until_converged(sim.accounts().len(), patience(3));
    assert!(sim.is_off_keys());
    let told = daemon.events("observe_incomplete");
    let subscriptions = told.iter().filter(|event| class(event).starts_with("token_") && event["reminder"] != true);
    assert!(subscriptions.count() <= 8, "told once for each thing: {told:#?}");
    sim.assert_nobody_was_denied();
    daemon.stop();
}

/// Passes connections on while it is `up`, and breaks them off while it is not.
fn relay(target: String, up: Arc<AtomicBool>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let pass_on = |mut from: TcpStream, mut to: TcpStream| {
        std::thread::spawn(move || {
            // Either side may close first; the other then sees the end.
            let _ = std::io::copy(&mut from, &mut to);
            let _ = to.shutdown(Shutdown::Write);
        });
    };
    std::thread::spawn(move || {
        for from in listener.incoming().flatten().filter(|_| up.load(Ordering::SeqCst)) {
            let to = TcpStream::connect(&target).unwrap();
            pass_on(from.try_clone().unwrap(), to.try_clone().unwrap());
            pass_on(to, from);
        }
    });
    address
}
