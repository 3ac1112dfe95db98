//! What stands around the account in richer worlds: a lock, a policy, a stored key, a job.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use keyless_core::id::{ArmId, StorageAccountId};
use keyless_core::observed::{
    Datastore,
    DatastoreCredentials,
    DatastoreForm,
    Lock,
    LockLevel,
    ObservedJob,
    Reading, //
};
use keyless_core::policy::{
    Policies,
    PolicyAssignment,
    PolicyCondition,
    PolicyDefinition,
    PolicyTest,
    PolicyValue, //
};

use super::azure::{Act, Flag};

/// What stands there; nothing in the plain worlds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Around {
    /// A read-only lock on the account, which bars grants there too.
    pub(crate) locked: bool,
    /// A policy refuses that the key is on.
    pub(crate) no_key: bool,
    /// A datastore of the first workspace holds the key, and somebody reads through it.
    pub(crate) stored: bool,
    /// A job runs in the first workspace.
    pub(crate) job: bool,
}

impl Around {
    /// Whether Azure refuses the change.
    pub(crate) fn refuses(self, act: Act) -> bool {
        match act {
            Act::SetKey(on) => self.locked || (on && self.no_key),
            Act::Grant(_) => self.locked,
            Act::SetMode(..) => false,
        }
    }

    /// What `act` breaks that is not about anybody's roles.
    pub(crate) fn breaks(self, act: Act, flag: Flag) -> Option<&'static str> {
        match act {
            Act::SetKey(false) if flag != Flag::Off && self.stored => {
                Some("the key is turned off under a datastore that holds it")
            }
            Act::SetKey(false) if flag != Flag::Off && self.no_key => {
                Some("the key is turned off although a policy bars the way back")
            }
            Act::SetMode(0, super::azure::Mode::Id) if flag != Flag::Off && self.job => {
                Some("a workspace is switched under a job")
            }
            _ => None,
        }
    }

    /// The locks at the account.
    pub(crate) fn locks(self, account: &StorageAccountId) -> Vec<Lock> {
        let id = format!("{account}/providers/Microsoft.Authorization/locks/one").parse();
        let lock = |id| Lock { id, scope: account.arm().clone(), level: LockLevel::ReadOnly };
        id.ok().filter(|_| self.locked).map(lock).into_iter().collect()
    }

    /// The datastores of the first workspace that people made.
    pub(crate) fn datastores(self, account: &StorageAccountId) -> Vec<Datastore> {
        let raw = || Datastore {
            name: "raw".to_owned(),
            account_name: Some(account.name().to_owned()),
            credentials: DatastoreCredentials::AccountKey,
            form: DatastoreForm {
                kind: "AzureBlob".to_owned(),
                space: Some("raw".to_owned()),
                ..DatastoreForm::default()
            },
        };
        self.stored.then(raw).into_iter().collect()
    }

    /// The jobs of the first workspace.
    pub(crate) fn jobs(self) -> Vec<ObservedJob> {
        let status = if self.job { "Running" } else { "Completed" };
        vec![ObservedJob { name: "train".to_owned(), job_type: "Command".to_owned(), status: status.to_owned() }]
    }

    /// The policies at any scope.
    pub(crate) fn policies(self, now: Timestamp) -> Policies {
        refusing(self.no_key.then_some("true"), now)
    }
}

/// Policies of which one refuses this value of the flag, or none at all.
pub(crate) fn refusing(value: Option<&str>, now: Timestamp) -> Policies {
    let mut all = Policies {
        assignments: Vec::new(),
        exemptions: Reading::known(Vec::new(), now),
        sets: BTreeMap::new(),
        definitions: BTreeMap::new(),
    };
    let id = |kind: &str| format!("/providers/Microsoft.Authorization/{kind}/one").parse::<ArmId>();
    if let (Some(value), Ok(definition), Ok(assignment)) = (value, id("policyDefinitions"), id("policyAssignments")) {
        let field = |field: &str, word: &str| PolicyCondition::Field {
            field: field.to_owned(),
            test: PolicyTest::Equals,
            value: PolicyValue::Word(word.to_owned()),
        };
        let kind = "Microsoft.Storage/storageAccounts";
        let rule = PolicyDefinition {
            name: "no shared key".to_owned(),
            defaults: BTreeMap::new(),
            condition: PolicyCondition::All(vec![
                field("type", kind),
                field(&format!("{kind}/allowSharedKeyAccess"), value),
            ]),
            effect: PolicyValue::Word("deny".to_owned()),
            sets: Vec::new(),
            bars_delete: false,
        };
        all.assignments.push(PolicyAssignment {
            id: assignment,
            definition: definition.clone(),
            enforced: true,
            not_scopes: Vec::new(),
            parameters: BTreeMap::new(),
            altered: false,
            overrides: Vec::new(),
        });
        all.definitions.insert(definition, Reading::known(Arc::new(rule), now));
    }
    all
}
