//! Values, and how expressions make new ones of them.
//! Source: MicrosoftDocs/dataexplorer-docs `data-explorer/kusto/query/scalar-data-types/null-values.md` for nulls, and the
//! page of each operator and function beside it.

use std::cmp::Ordering;

use serde_json::{Value, json};

use super::syntax::{Compare, Expr, Match};
use super::types::position;
use super::{Column, Kind, QueryError};

/// The longest text that is put together. The service's own limit is not published; design decision.
const LONGEST_TEXT: usize = 1 << 20;

/// A value; a missing number or truth is `Null`, a missing part of JSON is `Dynamic(null)`.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Val {
    Null,
    Bool(bool),
    Long(i64),
    Real(f64),
    Text(String),
    Dynamic(Value),
}

type Evaluated = Result<Val, QueryError>;

impl Val {
    pub(super) fn kind(&self) -> Kind {
        match self {
            Self::Bool(_) => Kind::Bool,
            Self::Long(_) => Kind::Long,
            Self::Real(_) => Kind::Real,
            Self::Text(_) => Kind::Text,
            Self::Null | Self::Dynamic(_) => Kind::Dynamic,
        }
    }

    pub(super) fn to_json(&self) -> Value {
        match self {
            Self::Null => Value::Null,
            Self::Bool(value) => json!(value),
            Self::Long(value) => json!(value),
            Self::Real(value) => json!(value),
            Self::Text(value) => json!(value),
            Self::Dynamic(value) => value.clone(),
        }
    }

    /// JSON that holds a plain value counts as that value.
    fn plain(self) -> Self {
        match self {
            Self::Dynamic(Value::Null) => Self::Null,
            Self::Dynamic(Value::Bool(value)) => Self::Bool(value),
            Self::Dynamic(Value::String(value)) => Self::Text(value),
            Self::Dynamic(Value::Number(number)) => match (number.as_i64(), number.as_f64()) {
                (Some(whole), _) => Self::Long(whole),
                (None, Some(real)) => Self::Real(real),
                (None, None) => Self::Null,
            },
            other => other,
        }
    }

    pub(super) fn is_null(&self) -> bool {
        matches!(self, Self::Null | Self::Dynamic(Value::Null))
    }

    /// As text; nothing is empty. JSON is written as it is, a truth of its own with a capital.
    /// Source: MicrosoftDocs/dataexplorer-docs `data-explorer/kusto/query/tostring-function.md`.
    pub(super) fn text(&self) -> String {
        match self {
            Self::Null | Self::Dynamic(Value::Null) => String::new(),
            Self::Bool(true) => "True".to_owned(),
            Self::Bool(false) => "False".to_owned(),
            Self::Long(value) => value.to_string(),
            Self::Real(value) => value.to_string(),
            Self::Text(value) | Self::Dynamic(Value::String(value)) => value.clone(),
            Self::Dynamic(value) => value.to_string(),
        }
    }

    fn real(&self) -> Option<f64> {
        match self {
            Self::Long(value) => Some(*value as f64),
            Self::Real(value) => Some(*value),
            _ => None,
        }
    }

    /// Ordered within one kind; nothing comes before everything.
    pub(super) fn order(&self, other: &Self) -> Ordering {
        match (self, other) {
            (Self::Text(left), Self::Text(right)) => left.cmp(right),
            (Self::Bool(left), Self::Bool(right)) => left.cmp(right),
            (Self::Long(left), Self::Long(right)) => left.cmp(right),
            (left, right) => match (left.real(), right.real()) {
                (Some(left), Some(right)) => left.total_cmp(&right),
                (left, right) => left.is_some().cmp(&right.is_some()),
            },
        }
    }
}

impl Expr {
    /// The value over one row. The kinds have been checked before.
    pub(super) fn value(&self, columns: &[Column], row: &[Val]) -> Evaluated {
        match self {
            Self::Literal(value) => Ok(value.clone()),
            Self::Column(name) => {
                let (place, _) = position(columns, name)?;
                Ok(row.get(place).cloned().unwrap_or(Val::Null))
            }
            Self::Field(inner, name) => Ok(Val::Dynamic(match inner.value(columns, row)? {
                Val::Dynamic(mut value) => value.get_mut(name).map(Value::take).unwrap_or_default(),
                _ => Value::Null,
            })),
            Self::Item(inner, index) => Ok(Val::Dynamic(match inner.value(columns, row)? {
                Val::Dynamic(Value::Array(mut items)) => {
                    let place = if *index < 0 { items.len() as i64 + index } else { *index };
                    usize::try_from(place)
                        .ok()
                        .and_then(|place| items.get_mut(place))
                        .map(Value::take)
                        .unwrap_or_default()
                }
                _ => Value::Null,
            })),
            Self::Call(name, arguments) => call(name, arguments, columns, row),
            Self::All(all) => junction(all, false, columns, row),
            Self::Any(all) => junction(all, true, columns, row),
            Self::Compare(how, left, right) => compare(*how, left.value(columns, row)?, right.value(columns, row)?),
            Self::Match { how, negated, left, right } => {
                let (left, right) = (left.value(columns, row)?.text(), right.value(columns, row)?.text());
                Ok(Val::Bool(how.suits(&left, &right) != *negated))
            }
            Self::In { any_case, negated, left, list } => {
                let left = left.value(columns, row)?;
                let mut found = false;
                for one in list {
                    let right = one.value(columns, row)?;
                    found |= if *any_case {
                        Match::EqualAnyCase.suits(&left.text(), &right.text())
                    } else {
                        compare(Compare::Equal, left.clone(), right)? == Val::Bool(true)
                    };
                }
                Ok(Val::Bool(found != *negated))
            }
            Self::Compute(sign, left, right) => compute(*sign, &left.value(columns, row)?, &right.value(columns, row)?),
        }
    }
}

