use keyless_core::action::Effort;
use keyless_core::desired::Revision;
use keyless_core::gate::ReadSet;
use keyless_core::observed::{Cause, DatastoreCredentials, DatastoreForm, Network, ServiceFlags, SharedKeyAccess};
use keyless_core::pass::{Refused, WriteRecord};
use keyless_core::plan::{Plan, Step};

use super::*;

const ARRIVAL: Duration = Duration::from_secs(100);

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_795_000_000 + second).unwrap()
}

fn key() -> StorageAccountId {
    "/subscriptions/3f8c1d7a-52b4-4c0e-9d2e-7a1b6c5d4e90/resourceGroups/rg/providers/Microsoft.Storage/storageAccounts/stml"
        .parse()
        .unwrap()
}

fn account(key_on: bool) -> Account {
    Account {
        id: key(),
        shared_key: if key_on { SharedKeyAccess::Allowed } else { SharedKeyAccess::Disallowed },
        services: ServiceFlags::default(),
        key_times: KeyTimes::default(),
        network: Network::default(),
        provisioning_state: None,
        blob_endpoint: None,
        location: "westeurope".to_owned(),
    }
}

fn looks(memory: &Memory, key_on: bool, second: i64) -> History {
    memory.saw_account(&key(), &Reading::known(Some(account(key_on)), at(second)), Some(at(second)));
    memory.history(&key())
}

fn on(memory: &Memory, second: i64) -> Option<Timestamp> {
    looks(memory, true, second).key_on_since
}

/// Takes in who holds the key, and returns until when something may have signed with it.
fn signed(memory: &Memory, any: Holders<Option<bool>>, second: i64) -> Option<Timestamp> {
    memory.saw_holders(&key(), any, ARRIVAL, Some(at(second)));
    memory.history(&key()).signed_until
}

fn report(result: Option<WriteResult>) -> Report {
    let plan = Plan {
        account_id: key(),
        revision: Revision("r1".to_owned()),
        at: at(50),
        drift: BTreeSet::new(),
        steps: Vec::new(),
        findings: BTreeSet::new(),
        wants: ReadSet::default(),
        switches: BTreeSet::new(),
    };
    let write = result.map(|result| WriteRecord {
        action: Action::SetSharedKeyAccess { account: key(), allowed: false },
        effort: Effort::Tighten,
        workspaces: BTreeSet::new(),
        result,
    });
    Report { plan, write, ended: Ended::Wrote }
}

fn turned_on(result: WriteResult) -> Report {
    let mut report = report(Some(result));
    report.write.as_mut().unwrap().action = Action::SetSharedKeyAccess { account: key(), allowed: true };
    report
}

/// Until when something may have signed with the key, by looks at the key and at what the files ask, each at a second of the
/// clock that is paused.
struct Looks<'a> {
    memory: &'a Memory,
    second: i64,
}

impl Looks<'_> {
    async fn at(&mut self, second: i64, on: bool, files: Option<bool>) -> Option<Timestamp> {
        let passed = u64::try_from(second - self.second).unwrap();
        tokio::time::advance(Duration::from_secs(passed)).await;
        self.second = second;
        looks(self.memory, on, second);
        signed(self.memory, Holders { files, ..Holders::default() }, second)
    }
}

fn refused() -> WriteResult {
    WriteResult::Refused(Refused {
        by: RefusedBy::Person,
        cause: Cause::default(),
        code: None,
        status: Some(409),
        message: "locked".to_owned(),
        request_id: None,
        retry_after: None,
    })
}

