//! Every way of exchanging files is noticed, and a bad revision changes nothing.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use serde_json::json;

use crate::harness::{Daemon, Sim, id_of, patience, text_at};

const WORKSPACES: usize = 4;

/// A fleet with a daemon on `path` instead of the folder that was written.
fn daemon_on(sim: &Sim, path: &Path) -> Daemon {
    let mut command = sim.command(&["run", "--log", "json"]);
    command.arg("--desired-state").arg(path);
    Daemon::start_as(command)
}

/// A document that asks for nothing new and makes another revision.
fn remark(word: &str) -> String {
    format!(
        "apiVersion: keyless.dev/v1\nkind: AccessProfile\nmetadata: {{name: {word}}}\nspec:\n  access:\n    - principal: \
         {{user: {{objectId: 5a11c0de-0000-4000-8000-000000000003, name: {word}}}}}\n      level: readOnly\n"
    )
}

/// Waits until `count` revisions were accepted, and hands out the name of the last one.
#[track_caller]
fn accepted(daemon: &mut Daemon, count: usize) -> String {
    daemon.wait_until(&format!("revision {count} is in force"), patience(1), |daemon| {
        let events = daemon.events("config_accepted");
        (events.len() >= count).then(|| text_at(&events[count - 1], "/revision").to_owned())
    })
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        fs::copy(&path, to.join(path.file_name().unwrap())).unwrap();
    }
}

#[test]
fn plain_edits_and_atomic_renames_are_noticed() {
    let sim = Sim::fleet(WORKSPACES, 4);
    let mut daemon = Daemon::start(&sim);
    let mut revisions = vec![accepted(&mut daemon, 1)];
    let file = sim.desired().join("more.yaml");
    fs::write(&file, remark("written")).unwrap();
    revisions.push(accepted(&mut daemon, 2));
    fs::write(&file, remark("overwritten")).unwrap();
    revisions.push(accepted(&mut daemon, 3));
    let fresh = sim.folder().join("fresh.yaml");
    fs::write(&fresh, remark("renamed")).unwrap();
    fs::rename(&fresh, &file).unwrap();
    revisions.push(accepted(&mut daemon, 4));
    fs::remove_file(&file).unwrap();
    revisions.push(accepted(&mut daemon, 5));
    assert_eq!(revisions[4], revisions[0], "the same files are the same revision");
    revisions.pop();
    revisions.sort();
    revisions.dedup();
    assert_eq!(revisions.len(), 4, "each content is a revision of its own");
    assert!(daemon.events("config_rejected").is_empty());
}

#[test]
fn a_swap_of_links_as_in_a_mounted_config_map_is_noticed_as_a_whole() {
    let sim = Sim::fleet(WORKSPACES, 4);
    // `..data` points to a folder with a time in its name, and each file points through `..data`.
    let mount = sim.folder().join("mount");
    copy(&sim.desired(), &mount.join("..2026_11_23_1"));
    fs::write(mount.join("..2026_11_23_1/more.yaml"), remark("one")).unwrap();
    symlink("..2026_11_23_1", mount.join("..data")).unwrap();
    for entry in fs::read_dir(mount.join("..2026_11_23_1")).unwrap() {
        let name = entry.unwrap().file_name();
        symlink(Path::new("..data").join(&name), mount.join(&name)).unwrap();
    }
    let mut daemon = daemon_on(&sim, &mount);
    let first = accepted(&mut daemon, 1);

    copy(&mount.join("..2026_11_23_1"), &mount.join("..2026_11_23_2"));
    fs::write(mount.join("..2026_11_23_2/more.yaml"), remark("two")).unwrap();
    symlink("..2026_11_23_2", mount.join("..data_tmp")).unwrap();
    fs::rename(mount.join("..data_tmp"), mount.join("..data")).unwrap();
    fs::remove_dir_all(mount.join("..2026_11_23_1")).unwrap();
    assert_ne!(accepted(&mut daemon, 2), first);
    daemon.until_converged(sim.accounts().len(), patience(WORKSPACES));
    assert_eq!(daemon.events("config_accepted").len(), 2, "one swap is one revision");
    assert!(daemon.events("config_rejected").is_empty());
    sim.assert_nobody_was_denied();
}

