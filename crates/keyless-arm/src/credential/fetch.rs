//! Gets one token through azure_identity.
//!
//! Each token is asked for by a new credential object: azure_identity keeps tokens by the machine's clock and cannot
//! be told to forget one, so an old object would hand out the token that Azure has just refused.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use azure_core::cloud::{CloudConfiguration, CustomConfiguration};
use azure_core::credentials::TokenCredential;
use azure_core::http::{ClientOptions, RetryOptions, Transport};
use azure_identity::{
    AzureCliCredential, AzureCliCredentialOptions, ClientAssertionCredential, ClientAssertionCredentialOptions,
    ClientSecretCredential, ClientSecretCredentialOptions, ManagedIdentityCredential, ManagedIdentityCredentialOptions,
    UserAssignedId,
};
use jiff::Timestamp;
use tokio::time::Instant;

use super::assertion::{CertificateAssertion, FileAssertion};
use super::seam::Seam;
use super::{Chosen, UserAssigned};
use crate::clock::{Clock, Ids};
use crate::cloud::Cloud;
use crate::secret::Secret;
use crate::token::{FetchToken, Token, TokenClass, TokenError};
use crate::wire::Wire;

pub(super) struct IdentityTokens {
    chosen: Chosen,
    authority: String,
    scope: String,
    wire: Arc<dyn Wire>,
    clock: Arc<dyn Clock>,
    ids: Ids,
}

impl IdentityTokens {
    pub(super) fn new(
        chosen: Chosen,
        cloud: &Cloud,
        scope: &str,
        wire: Arc<dyn Wire>,
        clock: Arc<dyn Clock>,
        ids: Ids,
    ) -> Self {
        let authority = cloud.authority().as_str().trim_end_matches('/').to_owned();
        Self { chosen, authority, scope: scope.to_owned(), wire, clock, ids }
    }

    /// Whether azure_identity accepts the credential as such; asks nobody.
    pub(super) fn check(&self) -> Result<(), TokenError> {
        let seam = self.seam();
        self.build(&seam).map(|_| ()).map_err(|error| seam.failure(&error))
    }

    fn seam(&self) -> Arc<Seam> {
        let endpoint = match &self.chosen {
            Chosen::Managed { endpoint, .. } => endpoint.clone(),
            _ => None,
        };
        Arc::new(Seam::new(Arc::clone(&self.wire), endpoint))
    }

    fn build(&self, seam: &Arc<Seam>) -> azure_core::Result<Arc<dyn TokenCredential>> {
        // The cloud is always named: otherwise AZURE_AUTHORITY_HOST would decide.
        let mut configuration = CustomConfiguration::default();
        configuration.authority_host.clone_from(&self.authority);
        let client_options = ClientOptions {
            transport: Some(Transport::new(Arc::clone(seam) as _)),
            retry: RetryOptions::none(),
            cloud: Some(Arc::new(CloudConfiguration::Custom(configuration))),
            ..ClientOptions::default()
        };
        Ok(match self.chosen.clone() {
            Chosen::Federated { tenant, client, token_file } => {
                let options = ClientAssertionCredentialOptions { client_options };
                ClientAssertionCredential::new(tenant, client, FileAssertion(token_file), Some(options))?
            }
            Chosen::Certificate { tenant, client, pem_file } => {
                let assertion = CertificateAssertion {
                    pem_file,
                    client: client.clone(),
                    audience: format!("{}/{tenant}/oauth2/v2.0/token", self.authority),
                    clock: Arc::clone(&self.clock),
                    ids: Arc::clone(&self.ids),
                };
                let options = ClientAssertionCredentialOptions { client_options };
                ClientAssertionCredential::new(tenant, client, assertion, Some(options))?
            }
            Chosen::Secret { tenant, client, secret } => {
                let options = ClientSecretCredentialOptions { client_options };
                ClientSecretCredential::new(&tenant, client, secret.expose().to_owned().into(), Some(options))?
            }
            Chosen::Managed { identity, .. } => {
                let user_assigned_id = identity.map(|identity| match identity {
                    UserAssigned::ClientId(id) => UserAssignedId::ClientId(id),
                    UserAssigned::ObjectId(id) => UserAssignedId::ObjectId(id),
                    UserAssigned::ResourceId(id) => UserAssignedId::ResourceId(id),
                });
                ManagedIdentityCredential::new(Some(ManagedIdentityCredentialOptions {
                    user_assigned_id,
                    client_options,
                }))?
            }
            Chosen::Cli { tenant } => AzureCliCredential::new(Some(AzureCliCredentialOptions {
                tenant_id: tenant,
                ..AzureCliCredentialOptions::default()
            }))?,
        })
    }
}

impl IdentityTokens {
    /// Where the time of an assertion is what was refused, adds how far this machine's clock is off.
    fn with_clock(&self, error: TokenError, date: Option<Timestamp>) -> TokenError {
        let (TokenClass::AssertionOutOfTime, Some(date)) = (error.class, date) else { return error };
        let ahead = self.clock.now().duration_since(date).as_secs();
        let message = match ahead {
            -1..=1 => format!("{}; this machine's clock is right", error.message),
            2.. => format!("{}; this machine's clock is {ahead} s ahead of the token endpoint's", error.message),
            _ => format!("{}; this machine's clock is {} s behind the token endpoint's", error.message, -ahead),
        };
        TokenError { message, ..error }
    }
}

#[async_trait]
impl FetchToken for IdentityTokens {
    async fn fetch(&self) -> Result<Token, TokenError> {
        let asked = Instant::now();
        let seam = self.seam();
        let fetched = match self.build(&seam) {
            Ok(credential) => credential.get_token(&[&self.scope], None).await,
            Err(error) => Err(error),
        };
        let token = fetched.map_err(|error| self.with_clock(seam.failure(&error), seam.date()))?;
        let life = seam.life().or_else(|| {
            // Only its end was told: by the endpoint's clock, or at worst by this machine's.
            let end = Timestamp::from_second(token.expires_on.unix_timestamp()).ok()?;
            let now = seam.date().unwrap_or_else(|| self.clock.now());
            Some(Duration::try_from(end.duration_since(now)).unwrap_or_default())
        });
        match life.and_then(|life| asked.checked_add(life)) {
            Some(expires) => Ok(Token { secret: Secret::new(token.token.secret()), expires }),
            None => Err(TokenError::new(TokenClass::Unreadable, "the token's end is out of range")),
        }
    }
}
