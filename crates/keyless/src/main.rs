//! The keyless binary: takes cloud ML platforms off storage keys.
//!
//! `main` reads the command line, starts what every command needs, runs one command and tells its exit status.

mod cli;
mod commands;
mod connect;
mod daemon;
mod demo;
mod logging;
mod metrics;
mod output;
mod render;
mod server;
mod settings;
mod signals;

use std::process::ExitCode;

use clap::Parser as _;

use crate::cli::Cli;

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(help) => {
            // Nothing is left to do if the terminal is gone.
            let _ = help.print();
            return if help.use_stderr() { ExitCode::FAILURE } else { ExitCode::SUCCESS };
        }
    };
    for name in cli::unknown_variables(std::env::vars_os().map(|(name, _)| name)) {
        output::remark(&format!(
            "warning: keyless knows no environment variable `{name}`; `keyless run --help` names all"
        ));
    }
    if rustls::crypto::ring::default_provider().install_default().is_err() {
        output::error("a TLS provider is installed already");
        return ExitCode::FAILURE;
    }
    commands::run(cli.command).unwrap_or_else(|error| {
        output::error(&format!("{error:#}"));
        ExitCode::FAILURE
    })
}
