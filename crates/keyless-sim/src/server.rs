//! The simulator on loopback sockets.

use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::body::{Body, Frame, Incoming, SizeHint};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde::Serialize;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::faults::strike::Cut;
use crate::options::SimOptions;
use crate::request::{Answer, Unread};
use crate::simulator::{ConnectionReset, Simulator};
use crate::tls::{self, TlsError};
use crate::token::{CLIENT_ID, Secret, TENANT_ID};

/// The longest body that is read.
const LONGEST_BODY: usize = 16 << 20;
/// How long connections may go on after the end was asked for.
const FAREWELL: Duration = Duration::from_secs(2);

/// What callers need to know, printed as one line of JSON when the simulator answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ReadyLine {
    /// Origin of Resource Manager, without a path.
    pub resource_manager: String,
    /// Origin of the token endpoints; the same.
    pub authority: String,
    /// What `IDENTITY_ENDPOINT` must be; always plain HTTP.
    pub identity_endpoint: String,
    /// What `IDENTITY_HEADER` must be.
    pub identity_header: Secret,
    /// Client id of an application that has a secret.
    pub client_id: String,
    /// Its secret.
    pub client_secret: Secret,
    /// A tenant; any other is as good.
    pub tenant_id: String,
    /// Certificate authority to trust; empty without TLS.
    pub ca_file: String,
    /// This process.
    pub pid: u32,
}

