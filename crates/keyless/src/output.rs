//! Data to stdout, words about it to stderr.

use std::io::Write as _;

use anstyle::{AnsiColor, Style};

const ERROR: Style = AnsiColor::Red.on_default().bold();

/// Prints data. A reader that has gone away, as `head` does, is no error.
pub(crate) fn data(text: &str) {
    let mut stdout = anstream::stdout().lock();
    let _ = stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush());
}

/// Prints a remark for people.
pub(crate) fn remark(text: &str) {
    let _ = writeln!(anstream::stderr().lock(), "{text}");
}

/// Prints why the command failed.
pub(crate) fn error(text: &str) {
    let _ = writeln!(anstream::stderr().lock(), "{ERROR}error{ERROR:#}: {text}");
}
