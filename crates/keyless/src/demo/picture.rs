//! The true state of the simulated cloud, as far as the story is about it.

use std::collections::BTreeMap;

use serde_json::Value;

/// Every workspace and every account, by their ids in lower case.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Picture {
    pub(super) workspaces: BTreeMap<String, Workspace>,
    pub(super) accounts: BTreeMap<String, Account>,
}

/// A workspace, hub or project.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Workspace {
    pub(super) name: String,
    pub(super) kind: String,
    /// The account's id in lower case.
    pub(super) account: String,
    pub(super) mode: String,
}

/// A storage account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Account {
    pub(super) id: String,
    pub(super) name: String,
    pub(super) key_on: bool,
}

impl Picture {
    /// Reads what `GET /sim/world` answers.
    pub(super) fn of(world: &Value) -> Self {
        let mut picture = Self::default();
        let mut hubs: BTreeMap<String, String> = BTreeMap::new();
        for resource in world.as_array().into_iter().flatten() {
            let id = text(resource, "/id");
            let properties = |path: &str| text(resource, &format!("/properties/{path}"));
            match text(resource, "/type").to_ascii_lowercase().as_str() {
                "microsoft.machinelearningservices/workspaces" => {
                    let account = properties("storageAccount").to_ascii_lowercase();
                    let hub = properties("hubResourceId").to_ascii_lowercase();
                    hubs.insert(id.to_ascii_lowercase(), hub);
                    let mode = properties("systemDatastoresAuthMode").to_ascii_lowercase();
                    let workspace = Workspace {
                        name: name(id),
                        kind: if text(resource, "/kind").is_empty() { "Default" } else { text(resource, "/kind") }
                            .to_owned(),
                        account,
                        mode: if mode.is_empty() { "unset".to_owned() } else { mode },
                    };
                    picture.workspaces.insert(id.to_ascii_lowercase(), workspace);
                }
                "microsoft.storage/storageaccounts" => {
                    // Absent and null mean that the key is on.
                    let key_on = resource.pointer("/properties/allowSharedKeyAccess") != Some(&Value::Bool(false));
                    let account = Account { id: id.to_owned(), name: name(id), key_on };
                    picture.accounts.insert(id.to_ascii_lowercase(), account);
                }
                _ => {}
            }
        }
        picture.place_projects(&hubs);
        picture
    }

    /// A project that names no account stands on its hub's.
    fn place_projects(&mut self, hubs: &BTreeMap<String, String>) {
        let accounts: BTreeMap<String, String> =
            self.workspaces.iter().map(|(id, workspace)| (id.clone(), workspace.account.clone())).collect();
        for (id, workspace) in &mut self.workspaces {
            if workspace.account.is_empty()
                && let Some(account) = hubs.get(id).and_then(|hub| accounts.get(hub))
            {
                workspace.account.clone_from(account);
            }
        }
    }

    /// The workspaces on an account.
    pub(super) fn on(&self, account: &str) -> impl Iterator<Item = (&String, &Workspace)> {
        self.workspaces.iter().filter(move |(_, workspace)| workspace.account == account)
    }

    /// Whether every workspace is on identity and every key is off.
    pub(super) fn is_off_keys(&self) -> bool {
        self.workspaces.values().all(|workspace| workspace.mode == "identity")
            && self.accounts.values().all(|account| !account.key_on)
    }

    /// Mode and key in words.
    pub(super) fn words(&self, workspace: &str) -> String {
        let Some(own) = self.workspaces.get(workspace) else { return "gone".to_owned() };
        let key = self.accounts.get(&own.account).map_or("no account", |account| key_word(account.key_on));
        format!("{}, {key}", own.mode)
    }
}

fn key_word(on: bool) -> &'static str {
    if on { "key on" } else { "key off" }
}

fn text<'v>(value: &'v Value, pointer: &str) -> &'v str {
    value.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

fn name(id: &str) -> String {
    id.rsplit('/').next().unwrap_or_default().to_owned()
}
