//! What Azure Policy would do to a write of ours, told before it is sent.
//!
//! Only certainty bars: a rule of a form that is not judged here, or one that looks at what has not been read, is a
//! warning, and Azure's refusal is the last word. Rules that look neither at the property a write changes nor at tags, which
//! are not read, are left to that last word without a warning, for there are hundreds of them in large tenants.
//!
//! Sources: MicrosoftDocs/azure-docs `articles/governance/policy/concepts/` `effects.md`, `assignment-structure.md` and
//! `exemption-structure.md`.

mod condition;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::Timestamp;

use crate::action::Action;
use crate::desired::AuthMode;
use crate::id::ArmId;
use crate::reading::Reading;

pub use condition::{PolicyCondition, PolicyTest, PolicyValue};

use condition::Told;

/// Parameters by name, which is compared without case.
pub type PolicyParameters = BTreeMap<String, PolicyValue>;

/// A policy or initiative put on a scope.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PolicyAssignment {
    /// Its id.
    pub id: ArmId,
    /// The policy definition or initiative.
    pub definition: ArmId,
    /// Whether `enforcementMode` lets it do what it says; `DoNotEnforce` only reports.
    pub enforced: bool,
    /// Scopes that are left out.
    pub not_scopes: Vec<ArmId>,
    /// The values of parameters.
    pub parameters: PolicyParameters,
    /// Whether selectors or overrides change what it does, which is not judged here.
    pub altered: bool,
    /// The effects that overrides put in place of the policies' own, for which of them is not judged.
    pub overrides: Vec<PolicyValue>,
}

/// An exemption from an assignment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PolicyExemption {
    /// Its id.
    pub id: ArmId,
    /// What is exempted.
    pub scope: ArmId,
    /// From which assignment.
    pub assignment: ArmId,
    /// From which policies of an initiative; empty means all.
    pub references: BTreeSet<String>,
    /// When it ends, if it does.
    pub expires: Option<Timestamp>,
    /// Whether selectors narrow it, which is not judged here.
    pub altered: bool,
}

/// A policy definition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PolicyDefinition {
    /// The name for people.
    pub name: String,
    /// Defaults of its parameters.
    pub defaults: PolicyParameters,
    /// The rule's `if`.
    pub condition: PolicyCondition,
    /// The rule's effect.
    pub effect: PolicyValue,
    /// What `modify` and `append` set: field and value; unclear where more than plain setting is asked.
    pub sets: Vec<(String, PolicyValue)>,
    /// Whether `denyAction` is about deleting.
    pub bars_delete: bool,
}

/// An initiative.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PolicySet {
    /// Defaults of its parameters.
    pub defaults: PolicyParameters,
    /// Its policies.
    pub members: Vec<PolicyMember>,
}

/// One policy of an initiative.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PolicyMember {
    /// How exemptions name it.
    pub reference: String,
    /// The definition.
    pub definition: ArmId,
    /// The values of its parameters, which may name the initiative's.
    pub parameters: PolicyParameters,
}

/// All that applies at one scope.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policies {
    /// The assignments at the scope and above.
    pub assignments: Vec<PolicyAssignment>,
    /// The exemptions at the scope and above.
    pub exemptions: Reading<Vec<PolicyExemption>>,
    /// The initiatives among them.
    pub sets: BTreeMap<ArmId, Reading<Arc<PolicySet>>>,
    /// The definitions of all.
    pub definitions: BTreeMap<ArmId, Reading<Arc<PolicyDefinition>>>,
}

/// What one policy says of a write.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum PolicyWord {
    /// It refuses it, or changes its value.
    Bars(String),
    /// It may.
    MayBar(String),
    /// It would, if it were enforced or there were no exemption.
    Spares(String),
}

/// A write as policies see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PolicyTarget {
    id: ArmId,
    kind: &'static str,
    /// The field that the write is about, and its value; deleting has none.
    change: Option<(&'static str, String)>,
    more: BTreeMap<&'static str, String>,
    deletes: bool,
}

