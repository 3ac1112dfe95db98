//! What the controller tells, with the virtual time of each: passes, alerts and how much is told at which level.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use keyless_controller::event::{Event, Level, Name, Sink};
use tokio::time::Instant;

/// One pass over an account. Times are virtual, since the run began.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Pass {
    pub(crate) from: Duration,
    pub(crate) to: Duration,
    /// Whether it was made to see what a write had changed.
    pub(crate) looks_back: bool,
}

/// Everything that was told so far.
#[derive(Debug, Default)]
pub(crate) struct Heard {
    /// The passes over each account, whose id is in lower case, in order.
    pub(crate) passes: BTreeMap<String, Vec<Pass>>,
    /// When drift of which account was told.
    pub(crate) alerts: Vec<(Duration, String)>,
    /// How many events of level info or higher, by name, and the time of each.
    pub(crate) loud: Vec<(Duration, &'static str)>,
}

/// Hears everything.
pub(crate) struct Ears {
    began: Instant,
    heard: Mutex<Heard>,
}

impl Ears {
    /// `began` is when virtual time begins to count.
    pub(crate) fn new(began: Instant) -> Self {
        Self { began, heard: Mutex::default() }
    }

    pub(crate) fn heard(&self) -> MutexGuard<'_, Heard> {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Sink for Ears {
    fn emit(&self, event: &Event) {
        let now = self.began.elapsed();
        let account = event.storage_account.as_deref().unwrap_or_default().to_ascii_lowercase();
        let mut heard = self.heard();
        if event.level >= Level::Info {
            heard.loud.push((now, event.event.as_str()));
        }
        match event.event {
            Name::DriftDetected => heard.alerts.push((now, account)),
            Name::PassFinished => {
                let from = now.saturating_sub(Duration::from_millis(event.elapsed_ms.unwrap_or_default()));
                let looks_back = event.reason.as_deref().is_some_and(|why| why.split(',').any(|one| one == "written"));
                heard.passes.entry(account).or_default().push(Pass { from, to: now, looks_back });
            }
            _ => {}
        }
    }
}
