//! The operators, each from one table to the next.
//! Source: the page of each in MicrosoftDocs/dataexplorer-docs `data-explorer/kusto/query`.

use std::collections::{BTreeMap, BTreeSet};

use super::limit::Room;
use super::scalar::Val;
use super::syntax::{Expr, JoinKind, Key, Named, Query, Step};
use super::types::{expect_bool, expect_key, position};
use super::{Column, Kind, QueryError, Table};

type Tables<'a> = &'a dyn Fn(&str) -> Result<Table, QueryError>;
type Row = Vec<Val>;

mod summarize;

pub(super) fn run(query: &Query, tables: Tables<'_>) -> Result<Table, QueryError> {
    let name = query.table.as_deref().unwrap_or("resources").to_ascii_lowercase();
    let mut table = tables(&name)?;
    for step in &query.steps {
        table = apply(table, step, tables)?;
    }
    Ok(table)
}

fn apply(table: Table, step: &Step, tables: Tables<'_>) -> Result<Table, QueryError> {
    let columns = &table.columns;
    match step {
        Step::Where(condition) => {
            expect_bool(condition, columns)?;
            let mut kept = Vec::new();
            for row in &table.rows {
                if condition.value(columns, row)? == Val::Bool(true) {
                    kept.push(row.clone());
                }
            }
            Ok(Table { rows: kept, columns: table.columns })
        }
        Step::Project(list) => project(&table, list),
        Step::ProjectAway(names) => {
            let gone = names.iter().map(|name| position(columns, name).map(|(place, _)| place));
            let gone = gone.collect::<Result<BTreeSet<usize>, _>>()?;
            Ok(select(&table, &(0..columns.len()).filter(|place| !gone.contains(place)).collect::<Vec<_>>()))
        }
        Step::ProjectKeep(names) => {
            let kept = names.iter().map(|name| position(columns, name).map(|(place, _)| place));
            let kept = kept.collect::<Result<BTreeSet<usize>, _>>()?;
            Ok(select(&table, &kept.into_iter().collect::<Vec<_>>()))
        }
        Step::ProjectRename(pairs) => {
            let mut renamed = table.columns.clone();
            for (new, old) in pairs {
                let (place, _) = position(columns, old)?;
                if let Some(column) = renamed.get_mut(place) {
                    column.name.clone_from(new);
                }
            }
            unique(&renamed)?;
            Ok(Table { columns: renamed, rows: table.rows })
        }
        Step::Extend(list) => extend(table, list),
        Step::Summarize { aggregates, by } => summarize::summarize(&table, aggregates, by),
        Step::Distinct(list) if list.is_empty() => distinct(&table),
        Step::Distinct(list) => {
            for named in list {
                expect_key(&named.expr, columns)?;
            }
            distinct(&project(&table, list)?)
        }
        Step::Order(keys) => order(table, keys),
        Step::Top(count, key) => {
            let mut table = order(table, std::slice::from_ref(key))?;
            table.rows.truncate(*count);
            Ok(table)
        }
        Step::Take(count) => {
            let mut table = table;
            table.rows.truncate(*count);
            Ok(table)
        }
        Step::Count => {
            let count = i64::try_from(table.rows.len()).unwrap_or(i64::MAX);
            let column = Column { name: "Count".to_owned(), kind: Kind::Long };
            Ok(Table { columns: vec![column], rows: vec![vec![Val::Long(count)]] })
        }
        Step::Join { kind, right, on } => join(&table, *kind, &run(right, tables)?, on),
        Step::Union(right) => union(table, run(right, tables)?),
    }
}

fn unique(columns: &[Column]) -> Result<(), QueryError> {
    let names: BTreeSet<&str> = columns.iter().map(|column| column.name.as_str()).collect();
    if names.len() == columns.len() {
        return Ok(());
    }
    Err(QueryError::semantic("A column with the same name was already declared."))
}

