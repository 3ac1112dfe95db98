//! `keyless plan`: what `run` would do, by the same code and without a writer.

use std::process::ExitCode;
use std::sync::Arc;

use keyless_arm::credential::Surroundings;
use keyless_controller::fleet::plan_fleet;

use crate::cli::PlanArgs;
use crate::render::FleetPlan;
use crate::{connect, output, signals};

pub(super) fn plan(args: &PlanArgs) -> anyhow::Result<ExitCode> {
    let (settings, _lines) = connect::settings(&args.config)?;
    let Some(desired) = connect::desired(&settings) else { return Ok(ExitCode::FAILURE) };
    super::runtime()?.block_on(async {
        let stop = signals::stop_on_signals()?;
        let client = connect::client(&settings, &Surroundings::of_process())?;
        let revision = desired.revision.clone();
        let planned = tokio::select! {
            planned = plan_fleet(desired, Arc::new(client), settings.limits.max_in_flight) => planned,
            () = stop.cancelled() => anyhow::bail!("stopped before the plan was made"),
        };
        let fleet = FleetPlan::new(&revision, planned);
        output::data(&fleet.render(args.output))?;
        Ok(if args.detailed_exitcode { fleet.detailed_exit_code() } else { ExitCode::SUCCESS })
    })
}
