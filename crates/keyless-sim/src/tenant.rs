//! Which tenant each subscription belongs to, and what that means for callers, who are all of this cloud's own.
//!
//! A world says it with an entry of type `Keyless.Sim/tenants` below the subscription, named by the tenant; the `tenantId` that
//! recorded subscriptions carry says nothing of the tokens of this cloud. `properties.delegated` makes it one that was
//! delegated to the own tenant, in which callers from here may act.
//!
//! Sources: <https://github.com/Azure/azure-sdk-for-net/issues/49391> and <https://github.com/Azure/LogicAppsUX/issues/9068>
//! for status, code and message of the refusal; <https://learn.microsoft.com/azure/lighthouse/concepts/cross-tenant-management-experience>
//! for delegation; azure-rest-api-specs `Microsoft.Resources/subscriptions` 2022-12-01 for `tenantId` and
//! `managedByTenants`. What the challenge header of the refusal says has no public source; design decision.

use serde_json::{Value, json};

use crate::arm_id;
use crate::azure::Azure;
use crate::json as read;
use crate::request::{Answer, Call};
use crate::token::TENANT_ID;
use crate::world::TENANT;

impl Azure {
    fn other_tenant(&self, subscription: &str) -> Option<(String, &Value)> {
        let scope = format!("/subscriptions/{}", subscription.to_ascii_lowercase());
        let key = self.world.keys_below(TENANT, &scope).next()?;
        Some((arm_id::name(key).to_owned(), self.world.get(key)?))
    }

    /// The tenant that a subscription trusts.
    pub(crate) fn tenant_of(&self, subscription: &str) -> String {
        self.other_tenant(subscription).map_or_else(|| TENANT_ID.to_owned(), |(tenant, _)| tenant)
    }

    /// Whether the subscription is another tenant's that callers from here may act in.
    pub(crate) fn is_delegated(&self, subscription: &str) -> bool {
        self.other_tenant(subscription)
            .is_some_and(|(_, entry)| read::at(entry, &["properties", "delegated"]) == Some(&json!(true)))
    }

    /// Whether nobody from here may so much as see the subscription.
    pub(crate) fn is_foreign(&self, subscription: &str) -> bool {
        self.other_tenant(subscription).is_some() && !self.is_delegated(subscription)
    }

    /// 401 for whatever is asked in a subscription of another tenant.
    pub(crate) fn check_tenant(&self, call: &Call) -> Result<(), Answer> {
        let key = call.key();
        let Some(subscription) = arm_id::subscription(&key).filter(|id| self.is_foreign(id)) else { return Ok(()) };
        let tenant = self.tenant_of(subscription);
        let message = format!(
            "The access token is from the wrong issuer 'https://sts.windows.net/{TENANT_ID}/'. It must match the tenant \
             'https://sts.windows.net/{tenant}/' associated with this subscription. Please use the authority (URL) \
             'https://login.windows.net/{tenant}' to get the token. Note, if the subscription is transferred to another tenant \
             there is no impact to the services, but information about new tenant could take time to propagate (up to an \
             hour). If you just transferred your subscription and see this error message, please try back later."
        );
        let challenge = format!("Bearer authorization_uri=\"{}/{tenant}\", error=\"invalid_token\"", call.origin);
        Err(Answer::error(401, "InvalidAuthenticationTokenTenant", message).header("WWW-Authenticate", challenge))
    }
}
