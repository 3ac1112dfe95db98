//! The command line: words, flags and their help.

mod variables;
mod ways_in;

use std::num::IntErrorKind;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::render::Output;
use crate::render::why::WhyOutput;
use crate::settings::{Overrides, parse_duration};

pub(crate) use self::variables::unknown_variables;
pub(crate) use self::ways_in::{AdoptArgs, ImportArgs, Summary};

/// Takes cloud ML platforms off storage keys, without an outage.
#[derive(Debug, Parser)]
#[command(
    name = "keyless",
    version,
    max_term_width = 100,
    subcommand_required = true,
    arg_required_else_help = false,
    long_about = "Takes Azure Machine Learning workspaces and Foundry hubs off storage-account keys, without an outage.\n\n\
        Files say which workspaces are to use identity-based access, and who needs their data. keyless grants what is \
        missing, waits until the grants work, switches the workspaces, makes sure that nobody signs with the key any \
        more, and only then turns the key off. It keeps watching, and it can take all of it back.\n\n\
        To see all of that in half a minute, on a simulated cloud:\n\n  keyless demo"
)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Reconcile for ever: the daemon
    #[command(long_about = "Reconcile for ever: reads the desired state, observes Azure, takes one safe step at a \
        time, and announces drift. Stops within 10 seconds of SIGTERM or SIGINT. \
        Changed files of desired state are noticed, best replaced whole by a rename; settings are read at the start alone. SIGHUP reads nothing again: it ends \
        the process at once, as a crash would, and the next start waits.\n\n\
        It changes only workspaces whose files say `enforcement: enforce`.\n\nExample:\n\n  \
        keyless run --config config/keyless.yaml")]
    Run(RunArgs),
    /// Print what `run` would do, and what it waits for
    #[command(
        long_about = "Print what `run` would do, step by step, with each gate: open, waiting until when, or shut \
        and what would lift it. Nothing is written to Azure.\n\nExit status: 0, or 1 on an error, \
        such as that nothing could be read. With `--detailed-exitcode` 0 means nothing to do, 2 changes, 3 blocked, 1 an error.\n\nExample:\n\n  \
        keyless plan --config config/keyless.yaml --output markdown > plan.md"
    )]
    Plan(PlanArgs),
    /// Tell why somebody has, or has not, access to a workspace's data
    #[command(
        long_about = "Tell why a principal has, or has not, access to the data of a workspace: each need that the \
        files state for it, whether it is effective and since when, the grants it comes from with group, scope and \
        condition, missing data actions, denials, roles that could be activated, and what would lift it. For somebody \
        whom the files do not name, each level and scenario of the catalog. Nothing is written to Azure.\n\n\
        Exit status: 0 if every need is effective, or any level or scenario for somebody whom the files do not name, 2 if \
        not, 1 on an error or where it cannot be told.\n\nExamples:\n\n  \
        keyless why data-scientists fraud-train --config config/keyless.yaml\n  \
        keyless why 4d2c8a1e-6b3f-4e57-9c0d-1f2a3b4c5d6e fraud-train --output json"
    )]
    Why(WhyArgs),
    /// Converge as far as open gates allow, then exit
    #[command(long_about = "Converge as far as open gates allow, then print what is left and exit. With `--wait` it \
        stays that long for gates that open by themselves.\n\nIt always sits out the wait after start, because a write \
        of a process that died may still land, and it never writes beside a running daemon with the same \
        `stateDir`.\n\nExit status: 0 nothing left, 2 changes left, 3 blocked, 1 an error.\n\nExample:\n\n  \
        keyless apply --config config/keyless.yaml --wait 30m")]
    Apply(ApplyArgs),
    /// Check desired state offline, for pull requests
    #[command(long_about = "Check files of desired state without asking Azure anything. Each problem is one line on \
        stdout, `PATH:LINE:COLUMN: message`, all problems of all files in one run. Exit status 1 if there is any.\n\n\
        Example:\n\n  keyless validate desired/")]
    Validate(ValidateArgs),
    /// Print the JSON Schema of desired state, for editors
    #[command(long_about = "Print the JSON Schema (draft 2020-12) of one kind of document, or of all.\n\n\
        Example:\n\n  keyless schema Workspace > workspace.schema.json")]
    Schema(SchemaArgs),
    /// Write desired state from what exists, in observe mode
    #[command(
        long_about = "Write desired state from what exists: every workspace, hub and project with the mode it has \
        now, and with everybody whose roles let them at its data, in the words of the catalog. A plan of these files \
        changes nothing. Comments at the head of each file say what a switch would break today: who reaches the data \
        through the key alone, who uses the key, which locks bar the way, who else is on the account.\n\n\
        Nothing is written to Azure.\n\nExit status: 0, 3 if something could not be read (the files and stderr say \
        what), 1 on an error.\n\nExample:\n\n  \
        keyless adopt --config keyless.yaml --subscription 3f8c1d7a-52b4-4c0e-9d2e-7a1b6c5d4e90 \
        --owner ml-platform-prod --out desired"
    )]
    Adopt(AdoptArgs),
    /// Turn files of other tools into desired state
    #[command(long_about = "Turn files of other tools into desired state, offline: YAML of `az ml workspace`, ARM \
        templates (JSON) with workspaces, storage accounts and role assignments, files of parameters, and bodies of \
        requests. The documents go to stdout or to `--out`; what has no word there goes to stderr as a warning.\n\n\
        Expressions are evaluated where their value follows from the files and the flags; any other is a problem with \
        its place. All problems are told in one run, and then nothing is written: exit status 1.\n\nExample:\n\n  \
        keyless import workspace.yml --subscription 3f8c1d7a-52b4-4c0e-9d2e-7a1b6c5d4e90 --resource-group rg-ml")]
    Import(ImportArgs),
    /// Run the simulated cloud alone
    #[command(long_about = "Run the simulated cloud alone: resource manager, token endpoints, metrics and people at \
        work, on this machine. Real clients can use it. When it is ready it prints one line of JSON on stdout, with \
        its addresses and credentials, and then serves until it is stopped.\n\n\
        `--faults FILE` makes things go wrong, by rules in JSON: {\"until\": \"2h\", \"rules\": [{\"operation\": \
        \"PATCH /…/workspaces/{}\", \"fault\": \"resetAfter\", \"calls\": [1, 4]}]}. `operation` is a method and the \
        ending of a path template as `GET /sim/requests` shows them, `token`, or `*`. A rule strikes always, with a \
        `probability`, or at these `calls`; `times`, `timesPerResource`, `after` and `until` bound it. Spans pass \
        `--speed` times faster, like all others. deploy/README.md lists the faults. `--faults full` has all of them, \
        for six hours.\n\n\
        Example, in two terminals:\n\n  \
        keyless sim --workspaces 20 --seed 7 --speed 600 --write-desired /tmp/fleet\n  \
        IDENTITY_ENDPOINT=… IDENTITY_HEADER=… keyless run --config /tmp/fleet/keyless.yaml")]
    Sim(SimArgs),
    /// See a sample fleet go off keys, drift and be corrected, in half a minute
    #[command(long_about = "Starts a simulated cloud and the loop of `run` in one process. A sample fleet goes off \
        keys while its people keep working; someone turns a key back on, which is noticed and corrected; one \
        workspace is taken back to keys. Exit status 0 only if all of it converged and nobody was denied.\n\n\
        Nothing outside of this process is touched.\n\nExample:\n\n  keyless demo --seed 7 --report report.json")]
    Demo(DemoArgs),
    /// Print a completion script for a shell
    #[command(long_about = "Print a completion script.\n\nExample:\n\n  \
        keyless completions bash > ~/.local/share/bash-completion/completions/keyless")]
    Completions(CompletionsArgs),
}

