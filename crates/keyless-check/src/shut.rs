//! For every gate a world in which it alone holds a step.

use std::collections::BTreeSet;

use anyhow::Context as _;
use jiff::SignedDuration;
use keyless_core::ablate::{self, Ablation};
use keyless_core::action::{Action, Grant};
use keyless_core::catalog::BLOB_READER;
use keyless_core::desired::{
    AuthMode, ChangeWindow, Create, CreateKind, DesiredDatastores, DesiredSharedKey, Isolation, ServiceGrants,
};
use keyless_core::gate::Gate;
use keyless_core::id::WorkspaceId;
use keyless_core::lint::lint;
use keyless_core::observed::{
    Compute, Datastore, DatastoreCredentials, DatastoreForm, Identity, Lock, LockLevel, ObservedAuthMode, ObservedJob,
    ObservedWorkspace, PrincipalType, PublicAccess, Reading, SharedKeyAccess, Traffic,
};
use keyless_core::plan::{self, Fight, Look, Plan, Refusal};
use keyless_core::setting::Setting;

use crate::model::around::refusing;
use crate::world::World;

const MINUTE: SignedDuration = SignedDuration::from_mins(1);

/// A world, the step that is held in it, and what has to be taken away for it to be the next one.
pub(crate) struct Held {
    world: World,
    step: Action,
    gone: BTreeSet<Ablation>,
}

/// The worlds of a gate, one for each thing that it looks at and no other gate does.
///
/// # Errors
/// If one cannot be made.
pub(crate) fn held(gate: Gate) -> anyhow::Result<Vec<Held>> {
    let mut worlds = vec![match gate {
        Gate::HubThere => hub_missing()?,
        Gate::NeedsCovered | Gate::NeedsAged | Gate::ServiceGrant | Gate::Compatible | Gate::ModeKnown => {
            forward(gate)?
        }
        Gate::Reachable | Gate::Drained => forward(gate)?,
        Gate::KeyOn | Gate::KeyEffective | Gate::KeysTaken => back(gate)?,
        Gate::WentBack => leaver()?,
        Gate::OnIdentity | Gate::OneWayAccepted | Gate::AccessJudged => convert(gate)?,
        Gate::BelowCeiling => crowded()?,
        _ => key_off(gate)?,
    }];
    if matches!(gate, Gate::AllOnIdentity | Gate::WentBack) {
        worlds.push(under_way(gate)?);
    }
    let mut gone = BTreeSet::from([Ablation::Gate(gate)]);
    // It is not open where the other is shut.
    if gate == Gate::NeedsCovered {
        gone.insert(Ablation::Gate(Gate::NeedsAged));
    }
    Ok(worlds.into_iter().map(|(world, step)| Held { world, step, gone: gone.clone() }).collect())
}

/// The world in which a documented order does harm: the step that comes too early, and the gates that hold it.
///
/// # Errors
/// If it cannot be made.
pub(crate) fn misordered(order: Ablation) -> anyhow::Result<Held> {
    let (world, step, gates) = match order {
        Ablation::OffLast => {
            let world = World::new(ObservedAuthMode::AccessKey, AuthMode::Identity)?;
            let step = world.key(false);
            (world, step, vec![Gate::AllOnIdentity])
        }
        _ => {
            let mut world = World::new(ObservedAuthMode::Identity, AuthMode::AccessKey)?;
            world.declare(DesiredSharedKey::Enabled);
            world.account().context("no account")?.shared_key = SharedKeyAccess::Disallowed;
            let step = world.mode(AuthMode::AccessKey);
            (world, step, vec![Gate::KeyOn, Gate::KeyEffective])
        }
    };
    let gone = gates.into_iter().map(Ablation::Gate).chain([order]).collect();
    Ok(Held { world, step, gone })
}

impl Held {
    fn plan(&self, gone: &BTreeSet<Ablation>) -> Plan {
        let World { desired, observed, limits, .. } = &self.world;
        ablate::without(gone, || plan::plan(desired, observed, limits, Look::Everything))
    }

    /// What is taken away in it.
    pub(crate) fn gone(&self) -> &BTreeSet<Ablation> {
        &self.gone
    }

