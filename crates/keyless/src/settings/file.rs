//! The settings file as it is written: every key optional, an unknown one an error with its place.

use std::collections::BTreeSet;
use std::fmt;
use std::marker::PhantomData;
use std::path::{Path, PathBuf};
use std::time::Duration;

use keyless_arm::small_file;
use keyless_core::secret;
use serde::de::{self, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_saphyr::options::DuplicateKeyPolicy;

use super::credential::CredentialFile;
use super::fields::{Fields, Group, fields, refuse_scalars_and_lists};
use super::flow;
use super::values::{authority, path, resource_manager, storage_address, storage_suffix};
use super::versions::VersionsFile;
use super::{CloudKind, LogFormat, LogLevel};

/// How many problems of one file are told.
const MAX_PROBLEMS: usize = 50;

/// The longest settings file that is read, in bytes.
const MAX_BYTES: u64 = 256 * 1024;

/// All keys of the file.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct SettingsFile {
    pub cloud: Option<CloudFile>,
    pub credential: Option<CredentialFile>,
    #[serde(default, deserialize_with = "path")]
    pub desired_state: Option<PathBuf>,
    #[serde(default, deserialize_with = "duration")]
    pub interval: Option<Duration>,
    #[serde(default, deserialize_with = "fields")]
    pub limits: Option<LimitsFile>,
    #[serde(default, deserialize_with = "fields")]
    pub api_versions: Option<VersionsFile>,
    #[serde(default, deserialize_with = "path")]
    pub state_dir: Option<PathBuf>,
    #[serde(default, deserialize_with = "listen")]
    pub listen: Option<String>,
    pub log: Option<LogFormat>,
    pub log_level: Option<LogLevel>,
    #[serde(default, deserialize_with = "duration")]
    pub alert_reminder: Option<Duration>,
}

/// `cloud`, flattened.
#[derive(Debug, Clone, Default)]
pub(super) struct CloudFile {
    pub kind: Option<CloudKind>,
    pub custom: CustomFile,
}

/// `cloud.custom`.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct CustomFile {
    #[serde(default, deserialize_with = "resource_manager")]
    pub resource_manager: Option<String>,
    #[serde(default, deserialize_with = "authority")]
    pub authority: Option<String>,
    pub scope: Option<String>,
    #[serde(default, deserialize_with = "storage_suffix")]
    pub storage_suffix: Option<String>,
    #[serde(default, deserialize_with = "storage_address")]
    pub storage_address: Option<String>,
    #[serde(default, deserialize_with = "path")]
    pub ca_file: Option<PathBuf>,
}

/// `limits`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct LimitsFile {
    #[serde(default, deserialize_with = "in_flight")]
    pub max_in_flight: Option<usize>,
    #[serde(default, deserialize_with = "headroom")]
    pub headroom: Option<f64>,
    #[serde(default, deserialize_with = "fields")]
    pub reads: Option<RateFile>,
    #[serde(default, deserialize_with = "fields")]
    pub writes: Option<RateFile>,
    #[serde(default, deserialize_with = "fields")]
    pub deletes: Option<RateFile>,
    #[serde(default, deserialize_with = "fields")]
    pub storage_reads: Option<RateFile>,
    #[serde(default, deserialize_with = "fields")]
    pub storage_lists: Option<RateFile>,
    #[serde(default, deserialize_with = "fields")]
    pub storage_writes: Option<RateFile>,
}

/// One token bucket.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct RateFile {
    /// How many calls may come at once.
    #[serde(deserialize_with = "above_zero")]
    pub(crate) burst: f64,
    /// How many are added each second.
    #[serde(deserialize_with = "above_zero")]
    pub(crate) per_second: f64,
}

impl std::str::FromStr for RateFile {
    type Err = String;

    /// Reads `BURST,PER_SECOND`, the form of flags and variables.
    fn from_str(text: &str) -> Result<Self, String> {
        let bad = || format!("`{text}` is not `BURST,PER_SECOND`, such as `250,25`");
        let (burst, per_second) = text.split_once(',').ok_or_else(bad)?;
        let number = |part: &str| part.trim().parse::<f64>().map_err(|_| bad()).and_then(check_above_zero);
        Ok(Self { burst: number(burst)?, per_second: number(per_second)? })
    }
}

impl Group for SettingsFile {
    const WANTED: &'static str = "settings are fields, such as `desiredState: PATH`";
}

