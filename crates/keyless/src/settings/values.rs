//! Paths and addresses of the settings file, checked where they stand, so that what is wrong is told with its place.

use std::path::PathBuf;

use keyless_arm::cloud::Cloud;
use keyless_arm::error::SetupError;
use serde::de::Error;
use serde::{Deserialize, Deserializer};

/// Reads a path. An empty one would be the folder of the settings.
pub(super) fn path<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<PathBuf>, D::Error> {
    let path = Option::<PathBuf>::deserialize(deserializer)?;
    if path.as_ref().is_some_and(|path| path.as_os_str().is_empty()) {
        return Err(D::Error::custom("the path is empty; write `.` for the folder of this file, or leave it out"));
    }
    Ok(path)
}

pub(super) fn resource_manager<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    checked(deserializer, |text| Cloud::custom(text, OTHER, "scope", None))
}

pub(super) fn authority<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    checked(deserializer, |text| Cloud::custom(OTHER, text, "scope", None))
}

pub(super) fn storage_suffix<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    checked(deserializer, |text| cloud()?.with_storage(text, None))
}

pub(super) fn storage_address<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    checked(deserializer, |text| cloud()?.with_storage("storage.example", Some(text)))
}

/// An address with which nothing is wrong, beside the one that is looked at.
const OTHER: &str = "https://azure.example";

fn cloud() -> Result<Cloud, SetupError> {
    Cloud::custom(OTHER, OTHER, "scope", None)
}

fn checked<'de, D: Deserializer<'de>>(
    deserializer: D,
    check: impl Fn(&str) -> Result<Cloud, SetupError>,
) -> Result<Option<String>, D::Error> {
    let text = Option::<String>::deserialize(deserializer)?;
    text.as_deref().map(check).transpose().map_err(D::Error::custom)?;
    Ok(text)
}