/// Whether any is true, or (not `any`) all are. One operand may decide; if none does, a null leaves it open.
fn junction(all: &[Expr], any: bool, columns: &[Column], row: &[Val]) -> Evaluated {
    let mut open = false;
    for one in all {
        match one.value(columns, row)? {
            Val::Bool(value) if value == any => return Ok(Val::Bool(any)),
            Val::Bool(_) => {}
            _ => open = true,
        }
    }
    Ok(if open { Val::Null } else { Val::Bool(!any) })
}

/// Two nulls compare to nothing; one null equals nothing else.
fn compare(how: Compare, left: Val, right: Val) -> Evaluated {
    let (left, right) = (left.plain(), right.plain());
    let same = match (&left, &right) {
        (Val::Null, Val::Null) => return Ok(Val::Null),
        // What a missing part of JSON is to the empty text is not documented.
        (Val::Null, Val::Text(text)) | (Val::Text(text), Val::Null) if text.is_empty() => {
            return Err(QueryError::unsupported(
                "A comparison of what may be missing with empty text, other than isempty(),",
            ));
        }
        (Val::Null, _) | (_, Val::Null) => {
            return Ok(match how {
                Compare::Equal => Val::Bool(false),
                Compare::NotEqual => Val::Bool(true),
                _ => Val::Null,
            });
        }
        (Val::Text(left), Val::Text(right)) => left.cmp(right),
        (Val::Bool(left), Val::Bool(right)) => left.cmp(right),
        (Val::Long(_) | Val::Real(_), Val::Long(_) | Val::Real(_)) => left.order(&right),
        // What JSON of one form is to a value of another is not documented.
        _ => {
            return Err(QueryError::unsupported("A comparison of JSON with a value of another type, without a cast,"));
        }
    };
    Ok(Val::Bool(match how {
        Compare::Equal => same.is_eq(),
        Compare::NotEqual => same.is_ne(),
        Compare::Less => same.is_lt(),
        Compare::LessOrEqual => same.is_le(),
        Compare::Greater => same.is_gt(),
        Compare::GreaterOrEqual => same.is_ge(),
    }))
}

fn compute(sign: char, left: &Val, right: &Val) -> Evaluated {
    Ok(match (left, right) {
        (Val::Long(left), Val::Long(right)) => {
            let result = match sign {
                '+' => left.checked_add(*right),
                '-' => left.checked_sub(*right),
                _ => left.checked_mul(*right),
            };
            result.map_or(Val::Null, Val::Long)
        }
        (left, right) => match (left.real(), right.real(), sign) {
            (Some(left), Some(right), '+') => Val::Real(left + right),
            (Some(left), Some(right), '-') => Val::Real(left - right),
            (Some(left), Some(right), _) => Val::Real(left * right),
            _ => Val::Null,
        },
    })
}

impl Match {
    fn suits(self, text: &str, part: &str) -> bool {
        let any_case = match self {
            Self::EqualAnyCase => true,
            Self::Contains { any_case }
            | Self::Has { any_case }
            | Self::StartsWith { any_case }
            | Self::EndsWith { any_case } => any_case,
        };
        let folded = |text: &str| if any_case { text.to_lowercase() } else { text.to_owned() };
        let (text, part) = (folded(text), folded(part));
        match self {
            Self::EqualAnyCase => text == part,
            Self::Contains { .. } => text.contains(&part),
            Self::StartsWith { .. } => text.starts_with(&part),
            Self::EndsWith { .. } => text.ends_with(&part),
            // Terms are runs of letters and digits.
            // Source: MicrosoftDocs/dataexplorer-docs `data-explorer/kusto/query/datatypes-string-operators.md`.
            Self::Has { .. } => {
                let inside = |letter: Option<char>| letter.is_some_and(char::is_alphanumeric);
                let (first, last) = (inside(part.chars().next()), inside(part.chars().next_back()));
                text.match_indices(&part).any(|(place, found)| {
                    let before = text.get(..place).and_then(|before| before.chars().next_back());
                    let after = text.get(place + found.len()..).and_then(|after| after.chars().next());
                    !(first && inside(before) || last && inside(after))
                })
            }
        }
    }
}

