use super::*;

const MODE: &str = "Microsoft.MachineLearningServices/workspaces/systemDatastoresAuthMode";

fn id(text: &str) -> ArmId {
    ArmId::parse(text).unwrap()
}

fn field(field: &str, test: PolicyTest, word: &str) -> PolicyCondition {
    PolicyCondition::Field { field: field.to_owned(), test, value: PolicyValue::Word(word.to_owned()) }
}

fn unclear(texts: &[&str]) -> PolicyCondition {
    PolicyCondition::Unclear(texts.iter().map(|&text| text.to_owned()).collect())
}

/// One policy, assigned at the subscription.
fn policy(condition: PolicyCondition, effect: &str, overrides: &[&str]) -> Policies {
    let now = Timestamp::UNIX_EPOCH;
    let definition = id("/providers/Microsoft.Authorization/policyDefinitions/d");
    let word = |word: &str| PolicyValue::Word(word.to_owned());
    let rule = PolicyDefinition {
        name: "rule".to_owned(),
        defaults: PolicyParameters::new(),
        condition,
        effect: word(effect),
        sets: Vec::new(),
        bars_delete: false,
    };
    let assignment = PolicyAssignment {
        id: id("/providers/Microsoft.Authorization/policyAssignments/a"),
        definition: definition.clone(),
        enforced: true,
        not_scopes: Vec::new(),
        parameters: PolicyParameters::new(),
        altered: !overrides.is_empty(),
        overrides: overrides.iter().map(|effect| word(effect)).collect(),
    };
    Policies {
        assignments: vec![assignment],
        exemptions: Reading::known(Vec::new(), now),
        sets: BTreeMap::new(),
        definitions: BTreeMap::from([(definition, Reading::known(Arc::new(rule), now))]),
    }
}

fn switch() -> PolicyTarget {
    let id = "/subscriptions/5c0e0001-2222-4000-8000-000000000000/resourceGroups/rg/providers/\
        Microsoft.MachineLearningServices/workspaces/alpha";
    PolicyTarget::of(&Action::SetAuthMode { workspace: id.parse().unwrap(), mode: AuthMode::Identity })
}

fn turn_off() -> PolicyTarget {
    let id = "/subscriptions/5c0e0001-2222-4000-8000-000000000000/resourceGroups/rg/providers/\
        Microsoft.Storage/storageAccounts/plat";
    PolicyTarget::of(&Action::SetSharedKeyAccess { account: id.parse().unwrap(), allowed: false })
}

fn words(policies: &Policies, target: &PolicyTarget) -> Vec<PolicyWord> {
    policies.judge(target, Timestamp::UNIX_EPOCH).into_iter().collect()
}

/// The only word on the switch, which is a warning.
fn warning(policies: &Policies) -> Option<String> {
    match words(policies, &switch()).as_slice() {
        [PolicyWord::MayBar(why)] => Some(why.clone()),
        _ => None,
    }
}

/// The condition, of workspaces.
fn of_workspaces(condition: PolicyCondition) -> PolicyCondition {
    let kind = field("type", PolicyTest::Equals, "Microsoft.MachineLearningServices/workspaces");
    PolicyCondition::All(vec![kind, condition])
}

#[test]
fn a_form_that_is_not_judged_warns_if_it_names_what_is_written() {
    let expression = format!("[toLower(field('{}'))]", MODE.to_uppercase());
    for names in [
        unclear(&[&expression, "identity"]),
        unclear(&["[current()]", MODE]),
        unclear(&["[field(concat('Microsoft.MachineLearningServices/workspaces/', 'systemDatastoresAuthMode'))]"]),
        PolicyCondition::Not(Box::new(PolicyCondition::Any(vec![unclear(&[MODE])]))),
    ] {
        let policies = policy(of_workspaces(names.clone()), "deny", &[]);
        let why = warning(&policies).unwrap_or_else(|| panic!("no warning of {names:?}"));
        assert!(why.contains("`rule`") && why.contains("may") && !why.contains("tags"), "{why}");
        assert_eq!(words(&policies, &turn_off()), [], "another type");
        assert_eq!(words(&policy(of_workspaces(names), "audit", &[]), &switch()), []);
    }
    let other = policy(of_workspaces(unclear(&["[field('location')]", "westeurope"])), "deny", &[]);
    assert_eq!(words(&other, &switch()), [], "hundreds look at something else");
}

#[test]
fn an_override_to_an_effect_that_refuses_warns_and_one_that_only_reports_does_not() {
    let fits = of_workspaces(field(MODE, PolicyTest::Equals, "identity"));
    for (effect, overrides, warns) in [
        ("audit", vec!["Deny"], true),
        ("audit", vec!["Disabled", "Deny"], true),
        ("audit", vec!["Disabled"], false),
        ("deny", vec!["Audit"], true),
    ] {
        let found = words(&policy(fits.clone(), effect, &overrides), &switch());
        assert_eq!(matches!(found.as_slice(), [PolicyWord::MayBar(_)]), warns, "{effect} {overrides:?}: {found:?}");
        assert!(warns || found.is_empty(), "{found:?}");
    }
}

#[test]
fn a_rule_about_tags_warns_where_its_other_conditions_fit() {
    let tag = field("tags.env", PolicyTest::Exists, "false");
    let by_name = unclear(&["[concat('tags[', parameters('tagName'), ']')]", "false"]);
    for tag in [
        tag,
        by_name,
        field("tags['cost centre']", PolicyTest::Equals, "none"),
        field("tags", PolicyTest::Exists, "false"),
    ] {
        for rule in [of_workspaces(tag.clone()), tag.clone()] {
            let policies = policy(rule, "deny", &[]);
            let why = warning(&policies).unwrap_or_else(|| panic!("no warning of {tag:?}"));
            assert!(why.contains("`rule`") && why.contains("by `tags`, which keyless does not read"), "{why}");
        }
        assert_eq!(words(&policy(of_workspaces(tag.clone()), "deny", &[]), &turn_off()), [], "another type");
        assert_eq!(words(&policy(of_workspaces(tag.clone()), "audit", &[]), &switch()), []);
        let revoke = PolicyTarget { kind: "Microsoft.Authorization/roleAssignments", ..switch() };
        assert_eq!(words(&policy(tag, "deny", &[]), &revoke), [], "it has no tags");
    }
    for other in ["Microsoft.Compute/virtualMachines/tagsOfMine", "[parameters('stags')]", "heritages"] {
        assert_eq!(words(&policy(of_workspaces(unclear(&[other])), "deny", &[]), &switch()), [], "{other}");
    }
}
