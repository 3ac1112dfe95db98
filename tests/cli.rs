//! What the binary answers to a command line, without any cloud.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that fails says so by panicking, its helpers too"
)]

mod harness;

use std::path::Path;
use std::process::{Command, Output, Stdio};

use harness::{PATIENCE, assert_code, keyless as command, output_of, repository, stderr, stdout, wait_until};

#[track_caller]
fn keyless(arguments: &[&str], code: i32) -> Output {
    output_of(command(arguments), code)
}

const COMMANDS: [&str; 11] =
    ["run", "plan", "why", "apply", "validate", "schema", "adopt", "import", "sim", "demo", "completions"];

#[test]
fn help_of_every_command_goes_to_stdout_and_shows_an_example() {
    let help = keyless(&["--help"], 0);
    for name in COMMANDS {
        assert!(stdout(&help).contains(name), "{name} is not in the help");
        let own = keyless(&[name, "--help"], 0);
        assert!(stdout(&own).contains("Example") && stderr(&own).is_empty(), "{name}: {}", stdout(&own));
    }
}

#[test]
fn the_version_is_that_of_the_package() {
    let output = keyless(&["--version"], 0);
    assert_eq!(stdout(&output), format!("keyless {}\n", env!("CARGO_PKG_VERSION")));
}

#[test]
fn a_wrong_command_line_exits_with_1_and_says_why_on_stderr() {
    for arguments in [
        &[][..],
        &["frobnicate"],
        &["plan", "--output", "xml"],
        &["plan", "--bogus"],
        &["run", "--interval", "soon"],
        &["run", "--limit-reads", "many"],
        &["validate"],
        &["schema", "Pod"],
        &["adopt", "--owner", "us"],
        &["adopt", "--subscription", "mine"],
        &["adopt", "--resource-group", "rg-ml"],
        &["sim", "--speed", "fast"],
        &["sim", "--faults-seed", "3"],
        &["sim", "--faults", "no-such-file"],
        &["sim", "--record", "no/such/folder/record"],
    ] {
        let output = keyless(arguments, 1);
        assert!(stdout(&output).is_empty(), "{arguments:?}: {}", stdout(&output));
        assert!(!stderr(&output).is_empty(), "{arguments:?}");
    }
}

#[test]
fn what_talks_to_azure_needs_a_settings_file_and_says_so() {
    let adopt = &["adopt", "--subscription", "3f8c1d7a-52b4-4c0e-9d2e-7a1b6c5d4e90"][..];
    for arguments in [&["run"][..], &["plan"], &["apply"], adopt] {
        let output = keyless(arguments, 1);
        let text = stderr(&output);
        assert!(text.contains("--config") && text.contains("hint:"), "{text}");
    }
}

#[test]
fn a_template_becomes_desired_state_on_stdout_or_in_a_file_that_is_not_there_yet() {
    let fixture = |name: &str| repository().join("crates/keyless-core/tests/import").join(name).display().to_string();
    let flags = ["--subscription", "3f8c1d7a-52b4-4c0e-9d2e-7a1b6c5d4e90", "--resource-group", "rg-ml"];
    let (template, parameters) = (fixture("template.json"), fixture("parameters.json"));
    let all = [&["import", template.as_str(), parameters.as_str()][..], &flags].concat();
    let printed = keyless(&all, 0);
    assert!(stdout(&printed).contains("kind: Workspace") && stderr(&printed).contains("warning: "));

    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("imported.yaml").display().to_string();
    let to_file = [&all[..], &["--out", &out]].concat();
    assert!(stdout(&keyless(&to_file, 0)).is_empty());
    assert_eq!(std::fs::read_to_string(&out).unwrap(), stdout(&printed));
    keyless(&["validate", &out], 0);
    assert!(stderr(&keyless(&to_file, 1)).contains("--force"));
    keyless(&[&to_file[..], &["--force"]].concat(), 0);

    let refused = keyless(&["import", &template, "no-such-file"], 1);
    assert!(stdout(&refused).is_empty());
    let said = stderr(&refused);
    assert!(
        said.contains("no-such-file:1:1: ") && said.contains("template.json:") && said.contains("problems"),
        "{said}"
    );
}

