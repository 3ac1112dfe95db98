//! Identifiers of Azure, parsed once at the edge and compared as Azure compares them.
//!
//! ARM ids keep the spelling they arrived with for display and for URLs, and compare, order and
//! hash by their case-folded form. Source: <https://learn.microsoft.com/azure/azure-resource-manager/management/overview>
//! and recorded traffic, in which the same service spells `resourceGroups` in two ways in one message.

use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::str::FromStr;
use std::sync::Arc;

use uuid::Uuid;

use crate::secret;

/// Why a text is not the identifier it was meant to be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IdError {
    /// The text does not have the shape of an ARM id.
    #[error("`{text}` is not a resource id: {why}")]
    NotAnId {
        /// The text as given.
        text: String,
        /// What is wrong with it.
        why: String,
    },
    /// The id is well formed but names another type of resource.
    #[error("`{text}` is not the id of a {expected}: {why}")]
    WrongType {
        /// The text as given.
        text: String,
        /// The type that was asked for.
        expected: &'static str,
        /// The first segment that differs.
        why: String,
    },
    /// The text is not a GUID.
    #[error("`{text}` is not a GUID")]
    NotAGuid {
        /// The text as given.
        text: String,
    },
}

/// An ARM id: a subscription, a resource group, a resource, an extension resource or a tenant-level scope.
#[derive(Clone)]
pub struct ArmId {
    original: Arc<str>,
    folded: Arc<str>,
}

impl ArmId {
    /// Parses an absolute ARM id; a trailing `/` is dropped.
    ///
    /// # Errors
    /// [`IdError::NotAnId`] if the text is not absolute, has an empty or unsafe segment, or is longer than 2,048 bytes.
    pub fn parse(text: &str) -> Result<Self, IdError> {
        let bad = |why: String| IdError::NotAnId { text: shorten(text), why };
        let trimmed = text.strip_suffix('/').unwrap_or(text);
        if text.len() > 2048 {
            return Err(bad("it is longer than 2,048 bytes".to_owned()));
        }
        if text == "/" {
            return Ok(Self { original: "/".into(), folded: "/".into() });
        }
        let Some(path) = trimmed.strip_prefix('/') else {
            return Err(bad("it does not start with `/`".to_owned()));
        };
        for (before, segment) in path.split('/').enumerate() {
            let which = before + 1;
            if segment.is_empty() {
                return Err(bad(format!("segment {which} is empty")));
            }
            if segment == "." || segment == ".." {
                return Err(bad(format!("segment {which} is the relative `{segment}`")));
            }
            let odd = |c: &char| c.is_control() || matches!(c, '?' | '#' | '%' | '\\' | ' ' | '<' | '>' | '"');
            if let Some(c) = segment.chars().find(odd) {
                let segment = shorten(&secret::part(segment, text));
                return Err(bad(format!("segment {which}, `{segment}`, has {c:?}, which ids do not have")));
            }
        }
        if path.is_empty() {
            return Err(bad("it is empty".to_owned()));
        }
        Ok(Self { original: trimmed.into(), folded: trimmed.to_ascii_lowercase().into() })
    }

    /// The id of a role assignment that is made at this scope.
    #[must_use]
    pub fn role_assignment(&self, name: AssignmentName) -> Self {
        let scope = self.original.strip_suffix('/').unwrap_or(&self.original);
        let id = format!("{scope}/providers/Microsoft.Authorization/roleAssignments/{name}");
        Self { folded: id.to_ascii_lowercase().into(), original: id.into() }
    }