impl Group for CustomFile {
    const WANTED: &'static str = "`custom` takes fields: `custom: {resourceManager, authority, scope, caFile}`";
}

impl Group for LimitsFile {
    const WANTED: &'static str = "`limits` takes fields: `limits: {maxInFlight, headroom, reads, writes, …}`";
}

impl Group for RateFile {
    const WANTED: &'static str = "a rate takes fields, such as `{burst: 250, perSecond: 25}`";
}

impl Group for VersionsFile {
    const WANTED: &'static str = "`apiVersions` takes fields, such as `apiVersions: {workspaces: 2025-09-01}`";
}

/// Why a settings file is none. `Display` begins with the place.
#[derive(Debug)]
pub(crate) struct FileError(String);

impl fmt::Display for FileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for FileError {}

impl SettingsFile {
    /// Reads the file; its relative paths become relative to its own directory.
    pub(super) fn read(path: &Path) -> Result<Self, FileError> {
        let shown = path.display();
        let bytes = small_file::read(path, MAX_BYTES).map_err(|why| FileError(format!("{shown}: {why}")))?;
        let text = String::from_utf8(bytes).map_err(|_| FileError(format!("{shown}: is not UTF-8 text")))?;
        let mut file = Self::parse(&shown.to_string(), &text)?;
        file.anchor(path.parent().unwrap_or(Path::new("")));
        Ok(file)
    }

    fn parse(shown: &str, text: &str) -> Result<Self, FileError> {
        let options = serde_saphyr::options! {
            strict_booleans: true,
            budget: serde_saphyr::budget! { max_anchors: 0, max_aliases: 0, max_depth: 32 },
        };
        let (text, second) = first_document(text);
        // An empty file is a file in which every key has its default.
        if text.lines().all(|line| line.trim().is_empty() || line.trim_start().starts_with('#')) {
            return Ok(Self::default());
        }
        let mut text = text.to_owned();
        let mut problems: Vec<String> = Vec::new();
        let mut cut: BTreeSet<usize> = BTreeSet::new();
        // Brackets that lost an entry, by their places.
        let mut lost: BTreeSet<(usize, usize)> = BTreeSet::new();
        loop {
            // What is left of a file may be nothing.
            let read: Result<Option<Fields<Self>>, _> = serde_saphyr::from_str_with_options(&text, options.clone());
            let error = match read {
                Ok(file) if problems.is_empty() && second.is_none() => {
                    return Ok(file.map(|Fields(file)| file).unwrap_or_default());
                }
                Ok(_) => break,
                Err(error) => error,
            };
            let plain = error.without_snippet();
            let (line, column) = plain.location().map_or((1, 1), |at| (at.line(), at.column()));
            let (mut line, mut column) = (usize::try_from(line).unwrap_or(1), usize::try_from(column).unwrap_or(1));
            let message = plain.render_with_options(serde_saphyr::render_options! {
                formatter: &serde_saphyr::UserMessageFormatter,
                snippets: serde_saphyr::SnippetMode::Off,
            });
            // What lost an entry of its own to an earlier problem is not wrong for lacking it.
            let lacks = message.contains("missing field") || message.contains("is empty");
            let bracket = flow::bracket(&text, line, column).filter(|bracket| lacks && lost.contains(bracket));
            if let Some(bracket) = bracket {
                (line, column) = bracket;
            } else if !cut.contains(&line) {
                problems.push(format!("{shown}:{line}:{column}: {}", secret::without(&without_place(&message))));
            }
            // A text that is no YAML at all has no more to tell.
            let lax = serde_saphyr::options! { duplicate_keys: DuplicateKeyPolicy::PassThrough };
            let is_yaml = serde_saphyr::from_str_with_options::<de::IgnoredAny>(&text, lax).is_ok();
            if !is_yaml || problems.len() >= MAX_PROBLEMS {
                break;
            }
            match flow::cut(&mut text, line, column) {
                Some(bracket) => drop(lost.insert(bracket)),
                None if cut_entry(&mut text, line, &mut cut) => {}
                None => break,
            }
        }
        if let Some(line) = second {
            problems.push(format!("{shown}:{line}:1: a second document begins here; settings are one"));
        }
        Err(FileError(problems.join("\n")))
    }