/// The name that was given or that the expression has by itself, or the first free `ColumnN`.
fn name_of(named: &Named, taken: &[Column]) -> String {
    let own = named.name.clone().or_else(|| named.expr.own_name());
    own.unwrap_or_else(|| {
        let free = |number: &usize| !taken.iter().any(|column| column.name == format!("Column{number}"));
        format!("Column{}", (1..).find(free).unwrap_or_default())
    })
}

fn project(table: &Table, list: &[Named]) -> Result<Table, QueryError> {
    let mut columns = Vec::new();
    for named in list {
        let kind = named.expr.kind(&table.columns)?;
        columns.push(Column { name: name_of(named, &columns), kind });
    }
    unique(&columns)?;
    let mut room = Room::new();
    let mut rows = Vec::new();
    for row in &table.rows {
        let made = list.iter().map(|named| named.expr.value(&table.columns, row)).collect::<Result<Row, _>>()?;
        room.take(&made)?;
        rows.push(made);
    }
    Ok(Table { columns, rows })
}

fn select(table: &Table, places: &[usize]) -> Table {
    let of = |row: &Row| places.iter().filter_map(|place| row.get(*place).cloned()).collect();
    let columns = places.iter().filter_map(|place| table.columns.get(*place).cloned()).collect();
    Table { columns, rows: table.rows.iter().map(of).collect() }
}

/// New columns at the end; one of the name of an old one takes its place. All are computed from the old ones.
fn extend(table: Table, list: &[Named]) -> Result<Table, QueryError> {
    let added = project(&table, list)?;
    let mut columns = table.columns;
    let mut places = Vec::new();
    for column in added.columns {
        let place = columns.iter().position(|own| own.name == column.name);
        match place.and_then(|place| columns.get_mut(place)) {
            Some(own) => *own = column,
            None => columns.push(column),
        }
        places.push(place);
    }
    let mut rows = table.rows;
    for (row, added) in rows.iter_mut().zip(added.rows) {
        for (value, place) in added.into_iter().zip(&places) {
            match place.and_then(|place| row.get_mut(place)) {
                Some(own) => *own = value,
                None => row.push(value),
            }
        }
    }
    Ok(Table { columns, rows })
}

fn distinct(table: &Table) -> Result<Table, QueryError> {
    for column in &table.columns {
        expect_key(&Expr::Column(column.name.clone()), &table.columns)?;
    }
    let mut seen = BTreeSet::new();
    let rows = table.rows.iter().filter(|row| seen.insert(group_key(row.as_slice()))).cloned().collect();
    Ok(Table { columns: table.columns.clone(), rows })
}

/// What rows of one group have in common, in a form that can be ordered. Kinds do not mix within a column.
fn group_key(values: &[Val]) -> Vec<String> {
    values.iter().map(|value| value.to_json().to_string()).collect()
}

fn order(table: Table, keys: &[Key]) -> Result<Table, QueryError> {
    for key in keys {
        expect_key(&key.expr, &table.columns)?;
    }
    let columns = &table.columns;
    let mut room = Room::new();
    let mut rows = Vec::new();
    for row in &table.rows {
        let by = keys.iter().map(|key| key.expr.value(columns, row)).collect::<Result<Row, _>>()?;
        room.take(&by)?;
        rows.push((by, row.clone()));
    }
    rows.sort_by(|(left, _), (right, _)| {
        let mut pairs = keys.iter().zip(left.iter().zip(right));
        let unequal = pairs.find_map(|(key, (left, right))| {
            let order = match (left.is_null(), right.is_null()) {
                (false, false) if key.descending => right.order(left),
                (false, false) => left.order(right),
                (left, right) if key.nulls_first => right.cmp(&left),
                (left, right) => left.cmp(&right),
            };
            order.is_ne().then_some(order)
        });
        unequal.unwrap_or(std::cmp::Ordering::Equal)
    });
    Ok(Table { rows: rows.into_iter().map(|(_, row)| row).collect(), columns: table.columns })
}

