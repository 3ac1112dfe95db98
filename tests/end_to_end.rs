//! Two processes: the simulated cloud, and the daemon or a command that works on it.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that fails says so by panicking, its helpers too"
)]

mod support;

use std::io::Write as _;
use std::time::Duration;

use serde_json::{Value, json};
use support::{Cloud, Daemon, Process, assert_code, eventually, keyless, repository, stderr, stdout};

fn id(resource: &Value) -> String {
    resource["id"].as_str().expect("a resource has an id").to_owned()
}

fn event(line: &str, name: &str) -> Option<Value> {
    let line: Value = serde_json::from_str(line).ok()?;
    (line["event"] == name).then_some(line)
}

#[test]
fn a_fleet_goes_off_keys_and_nobody_is_denied() {
    let cloud = Cloud::with_fleet(24, 7);
    let accounts = cloud.accounts().len();
    let planned = cloud.command(&["plan", "--detailed-exitcode", "--output", "json"]).output().unwrap();
    assert_code(&planned, 2);
    let plan: Value = serde_json::from_str(&stdout(&planned)).expect("the plan is JSON");
    assert_eq!(plan["summary"]["accounts"], accounts);

    let daemon = Daemon::start(&cloud);
    daemon.until_converged(accounts);
    assert!(cloud.is_off_keys());
    cloud.assert_nobody_was_denied();
    cloud.assert_no_keys_were_listed();

    // Full cycles go on reading and write nothing.
    let (writes, passes) = (cloud.writes(), daemon.metric("keyless_passes_total", ""));
    let cycles = 3.0 * accounts as f64;
    eventually("full cycles pass", || (daemon.metric("keyless_passes_total", "") > passes + cycles).then_some(()));
    assert_eq!(cloud.writes(), writes);
    assert_eq!(daemon.get("/healthz").0, 200);
    assert_eq!(daemon.get("/readyz").0, 200);
    assert!(daemon.get("/").1.contains("converged"));

    let (took, _) = daemon.stop();
    assert!(took < Duration::from_secs(10), "{took:?}");
    let planned = cloud.command(&["plan", "--detailed-exitcode"]).output().unwrap();
    assert_code(&planned, 0);
    cloud.assert_nobody_was_denied();
}

#[test]
fn a_daemon_that_crashes_again_and_again_comes_to_the_same_end() {
    let cloud = Cloud::with_fleet(16, 11);
    let accounts = cloud.accounts().len();
    for writes in [1, 4, 9, 15, 22] {
        let daemon = Daemon::start(&cloud);
        eventually("some more is written", || (cloud.writes() >= writes || cloud.is_off_keys()).then_some(()));
        daemon.process.kill();
    }
    let daemon = Daemon::start(&cloud);
    daemon.until_converged(accounts);
    assert!(cloud.is_off_keys());
    cloud.assert_nobody_was_denied();
    cloud.assert_no_keys_were_listed();
}

#[test]
fn drift_is_announced_with_its_account_and_corrected() {
    let cloud = Cloud::with_fleet(3, 5);
    let daemon = Daemon::start(&cloud);
    daemon.until_converged(cloud.accounts().len());
    let seen = daemon.process.lines.all().len();
    let account = id(&cloud.accounts()[0]);
    cloud.drift("sharedKey", &account, json!(true));
    let told = daemon.process.lines.wait_for("the drift is told", seen, |line| event(line, "drift_detected"));
    assert_eq!(told["storage_account"].as_str().unwrap().to_lowercase(), account.to_lowercase());
    assert_eq!(told["level"], "WARN");
    assert!(told["revision"].is_string() && told["drift"].is_string(), "{told}");
    eventually("the key is off again", || cloud.is_off_keys().then_some(()));
    daemon.process.lines.wait_for("the drift is cleared", seen, |line| event(line, "drift_cleared"));
    cloud.assert_nobody_was_denied();
}

#[test]
fn the_order_of_the_published_script_denies_access() {
    let cloud = Cloud::with_fleet(6, 3);
    for account in cloud.accounts() {
        cloud.drift("sharedKey", &id(&account), json!(false));
    }
    // Grants and switches come after that, and too late.
    eventually("somebody is denied", || (cloud.oracle()["denied"]["entitled"].as_u64()? > 0).then_some(()));
}

