//! The client: what is asked of Azure, under which address and version.

use std::sync::Arc;

use bytes::Bytes;
use http::Method;
use keyless_core::id::{ArmId, SubscriptionId};
use serde_json::Value;

use crate::api::{Answer, WriteKind};
use crate::classify::Kind;
use crate::clock::{Clock, Ids};
use crate::cloud::{Cloud, may_carry_token};
use crate::counts::{Count, Counts};
use crate::error::{ArmError, ErrorClass, SetupError};
use crate::governor::{Governor, Place};
use crate::pipeline::{Call, Pipeline, Reply, Timeouts, throttled};
use crate::quota::{Class, Limits, Provider, Quota};
use crate::token::TokenSource;
use crate::view::node::{self, Node};
use crate::wire::Wire;

/// The versions of Azure's interfaces that are spoken; clouds differ in what they have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiVersions {
    /// Workspaces. Versions that hide `systemDatastoresAuthMode` make workspaces unreadable.
    pub workspaces: String,
    /// Datastores and computes.
    pub workspace_parts: String,
    /// Storage accounts.
    pub storage: String,
    /// Role assignments, role definitions and deny assignments.
    pub authorization: String,
    /// Locks.
    pub locks: String,
    /// Metrics.
    pub metrics: String,
    /// User-assigned managed identities.
    pub managed_identities: String,
    /// Subscriptions.
    pub subscriptions: String,
}

impl Default for ApiVersions {
    fn default() -> Self {
        Self {
            workspaces: "2025-09-01".to_owned(),
            workspace_parts: "2025-09-01".to_owned(),
            storage: "2023-05-01".to_owned(),
            authorization: "2022-04-01".to_owned(),
            locks: "2016-09-01".to_owned(),
            metrics: "2024-02-01".to_owned(),
            managed_identities: "2023-01-31".to_owned(),
            subscriptions: "2022-12-01".to_owned(),
        }
    }
}

/// Whether answers of this version show `systemDatastoresAuthMode`: previews since 2022-12-01, stable ones since
/// 2025-06-01. In the others a missing mode means nothing.
///
/// Source: Azure/bicep-types-az `generated/machinelearningservices/microsoft.machinelearningservices/{version}/types.md`.
#[must_use]
pub fn shows_auth_mode(api_version: &str) -> bool {
    match api_version.strip_suffix("-preview") {
        Some(date) => date >= "2022-12-01",
        None => api_version >= "2025-06-01",
    }
}

/// Everything a client is made of.
pub struct ClientOptions {
    /// Which Azure.
    pub cloud: Cloud,
    /// The transport.
    pub wire: Arc<dyn Wire>,
    /// Where tokens come from.
    pub tokens: Arc<dyn TokenSource>,
    /// What Azure allows.
    pub limits: Limits,
    /// Wall time.
    pub clock: Arc<dyn Clock>,
    /// Client request ids and jitter.
    pub ids: Ids,
    /// How long things may take.
    pub timeouts: Timeouts,
    /// The versions spoken.
    pub api_versions: ApiVersions,
}

/// Speaks to the resource manager; implements [`crate::api::ReadArm`] and [`crate::api::WriteArm`]. Clones share all.
#[derive(Clone)]
pub struct Client {
    pub(crate) pipeline: Arc<Pipeline>,
    pub(crate) versions: ApiVersions,
}

impl Client {
    /// Builds a client; sends nothing.
    ///
    /// # Errors
    /// [`SetupError`] if the cloud would receive tokens in clear or the limits let nothing through.
    pub fn new(options: ClientOptions) -> Result<Self, SetupError> {
        let ClientOptions { cloud, wire, tokens, limits, clock, ids, timeouts, api_versions } = options;
        if !may_carry_token(cloud.resource_manager()) {
            return Err(SetupError::Cloud("tokens are not sent over plain HTTP".to_owned()));
        }
        let governor = Governor::new(limits)?;
        let pipeline = Pipeline { cloud, wire, tokens, governor, clock, ids, timeouts, counts: Counts::default() };
        Ok(Self { pipeline: Arc::new(pipeline), versions: api_versions })
    }

    /// How many requests were sent so far, by operation and status.
    #[must_use]
    pub fn counts(&self) -> Vec<Count> {
        self.pipeline.counts.list()
    }

    /// A GET of one resource.
    pub(crate) fn get(
        &self,
        operation: &'static str,
        provider: Provider,
        id: &ArmId,
        path: &str,
        version: &str,
    ) -> Call {
        self.call(operation, Kind::Get, Method::GET, provider, id, path, &[("api-version", version)])
    }

    /// A GET of a list.
    pub(crate) fn list(
        &self,
        operation: &'static str,
        provider: Provider,
        id: &ArmId,
        path: &str,
        query: &[(&str, &str)],
    ) -> Call {
        self.call(operation, Kind::List, Method::GET, provider, id, path, query)
    }

