//! How large a table may grow: joins multiply rows, and text can be put together with itself.

use serde_json::Value;

use super::QueryError;
use super::scalar::Val;

/// What all values of one table may come to, in bytes. The service has a limit of its own, of which no number is
/// published; design decision.
const MOST: usize = 128 << 20;
/// What one value takes beside its text.
const OVERHEAD: usize = 32;

/// How much of a table that is being made may still be added.
pub(super) struct Room {
    left: usize,
}

impl Room {
    pub(super) fn new() -> Self {
        Self { left: MOST }
    }

    /// Takes the place of a row, or ends the query.
    pub(super) fn take(&mut self, row: &[Val]) -> Result<(), QueryError> {
        for value in row {
            let left = self.left.checked_sub(size(value));
            self.left = left.ok_or_else(|| QueryError::unsupported(format!("A table of more than {MOST} bytes")))?;
        }
        Ok(())
    }
}

fn size(value: &Val) -> usize {
    OVERHEAD
        + match value {
            Val::Text(text) => text.len(),
            Val::Dynamic(value) => json_size(value),
            Val::Null | Val::Bool(_) | Val::Long(_) | Val::Real(_) => 0,
        }
}

fn json_size(value: &Value) -> usize {
    match value {
        Value::String(text) => text.len(),
        Value::Array(items) => items.iter().map(|item| OVERHEAD + json_size(item)).sum(),
        Value::Object(fields) => fields.iter().map(|(name, field)| 2 * OVERHEAD + name.len() + json_size(field)).sum(),
        Value::Null | Value::Bool(_) | Value::Number(_) => 0,
    }
}
