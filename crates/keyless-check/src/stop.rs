//! Whether the run was asked to stop, by SIGTERM or SIGINT. What has children looks here again and again, so that they
//! end with it and not after it.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use tokio::signal::unix::{SignalKind, signal};

/// How often a long wait looks here.
const LOOK: Duration = Duration::from_millis(50);

static ASKED: AtomicBool = AtomicBool::new(false);

/// Why something was not done to its end.
#[derive(Debug)]
pub(crate) struct Asked;

impl fmt::Display for Asked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("asked to stop")
    }
}

impl std::error::Error for Asked {}

/// From now on the signals are no end by themselves.
///
/// # Errors
/// If they cannot be listened for.
pub(crate) fn listen() -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
    let entered = runtime.enter();
    let mut terminate = signal(SignalKind::terminate()).context("cannot watch for SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("cannot watch for SIGINT")?;
    drop(entered);
    std::thread::spawn(move || {
        runtime.block_on(async {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
        });
        ASKED.store(true, Ordering::Relaxed);
    });
    Ok(())
}

/// Goes on where nobody has asked to stop.
///
/// # Errors
/// [`Asked`], if somebody has.
pub(crate) fn heed() -> Result<(), Asked> {
    if ASKED.load(Ordering::Relaxed) { Err(Asked) } else { Ok(()) }
}

/// Waits.
///
/// # Errors
/// [`Asked`], as soon as somebody has asked to stop.
pub(crate) fn wait(wait: Duration) -> Result<(), Asked> {
    let until = Instant::now() + wait;
    while let Some(left) = until.checked_duration_since(Instant::now()).filter(|left| !left.is_zero()) {
        heed()?;
        std::thread::park_timeout(left.min(LOOK));
    }
    heed()
}
