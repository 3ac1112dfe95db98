//! From a principal to the answer, by the judgement that plans rest on.

use std::collections::{BTreeMap, BTreeSet};

use crate::access::{self, Answer, Cover, Denial, Orphan, Question};
use crate::action::is_own_name;
use crate::catalog::{self, CatalogRole, LEVELS, ROLES, SCENARIOS};
use crate::desired::{Because, KeyDesired, Need, PrincipalRef};
use crate::gate::ReadSet;
use crate::id::{PrincipalId, RoleId, WorkspaceId};
use crate::observed::{Eligibility, History, Observed, ObservedAuthMode, Permission, PrincipalType, Reading};
use crate::plan::needs::{self, Resolved};

use super::answer::{Eligible, NeedWhy, Route, Verdict, Why, Word};
use super::find::Found;

pub(super) fn answer(
    desired: &KeyDesired,
    observed: &Observed,
    workspace: &WorkspaceId,
    found: Found,
    history: &History,
) -> Why {
    let mode = observed
        .workspaces
        .get(workspace)
        .and_then(|entry| entry.workspace.value()?.as_ref())
        .map(|own| own.auth_mode.clone());
    let is_broken = observed.key_is_off() && mode.as_ref().is_some_and(ObservedAuthMode::is_key);
    let is_declared = matches!(found, Found::Declared(..));
    let mut judge = Judge { desired, observed, workspace, is_declared, history, wants: ReadSet::default() };
    let (principal, needs, words) = match found {
        Found::Declared(principal, needs) | Found::Service(principal, needs) => {
            let needs = needs.iter().flat_map(|(need, holders)| judge.declared(need, holders)).collect();
            (principal.to_string(), needs, Vec::new())
        }
        Found::Other(id, kind) => {
            let needs: Vec<NeedWhy> = ROLES.iter().map(|role| judge.of_catalog(role, id, kind)).collect();
            let words = words(&needs);
            (id.to_string(), needs, words)
        }
    };
    Why {
        workspace: workspace.clone(),
        account: desired.account_id.clone(),
        mode,
        is_broken,
        principal,
        is_declared,
        at: observed.now,
        needs,
        words,
        wants: judge.wants,
    }
}

/// Every level and scenario with the roles it stands for, each word once.
fn catalog_words() -> BTreeMap<Because, BTreeSet<RoleId>> {
    let mut words: BTreeMap<Because, BTreeSet<RoleId>> = BTreeMap::new();
    for level in LEVELS {
        words.entry(Because::Level(level.name)).or_default().extend(level.roles);
    }
    for scenario in SCENARIOS {
        words.entry(Because::Scenario(scenario.name)).or_default().extend(scenario.roles);
    }
    words
}

fn words(needs: &[NeedWhy]) -> Vec<Word> {
    let effective = |role: &RoleId| {
        needs.iter().find(|need| need.role == *role).and_then(|need| need.verdict.is_effective()) //
    };
    let all = |roles: BTreeSet<RoleId>| {
        let found: BTreeSet<Option<bool>> = roles.iter().map(effective).collect();
        match (found.contains(&Some(false)), found.contains(&None)) {
            (true, _) => Some(false),
            (false, true) => None,
            (false, false) => Some(true),
        }
    };
    catalog_words().into_iter().map(|(name, roles)| Word { name: name.to_string(), is_effective: all(roles) }).collect()
}

/// What lifts these denials, of which there are some.
fn end_of(denials: &[Denial]) -> String {
    let names: BTreeSet<String> = denials.iter().map(|by| format!("`{}`", by.name)).collect();
    match names.len() {
        0 | 1 => format!("an exclusion in the deny assignment {}, or its end", names.into_iter().collect::<String>()),
        _ => {
            let names = names.into_iter().collect::<Vec<_>>().join(", ");
            format!("an exclusion in each of the deny assignments {names}, or their end")
        }
    }
}

struct Judge<'a> {
    desired: &'a KeyDesired,
    observed: &'a Observed,
    workspace: &'a WorkspaceId,
    is_declared: bool,
    /// What is really remembered.
    history: &'a History,
    wants: ReadSet,
}

