//! The judgement itself.

use std::collections::BTreeSet;

use uuid::Uuid;

use crate::desired::Waits;
use crate::gate::ReadSet;
use crate::id::PrincipalId;
use crate::observed::{Cause, Observed, PrincipalType, Reading, RoleAssignment};

use super::denial::{Groups, denials};
use super::{Cover, Denial, Evidence, Path, Question, Trust, allows};

/// The whole answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer<'a> {
    /// How it stands.
    pub cover: Cover,
    /// Every grant that reaches the principal at the account, also those that are not enough or give nothing of it.
    pub paths: Vec<Path<'a>>,
    /// The data actions that no sufficient grant gives.
    pub missing: Vec<&'static str>,
    /// The denials that take some of them, those that are known to apply first; empty too while they are not known.
    pub denials: Vec<Denial>,
}

/// Judges one principal's hold on one role's data actions at the observed account, deny assignments left out.
#[must_use]
pub fn cover(question: &Question<'_>, observed: &Observed, waits: &Waits) -> Cover {
    granted(question, observed, waits, Reach::ALL).cover
}

/// As [`cover`], and only grants to the principal itself count.
#[must_use]
pub fn direct_cover(question: &Question<'_>, observed: &Observed, waits: &Waits) -> Cover {
    granted(question, observed, waits, Reach::DIRECT).cover
}

/// As [`effective_cover`], and only grants to the principal itself count, those to the containers of `own` too: that is how
/// the service grants to identities of its own.
#[must_use]
pub fn service_cover(question: &Question<'_>, own: Option<Uuid>, observed: &Observed, waits: &Waits) -> Cover {
    judge_service(question, own, observed, waits).cover
}

/// As [`service_cover`], and tells the whole way.
#[must_use]
pub fn judge_service<'a>(
    question: &Question<'_>,
    own: Option<Uuid>,
    observed: &'a Observed,
    waits: &Waits,
) -> Answer<'a> {
    less_denials(question, observed, service_answer(question, own, observed, waits))
}

/// As [`service_cover`], deny assignments left out.
#[must_use]
pub fn service_granted(question: &Question<'_>, own: Option<Uuid>, observed: &Observed, waits: &Waits) -> Cover {
    service_answer(question, own, observed, waits).cover
}

fn service_answer<'a>(question: &Question<'_>, own: Option<Uuid>, observed: &'a Observed, waits: &Waits) -> Answer<'a> {
    granted(question, observed, waits, Reach { groups: false, own })
}

/// Whether a condition lets at the containers of a workspace: its GUID is in it. Its text no public source tells, but that it
/// names containers which begin with the GUID.
/// Source: MicrosoftDocs/azure-ai-docs `articles/machine-learning/concept-hub-workspace.md`.
fn names_containers_of(own: Uuid, condition: Option<&str>) -> bool {
    let condition = condition.unwrap_or_default().to_ascii_lowercase();
    condition.contains("containers:name")
        && (condition.contains(&own.hyphenated().to_string()) || condition.contains(&own.simple().to_string()))
}

/// As [`cover`], and deny assignments count too.
#[must_use]
pub fn effective_cover(question: &Question<'_>, observed: &Observed, waits: &Waits) -> Cover {
    judge(question, observed, waits).cover
}

/// Judges, and tells the whole way.
#[must_use]
pub fn judge<'a>(question: &Question<'_>, observed: &'a Observed, waits: &Waits) -> Answer<'a> {
    less_denials(question, observed, granted(question, observed, waits, Reach::ALL))
}

/// The answer, with what deny assignments take away.
fn less_denials<'a>(question: &Question<'_>, observed: &Observed, mut answer: Answer<'a>) -> Answer<'a> {
    let groups = groups(question, observed);
    let against = match &observed.denies {
        Reading::NotRead => Err(Cover::NotRead(Box::new(ReadSet { denies: true, ..ReadSet::default() }))),
        Reading::Unknown { why, cause } => {
            Err(Cover::Unknown { why: format!("deny assignments: {why}"), cause: cause.clone() })
        }
        Reading::Known { value, .. } => denials(value, question, groups, observed).map_err(Cover::NotRead),
    };
    let covered = matches!(answer.cover, Cover::Covered { .. });
    match against {
        Ok(denials) => {
            answer.denials = denials;
            if covered && let Some(first) = answer.denials.first() {
                answer.cover = Cover::Denied { by: Box::new(first.clone()) };
            }
        }
        // Without a grant nothing that a denial could take is there.
        Err(undecided) if covered => answer.cover = undecided,
        Err(_) => {}
    }
    answer
}

/// Which grants count.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Reach {
    /// Those to groups of the principal.
    groups: bool,
    /// Those under a condition that names the containers of this workspace.
    own: Option<Uuid>,
}

impl Reach {
    const ALL: Self = Self { groups: true, own: None };
    const DIRECT: Self = Self { groups: false, own: None };
}

fn groups<'a>(question: &Question<'_>, observed: &'a Observed) -> Groups<'a> {
    if !question.has_groups() {
        return Groups::Untold;
    }
    match observed.groups.get(&question.principal) {
        Some(Reading::Known { value, .. }) => Groups::Known(value),
        Some(Reading::Unknown { .. }) => Groups::Untold,
        Some(Reading::NotRead) | None => Groups::NotRead,
    }
}

