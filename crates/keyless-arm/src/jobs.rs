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
        let mut came: usize = 0;
        let read = self.pipeline.pages(call.clone(), MOST_PAGES, |items| {
            came = came.saturating_add(1);
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
            // Where no page came at all, it is not the length.
            let class = if came == 0 { ErrorClass::Transient } else { ErrorClass::Unreadable };
            let why =
                format!("the pages do not end within {} s: {came} were read, and there are more", WITHIN.as_secs());
            return Err(call.error(class, why));
        };
        let end = end?;
        match jobs {
            Ok(value) => Ok(Answer { value, at: end.at, request_id: end.request_id }),
            Err(error) => Err(call.error(ErrorClass::Unreadable, format!("an item of the list: {error}"))),
        }
    }
}
