//! The client: what is asked of Azure, under which address.

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
use crate::operation::Operation;
use crate::own::Sent;
use crate::pipeline::{Call, Pipeline, Reply, Timeouts};
use crate::probe::StorageTokens;
use crate::quota::{Class, Limits, Provider, Quota};
use crate::token::TokenSource;
use crate::versions::{ApiVersions, Versions};
use crate::view::node::{self, Node};
use crate::wire::Wire;

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

/// Speaks to the resource manager, and to the data plane for one request; implements [`crate::api::ReadArm`] and [`crate::api::WriteArm`]. Clones share all.
#[derive(Clone)]
pub struct Client {
    pub(crate) pipeline: Arc<Pipeline>,
    /// For the data plane alone.
    pub(crate) storage_tokens: Option<StorageTokens>,
}

impl Client {
    /// Builds a client; sends nothing.
    ///
    /// # Errors
    /// [`SetupError`] if the cloud would receive tokens in clear, the limits let nothing through, or a version of an
    /// interface cannot be used.
    pub fn new(options: ClientOptions) -> Result<Self, SetupError> {
        let ClientOptions { cloud, wire, tokens, limits, clock, ids, timeouts, api_versions } = options;
        if !may_carry_token(cloud.resource_manager()) {
            return Err(SetupError::Cloud("tokens are not sent over plain HTTP".to_owned()));
        }
        let problems: Vec<String> =
            api_versions.problems().iter().map(|(interface, why)| format!("{interface}: {why}")).collect();
        if !problems.is_empty() {
            return Err(SetupError::ApiVersions(problems.join("; ")));
        }
        let (governor, versions) = (Governor::new(limits)?, Versions::new(api_versions));
        let counts = Counts::default();
        let sent = Sent::default();
        let pipeline = Pipeline { cloud, wire, tokens, governor, versions, clock, ids, timeouts, counts, sent };
        Ok(Self { pipeline: Arc::new(pipeline), storage_tokens: None })
    }

    /// The same client, with tokens for the data plane.
    #[must_use]
    pub fn probing(self, tokens: StorageTokens) -> Self {
        Self { storage_tokens: Some(tokens), ..self }
    }

    /// How many requests were sent so far, by operation and status.
    #[must_use]
    pub fn counts(&self) -> Vec<Count> {
        self.pipeline.counts.list()
    }

    /// A GET of one resource.
    pub(crate) fn get(&self, operation: Operation, provider: Provider, id: &ArmId, path: &str) -> Call {
        self.call(operation, Kind::Get, Method::GET, provider, id, path, &[])
    }

    /// A GET of a list; `query` goes without the version.
    pub(crate) fn list(
        &self,
        operation: Operation,
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
        operation: Operation,
        kind: Kind,
        provider: Provider,
        id: &ArmId,
        path: &str,
        body: Option<&Value>,
    ) -> Call {
        let method = match kind {
            Kind::Grant | Kind::Put | Kind::Create => Method::PUT,
            Kind::Revoke => Method::DELETE,
            Kind::Act => Method::POST,
            _ => Method::PATCH,
        };
        let query: &[(&str, &str)] = if kind == Kind::Put { &[("skipValidation", "true")] } else { &[] };
        let call = self.call(operation, kind, method, provider, id, path, query);
        Call { body: body.map(|body| Bytes::from(body.to_string())), ..call }
    }

    fn call(
        &self,
        operation: Operation,
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
            Kind::Grant | Kind::Patch | Kind::Put | Kind::Create | Kind::Act => Class::Write,
        };
        let version = self.pipeline.versions.current(operation.interface());
        let query: Vec<(&str, &str)> = [("api-version", version)].into_iter().chain(query.iter().copied()).collect();
        Call {
            operation,
            resource: id.to_string(),
            kind,
            quota: Quota { subscription: id.subscription(), provider, class },
            method,
            url: self.pipeline.cloud.url(path, &query),
            version: Some(version.to_owned()),
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
        let failed = |class, message: String| ArmError {
            operation: "reserve write",
            resource: subscription.arm().to_string(),
            class,
            status: None,
            code: None,
            message,
            lift: None,
            request_id: None,
            retry_after: None,
        };
        let (provider, class) = match kind {
            WriteKind::Grant => (Provider::Authorization, Class::Write),
            WriteKind::Revoke => (Provider::Authorization, Class::Delete),
            WriteKind::Workspace => (Provider::MachineLearning, Class::Write),
            WriteKind::Account => (Provider::Storage, Class::Write),
        };
        let quota = Quota { subscription: Some(subscription), provider, class };
        let place =
            self.pipeline.governor.reserve(quota, self.pipeline.timeouts.quota).await.map_err(|wait| ArmError {
                retry_after: Some(wait),
                ..failed(ErrorClass::Throttled, "Azure asked for a longer pause than is worth waiting".to_owned())
            })?;
        match self.pipeline.tokens.token().await {
            Ok(_) => Ok(place),
            Err(error) => Err(ArmError {
                lift: Some(error.class.hint().to_owned()),
                ..failed(ErrorClass::Token(error.class), error.to_string())
            }),
        }
    }
}
