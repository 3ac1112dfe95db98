//! `keyless plan`: what `run` would do, by the same code and without a writer.

use std::process::ExitCode;
use std::sync::Arc;

use keyless_arm::credential::Surroundings;
use keyless_controller::fleet::plan_fleet;
use keyless_controller::wrote::{LastWrites, last_writes};

use crate::cli::PlanArgs;
use crate::render::FleetPlan;
use crate::{connect, output, signals};

pub(super) fn plan(args: &PlanArgs) -> anyhow::Result<ExitCode> {
    let (settings, _lines) = connect::settings(&args.config)?;
    let Some(desired) = connect::desired(&settings) else { return Ok(ExitCode::FAILURE) };
    super::block_on(async {
        let stop = signals::stop_on_signals()?;
        let client = Arc::new(connect::client(&settings, &Surroundings::of_process())?);
        let revision = desired.revision.clone();
        let planning = async {
            let planned = plan_fleet(desired, client.clone(), settings.limits.max_in_flight).await;
            let wrote = if args.who { last_writes(&planned, client).await } else { LastWrites::new() };
            (planned, wrote)
        };
        let (planned, wrote) = tokio::select! {
            planned = planning => planned,
            () = stop.cancelled() => anyhow::bail!("stopped before the plan was made"),
        };
        let blind = planned.blind();
        let fleet = FleetPlan::new(&revision, planned).with_writers(wrote);
        output::data(&fleet.render(args.output))?;
        if let Some(why) = blind {
            anyhow::bail!("nothing could be read from Azure: {why}");
        }
        Ok(if args.detailed_exitcode { fleet.detailed_exit_code() } else { ExitCode::SUCCESS })
    })
}
