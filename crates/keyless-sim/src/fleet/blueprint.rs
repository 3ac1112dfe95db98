//! Which accounts and workspaces a fleet has, before they get ids.

use super::dice::Dice;

/// The bare bones of a fleet.
pub(super) struct Blueprint {
    pub(super) accounts: Vec<AccountPlan>,
    pub(super) subscriptions: usize,
    /// How many of a hundred workspaces lie in another resource group or subscription than their account.
    pub(super) scattered_percent: usize,
}

/// One account with all that stands on it; the first workspace is the hub where there is one.
pub(super) struct AccountPlan {
    pub(super) name: String,
    pub(super) workspaces: Vec<WorkspacePlan>,
}

pub(super) struct WorkspacePlan {
    pub(super) name: String,
    pub(super) team: String,
    pub(super) kind: Kind,
}

/// What Azure calls `kind`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Default,
    Hub,
    /// A project of the hub on the same account; not every project says which account that is.
    Project {
        names_account: bool,
    },
}

/// The fixed shape of the first accounts of a random fleet, so that even small fleets have every kind.
#[derive(Clone, Copy)]
enum Shape {
    Alone,
    Shared(usize),
    HubWithProjects(usize),
}

const TEAMS: &[&str] = &[
    "fraud", "churn", "pricing", "claims", "demand", "vision", "speech", "search", "credit", "supply", "quality",
    "energy",
];
const TASKS: &[&str] = &["train", "score", "features", "eval", "serve", "lab", "batch", "monitor"];

/// A subscription holds about this many workspaces.
const PER_SUBSCRIPTION: usize = 60;

impl Blueprint {
    /// A mixed fleet of exactly `workspaces` workspaces, hubs and projects.
    pub(super) fn random(workspaces: usize, dice: &mut Dice) -> Self {
        let mut accounts = Vec::new();
        let mut number = 0;
        while number < workspaces {
            let left = workspaces - number;
            let shape = match accounts.len() {
                0 if left >= 3 => Shape::HubWithProjects(2),
                1 if left >= 2 => Shape::Shared(2),
                _ => match dice.below(10) {
                    0..=2 if left >= 2 => Shape::HubWithProjects(dice.between(1, 4).min(left - 1)),
                    3..=5 if left >= 2 => Shape::Shared(dice.between(2, 4).min(left)),
                    _ => Shape::Alone,
                },
            };
            let team = dice.pick(TEAMS).copied().unwrap_or("ml");
            let kinds = shape.kinds(dice);
            accounts.push(AccountPlan {
                name: format!("st{team}{:04}", accounts.len() + 1),
                workspaces: kinds
                    .into_iter()
                    .map(|kind| {
                        number += 1;
                        let task = match kind {
                            Kind::Hub => "hub",
                            _ => dice.pick(TASKS).copied().unwrap_or("lab"),
                        };
                        WorkspacePlan { name: format!("{team}-{task}-{number:04}"), team: team.to_owned(), kind }
                    })
                    .collect(),
            });
        }
        Self { accounts, subscriptions: workspaces / PER_SUBSCRIPTION + 1, scattered_percent: 20 }
    }

    /// The fleet of the demonstration.
    pub(super) fn demo() -> Self {
        let account = |name: &str, team: &str, members: &[(&str, Kind)]| AccountPlan {
            name: name.to_owned(),
            workspaces: members
                .iter()
                .map(|&(name, kind)| WorkspacePlan { name: name.to_owned(), team: team.to_owned(), kind })
                .collect(),
        };
        let project = |names_account| Kind::Project { names_account };
        Self {
            accounts: vec![
                account(
                    "stfraudml",
                    "fraud",
                    &[
                        ("fraud-train", Kind::Default),
                        ("fraud-score", Kind::Default),
                        ("fraud-features", Kind::Default),
                    ],
                ),
                account("stchurnml", "churn", &[("churn-train", Kind::Default), ("churn-score", Kind::Default)]),
                account(
                    "stassistants",
                    "assistants",
                    &[("assistants-hub", Kind::Hub), ("claims-chat", project(false)), ("policy-search", project(true))],
                ),
                account("stvisionml", "vision", &[("vision-hub", Kind::Hub), ("defect-detect", project(false))]),
                account("stpricinglab", "pricing", &[("pricing-lab", Kind::Default)]),
                account("stdemandml", "demand", &[("demand-forecast", Kind::Default), ("stock-plan", Kind::Default)]),
            ],
            subscriptions: 1,
            scattered_percent: 0,
        }
    }
}

impl Shape {
    fn kinds(self, dice: &mut Dice) -> Vec<Kind> {
        match self {
            Self::Alone => vec![Kind::Default],
            Self::Shared(count) => vec![Kind::Default; count],
            Self::HubWithProjects(count) => {
                // The first project never names its account, so that every fleet with a hub has one of these.
                let projects = (0..count).map(|index| Kind::Project { names_account: index > 0 && dice.percent(60) });
                std::iter::once(Kind::Hub).chain(projects).collect()
            }
        }
    }
}
