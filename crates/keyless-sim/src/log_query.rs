//! The few sentences of the log query language that are understood: a union of tables, conditions on columns, some columns
//! made of others, and one summary. Everything else is an error, so that no query gets wrong data.
//! Source: MicrosoftDocs/dataexplorer-docs `data-explorer/kusto/query` for what each operator and function means.
//!
//! Rows stand for many requests each, so only what can be told of all of them at once is understood.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

/// Requests that are alike in every column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Row {
    pub(crate) cells: BTreeMap<String, String>,
    pub(crate) requests: u64,
    pub(crate) first: Timestamp,
    pub(crate) last: Timestamp,
}

/// A value of an answer.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Cell {
    Text(String),
    Count(u64),
    Time(Timestamp),
}

/// An answer: its columns, and rows of as many values.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Summary {
    pub(crate) columns: Vec<String>,
    pub(crate) rows: Vec<Vec<Cell>>,
}

/// A query that is understood.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Query {
    pub(crate) tables: Vec<String>,
    /// Whether those of them that are not there are passed over.
    fuzzy: bool,
    /// The columns of an empty table that stands beside them.
    empty: Option<BTreeSet<String>>,
    steps: Vec<Step>,
    by: Vec<String>,
    sums: Vec<(String, Sum)>,
    top: Option<(usize, String)>,
}

#[derive(Debug, PartialEq, Eq)]
enum Step {
    /// Any of these must hold.
    Where(Vec<Test>),
    Extend(String, Made),
}

#[derive(Debug, PartialEq, Eq)]
struct Test {
    column: String,
    how: How,
    values: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct How {
    not: bool,
    any_case: bool,
    starts: bool,
}

#[derive(Debug, PartialEq, Eq)]
enum Made {
    /// `extract` with [`ADDRESS`]: an address without its port.
    Address(String),
    /// `case`: the value beside the first condition that holds, or the last.
    Case(Vec<(Test, String)>, String),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sum {
    Count,
    First,
    Last,
}

/// The one pattern that is understood: what a port follows if it is an IPv4 address or in brackets, else all there is.
const ADDRESS: &str = "^([0-9]+[.][0-9.]+|[[].*[]]|.*)(:[0-9]+)?$";

/// Why a query is not answered.
pub(crate) type Refusal = String;

/// A table or column that is not there.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Unresolved {
    pub(crate) code: &'static str,
    pub(crate) message: String,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Word {
    Name(String),
    Text(String),
    Number(usize),
    Sign(char),
}

fn words(query: &str) -> Result<Vec<Word>, Refusal> {
    let mut words = Vec::new();
    let mut rest = query.chars().peekable();
    while let Some(c) = rest.next() {
        match c {
            c if c.is_whitespace() => {}
            '"' | '\'' => {
                let mut text = String::new();
                loop {
                    match rest.next() {
                        Some(end) if end == c => break,
                        Some('\\') | None => return Err("an escape or an open text".to_owned()),
                        Some(other) => text.push(other),
                    }
                }
                words.push(Word::Text(text));
            }
            c if c.is_ascii_alphanumeric() || c == '_' || c == '!' || c == '=' || c == '~' => {
                let named = c.is_ascii_alphanumeric() || c == '_';
                let mut word = String::from(c);
                while let Some(next) = rest.peek().copied() {
                    let fits = match word.as_str() {
                        // `!in~` is one word; `!=`, `!~`, `=~` and `==` are, too.
                        "!" => "=~i".contains(next),
                        "=" => "=~".contains(next),
                        "!i" => next == 'n',
                        "in" => next == '~' || next.is_ascii_alphanumeric() || next == '_',
                        "!in" => next == '~',
                        _ => named && (next.is_ascii_alphanumeric() || next == '_'),
                    };
                    if !fits {
                        break;
                    }
                    word.push(next);
                    rest.next();
                }
                words.push(match word.parse() {
                    Ok(number) => Word::Number(number),
                    Err(_) => Word::Name(word),
                });
            }
            '|' | ',' | '(' | ')' | '[' | ']' | ':' => words.push(Word::Sign(c)),
            other => return Err(format!("`{other}`")),
        }
    }
    Ok(words)
}

struct Parser {
    words: std::vec::IntoIter<Word>,
}

impl Query {
    pub(crate) fn parse(query: &str) -> Result<Self, Refusal> {
        let mut stages = Vec::new();
        for stage in words(query)?.split(|word| *word == Word::Sign('|')) {
            stages.push(stage.to_vec());
        }
        let mut stages = stages.into_iter();
        let mut parsed = tables(stages.next().unwrap_or_default())?;
        for stage in stages {
            let mut parser = Parser { words: stage.into_iter() };
            let summed = !parsed.sums.is_empty();
            match (parser.name()?.as_str(), summed) {
                ("where", false) => parsed.steps.push(Step::Where(parser.tests()?)),
                ("extend", false) => parser.extend(&mut parsed.steps)?,
                ("summarize", false) => parser.summarize(&mut parsed)?,
                ("top", true) if parsed.top.is_none() => parsed.top = Some(parser.top()?),
                (other, _) => return Err(format!("`{other}` there")),
            }
        }
        if parsed.sums.is_empty() {
            return Err("a query without `summarize`".to_owned());
        }
        Ok(parsed)
    }

