//! Types and names put together to resource ids.

use super::scope::Place;

/// `/providers/Namespace/type/name/…` of a type and as many names as it has parts after the namespace.
pub(super) fn below_providers(kind: &str, names: &[&str]) -> Option<String> {
    let (namespace, types) = kind.split_once('/')?;
    let types: Vec<&str> = types.split('/').collect();
    let plain = |part: &&str| !part.is_empty() && !part.contains('/');
    if types.len() != names.len() || namespace.is_empty() || !types.iter().chain(names).all(plain) {
        return None;
    }
    let mut path = format!("/providers/{namespace}");
    for (kind, name) in types.iter().zip(names) {
        path.push_str(&format!("/{kind}/{name}"));
    }
    Some(path)
}

/// `resourceId([subscription,] [group,] type, name, …)`.
pub(super) fn resource_id(place: &Place, arguments: &[&str]) -> Option<String> {
    let at = arguments.iter().position(|argument| argument.contains('/'))?;
    let (before, rest) = arguments.split_at_checked(at)?;
    let (kind, names) = rest.split_first()?;
    let (subscription, group) = match before {
        [] => (place.subscription_id(), place.group_name()),
        [group] => (place.subscription_id(), *group),
        [subscription, group] => (*subscription, *group),
        _ => return None,
    };
    Some(format!("/subscriptions/{subscription}/resourceGroups/{group}{}", below_providers(kind, names)?))
}

/// `subscriptionResourceId([subscription,] type, name, …)`.
pub(super) fn subscription_resource_id(place: &Place, arguments: &[&str]) -> Option<String> {
    let at = arguments.iter().position(|argument| argument.contains('/'))?;
    let (before, rest) = arguments.split_at_checked(at)?;
    let (kind, names) = rest.split_first()?;
    let subscription = match before {
        [] => place.subscription_id(),
        [subscription] => subscription,
        _ => return None,
    };
    Some(format!("/subscriptions/{subscription}{}", below_providers(kind, names)?))
}