    /// What differs from this: the gates alone hold the step, and without them it is the next one.
    pub(crate) fn objection(&self) -> Option<String> {
        let plan = self.plan(&BTreeSet::new());
        let Some(step) = plan.steps.iter().find(|step| step.action == self.step) else {
            return Some(format!("`{}` is not planned: {plan:#?}", self.step));
        };
        let shut: BTreeSet<Ablation> =
            step.gates.iter().filter(|check| !check.state.is_open()).map(|check| Ablation::Gate(check.gate)).collect();
        let gates: BTreeSet<Ablation> =
            self.gone.iter().filter(|rule| matches!(rule, Ablation::Gate(_))).copied().collect();
        if shut != gates {
            return Some(format!("`{}` is held by {shut:?}", self.step));
        }
        let orders = self.gone.difference(&gates).next().is_some();
        let in_order = self.plan(&gates).next().map(|step| step.action.clone());
        if orders && in_order.as_ref() == Some(&self.step) {
            return Some(format!("`{}` is the next step in the right order too", self.step));
        }
        let next = self.plan(&self.gone).next().map(|step| step.action.clone());
        (next.as_ref() != Some(&self.step)).then(|| format!("the next step without it is {next:?}"))
    }

    /// Whether the second judge rejects the plan that is made without the gate.
    pub(crate) fn is_rejected(&self) -> bool {
        let World { desired, observed, limits, .. } = &self.world;
        !lint(desired, observed, limits, &self.plan(&self.gone)).is_empty()
    }
}

fn refuse(world: &mut World, action: Action) -> anyhow::Result<()> {
    let until = world.now().checked_add(60 * MINUTE)?;
    world.limits.refused.insert(action, Refusal { until, why: "no".to_owned(), lift: None });
    Ok(())
}

fn forward(gate: Gate) -> anyhow::Result<(World, Action)> {
    let mut world = World::new(ObservedAuthMode::AccessKey, AuthMode::Identity)?;
    let now = world.now();
    match gate {
        // Somebody has refused the grant, or it would come first.
        Gate::NeedsCovered => {
            world.observed.assignments = Reading::known(Vec::new(), now);
            let missing = crowd_grant(&world);
            refuse(&mut world, missing)?;
        }
        Gate::NeedsAged => world.grant(MINUTE)?,
        Gate::ServiceGrant => world.document().context("no document")?.service_grants = ServiceGrants::Wait,
        Gate::Compatible => {
            let system = world.own().context("no workspace")?.identity.system;
            let instance = Compute {
                name: "ci".to_owned(),
                compute_type: "ComputeInstance".to_owned(),
                identity: Identity { system, ..Identity::default() },
                state: Some("Stopped".to_owned()),
            };
            world.entry().context("no workspace")?.computes = Reading::known(vec![instance], now);
        }
        Gate::ModeKnown => {
            world.own().context("no workspace")?.provisioning_state = Some("Updating".to_owned());
        }
        Gate::Reachable => world.account().context("no account")?.network.public = PublicAccess::Disabled,
        _ => {
            let status = "Running".to_owned();
            let job = ObservedJob { name: "train".to_owned(), job_type: "Command".to_owned(), status };
            world.entry().context("no workspace")?.jobs = Reading::known(vec![job], now);
        }
    }
    let step = world.mode(AuthMode::Identity);
    Ok((world, step))
}

fn back(gate: Gate) -> anyhow::Result<(World, Action)> {
    let mut world = World::new(ObservedAuthMode::Identity, AuthMode::AccessKey)?;
    let now = world.now();
    let resync = Action::ResyncWorkspaceKeys { workspace: world.workspace.clone() };
    let mut step = world.mode(AuthMode::AccessKey);
    match gate {
        // The one step that asks for the key and not for how long it has been on.
        Gate::KeyOn => {
            let account = world.account().context("no account")?;
            account.shared_key = SharedKeyAccess::Disallowed;
            account.key_times.key1 = Some(now);
            step = resync;
        }
        Gate::KeyEffective => {
            world.declare(DesiredSharedKey::Enabled);
            world.account().context("no account")?.shared_key = SharedKeyAccess::Allowed;
            world.observed.history.key_on_since = Some(now);
        }
        _ => {
            world.account().context("no account")?.key_times.key1 = Some(now);
            refuse(&mut world, resync)?;
        }
    }
    Ok((world, step))
}

