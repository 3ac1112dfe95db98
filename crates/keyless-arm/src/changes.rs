//! Asking the activity log who changed something.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use keyless_core::observed::{Caller, Change, ChangedTo, ChangesOf};

use crate::api::{Answer, Read, ReadArm as _};
use crate::client::Client;
use crate::operation::Operation;
use crate::quota::Provider;
use crate::view::activity;
use crate::view::node::Node;

/// The log keeps 90 days, and refuses to be asked about more.
///
/// Source: Azure/azure-cli, recording `test_activity_log_list_scenario` (`The start time cannot be more than 90 days in the
/// past.`); a day is left for clocks that differ.
const KEPT: SignedDuration = SignedDuration::from_hours(89 * 24);

/// What an event is asked to tell, by the names that the documentation lists for `$select`.
const SELECT: &str =
    "caller,claims,correlationId,eventName,eventTimestamp,httpRequest,operationName,properties,resourceId,status";

impl Client {
    /// Source: <https://learn.microsoft.com/rest/api/monitor/activity-logs/list>, which allows no other forms of `$filter`.
    pub(crate) async fn logged_changes(&self, of: &ChangesOf, from: Timestamp, to: Timestamp) -> Read<Vec<Change>> {
        let from = from.max(to.saturating_sub(KEPT).unwrap_or(Timestamp::MIN));
        let (operation, subscription, which) = match of {
            // What lies in no subscription is in no subscription's log.
            ChangesOf::Resource(id) => {
                (Operation::ListChanges, id.subscription().unwrap_or_default(), format!("resourceUri eq '{id}'"))
            }
            ChangesOf::Assignments(subscription) => {
                let which = "resourceProvider eq 'Microsoft.Authorization'".to_owned();
                (Operation::ListAssignmentChanges, *subscription, which)
            }
        };
        let scope = subscription.arm();
        let path = format!("{scope}/providers/Microsoft.Insights/eventtypes/management/values");
        let filter = format!("eventTimestamp ge '{from}' and eventTimestamp le '{to}' and {which}");
        let query = [("$filter", filter.as_str()), ("$select", SELECT)];
        let call = self.list(operation, Provider::Insights, &scope, &path, &query);
        let own = self.own_identity().await;
        let is_own = |by: &Caller, id: Option<&str>| {
            id.is_some_and(|id| self.pipeline.sent.holds(id)) || (own.is_some() && by.object_id == own)
        };
        let told = |event: &Node<'_>| Ok((activity::change(event, is_own)?, activity::body(event)?));
        let Answer { value, at, request_id } = self.all(call, told).await?;
        let (changes, bodies): (Vec<_>, Vec<_>) = value.into_iter().unzip();
        // The body is told by one event of a request, the success by another.
        let bodies: BTreeMap<(String, String), ChangedTo> = bodies.into_iter().flatten().collect();
        let mut changes: Vec<Change> = changes.into_iter().flatten().collect();
        for change in &mut changes {
            let of = change.correlation_id.clone().map(|id| (id, change.resource.clone()));
            change.body = of.and_then(|of| bodies.get(&of).cloned());
        }
        changes.sort_by_key(|change| change.at);
        Ok(Answer { value: changes, at, request_id })
    }
}
