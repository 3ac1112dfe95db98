//! The commands as whoever calls them sees them.

#![allow(clippy::unwrap_used, reason = "a test that fails says so by panicking, its helpers too")]

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const KEYLESS_CHECK: &str = env!("CARGO_BIN_EXE_keyless-check");
const KEYLESS_FUZZ: &str = env!("CARGO_BIN_EXE_keyless-fuzz");

/// Waits for what has to come, and fails where it does not.
fn comes<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let began = Instant::now();
    loop {
        if let Some(come) = look() {
            return come;
        }
        assert!(began.elapsed() < Duration::from_secs(60), "{what} did not come");
        std::thread::park_timeout(Duration::from_millis(5));
    }
}

/// A program that stands for the daemon: it writes down its number, and does nothing for an hour.
fn idle(folder: &Path) -> std::path::PathBuf {
    let binary = folder.join("idle");
    fs::write(&binary, "#!/bin/sh\necho $$ > \"$0.part\"; mv \"$0.part\" \"$0.id\"\nexec sleep 3600\n").unwrap();
    fs::set_permissions(&binary, fs::Permissions::from_mode(0o755)).unwrap();
    binary
}

fn signal(name: &str, process: &Child) {
    let status = Command::new("kill").args(["-s", name, &process.id().to_string()]).status().unwrap();
    assert!(status.success(), "SIG{name}");
}

#[test]
fn who_is_asked_to_stop_leaves_no_daemon_behind_and_tells_what_was_done() {
    let soak: &[&str] = &["soak", "--workspaces", "1"];
    for (name, arguments, told) in [
        ("TERM", &["kills", "--workspaces", "1"][..], "0 clouds, 0 deaths"),
        ("INT", &["kills", "--workspaces", "1"], "go on with --from 1"),
        ("TERM", soak, "days of the cloud"),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let binary = idle(folder.path());
        let mut command = Command::new(KEYLESS_CHECK);
        command.args(arguments).arg("--binary").arg(&binary).stdout(Stdio::piped()).stderr(Stdio::piped());
        let check = command.spawn().unwrap();
        let daemon = comes("the daemon", || fs::read_to_string(folder.path().join("idle.id")).ok());
        let is_there =
            || Command::new("kill").args(["-0", daemon.trim()]).stderr(Stdio::null()).status().unwrap().success();
        assert!(is_there(), "the daemon was never there");
        signal(name, &check);
        let output = check.wait_with_output().unwrap();
        let said = [output.stdout, output.stderr].map(|text| String::from_utf8_lossy(&text).into_owned()).concat();
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(said.contains(told) && said.contains("asked to stop"), "{said}");
        assert!(!is_there(), "{arguments:?} leaves the daemon behind after SIG{name}");
    }
}

#[test]
fn who_is_not_heard_any_more_ends_without_a_word() {
    for (binary, arguments) in [
        (KEYLESS_CHECK, &["conformance", "--sequences", "1"][..]),
        (KEYLESS_FUZZ, &["--target", "ids", "--executions", "1"]),
    ] {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let output = Command::new(binary).args(arguments).stdout(writer).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!((output.status.code(), &*said), (Some(128 + 13), ""), "{arguments:?}");
    }
}

#[test]
fn what_cannot_be_written_for_another_reason_is_told() {
    let full = fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let output = Command::new(KEYLESS_CHECK).args(["conformance", "--sequences", "1"]).stdout(full).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.starts_with("error: cannot write to stdout"), "{said}");
}

#[test]
fn what_fails_is_told() {
    let output = Command::new(KEYLESS_CHECK).args(["dst", "--seeds", "3", "--shard", "5/5"]).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(String::from_utf8_lossy(&output.stderr), "error: no seed was run\n");
}

#[test]
fn what_fails_where_nobody_hears_it_fails_all_the_same() {
    let full = fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let failing = ["dst", "--seeds", "3", "--shard", "5/5"];
    let status = Command::new(KEYLESS_CHECK).args(failing).stdout(Stdio::null()).stderr(full).status().unwrap();
    assert_eq!(status.code(), Some(1));
}
