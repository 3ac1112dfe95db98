//! What the activity log tells of a difference, as it is given to programs.

use keyless_controller::wrote::Wrote;
use keyless_core::attribution::Attribution;
use serde::Serialize;

use super::moment;

/// What the activity log tells of a difference. Whoever is named made the last successful write of the resource.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Written {
    /// The whole of it in words.
    pub written: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub changed_by: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub changed_at: Option<String>,
    /// Whether the log says that this write brought the difference about; left out where nobody is named.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub proven: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub operation: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub correlation_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client: Option<String>,
    /// How many others wrote to it since.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub other_writers: Option<usize>,
    /// `refused`, `throttled`, …, where the log could not be read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unreadable: Option<&'static str>,
}

impl Written {
    pub(super) fn of(wrote: &Wrote) -> Self {
        let words = Self {
            written: wrote.to_string(),
            changed_by: None,
            changed_at: None,
            proven: None,
            operation: None,
            correlation_id: None,
            client: None,
            other_writers: None,
            unreadable: None,
        };
        match wrote {
            Wrote::Last(last) => {
                let Attribution { by, at, operation, correlation_id, client, other_writers, proven } = &last.by;
                Self {
                    changed_by: Some(by.clone()),
                    changed_at: Some(moment(*at)),
                    proven: Some(*proven),
                    operation: Some(operation.clone()),
                    correlation_id: correlation_id.clone(),
                    client: client.clone(),
                    other_writers: Some(*other_writers),
                    ..words
                }
            }
            Wrote::Nobody { since: _ } => words,
            Wrote::Unreadable(failure) => {
                Self { unreadable: Some(failure.cause.class.unwrap_or("unreadable")), ..words }
            }
        }
    }
}
