//! Client assertions: what an application shows Entra instead of a secret.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use azure_core::error::{Error, ErrorKind};
use azure_core::http::ClientMethodOptions;
use azure_identity::ClientAssertion;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::Timestamp;
use keyless_core::secret;
use ring::digest::{SHA1_FOR_LEGACY_USE_ONLY, SHA256, digest};
use ring::rand::SystemRandom;
use ring::signature::{RSA_PKCS1_SHA256, RsaKeyPair};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use serde_json::json;

use crate::clock::{Clock, Ids};
use crate::small_file;

/// How long a self-made assertion is valid, in seconds.
const LIFE: i64 = 600;

/// What names each file.
const TOKEN: &str = "the federated token's file (AZURE_FEDERATED_TOKEN_FILE)";
const CERTIFICATE: &str = "the client certificate's file (`pemFile` or AZURE_CLIENT_CERTIFICATE_PATH)";

/// A token that somebody else writes to a file and replaces before it expires.
#[derive(Debug)]
pub(super) struct FileAssertion(pub(super) PathBuf);

#[async_trait]
impl ClientAssertion for FileAssertion {
    async fn secret(&self, _: Option<ClientMethodOptions<'_>>) -> azure_core::Result<String> {
        let text = read(TOKEN, &self.0).await?;
        let text = String::from_utf8(text).map_err(|_| wrong(TOKEN, &self.0, "is not text"))?;
        match text.trim() {
            "" => Err(wrong(TOKEN, &self.0, "is empty")),
            token => Ok(token.to_owned()),
        }
    }
}

/// A signed statement by the holder of a certificate's key.
pub(super) struct CertificateAssertion {
    pub(super) pem_file: PathBuf,
    pub(super) client: String,
    pub(super) audience: String,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) ids: Ids,
}

impl fmt::Debug for CertificateAssertion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CertificateAssertion").field("pem_file", &self.pem_file).finish_non_exhaustive()
    }
}

#[async_trait]
impl ClientAssertion for CertificateAssertion {
    async fn secret(&self, _: Option<ClientMethodOptions<'_>>) -> azure_core::Result<String> {
        let pem = read(CERTIFICATE, &self.pem_file).await?;
        sign(&pem, &self.client, &self.audience, self.clock.now(), &(self.ids)().to_string())
            .map_err(|why| wrong(CERTIFICATE, &self.pem_file, why))
    }
}

/// An RS256 JWT.
///
/// Source: <https://learn.microsoft.com/entra/identity-platform/certificate-credentials>. Both thumbprints are sent:
/// public Entra reads `x5t#S256`, older sovereign ones only `x5t`.
fn sign(pem: &[u8], client: &str, audience: &str, now: Timestamp, id: &str) -> Result<String, &'static str> {
    let key = match PrivateKeyDer::from_pem_slice(pem) {
        Ok(PrivateKeyDer::Pkcs8(key)) => RsaKeyPair::from_pkcs8(key.secret_pkcs8_der()),
        Ok(PrivateKeyDer::Pkcs1(key)) => RsaKeyPair::from_der(key.secret_pkcs1_der()),
        Ok(_) => return Err("holds a key that is not RSA"),
        Err(_) => return Err("holds no private key without a passphrase"),
    };
    let key = key.map_err(|_| "holds a key that is not RSA of 2048 bits or more")?;
    // The certificate carries the public key in the very form in which ring gives it.
    let public = key.public().as_ref();
    let certificate = CertificateDer::pem_slice_iter(pem)
        .filter_map(Result::ok)
        .find(|certificate| certificate.windows(public.len()).any(|part| part == public))
        .ok_or("holds no certificate for its key")?;
    let encode = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
    let header = json!({
        "alg": "RS256",
        "typ": "JWT",
        "x5t": encode(digest(&SHA1_FOR_LEGACY_USE_ONLY, &certificate).as_ref()),
        "x5t#S256": encode(digest(&SHA256, &certificate).as_ref()),
    });
    let now = now.as_second();
    let claims = json!({
        "aud": audience, "iss": client, "sub": client, "jti": id, "nbf": now, "iat": now, "exp": now + LIFE,
    });
    let signed = format!("{}.{}", encode(header.to_string().as_bytes()), encode(claims.to_string().as_bytes()));
    let mut signature = vec![0; key.public().modulus_len()];
    key.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), signed.as_bytes(), &mut signature)
        .map_err(|_| "holds a key that does not sign")?;
    Ok(format!("{signed}.{}", encode(&signature)))
}

