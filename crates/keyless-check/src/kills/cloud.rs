//! A simulated cloud on loopback, and the files that lead a daemon to it and take its fleet there and back.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use jiff::Timestamp;
use keyless_sim::desired_files::{self, Credential, WriteOptions};
use keyless_sim::{Fault, FaultRule, Faults, Meanwhile, ReadyLine, Recording, SimOptions, Simulator, World, fleet};
use serde_json::Value;
use tempfile::TempDir;
use tokio::runtime::Runtime;
use tokio_util::sync::CancellationToken;

use super::record::{Record, text_in};

/// `lateWrite` of the simulator's files at the pace of life.
const LATE_WRITE: Duration = Duration::from_secs(300);

/// How often accounts and files are looked at.
pub(crate) const INTERVAL: Duration = Duration::from_millis(250);

/// What the files ask of the whole fleet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    /// Off keys.
    Forward,
    /// Back to them.
    Back,
}

impl Way {
    /// The other one.
    pub(crate) fn other(self) -> Self {
        match self {
            Self::Forward => Self::Back,
            Self::Back => Self::Forward,
        }
    }
}

/// The cloud and its files.
pub(crate) struct Cloud {
    pub(crate) sim: Arc<Simulator>,
    pub(crate) ready: ReadyLine,
    pub(crate) record: Record,
    folder: TempDir,
    speed: f64,
    recording: Recording,
    stop: CancellationToken,
    _runtime: Runtime,
}

