//! Who this program is towards Azure: the kinds of credential, and how one is picked.
//!
//! azure_identity 1.x has no default chain and reads no client secret from the environment, so the choice is made
//! here, from variables that are handed in, and its reason is told.

mod assertion;
mod choice;
mod fetch;
mod seam;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tracing::info;
use url::Url;

pub use choice::Surroundings;

use crate::clock::{Clock, Ids};
use crate::cloud::Cloud;
use crate::error::SetupError;
use crate::probe::{self, StorageTokens};
use crate::secret::Secret;
use crate::token::{CachedTokens, TokenSource};
use crate::wire::Wire;

/// A credential as the settings name it. What is left out is taken from the environment's `AZURE_…` variables.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum CredentialConfig {
    /// Picked by what the environment offers: client secret, client certificate, workload identity, managed identity
    /// endpoint, Azure CLI, and at last the metadata service of a virtual machine.
    #[default]
    Auto,
    /// A Kubernetes service account's token, exchanged at Entra.
    WorkloadIdentity {
        /// The tenant; else `AZURE_TENANT_ID`.
        tenant: Option<String>,
        /// The application; else `AZURE_CLIENT_ID`.
        client: Option<String>,
        /// The projected token; else `AZURE_FEDERATED_TOKEN_FILE`. Read again for every token.
        token_file: Option<PathBuf>,
    },
    /// An identity that the platform provides: `IDENTITY_ENDPOINT` with `IDENTITY_HEADER`, else the metadata service.
    ManagedIdentity {
        /// Which of the machine's identities; none means the system-assigned one.
        identity: Option<UserAssigned>,
    },
    /// An application's secret.
    ClientSecret {
        /// The tenant; else `AZURE_TENANT_ID`.
        tenant: Option<String>,
        /// The application; else `AZURE_CLIENT_ID`.
        client: Option<String>,
        /// The secret; else `AZURE_CLIENT_SECRET`.
        secret: Option<Secret>,
    },
    /// An application's certificate with its RSA key.
    ClientCertificate {
        /// The tenant; else `AZURE_TENANT_ID`.
        tenant: Option<String>,
        /// The application; else `AZURE_CLIENT_ID`.
        client: Option<String>,
        /// PEM with both; else `AZURE_CLIENT_CERTIFICATE_PATH`. Read again for every token.
        pem_file: Option<PathBuf>,
    },
    /// The account that is logged in to the Azure CLI.
    AzureCli {
        /// The tenant; else the CLI's own default.
        tenant: Option<String>,
    },
}

/// Names one user-assigned identity.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum UserAssigned {
    /// Its client id.
    ClientId(String),
    /// Its object id.
    ObjectId(String),
    /// Its resource id; not understood by `IDENTITY_ENDPOINT`.
    ResourceId(String),
}

/// A credential with nothing left open.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Chosen {
    Federated { tenant: String, client: String, token_file: PathBuf },
    Managed { identity: Option<UserAssigned>, endpoint: Option<(Url, Secret)> },
    Secret { tenant: String, client: String, secret: Secret },
    Certificate { tenant: String, client: String, pem_file: PathBuf },
    Cli { tenant: Option<String> },
}

impl Chosen {
    fn name(&self) -> &'static str {
        match self {
            Self::Federated { .. } => "workload identity",
            Self::Managed { .. } => "managed identity",
            Self::Secret { .. } => "client secret",
            Self::Certificate { .. } => "client certificate",
            Self::Cli { .. } => "Azure CLI",
        }
    }
}

/// One identity's tokens, by what they open.
pub struct Tokens {
    /// For the resource manager.
    pub management: Arc<dyn TokenSource>,
    /// For the data of storage accounts.
    pub storage: StorageTokens,
}

/// The tokens of the identity that `config` describes, in `cloud`. Sends nothing yet.
///
/// # Errors
/// [`SetupError::Credential`] if something is missing, or if azure_identity refuses it (an authority without HTTPS).
pub fn tokens(
    config: &CredentialConfig,
    surroundings: &Surroundings,
    cloud: &Cloud,
    wire: Arc<dyn Wire>,
    clock: Arc<dyn Clock>,
    ids: Ids,
    timeout: Duration,
) -> Result<Tokens, SetupError> {
    let (chosen, why) = choice::choose(config, surroundings)?;
    info!(credential = chosen.name(), reason = why, "credential_chosen");
    let cached = |scope: &str| {
        let (chosen, wire, clock, ids) = (chosen.clone(), Arc::clone(&wire), Arc::clone(&clock), Arc::clone(&ids));
        let fetch = fetch::IdentityTokens::new(chosen, cloud, scope, wire, clock, ids);
        fetch.check().map_err(|error| SetupError::Credential(error.message))?;
        Ok(Arc::new(CachedTokens::new(Arc::new(fetch), timeout)))
    };
    Ok(Tokens { management: cached(cloud.scope())?, storage: StorageTokens::new(cached(probe::SCOPE)?) })
}
