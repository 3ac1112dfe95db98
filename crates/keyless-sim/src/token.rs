//! Tokens: Entra's v2 endpoint, managed identity endpoints, and what ARM makes of a bearer token.
//! Source: MicrosoftDocs/azure-docs
//! `articles/active-directory/develop/v2-oauth2-client-creds-grant-flow.md`; crate azure_identity 1.0.0.

use std::cell::RefCell;
use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use jiff::Timestamp;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::azure::Azure;
use crate::faults::trouble::Spoiled;
use crate::request::{Answer, Call, Reply};
use crate::world::IDENTITY;
use crate::{arm_id, json as read, time};

/// Client id of the ready line's application.
pub const CLIENT_ID: &str = "c1e27a5e-5d0f-4c7b-8a41-6f0d1b2c3a01";
/// Object id of the ready line's application: what a world grants roles to.
pub const CLIENT_OBJECT_ID: &str = "0b1ec7a0-1f2e-4d3c-9b8a-7f6e5d4c3b01";
/// Client id of the managed identity behind the identity endpoint.
pub const MANAGED_CLIENT_ID: &str = "c1e27a5e-5d0f-4c7b-8a41-6f0d1b2c3a02";
/// Object id of the managed identity behind the identity endpoint.
pub const MANAGED_OBJECT_ID: &str = "0b1ec7a0-1f2e-4d3c-9b8a-7f6e5d4c3b02";
/// Object id under which the service makes its own grants.
pub const SERVICE_OBJECT_ID: &str = "0b1ec7a0-1f2e-4d3c-9b8a-7f6e5d4c3b03";
/// The tenant that the ready line names; any other is as good.
pub const TENANT_ID: &str = "7e2a47a0-3b8f-4f0e-9d61-5a4c3b2d1e00";

/// Whom tokens for data are for. Source: the resource id in the bearer challenge of storage.
const STORAGE: &str = "https://storage.azure.com";

const ASSERTION_TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

/// Text that is not printed by `Debug`; serialized it is itself, for the ready line.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// The text itself.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl serde::Serialize for Secret {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("Secret(…)")
    }
}

/// The secrets of this cloud, drawn from its seed.
pub(crate) struct Identities {
    pub(crate) client_secret: Secret,
    pub(crate) identity_header: Secret,
    signing_key: Secret,
    /// The token that was looked at last, and what it says: a client sends the same one many times.
    last: RefCell<Option<(Secret, Claims)>>,
}

/// What a token says that bears this cloud's signature.
#[derive(Clone)]
struct Claims {
    oid: String,
    expires: i64,
    /// Whom it is for, in lower case, without trailing slashes.
    audience: String,
}

/// Who sent a request, or why nobody may have.
enum Bearer {
    Missing,
    Unknown,
    Expired,
    Valid(Claims),
}

impl Identities {
    pub(crate) fn new(seed: u64) -> Self {
        let draw = |what: &str| {
            let mut hash = Sha256::new();
            hash.update(what.as_bytes());
            hash.update(seed.to_le_bytes());
            Secret(URL_SAFE_NO_PAD.encode(hash.finalize()))
        };
        Self {
            client_secret: draw("client secret"),
            identity_header: draw("identity header"),
            signing_key: draw("signing key"),
            last: RefCell::default(),
        }
    }

