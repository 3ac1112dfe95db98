//! Makes fleets to practise on: resources as Azure would list them, and what is declared of each workspace.
//!
//! A fleet depends on its size, its seed and the time it is made at, on nothing else. Whatever it declares can be
//! reached: no lock, deny assignment or unsupported compute stands in the way, and no declared need is met through
//! one of the paths that take a day to propagate. What the generated parts are is in `blueprint` (which accounts
//! and workspaces), `cast` (who is declared and who works), `covers` (which grants exist beforehand) and
//! `render` (the JSON); [`crate::desired_files`] writes the declared part as files.

mod blueprint;
mod cast;
mod covers;
mod dice;
mod directory;
mod place;
mod render;
mod roles;

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::Value;

use self::blueprint::Blueprint;
use self::dice::Dice;

/// A made fleet.
#[derive(Debug, Clone, PartialEq)]
pub struct Fleet {
    /// Everything there is, in the form that [`crate::load::parse`] reads.
    pub resources: Vec<Value>,
    /// Every workspace, hub and project, as the files declare it.
    pub desired: Vec<DeclaredWorkspace>,
    /// The profiles that workspaces refer to.
    pub profiles: Vec<DeclaredProfile>,
    /// The subscriptions in which workspaces are to be searched for.
    pub subscriptions: Vec<String>,
}

/// One workspace as the files declare it: always to be on identity, always enforced.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeclaredWorkspace {
    /// `metadata.name`, unique in the fleet.
    pub name: String,
    /// `metadata.labels`.
    pub labels: BTreeMap<String, String>,
    /// The subscription it lies in.
    pub subscription: String,
    /// `spec.resourceId`, now and then in another case than Azure's own.
    pub resource_id: String,
    /// `spec.access`.
    pub access: Vec<Access>,
    /// `spec.profiles`.
    pub profiles: Vec<String>,
    /// Whether datastores give up their stored keys, which somebody accepted to be for good.
    pub converts_datastores: bool,
}

/// A reusable list of principals and what they may do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeclaredProfile {
    /// `metadata.name`, unique in the fleet.
    pub name: String,
    /// `spec.access`.
    pub access: Vec<Access>,
}

/// One entry of an `access` list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Access {
    /// Who.
    pub principal: Principal,
    /// What for.
    pub asked: Asked,
}

/// A principal as the files name it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Principal {
    /// A person.
    User {
        /// The object id.
        object_id: String,
        /// The name for people.
        name: String,
    },
    /// A group of persons.
    Group {
        /// The object id.
        object_id: String,
        /// The name for people.
        name: String,
    },
    /// An application's service principal.
    ServicePrincipal {
        /// The object id.
        object_id: String,
        /// The name for people.
        name: String,
    },
    /// A user-assigned managed identity by its ARM id.
    ManagedIdentity(String),
    /// A compute of the same workspace by its name.
    Compute(String),
    /// The workspace's own system-assigned identity.
    WorkspaceSystem,
}

/// What an entry of an `access` list asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Asked {
    /// A baseline for people: `readWrite` or `readOnly`.
    Level(&'static str),
    /// Rows of the articles' tables by their words.
    Scenarios(Vec<&'static str>),
}

/// Makes a fleet of `workspaces` workspaces, hubs and projects together.
///
/// About two in five stand alone on their account; the others share one, as a hub with its projects or as two to four
/// workspaces. At least half of the declared needs lack a grant, every workspace has an entitled principal at work, and
/// from five accounts on every tenth has a hidden user of its key who stops after an hour.
#[must_use]
pub fn generate(workspaces: usize, seed: u64, now: Timestamp) -> Fleet {
    if workspaces == 0 {
        // Nor any people: a world of one's own is to hold what was loaded and nothing else.
        return Fleet { resources: Vec::new(), desired: Vec::new(), profiles: Vec::new(), subscriptions: Vec::new() };
    }
    let mut dice = Dice::new(seed);
    let blueprint = Blueprint::random(workspaces, &mut dice);
    populate(&blueprint, dice, now)
}

/// Makes the sample fleet of the demonstration: thirteen workspaces, hubs and projects with names that people can
/// read on six accounts. The seed changes the people, the grants and the hidden user, never the names.
#[must_use]
pub fn generate_demo(seed: u64, now: Timestamp) -> Fleet {
    populate(&Blueprint::demo(), Dice::new(seed), now)
}

fn populate(blueprint: &Blueprint, mut dice: Dice, now: Timestamp) -> Fleet {
    let estate = place::place(blueprint, &mut dice, now);
    let cast = cast::cast(&estate, &mut dice);
    let covers = covers::choose(&estate, &cast, &mut dice);
    let resources = render::render(&estate, &cast, &covers, &mut dice);
    let desired = estate
        .workspaces()
        .zip(&cast.parts)
        .map(|(workspace, part)| DeclaredWorkspace {
            name: workspace.name.clone(),
            labels: BTreeMap::from([("team".to_owned(), workspace.team.clone())]),
            subscription: workspace.subscription.clone(),
            resource_id: dice.recase(&workspace.id, 10),
            access: part.access.clone(),
            profiles: part.profiles.clone(),
            converts_datastores: part.through_key.is_some(),
        })
        .collect();
    Fleet { resources, desired, profiles: cast.profiles, subscriptions: estate.subscriptions }
}

#[cfg(test)]
mod tests;
