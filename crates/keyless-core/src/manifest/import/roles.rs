//! Which role a template or script means: by its id, by its name, or by one of the names that the articles misspell.

use crate::catalog::{self, CatalogRole, ROLES};
use crate::id::RoleId;
use crate::manifest::hint;

/// What was meant.
pub(super) enum Meant {
    /// A role of the catalog.
    Role(&'static CatalogRole),
    /// The same under a name that is not quite its own.
    Misspelled(&'static CatalogRole),
    /// A role that gives no words of the catalog.
    Other,
}

/// Names that stand in the articles and belong to no role.
///
/// Source: "Disable shared key access for your workspace's storage account" (both editions), its table of scenarios.
const MISSPELLED: &[(&str, &str)] = &[
    ("Storage Data Contributor", "Storage Blob Data Contributor"),
    ("Storage Data Blob Contributor", "Storage Blob Data Contributor"),
    ("Storage File Data Priviliiged Contributor", "Storage File Data Privileged Contributor"),
];

/// Reads a role from a definition id, a GUID or a name.
pub(super) fn meant(text: &str) -> Meant {
    let last = text.rsplit('/').next().unwrap_or_default();
    if let Ok(id) = last.parse::<RoleId>() {
        return catalog::find_role(id).map_or(Meant::Other, Meant::Role);
    }
    let named = |name: &str| ROLES.iter().find(|role| role.name.eq_ignore_ascii_case(name.trim()));
    if let Some(role) = named(last) {
        return Meant::Role(role);
    }
    let known = MISSPELLED.iter().find(|(wrong, _)| wrong.eq_ignore_ascii_case(last.trim())).map(|(_, right)| *right);
    let near = known.or_else(|| hint::nearest(last, ROLES.iter().map(|role| role.name)));
    near.and_then(named).map_or(Meant::Other, Meant::Misspelled)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_misspelling_of_the_articles_is_understood() {
        for (wrong, right) in MISSPELLED {
            assert!(matches!(meant(wrong), Meant::Misspelled(role) if role.name == *right), "{wrong}");
        }
        for role in ROLES {
            assert!(matches!(meant(role.name), Meant::Role(found) if found.id == role.id));
            let id = format!("/providers/Microsoft.Authorization/roleDefinitions/{}", role.id);
            assert!(matches!(meant(&id), Meant::Role(found) if found.id == role.id));
        }
        assert!(matches!(meant("Owner"), Meant::Other));
        assert!(matches!(meant("8e3af657-a8ff-443c-a75c-2fe8c4bcb635"), Meant::Other));
    }
}
