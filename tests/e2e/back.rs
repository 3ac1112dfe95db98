//! The way back to keys is the true reverse of the way forward, so that there is no moment without access.

use std::path::Path;

use serde_json::Value;

use crate::harness::{Daemon, Sim, id_of, patience, same_id, taken_off_keys, text_at, wait_until};

const WORKSPACES: usize = 6;

/// The workspaces that are on the account, by their own word.
fn on_account(sim: &Sim, account: &str) -> Vec<String> {
    let all = sim.workspaces();
    let hubs: Vec<&Value> =
        all.iter().filter(|entry| same_id(text_at(entry, "/properties/storageAccount"), account)).collect();
    let belongs = |entry: &&Value| {
        let hub = text_at(entry, "/properties/hubResourceId");
        hubs.iter().any(|own| id_of(own) == id_of(entry) || same_id(id_of(own), hub))
    };
    all.iter().filter(belongs).map(|entry| id_of(entry).to_owned()).collect()
}

/// Writes `authMode: accesskey` into the documents of these workspaces, and a word for the account's key.
fn ask_for_keys(desired: &Path, workspaces: &[String], account: &str) {
    for entry in std::fs::read_dir(desired).unwrap() {
        let path = entry.unwrap().path();
        let text = std::fs::read_to_string(&path).unwrap();
        let documents: Vec<String> = text
            .split("---\n")
            .map(|document| {
                let asked =
                    workspaces.iter().any(|id| document.lines().any(|line| line.trim() == format!("resourceId: {id}")));
                if asked { document.replace("authMode: identity", "authMode: accesskey") } else { document.to_owned() }
            })
            .collect();
        std::fs::write(&path, documents.join("---\n")).unwrap();
    }
    let document = format!(
        "apiVersion: keyless.dev/v1\nkind: StorageAccount\nmetadata: {{name: back}}\nspec:\n  resourceId: {account}\n  \
         sharedKeyAccess: enabled\n"
    );
    std::fs::write(desired.join("back.yaml"), document).unwrap();
}

fn applied(daemon: &Daemon) -> Vec<Value> {
    daemon.events("action_applied")
}

#[test]
fn the_key_is_on_and_works_before_any_workspace_asks_for_it() {
    let (sim, mut daemon) = taken_off_keys(WORKSPACES);
    let accounts = sim.accounts();
    let account = id_of(&accounts[0]);
    let workspaces = on_account(&sim, account);
    assert!(!workspaces.is_empty());
    let forward = applied(&daemon).len();
    let others: Vec<String> =
        sim.workspaces().iter().map(|entry| id_of(entry).to_owned()).filter(|id| !workspaces.contains(id)).collect();

    ask_for_keys(&sim.desired(), &workspaces, account);
    wait_until("the workspaces are back on keys", patience(WORKSPACES), || {
        workspaces.iter().all(|workspace| sim.mode(workspace) == "accesskey").then_some(())
    });
    daemon.until_converged(accounts.len(), patience(WORKSPACES));
    assert!(sim.key_is_on(account));

    let back: Vec<Value> = applied(&daemon).into_iter().skip(forward).collect();
    let kinds: Vec<&str> = back.iter().map(|event| text_at(event, "/kind")).collect();
    let mut expected = vec!["SetSharedKeyAccess"];
    expected.extend(workspaces.iter().map(|_| "SetAuthMode"));
    assert_eq!(kinds, expected, "first the key, then the workspaces, and nothing else: {back:#?}");
    assert!(back.iter().all(|event| same_id(text_at(event, "/storage_account"), account)));
    assert!(back.iter().all(|event| event["effort"] == "loosen"), "{back:#?}");

    assert!(others.iter().all(|workspace| sim.mode(workspace) == "identity"), "only what the files name goes back");
    daemon.stop();
    sim.assert_nobody_was_denied();
    sim.assert_no_secret_was_asked_for();
}

#[test]
fn a_key_is_not_turned_on_for_a_workspace_alone() {
    let (sim, mut daemon) = taken_off_keys(WORKSPACES);
    let accounts = sim.accounts();
    let account = id_of(&accounts[0]);
    let workspaces = on_account(&sim, account);
    let writes = sim.requests().writes();

    ask_for_keys(&sim.desired(), &workspaces, account);
    std::fs::remove_file(sim.desired().join("back.yaml")).unwrap();
    let held = daemon.event("gate_unmet", |event| {
        same_id(text_at(event, "/storage_account"), account) && text_at(event, "/lift").contains("sharedKeyAccess")
    });
    assert!(!text_at(&held, "/why").is_empty(), "{held:#}");
    daemon.full_cycles(accounts.len(), 3);
    assert_eq!(sim.requests().writes(), writes);
    assert!(!sim.key_is_on(account));
    sim.assert_nobody_was_denied();
}

#[test]
fn the_order_of_the_articles_denies_access_on_the_way_back() {
    let (sim, daemon) = taken_off_keys(WORKSPACES);
    let accounts = sim.accounts();
    daemon.stop();
    let account = id_of(&accounts[0]);
    // They put the workspace back first and the key second.
    for workspace in on_account(&sim, account) {
        sim.set_mode_by_hand(&workspace, "AccessKey");
        wait_until("the workspace is switched", patience(1), || (sim.mode(&workspace) == "accesskey").then_some(()));
    }
    wait_until("somebody is denied", patience(1), || (sim.denied_entitled() > 0).then_some(()));
    sim.set_key_by_hand(account, true);
}

/// Somebody makes the key that workspaces hold anew.
fn rotate(sim: &Sim, account: &str) {
    sim.drift("keyRegenerated", account, Value::from("key1"));
}

