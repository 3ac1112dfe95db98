//! What happens, as it happens: a line for each change, and on a terminal a line that tells how far it is.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};
use keyless_controller::event::{Event, Name};
use keyless_controller::status::Status;
use keyless_core::plan::Standing;
use tokio::sync::broadcast;
use tokio::sync::broadcast::error::RecvError;

use crate::output;

/// Prints to stderr; clones print to the same place.
#[derive(Clone)]
pub(super) struct Progress {
    bar: ProgressBar,
    began: Instant,
    drift: Arc<AtomicBool>,
}

impl Progress {
    pub(super) fn new(began: Instant) -> Self {
        let bar = ProgressBar::new_spinner();
        if let Ok(style) = ProgressStyle::with_template("{spinner} {msg}") {
            bar.set_style(style);
        }
        bar.enable_steady_tick(Duration::from_millis(100));
        Self { bar, began, drift: Arc::default() }
    }

    /// A new part of the story.
    pub(super) fn heading(&self, text: &str) {
        self.print(&format!("\n{text}"));
    }

    /// From now on every drift is worth a line; at the start the whole fleet differs.
    pub(super) fn tell_drift(&self) {
        self.drift.store(true, Ordering::Relaxed);
    }

    /// Prints events until they end.
    pub(super) async fn follow(self, mut events: broadcast::Receiver<Event>, status: Arc<Status>) {
        let mut changes = status.changes();
        loop {
            tokio::select! {
                event = events.recv() => match event {
                    Ok(event) => self.event(&event),
                    Err(RecvError::Lagged(_)) => {}
                    Err(RecvError::Closed) => return,
                },
                changed = changes.changed() => {
                    if changed.is_err() {
                        return;
                    }
                    self.state(&status);
                }
            }
        }
    }

    /// Takes the line away that tells how far it is.
    pub(super) fn finish(&self) {
        self.bar.finish_and_clear();
    }

    fn event(&self, event: &Event) {
        let account = event.storage_account.as_deref().and_then(|id| id.rsplit('/').next()).unwrap_or_default();
        let words = match event.event {
            Name::ActionApplied => event.action.clone().unwrap_or_default(),
            Name::ActionFailed => {
                let (action, why) = (event.action.as_deref(), event.why.as_deref());
                format!("failed: {}: {}", action.unwrap_or_default(), why.unwrap_or_default())
            }
            Name::DriftDetected if self.drift.load(Ordering::Relaxed) => {
                format!("drift: {}", event.drift.as_deref().unwrap_or_default())
            }
            Name::ConfigAccepted => {
                format!("revision {} of the files is in force", event.revision.as_deref().unwrap_or_default())
            }
            Name::ConfigRejected => format!("the files are rejected: {}", event.problems.join("; ")),
            _ => return,
        };
        self.print(&format!("{:5.1} s  {account:<12} {words}", self.began.elapsed().as_secs_f64()));
    }

    fn state(&self, status: &Status) {
        if self.bar.is_hidden() {
            return;
        }
        let snapshot = status.snapshot();
        let converged =
            snapshot.accounts.values().filter(|account| account.standing() == Some(Standing::Converged)).count();
        let steps: usize = snapshot.accounts.values().map(|account| account.steps_left()).sum();
        let accounts = snapshot.accounts.len();
        self.bar.set_message(format!("{converged} of {accounts} accounts converged, {steps} steps left"));
    }

    fn print(&self, line: &str) {
        if self.bar.is_hidden() {
            output::remark(line);
        } else {
            self.bar.println(line);
        }
    }
}