    fn anchor(&mut self, directory: &Path) {
        let paths =
            [&mut self.desired_state, &mut self.state_dir, &mut self.cloud.get_or_insert_default().custom.ca_file];
        for path in paths.into_iter().flatten() {
            *path = directory.join(&path);
        }
        let credential = self.credential.get_or_insert_default();
        for path in [&mut credential.secret_file, &mut credential.pem_file].into_iter().flatten() {
            *path = directory.join(&path);
        }
    }
}

/// The first document of the text, and the line in which another one begins.
fn first_document(text: &str) -> (&str, Option<usize>) {
    let is =
        |line: &str, marker: &str| line.strip_prefix(marker).is_some_and(|rest| rest.trim_start().len() < rest.len());
    let (mut offset, mut content, mut over) = (0, false, false);
    for (number, line) in text.split_inclusive('\n').enumerate() {
        let opens = is(line, "---");
        let trimmed = line.trim_start_matches("---").trim();
        let says = !trimmed.is_empty() && !trimmed.starts_with('#');
        if (opens && content) || (over && says) {
            return (text.get(..offset).unwrap_or_default(), Some(number + 1));
        }
        over |= content && is(line, "...");
        // Directives such as `%YAML 1.2` belong to the document that the next marker opens.
        content |= opens || (says && !line.starts_with('%'));
        offset += line.len();
    }
    (text, None)
}

/// Takes the entry that begins in this line out of the text, so that the rest can be looked at; every other line keeps its
/// place. Notes the lines of the entries around it. Says whether anything was there.
fn cut_entry(text: &mut String, line: usize, cut: &mut BTreeSet<usize>) -> bool {
    let lines: Vec<&str> = text.lines().collect();
    let indent = |line: &str| line.len() - line.trim_start().len();
    let is_content = |line: &str| !line.trim().is_empty() && !line.trim_start().starts_with('#');
    let Some(at) = line.checked_sub(1) else { return false };
    let Some(first) = lines.get(at).filter(|line| is_content(line)) else { return false };
    let depth = indent(first);
    let below = lines.iter().skip(at + 1).take_while(|line| !is_content(line) || indent(line) > depth).count();
    let mut around = depth;
    for (index, line) in lines.iter().enumerate().take(at).rev() {
        if is_content(line) && indent(line) < around {
            around = indent(line);
            cut.insert(index + 1);
        }
    }
    let kept = lines.iter().enumerate().map(|(index, line)| if (at..=at + below).contains(&index) { "" } else { line });
    *text = kept.collect::<Vec<_>>().join("\n");
    true
}

/// The message without the parser's own ` at line 3, column 1`, which stands in front already.
fn without_place(message: &str) -> String {
    let line = message.lines().next().unwrap_or_default();
    let cut = line.rfind(" at line ").filter(|at| line.get(*at..).is_some_and(|tail| tail.contains("column")));
    cut.and_then(|at| line.get(..at)).unwrap_or(line).trim_end_matches('.').to_owned()
}

/// Refuses a rate at which nothing would ever be sent.
fn check_above_zero(number: f64) -> Result<f64, String> {
    if number.is_finite() && number > 0.0 { Ok(number) } else { Err(format!("{number} is not above 0")) }
}

/// Reads a number. In quotes it is text, as in the desired state.
fn number<'de, T: Deserialize<'de>, D: Deserializer<'de>>(deserializer: D) -> Result<T, D::Error> {
    fn read<'de, T: Deserialize<'de>, E: de::Error>(
        number: impl de::IntoDeserializer<'de, E> + fmt::Display + Copy,
    ) -> Result<T, E> {
        // Any of them can be a fraction.
        let wrong = |_: E| E::custom(format!("`{number}` is not a whole number above 0"));
        T::deserialize(number.into_deserializer()).map_err(wrong)
    }

    struct Unquoted<T>(PhantomData<T>);
    impl<'de, T: Deserialize<'de>> Visitor<'de> for Unquoted<T> {
        type Value = T;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a number")
        }

        fn visit_u64<E: de::Error>(self, number: u64) -> Result<T, E> {
            read(number)
        }

        fn visit_i64<E: de::Error>(self, number: i64) -> Result<T, E> {
            read(number)
        }

        fn visit_f64<E: de::Error>(self, number: f64) -> Result<T, E> {
            read(number)
        }

        fn visit_str<E: de::Error>(self, text: &str) -> Result<T, E> {
            Err(E::custom(match text.parse::<f64>() {
                Ok(_) => format!("`{text}` in quotes is text, and a number is needed; write it without them"),
                Err(_) => format!("`{text}` is not a number"),
            }))
        }
    }
    deserializer.deserialize_any(Unquoted(PhantomData))
}

