//! `keyless why`: effective access of one principal to one workspace's data, with the way it comes by.

use std::process::ExitCode;
use std::sync::Arc;

use keyless_arm::credential::Surroundings;
use keyless_controller::why::{why as ask, workspace_called};

use crate::cli::WhyArgs;
use crate::render::why::{exit_code, render};
use crate::{connect, output, signals};

pub(super) fn why(args: &WhyArgs) -> anyhow::Result<ExitCode> {
    let (settings, _lines) = connect::settings(&args.config)?;
    let Some(desired) = connect::desired(&settings) else { return Ok(ExitCode::FAILURE) };
    let workspace = workspace_called(&desired, &args.workspace)?;
    super::block_on(async {
        let stop = signals::stop_on_signals()?;
        let client = connect::client(&settings, &Surroundings::of_process())?;
        let answer = tokio::select! {
            answer = ask(desired, Arc::new(client), &workspace, &args.principal) => answer?,
            () = stop.cancelled() => anyhow::bail!("stopped before there was an answer"),
        };
        output::data(&render(&answer, args.output))?;
        Ok(exit_code(&answer))
    })
}
