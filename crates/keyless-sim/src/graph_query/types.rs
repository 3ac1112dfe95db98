//! What kind of value an expression has, found out before any row is read; what Kusto refuses is refused here.
//! Source: MicrosoftDocs/dataexplorer-docs `data-explorer/kusto/query/scalar-data-types`.

use super::syntax::{Compare, Expr};
use super::{Column, Kind, QueryError};

/// The functions that are known, with how many arguments each takes.
const FUNCTIONS: [(&str, usize, usize); 25] = [
    ("array_length", 1, 1),
    ("case", 3, 64),
    ("coalesce", 2, 64),
    ("iff", 3, 3),
    ("iif", 3, 3),
    ("isempty", 1, 1),
    ("isnotempty", 1, 1),
    ("isnotnull", 1, 1),
    ("isnull", 1, 1),
    ("not", 1, 1),
    ("notempty", 1, 1),
    ("notnull", 1, 1),
    ("parse_json", 1, 1),
    ("split", 2, 2),
    ("strcat", 1, 64),
    ("strlen", 1, 1),
    ("substring", 2, 3),
    ("tobool", 1, 1),
    ("toboolean", 1, 1),
    ("todynamic", 1, 1),
    ("toint", 1, 1),
    ("tolong", 1, 1),
    ("tolower", 1, 1),
    ("tostring", 1, 1),
    ("toupper", 1, 1),
];

impl Expr {
    /// The kind, or why the expression makes no sense over these columns.
    pub(super) fn kind(&self, columns: &[Column]) -> Result<Kind, QueryError> {
        match self {
            Self::Literal(value) => Ok(value.kind()),
            Self::Column(name) => position(columns, name).map(|(_, column)| column.kind),
            Self::Field(inner, name) => match inner.kind(columns)? {
                Kind::Dynamic => Ok(Kind::Dynamic),
                other => Err(QueryError::semantic(format!("'{name}' is asked of a value of type {}.", other.name()))),
            },
            Self::Item(inner, _) => match inner.kind(columns)? {
                Kind::Dynamic => Ok(Kind::Dynamic),
                other => Err(QueryError::semantic(format!("An item is asked of a value of type {}.", other.name()))),
            },
            Self::Call(name, arguments) => call_kind(name, arguments, columns),
            Self::All(all) | Self::Any(all) => {
                for one in all {
                    expect_bool(one, columns)?;
                }
                Ok(Kind::Bool)
            }
            Self::Compare(how, left, right) => comparable(*how, left.kind(columns)?, right.kind(columns)?),
            Self::Match { left, right, .. } => {
                texts(left.kind(columns)?)?;
                texts(right.kind(columns)?)?;
                Ok(Kind::Bool)
            }
            Self::In { any_case, left, list, .. } => {
                let own = left.kind(columns)?;
                for one in list {
                    let other = one.kind(columns)?;
                    comparable(Compare::Equal, own, other)?;
                    if *any_case {
                        texts(own)?;
                        texts(other)?;
                    }
                }
                Ok(Kind::Bool)
            }
            Self::Compute(_, left, right) => match (left.kind(columns)?, right.kind(columns)?) {
                (Kind::Long, Kind::Long) => Ok(Kind::Long),
                (Kind::Long | Kind::Real, Kind::Long | Kind::Real) => Ok(Kind::Real),
                (left, right) => Err(mismatch(left, right)),
            },
        }
    }

    /// The name a value gets that was given none. Source: MicrosoftDocs/dataexplorer-docs
    /// `data-explorer/kusto/query/project-operator.md`, and for paths the samples of
    /// MicrosoftDocs/azure-docs `articles/governance/resource-graph/samples/starter.md`.
    pub(super) fn own_name(&self) -> Option<String> {
        match self {
            Self::Column(name) => Some(name.clone()),
            Self::Field(inner, name) => Some(format!("{}_{name}", inner.own_name()?)),
            Self::Call(function, arguments) if function.starts_with("to") => match arguments.as_slice() {
                [only] => only.own_name(),
                _ => None,
            },
            _ => None,
        }
    }
}

/// The place of a column.
pub(super) fn position<'a>(columns: &'a [Column], name: &str) -> Result<(usize, &'a Column), QueryError> {
    let found = columns.iter().enumerate().find(|(_, column)| column.name == name);
    found.ok_or_else(|| QueryError::semantic(format!("Failed to resolve scalar expression named '{name}'")))
}

pub(super) fn expect_bool(expr: &Expr, columns: &[Column]) -> Result<(), QueryError> {
    match expr.kind(columns)? {
        Kind::Bool => Ok(()),
        other => Err(QueryError::semantic(format!("A condition must be boolean, and is {}.", other.name()))),
    }
}