#[tokio::test(start_paused = true)]
async fn rests_and_pauses_count_on_the_own_clock_whatever_the_server_says_that_the_time_is() {
    let late_write = Duration::from_secs(300);
    let unknown = WriteResult::Unknown { why: "lost".to_owned(), cause: Cause::default(), request_id: None };
    let memory = Memory::new(Growth::PERSON);
    memory.record(&report(Some(refused())), Instant::now(), at(0), late_write);
    memory.record(&report(Some(unknown)), Instant::now(), at(0), late_write);
    let left = |now| {
        let Limits { unsettled_until, refused, .. } = memory.limits(&key(), now, None);
        let left = |until: Timestamp| until.duration_since(now.unwrap()).as_secs();
        (unsettled_until.map(left), refused.values().next().map(|refusal| left(refusal.until)))
    };
    for jumped in [-7_200, 0, 7_200] {
        assert_eq!(left(Some(at(jumped))), (Some(301), None), "{jumped}: a step that is gone is not paused");
    }
    memory.record(&report(Some(refused())), Instant::now(), at(0), late_write);
    tokio::time::advance(Duration::from_secs(59)).await;
    for jumped in [-7_200, 59, 7_200] {
        assert_eq!(left(Some(at(jumped))), (Some(242), Some(2)), "{jumped}");
    }
    assert_eq!(memory.limits(&key(), None, None).unsettled_until, Some(Timestamp::MAX), "no answer has told the time");
    tokio::time::advance(Duration::from_secs(241)).await;
    assert_eq!(left(Some(at(-7_200))), (None, None));
    assert!(!memory.is_settled(), "nobody has looked since");
    memory.record(&report(None), Instant::now(), at(-7_200), late_write);
    assert!(memory.is_settled());
}

#[tokio::test(start_paused = true)]
async fn a_pass_that_began_in_the_rest_after_a_lost_write_does_not_end_it() {
    let late_write = Duration::from_secs(40);
    let unknown = WriteResult::Unknown { why: "lost".to_owned(), cause: Cause::default(), request_id: None };
    let memory = Memory::new(Growth::PERSON);
    memory.record(&report(Some(unknown)), Instant::now(), at(0), late_write);
    let began = Instant::now();
    tokio::time::advance(late_write + Duration::from_secs(1)).await;
    memory.record(&report(None), began, at(41), late_write);
    assert!(!memory.is_settled(), "it may have looked before the write landed");
    memory.record(&report(None), Instant::now(), at(42), late_write);
    assert!(memory.is_settled());
}

/// It may have landed at any time of the rest, and the workspace may have signed with the key until then.
#[tokio::test(start_paused = true)]
async fn a_switch_of_unknown_outcome_counts_as_made_when_it_can_land_no_more() {
    let late_write = Duration::from_secs(40);
    let unknown = WriteResult::Unknown { why: "lost".to_owned(), cause: Cause::default(), request_id: None };
    let switch = |mode| {
        let mut report = report(Some(unknown.clone()));
        let workspace = "/subscriptions/3f8c1d7a-52b4-4c0e-9d2e-7a1b6c5d4e90/resourceGroups/rg/providers/Microsoft.MachineLearningServices/workspaces/mlw";
        let action = Action::SetAuthMode { workspace: workspace.parse().unwrap(), mode };
        report.write = report.write.map(|write| WriteRecord { action, ..write });
        report
    };
    let look = |memory: &Memory, second| {
        memory.saw_account(&key(), &Reading::known(None, at(0)), Some(at(second)));
        memory.history(&key()).watch
    };
    for (mode, begins) in [(AuthMode::Identity, true), (AuthMode::AccessKey, false)] {
        let memory = Memory::new(Growth::PERSON);
        memory.record(&switch(mode), Instant::now(), at(40), late_write);
        assert_eq!(look(&memory, 45), None, "it may still land");
        tokio::time::advance(late_write).await;
        let begun = look(&memory, 90);
        let expected = WatchFrom { at: at(90), because: WatchCause::Switch };
        assert_eq!(begun, begins.then_some(expected));
        assert_eq!(look(&memory, 99), begun, "once");
    }
}

