//! The few sentences of the log query language that are understood: a union of tables, conditions on columns, some columns
//! made of others, and one summary. Everything else is an error, so that no query gets wrong data.
//! Source: MicrosoftDocs/dataexplorer-docs `data-explorer/kusto/query` for what each operator and function means.
//!
//! Rows stand for many requests each, so only what can be told of all of them at once is understood.

use std::collections::BTreeMap;

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
    /// `trim_end`: the literal and digits after it are taken off the end.
    WithoutEnd(String, String),
    /// `case`: the value beside the first condition that holds, or the last.
    Case(Vec<(Test, String)>, String),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sum {
    Count,
    First,
    Last,
}

/// Why a query is not answered.
pub(crate) type Refusal = String;

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
            '|' | ',' | '(' | ')' => words.push(Word::Sign(c)),
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
        let tables = tables(stages.next().unwrap_or_default())?;
        let mut parsed = Self { tables, steps: Vec::new(), by: Vec::new(), sums: Vec::new(), top: None };
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

/// One table, or `union isfuzzy=true` of some.
fn tables(words: Vec<Word>) -> Result<Vec<String>, Refusal> {
    let mut parser = Parser { words: words.into_iter() };
    let first = parser.name()?;
    if first != "union" {
        return if parser.words.next().is_none() { Ok(vec![first]) } else { Err("more than a table".to_owned()) };
    }
    let mut first = parser.name()?;
    if first == "isfuzzy" {
        if parser.name()? != "=" || parser.name()? != "true" {
            return Err("a union that is not fuzzy".to_owned());
        }
        first = parser.name()?;
    }
    let mut tables = vec![first];
    while parser.comma()? {
        tables.push(parser.name()?);
    }
    Ok(tables)
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
                "trim_end" => {
                    self.sign('(')?;
                    let pattern = self.text()?;
                    self.sign(',')?;
                    let column = self.name()?;
                    self.sign(')')?;
                    let literal = pattern.strip_suffix("[0-9]+").filter(|literal| *literal == ":");
                    Made::WithoutEnd(literal.ok_or(format!("the pattern `{pattern}`"))?.to_owned(), column)
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
            let ahead = self.words.as_slice().first().cloned();
            if let Some(Word::Text(otherwise)) = ahead {
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
            Self::WithoutEnd(literal, column) => {
                let text = cell(row, column)?;
                let cut = text.trim_end_matches(|c: char| c.is_ascii_digit());
                let all = if cut.len() == text.len() { None } else { cut.strip_suffix(literal.as_str()) };
                Ok(all.unwrap_or(text).to_owned())
            }
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
             extend Address = trim_end(\":[0-9]+\", CallerIpAddress), Key = case(AuthenticationHash startswith \"key1(\", \
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
    fn what_is_not_understood_is_refused() {
        let count = "summarize N = count() by AccountName";
        for query in [
            "",
            "StorageBlobLogs",
            "StorageBlobLogs | take 5",
            &format!("StorageBlobLogs | where AccountName has 'st' | {count}"),
            &format!("StorageBlobLogs | where AccountName == 'st' and Type == 'x' | {count}"),
            &format!("StorageBlobLogs | extend A = extract('(.*)', 1, AccountName) | {count}"),
            &format!("StorageBlobLogs | extend A = trim_end('.*', AccountName) | {count}"),
            "StorageBlobLogs | summarize dcount(AccountName) by Type",
            "StorageBlobLogs | summarize N = count() by bin(TimeGenerated, 1h)",
            &format!("StorageBlobLogs | {count} | {count}"),
            &format!("StorageBlobLogs | {count} | top 3 by N asc"),
            &format!("union StorageBlobLogs, (StorageFileLogs) | {count}"),
            &format!("StorageBlobLogs | where AccountName == 'a\\'b' | {count}"),
        ] {
            assert!(Query::parse(query).is_err(), "{query}");
        }
        let unknown = Query::parse("StorageBlobLogs | summarize N = count() by Colour").unwrap();
        assert!(unknown.run([row("", "", 1, 0)]).unwrap_err().contains("named 'Colour'"));
    }
}
