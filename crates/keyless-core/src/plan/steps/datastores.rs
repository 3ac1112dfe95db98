//! User-created datastores: stored credentials go, and missing ones without credentials are made.
//!
//! What exists is never overwritten in anything but its credentials: what differs is told and left to people. On the way
//! back converted datastores stay, for their secrets are gone.

use std::collections::{BTreeMap, BTreeSet};

use crate::action::{Action, Effort};
use crate::desired::{
    Acceptance, AuthMode, DatastoreKind, DatastorePlace, DesiredDatastore, DesiredDatastores, DesiredForm,
    DesiredWorkspace, ServiceDataAccess,
};
use crate::gate::Gate;
use crate::id::WorkspaceId;
use crate::observed::{Datastore, DatastoreCredentials, DatastoreForm, Reading, Workspace};
use crate::plan::gates;
use crate::plan::needs::NeedView;
use crate::plan::{Drift, Finding};

use super::Planner;

impl Planner<'_> {
    pub(super) fn datastores(&mut self, views: &BTreeMap<&WorkspaceId, Vec<NeedView<'_>>>) {
        for (workspace, own) in self.present() {
            // The pass over the account that a workspace stands on takes care of all of its datastores.
            let elsewhere = own.storage_account.as_ref().is_some_and(|account| *account != self.desired.account_id);
            if workspace.datastores == DesiredDatastores::Unmanaged || elsewhere {
                continue;
            }
            let found = match self.observed.workspaces.get(&workspace.id).map(|entry| &entry.datastores) {
                None | Some(Reading::NotRead) => {
                    self.wants.datastores.insert(workspace.id.clone());
                    continue;
                }
                Some(Reading::Unknown { why, cause }) => {
                    let what = format!("datastores of {}", workspace.id.name());
                    self.findings.insert(Finding::Incomplete { what, why: why.clone(), cause: cause.clone() });
                    continue;
                }
                Some(Reading::Known { value, .. }) => value,
            };
            let views = views.get(&workspace.id).map(Vec::as_slice).unwrap_or_default();
            match &workspace.datastores {
                DesiredDatastores::Unmanaged => {}
                DesiredDatastores::ConvertAll => {
                    let keyed = found.iter().filter(|store| !store.is_system() && store.credentials.is_key());
                    for datastore in keyed {
                        self.convert(workspace, datastore, None, views);
                    }
                }
                DesiredDatastores::Listed(listed) => {
                    for asked in listed.values() {
                        let existing = found.iter().find(|store| store.name.eq_ignore_ascii_case(&asked.name));
                        self.listed_datastore(workspace, own, asked, existing, views);
                    }
                }
            }
        }
    }

    fn listed_datastore(
        &mut self,
        workspace: &DesiredWorkspace,
        own: &Workspace,
        asked: &DesiredDatastore,
        existing: Option<&Datastore>,
        views: &[NeedView<'_>],
    ) {
        let accepted = asked.accept_access.as_ref();
        match (&asked.form, existing) {
            (DesiredForm::WithoutCredentials, None) => {
                self.datastore_differs(workspace, &asked.name, "name", "there is no datastore of this name".to_owned());
            }
            (DesiredForm::WithoutCredentials, Some(datastore)) => match &datastore.credentials {
                DatastoreCredentials::None => {}
                DatastoreCredentials::Other(word) => {
                    let why = format!("it holds `{word}`, which keyless does not know");
                    self.datastore_differs(workspace, &asked.name, "credentials", why);
                }
                _ => self.convert(workspace, datastore, accepted, views),
            },
            (DesiredForm::At(place), None) => self.create_datastore(workspace, own, asked, place),
            (DesiredForm::At(place), Some(datastore)) => {
                let mut differing = differences(place, datastore, self.desired.account_id.name());
                if !datastore.credentials.is_key() && datastore.credentials != DatastoreCredentials::None {
                    let why = format!(
                        "it holds {}; `credentials: none` instead of a type takes it away",
                        datastore.credentials
                    );
                    differing.push(("credentials", why));
                }
                if differing.is_empty() && datastore.credentials.is_key() {
                    self.convert(workspace, datastore, accepted, views);
                }
                for (field, why) in differing {
                    self.datastore_differs(workspace, &asked.name, field, why);
                }
            }
        }
    }

    fn datastore_differs(&mut self, workspace: &DesiredWorkspace, name: &str, field: &'static str, why: String) {
        let (workspace, name) = (workspace.id.clone(), name.to_owned());
        self.findings.insert(Finding::DatastoreDiffers { workspace, name, field, why });
    }

    fn convert(
        &mut self,
        workspace: &DesiredWorkspace,
        datastore: &Datastore,
        accepted: Option<&Acceptance>,
        views: &[NeedView<'_>],
    ) {
        // A workspace that is to be on access keys keeps what it has.
        if workspace.auth_mode != AuthMode::Identity {
            return;
        }
        self.drift.insert(Drift::DatastoreCredential {
            workspace: workspace.id.clone(),
            name: datastore.name.clone(),
            observed: datastore.credentials.clone(),
        });
        let action = Action::SetDatastoreCredential {
            workspace: workspace.id.clone(),
            name: datastore.name.clone(),
            from: datastore.credentials.clone(),
        };
        let active = gates::workspace_active(workspace, self.desired, self.observed.now);
        let mut checks = self.checks(&action, Effort::Tighten, active);
        checks.look(Gate::OneWayAccepted, gates::one_way_accepted(workspace, self.observed.latest()));
        checks.look(Gate::ModeKnown, gates::mode_known(&workspace.id, self.observed));
        checks.look(Gate::OnIdentity, gates::on_identity(&workspace.id, self.observed));
        let judged = gates::access_judged(datastore, accepted, views, self.observed, self.desired);
        checks.look(Gate::AccessJudged, judged);
        if datastore.is_on(self.desired.account_id.name()) {
            checks.look(Gate::NeedsCovered, gates::needs_covered(views, self.observed, self.desired));
            checks.look(Gate::NeedsAged, gates::needs_aged(views, self.observed, self.desired));
            let service = gates::service_grant_there(workspace, self.observed, self.desired);
            checks.look(Gate::ServiceGrant, service);
        }
        self.barriers(&mut checks, &action);
        self.push(action, Effort::Tighten, BTreeSet::from([workspace.id.clone()]), checks);
    }

    fn create_datastore(
        &mut self,
        workspace: &DesiredWorkspace,
        own: &Workspace,
        asked: &DesiredDatastore,
        place: &DatastorePlace,
    ) {
        let (id, name) = (workspace.id.clone(), asked.name.clone());
        self.drift.insert(Drift::DatastoreMissing { workspace: id.clone(), name: name.clone() });
        let account = &self.desired.account_id;
        let mut place = place.clone();
        if place.kind != DatastoreKind::AdlsGen1 {
            let named = place.account.get_or_insert_with(|| account.name().to_owned());
            if named.eq_ignore_ascii_case(account.name()) {
                place.subscription.get_or_insert_with(|| account.subscription().to_string());
                place.resource_group.get_or_insert_with(|| account.resource_group().to_owned());
            }
        }
        if own.primary_identity.is_some() && place.service_access == Some(ServiceDataAccess::Workspace) {
            place.service_access = Some(ServiceDataAccess::PrimaryIdentity);
        }
        let action = Action::CreateDatastore { workspace: id.clone(), name, place };
        let active = gates::workspace_active(workspace, self.desired, self.observed.now);
        let mut checks = self.checks(&action, Effort::Loosen, active);
        checks.look(Gate::ModeKnown, gates::mode_known(&id, self.observed));
        self.barriers(&mut checks, &action);
        self.push(action, Effort::Loosen, BTreeSet::from([id]), checks);
    }
}

/// The fields of the file in which a datastore stands elsewhere than asked, and what is asked and seen.
fn differences(place: &DatastorePlace, found: &Datastore, own_account: &str) -> Vec<(&'static str, String)> {
    let DatastorePlace { kind, account, space, subscription, resource_group, service_access } = place;
    let DatastoreForm { kind: seen_kind, space: seen_space, subscription: seen_subscription, .. } = &found.form;
    let mut differing = Vec::new();
    let mut compare = |field: &'static str, asked: &str, seen: Option<&str>| {
        if !seen.is_some_and(|seen| seen.eq_ignore_ascii_case(asked)) {
            let seen = seen.map_or_else(|| "nothing".to_owned(), |seen| format!("`{seen}`"));
            differing.push((field, format!("the file asks for `{asked}`, Azure shows {seen}")));
        }
    };
    compare("type", kind.as_wire(), Some(seen_kind));
    if *kind != DatastoreKind::AdlsGen1 {
        compare("account", account.as_deref().unwrap_or(own_account), found.account_name.as_deref());
    }
    let field = match kind {
        DatastoreKind::Blob => "container",
        DatastoreKind::AdlsGen1 => "store",
        DatastoreKind::AdlsGen2 => "filesystem",
        DatastoreKind::File => "share",
    };
    compare(field, space, seen_space.as_deref());
    // Azure need not tell these, and the account's name is unique without them.
    if let (Some(asked), Some(seen)) = (subscription, seen_subscription) {
        compare("subscription", asked, Some(seen));
    }
    if let (Some(asked), Some(seen)) = (resource_group, &found.form.resource_group) {
        compare("resourceGroup", asked, Some(seen));
    }
    let uses_identity = found.form.service_access.as_deref().is_some_and(|word| !word.eq_ignore_ascii_case("None"));
    let asked = service_access.map(|access| access != ServiceDataAccess::None);
    if let Some(asked) = asked.filter(|asked| *asked != uses_identity) {
        let word = |uses: bool| if uses { "workspace" } else { "none" };
        compare("serviceDataAccess", word(asked), Some(word(uses_identity)));
    }
    differing
}
