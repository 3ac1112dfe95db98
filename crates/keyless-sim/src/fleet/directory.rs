//! The people and applications of a fleet: who is in which team, and who works alone.

use super::Principal;
use super::dice::Dice;

/// A directory object.
pub(super) struct Person {
    pub(super) object_id: String,
    pub(super) name: String,
}

/// A team: a group of persons and the application that runs its pipelines.
pub(super) struct Team {
    pub(super) group: Person,
    pub(super) members: Vec<Person>,
    pub(super) application: Person,
}

/// Everybody.
pub(super) struct Directory {
    /// The teams; a person is in one team at most, so no grant to a group reaches anybody by accident.
    pub(super) teams: Vec<(String, Team)>,
    /// Persons who are in no group.
    pub(super) individuals: Vec<Person>,
    /// A group that may read everywhere.
    pub(super) readers: Team,
}

const FIRST: &[&str] =
    &["Ada", "Bao", "Chloe", "Dana", "Emil", "Farah", "Goran", "Hana", "Ines", "Jonas", "Kofi", "Lena"];
const LAST: &[&str] =
    &["Ito", "Meyer", "Okafor", "Petrov", "Quist", "Rossi", "Silva", "Tanaka", "Ude", "Varga", "Weber"];

impl Directory {
    /// The directory for `workspaces` workspaces of the named teams.
    pub(super) fn new<'a>(teams: impl Iterator<Item = &'a str>, workspaces: usize, dice: &mut Dice) -> Self {
        let mut directory = Self { teams: Vec::new(), individuals: Vec::new(), readers: team("org", "readers", dice) };
        for name in teams {
            // A large team has several groups, so that one group's grants do not decide over half a fleet.
            for number in 1..=workspaces / 60 + 1 {
                let kind = if number == 1 { "data-scientists".to_owned() } else { format!("data-scientists-{number}") };
                directory.teams.push((name.to_owned(), team(name, &kind, dice)));
            }
        }
        directory.individuals = (0..workspaces / 3 + 3).map(|_| person(dice)).collect();
        directory
    }

    /// One of the groups of a team.
    pub(super) fn team(&self, name: &str, dice: &mut Dice) -> &Team {
        let matching: Vec<&Team> = self.teams.iter().filter(|(team, _)| team == name).map(|(_, team)| team).collect();
        dice.pick(&matching).copied().unwrap_or(&self.readers)
    }
}

impl Person {
    pub(super) fn user(&self) -> Principal {
        Principal::User { object_id: self.object_id.clone(), name: self.name.clone() }
    }

    pub(super) fn group(&self) -> Principal {
        Principal::Group { object_id: self.object_id.clone(), name: self.name.clone() }
    }

    pub(super) fn application(&self) -> Principal {
        Principal::ServicePrincipal { object_id: self.object_id.clone(), name: self.name.clone() }
    }
}

fn team(name: &str, kind: &str, dice: &mut Dice) -> Team {
    Team {
        group: Person { object_id: dice.guid(), name: format!("{name}-{kind}") },
        members: (0..dice.between(3, 6)).map(|_| person(dice)).collect(),
        application: Person { object_id: dice.guid(), name: format!("{name}-pipelines") },
    }
}

fn person(dice: &mut Dice) -> Person {
    let first = dice.pick(FIRST).copied().unwrap_or("Ada");
    let last = dice.pick(LAST).copied().unwrap_or("Ito");
    Person { object_id: dice.guid(), name: format!("{first} {last}") }
}
