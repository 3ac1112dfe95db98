//! What an operator reads.

use std::collections::BTreeSet;

use keyless_core::action::{Action, Effort, Grant};
use keyless_core::catalog::find_scenarios;
use keyless_core::desired::{AuthMode, Revision};
use keyless_core::gate::{Gate, GateCheck, GateState, ReadSet};
use keyless_core::id::{PrincipalId, StorageAccountId, WorkspaceId};
use keyless_core::observed::{ObservedAuthMode, PrincipalType, SharedKeyAccess, WorkspaceKind};
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
            gates: vec![open(Gate::PrincipalKnown), open(Gate::Active)],
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
    FleetPlan { revision: "r1".to_owned(), plans, problems: Vec::new() }
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