    /// Whether everything that is named is there, of which `exists` knows the tables.
    ///
    /// Sources: MicrosoftDocs/dataexplorer-docs `data-explorer/kusto/query/union-operator.md` (`isfuzzy`: an error where
    /// nothing resolves); Azure/azure-sdk-for-python `sdk/monitor/azure-monitor-query/TROUBLESHOOTING.md` for the code of one
    /// table. The words for a union of nothing, and its code, are as people report them.
    pub(crate) fn resolve(&self, exists: impl Fn(&str) -> bool) -> Result<(), Unresolved> {
        let missing: Vec<&String> = self.tables.iter().filter(|table| !exists(table)).collect();
        let table = |name: &str| format!("Failed to resolve table or column expression named '{name}'");
        match (missing.first(), &self.empty) {
            (Some(first), _) if !self.fuzzy => Err(Unresolved { code: "SEM0100", message: table(first) }),
            (Some(first), None) if missing.len() == self.tables.len() => {
                Err(Unresolved { code: "SEM0529", message: format!("'union' operator: {}", table(first)) })
            }
            // The columns are those of the empty table alone.
            (Some(_), Some(empty)) if missing.len() == self.tables.len() => {
                let known = |column: &str| if empty.contains(column) { Ok(()) } else { Err(unknown(column)) };
                self.check(known).map_err(|message| Unresolved { code: "SEM0100", message })
            }
            _ => Ok(()),
        }
    }

    /// Holds every column that is used against those that are there or have been made by then.
    fn check(&self, known: impl Fn(&str) -> Result<(), Refusal>) -> Result<(), Refusal> {
        let mut made = BTreeSet::new();
        let here = |made: &BTreeSet<&str>, name: &str| if made.contains(name) { Ok(()) } else { known(name) };
        for step in &self.steps {
            match step {
                Step::Where(tests) => tests.iter().try_for_each(|test| here(&made, &test.column))?,
                Step::Extend(name, of) => {
                    match of {
                        Made::Address(column) => here(&made, column)?,
                        Made::Case(cases, _) => cases.iter().try_for_each(|(test, _)| here(&made, &test.column))?,
                    }
                    made.insert(name.as_str());
                }
            }
        }
        if self.sums.iter().any(|(_, sum)| *sum != Sum::Count) {
            known("TimeGenerated")?;
        }
        self.by.iter().try_for_each(|name| here(&made, name))
    }

