//! The commands as whoever calls them sees them.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const KEYLESS_CHECK: &str = env!("CARGO_BIN_EXE_keyless-check");

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
