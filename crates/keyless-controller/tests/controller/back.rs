//! The way back by the whole controller: keys that were made anew meanwhile, crashes in the middle, a right that is missing.

use std::sync::Arc;
use std::time::Duration;

use crate::cloud::*;
use crate::rig::Rig;
use keyless_controller::event::Name;
use keyless_core::desired::*;

const NAMES: [&str; 2] = ["ml-a", "ml-b"];

fn back(revision: &str) -> Desired {
    with_key(desired(revision, AuthMode::AccessKey, &NAMES), "stone", DesiredSharedKey::Enabled)
}

/// Two workspaces off keys, and somebody who made a key of their account anew since.
async fn rotated() -> (Arc<Cloud>, tempfile::TempDir, Rig) {
    let (cloud, dir) = (Cloud::with("stone", &NAMES), tempfile::tempdir().unwrap());
    let rig = Rig::start(&cloud, dir.path(), desired("1", AuthMode::Identity, &NAMES));
    rig.converged("1").await;
    let now = cloud.now();
    {
        let mut state = cloud.lock();
        state.made.insert(account_id("stone"), now);
        state.stale = NAMES.iter().map(|name| workspace_id(name)).collect();
        state.calls.clear();
        state.faults.clear();
    }
    (cloud, dir, rig)
}

#[tokio::test(start_paused = true)]
async fn keys_that_were_made_anew_are_taken_before_the_switch_and_once_after_it() {
    let (cloud, dir, rig) = rotated().await;
    rig.files.send_replace(Some(Arc::new(back("2"))));
    rig.converged("2").await;
    let calls = cloud.calls();
    assert_eq!(calls[0], "key on stone", "{calls:?}");
    for name in NAMES {
        let own: Vec<&String> = calls.iter().filter(|call| call.starts_with(name)).collect();
        let [taken, switched] = [format!("{name} takes keys"), format!("{name} accesskey")];
        assert_eq!(own, [&taken, &switched, &taken]);
    }
    rig.passes(5).await;
    assert!(rig.stop().await.settled);
    let again = Rig::start(&cloud, dir.path(), back("2"));
    again.converged("2").await;
    again.passes(5).await;
    assert_eq!(cloud.calls(), calls, "neither passes nor a restart take keys for nothing");
}