    /// The summary of these rows.
    pub(crate) fn run(&self, rows: impl IntoIterator<Item = Row>) -> Result<Summary, Refusal> {
        let mut groups: BTreeMap<Vec<String>, (u64, Timestamp, Timestamp)> = BTreeMap::new();
        for mut row in rows {
            let mut kept = true;
            for step in &self.steps {
                match step {
                    Step::Where(tests) => {
                        let mut any = false;
                        for test in tests {
                            any |= test.holds(&row)?;
                        }
                        kept &= any;
                    }
                    Step::Extend(name, made) => {
                        let value = made.of(&row)?;
                        row.cells.insert(name.clone(), value);
                    }
                }
            }
            let mut group = Vec::new();
            for name in &self.by {
                group.push(cell(&row, name)?.to_owned());
            }
            if kept {
                let (count, first, last) = groups.entry(group).or_insert((0, row.first, row.last));
                *count += row.requests;
                *first = (*first).min(row.first);
                *last = (*last).max(row.last);
            }
        }
        let columns: Vec<String> = self.by.iter().chain(self.sums.iter().map(|(name, _)| name)).cloned().collect();
        let rows = groups.into_iter().map(|(group, (count, first, last))| {
            let sums = self.sums.iter().map(|(_, sum)| match sum {
                Sum::Count => Cell::Count(count),
                Sum::First => Cell::Time(first),
                Sum::Last => Cell::Time(last),
            });
            group.into_iter().map(Cell::Text).chain(sums).collect::<Vec<_>>()
        });
        let mut rows: Vec<Vec<Cell>> = rows.collect();
        if let Some((most, column)) = &self.top {
            let Some(place) = columns.iter().position(|name| name == column) else { return Err(unknown(column)) };
            rows.sort_by(|a, b| b.get(place).cmp(&a.get(place)));
            rows.truncate(*most);
        }
        Ok(Summary { columns, rows })
    }
}

fn unknown(column: &str) -> Refusal {
    format!("Failed to resolve scalar expression named '{column}'")
}

fn cell<'a>(row: &'a Row, column: &str) -> Result<&'a str, Refusal> {
    row.cells.get(column).map(String::as_str).ok_or_else(|| unknown(column))
}

/// One table, or a `union` of some and perhaps an empty one.
fn tables(words: Vec<Word>) -> Result<Query, Refusal> {
    let mut parser = Parser { words: words.into_iter() };
    let (steps, by, sums) = (Vec::new(), Vec::new(), Vec::new());
    let mut query = Query { tables: Vec::new(), fuzzy: false, empty: None, steps, by, sums, top: None };
    if parser.ahead() != Some(&Word::Name("union".to_owned())) {
        query.tables.push(parser.name()?);
        return if parser.words.next().is_none() { Ok(query) } else { Err("more than a table".to_owned()) };
    }
    parser.name()?;
    if parser.ahead() == Some(&Word::Name("isfuzzy".to_owned())) {
        parser.name()?;
        if parser.name()? != "=" || parser.name()? != "true" {
            return Err("a union that is not fuzzy".to_owned());
        }
        query.fuzzy = true;
    }
    loop {
        if parser.ahead() == Some(&Word::Sign('(')) && query.empty.is_none() {
            query.empty = Some(parser.empty()?);
        } else {
            query.tables.push(parser.name()?);
        }
        if !parser.comma()? {
            return if query.tables.is_empty() { Err("a union of no table".to_owned()) } else { Ok(query) };
        }
    }
}

impl Parser {
    fn name(&mut self) -> Result<String, Refusal> {
        match self.words.next() {
            Some(Word::Name(name)) => Ok(name),
            other => Err(format!("{other:?} for a name")),
        }
    }

    fn text(&mut self) -> Result<String, Refusal> {
        match self.words.next() {
            Some(Word::Text(text)) => Ok(text),
            other => Err(format!("{other:?} for a text")),
        }
    }

    fn sign(&mut self, sign: char) -> Result<(), Refusal> {
        match self.words.next() {
            Some(Word::Sign(found)) if found == sign => Ok(()),
            other => Err(format!("{other:?} for `{sign}`")),
        }
    }

    fn ahead(&self) -> Option<&Word> {
        self.words.as_slice().first()
    }

