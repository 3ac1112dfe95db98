//! Texts of files in, a checked [`Desired`] out; every problem of every file in one run.
//!
//! Pure: whoever reads the files hands their bytes over, and what could not be read as a [`SourceFile`] of its own, so
//! that it is reported beside the rest. A file goes through four steps, each in a module of its own: cut into documents
//! (`source`), parsed into a tree that knows its places (`node`), decoded into the objects people write (`wire`,
//! `kinds`), and resolved across all files (`resolve`). No step stops at its first problem, and what a step could make
//! sense of is still checked by the next.
//!
//! The JSON Schemas come from the same declarations as the decoder, so the two cannot disagree on a field.

mod across;
mod check;
mod condition;
mod count;
mod datastores;
mod documents;
mod evidence;
mod hint;
pub mod import;
mod kinds;
mod needs;
mod node;
mod problem;
mod resolve;
mod scalar;
mod schema;
mod source;
mod wire;
pub mod write;

use crate::desired::Desired;

pub use self::documents::Kind;
pub use self::problem::Problem;
pub use self::schema::{schema, schema_all};
pub use self::source::{MAX_FILE_BYTES, SourceFile};

/// The `apiVersion` of every document.
pub const API_VERSION: &str = "keyless.dev/v1";

/// A desired state without a problem.
#[derive(Debug, Clone)]
pub struct Accepted {
    /// What the files ask for.
    pub desired: Desired,
    /// What is allowed, but probably not meant.
    pub warnings: Vec<Problem>,
}

/// Why the files are not a desired state.
#[derive(Debug, Clone, thiserror::Error)]
#[error("the desired state has {} problem{}", .problems.len(), if .problems.len() == 1 { "" } else { "s" })]
pub struct Rejected {
    /// Every problem, ordered by file and place; never empty.
    pub problems: Vec<Problem>,
    /// What is allowed, but probably not meant.
    pub warnings: Vec<Problem>,
}

/// Reads the texts of all files below `root` as one desired state.
///
/// The result does not depend on the order of `files`. `root` is only used to name the place when nothing was found.
///
/// # Errors
/// [`Rejected`] with every problem of every file.
pub fn load(root: &str, files: &[SourceFile]) -> Result<Accepted, Rejected> {
    let mut report = problem::Report::default();
    if files.is_empty() {
        report.problem(
            source::whole_file(root),
            "there is no desired state: no YAML or JSON file was found",
            Some("point at the directory or file that holds the documents".to_owned()),
        );
    }
    let mut sorted: Vec<&SourceFile> = files.iter().collect();
    sorted.sort();
    let mut collected = documents::Documents::default();
    for file in sorted {
        documents::read_file(file, &mut collected, &mut report);
    }
    if collected.is_empty() && !files.is_empty() && report.is_clean() {
        // Read as an answer, this would silently stop managing everything: a truncated checkout is likelier.
        report.problem(
            source::whole_file(root),
            "there is no desired state: no file holds a document",
            Some("a `Fleet` document alone is enough to say that nothing is managed".to_owned()),
        );
    }
    let desired = resolve::resolve(&collected, &mut report);
    let (problems, warnings) = report.into_sorted();
    match desired {
        Some(desired) if problems.is_empty() => Ok(Accepted { desired, warnings }),
        _ => Err(Rejected { problems, warnings }),
    }
}
