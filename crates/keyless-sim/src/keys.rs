//! Keys that are made anew, and workspaces that do not have them yet.
//!
//! A workspace holds a copy of its account's first key; which of the two it is no public source tells, so that is a design
//! decision. After that key was made anew "Azure Machine Learning must be updated to use the new key":
//! <https://learn.microsoft.com/azure/machine-learning/how-to-change-storage-access-key>. It takes around an hour by
//! itself, or `resyncKeys` at once: MicrosoftDocs/azure-ai-docs `articles/machine-learning/how-to-manage-workspace-cli.md`,
//! "Sync keys for dependent resources".
//!
//! Nothing public says whether a workspace on identity is handed new keys by itself, or takes the present ones when it is
//! switched back. Here it does neither, which is the worse case for whoever switches it back.

use serde_json::{Value, json};

use crate::account::Change;
use crate::azure::{Azure, Mode, Timer};
use crate::operation::Write;
use crate::request::{Call, Reply};
use crate::world::WORKSPACE;
use crate::{arm_id, json, time};

/// The right, and what the activity log calls it.
pub(crate) const RESYNC: &str = "Microsoft.MachineLearningServices/workspaces/resyncKeys/action";

/// The key that workspaces hold.
const HELD: &str = "key1";

impl Azure {
    /// A key of an account is made anew; whoever signs with the old one is refused from here on.
    pub(crate) fn regenerate_key(&mut self, account: &str, name: &str) {
        let made = time::stamp(self.now);
        let Some(value) = self.world.get_mut(account) else { return };
        let times = json::object(value, "properties").entry("keyCreationTime").or_insert_with(|| json!({}));
        json::into_object(times).insert(name.to_owned(), json!(made));
        if name != HELD {
            return;
        }
        let on_account: Vec<String> = self
            .world
            .keys_of(WORKSPACE)
            .filter(|key| self.world.account_of(key).as_deref() == Some(account))
            .map(str::to_owned)
            .collect();
        for workspace in on_account {
            self.stale_keys.insert(workspace.clone(), self.now);
            self.await_keys(&workspace);
            self.reconsider_workspace(&workspace);
        }
    }

    /// A workspace with an old key is handed the new one after a while, if it is on keys then.
    pub(crate) fn await_keys(&mut self, workspace: &str) {
        if !self.stale_keys.contains_key(workspace) {
            return;
        }
        let at = time::after(self.now, self.speed.shorten(self.knobs.key_sync));
        self.stale_keys.insert(workspace.to_owned(), at);
        self.schedule(at, Timer::KeysHandedOn { workspace: workspace.to_owned() });
    }

    /// What an hour does by itself.
    pub(crate) fn hand_keys_on(&mut self, workspace: &str) {
        let due = self.stale_keys.get(workspace).is_some_and(|at| *at <= self.now);
        let on_keys = self.world.typed(WORKSPACE, workspace).is_some_and(|value| Mode::of(value) == Mode::AccessKey);
        if due && on_keys {
            self.take_keys(workspace);
        }
    }

    /// The workspace has the present keys.
    pub(crate) fn take_keys(&mut self, workspace: &str) {
        self.stale_keys.remove(workspace);
        self.reconsider_workspace(workspace);
    }

    /// Takes the keys of the account anew, at once or by an operation that ends with nothing.
    /// Source: Azure/azure-rest-api-specs `specification/machinelearningservices/.../stable/2025-09-01/workspaceRP.json`,
    /// `Workspaces_ResyncKeys`. That it counts as an operation on the workspace is a design decision, and so is that the
    /// workspace lists the account's keys, which a read-only lock bars: MicrosoftDocs/azure-docs
    /// `articles/azure-resource-manager/management/lock-resources.md`.
    pub(crate) fn resync_keys(&mut self, caller: &str, call: &Call, key: &str) -> Reply {
        self.authorize(caller, RESYNC, key)?;
        self.existing_workspace(key, arm_id::name(key))?;
        self.unlocked(key, Change::Write)?;
        if let Some(account) = self.world.account_of(key) {
            self.unlocked(&account, Change::Write)?;
        }
        self.write_workspace(caller, call, key, Write::TakeKeys)
    }

    /// When each key of an account was made, for whoever lists them.
    pub(crate) fn key_made(&self, account: &str, name: &str) -> Value {
        let told = self.world.get(account).and_then(|value| json::at(value, &["properties", "keyCreationTime", name]));
        told.cloned().unwrap_or_else(|| json!(time::stamp(self.started)))
    }
}
