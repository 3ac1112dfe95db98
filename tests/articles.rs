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
            assert!(
                source.contains(&format!("fn {name}(")),
                "{number}: there is no test `{name}` in {}",
                path.display()
            );
        }
    }
    let expected = (1..=13).map(|n| format!("W{n}")).chain((1..=6).map(|n| format!("H{n}")));
    for number in expected {
        assert!(seen.contains(&number), "{number} is missing");
    }
}
