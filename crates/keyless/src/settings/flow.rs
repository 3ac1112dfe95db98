//! Entries of mappings and lists in flow style, `{a: 1, b: [2]}`: found by a place in them and taken out.

/// A bracket that is open.
struct Open {
    /// Its place.
    at: (usize, usize),
    /// Where the entry under way begins: behind the bracket or the last comma.
    from: usize,
}

/// An entry, and what it stands in.
struct Entry {
    bracket: (usize, usize),
    from: usize,
    to: usize,
    comma: bool,
}

/// The place of the bracket at or around this place, all from 1.
pub(super) fn bracket(text: &str, line: usize, column: usize) -> Option<(usize, usize)> {
    let at = text.lines().nth(line.checked_sub(1)?)?.chars().nth(column.checked_sub(1)?);
    if matches!(at, Some('{' | '[')) {
        return Some((line, column));
    }
    entry(text, line, column).map(|entry| entry.bracket)
}

/// Takes the entry at this place out of the text; everything else keeps its place. Gives the place of the bracket around it,
/// or nothing if there is no such entry.
pub(super) fn cut(text: &mut String, line: usize, column: usize) -> Option<(usize, usize)> {
    let Entry { bracket, from, to, comma } = entry(text, line, column)?;
    let content = text.get(from..to)?;
    if content.trim().is_empty() {
        // Nothing is left in the bracket that could be taken out.
        return cut(text, bracket.0, bracket.1);
    }
    // As many signs and lines as before, so that places stay.
    let blank = content.chars().map(|c| if c == '\n' { '\n' } else { ' ' });
    let blank: String = if comma { blank.chain([' ']).collect() } else { blank.collect() };
    text.replace_range(from..to + usize::from(comma), &blank);
    Some(bracket)
}

fn entry(text: &str, line: usize, column: usize) -> Option<Entry> {
    let mut open: Vec<Open> = Vec::new();
    let mut found: Option<((usize, usize), usize, usize)> = None;
    let (mut at, mut quote, mut comment, mut before) = ((1, 1), None, false, ' ');
    for (offset, c) in text.char_indices() {
        if found.is_none() && at == (line, column) {
            let inner = open.last()?;
            found = Some((inner.at, inner.from, open.len()));
        }
        match c {
            '\n' => comment = false,
            _ if comment => {}
            _ if quote == Some(c) && before != '\\' => quote = None,
            _ if quote.is_some() => {}
            '#' if before.is_whitespace() => comment = true,
            '"' | '\'' if before.is_whitespace() || matches!(before, ',' | '{' | '[' | ':') => quote = Some(c),
            '{' | '[' if !open.is_empty() || before.is_whitespace() => open.push(Open { at, from: offset + 1 }),
            ',' | '}' | ']' => {
                if let Some((bracket, from, depth)) = found
                    && open.len() == depth
                {
                    return Some(Entry { bracket, from, to: offset, comma: c == ',' });
                }
                match open.last_mut() {
                    Some(inner) if c == ',' => inner.from = offset + 1,
                    _ => drop(open.pop()),
                }
            }
            _ => {}
        }
        before = c;
        at = if c == '\n' { (at.0 + 1, 1) } else { (at.0, at.1 + 1) };
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_of_flow_style_is_taken_out_and_the_rest_keeps_its_place() {
        for (text, place, left) in [
            ("{a: 1, b: 2, c: 3}", (1, 8), "{a: 1,______ c: 3}"),
            ("{a: 1, b: 2}", (1, 2), "{_____ b: 2}"),
            ("{a: 1, b: 2}", (1, 11), "{a: 1,_____}"),
            ("x: {a: {b: 1, c: 2}}\n", (1, 8), "x: {_______________}\n"),
            ("x: {a: {b: 1, c: 2}}\n", (1, 12), "x: {a: {_____ c: 2}}\n"),
            ("x: {a: 'it, is', # }\n  b: [1, 2]}\n", (2, 3), "x: {a: 'it, is',____\n___________}\n"),
            ("x: {é: 1, b: 2}", (1, 11), "x: {é: 1,_____}"),
        ] {
            let mut cut_from = text.to_owned();
            assert!(cut(&mut cut_from, place.0, place.1).is_some(), "{text}");
            assert_eq!(cut_from, left.replace('_', " "));
        }
        for (text, place) in
            [("a: 1\nb: {c: 2}\n", (1, 1)), ("a: 1\nb: {c: 2}\n", (2, 1)), ("a: 'x {y'\nb: 1\n", (2, 1))]
        {
            assert!(cut(&mut text.to_owned(), place.0, place.1).is_none(), "{text} {place:?}");
        }
    }
}
