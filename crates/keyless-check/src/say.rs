//! What the commands print, and how they end.
//!
//! Who reads may have gone before all is said, as `head` does. That is the end of the command, without a word: everything
//! that it began is dropped on the way out.

use std::fmt;
use std::io::{self, ErrorKind, Write};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::process::ExitCode;

/// What shells tell of a process that SIGPIPE has ended.
const PIPE_CLOSED: u8 = 128 + 13;

/// Why nothing more can be said.
struct Unheard(io::Error);

/// Prints a line, as `println!` does, and ends the command where it is not heard.
#[macro_export]
macro_rules! say {
    ($($text:tt)*) => {
        // Tests are heard by their harness alone.
        if cfg!(test) { println!($($text)*) } else { $crate::say::line(format_args!($($text)*)) }
    };
}

/// Prints a line on standard output.
pub fn line(text: fmt::Arguments<'_>) {
    line_to(&mut io::stdout().lock(), text);
}

/// Prints a line on standard error; where nobody hears it, the command goes on.
pub fn aside(text: fmt::Arguments<'_>) {
    let _unheard = writeln!(io::stderr().lock(), "{text}");
}

fn line_to(to: &mut impl Write, text: fmt::Arguments<'_>) {
    if let Err(error) = writeln!(to, "{text}") {
        // Not a panic: nothing is told of it, and no backtrace is taken.
        resume_unwind(Box::new(Unheard(error)));
    }
}

/// Runs a command to its end, and says what it failed for.
pub fn ended(command: impl FnOnce() -> anyhow::Result<()>) -> ExitCode {
    let failed = match catch_unwind(AssertUnwindSafe(command)) {
        Ok(Ok(())) => return ExitCode::SUCCESS,
        Ok(Err(error)) => error,
        Err(unwound) => match unwound.downcast::<Unheard>() {
            Ok(unheard) if unheard.0.kind() == ErrorKind::BrokenPipe => return ExitCode::from(PIPE_CLOSED),
            Ok(unheard) => anyhow::Error::new(unheard.0).context("cannot write to stdout"),
            Err(panic) => resume_unwind(panic),
        },
    };
    aside(format_args!("error: {failed:#}"));
    ExitCode::FAILURE
}