/// Whoever turned it off, and by a write whose outcome is unknown too.
#[test]
fn a_key_that_goes_off_after_a_switch_is_watched_from_then_on() {
    let switch = |second| Some(WatchFrom { at: at(second), because: WatchCause::Switch });
    let off = |second| Some(WatchFrom { at: at(second), because: WatchCause::FirstSeenOff });
    let look = |memory: &Memory, key_on, second| looks(memory, key_on, second).watch;
    let switched = |watch| {
        let memory = Memory::new(Growth::PERSON);
        memory.keys().entry(key()).or_default().watch = watch;
        memory
    };
    let memory = switched(switch(0));
    assert_eq!(look(&memory, true, 10), switch(0));
    assert_eq!(look(&memory, false, 900), off(900), "a watch of its own");
    assert_eq!(look(&memory, false, 960), off(900), "once");
    assert_eq!(look(&memory, true, 1_000), None);
    assert_eq!(look(&memory, false, 1_900), off(1_900), "another time");
    // Of a process before this one, which left its notes.
    assert_eq!(look(&switched(switch(0)), false, 900), off(900));
    assert_eq!(look(&switched(off(0)), false, 900), off(0), "seen off by that one");
    assert_eq!(look(&switched(switch(900)), false, 900), switch(900), "it is not over sooner");
    // A workspace that goes forward while the key is off is watched for the switch.
    let memory = switched(None);
    assert_eq!(look(&memory, false, 10), off(10));
    memory.keys().get_mut(&key()).unwrap().watch = switch(20);
    assert_eq!(look(&memory, false, 30), switch(20));
}

#[test]
fn what_held_the_key_at_one_look_may_have_used_it_until_the_next() {
    let looks = |memory: &Memory, workspaces, datastores, second| {
        let until = signed(memory, Holders { workspaces, datastores, files: None }, second);
        memory.saw_workspaces(&key(), true, Some(at(second)));
        until
    };
    let (yes, no) = (Some(true), Some(false));
    let shown = Memory::new(Growth::PERSON);
    assert_eq!(looks(&shown, no, no, 10), None, "who only shows what would be done begins with nothing");
    let memory = Memory::new(Growth::PERSON);
    memory.begins();
    assert_eq!(looks(&memory, None, None, 10), Some(at(10)), "without notes nobody knows what was before");
    assert_eq!(looks(&memory, yes, no, 30), Some(at(10)), "another gate waits for its end");
    assert_eq!(looks(&memory, None, no, 40), Some(at(10)), "nothing was read");
    assert_eq!(looks(&memory, no, no, 50), Some(at(50)));
    assert_eq!(looks(&memory, no, yes, 60), Some(at(50)));
    assert_eq!(looks(&memory, no, no, 65), Some(at(65)));
    assert_eq!(looks(&memory, no, yes, 70), Some(at(65)));
    memory.saw_listed_on_key(&key());
    assert_eq!(looks(&memory, None, yes, 71), Some(at(65)));
    assert_eq!(looks(&memory, no, yes, 72), Some(at(72)), "what a list showed is over");

    // Another process, by the notes of this one.
    let noted = memory.noted(at(80)).remove(&key()).unwrap();
    let next = Memory::new(Growth::PERSON);
    next.begins();
    next.recall(&key(), noted, Duration::from_secs(600));
    assert_eq!(looks(&next, no, None, 90), Some(at(72)));
    assert_eq!(looks(&next, no, no, 100), Some(at(100)), "it held it when the last process looked");
    assert_eq!(looks(&next, no, no, 110), Some(at(100)));
    next.boot_is_over(at(120));
    let left = next.noted(at(125)).remove(&key()).unwrap().signed_until;
    assert_eq!(left, Some(at(120)), "whoever comes next hears of it, although nobody has looked since");
    assert_eq!(looks(&next, no, no, 130), Some(at(120)), "a write without a word may have landed until then");
}

#[test]
fn whoever_reads_the_files_may_use_the_key_until_they_ask_for_it_to_be_off() {
    let look = |memory: &Memory, files, second| signed(memory, Holders { files, ..Holders::default() }, second);
    let memory = Memory::new(Growth::PERSON);
    assert_eq!(look(&memory, Some(true), 10), None);
    assert_eq!(look(&memory, None, 20), None, "the account was not read");
    assert_eq!(look(&memory, Some(false), 30), Some(at(30)));
    assert_eq!(look(&memory, Some(false), 40), Some(at(30)));

    // It has come on, and the files ask for it to be off before it was looked at.
    let answered = turned_on(WriteResult::Applied { changed: true, request_id: None });
    memory.record(&answered, Instant::now(), at(50), Duration::from_secs(40));
    assert_eq!(look(&memory, Some(false), 60), Some(at(60)));

    // Another process, by the notes of this one.
    assert_eq!(look(&memory, Some(true), 70), Some(at(60)));
    let next = Memory::new(Growth::PERSON);
    next.recall(&key(), memory.noted(at(80)).remove(&key()).unwrap(), Duration::from_secs(600));
    assert_eq!(look(&next, Some(false), 90), Some(at(90)));
}

