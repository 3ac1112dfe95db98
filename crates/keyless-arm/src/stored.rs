//! A datastore with all that Azure said of it, so that it can be written back with nothing lost.

use std::fmt;

use keyless_core::observed::Datastore;
use serde_json::{Map, Value, json};

/// What one answer showed of a datastore. A PUT replaces the whole, and what it leaves out counts as withdrawn: an omitted
/// `isDefault` counts as false.
///
/// Source: <https://github.com/Azure/terraform-provider-azapi/issues/694>.
#[derive(Clone, PartialEq)]
pub struct StoredDatastore {
    /// What is known of it.
    pub datastore: Datastore,
    /// `properties` as they were read, fields that keyless does not know included.
    pub(crate) properties: Map<String, Value>,
}

impl StoredDatastore {
    /// One of a cloud in memory, of which nothing more is to be told.
    #[must_use]
    pub fn bare(datastore: Datastore) -> Self {
        Self { datastore, properties: Map::new() }
    }

    /// The body of the PUT that changes nothing but the credentials.
    pub(crate) fn without_credentials(&self) -> Value {
        let mut properties = self.properties.clone();
        properties.retain(|name, _| !name.eq_ignore_ascii_case("credentials"));
        properties.insert("credentials".to_owned(), json!({"credentialsType": "None"}));
        json!({ "properties": properties })
    }
}

/// The properties are left out: nobody knows what is in fields that keyless does not know.
impl fmt::Debug for StoredDatastore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StoredDatastore").field("datastore", &self.datastore).finish_non_exhaustive()
    }
}
