//! `keyless sim`: the simulated cloud alone, for other processes on this machine.

use std::fs::TryLockError;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context as _;
use keyless_arm::clock::{Clock as _, SystemClock};
use keyless_arm::small_file;
use keyless_sim::desired_files::{self, Credential, WriteOptions};
use keyless_sim::fleet::{self, Fleet};
use keyless_sim::{ClockMode, Faults, ReadyLine, Recording, SimOptions, Simulator, World, load};
use serde_json::Value;

use crate::cli::{SimArgs, SimClock};
use crate::settings::{LogFormat, LogLevel};
use crate::{logging, output, signals};

/// How many workspaces there are if nobody says.
const WORKSPACES: usize = 20;

/// How many bytes the files of a world have together at most: in memory they take several times as much.
const LARGEST_WORLD: u64 = 256 << 20;

/// The longest file of faults, in bytes.
const MOST_FAULTS: u64 = 1 << 20;

pub(super) fn sim(args: SimArgs) -> anyhow::Result<ExitCode> {
    let _lines = logging::start(LogFormat::Text, LogLevel::Info);
    super::block_on(serve(args))
}

/// A world that nobody is served yet.
struct Made {
    fleet: Fleet,
    simulator: Arc<Simulator>,
    options: SimOptions,
    recording: Option<Recording>,
}

async fn serve(args: SimArgs) -> anyhow::Result<ExitCode> {
    let stop = signals::stop_on_signals()?;
    let (dir, speed) = (args.write_desired.clone(), args.speed);
    // A large world takes a while, and a file may take for ever.
    let making = tokio::task::spawn_blocking(move || make(&args));
    let Made { fleet, simulator, options, recording } = tokio::select! {
        made = making => made.context("the world could not be made")??,
        () = stop.cancelled() => anyhow::bail!("stopped before the world was made"),
    };
    let server = keyless_sim::serve(simulator, &options, stop.clone()).await?;
    let ready = server.ready().clone();
    if let Some(dir) = dir {
        let writing = tokio::task::spawn_blocking(move || write_desired(&fleet, &dir, &ready, speed));
        tokio::select! {
            written = writing => written.context("the desired state could not be written")??,
            () = stop.cancelled() => anyhow::bail!("stopped before the desired state was written"),
        }
    }
    output::data(&format!("{}\n", serde_json::to_string(server.ready())?))?;
    server.stopped().await;
    drop(recording);
    Ok(ExitCode::SUCCESS)
}

fn make(args: &SimArgs) -> anyhow::Result<Made> {
    let now = SystemClock.now();
    let mut resources = args.world.as_deref().map(load_world).transpose()?.unwrap_or_default();
    let count = args.workspaces.unwrap_or(if args.world.is_some() { 0 } else { WORKSPACES });
    let fleet = fleet::generate(count, args.seed, now);
    resources.extend(fleet.resources.iter().cloned());
    let (world, unknown) = World::from_resources(resources);
    if unknown > 0 {
        output::remark(&format!("passed over {unknown} resources of kinds that are not simulated"));
    }

    let mut options = SimOptions {
        listen: args.listen.clone(),
        tls: args.tls,
        speed: args.speed,
        seed: args.seed,
        clock: match args.clock {
            SimClock::Wall => ClockMode::Wall,
            SimClock::Simulated => ClockMode::Simulated(now),
        },
        ..SimOptions::default()
    };
    if let (Some(dir), true) = (&args.write_desired, args.tls) {
        std::fs::create_dir_all(dir).with_context(|| format!("cannot make `{}`", dir.display()))?;
        options.ca_file = Some(dir.join("ca.pem"));
    }
    if let Some(faults) = &args.faults {
        options.knobs.faults = read_faults(faults, args)?;
    }
    if let Some(lag) = args.activity_lag {
        options.knobs.activity_lag = lag;
    }
    let simulator = Arc::new(Simulator::new(world, &options)?);
    let recording = args.record.as_deref().map(|path| record(&simulator, path)).transpose()?;
    Ok(Made { fleet, simulator, options, recording })
}

