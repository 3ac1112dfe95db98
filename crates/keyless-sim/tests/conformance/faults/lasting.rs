//! Storms, locks, denials and lost rights: what begins with one request, holds others up, and ends by itself.

use keyless_sim::{Breadth, Fault, FaultRule, Faults, Knobs, SimOptions};
use serde_json::json;

use super::{account_url, cloud, first, flag_of, last, minutes};
use crate::cloud::{BLOB_READER, Cloud, DANA, RG, SUB, account, small_world, workspace};

const NAME: &str = "0f6c7b8a-2d1e-5c3f-9a4b-6d7e8f901234";

#[tokio::test]
async fn what_lasts_does_not_shift_what_strikes_after_it() {
    let chance = || FaultRule::new("GET", "/storageAccounts/{}", Fault::NotFound).chance(0.3);
    let storm = Fault::Storm { lasts: minutes(10), retry_after: std::time::Duration::from_secs(20) };
    let storm = FaultRule::new("GET", "/storageAccounts/{}", storm).calls([5]);
    let mut strikes = Vec::new();
    for rules in [vec![chance()], vec![chance(), storm]] {
        let faults = Faults::new(rules);
        let cloud = Cloud::new(small_world(), Knobs { faults, throttling: false, ..Knobs::immediate() });
        let mut stormy = 0;
        for _ in 0..50 {
            stormy += usize::from(cloud.get(&account_url()).await.status == 429);
        }
        cloud.pass(1200);
        let mut later = Vec::new();
        for _ in 0..50 {
            later.push(cloud.get(&account_url()).await.status);
        }
        strikes.push((stormy > 40, later));
    }
    assert_eq!((strikes[0].0, strikes[1].0), (false, true));
    assert_eq!(strikes[0].1, strikes[1].1);
    assert!(strikes[0].1.contains(&404));
}

#[tokio::test]
async fn storm_refuses_a_provider_of_a_subscription_and_again_before_retry_after() {
    let storm = Fault::Storm { lasts: minutes(1), retry_after: std::time::Duration::from_secs(20) };
    let cloud = cloud(FaultRule::new("GET", "/storageAccounts/{}", storm).calls([1]));
    let provider = format!("storm/{}/microsoft.storage", &SUB["/subscriptions/".len()..]);
    assert_eq!(cloud.flag(false).await.status, 200, "only a GET begins it");
    assert_eq!(cloud.get(&account_url()).await.header("retry-after"), "20");
    for (pass, left) in [(5, "15"), (14, "1")] {
        cloud.pass(pass);
        let refused = cloud.flag(false).await;
        assert_eq!((refused.status, refused.header("retry-after")), (429, left));
    }
    let recorded = last(&cloud);
    assert_eq!((recorded.fault, recorded.bucket.as_deref()), (Some("storm"), Some(provider.as_str())));
    assert!(recorded.buckets.iter().any(|bucket| bucket.name == provider));
    // Another provider is not concerned.
    assert_eq!(cloud.mode("churn", "Identity").await.status, 200);
    // After the promised time the storm is still on, and promises anew.
    cloud.pass(1);
    assert_eq!(cloud.get(&account_url()).await.header("retry-after"), "20");
    // A promise is kept beyond the storm's end.
    cloud.pass(39);
    assert_eq!(cloud.get(&account_url()).await.header("retry-after"), "20");
    cloud.pass(2);
    assert_eq!(cloud.get(&account_url()).await.status, 429);
    cloud.pass(18);
    assert_eq!(cloud.get(&account_url()).await.status, 200);
}

#[tokio::test]
async fn scope_locked_is_a_lock_that_shows_holds_and_goes() {
    let fault = Fault::ScopeLocked { lasts: minutes(6), scope: Breadth::Resource, read_only: true };
    let cloud = first("PATCH", "/storageAccounts/{}", fault);
    let locks = format!("{}/providers/Microsoft.Authorization/locks?api-version=2016-09-01", account());
    let refused = cloud.flag(false).await;
    assert_eq!((refused.status, refused.code()), (409, "ScopeLocked"));
    let standing = cloud.get(&locks).await;
    assert_eq!(standing.body["value"][0]["properties"]["level"], "ReadOnly");
    assert_eq!(cloud.grant(&account(), NAME, DANA, BLOB_READER).await.code(), "ScopeLocked");
    assert_eq!(last(&cloud).fault, Some("scopeLocked"));
    assert_eq!(cloud.mode("churn", "Identity").await.status, 200);
    cloud.pass(359);
    assert_eq!(cloud.flag(false).await.status, 409);
    cloud.pass(1);
    assert_eq!(cloud.get(&locks).await.body["value"], json!([]));
    assert_eq!(cloud.flag(false).await.status, 200);
}