/// A key takes time to come on, and clients do not try all the time.
#[tokio::test(start_paused = true)]
async fn whoever_waited_for_the_key_may_use_it_once_it_works_although_the_files_gave_it_up() {
    let (wanted, given_up, unread) = (Some(true), Some(false), None);
    let memory = Memory::new(Growth::PERSON);
    let mut looks = Looks { memory: &memory, second: 0 };
    assert_eq!(looks.at(10, false, given_up).await, None);
    let answered = turned_on(WriteResult::Applied { changed: true, request_id: None });
    memory.record(&answered, Instant::now(), at(20), Duration::from_secs(40));
    assert_eq!(looks.at(30, true, given_up).await, Some(at(30)));
    assert_eq!(looks.at(80, true, unread).await, Some(at(30)));
    assert_eq!(looks.at(90, true, given_up).await, Some(at(90)));
    assert_eq!(looks.at(130, true, given_up).await, Some(at(130)), "whoever waited has had it by now");
    assert_eq!(looks.at(140, true, given_up).await, Some(at(130)), "and begins no more");

    // Another process does not know since when it has been on.
    assert_eq!(looks.at(200, true, wanted).await, Some(at(130)));
    let next = Memory::new(Growth::PERSON);
    next.recall(&key(), memory.noted(at(210)).remove(&key()).unwrap(), Duration::from_secs(600));
    let mut looks = Looks { memory: &next, second: 200 };
    assert_eq!(looks.at(220, true, given_up).await, Some(at(220)));
    assert_eq!(looks.at(300, true, given_up).await, Some(at(300)));
    assert_eq!(looks.at(330, true, given_up).await, Some(at(330)));
    assert_eq!(looks.at(340, true, given_up).await, Some(at(330)));

    // Off again, whoever did it: nobody has it.
    assert_eq!(looks.at(350, true, wanted).await, Some(at(330)));
    assert_eq!(looks.at(360, false, given_up).await, Some(at(360)));
    assert_eq!(
        looks.at(370, true, given_up).await,
        Some(at(360)),
        "others turned it on, and the files do not ask for it"
    );
}

/// It may land, and be used, after a look that saw it off and files that gave it up.
#[tokio::test(start_paused = true)]
async fn a_key_that_comes_on_late_is_waited_for_like_one_that_came_on_at_once() {
    let given_up = Some(false);
    let late_write = Duration::from_secs(300);
    let lost = || WriteResult::Unknown { why: "lost".to_owned(), cause: Cause::default(), request_id: None };
    for result in [Some(lost()), Some(WriteResult::DidNotStick { request_id: None }), None] {
        for comes in [true, false] {
            let memory = Memory::new(Growth::PERSON);
            match &result {
                Some(result) => memory.record(&turned_on(result.clone()), Instant::now(), at(0), late_write),
                // A pass broke off, and what it sent is not known.
                None => memory.rest(&key(), late_write),
            }
            // What else is lost takes nothing from what the first may still bring.
            memory.record(&report(Some(lost())), Instant::now(), at(0), late_write);
            let mut looks = Looks { memory: &memory, second: 0 };
            assert_eq!(looks.at(10, false, given_up).await, Some(at(10)));
            assert_eq!(looks.at(240, comes, given_up).await, Some(at(240)), "{result:?}: it may still land");
            assert_eq!(looks.at(310, comes, given_up).await, Some(at(310)));
            let last = if comes { 420 } else { 310 };
            assert_eq!(looks.at(400, true, given_up).await, Some(at(last.min(400))), "{result:?}, {comes}");
            assert_eq!(looks.at(420, true, given_up).await, Some(at(last)));
            assert_eq!(looks.at(430, true, given_up).await, Some(at(last)));
        }
    }
    // Nothing that was lost turns it on.
    let memory = Memory::new(Growth::PERSON);
    memory.record(&report(Some(lost())), Instant::now(), at(0), late_write);
    let mut looks = Looks { memory: &memory, second: 0 };
    assert_eq!(looks.at(10, true, given_up).await, None);
    assert_eq!(looks.at(310, true, given_up).await, None);
}

