use serde_json::{Value, json};

use super::{Place, Plan, Wrong};

fn place() -> Place {
    Place {
        subscription: json!({"id": "/subscriptions/s1", "subscriptionId": "s1", "tenantId": "t1"}),
        group: json!({"id": "/subscriptions/s1/resourceGroups/rg", "name": "rg", "location": "westeurope"}),
        seed: "seed".to_owned(),
    }
}

fn plan(template: Value) -> Result<Plan, Wrong> {
    Plan::new(place(), &json!({"template": template}))
}

/// The value of one expression, seen as an output.
fn value(expression: &str) -> Result<Value, Wrong> {
    let template = json!({
        "parameters": {"Text": {"type": "string", "defaultValue": "a'b"}, "list": {"type": "array", "defaultValue": [1, 2]}},
        "variables": {"tree": {"Leaf": ["x", {"[concat('k','ey')]": "[parameters('text')]"}]}},
        "outputs": {"o": {"type": "string", "value": expression}},
    });
    let found = |id: &str| match id {
        "/there" => Ok(json!({"id": id, "properties": {"color": "red"}})),
        _ => Err(Wrong(format!("nothing at {id}"))),
    };
    Ok(plan(template)?.outputs(&found)?["o"]["value"].clone())
}

#[test]
fn each_function_gives_what_its_page_says() {
    for (expression, expected) in [
        ("plain", json!("plain")),
        ("[[not one]", json!("[not one]")),
        ("[parameters('TEXT')]", json!("a'b")),
        ("[ concat ( 'it''s', 5 , '-' ) ]", json!("it's5-")),
        ("[concat(parameters('list'), array(3))]", json!([1, 2, 3])),
        ("[variables('tree').leaf[1].key]", json!("a'b")),
        ("[parameters('list')[0]]", json!(1)),
        ("[subscription().tenantId]", json!("t1")),
        ("[resourceGroup().location]", json!("westeurope")),
        ("[equals(toLower('AbC'), 'abc')]", json!(true)),
        ("[equals('A', 'a')]", json!(false)),
        ("[and(not(equals(1, 2)), or(empty(''), empty('x')))]", json!(true)),
        ("[empty(json('{}'))]", json!(true)),
        ("[json('null')]", json!(null)),
        ("[array('x')]", json!(["x"])),
        ("[array(parameters('list'))]", json!([1, 2])),
        ("[if(equals(1, 1), 'yes', reference('/gone').x)]", json!("yes")),
        ("[reference('/there').color]", json!("red")),
        ("[reference('/there', '2024-01-01', 'Full').id]", json!("/there")),
        (
            "[resourceId('Microsoft.A/b/c', 'one', 'two')]",
            json!("/subscriptions/s1/resourceGroups/rg/providers/Microsoft.A/b/one/c/two"),
        ),
        (
            "[resourceId('other', 'group', 'Microsoft.A/b', 'one')]",
            json!("/subscriptions/other/resourceGroups/group/providers/Microsoft.A/b/one"),
        ),
        ("[subscriptionResourceId('Microsoft.A/b', 'one')]", json!("/subscriptions/s1/providers/Microsoft.A/b/one")),
    ] {
        assert_eq!(value(expression), Ok(expected), "{expression}");
    }
}

#[test]
fn names_made_of_texts_are_the_same_each_time_and_differ_by_text() {
    for function in ["guid", "uniqueString"] {
        let of = |text: &str| value(&format!("[{function}('{text}', 'y')]")).unwrap();
        assert_eq!(of("x"), of("x"));
        assert_ne!(of("x"), of("z"));
    }
    assert_eq!(value("[uniqueString('x')]").unwrap().as_str().map(str::len), Some(13));
    assert!(uuid::Uuid::try_parse(value("[guid('x')]").unwrap().as_str().unwrap()).is_ok());
}

#[test]
fn new_guids_are_for_defaults_alone_and_each_is_another() {
    let template = json!({
        "parameters": {"a": {"type": "string", "defaultValue": "[newGuid()]"},
            "b": {"type": "string", "defaultValue": "[concat('b', newGuid())]"}},
    });
    let parameters = plan(template).unwrap().parameters;
    let (a, b) = (parameters["a"]["value"].as_str().unwrap(), parameters["b"]["value"].as_str().unwrap());
    assert!(uuid::Uuid::try_parse(a).is_ok() && b.len() == 37 && !b.contains(a));
    assert!(value("[newGuid()]").is_err());
}

