//! What the process is told besides the desired state: which Azure, who signs in, where files are, how much and how often.
//!
//! A flag outranks a `KEYLESS_…` variable, a variable the settings file, the file the default. Paths in the file are
//! relative to the file; paths of flags and variables to the working directory. Read [`mod@file`] for the file's form and
//! [`overrides`] for flags and variables.

mod credential;
mod fields;
mod file;
mod flow;
mod overrides;
mod secret;
mod values;
mod versions;

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use anyhow::{Context as _, bail};
use keyless_arm::cloud::Cloud;
use keyless_arm::small_file;
use keyless_controller::source;
use keyless_core::secret as secrets;
use serde::Deserialize;

pub(crate) use self::file::RateFile;
pub(crate) use self::overrides::Overrides;
pub(crate) use self::secret::SecretText;
pub(crate) use self::versions::VersionsFile;

use crate::connect;

use self::credential::CredentialFile;
use self::file::{CloudFile, CustomFile, LimitsFile, SettingsFile};

/// The settings in force.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    pub(crate) cloud: CloudSettings,
    pub(crate) credential: CredentialSettings,
    pub(crate) desired_state: PathBuf,
    pub(crate) interval: Duration,
    pub(crate) limits: LimitSettings,
    /// Lists in place of those of the cloud.
    pub(crate) api_versions: VersionsFile,
    pub(crate) state_dir: Option<PathBuf>,
    pub(crate) listen: String,
    pub(crate) log: LogFormat,
    pub(crate) log_level: LogLevel,
    pub(crate) alert_reminder: Duration,
}

/// Which Azure.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum CloudSettings {
    Public,
    UsGovernment,
    China,
    Custom {
        resource_manager: String,
        authority: String,
        scope: String,
        /// What the storage endpoints end in, and the simulator that stands in for them, where there is one.
        storage: Option<(String, Option<String>)>,
        ca_file: Option<PathBuf>,
    },
}

/// Who signs in. What is left out is taken from the environment's `AZURE_…` variables.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum CredentialSettings {
    Auto,
    ManagedIdentity { client_id: Option<String> },
    WorkloadIdentity,
    AzureCli,
    ClientSecret { tenant_id: Option<String>, client_id: Option<String>, secret: Option<SecretText> },
    ClientCertificate { tenant_id: Option<String>, client_id: Option<String>, pem_file: Option<PathBuf> },
}

/// How much at once; `None` leaves Azure's published quota in place.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct LimitSettings {
    pub(crate) max_in_flight: usize,
    pub(crate) headroom: f64,
    pub(crate) reads: Option<RateFile>,
    pub(crate) writes: Option<RateFile>,
    pub(crate) deletes: Option<RateFile>,
    pub(crate) storage_reads: Option<RateFile>,
    pub(crate) storage_lists: Option<RateFile>,
    pub(crate) storage_writes: Option<RateFile>,
}

macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($variant:ident = $word:literal),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
        pub(crate) enum $name {
            $(#[serde(rename = $word)] $variant),+
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(match self {
                    $(Self::$variant => $word),+
                })
            }
        }

        impl FromStr for $name {
            type Err = String;

            fn from_str(text: &str) -> Result<Self, String> {
                match text {
                    $($word => Ok(Self::$variant),)+
                    _ => Err(format!("`{text}` is none of {}", [$(concat!("`", $word, "`")),+].join(", "))),
                }
            }
        }
    };
}

words!(
    /// The word of `cloud`.
    CloudKind { Public = "public", UsGovernment = "usGovernment", China = "china", Custom = "custom" }
);
words!(
    /// The word of `credential`.
    CredentialKind {
        Auto = "auto",
        ManagedIdentity = "managedIdentity",
        WorkloadIdentity = "workloadIdentity",
        AzureCli = "azureCli",
        ClientSecret = "clientSecret",
        ClientCertificate = "clientCertificate",
    }
);
words!(
    /// The form of log lines.
    LogFormat { Text = "text", Json = "json" }
);
words!(
    /// How much is logged.
    LogLevel { Error = "error", Warn = "warn", Info = "info", Debug = "debug", Trace = "trace" }
);

/// Shorter, a loop would spin; longer, an instant that far ahead may not exist. The longest is that of desired state.
const SHORTEST: Duration = Duration::from_millis(10);
const LONGEST: Duration = Duration::from_secs(400 * 24 * 60 * 60);