/// All columns of both sides; a name of the right that the left has too gets a number behind it.
fn join(left: &Table, kind: JoinKind, right: &Table, on: &[(String, String)]) -> Result<Table, QueryError> {
    let mut places = Vec::new();
    for (own, other) in on {
        let left_kind = expect_key(&Expr::Column(own.clone()), &left.columns)?;
        let right_kind = expect_key(&Expr::Column(other.clone()), &right.columns)?;
        if left_kind != right_kind {
            return Err(QueryError::semantic(format!("'{own}' and '{other}' are of different types.")));
        }
        places.push((position(&left.columns, own)?.0, position(&right.columns, other)?.0));
    }
    let mut columns = left.columns.clone();
    for column in &right.columns {
        let taken = |name: &str| columns.iter().any(|own| own.name == name);
        let mut name = column.name.clone();
        let mut number = 1;
        while taken(&name) {
            name = format!("{}{number}", column.name);
            number += 1;
        }
        columns.push(Column { name, kind: column.kind });
    }
    let key = |row: &Row, pick: fn(&(usize, usize)) -> usize| {
        let values: Row = places.iter().filter_map(|pair| row.get(pick(pair)).cloned()).collect();
        group_key(&values)
    };
    let mut by_key: BTreeMap<Vec<String>, Vec<usize>> = BTreeMap::new();
    for (place, row) in right.rows.iter().enumerate() {
        by_key.entry(key(row, |pair| pair.1)).or_default().push(place);
    }
    let (mut rows, mut seen, mut met) = (Vec::new(), BTreeSet::new(), BTreeSet::new());
    let mut room = Room::new();
    for row in &left.rows {
        let key = key(row, |pair| pair.0);
        if kind == JoinKind::InnerUnique && !seen.insert(key.clone()) {
            continue;
        }
        let partners = by_key.get(&key).map(Vec::as_slice).unwrap_or_default();
        for partner in partners {
            met.insert(*partner);
            let other = right.rows.get(*partner).map(Vec::as_slice).unwrap_or_default();
            room.take(row)?;
            room.take(other)?;
            rows.push([row.as_slice(), other].concat());
        }
        if partners.is_empty() && matches!(kind, JoinKind::LeftOuter | JoinKind::FullOuter) {
            rows.push([row.clone(), nothing(&right.columns)].concat());
        }
    }
    if kind == JoinKind::FullOuter {
        for (_, row) in right.rows.iter().enumerate().filter(|(place, _)| !met.contains(place)) {
            rows.push([nothing(&left.columns), row.clone()].concat());
        }
    }
    Ok(Table { columns, rows })
}

/// A row of what is missing.
fn nothing(columns: &[Column]) -> Row {
    columns.iter().map(|column| if column.kind == Kind::Text { Val::Text(String::new()) } else { Val::Null }).collect()
}

/// The rows of both; a column that one side lacks is empty there.
fn union(left: Table, right: Table) -> Result<Table, QueryError> {
    let mut columns = left.columns.clone();
    for column in right.columns.iter() {
        match columns.iter().find(|own| own.name == column.name) {
            None => columns.push(column.clone()),
            Some(own) if own.kind == column.kind => {}
            Some(_) => return Err(QueryError::unsupported("A union of columns of one name and two types")),
        }
    }
    let lay_out = |table: Table| {
        let empty = nothing(&columns);
        let places: Vec<Option<usize>> =
            columns.iter().map(|column| table.columns.iter().position(|own| own.name == column.name)).collect();
        table
            .rows
            .into_iter()
            .map(move |row| {
                let cell = |(place, empty): (&Option<usize>, &Val)| {
                    place.and_then(|place| row.get(place)).unwrap_or(empty).clone()
                };
                places.iter().zip(&empty).map(cell).collect::<Row>()
            })
            .collect::<Vec<Row>>()
    };
    let rows = [lay_out(left), lay_out(right)].concat();
    Ok(Table { columns, rows })
}