    /// `(datatable(COLUMN: TYPE, ...)[])`, without rows. A column of another type than the logs have would be a second one
    /// beside theirs, so that is not understood.
    /// Source: MicrosoftDocs/dataexplorer-docs `data-explorer/kusto/query/datatable-operator.md`, `union-operator.md`.
    fn empty(&mut self) -> Result<BTreeSet<String>, Refusal> {
        self.sign('(')?;
        if self.name()? != "datatable" {
            return Err("a query in a union".to_owned());
        }
        self.sign('(')?;
        let mut columns = BTreeSet::new();
        loop {
            let name = self.name()?;
            self.sign(':')?;
            let (found, own) = (self.name()?, if name == "TimeGenerated" { "datetime" } else { "string" });
            if found != own {
                return Err(format!("a column `{name}` of type `{found}`"));
            }
            columns.insert(name);
            match self.words.next() {
                Some(Word::Sign(',')) => {}
                Some(Word::Sign(')')) => break,
                other => return Err(format!("{other:?} in a list of columns")),
            }
        }
        for sign in ['[', ']', ')'] {
            self.sign(sign)?;
        }
        Ok(columns)
    }

    /// A comma, or the end.
    fn comma(&mut self) -> Result<bool, Refusal> {
        match self.words.next() {
            None => Ok(false),
            Some(Word::Sign(',')) => Ok(true),
            other => Err(format!("{other:?} for a comma")),
        }
    }

    fn test(&mut self) -> Result<Test, Refusal> {
        let column = self.name()?;
        let (not, any_case, list, starts) = match self.name()?.as_str() {
            "==" => (false, false, false, false),
            "!=" => (true, false, false, false),
            "=~" => (false, true, false, false),
            "!~" => (true, true, false, false),
            "in" => (false, false, true, false),
            "!in" => (true, false, true, false),
            "in~" => (false, true, true, false),
            "!in~" => (true, true, true, false),
            "startswith" => (false, true, false, true),
            other => return Err(format!("the operator `{other}`")),
        };
        let mut values = Vec::new();
        if list {
            self.sign('(')?;
            loop {
                values.push(self.text()?);
                match self.words.next() {
                    Some(Word::Sign(',')) => {}
                    Some(Word::Sign(')')) => break,
                    other => return Err(format!("{other:?} in a list")),
                }
            }
        } else {
            values.push(self.text()?);
        }
        Ok(Test { column, how: How { not, any_case, starts }, values })
    }

    /// Conditions joined by `or`.
    fn tests(&mut self) -> Result<Vec<Test>, Refusal> {
        let mut tests = vec![self.test()?];
        while let Some(word) = self.words.next() {
            if word != Word::Name("or".to_owned()) {
                return Err(format!("{word:?} after a condition"));
            }
            tests.push(self.test()?);
        }
        Ok(tests)
    }

    fn extend(&mut self, steps: &mut Vec<Step>) -> Result<(), Refusal> {
        loop {
            let name = self.name()?;
            if self.name()? != "=" {
                return Err(format!("a column `{name}` of nothing"));
            }
            let made = match self.name()?.as_str() {
                "extract" => {
                    self.sign('(')?;
                    let pattern = self.text()?;
                    self.sign(',')?;
                    let group = self.words.next();
                    self.sign(',')?;
                    let column = self.name()?;
                    self.sign(')')?;
                    if pattern != ADDRESS || group != Some(Word::Number(1)) {
                        return Err(format!("{group:?} of the pattern `{pattern}`"));
                    }
                    Made::Address(column)
                }
                "case" => {
                    self.sign('(')?;
                    self.case()?
                }
                other => return Err(format!("the function `{other}`")),
            };
            steps.push(Step::Extend(name, made));
            if !self.comma()? {
                return Ok(());
            }
        }
    }

    fn case(&mut self) -> Result<Made, Refusal> {
        let mut cases = Vec::new();
        loop {
            if let Some(Word::Text(otherwise)) = self.ahead().cloned() {
                self.words.next();
                self.sign(')')?;
                return Ok(Made::Case(cases, otherwise));
            }
            let test = self.test()?;
            self.sign(',')?;
            cases.push((test, self.text()?));
            self.sign(',')?;
        }
    }