impl Cloud {
    /// Brings up a cloud with this many workspaces. `faults` go wrong in it.
    ///
    /// # Errors
    /// If it cannot be served.
    pub(crate) fn start(workspaces: usize, seed: u64, speed: f64, faults: Faults) -> anyhow::Result<Self> {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
        let mut options = SimOptions { speed, seed, ..SimOptions::default() };
        options.knobs.faults = faults.seed(seed);
        let (empty, _) = World::from_resources(Vec::new());
        // By the clock that it will have.
        let now = Simulator::new(empty, &options)?.now();
        let fleet = fleet::generate(workspaces, seed, now);
        let (world, ignored) = World::from_resources(fleet.resources.clone());
        ensure!(ignored == 0, "{ignored} entries of the fleet mean nothing to the simulator");
        let sim = Arc::new(Simulator::new(world, &options)?);
        let record = Record::default();
        let recording = sim.record_to(record.sink())?;
        let stop = CancellationToken::new();
        let server = runtime.block_on(keyless_sim::serve(Arc::clone(&sim), &options, stop.clone()))?;
        let ready = server.ready().clone();
        runtime.spawn(server.stopped());
        let memory = std::path::Path::new("/dev/shm");
        let folder = if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() };
        let folder = folder.context("a folder for the files")?;
        let write = WriteOptions {
            resource_manager: ready.resource_manager.clone(),
            authority: ready.authority.clone(),
            scope: format!("{}/.default", ready.resource_manager),
            ca_file: None,
            credential: Credential::ManagedIdentity,
            speed,
        };
        desired_files::write(&fleet, folder.path(), &write).context("the files of the fleet")?;
        let cloud = Self { sim, ready, record, folder, speed, recording, stop, _runtime: runtime };
        let settings = fs::read_to_string(cloud.settings())?;
        let faster = settings.replace("interval: 1s", &format!("interval: {}ms", INTERVAL.as_millis()));
        ensure!(faster != settings, "the settings have no interval");
        fs::write(cloud.settings(), faster)?;
        Ok(cloud)
    }

    /// The settings file.
    pub(crate) fn settings(&self) -> PathBuf {
        self.folder.path().join("keyless.yaml")
    }

    /// The state directory.
    pub(crate) fn state(&self) -> PathBuf {
        self.folder.path().join("state")
    }

    /// Whether the mark that all writes are settled is set.
    pub(crate) fn is_settled(&self) -> bool {
        self.state().join("settled").is_file()
    }

    /// `lateWrite` as it passes here.
    pub(crate) fn late_write(&self) -> Duration {
        LATE_WRITE.div_f64(self.speed)
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.sim.now()
    }

    /// The files of the desired state, ordered by name.
    pub(crate) fn files(&self) -> anyhow::Result<Vec<PathBuf>> {
        let entries = fs::read_dir(self.folder.path().join("desired"))?;
        let mut paths = entries.map(|entry| Ok(entry?.path())).collect::<anyhow::Result<Vec<PathBuf>>>()?;
        paths.sort();
        Ok(paths)
    }

    /// Has the files ask for it.
    ///
    /// # Errors
    /// If they cannot be written.
    pub(crate) fn ask(&self, way: Way) -> anyhow::Result<()> {
        let (from, to) = match way {
            Way::Forward => ("authMode: accesskey", "authMode: identity"),
            Way::Back => ("authMode: identity", "authMode: accesskey"),
        };
        for path in self.files()? {
            let text = fs::read_to_string(&path)?;
            fs::write(&path, text.replace(from, to))?;
        }
        let mut accounts = String::new();
        for (number, account) in self.of_type("Microsoft.Storage/storageAccounts").iter().enumerate() {
            let id = text_in(account, "/id").unwrap_or_default();
            write!(
                accounts,
                "---\napiVersion: keyless.dev/v1\nkind: StorageAccount\nmetadata: {{name: account-{number}}}\nspec:\n  \
                 resourceId: {id}\n  sharedKeyAccess: enabled\n"
            )?;
        }
        // As comments they ask for nothing, and the file does not get shorter, which has to stand for much longer.
        let text = if way == Way::Back { accounts } else { accounts.replace('\n', "\n# ").replacen("---", "# -", 1) };
        fs::write(self.folder.path().join("desired/accounts.yaml"), text)?;
        Ok(())
    }

    /// Whether the world is as it asks.
    pub(crate) fn is_reached(&self, way: Way) -> bool {
        let keys = self.of_type("Microsoft.Storage/storageAccounts");
        let keys = keys.iter().all(|account| {
            let off = account.pointer("/properties/allowSharedKeyAccess") == Some(&Value::Bool(false));
            off == (way == Way::Forward)
        });
        let mode = if way == Way::Forward { "identity" } else { "accesskey" };
        let workspaces = self.of_type("Microsoft.MachineLearningServices/workspaces");
        keys && workspaces.iter().all(|workspace| {
            let is = text_in(workspace, "/properties/systemDatastoresAuthMode");
            is.is_some_and(|is| is.eq_ignore_ascii_case(mode))
        })
    }

    /// Everything of a type that there is.
    pub(crate) fn of_type(&self, kind: &str) -> Vec<Value> {
        let Value::Array(world) = self.sim.world_json() else { return Vec::new() };
        let is = |entry: &Value| text_in(entry, "/type").is_some_and(|of| of.eq_ignore_ascii_case(kind));
        world.into_iter().filter(is).collect()
    }

    /// The grants that a daemon made, by scope, principal and role, one for each time that there is such a one.
    pub(crate) fn own_grants(&self) -> Vec<String> {
        let grants = self.of_type("Microsoft.Authorization/roleAssignments");
        let own = grants
            .iter()
            .filter(|grant| text_in(grant, "/properties/description").is_some_and(|text| text.contains("keyless")));
        let words = own.map(|grant| {
            let of = |name: &str| text_in(grant, &format!("/properties/{name}")).unwrap_or_default().to_lowercase();
            format!("{} {} {}", of("scope"), of("principalId"), of("roleDefinitionId"))
        });
        words.collect()
    }

    /// On which account each workspace stands, projects by their hub; all in lower case.
    pub(crate) fn account_of(&self) -> BTreeMap<String, String> {
        let workspaces = self.of_type("Microsoft.MachineLearningServices/workspaces");
        let text = |value: &Value, pointer: &str| text_in(value, pointer).unwrap_or_default().to_lowercase();
        let own = workspaces.iter().map(|one| (text(one, "/id"), text(one, "/properties/storageAccount")));
        let own: BTreeMap<String, String> = own.filter(|(_, account)| !account.is_empty()).collect();
        let of = |one: &Value| {
            let (id, hub) = (text(one, "/id"), text(one, "/properties/hubResourceId"));
            let account = own.get(&id).or_else(|| own.get(&hub))?.clone();
            Some((id, account))
        };
        workspaces.iter().filter_map(of).collect()
    }

    /// Ends it and hands out the whole record.
    pub(crate) fn end(self) -> Record {
        self.recording.finish();
        self.stop.cancel();
        self.record
    }
}

/// Answers that never come, and writes that land when four fifths of `lateWrite` are over.
pub(crate) fn late_writes() -> Faults {
    let by = LATE_WRITE.mul_f64(0.8);
    let faults = [
        Fault::Late { by, then: Meanwhile::Reset },
        Fault::Late { by, then: Meanwhile::GatewayTimeout },
        Fault::ResetAfter,
        Fault::ResetBefore,
    ];
    let written = [
        ("PATCH", "/workspaces/{}"),
        ("PATCH", "/storageAccounts/{}"),
        ("PUT", "/roleAssignments/{}"),
        ("DELETE", "/roleAssignments/{}"),
    ];
    let rules = written.iter().flat_map(|&(method, operation)| {
        faults.clone().map(|fault| FaultRule::new(method, operation, fault).chance(0.06))
    });
    Faults::new(rules)
}
