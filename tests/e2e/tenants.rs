//! A workspace whose account belongs to another tenant is named as one, whether Azure shows the account or refuses to.

use serde_json::{Value, json};

use crate::harness::{Daemon, Plot, Sim, Way, id_of, output_of, patience, same_id, stdout, text_at, wait_until};

const OTHER: &str = "a602cbf4-21c3-4761-b54e-acf397842b82";

/// A plot, and the subscription in which its account lies.
struct Case {
    plot: Plot,
    account: String,
    world: Vec<Value>,
}

/// `tenants` says whose the account's subscription is, where it is not that of the workspaces.
fn case(name: &'static str, number: usize, subscription: Option<&str>, delegated: Option<bool>) -> Case {
    let plot = Plot { name, number, way: Way::Forward, apart: false };
    let mut world = plot.resources();
    world.push(plot.account_with(&json!({})));
    let (near, mut account) = (plot.account(), plot.account());
    if let Some(subscription) = subscription {
        account = near.replace(&plot.subscription(), subscription);
        world = serde_json::from_str(&Value::from(world).to_string().replace(&near, &account)).unwrap();
        world.extend(delegated.map(|delegated| {
            json!({"id": format!("{subscription}/providers/Keyless.Sim/tenants/{OTHER}"), "type": "Keyless.Sim/tenants",
                "properties": {"delegated": delegated}})
        }));
    }
    Case { plot, account, world }
}

#[test]
fn an_account_of_another_tenant_is_named_as_one_and_everything_else_goes_on() {
    let far = |n: usize| format!("/subscriptions/5a11c0de-0000-4000-8000-00000000000{n}");
    let cases = [
        case("near", 1, None, None),
        case("apart", 2, Some(&far(2)), None),
        case("foreign", 3, Some(&far(3)), Some(false)),
        case("delegated", 4, Some(&far(4)), Some(true)),
    ];
    let [near, apart, foreign, delegated] = &cases;
    let world: Vec<Value> = cases.iter().flat_map(|case| case.world.clone()).collect();
    let sim = Sim::of_world(&world, &["--speed", "1800"]);
    for Case { plot, .. } in &cases {
        std::fs::write(sim.desired().join(format!("{}.yaml", plot.name)), plot.documents("")).unwrap();
    }

    let plan: Value = serde_json::from_str(&stdout(&output_of(sim.command(&["plan", "--output", "json"]), 0))).unwrap();
    let of = |case: &Case| {
        let mut all = plan["accounts"].as_array().unwrap().iter();
        all.find(|account| same_id(id_of(account), &case.account)).unwrap().to_string()
    };
    for case in [near, apart] {
        assert!(!of(case).contains("tenant"), "{}", of(case));
    }
    for case in [foreign, delegated] {
        let words = [
            "crossTenantAccount",
            "a storage account in another tenant is not supported",
            &format!("(tenant {OTHER}, not "),
        ];
        words
            .iter()
            .for_each(|word| assert!(of(case).contains(word), "{}: no `{word}` in {}", case.plot.name, of(case)));
    }
    // Why the account cannot be read, and that no credential makes it work.
    let lift = format!(
        "a credential of tenant {OTHER}, the one that the subscription belongs to; a workspace of another tenant cannot"
    );
    assert!(of(foreign).contains(&lift), "{}", of(foreign));
    assert_eq!(sim.requests().writes(), 0);
    let text = stdout(&output_of(sim.command(&["plan"]), 0));
    assert!(text.contains("crossTenantAccount: a storage account in another tenant is not supported"), "{text}");

    let mut daemon = Daemon::start(&sim);
    let switched = |case: &Case| {
        sim.mode(&case.plot.workspace("alpha")) == "identity" && sim.mode(&case.plot.workspace("bravo")) == "identity"
    };
    wait_until("those of one tenant are switched", patience(4), || {
        [near, apart].into_iter().all(switched).then_some(())
    });
    for case in [foreign, delegated] {
        let workspace = case.plot.workspace("alpha");
        let told = daemon.event("incompatibility_found", |event| same_id(text_at(event, "/workspace"), &workspace));
        assert!(text_at(&told, "/why").contains("crossTenantAccount"), "{told:#}");
    }
    // The passes over the account that cannot be read are failures, and told as such.
    let goal = daemon.metric("keyless_passes_total", "") + 3 * cases.len() as u64;
    wait_until("passes go on", patience(4), || (daemon.metric("keyless_passes_total", "") >= goal).then_some(()));
    assert!(!switched(foreign) && !switched(delegated));

    // Whoever has another way than Azure's own may say so; what cannot be read stays where it is.
    let file = sim.desired().join("delegated.yaml");
    let accepted = "acceptIncompatible: [{id: crossTenantAccount, reason: a way of our own, owner: ops, until: 2100-01-01T00:00:00Z}]";
    let text = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, text.replace("  enforcement: enforce\n", &format!("  enforcement: enforce\n  {accepted}\n")))
        .unwrap();
    wait_until("the accepted one is switched", patience(4), || switched(delegated).then_some(()));
    assert!(!switched(foreign));
    assert_eq!(daemon.events("action_failed"), Vec::<Value>::new());
    daemon.stop();
    sim.assert_nobody_was_denied();
}