#[test]
fn with_tls_the_files_alone_are_enough() {
    let cloud = Cloud::start(&["--workspaces", "4", "--seed", "2", "--speed", "600", "--tls"]);
    let applied = keyless(&["apply", "--wait", "90s", "--config", &cloud.settings()]).output().unwrap();
    assert_code(&applied, 0);
    let planned = keyless(&["plan", "--detailed-exitcode", "--config", &cloud.settings()]).output().unwrap();
    assert_code(&planned, 0);
    assert!(stdout(&planned).contains("converged"), "{}", stdout(&planned));
}

#[test]
fn a_second_writer_is_refused_and_a_plan_is_not() {
    let cloud = Cloud::with_fleet(3, 1);
    let daemon = Daemon::start(&cloud);
    for command in ["run", "apply"] {
        let second = cloud.command(&[command]).output().unwrap();
        assert_code(&second, 1);
        assert!(stderr(&second).contains("in use"), "{}", stderr(&second));
    }
    assert_code(&cloud.command(&["plan"]).output().unwrap(), 0);
    daemon.stop();
}

#[test]
fn apply_tells_what_stands_in_the_way_and_exits_with_3() {
    let cloud = Cloud::with_fleet(2, 8);
    for account in cloud.accounts() {
        cloud.drift("lockAdded", &id(&account), json!("ReadOnly"));
    }
    let applied = cloud.command(&["apply", "--wait", "60s"]).output().unwrap();
    assert_code(&applied, 3);
    let text = stdout(&applied);
    assert!(text.contains("✗ unlocked") && text.contains("lifted by: "), "{text}");
    let keys_are_on = |account: &Value| account["properties"]["allowSharedKeyAccess"] != false;
    assert!(cloud.accounts().iter().all(keys_are_on));
    cloud.assert_nobody_was_denied();
}

#[test]
fn a_second_signal_ends_the_daemon_at_once() {
    let cloud = Cloud::with_fleet(2, 1);
    let daemon = Daemon::start(&cloud);
    daemon.process.terminate();
    daemon.process.lines.wait_for("the first signal is told", 0, |line| line.contains("stopping").then_some(()));
    daemon.process.terminate();
    // A clean stop may have been quicker than the second signal.
    let (status, _) = daemon.process.wait();
    assert!(matches!(status.code(), Some(0 | 143)), "{status}");
}

#[test]
fn a_bad_revision_leaves_the_last_good_one_in_force() {
    let cloud = Cloud::with_fleet(3, 4);
    let daemon = Daemon::start(&cloud);
    daemon.process.lines.wait_for("the files are in force", 0, |line| event(line, "config_accepted"));
    std::fs::write(cloud.desired().join("zz-bad.yaml"), "kind: Workspace\nspec: {a: 1}\n").unwrap();
    let told = daemon.process.lines.wait_for("the bad file is told", 0, |line| event(line, "config_rejected"));
    assert!(told.to_string().contains("zz-bad.yaml:"), "{told}");
    assert_eq!(daemon.get("/readyz").0, 200);
    assert_eq!(daemon.metric("keyless_config_rejected", ""), 1.0);
    daemon.until_converged(cloud.accounts().len());
    std::fs::remove_file(cloud.desired().join("zz-bad.yaml")).unwrap();
    eventually("the rejection is over", || (daemon.metric("keyless_config_rejected", "") < 0.5).then_some(()));
}

#[test]
fn bad_files_from_the_start_mean_that_nothing_is_written() {
    let cloud = Cloud::with_fleet(3, 6);
    std::fs::write(cloud.desired().join("zz-bad.yaml"), "kind: [\n").unwrap();
    for command in ["plan", "apply"] {
        let output = cloud.command(&[command]).output().unwrap();
        assert_code(&output, 1);
        assert!(stderr(&output).contains("zz-bad.yaml:1:"), "{}", stderr(&output));
    }
    let daemon = Daemon::start(&cloud);
    daemon.process.lines.wait_for("the bad file is told", 0, |line| event(line, "config_rejected"));
    assert_eq!(daemon.get("/readyz").0, 503);
    daemon.stop();
    assert_eq!(cloud.writes(), 0);
}

