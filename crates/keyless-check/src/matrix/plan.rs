//! What a run is disturbed by, with names that a replay takes.

use std::fmt;
use std::str::FromStr;

/// When the process dies at a write.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Moment {
    /// Before it leaves.
    Before,
    /// After it took effect, and before its answer arrives.
    Unanswered,
    /// After its answer arrived.
    Answered,
}

/// Which older answer a read gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Older {
    /// The last one that was different.
    Previous,
    /// The first one.
    First,
    /// The so-manieth different one, from 0.
    Number(usize),
}

/// How long a change is hidden.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Span {
    /// So many looks.
    Looks(u32),
    /// Until the next change cancels it.
    Next,
}

/// One disturbance. Numbers are those of the undisturbed run, from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Disturbance {
    /// The process dies at a write, and another one begins.
    Crash { write: usize, moment: Moment },
    /// A read gets an older answer.
    Stale { read: usize, older: Older },
    /// What others did, cloud or files, is not seen at first.
    Missed { change: usize, span: Span },
}

/// What a run is disturbed by, in order of time.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Plan(pub(crate) Vec<Disturbance>);

impl fmt::Display for Disturbance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Crash { write, moment } => {
                let moment = match moment {
                    Moment::Before => "before",
                    Moment::Unanswered => "unanswered",
                    Moment::Answered => "answered",
                };
                write!(f, "crash.{write}.{moment}")
            }
            Self::Stale { read, older: Older::Previous } => write!(f, "stale.{read}.previous"),
            Self::Stale { read, older: Older::First } => write!(f, "stale.{read}.first"),
            Self::Stale { read, older: Older::Number(number) } => write!(f, "stale.{read}.{number}"),
            Self::Missed { change, span: Span::Looks(looks) } => write!(f, "missed.{change}.{looks}"),
            Self::Missed { change, span: Span::Next } => write!(f, "missed.{change}.next"),
        }
    }
}

impl FromStr for Disturbance {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = || format!("`{text}` is no disturbance");
        let mut parts = text.split('.');
        let (Some(kind), Some(number), Some(how), None) = (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(wrong());
        };
        let number: usize = number.parse().map_err(|_| wrong())?;
        match (kind, how) {
            ("crash", "before") => Ok(Self::Crash { write: number, moment: Moment::Before }),
            ("crash", "unanswered") => Ok(Self::Crash { write: number, moment: Moment::Unanswered }),
            ("crash", "answered") => Ok(Self::Crash { write: number, moment: Moment::Answered }),
            ("stale", "previous") => Ok(Self::Stale { read: number, older: Older::Previous }),
            ("stale", "first") => Ok(Self::Stale { read: number, older: Older::First }),
            ("stale", how) => {
                let older = how.parse().map(Older::Number).map_err(|_| wrong())?;
                Ok(Self::Stale { read: number, older })
            }
            ("missed", "next") => Ok(Self::Missed { change: number, span: Span::Next }),
            ("missed", how) => {
                let span = how.parse().map(Span::Looks).map_err(|_| wrong())?;
                Ok(Self::Missed { change: number, span })
            }
            _ => Err(wrong()),
        }
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return f.write_str("none");
        }
        let parts: Vec<String> = self.0.iter().map(ToString::to_string).collect();
        f.write_str(&parts.join("+"))
    }
}

impl FromStr for Plan {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text == "none" {
            return Ok(Self::default());
        }
        text.split('+').map(str::parse).collect::<Result<_, _>>().map(Self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plan_is_read_back_from_its_name() {
        for name in ["none", "crash.2.before", "crash.1.unanswered+stale.17.previous", "missed.1.next+stale.3.first"] {
            assert_eq!(name.parse::<Plan>().unwrap().to_string(), name);
        }
        for wrong in ["", "crash.2", "crash.x.before", "stale.1.2.3", "other.1.2"] {
            assert!(wrong.parse::<Plan>().is_err(), "{wrong}");
        }
    }
}
