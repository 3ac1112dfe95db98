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

const GROUP: &str = "/subscriptions/3f8c1d7a-52b4-4c0e-9d2e-7a1b6c5d4e90/resourceGroups/rg-fraud/providers";

fn workspace_body(mode: &str) -> String {
    format!(
        r#"{{"id": "{GROUP}/Microsoft.MachineLearningServices/workspaces/fraud-ml", "properties":
        {{"systemDatastoresAuthMode": "{mode}", "storageAccount": "{GROUP}/Microsoft.Storage/storageAccounts/stfraud"}}}}"#
    )
}

fn account_body(name: &str, key_allowed: bool) -> String {
    format!(
        r#"{{"id": "{GROUP}/Microsoft.Storage/storageAccounts/{name}", "properties": {{"allowSharedKeyAccess": {key_allowed}}}}}"#
    )
}

/// The text, and the warnings or else the problems.
fn told(text: &str, facts: &Facts) -> (String, String) {
    match import(&[SourceFile::new("f.json", text.as_bytes())], facts) {
        Ok(imported) => (imported.text, lines(&imported.warnings)),
        Err(refused) => (String::new(), lines(&refused.problems)),
    }
}

#[test]
fn a_key_that_is_off_does_not_go_with_a_workspace_on_keys() {
    for (mode, account, allowed, word_on_order, warned) in [
        ("identity", "stfraud", false, false, false),
        ("identity", "stfraud", true, false, false),
        ("accesskey", "stfraud", true, false, false),
        ("accesskey", "stfraud", false, true, true),
        ("accesskey", "stother", true, true, false),
        ("accesskey", "stother", false, true, false),
    ] {
        let text = format!("[{}, {}]", workspace_body(mode), account_body(account, allowed));
        let (text, warnings) = told(&text, &Facts::default());
        assert_eq!(text.contains("# The articles switch a workspace back first"), word_on_order, "{text}");
        let message = "`fraud-ml` is to use the key of `stfraud`, which is to be off: a plan will not get there";
        assert_eq!(warnings.contains(message), warned, "{mode} {account} {allowed}: {warnings}");
    }
    let text = format!("[{},\n{}]", account_body("stfraud", true), account_body("stfraud", false));
    assert_snapshot!(told(&text, &Facts::default()).1, @"f.json:2:1: the key of `stfraud` is on in one place and off in another, at f.json:1:2 (hint: import one of the two)");
}

#[test]
fn a_resource_taken_out_of_a_template_or_a_list_is_a_body() {
    let (text, told_of_list) = told(&format!("{{\"value\": [{}]}}", workspace_body("identity")), &Facts::default());
    assert!(text.contains("workspaces/fraud-ml") && told_of_list.is_empty(), "{told_of_list}");
    for fields in
        [r#""apiVersion": "2024-04-01""#, r#""apiVersion": "2024-04-01", "kind": "Default""#, r#""kind": "Hub""#]
    {
        let (text, told) = told(&format!("{{{fields}, {}", &workspace_body("identity")[1..]), &Facts::default());
        assert!(text.contains("workspaces/fraud-ml") && told.is_empty(), "{told}");
    }
}

#[test]
fn a_name_in_brackets_is_a_placeholder() {
    for (name, placeholder) in
        [("<name>", true), ("{name}", true), (" ", true), ("<name", false), ("name>", false), ("{name", false)]
    {
        let text = format!("name: \"{name}\"\nsystem_datastores_auth_mode: identity\n");
        let (_, told) = told(&text, &facts(None));
        assert_eq!(told.contains("is a placeholder, not a name"), placeholder, "{name}: {told}");
    }
}

#[test]
fn a_grant_that_no_word_says_is_left_out() {
    let grant = format!(
        r#"{{"id": "{GROUP}/Microsoft.Storage/storageAccounts/stfraud/providers/Microsoft.Authorization/roleAssignments/0a1b2c3d-4e5f-4a6b-8c7d-9e0f1a2b3c4d",
        "properties": {{"roleDefinitionId": "Storage Table Data Contributor", "principalId": "9a8b7c6d-5e4f-4a3b-8c2d-1e0f9a8b7c6d", "principalType": "User"}}}}"#
    );
    let (text, warnings) = told(&format!("[{}, {grant}]", workspace_body("identity")), &Facts::default());
    assert!(text.contains("kind: Workspace") && !text.contains("access:"), "{text}");
    assert_snapshot!(warnings, @"f.json:2:201: Storage Table Data Contributor of 9a8b7c6d-5e4f-4a3b-8c2d-1e0f9a8b7c6d is left out: no level or scenario says it");
}

