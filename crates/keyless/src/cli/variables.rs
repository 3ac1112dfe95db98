//! Environment variables that look like settings and are none: most likely a typing error.

use std::collections::BTreeSet;
use std::ffi::OsString;

use clap::CommandFactory as _;

use super::Cli;

/// What all variables begin with.
const OURS: &str = "KEYLESS_";

/// Kubernetes makes variables of these forms in every container beside a service that is called `keyless`.
/// Source: <https://kubernetes.io/docs/concepts/services-networking/service/#environment-variables>.
const OF_A_SERVICE: [&str; 2] = ["KEYLESS_SERVICE_", "KEYLESS_PORT"];

/// The names among these that begin as settings do and that no flag has.
pub(crate) fn unknown_variables(names: impl Iterator<Item = OsString>) -> Vec<String> {
    let mut known = BTreeSet::new();
    let mut commands = vec![Cli::command()];
    while let Some(command) = commands.pop() {
        known.extend(command.get_arguments().filter_map(|flag| flag.get_env()).map(OsString::from));
        commands.extend(command.get_subcommands().cloned());
    }
    names
        .filter(|name| !known.contains(name))
        .filter_map(|name| name.into_string().ok())
        .filter(|name| name.starts_with(OURS) && !OF_A_SERVICE.iter().any(|form| name.starts_with(form)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_looks_like_a_setting_and_is_none_is_named() {
        let names = ["KEYLESS_INTERVAL", "KEYLESS_INTERVALL", "KEYLESS_SERVICE_HOST", "KEYLESS_PORT_8080_TCP", "PATH"];
        assert_eq!(unknown_variables(names.map(OsString::from).into_iter()), ["KEYLESS_INTERVALL"]);
    }
}
