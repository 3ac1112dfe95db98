//! A text of the settings that must never be printed.

use std::fmt;
use std::str::FromStr;

use serde::Deserialize;

/// A secret whose `Debug` hides it and that has no `Display`.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub(crate) struct SecretText(String);

impl SecretText {
    /// The text itself, for the one place that hands it to the client.
    pub(crate) fn expose(&self) -> &str {
        &self.0
    }

    /// A secret read from a file: without the line end that editors put there.
    pub(crate) fn from_file(text: &str) -> Self {
        Self(text.trim_end_matches(['\r', '\n']).to_owned())
    }
}

impl fmt::Debug for SecretText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretText(***)")
    }
}

impl FromStr for SecretText {
    type Err = std::convert::Infallible;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(Self(text.to_owned()))
    }
}
