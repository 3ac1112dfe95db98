//! What holds for every text: no panic, a problem for every refusal, one line per problem, no influence of the order.

use keyless_core::desired::{Desired, Location};
use keyless_core::manifest::{Problem, SourceFile, load};
use proptest::prelude::*;

const SEEDS: [&str; 4] = [
    "apiVersion: keyless.dev/v1\nkind: Workspace\nmetadata: {name: fraud, labels: {team: a}}\nspec:\n  resourceId: /subscriptions/3f8c1d7a-52b4-4c0e-9d2e-7a1b6c5d4e90/resourceGroups/rg/providers/Microsoft.MachineLearningServices/workspaces/fraud\n  authMode: identity\n  suspend:\n    reason: |\n      audit\n    until: 2026-12-24T00:00:00Z\n  access:\n    - principal: {group: {objectId: 9b1f3c52-7d64-4f0a-8a3e-2c5b6d7e8f90, name: \"data\"}}\n      level: readWrite\n    - principal: {compute: cpu}\n      scenarios: [training, parallelRunStep]\n  profiles: [readers]\n",
    "apiVersion: keyless.dev/v1\nkind: StorageAccount\nspec:\n  resourceId: /subscriptions/3f8c1d7a-52b4-4c0e-9d2e-7a1b6c5d4e90/resourceGroups/rg/providers/Microsoft.Storage/storageAccounts/stfraud\n  sharedKeyAccess: disabled\n  keyIdle: 30d\n  acceptSas: {reason: r, owner: o, until: 2027-01-31T00:00:00Z}\n",
    "apiVersion: keyless.dev/v1\nkind: AccessProfile\nmetadata: {name: readers}\nspec:\n  access:\n    - principal: {user: {objectId: 4d2c8a1e-6b3f-4e57-9c0d-1f2a3b4c5d6e}}\n      level: readOnly\n",
    "apiVersion: keyless.dev/v1\nkind: Fleet\nspec:\n  owner: ml\n  defaults: {rolePropagation: 20m, prune: true}\n  changeWindows:\n    - {days: [Mon], from: \"09:00\", to: \"17:00\"}\n  guard: {paused: false, fight: {reversals: 2, within: 12h}}\n",
];

/// Pieces that mean something to YAML or to the format.
const PIECES: &[&str] = &[
    "---\n",
    "...\n",
    "\n",
    " ",
    "\t",
    ": ",
    "- ",
    "? ",
    "[",
    "]",
    "{",
    "}",
    ",",
    "&a ",
    "*a",
    "!x ",
    "!!int ",
    "|\n",
    ">-\n",
    "\"",
    "'",
    "#",
    "%YAML 1.2\n",
    "<<: ",
    "~",
    "null",
    "true",
    "0",
    "017",
    "1e999",
    ".nan",
    "é",
    "\u{feff}",
    "\u{85}",
    "\u{2028}",
    "\r",
    "\r\n",
    "\\",
    "\\u0000",
    "kind: ",
    "spec:\n",
    "authMode: identity\n",
    "    ",
    "@",
    "`",
    "=",
    "<<<<<<< a\n",
    "\0",
    "😀",
];

/// Loads and checks what must hold whatever the text is.
fn judge(files: &[SourceFile]) {
    let problems: Vec<Problem> = match load("desired", files) {
        Ok(accepted) => {
            assert!(!accepted.desired.revision.0.is_empty());
            accepted.warnings
        }
        Err(rejected) => {
            assert!(!rejected.problems.is_empty(), "refused without a problem");
            let mut sorted = rejected.problems.clone();
            sorted.sort();
            assert_eq!(sorted, rejected.problems);
            rejected.problems.into_iter().chain(rejected.warnings).collect()
        }
    };
    for problem in problems {
        let Location { line, column, .. } = problem.location;
        assert!(line >= 1 && column >= 1, "{problem}");
        assert!(!problem.to_string().contains(char::is_control), "{:?}", problem.to_string());
    }
}

/// Changes a text at a place: puts something in, takes something away, or says something twice.
fn edit(text: &str, edits: &[(prop::sample::Index, usize, &str)]) -> String {
    let mut chars: Vec<char> = text.chars().collect();
    for (place, length, piece) in edits {
        let at = place.index(chars.len() + 1);
        let end = (at + length % 12).min(chars.len());
        if length % 3 == 0 {
            let copied: Vec<char> = chars[at..end].to_vec();
            chars.splice(at..at, copied);
        } else {
            chars.splice(at..end, piece.chars());
        }
    }
    chars.into_iter().collect()
}

