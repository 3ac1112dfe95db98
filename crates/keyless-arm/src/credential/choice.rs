//! Picks the credential and says why.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use url::Url;

use super::{Chosen, CredentialConfig, UserAssigned};
use crate::error::SetupError;
use crate::secret::Secret;

/// What the process finds around itself.
#[derive(Clone, Default)]
pub struct Surroundings {
    /// The environment variables.
    pub variables: BTreeMap<String, String>,
    /// Whether somebody has logged in to the Azure CLI here.
    pub azure_cli_profile: bool,
}

impl Surroundings {
    /// The surroundings of this process.
    #[must_use]
    pub fn of_process() -> Self {
        let variables: BTreeMap<String, String> = std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
            .collect();
        let folder = match (variables.get("AZURE_CONFIG_DIR"), variables.get("HOME")) {
            (Some(folder), _) => Some(PathBuf::from(folder)),
            (None, Some(home)) => Some(PathBuf::from(home).join(".azure")),
            (None, None) => None,
        };
        let azure_cli_profile = folder.is_some_and(|folder| folder.join("azureProfile.json").is_file());
        Self { variables, azure_cli_profile }
    }

    fn get(&self, name: &str) -> Option<&str> {
        self.variables.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }

    fn has_all(&self, names: &[&str]) -> bool {
        names.iter().all(|name| self.get(name).is_some())
    }
}

impl fmt::Debug for Surroundings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Variables hold secrets; their names do not.
        f.debug_struct("Surroundings")
            .field("variables", &self.variables.keys())
            .field("azure_cli_profile", &self.azure_cli_profile)
            .finish()
    }
}

/// The credential with nothing left open, and the reason for it in words.
pub(super) fn choose(config: &CredentialConfig, around: &Surroundings) -> Result<(Chosen, &'static str), SetupError> {
    const NAMED: &str = "the settings name it";
    let named = |value: &Option<String>, variable: &str| filled(value.clone(), around, variable);
    Ok(match config {
        CredentialConfig::Auto => return auto(around),
        CredentialConfig::WorkloadIdentity { tenant, client, token_file } => {
            let file = token_file.clone().map(|path| path.display().to_string());
            let chosen = Chosen::Federated {
                tenant: named(tenant, "AZURE_TENANT_ID")?,
                client: named(client, "AZURE_CLIENT_ID")?,
                token_file: filled(file, around, "AZURE_FEDERATED_TOKEN_FILE")?.into(),
            };
            (chosen, NAMED)
        }
        CredentialConfig::ManagedIdentity { identity } => {
            let endpoint = endpoint(around)?;
            if endpoint.is_some() && matches!(identity, Some(UserAssigned::ResourceId(_))) {
                return Err(SetupError::Credential(
                    "IDENTITY_ENDPOINT does not understand resource ids; name the identity by its client id".to_owned(),
                ));
            }
            (Chosen::Managed { identity: identity.clone(), endpoint }, NAMED)
        }
        CredentialConfig::ClientSecret { tenant, client, secret } => {
            let secret = secret.as_ref().map(|secret| secret.expose().to_owned());
            let chosen = Chosen::Secret {
                tenant: named(tenant, "AZURE_TENANT_ID")?,
                client: named(client, "AZURE_CLIENT_ID")?,
                secret: Secret::new(filled(secret, around, "AZURE_CLIENT_SECRET")?),
            };
            (chosen, NAMED)
        }
        CredentialConfig::ClientCertificate { tenant, client, pem_file } => {
            let file = pem_file.clone().map(|path| path.display().to_string());
            let chosen = Chosen::Certificate {
                tenant: named(tenant, "AZURE_TENANT_ID")?,
                client: named(client, "AZURE_CLIENT_ID")?,
                pem_file: filled(file, around, "AZURE_CLIENT_CERTIFICATE_PATH")?.into(),
            };
            (chosen, NAMED)
        }
        CredentialConfig::AzureCli { tenant } => (Chosen::Cli { tenant: tenant.clone() }, NAMED),
    })
}

