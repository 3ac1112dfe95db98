//! Which version of each of Azure's interfaces is spoken, and which one next where a cloud does not know the first.
//!
//! Clouds differ in what they have, and a new version may be withdrawn; so each interface has an ordered list. Where Azure
//! says that it does not know a version and answers the next one, the whole process speaks that one for some hours.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;
use tracing::warn;

/// A part of Azure that has versions of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Interface {
    /// Workspaces, hubs and projects.
    Workspaces,
    /// Datastores and computes.
    WorkspaceParts,
    /// Storage accounts.
    Storage,
    /// Role assignments, role definitions and deny assignments.
    Authorization,
    /// Policy assignments, definitions and initiatives.
    Policies,
    /// Exemptions from policies.
    PolicyExemptions,
    /// Roles that could be activated.
    Eligibilities,
    /// Locks.
    Locks,
    /// Metrics.
    Metrics,
    /// The activity log.
    ActivityLog,
    /// Queries of logs.
    LogQueries,
    /// User-assigned managed identities.
    ManagedIdentities,
    /// The data plane of blobs, by its header `x-ms-version`.
    Blobs,
    /// Subscriptions.
    Subscriptions,
    /// The list of resources of every type.
    Resources,
}

impl Interface {
    /// All of them.
    pub const ALL: &[Self] = &[
        Self::Workspaces,
        Self::WorkspaceParts,
        Self::Storage,
        Self::Authorization,
        Self::Policies,
        Self::PolicyExemptions,
        Self::Eligibilities,
        Self::Locks,
        Self::Metrics,
        Self::ActivityLog,
        Self::LogQueries,
        Self::ManagedIdentities,
        Self::Blobs,
        Self::Subscriptions,
        Self::Resources,
    ];

    /// The name, as in the settings.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Workspaces => "workspaces",
            Self::WorkspaceParts => "workspaceParts",
            Self::Storage => "storage",
            Self::Authorization => "authorization",
            Self::Policies => "policies",
            Self::PolicyExemptions => "policyExemptions",
            Self::Eligibilities => "eligibilities",
            Self::Locks => "locks",
            Self::Metrics => "metrics",
            Self::ActivityLog => "activityLog",
            Self::LogQueries => "logQueries",
            Self::ManagedIdentities => "managedIdentities",
            Self::Blobs => "blobs",
            Self::Subscriptions => "subscriptions",
            Self::Resources => "resources",
        }
    }
}

impl fmt::Display for Interface {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The versions of each interface, in the order in which they are tried; no list is empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiVersions(BTreeMap<Interface, Vec<String>>);

impl ApiVersions {
    /// For Azure's public cloud.
    ///
    /// Sources: azure-rest-api-specs and Azure/bicep-types-az, which agree on the shapes read here in all of a list. Only
    /// the first version of storage shows `allowSharedKeyAccessForServices`; with the others nothing is known of it.
    #[must_use]
    pub fn public() -> Self {
        Self::of(|interface| match interface {
            Interface::Workspaces => &["2025-09-01", "2025-06-01"],
            Interface::WorkspaceParts => &["2025-09-01", "2025-06-01", "2024-10-01", "2024-04-01"],
            Interface::Storage => &["2025-08-01", "2023-05-01", "2023-01-01", "2022-09-01"],
            Interface::Authorization => &["2022-04-01"],
            Interface::Policies => &["2023-04-01", "2021-06-01"],
            // There is no stable version.
            Interface::PolicyExemptions => &["2022-07-01-preview", "2020-07-01-preview"],
            Interface::Eligibilities => &["2020-10-01"],
            Interface::Locks => &["2016-09-01"],
            Interface::Metrics => &["2024-02-01", "2019-07-01", "2018-01-01"],
            Interface::ActivityLog => &["2015-04-01"],
            Interface::LogQueries => &["2017-10-01"],
            Interface::ManagedIdentities => &["2023-01-31", "2018-11-30"],
            // The first that names the tenant to a caller without a token; tokens are taken since 2017-11-09.
            Interface::Blobs => &["2019-12-12"],
            Interface::Subscriptions => &["2022-12-01", "2020-01-01"],
            Interface::Resources => &["2025-04-01", "2024-11-01", "2020-06-01"],
        })
    }

