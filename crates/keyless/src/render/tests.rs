//! What an operator reads.

use std::collections::BTreeSet;

use keyless_controller::Failure;
use keyless_controller::wrote::Wrote;
use keyless_core::action::{Action, Effort, Grant};
use keyless_core::catalog::find_scenarios;
use keyless_core::desired::{AuthMode, Revision};
use keyless_core::gate::{Gate, GateCheck, GateState, ReadSet};
use keyless_core::id::{PrincipalId, StorageAccountId, WorkspaceId};
use keyless_core::observed::{
    Cause, DatastoreCredentials, ObservedAuthMode, PrincipalType, SharedKeyAccess, Signed, StorageService,
    WorkspaceKind,
};
use keyless_core::plan::finding::{Accepted, KeyUse};
use keyless_core::plan::{Drift, Finding, Step};
use uuid::uuid;

use super::*;

const GROUP: &str = "/subscriptions/00000000-0000-0000-0000-000000000001/resourceGroups/rg-fraud/providers";

fn account(name: &str) -> StorageAccountId {
    StorageAccountId::parse(&format!("{GROUP}/Microsoft.Storage/storageAccounts/{name}")).unwrap()
}

fn workspace(name: &str) -> WorkspaceId {
    WorkspaceId::parse(&format!("{GROUP}/Microsoft.MachineLearningServices/workspaces/{name}")).unwrap()
}

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn empty(name: &str) -> Plan {
    Plan {
        account_id: account(name),
        revision: Revision("r1".to_owned()),
        at: at("2026-11-01T12:00:00.25Z"),
        drift: BTreeSet::new(),
        steps: Vec::new(),
        findings: BTreeSet::new(),
        switches: BTreeSet::new(),
        wants: ReadSet::default(),
    }
}

fn busy() -> Plan {
    let role = *find_scenarios("training").flat_map(|scenario| scenario.roles).next().unwrap();
    let principal = PrincipalId(uuid!("00000000-0000-0000-0000-0000000000aa"));
    let mut plan = empty("stfraud");
    plan.switches.insert(WorkspaceKind::Hub);
    plan.drift.insert(Drift::AuthMode {
        workspace: workspace("fraud-train"),
        desired: AuthMode::Identity,
        observed: ObservedAuthMode::AccessKey,
    });
    plan.drift.insert(Drift::SharedKey { desired_on: false, observed: SharedKeyAccess::Absent });
    let open = |gate| GateCheck { gate, state: GateState::Open };
    plan.steps = vec![
        Step {
            action: Action::GrantRole(Grant::new(
                "ml",
                account("stfraud").arm().clone(),
                principal,
                PrincipalType::Group,
                role,
            )),
            effort: Effort::Repair,
            workspaces: [workspace("fraud-train")].into(),
            reasons: ["group data-scientists: level readWrite".to_owned()].into(),
            gates: vec![open(Gate::NeedsCovered), open(Gate::Active)],
        },
        Step {
            action: Action::SetAuthMode { workspace: workspace("fraud-train"), mode: AuthMode::Identity },
            effort: Effort::Tighten,
            workspaces: [workspace("fraud-train")].into(),
            reasons: BTreeSet::new(),
            gates: vec![
                open(Gate::ModeKnown),
                GateCheck {
                    gate: Gate::NeedsAged,
                    state: GateState::Waiting {
                        until: at("2026-11-01T12:15:00.25Z"),
                        why: "the youngest grant is 0 s old".to_owned(),
                    },
                },
                GateCheck { gate: Gate::Window, state: GateState::NotLooked },
            ],
        },
        Step {
            action: Action::SetSharedKeyAccess { account: account("stfraud"), allowed: false },
            effort: Effort::Tighten,
            workspaces: BTreeSet::new(),
            reasons: BTreeSet::new(),
            gates: vec![GateCheck {
                gate: Gate::Unlocked,
                state: GateState::Unmet {
                    why: "the lock `freeze` bars writes".to_owned(),
                    lift: "deleting the lock".to_owned(),
                },
            }],
        },
    ];
    plan.findings.insert(Finding::BrokenNow { workspace: workspace("fraud-train") });
    plan
}

