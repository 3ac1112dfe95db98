//! Why somebody can work, or cannot.

use keyless_core::catalog::BLOB_CONTRIBUTOR;
use keyless_core::desired::*;
use keyless_core::observed::*;
use keyless_core::plan;

use crate::world::*;

/// Whoever works through a workspace on the key works by nothing while that is off, whatever roles are there.
#[test]
fn nobody_works_through_a_workspace_on_a_key_that_is_off() {
    for (mode, key, effective) in [
        (ObservedAuthMode::AccessKey, SharedKeyAccess::Allowed, true),
        (ObservedAuthMode::AccessKey, SharedKeyAccess::Disallowed, false),
        (ObservedAuthMode::Unset, SharedKeyAccess::Disallowed, false),
        (ObservedAuthMode::Identity, SharedKeyAccess::Disallowed, true),
    ] {
        let mut world = World::new();
        let a = world.workspace("fraud-train", mode.clone());
        world.key = key;
        world.assign(person(1), BLOB_CONTRIBUTOR, DAY);
        let desired = desired(&[(&a, AuthMode::AccessKey, vec![need(object(1), BLOB_CONTRIBUTOR)])]);
        let why = plan::why::why(&desired, &world.observe(&desired), &a, &person(1).to_string()).unwrap();
        assert_eq!((why.is_effective(), why.is_broken), (Some(effective), !effective), "{mode:?} {key:?}");
    }
}
