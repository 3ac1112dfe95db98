//! A controller at work on the cloud in memory, and the questions tests ask of it.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use keyless_controller::daemon::{Controller, Options, Stopped};
use keyless_controller::event::{Collected, Event, Level, Name};
use keyless_controller::mark::{StateDir, StateDirError};
use keyless_controller::status::{Snapshot, Status};
use keyless_core::desired::Desired;
use keyless_core::plan::Standing;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::cloud::Cloud;

pub(crate) struct Rig {
    pub(crate) cloud: Arc<Cloud>,
    pub(crate) files: Arc<watch::Sender<Option<Arc<Desired>>>>,
    pub(crate) status: Arc<Status>,
    pub(crate) events: Arc<Collected>,
    pub(crate) cancel: CancellationToken,
    task: JoinHandle<Stopped>,
}

impl Rig {
    pub(crate) fn start(cloud: &Arc<Cloud>, state: &Path, desired: Desired) -> Self {
        Self::start_with(cloud, state, desired, Options::default())
    }

    pub(crate) fn start_with(cloud: &Arc<Cloud>, state: &Path, desired: Desired, options: Options) -> Self {
        let status = Arc::new(Status::default());
        let events = Arc::new(Collected::new(Level::Debug));
        let (files, feed) = watch::channel(Some(Arc::new(desired)));
        let cancel = CancellationToken::new();
        // A crash leaves a write of the notes to its end, and the lock with it.
        let begun = std::time::Instant::now();
        let state_dir = loop {
            match StateDir::open(state) {
                Err(StateDirError::InUse { .. }) if begun.elapsed() < Duration::from_secs(10) => {
                    std::thread::yield_now()
                }
                opened => break opened.unwrap(),
            }
        };
        let controller =
            Controller::new(options, cloud.clone(), cloud.clone(), state_dir, events.clone(), Arc::clone(&status));
        let task = tokio::spawn(controller.run(feed, cancel.clone()));
        Self { cloud: Arc::clone(cloud), files: Arc::new(files), status, events, cancel, task }
    }

    /// Waits until `condition` holds; a virtual day is the end of patience.
    pub(crate) async fn until(&self, what: &str, condition: impl Fn(&Snapshot) -> bool) {
        let mut changes = self.status.changes();
        let met = async {
            loop {
                changes.borrow_and_update();
                if condition(&self.status.snapshot()) {
                    return;
                }
                changes.changed().await.unwrap();
            }
        };
        if tokio::time::timeout(Duration::from_secs(24 * 3600), met).await.is_err() {
            let snapshot = self.status.snapshot();
            panic!("never: {what}\ncalls {:?}\n{snapshot:#?}", self.cloud.calls());
        }
    }

    pub(crate) async fn converged(&self, revision: &str) {
        let settled = |snapshot: &Snapshot| {
            !snapshot.accounts.is_empty()
                && snapshot.accounts.values().all(|account| {
                    let plan = account.plan.as_ref();
                    account.standing() == Some(Standing::Converged)
                        && plan.is_some_and(|plan| plan.revision.0 == revision)
                })
        };
        self.until("converged", settled).await;
    }

    /// Waits for this many more passes.
    pub(crate) async fn passes(&self, more: u64) {
        let goal = self.status.snapshot().counters.passes + more;
        self.until("passes", |snapshot| snapshot.counters.passes >= goal).await;
    }

    pub(crate) fn told(&self, name: Name) -> Vec<Event> {
        self.events.events().into_iter().filter(|event| event.event == name).collect()
    }

    pub(crate) async fn stop(self) -> Stopped {
        self.cancel.cancel();
        self.task.await.unwrap()
    }

    /// Ends the process as `kill -9` does.
    pub(crate) async fn crash(self) {
        self.task.abort();
        assert!(self.task.await.unwrap_err().is_cancelled());
    }
}
