//! What became of every workspace: before, the steps, after.

use comfy_table::Table;
use keyless_controller::event::{Event, Name};

use super::picture::Picture;

pub(super) fn render(before: &Picture, after: &Picture, events: &[Event]) -> String {
    let mut table = Table::new();
    table.load_style(comfy_table::presets::UTF8_FULL_CONDENSED);
    table.set_header(["workspace", "kind", "storage account", "before", "steps", "after"]);
    for (id, workspace) in &before.workspaces {
        let account = before.accounts.get(&workspace.account).map(|account| account.name.clone()).unwrap_or_default();
        table.add_row([
            workspace.name.clone(),
            workspace.kind.to_ascii_lowercase(),
            account,
            before.words(id),
            steps(id, &workspace.account, events),
            after.words(id),
        ]);
    }
    format!("{table}\n")
}

/// The changes that were made for a workspace or its account, in their order; grants in a row are counted.
fn steps(workspace: &str, account: &str, events: &[Event]) -> String {
    let mut words: Vec<String> = Vec::new();
    let mut grants = 0_usize;
    for event in events.iter().filter(|event| event.event == Name::ActionApplied) {
        let of_account = event.storage_account.as_deref().is_some_and(|id| id.eq_ignore_ascii_case(account));
        let named = event.workspace.as_deref();
        let of_workspace = named.is_some_and(|ids| ids.split(',').any(|id| id.eq_ignore_ascii_case(workspace)));
        let of_whole_account = of_account && named.is_none();
        if !of_workspace && !of_whole_account {
            continue;
        }
        let action = event.action.as_deref().unwrap_or_default();
        match event.kind {
            Some("GrantRole") => grants += 1,
            Some("SetAuthMode") if action.contains(" identity ") => push(&mut words, &mut grants, "identity"),
            Some("SetAuthMode") => push(&mut words, &mut grants, "accesskey"),
            Some("SetSharedKeyAccess") if action.contains(" enabled ") => push(&mut words, &mut grants, "key on"),
            Some("SetSharedKeyAccess") => push(&mut words, &mut grants, "key off"),
            _ => {}
        }
    }
    flush(&mut words, &mut grants);
    words.join(", ")
}

fn push(words: &mut Vec<String>, grants: &mut usize, word: &str) {
    flush(words, grants);
    words.push(word.to_owned());
}

fn flush(words: &mut Vec<String>, grants: &mut usize) {
    match std::mem::take(grants) {
        0 => {}
        1 => words.push("1 grant".to_owned()),
        n => words.push(format!("{n} grants")),
    }
}