/// Without notes nobody knows what an earlier process turned on, or may have.
#[tokio::test(start_paused = true)]
async fn a_key_that_an_earlier_process_may_have_turned_on_for_the_files_is_waited_for() {
    let given_up = Some(false);
    let first = Memory::new(Growth::PERSON);
    first.begins();
    let mut looks = Looks { memory: &first, second: 0 };
    assert_eq!(looks.at(10, true, given_up).await, Some(at(10)));
    assert_eq!(looks.at(60, true, given_up).await, Some(at(60)));
    assert_eq!(looks.at(110, true, given_up).await, Some(at(110)));
    assert_eq!(looks.at(120, true, given_up).await, Some(at(110)));

    // It left its notes, and a write without a word.
    let next = Memory::new(Growth::PERSON);
    next.recall(&key(), first.noted(at(130)).remove(&key()).unwrap(), Duration::from_secs(600));
    next.begins();
    let mut looks = Looks { memory: &next, second: 130 };
    assert_eq!(looks.at(140, true, given_up).await, Some(at(110)));
    next.boot_is_over(at(300));
    assert_eq!(looks.at(310, true, given_up).await, Some(at(310)));
    assert_eq!(looks.at(420, true, given_up).await, Some(at(420)));
    assert_eq!(looks.at(430, true, given_up).await, Some(at(420)));
}

/// Others may have turned the key on again before anybody looked.
#[tokio::test(start_paused = true)]
async fn the_key_counts_as_on_anew_once_it_may_have_been_off_unseen() {
    let late_write = Duration::from_secs(40);
    let unknown = || WriteResult::Unknown { why: "lost".to_owned(), cause: Cause::default(), request_id: None };
    let memory = Memory::new(Growth::PERSON);
    let since = on(&memory, 0).unwrap();
    assert_eq!(on(&memory, 30), Some(since), "it was on all the while");

    memory.record(&report(Some(unknown())), Instant::now(), at(40), late_write);
    let after_the_write = on(&memory, 45).unwrap();
    assert!(after_the_write >= at(45), "a write that turns it off may have landed");

    memory.record(&report(None), Instant::now(), at(50), late_write);
    assert_eq!(on(&memory, 60), Some(after_the_write), "it may still land");
    tokio::time::advance(late_write).await;
    let after_the_wait = on(&memory, 100).unwrap();
    assert!(after_the_wait >= at(100), "it may have landed until the wait was over");
    assert_eq!(on(&memory, 105), Some(after_the_wait), "once");
    memory.record(&report(None), Instant::now(), at(110), late_write);
    assert_eq!(on(&memory, 115), Some(after_the_wait));

    memory.boot_is_over(at(118));
    assert!(on(&memory, 120).unwrap() >= at(120), "and so may one of an earlier process");

    let refused = WriteResult::NotSent { why: "no token".to_owned(), cause: Cause::default() };
    let before = on(&memory, 130);
    memory.record(&report(Some(refused)), Instant::now(), at(140), late_write);
    assert_eq!(on(&memory, 150), before, "nothing left");
}

#[test]
fn that_a_key_came_on_again_is_remembered_until_it_is_off_again() {
    let memory = Memory::new(Growth::PERSON);
    assert_eq!(looks(&memory, false, 10).back_on, None);
    let back_on = Some(BackOn { watched: at(10), seen: at(20) });
    assert_eq!(looks(&memory, true, 20).back_on, back_on);
    assert_eq!(looks(&memory, true, 30).back_on, back_on);
    assert_eq!(looks(&memory, false, 40).back_on, None);
}

#[test]
fn only_the_first_look_of_all_processes_takes_a_switched_workspace_for_an_old_one() {
    let memory = Memory::new(Growth::PERSON);
    memory.saw_workspaces(&key(), true, Some(at(10)));
    let watch = memory.watch(&key()).unwrap();
    assert_eq!(watch, WatchFrom { at: at(10), because: WatchCause::FirstSeenSwitched });

    let memory = Memory::new(Growth::PERSON);
    memory.saw_workspaces(&key(), false, Some(at(10)));
    memory.saw_workspaces(&key(), true, Some(at(20)));
    assert_eq!(memory.watch(&key()), None);
    let next = Memory::new(Growth::PERSON);
    next.recall(&key(), memory.noted(at(30)).remove(&key()).unwrap(), Duration::from_secs(600));
    next.saw_workspaces(&key(), true, Some(at(40)));
    assert_eq!(next.watch(&key()), None);
}