#[test]
fn broken_expressions_are_errors_and_never_a_panic() {
    let deep = format!("[{}1{}]", "array(".repeat(500), ")".repeat(500));
    let path = format!("[resourceGroup(){}]", ".a".repeat(500));
    let long = format!("['{}']", "x".repeat(30_000));
    for expression in [
        "[]",
        "[ ]",
        "[concat(]",
        "[concat('a']",
        "[concat('a',)]",
        "['a]",
        "[concat('a') 'b']",
        "[variables]",
        "[é()]",
        "[parameters('list')[7]]",
        "[parameters('list').x]",
        "[variables('tree').none]",
        "[parameters('none')]",
        "[concat(json('{}'))]",
        "[equals('a')]",
        "[and('a', 'b')]",
        "[if('a', 1, 2)]",
        "[if(equals(1,1), 2)]",
        "[toLower(1)]",
        "[json('{')]",
        "[resourceId('a')]",
        "[resourceId('Microsoft.A/b')]",
        "[resourceId('Microsoft.A/b', 'x/y')]",
        "[resourceId(1, 'Microsoft.A/b', 'x')]",
        "[reference('/gone')]",
        "[99999999999999999999]",
        &deep,
        &path,
        &long,
    ] {
        assert!(value(expression).is_err(), "{expression}");
    }
}

#[test]
fn a_function_that_is_not_known_fails_wherever_it_stands() {
    let wrong = plan(json!({"resources": [
        {"type": "Microsoft.A/b", "name": "n", "apiVersion": "2024-01-01", "condition": "[equals(1, 2)]",
            "properties": {"deep": ["[if(equals(1, 1), 'x', sideEffect('y'))]"]}},
    ]}));
    assert_eq!(wrong.unwrap_err(), Wrong("The template function 'sideEffect' is not valid.".to_owned()));
}

#[test]
fn variables_that_lean_on_themselves_or_double_each_other_come_to_an_end() {
    let mut circle = json!({"a": "[variables('b')]", "b": "[variables('a')]"});
    let output = json!({"o": {"type": "string", "value": "[variables('a')]"}});
    let told = |variables: &Value, outputs: &Value| {
        plan(json!({"variables": variables, "outputs": outputs})).unwrap().outputs(&super::nothing_yet)
    };
    assert!(told(&circle, &output).is_err());
    circle = json!({"v0": "xxxxxxxxxxxxxxxx"});
    for step in 1..120 {
        circle[format!("v{step}")] = json!(format!("[concat(variables('v{}'), variables('v{}'))]", step - 1, step - 1));
    }
    let output = json!({"o": {"type": "string", "value": "[variables('v60')]"}});
    assert!(told(&circle, &output).is_err());
}

#[test]
fn values_that_hold_each_other_come_to_an_end() {
    let (mut variables, mut outputs) = (json!({"v0": "x"}), json!({}));
    for step in 1..250 {
        let mut value = json!(format!("[variables('v{}')]", step - 1));
        for _ in 0..100 {
            value = json!({"a": value});
        }
        variables[format!("v{step}")] = value;
        // Each is asked for when the one in it is known, so that none leans on many.
        outputs[format!("o{step:03}")] = json!({"type": "bool", "value": format!("[empty(variables('v{step}'))]")});
    }
    let wrong = plan(json!({"variables": variables, "outputs": outputs})).unwrap().outputs(&super::nothing_yet);
    assert!(wrong.unwrap_err().0.contains("deeper"));
}

#[test]
fn resources_come_after_what_they_depend_on_and_absent_ones_are_not_waited_for() {
    let resource = |name: &str, condition: &str, after: Value| {
        json!({"type": "Microsoft.A/b", "name": name, "apiVersion": "2024-01-01", "condition": condition, "dependsOn": after,
            "properties": {"kept": "[resourceGroup().name]"}})
    };
    let template = json!({"resources": [
        resource("last", "[not(empty('x'))]", json!(["first", "[resourceId('Microsoft.A/b', 'absent')]"])),
        resource("absent", "[empty('x')]", json!([])),
        resource("first", "[not(empty('x'))]", json!([])),
    ]});
    let mut found = plan(template).unwrap();
    let names: Vec<&str> = found.resources.iter().map(|resource| resource.name.as_str()).collect();
    assert_eq!(names, ["first", "last"]);
    let body = found.resources[0].body.clone();
    assert_eq!(found.scope.evaluate(&body, &super::nothing_yet), Ok(json!({"properties": {"kept": "rg"}})));
    let always = "[not(empty('x'))]";
    let circle = json!([resource("a", always, json!(["b"])), resource("b", always, json!(["a"]))]);
    assert!(plan(json!({"resources": circle})).is_err());
    let twice = json!([resource("a", always, json!([])), resource("A", always, json!([]))]);
    assert!(plan(json!({"resources": twice})).is_err());
}