/// Reads a duration as people write it, from 10 milliseconds to 400 days.
pub(crate) fn parse_duration(text: &str) -> Result<Duration, String> {
    let duration = humantime::parse_duration(text)
        .map_err(|error| format!("`{text}` is not a duration such as `90s`, `15m` or `7d`: {error}"))?;
    if duration < SHORTEST {
        return Err(format!("`{text}` is too short: it must be at least 10 ms"));
    }
    if duration > LONGEST {
        return Err(format!("`{text}` is too long: it must be at most 400 days"));
    }
    Ok(duration)
}

impl Settings {
    /// Puts file, environment and flags together.
    pub(crate) fn load(config: &Path, overrides: &Overrides) -> anyhow::Result<Self> {
        let merged = Self::merge(SettingsFile::read(config)?, overrides);
        // It is said of flags and files that are named, too, what they are.
        merged.map_err(|why| anyhow::anyhow!(secrets::without(&format!("{why:#}"))))
    }

    /// Says whether the files of `stateDir` would be read as desired state.
    pub(crate) fn apart(&self) -> anyhow::Result<()> {
        let Some(state_dir) = self.state_dir.as_ref().filter(|dir| source::reads_within(&self.desired_state, dir))
        else {
            return Ok(());
        };
        let (state_dir, desired_state) = (state_dir.display(), self.desired_state.display());
        bail!(
            "`stateDir`, `{state_dir}`, lies within `desiredState`, `{desired_state}`: what is kept there would be read as \
             desired state\nhint: name a directory outside of it, or one whose name begins with a dot"
        )
    }

    fn merge(file: SettingsFile, overrides: &Overrides) -> anyhow::Result<Self> {
        let SettingsFile {
            cloud,
            credential,
            desired_state,
            interval,
            limits,
            api_versions,
            state_dir,
            listen,
            log,
            log_level,
            alert_reminder,
        } = file;
        let over = overrides.clone();
        let desired_state = over.desired_state.or(desired_state).context(
            "the settings do not say where the desired state is\n\
             hint: set `desiredState` in the settings file, or give `--desired-state PATH`",
        );
        let cloud = cloud_settings(cloud.unwrap_or_default(), overrides);
        let credential = credential_settings(credential.unwrap_or_default(), overrides);
        let limits = limit_settings(limits.unwrap_or_default(), overrides);
        let too_low = connect::limits(&limits).problems();
        let (desired_state, cloud, credential) = match (desired_state, cloud, credential) {
            (Ok(desired_state), Ok(cloud), Ok(credential)) if too_low.is_empty() => (desired_state, cloud, credential),
            (desired_state, cloud, credential) => {
                let problems = [desired_state.err(), cloud.err(), credential.err()];
                let problems = problems.into_iter().flatten().map(|error| format!("{error:#}"));
                let problems: Vec<String> =
                    problems.chain(too_low.into_iter().map(|why| format!("`limits`: {why}"))).collect();
                bail!(problems.join("\n"));
            }
        };
        Ok(Self {
            cloud,
            credential,
            desired_state,
            interval: over.interval.or(interval).unwrap_or(Duration::from_secs(60)),
            limits,
            api_versions: version_settings(api_versions.unwrap_or_default(), overrides),
            state_dir: over.state_dir.or(state_dir),
            listen: over.listen.or(listen).unwrap_or_else(|| "127.0.0.1:8080".to_owned()),
            log: over.log.or(log).unwrap_or(LogFormat::Text),
            log_level: over.log_level.or(log_level).unwrap_or(LogLevel::Info),
            alert_reminder: over.alert_reminder.or(alert_reminder).unwrap_or(Duration::from_secs(24 * 60 * 60)),
        })
    }
}

