//! What is told of plans, when, and how often.

use keyless_core::action::Effort;
use keyless_core::desired::Revision;
use keyless_core::gate::{Gate, GateCheck, GateState, ReadSet};
use keyless_core::lint::{Rule, Violation};
use keyless_core::plan::Step;
use keyless_core::plan::finding::{Loss, Lost};

use super::*;

const GROUP: &str = "/subscriptions/3f8c1d7a-52b4-4c0e-9d2e-7a1b6c5d4e90/resourceGroups/rg/providers";

fn plan(findings: impl IntoIterator<Item = Finding>) -> Plan {
    Plan {
        account_id: format!("{GROUP}/Microsoft.Storage/storageAccounts/stml").parse().unwrap(),
        revision: Revision("r1".to_owned()),
        at: "2026-11-23T09:00:00Z".parse().unwrap(),
        drift: BTreeSet::new(),
        steps: Vec::new(),
        findings: findings.into_iter().collect(),
        wants: ReadSet::default(),
        switches: BTreeSet::new(),
    }
}

#[tokio::test(start_paused = true)]
async fn an_event_has_no_time_before_an_answer_has_told_it() {
    let report = |at: Timestamp| {
        let plan = Plan { at, ..plan([unseen(Unseen::Endpoints)]) };
        Report { plan, write: None, ended: Ended::Planned }
    };
    let info = PassInfo { reason: "test".to_owned(), elapsed: Duration::ZERO };
    let times = |at| -> Vec<Option<Timestamp>> {
        let events = Book::new(Duration::from_secs(60)).passed(&report(at), &info, Instant::now());
        events.into_iter().map(|event| event.at).collect()
    };
    assert_eq!(times(Timestamp::MIN), [None, None]);
    let at = plan([]).at;
    assert_eq!(times(at), [Some(at), Some(at)]);
}

fn unseen(what: Unseen) -> Finding {
    Finding::Unseen { what, why: "no right".to_owned(), cause: Cause::default() }
}

fn endpoint() -> Finding {
    let workspace = format!("{GROUP}/Microsoft.MachineLearningServices/workspaces/mlw");
    Finding::EndpointGrantMissing {
        workspace: WorkspaceId::parse(&workspace).unwrap(),
        endpoint: "score".to_owned(),
        principal: "9c1d2f63-4b0a-4d57-8f3e-1a2b3c4d5e6f".parse().unwrap(),
    }
}

fn told(book: &mut Book, findings: Vec<Finding>) -> usize {
    let events = book.planned(&plan(findings), Instant::now());
    events.iter().filter(|event| event.event == Name::ServiceGrantMissing).count()
}

#[tokio::test(start_paused = true)]
async fn what_is_gone_and_comes_back_is_told_again_whatever_else_cannot_be_read() {
    let scope = || keyless_core::id::ArmId::parse("/subscriptions/3f8c1d7a-52b4-4c0e-9d2e-7a1b6c5d4e90").unwrap();
    let mut book = Book::new(Duration::from_secs(24 * 3600));
    let policies = || unseen(Unseen::Policies(scope()));
    assert_eq!(told(&mut book, vec![endpoint(), policies()]), 1);
    assert_eq!(told(&mut book, vec![endpoint(), policies()]), 0, "it is still the same");
    assert_eq!(told(&mut book, vec![policies()]), 0, "it is mended");
    assert_eq!(told(&mut book, vec![endpoint(), policies()]), 1, "and lost again");
}

#[tokio::test(start_paused = true)]
async fn endpoints_that_could_not_be_read_are_not_mended() {
    let mut book = Book::new(Duration::from_secs(24 * 3600));
    assert_eq!(told(&mut book, vec![endpoint()]), 1);
    assert_eq!(told(&mut book, vec![unseen(Unseen::Endpoints)]), 0);
    assert_eq!(told(&mut book, vec![endpoint()]), 0);
}

#[tokio::test(start_paused = true)]
async fn the_end_of_a_missing_grant_of_the_service_is_told_once_and_only_when_it_was_seen() {
    let Finding::EndpointGrantMissing { workspace, principal, .. } = endpoint() else { unreachable!() };
    let own = || Finding::ServiceGrantMissing { workspace: workspace.clone(), principal };
    for missing in [own(), endpoint()] {
        let mut book = Book::new(Duration::from_secs(24 * 3600));
        let mut told = |plan: &Plan| -> Vec<(Name, Level)> {
            let events = book.planned(plan, Instant::now()).into_iter();
            let names = [Name::ServiceGrantMissing, Name::ServiceGrantCleared];
            let ours = events.filter(|event| names.contains(&event.event));
            ours.inspect(|event| {
                assert!(event.workspace.is_some() && event.principal.is_some() && event.role.is_some());
                assert!(event.why.as_ref().is_some_and(|why| why.contains("is missing")), "{event:?}");
            })
            .map(|event| (event.event, event.level))
            .collect()
        };
        let begins = [(Name::ServiceGrantMissing, Level::Warn)];
        let ends = [(Name::ServiceGrantCleared, Level::Info)];
        assert_eq!(told(&plan([missing.clone()])), begins);
        let failed = Finding::Incomplete { what: "x".to_owned(), why: "503".to_owned(), cause: Cause::default() };
        let access = Unseen::Access { workspace: workspace.clone(), who: "the workspace's own identity".to_owned() };
        for unseen in [unseen(access), unseen(Unseen::Endpoints), failed] {
            assert_eq!(told(&plan([unseen.clone()])), [], "{unseen}");
        }
        let wants = ReadSet { endpoints: true, ..ReadSet::default() };
        assert_eq!(told(&Plan { wants, ..plan([]) }), [], "it is to be asked yet");
        assert_eq!(told(&plan([missing.clone()])), [], "it is still the same");
        assert_eq!(told(&plan([])), ends);
        assert_eq!(told(&plan([])), []);
        assert_eq!(told(&plan([missing])), begins, "and again");
        let gone = book.keep_only(&BTreeSet::new());
        assert_eq!(gone.iter().map(|event| event.event).collect::<Vec<_>>(), [Name::ServiceGrantCleared]);
    }
}

