//! Plans as text.

use keyless_core::plan::Plan;

/// A plan as an operator reads it.
pub(crate) fn show(plan: &Plan) -> String {
    use keyless_core::gate::GateState;
    let mut text = format!("{}\n", plan.standing().as_str());
    for step in &plan.steps {
        text.push_str(&format!("- {}\n", step.action));
        for check in &step.gates {
            match &check.state {
                GateState::Open => {}
                GateState::NotLooked => text.push_str(&format!("    {}: not looked at\n", check.gate)),
                GateState::Waiting { until, why } => {
                    text.push_str(&format!("    {}: waits until {until} for {why}\n", check.gate));
                }
                GateState::Unmet { why, .. } => text.push_str(&format!("    {}: {why}\n", check.gate)),
            }
        }
    }
    for finding in &plan.findings {
        text.push_str(&format!("! {finding}\n"));
    }
    text
}
