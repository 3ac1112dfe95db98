//! The answer to a query of the storage resource logs: tables of rows, read by the names of their columns.
//!
//! Source: <https://learn.microsoft.com/azure/azure-monitor/logs/api/response-format>; an answer that is not whole carries
//! `error` beside `tables`, with status 200.

use jiff::Timestamp;
use keyless_core::observed::{KeyCaller, MadeFrom, Signed, StorageService};

use super::node::{Node, Result, parse_time};

/// Longest text of a caller's own making that is told. Design decision.
const LONGEST: usize = 100;

/// At most `most` callers, and whether there were more.
pub(crate) fn callers(node: &Node<'_>, most: usize) -> Result<(Vec<KeyCaller>, bool)> {
    if let Some(error) = node.opt("error") {
        let code = error.opt_text("code").ok().flatten().unwrap_or("no code");
        return node.fail(format!("the answer is partial: {}", plain(code)));
    }
    let tables = node.items("tables")?;
    let Some(table) =
        tables.iter().find(|table| table.opt_text("name").is_ok_and(|name| name == Some("PrimaryResult")))
    else {
        return node.fail("there is no table `PrimaryResult`");
    };
    let columns = table.items("columns")?;
    let names = columns.iter().map(|column| column.text("name")).collect::<Result<Vec<&str>>>()?;
    if !table.has("rows") {
        return table.fail("`rows` is missing");
    }
    let rows = table.items("rows")?;
    let cut = rows.len() > most;
    let mut callers = Vec::new();
    for row in rows.iter().take(most) {
        callers.extend(caller(&Row::of(row, &names)?)?);
    }
    Ok((callers, cut))
}

/// One row; nothing where it is signed in a way that has nothing to do with keys, or is not known to.
fn caller(row: &Row<'_, '_>) -> Result<Option<KeyCaller>> {
    let made_from = match row.text("MadeFrom")?.as_str() {
        "" => MadeFrom::Untold,
        "noKey" => MadeFrom::NoKey,
        key => MadeFrom::Key(key.to_owned()),
    };
    // Azure writes `SAS`, and its documentation `SAS Key`.
    let kind = row.text("AuthenticationType")?.to_ascii_lowercase().replace(' ', "");
    let signed = match kind.as_str() {
        "accountkey" => Signed::AccountKey,
        "oauth" => Signed::OAuth,
        sas if sas.contains("sas") => Signed::Sas,
        _ if matches!(made_from, MadeFrom::Key(_)) => Signed::AccountKey,
        _ => return Ok(None),
    };
    let service = match row.text("Type")?.to_ascii_lowercase().as_str() {
        "storagebloblogs" => StorageService::Blob,
        "storagefilelogs" => StorageService::File,
        "storagequeuelogs" => StorageService::Queue,
        "storagetablelogs" => StorageService::Table,
        other => return row.node.fail(format!("`Type` is `{}`", plain(other))),
    };
    let optional = |name| Ok(Some(row.text(name)?).filter(|text| !text.is_empty()));
    Ok(Some(KeyCaller {
        service,
        signed,
        made_from,
        operation: row.text("OperationName")?,
        refused: matches!(row.text("StatusCode")?.as_str(), "401" | "403"),
        outcome: row.text("StatusText")?,
        address: row.text("Address")?,
        agent: row.text("UserAgentHeader")?,
        object: optional("RequesterObjectId")?,
        app: optional("RequesterAppId")?,
        requests: row.count("Requests")?,
        first: row.time("First")?,
        last: row.time("Last")?,
    }))
}

/// A row and the names of its values.
struct Row<'n, 'a> {
    node: &'n Node<'a>,
    cells: Vec<Node<'a>>,
    names: &'n [&'a str],
}

impl<'n, 'a> Row<'n, 'a> {
    fn of(node: &'n Node<'a>, names: &'n [&'a str]) -> Result<Self> {
        match node.list() {
            Some(cells) if cells.len() == names.len() => Ok(Self { node, cells, names }),
            Some(_) => node.fail("has another number of values than there are columns"),
            None => node.fail("is not an array"),
        }
    }

    fn cell(&self, name: &str) -> Result<&Node<'a>> {
        let mut found = self.names.iter().zip(&self.cells).filter(|(column, _)| **column == name);
        match (found.next(), found.next()) {
            (Some((_, cell)), None) => Ok(cell),
            (None, _) => self.node.fail(format!("there is no column `{name}`")),
            (Some(_), Some(_)) => self.node.fail(format!("there are two columns `{name}`")),
        }
    }

    /// What is missing is empty.
    fn text(&self, name: &str) -> Result<String> {
        let cell = self.cell(name)?;
        if cell.raw().is_null() { Ok(String::new()) } else { Ok(plain(cell.as_text()?)) }
    }

    /// A number, or a text that is one: both are seen.
    fn count(&self, name: &str) -> Result<u64> {
        let cell = self.cell(name)?;
        match cell.scalar().and_then(|text| text.parse().ok()) {
            Some(count) => Ok(count),
            None => cell.fail("is not a count"),
        }
    }

    fn time(&self, name: &str) -> Result<Timestamp> {
        let cell = self.cell(name)?;
        match parse_time(cell.as_text()?) {
            Some(time) => Ok(time),
            None => cell.fail("is not a time"),
        }
    }
}