    /// The id as it was written, without a trailing `/`.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.original
    }

    /// The id in lower case: what comparisons use.
    #[must_use]
    pub fn folded(&self) -> &str {
        &self.folded
    }

    /// The last segment: the resource's own name.
    #[must_use]
    pub fn name(&self) -> &str {
        self.original.rsplit('/').next().unwrap_or_default()
    }

    /// The value that follows a key segment such as `subscriptions` or `resourceGroups`, at its first place.
    #[must_use]
    pub fn segment_after(&self, key: &str) -> Option<&str> {
        let mut segments = self.original.split('/').skip(1);
        while let Some(segment) = segments.next() {
            if segment.eq_ignore_ascii_case(key) {
                return segments.next();
            }
            segments.next()?;
        }
        None
    }

    /// The subscription the id lies in, if it lies in one.
    #[must_use]
    pub fn subscription(&self) -> Option<SubscriptionId> {
        self.segment_after("subscriptions")?.parse().ok()
    }

    /// The resource group the id lies in, if it lies in one.
    #[must_use]
    pub fn resource_group(&self) -> Option<&str> {
        self.segment_after("resourceGroups")
    }

    /// Whether `self` is `other` or one of its parents by path.
    ///
    /// The tenant root `/` and every management group hold for each id: whether a subscription lies below a
    /// management group does not show in its id, and ARM only lists assignments that do apply.
    #[must_use]
    pub fn covers(&self, other: &ArmId) -> bool {
        if &*self.folded == "/" || self.is_management_group() {
            return true;
        }
        match other.folded.strip_prefix(&*self.folded) {
            Some(rest) => rest.is_empty() || rest.starts_with('/'),
            None => false,
        }
    }

    /// Whether this is a resource group.
    #[must_use]
    pub fn is_group(&self) -> bool {
        let parts: Vec<&str> = self.folded.split('/').collect();
        matches!(parts.as_slice(), ["", "subscriptions", _, "resourcegroups", _])
    }

    /// Whether this is a management group.
    #[must_use]
    pub fn is_management_group(&self) -> bool {
        self.folded.starts_with("/providers/microsoft.management/managementgroups/")
    }

    /// Whether the id names a resource of `provider/type` directly below a resource group.
    #[must_use]
    pub fn is_resource(&self, provider_and_type: &str) -> bool {
        let parts: Vec<&str> = self.folded.split('/').collect();
        matches!(
            parts.as_slice(),
            ["", "subscriptions", subscription, "resourcegroups", group, "providers", provider, kind, name]
                if Uuid::try_parse(subscription).is_ok()
                    && !group.is_empty()
                    && !name.is_empty()
                    && format!("{provider}/{kind}").eq_ignore_ascii_case(provider_and_type)
        )
    }
}

/// As it is told in an error: whole, unless it is longer than ids are.
fn shorten(text: &str) -> String {
    const LONGEST: usize = 300;
    let text = &*secret::shown(text);
    if text.chars().count() <= LONGEST {
        return text.to_owned();
    }
    text.chars().take(LONGEST - 3).chain("...".chars()).collect()
}

/// The first segment in which an id is not that of a `provider/type` directly below a resource group. `names` is the rule
/// of its last one.
fn first_difference(id: &ArmId, provider_and_type: &str, names: &str) -> String {
    let (provider, kind) = provider_and_type.split_once('/').unwrap_or_default();
    let form = ["subscriptions", "", "resourceGroups", "", "providers", provider, kind, ""];
    let part = |segment: &str| shorten(&secret::part(segment, id.as_str()));
    let mut segments = id.as_str().split('/').skip(1);
    for (before, wanted) in form.into_iter().enumerate() {
        let which = before + 1;
        let Some(segment) = segments.next() else {
            let wanted = match (wanted, which) {
                ("", 2) => "the subscription",
                ("", 4) => "the resource group",
                ("", _) => "the name",
                (word, _) => word,
            };
            return format!("it ends where segment {which}, {wanted}, should be");
        };
        if !wanted.is_empty() && !segment.eq_ignore_ascii_case(wanted) {
            return format!("segment {which} is `{}`, not {wanted}", part(segment));
        }
        if which == 2 && Uuid::try_parse(segment).is_err() {
            return format!("segment 2, the subscription, is `{}`, which is not a GUID", part(segment));
        }
    }
    match segments.next() {
        Some(more) => format!("it goes on with `{}` after the resource's name", part(more)),
        None => format!("`{}` is no name of one: {names}", part(id.name())),
    }
}

impl PartialEq for ArmId {
    fn eq(&self, other: &Self) -> bool {
        self.folded == other.folded
    }
}
impl Eq for ArmId {}
impl PartialOrd for ArmId {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for ArmId {
    fn cmp(&self, other: &Self) -> Ordering {
        self.folded.cmp(&other.folded)
    }
}
impl Hash for ArmId {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.folded.hash(state);
    }
}
impl fmt::Display for ArmId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.original)
    }
}
impl fmt::Debug for ArmId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.original)
    }
}
impl FromStr for ArmId {
    type Err = IdError;
    fn from_str(text: &str) -> Result<Self, IdError> {
        Self::parse(text)
    }
}

