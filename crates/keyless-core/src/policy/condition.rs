//! The conditions of policy rules, as far as they can be judged here: three answers, of which "cannot be told" is one.
//!
//! Source: MicrosoftDocs/azure-docs `articles/governance/policy/concepts/definition-structure.md`, "Policy rule".

use crate::access;

/// A value in a rule, a parameter or a default.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PolicyValue {
    /// One word; numbers and booleans are words too.
    Word(String),
    /// A list of words.
    Words(Vec<String>),
    /// The value of the parameter of this name.
    Parameter(String),
    /// An expression or a form that is not judged here.
    Unclear,
}

/// What a rule asks of one field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PolicyTest {
    /// `equals`
    Equals,
    /// `in`
    In,
    /// `contains`
    Contains,
    /// `like`, with `*` for any run of characters
    Like,
    /// `exists`
    Exists,
}

/// A rule's `if`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PolicyCondition {
    /// `allOf`
    All(Vec<PolicyCondition>),
    /// `anyOf`
    Any(Vec<PolicyCondition>),
    /// `not`, and the operators that begin with `not`
    Not(Box<PolicyCondition>),
    /// One field and what is asked of it.
    Field {
        /// The field or alias.
        field: String,
        /// What is asked.
        test: PolicyTest,
        /// With what it is compared.
        value: PolicyValue,
    },
    /// A form that is not judged here, by all texts in it: fields are named there, in template expressions too.
    Unclear(Vec<String>),
}

/// What is known of a field of the resource that a policy looks at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Told<'a> {
    /// It has this value.
    Is(&'a str),
    /// It may have any value, or none.
    Anything,
}

impl PolicyCondition {
    /// Whether the condition holds; `None` where that cannot be told.
    pub(crate) fn holds<'a>(
        &self,
        told: &impl Fn(&str) -> Told<'a>,
        parameter: &impl Fn(&PolicyValue) -> PolicyValue,
    ) -> Option<bool> {
        match self {
            Self::All(parts) => all(parts.iter().map(|part| part.holds(told, parameter))),
            // De Morgan: any part holds unless all parts fail.
            Self::Any(parts) => all(parts.iter().map(|part| part.holds(told, parameter).map(|held| !held))).map(|n| !n),
            Self::Not(part) => part.holds(told, parameter).map(|held| !held),
            Self::Unclear(_) => None,
            Self::Field { field, test, value } => {
                let Told::Is(is) = told(field) else { return None };
                compare(*test, is, &parameter(value))
            }
        }
    }

    /// Whether the condition names such a field anywhere, be it in a form that is not judged.
    pub(crate) fn mentions(&self, names: &impl Fn(&str) -> bool) -> bool {
        match self {
            Self::All(parts) | Self::Any(parts) => parts.iter().any(|part| part.mentions(names)),
            Self::Not(part) => part.mentions(names),
            Self::Field { field, .. } => names(field),
            Self::Unclear(texts) => texts.iter().any(|text| names(text)),
        }
    }
}

fn all(parts: impl Iterator<Item = Option<bool>>) -> Option<bool> {
    let mut sure = Some(true);
    for part in parts {
        match part {
            Some(true) => {}
            Some(false) => return Some(false),
            None => sure = None,
        }
    }
    sure
}

fn compare(test: PolicyTest, is: &str, value: &PolicyValue) -> Option<bool> {
    match (test, value) {
        (PolicyTest::Equals, PolicyValue::Word(word)) => Some(is.eq_ignore_ascii_case(word)),
        (PolicyTest::In, PolicyValue::Words(words)) => Some(words.iter().any(|word| is.eq_ignore_ascii_case(word))),
        (PolicyTest::Contains, PolicyValue::Word(word)) => {
            Some(is.to_ascii_lowercase().contains(&word.to_ascii_lowercase()))
        }
        (PolicyTest::Like, PolicyValue::Word(word)) => Some(access::matches(word, is)),
        (PolicyTest::Exists, PolicyValue::Word(word)) => {
            if word.eq_ignore_ascii_case("true") {
                Some(true)
            } else {
                word.eq_ignore_ascii_case("false").then_some(false)
            }
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn field(field: &str, test: PolicyTest, word: &str) -> PolicyCondition {
        PolicyCondition::Field { field: field.to_owned(), test, value: PolicyValue::Word(word.to_owned()) }
    }

    #[test]
    fn what_cannot_be_told_is_neither_true_nor_false_unless_another_part_decides() {
        let told =
            |name: &str| if name == "type" { Told::Is("Microsoft.Storage/storageAccounts") } else { Told::Anything };
        let holds = |condition: &PolicyCondition| condition.holds(&told, &Clone::clone);
        let yes = field("type", PolicyTest::Equals, "microsoft.storage/storageaccounts");
        let no = field("type", PolicyTest::Like, "Microsoft.Compute/*");
        let open = field("tags.owner", PolicyTest::Exists, "false");
        for (parts, all, any) in [
            (vec![yes.clone(), yes.clone()], Some(true), Some(true)),
            (vec![yes.clone(), open.clone()], None, Some(true)),
            (vec![no.clone(), open.clone()], Some(false), None),
            (vec![no.clone(), no.clone()], Some(false), Some(false)),
            (vec![open.clone(), PolicyCondition::Unclear(Vec::new())], None, None),
        ] {
            assert_eq!(holds(&PolicyCondition::All(parts.clone())), all, "{parts:?}");
            assert_eq!(holds(&PolicyCondition::Any(parts.clone())), any, "{parts:?}");
            let not = PolicyCondition::Not(Box::new(PolicyCondition::All(parts)));
            assert_eq!(holds(&not), all.map(|held| !held));
        }
        assert_eq!(holds(&field("type", PolicyTest::Contains, "STORAGE/")), Some(true));
        assert_eq!(holds(&field("type", PolicyTest::Exists, "true")), Some(true));
        assert_eq!(holds(&field("type", PolicyTest::Exists, "perhaps")), None);
        assert_eq!(holds(&field("type", PolicyTest::In, "one word is no list")), None);
    }
}