fn fleet(plans: Vec<Plan>) -> FleetPlan {
    FleetPlan { revision: "r1".to_owned(), plans, problems: Vec::new(), wrote: LastWrites::new() }
}

fn without_color(text: &str) -> String {
    anstream::adapter::strip_str(text).to_string()
}

#[test]
fn the_text_names_drift_steps_gates_and_what_lifts_them() {
    let text = without_color(&fleet(vec![busy(), empty("stquiet")]).render(Output::Text));
    insta::assert_snapshot!(text);
}

#[test]
fn the_markdown_folds_each_account() {
    let text = fleet(vec![busy(), empty("stquiet")]).render(Output::Markdown);
    insta::assert_snapshot!(text);
}

#[test]
fn the_json_has_stable_names() {
    let text = fleet(vec![busy()]).render(Output::Json);
    insta::assert_snapshot!(text);
}

#[test]
fn the_detailed_exit_status_is_that_of_the_worst_account() {
    let mut waiting = busy();
    waiting.steps.remove(0);
    let mut blocked = waiting.clone();
    blocked.steps.remove(0);
    for (plans, standing) in [
        (vec![], Standing::Converged),
        (vec![empty("stone")], Standing::Converged),
        (vec![empty("stone"), busy()], Standing::Ready),
        (vec![waiting.clone(), busy()], Standing::Waiting),
        (vec![blocked, waiting, busy()], Standing::Blocked),
    ] {
        assert_eq!(fleet(plans).standing(), standing);
    }
    let lost = FleetPlan { problems: vec!["x".to_owned()], ..fleet(vec![]) };
    assert_eq!(lost.standing(), Standing::Blocked);
}

#[test]
fn text_from_azure_cannot_forge_markdown() {
    let mut plan = busy();
    plan.findings.insert(Finding::Contradiction { what: "</details> **x** @all\n# y".to_owned() });
    let text = fleet(vec![plan]).render(Output::Markdown);
    assert!(text.contains("&lt;/details&gt; \\*\\*x\\*\\* \\@all \\# y"), "{text}");
}

#[test]
fn a_step_that_cannot_be_taken_back_says_so_in_every_form() {
    let mut plan = empty("stfraud");
    plan.steps = vec![Step {
        action: Action::SetDatastoreCredential {
            workspace: workspace("fraud-train"),
            name: "raw".to_owned(),
            from: DatastoreCredentials::AccountKey,
        },
        effort: Effort::Tighten,
        workspaces: BTreeSet::from([workspace("fraud-train")]),
        reasons: BTreeSet::new(),
        gates: Vec::new(),
    }];
    let plans = fleet(vec![plan, busy()]);
    let text = without_color(&plans.render(Output::Text));
    assert!(text.contains("fraud-train/raw, which holds AccountKey [tighten, one way]"), "{text}");
    assert!(plans.render(Output::Markdown).contains("(tighten, one way: it cannot be taken back)"));
    let json: serde_json::Value = serde_json::from_str(&plans.render(Output::Json)).unwrap();
    let steps = |account: usize| json["accounts"][account]["steps"].as_array().unwrap();
    assert_eq!((&steps(0)[0]["oneWay"], &steps(0)[0]["value"]), (&true.into(), &"None".into()));
    assert!(steps(1).iter().all(|step| step.get("oneWay").is_none()), "only where it is so");
}

