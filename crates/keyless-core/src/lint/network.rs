//! That some way leads from a workspace to its account.

use crate::observed::{Account, PublicAccess, Workspace};

use super::grant::matches;
use super::{Rule, Verdict};

pub(super) fn judge(own: &Workspace, account: &Account, found: &mut Verdict) {
    let net = &account.network;
    let shut = net.public == PublicAccess::Disabled || (net.default_deny && !net.lets_some_in);
    // What a word stands for that nobody knows may be a way.
    let strange = matches!(net.public, PublicAccess::Other(_));
    let private = net.private_endpoints || own.managed_network;
    let by_rule = net.trusted_services || net.instances.iter().any(|rule| matches(rule, own.id.as_str()));
    found.demand(!shut || strange || private || by_rule, Rule::Facts, "the account lets the workspace in on no way");
}