/// The settings file and what outranks it.
#[derive(Debug, Clone, Args)]
pub(crate) struct ConfigArgs {
    /// The settings file
    #[arg(long, short, env = "KEYLESS_CONFIG", value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) overrides: Overrides,
}

/// `keyless run`
#[derive(Debug, Args)]
pub(crate) struct RunArgs {
    #[command(flatten)]
    pub(crate) config: ConfigArgs,
}

/// `keyless plan`
#[derive(Debug, Args)]
pub(crate) struct PlanArgs {
    #[command(flatten)]
    pub(crate) config: ConfigArgs,
    /// The form of the plan
    #[arg(long, short, value_enum, default_value_t = Output::Text)]
    pub(crate) output: Output,
    /// Exit with 0 for nothing to do, 2 for changes, 3 for blocked, 1 for an error
    #[arg(long)]
    pub(crate) detailed_exitcode: bool,
    /// Ask the activity log who last wrote what differs: a request for each such account, workspace and datastore
    #[arg(long)]
    pub(crate) who: bool,
}

/// `keyless why`
#[derive(Debug, Args)]
pub(crate) struct WhyArgs {
    /// An object id, or what the files call a principal: the name of a user, group or service principal, a compute, a
    /// managed identity, or `system` for the workspace's own identity
    #[arg(value_name = "PRINCIPAL")]
    pub(crate) principal: String,
    /// The name of a declared workspace, or the id of any
    #[arg(value_name = "WORKSPACE")]
    pub(crate) workspace: String,
    #[command(flatten)]
    pub(crate) config: ConfigArgs,
    /// The form of the answer
    #[arg(long, short, value_enum, default_value_t = WhyOutput::Text)]
    pub(crate) output: WhyOutput,
}

