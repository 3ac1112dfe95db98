//! Access through groups and by roles of people's own making, and names of grants that clash, by the whole controller.

use std::time::Duration;

use crate::cloud::*;
use crate::rig::Rig;
use jiff::SignedDuration;
use keyless_core::catalog;
use keyless_core::desired::*;
use keyless_core::id::*;
use keyless_core::observed::*;

/// Files in which one person needs blobs.
fn of_a_person(revision: &str) -> Desired {
    let mut files = desired(revision, AuthMode::Identity, &["ml-a"]);
    for workspace in files.workspaces.values_mut() {
        for need in &mut workspace.needs {
            need.principal = PrincipalRef::Object { kind: PrincipalType::User, id: group(1), name: None };
        }
    }
    files
}

/// A group that has had the role for long, with the person in it.
fn covered(cloud: &Cloud) {
    let account = account_id("stone");
    let name: AssignmentName = "0f6c7b8a-2d1e-5c3f-9a4b-6d7e8f901234".parse().unwrap();
    let at = Some(cloud.now() - SignedDuration::from_hours(900));
    let assignment = RoleAssignment {
        id: account.arm().role_assignment(name),
        name,
        scope: account.arm().clone(),
        principal: group(9),
        principal_type: Some(PrincipalType::Group),
        role: catalog::BLOB_CONTRIBUTOR,
        condition: None,
        description: None,
        created_on: at,
        updated_on: at,
    };
    let mut state = cloud.lock();
    state.assignments.entry(account).or_default().push(assignment);
    state.members.insert((group(9), group(1)));
}

#[tokio::test(start_paused = true)]
async fn a_person_whose_group_has_the_role_is_switched_without_a_grant_once_the_membership_has_been_seen_for_long() {
    let (cloud, dir) = (Cloud::with("stone", &["ml-a"]), tempfile::tempdir().unwrap());
    covered(&cloud);
    let began = cloud.now();
    let rig = Rig::start(&cloud, dir.path(), of_a_person("1"));
    rig.converged("1").await;
    assert_eq!(cloud.calls(), ["ml-a identity", "key off stone"]);
    let switched = cloud.lock().calls[0].0;
    let wait = cloud.waits.role_propagation;
    let (wait, waited) = (SignedDuration::try_from(wait).unwrap(), switched.duration_since(began));
    assert!(waited >= wait && waited < wait + SignedDuration::from_mins(2), "{waited}");
    let before = cloud.lock().reads["role_assignments_of"];
    let from = cloud.now();
    rig.passes(60).await;
    let asked = cloud.lock().reads["role_assignments_of"] - before;
    let minutes = cloud.now().duration_since(from).as_mins();
    assert!((1..=minutes / 5 + 1).contains(&i64::try_from(asked).unwrap()), "{asked} in {minutes} minutes");
}

#[tokio::test(start_paused = true)]
async fn reads_of_a_membership_that_are_waited_for_are_made_and_no_pass_looks_at_old_ones() {
    let (cloud, dir) = (Cloud::with("stone", &["ml-a"]), tempfile::tempdir().unwrap());
    covered(&cloud);
    let mut files = of_a_person("1");
    files.fleet.waits.agreeing_reads = 10;
    let began = cloud.now();
    let rig = Rig::start(&cloud, dir.path(), files);
    rig.until("the switch", |_| !cloud.calls().is_empty()).await;
    let (asked, passes) = (cloud.lock().reads["role_assignments_of"], rig.status.snapshot().counters.passes);
    let waited = cloud.lock().calls[0].0.duration_since(began);
    let age = SignedDuration::try_from(cloud.waits.role_propagation).unwrap();
    assert!(waited < age + SignedDuration::from_mins(2), "no longer than for its age: {waited}");
    let minutes = u64::try_from(waited.as_mins()).unwrap();
    assert!(passes <= minutes + 8, "{passes} passes in {minutes} minutes");
    assert!((10..=minutes).contains(&asked), "{asked} requests in {minutes} minutes");
    rig.until("the key goes off", |_| !cloud.key_on("stone")).await;
    let (asked, from) = (cloud.lock().reads["role_assignments_of"], cloud.now());
    rig.passes(60).await;
    let (asked, minutes) =
        (cloud.lock().reads["role_assignments_of"] - asked, cloud.now().duration_since(from).as_mins());
    assert!(i64::try_from(asked).unwrap() <= minutes / 5 + 1, "{asked} requests in {minutes} minutes");
}

/// How long after its first read a process came to the switch that followed one that ran for ten minutes and was killed,
/// the membership being as `meanwhile` left it and `gap` having passed.
async fn switched_after(
    gap: Duration,
    meanwhile: impl FnOnce(&Cloud, &std::path::Path),
) -> (SignedDuration, SignedDuration) {
    let (cloud, dir) = (Cloud::with("stone", &["ml-a"]), tempfile::tempdir().unwrap());
    covered(&cloud);
    let first = cloud.now();
    let rig = Rig::start(&cloud, dir.path(), of_a_person("1"));
    let ten = first + SignedDuration::from_mins(10);
    rig.until("ten minutes", |_| cloud.now() >= ten).await;
    rig.crash().await;
    meanwhile(&cloud, dir.path());
    tokio::time::sleep(gap).await;
    let second = cloud.now();
    let rig = Rig::start(&cloud, dir.path(), of_a_person("1"));
    rig.converged("1").await;
    assert_eq!(cloud.calls(), ["ml-a identity", "key off stone"]);
    let switched = cloud.lock().calls[0].0;
    (switched.duration_since(first), switched.duration_since(second))
}