fn lost() -> Finding {
    let workspace = format!("{GROUP}/Microsoft.MachineLearningServices/workspaces/mlw");
    Finding::AccessLost(Lost {
        workspace: WorkspaceId::parse(&workspace).unwrap(),
        who: "user ada".to_owned(),
        principal: Some("9c1d2f63-4b0a-4d57-8f3e-1a2b3c4d5e6f".parse().unwrap()),
        role: keyless_core::catalog::BLOB_READER,
        how: Loss::Denied {
            by: "stack".to_owned(),
            scope: keyless_core::id::ArmId::parse("/subscriptions/3f8c1d7a-52b4-4c0e-9d2e-7a1b6c5d4e90").unwrap(),
            certain: true,
        },
    })
}

#[tokio::test(start_paused = true)]
async fn access_that_is_lost_is_told_once_and_ends_only_when_it_is_seen_to() {
    let mut book = Book::new(Duration::from_secs(24 * 3600));
    let mut told = |plan: &Plan| -> Vec<(Name, Level)> {
        let events = book.planned(plan, Instant::now()).into_iter();
        let ours = events.filter(|event| event.drift.is_some());
        ours.inspect(|event| {
            assert_eq!(
                event.drift.as_deref(),
                Some("mlw: a deny assignment stands against Storage Blob Data Reader of user ada")
            );
            assert!(event.workspace.is_some() && event.principal.is_some() && event.role.is_some());
        })
        .map(|event| (event.event, event.level))
        .collect()
    };
    let (begins, ends) = ([(Name::DriftDetected, Level::Warn)], [(Name::DriftCleared, Level::Info)]);
    assert_eq!(told(&plan([lost()])), begins);
    assert_eq!(told(&plan([lost()])), []);
    let failed = Finding::Incomplete { what: "x".to_owned(), why: "503".to_owned(), cause: Cause::default() };
    let absent = Finding::AccountMissing { workspaces: BTreeSet::new(), made_on_it: BTreeMap::new() };
    for unseen in [unseen(Unseen::Denials), unseen(Unseen::Endpoints), failed, absent] {
        assert_eq!(told(&plan([unseen.clone()])), [], "{unseen}");
    }
    // Groups that were to be asked yet, and a pass that went on to a write before it asked.
    assert_eq!(told(&Plan { wants: ReadSet { denies_lately: true, ..ReadSet::default() }, ..plan([]) }), []);
    let mut ready = held("");
    ready.steps[0].gates.clear();
    assert_eq!(told(&ready), []);
    assert_eq!(told(&plan([lost()])), [], "it is still the same");
    assert_eq!(told(&plan([])), ends);
    assert_eq!(told(&plan([lost()])), begins, "and again");
}

#[tokio::test(start_paused = true)]
async fn a_denial_that_has_become_certain_is_told_once_and_has_one_end() {
    let Finding::AccessLost(sure) = lost() else { unreachable!() };
    let mut may = sure.clone();
    let Loss::Denied { certain, .. } = &mut may.how else { unreachable!() };
    *certain = false;
    let mut book = Book::new(Duration::from_secs(24 * 3600));
    let mut told = |plan: &Plan| -> Vec<(Name, bool)> {
        let events = book.planned(plan, Instant::now()).into_iter().filter(|event| event.drift.is_some());
        events.map(|event| (event.event, event.why.is_some_and(|why| why.contains("may deny")))).collect()
    };
    let with = |lost: &Lost| plan([Finding::AccessLost(lost.clone())]);
    assert_eq!(told(&with(&may)), [(Name::DriftDetected, true)]);
    assert_eq!(told(&with(&may)), []);
    assert_eq!(told(&with(&sure)), [(Name::DriftDetected, false)]);
    assert_eq!(told(&with(&may)), [], "groups that cannot be read for a while");
    assert_eq!(told(&with(&sure)), []);
    assert_eq!(told(&plan([])).iter().map(|(name, _)| *name).collect::<Vec<_>>(), [Name::DriftCleared]);
    assert_eq!(told(&with(&may)), [(Name::DriftDetected, true)], "and again");
    assert_eq!(told(&plan([])), [(Name::DriftCleared, false)]);
    // A step that goes on keeps what was told, but not beside what has taken its place.
    assert_eq!(told(&with(&may)), [(Name::DriftDetected, true)]);
    let mut ready = held("");
    ready.steps[0].gates.clear();
    assert_eq!(told(&ready), []);
    ready.findings = with(&sure).findings;
    assert_eq!(told(&ready), [(Name::DriftDetected, false)]);
    assert_eq!(told(&plan([])), [(Name::DriftCleared, false)]);
}

