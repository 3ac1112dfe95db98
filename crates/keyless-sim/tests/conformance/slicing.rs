//! Counting by arithmetic agrees with looking all the time.

use std::time::Duration;

use keyless_sim::Knobs;
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::cloud::{BLOB_CONTRIBUTOR, Cloud, DANA, GROUP, account, small_world, workspace};

#[derive(Debug, Clone, Copy)]
enum Act {
    Key(bool),
    Mode(bool),
    Grant,
    Revoke,
    Member(bool),
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        any::<bool>().prop_map(Act::Key),
        any::<bool>().prop_map(Act::Mode),
        Just(Act::Grant),
        Just(Act::Revoke),
        any::<bool>().prop_map(Act::Member),
    ]
}

fn play(acts: &[(Act, u64)], slices: u32) -> String {
    let mut world = small_world();
    world.push(json!({"type": "Keyless.Sim/keyUsers", "id": format!("{}/providers/Keyless.Sim/keyUsers/1", account()),
        "properties": {"account": account(), "name": "script", "stopsAfter": "30m", "triesPerHour": 97}}));
    let cloud = Cloud::new(world, Knobs::default());
    let scope = account();
    let id = format!("{scope}/providers/Microsoft.Authorization/roleAssignments/0f6c7b8a-2d1e-5c3f-9a4b-6d7e8f901234");
    let mut granted = false;
    for (act, millis) in acts {
        match act {
            Act::Key(on) => cloud.drift("sharedKey", &scope, json!(on)),
            Act::Mode(identity) => {
                cloud.drift("authMode", &workspace("churn"), json!(if *identity { "identity" } else { "accesskey" }));
            }
            Act::Grant if !granted => {
                let grant =
                    json!({"principalId": GROUP, "principalType": "Group", "roleDefinitionId": BLOB_CONTRIBUTOR});
                cloud.drift("grantAdded", &id, grant);
                granted = true;
            }
            Act::Revoke if granted => {
                cloud.drift("grantRemoved", &id, Value::Null);
                granted = false;
            }
            Act::Grant | Act::Revoke => {}
            Act::Member(true) => cloud.drift("memberAdded", GROUP, json!(DANA)),
            Act::Member(false) => cloud.drift("memberRemoved", GROUP, json!(DANA)),
        }
        let whole = Duration::from_millis(*millis);
        for _ in 1..slices {
            cloud.sim.advance(whole / slices).unwrap();
            let _ = cloud.sim.oracle();
        }
        cloud.sim.advance(whole - (whole / slices) * (slices - 1)).unwrap();
    }
    serde_json::to_string(&cloud.sim.oracle()).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn how_often_one_looks_does_not_change_what_is_counted(
        acts in prop::collection::vec((act(), 0_u64..2_000_000), 1..12),
        slices in 2_u32..20,
    ) {
        prop_assert_eq!(play(&acts, 1), play(&acts, slices));
    }
}