    /// A write.
    pub(crate) fn change(
        &self,
        operation: &'static str,
        kind: Kind,
        provider: Provider,
        id: &ArmId,
        target: (&str, &str),
        body: Option<&Value>,
    ) -> Call {
        let method = match kind {
            Kind::Grant => Method::PUT,
            Kind::Revoke => Method::DELETE,
            Kind::Action => Method::POST,
            _ => Method::PATCH,
        };
        let (path, version) = target;
        let call = self.call(operation, kind, method, provider, id, path, &[("api-version", version)]);
        Call { body: body.map(|body| Bytes::from(body.to_string())), ..call }
    }

    fn call(
        &self,
        operation: &'static str,
        kind: Kind,
        method: Method,
        provider: Provider,
        id: &ArmId,
        path: &str,
        query: &[(&str, &str)],
    ) -> Call {
        let class = match kind {
            Kind::List => Class::List,
            Kind::Get | Kind::Poll => Class::Read,
            Kind::Revoke => Class::Delete,
            Kind::Grant | Kind::Patch | Kind::Action => Class::Write,
        };
        Call {
            operation,
            resource: id.to_string(),
            kind,
            quota: Quota { subscription: id.subscription(), provider, class },
            method,
            url: self.pipeline.cloud.url(path, query),
            body: None,
        }
    }

    /// Reads one resource.
    pub(crate) async fn one<T>(
        &self,
        call: Call,
        view: impl Fn(&Node<'_>) -> node::Result<T>,
    ) -> Result<Answer<Option<T>>, ArmError> {
        let reply = self.pipeline.read(&call).await?;
        self.answer(&call, reply, view)
    }

    /// The value of one answer; `None` for a resource that does not exist.
    pub(crate) fn answer<T>(
        &self,
        call: &Call,
        reply: Reply,
        view: impl Fn(&Node<'_>) -> node::Result<T>,
    ) -> Result<Answer<Option<T>>, ArmError> {
        if reply.is_absent() {
            return Ok(Answer { value: None, at: reply.at, request_id: reply.request_id });
        }
        let unreadable = |why: String| call.error_of(&reply, ErrorClass::Unreadable, why);
        let body: Value =
            serde_json::from_slice(&reply.body).map_err(|error| unreadable(format!("no JSON: {error}")))?;
        let value = view(&Node::root(&body)).map_err(|error| unreadable(error.to_string()))?;
        Ok(Answer { value: Some(value), at: reply.at, request_id: reply.request_id })
    }

    /// Reads a whole list. One item that cannot be understood makes the list unreadable.
    pub(crate) async fn all<T>(
        &self,
        call: Call,
        view: impl Fn(&Node<'_>) -> node::Result<T>,
    ) -> Result<Answer<Vec<T>>, ArmError> {
        let operation = call.clone();
        let items = self.pipeline.list(call).await?;
        let value = items.values.iter().map(|item| view(&Node::root(item))).collect::<node::Result<Vec<T>>>().map_err(
            |error| ArmError {
                request_id: items.request_id.clone(),
                ..operation.error(ErrorClass::Unreadable, format!("an item of the list: {error}"))
            },
        )?;
        Ok(Answer { value, at: items.at, request_id: items.request_id })
    }

    /// Waits for a place in the quotas of a write and has a fresh token at hand, so that the write itself waits for nothing.
    pub(crate) async fn reserve(&self, subscription: SubscriptionId, kind: WriteKind) -> Result<Place, ArmError> {
        let scope = subscription.arm();
        let call = self.get("reserve write", Provider::Resources, &scope, scope.as_str(), "");
        let (provider, class) = match kind {
            WriteKind::Grant => (Provider::Authorization, Class::Write),
            WriteKind::Revoke => (Provider::Authorization, Class::Delete),
            WriteKind::Workspace => (Provider::MachineLearning, Class::Write),
            WriteKind::Account => (Provider::Storage, Class::Write),
        };
        let quota = Quota { subscription: Some(subscription), provider, class };
        let place = self.pipeline.governor.reserve(quota, self.pipeline.timeouts.quota).await;
        let place = place.map_err(|wait| throttled(&call, wait))?;
        match self.pipeline.tokens.token().await {
            Ok(_) => Ok(place),
            Err(error) => Err(call.error(ErrorClass::Authentication, error.to_string())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_that_hide_the_mode_are_known() {
        for shown in ["2022-12-01-preview", "2024-10-01-preview", "2025-06-01", "2025-09-01", "2026-05-01"] {
            assert!(shows_auth_mode(shown), "{shown}");
        }
        for hidden in [
            "2021-07-01",
            "2023-04-01",
            "2023-10-01",
            "2024-04-01",
            "2024-10-01",
            "2025-04-01",
            "2022-10-01-preview",
            "",
        ] {
            assert!(!shows_auth_mode(hidden), "{hidden}");
        }
    }
}
