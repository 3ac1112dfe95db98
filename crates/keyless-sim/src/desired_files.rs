//! Writes what a fleet declares as desired-state files, and the settings to run them against a simulator.
//!
//! A folder gets `desired/fleet.yaml`, `desired/profiles.yaml`, one `desired/subscription-….yaml` for each
//! subscription with workspaces, and `keyless.yaml`, whose paths are relative to itself.

mod yaml;

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use self::yaml::Yaml;
use crate::fleet::{Access, Asked, DeclaredProfile, DeclaredWorkspace, Fleet, Principal};

/// Where the simulator is, how to prove who one is, and how much faster than Azure it is.
#[derive(Debug, Clone, PartialEq)]
pub struct WriteOptions {
    /// The origin of the management endpoint.
    pub resource_manager: String,
    /// The origin of the token endpoint.
    pub authority: String,
    /// The scope to ask a token for.
    pub scope: String,
    /// The certificate of the simulator's own authority, with TLS.
    pub ca_file: Option<PathBuf>,
    /// How the controller signs in.
    pub credential: Credential,
    /// By what every duration that a gate uses is divided; greater than 0.
    pub speed: f64,
}

/// How the controller signs in.
#[derive(Clone, PartialEq, Eq)]
pub enum Credential {
    /// The managed identity that `IDENTITY_ENDPOINT` and `IDENTITY_HEADER` of the environment lead to.
    ManagedIdentity,
    /// A client secret, written into the settings.
    ClientSecret {
        /// The tenant.
        tenant_id: String,
        /// The application.
        client_id: String,
        /// Its secret.
        secret: String,
    },
}

impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ManagedIdentity => f.write_str("ManagedIdentity"),
            Self::ClientSecret { tenant_id, client_id, secret: _ } => f
                .debug_struct("ClientSecret")
                .field("tenant_id", tenant_id)
                .field("client_id", client_id)
                .finish_non_exhaustive(),
        }
    }
}

/// The first line of every file written here, by which a later run knows what it may replace.
const HEADER: &str = "# Written by `keyless sim --write-desired`; the next run replaces it.\n";

const API_VERSION: &str = "keyless.dev/v1";

const SECOND: u64 = 1;
const MINUTE: u64 = 60 * SECOND;
const HOUR: u64 = 60 * MINUTE;

/// The durations that gates use, in seconds at the pace of Azure.
const GATE_DURATIONS: &[(&str, u64)] = &[
    ("rolePropagation", 15 * MINUTE),
    // A day, where managed identities are in groups; in a generated fleet persons alone are.
    ("groupPropagation", HOUR),
    ("keyIdle", HOUR),
    ("keyEffect", 2 * MINUTE),
    ("metricsLag", 15 * MINUTE),
    ("lateWrite", 5 * MINUTE),
    ("watch", 24 * HOUR),
];

/// Azure's request quotas: the setting, how many calls may come at once, and how many are added each second.
///
/// Source: <https://learn.microsoft.com/azure/azure-resource-manager/management/request-limits-and-throttling>.
const QUOTAS: &[(&str, f64, f64)] = &[
    ("reads", 250.0, 25.0),
    ("writes", 200.0, 10.0),
    ("deletes", 200.0, 10.0),
    ("storageReads", 800.0, 800.0 / 300.0),
    ("storageLists", 100.0, 100.0 / 300.0),
    ("storageWrites", 1200.0, 1200.0 / 3600.0),
];

/// Writes `dir/desired/*.yaml` and `dir/keyless.yaml`.
///
/// Desired-state files of an earlier run that are no longer wanted are removed; whatever else lies in the folder stays.
///
/// # Errors
///
/// When the folder cannot be written to, and [`io::ErrorKind::InvalidInput`] for a speed that is no positive number.
pub fn write(fleet: &Fleet, dir: &Path, options: &WriteOptions) -> io::Result<()> {
    if !(options.speed.is_finite() && options.speed > 0.0) {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "speed must be a number greater than 0"));
    }
    let desired = dir.join("desired");
    fs::create_dir_all(&desired)?;
    let files = desired_files(fleet, options.speed);
    remove_stale(&desired, &files)?;
    for (name, text) in &files {
        fs::write(desired.join(name), text)?;
    }
    write_private(&dir.join("keyless.yaml"), &settings(dir, options)?)
}