fn cloud_settings(file: CloudFile, over: &Overrides) -> anyhow::Result<CloudSettings> {
    let CloudFile { kind, custom } = file;
    let given = CustomFile {
        resource_manager: over.cloud_resource_manager.clone(),
        authority: over.cloud_authority.clone(),
        scope: over.cloud_scope.clone(),
        storage_suffix: over.cloud_storage_suffix.clone(),
        storage_address: over.cloud_storage_address.clone(),
        ca_file: over.cloud_ca_file.clone(),
    };
    let kind = over.cloud.or(kind).unwrap_or(CloudKind::Public);
    if kind != CloudKind::Custom && given != CustomFile::default() {
        bail!("addresses of a cloud are given, but the cloud is not `custom`\nhint: add `--cloud custom`");
    }
    Ok(match kind {
        CloudKind::Public => CloudSettings::Public,
        CloudKind::UsGovernment => CloudSettings::UsGovernment,
        CloudKind::China => CloudSettings::China,
        CloudKind::Custom => {
            let resource_manager = given.resource_manager.or(custom.resource_manager);
            let authority = given.authority.or(custom.authority);
            let missing: Vec<String> = [("resourceManager", &resource_manager), ("authority", &authority)]
                .into_iter()
                .filter(|(_, value)| value.is_none())
                .map(|(key, _)| format!("`cloud.custom` has no `{key}`"))
                .collect();
            let (Some(resource_manager), Some(authority)) = (resource_manager, authority) else {
                bail!(missing.join("\n"));
            };
            let scope = given
                .scope
                .or(custom.scope)
                .unwrap_or_else(|| format!("{}/.default", resource_manager.trim_end_matches('/')));
            let ca_file = given.ca_file.or(custom.ca_file);
            let address = given.storage_address.or(custom.storage_address);
            let storage = match given.storage_suffix.or(custom.storage_suffix) {
                Some(suffix) => Some((suffix, address)),
                None if address.is_some() => bail!("`cloud.custom` has a `storageAddress` and no `storageSuffix`"),
                None => None,
            };
            let cloud = Cloud::custom(&resource_manager, &authority, &scope, ca_file.clone())?;
            if let Some((suffix, address)) = &storage {
                cloud.with_storage(suffix, address.as_deref())?;
            }
            CloudSettings::Custom { resource_manager, authority, scope, storage, ca_file }
        }
    })
}

fn credential_settings(file: CredentialFile, over: &Overrides) -> anyhow::Result<CredentialSettings> {
    let asked = over.credential.or(file.kind).unwrap_or(CredentialKind::Auto);
    foreign_flags(asked, over)?;
    // What the file says of another kind of credential does not belong to this one.
    let file = if file.kind == Some(asked) { file } else { CredentialFile::default() };
    let client_id = over.credential_client_id.clone().or(file.client_id);
    let tenant_id = over.credential_tenant_id.clone().or(file.tenant_id);
    Ok(match asked {
        CredentialKind::Auto => CredentialSettings::Auto,
        CredentialKind::ManagedIdentity => CredentialSettings::ManagedIdentity { client_id },
        CredentialKind::WorkloadIdentity => CredentialSettings::WorkloadIdentity,
        CredentialKind::AzureCli => CredentialSettings::AzureCli,
        CredentialKind::ClientSecret => {
            const NAME: &str = "credential.clientSecret";
            // A secret of the command line replaces the file's, whichever of the two forms either has.
            let over_secret = (over.credential_secret.clone(), over.credential_secret_file.clone());
            let (secret, secret_file) =
                if over_secret == (None, None) { (file.secret, file.secret_file) } else { over_secret };
            let secret = match (secret, secret_file) {
                (Some(_), Some(_)) => bail!("{NAME} has both `secret` and `secretFile`\nhint: keep one of them"),
                (secret, None) => secret,
                (None, Some(path)) => {
                    let wrong = |why: String| anyhow::anyhow!("{NAME}.secretFile `{}` {why}", path.display());
                    let bytes = small_file::read(&path, small_file::MOST_FOR_SIGNING_IN)
                        .map_err(|why| wrong(why.to_string()))?;
                    let text = String::from_utf8(bytes).map_err(|_| wrong("is not UTF-8 text".to_owned()))?;
                    Some(SecretText::from_file(&text))
                }
            };
            if secret.as_ref().is_some_and(|secret| secret.expose().is_empty()) {
                bail!("{NAME}: the secret is empty");
            }
            CredentialSettings::ClientSecret { tenant_id, client_id, secret }
        }
        CredentialKind::ClientCertificate => {
            let pem_file = over.credential_pem_file.clone().or(file.pem_file);
            CredentialSettings::ClientCertificate { tenant_id, client_id, pem_file }
        }
    })
}

