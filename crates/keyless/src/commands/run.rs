//! `keyless run`: the daemon.

use std::process::ExitCode;
use std::sync::Arc;

use keyless_arm::clock::random_ids;
use keyless_arm::credential::Surroundings;
use keyless_controller::event::LogSink;
use keyless_controller::status::Status;

use crate::cli::RunArgs;
use crate::daemon::Daemon;
use crate::{connect, signals};

pub(super) fn run(args: &RunArgs) -> anyhow::Result<ExitCode> {
    let (settings, _lines) = connect::settings(&args.config)?;
    super::block_on(async {
        let stop = signals::stop_on_signals()?;
        let client = connect::client(&settings, &Surroundings::of_process())?;
        let seed = random_ids()().as_u64_pair().0;
        let daemon = Daemon::new(settings, client, Arc::new(LogSink), Arc::new(Status::default()), seed).await?;
        tracing::info!(address = %daemon.address()?, version = env!("CARGO_PKG_VERSION"), "listening");
        let stopped = daemon.run(stop).await?;
        tracing::info!(settled = stopped.settled, "stopped");
        Ok(ExitCode::SUCCESS)
    })
}
