//! What kind of request a path is: the provider and the types in it, without names.

use crate::dst::record::Entry;

/// The method and the operation of a request, such as `GET storage/storageaccounts/{}`.
pub(crate) fn kind(entry: &Entry) -> String {
    format!("{} {}", entry.method, operation(&entry.path))
}

/// The operation in a path that is in lower case.
fn operation(path: &str) -> String {
    if path.ends_with("/token") {
        return "token".to_owned();
    }
    // Types and names take turns behind the provider, and from the start where there is none.
    let (provider, rest) = match path.rsplit_once("/providers/") {
        Some((_, tail)) => tail.split_once('/').unwrap_or((tail, "")),
        None => ("", path.trim_start_matches('/')),
    };
    let parts = rest.split('/').enumerate().map(|(at, part)| if at % 2 == 0 { part } else { "{}" });
    let provider = provider.strip_prefix("microsoft.").unwrap_or(provider);
    let provider = Some(provider).filter(|provider| !provider.is_empty());
    provider.into_iter().chain(parts).collect::<Vec<_>>().join("/")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_left_out_and_the_last_provider_counts() {
        let account = "/subscriptions/s/resourcegroups/g/providers/microsoft.storage/storageaccounts/a";
        assert_eq!(operation(account), "storage/storageaccounts/{}");
        let grants = format!("{account}/providers/microsoft.authorization/roleassignments");
        assert_eq!(operation(&grants), "authorization/roleassignments");
        assert_eq!(operation(&format!("{grants}/x")), "authorization/roleassignments/{}");
        assert_eq!(operation("/subscriptions/s/resources"), "subscriptions/{}/resources");
        assert_eq!(operation("/tenant/oauth2/v2.0/token"), "token");
    }
}
