//! As whom somebody reads and writes who works through a workspace: through its system datastores, which follow its mode,
//! or through one that people made. A credential that a datastore stores is used whoever works, so it hides a missing role;
//! without one the identity of whoever works is used, or of the compute, whatever the workspace's mode.
//! Source: MicrosoftDocs/azure-ai-docs `articles/machine-learning/how-to-administrate-data-authentication.md` (table of
//! datastore configurations) and `how-to-identity-based-service-authentication.md` (stored credentials take precedence).

use crate::azure::{Azure, Mode};
use crate::world::{ACCOUNT, DATASTORE, WORKSPACE};
use crate::{arm_id, json};

/// What a try is made with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Signed {
    /// The account's key, or a SAS that it made; the word is the metric's.
    ByKey(&'static str),
    /// The token of whoever works.
    ByToken,
}

impl Azure {
    /// What a try through the workspace is made with; nothing if what it goes through does not exist, or is signed by
    /// somebody who is not at work here, such as a service principal.
    pub(crate) fn signed(&self, workspace: &str, datastore: Option<&str>) -> Option<Signed> {
        let workspace = self.world.typed(WORKSPACE, workspace)?;
        let Some(datastore) = datastore else {
            return Some(match Mode::of(workspace) {
                Mode::AccessKey => Signed::ByKey("AccountKey"),
                Mode::Identity => Signed::ByToken,
            });
        };
        let store = self.world.typed(DATASTORE, datastore)?;
        match json::text(store, &["properties", "credentials", "credentialsType"])? {
            "AccountKey" => Some(Signed::ByKey("AccountKey")),
            "Sas" => Some(Signed::ByKey("SAS")),
            "None" => Some(Signed::ByToken),
            _ => None,
        }
    }

    /// The account on which the data lie.
    pub(crate) fn home_of(&self, workspace: &str, datastore: Option<&str>) -> String {
        let own = || self.world.account_of(workspace).unwrap_or_default();
        let Some(datastore) = datastore else { return own() };
        let named = self.world.typed(DATASTORE, datastore).and_then(|store| {
            let name = json::text(store, &["properties", "accountName"])?;
            // Account names are unique in all of Azure.
            self.world.keys_of(ACCOUNT).find(|key| arm_id::name(key).eq_ignore_ascii_case(name))
        });
        named.map_or_else(own, str::to_owned)
    }
}
