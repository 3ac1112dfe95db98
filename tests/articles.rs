//! The table of `docs/articles.md` is whole: no row without an answer, and no test in it that does not exist.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that fails says so by panicking, its helpers too"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// The rows of all tables below their heads, each as its cells.
fn rows(text: &str) -> Vec<Vec<String>> {
    let mut rows = Vec::new();
    let mut head = true;
    for line in text.lines() {
        let Some(inner) = line.strip_prefix("| ").and_then(|line| line.strip_suffix(" |")) else {
            head = true;
            continue;
        };
        let cells: Vec<String> = inner.split(" | ").map(|cell| cell.trim().to_owned()).collect();
        if head || cells.iter().all(|cell| cell.chars().all(|c| c == '-')) {
            head = false;
            continue;
        }
        rows.push(cells);
    }
    rows
}

/// What stands between backticks in a cell.
fn quoted(cell: &str) -> Vec<&str> {
    cell.split('`').skip(1).step_by(2).collect()
}

/// Whether the source has a test of this name that is run: a helper of the name shows nothing.
fn is_test(source: &str, name: &str) -> bool {
    let lines: Vec<&str> = source.lines().map(str::trim).collect();
    let function = format!("fn {name}(");
    let Some(at) = lines.iter().position(|line| line.strip_prefix("async ").unwrap_or(line).starts_with(&function))
    else {
        return false;
    };
    let above: Vec<&str> = lines[..at].iter().rev().take_while(|line| line.starts_with("#[")).copied().collect();
    above.iter().any(|line| line.starts_with("#[test]") || line.starts_with("#[tokio::test"))
        && !above.iter().any(|line| line.trim_start_matches("#[").starts_with("ignore"))
}

#[test]
fn a_helper_or_a_test_that_is_not_run_shows_nothing() {
    let source =
        "#[test]\nfn one() {}\nfn two() {}\n#[test]\n#[SKIP]\nfn three() {}\n#[tokio::test]\nasync fn four() {}"
            .replace("SKIP", "ignore");
    for (name, shows) in [("one", true), ("two", false), ("three", false), ("four", true), ("on", false)] {
        assert_eq!(is_test(&source, name), shows, "{name}");
    }
}

#[test]
fn every_row_says_what_keyless_does_and_which_test_shows_it() {
    let text = std::fs::read_to_string(repository().join("docs/articles.md")).unwrap();
    let rows = rows(&text);
    let mut sources: BTreeMap<PathBuf, String> = BTreeMap::new();
    let mut seen: BTreeSet<String> = BTreeSet::new();
    for row in &rows {
        let [number, what, does, shown] = row.as_slice() else { panic!("not four cells: {row:?}") };
        assert!(seen.insert(number.clone()), "{number} is there twice");
        assert!(![number, what, does, shown].iter().any(|cell| cell.is_empty()), "an empty cell: {row:?}");
        let verbs = ["acts", "checks", "warns", "advises", "refuses", "nothing to do"];
        assert!(verbs.iter().any(|verb| does.starts_with(verb)), "{number} does not say what is done: {does}");
        let tests = quoted(shown);
        assert!(!tests.is_empty(), "{number} names no test");
        for test in tests {
            let (path, name) = test.split_once("::").unwrap_or_else(|| panic!("{number}: `{test}` is no path::test"));
            let path = repository().join(path);
            let source = sources.entry(path.clone()).or_insert_with(|| {
                std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{number}: {}: {error}", path.display()))
            });
            let said = is_test(source, name);
            assert!(said, "{number}: there is no test `{name}` that is run in {}", path.display());
        }
    }
    // All of each table, without a gap: a row that goes, goes here too.
    let tables = [("W", 13), ("H", 6), ("S", 16), ("L", 9), ("D", 15)];
    let expected = tables.iter().flat_map(|(letter, last)| (1..=*last).map(move |n| format!("{letter}{n}")));
    assert_eq!(seen, expected.collect::<BTreeSet<String>>());
}
