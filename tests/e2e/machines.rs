//! Machines that are full, stand still or lose half of a file: nobody is denied, and the fleet comes to the same end.

use std::fs;
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::harness::{Daemon, Sim, output_of, patience, stderr, text_at};

const WORKSPACES: usize = 4;

/// `lateWrite` of a fleet at 600 times the speed of life.
const LATE_WRITE: Duration = Duration::from_millis(500);

/// The daemon on a disk that has no room for a file of more than so many blocks of 512 bytes, and says so by an error.
fn on_a_small_disk(sim: &Sim, blocks: u32) -> Command {
    let daemon = sim.command(&["run", "--log", "json"]);
    let mut shell = Command::new("sh");
    shell.args(["-c", &format!("trap '' XFSZ; ulimit -f {blocks}; exec \"$0\" \"$@\"")]);
    shell.arg(daemon.get_program()).args(daemon.get_args());
    for (name, value) in daemon.get_envs() {
        match value {
            Some(value) => shell.env(name, value),
            None => shell.env_remove(name),
        };
    }
    shell
}

#[test]
fn on_a_full_disk_it_does_not_start_and_says_why() {
    let sim = Sim::fleet(WORKSPACES, 5);
    let said = stderr(&output_of(on_a_small_disk(&sim, 0), 1));
    assert!(said.contains("state directory `") && said.contains("cannot be written to"), "{said}");
    assert_eq!(sim.requests().writes(), 0);
}

#[test]
fn where_there_is_no_room_for_what_it_remembers_it_says_so_once_and_goes_on() {
    let sim = Sim::fleet(WORKSPACES, 5);
    let mut daemon = Daemon::start_as(on_a_small_disk(&sim, 1));
    daemon.until_converged(sim.accounts().len(), patience(WORKSPACES));
    assert!(sim.is_off_keys());
    let lost = |daemon: &Daemon| {
        let says = |line: &&String| line.contains("the last good revision could not be kept");
        daemon.log().iter().filter(says).count()
    };
    assert_eq!(lost(&daemon), 1, "{}", daemon.log().join("\n"));
    daemon.stop();
    assert!(sim.has_settled_mark(), "a mark is small enough");
    assert!(!sim.folder().join("state/desired.last-good.json").exists());
    sim.assert_nobody_was_denied();
}

/// A device that is always full, where there is one.
#[cfg(target_os = "linux")]
#[test]
fn a_daemon_whose_log_cannot_be_written_goes_on_and_stops_when_asked() {
    let sim = Sim::fleet(WORKSPACES, 5);
    let full = fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let mut command = sim.command(&["run"]);
    command.env("RUST_LOG", "trace");
    let mut daemon = Daemon::start_logging_to(command, full);
    daemon.wait_until("the fleet is off keys", patience(WORKSPACES), |_| sim.is_off_keys().then_some(()));
    daemon.terminate();
    assert_eq!(daemon.wait().status.code(), Some(0));
    sim.assert_nobody_was_denied();
}

#[test]
fn one_that_stands_still_for_longer_than_a_write_can_be_late_goes_on_from_what_is_then_so() {
    let sim = Sim::fleet(WORKSPACES, 5);
    let accounts = sim.accounts().len();
    let mut daemon = Daemon::start(&sim);
    for writes in 1..=6 {
        daemon.wait_until("it writes on", patience(WORKSPACES), |_| (sim.requests().writes() >= writes).then_some(()));
        daemon.signal("STOP");
        let stands = Instant::now();
        // Something that matters has changed when it wakes up.
        if let (3, Some(workspace)) = (writes, sim.workspaces().first()) {
            sim.drift("authMode", text_at(workspace, "/id"), json!("AccessKey"));
        }
        daemon.wait_until("it has stood still", patience(0), |_| (stands.elapsed() > LATE_WRITE * 2).then_some(()));
        daemon.signal("CONT");
    }
    daemon.until_converged(accounts, patience(WORKSPACES));
    assert!(sim.is_off_keys());
    let writes = sim.requests().writes();
    daemon.full_cycles(accounts, 2);
    assert_eq!(sim.requests().writes(), writes);
    daemon.stop();
    assert!(sim.has_settled_mark());
    sim.assert_nobody_was_denied();
}

#[test]
fn half_of_a_file_that_a_death_left_is_not_obeyed() {
    let sim = Sim::fleet(WORKSPACES, 4);
    let accounts = sim.accounts().len();
    let mut daemon = Daemon::start(&sim);
    let accepted = text_at(&daemon.event("config_accepted", |_| true), "/revision").to_owned();
    daemon.until_converged(accounts, patience(WORKSPACES));
    daemon.stop();
    // Whole documents are left, so that nothing is wrong with what there is, and nothing has to be waited for.
    let file = fs::read_dir(sim.desired()).unwrap().map(|entry| entry.unwrap().path());
    let file = file.max_by_key(|path| fs::metadata(path).unwrap().len()).unwrap();
    let whole = fs::read_to_string(&file).unwrap();
    let (half, _) = whole.split_once("---\n").expect("it has several documents");
    fs::write(&file, half).unwrap();
    let mut daemon = Daemon::start(&sim);
    daemon.wait_until("it is told", patience(WORKSPACES), |daemon| {
        daemon.log().iter().any(|line| line.contains("the desired files may be half")).then_some(())
    });
    assert!(daemon.events("config_accepted").is_empty(), "{:#?}", daemon.events("config_accepted"));
    fs::write(&file, &whole).unwrap();
    let again = daemon.event("config_accepted", |_| true);
    assert_eq!(text_at(&again, "/revision"), accepted);
    daemon.until_converged(accounts, patience(WORKSPACES));
    daemon.stop();
    sim.assert_nobody_was_denied();
}