#[test]
fn a_log_at_its_fullest_holds_no_token_and_no_secret() {
    let cloud = Cloud::start(&["--workspaces", "4", "--seed", "9", "--speed", "600", "--tls"]);
    let mut command = keyless(&["apply", "--wait", "90s", "--log", "json", "--config", &cloud.settings()]);
    let everything = "trace,azure_core=trace,azure_identity=trace,typespec_client_core=trace,hyper=trace,\
                      hyper_util=trace,h2=trace,reqwest=trace,rustls=trace,mio=info";
    let output = command.env("RUST_LOG", everything).output().unwrap();
    assert_code(&output, 0);
    let log = stderr(&output);
    assert!(log.contains("TRACE") && log.contains("keyless_arm"), "the log is not full");
    assert!(!log.contains(cloud.ready("clientSecret")), "the client secret is in the log");
    // Tokens of the simulator, as Entra's, are JSON Web Tokens; their head always begins so.
    for line in log.lines() {
        assert!(!line.contains("eyJ"), "a token is in the log: {line}");
        assert!(!line.to_lowercase().contains("bearer ey"), "a token is in the log: {line}");
    }
}

#[test]
fn the_recorded_world_loads_and_can_be_planned() {
    let corpus = repository().join("../shared/corpus");
    if !corpus.is_dir() {
        // Past the test harness, which keeps what passing tests print to itself.
        let _ = writeln!(std::io::stderr(), "SKIPPED: there is no recorded traffic at {}", corpus.display());
        return;
    }
    let cloud = Cloud::start(&["--world", corpus.to_str().unwrap()]);
    // Whoever recorded a workspace did not record its account; a recorded account lends its body.
    let template = cloud.accounts().into_iter().next().expect("an account was recorded");
    let mut declared = 0;
    let mut text = String::new();
    for workspace in cloud.workspaces() {
        if let Some(account) = workspace["properties"]["storageAccount"].as_str() {
            let mut own = template.clone();
            own["id"] = json!(account);
            own["name"] = json!(account.rsplit('/').next());
            own["properties"]["allowSharedKeyAccess"] = json!(true);
            cloud.drift("resourcePut", account, own);
        }
        let document = format!(
            "apiVersion: keyless.dev/v1\nkind: Workspace\nmetadata: {{name: w{declared}}}\nspec:\n  resourceId: {}\n  \
             authMode: identity\n  enforcement: observe\n---\n",
            id(&workspace)
        );
        // Recordings whose ids were blanked out are no ids any more.
        let file = cloud.folder.path().join("one.yaml");
        std::fs::write(&file, &document).unwrap();
        if keyless(&["validate", file.to_str().unwrap()]).output().unwrap().status.success() {
            text.push_str(&document);
            declared += 1;
        }
    }
    assert!(declared >= 5, "only {declared} recorded workspaces could be declared");
    std::fs::write(cloud.desired().join("recorded.yaml"), text).unwrap();
    let planned = cloud.command(&["plan", "--output", "json", "--detailed-exitcode"]).output().unwrap();
    assert_code(&planned, 3);
    let plan: Value = serde_json::from_str(&stdout(&planned)).unwrap();
    let accounts = plan["accounts"].as_array().unwrap();
    assert!(!accounts.is_empty(), "{plan:#}");
    let steps: Vec<&Value> = accounts.iter().flat_map(|account| account["steps"].as_array().unwrap()).collect();
    assert!(steps.iter().any(|step| step["action"] == "SetAuthMode"), "{plan:#}");
    assert!(steps.iter().all(|step| step["open"] == false), "nothing may be written in observe mode: {plan:#}");
    assert_eq!(cloud.writes(), 0);
}

#[test]
fn the_simulator_stops_when_it_is_asked_to() {
    let cloud = Cloud::with_fleet(2, 1);
    assert_eq!(cloud.ready["pid"].as_u64().map(|pid| pid > 0), Some(true));
    let second = Process::start(keyless(&["sim", "--workspaces", "1"]));
    second.terminate();
    // Whether it was ready by then or not, it ends.
    second.wait();
}

#[test]
fn a_daemon_whose_log_nobody_reads_any_more_goes_on() {
    let cloud = Cloud::with_fleet(3, 5);
    let mut child = cloud.command(&["run"]).stderr(std::process::Stdio::piped()).spawn().unwrap();
    drop(child.stderr.take());
    eventually("the fleet is off keys", || {
        assert_eq!(child.try_wait().unwrap(), None, "it ended");
        cloud.is_off_keys().then_some(())
    });
    child.kill().unwrap();
    child.wait().unwrap();
    cloud.assert_nobody_was_denied();
}
