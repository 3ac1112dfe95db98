//! The expression language: `[concat('a', parameters('b').c)]` read into a tree.
//! Source: <https://learn.microsoft.com/azure/azure-resource-manager/templates/template-expressions>.

use super::Wrong;

/// The longest expression. Source: the limits page named in the parent module.
const LONGEST: usize = 24_576;
/// How deep calls and property paths may go. No public source; design decision.
const DEEPEST: usize = 64;

/// One expression.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Expression {
    Text(String),
    Number(i64),
    Call { function: String, arguments: Vec<Expression> },
    Property { of: Box<Expression>, name: Box<Expression> },
}

/// What a string of a template is.
#[derive(Debug, PartialEq)]
pub(super) enum Reading {
    /// Itself.
    Literal(String),
    /// To be evaluated.
    Expression(Expression),
}

/// Tells expressions from literals; `[[` begins a literal that begins with one bracket.
pub(super) fn read(text: &str) -> Result<Reading, Wrong> {
    if let Some(rest) = text.strip_prefix("[[") {
        return Ok(Reading::Literal(format!("[{rest}")));
    }
    let Some(source) = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) else {
        return Ok(Reading::Literal(text.to_owned()));
    };
    if source.len() > LONGEST {
        return Err(Wrong(format!("The template expression is longer than {LONGEST} characters.")));
    }
    let mut parser = Parser { rest: source };
    let expression = parser.expression(0)?;
    parser.skip_blanks();
    match parser.rest.chars().next() {
        None => Ok(Reading::Expression(expression)),
        Some(_) => Err(parser.unexpected()),
    }
}

struct Parser<'a> {
    rest: &'a str,
}

impl<'a> Parser<'a> {
    fn expression(&mut self, depth: usize) -> Result<Expression, Wrong> {
        if depth > DEEPEST {
            return Err(Wrong(format!("The template expression goes deeper than {DEEPEST} levels.")));
        }
        self.skip_blanks();
        let mut expression = match self.rest.chars().next() {
            Some('\'') => self.text()?,
            Some(first) if first.is_ascii_digit() || first == '-' => self.number()?,
            Some(first) if first.is_ascii_alphabetic() => self.call(depth)?,
            _ => return Err(self.unexpected()),
        };
        let mut properties = 0;
        loop {
            let name = if self.takes('.') {
                Expression::Text(self.word()?.to_owned())
            } else if self.takes('[') {
                let index = self.expression(depth + 1)?;
                self.expect(']')?;
                index
            } else {
                return Ok(expression);
            };
            properties += 1;
            if depth + properties > DEEPEST {
                return Err(Wrong(format!("The template expression goes deeper than {DEEPEST} levels.")));
            }
            expression = Expression::Property { of: Box::new(expression), name: Box::new(name) };
        }
    }

    fn call(&mut self, depth: usize) -> Result<Expression, Wrong> {
        let function = self.word()?.to_owned();
        self.expect('(')?;
        let mut arguments = Vec::new();
        if self.takes(')') {
            return Ok(Expression::Call { function, arguments });
        }
        loop {
            arguments.push(self.expression(depth + 1)?);
            if self.takes(')') {
                return Ok(Expression::Call { function, arguments });
            }
            self.expect(',')?;
        }
    }

    /// Text in single quotes, in which a quote is written twice.
    fn text(&mut self) -> Result<Expression, Wrong> {
        let mut text = String::new();
        let mut rest = self.rest.strip_prefix('\'').unwrap_or(self.rest);
        while let Some((piece, after)) = rest.split_once('\'') {
            text.push_str(piece);
            match after.strip_prefix('\'') {
                Some(more) => {
                    text.push('\'');
                    rest = more;
                }
                None => {
                    self.rest = after;
                    return Ok(Expression::Text(text));
                }
            }
        }
        Err(Wrong::new("The template expression has a text without an end."))
    }

    fn number(&mut self) -> Result<Expression, Wrong> {
        let digits = self.rest.strip_prefix('-').unwrap_or(self.rest);
        let after = digits.trim_start_matches(|letter: char| letter.is_ascii_digit());
        let (number, rest) = self.rest.split_at(self.rest.len() - after.len());
        let number = number.parse().map_err(|_| self.unexpected())?;
        self.rest = rest;
        Ok(Expression::Number(number))
    }

    fn word(&mut self) -> Result<&'a str, Wrong> {
        self.skip_blanks();
        let after = self.rest.trim_start_matches(|letter: char| letter.is_ascii_alphanumeric() || letter == '_');
        let (word, rest) = self.rest.split_at(self.rest.len() - after.len());
        if word.is_empty() {
            return Err(self.unexpected());
        }
        self.rest = rest;
        Ok(word)
    }

    fn takes(&mut self, letter: char) -> bool {
        self.skip_blanks();
        let after = self.rest.strip_prefix(letter);
        self.rest = after.unwrap_or(self.rest);
        after.is_some()
    }

    fn expect(&mut self, letter: char) -> Result<(), Wrong> {
        if self.takes(letter) { Ok(()) } else { Err(self.unexpected()) }
    }

    fn skip_blanks(&mut self) {
        self.rest = self.rest.trim_start();
    }

    fn unexpected(&self) -> Wrong {
        match self.rest.chars().next() {
            Some(letter) => Wrong(format!("The template expression does not expect '{letter}' where it stands.")),
            None => Wrong::new("The template expression ends too early."),
        }
    }
}
