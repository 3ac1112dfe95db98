//! Precedence, relative paths and missing pieces.

use clap::{CommandFactory as _, Parser};

use super::*;

#[derive(Parser)]
struct Line {
    #[command(flatten)]
    overrides: Overrides,
}

fn load(file: &str, flags: &[&str]) -> anyhow::Result<Settings> {
    let directory = tempfile::tempdir()?;
    let path = directory.path().join("keyless.yaml");
    std::fs::write(&path, file)?;
    std::fs::write(directory.path().join("secret"), "hunter2\n")?;
    let line = Line::try_parse_from([&["keyless"], flags].concat())?;
    Settings::load(&path, &line.overrides)
}

fn refusal(file: &str, flags: &[&str]) -> String {
    format!("{:#}", load(file, flags).unwrap_err())
}

#[test]
fn an_empty_file_leaves_every_default_but_the_desired_state() {
    let settings = load("", &["--desired-state", "d"]).unwrap();
    assert_eq!(settings.cloud, CloudSettings::Public);
    assert_eq!(settings.credential, CredentialSettings::Auto);
    assert_eq!(settings.interval, Duration::from_secs(60));
    assert_eq!((settings.limits.max_in_flight, settings.limits.headroom), (8, 0.2));
    assert_eq!(settings.listen, "127.0.0.1:8080");
    assert_eq!((settings.log, settings.log_level), (LogFormat::Text, LogLevel::Info));
    assert_eq!(settings.alert_reminder, Duration::from_secs(86_400));
    assert_eq!(settings.desired_state, PathBuf::from("d"));
    assert!(refusal("", &[]).contains("hint: set `desiredState`"));
}

#[test]
fn a_flag_outranks_the_file() {
    let file = "desiredState: d\ninterval: 5m\nlog: json\nlimits: {headroom: 0.5, reads: {burst: 9, perSecond: 1}}\n";
    let settings = load(file, &[]).unwrap();
    assert_eq!(settings.interval, Duration::from_secs(300));
    let settings = load(file, &["--interval", "7s", "--log", "text", "--limit-reads", "100,2.5"]).unwrap();
    assert_eq!(settings.interval, Duration::from_secs(7));
    assert_eq!(settings.log, LogFormat::Text);
    assert_eq!(settings.limits.headroom, 0.5);
    assert_eq!(settings.limits.reads, Some(RateFile { burst: 100.0, per_second: 2.5 }));
}

#[test]
fn relative_paths_of_the_file_start_at_the_file() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("keyless.yaml");
    let text = "desiredState: desired\nstateDir: /var/lib/keyless\n\
                cloud: {custom: {resourceManager: 'https://a', authority: 'https://b', caFile: ca.pem}}\n";
    std::fs::write(&path, text).unwrap();
    let settings = Settings::load(&path, &Overrides::default()).unwrap();
    assert_eq!(settings.desired_state, directory.path().join("desired"));
    assert_eq!(settings.state_dir, Some(PathBuf::from("/var/lib/keyless")));
    let CloudSettings::Custom { scope, ca_file, .. } = settings.cloud else { panic!("not custom") };
    assert_eq!(scope, "https://a/.default");
    assert_eq!(ca_file, Some(directory.path().join("ca.pem")));
}

