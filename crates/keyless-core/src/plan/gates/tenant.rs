//! Whether a workspace and the account that it stands on belong to different tenants.
//!
//! A subscription trusts one tenant, so within a subscription nothing is asked. Elsewhere the workspace tells its own tenant
//! and the subscription of the account tells the other: Azure says it to whoever may see the subscription, and to whoever
//! is of the wrong tenant as the reason of its refusal. Which of them that is makes no difference here.
//!
//! Source: <https://learn.microsoft.com/azure/role-based-access-control/transfer-subscription> (one tenant at a time). That
//! `properties.tenantId` of a workspace is always the tenant of its subscription has no public source; a workspace that does
//! not tell it is never taken for one of the same tenant.

use uuid::Uuid;

use crate::gate::GateState;
use crate::id::SubscriptionId;
use crate::observed::{Cause, Observed, Reading, Workspace};

use super::barriers::is_optional;

/// How the tenants of a workspace and of its account stand to each other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::plan) enum Tenants {
    /// They are one.
    Same,
    /// They are two.
    Apart {
        /// The workspace's.
        own: Uuid,
        /// The account's.
        account: Uuid,
    },
    /// The tenant of this subscription would tell.
    NotRead(SubscriptionId),
    /// It cannot be told, for want of a right or because the workspace does not say: a warning, and no bar.
    Unseen(String, Cause),
    /// It could not be read.
    Unknown(GateState),
}

/// Compares them, as far as they are known.
pub(in crate::plan) fn tenants(own: &Workspace, observed: &Observed) -> Tenants {
    let subscription = observed.account_id.subscription();
    if own.id.subscription() == subscription {
        return Tenants::Same;
    }
    match observed.barriers.tenants.get(&subscription) {
        None | Some(Reading::NotRead) => Tenants::NotRead(subscription),
        Some(Reading::Unknown { why, cause }) if is_optional(cause) => Tenants::Unseen(why.clone(), cause.clone()),
        Some(Reading::Unknown { why, cause }) => {
            Tenants::Unknown(GateState::unknown(&format!("the tenant of subscription {subscription}"), why, cause))
        }
        Some(Reading::Known { value: account, .. }) => match own.tenant {
            Some(own) if own == *account => Tenants::Same,
            Some(own) => Tenants::Apart { own, account: *account },
            None => Tenants::Unseen("the workspace does not tell its tenant".to_owned(), Cause::default()),
        },
    }
}