fn key_off(gate: Gate) -> anyhow::Result<(World, Action)> {
    let mut world = World::new(ObservedAuthMode::Identity, AuthMode::Identity)?;
    let now = world.now();
    let later = Some(now.checked_add(MINUTE)?);
    let scope = world.desired.account_id.arm().clone();
    let step = world.key(false);
    match gate {
        Gate::Listed => {
            let listing = Reading::unknown("503");
            world.observed.listings.insert(world.desired.account_id.subscription(), listing);
        }
        Gate::AllOnIdentity => {
            let id: WorkspaceId = world.workspace.as_str().replace("mlw", "other").parse()?;
            let mut own = world.own().context("no workspace")?.clone();
            own.id = id.clone();
            own.auth_mode = ObservedAuthMode::AccessKey;
            let mut entry = world.entry().context("no workspace")?.clone();
            entry.workspace = Reading::known(Some(own), now);
            world.observed.workspaces.insert(id, entry);
        }
        Gate::NoStoredKeys => {
            world.entry().context("no workspace")?.datastores = Reading::known(vec![stored(Some("stml"))], now);
        }
        Gate::KeyIdle => {
            if let Reading::Known { value, .. } = &mut world.observed.key_usage {
                let last = value.to.checked_sub(MINUTE)?;
                value.account_key = Traffic { count: 7, last: Some(last), grains: [(last, 7)].into() };
            }
        }
        Gate::Agreed => {
            world = World::new(ObservedAuthMode::Identity, AuthMode::AccessKey)?;
            world.declare(DesiredSharedKey::Disabled);
            let mode = world.mode(AuthMode::AccessKey);
            refuse(&mut world, mode)?;
        }
        Gate::Unlocked => {
            let id = format!("{scope}/providers/Microsoft.Authorization/locks/one").parse()?;
            world.observed.locks = Reading::known(vec![Lock { id, scope, level: LockLevel::ReadOnly }], now);
        }
        Gate::Permitted => drop(world.observed.barriers.rights.insert(scope, Reading::known(Vec::new(), now))),
        Gate::PolicyAllows | Gate::WayBack => {
            let value = if gate == Gate::WayBack { "true" } else { "false" };
            world.observed.barriers.policies.insert(scope, Reading::known(refusing(Some(value), now), now));
        }
        Gate::Active => world.desired.fleet.paused = true,
        Gate::Window => {
            world.desired.fleet.change_windows = vec![ChangeWindow { days: BTreeSet::from([7]), from: 0, to: 60 }];
        }
        Gate::Settled => world.limits.unsettled_until = later,
        Gate::Booted => world.limits.boot_until = later,
        Gate::NotRefused => refuse(&mut world, step.clone())?,
        Gate::NoFight => {
            let until = now.checked_add(MINUTE)?;
            let fight = Fight { reversals: 3, since: now, until, ours: "keyless".to_owned(), theirs: None };
            world.limits.fights.insert(Setting::SharedKey, fight);
        }
        _ => {
            world.desired.fleet.data_probe = true;
            world.observed.data_probe = Reading::unknown("no");
        }
    }
    Ok((world, step))
}

fn stored(account: Option<&str>) -> Datastore {
    let form = DatastoreForm { kind: "AzureBlob".to_owned(), ..DatastoreForm::default() };
    let account_name = account.map(str::to_owned);
    Datastore { name: "raw".to_owned(), account_name, credentials: DatastoreCredentials::AccountKey, form }
}

fn convert(gate: Gate) -> anyhow::Result<(World, Action)> {
    let mode = if gate == Gate::OnIdentity { ObservedAuthMode::AccessKey } else { ObservedAuthMode::Identity };
    let mut world = World::new(mode, AuthMode::Identity)?;
    let now = world.now();
    let accepted = world.accepted()?;
    let document = world.document().context("no document")?;
    document.datastores = DesiredDatastores::ConvertAll;
    document.accept_one_way = (gate != Gate::OneWayAccepted).then_some(accepted);
    let account = if gate == Gate::AccessJudged { "elsewhere" } else { "stml" };
    world.entry().context("no workspace")?.datastores = Reading::known(vec![stored(Some(account))], now);
    if gate == Gate::OnIdentity {
        let mode = world.mode(AuthMode::Identity);
        refuse(&mut world, mode)?;
    }
    let step = Action::SetDatastoreCredential {
        workspace: world.workspace.clone(),
        name: "raw".to_owned(),
        from: DatastoreCredentials::AccountKey,
    };
    Ok((world, step))
}