#[test]
fn missing_pieces_are_named() {
    for (file, flags, words) in [
        ("cloud: {custom: {authority: 'https://b'}}", &[][..], "`cloud.custom` has no `resourceManager`"),
        ("", &["--cloud", "custom"], "`cloud.custom` has no `resourceManager`"),
        ("", &["--cloud-scope", "x"], "hint: add `--cloud custom`"),
        ("credential: {clientSecret: {secret: s, secretFile: f}}", &[], "both `secret` and `secretFile`"),
        ("credential: {clientSecret: {secretFile: absent}}", &[], "absent` cannot be read"),
        ("credential: {clientSecret: {secret: ''}}", &[], "the secret is empty"),
        ("credential: {clientSecret: {secretFile: /dev/zero}}", &[], "secretFile `/dev/zero` is not a regular file"),
        ("limits: {headroom: 1}", &[], "`headroom` is 1"),
        ("limits: {maxInFlight: 0}", &[], "`maxInFlight` is 0"),
        ("limits: {headroom: 0.9, deletes: {burst: 5, perSecond: 1}}", &[], "`limits`: deletes: after headroom"),
    ] {
        let message = refusal(&format!("desiredState: d\n{file}\n"), flags);
        assert!(message.contains(words), "{file} {flags:?} gave {message:?}");
    }
}

#[test]
fn what_does_not_fit_together_is_told_at_once() {
    let file = "credential: {clientSecret: {secret: s, secretFile: f}}\ncloud: {custom: {scope: x}}\n\
                limits: {headroom: 0.5, reads: {burst: 1, perSecond: 1}, writes: {burst: 1, perSecond: 1}}\n";
    let message = refusal(file, &[]);
    for words in [
        "hint: set `desiredState`",
        "no `resourceManager`",
        "no `authority`",
        "both `secret` and `secretFile`",
        "`limits`: reads: after headroom",
        "`limits`: writes: after headroom",
    ] {
        assert!(message.contains(words), "{message}");
    }
    let clear = "desiredState: d\ncloud: {custom: {resourceManager: 'http://a.example', authority: 'https://b'}}\n";
    assert!(refusal(clear, &[]).contains("tokens over plain HTTP"));
}

#[test]
fn what_is_kept_may_not_be_read_as_desired_state() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("keyless.yaml");
    std::fs::create_dir(directory.path().join("d")).unwrap();
    for (state_dir, fine) in [("state", true), ("d", false), (".", true), ("d/state", false), ("d/.state", true)] {
        std::fs::write(&path, format!("desiredState: d\nstateDir: {state_dir}\n")).unwrap();
        let apart = Settings::load(&path, &Overrides::default()).unwrap().apart();
        assert_eq!(apart.is_ok(), fine, "{state_dir}: {apart:?}");
    }
}

#[test]
fn a_secret_at_the_wrong_place_is_not_told_by_what_is_checked_of_all_together() {
    let secret = "x4q8Q~hunter2uQbnw0-Jv.LPt_2Ys9HdMfaGoXe3";
    for (file, flags) in [
        (format!("credential: {{clientSecret: {{secretFile: {secret}}}}}"), vec![]),
        ("cloud: {custom: {authority: 'https://b'}}".to_owned(), vec!["--cloud-resource-manager", "http://a/?hunter2"]),
        (String::new(), vec!["--credential", "clientSecret", "--credential-secret-file", secret]),
    ] {
        let message = refusal(&format!("desiredState: d\n{file}\n"), &flags);
        assert!(!message.contains("hunter2"), "{message}");
    }
    let absent = refusal("desiredState: d\ncredential: {clientSecret: {secretFile: certs/Client-2}}\n", &[]);
    assert!(absent.contains("certs/Client-2` cannot be read"), "{absent}");
}

#[test]
fn a_secret_comes_from_its_file_without_the_line_end_and_never_prints() {
    let file = "desiredState: d\ncredential: {clientSecret: {tenantId: t, clientId: c, secretFile: secret}}\n";
    let settings = load(file, &[]).unwrap();
    let CredentialSettings::ClientSecret { secret: Some(secret), .. } = &settings.credential else {
        panic!("not a secret")
    };
    assert_eq!(secret.expose(), "hunter2");
    assert!(!format!("{settings:?}").contains("hunter2"));
}

#[test]
fn another_kind_of_credential_takes_nothing_from_the_files_kind() {
    let file = "desiredState: d\ncredential: {clientSecret: {tenantId: t, clientId: c, secret: s}}\n";
    let settings = load(file, &["--credential", "managedIdentity"]).unwrap();
    assert_eq!(settings.credential, CredentialSettings::ManagedIdentity { client_id: None });
}