    fn summarize(&mut self, query: &mut Query) -> Result<(), Refusal> {
        loop {
            let name = self.name()?;
            if self.name()? != "=" {
                return Err("a sum without a name".to_owned());
            }
            let function = self.name()?;
            self.sign('(')?;
            let sum = match function.as_str() {
                "count" => Sum::Count,
                "min" | "max" if self.name()? == "TimeGenerated" => {
                    if function == "min" {
                        Sum::First
                    } else {
                        Sum::Last
                    }
                }
                other => return Err(format!("the sum `{other}`")),
            };
            self.sign(')')?;
            query.sums.push((name, sum));
            match self.words.next() {
                Some(Word::Sign(',')) => {}
                Some(Word::Name(by)) if by == "by" => break,
                other => return Err(format!("{other:?} after a sum")),
            }
        }
        loop {
            query.by.push(self.name()?);
            if !self.comma()? {
                return Ok(());
            }
        }
    }

    fn top(&mut self) -> Result<(usize, String), Refusal> {
        let Some(Word::Number(most)) = self.words.next() else { return Err("`top` of no number".to_owned()) };
        let (by, column, order) = (self.name()?, self.name()?, self.name()?);
        if by != "by" || order != "desc" || self.words.next().is_some() {
            return Err("another order".to_owned());
        }
        Ok((most, column))
    }
}

impl Test {
    fn holds(&self, row: &Row) -> Result<bool, Refusal> {
        let Self { column, how: How { not, any_case, starts }, values } = self;
        let folded = |text: &str| if *any_case { text.to_lowercase() } else { text.to_owned() };
        let own = folded(cell(row, column)?);
        let fits = |value: &String| {
            let value = folded(value);
            if *starts { own.starts_with(&value) } else { own == value }
        };
        Ok(values.iter().any(fits) != *not)
    }
}

impl Made {
    fn of(&self, row: &Row) -> Result<String, Refusal> {
        match self {
            Self::Address(column) => Ok(without_port(cell(row, column)?).to_owned()),
            Self::Case(cases, otherwise) => {
                for (test, value) in cases {
                    if test.holds(row)? {
                        return Ok(value.clone());
                    }
                }
                Ok(otherwise.clone())
            }
        }
    }
}

