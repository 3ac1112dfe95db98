//! Queries over a small table.

use serde_json::{Value, json};

use super::*;

const COLUMNS: [(&str, Kind); 4] =
    [("id", Kind::Text), ("name", Kind::Text), ("type", Kind::Text), ("properties", Kind::Dynamic)];

fn table(name: &str) -> Result<Table, QueryError> {
    if name != "resources" {
        return Err(unknown_table(name));
    }
    let one = |name: &str, kind: &str, properties: Value| json!({"id": format!("/{name}"), "name": name, "type": kind, "properties": properties});
    Ok(Table::new(
        &COLUMNS,
        [
            one("a", "t/accounts", json!({"flag": true, "size": 3, "tags": ["x", "y"], "at": {"b c": "deep"}})),
            one("B", "t/accounts", json!({"flag": false, "size": 10})),
            one("c", "t/accounts", json!({"size": null, "text": "Hello World"})),
            one("w1", "t/workspaces", json!({"account": "/A"})),
            one("w2", "t/workspaces", json!({"account": "/a"})),
            one("w3", "t/workspaces", json!({})),
        ],
    ))
}

fn rows(query: &str) -> Vec<Value> {
    let table = run(query, &table).unwrap_or_else(|error| panic!("{query}: {error:?}"));
    table.rows().map(Value::Array).collect()
}

fn names(query: &str) -> Vec<String> {
    let query = format!("{query} | project name");
    rows(&query).into_iter().map(|row| row[0].as_str().unwrap().to_owned()).collect()
}

fn columns(query: &str) -> Vec<String> {
    run(query, &table).unwrap().columns().iter().map(|column| column.name.clone()).collect()
}

fn refused(query: &str) -> QueryError {
    run(query, &table).expect_err(query)
}

#[test]
fn conditions_compare_as_kusto_does() {
    for (condition, found) in [
        ("type =~ 'T/Accounts'", vec!["a", "B", "c"]),
        ("type == 'T/Accounts'", vec![]),
        ("type !~ 't/accounts' and name != 'w3'", vec!["w1", "w2"]),
        ("properties.flag == false", vec!["B"]),
        ("properties.flag == true or name == 'c'", vec!["a", "c"]),
        ("properties.flag != true and type endswith 'accounts'", vec!["B", "c"]),
        ("isnull(properties.flag) and name startswith 'C'", vec!["c"]),
        ("isnotnull(properties['flag'])", vec!["a", "B"]),
        ("properties.size > 3", vec!["B"]),
        ("properties.size >= 3 and not(properties.size == 10)", vec!["a"]),
        ("not(type == 't/accounts' and properties.size > 3)", vec!["a", "w1", "w2", "w3"]),
        ("not(properties.size > 3 or name == 'a')", vec![]),
        ("properties.text has 'world'", vec!["c"]),
        ("properties.text has 'worl'", vec![]),
        ("type has '/accounts' and type has 't/'", vec!["a", "B", "c"]),
        ("properties.text contains 'worl' and properties.text !contains_cs 'world'", vec!["c"]),
        ("name in ('a', 'b')", vec!["a"]),
        ("name in~ ('A', 'b')", vec!["a", "B"]),
        ("name !in ('a', 'B', 'c')", vec!["w1", "w2", "w3"]),
        ("isempty(properties.account) and type has 'workspaces'", vec!["w3"]),
        ("properties.at['b c'] == 'deep'", vec!["a"]),
        ("properties.tags[0] == 'x' and properties.tags[-1] == 'y'", vec!["a"]),
        ("strlen(name) * 2 - 1 == 3", vec!["w1", "w2", "w3"]),
    ] {
        assert_eq!(names(&format!("resources | where {condition}")), found, "{condition}");
    }
}