fn auto(around: &Surroundings) -> Result<(Chosen, &'static str), SetupError> {
    const APPLICATION: [&str; 2] = ["AZURE_TENANT_ID", "AZURE_CLIENT_ID"];
    let none = || None;
    let explicit = |config: CredentialConfig, why| choose(&config, around).map(|(chosen, _)| (chosen, why));
    if around.has_all(&APPLICATION) && around.get("AZURE_CLIENT_SECRET").is_some() {
        let config = CredentialConfig::ClientSecret { tenant: none(), client: none(), secret: None };
        return explicit(config, "AZURE_CLIENT_SECRET is set");
    }
    if around.has_all(&APPLICATION) && around.get("AZURE_CLIENT_CERTIFICATE_PATH").is_some() {
        let config = CredentialConfig::ClientCertificate { tenant: none(), client: none(), pem_file: None };
        return explicit(config, "AZURE_CLIENT_CERTIFICATE_PATH is set");
    }
    if around.has_all(&APPLICATION) && around.get("AZURE_FEDERATED_TOKEN_FILE").is_some() {
        let config = CredentialConfig::WorkloadIdentity { tenant: none(), client: none(), token_file: None };
        return explicit(config, "AZURE_FEDERATED_TOKEN_FILE is set");
    }
    let identity = around.get("AZURE_CLIENT_ID").map(|id| UserAssigned::ClientId(id.to_owned()));
    if let Some(endpoint) = endpoint(around)? {
        let chosen = Chosen::Managed { identity, endpoint: Some(endpoint) };
        return Ok((chosen, "IDENTITY_ENDPOINT and IDENTITY_HEADER are set"));
    }
    if around.azure_cli_profile {
        return Ok((Chosen::Cli { tenant: None }, "somebody is logged in to the Azure CLI and nothing else is set"));
    }
    let why = "nothing else is set, so this must be a machine with a metadata service";
    Ok((Chosen::Managed { identity, endpoint: None }, why))
}

fn endpoint(around: &Surroundings) -> Result<Option<(Url, Secret)>, SetupError> {
    let (Some(address), Some(header)) = (around.get("IDENTITY_ENDPOINT"), around.get("IDENTITY_HEADER")) else {
        return Ok(None);
    };
    match Url::parse(address) {
        Ok(url) if matches!(url.scheme(), "http" | "https") => Ok(Some((url, Secret::new(header)))),
        _ => Err(SetupError::Credential("IDENTITY_ENDPOINT is not an HTTP address".to_owned())),
    }
}

fn filled(value: Option<String>, around: &Surroundings, variable: &str) -> Result<String, SetupError> {
    value
        .filter(|value| !value.is_empty())
        .or_else(|| around.get(variable).map(str::to_owned))
        .ok_or_else(|| SetupError::Credential(format!("neither the settings nor {variable} say it")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn around(variables: &[(&str, &str)]) -> Surroundings {
        let variables = variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        Surroundings { variables, azure_cli_profile: false }
    }

    fn check(around: &Surroundings, name: &str, why: &str) {
        let (chosen, reason) = choose(&CredentialConfig::Auto, around).unwrap();
        assert_eq!(chosen.name(), name);
        assert!(reason.contains(why), "{reason}");
    }

    #[test]
    fn auto_picks_by_what_is_set_and_says_why() {
        let app = [("AZURE_TENANT_ID", "t"), ("AZURE_CLIENT_ID", "c")];
        let with = |more: &[(&str, &str)]| around(&[&app, more].concat());
        let identity = [("IDENTITY_ENDPOINT", "http://127.0.0.1:1/msi"), ("IDENTITY_HEADER", "h")];
        check(&with(&[("AZURE_CLIENT_SECRET", "s")]), "client secret", "AZURE_CLIENT_SECRET");
        check(&with(&[("AZURE_CLIENT_CERTIFICATE_PATH", "f")]), "client certificate", "CERTIFICATE_PATH");
        check(&with(&[("AZURE_FEDERATED_TOKEN_FILE", "f")]), "workload identity", "FEDERATED_TOKEN_FILE");
        check(&with(&[("AZURE_FEDERATED_TOKEN_FILE", "f"), ("AZURE_CLIENT_SECRET", "s")]), "client secret", "SECRET");
        check(&around(&identity), "managed identity", "IDENTITY_ENDPOINT");
        check(&around(&identity[..1]), "managed identity", "metadata");
        check(&around(&[("AZURE_CLIENT_SECRET", "s")]), "managed identity", "metadata");
        let cli = Surroundings { azure_cli_profile: true, ..Surroundings::default() };
        check(&cli, "Azure CLI", "logged in");
        check(&Surroundings::default(), "managed identity", "metadata");
    }

    #[test]
    fn a_client_id_names_the_managed_identity() {
        let (chosen, _) = choose(&CredentialConfig::Auto, &around(&[("AZURE_CLIENT_ID", "c")])).unwrap();
        let identity = Some(UserAssigned::ClientId("c".to_owned()));
        assert_eq!(chosen, Chosen::Managed { identity, endpoint: None });
    }

    #[test]
    fn what_the_settings_leave_out_must_be_in_the_environment() {
        let config = CredentialConfig::ClientSecret { tenant: Some("t".to_owned()), client: None, secret: None };
        let error = choose(&config, &around(&[("AZURE_CLIENT_SECRET", "s")])).unwrap_err();
        assert_eq!(error.to_string(), "credential: neither the settings nor AZURE_CLIENT_ID say it");
        assert!(choose(&config, &around(&[("AZURE_CLIENT_SECRET", "s"), ("AZURE_CLIENT_ID", "c")])).is_ok());
    }

    #[test]
    fn surroundings_do_not_print_their_values() {
        assert!(!format!("{:?}", around(&[("AZURE_CLIENT_SECRET", "hunter2")])).contains("hunter2"));
    }
}
