//! An honest small part of Resource Graph's query language: what is understood is answered as Kusto would, everything
//! else is an error, so that no query gets wrong data.
//! Source: MicrosoftDocs/azure-docs `articles/governance/resource-graph/concepts/query-language.md`, and
//! `data-explorer/kusto/query` of MicrosoftDocs/dataexplorer-docs for what each operator and function means.
//!
//! [`lexer`] cuts a query into words, [`parser`] makes [`syntax`] of them, [`types`] checks it against the columns,
//! [`scalar`] computes values, [`tabular`] carries out the operators, and [`limit`] ends what grows too large.

mod lexer;
mod limit;
mod parser;
mod scalar;
mod syntax;
mod tabular;
mod types;

use serde_json::Value;

use self::scalar::Val;

/// A table under way: columns in order, and as many values in each row.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Table {
    columns: Vec<Column>,
    rows: Vec<Vec<Val>>,
}

/// A column and what all of its values are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Column {
    pub(crate) name: String,
    pub(crate) kind: Kind,
}

/// What a value is, known before any row is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Bool,
    Long,
    Real,
    /// Text is never null: what is missing is empty.
    Text,
    /// JSON of any form.
    Dynamic,
}

/// Why a query is not answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct QueryError {
    /// What kind of mistake it is, as the service names it where that is known.
    pub(crate) code: &'static str,
    pub(crate) message: String,
    /// Where in the query, counted from 1 and from 0, and the word there.
    pub(crate) place: Option<(usize, usize, String)>,
}

impl QueryError {
    /// The query means nothing.
    fn semantic(message: impl Into<String>) -> Self {
        Self { code: "SemanticError", message: message.into(), place: None }
    }

    /// The query may mean something, and it is not known here what.
    fn unsupported(what: impl std::fmt::Display) -> Self {
        Self { code: "Unsupported", message: format!("{what} is not supported by this simulator."), place: None }
    }
}

impl Kind {
    /// As the answer names it. Source: azure-mgmt-resourcegraph 8.0.1, `ColumnDataType`.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Bool => "boolean",
            Self::Long => "integer",
            Self::Real => "number",
            Self::Text => "string",
            Self::Dynamic => "object",
        }
    }
}

impl Table {
    /// A table of JSON objects: columns of text, where missing is empty, and columns of JSON, where missing is null.
    pub(crate) fn new(columns: &[(&str, Kind)], objects: impl IntoIterator<Item = Value>) -> Self {
        let row = |object: Value| {
            let cell = |(name, kind): &(&str, Kind)| {
                let value = object.get(name).cloned().unwrap_or_default();
                match (kind, value) {
                    (Kind::Text, Value::String(text)) => Val::Text(text),
                    (Kind::Text, _) => Val::Text(String::new()),
                    (_, value) => Val::Dynamic(value),
                }
            };
            columns.iter().map(cell).collect()
        };
        let rows = objects.into_iter().map(row).collect();
        let columns = columns.iter().map(|(name, kind)| Column { name: (*name).to_owned(), kind: *kind }).collect();
        Self { columns, rows }
    }

    pub(crate) fn columns(&self) -> &[Column] {
        &self.columns
    }

    /// The rows as lists of JSON values.
    pub(crate) fn rows(&self) -> impl ExactSizeIterator<Item = Vec<Value>> {
        self.rows.iter().map(|row| row.iter().map(Val::to_json).collect())
    }
}

/// Runs a query; `table` gives a table by its lower-case name.
pub(crate) fn run(query: &str, table: &dyn Fn(&str) -> Result<Table, QueryError>) -> Result<Table, QueryError> {
    let query = parser::parse(query)?;
    tabular::run(&query, table)
}

/// The error of a table that the service has and that is not simulated, or that nobody has.
pub(crate) fn unknown_table(name: &str) -> QueryError {
    QueryError::unsupported(format!("The table '{name}'"))
}

#[cfg(test)]
mod tests;