#[tokio::test(start_paused = true)]
async fn a_crash_at_any_write_of_the_way_back_costs_a_wait_and_keys_taken_once_more() {
    // The key, and for each workspace its keys, its mode and its keys once more.
    for number in 1..=7 {
        for landing in [None, Some(Duration::ZERO), Some(Duration::from_secs(200))] {
            let (cloud, dir, rig) = rotated().await;
            cloud.lock().faults.insert(number, Fault::Hang(landing));
            rig.files.send_replace(Some(Arc::new(back("2"))));
            while cloud.calls().len() < number {
                cloud.called.notified().await;
            }
            rig.crash().await;
            // The cloud looks at every switch: nobody is sent to a dead key or to one that is not held.
            let next = Rig::start(&cloud, dir.path(), back("2"));
            next.converged("2").await;
            next.passes(3).await;
            let calls = cloud.calls();
            // The write that was lost, and the keys of two workspaces whose taking is forgotten.
            assert!(calls.len() <= 7 + 3, "at write {number}: {calls:?}");
            assert!(cloud.lock().stale.is_empty(), "at write {number}: {calls:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn keys_that_were_taken_before_a_death_are_not_taken_again_unless_the_notes_are_lost_or_a_key_is_made_anew() {
    for (case, expected) in [("kept", 7), ("lost", 9), ("rotated", 9)] {
        let (cloud, dir, rig) = rotated().await;
        rig.files.send_replace(Some(Arc::new(back("2"))));
        // The switches wait for the key to work.
        rig.until("the keys are taken", |_| cloud.calls().len() == 3).await;
        rig.passes(2).await;
        rig.crash().await;
        match case {
            "lost" => std::fs::remove_file(dir.path().join("notes.json")).unwrap(),
            "rotated" => {
                let now = cloud.now();
                let mut state = cloud.lock();
                state.made.insert(account_id("stone"), now);
                state.stale = NAMES.iter().map(|name| workspace_id(name)).collect();
            }
            _ => {}
        }
        let next = Rig::start(&cloud, dir.path(), back("2"));
        next.converged("2").await;
        next.passes(3).await;
        let calls = cloud.calls();
        assert_eq!(calls.len(), expected, "{case}: {calls:?}");
        let switched = calls.iter().position(|call| call == "ml-a accesskey").unwrap();
        assert!(calls[switched..].iter().any(|call| call == "ml-a takes keys"), "{case}: once more after the switch");
        assert!(cloud.lock().stale.is_empty(), "{case}");
    }
}

#[tokio::test(start_paused = true)]
async fn keys_are_taken_once_more_after_a_switch_whose_answer_was_lost_also_by_the_next_process() {
    for dies in [false, true] {
        let (cloud, dir, rig) = rotated().await;
        // After the key and the keys of both.
        let fault = if dies { Fault::Hang(Some(Duration::ZERO)) } else { Fault::Lost(Some(Duration::ZERO)) };
        cloud.lock().faults.insert(4, fault);
        rig.files.send_replace(Some(Arc::new(back("2"))));
        while !cloud.calls().iter().any(|call| call.ends_with(" accesskey")) {
            cloud.called.notified().await;
        }
        let rig = if dies {
            rig.crash().await;
            Rig::start(&cloud, dir.path(), back("2"))
        } else {
            rig
        };
        rig.converged("2").await;
        rig.passes(5).await;
        let calls = cloud.calls();
        for name in NAMES {
            let own: Vec<&String> = calls.iter().filter(|call| call.starts_with(name)).collect();
            let [taken, switched] = [format!("{name} takes keys"), format!("{name} accesskey")];
            assert_eq!(own, [&taken, &switched, &taken], "{calls:?}");
        }
    }
}

/// What is owed is owed also where Azure does not tell when keys were made; only what rests on their age is not known then.
#[tokio::test(start_paused = true)]
async fn a_death_between_the_switch_and_the_keys_leaves_them_owed_though_their_age_is_not_told() {
    // The keys of both, the mode of the first: each done when the process dies, but for what it remembers.
    for writes in 3..=5 {
        let (cloud, dir, rig) = rotated().await;
        cloud.lock().untold = true;
        rig.files.send_replace(Some(Arc::new(back("2"))));
        // Noted before the next write hangs.
        cloud.lock().faults.insert(writes + 1, Fault::Hang(None));
        while cloud.calls().len() <= writes {
            cloud.called.notified().await;
        }
        rig.crash().await;
        let next = Rig::start(&cloud, dir.path(), back("2"));
        next.converged("2").await;
        next.passes(3).await;
        let mut calls = cloud.calls();
        // It was sent and never landed.
        calls.remove(writes);
        for name in NAMES {
            let taken = format!("{name} takes keys");
            let switched = calls.iter().rposition(|call| *call == format!("{name} accesskey")).unwrap();
            let after = calls[switched..].iter().filter(|call| **call == taken).count();
            assert_eq!(after, 1, "{name}, died after {writes}: {calls:?}");
            let before = calls[..switched].iter().filter(|call| **call == taken).count();
            assert!((1..=2).contains(&before), "{name}, died after {writes}: {calls:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn files_that_turn_round_in_the_middle_leave_nobody_without_access() {
    // Some back and some not yet, then forward again, then back again; the cloud judges every write.
    for writes in 1..=5 {
        let (cloud, _dir, rig) = rotated().await;
        rig.files.send_replace(Some(Arc::new(back("2"))));
        while cloud.calls().len() < writes {
            cloud.called.notified().await;
        }
        rig.files.send_replace(Some(Arc::new(desired("3", AuthMode::Identity, &NAMES))));
        rig.converged("3").await;
        assert!(!cloud.key_on("stone"));
        rig.files.send_replace(Some(Arc::new(back("4"))));
        rig.converged("4").await;
        assert!(cloud.key_on("stone"));
        rig.passes(3).await;
        assert!(cloud.lock().stale.is_empty());
    }
}

#[tokio::test(start_paused = true)]
async fn a_right_that_is_missing_holds_its_workspace_and_is_told_with_the_command() {
    let (cloud, _dir, rig) = rotated().await;
    // One of the two was made after the rotation, so that it has the keys.
    {
        let mut state = cloud.lock();
        let young = workspace_id("ml-b");
        let born = state.made[&account_id("stone")] + jiff::SignedDuration::from_secs(1);
        state.workspaces.get_mut(&young).unwrap().created_at = Some(born);
        state.stale.remove(&young);
        for number in 2..100 {
            state.faults.insert(number, Fault::NoRightToKeys);
        }
    }
    rig.files.send_replace(Some(Arc::new(back("2"))));
    rig.until("the other one is back", |_| cloud.calls().iter().any(|call| call == "ml-b accesskey")).await;
    rig.passes(30).await;
    assert!(!cloud.calls().iter().any(|call| call == "ml-a accesskey"));
    let told = rig.told(Name::GateUnmet);
    let command = "az ml workspace sync-keys --name ml-a";
    assert!(told.iter().any(|event| event.lift.as_deref().is_some_and(|lift| lift.contains(command))), "{told:#?}");
    let failed = rig.told(Name::ActionFailed);
    assert!(failed.iter().all(|event| event.kind == Some("ResyncWorkspaceKeys")), "{failed:#?}");

    // Done by hand, and said so in the document.
    cloud.lock().stale.clear();
    let mut accepted = back("3");
    let until = cloud.now() + jiff::SignedDuration::from_secs(3600);
    let declared = accepted.workspaces.get_mut(&workspace_id("ml-a")).unwrap();
    declared.accept_stale_keys =
        Some(Acceptance { reason: "synced by hand".to_owned(), owner: "ops".to_owned(), until });
    rig.files.send_replace(Some(Arc::new(accepted)));
    rig.converged("3").await;
}

#[tokio::test(start_paused = true)]
async fn a_key_that_the_files_let_on_goes_off_only_when_the_metric_tells_of_that_time() {
    for restarts in [false, true] {
        let (cloud, dir, mut rig) = rotated().await;
        let word = |revision: &str, word| with_key(desired(revision, AuthMode::Identity, &NAMES), "stone", word);
        rig.files.send_replace(Some(Arc::new(word("2", DesiredSharedKey::Enabled))));
        rig.converged("2").await;
        assert_eq!(cloud.calls(), ["key on stone"]);
        rig.passes(30).await;
        let asked = cloud.now();
        let off = word("3", DesiredSharedKey::Disabled);
        if restarts {
            assert!(rig.stop().await.settled);
            rig = Rig::start(&cloud, dir.path(), off);
        } else {
            rig.files.send_replace(Some(Arc::new(off)));
        }
        rig.converged("3").await;
        let calls = cloud.lock().calls.clone();
        assert_eq!(calls[1].1, "key off stone");
        let waited = calls[1].0.duration_since(asked);
        assert!(waited >= waits().metrics_lag.try_into().unwrap(), "{waited:?}, restarts {restarts}");
        let gates = rig.told(Name::GateUnmet);
        let told = |why: &str| why.contains("while the files left it on");
        assert!(gates.iter().any(|event| event.why.as_deref().is_some_and(told)), "{gates:#?}");
    }
}

/// A key takes time to come on, and clients do not try all the time.
#[tokio::test(start_paused = true)]
async fn a_key_that_the_files_give_up_before_it_works_goes_off_only_after_those_who_waited_for_it_had_it() {
    let (cloud, _dir, rig) = rotated().await;
    let word = |revision: &str, word| with_key(desired(revision, AuthMode::Identity, &NAMES), "stone", word);
    rig.files.send_replace(Some(Arc::new(word("2", DesiredSharedKey::Enabled))));
    rig.converged("2").await;
    rig.files.send_replace(Some(Arc::new(word("3", DesiredSharedKey::Disabled))));
    rig.converged("3").await;
    let calls = cloud.lock().calls.clone();
    assert_eq!([calls[0].1.as_str(), calls[1].1.as_str()], ["key on stone", "key off stone"]);
    let next_try = Duration::from_secs(60);
    let shown = waits().key_effect + next_try + waits().metrics_lag;
    let kept = calls[1].0.duration_since(calls[0].0);
    assert!(kept >= shown.try_into().unwrap(), "{kept:?}");
}
