//! What a query says.

use super::scalar::Val;

/// A table and what is done to it, one step after the other.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Query {
    /// Nothing means the default table.
    pub(super) table: Option<String>,
    pub(super) steps: Vec<Step>,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Step {
    Where(Expr),
    Project(Vec<Named>),
    ProjectAway(Vec<String>),
    ProjectKeep(Vec<String>),
    ProjectRename(Vec<(String, String)>),
    Extend(Vec<Named>),
    Summarize {
        aggregates: Vec<Aggregate>,
        by: Vec<Named>,
    },
    /// Nothing for `distinct *`.
    Distinct(Vec<Named>),
    Order(Vec<Key>),
    Top(usize, Key),
    Take(usize),
    Count,
    Join {
        kind: JoinKind,
        right: Query,
        on: Vec<(String, String)>,
    },
    Union(Query),
}

/// An expression and the name it was given, if any.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Named {
    pub(super) name: Option<String>,
    pub(super) expr: Expr,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) struct Aggregate {
    pub(super) name: Option<String>,
    pub(super) function: String,
    pub(super) of: Option<Expr>,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) struct Key {
    pub(super) expr: Expr,
    pub(super) descending: bool,
    pub(super) nulls_first: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum JoinKind {
    InnerUnique,
    Inner,
    LeftOuter,
    FullOuter,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Expr {
    Literal(Val),
    Column(String),
    Field(Box<Expr>, String),
    Item(Box<Expr>, i64),
    Call(String, Vec<Expr>),
    /// Joined by `and`.
    All(Vec<Expr>),
    /// Joined by `or`.
    Any(Vec<Expr>),
    Compare(Compare, Box<Expr>, Box<Expr>),
    Match {
        how: Match,
        negated: bool,
        left: Box<Expr>,
        right: Box<Expr>,
    },
    In {
        any_case: bool,
        negated: bool,
        left: Box<Expr>,
        list: Vec<Expr>,
    },
    Compute(char, Box<Expr>, Box<Expr>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Compare {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

/// Comparisons of text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Match {
    EqualAnyCase,
    Contains { any_case: bool },
    Has { any_case: bool },
    StartsWith { any_case: bool },
    EndsWith { any_case: bool },
}
