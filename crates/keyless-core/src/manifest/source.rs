//! One file's bytes: whether they are text at all, and where its documents begin.

use crate::desired::Location;

use super::problem::{Report, is_forbidden};

/// The longest file that is read, in bytes: about ten thousand workspaces.
pub const MAX_FILE_BYTES: u64 = 4 * 1024 * 1024;

/// The most documents in one file.
const MAX_DOCUMENTS: usize = 20_000;

/// One file of the desired state, or the reason why its bytes are not at hand.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct SourceFile {
    path: String,
    bytes: Result<Vec<u8>, String>,
}

impl SourceFile {
    /// A file as it was read.
    #[must_use]
    pub fn new(path: impl Into<String>, bytes: impl Into<Vec<u8>>) -> Self {
        Self { path: path.into(), bytes: Ok(bytes.into()) }
    }

    /// A file that was not read because its size exceeds [`MAX_FILE_BYTES`].
    #[must_use]
    pub fn too_large(path: impl Into<String>, size: u64) -> Self {
        Self { path: path.into(), bytes: Err(too_large(size)) }
    }

    /// A file or directory that could not be read, with the reason.
    #[must_use]
    pub fn unreadable(path: impl Into<String>, why: impl std::fmt::Display) -> Self {
        Self { path: path.into(), bytes: Err(format!("cannot be read: {why}")) }
    }

    /// The path as given.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The file as text without a byte order mark, or nothing after reporting why it is none.
    pub(super) fn text(&self, report: &mut Report) -> Option<&str> {
        let bytes = match &self.bytes {
            Ok(bytes) => bytes.as_slice(),
            Err(why) => {
                report.problem(whole_file(&self.path), why, None);
                return None;
            }
        };
        let size = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        if size > MAX_FILE_BYTES {
            report.problem(whole_file(&self.path), too_large(size), None);
            return None;
        }
        if bytes.starts_with(&[0xff, 0xfe]) || bytes.starts_with(&[0xfe, 0xff]) {
            report.problem(
                whole_file(&self.path),
                "the file is UTF-16, which is not read",
                Some("save it as UTF-8".to_owned()),
            );
            return None;
        }
        let bytes = bytes.strip_prefix("\u{feff}".as_bytes()).unwrap_or(bytes);
        let text = match std::str::from_utf8(bytes) {
            Ok(text) => text,
            Err(error) => {
                let (good, bad) = bytes.split_at_checked(error.valid_up_to()).unwrap_or_default();
                let good = std::str::from_utf8(good).unwrap_or_default();
                let byte = bad.first().copied().unwrap_or_default();
                report.problem(
                    end_of(&self.path, good),
                    format!("the file is not UTF-8 text: byte 0x{byte:02x}"),
                    Some("only YAML and JSON documents belong here".to_owned()),
                );
                return None;
            }
        };
        if let Some((offset, c)) = text.char_indices().find(|(_, c)| is_forbidden(*c)) {
            let before = text.get(..offset).unwrap_or_default();
            report.problem(
                end_of(&self.path, before),
                format!("the file holds the control character U+{:04X}", u32::from(c)),
                Some("only YAML and JSON documents belong here".to_owned()),
            );
            return None;
        }
        Some(text)
    }
}

fn too_large(size: u64) -> String {
    format!("the file is too large: {size} bytes, at most {MAX_FILE_BYTES} are read")
}

/// The place that stands for a file or directory as a whole.
pub(super) fn whole_file(path: &str) -> Location {
    Location { path: path.to_owned(), line: 1, column: 1 }
}

/// The place right after `text`.
fn end_of(path: &str, text: &str) -> Location {
    let mut line = 1;
    let mut start = text;
    for part in lines(text) {
        if part.ends_with(['\n', '\r']) {
            line += 1;
            start = "";
        } else {
            start = part;
        }
    }
    let column = u32::try_from(start.chars().count()).unwrap_or(u32::MAX).saturating_add(1);
    Location { path: path.to_owned(), line, column }
}

/// The part of a file between two document markers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Part<'t> {
    /// The lines of the file before it.
    pub lines_before: u32,
    /// Its text, the opening marker included.
    pub text: &'t str,
}

