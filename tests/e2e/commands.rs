//! What each command does on a cloud, how it ends, and what it leaves to others.

use serde_json::{Value, json};

use crate::harness::{Daemon, PATIENCE, Sim, id_of, keyless, output_of, patience, stderr, stdout, wait_until};

#[test]
fn with_tls_the_files_alone_are_enough() {
    let sim = Sim::start(&["--workspaces", "4", "--seed", "2", "--speed", "600", "--tls"]);
    output_of(sim.command_by_files(&["apply", "--wait", "90s"]), 0);
    assert!(sim.is_off_keys());
    let planned = output_of(sim.command_by_files(&["plan", "--detailed-exitcode"]), 0);
    assert!(stdout(&planned).contains("converged"), "{}", stdout(&planned));
    sim.assert_nobody_was_denied();
}

#[test]
fn apply_tells_what_stands_in_the_way_and_exits_with_3() {
    let sim = Sim::fleet(2, 8);
    for account in sim.accounts() {
        sim.drift("lockAdded", id_of(&account), json!("ReadOnly"));
    }
    output_of(sim.command(&["plan", "--detailed-exitcode"]), 3);
    assert_eq!(sim.requests().writes(), 0);
    let applied = output_of(sim.command(&["apply", "--wait", "60s"]), 3);
    let text = stdout(&applied);
    assert!(text.contains("✗ unlocked") && text.contains("lifted by: "), "{text}");
    assert!(sim.accounts().iter().all(|account| sim.key_is_on(id_of(account))));
    sim.assert_nobody_was_denied();
}

#[test]
fn a_second_writer_is_refused_and_a_plan_is_not() {
    let sim = Sim::fleet(3, 1);
    let mut daemon = Daemon::start(&sim);
    daemon.event("config_accepted", |_| true);
    for command in ["run", "apply"] {
        let second = output_of(sim.command(&[command]), 1);
        assert!(stderr(&second).contains("in use"), "{}", stderr(&second));
    }
    output_of(sim.command(&["plan"]), 0);
    daemon.stop();
}

#[test]
fn bad_files_from_the_start_mean_that_nothing_is_written() {
    let sim = Sim::fleet(3, 6);
    std::fs::write(sim.desired().join("zz-bad.yaml"), "kind: [\n").unwrap();
    for command in ["plan", "apply"] {
        let output = output_of(sim.command(&[command]), 1);
        assert!(stderr(&output).contains("zz-bad.yaml:1:"), "{}", stderr(&output));
    }
    let mut daemon = Daemon::start(&sim);
    daemon.event("config_rejected", |_| true);
    assert_eq!(daemon.get("/readyz").status, 503);
    daemon.stop();
    assert_eq!(sim.requests().writes(), 0);
}

#[test]
fn a_second_signal_ends_the_daemon_at_once() {
    let sim = Sim::fleet(2, 1);
    let mut daemon = Daemon::start(&sim);
    daemon.event("config_accepted", |_| true);
    daemon.terminate();
    // It may be gone by then, for a clean stop may be quicker than the second signal.
    wait_until("the first signal is told", PATIENCE, || {
        daemon.log().iter().any(|line| line.contains("\"stopping\"")).then_some(())
    });
    daemon.terminate();
    let stopped = daemon.wait();
    assert!(matches!(stopped.status.code(), Some(0 | 143)), "{}", stopped.status);
}

#[test]
fn a_daemon_whose_log_nobody_reads_any_more_goes_on() {
    let sim = Sim::fleet(3, 5);
    let mut daemon = Daemon::start_unread(sim.command(&["run"]));
    daemon.wait_until("the fleet is off keys", patience(3), |_| sim.is_off_keys().then_some(()));
    daemon.kill();
    sim.assert_nobody_was_denied();
}

#[test]
fn a_daemon_whose_log_reader_hangs_goes_on_and_stops_when_asked() {
    let sim = Sim::fleet(3, 5);
    let mut command = sim.command(&["run"]);
    command.env("RUST_LOG", "trace");
    let mut daemon = Daemon::start_stuck(command);
    // What a pipe holds is full long before that.
    daemon.wait_until("the fleet is off keys", patience(3), |_| sim.is_off_keys().then_some(()));
    daemon.terminate();
    assert_eq!(daemon.wait().status.code(), Some(0));
    sim.assert_nobody_was_denied();
}

#[test]
fn a_record_has_every_request_and_no_secret() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("record.jsonl");
    let record = path.to_str().unwrap();
    let sim = Sim::start(&["--workspaces", "3", "--speed", "600", "--faults", "full", "--record", record]);
    let _ = sim.command(&["plan"]).output().unwrap();
    // It is on the disk before the end too.
    wait_until("the record is on the disk", PATIENCE, || {
        let text = std::fs::read_to_string(&path).unwrap();
        text.contains("\"url\"").then_some(())
    });
    let counted = sim.requests().total();
    let (header, secret) = (sim.ready("identityHeader").to_owned(), sim.ready("clientSecret").to_owned());
    assert_eq!(sim.stop().code(), Some(0));
    let text = std::fs::read_to_string(&path).unwrap();
    let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let arm = lines.iter().filter(|line| !line["operation"].as_str().unwrap().ends_with("/token")).count();
    assert!(counted > 0 && arm as u64 >= counted, "{arm} recorded, {counted} counted");
    assert!(lines.len() > arm, "token requests are recorded too");
    assert!(!text.contains(&header) && !text.contains(&secret) && !text.contains("Bearer eyJ"));
    assert!(lines.iter().all(|line| line["requestHeaders"]["authorization"].as_str().is_none_or(|text| text == "***")));
}

#[test]
fn two_simulators_do_not_write_to_one_record() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("record.jsonl");
    std::fs::write(&path, "what was there before\n").unwrap();
    let record = path.to_str().unwrap();
    let sim = Sim::start(&["--workspaces", "1", "--record", record]);
    let second = ["sim", "--workspaces", "1", "--listen", "127.0.0.1:0", "--record", record];
    let said = stderr(&output_of(keyless(&second), 1));
    assert!(said.contains("another process is writing to"), "{said}");
    assert_eq!(sim.stop().code(), Some(0));
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "");
}

/// A device that is always full, where there is one.
#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_is_told_once_and_the_simulator_goes_on() {
    let sim = Sim::start(&["--workspaces", "3", "--speed", "600", "--record", "/dev/full"]);
    let told = || sim.remarks().matches("cannot write the record of requests").count();
    output_of(sim.command(&["plan"]), 0);
    wait_until("it is told", PATIENCE, || (told() > 0).then_some(()));
    output_of(sim.command(&["plan"]), 0);
    assert!(sim.requests().total() > 0);
    assert_eq!(told(), 1, "{}", sim.remarks());
}

#[test]
fn the_simulator_stops_when_it_is_asked_to() {
    let sim = Sim::fleet(2, 1);
    assert!(sim.pid() > Some(0));
    assert_eq!(sim.stop().code(), Some(0));
}