/// What the first group of [`ADDRESS`] matches.
/// Source: MicrosoftDocs/dataexplorer-docs `data-explorer/kusto/query/regex.md`: of alternatives the first that fits is taken.
fn without_port(text: &str) -> &str {
    let Some((host, port)) = text.rsplit_once(':') else { return text };
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let v4 = host.split_once('.').is_some_and(|(first, rest)| {
        digits(first) && !rest.is_empty() && rest.bytes().all(|b| b.is_ascii_digit() || b == b'.')
    });
    let bracketed = host.len() > 1 && host.starts_with('[') && host.ends_with(']');
    if digits(port) && (v4 || bracketed) { host } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(hash: &str, address: &str, requests: u64, second: i64) -> Row {
        let cells = [("AuthenticationHash", hash), ("CallerIpAddress", address), ("AccountName", "stml")];
        let at = Timestamp::from_second(second).unwrap();
        Row {
            cells: cells.map(|(name, value)| (name.to_owned(), value.to_owned())).into(),
            requests,
            first: at,
            last: at,
        }
    }

    #[test]
    fn a_summary_counts_and_spans_the_rows_of_each_group() {
        let query = Query::parse(
            "union isfuzzy=true StorageBlobLogs, StorageFileLogs | where AccountName =~ 'STML' or AccountName == \"x\" | \
             extend Address = extract(\"^([0-9]+[.][0-9.]+|[[].*[]]|.*)(:[0-9]+)?$\", 1, CallerIpAddress), Key = case(AuthenticationHash startswith \"key1(\", \
             \"key1\", \"\") | summarize N = count(), First = min(TimeGenerated), Last = max(TimeGenerated) by Address, Key | \
             top 2 by N desc",
        )
        .unwrap();
        assert_eq!(query.tables, ["StorageBlobLogs", "StorageFileLogs"]);
        let rows = [
            row("key1(A)", "10.0.0.1:5000", 2, 10),
            row("key1(B)", "10.0.0.1:5001", 3, 20),
            row("SasSignature(C)", "[2001:db8::1]:443", 4, 30),
            row("", "10.0.0.2", 1, 40),
        ];
        let Summary { columns, rows } = query.run(rows).unwrap();
        assert_eq!(columns, ["Address", "Key", "N", "First", "Last"]);
        let text = |text: &str| Cell::Text(text.to_owned());
        let at = |second| Cell::Time(Timestamp::from_second(second).unwrap());
        assert_eq!(
            rows,
            [
                vec![text("10.0.0.1"), text("key1"), Cell::Count(5), at(10), at(20)],
                vec![text("[2001:db8::1]"), text(""), Cell::Count(4), at(30), at(30)],
            ]
        );
    }

    #[test]
    fn a_port_is_cut_off_and_the_end_of_an_address_is_not() {
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
            assert_eq!(without_port(address), expected);
        }
    }

    #[test]
    fn a_fuzzy_union_needs_one_table_and_an_empty_one_will_do_if_it_has_the_columns() {
        let code = |query: &str, there: &str| {
            let query =
                Query::parse(&format!("{query} | where AccountName == 'x' | summarize N = count() by Type")).unwrap();
            query.resolve(|table| table == there).err().map(|unresolved| unresolved.code)
        };
        let both = "StorageBlobLogs, StorageFileLogs";
        for (tables, code_without, code_with) in [
            ("StorageFileLogs".to_owned(), Some("SEM0100"), None),
            (format!("union {both}"), Some("SEM0100"), Some("SEM0100")),
            (format!("union isfuzzy=true {both}"), Some("SEM0529"), None),
            (format!("union isfuzzy=true (datatable(Type: string, AccountName: string)[]), {both}"), None, None),
            (format!("union isfuzzy=true (datatable(Type: string)[]), {both}"), Some("SEM0100"), None),
        ] {
            assert_eq!((code(&tables, ""), code(&tables, "StorageFileLogs")), (code_without, code_with), "{tables}");
        }
    }

    #[test]
    fn what_is_not_understood_is_refused() {
        let count = "summarize N = count() by AccountName";
        for query in [
            "",
            "StorageBlobLogs",
            "StorageBlobLogs | take 5",
            &format!("StorageBlobLogs | where AccountName has 'st' | {count}"),
            &format!("StorageBlobLogs | where AccountName == 'st' and Type == 'x' | {count}"),
            &format!("StorageBlobLogs | extend A = extract('(.*)', 1, AccountName) | {count}"),
            &format!("StorageBlobLogs | extend A = trim_end(':[0-9]+', AccountName) | {count}"),
            "StorageBlobLogs | summarize dcount(AccountName) by Type",
            "StorageBlobLogs | summarize N = count() by bin(TimeGenerated, 1h)",
            &format!("StorageBlobLogs | {count} | {count}"),
            &format!("StorageBlobLogs | {count} | top 3 by N asc"),
            &format!("union StorageBlobLogs, (StorageFileLogs) | {count}"),
            &format!("union (datatable(Type: string)[]) | {count}"),
            &format!("union StorageBlobLogs, (datatable(Type: long)[]) | {count}"),
            &format!("union StorageBlobLogs, (datatable(Type: string)['x']) | {count}"),
            &format!("StorageBlobLogs | where AccountName == 'a\\'b' | {count}"),
        ] {
            assert!(Query::parse(query).is_err(), "{query}");
        }
        let unknown = Query::parse("StorageBlobLogs | summarize N = count() by Colour").unwrap();
        assert!(unknown.run([row("", "", 1, 0)]).unwrap_err().contains("named 'Colour'"));
    }
}
