//! A query cut into words.

use super::QueryError;

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Word {
    /// A name or a keyword; also `!in`, `in~`, `project-away` and their like.
    Name(String),
    /// A name that was quoted, as in `['a b']`.
    Quoted(String),
    Text(String),
    Long(i64),
    Real(f64),
    Sign(&'static str),
    End,
}

/// A word and where it begins.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Token {
    pub(super) word: Word,
    pub(super) line: usize,
    pub(super) column: usize,
}

const SIGNS: [&str; 21] =
    ["==", "!=", "=~", "!~", "<=", ">=", "..", "|", "(", ")", "[", "]", ",", ".", "=", "<", ">", "+", "-", "*", "/"];
/// Words that may be followed by a hyphen and more.
const HYPHENATED: [&str; 2] = ["project", "mv"];

struct Lexer<'a> {
    rest: &'a str,
    line: usize,
    column: usize,
}

pub(super) fn cut(query: &str) -> Result<Vec<Token>, QueryError> {
    let mut lexer = Lexer { rest: query, line: 1, column: 0 };
    let mut tokens = Vec::new();
    loop {
        lexer.skip_blanks();
        let (line, column) = (lexer.line, lexer.column);
        let word = lexer.word()?;
        let end = word == Word::End;
        tokens.push(Token { word, line, column });
        if end {
            return Ok(tokens);
        }
    }
}

impl<'a> Lexer<'a> {
    fn take(&mut self, length: usize) -> &'a str {
        let (taken, rest) = self.rest.split_at_checked(length).unwrap_or((self.rest, ""));
        for letter in taken.chars() {
            if letter == '\n' {
                (self.line, self.column) = (self.line + 1, 0);
            } else {
                self.column += 1;
            }
        }
        self.rest = rest;
        taken
    }

    /// Takes as long as the letters suit.
    fn take_while(&mut self, suits: impl Fn(char) -> bool) -> &'a str {
        self.take(self.rest.find(|letter| !suits(letter)).unwrap_or(self.rest.len()))
    }

    fn skip_blanks(&mut self) {
        loop {
            self.take_while(char::is_whitespace);
            if !self.rest.starts_with("//") {
                return;
            }
            self.take_while(|letter| letter != '\n');
        }
    }

    fn error(&self, message: &str) -> QueryError {
        let token = self.rest.chars().next().map_or_else(|| "<EOF>".to_owned(), String::from);
        QueryError { code: "ParserFailure", message: message.to_owned(), place: Some((self.line, self.column, token)) }
    }

    fn word(&mut self) -> Result<Word, QueryError> {
        let mut letters = self.rest.chars();
        let Some(first) = letters.next() else { return Ok(Word::End) };
        let second = letters.next();
        match first {
            '\'' | '"' => self.text(first, false).map(Word::Text),
            '@' if matches!(second, Some('\'' | '"')) => {
                self.take(1);
                self.text(second.unwrap_or_default(), true).map(Word::Text)
            }
            '[' if matches!(second, Some('\'' | '"')) => {
                self.take(1);
                let name = self.text(second.unwrap_or_default(), false)?;
                if !self.rest.starts_with(']') {
                    return Err(self.error("Parser failure: ']' is missing"));
                }
                self.take(1);
                Ok(Word::Quoted(name))
            }
            '0'..='9' => self.number(),
            '!' if second.is_some_and(char::is_alphabetic) => {
                self.take(1);
                let name = format!("!{}", self.name());
                Ok(Word::Name(name))
            }
            'a'..='z' | 'A'..='Z' | '_' | '$' => Ok(Word::Name(self.name())),
            _ => {
                let Some(sign) = SIGNS.into_iter().find(|sign| self.rest.starts_with(sign)) else {
                    return Err(self.error("Parser failure: unexpected character"));
                };
                self.take(sign.len());
                Ok(Word::Sign(sign))
            }
        }
    }

    fn name(&mut self) -> String {
        let part = |letter: char| letter.is_ascii_alphanumeric() || letter == '_' || letter == '$';
        let mut name = self.take_while(part).to_owned();
        let hyphen = self.rest.strip_prefix('-').and_then(|rest| rest.chars().next()).is_some_and(char::is_alphabetic);
        if hyphen && HYPHENATED.contains(&name.as_str()) {
            name.push_str(self.take(1));
            name.push_str(self.take_while(part));
        }
        if self.rest.starts_with('~') && name == "in" {
            name.push_str(self.take(1));
        }
        name
    }

    fn number(&mut self) -> Result<Word, QueryError> {
        let mut digits = self.take_while(|letter| letter.is_ascii_digit()).to_owned();
        let fraction = self.rest.strip_prefix('.').and_then(|rest| rest.chars().next());
        if fraction.is_some_and(|letter| letter.is_ascii_digit()) {
            digits.push_str(self.take(1));
            digits.push_str(self.take_while(|letter| letter.is_ascii_digit()));
        }
        if self.rest.chars().next().is_some_and(|letter| letter.is_alphanumeric() || letter == '_') {
            return Err(QueryError::unsupported("A span of time, or a number with a suffix,"));
        }
        if digits.contains('.') {
            return digits.parse().map(Word::Real).map_err(|_| self.error("Parser failure: no number"));
        }
        digits.parse().map(Word::Long).map_err(|_| self.error("Parser failure: no number"))
    }

    fn text(&mut self, quote: char, verbatim: bool) -> Result<String, QueryError> {
        self.take(1);
        let mut text = String::new();
        loop {
            let plain = |letter: char| letter != quote && letter != '\n' && (verbatim || letter != '\\');
            text.push_str(self.take_while(plain));
            let mut letters = self.rest.chars();
            match letters.next() {
                Some(letter) if letter == quote => {
                    self.take(1);
                    if !(verbatim && letters.next() == Some(quote)) {
                        return Ok(text);
                    }
                    text.push_str(self.take(1));
                }
                Some('\\') => {
                    let escaped = match letters.next() {
                        Some('n') => '\n',
                        Some('t') => '\t',
                        Some('r') => '\r',
                        Some(letter @ ('\\' | '\'' | '"')) => letter,
                        _ => return Err(self.error("Parser failure: unknown escape")),
                    };
                    self.take(2);
                    text.push(escaped);
                }
                _ => return Err(self.error("Parser failure: text without an end")),
            }
        }
    }
}