fn above_zero<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
    check_above_zero(number(deserializer)?).map_err(de::Error::custom)
}

fn listen<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    super::check_listen(&String::deserialize(deserializer)?).map(Some).map_err(de::Error::custom)
}

fn in_flight<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<usize>, D::Error> {
    super::check_in_flight(number(deserializer)?).map(Some).map_err(de::Error::custom)
}

fn headroom<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<f64>, D::Error> {
    super::check_headroom(number(deserializer)?).map(Some).map_err(de::Error::custom)
}

/// Reads a duration as people write it.
fn duration<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Duration>, D::Error> {
    let text = String::deserialize(deserializer)?;
    super::parse_duration(&text).map(Some).map_err(de::Error::custom)
}

const CLOUDS: &str =
    "`cloud` is `public`, `usGovernment`, `china` or `custom: {resourceManager, authority, scope, caFile}`";

impl<'de> Deserialize<'de> for CloudFile {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Words;
        impl<'de> Visitor<'de> for Words {
            type Value = CloudFile;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(CLOUDS)
            }

            refuse_scalars_and_lists!(CLOUDS);

            fn visit_str<E: de::Error>(self, word: &str) -> Result<CloudFile, E> {
                let kind = word.parse().map_err(E::custom)?;
                if kind == CloudKind::Custom {
                    return Err(E::custom(
                        "`custom` needs its addresses: `custom: {resourceManager, authority, scope}`",
                    ));
                }
                Ok(CloudFile { kind: Some(kind), custom: CustomFile::default() })
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<CloudFile, A::Error> {
                let Some(key) = map.next_key::<String>()? else { return Err(de::Error::custom("is empty")) };
                if key != "custom" {
                    return Err(de::Error::unknown_field(&key, &["custom"]));
                }
                let Fields(custom) = map.next_value()?;
                match map.next_key::<String>()? {
                    Some(key) => Err(de::Error::custom(format!("`{key}` cannot stand beside `custom`"))),
                    None => Ok(CloudFile { kind: Some(CloudKind::Custom), custom }),
                }
            }
        }
        deserializer.deserialize_any(Words)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(text: &str) -> String {
        SettingsFile::parse("keyless.yaml", text).unwrap_err().to_string()
    }

    #[test]
    fn every_form_of_every_key_is_read() {
        for text in [
            "",
            "# only a comment\n",
            "cloud: china\n",
            "cloud: {custom: {resourceManager: 'http://127.0.0.1:1', authority: 'http://127.0.0.1:1', scope: s, caFile: ca.pem}}",
            "credential: auto",
            "credential: {managedIdentity: {clientId: x}}",
            "credential: {clientSecret: {tenantId: t, clientId: c, secretFile: f}}",
            "credential: {clientCertificate: {tenantId: t, clientId: c, pemFile: f}}",
            "desiredState: desired\ninterval: 1s\nstateDir: state\nlisten: 127.0.0.1:0\nlog: json\nlogLevel: debug\nalertReminder: 1h\n",
            "limits: {maxInFlight: 4, headroom: 0, reads: {burst: 1e5, perSecond: 1000}}",
            "apiVersions: {workspaces: 2025-06-01, storage: [2023-05-01, 2022-09-01], locks: '2016-09-01'}",
            "%YAML 1.2\n--- # settings\ninterval: 1s\n...\n# end\n",
            "---\nlimits:\napiVersions:\nstateDir:\n",
            "---\n",
        ] {
            SettingsFile::parse("keyless.yaml", text).unwrap_or_else(|error| panic!("{text}: {error}"));
        }
    }

