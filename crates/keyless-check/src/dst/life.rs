//! The processes of a run, one after the other: each is the shipped controller with the shipped client, over a state
//! directory that outlives it.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Context as _;
use jiff::{SignedDuration, Timestamp};
use keyless_arm::client::{Client, ClientOptions};
use keyless_arm::clock::{Clock, Ids};
use keyless_arm::cloud::Cloud;
use keyless_arm::credential::{self, CredentialConfig, Surroundings};
use keyless_arm::pipeline::Timeouts;
use keyless_arm::quota::Limits;
use keyless_arm::secret::Secret;
use keyless_arm::versions::ApiVersions;
use keyless_arm::wire::Wire;
use keyless_controller::daemon::{Controller, Options, Stopped};
use keyless_controller::event::{Collected, Level, Sink};
use keyless_controller::mark::{StateDir, StateDirError};
use keyless_controller::status::Status;
use keyless_core::desired::Desired;
use keyless_sim::Simulator;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::dice::Dice;
use super::draw::Draw;
use super::wire::{Road, SimWire};

/// One process.
pub(crate) struct Life {
    pub(crate) number: u32,
    pub(crate) status: Arc<Status>,
    pub(crate) events: Arc<Collected>,
    files: watch::Sender<Option<Arc<Desired>>>,
    cancel: CancellationToken,
    task: JoinHandle<Stopped>,
}

/// The machine's clock: the simulator's, and off by some.
struct OffClock {
    sim: Arc<Simulator>,
    off: SignedDuration,
}

impl Clock for OffClock {
    fn now(&self) -> Timestamp {
        self.sim.now().checked_add(self.off).unwrap_or_default()
    }
}

/// What the processes of a run have in common.
pub(crate) struct Place {
    pub(crate) road: Arc<Road>,
    pub(crate) draw: Draw,
    pub(crate) state: PathBuf,
    /// What stands between the client and its wire, if anything does.
    pub(crate) through: Option<Through>,
    /// Who is told of events of every level besides, if anybody is.
    pub(crate) hears: Option<Arc<dyn Sink>>,
}

/// Puts something between the client and its wire.
pub(crate) type Through = Arc<dyn Fn(Arc<dyn Wire>) -> Arc<dyn Wire>>;

impl Place {
    /// Starts the process of this number.
    ///
    /// # Errors
    /// If the client cannot be built or the state directory not be had.
    pub(crate) async fn start(&self, number: u32, desired: Arc<Desired>) -> anyhow::Result<Life> {
        let client = Arc::new(self.client(number)?);
        let state_dir = open(&self.state).await?;
        let status = Arc::new(Status::default());
        let events = Arc::new(Collected::new(Level::Info));
        let (files, feed) = watch::channel(Some(desired));
        let cancel = CancellationToken::new();
        let options = Options {
            interval: self.draw.interval,
            max_in_flight: self.draw.in_flight,
            seed: self.draw.seed.wrapping_add(u64::from(number)),
            ..Options::default()
        };
        let mut sink: Vec<Arc<dyn Sink>> = vec![events.clone()];
        sink.extend(self.hears.clone());
        let controller =
            Controller::new(options, client.clone(), client, state_dir, Arc::new(sink), Arc::clone(&status));
        let task = tokio::spawn(controller.run(feed, cancel.clone()));
        Ok(Life { number, status, events, files, cancel, task })
    }

    fn client(&self, number: u32) -> anyhow::Result<Client> {
        let cloud = Cloud::public()?;
        let wire: Arc<dyn Wire> = Arc::new(SimWire { road: Arc::clone(&self.road), life: number });
        let wire = self.through.as_ref().map_or(Arc::clone(&wire), |through| through(wire));
        let off = SignedDuration::from_secs(self.draw.clock_off);
        let clock: Arc<dyn Clock> = Arc::new(OffClock { sim: Arc::clone(&self.road.sim), off });
        let dice = Mutex::new(Dice::of(self.draw.seed, &format!("ids of {number}")));
        let ids: Ids = Arc::new(move || dice.lock().unwrap_or_else(PoisonError::into_inner).uuid());
        let timeouts = Timeouts::default();
        let config = CredentialConfig::ClientSecret {
            tenant: Some(keyless_sim::TENANT_ID.to_owned()),
            client: Some(keyless_sim::CLIENT_ID.to_owned()),
            secret: Some(Secret::new(self.road.sim.client_secret().reveal())),
        };
        let tokens = credential::tokens(
            &config,
            &Surroundings::default(),
            &cloud,
            Arc::clone(&wire),
            Arc::clone(&clock),
            Arc::clone(&ids),
            timeouts.token,
        )?;
        let limits = Limits { headroom: self.draw.headroom, ..Limits::default() };
        let options = ClientOptions {
            cloud,
            wire,
            tokens: tokens.management,
            limits,
            clock,
            ids,
            timeouts,
            api_versions: ApiVersions::public(),
        };
        Ok(Client::new(options)?.probing(tokens.storage))
    }
}

impl Life {
    /// Puts other files in force.
    pub(crate) fn files(&self, desired: Arc<Desired>) {
        self.files.send_replace(Some(desired));
    }

    /// Ends it as `kill -9` does.
    pub(crate) async fn crash(self) {
        self.task.abort();
        // That it is gone is what was asked for.
        let _ = self.task.await;
    }

    /// Whether it came to its end by itself, which it never does.
    pub(crate) fn is_over(&self) -> bool {
        self.task.is_finished()
    }

    /// Asks it to stop, and waits for that.
    ///
    /// # Errors
    /// If it does not stop in time, or breaks off.
    pub(crate) async fn stop(self) -> anyhow::Result<Stopped> {
        self.cancel.cancel();
        let stopped = tokio::time::timeout(Duration::from_secs(10), self.task).await;
        stopped.context("it did not stop within ten seconds")?.context("it broke off")
    }
}

/// A process that has died leaves its tasks, and the write of its notes, to their end, and the lock with them.
async fn open(path: &Path) -> anyhow::Result<StateDir> {
    loop {
        match StateDir::open(path) {
            Err(StateDirError::InUse { .. }) => {
                std::thread::yield_now();
                tokio::task::yield_now().await;
            }
            // However busy the machine: a seed tells the same again.
            opened => return Ok(opened?.patient(Duration::from_secs(60 * 60))),
        }
    }
}
