//! `keyless why` on a cloud: before and after, for people, groups and identities, and nothing is written.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::harness::{Sim, output_of, stderr, stdout, text_at};

/// Every principal of the desired files with the workspace it is named for: what `why` is asked.
fn named(sim: &Sim) -> Vec<(String, String)> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(sim.desired()).unwrap() {
        let text = std::fs::read_to_string(entry.unwrap().path()).unwrap();
        for document in text.split("---\n").filter(|document| document.contains("kind: Workspace")) {
            let lines: Vec<&str> = document.lines().map(str::trim).collect();
            let after = |key: &str| {
                lines.iter().filter_map(|line| line.strip_prefix(key)).map(str::to_owned).collect::<Vec<_>>()
            };
            let workspace = after("name: ").remove(0);
            let access = document.split("access:").nth(1).unwrap_or_default();
            for key in ["objectId: ", "managedIdentity: ", "- principal: ", "compute: "] {
                for word in access.lines().map(str::trim).filter_map(|line| line.strip_prefix(key)) {
                    found.push((word.to_owned(), workspace.clone()));
                }
            }
        }
    }
    found
}

#[test]
fn why_tells_before_and_after_and_writes_nothing() {
    let sim = Sim::start(&["--workspaces", "4", "--seed", "2", "--speed", "600"]);
    let asked = named(&sim);
    assert!(asked.len() >= 4, "{asked:?}");
    let codes = |arguments: &[&str]| -> Vec<i32> {
        asked
            .iter()
            .map(|(who, workspace)| {
                let output = sim.command(&[&["why", who, workspace], arguments].concat()).output().unwrap();
                let code = output.status.code().unwrap();
                assert!(matches!(code, 0 | 2), "{who} on {workspace}: {code} {} {}", stdout(&output), stderr(&output));
                code
            })
            .collect()
    };
    assert!(codes(&[]).contains(&2), "somebody's grant is missing at first");
    assert_eq!(sim.requests().writes(), 0);
    output_of(sim.command(&["apply", "--wait", "90s"]), 0);
    let writes = sim.requests().writes();
    assert!(codes(&["--output", "json"]).iter().all(|code| *code == 0), "every need is effective in the end");
    assert_eq!(sim.requests().writes(), writes);

    let (_, workspace) = &asked[0];
    let nobody = output_of(sim.command(&["why", "nobody-of-that-name", workspace]), 1);
    assert!(stderr(&nobody).contains("hint: an object id works for anybody"), "{}", stderr(&nobody));
    let nowhere = output_of(sim.command(&["why", "x", "no-such-workspace"]), 1);
    assert!(stderr(&nowhere).contains("no document is about a workspace"), "{}", stderr(&nowhere));
    let stranger =
        output_of(sim.command(&["why", "00000000-0000-4000-8000-00000000beef", workspace, "--output", "json"]), 2);
    let answer: Value = serde_json::from_str(&stdout(&stranger)).unwrap();
    assert_eq!((answer["declared"].as_bool(), answer["effective"].as_bool()), (Some(false), Some(false)));
}

#[test]
fn a_member_of_a_declared_group_is_told_by_which_group_it_has_access() {
    let sim = Sim::start(&["--workspaces", "4", "--seed", "2", "--speed", "600"]);
    output_of(sim.command(&["apply", "--wait", "90s"]), 0);
    let groups = sim.resources("microsoft.graph/groups");
    let told = named(&sim).into_iter().find_map(|(who, workspace)| {
        let group = groups.iter().find(|group| text_at(group, "/id").eq_ignore_ascii_case(&who))?;
        let member = group["members"].as_array()?.first()?;
        Some((member.as_str().unwrap_or_else(|| text_at(member, "/id")).to_owned(), who, workspace))
    });
    let (member, group, workspace) = told.expect("a declared group has a member");
    let answer = output_of(sim.command(&["why", &member, &workspace, "--output", "json"]), 0);
    let answer: Value = serde_json::from_str(&stdout(&answer)).unwrap();
    let grants = answer["needs"].as_array().unwrap().iter().flat_map(|need| need["grants"].as_array().unwrap());
    let through: Vec<&str> = grants.filter_map(|grant| grant["throughGroup"].as_str()).collect();
    assert!(through.iter().any(|id| id.eq_ignore_ascii_case(&group)), "{answer:#}");

    // Somebody in a group that is in that group has access by the same way; in the outer one alone nobody stands.
    let (person, inner) = ("5a11c0de-0000-4000-8000-0000000000c1", "5a11c0de-0000-4000-8000-0000000000c2");
    let put = |id: &str, kind: &str, members: Value| {
        sim.drift("resourcePut", id, json!({"id": id, "type": kind, "displayName": "new", "members": members}));
    };
    put(person, "Microsoft.Graph/users", Value::Null);
    put(inner, "Microsoft.Graph/groups", json!([person]));
    let through = || -> BTreeSet<String> {
        // How much of it counts already is a matter of time, and no part of this.
        let answer = sim.command(&["why", person, &workspace, "--output", "json"]).output().unwrap();
        assert!(matches!(answer.status.code(), Some(0 | 2)), "{}", stderr(&answer));
        let answer: Value = serde_json::from_str(&stdout(&answer)).unwrap();
        let grants = answer["needs"].as_array().unwrap().iter().flat_map(|need| need["grants"].as_array().unwrap());
        grants.filter_map(|grant| grant["throughGroup"].as_str()).map(str::to_lowercase).collect()
    };
    assert_eq!(through(), BTreeSet::new(), "the inner group is in no other yet");
    sim.drift("memberAdded", &group, json!(inner));
    assert_eq!(through(), BTreeSet::from([group.to_lowercase()]));
}