    #[test]
    fn a_wrong_key_or_value_is_named_with_its_place() {
        for (text, place, word) in [
            ("interval: 1s\nintervall: 2s\n", "keyless.yaml:2:1: ", "intervall"),
            ("interval: 1s\ninterval: 2s\n", "keyless.yaml:2:1: ", "interval"),
            ("interval: 90\n", "keyless.yaml:1:11: ", "90"),
            ("interval: 0s\n", "keyless.yaml:1:11: ", "0s"),
            ("cloud: mars\n", "keyless.yaml:1:8: ", "mars"),
            ("cloud: custom\n", "keyless.yaml:1:8: ", "addresses"),
            ("cloud:\n  custom:\n    resourcemanager: x\n", "keyless.yaml:3:5: ", "resourcemanager"),
            ("credential:\n  clientSecret:\n    secretfile: x\n", "keyless.yaml:3:5: ", "secretfile"),
            ("log: xml\n", "keyless.yaml:1:6: ", "xml"),
            ("listen: nowhere\n", "keyless.yaml:1:9: ", "HOST:PORT"),
            ("listen: '127.0.0.1:99999'\n", "keyless.yaml:1:9: ", "HOST:PORT"),
            ("limits: {reads: {burst: 1}}\n", "keyless.yaml:1:", "perSecond"),
            ("limits: {reads: {burst: 0, perSecond: 1}}\n", "keyless.yaml:1:", "above 0"),
            ("limits:\n  headroom: 1\n", "keyless.yaml:2:13: ", "below 1"),
            ("limits:\n  headroom: '0.5'\n", "keyless.yaml:2:13: ", "`0.5` in quotes is text"),
            ("limits:\n  maxInFlight: \"15\"\n", "keyless.yaml:2:16: ", "`15` in quotes is text"),
            ("limits:\n  maxInFlight: 1.5\n", "keyless.yaml:2:16: ", "1.5"),
            ("limits:\n  maxInFlight: -1\n", "keyless.yaml:2:16: ", "-1"),
            ("limits: {reads: {burst: many, perSecond: 1}}\n", "keyless.yaml:1:25: ", "`many` is not a number"),
            ("limits: {reads: {burst: 1, perSecond: '1'}}\n", "keyless.yaml:1:39: ", "`1` in quotes is text"),
            ("apiVersions:\n  workspaces: 2024-04-01\n", "keyless.yaml:2:15: ", "hides systemDatastoresAuthMode"),
            ("apiVersions:\n  storage: [2023-05-01, latest]\n", "keyless.yaml:2:25: ", "latest"),
            ("apiVersions:\n  storage: [2023-05-01, 2023-05-01]\n", "keyless.yaml:2:", "named twice"),
            ("apiVersions:\n  storage: []\n", "keyless.yaml:2:", "no version"),
            ("apiVersions:\n  Storage: 2023-05-01\n", "keyless.yaml:2:3: ", "Storage"),
            ("interval: 1s\nstateDir: ''\n", "keyless.yaml:2:11: ", "the path is empty"),
            ("desiredState: \"\"\n", "keyless.yaml:1:15: ", "the path is empty"),
            ("credential: {clientCertificate: {pemFile: ''}}\n", "keyless.yaml:1:", "the path is empty"),
            ("credential: {clientSecret: x}\n", "keyless.yaml:1:", "`clientSecret: {tenantId, clientId, secretFile}`"),
            ("credential:\n  managedIdentity: 5\n", "keyless.yaml:2:20: ", "`managedIdentity: {clientId}`"),
            ("credential:\n  clientCertificate: [x]\n", "keyless.yaml:2:", "`clientCertificate` takes fields"),
            ("credential: true\n", "keyless.yaml:1:13: ", "`credential` is `auto`"),
            ("cloud:\n  custom: true\n", "keyless.yaml:2:11: ", "`custom` takes fields"),
            ("limits: 0.5\n", "keyless.yaml:1:9: ", "`limits` takes fields"),
            ("limits:\n  reads: 250,25\n", "keyless.yaml:2:10: ", "`{burst: 250, perSecond: 25}`"),
            ("apiVersions: 2025-09-01\n", "keyless.yaml:1:14: ", "`apiVersions` takes fields"),
            ("cloud:\n  custom:\n    authority: 'https://ann@b'\n", "keyless.yaml:3:16: ", "carries a user name"),
            ("cloud:\n  custom:\n    resourceManager: http://b\n", "keyless.yaml:3:22: ", "over plain HTTP"),
            ("cloud: {custom: {storageSuffix: x}}\n", "keyless.yaml:1:33: ", "no domain"),
            ("cloud: {custom: {storageAddress: 'http://b'}}\n", "keyless.yaml:1:34: ", "not on this machine"),
            ("interval: 1s\n---\nlog: json\n", "keyless.yaml:2:1: ", "a second document begins here"),
            ("%YAML 1.2\n---\nlog: json\n...\n\nlog: text", "keyless.yaml:6:1: ", "settings are one"),
            ("- a\n", "keyless.yaml:1:", "such as `desiredState: PATH`"),
            ("a: [\n", "keyless.yaml:", ""),
        ] {
            let message = error(text);
            assert!(message.starts_with(place) && message.contains(word), "{text:?} gave {message:?}");
            assert!(!message.contains('\n'), "{message:?}");
        }
    }

