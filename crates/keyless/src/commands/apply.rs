//! `keyless apply`: converge as far as open gates allow, then tell what is left.

use std::process::ExitCode;
use std::sync::Arc;

use keyless_arm::clock::random_ids;
use keyless_arm::credential::Surroundings;
use keyless_controller::daemon::Controller;
use keyless_controller::event::LogSink;
use keyless_controller::status::Status;
use keyless_controller::wrote::{LastWrites, last_writes};

use crate::cli::ApplyArgs;
use crate::render::FleetPlan;
use crate::{connect, daemon, output, signals};

pub(super) fn apply(args: &ApplyArgs) -> anyhow::Result<ExitCode> {
    let (settings, _lines) = connect::settings(&args.config)?;
    let Some(desired) = connect::desired(&settings) else { return Ok(ExitCode::FAILURE) };
    super::block_on(async {
        let stop = signals::stop_on_signals()?;
        let client = Arc::new(connect::client(&settings, &Surroundings::of_process())?);
        let state_dir = daemon::open_state_dir(&settings).await?;
        let options = daemon::options(&settings, random_ids()().as_u64_pair().0);
        let status = Arc::new(Status::default());
        let controller = Controller::new(options, client.clone(), client.clone(), state_dir, Arc::new(LogSink), status);
        let revision = desired.revision.clone();
        let left = controller.apply(desired, args.wait, stop.clone()).await?;
        let asking = async { if args.who { last_writes(&left, client).await } else { LastWrites::new() } };
        let wrote = tokio::select! {
            wrote = asking => wrote,
            // What is left is told all the same.
            () = stop.cancelled() => LastWrites::new(),
        };
        let blind = left.blind();
        let fleet = FleetPlan::new(&revision, left).with_writers(wrote);
        output::data(&fleet.render(args.output))?;
        if let Some(why) = blind {
            anyhow::bail!("nothing could be read from Azure: {why}");
        }
        Ok(fleet.detailed_exit_code())
    })
}
