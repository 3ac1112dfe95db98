//! A sample fleet's way off keys, its drift and the way back of one workspace, on a simulated cloud in this process.
//!
//! The daemon is that of `run`, from settings in a file and over loopback HTTP; [`story`] only turns what people turn:
//! a key in the portal, a file in Git. [`picture`] reads the true state, [`progress`] and [`table`] print.

mod picture;
mod progress;
mod story;
mod table;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use keyless_arm::clock::{Clock as _, SystemClock};
use keyless_arm::credential::Surroundings;
use keyless_controller::event::{Collected, Event, Level, Sink};
use keyless_controller::status::Status;
use keyless_sim::desired_files::{self, Credential, WriteOptions};
use keyless_sim::{ClockMode, SimOptions, Simulator, World, fleet};
use serde::Serialize;
use serde_json::Value;
use tokio::sync::broadcast;
use tokio_util::sync::CancellationToken;

use crate::daemon::Daemon;
use crate::output;
use crate::settings::{Overrides, Settings};

use self::picture::Picture;
use self::progress::Progress;
use self::story::Story;

/// By what delays are divided: ten minutes pass in a second.
const SPEED: f64 = 600.0;

/// How many events may wait for the printer before the oldest is lost; the report has all of them in any case.
const EVENTS: usize = 4096;

/// What `--report` writes.
#[derive(Serialize)]
struct Report {
    world: Value,
    oracle: Value,
    requests: Value,
    events: Vec<Event>,
}

/// Runs the demonstration; true if everything converged and nobody was denied.
pub(crate) async fn run(seed: u64, report: Option<&Path>, stop: CancellationToken) -> anyhow::Result<bool> {
    let began = Instant::now();
    if let Some(path) = report {
        // Before half a minute is spent, not after it.
        let opened = std::fs::File::options().create(true).write(true).truncate(false).open(path);
        opened.with_context(|| format!("cannot write `{}`", path.display()))?;
    }
    let folder = tempfile::tempdir().context("cannot make a temporary folder")?;
    let now = SystemClock.now();
    let fleet = fleet::generate_demo(seed, now);
    let (world, _) = World::from_resources(fleet.resources.iter().cloned());
    let options = SimOptions { speed: SPEED, seed, clock: ClockMode::Wall, ..SimOptions::default() };
    let simulator = Arc::new(Simulator::new(world, &options)?);
    let cloud_stop = CancellationToken::new();
    let cloud = keyless_sim::serve(Arc::clone(&simulator), &options, cloud_stop.clone()).await?;
    let ready = cloud.ready();
    let write = WriteOptions {
        resource_manager: ready.resource_manager.clone(),
        authority: ready.authority.clone(),
        scope: format!("{}/.default", ready.resource_manager),
        ca_file: None,
        credential: Credential::ManagedIdentity,
        speed: SPEED,
    };
    desired_files::write(&fleet, folder.path(), &write).context("cannot write the sample fleet's files")?;
    let surroundings = Surroundings {
        variables: BTreeMap::from([
            ("IDENTITY_ENDPOINT".to_owned(), ready.identity_endpoint.clone()),
            ("IDENTITY_HEADER".to_owned(), ready.identity_header.reveal().to_owned()),
        ]),
        azure_cli_profile: false,
    };

    let collected = Arc::new(Collected::new(Level::Info));
    let (live, heard) = broadcast::channel(EVENTS);
    let sink: Arc<dyn Sink> =
        Arc::new(vec![Arc::clone(&collected) as Arc<dyn Sink>, Arc::new(live.clone()) as Arc<dyn Sink>]);
    let status = Arc::new(Status::default());
    let settings = Settings::load(&folder.path().join("keyless.yaml"), &Overrides::default())?;
    let client = crate::connect::client(&settings, &surroundings)?;
    let daemon = Daemon::new(settings, client, sink, Arc::clone(&status), seed).await?;

    let before = Picture::of(&simulator.world_json());
    let progress = Progress::new(began);
    progress.heading(&format!(
        "{} workspaces, hubs and projects on {} storage accounts; everybody at work. Time is {SPEED} times shorter: \
         ten minutes pass in a second. Status page: http://{}/",
        before.workspaces.len(),
        before.accounts.len(),
        daemon.address()?
    ));
    let printer = tokio::spawn(progress.clone().follow(heard, Arc::clone(&status)));
    let daemon = tokio::spawn(daemon.run(stop.clone()));
    let story = Story {
        simulator: Arc::clone(&simulator),
        status,
        events: Arc::clone(&collected),
        desired: folder.path().join("desired"),
        progress: progress.clone(),
        stop: stop.clone(),
    };
    let told = story.tell(&before).await;

    stop.cancel();
    // The daemon's own failure is the cause of whatever the story missed.
    let stopped = daemon.await.context("the loop failed")?.context("the loop failed");
    drop(live);
    printer.abort();
    progress.finish();
    let (after, oracle) = (simulator.world_json(), simulator.oracle());
    let events = collected.events();
    if let Some(path) = report {
        let requests = serde_json::to_value(simulator.requests())?;
        let all =
            Report { world: after.clone(), oracle: serde_json::to_value(&oracle)?, requests, events: events.clone() };
        std::fs::write(path, serde_json::to_vec_pretty(&all)?)
            .with_context(|| format!("cannot write `{}`", path.display()))?;
    }
    cloud_stop.cancel();
    cloud.stopped().await;
    let _settled = stopped?;

    output::data(&table::render(&before, &Picture::of(&after), &events))?;
    let denied = oracle.denied.entitled + oracle.denied.key_users;
    output::data(&format!(
        "\n{} tries by everybody at work, {denied} denied; {:.0} s that stand for {}\n",
        oracle.tries,
        began.elapsed().as_secs_f64(),
        humantime::format_duration(Duration::from_secs((began.elapsed().as_secs_f64() * SPEED / 60.0) as u64 * 60)),
    ))?;
    for event in &oracle.events {
        output::data(&format!("denied: {} at {}: {}\n", event.principal, event.account, event.cause))?;
    }
    told?;
    Ok(denied == 0)
}