#[test]
fn values_are_made_as_kusto_makes_them() {
    for (expression, value) in [
        ("tostring(properties.flag)", json!("true")),
        ("tostring(tobool(properties.flag))", json!("True")),
        ("tostring(properties.none)", json!("")),
        ("tostring(properties.tags)", json!("[\"x\",\"y\"]")),
        ("tobool(properties.none)", json!(null)),
        ("iff(isnull(properties.none), true, tobool(properties.none))", json!(true)),
        ("case(name == 'b', 1, name == 'a', 2, 3)", json!(2)),
        ("coalesce(tostring(properties.none), 'x')", json!("x")),
        ("substring('abcdef', 2)", json!("cdef")),
        ("substring('abcdef', strlen('abcdef') - 2)", json!("ef")),
        ("substring('abcdef', -3, 2)", json!("de")),
        ("strcat(toupper(name), '/', 1)", json!("A/1")),
        ("split('a/b', '/')[1]", json!("b")),
        ("toint('12')", json!(12)),
        ("array_length(properties.tags)", json!(2)),
        ("parse_json('{\"a\":[1]}').a[0]", json!(1)),
        ("'it\\'s'", json!("it's")),
        ("@'a\\b'", json!("a\\b")),
    ] {
        let found = rows(&format!("resources | where name == 'a' | project x = {expression}"));
        assert_eq!(found, [json!([value])], "{expression}");
    }
}

#[test]
fn columns_get_the_names_that_kusto_gives_them() {
    for (query, found) in [
        (
            "resources | project id, properties.at, tostring(properties.flag), 1",
            vec!["id", "properties_at", "properties_flag", "Column1"],
        ),
        ("resources | extend name = toupper(name), more = 1", vec!["id", "name", "type", "properties", "more"]),
        ("resources | project-away properties, id", vec!["name", "type"]),
        ("resources | project-keep type, id", vec!["id", "type"]),
        ("resources | project-rename title = name | project-keep title", vec!["title"]),
        (
            "resources | summarize count(), dcount(name), make_set(name) by type",
            vec!["type", "count_", "dcount_name", "set_name"],
        ),
        ("resources | summarize n = countif(name == 'a') by tostring(properties.flag)", vec!["properties_flag", "n"]),
        ("resources | count", vec!["Count"]),
    ] {
        assert_eq!(columns(query), found, "{query}");
    }
}

#[test]
fn rows_are_grouped_ordered_and_counted() {
    for (query, found) in [
        (
            "resources | summarize count() by type | order by count_ desc, type asc",
            json!([["t/accounts", 3], ["t/workspaces", 3]]),
        ),
        (
            "resources | summarize n = count(), big = max(toint(properties.size)), all = sum(toint(properties.size))",
            json!([[6, 10, 13]]),
        ),
        ("resources | where name == 'nobody' | summarize count()", json!([[0]])),
        ("resources | where name == 'nobody' | summarize count() by type", json!([])),
        ("resources | distinct type | order by type desc", json!([["t/workspaces"], ["t/accounts"]])),
        ("resources | top 2 by name asc | project name", json!([["B"], ["a"]])),
        (
            "resources | project s = toint(properties.size), name | order by s asc, name asc | take 5 | project name",
            json!([["c"], ["w1"], ["w2"], ["w3"], ["a"]]),
        ),
        (
            "resources | project s = toint(properties.size), name | order by s | limit 2 | project name",
            json!([["B"], ["a"]]),
        ),
        ("resources | where type has 'accounts' | count", json!([[3]])),
        ("where name == 'a' | project name", json!([["a"]])),
        ("project name | take 1", json!([["a"]])),
        ("Resources // a remark\n | where name == 'a'\n | project name", json!([["a"]])),
    ] {
        assert_eq!(Value::Array(rows(query)), found, "{query}");
    }
}

#[test]
fn joins_keep_rows_by_their_kind_and_number_the_names_that_meet() {
    let accounts = "(resources | where type has 'accounts' | project key = tolower(id), account = name)";
    let workspaces =
        "resources | where type has 'workspaces' | project name, key = tolower(tostring(properties.account))";
    let joined = |kind: &str| format!("{workspaces} | join {kind} {accounts} on key | order by name asc, account asc");
    assert_eq!(columns(&joined("kind=inner")), ["name", "key", "key1", "account"].map(str::to_owned)[..]);
    for (kind, found) in [
        ("kind=inner", json!([["w1", "a"], ["w2", "a"]])),
        ("", json!([["w1", "a"]])),
        ("kind=leftouter", json!([["w1", "a"], ["w2", "a"], ["w3", ""]])),
        ("kind=fullouter", json!([["", "B"], ["", "c"], ["w1", "a"], ["w2", "a"], ["w3", ""]])),
    ] {
        assert_eq!(Value::Array(rows(&format!("{} | project name, account", joined(kind)))), found, "{kind}");
    }
    let sided = format!("{workspaces} | join kind=inner {accounts} on $right.key == $left.key | count");
    assert_eq!(rows(&sided), [json!([2])]);
    let union =
        "resources | where name == 'a' | project name | union (resources | where name == 'c' | project name, type)";
    assert_eq!(rows(union), [json!(["a", ""]), json!(["c", "t/accounts"])]);
}