#[test]
fn a_wrong_file_of_faults_is_told_with_all_of_its_problems() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("faults.json");
    let path = file.to_str().unwrap();
    std::fs::write(&file, r#"{"rules": [{"operation": "PATCH spaceships", "fault": "explode"}, {"sometimes": 1}]}"#)
        .unwrap();
    let text = stderr(&keyless(&["sim", "--faults", path], 1));
    for place in ["rules[0].fault", "rules[0].operation", "rules[1].operation", "rules[1].fault", "rules[1].sometimes"]
    {
        assert!(text.contains(&format!("{path}:{place}: ")), "{place} in {text}");
    }
    std::fs::write(&file, "{\n  rules}").unwrap();
    let text = stderr(&keyless(&["sim", "--faults", path], 1));
    assert!(text.contains(&format!("{path}:2:3: ")), "{text}");
}

/// A named pipe that nobody writes to.
fn pipe(folder: &Path) -> String {
    let path = folder.join("pipe.json");
    assert!(Command::new("mkfifo").arg(&path).status().unwrap().success());
    path.to_str().unwrap().to_owned()
}

#[test]
fn a_file_without_an_end_is_refused_with_the_setting_that_names_it() {
    let folder = tempfile::tempdir().unwrap();
    let pipe = pipe(folder.path());
    for odd in [&*pipe, "/dev/zero"] {
        for (setting, arguments) in [
            ("--world", &["sim", "--world", odd][..]),
            ("--faults", &["sim", "--faults", odd][..]),
            (odd, &["plan", "--config", odd][..]),
        ] {
            let text = stderr(&keyless(arguments, 1));
            assert!(text.contains(setting) && text.contains("is not a regular file"), "{text}");
        }
    }
}

#[test]
fn a_signal_ends_the_simulator_while_it_makes_its_world() {
    let mut sim = command(&["sim", "--workspaces", "100000"]);
    let sim = sim.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let id = sim.id().to_string();
    wait_until("it watches for SIGTERM", PATIENCE, || {
        let status = std::fs::read_to_string(format!("/proc/{id}/status")).unwrap();
        let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:")).unwrap();
        // The bit of signal 15.
        (u64::from_str_radix(caught.trim(), 16).unwrap() & (1 << 14) != 0).then_some(())
    });
    assert!(Command::new("kill").args(["-TERM", &id]).status().unwrap().success());
    let ended = sim.wait_with_output().unwrap();
    assert_code(&ended, 1);
    assert!(stderr(&ended).contains("stopped before the world was made"), "{}", stderr(&ended));
}

#[test]
fn a_demo_whose_report_cannot_be_written_does_not_begin() {
    let refused = keyless(&["demo", "--report", "/nowhere/report.json"], 1);
    assert!(stderr(&refused).contains("cannot write `/nowhere/report.json`"), "{}", stderr(&refused));
    assert_eq!(stdout(&refused), "");
}

#[test]
fn a_wrong_settings_file_is_named_with_line_and_column() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("keyless.yaml");
    std::fs::write(&file, "desiredState: d\nintervall: 1s\n").unwrap();
    let path = file.to_str().unwrap();
    for name in ["run", "plan", "apply"] {
        let output = keyless(&[name, "--config", path], 1);
        assert!(stderr(&output).contains(&format!("{path}:2:1: ")), "{}", stderr(&output));
    }
    let absent = keyless(&["run", "--config", "absent.yaml"], 1);
    assert!(stderr(&absent).contains("absent.yaml"), "{}", stderr(&absent));
}

#[test]
fn a_state_directory_among_the_desired_files_is_refused_at_the_start() {
    let folder = tempfile::tempdir().unwrap();
    let desired = folder.path().join("desired");
    std::fs::create_dir(&desired).unwrap();
    std::os::unix::fs::symlink(&desired, folder.path().join("link")).unwrap();
    std::fs::write(desired.join("fleet.yaml"), "apiVersion: keyless.dev/v1\nkind: Fleet\nspec: {owner: ml}\n").unwrap();
    let file = folder.path().join("keyless.yaml");
    std::fs::write(&file, "credential: azureCli\ndesiredState: desired\nstateDir: link/state\nlisten: 127.0.0.1:0\n")
        .unwrap();
    for name in ["run", "plan", "apply"] {
        let refused = keyless(&[name, "--config", file.to_str().unwrap()], 1);
        assert!(stderr(&refused).contains("link/state`, lies within `desiredState`"), "{name}: {}", stderr(&refused));
    }
    assert!(!desired.join("state").exists(), "nothing was made there");
}

