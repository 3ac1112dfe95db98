//! Whether a principal can do at the account what a role stands for, judged by data actions and age, not by role names.
//!
//! [`judge`] answers with the whole way: which assignments, through which groups, at which scopes, since when they count,
//! what is missing and which denials stand against it. [`cover`] and [`effective_cover`] are the short answers that plans
//! rest on.
//!
//! Unknown is not absent: while an assignment, a definition or a membership that might matter could not be read, the
//! answer is [`Cover::Unknown`]. A grant with a condition satisfies only a need that asks for just that condition.

mod cover;
mod denial;
mod evidence;
mod judge;
mod orphan;
mod path;
mod pattern;
mod question;

pub use cover::Cover;
pub use denial::{Denial, Hit};
pub use evidence::Evidence;
pub use judge::{Answer, cover, direct_cover, effective_cover, judge, judge_service, service_cover, service_granted};
pub use orphan::{Orphan, orphans};
pub use path::{Path, Trust};
pub use pattern::{allows, allows_control, matches};
pub use question::Question;
