//! Policies, rights and the ceiling: what bars writes beside locks and denials, and what a read of it shows.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::Timestamp;
use keyless_core::id::*;
use keyless_core::observed::*;
use keyless_core::policy::*;
use uuid::Uuid;

use super::{SUBSCRIPTION, account_id};

/// What bars writes, in plain words.
#[derive(Debug, Clone, Default)]
pub(crate) struct Bars {
    /// The controller lacks the right to write these.
    pub(crate) no_right: BTreeSet<&'static str>,
    /// Policies, at every scope.
    pub(crate) policies: Vec<Bar>,
    /// A read-only lock on every workspace, and on nothing else.
    pub(crate) workspaces_locked: bool,
    /// How many role assignments the subscription has beside those of the account.
    pub(crate) other_assignments: u32,
    /// The tenant of the account's subscription, where it was read.
    pub(crate) tenant: Option<Uuid>,
}

/// A policy that refuses one value, or sets another in its place.
#[derive(Debug, Clone)]
pub(crate) struct Bar {
    pub(crate) alias: &'static str,
    pub(crate) value: &'static str,
    pub(crate) enforced: bool,
    pub(crate) exempt_until: Option<Timestamp>,
    /// What it sets instead; without it the value is refused.
    pub(crate) sets: Option<&'static str>,
}

/// A policy in force that refuses the value.
pub(crate) fn bar(alias: &'static str, value: &'static str) -> Bar {
    Bar { alias, value, enforced: true, exempt_until: None, sets: None }
}

pub(crate) const ACCOUNT_FLAG: &str = "Microsoft.Storage/storageAccounts/allowSharedKeyAccess";
pub(crate) const MODE: &str = "Microsoft.MachineLearningServices/workspaces/systemDatastoresAuthMode";

impl Bars {
    /// Whether a policy refuses the value now, or sets another.
    pub(crate) fn refuses(&self, alias: &str, value: &str, now: Timestamp) -> bool {
        self.policies.iter().any(|bar| {
            bar.enforced && bar.alias == alias && bar.value == value && bar.exempt_until.is_none_or(|at| at <= now)
        })
    }

    pub(super) fn observe(&self, workspaces: impl Iterator<Item = WorkspaceId>, held: u32, now: Timestamp) -> Barriers {
        let id = |kind: &str, name: String| {
            ArmId::parse(&format!("/providers/Microsoft.Authorization/{kind}/{name}")).unwrap()
        };
        let mut policies = Policies {
            assignments: Vec::new(),
            exemptions: Reading::known(Vec::new(), now),
            sets: BTreeMap::new(),
            definitions: BTreeMap::new(),
        };
        let mut exemptions = Vec::new();
        for (n, bar) in self.policies.iter().enumerate() {
            let (definition, assignment) =
                (id("policyDefinitions", format!("d{n}")), id("policyAssignments", format!("a{n}")));
            let effect = if bar.sets.is_some() { "Modify" } else { "deny" };
            policies.assignments.push(PolicyAssignment {
                id: assignment.clone(),
                definition: definition.clone(),
                enforced: bar.enforced,
                not_scopes: Vec::new(),
                parameters: BTreeMap::from([("Effect".to_owned(), PolicyValue::Word(effect.to_owned()))]),
                altered: false,
                overrides: Vec::new(),
            });
            let (kind, _) = bar.alias.rsplit_once('/').unwrap();
            let field = |field: &str, word: &str| PolicyCondition::Field {
                field: field.to_owned(),
                test: PolicyTest::Equals,
                value: PolicyValue::Word(word.to_owned()),
            };
            let rule = PolicyDefinition {
                name: format!("no {}", bar.value),
                defaults: BTreeMap::from([("effect".to_owned(), PolicyValue::Word("Audit".to_owned()))]),
                condition: PolicyCondition::All(vec![field("type", kind), field(bar.alias, bar.value)]),
                effect: PolicyValue::Parameter("effect".to_owned()),
                sets: bar.sets.iter().map(|set| (bar.alias.to_owned(), PolicyValue::Word((*set).to_owned()))).collect(),
                bars_delete: false,
            };
            policies.definitions.insert(definition, Reading::known(Arc::new(rule), now));
            if let Some(expires) = bar.exempt_until {
                exemptions.push(PolicyExemption {
                    id: id("policyExemptions", format!("e{n}")),
                    scope: ArmId::parse(&format!("/subscriptions/{SUBSCRIPTION}")).unwrap(),
                    assignment,
                    references: BTreeSet::new(),
                    expires: Some(expires),
                    altered: false,
                });
            }
        }
        policies.exemptions = Reading::known(exemptions, now);
        let permission = Permission {
            actions: vec!["*".to_owned()],
            not_actions: self.no_right.iter().map(|&action| action.to_owned()).collect(),
            ..Permission::default()
        };
        let rights = vec![OwnRight { permission, conditional: false }];
        let group = ArmId::parse(&format!("/subscriptions/{SUBSCRIPTION}/resourceGroups/rg")).unwrap();
        let mut barriers = Barriers::default();
        for id in workspaces {
            let lock = format!("{id}/providers/Microsoft.Authorization/locks/own");
            let lock = Lock { id: ArmId::parse(&lock).unwrap(), scope: id.arm().clone(), level: LockLevel::ReadOnly };
            let locks = if self.workspaces_locked { vec![lock] } else { Vec::new() };
            barriers.locks.insert(id.arm().clone(), Reading::known(locks, now));
            barriers.policies.insert(id.arm().clone(), Reading::known(policies.clone(), now));
            barriers.rights.insert(id.arm().clone(), Reading::known(rights.clone(), now));
        }
        for scope in [account_id().arm().clone(), group] {
            barriers.policies.insert(scope.clone(), Reading::known(policies.clone(), now));
            barriers.rights.insert(scope, Reading::known(rights.clone(), now));
        }
        let count = Reading::known(self.other_assignments + held, now);
        barriers.assignment_counts.insert(account_id().subscription(), count);
        barriers.tenants.extend(self.tenant.map(|tenant| (account_id().subscription(), Reading::known(tenant, now))));
        barriers
    }
}