#[test]
fn a_secret_pasted_into_a_desired_file_is_not_printed() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("account.yaml");
    let text = "apiVersion: keyless.dev/v1\nkind: StorageAccount\nspec:\n  sharedKeyAccess: disabled\n  \
                resourceId: DefaultEndpointsProtocol=https;AccountName=acc;AccountKey=CONN/SECRET==\n";
    std::fs::write(&file, text).unwrap();
    let output = keyless(&["validate", file.to_str().unwrap()], 1);
    let said = stdout(&output) + &stderr(&output);
    assert!(said.contains("account.yaml:5:15: `spec.resourceId` is wrong: a value that looks like a secret"), "{said}");
    assert!(!said.contains("CONN") && !said.contains("SECRET"), "{said}");
}

#[test]
fn a_plan_for_which_nothing_could_be_read_is_an_error() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let nobody = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let desired = repository().join("config/desired");
    let mut plan = command(&["plan", "--config", repository().join("config/keyless.yaml").to_str().unwrap()]);
    plan.args(["--cloud", "custom", "--cloud-resource-manager", &nobody, "--cloud-authority", &nobody]);
    plan.args(["--desired-state", desired.to_str().unwrap(), "--credential", "managedIdentity"]);
    plan.envs([("IDENTITY_ENDPOINT", format!("{nobody}/msi/token")), ("IDENTITY_HEADER", "x".to_owned())]);
    let text = stderr(&output_of(plan, 1));
    assert!(text.contains("nothing could be read from Azure: "), "{text}");
    assert!(text.contains("no answer from `http://127.0.0.1") && !text.contains("api-version="), "{text}");
}

#[test]
fn every_wrong_file_is_named_with_its_place_in_one_run() {
    let folder = repository().join("tests/desired-errors");
    let output = keyless(&["validate", folder.to_str().unwrap()], 1);
    let text = stdout(&output);
    for line in text.lines() {
        let place = [".yaml:", ".json:"]
            .iter()
            .filter_map(|end| line.find(end))
            .min()
            .unwrap_or_else(|| panic!("no file in {line}"));
        let mut parts = line[place + 6..].splitn(3, ':');
        for _ in 0..2 {
            let number = parts.next().unwrap_or_default();
            assert!(number.parse::<u32>().is_ok_and(|number| number > 0), "no place in {line}");
        }
    }
    // Files that are only doubtful have no line of their own.
    let quiet = ["doubtful.yaml", "empty.yaml"];
    for entry in std::fs::read_dir(&folder).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        assert!(quiet.contains(&&*name) || text.contains(&name), "no problem of {name} in:\n{text}");
    }
}

#[test]
fn the_samples_are_valid() {
    for folder in ["config/desired", "deploy/kustomize/base/desired"] {
        let output = keyless(&["validate", repository().join(folder).to_str().unwrap()], 0);
        assert!(stdout(&output).is_empty());
    }
}

#[test]
fn what_is_no_desired_state_is_refused_without_a_panic() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    std::fs::create_dir(path("empty")).unwrap();
    std::fs::write(path("junk.yaml"), [0u8, 159, 146, 150, 255]).unwrap();
    let large = std::fs::File::create(path("large.yaml")).unwrap();
    large.set_len(100 << 20).unwrap();
    for name in ["empty", "junk.yaml", "large.yaml", "absent"] {
        let output = keyless(&["validate", &path(name)], 1);
        let first = format!("{}:1:", path(name));
        assert!(stdout(&output).starts_with(&first), "{}{}", stdout(&output), stderr(&output));
    }
}

#[test]
fn schemas_are_json_and_one_kind_can_be_asked_for() {
    for arguments in [&["schema"][..], &["schema", "Workspace"], &["schema", "fleet"]] {
        let output = keyless(arguments, 0);
        let schema: serde_json::Value = serde_json::from_str(&stdout(&output)).expect("a schema is JSON");
        assert_eq!(schema["$schema"], "https://json-schema.org/draft/2020-12/schema");
    }
}

#[test]
fn completions_are_made_for_every_shell() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let output = keyless(&["completions", shell], 0);
        assert!(stdout(&output).contains("keyless"), "{shell}");
    }
}

#[test]
fn a_reader_that_goes_away_is_no_error() {
    let mut child = command(&["schema"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert!(!stderr(&output).contains("panicked"), "{}", stderr(&output));
}

#[test]
#[cfg(target_os = "linux")]
fn data_that_cannot_be_written_is_an_error_and_a_reader_that_has_gone_is_none() {
    let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let mut schema = command(&["schema"]);
    schema.stdout(full);
    let output = output_of(schema, 1);
    assert!(stderr(&output).contains("cannot write to stdout"), "{}", stderr(&output));

    let mut child = command(&["schema"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    assert_code(&child.wait_with_output().unwrap(), 0);
}
