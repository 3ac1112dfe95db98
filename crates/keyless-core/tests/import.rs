//! The forms that the articles and Azure's clients use, turned into desired state; files of our own making.

use std::path::Path;

use insta::assert_snapshot;
use keyless_core::desired::AuthMode;
use keyless_core::manifest::import::{Facts, import};
use keyless_core::manifest::{self, Problem, SourceFile};

const SUBSCRIPTION: &str = "3f8c1d7a-52b4-4c0e-9d2e-7a1b6c5d4e90";

fn facts(name: Option<&str>) -> Facts {
    Facts {
        subscription: Some(SUBSCRIPTION.parse().unwrap()),
        resource_group: Some("rg-fraud".to_owned()),
        name: name.map(str::to_owned),
    }
}

fn fixture(name: &str) -> SourceFile {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/import").join(name);
    SourceFile::new(name, std::fs::read(path).unwrap())
}

fn lines(problems: &[Problem]) -> String {
    problems.iter().map(|problem| format!("{problem}\n")).collect()
}

/// The documents and the warnings; the documents are a desired state.
fn imported(names: &[&str], facts: &Facts) -> String {
    let files: Vec<SourceFile> = names.iter().map(|name| fixture(name)).collect();
    match import(&files, facts) {
        Ok(imported) => {
            let file = SourceFile::new("imported.yaml", imported.text.as_bytes());
            let accepted = manifest::load("imported.yaml", &[file]).unwrap_or_else(|error| panic!("{error:?}"));
            assert!(accepted.warnings.is_empty(), "{:?}", accepted.warnings);
            format!("{}=== warnings\n{}", imported.text, lines(&imported.warnings))
        }
        Err(refused) => panic!("{}", lines(&refused.problems)),
    }
}

/// The problems of one text.
fn refused(text: &str, facts: &Facts) -> String {
    match import(&[SourceFile::new("f.json", text.as_bytes())], facts) {
        Ok(imported) => panic!("{}", imported.text),
        Err(refused) => lines(&refused.problems),
    }
}

#[test]
fn yaml_of_a_workspace_a_hub_and_a_project() {
    assert_snapshot!(imported(&["workspace.yaml"], &facts(None)));
}

#[test]
fn values_of_parameters_that_are_not_used_are_named() {
    let schema = "https://schema.management.azure.com/schemas/2019-04-01/deploymentParameters.json#";
    let cluster = r#""cluster": {"value": "1c2d3e4f-5a6b-4c7d-8e9f-0a1b2c3d4e5f"}"#;
    let given = format!(
        "{{\"$schema\": \"{schema}\", \"parameters\": {{\n{cluster},\n\"clutser\": {{\"value\": 1}},\n{}}}}}",
        cluster.replace('c', "C").replace("\"Cluster", "\"CLUSTER").replace("Value", "value")
    );
    let files = [fixture("template.json"), SourceFile::new("p.json", given.as_bytes())];
    let warnings = lines(&import(&files, &facts(None)).unwrap().warnings);
    assert!(
        warnings.contains("p.json:3:1: no template here has a parameter `clutser`: its value is not used"),
        "{warnings}"
    );
    assert!(warnings.contains("p.json:4:1: `cluster` is given more than once: this one counts"), "{warnings}");
}

#[test]
fn a_template_with_its_parameters() {
    assert_snapshot!(imported(&["template.json", "parameters.json"], &facts(None)));
}

#[test]
fn bodies_with_ids_need_no_flags() {
    assert_snapshot!(imported(&["bodies.json"], &Facts::default()));
}

#[test]
fn a_bare_body_is_about_whatever_the_flag_names() {
    let text = imported(&["patch.json"], &facts(Some("fraud-ml")));
    assert!(text.contains("workspaces/fraud-ml") && text.contains("authMode: identity"), "{text}");
}

#[test]
fn the_articles_templates_for_the_way_back_are_taken_with_a_word_on_their_order() {
    for (file, kind) in [("hub-revert.json", "fraud-hub"), ("workspace-revert.json", "fraud-ml")] {
        let text = imported(&[file], &facts(Some(kind)));
        assert!(text.contains("authMode: accesskey") && text.contains(kind), "{text}");
        assert!(text.contains("# The articles switch a workspace back first"), "{text}");
        assert!(text.contains("is a placeholder"), "{text}");
    }
}

#[test]
fn grants_without_a_workspace_become_a_profile() {
    assert_snapshot!(imported(&["datastore-readers.json"], &facts(None)));
}

#[test]
fn placeholders_that_matter_are_problems_with_a_place() {
    let text =
        std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/import/workspace-revert.json"));
    let text = text.unwrap();
    assert_snapshot!(refused(&text, &facts(None)));
}

#[test]
fn every_problem_is_told_at_once_with_its_line() {
    let text = r#"{
    "$schema": "https://schema.management.azure.com/schemas/2019-04-01/deploymentTemplate.json#",
    "parameters": {"who": {"type": "string"}, "loop": {"defaultValue": "[parameters('loop')]"}},
    "resources": [
        {"type": "Microsoft.MachineLearningServices/workspaces", "name": "[uniqueString('x')]",
         "properties": {"systemDatastoresAuthMode": "idenity"}},
        {"type": "Microsoft.MachineLearningServices/workspaces", "name": "[parameters('loop')]",
         "properties": {"systemDatastoresAuthMode": "[parameters('nobody')]", "storageAccount": "[reference('x').id]"}},
        {"type": "Microsoft.Storage/storageAccounts", "name": "st", "properties": {"allowSharedKeyAccess": "no"}},
        {"type": "Microsoft.Authorization/roleAssignments", "name": "a",
         "properties": {"roleDefinitionId": "x", "principalId": "[parameters('who')]"}},
        {"type": "Microsoft.Authorization/roleAssignments", "name": "b"},
        {"type": "Microsoft.Resources/deployments", "name": "c", "properties": {}},
        {"copy": {"name": "d", "count": 2}, "type": "Microsoft.Storage/storageAccounts", "name": "d"},
        {"condition": "[equals(1, 2)]", "type": "Microsoft.Storage/storageAccounts", "name": "e"},
        "f"
    ]
}"#;
    assert_snapshot!(refused(text, &facts(None)));
}

