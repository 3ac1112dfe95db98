//! A job of a workspace.

use keyless_core::observed::ObservedJob;

use super::node::{Node, Result};

/// One job. A status that is missing is kept as none, which is none of an end.
pub(crate) fn job(node: &Node<'_>) -> Result<ObservedJob> {
    let properties = node.object("properties")?;
    let word = |name| Ok(properties.opt_text(name)?.unwrap_or_default().to_owned());
    Ok(ObservedJob { name: node.text("name")?.to_owned(), job_type: word("jobType")?, status: word("status")? })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn read(body: Value) -> Option<ObservedJob> {
        job(&Node::root(&body)).ok()
    }

    #[test]
    fn a_job_whose_status_is_odd_or_missing_is_not_over() {
        let of = |status: Value| {
            read(json!({"name": "j", "properties": {"jobType": "Command", "status": status}}))
                .map(|job| job.has_ended())
        };
        assert_eq!(of(json!("Completed")), Some(true));
        assert_eq!(of(json!("completed")), Some(true));
        assert_eq!(of(json!("Running")), Some(false));
        assert_eq!(of(json!("Archived")), Some(false));
        assert_eq!(of(Value::Null), Some(false));
        assert_eq!(of(json!("")), Some(false));
        assert_eq!(of(json!({"a": 1})), None, "an error, and no job that is over");
        assert_eq!(read(json!({"properties": {"status": "Completed"}})), None);
        assert_eq!(read(json!({"name": "j"})), None);
    }
}