#[test]
fn a_resource_is_what_its_type_or_id_says_whatever_its_properties() {
    let properties = r#""properties": {"systemDatastoresAuthMode": "identity", "allowSharedKeyAccess": true, "roleDefinitionId": "Owner"}"#;
    let text = format!(
        r#"[{}, {{"type": "A.B/c", "name": "d", {properties}}}, {{"id": "{GROUP}/Microsoft.KeyVault/vaults/kv", {properties}}}]"#,
        account_body("stfraud", true)
    );
    let (text, warnings) = told(&text, &facts(None));
    assert_eq!(text.matches("kind: ").count(), 1, "{text}");
    assert_snapshot!(warnings, @r"
    f.json:1:187: `A.B/c` is left alone
    f.json:1:334: `Microsoft.KeyVault/vaults` is left alone
    ");
}

/// What is told of a role assignment of a template with these fields and properties, and the names of the documents.
fn assignment(fields: &str, properties: &str, facts: &Facts) -> String {
    let account = r#""type": "Microsoft.Storage/storageAccounts", "name": "stfraud", "properties": {"allowSharedKeyAccess": true}"#;
    let text = if let Some(fields) = fields.strip_prefix("child ") {
        format!(r#"{{"resources": [{{{account}, "resources": [{{{fields}, "properties": {{{properties}}}}}]}}]}}"#)
    } else {
        format!(r#"{{"resources": [{{{fields}, "properties": {{{properties}}}}}, {{{account}}}]}}"#)
    };
    let (text, told) = told(&text, facts);
    let names: Vec<&str> = text.lines().filter_map(|line| line.strip_prefix("metadata: ")).collect();
    format!("{}{}", names.join(" "), told.lines().map(|line| format!("\n  {line}")).collect::<String>())
}

const READS: &str = r#""roleDefinitionName": "Storage Blob Data Reader", "principalId": "9a8b7c6d-5e4f-4a3b-8c2d-1e0f9a8b7c6d", "principalType": "ServicePrincipal""#;

#[test]
fn where_a_role_assignment_is_made_is_said_in_many_ways() {
    let kind = r#""type": "Microsoft.Authorization/roleAssignments", "name": "[guid('x')]""#;
    let account = format!("{GROUP}/Microsoft.Storage/storageAccounts/stfraud");
    let at_account = [
        (format!(r#"{kind}, "scope": "{account}""#), READS.to_owned()),
        (format!(r#"{kind}, "scope": "Microsoft.Storage/storageAccounts/stfraud""#), READS.to_owned()),
        (kind.to_owned(), format!(r#"{READS}, "scope": "{account}""#)),
        (
            r#""type": "Microsoft.Storage/storageAccounts/providers/roleAssignments", "name": "[concat('stfraud/Microsoft.Authorization/', guid('x'))]""#.to_owned(),
            READS.to_owned(),
        ),
        (format!("child {kind}"), READS.to_owned()),
        (r#"child "type": "providers/roleAssignments", "name": "[concat('Microsoft.Authorization/', guid('x'))]""#.to_owned(), READS.to_owned()),
    ];
    for (fields, properties) in at_account {
        let told = assignment(&fields, &properties, &facts(None));
        assert!(told.starts_with("{name: stfraud} {name: stfraud-access}"), "{fields}: {told}");
    }
    assert!(assignment(kind, READS, &facts(None)).starts_with("{name: stfraud} {name: rg-fraud-access}"));
    let nowhere = Facts { resource_group: None, ..facts(None) };
    assert!(assignment(kind, READS, &nowhere).contains("where the role assignment is made is not said"));
    let bad = assignment(&format!(r#"{kind}, "scope": "[variables('x')]""#), READS, &facts(None));
    assert!(bad.contains("`[variables('x')]` has no value here: there is no variable `x`"), "{bad}");
}

#[test]
fn what_a_role_assignment_lacks_or_says_wrongly_is_told() {
    let kind = r#""type": "Microsoft.Authorization/roleAssignments", "name": "[guid('x')]""#;
    let of = |properties: &str| assignment(kind, properties, &facts(None));
    let mut told = String::new();
    for properties in [
        String::new(),
        READS.replace("Storage Blob Data Reader", "Owner"),
        READS.replace("9a8b7c6d-5e4f", "ada"),
        READS.replace("ServicePrincipal", "Device"),
        READS.replace("ServicePrincipal", "user"),
        format!(r#"{READS}, "condition": "(true)""#),
        format!(r#"{READS}, "condition": null, "description": "x""#),
        READS.replace("9a8b7c6d-5e4f-4a3b-8c2d-1e0f9a8b7c6d", "<object id>"),
        READS.replace("9a8b7c6d-5e4f-4a3b-8c2d-1e0f9a8b7c6d", "[object id]"),
        READS.replace("9a8b7c6d-5e4f-4a3b-8c2d-1e0f9a8b7c6d", "[reference('x').principalId]"),
        READS.replace("9a8b7c6d-5e4f-4a3b-8c2d-1e0f9a8b7c6d", "[variables('x')]"),
    ] {
        told.push_str(&format!("{}\n", of(&properties)));
    }
    assert_snapshot!(told, @r"
      f.json:1:105: missing field `principalId`
      f.json:1:105: missing field `roleDefinitionId`
      f.json:1:105: whether the principal is a person, a group or a machine is not said: missing field `principalType` (hint: `User`, `Group` or `ServicePrincipal`)
    {name: stfraud}
      f.json:1:128: the role `Owner` is left out: no word of desired state stands for it

      f.json:1:171: `ada-4a3b-8c2d-1e0f9a8b7c6d` is not a GUID (hint: role assignments need the object id)

      f.json:1:228: `Device` is no kind of principal that desired state names (hint: known here: User, Group, ServicePrincipal)
    {name: stfraud}
      f.json:1:16: Storage Blob Data Reader of 9a8b7c6d-5e4f-4a3b-8c2d-1e0f9a8b7c6d is left out: no level or scenario says it
      f.json:1:16: no workspace of these files stands on `rg-fraud`, so its grants become an AccessProfile (hint: name it in `profiles` of the workspaces that it is meant for)
    {name: stfraud}
      f.json:1:248: the role assignment has a condition and is left out (hint: a grant under a condition does not satisfy a need, so it stays out of the files)
    {name: stfraud} {name: rg-fraud-access}
      f.json:1:16: no workspace of these files stands on `rg-fraud`, so its grants become an AccessProfile (hint: name it in `profiles` of the workspaces that it is meant for)
      f.json:1:105: not imported: `properties.description`

      f.json:1:171: `<object id>` is not a GUID (hint: role assignments need the object id)

      f.json:1:171: `[object id]` has no value here: `object` is neither a text in quotes nor a function with `()` (hint: put the value there, or give it with `--name`)

      f.json:1:171: `[reference('x').principalId]` has no value here: only Azure can tell what `reference` gives (hint: put the value there; identities have names of their own in desired state: `managedIdentity`, `compute`, `workspace: system`)

      f.json:1:171: `[variables('x')]` has no value here: there is no variable `x` (hint: put the value there, or give it in a file of parameters beside the template)
    ");
}

#[test]
fn a_key_of_which_nothing_is_said_is_left_out() {
    for properties in ["{}", r#"{"allowSharedKeyAccess": null}"#] {
        let text = format!(
            r#"[{}, {{"type": "Microsoft.Storage/storageAccounts", "name": "stfraud", "properties": {properties}}}]"#,
            workspace_body("identity")
        );
        let (text, warnings) = told(&text, &facts(None));
        assert!(!text.contains("StorageAccount") && warnings.contains("the storage account is left out"), "{warnings}");
    }
}

#[test]
fn a_condition_of_a_resource_is_true_or_false() {
    for (condition, expected) in [
        ("true", ""),
        ("\"[true()]\"", ""),
        ("\"[not(true())]\"", "is left out: its `condition` is false"),
        ("\"yes\"", "is neither true nor false"),
    ] {
        let text = format!(
            r#"[{}, {{"condition": {condition}, {}]"#,
            workspace_body("identity"),
            &account_body("stfraud", true)[1..]
        );
        let (_, told) = told(&text, &facts(None));
        assert!(told.contains(expected) && told.is_empty() == expected.is_empty(), "{condition}: {told}");
    }
}

/// A template whose workspace is called, stands and is switched by `[parameters('p')]`, declared like this.
fn template_of(declared: &str) -> String {
    format!(
        r##"{{"$schema": "https://schema.management.azure.com/schemas/2019-04-01/deploymentTemplate.json#",
        "definitions": {{"secret": {{"type": "secureString"}}, "self": {{"$ref": "#/definitions/self"}}}},
        "parameters": {{"p": {declared}}},
        "variables": {{"v": "[concat('x', parameters('P'))]"}},
        "resources": [{{"type": "Microsoft.MachineLearningServices/workspaces", "name": "[parameters('p')]",
          "properties": {{"storageAccount": "[variables('v')]", "systemDatastoresAuthMode": "[parameters('p')]"}}}},
          {{"type": "Microsoft.Storage/storageAccounts", "name": "[toUpper(variables('v'))]",
          "properties": {{"allowSharedKeyAccess": "[parameters('p')]"}}}}]}}"##
    )
}

#[test]
fn the_value_of_a_secure_parameter_is_never_told_whatever_it_looks_like() {
    let parameters = r#"{"$schema": "https://schema.management.azure.com/schemas/2015-01-01/deploymentParameters.json#",
        "parameters": {"P": {"value": "given-hunter2"}}}"#;
    for declared in [
        r#"{"type": "securestring", "defaultValue": "hunter2"}"#,
        r#"{"type": "SecureObject", "defaultValue": {"a": "hunter2"}}"#,
        r##"{"$ref": "#/definitions/secret", "defaultValue": "hunter2"}"##,
        r##"{"type": "object", "properties": {"a": {"$ref": "#/definitions/secret"}}, "defaultValue": "hunter2"}"##,
    ] {
        let template = SourceFile::new("t.json", template_of(declared).as_bytes());
        for files in [vec![template.clone()], vec![template, SourceFile::new("p.json", parameters.as_bytes())]] {
            let refused = import(&files, &facts(None)).unwrap_err();
            let said = lines(&refused.problems) + &lines(&refused.warnings);
            assert!(!said.to_ascii_lowercase().contains("hunter2"), "{declared}: {said}");
            assert!(said.contains("the parameter `p` is secure, so its value is not read"), "{declared}: {said}");
        }
    }
    let open = refused(&template_of(r##"{"$ref": "#/definitions/self", "defaultValue": "hunter2"}"##), &facts(None));
    assert!(open.contains("`hunter2` is no mode"), "{open}");
}

#[test]
fn a_secret_in_a_file_to_import_is_not_told() {
    let key = "DefaultEndpointsProtocol=https;AccountName=acc;AccountKey=CONN/SECRET==;EndpointSuffix=core.windows.net";
    for (text, told) in [
        (format!("name: w\nstorage_account: {key}\n"), "a value that looks like a secret"),
        (format!("name: w\nstorage_account: /{key}\n"), "a value that looks like a secret"),
        ("name: w\nsystem_datastores_auth_mode: SECRET?sig=abc\n".to_owned(), "is no mode of a workspace"),
        (format!("$schema: 'https://azuremlschemas/{key}'\nname: w\n"), "is about something else"),
        (workspace_body(&format!("[{key}]")), "there is no telling what it is"),
        (workspace_body(&format!("[concat('{key}', variables('x')) CONN]")), "there is no telling what it is"),
    ] {
        let said = refused(&text, &facts(Some("w")));
        assert!(!said.contains("CONN") && !said.contains("SECRET"), "{said}");
        assert!(said.contains(told), "{said}");
    }
}