fn granted<'a>(question: &Question<'_>, observed: &'a Observed, waits: &Waits, reach: Reach) -> Answer<'a> {
    let nothing =
        |cover| Answer { cover, paths: Vec::new(), missing: question.role.data_actions.to_vec(), denials: Vec::new() };
    let assignments = match &observed.assignments {
        Reading::NotRead => {
            return nothing(Cover::NotRead(Box::new(ReadSet { assignments: true, ..ReadSet::default() })));
        }
        Reading::Unknown { why, cause } => {
            return nothing(Cover::Unknown { why: format!("role assignments: {why}"), cause: cause.clone() });
        }
        Reading::Known { value, .. } => value,
    };
    let no_groups = BTreeSet::new();
    let member_of = match groups(question, observed) {
        Groups::Known(groups) if reach.groups => groups,
        _ => &no_groups,
    };
    let account = observed.account_id.arm();
    let at_account = || assignments.iter().filter(|assignment| assignment.scope.covers(account));
    let mut paths: Vec<Path<'a>> = Vec::new();
    let mut unread = None;
    for assignment in at_account() {
        let Some(through) = reached(question.principal, member_of, assignment) else { continue };
        let definition = match observed.roles.get(&assignment.role) {
            Some(Reading::Known { value, .. }) => value,
            Some(Reading::Unknown { why, cause }) => {
                unread = Some((format!("role definition {}: {why}", assignment.role), cause.clone()));
                continue;
            }
            Some(Reading::NotRead) | None => {
                unread = Some((format!("role definition {}: not read", assignment.role), Cause::default()));
                continue;
            }
        };
        let gives: Vec<&'static str> = question
            .role
            .data_actions
            .iter()
            .filter(|action| definition.permissions.iter().any(|block| allows(block, action)))
            .copied()
            .collect();
        let trust = Trust::of(question, assignment, definition, through, observed, waits);
        let condition = assignment.condition.as_deref();
        let is_enough = question.takes(condition) || reach.own.is_some_and(|own| names_containers_of(own, condition));
        paths.push(Path { assignment, definition, through, gives, is_enough, trust });
    }

    let mut trust: Option<Trust> = None; // None: nothing judged yet
    let mut missing = Vec::new();
    let mut conditional = true;
    for &action in question.role.data_actions {
        let giving = || paths.iter().filter(|path| path.gives.contains(&action));
        let best = giving().filter(|path| path.is_enough).map(|path| path.trust).reduce(Trust::earlier);
        match best {
            Some(best) => trust = Some(trust.map_or(best, |so_far| so_far.later(best))),
            None => {
                missing.push(action);
                conditional &= giving().next().is_some();
            }
        }
    }
    let cover = if missing.is_empty() {
        let nothing = Evidence { aged_at: None, reads: 0, of: 0 };
        Cover::Covered {
            works_at: trust.and_then(|trust| trust.works_at),
            evidence: trust.map_or(nothing, |trust| trust.evidence),
        }
    } else if let Some((why, cause)) = unread {
        Cover::Unknown { why, cause }
    } else {
        let candidate = |assignment: &&RoleAssignment| may_help(question, &missing, assignment, observed);
        let undecided = reach.groups && question.has_groups() && at_account().any(|a| candidate(&a));
        match observed.groups.get(&question.principal) {
            Some(Reading::NotRead) | None if undecided => {
                let groups = BTreeSet::from([question.principal]);
                Cover::NotRead(Box::new(ReadSet { groups, ..ReadSet::default() }))
            }
            Some(Reading::Unknown { why, cause }) if undecided => {
                Cover::Unknown { why: format!("groups of {}: {why}", question.principal), cause: cause.clone() }
            }
            _ => {
                let data_actions = missing.iter().map(|&action| action.to_owned()).collect();
                Cover::Missing { data_actions, conditional }
            }
        }
    };
    Answer { cover, paths, missing, denials: Vec::new() }
}

/// Whether an assignment is made to the principal, or to which of its groups.
fn reached(
    principal: PrincipalId,
    member_of: &BTreeSet<PrincipalId>,
    assignment: &RoleAssignment,
) -> Option<Option<PrincipalId>> {
    if assignment.principal == principal {
        return Some(None);
    }
    member_of.contains(&assignment.principal).then_some(Some(assignment.principal))
}

/// Whether the assignment would give something that is missing, were the principal in the group it is made to. Reading the
/// groups costs a request for each principal, so it is asked for only then.
fn may_help(question: &Question<'_>, missing: &[&str], assignment: &RoleAssignment, observed: &Observed) -> bool {
    let may_be_group = match assignment.principal_type {
        None | Some(PrincipalType::Group | PrincipalType::ForeignGroup) => true,
        Some(PrincipalType::User | PrincipalType::ServicePrincipal | PrincipalType::Device) => false,
    };
    let gives = || match observed.roles.get(&assignment.role) {
        Some(Reading::Known { value, .. }) => {
            missing.iter().any(|action| value.permissions.iter().any(|block| allows(block, action)))
        }
        Some(Reading::Unknown { .. } | Reading::NotRead) | None => true,
    };
    assignment.principal != question.principal
        && may_be_group
        && question.takes(assignment.condition.as_deref())
        && gives()
}