/// The desired-state files by their names.
fn desired_files(fleet: &Fleet, speed: f64) -> BTreeMap<String, String> {
    let mut files = BTreeMap::from([("fleet.yaml".to_owned(), file([fleet_document(fleet, speed)].iter()))]);
    if !fleet.profiles.is_empty() {
        let documents: Vec<Yaml> = fleet.profiles.iter().map(profile_document).collect();
        files.insert("profiles.yaml".to_owned(), file(documents.iter()));
    }
    let mut by_subscription: BTreeMap<&str, Vec<Yaml>> = BTreeMap::new();
    for workspace in &fleet.desired {
        by_subscription.entry(&workspace.subscription).or_default().push(workspace_document(workspace));
    }
    for (subscription, documents) in by_subscription {
        files.insert(format!("subscription-{subscription}.yaml"), file(documents.iter()));
    }
    files
}

fn file<'a>(documents: impl Iterator<Item = &'a Yaml>) -> String {
    let texts: Vec<String> = documents.map(Yaml::document).collect();
    format!("{HEADER}{}", texts.join("---\n"))
}

fn document(kind: &str, name: &str, labels: &BTreeMap<String, String>, spec: Yaml) -> Yaml {
    let mut metadata = vec![("name", Yaml::text(name))];
    if !labels.is_empty() {
        let labels = labels.iter().map(|(key, value)| (key.clone(), value.clone())).collect();
        metadata.push(("labels", Yaml::Labels(labels)));
    }
    Yaml::Map(vec![
        ("apiVersion", Yaml::text(API_VERSION)),
        ("kind", Yaml::text(kind)),
        ("metadata", Yaml::Map(metadata)),
        ("spec", spec),
    ])
}

fn fleet_document(fleet: &Fleet, speed: f64) -> Yaml {
    let mut defaults = vec![("enforcement", Yaml::text("enforce"))];
    defaults.extend(GATE_DURATIONS.iter().map(|&(name, seconds)| (name, Yaml::text(divided(seconds, speed)))));
    defaults.push(("prune", Yaml::Flag(false)));
    let mut spec = vec![("owner", Yaml::text("keyless-sim"))];
    if !fleet.subscriptions.is_empty() {
        spec.push(("scope", Yaml::Map(vec![("subscriptions", Yaml::list(&fleet.subscriptions))])));
    }
    spec.push(("defaults", Yaml::Map(defaults)));
    // A day of a fight passes as fast as any other.
    let within = Yaml::Map(vec![("within", Yaml::text(divided(24 * HOUR, speed)))]);
    spec.push(("guard", Yaml::Map(vec![("fight", within)])));
    document("Fleet", "simulated-fleet", &BTreeMap::new(), Yaml::Map(spec))
}

fn profile_document(profile: &DeclaredProfile) -> Yaml {
    let spec = Yaml::Map(vec![("access", access_list(&profile.access))]);
    document("AccessProfile", &profile.name, &BTreeMap::new(), spec)
}

fn workspace_document(workspace: &DeclaredWorkspace) -> Yaml {
    let mut spec = vec![
        ("resourceId", Yaml::text(&workspace.resource_id)),
        ("authMode", Yaml::text("identity")),
        ("enforcement", Yaml::text("enforce")),
    ];
    if !workspace.access.is_empty() {
        spec.push(("access", access_list(&workspace.access)));
    }
    if !workspace.profiles.is_empty() {
        spec.push(("profiles", Yaml::list(&workspace.profiles)));
    }
    if workspace.converts_datastores {
        let accepted = vec![
            ("reason", Yaml::text("everybody who works through a datastore is declared")),
            ("owner", Yaml::text("simulated-owner")),
            ("until", Yaml::text("2099-01-01T00:00:00Z")),
        ];
        spec.push(("datastores", Yaml::Map(vec![("convert", Yaml::text("all"))])));
        spec.push(("acceptOneWay", Yaml::Map(accepted)));
    }
    document("Workspace", &workspace.name, &workspace.labels, Yaml::Map(spec))
}

fn access_list(access: &[Access]) -> Yaml {
    let entry = |access: &Access| {
        let asked = match &access.asked {
            Asked::Level(level) => ("level", Yaml::text(*level)),
            Asked::Scenarios(words) => ("scenarios", Yaml::list(words.iter().copied())),
        };
        Yaml::Map(vec![("principal", principal(&access.principal)), asked])
    };
    Yaml::List(access.iter().map(entry).collect())
}

fn principal(principal: &Principal) -> Yaml {
    let object =
        |object_id: &str, name: &str| Yaml::Map(vec![("objectId", Yaml::text(object_id)), ("name", Yaml::text(name))]);
    Yaml::Map(vec![match principal {
        Principal::User { object_id, name } => ("user", object(object_id, name)),
        Principal::Group { object_id, name } => ("group", object(object_id, name)),
        Principal::ServicePrincipal { object_id, name } => ("servicePrincipal", object(object_id, name)),
        Principal::ManagedIdentity(id) => ("managedIdentity", Yaml::text(id)),
        Principal::Compute(name) => ("compute", Yaml::text(name)),
        Principal::WorkspaceSystem => ("workspace", Yaml::text("system")),
    }])
}

