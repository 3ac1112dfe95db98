//! `keyless why`: the reads behind one answer about one principal and one workspace. Writes nothing, for it is handed no
//! writer.

use std::collections::BTreeSet;
use std::sync::Arc;

use jiff::Timestamp;
use keyless_arm::api::{Answer, ReadArm};
use keyless_arm::error::ArmError;
use keyless_core::desired::Desired;
use keyless_core::id::{StorageAccountId, WorkspaceId};
use keyless_core::observed::History;
use keyless_core::plan::why::{self, NobodyFound, Why};

use crate::clock::ServerClock;
use crate::failed::Failure;
use crate::growth::Growth;
use crate::index::Index;
use crate::memory::Memory;
use crate::observe::{Ask, Observer, Seen};
use crate::view::View;

/// How often what is still open is read, before it is told as unknown.
const ROUNDS: usize = 6;

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum WhyError {
    /// It is neither an id nor the name of a declared workspace.
    #[error("no document is about a workspace `{word}`\nhint: give its id, or one of: {}", names.join(", "))]
    NoWorkspace {
        /// The word.
        word: String,
        /// The names of the declared ones.
        names: Vec<String>,
    },
    /// Azure says there is none.
    #[error("workspace {0} does not exist")]
    Missing(WorkspaceId),
    /// It names neither an account nor a hub.
    #[error("{} names neither an account nor a hub", .0.name())]
    Nowhere(WorkspaceId),
    /// Its account could not be found out.
    #[error("the account of {} could not be found out: {why}", workspace.name())]
    Unplaced {
        /// Which workspace.
        workspace: WorkspaceId,
        /// Why.
        why: Failure,
    },
    /// It could not be read.
    #[error("{} could not be read", workspace.name())]
    Unread {
        /// Which workspace.
        workspace: WorkspaceId,
        /// Why.
        #[source]
        source: Box<ArmError>,
    },
    /// The principal means nobody, or several.
    #[error(transparent)]
    Principal(#[from] NobodyFound),
}

/// The workspace that a word of the command line means: an id, or the name of a document.
///
/// # Errors
/// [`WhyError::NoWorkspace`] if it is neither.
pub fn workspace_called(desired: &Desired, word: &str) -> Result<WorkspaceId, WhyError> {
    if let Ok(id) = WorkspaceId::parse(word) {
        return Ok(id);
    }
    let mut declared = desired.workspaces.values();
    let found = declared.find(|workspace| workspace.name == word || workspace.id.name().eq_ignore_ascii_case(word));
    found.map(|workspace| workspace.id.clone()).ok_or_else(|| WhyError::NoWorkspace {
        word: word.to_owned(),
        names: desired.workspaces.values().map(|workspace| workspace.name.clone()).collect(),
    })
}

/// Reads what decides it and answers. `principal` is an object id, or what the files call a principal.
///
/// # Errors
/// [`WhyError`] if the workspace has no account that is known, or the principal means nobody.
pub async fn why(
    desired: Arc<Desired>,
    read: Arc<dyn ReadArm>,
    workspace: &WorkspaceId,
    principal: &str,
) -> Result<Why, WhyError> {
    let clock = Arc::new(ServerClock::default());
    let observer = Observer::new(read, clock, Arc::new(Memory::new(Growth::PERSON)));
    let index = Index::default().refreshed(&desired, observer.searcher()).await;
    let account = account_of(&index, &observer, workspace).await?;
    let view = View::new(desired, Arc::new(index));
    let key = view.desired_for(&account);
    let mut observed = view.observed_for(&account, observer.clock().last().unwrap_or(Timestamp::MIN));
    let mut reads = why::reads(&key, workspace);
    for _ in 0..ROUNDS {
        let ask = Ask { desired: &key, reads: &reads, confirming: None, known: &view.known };
        let Seen { part, .. } = observer.observe(ask).await;
        observed.absorb(part);
        // This process has only just begun to look, so what it remembers says nothing.
        observed.history = History::default();
        let answer = why::why(&key, &observed, workspace, principal);
        match answer {
            Ok(why) if !why.wants.is_empty() && why.wants != reads => reads = why.wants,
            Ok(why) => return Ok(why),
            Err(nobody) => return Err(nobody.into()),
        }
    }
    Ok(why::why(&key, &observed, workspace, principal)?)
}

/// The account of a workspace, declared or not.
async fn account_of(index: &Index, observer: &Observer, workspace: &WorkspaceId) -> Result<StorageAccountId, WhyError> {
    let Index { placed, listed: _, left_out: _, out_of_scope: _, listings: _, unplaced, holders: _, missing } = index;
    if let Some((account, _)) = placed.iter().find(|(_, on): &(_, &BTreeSet<WorkspaceId>)| on.contains(workspace)) {
        return Ok(account.clone());
    }
    if missing.contains(workspace) {
        return Err(WhyError::Missing(workspace.clone()));
    }
    if let Some(why) = unplaced.get(workspace) {
        return Err(WhyError::Unplaced { workspace: workspace.clone(), why: why.clone() });
    }
    // Outside of all that is searched: the workspace itself tells, unless it is a project and its hub does.
    match observer.reader().workspace(workspace).await {
        Ok(Answer { value: Some(own), .. }) => own.storage_account.ok_or_else(|| WhyError::Nowhere(workspace.clone())),
        Ok(Answer { value: None, .. }) => Err(WhyError::Missing(workspace.clone())),
        Err(source) => Err(WhyError::Unread { workspace: workspace.clone(), source: Box::new(source) }),
    }
}