const ACCOUNT: &str = "Microsoft.Storage/storageAccounts";
const WORKSPACE: &str = "Microsoft.MachineLearningServices/workspaces";

/// Whether an id is that of an initiative.
#[must_use]
pub fn is_set(definition: &ArmId) -> bool {
    definition.folded().contains("/policysetdefinitions/")
}

impl PolicyTarget {
    /// What policies see of an action.
    #[must_use]
    pub fn of(action: &Action) -> Self {
        const ASSIGNMENT: &str = "Microsoft.Authorization/roleAssignments";
        match action {
            Action::SetSharedKeyAccess { account, allowed } => Self {
                id: account.arm().clone(),
                kind: ACCOUNT,
                change: Some(("Microsoft.Storage/storageAccounts/allowSharedKeyAccess", allowed.to_string())),
                more: BTreeMap::new(),
                deletes: false,
            },
            Action::SetAuthMode { workspace, mode } => Self {
                id: workspace.arm().clone(),
                kind: WORKSPACE,
                change: Some((
                    "Microsoft.MachineLearningServices/workspaces/systemDatastoresAuthMode",
                    match mode {
                        AuthMode::Identity => "Identity".to_owned(),
                        AuthMode::AccessKey => "AccessKey".to_owned(),
                    },
                )),
                more: BTreeMap::new(),
                deletes: false,
            },
            // No alias of a datastore's credentials is known, so only its type and id are compared.
            Action::SetDatastoreCredential { workspace, name, .. }
            | Action::CreateDatastore { workspace, name, .. } => Self {
                id: ArmId::parse(&format!("{workspace}/datastores/{name}")).unwrap_or_else(|_| workspace.arm().clone()),
                kind: "Microsoft.MachineLearningServices/workspaces/datastores",
                change: None,
                more: BTreeMap::new(),
                deletes: false,
            },
            Action::CreateWorkspace { workspace, create: _ } => Self {
                id: workspace.arm().clone(),
                kind: WORKSPACE,
                change: Some((
                    "Microsoft.MachineLearningServices/workspaces/systemDatastoresAuthMode",
                    "Identity".to_owned(),
                )),
                more: BTreeMap::new(),
                deletes: false,
            },
            Action::GrantRole(grant) => Self {
                id: grant.id(),
                kind: ASSIGNMENT,
                change: Some((
                    "Microsoft.Authorization/roleAssignments/roleDefinitionId",
                    format!("/providers/Microsoft.Authorization/roleDefinitions/{}", grant.role),
                )),
                more: BTreeMap::from([
                    ("Microsoft.Authorization/roleAssignments/principalId", grant.principal.to_string()),
                    (
                        "Microsoft.Authorization/roleAssignments/principalType",
                        grant.principal_type.as_wire().to_owned(),
                    ),
                ]),
                deletes: false,
            },
            Action::RevokeRole { assignment, .. } => {
                Self { id: assignment.clone(), kind: ASSIGNMENT, change: None, more: BTreeMap::new(), deletes: true }
            }
            Action::ResyncWorkspaceKeys { workspace } => Self {
                id: workspace.arm().clone(),
                kind: WORKSPACE,
                change: None,
                more: BTreeMap::new(),
                deletes: false,
            },
        }
    }

    /// Whether what is written can have tags.
    ///
    /// Source: Azure/azure-rest-api-specs, the models `StorageAccount` and `Workspace`, which have `tags`.
    fn has_tags(&self) -> bool {
        matches!(self.kind, WORKSPACE | ACCOUNT)
    }

    fn told(&self, field: &str) -> Told<'_> {
        if field.eq_ignore_ascii_case("type") {
            return Told::Is(self.kind);
        }
        if field.eq_ignore_ascii_case("id") {
            return Told::Is(self.id.as_str());
        }
        if field.eq_ignore_ascii_case("name") {
            return Told::Is(self.id.name());
        }
        let more = self.more.iter().map(|(name, value)| (*name, value));
        let mut known = self.change.iter().map(|(name, value)| (*name, value)).chain(more);
        known.find(|(name, _)| field.eq_ignore_ascii_case(name)).map_or(Told::Anything, |(_, value)| Told::Is(value))
    }
}

