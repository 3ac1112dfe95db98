//! `apiVersions`: which versions of Azure's interfaces are spoken, in which order.

use keyless_arm::versions::{Interface, shows_auth_mode};
use serde::de::{Deserialize, Deserializer, Error};

/// The lists that are named; an interface that is not keeps the list of its cloud.
#[derive(Debug, Clone, Default, PartialEq, serde::Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct VersionsFile {
    #[serde(default, deserialize_with = "that_show_the_mode")]
    pub workspaces: Option<VersionList>,
    pub workspace_parts: Option<VersionList>,
    pub storage: Option<VersionList>,
    pub authorization: Option<VersionList>,
    pub policies: Option<VersionList>,
    pub policy_exemptions: Option<VersionList>,
    pub eligibilities: Option<VersionList>,
    pub locks: Option<VersionList>,
    pub metrics: Option<VersionList>,
    pub activity_log: Option<VersionList>,
    pub log_queries: Option<VersionList>,
    pub managed_identities: Option<VersionList>,
    pub blobs: Option<VersionList>,
    pub subscriptions: Option<VersionList>,
    pub resources: Option<VersionList>,
}

impl VersionsFile {
    /// The named lists by interface.
    pub(crate) fn lists(&self) -> impl Iterator<Item = (Interface, Vec<String>)> {
        let Self {
            workspaces,
            workspace_parts,
            storage,
            authorization,
            policies,
            policy_exemptions,
            eligibilities,
            locks,
            metrics,
            activity_log,
            log_queries,
            managed_identities,
            blobs,
            subscriptions,
            resources,
        } = self.clone();
        [
            (Interface::Workspaces, workspaces),
            (Interface::WorkspaceParts, workspace_parts),
            (Interface::Storage, storage),
            (Interface::Authorization, authorization),
            (Interface::Policies, policies),
            (Interface::PolicyExemptions, policy_exemptions),
            (Interface::Eligibilities, eligibilities),
            (Interface::Locks, locks),
            (Interface::Metrics, metrics),
            (Interface::ActivityLog, activity_log),
            (Interface::LogQueries, log_queries),
            (Interface::ManagedIdentities, managed_identities),
            (Interface::Blobs, blobs),
            (Interface::Subscriptions, subscriptions),
            (Interface::Resources, resources),
        ]
        .into_iter()
        .filter_map(|(interface, list)| Some((interface, list?.0)))
    }
}

/// One version, or several in the order in which they are tried.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct VersionList(Vec<String>);

/// One version of an interface.
struct Version(String);

impl std::str::FromStr for Version {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let date = text.strip_suffix("-preview").unwrap_or(text);
        match date.parse::<jiff::civil::Date>() {
            Ok(_) if date.len() == 10 => Ok(Self(text.to_owned())),
            _ => Err(format!("`{text}` is not a version such as `2025-09-01` or `2024-10-01-preview`")),
        }
    }
}

impl std::str::FromStr for VersionList {
    type Err = String;

    /// Reads `VERSION,VERSION`, the form of flags and variables.
    fn from_str(text: &str) -> Result<Self, String> {
        let list = text.split(',').map(|one| one.trim().parse().map(|Version(version)| version));
        Ok(Self(list.collect::<Result<_, _>>()?))
    }
}

/// Reads a list for workspaces from a flag or a variable.
pub(super) fn workspace_versions(text: &str) -> Result<VersionList, String> {
    let list: VersionList = text.parse()?;
    list.shows_the_mode()?;
    Ok(list)
}

impl VersionList {
    fn shows_the_mode(&self) -> Result<(), String> {
        match self.0.iter().find(|version| !shows_auth_mode(version)) {
            Some(version) => Err(format!(
                "{version} hides systemDatastoresAuthMode, so a workspace's mode could not be told; use 2025-06-01 or later"
            )),
            None => Ok(()),
        }
    }
}

impl<'de> Deserialize<'de> for Version {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(Error::custom)
    }
}

impl<'de> Deserialize<'de> for VersionList {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct OneOrMore;
        impl<'de> serde::de::Visitor<'de> for OneOrMore {
            type Value = VersionList;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a version such as `2025-09-01`, or a list of them")
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<VersionList, E> {
                let Version(version) = text.parse().map_err(E::custom)?;
                Ok(VersionList(vec![version]))
            }

            fn visit_seq<A: serde::de::SeqAccess<'de>>(self, mut items: A) -> Result<VersionList, A::Error> {
                let mut list: Vec<String> = Vec::new();
                while let Some(Version(version)) = items.next_element()? {
                    if list.contains(&version) {
                        return Err(A::Error::custom(format!("{version} is named twice")));
                    }
                    list.push(version);
                }
                if list.is_empty() {
                    return Err(A::Error::custom("no version is named"));
                }
                Ok(VersionList(list))
            }
        }
        deserializer.deserialize_any(OneOrMore)
    }
}

fn that_show_the_mode<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<VersionList>, D::Error> {
    let list = VersionList::deserialize(deserializer)?;
    list.shows_the_mode().map_err(D::Error::custom)?;
    Ok(Some(list))
}
