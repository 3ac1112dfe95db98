//! Groups of rows made into one row each.
//! Source: MicrosoftDocs/dataexplorer-docs `data-explorer/kusto/query/summarize-operator.md` and the page of each
//! aggregate.

use std::collections::BTreeSet;

use serde_json::Value;

use super::super::limit::Room;
use super::super::scalar::Val;
use super::super::syntax::{Aggregate, Expr, Named};
use super::super::types::{expect_bool, expect_key};
use super::super::{Column, Kind, QueryError, Table};
use super::{Row, group_key, name_of, unique};

/// How many values `make_set` and `make_list` hold at most.
const MOST_ITEMS: usize = 1_048_576;

pub(super) fn summarize(table: &Table, aggregates: &[Aggregate], by: &[Named]) -> Result<Table, QueryError> {
    let mut columns: Vec<Column> = Vec::new();
    for named in by {
        let kind = expect_key(&named.expr, &table.columns)?;
        columns.push(Column { name: name_of(named, &columns), kind });
    }
    for aggregate in aggregates {
        let kind = aggregate.kind(&table.columns)?;
        columns.push(Column { name: aggregate.name(), kind });
    }
    unique(&columns)?;
    let mut groups: Vec<(Row, Vec<&Row>)> = Vec::new();
    let mut places = std::collections::BTreeMap::new();
    let mut room = Room::new();
    for row in &table.rows {
        let of = by.iter().map(|named| named.expr.value(&table.columns, row)).collect::<Result<Row, _>>()?;
        room.take(&of)?;
        let place = *places.entry(group_key(&of)).or_insert(groups.len());
        match groups.get_mut(place) {
            Some((_, rows)) => rows.push(row),
            None => groups.push((of, vec![row])),
        }
    }
    // Without groups there is one row, of nothing too.
    if by.is_empty() && groups.is_empty() {
        groups.push((Vec::new(), Vec::new()));
    }
    let mut rows = Vec::new();
    for (mut row, members) in groups {
        for aggregate in aggregates {
            row.push(aggregate.value(&table.columns, &members)?);
        }
        room.take(&row)?;
        rows.push(row);
    }
    Ok(Table { columns, rows })
}

impl Aggregate {
    fn name(&self) -> String {
        let of = self.of.as_ref().and_then(Expr::own_name).unwrap_or_default();
        self.name.clone().unwrap_or_else(|| match self.function.as_str() {
            "count" | "countif" => format!("{}_", self.function),
            "make_set" => format!("set_{of}"),
            "make_list" => format!("list_{of}"),
            function => format!("{function}_{of}"),
        })
    }

    fn kind(&self, columns: &[Column]) -> Result<Kind, QueryError> {
        let kind = self.of.as_ref().map(|of| of.kind(columns)).transpose()?;
        match (self.function.as_str(), &self.of, kind) {
            ("count", None, _) => Ok(Kind::Long),
            ("countif", Some(of), _) => expect_bool(of, columns).map(|()| Kind::Long),
            ("dcount", Some(of), _) => expect_key(of, columns).map(|_| Kind::Long),
            ("min" | "max", Some(_), Some(kind @ (Kind::Long | Kind::Real))) => Ok(kind),
            ("sum", Some(_), Some(kind @ (Kind::Long | Kind::Real))) => Ok(kind),
            ("make_set" | "make_list", Some(of), Some(kind)) if kind != Kind::Dynamic => {
                expect_key(of, columns).map(|_| Kind::Dynamic)
            }
            ("count" | "countif" | "dcount" | "min" | "max" | "sum" | "make_set" | "make_list", ..) => {
                Err(QueryError::unsupported(format!("The aggregate '{}' of such a value", self.function)))
            }
            (function, ..) => Err(QueryError::unsupported(format!("The aggregate '{function}'"))),
        }
    }

    fn value(&self, columns: &[Column], rows: &[&Row]) -> Result<Val, QueryError> {
        let counted = |count: usize| Val::Long(i64::try_from(count).unwrap_or(i64::MAX));
        let Some(of) = &self.of else { return Ok(counted(rows.len())) };
        let values = rows.iter().map(|row| of.value(columns, row)).collect::<Result<Vec<Val>, _>>()?;
        let present = || values.iter().filter(|value| !value.is_null());
        Ok(match self.function.as_str() {
            "countif" => counted(values.iter().filter(|value| **value == Val::Bool(true)).count()),
            "dcount" => counted(present().map(|value| value.to_json().to_string()).collect::<BTreeSet<_>>().len()),
            "min" => present().min_by(|left, right| left.order(right)).cloned().unwrap_or(Val::Null),
            "max" => present().max_by(|left, right| left.order(right)).cloned().unwrap_or(Val::Null),
            "sum" => sum(present()),
            function => {
                let mut seen = BTreeSet::new();
                let once = |value: &&Val| function == "make_list" || seen.insert(value.to_json().to_string());
                let items: Vec<Value> = present().filter(once).take(MOST_ITEMS).map(Val::to_json).collect();
                Val::Dynamic(Value::Array(items))
            }
        })
    }
}

fn sum<'a>(values: impl Iterator<Item = &'a Val>) -> Val {
    let (mut whole, mut real, mut any_real) = (0_i64, 0.0_f64, false);
    for value in values {
        match value {
            Val::Long(value) => whole = whole.saturating_add(*value),
            Val::Real(value) => (real, any_real) = (real + value, true),
            _ => {}
        }
    }
    if any_real { Val::Real(real + whole as f64) } else { Val::Long(whole) }
}
