//! `azure_mgmt_storage` on this crate's pipeline.
//!
//! The crate builds the requests and the PATCH model; a terminal policy carries them to the pipeline, so quota, token,
//! repetition and counting are the same as for every other call. azure_core 0.21 prints the `Authorization` header at
//! DEBUG (RUSTSEC-2026-0275), so it only ever sees a placeholder; the pipeline adds the real token below it. Answers
//! are taken from the pipeline and not from the crate's model, which fails as a whole on one unknown enum value.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use azure_core_legacy as legacy;
use azure_mgmt_storage::package_2023_05 as storage;
use azure_mgmt_storage::package_2023_05::models;
use http::Method;
use keyless_core::id::StorageAccountId;
use legacy::auth::{AccessToken, TokenCredential};

use crate::classify::{Kind, Verdict};
use crate::error::{ArmError, ErrorClass, Landed, WriteError};
use crate::governor::Place;
use crate::operation::Operation;
use crate::pipeline::{Call, Pipeline, Reply};
use crate::quota::{Class, Provider, Quota};

/// What azure_core 0.21 may know of the token.
const PLACEHOLDER: &str = "added-by-transport";

/// Reads one account, which may be absent.
pub(crate) async fn get(pipeline: &Arc<Pipeline>, id: &StorageAccountId) -> Result<(Call, Reply), ArmError> {
    let seam = Seam::new(pipeline, Operation::GetStorageAccount, id, Kind::Get, Class::Read, None);
    let accounts = client(pipeline, &seam).map_err(|error| seam.bug(&error))?;
    let sent = accounts.get_properties(id.resource_group(), id.name(), id.subscription().to_string()).send().await;
    match seam.outcome() {
        Some(Outcome::Read(call, result)) => Ok((call, result?)),
        Some(Outcome::Written(..)) | None => Err(seam.bug(&describe(sent.err()))),
    }
}

/// Sets `allowSharedKeyAccess` and nothing else.
pub(crate) async fn set_shared_key_access(
    pipeline: &Arc<Pipeline>,
    place: Place,
    id: &StorageAccountId,
    allowed: bool,
) -> Result<(Call, Reply, Verdict), WriteError> {
    let seam = Seam::new(pipeline, Operation::SetSharedKeyAccess, id, Kind::Patch, Class::Write, Some(place));
    let bug = |why: &str| WriteError { error: seam.bug(why), landed: Landed::No };
    let accounts = client(pipeline, &seam).map_err(|error| bug(&error))?;
    let parameters = models::StorageAccountUpdateParameters {
        properties: Some(models::StorageAccountPropertiesUpdateParameters {
            allow_shared_key_access: Some(allowed),
            ..Default::default()
        }),
        ..Default::default()
    };
    let sent = accounts.update(id.resource_group(), id.name(), parameters, id.subscription().to_string()).send().await;
    match seam.outcome() {
        Some(Outcome::Written(call, result)) => result.map(|(reply, verdict)| (call, reply, verdict)),
        Some(Outcome::Read(..)) | None => Err(bug(&describe(sent.err()))),
    }
}

fn client(pipeline: &Pipeline, seam: &Arc<Seam>) -> Result<storage::storage_accounts::Client, String> {
    // An `api-version` on the endpoint replaces the crate's own on every call.
    let version = seam.template.version.as_deref().unwrap_or_default();
    let endpoint = pipeline.cloud.url("/", &[("api-version", version)]);
    let client = storage::ClientBuilder::new(Arc::new(NoToken))
        .endpoint(endpoint)
        .scopes(&[pipeline.cloud.scope()])
        .retry(legacy::RetryOptions::none())
        .transport(legacy::TransportOptions::new_custom_policy(Arc::clone(seam) as Arc<dyn legacy::Policy>))
        .build()
        .map_err(|error| error.to_string())?;
    Ok(client.storage_accounts_client())
}

fn describe(error: Option<legacy::Error>) -> String {
    error.map_or_else(|| "the request was not sent".to_owned(), |error| error.to_string())
}

#[derive(Debug)]
struct NoToken;

#[async_trait]
impl TokenCredential for NoToken {
    async fn get_token(&self, _: &[&str]) -> legacy::Result<AccessToken> {
        // Nobody looks at the end of a placeholder's life.
        let expires = azure_core::time::OffsetDateTime::UNIX_EPOCH;
        Ok(AccessToken::new(PLACEHOLDER, expires))
    }

    async fn clear_cache(&self) -> legacy::Result<()> {
        Ok(())
    }
}

/// What the pipeline made of the request, kept aside from azure_core's narrower types.
enum Outcome {
    Read(Call, Result<Reply, ArmError>),
    Written(Call, Result<(Reply, Verdict), WriteError>),
}

/// Terminal policy: hands the request to the pipeline. Made for one call.
struct Seam {
    pipeline: Arc<Pipeline>,
    template: Call,
    /// For a write.
    place: Mutex<Option<Place>>,
    outcome: Mutex<Option<Outcome>>,
}

impl Seam {
    fn new(
        pipeline: &Arc<Pipeline>,
        operation: Operation,
        id: &StorageAccountId,
        kind: Kind,
        class: Class,
        place: Option<Place>,
    ) -> Arc<Self> {
        let quota = Quota { subscription: Some(id.subscription()), provider: Provider::Storage, class };
        let template = Call {
            operation,
            resource: id.to_string(),
            kind,
            quota,
            method: Method::GET,
            url: pipeline.cloud.resource_manager().clone(),
            version: Some(pipeline.versions.current(operation.interface()).to_owned()),
            body: None,
        };
        Arc::new(Self { pipeline: Arc::clone(pipeline), template, place: Mutex::new(place), outcome: Mutex::new(None) })
    }

    fn outcome(&self) -> Option<Outcome> {
        self.outcome.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    fn bug(&self, why: &str) -> ArmError {
        self.template.error(ErrorClass::Bug, why)
    }
}

impl fmt::Debug for Seam {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Seam").field("operation", &self.template.operation.name()).finish_non_exhaustive()
    }
}

#[async_trait]
impl legacy::Policy for Seam {
    async fn send(
        &self,
        _: &legacy::Context,
        request: &mut legacy::Request,
        _: &[Arc<dyn legacy::Policy>],
    ) -> legacy::PolicyResult {
        let refuse = |why: &str| legacy::Error::message(legacy::error::ErrorKind::Other, why.to_owned());
        let legacy::Body::Bytes(body) = request.body() else { return Err(refuse("the body is a stream")) };
        let method = match request.method() {
            legacy::Method::Get => Method::GET,
            legacy::Method::Patch => Method::PATCH,
            other => return Err(refuse(&format!("{other} is not expected here"))),
        };
        let call = Call {
            method,
            url: request.url().clone(),
            body: (!body.is_empty()).then(|| body.clone()),
            ..self.template.clone()
        };
        let outcome = if call.kind.is_write() {
            let place = self.place.lock().unwrap_or_else(PoisonError::into_inner).take();
            let Some(place) = place else { return Err(refuse("there is no place in the write quota")) };
            let result = self.pipeline.write(&call, place).await;
            Outcome::Written(call, result)
        } else {
            let result = self.pipeline.read(&call).await;
            Outcome::Read(call, result)
        };
        *self.outcome.lock().unwrap_or_else(PoisonError::into_inner) = Some(outcome);
        // The caller takes the outcome from here; the crate has nothing left to read.
        Ok(legacy::Response::new(
            legacy::StatusCode::NoContent,
            legacy::headers::Headers::new(),
            Box::pin(futures::stream::empty()),
        ))
    }
}
