//! The settings file as it is written: every key optional, an unknown one an error with its place.

use std::collections::BTreeSet;
use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use keyless_arm::small_file;
use serde::de::{self, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_saphyr::options::DuplicateKeyPolicy;

use super::flow;
use super::secret::SecretText;
use super::versions::VersionsFile;
use super::{CloudKind, CredentialKind, LogFormat, LogLevel};

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
    pub desired_state: Option<PathBuf>,
    #[serde(default, deserialize_with = "duration")]
    pub interval: Option<Duration>,
    pub limits: Option<LimitsFile>,
    pub api_versions: Option<VersionsFile>,
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
    pub resource_manager: Option<String>,
    pub authority: Option<String>,
    pub scope: Option<String>,
    pub storage_suffix: Option<String>,
    pub storage_address: Option<String>,
    pub ca_file: Option<PathBuf>,
}

/// `credential`, flattened.
#[derive(Debug, Clone, Default)]
pub(super) struct CredentialFile {
    pub kind: Option<CredentialKind>,
    pub client_id: Option<String>,
    pub tenant_id: Option<String>,
    pub secret: Option<SecretText>,
    pub secret_file: Option<PathBuf>,
    pub pem_file: Option<PathBuf>,
}

/// `limits`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct LimitsFile {
    #[serde(default, deserialize_with = "in_flight")]
    pub max_in_flight: Option<usize>,
    #[serde(default, deserialize_with = "headroom")]
    pub headroom: Option<f64>,
    pub reads: Option<RateFile>,
    pub writes: Option<RateFile>,
    pub deletes: Option<RateFile>,
    pub storage_reads: Option<RateFile>,
    pub storage_lists: Option<RateFile>,
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
            budget: serde_saphyr::budget! { max_anchors: 0, max_aliases: 0, max_documents: 1, max_depth: 32 },
        };
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
            let error = match serde_saphyr::from_str_with_options(&text, options.clone()) {
                Ok(file) if problems.is_empty() => return Ok(file),
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
                problems.push(format!("{shown}:{line}:{column}: {}", without_place(&message)));
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

fn above_zero<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
    check_above_zero(f64::deserialize(deserializer)?).map_err(de::Error::custom)
}

fn listen<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    super::check_listen(&String::deserialize(deserializer)?).map(Some).map_err(de::Error::custom)
}

fn in_flight<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<usize>, D::Error> {
    super::check_in_flight(usize::deserialize(deserializer)?).map(Some).map_err(de::Error::custom)
}

fn headroom<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<f64>, D::Error> {
    super::check_headroom(f64::deserialize(deserializer)?).map(Some).map_err(de::Error::custom)
}

/// Reads a duration as people write it.
fn duration<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Duration>, D::Error> {
    let text = String::deserialize(deserializer)?;
    super::parse_duration(&text).map(Some).map_err(de::Error::custom)
}

impl<'de> Deserialize<'de> for CloudFile {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Words;
        impl<'de> Visitor<'de> for Words {
            type Value = CloudFile;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(
                    "`public`, `usGovernment`, `china` or `custom: {resourceManager, authority, scope, caFile}`",
                )
            }

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
                let custom = map.next_value()?;
                match map.next_key::<String>()? {
                    Some(key) => Err(de::Error::custom(format!("`{key}` cannot stand beside `custom`"))),
                    None => Ok(CloudFile { kind: Some(CloudKind::Custom), custom }),
                }
            }
        }
        deserializer.deserialize_any(Words)
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct ManagedIdentityFile {
    client_id: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct ClientSecretFile {
    tenant_id: Option<String>,
    client_id: Option<String>,
    secret: Option<SecretText>,
    secret_file: Option<PathBuf>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct ClientCertificateFile {
    tenant_id: Option<String>,
    client_id: Option<String>,
    pem_file: Option<PathBuf>,
}

impl<'de> Deserialize<'de> for CredentialFile {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Words;
        impl<'de> Visitor<'de> for Words {
            type Value = CredentialFile;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(
                    "`auto`, `managedIdentity`, `workloadIdentity`, `azureCli`, or `managedIdentity:`, `clientSecret:` \
                     or `clientCertificate:` with fields",
                )
            }

            fn visit_str<E: de::Error>(self, word: &str) -> Result<CredentialFile, E> {
                let kind = word.parse().map_err(E::custom)?;
                Ok(CredentialFile { kind: Some(kind), ..CredentialFile::default() })
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<CredentialFile, A::Error> {
                let Some(key) = map.next_key::<String>()? else { return Err(de::Error::custom("is empty")) };
                let file = match key.as_str() {
                    "managedIdentity" => {
                        let ManagedIdentityFile { client_id } = map.next_value()?;
                        CredentialFile {
                            kind: Some(CredentialKind::ManagedIdentity),
                            client_id,
                            ..CredentialFile::default()
                        }
                    }
                    "clientSecret" => {
                        let ClientSecretFile { tenant_id, client_id, secret, secret_file } = map.next_value()?;
                        CredentialFile {
                            kind: Some(CredentialKind::ClientSecret),
                            client_id,
                            tenant_id,
                            secret,
                            secret_file,
                            pem_file: None,
                        }
                    }
                    "clientCertificate" => {
                        let ClientCertificateFile { tenant_id, client_id, pem_file } = map.next_value()?;
                        CredentialFile {
                            kind: Some(CredentialKind::ClientCertificate),
                            client_id,
                            tenant_id,
                            pem_file,
                            ..CredentialFile::default()
                        }
                    }
                    other => {
                        let known = &["managedIdentity", "clientSecret", "clientCertificate"];
                        return Err(de::Error::unknown_field(other, known));
                    }
                };
                match map.next_key::<String>()? {
                    Some(other) => Err(de::Error::custom(format!("`{other}` cannot stand beside `{key}`"))),
                    None => Ok(file),
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
            ("apiVersions:\n  workspaces: 2024-04-01\n", "keyless.yaml:2:15: ", "hides systemDatastoresAuthMode"),
            ("apiVersions:\n  storage: [2023-05-01, latest]\n", "keyless.yaml:2:25: ", "latest"),
            ("apiVersions:\n  storage: [2023-05-01, 2023-05-01]\n", "keyless.yaml:2:", "named twice"),
            ("apiVersions:\n  storage: []\n", "keyless.yaml:2:", "no version"),
            ("apiVersions:\n  Storage: 2023-05-01\n", "keyless.yaml:2:3: ", "Storage"),
            ("- a\n", "keyless.yaml:1:", ""),
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
        let file = SettingsFile::parse("f", "credential: {clientSecret: {secret: hunter2}}").unwrap();
        assert!(!format!("{file:?}").contains("hunter2"));
    }
}
