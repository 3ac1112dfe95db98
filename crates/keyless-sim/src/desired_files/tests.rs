use std::collections::BTreeSet;

use super::*;
use crate::fleet;

fn made(workspaces: usize) -> Fleet {
    fleet::generate(workspaces, 7, "2026-03-01T12:00:00Z".parse().unwrap())
}

fn plain_http(speed: f64) -> WriteOptions {
    WriteOptions {
        resource_manager: "http://127.0.0.1:8080".to_owned(),
        authority: "http://127.0.0.1:8080".to_owned(),
        scope: "http://127.0.0.1:8080/.default".to_owned(),
        ca_file: None,
        credential: Credential::ManagedIdentity,
        speed,
    }
}

fn read_all(dir: &Path) -> BTreeMap<String, String> {
    let mut files = BTreeMap::new();
    for folder in [dir.to_owned(), dir.join("desired")] {
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_file() {
                let name = path.strip_prefix(dir).unwrap().to_str().unwrap().to_owned();
                files.insert(name, fs::read_to_string(&path).unwrap());
            }
        }
    }
    files
}

#[test]
fn the_same_fleet_is_written_as_the_same_bytes() {
    let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    write(&made(60), one.path(), &plain_http(1.0)).unwrap();
    write(&made(60), two.path(), &plain_http(1.0)).unwrap();
    write(&made(60), two.path(), &plain_http(1.0)).unwrap();
    assert_eq!(read_all(one.path()), read_all(two.path()));
}

#[test]
fn every_workspace_is_declared_once_in_the_file_of_its_subscription() {
    let dir = tempfile::tempdir().unwrap();
    let fleet = made(200);
    write(&fleet, dir.path(), &plain_http(600.0)).unwrap();
    let files = read_all(dir.path());
    let expected: BTreeSet<String> = ["keyless.yaml", "desired/fleet.yaml", "desired/profiles.yaml"]
        .into_iter()
        .map(str::to_owned)
        .chain(fleet.subscriptions.iter().map(|id| format!("desired/subscription-{id}.yaml")))
        .collect();
    assert_eq!(files.keys().cloned().collect::<BTreeSet<_>>(), expected);
    for workspace in &fleet.desired {
        let text = &files[&format!("desired/subscription-{}.yaml", workspace.subscription)];
        assert_eq!(text.matches(&format!("\n  name: {}\n", workspace.name)).count(), 1);
        assert_eq!(text.matches(&format!("  resourceId: {}\n", workspace.resource_id)).count(), 1);
    }
    let all: String = files.values().cloned().collect();
    assert_eq!(all.matches("kind: Workspace\n").count(), 200);
    assert_eq!(all.matches("  authMode: identity\n  enforcement: enforce\n").count(), 200);
    assert_eq!(all.matches("kind: Fleet\n").count(), 1);
    let mut names: Vec<&str> = all.lines().filter(|line| line.starts_with("  name: ")).collect();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), 203, "names of workspaces, profiles and the fleet are unique");
    for word in ["rollout", "changeWindows", "suspend", "paused"] {
        assert!(!all.contains(word), "{word}");
    }
}

#[test]
fn a_workspace_reads_as_people_write_it() {
    let workspace = DeclaredWorkspace {
        name: "fraud-train".to_owned(),
        labels: BTreeMap::from([("team".to_owned(), "fraud".to_owned())]),
        subscription: "s".to_owned(),
        resource_id: "/subscriptions/s/resourceGroups/rg/providers/p/workspaces/fraud-train".to_owned(),
        access: vec![
            Access {
                principal: Principal::Group { object_id: "0a".to_owned(), name: "true".to_owned() },
                asked: Asked::Level("readWrite"),
            },
            Access {
                principal: Principal::ManagedIdentity("/subscriptions/s/x".to_owned()),
                asked: Asked::Scenarios(vec!["training", "parallelRunStep"]),
            },
            Access {
                principal: Principal::Compute("cpu-cluster".to_owned()),
                asked: Asked::Scenarios(vec!["training"]),
            },
            Access { principal: Principal::WorkspaceSystem, asked: Asked::Scenarios(vec!["training"]) },
        ],
        profiles: vec!["org-readers".to_owned()],
        converts_datastores: true,
    };
    let expected = "\
apiVersion: keyless.dev/v1
kind: Workspace
metadata:
  name: fraud-train
  labels:
    team: fraud
spec:
  resourceId: /subscriptions/s/resourceGroups/rg/providers/p/workspaces/fraud-train
  authMode: identity
  enforcement: enforce
  access:
    - principal:
        group:
          objectId: \"0a\"
          name: \"true\"
      level: readWrite
    - principal:
        managedIdentity: /subscriptions/s/x
      scenarios:
        - training
        - parallelRunStep
    - principal:
        compute: cpu-cluster
      scenarios:
        - training
    - principal:
        workspace: system
      scenarios:
        - training
  profiles:
    - org-readers
  datastores:
    convert: all
  acceptOneWay:
    reason: everybody who works through a datastore is declared
    owner: simulated-owner
    until: \"2099-01-01T00:00:00Z\"
";
    assert_eq!(workspace_document(&workspace).document(), expected);
}