    #[test]
    fn every_problem_is_told_at_once_with_its_place() {
        let text = "cloud: mars\n\
                    intervall: 2s\n\
                    interval: 90 # a number\n\
                    limits:\n  headroom: 7\n  # comment\n  reads:\n    burst: 0\n    perSecond: x\n  maxInFlight: 3\n\
                    credential:\n  clientSecret:\n    secretfile: x\n\
                    apiVersions:\n  workspaces: 2024-04-01\n  locks: never\n\
                    log: text\nlog: json\n";
        let message = error(text);
        let places: Vec<&str> = message.lines().map(|line| line.split(": ").next().unwrap()).collect();
        assert_eq!(
            places,
            [
                "keyless.yaml:1:8",
                "keyless.yaml:2:1",
                "keyless.yaml:3:11",
                "keyless.yaml:5:13",
                "keyless.yaml:8:12",
                "keyless.yaml:9:16",
                "keyless.yaml:13:5",
                "keyless.yaml:15:15",
                "keyless.yaml:16:10",
                "keyless.yaml:18:1",
            ],
            "{message}"
        );
    }

    #[test]
    fn the_problems_of_the_first_of_two_documents_are_told_too() {
        let message = error("intervall: 2s\nlog: xml\n---\nlog: json\n");
        let places: Vec<&str> = message.lines().map(|line| line.split(": ").next().unwrap()).collect();
        assert_eq!(places, ["keyless.yaml:1:1", "keyless.yaml:2:6", "keyless.yaml:3:1"], "{message}");
    }

    #[test]
    fn every_problem_of_flow_style_is_told_at_once_too() {
        let text = "{desiredState: d, intervall: 90, log: xml,\n limits: {headroom: 7, reads: {burst: 0}, \
                    writes: {burst: 1, perSecond: 0}}, listen: nowhere}\n";
        let message = error(text);
        let places: Vec<&str> = message.lines().map(|line| line.split(": ").next().unwrap()).collect();
        let expected = ["1:19", "1:39", "2:21", "2:39", "2:73", "2:86"].map(|place| format!("keyless.yaml:{place}"));
        assert_eq!(places, expected, "{message}");
    }

    #[test]
    fn a_secret_at_the_wrong_place_is_not_repeated() {
        for text in ["credential: {clientSecret: hunter2}", "credential: {clientSecret: {secret: [hunter2]}}"] {
            assert!(!error(text).contains("hunter2"), "{}", error(text));
        }
        let key = "hunter2M02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==";
        for text in [
            "credential: hunter2",
            &format!("credential: {key}"),
            "credential: x4qhunter8Q~hunter2uQbnw0-Jv.LPt_2Ys9HdMfaGoXe3",
            &format!("credential: {{clientSecret: {{secretFile: f, {key}: x}}}}"),
            &format!("credential: {{'{key}': x}}"),
            "cloud: 'AccountKey=hunter2'",
            "cloud: {custom: {resourceManager: 'http://127.0.0.1/?token=hunter2'}}",
            "cloud: {custom: {authority: 'https://a.example/x?sig=hunter2'}}",
            "cloud: {custom: {storageAddress: 'https://a.example/#hunter2'}}",
            "cloud: {custom: {storageSuffix: 'Password=hunter2'}}",
            "listen: 'http://a.example/?token=hunter2'",
            "interval: 'pwd=hunter2'",
            "log: 'Bearer hunter2'",
            &format!("limits: {{headroom: '{key}'}}"),
            &format!("apiVersions: {{storage: '{key}'}}"),
            &format!("interval: !{key} 5"),
        ] {
            assert!(!error(text).contains("hunter2"), "{}", error(text));
        }
        let file = SettingsFile::parse("f", "credential: {clientSecret: {secret: hunter2}}").unwrap();
        assert!(!format!("{file:?}").contains("hunter2"));
    }
}