#[test]
fn each_kind_that_held_the_key_when_the_last_process_looked_is_remembered() {
    let none = Holders { workspaces: Some(false), datastores: Some(false), files: Some(false) };
    for held in [
        Holders { workspaces: Some(true), ..none },
        Holders { datastores: Some(true), ..none },
        Holders { files: Some(true), ..none },
    ] {
        let memory = Memory::new(Growth::PERSON);
        signed(&memory, held, 10);
        let next = Memory::new(Growth::PERSON);
        next.recall(&key(), memory.noted(at(20)).remove(&key()).unwrap(), Duration::from_secs(600));
        assert_eq!(signed(&next, none, 30), Some(at(30)), "{held:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_account_that_no_document_asks_about_is_forgotten_unless_a_write_may_still_land() {
    let unknown = WriteResult::Unknown { why: "lost".to_owned(), cause: Cause::default(), request_id: None };
    for (result, kept) in [(None, false), (Some(unknown), true)] {
        let memory = Memory::new(Growth::PERSON);
        looks(&memory, false, 10);
        memory.record(&report(result), Instant::now(), at(20), Duration::from_secs(40));
        memory.keep_only(&BTreeSet::from([key()]));
        assert!(memory.noted(at(30)).contains_key(&key()));
        memory.keep_only(&BTreeSet::new());
        assert_eq!(memory.noted(at(30)).contains_key(&key()), kept);
    }
}

/// A pass that left the step in its plan, or not.
fn passed(action: Option<&Action>) -> Report {
    let mut report = report(None);
    report.plan.steps = action
        .map(|action| Step {
            action: action.clone(),
            effort: Effort::Tighten,
            workspaces: BTreeSet::new(),
            reasons: BTreeSet::new(),
            gates: Vec::new(),
        })
        .into_iter()
        .collect();
    report
}

#[tokio::test(start_paused = true)]
async fn a_refusal_lasts_while_its_step_does_and_until_a_person_was_here() {
    let late_write = Duration::from_secs(40);
    let action = Action::SetSharedKeyAccess { account: key(), allowed: false };
    let another = Action::SetSharedKeyAccess { account: key(), allowed: true };
    let memory = Memory::new(Growth::PERSON);
    let is_refused = || memory.limits(&key(), Some(at(0)), None).refused.contains_key(&action);
    let refuse = |by| {
        let WriteResult::Refused(refused) = refused() else { unreachable!() };
        let mut report = passed(Some(&action));
        report.write = self::report(Some(WriteResult::Refused(Refused { by, ..refused }))).write;
        memory.record(&report, Instant::now(), at(0), late_write);
    };
    refuse(RefusedBy::Person);
    assert!(is_refused() && !memory.time_lifts(&key(), &action));
    memory.record(&passed(Some(&action)), Instant::now(), at(0), late_write);
    assert!(is_refused());
    for (cut_short, ended) in [(true, Ended::Wrote), (false, Ended::Stopped)] {
        let mut report = passed(None);
        report.ended = ended;
        if cut_short {
            report.plan.findings.insert(Finding::Incomplete {
                what: "locks".to_owned(),
                why: "503".to_owned(),
                cause: Cause::default(),
            });
        }
        memory.record(&report, Instant::now(), at(0), late_write);
        assert!(is_refused(), "{report:?}");
    }
    memory.record(&passed(Some(&another)), Instant::now(), at(0), late_write);
    assert!(!is_refused(), "the step is gone");

    refuse(RefusedBy::Time);
    assert!(is_refused() && memory.time_lifts(&key(), &action));
    memory.forgive();
    assert!(!is_refused() && !memory.time_lifts(&key(), &action));
}

#[tokio::test(start_paused = true)]
async fn the_wait_after_the_start_is_told_of_every_account() {
    let memory = Memory::new(Growth::PERSON);
    for _ in 0..2 {
        assert_eq!(memory.limits(&key(), Some(at(0)), Some(at(70))).boot_until, Some(at(70)));
        looks(&memory, true, 10);
    }
}

#[tokio::test(start_paused = true)]
async fn of_a_grant_that_no_list_shows_is_told_whether_azure_said_that_it_was_there_already() {
    for (changed, words) in [(true, "does not show it yet"), (false, "as being so already")] {
        let memory = Memory::new(Growth::PERSON);
        let scope = key().arm().clone();
        let assignment =
            format!("{scope}/providers/Microsoft.Authorization/roleAssignments/{}", uuid(1)).parse().unwrap();
        let action =
            Action::RevokeRole { assignment, principal: uuid(2).parse().unwrap(), role: uuid(3).parse().unwrap() };
        let written = report(Some(WriteResult::Applied { changed, request_id: None })).write.unwrap();
        let write = Some(WriteRecord { action: action.clone(), ..written });
        let report = Report { write, ..passed(Some(&action)) };
        memory.record(&report, Instant::now(), at(0), Duration::from_secs(40));
        let told = memory.limits(&key(), Some(at(0)), None).refused[&action].why.clone();
        assert!(told.contains(words), "{told}");
        // Lists lag for so long and no longer: then it takes a person.
        for tries in 1..=LAGS + 1 {
            assert_eq!(memory.time_lifts(&key(), &action), tries <= LAGS, "after {tries}");
            memory.record(&report, Instant::now(), at(0), Duration::from_secs(40));
        }
    }
}

/// Another account may hold its key by what was in it.
#[tokio::test(start_paused = true)]
async fn when_a_datastore_was_written_is_remembered_whatever_came_of_it() {
    let workspace: WorkspaceId = "/subscriptions/3f8c1d7a-52b4-4c0e-9d2e-7a1b6c5d4e90/resourceGroups/rg/providers/Microsoft.MachineLearningServices/workspaces/mlw".parse().unwrap();
    let memory = Memory::new(Growth::PERSON);
    assert_eq!(memory.stored(&workspace), None);
    let from = keyless_core::observed::DatastoreCredentials::AccountKey;
    let mut lost =
        report(Some(WriteResult::Unknown { why: "lost".to_owned(), cause: Cause::default(), request_id: None }));
    lost.write.as_mut().unwrap().action =
        Action::SetDatastoreCredential { workspace: workspace.clone(), name: "lake".to_owned(), from };
    memory.record(&lost, Instant::now(), at(0), Duration::from_secs(40));
    assert_eq!(memory.stored(&workspace), Some(Instant::now()));
}

fn uuid(last: u32) -> String {
    format!("7e57ab1e-0000-4000-8000-{last:012}")
}

#[tokio::test(start_paused = true)]
async fn a_key_that_the_pass_of_another_account_sees_stored_is_known_until_a_newer_list_has_it_no_more() {
    let memory = Memory::new(Growth::PERSON);
    let workspace: WorkspaceId = "/subscriptions/3f8c1d7a-52b4-4c0e-9d2e-7a1b6c5d4e90/resourceGroups/rg/providers/Microsoft.MachineLearningServices/workspaces/ml-a"
        .parse()
        .unwrap();
    let raw = |account: &str, credentials| Datastore {
        name: "raw".to_owned(),
        account_name: Some(account.to_owned()),
        form: DatastoreForm::default(),
        credentials,
    };
    let began = Instant::now();
    memory.saw_datastores(&workspace, &[raw("stml", DatastoreCredentials::None)]);
    memory.saw_datastores(&workspace, &[raw("other", DatastoreCredentials::AccountKey)]);
    assert_eq!(memory.seen_holding(&key(), began), None, "by identity, or another's");
    memory.saw_datastores(&workspace, &[raw("StML", DatastoreCredentials::AccountKey)]);
    assert_eq!(memory.seen_holding(&key(), began), Some(workspace.clone()));
    tokio::time::advance(Duration::from_secs(1)).await;
    assert_eq!(memory.seen_holding(&key(), Instant::now()), None, "the reads that began since tell");
    memory.saw_datastores(&workspace, &[]);
    assert_eq!(memory.seen_holding(&key(), began), None);
}