#[tokio::test]
async fn scope_locked_at_the_group_reaches_all_in_it() {
    let fault = Fault::ScopeLocked { lasts: minutes(6), scope: Breadth::Group, read_only: false };
    let cloud = first("PATCH", "/storageAccounts/{}", fault);
    assert_eq!(cloud.flag(false).await.status, 200, "a CanNotDelete lock lets a write through");
    let locks = format!("{}/providers/Microsoft.Authorization/locks?api-version=2016-09-01", workspace("churn"));
    let id = cloud.get(&locks).await.body["value"][0]["id"].as_str().unwrap().to_ascii_lowercase();
    assert!(id.starts_with(&format!("{}/providers/microsoft.authorization/locks/", RG.to_ascii_lowercase())), "{id}");
    let gone = cloud.ask("DELETE", &format!("{}?api-version=2025-09-01", workspace("churn")), None).await;
    assert_eq!(gone.code(), "ScopeLocked");
}

#[tokio::test]
async fn policy_deny_forbids_writes_in_the_documented_words() {
    let fault = Fault::PolicyDeny { lasts: minutes(6), scope: Breadth::Resource };
    let cloud = first("PATCH", "/storageAccounts/{}", fault);
    for _ in 0..2 {
        let refused = cloud.flag(false).await;
        assert_eq!((refused.status, refused.code()), (403, "RequestDisallowedByPolicy"));
        let error = &refused.body["error"];
        assert_eq!(error["target"], "stmlchurnprod");
        let message = error["message"].as_str().unwrap();
        assert!(message.starts_with("Resource 'stmlchurnprod' was disallowed by policy. Policy identifiers: '[{"));
        assert_eq!(error["additionalInfo"][0]["type"], "PolicyViolation");
    }
    assert_eq!(cloud.grant(&account(), NAME, DANA, BLOB_READER).await.body["error"]["target"], NAME);
    let grant = format!("{}/providers/Microsoft.Authorization/roleAssignments/{NAME}", account());
    let deleted = cloud.ask("DELETE", &format!("{grant}?api-version=2022-04-01"), None).await;
    assert_eq!(deleted.status, 204, "a policy forbids no deletion");
    assert_eq!(cloud.get(&account_url()).await.status, 200);
    assert_eq!(cloud.mode("churn", "Identity").await.status, 200);
    cloud.pass(360);
    assert_eq!(cloud.flag(false).await.status, 200);
}

#[tokio::test]
async fn authorization_failed_takes_one_callers_rights_for_a_while() {
    let fault = Fault::AuthorizationFailed { lasts: minutes(3), scope: Breadth::Group };
    let mut cloud = first("GET", "/storageAccounts/{}", fault);
    for path in [account_url(), format!("{}?api-version=2025-09-01", workspace("churn"))] {
        let refused = cloud.get(&path).await;
        assert_eq!((refused.status, refused.code()), (403, "AuthorizationFailed"));
    }
    let message = cloud.flag(false).await.body["error"]["message"].as_str().unwrap().to_owned();
    assert!(message.contains("'Microsoft.Storage/storageAccounts/write' over scope '/subscriptions/"), "{message}");
    cloud.act_as(keyless_sim::MANAGED_OBJECT_ID);
    assert_eq!(cloud.get(&account_url()).await.status, 200);
    cloud.act_as(keyless_sim::CLIENT_OBJECT_ID);
    cloud.pass(180);
    assert_eq!(cloud.get(&account_url()).await.status, 200);
}

#[tokio::test]
async fn nothing_that_lasts_outlives_the_end_of_all_faults() {
    let lasts = minutes(60);
    for fault in [
        Fault::ScopeLocked { lasts, scope: Breadth::Resource, read_only: true },
        Fault::PolicyDeny { lasts, scope: Breadth::Resource },
        Fault::AuthorizationFailed { lasts, scope: Breadth::Resource },
        Fault::Storm { lasts, retry_after: lasts },
    ] {
        let name = fault.name();
        let faults = Faults::new([FaultRule::new("PATCH", "", fault).calls([1])]).until(minutes(10));
        let cloud = Cloud::new(small_world(), Knobs { faults, ..Knobs::immediate() });
        cloud.pass(60);
        for _ in 0..2 {
            assert!(cloud.flag(false).await.status >= 400, "{name}");
        }
        cloud.pass(9 * 60);
        assert_eq!(cloud.flag(false).await.status, 200, "{name}");
    }
}

#[tokio::test]
async fn spans_of_faults_are_divided_by_the_speed() {
    let fault = Fault::ScopeLocked { lasts: minutes(10), scope: Breadth::Resource, read_only: true };
    let faults = Faults::new([FaultRule::new("PATCH", "", fault).calls([1])]);
    let knobs = Knobs { faults, ..Knobs::immediate() };
    let cloud = Cloud::with(small_world(), SimOptions { knobs, speed: 60.0, ..SimOptions::default() });
    assert_eq!(cloud.flag(false).await.status, 409);
    cloud.pass(9);
    assert_eq!(cloud.flag(false).await.status, 409);
    cloud.pass(1);
    assert_eq!(cloud.flag(false).await.status, 200);
}

#[tokio::test]
async fn other_faults_end_what_earlier_ones_left() {
    let fault = Fault::ScopeLocked { lasts: minutes(60), scope: Breadth::Resource, read_only: true };
    let cloud = first("PATCH", "/storageAccounts/{}", fault);
    assert_eq!(cloud.flag(false).await.status, 409);
    cloud.sim.set_faults(Faults::default());
    assert_eq!(cloud.flag(false).await.status, 200);
    assert_eq!(flag_of(&cloud).await, Some(false));
}