/// An operation that another process began runs on the workspace, and may end with another mode.
fn under_way(gate: Gate) -> anyhow::Result<(World, Action)> {
    let (mut world, step) = if gate == Gate::AllOnIdentity {
        let world = World::new(ObservedAuthMode::Identity, AuthMode::Identity)?;
        let step = world.key(false);
        (world, step)
    } else {
        let mut world = World::new(ObservedAuthMode::AccessKey, AuthMode::AccessKey)?;
        let step = revoke(&mut world)?;
        (world, step)
    };
    world.own().context("no workspace")?.provisioning_state = Some("Updating".to_owned());
    Ok((world, step))
}

/// Has the person leave the files.
fn revoke(world: &mut World) -> anyhow::Result<Action> {
    world.desired.fleet.prune = true;
    world.document().context("no document")?.needs.clear();
    let Action::GrantRole(grant) = crowd_grant(world) else { anyhow::bail!("no grant") };
    Ok(Action::RevokeRole { assignment: grant.id(), principal: grant.principal, role: grant.role })
}

/// Whoever leaves the files with the mode, while the way back is held.
fn leaver() -> anyhow::Result<(World, Action)> {
    let mut world = World::new(ObservedAuthMode::Identity, AuthMode::AccessKey)?;
    let mode = world.mode(AuthMode::AccessKey);
    refuse(&mut world, mode)?;
    let step = revoke(&mut world)?;
    Ok((world, step))
}

fn crowd_grant(world: &World) -> Action {
    let account = world.desired.account_id.arm().clone();
    Action::GrantRole(
        Grant::new(&world.desired.fleet.owner, account, world.person, PrincipalType::User, BLOB_READER) //
            .under(&world.desired.fleet.owner, None),
    )
}

fn crowded() -> anyhow::Result<(World, Action)> {
    let mut world = World::new(ObservedAuthMode::AccessKey, AuthMode::Identity)?;
    let now = world.now();
    world.observed.assignments = Reading::known(Vec::new(), now);
    let full = Reading::known(4000, now);
    world.observed.barriers.assignment_counts.insert(world.desired.account_id.subscription(), full);
    let step = crowd_grant(&world);
    Ok((world, step))
}

fn hub_missing() -> anyhow::Result<(World, Action)> {
    let mut world = World::new(ObservedAuthMode::Identity, AuthMode::Identity)?;
    let now = world.now();
    let hub: WorkspaceId = world.workspace.as_str().replace("mlw", "hub").parse()?;
    let missing = || ObservedWorkspace { workspace: Reading::known(None, now), ..ObservedWorkspace::unread() };
    world.observed.workspaces.insert(hub.clone(), missing());
    world.observed.workspaces.insert(world.workspace.clone(), missing());
    let create = Create {
        location: "westeurope".to_owned(),
        kind: CreateKind::Project(hub),
        friendly_name: None,
        storage_account: world.desired.account_id.clone(),
        public_network_access: true,
        isolation: Isolation::Disabled,
    };
    world.document().context("no document")?.create = Some(create.clone());
    let step = Action::CreateWorkspace { workspace: world.workspace.clone(), create: Box::new(create) };
    Ok((world, step))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_gate_alone_holds_a_step_that_is_the_next_one_without_it() {
        let mut wrong = Vec::new();
        for gate in Gate::ALL {
            let worlds = held(gate).unwrap();
            assert!(!worlds.is_empty(), "{gate} has no world");
            wrong.extend(worlds.iter().filter_map(Held::objection).map(|why| format!("{gate}: {why}")));
        }
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    }

    #[test]
    fn an_order_that_others_have_published_is_one_that_the_second_judge_rejects() {
        for order in [Ablation::OffLast, Ablation::OnFirst] {
            let held = misordered(order).unwrap();
            assert_eq!(held.objection(), None, "{order:?}");
            assert!(held.is_rejected(), "{order:?}");
            // By the order as well as by the facts.
            let alone = Held { gone: BTreeSet::from([order]), ..held };
            assert!(alone.is_rejected(), "{order:?} alone");
        }
    }
}