    /// A token in the form of a JWT, which some clients insist on. Source: azureml-core 1.61.0.post4 decodes it.
    fn mint(&self, claims: &Value) -> String {
        let header = URL_SAFE_NO_PAD.encode(br#"{"alg":"HS256","typ":"JWT"}"#);
        let signed = format!("{header}.{}", URL_SAFE_NO_PAD.encode(claims.to_string()));
        let signature = self.signature(&signed);
        format!("{signed}.{signature}")
    }

    fn signature(&self, signed: &str) -> String {
        let mut hash = Sha256::new();
        hash.update(self.signing_key.reveal().as_bytes());
        hash.update(signed.as_bytes());
        URL_SAFE_NO_PAD.encode(hash.finalize())
    }

    fn bearer(&self, call: &Call, now: Timestamp) -> Bearer {
        let Some(header) = call.header("authorization") else { return Bearer::Missing };
        let token = match header.split_once(' ') {
            Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") => token.trim(),
            _ => return Bearer::Missing,
        };
        match self.claims(token) {
            Some(claims) if claims.expires <= now.as_second() => Bearer::Expired,
            Some(claims) => Bearer::Valid(claims),
            None => Bearer::Unknown,
        }
    }

    /// What a token says, if this cloud has signed it.
    fn claims(&self, token: &str) -> Option<Claims> {
        let mut last = self.last.borrow_mut();
        if let Some((known, claims)) = &*last
            && known.reveal() == token
        {
            return Some(claims.clone());
        }
        let (signed, signature) = token.rsplit_once('.')?;
        if self.signature(signed) != signature {
            return None;
        }
        let said = payload(token)?;
        let claims = Claims {
            oid: read::text(&said, &["oid"])?.to_owned(),
            expires: said.get("exp").and_then(Value::as_i64).unwrap_or(0),
            audience: read::text(&said, &["aud"]).unwrap_or_default().trim_end_matches('/').to_ascii_lowercase(),
        };
        *last = Some((Secret(token.to_owned()), claims.clone()));
        Some(claims)
    }
}

fn payload(token: &str) -> Option<Value> {
    let mut parts = token.split('.');
    let (Some(_), Some(payload), Some(_), None) = (parts.next(), parts.next(), parts.next(), parts.next()) else {
        return None;
    };
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(payload.trim_end_matches('=')).ok()?).ok()
}

impl Azure {
    /// The caller's object id, or ARM's 401. Its codes and challenge have no public source; design decision.
    pub(crate) fn authenticate(&self, call: &Call) -> Result<String, Answer> {
        let (code, message) = match (self.identities.bearer(call, self.now), self.spoiled(call)) {
            (Bearer::Valid(_), Some(Spoiled::Revoked)) => return Err(self.revoked()),
            (Bearer::Valid(_), Some(Spoiled::Expired)) => {
                ("ExpiredAuthenticationToken", "The access token expiry UTC time is earlier than current.")
            }
            (Bearer::Valid(claims), None) if claims.audience == STORAGE => {
                ("InvalidAuthenticationTokenAudience", "The access token has been obtained for wrong audience.")
            }
            (Bearer::Valid(claims), None) => return Ok(claims.oid),
            (Bearer::Missing, _) => {
                ("AuthenticationFailed", "Authentication failed. The 'Authorization' header is missing.")
            }
            (Bearer::Unknown, _) => ("InvalidAuthenticationToken", "The access token is invalid."),
            (Bearer::Expired, _) => {
                ("ExpiredAuthenticationToken", "The access token expiry UTC time is earlier than current.")
            }
        };
        let challenge = format!(
            "Bearer authorization_uri=\"{}/{TENANT_ID}\", error=\"invalid_token\", error_description=\"{message}\"",
            call.origin
        );
        Err(Answer::error(401, code, message).header("WWW-Authenticate", challenge))
    }

