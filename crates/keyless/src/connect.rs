//! From settings to a client of Azure, and from files to a desired state: what every command that looks at Azure needs.

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context as _;
use keyless_arm::client::{Client, ClientOptions};
use keyless_arm::clock::{Clock, SystemClock, random_ids};
use keyless_arm::cloud::Cloud;
use keyless_arm::credential::{self, CredentialConfig, Surroundings, UserAssigned};
use keyless_arm::pipeline::Timeouts;
use keyless_arm::quota::{Limits, Rate};
use keyless_arm::reqwest_wire::ReqwestWire;
use keyless_arm::secret::Secret;
use keyless_arm::versions::ApiVersions;
use keyless_arm::wire::Wire;
use keyless_controller::source;
use keyless_core::desired::Desired;
use keyless_core::manifest;
use tracing_appender::non_blocking::WorkerGuard;

use crate::cli::ConfigArgs;
use crate::settings::{CloudSettings, CredentialSettings, LimitSettings, RateFile, Settings};
use crate::{logging, output};

/// Reads the settings of a command and starts logging as they say, until the guard is dropped.
pub(crate) fn settings(args: &ConfigArgs) -> anyhow::Result<(Settings, WorkerGuard)> {
    let path = args.config.as_deref().context(
        "no settings file is named\n\
         hint: give `--config FILE` or set KEYLESS_CONFIG; `config/keyless.yaml` is a sample, and `keyless demo` needs none",
    )?;
    let settings = Settings::load(path, &args.overrides)?;
    let lines = logging::start(settings.log, settings.log_level);
    Ok((settings, lines))
}

/// A client of the Azure that the settings name. Sends nothing yet.
pub(crate) fn client(settings: &Settings, surroundings: &Surroundings) -> anyhow::Result<Client> {
    let cloud = cloud(&settings.cloud)?;
    let wire: Arc<dyn Wire> = Arc::new(ReqwestWire::new(cloud.ca_file().map(PathBuf::as_path))?);
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let timeouts = Timeouts::default();
    let tokens = credential::tokens(
        &credential(&settings.credential),
        surroundings,
        &cloud,
        Arc::clone(&wire),
        Arc::clone(&clock),
        random_ids(),
        timeouts.token,
    )?;
    let options = ClientOptions {
        cloud,
        wire,
        tokens: tokens.management,
        limits: limits(&settings.limits),
        clock,
        ids: random_ids(),
        timeouts,
        api_versions: versions(settings),
    };
    Ok(Client::new(options)?.probing(tokens.storage))
}

/// The desired state as it is now; `None` after telling every problem of the files.
pub(crate) fn desired(settings: &Settings) -> Option<Arc<Desired>> {
    if let Err(why) = settings.apart() {
        output::error(&why.to_string());
        return None;
    }
    let root = settings.desired_state.display().to_string();
    match manifest::load(&root, &source::read(&settings.desired_state)) {
        Ok(accepted) => {
            for warning in &accepted.warnings {
                output::remark(&format!("warning: {warning}"));
            }
            Some(Arc::new(accepted.desired))
        }
        Err(rejected) => {
            for problem in &rejected.problems {
                output::remark(&problem.to_string());
            }
            output::error(&rejected.to_string());
            None
        }
    }
}

/// The lists of the cloud, except where the settings name others.
fn versions(settings: &Settings) -> ApiVersions {
    let of_cloud = match settings.cloud {
        CloudSettings::Public => ApiVersions::public(),
        CloudSettings::UsGovernment | CloudSettings::China | CloudSettings::Custom { .. } => ApiVersions::sovereign(),
    };
    settings.api_versions.lists().fold(of_cloud, |versions, (interface, list)| versions.with(interface, list))
}

fn cloud(settings: &CloudSettings) -> anyhow::Result<Cloud> {
    Ok(match settings {
        CloudSettings::Public => Cloud::public()?,
        CloudSettings::UsGovernment => Cloud::us_government()?,
        CloudSettings::China => Cloud::china()?,
        CloudSettings::Custom { resource_manager, authority, scope, storage, ca_file } => {
            let cloud = Cloud::custom(resource_manager, authority, scope, ca_file.clone())?;
            match storage {
                Some((suffix, address)) => cloud.with_storage(suffix, address.as_deref())?,
                None => cloud,
            }
        }
    })
}

fn credential(settings: &CredentialSettings) -> CredentialConfig {
    match settings.clone() {
        CredentialSettings::Auto => CredentialConfig::Auto,
        CredentialSettings::ManagedIdentity { client_id } => {
            CredentialConfig::ManagedIdentity { identity: client_id.map(UserAssigned::ClientId) }
        }
        CredentialSettings::WorkloadIdentity => {
            CredentialConfig::WorkloadIdentity { tenant: None, client: None, token_file: None }
        }
        CredentialSettings::AzureCli => CredentialConfig::AzureCli { tenant: None },
        CredentialSettings::ClientSecret { tenant_id, client_id, secret } => CredentialConfig::ClientSecret {
            tenant: tenant_id,
            client: client_id,
            secret: secret.map(|secret| Secret::new(secret.expose())),
        },
        CredentialSettings::ClientCertificate { tenant_id, client_id, pem_file } => {
            CredentialConfig::ClientCertificate { tenant: tenant_id, client: client_id, pem_file }
        }
    }
}

pub(crate) fn limits(settings: &LimitSettings) -> Limits {
    let LimitSettings {
        max_in_flight: _,
        headroom,
        reads,
        writes,
        deletes,
        storage_reads,
        storage_lists,
        storage_writes,
    } = settings;
    let published = Limits::default();
    let rate = |given: &Option<RateFile>, default: Rate| {
        given.map_or(default, |RateFile { burst, per_second }| Rate { capacity: burst, per_second })
    };
    Limits {
        reads: rate(reads, published.reads),
        writes: rate(writes, published.writes),
        deletes: rate(deletes, published.deletes),
        storage_reads: rate(storage_reads, published.storage_reads),
        storage_lists: rate(storage_lists, published.storage_lists),
        storage_writes: rate(storage_writes, published.storage_writes),
        headroom: *headroom,
    }
}