/// Anybody may write anything into a header, and it ends up on terminals and web pages.
fn plain(text: &str) -> String {
    text.trim().chars().take(LONGEST).map(|c| if c.is_ascii_graphic() || c == ' ' { c } else { '?' }).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    const COLUMNS: [&str; 13] = [
        "Last",
        "Type",
        "AuthenticationType",
        "MadeFrom",
        "OperationName",
        "StatusCode",
        "StatusText",
        "Address",
        "UserAgentHeader",
        "RequesterObjectId",
        "RequesterAppId",
        "Requests",
        "First",
    ];

    fn row(kind: &str, made_from: &str) -> Value {
        json!([
            "2026-11-01T02:00:00.5Z",
            "StorageFileLogs",
            kind,
            made_from,
            "GetFile",
            "200",
            "Success",
            "10.1.0.4",
            "rclone/1.6\u{1b}[31m",
            null,
            "",
            7,
            "2026-11-01T01:00:00Z",
        ])
    }

    fn body(rows: &[Value]) -> Value {
        let columns: Vec<Value> = COLUMNS.iter().map(|name| json!({"name": name, "type": "string"})).collect();
        json!({"tables": [{"name": "PrimaryResult", "columns": columns, "rows": rows}]})
    }

    fn check(body: &Value) -> Result<(Vec<KeyCaller>, bool)> {
        callers(&Node::root(body), 3)
    }

    #[test]
    fn rows_are_read_by_the_names_of_their_columns() {
        let (callers, cut) = check(&body(&[row("AccountKey", "key1")])).unwrap();
        let [one] = callers.as_slice() else { panic!("{callers:?}") };
        assert_eq!(
            (one.service, one.signed, one.made_from.as_str()),
            (StorageService::File, Signed::AccountKey, Some("key1"))
        );
        assert_eq!((one.address.as_str(), one.agent.as_str()), ("10.1.0.4", "rclone/1.6?[31m"));
        assert_eq!((one.object.as_ref(), one.requests, one.refused, cut), (None, 7, false, false));
        assert!(one.first < one.last);
        let mut text = row("SAS", "");
        text[11] = json!("12");
        assert_eq!(check(&body(&[text])).unwrap().0[0].requests, 12);
    }

    #[test]
    fn the_hash_tells_a_sas_made_from_a_key_from_one_that_no_key_made() {
        let signed = |kind: &str, made_from: &str| {
            let found = check(&body(&[row(kind, made_from)])).unwrap().0;
            found.into_iter().next().map(|one| (one.signed, one.made_from))
        };
        assert_eq!(signed("SAS", "key2"), Some((Signed::Sas, MadeFrom::Key("key2".to_owned()))));
        assert_eq!(signed("SAS", "noKey"), Some((Signed::Sas, MadeFrom::NoKey)));
        for kind in ["SAS", "SAS Key", "DelegationSas"] {
            assert_eq!(signed(kind, ""), Some((Signed::Sas, MadeFrom::Untold)), "{kind}");
        }
        assert_eq!(signed("Account Key", ""), Some((Signed::AccountKey, MadeFrom::Untold)));
        assert_eq!(signed("NewKind", "key1"), Some((Signed::AccountKey, MadeFrom::Key("key1".to_owned()))));
        for none in ["", "noKey"] {
            assert_eq!(signed("NewKind", none), None, "{none}");
        }
    }

    #[test]
    fn more_rows_than_asked_for_are_told_as_cut() {
        let rows = vec![row("SAS", ""); 4];
        assert_eq!(check(&body(&rows)).map(|(callers, cut)| (callers.len(), cut)), Ok((3, true)));
        assert_eq!(check(&body(&[])), Ok((Vec::new(), false)));
    }

    #[test]
    fn what_is_partial_or_odd_is_an_error() {
        let mut partial = body(&[row("SAS", "")]);
        partial["error"] =
            json!({"code": "PartialError", "message": "There were some errors when processing your query."});
        assert_eq!(check(&partial).unwrap_err().to_string(), "body: the answer is partial: PartialError");
        for odd in [json!({}), json!({"tables": []}), json!({"tables": [{"name": "Other", "columns": [], "rows": []}]})]
        {
            assert!(check(&odd).is_err(), "{odd}");
        }
        let mut no_rows = body(&[]);
        no_rows["tables"][0].as_object_mut().unwrap().remove("rows");
        assert!(check(&no_rows).is_err());
        for (place, value) in [(0, json!("soon")), (1, json!("StorageLogs")), (2, json!(5)), (11, json!("many"))] {
            let mut bad = row("SAS", "");
            bad[place] = value;
            assert!(check(&body(&[bad])).is_err(), "{place}");
        }
        assert!(check(&body(&[json!(["short"])])).is_err());
        let mut fewer = body(&[row("SAS", "")]);
        fewer["tables"][0]["columns"][11]["name"] = json!("Requests_");
        assert!(check(&fewer).unwrap_err().to_string().contains("there is no column `Requests`"));
        let mut twice = row("SAS", "");
        twice.as_array_mut().unwrap().push(json!(8));
        let mut twice = body(&[twice]);
        twice["tables"][0]["columns"].as_array_mut().unwrap().push(json!({"name": "Requests", "type": "long"}));
        assert!(check(&twice).unwrap_err().to_string().contains("there are two columns `Requests`"));
    }
}