#[tokio::test(start_paused = true)]
async fn a_membership_keeps_its_age_over_a_death_if_the_next_process_looks_soon() {
    let wait = SignedDuration::try_from(waits().role_propagation).unwrap();
    let late = SignedDuration::from_mins(2);
    let (of_all, of_second) = switched_after(Duration::from_secs(30), |_, _| ()).await;
    assert!(of_all >= wait && of_second < wait - late, "{of_all} {of_second}");
    let nothing = |_: &Cloud, _: &std::path::Path| ();
    let (_, of_second) = switched_after(Duration::from_secs(20 * 60), nothing).await;
    assert!(of_second >= wait, "it may have ended and come back: {of_second}");
}

#[tokio::test(start_paused = true)]
async fn what_a_process_left_is_ignored_when_it_is_damaged_or_of_another_owner_or_not_yet() {
    let wait = SignedDuration::try_from(waits().role_propagation).unwrap();
    let edited = |from: &'static str, to: &'static str| {
        move |_: &Cloud, state: &std::path::Path| {
            let path = state.join("notes.json");
            let text = std::fs::read_to_string(&path).unwrap();
            assert!(text.contains(from), "{text}");
            std::fs::write(path, text.replace(from, to)).unwrap();
        }
    };
    for (from, to) in [
        ("{\"version\":1", "{\"version\":2"),
        ("\"owner\":\"keyless\"", "\"owner\":\"another\""),
        ("\"at\":\"2026-", "\"at\":\"2027-"),
        ("\"seen\":\"2026-", "\"seen\":\"2027-"),
        ("\"reads\"", "\"red\""),
        ("}]", "}"),
    ] {
        let (_, of_second) = switched_after(Duration::from_secs(30), edited(from, to)).await;
        assert!(of_second >= wait, "{from} {to}: {of_second}");
    }
    let (_, of_second) = switched_after(Duration::from_secs(30), |_, state| {
        std::fs::write(state.join("notes.json"), vec![b' '; 9 * 1024 * 1024]).unwrap();
    })
    .await;
    assert!(of_second >= wait, "{of_second}");
}

#[tokio::test(start_paused = true)]
async fn who_left_the_group_while_no_process_ran_and_came_back_after_the_first_read_is_new_in_it() {
    let wait = SignedDuration::try_from(waits().role_propagation).unwrap();
    let (cloud, dir) = (Cloud::with("stone", &["ml-a"]), tempfile::tempdir().unwrap());
    covered(&cloud);
    let mut files = of_a_person("1");
    // The files grant nothing here, so that the group is the only way.
    files.fleet.paused = true;
    let rig = Rig::start(&cloud, dir.path(), files.clone());
    rig.passes(12).await;
    rig.crash().await;
    cloud.lock().members.clear();
    let rig = Rig::start(&cloud, dir.path(), files.clone());
    rig.passes(2).await;
    cloud.lock().members.insert((group(9), group(1)));
    let back = cloud.now();
    files.fleet.paused = false;
    files.revision = Revision("2".to_owned());
    tokio::time::sleep(Duration::from_secs(6 * 60)).await;
    rig.files.send_replace(Some(std::sync::Arc::new(files)));
    rig.converged("2").await;
    assert_eq!(cloud.calls(), ["ml-a identity", "key off stone"]);
    assert!(cloud.lock().calls[0].0.duration_since(back) >= wait);
}

#[tokio::test(start_paused = true)]
async fn who_leaves_the_group_before_the_switch_is_noticed_by_the_confirming_read_and_gets_a_grant() {
    let (cloud, dir) = (Cloud::with("stone", &["ml-a"]), tempfile::tempdir().unwrap());
    covered(&cloud);
    let leaves = cloud.now() + SignedDuration::from_mins(14);
    let watched = std::sync::Arc::downgrade(&cloud);
    cloud.lock().on_read = Some(Box::new(move |_| {
        let cloud = watched.upgrade().unwrap();
        if cloud.now() >= leaves {
            cloud.lock().members.clear();
        }
    }));
    let rig = Rig::start(&cloud, dir.path(), of_a_person("1"));
    rig.converged("1").await;
    let calls = cloud.calls();
    assert_eq!(calls[0], "grant Storage Blob Data Contributor stone", "{calls:?}");
    assert_eq!(calls[1..], ["ml-a identity", "key off stone"]);
}