/// Cuts a text at its document markers, so that a broken document does not take the next ones with it.
///
/// A line `---` or `...` in the first column ends a document even inside of a quoted or block text, so this needs no
/// parser. Parts without content are left out. Nothing if there are more than one file may have, which is reported.
pub(super) fn parts<'t>(path: &str, text: &'t str, report: &mut Report) -> Option<Vec<Part<'t>>> {
    let mut parts = Vec::new();
    let mut start = 0;
    let mut start_line = 0;
    let mut content = Content::Nothing;
    let mut offset = 0;
    let mut line_number: u32 = 0;
    let mut close = |start: usize, end: usize, lines_before: u32, content: Content| {
        if content != Content::Nothing
            && let Some(text) = text.get(start..end)
        {
            parts.push(Part { lines_before, text });
        }
    };
    for line in lines(text) {
        let opens = is_marker(line, "---");
        // Directives such as `%YAML 1.2` belong to the document that the next marker opens.
        if (opens && content != Content::Directives) || is_marker(line, "...") {
            close(start, offset, start_line, content);
            start = if opens { offset } else { offset + line.len() };
            start_line = if opens { line_number } else { line_number.saturating_add(1) };
            content = Content::Nothing;
        }
        let rest = if opens { line.get(3..).unwrap_or_default() } else { line };
        if !is_marker(line, "...") {
            content = content.then(rest, opens);
        }
        offset += line.len();
        line_number = line_number.saturating_add(1);
    }
    close(start, text.len(), start_line, content);
    if parts.len() > MAX_DOCUMENTS {
        report.problem(
            whole_file(path),
            format!("the file has {} documents, at most {MAX_DOCUMENTS} are read from one file", parts.len()),
            Some("spread them over several files".to_owned()),
        );
        return None;
    }
    Some(parts)
}

/// What a part has held so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Content {
    Nothing,
    Directives,
    Something,
}

impl Content {
    fn then(self, line: &str, opens: bool) -> Self {
        let trimmed = line.trim();
        if trimmed.is_empty() || trimmed.starts_with('#') {
            // The marker ends the directives; without it they would be glued to the next document as well.
            return if opens && self == Self::Directives { Self::Nothing } else { self };
        }
        match self {
            Self::Nothing if line.starts_with('%') && !opens => Self::Directives,
            Self::Directives if line.starts_with('%') => Self::Directives,
            _ => Self::Something,
        }
    }
}

fn is_marker(line: &str, marker: &str) -> bool {
    line.strip_prefix(marker).is_some_and(|rest| rest.is_empty() || rest.starts_with([' ', '\t', '\n', '\r']))
}

/// The lines of a text with their ends, which are `\n`, `\r\n` or `\r` as in YAML.
pub(super) fn lines(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = text;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let end = match rest.find(['\n', '\r']) {
            Some(end) if rest.get(end..).is_some_and(|tail| tail.starts_with("\r\n")) => end + 2,
            Some(end) => end + 1,
            None => rest.len(),
        };
        let (line, tail) = rest.split_at_checked(end)?;
        rest = tail;
        Some(line)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cut(text: &str) -> Vec<(u32, &str)> {
        parts("f", text, &mut Report::default())
            .unwrap()
            .into_iter()
            .map(|part| (part.lines_before, part.text))
            .collect()
    }

    #[test]
    fn documents_are_cut_at_markers_and_empty_ones_left_out() {
        assert_eq!(cut("a: 1\n---\n# only a comment\n---\nb: 2\n"), [(0, "a: 1\n"), (3, "---\nb: 2\n")]);
        assert_eq!(cut("--- {a: 1}\r\n---\r\nb: 2"), [(0, "--- {a: 1}\r\n"), (1, "---\r\nb: 2")]);
        assert_eq!(cut("a: 1\n...\nb: 2\n"), [(0, "a: 1\n"), (2, "b: 2\n")]);
        assert_eq!(cut("---\n---\n\n# x\n"), []);
        assert_eq!(cut("a: |\n  ---\n"), [(0, "a: |\n  ---\n")]);
        assert_eq!(cut("a: ---b\n----\n"), [(0, "a: ---b\n----\n")]);
        assert_eq!(cut(&"--- a\n".repeat(MAX_DOCUMENTS)).len(), MAX_DOCUMENTS);
    }

    #[test]
    fn a_directive_stays_with_the_document_it_opens() {
        assert_eq!(cut("%YAML 1.2\n---\na: 1\n---\nb: 2\n"), [(0, "%YAML 1.2\n---\na: 1\n"), (3, "---\nb: 2\n")]);
        assert_eq!(cut("%YAML 1.2\n---\n---\nb: 2\n"), [(2, "---\nb: 2\n")]);
        assert_eq!(cut("%YAML 1.2\n%TAG ! !a\n---\na: 1\n"), [(0, "%YAML 1.2\n%TAG ! !a\n---\na: 1\n")]);
        assert_eq!(cut("%YAML 1.2\na: 1\n---\nb: 2\n"), [(0, "%YAML 1.2\na: 1\n"), (2, "---\nb: 2\n")]);
        assert_eq!(cut("%YAML 1.2\n# x\n\n---\na: 1\n"), [(0, "%YAML 1.2\n# x\n\n---\na: 1\n")]);
    }

    #[test]
    fn the_place_of_a_bad_byte_is_counted_in_characters() {
        let mut report = Report::default();
        assert!(SourceFile::new("f", b"a: 1\r\n\xc3\xa9: \xff".to_vec()).text(&mut report).is_none());
        let (problems, _) = report.into_sorted();
        assert_eq!(
            problems[0].to_string(),
            "f:2:4: the file is not UTF-8 text: byte 0xff (hint: only YAML and JSON documents belong here)"
        );
    }
}
