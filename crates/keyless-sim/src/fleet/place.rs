//! Gives the parts of a blueprint their places: subscription, resource group, ids, identities and ages.

use jiff::{SignedDuration, Timestamp};

use super::blueprint::{Blueprint, Kind};
use super::dice::Dice;

/// A fleet's accounts and workspaces with their ids.
pub(super) struct Estate {
    pub(super) now: Timestamp,
    pub(super) tenant: String,
    pub(super) subscriptions: Vec<String>,
    pub(super) accounts: Vec<Account>,
}

pub(super) struct Account {
    pub(super) name: String,
    pub(super) id: String,
    pub(super) subscription: String,
    pub(super) resource_group: String,
    pub(super) age_days: usize,
    pub(super) workspaces: Vec<Workspace>,
}

pub(super) struct Workspace {
    pub(super) name: String,
    pub(super) team: String,
    pub(super) kind: Kind,
    pub(super) id: String,
    pub(super) subscription: String,
    pub(super) resource_group: String,
    /// The GUID that Azure calls `workspaceId`.
    pub(super) workspace_guid: String,
    /// The object id of its system-assigned identity.
    pub(super) system_identity: String,
    pub(super) age_days: usize,
}

/// Nothing in a fleet is younger than this, so that no gate waits for the age of what was there before.
const YOUNGEST_DAYS: usize = 31;

impl Estate {
    /// All workspaces, account by account.
    pub(super) fn workspaces(&self) -> impl Iterator<Item = &Workspace> {
        self.accounts.iter().flat_map(|account| &account.workspaces)
    }

    /// The moment so many days ago and some odd time of day, as Azure writes it.
    pub(super) fn days_ago(&self, days: usize, dice: &mut Dice) -> String {
        let hours = i64::try_from(days).unwrap_or(0).saturating_mul(24);
        let odd = i64::try_from(dice.below(86_400_000)).unwrap_or(0);
        let back = SignedDuration::from_hours(hours).saturating_add(SignedDuration::from_millis(odd));
        let moment = self.now.checked_sub(back).unwrap_or(self.now);
        moment.strftime("%Y-%m-%dT%H:%M:%S%.7fZ").to_string()
    }

    /// An age for something that was there before.
    pub(super) fn some_age(dice: &mut Dice) -> usize {
        dice.between(YOUNGEST_DAYS, 900)
    }
}

impl Account {
    pub(super) fn group_scope(&self) -> String {
        format!("/subscriptions/{}/resourceGroups/{}", self.subscription, self.resource_group)
    }

    pub(super) fn subscription_scope(&self) -> String {
        format!("/subscriptions/{}", self.subscription)
    }
}

impl Workspace {
    pub(super) fn is_hub_or_project(&self) -> bool {
        self.kind != Kind::Default
    }
}

pub(super) fn place(blueprint: &Blueprint, dice: &mut Dice, now: Timestamp) -> Estate {
    let tenant = dice.guid();
    let subscriptions: Vec<String> = (0..blueprint.subscriptions).map(|_| dice.guid()).collect();
    let groups = blueprint.accounts.len() / (4 * blueprint.subscriptions.max(1)) + 1;
    let accounts = blueprint
        .accounts
        .iter()
        .enumerate()
        .map(|(index, plan)| {
            let subscription =
                subscriptions.get(index % subscriptions.len().max(1)).cloned().unwrap_or_else(|| tenant.clone());
            let resource_group = group_name(dice.below(groups));
            let account_id = format!(
                "/subscriptions/{subscription}/resourceGroups/{resource_group}/providers/Microsoft.Storage/storageAccounts/{}",
                plan.name
            );
            let age_days = Estate::some_age(dice);
            let workspaces = plan
                .workspaces
                .iter()
                .map(|workspace| {
                    let mut subscription = subscription.clone();
                    let mut resource_group = resource_group.clone();
                    if dice.percent(blueprint.scattered_percent) {
                        resource_group = group_name(dice.below(groups));
                        if dice.percent(40) {
                            subscription = dice.pick(&subscriptions).cloned().unwrap_or(subscription);
                        }
                    }
                    Workspace {
                        name: workspace.name.clone(),
                        team: workspace.team.clone(),
                        kind: workspace.kind,
                        id: dice.recase(
                            &format!(
                                "/subscriptions/{subscription}/resourceGroups/{resource_group}/providers/Microsoft.MachineLearningServices/workspaces/{}",
                                workspace.name
                            ),
                            5,
                        ),
                        subscription,
                        resource_group,
                        workspace_guid: dice.guid(),
                        system_identity: dice.guid(),
                        age_days: dice.between(YOUNGEST_DAYS, age_days),
                    }
                })
                .collect();
            Account { name: plan.name.clone(), id: dice.recase(&account_id, 5), subscription, resource_group, age_days, workspaces }
        })
        .collect();
    Estate { now, tenant, subscriptions, accounts }
}

fn group_name(number: usize) -> String {
    // Every third is spelled as people spell them when nobody minds.
    if number % 3 == 2 { format!("RG-ML-{:02}", number + 1) } else { format!("rg-ml-{:02}", number + 1) }
}