#[test]
fn what_is_not_understood_is_an_error_and_never_an_answer() {
    for (query, code) in [
        ("where where", "ParserFailure"),
        ("resources | where", "ParserFailure"),
        ("resources | where name = 'a'", "ParserFailure"),
        ("resources | where name == 'a", "ParserFailure"),
        ("resources | frobnicate name", "ParserFailure"),
        ("resources | where (name == 'a'", "ParserFailure"),
        ("resources | where colour == 'red'", "SemanticError"),
        ("resources | where name", "SemanticError"),
        ("resources | where name == 3", "SemanticError"),
        ("resources | where name.x == 'a'", "SemanticError"),
        ("resources | order by properties", "SemanticError"),
        ("resources | summarize count() by properties.flag", "SemanticError"),
        ("resources | distinct properties", "SemanticError"),
        ("resources | project name, name = id", "SemanticError"),
        ("resources | join kind=leftanti resources on id", "SemanticError"),
        (
            "resources | join resources on id | join resources on id | join resources on id | join resources on id",
            "SemanticError",
        ),
        ("resources | where name == tostring(1, 2)", "SemanticError"),
        ("resources | where properties.flag == 'true'", "Unsupported"),
        ("resources | where properties.none == ''", "Unsupported"),
        ("resources | where tolower(properties.text) == 'x'", "Unsupported"),
        ("resources | where strlen(properties.text) > 3 or split(properties.text, ' ')[0] == 'x'", "Unsupported"),
        ("resources | mv-expand properties.tags", "Unsupported"),
        ("resources | parse name with 'x'", "Unsupported"),
        ("resources | where name matches regex 'x'", "Unsupported"),
        ("resources | where properties.x > ago(7d)", "Unsupported"),
        ("resources | summarize arg_max(name)", "Unsupported"),
        ("resources | where now() == 1", "Unsupported"),
        ("securityresources | count", "Unsupported"),
    ] {
        assert_eq!(refused(query).code, code, "{query}");
    }
    let (line, column, token) = refused("resources\n| where ==").place.unwrap();
    assert_eq!((line, column, token.as_str()), (2, 8, "=="));
}

#[test]
fn no_query_is_all_of_the_default_table() {
    assert_eq!(rows(" "), rows("resources"));
    assert_eq!(rows("").len(), 6);
}

#[test]
fn endless_queries_end() {
    let deep = format!("resources | where {}name == 'a'", "(".repeat(5000));
    assert_eq!(refused(&deep).code, "Unsupported");
    let long = format!("resources | where {}name == 'c'", "name == 'a' or ".repeat(20_000));
    assert_eq!(names(&long).len(), 2);
    let path = format!("resources | project x = properties{}", ".a".repeat(5000));
    assert_eq!(refused(&path).code, "Unsupported");
    let sum = format!("resources | project x = 1{}", " + 1".repeat(5000));
    assert_eq!(refused(&sum).code, "Unsupported");
}

#[test]
fn what_grows_beyond_all_bounds_is_refused() {
    let join = "join kind=inner (resources | extend k = 1, t = strcat(name, '0123456789')) on k";
    let longer = |times: usize| format!(" | extend t = strcat({})", vec!["t"; times].join(", "));
    for query in [
        format!("resources | extend t = name{0}{0}{0}{0}", longer(64)),
        format!("resources | extend k = 1, t = '{}'{} | {join} | {join} | {join}", "x".repeat(2000), longer(64)),
    ] {
        assert_eq!(refused(&query).code, "Unsupported", "{query}");
    }
    assert_eq!(rows(&format!("resources | extend k = 1 | {join} | {join} | {join} | count"))[0][0], 1296);
}