#[test]
fn keys_that_were_made_anew_meanwhile_are_taken_before_the_switch() {
    let (sim, mut daemon) = taken_off_keys(WORKSPACES);
    let accounts = sim.accounts();
    let account = id_of(&accounts[0]);
    let workspaces = on_account(&sim, account);
    rotate(&sim, account);
    let forward = applied(&daemon).len();

    ask_for_keys(&sim.desired(), &workspaces, account);
    wait_until("the workspaces are back on keys", patience(WORKSPACES), || {
        workspaces.iter().all(|workspace| sim.mode(workspace) == "accesskey").then_some(())
    });
    daemon.until_converged(accounts.len(), patience(WORKSPACES));
    let back: Vec<Value> = applied(&daemon).into_iter().skip(forward).collect();
    assert_eq!(text_at(&back[0], "/kind"), "SetSharedKeyAccess");
    for workspace in &workspaces {
        let own = back.iter().filter(|event| same_id(text_at(event, "/workspace"), workspace));
        let kinds: Vec<&str> = own.map(|event| text_at(event, "/kind")).collect();
        assert_eq!(kinds, ["ResyncWorkspaceKeys", "SetAuthMode", "ResyncWorkspaceKeys"], "{back:#?}");
    }
    let writes = sim.requests().writes();
    daemon.full_cycles(accounts.len(), 3);
    daemon.stop();
    // A process that knows nothing of all this has nothing to do either.
    let mut next = Daemon::start(&sim);
    next.until_converged(accounts.len(), patience(WORKSPACES));
    next.full_cycles(accounts.len(), 3);
    assert_eq!(sim.requests().writes(), writes);
    sim.assert_nobody_was_denied();
    sim.assert_no_secret_was_asked_for();
}

#[test]
fn without_the_keys_taken_anew_the_switch_denies_access() {
    let (sim, daemon) = taken_off_keys(WORKSPACES);
    let accounts = sim.accounts();
    daemon.stop();
    // All of them: who works through a datastore of somebody's making does not sign with the workspace's key.
    for account in accounts.iter().map(id_of) {
        rotate(&sim, account);
        sim.set_key_by_hand(account, true);
    }
    // Key and mode in the right order, with time for the key to work, and nothing said of the keys.
    let tries = || sim.oracle()["tries"].as_u64().expect("a number");
    let before = tries();
    wait_until("the keys work", patience(1), || (tries() > before + 2_000).then_some(()));
    for workspace in accounts.iter().flat_map(|account| on_account(&sim, id_of(account))) {
        sim.set_mode_by_hand(&workspace, "AccessKey");
    }
    wait_until("somebody signs with an old key", patience(1), || {
        let oracle = sim.oracle();
        let causes = oracle["events"].as_array()?.iter().map(|event| text_at(event, "/cause").to_owned());
        causes.into_iter().find(|cause| cause.starts_with("AuthenticationFailed"))
    });
}

/// Takes the lists of who needs the data out of the documents of these workspaces, and lets grants of leavers be taken back.
fn forget_people(desired: &Path, workspaces: &[String]) {
    for entry in std::fs::read_dir(desired).unwrap() {
        let path = entry.unwrap().path();
        let text = std::fs::read_to_string(&path).unwrap();
        let documents: Vec<String> = text
            .split("---\n")
            .map(|document| {
                if document.contains("kind: Fleet") {
                    return document.replace("prune: false", "prune: true");
                }
                let asked =
                    workspaces.iter().any(|id| document.lines().any(|line| line.trim() == format!("resourceId: {id}")));
                let mut inside = false;
                let kept = document.lines().filter(|line| {
                    let indent = line.len() - line.trim_start().len();
                    let listed = line.trim_start().starts_with("- ");
                    if asked && indent == 2 && !listed {
                        inside = ["access:", "profiles:"].iter().any(|field| line.trim().starts_with(field));
                    }
                    !inside
                });
                kept.map(|line| format!("{line}\n")).collect()
            })
            .collect();
        std::fs::write(&path, documents.join("---\n")).unwrap();
    }
}

#[test]
fn leavers_keep_their_grants_until_everybody_is_back_over_a_kill_in_the_middle() {
    let (sim, mut daemon) = taken_off_keys(WORKSPACES);
    let accounts = sim.accounts();
    let granted: Vec<String> = applied(&daemon)
        .iter()
        .filter(|event| text_at(event, "/kind") == "GrantRole")
        .map(|event| text_at(event, "/storage_account").to_owned())
        .collect();
    let account = granted.first().expect("somebody was granted something").clone();
    let workspaces = on_account(&sim, &account);
    rotate(&sim, &account);

    ask_for_keys(&sim.desired(), &workspaces, &account);
    forget_people(&sim.desired(), &workspaces);
    daemon.event("action_applied", |event| text_at(event, "/kind") == "ResyncWorkspaceKeys");
    daemon.kill();
    let mut next = Daemon::start(&sim);
    next.until_converged(accounts.len(), patience(WORKSPACES));
    let kinds: Vec<String> = applied(&next).iter().map(|event| text_at(event, "/kind").to_owned()).collect();
    let last_of = |kind: &str| kinds.iter().rposition(|other| other == kind);
    let first_revoke = kinds.iter().position(|kind| kind == "RevokeRole").expect("leavers are pruned");
    assert!(last_of("SetAuthMode").is_none_or(|at| at < first_revoke), "{kinds:?}");
    assert!(last_of("ResyncWorkspaceKeys").is_none_or(|at| at < first_revoke), "{kinds:?}");
    assert!(workspaces.iter().all(|workspace| sim.mode(workspace) == "accesskey"));
    next.stop();
    sim.assert_nobody_was_denied();
    sim.assert_no_secret_was_asked_for();
}