impl Policies {
    /// What the policies say of a write, sorted; those that pass it say nothing.
    #[must_use]
    pub fn judge(&self, target: &PolicyTarget, now: Timestamp) -> BTreeSet<PolicyWord> {
        let mut words = BTreeSet::new();
        for assignment in &self.assignments {
            if assignment.not_scopes.iter().any(|scope| scope.covers(&target.id)) {
                continue;
            }
            if !is_set(&assignment.definition) {
                let parameter = |value: &PolicyValue| value.clone();
                words.extend(self.one(
                    assignment,
                    "",
                    &assignment.definition,
                    &assignment.parameters,
                    &parameter,
                    target,
                    now,
                ));
                continue;
            }
            match self.sets.get(&assignment.definition) {
                Some(Reading::Known { value: set, .. }) => {
                    let parameter = |value: &PolicyValue| given(value, &assignment.parameters, &set.defaults);
                    for PolicyMember { reference, definition, parameters } in &set.members {
                        words.extend(self.one(assignment, reference, definition, parameters, &parameter, target, now));
                    }
                }
                unread => {
                    words.extend(unreadable(assignment, &assignment.definition, unread.and_then(Reading::failure)))
                }
            }
        }
        words
    }

    fn one(
        &self,
        assignment: &PolicyAssignment,
        reference: &str,
        definition: &ArmId,
        parameters: &PolicyParameters,
        outer: &impl Fn(&PolicyValue) -> PolicyValue,
        target: &PolicyTarget,
        now: Timestamp,
    ) -> Option<PolicyWord> {
        let rule = match self.definitions.get(definition) {
            Some(Reading::Known { value, .. }) => value,
            unread => return unreadable(assignment, definition, unread.and_then(Reading::failure)),
        };
        let value = |value: &PolicyValue| match given(value, parameters, &rule.defaults) {
            from_outside @ PolicyValue::Parameter(_) => outer(&from_outside),
            plain => plain,
        };
        let held = rule.condition.holds(&|field: &str| target.told(field), &value);
        if held == Some(false) {
            return None;
        }
        let mut effects = std::iter::once(value(&rule.effect)).chain(assignment.overrides.iter().cloned());
        let (sure, does) = effects.find_map(|effect| self.effect(rule, &effect, &value, target))?;
        let looks_at_it = target.change.as_ref().is_none_or(|(field, _)| {
            rule.condition.mentions(&|text| names(text, field))
                || rule.sets.iter().any(|(set, _)| set.eq_ignore_ascii_case(field))
        });
        let sure = sure && held == Some(true);
        let does = match sure || looks_at_it {
            true => does,
            false if target.has_tags() && rule.condition.mentions(&names_tags) => {
                format!("{does}, by `tags`, which keyless does not read")
            }
            false => return None,
        };
        let who = format!("policy `{}`, assigned as {},", rule.name, assignment.id);
        if !assignment.enforced {
            return Some(PolicyWord::Spares(format!("{who} {does}, but is not enforced")));
        }
        let exemptions = match &self.exemptions {
            Reading::Known { value, .. } => value.as_slice(),
            Reading::NotRead | Reading::Unknown { .. } => {
                return Some(PolicyWord::MayBar(format!(
                    "{who} {does}, unless an exemption that cannot be read spares it"
                )));
            }
        };
        let spared = exemptions.iter().find(|exemption| {
            exemption.assignment == assignment.id
                && exemption.scope.covers(&target.id)
                && exemption.expires.is_none_or(|at| now < at)
                && (exemption.references.is_empty()
                    || exemption.references.iter().any(|named| named.eq_ignore_ascii_case(reference)))
        });
        match spared {
            Some(PolicyExemption { id, altered: true, .. }) => {
                Some(PolicyWord::MayBar(format!("{who} {does}, unless the exemption {id} spares it")))
            }
            Some(PolicyExemption { id, expires, .. }) => {
                let until = expires.map(|at| format!(" until {at}")).unwrap_or_default();
                Some(PolicyWord::Spares(format!("{who} {does}, but the exemption {id} spares it{until}")))
            }
            None if sure && !assignment.altered => Some(PolicyWord::Bars(format!("{who} {does}"))),
            None => Some(PolicyWord::MayBar(format!("{who} may do so: {does}"))),
        }
    }