    /// For sovereign clouds, which get versions later. Design decision: no list of what they have was found, so previews
    /// that show the mode stand behind the stable versions.
    #[must_use]
    pub fn sovereign() -> Self {
        let workspaces = ["2025-09-01", "2025-06-01", "2025-04-01-preview", "2024-10-01-preview"];
        Self::public().with(Interface::Workspaces, workspaces.map(str::to_owned).to_vec())
    }

    fn of(versions: impl Fn(Interface) -> &'static [&'static str]) -> Self {
        let list = |interface| versions(interface).iter().map(|version| (*version).to_owned()).collect();
        Self(Interface::ALL.iter().map(|interface| (*interface, list(*interface))).collect())
    }

    /// The same with another list for one interface.
    #[must_use]
    pub fn with(mut self, interface: Interface, versions: Vec<String>) -> Self {
        self.0.insert(interface, versions);
        self
    }

    /// The versions of one interface.
    #[must_use]
    pub fn list(&self, interface: Interface) -> &[String] {
        self.0.get(&interface).map(Vec::as_slice).unwrap_or_default()
    }

    /// What is wrong with the lists, one sentence each, with the interface it is about.
    #[must_use]
    pub fn problems(&self) -> Vec<(Interface, String)> {
        let mut problems = Vec::new();
        for &interface in Interface::ALL {
            let list = self.list(interface);
            if list.is_empty() {
                problems.push((interface, "no version is named".to_owned()));
            }
            for (at, version) in list.iter().enumerate() {
                if !is_version(version) {
                    let why = format!("`{version}` is not a version such as `2025-09-01` or `2024-10-01-preview`");
                    problems.push((interface, why));
                } else if interface == Interface::Workspaces && !shows_auth_mode(version) {
                    let why = format!(
                        "{version} hides systemDatastoresAuthMode, so a workspace's mode could not be told; \
                         use 2025-06-01 or later"
                    );
                    problems.push((interface, why));
                }
                if list.iter().take(at).any(|earlier| earlier == version) {
                    problems.push((interface, format!("{version} is named twice")));
                }
            }
        }
        problems
    }
}

impl Default for ApiVersions {
    fn default() -> Self {
        Self::public()
    }
}

/// Whether the text is a date, `-preview` or not.
fn is_version(text: &str) -> bool {
    let date = text.strip_suffix("-preview").unwrap_or(text);
    date.len() == 10 && date.parse::<jiff::civil::Date>().is_ok()
}

/// Whether answers of this version show `systemDatastoresAuthMode`: previews since 2022-12-01, stable ones since
/// 2025-06-01. In the others a missing mode means nothing.
///
/// Source: Azure/bicep-types-az `generated/machinelearningservices/microsoft.machinelearningservices/{version}/types.md`.
#[must_use]
pub fn shows_auth_mode(api_version: &str) -> bool {
    match api_version.strip_suffix("-preview") {
        Some(date) => date >= "2022-12-01",
        None => api_version >= "2025-06-01",
    }
}

/// After how long the first version of a list is tried again.
const FIRST_AGAIN: Duration = Duration::from_secs(6 * 60 * 60);

/// The versions in use.
pub(crate) struct Versions {
    lists: ApiVersions,
    /// Where in its list an interface stands, and since when; absent means at the first.
    fallen: Mutex<BTreeMap<Interface, (usize, Instant)>>,
}

impl Versions {
    pub(crate) fn new(lists: ApiVersions) -> Self {
        Self { lists, fallen: Mutex::default() }
    }