/// The text of a regular file of at most `most` bytes.
fn text_of(path: &Path, most: u64) -> anyhow::Result<String> {
    let bytes = small_file::read(path, most).map_err(|why| anyhow::anyhow!("`{}` {why}", path.display()))?;
    String::from_utf8(bytes).with_context(|| format!("`{}` is not UTF-8 text", path.display()))
}

/// The profile `full`, or the rules of a file; its problems are told all at once.
fn read_faults(faults: &str, args: &SimArgs) -> anyhow::Result<Faults> {
    if faults == "full" {
        return Ok(Faults::full(args.faults_seed.unwrap_or(args.seed)));
    }
    let text = text_of(Path::new(faults), MOST_FAULTS).context("--faults")?;
    let read = Faults::parse(&text).map_err(|problems| {
        let lines: Vec<String> = problems.iter().map(|problem| format!("{faults}:{problem}")).collect();
        anyhow::anyhow!("the faults cannot be used\n{}", lines.join("\n"))
    })?;
    Ok(match args.faults_seed {
        Some(seed) => read.seed(seed),
        None => read,
    })
}

fn record(simulator: &Simulator, path: &Path) -> anyhow::Result<Recording> {
    let shown = path.display();
    let open = std::fs::File::options().write(true).create(true).truncate(false).open(path);
    let file = open.with_context(|| format!("cannot make `{shown}`"))?;
    // Two records in one file would be none. Where there are no locks, nobody can tell.
    if let Err(TryLockError::WouldBlock) = file.try_lock() {
        anyhow::bail!("another process is writing to `{shown}`");
    }
    if file.metadata().is_ok_and(|metadata| metadata.is_file()) {
        file.set_len(0).with_context(|| format!("cannot empty `{shown}`"))?;
    }
    simulator.record_to(file).context("cannot start the record")
}

/// Writes what the fleet declares, and settings that lead to this simulator.
pub(super) fn write_desired(fleet: &Fleet, dir: &Path, ready: &ReadyLine, speed: f64) -> anyhow::Result<()> {
    let tls = !ready.ca_file.is_empty();
    let options = WriteOptions {
        resource_manager: ready.resource_manager.clone(),
        authority: ready.authority.clone(),
        scope: format!("{}/.default", ready.resource_manager),
        ca_file: tls.then(|| PathBuf::from(&ready.ca_file)),
        // A managed identity's endpoint is in the environment; with TLS the files alone are enough.
        credential: if tls {
            Credential::ClientSecret {
                tenant_id: ready.tenant_id.clone(),
                client_id: ready.client_id.clone(),
                secret: ready.client_secret.reveal().to_owned(),
            }
        } else {
            Credential::ManagedIdentity
        },
        speed,
    };
    desired_files::write(fleet, dir, &options).with_context(|| format!("cannot write to `{}`", dir.display()))
}

/// Reads a world from a file, or from every JSON file of a folder.
fn load_world(path: &Path) -> anyhow::Result<Vec<Value>> {
    let mut files = Vec::new();
    json_files(path, &mut files)?;
    let mut resources = Vec::new();
    let mut ignored = 0;
    let mut left = LARGEST_WORLD;
    for file in &files {
        let text = text_of(file, left).context("--world, whose files may have 256 MiB together")?;
        left -= text.len() as u64;
        let loaded = load::parse(&text).with_context(|| format!("`{}`", file.display()))?;
        resources.extend(loaded.resources);
        ignored += loaded.ignored;
    }
    output::remark(&format!(
        "loaded {} resources from `{}`, passed over {ignored} things that are none",
        resources.len(),
        path.display()
    ));
    Ok(resources)
}

fn json_files(path: &Path, files: &mut Vec<PathBuf>) -> anyhow::Result<()> {
    if !path.is_dir() {
        files.push(path.to_owned());
        return Ok(());
    }
    let entries = std::fs::read_dir(path).with_context(|| format!("cannot read `{}`", path.display()))?;
    let mut paths = entries.map(|entry| entry.map(|entry| entry.path())).collect::<Result<Vec<_>, _>>()?;
    paths.sort();
    for path in paths {
        if path.is_dir() || path.extension().is_some_and(|extension| extension == "json") {
            json_files(&path, files)?;
        }
    }
    Ok(())
}
