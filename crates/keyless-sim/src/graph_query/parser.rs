//! Words made into what they say.

use super::QueryError;
use super::lexer::{self, Token, Word};
use super::syntax::{Aggregate, Expr, JoinKind, Key, Named, Query, Step};

/// The names of operators that begin a query without a table.
const OPERATORS: [&str; 17] = [
    "where",
    "filter",
    "project",
    "project-away",
    "project-keep",
    "project-rename",
    "extend",
    "summarize",
    "distinct",
    "order",
    "sort",
    "top",
    "take",
    "limit",
    "count",
    "join",
    "union",
];
/// Operators of the language that are not known here.
const FOREIGN: [&str; 14] = [
    "mv-expand",
    "mvexpand",
    "parse",
    "project-reorder",
    "render",
    "sample",
    "search",
    "find",
    "let",
    "evaluate",
    "make-series",
    "serialize",
    "lookup",
    "as",
];
/// How deep brackets may go.
const DEEPEST: usize = 64;

mod expression;

struct Parser {
    tokens: Vec<Token>,
    at: usize,
    depth: usize,
    joins: usize,
}

/// At most three `join` or `union` in one query.
/// Source: MicrosoftDocs/azure-docs `articles/governance/resource-graph/concepts/query-language.md`.
const MOST_JOINS: usize = 3;

pub(super) fn parse(text: &str) -> Result<Query, QueryError> {
    let mut parser = Parser { tokens: lexer::cut(text)?, at: 0, depth: 0, joins: 0 };
    let query = parser.query()?;
    match parser.peek() {
        Word::End => Ok(query),
        _ => Err(parser.failure("end of the query")),
    }
}

fn too_deep() -> QueryError {
    QueryError::unsupported("A query this deep")
}

impl Parser {
    fn peek(&self) -> &Word {
        self.tokens.get(self.at).map_or(&Word::End, |token| &token.word)
    }

    fn next(&mut self) -> Word {
        let word = self.peek().clone();
        self.at += 1;
        word
    }

    fn failure(&self, expected: &str) -> QueryError {
        let token = self.tokens.get(self.at).or(self.tokens.last());
        let place = token.map(|token| {
            let text = match &token.word {
                Word::Name(name) | Word::Quoted(name) | Word::Text(name) => name.clone(),
                Word::Long(number) => number.to_string(),
                Word::Real(number) => number.to_string(),
                Word::Sign(sign) => (*sign).to_owned(),
                Word::End => "<EOF>".to_owned(),
            };
            (token.line, token.column, text)
        });
        QueryError { code: "ParserFailure", message: format!("Parser failure: expected {expected}"), place }
    }

    fn takes(&mut self, sign: &str) -> bool {
        let found = matches!(self.peek(), Word::Sign(own) if *own == sign);
        self.at += usize::from(found);
        found
    }

    fn expect(&mut self, sign: &'static str) -> Result<(), QueryError> {
        if self.takes(sign) { Ok(()) } else { Err(self.failure(&format!("'{sign}'"))) }
    }

    fn keyword(&mut self, name: &str) -> bool {
        let found = matches!(self.peek(), Word::Name(own) if own == name);
        self.at += usize::from(found);
        found
    }

    fn name(&mut self) -> Result<String, QueryError> {
        match self.peek().clone() {
            Word::Name(name) | Word::Quoted(name) => {
                self.at += 1;
                Ok(name)
            }
            _ => Err(self.failure("a name")),
        }
    }

    fn deeper<T>(&mut self, parse: impl FnOnce(&mut Self) -> Result<T, QueryError>) -> Result<T, QueryError> {
        self.depth += 1;
        if self.depth > DEEPEST {
            return Err(too_deep());
        }
        let parsed = parse(self)?;
        self.depth -= 1;
        Ok(parsed)
    }

    fn query(&mut self) -> Result<Query, QueryError> {
        let mut query = Query { table: None, steps: Vec::new() };
        match self.peek().clone() {
            Word::Name(name) if FOREIGN.contains(&name.as_str()) => {
                return Err(QueryError::unsupported(format!("The operator '{name}'")));
            }
            Word::Name(name) if OPERATORS.contains(&name.as_str()) => query.steps.push(self.step()?),
            Word::Name(name) => {
                self.at += 1;
                query.table = Some(name);
            }
            // No query asks for everything. Source: c7n_azure 0.7.52 `query.py`, which sends it.
            Word::End if self.depth == 0 => return Ok(query),
            _ => return Err(self.failure("a table")),
        }
        while self.takes("|") {
            query.steps.push(self.step()?);
        }
        Ok(query)
    }