#[test]
fn the_fleet_names_every_duration_of_a_gate_divided_by_the_speed() {
    let durations = |speed: f64| -> Vec<String> {
        let text = desired_files(&made(3), speed).remove("fleet.yaml").unwrap();
        let lines = text.lines().skip_while(|line| !line.contains("enforcement")).skip(1);
        lines.take_while(|line| !line.contains("prune")).map(|line| line.trim().to_owned()).collect()
    };
    assert_eq!(
        durations(600.0),
        [
            "rolePropagation: 1500ms",
            "groupPropagation: 6s",
            "keyIdle: 6s",
            "keyEffect: 200ms",
            "metricsLag: 1500ms",
            "lateWrite: 500ms",
            "watch: 144s",
        ]
    );
    assert_eq!(
        durations(1.0),
        [
            "rolePropagation: 15m",
            "groupPropagation: 1h",
            "keyIdle: 1h",
            "keyEffect: 2m",
            "metricsLag: 15m",
            "lateWrite: 5m",
            "watch: 24h",
        ]
    );
    assert_eq!(durations(7.0)[2], "keyIdle: 514286ms", "rounded up: a gate never waits less than the world takes");
    assert_eq!(durations(1e12)[2], "keyIdle: 1ms");
    for speed in [0.5, 1.0, 3.0, 7.0, 600.0, 86_400.0] {
        for line in durations(speed) {
            humantime::parse_duration(line.split(' ').nth(1).unwrap()).unwrap();
        }
    }
}

#[test]
fn settings_for_plain_http_take_the_managed_identity_of_the_environment() {
    let expected = "\
# Written by `keyless sim --write-desired`; the next run replaces it.
cloud:
  custom:
    resourceManager: http://127.0.0.1:8080
    authority: http://127.0.0.1:8080
    scope: http://127.0.0.1:8080/.default
    storageSuffix: core.windows.net
    storageAddress: http://127.0.0.1:8080
credential: managedIdentity
desiredState: desired
interval: 1s
stateDir: state
listen: 127.0.0.1:0
";
    assert_eq!(settings(Path::new("/d"), &plain_http(1.0)).unwrap(), expected);
}

#[test]
fn settings_at_another_speed_widen_the_request_quotas_by_it() {
    let text = settings(Path::new("/d"), &plain_http(600.0)).unwrap();
    let expected = "\
limits:
  reads:
    burst: 250
    perSecond: 15000
  writes:
    burst: 200
    perSecond: 6000
  deletes:
    burst: 200
    perSecond: 6000
  storageReads:
    burst: 800
    perSecond: 1600
  storageLists:
    burst: 100
    perSecond: 200
  storageWrites:
    burst: 1200
    perSecond: 200
";
    assert!(text.ends_with(expected), "{text}");
}

#[test]
fn settings_for_tls_need_nothing_but_the_files_and_are_private() {
    let dir = tempfile::tempdir().unwrap();
    let options = WriteOptions {
        resource_manager: "https://localhost:8443".to_owned(),
        ca_file: Some(dir.path().join("ca.pem")),
        credential: Credential::ClientSecret {
            tenant_id: "6b1f0f52-3c9e-4a5c-9a0d-2f7f2f6f4e11".to_owned(),
            client_id: "9c1d2f63-4b0a-4d57-8f3e-1a2b3c4d5e6f".to_owned(),
            secret: "a#: b".to_owned(),
        },
        ..plain_http(1.0)
    };
    write(&made(1), dir.path(), &options).unwrap();
    let path = dir.path().join("keyless.yaml");
    let text = fs::read_to_string(&path).unwrap();
    assert!(text.contains("\n    caFile: ca.pem\n"), "{text}");
    assert!(
        text.contains(
            "\ncredential:\n  clientSecret:\n    tenantId: 6b1f0f52-3c9e-4a5c-9a0d-2f7f2f6f4e11\n    clientId: 9c1d2f63-4b0a-4d57-8f3e-1a2b3c4d5e6f\n    secret: \"a#: b\"\n"
        ),
        "{text}"
    );
    #[cfg(unix)]
    assert_eq!(std::os::unix::fs::PermissionsExt::mode(&fs::metadata(&path).unwrap().permissions()) & 0o777, 0o600);
    assert!(!format!("{options:?}").contains("a#: b"));
    assert_eq!(path_from(dir.path(), Path::new("/etc/ca.pem")).unwrap(), "/etc/ca.pem");
}

#[test]
fn a_smaller_fleet_leaves_nothing_of_the_larger_one_and_keeps_what_is_not_its_own() {
    let dir = tempfile::tempdir().unwrap();
    write(&made(130), dir.path(), &plain_http(1.0)).unwrap();
    fs::write(dir.path().join("desired/own.yaml"), "# mine\n").unwrap();
    write(&made(2), dir.path(), &plain_http(1.0)).unwrap();
    let names: Vec<String> = read_all(dir.path()).into_keys().filter(|name| name.contains("desired/")).collect();
    assert_eq!(names.len(), 4, "{names:?}");
    assert!(names.contains(&"desired/own.yaml".to_owned()));
}

#[test]
fn a_speed_that_is_no_positive_number_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    for speed in [0.0, -1.0, f64::NAN, f64::INFINITY] {
        let error = write(&made(1), dir.path(), &plain_http(speed)).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
    }
}