#[test]
fn a_folder_exchanged_by_its_link_is_noticed() {
    let sim = Sim::fleet(WORKSPACES, 4);
    let (one, two, link) = (sim.folder().join("one"), sim.folder().join("two"), sim.folder().join("link"));
    copy(&sim.desired(), &one);
    copy(&sim.desired(), &two);
    fs::write(two.join("more.yaml"), remark("two")).unwrap();
    symlink("one", &link).unwrap();
    let mut daemon = daemon_on(&sim, &link);
    let first = accepted(&mut daemon, 1);
    symlink("two", sim.folder().join("next")).unwrap();
    fs::rename(sim.folder().join("next"), &link).unwrap();
    assert_ne!(accepted(&mut daemon, 2), first);
}

#[test]
fn a_bad_revision_is_rejected_with_its_place_and_the_last_good_one_is_still_enforced() {
    let sim = Sim::fleet(WORKSPACES, 4);
    let accounts = sim.accounts();
    let account = id_of(&accounts[0]);
    let mut daemon = Daemon::start(&sim);
    let good = accepted(&mut daemon, 1);
    daemon.until_converged(accounts.len(), patience(WORKSPACES));

    // A wrong word in one document, and beside it one that would be obeyed at once: the key back on.
    let bad = sim.desired().join("zz.yaml");
    let asks = format!(
        "apiVersion: keyless.dev/v1\nkind: StorageAccount\nmetadata: {{name: on}}\nspec:\n  resourceId: {account}\n  \
         sharedKeyAccess: enabled\n"
    );
    let wrong = "---\napiVersion: keyless.dev/v1\nkind: StorageAccount\nmetadata: {name: wrong}\nspec:\n  \
                 sharedKeyAcces: enabled\n";
    fs::write(&bad, format!("{asks}{wrong}")).unwrap();
    let writes = sim.requests().writes();
    let told = daemon.event("config_rejected", |_| true);
    let line = asks.lines().count() + 6;
    let place = format!("{}:{line}:3: ", bad.display());
    assert!(text_at(&told, "/problems").contains(&place), "no {place} in {told:#}");
    assert_eq!(told["level"], "ERROR");
    assert_eq!(text_at(&told, "/revision"), good, "it names the revision that stays in force");
    daemon.full_cycles(accounts.len(), 3);
    assert_eq!(sim.requests().writes(), writes, "nothing of a bad revision is obeyed");
    assert_eq!(daemon.get("/readyz").status, 200);
    assert_eq!(daemon.metric("keyless_config_rejected", ""), 1);

    // The old one is still enforced.
    sim.drift("sharedKey", account, json!(true));
    let drift =
        daemon.event("drift_detected", |event| text_at(event, "/drift").contains("shared key access is enabled"));
    assert_eq!(text_at(&drift, "/revision"), good, "{drift:#}");
    daemon.wait_until("the key is off again", patience(1), |_| (!sim.key_is_on(account)).then_some(()));
    assert_eq!(daemon.events("config_rejected").len(), 1, "an unchanged rejection is told once");

    // Mended, it is accepted and obeyed.
    fs::write(&bad, &asks).unwrap();
    accepted(&mut daemon, 2);
    daemon.wait_until("the key is on", patience(1), |_| sim.key_is_on(account).then_some(()));
    assert_eq!(daemon.metric("keyless_config_rejected", ""), 0);
    sim.assert_nobody_was_denied();
}

#[test]
fn a_start_with_bad_files_goes_on_with_the_last_good_ones() {
    let sim = Sim::fleet(WORKSPACES, 4);
    let accounts = sim.accounts();
    let mut daemon = Daemon::start(&sim);
    let good = accepted(&mut daemon, 1);
    daemon.until_converged(accounts.len(), patience(WORKSPACES));
    daemon.stop();
    fs::write(sim.desired().join("zz.yaml"), "kind: [\n").unwrap();
    sim.drift("sharedKey", id_of(&accounts[0]), json!(true));
    let mut daemon = Daemon::start(&sim);
    assert_eq!(accepted(&mut daemon, 1), good);
    daemon.event("config_rejected", |event| text_at(event, "/problems").contains("zz.yaml:"));
    daemon.wait_until("the old files are enforced", patience(1), |_| sim.is_off_keys().then_some(()));
    sim.assert_nobody_was_denied();
}