#[test]
fn versions_come_from_the_flag_before_the_file_and_the_rest_from_the_cloud() {
    let file = "desiredState: d\napiVersions: {workspaces: [2025-06-01, 2024-10-01-preview], storage: 2022-09-01}\n";
    let lists = |flags: &[&str]| -> Vec<String> {
        let settings = load(file, flags).unwrap();
        settings.api_versions.lists().map(|(interface, list)| format!("{interface} {}", list.join(" "))).collect()
    };
    assert_eq!(lists(&[]), ["workspaces 2025-06-01 2024-10-01-preview", "storage 2022-09-01"]);
    assert_eq!(
        lists(&["--api-versions-storage", "2023-05-01,2023-01-01", "--api-versions-locks", "2016-09-01"]),
        ["workspaces 2025-06-01 2024-10-01-preview", "storage 2023-05-01 2023-01-01", "locks 2016-09-01"]
    );
    let hides = refusal("desiredState: d\n", &["--api-versions-workspaces", "2025-09-01,2024-04-01"]);
    assert!(hides.contains("2024-04-01 hides systemDatastoresAuthMode"), "{hides}");
}

#[test]
fn a_duration_that_no_clock_can_wait_for_is_refused() {
    for (text, why) in [
        ("580000000000y", "at most 400 days"),
        ("401d", "at most 400 days"),
        ("1ns", "at least 10 ms"),
        ("0s", "at least 10 ms"),
    ] {
        for key in ["interval", "alertReminder"] {
            let file = format!("desiredState: d\n{key}: {text}\n");
            assert!(refusal(&file, &[]).contains(why), "{key}: {text}");
        }
        assert!(refusal("desiredState: d\n", &["--interval", text]).contains(why), "--interval {text}");
    }
    assert!(load("desiredState: d\ninterval: 400d\nalertReminder: 10ms\n", &[]).is_ok());
}

#[test]
fn what_is_said_of_another_credential_is_refused() {
    for (flags, words) in [
        (
            &["--credential-client-id", "c"][..],
            "`--credential-client-id` is given, but says nothing to the credential `auto`",
        ),
        (&["--credential", "azureCli", "--credential-tenant-id", "t"], "credential `azureCli`"),
        (
            &["--credential", "managedIdentity", "--credential-secret-file", "f"],
            "hint: add `--credential clientSecret`",
        ),
        (&["--credential", "clientSecret", "--credential-pem-file", "f"], "`--credential clientCertificate`"),
    ] {
        let message = refusal("desiredState: d\n", flags);
        assert!(message.contains(words), "{flags:?} gave {message:?}");
    }
    let certificate =
        ["--credential", "clientCertificate", "--credential-client-id", "c", "--credential-pem-file", "f"];
    assert!(load("desiredState: d\n", &certificate).is_ok());
}

#[test]
fn the_sample_of_settings_shows_every_key() {
    let sample = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../../config/keyless.yaml")).unwrap();
    let keys: Vec<&str> = sample
        .lines()
        .filter_map(|line| line.trim_start_matches(['#', ' ']).split_once(':'))
        .map(|(key, _)| key)
        .collect();
    for flag in Line::command().get_arguments().filter(|flag| flag.get_env().is_some()) {
        let id = flag.get_id().as_str();
        let own = ["cloud_", "credential_", "limit_", "api_versions_"].iter().find_map(|group| id.strip_prefix(group));
        let mut key = String::new();
        for (index, word) in own.unwrap_or(id).split('_').enumerate() {
            let (first, rest) = word.split_at(usize::from(index > 0));
            key.push_str(&first.to_uppercase());
            key.push_str(rest);
        }
        assert!(keys.contains(&key.as_str()), "`{key}` ({id}) is not in the sample");
    }
}
