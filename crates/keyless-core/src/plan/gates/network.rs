//! Whether a workspace can reach the account at all.

use crate::access::matches;
use crate::gate::GateState;
use crate::observed::{Network, Observed, PublicAccess, Reading, Workspace};

use super::{Judged, told};

/// [`crate::gate::Gate::Reachable`]: shut only where it is certain that nothing lets the workspace in.
pub(in crate::plan) fn reachable(own: &Workspace, observed: &Observed) -> Judged {
    let network = match &observed.account {
        Reading::NotRead => return told(GateState::NotLooked),
        Reading::Unknown { why, cause } => return told(GateState::unknown("the storage account", why, cause)),
        Reading::Known { value: None, .. } => return told(GateState::Open),
        Reading::Known { value: Some(account), .. } => &account.network,
    };
    if is_reachable(network, own) {
        return told(GateState::Open);
    }
    told(GateState::unmet(
        "no network rule of the account lets the workspace in, whatever its roles",
        "a private endpoint, the workspace among `resourceAccessRules`, or `bypass: AzureServices`",
    ))
}

fn is_reachable(network: &Network, own: &Workspace) -> bool {
    let Network { public, default_deny, lets_some_in, trusted_services, instances, private_endpoints } = network;
    let publicly = match public {
        PublicAccess::Enabled => !default_deny || *lets_some_in,
        PublicAccess::Disabled => false,
        PublicAccess::Other(_) => true,
    };
    let named = instances.iter().any(|rule| matches(rule, own.id.as_str()));
    // A managed network brings a private endpoint of its own, which may not be connected yet.
    publicly || *trusted_services || named || *private_endpoints || own.managed_network
}

/// What people should know of an account that is not open to all.
pub(in crate::plan) fn remark(network: &Network) -> Option<String> {
    let Network { public, default_deny, lets_some_in, trusted_services, instances, private_endpoints } = network;
    if network.is_open() {
        return None;
    }
    let mut ways = Vec::new();
    if *public == PublicAccess::Enabled && *default_deny && *lets_some_in {
        ways.push("named addresses and subnets".to_owned());
    }
    if *trusted_services {
        ways.push("trusted services".to_owned());
    }
    if !instances.is_empty() {
        ways.push(format!("{} named resources", instances.len()));
    }
    if *private_endpoints {
        ways.push("private endpoints".to_owned());
    }
    if let PublicAccess::Other(word) = public {
        ways.push(format!("what `publicNetworkAccess: {word}` stands for"));
    }
    let ways = if ways.is_empty() { "nobody".to_owned() } else { ways.join(", ") };
    Some(format!("network rules of the account let in {ways}; who is held off shows in no role"))
}
