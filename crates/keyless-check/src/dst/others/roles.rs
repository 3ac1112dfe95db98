//! Roles of the tenant's own, by which people have what they need: they lose a part of it, and have it again.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use keyless_core::catalog::{self, CatalogRole};
use keyless_core::desired::PrincipalRef;
use keyless_sim::{Drift, DriftChange};
use serde_json::{Value, json};

use super::Others;
use crate::dst::foreign::{Foreign, RECAST};
use crate::dst::wire::Road;

/// What people need at an account: their roles, and who they are.
type Needed = (BTreeSet<&'static str>, BTreeSet<String>);

/// A role that the people of an account have.
pub(super) struct OwnRole {
    account: String,
    name: String,
    /// What it gives when it is whole.
    data_actions: Vec<&'static str>,
    is_whole: bool,
}

impl Others {
    /// All people of the files have what they need of each account by a role that is made for it, and since long ago. How
    /// many roles, in words.
    pub(super) fn gives_roles(&mut self, road: &Road) -> String {
        let long_ago = road.sim.now().checked_sub(SignedDuration::from_hours(24 * 30)).unwrap_or(Timestamp::MIN);
        let since = long_ago.to_string();
        for (account, (data_actions, people)) in self.needed(road) {
            let name = self.roles_dice.uuid().to_string();
            let role = OwnRole { account, name, data_actions: data_actions.into_iter().collect(), is_whole: true };
            if let Err(error) = put(road, &role, &role.data_actions, Some(&since)) {
                return format!("refused: {error}");
            }
            for person in people {
                let value = json!({"principalId": person, "roleDefinitionId": role.id(), "createdOn": since, "updatedOn": since});
                let of = Some(role.account.clone());
                self.change(road, DriftChange::GrantAdded, &role.account, value, of, Duration::ZERO);
            }
            self.own_roles.push(role);
        }
        format!("{} roles of the tenant's own", self.own_roles.len())
    }

    fn needed(&self, road: &Road) -> BTreeMap<String, Needed> {
        let judge = road.judge();
        let mut needed: BTreeMap<String, Needed> = BTreeMap::new();
        for (id, one) in &self.desired.workspaces {
            let Some(account) = judge.account_of(&id.as_str().to_ascii_lowercase()) else { continue };
            for need in &one.needs {
                let PrincipalRef::Object { id: person, .. } = &need.principal else { continue };
                let of = |known: &&CatalogRole| known.id == need.role;
                let Some(known) = catalog::ROLES.iter().find(of) else { continue };
                let (data_actions, people) = needed.entry(account.clone()).or_default();
                data_actions.extend(known.data_actions);
                people.insert(person.to_string());
            }
        }
        needed
    }

    /// One of these roles loses a part of what it gives; or one that did is whole again. What, in words.
    pub(super) fn recasts(&mut self, road: &Road) -> String {
        let all: Vec<usize> = (0..self.own_roles.len()).collect();
        match self.roles_dice.pick(&all).copied() {
            Some(which) => self.recast(road, which),
            None => "no roles".to_owned(),
        }
    }

    /// As [`Self::recasts`], of the role for this account.
    pub(super) fn recasts_of(&mut self, road: &Road, account: &str) -> String {
        match self.own_roles.iter().position(|role| role.account == account && role.is_whole) {
            Some(which) => self.recast(road, which),
            None => "no role".to_owned(),
        }
    }

    fn recast(&mut self, road: &Road, which: usize) -> String {
        let Some(role) = self.own_roles.get_mut(which) else { return "no role".to_owned() };
        role.is_whole = !role.is_whole;
        let lost = if role.is_whole { None } else { self.roles_dice.pick(&role.data_actions).copied() };
        let left: Vec<&str> = role.data_actions.iter().copied().filter(|action| Some(*action) != lost).collect();
        if let Err(error) = put(road, role, &left, None) {
            return format!("refused: {error}");
        }
        let mut judge = road.judge();
        judge.count(if role.is_whole { "roles that are whole again" } else { "roles that give less" });
        // Somebody may have given it to others elsewhere.
        let given = judge.truth.assignments.values().filter(|one| one.role == role.name).map(|one| one.scope.clone());
        let accounts: BTreeSet<String> = given.chain([role.account.clone()]).collect();
        // What is whole again is young too, in what it never lost as well.
        for account in accounts {
            let foreign = Foreign {
                at: road.sim.now(),
                since: road.since(),
                shown_by: Some(format!("{account}/providers/microsoft.authorization/roledefinitions/{}", role.name)),
                account: Some(account),
                what: format!("{RECAST} {}", role.name),
                hidden: Duration::ZERO,
            };
            judge.foreign(&road.sim, foreign);
        }
        match lost {
            Some(lost) => format!("{} gives {lost} no more", role.name),
            None => format!("{} is whole again", role.name),
        }
    }

    /// All of them are whole.
    pub(super) fn mends_roles(&mut self, road: &Road) {
        for which in 0..self.own_roles.len() {
            if self.own_roles.get(which).is_some_and(|role| !role.is_whole) {
                self.recast(road, which);
            }
        }
    }
}

impl OwnRole {
    fn id(&self) -> String {
        let subscription = self.account.split("/resourcegroups/").next().unwrap_or_default();
        format!("{subscription}/providers/Microsoft.Authorization/roleDefinitions/{}", self.name)
    }
}

fn put(road: &Road, role: &OwnRole, data_actions: &[&str], since: Option<&str>) -> anyhow::Result<()> {
    let permissions = json!([{"actions": [], "notActions": [], "dataActions": data_actions, "notDataActions": []}]);
    let mut properties = json!({"roleName": format!("of {}", role.account), "type": "CustomRole",
        "assignableScopes": [role.account], "permissions": permissions});
    if let (Some(since), Some(told)) = (since, properties.as_object_mut()) {
        told.insert("createdOn".to_owned(), Value::from(since));
        told.insert("updatedOn".to_owned(), Value::from(since));
    }
    let id = role.id();
    let value = json!({"id": id, "name": role.name, "type": "Microsoft.Authorization/roleDefinitions", "properties": properties});
    road.sim.drift(Drift { change: DriftChange::ResourcePut, target: id, value, by: String::new() })?;
    Ok(())
}