    /// The caller of an account's data plane, or the code of the refusal: only tokens for storage, or for this account, count.
    /// Sources: <https://learn.microsoft.com/rest/api/storageservices/authorize-with-azure-active-directory>, bearer challenge, for
    /// callers without a token; <https://learn.microsoft.com/azure/storage/blobs/authorize-access-azure-active-directory> for the
    /// audiences; recordings of Azure/azure-sdk-for-js of October 2023 for a token of another tenant, which all bad tokens
    /// are answered as (design decision).
    pub(crate) fn data_caller(&self, call: &Call, account: &str) -> Result<String, &'static str> {
        let claims = match (self.identities.bearer(call, self.now), self.spoiled(call)) {
            (Bearer::Missing, _) => return Err("NoAuthenticationInformation"),
            (Bearer::Valid(claims), None) => claims,
            _ => return Err("InvalidAuthenticationInfo"),
        };
        let own = format!("https://{account}.blob.core.windows.net");
        let meant = claims.audience == STORAGE || claims.audience == own;
        if meant { Ok(claims.oid) } else { Err("InvalidAuthenticationInfo") }
    }

    /// How the token that a request carries was spoiled before its time.
    pub(crate) fn spoiled(&self, call: &Call) -> Option<Spoiled> {
        self.troubles.spoiled(call.header("authorization")?.rsplit('.').next()?.trim())
    }

    /// 401 that asks for a token with claims.
    /// Source: recordings of Azure/azure-sdk-for-python, `test_cae.test_device_code`.
    fn revoked(&self) -> Answer {
        let claims = json!({"access_token": {"nbf": {"essential": true, "value": self.now.as_second().to_string()}}});
        let challenge = format!(
            "Bearer authorization_uri=\"https://login.windows.net/\", error=\"invalid_token\", \
             error_description=\"User session has been revoked\", claims=\"{}\"",
            STANDARD.encode(claims.to_string())
        );
        Answer::error(401, "AuthenticationFailed", "Authentication failed.")
            .header("WWW-Authenticate", challenge)
            .header("x-ms-failure-cause", "gateway")
    }

    /// The simulator's own identities own everything, unless the loaded world grants them something itself.
    pub(crate) fn is_implicit_owner(&self, caller: &str) -> bool {
        self.owners.contains(caller)
    }

    /// The object id behind a client id.
    pub(crate) fn principal_of_client(&self, client: &str) -> Option<String> {
        if client.eq_ignore_ascii_case(CLIENT_ID) {
            return Some(CLIENT_OBJECT_ID.to_owned());
        }
        if client.eq_ignore_ascii_case(MANAGED_CLIENT_ID) {
            return Some(MANAGED_OBJECT_ID.to_owned());
        }
        let identity = self.world.keys_of(IDENTITY).filter_map(|key| self.world.get(key)).find_map(|identity| {
            let own = read::text(identity, &["properties", "clientId"])?;
            own.eq_ignore_ascii_case(client).then(|| read::text(identity, &["properties", "principalId"]))?
        });
        let application = || {
            self.world.keys_of("microsoft.graph/serviceprincipals").filter_map(|key| self.world.get(key)).find_map(
                |principal| {
                    let own = read::text(principal, &["appId"])?;
                    own.eq_ignore_ascii_case(client).then(|| read::text(principal, &["id"]))?
                },
            )
        };
        identity.or_else(application).map(str::to_owned)
    }

    fn token_for(&mut self, oid: &str, client: &str, tenant: &str, audience: &str) -> (String, u64, i64) {
        let lifetime = self.knobs.token_lifetime.as_secs();
        let expires = self.now.as_second().saturating_add(i64::try_from(lifetime).unwrap_or(i64::MAX));
        let claims = json!({
            "aud": audience, "iss": format!("https://sts.windows.net/{tenant}/"), "iat": self.now.as_second(),
            "nbf": self.now.as_second(), "exp": expires, "appid": client, "oid": oid, "sub": oid, "tid": tenant,
            "idtyp": "app", "ver": "1.0", "uti": self.guid(),
        });
        (self.identities.mint(&claims), lifetime, expires)
    }

    /// `POST /{tenant}/oauth2/v2.0/token`: client secret or client assertion. Source:
    /// crate azure_identity 1.0.0 `client_secret_credential.rs` and `workload_identity_credential.rs`; the errors:
    /// <https://learn.microsoft.com/entra/identity-platform/reference-error-codes>.
    pub(crate) fn entra_token(&mut self, call: &Call, tenant: &str) -> Reply {
        let form = call.form();
        let field = |name: &str| form.get(name).map(String::as_str).unwrap_or_default();
        let fail = |status, error: &str, code: u32, text: &str| Err(self.entra_error(status, error, code, text));
        if call.method != http::Method::POST {
            return Ok(Answer::empty(405));
        }
        if field("grant_type") != "client_credentials" {
            return fail(400, "unsupported_grant_type", 70003, "The app requested an unsupported grant type.");
        }
        let audience = field("scope").trim_end_matches("/.default");
        if audience.is_empty() || !field("scope").ends_with("/.default") {
            return fail(
                400,
                "invalid_scope",
                70011,
                "The provided value for the input parameter 'scope' is not valid.",
            );
        }
        let client = field("client_id");
        let Some(oid) = self.principal_of_client(client) else {
            let text = format!("Application with identifier '{client}' was not found in the directory.");
            return fail(400, "unauthorized_client", 700_016, &text);
        };
        if form.contains_key("client_assertion") {
            if field("client_assertion_type") != ASSERTION_TYPE || field("client_assertion").split('.').count() != 3 {
                return fail(401, "invalid_client", 700_027, "Client assertion failed signature validation.");
            }
            let expires = payload(field("client_assertion")).and_then(|claims| claims.get("exp")?.as_i64());
            if expires.is_some_and(|expires| expires <= self.now.as_second()) {
                return fail(401, "invalid_client", 700_024, "Client assertion is not within its valid time range.");
            }
        } else if oid != CLIENT_OBJECT_ID || field("client_secret") != self.identities.client_secret.reveal() {
            return fail(401, "invalid_client", 7_000_215, "Invalid client secret provided.");
        }
        let (token, lifetime, _) = self.token_for(&oid, client, tenant, audience);
        Ok(Answer::ok(json!({
            "token_type": "Bearer", "expires_in": lifetime, "ext_expires_in": lifetime, "access_token": token,
        })))
    }

    pub(crate) fn entra_error(&self, status: u16, error: &str, code: u32, text: &str) -> Answer {
        let stamp = self.now.strftime("%Y-%m-%d %H:%M:%SZ").to_string();
        let trace = "00000000-0000-4000-8000-000000000000";
        Answer::new(
            status,
            Some(json!({
                "error": error,
                "error_description": format!(
                    "AADSTS{code}: {text}\r\nTrace ID: {trace}\r\nCorrelation ID: {trace}\r\nTimestamp: {stamp}"
                ),
                "error_codes": [code], "timestamp": stamp, "trace_id": trace, "correlation_id": trace,
                "error_uri": format!("https://login.microsoftonline.com/error?code={code}"),
            })),
        )
    }

    /// App Service's identity endpoint, and with `Metadata: true` the one of virtual machines. All numbers are text.
    /// Source: MicrosoftDocs/azure-docs
    /// `articles/active-directory/managed-identities-azure-resources/how-to-use-vm-token.md`; crate azure_identity 1.0.0 `app_service_managed_identity_credential.rs`.
    pub(crate) fn identity_token(&mut self, call: &Call) -> Reply {
        let machine = call.segments.first().is_some_and(|first| first.eq_ignore_ascii_case("metadata"));
        let fail =
            |status: u16, message: &str| Answer::new(status, Some(json!({"statusCode": status, "message": message})));
        if machine && !call.header("metadata").is_some_and(|value| value.eq_ignore_ascii_case("true")) {
            let body =
                json!({"error": "bad_request_102", "error_description": "Required metadata header not specified"});
            return Err(Answer::new(400, Some(body)));
        }
        if !machine && call.header("x-identity-header") != Some(self.identities.identity_header.reveal()) {
            return Err(fail(403, "The header X-IDENTITY-HEADER is missing or wrong."));
        }
        let Some(resource) = call.query("resource").filter(|resource| !resource.is_empty()) else {
            return Err(fail(400, "The parameter 'resource' is missing."));
        };
        let client = call.query("client_id").unwrap_or(MANAGED_CLIENT_ID).to_owned();
        let by_object = call.query("object_id").or_else(|| call.query("principal_id"));
        let by_resource = call.query("mi_res_id").or_else(|| call.query("msi_res_id"));
        let oid = match by_object {
            Some(oid) if oid.eq_ignore_ascii_case(MANAGED_OBJECT_ID) => Some(MANAGED_OBJECT_ID.to_owned()),
            Some(oid) => self
                .world
                .keys_of(IDENTITY)
                .filter_map(|key| read::text(self.world.get(key)?, &["properties", "principalId"]))
                .find(|own| own.eq_ignore_ascii_case(oid))
                .map(str::to_owned),
            None if by_resource.is_some() => by_resource
                .and_then(|id| self.world.typed(IDENTITY, &arm_id::key(id)))
                .and_then(|identity| read::text(identity, &["properties", "principalId"]))
                .map(str::to_owned),
            None => self.principal_of_client(&client).filter(|oid| oid != CLIENT_OBJECT_ID),
        };
        let Some(oid) = oid else {
            let body = json!({"error": "invalid_request", "error_description": "Identity not found",
                "statusCode": 400, "message": "No User Assigned or Delegated Managed Identity found."});
            return Err(Answer::new(400, Some(body)));
        };
        let (token, lifetime, expires) = self.token_for(&oid, &client, TENANT_ID, resource);
        Ok(Answer::ok(json!({
            "access_token": token, "refresh_token": "", "expires_in": lifetime.to_string(),
            "expires_on": expires.to_string(), "not_before": self.now.as_second().to_string(),
            "resource": resource, "token_type": "Bearer", "client_id": client,
        })))
    }

    /// What a client that is refused for a while gets: Entra's error, or the identity endpoint's own.
    /// Source: <https://learn.microsoft.com/entra/identity-platform/reference-error-codes>; MicrosoftDocs/azure-docs
    /// `articles/active-directory/managed-identities-azure-resources/how-to-use-vm-token.md`.
    pub(crate) fn token_rejected(&self, entra: bool, code: u32) -> Answer {
        if !entra {
            let body = json!({"error": "unknown_source", "error_description": "Unknown Source", "statusCode": 401,
                "message": "The request was not authorized."});
            return Answer::new(401, Some(body));
        }
        let (status, error, text) = match code {
            7_000_222 => (401, "invalid_client", "The provided client secret keys are expired."),
            700_016 => (400, "unauthorized_client", "Application was not found in the directory."),
            53_003 => (400, "invalid_grant", "Access has been blocked by Conditional Access policies."),
            70_021 | 700_211 | 700_213 => (401, "invalid_client", "No matching federated identity record found."),
            700_024 => (401, "invalid_client", "Client assertion is not within its valid time range."),
            _ => (401, "invalid_client", "Invalid client secret provided."),
        };
        self.entra_error(status, error, code, text)
    }

    /// A token for an identity, without asking any endpoint: for callers in the same process.
    pub(crate) fn issue(&mut self, oid: &str) -> Secret {
        let (token, ..) = self.token_for(oid, oid, TENANT_ID, "https://management.azure.com");
        Secret(token)
    }

    /// The same for the data of storage accounts.
    pub(crate) fn issue_for_data(&mut self, oid: &str) -> Secret {
        let (token, ..) = self.token_for(oid, oid, TENANT_ID, STORAGE);
        Secret(token)
    }

    /// What every answer of ARM carries, as a public recording of May 2025 shows it.
    pub(crate) fn common_headers(&mut self, call: &Call, answer: Answer) -> Answer {
        let request = self.guid();
        let correlation = call.header("x-ms-correlation-request-id").map(str::to_owned).unwrap_or_else(|| self.guid());
        let mut answer = answer
            .header("x-ms-request-id", request.clone())
            .header("x-ms-correlation-request-id", correlation)
            .header("x-ms-routing-request-id", format!("WESTEUROPE:{}:{request}", self.now.strftime("%Y%m%dT%H%M%SZ")))
            .header("Strict-Transport-Security", "max-age=31536000; includeSubDomains")
            .header("X-Content-Type-Options", "nosniff")
            .header("Cache-Control", "no-cache")
            .header("Pragma", "no-cache");
        let wants_echo =
            call.header("x-ms-return-client-request-id").is_some_and(|echo| echo.eq_ignore_ascii_case("true"));
        if let (true, Some(id)) = (wants_echo, call.header("x-ms-client-request-id")) {
            answer = answer.header("x-ms-client-request-id", id.to_owned());
        }
        answer.header("Date", time::http_date(self.now))
    }
}