async fn read(what: &str, path: &Path) -> azure_core::Result<Vec<u8>> {
    let named = path.to_owned();
    // Not on this thread: a mount may be slow.
    let read = tokio::task::spawn_blocking(move || small_file::read(&named, small_file::MOST_FOR_SIGNING_IN));
    match read.await {
        Ok(read) => read.map_err(|why| wrong(what, path, &why.to_string())),
        Err(error) => Err(wrong(what, path, &format!("cannot be read: {error}"))),
    }
}

fn wrong(what: &str, path: &Path, why: &str) -> Error {
    Error::with_message(ErrorKind::Other, secret::without(&format!("{what} `{}` {why}", path.display())))
}

#[cfg(test)]
mod tests {
    use super::*;
    use ring::signature::{RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey};

    const PEM: &[u8] = include_bytes!("../../tests/data/client.pem");

    #[test]
    fn a_certificates_assertion_verifies_with_its_public_key() {
        let now = "2026-11-01T00:00:00Z".parse().unwrap();
        let token = sign(PEM, "app", "https://login.example/t/oauth2/v2.0/token", now, "id-1").unwrap();
        let (signed, signature) = token.rsplit_once('.').unwrap();
        let PrivateKeyDer::Pkcs8(key) = PrivateKeyDer::from_pem_slice(PEM).unwrap() else { panic!("not PKCS#8") };
        let key = RsaKeyPair::from_pkcs8(key.secret_pkcs8_der()).unwrap();
        UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, key.public().as_ref())
            .verify(signed.as_bytes(), &URL_SAFE_NO_PAD.decode(signature).unwrap())
            .unwrap();
        let (header, claims) = signed.split_once('.').unwrap();
        let parse = |part: &str| -> serde_json::Value {
            serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap()
        };
        let (header, claims) = (parse(header), parse(claims));
        assert_eq!(header["alg"], "RS256");
        assert_eq!(header["x5t"].as_str().unwrap().len(), 27);
        assert_eq!(header["x5t#S256"].as_str().unwrap().len(), 43);
        assert_eq!((&claims["iss"], &claims["sub"]), (&json!("app"), &json!("app")));
        assert_eq!(claims["exp"].as_i64().unwrap() - claims["nbf"].as_i64().unwrap(), LIFE);
    }

    #[test]
    fn a_file_without_key_or_certificate_is_told_apart() {
        let text = std::str::from_utf8(PEM).unwrap();
        let key_at = text.find("-----BEGIN PRIVATE KEY").unwrap();
        let try_sign = |pem: &str| sign(pem.as_bytes(), "a", "b", Timestamp::UNIX_EPOCH, "i").unwrap_err();
        assert!(try_sign(&text[..key_at]).contains("no private key"));
        assert!(try_sign(&text[key_at..]).contains("no certificate"));
        assert!(try_sign("").contains("no private key"));
    }

    #[tokio::test]
    async fn a_token_file_is_read_again_each_time_and_trimmed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token");
        let assertion = FileAssertion(path.clone());
        assert!(assertion.secret(None).await.is_err());
        std::fs::write(&path, "first\n").unwrap();
        assert_eq!(assertion.secret(None).await.unwrap(), "first");
        std::fs::write(&path, " second").unwrap();
        assert_eq!(assertion.secret(None).await.unwrap(), "second");
        std::fs::write(&path, "\n").unwrap();
        assert!(assertion.secret(None).await.unwrap_err().to_string().contains("is empty"));
        let endless = FileAssertion("/dev/zero".into()).secret(None).await.unwrap_err().to_string();
        assert!(endless.contains("(AZURE_FEDERATED_TOKEN_FILE) `/dev/zero` is not a regular file"), "{endless}");
    }
}
