//! Every key of the settings file as a flag and as a variable.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use super::file::RateFile;
use super::secret::SecretText;
use super::versions::{VersionList, workspace_versions};
use super::{
    CloudKind, CredentialKind, LogFormat, LogLevel, check_listen, parse_duration, parse_headroom, parse_in_flight,
};

/// What the command line and the environment say; a flag outranks a variable, a variable the file.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Settings (each also a key of the file and a variable)")]
pub(crate) struct Overrides {
    /// Which Azure: `public`, `usGovernment`, `china` or `custom`
    #[arg(long, env = "KEYLESS_CLOUD", value_name = "CLOUD")]
    pub(super) cloud: Option<CloudKind>,
    /// With `custom`: the address of the resource manager
    #[arg(long, env = "KEYLESS_CLOUD_RESOURCE_MANAGER", value_name = "URL")]
    pub(super) cloud_resource_manager: Option<String>,
    /// With `custom`: the address that gives tokens
    #[arg(long, env = "KEYLESS_CLOUD_AUTHORITY", value_name = "URL")]
    pub(super) cloud_authority: Option<String>,
    /// With `custom`: the scope of tokens, by default `RESOURCE_MANAGER/.default`
    #[arg(long, env = "KEYLESS_CLOUD_SCOPE", value_name = "SCOPE")]
    pub(super) cloud_scope: Option<String>,
    /// With `custom`: what the storage endpoints end in, such as `core.windows.net`, where the data plane is to be asked
    #[arg(long, env = "KEYLESS_CLOUD_STORAGE_SUFFIX", value_name = "DOMAIN")]
    pub(super) cloud_storage_suffix: Option<String>,
    /// With `custom`: the simulator on this machine that stands in for storage accounts
    #[arg(long, env = "KEYLESS_CLOUD_STORAGE_ADDRESS", value_name = "URL")]
    pub(super) cloud_storage_address: Option<String>,
    /// With `custom`: certificates (PEM) that are trusted besides the system's
    #[arg(long, env = "KEYLESS_CLOUD_CA_FILE", value_name = "FILE")]
    pub(super) cloud_ca_file: Option<PathBuf>,

    /// How to sign in: `auto`, `managedIdentity`, `workloadIdentity`, `azureCli`, `clientSecret` or `clientCertificate`
    #[arg(long, env = "KEYLESS_CREDENTIAL", value_name = "KIND")]
    pub(super) credential: Option<CredentialKind>,
    /// The application or user-assigned identity to sign in as
    #[arg(long, env = "KEYLESS_CREDENTIAL_CLIENT_ID", value_name = "GUID")]
    pub(super) credential_client_id: Option<String>,
    /// The tenant to sign in to
    #[arg(long, env = "KEYLESS_CREDENTIAL_TENANT_ID", value_name = "GUID")]
    pub(super) credential_tenant_id: Option<String>,
    /// The client secret; other users see the flag in the list of processes, so prefer the file or the variable
    #[arg(long, env = "KEYLESS_CREDENTIAL_SECRET", value_name = "SECRET", hide_env_values = true)]
    pub(super) credential_secret: Option<SecretText>,
    /// A file that holds the client secret
    #[arg(long, env = "KEYLESS_CREDENTIAL_SECRET_FILE", value_name = "FILE")]
    pub(super) credential_secret_file: Option<PathBuf>,
    /// A file that holds the client certificate and its RSA key (PEM)
    #[arg(long, env = "KEYLESS_CREDENTIAL_PEM_FILE", value_name = "FILE")]
    pub(super) credential_pem_file: Option<PathBuf>,

    /// The file or directory of the desired state
    #[arg(long, env = "KEYLESS_DESIRED_STATE", value_name = "PATH")]
    pub(crate) desired_state: Option<PathBuf>,
    /// How often each account is read at least [default: 60s]
    #[arg(long, env = "KEYLESS_INTERVAL", value_name = "DURATION", value_parser = parse_duration)]
    pub(super) interval: Option<Duration>,
    /// How many accounts are worked on at the same time [default: 8]
    #[arg(long, env = "KEYLESS_MAX_IN_FLIGHT", value_name = "N", value_parser = parse_in_flight)]
    pub(super) max_in_flight: Option<usize>,
    /// The part of Azure's request quotas that is left to others, from 0 to below 1 [default: 0.2]
    #[arg(long, env = "KEYLESS_HEADROOM", value_name = "PART", value_parser = parse_headroom)]
    pub(super) headroom: Option<f64>,
    /// GETs per subscription that Azure allows [default: 250,25]
    #[arg(long, env = "KEYLESS_LIMIT_READS", value_name = "BURST,PER_SECOND")]
    pub(super) limit_reads: Option<RateFile>,
    /// PUT, PATCH and POST per subscription [default: 200,10]
    #[arg(long, env = "KEYLESS_LIMIT_WRITES", value_name = "BURST,PER_SECOND")]
    pub(super) limit_writes: Option<RateFile>,
    /// DELETEs per subscription [default: 200,10]
    #[arg(long, env = "KEYLESS_LIMIT_DELETES", value_name = "BURST,PER_SECOND")]
    pub(super) limit_deletes: Option<RateFile>,
    /// GETs of single storage accounts per subscription [default: 800 in 5 minutes]
    #[arg(long, env = "KEYLESS_LIMIT_STORAGE_READS", value_name = "BURST,PER_SECOND")]
    pub(super) limit_storage_reads: Option<RateFile>,
    /// Lists of storage accounts per subscription [default: 100 in 5 minutes]
    #[arg(long, env = "KEYLESS_LIMIT_STORAGE_LISTS", value_name = "BURST,PER_SECOND")]
    pub(super) limit_storage_lists: Option<RateFile>,
    /// Writes to storage accounts per subscription [default: 1200 in an hour]
    #[arg(long, env = "KEYLESS_LIMIT_STORAGE_WRITES", value_name = "BURST,PER_SECOND")]
    pub(super) limit_storage_writes: Option<RateFile>,