macro_rules! resource_id {
    ($(#[$doc:meta])* $name:ident, $type:literal, $expected:literal, $names:literal, $valid_name:expr) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(ArmId);

        impl $name {
            /// Parses and checks the type and the resource's name.
            ///
            /// # Errors
            /// [`IdError`] if the text is no id, or the id of another type of resource.
            pub fn parse(text: &str) -> Result<Self, IdError> {
                Self::try_from(ArmId::parse(text)?)
            }

            /// The id as an untyped ARM id.
            #[must_use]
            pub fn arm(&self) -> &ArmId {
                &self.0
            }

            /// The id as it was written.
            #[must_use]
            pub fn as_str(&self) -> &str {
                self.0.as_str()
            }

            /// The resource's own name.
            #[must_use]
            pub fn name(&self) -> &str {
                self.0.name()
            }

            /// The subscription the resource lies in.
            #[must_use]
            pub fn subscription(&self) -> SubscriptionId {
                // The type check admits only ids below a subscription with a GUID.
                self.0.subscription().unwrap_or_default()
            }

            /// The resource group the resource lies in.
            #[must_use]
            pub fn resource_group(&self) -> &str {
                self.0.resource_group().unwrap_or_default()
            }

            /// The id of that resource group, as a scope.
            #[must_use]
            pub fn group(&self) -> ArmId {
                let group = format!("/subscriptions/{}/resourceGroups/{}", self.subscription(), self.resource_group());
                // A prefix of a valid id is valid.
                ArmId::parse(&group).unwrap_or_else(|_| self.0.clone())
            }
        }

        impl TryFrom<ArmId> for $name {
            type Error = IdError;
            fn try_from(id: ArmId) -> Result<Self, IdError> {
                let valid: fn(&str) -> bool = $valid_name;
                if id.is_resource($type) && valid(id.name()) {
                    Ok(Self(id))
                } else {
                    let why = first_difference(&id, $type, $names);
                    Err(IdError::WrongType { text: shorten(id.as_str()), expected: $expected, why })
                }
            }
        }

        impl FromStr for $name {
            type Err = IdError;
            fn from_str(text: &str) -> Result<Self, IdError> {
                Self::parse(text)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&self.0, f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&self.0, f)
            }
        }
    };
}

resource_id!(
    /// The id of a storage account: the key of a pass.
    ///
    /// Source of the name's rule: `^[a-z0-9]{3,24}$`, Azure/bicep-types-az `microsoft.storage/2023-05-01`.
    StorageAccountId,
    "Microsoft.Storage/storageAccounts",
    "storage account",
    "3 to 24 letters and digits",
    |name| (3..=24).contains(&name.len()) && name.bytes().all(|b| b.is_ascii_alphanumeric())
);
resource_id!(
    /// The id of an Azure Machine Learning workspace, Foundry hub or hub project.
    ///
    /// Source of the name's rule: `^[a-zA-Z0-9][a-zA-Z0-9_-]{2,32}$`,
    /// Azure/azure-rest-api-specs `machinelearningservices/stable/2025-09-01/workspaceRP.json`.
    WorkspaceId,
    "Microsoft.MachineLearningServices/workspaces",
    "workspace",
    "3 to 33 letters, digits, `-` and `_`, the first a letter or a digit",
    |name| {
        (3..=33).contains(&name.len())
            && name.starts_with(|c: char| c.is_ascii_alphanumeric())
            && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-')
    }
);
resource_id!(
    /// The id of a user-assigned managed identity.
    ManagedIdentityId,
    "Microsoft.ManagedIdentity/userAssignedIdentities",
    "user-assigned managed identity",
    "it is empty",
    |name| !name.is_empty()
);

resource_id!(
    /// The id of a Log Analytics workspace.
    ///
    /// Source of the name's rule: MicrosoftDocs/azure-docs
    /// `articles/azure-resource-manager/management/resource-name-rules.md`.
    LogAnalyticsId,
    "Microsoft.OperationalInsights/workspaces",
    "Log Analytics workspace",
    "4 to 63 letters, digits and `-`, no `-` at either end",
    |name| {
        (4..=63).contains(&name.len())
            && !name.starts_with('-')
            && !name.ends_with('-')
            && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
    }
);

macro_rules! guid_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
        pub struct $name(pub Uuid);

        impl FromStr for $name {
            type Err = IdError;
            fn from_str(text: &str) -> Result<Self, IdError> {
                // Only the hyphenated form: braces, URNs and bare hex are typing errors in a file.
                match Uuid::try_parse(text) {
                    Ok(guid) if text.len() == 36 => Ok(Self(guid)),
                    _ => Err(IdError::NotAGuid { text: shorten(text) }),
                }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&self.0, f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&self.0, f)
            }
        }
    };
}

guid_id!(
    /// A subscription.
    SubscriptionId
);
guid_id!(
    /// The object id of a user, group, service principal or managed identity in Entra.
    PrincipalId
);
guid_id!(
    /// The GUID of a role definition; full ids differ by scope prefix and are compared by this trailing GUID.
    RoleId
);
guid_id!(
    /// The GUID name of a role assignment.
    AssignmentName
);

impl SubscriptionId {
    /// `/subscriptions/{guid}`.
    #[must_use]
    pub fn arm(&self) -> ArmId {
        let text = format!("/subscriptions/{}", self.0);
        ArmId { original: text.as_str().into(), folded: text.as_str().into() }
    }
}