    fn step(&mut self) -> Result<Step, QueryError> {
        let operator = match self.peek().clone() {
            Word::Name(name) => name,
            _ => return Err(self.failure("an operator")),
        };
        if !OPERATORS.contains(&operator.as_str()) {
            return Err(if FOREIGN.contains(&operator.as_str()) {
                QueryError::unsupported(format!("The operator '{operator}'"))
            } else {
                self.failure("an operator")
            });
        }
        self.at += 1;
        Ok(match operator.as_str() {
            "where" | "filter" => Step::Where(self.expr()?),
            "project" => Step::Project(self.list(Self::named)?),
            "project-away" => Step::ProjectAway(self.list(Self::name)?),
            "project-keep" => Step::ProjectKeep(self.list(Self::name)?),
            "project-rename" => Step::ProjectRename(self.list(|parser| {
                let new = parser.name()?;
                parser.expect("=")?;
                Ok((new, parser.name()?))
            })?),
            "extend" => Step::Extend(self.list(Self::named)?),
            "summarize" => self.summarize()?,
            "distinct" if self.takes("*") => Step::Distinct(Vec::new()),
            "distinct" => Step::Distinct(self.list(Self::named)?),
            "order" | "sort" => {
                if !self.keyword("by") {
                    return Err(self.failure("'by'"));
                }
                Step::Order(self.list(Self::key)?)
            }
            "top" => {
                let count = self.count()?;
                if !self.keyword("by") {
                    return Err(self.failure("'by'"));
                }
                Step::Top(count, self.key()?)
            }
            "take" | "limit" => Step::Take(self.count()?),
            "count" => Step::Count,
            "join" => self.join()?,
            _ => self.union()?,
        })
    }

    fn list<T>(&mut self, one: impl Fn(&mut Self) -> Result<T, QueryError>) -> Result<Vec<T>, QueryError> {
        let mut found = vec![one(self)?];
        while self.takes(",") {
            found.push(one(self)?);
        }
        Ok(found)
    }

    fn count(&mut self) -> Result<usize, QueryError> {
        match self.peek() {
            Word::Long(count) => {
                let count = usize::try_from(*count).map_err(|_| self.failure("a number"))?;
                self.at += 1;
                Ok(count)
            }
            _ => Err(self.failure("a number")),
        }
    }

    /// `name = expression`, or the expression alone.
    fn named(&mut self) -> Result<Named, QueryError> {
        let named = matches!(self.tokens.get(self.at + 1).map(|token| &token.word), Some(Word::Sign("=")));
        let name = if named { Some(self.name()?) } else { None };
        if named {
            self.expect("=")?;
        }
        Ok(Named { name, expr: self.expr()? })
    }

    fn summarize(&mut self) -> Result<Step, QueryError> {
        let aggregates = if matches!(self.peek(), Word::Name(by) if by == "by") {
            Vec::new()
        } else {
            self.list(|parser| {
                let Named { name, expr } = parser.named()?;
                match expr {
                    Expr::Call(function, mut arguments) if arguments.len() <= 1 => {
                        Ok(Aggregate { name, function, of: arguments.pop() })
                    }
                    _ => Err(QueryError::unsupported("An aggregate of this form")),
                }
            })?
        };
        let by = if self.keyword("by") { self.list(Self::named)? } else { Vec::new() };
        Ok(Step::Summarize { aggregates, by })
    }

    /// Descending unless something else is said; nulls come last then, and first otherwise.
    fn key(&mut self) -> Result<Key, QueryError> {
        let expr = self.expr()?;
        let descending = !self.keyword("asc");
        if descending {
            self.keyword("desc");
        }
        let mut nulls_first = !descending;
        if self.keyword("nulls") {
            nulls_first = self.keyword("first");
            if !nulls_first && !self.keyword("last") {
                return Err(self.failure("'first' or 'last'"));
            }
        }
        Ok(Key { expr, descending, nulls_first })
    }

    fn count_join(&mut self) -> Result<(), QueryError> {
        self.joins += 1;
        if self.joins <= MOST_JOINS {
            return Ok(());
        }
        Err(QueryError::semantic(format!("A query may hold at most {MOST_JOINS} join and union operators.")))
    }

    fn join(&mut self) -> Result<Step, QueryError> {
        self.count_join()?;
        let kind = if self.keyword("kind") {
            self.expect("=")?;
            match self.name()?.as_str() {
                "innerunique" => JoinKind::InnerUnique,
                "inner" => JoinKind::Inner,
                "leftouter" => JoinKind::LeftOuter,
                "fullouter" => JoinKind::FullOuter,
                other => return Err(QueryError::semantic(format!("The join flavor '{other}' is not allowed."))),
            }
        } else {
            JoinKind::InnerUnique
        };
        let right = self.leg()?;
        if !self.keyword("on") {
            return Err(self.failure("'on'"));
        }
        let on = self.list(|parser| {
            let left = parser.name()?;
            let sided = |side: &str| side == "$left" || side == "$right";
            if !sided(&left) {
                return Ok((left.clone(), left));
            }
            parser.expect(".")?;
            let first = parser.name()?;
            parser.expect("==")?;
            let right = parser.name()?;
            if !sided(&right) || right == left {
                return Err(parser.failure("the other side"));
            }
            parser.expect(".")?;
            let second = parser.name()?;
            Ok(if left == "$left" { (first, second) } else { (second, first) })
        })?;
        Ok(Step::Join { kind, right, on })
    }

    fn union(&mut self) -> Result<Step, QueryError> {
        self.count_join()?;
        if matches!(self.peek(), Word::Name(name) if name == "kind" || name == "withsource" || name == "isfuzzy") {
            return Err(QueryError::unsupported("A parameter of 'union'"));
        }
        self.leg().map(Step::Union)
    }

    /// The other table of a join or a union: a name, or a query in brackets.
    fn leg(&mut self) -> Result<Query, QueryError> {
        if !self.takes("(") {
            return Ok(Query { table: Some(self.name()?), steps: Vec::new() });
        }
        let query = self.deeper(Self::query)?;
        self.expect(")")?;
        Ok(query)
    }
}
