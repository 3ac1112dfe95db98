//! Expressions, from the loosest joint to the tightest.

use super::super::QueryError;
use super::super::lexer::Word;
use super::super::scalar::Val;
use super::super::syntax::{Compare, Expr, Match};
use super::{DEEPEST, OPERATORS, Parser, too_deep};

fn alone_or(mut all: Vec<Expr>, several: fn(Vec<Expr>) -> Expr) -> Expr {
    match all.pop() {
        Some(only) if all.is_empty() => only,
        last => {
            all.extend(last);
            several(all)
        }
    }
}

impl Parser {
    pub(super) fn expr(&mut self) -> Result<Expr, QueryError> {
        let first = self.conjunction()?;
        let mut all = vec![first];
        while self.keyword("or") {
            all.push(self.conjunction()?);
        }
        Ok(alone_or(all, Expr::Any))
    }

    fn conjunction(&mut self) -> Result<Expr, QueryError> {
        let first = self.comparison()?;
        let mut all = vec![first];
        while self.keyword("and") {
            all.push(self.comparison()?);
        }
        Ok(alone_or(all, Expr::All))
    }

    fn comparison(&mut self) -> Result<Expr, QueryError> {
        let left = self.sum()?;
        let compare = |how, left, right| Expr::Compare(how, Box::new(left), Box::new(right));
        let how = match self.peek() {
            Word::Sign("==") => Compare::Equal,
            Word::Sign("!=") => Compare::NotEqual,
            Word::Sign("<") => Compare::Less,
            Word::Sign("<=") => Compare::LessOrEqual,
            Word::Sign(">") => Compare::Greater,
            Word::Sign(">=") => Compare::GreaterOrEqual,
            Word::Sign(sign @ ("=~" | "!~")) => {
                let negated = *sign == "!~";
                self.at += 1;
                let right = Box::new(self.sum()?);
                return Ok(Expr::Match { how: Match::EqualAnyCase, negated, left: Box::new(left), right });
            }
            Word::Name(name) => {
                let name = name.clone();
                return self.word_comparison(&name, left);
            }
            _ => return Ok(left),
        };
        self.at += 1;
        let right = self.sum()?;
        Ok(compare(how, left, right))
    }

    fn word_comparison(&mut self, name: &str, left: Expr) -> Result<Expr, QueryError> {
        let (plain, negated) = name.strip_prefix('!').map_or((name, false), |plain| (plain, true));
        let how = match plain {
            "in" | "in~" => {
                self.at += 1;
                self.expect("(")?;
                let list = self.deeper(|parser| parser.list(Self::expr))?;
                self.expect(")")?;
                return Ok(Expr::In { any_case: plain == "in~", negated, left: Box::new(left), list });
            }
            "contains" => Match::Contains { any_case: true },
            "contains_cs" => Match::Contains { any_case: false },
            "has" => Match::Has { any_case: true },
            "has_cs" => Match::Has { any_case: false },
            "startswith" => Match::StartsWith { any_case: true },
            "startswith_cs" => Match::StartsWith { any_case: false },
            "endswith" => Match::EndsWith { any_case: true },
            "endswith_cs" => Match::EndsWith { any_case: false },
            "matches" | "between" | "has_any" | "has_all" | "hasprefix" | "hassuffix" => {
                return Err(QueryError::unsupported(format!("The comparison '{name}'")));
            }
            _ => return Ok(left),
        };
        self.at += 1;
        let right = Box::new(self.sum()?);
        Ok(Expr::Match { how, negated, left: Box::new(left), right })
    }

    fn sum(&mut self) -> Result<Expr, QueryError> {
        let mut left = self.product()?;
        for _ in 0..DEEPEST {
            let sign = match self.peek() {
                Word::Sign("+") => '+',
                Word::Sign("-") => '-',
                _ => return Ok(left),
            };
            self.at += 1;
            left = Expr::Compute(sign, Box::new(left), Box::new(self.product()?));
        }
        Err(too_deep())
    }

    fn product(&mut self) -> Result<Expr, QueryError> {
        let mut left = self.operand()?;
        let mut left_over = DEEPEST;
        while self.takes("*") {
            left_over = left_over.checked_sub(1).ok_or_else(too_deep)?;
            left = Expr::Compute('*', Box::new(left), Box::new(self.operand()?));
        }
        if matches!(self.peek(), Word::Sign("/")) {
            return Err(QueryError::unsupported("Division"));
        }
        Ok(left)
    }

    fn operand(&mut self) -> Result<Expr, QueryError> {
        if self.takes("-") {
            let zero = Expr::Literal(Val::Long(0));
            let operand = self.deeper(Self::operand)?;
            return Ok(Expr::Compute('-', Box::new(zero), Box::new(operand)));
        }
        let mut expr = self.atom()?;
        for _ in 0..DEEPEST {
            if self.takes(".") {
                // `properties.['a.b']` is accepted too.
                expr = Expr::Field(Box::new(expr), self.name()?);
            } else if let Word::Quoted(name) = self.peek().clone() {
                self.at += 1;
                expr = Expr::Field(Box::new(expr), name);
            } else if self.takes("[") {
                let negative = self.takes("-");
                let Word::Long(index) = self.next() else {
                    return Err(QueryError::unsupported("An index that is no number"));
                };
                self.expect("]")?;
                expr = Expr::Item(Box::new(expr), if negative { -index } else { index });
            } else {
                return Ok(expr);
            }
        }
        Err(too_deep())
    }

    fn atom(&mut self) -> Result<Expr, QueryError> {
        match self.peek().clone() {
            Word::Text(text) => {
                self.at += 1;
                Ok(Expr::Literal(Val::Text(text)))
            }
            Word::Long(number) => {
                self.at += 1;
                Ok(Expr::Literal(Val::Long(number)))
            }
            Word::Real(number) => {
                self.at += 1;
                Ok(Expr::Literal(Val::Real(number)))
            }
            Word::Quoted(name) => {
                self.at += 1;
                Ok(Expr::Column(name))
            }
            Word::Name(name) => {
                self.at += 1;
                if self.takes("(") {
                    let arguments = if self.takes(")") {
                        Vec::new()
                    } else {
                        let arguments = self.deeper(|parser| parser.list(Self::expr))?;
                        self.expect(")")?;
                        arguments
                    };
                    return Ok(Expr::Call(name, arguments));
                }
                Ok(match name.as_str() {
                    "true" => Expr::Literal(Val::Bool(true)),
                    "false" => Expr::Literal(Val::Bool(false)),
                    // Source: Azure/azure-cli-extensions, recording `test_query_error`.
                    operator if OPERATORS.contains(&operator) => return Err(self.failure("an operator's end")),
                    _ => Expr::Column(name),
                })
            }
            Word::Sign("(") => {
                self.at += 1;
                let expr = self.deeper(Self::expr)?;
                self.expect(")")?;
                Ok(expr)
            }
            _ => Err(self.failure("an expression")),
        }
    }
}