    /// The version to speak now.
    pub(crate) fn current(&self, interface: Interface) -> &str {
        let list = self.lists.list(interface);
        let mut fallen = self.fallen.lock().unwrap_or_else(PoisonError::into_inner);
        if fallen.get(&interface).is_some_and(|(_, since)| since.elapsed() >= FIRST_AGAIN) {
            fallen.remove(&interface);
        }
        let at = fallen.get(&interface).map_or(0, |(at, _)| *at);
        list.get(at).or(list.first()).map(String::as_str).unwrap_or_default()
    }

    /// The version after this one in the list.
    pub(crate) fn after(&self, interface: Interface, version: &str) -> Option<&str> {
        let list = self.lists.list(interface);
        let at = list.iter().position(|known| known == version)?;
        list.get(at + 1).map(String::as_str)
    }

    /// Azure did not know the versions before this one, and answered this one: it is spoken from now on.
    ///
    /// Before that nothing is settled, for the same refusal may mean that the resource lies where its provider is not.
    pub(crate) fn answered(&self, interface: Interface, version: &str) {
        let Some(at) = self.lists.list(interface).iter().position(|known| known == version) else { return };
        let mut fallen = self.fallen.lock().unwrap_or_else(PoisonError::into_inner);
        // Several calls may have met the same refusal.
        if fallen.get(&interface).is_none_or(|(known, _)| *known < at) {
            fallen.insert(interface, (at, Instant::now()));
            warn!(interface = interface.name(), api_version = version, "api_version_not_known");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_that_hide_the_mode_are_known() {
        for shown in ["2022-12-01-preview", "2024-10-01-preview", "2025-06-01", "2025-09-01", "2026-05-01"] {
            assert!(shows_auth_mode(shown), "{shown}");
        }
        for hidden in [
            "2021-07-01",
            "2023-04-01",
            "2023-10-01",
            "2024-04-01",
            "2024-10-01",
            "2025-04-01",
            "2022-10-01-preview",
            "",
        ] {
            assert!(!shows_auth_mode(hidden), "{hidden}");
        }
    }

    #[test]
    fn the_lists_of_every_cloud_are_sound() {
        for versions in [ApiVersions::public(), ApiVersions::sovereign()] {
            assert_eq!(versions.problems(), []);
        }
    }

    #[test]
    fn every_problem_of_the_lists_is_told_at_once() {
        let texts = |list: &[&str]| list.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
        let versions = ApiVersions::public()
            .with(Interface::Workspaces, texts(&["2025-09-01", "2024-04-01"]))
            .with(Interface::Storage, Vec::new())
            .with(Interface::Locks, texts(&["latest", "2016-13-01"]))
            .with(Interface::Metrics, texts(&["2024-02-01", "2024-02-01"]));
        let told: Vec<String> =
            versions.problems().iter().map(|(interface, why)| format!("{interface}: {why}")).collect();
        assert_eq!(told.len(), 5, "{told:?}");
        for (told, words) in told.iter().zip([
            "workspaces: 2024-04-01 hides systemDatastoresAuthMode",
            "storage: no version",
            "locks: `latest`",
            "locks: `2016-13-01`",
            "metrics: 2024-02-01 is named twice",
        ]) {
            assert!(told.starts_with(words), "{told}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn an_unknown_version_is_left_for_hours_and_then_tried_again() {
        let versions = Versions::new(ApiVersions::public());
        assert_eq!(versions.after(Interface::Workspaces, "2025-09-01"), Some("2025-06-01"));
        assert_eq!(versions.current(Interface::Workspaces), "2025-09-01", "nothing is settled before an answer");
        versions.answered(Interface::Workspaces, "2025-06-01");
        versions.answered(Interface::Workspaces, "2025-06-01");
        assert_eq!(versions.current(Interface::Workspaces), "2025-06-01");
        assert_eq!(versions.current(Interface::Storage), "2025-08-01", "the others stay");
        assert_eq!(versions.after(Interface::Workspaces, "2025-06-01"), None, "the list is at its end");
        tokio::time::advance(FIRST_AGAIN).await;
        assert_eq!(versions.current(Interface::Workspaces), "2025-09-01");
    }
}