fn without_locations(mut desired: Desired) -> Desired {
    desired.workspaces.values_mut().for_each(|workspace| workspace.location = Location::default());
    desired.accounts.values_mut().for_each(|account| account.location = Location::default());
    desired
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn random_bytes_are_judged_without_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        judge(&[SourceFile::new("f.yaml", bytes)]);
    }

    #[test]
    fn random_pieces_of_yaml_are_judged_without_a_panic(pieces in prop::collection::vec(prop::sample::select(PIECES), 0..60)) {
        judge(&[SourceFile::new("f.yaml", pieces.concat())]);
    }

    #[test]
    fn damaged_documents_are_judged_without_a_panic(
        seed in prop::sample::select(&SEEDS[..]),
        edits in prop::collection::vec((any::<prop::sample::Index>(), 0_usize..64, prop::sample::select(PIECES)), 1..6),
    ) {
        judge(&[SourceFile::new("damaged.yaml", edit(seed, &edits)), SourceFile::new("whole.yaml", SEEDS[2])]);
    }

    #[test]
    fn a_damaged_document_hides_no_problem_of_the_one_after_it(
        seed in prop::sample::select(&SEEDS[..]),
        edits in prop::collection::vec((any::<prop::sample::Index>(), 0_usize..64, prop::sample::select(PIECES)), 1..6),
    ) {
        let damaged = edit(seed, &edits);
        // Bytes that are no text, or a directive, make the file as a whole something else.
        prop_assume!(!damaged.contains(['\0', '\u{85}', '\u{2028}', '\u{feff}', '%']));
        let text = format!("{damaged}\n---\napiVersion: keyless.dev/v1\nkind: Fleet\nspec: {{owner: o, colour: red}}\n");
        let line = text.matches("\r\n").count() + text.replace("\r\n", "").matches(['\n', '\r']).count();
        let rejected = load("desired", &[SourceFile::new("f.yaml", text)]).unwrap_err();
        let found = rejected.problems.iter().any(|problem| {
            problem.message.contains("unknown field `colour`") && problem.location.line as usize == line
        });
        prop_assert!(found, "{:?}", rejected.problems);
    }

    #[test]
    fn the_order_and_the_cut_of_files_change_nothing(order in Just([0_usize, 1, 2, 3]).prop_shuffle(), together in 0_usize..4) {
        let plain: Vec<SourceFile> = SEEDS.iter().enumerate().map(|(i, text)| SourceFile::new(format!("{i}.yaml"), *text)).collect();
        let expected = load("desired", &plain).unwrap();
        let shuffled: Vec<SourceFile> = order.iter().map(|i| plain[*i].clone()).collect();
        let same = load("elsewhere", &shuffled).unwrap();
        prop_assert_eq!(&same.desired, &expected.desired);
        prop_assert_eq!(&same.warnings, &expected.warnings);
        let (first, rest) = order.split_at(together);
        let first = first.iter().map(|i| SEEDS[*i]).collect::<Vec<_>>().join("---\n");
        let mut cut: Vec<SourceFile> = rest.iter().enumerate().map(|(n, i)| SourceFile::new(format!("x{n}"), SEEDS[*i])).collect();
        cut.push(SourceFile::new("first", first));
        prop_assert_eq!(without_locations(load("d", &cut).unwrap().desired), without_locations(expected.desired));
    }
}

#[test]
fn texts_that_are_made_to_exhaust_the_parser_are_refused() {
    let bombs = [
        "[".repeat(100_000),
        "{a: ".repeat(100_000),
        "- ".repeat(100_000),
        "? ".repeat(100_000),
        "a: \"".to_owned() + &"x\n ".repeat(50_000),
        "--- ]\n".repeat(5_000),
        format!("a: &a [{}]\nb: [{}]\n", "x,".repeat(100), "*a,".repeat(1000)),
        format!("[{}]", "a,".repeat(300_000)),
        "%YAML 1.2\n".repeat(20_000),
        "\"\\x".repeat(10_000),
    ];
    for bomb in bombs {
        let rejected = load("desired", &[SourceFile::new("bomb.yaml", bomb.as_str())]).unwrap_err();
        assert!(!rejected.problems.is_empty(), "{}", &bomb[..20]);
    }
}