/// `keyless apply`
#[derive(Debug, Args)]
pub(crate) struct ApplyArgs {
    #[command(flatten)]
    pub(crate) config: ConfigArgs,
    /// How long to wait for gates that open by themselves
    #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
    pub(crate) wait: Option<Duration>,
    /// The form in which what is left is printed
    #[arg(long, short, value_enum, default_value_t = Output::Text)]
    pub(crate) output: Output,
    /// Ask the activity log who last wrote what still differs
    #[arg(long)]
    pub(crate) who: bool,
}

/// `keyless validate`
#[derive(Debug, Args)]
pub(crate) struct ValidateArgs {
    /// Files and directories; each is a part of one desired state
    #[arg(required = true, value_name = "PATH")]
    pub(crate) paths: Vec<PathBuf>,
}

/// `keyless schema`
#[derive(Debug, Args)]
pub(crate) struct SchemaArgs {
    /// `Workspace`, `StorageAccount`, `AccessProfile` or `Fleet`; all of them if left out
    #[arg(value_name = "KIND", value_parser = |text: &str| text.parse::<keyless_core::manifest::Kind>())]
    pub(crate) kind: Option<keyless_core::manifest::Kind>,
}

/// Which clock the simulated cloud follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum SimClock {
    /// The wall's.
    Wall,
    /// Its own, which stands until `POST /sim/advance`.
    Simulated,
}

