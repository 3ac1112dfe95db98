//! A setting that somebody sets back again and again, as the process that counts tells the plan.

use std::fmt;

use jiff::Timestamp;

/// Who fights over a setting. Nothing writes to it until it is over.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Fight {
    /// How often it was set back within the period.
    pub reversals: u32,
    /// When it was first set back.
    pub since: Timestamp,
    /// Until when it is left alone, if it is not set back once more.
    pub until: Timestamp,
    /// This side: the owner of the grants, and the identity where its object id is known.
    pub ours: String,
    /// The other side, where the activity log names it.
    pub theirs: Option<String>,
}

impl Fight {
    /// What ends it.
    #[must_use]
    pub fn lift(until: Timestamp) -> String {
        format!(
            "an end to whatever sets it back, and quiet until {until}; or a change of what the documents of this account or \
             `guard: {{fight: …}}` say"
        )
    }
}

impl fmt::Display for Fight {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { reversals, since, until: _, ours, theirs } = self;
        let theirs = theirs.as_deref().unwrap_or("somebody who is unknown so far");
        write!(f, "set by {ours} and set back by {theirs}, {reversals} times since {since}: both sides undo each other")
    }
}
