//! One problem of the files, and the list they are collected in.
//!
//! All that is ever told of a file goes through [`Report`], so that is where secrets are kept out of it.

use std::fmt;

use crate::desired::Location;
use crate::secret;

/// Something wrong, or doubtful, at one place of the files.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Problem {
    /// Where; 1:1 for a file as a whole.
    pub location: Location,
    /// What is wrong.
    pub message: String,
    /// The next move, where there is one.
    pub hint: Option<String>,
}

impl fmt::Display for Problem {
    /// One line: `PATH:LINE:COLUMN: message (hint: …)`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { location, message, hint } = self;
        write!(f, "{}: {}", one_line(&location.to_string()), one_line(message))?;
        match hint {
            Some(hint) => write!(f, " (hint: {})", one_line(hint)),
            None => Ok(()),
        }
    }
}

/// Makes control characters visible, so that no file can forge a line of the output.
fn one_line(text: &str) -> String {
    let mut line = String::with_capacity(text.len());
    for c in text.chars() {
        if is_forbidden(c) || c == '\n' || c == '\t' {
            line.extend(c.escape_default());
        } else {
            line.push(c);
        }
    }
    line
}

/// Whether a character has no business in a file that people review: controls, and what reorders text on a screen.
pub(super) fn is_forbidden(c: char) -> bool {
    match c {
        '\t' | '\n' | '\r' => false,
        '\u{200e}' | '\u{200f}' | '\u{2028}' | '\u{2029}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => true,
        '\u{feff}' => true,
        _ => c.is_control(),
    }
}

impl Problem {
    fn new(location: Location, message: impl Into<String>, hint: Option<String>) -> Self {
        let message = secret::without(&message.into());
        Self { location, message, hint: hint.map(|hint| secret::without(&hint)) }
    }
}

/// The first characters of a text from a file, for a message. Judged whole, for a part of a secret may not look like one.
pub(super) fn shorten(text: &str) -> String {
    const LONGEST: usize = 80;
    let text = &*secret::shown(text);
    if text.chars().count() <= LONGEST {
        return text.to_owned();
    }
    text.chars().take(LONGEST - 1).chain(['…']).collect()
}

/// Problems and warnings as they are found.
#[derive(Debug, Default)]
pub(super) struct Report {
    problems: Vec<Problem>,
    warnings: Vec<Problem>,
}

impl Report {
    pub(super) fn problem(&mut self, location: Location, message: impl Into<String>, hint: Option<String>) {
        self.problems.push(Problem::new(location, message, hint));
    }

    pub(super) fn warning(&mut self, location: Location, message: impl Into<String>, hint: Option<String>) {
        self.warnings.push(Problem::new(location, message, hint));
    }

    pub(super) fn is_clean(&self) -> bool {
        self.problems.is_empty()
    }

    /// Problems and warnings by file and place, each once.
    pub(super) fn into_sorted(mut self) -> (Vec<Problem>, Vec<Problem>) {
        for list in [&mut self.problems, &mut self.warnings] {
            list.sort();
            list.dedup();
        }
        (self.problems, self.warnings)
    }
}