impl RoleId {
    /// The role of a full role-definition id, by its last segment.
    ///
    /// # Errors
    /// [`IdError::NotAGuid`] if the last segment is not a GUID.
    pub fn from_definition_id(id: &str) -> Result<Self, IdError> {
        id.rsplit('/').next().unwrap_or_default().parse()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ACCOUNT: &str = "/subscriptions/3f8c1d7a-52b4-4c0e-9d2e-7a1b6c5d4e90/resourceGroups/rg-ml/providers/Microsoft.Storage/storageAccounts/stmlprod";

    #[test]
    fn a_wrong_id_is_told_whole_with_the_segment_that_is_wrong() {
        for (from, to, why) in [
            ("resourceGroups", "resourceGroup", "segment 3 is `resourceGroup`, not resourceGroups"),
            ("3f8c1d7a-", "", "segment 2, the subscription, is `52b4-4c0e-9d2e-7a1b6c5d4e90`, which is not a GUID"),
            ("Storage/", "KeyVault/", "segment 6 is `Microsoft.KeyVault`, not Microsoft.Storage"),
            ("/stmlprod", "", "it ends where segment 8, the name, should be"),
            ("stmlprod", "stmlprod/blobServices", "it goes on with `blobServices` after the resource's name"),
            ("stmlprod", "st-ml", "`st-ml` is no name of one: 3 to 24 letters and digits"),
            ("rg-ml", "rg ml", "segment 4, `rg ml`, has ' ', which ids do not have"),
            ("rg-ml", "", "segment 4 is empty"),
            ("rg-ml", "..", "segment 4 is the relative `..`"),
        ] {
            let text = ACCOUNT.replace(from, to);
            let error = StorageAccountId::parse(&text).unwrap_err().to_string();
            assert!(error.starts_with(&format!("`{text}` is not ")) && error.ends_with(why), "{error}");
        }
    }

    #[test]
    fn ids_compare_without_case_and_keep_their_spelling() {
        let a = StorageAccountId::parse(ACCOUNT).unwrap();
        let b = StorageAccountId::parse(&ACCOUNT.to_lowercase()).unwrap();
        assert_eq!(a, b);
        assert_eq!(a.as_str(), ACCOUNT);
        assert_eq!(a.name(), "stmlprod");
        assert_eq!(a.resource_group(), "rg-ml");
        assert_eq!(a.subscription().to_string(), "3f8c1d7a-52b4-4c0e-9d2e-7a1b6c5d4e90");
    }

    #[test]
    fn a_trailing_slash_is_dropped() {
        assert_eq!(ArmId::parse(&format!("{ACCOUNT}/")).unwrap(), ArmId::parse(ACCOUNT).unwrap());
    }

    #[test]
    fn ids_that_would_change_a_url_are_refused() {
        for bad in ["", "a/b", "/a//b", "/a/../b", "/a?b", "/a/%2e", "/a b", "/subscriptions/x\n"] {
            assert!(ArmId::parse(bad).is_err(), "{bad:?} was accepted");
        }
        for bad in [
            "/subscriptions/3f8c1d7a/resourceGroups/rg/providers/Microsoft.Storage/storageAccounts/stmlprod",
            "/subscriptions/3f8c1d7a-52b4-4c0e-9d2e-7a1b6c5d4e90/resourceGroups/rg/providers/Microsoft.Storage/storageAccounts/x",
            "/subscriptions/3f8c1d7a-52b4-4c0e-9d2e-7a1b6c5d4e90/resourceGroups/rg/providers/Microsoft.Storage/storageAccounts/stmlprod/blobServices/default",
        ] {
            assert!(StorageAccountId::parse(bad).is_err(), "{bad:?} was accepted");
        }
    }

    #[test]
    fn a_scope_covers_itself_and_what_lies_below() {
        let account = ArmId::parse(ACCOUNT).unwrap();
        let group = ArmId::parse("/subscriptions/3f8c1d7a-52b4-4c0e-9d2e-7a1b6c5d4e90/resourcegroups/RG-ML").unwrap();
        let other = ArmId::parse("/subscriptions/3f8c1d7a-52b4-4c0e-9d2e-7a1b6c5d4e90/resourcegroups/RG-M").unwrap();
        assert!(group.covers(&account));
        assert!(account.covers(&account));
        assert!(!account.covers(&group));
        assert!(!other.covers(&account));
        assert!(ArmId::parse("/").unwrap().covers(&account));
    }

    #[test]
    fn a_guid_has_only_one_spelling_in_files() {
        assert!("3f8c1d7a-52b4-4c0e-9d2e-7a1b6c5d4e90".parse::<PrincipalId>().is_ok());
        for bad in ["{3f8c1d7a-52b4-4c0e-9d2e-7a1b6c5d4e90}", "3f8c1d7a52b44c0e9d2e7a1b6c5d4e90", "x", ""] {
            assert!(bad.parse::<PrincipalId>().is_err(), "{bad:?} was accepted");
        }
    }
}
