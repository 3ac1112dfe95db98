//! Data to stdout, words about it to stderr.

use std::io::{ErrorKind, Write as _};

use anstyle::{AnsiColor, Style};
use anyhow::Context as _;

const ERROR: Style = AnsiColor::Red.on_default().bold();

/// Prints data. A reader that has gone away, as `head` does, is no error; a disk that is full is one.
pub(crate) fn data(text: &str) -> anyhow::Result<()> {
    let mut stdout = anstream::stdout().lock();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(error).context("cannot write to stdout"),
        Ok(()) | Err(_) => Ok(()),
    }
}

/// Prints a remark for people.
pub(crate) fn remark(text: &str) {
    let _ = writeln!(anstream::stderr().lock(), "{text}");
}

/// Prints why the command failed.
pub(crate) fn error(text: &str) {
    let _ = writeln!(anstream::stderr().lock(), "{ERROR}error{ERROR:#}: {text}");
}