fn call(name: &str, arguments: &[Expr], columns: &[Column], row: &[Val]) -> Evaluated {
    let argument = |place: usize| match arguments.get(place) {
        Some(argument) => argument.value(columns, row),
        None => Ok(Val::Null),
    };
    let is_text = |place: usize| arguments.get(place).map(|one| one.kind(columns)).transpose();
    Ok(match name {
        // Text is never null.
        "isnull" => Val::Bool(is_text(0)? != Some(Kind::Text) && argument(0)?.is_null()),
        "isnotnull" | "notnull" => Val::Bool(is_text(0)? == Some(Kind::Text) || !argument(0)?.is_null()),
        "isempty" => Val::Bool(argument(0)?.text().is_empty()),
        "isnotempty" | "notempty" => Val::Bool(!argument(0)?.text().is_empty()),
        "not" => match argument(0)? {
            Val::Bool(value) => Val::Bool(!value),
            _ => Val::Null,
        },
        "iff" | "iif" => argument(if argument(0)? == Val::Bool(true) { 1 } else { 2 })?,
        "case" => {
            let pairs = arguments.len() / 2;
            for pair in 0..pairs {
                if argument(2 * pair)? == Val::Bool(true) {
                    return argument(2 * pair + 1);
                }
            }
            argument(2 * pairs)?
        }
        "coalesce" => {
            for place in 0..arguments.len() {
                let value = argument(place)?;
                if !value.is_null() && value != Val::Text(String::new()) {
                    return Ok(value);
                }
            }
            argument(arguments.len().saturating_sub(1))?
        }
        "tostring" => Val::Text(argument(0)?.text()),
        "tolower" => Val::Text(argument(0)?.text().to_lowercase()),
        "toupper" => Val::Text(argument(0)?.text().to_uppercase()),
        "strlen" => Val::Long(i64::try_from(argument(0)?.text().chars().count()).unwrap_or(i64::MAX)),
        "strcat" => {
            let parts = (0..arguments.len()).map(argument).collect::<Result<Vec<Val>, _>>()?;
            let mut text = String::new();
            for part in parts.iter().map(Val::text) {
                text.push_str(&part);
                if text.len() > LONGEST_TEXT {
                    return Err(QueryError::unsupported(format!("A text of more than {LONGEST_TEXT} bytes")));
                }
            }
            Val::Text(text)
        }
        "substring" => {
            let length = if arguments.len() == 3 { Some(argument(2)?) } else { None };
            Val::Text(substring(&argument(0)?.text(), &argument(1)?, length.as_ref()))
        }
        "split" => {
            let (text, by) = (argument(0)?.text(), argument(1)?.text());
            Val::Dynamic(if by.is_empty() { json!([text]) } else { text.split(&by).collect::<Vec<_>>().into() })
        }
        "tobool" | "toboolean" => match argument(0)?.plain() {
            Val::Text(text) if text.eq_ignore_ascii_case("true") => Val::Bool(true),
            Val::Text(text) if text.eq_ignore_ascii_case("false") => Val::Bool(false),
            Val::Bool(value) => Val::Bool(value),
            Val::Long(value) => Val::Bool(value != 0),
            _ => Val::Null,
        },
        "toint" | "tolong" => match argument(0)?.plain() {
            Val::Text(text) => text.trim().parse().map_or(Val::Null, Val::Long),
            Val::Bool(value) => Val::Long(i64::from(value)),
            Val::Long(value) => Val::Long(value),
            Val::Real(value) => Val::Long(value as i64),
            _ => Val::Null,
        },
        "array_length" => match argument(0)? {
            Val::Dynamic(Value::Array(items)) => Val::Long(i64::try_from(items.len()).unwrap_or(i64::MAX)),
            _ => Val::Null,
        },
        "parse_json" | "todynamic" => match argument(0)? {
            Val::Text(text) => Val::Dynamic(serde_json::from_str(&text).unwrap_or(Value::String(text))),
            other => other,
        },
        _ => return Err(QueryError::unsupported(format!("The function '{name}'"))),
    })
}

/// From a place counted from the front, or from the end if it is below zero.
fn substring(text: &str, from: &Val, length: Option<&Val>) -> String {
    let letters: Vec<char> = text.chars().collect();
    let count = |value: &Val| if let Val::Long(value) = value { *value } else { 0 };
    let whole = i64::try_from(letters.len()).unwrap_or(i64::MAX);
    let from = if count(from) < 0 { (whole + count(from)).max(0) } else { count(from) };
    let length = length.map_or(usize::MAX, |length| usize::try_from(count(length)).unwrap_or(0));
    letters.into_iter().skip(usize::try_from(from).unwrap_or(0)).take(length).collect()
}
