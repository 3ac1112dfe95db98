//! `credential` in the settings file: one word, or one name with fields.

use std::fmt;
use std::path::PathBuf;

use serde::de::{self, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};

use super::CredentialKind;
use super::fields::{Fields, Group, refuse_scalars_and_lists};
use super::secret::SecretText;
use super::values::path;

/// `credential`, flattened.
#[derive(Debug, Clone, Default)]
pub(super) struct CredentialFile {
    pub kind: Option<CredentialKind>,
    pub client_id: Option<String>,
    pub tenant_id: Option<String>,
    pub secret: Option<SecretText>,
    pub secret_file: Option<PathBuf>,
    pub pem_file: Option<PathBuf>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct ManagedIdentityFile {
    client_id: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct ClientSecretFile {
    tenant_id: Option<String>,
    client_id: Option<String>,
    secret: Option<SecretText>,
    #[serde(default, deserialize_with = "path")]
    secret_file: Option<PathBuf>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct ClientCertificateFile {
    tenant_id: Option<String>,
    client_id: Option<String>,
    #[serde(default, deserialize_with = "path")]
    pem_file: Option<PathBuf>,
}

impl Group for ManagedIdentityFile {
    const WANTED: &'static str = "`managedIdentity` takes fields: `managedIdentity: {clientId}`";
}

impl Group for ClientSecretFile {
    const WANTED: &'static str = "`clientSecret` takes fields: `clientSecret: {tenantId, clientId, secretFile}`";
}

impl Group for ClientCertificateFile {
    const WANTED: &'static str = "`clientCertificate` takes fields: `clientCertificate: {tenantId, clientId, pemFile}`";
}

const CREDENTIALS: &str = "`credential` is `auto`, `managedIdentity`, `workloadIdentity` or `azureCli`, or `managedIdentity:`, \
                           `clientSecret:` or `clientCertificate:` with fields";

impl<'de> Deserialize<'de> for CredentialFile {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Words;
        impl<'de> Visitor<'de> for Words {
            type Value = CredentialFile;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(CREDENTIALS)
            }

            refuse_scalars_and_lists!(CREDENTIALS);

            fn visit_str<E: de::Error>(self, word: &str) -> Result<CredentialFile, E> {
                // What is no word at all may be a short secret.
                let is_word = word.chars().all(|c| c.is_ascii_alphabetic() || matches!(c, '-' | '_'));
                let wrong = |why: String| if is_word { E::custom(why) } else { E::custom(CREDENTIALS) };
                let kind = word.parse().map_err(wrong)?;
                Ok(CredentialFile { kind: Some(kind), ..CredentialFile::default() })
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<CredentialFile, A::Error> {
                let Some(key) = map.next_key::<String>()? else { return Err(de::Error::custom("is empty")) };
                let file = match key.as_str() {
                    "managedIdentity" => {
                        let Fields(ManagedIdentityFile { client_id }) = map.next_value()?;
                        CredentialFile {
                            kind: Some(CredentialKind::ManagedIdentity),
                            client_id,
                            ..CredentialFile::default()
                        }
                    }
                    "clientSecret" => {
                        let Fields(ClientSecretFile { tenant_id, client_id, secret, secret_file }) =
                            map.next_value()?;
                        CredentialFile {
                            kind: Some(CredentialKind::ClientSecret),
                            client_id,
                            tenant_id,
                            secret,
                            secret_file,
                            pem_file: None,
                        }
                    }
                    "clientCertificate" => {
                        let Fields(ClientCertificateFile { tenant_id, client_id, pem_file }) = map.next_value()?;
                        CredentialFile {
                            kind: Some(CredentialKind::ClientCertificate),
                            client_id,
                            tenant_id,
                            pem_file,
                            ..CredentialFile::default()
                        }
                    }
                    other => {
                        let known = &["managedIdentity", "clientSecret", "clientCertificate"];
                        return Err(de::Error::unknown_field(other, known));
                    }
                };
                match map.next_key::<String>()? {
                    Some(other) => Err(de::Error::custom(format!("`{other}` cannot stand beside `{key}`"))),
                    None => Ok(file),
                }
            }
        }
        deserializer.deserialize_any(Words)
    }
}