    /// What the effect does to the write, and whether that is sure; nothing for effects that only report or act later.
    fn effect(
        &self,
        rule: &PolicyDefinition,
        effect: &PolicyValue,
        value: &impl Fn(&PolicyValue) -> PolicyValue,
        target: &PolicyTarget,
    ) -> Option<(bool, String)> {
        let PolicyValue::Word(effect) = effect else {
            return Some((false, "its effect cannot be told".to_owned()));
        };
        let effect = effect.to_ascii_lowercase();
        match (effect.as_str(), &target.change) {
            ("deny", Some((field, wanted))) => Some((true, format!("refuses `{}` = `{wanted}`", short(field)))),
            ("denyaction", None) => {
                (rule.bars_delete && target.deletes).then(|| (true, "refuses the deletion".to_owned()))
            }
            ("modify" | "append", Some((field, wanted))) => {
                let (_, forced) = rule.sets.iter().find(|(set, _)| {
                    // The last segment of an alias for an array is `[*]`; none of the fields here is one.
                    set.eq_ignore_ascii_case(field)
                })?;
                match value(forced) {
                    PolicyValue::Word(forced) if forced.eq_ignore_ascii_case(wanted) => None,
                    PolicyValue::Word(forced) => Some((true, format!("sets `{}` to `{forced}`", short(field)))),
                    _ => Some((false, format!("sets `{}`", short(field)))),
                }
            }
            _ => None,
        }
    }
}

fn unreadable(assignment: &PolicyAssignment, definition: &ArmId, why: Option<&str>) -> Option<PolicyWord> {
    if !assignment.enforced {
        return None;
    }
    let why = why.unwrap_or("Azure says it does not exist");
    Some(PolicyWord::MayBar(format!(
        "the policy {definition}, assigned as {}, could not be read: {why}",
        assignment.id
    )))
}

/// The value itself, or that of the parameter it names: the one given, else the default.
fn given(value: &PolicyValue, parameters: &PolicyParameters, defaults: &PolicyParameters) -> PolicyValue {
    let PolicyValue::Parameter(name) = value else { return value.clone() };
    let find = |list: &PolicyParameters| {
        list.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value.clone())
    };
    find(parameters).or_else(|| find(defaults)).unwrap_or(PolicyValue::Unclear)
}

/// Whether a text of a rule, which may be an expression that puts the name together, names the field by its last part.
fn names(text: &str, field: &str) -> bool {
    text.to_ascii_lowercase().contains(&short(field).to_ascii_lowercase())
}

/// Whether a text of a rule names tags: `tags`, `tags.name`, `tags['name']`, or such a name in an expression.
fn names_tags(text: &str) -> bool {
    let text = text.to_ascii_lowercase();
    let ends = |(at, word): (usize, &str)| {
        let before = text.get(..at).and_then(|before| before.chars().next_back());
        let after = text.get(at + word.len()..).and_then(|after| after.chars().next());
        let part = |c: Option<char>| c.is_some_and(|c| c.is_ascii_alphanumeric() || c == '_' || c == '/');
        !part(before) && !part(after)
    };
    text.match_indices("tags").any(ends)
}

fn short(field: &str) -> &str {
    field.rsplit('/').next().unwrap_or(field)
}

#[cfg(test)]
mod tests;