/// Why the simulator could not be put on a socket.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// `listen` is not `HOST:PORT`.
    #[error("`{0}` is not of the form HOST:PORT")]
    Address(String),
    /// The socket could not be opened.
    #[error("cannot listen on `{0}`: {1}")]
    Listen(String, #[source] std::io::Error),
    /// The CA could not be written.
    #[error("cannot write the CA certificate to `{0}`: {1}")]
    CaFile(PathBuf, #[source] std::io::Error),
    /// No certificate could be made.
    #[error(transparent)]
    Tls(#[from] TlsError),
}

/// A simulator that answers on sockets until it is told to stop.
#[derive(Debug)]
pub struct Server {
    ready: ReadyLine,
    tasks: TaskTracker,
    stop: CancellationToken,
}

/// What a socket answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Serves {
    Everything,
    /// Tokens of managed identities, which clients fetch over plain HTTP by design.
    IdentityOnly,
}

/// Puts a simulator on a socket (two with TLS), to be stopped by `stop`.
pub async fn serve(
    simulator: Arc<Simulator>,
    options: &SimOptions,
    stop: CancellationToken,
) -> Result<Server, ServeError> {
    let (host, _) = options.listen.rsplit_once(':').ok_or_else(|| ServeError::Address(options.listen.clone()))?;
    if host.is_empty() {
        return Err(ServeError::Address(options.listen.clone()));
    }
    let (listener, port) = open(&options.listen).await?;
    let tasks = TaskTracker::new();
    let mut ca_path = String::new();
    let identity_endpoint = format!("http://{host}:");
    let identity_endpoint = if options.tls {
        let tls = tls::make(host)?;
        let path = options
            .ca_file
            .clone()
            .unwrap_or_else(|| std::env::temp_dir().join(format!("keyless-sim-{}-{port}.pem", std::process::id())));
        tokio::fs::write(&path, &tls.ca_pem).await.map_err(|error| ServeError::CaFile(path.clone(), error))?;
        ca_path = path.to_string_lossy().into_owned();
        let (plain, plain_port) = open(&format!("{host}:0")).await?;
        let acceptor = TlsAcceptor::from(tls.config);
        spawn(&tasks, &stop, &simulator, listener, Some(acceptor), (host, port), Serves::Everything);
        spawn(&tasks, &stop, &simulator, plain, None, (host, plain_port), Serves::IdentityOnly);
        format!("{identity_endpoint}{plain_port}")
    } else {
        spawn(&tasks, &stop, &simulator, listener, None, (host, port), Serves::Everything);
        format!("{identity_endpoint}{port}")
    };
    let origin = format!("{}://{host}:{port}", if options.tls { "https" } else { "http" });
    let ready = ReadyLine {
        resource_manager: origin.clone(),
        authority: origin,
        identity_endpoint,
        identity_header: simulator.identity_header(),
        client_id: CLIENT_ID.to_owned(),
        client_secret: simulator.client_secret(),
        tenant_id: TENANT_ID.to_owned(),
        ca_file: ca_path,
        pid: std::process::id(),
    };
    Ok(Server { ready, tasks, stop })
}

impl Server {
    /// What callers need to know.
    pub fn ready(&self) -> &ReadyLine {
        &self.ready
    }

    /// Waits until it was told to stop and the calls in flight are answered (or two seconds are over).
    pub async fn stopped(self) {
        self.stop.cancelled().await;
        self.tasks.close();
        if tokio::time::timeout(FAREWELL, self.tasks.wait()).await.is_err() {
            tracing::debug!("connections left open at the end");
        }
    }
}

async fn open(listen: &str) -> Result<(TcpListener, u16), ServeError> {
    let failed = |error| ServeError::Listen(listen.to_owned(), error);
    let listener = TcpListener::bind(listen).await.map_err(failed)?;
    let port = listener.local_addr().map_err(failed)?.port();
    Ok((listener, port))
}

fn spawn(
    tasks: &TaskTracker,
    stop: &CancellationToken,
    simulator: &Arc<Simulator>,
    listener: TcpListener,
    acceptor: Option<TlsAcceptor>,
    (host, port): (&str, u16),
    serves: Serves,
) {
    let scheme = if acceptor.is_some() { "https" } else { "http" };
    let door = Arc::new(Door {
        simulator: Arc::clone(simulator),
        scheme,
        own: format!("{host}:{port}"),
        serves,
        stop: stop.clone(),
    });
    let tasks_of_connections = tasks.clone();
    tasks.spawn(async move {
        loop {
            let stream = tokio::select! {
                () = door.stop.cancelled() => break,
                accepted = listener.accept() => match accepted {
                    Ok((stream, _)) => stream,
                    Err(error) => {
                        tracing::warn!(%error, "cannot accept a connection");
                        tokio::time::sleep(Duration::from_millis(50)).await;
                        continue;
                    }
                },
            };
            let (door, acceptor) = (Arc::clone(&door), acceptor.clone());
            tasks_of_connections.spawn(async move { door.greet(stream, acceptor).await });
        }
    });
}

struct Door {
    simulator: Arc<Simulator>,
    scheme: &'static str,
    own: String,
    serves: Serves,
    stop: CancellationToken,
}

impl Door {
    async fn greet(&self, stream: TcpStream, acceptor: Option<TlsAcceptor>) {
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "no TCP_NODELAY");
        }
        let Some(acceptor) = acceptor else { return self.talk(stream).await };
        let shaken = tokio::select! {
            () = self.stop.cancelled() => return,
            shaken = acceptor.accept(stream) => shaken,
        };
        match shaken {
            Ok(stream) => self.talk(stream).await,
            Err(error) => tracing::debug!(%error, "no TLS handshake"),
        }
    }

    async fn talk(&self, stream: impl AsyncRead + AsyncWrite + Unpin) {
        let service = service_fn(|request| self.serve_one(request));
        // A missing `Date` is one of the things that go wrong, so none is added.
        let connection = hyper::server::conn::http1::Builder::new()
            .auto_date_header(false)
            .serve_connection(TokioIo::new(stream), service);
        tokio::pin!(connection);
        let ended = tokio::select! {
            ended = connection.as_mut() => ended,
            () = self.stop.cancelled() => {
                connection.as_mut().graceful_shutdown();
                match tokio::time::timeout(FAREWELL, connection).await {
                    Ok(ended) => ended,
                    Err(_) => return,
                }
            }
        };
        if let Err(error) = ended {
            tracing::debug!(%error, "a connection broke");
        }
    }

    async fn serve_one(&self, request: Request<Incoming>) -> Result<Response<Wire>, ConnectionReset> {
        let (mut parts, body) = request.into_parts();
        // What cannot be read is answered like everything else, so that it is counted too.
        let body = match Limited::new(body, LONGEST_BODY).collect().await {
            Ok(body) => body.to_bytes(),
            Err(error) => {
                parts.extensions.insert(if error.is::<LengthLimitError>() { Unread::TooLong } else { Unread::Broken });
                Bytes::new()
            }
        };
        let request = Request::from_parts(parts, body);
        let host = request.headers().get(http::header::HOST).and_then(|host| host.to_str().ok());
        let origin = format!("{}://{}", self.scheme, host.unwrap_or(&self.own));
        let path = request.uri().path();
        if self.serves == Serves::IdentityOnly
            && !matches!(path, "/" | "/msi/token" | "/metadata/identity/oauth2/token")
        {
            let answer = Answer::error(404, "NotFound", "only identity tokens are served here");
            return Ok(wire(answer.into_response()));
        }
        Ok(wire(self.simulator.answer(&origin, request).await?))
    }
}

/// A body as it goes over the wire: whole, or cut in the middle by a connection that breaks.
struct Wire {
    rest: Option<Bytes>,
    missing: u64,
    /// Whether what came before the break had its time to leave: what is only buffered when a body fails is lost.
    left: bool,
}

fn wire(mut response: Response<Bytes>) -> Response<Wire> {
    let missing = response.extensions_mut().remove::<Cut>().map_or(0, |cut| cut.missing);
    response.map(|body| Wire { rest: Some(body).filter(|body| !body.is_empty()), missing, left: false })
}

impl Body for Wire {
    type Data = Bytes;
    type Error = ConnectionReset;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, ConnectionReset>>> {
        if let Some(body) = self.rest.take() {
            return Poll::Ready(Some(Ok(Frame::data(body))));
        }
        if self.missing == 0 {
            return Poll::Ready(None);
        }
        if !std::mem::replace(&mut self.left, true) {
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        Poll::Ready(Some(Err(ConnectionReset)))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_none() && self.missing == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.rest.as_ref().map_or(0, Bytes::len) as u64 + self.missing)
    }
}