#[test]
fn evidence_of_key_use_has_fields_of_its_own_and_one_line_in_every_form() {
    let mut plan = empty("stfraud");
    plan.findings.insert(Finding::KeyUse(KeyUse {
        service: Some(StorageService::File),
        api: "GetFile".to_owned(),
        signed: Signed::AccountKey,
        requests: 118,
        hours: [1, 2, 5, 7].map(|hour| at(&format!("2026-11-01T0{hour}:00:00Z"))).into(),
        last: Some(at("2026-11-01T08:00:00Z")),
    }));
    plan.findings.insert(Finding::KeyRefused { requests: 2, hours: 1, off: vec![StorageService::Queue] });
    plan.findings.insert(Finding::Accepted(Accepted {
        what: "acceptSas",
        services: vec![StorageService::Blob],
        reason: "exports".to_owned(),
        owner: "ada".to_owned(),
        until: at("2026-12-01T00:00:00Z"),
        ended: false,
    }));
    plan.findings.insert(Finding::KeyByService { flags: [(StorageService::Blob, false)].into() });
    let text = without_color(&fleet(vec![plan.clone()]).render(Output::Text));
    let markdown = fleet(vec![plan.clone()]).render(Output::Markdown);
    for line in [
        "file: GetFile with the account key: 118 requests in 4 hours (from 2026-11-01T07:00:00Z, 2026-11-01T05:00:00Z, \
         2026-11-01T02:00:00Z and before), the last before 2026-11-01T08:00:00Z",
        "2 requests signed with the key were refused in 1 hour: they may be anybody's; the key is off for queue already",
        "for blob of ada, until 2026-12-01T00:00:00Z: exports",
        "shared key access by service: blob off; the account as a whole is on",
    ] {
        assert!(text.contains(line), "{line}: {text}");
        assert!(markdown.contains(line), "{line}: {markdown}");
    }
    let json: serde_json::Value = serde_json::from_str(&fleet(vec![plan]).render(Output::Json)).unwrap();
    let findings = json["accounts"][0]["findings"].as_array().unwrap();
    let of = |kind: &str| findings.iter().find(|finding| finding["kind"] == kind).unwrap();
    assert_eq!(
        of("keyUse")["requests"],
        serde_json::json!({"service": "file", "api": "GetFile", "authentication": "AccountKey", "count": 118, "hours": 4,
            "inHours": ["2026-11-01T01:00:00Z", "2026-11-01T02:00:00Z", "2026-11-01T05:00:00Z", "2026-11-01T07:00:00Z"], "last": "2026-11-01T08:00:00Z"})
    );
    assert_eq!(of("keyRefused")["requests"]["count"], 2);
    assert_eq!(of("accepted")["accepted"]["owner"], "ada");
    assert_eq!(of("keyByService")["services"]["blob"], "off");
}

#[test]
fn what_the_activity_log_tells_of_a_difference_is_in_every_form_and_only_where_it_was_asked() {
    let plan = busy();
    let failure = Failure { why: "no right".to_owned(), cause: Cause { class: Some("refused"), lift: None } };
    let nobody = Wrote::Nobody { since: at("2026-08-01T12:00:00Z") };
    let wrote = plan.drift.iter().zip([nobody, Wrote::Unreadable(failure)]);
    let wrote = wrote.map(|(drift, wrote)| ((plan.account_id.clone(), drift.clone()), wrote)).collect();
    let plans = fleet(vec![plan]).with_writers(wrote);
    let text = without_color(&plans.render(Output::Text));
    assert!(text.contains("\n      the activity log names nobody since 2026-08-01T12:00:00Z\n"), "{text}");
    let markdown = plans.render(Output::Markdown);
    assert!(markdown.contains("; who wrote it is not known: no right\n"), "{markdown}");
    let json: serde_json::Value = serde_json::from_str(&plans.render(Output::Json)).unwrap();
    let drift = &json["accounts"][0]["drift"];
    assert_eq!(drift[0]["written"], "the activity log names nobody since 2026-08-01T12:00:00Z");
    assert_eq!((&drift[1]["unreadable"], drift[1].get("changedBy")), (&"refused".into(), None));
}
