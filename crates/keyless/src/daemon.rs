//! The loop of `run`: files, passes, events and the HTTP server, wired together. `demo` runs the same.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use keyless_arm::client::Client;
use keyless_controller::daemon::{Controller, Options, Stopped};
use keyless_controller::event::Sink;
use keyless_controller::mark::{PATIENCE, StateDir};
use keyless_controller::status::Status;
use keyless_controller::watch::{Quiet, Watch};
use tokio_util::sync::CancellationToken;

use crate::server::{Looks, Server};
use crate::settings::Settings;

/// How often the files are looked at, at most.
const POLL: Duration = Duration::from_secs(1);

/// How long the end may take, whatever does not answer.
const STOP_WITHIN: Duration = Duration::from_millis(9_900);

/// A daemon that holds its state directory and its address, and does not run yet.
pub(crate) struct Daemon {
    settings: Settings,
    client: Client,
    sink: Arc<dyn Sink>,
    status: Arc<Status>,
    seed: u64,
    state_dir: StateDir,
    server: Server,
}

impl Daemon {
    /// Takes the state directory and the address. `seed` decides all jitter.
    pub(crate) async fn new(
        settings: Settings,
        client: Client,
        sink: Arc<dyn Sink>,
        status: Arc<Status>,
        seed: u64,
    ) -> anyhow::Result<Self> {
        let state_dir = open_state_dir(&settings).await?;
        let (looked_at, counted) = (Arc::clone(&status), client.clone());
        let looks =
            Looks { snapshot: Arc::new(move || looked_at.snapshot()), counts: Arc::new(move || counted.counts()) };
        let server = Server::bind(&settings.listen, looks).await?;
        Ok(Self { settings, client, sink, status, seed, state_dir, server })
    }

    /// Where the server listens.
    pub(crate) fn address(&self) -> anyhow::Result<SocketAddr> {
        self.server.address()
    }

    /// Reconciles until `stop`.
    pub(crate) async fn run(self, stop: CancellationToken) -> anyhow::Result<Stopped> {
        let Self { settings, client, sink, status, seed, state_dir, server } = self;
        let options = options(&settings, seed);
        let served = tokio::spawn(server.serve(stop.clone()));
        let watch = Watch {
            path: settings.desired_state.clone(),
            poll: POLL.min(settings.interval),
            quiet: quiet(settings.interval),
            state_dir: Some(state_dir.clone()),
            reminder: settings.alert_reminder,
        };
        let feed = watch.start(Arc::clone(&sink), Arc::clone(&status), stop.clone()).await;
        let client = Arc::new(client);
        let controller = Controller::new(options, client.clone(), client, state_dir, sink, status);
        let overdue = async {
            stop.cancelled().await;
            tokio::time::sleep(STOP_WITHIN).await;
        };
        let stopped = tokio::select! {
            biased;
            stopped = controller.run(feed, stop.clone()) => stopped,
            () = overdue => {
                tracing::warn!("not everything came to its end in time; the next start waits");
                Stopped { settled: false }
            }
        };
        // The loop also ends when nothing feeds it any more.
        stop.cancel();
        served.await.context("the HTTP server failed")?;
        Ok(stopped)
    }
}

/// How the loop behaves under these settings.
pub(crate) fn options(settings: &Settings, seed: u64) -> Options {
    Options {
        interval: settings.interval,
        alert_reminder: settings.alert_reminder,
        max_in_flight: settings.limits.max_in_flight,
        seed,
        ..Options::default()
    }
}

/// Takes the state directory of the settings.
pub(crate) async fn open_state_dir(settings: &Settings) -> anyhow::Result<StateDir> {
    let path: PathBuf = settings.state_dir.clone().context(
        "the settings do not name a directory for what is kept over restarts\n\
         hint: set `stateDir` in the settings file, or give `--state-dir DIR`",
    )?;
    let shown = path.display().to_string();
    stands_apart(settings).await?;
    let opening = tokio::task::spawn_blocking(move || StateDir::open(&path));
    let opened = tokio::time::timeout(PATIENCE, opening).await;
    let late = || format!("state directory `{shown}` did not answer within {PATIENCE:?}");
    Ok(opened.with_context(late)???)
}

/// Refuses a state directory whose files would be read as desired state: they are no documents, so from the first one on no
/// change of the files would count.
async fn stands_apart(settings: &Settings) -> anyhow::Result<()> {
    let settings = settings.clone();
    let looking = tokio::task::spawn_blocking(move || settings.apart());
    // Files that do not answer are told once the daemon runs.
    tokio::time::timeout(PATIENCE, looking).await.unwrap_or(Ok(Ok(())))?
}

/// Where accounts are looked at faster than in life, files settle faster too.
fn quiet(interval: Duration) -> Quiet {
    let Quiet { change, half } = Quiet::default();
    Quiet { change: change.min(interval), half: half.min(interval.saturating_mul(10)) }
}