/// Refuses what the command line or a variable says of another kind of credential: somebody relies on it.
fn foreign_flags(asked: CredentialKind, over: &Overrides) -> anyhow::Result<()> {
    use CredentialKind::{ClientCertificate, ClientSecret, ManagedIdentity};
    let flags = [
        ("client-id", over.credential_client_id.is_some(), &[ManagedIdentity, ClientSecret, ClientCertificate][..]),
        ("tenant-id", over.credential_tenant_id.is_some(), &[ClientSecret, ClientCertificate]),
        ("secret", over.credential_secret.is_some(), &[ClientSecret]),
        ("secret-file", over.credential_secret_file.is_some(), &[ClientSecret]),
        ("pem-file", over.credential_pem_file.is_some(), &[ClientCertificate]),
    ];
    let foreign = flags.iter().filter(|(_, given, kinds)| *given && !kinds.contains(&asked)).map(|(flag, _, kinds)| {
        let kinds: Vec<String> = kinds.iter().map(|kind| format!("`--credential {kind}`")).collect();
        format!(
            "`--credential-{flag}` is given, but says nothing to the credential `{asked}`\nhint: add {}, or leave it out",
            kinds.join(" or ")
        )
    });
    match foreign.collect::<Vec<_>>() {
        none if none.is_empty() => Ok(()),
        foreign => bail!(foreign.join("\n")),
    }
}

fn limit_settings(file: LimitsFile, over: &Overrides) -> LimitSettings {
    LimitSettings {
        max_in_flight: over.max_in_flight.or(file.max_in_flight).unwrap_or(8),
        headroom: over.headroom.or(file.headroom).unwrap_or(0.2),
        reads: over.limit_reads.or(file.reads),
        writes: over.limit_writes.or(file.writes),
        deletes: over.limit_deletes.or(file.deletes),
        storage_reads: over.limit_storage_reads.or(file.storage_reads),
        storage_lists: over.limit_storage_lists.or(file.storage_lists),
        storage_writes: over.limit_storage_writes.or(file.storage_writes),
    }
}

fn version_settings(file: VersionsFile, over: &Overrides) -> VersionsFile {
    let over = over.clone();
    VersionsFile {
        workspaces: over.api_versions_workspaces.or(file.workspaces),
        workspace_parts: over.api_versions_workspace_parts.or(file.workspace_parts),
        storage: over.api_versions_storage.or(file.storage),
        authorization: over.api_versions_authorization.or(file.authorization),
        policies: over.api_versions_policies.or(file.policies),
        policy_exemptions: over.api_versions_policy_exemptions.or(file.policy_exemptions),
        eligibilities: over.api_versions_eligibilities.or(file.eligibilities),
        locks: over.api_versions_locks.or(file.locks),
        metrics: over.api_versions_metrics.or(file.metrics),
        activity_log: over.api_versions_activity_log.or(file.activity_log),
        log_queries: over.api_versions_log_queries.or(file.log_queries),
        managed_identities: over.api_versions_managed_identities.or(file.managed_identities),
        blobs: over.api_versions_blobs.or(file.blobs),
        subscriptions: over.api_versions_subscriptions.or(file.subscriptions),
        resources: over.api_versions_resources.or(file.resources),
    }
}

/// Only the form: a name is looked up when it is listened on.
fn check_listen(address: &str) -> Result<String, String> {
    let parts = address.rsplit_once(':').map(|(host, port)| (!host.is_empty(), port.parse::<u16>().is_ok()));
    if parts == Some((true, true)) {
        Ok(address.to_owned())
    } else {
        Err(format!("`{address}` is not HOST:PORT, such as `127.0.0.1:8080`"))
    }
}

fn check_in_flight(passes: usize) -> Result<usize, String> {
    if passes == 0 { Err("`maxInFlight` is 0: nothing would ever be done".to_owned()) } else { Ok(passes) }
}

fn parse_in_flight(text: &str) -> Result<usize, String> {
    check_in_flight(text.parse().map_err(|_| format!("`{text}` is not a number of accounts"))?)
}

fn check_headroom(part: f64) -> Result<f64, String> {
    if (0.0..1.0).contains(&part) {
        Ok(part)
    } else {
        Err(format!("`headroom` is {part}, and must be at least 0 and below 1"))
    }
}

fn parse_headroom(text: &str) -> Result<f64, String> {
    check_headroom(text.parse().map_err(|_| format!("`{text}` is not a number"))?)
}

#[cfg(test)]
mod tests;
