//! "Did you mean": the nearest of the words that would have been right.

/// Words further apart than this are no typing error of each other.
const LONGEST: usize = 40;

/// The candidate nearest to `word`, if it is near enough to be meant.
pub(super) fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    if word.is_empty() || word.len() > LONGEST {
        return None;
    }
    let folded = fold(word);
    let allowed = (folded.chars().count() / 3).max(1);
    candidates
        .into_iter()
        .map(|candidate| (distance(&folded, &fold(candidate)), candidate))
        .filter(|(distance, _)| *distance <= allowed)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// The whole hint: the nearest word, or else all of them.
pub(super) fn among<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str> + Clone) -> String {
    match nearest(word, candidates.clone()) {
        Some(candidate) => format!("did you mean `{candidate}`?"),
        None => format!("known here: {}", list(candidates)),
    }
}

/// `a, b, c`.
pub(super) fn list<'a>(words: impl IntoIterator<Item = &'a str>) -> String {
    words.into_iter().collect::<Vec<_>>().join(", ")
}

/// Case and separators are what people get wrong first.
fn fold(word: &str) -> String {
    word.chars().filter(|c| !matches!(c, '_' | '-' | ' ')).flat_map(char::to_lowercase).collect()
}

/// The edit distance in which swapping two neighbours is one edit.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut before: Vec<usize> = Vec::new();
    let mut above: Vec<usize> = (0..=b.len()).collect();
    let mut last = None;
    for (row, x) in a.chars().enumerate() {
        let mut current = vec![row + 1];
        for (column, y) in b.iter().enumerate() {
            let at = |line: &[usize], index: usize| line.get(index).copied().unwrap_or_default();
            let mut best = (at(&above, column) + usize::from(x != *y))
                .min(at(&above, column + 1) + 1)
                .min(at(&current, column) + 1);
            let left = column.checked_sub(1).and_then(|left| b.get(left));
            if last == Some(*y) && left == Some(&x) {
                best = best.min(at(&before, column.saturating_sub(1)) + 1);
            }
            current.push(best);
        }
        before = std::mem::replace(&mut above, current);
        last = Some(x);
    }
    above.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_word_is_offered_and_a_far_one_is_not() {
        let words = ["resourceId", "authMode", "readWrite", "readOnly"];
        assert_eq!(nearest("resourceID", words), Some("resourceId"));
        assert_eq!(nearest("auth_mode", words), Some("authMode"));
        assert_eq!(nearest("authMdoe", words), Some("authMode"));
        assert_eq!(nearest("readwrite", words), Some("readWrite"));
        assert_eq!(nearest("reedWryte", words), Some("readWrite"));
        assert_eq!(nearest("zebra", words), None);
        assert_eq!(nearest("", ["a"]), None);
        let long = "x".repeat(42);
        assert_eq!(nearest(&long[..40], [long.as_str()]), Some(long.as_str()));
        assert_eq!(nearest(&long[..41], [long.as_str()]), None);
    }

    #[test]
    fn an_edit_takes_a_letter_away_adds_one_changes_one_or_swaps_two() {
        for (a, b, edits) in
            [("", "", 0), ("a", "", 1), ("", "ab", 2), ("ab", "ba", 1), ("ab", "bc", 2), ("kitten", "sitting", 3)]
        {
            assert_eq!(distance(a, b), edits, "{a} {b}");
        }
    }
}