fn settings(dir: &Path, options: &WriteOptions) -> io::Result<String> {
    let mut cloud = vec![
        ("resourceManager", Yaml::text(&options.resource_manager)),
        ("authority", Yaml::text(&options.authority)),
        ("scope", Yaml::text(&options.scope)),
    ];
    // It stands in for storage accounts too, as far as `blob` goes.
    cloud.push(("storageSuffix", Yaml::text("core.windows.net")));
    cloud.push(("storageAddress", Yaml::text(&options.resource_manager)));
    if let Some(ca_file) = &options.ca_file {
        cloud.push(("caFile", Yaml::text(path_from(dir, ca_file)?)));
    }
    let credential = match &options.credential {
        Credential::ManagedIdentity => Yaml::text("managedIdentity"),
        Credential::ClientSecret { tenant_id, client_id, secret } => Yaml::Map(vec![(
            "clientSecret",
            Yaml::Map(vec![
                ("tenantId", Yaml::text(tenant_id)),
                ("clientId", Yaml::text(client_id)),
                ("secret", Yaml::text(secret)),
            ]),
        )]),
    };
    let mut settings = vec![
        ("cloud", Yaml::Map(vec![("custom", Yaml::Map(cloud))])),
        ("credential", credential),
        ("desiredState", Yaml::text("desired")),
        ("interval", Yaml::text("1s")),
        ("stateDir", Yaml::text("state")),
        ("listen", Yaml::text("127.0.0.1:0")),
    ];
    // The simulator refills its buckets faster by its speed; a client that kept to Azure's pace would gain nothing.
    #[expect(clippy::float_cmp, reason = "only the exact pace of Azure needs no word")]
    if options.speed != 1.0 {
        settings.push(("limits", limits(options.speed)));
    }
    Ok(format!("{HEADER}{}", Yaml::Map(settings).document()))
}

fn limits(speed: f64) -> Yaml {
    let rate = |burst: f64, per_second: f64| {
        Yaml::Map(vec![("burst", Yaml::Number(burst)), ("perSecond", Yaml::Number(per_second * speed))])
    };
    Yaml::Map(QUOTAS.iter().map(|&(name, burst, per_second)| (name, rate(burst, per_second))).collect())
}

/// The path as the settings in `dir` have to name it: short where the file lies there, absolute otherwise.
fn path_from(dir: &Path, path: &Path) -> io::Result<String> {
    let (dir, path) = (std::path::absolute(dir)?, std::path::absolute(path)?);
    let named = path.strip_prefix(&dir).unwrap_or(&path);
    named.to_str().map(str::to_owned).ok_or_else(|| {
        io::Error::new(io::ErrorKind::InvalidInput, "the path of the certificate file is not valid Unicode")
    })
}

/// A duration at Azure's pace made shorter by `speed`, as people write it, rounded up to a whole millisecond.
fn divided(seconds: u64, speed: f64) -> String {
    let exact = Duration::from_secs(seconds).as_secs_f64() * 1000.0 / speed;
    // Beyond any use the conversion stops at the largest number, and nothing is shorter than a millisecond.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the conversion saturates")]
    let millis = ((exact - 1e-6).ceil() as u64).max(1);
    match millis {
        whole if whole % (HOUR * 1000) == 0 => format!("{}h", whole / (HOUR * 1000)),
        whole if whole % (MINUTE * 1000) == 0 => format!("{}m", whole / (MINUTE * 1000)),
        whole if whole % 1000 == 0 => format!("{}s", whole / 1000),
        odd => format!("{odd}ms"),
    }
}

fn remove_stale(desired: &Path, files: &BTreeMap<String, String>) -> io::Result<()> {
    for entry in fs::read_dir(desired)? {
        let path = entry?.path();
        let wanted = path.file_name().and_then(|name| name.to_str()).is_some_and(|name| files.contains_key(name));
        let is_yaml = path.extension().is_some_and(|extension| extension == "yaml");
        // A file that cannot be read as text was not written here.
        if !wanted && is_yaml && fs::read_to_string(&path).is_ok_and(|text| text.starts_with(HEADER)) {
            fs::remove_file(&path)?;
        }
    }
    Ok(())
}

/// The settings may hold a secret, so only their owner may read them.
fn write_private(path: &Path, text: &str) -> io::Result<()> {
    let mut options = fs::OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)?.write_all(text.as_bytes())
}

#[cfg(test)]
mod tests;
