//! Asking the storage resource logs in a Log Analytics workspace who called.
//!
//! The question is put to the resource manager, so that no token goes anywhere else, as the GET that the interface has
//! beside its POST: it changes nothing, and may be repeated as reads are.
//! Source: azure-rest-api-specs `operationalinsights` 2017-10-01 (`Query_Get` below the workspace's ARM id).

use jiff::Timestamp;
use keyless_core::id::{LogAnalyticsId, StorageAccountId};
use keyless_core::observed::KeyCallers;

use crate::api::{Answer, Read};
use crate::client::Client;
use crate::error::{ArmError, ErrorClass};
use crate::operation::Operation;
use crate::quota::Provider;
use crate::view::callers;

/// How many kinds of callers are told. Design decision: one more row than people could read.
const MOST: usize = 200;

impl Client {
    /// Who called one account in `from..to`, but for those whose tokens were accepted.
    pub(crate) async fn logged_callers(
        &self,
        logs: &LogAnalyticsId,
        account: &StorageAccountId,
        from: Timestamp,
        to: Timestamp,
    ) -> Read<KeyCallers> {
        let path = format!("{logs}/query");
        let (query, timespan) = (question(account.name()), format!("{from}/{to}"));
        let asked = [("query", query.as_str()), ("timespan", timespan.as_str())];
        let call = self.list(Operation::QueryCallers, Provider::OperationalInsights, logs.arm(), &path, &asked);
        if !account.name().bytes().all(|b| b.is_ascii_alphanumeric()) {
            return Err(call.error(ErrorClass::Bug, "this is not the name of a storage account"));
        }
        let Answer { value, at, request_id } = self.one(call.clone(), |node| callers::callers(node, MOST)).await?;
        match value {
            Some((callers, cut)) => Ok(Answer { value: KeyCallers { from, to, cut, callers }, at, request_id }),
            None => Err(ArmError {
                lift: Some("the id of a workspace that exists in `evidence.logAnalytics`".to_owned()),
                ..call.error(ErrorClass::Unreadable, "the Log Analytics workspace does not exist")
            }),
        }
    }
}

/// An address without its port, in the first group. Only a port that follows an IPv4 address or brackets is cut off: the end
/// of an IPv6 address looks like one. In a class a bracket would open another one, so the brackets are escaped.
/// Source: MicrosoftDocs/dataexplorer-docs `data-explorer/kusto/query/regex.md`.
const ADDRESS: &str = r"^([0-9]+[.][0-9.]+|\[.*\]|.*)(:[0-9]+)?$";

/// One row for each kind of request of each caller, the busiest first, and one more than is told, to see whether it is all.
///
/// Tables that the workspace does not have yet are passed over; an empty one with the same columns stands in for them, since a
/// union of which nothing is there is refused. Names of accounts are unique in all of Azure, and made of letters and digits
/// alone, so that nothing needs to be escaped.
/// Sources: MicrosoftDocs/azure-monitor-docs `articles/azure-monitor/reference/tables/storagebloblogs.md` for the columns;
/// MicrosoftDocs/dataexplorer-docs `data-explorer/kusto/query` (`union-operator.md`, `extract-function.md`) for the language.
fn question(account: &str) -> String {
    let rows = MOST.saturating_add(1);
    format!(
        "union isfuzzy=true (datatable(TimeGenerated: datetime, Type: string, AccountName: string, \
         AuthenticationType: string, AuthenticationHash: string, OperationName: string, StatusCode: string, \
         StatusText: string, CallerIpAddress: string, UserAgentHeader: string, RequesterObjectId: string, \
         RequesterAppId: string)[]), \
         StorageBlobLogs, StorageFileLogs, StorageQueueLogs, StorageTableLogs \
         | where AccountName =~ \"{account}\" \
         | where AuthenticationType !in~ (\"Anonymous\", \"AnonymousPreflight\", \"Kerberos\") \
         | where AuthenticationType !~ \"OAuth\" or StatusCode in (\"401\", \"403\") \
         | extend Address = extract(@\"{ADDRESS}\", 1, CallerIpAddress), \
         MadeFrom = case(AuthenticationHash startswith \"key1(\", \"key1\", \
         AuthenticationHash startswith \"key2(\", \"key2\", AuthenticationHash startswith \"SasSignature(\", \"noKey\", \"\") \
         | summarize Requests = count(), First = min(TimeGenerated), Last = max(TimeGenerated) \
         by Type, AuthenticationType, MadeFrom, OperationName, StatusCode, StatusText, Address, UserAgentHeader, \
         RequesterObjectId, RequesterAppId \
         | top {rows} by Requests desc"
    )
}

#[cfg(test)]
mod tests {
    use regex_automata::meta::Regex;

    use super::*;

    #[test]
    fn a_port_is_cut_off_and_the_end_of_an_address_is_not() {
        let pattern = Regex::new(ADDRESS).unwrap();
        assert!(question("stml").contains(&format!("extract(@\"{ADDRESS}\", 1, CallerIpAddress)")));
        for (address, expected) in [
            ("10.0.0.1", "10.0.0.1"),
            ("10.0.0.1:5000", "10.0.0.1"),
            ("2001:db8::1", "2001:db8::1"),
            ("2001:db8:0:0:0:0:0:8080", "2001:db8:0:0:0:0:0:8080"),
            ("1:2:3:4:5:6:7:8", "1:2:3:4:5:6:7:8"),
            ("::1", "::1"),
            ("::ffff:10.0.0.1", "::ffff:10.0.0.1"),
            ("[2001:db8::1]:443", "[2001:db8::1]"),
            ("[2001:db8::1]", "[2001:db8::1]"),
            ("10.0.0.1:", "10.0.0.1:"),
            ("", ""),
        ] {
            let mut found = pattern.create_captures();
            pattern.captures(address, &mut found);
            let first = found.get_group(1).map(|span| &address[span.range()]);
            assert_eq!(first, Some(expected), "{address}");
        }
    }
}