impl Judge<'_> {
    fn declared(&mut self, need: &Need, holders: &Resolved) -> Vec<NeedWhy> {
        let Some(role) = catalog::find_role(need.role) else { return Vec::new() };
        let (verdict, lift) = match holders {
            Resolved::Known(holders) => {
                return holders
                    .iter()
                    .map(|(principal, kind)| {
                        let condition = need.condition.as_deref();
                        let question = Question { principal: *principal, kind: Some(*kind), role, condition };
                        let because = need.because.clone();
                        let was_made_again = !matches!(need.principal, PrincipalRef::Object { .. });
                        self.judged(&question, because, was_made_again)
                    })
                    .collect();
            }
            Resolved::Missing(why) => {
                (Verdict::NoPrincipal { why: why.clone() }, Some("a document that names one that exists".to_owned()))
            }
            Resolved::Unknown(why, cause) => (Verdict::Unknown { why: why.clone() }, cause.lift.clone()),
            Resolved::NotRead(reads) => {
                self.wants.add((**reads).clone());
                (Verdict::Unknown { why: "not read".to_owned() }, None)
            }
        };
        vec![NeedWhy {
            role: role.id,
            condition: need.condition.clone(),
            because: need.because.clone(),
            principal: None,
            kind: None,
            verdict,
            routes: Vec::new(),
            missing: role.data_actions.to_vec(),
            denials: Vec::new(),
            eligible: Vec::new(),
            eligible_unknown: None,
            orphans: Vec::new(),
            lift,
        }]
    }

    fn of_catalog(&mut self, role: &'static CatalogRole, id: PrincipalId, kind: Option<PrincipalType>) -> NeedWhy {
        let asking = catalog_words().into_iter().filter(|(_, roles)| roles.contains(&role.id));
        let because = asking.map(|(name, _)| name).collect();
        self.judged(&Question { principal: id, kind, role, condition: None }, because, false)
    }

    fn judged(&mut self, question: &Question<'_>, because: BTreeSet<Because>, was_made_again: bool) -> NeedWhy {
        let (observed, waits) = (self.observed, &self.desired.fleet.waits);
        // As the gate judges it: the service grants to the identity itself, and in some workspaces under a condition.
        let is_service = because.contains(&Because::ServiceGrants);
        let answer = if is_service {
            let own = needs::own(self.workspace, observed).ok().and_then(needs::own_containers);
            access::judge_service(question, own, observed, waits)
        } else {
            access::judge(question, observed, waits)
        };
        let (verdict, lift) = self.verdict(question, &answer, is_service);
        let fails = matches!(verdict, Verdict::Missing | Verdict::Conditioned);
        let (eligible, eligible_unknown) =
            if fails { self.eligible(question, &answer.missing) } else { (Vec::new(), None) };
        let orphans = if fails && was_made_again { self.orphans(question.role.id) } else { Vec::new() };
        let lift = match eligible.iter().find(|eligible| eligible.is_enough != Some(false)) {
            Some(eligible) => {
                let other = lift.map(|lift| format!(", or {lift}")).unwrap_or_default();
                Some(format!("activation of {}{other}", eligible.role))
            }
            None => lift,
        };
        let lift = match lift {
            // With the grant alone it would be denied still.
            Some(lift) if fails && !answer.denials.is_empty() => {
                Some(format!("{lift}; and {}", end_of(&answer.denials)))
            }
            lift => lift,
        };
        let mut routes: Vec<Route> = answer.paths.iter().map(|path| self.route(question, path)).collect();
        routes.sort_by_key(|route| (!route.is_enough, route.gives.is_empty(), route.works_at));
        NeedWhy {
            role: question.role.id,
            condition: question.condition.map(str::to_owned),
            because,
            principal: Some(question.principal),
            kind: question.kind,
            verdict,
            routes,
            missing: answer.missing,
            denials: answer.denials,
            eligible,
            eligible_unknown,
            orphans,
            lift,
        }
    }

    fn verdict(&mut self, question: &Question<'_>, answer: &Answer<'_>, is_service: bool) -> (Verdict, Option<String>) {
        let role = question.role.name;
        let grant = || {
            if is_service {
                return "the service's own grant (re-provisioning), or `serviceGrants: grant` in the file".to_owned();
            }
            let account = self.desired.account_id.name();
            let files = if self.is_declared {
                "keyless makes those that its documents ask for and enforce".to_owned()
            } else {
                format!("an `access` entry in the document of {} asks for it", self.workspace.name())
            };
            format!("a grant of {role} at {account}: {files}")
        };
        match &answer.cover {
            Cover::Covered { works_at: Some(at), .. } if *at > self.observed.now => {
                (Verdict::Young { works_at: *at }, Some("time".to_owned()))
            }
            Cover::Covered { works_at: Some(_), .. } => (Verdict::Effective, None),
            Cover::Covered { works_at: None, .. } => {
                (Verdict::Ageless, Some("a direct grant whose age Azure tells".to_owned()))
            }
            Cover::Missing { conditional: true, .. } => {
                let lift = "a grant without a condition, or `condition` in the access entry if that much is enough";
                (Verdict::Conditioned, Some(lift.to_owned()))
            }
            Cover::Missing { .. } => (Verdict::Missing, Some(grant())),
            Cover::Denied { by } => (Verdict::Denied { certain: by.certain }, Some(end_of(&answer.denials))),
            Cover::Unknown { why, cause } => {
                let lift = cause.lift.clone().unwrap_or_else(|| "a complete read".to_owned());
                (Verdict::Unknown { why: why.clone() }, Some(lift))
            }
            Cover::NotRead(reads) => {
                self.wants.add((**reads).clone());
                (Verdict::Unknown { why: "not read".to_owned() }, None)
            }
        }
    }

    fn route(&self, question: &Question<'_>, path: &access::Path<'_>) -> Route {
        Route {
            assignment: path.assignment.id.clone(),
            scope: path.assignment.scope.clone(),
            role: path.definition.name.clone(),
            through: path.through.map(|group| (group, self.name_of(group))),
            member_since: path
                .through
                .and_then(|group| self.history.member_since.get(&(question.principal, group)).copied()),
            condition: path.assignment.condition.clone(),
            is_own: is_own_name(&self.desired.fleet.owner, path.assignment),
            is_enough: path.is_enough && !path.gives.is_empty(),
            gives: path.gives.clone(),
            holes: path.holes(question.role),
            since: path.trust.since,
            works_at: path.trust.works_at,
        }
    }

    /// What the files call a group.
    fn name_of(&self, group: PrincipalId) -> Option<String> {
        let needs = self.desired.workspaces.values().flat_map(|workspace| &workspace.needs);
        needs.into_iter().find_map(|need| match &need.principal {
            PrincipalRef::Object { id, name, .. } if *id == group => name.clone(),
            _ => None,
        })
    }

    fn eligible(&mut self, question: &Question<'_>, missing: &[&'static str]) -> (Vec<Eligible>, Option<String>) {
        if !question.has_groups() {
            return (Vec::new(), None);
        }
        match self.observed.eligibilities.get(&question.principal) {
            Some(Reading::Known { value, .. }) => {
                let eligible = value.iter().map(|one| self.one_eligible(question, missing, one));
                (eligible.filter(|eligible| eligible.is_enough != Some(false)).collect(), None)
            }
            Some(Reading::Unknown { why, .. }) => (Vec::new(), Some(why.clone())),
            Some(Reading::NotRead) | None => {
                self.wants.eligibilities.insert(question.principal);
                (Vec::new(), None)
            }
        }
    }

    fn one_eligible(&self, question: &Question<'_>, missing: &[&'static str], one: &Eligibility) -> Eligible {
        let of_catalog = || catalog::find_role(one.role).map(|role| vec![catalog::permission_of(role)]);
        let blocks: Option<Vec<Permission>> = match self.observed.roles.get(&one.role) {
            Some(Reading::Known { value, .. }) => Some(value.permissions.clone()),
            Some(Reading::Unknown { .. } | Reading::NotRead) | None => of_catalog(),
        };
        let gives = |blocks: Vec<Permission>| {
            missing.iter().all(|action| blocks.iter().any(|block| access::allows(block, action))) //
        };
        Eligible {
            role: one.role_name.clone().unwrap_or_else(|| catalog::role_name(one.role)),
            scope: one.scope.clone(),
            through: (one.principal != question.principal).then_some(one.principal),
            until: one.until,
            is_enough: blocks.map(gives),
        }
    }

    /// Grants of this role to identities that no document comes to, if it is known whom all of them come to.
    fn orphans(&self, role: RoleId) -> Vec<Orphan> {
        let mut present: BTreeSet<PrincipalId> = BTreeSet::new();
        for declared in self.desired.workspaces.values() {
            let service = needs::service_need(declared);
            for view in needs::views(declared, service.as_ref(), self.observed) {
                let Resolved::Known(holders) = view.holders else { return Vec::new() };
                present.extend(holders.iter().map(|(principal, _)| *principal));
            }
        }
        if !self.desired.unplaced.is_empty() {
            return Vec::new();
        }
        let assignments = self.observed.assignments.value().map(Vec::as_slice).unwrap_or_default();
        let orphans = access::orphans(&self.desired.fleet.owner, assignments, &present);
        orphans.into_iter().filter(|orphan| orphan.role == role).collect()
    }
}
