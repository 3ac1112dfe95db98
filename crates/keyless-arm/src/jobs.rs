//! The jobs of a workspace that have not come to an end.
//!
//! The list knows neither a filter by status nor an order, so all of it is read: each page is a request, and of each page
//! only the jobs that are not over are kept. Archived jobs are read too, for nothing says that archiving ends a job.
//! Sources: Azure/azure-rest-api-specs `stable/2024-04-01/mfe.json`, `Jobs_List` (`$skip`, `jobType`, `tag`, `listViewType`,
//! `properties`; the default of `listViewType` leaves archived jobs out); that a filter by status is missing is also said in
//! <https://github.com/Azure/azure-sdk-for-python/issues/45746>.

use keyless_core::id::WorkspaceId;
use keyless_core::observed::ObservedJob;

use crate::api::{Answer, Read};
use crate::client::Client;
use crate::error::ErrorClass;
use crate::operation::Operation;
use crate::quota::Provider;
use crate::view::job;
use crate::view::node::{self, Node};

/// The most pages of one history. How many jobs are on a page no source says. Design decision: as many as can be read again
/// before a write without the other confirming reads growing old.
const MOST_PAGES: usize = 200;

impl Client {
    /// All jobs that are not over. A history that is longer than is read is an error, not a part.
    pub(crate) async fn unended_jobs(&self, id: &WorkspaceId) -> Read<Vec<ObservedJob>> {
        let query = [("listViewType", "All")];
        let path = format!("{id}/jobs");
        let call = self.list(Operation::ListJobs, Provider::MachineLearning, id.arm(), &path, &query);
        let mut jobs: node::Result<Vec<ObservedJob>> = Ok(Vec::new());
        let end = self.pipeline.pages(call.clone(), MOST_PAGES, |items| {
            let Ok(known) = &mut jobs else { return };
            let read = items.iter().map(|item| job::job(&Node::root(item))).collect::<node::Result<Vec<ObservedJob>>>();
            match read {
                Ok(read) => known.extend(read.into_iter().filter(|job| !job.has_ended())),
                Err(error) => jobs = Err(error),
            }
        });
        let end = end.await?;
        match jobs {
            Ok(value) => Ok(Answer { value, at: end.at, request_id: end.request_id }),
            Err(error) => Err(call.error(ErrorClass::Unreadable, format!("an item of the list: {error}"))),
        }
    }
}