fn held(why: &str) -> Plan {
    let action = Action::SetSharedKeyAccess { account: plan([]).account_id, allowed: false };
    let gates = vec![GateCheck {
        gate: Gate::KeyIdle,
        state: GateState::Unmet { why: why.to_owned(), lift: "an end of that traffic".to_owned() },
    }];
    let (workspaces, reasons) = (BTreeSet::new(), BTreeSet::new());
    Plan { steps: vec![Step { action, effort: Effort::Tighten, workspaces, reasons, gates }], ..plan([]) }
}

#[tokio::test(start_paused = true)]
async fn other_users_of_the_key_behind_the_same_gate_are_no_news() {
    let mut book = Book::new(Duration::from_secs(24 * 3600));
    let mut told = |why: &str| {
        let events = book.planned(&held(why), Instant::now());
        events.into_iter().filter(|event| event.event == Name::GateUnmet).map(|event| event.why).collect::<Vec<_>>()
    };
    let requests = "7 requests signed with the key succeeded within 7d";
    let named =
        |who: &str| format!("{requests} (file GetFile 7 in 1 hour); the resource logs name {who}: file GetFile");
    let nameless = format!("{requests} (file GetFile 7 in 1 hour)");
    assert_eq!(told(&nameless), [Some(nameless.clone())]);
    assert_eq!(told(&format!("{requests} (blob GetBlob 9 in 2 hours)")), []);
    assert_eq!(told(&named("10.0.0.1 (rclone)")), [Some(named("10.0.0.1 (rclone)"))], "that they are named is");
    assert_eq!(told(&named("10.0.0.2 (cron)")), []);
    assert_eq!(told(&nameless), [], "the logs are out of reach");
    assert_eq!(told(&named("10.0.0.1 (rclone)")), []);
    assert_eq!(told("the key-usage answer is incomplete").len(), 1, "another reason is news");
}

#[tokio::test(start_paused = true)]
async fn a_state_directory_that_bars_writes_is_told_once_and_as_a_reminder() {
    let mut book = Book::new(Duration::from_secs(24 * 3600));
    let info = PassInfo { reason: "test".to_owned(), elapsed: Duration::ZERO };
    let now = Instant::now();
    let mut told = |why: &str, hours: u64| {
        let report = Report { plan: plan([]), write: None, ended: Ended::MarkStuck { why: why.to_owned() } };
        let events = book.passed(&report, &info, now + Duration::from_secs(hours * 3600));
        let failed = events.into_iter().filter(|event| event.event == Name::ActionFailed);
        failed.map(|event| event.reminder).collect::<Vec<bool>>()
    };
    assert_eq!(told("no space left", 0), [false]);
    assert_eq!(told("no space left", 1), [] as [bool; 0]);
    assert_eq!(told("no space left", 25), [true]);
    assert_eq!(told("no space left", 26), [] as [bool; 0]);
    assert_eq!(told("read-only", 26), [false], "another reason is news");
}

#[tokio::test(start_paused = true)]
async fn a_plan_that_breaks_its_own_rules_is_told_as_an_error_with_every_rule() {
    let mut book = Book::new(Duration::from_secs(24 * 3600));
    let violation = |why: &str| Violation { rule: Rule::Order, action: None, why: why.to_owned() };
    let violations = vec![violation("the key goes first"), violation("a switch stands twice")];
    let report = Report { plan: plan([]), write: None, ended: Ended::Rejected { violations } };
    let info = PassInfo { reason: "test".to_owned(), elapsed: Duration::ZERO };
    let now = Instant::now();
    let mut told = |report: &Report, after: Duration| {
        let events = book.passed(report, &info, now + after);
        events.into_iter().filter(|event| event.event == Name::PlanRejected).collect::<Vec<Event>>()
    };
    let first = told(&report, Duration::ZERO);
    assert_eq!(first.len(), 1);
    assert_eq!(first[0].level, Level::Error);
    assert_eq!(first[0].problems, ["order: the key goes first", "order: a switch stands twice"]);
    assert_eq!(told(&report, Duration::from_secs(60)), [], "it was told");
    let again = told(&report, Duration::from_secs(25 * 3600));
    assert!(again.len() == 1 && again[0].reminder);
    assert_eq!(told(&report, Duration::from_secs(26 * 3600)), []);
    // It is over, and comes again.
    let fine = Report { plan: plan([]), write: None, ended: Ended::Planned };
    assert_eq!(told(&fine, Duration::from_secs(26 * 3600)), []);
    assert_eq!(told(&report, Duration::from_secs(26 * 3600)).len(), 1);
}