/// `keyless sim`
#[derive(Debug, Clone, Args)]
pub(crate) struct SimArgs {
    /// Where to listen; port 0 picks one
    #[arg(long, value_name = "HOST:PORT", default_value = "127.0.0.1:0")]
    pub(crate) listen: String,
    /// How many workspaces, hubs and projects there are, at most 100,000 [default: 20, or 0 with --world]
    #[arg(long, value_name = "N", value_parser = parse_fleet_size)]
    pub(crate) workspaces: Option<usize>,
    /// The fleet, its people and every delay follow from it
    #[arg(long, value_name = "SEED", default_value_t = 1)]
    pub(crate) seed: u64,
    /// Write desired files and settings for this fleet there: `DIR/desired/`, `DIR/keyless.yaml`
    #[arg(long, value_name = "DIR")]
    pub(crate) write_desired: Option<PathBuf>,
    /// How many times faster than life delays pass
    #[arg(long, value_name = "X", default_value_t = 1.0)]
    pub(crate) speed: f64,
    /// How old a write is before the activity log shows it; `--speed` divides it [default: 2m]
    #[arg(long, value_name = "DURATION", value_parser = parse_lag)]
    pub(crate) activity_lag: Option<Duration>,
    /// Load a JSON array of resources in the resource manager's own shape, or a folder of recorded answers
    #[arg(long, value_name = "FILE")]
    pub(crate) world: Option<PathBuf>,
    /// Serve HTTPS, with a certificate of its own authority
    #[arg(long)]
    pub(crate) tls: bool,
    /// Which clock the simulated cloud follows
    #[arg(long, value_enum, default_value_t = SimClock::Wall)]
    pub(crate) clock: SimClock,
    /// What goes wrong: a file of rules, or `full` for every kind of fault, bounded
    #[arg(long, value_name = "FILE|full")]
    pub(crate) faults: Option<String>,
    /// Which requests the faults strike follows from it [default: the file's `seed`, or --seed]
    #[arg(long, value_name = "SEED", requires = "faults")]
    pub(crate) faults_seed: Option<u64>,
    /// Write every request and its answer there, a line of JSON each; tokens and secrets are blanked
    #[arg(long, value_name = "FILE")]
    pub(crate) record: Option<PathBuf>,
}

/// More would not fit into the memory of a machine as people have: 100,000 take gigabytes.
const LARGEST_FLEET: usize = 100_000;

fn parse_fleet_size(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(count) if count <= LARGEST_FLEET => Ok(count),
        Err(error) if *error.kind() != IntErrorKind::PosOverflow => {
            Err(format!("`{text}` is not a number of workspaces"))
        }
        Ok(_) | Err(_) => Err(format!("`{text}` is too many: at most {LARGEST_FLEET} are simulated")),
    }
}

/// Longer than anything that Azure keeps, and still a time that a clock can add.
const LONGEST_LAG: Duration = Duration::from_secs(400 * 24 * 60 * 60);

fn parse_lag(text: &str) -> Result<Duration, String> {
    match humantime::parse_duration(text) {
        Ok(lag) if lag <= LONGEST_LAG => Ok(lag),
        Ok(_) => Err(format!("`{text}` is too long: it must be at most 400 days")),
        Err(error) => Err(format!("`{text}` is not a duration such as `90s` or `15m`: {error}")),
    }
}

/// `keyless demo`
#[derive(Debug, Args)]
pub(crate) struct DemoArgs {
    /// The fleet's people, grants and hidden key user follow from it
    #[arg(long, value_name = "SEED", default_value_t = 7)]
    pub(crate) seed: u64,
    /// Write the final world, the record of denied accesses, the requests and the events there
    #[arg(long, value_name = "FILE")]
    pub(crate) report: Option<PathBuf>,
}

/// `keyless completions`
#[derive(Debug, Args)]
pub(crate) struct CompletionsArgs {
    /// The shell
    #[arg(value_enum)]
    pub(crate) shell: clap_complete::Shell,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_well_formed() {
        Cli::command().debug_assert();
    }

    #[test]
    fn a_fleet_that_no_memory_holds_is_refused() {
        let sim =
            |count: &str| Cli::try_parse_from(["keyless", "sim", "--workspaces", count]).map_err(|e| e.to_string());
        for (count, why) in [
            ("100001", "at most 100000"),
            ("4000000000", "at most 100000"),
            ("99999999999999999999999", "at most 100000"),
            ("many", "not a number"),
        ] {
            let refused = sim(count).unwrap_err();
            assert!(refused.contains(why), "{refused}");
        }
        assert!(sim("100000").is_ok());
        let lag = Cli::try_parse_from(["keyless", "sim", "--activity-lag", "580000000000y"]).unwrap_err().to_string();
        assert!(lag.contains("at most 400 days"), "{lag}");
    }

    #[test]
    fn every_command_explains_itself_with_an_example() {
        for command in Cli::command().get_subcommands() {
            let long = command.get_long_about().map(ToString::to_string).unwrap_or_default();
            assert!(long.contains("Example"), "{} has no example", command.get_name());
        }
    }
}
