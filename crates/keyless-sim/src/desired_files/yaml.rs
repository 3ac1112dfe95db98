//! Prints values as block-style YAML that people can read.
//!
//! Text is written plain where every YAML reader, of version 1.1 or 1.2, takes it for that very text, and in double
//! quotes otherwise.

use std::fmt::Write;

/// A value to print; mappings keep their order.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Yaml {
    Text(String),
    Flag(bool),
    Number(f64),
    List(Vec<Yaml>),
    Map(Vec<(&'static str, Yaml)>),
    /// A mapping whose keys come from outside.
    Labels(Vec<(String, String)>),
}

impl Yaml {
    pub(super) fn text(text: impl Into<String>) -> Self {
        Self::Text(text.into())
    }

    pub(super) fn list(texts: impl IntoIterator<Item = impl Into<String>>) -> Self {
        Self::List(texts.into_iter().map(Self::text).collect())
    }

    /// The value as one document, with a newline at its end.
    pub(super) fn document(&self) -> String {
        let mut out = String::new();
        self.block(&mut out, 0);
        out
    }

    /// Prints at the start of a line that is indented already.
    fn block(&self, out: &mut String, indent: usize) {
        match self {
            Self::Map(entries) if !entries.is_empty() => {
                for (index, (key, value)) in entries.iter().enumerate() {
                    pad(out, if index == 0 { 0 } else { indent });
                    out.push_str(key);
                    value.after_key(out, indent);
                }
            }
            Self::Labels(entries) if !entries.is_empty() => {
                for (index, (key, value)) in entries.iter().enumerate() {
                    pad(out, if index == 0 { 0 } else { indent });
                    out.push_str(&scalar(key));
                    Self::text(value).after_key(out, indent);
                }
            }
            Self::List(items) if !items.is_empty() => {
                for (index, item) in items.iter().enumerate() {
                    pad(out, if index == 0 { 0 } else { indent });
                    out.push_str("- ");
                    item.block(out, indent + 2);
                }
            }
            Self::Map(_) | Self::Labels(_) => out.push_str("{}\n"),
            Self::List(_) => out.push_str("[]\n"),
            Self::Flag(flag) => {
                let _ = writeln!(out, "{flag}");
            }
            Self::Number(number) => {
                let _ = writeln!(out, "{number}");
            }
            Self::Text(text) => {
                out.push_str(&scalar(text));
                out.push('\n');
            }
        }
    }

    fn after_key(&self, out: &mut String, indent: usize) {
        let nested = match self {
            Self::Map(entries) => !entries.is_empty(),
            Self::Labels(entries) => !entries.is_empty(),
            Self::List(items) => !items.is_empty(),
            Self::Text(_) | Self::Flag(_) | Self::Number(_) => false,
        };
        out.push(':');
        if nested {
            out.push('\n');
            pad(out, indent + 2);
            self.block(out, indent + 2);
        } else {
            out.push(' ');
            self.block(out, indent);
        }
    }
}

fn pad(out: &mut String, indent: usize) {
    out.extend(std::iter::repeat_n(' ', indent));
}

fn scalar(text: &str) -> String {
    if is_plain(text) { text.to_owned() } else { quoted(text) }
}

fn is_plain(text: &str) -> bool {
    const WORDS: &[&str] = &["true", "false", "yes", "no", "on", "off", "y", "n", "null", "inf", "nan"];
    // A colon is no mark where no blank follows it, so URLs and addresses with a port stay plain.
    let harmless = |c: char| c.is_ascii_alphanumeric() || "/._-+@:()' ".contains(c);
    let number_like = text.chars().all(|c| c.is_ascii_hexdigit() || "xob+-_.,:tz ".contains(c.to_ascii_lowercase()));
    text.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '/')
        && text.ends_with(|c: char| c.is_ascii_alphanumeric() || c == '/' || c == ')')
        && text.chars().all(harmless)
        && !text.contains(": ")
        && !WORDS.contains(&text.to_ascii_lowercase().as_str())
        && (!number_like || is_unmistakable(text))
}

/// Texts made of the characters of numbers and times that are none: GUIDs, and addresses with a port.
fn is_unmistakable(text: &str) -> bool {
    let is_guid = text.len() == 36 && text.split('-').map(str::len).eq([8, 4, 4, 4, 12]);
    let is_word = text.chars().all(|c| c.is_ascii_alphabetic());
    let is_address = text.matches('.').count() == 3;
    is_guid || is_word || is_address
}

fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            // Breaks and marks that some reader would act on.
            c if c.is_control() || matches!(c, '\u{2028}' | '\u{2029}' | '\u{feff}') => {
                let _ = write!(out, "\\u{:04X}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_that_is_only_text_stays_plain() {
        for text in [
            "identity",
            "6s",
            "1500ms",
            "fraud-train",
            "/subscriptions/3f8c1d7a-52b4-4c0e-9d2e-7a1b6c5d4e90/resourceGroups/RG-ML-03",
            "12345678-1234-1234-1234-123456789012",
            "1e345678-1234-1234-1234-123456789012",
            "http://127.0.0.1:8080",
            "127.0.0.1:0",
            "Dana Ito",
        ] {
            assert_eq!(Yaml::text(text).document(), format!("{text}\n"));
        }
    }

    #[test]
    fn text_that_could_be_something_else_is_quoted() {
        for text in [
            "",
            " ",
            "true",
            "No",
            "off",
            "~",
            "null",
            "NaN",
            "17",
            "017",
            "1.5",
            "0x1F",
            "1_000",
            "1e3",
            "12:30",
            "12:30:45",
            "2026-01-01",
            "2026-01-01T00:00:00Z",
            "-",
            "- a",
            "a: b",
            "a #b",
            "a:",
            "#a",
            "[a]",
            "{a}",
            "*a",
            "&a",
            "!a",
            "a ",
            "'a",
            "%a",
            "@a",
            "`a",
            "|",
            ">",
            "a, b",
            "ü",
        ] {
            assert_eq!(Yaml::text(text).document(), format!("\"{text}\"\n"), "{text}");
        }
        assert_eq!(Yaml::text("a\"b\\c\nd\u{7}\u{2028}").document(), "\"a\\\"b\\\\c\\nd\\u0007\\u2028\"\n");
    }

    #[test]
    fn lists_and_mappings_are_printed_as_blocks() {
        let value = Yaml::Map(vec![
            ("kind", Yaml::text("Workspace")),
            ("labels", Yaml::Labels(vec![("team".to_owned(), "fraud".to_owned()), ("on".to_owned(), "1".to_owned())])),
            (
                "access",
                Yaml::List(vec![
                    Yaml::Map(vec![
                        ("principal", Yaml::Map(vec![("compute", Yaml::text("cpu"))])),
                        ("scenarios", Yaml::list(["training", "modelRegistry"])),
                    ]),
                    Yaml::Map(vec![("level", Yaml::text("readOnly"))]),
                ]),
            ),
            ("prune", Yaml::Flag(false)),
            ("burst", Yaml::Number(250.0)),
            ("perSecond", Yaml::Number(0.5)),
            ("none", Yaml::List(Vec::new())),
            ("empty", Yaml::Map(Vec::new())),
        ]);
        let expected = "\
kind: Workspace
labels:
  team: fraud
  \"on\": \"1\"
access:
  - principal:
      compute: cpu
    scenarios:
      - training
      - modelRegistry
  - level: readOnly
prune: false
burst: 250
perSecond: 0.5
none: []
empty: {}
";
        assert_eq!(value.document(), expected);
    }
}
