//! The demonstration through the binary, as a newcomer runs it.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that fails says so by panicking, its helpers too"
)]

mod harness;

use harness::{keyless, output_of, stderr, stdout};
use serde_json::Value;

#[test]
fn the_demonstration_converges_denies_nobody_and_reports() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("report.json");
    let output = output_of(keyless(&["demo", "--seed", "3", "--report", path.to_str().unwrap()]), 0);
    let (table, live) = (stdout(&output), stderr(&output));
    for word in ["workspace", "before", "steps", "after", "identity, key off", "accesskey, key on", " 0 denied"] {
        assert!(table.contains(word), "{word} is not in:\n{table}");
    }
    for word in ["600 times", "drift:", "SetSharedKeyAccess disabled", "back to keys"] {
        assert!(live.contains(word), "{word} is not in:\n{live}");
    }

    let report: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    assert_eq!(report["oracle"]["denied"]["entitled"], 0);
    assert_eq!(report["oracle"]["denied"]["keyUsers"], 0);
    let events: Vec<&str> =
        report["events"].as_array().unwrap().iter().filter_map(|event| event["event"].as_str()).collect();
    for name in ["config_accepted", "drift_detected", "drift_cleared", "plan_computed", "action_applied"] {
        assert!(events.contains(&name), "{name} is not in {events:?}");
    }
    let workspaces = report["world"].as_array().unwrap().iter().filter(|resource| {
        resource["type"]
            .as_str()
            .is_some_and(|kind| kind.to_lowercase() == "microsoft.machinelearningservices/workspaces")
    });
    assert!(workspaces.count() >= 12);
    assert!(report["requests"]["writes"].as_u64().unwrap() > 20);
}