    /// Versions of the interface for workspaces, in the order in which they are tried
    #[arg(long, env = "KEYLESS_API_VERSIONS_WORKSPACES", value_name = "VERSION,VERSION", value_parser = workspace_versions)]
    pub(super) api_versions_workspaces: Option<VersionList>,
    /// Versions for datastores and computes
    #[arg(long, env = "KEYLESS_API_VERSIONS_WORKSPACE_PARTS", value_name = "VERSION,VERSION")]
    pub(super) api_versions_workspace_parts: Option<VersionList>,
    /// Versions for storage accounts
    #[arg(long, env = "KEYLESS_API_VERSIONS_STORAGE", value_name = "VERSION,VERSION")]
    pub(super) api_versions_storage: Option<VersionList>,
    /// Versions for role assignments, role definitions and deny assignments
    #[arg(long, env = "KEYLESS_API_VERSIONS_AUTHORIZATION", value_name = "VERSION,VERSION")]
    pub(super) api_versions_authorization: Option<VersionList>,
    /// Versions for policies
    #[arg(long, env = "KEYLESS_API_VERSIONS_POLICIES", value_name = "VERSION,VERSION")]
    pub(super) api_versions_policies: Option<VersionList>,
    /// Versions for exemptions from policies
    #[arg(long, env = "KEYLESS_API_VERSIONS_POLICY_EXEMPTIONS", value_name = "VERSION,VERSION")]
    pub(super) api_versions_policy_exemptions: Option<VersionList>,
    /// Versions for roles that could be activated
    #[arg(long, env = "KEYLESS_API_VERSIONS_ELIGIBILITIES", value_name = "VERSION,VERSION")]
    pub(super) api_versions_eligibilities: Option<VersionList>,
    /// Versions for locks
    #[arg(long, env = "KEYLESS_API_VERSIONS_LOCKS", value_name = "VERSION,VERSION")]
    pub(super) api_versions_locks: Option<VersionList>,
    /// Versions for metrics
    #[arg(long, env = "KEYLESS_API_VERSIONS_METRICS", value_name = "VERSION,VERSION")]
    pub(super) api_versions_metrics: Option<VersionList>,
    /// Versions for the activity log
    #[arg(long, env = "KEYLESS_API_VERSIONS_ACTIVITY_LOG", value_name = "VERSION,VERSION")]
    pub(super) api_versions_activity_log: Option<VersionList>,
    /// Versions for queries of logs
    #[arg(long, env = "KEYLESS_API_VERSIONS_LOG_QUERIES", value_name = "VERSION,VERSION")]
    pub(super) api_versions_log_queries: Option<VersionList>,
    /// Versions for managed identities
    #[arg(long, env = "KEYLESS_API_VERSIONS_MANAGED_IDENTITIES", value_name = "VERSION,VERSION")]
    pub(super) api_versions_managed_identities: Option<VersionList>,
    /// Versions for the data plane of blobs
    #[arg(long, env = "KEYLESS_API_VERSIONS_BLOBS", value_name = "VERSION,VERSION")]
    pub(super) api_versions_blobs: Option<VersionList>,
    /// Versions for the list of subscriptions
    #[arg(long, env = "KEYLESS_API_VERSIONS_SUBSCRIPTIONS", value_name = "VERSION,VERSION")]
    pub(super) api_versions_subscriptions: Option<VersionList>,
    /// Versions for the list of resources of every type
    #[arg(long, env = "KEYLESS_API_VERSIONS_RESOURCES", value_name = "VERSION,VERSION")]
    pub(super) api_versions_resources: Option<VersionList>,

    /// Where conveniences are kept over restarts; losing it costs waiting, never safety
    #[arg(long, env = "KEYLESS_STATE_DIR", value_name = "DIR")]
    pub(super) state_dir: Option<PathBuf>,
    /// Where health, metrics and the status page are served [default: 127.0.0.1:8080]
    #[arg(long, env = "KEYLESS_LISTEN", value_name = "HOST:PORT", value_parser = check_listen)]
    pub(super) listen: Option<String>,
    /// The form of log lines: `text` or `json` [default: text]
    #[arg(long, env = "KEYLESS_LOG", value_name = "FORM")]
    pub(super) log: Option<LogFormat>,
    /// How much is logged: `error`, `warn`, `info`, `debug` or `trace`; RUST_LOG outranks it [default: info]
    #[arg(long, env = "KEYLESS_LOG_LEVEL", value_name = "LEVEL")]
    pub(super) log_level: Option<LogLevel>,
    /// After which time an unchanged drift is announced again [default: 24h]
    #[arg(long, env = "KEYLESS_ALERT_REMINDER", value_name = "DURATION", value_parser = parse_duration)]
    pub(super) alert_reminder: Option<Duration>,
}