#[test]
fn many_resources_that_depend_on_each_other_often_are_soon_in_order() {
    const MANY: usize = 800;
    let resource = |place: usize| {
        let mut after = vec!["r799".to_owned(); 1000];
        after.push(format!("R{}", place + 1));
        let after = if place + 1 == MANY { Vec::new() } else { after };
        json!({"type": "Microsoft.A/b", "name": format!("r{place}"), "apiVersion": "2024-01-01", "dependsOn": after})
    };
    let resources: Vec<Value> = (0..MANY).map(resource).collect();
    let names: Vec<String> =
        plan(json!({"resources": resources})).unwrap().resources.into_iter().map(|resource| resource.name).collect();
    assert_eq!(names, (0..MANY).rev().map(|place| format!("r{place}")).collect::<Vec<_>>());
}

#[test]
fn children_carry_the_type_and_name_of_what_they_stand_in() {
    let template = json!({"resources": [{
        "type": "Microsoft.A/b", "name": "outer", "apiVersion": "2024-01-01", "condition": "[empty('x')]",
        "resources": [{"type": "c", "name": "inner", "apiVersion": "2024-01-01"}],
    }, {
        "type": "Microsoft.A/b", "name": "elsewhere", "apiVersion": "2024-01-01", "scope": "/subscriptions/s2/resourceGroups/g",
    }]});
    let found = plan(template).unwrap();
    let ids: Vec<&str> = found.resources.iter().map(|resource| resource.id.as_str()).collect();
    assert_eq!(
        ids,
        [
            "/subscriptions/s1/resourceGroups/rg/providers/Microsoft.A/b/outer/c/inner",
            "/subscriptions/s2/resourceGroups/g/providers/Microsoft.A/b/elsewhere",
        ]
    );
}

#[test]
fn parameters_are_checked_against_their_declarations() {
    let with = |declared: Value, sent: Value| {
        Plan::new(place(), &json!({"template": {"parameters": {"p": declared}}, "parameters": sent}))
            .map(|plan| plan.parameters)
    };
    let text = json!({"type": "String", "defaultValue": "x", "allowedValues": ["x", "y"]});
    assert_eq!(with(text.clone(), json!({"P": {"value": "y"}})).unwrap()["p"]["value"], "y");
    assert_eq!(with(text.clone(), json!({"p": {"value": null}})).unwrap()["p"]["value"], "x");
    assert!(with(text.clone(), json!({"p": {"value": "Kind.Y"}})).is_ok());
    assert!(with(text.clone(), json!({"p": {"value": "z"}})).is_err());
    assert!(with(text.clone(), json!({"p": {"value": "y.z"}})).is_err());
    assert!(with(text.clone(), json!({"p": {"value": ["x"]}})).is_err());
    assert!(with(text, json!({"q": {"value": "x"}})).is_err());
    assert!(with(json!({"type": "object"}), json!({})).is_err());
    let secret = with(json!({"type": "secureString"}), json!({"p": {"value": "sesame"}})).unwrap();
    assert_eq!(secret, json!({"p": {"type": "secureString"}}));
}

#[test]
fn what_is_not_simulated_is_refused() {
    assert!(plan(json!([])).is_err());
    assert!(Plan::new(place(), &json!({"templateLink": {"uri": "https://example.test"}})).is_err());
    assert!(
        plan(json!({"resources": [{"type": "Microsoft.A/b", "name": "n", "apiVersion": "1", "copy": {}}]})).is_err()
    );
    assert!(plan(json!({"resources": [{"type": "Microsoft.A/b", "name": "n/m", "apiVersion": "1"}]})).is_err());
    assert!(plan(json!({"resources": [{"type": "Microsoft.A/b", "apiVersion": "1"}]})).is_err());
    assert!(plan(json!({"resources": {}})).is_err());
}

proptest::proptest! {
    #[test]
    fn no_text_makes_the_reader_panic(text in "[\\[\\]()'., a-d0-9é-]{0,40}") {
        let _ = value(&format!("[{text}]"));
        let _ = value(&text);
    }
}