/// A group, an order, a join: each wants a value of one type.
/// Source: MicrosoftDocs/dataexplorer-docs `data-explorer/kusto/query/scalar-data-types/dynamic.md`.
pub(super) fn expect_key(expr: &Expr, columns: &[Column]) -> Result<Kind, QueryError> {
    match expr.kind(columns)? {
        Kind::Dynamic => {
            let name = expr.own_name().unwrap_or_default();
            Err(QueryError::semantic(format!("Key '{name}' is of a 'dynamic' type. Please use an explicit cast.")))
        }
        kind => Ok(kind),
    }
}

fn mismatch(left: Kind, right: Kind) -> QueryError {
    let message = format!("Cannot compare or compute values of types {} and {}.", left.name(), right.name());
    QueryError::semantic(format!("{message} Try adding explicit casts."))
}

fn comparable(how: Compare, left: Kind, right: Kind) -> Result<Kind, QueryError> {
    use Kind::{Bool, Dynamic, Long, Real, Text};
    let ordered = !matches!(how, Compare::Equal | Compare::NotEqual);
    match (left, right) {
        (Dynamic, Dynamic) => Err(mismatch(left, right)),
        (Long | Real | Dynamic, Long | Real) | (Long | Real, Dynamic) => Ok(Bool),
        (Text | Dynamic, Text) | (Text, Dynamic) | (Bool | Dynamic, Bool) | (Bool, Dynamic) if !ordered => Ok(Bool),
        _ => Err(mismatch(left, right)),
    }
}

fn texts(kind: Kind) -> Result<(), QueryError> {
    match kind {
        Kind::Text | Kind::Dynamic => Ok(()),
        other => Err(QueryError::semantic(format!("Text is expected, and this is {}.", other.name()))),
    }
}

/// What a function of text makes of JSON without a cast is not documented.
fn cast(function: &str, kind: Kind) -> Result<(), QueryError> {
    match kind {
        Kind::Dynamic => Err(QueryError::unsupported(format!("'{function}' of JSON, without tostring(),"))),
        other => texts(other),
    }
}

fn same(kinds: impl IntoIterator<Item = Kind>) -> Result<Kind, QueryError> {
    let mut kinds = kinds.into_iter();
    let first = kinds.next().unwrap_or(Kind::Dynamic);
    match kinds.find(|kind| *kind != first) {
        None => Ok(first),
        Some(other) => Err(mismatch(first, other)),
    }
}

fn call_kind(name: &str, arguments: &[Expr], columns: &[Column]) -> Result<Kind, QueryError> {
    let Some((_, least, most)) = FUNCTIONS.iter().find(|(known, ..)| *known == name) else {
        return Err(QueryError::unsupported(format!("The function '{name}'")));
    };
    if !(*least..=*most).contains(&arguments.len()) {
        return Err(QueryError::semantic(format!("'{name}' was called with a wrong number of arguments.")));
    }
    let kinds = arguments.iter().map(|argument| argument.kind(columns)).collect::<Result<Vec<Kind>, _>>()?;
    let first = kinds.first().copied().unwrap_or(Kind::Dynamic);
    match name {
        "isempty" | "isnotempty" | "notempty" | "isnull" | "isnotnull" | "notnull" => Ok(Kind::Bool),
        "tobool" | "toboolean" => Ok(Kind::Bool),
        "toint" | "tolong" => Ok(Kind::Long),
        "array_length" if first == Kind::Dynamic => Ok(Kind::Long),
        "not" if first == Kind::Bool => Ok(Kind::Bool),
        "iff" | "iif" if first == Kind::Bool => same(kinds.into_iter().skip(1)),
        "case" => {
            let (values, conditions): (Vec<_>, Vec<_>) =
                kinds.iter().enumerate().partition(|(place, _)| place % 2 == 1 || place + 1 == kinds.len());
            if kinds.len().is_multiple_of(2) || conditions.iter().any(|(_, kind)| **kind != Kind::Bool) {
                return Err(QueryError::semantic("'case' takes pairs of a condition and a value, and one value more."));
            }
            same(values.into_iter().map(|(_, kind)| *kind))
        }
        "coalesce" => same(kinds),
        "strlen" => cast(name, first).map(|()| Kind::Long),
        "strcat" => Ok(Kind::Text),
        "substring" if kinds.iter().skip(1).all(|kind| *kind == Kind::Long) => cast(name, first).map(|()| Kind::Text),
        "tolower" | "toupper" => cast(name, first).map(|()| Kind::Text),
        "tostring" => Ok(Kind::Text),
        "split" => {
            cast(name, first)?;
            cast(name, kinds.last().copied().unwrap_or(Kind::Text)).map(|()| Kind::Dynamic)
        }
        "parse_json" | "todynamic" => texts(first).map(|()| Kind::Dynamic),
        _ => Err(QueryError::semantic(format!("'{name}' was called with arguments of wrong types."))),
    }
}