#[tokio::test(start_paused = true)]
async fn a_role_of_peoples_own_that_gives_the_access_no_more_before_the_switch_is_noticed_and_a_grant_made() {
    let (cloud, dir) = (Cloud::with("stone", &["ml-a"]), tempfile::tempdir().unwrap());
    covered(&cloud);
    let role: RoleId = "5e1f0a7e-0000-4000-8000-000000000001".parse().unwrap();
    let blobs = catalog::find_role(catalog::BLOB_CONTRIBUTOR).unwrap();
    {
        let mut state = cloud.lock();
        for assignment in state.assignments.values_mut().flatten().filter(|one| one.principal == group(9)) {
            (assignment.principal, assignment.principal_type) = (group(1), Some(PrincipalType::User));
            assignment.role = role;
        }
        let permissions = vec![catalog::permission_of(blobs)];
        let name = "our blobs".to_owned();
        let own = RoleDefinition { id: role, name, permissions, updated_on: None, built_in: false };
        state.own_roles.insert(role, own);
    }
    let changes = cloud.now() + SignedDuration::from_mins(2);
    let watched = std::sync::Arc::downgrade(&cloud);
    cloud.lock().on_read = Some(Box::new(move |_| {
        let cloud = watched.upgrade().unwrap();
        if cloud.now() >= changes {
            cloud.lock().own_roles.get_mut(&role).unwrap().permissions.clear();
        }
    }));
    let rig = Rig::start(&cloud, dir.path(), of_a_person("1"));
    rig.converged("1").await;
    let calls = cloud.calls();
    assert_eq!(calls, ["grant Storage Blob Data Contributor stone", "ml-a identity", "key off stone"]);
}

#[tokio::test(start_paused = true)]
async fn groups_that_cannot_be_read_hold_the_grant_and_the_switch() {
    let (cloud, dir) = (Cloud::with("stone", &["ml-a"]), tempfile::tempdir().unwrap());
    covered(&cloud);
    cloud.lock().down.insert("role_assignments_of");
    let rig = Rig::start(&cloud, dir.path(), of_a_person("1"));
    rig.passes(30).await;
    assert_eq!(cloud.calls(), Vec::<String>::new());
    cloud.lock().down.clear();
    rig.converged("1").await;
    assert_eq!(cloud.calls(), ["ml-a identity", "key off stone"]);
}

#[tokio::test(start_paused = true)]
async fn a_grant_whose_name_clashes_is_made_under_its_second_name_and_counts() {
    let (cloud, dir) = (Cloud::with("stone", &["ml-a"]), tempfile::tempdir().unwrap());
    cloud.lock().faults.insert(1, Fault::Clash);
    let rig = Rig::start(&cloud, dir.path(), desired("1", AuthMode::Identity, &["ml-a"]));
    rig.converged("1").await;
    let grant = "grant Storage Blob Data Contributor stone";
    assert_eq!(cloud.calls(), [grant, grant, "ml-a identity", "key off stone"]);
    let names = cloud.lock().grant_names.clone();
    assert_ne!(names[0], names[1]);
}

#[tokio::test(start_paused = true)]
async fn a_second_name_that_clashes_too_is_a_refusal_like_any_other() {
    let (cloud, dir) = (Cloud::with("stone", &["ml-a"]), tempfile::tempdir().unwrap());
    cloud.lock().faults.extend((1..=6).map(|number| (number, Fault::Clash)));
    let rig = Rig::start(&cloud, dir.path(), desired("1", AuthMode::Identity, &["ml-a"]));
    rig.converged("1").await;
    let names = cloud.lock().grant_names.clone();
    assert_eq!(names.len(), 7);
    assert!(names[1..].iter().all(|name| *name == names[1]), "no third name: {names:?}");
    let first = cloud.lock().calls[0].0;
    let last = cloud.lock().calls[6].0;
    assert!(last.duration_since(first) >= SignedDuration::try_from(Duration::from_secs(20)).unwrap(), "it backs off");
}

#[tokio::test(start_paused = true)]
async fn why_answers_by_the_same_reads_and_writes_nothing() {
    use keyless_controller::why::{WhyError, why, workspace_called};
    let cloud = Cloud::with("stone", &["ml-a"]);
    covered(&cloud);
    let files = std::sync::Arc::new(of_a_person("1"));
    let workspace = workspace_called(&files, "ml-a").unwrap();
    assert!(matches!(workspace_called(&files, "ml-z"), Err(WhyError::NoWorkspace { .. })));
    let who = group(1).to_string();
    let answer = why(files.clone(), cloud.clone(), &workspace, &who).await.unwrap();
    assert_eq!((answer.is_declared, answer.is_effective()), (true, Some(true)), "{answer:?}");
    assert_eq!(answer.needs[0].routes[0].through, Some((group(9), None)));
    assert_eq!(answer.needs[0].routes[0].member_since, None, "it was never seen before, which is told");
    let nobody = why(files.clone(), cloud.clone(), &workspace, &group(3).to_string()).await.unwrap();
    assert_eq!((nobody.is_declared, nobody.is_effective()), (false, Some(false)));
    cloud.lock().down.insert("role_assignments");
    assert_eq!(why(files.clone(), cloud.clone(), &workspace, &who).await.unwrap().is_effective(), None);
    let missing = workspace_id("ml-z");
    assert!(matches!(why(files, cloud.clone(), &missing, &who).await, Err(WhyError::Missing(_))));
    assert!(cloud.calls().is_empty());
}
