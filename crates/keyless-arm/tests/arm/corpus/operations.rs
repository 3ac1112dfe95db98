//! Long-running operations, replayed by address: the client polls where the recording says and ends as it ended.

use std::time::Duration;

use keyless_arm::api::{WriteArm, WriteKind, Written};
use keyless_arm::error::{ErrorClass, Landed};
use keyless_core::desired::AuthMode;
use keyless_core::id::WorkspaceId;
use tokio::time::Instant;

use super::walk::{AtLeast, Recorded, Report, as_sent, replaying, topic, unsigned};
use crate::fake::{SUBSCRIPTION, workspace_id};

/// The operations of the corpus that do not end well, looked at one by one; all others succeed.
#[rustfmt::skip]
const ENDS: &[(&str, ErrorClass, Option<&str>)] = &[
    // `status: Failed` inside a 200.
    ("flexibleservers-backups-delete202", ErrorClass::Transient, Some("InternalServerError")),
    ("flexibleservers-firewallrules-put202", ErrorClass::Transient, Some("ServerIsBusy")),
    ("flexibleservers-virtualendpoin-put202", ErrorClass::Transient, Some("VirtualEndpointOwnerServerNotInReadyState")),
    ("Test_EventGrid_Topic--topics-providers-put201-2", ErrorClass::Transient, Some("Endpoint validation")),
    ("Test_EventGrid_Topic--topics-providers-put201.json", ErrorClass::Transient, Some("Endpoint validation")),
    ("test_application_by_id--applications-put201", ErrorClass::Transient, Some("InvalidApplianceState")),
    // The poll itself is answered 404 or 409: what became of the thing shows only in a read.
    ("test_keyvault_hsm_mgmt--managedhsms-delete202", ErrorClass::Transient, Some("ResourceNotFound")),
    ("test_sb_alias--namespaces-delete202", ErrorClass::Transient, Some("ResourceNotFound")),
    ("CanCreatePointToSiteConfigurtation--resourcegroup", ErrorClass::Transient, Some("ResourceGroupDeletionBlocked")),
    // The recording breaks off while the operation runs: a status that does not end is given up as unknown.
    ("test_mysql_flexible_server_high_availability_restore", ErrorClass::Transient, None), // CancelInProgress
    ("test_deployment_scripts--deploymentscripts-put201", ErrorClass::Transient, None), // provisioningResources
    ("Test_Kubernetesconfiguration_v1api20241101", ErrorClass::Transient, None), // Creating
    ("ManageRedisTest--redis-put201", ErrorClass::Transient, None), // the resource, still Creating
    // The recorded client followed `Location`; this one follows the status, of which nothing was recorded.
    ("test_afs_backup_protection--vaults-backupfabrics-post202", ErrorClass::Transient, None),
];

#[tokio::test(start_paused = true)]
async fn recorded_operations_end_as_they_ended() {
    let Some((exchanges, mut report)) = topic("lro") else { return };
    let mut met = 0;
    for exchange in &exchanges {
        let known = ENDS.iter().find(|(part, ..)| exchange[0].file.contains(part));
        met += usize::from(known.is_some());
        operation(&mut report, exchange, known.map(|(_, class, code)| (*class, *code))).await;
    }
    assert_eq!(met, ENDS.len(), "an entry of the table is about no file");
    report.finish(AtLeast { files: 84, parsed: 271, assertions: 549 });
}

async fn operation(report: &mut Report, exchange: &[Recorded], known: Option<(ErrorClass, Option<&str>)>) {
    let first = &exchange[0];
    let id = WorkspaceId::parse(&workspace_id()).unwrap();
    let (client, asks) = replaying(exchange);
    let permit = client.reserve_write(SUBSCRIPTION.parse().unwrap(), WriteKind::Workspace).await.unwrap();
    let start = Instant::now();
    let result = client.set_auth_mode(permit, &id, AuthMode::Identity).await;
    let found = match result {
        Ok(answer) => {
            report.same(first, "outcome", answer.value, Written::Changed);
            None
        }
        Err(failed) => {
            report.same(first, "a failure has no known end", failed.landed, Landed::Unknown);
            Some((failed.error.class, failed.error.code))
        }
    };
    report.same(first, "end", found, known.map(|(class, code)| (class, code.map(str::to_owned))));
    let asked: Vec<String> = asks.lock().unwrap().iter().skip(1).map(|asked| asked.url.clone()).collect();
    follow(report, exchange, &asked, start.elapsed());
}

/// Each poll must go to the address that the last answer with one gave, and not before the time that it asked for.
fn follow(report: &mut Report, exchange: &[Recorded], asked: &[String], elapsed: Duration) {
    let first = &exchange[0];
    let address = |one: &Recorded| {
        let status = one.header("azure-asyncoperation");
        status.or_else(|| one.header("location").filter(|_| matches!(one.status, 201 | 202))).map(as_sent)
    };
    let mut left: Vec<&Recorded> = exchange[1..].iter().collect();
    let mut expected = address(first);
    report.parsed();
    let mut last: Option<&Recorded> = None;
    let told = |one: &Recorded| one.header("retry-after").map_or(0, |text| text.parse::<u64>().unwrap());
    let mut waits = 0;
    for url in asked {
        report.same(first, "polled address", Some(url), expected.as_ref());
        waits += told(last.unwrap_or(first));
        let key = unsigned(url);
        if let Some(place) = left.iter().position(|one| unsigned(&as_sent(&one.url)) == key) {
            last = Some(left.remove(place));
            report.parsed();
        }
        // A fault in between moves nothing.
        if let Some(moved) = last.filter(|one| one.ok()).and_then(address) {
            expected = Some(moved);
        }
    }
    report.same(first, "every wait was kept", elapsed >= Duration::from_secs(waits), true);
    for one in left {
        let polled = asked.iter().any(|url| unsigned(url) == unsigned(&as_sent(&one.url)));
        report.unused(if polled {
            "a poll after the end was known"
        } else {
            "the closing read: the caller reads back by itself"
        });
    }
}
