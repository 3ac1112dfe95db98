//! The simulated cloud of a seed, and the files that are about it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context as _, anyhow};
use jiff::Timestamp;
use keyless_controller::source;
use keyless_core::action::Grant;
use keyless_core::desired::{Desired, PrincipalRef, Revision};
use keyless_core::id::{PrincipalId, StorageAccountId, WorkspaceId};
use keyless_core::observed::PrincipalType;
use keyless_core::{catalog, manifest};
use keyless_sim::desired_files::{self, Credential, WriteOptions};
use keyless_sim::{ClockMode, Drift, DriftChange, SimOptions, Simulator, World, fleet};
use serde_json::json;

use super::dice::Dice;
use super::draw::Draw;

/// When every run begins, by the simulator's clock.
pub(crate) fn start() -> Timestamp {
    Timestamp::from_second(1_790_000_000).unwrap_or_default()
}

/// What a run begins with.
pub(crate) struct Made {
    pub(crate) sim: Arc<Simulator>,
    /// What the files ask at first.
    pub(crate) desired: Desired,
}

/// Makes the cloud and the files; needs a runtime, whose clock the cloud follows. `folder` is for the files.
///
/// # Errors
/// If what was made is not accepted.
pub(crate) fn make(draw: &Draw, folder: &Path) -> anyhow::Result<Made> {
    let fleet = fleet::generate(draw.workspaces, draw.seed, start());
    let options = WriteOptions {
        resource_manager: "https://management.azure.com".to_owned(),
        authority: "https://login.microsoftonline.com".to_owned(),
        scope: "https://management.azure.com/.default".to_owned(),
        ca_file: None,
        credential: Credential::ManagedIdentity,
        speed: 1.0,
    };
    desired_files::write(&fleet, folder, &options).context("the files of the fleet")?;
    let path = folder.join("desired");
    let accepted = manifest::load(&path.display().to_string(), &source::read(&path))
        .map_err(|rejected| anyhow!("the files of the fleet: {:?}", rejected.problems))?;
    let mut desired = accepted.desired;
    desired.revision = Revision("r0".to_owned());
    desired.fleet.waits = draw.waits;
    desired.fleet.fight = draw.fight;
    desired.fleet.prune = draw.prune;
    desired.fleet.data_probe = draw.data_probe;
    desired.fleet.change_windows.clone_from(&draw.windows);

    for one in desired.workspaces.values_mut() {
        one.service_grants = draw.service_grants;
    }

    let mut dice = Dice::of(draw.seed, "fleet");
    let all: Vec<WorkspaceId> = desired.workspaces.keys().cloned().collect();
    for id in all {
        if dice.between(0, 99) < draw.undeclared_percent && desired.workspaces.len() > 1 {
            desired.workspaces.remove(&id);
        }
    }

    let mut resources = fleet.resources;
    if draw.swaps || draw.clubs {
        let needs = desired.workspaces.values().flat_map(|one| &one.needs);
        let members: BTreeSet<PrincipalId> = needs.filter_map(|need| member_of(&need.principal)).collect();
        resources.extend(members.into_iter().map(|member| {
            let id = club_of(member).to_string();
            json!({"type": "Microsoft.Graph/groups", "id": id, "displayName": id, "members": [member.to_string()]})
        }));
    }
    if draw.clubs {
        name_groups(draw, &mut desired);
    }
    let (world, ignored) = World::from_resources(resources);
    if ignored > 0 {
        return Err(anyhow!("{ignored} entries of the fleet mean nothing to the simulator"));
    }
    let mut knobs = draw.knobs.clone();
    knobs.faults = draw.faults();
    let options = SimOptions { clock: ClockMode::Tokio(start()), seed: draw.seed, knobs, ..SimOptions::default() };
    let sim = Simulator::new(world, &options)?;

    let (percent, until) = draw.key_users;
    for (id, name) in accounts(&sim) {
        if dice.between(0, 99) < percent {
            let stops = dice.seconds(60, until.as_secs());
            let value = json!({
                "name": format!("script of {name}"), "triesPerHour": 120,
                "stopsAfter": humantime::format_duration(stops).to_string(),
            });
            sim.drift(Drift { change: DriftChange::KeyUserStarted, target: id, value, by: String::new() })?;
        }
    }
    if draw.leavers {
        leave_grants(draw, &sim, &desired)?;
    }
    Ok(Made { sim: Arc::new(sim), desired })
}

/// The person or application that a need names.
fn member_of(principal: &PrincipalRef) -> Option<PrincipalId> {
    match principal {
        PrincipalRef::Object { kind: PrincipalType::User | PrincipalType::ServicePrincipal, id, .. } => Some(*id),
        _ => None,
    }
}

/// The group that a person or an application is alone in, where there are such groups.
pub(crate) fn club_of(member: PrincipalId) -> PrincipalId {
    PrincipalId(uuid::Uuid::from_u128(!member.0.as_u128()))
}

/// Documents name some of them by these groups from the beginning.
fn name_groups(draw: &Draw, desired: &mut Desired) {
    let mut dice = Dice::of(draw.seed, "who is named by a group");
    for one in desired.workspaces.values_mut() {
        for need in one.needs.iter_mut() {
            let Some(member) = member_of(&need.principal).filter(|_| dice.chance(0.5)) else { continue };
            need.principal = PrincipalRef::Object { kind: PrincipalType::Group, id: club_of(member), name: None };
        }
        one.needs.sort();
        one.needs.dedup();
    }
}

/// Grants of this installation to people whom no file names any more stand at some accounts.
fn leave_grants(draw: &Draw, sim: &Simulator, desired: &Desired) -> anyhow::Result<()> {
    let mut dice = Dice::of(draw.seed, "who has left");
    for id in accounts(sim).into_keys() {
        let (leaver, left) = (PrincipalId(dice.uuid()), dice.chance(0.7));
        let Ok(account) = StorageAccountId::parse(&id) else { continue };
        let owner = &desired.fleet.owner;
        let grant = Grant::new(owner, account.arm().clone(), leaver, PrincipalType::User, catalog::BLOB_CONTRIBUTOR);
        let value = json!({
            "principalId": leaver.to_string(), "roleDefinitionId": grant.role.to_string(),
            "description": Grant::description(owner),
        });
        if left {
            let change = DriftChange::GrantAdded;
            sim.drift(Drift { change, target: grant.id().to_string(), value, by: String::new() })?;
        }
    }
    Ok(())
}

/// Id and name of each account, ordered by the id in lower case.
pub(crate) fn accounts(sim: &Simulator) -> BTreeMap<String, String> {
    let world = sim.world_json();
    let entries = world.as_array().into_iter().flatten();
    let accounts = entries.filter(|entry| {
        entry["type"].as_str().is_some_and(|kind| kind.eq_ignore_ascii_case("Microsoft.Storage/storageAccounts"))
    });
    accounts.filter_map(|entry| Some((entry["id"].as_str()?.to_owned(), entry["name"].as_str()?.to_owned()))).collect()
}
