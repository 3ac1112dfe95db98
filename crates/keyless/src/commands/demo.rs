//! `keyless demo`: the product on a simulated cloud, in half a minute.

use std::process::ExitCode;

use crate::cli::DemoArgs;
use crate::settings::{LogFormat, LogLevel};
use crate::{demo, logging, output, signals};

pub(super) fn demo(args: &DemoArgs) -> anyhow::Result<ExitCode> {
    // The story is told from the events; log lines beside it would only repeat it.
    let _lines = logging::start(LogFormat::Text, LogLevel::Error);
    super::block_on(async {
        let stop = signals::stop_on_signals()?;
        if demo::run(args.seed, args.report.as_deref(), stop).await? {
            return Ok(ExitCode::SUCCESS);
        }
        output::error("somebody was denied access");
        Ok(ExitCode::FAILURE)
    })
}
