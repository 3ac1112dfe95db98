//! What happens to the sample fleet: off keys, a key turned on behind everybody's back, one workspace taken back.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail};
use keyless_controller::event::{Collected, Name};
use keyless_controller::status::{Snapshot, Status};
use keyless_core::gate::GateState;
use keyless_core::plan::Standing;
use keyless_sim::{Drift, DriftChange, Simulator};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::picture::Picture;
use super::progress::Progress;

/// How long one part may take: several times what it takes on a slow machine.
const PATIENCE: Duration = Duration::from_secs(90);

/// Somebody who is no part of the fleet.
const SOMEBODY: &str = "5a11c0de-0000-4000-8000-000000000001";

pub(super) struct Story {
    pub(super) simulator: Arc<Simulator>,
    pub(super) status: Arc<Status>,
    pub(super) events: Arc<Collected>,
    pub(super) desired: PathBuf,
    pub(super) progress: Progress,
    pub(super) stop: CancellationToken,
}

impl Story {
    /// Tells the whole story; an error is what did not come to pass.
    pub(super) async fn tell(&self, before: &Picture) -> anyhow::Result<()> {
        self.progress.heading("The fleet goes off keys");
        self.until("the fleet did not go off keys", |snapshot| {
            snapshot.accounts.len() == before.accounts.len() && converged(snapshot) && self.picture().is_off_keys()
        })
        .await?;
        self.progress.tell_drift();
        self.drift().await?;
        self.revert().await
    }

    async fn drift(&self) -> anyhow::Result<()> {
        let picture = self.picture();
        let account = picture.accounts.values().next().context("the fleet has no account")?;
        self.progress.heading(&format!("Somebody turns the key of {} back on", account.name));
        let seen = self.events.events().len();
        let drift = Drift {
            change: DriftChange::SharedKey,
            target: account.id.clone(),
            value: true.into(),
            by: SOMEBODY.to_owned(),
        };
        self.simulator.drift(drift)?;
        self.until("a key that was turned on was not announced and corrected", |snapshot| {
            let announced = self.events.events().iter().skip(seen).any(|event| {
                event.event == Name::DriftDetected
                    && event.storage_account.as_deref().is_some_and(|id| id.eq_ignore_ascii_case(&account.id))
            });
            announced && converged(snapshot) && self.picture().is_off_keys()
        })
        .await
    }

    async fn revert(&self) -> anyhow::Result<()> {
        let picture = self.picture();
        // A workspace that has its account to itself, so that nobody else is taken back with it.
        let alone = picture.workspaces.iter().find(|(_, own)| picture.on(&own.account).count() == 1);
        let (id, own) = alone.or_else(|| picture.workspaces.iter().next()).context("the fleet has no workspace")?;
        let account = picture.accounts.get(&own.account).context("the workspace has no account")?;
        let waits = "what is new in files has to stand for up to ten seconds, for it may be half of what is written";
        self.progress.heading(&format!("The files take {} back to keys; {waits}", own.name));
        let revision = self.status.snapshot().revision;
        edit(&self.desired, &own.name, &account.id)?;
        self.until("the workspace was not taken back to keys", |snapshot| {
            let now = self.picture();
            let back = now.workspaces.get(id).is_some_and(|now| now.mode == "accesskey")
                && now.accounts.get(&own.account).is_some_and(|account| account.key_on);
            back && snapshot.revision != revision && converged(snapshot)
        })
        .await
    }

    fn picture(&self) -> Picture {
        Picture::of(&self.simulator.world_json())
    }

    /// Waits until something has come to pass; looks at every change of the loop's status.
    async fn until(&self, failure: &str, is_so: impl Fn(&Snapshot) -> bool) -> anyhow::Result<()> {
        let deadline = Instant::now() + PATIENCE;
        let mut changes = self.status.changes();
        loop {
            let snapshot = self.status.snapshot();
            if is_so(&snapshot) {
                return Ok(());
            }
            tokio::select! {
                () = self.stop.cancelled() => bail!("stopped before the end of the story"),
                () = tokio::time::sleep_until(deadline) => {
                    bail!("{failure} within {PATIENCE:?}: {}", stuck(&snapshot));
                }
                changed = changes.changed() => changed.context("the loop ended")?,
            }
        }
    }
}

fn converged(snapshot: &Snapshot) -> bool {
    !snapshot.accounts.is_empty()
        && snapshot.accounts.values().all(|account| account.standing() == Some(Standing::Converged))
}

/// What stands in the way of whom.
fn stuck(snapshot: &Snapshot) -> String {
    let mut lines = Vec::new();
    for (id, account) in &snapshot.accounts {
        let Some(plan) = &account.plan else {
            lines.push(format!("{}: never looked at", id.name()));
            continue;
        };
        let shut = plan.steps.iter().flat_map(|step| &step.gates).find_map(|check| match &check.state {
            GateState::Waiting { why, .. } | GateState::Unmet { why, .. } => Some(format!("{}: {why}", check.gate)),
            GateState::Open | GateState::NotLooked => None,
        });
        if plan.standing() != Standing::Converged {
            lines.push(format!("{}: {}", id.name(), shut.unwrap_or_else(|| plan.standing().as_str().to_owned())));
        }
    }
    lines.join("; ")
}

/// Changes the files as a person would: the workspace asks for keys, and the account gets the word that turns its key on.
fn edit(desired: &Path, workspace: &str, account: &str) -> anyhow::Result<()> {
    let named = format!("  name: {workspace}\n");
    for entry in std::fs::read_dir(desired)? {
        let path = entry?.path();
        let text = std::fs::read_to_string(&path)?;
        let documents: Vec<&str> = text.split("\n---\n").collect();
        let Some(own) = documents.iter().find(|part| part.contains("kind: Workspace\n") && part.contains(&named))
        else {
            continue;
        };
        let reverted = own.replace("authMode: identity", "authMode: accesskey");
        let word = format!(
            "apiVersion: keyless.dev/v1\nkind: StorageAccount\nmetadata:\n  name: {workspace}-account\nspec:\n  \
             resourceId: {account}\n  sharedKeyAccess: enabled\n"
        );
        let changed = text.replacen(own, &reverted, 1);
        let changed = format!("{}\n---\n{word}", changed.trim_end());
        // In one move, so that no half of it is ever in force.
        let fresh = desired.join(".edited");
        std::fs::write(&fresh, changed)?;
        std::fs::rename(&fresh, &path)?;
        return Ok(());
    }
    bail!("no file declares {workspace}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_edit_changes_one_workspace_and_adds_the_word_for_its_account() {
        let folder = tempfile::tempdir().unwrap();
        let document = |name: &str| {
            format!(
                "apiVersion: keyless.dev/v1\nkind: Workspace\nmetadata:\n  name: {name}\nspec:\n  authMode: identity\n"
            )
        };
        let path = folder.path().join("a.yaml");
        std::fs::write(&path, [document("one"), document("two")].join("---\n")).unwrap();
        edit(folder.path(), "two", "/subscriptions/x").unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        assert_eq!(text.matches("authMode: identity").count(), 1);
        assert!(text.contains("name: two\nspec:\n  authMode: accesskey\n---\n"), "{text}");
        assert!(text.ends_with("resourceId: /subscriptions/x\n  sharedKeyAccess: enabled\n"), "{text}");
        assert!(edit(folder.path(), "three", "/x").is_err());
    }
}
