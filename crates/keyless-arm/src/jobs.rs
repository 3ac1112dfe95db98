//! The jobs of a workspace that have not come to an end.
//!
//! The list knows neither a filter by status nor an order, so all of it is read: each page is a request, and of each page
//! only the jobs that are not over are kept. Archived jobs are read too, for nothing says that archiving ends a job.
//! Sources: Azure/azure-rest-api-specs `stable/2024-04-01/mfe.json`, `Jobs_List` (`$skip`, `jobType`, `tag`, `listViewType`,
//! `properties`; the default of `listViewType` leaves archived jobs out); that a filter by status is missing is also said in
//! <https://github.com/Azure/azure-sdk-for-python/issues/45746>.

use std::ops::ControlFlow;
use std::time::Duration;

use keyless_core::id::WorkspaceId;
use keyless_core::observed::ObservedJob;

use crate::api::{Answer, Read};
use crate::client::Client;
use crate::error::ErrorClass;
use crate::operation::Operation;
use crate::quota::Provider;
use crate::view::job;
use crate::view::node::{self, Node};

/// How long the pages of one history may take. Design decision: a third of what all reads before a write may take
/// together, so that a history which can be read at all can be read again before the write.
const WITHIN: Duration = Duration::from_secs(20);

/// The most pages of one history. How many jobs are on a page no source says. Design decision: five in a second, and no more
/// of a subscription's reads for one list.
const MOST_PAGES: usize = 100;

/// How much of a history is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pages {
    /// The first one: what it shows is there, and what it does not show may be there too.
    First,
    /// All of them.
    All,
}

impl Client {
    /// The jobs that are not over, of so many pages. A history that is longer than is read, or takes longer, is an error
    /// and not a part.
    pub(crate) async fn unended_jobs(&self, id: &WorkspaceId, pages: Pages) -> Read<Vec<ObservedJob>> {
        let query = [("listViewType", "All")];
        let path = format!("{id}/jobs");
        let call = self.list(Operation::ListJobs, Provider::MachineLearning, id.arm(), &path, &query);
        let mut jobs: node::Result<Vec<ObservedJob>> = Ok(Vec::new());
        let (mut came, mut receiving, mut slowest) = (0_usize, Duration::ZERO, Duration::ZERO);
        let read = self.pipeline.pages(call.clone(), MOST_PAGES, |items, took| {
            came = came.saturating_add(1);
            receiving = receiving.saturating_add(took);
            slowest = slowest.max(took);
            let read = items.iter().map(|item| job::job(&Node::root(item))).collect::<node::Result<Vec<ObservedJob>>>();
            match (read, &mut jobs) {
                (Ok(read), Ok(known)) => known.extend(read.into_iter().filter(|job| !job.has_ended())),
                (Err(error), jobs) => *jobs = Err(error),
                (Ok(_), Err(_)) => {}
            }
            if pages == Pages::First || jobs.is_err() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        });
        let end = tokio::time::timeout(WITHIN, read).await;
        let Ok(end) = end else {
            // It is the length only if the pages came all the time, but for the one that was on its way: later pages may be
            // slower than all before them. Otherwise something was waited for, and a later try may have the time for all.
            let idle = WITHIN.saturating_sub(receiving);
            let too_long = idle <= slowest.saturating_mul(2);
            let class = if too_long { ErrorClass::Unreadable } else { ErrorClass::Transient };
            let mut why = format!("the pages do not end within {} s: {came} were read, ", WITHIN.as_secs());
            if too_long {
                why.push_str("and there are more");
            } else {
                why.push_str(&format!("and for {:.0?} none came, as after refusals for want of quota", idle));
            }
            return Err(call.error(class, why));
        };
        let end = end?;
        match jobs {
            Ok(value) => Ok(Answer { value, at: end.at, request_id: end.request_id }),
            Err(error) => Err(call.error(ErrorClass::Unreadable, format!("an item of the list: {error}"))),
        }
    }
}