#[test]
fn what_the_flags_must_tell_is_named() {
    let text = refused(r#"{"properties": {"systemDatastoresAuthMode": "identity"}}"#, &Facts::default());
    assert!(text.contains("--name"), "{text}");
    let text = refused("storage_account: /x\nname: ws-a\nsystem_datastores_auth_mode: identity\n", &Facts::default());
    assert!(
        text.contains("--subscription") && text.contains("--resource-group") && text.contains("f.json:2:7"),
        "{text}"
    );
}

#[test]
fn two_files_that_do_not_agree_are_a_problem() {
    let one = SourceFile::new("a.yaml", &b"name: ws-a\nsystem_datastores_auth_mode: identity\n"[..]);
    let two = SourceFile::new("b.yaml", &b"name: ws-a\nsystem_datastores_auth_mode: accesskey\n"[..]);
    let refused = import(&[one.clone(), two], &facts(None)).unwrap_err();
    assert!(lines(&refused.problems).contains("is to be accesskey here and identity at a.yaml:1:7"));
    assert!(import(&[one.clone(), one], &facts(None)).is_ok());
}

#[test]
fn other_files_are_not_taken_for_empty_ones() {
    for text in ["a: 1\n", "[]", "{\"resources\": []}", "- 1\n", "{\"properties\": {}}", "just text\n", "\u{7}"] {
        refused(text, &facts(None));
    }
    let own = refused("apiVersion: keyless.dev/v1\nkind: Fleet\nspec: {}\n", &facts(None));
    assert!(own.contains("desired state already"), "{own}");
}

#[test]
fn modes_are_read_in_any_case() {
    for (word, mode) in [("Identity", AuthMode::Identity), ("AccessKey", AuthMode::AccessKey)] {
        let text = format!("name: ws-a\nsystem_datastores_auth_mode: {word}\n");
        let imported = import(&[SourceFile::new("f.yaml", text.as_bytes())], &facts(None)).unwrap();
        assert!(imported.text.contains(&format!("authMode: {mode}")), "{}", imported.text);
    }
}

#[test]
fn broken_files_are_told_and_end() {
    let text =
        std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/import/template.json")).unwrap();
    for cut in (0..text.len()).step_by(13) {
        let (before, after) = text.split_at(cut);
        for broken in [before.to_owned(), format!("{before}{}", after.get(5..).unwrap_or_default())] {
            // Whatever comes of it, it comes.
            let _ = import(&[SourceFile::new("f.json", broken.as_bytes())], &facts(None));
        }
    }
    let doubling: Vec<String> =
        (0..31).map(|n| format!(r#""v{n}": "[concat(variables('v{0}'), variables('v{0}'))]""#, n + 1)).collect();
    let bomb = format!(
        r#"{{"variables": {{{}, "v31": "x"}}, "resources": [{{"type": "Microsoft.Storage/storageAccounts",
        "name": "[variables('v0')]", "properties": {{"allowSharedKeyAccess": true}}}}]}}"#,
        doubling.join(", ")
    );
    assert!(refused(&bomb, &facts(None)).contains("too many steps"));
}

#[test]
fn a_repeated_field_is_a_problem_and_no_choice() {
    let text = "$schema: https://azuremlschemas.azureedge.net/latest/workspace.schema.json\nname: fraud-ml\n\
                system_datastores_auth_mode: identity\nsystem_datastores_auth_mode: accesskey\n";
    let problems = refused(text, &facts(None));
    assert_eq!(problems, "f.json:4:1: duplicate field `system_datastores_auth_mode`, first at line 3\n");
}

#[test]
fn whatever_is_left_out_is_named() {
    let text = r#"{"resources": [
        {"type": "Microsoft.Storage/storageAccounts", "name": "stfraud", "sku": {}, "properties": {"minimumTlsVersion": "TLS1_2"},
         "resources": [{"type": "blobServices", "name": "default"}]},
        {"type": "Microsoft.MachineLearningServices/workspaces", "name": "fraud-ml", "condition": false},
        {"type": "Microsoft.MachineLearningServices/workspaces", "name": "claims-ml", "tags": {},
         "properties": {"systemDatastoresAuthMode": "identity", "hbiWorkspace": true, "keyVault": null}}
    ], "outputs": {}}"#;
    let imported = import(&[SourceFile::new("f.json", text.as_bytes())], &facts(None)).unwrap();
    assert_snapshot!(lines(&imported.warnings), @r#"
    f.json:1:1: not imported: `outputs`
    f.json:2:9: not imported: `sku`
    f.json:2:9: the storage account is left out: without `allowSharedKeyAccess` nothing is said of its key
    f.json:2:99: not imported: `properties.minimumTlsVersion`
    f.json:3:24: `Microsoft.Storage/storageAccounts/blobServices` is left alone
    f.json:4:99: the resource is left out: its `condition` is false
    f.json:5:9: not imported: `tags`
    f.json:6:24: not imported: `properties.hbiWorkspace`
    "#);
}
